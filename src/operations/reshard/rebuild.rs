//! From a table and a proposal to the change that replaces the whole table, and
//! what stands in its way.
//!
//! Decided by the same rules as in `create_shards`: what a restore into shards
//! would refuse is refused here. Not here: carrying it out (`whole`).

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::arming::current_user;
use crate::catalog::facets;
use crate::catalog::layouts;
use crate::catalog::partitions;
use crate::catalog::proposals;
use crate::catalog::proposals::Stored;
use crate::catalog::relations;
use crate::catalog::whole_table;
use crate::catalog::whole_table::View;
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
use crate::model::utility::Utility;
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
use crate::planning::provision::staged;

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
    let is_divided = live.is_some_and(|live| live.is_partitioned());
    if is_divided {
        refuse_same(&name, layout.as_ref())?;
    }
    let Some(layout) = layout else {
        return Err(error::new(
            SqlState::ObjectNotInPrerequisiteState,
            format!("table \"{name:#}\" is not sharded"),
            Some(format!("Proposal {proposal_id} is to leave it whole, as it is.")),
            None,
        ));
    };
    let sources = sources(relation, &name, is_divided)?;
    let oids: Vec<u32> = sources.iter().map(|source| source.oid).collect();
    let identities = partitions::identities(&oids)?;
    let staging = name.sibling(derived_name(&name.name, "presplit_new"));
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
            aside: name.sibling(derived_name(&name.name, "presplit_old")),
            history,
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
    let id = change.rebuilt.as_ref().map_or(0, |rebuilt| rebuilt.proposal_id);
    let stored = proposals::load(id, &current_user()?)?;
    let layout = layout_of(&stored, &change.root)?.ok_or_else(|| {
        error::new(
            SqlState::DataCorrupted,
            format!("proposal {id} does not say how to divide table \"{:#}\"", change.root),
            None,
            None,
        )
    })?;
    Ok(Rebuilding { change: change.clone(), stored, layout })
}

impl Rebuilding {
    /// How the proposal divides the table.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The layout under the names that its shards are made with.
    #[must_use]
    pub fn staged_layout(&self) -> Layout {
        if self.change.is_divided() { self.layout.named(staged::new_name) } else { self.layout.clone() }
    }

    /// Partitions of the new table by the names that they are made with, and what they are called in
    /// the end, if that is something else.
    #[must_use]
    pub fn becomes(&self, made: &str) -> Option<String> {
        let staged = self.staged_layout();
        let pairs = staged.names().zip(self.layout.names());
        pairs.filter(|(now, then)| *now == made && now != then).map(|(_, then)| then.clone()).next()
    }

    /// The same table as it is divided before the swap.
    #[must_use]
    pub fn armed_as<'a>(&'a self, layout: &'a Layout) -> Armed<'a> {
        Armed { layout, ..self.armed() }
    }

    /// The table as the rules of a restore see it.
    #[must_use]
    pub fn armed(&self) -> Armed<'_> {
        let policy = self.stored.proposal.settings.unique_policy;
        Armed::empty(&self.change.root, &self.layout, policy, provision::server_major())
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
fn refuse_same(name: &QualifiedName, layout: Option<&Layout>) -> Result<(), ErrorReport> {
    let Some(layout) = layout else {
        return Err(error::new(
            SqlState::FeatureNotSupported,
            format!("table \"{name:#}\" is partitioned: it cannot be made whole yet"),
            None,
            Some("Its shards can be made fewer by merge_shards().".to_owned()),
        ));
    };
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
    let views = whole_table::views(change.root_oid)?;
    found.extend(lost(&anatomy, &views).map(|what| {
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
    found.sort_by(|a, b| (a.severity, &a.object, &a.problem).cmp(&(b.severity, &b.object, &b.problem)));
    found.dedup();
    Ok(found)
}

/// What would be lost with the table: views are made anew.
pub fn lost<'a>(anatomy: &'a Anatomy, views: &'a [View]) -> impl Iterator<Item = &'a String> {
    anatomy.obstacles.iter().filter(|what| !views.iter().any(|view| view.described == **what))
}

/// What the rules of a restore into shards refuse, and columns that are missing.
pub(super) fn refused(rebuilding: &Rebuilding, anatomy: &Anatomy) -> Result<Vec<Finding>, ErrorReport> {
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
    let armed = rebuilding.armed();
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
    let old = whole_table::partitions(Oid::from(oid))?;
    // Shards of the old table give their names away.
    let is_free = |name: &String| !old.iter().any(|part| part.name == *name);
    let mut wanted: Vec<String> = rebuilding.layout.names().filter(|name| is_free(name)).cloned().collect();
    if !old.is_empty() {
        wanted.extend(rebuilding.staged_layout().names().cloned());
    }
    for part in &old {
        wanted.push(staged::old_name(&part.name));
        let named = whole_table::named(part.oid)?;
        wanted.extend(named.iter().map(|thing| staged::old_name(&thing.name)));
    }
    for index in
        staged::indexes(&rebuilding.armed(), anatomy, &read_definitions(anatomy)?).unwrap_or_default()
    {
        wanted.push(staged::new_name(&index.name));
    }
    for aside in whole_table::named(oid)? {
        wanted.push(staged::old_name(&aside.name));
    }
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
