//! Bounds of a proposal that was written elsewhere, asked of PostgreSQL as those
//! that are named by hand (`values`): what is taken, `create_shards` creates.
//!
//! Not here: the laws of layouts, which need no server. What cannot be asked
//! here (a table or a type that is not known) is left to the creation of the
//! shards. Invariant: a layout keeps its shards, names and order; times and
//! values of users' types are in the text form of their type.

use std::collections::BTreeMap;

use pgrx::pg_sys::panic::ErrorReport;

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::bound::RangePoint;
use crate::model::bound::write_point;
use crate::model::key::KeyType;
use crate::model::layout::Layout;
use crate::model::layout::LayoutError;
use crate::model::profile::Profile;
use crate::model::profile::Table;
use crate::operations::values::KeyColumn;
use crate::operations::values::shortened;
use crate::planning::proposal::Proposal;
use crate::planning::proposal::ProposalError;

/// Reads the bounds of all layouts of a proposal.
///
/// # Errors
/// 42703 if a table has not a column of its key, 22023 if a value is not one of its column's type, ranges do not ascend, or
/// lists share a value.
pub fn read(proposal: &mut Proposal, profile: &Profile) -> Result<(), ErrorReport> {
    for proposed in &mut proposal.relations {
        let Some(table) = profile.table(&proposed.relation) else { continue };
        let weighed = proposed.candidates.iter_mut().map(|candidate| &mut candidate.layout);
        for layout in std::iter::once(&mut proposed.layout).chain(weighed).flatten() {
            pgrx::check_for_interrupts!();
            *layout = read_layout(table, layout)?;
        }
    }
    Ok(())
}

fn read_layout(table: &Table, layout: &Layout) -> Result<Layout, ErrorReport> {
    if let Some(unknown) = layout.key_columns().into_iter().find(|name| table.column(name).is_none()) {
        return Err(ProposalError::undefined_column(table, unknown).into());
    }
    let columns = layout.first_key().iter().filter_map(|name| table.column(name));
    let columns =
        columns.map(|column| KeyColumn::of(table, column)).collect::<Result<Vec<_>, ErrorReport>>()?;
    let mut bounds: Vec<Bound> = layout.first_level().iter().map(|part| part.bound.clone()).collect();
    match bounds.iter().find(|bound| **bound != Bound::Default) {
        Some(Bound::Range { .. }) => ranges(&mut bounds, &columns)?,
        Some(Bound::List { .. }) => lists(&mut bounds, &columns[0])?,
        _ => return Ok(layout.clone()),
    }
    Ok(layout.with_first_level(&bounds)?)
}

/// A datum of a point with its place among all values of its column; none
/// where PostgreSQL could not be asked.
type Ranked = (RangeDatum, Option<usize>);

fn ranges(bounds: &mut [Bound], columns: &[KeyColumn<'_>]) -> Result<(), ErrorReport> {
    let mut points: Vec<&mut RangePoint> = Vec::new();
    for bound in bounds {
        if let Bound::Range { lower, upper } = bound {
            points.extend([lower, upper]);
        }
    }
    let mut ranked: Vec<Vec<Ranked>> =
        points.iter().map(|point| point.iter().map(|datum| (datum.clone(), None)).collect()).collect();
    for (at, column) in columns.iter().enumerate() {
        let valued = |point: &&mut Vec<Ranked>| matches!(point.get(at), Some((RangeDatum::Value(_), _)));
        let mut data: Vec<&mut Ranked> = Vec::new();
        for point in ranked.iter_mut().filter(valued) {
            data.extend(point.get_mut(at));
        }
        let text = |datum: &&mut Ranked| match &datum.0 {
            RangeDatum::Value(text) => Some(text.clone()),
            _ => None,
        };
        let values: Vec<Option<String>> = data.iter().map(text).collect();
        for (datum, read) in data.iter_mut().zip(column.read(&values)?.into_iter().flatten()) {
            datum.1 = Some(read.rank);
            if let Some(text) = read.text.filter(|_| depends_on_session(column)) {
                datum.0 = RangeDatum::Value(text);
            }
        }
    }
    for (at, pair) in ranked.windows(2).enumerate() {
        // The end of a range and the beginning of the next may be the same.
        let is_range = at % 2 == 0;
        if !ascends(&pair[0], &pair[1], !is_range) {
            let shown = |at: usize| shortened(&write_point(points[at]));
            return Err(LayoutError::NotAscending { first: shown(at), second: shown(at + 1) }.into());
        }
    }
    for (point, ranked) in points.into_iter().zip(ranked) {
        *point = ranked.into_iter().map(|(datum, _)| datum).collect();
    }
    Ok(())
}

/// Whether a point is greater than the one before, as far as that is known.
fn ascends(before: &[Ranked], after: &[Ranked], or_equal: bool) -> bool {
    let rank = |datum: &Ranked| match datum {
        (RangeDatum::MinValue, _) => Some((0, 0)),
        (RangeDatum::Value(_), rank) => rank.map(|rank| (1, rank)),
        (RangeDatum::MaxValue, _) => Some((2, 0)),
    };
    for (one, other) in before.iter().zip(after) {
        let (Some(a), Some(b)) = (rank(one), rank(other)) else { return true };
        if a != b {
            return a < b;
        }
        // An open end decides for all that follow it.
        if one.0 == RangeDatum::MinValue || one.0 == RangeDatum::MaxValue {
            break;
        }
    }
    or_equal
}

fn lists(bounds: &mut [Bound], column: &KeyColumn<'_>) -> Result<(), ErrorReport> {
    let mut known: BTreeMap<usize, (usize, Option<String>)> = BTreeMap::new();
    let all: Vec<Option<String>> = bounds
        .iter()
        .filter_map(|bound| if let Bound::List { values } = bound { Some(values.clone()) } else { None })
        .flatten()
        .collect();
    let Some(read) = column.read(&all)? else { return Ok(()) };
    let mut read = read.into_iter();
    for (number, bound) in bounds.iter_mut().enumerate() {
        let Bound::List { values } = bound else { continue };
        let mut kept = Vec::with_capacity(values.len());
        for (text, value) in values.drain(..).zip(&mut read) {
            match known.get(&value.rank) {
                Some((other, _)) if *other == number => {}
                Some((other, first)) => {
                    return Err(ProposalError::Shared {
                        lists: (other + 1, number + 1),
                        values: (first.as_deref().map(shortened), text.as_deref().map(shortened)),
                    }
                    .into());
                }
                None => {
                    known.insert(value.rank, (number, text.clone()));
                    kept.push(if depends_on_session(column) { value.text } else { text });
                }
            }
        }
        *values = kept;
    }
    Ok(())
}

/// Whether the same text may be another value in another session.
fn depends_on_session(column: &KeyColumn<'_>) -> bool {
    let kind = column.column.type_name.key_type();
    kind.is_time() || kind == KeyType::Other
}
