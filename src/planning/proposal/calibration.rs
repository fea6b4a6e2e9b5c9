//! Constants as this server was measured, in place of the defaults.
//!
//! Not here: the measuring. Invariant: a value that is a hundred times as
//! large or as small as its default is taken for a mistake and not used; what
//! was not measured of planning is scaled by what was, and still grows with
//! the number of shards.

use std::collections::BTreeMap;

use crate::planning::proposal::constants::CostConstants;

/// The unit of all that is measured.
const UNIT: &str = "ms";

/// How many times the default a value may be, or its part.
const PLAUSIBLE_FACTOR: f64 = 100.0;

/// Shards for which planning is measured.
pub const PLANNED_SHARDS: [usize; 4] = [32, 128, 512, 1024];

/// A constant that is measured, and where it stands.
struct Measured {
    name: &'static str,
    place: fn(&mut CostConstants) -> &mut f64,
}

const MEASURED: &[Measured] = &[
    Measured { name: "planning_pruned_ms", place: |all| &mut all.planning_pruned_ms },
    Measured { name: "planning_scan_32_ms", place: |all| &mut all.planning_scan_ms[0].1 },
    Measured { name: "planning_scan_128_ms", place: |all| &mut all.planning_scan_ms[1].1 },
    Measured { name: "planning_scan_512_ms", place: |all| &mut all.planning_scan_ms[2].1 },
    Measured { name: "planning_scan_1024_ms", place: |all| &mut all.planning_scan_ms[3].1 },
    Measured { name: "planning_join_32_ms", place: |all| &mut all.planning_join_ms[0].1 },
    Measured { name: "planning_join_128_ms", place: |all| &mut all.planning_join_ms[1].1 },
    Measured { name: "planning_join_512_ms", place: |all| &mut all.planning_join_ms[2].1 },
    Measured { name: "planning_join_1024_ms", place: |all| &mut all.planning_join_ms[3].1 },
    Measured { name: "open_ms", place: |all| &mut all.open_ms },
    Measured { name: "page_cached_ms", place: |all| &mut all.page_cached_ms },
    Measured { name: "page_read_ms", place: |all| &mut all.page_read_ms },
    Measured { name: "page_random_ms", place: |all| &mut all.page_random_ms },
    Measured { name: "row_ms", place: |all| &mut all.row_ms },
    Measured { name: "hash_row_ms", place: |all| &mut all.hash_row_ms },
    Measured { name: "descent_ms", place: |all| &mut all.descent_ms },
    Measured { name: "route_ms", place: |all| &mut all.route_ms },
    Measured { name: "move_ms", place: |all| &mut all.move_ms },
    Measured { name: "split_row_ms", place: |all| &mut all.split_row_ms },
];

/// A constant, as it will be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    pub constant: &'static str,
    pub value: f64,
    pub unit: &'static str,
    /// Why it is the default, if it is.
    pub note: Option<String>,
}

/// Every constant that calibration is about, as it will be used, with the
/// reason where it is not what was measured.
#[must_use]
pub fn settled(measured: &BTreeMap<String, f64>) -> Vec<Settled> {
    let (mut defaults, mut used) = (CostConstants::default(), CostConstants::calibrated(measured));
    let of = |one: &Measured| {
        let (default, value) = (*(one.place)(&mut defaults), *(one.place)(&mut used));
        let what = if value == default { "the default" } else { "scaled by what was measured" };
        let note = match measured.get(one.name) {
            Some(found) if plausible(default, *found) => None,
            Some(found) => Some(format!("{what}: a measurement of {found:.1e} ms is not plausible")),
            None => Some(format!("{what}: could not be measured here")),
        };
        Settled { constant: one.name, value, unit: UNIT, note }
    };
    MEASURED.iter().map(of).collect()
}

fn plausible(default: f64, value: f64) -> bool {
    value.is_finite() && value >= default / PLAUSIBLE_FACTOR && value <= default * PLAUSIBLE_FACTOR
}

impl CostConstants {
    /// The defaults with what was measured in their place.
    #[must_use]
    pub fn calibrated(measured: &BTreeMap<String, f64>) -> Self {
        let mut all = Self::default();
        for one in MEASURED {
            let place = (one.place)(&mut all);
            if let Some(value) = measured.get(one.name)
                && plausible(*place, *value)
            {
                *place = *value;
            }
        }
        let defaults = Self::default();
        let before = (all.planning_pruned_ms, all.planning_pruned_ms / defaults.planning_pruned_ms);
        for (points, known) in [
            (&mut all.planning_scan_ms, &defaults.planning_scan_ms),
            (&mut all.planning_join_ms, &defaults.planning_join_ms),
        ] {
            let (mut least, mut ratio) = before;
            for (point, default) in points.iter_mut().zip(known) {
                if point.1 == default.1 {
                    point.1 *= ratio;
                }
                ratio = point.1 / default.1;
                // Noise of a measurement must not make more shards cheaper.
                point.1 = point.1.max(least * 1.001);
                least = point.1;
            }
        }
        all
    }
}

/// A scan that was timed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimedScan {
    pub pages: f64,
    pub rows: f64,
    pub ms: f64,
}

/// Milliseconds per page and per row, from a table of many small rows and one
/// of few large ones; none if noise hides the difference.
#[must_use]
pub fn page_and_row(narrow: TimedScan, wide: TimedScan) -> Option<(f64, f64)> {
    let apart = narrow.pages * wide.rows - wide.pages * narrow.rows;
    if apart == 0.0 {
        return None;
    }
    let page = (narrow.ms * wide.rows - wide.ms * narrow.rows) / apart;
    let row = (narrow.pages * wide.ms - wide.pages * narrow.ms) / apart;
    (page > 0.0 && row > 0.0).then_some((page, row))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(values: &[(&str, f64)]) -> BTreeMap<String, f64> {
        values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn what_was_measured_replaces_the_default() {
        assert_eq!(CostConstants::calibrated(&BTreeMap::new()), CostConstants::default());
        let found = CostConstants::calibrated(&measured(&[("row_ms", 0.0002), ("of_another_release", 1.0)]));
        assert_eq!(found, CostConstants { row_ms: 0.0002, ..CostConstants::default() });
        let rows = settled(&measured(&[("row_ms", 0.0002)]));
        let row = rows.iter().find(|row| row.constant == "row_ms").unwrap();
        assert_eq!((row.value, row.unit, &row.note), (0.0002, "ms", &None));
        assert_eq!(rows.iter().filter(|row| row.note.is_none()).count(), 1);
        assert_eq!(rows.len(), 19);
    }

    #[test]
    fn nonsense_keeps_the_default_and_says_so() {
        for nonsense in [0.0, -1.0, 1e-9, 1e9, f64::NAN, f64::INFINITY] {
            let values = measured(&[("row_ms", nonsense)]);
            assert_eq!(CostConstants::calibrated(&values), CostConstants::default(), "{nonsense}");
            let rows = settled(&values);
            let row = rows.iter().find(|row| row.constant == "row_ms").unwrap();
            assert_eq!(row.value, CostConstants::default().row_ms);
            assert!(row.note.as_ref().unwrap().contains("is not plausible"), "{:?}", row.note);
        }
    }

    #[test]
    fn planning_that_was_not_measured_is_scaled() {
        let slow = measured(&[("planning_scan_32_ms", 1.5), ("planning_scan_128_ms", 8.5)]);
        let found = CostConstants::calibrated(&slow);
        let scan: Vec<f64> = found.planning_scan_ms.iter().map(|point| point.1.round()).collect();
        assert_eq!(scan, [2.0, 9.0, 120.0, 460.0]);
        let rows = settled(&slow);
        let row = rows.iter().find(|row| row.constant == "planning_scan_1024_ms").unwrap();
        assert_eq!(row.value.round(), 460.0);
        assert_eq!(row.note.as_deref(), Some("scaled by what was measured: could not be measured here"));
        // Joins were not measured at all.
        assert_eq!(found.planning_join_ms, CostConstants::default().planning_join_ms);
    }

    proptest::proptest! {
        #[test]
        fn planning_grows_whatever_was_measured(values in proptest::collection::vec(0.0001_f64..1000.0, 9)) {
            let all: BTreeMap<String, f64> =
                MEASURED.iter().map(|one| one.name.to_owned()).zip(values).collect();
            let found = CostConstants::calibrated(&all);
            for joined in [false, true] {
                let mut last = 0.0;
                for shards in [1.0, 2.0, 31.0, 32.0, 100.0, 128.0, 500.0, 1024.0, 4000.0] {
                    let now = found.planning_ms(shards, joined);
                    proptest::prop_assert!(now.is_finite() && now > last, "{} {} {}", shards, now, last);
                    last = now;
                }
            }
        }
    }

    #[test]
    fn pages_and_rows_are_told_apart() {
        let scan = |pages: f64, rows: f64| TimedScan { pages, rows, ms: pages * 0.001 + rows * 0.0001 };
        let (page, row) = page_and_row(scan(1000.0, 150_000.0), scan(1000.0, 8000.0)).unwrap();
        assert!((page - 0.001).abs() < 1e-9 && (row - 0.0001).abs() < 1e-9, "{page} {row}");
        assert_eq!(page_and_row(scan(1.0, 1.0), scan(2.0, 2.0)), None);
        let odd = TimedScan { ms: 0.0, ..scan(1000.0, 150_000.0) };
        assert_eq!(page_and_row(odd, scan(1000.0, 8000.0)), None);
    }
}
