//! Which keys are worth weighing for a table.
//!
//! A candidate comes from something that was seen: a predicate, a join, a
//! key, an event time (`seen`); pairs of columns from what was seen together
//! (`pairs`). Not here: whether it is legal, or what it costs.
//! Invariant: every candidate's columns exist, are not generated, and have the
//! operator class that its strategy needs; at most `candidates_max` of them,
//! no two of the same strategy and key.

mod pairs;
mod present;
mod refused;
mod seen;

use serde::Deserialize;
use serde::Serialize;

use crate::model::key::Strategy;
use crate::model::profile::Column;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::candidate::present::Present;
use crate::planning::proposal::candidate::seen::Seen;
use crate::planning::proposal::key::ShardKey;
use crate::planning::proposal::list;
use crate::planning::proposal::range::id;
use crate::planning::proposal::subject::Subject;

pub use crate::planning::proposal::candidate::refused::never_sharded;

/// What suggested a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generator {
    /// The values of the column follow insertion.
    EventTime,
    RangePredicate,
    EqualityPredicate,
    Join,
    PrimaryKey,
    ForeignKey,
    GroupBy,
    /// A table that a chain of foreign keys leads to has the column too.
    ForeignKeyPath,
    /// Data are meant to be dropped by age.
    Retention,
    /// Rows lie in the order of the column.
    Correlation,
    /// A unique id ascends with event time.
    FollowsTime,
    /// Few values have many of the rows.
    HeavyValues,
    /// The table is partitioned by it already.
    PresentKey,
}

impl Generator {
    /// How a sentence names it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::EventTime => "event time",
            Self::RangePredicate => "range predicates",
            Self::EqualityPredicate => "equality predicates",
            Self::Join => "joins",
            Self::PrimaryKey => "primary key",
            Self::ForeignKey => "foreign key",
            Self::GroupBy => "grouping",
            Self::ForeignKeyPath => "foreign keys of its parents",
            Self::Retention => "retention",
            Self::Correlation => "order of rows",
            Self::FollowsTime => "ids that follow event time",
            Self::HeavyValues => "heavy values",
            Self::PresentKey => "present partition key",
        }
    }
}

/// One key to weigh.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    pub strategy: Strategy,
    pub key: ShardKey,
    /// Sorted, never empty.
    pub generators: Vec<Generator>,
    /// The event time that a unique id stands for.
    pub stands_for: Option<String>,
}

impl Candidate {
    fn new(strategy: Strategy, key: ShardKey, mut generators: Vec<Generator>) -> Self {
        generators.sort_unstable();
        generators.dedup();
        Self { strategy, key, generators, stands_for: None }
    }
}

/// The keys to weigh, the most used first.
pub fn candidates(input: &ProposalInput, subject: &Subject) -> Vec<Candidate> {
    let seen = Seen::of(input, subject);
    let present = Present::of(subject.table);
    let mut weighed: Vec<(f64, Candidate)> = Vec::new();
    for column in subject.table.columns.iter().filter(|column| !column.generated) {
        let weight = seen.weight(&column.name);
        let mut add = |strategy, mut generators: Vec<Generator>, stands_for: Option<String>| {
            if present.as_ref().is_some_and(|present| present.is(strategy, &[&column.name])) {
                generators.push(Generator::PresentKey);
            }
            if !generators.is_empty() {
                let candidate = Candidate::new(strategy, ShardKey::of(column), generators);
                weighed.push((weight, Candidate { stands_for, ..candidate }));
            }
        };
        if column.orderable {
            let (generators, time) = ranges(input, subject, &seen, column);
            add(Strategy::Range, generators, time);
            add(Strategy::List, lists(input, subject, &seen, column), None);
        }
        if column.hashable {
            add(Strategy::Hash, hashes(subject, &seen, column), None);
        }
    }
    let singles: Vec<(f64, &Candidate)> = weighed.iter().map(|(weight, one)| (*weight, one)).collect();
    let mut found = pairs::pairs(input, subject, &seen, &singles);
    if let Some(pair) = present.and_then(|present| present.pair(subject.table)) {
        match found.iter_mut().find(|(_, one)| one.strategy == pair.strategy && one.key == pair.key) {
            Some((_, one)) => one.generators.push(Generator::PresentKey),
            None => found.push((0.0, pair)),
        }
    }
    weighed.extend(found);
    // A stable sort: ties keep the order of columns. What is there is always weighed.
    let there = |one: &Candidate| one.generators.contains(&Generator::PresentKey);
    weighed.sort_by(|a, b| there(&b.1).cmp(&there(&a.1)).then(b.0.total_cmp(&a.0)));
    weighed.truncate(input.constants.candidates_max);
    weighed.into_iter().map(|(_, candidate)| candidate).collect()
}

/// What suggests ranges, and the event time that they stand for.
fn ranges(
    input: &ProposalInput,
    subject: &Subject,
    seen: &Seen,
    column: &Column,
) -> (Vec<Generator>, Option<String>) {
    let mut found = Vec::new();
    let constants = input.constants;
    let is_time = column.type_name.key_type().is_time();
    let kept = seen.only_grows();
    let evidence = seen.column(&column.name);
    let event_time = subject.is_event_time(&column.name);
    if event_time && kept {
        found.push(Generator::EventTime);
    }
    let stands_in = subject.growth.is_none_or(|growth| growth.event_time.is_none())
        && is_time
        && subject.follows_time(column, constants.follow_share);
    if subject.kept.is_some() && (event_time || stands_in) && kept {
        found.push(Generator::Retention);
    }
    if evidence.ranges {
        found.push(Generator::RangePredicate);
    }
    if is_time && evidence.values {
        found.push(Generator::EqualityPredicate);
    }
    let correlation = subject.statistics(&column.name).and_then(|found| found.correlation).unwrap_or(0.0);
    let used = evidence.values || evidence.joins || evidence.ordered;
    if !is_time && used && correlation.abs() >= constants.range_correlation {
        found.push(Generator::Correlation);
    }
    let time = id::followed(subject, column, constants).filter(|_| kept).map(|time| time.name.clone());
    if time.is_some() {
        found.push(Generator::FollowsTime);
    }
    (found, time)
}

fn lists(input: &ProposalInput, subject: &Subject, seen: &Seen, column: &Column) -> Vec<Generator> {
    let evidence = seen.column(&column.name);
    let used = evidence.values || evidence.ranges || evidence.joins || evidence.groups;
    if !used || !list::is_covered(subject, column, input.constants) {
        return Vec::new();
    }
    let heavy = !list::heavy(subject, column, input.constants).is_empty();
    let all = [
        (evidence.ranges, Generator::RangePredicate),
        (evidence.values, Generator::EqualityPredicate),
        (evidence.joins, Generator::Join),
        (evidence.groups, Generator::GroupBy),
        (heavy, Generator::HeavyValues),
    ];
    all.into_iter().filter(|(is, _)| *is).map(|(_, generator)| generator).collect()
}

fn hashes(subject: &Subject, seen: &Seen, column: &Column) -> Vec<Generator> {
    if subject.traffic.assumed {
        return Vec::new();
    }
    let evidence = seen.column(&column.name);
    let all = [
        (evidence.hashed, Generator::EqualityPredicate),
        (evidence.joins, Generator::Join),
        (evidence.primary_key, Generator::PrimaryKey),
        (evidence.foreign_key, Generator::ForeignKey),
        (evidence.groups, Generator::GroupBy),
        (evidence.path, Generator::ForeignKeyPath),
    ];
    all.into_iter().filter(|(is, _)| *is).map(|(_, generator)| generator).collect()
}
