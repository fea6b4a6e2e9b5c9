//! Statements of a log: counted, timed, and some of their values kept.
//!
//! Bounded: at most [`STATEMENTS_MAX`] statements come out, the weightiest;
//! while the log is read, twice as many are held. What is given up on the way
//! is counted. Values are kept of at most [`SAMPLES_MAX`] executions of each
//! statement, chosen so that each execution is as likely as any other, and
//! the same for the same log.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::hash::RandomState;

use crate::model::profile::Sample;
use crate::model::profile::SampledValue;
use crate::model::profile::Statement;
use crate::model::profile::Workload;
use crate::planning::workload::log::message;
use crate::planning::workload::log::message::Said;
use crate::planning::workload::log::message::Step;
use crate::planning::workload::log::record::Record;
use crate::planning::workload::log::text;
use crate::planning::workload::normal::Constant;
use crate::planning::workload::normal::Element;
use crate::planning::workload::normal::Fnv;
use crate::planning::workload::normal::Normal;
use crate::planning::workload::normal::normalise;

/// Most statements of a workload.
pub const STATEMENTS_MAX: usize = 5000;

/// Longest normalised text that is kept, and all of them together.
const TEXT_BYTES_MAX: usize = 1 << 20;
const TEXTS_BYTES_MAX: usize = 64 << 20;

/// Executions whose values are kept of each statement.
pub const SAMPLES_MAX: usize = 20;

/// Longest value, longest list, most values and most bytes of one execution,
/// and bytes of all values together.
pub const VALUE_BYTES_MAX: usize = 100;
const LIST_LENGTH_MAX: usize = 50;
const ROW_LENGTH_MAX: u32 = 64;
const ROW_BYTES_MAX: usize = 1000;
const SAMPLES_BYTES_MAX: usize = 16 << 20;

/// Sessions whose last statement is remembered, and texts whose statement is.
const SESSIONS_MAX: usize = 100_000;
const TEXTS_MAX: usize = 20_000;

/// The source that a workload from a log names.
pub const SOURCE: &str = "log";

/// What is known of a statement.
#[derive(Debug, Default)]
struct Group {
    text: String,
    role: String,
    parameters: u32,
    calls: u64,
    /// Calls whose duration was told.
    timed: u64,
    exec_ms: f64,
    /// Executions that could have been sampled.
    offered: u64,
    samples: Vec<Sample>,
    secret: bool,
    /// When it was seen last, in statements.
    last: u64,
}

/// The statements that a session told last, without their duration.
struct Told {
    keys: Vec<u64>,
    text: u64,
}

/// Collects the statements of one database.
pub struct Collector {
    database: String,
    statements_max: usize,
    groups: HashMap<u64, Group>,
    texts_bytes: usize,
    samples_bytes: usize,
    told: HashMap<u64, Told>,
    /// Hashes of texts without constants → their statement.
    known: HashMap<u64, u64>,
    hasher: RandomState,
    moments: Option<(i64, i64)>,
    executions: u64,
    total_ms: f64,
    /// Of statements that were given up.
    lost_calls: u64,
    lost_ms: f64,
    lost_statements: u64,
    too_long: u64,
    unreadable: u64,
}

impl Collector {
    #[must_use]
    pub fn new(database: &str) -> Self {
        Self::with_limit(database, STATEMENTS_MAX)
    }

    fn with_limit(database: &str, statements_max: usize) -> Self {
        Self {
            database: database.to_owned(),
            statements_max,
            groups: HashMap::new(),
            texts_bytes: 0,
            samples_bytes: 0,
            told: HashMap::new(),
            known: HashMap::new(),
            hasher: RandomState::new(),
            moments: None,
            executions: 0,
            total_ms: 0.0,
            lost_calls: 0,
            lost_ms: 0.0,
            lost_statements: 0,
            too_long: 0,
            unreadable: 0,
        }
    }

    /// Executions so far.
    #[must_use]
    pub const fn executions(&self) -> u64 {
        self.executions
    }

    /// Takes a record.
    pub fn take(&mut self, record: &Record<'_>) {
        let (first, last) = self.moments.unwrap_or((record.at, record.at));
        self.moments = Some((first.min(record.at), last.max(record.at)));
        if record.database != self.database.as_str() {
            return;
        }
        let Some(message) = &record.message else {
            self.unreadable += 1;
            return;
        };
        let session = self.hasher.hash_one(record.session.as_ref());
        if matches!(record.severity.as_ref(), "ERROR" | "FATAL" | "PANIC") {
            self.failed(session, record);
            return;
        }
        match message::said(message) {
            Said::Statement { text, ms, step } => self.statement(session, record, text, ms, step),
            Said::Duration(ms) => self.lasted(session, ms),
            Said::Nothing => {}
        }
    }

    /// A statement that runs or ran.
    fn statement(&mut self, session: u64, record: &Record<'_>, text: &str, ms: Option<f64>, step: Step) {
        let whole = self.hasher.hash_one((text, record.user.as_ref()));
        let keys = match self.known.get(&whole).filter(|key| self.groups.contains_key(key)) {
            Some(key) if step != Step::Fetch => {
                let key = *key;
                self.count(key, ms);
                self.sample_bound(key, record);
                vec![key]
            }
            _ => self.parts(record, text, ms, step, whole),
        };
        if ms.is_none() && !keys.is_empty() {
            if self.told.len() >= SESSIONS_MAX {
                self.told.clear();
            }
            self.told.insert(session, Told { keys, text: self.hasher.hash_one(text) });
        } else {
            self.told.remove(&session);
        }
    }

    /// The statements of a text that was not seen before; their keys.
    fn parts(
        &mut self,
        record: &Record<'_>,
        text: &str,
        ms: Option<f64>,
        step: Step,
        whole: u64,
    ) -> Vec<u64> {
        let detail = record.detail.as_deref().unwrap_or_default();
        // The detail is about the first EXECUTE of the text.
        let mut prepare = message::prepared(detail).and_then(text::prepared_query);
        let mut found = Vec::new();
        for part in text::parts(text) {
            let arguments = prepare.and_then(|_| text::arguments(part));
            match arguments.is_some().then(|| prepare.take()).flatten() {
                Some(query) => found.push((query, arguments)),
                None => found.push((part, None)),
            }
        }
        let all = found.len();
        found.retain(|(part, _)| !text::queries(part).is_empty());
        // Nobody says how the time of a text is shared by its statements.
        let ms = ms.map(|ms| ms / found.len().max(1) as f64);
        let mut keys = Vec::new();
        for (part, arguments) in found {
            let normal = normalise(part);
            let Some(key) = self.group(&record.user, &normal) else { continue };
            let plain = all == 1 && normal.constants.is_empty() && arguments.is_none();
            if plain {
                if self.known.len() >= TEXTS_MAX {
                    self.known.clear();
                }
                self.known.insert(whole, key);
            }
            if step == Step::Fetch {
                self.add_time(key, ms.unwrap_or(0.0), false);
            } else {
                self.count(key, ms);
                self.sample(key, &normal, part, || arguments.unwrap_or_else(|| message::parameters(detail)));
            }
            keys.push(key);
        }
        keys
    }

    /// The statement of a text, made if it is new; none if its text is too
    /// long.
    fn group(&mut self, role: &str, normal: &Normal) -> Option<u64> {
        if normal.text.len() > TEXT_BYTES_MAX {
            self.too_long += 1;
            return None;
        }
        let mut hash = Fnv::default();
        hash.word(role);
        hash.word(&normal.key.to_string());
        let key = hash.value();
        if !self.groups.contains_key(&key) {
            if self.groups.len() >= 2 * self.statements_max || self.texts_bytes > TEXTS_BYTES_MAX {
                self.give_up(self.statements_max, TEXTS_BYTES_MAX / 2);
            }
            self.texts_bytes += normal.text.len();
            self.groups.insert(
                key,
                Group {
                    text: normal.text.clone(),
                    role: role.to_owned(),
                    parameters: normal.parameters,
                    secret: text::is_secret(&normal.text),
                    ..Group::default()
                },
            );
        }
        Some(key)
    }

    /// Counts an execution.
    fn count(&mut self, key: u64, ms: Option<f64>) {
        self.executions += 1;
        let now = self.executions;
        if let Some(group) = self.groups.get_mut(&key) {
            group.calls += 1;
            group.last = now;
        }
        if let Some(ms) = ms {
            self.add_time(key, ms, true);
        }
    }

    fn add_time(&mut self, key: u64, ms: f64, ended: bool) {
        if let Some(group) = self.groups.get_mut(&key) {
            self.total_ms += ms;
            group.exec_ms += ms;
            group.timed += u64::from(ended);
        }
    }

    /// What a session told last took so long.
    fn lasted(&mut self, session: u64, ms: f64) {
        let Some(told) = self.told.remove(&session) else { return };
        let ms = ms / told.keys.len().max(1) as f64;
        for key in told.keys {
            self.add_time(key, ms, true);
        }
    }

    /// What a session told last failed: it is no call, as in
    /// pg_stat_statements.
    fn failed(&mut self, session: u64, record: &Record<'_>) {
        let Some(told) = self.told.get(&session) else { return };
        let other = record.statement.as_deref().is_some_and(|text| self.hasher.hash_one(text) != told.text);
        if other {
            return;
        }
        for key in self.told.remove(&session).map(|told| told.keys).unwrap_or_default() {
            if let Some(group) = self.groups.get_mut(&key).filter(|group| group.calls > 0) {
                group.calls -= 1;
                self.executions = self.executions.saturating_sub(1);
            }
        }
    }

    /// Keeps the values of an execution whose text has no constants.
    fn sample_bound(&mut self, key: u64, record: &Record<'_>) {
        let parameters = self.groups.get(&key).map_or(0, |group| group.parameters);
        let normal = Normal { parameters, ..Normal::default() };
        let detail = record.detail.as_deref().unwrap_or_default();
        self.sample(key, &normal, "", || message::parameters(detail));
    }

    /// Perhaps keeps the values of an execution.
    fn sample(
        &mut self,
        key: u64,
        normal: &Normal,
        text: &str,
        bound: impl FnOnce() -> Vec<(u32, SampledValue)>,
    ) {
        let Some(group) = self.groups.get_mut(&key) else { return };
        if group.secret || normal.parameters == 0 {
            return;
        }
        group.offered += 1;
        let place = match group.samples.len() {
            full if full < SAMPLES_MAX => {
                if self.samples_bytes > SAMPLES_BYTES_MAX {
                    return;
                }
                full
            }
            _ => (mixed(key.wrapping_add(group.offered)) % group.offered) as usize,
        };
        if place >= SAMPLES_MAX {
            return;
        }
        if text::is_secret(text) {
            group.secret = true;
            self.samples_bytes -= std::mem::take(&mut group.samples).iter().map(bytes).sum::<usize>();
            return;
        }
        let row = row(normal, &bound());
        if row.iter().all(|value| *value == SampledValue::omitted()) {
            return;
        }
        self.samples_bytes += bytes(&row);
        if place == group.samples.len() {
            group.samples.push(row);
        } else {
            let before = std::mem::replace(&mut group.samples[place], row);
            self.samples_bytes -= bytes(&before);
        }
    }

    /// Keeps only so many statements, of so many bytes: the weightiest.
    fn give_up(&mut self, statements: usize, texts_bytes: usize) {
        let mut order: Vec<(f64, u64, u64)> =
            self.groups.iter().map(|(key, group)| (self.weight(group), group.last, *key)).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| b.1.cmp(&a.1)).then_with(|| a.2.cmp(&b.2)));
        let (mut kept, mut kept_bytes) = (0, 0);
        for (_, _, key) in order {
            let size = self.groups.get(&key).map_or(0, |group| group.text.len());
            if kept < statements && kept_bytes + size <= texts_bytes {
                kept += 1;
                kept_bytes += size;
            } else if let Some(group) = self.groups.remove(&key) {
                self.lost_calls += group.calls;
                self.lost_ms += group.exec_ms;
                self.lost_statements += u64::from(group.calls > 0);
                self.samples_bytes -= group.samples.iter().map(bytes).sum::<usize>();
            }
        }
        self.texts_bytes = kept_bytes;
    }

    /// Its share of the calls, or of the time if that is more.
    fn weight(&self, group: &Group) -> f64 {
        let of = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        of(group.calls as f64, self.executions as f64).max(of(group.exec_ms, self.total_ms))
    }

    /// The statements and what is to be said of them.
    #[must_use]
    pub fn workload(mut self) -> Workload {
        self.groups.retain(|_, group| group.calls > 0);
        self.give_up(self.statements_max, TEXTS_BYTES_MAX);
        let note = self.note();
        let seconds = self.moments.map(|(first, last)| (last - first) as f64 / 1e6);
        let mut statements: Vec<Statement> = self
            .groups
            .into_iter()
            .map(|(key, group)| Statement {
                queryid: key.cast_signed(),
                query: group.text,
                role: group.role,
                calls: group.calls as f64,
                exec_ms: group.exec_ms,
                rows: 0.0,
                samples: group.samples,
            })
            .collect();
        statements.sort_by(|a, b| {
            b.exec_ms
                .total_cmp(&a.exec_ms)
                .then_with(|| b.calls.total_cmp(&a.calls))
                .then(a.queryid.cmp(&b.queryid))
        });
        Workload {
            source: SOURCE.to_owned(),
            note,
            seconds: seconds.filter(|seconds| *seconds > 0.0),
            statements,
            ..Workload::default()
        }
    }

    fn note(&self) -> Option<String> {
        let calls: u64 = self.groups.values().map(|group| group.calls).sum();
        let timed: u64 = self.groups.values().map(|group| group.timed.min(group.calls)).sum();
        let mut notes = Vec::new();
        if calls == 0 {
            notes.push(format!("the log holds no statement of database \"{}\"", self.database));
        }
        if timed < calls {
            notes.push(format!("the duration of {} of {calls} calls was not logged", calls - timed));
        }
        if self.lost_calls > 0 {
            notes.push(format!(
                "{} rare statements are left out: {} of {} calls, {:.0} ms",
                self.lost_statements,
                self.lost_calls,
                calls + self.lost_calls,
                self.lost_ms
            ));
        }
        if self.too_long > 0 {
            notes.push(format!(
                "{} calls of statements over {TEXT_BYTES_MAX} bytes are left out",
                self.too_long
            ));
        }
        if self.unreadable > 0 {
            notes.push(format!("{} records that are not UTF-8 are left out", self.unreadable));
        }
        (!notes.is_empty()).then(|| notes.join("; "))
    }
}

/// The values of an execution, by parameter.
fn row(normal: &Normal, bound: &[(u32, SampledValue)]) -> Sample {
    let bound = |number: u32| {
        bound
            .iter()
            .find(|(at, _)| *at == number)
            .map_or_else(SampledValue::omitted, |(_, value)| value.clone())
    };
    let mut left = ROW_BYTES_MAX;
    let mut values = Vec::new();
    for number in 1..=normal.parameters.min(ROW_LENGTH_MAX) {
        let constant = normal.constants.iter().find(|(at, _)| *at == number).map(|(_, constant)| constant);
        let value = match constant {
            None => bound(number),
            Some(Constant::Value(value)) => value.clone(),
            Some(Constant::List(elements)) => list(elements, bound),
        };
        let size = size(&value);
        let fits =
            size <= left && !matches!(&value, SampledValue::Value(text) if text.len() > VALUE_BYTES_MAX);
        values.push(if fits { value } else { SampledValue::omitted() });
        left -= if fits { size } else { 0 };
    }
    values
}

/// The values of a list; those that are too long are left out.
fn list(elements: &[Element], bound: impl Fn(u32) -> SampledValue) -> SampledValue {
    let values = elements.iter().take(LIST_LENGTH_MAX).map(|element| match element {
        Element::Value(value) => value.clone(),
        Element::Parameter(number) => bound(*number),
    });
    let texts = values.filter_map(|value| match value {
        SampledValue::Value(text) if text.len() <= VALUE_BYTES_MAX => Some(Some(text)),
        SampledValue::Null => Some(None),
        _ => None,
    });
    SampledValue::List(texts.collect())
}

fn bytes(row: &Sample) -> usize {
    row.iter().map(size).sum()
}

fn size(value: &SampledValue) -> usize {
    match value {
        SampledValue::Value(text) => text.len() + 1,
        SampledValue::List(texts) => {
            texts.iter().map(|text| text.as_ref().map_or(1, |text| text.len() + 1)).sum()
        }
        SampledValue::Null | SampledValue::Omitted(_) => 1,
    }
}

/// A number that looks like chance, always the same for the same one
/// (splitmix64).
const fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
