//! Choices in words: reasons, warnings and confidence for people.
//!
//! Not here: decisions. Invariant: every number in a sentence is one that the
//! choice was made with, and has its unit beside it.

mod change;
pub mod words;

use crate::model::name::quote_identifier;
use crate::model::name::quote_identifiers;
use crate::model::settings::UniquePolicy;
use crate::planning::proposal::CandidateSummary;
use crate::planning::proposal::Confidence;
use crate::planning::proposal::CostTerm;
use crate::planning::proposal::Method;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::RelationProposal;
use crate::planning::proposal::SearchSummary;
use crate::planning::proposal::choice::Choice;
use crate::planning::proposal::choice::Whole;
use crate::planning::proposal::choice::disqualified;
use crate::planning::proposal::cost;
use crate::planning::proposal::cost::Cost;
use crate::planning::proposal::demand::Demand;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::explain::words::duration;
use crate::planning::proposal::explain::words::milliseconds;
use crate::planning::proposal::explain::words::percent;
use crate::planning::proposal::explain::words::rate;
use crate::planning::proposal::option::Weighed;
use crate::planning::proposal::option::rows_scanned_share;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::unknown;

pub use crate::planning::proposal::explain::words::bytes;
pub use crate::planning::proposal::explain::words::rounded;

/// The choice of a table as it is handed out.
pub fn relation_proposal(
    input: &ProposalInput,
    subject: &Subject,
    choice: Choice,
    group: Option<u32>,
    search: &SearchSummary,
) -> RelationProposal {
    let whole_cost = choice.whole_cost();
    let reason = reason(input, subject, &choice);
    let weighed_reason = match group {
        Some(_) => format!("{reason} {}", how_searched(search)),
        None => reason.clone(),
    };
    let candidates: Vec<CandidateSummary> = choice
        .weighed
        .iter()
        .zip(1_u32..)
        .map(|(weighed, rank)| summary(input, subject, weighed, rank, whole_cost))
        .map(|summary| match summary.rank {
            1 => CandidateSummary { reason: weighed_reason.clone(), ..summary },
            _ => summary,
        })
        .collect();
    let chosen = choice.chosen();
    let mut warnings = about_workload(input, subject, &choice);
    warnings.extend(unknown::table(subject).filter(|_| !matches!(choice.whole, Some(Whole::Never(_)))));
    warnings.extend(about_key(input, subject, chosen));
    warnings.extend(blocked(input, subject, &choice));
    if group.is_some() {
        warnings.push(
            "Joins inside the colocation group go shard by shard only with enable_partitionwise_join = on."
                .to_owned(),
        );
    }
    RelationProposal {
        relation: subject.name.clone(),
        strategy: chosen.strategy(),
        layout: chosen.layout(subject),
        colocation_group: group,
        rows_scanned_share: rounded(rows_scanned_share(subject, &chosen.division)),
        skew: rounded(chosen.division.skew()),
        bytes_at_horizon: subject.size.bytes.round(),
        confidence: confidence(input, subject),
        reason,
        warnings,
        candidates,
        evidence: Vec::new(),
    }
}

/// How sure it is that no other choice of the tables together is better.
fn how_searched(search: &SearchSummary) -> String {
    let how = match search.method {
        Method::Alone | Method::Elimination | Method::BranchAndBound => "an exact search",
        Method::LargeNeighborhoods => "a search of large neighbourhoods",
    };
    let tables = search.tables;
    if search.gap <= f64::EPSILON {
        format!("Chosen together with the other tables by {how} of {tables} tables: no choice costs less.")
    } else {
        format!(
            "Chosen together with the other tables by {how} of {tables} tables: no choice can cost less by \
             more than {}.",
            percent(search.gap)
        )
    }
}

fn summary(
    input: &ProposalInput,
    subject: &Subject,
    weighed: &Weighed,
    rank: u32,
    whole_cost: f64,
) -> CandidateSummary {
    let cost = weighed.cost.total();
    let share = cost_share(cost, whole_cost);
    let layout = weighed.layout(subject);
    CandidateSummary {
        rank,
        strategy: weighed.strategy(),
        shard_key: weighed.candidate.as_ref().map_or(Vec::new(), |candidate| candidate.key.columns()),
        shard_count: match weighed.impossible {
            Some(_) => 0,
            None => weighed.shard_count(),
        },
        cost: rounded(cost),
        cost_share: rounded(share),
        legal: weighed.legal(),
        reason: why_not(input, subject, weighed, share),
        generators: weighed.candidate.as_ref().map_or(Vec::new(), |candidate| candidate.generators.clone()),
        price: weighed.verdict.price.clone(),
        terms: terms(&weighed.cost),
        layout,
        rows_scanned_share: rounded(rows_scanned_share(subject, &weighed.division)),
        skew: rounded(weighed.division.skew()),
        warnings: about_key(input, subject, weighed),
    }
}

fn terms(cost: &Cost) -> Vec<CostTerm> {
    let terms = cost.terms().into_iter();
    terms.map(|term| CostTerm { value: rounded(term.value), ..term }).collect()
}

/// Of the cost of the whole table; 1 where that is zero.
pub fn cost_share(cost: f64, whole: f64) -> f64 {
    if whole > 0.0 { cost / whole } else { 1.0 }
}

/// The sentence of a candidate that was not chosen.
fn why_not(input: &ProposalInput, subject: &Subject, weighed: &Weighed, share: f64) -> String {
    let Some(candidate) = &weighed.candidate else {
        let (term, value) = largest_term(&weighed.cost);
        return format!(
            "The whole table costs {}, {} of it {term}.",
            rate(weighed.cost.total()),
            rate(value)
        );
    };
    let words: Vec<_> = candidate.generators.iter().map(|generator| generator.words()).collect();
    let from = format!("Suggested by {}.", words.join(", "));
    if let Some(impossible) = &weighed.impossible {
        return format!("{from} {impossible}");
    }
    let (term, value) = largest_term(&weighed.cost);
    let price = format!("It costs {} of the whole table, {} of it {term}.", percent(share), rate(value));
    let disqualified = disqualified(input, subject, weighed).unwrap_or_default().to_owned();
    let told: Vec<String> = [from, weighed.verdict.told(), disqualified, price]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    told.join(" ")
}

fn largest_term(cost: &Cost) -> (String, f64) {
    let terms = cost.terms();
    let largest = terms.into_iter().max_by(|a, b| a.value.total_cmp(&b.value));
    largest.map_or((String::new(), 0.0), |term| (term.name.replace('_', " "), term.value))
}

fn reason(input: &ProposalInput, subject: &Subject, choice: &Choice) -> String {
    let reason = match &choice.whole {
        Some(whole) => reason_whole(input, subject, choice, whole),
        None => reason_sharded(subject, choice),
    };
    match change::told(input, subject, choice) {
        Some(told) => format!("{told} {reason}"),
        None => reason,
    }
}

fn reason_whole(input: &ProposalInput, subject: &Subject, choice: &Choice, whole: &Whole) -> String {
    let constants = input.constants;
    let size = bytes(subject.size.bytes);
    let best = choice.weighed.get(1);
    match whole {
        Whole::Never(reason) | Whole::Partitioned(reason) => reason.clone(),
        Whole::NoKey if subject.traffic.assumed => format!(
            "{size} at the horizon: no usable key: without a workload only the event time of a table that grows is \
             taken for one."
        ),
        Whole::NoKey => format!(
            "{size} at the horizon: no usable key, as no column is an event time, part of a key, or one that \
             statements of {} of the time filter or join on.",
            percent(constants.suggesting_share)
        ),
        Whole::NoLegalKey => {
            let why = best.map_or(String::new(), |best| {
                let refused = best.impossible.clone().unwrap_or_else(|| best.verdict.told());
                format!(" The best, {}: {refused}", by(best))
            });
            format!("{size} at the horizon: no usable key.{why}")
        }
        Whole::Disqualified => {
            let why = best.map_or(String::new(), |best| {
                let reason = disqualified(input, subject, best).unwrap_or_default();
                format!(" The best, {}: {reason}", by(best))
            });
            format!("{size} at the horizon: no key that stood the test.{why}")
        }
        Whole::Limit => format!(
            "{size} at the horizon: presplit.max_shards_per_table is {}, and two shards are the fewest.",
            input.settings.shards_per_table_max
        ),
        Whole::Small => format!(
            "{size} at the horizon: too small for two shards of {}; a scan of it all costs {}.",
            bytes(constants.shard_bytes_min),
            milliseconds(cost::scan(input, subject, 1.0).total())
        ),
        Whole::NoGain => {
            let least = percent(constants.gain_min);
            let gain = best
                .filter(|best| best.legal())
                .map_or(0.0, |best| (1.0 - cost_share(best.cost.total(), choice.whole_cost())).max(0.0));
            let key = best.map_or(String::new(), by);
            format!(
                "{size} at the horizon: the best key, {key}, would save {} of the cost, which is less than {least}.",
                percent(gain)
            )
        }
    }
}

/// The columns of a key as a sentence shows them.
fn shown_key(weighed: &Weighed) -> String {
    let columns = weighed.candidate.as_ref().map_or(Vec::new(), |candidate| candidate.key.columns());
    quote_identifiers(&columns)
}

fn by(weighed: &Weighed) -> String {
    format!("{} by {}", weighed.strategy().word(), shown_key(weighed))
}

fn reason_sharded(subject: &Subject, choice: &Choice) -> String {
    let chosen = choice.chosen();
    let division = &chosen.division;
    let filtering = filtering(division);
    let columns = quote_identifiers(&filtering);
    let measure = if subject.traffic.weighed_by_time { "execution time" } else { "calls" };
    let filtered = subject
        .traffic
        .share_of_reads(|one| {
            let mut columns = filtering.iter().map(|column| one.narrowings.get(column));
            columns.all(|found| found.is_some_and(|found| found.prunable))
        })
        .filter(|share| !subject.traffic.assumed && *share > 0.0);
    let kind = kind(division);
    let largest = bytes(subject.size.bytes * division.largest_share());
    let shape = format!("{} shards of up to {largest} at the horizon", chosen.shard_count());
    let saved = format!(
        "They cost {} of the whole table, most of the difference in {}.",
        percent(cost_share(chosen.cost.total(), choice.whole_cost())),
        largest_saving(choice)
    );
    match filtered {
        Some(share) => format!(
            "{} of {measure} filters on {columns}; {kind} read {} of the rows; {shape}. {saved}",
            percent(share),
            percent(rows_scanned_share(subject, division))
        ),
        None => format!("No statement known filters on {columns}; {kind} by it: {shape}. {saved}"),
    }
}

/// The columns that a statement has to name for shards of the first level to
/// be pruned: all of a hash key, the leading one of another.
fn filtering(division: &Division) -> Vec<String> {
    match division.cells {
        Cells::Hash { .. } => division.key.first_names(),
        _ => division.key.first_names().into_iter().take(1).collect(),
    }
}

/// How a sentence names the shards.
fn kind(division: &Division) -> String {
    let first = match &division.cells {
        Cells::Range { unit: Some(unit), .. } => format!("{} ranges", unit.adjective()),
        Cells::Spans { .. } if division.key.first.len() > 1 => {
            let names: Vec<String> =
                division.key.first.iter().map(|one| quote_identifier(&one.name)).collect();
            format!("ranges, of which heavy values of {} are divided by {},", names[0], names[1..].join(", "))
        }
        Cells::Range { .. } | Cells::Spans { .. } => "ranges".to_owned(),
        Cells::List { .. } => "lists".to_owned(),
        _ => "hash shards".to_owned(),
    };
    let second: Vec<&String> = division.key.second.iter().map(|column| &column.name).collect();
    if second.is_empty() {
        first
    } else {
        format!("{first} divided by hash of {}", quote_identifiers(&second))
    }
}

/// The term in which the chosen key saves most.
fn largest_saving(choice: &Choice) -> String {
    let whole = choice.weighed.iter().find(|weighed| weighed.candidate.is_none());
    let Some(whole) = whole else { return String::new() };
    let pairs = whole.cost.terms().into_iter().zip(choice.chosen().cost.terms());
    let saved = pairs.max_by(|a, b| (a.0.value - a.1.value).total_cmp(&(b.0.value - b.1.value)));
    saved.map_or(String::new(), |(before, _)| before.name.replace('_', " "))
}

fn confidence(input: &ProposalInput, subject: &Subject) -> Confidence {
    let growth = subject.growth;
    let grows =
        subject.size.rows > subject.size.rows_past || subject.size.rows < growth.map_or(0.0, |g| g.rows_now);
    let stated = !subject.traffic.uses.is_empty() && !subject.traffic.assumed;
    let event_time = growth.is_some_and(|growth| growth.event_time.is_some());
    let sampled = || subject.table.columns.iter().any(|column| Demand::of(column, input.constants).is_some());
    if !stated || !grows || subject.size.declared {
        Confidence::Low
    } else if (event_time || sampled()) && subject.traffic.calls >= input.constants.calls_trusted {
        Confidence::High
    } else {
        Confidence::Medium
    }
}

fn about_workload(input: &ProposalInput, subject: &Subject, choice: &Choice) -> Vec<String> {
    if matches!(choice.whole, Some(Whole::Never(_))) {
        return Vec::new();
    }
    if subject.traffic.assumed {
        return vec![
            "There is no workload: look-ups by primary key and scans of recent rows are supposed.".to_owned(),
        ];
    }
    if subject.traffic.uses.is_empty() {
        return vec!["No statement of the workload mentions the table.".to_owned()];
    }
    if input.workload.seconds.is_none() && input.settings.peak_qps.is_none() {
        let hours = input.constants.workload_seconds / 3600.0;
        return vec![format!(
            "It is not known how long the statements were counted; {hours:.0} hours are supposed."
        )];
    }
    Vec::new()
}

/// What is to be known of a key.
fn about_key(input: &ProposalInput, subject: &Subject, weighed: &Weighed) -> Vec<String> {
    let Some(candidate) = &weighed.candidate else { return Vec::new() };
    let mut warnings: Vec<String> =
        disqualified(input, subject, weighed).map(str::to_owned).into_iter().collect();
    warnings.extend(weighed.verdict.warnings.iter().cloned());
    if weighed.impossible.is_some() {
        return warnings;
    }
    warnings.extend(cost::gain_forgone(input, subject, &weighed.division));
    let column = quote_identifier(candidate.key.leading());
    match &weighed.division.cells {
        Cells::Range { unit, .. } if unit.is_none() || candidate.stands_for.is_some() => {
            warnings.extend(about_default(subject, &weighed.division, candidate.key.leading()));
        }
        Cells::Range { follows, .. } => {
            warnings.extend(about_time(input, subject, &column, *follows));
            warnings.extend(about_default(subject, &weighed.division, candidate.key.leading()));
        }
        Cells::Spans { .. } => warnings.extend(about_default(subject, &weighed.division, &column)),
        Cells::Hash { .. } => warnings.extend(every_age(input, "Hash")),
        Cells::List { .. } => warnings.extend(every_age(input, "List")),
        Cells::Whole => {}
    }
    let hashed = match weighed.division.cells {
        Cells::Hash { .. } => &candidate.key.first,
        _ => &candidate.key.second,
    };
    warnings.extend(hashed.iter().filter_map(|column| without_hashes(input, subject, &column.name)));
    warnings
}

/// Whether common values of a hashed column could not be placed.
fn without_hashes(input: &ProposalInput, subject: &Subject, column: &str) -> Option<String> {
    let known = input.hash_values.contains_key(&(subject.name.clone(), column.to_owned()));
    let common = subject.statistics(column).is_some_and(|found| !found.common_fractions.is_empty());
    (common && !known).then(|| {
        format!(
            "It is not known which shards the common values of {} fall into: the skew is estimated from the \
             heaviest.",
            quote_identifier(column)
        )
    })
}

fn every_age(input: &ProposalInput, kind: &str) -> Option<String> {
    (!input.settings.retention_policy.is_empty()).then(|| {
        format!("{kind} shards hold rows of every age: presplit.data_retention_policy cannot drop them.")
    })
}

fn about_time(input: &ProposalInput, subject: &Subject, column: &str, follows: bool) -> Option<String> {
    let captured = input.profile.captured_micros()?;
    let stale = subject.growth.is_some_and(|growth| growth.stale);
    let newest = if follows { subject.origin } else { subject.spreads.get(column)?.last() as i64 };
    let age = captured.saturating_sub(newest);
    if follows && !stale {
        return None;
    }
    if !follows && age <= input.horizon_micros {
        return None;
    }
    Some(format!(
        "The newest value of {column} is {} older than the profile: shards ahead start there.",
        duration(age)
    ))
}

fn about_default(subject: &Subject, division: &Division, unquoted: &str) -> Option<String> {
    let column = quote_identifier(unquoted);
    let share = division.share(division.default_rows);
    let rows = division.default_rows.round();
    let valued = 1.0 - subject.null_share(unquoted);
    let outside = subject.spreads.get(unquoted).map_or(0.0, |spread| valued * spread.outside().share());
    let infinite = if outside > 0.0 {
        format!(
            "; in {} of all it is infinite, NaN, of no year from 1 to 9999, or decades away from the others",
            percent(outside)
        )
    } else {
        String::new()
    };
    (rows >= 1.0 && share > f64::EPSILON * 1e6 && subject.size.rows > 0.0).then(|| {
        format!(
            "{rows:.0} rows ({}) have no value of {column} in any range and go to the default shard{}.",
            percent(share),
            infinite,
        )
    })
}

/// The better key that a rule forbids.
fn blocked(input: &ProposalInput, subject: &Subject, choice: &Choice) -> Option<String> {
    let too_small = subject.size.bytes_p90 < 2.0 * input.constants.shard_bytes_min;
    let blocked = choice.blocked(input.constants.gain_min).filter(|_| !too_small)?;
    let verdict = &blocked.verdict;
    // Nothing but uniqueness stands against it.
    let by_policy = input.settings.unique_policy == UniquePolicy::Strict
        && verdict.obstacles.len() == verdict.price.uniqueness_weakened.len()
        && verdict.price.foreign_keys_to_widen.is_empty();
    Some(format!(
        "A better key is not legal: {} would cost {} of the whole table. {}{}",
        by(blocked),
        percent(cost_share(blocked.cost.total(), choice.whole_cost())),
        verdict.told(),
        if by_policy { " presplit.unique_policy = extend or per_shard allows it." } else { "" }
    ))
}
