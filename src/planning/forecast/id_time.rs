//! Ids that carry the moment at which they were made: version 7 UUIDs, and
//! snowflakes.
//!
//! A table whose only clock is its key grows along that key as along a time
//! column. To take another number for a clock would invent a history, so a
//! column must look like one in every known value: the version and the
//! variant of UUIDs; for snowflakes moments between the epoch and the capture,
//! over a day at least, physical order, uniqueness, and the bits below the
//! milliseconds set as generators set them. An ordinary serial fails at the
//! moments, a count of nanoseconds or ticks at the bits. What fails one test is
//! no clock.
//!
//! Invariant: ids of a kind ascend with their moments.

use std::collections::BTreeSet;

use crate::model::key::KeyType;
use crate::model::key::KeyValue;
use crate::model::profile::Column;
use crate::model::profile::Table;
use crate::model::statistics::ColumnStatistics;
use crate::planning::forecast::DAY;
use crate::planning::forecast::IdKind;
use crate::planning::forecast::IdTime;
use crate::planning::forecast::distribution::along;
use crate::planning::forecast::event_time::curve_of;

/// Epochs of snowflakes, milliseconds since 1970: Twitter's, which most
/// generators kept, and Discord's.
const EPOCHS: [i64; 2] = [1_288_834_974_657, 1_420_070_400_000];

/// Bits below the milliseconds, and those of them that count within one.
const LOW_BITS: u32 = 22;
const SEQUENCE_BITS: u32 = 12;

/// 2000-01-01 in milliseconds since 1970: nothing with a UUID is older.
const EARLIEST_MS: i64 = 946_684_800_000;

const DAY_MS: i64 = 86_400_000;

/// Least time between the first and the last snowflake. A serial takes 3.6e14
/// numbers for it: ten billion rows in steps of 36,000.
const SPAN_MIN_MS: i64 = DAY_MS;

/// Moments after the capture that clocks may be apart.
const AHEAD_MS: i64 = DAY_MS;

/// Fewest known values. A random one looks like a version 7 with a chance of
/// 1 to 64.
const UUIDS_MIN: usize = 8;
const SNOWFLAKES_MIN: usize = 20;

/// Correlation with the physical order: that of any event time, and that of
/// an id which is made when its row is inserted.
const FOLLOWS: f64 = 0.5;
const FOLLOWS_CLOSELY: f64 = 0.9;

/// The least share of distinct values, as PostgreSQL writes it: below zero.
const NEARLY_UNIQUE: f64 = -0.9;

/// Sequences begin anew each millisecond and stay below this, in at least
/// every other id.
const SEQUENCE_SMALL: i64 = 64;

/// Ids for each machine that made some.
const PER_MACHINE_MIN: usize = 4;

/// Numbers of which more than half are multiples of this were counted in
/// rounded units.
const ROUNDED: i64 = 1000;

/// The id that follows insertion and tells moments; the first one of a table.
/// `captured_at` is in microseconds since 1970 UTC: no row is from later.
#[must_use]
pub fn id_time(table: &Table, captured_at: i64) -> Option<IdTime> {
    let captured_ms = captured_at.div_euclid(1000);
    table.columns.iter().find_map(|column| {
        let statistics = column.statistics.as_ref()?;
        let kind = kind(column, statistics, captured_ms)?;
        let curve = curve_of(along(statistics, table.rows, |text| {
            let value = column.type_name.key_type().read(text)?;
            kind.moment(&value).map(|at| at as f64)
        })?);
        (curve.len() >= 2).then(|| IdTime { column: column.name.clone(), kind, curve })
    })
}

fn kind(column: &Column, statistics: &ColumnStatistics, captured_ms: i64) -> Option<IdKind> {
    let kind = column.type_name.key_type();
    let order = statistics.correlation?.abs();
    let texts = statistics.common_values.iter().chain(&statistics.histogram);
    let values: Vec<KeyValue> = texts.map(|text| kind.read(text)).collect::<Option<_>>()?;
    match kind {
        KeyType::Uuid if order > FOLLOWS => is_uuid_v7(&values, captured_ms).then_some(IdKind::UuidV7),
        KeyType::Integer if order >= FOLLOWS_CLOSELY && statistics.distinct <= NEARLY_UNIQUE => {
            let ids: Vec<i64> = values
                .iter()
                .map(|value| match value {
                    KeyValue::Integer(id) => i64::try_from(*id).ok(),
                    _ => None,
                })
                .collect::<Option<_>>()?;
            snowflake_epoch(&ids, captured_ms).map(|epoch| IdKind::Snowflake { epoch })
        }
        _ => None,
    }
}

fn is_uuid_v7(values: &[KeyValue], captured_ms: i64) -> bool {
    let is_one = |value: &KeyValue| match value {
        KeyValue::Uuid(bits) => {
            let at = (bits >> 80) as i64;
            (bits >> 76) & 0xF == 7 && (bits >> 62) & 0b11 == 0b10 && plausible(at, EARLIEST_MS, captured_ms)
        }
        _ => false,
    };
    values.len() >= UUIDS_MIN && values.iter().all(is_one)
}

fn plausible(at_ms: i64, from_ms: i64, captured_ms: i64) -> bool {
    from_ms <= at_ms && at_ms <= captured_ms.saturating_add(AHEAD_MS)
}

/// The epoch by which these are snowflakes. Where both would do, the older
/// one, unless only the newer makes the last id a recent one.
fn snowflake_epoch(ids: &[i64], captured_ms: i64) -> Option<i64> {
    let (first, last) = (*ids.iter().min()?, *ids.iter().max()?);
    if ids.len() < SNOWFLAKES_MIN || first <= 0 || !has_bits_of_generators(ids, captured_ms) {
        return None;
    }
    let (first_ms, last_ms) = (first >> LOW_BITS, last >> LOW_BITS);
    // The first month of an epoch is where large serials could be.
    let fits = |epoch: &&i64| {
        last_ms - first_ms >= SPAN_MIN_MS
            && plausible(**epoch + first_ms, **epoch + 30 * DAY_MS, captured_ms)
            && plausible(**epoch + last_ms, **epoch, captured_ms)
    };
    let fitting: Vec<i64> = EPOCHS.iter().filter(fits).copied().collect();
    let recent = |epoch: &&i64| captured_ms - (**epoch + last_ms) <= 30 * DAY_MS;
    fitting.iter().find(recent).or(fitting.first()).copied()
}

fn has_bits_of_generators(ids: &[i64], captured_ms: i64) -> bool {
    let mostly = |what: &dyn Fn(&i64) -> bool| 2 * ids.iter().filter(|id| what(id)).count() >= ids.len();
    if mostly(&|id| id % ROUNDED == 0) {
        return false;
    }
    let small = mostly(&|id| id & ((1 << SEQUENCE_BITS) - 1) < SEQUENCE_SMALL);
    let machines: BTreeSet<i64> =
        ids.iter().map(|id| (id >> SEQUENCE_BITS) & ((1 << (LOW_BITS - SEQUENCE_BITS)) - 1)).collect();
    // As nanoseconds since 1970 they would be moments, too.
    let nanoseconds = ids.iter().all(|id| plausible(id / 1_000_000, EARLIEST_MS, captured_ms));
    small || (!nanoseconds && PER_MACHINE_MIN * machines.len() <= ids.len())
}

impl IdKind {
    /// The moment at which an id was made, microseconds since 1970 UTC.
    #[must_use]
    pub fn moment(self, id: &KeyValue) -> Option<i64> {
        let ms = match (self, id) {
            (Self::UuidV7, KeyValue::Uuid(bits)) => (bits >> 80) as i64,
            (Self::Snowflake { epoch }, KeyValue::Integer(id)) => {
                (i64::try_from(*id).ok()? >> LOW_BITS) + epoch
            }
            _ => return None,
        };
        ms.checked_mul(1000)
    }

    /// The lowest id of a moment (microseconds since 1970 UTC), for the bound
    /// of a shard; `None` if there is none.
    #[must_use]
    pub fn lowest_at(self, at: i64) -> Option<KeyValue> {
        let ms = at.div_euclid(1000) + i64::from(at.rem_euclid(1000) > 0);
        match self {
            Self::UuidV7 => {
                let bits = u128::try_from(ms).ok().filter(|bits| *bits < 1 << 48)?;
                Some(KeyValue::Uuid(bits << 80))
            }
            Self::Snowflake { epoch } => {
                let since =
                    ms.checked_sub(epoch).filter(|since| (0..1 << (63 - LOW_BITS)).contains(since))?;
                Some(KeyValue::Integer(i128::from(since << LOW_BITS)))
            }
        }
    }
}

impl IdTime {
    /// Names column and kind, for people.
    pub(super) fn words(&self) -> String {
        match self.kind {
            IdKind::UuidV7 => format!("{} (uuid version 7)", self.column),
            IdKind::Snowflake { epoch } => {
                let since = KeyType::Date.write_moment(epoch.saturating_mul(1000)).unwrap_or_default();
                format!("{} (snowflake since {since})", self.column)
            }
        }
    }
}

/// A day in microseconds is a thousand of those here.
const _: () = assert!(DAY == DAY_MS * 1000);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::forecast::event_time::examples::column;
    use crate::planning::forecast::event_time::examples::table;
    use proptest::prelude::*;

    /// 2026-11-26, in milliseconds.
    const NOW_MS: i64 = 1_795_651_200_000;

    fn ids(type_name: &str, correlation: f64, values: &[String]) -> Option<IdTime> {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        id_time(&table(1000.0, vec![column("id", type_name, correlation, &values)]), NOW_MS * 1000)
    }

    fn bigints(values: impl IntoIterator<Item = i64>) -> Option<IdTime> {
        let mut values: Vec<i64> = values.into_iter().collect();
        values.sort_unstable();
        ids("bigint", 0.99, &values.iter().map(i64::to_string).collect::<Vec<_>>())
    }

    fn uuid(bits: u128) -> String {
        let digits = format!("{bits:032x}");
        format!(
            "{}-{}-{}-{}-{}",
            &digits[..8],
            &digits[8..12],
            &digits[12..16],
            &digits[16..20],
            &digits[20..]
        )
    }

    fn v7(ms: i64, noise: u128) -> u128 {
        let free = noise & !(0xFFFF_FFFF_FFFF_u128 << 80) & !(0xF << 76) & !(0b11 << 62);
        ((ms as u128) << 80) | (7 << 76) | (0b10 << 62) | free
    }

    /// Scatters numbers: a step of SplitMix64.
    fn scatter(seed: u64) -> u64 {
        let mut bits = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    fn wide(seed: u64) -> u128 {
        (u128::from(scatter(seed)) << 64) | u128::from(scatter(!seed))
    }

    #[test]
    fn uuids_of_version_7_are_clocks() {
        let start = NOW_MS - 100 * DAY_MS;
        let made: Vec<String> =
            (0..=100).map(|day| uuid(v7(start + day * DAY_MS, wide(day as u64)))).collect();
        let found = ids("uuid", 0.99, &made).unwrap();
        assert_eq!((found.kind, found.curve.len()), (IdKind::UuidV7, 101));
        assert_eq!(found.curve[0].at, start * 1000);
        assert!((found.curve[50].value - 500.0).abs() < 1e-6);
        assert_eq!(found.words(), "id (uuid version 7)");
        assert_eq!(ids("uuid", 0.3, &made), None, "not in the order of insertion");
        assert_eq!(ids("uuid", 0.99, &made[..7]), None, "too few to tell");
        let mut one_other = made;
        one_other[50] = one_other[50].replacen("-7", "-4", 1);
        assert_eq!(ids("uuid", 0.99, &one_other), None);
        let future: Vec<String> = (0..20).map(|day| uuid(v7(NOW_MS + 5 * DAY_MS + day, wide(1)))).collect();
        assert_eq!(ids("uuid", 0.99, &future), None);
    }

    #[test]
    fn snowflakes_are_clocks() {
        for (epoch, words) in EPOCHS.into_iter().zip(["2010-11-04", "2015-01-01"]) {
            let id = |step: i64| ((NOW_MS - step * DAY_MS - epoch) << 22) | ((step % 3) << 12) | (step % 5);
            let found = bigints((0..100).map(id)).unwrap();
            assert_eq!(found.words(), format!("id (snowflake since {words})"));
            assert_eq!(found.curve[99].at / DAY, NOW_MS / DAY_MS);
        }
        // An archive of long ago, by the older epoch.
        let old = |step: i64| ((NOW_MS - (3000 + step) * DAY_MS - EPOCHS[0]) << 22) | step;
        assert_eq!(
            bigints((0..50).map(old)).map(|found| found.kind),
            Some(IdKind::Snowflake { epoch: EPOCHS[0] })
        );
    }

    #[test]
    fn ids_of_moments_are_bounds() {
        for kind in [IdKind::UuidV7, IdKind::Snowflake { epoch: EPOCHS[0] }] {
            for at in [NOW_MS * 1000, NOW_MS * 1000 + 1, (NOW_MS + 1) * 1000] {
                let id = kind.lowest_at(at).unwrap();
                let found = kind.moment(&id).unwrap();
                assert!(found >= at && found - at < 1000, "{kind:?} {at}");
            }
            assert_eq!(kind.lowest_at(i64::MAX), None);
            assert_eq!(kind.lowest_at(-1_000_000), None);
        }
        assert_eq!(IdKind::UuidV7.moment(&KeyValue::Integer(5)), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn no_serial_is_a_snowflake(
            start in prop_oneof![0_i64..1 << 40, 0..i64::MAX / 2],
            step in 1_i64..10_000,
            rows in 100_i64..10_000_000_000,
            bounds in 20_i64..120,
        ) {
            let bound = |at: i64| start.saturating_add((rows / bounds * at).saturating_mul(step));
            prop_assert_eq!(bigints((0..bounds).map(bound)), None);
        }

        #[test]
        fn no_count_of_time_is_a_snowflake(
            unit in prop::sample::select(vec![1_i64, 10, 1_000, 10_000, 1_000_000, 10_000_000, 1_000_000_000]),
            round in prop::sample::select(vec![1_i64, 10, 100, 1_000, 1_000_000, 1_000_000_000, 3_600_000_000_000, 86_400_000_000_000]),
            since_year_one in any::<bool>(),
            days in 1_i64..5_000,
            seed in any::<u64>(),
        ) {
            // Nanoseconds since 1970 in a coarser unit, or .NET's ticks.
            let value = |step: i64| {
                let ns = (NOW_MS - days * DAY_MS / 100 * step) as i128 * 1_000_000 - i128::from(scatter(seed ^ step as u64) % 1_000_000_000_000);
                let ns = ns / i128::from(round) * i128::from(round);
                let ns = if since_year_one { ns / 100 + 621_355_968_000_000_000 } else { ns / i128::from(unit) };
                i64::try_from(ns).unwrap()
            };
            prop_assert_eq!(bigints((0..100).map(value)), None);
        }

        #[test]
        fn no_random_number_is_a_clock(seed in any::<u64>(), count in 20_u64..200, bits in 1_u32..64) {
            let random = |at: u64| (scatter(seed ^ at.wrapping_mul(0xD6E8_FEB8_6659_FD93)) >> (64 - bits)) as i64;
            prop_assert_eq!(bigints((0..count).map(random)), None);
            let random = |at: u64| uuid(wide(seed ^ at.wrapping_mul(0xD6E8_FEB8_6659_FD93)));
            let mut uuids: Vec<String> = (0..count).map(random).collect();
            uuids.sort();
            prop_assert_eq!(ids("uuid", 1.0, &uuids), None);
            // Version 4, and version 1 with its time in the low bits.
            for version in [1_u128, 4, 6, 8] {
                let other = |at: u64| uuid((v7(NOW_MS - 1000 + at as i64, wide(seed ^ at)) & !(0xF << 76)) | (version << 76));
                prop_assert_eq!(ids("uuid", 1.0, &(0..count).map(other).collect::<Vec<_>>()), None);
            }
        }
    }
}
