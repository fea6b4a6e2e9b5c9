//! The ladder of the forecast, rung by rung, and what breaks a series.
//!
//! Hourly histories as the worker keeps them: what is found with so much
//! history and what is said about it, what jumps, resets, gaps and events do,
//! and what no series may lead to.

use pg_presplit::model::report::Report;
use pg_presplit::planning::forecast;
use pg_presplit::planning::forecast::DAY;
use pg_presplit::planning::forecast::Event;
use pg_presplit::planning::forecast::Forecast;
use pg_presplit::planning::forecast::ForecastError;
use pg_presplit::planning::forecast::ForecastPoint;
use pg_presplit::planning::forecast::HORIZON_MAX;
use pg_presplit::planning::forecast::Observation;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

const HOUR: i64 = DAY / 24;
const START: i64 = 1_767_225_600_000_000;

/// One observation an hour for so many days, and the last one at their end.
fn hourly(days: i64, value: impl Fn(i64) -> f64) -> Vec<Observation> {
    (0..=days * 24).map(|hour| Observation { at: START + hour * HOUR, value: value(hour) }).collect()
}

/// Ten thousand rows a day, all between six and eighteen o'clock; at weekends
/// half of it.
fn office(hour: i64) -> f64 {
    let of_day = |day: i64| if day % 7 >= 5 { 5_000.0 } else { 10_000.0 };
    let (day, hour) = (hour / 24, hour % 24);
    let before: f64 = (0..day).map(of_day).sum();
    before + of_day(day) * ((hour - 6).clamp(0, 12) as f64 / 12.0)
}

fn ahead(observed: &[Observation], days: i64, points: usize) -> Forecast {
    forecast::forecast(observed, days * DAY, points, None).unwrap_or_else(|error| panic!("{error}"))
}

fn last(found: &Forecast) -> ForecastPoint {
    *found.points.last().unwrap_or_else(|| panic!("no point"))
}

/// Share of the growth over a week by which the forecast misses it on the way.
fn miss(days: i64) -> (f64, String) {
    let found = ahead(&hourly(days, office), 7, 84);
    let came = |step: i64| office(days * 24 + 2 * step);
    let misses = found.points.iter().zip(1..).map(|(point, step)| (point.value - came(step)).abs());
    (misses.sum::<f64>() / 84.0 / 60_000.0, found.model)
}

#[test]
fn more_history_finds_more() {
    for (days, most, model) in [
        (1, 0.30, "mean of the last 24 hours"),
        (2, 0.30, "mean of the last 2 days"),
        (4, 0.30, "Theil-Sen over 4 days, with hours of the day"),
        (14, 0.06, "with hours of the day and days of the week"),
        (35, 0.04, "with hours of the day and days of the week"),
        (70, 0.03, "with hours of the day and days of the week"),
    ] {
        let (found, words) = miss(days);
        assert!(found <= most, "{found:.4} from {days} days");
        assert!(words.contains(model), "{words}");
    }
}

#[test]
fn one_two_and_three_readings_say_how_little_they_are() {
    let few = |count: usize| hourly(1, |hour| 100.0 + hour as f64)[..count].to_vec();
    let (one, three) = (ahead(&few(1), 30, 1), ahead(&few(3), 30, 1));
    assert_eq!((last(&one).lower, last(&one).value, last(&one).upper), (100.0, 100.0, 100.0));
    assert_eq!(one.model, "flat: one observation, change unknown");
    assert_eq!((last(&three).lower, last(&three).upper), (102.0, 102.0 + 2.0 * 24.0 * 30.0));
    assert!(three.model.ends_with("±100 % of growth"), "{}", three.model);
}

#[test]
fn a_bulk_load_and_a_counter_reset_are_no_growth() {
    let plain = last(&ahead(&hourly(20, office), 7, 1)).value - office(20 * 24);
    for (what, jump) in [("load", 5e6), ("purge", -9e6), ("reset", -office(9 * 24 + 11))] {
        let found =
            ahead(&hourly(20, |hour| office(hour) + if hour > 9 * 24 + 10 { jump } else { 0.0 }), 7, 1);
        let grown = last(&found).value - (office(20 * 24) + jump);
        assert!((grown - plain).abs() < 0.05 * plain, "{what}: {grown} instead of {plain}");
        assert!(found.model.ends_with("1 jump left out"), "{}", found.model);
    }
}

#[test]
fn nightly_batches_and_daily_drops_are_how_the_table_lives() {
    let batches = ahead(&hourly(20, |hour| 1000.0 * ((hour + 20) / 24) as f64), 7, 84);
    assert!((last(&batches).value - 1000.0 * 27.0).abs() < 300.0, "{:?}", last(&batches));
    assert!(!batches.model.contains("jump"), "{}", batches.model);
    // What came a week ago is dropped at midnight: the size stays.
    let kept = hourly(30, |hour| 1e6 + 100.0 * (hour % 24) as f64);
    let found = last(&ahead(&kept, 30, 1));
    assert!((found.value - 1e6).abs() < 5_000.0, "{found:?}");
}

#[test]
fn a_rate_that_broke_is_followed_at_once() {
    // Twice a day's rows since four days ago, then five days ago only a fifth.
    for (since, factor) in [(4, 3.0), (5, 0.2), (12, 2.0)] {
        let at = (30 - since) * 24;
        let value = |hour: i64| 50.0 * (hour.min(at) as f64 + factor * (hour - at).max(0) as f64);
        let found = ahead(&hourly(30, value), 7, 1);
        let rate = (last(&found).value - value(30 * 24)) / 7.0;
        assert!((rate / (24.0 * 50.0 * factor) - 1.0).abs() < 0.1, "{rate} {}", found.model);
    }
}

#[test]
fn gaps_uneven_and_doubled_readings_are_survived() {
    let all = hourly(28, office);
    let plain = last(&ahead(&all, 7, 1));
    let mut thin: Vec<Observation> = all
        .iter()
        .enumerate()
        .filter(|(n, _)| n % 3 != 1 && !(200..230).contains(n))
        .map(|(_, o)| *o)
        .collect();
    thin.extend(all[100..300].iter().filter(|point| point.at % (5 * HOUR) == 0));
    thin.reverse();
    let found = last(&ahead(&thin, 7, 1));
    assert!((found.value - plain.value).abs() < 0.02 * plain.value, "{found:?} {plain:?}");
}

#[test]
fn events_are_taken_out_of_the_rate() {
    // The oldest day is dropped every midnight; without the drops it grows.
    let net = hourly(30, |hour| 7.0 * 24.0 * 50.0 + 50.0 * (hour % 24) as f64);
    let events: Vec<Event> = (1..=30)
        .map(|day| START + day * DAY)
        .map(|at| Event { from: at - HOUR, until: at, change: Some(-24.0 * 50.0) })
        .collect();
    let gross = forecast::without_events(&net, &events);
    assert_eq!(gross.last(), net.last());
    let found = last(&ahead(&gross, 7, 1));
    let now = net[net.len() - 1].value;
    assert!((found.value - now - 7.0 * 24.0 * 50.0).abs() < 1.0, "{found:?}");
}

#[test]
fn bad_input_is_refused_in_words() {
    let series = hourly(1, office);
    let error = |observed: &[Observation], horizon: i64| {
        forecast::forecast(observed, horizon, 1, None).err().unwrap_or_else(|| panic!("accepted"))
    };
    let mut broken = vec![error(&[], DAY)];
    broken.extend([0, -DAY, HORIZON_MAX + 1].map(|horizon| error(&series, horizon)));
    broken.extend([f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e200].map(|value| {
        let mut series = series.clone();
        series[7].value = value;
        error(&series, DAY)
    }));
    broken.extend(forecast::observations(&[1, 2], &[1.0]).err());
    assert_eq!(broken.len(), 9);
    for error in broken {
        assert_eq!(error.sqlstate().code(), "22023");
        assert!(error.detail().is_some() && error.hint().is_some(), "{error}");
    }
    let place = forecast::observations(&[1, 2], &[1.0, f64::NAN]).err();
    assert!(matches!(place, Some(ForecastError::NotFinite { position: 2, .. })), "{place:?}");
}

/// Hourly inflows, some of them nothing or a burst, for three to seventy days.
fn any_inflow() -> impl Strategy<Value = Vec<f64>> {
    let inflow = prop_oneof![6 => 0.0..100.0, 2 => Just(0.0), 1 => 0.0..1e5];
    prop::collection::vec(inflow, 72..1700)
}

fn added_up(start: f64, inflow: &[f64], shift: i64) -> Vec<Observation> {
    let mut value = start;
    let points = inflow.iter().zip(0..).map(|(more, hour)| {
        value += more;
        Observation { at: START + shift + hour * HOUR, value }
    });
    points.collect()
}

fn config() -> ProptestConfig {
    let beside = FileFailurePersistence::WithSource("proptest-regressions");
    ProptestConfig { failure_persistence: Some(Box::new(beside)), cases: 64, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_never_fell_is_not_expected_to(inflow in any_inflow(), days in 1_i64..400) {
        let observed = added_up(0.0, &inflow, 0);
        let found = ahead(&observed, days, 50);
        let now = observed[observed.len() - 1].value;
        let values = std::iter::once(now).chain(found.points.iter().map(|point| point.value));
        let values: Vec<f64> = values.collect();
        let hair = 1e-9 * (1.0 + now);
        prop_assert!(values.windows(2).all(|pair| pair[0] <= pair[1] + hair), "{values:?}");
        prop_assert!(found.rate_per_day >= -hair);
        if inflow.len() > 14 * 24 {
            prop_assert!(found.points.iter().all(|point| point.lower >= now - hair));
        }
    }

    #[test]
    fn doubt_grows_with_the_distance(inflow in any_inflow(), days in 1_i64..4000) {
        let found = ahead(&added_up(0.0, &inflow, 0), days, 100);
        let widths: Vec<f64> = found.points.iter().map(|point| point.upper - point.lower).collect();
        let hair = 1e-9 * (1.0 + widths[99]);
        prop_assert!(widths.windows(2).all(|pair| pair[0] <= pair[1] + hair), "{widths:?}");
    }

    #[test]
    fn neither_unit_nor_clock_matters(
        inflow in any_inflow(),
        scale in 0.01..100.0,
        shift in -1e6..1e6,
        later in -1_000_000_000_000_i64..1_000_000_000_000,
    ) {
        let a = ahead(&added_up(0.0, &inflow, 0), 30, 20);
        let mut other = added_up(0.0, &inflow, later);
        other.iter_mut().for_each(|point| point.value = point.value * scale + shift);
        let b = ahead(&other, 30, 20);
        prop_assert_eq!(&a.model, &b.model);
        let close = |x: f64, y: f64| (x - y).abs() <= 1e-6 * (1e3 + x.abs() + y.abs());
        for (a, b) in a.points.iter().zip(&b.points) {
            prop_assert_eq!(a.at + later, b.at);
            prop_assert!(close(a.value * scale + shift, b.value), "{:?} {:?}", a, b);
            prop_assert!(close((a.upper - a.value) * scale, b.upper - b.value), "{:?} {:?}", a, b);
        }
    }

    #[test]
    fn the_same_history_gives_the_same_forecast(inflow in any_inflow(), seed in any::<u64>()) {
        let observed = added_up(5.0, &inflow, 0);
        let mut shuffled = observed.clone();
        let len = shuffled.len() as u64;
        for index in 0..shuffled.len() {
            shuffled.swap(index, (seed.wrapping_mul(index as u64 | 1) % len) as usize);
        }
        prop_assert_eq!(ahead(&observed, 30, 10), ahead(&shuffled, 30, 10));
    }
}
