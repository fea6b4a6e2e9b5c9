//! Colocation groups: tables that are cut alike by linked keys.
//!
//! Only then can PostgreSQL join them shard by shard. Here groups are found
//! in what was chosen, ranges end where the group's rows do, and tables that
//! the group's statements write follow it. Not here: the choice (`joint`).
//! Invariant: all tables of a group have the same strategy, the same key
//! types (not only the same kind of type) and the same modulus or bounds.

use std::collections::BTreeMap;

use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::choice::Ways;
use crate::planning::proposal::choice::same_key;
use crate::planning::proposal::cost::worsened;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::explain::words::percent;
use crate::planning::proposal::explain::words::short;
use crate::planning::proposal::follower;
use crate::planning::proposal::link::Link;
use crate::planning::proposal::option::Wanted;
use crate::planning::proposal::option::Weighed;
use crate::planning::proposal::option::range_plan;
use crate::planning::proposal::option::replanned;
use crate::planning::proposal::range::RangePlan;
use crate::planning::proposal::search::Interrupted;
use crate::planning::proposal::search::Stop;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::variant::find;

/// What became of the tables together.
pub struct Settled {
    /// The group of each table that is in one, numbered from 1 by its first
    /// table.
    pub groups: BTreeMap<QualifiedName, u32>,
    /// Why tables do not follow a group that they could, in a full sentence.
    pub apart: BTreeMap<QualifiedName, String>,
}

/// Lets written tables follow their group and ends its ranges where its rows
/// end.
///
/// # Errors
/// [`Interrupted`] if `stop` said so.
pub fn settle(
    input: &ProposalInput,
    subjects: &[Subject],
    ways: &[Ways],
    links: &[Link],
    taken: &mut [Option<Weighed>],
    stop: Stop<'_>,
) -> Result<Settled, Interrupted> {
    for members in components(links, taken) {
        shrink(input, subjects, ways, &members, taken);
    }
    let mut follow: Vec<Vec<&Weighed>> = Vec::with_capacity(ways.len());
    for (subject, ways) in subjects.iter().zip(ways) {
        if stop() {
            return Err(Interrupted);
        }
        follow.push(follower::ways(input, subject, ways));
    }
    while let Some((table, way)) = next_follower(input, subjects, &follow, links, taken) {
        if stop() {
            return Err(Interrupted);
        }
        taken[table] = Some(way);
    }
    let mut apart = BTreeMap::new();
    for (table, subject) in subjects.iter().enumerate().filter(|(table, _)| taken[*table].is_none()) {
        if stop() {
            return Err(Interrupted);
        }
        let left = followings(input, subject, table, &follow[table], links, taken).next();
        let told = left.and_then(|way| stays_behind(input, subject, &way));
        apart.extend(told.map(|told| (subject.name.clone(), told)));
    }
    let groups = components(links, taken);
    let numbered = groups.iter().zip(1..);
    let groups = numbered
        .flat_map(|(members, number)| members.iter().map(move |at| (subjects[*at].name.clone(), number)))
        .collect();
    Ok(Settled { groups, apart })
}

/// Sets of at least two tables that are cut alike by linked keys, by the
/// first of each.
fn components(links: &[Link], taken: &[Option<Weighed>]) -> Vec<Vec<usize>> {
    let mut root: Vec<usize> = (0..taken.len()).collect();
    for link in links {
        let (Some(a), Some(b)) = (&taken[link.a], &taken[link.b]) else { continue };
        if link.joins(a, b) && a.division.same_bounds(&b.division) {
            let (one, other) = (find(&root, link.a), find(&root, link.b));
            root[one.max(other)] = one.min(other);
        }
    }
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in 0..taken.len() {
        members.entry(find(&root, at)).or_default().push(at);
    }
    members.into_values().filter(|members| members.len() > 1).collect()
}

/// Ranges from the first row of the group to its last shard ahead: while the
/// choice was open they covered the rows of all tables that could have come
/// into the group.
fn shrink(
    input: &ProposalInput,
    subjects: &[Subject],
    ways: &[Ways],
    members: &[usize],
    taken: &mut [Option<Weighed>],
) {
    let chosen: Vec<&Weighed> = members.iter().filter_map(|at| taken[*at].as_ref()).collect();
    // What is there already stays as it is, and the others with it.
    if chosen.iter().any(|one| one.existing.is_some()) {
        return;
    }
    let first = chosen.first().filter(|one| one.division.key.single().is_some());
    let Some(unit) = first.and_then(|one| range_plan(&one.division)).map(|plan| plan.unit) else {
        return;
    };
    let own: Vec<RangePlan> = members
        .iter()
        .zip(&chosen)
        .filter_map(|(at, chosen)| {
            let own = ways[*at].present.iter().chain(&ways[*at].cut);
            own.into_iter().find(|one| same_key(one, chosen))
        })
        .filter_map(|one| range_plan(&one.division))
        .collect();
    let ends = || {
        let first = unit.floor(own.iter().map(|plan| plan.first).min()?)?;
        let end = unit.ceil(own.iter().map(|plan| plan.end).max()?)?;
        Some(Wanted::Range(RangePlan { unit, first, end }))
    };
    let Some(wanted) = ends().filter(|_| own.len() == members.len()) else { return };
    let cut: Option<Vec<Weighed>> = members
        .iter()
        .zip(&chosen)
        .map(|(at, chosen)| replanned(input, &subjects[*at], chosen, wanted))
        .collect();
    for (at, found) in members.iter().zip(cut.into_iter().flatten()) {
        taken[*at] = Some(found);
    }
}

/// A table that gains nothing from shards by itself, but is written by
/// statements that all name the key of its neighbours: it is kept with them,
/// so that what is written together lies together, unless a statement of its
/// own pays for that. Tables that are only read stay whole.
fn next_follower(
    input: &ProposalInput,
    subjects: &[Subject],
    follow: &[Vec<&Weighed>],
    links: &[Link],
    taken: &[Option<Weighed>],
) -> Option<(usize, Weighed)> {
    let open = subjects.iter().enumerate().filter(|(table, _)| taken[*table].is_none());
    open.into_iter().find_map(|(table, subject)| {
        let mut found = followings(input, subject, table, &follow[table], links, taken);
        Some((table, found.find(|way| worsened(input, subject, &way.division).is_none())?))
    })
}

/// The ways in which a table would be cut as its sharded neighbours are.
fn followings<'a>(
    input: &'a ProposalInput,
    subject: &'a Subject,
    table: usize,
    follow: &'a [&'a Weighed],
    links: &'a [Link],
    taken: &'a [Option<Weighed>],
) -> impl Iterator<Item = Weighed> + 'a {
    follow.iter().flat_map(move |way| {
        neighbours(links, table, way, taken).filter_map(move |(other, joined)| {
            let found = replanned(input, subject, way, wanted_of(joined)?)?;
            (other != table && found.division.same_bounds(&joined.division)).then_some(found)
        })
    })
}

/// Why a table does not follow, as a sentence.
fn stays_behind(input: &ProposalInput, subject: &Subject, way: &Weighed) -> Option<String> {
    let worse = worsened(input, subject, &way.division)?;
    Some(format!(
        "It does not follow its neighbours, {} by {} in {} shards: a statement of {} of what reads it would plan \
         {} shards and take {} longer.",
        way.strategy().word(),
        quote_identifier(way.column()),
        way.shard_count(),
        percent(worse.share),
        short(worse.planned),
        percent(worse.by)
    ))
}

/// The sharded tables to whose key a way's key is linked.
fn neighbours<'a>(
    links: &'a [Link],
    table: usize,
    way: &'a Weighed,
    taken: &'a [Option<Weighed>],
) -> impl Iterator<Item = (usize, &'a Weighed)> {
    links.iter().filter_map(move |link| {
        let other = if link.a == table {
            link.b
        } else if link.b == table {
            link.a
        } else {
            return None;
        };
        let joined = taken[other].as_ref()?;
        let joins = if link.a == table { link.joins(way, joined) } else { link.joins(joined, way) };
        joins.then_some((other, joined))
    })
}

fn wanted_of(weighed: &Weighed) -> Option<Wanted> {
    match weighed.division.cells {
        Cells::Hash { modulus, .. } => Some(Wanted::Modulus(modulus)),
        _ => range_plan(&weighed.division).map(Wanted::Range),
    }
}
