//! The books of names: of every table with its leaves, and of every shard.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::model::name::QualifiedName;
use crate::planning::forecast::DAY;
use crate::planning::forecast::ledger::Advance;
use crate::planning::forecast::ledger::Book;
use crate::planning::forecast::ledger::Bytes;
use crate::planning::forecast::ledger::Counted;
use crate::planning::forecast::ledger::Entry;
use crate::planning::forecast::ledger::Known;
use crate::planning::forecast::ledger::Look;
use crate::planning::forecast::ledger::State;
use crate::planning::forecast::ledger::leaf;
use crate::planning::forecast::ledger::leaf::Happened;

/// New leaves that hold at least this share of the rows of leaves that left
/// hold the same rows: a split, a merge, a conversion.
const MOVED_MIN: f64 = 0.5;

/// A TRUNCATE followed by at least this share of the rows that it took is a
/// reload.
const RELOADED_MIN: f64 = 0.5;

/// Names in a look that the state has no book for: their last entries, if
/// they have any, are what [`advance`] goes on from.
#[must_use]
pub fn unknown(state: Option<&State>, look: &Look) -> Vec<QualifiedName> {
    let known: BTreeSet<&QualifiedName> =
        state.iter().flat_map(|state| &state.books).map(|(name, _)| name).collect();
    let names = look.leaves.iter().flat_map(|leaf| leaf.root.iter().chain([&leaf.name]));
    let found: BTreeSet<&QualifiedName> = names.filter(|name| !known.contains(name)).collect();
    found.into_iter().cloned().collect()
}

/// What a look adds to the books. `recorded` are the last entries of names
/// that the state has no book for.
///
/// The first look at a database only writes down how things are.
#[must_use]
pub fn advance(state: Option<State>, look: &Look, recorded: BTreeMap<QualifiedName, Book>) -> Advance {
    let first = state.is_none();
    let state = state.unwrap_or_default();
    let all_restarted = !first && leaf::all_restarted(&state, look);
    let before: BTreeMap<u32, &Known> = state.leaves.iter().map(|known| (known.oid, known)).collect();
    let happened: Vec<(Option<&Known>, Happened)> = look
        .leaves
        .iter()
        .map(|now| match before.get(&now.oid) {
            Some(known) => (Some(*known), leaf::continued(now, known, all_restarted)),
            None => (None, leaf::appeared(now)),
        })
        .collect();
    let mut names = Names::default();
    names.sort(&happened, &state.leaves);
    let mut books: BTreeMap<QualifiedName, Book> = state.books.into_iter().collect();
    let here: BTreeSet<u32> = look.leaves.iter().map(|leaf| leaf.oid).collect();
    let writer = Writer { at: look.at, before: (!first).then_some(state.at) };
    let mut advance = Advance::default();
    for (name, group) in names.groups {
        let restored = look.restored.get(&name).copied().unwrap_or(0.0);
        let known = books.remove(&name);
        let is_new = known.is_none();
        let mut book = known.or_else(|| recorded.get(&name).cloned()).unwrap_or_default();
        let gone_for_good = group.now.is_empty();
        let earlier = book.clone();
        let event = if first { None } else { group.enter(&mut book, is_new, &here, restored) };
        book.restored = restored;
        book.settle(&group);
        if gone_for_good && group.is_shard {
            advance.forgotten.push(name);
            continue;
        }
        writer.write(&name, &earlier, &mut book, is_new, event, &mut advance.entries);
        if !gone_for_good {
            advance.state.books.push((name, book));
        }
    }
    advance.state.at = look.at;
    advance.state.server = look.server.clone();
    advance.state.leaves = happened.into_iter().map(|(_, happened)| happened.known).collect();
    advance
}

/// The leaves of each name.
#[derive(Default)]
struct Names<'a> {
    groups: BTreeMap<QualifiedName, Group<'a>>,
}

/// The leaves of one name: then, and now with what happened to them.
#[derive(Default)]
struct Group<'a> {
    then: Vec<&'a Known>,
    now: Vec<(Option<&'a Known>, &'a Happened)>,
    /// Whether it is itself a leaf of a partitioned table, or was.
    is_shard: bool,
}

impl<'a> Names<'a> {
    fn sort(&mut self, happened: &'a [(Option<&'a Known>, Happened)], then: &'a [Known]) {
        for (before, now) in happened {
            let known = &now.known;
            for name in known.root.iter().chain([&known.name]) {
                let group = self.groups.entry(name.clone()).or_default();
                group.now.push((*before, now));
                group.is_shard |= known.root.is_some() && *name == known.name;
            }
        }
        for known in then {
            for name in known.root.iter().chain([&known.name]) {
                let group = self.groups.entry(name.clone()).or_default();
                group.then.push(known);
                group.is_shard |= known.root.is_some() && *name == known.name && group.now.is_empty();
            }
        }
    }
}

/// Rows that came and went with whole leaves.
#[derive(Default)]
struct Traffic {
    dropped: f64,
    detached: f64,
    attached: f64,
    /// Rows and counts of leaves that were nowhere before.
    created: f64,
    created_counted: Counted,
}

impl Group<'_> {
    /// Enters what happened; returns the words for it.
    fn enter(&self, book: &mut Book, is_new: bool, here: &BTreeSet<u32>, restored: f64) -> Option<String> {
        let mut words: Vec<&str> = Vec::new();
        let then: BTreeSet<u32> = self.then.iter().map(|known| known.oid).collect();
        let now: BTreeSet<u32> = self.now.iter().map(|(_, now)| now.known.oid).collect();
        let (mut kept, mut kept_any) = (Counted::default(), false);
        let mut traffic = Traffic::default();
        for (before, happened) in &self.now {
            if then.contains(&happened.known.oid) {
                kept_any = true;
                kept.add(&enter_kept(happened, book, &mut words));
            } else if before.is_some() {
                traffic.attached += happened.known.rows;
            } else {
                traffic.created += happened.known.rows;
                traffic.created_counted.add(&happened.counted);
            }
        }
        for known in self.then.iter().filter(|known| !now.contains(&known.oid)) {
            if here.contains(&known.oid) {
                traffic.detached += known.rows;
                words.push("detach");
            } else {
                traffic.dropped += known.rows;
                words.push("drop");
            }
        }
        let empty_before = book.rows == 0.0 && book.loaded == 0.0 && !book.counted.any();
        self.enter_leaves(&mut traffic, book, is_new, kept_any, &mut words);
        kept.add(&traffic.created_counted);
        let seen = (restored - book.restored).clamp(0.0, kept.inserted.max(0.0));
        let loads = if empty_before { kept.inserted } else { seen };
        if loads > 0.0 {
            words.push(if seen > 0.0 { "restore" } else { "load" });
            book.loaded += loads;
            kept.inserted -= loads;
        }
        book.counted.add(&kept);
        words.sort_unstable();
        words.dedup();
        // The file of a table that is being loaded grows before its rows count.
        let being_loaded = empty_before && self.rows() == 0.0;
        if !words.is_empty() || being_loaded {
            book.event_bytes += self.bytes().total() - book.bytes.total();
        }
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// Enters leaves that came and went as wholes.
    fn enter_leaves(
        &self,
        traffic: &mut Traffic,
        book: &mut Book,
        is_new: bool,
        kept_any: bool,
        words: &mut Vec<&str>,
    ) {
        if traffic.attached > 0.0 || self.now.iter().any(|(before, now)| attached(*before, now)) {
            words.push("attach");
        }
        let left = traffic.dropped + traffic.detached;
        let came = traffic.attached + traffic.created;
        let moved = if left > 0.0 && came >= MOVED_MIN * left { left.min(came) } else { 0.0 };
        book.dropped += left - moved;
        let mut arrived = came - moved;
        if moved > 0.0 {
            words.retain(|word| !["attach", "detach", "drop"].contains(word));
            words.push("move");
            // What was copied is not counted; what came in beside it is.
            let beside = (traffic.created - moved).max(0.0);
            traffic.created_counted = Counted { inserted: beside, ..Counted::default() };
            arrived -= beside.min(arrived);
        } else if is_new || (!kept_any && left > 0.0) {
            // A table that comes into being, or again: what it has is a load.
            if traffic.created > 0.0 {
                words.push("load");
            }
            traffic.created_counted = Counted::default();
        } else {
            arrived -= traffic.created;
        }
        book.loaded += arrived.max(0.0);
    }

    fn rows(&self) -> f64 {
        self.now.iter().map(|(_, now)| now.known.rows).sum()
    }

    fn bytes(&self) -> Bytes {
        let mut bytes = Bytes::default();
        for (_, now) in &self.now {
            bytes.add(&now.known.bytes);
        }
        bytes
    }
}

/// Whether a leaf belonged to another table before, with or without rows.
fn attached(before: Option<&Known>, now: &Happened) -> bool {
    before.is_some_and(|before| before.root != now.known.root && now.known.root.is_some())
}

/// Enters what happened to a leaf that stayed; returns what it counted beside.
fn enter_kept(happened: &Happened, book: &mut Book, words: &mut Vec<&str>) -> Counted {
    let mut counted = happened.counted;
    if let Some(taken) = happened.truncated {
        words.push("truncate");
        book.dropped += taken;
        if counted.inserted >= RELOADED_MIN * taken && happened.known.rows >= RELOADED_MIN * counted.inserted
        {
            words.push("load");
            book.loaded += counted.inserted;
            counted.inserted = 0.0;
        }
    } else if happened.rewritten {
        words.push("rewrite");
    }
    counted
}

impl Book {
    fn settle(&mut self, group: &Group<'_>) {
        self.rows = group.rows();
        self.bytes = group.bytes();
    }

    fn entry(&self, name: &QualifiedName, at: i64, event: Option<String>) -> Entry {
        Entry {
            schema: name.schema.clone(),
            table: name.name.clone(),
            at,
            rows: self.rows,
            bytes: self.bytes.total(),
            heap_bytes: self.bytes.heap,
            index_bytes: self.bytes.index,
            toast_bytes: self.bytes.toast,
            inserted: self.counted.inserted,
            updated: self.counted.updated,
            deleted: self.counted.deleted,
            loaded: self.loaded,
            dropped: self.dropped,
            event_bytes: self.event_bytes,
            event,
        }
    }
}

/// Decides what is worth an entry.
struct Writer {
    at: i64,
    /// The moment of the look before.
    before: Option<i64>,
}

impl Writer {
    /// Whatever changed is written, and once a day what did not, so that a
    /// table at rest costs next to nothing. Before the first change after a
    /// rest, its end is written.
    fn write(
        &self,
        name: &QualifiedName,
        earlier: &Book,
        book: &mut Book,
        is_new: bool,
        event: Option<String>,
        entries: &mut Vec<Entry>,
    ) {
        let Some(written) = earlier.written.filter(|_| !is_new) else {
            entries.push(book.entry(name, self.at, event));
            book.written = Some(self.at);
            return;
        };
        let plain = |book: &Book| Book { restored: 0.0, written: None, ..book.clone() };
        let changed = event.is_some() || plain(earlier) != plain(book);
        if changed && let Some(before) = self.before.filter(|before| *before > written && *before < self.at) {
            entries.push(earlier.entry(name, before, None));
        }
        if changed || self.at.div_euclid(DAY) != written.div_euclid(DAY) {
            entries.push(book.entry(name, self.at, event));
            book.written = Some(self.at);
        }
    }
}
