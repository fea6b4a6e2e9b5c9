//! The scanner against PostgreSQL's own `COPY`: makes inputs that are as nasty
//! as a random generator can make them, and compares what a server says about
//! them with what the scanner says.
//!
//! `copy_parity cases FOLDER VERSION ENCODING SEED COUNT` writes the inputs and
//! prints SQL; `copy_parity check` with the same arguments reads what psql said
//! to it. The server raises a notice per row, so that rows before an error are
//! seen as well. `tests/server/copy_parity.sh` runs both.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::BufRead as _;
use std::path::Path;

use pg_presplit::model::sample::random::Random;
use pg_presplit::planning::routing::binary::HEADER;
use pg_presplit::planning::routing::escape::unescape_text;
use pg_presplit::planning::routing::fault::Fault;
use pg_presplit::planning::routing::fault::FaultKind;
use pg_presplit::planning::routing::format::CopyFormat;
use pg_presplit::planning::routing::format::KeyColumn;
use pg_presplit::planning::routing::format::Kind;
use pg_presplit::planning::routing::format::Source;
use pg_presplit::planning::routing::format::check;
use pg_presplit::planning::routing::scanner::Key;
use pg_presplit::planning::routing::scanner::Next;
use pg_presplit::planning::routing::scanner::Scanner;
use pg_presplit::planning::routing::scanner::Value;

const COLUMNS: usize = 3;

/// What the columns of the table have as their default.
const DEFAULT: &str = "the default";

/// Rows that go through a trigger, which tells them; then the table stays empty.
const SETUP: &str = r"
CREATE TEMP TABLE t (c0 text DEFAULT 'the default', c1 text DEFAULT 'the default', c2 text DEFAULT 'the default');
CREATE FUNCTION pg_temp.hex(value text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(encode(convert_to(value, current_setting('server_encoding')), 'hex'), 'null') $$;
CREATE FUNCTION pg_temp.tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE NOTICE 'row % % %', pg_temp.hex(new.c0), pg_temp.hex(new.c1), pg_temp.hex(new.c2);
    RETURN NULL;
END $$;
CREATE TRIGGER tell BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION pg_temp.tell();
CREATE FUNCTION pg_temp.run(name text, command text) RETURNS void LANGUAGE plpgsql AS $$ DECLARE
    context text; message text; state text;
BEGIN
    RAISE NOTICE 'case %', name;
    EXECUTE command;
    RAISE NOTICE 'end';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT, message = MESSAGE_TEXT, state = RETURNED_SQLSTATE;
    RAISE NOTICE 'error % % %', state, coalesce(substring(context from '^COPY t, line ([0-9]+)'), '0'), pg_temp.hex(message);
END $$;
";

/// A `COPY` of a file.
struct Case {
    format: CopyFormat,
    /// All columns, in their order.
    keys: Vec<KeyColumn>,
    data: Vec<u8>,
}

/// What a `COPY` did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Did {
    rows: Vec<Vec<Option<Vec<u8>>>>,
    error: Option<Refused>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Refused {
    state: String,
    line: u64,
    message: String,
}

impl Refused {
    /// Of bytes that are not of the encoding, or have no like in the server's.
    fn is_of_bytes(&self) -> bool {
        self.state == "22021" || self.state == "22P05"
    }
}

/// What the scanner said of a row.
#[derive(Debug)]
struct SaidRow {
    /// Lines before it, in the input and in the batch.
    lines_before: (u64, u64),
    /// It has newlines within quotes.
    stretches: bool,
    /// None where only PostgreSQL can tell.
    columns: Vec<Option<Option<Vec<u8>>>>,
}

/// What the scanner said of a case.
struct Said {
    rows: Vec<SaidRow>,
    fault: Option<Fault>,
    header: Vec<u8>,
    batch: Vec<u8>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, folder, version, encoding, seed, count] = &arguments[..] else {
        panic!("copy_parity cases|check FOLDER VERSION ENCODING SEED COUNT");
    };
    let mut random = Random::new(seed.parse().unwrap());
    let version = version.parse().unwrap();
    let cases: Vec<Case> =
        (0..count.parse::<usize>().unwrap()).map(|_| case(&mut random, version, encoding)).collect();
    let folder = Path::new(folder);
    if mode == "cases" {
        println!("{SETUP}");
        for (number, case) in cases.iter().enumerate() {
            let file = folder.join(format!("{number}"));
            std::fs::write(&file, &case.data).unwrap();
            println!("{}", command(&format!("{number}"), &file, case, case.format.header));
            let file = folder.join(format!("{number}.batch"));
            let said = scan(case);
            std::fs::write(&file, said.batch).unwrap();
            println!("{}", command(&format!("{number}.batch"), &file, case, true));
            let file = folder.join(format!("{number}.header"));
            std::fs::write(&file, said.header).unwrap();
            if case.format.kind != Kind::Binary {
                println!("{}", command(&format!("{number}.header"), &file, case, true));
            }
        }
        return;
    }
    let did = read_notices();
    let (mut wrong, mut rows, mut errors) = (0, 0, 0);
    for (number, case) in cases.iter().enumerate() {
        let (whole, batch) = (&did[&format!("{number}")], &did[&format!("{number}.batch")]);
        rows += whole.rows.len();
        errors += usize::from(whole.error.is_some());
        let header = did.get(&format!("{number}.header")).and_then(|did| did.error.as_ref());
        // A header is PostgreSQL's to refuse, by itself.
        let compared = match header {
            Some(refused) => {
                let same = |whole: &Refused| (&whole.state, whole.line) == (&refused.state, refused.line);
                whole
                    .error
                    .as_ref()
                    .filter(|whole| same(whole))
                    .map(|_| ())
                    .ok_or(format!("header {refused:?}"))
            }
            None => compare(&scan(case), whole, batch),
        };
        if let Err(why) = compared {
            wrong += 1;
            if wrong <= 5 {
                println!("case {number}: {why}\n  {:?}\n  input {}", case.format, case.data.escape_ascii());
                println!("  server {whole:?}\n  batch {batch:?}");
            }
        }
    }
    println!("{count} inputs, {rows} rows, {errors} refused by PostgreSQL, {wrong} differ");
    std::process::exit(i32::from(wrong > 0 || rows == 0 || errors == 0));
}

fn pick<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[random.below(of.len() as u64) as usize]
}

/// Options that PostgreSQL accepts, and an input to go with them.
fn case(random: &mut Random, version: u32, encoding: &str) -> Case {
    loop {
        let kind = pick(random, &[Kind::Text, Kind::Text, Kind::Csv, Kind::Csv, Kind::Binary]);
        let mut format = CopyFormat::new(kind, version, COLUMNS);
        format.source = Source::Server;
        encoding.clone_into(&mut format.encoding);
        let mut keys: Vec<KeyColumn> = (0..COLUMNS).map(KeyColumn::at).collect();
        if kind == Kind::Text {
            format.delimiter = pick(random, b"\t\t\t\t|A \",\x01");
            format.null = pick(random, &[&b"\\N"[..], b"\\N", b"\\N", b"", b"a", b"NULL", b"\\x"]).to_vec();
        } else if kind == Kind::Csv {
            format.delimiter = pick(random, b",,,,;x\\\t");
            format.quote = pick(random, b"\"\"\"\"'1\\");
            format.escape = pick(random, &[format.quote, format.quote, b'\\', b'e', b',']);
            format.null = pick(random, &[&b""[..], b"", b"", b"a", b"\\N", b"\\."]).to_vec();
            for key in &mut keys {
                (key.force_not_null, key.force_null) = (random.below(4) == 0, random.below(4) == 0);
            }
        }
        if kind != Kind::Binary {
            format.header = random.below(4) == 0;
            if version > 15 && random.below(3) == 0 {
                format.default_marker = Some(pick(random, &[&b"\\D"[..], b"b", b"xyz"]).to_vec());
            }
        }
        let texts = format.null.iter().chain(format.default_marker.iter().flatten());
        let clear = |byte: &u8| *byte != format.delimiter && (kind == Kind::Text || *byte != format.quote);
        let unlike = kind != Kind::Csv || format.quote != format.delimiter;
        let accepted =
            unlike && texts.clone().all(clear) && format.default_marker.as_ref() != Some(&format.null);
        if kind == Kind::Binary || (accepted && check(&format, &keys).is_ok()) {
            let data = if kind == Kind::Binary { binary(random) } else { input(random, &format) };
            return Case { format, keys, data };
        }
    }
}

const PIECES: &[&[u8]] = &[
    b"a", b"b", b"xyz", b"A", b" ", b"1", b"e", b".", b"\\\\", b"\\N", b"\\D", b"\\x4", b"\\x4A", b"\\101",
    b"\\t", b"\\\n", b"\\\r", b"\\\r\n", b"\\x", b"\"\"", b"\\\"", b"'", b"NULL", b"4", b"0", b"\t", b"|",
];
const NASTY: &[&[u8]] = &[
    b"\\.",
    b"\\.\n",
    b"\\",
    b"\r",
    b"\n",
    b"\r\n",
    b"\"",
    b"\\xE9",
    b"\\0",
    b"\\777",
    b"\xE9",
    b"\0",
    b",",
    b"\\\xC3\xA9",
    b"\xC3",
    b"\xA4",
];

/// Whether a field may end within a piece.
fn has_end(format: &CopyFormat, piece: &[u8]) -> bool {
    let csv = format.kind == Kind::Csv;
    let ends = |byte: &u8| csv && (*byte == format.quote || matches!(byte, b'\r' | b'\n'));
    piece.iter().any(|byte| *byte == format.delimiter || ends(byte))
}

/// Rows that are mostly right, of pieces that mean something to somebody.
fn input(random: &mut Random, format: &CopyFormat) -> Vec<u8> {
    let letters: &[&[u8]] = match &format.encoding[..] {
        "UTF8" => &[b"\xC3\xA9", b"\xE4\xB8\x80"],
        "EUC_JP" => &[b"\xA4\xA2", b"\x8E\xB1"],
        _ => &[b"\xC3\xA9", b"\xA4\xA2", b"\xE4\xB8", b"\xFF"],
    };
    let line_end = pick(random, &[&b"\n"[..], b"\n", b"\r\n", b"\r"]);
    let nasty = pick(random, &[0, 0, 40, 15, 6]);
    let mut data = Vec::new();
    for _ in 0..random.below(7) {
        if random.below(12) == 0 {
            data.extend_from_slice(b"\\.");
            data.extend_from_slice(pick(random, &[line_end, line_end, b"", b"\n", b"x"]));
        }
        for field in 0..COLUMNS + usize::from(nasty > 0 && random.below(20) == 0) {
            if field > 0 {
                data.push(format.delimiter);
            }
            if random.below(6) == 0 {
                let marker = format.default_marker.as_ref().filter(|_| random.below(2) == 0);
                data.extend_from_slice(marker.unwrap_or(&format.null));
                continue;
            }
            let quoted = format.kind == Kind::Csv && random.below(3) == 0;
            if quoted {
                data.push(format.quote);
            }
            for _ in 0..random.below(4) {
                let special = [format.escape, format.quote];
                let piece = match random.below(12) {
                    0 if quoted => &special,
                    1 if quoted => pick(random, &[line_end, b"\n", b"\r", b"\r\n"]),
                    2 => pick(random, letters),
                    _ if nasty > 0 && random.below(nasty) == 0 => pick(random, NASTY),
                    _ => pick(random, PIECES),
                };
                // Some inputs are to have many rows.
                if nasty > 0 || quoted || !has_end(format, piece) {
                    data.extend_from_slice(piece);
                }
            }
            if quoted {
                data.push(format.quote);
            }
        }
        if nasty == 0 || random.below(nasty) > 0 {
            data.extend_from_slice(line_end);
        }
    }
    if random.below(4) == 0 {
        data.truncate(data.len().saturating_sub(1 + random.below(3) as usize));
    }
    data
}

/// Text in the binary format, sometimes cut off or changed.
fn binary(random: &mut Random) -> Vec<u8> {
    let mut data = HEADER.to_vec();
    for _ in 0..random.below(5) {
        data.extend_from_slice(&(COLUMNS as i16).to_be_bytes());
        for _ in 0..COLUMNS {
            if random.below(4) == 0 {
                data.extend_from_slice(&(-1_i32).to_be_bytes());
                continue;
            }
            let value = pick(random, &[&b""[..], b"a", b"\n\\.", b"\xff\xff", b"longer"]);
            data.extend_from_slice(&(value.len() as i32).to_be_bytes());
            data.extend_from_slice(value);
        }
    }
    if random.below(3) > 0 {
        data.extend_from_slice(b"\xff\xff");
    }
    match random.below(6) {
        0 => data.truncate(random.below(data.len() as u64 + 1) as usize),
        1 => {
            let at = random.below(data.len() as u64) as usize;
            data[at] = pick(random, b"\0\x01\x02\xff\x80a");
        }
        2 => data.push(0),
        _ => {}
    }
    data
}

/// A string constant of any bytes.
fn constant(bytes: &[u8]) -> String {
    let mut text = "E'".to_owned();
    for byte in bytes {
        write!(text, "\\x{byte:02x}").unwrap();
    }
    text + "'"
}

fn command(name: &str, file: &Path, case: &Case, header: bool) -> String {
    let format = &case.format;
    let mut options = format!("ENCODING '{}'", format.encoding);
    match format.kind {
        Kind::Binary => options.push_str(", FORMAT binary"),
        Kind::Text => options.push_str(", FORMAT text"),
        Kind::Csv => {
            options.push_str(", FORMAT csv");
            write!(options, ", QUOTE {}, ESCAPE {}", constant(&[format.quote]), constant(&[format.escape]))
                .unwrap();
            for (word, chosen) in [
                ("FORCE_NOT_NULL", case.keys.iter().map(|key| key.force_not_null).collect::<Vec<_>>()),
                ("FORCE_NULL", case.keys.iter().map(|key| key.force_null).collect()),
            ] {
                let names = chosen.iter().enumerate().filter(|(_, chosen)| **chosen);
                let names: Vec<String> = names.map(|(at, _)| format!("c{at}")).collect();
                if !names.is_empty() {
                    write!(options, ", {word} ({})", names.join(", ")).unwrap();
                }
            }
        }
    }
    if format.kind != Kind::Binary {
        let (delimiter, null) = (constant(&[format.delimiter]), constant(&format.null));
        write!(options, ", DELIMITER {delimiter}, NULL {null}, HEADER {header}").unwrap();
        if let Some(marker) = &format.default_marker {
            write!(options, ", DEFAULT {}", constant(marker)).unwrap();
        }
    }
    let copy = format!("COPY t FROM '{}' WITH ({options})", file.display());
    format!("SELECT pg_temp.run('{name}', $copy${copy}$copy$);")
}

fn scan(case: &Case) -> Said {
    let mut scanner = Scanner::new(&case.format, &case.keys).unwrap();
    let mut said = Said { rows: Vec::new(), fault: None, header: Vec::new(), batch: Vec::new() };
    // The first line of a batch counts as one.
    let mut lines_in_batch = u64::from(case.format.kind != Kind::Binary);
    // Pieces of all lengths, the same for the same input.
    let mut lengths = Random::new(case.data.len() as u64);
    let mut rest = &case.data[..];
    loop {
        match scanner.next_row() {
            Ok(Next::Row(row)) => {
                said.batch.extend_from_slice(row.bytes);
                said.batch.extend_from_slice(row.ending);
                let columns = (0..COLUMNS).map(|key| column(&case.format, row.key(key))).collect();
                let lines_before = (row.line - row.lines, lines_in_batch);
                said.rows.push(SaidRow {
                    lines_before,
                    stretches: row.lines.max(row.lines_in_batch) > 1,
                    columns,
                });
                lines_in_batch += row.lines_in_batch;
                if said.rows.len() == 1 {
                    said.batch.splice(0..0, scanner.first_line().iter().copied());
                }
            }
            Ok(Next::Header(row)) => said.header.extend_from_slice(row.bytes),
            Ok(Next::Starved) if rest.is_empty() => scanner.finish(),
            Ok(Next::Starved) => {
                let length = (1 + lengths.below(9) as usize).min(rest.len());
                scanner.feed(&rest[..length]);
                rest = &rest[length..];
            }
            Ok(Next::End) => break,
            Err(fault) => {
                said.fault = Some(fault);
                break;
            }
        }
    }
    if said.rows.is_empty() {
        said.batch.extend_from_slice(scanner.first_line());
    }
    said
}

/// What the column becomes in the table; none if only PostgreSQL can tell.
fn column(format: &CopyFormat, key: Key<'_>) -> Option<Option<Vec<u8>>> {
    // The one encoding here that a server converts: its letters are code points.
    let converted = |bytes: &[u8]| -> Vec<u8> {
        if format.encoding == "LATIN1_IN_UTF8" {
            bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes()
        } else {
            bytes.to_vec()
        }
    };
    match key.value {
        Value::Null => Some(None),
        Value::Default => Some(Some(DEFAULT.as_bytes().to_vec())),
        Value::Bytes(_) if key.high_escape => {
            let mut value = Vec::new();
            unescape_text(&converted(key.raw), &mut value);
            Some(Some(value))
        }
        Value::Bytes(bytes) => Some(Some(converted(bytes))),
        Value::Absent | Value::Invalid => None,
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// What the server told, by case.
fn read_notices() -> BTreeMap<String, Did> {
    let mut did: BTreeMap<String, Did> = BTreeMap::new();
    let mut name = String::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let Some((_, told)) = line.split_once("NOTICE:  ") else { panic!("psql said {line}") };
        let words: Vec<&str> = told.split(' ').collect();
        match words[..] {
            ["case", case] => {
                case.clone_into(&mut name);
                did.insert(name.clone(), Did::default());
            }
            ["row", ..] => {
                let values = words[1..].iter().map(|word| (*word != "null").then(|| unhex(word))).collect();
                did.get_mut(&name).unwrap().rows.push(values);
            }
            ["error", state, line, message] => {
                did.get_mut(&name).unwrap().error = Some(Refused {
                    state: state.to_owned(),
                    line: line.parse().unwrap(),
                    message: String::from_utf8_lossy(&unhex(message)).into_owned(),
                });
            }
            ["end"] => {}
            _ => panic!("psql said {line}"),
        }
    }
    did
}

/// Whether the scanner agrees with what the server did with the whole and with
/// the rows that the scanner made of it.
fn compare(said: &Said, whole: &Did, batch: &Did) -> Result<(), String> {
    // The documented difference: nothing is read on.
    if let Some(fault) = &said.fault
        && fault.kind == FaultKind::MarkerCorrupt
        && said.rows.is_empty()
    {
        return Ok(());
    }
    // Another: the server looks ahead, once.
    if let Some(error) = &whole.error
        && (whole.rows.is_empty(), said.batch.first()) == (true, Some(&b'\r'))
        && error.is_of_bytes()
        && (batch.error.is_some() || said.fault.is_some())
    {
        return Ok(());
    }
    for (at, row) in whole.rows.iter().enumerate() {
        let Some(SaidRow { columns, .. }) = said.rows.get(at) else {
            return Err(format!("row {at} was not found"));
        };
        for (column, value) in columns.iter().zip(row) {
            if column.as_ref() != Some(value) {
                return Err(format!("row {at} has {value:?}, the scanner says {column:?}"));
            }
        }
    }
    let next = said.rows.get(whole.rows.len());
    if batch.rows != whole.rows {
        return Err("the rows of the batch differ".to_owned());
    }
    match (&whole.error, next, &said.fault) {
        (None, None, None) => batch.error.as_ref().map_or(Ok(()), |error| Err(format!("batch: {error:?}"))),
        // The server refuses a row that the scanner handed out: in the batch as well, and by its line.
        (Some(error), Some(row), _) => {
            let (before, before_in_batch) = row.lines_before;
            let again = batch.error.clone().unwrap_or_default();
            let line = before + again.line.saturating_sub(before_in_batch).max(1);
            // Within the very first line the server does not know the style of newlines.
            let near = before == 0 && row.stretches;
            // Which bytes are shown after the first of a wrong character depends on what follows.
            let first =
                |error: &Refused| error.message.split(" 0x").take(2).map(str::to_owned).collect::<Vec<_>>();
            let cut = error.is_of_bytes() && first(error) == first(&again);
            let same = again.state == error.state && (cut || again.message == error.message);
            if same && (line == error.line || near) {
                Ok(())
            } else {
                Err(format!("the batch says line {line}"))
            }
        }
        // Both see the fault; if the row has wrong bytes as well, the server may see those first.
        (Some(error), None, Some(fault)) => {
            let too_long = matches!(fault.kind, FaultKind::RowTooLong(_)) && error.state == "54000";
            let same = (error.message == fault.to_string() || too_long) && error.line == fault.line;
            if same || error.is_of_bytes() { Ok(()) } else { Err(format!("the scanner says {fault:?}")) }
        }
        (error, next, fault) => Err(format!("server {error:?}, next row {next:?}, fault {fault:?}")),
    }
}
