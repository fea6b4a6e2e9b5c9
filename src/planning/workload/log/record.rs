//! One record of a log: the columns of a csvlog, or the object of a jsonlog.
//!
//! Versions 15 to 18 write 26 columns; 13 wrote 24 and older ones 23, of which
//! those that are read here have not changed their places.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use csv_core::ReadRecordResult;
use serde::Deserialize;

use crate::planning::workload::log::Format;

/// Columns that a csvlog may have, with room for those to come.
const COLUMNS: RangeInclusive<usize> = 23..=32;

/// Places of the columns of a csvlog.
const MOMENT: usize = 0;
const USER: usize = 1;
const DATABASE: usize = 2;
const SESSION: usize = 5;
const SEVERITY: usize = 11;
const MESSAGE: usize = 13;
const DETAIL: usize = 14;
const STATEMENT: usize = 19;

/// What a record says, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// Microseconds since 1970, of the zone that the log names only in part.
    pub at: i64,
    pub user: Cow<'a, str>,
    pub database: Cow<'a, str>,
    pub session: Cow<'a, str>,
    pub severity: Cow<'a, str>,
    /// None if it is not UTF-8.
    pub message: Option<Cow<'a, str>>,
    pub detail: Option<Cow<'a, str>>,
    /// The statement that an error is about.
    pub statement: Option<Cow<'a, str>>,
}

/// Reads records into memory that it keeps.
pub struct Reader {
    format: Format,
    csv: Box<csv_core::Reader>,
    fields: Vec<u8>,
    ends: [usize; 40],
}

impl Reader {
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format, csv: Box::new(csv_core::Reader::new()), fields: Vec::new(), ends: [0; 40] }
    }

    /// The record; none if the bytes are none.
    pub fn read<'a>(&'a mut self, bytes: &'a [u8]) -> Option<Record<'a>> {
        match self.format {
            Format::Csv => self.csv(bytes),
            Format::Json => json(bytes),
        }
    }

    fn csv(&mut self, bytes: &[u8]) -> Option<Record<'_>> {
        self.csv.reset();
        self.fields.resize(bytes.len() + 1, 0);
        let (result, read, mut written, ended) =
            self.csv.read_record(bytes, &mut self.fields, &mut self.ends);
        let mut columns = ended;
        match result {
            ReadRecordResult::Record => {}
            ReadRecordResult::InputEmpty if read == bytes.len() => {
                // No more input: the last column ends.
                let (result, _, more, ended) =
                    self.csv.read_record(&[], &mut self.fields[written..], &mut self.ends[columns..]);
                if result != ReadRecordResult::Record {
                    return None;
                }
                written += more;
                columns += ended;
            }
            _ => return None,
        }
        if !COLUMNS.contains(&columns) || written > self.fields.len() {
            return None;
        }
        let column = |at: usize| {
            let start = if at == 0 { 0 } else { self.ends[at - 1] };
            self.fields.get(start..self.ends[at]).unwrap_or_default()
        };
        let name = |at: usize| String::from_utf8_lossy(column(at));
        let text = |at: usize| std::str::from_utf8(column(at)).ok().map(Cow::Borrowed);
        let filled = |at: usize| text(at).filter(|text| !text.is_empty());
        Some(Record {
            at: moment(std::str::from_utf8(column(MOMENT)).ok()?)?,
            user: name(USER),
            database: name(DATABASE),
            session: name(SESSION),
            severity: name(SEVERITY),
            message: text(MESSAGE),
            detail: filled(DETAIL),
            statement: filled(STATEMENT),
        })
    }
}

fn json(bytes: &[u8]) -> Option<Record<'_>> {
    #[derive(Deserialize)]
    struct Object<'a> {
        #[serde(borrow)]
        timestamp: Cow<'a, str>,
        #[serde(borrow, default)]
        user: Cow<'a, str>,
        #[serde(borrow, default)]
        dbname: Cow<'a, str>,
        #[serde(borrow, default)]
        session_id: Cow<'a, str>,
        #[serde(borrow, default)]
        error_severity: Cow<'a, str>,
        #[serde(borrow, default)]
        message: Cow<'a, str>,
        #[serde(borrow)]
        detail: Option<Cow<'a, str>>,
        #[serde(borrow)]
        statement: Option<Cow<'a, str>>,
    }
    let object: Object<'_> = serde_json::from_slice(bytes).ok()?;
    Some(Record {
        at: moment(&object.timestamp)?,
        user: object.user,
        database: object.dbname,
        session: object.session_id,
        severity: object.error_severity,
        message: Some(object.message),
        detail: object.detail,
        statement: object.statement,
    })
}

/// `2026-01-02 03:04:05.678 CET` in microseconds since 1970. A zone given as
/// an offset counts; of one given by name only the difference between two
/// moments means something.
#[must_use]
pub fn moment(text: &str) -> Option<i64> {
    let mut words = text.splitn(3, ' ');
    let (day, time, zone) = (words.next()?, words.next()?, words.next()?);
    let civil: jiff::civil::DateTime = format!("{day}T{time}").parse().ok()?;
    let moment = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_microsecond();
    Some(moment - offset(zone).unwrap_or(0))
}

/// `+02`, `-0330`, `+05:45` in microseconds.
fn offset(zone: &str) -> Option<i64> {
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits.get(2..4).map_or(Some(0), |minutes| minutes.parse().ok())?;
    Some(sign * (hours * 60 + minutes) * 60_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of a csvlog of so many columns.
    fn line(columns: usize, message: &str, detail: &str) -> String {
        let mut fields = vec![String::new(); columns];
        fields[MOMENT] = "2026-01-02 03:04:05.678 UTC".to_owned();
        fields[USER] = "\"ann\"".to_owned();
        fields[DATABASE] = "\"shop\"".to_owned();
        fields[SESSION] = "6600.1".to_owned();
        fields[SEVERITY] = "LOG".to_owned();
        fields[MESSAGE] = format!("\"{}\"", message.replace('"', "\"\""));
        fields[DETAIL] = format!("\"{}\"", detail.replace('"', "\"\""));
        fields.join(",")
    }

    #[test]
    fn a_csvlog_of_any_version_is_read() {
        for columns in [23, 24, 26] {
            let text = line(columns, "statement: SELECT \"a\",\n1", "");
            let mut reader = Reader::new(Format::Csv);
            for _ in 0..2 {
                let record = reader.read(text.as_bytes()).unwrap();
                assert_eq!(record.message.as_deref(), Some("statement: SELECT \"a\",\n1"));
                assert_eq!((record.user.as_ref(), record.database.as_ref()), ("ann", "shop"));
                assert_eq!((record.session.as_ref(), record.severity.as_ref()), ("6600.1", "LOG"));
                assert_eq!((record.detail, record.statement), (None, None));
                assert_eq!(record.at, 1_767_323_045_678_000);
            }
        }
    }

    #[test]
    fn other_lines_are_none() {
        let mut reader = Reader::new(Format::Csv);
        let many = line(60, "x", "");
        let cut = "2026-01-02 03:04:05.678 UTC,\"ann\",\"shop\",1,,6600.1,3,\"SELECT";
        for text in
            ["", "x", ",,,", &line(22, "x", ""), &many, cut, &line(26, "x", "").replace("2026-", "x-")]
        {
            assert_eq!(reader.read(text.as_bytes()), None, "{text}");
        }
        // The reader is as good as new afterwards.
        assert!(reader.read(line(26, "x", "y").as_bytes()).is_some());
        let mut bytes = line(26, "statement: ?", "").into_bytes();
        let at = bytes.iter().position(|byte| *byte == b'?').unwrap();
        bytes[at] = 0xff;
        assert_eq!(reader.read(&bytes).unwrap().message, None);
    }

    #[test]
    fn a_jsonlog_is_read() {
        let text = r#"{"timestamp":"2026-01-02 03:04:05.678 UTC","user":"ann","dbname":"shop","pid":1,"session_id":"6600.1",
            "line_num":4,"error_severity":"LOG","message":"statement: SELECT \"a\",\n1","detail":"Parameters: $1 = 'x'","backend_type":"client backend","query_id":0}"#;
        let mut reader = Reader::new(Format::Json);
        let record = reader.read(text.as_bytes()).unwrap();
        assert_eq!(record.message.as_deref(), Some("statement: SELECT \"a\",\n1"));
        assert_eq!(record.detail.as_deref(), Some("Parameters: $1 = 'x'"));
        assert_eq!((record.user.as_ref(), record.database.as_ref()), ("ann", "shop"));
        for text in [
            "",
            "{}",
            "[1]",
            "{\"timestamp\":\"x\"}",
            "{\"timestamp\":1}",
            "{\"timestamp\":\"2026-01-02 03:04:05 UTC\"",
            "null",
        ] {
            assert_eq!(reader.read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(reader.read(b"{\"timestamp\":\"2026-01-02 03:04:05 UTC\",\"message\":\"\xff\"}"), None);
    }

    #[test]
    fn moments_have_zones() {
        let utc = moment("2026-01-02 03:04:05.678 UTC");
        assert_eq!(moment("2026-01-02 05:04:05.678 +02"), utc);
        assert_eq!(moment("2026-01-01 23:34:05.678 -0330"), utc);
        assert_eq!(moment("2026-01-02 08:49:05.678 +05:45"), utc);
        assert_eq!(moment("2026-01-02 03:04:05.678 CET"), utc);
        for text in ["", "2026-01-02", "2026-01-02 03:04:05.678", "2026-13-02 03:04:05.678 UTC", "x y z"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
