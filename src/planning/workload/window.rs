//! Differences of readings added up: hour by hour as they are kept, and over
//! the whole time that is kept as the analysis takes them.
//!
//! Invariant: a sum is bounded. An [`Observed`] holds at most so many
//! statements as its maker says, the heaviest; the weight of all others is
//! kept as one, so that shares of the whole stay right.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Deserialize;
use serde::Serialize;

use crate::model::profile::Statement;
use crate::planning::workload::reading::Anomalies;
use crate::planning::workload::reading::Delta;
use crate::planning::workload::reading::Weight;

/// Readings are taken instead of the counters since the last reset once they
/// cover a day, the rhythm of most workloads, or more than those counters do.
const SECONDS_THAT_SPEAK: f64 = 86_400.0;

/// A statement of a role, by itself or inside a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatementKey {
    pub userid: u32,
    pub queryid: i64,
}

/// What was observed in some time: an hour, or all hours that are kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    pub seconds: f64,
    #[serde(with = "as_rows")]
    pub statements: BTreeMap<StatementKey, Weight>,
    /// Statements that are not kept one by one.
    #[serde(default)]
    pub rest: Weight,
    #[serde(default)]
    pub anomalies: Anomalies,
}

/// Statements as `[userid, queryid, calls, exec_ms, rows]`: JSON has no keys
/// but texts.
mod as_rows {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde::Deserializer;
    use serde::Serialize;
    use serde::Serializer;

    use crate::planning::workload::reading::Weight;
    use crate::planning::workload::window::StatementKey;

    type Row = (u32, i64, f64, f64, f64);

    pub fn serialize<S: Serializer>(
        statements: &BTreeMap<StatementKey, Weight>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let row = |(key, weight): (&StatementKey, &Weight)| -> Row {
            (key.userid, key.queryid, weight.calls, weight.exec_ms, weight.rows)
        };
        statements.iter().map(row).collect::<Vec<_>>().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<StatementKey, Weight>, D::Error> {
        let rows = Vec::<Row>::deserialize(deserializer)?;
        let statement = |(userid, queryid, calls, exec_ms, rows): Row| {
            (StatementKey { userid, queryid }, Weight { calls, exec_ms, rows })
        };
        Ok(rows.into_iter().map(statement).collect())
    }
}

impl Observed {
    /// Adds what happened between two readings.
    pub fn add_delta(&mut self, delta: &Delta) {
        self.seconds += delta.seconds;
        self.anomalies.add(&delta.anomalies);
        for (key, change) in &delta.changes {
            let key = StatementKey { userid: key.userid, queryid: key.queryid };
            self.statements.entry(key).or_default().add(change.weight);
        }
    }

    /// Adds what was observed in another time.
    pub fn add(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.anomalies.add(&other.anomalies);
        self.rest.add(other.rest);
        for (key, weight) in &other.statements {
            self.statements.entry(*key).or_default().add(*weight);
        }
    }

    /// Keeps the heaviest statements one by one, at most so many.
    pub fn keep_heaviest(&mut self, count_max: usize) {
        let kept = self.heaviest(count_max);
        let rest = &mut self.rest;
        self.statements.retain(|key, weight| {
            let keep = kept.contains(key);
            if !keep {
                rest.add(*weight);
            }
            keep
        });
    }

    /// The statements of the most execution time, of those the most called.
    #[must_use]
    pub fn heaviest(&self, count_max: usize) -> BTreeSet<StatementKey> {
        let mut order: Vec<_> = self.statements.iter().collect();
        order.sort_by(|(_, a), (_, b)| {
            b.exec_ms.total_cmp(&a.exec_ms).then_with(|| b.calls.total_cmp(&a.calls))
        });
        order.into_iter().take(count_max).map(|(key, _)| *key).collect()
    }

    /// Keeps what one role ran: all that others may not see goes, and so does
    /// the rest, which is of all roles.
    pub fn keep_role(&mut self, userid: u32) {
        self.statements.retain(|key, _| key.userid == userid);
        self.rest = Weight::default();
    }

    /// Whether this says more of the workload than the counters since their
    /// last reset, which count for so many seconds.
    #[must_use]
    pub fn speaks(&self, counted_seconds: Option<f64>) -> bool {
        let enough = counted_seconds.unwrap_or(f64::INFINITY).min(SECONDS_THAT_SPEAK);
        self.seconds > 0.0 && self.seconds >= enough
    }

    /// What a person must know of it, in one line.
    #[must_use]
    pub fn note(&self) -> String {
        let found = &self.anomalies;
        let mut note = format!("sum of readings of pg_stat_statements over {}", duration(self.seconds));
        let mut say = |count: i64, what: &str| {
            if count > 0 {
                let _ = write!(note, "; {}", what.replace('#', &count.to_string()));
            }
        };
        say(found.resets.into(), "all counters were reset # times");
        say(found.discards.into(), "the server lost its counters # times");
        say(found.other_servers.into(), "the counters became those of another server # times");
        say(found.clock_steps.into(), "the clock went backwards # times");
        say(found.evictions, "rare statements were discarded # times");
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        say(count(found.restarted), "# entries began anew, what they counted before is lost");
        let vanished = format!(
            "# entries vanished, with at most {:.1} % of the execution time counted before",
            found.vanished_share * 100.0
        );
        say(count(found.vanished), &vanished);
        say(count(found.damaged), "# entries are left out because their counters are no numbers");
        note
    }
}

/// `3.5 hours`, as exact as a person wants it.
#[must_use]
pub fn duration(seconds: f64) -> String {
    const UNITS: [(f64, &str); 3] = [(86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")];
    let unit = UNITS.iter().find(|(length, _)| seconds >= *length * 2.0);
    unit.map_or_else(
        || format!("{seconds:.0} seconds"),
        |(length, name)| format!("{:.1} {name}", seconds / length),
    )
}

/// Who a statement's role is, and what its text is.
pub struct Known<'a> {
    /// Names of roles; one that is gone has none.
    pub roles: &'a BTreeMap<u32, String>,
    /// Texts that are there now, by role and statement.
    pub present: &'a BTreeMap<(String, i64), String>,
    /// Texts that were written down; none = not part of the workload.
    pub stored: &'a BTreeMap<StatementKey, Option<String>>,
}

/// The statements of what was observed, each once for each role, and the
/// weight of those whose text is lost.
#[must_use]
pub fn statements(observed: &Observed, known: &Known<'_>) -> (Vec<Statement>, usize, Weight) {
    let mut found: BTreeMap<(String, i64), Statement> = BTreeMap::new();
    let (mut lost, mut lost_weight) = (0, Weight::default());
    for (key, weight) in &observed.statements {
        let role = known.roles.get(&key.userid).cloned().unwrap_or_default();
        let name = (role, key.queryid);
        let query = match (known.present.get(&name), known.stored.get(key)) {
            (Some(text), _) | (None, Some(Some(text))) => text,
            (None, Some(None)) => continue,
            (None, None) => {
                lost += 1;
                lost_weight.add(*weight);
                continue;
            }
        };
        let statement = found.entry(name.clone()).or_insert_with(|| Statement {
            queryid: key.queryid,
            query: query.clone(),
            role: name.0,
            calls: 0.0,
            exec_ms: 0.0,
            rows: 0.0,
            samples: Vec::new(),
        });
        statement.calls += weight.calls;
        statement.exec_ms += weight.exec_ms;
        statement.rows += weight.rows;
    }
    (found.into_values().collect(), lost, lost_weight)
}

/// What has a weight but no text of its own, as one statement that is not
/// analysed: shares of the whole stay right.
#[must_use]
pub fn rest_as_statement(lost: usize, rest: Weight) -> Option<Statement> {
    let lost = match lost {
        0 => String::new(),
        count => format!(", and {count} whose text is lost"),
    };
    (rest != Weight::default()).then(|| Statement {
        queryid: 0,
        query: format!("-- statements of small weight{lost}"),
        role: String::new(),
        calls: rest.calls,
        exec_ms: rest.exec_ms,
        rows: rest.rows,
        samples: Vec::new(),
    })
}

/// Whether a statement is one of ours: it says so, it reads or writes schema
/// presplit, or it calls one of these functions.
#[must_use]
pub fn is_own(query: &str, functions: &BTreeSet<String>) -> bool {
    if query.contains("/* pg_presplit ") {
        return true;
    }
    let in_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let mut before = None;
    let mut rest = query;
    while let Some(c) = rest.chars().next() {
        let begins = in_name(c) && !before.is_some_and(in_name);
        before = Some(c);
        if !begins {
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(rest.find(|c| !in_name(c)).unwrap_or(rest.len()));
        let next = after.strip_prefix('"').unwrap_or(after).trim_start().chars().next();
        if (word == "presplit" && next == Some('.')) || (next == Some('(') && functions.contains(word)) {
            return true;
        }
        before = word.chars().next_back();
        rest = after;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::workload::reading::Change;
    use crate::planning::workload::reading::EntryKey;
    use crate::planning::workload::reading::Origin;

    fn key(userid: u32, queryid: i64) -> StatementKey {
        StatementKey { userid, queryid }
    }

    fn weight(calls: f64, exec_ms: f64) -> Weight {
        Weight { calls, exec_ms, rows: calls }
    }

    fn observed(statements: &[(u32, i64, f64, f64)]) -> Observed {
        let statements = statements.iter().map(|(u, q, calls, ms)| (key(*u, *q), weight(*calls, *ms)));
        Observed { seconds: 60.0, statements: statements.collect(), ..Observed::default() }
    }

    #[test]
    fn a_statement_counts_once_by_itself_and_in_functions() {
        let change = |calls| Change { weight: weight(calls, calls), origin: Origin::New };
        let entry = |toplevel| EntryKey { userid: 1, queryid: 7, toplevel };
        let changes = BTreeMap::from([(entry(true), change(2.0)), (entry(false), change(3.0))]);
        let anomalies = Anomalies { restarted: 1, ..Anomalies::default() };
        let mut sum = observed(&[(1, 7, 1.0, 1.0)]);
        sum.add_delta(&Delta { seconds: 30.0, changes, anomalies: anomalies.clone() });
        let mut expected = observed(&[(1, 7, 6.0, 6.0)]);
        (expected.seconds, expected.anomalies) = (90.0, anomalies);
        assert_eq!(sum, expected);
    }

    #[test]
    fn the_heaviest_are_kept_and_the_others_are_one_weight() {
        let mut sum = observed(&[(1, 1, 9.0, 1.0), (1, 2, 1.0, 5.0), (1, 3, 2.0, 1.0), (1, 4, 1.0, 9.0)]);
        sum.keep_heaviest(3);
        assert_eq!(sum.statements.keys().map(|key| key.queryid).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!(sum.rest, weight(2.0, 1.0));
        sum.keep_heaviest(0);
        assert_eq!(sum.rest, weight(13.0, 16.0));
    }

    #[test]
    fn it_is_stored_as_it_is() {
        let mut sum = observed(&[(4_294_967_295, i64::MIN, 0.1, 1e-9), (1, 2, 1e15, 0.3)]);
        sum.rest = weight(1.0, 0.2);
        sum.anomalies = Anomalies { vanished: 1, vanished_share: 0.1, ..Anomalies::default() };
        let text = serde_json::to_string(&sum).unwrap();
        assert_eq!(serde_json::from_str::<Observed>(&text).unwrap(), sum);
    }

    #[test]
    fn readings_speak_after_a_day_or_when_they_know_more_than_the_counters() {
        for (seconds, counted, expected) in [
            (0.0, Some(0.0), false),
            (3_600.0, None, false),
            (86_400.0, None, true),
            (3_600.0, Some(3_601.0), false),
            (3_600.0, Some(3_600.0), true),
            (86_400.0, Some(1e7), true),
        ] {
            let sum = Observed { seconds, ..Observed::default() };
            assert_eq!(sum.speaks(counted), expected, "{seconds} {counted:?}");
        }
    }

    #[test]
    fn the_note_names_what_was_lost_and_only_that() {
        let mut sum = Observed { seconds: 93_600.0, ..Observed::default() };
        assert_eq!(sum.note(), "sum of readings of pg_stat_statements over 26.0 hours");
        sum.anomalies =
            Anomalies { resets: 1, vanished: 2, vanished_share: 0.25, evictions: 7, ..Anomalies::default() };
        assert_eq!(
            sum.note(),
            "sum of readings of pg_stat_statements over 26.0 hours; all counters were reset 1 times; rare \
             statements were discarded 7 times; 2 entries vanished, with at most 25.0 % of the execution \
             time counted before"
        );
    }

    #[test]
    fn texts_are_those_of_now_else_the_stored_ones() {
        let sum = observed(&[
            (1, 1, 1.0, 1.0),
            (1, 2, 2.0, 2.0),
            (1, 3, 4.0, 4.0),
            (1, 4, 8.0, 8.0),
            (2, 1, 1.0, 1.0),
            (3, 1, 2.0, 3.0),
            (4, 1, 4.0, 5.0),
        ]);
        let roles = BTreeMap::from([(1, "ann".to_owned()), (2, "bob".to_owned())]);
        let present = BTreeMap::from([(("ann".to_owned(), 1), "now".to_owned())]);
        let stored = BTreeMap::from([
            (key(1, 1), Some("then".to_owned())),
            (key(1, 2), Some("then".to_owned())),
            (key(1, 3), None),
            (key(2, 1), Some("bob's".to_owned())),
            (key(3, 1), Some("gone".to_owned())),
            (key(4, 1), Some("gone".to_owned())),
        ]);
        let known = Known { roles: &roles, present: &present, stored: &stored };
        let (statements, lost, lost_weight) = statements(&sum, &known);
        let found: Vec<_> = statements.iter().map(|s| (s.role.as_str(), s.query.as_str(), s.calls)).collect();
        assert_eq!(
            found,
            [("", "gone", 6.0), ("ann", "now", 1.0), ("ann", "then", 2.0), ("bob", "bob's", 1.0)]
        );
        assert_eq!((lost, lost_weight), (1, weight(8.0, 8.0)));
    }

    #[test]
    fn what_others_ran_is_not_shown() {
        let mut sum = observed(&[(1, 1, 1.0, 1.0), (2, 1, 1.0, 1.0)]);
        sum.rest = weight(1.0, 1.0);
        sum.keep_role(2);
        assert_eq!(sum, observed(&[(2, 1, 1.0, 1.0)]));
    }

    #[test]
    fn our_own_statements_are_known_by_their_words() {
        let functions = BTreeSet::from(["propose_shards".to_owned(), "disarm".to_owned()]);
        for (query, expected) in [
            ("SELECT * FROM presplit.shards", true),
            ("INSERT INTO \"presplit\" . size_history VALUES ($1)", true),
            ("SELECT * FROM propose_shards($1)", true),
            ("SELECT public.disarm ($1)", true),
            ("SELECT /* pg_presplit reading */ x FROM f($1)", true),
            ("SELECT propose_shards FROM t", false),
            ("SELECT my_disarm($1)", false),
            ("SELECT x$disarm($1)", false),
            ("SELECT presplit FROM t", false),
            ("SELECT * FROM not_presplit.t", false),
            ("SELECT * FROM Ünpresplit.t", false),
            ("SELECT 'ü', disarm(1)", true),
            ("", false),
        ] {
            assert_eq!(is_own(query, &functions), expected, "{query}");
        }
    }

    #[test]
    fn durations_are_for_people() {
        for (seconds, text) in
            [(59.4, "59 seconds"), (130.0, "2.2 minutes"), (7_200.0, "2.0 hours"), (1e6, "11.6 days")]
        {
            assert_eq!(duration(seconds), text);
        }
    }
}
