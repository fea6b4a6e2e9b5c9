//! Settings of single tables, also of tables that are not here yet.

use std::collections::BTreeMap;

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;
use serde_json::Map;
use serde_json::Value;

use crate::model::name::QualifiedName;
use crate::pg::context::as_extension_owner;
use crate::pg::spi;

/// The settings of a table; empty if it has none.
pub fn load(relation: &QualifiedName) -> Result<Map<String, Value>, ErrorReport> {
    let found = as_extension_owner(|| {
        spi::rows::<Map<String, Value>>(
            "SELECT settings::text FROM presplit.table_settings WHERE schema_name = $1 AND table_name = $2",
            &[relation.schema.as_str().into(), relation.name.as_str().into()],
        )
    })?;
    Ok(found.into_iter().next().unwrap_or_default())
}

/// Settings of a table and when they were last changed.
#[derive(Deserialize)]
#[serde(from = "(String, String, Map<String, Value>, i64)")]
pub struct TableSettings {
    name: QualifiedName,
    pub values: Map<String, Value>,
    /// Microseconds since 1970-01-01 UTC.
    pub changed_at: i64,
}

impl From<(String, String, Map<String, Value>, i64)> for TableSettings {
    fn from((schema, name, values, changed_at): (String, String, Map<String, Value>, i64)) -> Self {
        Self { name: QualifiedName { schema, name }, values, changed_at }
    }
}

/// The settings of all tables that have some.
pub fn all() -> Result<BTreeMap<QualifiedName, TableSettings>, ErrorReport> {
    let found = as_extension_owner(|| {
        spi::rows::<TableSettings>(
            "SELECT jsonb_build_array(schema_name, table_name, settings,
                        (extract(epoch FROM changed_at) * 1000000)::bigint)::text
             FROM presplit.table_settings",
            &[],
        )
    })?;
    Ok(found.into_iter().map(|settings| (settings.name.clone(), settings)).collect())
}

/// Replaces the settings of a table.
pub fn store(relation: &QualifiedName, settings: &Map<String, Value>, user: &str) -> Result<(), ErrorReport> {
    let text = Value::Object(settings.clone()).to_string();
    as_extension_owner(|| {
        spi::run(
            "INSERT INTO presplit.table_settings (schema_name, table_name, settings, changed_by)
             VALUES ($1, $2, $3::jsonb, $4)
             ON CONFLICT (schema_name, table_name) DO UPDATE SET
                 settings = EXCLUDED.settings, changed_at = clock_timestamp(), changed_by = EXCLUDED.changed_by",
            &[relation.schema.as_str().into(), relation.name.as_str().into(), text.as_str().into(), user.into()],
        )
    })?;
    Ok(())
}
