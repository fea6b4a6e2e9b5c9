//! Ranges of two columns: values of the first one that many rows have are
//! divided by the second one, the others lie in ranges of the first alone.
//!
//! Not here: whether that is worth a second column; cost decides. Invariant:
//! the ranges are ascending and cover all values of the first column, from
//! `MINVALUE` to `MAXVALUE`; a value that is divided shares no range with
//! another one, unless no rows lie between them.

use crate::model::name::quote_identifier;
use crate::model::profile::Column;
use crate::model::profile::ColumnStatistics;
use crate::planning::proposal::constants::CostConstants;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::division::span::Corner;
use crate::planning::proposal::division::span::Span;
use crate::planning::proposal::edge::Edge;
use crate::planning::proposal::edge::Scale;
use crate::planning::proposal::list;
use crate::planning::proposal::range::along::Along;
use crate::planning::proposal::range::quantile;
use crate::planning::proposal::spread::Spread;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::unknown;

/// Shares of the target size of a shard that are tried.
const FINENESS: [f64; 3] = [1.0, 2.0, 0.5];

/// The ways to divide heavy values of `first` by `second`, at most `limit`
/// shards: as fine as the size wants first.
///
/// # Errors
/// The reason why there is none, a full sentence.
pub fn divisions(
    subject: &Subject,
    first: &Column,
    second: &Column,
    limit: usize,
    constants: &CostConstants,
) -> Result<Vec<Division>, String> {
    let (shown, other) = (quote_identifier(&first.name), quote_identifier(&second.name));
    let heavy = list::heavy(subject, first, constants);
    if heavy.is_empty() {
        return Err(format!("No value of {shown} has many rows."));
    }
    for column in [first, second] {
        if Scale::of(column).is_none() {
            let shown = quote_identifier(&column.name);
            return Err(format!("The order of {shown} is known to PostgreSQL alone."));
        }
        if !subject.spreads.contains_key(column.name.as_str()) {
            return Err(unknown::values(subject, column));
        }
    }
    let cutter = Cutter { subject, first, second, heavy, constants };
    let mut found: Vec<Division> = Vec::new();
    for fineness in FINENESS {
        let division = cutter.divide(constants.shard_bytes_target * fineness);
        let fitting = division.filter(|one| one.shard_count() <= limit && !found.contains(one));
        found.extend(fitting);
    }
    if found.is_empty() {
        return Err(format!(
            "The heavy values of {shown} are not divided by {other} into two ranges within the limit of {limit}."
        ));
    }
    Ok(found)
}

struct Cutter<'a> {
    subject: &'a Subject<'a>,
    first: &'a Column,
    second: &'a Column,
    /// Values that many rows have, with their shares.
    heavy: Vec<(String, f64)>,
    constants: &'a CostConstants,
}

impl Cutter<'_> {
    /// Ranges of about that many bytes; none if no value is to be divided.
    fn divide(&self, target: f64) -> Option<Division> {
        let bytes = self.subject.size.bytes_p90;
        let mut corners: Vec<Corner> = Vec::new();
        let mut divided: Vec<&String> = Vec::new();
        for (value, share) in &self.heavy {
            let parts = (bytes * share / target).ceil().clamp(1.0, 1024.0) as usize;
            let inner = self.inner(parts);
            if inner.is_empty() {
                continue;
            }
            let edge = self.value(value)?;
            let corner = |second: Edge| Corner { first: edge.clone(), second };
            corners.push(corner(Edge::Lowest));
            corners.extend(inner.into_iter().map(corner));
            corners.push(corner(Edge::Highest));
            divided.push(value);
        }
        if divided.is_empty() {
            return None;
        }
        corners.extend(self.between(&divided, bytes, target));
        self.spanned(corners)
    }

    /// Edges of the second column that make so many parts of equal rows at the
    /// horizon; none if there are not two.
    fn inner(&self, parts: usize) -> Vec<Edge> {
        let along = Along::of(self.subject, self.second, self.constants);
        let mut edges: Vec<Edge> = Vec::new();
        for at in 1..parts {
            let edge = along.quantile(at as f64 / parts as f64);
            let edge = edge.and_then(|position| quantile::nearby(self.second, position));
            edges.extend(
                edge.filter(|edge| edges.last().is_none_or(|last| last.position() < edge.position())),
            );
        }
        edges
    }

    /// Corners between the other values, so many that they make ranges of
    /// about `target` bytes.
    fn between(&self, divided: &[&String], bytes: f64, target: f64) -> Vec<Corner> {
        let Some(statistics) = &self.first.statistics else { return Vec::new() };
        let Some(scale) = Scale::of(self.first) else { return Vec::new() };
        let shares = || statistics.common_values.iter().zip(&statistics.common_fractions);
        let (others, apart): (Vec<_>, Vec<_>) = shares().partition(|value| !divided.contains(&value.0));
        let rest = ColumnStatistics {
            common_values: others.iter().map(|value| value.0.clone()).collect(),
            common_fractions: others.iter().map(|value| *value.1).collect(),
            null_fraction: (statistics.null_fraction + apart.iter().map(|value| value.1).sum::<f64>())
                .clamp(0.0, 1.0),
            ..statistics.clone()
        };
        let Some(spread) = Spread::of_statistics(&rest, &scale) else { return Vec::new() };
        let count = (bytes * (1.0 - rest.null_fraction) / target).ceil().clamp(1.0, 1024.0) as usize;
        let edge = |at: usize| quantile::nearby(self.first, spread.quantile(at as f64 / count as f64));
        (1..count).filter_map(edge).map(|first| Corner { first, second: Edge::Lowest }).collect()
    }

    fn value(&self, text: &str) -> Option<Edge> {
        match self.first.type_name.key_type().read(text) {
            Some(value) if quantile::nearby(self.first, value.position()).is_some() => {
                Some(Edge::Value(value))
            }
            _ => Some(Edge::Written {
                text: text.to_owned(),
                position: Scale::of(self.first)?.position(text)?,
            }),
        }
    }

    /// Ranges from corner to corner; those without rows go to the one before.
    fn spanned(&self, mut corners: Vec<Corner>) -> Option<Division> {
        let place = |corner: &Corner| (corner.first.position(), corner.second.position());
        corners.sort_by(|a, b| {
            let (a, b) = (place(a), place(b));
            a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        corners.dedup_by(|a, b| place(a) == place(b));
        let along = Along::of(self.subject, self.first, self.constants);
        let ends = |first: Edge, second: Edge| Corner { first, second };
        loop {
            let lower = std::iter::once(ends(Edge::Lowest, Edge::Lowest)).chain(corners.iter().cloned());
            let upper = corners.iter().cloned().chain([ends(Edge::Highest, Edge::Highest)]);
            let spans = lower.zip(upper).map(|(lower, upper)| Span { lower, upper }).collect();
            let division = along.spanned(None, Some(self.second), spans, 0);
            let least = division.rows_total() * 1e-9;
            let Some(empty) = division.rows.iter().position(|rows| *rows <= least) else {
                let divides = matches!(&division.cells, Cells::Spans { spans, .. } if spans.len() > 1);
                return divides.then_some(division);
            };
            if corners.is_empty() {
                return None;
            }
            corners.remove(empty.saturating_sub(1));
        }
    }
}
