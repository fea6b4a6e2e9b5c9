//! What changed a value but is not growth: drops, truncates, restores, moves.
//!
//! An event is known from outside, never guessed from the series. Taking it
//! out shifts what was observed before it, so that the last value stays what
//! it is. Invariant: without events a series stays as it is.

use crate::planning::forecast::Event;
use crate::planning::forecast::Observation;
use crate::planning::forecast::days_between;

/// The observations in order of time, as they would have been without the
/// events: the last one keeps its value, and earlier ones are shifted.
///
/// Observations inside an event are left out, as are events whose change is
/// unknown and cannot be seen because there is nothing before or after them.
#[must_use]
pub fn without_events(observations: &[Observation], events: &[Event]) -> Vec<Observation> {
    let mut kept: Vec<Observation> = observations.to_vec();
    kept.sort_by_key(|observation| observation.at);
    let inside = |at: i64| events.iter().any(|event| event.from < at && at < event.until);
    kept.retain(|observation| !inside(observation.at));
    let mut shifts: Vec<(i64, f64)> =
        events.iter().filter_map(|event| Some((event.until, change(&kept, event)?))).collect();
    shifts.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)));
    let (mut shift, mut pending) = (0.0, shifts.into_iter().peekable());
    for observation in kept.iter_mut().rev() {
        while let Some((_, change)) = pending.next_if(|(until, _)| observation.at < *until) {
            shift += change;
        }
        observation.value += shift;
    }
    kept
}

/// What the event changed: as told, or else what was observed across it less
/// what grew in as much time before it.
fn change(kept: &[Observation], event: &Event) -> Option<f64> {
    if let Some(change) = event.change {
        return change.is_finite().then_some(change);
    }
    let after = kept.partition_point(|observation| observation.at < event.until);
    let (before, after) = (kept[..after].last()?, kept.get(after)?);
    let earlier = kept.partition_point(|observation| {
        days_between(observation.at, before.at) > days_between(before.at, after.at)
    });
    let grown = kept.get(earlier).filter(|earlier| earlier.at < before.at).map_or(0.0, |earlier| {
        let rate = (before.value - earlier.value) / days_between(earlier.at, before.at);
        rate * days_between(before.at, after.at)
    });
    Some(after.value - before.value - grown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Vec<Observation> {
        (0..).zip(values).map(|(at, value)| Observation { at, value: *value }).collect()
    }

    fn event(from: i64, until: i64, change: Option<f64>) -> Event {
        Event { from, until, change }
    }

    #[track_caller]
    fn check(values: &[f64], events: &[Event], expected: &[(i64, f64)]) {
        let found = without_events(&series(values), events);
        let same = |(point, (at, value)): (&Observation, &(i64, f64))| {
            point.at == *at && (point.value - value).abs() < 1e-9
        };
        assert!(found.len() == expected.len() && found.iter().zip(expected).all(same), "{found:?}");
    }

    #[test]
    fn what_was_before_is_shifted() {
        let drop = [0.0, 10.0, 20.0, 5.0, 15.0];
        let without = [(0, -25.0), (1, -15.0), (2, -5.0), (3, 5.0), (4, 15.0)];
        check(&drop, &[], &[(0, 0.0), (1, 10.0), (2, 20.0), (3, 5.0), (4, 15.0)]);
        check(&drop, &[event(2, 3, Some(-25.0))], &without);
        // Unknown: what was seen, but the growth of as much time before.
        check(&drop, &[event(2, 3, None)], &without);
    }

    #[test]
    fn what_is_seen_inside_is_left_out() {
        let without = [(0, 980.0), (1, 990.0), (4, 1020.0), (5, 1030.0)];
        check(&[0.0, 10.0, 300.0, 700.0, 1020.0, 1030.0], &[event(1, 4, None)], &without);
    }

    #[test]
    fn events_at_the_ends_and_several_at_once() {
        check(&[1.0, 2.0], &[event(5, 6, None), event(-9, -8, Some(4.0))], &[(0, 1.0), (1, 2.0)]);
        check(&[1.0, 2.0], &[event(0, 1, Some(f64::NAN))], &[(0, 1.0), (1, 2.0)]);
        check(
            &[0.0, 5.0, 9.0],
            &[event(0, 1, Some(4.0)), event(1, 2, Some(3.0))],
            &[(0, 7.0), (1, 8.0), (2, 9.0)],
        );
        check(&[], &[event(0, 1, Some(1.0))], &[]);
    }
}
