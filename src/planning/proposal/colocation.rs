//! Tables that are joined on their shard keys get the same modulus or bounds.
//!
//! Only then can PostgreSQL join them shard by shard. Not here: the choice of
//! keys. Invariant: all tables of a group have the same strategy, the same
//! key type (not only the same kind of type) and the same modulus or bounds.

use std::collections::BTreeMap;

use crate::model::key::Strategy;
use crate::model::name::QualifiedName;
use crate::model::profile::ConstraintKind;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::choice::Choice;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::option::Wanted;
use crate::planning::proposal::option::Weighed;
use crate::planning::proposal::option::range_plan;
use crate::planning::proposal::option::replanned;
use crate::planning::proposal::range::RangePlan;
use crate::planning::proposal::subject::Subject;

/// Aligns the chosen layouts of joined tables; the group of each table that
/// is in one, numbered from 1 by its first table.
pub fn align(
    input: &ProposalInput,
    subjects: &[Subject],
    choices: &mut [Choice],
) -> BTreeMap<QualifiedName, u32> {
    let mut groups = BTreeMap::new();
    let mut number = 0;
    for members in components(subjects, choices) {
        let Some(aligned) = aligned(input, subjects, choices, &members) else { continue };
        number += 1;
        for (at, weighed) in members.into_iter().zip(aligned) {
            choices[at].weighed[0] = weighed;
            groups.insert(subjects[at].name.clone(), number);
        }
    }
    groups
}

/// Sets of at least two tables connected by joins or foreign keys between
/// their chosen keys, by the first of each.
fn components(subjects: &[Subject], choices: &[Choice]) -> Vec<Vec<usize>> {
    let places: BTreeMap<&QualifiedName, usize> =
        subjects.iter().enumerate().map(|(at, subject)| (&subject.name, at)).collect();
    let mut root: Vec<usize> = (0..subjects.len()).collect();
    for (at, subject) in subjects.iter().enumerate() {
        for (column, other, other_column) in edges(subject) {
            let Some(&place) = places.get(&other) else { continue };
            if place != at && fits(subjects, choices, (at, &column), (place, &other_column)) {
                let (a, b) = (find(&root, at), find(&root, place));
                root[a.max(b)] = a.min(b);
            }
        }
    }
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in 0..subjects.len() {
        members.entry(find(&root, at)).or_default().push(at);
    }
    members.into_values().filter(|members| members.len() > 1).collect()
}

fn find(root: &[usize], mut at: usize) -> usize {
    while root[at] != at {
        at = root[at];
    }
    at
}

/// Column, other table and its column, of joins and of foreign keys.
fn edges(subject: &Subject) -> Vec<(String, QualifiedName, String)> {
    let joins = subject.traffic.uses.iter().flat_map(|one| one.joins.iter().cloned());
    let keys = subject.table.constraints.iter().filter(|found| found.kind == ConstraintKind::ForeignKey);
    let references =
        keys.filter_map(|key| Some((key, key.references.as_ref()?))).flat_map(|(key, target)| {
            let pairs = key.columns.iter().zip(&target.columns);
            pairs.map(|(column, other)| (column.clone(), target.name(), other.clone())).collect::<Vec<_>>()
        });
    joins.chain(references).collect()
}

/// Whether both columns are the chosen keys, of one strategy and one type.
fn fits(subjects: &[Subject], choices: &[Choice], a: (usize, &str), b: (usize, &str)) -> bool {
    let (left, right) = (choices[a.0].chosen(), choices[b.0].chosen());
    let type_of = |side: (usize, &str)| {
        let column = subjects[side.0].table.column(side.1)?;
        Some((&column.type_name.schema, &column.type_name.name))
    };
    left.strategy() == right.strategy()
        && left.strategy() != Strategy::None
        && left.column() == a.1
        && right.column() == b.1
        && type_of(a).is_some()
        && type_of(a) == type_of(b)
}

/// The members' choices cut alike, or `None` if that cannot be or costs more
/// than it may.
fn aligned(
    input: &ProposalInput,
    subjects: &[Subject],
    choices: &[Choice],
    members: &[usize],
) -> Option<Vec<Weighed>> {
    let alone: f64 = members.iter().map(|at| choices[*at].chosen().cost.total()).sum();
    let try_all = |wanted: Wanted| -> Option<(f64, Vec<Weighed>)> {
        let found: Option<Vec<Weighed>> = members
            .iter()
            .map(|at| replanned(input, &subjects[*at], choices[*at].chosen(), wanted))
            .collect();
        found.map(|found| (found.iter().map(|one| one.cost.total()).sum(), found))
    };
    let modulus = |at: &usize| match choices[*at].chosen().division.cells {
        Cells::Hash { modulus, .. } => Some(modulus),
        _ => None,
    };
    if let (Some(most), Some(fewest)) =
        (members.iter().filter_map(modulus).max(), members.iter().filter_map(modulus).min())
    {
        let found = try_all(Wanted::Modulus(most)).or_else(|| try_all(Wanted::Modulus(fewest)));
        return found.map(|(_, found)| found);
    }
    let plans: Vec<RangePlan> =
        members.iter().filter_map(|at| range_plan(&choices[*at].chosen().division)).collect();
    let mut units: Vec<_> = plans.iter().map(|plan| plan.unit).collect();
    units.sort_unstable();
    units.dedup();
    let priced = units.into_iter().filter_map(|unit| {
        let first = unit.floor(plans.iter().map(|plan| plan.first).min()?)?;
        let end = unit.ceil(plans.iter().map(|plan| plan.end).max()?)?;
        try_all(Wanted::Range(RangePlan { unit, first, end }))
    });
    let best = priced.min_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 <= alone * (1.0 + input.constants.colocation_tolerance)).then_some(best.1)
}
