//! What a table is and has, line by line, and what of it stands in the way of
//! replacing it.

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::model::finding::Finding;
use crate::pg::context::as_extension_owner;
use crate::pg::context::with_pinned_search_path;
use crate::pg::context::with_pinned_texts;
use crate::pg::guc;
use crate::pg::spi;

/// One thing that a table is or has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "(String, String, String)")]
pub struct Facet {
    /// What it is: a column, an index, a trigger.
    pub kind: String,
    /// The object, as it is here.
    pub object: String,
    /// What it is like, the same on tables that are alike.
    pub text: String,
}

impl From<(String, String, String)> for Facet {
    fn from((kind, object, text): (String, String, String)) -> Self {
        Self { kind, object, text }
    }
}

fn read(query: &str, tables: &[u32]) -> Result<Vec<Facet>, ErrorReport> {
    let tables: Vec<i64> = tables.iter().map(|oid| i64::from(*oid)).collect();
    with_pinned_texts(|| spi::rows::<Facet>(query, &[tables.into()]))
}

/// All facets of tables.
pub fn of(tables: &[u32]) -> Result<Vec<Facet>, ErrorReport> {
    read(include_str!("queries/facets.sql"), tables)
}

/// Facets that an attached shard has by its table, or that moved to the shards
/// that replaced another.
const NOT_KEPT: &[&str] = &[
    "foreign key",
    "foreign key of another table",
    "identity",
    "index tablespace",
    "publication",
    "sequence",
    "tablespace",
    "trigger of the table",
];

/// Facets that a shard which was replaced takes from the one that replaced it.
const TAKEN_ANEW: &[&str] = &["policy", "privilege", "rule", "trigger"];

/// What a shard that was replaced must have in common with one that replaced
/// it: names of indexes, keys and statistics apart; all that those must have in
/// common which replaced it, if it asks for what is taken anew too.
pub fn kept(table: u32, and_taken_anew: bool) -> Result<Vec<Facet>, ErrorReport> {
    let mut found = of(&[table])?;
    found.retain(|facet| {
        let kind = facet.kind.as_str();
        !NOT_KEPT.contains(&kind) && (and_taken_anew || !TAKEN_ANEW.contains(&kind))
    });
    for facet in &mut found {
        if matches!(facet.kind.as_str(), "constraint" | "index" | "statistics object")
            && let Some(at) = facet.text.rfind(" as ")
        {
            facet.text.truncate(at);
        }
    }
    Ok(found)
}

/// What partitions are of, and what they accept: these, or all of one table.
pub fn bounds(partitions: &[u32], parent: Option<u32>) -> Result<Vec<Facet>, ErrorReport> {
    let (column, of) = match parent {
        Some(parent) => ("inhparent", vec![parent]),
        None => ("inhrelid", partitions.to_vec()),
    };
    let query = format!(
        "SELECT jsonb_build_array('bound', i.inhrelid::bigint::text, concat_ws(' ', i.inhparent, i.inhdetachpending,
                    pg_get_expr(c.relpartbound, c.oid)))::text
         FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
         WHERE i.{column} = ANY ($1::bigint[]::oid[]) ORDER BY i.inhrelid"
    );
    read(&query, &of)
}

/// What changes with each change that [`of`] and [`bounds`] of these tables
/// would tell, and perhaps without one: cheap to read while others wait.
pub fn versions(tables: &[u32], parent: u32) -> Result<String, ErrorReport> {
    let tables: Vec<i64> = tables.iter().map(|oid| i64::from(*oid)).collect();
    with_pinned_search_path(|| {
        spi::one::<String>(include_str!("queries/versions.sql"), &[tables.into(), i64::from(parent).into()])
    })
    .map(Option::unwrap_or_default)
}

/// What stands in the way of replacing a shard. `without_scan`: whether the
/// server adds a foreign key of a partitioned table without a look at its rows.
pub fn obstacles(shard: u32, without_scan: bool) -> Result<Vec<Finding>, ErrorReport> {
    with_pinned_texts(|| {
        spi::rows::<Finding>(
            include_str!("queries/obstacles.sql"),
            &[i64::from(shard).into(), without_scan.into()],
        )
    })
}

/// A publication, quoted, of all tables or of all of one of these schemas, if what
/// it publishes is sent to anybody.
///
/// Asked at every step: where nothing is sent it costs nothing.
pub fn publication_of_all(schemas: &[String]) -> Result<Option<String>, ErrorReport> {
    if guc::core_text(c"wal_level") != "logical" {
        return Ok(None);
    }
    with_pinned_search_path(|| {
        spi::one::<String>(
            "SELECT min(quote_ident(p.pubname)) FROM pg_publication AS p
             WHERE p.puballtables OR EXISTS (
                 SELECT FROM pg_publication_namespace AS s JOIN pg_namespace AS n ON n.oid = s.pnnspid
                 WHERE s.pnpubid = p.oid AND n.nspname = ANY ($1::text[]))",
            &[schemas.to_vec().into()],
        )
    })
}

/// Which of these names relations, types or statistics of a schema have.
pub fn taken(schema: &str, names: &[String]) -> Result<Vec<String>, ErrorReport> {
    with_pinned_search_path(|| {
        spi::column::<String>(
            "SELECT w.name FROM unnest($2::text[]) AS w (name) JOIN pg_namespace AS n ON n.nspname = $1
             WHERE EXISTS (SELECT FROM pg_class AS c WHERE c.relnamespace = n.oid AND c.relname = w.name)
                OR EXISTS (SELECT FROM pg_type AS t WHERE t.typnamespace = n.oid AND t.typname = w.name)
                OR EXISTS (SELECT FROM pg_statistic_ext AS s WHERE s.stxnamespace = n.oid AND s.stxname = w.name)",
            &[schema.into(), names.to_vec().into()],
        )
    })
}

/// The bytes of tables with all that belongs to them.
pub fn bytes(tables: &[u32]) -> Result<i64, ErrorReport> {
    let tables: Vec<i64> = tables.iter().map(|oid| i64::from(*oid)).collect();
    spi::one::<i64>(
        "SELECT coalesce(sum(pg_total_relation_size(t.oid::oid)), 0)::bigint FROM unnest($1::bigint[]) AS t (oid)",
        &[tables.into()],
    )
    .map(Option::unwrap_or_default)
}

/// Where a new shard comes to lie.
#[derive(Debug, Deserialize)]
pub struct Place {
    pub name: String,
    /// Where its files are.
    pub path: String,
    /// The shard's owner, quoted.
    pub owner: String,
    /// Whether he may create tables there.
    pub usable: bool,
}

/// The tablespace of that name, or the shard's own; none if there is none.
pub fn place(shard: u32, tablespace: Option<&str>) -> Result<Option<Place>, ErrorReport> {
    let found = as_extension_owner(|| {
        spi::rows::<Place>(
            "SELECT jsonb_build_object(
                 'name', e.spcname, 'owner', quote_ident(pg_get_userbyid(c.relowner)),
                 'path', coalesce(nullif(pg_tablespace_location(e.oid), ''), current_setting('data_directory')),
                 'usable', e.oid = d.dattablespace OR has_tablespace_privilege(c.relowner, e.oid, 'CREATE'))::text
             FROM pg_class AS c
             JOIN pg_database AS d ON d.datname = current_database()
             JOIN pg_tablespace AS e ON CASE WHEN $2::text IS NULL THEN e.oid = coalesce(nullif(c.reltablespace, 0), d.dattablespace)
                                             ELSE e.spcname = $2 END
             WHERE c.oid = $1::bigint::oid",
            &[i64::from(shard).into(), tablespace.into()],
        )
    })?;
    Ok(found.into_iter().next())
}

/// A hash of a text.
pub fn hash(text: &str) -> Result<String, ErrorReport> {
    spi::one::<String>("SELECT md5($1)", &[text.into()]).map(Option::unwrap_or_default)
}
