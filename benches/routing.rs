//! How fast rows of `COPY` are found and sorted into buckets, as Markdown:
//! `cargo bench --no-default-features --bench routing`.
//!
//! One core; each figure is the best of some runs, in GB of input a second and
//! as a ratio to 1 GB/s, which a leader needs to keep its workers busy. Reading
//! is a copy from memory; a hash of the key's bytes stands for the choice of a
//! shard. The first lines say what this machine does with the same bytes at
//! best.

#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use pg_presplit::model::sample::random::Random;
use pg_presplit::planning::routing::binary::HEADER;
use pg_presplit::planning::routing::format::CopyFormat;
use pg_presplit::planning::routing::format::KeyColumn;
use pg_presplit::planning::routing::format::Kind;
use pg_presplit::planning::routing::scanner::Next;
use pg_presplit::planning::routing::scanner::Scanner;
use pg_presplit::planning::routing::scanner::Value;

const BYTES: usize = 64 << 20;
const RUNS: usize = 5;
const PIECE: usize = 256 << 10;
const TARGET: f64 = 1.0;

/// What a shard gathers before it is handed on.
const BUCKET_BYTES: usize = 64 << 10;

fn main() {
    println!("| input | bytes a row | work | GB/s | ratio to {TARGET} GB/s | ns a row |");
    println!("|---|---|---|---|---|---|");
    for wide in [false, true] {
        let shape = if wide { "wide" } else { "narrow" };
        let (text, rows) = rows(Kind::Text, wide, false);
        report(&format!("text, {shape}"), text.len(), rows, "newlines only", || newlines(&text));
        for (kind, name, nulls) in [
            (Kind::Text, "text", false),
            (Kind::Text, "text with nulls", true),
            (Kind::Csv, "csv", false),
            (Kind::Csv, "csv with quotes", true),
            (Kind::Binary, "binary", false),
        ] {
            let (data, rows) = self::rows(kind, wide, nulls);
            let input = format!("{name}, {shape}");
            for (key, buckets) in [(0, 0), (4, 0), (4, 64), (4, 256)] {
                let work = match buckets {
                    0 => format!("key in column {}", key + 1),
                    _ => format!("key in column {}, into {buckets} buckets", key + 1),
                };
                report(&input, data.len(), rows, &work, || route(kind, &data, key, buckets));
            }
        }
    }
}

fn report(input: &str, bytes: usize, rows: usize, work: &str, run: impl Fn() -> usize) {
    let best = (0..RUNS).map(|_| {
        let start = Instant::now();
        black_box(run());
        start.elapsed().as_secs_f64()
    });
    let seconds = best.fold(f64::INFINITY, f64::min);
    let rate = bytes as f64 / seconds / 1e9;
    let (length, each) = (bytes / rows, seconds * 1e9 / rows as f64);
    println!("| {input} | {length} | {work} | {rate:.2} | {:.2} | {each:.0} |", rate / TARGET);
}

/// Rows of eight columns, about as a sales table has them.
fn rows(kind: Kind, wide: bool, special: bool) -> (Vec<u8>, usize) {
    let mut random = Random::new(1);
    let mut data = if kind == Kind::Binary { HEADER.to_vec() } else { Vec::new() };
    let mut text = String::new();
    let mut count = 0;
    while data.len() < BYTES {
        count += 1;
        text.clear();
        let (id, customer) = (random.below(100_000_000), random.below(100_000));
        let (day, amount) = (1 + random.below(28), random.below(100_000));
        let note = if wide { "lorem ipsum ".repeat(80) } else { "ab".to_owned() };
        let null = match (special, kind) {
            (true, Kind::Text) => "\\N",
            (true, Kind::Csv) => "\"say \"\"x\"\"\"",
            _ => "1",
        };
        write!(text, "{id}\t{customer}\t2026-01-{day:02}\t{null}\t{customer}\t{amount}.50\t{note}\tok")
            .expect("a string takes all");
        match kind {
            Kind::Text => data.extend_from_slice(text.as_bytes()),
            Kind::Csv => data.extend_from_slice(text.replace('\t', ",").as_bytes()),
            Kind::Binary => {
                data.extend_from_slice(&8_i16.to_be_bytes());
                for field in text.split('\t') {
                    data.extend_from_slice(&(field.len() as i32).to_be_bytes());
                    data.extend_from_slice(field.as_bytes());
                }
            }
        }
        if kind != Kind::Binary {
            data.push(b'\n');
        }
    }
    (data, count)
}

fn newlines(data: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', data).count()
}

fn route(kind: Kind, data: &[u8], key: usize, buckets: usize) -> usize {
    let format = CopyFormat::new(kind, 18, 8);
    let mut scanner = Scanner::new(&format, &[KeyColumn::at(key)]).expect("nothing is against it");
    let mut batches: Vec<Vec<u8>> = vec![Vec::with_capacity(BUCKET_BYTES); buckets];
    let mut found = 0_u64;
    for piece in data.chunks(PIECE) {
        scanner.space(PIECE)[..piece.len()].copy_from_slice(piece);
        scanner.filled(piece.len());
        while let Next::Row(row) = scanner.next_row().expect("the input is sound") {
            let Value::Bytes(value) = row.key(0).value else { continue };
            let hash = hash(value);
            found = found.wrapping_add(hash);
            if buckets > 0 {
                let batch = &mut batches[(hash >> 32) as usize % buckets];
                if batch.len() + row.bytes.len() > BUCKET_BYTES {
                    batch.clear();
                }
                batch.extend_from_slice(row.bytes);
            }
        }
    }
    found as usize
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |hash: u64, byte| {
        (hash.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(0x517c_c1b7_2722_0a95)
    })
}
