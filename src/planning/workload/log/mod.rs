//! The statements of a server log.
//!
//! ```text
//! bytes ─→ records (`frame`, `record`) ─→ what each says (`message`)
//!      ─→ statements with calls, time and sampled values (`collect`) ─→ Workload
//! ```
//!
//! The log is fed in pieces of any size; memory is bounded whatever it holds:
//! a record has at most [`frame::RECORD_BYTES_MAX`] bytes, and only the
//! weightiest statements are kept. What was left out is counted and said in the
//! note of the workload. The same log gives the same workload.

pub mod collect;
pub mod frame;
pub mod message;
pub mod record;
#[cfg(test)]
mod tests;
pub mod text;

use crate::model::profile::Workload;
use crate::planning::workload::log::collect::Collector;
use crate::planning::workload::log::frame::Framer;
use crate::planning::workload::log::record::Reader;

/// The formats of server logs that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Csv,
    Json,
}

impl Format {
    /// The format of a name of `log_destination`.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "csvlog" => Some(Self::Csv),
            "jsonlog" => Some(Self::Json),
            _ => None,
        }
    }

    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Csv => "csvlog",
            Self::Json => "jsonlog",
        }
    }
}

/// Reads the statements of one database from a log.
pub struct LogReader {
    framer: Framer,
    reader: Reader,
    collector: Collector,
    /// Records read, and pieces that were none.
    records: u64,
    skipped: u64,
}

impl LogReader {
    #[must_use]
    pub fn new(format: Format, database: &str) -> Self {
        Self {
            framer: Framer::new(format),
            reader: Reader::new(format),
            collector: Collector::new(database),
            records: 0,
            skipped: 0,
        }
    }

    /// Takes the next piece of the log; `check` is called now and then and may
    /// not return.
    pub fn feed(&mut self, bytes: &[u8], check: &dyn Fn()) {
        let Self { framer, reader, collector, records, skipped } = self;
        *skipped += framer.feed(bytes, check, &mut |piece| take(reader, collector, records, piece));
    }

    /// The end of the log: the last record may lack its end.
    pub fn finish(&mut self, check: &dyn Fn()) {
        let Self { framer, reader, collector, records, skipped } = self;
        *skipped += framer.finish(check, &mut |piece| take(reader, collector, records, piece));
    }

    /// Records read so far.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Executions of statements read so far.
    #[must_use]
    pub const fn executions(&self) -> u64 {
        self.collector.executions()
    }

    /// The statements.
    #[must_use]
    pub fn workload(self) -> Workload {
        let mut workload = self.collector.workload();
        if self.skipped > 0 {
            let pieces = format!("{} pieces of the file are no records of a log", self.skipped);
            workload.note = Some(workload.note.map_or(pieces.clone(), |note| format!("{note}; {pieces}")));
        }
        workload
    }
}

/// Takes one record; false if it is none.
fn take(reader: &mut Reader, collector: &mut Collector, records: &mut u64, piece: &[u8]) -> bool {
    let Some(record) = reader.read(piece) else { return false };
    *records += 1;
    collector.take(&record);
    true
}
