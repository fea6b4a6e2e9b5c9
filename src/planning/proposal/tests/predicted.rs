//! What is predicted and where it will run: peak queries, volume, retention,
//! cores and the settings of the server each change a proposal.

use crate::model::access::Access;
use crate::model::access::AccessKind;
use crate::model::access::Analysis;
use crate::model::key::Strategy;
use crate::model::retention::RetentionPolicy;
use crate::planning::proposal::CandidateSummary;
use crate::planning::proposal::RelationProposal;
use crate::planning::proposal::tests::fixture::*;

fn count(found: &RelationProposal) -> usize {
    found.layout.as_ref().map_or(1, |layout| layout.shards().len())
}

fn by(found: &RelationProposal, strategy: Strategy) -> &CandidateSummary {
    found.candidates.iter().find(|one| one.strategy == strategy).expect("it was weighed")
}

fn term(found: &CandidateSummary, name: &str) -> f64 {
    found.terms.iter().find(|term| term.name == name).expect("the term").value
}

/// Events that are looked up by an indexed tenant alone.
fn looked_up(gigabytes: f64) -> Fixture {
    let fixture = events(gigabytes).edit("events", |table| {
        table.indexes.push(index("events_tenant", false, &[Some("tenant")]));
        // Its entries arrive in order.
        if let Some(found) = &mut table.columns[2].statistics {
            found.correlation = Some(1.0);
        }
    });
    fixture.with(|fixture| {
        fixture.workload.statements.remove(0);
    })
}

#[test]
fn more_queries_at_peak_make_shards_fewer() {
    // One in ten of them cannot be pruned by time, and is planned for all shards.
    let peak = |qps: Option<f64>| {
        let fixture = events(2000.0).edit("events", |table| {
            table.indexes.push(index("events_tenant", false, &[Some("tenant")]));
        });
        fixture.with(|fixture| fixture.settings.peak_qps = qps).relation("events")
    };
    let (calm, busy, frantic) = (peak(None), peak(Some(200_000.0)), peak(Some(1e6)));
    assert_eq!(calm.strategy, Strategy::Range);
    assert!(count(&calm) > 60, "{}", shape(&calm));
    let planned = by(&busy, Strategy::Range);
    assert!(planned.shard_count < count(&calm) / 2, "{} {}", planned.shard_count, count(&calm));
    assert!(term(planned, "planning") > term(by(&calm, Strategy::Range), "planning"));
    assert!(by(&frantic, Strategy::Range).shard_count <= 16);
}

#[test]
fn a_larger_volume_makes_more_shards() {
    let volume =
        |gigabytes: f64| shape(&accounts(100.0).declared("accounts", gigabytes).relation("accounts"));
    assert_eq!(volume(1.0), "none");
    assert_eq!(volume(100.0), "hash(id) x 16");
    assert_eq!(volume(1000.0), "hash(id) x 128");
}

#[test]
fn retention_makes_time_the_key() {
    let kept = |policy: &str| {
        let policy = policy.to_owned();
        looked_up(20.0).with(|fixture| {
            fixture.constants.upkeep_ms_per_byte = 0.0;
            // A thousand rows a second.
            fixture.growth.get_mut(&name("events")).unwrap().rows[0].value += 1000.0 * 90.0 * 86_400.0;
            fixture.settings.retention_policy = policy;
        })
    };
    let (forever, quarter) = (kept("").relation("events"), kept("drop after 90 days").relation("events"));
    assert_eq!((forever.strategy, quarter.strategy), (Strategy::None, Strategy::Range));
    let (whole, ranges) = (by(&quarter, Strategy::None), by(&quarter, Strategy::Range));
    // What comes in goes out, row by row or a shard at a time.
    assert!(term(whole, "retention") > 25.0, "{}", term(whole, "retention"));
    assert!(term(ranges, "retention") < 0.001, "{}", term(ranges, "retention"));
    assert_eq!(term(by(&forever, Strategy::None), "retention"), 0.0);
    // Merging and moving take nothing away.
    let moved = kept("archive after 30 days to tablespace cold; merge after 20 days into 1 month");
    assert_eq!(moved.relation("events").strategy, Strategy::None);
}

#[test]
fn shards_are_not_longer_than_rows_are_kept() {
    let longest = |policy: &str| {
        let policy = policy.to_owned();
        let found = events(10.0).with(|fixture| {
            fixture.constants.shard_bytes_min = 0.01 * GB;
            fixture.constants.unit_tolerance = 2.0;
            fixture.constants.unit_saving_tolerance = 2.0;
            fixture.constants.delete_row_ms = 1000.0;
            fixture.settings.retention_policy = policy;
        });
        let found = found.relation("events");
        let layout = found.layout.expect("it is sharded");
        layout.shards()[0].bound.sql()
    };
    let weeks = "FOR VALUES FROM ('2024-12-30 00:00:00+00') TO ('2025-01-06 00:00:00+00')";
    assert_eq!(longest("drop after 10 days"), weeks);
    assert_eq!(longest("drop after 1 year"), longest(""));
    assert_ne!(longest(""), weeks);
}

#[test]
fn a_table_has_a_policy_of_its_own() {
    let own = |policy: &str| {
        let policy = RetentionPolicy::parse(policy).unwrap();
        let fixture = looked_up(20.0).with(|fixture| {
            fixture.settings.retention_policy = "drop after 90 days".to_owned();
            fixture.retention.insert(name("events"), policy);
        });
        term(by(&fixture.relation("events"), Strategy::None), "retention")
    };
    assert_eq!(own(""), 0.0);
    assert!(own("drop after 1 year") > 0.0);
    // Without an event time no row has an age.
    let timeless =
        accounts(100.0).with(|fixture| fixture.settings.retention_policy = "drop after 1 day".to_owned());
    assert_eq!(term(by(&timeless.relation("accounts"), Strategy::None), "retention"), 0.0);
}

#[test]
fn cores_make_hash_shards_more_and_scans_faster() {
    let cores = |cores| accounts(30.0).with(|fixture| fixture.cores = cores).relation("accounts");
    assert_eq!(
        (shape(&cores(2)), shape(&cores(16))),
        ("hash(id) x 4".to_owned(), "hash(id) x 16".to_owned())
    );
    // Scans by workers: fewer rows to save, so that shards are worth less.
    let parallel = |workers: u32, cores: u32| {
        let fixture = events(200.0).with(|fixture| {
            fixture.server.parallel_workers = workers;
            fixture.cores = cores;
        });
        let found = fixture.relation("events");
        (term(by(&found, Strategy::None), "cpu"), count(&found))
    };
    let (one, eight) = (parallel(0, 32), parallel(8, 32));
    assert!(eight.0 < one.0 / 6.0 && eight.0 > one.0 / 8.0, "{one:?} {eight:?}");
    assert_eq!(parallel(8, 1).0, one.0, "no more workers than there are cores");
}

#[test]
fn the_lock_table_limits_shards() {
    let slots = |slots: f64, calls: f64| {
        let fixture = events(2000.0).edit("events", |table| {
            table.indexes.push(index("events_tenant", false, &[Some("tenant")]));
        });
        let fixture = fixture.with(|fixture| {
            fixture.server.lock_slots = slots;
            fixture.workload.statements[1].calls = calls;
            fixture.workload.statements[1].exec_ms = calls * 100.0;
        });
        count(&fixture.relation("events"))
    };
    let plenty = slots(6400.0, 864.0);
    assert!(plenty > 60, "{plenty}");
    // Half of it, two locks a shard.
    assert!(slots(100.0, 864.0) <= 25, "{}", slots(100.0, 864.0));
    // Ten of a hundred milliseconds run at a time.
    let busy = slots(1000.0, 8_640_000.0);
    assert!(busy <= 25 && slots(1000.0, 864.0) > 25, "{busy}");
}

#[test]
fn aggregates_by_shard_count_only_where_the_server_does_it() {
    let grouped = |on: bool| {
        let access = Access { prunable: false, ..Access::of(AccessKind::GroupBy, "id") };
        let fixture = accounts(400.0).statement(240.0, 1e6, &[("accounts", &[access])]);
        let fixture = fixture.with(|fixture| {
            fixture.server.partitionwise_aggregate = on;
            fixture.server.hash_mem_bytes = 8.0 * GB;
        });
        fixture.relation("accounts")
    };
    let (off, on) = (grouped(false), grouped(true));
    let aggregate = |found: &RelationProposal, strategy| term(by(found, strategy), "aggregate");
    assert!(aggregate(&off, Strategy::None) > 0.0);
    assert_eq!(aggregate(&off, Strategy::None), aggregate(&off, Strategy::Hash));
    assert_eq!(aggregate(&on, Strategy::None), aggregate(&off, Strategy::None));
    assert!(aggregate(&on, Strategy::Hash) < 0.1 * aggregate(&on, Strategy::None));
    // Off, the number is named.
    let named = |found: &RelationProposal| {
        by(found, Strategy::Hash).warnings.iter().any(|warning| {
            warning.starts_with("Aggregates by the shard key would save ")
                && warning.contains("ms/s with enable_partitionwise_aggregate = on")
        })
    };
    assert!(named(&off) && !named(&on), "{:?}", off.warnings);
    // Groups of other columns gain nothing.
    let other = accounts(400.0).with(|fixture| {
        let mut statement = fixture.workload.statements[0].clone();
        if let Analysis::Facts(facts) = &mut statement.analysis {
            facts.mentions[0].accesses = vec![Access::of(AccessKind::GroupBy, "email")];
        }
        fixture.workload.statements.push(statement);
    });
    assert!(!named(&other.relation("accounts")));
}

#[test]
fn a_unit_of_two_levels_is_dropped_as_a_whole() {
    let policy = |policy: &str| {
        let fixture =
            events(2000.0).statement(86_400.0, 9e6, &[("events", &[equality("tenant"), range("ts")])]);
        let fixture = fixture.with(|fixture| fixture.settings.retention_policy = policy.to_owned());
        let found = fixture.relation("events");
        found
            .candidates
            .into_iter()
            .filter(|one| one.layout.is_some() || one.strategy == Strategy::None)
            .collect::<Vec<_>>()
    };
    for one in policy("drop after 2 years") {
        let dropped = term(&one, "retention");
        let by_time = one.shard_key.first().is_some_and(|column| column == "ts");
        assert!(
            dropped > 0.0 && (dropped < 0.1) == by_time,
            "{:?} {:?} {dropped}",
            one.strategy,
            one.shard_key
        );
    }
    assert!(policy("").iter().all(|one| term(one, "retention") == 0.0));
}
