//! Properties: layouts cover once, answers repeat, names do not meet.

use std::collections::BTreeSet;

use proptest::prelude::ProptestConfig;
use proptest::proptest;

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::key::KeyType;
use crate::model::layout::Layout;
use crate::planning::forecast::Observation;
use crate::planning::proposal::Proposal;
use crate::planning::proposal::tests::fixture::*;

/// How many shards but DEFAULT accept a moment.
fn accepting(layout: &Layout, at: i64, kind: KeyType) -> usize {
    let text = RangeDatum::Value(kind.write_moment(at).unwrap());
    let within = |bound: &Bound| match bound {
        Bound::Range { lower, upper } => {
            lower[0].compare(&text, kind).unwrap().is_le() && text.compare(&upper[0], kind).unwrap().is_lt()
        }
        _ => false,
    };
    layout.shards().iter().filter(|shard| within(&shard.bound)).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_value_falls_into_one_shard(
        start in 0_i64..1_700_000_000,
        steps in proptest::collection::vec((1_i64..4_000_000, 0.0_f64..1e6), 2..40),
        gigabytes in 3.0_f64..3000.0,
        most in 4_usize..1024,
    ) {
        let mut curve = vec![Observation { at: start * 1_000_000, value: 0.0 }];
        for (seconds, rows) in steps {
            let last = curve[curve.len() - 1];
            curve.push(Observation { at: last.at + seconds * 1_000_000, value: last.value + rows + 1.0 });
        }
        let origin = curve[curve.len() - 1].at;
        let fixture = events(gigabytes).with(|fixture| {
            fixture.settings.shards_per_table_max = most;
            // A few rows long before all others would go to DEFAULT.
            fixture.constants.outlier_share = 0.0;
            let growth = fixture.growth.get_mut(&name("events")).unwrap();
            growth.origin = origin;
            growth.event_time.as_mut().unwrap().curve = curve.clone();
        });
        let found = fixture.relation("events");
        for layout in found.candidates.iter().filter_map(|one| one.layout.as_ref()) {
            assert!(layout.shards().len() <= most);
            let rows: f64 = layout.shards().iter().map(|shard| shard.rows).sum();
            let expected = gigabytes * GB / 100.0 * 1.1;
            assert!((rows - expected).abs() < 1e-6 * expected + 1000.0, "{rows} of {expected}");
            if layout.shard_key() != ["ts"] || !matches!(layout.shards()[0].bound, Bound::Range { .. }) {
                continue;
            }
            for seen in &curve {
                assert_eq!(accepting(layout, seen.at, KeyType::TimestampTz), 1);
            }
            assert_eq!(accepting(layout, origin + 89 * DAY, KeyType::TimestampTz), 1);
            let mut bounds = layout.shards().windows(2).filter_map(|pair| match (&pair[0].bound, &pair[1].bound) {
                (Bound::Range { upper, .. }, Bound::Range { lower, .. }) => Some(upper == lower),
                _ => None,
            });
            assert!(bounds.all(|meets| meets), "no gaps");
        }
    }
}

/// A fixture with many tables.
fn crowd() -> Fixture {
    let mut fixture = events(200.0);
    let other = accounts(400.0);
    fixture.profile.tables.extend(other.profile.tables);
    fixture.growth.extend(other.growth);
    fixture.workload.statements.extend(other.workload.statements);
    for number in 0..20 {
        let name = format!("t{number}");
        let columns = [("id", "bigint"), ("ts", "date"), ("other", "bigint")];
        let mut table = table(&name, &columns).keyed(&["id"]);
        table.constraints.push(foreign_key("f", &["other"], "accounts", &["id"]));
        fixture = fixture.table(table, f64::from(number) * 7.0).statement(
            f64::from(number) * 100.0,
            1e5,
            &[
                (&name, &[equality("id"), join("other", "app.accounts(id)")]),
                ("accounts", &[join("id", &format!("app.{name}(other)"))]),
            ],
        );
    }
    fixture
}

#[test]
fn the_same_facts_yield_the_same_bytes() {
    let fixture = crowd();
    let json = |fixture: &Fixture| serde_json::to_string(&fixture.propose().unwrap()).unwrap();
    let first = json(&fixture);
    assert_eq!(first, json(&fixture));
    let reversed = fixture.with(|fixture| fixture.profile.tables.reverse());
    assert_eq!(first, json(&reversed));
    // What is stored reads back as what it was, byte for byte.
    let read: Proposal = serde_json::from_str(&first).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), first);
}

#[test]
fn every_answer_is_whole() {
    let proposal = crowd().propose().unwrap();
    assert_eq!(proposal.relations.len(), 22);
    assert!(proposal.relations.windows(2).all(|pair| pair[0].relation < pair[1].relation));
    for found in &proposal.relations {
        let candidates = &found.candidates;
        let whole: Vec<_> = candidates.iter().filter(|one| one.strategy.word() == "none").collect();
        assert_eq!(whole.len(), 1, "{}", found.relation);
        assert_eq!(candidates[0].strategy, found.strategy);
        assert_eq!(candidates[0].layout, found.layout);
        assert!(candidates[0].legal && candidates.iter().zip(1..).all(|(one, rank)| one.rank == rank));
        let legal = candidates.iter().skip(1).filter(|one| one.legal);
        let costs: Vec<_> = legal.map(|one| one.cost).collect();
        assert!(costs.windows(2).all(|pair| pair[0] <= pair[1]), "{costs:?}");
        for one in candidates {
            let sum: f64 = one.terms.iter().map(|term| term.value).sum();
            assert!((sum - one.cost).abs() <= 1e-4 * one.cost.max(1e-9), "{sum} {}", one.cost);
            assert!(one.terms.iter().all(|term| term.value >= 0.0 && term.value.is_finite()));
            assert!(one.cost_share.is_finite() && !one.reason.is_empty());
            assert!((0.0..=1.0).contains(&one.rows_scanned_share));
        }
    }
}

#[test]
fn names_of_shards_do_not_meet() {
    let long = "x".repeat(58);
    let mut fixture = Fixture::new();
    let mut names = vec![format!("{long}_one"), format!("{long}_two"), "a".to_owned(), "b_2".to_owned()];
    names.push("a_s0001".to_owned());
    names.push("b_default".to_owned());
    names.push("b".to_owned());
    for name in &names {
        fixture = fixture.table(table(name, &[("ts", "date")]), 50.0);
        fixture = fixture.statement(1e4, 1e5, &[(name, &[range("ts")])]);
    }
    let proposal = fixture.propose().unwrap();
    let mut taken: BTreeSet<String> = names.into_iter().collect();
    for found in &proposal.relations {
        for shard in found.layout.as_ref().unwrap().shards() {
            assert!(shard.name.len() <= 63);
            assert!(taken.insert(shard.name.clone()), "{} of {}", shard.name, found.relation);
        }
    }
    // Asked alone, a table's shards have the same names.
    let only = fixture.with(|fixture| fixture.only = Some(name("a")));
    let alone = only.propose().unwrap();
    let of = |proposal: &Proposal| {
        let found = proposal.relations.iter().find(|found| found.relation == name("a")).unwrap();
        found.layout.as_ref().unwrap().shards()[0].name.clone()
    };
    assert_eq!(of(&alone), of(&proposal));
    assert_eq!(of(&alone), "a_2_s0001");
}

#[test]
fn odd_facts_do_no_harm() {
    let mut empty = events(0.0);
    empty.profile.tables[0].rows = 0.0;
    check(&empty, "events", "none");
    // No growth entry, no statistics, no bytes.
    let bare = Fixture::new().with(|fixture| {
        let mut bare = table("bare", &[("id", "bigint"), ("ts", "date")]).keyed(&["id"]);
        bare.columns.iter_mut().for_each(|column| column.statistics = None);
        (bare.heap_bytes, bare.index_bytes) = (0.0, 0.0);
        fixture.profile.tables.push(bare);
    });
    check(&bare, "bare", "none");
    let odd = events(200.0).with(|fixture| {
        fixture.horizon_days = 0;
        let growth = fixture.growth.get_mut(&name("events")).unwrap();
        growth.rows.clear();
        growth.bytes.clear();
        growth.event_time.as_mut().unwrap().curve.clear();
        fixture.workload.seconds = Some(0.0);
    });
    let found = odd.relation("events");
    assert!(found.candidates.iter().all(|one| one.cost.is_finite()));
    let by_time = found.candidates.iter().find(|one| one.shard_key == ["ts"]).unwrap();
    assert!(by_time.reason.contains("The profile has no values of ts"), "{}", by_time.reason);
}
