//! Rows that no shard names: where they go, or that PostgreSQL refuses them.

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::bound::RangePoint;
use crate::model::bound::write_point;
use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::name::quote_identifier;
use crate::model::name::quote_identifiers;
use crate::model::profile::Table;

/// Warnings of a key. Without a layout one of ours is meant: ranges and lists
/// with a DEFAULT.
pub fn warnings(table: &Table, key: &[String], strategy: Strategy, layout: Option<&Layout>) -> Vec<String> {
    let default = layout.is_none_or(has_default);
    let listed = layout.is_some_and(lists_null);
    let mut found = Vec::new();
    for (at, name) in key.iter().enumerate() {
        if table.column(name).is_none_or(|column| column.not_null) {
            continue;
        }
        let hashed = match strategy {
            Strategy::Hash => key.len() == 1,
            Strategy::RangeHash | Strategy::ListHash => at > 0,
            Strategy::Range | Strategy::List | Strategy::None => false,
        };
        let goes = if hashed {
            ": all such rows go to one shard of those that it divides."
        } else if strategy == Strategy::Hash || listed {
            continue;
        } else if default {
            ": such rows go to the default shard."
        } else {
            ", and there is no default shard: PostgreSQL will refuse such rows."
        };
        found.push(format!("Column {} may be NULL{goes}", quote_identifier(name)));
    }
    if let Some(layout) = layout.filter(|_| !default) {
        found.extend(refused(layout));
    }
    found
}

/// The rows that a layout has no place for, in words; none if all have one, or
/// only NULL has none.
#[must_use]
pub fn without_place(layout: &Layout) -> Option<String> {
    if has_default(layout) { None } else { outside(layout) }
}

/// The columns whose NULL a layout has no place for.
#[must_use]
pub fn null_without_place(layout: &Layout) -> &[String] {
    if layout.first_strategy() == Strategy::Hash || lists_null(layout) || has_default(layout) {
        return &[];
    }
    layout.first_key()
}

fn lists_null(layout: &Layout) -> bool {
    layout
        .first_level()
        .iter()
        .any(|part| matches!(part.bound, Bound::List { values } if values.contains(&None)))
}

fn has_default(layout: &Layout) -> bool {
    layout.first_level().iter().any(|part| *part.bound == Bound::Default)
}

/// What a layout without a DEFAULT has no place for.
fn refused(layout: &Layout) -> Option<String> {
    let rows = outside(layout)?;
    Some(format!("There is no default shard: PostgreSQL will refuse rows {rows}."))
}

/// What lies outside lists and ranges.
fn outside(layout: &Layout) -> Option<String> {
    let shown = quote_identifiers(layout.first_key());
    Some(match layout.first_strategy() {
        Strategy::List => format!("whose {shown} is in no list"),
        Strategy::Range => {
            let (lower, upper) = ends(layout)?;
            let open = |point: &RangePoint, end: &RangeDatum| point.first() == Some(end);
            match (open(lower, &RangeDatum::MinValue), open(upper, &RangeDatum::MaxValue)) {
                (true, true) => return None,
                (true, false) => format!("whose {shown} is {} or more", write_point(upper)),
                (false, true) => format!("whose {shown} is less than {}", write_point(lower)),
                (false, false) => format!(
                    "whose {shown} is less than {}, or {} or more",
                    write_point(lower),
                    write_point(upper)
                ),
            }
        }
        _ => return None,
    })
}

/// The lowest and the highest bound of ranges.
fn ends(layout: &Layout) -> Option<(&RangePoint, &RangePoint)> {
    let mut ranges = layout.first_level().into_iter().filter_map(|part| match part.bound {
        Bound::Range { lower, upper } => Some((lower, upper)),
        _ => None,
    });
    let first = ranges.next()?;
    Some((first.0, ranges.next_back().unwrap_or(first).1))
}
