//! The steps of a change as a person reads them beforehand: which statement,
//! which lock on what, how long a statement of others may wait for it, and what
//! it takes of disk, log and time.
//!
//! `docs/locks.md` tells the same in words. Estimates are arithmetic on the
//! sizes of the replaced shards; speeds that no limit sets are assumed, and the
//! constants below say so.

use crate::model::bound::Bound;
use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::name::quote_identifiers;
use crate::model::reshard::Change;
use crate::model::reshard::Rebuilt;
use crate::model::reshard::Target;

/// Bytes that rows are copied at in a second where no limit is set; assumed.
const COPY_RATE: f64 = 64e6;
/// Bytes of indexes that are built in a second; assumed.
const INDEX_RATE: f64 = 50e6;
/// Bytes of rows that are compared in a second; assumed.
const COMPARE_RATE: f64 = 100e6;
/// Log for the rows that are copied, as a share of their bytes: each is
/// written with a header of its own.
const COPY_LOG: f64 = 1.1;
/// Log for an index whose entries come one by one: pages are also split.
const ENTRY_LOG: f64 = 1.5;
/// Log of a statement that changes the catalogs only.
const CATALOG_LOG: i64 = 16 << 10;

/// What a replaced shard takes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Size {
    /// The table with what is stored out of line.
    pub table_bytes: f64,
    /// The index that tells rows apart, which is there from the beginning.
    pub identity_bytes: f64,
    /// All other indexes.
    pub index_bytes: f64,
}

/// What the steps depend on besides the change.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// All replaced shards together.
    pub size: Size,
    /// kB per second; zero = none.
    pub rate_limit: i32,
    pub lock_timeout_ms: i32,
    pub budget_ms: i32,
    pub grace_seconds: i64,
    /// Whether changes are also captured after the swap, for an undo.
    pub undo: bool,
    /// The DEFAULT shard, if it stays.
    pub default: Option<QualifiedName>,
    /// Tables whose foreign keys refer to the sharded table.
    pub referencing: Vec<QualifiedName>,
    /// Tables that the shards' foreign keys refer to.
    pub referenced: Vec<QualifiedName>,
    /// Views that read a table which is replaced whole.
    pub views: Vec<QualifiedName>,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub statement: String,
    pub lock_mode: &'static str,
    /// Whether a cancel, or an undo that loses nothing, takes it back.
    pub reversible: bool,
    /// The relations that the lock is on.
    pub locked: String,
    /// Longest that a statement that reads or writes rows waits for it.
    pub max_lock_ms: i32,
    pub bytes_needed: i64,
    pub wal_bytes: i64,
    pub seconds: f64,
}

/// The steps of a change, in their order.
#[must_use]
pub fn steps(change: &Change, facts: &Facts) -> Vec<Step> {
    let plan = Plan { change, facts };
    let mut steps: Vec<Step> = Vec::new();
    if !change.online {
        steps.push(plan.block_all());
    }
    steps.extend(change.targets.iter().map(|target| plan.create(target)));
    if change.online {
        steps.extend(change.sources.iter().map(|source| plan.capture(&source.name)));
    }
    steps.extend([plan.copy(), plan.index()]);
    if change.online {
        steps.extend([plan.catch_up(), plan.verify(), plan.block_writers(), plan.block_all()]);
    }
    steps.extend(facts.referencing.iter().map(|table| plan.foreign_key(table, "DROP CONSTRAINT …")));
    match &change.rebuilt {
        Some(rebuilt) => {
            steps.extend(plan.renames(rebuilt));
            steps.extend(facts.views.iter().map(|view| plan.view(view)));
        }
        None => {
            steps.extend(change.sources.iter().map(|source| plan.detach(&source.name)));
            steps.extend(change.targets.iter().map(|target| plan.attach(target)));
        }
    }
    let back = "ADD CONSTRAINT … FOREIGN KEY … NOT VALID, and mark as valid what held before";
    steps.extend(facts.referencing.iter().map(|table| plan.foreign_key(table, back)));
    if facts.undo && facts.grace_seconds > 0 && !change.identity.is_empty() {
        steps.extend(change.targets.iter().map(|target| plan.capture_for_undo(&target.name)));
    }
    match &change.rebuilt {
        Some(rebuilt) => steps.push(plan.drop(&rebuilt.aside)),
        None => steps.extend(change.sources.iter().map(|source| plan.drop(&source.name))),
    }
    steps
}

struct Plan<'a> {
    change: &'a Change,
    facts: &'a Facts,
}

impl Plan<'_> {
    fn sources(&self) -> String {
        names(self.change.sources.iter().map(|source| &source.name))
    }

    fn targets(&self) -> String {
        names(self.change.targets.iter().map(|target| &target.name))
    }

    /// A step that others do not notice.
    fn step(&self, statement: String, lock_mode: &'static str, locked: String) -> Step {
        Step {
            statement,
            lock_mode,
            reversible: true,
            locked,
            max_lock_ms: 0,
            bytes_needed: 0,
            wal_bytes: CATALOG_LOG,
            seconds: 0.0,
        }
    }

    fn copy_seconds(&self) -> f64 {
        let rate = match self.facts.rate_limit {
            limit if limit > 0 && self.change.online => COPY_RATE.min(f64::from(limit) * 1024.0),
            _ => COPY_RATE,
        };
        (self.facts.size.table_bytes + self.facts.size.identity_bytes) / rate
    }

    fn index_seconds(&self) -> f64 {
        self.facts.size.index_bytes / INDEX_RATE
    }

    fn verify_seconds(&self) -> f64 {
        2.0 * self.facts.size.table_bytes / COMPARE_RATE
    }

    /// How long everybody waits where nothing is captured.
    fn locked_ms(&self) -> i32 {
        milliseconds(self.copy_seconds() + self.index_seconds())
    }

    fn create(&self, target: &Target) -> Step {
        let like = self.change.sources.get(target.like).or(self.change.sources.first());
        let like = match self.change.rebuilt {
            Some(_) => self.change.root.to_string(),
            None => like.map(|source| source.name.to_string()).unwrap_or_default(),
        };
        let tablespace = target.tablespace.as_deref().map(quote_identifier);
        let tablespace = tablespace.map(|name| format!(" TABLESPACE {name}")).unwrap_or_default();
        let is_divided = self.change.rebuilt.as_ref().is_some_and(|rebuilt| !rebuilt.plain);
        let divided = if is_divided { " PARTITION BY …, and its shards" } else { "" };
        let statement =
            format!("CREATE TABLE {} (LIKE {like} INCLUDING ALL){tablespace}{divided}", target.name);
        self.step(statement, "ACCESS SHARE", like)
    }

    fn capture(&self, source: &QualifiedName) -> Step {
        let statement = format!(
            "CREATE TRIGGER … AFTER INSERT OR UPDATE OR DELETE ON {source} FOR EACH ROW: log the old and the new {}",
            quote_identifiers(&self.change.identity)
        );
        let step = self.step(statement, "SHARE ROW EXCLUSIVE", source.to_string());
        Step { max_lock_ms: self.facts.lock_timeout_ms, ..step }
    }

    fn copy(&self) -> Step {
        let size = &self.facts.size;
        let (sources, targets) = (self.sources(), self.targets());
        let statement = format!("INSERT INTO {targets} SELECT … FROM ONLY {sources}");
        let (lock_mode, chunks) = if self.change.online {
            ("ACCESS SHARE", ", in chunks of a transaction each")
        } else {
            ("ACCESS EXCLUSIVE", "")
        };
        Step {
            max_lock_ms: if self.change.online { 0 } else { self.locked_ms() },
            bytes_needed: whole(size.table_bytes + size.identity_bytes),
            wal_bytes: whole(size.table_bytes * COPY_LOG + size.identity_bytes * ENTRY_LOG),
            seconds: hundredths(self.copy_seconds()),
            ..self.step(format!("{statement}{chunks}"), lock_mode, sources)
        }
    }

    fn index(&self) -> Step {
        let targets = self.targets();
        Step {
            bytes_needed: whole(self.facts.size.index_bytes),
            wal_bytes: whole(self.facts.size.index_bytes).saturating_add(CATALOG_LOG),
            seconds: hundredths(self.index_seconds()),
            ..self.step(format!("CREATE INDEX … ON {targets}; ANALYZE {targets}"), "SHARE", targets.clone())
        }
    }

    fn catch_up(&self) -> Step {
        let statement =
            format!("DELETE FROM … RETURNING the logged keys, and copy their rows to {}", self.targets());
        self.step(statement, "ACCESS SHARE", self.sources())
    }

    fn verify(&self) -> Step {
        let statement =
            format!("SELECT a hash of all rows FROM {} and FROM {}", self.sources(), self.targets());
        Step {
            wal_bytes: 0,
            seconds: hundredths(self.verify_seconds()),
            ..self.step(statement, "ACCESS SHARE", self.sources())
        }
    }

    fn block_writers(&self) -> Step {
        let locked = format!("{}, {}", self.change.parent, self.sources());
        let statement = format!(
            "LOCK TABLE ONLY {locked} IN SHARE ROW EXCLUSIVE MODE; copy the rows of the last logged keys; COMMIT"
        );
        Step { max_lock_ms: self.facts.budget_ms, ..self.step(statement, "SHARE ROW EXCLUSIVE", locked) }
    }

    fn block_all(&self) -> Step {
        let others = self.facts.default.iter().chain(&self.facts.referencing).chain(&self.facts.referenced);
        let sources = self.change.sources.iter().map(|source| &source.name);
        // Whoever reads a view has locked it before he comes to the table.
        let views = self.facts.views.iter();
        let locked = names(views.chain(std::iter::once(&self.change.parent)).chain(sources).chain(others));
        let statement = format!("LOCK TABLE ONLY {locked} IN ACCESS EXCLUSIVE MODE");
        let budget = self.facts.budget_ms;
        let max_lock_ms = if self.change.online { budget } else { budget.max(self.locked_ms()) };
        Step { max_lock_ms, ..self.step(statement, "ACCESS EXCLUSIVE", locked) }
    }

    fn detach(&self, source: &QualifiedName) -> Step {
        let statement = format!("ALTER TABLE {} DETACH PARTITION {source}", self.change.parent);
        Step {
            reversible: self.facts.grace_seconds > 0,
            max_lock_ms: self.facts.budget_ms,
            ..self.step(statement, "ACCESS EXCLUSIVE", format!("{}, {source}", self.change.parent))
        }
    }

    fn attach(&self, target: &Target) -> Step {
        let statement =
            format!("ALTER TABLE {} ATTACH PARTITION {} {}", self.change.parent, target.name, target.bound);
        let default =
            self.facts.default.as_ref().filter(|_| Bound::read(&target.bound) != Some(Bound::Default));
        let locked = names(std::iter::once(&self.change.parent).chain(default).chain([&target.name]));
        Step {
            reversible: self.facts.grace_seconds > 0,
            max_lock_ms: self.facts.budget_ms,
            ..self.step(statement, "ACCESS EXCLUSIVE", locked)
        }
    }

    /// The old table goes aside, and the new one takes its name.
    fn renames(&self, rebuilt: &Rebuilt) -> Vec<Step> {
        let root = &self.change.root;
        let step = |statement: String, locked: String| Step {
            reversible: self.facts.undo,
            max_lock_ms: self.facts.budget_ms,
            ..self.step(statement, "ACCESS EXCLUSIVE", locked)
        };
        let rename = |from: &QualifiedName, to: &QualifiedName, and: &str| {
            let statement = format!("ALTER TABLE {from} RENAME TO {}{and}", quote_identifier(&to.name));
            step(statement, from.to_string())
        };
        let mut all = vec![rename(root, &rebuilt.aside, ", with its indexes")];
        if self.change.is_divided() {
            let statement = "ALTER TABLE … RENAME TO …, for each of its shards and their indexes";
            all.push(step(statement.to_owned(), self.sources()));
        }
        if self.change.is_divided() && !rebuilt.plain {
            let statement = "ALTER TABLE … RENAME TO …, for each new shard and its indexes";
            all.push(step(statement.to_owned(), format!("the shards of {}", rebuilt.staging)));
        }
        let and =
            ", with its indexes; then its identities, foreign keys, triggers, rules, policies and rights";
        all.push(rename(&rebuilt.staging, root, and));
        all
    }

    /// A view reads the new table.
    fn view(&self, view: &QualifiedName) -> Step {
        Step {
            reversible: self.facts.undo,
            max_lock_ms: self.facts.budget_ms,
            ..self.step(format!("CREATE OR REPLACE VIEW {view} AS …"), "ACCESS EXCLUSIVE", view.to_string())
        }
    }

    /// A foreign key of another table is gone while the shards are swapped.
    fn foreign_key(&self, table: &QualifiedName, what: &str) -> Step {
        let locked = format!("{table}, {} and its partitions", self.change.parent);
        Step {
            reversible: self.facts.grace_seconds > 0,
            max_lock_ms: self.facts.budget_ms,
            ..self.step(format!("ALTER TABLE {table} {what}"), "ACCESS EXCLUSIVE", locked)
        }
    }

    fn capture_for_undo(&self, target: &QualifiedName) -> Step {
        let statement = format!(
            "CREATE TRIGGER ON {target}, for each row that changes while undo_operation() is possible: log the old and the new {}",
            quote_identifiers(&self.change.identity)
        );
        Step {
            max_lock_ms: self.facts.budget_ms,
            ..self.step(statement, "ACCESS EXCLUSIVE", target.to_string())
        }
    }

    fn drop(&self, source: &QualifiedName) -> Step {
        let statement = format!("DROP TABLE {source}, {} seconds after the swap", self.facts.grace_seconds);
        Step { reversible: false, ..self.step(statement, "ACCESS EXCLUSIVE", source.to_string()) }
    }
}

fn names<'a>(names: impl Iterator<Item = &'a QualifiedName>) -> String {
    let mut told: Vec<String> = Vec::new();
    for name in names.map(ToString::to_string) {
        if !told.contains(&name) {
            told.push(name);
        }
    }
    told.join(", ")
}

fn whole(bytes: f64) -> i64 {
    bytes.max(0.0).ceil() as i64
}

/// Estimates have no finer grain.
fn hundredths(seconds: f64) -> f64 {
    (seconds * 100.0).round() / 100.0
}

fn milliseconds(seconds: f64) -> i32 {
    (seconds * 1000.0).ceil() as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::reshard::History;
    use crate::model::reshard::Source;

    fn name(name: &str) -> QualifiedName {
        QualifiedName::new("app", name)
    }

    fn target(text: &str, bound: &str) -> Target {
        Target { name: name(text), bound: bound.to_owned(), tablespace: None, like: 0, oid: None }
    }

    fn change(online: bool) -> Change {
        Change {
            parent: name("orders"),
            parent_oid: 1,
            root: name("orders"),
            root_oid: 1,
            sources: vec![Source {
                oid: 2,
                name: name("orders_s0001"),
                bound: "FOR VALUES FROM (0) TO (9)".to_owned(),
            }],
            targets: vec![
                target("orders_s0002", "FOR VALUES FROM ('0') TO ('5')"),
                target("orders_s0003", "FOR VALUES FROM ('5') TO ('9')"),
            ],
            identity: vec!["id".to_owned(), "Day".to_owned()],
            online,
            undo: None,
            rebuilt: None,
        }
    }

    fn facts() -> Facts {
        Facts {
            size: Size { table_bytes: 320e6, identity_bytes: 0.0, index_bytes: 100e6 },
            rate_limit: 31_250,
            lock_timeout_ms: 150,
            budget_ms: 500,
            grace_seconds: 86_400,
            undo: false,
            default: Some(name("orders_default")),
            referencing: vec![name("lines")],
            referenced: vec![name("customers")],
            views: Vec::new(),
        }
    }

    #[test]
    fn nobody_waits_longer_than_the_budget_online() {
        for step in steps(&change(true), &facts()) {
            let limit = match step.lock_mode {
                "ACCESS EXCLUSIVE" | "SHARE ROW EXCLUSIVE" => 500,
                _ => 0,
            };
            assert!(step.max_lock_ms <= limit, "{step:?}");
        }
    }

    #[test]
    fn the_swap_takes_the_locks_of_the_protocol() {
        let steps = steps(&change(true), &facts());
        let find = |start: &str| {
            steps.iter().find(|step| step.statement.starts_with(start)).unwrap_or_else(|| panic!("{start}"))
        };
        assert_eq!(
            find("LOCK TABLE ONLY app.orders, app.orders_s0001, app.orders_default, app.lines, app.customers IN")
                .locked,
            "app.orders, app.orders_s0001, app.orders_default, app.lines, app.customers"
        );
        assert_eq!(find("CREATE TRIGGER").max_lock_ms, 150);
        assert!(find("CREATE TRIGGER").statement.ends_with("the old and the new id, \"Day\""));
        let attach = find("ALTER TABLE app.orders ATTACH PARTITION app.orders_s0003");
        assert!(attach.statement.ends_with("FOR VALUES FROM ('5') TO ('9')") && attach.reversible);
        assert_eq!(attach.locked, "app.orders, app.orders_default, app.orders_s0003");
        assert_eq!(find("DROP TABLE app.orders_s0001").lock_mode, "ACCESS EXCLUSIVE");
        let place = |start: &str| steps.iter().position(|step| step.statement.starts_with(start));
        let (dropped, detached) =
            (place("ALTER TABLE app.lines DROP"), place("ALTER TABLE app.orders DETACH"));
        let (attached, added) = (place("ALTER TABLE app.orders ATTACH"), place("ALTER TABLE app.lines ADD"));
        assert!(dropped < detached && detached < attached && attached < added && dropped.is_some());
    }

    #[test]
    fn everything_before_the_swap_is_reversible_and_after_it_while_shards_are_kept() {
        let not_kept = Facts { grace_seconds: 0, undo: true, ..facts() };
        let taken_back = |facts: &Facts| {
            steps(&change(true), facts).iter().map(|step| step.reversible).collect::<Vec<bool>>()
        };
        let (without, with) = (taken_back(&not_kept), taken_back(&facts()));
        let before_the_swap = without.iter().take_while(|reversible| **reversible).count();
        assert!(without[before_the_swap..].iter().all(|reversible| !reversible));
        // Only the drop at the end is for good.
        assert_eq!(with.iter().filter(|reversible| !**reversible).count(), 1);
    }

    #[test]
    fn the_setting_undo_watches_the_new_shards() {
        let watched = |facts: &Facts, change: &Change| {
            let steps = steps(change, facts);
            steps.iter().filter(|step| step.statement.contains("undo_operation()")).count()
        };
        let undo = Facts { undo: true, ..facts() };
        assert_eq!(watched(&undo, &change(true)), 2);
        assert_eq!(watched(&facts(), &change(true)), 0);
        assert_eq!(watched(&Facts { grace_seconds: 0, ..undo.clone() }, &change(true)), 0);
        // Nothing tells rows apart, so nothing could be written down of them.
        assert_eq!(watched(&undo, &Change { identity: Vec::new(), ..change(false) }), 0);
    }

    #[test]
    fn the_limit_sets_the_time_and_the_sizes_the_rest() {
        let steps = steps(&change(true), &facts());
        let copy = steps.iter().find(|step| step.statement.starts_with("INSERT")).unwrap();
        assert_eq!((copy.seconds, copy.bytes_needed, copy.wal_bytes), (10.0, 320_000_000, 352_000_000));
        let index = steps.iter().find(|step| step.statement.starts_with("CREATE INDEX")).unwrap();
        assert_eq!((index.seconds, index.bytes_needed), (2.0, 100_000_000));
        let unlimited = Facts { rate_limit: 0, ..facts() };
        let copied = super::steps(&change(true), &unlimited);
        assert_eq!(copied.iter().find(|step| step.statement.starts_with("INSERT")).unwrap().seconds, 5.0);
        // Within what was promised of the log: 2.5 times the new shards.
        let (needed, log) = steps
            .iter()
            .fold((0, 0), |(needed, log), step| (needed + step.bytes_needed, log + step.wal_bytes));
        assert!(log as f64 <= 2.5 * needed as f64);
    }

    #[test]
    fn without_online_everybody_waits_for_the_whole_copy() {
        let steps = steps(&change(false), &facts());
        assert!(!steps.iter().any(|step| step.statement.starts_with("CREATE TRIGGER")));
        let copy = steps.iter().find(|step| step.statement.starts_with("INSERT")).unwrap();
        // Five seconds for the copy, which no limit slows down, and two for the indexes.
        assert_eq!((copy.lock_mode, copy.max_lock_ms), ("ACCESS EXCLUSIVE", 7_000));
        assert!(
            steps[0].statement.starts_with("LOCK TABLE ONLY app.orders, ") && steps[0].max_lock_ms == 7_000
        );
    }

    /// A plain table that becomes a sharded one.
    fn of_whole_table() -> Change {
        let staging = name("t_presplit_new");
        let rebuilt = Rebuilt {
            proposal_id: 1,
            staging: staging.clone(),
            aside: name("t_presplit_old"),
            history: History::Split,
            plain: false,
            partitions: Vec::new(),
        };
        Change {
            parent: name("t"),
            parent_oid: 1,
            root: name("t"),
            root_oid: 1,
            sources: vec![Source { oid: 1, name: name("t"), bound: String::new() }],
            targets: vec![Target {
                name: staging,
                bound: String::new(),
                tablespace: None,
                like: 0,
                oid: None,
            }],
            identity: vec!["id".to_owned()],
            online: true,
            undo: None,
            rebuilt: Some(rebuilt),
        }
    }

    #[test]
    fn a_whole_table_changes_names_with_the_new_one() {
        let mut change = of_whole_table();
        let facts = Facts { views: vec![name("of_t")], ..Facts::default() };
        let told = |change: &Change| {
            let all: Vec<String> = steps(change, &facts).into_iter().map(|step| step.statement).collect();
            all.join("\n")
        };
        let (told_of, told) = (&told, told(&change));
        for part in [
            "CREATE TABLE app.t_presplit_new (LIKE app.t INCLUDING ALL) PARTITION BY …, and its shards",
            "ALTER TABLE app.t RENAME TO t_presplit_old, with its indexes\nALTER TABLE app.t_presplit_new RENAME TO t,",
            "CREATE OR REPLACE VIEW app.of_t AS …",
            "LOCK TABLE ONLY app.of_t, app.t IN ACCESS EXCLUSIVE MODE",
            "DROP TABLE app.t_presplit_old, 0 seconds after the swap",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(!told.contains("DETACH") && !told.contains("ATTACH"), "{told}");
        assert!(!told.contains("for each"), "{told}");

        // From shards to a plain table.
        change.sources = vec![Source { oid: 2, name: name("t_s0001"), bound: "DEFAULT".to_owned() }];
        let shards = told_of(&change);
        assert!(
            shards.contains("for each of its shards") && shards.contains("for each new shard"),
            "{shards}"
        );
        if let Some(rebuilt) = &mut change.rebuilt {
            rebuilt.plain = true;
        }
        let whole = told_of(&change);
        assert!(whole.contains("CREATE TABLE app.t_presplit_new (LIKE app.t INCLUDING ALL)\n"), "{whole}");
        assert!(whole.contains("for each of its shards") && !whole.contains("for each new shard"), "{whole}");
    }

    #[test]
    fn a_move_names_its_tablespace() {
        let mut moved = change(true);
        moved.targets.truncate(1);
        moved.targets[0].tablespace = Some("Fast disks".to_owned());
        let first = steps(&moved, &facts()).swap_remove(0);
        assert_eq!(
            first.statement,
            "CREATE TABLE app.orders_s0002 (LIKE app.orders_s0001 INCLUDING ALL) TABLESPACE \"Fast disks\""
        );
    }
}
