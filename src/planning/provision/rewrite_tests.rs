//! Cases of `rewrite`: a statement, the armed table, and what becomes of it,
//! as one line of text.
//!
//! A line names the actions in order, then the start of the note after `--`;
//! commands of one `ALTER TABLE` are separated by `|`; a refusal is its
//! SQLSTATE and message. The table is `public.orders`, sharded by `tenant_id`
//! and `id`, unless a case says otherwise.

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::key::KeyType;
use crate::model::key::Strategy;
use crate::model::layout::Branch;
use crate::model::layout::Layout;
use crate::model::layout::Shard;
use crate::model::name::QualifiedName;
use crate::model::report::Report;
use crate::model::settings::UniquePolicy;
use crate::model::utility::AlterCommand;
use crate::model::utility::CreateIndex;
use crate::model::utility::CreateTable;
use crate::model::utility::Edit;
use crate::model::utility::Utility;
use crate::planning::provision::rewrite::Action;
use crate::planning::provision::rewrite::Armed;
use crate::planning::provision::rewrite::Decision;
use crate::planning::provision::rewrite::decide;

/// What a case may vary besides the statement.
#[derive(Debug, Clone, Copy)]
pub struct Given {
    pub policy: UniquePolicy,
    pub server: u32,
    pub empty: bool,
    /// A constraint or index that only the shards have.
    pub part: Option<&'static str>,
    pub violated: bool,
}

pub const STRICT: Given =
    Given { policy: UniquePolicy::Strict, server: 15, empty: false, part: None, violated: false };
pub const EXTEND: Given = Given { policy: UniquePolicy::Extend, ..STRICT };
pub const PER_SHARD: Given = Given { policy: UniquePolicy::PerShard, ..STRICT };
const EMPTY: Given = Given { empty: true, ..STRICT };

pub const ALL: [Given; 12] = {
    let mut all = [STRICT; 12];
    let (policies, servers) = ([STRICT, EXTEND, PER_SHARD], [15, 16, 17, 18]);
    let mut at = 0;
    while at < all.len() {
        all[at] = Given { server: servers[at % 4], empty: at % 2 == 0, ..policies[at / 4] };
        at += 1;
    }
    all
};

pub const fn on(server: u32) -> Given {
    Given { server, ..STRICT }
}

pub fn orders() -> QualifiedName {
    QualifiedName::new("public", "orders")
}

pub fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub fn layout() -> Layout {
    let shard = |remainder: u32| Shard {
        name: format!("orders_s{:04}", remainder + 1),
        bound: Bound::Hash { modulus: 2, remainder },
        rows: 0.0,
        bytes: 0.0,
        tablespace: None,
        future: false,
        of: None,
    };
    let kinds = vec![KeyType::Integer, KeyType::Integer];
    Layout::new(Strategy::Hash, texts(&["tenant_id", "id"]), kinds, vec![shard(0), shard(1)]).unwrap()
}

fn shown_edit(edit: &Edit) -> String {
    match edit {
        Edit::Partition { strategy, shard_key } => {
            format!("partition by {} {}", strategy.word(), shard_key.join(" "))
        }
        Edit::Recurse => "recurse".to_owned(),
        Edit::RecurseInto(relation) => format!("recurse into {relation}"),
        Edit::Validate => "validate".to_owned(),
        Edit::Inherit => "inherit".to_owned(),
        Edit::InheritedDistinct => "inherited distinct".to_owned(),
        Edit::AppendKey(columns) => format!("append {}", columns.join(" ")),
        Edit::Without(relations) => {
            format!("without {}", relations.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        }
    }
}

fn shown_action(action: &Action) -> String {
    match action {
        Action::Root(edits) if edits.is_empty() => "root".to_owned(),
        Action::Root(edits) => {
            format!("root({})", edits.iter().map(shown_edit).collect::<Vec<_>>().join(", "))
        }
        Action::Shards => "shards".to_owned(),
        Action::Parts { name } => format!("parts {name}"),
        Action::CreateShards => "create shards".to_owned(),
        Action::ClusterShards { index } => format!("cluster shards on {index}"),
        Action::Partitions => "partitions".to_owned(),
        Action::IdentifyPartitions { index } => format!("identify partitions by {index}"),
        Action::PublishViaRoot { publication } => format!("publish {publication} via root"),
    }
}

fn shown_decision(decision: &Decision) -> String {
    let actions = decision.actions.iter().map(shown_action).collect::<Vec<_>>().join("; ");
    match decision.note {
        Some(note) => format!("{actions} -- {note}"),
        None => actions,
    }
}

/// By month of `placed_at`, then by hash of `id`.
pub fn two_levels() -> Layout {
    let branch = |number: usize, bound| Branch {
        name: format!("orders_b{number:04}"),
        bound,
        shard_key: texts(&["id"]),
        key_types: vec![KeyType::Integer],
    };
    let value = |text: &str| vec![RangeDatum::Value(text.to_owned())];
    let first = Bound::Range { lower: value("2026-01-01"), upper: value("2026-02-01") };
    let second = Bound::Range { lower: value("2026-02-01"), upper: value("2026-03-01") };
    let shard = |number: usize| Shard {
        name: format!("orders_s{:04}", number + 1),
        bound: Bound::Hash { modulus: 2, remainder: (number % 2) as u32 },
        rows: 0.0,
        bytes: 0.0,
        tablespace: None,
        future: false,
        of: Some(number / 2),
    };
    let (key, kinds) = (texts(&["placed_at", "id"]), vec![KeyType::Date, KeyType::Integer]);
    let branches = vec![branch(1, first), branch(2, second)];
    Layout::two_level(Strategy::RangeHash, key, kinds, branches, (0..4).map(shard).collect()).unwrap()
}

#[test]
fn the_key_of_two_levels_is_that_of_both() {
    let (relation, layout) = (orders(), two_levels());
    for (policy, statement, expected) in [
        (
            UniquePolicy::Strict,
            Utility::CreateTable(CreateTable { columns: texts(&["id", "placed_at"]), ..table() }),
            "root(partition by range placed_at); create shards",
        ),
        (
            UniquePolicy::Strict,
            Utility::CreateTable(CreateTable { columns: texts(&["placed_at"]), ..table() }),
            "cannot restore table \"public.orders\" as a sharded table: it has no column \"id\"",
        ),
        (UniquePolicy::Strict, alter(false, unique(true, &["placed_at", "id"])), "root"),
        (
            UniquePolicy::Strict,
            alter(true, unique(true, &["placed_at"])),
            "primary key \"orders_key\" of table \"public.orders\" does not include shard key column \"id\"",
        ),
        (UniquePolicy::Extend, alter(false, unique(true, &["id"])), "root(append placed_at)"),
        (UniquePolicy::Extend, alter(false, unique(true, &["note"])), "root(append placed_at id)"),
        (UniquePolicy::PerShard, alter(false, unique(true, &["id"])), "shards"),
        (UniquePolicy::Strict, alter(true, AlterCommand::Owner), "root; partitions"),
        (UniquePolicy::Strict, alter(true, AlterCommand::Persistence), "shards"),
    ] {
        let armed = Armed {
            relation: &relation,
            layout: &layout,
            unique_policy: policy,
            server: 15,
            empty: true,
            on_shards: &[],
            violated: false,
        };
        let found = match decide(&statement, &armed) {
            Ok(decisions) => shown_decision(&Decision { note: None, ..decisions[0].clone() }),
            Err(refusal) => refusal.to_string(),
        };
        assert_eq!(found, expected);
    }
}

fn decided(statement: &Utility, given: Given) -> Result<Vec<Decision>, String> {
    let (relation, layout) = (orders(), layout());
    let armed = Armed {
        relation: &relation,
        layout: &layout,
        unique_policy: given.policy,
        server: given.server,
        empty: given.empty,
        on_shards: &given.part.map(str::to_owned).into_iter().collect::<Vec<_>>(),
        violated: given.violated,
    };
    decide(statement, &armed).map_err(|refusal| format!("{} {refusal}", refusal.sqlstate().code()))
}

/// Compares up to the end of `expected`, so that a note may be cut; without a
/// note nothing may follow.
#[track_caller]
pub fn check(statement: &Utility, given: Given, expected: &str) {
    let found = match decided(statement, given) {
        Ok(decisions) => decisions.iter().map(shown_decision).collect::<Vec<_>>().join(" | "),
        Err(refusal) => refusal,
    };
    let same = if expected.contains(" -- ") { found.starts_with(expected) } else { found == expected };
    assert!(same, "\n   found: {found}\nexpected: {expected}\n{statement:?}\n{given:?}");
}

pub fn alter(only: bool, command: AlterCommand) -> Utility {
    Utility::AlterTable { relation: orders(), only, commands: vec![command] }
}

pub fn unique(primary: bool, columns: &[&str]) -> AlterCommand {
    named_unique(Some("orders_key"), primary, columns, false)
}

fn named_unique(name: Option<&str>, primary: bool, columns: &[&str], using_index: bool) -> AlterCommand {
    let name = name.map(str::to_owned);
    AlterCommand::AddUnique { name, primary, columns: texts(columns), using_index, temporal: false }
}

pub fn exclusion(columns: &[&str]) -> AlterCommand {
    AlterCommand::AddExclusion { name: Some("orders_excl".to_owned()), equal_columns: texts(columns) }
}

pub fn foreign_key(not_valid: bool) -> AlterCommand {
    AlterCommand::AddForeignKey {
        name: None,
        references: QualifiedName::new("public", "tenants"),
        columns: texts(&["tenant_id"]),
        referenced_columns: Vec::new(),
        full: false,
        not_valid,
    }
}

pub fn table() -> CreateTable {
    CreateTable {
        relation: orders(),
        columns: texts(&["id", "note", "tenant_id"]),
        unlogged: false,
        inherits: false,
        built_in: Vec::new(),
        generated: Vec::new(),
        not_null: Vec::new(),
        parents: Vec::new(),
        no_inherit: false,
        typed: false,
        partitioned: false,
        partition_of: None,
        options: Vec::new(),
        access_method: None,
    }
}

fn index(unique: bool, columns: &[&str]) -> CreateIndex {
    CreateIndex {
        relation: orders(),
        name: Some("orders_idx".to_owned()),
        unique,
        columns: texts(columns),
        expressions: false,
        only: false,
        concurrently: false,
    }
}

#[test]
fn commands_that_recursion_makes_right() {
    for (command, note) in [
        (unique(true, &["id", "tenant_id"]), " -- ONLY taken away: it would leave an invalid index"),
        (unique(false, &["tenant_id", "note", "id"]), " -- ONLY taken away: it would leave an invalid index"),
        (foreign_key(false), " -- ONLY taken away: not possible on a partitioned table"),
        (AlterCommand::Identity, " -- ONLY taken away: it has to reach the shards"),
        (AlterCommand::Other, " -- ONLY taken away: it has to reach the shards"),
    ] {
        for given in ALL {
            check(&alter(false, command.clone()), given, "root");
            check(&alter(true, command.clone()), given, &format!("root(recurse){note}"));
        }
    }
}

#[test]
fn commands_that_are_the_same_with_and_without_only() {
    let identity = |index: Option<&str>| AlterCommand::ReplicaIdentity { index: index.map(str::to_owned) };
    for (command, expected) in [
        (AlterCommand::Owner, "root; partitions -- on the shards too: owners"),
        (AlterCommand::Tablespace, "root; partitions -- on the shards too: tablespaces"),
        (AlterCommand::StorageParameters, "shards -- on the shards: a partitioned table has no storage"),
        (AlterCommand::Persistence, "shards -- on the shards: they hold the rows"),
        (AlterCommand::ClusterOn { index: "i".to_owned() }, "cluster shards on i -- on the shards: a part"),
        (identity(Some("i")), "root; identify partitions by i -- on the shards too: replica identity"),
        (identity(None), "root; partitions -- on the shards too: replica identity"),
        (
            AlterCommand::ColumnOptions { column: "note".to_owned() },
            "root(inherited distinct) -- n_distinct is n_distinct_inherited",
        ),
        (AlterCommand::RowSecurity, "root"),
        (AlterCommand::AttachPartition, "root"),
        (
            AlterCommand::Inherit,
            "0A000 cannot make sharded table \"public.orders\" part of an inheritance tree",
        ),
    ] {
        for given in ALL {
            for only in [false, true] {
                check(&alter(only, command.clone()), given, expected);
            }
        }
    }
}

#[test]
fn uniqueness_without_the_key_follows_the_policy() {
    let shards = "shards -- on every shard: holds inside each shard only";
    for (command, what, missing, first) in [
        (unique(true, &["id"]), "primary key \"orders_key\"", "tenant_id", "tenant_id"),
        (unique(false, &["note"]), "unique constraint \"orders_key\"", "tenant_id id", "tenant_id"),
        (unique(false, &["tenant_id"]), "unique constraint \"orders_key\"", "id", "id"),
    ] {
        for only in [false, true] {
            let statement = alter(only, command.clone());
            let refused = format!(
                "42P17 {what} of table \"public.orders\" does not include shard key column \"{first}\""
            );
            check(&statement, STRICT, &refused);
            check(&statement, PER_SHARD, shards);
            let recurse = if only { ", recurse" } else { "" };
            check(&statement, EXTEND, &format!("root(append {missing}{recurse}) -- shard key appended"));
        }
    }
    check(
        &alter(true, named_unique(None, true, &["note"], false)),
        STRICT,
        "42P17 primary key of table \"public.orders\" does not include shard key column \"tenant_id\"",
    );
}

#[test]
fn an_existing_index_cannot_become_a_constraint() {
    for (primary, given) in [true, false].into_iter().flat_map(|primary| ALL.map(|given| (primary, given))) {
        let command = named_unique(None, primary, &[], true);
        let refused = "0A000 cannot add an existing index as a constraint of sharded table \"public.orders\"";
        check(&alter(true, command), given, refused);
    }
}

#[test]
fn exclusion_constraints_depend_on_the_server() {
    let whole = exclusion(&["id", "tenant_id"]);
    for server in [15, 16] {
        for only in [false, true] {
            check(&alter(only, whole.clone()), on(server), "shards -- on every shard: the same");
        }
    }
    for server in [17, 18] {
        check(&alter(false, whole.clone()), on(server), "root");
        check(&alter(true, whole.clone()), on(server), "root(recurse) -- ONLY taken away");
    }
    let refused =
        "0A000 exclusion constraint \"orders_excl\" of table \"public.orders\" cannot be kept across shards";
    for server in [15, 17, 18] {
        for columns in [&["id"][..], &["note"], &[]] {
            let statement = alter(true, exclusion(columns));
            check(&statement, on(server), refused);
            check(&statement, Given { server, ..EXTEND }, refused);
            check(&statement, Given { server, ..PER_SHARD }, "shards -- on every shard: holds inside");
        }
    }
}

#[test]
fn foreign_keys_are_valid_at_once_before_18() {
    for server in [15, 16, 17] {
        check(&alter(false, foreign_key(true)), on(server), "root(validate) -- NOT VALID taken away");
        check(&alter(true, foreign_key(true)), on(server), "root(validate, recurse) -- NOT VALID taken away");
    }
    check(&alter(false, foreign_key(true)), on(18), "root");
    check(&alter(true, foreign_key(true)), on(18), "root(recurse) -- ONLY taken away");
}

#[test]
fn each_command_of_a_statement_has_its_decision() {
    let many = |commands| Utility::AlterTable { relation: orders(), only: true, commands };
    check(
        &many(vec![AlterCommand::RowSecurity, AlterCommand::Persistence, AlterCommand::RowSecurity]),
        STRICT,
        "root | shards -- on the shards: they hold the rows | root",
    );
    check(&many(Vec::new()), STRICT, "");
    // One that cannot be made right refuses them all.
    let refused = "0A000 cannot make sharded table \"public.orders\" part of an inheritance tree";
    check(&many(vec![AlterCommand::Owner, AlterCommand::Inherit]), STRICT, refused);
}

#[test]
fn truncate_leaves_out_an_empty_table() {
    let other = (QualifiedName::new("public", "other"), true);
    let left_out = "root(without public.orders) -- left out: all shards are empty";
    let with_shards = "root(recurse into public.orders) -- ONLY taken away: a partitioned table";
    for (only, plain) in [(false, false), (false, true), (true, false), (true, true)] {
        let alone = Utility::Truncate { relations: vec![(orders(), only)], plain };
        let both = Utility::Truncate { relations: vec![other.clone(), (orders(), only)], plain };
        for statement in [&alone, &both] {
            // RESTART IDENTITY and CASCADE do something to an empty table too.
            let empty = if only && plain { left_out } else { with_shards };
            check(statement, EMPTY, if only { empty } else { "root" });
            check(statement, STRICT, if only { with_shards } else { "root" });
        }
    }
}

#[test]
fn tables_are_created_in_shards() {
    let created = "root(partition by hash tenant_id id); create shards -- created in shards";
    let moved = format!("{created}; storage parameters moved to them");
    let no_column =
        "42703 cannot restore table \"public.orders\" as a sharded table: it has no column \"tenant_id\"";
    let no_table = "42809 cannot restore table \"public.orders\" as a sharded table: the dump has it as \
                    a partitioned table";
    let no_parents = "0A000 cannot make sharded table \"public.orders\" part of an inheritance tree";
    for (table, expected) in [
        (table(), created),
        (CreateTable { unlogged: true, ..table() }, &moved),
        (CreateTable { options: texts(&["fillfactor = '70'"]), ..table() }, &moved),
        (CreateTable { access_method: Some("heap".to_owned()), ..table() }, &moved),
        (CreateTable { columns: texts(&["id"]), ..table() }, no_column),
        (CreateTable { columns: Vec::new(), typed: true, ..table() }, created),
        (CreateTable { partitioned: true, ..table() }, no_table),
        (CreateTable { inherits: true, ..table() }, no_parents),
        (CreateTable { inherits: true, columns: Vec::new(), ..table() }, no_parents),
    ] {
        for given in ALL {
            check(&Utility::CreateTable(table.clone()), given, expected);
        }
    }
    let plain = decided(&Utility::CreateTable(table()), STRICT).unwrap();
    assert_eq!(plain[0].note, Some("created in shards"));
}

#[test]
fn nothing_else_of_that_name_is_created() {
    for what in ["a view", "a materialized view", "a foreign table", "the result of a query"] {
        let expected = format!(
            "42809 cannot restore table \"public.orders\" as a sharded table: the dump has it as {what}"
        );
        check(&Utility::CreateOther { relation: orders(), what }, STRICT, &expected);
    }
}

#[test]
fn no_other_table_gets_the_name() {
    let moved = Utility::MoveTable { from: QualifiedName::new("public", "other"), relation: orders() };
    let expected = "55000 cannot give a table the name \"public.orders\": it is armed for sharding";
    check(&moved, STRICT, expected);
    assert_eq!((moved.kind(), moved.relations()), ("ALTER TABLE", vec![&orders()]));
    let moved = Utility::MoveSchema { from: "other".to_owned(), schema: "public".to_owned() };
    check(&moved, STRICT, expected);
    assert!(moved.takes_all_of("public") && !moved.takes_all_of("other") && moved.relations().is_empty());
    assert_eq!(moved.kind(), "ALTER SCHEMA");
}

#[test]
fn row_triggers_have_no_transition_tables() {
    for (row, transition_tables, expected) in [
        (false, false, "root"),
        (true, false, "root"),
        (false, true, "root"),
        (true, true, "0A000 row trigger \"audit\" of table \"public.orders\" uses a transition table"),
    ] {
        let trigger =
            Utility::CreateTrigger { relation: orders(), name: "audit".to_owned(), row, transition_tables };
        check(&trigger, STRICT, expected);
    }
}

#[test]
fn publications_publish_the_root() {
    for (creates, via_root, expected) in [
        (true, true, "root"),
        (false, true, "root"),
        (true, false, "root; publish news via root -- publish_via_partition_root set"),
        (false, false, "publish news via root; root -- publish_via_partition_root set"),
    ] {
        let publication = "news".to_owned();
        let statement = Utility::Publish {
            publication,
            relations: vec![orders()],
            schemas: Vec::new(),
            all: false,
            via_root,
            creates,
        };
        check(&statement, STRICT, expected);
        let kind = if creates { "CREATE PUBLICATION" } else { "ALTER PUBLICATION" };
        assert_eq!(statement.kind(), kind);
    }
}

#[test]
fn indexes_reach_the_shards() {
    let invalid = "root(recurse) -- ONLY taken away: it would leave an invalid index";
    for index in [
        index(false, &["note"]),
        index(false, &[]),
        index(true, &["id", "tenant_id"]),
        CreateIndex { expressions: true, ..index(false, &[]) },
        CreateIndex { expressions: true, ..index(true, &["tenant_id", "id"]) },
    ] {
        for given in ALL {
            check(&Utility::CreateIndex(index.clone()), given, "root");
            check(&Utility::CreateIndex(CreateIndex { only: true, ..index.clone() }), given, invalid);
            let concurrently = CreateIndex { concurrently: true, ..index.clone() };
            let refused = "0A000 cannot create an index concurrently on sharded table \"public.orders\"";
            check(&Utility::CreateIndex(concurrently), given, refused);
        }
    }
}

#[test]
fn unique_indexes_without_the_key_follow_the_policy() {
    for (made, missing) in [
        (index(true, &["tenant_id"]), "id"),
        (index(true, &["note"]), "tenant_id id"),
        (CreateIndex { expressions: true, ..index(true, &["id"]) }, "tenant_id"),
    ] {
        let first = missing.split(' ').next().unwrap();
        for only in [false, true] {
            let statement = Utility::CreateIndex(CreateIndex { only, ..made.clone() });
            let refused = format!(
                "42P17 unique index \"orders_idx\" of table \"public.orders\" does not include shard key \
                 column \"{first}\""
            );
            check(&statement, STRICT, &refused);
            check(&statement, PER_SHARD, "shards -- on every shard: holds inside each shard only");
            let recurse = if only { "recurse, " } else { "" };
            check(&statement, EXTEND, &format!("root({recurse}append {missing}) -- shard key appended"));
        }
    }
}

#[test]
fn copy_is_left_alone() {
    for freeze in [false, true] {
        check(&Utility::CopyFrom { relation: orders(), freeze }, STRICT, "root");
    }
}

/// The hook runs a statement as it came unless a decision has a note, and
/// only notes are reported.
#[test]
fn whatever_is_changed_has_a_note() {
    let commands = [
        unique(true, &["id", "tenant_id"]),
        unique(true, &["id"]),
        exclusion(&["id", "tenant_id"]),
        exclusion(&[]),
        foreign_key(false),
        foreign_key(true),
        AlterCommand::Owner,
        AlterCommand::ClusterOn { index: "i".to_owned() },
        AlterCommand::ReplicaIdentity { index: None },
        AlterCommand::ReplicaIdentity { index: Some("i".to_owned()) },
        AlterCommand::ColumnOptions { column: "note".to_owned() },
        AlterCommand::StorageParameters,
        AlterCommand::Persistence,
        AlterCommand::Tablespace,
        AlterCommand::RowSecurity,
        AlterCommand::Identity,
        AlterCommand::AttachPartition,
        AlterCommand::Other,
    ];
    let mut statements: Vec<Utility> =
        commands.iter().flat_map(|command| [false, true].map(|only| alter(only, command.clone()))).collect();
    for only in [false, true] {
        statements.push(Utility::Truncate { relations: vec![(orders(), only)], plain: true });
        for (unique, columns) in [(false, &["note"][..]), (true, &["note"]), (true, &["id", "tenant_id"])] {
            statements.push(Utility::CreateIndex(CreateIndex { only, ..index(unique, columns) }));
        }
    }
    statements.push(Utility::CreateTable(table()));
    for (statement, given) in statements.iter().flat_map(|statement| ALL.map(|given| (statement, given))) {
        for decision in decided(statement, given).unwrap_or_default() {
            let unchanged = decision.actions == [Action::Root(Vec::new())];
            assert_eq!(decision.note.is_none(), unchanged, "{statement:?} {given:?}: {decision:?}");
        }
    }
}
