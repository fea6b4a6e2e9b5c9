//! Two levels: ranges that are hashed, and lists of which the heavy values,
//! the rest, or both are hashed.
//!
//! Not here: first levels alone (`range`, `list`). Invariant: all ranges have
//! one modulus, so that they can be told apart by their bounds only; DEFAULT
//! of lists is hashed by the key of the lists.

use crate::model::name::quote_identifier;
use crate::model::profile::Column;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::hash;
use crate::planning::proposal::list;
use crate::planning::proposal::range;
use crate::planning::proposal::subject::Subject;

/// Ranges of time, as many as are given at most, each hashed by a column.
///
/// # Errors
/// The reason why there are none, a full sentence.
pub fn ranges_hashed(
    input: &ProposalInput,
    subject: &Subject,
    (time, ranges_max): (&Column, usize),
    column: &Column,
    limit: usize,
) -> Result<Vec<Division>, String> {
    let constants = input.constants;
    let ranges = range::divisions(subject, time, ranges_max.min(limit / 2), constants)?;
    let distinct = subject.distinct(&column.name, constants.distinct_values);
    let most = hash::power_below(distinct / constants.distinct_per_shard);
    let mut found = Vec::new();
    for by_time in ranges {
        let bytes = range::bytes_each(subject, &by_time);
        let worth = hash::power_below(bytes / constants.shard_bytes_min);
        let mut modulus = 2;
        while modulus <= most.min(worth) && by_time.rows.len() * (modulus as usize) < limit {
            let mut moduli = vec![modulus; by_time.rows.len()];
            moduli.push(1);
            let skew = hash::skew(input, subject, column, modulus);
            let key = by_time.key.clone().then(column);
            found.push(by_time.clone().hashed(key, moduli, skew));
            modulus *= 2;
        }
    }
    if found.is_empty() {
        return Err(format!(
            "Ranges of {} are too small or too many to be divided by hash of {}.",
            quote_identifier(&time.name),
            quote_identifier(&column.name)
        ));
    }
    Ok(found)
}

/// Heavy values apart, each hashed by another column if it is given, and the
/// rest hashed by the key itself.
///
/// # Errors
/// The reason why there are none, a full sentence.
pub fn lists_hashed(
    input: &ProposalInput,
    subject: &Subject,
    column: &Column,
    other: Option<&Column>,
    limit: usize,
) -> Result<Vec<Division>, String> {
    let constants = input.constants;
    let shown = quote_identifier(&column.name);
    let heavy = list::heavy(subject, column, constants);
    let share: f64 = heavy.iter().map(|value| value.1).sum();
    if heavy.is_empty() {
        return Err(format!("No value of {shown} has many rows."));
    }
    let bytes = subject.size.bytes_p90;
    let distinct = subject.distinct(&column.name, constants.distinct_values) - heavy.len() as f64;
    let most = hash::power_below(distinct / constants.distinct_per_shard);
    let most_inner = other.map_or(1, |other| {
        hash::power_below(
            subject.distinct(&other.name, constants.distinct_values) / constants.distinct_per_shard,
        )
    });
    let groups = heavy.iter().map(|value| vec![value.0.clone()]).collect();
    let lists = list::divide(subject, column, groups, &heavy, constants);
    let mut found: Vec<Division> = Vec::new();
    for target in [1.0, 0.5, 2.0, 0.25, 4.0].map(|factor| constants.shard_bytes_target * factor) {
        let rest = hash::power_above(bytes * (1.0 - share).max(0.0) / target).clamp(1, most.max(1));
        let inner = |value: &(String, f64)| hash::power_above(bytes * value.1 / target).clamp(1, most_inner);
        let mut moduli: Vec<u32> = heavy.iter().map(inner).collect();
        moduli.push(rest);
        let shards: usize = moduli.iter().map(|modulus| *modulus as usize).sum();
        // A column that divides nothing is not part of the key.
        let divided = if other.is_some() { &moduli[..heavy.len()] } else { &moduli[..] };
        if shards > limit || divided.iter().all(|modulus| *modulus == 1) {
            continue;
        }
        let greatest = moduli.iter().copied().max().unwrap_or(1);
        let skew = other.map_or(0.0, |other| hash::skew(input, subject, other, greatest));
        let key = lists.key.clone().then(other.unwrap_or(column));
        let division = lists.clone().hashed(key, moduli, skew);
        if !found.contains(&division) {
            found.push(division);
        }
    }
    if found.is_empty() {
        return Err(format!(
            "Neither the heavy values of {shown} nor the rest make two shards within the limit of {limit}."
        ));
    }
    Ok(found)
}
