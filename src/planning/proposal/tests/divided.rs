//! Ranges of two columns: heavy values of the first divided by the second.

use proptest::prelude::ProptestConfig;
use proptest::proptest;

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::bound::compare_points;
use crate::model::key::KeyType;
use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::profile::ColumnStatistics;
use crate::model::settings::UniquePolicy;
use crate::planning::proposal::RelationProposal;
use crate::planning::proposal::option;
use crate::planning::proposal::option::Weighed;
use crate::planning::proposal::stem;
use crate::planning::proposal::subject;
use crate::planning::proposal::tests::fixture::*;
use crate::planning::proposal::touch::Pruning;

/// Orders of regions, by a key of both; region 3 has that share of the rows.
fn orders(gigabytes: f64, share: f64, key: &[&str]) -> Fixture {
    let mut orders =
        table("orders", &[("region_id", "integer"), ("id", "bigint"), ("note", "text")]).keyed(key);
    orders.columns[0].statistics = Some(ColumnStatistics {
        distinct: 20.0,
        correlation: Some(0.2),
        common_values: (1..=20).map(|value| value.to_string()).collect(),
        common_fractions: (1..=20)
            .map(|value| if value == 3 { share } else { (1.0 - share) / 19.0 })
            .collect(),
        ..ColumnStatistics::default()
    });
    orders.columns[1].statistics = Some(ColumnStatistics {
        distinct: -0.9,
        correlation: Some(0.0),
        histogram: (0..=100).map(|value| (value * 100).to_string()).collect(),
        ..ColumnStatistics::default()
    });
    Fixture::new().table(orders, gigabytes)
}

/// Statements that scan some ids of one region.
fn scanned(fixture: Fixture) -> Fixture {
    let fixture = fixture.edit("orders", |table| table.indexes.clear());
    fixture.statement(86_400.0, 1e7, &[("orders", &[equality("region_id"), range("id")])])
}

fn by<'a>(
    found: &'a RelationProposal,
    key: &[&str],
) -> Option<&'a crate::planning::proposal::CandidateSummary> {
    found.candidates.iter().find(|one| one.strategy == Strategy::Range && one.shard_key == key)
}

#[test]
fn a_heavy_region_is_divided_by_id() {
    let fixture = scanned(orders(100.0, 0.4, &["region_id", "id"]));
    let found = fixture.relation("orders");
    assert_eq!(found.candidates[0].shard_key, ["region_id", "id"], "{}", found.reason);
    let layout = found.layout.as_ref().unwrap();
    let bounds: Vec<String> =
        layout.shards().iter().map(|shard| shard.bound.sql().replace("FOR VALUES ", "")).collect();
    let of_three = |bound: &&String| bound.starts_with("FROM ('3', ");
    let three: Vec<&String> = bounds.iter().filter(of_three).collect();
    // 48 GB at the 90th percentile, shards of 10 GB.
    assert!(three.len() >= 4, "{bounds:#?}");
    assert!(three[0].starts_with("FROM ('3', MINVALUE) TO ('3', '"), "{bounds:#?}");
    assert!(bounds[0].starts_with("FROM (MINVALUE, MINVALUE) TO ("), "{bounds:#?}");
    assert_eq!(bounds.last().map(String::as_str), Some("DEFAULT"));
    let largest = layout.shards().iter().map(|shard| shard.bytes).fold(0.0, f64::max);
    assert!(largest < 20.0 * GB, "{largest}");
    assert!(found.reason.contains("heavy values of region_id are divided by id"), "{}", found.reason);
    // A list of the region alone has all of its rows.
    let mut lists = found.candidates.iter().filter(|one| one.strategy == Strategy::List);
    let alone = lists.find(|one| one.shard_key == ["region_id"]).unwrap();
    assert!(alone.cost > found.candidates[0].cost, "{} {}", alone.cost, found.candidates[0].cost);
}

#[test]
fn it_is_proposed_only_where_it_saves_something_of_its_own() {
    // No region is heavy.
    let even = scanned(orders(100.0, 0.4, &["region_id", "id"])).edit("orders", |table| {
        let found = table.columns[0].statistics.as_mut().unwrap();
        found.common_values = (1..=40).map(|value| value.to_string()).collect();
        found.common_fractions = vec![0.025; 40];
    });
    assert!(by(&even.relation("orders"), &["region_id", "id"]).is_none());
    // Where it is proposed, one column costs more by what is asked for.
    let asked = scanned(orders(100.0, 0.4, &["region_id", "id"]));
    let found = asked.relation("orders");
    let whole = found.candidates.iter().find(|one| one.strategy == Strategy::None).unwrap().cost;
    for one in found.candidates.iter().filter(|one| one.legal && one.shard_key.len() == 1) {
        assert!(found.candidates[0].cost + 0.01 * whole < one.cost, "{} {}", one.reason, found.reason);
    }
    // It would save less than is asked of a second column.
    let asked = asked.with(|fixture| fixture.constants.second_column_gain_min = 1.0).relation("orders");
    assert_ne!(asked.candidates[0].shard_key, ["region_id", "id"], "{}", asked.reason);
}

#[test]
fn it_is_proposed_only_where_it_is_legal() {
    let fixture = scanned(orders(100.0, 0.4, &["id"]));
    let found = fixture.relation("orders");
    assert!(!by(&found, &["region_id", "id"]).unwrap().legal);
    assert_ne!(found.candidates[0].shard_key, ["region_id", "id"], "{}", found.reason);
    let extended = fixture.with(|fixture| fixture.settings.unique_policy = UniquePolicy::Extend);
    assert!(by(&extended.relation("orders"), &["region_id", "id"]).unwrap().legal);
}

fn ways(fixture: &Fixture) -> Vec<(Weighed, Layout)> {
    let input = fixture.input();
    let stems = stem::stems(&fixture.profile);
    let subjects = subject::subjects(&input, &stems, &|| false).unwrap();
    let ways = option::options(&input, &subjects[0], &|| false).unwrap().into_iter();
    let divided = ways.filter(|way| way.strategy() == Strategy::Range && way.division.key.first.len() == 2);
    let possible = divided.filter(|way| way.impossible.is_none());
    possible.map(|way| (way.clone(), way.layout(&subjects[0]).expect("a layout"))).collect()
}

/// Ascends strictly and covers everything.
fn covers(layout: &Layout, kinds: &[KeyType]) {
    let mut reached = vec![RangeDatum::MinValue; kinds.len()];
    for shard in layout.shards() {
        let Bound::Range { lower, upper } = &shard.bound else {
            assert_eq!(shard.bound, Bound::Default);
            continue;
        };
        assert_eq!(*lower, reached, "{}", shard.bound.sql());
        assert_eq!(
            compare_points(lower, upper, kinds),
            Some(std::cmp::Ordering::Less),
            "{}",
            shard.bound.sql()
        );
        reached.clone_from(upper);
    }
    assert_eq!(reached, vec![RangeDatum::MaxValue; kinds.len()]);
}

#[test]
fn the_second_column_prunes_beside_a_value_of_the_first_alone() {
    let fixture = scanned(orders(100.0, 0.4, &["region_id", "id"]))
        .statement(1e6, 1e6, &[("orders", &[equality("region_id"), equality("id")])])
        .statement(1e6, 1e6, &[("orders", &[equality("region_id")])])
        .statement(1e6, 1e6, &[("orders", &[equality("id")])])
        .statement(1e6, 1e6, &[("orders", &[range("region_id"), equality("id")])]);
    let input = fixture.input();
    let stems = stem::stems(&fixture.profile);
    let subjects = subject::subjects(&input, &stems, &|| false).unwrap();
    let (way, _) = ways(&fixture).into_iter().next().unwrap();
    let pruning = Pruning::of(&way.division);
    let touched: Vec<_> = subjects[0].traffic.uses.iter().map(|one| pruning.touch(one)).collect();
    let count = way.division.shard_count() as f64;
    let (some, one, region, id, regions) = (touched[0], touched[1], touched[2], touched[3], touched[4]);
    assert!(one.planned < 1.1 && one.planned >= 1.0, "{one:?}");
    assert!(one.planned <= some.planned && some.planned < region.planned, "{some:?} {region:?}");
    // Four in ten ask for region 3, in all of its shards.
    assert!(region.planned > 2.0 && region.planned < count / 2.0, "{region:?} of {count}");
    // DEFAULT may have rows of any region, without an id.
    assert!(region.planned > 2.0 + 0.4 * 4.0, "{region:?}");
    assert!((region.share - (0.16 + 0.6 * 0.6 / 3.0)).abs() < 0.15, "{region:?}");
    assert_eq!((id.planned, id.share), (count, 1.0));
    assert!(regions.planned > one.planned, "{regions:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn bounds_ascend_and_cover_everything(
        values in proptest::collection::btree_map(-50_i32..50, 0.01_f64..1.0, 1..8),
        ids in proptest::collection::btree_set(-1000_i64..1000, 2..30),
        gigabytes in 3.0_f64..3000.0,
        grows in proptest::bool::ANY,
        most in 3_usize..600,
    ) {
        let total: f64 = values.values().sum::<f64>() * 1.1;
        let fixture = scanned(orders(gigabytes, 0.4, &["region_id", "id"])).edit("orders", |table| {
            let found = table.columns[0].statistics.as_mut().unwrap();
            found.common_values = values.keys().map(ToString::to_string).collect();
            found.common_fractions = values.values().map(|share| share / total).collect();
            found.histogram = ["-60", "0", "60"].map(str::to_owned).to_vec();
            let found = table.columns[1].statistics.as_mut().unwrap();
            found.histogram = ids.iter().map(ToString::to_string).collect();
            found.correlation = Some(if grows { 1.0 } else { 0.0 });
        });
        let fixture = fixture.with(|fixture| fixture.settings.shards_per_table_max = most);
        for (way, layout) in ways(&fixture) {
            covers(&layout, &[KeyType::Integer, KeyType::Integer]);
            assert!(layout.shards().len() <= most);
            let rows: f64 = way.division.rows.iter().sum::<f64>() + way.division.default_rows;
            assert!((rows - way.division.rows_total()).abs() < 1.0);
            assert!(way.division.rows.iter().all(|rows| *rows > 0.0), "{:?}", way.division.rows);
        }
    }
}
