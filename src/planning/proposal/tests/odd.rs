//! Properties under random and damaged facts: nothing panics, every way to
//! cut is a layout, and what statements touch stays within it.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::Just;
use proptest::prelude::ProptestConfig;
use proptest::prelude::Strategy as _;
use proptest::prelude::any;
use proptest::prop_oneof;
use proptest::proptest;

use crate::model::access::Access;
use crate::model::access::AccessKind;
use crate::model::access::PrunedBy;
use crate::model::profile::Column;
use crate::model::profile::ColumnStatistics;
use crate::model::profile::ConstraintKind;
use crate::model::profile::Table;
use crate::model::sample::Access as Sampled;
use crate::model::sample::FrequentValue;
use crate::model::sample::SampledValues;
use crate::model::sample::ShownValue;
use crate::model::settings::UniquePolicy;
use crate::planning::proposal::candidate;
use crate::planning::proposal::cost::Cost;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::division::of_layout::of_layout;
use crate::planning::proposal::option;
use crate::planning::proposal::stem;
use crate::planning::proposal::subject;
use crate::planning::proposal::tests::fixture::*;
use crate::planning::proposal::touch::Pruning;

const TYPES: [&str; 9] =
    ["bigint", "integer", "numeric", "uuid", "date", "timestamp with time zone", "text", "boolean", "json"];

/// Texts that may or may not be values of a type.
fn text() -> impl proptest::prelude::Strategy<Value = String> {
    prop_oneof![
        4 => (-1000_i64..1000).prop_map(|value| value.to_string()),
        1 => any::<i64>().prop_map(|value| value.to_string()),
        2 => (0_i64..20_000).prop_map(|day| {
            crate::model::key::KeyType::Date.write_moment(day * DAY).unwrap_or_default()
        }),
        1 => any::<u128>().prop_map(|value| format!("{value:032x}")),
        1 => Just("NaN".to_owned()),
        1 => Just("infinity".to_owned()),
        1 => Just("-4713-01-01".to_owned()),
        1 => "[a-z]{0,8}",
    ]
}

fn fraction() -> impl proptest::prelude::Strategy<Value = f64> {
    prop_oneof![4 => 0.0_f64..1.0, 1 => Just(0.0), 1 => Just(1.0), 1 => Just(2.5)]
}

fn statistics() -> impl proptest::prelude::Strategy<Value = Option<ColumnStatistics>> {
    let found = (
        fraction(),
        prop_oneof![Just(0.0), Just(1.0), Just(-1.0), -1.0_f64..0.0, 1.0_f64..1e7],
        of(-1.0_f64..=1.0),
        vec((text(), fraction()), 0..6),
        vec(text(), 0..12),
    );
    of(found.prop_map(|(null_fraction, distinct, correlation, common, histogram)| ColumnStatistics {
        null_fraction,
        width: 8.0,
        distinct,
        correlation,
        common_values: common.iter().map(|value| value.0.clone()).collect(),
        common_fractions: common.iter().map(|value| value.1).collect(),
        histogram,
        ..ColumnStatistics::default()
    }))
}

fn sampled() -> impl proptest::prelude::Strategy<Value = Vec<SampledValues>> {
    let kind = prop_oneof![
        Just(Sampled::Equality),
        Just(Sampled::InList),
        Just(Sampled::RangeLower),
        Just(Sampled::RangeUpper),
    ];
    let one = (kind, 0_u64..5000, vec((text(), 0_u64..5000, 0_u64..100), 0..4), vec(text(), 0..10));
    let shown = |value: String| ShownValue { value, hash: None };
    let one = one.prop_map(move |(access, sampled, frequent, reservoir)| SampledValues {
        access,
        sampled,
        executions: sampled as f64 * 10.0,
        values: sampled,
        frequent: frequent
            .into_iter()
            .map(|(value, count, error)| FrequentValue { value: shown(value), count, error })
            .collect(),
        reservoir: reservoir.into_iter().map(shown).collect(),
        reservoir_of: sampled,
    });
    vec(one, 0..3)
}

fn random_column(at: usize) -> impl proptest::prelude::Strategy<Value = Column> {
    (0..TYPES.len(), statistics(), sampled(), any::<bool>(), any::<bool>()).prop_map(
        move |(kind, statistics, sampled, not_null, generated)| {
            let name = if at == 1 { "ts".to_owned() } else { format!("c{at}") };
            let kind = if at == 1 { TYPES[4 + kind % 2] } else { TYPES[kind] };
            let generated = generated && at > 3;
            Column { statistics, sampled, not_null, generated, ..column(&name, kind) }
        },
    )
}

fn random_access() -> impl proptest::prelude::Strategy<Value = Access> {
    let kinds = prop_oneof![
        4 => Just(AccessKind::Equality),
        1 => Just(AccessKind::InList),
        2 => Just(AccessKind::Range),
        1 => Just(AccessKind::NullTest),
        1 => Just(AccessKind::GroupBy),
        1 => Just(AccessKind::OrderBy),
        1 => Just(AccessKind::Prefix),
        1 => Just(AccessKind::UpdateKey),
        1 => Just(AccessKind::Insert),
    ];
    let by = prop_oneof![4 => Just(PrunedBy::All), 1 => Just(PrunedBy::Order), 1 => Just(PrunedBy::Hash)];
    (kinds, by, 0_usize..5, any::<[bool; 2]>(), vec(text(), 0..4), any::<u8>()).prop_map(
        |(kind, by, at, [lower, upper], constants, prunable)| {
            let name = if at == 1 { "ts".to_owned() } else { format!("c{at}") };
            Access { by, lower, upper, constants, prunable: prunable > 20, ..Access::of(kind, &name) }
        },
    )
}

fn random_table() -> impl proptest::prelude::Strategy<Value = Table> {
    let columns = (random_column(0), random_column(1), random_column(2), random_column(3), random_column(4));
    (columns, vec(0_usize..5, 0..3), prop_oneof![Just(0.0), Just(1.0), 2.0_f64..1e9]).prop_map(
        |((a, b, c, d, e), key, rows)| {
            let mut found = table("t", &[]);
            found.columns = vec![a, b, c, d, e];
            found.rows = rows;
            let mut key: Vec<String> = key.iter().map(|at| found.columns[*at].name.clone()).collect();
            key.dedup();
            if !key.is_empty() {
                let names: Vec<&str> = key.iter().map(String::as_str).collect();
                found.constraints.push(constraint("k", ConstraintKind::PrimaryKey, &names));
            }
            found
        },
    )
}

/// Everything that holds of every way to cut a table of a fixture.
fn obeys_the_laws(fixture: &Fixture) {
    let input = fixture.input();
    let stems = stem::stems(input.profile);
    for subject in subject::subjects(&input, &stems, &|| false).unwrap() {
        let candidates = candidate::candidates(&input, &subject);
        assert!(candidates.len() <= input.constants.candidates_max);
        for (at, one) in candidates.iter().enumerate() {
            let same = |other: &&candidate::Candidate| other.strategy == one.strategy && other.key == one.key;
            assert!(!candidates[..at].iter().any(|other| same(&other)), "{one:?} is there twice");
            assert!(!one.generators.is_empty());
        }
        let found = option::options(&input, &subject, &|| false).unwrap();
        assert!(found.len() >= candidates.len(), "every candidate is answered");
        for one in &found {
            let division = &one.division;
            let cost = one.cost.terms();
            assert!(
                cost.iter().all(|term| term.value.is_finite() && term.value >= 0.0),
                "{cost:?} {division:?}"
            );
            assert_eq!(one.impossible.is_none(), division.layout(&subject).is_some(), "{division:?}");
            if let Some(layout) = division.layout(&subject) {
                assert_eq!(layout.shards().len(), division.shard_count());
                assert_eq!(layout.strategy(), one.strategy());
                assert!(layout.shards().len() <= input.settings.shards_per_table_max, "{division:?}");
                assert_eq!(
                    layout.key_columns().len(),
                    division.key.columns().len(),
                    "what is judged is what is made"
                );
            }
            counts_everything(&subject, division);
            if let Some(layout) = division.layout(&subject) {
                let laid = of_layout(&input, &subject, &layout).expect("what is laid out is read back");
                assert!(
                    laid.layout
                        .shards()
                        .iter()
                        .map(|one| &one.bound)
                        .eq(layout.shards().iter().map(|one| &one.bound))
                );
                counts_everything(&subject, &laid.division);
                let cost = Cost::of(&input, &subject, &laid.division).total();
                assert!(cost.is_finite() && cost >= 0.0, "{:?}", laid.division);
            }
        }
    }
}

fn counts_everything(subject: &subject::Subject, division: &Division) {
    let total = division.rows_total();
    assert!((total - subject.size.rows).abs() <= 1e-6 * subject.size.rows + 1e-6, "{division:?}");
    assert!(division.skew().is_finite() && division.skew() >= -1e-9, "{division:?}");
    assert!((0.0..=1.0).contains(&division.largest_share()));
    assert!((0.0..=1.0).contains(&option::rows_scanned_share(subject, division)));
    let asked: f64 = division.asked.iter().sum();
    assert!(total <= 0.0 || (asked - 1.0).abs() < 1e-6, "{asked} {division:?}");
    let pruning = Pruning::of(division);
    for one in &subject.traffic.uses {
        let touch = pruning.touch(one);
        let count = division.shard_count() as f64;
        assert!((1.0..=count).contains(&touch.planned), "{touch:?} of {count}");
        assert!((1.0..=count).contains(&touch.opened), "{touch:?} of {count}");
        assert!((0.0..=1.0).contains(&touch.share), "{touch:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn any_facts_yield_layouts(
        table in random_table(),
        gigabytes in prop_oneof![Just(0.0), 0.1_f64..5.0, 5.0_f64..5000.0],
        statements in vec((0.0_f64..1e6, 0.0_f64..1e6, vec(random_access(), 0..4)), 0..6),
        hashes in of(vec(any::<u64>(), 0..6)),
        most in 1_usize..2000,
        days in 0_i64..2000,
        extend in any::<bool>(),
        retention in any::<bool>(),
    ) {
        let keys: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
        let mut fixture = Fixture::new().table(table, gigabytes).with(|fixture| {
            fixture.horizon_days = days;
            fixture.settings.shards_per_table_max = most;
            if extend {
                fixture.settings.unique_policy = UniquePolicy::Extend;
            }
            if retention {
                fixture.settings.retention_policy = "drop after 90 days".to_owned();
            }
            for key in keys {
                if let Some(hashes) = &hashes {
                    fixture.hash_values.insert((name("t"), key), hashes.clone());
                }
            }
        });
        for (calls, exec_ms, accesses) in statements {
            fixture = fixture.statement(calls, exec_ms, &[("t", &accesses)]);
        }
        obeys_the_laws(&fixture);
        let proposed = fixture.propose().unwrap();
        assert!(proposed.flaw().is_none(), "{:?}", proposed.flaw());
    }
}

#[test]
fn keys_that_are_all_null_or_all_one_value_make_no_shards_of_use() {
    let with = |change: &dyn Fn(&mut ColumnStatistics)| {
        let asked = events(200.0).statement(1e6, 1e7, &[("events", &[range("id"), equality("tenant")])]);
        asked.edit("events", |table| {
            for column in &mut table.columns {
                change(column.statistics.get_or_insert_default());
            }
        })
    };
    let nulls = with(&|found| (found.null_fraction, found.distinct) = (1.0, 0.0));
    obeys_the_laws(&nulls);
    let one = with(&|found| {
        found.distinct = 1.0;
        (found.common_values, found.common_fractions) = (vec!["7".to_owned()], vec![1.0]);
    });
    obeys_the_laws(&one);
    let found = one.relation("events");
    let hashed = found.candidates.iter().find(|found| found.strategy.word() == "hash").unwrap();
    assert!(hashed.reason.contains("only 1 distinct values"), "{}", hashed.reason);
    let none = events(0.0).edit("events", |table| table.rows = 0.0);
    obeys_the_laws(&none);
}

#[test]
fn a_table_of_as_many_columns_as_there_can_be_is_weighed() {
    let names: Vec<String> = (0..1600).map(|at| format!("c{at}")).collect();
    let columns: Vec<(&str, &str)> =
        names.iter().enumerate().map(|(at, name)| (name.as_str(), TYPES[at % TYPES.len()])).collect();
    let mut fixture = Fixture::new().table(table("t", &columns), 400.0);
    for name in &names {
        fixture = fixture.statement(1e3, 1e3, &[("t", &[equality(name)])]);
    }
    // Each of them takes less than a hundredth of the time.
    obeys_the_laws(&fixture);
    check(&fixture, "t", "none");
    let wide: Vec<Access> = names.iter().map(|name| equality(name)).collect();
    let wide = fixture.statement(1e6, 1e9, &[("t", &wide)]);
    obeys_the_laws(&wide);
}
