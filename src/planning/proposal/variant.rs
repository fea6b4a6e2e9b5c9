//! Ways to cut a table as its neighbours are cut: the modulus or the bounds
//! that a table linked by its key would have.
//!
//! A table alone would not take them; without them no two tables of unlike
//! size could be aligned. Invariant: a variant has the strategy and the key
//! of a way that is there already.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::calendar::CalendarUnit;
use crate::planning::proposal::choice::Standing;
use crate::planning::proposal::choice::Ways;
use crate::planning::proposal::choice::same_key;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::link::Link;
use crate::planning::proposal::link::same_bounds;
use crate::planning::proposal::option::Wanted;
use crate::planning::proposal::option::Weighed;
use crate::planning::proposal::option::range_plan;
use crate::planning::proposal::option::replanned;
use crate::planning::proposal::range::RangePlan;
use crate::planning::proposal::subject::Subject;

/// A way that may be taken, and whether it is only there for the sake of
/// other tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    pub weighed: Weighed,
    pub variant: bool,
}

/// The ways of each table that may be taken, with variants.
pub fn open(input: &ProposalInput, subjects: &[Subject], ways: &[Ways], links: &[Link]) -> Vec<Vec<Open>> {
    let mut open: Vec<Vec<Open>> = subjects
        .iter()
        .zip(ways)
        .map(|(subject, ways)| {
            let good = ways
                .cut
                .iter()
                .filter(|one| ways.stays.is_none() && Standing::of(input, subject, one) == Standing::Good);
            good.map(|one| Open { weighed: one.clone(), variant: false }).collect()
        })
        .collect();
    for kin in kindred(&open, links) {
        let wanted = wanted(&open, &kin);
        for (table, at) in kin {
            for wanted in &wanted {
                let Some(found) = replanned(input, &subjects[table], &open[table][at].weighed, *wanted)
                else {
                    continue;
                };
                let known = open[table].iter().any(|other| {
                    same_key(&other.weighed, &found) && same_bounds(&other.weighed.division, &found.division)
                });
                if !known {
                    open[table].push(Open { weighed: found, variant: true });
                }
            }
        }
    }
    open
}

/// A table and one of its ways, the first of its key.
type Place = (usize, usize);

/// Sets of keys of at least two tables that are linked with each other.
fn kindred(open: &[Vec<Open>], links: &[Link]) -> Vec<Vec<Place>> {
    let firsts = |table: usize| -> Vec<Place> {
        let list = &open[table];
        let first =
            |at: &usize| !list[..*at].iter().any(|other| same_key(&other.weighed, &list[*at].weighed));
        (0..list.len()).filter(first).map(|at| (table, at)).collect()
    };
    let places: Vec<Place> = (0..open.len()).flat_map(firsts).collect();
    let number: BTreeMap<Place, usize> = places.iter().enumerate().map(|(at, place)| (*place, at)).collect();
    let mut root: Vec<usize> = (0..places.len()).collect();
    for link in links {
        for a in firsts(link.a) {
            for b in firsts(link.b) {
                if link.joins(&open[a.0][a.1].weighed, &open[b.0][b.1].weighed) {
                    let (one, other) = (find(&root, number[&a]), find(&root, number[&b]));
                    root[one.max(other)] = one.min(other);
                }
            }
        }
    }
    let mut sets: BTreeMap<usize, Vec<Place>> = BTreeMap::new();
    for (at, place) in places.iter().enumerate() {
        sets.entry(find(&root, at)).or_default().push(*place);
    }
    sets.into_values().filter(|set| set.len() > 1).collect()
}

/// The first of the set of a member.
pub fn find(root: &[usize], mut at: usize) -> usize {
    while root[at] != at {
        at = root[at];
    }
    at
}

/// What some keys' ways have, for all of them to have.
fn wanted(open: &[Vec<Open>], kin: &[Place]) -> Vec<Wanted> {
    let mut moduli = BTreeSet::new();
    let mut plans: BTreeMap<CalendarUnit, RangePlan> = BTreeMap::new();
    for (table, at) in kin {
        let list = &open[*table];
        for one in list.iter().filter(|one| same_key(&one.weighed, &list[*at].weighed)) {
            if let Cells::Hash { modulus, .. } = one.weighed.division.cells {
                moduli.insert(modulus);
            }
            if let Some(plan) = range_plan(&one.weighed.division) {
                let common = plans.entry(plan.unit).or_insert(plan);
                common.first = common.first.min(plan.first);
                common.end = common.end.max(plan.end);
            }
        }
    }
    let first = plans.values().map(|plan| plan.first).min();
    let end = plans.values().map(|plan| plan.end).max();
    let common = plans.into_keys().filter_map(|unit| {
        Some(Wanted::Range(RangePlan { unit, first: unit.floor(first?)?, end: unit.ceil(end?)? }))
    });
    moduli.into_iter().map(Wanted::Modulus).chain(common).collect()
}
