//! The ways to cut one table that are worth weighing: each candidate with its
//! verdict, its division and its cost.
//!
//! Not here: which of them is taken (`choice`) and what other tables want
//! (`colocation`). Invariant: what can be laid out has a layout; what cannot
//! says why in a full sentence.

use crate::model::key::Strategy;
use crate::model::name::quote_identifier;
use crate::model::profile::Column;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::calendar::CalendarUnit;
use crate::planning::proposal::candidate::Candidate;
use crate::planning::proposal::candidate::candidates;
use crate::planning::proposal::cost::Cost;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::hash;
use crate::planning::proposal::legality::Rules;
use crate::planning::proposal::legality::Verdict;
use crate::planning::proposal::limits;
use crate::planning::proposal::range;
use crate::planning::proposal::range::RangePlan;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::touch::Pruning;
use crate::planning::proposal::traffic::Use;
use crate::planning::proposal::traffic::Window;

/// One candidate with its division and cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighed {
    /// None for the whole table.
    pub candidate: Option<Candidate>,
    pub division: Division,
    pub cost: Cost,
    pub verdict: Verdict,
    /// Why no shards could be laid out; `division` is then whole.
    pub impossible: Option<String>,
}

impl Weighed {
    pub fn legal(&self) -> bool {
        self.impossible.is_none() && self.verdict.obstacles.is_empty()
    }

    pub fn strategy(&self) -> Strategy {
        self.candidate.as_ref().map_or(Strategy::None, |candidate| candidate.strategy)
    }

    /// The leading column of the key; empty for the whole table.
    pub fn column(&self) -> &str {
        self.candidate.as_ref().map_or("", |candidate| candidate.key.leading())
    }
}

/// The whole table, as it is.
pub fn whole(input: &ProposalInput, subject: &Subject) -> Weighed {
    let division = Division::whole(subject.size.rows);
    Weighed {
        cost: Cost::of(input, subject, &division),
        candidate: None,
        division,
        verdict: Verdict::default(),
        impossible: None,
    }
}

/// Every way but the whole table, in the order of the candidates.
pub fn options(input: &ProposalInput, subject: &Subject) -> Vec<Weighed> {
    let rules = Rules::of(input);
    candidates(subject, input.constants)
        .into_iter()
        .filter_map(|candidate| weigh(input, subject, &rules, candidate))
        .collect()
}

fn weigh(input: &ProposalInput, subject: &Subject, rules: &Rules, candidate: Candidate) -> Option<Weighed> {
    let column = subject.table.column(candidate.key.leading())?;
    let verdict = rules.judge(subject, &candidate.key.columns(), candidate.strategy);
    let limit = shards_max(input, subject, &column.name, candidate.strategy);
    let divided = match candidate.strategy {
        Strategy::Range => best_range(input, subject, column, limit),
        _ => hash::modulus(input, subject, column, limit)
            .map(|modulus| hash::divide(input, subject, column, modulus)),
    };
    let (division, impossible) = match divided {
        Ok(division) if division.layout(subject).is_some() => (division, None),
        Ok(_) => {
            let reason = "A bound lies outside the calendar of the key's type.".to_owned();
            (Division::whole(subject.size.rows), Some(reason))
        }
        Err(reason) => (Division::whole(subject.size.rows), Some(reason)),
    };
    let cost = Cost::of(input, subject, &division);
    Some(Weighed { candidate: Some(candidate), division, cost, verdict, impossible })
}

/// The cheapest unit; among those almost as cheap, the coarsest.
fn best_range(
    input: &ProposalInput,
    subject: &Subject,
    column: &Column,
    limit: usize,
) -> Result<Division, String> {
    let plans = range::plans(subject, column, limit, input.constants)?;
    let mut priced: Vec<(f64, Division)> = plans
        .into_iter()
        .filter_map(|plan| range::divide(subject, column, plan, input.constants))
        .map(|division| (Cost::of(input, subject, &division).total(), division))
        .collect();
    let least = priced.iter().map(|(cost, _)| *cost).fold(f64::INFINITY, f64::min);
    let near = least * (1.0 + input.constants.unit_tolerance);
    let coarsest = priced.iter().rposition(|(cost, _)| *cost <= near);
    match coarsest {
        Some(at) => Ok(priced.swap_remove(at).1),
        None => Err(format!("Ranges of {} cannot be laid out.", quote_identifier(&column.name))),
    }
}

/// Most shards for a key: few if a hot statement cannot be pruned by it.
pub fn shards_max(input: &ProposalInput, subject: &Subject, column: &str, strategy: Strategy) -> usize {
    let constants = input.constants;
    let reads = || subject.traffic.uses.iter().filter(|one| one.reads);
    let calls: f64 = reads().map(|one| one.calls_per_second).sum();
    let pruned = |one: &Use| {
        one.narrowings.get(column).is_some_and(|narrowing| {
            narrowing.prunable
                && (strategy == Strategy::Range || matches!(narrowing.window, Window::Values { .. }))
        })
    };
    let unpruned = reads().any(|one| {
        !pruned(one) && one.calls_per_second > 0.0 && one.calls_per_second >= calls * constants.hot_share
    });
    let most = if unpruned { constants.shards_unpruned_max } else { constants.shards_pruned_max };
    let carried = limits::shards_max(input, subject, |one| one.reads && !pruned(one));
    most.min(carried).min(input.settings.shards_per_table_max)
}

/// Share of the rows that the reads of a table look at, by their weight.
pub fn rows_scanned_share(subject: &Subject, division: &Division) -> f64 {
    if subject.traffic.assumed {
        return 1.0;
    }
    let pruning = Pruning::of(division);
    let mut total = 0.0;
    let mut scanned = 0.0;
    for one in subject.traffic.uses.iter().filter(|one| one.reads) {
        total += one.weight;
        scanned += one.weight * pruning.touch(one).share;
    }
    if total > 0.0 { scanned / total } else { 1.0 }
}

/// Cuts a weighed candidate anew by another plan, as a group wants it.
pub fn replanned(
    input: &ProposalInput,
    subject: &Subject,
    weighed: &Weighed,
    wanted: Wanted,
) -> Option<Weighed> {
    let column = subject.table.column(weighed.column())?;
    let limit = shards_max(input, subject, &column.name, weighed.strategy());
    let division = match wanted {
        Wanted::Modulus(modulus) if modulus as usize <= limit => {
            hash::divide(input, subject, column, modulus)
        }
        Wanted::Range(plan) if range::within(&plan, limit) => {
            range::divide(subject, column, plan, input.constants)?
        }
        Wanted::Modulus(_) | Wanted::Range(_) => return None,
    };
    let cost = Cost::of(input, subject, &division);
    Some(Weighed { division, cost, ..weighed.clone() })
}

/// What a group wants of each of its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Modulus(u32),
    Range(RangePlan),
}

/// Unit and ends of a range division.
pub fn range_plan(division: &Division) -> Option<RangePlan> {
    match &division.cells {
        Cells::Range { unit, edges, .. } => {
            let unit: CalendarUnit = (*unit)?;
            Some(RangePlan { unit, first: *edges.first()?, end: *edges.last()? })
        }
        Cells::Whole | Cells::Hash { .. } => None,
    }
}
