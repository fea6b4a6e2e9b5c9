//! Undoing an operation while the shards that it replaced are kept: these come
//! back, by an operation of its own.
//!
//! What was written since is in the new shards only. Where it was written down
//! which rows changed (the setting `undo` of the table), these alone are brought
//! back; otherwise all rows are, into the old shards, which are emptied first.
//! Either way nothing is lost, and the swap is that of every operation.

use pgrx::log;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::facets;
use crate::catalog::facets::Facet;
use crate::catalog::partitions;
use crate::catalog::partitions::Candidate;
use crate::catalog::retired;
use crate::model::operation::Kind;
use crate::model::operation::Phase;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::model::reshard::Source;
use crate::model::reshard::Target;
use crate::model::reshard::Undo;
use crate::operations::reshard::capture;
use crate::operations::reshard::check;
use crate::operations::reshard::control;
use crate::operations::reshard::start;
use crate::pg::context::in_subtransaction;
use crate::pg::error;

/// Begins to undo an operation; the number of the operation that does it.
///
/// # Errors
/// If it cannot be undone, or not now. Then nothing has happened.
pub fn begin(id: i64) -> Result<i64, ErrorReport> {
    start::record(plan(id)?, Kind::Undo)
}

/// What undoing an operation replaces by what.
///
/// # Errors
/// If it cannot be undone.
pub fn plan(id: i64) -> Result<Change, ErrorReport> {
    let known = control::find_own(id, "undo")?;
    let phase = Phase::of(&known.phase).unwrap_or(Phase::Failed);
    let Some(change) = known.change.filter(|_| phase == Phase::Done) else {
        return Err(not_done(id, phase));
    };
    if change.rebuilt.is_some() {
        let (detail, hint) = if change.keeps_rows() {
            (
                "It made the table the first shard of itself.",
                "Use shard_table() with a proposal of strategy none, which makes the table plain again.",
            )
        } else {
            ("It replaced the whole table by another.", "Use shard_table() again.")
        };
        let (detail, hint) = (detail.to_owned(), hint.to_owned());
        return Err(refused(id, "only replaced shards come back", detail, Some(hint)));
    }
    let targets: Vec<u32> = change.targets.iter().filter_map(|target| target.oid).collect();
    let found = partitions::candidates(&targets)?;
    let sources = change.targets.iter().map(|target| there(id, &change, target, &found));
    let sources = sources.collect::<Result<Vec<_>, _>>()?;
    let is_untouched = kept(id, &change)?;
    alike(id, &change, &sources)?;
    let captured = is_untouched && !change.identity.is_empty() && retired::is_captured(id, &targets)?;
    let back = |(at, source): (usize, &Source)| Target {
        name: source.name.clone(),
        bound: source.bound.clone(),
        tablespace: None,
        // A shard takes what it lacks from the one that was made after it.
        like: heirs(&change, at)[0],
        oid: Some(source.oid),
    };
    let first = found.first();
    let name = |name: Option<&Candidate>| name.and_then(|one| one.parent_name.clone());
    Ok(Change {
        parent: name(first).unwrap_or_else(|| change.parent.clone()),
        parent_oid: change.parent_oid,
        root: first.and_then(|one| one.root_name.clone()).unwrap_or_else(|| change.root.clone()),
        root_oid: change.root_oid,
        targets: change.sources.iter().enumerate().map(back).collect(),
        online: !change.identity.is_empty(),
        identity: change.identity,
        sources,
        rebuilt: None,
        undo: Some(Undo { operation_id: id, captured, emptied: false }),
    })
}

/// Ends captures that nobody can use any more. A chore of the worker.
///
/// # Errors
/// If the list cannot be read.
pub fn chore() -> Result<(), ErrorReport> {
    for id in retired::captures_in_vain()? {
        let work = || capture::remove_reverse(id).unwrap_or_else(|failed| error::raise(failed));
        if let Err(caught) = in_subtransaction(work) {
            log!("pg_presplit: could not end the capture of operation {id}: {}", caught.message);
        }
    }
    Ok(())
}

fn refused(id: i64, why: &str, detail: String, hint: Option<String>) -> ErrorReport {
    let message = format!("cannot undo operation {id}: {why}");
    error::new(SqlState::ObjectNotInPrerequisiteState, message, Some(detail), hint)
}

fn not_done(id: i64, phase: Phase) -> ErrorReport {
    let hint = match phase {
        Phase::Done | Phase::Failed | Phase::Cancelled => None,
        _ => Some(format!("End it with SELECT cancel_operation({id}).")),
    };
    refused(id, "it is not done", format!("It is {}: the shards are those from before.", phase.word()), hint)
}

/// A new shard where the operation has put it.
fn there(id: i64, change: &Change, target: &Target, found: &[Candidate]) -> Result<Source, ErrorReport> {
    let shard = found.iter().find(|one| Some(one.oid) == target.oid);
    let shard = shard.filter(|one| one.partition && one.parent == Some(change.parent_oid) && !one.detaching);
    if let Some((shard, bound)) = shard.and_then(|one| one.bound.clone().map(|bound| (one, bound))) {
        return Ok(Source { oid: shard.oid, name: shard.name.clone(), bound });
    }
    let oids: Vec<u32> = change.targets.iter().filter_map(|target| target.oid).collect();
    let (detail, hint) = match retired::replaced_later(id, &oids)? {
        Some(later) => (
            format!("Operation {later} has replaced them."),
            Some(format!("Undo that one first: SELECT undo_operation({later}).")),
        ),
        None => (format!("Shard {} is no more a part of table {}.", target.name, change.parent), None),
    };
    Err(refused(id, "its new shards have changed", detail, hint))
}

/// Refuses if an old shard is not there any more; whether all have certainly
/// the rows that they had.
fn kept(id: i64, change: &Change) -> Result<bool, ErrorReport> {
    let kept = retired::of_operation(id)?;
    let mut is_untouched = true;
    for source in &change.sources {
        let found = kept.iter().find(|one| one.shard == source.oid);
        let Some((one, name)) = found.and_then(|one| one.name.as_ref().map(|name| (one, name))) else {
            let detail = format!("Shard {} was dropped, or is no more kept.", source.name);
            return Err(refused(id, "what it replaced is gone", detail, None));
        };
        if one.is_over {
            let detail = format!("Shard {} was kept until {}.", source.name, one.until);
            let hint = "Setting presplit.retired_shard_grace says how long replaced shards are kept.";
            return Err(refused(id, "the time is over", detail, Some(hint.to_owned())));
        }
        if !one.is_ours || *name != source.name {
            let detail =
                format!("It is a table of its own, or called {name} now, or a part of another table.");
            return Err(refused(
                id,
                &format!("replaced shard \"{:#}\" was altered", source.name),
                detail,
                None,
            ));
        }
        is_untouched &= one.is_blocked;
    }
    Ok(is_untouched)
}

/// Refuses if the table was altered, or a shard that was replaced: what it has
/// kept would not fit any more.
fn alike(id: i64, change: &Change, now: &[Source]) -> Result<(), ErrorReport> {
    for (at, source) in change.sources.iter().enumerate() {
        let old = facets::kept(source.oid, false)?;
        let heirs = heirs(change, at);
        let first = facets::kept(now[heirs[0]].oid, true)?;
        for heir in heirs {
            let shard = &now[heir];
            let replaced = format!(
                "shard \"{:#}\" is no more like \"{:#}\", which it replaced",
                shard.name, source.name
            );
            unlike(id, &replaced, &facets::kept(shard.oid, false)?, &old)?;
            // What acts on rows comes from the first of them.
            let others = format!(
                "shard \"{:#}\" is not like the others that replaced \"{:#}\"",
                shard.name, source.name
            );
            unlike(id, &others, &facets::kept(shard.oid, true)?, &first)?;
        }
    }
    Ok(())
}

/// The new shards that are like an old one; the first of all if none is.
fn heirs(change: &Change, source: usize) -> Vec<usize> {
    let like = change.targets.iter().enumerate().filter(|(_, target)| target.like == source);
    let like: Vec<usize> = like.map(|(at, _)| at).collect();
    if like.is_empty() { vec![0] } else { like }
}

/// Refuses if one has what the other has not.
fn unlike(id: i64, why: &str, one: &[Facet], other: &[Facet]) -> Result<(), ErrorReport> {
    let mut differ = check::missing(one, other, "");
    differ.extend(check::missing(other, one, ""));
    if differ.is_empty() {
        return Ok(());
    }
    let detail = differ.iter().map(|one| format!("{} has no equal on the other.", one.object));
    let hint = "Make them alike, or use split_shard(), merge_shards() or move_shard().";
    Err(refused(id, why, detail.collect::<Vec<_>>().join("\n"), Some(hint.to_owned())))
}
