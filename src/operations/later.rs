//! A shard that is made later, by hand: `CREATE TABLE … PARTITION OF` a sharded
//! table. PostgreSQL passes on what the table has; what only its shards have
//! (storage parameters, replica identity, a constraint on each) they get here.
//!
//! The other shards are what is remembered: a property is the table's if most
//! of them have it. `check_shards` says by the same query what a shard lacks
//! that was attached, or made while the library was not loaded.

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::catalog::arming;
use crate::catalog::arming::Rewritten;
use crate::catalog::relations;
use crate::model::finding::Finding;
use crate::model::name::QualifiedName;
use crate::model::utility::CreateTable;
use crate::model::utility::Utility;
use crate::pg::context::as_extension_owner;
use crate::pg::context::in_subtransaction;
use crate::pg::context::with_pinned_search_path;
use crate::pg::error;
use crate::pg::spi;

/// The sharded table of a shard.
#[derive(Deserialize)]
struct Root {
    #[serde(flatten)]
    relation: QualifiedName,
    oid: u32,
    proposal_id: i64,
    shard: u32,
    /// What makes the owner and the replica identity those of the table.
    own: Vec<String>,
}

/// What shards lack that the others of their table have; none = all tables,
/// all shards.
pub fn lacking(root: Option<u32>, shard: Option<u32>) -> Result<Vec<Finding>, ErrorReport> {
    spi::rows::<Finding>(
        include_str!("../catalog/queries/later_shards.sql"),
        &[root.map(i64::from).into(), shard.map(i64::from).into()],
    )
}

/// Whether a statement is about to make a shard of a sharded table.
pub fn is_awaited(statement: &Utility) -> Result<bool, ErrorReport> {
    let Utility::CreateTable(CreateTable { relation, partition_of: Some(parent), .. }) = statement else {
        return Ok(false);
    };
    Ok(root_of(parent)?.is_some() && relations::find(relation)?.is_none())
}

/// The sharded table that a relation is, or is a partition of.
fn root_of(relation: &QualifiedName) -> Result<Option<Root>, ErrorReport> {
    let found = as_extension_owner(|| {
        spi::rows::<Root>(
            include_str!("../catalog/queries/root_of_shard.sql"),
            &[relation.schema.as_str().into(), relation.name.as_str().into()],
        )
    })?;
    Ok(found.into_iter().next())
}

/// Gives a shard that was just made what the others have, with the rights of
/// whoever made it. What cannot be done is warned of, and the shard stays.
pub fn complete(created: &CreateTable, original: &str) -> Result<(), ErrorReport> {
    let Some(root) = root_of(&created.relation)? else { return Ok(()) };
    let mut done = Vec::new();
    let mut failed = Vec::new();
    for statement in root.own {
        attempt(&created.relation, statement, &mut done, &mut failed);
    }
    for _ in 0..2 {
        let found = as_extension_owner(|| lacking(Some(root.oid), Some(root.shard)))?;
        // An index that the shard gets may be what identifies it.
        let indexed = found.iter().any(|finding| {
            finding.remedy.contains(" ADD CONSTRAINT ") || finding.remedy.starts_with("CREATE ")
        });
        for remedy in found.into_iter().map(|finding| finding.remedy) {
            if !failed.contains(&remedy) {
                attempt(&created.relation, remedy, &mut done, &mut failed);
            }
        }
        if !indexed {
            break;
        }
    }
    if done.is_empty() {
        return Ok(());
    }
    arming::log(&Rewritten {
        relation: &root.relation,
        proposal_id: root.proposal_id,
        kind: "CREATE TABLE",
        original,
        executed: &format!("{original};\n{}", done.join("\n")),
        note: "made like the other shards: PostgreSQL does not pass these on",
        rows_loaded: None,
    })
}

fn attempt(shard: &QualifiedName, statement: String, done: &mut Vec<String>, failed: &mut Vec<String>) {
    match in_subtransaction(|| with_pinned_search_path(|| spi::run(&statement, &[]))) {
        Ok(Ok(_)) => done.push(statement),
        Ok(Err(_)) => failed.push(statement),
        Err(caught) => {
            error::warning(
                format!("shard \"{shard}\" is not like the other shards of its table: {}", caught.message),
                format!("This could not be carried out: {statement}"),
                "SELECT * FROM check_shards() says what it lacks.".to_owned(),
            );
            failed.push(statement);
        }
    }
}
