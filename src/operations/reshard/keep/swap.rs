//! The swap that makes a table the first shard of a new one, in one
//! transaction that reads one row.
//!
//! ```text
//!  shards ahead that a row has reached are dropped: the bound is known
//!  foreign keys of other tables that point here go, and those to itself
//!  the old table: what acts on rows goes; it and its things get the names of a shard
//!  the new one gets the final names; sequences go over
//!  the old table is attached: its indexes become parts of the new one's
//!  what acts on rows comes, as where rows are copied
//! ```

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::arming;
use crate::catalog::jobs;
use crate::catalog::kept_table;
use crate::catalog::leaves;
use crate::catalog::leaves::Incoming;
use crate::catalog::succession;
use crate::catalog::whole_table;
use crate::catalog::whole_table::Named;
use crate::model::bound::Bound;
use crate::model::finding::Finding;
use crate::model::layout::Shard;
use crate::model::name::quote_identifier;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::model::reshard::Part;
use crate::model::reshard::Rebuilt;
use crate::operations::reshard::guard;
use crate::operations::reshard::keep;
use crate::operations::reshard::keep::Rows;
use crate::operations::reshard::objects;
use crate::operations::reshard::objects::PROOF;
use crate::operations::reshard::rebuild::Rebuilding;
use crate::operations::reshard::swap::add_foreign_key;
use crate::operations::reshard::whole;
use crate::operations::reshard::whole::Known;
use crate::operations::reshard::whole::altered;
use crate::pg::bound_check;
use crate::pg::bound_check::Says;
use crate::pg::error;
use crate::pg::spi;
use crate::pg::table_lock::Mode;
use crate::planning::provision::kept;
use crate::planning::provision::kept::Kept;
use crate::planning::provision::rebuild::identify;
use crate::planning::provision::rebuild::with_parts;
use crate::planning::provision::rewrite::Armed;

/// What the swap needs to know: read before anybody is kept out.
pub struct Prepared {
    whole: whole::swap::Prepared,
    rebuilding: Rebuilding,
    renames: Vec<(Named, String)>,
    /// Take from the old table what acts on its rows, under its old name.
    strip: Vec<String>,
    /// Foreign keys of the table to itself.
    own: Vec<Incoming>,
    /// Its identity columns, quoted.
    identities: Vec<String>,
    /// For the owner, in the end, of all shards that were made.
    last: Vec<String>,
}

impl Prepared {
    /// The views that are made anew.
    #[must_use]
    pub fn views(&self) -> Vec<Oid> {
        self.whole.views()
    }
}

/// Reads what [`run`] needs.
///
/// # Errors
/// If something came meanwhile that would be lost, or an index is not complete.
pub fn prepare(change: &Change) -> Result<Prepared, ErrorReport> {
    let mut whole = whole::swap::prepare(change)?;
    let known = Known::read(change)?;
    whole.last = Vec::new();
    let mut strip = leaves::strip(change.root_oid)?;
    strip.extend(leaves::revoke_all(change.root_oid)?);
    strip.extend(kept_table::uncomment(change.root_oid)?);
    // Its foreign keys stay, its publications do not: the new table is published.
    strip.extend(whole.leaf.retire.iter().filter(|text| text.starts_with("ALTER PUBLICATION ")).cloned());
    let own = leaves::incoming(change.root_oid)?.into_iter().filter(|key| key.table == change.root_oid);
    Ok(Prepared {
        whole,
        renames: keep::renames(change)?,
        strip,
        own: own.collect(),
        identities: kept_table::identities(change.root_oid)?,
        last: last(&known)?,
        rebuilding: known.rebuilding,
    })
}

/// What the owner says of indexes at the end, of the table and of all shards
/// that were made, which are numbered as then: the old one has it.
fn last(known: &Known<'_>) -> Result<Vec<String>, ErrorReport> {
    let layout = keep::layout(&known.rebuilding)?;
    let made = known.change.made();
    let is_made = |shard: &Shard| made.iter().any(|(_, name)| name.name == shard.name);
    let Some(kept) = kept::kept(layout, &known.change.root.name, is_made) else { return Ok(Vec::new()) };
    let ahead = kept.layout(layout)?;
    let Some(armed) = known.rebuilding.armed().map(|armed| Armed { layout: &ahead, ..armed }) else {
        return Ok(Vec::new());
    };
    let on_shards = known.indexes.iter().filter(|index| index.on_shards);
    let on_shards: Vec<&str> = on_shards.map(|index| index.name.as_str()).collect();
    // Where there are no others there is nobody to say it of.
    let says = |index: &str| !kept.ahead.is_empty() || !on_shards.contains(&index);
    let mut last = Vec::new();
    if let Some(index) = known.anatomy.clustered.as_deref().filter(|index| says(index)) {
        last.extend(with_parts(&armed, index, &on_shards, true, "CLUSTER ON"));
    }
    if known.anatomy.identified_by.as_deref().is_none_or(says) {
        last.extend(identify(&armed, &known.anatomy, &on_shards));
    }
    Ok(last)
}

/// Swaps. The old table, the views and the tables that foreign keys bind it to are
/// locked against everybody.
///
/// # Errors
/// If a row has no place in a shard; errors of the statements are raised.
pub fn run(change: &Change, operation_id: i64, prepared: &Prepared) -> Result<(), ErrorReport> {
    guard::check(change, Mode::AccessExclusive)?;
    let new = change.targets.first().and_then(|target| target.oid).unwrap_or_default();
    whole::swap::still_the_same(change, &prepared.whole, new)?;
    let (change, reached, kept) = settle(change, operation_id, prepared)?;
    let Some(rebuilt) = &change.rebuilt else { return Ok(()) };
    let Prepared { whole, own, .. } = prepared;
    objects::run_above(whole.incoming.iter().chain(own).map(|key| &key.drop))?;
    objects::run_above(&prepared.strip)?;
    put_aside(&change, rebuilt, prepared)?;
    whole::swap::take_name(&change, rebuilt, whole, operation_id)?;
    objects::run_above(&whole.leaf.sequences)?;
    // The new table gets the very sequences of identity columns; those of the old one go with its columns' marks.
    objects::run_as(whole.owner, "", &whole.aside.identities(&change.root))?;
    succession::exchange_identities(change.root_oid, new)?;
    attach(&change, rebuilt, prepared, &kept.bound)?;
    objects::run_as(whole.owner, "", &whole.leaf.before)?;
    for key in &whole.leaf.foreign_keys {
        // Those to other tables the old one has.
        let is_own = own.iter().any(|own| own.key.name == key.name);
        whole::swap::add_key(&change, &parts_of_key(&change, rebuilt, is_own), new, key)?;
    }
    whole::swap::put_on(whole)?;
    let is_of = |text: &String, part: &Part| text.starts_with(&format!("ALTER TABLE {} ", part.name));
    let last = prepared.last.iter().filter(|text| !reached.iter().any(|part| is_of(text, part)));
    objects::run_as(whole.owner, "", last)?;
    for key in &whole.incoming {
        add_foreign_key(key.table, &key.key)?;
    }
    if let Some(index) = whole_table::invalid_index(Oid::from(new))? {
        return Err(altered(&change, format!("Index {index} is not complete.")));
    }
    whole::swap::outside_as_before(&change, whole, new)?;
    arming::mark_sharded(&change.root, whole.proposal_id)?;
    whole_table::now_about(operation_id, change.root_oid, new)
}

/// Finds out what the old table becomes, now that nobody writes to it, and
/// drops the shards that its rows have reached; the change without these, and them.
fn settle(
    change: &Change,
    operation_id: i64,
    prepared: &Prepared,
) -> Result<(Change, Vec<Part>, Kept), ErrorReport> {
    let layout = keep::layout(&prepared.rebuilding)?;
    let rows = Rows::read(change, layout)?;
    let kept =
        rows.kept(change, layout).ok_or_else(|| ErrorReport::from(rows.nothing_ahead(change, layout)))?;
    if let (Some(key), Bound::Range { .. }) = (&rows.key, &kept.bound)
        && kept_table::has_nulls(&change.root, rows.owner, key)?
    {
        let Finding { problem, remedy, .. } = keep::null_rows(change, layout);
        let message = format!("table \"{:#}\" {problem}", change.root);
        return Err(error::new(SqlState::ObjectNotInPrerequisiteState, message, None, Some(remedy)));
    }
    let mut settled = change.clone();
    let Some(rebuilt) = &mut settled.rebuilt else { return Ok((settled, Vec::new(), kept)) };
    let is_ahead = |part: &Part| kept.ahead.iter().any(|shard| shard.name == part.name.name);
    let (ahead, reached): (Vec<Part>, Vec<Part>) =
        std::mem::take(&mut rebuilt.partitions).into_iter().partition(is_ahead);
    rebuilt.partitions = ahead;
    for part in &reached {
        guard::let_in(part.oid, &part.name, operation_id)?;
        objects::run_above(&[
            format!("ALTER EXTENSION pg_presplit DROP TABLE {}", part.name),
            format!("DROP TABLE {}", part.name),
        ])?;
        jobs::forget_object(operation_id, Oid::from(part.oid))?;
    }
    if !reached.is_empty() {
        jobs::set_change(operation_id, &settled)?;
    }
    Ok((settled, reached, kept))
}

/// The old table and its things get the names of a shard.
fn put_aside(change: &Change, rebuilt: &Rebuilt, prepared: &Prepared) -> Result<(), ErrorReport> {
    let rename = |(thing, new): &(Named, String)| {
        let (schema, name) = (quote_identifier(&thing.schema), quote_identifier(&thing.name));
        format!("ALTER {} {schema}.{name} RENAME TO {}", thing.kind, quote_identifier(new))
    };
    let mut all: Vec<String> = prepared.renames.iter().map(rename).collect();
    all.push(format!("ALTER TABLE {} RENAME TO {}", change.root, quote_identifier(&rebuilt.aside.name)));
    objects::run_above(&all)
}

/// Attaches the old table. The server reads no row of it, for its check says
/// what it accepts, and builds no index, for each has its equal.
fn attach(change: &Change, rebuilt: &Rebuilt, prepared: &Prepared, bound: &Bound) -> Result<(), ErrorReport> {
    let (old, new) = (
        Oid::from(change.root_oid),
        change.targets.first().and_then(|target| target.oid).unwrap_or_default(),
    );
    let drop = |column: &String| format!("ALTER TABLE {} ALTER COLUMN {column} DROP IDENTITY", rebuilt.aside);
    let identities: Vec<String> = prepared.identities.iter().map(drop).collect();
    objects::run_as(prepared.whole.owner, "", &identities)?;
    let bound = bound.sql();
    objects::as_owner(prepared.whole.owner, "", || {
        bound_check::add(Oid::from(new), old, PROOF, &[&bound], Says::Within)?;
        spi::run(&format!("ALTER TABLE {} ATTACH PARTITION {} {bound}", change.root, rebuilt.aside), &[])?;
        bound_check::drop(old, PROOF)
    })?;
    let there = whole_table::named(change.root_oid)?;
    if indexes(there.iter()) != indexes(prepared.renames.iter().map(|(thing, _)| thing)) {
        return Err(altered(change, "An index of it is not like that of the new table.".to_owned()));
    }
    Ok(())
}

fn indexes<'a>(things: impl Iterator<Item = &'a Named>) -> usize {
    things.filter(|thing| thing.kind == "INDEX").count()
}

/// The shards that get a foreign key of the table.
fn parts_of_key(change: &Change, rebuilt: &Rebuilt, and_old: bool) -> Rebuilt {
    let mut parts = rebuilt.clone();
    if and_old {
        let name = rebuilt.aside.clone();
        parts.partitions.push(Part { oid: change.root_oid, name, is_leaf: true, becomes: None });
    }
    parts
}
