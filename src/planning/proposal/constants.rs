//! Every number that the cost model takes as given, with its origin.
//!
//! Not here: settings of a user (`model::settings`) and facts of a profile.
//! Invariant: no other file of this room contains a number of the model.
//! Values marked *measured* are from PostgreSQL 15 on a small machine and are
//! meant to be replaced by `calibrate()`; *prior* ones are estimates that nothing has
//! measured yet, or stand in for facts that
//! a profile lacks; *policy* ones are choices.

use serde::Deserialize;
use serde::Serialize;

use crate::planning::workload::declared::SECONDS_SUPPOSED;

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// Constants of the cost model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CostConstants {
    /// Milliseconds to plan a statement on one table whose shards were all
    /// pruned but one; measured, the same at 4,096 shards.
    pub planning_pruned_ms: f64,
    /// (unpruned shards, milliseconds) of planning a scan; measured.
    pub planning_scan_ms: [(f64, f64); 4],
    /// (unpruned shards, milliseconds) of planning a join with another
    /// table; measured. It grows faster than linearly.
    pub planning_join_ms: [(f64, f64); 4],
    /// Milliseconds to lock and open one more shard with its indexes, warm;
    /// prior.
    pub open_ms: f64,
    /// Bytes of a page; PostgreSQL's default `BLCKSZ`.
    pub page_bytes: f64,
    /// Bytes of a row where nothing is known of its columns; prior.
    pub row_bytes: f64,
    /// Milliseconds to look through a page found in memory; prior.
    pub page_cached_ms: f64,
    /// Milliseconds to read a page in sequence (1 GB per second); prior.
    pub page_read_ms: f64,
    /// Milliseconds to read a page at random; prior, an SSD.
    pub page_random_ms: f64,
    /// Milliseconds to evaluate one row (10 million per second); prior.
    pub row_ms: f64,
    /// Milliseconds to hash a row of a join and to probe with it; prior.
    pub hash_row_ms: f64,
    /// Milliseconds of one descent of a btree, cached; prior.
    pub descent_ms: f64,
    /// Milliseconds to find the shard of an inserted row; prior.
    pub route_ms: f64,
    /// Milliseconds to copy a row into new shards with an index; prior.
    pub split_row_ms: f64,
    /// Milliseconds to find and delete a row, and to vacuum its place and its
    /// index entries later; prior.
    pub delete_row_ms: f64,
    /// Milliseconds to detach and drop a shard with its indexes; prior.
    pub drop_shard_ms: f64,
    /// Part of a core that each worker adds to a parallel scan; prior.
    pub worker_gain: f64,
    /// Bytes of a group in a hash table beside its columns; prior.
    pub group_bytes: f64,
    /// Milliseconds to move a row whose key was updated (delete and insert
    /// with index entries); prior.
    pub move_ms: f64,
    /// Seconds that the counters of a workload cover where it does not say;
    /// prior, one day.
    pub workload_seconds: f64,
    /// Lookups by primary key per second and table where there is no
    /// workload at all; prior.
    pub lookups_per_second: f64,
    /// Scans of a window of event time per second and table where there is
    /// no workload at all; prior.
    pub scans_per_second: f64,
    /// Share of the rows that a range with two unknown ends selects; prior.
    pub window_share: f64,
    /// Share that a range with an unknown lower end only selects of a column
    /// that follows time: statements ask for what is recent; prior.
    pub recent_share: f64,
    /// Share that a range with one unknown end selects otherwise; PostgreSQL's
    /// own `DEFAULT_INEQ_SEL`.
    pub half_open_share: f64,
    /// Share that an unknown prefix selects; prior.
    pub prefix_share: f64,
    /// Values of an IN list whose length is unknown; prior.
    pub in_list_values: f64,
    /// Distinct values of a column without statistics; PostgreSQL's own
    /// `DEFAULT_NUM_DISTINCT`.
    pub distinct_values: f64,
    /// Rows that a limited statement returns where counters do not tell; prior.
    pub limit_rows: f64,
    /// Share of the cache that pages of the indexes written may take; policy.
    pub index_cache_share: f64,
    /// |correlation| from which entries of an index arrive in order; policy.
    pub ordered_correlation: f64,
    /// Seconds between two cleanups (VACUUM, REINDEX) of what is written;
    /// prior, one week.
    pub upkeep_seconds: f64,
    /// Milliseconds per byte of a cleanup (100 MB per second); prior.
    pub upkeep_ms_per_byte: f64,
    /// Bytes of a unit above which a cleanup grows faster than linearly,
    /// because its dead rows and indexes outgrow memory; policy.
    pub upkeep_bytes_knee: f64,
    /// Milliseconds per second that one more shard costs by being there
    /// (autovacuum and statistics look at it once a minute); prior.
    pub shard_upkeep_ms: f64,
    /// Rows updated or deleted per row inserted, from which a table counts as
    /// rewritten and not as only growing; policy.
    pub rewritten_share: f64,
    /// Part of the time of a table that skew is charged with, times skew;
    /// policy, as Horticulture weighs skew against execution.
    pub skew_weight: f64,
    /// Bytes that a hash shard should have at the horizon; policy.
    pub shard_bytes_target: f64,
    /// Bytes below which a shard is not worth having; policy.
    pub shard_bytes_min: f64,
    /// Milliseconds per second from which a gain that the server forgoes is
    /// named; policy.
    pub gain_named_ms: f64,
    /// Part of all cores' time that planning of unpruned statements may take
    /// at peak; policy.
    pub planning_budget_share: f64,
    /// Shards that the budgets of planning and locks leave in any case: what
    /// they cost is weighed then; policy.
    pub shards_budget_min: usize,
    /// Part of the lock table that the statements of one table may take;
    /// policy.
    pub lock_share: f64,
    /// Statements that a core carries at a time before others wait; policy.
    pub statements_per_core: f64,
    /// Most shards where a hot statement cannot be pruned: 1 ms of planning.
    pub shards_unpruned_max: usize,
    /// Most shards otherwise.
    pub shards_pruned_max: usize,
    /// Share of a table's calls from which a statement is hot; policy.
    pub hot_share: f64,
    /// Share of the time of the statements on sharded tables that the planner
    /// is asked about; policy.
    pub evidence_share: f64,
    /// Most statements that it is asked about; policy.
    pub evidence_statements_max: usize,
    /// Sets of values that each of them is planned with; policy.
    pub evidence_draws: usize,
    /// Most shards of one table that it plans with: more would take too many
    /// locks; policy.
    pub evidence_shards_max: usize,
    /// How many times its size of today a table may reach at the horizon for
    /// plans at today's size to decide; policy.
    pub evidence_growth_max: f64,
    /// Share by which a hot statement may get worse; policy.
    pub worsening_max: f64,
    /// Fewest range shards ahead of the newest value's; policy.
    pub shards_ahead_min: usize,
    /// Share of the cost of the whole table that shards must save; policy.
    pub gain_min: f64,
    /// Share of the cost of the whole table that a second column of the key must
    /// save beyond a first alone; policy.
    pub second_column_gain_min: f64,
    /// Share of cost within which the coarser calendar unit is taken; policy.
    pub unit_tolerance: f64,
    /// Share of what the best unit saves that a coarser one may fall short by;
    /// policy: it counts where most of the cost is of statements that no key
    /// helps.
    pub unit_saving_tolerance: f64,
    /// Share of cost that tables may lose for common bounds; policy.
    pub colocation_tolerance: f64,
    /// Share of the cost of the present way that another one must save; policy.
    pub change_gain_min: f64,
    /// Share of the cost of what was proposed before that another way must save
    /// to be proposed instead; policy: less is noise of the statistics.
    pub drift_tolerance: f64,
    /// By how much more an earlier proposal's shards may differ in size (largest
    /// over mean) than those of a new one; policy, as `rebalance_threshold`.
    pub drift_skew: f64,
    /// Share of the size by which it may pass the border to twice as many shards
    /// before these are proposed; policy.
    pub drift_size: f64,
    /// Milliseconds to move one row into new shards, with its index entries
    /// (100,000 rows per second); prior.
    pub change_row_ms: f64,
    /// Seconds within which a move has to pay for itself; policy, 30 days.
    pub change_payback_seconds: f64,
    /// Part of what a join shard by shard would save that two aligned tables
    /// are credited with although the server does not join so: it can be told
    /// to; policy.
    pub colocation_share: f64,
    /// Milliseconds per second that any two joined tables are credited with if
    /// they are aligned: a tie-break; policy.
    pub colocation_gain: f64,
    /// Share of the rows at either end that may be left to DEFAULT where they
    /// stretch the range of values; policy.
    pub outlier_share: f64,
    /// How many times the span of the other rows makes them outliers; policy.
    pub outlier_stretch: f64,
    /// Microseconds that part a common value which stands for "never" from all
    /// others: 20 years; policy.
    pub sentinel_gap: f64,
    /// Share of rows that are in no range of time from which such ranges are
    /// not made; policy.
    pub outside_share_max: f64,
    /// Share of a column's span that its newest value may be away from the
    /// present for the column to count as following time; policy.
    pub follow_share: f64,
    /// Distinct values wanted per hash shard; policy: fewer leave shards empty.
    pub distinct_per_shard: f64,
    /// Calls from which a workload is well known; policy.
    pub calls_trusted: f64,
    /// Keys tried per table; policy.
    pub candidates_max: usize,
    /// Share of a table's execution time below which a statement suggests no
    /// key; policy, as AutoAdmin prunes groups of columns by cost.
    pub suggesting_share: f64,
    /// Sampled executions from which their values are believed; policy.
    pub samples_trusted: f64,
    /// |correlation| with the order of rows from which a column that
    /// statements use is tried for ranges; policy.
    pub range_correlation: f64,
    /// Most distinct values of a key of lists; policy.
    pub list_values_max: f64,
    /// Share of the rows that the values known must have for a key of lists;
    /// policy: the others go to DEFAULT.
    pub list_covered_share: f64,
    /// Share of the rows from which a single value is heavy enough to be set
    /// apart; policy.
    pub heavy_share: f64,
    /// Pairs of columns tried per table and kind of key; policy.
    pub pairs_max: usize,
    /// Share of a table's execution time that each column of a pair must be
    /// used in; policy: a second column makes every unique constraint wider.
    pub pair_share: f64,
    /// Share of a range within which an edge moves to a constant that
    /// statements compare with; policy.
    pub edge_near_share: f64,
}

impl Default for CostConstants {
    #[expect(clippy::too_many_lines, reason = "one line a constant")]
    fn default() -> Self {
        Self {
            planning_pruned_ms: 0.02,
            planning_scan_ms: [(32.0, 0.15), (128.0, 0.85), (512.0, 12.0), (1024.0, 46.0)],
            planning_join_ms: [(32.0, 0.55), (128.0, 7.8), (512.0, 165.0), (1024.0, 600.0)],
            open_ms: 0.005,
            page_bytes: 8192.0,
            row_bytes: 100.0,
            page_cached_ms: 0.0005,
            page_read_ms: 0.008,
            page_random_ms: 0.1,
            row_ms: 0.0001,
            hash_row_ms: 0.0001,
            descent_ms: 0.005,
            route_ms: 0.0003,
            split_row_ms: 0.005,
            delete_row_ms: 0.03,
            drop_shard_ms: 50.0,
            worker_gain: 0.7,
            group_bytes: 64.0,
            move_ms: 0.02,
            workload_seconds: SECONDS_SUPPOSED,
            lookups_per_second: 1.0,
            scans_per_second: 0.001,
            window_share: 0.05,
            recent_share: 0.1,
            half_open_share: 1.0 / 3.0,
            prefix_share: 0.01,
            in_list_values: 5.0,
            distinct_values: 200.0,
            limit_rows: 100.0,
            index_cache_share: 0.5,
            ordered_correlation: 0.9,
            upkeep_seconds: 604_800.0,
            upkeep_ms_per_byte: 1e-5,
            upkeep_bytes_knee: 10.0 * GIB,
            shard_upkeep_ms: 0.001,
            rewritten_share: 0.01,
            skew_weight: 0.1,
            shard_bytes_target: 10.0 * GIB,
            shard_bytes_min: GIB,
            gain_named_ms: 1.0,
            planning_budget_share: 1.0,
            shards_budget_min: 16,
            lock_share: 0.5,
            statements_per_core: 4.0,
            shards_unpruned_max: 128,
            shards_pruned_max: 1024,
            hot_share: 0.01,
            evidence_share: 0.95,
            evidence_statements_max: 500,
            evidence_draws: 5,
            evidence_shards_max: 64,
            evidence_growth_max: 2.0,
            worsening_max: 0.1,
            shards_ahead_min: 2,
            gain_min: 0.1,
            second_column_gain_min: 0.01,
            unit_tolerance: 0.1,
            unit_saving_tolerance: 0.02,
            colocation_tolerance: 0.15,
            change_gain_min: 0.15,
            drift_tolerance: 0.02,
            drift_skew: 0.5,
            drift_size: 0.25,
            change_row_ms: 0.01,
            change_payback_seconds: 30.0 * 86_400.0,
            colocation_share: 0.05,
            colocation_gain: 0.001,
            outlier_share: 0.005,
            outlier_stretch: 4.0,
            sentinel_gap: 20.0 * 365.25 * 86_400e6,
            outside_share_max: 0.5,
            follow_share: 0.1,
            distinct_per_shard: 2.0,
            calls_trusted: 1000.0,
            candidates_max: 32,
            suggesting_share: 0.01,
            samples_trusted: 100.0,
            range_correlation: 0.5,
            list_values_max: 200.0,
            list_covered_share: 0.95,
            heavy_share: 0.05,
            pairs_max: 3,
            pair_share: 0.2,
            edge_near_share: 0.25,
        }
    }
}

impl CostConstants {
    /// Milliseconds to plan a statement that keeps `shards` of a table's
    /// shards: linear between the measured points in logarithms of both.
    #[must_use]
    pub fn planning_ms(&self, shards: f64, joined: bool) -> f64 {
        let measured = if joined { &self.planning_join_ms } else { &self.planning_scan_ms };
        let shards = shards.max(1.0);
        let mut before = (1.0, self.planning_pruned_ms);
        let mut after = before;
        for point in measured {
            before = after;
            after = *point;
            if shards <= point.0 {
                break;
            }
        }
        let slope = (after.1 / before.1).ln() / (after.0 / before.0).ln();
        before.1 * (shards / before.0).powf(slope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planning_follows_the_measured_points() {
        let constants = CostConstants::default();
        for (shards, joined, expected) in [
            (1.0, false, 0.02),
            (32.0, false, 0.15),
            (128.0, false, 0.85),
            (1024.0, false, 46.0),
            (128.0, true, 7.8),
            (1024.0, true, 600.0),
        ] {
            let found = constants.planning_ms(shards, joined);
            assert!((found - expected).abs() < 1e-9 * expected.max(1.0), "{shards} {joined}: {found}");
        }
        let mut last = 0.0;
        for shards in 1..5000 {
            let now = constants.planning_ms(f64::from(shards), false);
            assert!(now > last, "{shards}");
            last = now;
        }
    }
}
