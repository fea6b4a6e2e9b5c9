//! Where the records of a log begin and end.
//!
//! A record of a csvlog ends at a line end outside of quotes, one of a jsonlog
//! at any. A csvlog that was cut (by a crash, by a rotation that copies) may
//! begin or go on inside of quotes: then what was taken for a record is none,
//! and reading goes on at the next line that begins like one.

use memchr::memchr;
use memchr::memchr_iter;

use crate::planning::workload::log::Format;

/// Longest record; what is longer is skipped.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// `2026-01-02 03:04:05.678 `
const MOMENT_BYTES: usize = 24;

/// Cuts a stream of bytes into records.
pub struct Framer {
    format: Format,
    longest: usize,
    /// What begins with the record that is not complete yet.
    buffer: Vec<u8>,
    /// Bytes of the buffer that were looked through.
    seen: usize,
    /// Whether what follows them is inside of quotes.
    quoted: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// Everything is dropped up to the next line that begins like a record;
    /// the buffer begins within a line.
    Dropping,
    /// The same; the buffer begins with a line.
    DroppingLines,
}

/// What takes a record; false if it is none.
pub type Sink<'a> = dyn FnMut(&[u8]) -> bool + 'a;

impl Framer {
    #[must_use]
    pub const fn new(format: Format) -> Self {
        Self::with_longest(format, RECORD_BYTES_MAX)
    }

    const fn with_longest(format: Format, longest: usize) -> Self {
        Self { format, longest, buffer: Vec::new(), seen: 0, quoted: false, state: State::Reading }
    }

    /// Takes the next bytes, hands out the records that are complete, and
    /// returns how many pieces were none.
    pub fn feed(&mut self, bytes: &[u8], check: &dyn Fn(), sink: &mut Sink<'_>) -> u64 {
        self.buffer.extend_from_slice(bytes);
        self.drop_lines(false);
        let mut skipped = self.records(check, sink);
        while self.buffer.len() > self.longest {
            check();
            skipped += 1;
            self.state = State::Dropping;
            self.drop_lines(false);
            skipped += self.records(check, sink);
        }
        skipped
    }

    /// The end of the log: the last record may lack its line end.
    pub fn finish(&mut self, check: &dyn Fn(), sink: &mut Sink<'_>) -> u64 {
        let mut skipped = 0;
        self.drop_lines(true);
        while !self.buffer.is_empty() {
            check();
            let rest = trimmed(&self.buffer);
            if rest.is_empty() || (!self.quoted && sink(rest)) {
                self.buffer.clear();
                break;
            }
            // Perhaps a quote was lost: each turn drops a line at least.
            skipped += 1;
            self.state = State::Dropping;
            self.drop_lines(true);
            skipped += self.records(check, sink);
        }
        skipped
    }

    /// Hands out the complete records of the buffer.
    fn records(&mut self, check: &dyn Fn(), sink: &mut Sink<'_>) -> u64 {
        if self.state != State::Reading {
            return 0;
        }
        let (mut start, mut skipped) = (0, 0);
        while let Some(line) = memchr(b'\n', &self.buffer[self.seen..]) {
            let end = self.seen + line + 1;
            self.look_through(end);
            if self.quoted {
                continue;
            }
            check();
            let record = trimmed(&self.buffer[start..end]);
            if record.is_empty() || (record.len() <= self.longest && sink(record)) {
                start = end;
                continue;
            }
            skipped += 1;
            // Perhaps the line only seemed to go on.
            start = next_start(self.format, &self.buffer[start..end]).map_or(end, |next| start + next);
            self.seen = start;
        }
        self.look_through(self.buffer.len());
        self.buffer.drain(..start);
        self.seen -= start;
        skipped
    }

    fn look_through(&mut self, end: usize) {
        if self.format == Format::Csv {
            self.quoted ^= memchr_iter(b'"', &self.buffer[self.seen..end]).count() % 2 == 1;
        }
        self.seen = end;
    }

    /// Drops lines up to the next one that begins like a record, if lines are
    /// to be dropped. Unless the buffer is the end of the log, a short line at
    /// its end may be one of which more is to come.
    fn drop_lines(&mut self, is_end: bool) {
        let mut start = 0;
        while self.state != State::Reading {
            let rest = &self.buffer[start..];
            if self.state == State::DroppingLines {
                if begins_record(self.format, rest) {
                    self.state = State::Reading;
                } else if rest.len() <= MOMENT_BYTES && !is_end {
                    break;
                } else {
                    self.state = State::Dropping;
                }
            } else if let Some(line) = memchr(b'\n', rest) {
                start += line + 1;
                self.state = State::DroppingLines;
            } else {
                start = self.buffer.len();
                break;
            }
        }
        if start > 0 || self.state != State::Reading {
            self.buffer.drain(..start);
            self.seen = 0;
            self.quoted = false;
        }
    }
}

/// Where the next line begins that may begin a record, after the first line.
fn next_start(format: Format, bytes: &[u8]) -> Option<usize> {
    memchr_iter(b'\n', bytes).map(|at| at + 1).find(|at| begins_record(format, &bytes[*at..]))
}

/// Whether a line looks like the first of a record.
fn begins_record(format: Format, line: &[u8]) -> bool {
    match format {
        Format::Json => line.first() == Some(&b'{'),
        Format::Csv => {
            let pattern = b"0000-00-00 00:00:00.000 ";
            line.len() > MOMENT_BYTES
                && line.iter().zip(pattern).all(|(byte, like)| match like {
                    b'0' => byte.is_ascii_digit(),
                    like => byte == like,
                })
        }
    }
}

/// Without its line end, and without the zeros that a crash leaves in a file.
fn trimmed(record: &[u8]) -> &[u8] {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    let record = record.strip_suffix(b"\r").unwrap_or(record);
    let zeros = record.iter().take_while(|byte| **byte == 0).count();
    &record[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a text in pieces; a record is good if it ends in `,ok`.
    fn run(format: Format, text: &str, piece: usize, longest: usize) -> (Vec<String>, u64) {
        let mut framer = Framer::with_longest(format, longest);
        let mut found = Vec::new();
        let mut sink = |record: &[u8]| {
            let text = String::from_utf8_lossy(record).into_owned();
            let good = text.ends_with(",ok") || text.ends_with('}');
            if good {
                found.push(text);
            }
            good
        };
        let mut skipped = 0;
        for part in text.as_bytes().chunks(piece.max(1)) {
            skipped += framer.feed(part, &|| (), &mut sink);
        }
        skipped += framer.finish(&|| (), &mut sink);
        (found, skipped)
    }

    const M: &str = "2026-01-02 03:04:05.678 UTC";

    fn check(text: &str, records: &[&str], skipped: u64) {
        for piece in [1, 2, 7, 30, 10_000] {
            let (found, left) = run(Format::Csv, text, piece, 1000);
            assert_eq!(found, records, "in pieces of {piece}: {text}");
            assert_eq!(left, skipped, "in pieces of {piece}: {text}");
        }
    }

    #[test]
    fn lines_inside_of_quotes_are_not_ends() {
        let one = format!("{M},\"a\nb \"\"{M},\n c\",ok");
        let two = format!("{M},2,ok");
        check(&format!("{one}\n{two}\n"), &[&one, &two], 0);
        check(&format!("{one}\r\n\n{two}"), &[&one, &two], 0);
    }

    #[test]
    fn reading_goes_on_after_what_is_none() {
        let one = format!("{M},1,ok");
        let two = format!("{M},\"2\n2\",ok");
        // The end of a record whose beginning is lost.
        check(&format!("of it\",x\n{one}\n{two}\n"), &[&one, &two], 1);
        // A record whose end is lost.
        check(&format!("{one}\n{M},\"cut\n{two}\n{one}\n"), &[&one, &two, &one], 1);
        check(&format!("{one}\n{M},\"cut"), &[&one], 1);
        check(&format!("{one}\nnoise\n\0\0\0{two}\n"), &[&one, &two], 1);
        check("", &[], 0);
        check("\n\n", &[], 0);
        check("noise", &[], 1);
    }

    #[test]
    fn what_is_too_long_is_skipped() {
        let one = format!("{M},1,ok");
        let long = format!("{M},\"{}\n{}\",ok", "x".repeat(3000), "y\n".repeat(2000));
        for piece in [1, 100, 10_000] {
            let (found, skipped) = run(Format::Csv, &format!("{one}\n{long}\n{one}\n"), piece, 1000);
            assert!(found.first() == Some(&one) && found.last() == Some(&one), "{piece}");
            assert!(skipped >= 1, "{piece}");
        }
        let text = format!("{{}}\n{}\n{{}}\n", "x".repeat(5000));
        for piece in [1, 100, 10_000] {
            assert_eq!(run(Format::Json, &text, piece, 1000), (vec!["{}".to_owned(), "{}".to_owned()], 1));
        }
    }
}
