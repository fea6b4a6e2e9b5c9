//! Laws of whole proposals, over generated schemas.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod schemas;

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use pg_presplit::planning::proposal::Method;
use pg_presplit::planning::proposal::Proposal;
use pg_presplit::planning::proposal::ProposalError;
use pg_presplit::planning::proposal::propose;
use pg_presplit::planning::proposal::propose_unless;
use rayon::ThreadPoolBuilder;
use schemas::Schema;

fn json(proposal: &Proposal) -> String {
    serde_json::to_string(proposal).expect("JSON")
}

#[test]
fn a_few_tables_are_chosen_exactly_and_groups_agree() {
    let mut grouped = 0;
    for seed in 0..40 {
        let schema = Schema::generated(seed, 2 + seed as usize % 9, 60);
        let proposal = propose(&schema.input()).expect("a proposal");
        let search = proposal.search.as_ref().expect("a search");
        assert!(search.gap < 1e-9 && search.method < Method::LargeNeighborhoods, "{seed}: {search:?}");
        for group in proposal.sharded_together() {
            let layouts: Vec<_> = group.iter().filter_map(|one| one.layout.as_ref()).collect();
            let bounds = |at: usize| layouts[at].shards().iter().map(|shard| &shard.bound);
            assert!((1..layouts.len()).all(|at| bounds(0).eq(bounds(at))), "{seed}");
            grouped += usize::from(layouts.len() > 1);
        }
        let read: Proposal = serde_json::from_str(&json(&proposal)).expect("a proposal");
        assert_eq!(json(&read), json(&proposal), "{seed}");
    }
    assert!(grouped > 1, "{grouped} groups");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let schema = Schema::generated(5, 40, 300);
    let proposed: Vec<String> = [1, 2, 7]
        .into_iter()
        .map(|threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| json(&propose(&schema.input()).expect("a proposal")))
        })
        .collect();
    assert!(proposed.iter().all(|one| *one == proposed[0]));
}

#[test]
fn a_proposal_that_is_told_to_stop_stops() {
    let schema = Schema::generated(3, 30, 100);
    let asked = AtomicUsize::new(0);
    let whole = propose_unless(&schema.input(), &|| {
        asked.fetch_add(1, Ordering::Relaxed);
        false
    });
    assert!(whole.is_ok());
    let times = asked.load(Ordering::Relaxed);
    assert!(times > 60, "{times}");
    for at in [0, 10, 40, times / 2] {
        let asked = AtomicUsize::new(0);
        let stopped = propose_unless(&schema.input(), &|| asked.fetch_add(1, Ordering::Relaxed) >= at);
        assert_eq!(stopped.expect_err("stopped"), ProposalError::Interrupted);
    }
}
