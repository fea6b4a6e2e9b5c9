//! The swap of whole tables, in one transaction that reads no row.
//!
//! ```text
//!  what was read before is read again, as far as nobody could be kept from altering it
//!  foreign keys of other tables that point here go
//!  the old table: its keys and publications go, it and its things get names aside
//!  the new one and its indexes get the final names; sequences go over
//!  what acts on rows comes: foreign keys without a look at rows, triggers, rights, …
//!  views read the new table; foreign keys of other tables come back
//!  what the new table is bound to is what the old one was bound to, or all is given up
//!  the old table is kept from writes, and written down as retired
//! ```

use std::collections::BTreeSet;

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::arming;
use crate::catalog::jobs;
use crate::catalog::leaves;
use crate::catalog::leaves::ForeignKey;
use crate::catalog::leaves::Incoming;
use crate::catalog::leaves::Leaf;
use crate::catalog::retired;
use crate::catalog::retired::Retired;
use crate::catalog::succession;
use crate::catalog::whole_table;
use crate::catalog::whole_table::View;
use crate::model::finding::Severity;
use crate::model::name::QualifiedName;
use crate::model::name::names_on;
use crate::model::name::quote_identifier;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::model::reshard::Part;
use crate::model::reshard::Rebuilt;
use crate::operations::provision::server_major;
use crate::operations::reshard::check;
use crate::operations::reshard::guard;
use crate::operations::reshard::objects;
use crate::operations::reshard::rebuild;
use crate::operations::reshard::swap::add_foreign_key;
use crate::operations::reshard::swap::grace_seconds;
use crate::operations::reshard::whole::Known;
use crate::operations::reshard::whole::altered;
use crate::operations::reshard::whole::aside::Aside;
use crate::pg::error;
use crate::pg::table_lock::Mode;
use crate::planning::provision::rebuild::identify;
use crate::planning::provision::rebuild::with_parts;
use crate::planning::provision::staged;

/// What the swap needs to know: read before anybody is kept out. It is true as
/// long as the versions of the table are the same, and what is outside of it.
pub struct Prepared {
    pub owner: Oid,
    pub proposal_id: i64,
    pub leaf: Leaf,
    pub incoming: Vec<Incoming>,
    views: Vec<View>,
    routines: Vec<View>,
    pub aside: Aside,
    /// The old table's partitions.
    parts: Vec<u32>,
    /// Give the new table's partitions and their indexes their names.
    parts_named: Vec<String>,
    /// Names of the indexes that the new table has.
    indexes: Vec<String>,
    /// For the owner, once the names are final: before foreign keys, and after rights.
    said: Vec<String>,
    pub last: Vec<String>,
    published: Vec<String>,
    /// What definitions are written with, and who has rights.
    outside: Vec<String>,
    rights: String,
}

impl Prepared {
    /// The views that are made anew.
    #[must_use]
    pub fn views(&self) -> Vec<Oid> {
        self.views.iter().map(|view| Oid::from(view.oid)).collect()
    }
}

/// Reads what [`run`] needs.
///
/// # Errors
/// If something came meanwhile that would be lost, or the new table is not
/// what it is to be.
pub fn prepare(change: &Change) -> Result<Prepared, ErrorReport> {
    let known = Known::read(change)?;
    let root = change.root_oid;
    // First, so that whatever is altered from now on is noticed.
    let outside = succession::outside(&[root, known.made().to_u32()])?;
    let rights = succession::rights(root)?;
    let views = whole_table::views(root)?;
    let routines = whole_table::routines(root, false)?;
    refuse_others(&known, &[&views[..], &routines[..]].concat())?;
    let armed = known.rebuilding.armed();
    let read = rebuild::read_definitions(&known.anatomy)?;
    let of = |on_shards: bool| {
        let some = known.indexes.iter().filter(move |index| index.on_shards == on_shards);
        some.map(|index| index.name.clone()).collect::<Vec<_>>()
    };
    let mut said: Vec<String> = known
        .indexes
        .iter()
        .filter(|index| !index.on_shards)
        .flat_map(|index| index.then.iter().cloned())
        .collect();
    said.extend(staged::said(&known.anatomy, armed.is_some()));
    let mut leaf = leaves::of_whole(change)?;
    let (own, incoming): (Vec<Incoming>, Vec<Incoming>) =
        leaves::incoming(root)?.into_iter().partition(|key| key.table == root);
    // Of a plain table they are among its other keys.
    for key in own.into_iter().filter(|_| change.is_divided()) {
        leaf.retire.insert(0, key.drop);
        leaf.foreign_keys.push(key.key);
    }
    Ok(Prepared {
        owner: known.owner,
        proposal_id: known.rebuilt.proposal_id,
        leaf,
        incoming,
        views,
        routines,
        aside: Aside::find(&change.root, root)?,
        parts: whole_table::partitions(Oid::from(root))?.iter().map(|part| part.oid).collect(),
        parts_named: parts_named(known.rebuilt)?,
        indexes: of(false),
        said,
        last: last(&known, &of(true)),
        published: staged::published_via_root(armed.as_ref(), &read)?,
        outside,
        rights,
    })
}

/// What is done in the end: by which index the table is clustered, and by which
/// its rows are told apart where they are replicated.
fn last(known: &Known<'_>, on_shards: &[String]) -> Vec<String> {
    let Some(armed) = known.rebuilding.armed() else {
        return staged::marks(&known.change.root, &known.anatomy);
    };
    let on_shards: Vec<&str> = on_shards.iter().map(String::as_str).collect();
    let mut last = Vec::new();
    if let Some(index) = &known.anatomy.clustered {
        last.extend(with_parts(&armed, index, &on_shards, true, "CLUSTER ON"));
    }
    last.extend(identify(&armed, &known.anatomy, &on_shards));
    last
}

/// Refuses to replace a table that has got something that would be lost, by one
/// that lacks something.
fn refuse_others(known: &Known<'_>, readers: &[View]) -> Result<(), ErrorReport> {
    let change = known.change;
    if let Some(what) = rebuild::lost(&known.anatomy, readers).next() {
        return Err(altered(change, format!("It has now {what}, which would be lost.")));
    }
    let without_scan = server_major() >= check::NOT_VALID_ON_PARTITIONED;
    let obstacles = whole_table::obstacles(change.root_oid, without_scan)?;
    if let Some(against) = obstacles.iter().find(|finding| finding.severity == Severity::Error) {
        let problem = against.problem.trim_end_matches('.');
        return Err(altered(change, format!("Now {}: {problem}.", against.object)));
    }
    if change.is_divided() {
        let leaves = whole_table::partitions(Oid::from(change.root_oid))?.into_iter();
        let mut there: Vec<u32> = leaves.filter(|part| part.is_leaf).map(|part| part.oid).collect();
        let mut copied: Vec<u32> = change.sources.iter().map(|source| source.oid).collect();
        there.sort_unstable();
        copied.sort_unstable();
        if there != copied {
            return Err(altered(change, "It has other shards than when the operation began.".to_owned()));
        }
    }
    if let Some(what) = succession::lacking(change.root_oid, known.made().to_u32())? {
        return Err(altered(change, format!("The new table does not have {what} as it is.")));
    }
    for index in known.indexes.iter().filter(|index| !index.on_shards) {
        if leaves::find(&change.root.sibling(staged::new_name(&index.name)))?.is_none() {
            return Err(altered(change, format!("Index {} of the new table is not there.", index.name)));
        }
    }
    if let Some(index) = whole_table::invalid_index(known.made())? {
        return Err(altered(change, format!("Index {index} of the new table is not complete.")));
    }
    Ok(())
}

/// Swaps. The old table, the views and the tables that foreign keys bind it to are
/// locked against everybody, and its changes are no more captured.
///
/// # Errors
/// If something is not as it was; errors of the statements are raised.
pub fn run(change: &Change, operation_id: i64, prepared: &Prepared) -> Result<(), ErrorReport> {
    let Some(rebuilt) = &change.rebuilt else { return Ok(()) };
    let Prepared { owner, leaf, incoming, aside, .. } = prepared;
    let new = change.targets.first().and_then(|target| target.oid).unwrap_or_default();
    guard::check(change, Mode::AccessExclusive)?;
    still_the_same(change, prepared, new)?;
    objects::run_above(incoming.iter().map(|key| &key.drop))?;
    objects::run_above(&leaf.retire)?;
    objects::run_above(&aside.renames())?;
    take_name(change, rebuilt, prepared, operation_id)?;
    objects::run_above(&leaf.sequences)?;
    objects::run_as(*owner, "", &aside.identities(&change.root))?;
    succession::exchange_identities(change.root_oid, new)?;
    objects::run_as(*owner, "", &leaf.before)?;
    for key in &leaf.foreign_keys {
        add_key(change, rebuilt, new, key)?;
    }
    put_on(prepared)?;
    for key in incoming {
        add_foreign_key(key.table, &key.key)?;
    }
    bound_as_before(change, prepared, new)?;
    retire(change, aside, new, operation_id)?;
    if rebuilt.plain {
        arming::mark_whole(&change.root, prepared.proposal_id)?;
    } else {
        arming::mark_sharded(&change.root, prepared.proposal_id)?;
    }
    if aside.table != rebuilt.aside {
        let rebuilt = Rebuilt { aside: aside.table.clone(), ..rebuilt.clone() };
        jobs::set_change(operation_id, &Change { rebuilt: Some(rebuilt), ..change.clone() })?;
    }
    whole_table::now_about(operation_id, change.root_oid, new)
}

/// Puts on the new table, under its final name, what acts on rows and is said of it.
///
/// # Errors
/// Errors of the statements are raised.
pub fn put_on(prepared: &Prepared) -> Result<(), ErrorReport> {
    // Statistics are given to their owners.
    objects::run_above(&prepared.said)?;
    // A publication takes a partitioned table with a condition only if it publishes it as one.
    objects::run_above(&prepared.published)?;
    for act in &prepared.leaf.after {
        match act.role {
            Some(role) => objects::run_as(Oid::from(role), "", [&act.text])?,
            None => objects::run_above([&act.text])?,
        }
    }
    objects::run_as(prepared.owner, "", &prepared.last)?;
    objects::run_above(prepared.views.iter().chain(&prepared.routines).map(|reader| &reader.statement))
}

/// What may have been altered without a lock of the table, or before it was locked.
///
/// # Errors
/// If it is not what it was.
pub fn still_the_same(change: &Change, prepared: &Prepared, new: u32) -> Result<(), ErrorReport> {
    let root = change.root_oid;
    let parts = whole_table::partitions(Oid::from(root))?.into_iter().map(|part| part.oid);
    if !parts.eq(prepared.parts.iter().copied()) {
        return Err(altered_now(change, "its shards are others"));
    }
    if whole_table::views(root)? != prepared.views {
        return Err(altered_now(change, "a view that reads it was altered"));
    }
    if whole_table::routines(root, true)? != prepared.routines {
        return Err(altered_now(change, "a function that reads it was altered"));
    }
    bound_as_before(change, prepared, new)
}

/// Whether everything outside is what it was, and nobody was given a right, or
/// lost one.
fn bound_as_before(change: &Change, prepared: &Prepared, new: u32) -> Result<(), ErrorReport> {
    outside_as_before(change, prepared, new)?;
    if succession::rights(change.root_oid)? != prepared.rights {
        return Err(altered_now(change, "rights were given or revoked"));
    }
    Ok(())
}

/// Whether everything outside that matters to the tables is what it was. Whoever
/// renames a function is not kept out by a lock: his new name, or what has the
/// old one now, is seen here.
///
/// # Errors
/// If it is not.
pub fn outside_as_before(change: &Change, prepared: &Prepared, new: u32) -> Result<(), ErrorReport> {
    let before: BTreeSet<&String> = prepared.outside.iter().collect();
    let now = succession::outside(&[change.root_oid, new])?;
    if let Some(other) = now.iter().find(|line| !before.contains(line)) {
        let kind = other.split_once(' ').map_or(other.as_str(), |(kind, _)| kind);
        return Err(altered_now(change, &format!("a {kind} that its definitions name was altered")));
    }
    Ok(())
}

/// It is tried again, with everything read anew.
fn altered_now(change: &Change, what: &str) -> ErrorReport {
    error::new(
        SqlState::ObjectInUse,
        format!("table \"{:#}\" was altered while it was to be replaced: {what}", change.root),
        None,
        None,
    )
}

/// Give the new table's partitions and their indexes the names that others have until then.
fn parts_named(rebuilt: &Rebuilt) -> Result<Vec<String>, ErrorReport> {
    let mut all = Vec::new();
    for part in &rebuilt.partitions {
        let Some(becomes) = &part.becomes else { continue };
        let things: Vec<String> = whole_table::named(part.oid)?.into_iter().map(|thing| thing.name).collect();
        for (thing, then) in things.iter().zip(names_on(&things, &part.name.name, becomes)) {
            let thing = part.name.sibling(thing);
            all.push(format!("ALTER INDEX {thing} RENAME TO {}", quote_identifier(&then)));
        }
        all.push(format!("ALTER TABLE {} RENAME TO {}", part.name, quote_identifier(becomes)));
    }
    Ok(all)
}

/// The new table and its indexes get the names that are free now, and are the
/// owner's alone.
pub fn take_name(
    change: &Change,
    rebuilt: &Rebuilt,
    prepared: &Prepared,
    operation_id: i64,
) -> Result<(), ErrorReport> {
    for (oid, name) in change.made() {
        guard::let_in(oid, name, operation_id)?;
        objects::run_above([&format!("ALTER EXTENSION pg_presplit DROP TABLE {name}")])?;
        jobs::forget_object(operation_id, Oid::from(oid))?;
    }
    let mut all: Vec<String> = prepared
        .indexes
        .iter()
        .map(|index| {
            let new = change.root.sibling(staged::new_name(index));
            format!("ALTER INDEX {new} RENAME TO {}", quote_identifier(index))
        })
        .collect();
    all.extend(prepared.parts_named.iter().cloned());
    all.push(format!("ALTER TABLE {} RENAME TO {}", rebuilt.staging, quote_identifier(&change.root.name)));
    objects::run_above(&all)
}

fn final_name(part: &Part) -> QualifiedName {
    part.becomes.as_ref().map_or_else(|| part.name.clone(), |name| part.name.sibling(name))
}

/// A foreign key on each shard, then on the table, which takes those over.
pub fn add_key(change: &Change, rebuilt: &Rebuilt, new: u32, key: &ForeignKey) -> Result<(), ErrorReport> {
    for part in rebuilt.partitions.iter().filter(|part| part.is_leaf) {
        let on_part = ForeignKey {
            statement: staged::key_on_part(&key.statement, &change.root, &final_name(part)),
            comment: None,
            ..key.clone()
        };
        add_foreign_key(part.oid, &on_part)?;
    }
    if rebuilt.plain {
        return add_foreign_key(new, key);
    }
    let adopted = ForeignKey { statement: staged::adopted(&key.statement).to_owned(), ..key.clone() };
    add_foreign_key(new, &adopted)
}

/// The old table is kept for a while.
fn retire(change: &Change, aside: &Aside, new: u32, operation_id: i64) -> Result<(), ErrorReport> {
    for table in std::iter::once(&aside.table).chain(&aside.partitions) {
        let table = table.to_string();
        objects::run_above([&format!("ALTER EXTENSION pg_presplit ADD TABLE {table}")])?;
        retired::block_writes(&table, new, operation_id)?;
    }
    retired::record(&Retired {
        shard: change.root_oid,
        root: new,
        parent: new,
        bound: "",
        operation_id,
        grace_seconds: grace_seconds(operation_id)?,
    })
}
