//! A table that has rows becomes, as it is, the first shard of a sharded one:
//! no row is copied, and it takes as long for a large table as for a small one.
//!
//! ```text
//!  staging  ─→ the new table under a name aside, with the shards ahead, empty
//!  indexing ─→ the table's indexes on these
//!  swap     ─→ the old table gets its name as a shard, the new one its name;
//!              what acts on rows goes over; the old table is attached
//! ```
//!
//! That the rows are within its bound an index on the key says, under the lock
//! that keeps everybody out: so nobody is kept from writing any key before, and
//! shards that rows have reached meanwhile are left out.

pub mod staging;
pub mod swap;

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::facets;
use crate::catalog::kept_table;
use crate::catalog::kept_table::Key;
use crate::catalog::kept_table::Taken;
use crate::catalog::leaves;
use crate::catalog::relations;
use crate::catalog::whole_table;
use crate::catalog::whole_table::Named;
use crate::model::finding::Finding;
use crate::model::finding::Severity;
use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::name::names_on;
use crate::model::name::quote_identifier;
use crate::model::name::quote_identifiers;
use crate::model::report::Report;
use crate::model::reshard::Change;
use crate::model::reshard::History;
use crate::model::utility::AlterCommand;
use crate::model::utility::Edit;
use crate::model::utility::Utility;
use crate::operations::convert;
use crate::operations::provision;
use crate::operations::reshard::check;
use crate::operations::reshard::plan as of_shards;
use crate::operations::reshard::rebuild;
use crate::operations::reshard::rebuild::Rebuilding;
use crate::pg::context::with_pinned_search_path;
use crate::planning::provision::kept;
use crate::planning::provision::kept::KeepRefusal;
use crate::planning::provision::kept::Kept;
use crate::planning::provision::rebuild::Anatomy;
use crate::planning::provision::rewrite;
use crate::planning::provision::rewrite::Action;
use crate::planning::provision::staged;
use crate::planning::reshard::kept_steps;
use crate::planning::reshard::kept_steps::Becoming;
use crate::planning::reshard::steps::Step;

crate::pg::error::reports!(KeepRefusal);

/// The change that makes a table the first shard of what a proposal says;
/// nothing is changed.
///
/// # Errors
/// As [`rebuild::plan`]; if it is partitioned already, or the layout has two levels.
pub fn plan(relation: u32, proposal_id: i64, online: bool) -> Result<Rebuilding, ErrorReport> {
    if !online {
        return Err(KeepRefusal::Offline.into());
    }
    let mut rebuilding = rebuild::plan(relation, proposal_id, true, History::Keep)?;
    let root = rebuilding.change.root.clone();
    if rebuilding.change.is_divided() {
        return Err(KeepRefusal::Partitioned(root).into());
    }
    let layout = layout(&rebuilding)?;
    if !layout.branches().is_empty() {
        return Err(KeepRefusal::TwoLevels(root).into());
    }
    let rows = Rows::read(&rebuilding.change, layout)?;
    // Where nothing is ahead it is refused later, with everything else.
    let name = match rows.kept(&rebuilding.change, layout) {
        Some(kept) => kept.name,
        None => layout.shards()[0].name.clone(),
    };
    if let Some(rebuilt) = &mut rebuilding.change.rebuilt {
        rebuilt.aside = root.sibling(name);
    }
    Ok(rebuilding)
}

/// How the proposal divides the table, which it does.
fn layout(rebuilding: &Rebuilding) -> Result<&Layout, ErrorReport> {
    rebuilding.layout().ok_or_else(|| KeepRefusal::Partitioned(rebuilding.change.root.clone()).into())
}

/// What the rows of the table say of the shards.
struct Rows {
    owner: Oid,
    /// Row security hides them from their owner: nothing is known of them.
    hidden: bool,
    /// None where no index tells it, or none has to.
    key: Option<Key>,
    taken: Taken,
}

impl Rows {
    fn read(change: &Change, layout: &Layout) -> Result<Self, ErrorReport> {
        let owner = leaves::owner(change.root_oid)?;
        let hidden = kept_table::is_hidden(change.root_oid)?;
        let key = match kept::candidates(layout).next() {
            Some(_) if !hidden => kept_table::key(change.root_oid, layout.first_key())?,
            _ => None,
        };
        let taken = match &key {
            Some(key) => kept_table::taken(&change.root, owner, key, layout)?,
            None => Taken::default(),
        };
        Ok(Self { owner, hidden, key, taken })
    }

    /// What the table becomes: with the shards that were made, or with all that can be.
    fn kept(&self, change: &Change, layout: &Layout) -> Option<Kept> {
        let made = change.made();
        let is_made = |name: &str| made.is_empty() || made.iter().any(|(_, made)| made.name == name);
        kept::kept(layout, &change.root.name, |shard| is_made(&shard.name) && !self.taken.has(shard))
    }

    fn nothing_ahead(&self, change: &Change, layout: &Layout) -> KeepRefusal {
        KeepRefusal::NothingAhead {
            relation: change.root.clone(),
            last: kept::last_point(layout),
            greatest: self.taken.greatest.clone(),
        }
    }
}

/// Everything that stands in the way, at once.
///
/// # Errors
/// If the catalogs cannot be read.
pub fn findings(rebuilding: &Rebuilding) -> Result<Vec<Finding>, ErrorReport> {
    let change = &rebuilding.change;
    let anatomy = with_pinned_search_path(|| convert::dissect(&change.root))?;
    let mut readers = whole_table::views(change.root_oid)?;
    readers.extend(whole_table::routines(change.root_oid, false)?);
    let lost = rebuild::lost(&anatomy, &readers);
    let mut found: Vec<Finding> = lost
        .map(|what| {
            let problem = format!("would go on with shard {} alone", aside(change));
            Finding::new(Severity::Error, what, problem, "Drop it first.")
        })
        .collect();
    let without_scan = provision::server_major() >= check::NOT_VALID_ON_PARTITIONED;
    found.extend(whole_table::obstacles(change.root_oid, without_scan)?);
    let refused = rebuild::refused(rebuilding, &anatomy)?;
    // What has not the columns of the key has no key to look at.
    if refused.is_empty() {
        found.extend(unfit(rebuilding, &anatomy)?);
        found.extend(rows(rebuilding)?);
        // Those that were made have their names by now.
        if change.made().is_empty() {
            found.extend(names(rebuilding, &anatomy)?);
        }
    }
    found.extend(refused);
    found.sort_by(|a, b| (a.severity, &a.object, &a.problem).cmp(&(b.severity, &b.object, &b.problem)));
    found.dedup();
    Ok(found)
}

/// What would stand in the way of this history alone, as remarks, where the
/// proposal could also be carried out by copying.
///
/// # Errors
/// If the catalogs cannot be read.
pub fn remarks(relation: u32, proposal_id: i64, said: &[Finding]) -> Result<Vec<Finding>, ErrorReport> {
    let Ok(rebuilding) = plan(relation, proposal_id, true) else { return Ok(Vec::new()) };
    let alone = findings(&rebuilding)?.into_iter().filter(|finding| finding.severity == Severity::Error);
    Ok(alone
        .filter(|finding| !said.iter().any(|other| other.object == finding.object))
        .map(|finding| Finding {
            severity: Severity::Info,
            problem: format!("with history => 'keep': {}", finding.problem),
            ..finding
        })
        .collect())
}

fn aside(change: &Change) -> String {
    change.rebuilt.as_ref().map(|rebuilt| rebuilt.aside.to_string()).unwrap_or_default()
}

/// Indexes that the new table would have otherwise than the old one has them.
fn unfit(rebuilding: &Rebuilding, anatomy: &Anatomy) -> Result<Vec<Finding>, ErrorReport> {
    let table = &rebuilding.change.root;
    let Some(armed) = rebuilding.armed() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for (definition, read) in anatomy.definitions.iter().zip(rebuild::read_definitions(anatomy)?) {
        let (Some(statement), Some(name)) = (read, &definition.name) else { continue };
        let decided = rewrite::decide(&statement, &armed).unwrap_or_default();
        for action in decided.into_iter().flat_map(|decision| decision.actions) {
            let Action::Root(edits) = action else { continue };
            for edit in edits {
                let Edit::AppendKey(columns) = edit else { continue };
                found.push(Finding::new(
                    Severity::Error,
                    table.sibling(name).to_string(),
                    format!(
                        "unique index {} lacks {}, which the proposal would append to it",
                        quote_identifier(name),
                        quote_identifiers(&columns)
                    ),
                    extended(&statement, table, name, &columns),
                ));
            }
            if matches!(&statement, Utility::AlterTable { commands, .. }
                if matches!(commands.first(), Some(AlterCommand::AddExclusion { .. })))
            {
                found.push(Finding::new(
                    Severity::Error,
                    table.sibling(name).to_string(),
                    "PostgreSQL cannot make an exclusion constraint that is there a part of another",
                    "Pass history => 'split', or drop it first.",
                ));
            }
        }
    }
    Ok(found)
}

/// What makes a unique constraint or index one that includes the key.
fn extended(statement: &Utility, table: &QualifiedName, name: &str, key: &[String]) -> String {
    let new = quote_identifier(&staged::new_name(name));
    let (columns, then) = match statement {
        Utility::AlterTable { commands, .. } => match commands.first() {
            Some(AlterCommand::AddUnique { columns, primary, .. }) => {
                let kind = if *primary { "PRIMARY KEY" } else { "UNIQUE" };
                let name = quote_identifier(name);
                let then = format!(
                    "ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {kind} USING INDEX {new};"
                );
                (columns, then)
            }
            _ => return "Drop it first.".to_owned(),
        },
        Utility::CreateIndex(index) if !index.expressions => {
            (&index.columns, format!("DROP INDEX CONCURRENTLY {};", table.sibling(name)))
        }
        _ => return "Make a unique index that includes the shard key, and drop this one.".to_owned(),
    };
    let all: Vec<String> = columns.iter().chain(key).cloned().collect();
    format!("CREATE UNIQUE INDEX CONCURRENTLY {new} ON {table} ({}); {then}", quote_identifiers(&all))
}

/// Rows that belong to no shard, or to one ahead.
fn rows(rebuilding: &Rebuilding) -> Result<Vec<Finding>, ErrorReport> {
    let (change, layout) = (&rebuilding.change, layout(rebuilding)?);
    let table = change.root.to_string();
    let error = |problem: &str, remedy: String| Finding::new(Severity::Error, &table, problem, remedy);
    let rows = Rows::read(change, layout)?;
    if rows.hidden {
        // That is said already.
        return Ok(Vec::new());
    }
    let is_range = layout.first_strategy() == Strategy::Range;
    let Some(key) = &rows.key else {
        if kept::candidates(layout).next().is_none() {
            return Ok(if is_range { vec![ahead(&rows, change, layout)] } else { Vec::new() });
        }
        let columns = quote_identifiers(layout.first_key());
        return Ok(vec![error(
            "there is no index by which the greatest key of its rows is found at once",
            format!("CREATE INDEX CONCURRENTLY ON {table} ({columns});"),
        )]);
    };
    let mut found = Vec::new();
    if is_range {
        let nullable = key.columns.iter().skip(1).filter(|column| !column.is_not_null);
        found.extend(nullable.map(|column| {
            let column = quote_identifier(&column.name);
            Finding::new(
                Severity::Error,
                format!("{table}.{column}"),
                "is a column of the shard key that may be null, which no range accepts",
                format!("ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL;"),
            )
        }));
        if kept_table::has_nulls(&change.root, rows.owner, key)? {
            found.push(null_rows(change, layout));
        }
        if rows.kept(change, layout).is_none() {
            found.push(ahead(&rows, change, layout));
        }
    }
    Ok(found)
}

fn ahead(rows: &Rows, change: &Change, layout: &Layout) -> Finding {
    let refusal = rows.nothing_ahead(change, layout);
    let problem = "no split point of the proposal is ahead of its rows".to_owned();
    let problem = match (&rows.taken.greatest, kept::last_point(layout)) {
        (Some(greatest), Some(last)) => {
            format!("{problem}: the greatest key is {greatest}, the last point {last}")
        }
        _ => problem,
    };
    Finding::new(Severity::Error, change.root.to_string(), problem, refusal.hint().unwrap_or_default())
}

fn null_rows(change: &Change, layout: &Layout) -> Finding {
    Finding::new(
        Severity::Error,
        change.root.to_string(),
        format!(
            "has rows without a value of {}, which no range accepts",
            quote_identifiers(layout.first_key())
        ),
        "Give them one, or pass history => 'split', by which they come into the DEFAULT shard.",
    )
}

/// Names that are taken, and the right to create tables under them.
fn names(rebuilding: &Rebuilding, anatomy: &Anatomy) -> Result<Vec<Finding>, ErrorReport> {
    let change = &rebuilding.change;
    let name = &change.root;
    let layout = layout(rebuilding)?;
    let Some(kept) = Rows::read(change, layout)?.kept(change, layout) else { return Ok(Vec::new()) };
    let mut wanted: Vec<String> = kept.ahead.iter().map(|shard| shard.name.clone()).collect();
    wanted.extend(renames(change)?.into_iter().map(|(_, new)| new));
    let read = rebuild::read_definitions(anatomy)?;
    for index in staged::indexes(rebuilding.armed().as_ref(), anatomy, &read).unwrap_or_default() {
        wanted.push(staged::new_name(&index.name));
    }
    if let Some(rebuilt) = &change.rebuilt {
        wanted.extend([rebuilt.staging.name.clone(), rebuilt.aside.name.clone()]);
    }
    let mut found: Vec<Finding> = facets::taken(&name.schema, &wanted)?
        .into_iter()
        .map(|taken| {
            Finding::new(
                Severity::Error,
                name.sibling(taken).to_string(),
                format!("the name is taken, but a shard of {name} or something of it would have it"),
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

/// The indexes and statistics of the table with the names that they have on
/// it as a shard.
fn renames(change: &Change) -> Result<Vec<(Named, String)>, ErrorReport> {
    let Some(rebuilt) = &change.rebuilt else { return Ok(Vec::new()) };
    // An identity's sequence goes to the new table.
    let own = whole_table::named(change.root_oid)?.into_iter().filter(|thing| thing.kind != "SEQUENCE");
    let own: Vec<Named> = own.collect();
    let old: Vec<String> = own.iter().map(|thing| thing.name.clone()).collect();
    let new = names_on(&old, &change.root.name, &rebuilt.aside.name);
    Ok(own.into_iter().zip(new).collect())
}

/// The steps of such a change as a person reads them beforehand.
///
/// # Errors
/// If the catalogs cannot be read.
pub fn steps(change: &Change) -> Result<Vec<Step>, ErrorReport> {
    let rebuilding = rebuild::read(change)?;
    let layout = layout(&rebuilding)?;
    let rows = Rows::read(change, layout)?;
    let kept =
        rows.kept(change, layout).ok_or_else(|| ErrorReport::from(rows.nothing_ahead(change, layout)))?;
    let ahead = kept.ahead.iter().map(|shard| change.root.sibling(&shard.name));
    let index = rows.key.map(|key| key.index);
    let becoming = Becoming { bound: &kept.bound, ahead: ahead.collect(), index: index.as_deref() };
    Ok(kept_steps::steps(change, &of_shards::facts(change)?, &becoming))
}
