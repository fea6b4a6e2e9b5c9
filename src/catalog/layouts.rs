//! How tables are cut here, bound by bound, whoever made their partitions.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;
use serde_json::json;

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::bound::write_point;
use crate::model::key::KeyType;
use crate::model::key::Strategy;
use crate::model::layout::Branch;
use crate::model::layout::Layout;
use crate::model::layout::Shard;
use crate::model::name::QualifiedName;
use crate::model::profile::Profile;
use crate::model::profile::Table;
use crate::model::profile::TableKind;
use crate::pg::context::as_extension_owner;
use crate::pg::context::with_settings;
use crate::pg::spi;

/// A partitioned table as the catalogs have it.
#[derive(Deserialize)]
struct Root {
    schema: String,
    name: String,
    #[serde(flatten)]
    key: Key,
    parts: Vec<Partition>,
}

/// What a partitioned table is divided by; a column is null for an expression.
#[derive(Deserialize)]
struct Key {
    strategy: Option<String>,
    columns: Option<Vec<Option<String>>>,
}

#[derive(Deserialize)]
struct Partition {
    name: String,
    bound: Option<String>,
    tablespace: Option<String>,
    #[serde(flatten)]
    key: Key,
    parts: Vec<Self>,
}

impl Key {
    fn strategy(&self) -> Option<Strategy> {
        match self.strategy.as_deref()? {
            "r" => Some(Strategy::Range),
            "l" => Some(Strategy::List),
            "h" => Some(Strategy::Hash),
            _ => None,
        }
    }

    /// Names and types of the columns; none if one of them is an expression.
    fn columns(&self, table: &Table) -> Option<(Vec<String>, Vec<KeyType>)> {
        let names: Vec<String> = self.columns.as_ref()?.iter().cloned().collect::<Option<_>>()?;
        let kind = |name: &String| table.column(name).map(|column| column.type_name.key_type());
        let kinds = names.iter().map(kind).collect::<Option<_>>()?;
        Some((names, kinds))
    }
}

/// The layouts of the tables of a profile that are partitioned here: of those
/// that we made, and of those that the profile has as partitioned too. A form
/// of partitions that is none of ours is left out.
pub fn present(profile: &Profile) -> Result<BTreeMap<QualifiedName, Layout>, ErrorReport> {
    let partitioned = profile.tables.iter().filter(|table| table.kind == TableKind::Partitioned);
    let wanted: Vec<QualifiedName> = partitioned.map(Table::name).collect();
    // Bounds are written in the forms that `model` reads.
    let settings = [(c"DateStyle", c"ISO, YMD"), (c"IntervalStyle", c"postgres"), (c"TimeZone", c"UTC")];
    let roots = as_extension_owner(|| {
        with_settings(&settings, || {
            spi::rows::<Root>(
                include_str!("queries/layouts.sql"),
                &[json!(wanted).to_string().as_str().into()],
            )
        })
    })?;
    let layout = |root: Root| {
        let name = QualifiedName::new(&root.schema, &root.name);
        let layout = of_root(&root, profile.table(&name)?)?;
        Some((name, layout))
    };
    Ok(roots.into_iter().filter_map(layout).collect())
}

fn of_root(root: &Root, table: &Table) -> Option<Layout> {
    let (mut columns, mut kinds) = root.key.columns(table)?;
    let read = |part: &Partition| Bound::read(part.bound.as_deref()?);
    let mut parts: Vec<(&Partition, Bound)> = Vec::new();
    for part in &root.parts {
        parts.push((part, read(part)?));
    }
    let (mut branches, mut shards) = (Vec::new(), Vec::new());
    for (part, bound) in in_order(parts, &kinds) {
        if part.key.strategy.is_none() {
            shards.push(shard(part, bound, None));
            continue;
        }
        if part.key.strategy()? != Strategy::Hash || part.parts.is_empty() {
            return None;
        }
        let (shard_key, key_types) = part.key.columns(table)?;
        for leaf in &part.parts {
            if leaf.key.strategy.is_some() {
                return None;
            }
            shards.push(shard(leaf, read(leaf)?, Some(branches.len())));
        }
        branches.push(Branch { name: part.name.clone(), bound, shard_key, key_types });
    }
    let first = root.key.strategy()?;
    if branches.is_empty() {
        return Layout::new(first, columns, kinds, shards).ok();
    }
    let strategy = match first {
        Strategy::Range => Strategy::RangeHash,
        Strategy::List => Strategy::ListHash,
        _ => return None,
    };
    if strategy == Strategy::RangeHash {
        columns.extend(branches[0].shard_key.iter().cloned());
        kinds.extend(branches[0].key_types.iter().copied());
    }
    Layout::two_level(strategy, columns, kinds, branches, shards).ok()
}

/// Ranges ascend, as far as their order is known here, DEFAULT comes last;
/// others stay in the order of their names.
fn in_order<'a>(mut parts: Vec<(&'a Partition, Bound)>, kinds: &[KeyType]) -> Vec<(&'a Partition, Bound)> {
    let place = |datum: &RangeDatum, kind: &KeyType| match datum {
        RangeDatum::MinValue => Some(f64::NEG_INFINITY),
        RangeDatum::MaxValue => Some(f64::INFINITY),
        RangeDatum::Value(text) => kind.read(text).map(|value| value.position()),
    };
    let key = |bound: &Bound| match bound {
        Bound::Range { lower, .. } => {
            lower.iter().zip(kinds).map(|(datum, kind)| place(datum, kind)).collect()
        }
        _ => Some(Vec::new()),
    };
    let placed: Option<Vec<Vec<f64>>> = parts.iter().map(|(_, bound)| key(bound)).collect();
    if let Some(placed) = placed {
        let mut keyed: Vec<_> = placed.into_iter().zip(parts).collect();
        keyed.sort_by(|(a, _), (b, _)| {
            let pairs = a.iter().zip(b).map(|(a, b)| a.total_cmp(b));
            pairs.fold(Ordering::Equal, Ordering::then)
        });
        parts = keyed.into_iter().map(|(_, part)| part).collect();
    } else {
        parts = in_a_chain(parts);
    }
    parts.sort_by_key(|(_, bound)| *bound == Bound::Default);
    parts
}

/// Each range after the one that ends where it begins.
fn in_a_chain(parts: Vec<(&Partition, Bound)>) -> Vec<(&Partition, Bound)> {
    let mut by_lower: BTreeMap<String, (&Partition, Bound)> = BTreeMap::new();
    let mut uppers = BTreeSet::new();
    let mut others = Vec::new();
    for part in parts {
        match &part.1 {
            Bound::Range { lower, upper } => {
                uppers.insert(write_point(upper));
                by_lower.insert(write_point(lower), part);
            }
            _ => others.push(part),
        }
    }
    let mut chained = Vec::new();
    while let Some(begin) = by_lower.keys().find(|lower| !uppers.contains(*lower)).cloned() {
        let mut at = begin;
        while let Some(part) = by_lower.remove(&at) {
            if let Bound::Range { upper, .. } = &part.1 {
                at = write_point(upper);
            }
            chained.push(part);
        }
    }
    chained.extend(by_lower.into_values());
    chained.extend(others);
    chained
}

fn shard(part: &Partition, bound: Bound, of: Option<usize>) -> Shard {
    Shard {
        name: part.name.clone(),
        bound,
        rows: 0.0,
        bytes: 0.0,
        tablespace: part.tablespace.clone(),
        future: false,
        of,
    }
}
