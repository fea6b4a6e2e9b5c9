//! Parallel scans: elapsed time by as many workers as PostgreSQL would plan.
//!
//! A scan of one table gets a worker more for each threefold size, a scan of
//! shards at least one more for each doubling of their number; both as far as
//! settings and cores go. Not here: scans by an index, which return too few
//! rows for workers. Invariant: no scan becomes slower.

use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::cost::AccessCost;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::touch::Touch;

/// `min_parallel_table_scan_size`: below it a scan gets no worker.
const SCAN_BYTES_MIN: f64 = 8.0 * 1024.0 * 1024.0;

/// A scan of the shards touched, shared among workers.
pub fn sped_up(input: &ProposalInput, subject: &Subject, touch: Touch, scan: AccessCost) -> AccessCost {
    let workers = workers(input, subject, touch);
    let share = 1.0 / (1.0 + workers * input.constants.worker_gain);
    AccessCost { pages: scan.pages * share, cpu: scan.cpu * share }
}

fn workers(input: &ProposalInput, subject: &Subject, touch: Touch) -> f64 {
    let allowed = f64::from(input.server.parallel_workers.min(input.cores.saturating_sub(1)));
    let shards = touch.opened.max(1.0);
    let each = subject.size.bytes * subject.size.heap_share * touch.share / shards;
    if allowed < 1.0 || each < SCAN_BYTES_MIN {
        return 0.0;
    }
    let by_size = 1.0 + (each / SCAN_BYTES_MIN).log(3.0).floor();
    let by_count = if shards > 1.0 { 1.0 + shards.log2().floor() } else { 0.0 };
    by_size.max(by_count).min(allowed)
}
