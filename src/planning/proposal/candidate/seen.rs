//! What was seen of each column of a table.
//!
//! Statements that take next to none of a table's time suggest nothing. What
//! is only supposed, without a workload, counts as nothing seen. Invariant:
//! weights are finite.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::model::key::Strategy;
use crate::model::profile::ConstraintKind;
use crate::model::profile::Table;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::traffic::Use;
use crate::planning::proposal::traffic::Window;

/// Foreign keys in a chain that leads to a table whose columns count.
const PATH_MAX: usize = 3;

/// What speaks for a column as a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Values that prune ranges and lists.
    pub values: bool,
    /// Values that prune hash shards.
    pub hashed: bool,
    pub ranges: bool,
    pub joins: bool,
    pub groups: bool,
    pub ordered: bool,
    pub primary_key: bool,
    pub foreign_key: bool,
    /// A table that foreign keys lead to has it too, as a key.
    pub path: bool,
}

/// Evidence for all columns.
#[derive(Debug)]
pub struct Seen<'a> {
    subject: &'a Subject<'a>,
    evidence: BTreeMap<String, Evidence>,
    weights: BTreeMap<String, f64>,
    /// Weight from which a statement suggests a key.
    enough: f64,
    /// Weight from which a column is worth to be one of two.
    enough_for_two: f64,
    rewritten_share: f64,
}

impl<'a> Seen<'a> {
    pub fn of(input: &ProposalInput, subject: &'a Subject<'a>) -> Self {
        let uses = &subject.traffic.uses;
        let total: f64 = uses.iter().map(|one| one.weight).sum();
        let mut seen = Self {
            subject,
            evidence: BTreeMap::new(),
            weights: BTreeMap::new(),
            enough: total * input.constants.suggesting_share,
            enough_for_two: total * input.constants.pair_share,
            rewritten_share: input.constants.rewritten_share,
        };
        seen.weigh();
        if !subject.traffic.assumed {
            seen.read_uses();
        }
        for (kind, is_primary) in [(ConstraintKind::PrimaryKey, true), (ConstraintKind::ForeignKey, false)] {
            for constraint in subject.table.constraints.iter().filter(|found| found.kind == kind) {
                for column in &constraint.columns {
                    let evidence = seen.evidence.entry(column.clone()).or_default();
                    if is_primary { evidence.primary_key = true } else { evidence.foreign_key = true }
                }
            }
        }
        for column in path_columns(input, subject.table) {
            seen.evidence.entry(column).or_default().path = true;
        }
        seen
    }

    /// Weight of the uses that narrow or join by each column.
    fn weigh(&mut self) {
        for one in &self.subject.traffic.uses {
            for column in columns_of(one) {
                *self.weights.entry(column.to_owned()).or_default() += one.weight;
            }
        }
    }

    fn read_uses(&mut self) {
        for one in &self.subject.traffic.uses {
            for column in columns_of(one) {
                // Together the statements on a column have to be worth it.
                if self.weights.get(column).copied().unwrap_or(0.0) < self.enough {
                    continue;
                }
                let evidence = self.evidence.entry(column.to_owned()).or_default();
                if let Some(narrowing) = one.narrowings.get(column) {
                    let of_values = matches!(narrowing.window, Window::Values { .. } | Window::Null);
                    evidence.values |= of_values && narrowing.prunes(Strategy::List);
                    evidence.hashed |= of_values && narrowing.prunes(Strategy::Hash);
                    evidence.ranges |= !of_values && narrowing.prunes(Strategy::Range);
                }
                evidence.joins |= one.joins.iter().any(|join| join.0 == *column);
                evidence.groups |= one.groups.iter().any(|group| group == column);
                evidence.ordered |= one.walks.as_deref() == Some(column) && one.narrowings.is_empty();
            }
        }
    }

    pub fn column(&self, name: &str) -> Evidence {
        self.evidence.get(name).copied().unwrap_or_default()
    }

    pub fn weight(&self, name: &str) -> f64 {
        self.weights.get(name).copied().unwrap_or(0.0)
    }

    /// Whether what has that weight suggests a key of two columns.
    pub fn suggests_two(&self, weight: f64) -> bool {
        weight >= self.enough_for_two
    }

    /// Whether it is known what statements do, or at least that the table is
    /// not rewritten: else nothing is cut on suspicion.
    pub fn only_grows(&self) -> bool {
        let counters = &self.subject.table.counters;
        !self.subject.traffic.assumed
            || counters.updated + counters.deleted <= counters.inserted * self.rewritten_share
    }
}

/// Columns that a use narrows, joins, groups or orders by, each once.
fn columns_of(one: &Use) -> BTreeSet<&str> {
    let narrowed = one.narrowings.keys().map(String::as_str);
    let joined = one.joins.iter().map(|join| join.0.as_str());
    let others = one.groups.iter().map(String::as_str).chain(one.walks.as_deref());
    narrowed.chain(joined).chain(others).collect()
}

/// Columns of a table that a chain of foreign keys leads to as well: they are
/// part of a key there, and here under the same name and type.
fn path_columns(input: &ProposalInput, table: &Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut reached = BTreeSet::from([table.name()]);
    let mut at = vec![table];
    for _ in 0..PATH_MAX {
        let mut next = Vec::new();
        for constraint in at.iter().flat_map(|table| &table.constraints) {
            let Some(reference) = &constraint.references else { continue };
            if !reached.insert(reference.name()) {
                continue;
            }
            let Some(parent) = input.profile.table(&reference.name()) else { continue };
            found.extend(shared_keys(table, parent));
            next.push(parent);
        }
        at = next;
    }
    found
}

/// Columns of the keys of a parent that the table has too.
fn shared_keys(table: &Table, parent: &Table) -> Vec<String> {
    let keys = parent
        .constraints
        .iter()
        .filter(|found| matches!(found.kind, ConstraintKind::PrimaryKey | ConstraintKind::ForeignKey));
    let shared = |name: &&String| {
        let (here, there) = (table.column(name), parent.column(name));
        matches!((here, there), (Some(a), Some(b)) if a.type_name == b.type_name)
    };
    // Every table has an id of its own under that name.
    let own = |name: &&String| {
        let mut keys = table.constraints.iter().filter(|found| found.kind == ConstraintKind::PrimaryKey);
        keys.any(|key| key.columns.len() == 1 && key.columns[0] == **name)
    };
    keys.flat_map(|key| &key.columns).filter(shared).filter(|name| !own(name)).cloned().collect()
}
