//! The swap of whole tables, in one transaction that reads no row.
//!
//! ```text
//!  foreign keys of other tables that point here go
//!  the old table: its keys and publications go, it and its things get names aside
//!  the new one and its indexes get the final names; sequences go over
//!  what acts on rows comes: foreign keys without a look at rows, triggers, rights, …
//!  views read the new table; foreign keys of other tables come back
//!  the old table is kept from writes, and written down as retired
//! ```

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
use crate::catalog::whole_table;
use crate::catalog::whole_table::Named;
use crate::catalog::whole_table::View;
use crate::model::name::QualifiedName;
use crate::model::name::names_on;
use crate::model::name::quote_identifier;
use crate::model::name::quote_literal;
use crate::model::reshard::Change;
use crate::model::reshard::Part;
use crate::model::reshard::Rebuilt;
use crate::operations::reshard::guard;
use crate::operations::reshard::objects;
use crate::operations::reshard::rebuild;
use crate::operations::reshard::swap::add_foreign_key;
use crate::operations::reshard::swap::grace_seconds;
use crate::operations::reshard::whole::Known;
use crate::operations::reshard::whole::altered;
use crate::pg::table_lock::Mode;
use crate::planning::provision::rebuild::identify;
use crate::planning::provision::rebuild::with_parts;
use crate::planning::provision::staged;

/// What the swap needs to know: read before anybody is kept out, and true as
/// long as the versions of the table are the same.
pub struct Prepared {
    pub owner: Oid,
    pub proposal_id: i64,
    pub leaf: Leaf,
    pub incoming: Vec<Incoming>,
    views: Vec<View>,
    named: Vec<Named>,
    /// Give things of the old table's partitions other names, and then those of the new ones theirs.
    parts_aside: Vec<String>,
    parts_named: Vec<String>,
    /// The old table's partitions, quoted.
    old_parts: Vec<String>,
    /// Names of the indexes that the new table has.
    indexes: Vec<String>,
    /// For the owner, once the names are final: before foreign keys, and after rights.
    pub identities: Vec<String>,
    said: Vec<String>,
    pub last: Vec<String>,
    published: Vec<String>,
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
/// If something came meanwhile that would be lost, or an index is not complete.
pub fn prepare(change: &Change) -> Result<Prepared, ErrorReport> {
    let known = Known::read(change)?;
    let views = whole_table::views(change.root_oid)?;
    if let Some(what) = rebuild::lost(&known.anatomy, &views).next() {
        return Err(altered(change, format!("It has now {what}, which would be lost.")));
    }
    if let Some(index) = whole_table::invalid_index(known.made())? {
        return Err(altered(change, format!("Index {index} of the new table is not complete.")));
    }
    let armed = known.rebuilding.armed();
    let read = rebuild::read_definitions(&known.anatomy)?;
    let of = |on_shards: bool| {
        let some = known.indexes.iter().filter(move |index| index.on_shards == on_shards);
        some.map(|index| index.name.clone()).collect::<Vec<_>>()
    };
    let on_shards = of(true);
    let on_shards: Vec<&str> = on_shards.iter().map(String::as_str).collect();
    let mut last = Vec::new();
    if let Some(index) = &known.anatomy.clustered {
        last.extend(with_parts(&armed, index, &on_shards, true, "CLUSTER ON"));
    }
    last.extend(identify(&armed, &known.anatomy, &on_shards));
    let mut said: Vec<String> = known
        .indexes
        .iter()
        .filter(|index| !index.on_shards)
        .flat_map(|index| index.then.iter().cloned())
        .collect();
    said.extend(staged::said(&known.anatomy));
    let old = whole_table::partitions(Oid::from(change.root_oid))?;
    let mut parts_aside = Vec::new();
    let mut old_parts = Vec::new();
    for part in &old {
        parts_aside.extend(whole_table::named(part.oid)?.iter().map(aside));
        let name = QualifiedName::new(&part.schema, &part.name);
        let aside = staged::old_name(&part.name);
        parts_aside.push(format!("ALTER TABLE {name} RENAME TO {}", quote_identifier(&aside)));
        old_parts.push(name.sibling(aside).to_string());
    }
    let mut leaf = leaves::of_whole(change)?;
    let (own, incoming): (Vec<Incoming>, Vec<Incoming>) =
        leaves::incoming(change.root_oid)?.into_iter().partition(|key| key.table == change.root_oid);
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
        named: whole_table::named(change.root_oid)?,
        parts_aside,
        parts_named: parts_named(known.rebuilt)?,
        old_parts,
        indexes: of(false),
        identities: staged::identities(&known.anatomy),
        said,
        last,
        published: staged::published_via_root(&armed, &read)?,
    })
}

/// Swaps. The old table, the views and the tables that foreign keys bind it to are
/// locked against everybody, and its changes are no more captured.
///
/// # Errors
/// Errors of the statements are raised.
pub fn run(change: &Change, operation_id: i64, prepared: &Prepared) -> Result<(), ErrorReport> {
    let Some(rebuilt) = &change.rebuilt else { return Ok(()) };
    let Prepared { owner, leaf, incoming, .. } = prepared;
    let new = change.targets.first().and_then(|target| target.oid).unwrap_or_default();
    guard::check(change, Mode::AccessExclusive)?;
    objects::run_above(incoming.iter().map(|key| &key.drop))?;
    objects::run_above(&leaf.retire)?;
    put_aside(change, rebuilt, prepared)?;
    take_name(change, rebuilt, prepared, operation_id)?;
    objects::run_above(&leaf.sequences)?;
    objects::run_as(*owner, "", &prepared.identities)?;
    objects::run_above(&continued(prepared))?;
    for key in &leaf.foreign_keys {
        add_key(change, rebuilt, new, key)?;
    }
    put_on(prepared)?;
    for key in incoming {
        add_foreign_key(key.table, &key.key)?;
    }
    retire(change, rebuilt, prepared, new, operation_id)?;
    arming::mark_sharded(&change.root, prepared.proposal_id)?;
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
    objects::run_above(prepared.views.iter().map(|view| &view.statement))
}

fn aside(thing: &Named) -> String {
    let (schema, name) = (quote_identifier(&thing.schema), quote_identifier(&thing.name));
    let aside = quote_identifier(&staged::old_name(&thing.name));
    format!("ALTER {} {schema}.{name} RENAME TO {aside}", thing.kind)
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

/// The old table and its things get other names.
fn put_aside(change: &Change, rebuilt: &Rebuilt, prepared: &Prepared) -> Result<(), ErrorReport> {
    let mut all: Vec<String> = prepared.named.iter().map(aside).collect();
    all.extend(prepared.parts_aside.iter().cloned());
    all.push(format!("ALTER TABLE {} RENAME TO {}", change.root, quote_identifier(&rebuilt.aside.name)));
    objects::run_above(&all)
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

/// Identity columns go on where the old ones were.
pub fn continued(prepared: &Prepared) -> Vec<String> {
    let sequences = prepared.named.iter().filter(|thing| thing.kind == "SEQUENCE");
    sequences
        .map(|thing| {
            let schema = quote_identifier(&thing.schema);
            let new = quote_literal(&format!("{schema}.{}", quote_identifier(&thing.name)));
            let aside = quote_identifier(&staged::old_name(&thing.name));
            format!("SELECT pg_catalog.setval({new}, last_value, is_called) FROM {schema}.{aside}")
        })
        .collect()
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
    let adopted = ForeignKey { statement: staged::adopted(&key.statement).to_owned(), ..key.clone() };
    add_foreign_key(new, &adopted)
}

/// The old table is kept for a while.
fn retire(
    change: &Change,
    rebuilt: &Rebuilt,
    prepared: &Prepared,
    new: u32,
    operation_id: i64,
) -> Result<(), ErrorReport> {
    for table in std::iter::once(&rebuilt.aside.to_string()).chain(&prepared.old_parts) {
        objects::run_above([&format!("ALTER EXTENSION pg_presplit ADD TABLE {table}")])?;
        retired::block_writes(table, new, operation_id)?;
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
