//! Pruning of each strategy, case by case, and ranges against a plain count.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use proptest::prelude::ProptestConfig;
use proptest::proptest;

use super::*;
use crate::model::key::KeyType;
use crate::model::key::KeyValue;
use crate::planning::proposal::key::ShardKey;

fn key_column(name: &str) -> KeyColumn {
    KeyColumn { name: name.to_owned(), key_type: KeyType::Integer }
}

fn key(first: &[&str], second: &[&str]) -> ShardKey {
    let columns = |names: &[&str]| names.iter().map(|name| key_column(name)).collect();
    ShardKey { first: columns(first), second: columns(second) }
}

fn division(cells: Cells, first: &[&str], rows: &[f64], default_rows: f64) -> Division {
    let mut division = Division { default_rows, ..Division::of(key(first, &[]), cells, rows.to_vec()) };
    division.asked = division.cell_rows().iter().map(|rows| division.share(*rows)).collect();
    division
}

/// Ranges of equal width from 0 on, of the column `a`.
fn ranges(rows: &[f64], default_rows: f64) -> Division {
    let edges = (0..=rows.len()).map(|at| Edge::Value(KeyValue::Integer(10 * at as i128))).collect();
    let open = f64::INFINITY;
    let cells = Cells::Range { unit: None, edges, future_from: open, closed_until: open, follows: false };
    division(cells, &["a"], rows, default_rows)
}

fn lists(groups: &[&[&str]], rows: &[f64], default_rows: f64) -> Division {
    let groups = groups.iter().map(|group| group.iter().map(|value| (*value).to_owned()).collect()).collect();
    division(Cells::List { groups }, &["a"], rows, default_rows)
}

fn hash(first: &[&str], rows: &[f64]) -> Division {
    division(Cells::Hash { modulus: rows.len() as u32, skew: 0.0, apart: 0.0 }, first, rows, 0.0)
}

fn value(count: f64, known: &[i32]) -> Window {
    Window::Values {
        count,
        known: known.iter().map(|value| f64::from(*value)).collect(),
        texts: known.iter().map(ToString::to_string).collect(),
    }
}

fn narrowing(window: Window) -> Narrowing {
    let by_hash = matches!(window, Window::Values { .. } | Window::Null);
    Narrowing { window, selectivity: 0.1, prunable: true, by_order: true, by_hash, at_run_time: false }
}

fn at_run_time() -> Narrowing {
    let found = narrowing(value(1.0, &[]));
    Narrowing { prunable: false, by_order: false, by_hash: false, at_run_time: true, ..found }
}

fn statement(narrowings: &[(&str, Narrowing)]) -> Use {
    let narrowings: BTreeMap<String, Narrowing> =
        narrowings.iter().map(|(column, found)| ((*column).to_owned(), found.clone())).collect();
    Use {
        narrowings,
        updated: BTreeSet::new(),
        reads: true,
        weight: 1.0,
        calls_per_second: 1.0,
        ..Use::default()
    }
}

#[track_caller]
fn check(division: &Division, narrowings: &[(&str, Narrowing)], expected: (f64, f64, f64)) {
    let found = Pruning::of(division).touch(&statement(narrowings));
    let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
    assert!(
        near(found.planned, expected.0) && near(found.opened, expected.1) && near(found.share, expected.2),
        "{found:?} is not {expected:?}"
    );
}

#[test]
fn ranges_are_pruned_by_values_and_ranges() {
    let four = ranges(&[10.0, 20.0, 30.0, 30.0], 10.0);
    let exact = |lower: Option<i32>, upper: Option<i32>| {
        narrowing(Window::Exact { lower: lower.map(f64::from), upper: upper.map(f64::from) })
    };
    check(&four, &[], (5.0, 5.0, 1.0));
    check(&four, &[("b", narrowing(value(1.0, &[5])))], (5.0, 5.0, 1.0));
    check(&four, &[("a", narrowing(value(1.0, &[15])))], (1.0, 1.0, 0.2));
    check(&four, &[("a", narrowing(value(3.0, &[15, 16, 35])))], (2.0, 2.0, 0.5));
    // The edge belongs to the range above it; beyond the last it is DEFAULT's.
    check(&four, &[("a", narrowing(value(1.0, &[10])))], (1.0, 1.0, 0.2));
    check(&four, &[("a", narrowing(value(1.0, &[40])))], (1.0, 1.0, 0.1));
    check(&four, &[("a", exact(Some(10), Some(20)))], (1.0, 1.0, 0.2));
    check(&four, &[("a", exact(Some(15), Some(21)))], (2.0, 2.0, 0.5));
    check(&four, &[("a", exact(Some(15), None))], (4.0, 4.0, 0.9));
    check(&four, &[("a", exact(None, Some(10)))], (2.0, 2.0, 0.2));
    check(&four, &[("a", exact(Some(50), Some(40)))], (1.0, 1.0, 0.0));
    check(&four, &[("a", narrowing(Window::Null))], (1.0, 1.0, 0.1));
    // An unknown value is drawn by rows: heavy ranges are met more often.
    let share = 0.01 + 0.04 + 0.09 + 0.09 + 0.01;
    check(&four, &[("a", narrowing(value(1.0, &[])))], (1.0, 1.0, share));
    check(&four, &[("a", at_run_time())], (5.0, 1.0, share));
    let wrapped = Narrowing { by_order: false, prunable: false, ..narrowing(value(1.0, &[15])) };
    check(&four, &[("a", wrapped)], (5.0, 5.0, 1.0));
}

#[test]
fn open_ends_leave_nothing_but_nulls_to_default() {
    let mut open = ranges(&[25.0; 4], 0.0);
    if let Cells::Range { edges, .. } = &mut open.cells {
        edges[0] = Edge::Lowest;
        edges[4] = Edge::Highest;
    }
    let exact = |lower, upper| narrowing(Window::Exact { lower, upper });
    check(&open, &[("a", exact(Some(15.0), None))], (3.0, 3.0, 0.75));
    check(&open, &[("a", exact(None, Some(-5.0)))], (1.0, 1.0, 0.25));
    check(&open, &[("a", narrowing(value(1.0, &[1000])))], (1.0, 1.0, 0.25));
    let newest = Pruning::of(&open).touch(&statement(&[("a", narrowing(Window::Newest(0.25)))]));
    assert!((newest.planned - 1.5).abs() < 1e-9, "{newest:?}");
}

#[test]
fn what_statements_ask_for_counts_more_than_what_rows_have() {
    let mut asked = ranges(&[10.0, 90.0], 0.0);
    asked.asked = vec![1.0, 0.0, 0.0];
    check(&asked, &[("a", narrowing(value(1.0, &[])))], (1.0, 1.0, 0.1));
    check(&asked, &[("a", narrowing(value(5.0, &[])))], (1.0, 1.0, 0.1));
}

#[test]
fn hash_is_pruned_by_values_of_all_its_columns() {
    let one = hash(&["a"], &[25.0; 4]);
    check(&one, &[("a", narrowing(value(1.0, &[])))], (1.0, 1.0, 0.25));
    check(&one, &[("a", narrowing(value(2.0, &[])))], (1.75, 1.75, 0.4375));
    check(&one, &[("a", narrowing(Window::Exact { lower: Some(1.0), upper: Some(1.0) }))], (4.0, 4.0, 1.0));
    check(&one, &[("a", narrowing(Window::Null))], (1.0, 1.0, 0.25));
    check(&one, &[("a", at_run_time())], (4.0, 1.0, 0.25));
    let both = hash(&["a", "b"], &[25.0; 4]);
    let value_of = || narrowing(value(1.0, &[]));
    check(&both, &[("a", value_of())], (4.0, 4.0, 1.0));
    check(&both, &[("b", value_of())], (4.0, 4.0, 1.0));
    check(&both, &[("a", value_of()), ("b", value_of())], (1.0, 1.0, 0.25));
    check(&both, &[("a", value_of()), ("b", at_run_time())], (4.0, 1.0, 0.25));
    check(&both, &[("a", value_of()), ("b", narrowing(Window::Closed(0.1)))], (4.0, 4.0, 1.0));
}

#[test]
fn lists_keep_default_for_what_they_do_not_name() {
    let three = lists(&[&["1"], &["2", "3"], &["7"]], &[40.0, 30.0, 20.0], 10.0);
    check(&three, &[], (4.0, 4.0, 1.0));
    check(&three, &[("a", narrowing(value(1.0, &[3])))], (1.0, 1.0, 0.3));
    check(&three, &[("a", narrowing(value(3.0, &[2, 3, 7])))], (2.0, 2.0, 0.5));
    check(&three, &[("a", narrowing(value(2.0, &[1, 9])))], (2.0, 2.0, 0.5));
    check(&three, &[("a", narrowing(Window::Null))], (1.0, 1.0, 0.1));
    let exact = |lower, upper| narrowing(Window::Exact { lower, upper });
    check(&three, &[("a", exact(Some(2.0), Some(6.0)))], (2.0, 2.0, 0.4));
    check(&three, &[("a", exact(None, None))], (4.0, 4.0, 1.0));
    check(&three, &[("a", narrowing(value(1.0, &[])))], (1.0, 1.0, 0.16 + 0.09 + 0.04 + 0.01));
    check(&three, &[("a", at_run_time())], (4.0, 1.0, 0.3));
}

#[test]
fn two_levels_are_pruned_one_after_the_other() {
    let both = ranges(&[30.0, 60.0], 10.0).hashed(key(&["a"], &["b"]), vec![4, 4, 1], 0.0);
    assert_eq!((both.shard_count(), both.strategy()), (9, Strategy::RangeHash));
    check(&both, &[], (9.0, 9.0, 1.0));
    let of_a = || ("a", narrowing(value(1.0, &[15])));
    let of_b = || ("b", narrowing(value(1.0, &[])));
    check(&both, &[of_a()], (4.0, 4.0, 0.6));
    check(&both, &[of_b()], (3.0, 3.0, 0.9 / 4.0 + 0.1));
    check(&both, &[of_a(), of_b()], (1.0, 1.0, 0.15));
    check(&both, &[of_a(), ("b", at_run_time())], (4.0, 1.0, 0.15));
    // A range of the second level prunes nothing.
    check(&both, &[("b", narrowing(Window::Closed(0.1)))], (9.0, 9.0, 1.0));
}

#[test]
fn a_heavy_list_is_hashed_by_another_column_and_the_rest_by_its_own() {
    let tenants = lists(&[&["1"]], &[40.0], 60.0).hashed(key(&["a"], &["b"]), vec![4, 8], 0.0);
    assert_eq!((tenants.shard_count(), tenants.strategy()), (12, Strategy::ListHash));
    check(&tenants, &[], (12.0, 12.0, 1.0));
    let of = |value_of| ("a", narrowing(value_of));
    check(&tenants, &[of(value(1.0, &[1]))], (4.0, 4.0, 0.4));
    check(&tenants, &[of(value(1.0, &[1])), ("b", narrowing(value(1.0, &[])))], (1.0, 1.0, 0.1));
    check(&tenants, &[of(value(1.0, &[2]))], (1.0, 1.0, 0.6 / 8.0));
    let drawn = (0.4 * 4.0 + 0.6, 0.4 * 0.4 + 0.6 * 0.6 / 8.0);
    check(&tenants, &[of(value(1.0, &[]))], (drawn.0, drawn.0, drawn.1));
    check(&tenants, &[("b", narrowing(value(1.0, &[])))], (9.0, 9.0, 0.1 + 0.6));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn known_windows_touch_what_a_plain_count_finds(
        rows in proptest::collection::vec(0.0_f64..100.0, 1..20),
        default_rows in 0.0_f64..50.0,
        ends in (proptest::option::of(-20_i32..220), proptest::option::of(-20_i32..220)),
    ) {
        let division = ranges(&rows, default_rows);
        let (lower, upper) = (ends.0.map(f64::from), ends.1.map(f64::from));
        let found = Pruning::of(&division).touch(&statement(&[("a", narrowing(Window::Exact { lower, upper }))]));
        let last = 10.0 * rows.len() as f64;
        let (mut shards, mut inside) = (0.0, 0.0);
        for (at, rows) in rows.iter().enumerate() {
            let from = 10.0 * at as f64;
            if lower.is_none_or(|lower| lower < from + 10.0) && upper.is_none_or(|upper| upper > from) {
                (shards, inside) = (shards + 1.0, inside + rows);
            }
        }
        if lower.is_none_or(|lower| lower < 0.0) || upper.is_none_or(|upper| upper > last) {
            (shards, inside) = (shards + 1.0, inside + default_rows);
        }
        assert!((found.planned - f64::max(shards, 1.0)).abs() < 1e-9, "{found:?} {shards}");
        // Ends that do not fit each other leave nothing, whatever the count says.
        if lower.zip(upper).is_none_or(|(lower, upper)| lower <= upper) {
            let share = division.share(inside);
            assert!((found.share - share).abs() < 1e-9, "{found:?} {share}");
        }
    }
}
