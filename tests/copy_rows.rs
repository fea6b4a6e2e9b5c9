//! Rows of `COPY`, by example: what a person may find in a file.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod copy_reference;

use copy_reference::Field;
use copy_reference::Outcome;
use copy_reference::read;
use copy_reference::scan;
use pg_presplit::model::report::Report;
use pg_presplit::planning::routing::binary::HEADER;
use pg_presplit::planning::routing::fault::FaultKind;
use pg_presplit::planning::routing::format::CopyFormat;
use pg_presplit::planning::routing::format::KeyColumn;
use pg_presplit::planning::routing::format::Kind;
use pg_presplit::planning::routing::format::Refusal;
use pg_presplit::planning::routing::format::Source;
use pg_presplit::planning::routing::scanner::Next;
use pg_presplit::planning::routing::scanner::Scanner;
use pg_presplit::planning::routing::scanner::Value;
use proptest::prelude::*;

fn text(version: u32) -> CopyFormat {
    CopyFormat::new(Kind::Text, version, 3)
}

fn csv(version: u32) -> CopyFormat {
    CopyFormat::new(Kind::Csv, version, 3)
}

/// The rows of an input by their second column, each with its line, and how
/// they end.
fn second(format: &CopyFormat, data: &[u8]) -> (Vec<(u64, String)>, Outcome) {
    let keys = [KeyColumn::at(1)];
    let found = scan(format, &keys, [data]).read;
    assert_eq!(found, read(format, &keys, data), "as the reference reads it");
    let shown = |field: &Field| match field {
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    };
    (found.rows.iter().map(|row| (row.line, shown(&row.keys[0]))).collect(), found.outcome)
}

/// Likewise, without the lines, of an input that ends well.
fn values(format: &CopyFormat, data: &[u8]) -> Vec<String> {
    let (rows, outcome) = second(format, data);
    assert_eq!(outcome, Outcome::End);
    rows.into_iter().map(|(_, value)| value).collect()
}

#[test]
fn text_is_split_at_newlines_that_no_backslash_precedes() {
    assert_eq!(values(&text(15), b"1\ta\t\n2\t\\N\tx\n3\tb\\\nc\t\n4\td"), ["a", "Null", "b\nc", "d"]);
    assert_eq!(values(&text(15), b"1\ta\r\n2\tb\r\n"), ["a", "b"]);
    assert_eq!(values(&text(15), b"1\ta\r2\tb\r"), ["a", "b"]);
    assert_eq!(values(&text(15), b"1\ta\\\r\n2\tb\n"), ["a\r", "b"]);
    assert_eq!(values(&text(15), b""), [""; 0]);
    assert_eq!(values(&text(15), b"\n\n"), ["Invalid", "Invalid"]);
}

#[test]
fn escapes_of_text_are_undone_after_the_markers_are_looked_for() {
    let data = b"\t\\x41\\102\\t\\\\N\\.b\n";
    let (rows, outcome) = second(&text(15), data);
    assert_eq!((rows.len(), outcome), (0, Outcome::Fault(FaultKind::MarkerCorrupt, 1)));
    assert_eq!(
        values(&text(15), b"\t\\x41\\102\\t\\\\N\n\t\\\\N\n\t\\N\n\t\\x\n\t\\q\n"),
        ["AB\t\\N", "\\N", "Null", "x", "q"]
    );
    let mut by_letter = text(15);
    by_letter.delimiter = b'A';
    assert_eq!(values(&by_letter, b"\\x4AAbAc\n"), ["b"]);
    let mut marked = text(16);
    marked.default_marker = Some(b"\\D".to_vec());
    assert_eq!(values(&marked, b"\t\\D\n\t\\\\D\n"), ["Default", "\\D"]);
    assert_eq!(values(&text(15), b"\t\\000\n"), ["Invalid"]);
}

#[test]
fn a_backslash_at_the_very_end_is_passed_over() {
    assert_eq!(values(&text(15), b"\ta\\"), ["a"]);
    assert_eq!(values(&text(15), b"\t\\N\\"), ["Null"]);
}

#[test]
fn the_end_of_data_marker_ends_it() {
    for version in [15, 18] {
        assert_eq!(values(&text(version), b"\ta\n\\.\n\tb\n"), ["a"]);
        assert_eq!(values(&text(version), b"\ta\r\n\\.\r\n\tb\r\n"), ["a"]);
        assert_eq!(values(&text(version), b"\\.\n"), [""; 0]);
        let (_, outcome) = second(&text(version), b"\ta\n\\.\r\n");
        assert_eq!(outcome, Outcome::Fault(FaultKind::MarkerStyle, 2));
    }
    for data in [&b"\ta\n\\.x\n"[..], b"\ta\n\\."] {
        assert_eq!(second(&text(15), data).1, Outcome::Fault(FaultKind::MarkerCorrupt, 2));
        assert_eq!(second(&text(18), data).1, Outcome::Fault(FaultKind::MarkerNotAlone, 2));
    }
}

#[test]
fn before_18_a_row_may_precede_the_marker_on_its_line() {
    let data = b"\ta\n\tb\\.\n\tc\n";
    assert_eq!(values(&text(17), data), ["a", "b"]);
    let mut file = text(17);
    file.source = Source::Server;
    assert_eq!(values(&file, data), ["a", "b", "c"]);
    assert_eq!(second(&text(18), data).1, Outcome::Fault(FaultKind::MarkerNotAlone, 2));
    // The one difference.
    assert_eq!(second(&file, b"\tb\\.\n\tc\n").1, Outcome::Fault(FaultKind::MarkerCorrupt, 1));
}

#[test]
fn newlines_must_be_of_one_style() {
    let fault = |format: &CopyFormat, data: &[u8]| second(format, data).1;
    assert_eq!(fault(&text(15), b"\ta\n\tb\r\n"), Outcome::Fault(FaultKind::LiteralReturn, 2));
    assert_eq!(fault(&text(15), b"\ta\r\n\tb\n"), Outcome::Fault(FaultKind::LiteralNewline, 2));
    assert_eq!(fault(&text(15), b"\ta\r\n\tb\r"), Outcome::Fault(FaultKind::LiteralReturn, 2));
    assert_eq!(fault(&csv(15), b",a\n\"\n\",b\r\n"), Outcome::Fault(FaultKind::UnquotedReturn, 3));
    assert_eq!(fault(&csv(15), b",a\r\n,b\n"), Outcome::Fault(FaultKind::UnquotedNewline, 2));
}

#[test]
fn faults_are_postgresqls() {
    let format = text(15);
    let mut scanner = Scanner::new(&format, &[]).unwrap();
    scanner.feed(b"a\nb\r\nc\n");
    assert!(matches!(scanner.next_row(), Ok(Next::Row(_))));
    let fault = scanner.next_row().unwrap_err();
    assert_eq!(fault.to_string(), "literal carriage return found in data");
    assert_eq!(fault.hint().unwrap(), "Use \"\\r\" to represent carriage return.");
    assert_eq!((fault.sqlstate().code(), fault.line), ("22P04", 2));
    assert_eq!(scanner.next_row().unwrap_err(), fault, "and again");
    assert_eq!(scanner.unread(), b"b\r\nc\n");
}

#[test]
fn quotes_of_csv_hide_newlines_which_count_as_lines() {
    let (rows, _) = second(&csv(15), b"1,a,\n2,\"b\n\"\"c\",\"\r\"\n3,\"\"\n4,\n5,d\"e\"f\n");
    let expected = [(1, "a"), (3, "b\n\"c"), (4, ""), (5, "Null"), (6, "def")];
    assert_eq!(rows, expected.map(|(line, value)| (line, value.to_owned())));
    let mut escaped = csv(15);
    escaped.escape = b'\\';
    assert_eq!(values(&escaped, b",\"a\\\"\n\\\\\"\n,\\\n,\"b\\c\"\n"), ["a\"\n\\", "\\", "b\\c"]);
}

#[test]
fn a_quote_without_its_end_is_for_postgresql_to_refuse() {
    assert_eq!(values(&csv(15), b",a\n,\"b\n,c\n"), ["a", "Invalid"]);
    assert_eq!(values(&csv(15), b",a\n,b,\"\n"), ["a", "b"]);
    let found = scan(&csv(15), &[], [&b",\"b\n"[..]]);
    assert_eq!(found.batch, b",\"b\n", "nothing is added within the quote");
}

#[test]
fn a_marker_in_csv_was_one_until_17() {
    assert_eq!(values(&csv(17), b",a\n\\.\n,b\n"), ["a"]);
    assert_eq!(values(&csv(18), b",a\n\\.\n,b\n"), ["a", "Invalid", "b"]);
    assert_eq!(values(&csv(17), b",a\n\\.,b\n,\\.\n"), ["a", "b", "\\."]);
    // Without a newline it is none, and gets none.
    let found = scan(&csv(17), &[], [&b",a\n\\."[..]]);
    assert_eq!((found.read.rows.len(), &found.batch[..]), (2, &b",a\n\\."[..]));
    assert_eq!(second(&csv(17), b",a\n\\.\r\n").1, Outcome::Fault(FaultKind::MarkerStyle, 2));
}

#[test]
fn null_can_be_forced_both_ways() {
    let format = csv(15);
    let forced = |force_not_null, force_null, data: &[u8]| {
        let key = KeyColumn { field: Some(0), force_not_null, force_null };
        scan(&format, &[key], [data]).read.rows[0].keys[0].clone()
    };
    let empty = Field::Bytes(Vec::new());
    assert_eq!(forced(false, false, b",\n"), Field::Null);
    assert_eq!(forced(false, false, b"\"\",\n"), empty);
    assert_eq!(forced(true, false, b",\n"), empty);
    assert_eq!(forced(false, true, b"\"\",\n"), Field::Null);
    assert_eq!(forced(true, true, b",\n"), empty);
    assert_eq!(forced(true, true, b"\"\",\n"), Field::Null);
}

#[test]
fn the_header_is_handed_out_by_itself() {
    let mut format = csv(15);
    format.header = true;
    let mut scanner = Scanner::new(&format, &[KeyColumn::at(0)]).unwrap();
    scanner.feed(b"a,\"b\n\",c\r\n1,2,3\r\n");
    scanner.finish();
    let Ok(Next::Header(header)) = scanner.next_row() else { panic!("a header comes first") };
    assert_eq!((header.bytes, header.line), (&b"a,\"b\n\",c\r\n"[..], 1));
    let Ok(Next::Row(row)) = scanner.next_row() else { panic!("then a row") };
    assert_eq!((row.bytes, row.line), (&b"1,2,3\r\n"[..], 2));
    assert!(matches!(scanner.next_row(), Ok(Next::End)));
    assert_eq!(values(&format, b"a,b"), [""; 0]);
}

#[test]
fn a_column_that_is_not_there_is_said_to_be_so() {
    let format = text(18);
    let keys = [
        KeyColumn { field: None, ..KeyColumn::default() },
        KeyColumn::at(2),
        KeyColumn::at(0),
        KeyColumn::at(2),
    ];
    let found = scan(&format, &keys, [&b"a\tb\tc\na\tb\n"[..]]).read;
    let bytes = |text: &str| Field::Bytes(text.as_bytes().to_vec());
    assert_eq!(found.rows[0].keys, [Field::Absent, bytes("c"), bytes("a"), bytes("c")]);
    assert_eq!(found.rows[1].keys, [Field::Absent, Field::Invalid, bytes("a"), Field::Invalid]);
}

#[test]
fn bytes_that_an_escape_made_are_the_servers() {
    let mut scanner = Scanner::new(&text(15), &[KeyColumn::at(0), KeyColumn::at(1)]).unwrap();
    scanner.feed(b"\xE9\\t\t\\xE9\tx\n");
    let Ok(Next::Row(row)) = scanner.next_row() else { panic!("a row") };
    assert!(!row.key(0).high_escape && row.key(1).high_escape);
    assert_eq!((row.key(1).raw, row.key(1).value), (&b"\\xE9"[..], Value::Bytes(b"\xE9")));
}

#[test]
fn what_cannot_be_told_apart_is_refused() {
    let mut format = text(15);
    format.encoding = "SJIS".to_owned();
    assert_eq!(Scanner::new(&format, &[]).unwrap_err(), Refusal::Encoding("SJIS".to_owned()));
    let mut format = csv(17);
    format.quote = b'\\';
    assert_eq!(Scanner::new(&format, &[]).unwrap_err(), Refusal::QuoteIsBackslash);
    format.server_major = 18;
    assert!(Scanner::new(&format, &[]).is_ok());
    format.escape = b'\n';
    assert_eq!(Scanner::new(&format, &[]).unwrap_err(), Refusal::LineEnd("escape"));
    assert_eq!(Scanner::new(&text(15), &[KeyColumn::at(3)]).unwrap_err(), Refusal::Field(3, 3));
}

// Memory ------------------------------------------------------------------------------------------------------------

#[test]
fn memory_is_bounded_by_the_row() {
    const PIECE: usize = 64 << 10;
    const LONG: usize = 24 << 20;
    for (format, line) in [(text(15), b"1\\\\2\t3\\\n4\t5\n"), (csv(15), b"1,\"\n2\",34,5\n")] {
        let mut scanner = Scanner::new(&format, &[KeyColumn::at(1)]).unwrap();
        let (mut rows, mut largest) = (0, 0);
        let mut long = vec![b'x'; LONG];
        long.push(b'\n');
        let many = line.repeat(40_000);
        for data in [&many, &long, &many] {
            for piece in data.chunks(PIECE) {
                scanner.space(PIECE)[..piece.len()].copy_from_slice(piece);
                scanner.filled(piece.len());
                while let Ok(Next::Row(_)) = scanner.next_row() {
                    rows += 1;
                }
                largest = largest.max(scanner.buffer_bytes());
            }
        }
        assert_eq!(rows, 80_001);
        assert!(largest < 2 * LONG + 2 * PIECE, "{largest}");
        assert!(scanner.buffer_bytes() <= 2 * PIECE, "given back: {}", scanner.buffer_bytes());
    }
}

#[test]
fn a_row_longer_than_postgresql_takes_is_a_fault() {
    for data in [&b"12345678901\n"[..], b"123456789012345"] {
        let mut scanner = Scanner::new(&text(15), &[]).unwrap().with_row_bytes_max(11);
        scanner.feed(b"1234567890\n");
        scanner.feed(data);
        assert!(matches!(scanner.next_row(), Ok(Next::Row(_))));
        let fault = scanner.next_row().unwrap_err();
        assert_eq!((fault.kind, fault.sqlstate().code()), (FaultKind::RowTooLong(11), "54000"));
    }
}

// Binary ------------------------------------------------------------------------------------------------------------

fn binary(rows: &[Vec<Option<Vec<u8>>>]) -> Vec<u8> {
    let mut data = HEADER.to_vec();
    for row in rows {
        data.extend_from_slice(&i16::try_from(row.len()).unwrap().to_be_bytes());
        for value in row {
            match value {
                None => data.extend_from_slice(&(-1_i32).to_be_bytes()),
                Some(value) => {
                    data.extend_from_slice(&i32::try_from(value.len()).unwrap().to_be_bytes());
                    data.extend_from_slice(value);
                }
            }
        }
    }
    data
}

const END: &[u8] = b"\xff\xff";

fn binary_fault(data: &[u8]) -> Outcome {
    scan(&CopyFormat::new(Kind::Binary, 15, 2), &[KeyColumn::at(1)], data.chunks(5)).read.outcome
}

#[test]
fn binary_headers_are_judged_as_postgresql_does() {
    let with = |at: usize, bytes: &[u8]| {
        let mut data = HEADER.to_vec();
        data.splice(at..at + bytes.len(), bytes.iter().copied());
        data
    };
    let fault = |kind| Outcome::Fault(kind, 0);
    assert_eq!(binary_fault(b""), fault(FaultKind::Signature));
    assert_eq!(binary_fault(b"PGCOPY\n"), fault(FaultKind::Signature));
    assert_eq!(binary_fault(&with(0, b"pg")), fault(FaultKind::Signature));
    assert_eq!(binary_fault(&HEADER[..13]), fault(FaultKind::HeaderFlags));
    assert_eq!(binary_fault(&HEADER[..17]), fault(FaultKind::HeaderLength));
    assert_eq!(binary_fault(&with(12, b"\x01")), fault(FaultKind::HeaderOids));
    assert_eq!(binary_fault(&with(11, b"\x80")), fault(FaultKind::HeaderCritical));
    assert_eq!(binary_fault(&with(13, b"\xff")), Outcome::End, "flags that are not critical");
    assert_eq!(binary_fault(&with(15, b"\xff")), fault(FaultKind::HeaderLength));
    assert_eq!(binary_fault(&with(18, b"\x03")), fault(FaultKind::HeaderExtension));
    let extended = [&with(18, b"\x03")[..], b"abc", &binary(&[vec![None, None]])[19..]].concat();
    assert_eq!(binary_fault(&extended), Outcome::End);
    assert_eq!(binary_fault(&extended[..22]), Outcome::End);
}

#[test]
fn binary_rows_are_judged_as_postgresql_does() {
    let row = binary(&[vec![None, Some(b"xyz".to_vec())]]);
    let after = |bytes: &[u8]| [&row[..], bytes].concat();
    assert_eq!(binary_fault(&after(END)), Outcome::End);
    assert_eq!(binary_fault(&row), Outcome::End, "the end mark may be missing");
    assert_eq!(binary_fault(&after(b"\0")), Outcome::End, "and a single byte is none");
    assert_eq!(binary_fault(&after(b"\xff\xff\0")), Outcome::Fault(FaultKind::DataAfterEnd, 2));
    let count = |count| Outcome::Fault(FaultKind::FieldCount { count, expected: 2 }, 2);
    assert_eq!(binary_fault(&after(b"\0\x03")), count(3));
    assert_eq!(binary_fault(&after(b"\xff\xfe")), count(-2));
    assert_eq!(binary_fault(&row[..row.len() - 1]), Outcome::Fault(FaultKind::UnexpectedEnd, 1));
    assert_eq!(binary_fault(&row[..22]), Outcome::Fault(FaultKind::UnexpectedEnd, 1));
    assert_eq!(binary_fault(&after(b"\0\x02\xff\xff\xff\xfe")), Outcome::Fault(FaultKind::FieldSize, 2));
    let most = FaultKind::RowTooLong(0x3fff_fffe);
    assert_eq!(binary_fault(&after(b"\0\x02\x3f\xff\xff\xff")), Outcome::Fault(most, 2));
    let mut scanner = Scanner::new(&CopyFormat::new(Kind::Binary, 15, 2), &[]).unwrap();
    scanner.feed(&after(&row[19..row.len() - 4]));
    scanner.finish();
    assert!(matches!(scanner.next_row(), Ok(Next::Row(_))));
    let fault = scanner.next_row().unwrap_err();
    assert_eq!((fault.line, fault.field), (2, Some(1)), "the column is said");
}

proptest! {
    #[test]
    fn binary_rows_come_back(
        rows in prop::collection::vec(prop::collection::vec(proptest::option::of(prop::collection::vec(any::<u8>(), 0..9)), 3), 0..6),
        key in 0..3_usize,
        piece in 1..40_usize,
    ) {
        let format = CopyFormat::new(Kind::Binary, 15, 3);
        let data = [&binary(&rows)[..], END].concat();
        let found = scan(&format, &[KeyColumn::at(key), KeyColumn::at(0)], data.chunks(piece));
        prop_assert_eq!(found.read.outcome, Outcome::End);
        let field = |value: &Option<Vec<u8>>| value.as_ref().map_or(Field::Null, |value| Field::Bytes(value.clone()));
        let expected: Vec<Vec<Field>> = rows.iter().map(|row| vec![field(&row[key]), field(&row[0])]).collect();
        let said: Vec<Vec<Field>> = found.read.rows.into_iter().map(|row| row.keys).collect();
        prop_assert_eq!(said, expected);
        prop_assert_eq!(&[&HEADER[..], &found.batch, END].concat(), &data, "raw rows make the same file again");
    }
}
