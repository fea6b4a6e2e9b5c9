//! Ranges of time: which calendar units suit, and where the edges lie.
//!
//! Ranges of other keys are cut by `quantile`, those of an id that follows
//! event time by `id`; `along` counts the rows of bounds that are given. Not here: which of the units is best; cost decides.
//! Invariant: edges are boundaries of the unit in UTC, and cover from the
//! first value (outliers aside, they go to DEFAULT) to the horizon and some
//! shards ahead.

pub mod along;
pub mod id;
pub mod pair;
pub mod quantile;

use crate::model::key::KeyType;
use crate::model::layout::SHARDS_MAX;
use crate::model::name::quote_identifier;
use crate::model::profile::Column;
use crate::planning::proposal::calendar::CalendarUnit;
use crate::planning::proposal::constants::CostConstants;
use crate::planning::proposal::demand::Demand;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::edge::Edge;
use crate::planning::proposal::explain::words::percent;
use crate::planning::proposal::key::ShardKey;
use crate::planning::proposal::spread::Spread;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::unknown;

/// A unit and the moments that its ranges cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangePlan {
    pub unit: CalendarUnit,
    /// Boundaries of the unit, microseconds.
    pub first: i64,
    pub end: i64,
}

/// The plans of a time column that stay within `limit` shards, the longest
/// unit last, and of each how the rows are divided. Those whose shards are not
/// worth having come only if none is worth having, the coarsest alone.
///
/// # Errors
/// The reason why there is no plan at all, a full sentence.
pub fn divisions(
    subject: &Subject,
    column: &Column,
    limit: usize,
    constants: &CostConstants,
) -> Result<Vec<Division>, String> {
    let Some(spread) = subject.spreads.get(column.name.as_str()) else {
        return Err(unknown::values(subject, column));
    };
    let outside = 1.0 - (1.0 - subject.null_share(&column.name)) * (1.0 - spread.outside().share());
    if outside > constants.outside_share_max {
        return Err(format!(
            "{} is NULL, infinite or decades away from all other values in {} of the rows: no range of time has them.",
            quote_identifier(&column.name),
            percent(outside)
        ));
    }
    let key_type = column.type_name.key_type();
    let mut fitting = Vec::new();
    for unit in CalendarUnit::ALL {
        if unit == CalendarUnit::Hour && key_type == KeyType::Date {
            continue;
        }
        let plan = plan(subject, column, spread, unit, constants).filter(|plan| within(plan, limit));
        fitting.extend(plan.and_then(|plan| divide(subject, column, plan, constants)));
    }
    if fitting.is_empty() {
        return Err(format!(
            "Even yearly ranges of {} need more than {limit} shards.",
            quote_identifier(&column.name)
        ));
    }
    let worth = |division: &Division| bytes_each(subject, division) >= constants.shard_bytes_min;
    if fitting.iter().any(worth) {
        fitting.retain(worth);
    } else {
        fitting.drain(..fitting.len() - 1);
    }
    Ok(fitting)
}

/// Mean bytes at the horizon of the ranges that have rows.
pub fn bytes_each(subject: &Subject, division: &Division) -> f64 {
    let filled = division.rows.iter().filter(|rows| **rows > 0.0).count().max(1) as f64;
    subject.size.bytes * division.share(division.rows.iter().sum()) / filled
}

/// Whether the plan has at most `limit` shards, with DEFAULT.
pub fn within(plan: &RangePlan, limit: usize) -> bool {
    edges(plan, limit).is_some()
}

/// The boundaries of a plan; `None` if there are more shards than `limit`.
fn edges(plan: &RangePlan, limit: usize) -> Option<Vec<i64>> {
    let mut edges = vec![plan.first];
    let mut at = plan.first;
    while at < plan.end {
        // With DEFAULT there are as many shards as edges.
        if edges.len() >= limit {
            return None;
        }
        at = plan.unit.add(plan.first, edges.len() as i64)?;
        edges.push(at);
    }
    (edges.len() >= 2).then_some(edges)
}

pub fn plan(
    subject: &Subject,
    column: &Column,
    spread: &Spread,
    unit: CalendarUnit,
    constants: &CostConstants,
) -> Option<RangePlan> {
    let (low, high) = without_outliers(spread, constants);
    let follows = subject.follows_time(column, constants.follow_share);
    let first = unit.floor(low)?;
    let mut end = unit.add(unit.floor(high)?, 1)?;
    let mut newest = high;
    if follows {
        let now = this_week(subject)?;
        end = end.max(unit.ceil(now.checked_add(subject.horizon_end - subject.origin)?)?);
        newest = newest.max(now);
    }
    let ahead = i64::try_from(constants.shards_ahead_min).ok()?.checked_add(1)?;
    end = end.max(unit.add(unit.floor(newest)?, ahead)?);
    Some(RangePlan { unit, first, end })
}

/// The last moment of the week from which the forecast looks ahead, so that
/// the same bounds come out all week; data that do not go on have only their end.
fn this_week(subject: &Subject) -> Option<i64> {
    if subject.growth.is_some_and(|growth| growth.stale) {
        return Some(subject.origin);
    }
    CalendarUnit::Week.add(CalendarUnit::Week.floor(subject.origin)?, 1)?.checked_sub(1)
}

/// First and last value, without the few that stretch the span.
fn without_outliers(spread: &Spread, constants: &CostConstants) -> (i64, i64) {
    let (first, last) = (spread.first(), spread.last());
    let (before, upto) = (spread.outside().below, 1.0 - spread.outside().beyond);
    let share = constants.outlier_share * (upto - before);
    let (low, high) = (spread.quantile(before + share), spread.quantile(upto - share));
    if last - first > (high - low) * constants.outlier_stretch && high > low {
        (low as i64, high as i64)
    } else {
        (first as i64, last as i64)
    }
}

/// Rows from `lower` up to `upper` at the horizon: what is there by its
/// spread, what is to come at an even rate from the present to the horizon.
pub fn rows_between(
    subject: &Subject,
    spread: &Spread,
    column: &str,
    follows: bool,
    edge: (i64, i64),
) -> f64 {
    // An open end has what lies before or after every moment, too.
    let place = |end: i64| match end {
        i64::MIN => f64::NEG_INFINITY,
        i64::MAX => f64::INFINITY,
        moment => moment as f64,
    };
    let size = &subject.size;
    let valued = 1.0 - subject.null_share(column);
    let (past, coming) =
        if follows { (size.rows_past, size.rows - size.rows_past) } else { (size.rows, 0.0) };
    let ahead = (subject.horizon_end - subject.origin) as f64;
    let overlap = edge.1.min(subject.horizon_end).saturating_sub(edge.0.max(subject.origin)).max(0);
    // Rows to come have a moment as often as those that are there.
    let outside = spread.outside();
    let below = if edge.0 == i64::MIN { outside.below } else { 0.0 };
    let beyond = if edge.1 == i64::MAX { outside.beyond } else { 0.0 };
    let within = if ahead > 0.0 { overlap as f64 / ahead } else { 0.0 };
    let expected = coming * (below + beyond + within * (1.0 - outside.share()));
    valued * (past * spread.between(place(edge.0), place(edge.1)) + expected)
}

/// The rows of a table cut by a plan.
pub fn divide(
    subject: &Subject,
    column: &Column,
    plan: RangePlan,
    constants: &CostConstants,
) -> Option<Division> {
    let spread = subject.spreads.get(column.name.as_str())?;
    let follows = subject.follows_time(column, constants.follow_share);
    let edges = edges(&plan, SHARDS_MAX)?;
    let rows: Vec<f64> = edges
        .windows(2)
        .map(|edge| rows_between(subject, spread, &column.name, follows, (edge[0], edge[1])))
        .collect();
    let newest = spread.last() as i64;
    let future_from = if follows { subject.origin.max(newest.min(plan.end)) } else { newest };
    let cells = Cells::Range {
        unit: Some(plan.unit),
        edges: edges.into_iter().map(Edge::of_micros).collect(),
        future_from: future_from as f64,
        closed_until: if follows { subject.horizon_end as f64 } else { f64::INFINITY },
        follows,
    };
    Some(filled(subject, column, cells, rows, constants))
}

/// A division by one column with these rows in its ranges; what they do not
/// have is left to DEFAULT.
pub fn filled(
    subject: &Subject,
    column: &Column,
    cells: Cells,
    rows: Vec<f64>,
    constants: &CostConstants,
) -> Division {
    let default_rows = (subject.size.rows - rows.iter().sum::<f64>()).max(0.0);
    let mut division = Division { default_rows, ..Division::of(ShardKey::of(column), cells, rows) };
    let shares: Vec<f64> = division.cell_rows().iter().map(|rows| division.share(*rows)).collect();
    division.asked = match (&division.cells, Demand::of(column, constants)) {
        (Cells::Range { edges, .. }, Some(demand)) => {
            let positions: Vec<f64> = edges.iter().map(Edge::position).collect();
            demand.in_ranges(&positions, &shares)
        }
        _ => shares,
    };
    division
}
