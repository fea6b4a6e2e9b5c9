//! What it costs to take away the rows that a policy does not keep.
//!
//! Once a table is as old as its policy keeps, as many rows go as come in. A
//! range shard that is older is dropped whole; otherwise every row is deleted
//! and vacuumed. Nothing is taken away here, and no row without an event time
//! has an age.

use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::edge::Edge;
use crate::planning::proposal::subject::Subject;

/// The shortest time that a shard takes in: by its bounds where they are
/// moments, by its rows and their inflow where ids stand for moments.
fn seconds_of_shard(subject: &Subject, division: &Division, edges: &[Edge]) -> f64 {
    let micros: Option<Vec<i64>> = edges.iter().map(Edge::micros).collect();
    if let Some(micros) = micros {
        let shortest = micros.windows(2).map(|edge| edge[1].saturating_sub(edge[0])).min();
        return shortest.map_or(0.0, |micros| micros as f64 / 1e6);
    }
    let filled = division.rows.iter().copied().filter(|rows| *rows > 0.0);
    let fewest = filled.fold(f64::INFINITY, f64::min);
    let seconds = fewest / subject.inserted_per_second;
    if seconds.is_finite() { seconds } else { 0.0 }
}

/// Milliseconds per second.
pub fn retention(input: &ProposalInput, subject: &Subject, division: &Division) -> f64 {
    let Some(kept) = subject.kept else { return 0.0 };
    let constants = input.constants;
    if let Cells::Range { edges, follows: true, .. } = &division.cells {
        let seconds = seconds_of_shard(subject, division, edges);
        // A shard that is longer than rows are kept never goes in time.
        if seconds > 0.0 && seconds <= kept.seconds_max() {
            return constants.drop_shard_ms / seconds;
        }
    } else if subject.growth.is_none_or(|growth| growth.event_time.is_none()) {
        return 0.0;
    }
    subject.inserted_per_second * constants.delete_row_ms
}
