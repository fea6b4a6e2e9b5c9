//! What PostgreSQL's planner made of a proposal, and whether that speaks
//! against it.
//!
//! ```text
//! statements that weigh (`weighty`) ─→ layouts of few shards (`represent`)
//!     ─→ sizes and statistics (`suppose`), values (`draw`) ─→ (pg::what_if)
//!     ─→ Evidence ─→ objection
//! ```
//!
//! Not here: the planning itself. Invariant: the same plans give the same
//! evidence, and values depend on the profile alone.

pub mod batch;
mod by_shard;
pub mod draw;
mod integers;
pub mod referred;
pub mod represent;
pub mod suppose;

use serde::Deserialize;
use serde::Serialize;

use crate::model::access::Analysis;
use crate::model::name::QualifiedName;
use crate::model::what_if::NotPlanned;
use crate::model::what_if::Planned;
use crate::model::what_if::Touched;
use crate::planning::proposal::CostConstants;
use crate::planning::workload::AnalyzedWorkload;

pub use crate::planning::proposal::evidence::by_shard::ByShard;
pub use crate::planning::proposal::evidence::by_shard::could_go_by_shard;
pub use crate::planning::proposal::evidence::by_shard::forgone;

/// One statement on one table, as it is and as it would be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub queryid: i64,
    pub statement: String,
    pub calls: f64,
    pub exec_ms: f64,
    /// None if the planner did not take the statement.
    pub before: Option<Side>,
    pub after: Option<Side>,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A statement under one layout, means for one execution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// Shards that are looked at; one for a table that is whole.
    pub shards: f64,
    /// Shards that the planner does not prune.
    pub planned: f64,
    /// Rows that are looked at.
    pub rows: f64,
    /// The planner's cost of the whole statement.
    pub cost: f64,
}

impl Side {
    fn of(planned: &Planned, relation: &QualifiedName) -> Self {
        let touched = planned.touched.get(relation).copied().unwrap_or_default();
        let Touched { shards, planned: kept, rows } = touched;
        Self { shards, planned: kept, rows, cost: planned.cost }
    }

    fn scaled(self, scale: impl Fn(f64) -> f64) -> Self {
        Self { shards: scale(self.shards), planned: scale(self.planned), ..self }
    }
}

impl Evidence {
    /// What the plans say of a table, as it is and as it would be; with each
    /// goes what turns shards that were planned into shards of the layout.
    #[must_use]
    pub fn of(
        statement: &crate::planning::workload::AnalyzedStatement,
        relation: &QualifiedName,
        (before, scale_before): (&Result<Planned, NotPlanned>, impl Fn(f64) -> f64),
        (after, scale_after): (&Result<Planned, NotPlanned>, impl Fn(f64) -> f64),
    ) -> Self {
        let error = match (before, after) {
            (Err(why), _) => Some(format!("Not planned as it is: {}.", sentence(&why.message))),
            (Ok(_), Err(why)) => Some(format!("ERROR {}: {}", why.sqlstate, why.message)),
            _ => None,
        };
        let before = before.as_ref().ok();
        Self {
            queryid: statement.queryid,
            statement: statement.query.clone(),
            calls: statement.calls,
            exec_ms: statement.exec_ms,
            before: before.map(|planned| Side::of(planned, relation).scaled(scale_before)),
            after: before
                .and(after.as_ref().ok())
                .map(|planned| Side::of(planned, relation).scaled(scale_after)),
            error,
        }
    }

    /// In place of evidence: why there is none.
    #[must_use]
    pub const fn none(why: String) -> Self {
        let statement = String::new();
        Self { queryid: 0, statement, calls: 0.0, exec_ms: 0.0, before: None, after: None, error: Some(why) }
    }

    /// Whether it is planned today and would be no more.
    const fn breaks(&self) -> bool {
        self.before.is_some() && self.after.is_none()
    }
}

fn sentence(message: &str) -> &str {
    message.trim_end_matches('.')
}

/// The statements, by their numbers, that mention one of `relations` and
/// together make up most of the time of those that do, the weightiest first;
/// and those that a unique key of theirs could fail, however rare.
#[must_use]
pub fn weighty(
    workload: &AnalyzedWorkload,
    relations: &[&QualifiedName],
    constants: &CostConstants,
) -> Vec<usize> {
    let mentions = |analysis: &Analysis| match analysis {
        Analysis::Facts(facts) => facts.mentions.iter().any(|mention| relations.contains(&&mention.relation)),
        Analysis::Refused { .. } => false,
    };
    let statements = workload.statements.iter().enumerate();
    let on_them: Vec<_> = statements.filter(|(_, statement)| mentions(&statement.analysis)).collect();
    let timed = on_them.iter().any(|(_, statement)| statement.exec_ms > 0.0);
    let mut weights: Vec<(usize, f64)> = on_them
        .into_iter()
        .map(|(at, statement)| (at, if timed { statement.exec_ms } else { statement.calls }))
        .collect();
    // A stable sort keeps the order of those that weigh the same.
    weights.sort_by(|a, b| b.1.total_cmp(&a.1));
    let total: f64 = weights.iter().map(|weight| weight.1).sum();
    let mut covered = 0.0;
    let decides = |at: usize| match &workload.statements[at].analysis {
        Analysis::Facts(facts) => !facts.arbiters.is_empty(),
        Analysis::Refused { .. } => false,
    };
    let wanted = |(at, weight): &(usize, f64)| {
        let wanted = covered < total * constants.evidence_share || total <= 0.0;
        covered += weight;
        wanted || decides(*at)
    };
    let wanted: Vec<usize> = weights.into_iter().filter(wanted).map(|(at, _)| at).collect();
    wanted.into_iter().take(constants.evidence_statements_max).collect()
}

/// What the evidence of a table says against its layout, in full sentences;
/// none if nothing does.
#[must_use]
pub fn objection(evidence: &[Evidence], constants: &CostConstants) -> Option<String> {
    if let Some(failure) = failure(evidence) {
        return Some(failure);
    }
    let timed = evidence.iter().any(|one| one.exec_ms > 0.0);
    let weight = |one: &Evidence| if timed { one.exec_ms } else { one.calls };
    let total: f64 = evidence.iter().map(weight).sum();
    let hot = evidence.iter().filter(|one| total > 0.0 && weight(one) >= total * constants.hot_share);
    let worst = hot
        .filter_map(|one| Some((one, worsening(one, constants)?)))
        .filter(|(_, worse)| *worse > constants.worsening_max)
        .max_by(|a, b| a.1.total_cmp(&b.1));
    worst.and_then(|(one, worse)| {
        let (before, after) = (one.before?, one.after?);
        Some(format!(
            "Statement with queryid {}, {:.0} % of the time of the table's, would get {} worse: planner cost \
             {:.2} becomes {:.2}, on {:.0} shards.",
            one.queryid,
            100.0 * weight(one) / total,
            times(worse),
            before.cost,
            after.cost,
            after.shards
        ))
    })
}

/// The statement that is planned today and would fail, as a sentence. Whoever
/// sees a proposal need not be one who may read its statements: a number names
/// it.
#[must_use]
pub fn failure(evidence: &[Evidence]) -> Option<String> {
    let broken = evidence.iter().find(|one| one.breaks())?;
    let why = without_constants(broken.error.as_deref().unwrap_or_default());
    Some(format!("Statement with queryid {} would fail: {}.", broken.queryid, sentence(why)))
}

/// What PostgreSQL said, for those who may not read the statement: a message
/// about definitions as it is, of others, which may quote constants, no more
/// than the class.
#[must_use]
pub fn without_constants(error: &str) -> &str {
    const ABOUT_DEFINITIONS: [&str; 2] = ["ERROR 42", "ERROR 0A"];
    let whole = ABOUT_DEFINITIONS.iter().any(|class| error.starts_with(class));
    if whole { error } else { error.split(':').next().unwrap_or_default() }
}

/// By which share of its time a statement gets worse, planning of the shards
/// that are not pruned included.
fn worsening(one: &Evidence, constants: &CostConstants) -> Option<f64> {
    let (before, after) = (one.before?, one.after?);
    let measured = if one.calls > 0.0 { one.exec_ms / one.calls } else { 0.0 };
    // What a unit of cost takes follows from the time that the statement takes
    // today; else it is a page that is read.
    let unit_ms =
        if measured > 0.0 && before.cost > 0.0 { measured / before.cost } else { constants.page_read_ms };
    let planning = |shards: f64| constants.planning_ms(shards, false);
    let total = |side: Side| side.cost * unit_ms + planning(side.planned);
    (total(before) > 0.0).then(|| total(after) / total(before) - 1.0)
}

/// `1.4 times` or `15 %`.
fn times(worse: f64) -> String {
    if worse >= 1.0 { format!("{:.1} times", 1.0 + worse) } else { format!("{:.0} %", worse * 100.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access::Mention;
    use crate::model::access::StatementFacts;
    use crate::planning::workload::AnalyzedStatement;

    fn side(cost: f64, planned: f64) -> Side {
        Side { shards: planned, planned, rows: 1.0, cost }
    }

    fn evidence(exec_ms: f64, before: Option<Side>, after: Option<Side>) -> Evidence {
        Evidence {
            queryid: 1,
            statement: "SELECT 1".to_owned(),
            calls: 100.0,
            exec_ms,
            before,
            after,
            error: after.is_none().then(|| "ERROR 42P10: no".to_owned()),
        }
    }

    #[test]
    fn a_hot_statement_that_gets_worse_is_an_objection() {
        let constants = CostConstants::default();
        let good = evidence(1e6, Some(side(100.0, 1.0)), Some(side(10.0, 1.0)));
        assert_eq!(objection(std::slice::from_ref(&good), &constants), None);
        let worse = evidence(1e5, Some(side(100.0, 1.0)), Some(side(125.0, 8.0)));
        let told = objection(&[good.clone(), worse], &constants).unwrap();
        assert!(
            told.contains("would get 25 % worse: planner cost 100.00 becomes 125.00, on 8 shards."),
            "{told}"
        );
        // One that hardly weighs is none, nor one within the tolerance.
        let cold = evidence(100.0, Some(side(100.0, 1.0)), Some(side(900.0, 8.0)));
        let little = evidence(1e5, Some(side(100.0, 1.0)), Some(side(105.0, 2.0)));
        assert_eq!(objection(&[good, cold, little], &constants), None);
        assert_eq!(objection(&[], &constants), None);
    }

    #[test]
    fn planning_of_many_shards_counts() {
        let constants = CostConstants::default();
        // A tenth of a millisecond each; planning 1,024 shards takes 46.
        let one = evidence(10.0, Some(side(10.0, 1.0)), Some(side(10.0, 1024.0)));
        assert!(objection(&[one], &constants).unwrap().contains("times worse"));
    }

    #[test]
    fn a_statement_that_fails_is_an_objection_however_rare() {
        let constants = CostConstants::default();
        let good = evidence(1e9, Some(side(100.0, 1.0)), Some(side(10.0, 1.0)));
        let broken = evidence(1.0, Some(side(1.0, 1.0)), None);
        let told = objection(&[good, broken], &constants).unwrap();
        assert_eq!(told, "Statement with queryid 1 would fail: ERROR 42P10: no.");
        // What may quote a constant is not told.
        let broken = Evidence {
            error: Some("ERROR 22P02: invalid input syntax for type date: \"secret\"".to_owned()),
            ..evidence(1.0, Some(side(1.0, 1.0)), None)
        };
        assert_eq!(
            objection(&[broken], &constants).unwrap(),
            "Statement with queryid 1 would fail: ERROR 22P02."
        );
        // One that is not planned today says nothing.
        assert_eq!(objection(&[evidence(1e9, None, None)], &constants), None);
    }

    #[test]
    fn statements_that_make_up_the_time_are_taken() {
        let name = QualifiedName::new("app", "t");
        let statement = |exec_ms: f64, relation: &QualifiedName| AnalyzedStatement {
            queryid: 1,
            query: String::new(),
            calls: 1.0,
            exec_ms,
            rows: 0.0,
            analysis: Analysis::Facts(StatementFacts {
                mentions: vec![Mention { relation: relation.clone(), accesses: Vec::new() }],
                ..StatementFacts::default()
            }),
        };
        let other = QualifiedName::new("app", "u");
        let workload = AnalyzedWorkload {
            seconds: None,
            statements: vec![
                statement(4.0, &name),
                statement(1000.0, &other),
                statement(90.0, &name),
                statement(6.0, &name),
            ],
        };
        let constants = CostConstants::default();
        assert_eq!(weighty(&workload, &[&name], &constants), [2, 3]);
        assert_eq!(weighty(&workload, &[&name, &other], &constants), [1, 2]);
        let few = CostConstants { evidence_statements_max: 1, ..constants };
        assert_eq!(weighty(&workload, &[&name], &few), [2]);
    }
}
