//! From a table and a proposal to the change that replaces the whole table, and
//! what stands in its way.
//!
//! Decided by the same rules as in `create_shards`: what a restore into shards
//! would refuse is refused here. Not here: carrying it out.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::arming::current_user;
use crate::catalog::facets;
use crate::catalog::layouts;
use crate::catalog::partitions;
use crate::catalog::proposals;
use crate::catalog::proposals::Stored;
use crate::catalog::relations;
use crate::model::finding::Finding;
use crate::model::finding::Severity;
use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::name::derived_name;
use crate::model::name::quote_identifier;
use crate::model::report::Report;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::model::reshard::History;
use crate::model::reshard::Rebuilt;
use crate::model::reshard::Source;
use crate::model::reshard::Target;
use crate::operations::convert;
use crate::operations::provision;
use crate::operations::reshard::check;
use crate::operations::reshard::plan;
use crate::pg::context::with_pinned_search_path;
use crate::pg::error;
use crate::pg::utility;
use crate::planning::provision::rebuild::Anatomy;
use crate::planning::provision::rewrite;
use crate::planning::provision::rewrite::Armed;

/// Says of a finding that no table can be converted in this release.
const NOT_YET: &str = "tables that have rows cannot be converted yet";

/// A table and what a proposal makes of it.
pub struct Rebuilding {
    pub change: Change,
    stored: Stored,
    layout: Layout,
}

/// The change that a proposal comes to for a table; nothing is changed.
///
/// # Errors
/// If it is not the caller's ordinary table, the proposal is not about it, or
/// the table is divided as proposed already.
pub fn plan(
    relation: u32,
    proposal_id: i64,
    online: bool,
    history: History,
) -> Result<Rebuilding, ErrorReport> {
    let stored = proposals::load(proposal_id, &current_user()?)?;
    let name = relations::name_of(Oid::from(relation))?;
    let live = relations::find(&name)?;
    provision::check_own(live.as_ref(), &name, "shard")?;
    let layout = layout_of(&stored, &name)?;
    if live.is_some_and(|live| live.is_partitioned()) {
        return Err(of_sharded(&name, layout.as_ref())?);
    }
    let Some(layout) = layout else {
        return Err(error::new(
            SqlState::ObjectNotInPrerequisiteState,
            format!("table \"{name:#}\" is not sharded"),
            Some(format!("Proposal {proposal_id} is to leave it whole, as it is.")),
            None,
        ));
    };
    let identities = partitions::identities(&[relation])?;
    let staging = name.sibling(derived_name(&name.name, "presplit_new"));
    let change = Change {
        parent: name.clone(),
        parent_oid: relation,
        root: name.clone(),
        root_oid: relation,
        sources: vec![Source { oid: relation, name: name.clone(), bound: String::new() }],
        targets: vec![Target {
            name: staging.clone(),
            bound: String::new(),
            tablespace: None,
            like: 0,
            oid: None,
        }],
        identity: plan::identity(&identities, &[relation]),
        online,
        rebuilt: Some(Rebuilt {
            proposal_id,
            staging,
            aside: name.sibling(derived_name(&name.name, "presplit_old")),
            history,
        }),
    };
    Ok(Rebuilding { change, stored, layout })
}

/// What the proposal says of the table; none = to leave it whole.
fn layout_of(stored: &Stored, name: &QualifiedName) -> Result<Option<Layout>, ErrorReport> {
    let found = stored.proposal.relations.iter().find(|proposed| proposed.relation == *name);
    found.map(|proposed| proposed.layout.clone()).ok_or_else(|| {
        let id = stored.proposal_id;
        error::new(
            SqlState::UndefinedTable,
            format!("proposal {id} says nothing about table \"{name:#}\""),
            None,
            Some(format!(
                "SELECT relation FROM presplit.proposals WHERE proposal_id = {id} lists its tables."
            )),
        )
    })
}

/// Why a table that is partitioned stays as it is.
fn of_sharded(name: &QualifiedName, layout: Option<&Layout>) -> Result<ErrorReport, ErrorReport> {
    if let (Some(layout), Ok(present)) = (layout, layouts::of(name)?)
        && present.divides_as(layout)
    {
        return Ok(error::new(
            SqlState::ObjectNotInPrerequisiteState,
            format!("table \"{name:#}\" has these shards already"),
            None,
            None,
        ));
    }
    Ok(error::new(
        SqlState::FeatureNotSupported,
        format!("table \"{name:#}\" is partitioned: it cannot be given another key, or made whole, yet"),
        None,
        Some("Shards can be split and merged by split_shard() and merge_shards().".to_owned()),
    ))
}

/// Everything that stands in the way, at once.
///
/// # Errors
/// If the catalogs cannot be read.
pub fn findings(rebuilding: &Rebuilding) -> Result<Vec<Finding>, ErrorReport> {
    let change = &rebuilding.change;
    let name = &change.root;
    let mut found = Vec::new();
    if change.online && change.identity.is_empty() {
        found.push(Finding::new(
            Severity::Error,
            name.to_string(),
            "there is no primary key, and no unique index of columns that are NOT NULL, by which rows are told apart",
            "Add one to the table.",
        ));
    }
    let anatomy = with_pinned_search_path(|| convert::dissect(name))?;
    found.extend(anatomy.obstacles.iter().map(|what| {
        Finding::new(Severity::Error, what, format!("would be lost with table {name}"), "Drop it first.")
    }));
    found.extend(refused(rebuilding, &anatomy)?);
    found.extend(names(rebuilding)?);
    found.extend(check::room(change)?);
    found.sort_by(|a, b| (a.severity, &a.object, &a.problem).cmp(&(b.severity, &b.object, &b.problem)));
    found.dedup();
    Ok(found)
}

/// What the rules of a restore into shards refuse, and columns that are missing.
fn refused(rebuilding: &Rebuilding, anatomy: &Anatomy) -> Result<Vec<Finding>, ErrorReport> {
    let (name, layout) = (&rebuilding.change.root, &rebuilding.layout);
    let columns = relations::columns(name)?;
    let missing = layout.key_columns().into_iter().filter(|column| !columns.contains(column));
    let mut found: Vec<Finding> = missing
        .map(|column| {
            let column = quote_identifier(&column);
            Finding::new(
                Severity::Error,
                format!("{name}.{column}"),
                "the shard key has the column, the table has not",
                "Propose anew.",
            )
        })
        .collect();
    let policy = rebuilding.stored.proposal.settings.unique_policy;
    let armed = Armed::empty(name, layout, policy, provision::server_major());
    for definition in &anatomy.definitions {
        let read = utility::read_text(&definition.text)
            .map_err(|caught| error::new(SqlState::SyntaxError, caught.message, None, None))?;
        let Some(statement) = read.into_iter().next() else { continue };
        if let Err(refusal) = rewrite::decide(&statement, &armed) {
            let hint = refusal.hint().unwrap_or_default();
            found.push(Finding::new(Severity::Error, name.to_string(), refusal.to_string(), hint));
        }
    }
    Ok(found)
}

/// Names that are taken, and the right to create tables under them.
fn names(rebuilding: &Rebuilding) -> Result<Vec<Finding>, ErrorReport> {
    let name = &rebuilding.change.root;
    let mut wanted: Vec<String> = rebuilding.layout.names().cloned().collect();
    if let Some(rebuilt) = &rebuilding.change.rebuilt {
        wanted.extend([rebuilt.staging.name.clone(), rebuilt.aside.name.clone()]);
    }
    let taken = facets::taken(&name.schema, &wanted)?;
    let mut found: Vec<Finding> = taken
        .into_iter()
        .map(|taken| {
            let taken = name.sibling(taken).to_string();
            Finding::new(
                Severity::Error,
                taken,
                format!("the name is taken, but a new table of {name} would have it"),
                "Drop or rename it.",
            )
        })
        .collect();
    if let Some(role) = relations::may_not_create(name)? {
        let (schema, role) = (quote_identifier(&name.schema), quote_identifier(&role));
        found.push(Finding::new(
            Severity::Error,
            format!("schema {schema}"),
            format!("role {role} may create nothing there"),
            format!("GRANT CREATE ON SCHEMA {schema} TO {role};"),
        ));
    }
    Ok(found)
}

/// What is said where nothing else stands in the way.
#[must_use]
pub fn not_yet(change: &Change) -> Finding {
    Finding::new(
        Severity::Error,
        change.root.to_string(),
        NOT_YET,
        "create_shards() divides it if it is empty, or while it is restored.",
    )
}

/// The same as an error.
#[must_use]
pub fn unsupported(change: &Change) -> ErrorReport {
    let finding = not_yet(change);
    error::new(SqlState::FeatureNotSupported, finding.problem, None, Some(finding.remedy))
}
