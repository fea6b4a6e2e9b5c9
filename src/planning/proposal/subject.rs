//! One table with everything that is known of it.
//!
//! Here are sizes at the horizon and the spreads of columns. Not here: what
//! statements do (`traffic`); how a declared volume is divided among the tables
//! (`forecast`).
//! Invariant: sizes are finite and not negative.

use std::collections::BTreeMap;

use rayon::iter::IntoParallelIterator;
use rayon::iter::ParallelIterator;

use crate::model::name::QualifiedName;
use crate::model::profile::Column;
use crate::model::profile::ColumnStatistics;
use crate::model::profile::Profile;
use crate::model::profile::Table;
use crate::model::retention::RetentionPolicy;
use crate::model::retention::Span;
use crate::planning::forecast::Growth;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::edge::Scale;
use crate::planning::proposal::search::Interrupted;
use crate::planning::proposal::search::Stop;
use crate::planning::proposal::spread::Outside;
use crate::planning::proposal::spread::Spread;
use crate::planning::proposal::traffic::Traffic;

/// Rows and bytes of a table, now and at the horizon.
#[derive(Debug, Clone, PartialEq)]
pub struct Size {
    /// Rows at the horizon that are there now.
    pub rows_past: f64,
    /// Rows at the horizon.
    pub rows: f64,
    /// Heap, indexes and TOAST at the horizon, expected.
    pub bytes: f64,
    /// The same, not exceeded with 90 % confidence; equal to `bytes` if the
    /// volume was declared.
    pub bytes_p90: f64,
    /// Share of the bytes that a scan reads (all but the indexes).
    pub heap_share: f64,
    /// Whether the volume was declared instead of forecast.
    pub declared: bool,
}

impl Size {
    /// Bytes of an average row with its index entries.
    pub fn bytes_per_row(&self) -> f64 {
        if self.rows > 0.0 { self.bytes / self.rows } else { 0.0 }
    }

    fn of(table: &Table, growth: Option<&Growth>) -> Self {
        let total = table.total_bytes();
        let heap_share = if total > 0.0 { 1.0 - table.index_bytes / total } else { 1.0 };
        let positive = |value: f64| if value.is_finite() { value.max(0.0) } else { 0.0 };
        let now = growth.map_or(table.rows, |growth| growth.rows_now);
        let bytes_now = growth.map_or(total, |growth| growth.bytes_now);
        let rows = growth.and_then(|growth| growth.rows.last()).map_or(now, |point| point.value);
        let last = growth.and_then(|growth| growth.bytes.last());
        let bytes = positive(last.map_or(bytes_now, |point| point.value));
        let rows = positive(rows);
        let scale = growth.and_then(|growth| growth.scale).filter(|scale| scale.is_finite());
        let upper =
            if scale.is_some() { bytes } else { positive(last.map_or(bytes_now, |point| point.upper)) };
        Self {
            rows_past: positive(now * scale.unwrap_or(1.0)).min(rows),
            rows,
            bytes,
            bytes_p90: upper.max(bytes),
            heap_share,
            declared: scale.is_some(),
        }
    }
}

/// One table, its size, its growth, its columns and its traffic.
#[derive(Debug)]
pub struct Subject<'a> {
    pub name: QualifiedName,
    pub table: &'a Table,
    /// Of which the table is a part.
    pub profile: &'a Profile,
    pub growth: Option<&'a Growth>,
    /// What shard names begin with.
    pub stem: &'a str,
    pub size: Size,
    /// The moment from which the forecast looks ahead, microseconds.
    pub origin: i64,
    /// `origin` and the horizon.
    pub horizon_end: i64,
    /// Spreads of the columns that have one.
    pub spreads: BTreeMap<&'a str, Spread>,
    pub traffic: Traffic,
    /// The age at which a policy takes rows away.
    pub kept: Option<Span>,
    /// Rows inserted per second, from forecast or statements.
    pub inserted_per_second: f64,
}

impl<'a> Subject<'a> {
    /// Whether the column is the one whose values follow insertion.
    pub fn is_event_time(&self, column: &str) -> bool {
        self.growth.and_then(|growth| growth.event_time.as_ref()).is_some_and(|time| time.column == column)
    }

    /// Share of NULLs in a column.
    pub fn null_share(&self, column: &str) -> f64 {
        self.statistics(column).map_or(0.0, |found| found.null_fraction.clamp(0.0, 1.0))
    }

    /// Distinct values of a column at the horizon.
    pub fn distinct(&self, column: &str, unknown: f64) -> f64 {
        let found = self.statistics(column).map_or(0.0, |found| found.distinct_values(self.size.rows));
        let found = if found > 0.0 { found } else { unknown };
        found.min(self.size.rows).max(1.0)
    }

    pub fn statistics(&self, column: &str) -> Option<&'a ColumnStatistics> {
        self.table.column(column).and_then(|column| column.statistics.as_ref())
    }

    /// Whether the values of a time column run along with the present, so
    /// that rows to come lie ahead of it.
    pub fn follows_time(&self, column: &Column, follow_share: f64) -> bool {
        if self.is_event_time(&column.name) {
            return true;
        }
        let Some(spread) = self.spreads.get(column.name.as_str()) else { return false };
        let span = spread.last() - spread.first();
        column.type_name.key_type().is_time()
            && (self.origin as f64 - spread.last()).abs() <= span * follow_share
    }
}

/// The subjects asked for, sorted by name.
///
/// # Errors
/// [`Interrupted`] if `stop` said so.
pub fn subjects<'a>(
    input: &ProposalInput<'a>,
    stems: &'a BTreeMap<QualifiedName, String>,
    stop: Stop<'_>,
) -> Result<Vec<Subject<'a>>, Interrupted> {
    let mut tables: Vec<&Table> = input.profile.tables.iter().collect();
    tables.sort_by_key(|table| table.name());
    let asked_for: Vec<&Table> = tables
        .into_iter()
        .filter(|table| input.only.as_ref().is_none_or(|only| *only == table.name()))
        .collect();
    asked_for
        .into_par_iter()
        .map(|table| {
            if stop() {
                return Err(Interrupted);
            }
            Ok(subject(input, stems, table))
        })
        .collect()
}

fn subject<'a>(
    input: &ProposalInput<'a>,
    stems: &'a BTreeMap<QualifiedName, String>,
    table: &'a Table,
) -> Subject<'a> {
    let name = table.name();
    let growth = input.growth.get(&name);
    let size = Size::of(table, growth);
    let origin = growth.map(|growth| growth.origin).or_else(|| input.profile.captured_micros()).unwrap_or(0);
    let stem = stems.get(&name).map_or(table.table.as_str(), String::as_str);
    let horizon_seconds = input.horizon_micros as f64 / 1e6;
    let grown = if horizon_seconds > 0.0 { (size.rows - size.rows_past) / horizon_seconds } else { 0.0 };
    let mut subject = Subject {
        spreads: spreads(table, growth, input.constants.sentinel_gap),
        name,
        table,
        profile: input.profile,
        growth,
        stem,
        size,
        origin,
        horizon_end: origin.saturating_add(input.horizon_micros.max(0)),
        traffic: Traffic::default(),
        kept: kept(input, &table.name()),
        inserted_per_second: grown,
    };
    subject.traffic = Traffic::of(input, &subject);
    subject.inserted_per_second = subject.inserted_per_second.max(subject.traffic.inserted_per_second());
    subject
}

/// By the policy of the table, or else by that of the settings.
fn kept(input: &ProposalInput, name: &QualifiedName) -> Option<Span> {
    match input.retention.get(name) {
        Some(policy) => policy.kept(),
        None => RetentionPolicy::parse(&input.settings.retention_policy).ok()?.kept(),
    }
}

fn spreads<'a>(table: &'a Table, growth: Option<&'a Growth>, sentinel_gap: f64) -> BTreeMap<&'a str, Spread> {
    let event_time = growth.and_then(|growth| growth.event_time.as_ref());
    let mut spreads = BTreeMap::new();
    for column in &table.columns {
        let known = || column.statistics.as_ref().zip(Scale::of(column));
        let found = known().and_then(|(found, scale)| Spread::of_statistics(found, &scale));
        let is_time = column.type_name.key_type().is_time();
        let inside = found.clone().filter(|_| is_time).map(|found| found.without_sentinels(sentinel_gap));
        let spread = match event_time.filter(|time| time.column == column.name) {
            // A curve does not tell a value that many rows have from a stretch of time.
            Some(_) if inside.is_some() && inside != found => None,
            Some(time) => Spread::of_curve(&time.curve).and_then(|spread| match known() {
                // A curve has the moments alone.
                Some((found, scale)) => spread.beside(Outside::of_statistics(found, &scale)),
                None => Some(spread),
            }),
            None => None,
        };
        if let Some(found) = spread.or(inside).or(found) {
            spreads.insert(column.name.as_str(), found);
        }
    }
    spreads
}
