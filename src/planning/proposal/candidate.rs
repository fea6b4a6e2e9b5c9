//! Which keys are worth weighing for a table.
//!
//! A candidate comes from something that was seen: a predicate, a join, a
//! key, an event time. Not here: whether it is legal, or what it costs.
//! Invariant: every candidate's columns exist, are not generated, and have the
//! operator class that its strategy needs; at most `candidates_max` of them.

use serde::Deserialize;
use serde::Serialize;

use crate::model::key::Strategy;
use crate::model::profile::Column;
use crate::model::profile::ConstraintKind;
use crate::model::profile::TableKind;
use crate::planning::proposal::constants::CostConstants;
use crate::planning::proposal::key::ShardKey;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::traffic::Use;
use crate::planning::proposal::traffic::Window;

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
}

/// Why a table cannot be sharded at all; `None` if it can.
pub fn never_sharded(subject: &Subject) -> Option<String> {
    let table = subject.table;
    match table.kind {
        TableKind::Foreign => return Some("It is a foreign table: its rows are elsewhere.".to_owned()),
        TableKind::Partitioned => {
            let by = table.partition_key.as_ref().map_or(String::new(), |key| format!(" by {key}"));
            return Some(format!("It is already partitioned{by}."));
        }
        TableKind::Ordinary => {}
    }
    if table.extension {
        return Some("It belongs to an extension, which would not find it changed.".to_owned());
    }
    if table.inheritance {
        return Some("It has parents or children by inheritance; a partitioned table cannot.".to_owned());
    }
    None
}

/// The keys to weigh, the most used first.
pub fn candidates(subject: &Subject, constants: &CostConstants) -> Vec<Candidate> {
    let mut weighed: Vec<(f64, Candidate)> = Vec::new();
    for column in subject.table.columns.iter().filter(|column| !column.generated) {
        let key_type = column.type_name.key_type();
        let mut add = |strategy, generators: Vec<Generator>| {
            if !generators.is_empty() {
                let candidate = Candidate { strategy, key: ShardKey::of(column), generators };
                weighed.push((weight(subject, &column.name), candidate));
            }
        };
        if key_type.is_time() && column.orderable {
            add(Strategy::Range, time_generators(subject, column));
        }
        if column.hashable {
            add(Strategy::Hash, hash_generators(subject, column));
        }
    }
    // A stable sort: ties keep the order of columns.
    weighed.sort_by(|a, b| b.0.total_cmp(&a.0));
    weighed.truncate(constants.candidates_max);
    weighed.into_iter().map(|(_, candidate)| candidate).collect()
}

fn time_generators(subject: &Subject, column: &Column) -> Vec<Generator> {
    let mut found = Vec::new();
    if subject.is_event_time(&column.name) {
        found.push(Generator::EventTime);
    }
    if uses(subject, &column.name, |window| !matches!(window, Window::Values { .. })) {
        found.push(Generator::RangePredicate);
    }
    if uses(subject, &column.name, |window| matches!(window, Window::Values { .. })) {
        found.push(Generator::EqualityPredicate);
    }
    found
}

fn hash_generators(subject: &Subject, column: &Column) -> Vec<Generator> {
    let mut found = Vec::new();
    if uses(subject, &column.name, |window| matches!(window, Window::Values { .. })) {
        found.push(Generator::EqualityPredicate);
    }
    if subject.traffic.uses.iter().any(|one| joins_by(one, &column.name)) {
        found.push(Generator::Join);
    }
    for (kind, generator) in [
        (ConstraintKind::PrimaryKey, Generator::PrimaryKey),
        (ConstraintKind::ForeignKey, Generator::ForeignKey),
    ] {
        let constraints = subject.table.constraints.iter().filter(|constraint| constraint.kind == kind);
        if constraints.flat_map(|constraint| &constraint.columns).any(|name| *name == column.name) {
            found.push(generator);
        }
    }
    found
}

/// Whether statements narrow the column prunably by a fitting window. What is
/// only supposed, without a workload, counts as nothing seen.
fn uses(subject: &Subject, column: &str, fits: impl Fn(&Window) -> bool) -> bool {
    !subject.traffic.assumed
        && subject.traffic.uses.iter().any(|one| {
            one.narrowings.get(column).is_some_and(|narrowing| narrowing.prunable && fits(&narrowing.window))
        })
}

fn joins_by(one: &Use, column: &str) -> bool {
    one.joins.iter().any(|join| join.0 == column)
}

/// Weight of the uses that narrow or join by the column.
fn weight(subject: &Subject, column: &str) -> f64 {
    let uses = subject.traffic.uses.iter();
    uses.filter(|one| one.narrowings.contains_key(column) || joins_by(one, column))
        .map(|one| one.weight)
        .sum()
}
