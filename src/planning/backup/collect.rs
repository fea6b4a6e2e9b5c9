//! Rows of a dump, counted and sampled table by table.
//!
//! Rows of a partition are rows of its root. A table's sample is worked up and
//! given back as soon as its rows are through, so that memory does not grow
//! with the number of tables; of partitioned tables several may be open.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::model::dump::ColumnType;
use crate::model::key::KeyType;
use crate::model::key::KeyValue;
use crate::model::name::QualifiedName;
use crate::model::profile::ColumnStatistics;

use super::draft::Draft;
use super::order::Order;
use super::order::rank;
use super::reservoir::Kept;
use super::reservoir::Reservoir;
use super::row::Row;
use super::row::VALUE_BYTES_MAX;
use super::size::Pages;
use super::size::TableSize;
use super::statistics;
use super::statistics::ColumnSample;
use super::statistics::SAMPLE_ROWS;

/// Memory for the sample of one table, and for all that are open.
const TABLE_BYTES_MAX: usize = 64 << 20;
const OPEN_BYTES_MAX: usize = 192 << 20;

/// Text counts as too wide above this, with its header, as in ANALYZE.
const WIDE_BYTES: u64 = VALUE_BYTES_MAX as u64 - 4;

/// What the server does for a sample.
pub trait Server {
    /// Ranks different values by the comparison of a type of `pg_catalog`:
    /// equal ones equally, from 0 and dense; none if it cannot.
    fn rank(&mut self, type_name: &str, values: &[&[u8]]) -> Option<Vec<u32>>;
    /// A value of the dump as text; none if it is not in the dump's encoding.
    fn text(&mut self, value: &[u8]) -> Option<String>;
    /// Called often: ends the work if it is to be ended.
    fn check(&mut self);
}

/// What was found out about the rows of a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    pub rows: f64,
    pub size: TableSize,
    /// By column; with values, as far as the type lets them travel.
    pub columns: Vec<Option<ColumnStatistics>>,
}

#[derive(Debug)]
struct Sample {
    reservoir: Reservoir,
    /// Tables whose rows are still to come.
    expected: BTreeSet<QualifiedName>,
    /// Columns of which the dump has values.
    present: Vec<bool>,
    /// Rows, each as often as its fill factor makes it take room.
    filled: f64,
    /// Rows of the parts so far.
    parts: u64,
}

/// Whose rows come now: the places of the dump's columns in the table.
#[derive(Debug)]
struct Current {
    relation: QualifiedName,
    root: QualifiedName,
    columns: Vec<Option<usize>>,
    width: usize,
}

/// Counts and samples the rows of all tables.
#[derive(Debug, Default)]
pub struct Collector {
    open: BTreeMap<QualifiedName, Sample>,
    closed: BTreeMap<QualifiedName, Facts>,
    current: Option<Current>,
    /// Sample of the current table, or none of its rows is looked at.
    sample: Option<Sample>,
    packed: Vec<u8>,
    unknown: BTreeSet<QualifiedName>,
    /// The table without a definition whose rows would come now.
    undefined: Option<QualifiedName>,
    damaged: BTreeSet<QualifiedName>,
    values_left_out: BTreeSet<QualifiedName>,
    /// Rows of the current table, if it is closed already.
    more: u64,
}

impl Collector {
    /// Rows of a table begin; its columns in the dump's order, none = all.
    pub fn begin(&mut self, draft: &Draft, relation: &QualifiedName, columns: &[String]) {
        let root = draft.root(relation);
        let Some(table) = draft.tables.get(&root) else {
            self.undefined = Some(relation.clone());
            self.current = None;
            return;
        };
        let own = draft.tables.get(relation).unwrap_or(table);
        // Columns of a partition may be in an order of their own.
        let names: Vec<&str> = if columns.is_empty() {
            let given = own.defined.columns.iter();
            given.map(|column| column.name.as_str()).collect()
        } else {
            columns.iter().map(String::as_str).collect()
        };
        let place = |name: &&str| table.defined.columns.iter().position(|column| column.name == **name);
        let width = table.defined.columns.len();
        let current = Current {
            relation: relation.clone(),
            root: root.clone(),
            columns: names.iter().map(place).collect(),
            width,
        };
        (self.more, self.undefined) = (0, None);
        self.sample = match self.open.remove(&root) {
            Some(sample) => Some(sample),
            None if self.closed.contains_key(&root) => None,
            None => Some(Sample {
                reservoir: Reservoir::new(SAMPLE_ROWS, seed(&root)),
                expected: draft.leaves(&root),
                present: vec![false; width],
                filled: 0.0,
                parts: 0,
            }),
        };
        if let Some(sample) = &mut self.sample {
            for at in current.columns.iter().flatten() {
                // DEFAULT stands for a generated value in INSERT.
                sample.present[*at] = !table.defined.columns[*at].generated;
            }
        }
        self.current = Some(current);
        self.keep_open_samples_small();
    }

    fn keep_open_samples_small(&mut self) {
        while self.open.values().map(|sample| sample.reservoir.bytes()).sum::<usize>() > OPEN_BYTES_MAX {
            let largest = self.open.values_mut().max_by_key(|sample| sample.reservoir.bytes());
            let Some(largest) = largest else { return };
            largest.reservoir.shrink(largest.reservoir.bytes() / 2);
        }
    }

    /// Whether rows of this table come now.
    #[must_use]
    pub fn is_at(&self, relation: &QualifiedName) -> bool {
        self.current.as_ref().is_some_and(|current| current.relation == *relation)
    }

    /// A row begins; whether it is wanted.
    pub fn wants_row(&mut self) -> bool {
        match &mut self.sample {
            Some(sample) => sample.reservoir.wants(),
            None => {
                self.more += 1;
                self.unknown.extend(self.undefined.take());
                false
            }
        }
    }

    /// Takes in a row that was wanted.
    pub fn row(&mut self, row: &Row) {
        let (Some(current), Some(sample)) = (&self.current, &mut self.sample) else { return };
        if row.fields().len() != current.columns.len()
            && !(current.columns.is_empty() && row.fields().iter().all(|field| field.length == 0))
        {
            self.damaged.insert(current.relation.clone());
            return;
        }
        let mut fields = vec![None; current.width];
        for (field, place) in row.fields().iter().zip(&current.columns) {
            if let Some(place) = place {
                fields[*place] = (!field.null).then_some(field);
            }
        }
        self.packed.clear();
        for field in fields {
            let Some(field) = field else {
                self.packed.extend(NULL.to_ne_bytes());
                continue;
            };
            let length = u32::try_from(field.length).unwrap_or(NULL - 1).min(NULL - 1);
            self.packed.extend(length.to_ne_bytes());
            // Of a wide value its length alone matters.
            if field.length <= WIDE_BYTES {
                self.packed.extend(&field.bytes);
            }
        }
        sample.reservoir.keep(self.packed.as_slice().into());
        if sample.reservoir.bytes() > TABLE_BYTES_MAX {
            sample.reservoir.shrink(TABLE_BYTES_MAX / 2);
        }
    }

    /// The rows of the current table end; works its sample up if no more of
    /// its rows are to come.
    pub fn end(&mut self, draft: &Draft, server: &mut impl Server) {
        let Some(current) = self.current.take() else { return };
        let Some(mut sample) = self.sample.take() else {
            if let Some(facts) = self.closed.get_mut(&current.root) {
                // A second part of a table: a dump of pg_dump has none.
                facts.rows += self.more as f64;
            }
            return;
        };
        // A partitioned table that is loaded through its root is there in parts,
        // of which nobody knows the last.
        sample.expected.remove(&current.relation);
        // Each partition has a fill factor of its own.
        let fillfactor = draft.tables.get(&current.relation).and_then(|table| table.defined.fillfactor);
        let rows = sample.reservoir.seen() - sample.parts;
        sample.parts += rows;
        sample.filled += rows as f64 * 100.0 / fillfactor.unwrap_or(100.0).clamp(10.0, 100.0);
        if sample.expected.is_empty() {
            self.close(draft, &current.root, sample, server);
        } else {
            self.open.insert(current.root, sample);
        }
    }

    /// Works up what is still open, and gives everything back.
    pub fn finish(mut self, draft: &Draft, server: &mut impl Server) -> Collected {
        self.end(draft, server);
        for (root, sample) in std::mem::take(&mut self.open) {
            self.close(draft, &root, sample, server);
        }
        Collected {
            facts: self.closed,
            unknown: self.unknown,
            damaged: self.damaged,
            values_left_out: self.values_left_out,
        }
    }

    fn close(&mut self, draft: &Draft, root: &QualifiedName, sample: Sample, server: &mut impl Server) {
        let Some(table) = draft.tables.get(root) else { return };
        let total = sample.reservoir.seen() as f64;
        let fillfactor = (sample.filled > total).then(|| 100.0 * total / sample.filled);
        let rows = sample.reservoir.into_rows();
        let columns = &table.defined.columns;
        let storage = columns.iter().map(|column| draft.storage(&column.kind)).collect();
        let mut pages = Pages::new(storage, fillfactor);
        let widths = fill(&mut pages, &rows, &sample.present);
        let mut facts = Facts { rows: total, size: pages.size(total), columns: Vec::new() };
        let mut offsets = vec![0; rows.len()];
        for (at, column) in columns.iter().enumerate() {
            server.check();
            let values = take_column(&rows, &mut offsets, widths[at]);
            let statistics = sample.present[at]
                .then(|| column_statistics(draft, &column.kind, values, total, server))
                .flatten();
            let Some((statistics, whole)) = statistics else {
                facts.columns.push(None);
                continue;
            };
            if !whole {
                self.values_left_out.insert(root.clone());
            }
            facts.columns.push(Some(statistics));
        }
        self.closed.insert(root.clone(), facts);
    }
}

/// What came of all rows.
#[derive(Debug, Default)]
pub struct Collected {
    pub facts: BTreeMap<QualifiedName, Facts>,
    /// Tables with rows and without a definition.
    pub unknown: BTreeSet<QualifiedName>,
    /// Tables with rows that do not have their columns.
    pub damaged: BTreeSet<QualifiedName>,
    /// Tables with values that are not in the dump's encoding.
    pub values_left_out: BTreeSet<QualifiedName>,
}

const NULL: u32 = u32::MAX;

/// The same table has the same sample: FNV-1a of its name.
fn seed(name: &QualifiedName) -> u64 {
    name.to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The value at an offset of a packed row: its length and what is kept of it;
/// none = null.
fn value_at<'a>(row: &'a [u8], offset: &mut usize) -> Option<(u64, &'a [u8])> {
    let end = *offset + size_of::<u32>();
    let length =
        row.get(*offset..end).and_then(|bytes| bytes.try_into().ok()).map_or(NULL, u32::from_ne_bytes);
    *offset = end;
    if length == NULL {
        return None;
    }
    let length = u64::from(length);
    let kept = if length <= WIDE_BYTES { length as usize } else { 0 };
    *offset += kept;
    Some((length, row.get(end..end + kept).unwrap_or_default()))
}

/// Fills pages with the rows; returns the mean width of each column, as it is
/// stored.
fn fill(pages: &mut Pages, rows: &[Kept], present: &[bool]) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); present.len()];
    let mut sizes = Vec::new();
    for kept in rows {
        let mut offset = 0;
        sizes.clear();
        for (at, present) in present.iter().enumerate() {
            let value = value_at(&kept.row, &mut offset);
            let size = value.map(|(length, text)| pages.value_bytes(at, length, text));
            // A generated value is not in the dump; it takes room nevertheless.
            sizes.push(size.or_else(|| (!present).then(|| pages.value_bytes(at, 8, b""))));
        }
        pages.add(&mut sizes);
        for (sum, size) in sums.iter_mut().zip(&sizes) {
            if let Some(size) = size {
                *sum = (sum.0 + *size as f64, sum.1 + 1.0);
            }
        }
    }
    let mean = |(at, (sum, count)): (usize, (f64, f64))| {
        if count > 0.0 { sum / count } else { pages.fixed_bytes(at) as f64 }
    };
    sums.into_iter().enumerate().map(mean).collect()
}

/// The values of one column, in the order of the rows.
struct Values<'a> {
    sample: ColumnSample,
    texts: Vec<&'a [u8]>,
}

fn take_column<'a>(rows: &'a [Kept], offsets: &mut [usize], width: f64) -> Values<'a> {
    let mut values = Values {
        sample: ColumnSample { rows: rows.len(), width: width.round(), ..ColumnSample::default() },
        texts: Vec::new(),
    };
    for (kept, offset) in rows.iter().zip(offsets) {
        match value_at(&kept.row, offset) {
            None => values.sample.nulls += 1,
            Some((length, _)) if length > WIDE_BYTES => values.sample.wide += 1,
            Some((_, text)) => values.texts.push(text),
        }
    }
    values
}

/// The statistics of a column, and whether all its values could be read.
fn column_statistics(
    draft: &Draft,
    kind: &ColumnType,
    values: Values<'_>,
    total: f64,
    server: &mut impl Server,
) -> Option<(ColumnStatistics, bool)> {
    let facts = draft.facts(kind);
    let Values { mut sample, texts } = values;
    let (order, type_name) = draft.order(kind);
    let ranked = rank(&texts, &order, |distinct| server.rank(type_name.as_deref()?, distinct));
    sample.ranks = ranked.ranks;
    sample.ordered = ranked.ordered;
    let mut found = statistics::find(&sample, total)?;
    if !facts.orderable && !facts.hashable && order == Order::None {
        // Values that cannot be compared are not counted: 0 = unknown.
        found.statistics.distinct = 0.0;
        found.statistics.common_fractions.clear();
        return Some((found.statistics, true));
    }
    if !draft.may_travel(&kind.name) {
        return Some((found.statistics, true));
    }
    let key = kind.name.key_type();
    let mut write = |ranks: &[u32]| -> Option<Vec<String>> {
        ranks.iter().map(|rank| Some(in_utc(key, server.text(ranked.values[*rank as usize])?))).collect()
    };
    let common = write(&found.common);
    let histogram = if key == KeyType::Text { Some(Vec::new()) } else { write(&found.histogram) };
    let whole = common.is_some() && histogram.is_some();
    if let (Some(common), Some(histogram)) = (common, histogram) {
        (found.statistics.common_values, found.statistics.histogram) = (common, histogram);
    }
    Some((found.statistics, whole))
}

/// A dump has moments in the time zone of whoever made it, a profile in UTC.
fn in_utc(key: KeyType, text: String) -> String {
    if key != KeyType::TimestampTz {
        return text;
    }
    let Some(KeyValue::Micros(micros)) = key.read(&text) else { return text };
    let Some(written) = key.write_moment(micros) else { return text };
    // PostgreSQL writes no zeros at the end of a fraction.
    match written.strip_suffix("+00").and_then(|moment| moment.split_once('.')) {
        Some((seconds, fraction)) => format!("{seconds}.{}+00", fraction.trim_end_matches('0')),
        None => written,
    }
}
