//! How tables are cut here, bound by bound, whoever made their partitions.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;
use serde_json::json;

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::bound::RangePoint;
use crate::model::key::KeyType;
use crate::model::key::Strategy;
use crate::model::layout::Branch;
use crate::model::layout::Layout;
use crate::model::layout::LayoutError;
use crate::model::layout::Shard;
use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::profile::Profile;
use crate::model::profile::Table;
use crate::model::profile::TableKind;
use crate::model::profile::TypeName;
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

#[derive(Deserialize)]
struct KeyColumn {
    name: String,
    #[serde(rename = "type")]
    type_name: TypeName,
}

/// What a partitioned table is divided by; a column is null for an expression.
#[derive(Deserialize)]
struct Key {
    strategy: Option<String>,
    columns: Option<Vec<Option<KeyColumn>>>,
    /// Whether all columns are compared as their types and they themselves say.
    usual: Option<bool>,
}

#[derive(Deserialize)]
struct Partition {
    name: String,
    schema: String,
    kind: String,
    bound: Option<String>,
    tablespace: Option<String>,
    #[serde(flatten)]
    key: Key,
    parts: Vec<Self>,
}

impl Root {
    fn name(&self) -> QualifiedName {
        QualifiedName::new(&self.schema, &self.name)
    }
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

    /// The columns, none of them an expression.
    fn columns(&self) -> Result<Vec<&KeyColumn>, String> {
        let columns: Option<Vec<&KeyColumn>> = self.columns.iter().flatten().map(Option::as_ref).collect();
        let columns = columns.ok_or("its key has an expression")?;
        if self.usual != Some(true) {
            return Err("its key has an operator class or a collation that its columns have not".to_owned());
        }
        Ok(columns)
    }
}

/// The partitioned tables of a profile.
#[derive(Default)]
pub struct Divided {
    /// How they are cut.
    pub layouts: BTreeMap<QualifiedName, Layout>,
    /// Those that are cut in a form which is none of ours: what of it is not,
    /// as a clause.
    pub unlike_ours: BTreeMap<QualifiedName, String>,
}

/// The layouts of the tables of a profile that are partitioned here; a form of
/// partitions that is none of ours is left out.
pub fn present(profile: &Profile) -> Result<BTreeMap<QualifiedName, Layout>, ErrorReport> {
    Ok(divided(profile)?.layouts)
}

/// The tables of a profile that are partitioned here: of those that we made,
/// and of those that the profile has as partitioned too.
pub fn divided(profile: &Profile) -> Result<Divided, ErrorReport> {
    let partitioned = profile.tables.iter().filter(|table| table.kind == TableKind::Partitioned);
    let wanted: Vec<QualifiedName> = partitioned.map(Table::name).collect();
    let mut divided = Divided::default();
    for root in roots(&wanted)?.into_iter().filter(|root| profile.table(&root.name()).is_some()) {
        match of_root(&root) {
            Ok(layout) => drop(divided.layouts.insert(root.name(), layout)),
            Err(why) => drop(divided.unlike_ours.insert(root.name(), why)),
        }
    }
    Ok(divided)
}

/// How a table is cut that is partitioned here, or what of that is none of
/// ours.
pub fn of(table: &QualifiedName) -> Result<Result<Layout, String>, ErrorReport> {
    let found = roots(std::slice::from_ref(table))?.into_iter().find(|root| root.name() == *table);
    Ok(found.map_or_else(|| Err("it is not partitioned".to_owned()), |root| of_root(&root)))
}

/// The partitioned tables that are ours, and these.
fn roots(wanted: &[QualifiedName]) -> Result<Vec<Root>, ErrorReport> {
    // Bounds are written in the forms that `model` reads.
    let settings = [
        (c"DateStyle", c"ISO, YMD"),
        (c"IntervalStyle", c"postgres"),
        (c"TimeZone", c"UTC"),
        (c"standard_conforming_strings", c"on"),
    ];
    as_extension_owner(|| {
        with_settings(&settings, || {
            spi::rows::<Root>(
                include_str!("queries/layouts.sql"),
                &[json!(wanted).to_string().as_str().into()],
            )
        })
    })
}

/// Names and types.
fn split(columns: &[&KeyColumn]) -> (Vec<String>, Vec<KeyType>) {
    columns.iter().map(|column| (column.name.clone(), column.type_name.key_type())).unzip()
}

fn of_root(root: &Root) -> Result<Layout, String> {
    let key = root.key.columns()?;
    let (mut columns, mut kinds) = split(&key);
    let first = root.key.strategy().ok_or("its strategy is not known")?;
    if root.parts.is_empty() {
        return Err("it has no partitions yet".to_owned());
    }
    let mut parts: Vec<(&Partition, Bound)> = Vec::new();
    for part in &root.parts {
        parts.push((part, bound(root, &key, part)?));
    }
    let (mut branches, mut shards) = (Vec::new(), Vec::new());
    for (part, own) in in_order(parts, &kinds) {
        if part.key.strategy.is_none() {
            shards.push(shard(part, own, None));
            continue;
        }
        let name = quote_identifier(&part.name);
        if part.key.strategy() != Some(Strategy::Hash) {
            return Err(format!("partition {name} is divided, but not by hash"));
        }
        if part.parts.is_empty() {
            return Err(format!("partition {name} has none of its own yet"));
        }
        let own_key = part.key.columns()?;
        for leaf in &part.parts {
            if leaf.key.strategy.is_some() {
                let name = quote_identifier(&leaf.name);
                return Err(format!("partition {name} is divided on a third level"));
            }
            shards.push(shard(leaf, bound(root, &own_key, leaf)?, Some(branches.len())));
        }
        let (shard_key, key_types) = split(&own_key);
        branches.push(Branch { name: part.name.clone(), bound: own, shard_key, key_types });
    }
    let unlike = |cause: LayoutError| match cause {
        LayoutError::Remainders { .. } | LayoutError::WrongBound(_) => {
            "its partitions by hash have not one modulus".to_owned()
        }
        LayoutError::WrongLevels(_) => "its partitions are not all divided alike".to_owned(),
        other => other.to_string(),
    };
    if branches.is_empty() {
        return Layout::new(first, columns, kinds, shards).map_err(unlike);
    }
    let strategy = match first {
        Strategy::Range => Strategy::RangeHash,
        Strategy::List => Strategy::ListHash,
        _ => return Err("its partitions by hash are divided once more".to_owned()),
    };
    if strategy == Strategy::RangeHash {
        columns.extend(branches[0].shard_key.iter().cloned());
        kinds.extend(branches[0].key_types.iter().copied());
    }
    Layout::two_level(strategy, columns, kinds, branches, shards).map_err(unlike)
}

/// The bound of a partition that is as ours are.
fn bound(root: &Root, key: &[&KeyColumn], part: &Partition) -> Result<Bound, String> {
    let name = || QualifiedName::new(&part.schema, &part.name);
    if part.schema != root.schema {
        return Err(format!("partition {} is in another schema", name()));
    }
    if part.kind == "f" {
        return Err(format!("partition {} is a foreign table", name()));
    }
    let read = part.bound.as_deref().and_then(Bound::read);
    let mut bound = read.ok_or_else(|| format!("the bound of partition {} is not known", name()))?;
    // Elsewhere a bool is written as its type writes it.
    let flag = |at: usize, text: &mut String| {
        let is_bool = key.get(at).is_some_and(|column| column.type_name.text == "boolean");
        if is_bool && ["true", "false"].contains(&text.as_str()) {
            text.truncate(1);
        }
    };
    match &mut bound {
        Bound::List { values } => values.iter_mut().flatten().for_each(|value| flag(0, value)),
        Bound::Range { lower, upper } => {
            let data = lower.iter_mut().enumerate().chain(upper.iter_mut().enumerate());
            for (at, datum) in data {
                if let RangeDatum::Value(value) = datum {
                    flag(at, value);
                }
            }
        }
        Bound::Hash { .. } | Bound::Default => {}
    }
    Ok(bound)
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

/// Each range after the one that ends where it begins, as far as there is one.
fn in_a_chain(parts: Vec<(&Partition, Bound)>) -> Vec<(&Partition, Bound)> {
    // The open ends before and after all others.
    let place = |point: &RangePoint| -> Vec<(u8, String)> {
        let datum = |datum: &RangeDatum| match datum {
            RangeDatum::MinValue => (0, String::new()),
            RangeDatum::Value(text) => (1, text.clone()),
            RangeDatum::MaxValue => (2, String::new()),
        };
        point.iter().map(datum).collect()
    };
    let mut by_lower: BTreeMap<Vec<(u8, String)>, (&Partition, Bound)> = BTreeMap::new();
    let mut uppers = BTreeSet::new();
    let mut others = Vec::new();
    for part in parts {
        match &part.1 {
            Bound::Range { lower, upper } => {
                uppers.insert(place(upper));
                by_lower.insert(place(lower), part);
            }
            _ => others.push(part),
        }
    }
    let mut chained = Vec::new();
    while let Some(begin) = by_lower.keys().find(|lower| !uppers.contains(*lower)).cloned() {
        let mut at = begin;
        while let Some(part) = by_lower.remove(&at) {
            if let Bound::Range { upper, .. } = &part.1 {
                at = place(upper);
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
