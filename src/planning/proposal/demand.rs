//! Which values of a column statements ask for, where that was sampled.
//!
//! Without samples a value is asked for as often as rows have it. Not here:
//! how the samples are drawn (`model::sample`). Invariant: shares lie in
//! 0..=1 and add up to one; positions are finite.

use crate::model::profile::Column;
use crate::model::sample::Access;
use crate::model::sample::SampledValues;
use crate::planning::proposal::constants::CostConstants;
use crate::planning::proposal::edge::Scale;
use crate::planning::proposal::spread::Spread;

/// Values that equalities and lists name.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// Value, its position where it has one, and its share of what is asked.
    frequent: Vec<(String, Option<f64>, f64)>,
    /// Where the others lie; `None` = as the rows do.
    others: Option<Spread>,
    others_share: f64,
}

impl Demand {
    /// What was sampled of a column; `None` where that is too little.
    pub fn of(column: &Column, constants: &CostConstants) -> Option<Self> {
        let samples = || sampled(column, &[Access::Equality, Access::InList]);
        let executions: u64 = samples().map(|one| one.sampled).sum();
        if (executions as f64) < constants.samples_trusted {
            return None;
        }
        let scale = Scale::of(column);
        let position = |text: &str| scale.as_ref().and_then(|scale| scale.position(text));
        let weight = |one: &SampledValues| finite(one.executions).max(one.sampled as f64);
        let total: f64 = samples().map(weight).sum();
        let mut frequent: Vec<(String, Option<f64>, f64)> = Vec::new();
        let mut others = Vec::new();
        for one in samples().filter(|one| one.values > 0) {
            for value in one.holding().filter(|value| value.value.hash.is_none()) {
                let text = &value.value.value;
                let share = value.certain() as f64 / one.values as f64 * weight(one) / total;
                match frequent.iter_mut().find(|known| known.0 == *text) {
                    Some(known) => known.2 += share,
                    None => frequent.push((text.clone(), position(text), share)),
                }
            }
            others.extend(one.reservoir.iter().filter(|value| value.hash.is_none()));
        }
        let counted: f64 = frequent.iter().map(|value| value.2).sum();
        // Damaged samples may count more than there is.
        let scaled = if counted > 1.0 { 1.0 / counted } else { 1.0 };
        frequent.iter_mut().for_each(|value| value.2 *= scaled);
        let rare = others.into_iter().filter(|value| !frequent.iter().any(|known| known.0 == value.value));
        let others = Spread::of_values(rare.filter_map(|value| position(&value.value)).collect());
        Some(Self { frequent, others, others_share: (1.0 - counted * scaled).clamp(0.0, 1.0) })
    }

    /// Chance of each range between two positions, DEFAULT last; `rows` are the
    /// shares of rows.
    pub fn in_ranges(&self, positions: &[f64], rows: &[f64]) -> Vec<f64> {
        let mut asked = match &self.others {
            Some(others) => {
                let mut asked: Vec<f64> =
                    positions.windows(2).map(|edge| others.between(edge[0], edge[1])).collect();
                asked.push(1.0 - asked.iter().sum::<f64>());
                asked
            }
            None => rows.to_vec(),
        };
        asked.iter_mut().for_each(|share| *share = share.clamp(0.0, 1.0) * self.others_share);
        let last = asked.len().saturating_sub(1);
        for (_, position, share) in &self.frequent {
            let cell = position.and_then(|position| cell(positions, position)).unwrap_or(last);
            if let Some(place) = asked.get_mut(cell) {
                *place += share;
            }
        }
        asked
    }

    /// Chance of each of some places that values known by their text lie in;
    /// the others lie as `rows` do.
    pub fn in_places(&self, rows: &[f64], place: impl Fn(&str) -> Option<usize>) -> Vec<f64> {
        let mut asked: Vec<f64> = rows.iter().map(|share| share * self.others_share).collect();
        for (text, _, share) in &self.frequent {
            match place(text).and_then(|at| asked.get_mut(at)) {
                Some(found) => *found += share,
                // It lies somewhere.
                None => asked.iter_mut().zip(rows).for_each(|(found, rows)| *found += share * rows),
            }
        }
        asked
    }

    /// The position below which `share` of what is asked lies, by bisection;
    /// `None` where positions are not known.
    pub fn spread(&self) -> Option<Spread> {
        let known: Option<Vec<(f64, f64)>> =
            self.frequent.iter().map(|value| Some((value.1?, value.2))).collect();
        Spread::mixed(known?, self.others.as_ref(), self.others_share)
    }
}

/// The range of a position; none = DEFAULT. Infinity lies in a range that has
/// no end.
pub fn cell(positions: &[f64], value: f64) -> Option<usize> {
    let value = value.min(f64::MAX);
    let after = positions.partition_point(|edge| *edge <= value);
    (after >= 1 && after < positions.len()).then(|| after - 1)
}

/// Mean share of the rows below the ends of ranges that executions used.
pub fn mean_below(
    column: &Column,
    access: Access,
    spread: &Spread,
    constants: &CostConstants,
) -> Option<f64> {
    let scale = Scale::of(column)?;
    let accesses = [access];
    let count: u64 = sampled(column, &accesses).map(|one| one.sampled).sum();
    let seen = sampled(column, &accesses).flat_map(|one| &one.reservoir);
    let below: Vec<f64> = seen
        .filter(|value| value.hash.is_none())
        .filter_map(|value| scale.position(&value.value))
        .map(|position| spread.below(position))
        .collect();
    let trusted = count as f64 >= constants.samples_trusted && !below.is_empty();
    trusted.then(|| below.iter().sum::<f64>() / below.len() as f64)
}

fn sampled<'a>(column: &'a Column, accesses: &'a [Access]) -> impl Iterator<Item = &'a SampledValues> {
    column.sampled.iter().filter(|one| accesses.contains(&one.access))
}

fn finite(value: f64) -> f64 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}
