//! The promises of the sketches, by examples and by chance.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::frequent::COUNTERS;
use super::reservoir::SIZE;
use super::*;
use crate::model::sample::value::BYTES_MAX;

fn value(number: u32) -> Value {
    Value::new(&number.to_string())
}

fn counted(stream: &[u32]) -> (Frequent, BTreeMap<String, u64>) {
    let mut sketch = Frequent::EMPTY;
    let mut exact = BTreeMap::new();
    for number in stream {
        sketch.add(&value(*number));
        *exact.entry(number.to_string()).or_insert(0) += 1;
    }
    (sketch, exact)
}

/// The three promises of `frequent`.
fn promises_hold(sketch: &Frequent, exact: &BTreeMap<String, u64>) {
    let total: u64 = exact.values().sum();
    assert_eq!(sketch.total(), total);
    let bound = total / COUNTERS as u64;
    for counter in sketch.counters() {
        let truth = exact.get(counter.value.text()).copied().unwrap_or(0);
        assert!(counter.count >= truth, "{counter:?} counts too little of {truth}");
        assert!(counter.count - counter.error <= truth, "{counter:?} is certain of more than {truth}");
        assert!(counter.error <= bound, "{counter:?} has an error over {bound}");
    }
    for (text, count) in exact.iter().filter(|(_, count)| **count > bound) {
        let found = sketch.counters().iter().any(|counter| counter.value.text() == text);
        assert!(found, "{text}, seen {count} times of {total}, is missing");
    }
}

/// Streams with a few frequent values among many others.
fn stream() -> impl Strategy<Value = Vec<u32>> {
    let skewed = prop_oneof![3 => 0_u32..5, 2 => 0_u32..100, 3 => 0_u32..5000];
    prop::collection::vec(skewed, 0..3000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frequent_values_are_found(stream in stream()) {
        let (sketch, exact) = counted(&stream);
        promises_hold(&sketch, &exact);
    }

    #[test]
    fn merging_keeps_the_promises(parts in prop::collection::vec(stream(), 1..5)) {
        let mut merged = Frequent::EMPTY;
        for part in &parts {
            merged.merge(&counted(part).0);
        }
        promises_hold(&merged, &counted(&parts.concat()).1);
    }

    #[test]
    fn what_is_stored_is_what_was(stream in stream(), seed: u64) {
        let mut random = Random::new(seed);
        let mut sketch = Sketch::EMPTY;
        for number in &stream {
            sketch.add(2.0, &[value(*number)], true, &mut random);
        }
        let stored = SampledValues::of(Access::Equality, &sketch);
        let text = serde_json::to_string(&stored).unwrap();
        let read: SampledValues = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&read, &stored);
        prop_assert_eq!(SampledValues::of(Access::Equality, &read.sketch()), stored);
    }

    #[test]
    fn any_text_is_kept_or_cut(text in "\\PC{0,80}") {
        let value = Value::new(&text);
        prop_assert!(text.starts_with(value.text()));
        prop_assert_eq!(value.is_cut(), text.len() > BYTES_MAX);
        prop_assert!(value.is_cut() || value.text() == text);
        prop_assert!(value.text().len() + 4 > BYTES_MAX || !value.is_cut());
        prop_assert_eq!(Value::from(&value.shown()), value);
    }
}

#[test]
fn few_values_are_counted_exactly() {
    let (sketch, exact) = counted(&[1, 2, 1, 3, 1, 2]);
    for counter in sketch.counters() {
        assert_eq!((Some(&counter.count), counter.error), (exact.get(counter.value.text()), 0));
    }
    assert_eq!(sketch.counters().len(), 3);
    assert_eq!(sketch.unseen_max(), 0);
}

#[test]
fn one_frequent_value_stands_out_of_a_uniform_stream() {
    let stream: Vec<u32> = (0..20_000).map(|at| if at % 5 == 0 { 7 } else { 1000 + at }).collect();
    let (sketch, _) = counted(&stream);
    let mut whole = Sketch::EMPTY;
    whole.frequent = sketch;
    let stored = SampledValues::of(Access::Equality, &whole);
    let holding: Vec<_> = stored.holding().map(|value| value.value.value.as_str()).collect();
    assert_eq!(holding, ["7"]);
    assert!(stored.frequent[0].certain() >= 4000 - 20_000 / COUNTERS as u64);
}

#[test]
fn long_values_with_one_beginning_are_two() {
    let (a, b) = (format!("{}a", "x".repeat(100)), format!("{}b", "x".repeat(100)));
    assert_ne!(Value::new(&a), Value::new(&b));
    assert_eq!(Value::new(&a).text(), Value::new(&b).text());
    assert!(Value::new(&a).is_cut() && !Value::new("x").is_cut());
}

#[test]
fn a_reservoir_is_uniform() {
    let (streams, length) = (4000_u64, 256_u32);
    let mut random = Random::new(42);
    let mut kept = vec![0_u64; length as usize];
    for _ in 0..streams {
        let mut reservoir = Reservoir::EMPTY;
        for number in 0..length {
            reservoir.add(&value(number), &mut random);
        }
        assert_eq!((reservoir.values().len(), reservoir.seen()), (SIZE, u64::from(length)));
        for value in reservoir.values() {
            kept[value.text().parse::<usize>().unwrap()] += 1;
        }
    }
    // Each with probability 1/4: 1000 of 4000, standard deviation 27.
    assert!(kept.iter().all(|count| (860..1140).contains(count)), "{kept:?}");
}

#[test]
fn a_merged_reservoir_is_uniform() {
    let mut random = Random::new(43);
    let mut from_first = 0;
    let merges = 2000;
    for _ in 0..merges {
        let (mut first, mut second) = (Reservoir::EMPTY, Reservoir::EMPTY);
        for number in 0..300 {
            first.add(&value(number), &mut random);
        }
        for number in 1000..1100 {
            second.add(&value(number), &mut random);
        }
        first.merge(&second, &mut random);
        assert_eq!((first.values().len(), first.seen()), (SIZE, 400));
        from_first += first.values().iter().filter(|value| value.text().len() < 4).count();
    }
    let share = from_first as f64 / (merges * SIZE) as f64;
    assert!((share - 0.75).abs() < 0.01, "{share}");
}

#[test]
fn merging_a_part_of_a_stream_keeps_all_of_it() {
    let mut random = Random::new(44);
    let (mut first, mut second) = (Reservoir::EMPTY, Reservoir::EMPTY);
    for number in 0..10 {
        first.add(&value(number), &mut random);
        second.add(&value(number + 100), &mut random);
    }
    first.merge(&second, &mut random);
    assert_eq!((first.values().len(), first.seen()), (20, 20));
}

#[test]
fn a_damaged_sketch_is_cut_to_its_bounds() {
    let one = FrequentValue { value: ShownValue { value: "x".to_owned(), hash: None }, count: 1, error: 5 };
    let stored = SampledValues {
        access: Access::Insert,
        sampled: 1,
        executions: f64::NAN,
        values: 3,
        frequent: vec![one; 1000],
        reservoir: vec![ShownValue { value: "y".repeat(1000), hash: None }; 1000],
        reservoir_of: 0,
    };
    let sketch = stored.sketch();
    assert_eq!(sketch.frequent.counters().len(), COUNTERS);
    assert!(sketch.frequent.counters().iter().all(|counter| counter.error <= counter.count));
    assert_eq!((sketch.reservoir.values().len(), sketch.reservoir.seen()), (SIZE, SIZE as u64));
    assert!(sketch.executions == 0.0);
}

#[test]
fn words_are_those_of_json() {
    for access in Access::ALL {
        assert_eq!(serde_json::json!(access), access.word());
    }
}
