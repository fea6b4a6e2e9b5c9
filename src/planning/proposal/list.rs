//! Lists: which values go together.
//!
//! Heavy values stand alone, the others are put where there is most room
//! (longest processing time first). Not here: whether lists are a good idea.
//! Invariant: no value is in two lists; what is in none goes to DEFAULT.

use std::collections::BTreeSet;
use std::collections::HashMap;

use crate::model::name::quote_identifier;
use crate::model::profile::Column;
use crate::planning::proposal::constants::CostConstants;
use crate::planning::proposal::demand::Demand;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::key::ShardKey;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::unknown;

/// Values that the profile knows, with their shares of the rows, the heaviest
/// first.
pub fn values(subject: &Subject, column: &Column) -> Vec<(String, f64)> {
    let Some(statistics) = subject.statistics(&column.name) else { return Vec::new() };
    let key_type = column.type_name.key_type();
    let mut seen = BTreeSet::new();
    let mut values: Vec<(String, f64)> = statistics
        .common_values
        .iter()
        .zip(&statistics.common_fractions)
        .filter(|(_, share)| share.is_finite() && **share > 0.0)
        // `1` and `01` are one integer.
        .filter(|(value, _)| match key_type.read(value) {
            Some(read) => seen.insert(format!("{read:?}")),
            None => seen.insert((*value).clone()),
        })
        .map(|(value, share)| (value.clone(), share.min(1.0)))
        .collect();
    // A stable sort: the order of the statistics breaks ties.
    values.sort_by(|a, b| b.1.total_cmp(&a.1));
    values
}

/// Whether the values known are few and have nearly all rows.
pub fn is_covered(subject: &Subject, column: &Column, constants: &CostConstants) -> bool {
    let values = values(subject, column);
    let distinct = subject.distinct(&column.name, f64::INFINITY);
    let covered: f64 = values.iter().map(|value| value.1).sum();
    let valued = 1.0 - subject.null_share(&column.name);
    values.len() >= 2
        && distinct <= constants.list_values_max
        && covered >= valued * constants.list_covered_share
}

/// Values that are so heavy that they should stand alone.
pub fn heavy(subject: &Subject, column: &Column, constants: &CostConstants) -> Vec<(String, f64)> {
    let mut values = values(subject, column);
    values.retain(|value| value.1 >= constants.heavy_share);
    values
}

/// The ways to put values into lists, at most `limit` shards: as many as the
/// size wants first, then fewer, and one list for each value.
///
/// # Errors
/// The reason why there is none, a full sentence.
pub fn divisions(
    subject: &Subject,
    column: &Column,
    limit: usize,
    constants: &CostConstants,
) -> Result<Vec<Division>, String> {
    let values = values(subject, column);
    let most = values.len().min(limit.saturating_sub(1));
    if most < 2 {
        let shown = quote_identifier(&column.name);
        return Err(match values.len() {
            0 => unknown::values(subject, column),
            1 => format!("One value of {shown} alone is frequent: lists need two."),
            _ => format!("Lists of {shown} need two shards and DEFAULT, which are more than {limit}."),
        });
    }
    let wanted =
        (subject.size.bytes_p90 / constants.shard_bytes_target).clamp(2.0, most as f64).ceil() as usize;
    let mut counts = vec![wanted, 2, (wanted / 2).max(2), most];
    counts.dedup();
    let mut found: Vec<Division> = Vec::new();
    for count in counts {
        let division = divide(subject, column, grouped(&values, count), &values, constants);
        if !found.contains(&division) {
            found.push(division);
        }
    }
    Ok(found)
}

/// Values in `count` lists: each goes to the lightest, so that one that is
/// heavier than the mean stays alone.
fn grouped(values: &[(String, f64)], count: usize) -> Vec<Vec<String>> {
    let mut groups: Vec<(f64, Vec<String>)> = vec![(0.0, Vec::new()); count];
    for (value, share) in values {
        let lightest = (0..groups.len()).min_by(|a, b| groups[*a].0.total_cmp(&groups[*b].0));
        if let Some(at) = lightest {
            groups[at].0 += share;
            groups[at].1.push(value.clone());
        }
    }
    groups.into_iter().map(|group| group.1).filter(|group| !group.is_empty()).collect()
}

/// The rows of a table put into lists of values with these shares.
pub fn divide(
    subject: &Subject,
    column: &Column,
    groups: Vec<Vec<String>>,
    values: &[(String, f64)],
    constants: &CostConstants,
) -> Division {
    let values: HashMap<&str, f64> = values.iter().map(|value| (value.0.as_str(), value.1)).collect();
    let share_of = |wanted: &String| values.get(wanted.as_str()).copied().unwrap_or(0.0);
    let shares: Vec<f64> = groups.iter().map(|group| group.iter().map(share_of).sum()).collect();
    // Damaged statistics may count more than all rows.
    let scaled = 1.0 / shares.iter().sum::<f64>().max(1.0);
    let rows: Vec<f64> = shares.iter().map(|share| share * scaled * subject.size.rows).collect();
    let default_rows = (subject.size.rows - rows.iter().sum::<f64>()).max(0.0);
    let cells = Cells::List { groups };
    let mut division = Division { default_rows, ..Division::of(ShardKey::of(column), cells, rows) };
    let shares: Vec<f64> = division.cell_rows().iter().map(|rows| division.share(*rows)).collect();
    let Cells::List { groups } = &division.cells else { return division };
    let default = groups.len();
    let place = |text: &str| {
        let found = groups.iter().position(|group| group.iter().any(|value| value == text));
        Some(found.unwrap_or(default))
    };
    division.asked = match Demand::of(column, constants) {
        Some(demand) => demand.in_places(&shares, place),
        None => shares,
    };
    division
}
