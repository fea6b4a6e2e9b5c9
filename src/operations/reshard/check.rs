//! What stands in the way of a change, and whether its tables are still what
//! they were when it was planned.

use std::collections::BTreeSet;

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::facets;
use crate::catalog::facets::Facet;
use crate::catalog::jobs::Job;
use crate::catalog::jobs::Shape;
use crate::catalog::leaves;
use crate::model::finding::Finding;
use crate::model::finding::Severity;
use crate::model::name::quote_identifier;
use crate::model::operation::Phase;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::model::reshard::Source;
use crate::operations::provision::server_major;
use crate::operations::reshard::keep;
use crate::operations::reshard::rebuild;
use crate::operations::reshard::staging::is_default;
use crate::pg::disk;
use crate::pg::error;

/// Bytes that must be free for each byte of the shards: the new ones beside
/// the old, the log of changes and what is written ahead.
const FREE_BYTES_PER_BYTE: f64 = 2.2;

/// The first version that adds a foreign key of a partitioned table without a
/// look at its rows.
pub(super) const NOT_VALID_ON_PARTITIONED: u32 = 18;

/// Everything that stands in the way, at once; nothing of severity error: it
/// goes through.
///
/// # Errors
/// If the catalogs cannot be read.
pub fn findings(change: &Change) -> Result<Vec<Finding>, ErrorReport> {
    if change.keeps_rows() {
        return keep::findings(&rebuild::read(change)?);
    }
    if change.rebuilt.is_some() {
        return rebuild::findings(&rebuild::read(change)?);
    }
    let mut found = Vec::new();
    if change.online && change.identity.is_empty() {
        found.push(Finding::new(
            Severity::Error,
            change.parent.to_string(),
            "there is no primary key, and no unique index of columns that are NOT NULL, by which rows are told apart",
            "Add one to the table, or pass online => false, which keeps everybody out.",
        ));
    }
    let can = server_major() >= NOT_VALID_ON_PARTITIONED;
    for source in &change.sources {
        found.extend(facets::obstacles(source.oid, can)?);
    }
    // What an undo puts back was compared with what it replaces.
    if change.undo.is_none() {
        found.extend(differences(&change.sources)?);
    }
    found.extend(taken_names(change)?);
    found.extend(room(change)?);
    found.sort_by(|a, b| (a.severity, &a.object, &a.problem).cmp(&(b.severity, &b.object, &b.problem)));
    found.dedup();
    Ok(found)
}

/// What shards that become one do not have in common: the new one can only be
/// like one of them.
fn differences(sources: &[Source]) -> Result<Vec<Finding>, ErrorReport> {
    let Some((first, others)) = sources.split_first() else { return Ok(Vec::new()) };
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let own = facets::of(&[first.oid])?;
    for other in others {
        let its = facets::of(&[other.oid])?;
        found.extend(missing(&its, &own, &first.name.to_string()));
        found.extend(missing(&own, &its, &other.name.to_string()));
    }
    Ok(found)
}

/// Facets that another shard lacks.
pub fn missing(of: &[Facet], other: &[Facet], other_name: &str) -> Vec<Finding> {
    let there: BTreeSet<(&str, &str)> =
        other.iter().map(|facet| (facet.kind.as_str(), facet.text.as_str())).collect();
    of.iter()
        .filter(|facet| !there.contains(&(facet.kind.as_str(), facet.text.as_str())))
        .map(|facet| {
            Finding::new(
                Severity::Error,
                &facet.object,
                format!("{} is not as on shard {other_name}: one of them would be lost", facet.kind),
                "Make the shards alike before they become one.",
            )
        })
        .collect()
}

/// Names that new tables and their indexes would have and that are taken.
fn taken_names(change: &Change) -> Result<Vec<Finding>, ErrorReport> {
    let mut found = Vec::new();
    for target in change.targets.iter().filter(|target| target.oid.is_none()) {
        let Some(source) = change.sources.get(target.like) else { continue };
        let (_, mut wanted) = leaves::names(source, &target.name)?;
        wanted.push(target.name.name.clone());
        for taken in facets::taken(&target.name.schema, &wanted)? {
            found.push(Finding::new(
                Severity::Error,
                target.name.sibling(taken).to_string(),
                format!("the name is taken, but new shard {} or something of it would have it", target.name),
                "Drop or rename it.",
            ));
        }
    }
    Ok(found)
}

/// Whether the tablespaces may be used and have room.
pub(super) fn room(change: &Change) -> Result<Vec<Finding>, ErrorReport> {
    let mut found = Vec::new();
    let oids: Vec<u32> = change.sources.iter().map(|source| source.oid).collect();
    let bytes = facets::bytes(&oids)?;
    let mut seen = BTreeSet::new();
    for target in &change.targets {
        let Some(source) = change.sources.get(target.like) else { continue };
        let Some(place) = facets::place(source.oid, target.tablespace.as_deref())? else {
            let name = quote_identifier(target.tablespace.as_deref().unwrap_or_default());
            found.push(Finding::new(
                Severity::Error,
                format!("tablespace {name}"),
                "does not exist",
                "View pg_tablespace lists those that do.",
            ));
            continue;
        };
        if !place.usable {
            found.push(Finding::new(
                Severity::Error,
                format!("tablespace {}", quote_identifier(&place.name)),
                format!("owner {} of the shard has no right to create tables there", place.owner),
                format!("GRANT CREATE ON TABLESPACE {} TO {};", quote_identifier(&place.name), place.owner),
            ));
        }
        let needed = bytes as f64 * FREE_BYTES_PER_BYTE;
        if seen.insert(place.path.clone())
            && let Some(free) = disk::free_bytes(&place.path)
            && (free as f64) < needed
        {
            found.push(Finding::new(
                Severity::Error,
                format!("tablespace {}", quote_identifier(&place.name)),
                format!("{} MB are free there, but {:.0} MB may be needed", free >> 20, needed / 1_048_576.0),
                "Free some, or move the shard to another tablespace.",
            ));
        }
    }
    Ok(found)
}

/// As long as this is the same, so is [`fingerprint`]; it costs little, but
/// may change without it.
///
/// # Errors
/// If the catalogs cannot be read.
pub fn versions(change: &Change) -> Result<String, ErrorReport> {
    let sources = change.sources.iter().map(|source| source.oid);
    let tables: Vec<u32> = sources.chain([change.parent_oid]).collect();
    facets::versions(&tables, change.parent_oid)
}

/// A hash of everything that the operation relies on: it is the same as long
/// as nobody has altered the shards or their table. Captures of ours and the
/// checks of a swap do not count.
///
/// # Errors
/// If the catalogs cannot be read.
pub fn fingerprint(change: &Change) -> Result<String, ErrorReport> {
    shape(change).map(|shape| shape.fingerprint)
}

/// The same, with what it is a hash of.
///
/// # Errors
/// If the catalogs cannot be read.
pub fn shape(change: &Change) -> Result<Shape, ErrorReport> {
    let sources: Vec<u32> = change.sources.iter().map(|source| source.oid).collect();
    let tables: Vec<u32> = sources.iter().copied().chain([change.parent_oid]).collect();
    // What a DEFAULT accepts is what the others do not.
    let mut defaults = change
        .sources
        .iter()
        .map(|source| &source.bound)
        .chain(change.targets.iter().map(|target| &target.bound));
    let all = defaults.any(|bound| is_default(bound)).then_some(change.parent_oid);
    let mut text = String::new();
    for facet in facets::of(&tables)?.into_iter().chain(facets::bounds(&sources, all)?) {
        text.push_str(&format!("{}\u{1}{}\u{1}{}\n", facet.kind, facet.object, facet.text));
    }
    let fingerprint = facets::hash(&text)?;
    Ok(Shape { lines: text, fingerprint })
}

/// Refuses to go on filling shards that subscribers are sent the rows of: a
/// publication of all tables, or of all of a schema, that came meanwhile.
///
/// # Errors
/// If there is one.
pub fn refuse_published(job: &Job) -> Result<(), ErrorReport> {
    let being_filled = matches!(
        job.phase,
        Phase::Preparing
            | Phase::Capturing
            | Phase::Copying
            | Phase::Indexing
            | Phase::CatchingUp
            | Phase::Verifying
            | Phase::CuttingOver
    );
    let schemas: Vec<String> = job.change.targets.iter().map(|target| target.name.schema.clone()).collect();
    let Some(publication) = (if being_filled { facets::publication_of_all(&schemas)? } else { None }) else {
        return Ok(());
    };
    Err(error::new(
        SqlState::ObjectNotInPrerequisiteState,
        format!(
            "publication {publication} publishes the new shards of table \"{}\" while they are filled",
            job.change.root
        ),
        Some(
            "It was made while the operation was under way. Its subscribers know no tables of these names."
                .to_owned(),
        ),
        Some(format!("Publish tables by name, then begin it anew with SELECT resume_operation({}).", job.id)),
    ))
}
