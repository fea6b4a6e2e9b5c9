//! Aggregates by hash: groups that memory does not hold go to disk with their
//! rows and come back.
//!
//! Grouped by the whole shard key, and if the server aggregates shard by
//! shard (`enable_partitionwise_aggregate`), each hash table holds the groups
//! of one shard. Where it does not, the gain is no part of the cost and can be
//! named. Invariant: a gain is not negative.

use crate::model::access::AccessKind;
use crate::model::access::Analysis;
use crate::model::access::Mention;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::cost::join::excess;
use crate::planning::proposal::cost::join::spilled_ms;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::touch::Pruning;
use crate::planning::proposal::traffic::Use;

/// Milliseconds per second, as the server is set.
pub fn aggregates(input: &ProposalInput, subject: &Subject, division: &Division) -> f64 {
    let by_shard = input.server.partitionwise_aggregate;
    each(input, subject, division, |whole, divided| if by_shard { divided } else { whole })
}

/// Milliseconds per second that aggregating shard by shard would save.
pub fn aggregate_gain_possible(input: &ProposalInput, subject: &Subject, division: &Division) -> f64 {
    each(input, subject, division, |whole, divided| (whole - divided).max(0.0))
}

/// The sum of `measure(whole, divided)` over the statements that group.
fn each(
    input: &ProposalInput,
    subject: &Subject,
    division: &Division,
    measure: impl Fn(f64, f64) -> f64,
) -> f64 {
    let key = division.key.columns();
    let pruning = Pruning::of(division);
    let mut sum = 0.0;
    for one in subject.traffic.uses.iter().filter(|one| one.reads && one.calls_per_second > 0.0) {
        let Some(columns) = mention(input, one).and_then(grouped_by) else { continue };
        let share: f64 = one.narrowings.values().map(|found| found.selectivity).product();
        let rows = subject.size.rows * share.clamp(0.0, 1.0);
        let groups: f64 =
            columns.iter().map(|column| subject.distinct(column, input.constants.distinct_values)).product();
        let groups = groups.min(rows);
        let width = |column: &String| subject.statistics(column).map_or(0.0, |found| found.width.max(0.0));
        let bytes = groups * (input.constants.group_bytes + columns.iter().map(width).sum::<f64>());
        let read = subject.size.bytes * subject.size.heap_share * share.clamp(0.0, 1.0);
        let spilled = |parts| spilled_ms(input, read * excess(input, bytes, parts));
        let whole = spilled(1.0);
        let by_key = !key.is_empty() && key.iter().all(|column| columns.contains(column));
        let divided =
            if by_key { spilled(pruning.touch(one).share / division.concentration()) } else { whole };
        sum += one.calls_per_second * measure(whole, divided);
    }
    sum
}

fn mention<'a>(input: &'a ProposalInput, one: &Use) -> Option<&'a Mention> {
    let (statement, mention) = one.place?;
    match &input.workload.statements.get(statement)?.analysis {
        Analysis::Facts(facts) => facts.mentions.get(mention),
        Analysis::Refused { .. } => None,
    }
}

/// The columns of the first grouping.
fn grouped_by(mention: &Mention) -> Option<&[String]> {
    let found = mention.accesses.iter().find(|access| access.kind == AccessKind::GroupBy)?;
    Some(&found.columns)
}
