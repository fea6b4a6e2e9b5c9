//! Hash shards: how many, and how evenly rows fall into them.
//!
//! Heavy values are placed by PostgreSQL's own hash where it was captured.
//! Not here: whether hash is a good idea. Invariant: a modulus is a power of
//! two of at least 2, so that it can be doubled later.

use crate::model::name::quote_identifier;
use crate::model::profile::Column;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::constants::CostConstants;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::key::ShardKey;
use crate::planning::proposal::subject::Subject;

/// The modulus for a column, from the bytes that are not exceeded with 90 %
/// confidence, the cores and the distinct values.
///
/// # Errors
/// The reason why there is none, a full sentence.
pub fn modulus(
    input: &ProposalInput,
    subject: &Subject,
    column: &Column,
    limit: usize,
) -> Result<u32, String> {
    let constants: &CostConstants = input.constants;
    let power_below = |count: f64| {
        let mut power = 1_u32;
        while f64::from(power) * 2.0 <= count && power < 1 << 15 {
            power *= 2;
        }
        power
    };
    let power_above = |count: f64| {
        let below = power_below(count);
        if f64::from(below) < count { below * 2 } else { below }
    };
    let bytes = subject.size.bytes_p90;
    let by_size = power_above(bytes / constants.shard_bytes_target);
    let by_cores = power_above(f64::from(input.cores.max(1)));
    let worth = power_below(bytes / constants.shard_bytes_min);
    let wanted = by_size.max(by_cores.min(worth)).max(2);
    let distinct = subject.distinct(&column.name, constants.distinct_values);
    let by_values = power_below(distinct / constants.distinct_per_shard);
    let found = wanted.min(power_below(limit as f64)).min(by_values);
    if found >= 2 {
        return Ok(found);
    }
    let shown = quote_identifier(&column.name);
    Err(if limit < 2 {
        format!("Hash shards of {shown} are at least 2, and the limit is {limit}.")
    } else {
        format!("Column {shown} has only {distinct:.0} distinct values.")
    })
}

/// Rows of each hash shard, and their skew.
pub fn divide(input: &ProposalInput, subject: &Subject, column: &Column, modulus: u32) -> Division {
    let rows_total = subject.size.rows;
    let count = f64::from(modulus);
    let fractions: &[f64] =
        subject.statistics(&column.name).map_or(&[], |found| found.common_fractions.as_slice());
    let hashes = input.hash_values.get(&(subject.name.clone(), column.name.clone()));
    let mut placed = vec![0.0; modulus as usize];
    let mut heavy = 0.0;
    if let Some(hashes) = hashes {
        for (fraction, hash) in fractions.iter().zip(hashes) {
            placed[(hash % u64::from(modulus)) as usize] += fraction;
            heavy += fraction;
        }
    }
    // Rows with NULL all fall into the shard of remainder 0.
    let nulls = subject.null_share(&column.name);
    placed[0] += nulls;
    let rest = (1.0 - heavy - nulls).max(0.0);
    for share in &mut placed {
        *share += rest / count;
    }
    let counted = if hashes.is_some() { fractions.len() as f64 } else { 0.0 };
    let distinct = (subject.distinct(&column.name, input.constants.distinct_values) - counted).max(1.0);
    let uneven = rest * chance_of_skew(distinct, count);
    let largest = placed.iter().copied().fold(0.0, f64::max);
    // Without hash values the heaviest value may fall anywhere.
    let heaviest = if hashes.is_some() { 0.0 } else { fractions.iter().copied().fold(0.0, f64::max) };
    let alone = heaviest + (1.0 - heaviest) / count;
    let skew = (largest.max(alone) * count - 1.0).max(0.0) + uneven;
    Division {
        key: ShardKey::of(column),
        cells: Cells::Hash { modulus, skew: skew.min(count - 1.0) },
        rows: placed.into_iter().map(|share| share * rows_total).collect(),
        default_rows: 0.0,
    }
}

/// Expected excess of the fullest of `shards` over the mean when `values`
/// equally frequent values fall into them at random: the mean of the largest
/// of that many normal deviates, in units of the mean.
fn chance_of_skew(values: f64, shards: f64) -> f64 {
    (2.0 * shards.ln() * shards / values).sqrt()
}
