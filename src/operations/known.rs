//! What is known beforehand of the tables that a dump will bring: from the
//! latest profile that the caller may see, or of a table of that name that is
//! here.

use std::collections::BTreeMap;

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::arming::current_user;
use crate::catalog::profiles;
use crate::catalog::relations;
use crate::model::name::QualifiedName;
use crate::model::profile::Profile;
use crate::model::profile::Table;

/// Facts of these tables, as far as there are any.
pub fn tables(names: &[QualifiedName]) -> Result<BTreeMap<QualifiedName, Table>, ErrorReport> {
    let mut known = BTreeMap::new();
    if names.is_empty() {
        return Ok(known);
    }
    let mut add = |profile: Profile| {
        for table in profile.tables {
            let name = table.name();
            if names.contains(&name) {
                known.entry(name).or_insert(table);
            }
        }
    };
    if let Some(profile) = profiles::load(None, &current_user()?)? {
        add(profile);
    }
    let here = relations::oids(names)?;
    if !here.is_empty() {
        add(Profile::from_json(profiles::capture(Some(&here))?)?);
    }
    Ok(known)
}
