//! From a table and a proposal to the change that replaces the whole table, and
//! what stands in its way.
//!
//! Decided by the same rules as in `create_shards`: what a restore into shards
//! would refuse is refused here. Not here: carrying it out (`whole`).

use std::collections::BTreeSet;

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::arming::current_user;
use crate::catalog::facets;
use crate::catalog::layouts;
use crate::catalog::partitions;
use crate::catalog::proposals;
use crate::catalog::proposals::Stored;
use crate::catalog::relations;
use crate::catalog::retired;
use crate::catalog::whole_table;
use crate::catalog::whole_table::View;
use crate::model::finding::Finding;
use crate::model::finding::Severity;
use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::report::Report;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::model::reshard::History;
use crate::model::reshard::Rebuilt;
use crate::model::reshard::Source;
use crate::model::reshard::Target;
use crate::model::utility::Utility;
use crate::operations::convert;
use crate::operations::provision;
use crate::operations::reshard::check;
use crate::operations::reshard::plan;
use crate::operations::reshard::whole::aside::Aside;
use crate::pg::context::with_pinned_search_path;
use crate::pg::error;
use crate::pg::utility;
use crate::planning::provision::rebuild::Anatomy;
use crate::planning::provision::rewrite;
use crate::planning::provision::rewrite::Armed;
use crate::planning::provision::staged;

/// A table and what a proposal makes of it.
pub struct Rebuilding {
    pub change: Change,
    stored: Stored,
    /// None = a plain table.
    layout: Option<Layout>,
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
    let is_divided = live.is_some_and(|live| live.is_partitioned());
    match &layout {
        Some(layout) if is_divided => refuse_same(&name, layout)?,
        None if !is_divided => {
            return Err(error::new(
                SqlState::ObjectNotInPrerequisiteState,
                format!("table \"{name:#}\" is not sharded"),
                Some(format!("Proposal {proposal_id} is to leave it whole, as it is.")),
                None,
            ));
        }
        _ => {}
    }
    let sources = sources(relation, &name, is_divided)?;
    let oids: Vec<u32> = sources.iter().map(|source| source.oid).collect();
    let identities = partitions::identities(&oids)?;
    let staging = name.sibling(staged::new_name(&name.name));
    let change = Change {
        parent: name.clone(),
        parent_oid: relation,
        root: name.clone(),
        root_oid: relation,
        sources,
        targets: vec![Target {
            name: staging.clone(),
            bound: String::new(),
            tablespace: None,
            like: 0,
            oid: None,
        }],
        identity: plan::identity(&identities, &oids),
        online,
        undo: None,
        rebuilt: Some(Rebuilt {
            proposal_id,
            staging,
            aside: Aside::find(&name, relation)?.table,
            history,
            plain: layout.is_none(),
            partitions: Vec::new(),
        }),
    };
    Ok(Rebuilding { change, stored, layout })
}

/// The same again for a change that was planned before.
///
/// # Errors
/// If its proposal is gone.
pub fn read(change: &Change) -> Result<Rebuilding, ErrorReport> {
    let (id, plain) =
        change.rebuilt.as_ref().map_or((0, false), |rebuilt| (rebuilt.proposal_id, rebuilt.plain));
    let stored = proposals::load(id, &current_user()?)?;
    let layout = layout_of(&stored, &change.root)?;
    if layout.is_none() != plain {
        return Err(error::new(
            SqlState::DataCorrupted,
            format!("proposal {id} does not say what it said of table \"{:#}\"", change.root),
            None,
            None,
        ));
    }
    Ok(Rebuilding { change: change.clone(), stored, layout })
}

impl Rebuilding {
    /// How the proposal divides the table; none if it is to be plain.
    #[must_use]
    pub const fn layout(&self) -> Option<&Layout> {
        self.layout.as_ref()
    }

    /// The layout under the names that its shards are made with; none for a plain table.
    #[must_use]
    pub fn staged_layout(&self) -> Option<Layout> {
        let layout = self.layout.as_ref()?;
        Some(if self.change.is_divided() { layout.named(staged::new_name) } else { layout.clone() })
    }

    /// Partitions of the new table by the names that they are made with, and what they are called in
    /// the end, if that is something else.
    #[must_use]
    pub fn becomes(&self, made: &str) -> Option<String> {
        let (staged, layout) = self.staged_layout().zip(self.layout.as_ref())?;
        let mut pairs = staged.names().zip(layout.names());
        let (_, then) = pairs.find(|(now, then)| *now == made && now != then)?;
        Some(then.clone())
    }

    /// The table as the rules of a restore see it; none if it is to be plain: then everything stays as it is.
    #[must_use]
    pub fn armed(&self) -> Option<Armed<'_>> {
        let policy = self.stored.proposal.settings.unique_policy;
        let layout = self.layout.as_ref()?;
        Some(Armed::empty(&self.change.root, layout, policy, provision::server_major()))
    }
}

/// Definitions as PostgreSQL's grammar reads them.
///
/// # Errors
/// If one is none.
pub fn read_definitions(anatomy: &Anatomy) -> Result<Vec<Option<Utility>>, ErrorReport> {
    anatomy
        .definitions
        .iter()
        .map(|definition| {
            let found = utility::read_text(&definition.text)
                .map_err(|caught| error::new(SqlState::SyntaxError, caught.message, None, None))?;
            Ok(found.into_iter().next())
        })
        .collect()
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

/// The tables that have the rows.
fn sources(relation: u32, name: &QualifiedName, is_divided: bool) -> Result<Vec<Source>, ErrorReport> {
    if !is_divided {
        return Ok(vec![Source { oid: relation, name: name.clone(), bound: String::new() }]);
    }
    let leaves = whole_table::partitions(Oid::from(relation))?.into_iter().filter(|part| part.is_leaf);
    Ok(leaves
        .map(|part| Source {
            oid: part.oid,
            name: QualifiedName::new(&part.schema, &part.name),
            bound: part.bound,
        })
        .collect())
}

/// A table that is partitioned is divided otherwise, or not at all.
fn refuse_same(name: &QualifiedName, layout: &Layout) -> Result<(), ErrorReport> {
    match layouts::of(name)? {
        Ok(present) if present.divides_as(layout) => Err(error::new(
            SqlState::ObjectNotInPrerequisiteState,
            format!("table \"{name:#}\" has these shards already"),
            None,
            None,
        )),
        _ => Ok(()),
    }
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
    let mut readers = whole_table::views(change.root_oid)?;
    readers.extend(whole_table::routines(change.root_oid, false)?);
    found.extend(lost(&anatomy, &readers).map(|what| {
        Finding::new(Severity::Error, what, format!("would be lost with table {name}"), "Drop it first.")
    }));
    let without_scan = provision::server_major() >= check::NOT_VALID_ON_PARTITIONED;
    found.extend(whole_table::obstacles(change.root_oid, without_scan)?);
    found.extend(refused(rebuilding, &anatomy)?);
    // Those that were made have their names by now.
    if change.made().is_empty() {
        found.extend(names(rebuilding, &anatomy)?);
    }
    found.extend(check::room(change)?);
    found.extend(apart(change)?);
    found.sort_by(|a, b| (a.severity, &a.object, &a.problem).cmp(&(b.severity, &b.object, &b.problem)));
    found.dedup();
    Ok(found)
}

/// A table that shares its bounds with others has none in common with them afterwards.
fn apart(change: &Change) -> Result<Option<Finding>, ErrorReport> {
    let others = partitions::group(change.root_oid)?;
    let others: Vec<String> = others.iter().map(ToString::to_string).collect();
    Ok((!others.is_empty()).then(|| {
        Finding::new(
            Severity::Warning,
            change.root.to_string(),
            format!(
                "its shards have the bounds of those of {}: joins will not be shard by shard",
                others.join(", ")
            ),
            "Divide the other tables alike.",
        )
    }))
}

/// What would be lost with the table: what reads it is made anew, and a tablespace is asked for.
pub fn lost<'a>(anatomy: &'a Anatomy, readers: &'a [View]) -> impl Iterator<Item = &'a String> {
    anatomy.obstacles.iter().filter(|what| {
        !what.starts_with("tablespace ") && !readers.iter().any(|reader| reader.described == **what)
    })
}

/// What the rules of a restore into shards refuse, and columns that are missing.
pub(super) fn refused(rebuilding: &Rebuilding, anatomy: &Anatomy) -> Result<Vec<Finding>, ErrorReport> {
    let name = &rebuilding.change.root;
    let (Some(layout), Some(armed)) = (&rebuilding.layout, rebuilding.armed()) else {
        return Ok(Vec::new());
    };
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
    for statement in read_definitions(anatomy)?.into_iter().flatten() {
        if let Err(refusal) = rewrite::decide(&statement, &armed) {
            let hint = refusal.hint().unwrap_or_default();
            found.push(Finding::new(Severity::Error, name.to_string(), refusal.to_string(), hint));
        }
    }
    Ok(found)
}

/// Names that are taken, and the right to create tables under them.
fn names(rebuilding: &Rebuilding, anatomy: &Anatomy) -> Result<Vec<Finding>, ErrorReport> {
    let name = &rebuilding.change.root;
    let oid = rebuilding.change.root_oid;
    // Shards of the old table give their names away, and so do those that were replaced before.
    let mut given: BTreeSet<String> =
        whole_table::partitions(Oid::from(oid))?.into_iter().map(|part| part.name).collect();
    given.extend(retired::of_table(oid)?.into_iter().map(|(_, name)| name.name));
    let is_divided = rebuilding.change.is_divided();
    let mut wanted: Vec<String> = Vec::new();
    if let Some(layout) = &rebuilding.layout {
        let later = |name: &&String| !(is_divided && given.contains(*name));
        wanted.extend(layout.names().filter(later).cloned());
    }
    wanted.extend(rebuilding.staged_layout().iter().filter(|_| is_divided).flat_map(Layout::names).cloned());
    let read = read_definitions(anatomy)?;
    for index in staged::indexes(rebuilding.armed().as_ref(), anatomy, &read).unwrap_or_default() {
        wanted.push(staged::new_name(&index.name));
    }
    wanted.extend(rebuilding.change.rebuilt.iter().map(|rebuilt| rebuilt.staging.name.clone()));
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
