//! Ranges of any key that has an order here: of equal rows, or of equal load.
//!
//! Outer edges are open, so that DEFAULT has NULLs alone; a key that runs
//! along with insertion gets ranges ahead instead of an open end. Invariant:
//! edges ascend strictly, and those of types without arithmetic are values
//! that statistics have.

use crate::model::key::KeyType;
use crate::model::key::KeyValue;
use crate::model::name::quote_identifier;
use crate::model::profile::Column;
use crate::planning::proposal::constants::CostConstants;
use crate::planning::proposal::demand::Demand;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::edge::Edge;
use crate::planning::proposal::edge::Scale;
use crate::planning::proposal::edge::greatest_integer;
use crate::planning::proposal::hash;
use crate::planning::proposal::range;
use crate::planning::proposal::range::along::Along;
use crate::planning::proposal::spread::Spread;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::traffic::Window;
use crate::planning::proposal::unknown;

/// The ways to cut a key into ranges, at most `limit` shards: as many as the
/// size wants first, then half and twice as many. Other tables have quantiles
/// of their own, so that more ways would not make them agree.
///
/// # Errors
/// The reason why there is none, a full sentence.
pub fn divisions(
    subject: &Subject,
    column: &Column,
    limit: usize,
    constants: &CostConstants,
) -> Result<Vec<Division>, String> {
    let shown = quote_identifier(&column.name);
    let (Some(spread), Some(scale)) = (subject.spreads.get(column.name.as_str()), Scale::of(column)) else {
        return Err(match Scale::of(column) {
            Some(_) => unknown::values(subject, column),
            None => format!("The order of {shown} is known to PostgreSQL alone."),
        });
    };
    let known = known(column, &scale);
    let anchors = anchors(subject, column);
    let cutter = Cutter { subject, column, spread, scale, constants, known, anchors };
    let load = cutter.load();
    // One of the shards is DEFAULT.
    let most = hash::power_below(limit.saturating_sub(1) as f64) as usize;
    let natural = natural(subject, constants).min(most);
    let mut counts = vec![natural, natural / 2, natural.saturating_mul(2)];
    counts.retain(|count| (2..=most).contains(count));
    let mut found: Vec<Division> = Vec::new();
    for count in counts {
        for spread in [Some(spread), load.as_ref()].into_iter().flatten() {
            let division = cutter.divide(spread, count).filter(|one| one.shard_count() <= limit);
            if let Some(division) = division.filter(|one| !found.contains(one)) {
                found.push(division);
            }
        }
    }
    if found.is_empty() {
        return Err(if spread.first() < spread.last() {
            format!("The values of {shown} do not make two ranges.")
        } else {
            format!("All rows have one value of {shown}, or none that ranges can begin at.")
        });
    }
    Ok(found)
}

/// The power of two of shards that the size at the horizon wants.
fn natural(subject: &Subject, constants: &CostConstants) -> usize {
    let wanted = (subject.size.bytes_p90 / constants.shard_bytes_target).clamp(2.0, 1024.0);
    (wanted.ceil() as usize).next_power_of_two()
}

/// What ranges of one key are cut from.
struct Cutter<'a> {
    subject: &'a Subject<'a>,
    column: &'a Column,
    spread: &'a Spread,
    scale: Scale,
    constants: &'a CostConstants,
    /// Values that statistics have, by position.
    known: Vec<(f64, &'a String)>,
    anchors: Vec<Edge>,
}

impl Cutter<'_> {
    /// Where the load lies, if that was sampled.
    fn load(&self) -> Option<Spread> {
        Demand::of(self.column, self.constants)?.spread()
    }

    /// Ranges of equal shares of a spread, of rows or of load.
    fn divide(&self, by: &Spread, count: usize) -> Option<Division> {
        let mut edges: Vec<Edge> = Vec::new();
        for at in 1..count {
            let share = at as f64 / count as f64;
            let edge = self.edge(by, share, 1.0 / count as f64)?;
            let ascends = edges.last().is_none_or(|last| last.position() < edge.position());
            if ascends && edge.position() > self.spread.first() {
                edges.push(edge);
            }
        }
        if edges.is_empty() {
            return None;
        }
        let grown = self.ahead(&edges);
        edges.insert(0, Edge::Lowest);
        let follows = grown.is_some();
        let newest = self.spread.last();
        match grown {
            Some(ahead) => edges.extend(ahead),
            None => edges.push(Edge::Highest),
        }
        let rows = self.rows(&edges, follows);
        let cells = Cells::Range {
            unit: None,
            future_from: if follows { newest } else { f64::INFINITY },
            closed_until: if follows { newest } else { f64::INFINITY },
            edges,
            follows,
        };
        Some(range::filled(self.subject, self.column, cells, rows, self.constants))
    }

    /// The edge below which `share` lies, moved to a constant of statements
    /// where one is near.
    fn edge(&self, by: &Spread, share: f64, step: f64) -> Option<Edge> {
        let position = by.quantile(share);
        let near = |edge: &&Edge| {
            let distance = (by.below(edge.position()) - share).abs();
            distance <= step * self.constants.edge_near_share
        };
        let anchor = self.anchors.iter().filter(near).min_by(|a, b| {
            let distance = |edge: &Edge| (edge.position() - position).abs();
            distance(a).total_cmp(&distance(b))
        });
        if let Some(anchor) = anchor {
            return Some(anchor.clone());
        }
        if self.scale.is_continuous() {
            computed(self.column, position)
        } else {
            nearest(&self.known, position)
        }
    }

    /// Edges beyond the newest value, up to the horizon and some ranges more,
    /// for integers that grow with the rows.
    fn ahead(&self, edges: &[Edge]) -> Option<Vec<Edge>> {
        let size = &self.subject.size;
        let statistics = self.column.statistics.as_ref()?;
        let grows = statistics.correlation.unwrap_or(0.0) >= self.constants.ordered_correlation;
        let greatest = greatest_integer(self.column)?;
        if !grows || size.rows <= size.rows_past || size.rows_past <= 0.0 {
            return None;
        }
        let (first, newest) = (self.spread.first(), self.spread.last());
        let horizon = newest + (newest - first) * (size.rows / size.rows_past - 1.0);
        let before = edges.last().map_or(first, Edge::position);
        let step = (newest - before).max((newest - first) / (edges.len() + 1) as f64);
        let mut ahead = Vec::new();
        let mut end = newest;
        while ahead.len() < edges.len() + self.constants.shards_ahead_min + 1
            && (end <= horizon || ahead.len() <= self.constants.shards_ahead_min)
        {
            end += step;
            if !end.is_finite() || end >= greatest as f64 {
                ahead.push(Edge::Highest);
                break;
            }
            ahead.extend(computed(self.column, end));
        }
        let ascending = ahead.windows(2).all(|pair| pair[0].position() < pair[1].position());
        (ascending && ahead.first().is_some_and(|edge| edge.position() > newest)).then_some(ahead)
    }

    fn rows(&self, edges: &[Edge], follows: bool) -> Vec<f64> {
        let along = Along::following(self.subject, self.column, self.constants, follows);
        let rows = |pair: &[Edge]| along.rows(pair[0].position(), pair[1].position()).unwrap_or(0.0);
        along.within(edges.windows(2).map(rows).collect())
    }
}

/// Values that statistics have, by position.
fn known<'a>(column: &'a Column, scale: &Scale) -> Vec<(f64, &'a String)> {
    if scale.is_continuous() {
        return Vec::new();
    }
    let Some(statistics) = &column.statistics else { return Vec::new() };
    let values = statistics.histogram.iter().chain(&statistics.common_values);
    let mut known: Vec<(f64, &String)> =
        values.filter_map(|text| Some((scale.position(text)?, text))).collect();
    known.sort_by(|a, b| a.0.total_cmp(&b.0));
    known
}

/// Constants that ranges of statements end at.
fn anchors(subject: &Subject, column: &Column) -> Vec<Edge> {
    let uses = subject.traffic.uses.iter();
    let windows = uses.filter_map(|one| one.narrowings.get(&column.name)).map(|found| &found.window);
    let ends = windows.flat_map(|window| match window {
        Window::Exact { lower, upper } => [*lower, *upper],
        _ => [None, None],
    });
    let mut found: Vec<Edge> =
        ends.flatten().filter(|end| end.is_finite()).filter_map(|end| computed(column, end)).collect();
    found.sort_by(|a, b| a.position().total_cmp(&b.position()));
    found.dedup();
    found
}

/// The value at a position, or the one next to it that statistics have.
pub fn nearby(column: &Column, position: f64) -> Option<Edge> {
    let scale = Scale::of(column)?;
    if scale.is_continuous() { computed(column, position) } else { nearest(&known(column, &scale), position) }
}

/// The value that statistics have next to a position.
fn nearest(known: &[(f64, &String)], position: f64) -> Option<Edge> {
    let after = known.partition_point(|value| value.0 < position);
    let both = [after.checked_sub(1).and_then(|at| known.get(at)), known.get(after)];
    let distance = |value: &&(f64, &String)| (value.0 - position).abs();
    let found = both.into_iter().flatten().min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
    Some(Edge::Written { text: found.1.clone(), position: found.0 })
}

/// A position as a value of the key's type; `None` where it has none.
pub fn computed(column: &Column, position: f64) -> Option<Edge> {
    let value = match column.type_name.key_type() {
        KeyType::Integer => {
            // What the position cuts off stays below the edge; a quantile
            // lies a little above it.
            let value = (position - position.abs() * 1e-12 - 1e-9).ceil() as i128;
            let greatest = greatest_integer(column)?;
            KeyValue::Integer(value.clamp(-greatest - 1, greatest))
        }
        KeyType::Uuid => KeyValue::Uuid(position.max(0.0) as u128),
        KeyType::Date => {
            const DAY: f64 = 86_400e6;
            KeyValue::Micros(((position / DAY).round() * DAY) as i64)
        }
        KeyType::Timestamp | KeyType::TimestampTz => KeyValue::Micros(position as i64),
        KeyType::Numeric | KeyType::Text | KeyType::Other => return None,
    };
    Some(Edge::Value(value))
}
