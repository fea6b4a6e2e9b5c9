//! Two looks at pg_stat_statements, and what happened between them.
//!
//! Its counters only mean something as differences: they go back to the last
//! reset, and entries lose them when they are evicted. A [`Reading`] is one
//! look; [`difference`] tells what ran between two of them. What got lost in
//! between is named in [`Anomalies`].
//!
//! Invariant: a difference never says more than what happened. Where an entry
//! began anew, its counters since then are taken, and what it counted before
//! is lost; where that cannot be told, the smaller of the two possible numbers
//! is. Clocks decide nothing but the observed time.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

/// Microseconds that a server ran at most between the last reading and its
/// end: the time between two readings.
const BEFORE_RESTART_MAX: i64 = 300_000_000;

/// How far the start of the counters and that of the server are apart when
/// the server came up without old counters, in microseconds.
const STARTED_TOGETHER: i64 = 60_000_000;

/// What tells entries of one database apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryKey {
    pub userid: u32,
    pub queryid: i64,
    pub toplevel: bool,
}

/// The counters of an entry since it came into being.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counters {
    pub calls: i64,
    pub exec_ms: f64,
    pub rows: i64,
    /// When it came into being; PostgreSQL 17 and later say so.
    pub since: Option<i64>,
}

/// The run of a server that counted: counters of another one are no
/// continuation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Changes when a standby is promoted or an archive recovered.
    pub timeline: String,
    /// When its shared memory was made: at its start, and after a crash.
    pub started: i64,
}

/// One look at the entries of one database. Moments are microseconds since
/// 1970-01-01 UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub at: i64,
    pub server: Server,
    /// `stats_reset`: when all counters were last set to zero.
    pub counted_since: i64,
    /// `dealloc`: how often entries were evicted, of any database.
    pub evictions: i64,
    pub entries: BTreeMap<EntryKey, Counters>,
    /// Entries whose counters are no numbers; they are left out.
    pub damaged: usize,
}

/// An entry as it is stored: userid, queryid, toplevel, calls, exec_ms, rows,
/// since. A time that is not a number is null.
type StoredEntry = (u32, i64, bool, i64, Option<f64>, i64, Option<i64>);

/// Reads the JSON array of entries; returns them and the number of those that
/// are damaged.
///
/// # Errors
/// If it is something else.
pub fn entries(json: &str) -> Result<(BTreeMap<EntryKey, Counters>, usize), serde_json::Error> {
    let stored: Vec<StoredEntry> = serde_json::from_str(json)?;
    let all = stored.len();
    let sound: BTreeMap<EntryKey, Counters> = stored
        .into_iter()
        .filter_map(|(userid, queryid, toplevel, calls, exec_ms, rows, since)| {
            let exec_ms = exec_ms.filter(|ms| ms.is_finite() && *ms >= 0.0)?;
            let counters = Counters { calls, exec_ms, rows, since };
            (calls >= 0 && rows >= 0).then_some((EntryKey { userid, queryid, toplevel }, counters))
        })
        .collect();
    let damaged = all.saturating_sub(sound.len());
    Ok((sound, damaged))
}

/// What a statement cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Weight {
    pub calls: f64,
    pub exec_ms: f64,
    pub rows: f64,
}

impl Weight {
    pub fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.exec_ms += other.exec_ms;
        self.rows += other.rows;
    }
}

impl From<Counters> for Weight {
    fn from(counters: Counters) -> Self {
        Self { calls: counters.calls as f64, exec_ms: counters.exec_ms, rows: counters.rows as f64 }
    }
}

/// How an entry came by what it counted between two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was there at both and went on counting.
    Continued,
    /// It was not there before.
    New,
    /// It began anew in between: reset, or evicted and entered again. What it
    /// counted before that is lost, so its weight is a lower bound.
    Restarted,
}

/// What one entry counted between two readings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    pub weight: Weight,
    pub origin: Origin,
}

/// What went wrong between readings; of several differences, the sum.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Anomalies {
    /// All counters were reset.
    pub resets: u32,
    /// The server came up without the counters that it had: a crash, or
    /// `pg_stat_statements.save` is off.
    pub discards: u32,
    /// The counters were those of another server: nothing is known.
    pub other_servers: u32,
    /// The clock went backwards: the observed time is unknown.
    pub clock_steps: u32,
    /// Passes of eviction, of entries of any database.
    pub evictions: i64,
    /// Entries that began anew.
    pub restarted: usize,
    /// Entries that were there before and then no more.
    pub vanished: usize,
    /// Share of vanished entries in the execution time counted before, the
    /// largest of any difference.
    pub vanished_share: f64,
    /// Entries whose counters were no numbers.
    pub damaged: usize,
}

impl Anomalies {
    /// Whether nothing can be missing.
    #[must_use]
    pub fn none(&self) -> bool {
        *self == Self::default()
    }

    pub fn add(&mut self, other: &Self) {
        self.resets += other.resets;
        self.discards += other.discards;
        self.other_servers += other.other_servers;
        self.clock_steps += other.clock_steps;
        self.evictions = self.evictions.saturating_add(other.evictions);
        self.restarted += other.restarted;
        self.vanished += other.vanished;
        self.vanished_share = self.vanished_share.max(other.vanished_share);
        self.damaged += other.damaged;
    }
}

/// What happened between two readings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delta {
    /// Time in which the changes were counted.
    pub seconds: f64,
    /// Entries that counted something.
    pub changes: BTreeMap<EntryKey, Change>,
    pub anomalies: Anomalies,
}

/// What the counters of the later reading are to those of the earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Continuity {
    Kept,
    /// Kept, but the server was down in between.
    KeptOverRestart,
    Reset,
    Discarded,
    AnotherServer,
}

/// What ran between two readings of one database.
#[must_use]
pub fn difference(earlier: &Reading, later: &Reading) -> Delta {
    let continuity = continuity(earlier, later);
    let mut delta = Delta { seconds: seconds(continuity, earlier, later), ..Delta::default() };
    delta.anomalies.damaged = later.damaged;
    delta.anomalies.clock_steps = u32::from(later.at < earlier.at);
    match continuity {
        Continuity::AnotherServer => {
            delta.anomalies.other_servers = 1;
            return delta;
        }
        Continuity::Reset => delta.anomalies.resets = 1,
        Continuity::Discarded => delta.anomalies.discards = 1,
        Continuity::Kept | Continuity::KeptOverRestart => {
            delta.anomalies.evictions = later.evictions.saturating_sub(earlier.evictions);
            (delta.anomalies.vanished, delta.anomalies.vanished_share) = vanished(earlier, later);
        }
    }
    let emptied = matches!(continuity, Continuity::Reset | Continuity::Discarded);
    for (key, counters) in &later.entries {
        let before = earlier.entries.get(key);
        let change = change(before, *counters, emptied);
        // After a reset it is said once for all of them.
        delta.anomalies.restarted += usize::from(!emptied && change.origin == Origin::Restarted);
        if change.weight != Weight::default() {
            delta.changes.insert(*key, change);
        }
    }
    delta
}

fn continuity(earlier: &Reading, later: &Reading) -> Continuity {
    let restarted = earlier.server.started != later.server.started;
    // A server that started before the earlier reading did not make it.
    if earlier.server.timeline != later.server.timeline || (restarted && later.server.started < earlier.at) {
        return Continuity::AnotherServer;
    }
    let apart = later.counted_since.abs_diff(later.server.started);
    if earlier.counted_since != later.counted_since {
        let discarded = restarted && apart < STARTED_TOGETHER.unsigned_abs();
        return if discarded { Continuity::Discarded } else { Continuity::Reset };
    }
    match restarted {
        // This number only grows, unless all is set to zero.
        _ if later.evictions < earlier.evictions => Continuity::Discarded,
        true => Continuity::KeptOverRestart,
        false => Continuity::Kept,
    }
}

fn seconds(continuity: Continuity, earlier: &Reading, later: &Reading) -> f64 {
    let elapsed = later.at.saturating_sub(earlier.at).max(0);
    let since = |moment: i64| later.at.saturating_sub(moment).clamp(0, elapsed);
    let micros = match continuity {
        Continuity::Kept => elapsed,
        Continuity::KeptOverRestart => {
            // How long it was down is not known; that it ran until the next
            // reading was due is the most that can be.
            let up = since(later.server.started);
            up + (elapsed - up).min(BEFORE_RESTART_MAX)
        }
        Continuity::Reset => since(later.counted_since),
        Continuity::Discarded => since(later.server.started),
        Continuity::AnotherServer => 0,
    };
    micros as f64 / 1e6
}

fn change(before: Option<&Counters>, after: Counters, emptied: bool) -> Change {
    let Some(before) = before else { return Change { weight: after.into(), origin: Origin::New } };
    let replaced = matches!((before.since, after.since), (Some(then), Some(now)) if then != now);
    let fell = after.calls < before.calls || after.exec_ms < before.exec_ms || after.rows < before.rows;
    if emptied || replaced || fell {
        return Change { weight: after.into(), origin: Origin::Restarted };
    }
    let weight = Weight {
        calls: (after.calls - before.calls) as f64,
        exec_ms: after.exec_ms - before.exec_ms,
        rows: (after.rows - before.rows) as f64,
    };
    Change { weight, origin: Origin::Continued }
}

/// How many entries are gone, and their share of the execution time before.
fn vanished(earlier: &Reading, later: &Reading) -> (usize, f64) {
    let (mut count, mut gone, mut all) = (0, 0.0, 0.0);
    for (key, counters) in &earlier.entries {
        all += counters.exec_ms;
        if !later.entries.contains_key(key) {
            count += 1;
            gone += counters.exec_ms;
        }
    }
    (count, if all > 0.0 { gone / all } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn key(queryid: i64) -> EntryKey {
        EntryKey { userid: 10, queryid, toplevel: true }
    }

    /// A reading at a second; the server started at 0 and counts since -100.
    fn reading(at: i64, entries: &[(i64, i64)]) -> Reading {
        let counters = |calls: i64| Counters { calls, exec_ms: calls as f64 * 2.0, rows: calls, since: None };
        Reading {
            at: at * SECOND,
            server: Server { timeline: "00000001".to_owned(), started: 0 },
            counted_since: -100 * SECOND,
            evictions: 3,
            entries: entries.iter().map(|(id, calls)| (key(*id), counters(*calls))).collect(),
            damaged: 0,
        }
    }

    fn calls(delta: &Delta) -> Vec<(i64, f64, Origin)> {
        delta.changes.iter().map(|(key, c)| (key.queryid, c.weight.calls, c.origin)).collect()
    }

    #[test]
    fn counters_that_go_on_are_subtracted() {
        let delta = difference(&reading(100, &[(1, 5), (2, 7)]), &reading(160, &[(1, 8), (2, 7), (3, 4)]));
        assert_eq!(calls(&delta), [(1, 3.0, Origin::Continued), (3, 4.0, Origin::New)]);
        assert_eq!(delta.changes[&key(1)].weight, Weight { calls: 3.0, exec_ms: 6.0, rows: 3.0 });
        assert_eq!(delta.seconds, 60.0);
        assert!(delta.anomalies.none());
    }

    #[test]
    fn equal_readings_have_no_difference() {
        let one = reading(100, &[(1, 5)]);
        let delta = difference(&one, &one);
        assert_eq!(delta, Delta::default());
    }

    #[test]
    fn a_counter_that_fell_is_counted_from_its_restart() {
        let delta = difference(&reading(100, &[(1, 5)]), &reading(160, &[(1, 2)]));
        assert_eq!(calls(&delta), [(1, 2.0, Origin::Restarted)]);
        assert_eq!(delta.anomalies, Anomalies { restarted: 1, ..Anomalies::default() });
        // One of the three is enough: here the rows.
        let mut later = reading(160, &[(1, 9)]);
        later.entries.values_mut().for_each(|counters| counters.rows = 4);
        assert_eq!(calls(&difference(&reading(100, &[(1, 5)]), &later)), [(1, 9.0, Origin::Restarted)]);
    }

    #[test]
    fn an_entry_of_another_age_is_counted_from_its_restart_though_it_grew() {
        let (mut earlier, mut later) = (reading(100, &[(1, 5)]), reading(160, &[(1, 9)]));
        earlier.entries.values_mut().for_each(|counters| counters.since = Some(7));
        later.entries.values_mut().for_each(|counters| counters.since = Some(7));
        assert_eq!(calls(&difference(&earlier, &later)), [(1, 4.0, Origin::Continued)]);
        // Also where the clock went backwards meanwhile.
        later.entries.values_mut().for_each(|counters| counters.since = Some(6));
        assert_eq!(calls(&difference(&earlier, &later)), [(1, 9.0, Origin::Restarted)]);
    }

    #[test]
    fn after_a_reset_everything_is_counted_from_it() {
        let (earlier, mut later) = (reading(100, &[(1, 5), (2, 5)]), reading(160, &[(1, 9)]));
        later.counted_since = 140 * SECOND;
        later.evictions = 0;
        let delta = difference(&earlier, &later);
        assert_eq!(calls(&delta), [(1, 9.0, Origin::Restarted)]);
        assert_eq!(delta.seconds, 20.0);
        assert_eq!(delta.anomalies, Anomalies { resets: 1, ..Anomalies::default() });
    }

    #[test]
    fn after_a_crash_everything_is_counted_from_the_new_start() {
        let (earlier, mut later) = (reading(100, &[(1, 5)]), reading(160, &[(1, 9)]));
        later.server.started = 130 * SECOND;
        later.counted_since = 129 * SECOND;
        let delta = difference(&earlier, &later);
        assert_eq!(calls(&delta), [(1, 9.0, Origin::Restarted)]);
        assert_eq!(delta.seconds, 30.0);
        assert_eq!(delta.anomalies, Anomalies { discards: 1, ..Anomalies::default() });
    }

    #[test]
    fn evictions_that_became_fewer_mean_that_counters_were_discarded() {
        let (earlier, mut later) = (reading(100, &[(1, 5)]), reading(160, &[(1, 9)]));
        later.server.started = 130 * SECOND;
        later.evictions = 1;
        assert_eq!(difference(&earlier, &later).anomalies.discards, 1);
        assert_eq!(calls(&difference(&earlier, &later)), [(1, 9.0, Origin::Restarted)]);
    }

    #[test]
    fn a_restart_that_keeps_counters_is_no_loss_and_the_pause_is_no_time() {
        let (earlier, mut later) = (reading(100, &[(1, 5)]), reading(10_000, &[(1, 9)]));
        later.server.started = 9_000 * SECOND;
        let delta = difference(&earlier, &later);
        assert_eq!(calls(&delta), [(1, 4.0, Origin::Continued)]);
        assert_eq!(delta.seconds, 1_300.0);
        assert!(delta.anomalies.none());
    }

    #[test]
    fn counters_of_another_server_say_nothing() {
        // A standby that ran for long, promoted: another timeline, or older than the reading.
        for change in [
            |later: &mut Reading| later.server.timeline = "00000002".to_owned(),
            |later: &mut Reading| later.server.started = 50 * SECOND,
        ] {
            let (earlier, mut later) = (reading(100, &[(1, 5)]), reading(160, &[(1, 9_000), (2, 1)]));
            change(&mut later);
            let delta = difference(&earlier, &later);
            let anomalies = Anomalies { other_servers: 1, ..Anomalies::default() };
            assert_eq!(delta, Delta { anomalies, ..Delta::default() });
        }
    }

    #[test]
    fn evictions_and_vanished_entries_are_said() {
        let (earlier, mut later) = (reading(100, &[(1, 5), (2, 15)]), reading(160, &[(2, 15)]));
        later.evictions = 8;
        let delta = difference(&earlier, &later);
        assert!(delta.changes.is_empty());
        let expected = Anomalies { evictions: 5, vanished: 1, vanished_share: 0.25, ..Anomalies::default() };
        assert_eq!(delta.anomalies, expected);
    }

    #[test]
    fn a_clock_that_went_back_gives_no_time_but_counts() {
        let delta = difference(&reading(160, &[(1, 5)]), &reading(100, &[(1, 8)]));
        assert_eq!(calls(&delta), [(1, 3.0, Origin::Continued)]);
        assert_eq!((delta.seconds, delta.anomalies.clock_steps), (0.0, 1));
    }

    #[test]
    fn extreme_moments_and_counters_do_not_overflow() {
        let (mut earlier, mut later) = (reading(0, &[(1, 0)]), reading(0, &[(1, i64::MAX)]));
        (earlier.at, later.at) = (i64::MIN, i64::MAX);
        assert_eq!(difference(&earlier, &later).changes[&key(1)].weight.calls, i64::MAX as f64);
        later.server.started = i64::MAX;
        later.counted_since = i64::MIN;
        assert!(difference(&earlier, &later).seconds.is_finite());
        assert!(difference(&later, &earlier).seconds >= 0.0);
    }

    #[test]
    fn damaged_entries_are_left_out_and_counted() {
        let json = "[[10, -5, true, 1, 2.5, 3, null], [10, 6, false, 1, null, 3, 99],
                     [10, 7, true, -1, 1, 1, null], [10, 8, true, 1, 1e400, 1, null]]";
        assert!(entries(json).is_err(), "a number that no float holds is not JSON of ours");
        let (found, damaged) = entries(&json.replace("1e400", "-1")).unwrap();
        let sound = Counters { calls: 1, exec_ms: 2.5, rows: 3, since: None };
        assert_eq!((found.into_iter().collect::<Vec<_>>(), damaged), (vec![(key(-5), sound)], 3));
        assert!(entries("{}").is_err());
    }
}
