//! Where the files are that a change writes: its new tables, the log of changes,
//! and what is written ahead of both. Each may be on a file system of its own.

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::model::reshard::Change;
use crate::pg::context::as_extension_owner;
use crate::pg::spi;

/// A folder of the server's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Place {
    /// For people.
    pub name: String,
    pub path: String,
}

/// The folders that a change writes to: those of the tables that were made for
/// it, or will be, and of their indexes.
///
/// # Errors
/// If the catalogs cannot be read.
pub fn of(change: &Change) -> Result<Vec<Place>, ErrorReport> {
    let mut tables: Vec<i64> = change.made().into_iter().map(|(oid, _)| i64::from(oid)).collect();
    let mut named = Vec::new();
    for target in change.targets.iter().filter(|target| target.oid.is_none()) {
        match &target.tablespace {
            Some(tablespace) => named.push(tablespace.clone()),
            None => tables.extend(change.sources.get(target.like).map(|source| i64::from(source.oid))),
        }
    }
    as_extension_owner(|| {
        spi::rows::<Place>(
            "WITH spaces AS (
                 -- The log of changes is in that of the database.
                 SELECT d.dattablespace AS oid FROM pg_database AS d WHERE d.datname = current_database()
                 UNION
                 SELECT c.reltablespace FROM pg_class AS c WHERE c.oid = ANY ($1::bigint[]::oid[])
                 UNION
                 SELECT x.reltablespace FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid
                 WHERE i.indrelid = ANY ($1::bigint[]::oid[])
                 UNION
                 SELECT e.oid FROM pg_tablespace AS e WHERE e.spcname = ANY ($2::text[]))
             SELECT jsonb_build_object('name', p.name, 'path', p.path)::text
             FROM (SELECT 'the data directory' AS name, current_setting('data_directory') AS path
                   UNION ALL
                   SELECT 'pg_wal', current_setting('data_directory') || '/pg_wal'
                   UNION ALL
                   SELECT 'tablespace ' || quote_ident(e.spcname), pg_tablespace_location(e.oid)
                   FROM spaces AS s JOIN pg_tablespace AS e ON e.oid = s.oid) AS p
             WHERE p.path <> ''",
            &[tables.into(), named.into()],
        )
    })
}
