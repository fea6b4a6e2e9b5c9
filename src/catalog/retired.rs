//! Shards that were replaced and are kept for a while.

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::pg::context::as_extension_owner;
use crate::pg::spi;

/// A shard that was replaced.
pub struct Retired<'a> {
    pub shard: u32,
    /// The sharded table at the top.
    pub root: u32,
    /// The table that the shard was a partition of.
    pub parent: u32,
    pub bound: &'a str,
    pub operation_id: i64,
    pub grace_seconds: i64,
}

/// Writes down that a shard was replaced, in the transaction that does it.
pub fn record(retired: &Retired<'_>) -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        spi::run(
            "INSERT INTO presplit.retired_shards (shard, relation, parent, bound, operation_id, drop_after)
             VALUES ($1::bigint::oid, $2::bigint::oid, $3::bigint::oid, $4, $5, clock_timestamp() + make_interval(secs => $6::float8))",
            &[
                i64::from(retired.shard).into(),
                i64::from(retired.root).into(),
                i64::from(retired.parent).into(),
                retired.bound.into(),
                retired.operation_id.into(),
                (retired.grace_seconds as f64).into(),
            ],
        )
        .map(|_| ())
    })
}

/// A shard whose time is over.
#[derive(Debug, Deserialize)]
pub struct Expired {
    pub shard: u32,
    /// Quoted; none if somebody has dropped it, or it is a shard again.
    pub table: Option<String>,
    /// Those of it and its partitions that are members of the extension, quoted.
    pub members: Vec<String>,
}

/// The shards whose time is over, the oldest first.
pub fn expired() -> Result<Vec<Expired>, ErrorReport> {
    as_extension_owner(|| {
        spi::rows::<Expired>(
            "SELECT jsonb_build_object(
                 'shard', r.shard::bigint,
                 'table', CASE WHEN NOT c.relispartition THEN format('%I.%I', n.nspname, c.relname) END,
                 'members', (SELECT coalesce(jsonb_agg(m.oid::regclass::text ORDER BY m.oid DESC), '[]')
                             FROM (SELECT r.shard AS oid UNION SELECT t.relid::oid FROM pg_partition_tree(c.oid) AS t) AS m
                             WHERE EXISTS (SELECT FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
                                   WHERE e.extname = 'pg_presplit' AND d.classid = 'pg_class'::regclass AND d.objid = m.oid
                                     AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e')))::text
             FROM presplit.retired_shards AS r
             LEFT JOIN pg_class AS c ON c.oid = r.shard AND c.relkind IN ('r', 'p')
             LEFT JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE r.drop_after <= clock_timestamp()
             ORDER BY r.drop_after, r.shard",
            &[],
        )
    })
}

/// Forgets a shard that is gone.
pub fn forget(shard: u32) -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        spi::run(
            "DELETE FROM presplit.retired_shards WHERE shard = $1::bigint::oid",
            &[i64::from(shard).into()],
        )
        .map(|_| ())
    })
}

/// Puts off what could not be done now.
pub fn postpone(shard: u32) -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        spi::run(
            "UPDATE presplit.retired_shards SET drop_after = clock_timestamp() + interval '10 minutes'
             WHERE shard = $1::bigint::oid",
            &[i64::from(shard).into()],
        )
        .map(|_| ())
    })
}

/// Keeps everybody from writing to a shard that was replaced: nobody would see
/// the rows. Whoever waited for the swap with a statement that names the shard
/// itself is told where they belong.
pub fn block_writes(shard: &str, root: u32, operation_id: i64) -> Result<(), ErrorReport> {
    spi::run(
        &format!(
            "CREATE TRIGGER presplit_retired BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {shard}
             FOR EACH STATEMENT EXECUTE FUNCTION presplit.refuse_write({root}, {operation_id})"
        ),
        &[],
    )?;
    spi::run(&format!("ALTER TABLE {shard} ENABLE ALWAYS TRIGGER presplit_retired"), &[]).map(|_| ())
}
