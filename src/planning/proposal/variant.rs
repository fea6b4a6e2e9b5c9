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
use crate::planning::proposal::division::Division;
use crate::planning::proposal::link::Link;
use crate::planning::proposal::option::Wanted;
use crate::planning::proposal::option::Weighed;
use crate::planning::proposal::option::range_plan;
use crate::planning::proposal::option::replanned;
use crate::planning::proposal::range::RangePlan;
use crate::planning::proposal::search::Interrupted;
use crate::planning::proposal::search::Stop;
use crate::planning::proposal::subject::Subject;

/// Why a way may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The table is cut so now.
    Present,
    /// It was proposed before.
    Earlier,
    /// It suits the table.
    Own,
    /// It is there for the sake of other tables.
    Variant,
}

/// A way that may be taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    pub weighed: Weighed,
    pub role: Role,
}

/// The ways of each table that may be taken, with variants.
///
/// # Errors
/// [`Interrupted`] if `stop` said so.
pub fn open(
    input: &ProposalInput,
    subjects: &[Subject],
    ways: &[Ways],
    links: &[Link],
    stop: Stop<'_>,
) -> Result<Vec<Vec<Open>>, Interrupted> {
    let mut open: Vec<Vec<Open>> =
        subjects.iter().zip(ways).map(|(subject, ways)| own(input, subject, ways)).collect();
    for kin in kindred(&open, links, stop)? {
        let measures = measures(&open, &kin);
        let wanted = wanted(&open, &kin);
        for (table, at) in kin {
            if stop() {
                return Err(Interrupted);
            }
            // Variants stand behind all other ways, so the places of those stay.
            let way = open[table][at].weighed.clone();
            open[table].retain(|one| {
                let division = &one.weighed.division;
                one.role != Role::Variant
                    || !same_key(&one.weighed, &way)
                    || measures.contains(&Measure::of(division))
            });
            // Keys of two columns or levels have only the variants that they came with.
            let single = way.division.key.single().is_some();
            for wanted in wanted.iter().filter(|_| single) {
                let Some(found) = replanned(input, &subjects[table], &way, *wanted) else { continue };
                if !open[table].iter().any(|other| same_way(&other.weighed, &found)) {
                    open[table].push(Open { weighed: found, role: Role::Variant });
                }
            }
        }
    }
    Ok(open)
}

/// What tables that are aligned have in common, whatever rows they have.
#[derive(Debug, Clone, PartialEq)]
struct Measure {
    modulus: Option<u32>,
    unit: Option<CalendarUnit>,
    groups: Option<Vec<Vec<String>>>,
    /// Of the second level.
    inner: Option<u32>,
}

impl Measure {
    fn of(division: &Division) -> Self {
        let mut found = Self { modulus: None, unit: None, groups: None, inner: None };
        match &division.cells {
            Cells::Hash { modulus, .. } => found.modulus = Some(*modulus),
            Cells::Range { unit, .. } | Cells::Spans { unit, .. } => found.unit = *unit,
            Cells::List { groups } => found.groups = Some(groups.clone()),
            Cells::Whole => {}
        }
        found.inner = division.moduli.iter().max().copied();
        found
    }
}

/// The measures of the ways that the tables of a set would take by
/// themselves: no others are worth agreeing on.
fn measures(open: &[Vec<Open>], kin: &[Place]) -> Vec<Measure> {
    let mut found: Vec<Measure> = Vec::new();
    for (table, at) in kin {
        for one in own_ways(&open[*table], *at) {
            let measure = Measure::of(&one.weighed.division);
            if !found.contains(&measure) {
                found.push(measure);
            }
        }
    }
    found
}

/// The ways by the same key as one, but for variants.
fn own_ways(list: &[Open], at: usize) -> impl Iterator<Item = &Open> {
    list.iter().filter(move |one| one.role != Role::Variant && same_key(&one.weighed, &list[at].weighed))
}

fn own(input: &ProposalInput, subject: &Subject, ways: &Ways) -> Vec<Open> {
    let mut open: Vec<Open> = Vec::new();
    open.extend(ways.present.iter().map(|one| Open { weighed: one.clone(), role: Role::Present }));
    let earlier = ways.earlier.cut().filter(|_| ways.stays.is_none());
    let earlier = earlier.filter(|one| !open.iter().any(|known| same_way(&known.weighed, one)));
    open.extend(earlier.map(|one| Open { weighed: one.clone(), role: Role::Earlier }));
    let good = |one: &&Weighed| ways.stays.is_none() && Standing::of(input, subject, one) == Standing::Good;
    let own = ways.cut.iter().filter(good).map(|one| (one, Role::Own));
    let other = ways.other.iter().filter(good).map(|one| (one, Role::Variant));
    for (one, role) in own.chain(other) {
        if !open.iter().any(|known| same_way(&known.weighed, one)) {
            open.push(Open { weighed: one.clone(), role });
        }
    }
    open
}

fn same_way(a: &Weighed, b: &Weighed) -> bool {
    same_key(a, b) && a.division.same_bounds(&b.division)
}

/// A table and one of its ways, the first of its key.
type Place = (usize, usize);

/// Sets of keys that are linked with each other; a key without links is a set
/// by itself.
fn kindred(open: &[Vec<Open>], links: &[Link], stop: Stop<'_>) -> Result<Vec<Vec<Place>>, Interrupted> {
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
        if stop() {
            return Err(Interrupted);
        }
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
    Ok(sets.into_values().collect())
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
        for one in own_ways(&open[*table], *at) {
            if let Cells::Hash { modulus, .. } = one.weighed.division.cells {
                moduli.insert(modulus);
            }
            let single = one.weighed.division.key.single().is_some();
            if let Some(plan) = range_plan(&one.weighed.division).filter(|_| single) {
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
