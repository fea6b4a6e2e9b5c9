//! Rows that a layout without a DEFAULT shard has no place for: the COPY of a
//! restore would stop at the first of them.
//!
//! PostgreSQL's own order and equality of the key's type say which values lie
//! outside. What is known of a column is what statistics have of a sample: a
//! value of it that has no place is an error, none of them is no proof.

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::relations::Asked;
use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::finding::Finding;
use crate::model::finding::Severity;
use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::profile::Table;
use crate::pg::key_value::ReadValue;
use crate::planning::proposal::null_without_place;
use crate::planning::proposal::without_place;

const REMEDY: &str = "Propose with a DEFAULT shard, or with bounds that take all rows; \
                      or take those rows away before the dump is made.";

const NO_DEFAULT: &str = "there is no DEFAULT shard, so the restore would stop at";

/// Values that are named in a message.
const NAMED_MAX: usize = 3;

/// Finds what a layout has no place for. `table` is what is known of the table,
/// `may_be_null` what the dump says of its columns.
pub fn findings(
    name: &QualifiedName,
    layout: &Layout,
    table: Option<&Table>,
    may_be_null: impl Fn(&str) -> bool,
) -> Result<Vec<Finding>, ErrorReport> {
    let mut found = Vec::new();
    let mut add = |is_known, problem| {
        let severity = if is_known { Severity::Error } else { Severity::Warning };
        found.push(Finding::new(severity, name.to_string(), problem, REMEDY));
    };
    if let Some(rows) = without_place(layout) {
        let (is_known, said) = match seen(layout, table)? {
            None => (false, "no value of it is known here".to_owned()),
            Some(seen) if seen.outside.is_empty() => (
                false,
                format!("none is known: the sampled ones go from {} to {}", seen.lowest, seen.highest),
            ),
            Some(seen) => (true, format!("such values are known: {}", seen.named())),
        };
        add(is_known, format!("{NO_DEFAULT} rows {rows}; {said}"));
    }
    for column in null_without_place(layout).iter().filter(|column| may_be_null(column)) {
        let share =
            table.and_then(|table| table.column(column)?.statistics.as_ref()).map(|s| s.null_fraction);
        let said = match share {
            None => "nothing of its values is known here".to_owned(),
            Some(share) if share > 0.0 => format!("of a sample there are {:.1} %", share * 100.0),
            Some(_) => "there was none in a sample".to_owned(),
        };
        add(
            share.is_some_and(|share| share > 0.0),
            format!("{NO_DEFAULT} rows whose {} is NULL; {said}", quote_identifier(column)),
        );
    }
    Ok(found)
}

/// What is known of the values of the first key column.
struct Seen {
    lowest: String,
    highest: String,
    /// Without a place, in their order.
    outside: Vec<String>,
}

impl Seen {
    fn named(&self) -> String {
        let more = self.outside.len().saturating_sub(NAMED_MAX);
        let mut named = self.outside[..self.outside.len() - more].join(", ");
        if more > 0 {
            named.push_str(&format!(" and {more} more in a sample"));
        }
        named
    }
}

/// None if no value is known, or PostgreSQL cannot be asked about them.
fn seen(layout: &Layout, table: Option<&Table>) -> Result<Option<Seen>, ErrorReport> {
    let column = |table: &Table| table.column(layout.first_key().first()?).cloned();
    let Some((table, column)) = table.and_then(|table| Some((table, column(table)?))) else {
        return Ok(None);
    };
    let Some(statistics) = &column.statistics else { return Ok(None) };
    let Some(asked) = Asked::of(table, &column)? else { return Ok(None) };
    let places = Places::of(layout);
    let mut values = places.values.clone();
    values.extend(
        statistics.histogram.iter().chain(&statistics.common_values).map(|value| Some(value.as_str())),
    );
    let Ok(read) = asked.read(&values) else { return Ok(None) };
    let (bounds, sampled) = read.split_at(places.values.len());
    let ranks: Vec<usize> = bounds.iter().map(|value| value.rank).collect();
    let mut sampled: Vec<_> = sampled.iter().collect();
    sampled.sort_by_key(|value| value.rank);
    sampled.dedup_by_key(|value| value.rank);
    let text = |at: Option<&&ReadValue>| at.and_then(|value| value.text.clone());
    let (Some(lowest), Some(highest)) = (text(sampled.first()), text(sampled.last())) else {
        return Ok(None);
    };
    let outside = sampled.iter().filter(|value| !places.have(value.rank, &ranks));
    let outside = outside.filter_map(|value| value.text.clone()).collect();
    Ok(Some(Seen { lowest, highest, outside }))
}

/// Where values of the first key column go, by the places of bounds in a list.
struct Places<'a> {
    values: Vec<Option<&'a str>>,
    /// Lower and upper end of ranges, none = open.
    ranges: Vec<(Option<usize>, Option<usize>)>,
    listed: Vec<usize>,
    /// Further columns say whether the upper end itself has a place.
    several: bool,
}

impl<'a> Places<'a> {
    fn of(layout: &'a Layout) -> Self {
        let several = layout.first_key().len() > 1;
        let mut places = Self { values: Vec::new(), ranges: Vec::new(), listed: Vec::new(), several };
        for part in layout.first_level() {
            match part.bound {
                Bound::Range { lower, upper } => {
                    let ends = (places.end(lower.first()), places.end(upper.first()));
                    places.ranges.push(ends);
                }
                Bound::List { values } => {
                    for value in values.iter().flatten() {
                        places.listed.push(places.values.len());
                        places.values.push(Some(value));
                    }
                }
                _ => {}
            }
        }
        places
    }

    fn end(&mut self, end: Option<&'a RangeDatum>) -> Option<usize> {
        let Some(RangeDatum::Value(value)) = end else { return None };
        self.values.push(Some(value));
        Some(self.values.len() - 1)
    }

    /// Whether a value of that rank has a place; `ranks` are those of the bounds.
    fn have(&self, rank: usize, ranks: &[usize]) -> bool {
        let in_range = |(lower, upper): &(Option<usize>, Option<usize>)| {
            lower.is_none_or(|at| ranks[at] <= rank)
                && upper.is_none_or(|at| rank < ranks[at] || self.several && rank == ranks[at])
        };
        self.ranges.iter().any(in_range) || self.listed.iter().any(|at| ranks[*at] == rank)
    }
}
