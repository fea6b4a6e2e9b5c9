//! What gives way together with a whole table: the names that its things have
//! in their schema, the views that read it, and what of it stands in the way.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::model::finding::Finding;
use crate::model::name::QualifiedName;
use crate::pg::context::as_extension_owner;
use crate::pg::context::with_pinned_texts;
use crate::pg::spi;

/// A thing of a table that has a name in a schema.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Named {
    /// `INDEX`, `STATISTICS`, or `SEQUENCE` of an identity column.
    pub kind: String,
    pub schema: String,
    pub name: String,
}

/// The indexes, statistics objects and identities' sequences of a table.
pub fn named(table: u32) -> Result<Vec<Named>, ErrorReport> {
    with_pinned_texts(|| {
        spi::rows::<Named>(
            "SELECT jsonb_build_object('kind', t.kind, 'schema', n.nspname, 'name', t.name)::text
             FROM (
                 SELECT 'INDEX' AS kind, x.relnamespace AS namespace, x.relname AS name
                 FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid WHERE i.indrelid = $1::bigint::oid
                 UNION ALL
                 SELECT 'STATISTICS', s.stxnamespace, s.stxname FROM pg_statistic_ext AS s WHERE s.stxrelid = $1::bigint::oid
                 UNION ALL
                 SELECT 'SEQUENCE', s.relnamespace, s.relname
                 FROM pg_depend AS d JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
                 WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1::bigint::oid
                   AND d.classid = 'pg_class'::regclass AND d.deptype = 'i') AS t
             JOIN pg_namespace AS n ON n.oid = t.namespace
             ORDER BY t.kind, n.nspname, t.name",
            &[i64::from(table).into()],
        )
    })
}

/// A view that reads a table, or a function that does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct View {
    pub oid: u32,
    /// As the server describes what depends on the table.
    pub described: String,
    /// Makes it read the table that has the name by then.
    pub statement: String,
}

/// The views that read a table themselves.
pub fn views(table: u32) -> Result<Vec<View>, ErrorReport> {
    with_pinned_texts(|| {
        spi::rows::<View>(
            "SELECT DISTINCT ON (v.oid) jsonb_build_object('oid', v.oid::bigint,
                 'described', pg_describe_object('pg_rewrite'::regclass, w.oid, 0),
                 'statement', format('CREATE OR REPLACE VIEW %I.%I%s AS %s', n.nspname, v.relname,
                     (SELECT ' WITH (' || string_agg(format('%I = %L', o.option_name, o.option_value), ', ') || ')'
                      FROM pg_options_to_table(v.reloptions) AS o),
                     rtrim(pg_get_viewdef(v.oid), ';')))::text
             FROM pg_depend AS d
             JOIN pg_rewrite AS w ON w.oid = d.objid AND w.rulename = '_RETURN'
             JOIN pg_class AS v ON v.oid = w.ev_class AND v.relkind = 'v'
             JOIN pg_namespace AS n ON n.oid = v.relnamespace
             WHERE d.classid = 'pg_rewrite'::regclass AND d.deptype = 'n'
               AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1::bigint::oid
             ORDER BY v.oid",
            &[i64::from(table).into()],
        )
    })
}

/// The functions and procedures whose bodies are bound to a table, as `BEGIN
/// ATOMIC` makes them; not those that have its row type in their signatures or
/// bodies, which is another type afterwards. `locked`: nobody replaces one until
/// the transaction ends.
pub fn routines(table: u32, locked: bool) -> Result<Vec<View>, ErrorReport> {
    let lock = if locked { "FOR UPDATE OF f" } else { "" };
    with_pinned_texts(|| {
        spi::rows::<View>(
            &format!(
                "SELECT jsonb_build_object('oid', f.oid::bigint,
                     'described', pg_describe_object('pg_proc'::regclass, f.oid, 0),
                     'statement', pg_get_functiondef(f.oid))::text
                 FROM pg_proc AS f
                 WHERE f.prosqlbody IS NOT NULL
                   AND EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid
                                 AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1::bigint::oid)
                   AND NOT EXISTS (SELECT FROM pg_depend AS d JOIN pg_type AS t ON t.typrelid = $1::bigint::oid
                                   WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid
                                     AND d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray))
                 ORDER BY f.oid {lock}"
            ),
            &[i64::from(table).into()],
        )
    })
}

/// What stands in the way of another table taking a table's name, besides what
/// would be lost. `without_scan` as for shards.
pub fn obstacles(table: u32, without_scan: bool) -> Result<Vec<Finding>, ErrorReport> {
    with_pinned_texts(|| {
        spi::rows::<Finding>(
            include_str!("queries/whole_obstacles.sql"),
            &[i64::from(table).into(), without_scan.into()],
        )
    })
}

/// The statements that take from a table which was made like another the
/// constraints that do not hold for all of its rows.
pub fn unproven(table: u32, made: &QualifiedName) -> Result<Vec<String>, ErrorReport> {
    with_pinned_texts(|| {
        spi::column::<String>(
            "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', $2::text, k.conname)
             FROM pg_constraint AS k
             WHERE k.conrelid = $1::bigint::oid AND k.contype IN ('c', 'n')
               AND NOT (k.convalidated AND coalesce((to_jsonb(k)->>'conenforced')::bool, true))
             ORDER BY k.conname",
            &[i64::from(table).into(), made.to_string().into()],
        )
    })
}

/// A partition of a table, on any level.
#[derive(Debug, Clone, Deserialize)]
pub struct Found {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    pub is_leaf: bool,
    /// As PostgreSQL writes it.
    pub bound: String,
}

/// All partitions of a table, each after the one that it is in.
pub fn partitions(root: Oid) -> Result<Vec<Found>, ErrorReport> {
    with_pinned_texts(|| {
        spi::rows::<Found>(
            "SELECT jsonb_build_object('oid', c.oid::bigint, 'schema', n.nspname, 'name', c.relname, 'is_leaf', t.isleaf,
                 'bound', coalesce(pg_get_expr(c.relpartbound, c.oid), ''))::text
             FROM pg_partition_tree($1) AS t
             JOIN pg_class AS c ON c.oid = t.relid JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE t.level > 0 ORDER BY t.level, c.oid",
            &[root.into()],
        )
    })
}

/// A partition that has no part of an index yet.
#[derive(Debug, Clone, Deserialize)]
pub struct Lacking {
    pub oid: u32,
    /// Quoted.
    pub table: String,
    pub is_leaf: bool,
    /// The part of the index that its own is to be attached to, quoted.
    pub parent_index: String,
}

/// The first partition that has no part of an index of its table; those on an
/// upper level come first.
pub fn lacking(root: Oid, index: Oid) -> Result<Option<Lacking>, ErrorReport> {
    let found = with_pinned_texts(|| {
        spi::rows::<Lacking>(
            "WITH parts AS (
                 SELECT i.indrelid, format('%I.%I', n.nspname, x.relname) AS name
                 FROM pg_partition_tree($2) AS t
                 JOIN pg_index AS i ON i.indexrelid = t.relid
                 JOIN pg_class AS x ON x.oid = t.relid JOIN pg_namespace AS n ON n.oid = x.relnamespace)
             SELECT jsonb_build_object('oid', c.oid::bigint, 'table', format('%I.%I', n.nspname, c.relname), 'is_leaf', t.isleaf,
                 'parent_index', p.name)::text
             FROM pg_partition_tree($1) AS t
             JOIN pg_class AS c ON c.oid = t.relid JOIN pg_namespace AS n ON n.oid = c.relnamespace
             JOIN parts AS p ON p.indrelid = t.parentrelid
             WHERE t.level > 0 AND NOT EXISTS (SELECT FROM parts AS o WHERE o.indrelid = c.oid)
             ORDER BY t.level, c.oid LIMIT 1",
            &[root.into(), index.into()],
        )
    })?;
    Ok(found.into_iter().next())
}

/// The index of a partition that is no part of another, quoted: the last one
/// that was made, if its name is none of these.
pub fn unattached(table: u32, names: &[String]) -> Result<Option<String>, ErrorReport> {
    with_pinned_texts(|| {
        spi::one::<String>(
            "SELECT format('%I.%I', n.nspname, x.relname)
             FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = x.relnamespace
             WHERE i.indrelid = $1::bigint::oid AND NOT x.relispartition AND x.relname <> ALL ($2::text[])
             ORDER BY x.oid DESC LIMIT 1",
            &[i64::from(table).into(), names.to_vec().into()],
        )
    })
}

/// An index of a table that not all of its partitions have a part of, quoted.
pub fn invalid_index(table: Oid) -> Result<Option<String>, ErrorReport> {
    with_pinned_texts(|| {
        spi::one::<String>(
            "SELECT min(i.indexrelid::regclass::text) FROM pg_index AS i WHERE i.indrelid = $1 AND NOT i.indisvalid",
            &[table.into()],
        )
    })
}

/// From now on an operation is about the table that has taken the old one's
/// place, which is none of ours any more.
pub fn now_about(operation_id: i64, old: u32, new: u32) -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        spi::run(
            "DELETE FROM presplit.sharded_tables WHERE relation = $1::bigint::oid::regclass",
            &[i64::from(old).into()],
        )?;
        let arguments = [operation_id.into(), i64::from(new).into()];
        spi::run("UPDATE presplit.jobs SET root = $2::bigint::oid WHERE operation_id = $1", &arguments)?;
        spi::run(
            "UPDATE presplit.retired_shards SET relation = $2::bigint::oid WHERE relation = $1::bigint::oid",
            &[i64::from(old).into(), i64::from(new).into()],
        )?;
        spi::run(
            "UPDATE presplit.operation_log SET relation = $2::bigint::oid WHERE operation_id = $1",
            &arguments,
        )
        .map(|_| ())
    })
}
