//! Tables made anew, and tables from a profile: the statements, as a person
//! would read them.

use serde_json::json;

use crate::model::bound::Bound;
use crate::model::key::KeyType;
use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::layout::Shard;
use crate::model::name::QualifiedName;
use crate::model::profile::Table;
use crate::model::settings::UniquePolicy;
use crate::model::utility::AlterCommand;
use crate::model::utility::CreateIndex;
use crate::model::utility::Utility;
use crate::planning::provision::blank;
use crate::planning::provision::rebuild;
use crate::planning::provision::rebuild::Anatomy;
use crate::planning::provision::rewrite::Armed;

fn layout() -> Layout {
    let shard = |remainder: u32| Shard {
        name: format!("t_s{:04}", remainder + 1),
        bound: Bound::Hash { modulus: 2, remainder },
        rows: 0.0,
        bytes: 0.0,
        tablespace: None,
        future: false,
        of: None,
    };
    Layout::new(Strategy::Hash, vec!["k".to_owned()], vec![KeyType::Integer], vec![shard(0), shard(1)])
        .unwrap()
}

fn armed<'a>(relation: &'a QualifiedName, layout: &'a Layout, unique_policy: UniquePolicy) -> Armed<'a> {
    Armed { relation, layout, unique_policy, server: 15, empty: true, on_shards: &[], violated: false }
}

/// A table with one of everything.
fn anatomy() -> Anatomy {
    serde_json::from_value(json!({
        "owner": "App", "unlogged": false, "options": ["fillfactor = '70'"], "access_method": null, "obstacles": [],
        "definitions": [
            {"name": "t_pkey", "text": "ALTER TABLE app.t ADD CONSTRAINT t_pkey PRIMARY KEY (id)",
             "then": ["COMMENT ON CONSTRAINT t_pkey ON app.t IS 'the key'"]},
            {"name": "t_note", "text": "CREATE INDEX t_note ON app.t USING btree (note)"},
            {"name": "t_fkey", "text": "ALTER TABLE app.t ADD CONSTRAINT t_fkey FOREIGN KEY (a) REFERENCES app.a(id) NOT VALID"},
            {"name": "fires", "text": "CREATE RULE fires AS ON DELETE TO app.t DO INSTEAD NOTHING"}
        ],
        "references": [{"table": "app.u", "name": "u_fkey",
                        "statements": ["ALTER TABLE app.u ADD CONSTRAINT u_fkey FOREIGN KEY (t) REFERENCES app.t(id)"]}],
        "afterwards": ["GRANT SELECT ON TABLE app.t TO PUBLIC"],
        "sequences": [["app.t_id_seq", "id"]],
        "identities": ["ALTER TABLE app.t ALTER COLUMN n ADD GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME app.t_n_seq)"],
        "clustered": "t_pkey", "replica_identity": null, "identified_by": "t_pkey"
    }))
    .unwrap()
}

/// The definitions as the grammar reads them.
fn read() -> Vec<Option<Utility>> {
    let relation = QualifiedName::new("app", "t");
    let alter =
        |command| Utility::AlterTable { relation: relation.clone(), only: false, commands: vec![command] };
    vec![
        Some(alter(AlterCommand::AddUnique {
            name: Some("t_pkey".to_owned()),
            primary: true,
            columns: vec!["id".to_owned()],
            using_index: false,
            temporal: false,
        })),
        Some(Utility::CreateIndex(CreateIndex {
            relation: relation.clone(),
            name: Some("t_note".to_owned()),
            unique: false,
            columns: vec!["note".to_owned()],
            expressions: false,
            only: false,
            concurrently: false,
        })),
        Some(alter(AlterCommand::AddForeignKey {
            name: Some("t_fkey".to_owned()),
            references: QualifiedName::new("app", "a"),
            columns: Vec::new(),
            full: false,
            referenced_columns: vec!["id".to_owned()],
            not_valid: true,
        })),
        None,
    ]
}

fn statements(policy: UniquePolicy) -> Result<Vec<String>, String> {
    let (relation, layout) = (QualifiedName::new("app", "t"), layout());
    let armed = armed(&relation, &layout, policy);
    rebuild::statements(&armed, &anatomy(), &read()).map_err(|refusal| refusal.to_string())
}

#[test]
fn a_table_is_made_anew_in_order() {
    let all = statements(UniquePolicy::Extend).unwrap();
    let starts: Vec<String> =
        all.iter().map(|text| text.split_whitespace().take(4).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        starts,
        [
            "CREATE TABLE app.t_presplit_new (LIKE",
            "ALTER TABLE app.t_presplit_new OWNER",
            "DO $do$ BEGIN LOCK",
            "ALTER TABLE app.t ALTER",
            "CREATE TABLE app.t_s0001 PARTITION",
            "CREATE TABLE app.t_s0002 PARTITION",
            "ALTER TABLE app.t ADD",
            "COMMENT ON CONSTRAINT t_pkey",
            "CREATE INDEX t_note ON",
            "ALTER TABLE app.t ADD",
            "CREATE RULE fires AS",
            "ALTER TABLE app.t_s0001 OWNER",
            "ALTER TABLE app.t_s0002 OWNER",
            "DO $do$ DECLARE granted",
            "GRANT SELECT ON TABLE",
            "ALTER TABLE app.u ADD",
            "DO $do$ DECLARE part",
            "ALTER TABLE app.t REPLICA",
            "DO $do$ DECLARE part",
        ]
    );
    assert_eq!(all[6], "ALTER TABLE app.t ADD CONSTRAINT t_pkey PRIMARY KEY (id, k)");
    assert!(all[9].ends_with("REFERENCES app.a(id)"), "a partitioned table takes no NOT VALID: {}", all[9]);
    assert!(all[11].ends_with("OWNER TO \"App\""));
    assert!(all[4].ends_with("WITH (fillfactor = '70')"));
    // Emptiness is looked at in the statement that drops.
    let replace = &all[2];
    let order = [
        "LOCK TABLE",
        "ALTER TABLE app.t ADD CHECK (false)",
        "WHEN check_violation THEN",
        "OWNED BY app.t_presplit_new.id",
        "DROP CONSTRAINT u_fkey",
        "DROP TABLE app.t;",
        "RENAME TO t;",
    ];
    let places: Vec<usize> = order.iter().map(|part| replace.find(part).unwrap()).collect();
    assert!(places.windows(2).all(|two| two[0] < two[1]), "{replace}");
}

#[test]
fn uniqueness_follows_the_policy() {
    let refused = "primary key \"t_pkey\" of table \"app.t\" does not include shard key column \"k\"";
    assert_eq!(statements(UniquePolicy::Strict), Err(refused.to_owned()));
    let all = statements(UniquePolicy::PerShard).unwrap();
    let with = |part: &str| all.iter().filter(|text| text.contains(part)).cloned().collect::<Vec<_>>();
    assert_eq!(
        with("PRIMARY KEY"),
        [
            "ALTER TABLE app.t_s0001 ADD CONSTRAINT t_pkey_s0001 PRIMARY KEY (id)",
            "ALTER TABLE app.t_s0002 ADD CONSTRAINT t_pkey_s0002 PRIMARY KEY (id)"
        ]
    );
    assert!(with("COMMENT ON CONSTRAINT").is_empty(), "the table has no such constraint");
    assert_eq!(
        with("CLUSTER ON"),
        [
            "ALTER TABLE app.t_s0001 CLUSTER ON t_pkey_s0001",
            "ALTER TABLE app.t_s0002 CLUSTER ON t_pkey_s0002"
        ]
    );
    assert_eq!(
        with("REPLICA IDENTITY"),
        [
            "ALTER TABLE app.t_s0001 REPLICA IDENTITY USING INDEX t_pkey_s0001",
            "ALTER TABLE app.t_s0002 REPLICA IDENTITY USING INDEX t_pkey_s0002"
        ]
    );
}

#[test]
fn what_would_be_lost_stops_a_script() {
    let root = QualifiedName::new("app", "it's");
    let guard = rebuild::guard(&root, &["view app.v".to_owned()]);
    assert!(guard.contains("RAISE EXCEPTION USING ERRCODE = '0A000'") && guard.contains("view app.v"));
    let guard = rebuild::guard(&root, &[]);
    assert!(guard.contains("ALTER TABLE app.\"it's\" ADD CHECK (false)"), "{guard}");
    assert!(guard.contains("MESSAGE = 'table \"app.it''s\" has rows'"), "{guard}");
}

fn profile_table() -> Table {
    let column = |name: &str, schema: &str, kind: &str, text: &str| json!({"name": name, "type": {"schema": schema, "name": kind, "text": text}, "not_null": name == "id"});
    serde_json::from_value(json!({
        "schema": "app", "table": "t", "kind": "ordinary", "rows": 0.0, "heap_bytes": 0.0, "index_bytes": 0.0,
        "toast_bytes": 0.0,
        "columns": [
            column("id", "pg_catalog", "int8", "bigint"),
            column("k", "pg_catalog", "numeric", "numeric(10,2)"),
            column("at", "pg_catalog", "timestamptz", "timestamp(3) with time zone"),
            column("Mood", "app", "mood; --", "int); DROP TABLE x; --"),
            column("evil", "pg_catalog", "varchar", "character varying(1); DROP TABLE x; --)"),
            column("old", "pg_catalog", "int4", "integer default evil()"),
        ],
        "constraints": [
            {"name": "t_pkey", "kind": "primary_key", "columns": ["id"]},
            {"name": "t_fkey", "kind": "foreign_key", "columns": ["k"],
             "references": {"schema": "app", "table": "a", "columns": ["id"]}},
            {"name": "excl\n; DROP TABLE x", "kind": "exclusion", "columns": ["at"]}
        ],
        "indexes": [
            {"name": "t_pkey", "method": "btree", "unique": true, "columns": ["id"], "of_constraint": true},
            {"name": "t_at", "method": "btree", "unique": false, "columns": ["at", "k"]},
            {"name": "t_lower", "method": "btree", "unique": false, "columns": [null]},
            {"name": "t_trigrams", "method": "gin", "unique": false, "columns": ["evil"]},
            {"name": "t_moods", "method": "brin", "unique": false, "columns": ["Mood"]},
            {"name": "t_at_brin", "method": "brin", "unique": false, "columns": ["at"]}
        ]
    }))
    .unwrap()
}

#[test]
fn periods_are_written_down_as_such() {
    let mut table = profile_table();
    let mut temporal = table.constraints[0].clone();
    temporal.columns = vec!["k".to_owned(), "at".to_owned()];
    temporal.equal_columns = Some(vec!["k".to_owned()]);
    table.constraints[0] = temporal;
    let key = &mut table.constraints[1];
    key.columns = vec!["k".to_owned(), "at".to_owned()];
    key.equal_columns = Some(vec!["k".to_owned()]);
    key.references.as_mut().unwrap().columns = vec!["id".to_owned(), "valid".to_owned()];
    let (relation, layout) = (QualifiedName::new("app", "t"), layout());
    let armed = Armed { server: 18, ..armed(&relation, &layout, UniquePolicy::Strict) };
    let blank = blank::statements(&table, &armed).unwrap();
    let key = "ALTER TABLE app.t ADD CONSTRAINT t_pkey PRIMARY KEY (k, at WITHOUT OVERLAPS)";
    assert_eq!(blank.statements[3], key);
    let reference = "ALTER TABLE app.t ADD CONSTRAINT t_fkey FOREIGN KEY (k, PERIOD at) REFERENCES app.a (id, PERIOD valid)";
    assert_eq!(blank.references[0].1, reference);
}

#[test]
fn a_table_of_a_profile_is_written_down() {
    let (relation, layout) = (QualifiedName::new("app", "t"), layout());
    let blank =
        blank::statements(&profile_table(), &armed(&relation, &layout, UniquePolicy::Extend)).unwrap();
    assert_eq!(
        blank.statements[0],
        "-- From a profile, without: owner, grants, comments, defaults and check constraints, which a profile does \
         not have; constraints \"excl ; DROP TABLE x\"; indexes t_lower, t_trigrams, t_moods.\n\
         CREATE TABLE app.t (\n    id bigint NOT NULL,\n    k numeric(10,2),\n    at timestamp(3) with time zone,\n    \
         \"Mood\" app.\"mood; --\",\n    evil pg_catalog.\"varchar\"(1),\n    old pg_catalog.int4\n) PARTITION BY HASH (k)"
    );
    assert_eq!(
        blank.statements[3..6],
        [
            "ALTER TABLE app.t ADD CONSTRAINT t_pkey PRIMARY KEY (id, k)",
            "CREATE INDEX t_at ON app.t USING btree (at, k)",
            // Others need an operator class that no profile tells.
            "CREATE INDEX t_at_brin ON app.t USING brin (at)"
        ]
    );
    let reference = "ALTER TABLE app.t ADD CONSTRAINT t_fkey FOREIGN KEY (k) REFERENCES app.a (id)";
    assert_eq!(blank.references, [(QualifiedName::new("app", "a"), reference.to_owned())]);
    let blank =
        blank::statements(&profile_table(), &armed(&relation, &layout, UniquePolicy::PerShard)).unwrap();
    assert_eq!(blank.statements[3], "ALTER TABLE app.t_s0001 ADD CONSTRAINT t_pkey_s0001 PRIMARY KEY (id)");
    assert!(blank::statements(&profile_table(), &armed(&relation, &layout, UniquePolicy::Strict)).is_err());
}
