//! Keys of two columns, on one level or two.
//!
//! A hash of two columns comes from statements that name both; ranges that
//! are hashed from time and another key; lists that are hashed, and ranges of
//! two columns, from values so heavy that no single shard should have them. Invariant: at most `pairs_max`
//! of each kind.

use std::collections::BTreeMap;

use crate::model::key::Strategy;
use crate::model::name::QualifiedName;
use crate::model::profile::Column;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::candidate::Candidate;
use crate::planning::proposal::candidate::Generator;
use crate::planning::proposal::candidate::seen::Seen;
use crate::planning::proposal::key::ShardKey;
use crate::planning::proposal::list;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::traffic::Narrowing;
use crate::planning::proposal::traffic::Use;
use crate::planning::proposal::traffic::Window;

/// Columns of one statement of which pairs are made.
const TOGETHER_MAX: usize = 8;

/// The pairs to weigh, from the keys of one column that were found.
pub fn pairs(
    input: &ProposalInput,
    subject: &Subject,
    seen: &Seen,
    singles: &[(f64, &Candidate)],
) -> Vec<(f64, Candidate)> {
    if subject.traffic.assumed || subject.size.bytes_p90 < 2.0 * input.constants.shard_bytes_min {
        return Vec::new();
    }
    let most = input.constants.pairs_max;
    let singles: Vec<(f64, &Candidate)> =
        singles.iter().copied().filter(|(weight, _)| seen.suggests_two(*weight)).collect();
    let hashed = heaviest(&singles, |one| {
        one.strategy == Strategy::Hash && one.generators.iter().any(|found| found_in_statements(*found))
    });
    let by_time = heaviest(&singles, |one| {
        one.strategy == Strategy::Range
            && one.stands_for.is_none()
            && one.key.first.iter().any(|column| column.key_type.is_time())
    });
    let mut found = Vec::new();
    found.extend(ranges_hashed(&by_time, &hashed).into_iter().take(most));
    found.extend(lists_hashed(input, subject, seen, &hashed).into_iter().take(2 * most));
    found.extend(hashed_together(subject, seen).into_iter().take(most));
    found.extend(ranges_divided(input, subject, seen).into_iter().take(most));
    found
}

const fn found_in_statements(generator: Generator) -> bool {
    matches!(generator, Generator::EqualityPredicate | Generator::Join)
}

/// Candidates that fit, the heaviest first.
fn heaviest<'a>(
    singles: &[(f64, &'a Candidate)],
    fits: impl Fn(&Candidate) -> bool,
) -> Vec<(f64, &'a Candidate)> {
    let mut found: Vec<(f64, &Candidate)> = singles.iter().copied().filter(|(_, one)| fits(one)).collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found
}

/// The two best times with every key of hash, the best together first.
fn ranges_hashed(by_time: &[(f64, &Candidate)], hashed: &[(f64, &Candidate)]) -> Vec<(f64, Candidate)> {
    let mut found = Vec::new();
    for (weight, time) in by_time.iter().take(2) {
        for (other_weight, other) in hashed {
            let second = &other.key.first;
            if time.key.first == *second {
                continue;
            }
            let key = ShardKey { first: time.key.first.clone(), second: second.clone() };
            let generators = time.generators.iter().chain(&other.generators).copied().collect();
            found.push((weight.min(*other_weight), Candidate::new(Strategy::RangeHash, key, generators)));
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found
}

/// Columns with heavy values that statements ask for: these apart, the rest
/// hashed by the column; and the heavy ones hashed by another.
fn lists_hashed(
    input: &ProposalInput,
    subject: &Subject,
    seen: &Seen,
    hashed: &[(f64, &Candidate)],
) -> Vec<(f64, Candidate)> {
    let mut found = Vec::new();
    for column in subject.table.columns.iter().filter(|column| fits_both(column)) {
        let evidence = seen.column(&column.name);
        let weight = seen.weight(&column.name);
        let used = evidence.values && evidence.hashed || evidence.joins;
        if !used || !seen.suggests_two(weight) || list::heavy(subject, column, input.constants).is_empty() {
            continue;
        }
        let mut add = |other: ShardKey, generators: &[Generator]| {
            let key = ShardKey { second: other.first, ..ShardKey::of(column) };
            let mut all = vec![Generator::HeavyValues];
            all.extend(generators);
            if evidence.values {
                all.push(Generator::EqualityPredicate);
            }
            if evidence.joins {
                all.push(Generator::Join);
            }
            found.push((weight, Candidate::new(Strategy::ListHash, key, all)));
        };
        add(ShardKey::of(column), &[]);
        let others = hashed.iter().filter(|(_, one)| one.key.leading() != column.name);
        let mut others: Vec<&Candidate> = others.map(|(_, one)| *one).take(2).collect();
        if others.is_empty() {
            // A primary key divides anything evenly.
            let keys = subject.table.columns.iter().filter(|other| {
                seen.column(&other.name).primary_key && other.name != column.name && other.hashable
            });
            keys.take(1).for_each(|other| add(ShardKey::of(other), &[Generator::PrimaryKey]));
        }
        others.drain(..).for_each(|other| add(other.key.clone(), &other.generators));
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found
}

/// Columns with heavy values that statements ask for, and another column by
/// which these can be divided: one that statements narrow beside a value of
/// the first, or the rest of a primary key.
fn ranges_divided(input: &ProposalInput, subject: &Subject, seen: &Seen) -> Vec<(f64, Candidate)> {
    let ordered = |column: &&Column| {
        column.orderable && !column.generated && subject.spreads.contains_key(column.name.as_str())
    };
    let mut found: Vec<(f64, Candidate)> = Vec::new();
    for first in subject.table.columns.iter().filter(ordered) {
        let evidence = seen.column(&first.name);
        let weight = seen.weight(&first.name);
        let used = evidence.values || evidence.ranges || evidence.joins;
        if !used || !seen.suggests_two(weight) || list::heavy(subject, first, input.constants).is_empty() {
            continue;
        }
        for second in subject.table.columns.iter().filter(ordered).filter(|second| second.name != first.name)
        {
            let beside = weight_beside(subject, &first.name, &second.name);
            let key = seen.column(&second.name).primary_key && evidence.primary_key;
            let mut generators = vec![Generator::HeavyValues];
            if seen.suggests_two(beside) {
                generators.push(Generator::EqualityPredicate);
            }
            if key {
                generators.push(Generator::PrimaryKey);
            }
            if generators.len() > 1 {
                let key = ShardKey { first: vec![first.into(), second.into()], second: Vec::new() };
                found.push((beside.max(weight / 2.0), Candidate::new(Strategy::Range, key, generators)));
            }
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found
}

/// Weight of the uses that narrow the second column beside a value of the first.
fn weight_beside(subject: &Subject, first: &str, second: &str) -> f64 {
    let both = |one: &&Use| {
        let valued = |found: &Narrowing| matches!(found.window, Window::Values { .. });
        one.narrowings.get(first).is_some_and(|found| found.prunes(Strategy::Range) && valued(found))
            && one.narrowings.get(second).is_some_and(|found| found.prunes(Strategy::Range))
    };
    subject.traffic.uses.iter().filter(both).map(|one| one.weight).sum()
}

const fn fits_both(column: &Column) -> bool {
    column.orderable && column.hashable && !column.generated
}

/// Two columns that statements name together.
fn hashed_together(subject: &Subject, seen: &Seen) -> Vec<(f64, Candidate)> {
    let table = subject.table;
    let mut weights: BTreeMap<(usize, usize), (f64, Generator)> = BTreeMap::new();
    for one in &subject.traffic.uses {
        for (generator, columns) in
            [(Generator::EqualityPredicate, named_together(one)), (Generator::Join, joined_together(one))]
        {
            let mut columns = columns;
            columns.sort_by(|a, b| seen.weight(b).total_cmp(&seen.weight(a)));
            let mut places: Vec<usize> = columns
                .iter()
                .take(TOGETHER_MAX)
                .filter_map(|name| table.columns.iter().position(|column| column.name == **name))
                .filter(|at| table.columns[*at].hashable && !table.columns[*at].generated)
                .collect();
            places.sort_unstable();
            places.dedup();
            for (at, first) in places.iter().enumerate() {
                for second in &places[at + 1..] {
                    weights.entry((*first, *second)).or_insert((0.0, generator)).0 += one.weight;
                }
            }
        }
    }
    let enough = weights.into_iter().filter(|(_, (weight, _))| seen.suggests_two(*weight));
    let mut found: Vec<(f64, Candidate)> = enough
        .map(|((first, second), (weight, generator))| {
            let columns = [&table.columns[first], &table.columns[second]];
            let key = ShardKey { first: columns.map(Into::into).to_vec(), second: Vec::new() };
            (weight, Candidate::new(Strategy::Hash, key, vec![generator]))
        })
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found
}

fn named_together(one: &Use) -> Vec<&str> {
    let narrowed = one.narrowings.iter().filter(|(_, found)| found.prunes(Strategy::Hash));
    narrowed.map(|(column, _)| column.as_str()).collect()
}

/// Columns that are joined with the same table.
fn joined_together(one: &Use) -> Vec<&str> {
    let both = |join: &&(String, QualifiedName, String)| {
        one.joins.iter().any(|other| other.1 == join.1 && other.0 != join.0)
    };
    one.joins.iter().filter(both).map(|join| join.0.as_str()).collect()
}
