//! The ways to cut one table that are worth weighing: each candidate with its
//! verdict, its division and its cost.
//!
//! Not here: which of them is taken (`choice`) and what other tables want
//! (`colocation`). Invariant: what can be laid out has a layout; what cannot
//! says why in a full sentence.

use crate::model::key::Strategy;
use crate::model::layout::Layout;
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
use crate::planning::proposal::key::KeyColumn;
use crate::planning::proposal::key::ShardKey;
use crate::planning::proposal::legality::Rules;
use crate::planning::proposal::legality::Verdict;
use crate::planning::proposal::limits;
use crate::planning::proposal::list;
use crate::planning::proposal::range;
use crate::planning::proposal::range::RangePlan;
use crate::planning::proposal::range::id;
use crate::planning::proposal::range::pair;
use crate::planning::proposal::range::quantile;
use crate::planning::proposal::search::Interrupted;
use crate::planning::proposal::search::Stop;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::touch::Pruning;
use crate::planning::proposal::traffic::Use;
use crate::planning::proposal::two_level;

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
    /// The layout of a way that is there, or was proposed before, with the rows
    /// of today.
    pub existing: Option<Layout>,
}

impl Weighed {
    pub fn legal(&self) -> bool {
        self.impossible.is_none() && self.verdict.obstacles.is_empty()
    }

    pub fn strategy(&self) -> Strategy {
        self.candidate.as_ref().map_or(Strategy::None, |candidate| candidate.strategy)
    }

    /// The layout, with the names that it has already or is to get.
    pub fn layout(&self, subject: &Subject) -> Option<Layout> {
        self.existing.clone().or_else(|| self.division.layout(subject))
    }

    /// Shards with DEFAULT; 1 for the whole table.
    pub fn shard_count(&self) -> usize {
        self.existing.as_ref().map_or_else(|| self.division.shard_count(), |layout| layout.shards().len())
    }

    /// The column of a key of one level and one column; else empty.
    pub fn column(&self) -> &str {
        self.candidate.as_ref().and_then(|candidate| candidate.key.single()).unwrap_or("")
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
        existing: None,
    }
}

/// Every way but the whole table: by candidates, the most used first; of each
/// candidate first the way that suits the table alone, then the others that
/// tables may agree on, by their number of shards.
///
/// # Errors
/// [`Interrupted`] if `stop` said so.
pub fn options(
    input: &ProposalInput,
    subject: &Subject,
    stop: Stop<'_>,
) -> Result<Vec<Weighed>, Interrupted> {
    let rules = Rules::of(input);
    let mut found = Vec::new();
    for candidate in candidates(input, subject) {
        found.extend(weigh(input, subject, &rules, candidate, stop)?);
    }
    Ok(found)
}

fn weigh(
    input: &ProposalInput,
    subject: &Subject,
    rules: &Rules,
    candidate: Candidate,
    stop: Stop<'_>,
) -> Result<Vec<Weighed>, Interrupted> {
    let mut verdict = rules.judge(subject, &candidate.key.columns(), candidate.strategy);
    verdict.warnings.extend(replaces_partitions(subject));
    if let Some(time) = &candidate.stands_for {
        let (id, time) = (quote_identifier(candidate.key.leading()), quote_identifier(time));
        verdict.warnings.push(format!(
            "Ranges of {id} stand for units of {time}, as far as {id} ascends with it: before a shard is \
             dropped by age, its greatest {time} has to be looked at."
        ));
    }
    let limit = shards_max(input, subject, &candidate.key, candidate.strategy);
    // What takes long is to go through all statements, once for each division.
    let weighed = |division: Division, impossible: Option<String>| {
        if stop() {
            return Err(Interrupted);
        }
        Ok(Weighed {
            cost: Cost::of(input, subject, &division),
            candidate: Some(candidate.clone()),
            division,
            verdict: verdict.clone(),
            impossible,
            existing: None,
        })
    };
    let whole = || Division::whole(subject.size.rows);
    let divided = match divisions(input, subject, &candidate, limit) {
        Ok(divided) => divided,
        Err(reason) => return Ok(vec![weighed(whole(), Some(reason))?]),
    };
    let writable = divided.into_iter().filter(|division| division.is_writable());
    let mut found: Vec<Weighed> =
        writable.map(|division| weighed(division, None)).collect::<Result<_, _>>()?;
    if found.is_empty() {
        let reason = "A bound lies outside the calendar of the key's type.".to_owned();
        return Ok(vec![weighed(whole(), Some(reason))?]);
    }
    if candidate.strategy == Strategy::RangeHash || is_of_calendar(&candidate) {
        let whole = weighed(whole(), None)?.cost.total();
        cheapest_first(input, whole, &mut found);
    }
    found[1..].sort_by_key(|one| one.division.shard_count());
    Ok(found)
}

/// What another way than the present one would do.
pub fn replaces_partitions(subject: &Subject) -> Option<String> {
    let present = subject.table.partition_key.as_ref()?;
    Some(format!("The table is partitioned by {present} today: the shards would replace its partitions."))
}

fn is_of_calendar(candidate: &Candidate) -> bool {
    let is_time = || candidate.key.first.first().is_some_and(|column| column.key_type.is_time());
    candidate.strategy == Strategy::Range && (candidate.stands_for.is_some() || is_time())
}

/// The ways to cut by a candidate's key.
fn divisions(
    input: &ProposalInput,
    subject: &Subject,
    candidate: &Candidate,
    limit: usize,
) -> Result<Vec<Division>, String> {
    let constants = input.constants;
    let columns = |key: &[KeyColumn]| -> Vec<&Column> {
        key.iter().filter_map(|column| subject.table.column(&column.name)).collect()
    };
    let (first, second) = (columns(&candidate.key.first), columns(&candidate.key.second));
    let time = candidate.stands_for.as_ref().and_then(|name| subject.table.column(name));
    match (candidate.strategy, first.as_slice(), second.as_slice()) {
        (Strategy::Range, [column], []) => match time {
            Some(time) => id::divisions(subject, column, time, limit, constants),
            None if column.type_name.key_type().is_time() => {
                range::divisions(subject, column, limit, constants)
            }
            None => quantile::divisions(subject, column, limit, constants),
        },
        (Strategy::Range, [first, second], []) => pair::divisions(subject, first, second, limit, constants),
        (Strategy::List, [column], []) => list::divisions(subject, column, limit, constants),
        (Strategy::Hash, columns, []) => hash::divisions(input, subject, columns, limit),
        (Strategy::RangeHash, [time], [column]) => {
            // Of ranges that cannot be pruned one shard each is planned.
            let first = ShardKey { second: Vec::new(), ..candidate.key.clone() };
            let ranges = shards_max(input, subject, &first, Strategy::Range);
            two_level::ranges_hashed(input, subject, (time, ranges), column, limit)
        }
        (Strategy::ListHash, [column], [other]) => {
            let other = Some(*other).filter(|other| other.name != column.name);
            two_level::lists_hashed(input, subject, column, other, limit)
        }
        _ => Err("Such a key is not laid out.".to_owned()),
    }
}

/// Puts the cheapest first; among those that cost almost as little and save
/// almost as much of what the whole table costs, the one with the fewest shards.
fn cheapest_first(input: &ProposalInput, whole_cost: f64, found: &mut [Weighed]) {
    let cost = |one: &Weighed| one.cost.total();
    let least = found.iter().map(cost).fold(f64::INFINITY, f64::min);
    let saved = (whole_cost - least).max(0.0);
    let constants = input.constants;
    let near = least + (least * constants.unit_tolerance).min(saved * constants.unit_saving_tolerance);
    let places = (0..found.len()).filter(|at| cost(&found[*at]) <= near);
    let best = places.min_by(|a, b| {
        let (a, b) = (&found[*a], &found[*b]);
        a.division.shard_count().cmp(&b.division.shard_count()).then(cost(a).total_cmp(&cost(b)))
    });
    if let Some(best) = best {
        found[..=best].rotate_right(1);
    }
}

/// Most shards for a key: few if a hot statement cannot be pruned by it.
pub fn shards_max(input: &ProposalInput, subject: &Subject, key: &ShardKey, strategy: Strategy) -> usize {
    let constants = input.constants;
    let reads = || subject.traffic.uses.iter().filter(|one| one.reads);
    let calls: f64 = reads().map(|one| one.calls_per_second).sum();
    let pruned = |one: &Use| {
        let pruned_by = |column: &KeyColumn, strategy| {
            one.narrowings.get(&column.name).is_some_and(|narrowing| narrowing.prunes(strategy))
        };
        let first = match strategy {
            Strategy::Hash => key.first.iter().all(|column| pruned_by(column, Strategy::Hash)),
            _ => key.first.iter().take(1).any(|column| pruned_by(column, strategy)),
        };
        first || key.second.iter().any(|column| pruned_by(column, Strategy::Hash))
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
    let limit = shards_max(input, subject, &weighed.division.key, weighed.strategy());
    let division = match wanted {
        Wanted::Modulus(modulus) if modulus as usize <= limit => {
            hash::divide(input, subject, &[column], modulus)
        }
        Wanted::Range(plan) if range::within(&plan, limit) => {
            range::divide(subject, column, plan, input.constants)?
        }
        Wanted::Modulus(_) | Wanted::Range(_) => return None,
    };
    let cost = Cost::of(input, subject, &division);
    Some(Weighed { division, cost, existing: None, ..weighed.clone() })
}

/// What a group wants of each of its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Modulus(u32),
    Range(RangePlan),
}

/// Unit and ends of a range division, as far as it is there.
pub fn range_plan(division: &Division) -> Option<RangePlan> {
    match &division.cells {
        Cells::Range { unit, edges, .. } => {
            let unit: CalendarUnit = (*unit)?;
            let count = edges.len().checked_sub(1 + division.to_come)?;
            // Ids that stand for moments have none of their own.
            let (first, end) = (edges.first()?.micros()?, edges.get(count)?.micros()?);
            // What someone made need not follow the calendar all along.
            let regular = unit.add(first, count as i64) == Some(end);
            regular.then_some(RangePlan { unit, first, end })
        }
        Cells::Spans { .. } | Cells::Whole | Cells::List { .. } | Cells::Hash { .. } => None,
    }
}
