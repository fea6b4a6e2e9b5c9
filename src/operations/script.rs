//! `proposal_ddl`: the statements that make the tables of a proposal sharded,
//! to be run by hand, in order, as they are.
//!
//! A table that is here is made anew as `create_shards` would; one that is
//! known from a profile only is written down from that; one that is partitioned
//! already is refused. Reads only.

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::layouts;
use crate::catalog::proposals::Stored;
use crate::catalog::relations;
use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::profile::Profile;
use crate::model::report::SqlState;
use crate::operations::advise;
use crate::operations::convert;
use crate::operations::provision;
use crate::operations::provision::server_major;
use crate::pg::error;
use crate::planning::proposal::RelationProposal;
use crate::planning::provision::blank;
use crate::planning::provision::ddl;
use crate::planning::provision::ddl::ShardStorage;
use crate::planning::provision::rewrite::Armed;

/// The profile that live facts and imports make together, read when first asked for.
fn once(meant: &mut Option<Profile>) -> Result<&Profile, ErrorReport> {
    let known = match meant.take() {
        Some(known) => known,
        None => advise::meant(None)?,
    };
    Ok(meant.insert(known))
}

/// The statements for some tables of a proposal, each with its semicolon.
pub fn statements(stored: &Stored, chosen: &[&RelationProposal]) -> Result<Vec<String>, ErrorReport> {
    let mut all = Vec::new();
    let mut meant: Option<Profile> = None;
    let mut written: Vec<&QualifiedName> = Vec::new();
    let mut references = Vec::new();
    for proposed in chosen {
        let Some(layout) = &proposed.layout else { continue };
        let name = &proposed.relation;
        if let Some(live) = relations::find(name)? {
            provision::check_kind(Some(&live), name, "shard")?;
            if !live.is_partitioned() {
                all.extend(convert::printed(name, layout, stored)?);
                continue;
            }
            match layouts::of(name)? {
                Ok(present) if present.divides_as(layout) => {
                    all.push(format!("-- Table {} has these shards.", one_line(&name.to_string())));
                }
                present => return Err(already_partitioned(name, layout, &present)),
            }
            continue;
        }
        match once(&mut meant)?.table(name) {
            Some(table) => {
                let armed =
                    Armed::empty(name, layout, stored.proposal.settings.unique_policy, server_major());
                let blank = blank::statements(table, &armed)?;
                all.extend(blank.statements);
                references.extend(blank.references);
                written.push(name);
            }
            None => all.extend(shards_alone(name, layout)),
        }
    }
    for (target, statement) in references {
        if written.contains(&&target) || relations::find(&target)?.is_some() {
            all.push(statement);
        }
    }
    Ok(all.into_iter().map(|statement| format!("{statement};")).collect())
}

/// No statements of this release put the rows of shards into others.
fn already_partitioned(
    name: &QualifiedName,
    layout: &Layout,
    present: &Result<Layout, String>,
) -> ErrorReport {
    error::new(
        SqlState::ObjectNotInPrerequisiteState,
        format!("table \"{name:#}\" is already partitioned"),
        Some(format!(
            "{} There are no statements that divide its rows anew.",
            provision::otherwise(layout, present)
        )),
        Some(
            "Restore it: create_shards() with replace => true, then pg_restore --clean; if it is empty, drop it \
             and create it whole first. Or leave it out with relations => '{...}'."
                .to_owned(),
        ),
    )
}

/// For a table of which nothing is known here.
fn shards_alone(name: &QualifiedName, layout: &Layout) -> Vec<String> {
    let mut all = ddl::create_shards(name, layout, &ShardStorage::default());
    if let Some(first) = all.first_mut() {
        *first = format!(
            "-- Table {} is neither here nor in a profile: create it first, with {}.\n{first}",
            one_line(&name.to_string()),
            one_line(&ddl::partition_by(layout))
        );
    }
    all
}

/// Text that does not end its comment.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
