//! The ledger of jobs: what each has made and not yet handed over, and what is
//! left of it.
//!
//! An object is written down in the transaction that makes it, so a crash
//! leaves both or neither. Whatever is in the ledger when a job fails or is
//! cancelled is dropped.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::pg::context::as_extension_owner;
use crate::pg::spi;

/// What an object is to its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A shard that is being filled.
    Staging,
    /// The keys of changed rows.
    Log,
    /// A trigger on a source: its oid is of `pg_trigger`.
    Trigger,
    /// A shard that was replaced.
    Retired,
}

impl Role {
    const fn word(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Log => "log",
            Self::Trigger => "trigger",
            Self::Retired => "retired",
        }
    }
}

/// An object of a job.
#[derive(Debug, Clone, Deserialize)]
pub struct Object {
    pub role: Role,
    pub object: u32,
    pub name: String,
}

/// Writes an object down, in the transaction that has made it.
pub fn record_object(operation_id: i64, role: Role, object: Oid, name: &str) -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        spi::run(
            "INSERT INTO presplit.job_objects (operation_id, role, object, name) VALUES ($1, $2, $3, $4)",
            &[operation_id.into(), role.word().into(), object.into(), name.into()],
        )
        .map(|_| ())
    })
}

/// Forgets an object: it was dropped, or is no more the job's.
pub fn forget_object(operation_id: i64, object: Oid) -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        spi::run(
            "DELETE FROM presplit.job_objects WHERE operation_id = $1 AND object = $2",
            &[operation_id.into(), object.into()],
        )
        .map(|_| ())
    })
}

/// What a job has made, latest first.
pub fn objects(operation_id: i64) -> Result<Vec<Object>, ErrorReport> {
    as_extension_owner(|| {
        spi::rows::<Object>(
            "SELECT jsonb_build_object('role', o.role, 'object', o.object::bigint, 'name', o.name)::text
             FROM presplit.job_objects AS o WHERE o.operation_id = $1 ORDER BY o.entry DESC",
            &[operation_id.into()],
        )
    })
}

/// The statements that drop an object, in order; none if it is gone.
pub fn drop_statements(object: &Object) -> Result<Vec<String>, ErrorReport> {
    let oid = i64::from(object.object);
    as_extension_owner(|| {
        match object.role {
        // pg_upgrade leaves our triggers behind, and others may have their numbers then.
        Role::Trigger => spi::column::<String>(
            "SELECT format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass)
             FROM pg_trigger AS t WHERE t.oid = $1::oid AND t.tgname = split_part($2, ' on ', 1)",
            &[oid.into(), object.name.as_str().into()],
        ),
        Role::Staging | Role::Log => spi::column::<String>(
            "SELECT s.statement
             FROM pg_class AS c,
             LATERAL (
                 SELECT 1 AS step, format('ALTER EXTENSION pg_presplit DROP TABLE %s', c.oid::regclass) AS statement
                 FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'pg_presplit'
                 WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
                   AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
                 UNION ALL
                 -- One that somebody has made a part of a table is his.
                 SELECT 2, format('DROP TABLE %s', c.oid::regclass)
                 WHERE NOT c.relispartition OR EXISTS (
                     SELECT FROM pg_inherits AS i JOIN presplit.job_objects AS o ON o.object = i.inhparent AND o.role = 'staging'
                     WHERE i.inhrelid = c.oid)) AS s
             WHERE c.oid = $1::oid
             ORDER BY s.step",
            &[oid.into()],
        ),
        Role::Retired => Ok(Vec::new()),
    }
    })
}

/// The statements that take partitions out of a table that was made for a job,
/// which others have put there: they must not be dropped together with it.
pub fn release_statements(operation_id: i64, object: &Object) -> Result<Vec<String>, ErrorReport> {
    as_extension_owner(|| {
        spi::column::<String>(
            "SELECT format('ALTER TABLE %s DETACH PARTITION %s', i.inhparent::regclass, i.inhrelid::regclass)
             FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhparent AND c.relkind = 'p'
             WHERE i.inhparent = $2::bigint::oid AND NOT EXISTS (
                 SELECT FROM presplit.job_objects AS o WHERE o.operation_id = $1 AND o.object = i.inhrelid)
             ORDER BY i.inhrelid",
            &[operation_id.into(), i64::from(object.object).into()],
        )
    })
}

/// Triggers that jobs have on a table, each with its job.
pub fn triggers_on(table: u32) -> Result<Vec<(i64, Object)>, ErrorReport> {
    as_extension_owner(|| {
        spi::rows::<(i64, Object)>(
            "SELECT jsonb_build_array(o.operation_id, jsonb_build_object('role', o.role, 'object', o.object::bigint, 'name', o.name))::text
             FROM presplit.job_objects AS o JOIN pg_trigger AS t ON t.oid = o.object
             WHERE o.role = 'trigger' AND t.tgrelid = $1::bigint::oid
             ORDER BY o.entry",
            &[i64::from(table).into()],
        )
    })
}

/// Triggers of a job that do not watch any more: gone, or no more enabled always.
pub fn blind_triggers(operation_id: i64) -> Result<Vec<String>, ErrorReport> {
    as_extension_owner(|| {
        spi::column::<String>(
            "SELECT o.name FROM presplit.job_objects AS o
             LEFT JOIN pg_trigger AS t ON t.oid = o.object
             WHERE o.operation_id = $1 AND o.role = 'trigger' AND t.tgenabled IS DISTINCT FROM 'A'
             ORDER BY o.name",
            &[operation_id.into()],
        )
    })
}
