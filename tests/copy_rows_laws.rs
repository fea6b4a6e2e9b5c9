//! Laws of the rows of `COPY`: whatever the bytes and however they are cut, the
//! scanner says what a slow reader says that follows PostgreSQL byte by byte.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod copy_reference;

use copy_reference::Field;
use copy_reference::Outcome;
use copy_reference::read;
use copy_reference::scan;
use pg_presplit::planning::routing::format::CopyFormat;
use pg_presplit::planning::routing::format::KeyColumn;
use pg_presplit::planning::routing::format::Kind;
use pg_presplit::planning::routing::format::Source;
use pg_presplit::planning::routing::format::check;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

const COLUMNS: usize = 4;

fn config(cases: u32) -> ProptestConfig {
    let failures = FileFailurePersistence::WithSource("proptest-regressions");
    ProptestConfig { cases, failure_persistence: Some(Box::new(failures)), ..ProptestConfig::default() }
}

/// Options that PostgreSQL accepts, the usual ones most often.
fn formats() -> impl Strategy<Value = CopyFormat> {
    let kind = prop_oneof![Just(Kind::Text), Just(Kind::Csv)];
    let version = prop_oneof![Just(15_u32), Just(16), Just(17), Just(18)];
    let source = prop_oneof![Just(Source::Client), Just(Source::Server)];
    let text =
        prop_oneof![4 => Just(b'\t'), 1 => Just(b'|'), 1 => Just(b'A'), 1 => Just(b' '), 1 => Just(b'"')];
    let csv = prop_oneof![4 => Just(b','), 1 => Just(b';'), 1 => Just(b'x'), 1 => Just(b'\\')];
    let quote = prop_oneof![4 => Just(b'"'), 1 => Just(b'\''), 1 => Just(b'1'), 1 => Just(b'\\')];
    let escape =
        prop_oneof![4 => Just(None), 2 => Just(Some(b'\\')), 1 => Just(Some(b'e')), 1 => Just(Some(b','))];
    let null = prop_oneof![3 => Just(None), 1 => Just(Some(&b""[..])), 1 => Just(Some(&b"a"[..])), 1 => Just(Some(&b"\\N"[..]))];
    let marker =
        prop_oneof![2 => Just(None), 1 => Just(Some(b"\\D".to_vec())), 1 => Just(Some(b"b".to_vec()))];
    (kind, version, source, (text, csv), quote, escape, null, marker, any::<bool>())
        .prop_map(|(kind, version, source, (text, csv), quote, escape, null, marker, header)| {
            let mut format = CopyFormat::new(kind, version, COLUMNS);
            format.source = source;
            format.delimiter = if kind == Kind::Text { text } else { csv };
            (format.quote, format.escape) = (quote, escape.unwrap_or(quote));
            if let Some(null) = null {
                format.null = null.to_vec();
            }
            format.default_marker = marker.filter(|marker| version > 15 && *marker != format.null);
            format.header = header;
            format
        })
        .prop_filter("PostgreSQL accepts it", |format| {
            let unlike = format.kind == Kind::Text || format.quote != format.delimiter;
            let bytes = format.null.iter().chain(format.default_marker.iter().flatten());
            let clear =
                |byte: &u8| *byte != format.delimiter && (format.kind == Kind::Text || *byte != format.quote);
            unlike && bytes.clone().all(clear) && check(format, &[]).is_ok()
        })
}

fn keys() -> impl Strategy<Value = Vec<KeyColumn>> {
    let key = (proptest::option::weighted(0.9, 0..COLUMNS), any::<bool>(), any::<bool>());
    let key =
        key.prop_map(|(field, force_not_null, force_null)| KeyColumn { field, force_not_null, force_null });
    prop::collection::vec(key, 1..4).prop_map(|mut keys| {
        // What is forced of a column is so in all of its mentions.
        for at in 1..keys.len() {
            if let Some(same) = keys[..at].iter().find(|key| key.field == keys[at].field).copied() {
                keys[at] = same;
            }
        }
        keys
    })
}

/// Bytes that mean something to somebody.
fn inputs() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec![&b"\n"[..], b"\n", b"\r\n", b"\r", b"\t", b",", b"|", b";"]),
        4 => prop::sample::select(vec![&b"\""[..], b"'", b"\\", b"\"\"", b"\\\"", b"\\\\", b"1", b"e"]),
        3 => prop::sample::select(vec![&b"\\."[..], b"\\.\n", b"\n\\.\n", b"\r\n\\.\r\n", b"\r\\.\r", b".", b"\n\\."]),
        3 => prop::sample::select(vec![&b"\\N"[..], b"\\D", b"\\x4", b"\\x4A", b"\\xE9", b"\\0", b"\\101", b"\\777", b"\\t", b"\\\n", b"\\\r", b"\\\r\n", b"\\x"]),
        4 => prop::sample::select(vec![&b"a"[..], b"b", b"xyz", b"A", b" ", b"\xC3\xA9", b"\xA4\xA2", b"\xE9", b"\0"]),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// An input in pieces, the cuts from some numbers.
fn cut<'a>(data: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
    cuts.extend([0, data.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &data[pair[0]..pair[1]]).collect()
}

proptest! {
    #![proptest_config(config(4096))]

    #[test]
    fn the_scanner_reads_as_postgresql_does(
        format in formats(),
        keys in keys(),
        data in inputs(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let expected = read(&format, &keys, &data);
        let scanned = scan(&format, &keys, cut(&data, &cuts));
        prop_assert_eq!(&scanned.read, &expected, "in pieces");
        let scanned = scan(&format, &keys, data.chunks(1));
        prop_assert_eq!(&scanned.read, &expected, "byte by byte");
    }

    /// The rows alone say what they said in the whole.
    #[test]
    fn rows_can_be_put_together_again(format in formats(), keys in keys(), data in inputs()) {
        let whole = scan(&format, &keys, [&data[..]]);
        let batch_format = CopyFormat { header: false, source: Source::Server, ..format };
        let again = scan(&batch_format, &keys, [&whole.batch[..]]);
        prop_assert_eq!(&again.read.outcome, &Outcome::End);
        let said = |rows: &[copy_reference::Said]| rows.iter().map(|row| row.keys.clone()).collect::<Vec<_>>();
        prop_assert_eq!(said(&again.read.rows), said(&whole.read.rows));
        prop_assert_eq!(read(&batch_format, &keys, &whole.batch), again.read);
    }

    /// What is written as `COPY … TO` writes it comes back.
    #[test]
    fn what_was_written_comes_back(
        csv in any::<bool>(),
        return_feed in any::<bool>(),
        version in prop::sample::select(vec![15_u32, 18]),
        rows in prop::collection::vec(prop::collection::vec(proptest::option::of("[a-z\\\\\"',\t\n\r.Né]{0,6}"), COLUMNS), 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let format = CopyFormat::new(if csv { Kind::Csv } else { Kind::Text }, version, COLUMNS);
        let keys: Vec<KeyColumn> = (0..COLUMNS).map(KeyColumn::at).collect();
        let mut data = Vec::new();
        for row in &rows {
            for (place, value) in row.iter().enumerate() {
                if place > 0 {
                    data.push(format.delimiter);
                }
                write(&mut data, value.as_deref(), csv);
            }
            data.extend_from_slice(if return_feed { b"\r\n" } else { b"\n" });
        }
        let scanned = scan(&format, &keys, cut(&data, &cuts));
        prop_assert_eq!(scanned.read.outcome, Outcome::End);
        let value = |value: &Option<String>| value.as_ref().map_or(Field::Null, |text| Field::Bytes(text.clone().into_bytes()));
        let expected: Vec<Vec<Field>> = rows.iter().map(|row| row.iter().map(value).collect()).collect();
        let found: Vec<Vec<Field>> = scanned.read.rows.into_iter().map(|row| row.keys).collect();
        prop_assert_eq!(found, expected);
    }
}

/// A value as `COPY … TO` writes it.
fn write(data: &mut Vec<u8>, value: Option<&str>, csv: bool) {
    match (value, csv) {
        (None, false) => data.extend_from_slice(b"\\N"),
        (None, true) => {}
        (Some(value), true) => {
            let quoted = value.is_empty() || value == "\\." || value.contains(['"', ',', '\n', '\r']);
            let text = value.replace('"', "\"\"");
            data.extend_from_slice(if quoted { format!("\"{text}\"") } else { text }.as_bytes());
        }
        (Some(value), false) => {
            for byte in value.bytes() {
                match byte {
                    b'\\' => data.extend_from_slice(b"\\\\"),
                    b'\t' => data.extend_from_slice(b"\\t"),
                    b'\n' => data.extend_from_slice(b"\\n"),
                    b'\r' => data.extend_from_slice(b"\\r"),
                    other => data.push(other),
                }
            }
        }
    }
}
