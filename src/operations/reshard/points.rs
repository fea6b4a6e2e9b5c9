//! Where to cut a shard by size: what ANALYZE knows of its key, or a sample of
//! its rows where ANALYZE has not been.
//!
//! A key of several columns is cut along the first that has more than one value
//! in the shard; where one value has most of the rows, along the next one
//! within that value.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::partitions;
use crate::catalog::partitions::KeyColumn;
use crate::catalog::partitions::Statistics;
use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::bound::RangePoint;
use crate::model::key::KeyType;
use crate::operations::reshard::plan::Scene;
use crate::planning::reshard::Cuts;
use crate::planning::reshard::KeyOrder;
use crate::planning::reshard::Method;
use crate::planning::reshard::ReshardError;
use crate::planning::reshard::error::shown;
use crate::planning::reshard::round::roundest;
use crate::planning::reshard::size;
use crate::planning::reshard::size::NoPoints;
use crate::planning::reshard::size::Point;
use crate::planning::reshard::size::Weighed;

/// Cuts that give parts of about the same size.
pub(super) fn by_size(scene: &Scene, parts: u32) -> Result<Cuts, ErrorReport> {
    let name = || scene.own[0].name.clone();
    match &scene.own[0].bound {
        Bound::Range { lower, upper } => ranges(scene, lower, upper, parts as usize),
        Bound::List { values } => lists(scene, values, parts),
        Bound::Default | Bound::Hash { .. } => {
            let lists = scene.method() == Method::List;
            Err(ReshardError::NoPoints { shard: name(), lists }.into())
        }
    }
}

/// A value with its share of the rows.
struct Seen {
    text: String,
    before: f64,
    own: f64,
}

/// What is known of a column of the shard.
fn seen(scene: &Scene, column: &KeyColumn) -> Result<Vec<Seen>, ErrorReport> {
    if let Some(attribute) = &column.attribute
        && let Some(statistics) = partitions::statistics(scene.shards[0].oid, attribute)?
    {
        let known = of_statistics(statistics);
        if !known.is_empty() {
            return Ok(known);
        }
    }
    let sample = partitions::sample(&scene.shards[0], column)?.unwrap_or_default();
    let share = 1.0 / sample.len().max(1) as f64;
    Ok(sample.into_iter().map(|text| Seen { text, before: 0.0, own: share }).collect())
}

fn of_statistics(statistics: Statistics) -> Vec<Seen> {
    let common = statistics.common.unwrap_or_default().into_iter();
    let frequencies = statistics.frequencies.unwrap_or_default();
    let rest = (1.0 - frequencies.iter().sum::<f64>() - statistics.nulls.unwrap_or(0.0)).max(0.0);
    let mut known: Vec<Seen> =
        common.zip(frequencies).map(|(text, own)| Seen { text, before: 0.0, own }).collect();
    let bounds = statistics.bounds.unwrap_or_default();
    let share = rest / bounds.len().saturating_sub(1).max(1) as f64;
    known.extend(bounds.into_iter().enumerate().map(|(at, text)| Seen {
        text,
        before: if at == 0 { 0.0 } else { share },
        own: 0.0,
    }));
    known
}

fn ranges(scene: &Scene, lower: &RangePoint, upper: &RangePoint, parts: usize) -> Result<Cuts, ErrorReport> {
    let shard = || scene.own[0].name.clone();
    let columns = &scene.parent.columns;
    let mut prefix: RangePoint = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        // A column that has one value in the whole shard.
        if let (Some(RangeDatum::Value(one)), true) = (lower.get(at), lower.get(at) == upper.get(at)) {
            prefix.push(RangeDatum::Value(one.clone()));
            continue;
        }
        let seen = seen(scene, column)?;
        let point = |text: &str| {
            let mut point = prefix.clone();
            point.push(RangeDatum::Value(text.to_owned()));
            point.resize(columns.len(), RangeDatum::MinValue);
            point
        };
        let cuts = Cuts::Points(seen.iter().map(|value| point(&value.text)).collect());
        let order = scene.order(&cuts)?;
        let values = weighed(scene, column, seen)?;
        let inside = |text: &str| {
            let point = point(text);
            order.compare_points(lower, &point).is_lt() && order.compare_points(&point, upper).is_lt()
        };
        match size::points(values, parts, inside) {
            Ok(points) => {
                return Ok(Cuts::Points(points.iter().map(|cut| point(&round(column, cut))).collect()));
            }
            Err(NoPoints::Hot { text, .. }) if at + 1 < columns.len() => {
                prefix.push(RangeDatum::Value(text));
            }
            Err(NoPoints::Hot { text, share }) => {
                return Err(ReshardError::Hot {
                    shard: shard(),
                    column: column.name.clone(),
                    value: shown(&text),
                    percent: (share * 100.0).round() as u32,
                }
                .into());
            }
            Err(NoPoints::Few(found)) => {
                return Err(too_few(scene, column, found, parts));
            }
        }
    }
    Err(ReshardError::NoSize { shard: shard(), why: "Its bounds leave one value of the key.".to_owned() }
        .into())
}

/// A rounder value where it is as good.
fn round(column: &KeyColumn, cut: &Point) -> String {
    let kind = KeyType::of_builtin(&column.type_name);
    let rounder = cut.above.as_ref().and_then(|above| roundest(kind, above, &cut.text));
    rounder.unwrap_or_else(|| cut.text.clone())
}

fn too_few(scene: &Scene, column: &KeyColumn, found: usize, parts: usize) -> ErrorReport {
    let why = if found <= 1 {
        format!("No rows of it are known, or only one value of {}.", column.name)
    } else {
        format!("It can be cut into {found} at values of {} that are known, not into {parts}.", column.name)
    };
    ReshardError::NoSize { shard: scene.own[0].name.clone(), why }.into()
}

/// The values with their places in the order of the key.
fn weighed(scene: &Scene, column: &KeyColumn, seen: Vec<Seen>) -> Result<Vec<Weighed>, ErrorReport> {
    let texts: BTreeSet<&str> = seen.iter().map(|value| value.text.as_str()).collect();
    let places = scene.places(column, &texts)?;
    let value = |value: Seen| {
        let rank = places.get(&value.text)?.rank;
        Some(Weighed { text: value.text, rank, before: value.before, own: value.own })
    };
    Ok(seen.into_iter().filter_map(value).collect())
}

fn lists(scene: &Scene, values: &[Option<String>], parts: u32) -> Result<Cuts, ErrorReport> {
    if values.len() < parts as usize {
        let shard = scene.own[0].name.clone();
        return Err(ReshardError::FewValues { shard, parts, values: values.len() }.into());
    }
    let Some(column) = scene.parent.columns.first() else { return Ok(Cuts::Lists(Vec::new())) };
    let seen = seen(scene, column)?;
    let known = Cuts::Lists(vec![seen.iter().map(|value| Some(value.text.clone())).collect()]);
    let order: KeyOrder = scene.order(&known)?;
    let mut shares = BTreeMap::new();
    for value in &seen {
        *shares.entry(order.entry(Some(&value.text))).or_insert(0.0) += value.own + value.before;
    }
    let named: f64 = shares.values().sum();
    let share = |value: &Option<String>| match value {
        Some(text) => shares.get(&order.entry(Some(text))).copied().unwrap_or(0.0),
        // What no value has is NULL's.
        None => (1.0 - named).max(0.0),
    };
    let shares: Vec<f64> = values.iter().map(share).collect();
    let lists = size::lists(&shares, parts as usize);
    let list = |places: Vec<usize>| places.into_iter().map(|at| values[at].clone()).collect();
    Ok(Cuts::Lists(lists.into_iter().map(list).collect()))
}
