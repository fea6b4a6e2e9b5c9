//! Cases of `rephrase`: a statement as a dump writes it, and the statements in
//! its place. The table is `public.orders`, by hash of `tenant_id` and `id`, or
//! by month of `placed_at` and hash of `id`.

use crate::model::layout::Layout;
use crate::model::settings::UniquePolicy;
use crate::model::utility::AlterCommand;
use crate::model::utility::CreateIndex;
use crate::model::utility::CreateTable;
use crate::model::utility::Utility;
use crate::planning::provision::ddl;
use crate::planning::provision::rephrase::of_either;
use crate::planning::provision::rephrase::rephrase;
use crate::planning::provision::rewrite::Armed;
use crate::planning::provision::rewrite::decide;
use crate::planning::provision::rewrite_tests::alter;
use crate::planning::provision::rewrite_tests::exclusion;
use crate::planning::provision::rewrite_tests::foreign_key;
use crate::planning::provision::rewrite_tests::layout;
use crate::planning::provision::rewrite_tests::orders;
use crate::planning::provision::rewrite_tests::table;
use crate::planning::provision::rewrite_tests::texts;
use crate::planning::provision::rewrite_tests::two_levels;
use crate::planning::provision::rewrite_tests::unique;

const STRICT: UniquePolicy = UniquePolicy::Strict;
const EXTEND: UniquePolicy = UniquePolicy::Extend;
const PER_SHARD: UniquePolicy = UniquePolicy::PerShard;

fn written(text: &str, statement: &Utility, layout: &Layout, policy: UniquePolicy) -> Vec<String> {
    let (name, parts) = (orders(), texts(&["only_there"]));
    let armed = Armed { on_shards: &parts, ..Armed::empty(&name, layout, policy, 15) };
    let decisions = decide(statement, &armed).unwrap();
    rephrase(text, statement, &decisions, &armed).unwrap()
}

/// On one level.
fn check(text: &str, statement: &Utility, policy: UniquePolicy, expected: &[&str]) {
    assert_eq!(written(text, statement, &layout(), policy), expected, "{text}");
}

/// On two levels.
fn check_levels(text: &str, statement: &Utility, expected: &[&str]) {
    assert_eq!(written(text, statement, &two_levels(), STRICT), expected, "{text}");
}

fn index(name: &str, is_unique: bool, columns: &[&str]) -> Utility {
    Utility::CreateIndex(CreateIndex {
        relation: orders(),
        name: Some(name.to_owned()),
        unique: is_unique,
        columns: texts(columns),
        expressions: false,
        only: false,
        concurrently: false,
    })
}

#[test]
fn a_table_is_written_with_its_shards() {
    let created = Utility::CreateTable(CreateTable {
        unlogged: true,
        options: texts(&["fillfactor = '70'"]),
        access_method: Some("heap_again".to_owned()),
        ..table()
    });
    check(
        "--\n-- Name: orders; Type: TABLE\n--\n\nCREATE UNLOGGED TABLE public.orders (\n    id int\n)\nWITH (fillfactor='70')",
        &created,
        STRICT,
        &[
            "--\n-- Name: orders; Type: TABLE\n--\n\nCREATE TABLE public.orders (\n    id int\n)\nPARTITION BY HASH (tenant_id, id)",
            "CREATE UNLOGGED TABLE public.orders_s0001 PARTITION OF public.orders FOR VALUES WITH (modulus 2, remainder 0) USING heap_again WITH (fillfactor = '70')",
            "CREATE UNLOGGED TABLE public.orders_s0002 PARTITION OF public.orders FOR VALUES WITH (modulus 2, remainder 1) USING heap_again WITH (fillfactor = '70')",
            &ddl::revoke_grants(&orders(), false),
        ],
    );
}

#[test]
fn a_table_of_two_levels_is_written_with_its_branches() {
    let created = Utility::CreateTable(CreateTable {
        columns: texts(&["id", "placed_at"]),
        options: texts(&["fillfactor = '70'"]),
        ..table()
    });
    let found = written(
        "CREATE TABLE public.orders (id int, placed_at date) TABLESPACE fast",
        &created,
        &two_levels(),
        STRICT,
    );
    assert_eq!(
        found[..3],
        [
            "CREATE TABLE public.orders (id int, placed_at date)\nPARTITION BY RANGE (placed_at) TABLESPACE fast",
            "CREATE TABLE public.orders_b0001 PARTITION OF public.orders FOR VALUES FROM ('2026-01-01') TO ('2026-02-01') PARTITION BY HASH (id)",
            "CREATE TABLE public.orders_s0001 PARTITION OF public.orders_b0001 FOR VALUES WITH (modulus 2, remainder 0) WITH (fillfactor = '70')",
        ]
    );
    assert_eq!(found.len(), 1 + 2 + 4 + 1);
}

#[test]
fn only_is_taken_away() {
    check(
        "ALTER TABLE ONLY public.orders\n    ADD CONSTRAINT orders_key PRIMARY KEY (id, tenant_id)",
        &alter(true, unique(true, &["id", "tenant_id"])),
        STRICT,
        &["ALTER TABLE public.orders\n    ADD CONSTRAINT orders_key PRIMARY KEY (id, tenant_id)"],
    );
}

#[test]
fn what_stays_as_it_is_is_written_as_it_was() {
    for (text, statement) in [
        ("ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY", alter(false, AlterCommand::RowSecurity)),
        ("CREATE INDEX \"ONLY\" ON public.orders USING btree (note)", index("ONLY", false, &["note"])),
    ] {
        check(text, &statement, STRICT, &[text]);
        check_levels(text, &statement, &[text]);
    }
}

#[test]
fn uniqueness_follows_the_policy() {
    check(
        "CREATE UNIQUE INDEX orders_note ON public.orders USING btree (lower(note)) WHERE (note <> ')'::text)",
        &index("orders_note", true, &[]),
        EXTEND,
        &[
            "CREATE UNIQUE INDEX orders_note ON public.orders USING btree (lower(note), tenant_id, id) WHERE (note <> ')'::text)",
        ],
    );
    check(
        "CREATE UNIQUE INDEX orders ON public.orders USING btree (note)",
        &index("orders", true, &["note"]),
        PER_SHARD,
        &[
            "CREATE UNIQUE INDEX orders_s0001 ON public.orders_s0001 USING btree (note)",
            "CREATE UNIQUE INDEX orders_s0002 ON public.orders_s0002 USING btree (note)",
        ],
    );
    check(
        "ALTER TABLE ONLY public.orders\n    ADD CONSTRAINT orders_key UNIQUE (note) DEFERRABLE",
        &alter(true, unique(false, &["note"])),
        PER_SHARD,
        &[
            "ALTER TABLE public.orders_s0001\n    ADD CONSTRAINT orders_key_s0001 UNIQUE (note) DEFERRABLE",
            "ALTER TABLE public.orders_s0002\n    ADD CONSTRAINT orders_key_s0002 UNIQUE (note) DEFERRABLE",
        ],
    );
}

#[test]
fn an_exclusion_that_compares_the_key_is_on_every_shard() {
    let found = written(
        "ALTER TABLE ONLY public.orders ADD CONSTRAINT excluded EXCLUDE USING gist (tenant_id WITH =, id WITH =, d WITH &&)",
        &alter(true, exclusion(&["tenant_id", "id"])),
        &layout(),
        STRICT,
    );
    assert_eq!(found.len(), 2);
    assert!(found[1].starts_with("ALTER TABLE public.orders_s0002 ADD CONSTRAINT"), "{found:?}");
}

#[test]
fn owners_reach_branches_and_shards() {
    check_levels(
        "ALTER TABLE public.orders OWNER TO \"public.orders\"",
        &alter(false, AlterCommand::Owner),
        &[
            "ALTER TABLE public.orders OWNER TO \"public.orders\"",
            "ALTER TABLE public.orders_b0001 OWNER TO \"public.orders\"",
            "ALTER TABLE public.orders_b0002 OWNER TO \"public.orders\"",
            "ALTER TABLE public.orders_s0001 OWNER TO \"public.orders\"",
            "ALTER TABLE public.orders_s0002 OWNER TO \"public.orders\"",
            "ALTER TABLE public.orders_s0003 OWNER TO \"public.orders\"",
            "ALTER TABLE public.orders_s0004 OWNER TO \"public.orders\"",
        ],
    );
}

#[test]
fn parts_are_asked_for_or_named() {
    let found = written(
        "ALTER TABLE public.orders CLUSTER ON i",
        &alter(false, AlterCommand::ClusterOn { index: "i".to_owned() }),
        &two_levels(),
        STRICT,
    );
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("'public.i'::pg_catalog.regclass") && found[0].contains("t.isleaf"),
        "{found:?}"
    );
    check(
        "ALTER TABLE public.orders CLUSTER ON only_there",
        &alter(false, AlterCommand::ClusterOn { index: "only_there".to_owned() }),
        STRICT,
        &[
            "ALTER TABLE public.orders_s0001 CLUSTER ON only_there_s0001",
            "ALTER TABLE public.orders_s0002 CLUSTER ON only_there_s0002",
        ],
    );
    let comment = Utility::OnConstraint { relation: orders(), name: "only_there".to_owned() };
    check(
        "COMMENT ON CONSTRAINT only_there ON public.orders IS 'only_there'",
        &comment,
        STRICT,
        &[
            "COMMENT ON CONSTRAINT only_there_s0001 ON public.orders_s0001 IS 'only_there'",
            "COMMENT ON CONSTRAINT only_there_s0002 ON public.orders_s0002 IS 'only_there'",
        ],
    );
    let on_index = Utility::OnIndex { what: "COMMENT ON INDEX", index: orders().sibling("only_there") };
    check(
        "COMMENT ON INDEX public.only_there IS 'x'",
        &on_index,
        STRICT,
        &[
            "COMMENT ON INDEX public.only_there_s0001 IS 'x'",
            "COMMENT ON INDEX public.only_there_s0002 IS 'x'",
        ],
    );
}

#[test]
fn a_foreign_key_that_is_not_valid_depends_on_the_rows() {
    let found = written(
        "ALTER TABLE ONLY public.orders ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES public.\"NOT VALID\"(id) NOT VALID",
        &alter(true, foreign_key(true)),
        &layout(),
        STRICT,
    );
    assert_eq!(
        found,
        [ddl::block(
            "BEGIN
    ALTER TABLE public.orders ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES public.\"NOT VALID\"(id);
EXCEPTION WHEN foreign_key_violation THEN
    ALTER TABLE public.orders_s0001 ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES public.\"NOT VALID\"(id) NOT VALID;
    ALTER TABLE public.orders_s0002 ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES public.\"NOT VALID\"(id) NOT VALID;
END"
        )]
    );
}

#[test]
fn what_is_said_of_it_goes_where_it_is() {
    let layout = layout();
    let orders = orders();
    let armed = Armed::empty(&orders, &layout, STRICT, 15);
    assert_eq!(
        of_either("COMMENT ON CONSTRAINT f ON public.orders IS 'ONLY public.orders'", &armed),
        ddl::block(
            "BEGIN
    COMMENT ON CONSTRAINT f ON public.orders IS 'ONLY public.orders';
EXCEPTION WHEN undefined_object THEN
    COMMENT ON CONSTRAINT f ON public.orders_s0001 IS 'ONLY public.orders';
    COMMENT ON CONSTRAINT f ON public.orders_s0002 IS 'ONLY public.orders';
END"
        )
    );
}

#[test]
fn publications_are_told_first() {
    let publish = |creates| Utility::Publish {
        publication: "my news".to_owned(),
        relations: vec![orders()],
        schemas: Vec::new(),
        all: false,
        via_root: false,
        creates,
    };
    let set = "ALTER PUBLICATION \"my news\" SET (publish_via_partition_root = true)";
    let add = "ALTER PUBLICATION \"my news\" ADD TABLE ONLY public.orders (id) WHERE ((id > 0))";
    check(add, &publish(false), STRICT, &[set, add]);
    let create = "CREATE PUBLICATION \"my news\" FOR TABLE ONLY public.orders";
    check(create, &publish(true), STRICT, &[create, set]);
}

#[test]
fn several_commands_cannot_be_written() {
    let commands = vec![AlterCommand::Owner, unique(true, &["tenant_id", "id"])];
    let statement = Utility::AlterTable { relation: orders(), only: true, commands };
    let (name, layout) = (orders(), layout());
    let armed = Armed::empty(&name, &layout, STRICT, 15);
    let decisions = decide(&statement, &armed).unwrap();
    assert_eq!(
        rephrase(
            "ALTER TABLE ONLY public.orders OWNER TO x, ADD PRIMARY KEY (tenant_id, id)",
            &statement,
            &decisions,
            &armed
        ),
        None
    );
    // Of which none says anything, they stay as they are.
    let commands = vec![AlterCommand::RowSecurity, AlterCommand::AttachPartition];
    let statement = Utility::AlterTable { relation: orders(), only: false, commands };
    let decisions = decide(&statement, &armed).unwrap();
    assert_eq!(rephrase("x", &statement, &decisions, &armed), Some(vec!["x".to_owned()]));
}
