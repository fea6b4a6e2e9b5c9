//! From shards and a wish to the change that fulfils it.
//!
//! Invariant: what comes out is a change that PostgreSQL's own rules for bounds
//! allow, of shards whose table the caller has the owner's rights on. Not here:
//! whether objects of the shards stand in its way (`check`).

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::partitions;
use crate::catalog::partitions::Candidate;
use crate::catalog::partitions::KeyColumn;
use crate::catalog::partitions::Parent;
use crate::catalog::relations;
use crate::catalog::settings;
use crate::catalog::whole_table;
use crate::model::bound::Bound;
use crate::model::name::QualifiedName;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::model::reshard::Source;
use crate::model::reshard::Target;
use crate::model::reshard::Wish;
use crate::operations::reshard::points;
use crate::pg::error;
use crate::pg::guc;
use crate::pg::key_value::ReadValue;
use crate::pg::key_value::Unreadable;
use crate::planning::reshard::Cuts;
use crate::planning::reshard::KeyOrder;
use crate::planning::reshard::Method;
use crate::planning::reshard::Naming;
use crate::planning::reshard::ReshardError;
use crate::planning::reshard::Shard;
use crate::planning::reshard::error::shown;
use crate::planning::reshard::literal::value_of;
use crate::planning::reshard::merge;
use crate::planning::reshard::order::Place;
use crate::planning::reshard::split;
use crate::planning::reshard::split::Divided;
use crate::planning::reshard::steps::Facts;
use crate::planning::reshard::steps::Size;

crate::pg::error::reports!(ReshardError);

/// The change that a wish for some shards comes to; nothing is changed.
///
/// # Errors
/// If they are no shards of one table of the caller's, or bounds forbid it.
pub fn plan(wish: &Wish, shards: &[u32], online: bool) -> Result<Change, ErrorReport> {
    let scene = Scene::of(shards, wish)?;
    let bounds = match wish {
        Wish::Split { at, parts } => scene.split(at.as_deref(), *parts)?,
        Wish::Merge => vec![scene.merged()?],
        Wish::Move { tablespace } => {
            scene.check_tablespace(tablespace)?;
            vec![scene.own[0].bound.clone()]
        }
    };
    let tablespace = match wish {
        Wish::Move { tablespace } => Some(tablespace.clone()),
        _ => None,
    };
    scene.change(&bounds, tablespace.as_deref(), online)
}

/// What replacing each shard of a table, or of a partition, by one like it would
/// be, for each partitioned table that has shards: what stands against it
/// stands against every other change.
///
/// # Errors
/// If it is no such table of the caller's.
pub fn all(relation: u32) -> Result<Vec<Change>, ErrorReport> {
    let leaves = partitions::leaves(relation)?;
    if leaves.is_empty() {
        let found = partitions::candidates(&[relation])?;
        let message = format!("relation with OID {relation} does not exist");
        let missing = || error::new(SqlState::UndefinedTable, message, None, None);
        return Err(found.first().map_or_else(missing, not_a_shard));
    }
    let mut by_parent: BTreeMap<Option<u32>, Vec<u32>> = BTreeMap::new();
    for leaf in partitions::candidates(&leaves)? {
        check_is_shard(&leaf)?;
        by_parent.entry(leaf.parent).or_default().push(leaf.oid);
    }
    let mut changes = Vec::with_capacity(leaves.len());
    for leaves in by_parent.values() {
        let scene = Scene::of(leaves, &Wish::Move { tablespace: String::new() })?;
        let bounds: Vec<Bound> = scene.own.iter().map(|shard| shard.bound.clone()).collect();
        let all = scene.change(&bounds, None, true)?;
        let identities = partitions::identities(leaves)?;
        for (source, target) in all.sources.iter().zip(&all.targets) {
            changes.push(Change {
                sources: vec![source.clone()],
                targets: vec![target.clone()],
                identity: identity(&identities, &[source.oid]),
                ..all.clone()
            });
        }
    }
    Ok(changes)
}

/// What the steps of a change depend on.
pub fn facts(change: &Change) -> Result<Facts, ErrorReport> {
    let sources: Vec<u32> = change.sources.iter().map(|source| source.oid).collect();
    let identities = partitions::identities(&sources)?;
    let index = |source: &u32| {
        let own = |found: &&partitions::Identity| found.table == *source && found.columns == change.identity;
        identities.iter().find(own).map(|found| found.index)
    };
    let indexes: Vec<u32> = sources.iter().filter_map(index).collect();
    let found = partitions::concerned(&sources, change.parent_oid, change.root_oid, &indexes)?;
    let found = found.into_iter().next().ok_or_else(|| gone(&change.parent))?;
    let own = settings::load(&change.root)?;
    let number =
        |name: &str| own.get(name).and_then(serde_json::Value::as_f64).unwrap_or_else(|| guc::number(name));
    Ok(Facts {
        size: Size {
            table_bytes: found.table_bytes,
            identity_bytes: found.identity_bytes,
            index_bytes: (found.all_index_bytes - found.identity_bytes).max(0.0),
        },
        rate_limit: number("reshard_rate_limit") as i32,
        lock_timeout_ms: number("cutover_lock_timeout") as i32,
        budget_ms: number("cutover_budget") as i32,
        grace_seconds: number("retired_shard_grace") as i64,
        undo: own.get("undo").and_then(serde_json::Value::as_bool).unwrap_or(false),
        default: found.default,
        referencing: found.referencing,
        referenced: found.referenced,
        views: views(change)?,
    })
}

/// The views that read a table which is replaced whole.
fn views(change: &Change) -> Result<Vec<QualifiedName>, ErrorReport> {
    if change.rebuilt.is_none() {
        return Ok(Vec::new());
    }
    whole_table::views(change.root_oid)?.iter().map(|view| relations::name_of(Oid::from(view.oid))).collect()
}

/// The shards of a wish and their table.
pub(super) struct Scene {
    pub shards: Vec<Candidate>,
    /// The same with their bounds read.
    pub own: Vec<Shard>,
    siblings: Vec<Shard>,
    pub parent: Parent,
    method: Method,
    owner: u32,
    root: (u32, QualifiedName),
    above: (u32, QualifiedName),
}

impl Scene {
    fn of(oids: &[u32], wish: &Wish) -> Result<Self, ErrorReport> {
        let shards = partitions::candidates(oids)?;
        for oid in oids {
            if !shards.iter().any(|shard| shard.oid == *oid) {
                let message = format!("relation with OID {oid} does not exist");
                return Err(error::new(SqlState::UndefinedTable, message, None, None));
            }
        }
        shards.iter().try_for_each(check_is_shard)?;
        let Some(first) = shards.first() else { return Err(ReshardError::OneShard.into()) };
        check_one_table(&shards)?;
        let (Some(root), Some(root_name), Some(above), Some(above_name), Some(owner)) =
            (first.root, &first.root_name, first.parent, &first.parent_name, first.owner)
        else {
            return Err(not_a_shard(first));
        };
        if !matches!(wish, Wish::Move { .. }) {
            check_alone(root, root_name)?;
        }
        shards.iter().try_for_each(|shard| check_may_create(shard, wish))?;
        let parent = partitions::parent(above)?.ok_or_else(|| gone(above_name))?;
        let method = match parent.strategy.as_str() {
            "r" => Method::Range,
            "l" => Method::List,
            _ => Method::Hash,
        };
        let read = |name: &QualifiedName, bound: Option<&str>| {
            let bound = bound.unwrap_or_default();
            let read = Bound::read(bound).ok_or_else(|| unknown_bound(name, bound))?;
            Ok::<Shard, ErrorReport>(Shard { name: name.clone(), bound: read })
        };
        let own =
            shards.iter().map(|shard| read(&shard.name, shard.bound.as_deref())).collect::<Result<_, _>>()?;
        let others = parent.partitions.iter().filter(|part| !oids.contains(&part.oid));
        let siblings =
            others.map(|part| read(&part.name, part.bound.as_deref())).collect::<Result<_, _>>()?;
        let (root, above) = ((root, root_name.clone()), (above, above_name.clone()));
        Ok(Self { shards, own, siblings, parent, method, owner, root, above })
    }

    pub const fn method(&self) -> Method {
        self.method
    }

    fn split(&self, at: Option<&[String]>, parts: u32) -> Result<Vec<Bound>, ErrorReport> {
        let (shard, name) = (&self.own[0], || self.own[0].name.clone());
        if parts < 2 {
            return Err(ReshardError::Parts { shard: name(), parts: i64::from(parts) }.into());
        }
        if let Bound::Hash { modulus, remainder } = shard.bound {
            if at.is_some() {
                return Err(ReshardError::PointsOfHash { shard: name() }.into());
            }
            return Ok(split::hash(&self.divided(&KeyOrder::default()), modulus, remainder, parts)?);
        }
        let columns: Vec<String> = self.parent.columns.iter().map(|column| column.name.clone()).collect();
        let cuts = match at {
            Some([]) => return Err(ReshardError::NothingAt.into()),
            Some(written) => Cuts::read(self.method, &columns, written)?,
            None => points::by_size(self, parts)?,
        };
        let order = self.order(&cuts)?;
        Ok(split::at(&self.divided(&order), &cuts, parts)?)
    }

    fn divided<'a>(&'a self, order: &'a KeyOrder) -> Divided<'a> {
        let shards_max = guc::number("max_shards_per_table") as usize;
        Divided { shard: &self.own[0], siblings: &self.siblings, order, shards_max }
    }

    fn merged(&self) -> Result<Bound, ErrorReport> {
        let order = match self.method {
            Method::Range => self.order(&Cuts::Points(Vec::new()))?,
            Method::List | Method::Hash => KeyOrder::default(),
        };
        Ok(merge::bound(&self.own, &self.siblings, &order)?)
    }

    /// PostgreSQL's order of all values that bounds and cuts have.
    pub fn order(&self, cuts: &Cuts) -> Result<KeyOrder, ErrorReport> {
        let mut columns = Vec::with_capacity(self.parent.columns.len());
        for (at, column) in self.parent.columns.iter().enumerate() {
            let mut values: BTreeSet<&str> = cuts.values(at).into_iter().collect();
            let shards = self.own.iter().chain(&self.siblings);
            values.extend(shards.flat_map(|shard| values_of(&shard.bound, at)));
            columns.push((column.name.clone(), self.places(column, &values)?));
        }
        Ok(KeyOrder::new(columns))
    }

    /// The places of values of a column among each other.
    pub fn places(
        &self,
        column: &KeyColumn,
        values: &BTreeSet<&str>,
    ) -> Result<BTreeMap<String, Place>, ErrorReport> {
        let values: Vec<&str> = values.iter().copied().collect();
        let read = partitions::read_values(self.owner, column, &values)
            .map_err(|cause| unreadable(column, &values, cause))?;
        let place = |(value, read): (&&str, ReadValue)| {
            ((*value).to_owned(), Place { rank: read.rank, text: read.text.unwrap_or_default() })
        };
        Ok(values.iter().zip(read).map(place).collect())
    }

    fn check_tablespace(&self, tablespace: &str) -> Result<(), ErrorReport> {
        let shard = &self.shards[0];
        match partitions::may_use_tablespace(tablespace, self.owner)? {
            None => Err(error::new(
                SqlState::UndefinedObject,
                format!("tablespace \"{tablespace}\" does not exist"),
                None,
                None,
            )),
            Some(_) if tablespace == "pg_global" => Err(error::new(
                SqlState::InvalidParameterValue,
                "only shared relations can be placed in pg_global tablespace",
                None,
                None,
            )),
            Some(_) if shard.tablespace.as_deref() == Some(tablespace) => {
                let tablespace = tablespace.to_owned();
                Err(ReshardError::SameTablespace { shard: shard.name.clone(), tablespace }.into())
            }
            Some(false) => Err(no_tablespace(tablespace)),
            Some(true) => Ok(()),
        }
    }

    fn change(
        &self,
        bounds: &[Bound],
        tablespace: Option<&str>,
        online: bool,
    ) -> Result<Change, ErrorReport> {
        let (root_oid, root) = &self.root;
        let first = &self.shards[0].name;
        let taken = partitions::names_like_shards(&first.schema)?.into_iter().collect();
        let mut naming = Naming::new(&first.name, &root.name, taken);
        let target = |bound: &Bound| Target {
            name: first.sibling(match bound {
                Bound::Default => naming.default_shard(),
                _ => naming.shard(),
            }),
            bound: bound.sql(),
            tablespace: tablespace.map(str::to_owned),
            like: 0,
            oid: None,
        };
        let targets = bounds.iter().map(target).collect();
        let source = |shard: &Candidate| Source {
            oid: shard.oid,
            name: shard.name.clone(),
            bound: shard.bound.clone().unwrap_or_default(),
        };
        let oids: Vec<u32> = self.shards.iter().map(|shard| shard.oid).collect();
        Ok(Change {
            parent: self.above.1.clone(),
            parent_oid: self.above.0,
            root: root.clone(),
            root_oid: *root_oid,
            sources: self.shards.iter().map(source).collect(),
            targets,
            identity: identity(&partitions::identities(&oids)?, &oids),
            online,
            undo: None,
            rebuilt: None,
        })
    }
}

/// The columns by which all of some tables tell their rows apart; none if they
/// do not.
pub(super) fn identity(found: &[partitions::Identity], tables: &[u32]) -> Vec<String> {
    let everywhere = |columns: &Vec<String>| {
        tables.iter().all(|oid| found.iter().any(|one| one.table == *oid && one.columns == *columns))
    };
    found.iter().map(|one| &one.columns).find(|columns| everywhere(columns)).cloned().unwrap_or_default()
}

/// The values that a bound has of a column of the key.
fn values_of(bound: &Bound, column: usize) -> Vec<&str> {
    match bound {
        Bound::Range { lower, upper } => {
            [lower, upper].into_iter().filter_map(|point| point.get(column).and_then(value_of)).collect()
        }
        Bound::List { values } if column == 0 => values.iter().filter_map(Option::as_deref).collect(),
        Bound::List { .. } | Bound::Hash { .. } | Bound::Default => Vec::new(),
    }
}

fn unreadable(column: &KeyColumn, values: &[&str], cause: Unreadable) -> ErrorReport {
    let (value, said) = match cause {
        Unreadable::Value(at, said) => (values.get(at).copied().unwrap_or_default(), said),
        Unreadable::Order(said) => ("", said),
        Unreadable::NoOrder => ("", "the type has no order".to_owned()),
    };
    ReshardError::Value {
        value: shown(value),
        column: column.name.clone(),
        type_text: column.type_text.clone(),
        said: shown(&said),
    }
    .into()
}

fn gone(name: &QualifiedName) -> ErrorReport {
    error::new(SqlState::UndefinedTable, format!("table \"{name:#}\" does not exist"), None, None)
}

fn unknown_bound(name: &QualifiedName, bound: &str) -> ErrorReport {
    error::new(
        SqlState::FeatureNotSupported,
        format!("bound of shard \"{name:#}\" is not supported"),
        Some(format!("It is {}.", shown(bound))),
        None,
    )
}

fn not_a_shard(candidate: &Candidate) -> ErrorReport {
    error::new(
        SqlState::WrongObjectType,
        format!("\"{:#}\" is not a shard", candidate.name),
        Some("A shard is a partition of a partitioned table.".to_owned()),
        Some("View \"presplit.shards\" lists those of the tables that were sharded here.".to_owned()),
    )
}

fn check_is_shard(candidate: &Candidate) -> Result<(), ErrorReport> {
    let name = &candidate.name;
    match candidate.kind.as_str() {
        "r" | "p" | "f" if candidate.temporary => {
            return Err(error::new(
                SqlState::FeatureNotSupported,
                format!("table \"{}\" is temporary", name.name),
                Some("Others than its session cannot read it.".to_owned()),
                None,
            ));
        }
        "f" if candidate.partition => {
            return Err(error::new(
                SqlState::WrongObjectType,
                format!("shard \"{name:#}\" is a foreign table"),
                Some("Its rows are not on this server.".to_owned()),
                None,
            ));
        }
        "p" => {
            return Err(error::new(
                SqlState::WrongObjectType,
                format!("table \"{name:#}\" is partitioned"),
                Some("A shard is one of the tables that hold its rows.".to_owned()),
                Some("Name one of its partitions.".to_owned()),
            ));
        }
        "r" if candidate.partition => {}
        _ => return Err(not_a_shard(candidate)),
    }
    if candidate.detaching {
        return Err(error::new(
            SqlState::ObjectNotInPrerequisiteState,
            format!("shard \"{name:#}\" is being detached"),
            None,
            Some("Finish it with ALTER TABLE ... DETACH PARTITION ... FINALIZE.".to_owned()),
        ));
    }
    if !candidate.owned {
        let root = candidate.root_name.as_ref().map_or("", |root| &root.name);
        let message = format!("must be owner of table {root}");
        return Err(error::new(SqlState::InsufficientPrivilege, message, None, None));
    }
    Ok(())
}

fn check_one_table(shards: &[Candidate]) -> Result<(), ErrorReport> {
    let Some(pair) = shards.windows(2).find(|pair| pair[0].parent != pair[1].parent) else { return Ok(()) };
    let of = |shard: &Candidate| shard.parent_name.as_ref().map(ToString::to_string).unwrap_or_default();
    Err(error::new(
        SqlState::InvalidObjectDefinition,
        format!("cannot merge shard \"{:#}\" with shard \"{:#}\"", pair[0].name, pair[1].name),
        Some(format!("The former is a partition of {}, the latter of {}.", of(&pair[0]), of(&pair[1]))),
        Some("Merge partitions of one table only.".to_owned()),
    ))
}

/// Bounds that tables share are changed for all of them or not at all.
fn check_alone(root: u32, name: &QualifiedName) -> Result<(), ErrorReport> {
    let others = partitions::group(root)?;
    if others.is_empty() {
        return Ok(());
    }
    let others = others.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(error::new(
        SqlState::FeatureNotSupported,
        format!("table \"{name:#}\" shares its bounds with other tables"),
        Some(format!("Its co-location group has also {others}; joins between them are shard by shard.")),
        Some("Shards of such a group can be moved; splitting and merging them all at once is not supported yet.".to_owned()),
    ))
}

/// New shards belong to the table's owner, who must be able to create them.
fn check_may_create(shard: &Candidate, wish: &Wish) -> Result<(), ErrorReport> {
    if shard.may_create != Some(true) {
        return Err(error::new(
            SqlState::InsufficientPrivilege,
            format!("permission denied for schema {}", shard.name.schema),
            Some("The owner of the table must be able to create tables where its shards are.".to_owned()),
            None,
        ));
    }
    if shard.may_place == Some(false) && !matches!(wish, Wish::Move { .. }) {
        return Err(no_tablespace(shard.tablespace.as_deref().unwrap_or_default()));
    }
    Ok(())
}

fn no_tablespace(name: &str) -> ErrorReport {
    error::new(
        SqlState::InsufficientPrivilege,
        format!("permission denied for tablespace {name}"),
        Some("The owner of the table must be able to create tables in it.".to_owned()),
        None,
    )
}
