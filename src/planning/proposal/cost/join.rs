//! Joins by hash: rows hashed, and what of them memory cannot hold.
//!
//! A join hashes the smaller side. If that is larger than the server lets a
//! hash table be, the excess share of *both* sides is written to disk and read
//! back. A nested loop hashes nothing. Not here: planning of joins
//! (`constants`), and what two tables gain together (`gain`).

use std::collections::BTreeMap;

use crate::model::access::AccessKind;
use crate::model::access::Analysis;
use crate::model::access::Mention;
use crate::model::profile::Table;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::traffic::Use;

/// What enters a join from one side, once its own predicates are applied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Side {
    pub rows: f64,
    /// Bytes of these rows as they are stored: an upper estimate, as a join
    /// carries only the columns that the statement needs.
    pub bytes: f64,
}

impl Side {
    pub fn of(subject: &Subject, one: &Use) -> Self {
        let left: f64 = one.narrowings.values().map(|found| found.selectivity).product();
        let share = left.clamp(0.0, 1.0);
        Self { rows: subject.size.rows * share, bytes: subject.size.bytes * subject.size.heap_share * share }
    }

    /// The other side of a join, of which only the profile is known.
    fn other(input: &ProposalInput, table: &Table, mention: &Mention) -> Self {
        let share = filtered(input, table, mention);
        Self { rows: table.rows * share, bytes: (table.heap_bytes + table.toast_bytes) * share }
    }
}

/// Share of a table's rows that the predicates of a mention leave.
fn filtered(input: &ProposalInput, table: &Table, mention: &Mention) -> f64 {
    let constants = input.constants;
    let mut columns = BTreeMap::new();
    for access in mention.accesses.iter().filter(|access| access.columns.len() == 1) {
        let column = access.columns[0].as_str();
        let distinct = || {
            let found = table.column(column).and_then(|found| found.statistics.as_ref());
            let found = found.map_or(0.0, |found| found.distinct_values(table.rows));
            if found > 0.0 { found } else { constants.distinct_values }
        };
        let left = match access.kind {
            AccessKind::Equality => 1.0 / distinct(),
            AccessKind::InList => constants.in_list_values / distinct(),
            AccessKind::Range if access.lower && access.upper => constants.window_share,
            AccessKind::Range => constants.half_open_share,
            AccessKind::Prefix => constants.prefix_share,
            _ => continue,
        };
        let least = columns.entry(column).or_insert(1.0_f64);
        *least = least.min(left);
    }
    columns.values().product::<f64>().clamp(0.0, 1.0)
}

/// Share of a hash table's bytes that `parts` of them together cannot hold.
pub fn excess(input: &ProposalInput, bytes: f64, parts: f64) -> f64 {
    let held = input.server.hash_mem_bytes * parts.max(1.0);
    if bytes > held { 1.0 - held / bytes } else { 0.0 }
}

/// Milliseconds to write bytes to a temporary file and to read them back.
pub fn spilled_ms(input: &ProposalInput, bytes: f64) -> f64 {
    2.0 * bytes / input.constants.page_bytes * input.constants.page_read_ms
}

/// This table's part of the hash joins of its statements, milliseconds per
/// second.
pub fn joins(input: &ProposalInput, subject: &Subject) -> f64 {
    let uses = subject.traffic.uses.iter().filter(|one| one.reads && hashes(one));
    let each = uses.map(|one| {
        let mine = Side::of(subject, one);
        let others = others(input, subject, one);
        let least = others.iter().map(|side| side.bytes).fold(f64::INFINITY, f64::min);
        if !least.is_finite() {
            return 0.0;
        }
        let hashed = mine.bytes.min(least);
        let spilled = spilled_ms(input, mine.bytes * excess(input, hashed, 1.0));
        one.calls_per_second * (mine.rows * input.constants.hash_row_ms + spilled)
    });
    // The sum of nothing is minus zero, which does not survive JSON.
    each.fold(0.0, |sum, one| sum + one)
}

/// Whether a join of this use would hash its rows: not if they are looked up
/// one by one.
pub fn hashes(one: &Use) -> bool {
    !one.joins.is_empty() && !one.narrowings.values().any(|narrowing| narrowing.at_run_time)
}

/// The tables that a use is joined with.
fn others(input: &ProposalInput, subject: &Subject, one: &Use) -> Vec<Side> {
    let Some(place) = one.place else { return Vec::new() };
    let Some(Analysis::Facts(facts)) =
        input.workload.statements.get(place.0).map(|statement| &statement.analysis)
    else {
        return Vec::new();
    };
    let mentions = facts.mentions.iter().enumerate().filter(|(at, mention)| {
        *at != place.1 && one.joins.iter().any(|(_, other, _)| *other == mention.relation)
    });
    mentions
        .filter_map(|(_, mention)| match input.profile.table(&mention.relation) {
            Some(table) => Some(Side::other(input, table, mention)),
            None if mention.relation == subject.name => Some(Side::of(subject, one)),
            None => None,
        })
        .collect()
}
