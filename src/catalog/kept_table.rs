//! The keys that the rows of a table have, as an index on them tells at once.

use std::ffi::CStr;

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::catalog::reshard_rows::AS_TEXT;
use crate::model::bound::Bound;
use crate::model::layout::Layout;
use crate::model::layout::Shard;
use crate::model::name::QualifiedName;
use crate::pg::context::restricted_to;
use crate::pg::context::with_any_settings;
use crate::pg::context::with_pinned_search_path;
use crate::pg::context::with_pinned_texts;
use crate::pg::spi;
use crate::planning::provision::kept;
use crate::planning::provision::kept::KeyColumn;
use crate::planning::provision::kept::Probe;

/// Have the index used, whatever the statistics say, and every row seen.
const BY_INDEX: &[(&CStr, &CStr)] =
    &[(c"enable_seqscan", c"off"), (c"enable_sort", c"off"), (c"row_security", c"off")];

/// The key of a table that has an index on it.
#[derive(Debug, Clone, Deserialize)]
pub struct Key {
    pub index: String,
    pub columns: Vec<KeyColumn>,
}

/// The key of a table, if there is an index by which its rows are found in the
/// order that a partitioned table has.
pub fn key(table: u32, columns: &[String]) -> Result<Option<Key>, ErrorReport> {
    let found = with_pinned_texts(|| {
        spi::rows::<Key>(
            include_str!("queries/kept_key.sql"),
            &[i64::from(table).into(), columns.to_vec().into()],
        )
    })?;
    Ok(found.into_iter().next())
}

/// Which shards of a layout a table has rows of, or behind, and its greatest key.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    names: Vec<String>,
    pub greatest: Option<String>,
}

impl Taken {
    #[must_use]
    pub fn has(&self, shard: &Shard) -> bool {
        self.names.contains(&shard.name)
    }
}

/// Looks, with the rights of the table's owner.
pub fn taken(table: &QualifiedName, owner: Oid, key: &Key, layout: &Layout) -> Result<Taken, ErrorReport> {
    let shards: Vec<&Shard> = kept::candidates(layout).collect();
    if shards.is_empty() {
        return Ok(Taken::default());
    }
    let probe = Probe { table, columns: &key.columns };
    let is_list = shards.iter().any(|shard| matches!(shard.bound, Bound::List { .. }));
    let query = if is_list { probe.of_lists(&shards) } else { probe.of_ranges(&shards) };
    let found = as_owner(owner, || spi::rows::<(Vec<bool>, Option<String>)>(&query, &[]))?;
    let Some((taken, greatest)) = found.into_iter().next() else { return Ok(Taken::default()) };
    let names = shards.iter().zip(taken).filter(|(_, taken)| *taken);
    Ok(Taken { names: names.map(|(shard, _)| shard.name.clone()).collect(), greatest })
}

/// Whether a row has no key, which no range accepts.
pub fn has_nulls(table: &QualifiedName, owner: Oid, key: &Key) -> Result<bool, ErrorReport> {
    let Some(first) = key.columns.first().filter(|column| !column.is_not_null) else { return Ok(false) };
    let probe = Probe { table, columns: std::slice::from_ref(first) };
    as_owner(owner, || spi::one::<bool>(&probe.of_nulls(), &[])).map(Option::unwrap_or_default)
}

/// Whether row security hides rows of a table from its owner.
pub fn is_hidden(table: u32) -> Result<bool, ErrorReport> {
    with_pinned_search_path(|| {
        spi::one::<bool>(
            "SELECT c.relrowsecurity AND c.relforcerowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls
             FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner WHERE c.oid = $1::bigint::oid",
            &[i64::from(table).into()],
        )
    })
    .map(Option::unwrap_or_default)
}

/// The statements that take from a table, its columns, indexes and constraints
/// what is said of them.
pub fn uncomment(table: u32) -> Result<Vec<String>, ErrorReport> {
    with_pinned_search_path(|| {
        spi::column::<String>(
            "SELECT s.text FROM pg_class AS c CROSS JOIN LATERAL (
                 SELECT format('COMMENT ON TABLE %s IS NULL', c.oid::regclass) AS text
                 WHERE obj_description(c.oid, 'pg_class') IS NOT NULL
                 UNION ALL
                 SELECT format('COMMENT ON COLUMN %s.%I IS NULL', c.oid::regclass, t.attname)
                 FROM pg_attribute AS t WHERE t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped
                   AND col_description(c.oid, t.attnum) IS NOT NULL
                 UNION ALL
                 SELECT format('COMMENT ON INDEX %s IS NULL', i.indexrelid::regclass)
                 FROM pg_index AS i WHERE i.indrelid = c.oid AND obj_description(i.indexrelid, 'pg_class') IS NOT NULL
                 UNION ALL
                 SELECT format('COMMENT ON CONSTRAINT %I ON %s IS NULL', k.conname, c.oid::regclass)
                 FROM pg_constraint AS k WHERE k.conrelid = c.oid AND obj_description(k.oid, 'pg_constraint') IS NOT NULL) AS s
             WHERE c.oid = $1::bigint::oid",
            &[i64::from(table).into()],
        )
    })
}

/// The identity columns of a table, quoted.
pub fn identities(table: u32) -> Result<Vec<String>, ErrorReport> {
    with_pinned_search_path(|| {
        spi::column::<String>(
            "SELECT quote_ident(t.attname) FROM pg_attribute AS t
             WHERE t.attrelid = $1::bigint::oid AND t.attnum > 0 AND NOT t.attisdropped AND t.attidentity <> ''
             ORDER BY t.attnum",
            &[i64::from(table).into()],
        )
    })
}

fn as_owner<R>(owner: Oid, work: impl FnOnce() -> R) -> R {
    let settings: Vec<(&CStr, &CStr)> = AS_TEXT.iter().chain(BY_INDEX).copied().collect();
    with_pinned_search_path(|| with_any_settings(&settings, || restricted_to(owner, work)))
}
