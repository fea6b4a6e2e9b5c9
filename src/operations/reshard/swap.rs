//! The swap: the new shards take the places of the old ones, in one
//! transaction that reads no row.
//!
//! ```text
//!  foreign keys of other tables that point here go
//!  sources: detached, kept from writes, written down as retired
//!  targets: foreign keys come without a look at rows, attached
//!  what acts on rows comes: rights, triggers, rules, policies, publications
//!  foreign keys of other tables come back
//! ```
//!
//! That no row is read rests on what is known beforehand: the check of its
//! bound has held for every row that came into a target, no row of a DEFAULT
//! belongs to a source, so none to a target, and the rows are those that met
//! the foreign keys before.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::jobs;
use crate::catalog::leaves;
use crate::catalog::leaves::ForeignKey;
use crate::catalog::leaves::Incoming;
use crate::catalog::leaves::Leaf;
use crate::catalog::retired;
use crate::catalog::retired::Retired;
use crate::catalog::succession;
use crate::model::reshard::Change;
use crate::model::reshard::Target;
use crate::operations::reshard::adoption;
use crate::operations::reshard::capture;
use crate::operations::reshard::guard;
use crate::operations::reshard::keep;
use crate::operations::reshard::objects;
use crate::operations::reshard::objects::BOUND;
use crate::operations::reshard::objects::PROOF;
use crate::operations::reshard::staging::is_default;
use crate::operations::reshard::whole;
use crate::pg::bound_check;
use crate::pg::bound_check::Says;
use crate::pg::spi;
use crate::pg::table_lock::Mode;

/// How long a replaced shard is kept where nothing says otherwise.
const GRACE_SECONDS: i64 = 86_400;

/// What a swap needs to know of the tables: read before anybody is kept out,
/// and true as long as their fingerprint is the same.
pub enum Prepared {
    Leaves(Leaves),
    Whole(Box<whole::swap::Prepared>),
    Kept(Box<keep::swap::Prepared>),
}

impl Prepared {
    /// Views that are made anew: whoever reads one has locked it before the table.
    #[must_use]
    pub fn views(&self) -> Vec<Oid> {
        match self {
            Self::Leaves(_) => Vec::new(),
            Self::Whole(whole) => whole.views(),
            Self::Kept(kept) => kept.views(),
        }
    }
}

/// What the swap of leaves needs to know.
pub struct Leaves {
    parent_owner: Oid,
    coming: Vec<Leaf>,
    going: Vec<Leaf>,
    incoming: Vec<Incoming>,
}

/// Reads what [`run`] needs.
///
/// # Errors
/// If the catalogs cannot be read.
pub fn prepare(change: &Change) -> Result<Prepared, ErrorReport> {
    if change.keeps_rows() {
        return keep::swap::prepare(change).map(|prepared| Prepared::Kept(Box::new(prepared)));
    }
    if change.rebuilt.is_some() {
        return whole::swap::prepare(change).map(|prepared| Prepared::Whole(Box::new(prepared)));
    }
    let targets = 0..change.targets.len();
    Ok(Prepared::Leaves(Leaves {
        parent_owner: leaves::owner(change.parent_oid)?,
        coming: targets.map(|at| leaves::of_target(change, at)).collect::<Result<_, _>>()?,
        going: change.sources.iter().map(leaves::of_source).collect::<Result<_, _>>()?,
        incoming: leaves::incoming(change.parent_oid)?,
    }))
}

/// Swaps. The parent, the sources and [`tables`] are locked against everybody,
/// and the changes of the sources are no more captured.
///
/// # Errors
/// Errors of the statements are raised.
pub fn run(change: &Change, operation_id: i64, prepared: &Prepared) -> Result<(), ErrorReport> {
    match prepared {
        Prepared::Leaves(prepared) => run_leaves(change, operation_id, prepared),
        Prepared::Whole(prepared) => whole::swap::run(change, operation_id, prepared),
        Prepared::Kept(prepared) => keep::swap::run(change, operation_id, prepared),
    }
}

fn run_leaves(change: &Change, operation_id: i64, prepared: &Leaves) -> Result<(), ErrorReport> {
    let Leaves { parent_owner, coming, going, incoming } = prepared;
    let parent_owner = *parent_owner;
    objects::run_above(incoming.iter().map(|key| &key.drop))?;
    if let Some(undo) = &change.undo {
        capture::remove_reverse(undo.operation_id)?;
    }
    for source in &change.sources {
        capture::remove_of_others(source.oid)?;
        let detach = format!("ALTER TABLE {} DETACH PARTITION {}", change.parent, source.name);
        objects::run_as(parent_owner, "", [&detach])?;
    }
    let grace = grace_seconds(operation_id)?;
    for (at, leaf) in going.iter().enumerate() {
        let heir = change.targets.iter().zip(coming).find(|(target, _)| target.like == at);
        retire(change, at, leaf, heir.map(|(_, leaf)| leaf), operation_id, grace)?;
    }
    for (target, leaf) in change.targets.iter().zip(coming) {
        hand_over(change, target, leaf, operation_id)?;
    }
    attach(change, parent_owner)?;
    for leaf in coming {
        adoption::put_on(leaf, |_| true)?;
    }
    for key in incoming {
        add_foreign_key(key.table, &key.key)?;
    }
    let settings = jobs::settings(operation_id)?;
    let is_wanted = settings.get("undo").and_then(serde_json::Value::as_bool) == Some(true);
    if is_wanted && grace > 0 && !change.identity.is_empty() {
        capture::install_reverse(change, operation_id)?;
    }
    Ok(())
}

/// The tables that the swap locks against everybody besides the parent and the
/// sources, in the order in which they are to be locked: the DEFAULT, then
/// those that refer to the table or that its shards refer to, for foreign keys
/// come and go with triggers on both sides. Where the whole table is replaced
/// also its branches, which could get shards, and its indexes, which could get
/// comments, without a lock of the table itself.
///
/// # Errors
/// If the catalogs cannot be read.
pub fn tables(change: &Change) -> Result<Vec<Oid>, ErrorReport> {
    let own: Vec<u32> =
        std::iter::once(change.parent_oid).chain(change.sources.iter().map(|source| source.oid)).collect();
    let mut all: Vec<Oid> = leaves::default_partition(change.parent_oid)?.into_iter().collect();
    let more =
        if change.rebuilt.is_some() { succession::own_relations(change.root_oid)? } else { Vec::new() };
    for table in leaves::bound_by_keys(&own)?.into_iter().chain(more) {
        if !all.contains(&table) {
            all.push(table);
        }
    }
    all.retain(|table| !own.contains(&table.to_u32()));
    Ok(all)
}

/// A source that is a table of its own now.
fn retire(
    change: &Change,
    at: usize,
    leaf: &Leaf,
    heir: Option<&Leaf>,
    operation_id: i64,
    grace: i64,
) -> Result<(), ErrorReport> {
    let source = &change.sources[at];
    objects::run_above(&leaf.retire)?;
    if let Some(heir) = heir {
        objects::run_above(&heir.sequences)?;
    }
    objects::run_above([&format!("ALTER EXTENSION pg_presplit ADD TABLE {}", source.name)])?;
    retired::block_writes(&source.name.to_string(), change.root_oid, operation_id)?;
    retired::record(&Retired {
        shard: source.oid,
        root: change.root_oid,
        parent: change.parent_oid,
        bound: &source.bound,
        operation_id,
        grace_seconds: grace,
    })
}

/// A staging table, right before it is attached.
fn hand_over(change: &Change, target: &Target, leaf: &Leaf, operation_id: i64) -> Result<(), ErrorReport> {
    let oid = target.oid.unwrap_or_default();
    guard::check_one(target, Mode::AccessExclusive)?;
    guard::let_in(oid, &target.name, operation_id)?;
    objects::run_above([&format!("ALTER EXTENSION pg_presplit DROP TABLE {}", target.name)])?;
    jobs::forget_object(operation_id, Oid::from(oid))?;
    if change.undo.is_some() {
        retired::forget(oid)?;
        objects::run_above(&leaves::revoke_all(oid)?)?;
    } else {
        objects::run_as(Oid::from(leaf.owner), "", &leaf.before)?;
    }
    for key in &leaf.foreign_keys {
        add_foreign_key(oid, key)?;
    }
    Ok(())
}

/// Adds a foreign key without a look at rows: they are known to meet it.
///
/// # Errors
/// Errors of the statements are raised.
pub(super) fn add_foreign_key(table: u32, key: &ForeignKey) -> Result<(), ErrorReport> {
    objects::run_above([&key.statement])?;
    if key.holds {
        leaves::mark_valid(table, &key.name)?;
    }
    objects::run_above(&key.comment)
}

/// Attaches the targets, a DEFAULT last: what it accepts depends on the others.
fn attach(change: &Change, owner: Oid) -> Result<(), ErrorReport> {
    let parent = Oid::from(change.parent_oid);
    let (defaults, others): (Vec<_>, Vec<_>) =
        change.targets.iter().partition(|target| is_default(&target.bound));
    let stays = leaves::default_partition(change.parent_oid)?;
    if let Some(default) = stays {
        let bounds: Vec<&str> = others.iter().map(|target| target.bound.as_str()).collect();
        objects::as_owner(owner, "", || bound_check::add(parent, default, PROOF, &bounds, Says::Outside))?;
    }
    for target in others.into_iter().chain(defaults) {
        let table = Oid::from(target.oid.unwrap_or_default());
        objects::as_owner(owner, "", || {
            if is_default(&target.bound) {
                bound_check::add(parent, table, PROOF, &[&target.bound], Says::Within)?;
            }
            let attach =
                format!("ALTER TABLE {} ATTACH PARTITION {} {}", change.parent, target.name, target.bound);
            spi::run(&attach, &[])?;
            bound_check::drop(table, BOUND)?;
            bound_check::drop(table, PROOF)
        })?;
    }
    match stays {
        Some(default) => bound_check::drop(default, PROOF),
        None => Ok(()),
    }
}

/// How long this operation's replaced shards are kept.
pub(super) fn grace_seconds(operation_id: i64) -> Result<i64, ErrorReport> {
    let settings = jobs::settings(operation_id)?;
    let value = settings.get("retired_shard_grace");
    Ok(value
        .and_then(|value| value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok())))
        .unwrap_or(GRACE_SECONDS))
}
