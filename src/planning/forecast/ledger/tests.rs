//! What the books say after lives of tables: each test is one life, look by
//! look.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const TICK: i64 = 300_000_000;

/// A database that is looked at every five minutes.
struct Watch {
    state: Option<State>,
    look: Look,
    entries: Vec<Entry>,
    forgotten: Vec<QualifiedName>,
}

fn leaf(oid: u32, name: &str, rows: f64) -> Leaf {
    Leaf {
        oid,
        name: QualifiedName::new("public", name),
        root: None,
        filenode: oid,
        live: rows,
        maintained: false,
        estimated: -1.0,
        bytes: Some(Bytes { heap: 100.0 * rows, index: 10.0 * rows, toast: 0.0 }),
        counted: Counted { inserted: rows, ..Counted::default() },
    }
}

fn shard(oid: u32, name: &str, rows: f64) -> Leaf {
    Leaf { root: Some(QualifiedName::new("public", "t")), ..leaf(oid, name, rows) }
}

impl Watch {
    fn of(leaves: Vec<Leaf>) -> Self {
        let look = Look { leaves, ..Look::default() };
        let mut watch = Self { state: None, look, entries: Vec::new(), forgotten: Vec::new() };
        watch.tick();
        watch
    }

    fn tick(&mut self) {
        self.look.at += TICK;
        // As if it had gone through the database.
        let state = self.state.take().map(|state| serde_json::json!(state));
        let state = state.map(|state| serde_json::from_value(state).unwrap());
        let advance = advance(state, &self.look, BTreeMap::new());
        self.state = Some(advance.state);
        self.entries = advance.entries;
        self.forgotten = advance.forgotten;
    }

    fn leaf(&mut self, oid: u32) -> &mut Leaf {
        self.look.leaves.iter_mut().find(|leaf| leaf.oid == oid).unwrap()
    }

    /// So many rows come in and go.
    fn flow(&mut self, oid: u32, inserted: f64, deleted: f64) {
        let leaf = self.leaf(oid);
        leaf.counted.inserted += inserted;
        leaf.counted.deleted += deleted;
        leaf.live += inserted - deleted;
        self.weigh(oid);
    }

    fn weigh(&mut self, oid: u32) {
        let leaf = self.leaf(oid);
        leaf.bytes = Some(Bytes { heap: 100.0 * leaf.live, index: 10.0 * leaf.live, toast: 0.0 });
    }

    /// The counters begin anew.
    fn reset(&mut self, oid: u32) {
        let leaf = self.leaf(oid);
        (leaf.counted, leaf.live, leaf.maintained) = (Counted::default(), 0.0, false);
    }

    fn drop(&mut self, oid: u32) {
        self.look.leaves.retain(|leaf| leaf.oid != oid);
    }

    fn book(&self, name: &str) -> &Book {
        let name = QualifiedName::new("public", name);
        &self.state.as_ref().unwrap().books.iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// (rows, inserted, deleted, loaded, dropped) and the last words.
    #[track_caller]
    fn check(&self, name: &str, expected: (f64, f64, f64, f64, f64), event: Option<&str>) {
        let book = self.book(name);
        let found = (book.rows, book.counted.inserted, book.counted.deleted, book.loaded, book.dropped);
        assert_eq!(found, expected);
        let last = self.entries.iter().rfind(|entry| entry.table == name);
        assert_eq!(last.and_then(|entry| entry.event.as_deref()), event);
        let balance = found.1 - found.2 + found.3 - found.4;
        // What was there at the first look is on no page.
        assert!(found.0 >= balance - 1e-9, "{found:?}");
    }
}

#[test]
fn what_is_there_at_first_is_only_written_down() {
    let mut watch = Watch::of(vec![leaf(1, "t", 1000.0)]);
    watch.check("t", (1000.0, 0.0, 0.0, 0.0, 0.0), None);
    assert_eq!((watch.entries.len(), watch.entries[0].bytes), (1, 110_000.0));
    watch.flow(1, 50.0, 10.0);
    watch.tick();
    watch.check("t", (1040.0, 50.0, 10.0, 0.0, 0.0), None);
}

#[test]
fn a_reset_loses_nothing_that_was_read() {
    let mut watch = Watch::of(vec![leaf(1, "t", 1000.0)]);
    watch.flow(1, 50.0, 0.0);
    watch.tick();
    watch.reset(1);
    watch.flow(1, 30.0, 20.0);
    watch.tick();
    watch.check("t", (1060.0, 80.0, 20.0, 0.0, 0.0), None);
    // Until VACUUM or ANALYZE find out, rows are told from what was known.
    watch.flow(1, 1.0, 0.0);
    watch.tick();
    watch.check("t", (1061.0, 81.0, 20.0, 0.0, 0.0), None);
    (watch.leaf(1).maintained, watch.leaf(1).live) = (true, 1055.0);
    watch.tick();
    watch.check("t", (1055.0, 81.0, 20.0, 0.0, 0.0), None);
    // Reset again, with nothing counted since: rows stay.
    watch.reset(1);
    watch.tick();
    watch.check("t", (1055.0, 81.0, 20.0, 0.0, 0.0), None);
}

#[test]
fn after_a_crash_all_counters_begin_anew_even_those_that_are_larger() {
    let mut watch = Watch::of(vec![leaf(1, "t", 1000.0), leaf(2, "u", 5.0), leaf(3, "v", 10.0)]);
    for oid in [1, 2, 3] {
        watch.reset(oid);
    }
    watch.look.server.started = 7;
    watch.flow(2, 20.0, 0.0);
    watch.tick();
    watch.check("u", (25.0, 20.0, 0.0, 0.0, 0.0), None);
    // A clean restart keeps them.
    watch.look.server.started = 9;
    watch.flow(2, 3.0, 0.0);
    watch.tick();
    watch.check("u", (28.0, 23.0, 0.0, 0.0, 0.0), None);
    // So does the reset of another table, though it shows in the database.
    watch.look.server.reset = Some(1);
    watch.flow(3, 50.0, 0.0);
    watch.tick();
    watch.look.server.reset = Some(2);
    watch.reset(3);
    watch.flow(2, 4.0, 0.0);
    watch.tick();
    watch.check("u", (32.0, 27.0, 0.0, 0.0, 0.0), None);
    watch.check("v", (60.0, 50.0, 0.0, 0.0, 0.0), None);
    // A crash is told by the server even where no counter is smaller than before.
    for oid in [1, 2, 3] {
        watch.reset(oid);
    }
    (watch.look.server.started, watch.look.server.counts_since) = (11, Some(11));
    watch.flow(2, 4.0, 0.0);
    watch.tick();
    watch.check("u", (36.0, 31.0, 0.0, 0.0, 0.0), None);
    // A promoted standby counts by itself.
    watch.look.server.timeline = "00000002".to_owned();
    watch.reset(2);
    watch.flow(2, 100.0, 0.0);
    watch.tick();
    watch.check("u", (136.0, 131.0, 0.0, 0.0, 0.0), None);
}

#[test]
fn truncate_and_rewrite_are_told_apart() {
    let mut watch = Watch::of(vec![leaf(1, "t", 1000.0)]);
    watch.flow(1, 100.0, 0.0);
    (watch.leaf(1).filenode, watch.leaf(1).live) = (77, 0.0);
    watch.weigh(1);
    watch.tick();
    watch.check("t", (0.0, 100.0, 0.0, 0.0, 1100.0), Some("truncate"));
    assert_eq!(watch.book("t").event_bytes, -110_000.0);
    // Emptied and loaded again, as every night.
    watch.flow(1, 500.0, 0.0);
    watch.tick();
    watch.flow(1, 520.0, 0.0);
    (watch.leaf(1).filenode, watch.leaf(1).live) = (78, 520.0);
    watch.weigh(1);
    watch.tick();
    watch.check("t", (520.0, 600.0, 0.0, 520.0, 1600.0), Some("load, truncate"));
    // VACUUM FULL.
    watch.leaf(1).filenode = 79;
    watch.leaf(1).bytes = Some(Bytes { heap: 30_000.0, index: 0.0, toast: 0.0 });
    watch.tick();
    watch.check("t", (520.0, 600.0, 0.0, 520.0, 1600.0), Some("rewrite"));
    assert_eq!(watch.book("t").event_bytes, -110_000.0 + 2_200.0 - 27_200.0);
}

#[test]
fn truncate_is_seen_also_after_a_reset() {
    let mut watch = Watch::of(vec![leaf(1, "t", 1000.0)]);
    watch.reset(1);
    watch.tick();
    watch.check("t", (1000.0, 0.0, 0.0, 0.0, 0.0), None);
    watch.leaf(1).filenode = 5;
    watch.weigh(1);
    watch.tick();
    watch.check("t", (0.0, 0.0, 0.0, 0.0, 1000.0), Some("truncate"));
}

#[test]
fn drops_and_new_partitions() {
    let mut watch = Watch::of(vec![shard(1, "t1", 1000.0), shard(2, "t2", 500.0)]);
    watch.check("t", (1500.0, 0.0, 0.0, 0.0, 0.0), None);
    // Retention takes the oldest, and the newest has been filling.
    watch.drop(1);
    watch.look.leaves.push(shard(3, "t3", 40.0));
    watch.flow(2, 10.0, 0.0);
    watch.tick();
    watch.check("t", (550.0, 50.0, 0.0, 0.0, 1000.0), Some("drop"));
    assert_eq!(watch.forgotten, [QualifiedName::new("public", "t1")]);
    // All of it.
    watch.drop(2);
    watch.drop(3);
    watch.tick();
    let last = watch.entries.iter().rfind(|entry| entry.table == "t").unwrap();
    assert_eq!((last.rows, last.dropped, last.event.as_deref()), (0.0, 1550.0, Some("drop")));
    assert!(watch.state.as_ref().unwrap().is_empty());
}

#[test]
fn detached_and_attached_partitions() {
    let mut watch = Watch::of(vec![shard(1, "t1", 1000.0), shard(2, "t2", 500.0), leaf(3, "new", 200.0)]);
    watch.leaf(1).root = None;
    watch.tick();
    watch.check("t", (500.0, 0.0, 0.0, 0.0, 1000.0), Some("detach"));
    watch.leaf(3).root = Some(QualifiedName::new("public", "t"));
    watch.tick();
    watch.check("t", (700.0, 0.0, 0.0, 200.0, 1000.0), Some("attach"));
    watch.flow(3, 5.0, 0.0);
    watch.tick();
    watch.check("t", (705.0, 5.0, 0.0, 200.0, 1000.0), None);
    watch.check("new", (205.0, 5.0, 0.0, 0.0, 0.0), None);
}

#[test]
fn a_split_moves_rows_and_nothing_else() {
    let mut watch = Watch::of(vec![shard(1, "t1", 1000.0), shard(2, "t2", 500.0)]);
    watch.drop(1);
    watch.look.leaves.extend([shard(3, "t1a", 600.0), shard(4, "t1b", 420.0)]);
    watch.flow(2, 7.0, 0.0);
    watch.tick();
    watch.check("t", (1527.0, 27.0, 0.0, 0.0, 0.0), Some("move"));
    // The same where the old one is kept aside, and staging tables were seen.
    watch.look.leaves.push(leaf(5, "staging", 507.0));
    watch.tick();
    watch.leaf(5).root = Some(QualifiedName::new("public", "t"));
    watch.leaf(2).root = None;
    watch.tick();
    watch.check("t", (1527.0, 27.0, 0.0, 0.0, 0.0), Some("move"));
}

#[test]
fn a_table_that_becomes_a_partitioned_one_keeps_its_book() {
    let mut watch = Watch::of(vec![leaf(1, "t", 1000.0)]);
    watch.flow(1, 10.0, 0.0);
    watch.tick();
    watch.drop(1);
    watch.look.leaves.extend([shard(2, "t1", 510.0), shard(3, "t2", 500.0)]);
    watch.tick();
    watch.check("t", (1010.0, 10.0, 0.0, 0.0, 0.0), Some("move"));
}

#[test]
fn loads_of_new_and_empty_tables_and_restores_are_no_inflow() {
    let mut watch = Watch::of(vec![leaf(1, "other", 1.0)]);
    watch.look.leaves.push(leaf(2, "t", 1000.0));
    watch.tick();
    watch.check("t", (1000.0, 0.0, 0.0, 1000.0, 0.0), Some("load"));
    watch.look.leaves.push(leaf(3, "u", 0.0));
    watch.tick();
    // A COPY that is under way: the file grows, no row counts yet.
    watch.leaf(3).bytes = Some(Bytes { heap: 5000.0, index: 0.0, toast: 0.0 });
    watch.tick();
    assert_eq!(watch.book("u").event_bytes, 5000.0);
    watch.flow(3, 1000.0, 0.0);
    watch.tick();
    watch.check("u", (1000.0, 0.0, 0.0, 1000.0, 0.0), Some("load"));
    assert_eq!(watch.book("u").event_bytes, 110_000.0);
    // More of it through the restore hook, beside ordinary rows.
    watch.flow(3, 2_050.0, 0.0);
    watch.look.restored.insert(QualifiedName::new("public", "u"), 2000.0);
    watch.tick();
    watch.check("u", (3050.0, 50.0, 0.0, 3000.0, 0.0), Some("restore"));
    watch.tick();
    watch.check("u", (3050.0, 50.0, 0.0, 3000.0, 0.0), None);
    // A queue that is often empty goes on counting.
    watch.flow(3, 10.0, 3060.0);
    watch.tick();
    watch.flow(3, 10.0, 0.0);
    watch.tick();
    watch.check("u", (10.0, 70.0, 3060.0, 3000.0, 0.0), None);
}

#[test]
fn a_table_that_is_made_again() {
    let mut watch = Watch::of(vec![leaf(1, "t", 1000.0)]);
    watch.drop(1);
    watch.look.leaves.push(leaf(2, "t", 10.0));
    watch.tick();
    watch.check("t", (10.0, 0.0, 0.0, 10.0, 1000.0), Some("drop, load"));
    // pg_restore --clean: the same rows again.
    watch.drop(2);
    watch.look.leaves.push(leaf(3, "t", 10.0));
    watch.tick();
    watch.check("t", (10.0, 0.0, 0.0, 10.0, 1000.0), Some("move"));
    // A name that was known before goes on from what was recorded.
    let look = Look { leaves: vec![leaf(9, "t", 4.0)], at: 99, ..Look::default() };
    let empty = Some(State::default());
    assert_eq!(unknown(empty.as_ref(), &look), [QualifiedName::new("public", "t")]);
    let recorded = Book {
        loaded: 5.0,
        dropped: 5.0,
        counted: Counted { inserted: 7.0, ..Counted::default() },
        ..Book::default()
    };
    let found = advance(empty, &look, BTreeMap::from([(QualifiedName::new("public", "t"), recorded)]));
    assert_eq!((found.entries[0].inserted, found.entries[0].loaded), (7.0, 9.0));
}

#[test]
fn what_does_not_change_is_written_once_a_day() {
    let mut watch = Watch::of(vec![leaf(1, "t", 1000.0)]);
    let mut written = 0;
    for _ in 0..3 * 288 {
        watch.tick();
        written += watch.entries.len();
    }
    assert_eq!(written, 3);
    // The end of the rest is written with the change.
    let rest = watch.look.at;
    watch.flow(1, 1.0, 0.0);
    watch.tick();
    let found: Vec<(i64, f64)> = watch.entries.iter().map(|entry| (entry.at, entry.rows)).collect();
    assert_eq!(found, [(rest, 1000.0), (rest + TICK, 1001.0)]);
    // A locked table keeps the size that is known.
    watch.leaf(1).bytes = None;
    watch.tick();
    assert!(watch.entries.is_empty(), "{:?}", watch.entries);
}

/// What may happen to a table between two looks.
#[derive(Debug, Clone)]
enum Deed {
    Flow(u32, u32),
    Reset,
    Truncate,
    Crash,
    Recreate(u32),
    Analyze,
}

fn any_deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (0_u32..1000, 0_u32..1000).prop_map(|(inserted, deleted)| Deed::Flow(inserted, deleted)),
        1 => Just(Deed::Reset),
        1 => Just(Deed::Truncate),
        1 => Just(Deed::Crash),
        1 => (0_u32..1000).prop_map(Deed::Recreate),
        1 => Just(Deed::Analyze),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens: counts never fall, and never exceed what happened.
    #[test]
    fn books_never_fall_and_never_exaggerate(deeds in prop::collection::vec(any_deed(), 1..60)) {
        let mut watch = Watch::of(vec![leaf(1, "t", 500.0), leaf(2, "u", 100.0)]);
        let (mut oid, mut truth, mut came) = (1, 500.0, 0.0);
        for deed in deeds {
            match deed {
                Deed::Flow(inserted, deleted) => {
                    let (inserted, deleted) = (f64::from(inserted), f64::from(deleted).min(truth));
                    watch.flow(oid, inserted, deleted);
                    (truth, came) = (truth + inserted - deleted, came + inserted);
                }
                Deed::Reset => watch.reset(oid),
                Deed::Truncate => {
                    watch.leaf(oid).filenode += 100;
                    (watch.leaf(oid).live, truth) = (0.0, 0.0);
                    watch.leaf(oid).bytes = Some(Bytes::default());
                }
                Deed::Crash => {
                    watch.look.server.started += 1;
                    watch.reset(oid);
                    watch.reset(2);
                }
                Deed::Recreate(rows) => {
                    watch.drop(oid);
                    oid += 10;
                    (truth, came) = (f64::from(rows), came + f64::from(rows));
                    watch.look.leaves.push(leaf(oid, "t", truth));
                }
                Deed::Analyze => (watch.leaf(oid).maintained, watch.leaf(oid).live) = (true, truth),
            }
            let before = watch.book("t").clone();
            watch.tick();
            let after = watch.book("t");
            for (then, now) in [
                (before.counted.inserted, after.counted.inserted), (before.counted.updated, after.counted.updated),
                (before.counted.deleted, after.counted.deleted), (before.loaded, after.loaded),
                (before.dropped, after.dropped),
            ] {
                prop_assert!(now >= then && now.is_finite(), "{:?} {:?}", before, after);
            }
            prop_assert!(after.counted.inserted <= came + 1e-6, "{} of {came}", after.counted.inserted);
            prop_assert!(after.rows >= 0.0);
        }
    }
}
