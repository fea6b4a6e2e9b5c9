//! What a shard has of its own, as the statements that give it to another
//! table, and the foreign keys that point at its table.
//!
//! The server's own deparser writes the definitions. Read with `search_path =
//! pg_catalog, pg_temp`, so that every name in them has its schema.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::model::name::QualifiedName;
use crate::model::name::names_on;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::model::reshard::Source;
use crate::pg::context::with_pinned_search_path;
use crate::pg::context::with_pinned_texts;
use crate::pg::error;
use crate::pg::spi;

/// What a shard has of its own, written for a table that is to take its place.
#[derive(Debug, Clone, Deserialize)]
pub struct Leaf {
    pub owner: u32,
    /// Makes the table.
    pub create: String,
    /// Its tablespace; empty = the database's own.
    pub tablespace: String,
    /// Run when it was made.
    pub shape: Vec<String>,
    pub indexes: Vec<Index>,
    pub statistics: Vec<Statistics>,
    /// Constraints that do not hold for all rows, for right before it is attached.
    pub before: Vec<String>,
    pub foreign_keys: Vec<ForeignKey>,
    /// What would act on rows while it is filled, for after it was attached.
    pub after: Vec<Act>,
    /// Make it the owner of sequences.
    pub sequences: Vec<String>,
    /// Take from the shard itself what would still act on it.
    pub retire: Vec<String>,
}

/// An index, with the constraint that it is of.
#[derive(Debug, Clone, Deserialize)]
pub struct Index {
    pub name: String,
    /// Whether it is the one by which rows are told apart.
    pub identity: bool,
    pub tablespace: String,
    pub statements: Vec<String>,
}

/// A statistics object.
#[derive(Debug, Clone, Deserialize)]
pub struct Statistics {
    pub schema: String,
    pub name: String,
    pub statements: Vec<String>,
    /// Gives it to its owner, where that is not the table's.
    pub owner: Option<String>,
}

/// A foreign key that is added without looking at rows.
#[derive(Debug, Clone, Deserialize)]
pub struct ForeignKey {
    pub name: String,
    /// Whether it holds for the rows that are there.
    pub holds: bool,
    pub statement: String,
    pub comment: Option<String>,
}

/// When a statement makes sense on a table that has been the shard before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Once it is a shard again, for it has those that it had.
    Right,
    /// It acts on rows: it was taken off when the table was to be filled.
    Own,
    /// Only once it is a shard again.
    Attached,
}

/// A statement and who runs it; none = a superuser.
#[derive(Debug, Clone, Deserialize)]
pub struct Act {
    pub part: Part,
    pub role: Option<u32>,
    pub text: String,
}

/// A foreign key of another table.
#[derive(Debug, Clone, Deserialize)]
pub struct Incoming {
    pub table: u32,
    pub drop: String,
    #[serde(flatten)]
    pub key: ForeignKey,
}

/// What a target takes from the source that it is like.
pub fn of_target(change: &Change, target: usize) -> Result<Leaf, ErrorReport> {
    let (target, source) = pair(change, target)?;
    read(source, &target.name, target.tablespace.as_deref(), &change.identity)
}

/// A target and the source that it is like.
fn pair(change: &Change, at: usize) -> Result<(&crate::model::reshard::Target, &Source), ErrorReport> {
    let target = change.targets.get(at);
    let source = target.and_then(|target| change.sources.get(target.like));
    target.zip(source).ok_or_else(|| {
        error::new(
            SqlState::DataCorrupted,
            "a stored change does not say where its shards come from",
            None,
            None,
        )
    })
}

/// What a whole table gives to another that takes its name.
pub fn of_whole(change: &Change) -> Result<Leaf, ErrorReport> {
    let root = Source { oid: change.root_oid, name: change.root.clone(), bound: String::new() };
    read(&root, &root.name, None, &[])
}

/// What is to be taken from a source that goes.
pub fn of_source(source: &Source) -> Result<Leaf, ErrorReport> {
    read(source, &source.name, None, &[])
}

fn read(
    source: &Source,
    there: &QualifiedName,
    tablespace: Option<&str>,
    identity: &[String],
) -> Result<Leaf, ErrorReport> {
    let (old, new) = names(source, there)?;
    let found = with_pinned_texts(|| {
        spi::rows::<Leaf>(
            include_str!("queries/leaf.sql"),
            &[
                i64::from(source.oid).into(),
                there.to_string().into(),
                old.into(),
                new.into(),
                tablespace.into(),
                identity.to_vec().into(),
            ],
        )
    })?;
    found.into_iter().next().ok_or_else(|| {
        error::new(
            SqlState::UndefinedTable,
            format!("shard \"{:#}\" does not exist", source.name),
            None,
            None,
        )
    })
}

/// The names of a shard's indexes and statistics, and what they are called on
/// another table.
pub fn names(source: &Source, there: &QualifiedName) -> Result<(Vec<String>, Vec<String>), ErrorReport> {
    let old = with_pinned_search_path(|| {
        spi::column::<String>(
            "SELECT n.name FROM (
                 SELECT x.relname::text AS name FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid
                 WHERE i.indrelid = $1::bigint::oid
                 UNION
                 SELECT s.stxname::text FROM pg_statistic_ext AS s WHERE s.stxrelid = $1::bigint::oid) AS n
             ORDER BY n.name COLLATE \"C\"",
            &[i64::from(source.oid).into()],
        )
    })?;
    let new = names_on(&old, &source.name.name, &there.name);
    Ok((old, new))
}

/// The statements that take from a table that was replaced what would act on
/// rows that come into it.
pub fn strip(table: u32) -> Result<Vec<String>, ErrorReport> {
    with_pinned_search_path(|| {
        spi::column::<String>(
            "SELECT s.text FROM pg_class AS c CROSS JOIN LATERAL (
                 SELECT format('DROP TRIGGER %I ON %s', g.tgname, c.oid::regclass) AS text
                 FROM pg_trigger AS g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal
                 UNION ALL
                 SELECT format('DROP RULE %I ON %s', w.rulename, c.oid::regclass) FROM pg_rewrite AS w WHERE w.ev_class = c.oid
                 UNION ALL
                 SELECT format('DROP POLICY %I ON %s', p.polname, c.oid::regclass) FROM pg_policy AS p WHERE p.polrelid = c.oid
                 UNION ALL
                 SELECT format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY', c.oid::regclass)
                 WHERE c.relrowsecurity OR c.relforcerowsecurity) AS s
             WHERE c.oid = $1::bigint::oid",
            &[i64::from(table).into()],
        )
    })
}

/// The statements that take from a table that was replaced what others than its
/// owner may do.
pub fn revoke_all(table: u32) -> Result<Vec<String>, ErrorReport> {
    with_pinned_search_path(|| {
        spi::column::<String>(
            "SELECT DISTINCT format('REVOKE ALL ON TABLE %s FROM %s CASCADE', c.oid::regclass,
                                    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
             FROM pg_class AS c
             LEFT JOIN pg_attribute AS t ON t.attrelid = c.oid AND t.attacl IS NOT NULL
             CROSS JOIN LATERAL (SELECT x.grantee FROM aclexplode(c.relacl) AS x UNION SELECT x.grantee FROM aclexplode(t.attacl) AS x) AS a
             WHERE c.oid = $1::bigint::oid AND a.grantee <> c.relowner",
            &[i64::from(table).into()],
        )
    })
}

/// The foreign keys that point at a partitioned table or at one that it is a part of.
pub fn incoming(parent: u32) -> Result<Vec<Incoming>, ErrorReport> {
    with_pinned_texts(|| {
        spi::rows::<Incoming>(include_str!("queries/incoming.sql"), &[i64::from(parent).into()])
    })
}

/// The tables that a parent and its shards refer to by foreign keys, and, if
/// any refer to it or to what it is a part of, those and all parts of it; the
/// parent is the first of `tables`. By oid.
pub fn bound_by_keys(tables: &[u32]) -> Result<Vec<Oid>, ErrorReport> {
    let tables: Vec<i64> = tables.iter().map(|oid| i64::from(*oid)).collect();
    spi::column::<Oid>(
        "WITH ancestors AS (
             SELECT ($1::bigint[])[1]::oid AS relid
             UNION SELECT a.relid FROM pg_partition_ancestors(($1::bigint[])[1]::oid::regclass) AS a
         ), incoming AS (
             SELECT k.conrelid FROM pg_constraint AS k
             WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid IN (SELECT relid FROM ancestors)
         ), named AS (
             SELECT k.confrelid AS relid FROM pg_constraint AS k WHERE k.contype = 'f' AND k.conrelid = ANY ($1::bigint[]::oid[])
             UNION
             SELECT conrelid FROM incoming
             UNION
             SELECT pg_partition_root(($1::bigint[])[1]::oid::regclass) WHERE EXISTS (SELECT FROM incoming))
         SELECT DISTINCT t.oid FROM (
             SELECT n.relid AS oid FROM named AS n
             UNION ALL
             SELECT p.relid FROM named AS n CROSS JOIN LATERAL pg_partition_tree(n.relid) AS p) AS t
         WHERE t.oid IS NOT NULL
         ORDER BY t.oid",
        &[tables.into()],
    )
}

/// Says of a foreign key that was just added that its rows are known to meet
/// it, on all levels. Only a superuser may.
pub fn mark_valid(table: u32, name: &str) -> Result<(), ErrorReport> {
    spi::run(
        "WITH RECURSIVE tree AS (
             SELECT k.oid FROM pg_constraint AS k WHERE k.conrelid = $1::bigint::oid AND k.conname = $2 AND k.contype = 'f'
             UNION ALL
             SELECT k.oid FROM tree JOIN pg_constraint AS k ON k.conparentid = tree.oid)
         UPDATE pg_constraint AS k SET convalidated = true FROM tree WHERE k.oid = tree.oid",
        &[i64::from(table).into(), name.into()],
    )
    .map(|_| ())
}

/// The statements that take from a new table what default privileges gave away.
pub fn default_grants(table: Oid) -> Result<Vec<String>, ErrorReport> {
    with_pinned_search_path(|| {
        spi::column::<String>(
            "SELECT DISTINCT format('REVOKE ALL ON TABLE %s FROM %s', c.oid::regclass,
                                    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
             FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
             WHERE c.oid = $1 AND a.grantee <> c.relowner",
            &[table.into()],
        )
    })
}

/// The partition that takes what no other accepts, if there is one.
pub fn default_partition(parent: u32) -> Result<Option<Oid>, ErrorReport> {
    spi::one::<Oid>(
        "SELECT p.partdefid FROM pg_partitioned_table AS p WHERE p.partrelid = $1::bigint::oid AND p.partdefid <> 0",
        &[i64::from(parent).into()],
    )
}

/// The owner of a relation.
pub fn owner(relation: u32) -> Result<Oid, ErrorReport> {
    spi::one::<Oid>(
        "SELECT c.relowner FROM pg_class AS c WHERE c.oid = $1::bigint::oid",
        &[i64::from(relation).into()],
    )?
    .ok_or_else(|| {
        error::new(
            SqlState::UndefinedTable,
            format!("relation with OID {relation} does not exist"),
            None,
            None,
        )
    })
}

/// The oid of a relation, if there is one of that name.
pub fn find(name: &QualifiedName) -> Result<Option<Oid>, ErrorReport> {
    spi::one::<Oid>(
        "SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relname = $2",
        &[name.schema.as_str().into(), name.name.as_str().into()],
    )
}

/// Whether a statistics object is there.
pub fn has_statistics(schema: &str, name: &str) -> Result<bool, ErrorReport> {
    spi::one::<bool>(
        "SELECT EXISTS (SELECT FROM pg_statistic_ext AS s JOIN pg_namespace AS n ON n.oid = s.stxnamespace
                        WHERE n.nspname = $1 AND s.stxname = $2)",
        &[schema.into(), name.into()],
    )
    .map(Option::unwrap_or_default)
}
