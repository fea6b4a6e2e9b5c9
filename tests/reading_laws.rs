//! Laws of readings: against a model of pg_stat_statements with evictions,
//! resets, crashes and fail-over, differences never say more than the truth,
//! and all of it where nothing was lost.

use std::collections::BTreeMap;

use pg_presplit::planning::workload::reading::Anomalies;
use pg_presplit::planning::workload::reading::Counters;
use pg_presplit::planning::workload::reading::Delta;
use pg_presplit::planning::workload::reading::EntryKey;
use pg_presplit::planning::workload::reading::Reading;
use pg_presplit::planning::workload::reading::Server;
use pg_presplit::planning::workload::reading::Weight;
use pg_presplit::planning::workload::reading::difference;
use pg_presplit::planning::workload::window::Observed;
use pg_presplit::planning::workload::window::StatementKey;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

const SECOND: i64 = 1_000_000;

/// What happens to a server.
#[derive(Debug, Clone)]
enum Event {
    Run {
        key: EntryKey,
        calls: i64,
        ms: u16,
    },
    Read,
    Reset,
    ResetEntry(EntryKey),
    Crash,
    Restart,
    /// A standby with counters of its own takes over.
    FailOver(Vec<(EntryKey, i64)>),
}

/// The extension as it behaves: a table of bounded size whose least used
/// entries go, and a moment since which it counts.
struct Simulated {
    now: i64,
    server: Server,
    counted_since: i64,
    evictions: i64,
    entries: BTreeMap<EntryKey, Counters>,
    entries_max: usize,
    tells_age: bool,
    /// What really ran, by whatever server is in charge.
    truth: BTreeMap<EntryKey, Weight>,
}

impl Simulated {
    fn new(entries_max: usize, tells_age: bool) -> Self {
        let server = Server { timeline: "1".to_owned(), started: 1_000 * SECOND };
        Self {
            now: 1_001 * SECOND,
            server,
            counted_since: 1_000 * SECOND,
            evictions: 0,
            entries: BTreeMap::new(),
            entries_max,
            tells_age,
            truth: BTreeMap::new(),
        }
    }

    fn run(&mut self, key: EntryKey, calls: i64, ms: u16) {
        if !self.entries.contains_key(&key) && self.entries.len() >= self.entries_max {
            let least = self.entries.iter().min_by_key(|(_, counters)| counters.calls).map(|(key, _)| *key);
            least.map(|key| self.entries.remove(&key));
            self.evictions += 1;
        }
        let since = self.tells_age.then_some(self.now);
        let new = Counters { calls: 0, exec_ms: 0.0, rows: 0, since };
        let counters = self.entries.entry(key).or_insert(new);
        counters.calls += calls;
        counters.exec_ms += f64::from(ms);
        counters.rows += calls * 2;
        let weight = Weight { calls: calls as f64, exec_ms: f64::from(ms), rows: (calls * 2) as f64 };
        self.truth.entry(key).or_default().add(weight);
    }

    fn empty(&mut self) {
        self.entries.clear();
        self.evictions = 0;
        self.counted_since = self.now;
    }

    fn happens(&mut self, event: &Event) {
        self.now += SECOND;
        match event {
            Event::Run { key, calls, ms } => self.run(*key, *calls, *ms),
            Event::Read => {}
            Event::Reset => self.empty(),
            Event::ResetEntry(key) => {
                self.entries.remove(key);
            }
            Event::Crash => {
                self.empty();
                self.server.started = self.now + SECOND / 10;
            }
            Event::Restart => self.server.started = self.now,
            Event::FailOver(own) => {
                let since = self.tells_age.then_some(SECOND);
                let counters = |calls| Counters { calls, exec_ms: calls as f64, rows: calls, since };
                self.entries = own.iter().map(|(key, calls)| (*key, counters(*calls))).collect();
                self.server.timeline.push('1');
                self.server.started = 10 * SECOND;
            }
        }
    }

    fn reading(&self) -> Reading {
        Reading {
            at: self.now,
            server: self.server.clone(),
            counted_since: self.counted_since,
            evictions: self.evictions,
            entries: self.entries.clone(),
            damaged: 0,
        }
    }
}

/// A history as it was read: the readings, what they differ by, and what
/// really ran between the first and the last.
struct Read {
    readings: Vec<Reading>,
    deltas: Vec<Delta>,
    truth: BTreeMap<EntryKey, Weight>,
}

fn read(events: &[Event], entries_max: usize, tells_age: bool) -> Read {
    let mut server = Simulated::new(entries_max, tells_age);
    let mut readings = Vec::new();
    let mut before = BTreeMap::new();
    let look = |server: &mut Simulated, readings: &mut Vec<Reading>, before: &mut BTreeMap<_, _>| {
        if readings.is_empty() {
            before.clone_from(&server.truth);
        }
        readings.push(server.reading());
    };
    for event in events {
        server.happens(event);
        if matches!(event, Event::Read) {
            look(&mut server, &mut readings, &mut before);
        }
    }
    look(&mut server, &mut readings, &mut before);
    let deltas = readings.windows(2).map(|pair| difference(&pair[0], &pair[1])).collect();
    let mut truth = server.truth;
    for (key, weight) in before {
        let Weight { calls, exec_ms, rows } = weight;
        truth.entry(key).or_default().add(Weight { calls: -calls, exec_ms: -exec_ms, rows: -rows });
    }
    truth.retain(|_, weight| *weight != Weight::default());
    Read { readings, deltas, truth }
}

fn sum(deltas: &[Delta]) -> BTreeMap<EntryKey, Weight> {
    let mut sum: BTreeMap<EntryKey, Weight> = BTreeMap::new();
    for (key, change) in deltas.iter().flat_map(|delta| &delta.changes) {
        sum.entry(*key).or_default().add(change.weight);
    }
    sum
}

fn key() -> impl Strategy<Value = EntryKey> {
    (1_u32..3, 0_i64..6, any::<bool>()).prop_map(|(userid, queryid, toplevel)| EntryKey {
        userid,
        queryid,
        toplevel,
    })
}

fn run() -> impl Strategy<Value = Event> {
    (key(), 1_i64..20, any::<u16>()).prop_map(|(key, calls, ms)| Event::Run { key, calls, ms })
}

/// Whatever can happen.
fn anything() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        12 => run(),
        4 => Just(Event::Read),
        1 => Just(Event::Reset),
        1 => key().prop_map(Event::ResetEntry),
        1 => Just(Event::Crash),
        1 => Just(Event::Restart),
        1 => prop::collection::vec((key(), 0_i64..1_000), 0..6).prop_map(Event::FailOver),
    ];
    prop::collection::vec(event, 0..80)
}

fn undisturbed() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(prop_oneof![12 => run(), 4 => Just(Event::Read), 1 => Just(Event::Restart)], 0..80)
}

/// Failures are written down beside this file, as in the laws of the forecast.
fn config() -> ProptestConfig {
    let beside = FileFailurePersistence::WithSource("proptest-regressions");
    ProptestConfig { cases: 1_000, failure_persistence: Some(Box::new(beside)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn never_more_than_the_truth(events in anything(), entries_max in 2_usize..12, tells_age: bool) {
        let Read { readings, deltas, truth } = read(&events, entries_max, tells_age);
        for (key, found) in sum(&deltas) {
            let real = truth.get(&key).copied().unwrap_or_default();
            let within = found.calls <= real.calls && found.exec_ms <= real.exec_ms && found.rows <= real.rows;
            prop_assert!(within, "{key:?}: found {found:?}, real {real:?}");
        }
        for (delta, pair) in deltas.iter().zip(readings.windows(2)) {
            let elapsed = (pair[1].at - pair[0].at) as f64 / 1e6;
            prop_assert!((0.0..=elapsed).contains(&delta.seconds));
            for Weight { calls, exec_ms, rows } in delta.changes.values().map(|change| change.weight) {
                prop_assert!(calls >= 0.0 && exec_ms >= 0.0 && rows >= 0.0);
            }
        }
    }

    #[test]
    fn what_was_lost_is_said(events in anything(), entries_max in 2_usize..12, tells_age: bool) {
        // An entry that came, was reset by name and came again leaves no trace.
        let events: Vec<_> = events.into_iter().filter(|e| !matches!(e, Event::ResetEntry(_))).collect();
        let Read { deltas, truth, .. } = read(&events, entries_max, tells_age);
        if deltas.iter().all(|delta| delta.anomalies.none()) {
            prop_assert_eq!(sum(&deltas), truth);
        }
    }

    #[test]
    fn all_of_it_where_nothing_was_lost(events in undisturbed(), tells_age: bool) {
        let Read { readings, deltas, truth } = read(&events, 100, tells_age);
        prop_assert!(deltas.iter().all(|delta| delta.anomalies == Anomalies::default()));
        prop_assert_eq!(&sum(&deltas), &truth);
        // The parts are the whole.
        if let [first, .., last] = &readings[..] {
            prop_assert_eq!(sum(&[difference(first, last)]), truth);
        }
    }

    #[test]
    fn bounded_hours_keep_the_whole(events in anything(), entries_max in 2_usize..12, kept in 0_usize..8) {
        let Read { deltas, .. } = read(&events, entries_max, true);
        let (mut bounded, mut whole) = (Observed::default(), Observed::default());
        for delta in &deltas {
            let mut hour = Observed::default();
            hour.add_delta(delta);
            whole.add(&hour);
            hour.keep_heaviest(kept);
            prop_assert!(hour.statements.len() <= kept);
            bounded.add(&hour);
        }
        let total = |observed: &Observed| {
            let mut total = observed.rest;
            observed.statements.values().for_each(|weight| total.add(*weight));
            total
        };
        prop_assert_eq!(total(&bounded), total(&whole));
        prop_assert_eq!(bounded.seconds, whole.seconds);
        prop_assert_eq!(&bounded.anomalies, &whole.anomalies);
        for (key, weight) in &bounded.statements {
            prop_assert!(weight.exec_ms <= whole.statements[key].exec_ms);
        }
        let text = serde_json::to_string(&bounded).unwrap_or_default();
        prop_assert_eq!(serde_json::from_str::<Observed>(&text).ok(), Some(bounded));
    }

    /// Whatever two readings say, and in whatever order: no panic, and a
    /// difference that can be added up.
    #[test]
    fn any_two_readings_can_be_compared(
        moments in prop::array::uniform6(any::<i64>()),
        evictions in any::<(i64, i64)>(),
        counters in prop::collection::vec((key(), 0..=i64::MAX, 0.0..1e300_f64, any::<Option<i64>>(), any::<bool>()), 0..20),
    ) {
        let reading = |at: usize, evictions| Reading {
            at: moments[at],
            server: Server { timeline: "1".to_owned(), started: moments[at + 1] },
            counted_since: moments[at + 2],
            evictions,
            entries: counters
                .iter()
                .filter(|(.., first)| *first == (at == 0))
                .map(|(key, calls, exec_ms, since, _)| {
                    (*key, Counters { calls: *calls, exec_ms: *exec_ms, rows: *calls, since: *since })
                })
                .collect(),
            damaged: 0,
        };
        let (one, two) = (reading(0, evictions.0), reading(3, evictions.1));
        for delta in [difference(&one, &two), difference(&two, &one)] {
            let mut observed = Observed::default();
            observed.add_delta(&delta);
            prop_assert!(observed.seconds >= 0.0 && observed.seconds.is_finite());
            let key = StatementKey { userid: 1, queryid: 1 };
            prop_assert!(observed.statements.get(&key).is_none_or(|weight| weight.calls >= 0.0));
        }
    }
}
