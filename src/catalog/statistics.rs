//! Statistics of columns of this server, for proposals that are made on it.
//!
//! Most values of data stay where they are when a profile is captured. A
//! proposal that is made here takes none away: it reads what `pg_stats` shows
//! to the caller. Invariant: read with the caller's rights, and never part of
//! what is captured or stored.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;
use serde_json::json;

use crate::catalog::profiles;
use crate::model::name::QualifiedName;
use crate::model::profile::ColumnStatistics;
use crate::model::profile::Profile;
use crate::pg::context::with_settings;
use crate::pg::spi;

/// A column as the caller sees it.
#[derive(Deserialize)]
struct Seen {
    schema: String,
    table: String,
    column: String,
    visible: bool,
    statistics: Option<ColumnStatistics>,
}

/// Puts the statistics of columns, values and all, into a live profile, and
/// notes which of them the caller may not see.
pub fn complete(
    profile: &mut Profile,
    columns: &BTreeMap<QualifiedName, BTreeSet<String>>,
) -> Result<(), ErrorReport> {
    let wanted: Vec<_> = columns
        .iter()
        .flat_map(|(table, columns)| columns.iter().map(|column| json!([table.schema, table.name, column])))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let wanted = json!(wanted).to_string();
    let settings = profiles::script_settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_c_str(), value.as_c_str())).collect();
    let seen = with_settings(&settings, || {
        spi::rows::<Seen>(include_str!("queries/statistics.sql"), &[wanted.as_str().into()])
    })?;
    let mut found: BTreeMap<(QualifiedName, String), Seen> = seen
        .into_iter()
        .map(|one| ((QualifiedName::new(&one.schema, &one.table), one.column.clone()), one))
        .collect();
    for table in &mut profile.tables {
        let name = table.name();
        let Some(hidden) = profile.live.get_mut(&name) else { continue };
        for column in &mut table.columns {
            let Some(one) = found.remove(&(name.clone(), column.name.clone())) else { continue };
            if !one.visible {
                hidden.insert(column.name.clone());
            }
            let known = column.statistics.take();
            column.statistics = match (one.statistics, known) {
                // That of a partitioned table comes from its partitions.
                (Some(found), Some(known)) => {
                    Some(ColumnStatistics { correlation: known.correlation, ..found })
                }
                (found, known) => found.or(known),
            };
        }
    }
    Ok(())
}
