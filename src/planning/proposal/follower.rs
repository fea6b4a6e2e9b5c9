//! Tables that follow others: they gain nothing from shards by themselves, but
//! are written by statements that all name the key of sharded neighbours, so
//! that what is written together lies together.
//!
//! They also carry links on: two tables that are worth sharding belong
//! together if one leads to the other through tables that would follow them.
//! Not here: the choice (`joint`) and who follows whom in the end
//! (`colocation`). Invariant: tables that are only read never follow.

use std::collections::BTreeMap;

use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::choice::Standing;
use crate::planning::proposal::choice::Ways;
use crate::planning::proposal::choice::Whole;
use crate::planning::proposal::link::Link;
use crate::planning::proposal::link::with;
use crate::planning::proposal::option::Weighed;
use crate::planning::proposal::search::Interrupted;
use crate::planning::proposal::search::Stop;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::variant::find;

/// The ways by which a table may follow, by keys of one column.
pub fn ways<'a>(input: &ProposalInput, subject: &Subject, ways: &'a Ways) -> Vec<&'a Weighed> {
    let may = ways.present.is_none() && matches!(ways.stays, None | Some(Whole::Small));
    let written = subject.traffic.uses.iter().any(|one| one.inserts || one.updates || one.deletes);
    if !may || !written || subject.traffic.assumed {
        return Vec::new();
    }
    good(input, subject, ways).into_iter().filter(|way| always_named(input, subject, way)).collect()
}

/// The ways of good standing, by keys of one column.
fn good<'a>(input: &ProposalInput, subject: &Subject, ways: &'a Ways) -> Vec<&'a Weighed> {
    let fits = |way: &&Weighed| {
        way.division.key.single().is_some() && Standing::of(input, subject, way) == Standing::Good
    };
    ways.cut.iter().filter(fits).collect()
}

/// Whether every statement that looks for rows of the table names the key.
fn always_named(input: &ProposalInput, subject: &Subject, way: &Weighed) -> bool {
    let Some(candidate) = &way.candidate else { return false };
    let key = candidate.key.columns();
    let named = subject.traffic.share_of_reads(|one| {
        key.iter().all(|column| one.narrowings.get(column).is_some_and(|found| found.prunable))
    });
    named.is_none_or(|share| share >= 1.0 - input.constants.hot_share)
}

/// The links, and with them those that lead from one table that is worth
/// sharding to another through tables that would follow: as few as connect
/// what is not connected already.
///
/// # Errors
/// [`Interrupted`] if `stop` said so.
pub fn carried(
    input: &ProposalInput,
    subjects: &[Subject],
    all: &[Ways],
    links: &[Link],
    stop: Stop<'_>,
) -> Result<Vec<Link>, Interrupted> {
    let worth: Vec<bool> = all.iter().map(|ways| ways.worth(input).is_some()).collect();
    let mut places: Vec<(usize, &Weighed)> = Vec::new();
    let mut of_table: Vec<Vec<usize>> = Vec::with_capacity(all.len());
    for (table, (subject, own)) in subjects.iter().zip(all).enumerate() {
        if stop() {
            return Err(Interrupted);
        }
        let found = if worth[table] { good(input, subject, own) } else { ways(input, subject, own) };
        of_table.push((places.len()..places.len() + found.len()).collect());
        places.extend(found.into_iter().map(|way| (table, way)));
    }
    // Sets that are linked through tables which are worth it alone, and
    // through others too.
    let mut directly: Vec<usize> = (0..places.len()).collect();
    let mut at_all = directly.clone();
    for link in links {
        if stop() {
            return Err(Interrupted);
        }
        for one in &of_table[link.a] {
            for other in &of_table[link.b] {
                if link.joins(places[*one].1, places[*other].1) {
                    join(&mut at_all, *one, *other);
                    if worth[link.a] && worth[link.b] {
                        join(&mut directly, *one, *other);
                    }
                }
            }
        }
    }
    let mut sets: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in (0..places.len()).filter(|at| worth[places[*at].0]) {
        sets.entry(find(&at_all, at)).or_default().push(at);
    }
    let mut found = links.to_vec();
    for set in sets.values() {
        for at in set {
            let apart = |other: &&usize| {
                places[**other].0 != places[*at].0 && find(&directly, **other) != find(&directly, *at)
            };
            // Earlier ones are connected already, as far as they can be.
            let Some(other) = set.iter().take_while(|other| *other < at).find(apart) else { continue };
            let [one, two] = [places[*other], places[*at]];
            found = with(found, (one.0, one.1.column()), (two.0, two.1.column()));
            join(&mut directly, *other, *at);
        }
    }
    Ok(found)
}

fn join(root: &mut [usize], one: usize, other: usize) {
    let (one, other) = (find(root, one), find(root, other));
    root[one.max(other)] = one.min(other);
}
