//! Values of bounds that only PostgreSQL can read: its own type input, order
//! and equality are asked, before a proposal by hand is stored.
//!
//! Only built-in types and enums are asked: the input of any other could run a
//! user's function. Invariant: reads only; what cannot be asked here is left to
//! the creation of the shards.

use pgrx::pg_sys::panic::ErrorReport;
use serde_json::json;

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::key::KeyType;
use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::layout::LayoutError;
use crate::model::name::QualifiedName;
use crate::model::profile::Column;
use crate::model::profile::Profile;
use crate::pg::context::in_rolled_back_subtransaction;
use crate::pg::context::with_pinned_search_path;
use crate::pg::spi;
use crate::planning::proposal::Proposal;
use crate::planning::proposal::ProposalError;

/// Checks the values of all bounds of a proposal.
///
/// # Errors
/// 22023 if a value is not one of its column's type, points are not in
/// ascending order, or lists share a value.
pub fn check(profile: &Profile, proposal: &Proposal) -> Result<(), ErrorReport> {
    for proposed in &proposal.relations {
        let (Some(layout), Some(table)) = (&proposed.layout, profile.table(&proposed.relation)) else {
            continue;
        };
        let columns = layout.first_key().iter().enumerate();
        let asked: Vec<(usize, &Column, String)> = columns
            .filter_map(|(at, name)| Some((at, table.column(name)?)))
            .filter(|(_, column)| {
                !column.type_name.array
                    && matches!(column.type_name.key_type(), KeyType::Text | KeyType::Other)
            })
            .filter_map(|(at, column)| Some((at, column, askable(column).transpose()?)))
            .map(|(at, column, cast)| cast.map(|cast| (at, column, cast)))
            .collect::<Result<_, ErrorReport>>()?;
        with_pinned_search_path(|| {
            for (at, column, cast) in &asked {
                are_of_type(layout, *at, column, cast)?;
                if layout.first_key().len() == 1 {
                    match layout.first_strategy() {
                        Strategy::List => share_nothing(layout, cast)?,
                        _ => ascend(layout, cast)?,
                    }
                }
            }
            Ok::<_, ErrorReport>(())
        })?;
    }
    Ok(())
}

/// How a text becomes a value of the column: `::type COLLATE …`; none if it is
/// not to be asked, or neither is here.
fn askable(column: &Column) -> Result<Option<String>, ErrorReport> {
    let kind = QualifiedName::new(&column.type_name.schema, &column.type_name.name);
    let collation = column.collation.as_ref().map(|found| QualifiedName::new(&found.schema, &found.name));
    let known = with_pinned_search_path(|| {
        spi::one::<bool>(
            "SELECT (t.typtype = 'e' OR t.typtype IN ('b', 'r') AND n.nspname = 'pg_catalog')
                    AND ($3::text IS NULL OR to_regcollation($3) IS NOT NULL)
             FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace
             WHERE n.nspname = $1 AND t.typname = $2",
            &[
                kind.schema.as_str().into(),
                kind.name.as_str().into(),
                collation.as_ref().map(ToString::to_string).into(),
            ],
        )
    })?;
    let collate = collation.map_or_else(String::new, |name| format!(" COLLATE {name}"));
    Ok(known.unwrap_or(false).then(|| format!("::{kind}{collate}")))
}

/// The values that the bounds of the first level name for a column, in order.
fn values(layout: &Layout, at: usize) -> Vec<&str> {
    let mut found = Vec::new();
    for part in layout.first_level() {
        match part.bound {
            Bound::Range { lower, upper } => {
                let ends = [lower.get(at), upper.get(at)].into_iter().flatten();
                found.extend(ends.filter_map(|datum| match datum {
                    RangeDatum::Value(value) => Some(value.as_str()),
                    RangeDatum::MinValue | RangeDatum::MaxValue => None,
                }));
            }
            Bound::List { values } => found.extend(values.iter().flatten().map(String::as_str)),
            Bound::Hash { .. } | Bound::Default => {}
        }
    }
    // The end of one range is the beginning of the next.
    found.dedup();
    found
}

fn are_of_type(layout: &Layout, at: usize, column: &Column, cast: &str) -> Result<(), ErrorReport> {
    let all = |values: &[&str]| {
        let list = json!(values).to_string();
        in_rolled_back_subtransaction(|| {
            spi::one::<i64>(
                &format!("SELECT count(v{cast}) FROM jsonb_array_elements_text($1::jsonb) AS v"),
                &[list.as_str().into()],
            )
        })
    };
    let values = values(layout, at);
    if let Ok(found) = all(&values) {
        return found.map(|_| ());
    }
    for value in values {
        pgrx::check_for_interrupts!();
        if all(&[value]).is_err() {
            return Err(ProposalError::Value {
                value: value.to_owned(),
                column: column.name.clone(),
                type_text: column.type_name.text.clone(),
            }
            .into());
        }
    }
    Ok(())
}

fn ascend(layout: &Layout, cast: &str) -> Result<(), ErrorReport> {
    let list = json!(values(layout, 0)).to_string();
    let wrong = spi::rows::<(String, String)>(
        &format!(
            "SELECT jsonb_build_array(p.before, p.v)::text
             FROM (SELECT x.v, x.at, lag(x.v) OVER (ORDER BY x.at) AS before
                   FROM jsonb_array_elements_text($1::jsonb) WITH ORDINALITY AS x (v, at)) AS p
             WHERE p.before{cast} >= p.v{cast} ORDER BY p.at LIMIT 1"
        ),
        &[list.as_str().into()],
    )?;
    match wrong.into_iter().next() {
        Some((first, second)) => Err(LayoutError::NotAscending { first, second }.into()),
        None => Ok(()),
    }
}

fn share_nothing(layout: &Layout, cast: &str) -> Result<(), ErrorReport> {
    let list = json!(values(layout, 0)).to_string();
    let twice = spi::rows::<Vec<String>>(
        &format!(
            "SELECT jsonb_agg(v ORDER BY x.at)::text
             FROM jsonb_array_elements_text($1::jsonb) WITH ORDINALITY AS x (v, at)
             GROUP BY v{cast} HAVING count(*) > 1 ORDER BY min(x.at) LIMIT 1"
        ),
        &[list.as_str().into()],
    )?;
    let Some(twice) = twice.into_iter().next() else { return Ok(()) };
    let parts = layout.first_level();
    let of = |value: &String| {
        let holds =
            |bound: &Bound| matches!(bound, Bound::List { values } if values.contains(&Some(value.clone())));
        parts.iter().find(|part| holds(part.bound)).map(|part| part.name.to_owned()).unwrap_or_default()
    };
    let mut names = twice.iter().map(of);
    let (first, second) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
    Err(LayoutError::Overlap { first, second }.into())
}
