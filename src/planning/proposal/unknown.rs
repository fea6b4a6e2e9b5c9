//! Why nothing is known of a column's values, and what helps.
//!
//! On a table that lives here other things help than with a profile from
//! elsewhere. Not here: values that are known and do not make shards. Invariant:
//! full sentences; what is advised can change something.

use crate::model::name::quote_identifier;
use crate::model::profile::Column;
use crate::model::profile::TableKind;
use crate::planning::proposal::subject::Subject;

/// Why a column has no values that ranges or lists could be cut from.
pub fn values(subject: &Subject, column: &Column) -> String {
    let shown = quote_identifier(&column.name);
    match &column.statistics {
        None => without_statistics(subject, column, &shown),
        Some(found) if found.null_fraction >= 1.0 => format!("All values of {shown} are NULL."),
        Some(found) if found.common_values.is_empty() && found.histogram.is_empty() => {
            without_values(subject, &shown)
        }
        Some(_) => format!(
            "No value known of {shown} is one that shards can begin at: infinite, NaN, or of no year from 1 to 9999."
        ),
    }
}

/// What a table lacks that has rows but no statistics at all.
pub fn table(subject: &Subject) -> Option<String> {
    let table = subject.table;
    let analyzed = table.columns.iter().any(|column| column.statistics.is_some());
    if table.rows <= 0.0 || table.columns.is_empty() || analyzed {
        return None;
    }
    let remedy = match subject.profile.live.get(&subject.name) {
        Some(hidden) if table.columns.iter().any(|column| hidden.contains(&column.name)) => {
            format!("this role may not see them. {NEEDED}")
        }
        Some(_) if table.kind == TableKind::Partitioned => {
            format!("autovacuum makes none of a partitioned table as a whole. Run ANALYZE {}.", subject.name)
        }
        Some(_) => format!("run ANALYZE {}.", subject.name),
        None => format!("run ANALYZE {} at the source, and capture the profile again.", subject.name),
    };
    Some(format!("The table has no statistics, so that its values are not known: {remedy}"))
}

/// What PostgreSQL wants of whoever looks at statistics.
const NEEDED: &str = "That takes SELECT on the column, and on a table with row security a role that this does not \
                      apply to.";

fn without_statistics(subject: &Subject, column: &Column, shown: &str) -> String {
    let table = &subject.name;
    let others = subject.table.columns.iter().any(|other| other.statistics.is_some());
    let partitioned = subject.table.kind == TableKind::Partitioned;
    match subject.profile.live.get(table) {
        Some(hidden) if hidden.contains(&column.name) => {
            format!("This role may not see the statistics of {shown}. {NEEDED}")
        }
        _ if subject.table.rows <= 0.0 => format!("There are no rows, and so no statistics of {shown}."),
        Some(_) if others => format!(
            "There are no statistics of {shown}, though of other columns: run ANALYZE {table}, with a statistics \
             target above 0."
        ),
        Some(_) if partitioned => format!(
            "There are no statistics of {shown}: run ANALYZE {table}, as autovacuum does not for a partitioned table."
        ),
        Some(_) => format!("There are no statistics of {shown}: run ANALYZE {table}."),
        None if subject.profile.hidden_statistics_of.contains(&table.to_string()) => format!(
            "The profile has no statistics of {shown}: capture it as a role that may see those of {table}, after \
             ANALYZE."
        ),
        None => format!(
            "The profile has no statistics of {shown}: run ANALYZE {table} at the source, and capture it again."
        ),
    }
}

fn without_values(subject: &Subject, shown: &str) -> String {
    let profile = subject.profile;
    if profile.live.contains_key(&subject.name) {
        return format!(
            "ANALYZE kept no value of {shown}: its type has no order, or each is longer than 1 kB."
        );
    }
    if profile.values_of.is_empty() {
        return format!(
            "The profile has no values of {shown}, nor of any column: capture it with values=keys."
        );
    }
    format!(
        "The profile has no values of {shown}: those of columns that are neither key nor time, of text with many \
         values and of domains do not travel. A proposal that is made where the table lives has them."
    )
}
