//! The books of tables: sizes and counters as they are read, and what
//! happened between two looks.
//!
//! ```text
//! look (leaves now) ─┐
//! state (leaves then) ─┴─→ leaf: what each one counted ─→ book: entries of tables and shards
//! ```
//!
//! The server's counters only mean something as differences: a reset, a crash
//! or a promotion sets them back. A [`Book`] adds the differences up, so that
//! readings can be thinned without losing a row. What is no growth is counted
//! apart: rows that came in by a load or with an attached partition, and rows
//! that went with a drop or a TRUNCATE. Where data only moved from some leaves
//! to others, neither is counted.
//!
//! Invariant: a book's counts never fall, and never say more than what
//! happened: what was counted before a reset and not read is lost, and where
//! it cannot be told whether a counter began anew, the smaller number is taken.

mod book;
mod leaf;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use crate::model::name::QualifiedName;

pub use crate::planning::forecast::ledger::book::advance;
pub use crate::planning::forecast::ledger::book::unknown;

/// The run of a server that counted: counters of another one are no
/// continuation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Changes when a standby is promoted or an archive recovered.
    pub timeline: String,
    /// When its shared memory was made: at its start, and after a crash.
    pub started: i64,
    /// Since when all of its counters count: a crash discards them, a clean
    /// restart keeps them.
    #[serde(default)]
    pub counts_since: Option<i64>,
    /// When counters of this database were last set to zero.
    pub reset: Option<i64>,
}

/// Bytes of a leaf.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "(f64, f64, f64)", into = "(f64, f64, f64)")]
pub struct Bytes {
    pub heap: f64,
    pub index: f64,
    pub toast: f64,
}

impl From<(f64, f64, f64)> for Bytes {
    fn from((heap, index, toast): (f64, f64, f64)) -> Self {
        Self { heap, index, toast }
    }
}

impl From<Bytes> for (f64, f64, f64) {
    fn from(bytes: Bytes) -> Self {
        (bytes.heap, bytes.index, bytes.toast)
    }
}

impl Bytes {
    #[must_use]
    pub fn total(&self) -> f64 {
        self.heap + self.index + self.toast
    }

    fn add(&mut self, other: &Self) {
        self.heap += other.heap;
        self.index += other.index;
        self.toast += other.toast;
    }
}

/// Rows inserted, updated and deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "(f64, f64, f64)", into = "(f64, f64, f64)")]
pub struct Counted {
    pub inserted: f64,
    pub updated: f64,
    pub deleted: f64,
}

impl From<(f64, f64, f64)> for Counted {
    fn from((inserted, updated, deleted): (f64, f64, f64)) -> Self {
        Self { inserted, updated, deleted }
    }
}

impl From<Counted> for (f64, f64, f64) {
    fn from(counted: Counted) -> Self {
        (counted.inserted, counted.updated, counted.deleted)
    }
}

impl Counted {
    fn add(&mut self, other: &Self) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.deleted += other.deleted;
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            inserted: self.inserted - before.inserted,
            updated: self.updated - before.updated,
            deleted: self.deleted - before.deleted,
        }
    }

    fn any(&self) -> bool {
        self.inserted > 0.0 || self.updated > 0.0 || self.deleted > 0.0
    }

    fn fell(&self, before: &Self) -> bool {
        let change = self.since(before);
        change.inserted < 0.0 || change.updated < 0.0 || change.deleted < 0.0
    }
}

/// A relation that holds rows itself, as it is now: an ordinary table, or a
/// partition that has none of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    pub oid: u32,
    pub name: QualifiedName,
    /// The partitioned table that it belongs to.
    pub root: Option<QualifiedName>,
    /// Changes with TRUNCATE and whatever else writes all of it anew.
    pub filenode: u32,
    /// `n_live_tup`, which begins at zero with the counters until VACUUM or
    /// ANALYZE find out.
    pub live: f64,
    /// Whether they did since the counters began.
    pub maintained: bool,
    /// `reltuples`; below zero if unknown.
    pub estimated: f64,
    /// None while somebody has it locked.
    pub bytes: Option<Bytes>,
    pub counted: Counted,
}

/// All leaves at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Look {
    /// Microseconds since 1970-01-01 UTC.
    pub at: i64,
    pub server: Server,
    pub leaves: Vec<Leaf>,
    /// Rows that the restore hook ever saw loaded into a table.
    pub restored: BTreeMap<QualifiedName, f64>,
}

type KnownRow = (u32, String, String, Option<(String, String)>, u32, f64, f64, bool, Bytes, Counted);

/// A leaf as it was at the last look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "KnownRow", into = "KnownRow")]
pub struct Known {
    oid: u32,
    name: QualifiedName,
    root: Option<QualifiedName>,
    filenode: u32,
    rows: f64,
    /// Rows that were there when its counters began.
    base: f64,
    maintained: bool,
    bytes: Bytes,
    counted: Counted,
}

impl From<KnownRow> for Known {
    fn from((oid, schema, name, root, filenode, rows, base, maintained, bytes, counted): KnownRow) -> Self {
        let root = root.map(|(schema, name)| QualifiedName { schema, name });
        let name = QualifiedName { schema, name };
        Self { oid, name, root, filenode, rows, base, maintained, bytes, counted }
    }
}

impl From<Known> for KnownRow {
    fn from(known: Known) -> Self {
        let root = known.root.map(|root| (root.schema, root.name));
        let QualifiedName { schema, name } = known.name;
        let Known { oid, filenode, rows, base, maintained, bytes, counted, .. } = known;
        (oid, schema, name, root, filenode, rows, base, maintained, bytes, counted)
    }
}

/// What came and went since the history of a name began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Book {
    /// Without loads; rows of statements that failed count too.
    pub counted: Counted,
    /// Rows that came in by loads and with attached partitions.
    pub loaded: f64,
    /// Rows that went with drops, TRUNCATE and detached partitions.
    pub dropped: f64,
    /// By how many bytes these and rewrites changed the size.
    pub event_bytes: f64,
    /// What the restore hook had seen.
    #[serde(default)]
    restored: f64,
    /// Size at the last look.
    #[serde(default)]
    rows: f64,
    #[serde(default)]
    bytes: Bytes,
    /// The moment of the last entry; none = there is none yet.
    #[serde(default)]
    written: Option<i64>,
}

/// Everything that was known after a look.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    at: i64,
    server: Server,
    leaves: Vec<Known>,
    books: Vec<(QualifiedName, Book)>,
}

impl State {
    /// Names that have a book.
    #[must_use]
    pub fn len(&self) -> usize {
        self.books.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.books.is_empty()
    }
}

/// A line of the history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    #[serde(rename = "schema_name")]
    pub schema: String,
    #[serde(rename = "table_name")]
    pub table: String,
    /// Microseconds since 1970-01-01 UTC.
    pub at: i64,
    pub rows: f64,
    pub bytes: f64,
    pub heap_bytes: f64,
    pub index_bytes: f64,
    pub toast_bytes: f64,
    pub inserted: f64,
    pub updated: f64,
    pub deleted: f64,
    pub loaded: f64,
    pub dropped: f64,
    pub event_bytes: f64,
    /// What happened since the entry before; words joined by commas.
    pub event: Option<String>,
}

/// What a look led to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Advance {
    pub state: State,
    /// Entries to write.
    pub entries: Vec<Entry>,
    /// Dropped shards, whose own history nobody needs any more: that of their
    /// table has it.
    pub forgotten: Vec<QualifiedName>,
}
