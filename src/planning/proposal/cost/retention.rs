//! What it costs to take away the rows that a policy does not keep.
//!
//! Once a table is as old as its policy keeps, as many rows go as come in. A
//! range shard that is older is dropped whole; otherwise every row is deleted
//! and vacuumed. Nothing is taken away here, and no row without an event time
//! has an age.

use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::subject::Subject;

/// Milliseconds per second.
pub fn retention(input: &ProposalInput, subject: &Subject, division: &Division) -> f64 {
    let Some(kept) = subject.kept else { return 0.0 };
    let constants = input.constants;
    if let Cells::Range { unit, follows: true, .. } | Cells::Spans { unit, follows: true, .. } =
        &division.cells
    {
        let seconds = unit.map_or(f64::INFINITY, |unit| unit.micros_min() as f64 / 1e6);
        // A shard that is longer than rows are kept never goes in time.
        if seconds <= kept.seconds_max() {
            let shards = division.moduli.first().map_or(1.0, |modulus| f64::from(*modulus));
            return constants.drop_shard_ms * shards / seconds;
        }
    } else if subject.growth.is_none_or(|growth| growth.event_time.is_none()) {
        return 0.0;
    }
    subject.inserted_per_second * constants.delete_row_ms
}
