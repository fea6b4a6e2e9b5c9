//! Shards that were replaced and are kept for a while.

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::model::name::QualifiedName;
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
               -- One that is being filled again.
               AND NOT EXISTS (SELECT FROM presplit.job_objects AS o WHERE o.object = r.shard AND o.role = 'retired')
             ORDER BY r.drop_after, r.shard",
            &[],
        )
    })
}

/// The statements that take partitions out of a table that was replaced, which
/// others have put there since: they must not be dropped together with it.
pub fn release_statements(table: u32) -> Result<Vec<String>, ErrorReport> {
    as_extension_owner(|| {
        spi::column::<String>(
            "WITH tree AS (
                 SELECT $1::bigint::oid AS oid UNION SELECT t.relid::oid FROM pg_partition_tree($1::bigint::oid) AS t
             ), members AS (
                 SELECT d.objid AS oid FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'pg_presplit'
                 WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e')
             SELECT format('ALTER TABLE %s DETACH PARTITION %s', i.inhparent::regclass, i.inhrelid::regclass)
             FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhparent AND c.relkind = 'p'
             WHERE i.inhparent IN (SELECT oid FROM tree) AND i.inhparent IN (SELECT oid FROM members)
               AND i.inhrelid NOT IN (SELECT oid FROM members)
             ORDER BY i.inhrelid",
            &[i64::from(table).into()],
        )
    })
}

/// A shard that an operation has replaced, as it is now.
#[derive(Debug, Deserialize)]
pub struct Kept {
    pub shard: u32,
    /// None if it is gone.
    pub name: Option<QualifiedName>,
    /// When it may be dropped, for people.
    pub until: String,
    pub is_over: bool,
    /// Whether it is what it was made when it was replaced.
    pub is_ours: bool,
    /// Whether nobody can have written to it.
    pub is_blocked: bool,
}

/// The shards that an operation has replaced and that are written down.
pub fn of_operation(operation_id: i64) -> Result<Vec<Kept>, ErrorReport> {
    as_extension_owner(|| {
        spi::rows::<Kept>(
            "SELECT jsonb_build_object(
                 'shard', r.shard::bigint, 'until', to_char(r.drop_after, 'YYYY-MM-DD HH24:MI:SS TZ'),
                 'name', CASE WHEN c.oid IS NOT NULL THEN jsonb_build_object('schema', n.nspname, 'name', c.relname) END,
                 'is_over', r.drop_after <= clock_timestamp(),
                 'is_ours', c.relkind = 'r' AND NOT c.relispartition AND EXISTS (
                     SELECT FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
                     WHERE e.extname = 'pg_presplit' AND d.classid = 'pg_class'::regclass AND d.objid = r.shard
                       AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'),
                 'is_blocked', EXISTS (SELECT FROM pg_trigger AS g
                                       WHERE g.tgrelid = r.shard AND g.tgname = 'presplit_retired' AND g.tgenabled = 'A'))::text
             FROM presplit.retired_shards AS r
             LEFT JOIN pg_class AS c ON c.oid = r.shard
             LEFT JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE r.operation_id = $1",
            &[operation_id.into()],
        )
    })
}

/// The shards of a table that were replaced and are kept, each a table of its own.
pub fn of_table(root: u32) -> Result<Vec<(u32, QualifiedName)>, ErrorReport> {
    as_extension_owner(|| {
        spi::rows::<(u32, QualifiedName)>(
            "SELECT jsonb_build_array(c.oid::bigint, jsonb_build_object('schema', n.nspname, 'name', c.relname))::text
             FROM presplit.retired_shards AS r JOIN pg_class AS c ON c.oid = r.shard AND NOT c.relispartition
             JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE r.relation = $1::bigint::oid ORDER BY c.oid",
            &[i64::from(root).into()],
        )
    })
}

/// The first later operation that has replaced one of these shards.
pub fn replaced_later(operation_id: i64, shards: &[u32]) -> Result<Option<i64>, ErrorReport> {
    let shards: Vec<i64> = shards.iter().map(|oid| i64::from(*oid)).collect();
    as_extension_owner(|| {
        spi::one::<i64>(
            "SELECT min(j.operation_id) FROM presplit.jobs AS j
             WHERE j.operation_id > $1 AND j.phase = 'done'
               AND EXISTS (SELECT FROM jsonb_array_elements(j.change->'sources') AS s (value)
                           WHERE (s.value->>'oid')::bigint = ANY ($2::bigint[]))",
            &[operation_id.into(), shards.into()],
        )
    })
}

/// Operations that are over and whose captures are of no more use: they cannot
/// be undone any more, their logs have become larger than what they spare, or
/// they are in a copy of their database, where nothing is written down.
pub fn captures_in_vain() -> Result<Vec<i64>, ErrorReport> {
    as_extension_owner(|| {
        spi::column::<i64>(
            "WITH captures AS (
                 SELECT o.operation_id, sum(pg_relation_size(c.oid)) AS bytes, count(t.oid) AS triggers
                 FROM presplit.job_objects AS o JOIN presplit.jobs AS j USING (operation_id)
                 LEFT JOIN pg_class AS c ON c.oid = o.object AND o.role = 'log'
                 LEFT JOIN pg_trigger AS t ON t.oid = o.object AND o.role = 'trigger' AND t.tgenabled = 'A'
                 WHERE j.is_over AND j.phase = 'done' AND o.role IN ('log', 'trigger')
                 GROUP BY o.operation_id)
             SELECT x.operation_id FROM captures AS x JOIN presplit.jobs AS j USING (operation_id)
             WHERE NOT EXISTS (SELECT FROM presplit.jobs AS u
                               WHERE NOT u.is_over AND (u.change->'undo'->>'operation_id')::bigint = x.operation_id)
               AND (EXISTS (SELECT FROM jsonb_array_elements(j.change->'sources') AS s (value)
                            LEFT JOIN presplit.retired_shards AS r ON r.shard = (s.value->>'oid')::bigint::oid
                                AND r.operation_id = x.operation_id AND r.drop_after > clock_timestamp()
                            LEFT JOIN pg_class AS c ON c.oid = r.shard
                            WHERE c.oid IS NULL)
                 OR EXISTS (SELECT FROM jsonb_array_elements(j.change->'targets') AS t (value)
                            LEFT JOIN pg_class AS c ON c.oid = (t.value->>'oid')::bigint::oid AND c.relispartition
                            WHERE c.oid IS NULL)
                 OR x.triggers <> 2 * jsonb_array_length(j.change->'targets')
                 OR j.database <> (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
                 OR j.system_identifier <> (SELECT s.system_identifier FROM pg_control_system() AS s)
                 OR x.bytes > greatest(67108864, (SELECT sum(pg_table_size(c.oid)) FROM presplit.retired_shards AS r
                                                  JOIN pg_class AS c ON c.oid = r.shard WHERE r.operation_id = x.operation_id)))",
            &[],
        )
    })
}

/// Whether the changes of all these tables are written down under the number
/// of an operation that is over, and were from its end on: in a copy of its
/// database they are not.
pub fn is_captured(operation_id: i64, tables: &[u32]) -> Result<bool, ErrorReport> {
    let tables: Vec<i64> = tables.iter().map(|oid| i64::from(*oid)).collect();
    as_extension_owner(|| {
        spi::one::<bool>(
            "SELECT count(*) = 2 * cardinality($2::bigint[])
                    AND EXISTS (SELECT FROM presplit.job_objects AS o JOIN pg_class AS c ON c.oid = o.object
                                WHERE o.operation_id = $1 AND o.role = 'log')
                    AND EXISTS (SELECT FROM presplit.jobs AS j CROSS JOIN pg_control_system() AS s
                                JOIN pg_database AS d ON d.datname = current_database()
                                WHERE j.operation_id = $1 AND j.database = d.oid AND j.system_identifier = s.system_identifier)
             FROM presplit.job_objects AS o JOIN pg_trigger AS t ON t.oid = o.object
             WHERE o.operation_id = $1 AND o.role = 'trigger' AND t.tgenabled = 'A'
               AND t.tgrelid::bigint = ANY ($2::bigint[])",
            &[operation_id.into(), tables.into()],
        )
    })
    .map(Option::unwrap_or_default)
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
