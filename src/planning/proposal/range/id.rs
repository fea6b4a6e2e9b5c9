//! Ranges of a unique id that follows event time.
//!
//! Primary key and foreign keys stay as they are, and yet a range stands for a
//! unit of the calendar: where id and event time both ascend with the rows,
//! the id of a moment is the id of the row that has as many rows below it. Not
//! here: dropping such a range, which needs a look at the newest event in it.
//! Invariant: edges ascend strictly and stay below the greatest value of the
//! type.

use crate::model::name::quote_identifier;
use crate::model::profile::Column;
use crate::model::profile::ConstraintKind;
use crate::planning::proposal::constants::CostConstants;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::edge::Edge;
use crate::planning::proposal::edge::greatest_integer;
use crate::planning::proposal::range;
use crate::planning::proposal::range::quantile::computed;
use crate::planning::proposal::spread::Spread;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::unknown;

/// The event time that a column of unique values follows, if it does.
pub fn followed<'a>(subject: &Subject<'a>, column: &Column, constants: &CostConstants) -> Option<&'a Column> {
    let event_time = subject.growth?.event_time.as_ref()?;
    let time = subject.table.column(&event_time.column)?;
    let ascends = |column: &Column| {
        let correlation = column.statistics.as_ref().and_then(|found| found.correlation);
        correlation.is_some_and(|found| found >= constants.ordered_correlation)
    };
    let alone = |columns: &[String]| columns.len() == 1 && columns[0] == column.name;
    let constrained = subject.table.constraints.iter().any(|found| {
        matches!(found.kind, ConstraintKind::PrimaryKey | ConstraintKind::Unique) && alone(&found.columns)
    });
    let indexed = || {
        subject.table.indexes.iter().any(|index| {
            index.unique
                && !index.partial
                && index.columns.len() == 1
                && index.columns[0].as_ref() == Some(&column.name)
        })
    };
    let key_type = column.type_name.key_type();
    let fits = !key_type.is_time()
        && column.orderable
        && computed(column, 0.0).is_some()
        && subject.spreads.contains_key(column.name.as_str());
    (fits && ascends(column) && ascends(time) && (constrained || indexed())).then_some(time)
}

/// The ways to cut by an id: as event time is cut, bounds turned into ids.
///
/// # Errors
/// The reason why there is none, a full sentence.
pub fn divisions(
    subject: &Subject,
    column: &Column,
    time: &Column,
    limit: usize,
    constants: &CostConstants,
) -> Result<Vec<Division>, String> {
    let by_time = range::divisions(subject, time, limit, constants)?;
    let (Some(ids), Some(times)) =
        (subject.spreads.get(column.name.as_str()), subject.spreads.get(time.name.as_str()))
    else {
        return Err(unknown::values(subject, column));
    };
    let clock = Clock { subject, ids, times };
    let found: Vec<Division> =
        by_time.into_iter().filter_map(|division| clock.divide(column, division, constants)).collect();
    if found.is_empty() {
        let (id, time) = (quote_identifier(&column.name), quote_identifier(&time.name));
        return Err(format!("Moments of {time} cannot be told apart by values of {id}."));
    }
    Ok(found)
}

/// Turns moments into ids.
struct Clock<'a> {
    subject: &'a Subject<'a>,
    ids: &'a Spread,
    times: &'a Spread,
}

impl Clock<'_> {
    /// The id that rows of a moment have.
    fn id_at(&self, moment: f64) -> f64 {
        if moment > self.times.last() {
            return self.id_to_come(moment);
        }
        self.ids.quantile(self.times.below(moment))
    }

    /// Ids go on as they went in the newest tenth of the rows, as fast as rows
    /// are expected.
    fn id_to_come(&self, moment: f64) -> f64 {
        let size = &self.subject.size;
        let newest = self.ids.last();
        let per_share = (newest - self.ids.quantile(0.9)).max(0.0) / 0.1;
        let origin = (self.subject.origin as f64).max(self.times.last());
        let ahead = self.subject.horizon_end as f64 - origin;
        let coming = size.rows - size.rows_past;
        if ahead > 0.0 && coming > 0.0 && size.rows_past > 0.0 {
            return newest + per_share * coming / size.rows_past * ((moment - origin) / ahead).max(0.0);
        }
        // Nothing is expected: at the mean rate of the past.
        let span = (self.times.last() - self.times.first()).max(1.0);
        newest + (newest - self.ids.first()) * (moment - self.times.last()) / span
    }

    /// A division by event time with its edges turned into ids; rows of ranges
    /// that have one edge for both ends go to the next.
    fn divide(&self, column: &Column, by_time: Division, constants: &CostConstants) -> Option<Division> {
        let Cells::Range { unit, edges: moments, future_from, closed_until, follows } = by_time.cells else {
            return None;
        };
        let greatest = greatest_integer(column).map_or(f64::INFINITY, |greatest| greatest as f64);
        let mut edges = vec![Edge::Lowest];
        let mut rows = Vec::new();
        let mut collected = 0.0;
        for (moment, inside) in moments[1..].iter().zip(&by_time.rows) {
            collected += inside;
            let id = self.id_at(moment.position());
            if id >= greatest {
                edges.push(Edge::Highest);
                rows.push(collected);
                collected = 0.0;
                break;
            }
            let edge = computed(column, id)?;
            if edges.last().is_some_and(|last| last.position() < edge.position()) {
                edges.push(edge);
                rows.push(collected);
                collected = 0.0;
            }
        }
        let last = rows.last_mut()?;
        *last += collected;
        if rows.len() < 2 {
            return None;
        }
        let of_moment = |moment: f64| if moment.is_finite() { self.id_at(moment) } else { moment };
        let cells = Cells::Range {
            unit,
            edges,
            future_from: of_moment(future_from),
            closed_until: of_moment(closed_until),
            follows,
        };
        Some(range::filled(self.subject, column, cells, rows, constants))
    }
}
