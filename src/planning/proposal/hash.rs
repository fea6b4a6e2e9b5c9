//! Hash shards: how many, and how evenly rows fall into them.
//!
//! Heavy values are placed by PostgreSQL's own hash where it was captured;
//! those of two columns are combined as PostgreSQL combines them. Not here:
//! whether hash is a good idea. Invariant: a modulus is a power of two of at
//! least 2, so that it can be doubled later.

use crate::model::name::quote_identifiers;
use crate::model::profile::Column;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::constants::CostConstants;
use crate::planning::proposal::demand::Demand;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::key::ShardKey;
use crate::planning::proposal::subject::Subject;

/// The ways to hash by one or two columns: every modulus within `limit` and
/// the distinct values, the one that the size wants first.
///
/// # Errors
/// The reason why there is none, a full sentence.
pub fn divisions(
    input: &ProposalInput,
    subject: &Subject,
    columns: &[&Column],
    limit: usize,
) -> Result<Vec<Division>, String> {
    let natural = modulus(input, subject, columns, limit)?;
    let most = most(input, subject, columns, limit);
    let mut moduli: Vec<u32> = std::iter::successors(Some(2_u32), |modulus| modulus.checked_mul(2))
        .take_while(|modulus| *modulus <= most)
        .collect();
    moduli.sort_by_key(|modulus| (*modulus != natural, *modulus));
    Ok(moduli.into_iter().map(|modulus| divide(input, subject, columns, modulus)).collect())
}

/// The modulus for a key, from the bytes that are not exceeded with 90 %
/// confidence, the cores and the distinct values.
///
/// # Errors
/// The reason why there is none, a full sentence.
fn modulus(
    input: &ProposalInput,
    subject: &Subject,
    columns: &[&Column],
    limit: usize,
) -> Result<u32, String> {
    let constants: &CostConstants = input.constants;
    let bytes = subject.size.bytes_p90;
    let by_size = power_above(bytes / constants.shard_bytes_target);
    let by_cores = power_above(f64::from(input.cores.max(1)));
    let worth = power_below(bytes / constants.shard_bytes_min);
    let wanted = by_size.max(by_cores.min(worth)).max(2);
    let found = wanted.min(most(input, subject, columns, limit));
    if found >= 2 {
        return Ok(found);
    }
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let shown = quote_identifiers(&names);
    let distinct = distinct(input, subject, columns);
    Err(if limit < 2 {
        format!("Hash shards of {shown} are at least 2, and the limit is {limit}.")
    } else if columns.len() == 1 {
        format!("Column {shown} has only {distinct:.0} distinct values.")
    } else {
        format!("Columns {shown} have only {distinct:.0} distinct pairs of values.")
    })
}

/// The greatest modulus that leaves no shard without values.
fn most(input: &ProposalInput, subject: &Subject, columns: &[&Column], limit: usize) -> u32 {
    let distinct = distinct(input, subject, columns);
    power_below(limit as f64).min(power_below(distinct / input.constants.distinct_per_shard))
}

/// The greatest power of two that is not above `count`; at least 1.
pub fn power_below(count: f64) -> u32 {
    let mut power = 1_u32;
    while f64::from(power) * 2.0 <= count && power < 1 << 15 {
        power *= 2;
    }
    power
}

/// The least power of two that is not below `count`.
pub fn power_above(count: f64) -> u32 {
    let below = power_below(count);
    if f64::from(below) < count && below < 1 << 15 { below * 2 } else { below }
}

/// Distinct values, or pairs of values, at the horizon.
fn distinct(input: &ProposalInput, subject: &Subject, columns: &[&Column]) -> f64 {
    let each = columns.iter().map(|column| subject.distinct(&column.name, input.constants.distinct_values));
    let all = each.product::<f64>().min(subject.size.rows).max(1.0);
    if columns.len() < 2 {
        return all;
    }
    let same = |names: &[String]| {
        names.len() == columns.len() && columns.iter().all(|column| names.contains(&column.name))
    };
    let mut counts = subject.table.extended_statistics.iter().flat_map(|found| &found.counts);
    let counted = counts.find(|count| same(&count.columns)).map(|count| count.distinct);
    let counted =
        counted.map(|distinct| if distinct < 0.0 { -distinct * subject.size.rows } else { distinct });
    counted.filter(|distinct| distinct.is_finite()).map_or(all, |distinct| distinct.clamp(1.0, all))
}

/// What is known of the values that many rows have.
struct Heavy {
    /// Shares of the rows with the hash of their value.
    placed: Vec<(f64, u64)>,
    /// Share of the heaviest value whose hash is not known.
    unplaced: f64,
    /// Sum of the squared shares of such values.
    unplaced_squares: f64,
    /// Shares of NULLs; of two columns, of rows that have two.
    nulls: f64,
}

/// Rows of each hash shard, and their skew.
pub fn divide(input: &ProposalInput, subject: &Subject, columns: &[&Column], modulus: u32) -> Division {
    let rows_total = subject.size.rows;
    let count = f64::from(modulus);
    let found = match columns {
        [one] => heavy(input, subject, one),
        _ => heavy_pairs(input, subject, columns),
    };
    let mut placed = vec![0.0; modulus as usize];
    let mut heavy = 0.0;
    for (fraction, hash) in &found.placed {
        placed[(hash % u64::from(modulus)) as usize] += fraction;
        heavy += fraction;
    }
    // Rows with NULL all fall into the shard of remainder 0.
    placed[0] += found.nulls;
    let rest = (1.0 - heavy - found.nulls).max(0.0);
    for share in &mut placed {
        *share += rest / count;
    }
    // Damaged statistics may count more than all rows.
    let sum: f64 = placed.iter().sum();
    placed.iter_mut().for_each(|share| *share /= sum);
    let distinct = (distinct(input, subject, columns) - found.placed.len() as f64).max(1.0);
    let uneven = rest * chance_of_skew(distinct, count);
    let largest = placed.iter().copied().fold(0.0, f64::max);
    // Without hash values the heaviest value may fall anywhere.
    let alone = found.unplaced + (1.0 - found.unplaced) / count;
    let skew = (largest.max(alone) * count - 1.0).max(0.0) + uneven;
    let asked = match columns {
        [one] => asked(input, subject, one, &placed),
        _ => placed.clone(),
    };
    let key = ShardKey { first: columns.iter().map(|column| (*column).into()).collect(), second: Vec::new() };
    let cells = Cells::Hash {
        modulus,
        skew: skew.min(count - 1.0),
        apart: found.unplaced_squares * (1.0 - 1.0 / count),
    };
    let rows = placed.into_iter().map(|share| share * rows_total).collect();
    Division { asked, ..Division::of(key, cells, rows) }
}

fn hashes<'a>(input: &ProposalInput<'a>, subject: &Subject, column: &Column) -> Option<&'a Vec<u64>> {
    input.hash_values.get(&(subject.name.clone(), column.name.clone()))
}

fn heavy(input: &ProposalInput, subject: &Subject, column: &Column) -> Heavy {
    let statistics = subject.statistics(&column.name);
    let fractions: Vec<f64> = statistics
        .map_or(&[][..], |found| found.common_fractions.as_slice())
        .iter()
        .map(|share| share.clamp(0.0, 1.0))
        .collect();
    let nulls = subject.null_share(&column.name);
    match hashes(input, subject, column) {
        Some(hashes) => {
            let placed = fractions.into_iter().zip(hashes.iter().copied()).collect();
            Heavy { placed, unplaced: 0.0, unplaced_squares: 0.0, nulls }
        }
        None => Heavy {
            placed: Vec::new(),
            unplaced: fractions.iter().copied().fold(0.0, f64::max),
            unplaced_squares: squares(fractions.into_iter()),
            nulls,
        },
    }
}

/// Pairs of values that many rows have, from statistics of both columns.
fn heavy_pairs(input: &ProposalInput, subject: &Subject, columns: &[&Column]) -> Heavy {
    let nulls = columns.iter().map(|column| subject.null_share(&column.name)).product();
    let heaviest = |column: &&Column| heavy_share(subject, column);
    // As if the columns had nothing to do with each other.
    let unplaced: f64 = columns.iter().map(heaviest).product();
    let unknown = Heavy { placed: Vec::new(), unplaced, unplaced_squares: unplaced * unplaced, nulls };
    let names: Vec<&String> = columns.iter().map(|column| &column.name).collect();
    let both = subject.table.extended_statistics.iter().find_map(|found| {
        let places: Option<Vec<usize>> =
            names.iter().map(|name| found.columns.iter().position(|column| column == *name)).collect();
        (found.columns.len() == columns.len() && !found.common_values.is_empty())
            .then_some(places)
            .flatten()
            .map(|places| (found, places))
    });
    let Some((both, places)) = both else { return unknown };
    let mut heavy = Heavy { placed: Vec::new(), unplaced: 0.0, unplaced_squares: 0.0, nulls: 0.0 };
    for (values, share) in both.common_values.iter().zip(&both.common_fractions) {
        let share = share.clamp(0.0, 1.0);
        let hash = columns.iter().zip(&places).try_fold(None, |hash, (column, place)| {
            let next = hash_of(input, subject, column, values.get(*place)?.as_deref())?;
            Some(match (hash, next) {
                (None, next) => next,
                (Some(hash), Some(next)) => Some(combined(hash, next)),
                (hash, None) => hash,
            })
        });
        match hash {
            Some(hash) => heavy.placed.push((share, hash.unwrap_or(0))),
            None => {
                heavy.unplaced = heavy.unplaced.max(share);
                heavy.unplaced_squares += share * share;
            }
        }
    }
    heavy
}

fn squares(shares: impl Iterator<Item = f64>) -> f64 {
    shares.map(|share| share * share).sum::<f64>().min(1.0)
}

fn heavy_share(subject: &Subject, column: &Column) -> f64 {
    let statistics = subject.statistics(&column.name);
    let shares = statistics.map_or(&[][..], |found| found.common_fractions.as_slice());
    shares.iter().map(|share| share.clamp(0.0, 1.0)).fold(0.0, f64::max)
}

/// The partition hash of a value of one column; the inner `None` stands for
/// NULL, which PostgreSQL leaves out.
fn hash_of(
    input: &ProposalInput,
    subject: &Subject,
    column: &Column,
    value: Option<&str>,
) -> Option<Option<u64>> {
    let Some(value) = value else { return Some(None) };
    let statistics = subject.statistics(&column.name)?;
    let at = statistics.common_values.iter().position(|known| known == value)?;
    Some(Some(*hashes(input, subject, column)?.get(at)?))
}

/// The partition hash of two columns from that of each alone: PostgreSQL's
/// `hash_combine64`, whose constant is in the second hash already.
const fn combined(first: u64, second: u64) -> u64 {
    first ^ second.wrapping_add(first << 54).wrapping_add(first >> 7)
}

/// Chance of each shard to have the value that a statement asks for.
fn asked(input: &ProposalInput, subject: &Subject, column: &Column, shares: &[f64]) -> Vec<f64> {
    let Some(demand) = Demand::of(column, input.constants) else { return shares.to_vec() };
    let modulus = shares.len() as u64;
    demand.in_places(shares, |text| {
        let hash = hash_of(input, subject, column, Some(text))??;
        Some((hash % modulus) as usize)
    })
}

/// Skew of a cell that is hashed by a column of all rows alike.
pub fn skew(input: &ProposalInput, subject: &Subject, column: &Column, modulus: u32) -> f64 {
    match divide(input, subject, &[column], modulus).cells {
        Cells::Hash { skew, .. } => skew,
        _ => 0.0,
    }
}

/// Expected excess of the fullest of `shards` over the mean when `values`
/// equally frequent values fall into them at random: the mean of the largest
/// of that many normal deviates, in units of the mean.
fn chance_of_skew(values: f64, shards: f64) -> f64 {
    (2.0 * shards.ln() * shards / values).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_two_columns_are_combined_as_postgresql_does() {
        // hash_combine64 of common/hashfn.h; a single column is combined with 0.
        let combine = |a: u64, b: u64| {
            a ^ b.wrapping_add(0x49a0_f4dd_15e5_a8e3).wrapping_add(a << 54).wrapping_add(a >> 7)
        };
        for (a, b) in [(0, 0), (1, 2), (u64::MAX, 7), (0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210)] {
            assert_eq!(combined(combine(0, a), combine(0, b)), combine(combine(0, a), b));
        }
    }

    #[test]
    fn powers_enclose_a_count() {
        for (count, below, above) in
            [(0.0, 1, 1), (1.0, 1, 1), (3.0, 2, 4), (4.0, 4, 4), (1e9, 32_768, 32_768)]
        {
            assert_eq!((power_below(count), power_above(count)), (below, above), "{count}");
        }
    }
}
