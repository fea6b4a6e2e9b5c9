//! Partitions as PostgreSQL's catalogs have them: what a shard is, by what its
//! table is divided, and what of it can be seen by size.
//!
//! Not here: what may be done with them (`planning::reshard`). Texts of values
//! do not depend on settings of the session.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::model::name::QualifiedName;
use crate::pg::context::as_extension_owner;
use crate::pg::context::restricted_to;
use crate::pg::context::with_pinned_search_path;
use crate::pg::context::with_pinned_texts;
use crate::pg::context::with_settings;
use crate::pg::key_value;
use crate::pg::key_value::ReadValue;
use crate::pg::key_value::Unreadable;
use crate::pg::key_value::ValueType;
use crate::pg::spi;

/// Pages of a table that a sample looks at, at most about.
const SAMPLE_PAGES: i64 = 256;

/// A relation that is said to be a shard.
#[derive(Debug, Clone, Deserialize)]
pub struct Candidate {
    pub oid: u32,
    pub name: QualifiedName,
    /// `relkind`.
    pub kind: String,
    pub partition: bool,
    pub temporary: bool,
    /// A DETACH CONCURRENTLY has begun and not ended.
    pub detaching: bool,
    pub bound: Option<String>,
    pub tablespace: Option<String>,
    /// Whether the table's owner may put tables where this one is.
    pub may_place: Option<bool>,
    /// Whether the table's owner may create tables in its schema.
    pub may_create: Option<bool>,
    pub parent: Option<u32>,
    pub parent_name: Option<QualifiedName>,
    pub root: Option<u32>,
    pub root_name: Option<QualifiedName>,
    pub owner: Option<u32>,
    /// Whether the caller has the rights of the sharded table's owner.
    pub owned: bool,
}

/// How a partitioned table is divided.
#[derive(Debug, Clone, Deserialize)]
pub struct Parent {
    /// `partstrat`.
    pub strategy: String,
    pub columns: Vec<KeyColumn>,
    pub partitions: Vec<Partition>,
}

/// A column of the key, or an expression.
#[derive(Debug, Clone, Deserialize)]
pub struct KeyColumn {
    pub name: String,
    /// None for an expression.
    pub attribute: Option<String>,
    /// As SQL writes it; none if it is not known.
    pub expression: Option<String>,
    pub type_text: String,
    /// Without modifiers.
    pub type_name: String,
    type_oid: u32,
    modifier: i32,
    collation: u32,
    class: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Partition {
    pub oid: u32,
    pub name: QualifiedName,
    pub bound: Option<String>,
}

/// What ANALYZE knows of a column.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Statistics {
    pub common: Option<Vec<String>>,
    pub frequencies: Option<Vec<f64>>,
    pub bounds: Option<Vec<String>>,
    pub nulls: Option<f64>,
}

/// An index that tells rows apart.
#[derive(Debug, Clone, Deserialize)]
pub struct Identity {
    pub table: u32,
    pub index: u32,
    pub columns: Vec<String>,
}

/// What replaced shards take, and whom their swap concerns.
#[derive(Debug, Clone, Deserialize)]
pub struct Concerned {
    pub table_bytes: f64,
    pub all_index_bytes: f64,
    pub identity_bytes: f64,
    pub default: Option<QualifiedName>,
    pub referencing: Vec<QualifiedName>,
    pub referenced: Vec<QualifiedName>,
}

fn read<R>(work: impl FnOnce() -> R) -> R {
    // A policy must not hide rows from a sample: better an error.
    with_pinned_texts(|| with_settings(&[(c"row_security", c"off")], work))
}

/// The relations of some oids, in their order; those that are not there are
/// left out.
pub fn candidates(oids: &[u32]) -> Result<Vec<Candidate>, ErrorReport> {
    read(|| spi::rows(include_str!("queries/reshard_shards.sql"), &[numbers(oids).into()]))
}

/// The leaves of a table that is partitioned, or itself if it is one.
pub fn leaves(relation: u32) -> Result<Vec<u32>, ErrorReport> {
    read(|| {
        spi::rows(
            "SELECT t.relid::oid::text FROM pg_partition_tree($1::oid) AS t
             JOIN pg_class AS c ON c.oid = t.relid AND c.relispartition
             WHERE t.isleaf ORDER BY t.relid",
            &[Oid::from(relation).into()],
        )
    })
}

/// How a partitioned table is divided; none if it is none.
pub fn parent(oid: u32) -> Result<Option<Parent>, ErrorReport> {
    let found = read(|| spi::rows(include_str!("queries/reshard_parent.sql"), &[Oid::from(oid).into()]))?;
    Ok(found.into_iter().next())
}

/// Indexes that tell the rows of tables apart, the better ones first.
pub fn identities(tables: &[u32]) -> Result<Vec<Identity>, ErrorReport> {
    read(|| spi::rows(include_str!("queries/reshard_identity.sql"), &[numbers(tables).into()]))
}

/// The names of relations and types of a schema that end as those of shards do.
pub fn names_like_shards(schema: &str) -> Result<Vec<String>, ErrorReport> {
    read(|| {
        spi::column(
            "SELECT x.name::text
             FROM pg_namespace AS n
             CROSS JOIN LATERAL (SELECT c.relname AS name FROM pg_class AS c WHERE c.relnamespace = n.oid
                                 UNION
                                 SELECT t.typname FROM pg_type AS t WHERE t.typnamespace = n.oid) AS x
             WHERE n.nspname = $1 AND x.name ~ '_(s[0-9]{4,}|default(_[0-9]+)?)$'",
            &[schema.into()],
        )
    })
}

/// The other tables of a table's co-location group.
pub fn group(root: u32) -> Result<Vec<QualifiedName>, ErrorReport> {
    as_extension_owner(|| spi::rows(include_str!("queries/reshard_group.sql"), &[Oid::from(root).into()]))
}

/// What is concerned by a change of these shards.
pub fn concerned(
    shards: &[u32],
    parent: u32,
    root: u32,
    indexes: &[u32],
) -> Result<Vec<Concerned>, ErrorReport> {
    let arguments =
        [numbers(shards).into(), Oid::from(parent).into(), Oid::from(root).into(), numbers(indexes).into()];
    read(|| spi::rows(include_str!("queries/reshard_facts.sql"), &arguments))
}

/// Whether a role may create tables in a tablespace; none if there is none.
pub fn may_use_tablespace(name: &str, role: u32) -> Result<Option<bool>, ErrorReport> {
    read(|| {
        spi::one(
            "SELECT s.oid = d.dattablespace OR has_tablespace_privilege($2::oid, s.oid, 'CREATE')
             FROM pg_tablespace AS s
             JOIN pg_database AS d ON d.datname = current_database()
             WHERE s.spcname = $1",
            &[name.into(), Oid::from(role).into()],
        )
    })
}

/// What ANALYZE knows of a column in one shard.
pub fn statistics(shard: u32, column: &str) -> Result<Option<Statistics>, ErrorReport> {
    let arguments = [Oid::from(shard).into(), column.into()];
    let found = read(|| spi::rows(include_str!("queries/reshard_statistics.sql"), &arguments))?;
    Ok(found.into_iter().next())
}

/// Values of a key column in a sample of a shard's pages; NULLs are left out.
/// Functions of the key run with the rights of the table's owner.
pub fn sample(shard: &Candidate, column: &KeyColumn) -> Result<Option<Vec<String>>, ErrorReport> {
    let (Some(expression), Some(owner)) = (&column.expression, shard.owner) else { return Ok(None) };
    restricted_to(owner.into(), || {
        read(|| {
            let pages = spi::one::<i64>(
                "SELECT pg_relation_size($1::oid) / current_setting('block_size')::bigint",
                &[Oid::from(shard.oid).into()],
            )?;
            let share = 100.0 * SAMPLE_PAGES as f64 / pages.unwrap_or(0).max(SAMPLE_PAGES) as f64;
            spi::column(
                &format!(
                    "SELECT x.value::text FROM (SELECT {expression} AS value FROM ONLY {} TABLESAMPLE SYSTEM ({share}) REPEATABLE (1)) AS x
                     WHERE x.value IS NOT NULL",
                    shard.name
                ),
                &[],
            )
        })
    })
    .map(Some)
}

/// Reads values of a key column in the order of the key. The functions of its
/// type run with the rights of the table's owner.
pub fn read_values(owner: u32, column: &KeyColumn, values: &[&str]) -> Result<Vec<ReadValue>, Unreadable> {
    let of = ValueType {
        type_oid: column.type_oid.into(),
        modifier: column.modifier,
        collation: column.collation.into(),
        class: column.class.into(),
    };
    let values: Vec<Option<&str>> = values.iter().copied().map(Some).collect();
    with_pinned_search_path(|| restricted_to(owner.into(), || key_value::read(of, &values)))
}

fn numbers(oids: &[u32]) -> Vec<i64> {
    oids.iter().map(|oid| i64::from(*oid)).collect()
}
