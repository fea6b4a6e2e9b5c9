//! Declared statements, stored by the name of the profile that they belong to:
//! apart from the profile, so that they outlive its facts.

use pgrx::pg_sys::panic::ErrorReport;
use serde_json::Value;

use crate::model::report::SqlState;
use crate::pg::context::as_extension_owner;
use crate::pg::error;
use crate::pg::spi;
use crate::planning::workload::declared;
use crate::planning::workload::declared::Declared;

crate::pg::error::reports!(declared::DeclaredError);

/// Who may see them: their creator, superusers, and who may read all data or
/// the texts of all statements.
const VISIBLE: &str = "(declared_by = $1 OR pg_has_role($1, 'pg_read_all_data', 'USAGE')
                        OR pg_has_role($1, 'pg_read_all_stats', 'USAGE'))";

/// Stores the statements of a profile, replacing those of that name; an empty
/// list leaves none.
pub fn store(name: &str, statements: &Value, user: &str) -> Result<(), ErrorReport> {
    let text = statements.to_string();
    as_extension_owner(|| {
        spi::run("DELETE FROM presplit.declared_workloads WHERE profile = $1", &[name.into()])?;
        spi::run(
            "INSERT INTO presplit.declared_workloads (profile, statements, declared_by)
             SELECT $1, $2::jsonb, $3 WHERE $2::jsonb <> '[]'::jsonb",
            &[name.into(), text.as_str().into(), user.into()],
        )
    })?;
    Ok(())
}

/// Whether somebody else declared statements for a profile, and the user is
/// no superuser.
pub fn owned_by_another(name: &str, user: &str) -> Result<bool, ErrorReport> {
    as_extension_owner(|| {
        spi::one::<bool>(
            "SELECT EXISTS (SELECT FROM presplit.declared_workloads AS d
                            WHERE d.profile = $2 AND d.declared_by <> $1
                              AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = $1))",
            &[user.into(), name.into()],
        )
    })
    .map(Option::unwrap_or_default)
}

/// The declared statements of a profile, or of all, that a user may see; none
/// if there is no declaration.
pub fn load(name: Option<&str>, user: &str) -> Result<Option<Vec<Declared>>, ErrorReport> {
    let texts = as_extension_owner(|| {
        spi::column::<String>(
            &format!(
                "SELECT statements::text FROM presplit.declared_workloads
                 WHERE {VISIBLE} AND (profile = $2 OR $2 IS NULL) ORDER BY profile"
            ),
            &[user.into(), name.into()],
        )
    })?;
    if texts.is_empty() {
        return Ok(None);
    }
    let mut all = Vec::new();
    for text in texts {
        let value: Value = serde_json::from_str(&text).map_err(|cause| {
            error::new(
                SqlState::DataCorrupted,
                format!("could not read declared statements: {cause}"),
                None,
                None,
            )
        })?;
        all.extend(declared::read(&value)?);
    }
    Ok(Some(all))
}
