//! The same decision is the same proposal, whatever was estimated of it.

use serde_json::Value;

use crate::model::settings::UniquePolicy;
use crate::planning::proposal::Proposal;
use crate::planning::proposal::tests::fixture::*;

fn identity(fixture: &Fixture) -> Value {
    fixture.propose().unwrap().identity()
}

fn json(proposal: &Proposal) -> String {
    serde_json::to_string(proposal).unwrap()
}

/// The fixture some time later: its tables have grown by a share.
fn later(fixture: &Fixture, days: f64, share: f64) -> Fixture {
    let micros = (days * DAY as f64) as i64;
    fixture.clone().with(|fixture| {
        for growth in fixture.growth.values_mut() {
            growth.origin += micros;
            growth.rows_now *= 1.0 + share;
            growth.bytes_now *= 1.0 + share;
            for point in growth.rows.iter_mut().chain(&mut growth.bytes) {
                point.at += micros;
                point.value *= 1.0 + share;
                point.upper *= 1.0 + share;
            }
            if let Some(time) = &mut growth.event_time {
                let last = time.curve.last().copied().unwrap();
                time.curve.push(crate::planning::forecast::Observation {
                    at: last.at + micros,
                    value: last.value * (1.0 + share),
                });
            }
        }
        for statement in &mut fixture.workload.statements {
            statement.calls *= 1.0 + share;
            statement.exec_ms *= 1.0 + 2.0 * share;
        }
    })
}

#[test]
fn estimates_are_no_part_of_it() {
    for fixture in [events(200.0), events(40.0), events(10.0), accounts(400.0), accounts(0.1)] {
        let before = fixture.propose().unwrap();
        // It is a Thursday.
        for (days, share) in [(0.0, 0.01), (0.5, 0.01), (3.9, 0.02)] {
            let after = later(&fixture, days, share).propose().unwrap();
            assert_ne!(json(&before), json(&after), "the numbers are new");
            assert_eq!(before.identity(), after.identity(), "{days} days, {share}");
        }
    }
}

#[test]
fn ranges_go_on_from_week_to_week() {
    let fixture = events(200.0);
    let bounds = |fixture: &Fixture| {
        let layout = fixture.relation("events").layout.unwrap();
        layout.shards().iter().map(|shard| shard.bound.clone()).collect::<Vec<_>>()
    };
    let mut changes = 0;
    for day in 1..=28 {
        let (before, after) =
            (later(&fixture, f64::from(day - 1), 0.0), later(&fixture, f64::from(day), 0.0));
        if bounds(&before) != bounds(&after) {
            changes += 1;
            // The fourth day is a Monday.
            assert_eq!(day % 7, 4);
        }
    }
    assert_eq!(changes, 4);
}

#[test]
fn another_decision_is_another_proposal() {
    let fixture = events(200.0);
    let whole = identity(&fixture);
    let strict = |fixture: &mut Fixture| fixture.settings.unique_policy = UniquePolicy::Extend;
    let kept = |fixture: &mut Fixture| fixture.settings.retention_policy = "drop after 1 year".to_owned();
    let longer = |fixture: &mut Fixture| fixture.horizon_days = 365;
    assert_ne!(whole, identity(&fixture.clone().with(strict)));
    assert_ne!(whole, identity(&fixture.clone().with(kept)));
    assert_ne!(whole, identity(&fixture.clone().with(longer)));
    assert_ne!(whole, identity(&events(40.0)));
    // A person's choice is his own, also of what was found.
    let found = fixture.propose().unwrap();
    assert_ne!(whole, found.choose(&name("events"), 1).unwrap().identity());
    let again = found.choose(&name("events"), 1).unwrap();
    let chosen = later(&fixture, 1.0, 0.01).propose().unwrap().choose(&name("events"), 1).unwrap();
    assert_eq!(again.identity(), chosen.identity());
    // What is registered by hand is not what was chosen from more.
    let bounds = serde_json::json!({});
    let registered = crate::planning::proposal::tests::hand::hand(
        &fixture,
        "events",
        crate::model::key::Strategy::None,
        &[],
        &bounds,
    );
    let whole_rank =
        found.relations[0].candidates.iter().find(|one| one.strategy.word() == "none").unwrap().rank;
    let mut by_hand = found.choose(&name("events"), whole_rank).unwrap();
    let left = by_hand.identity();
    by_hand.relations = vec![registered.unwrap()];
    assert_ne!(left, by_hand.identity());
    // What is measured anew does not matter.
    let rated = |fixture: &mut Fixture| fixture.settings.peak_qps = Some(0.11);
    assert_eq!(whole, identity(&fixture.with(rated)));
}

#[test]
fn identities_have_no_estimates() {
    fn numbers(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.is_f64(),
            Value::Array(values) => values.iter().any(numbers),
            Value::Object(fields) => fields.values().any(numbers),
            _ => false,
        }
    }
    for fixture in [events(200.0), accounts(400.0)] {
        assert!(!numbers(&identity(&fixture)));
    }
}

#[test]
fn what_was_weighed_keeps_its_rank() {
    let before = events(200.0).propose().unwrap();
    let mut fresh = later(&events(200.0), 1.0, 0.01).propose().unwrap();
    let candidates = &mut fresh.relations[0].candidates;
    assert!(candidates.len() >= 3, "{}", candidates.len());
    // Another order, one gone, one new.
    candidates[1..].reverse();
    let gone = candidates.pop().unwrap();
    let mut new = candidates[1].clone();
    new.shard_key = vec!["body".to_owned()];
    candidates.insert(1, new);
    let refreshed = before.refreshed(&fresh);
    let rank = |proposal: &Proposal, key: &[String], word: &str| {
        let all = &proposal.relations[0].candidates;
        all.iter().find(|one| one.shard_key == key && one.strategy.word() == word).map(|one| one.rank)
    };
    for known in &before.relations[0].candidates {
        let found = rank(&refreshed, &known.shard_key, known.strategy.word());
        let lost = known.shard_key == gone.shard_key && known.strategy == gone.strategy;
        assert_eq!(found, (!lost).then_some(known.rank), "{:?}", known.shard_key);
    }
    let ranks: Vec<u32> = refreshed.relations[0].candidates.iter().map(|one| one.rank).collect();
    assert!(ranks[0] == 1 && ranks.windows(2).all(|pair| pair[0] < pair[1]), "{ranks:?}");
    assert_eq!(refreshed.flaw(), None);
    assert_eq!(refreshed.identity(), before.identity());
    // Every rank of the stored one chooses the same way.
    let bytes = refreshed.relations[0].bytes_at_horizon;
    assert!(bytes > before.relations[0].bytes_at_horizon, "the numbers are of today");
}

/// A table that is cut at quantiles of an ordered key without calendar.
fn quantiles() -> Fixture {
    let mut wide = table("t", &[("k", "bigint"), ("tenant", "integer"), ("v", "text")]);
    let known = |column: &mut crate::model::profile::Column, values: &dyn Fn(i64) -> i64| {
        let found = column.statistics.get_or_insert_default();
        found.histogram = (0..=100).map(|at| values(at).to_string()).collect();
        found.correlation = Some(0.1);
    };
    known(&mut wide.columns[0], &|at| at * at * 1000);
    Fixture::new().table(wide, 300.0).statement(864_000.0, 1e9, &[("t", &[range("k")])])
}

/// A table that is cut into lists.
fn lists() -> Fixture {
    let mut few = table("t", &[("region", "integer"), ("v", "text")]);
    let found = few.columns[0].statistics.get_or_insert_default();
    found.distinct = 12.0;
    found.common_values = (1..=12).map(|value| value.to_string()).collect();
    found.common_fractions = vec![0.2, 0.15, 0.1, 0.09, 0.08, 0.07, 0.07, 0.06, 0.055, 0.05, 0.04, 0.035];
    few.columns[0].hashable = false;
    Fixture::new().table(few, 60.0).statement(864_000.0, 1e9, &[("t", &[equality("region")])])
}

/// The statistics as another sample would have them.
fn resampled(fixture: &Fixture, seed: i64) -> Fixture {
    let mut at = seed;
    let mut noise = move || {
        at = (at * 1_103_515_245 + 12_345) % 2_147_483_648;
        at as f64 / 2_147_483_648.0 - 0.5
    };
    later(fixture, 0.1, 0.01).with(|fixture| {
        for table in &mut fixture.profile.tables {
            for found in table.columns.iter_mut().filter_map(|column| column.statistics.as_mut()) {
                found.common_fractions.iter_mut().for_each(|share| *share *= 1.0 + 0.05 * noise());
                for value in &mut found.histogram {
                    let number: f64 = value.parse().unwrap();
                    *value = format!("{:.0}", number * (1.0 + 0.005 * noise()));
                }
                found.histogram.sort_by_key(|value| value.parse::<i64>().unwrap());
            }
        }
    })
}

/// The fixture where that was proposed before.
fn after(fixture: &Fixture, proposal: &Proposal) -> Fixture {
    let layouts = proposal.relations.iter().map(|found| (found.relation.clone(), found.layout.clone()));
    fixture.clone().with(|fixture| fixture.earlier = layouts.collect())
}

#[test]
fn another_sample_of_the_same_data_is_no_other_proposal() {
    let mut moved = 0;
    for fixture in [quantiles(), lists(), events(40.0), accounts(400.0), accounts(0.1)] {
        let mut before = fixture.propose().unwrap();
        for seed in 1..20 {
            let fresh = resampled(&fixture, seed);
            moved += usize::from(fresh.propose().unwrap().identity() != before.identity());
            let again = after(&fresh, &before).propose().unwrap();
            assert_eq!(again.identity(), before.identity(), "{seed}");
            before = again;
        }
    }
    assert!(moved > 20, "{moved}");
}

#[test]
fn the_same_facts_lead_to_the_same_proposal_once_more() {
    for fixture in [quantiles(), lists(), events(200.0), events(40.0), accounts(400.0), accounts(0.1)] {
        let first = fixture.propose().unwrap();
        let second = after(&fixture, &first).propose().unwrap();
        assert_eq!(second.relations, first.relations);
    }
}

#[test]
fn a_size_on_the_border_does_not_swing_between_two_proposals() {
    // Without the earlier one the number of shards would change at once.
    let (small, large) = (accounts(132.0), accounts(135.0));
    assert_ne!(identity(&small), identity(&large));
    let first = small.propose().unwrap();
    assert_eq!(after(&large, &first).propose().unwrap().identity(), first.identity());
    let first = large.propose().unwrap();
    assert_eq!(after(&small, &first).propose().unwrap().identity(), first.identity());
    // Much more is not ignored.
    let first = small.propose().unwrap();
    let huge = accounts(2000.0);
    assert_eq!(after(&huge, &first).propose().unwrap().identity(), identity(&huge));
}

#[test]
fn an_earlier_proposal_that_does_not_fit_any_more_is_forgotten() {
    // Other statements.
    let mut asked = table("t", &[("a", "bigint"), ("b", "bigint")]);
    asked.indexes.push(index("t_a", false, &[Some("a")]));
    asked.indexes.push(index("t_b", false, &[Some("b")]));
    let by = |column: &str| {
        Fixture::new().table(asked.clone(), 400.0).statement(8.64e6, 1e6, &[("t", &[equality(column)])])
    };
    let first = by("a").propose().unwrap();
    assert_eq!(after(&by("b"), &first).propose().unwrap().identity(), identity(&by("b")));
    // Another week, a lower limit, a name that is taken by now.
    let ranges = events(200.0);
    let first = ranges.propose().unwrap();
    let next = later(&ranges, 7.0, 0.0);
    assert_eq!(after(&next, &first).propose().unwrap().identity(), identity(&next));
    let fewer = ranges.clone().with(|fixture| fixture.settings.shards_per_table_max = 20);
    assert_eq!(after(&fewer, &first).propose().unwrap().identity(), identity(&fewer));
    let taken = ranges.with(|fixture| {
        let mut other = table("events_s0001", &[("id", "bigint")]);
        other.rows = 1.0;
        fixture.profile.tables.push(other);
    });
    assert_eq!(after(&taken, &first).propose().unwrap().identity(), identity(&taken));
    // What was to stay whole, and is worth cutting now.
    let whole = accounts(0.1).propose().unwrap();
    assert_eq!(shape(&whole.relations[0]), "none");
    assert_eq!(after(&accounts(400.0), &whole).propose().unwrap().identity(), identity(&accounts(400.0)));
}
