//! Plans of small and of hostile profiles, as the statements that they are.

use super::*;
use serde_json::json;

fn profile(types: serde_json::Value, tables: serde_json::Value) -> Profile {
    Profile::from_json(json!({
        "format": "pg_presplit profile", "version": 1, "captured_at": "2026-01-02T03:04:05Z",
        "server_version_num": 150020, "database": "d", "types": types, "tables": tables,
        "views": [{"schema": "app", "view": "v", "definition": " SELECT 1; "}],
    }))
    .unwrap()
}

fn table(name: &str, columns: serde_json::Value) -> serde_json::Value {
    json!({"schema": "app", "table": name, "kind": "ordinary", "rows": 0.0, "heap_bytes": 0.0,
           "index_bytes": 0.0, "toast_bytes": 0.0, "columns": columns,
           "constraints": [{"name": "k", "kind": "primary_key", "columns": ["id"]},
                           {"name": "c", "kind": "check", "columns": ["id"]}],
           "indexes": [{"name": "u", "method": "btree", "unique": true, "columns": ["id"]},
                       {"name": "e", "method": "btree", "unique": true, "columns": [null]}]})
}

fn column(name: &str, schema: &str, of: &str, array: bool) -> serde_json::Value {
    json!({"name": name, "type": {"schema": schema, "name": of, "text": "evil() --", "array": array},
           "not_null": name == "id"})
}

fn check(types: serde_json::Value, columns: serde_json::Value, expected: &[&str]) {
    let plan = plan(&profile(types, json!([table("t", columns)])), &Existing::default(), "");
    let failed = plan.failed.iter().map(|(name, reason)| format!("{name}: {reason}"));
    let found: Vec<String> = plan.statements().map(str::to_owned).chain(failed).collect();
    assert_eq!(found, expected);
}

const KEYS: [&str; 2] = [
    "ALTER TABLE presplit_shadow_1.t ADD CONSTRAINT k PRIMARY KEY (id)",
    "CREATE UNIQUE INDEX ON presplit_shadow_1.t (id)",
];

#[test]
fn tables_get_types_and_keys_and_nothing_else() {
    check(
        json!([]),
        json!([column("id", "pg_catalog", "int8", false), column("Tags", "pg_catalog", "text", true)]),
        &[
            "CREATE SCHEMA presplit_shadow_1",
            "CREATE TABLE presplit_shadow_1.t (id pg_catalog.int8 NOT NULL, \"Tags\" pg_catalog.text[])",
            KEYS[0],
            KEYS[1],
        ],
    );
}

#[test]
fn types_are_made_in_the_order_they_need() {
    check(
        json!([
            {"schema": "app", "name": "pair", "kind": "composite", "attributes": [
                {"name": "m", "type": {"schema": "app", "name": "mood", "text": ""}}]},
            {"schema": "app", "name": "mood", "kind": "domain", "not_null": true,
             "base": {"schema": "app", "name": "raw", "text": ""}},
            {"schema": "app", "name": "raw", "kind": "enum", "labels": ["it's", "b"]},
        ]),
        json!([column("id", "app", "mood", false)]),
        &[
            "CREATE SCHEMA presplit_shadow_1",
            "CREATE TYPE presplit_shadow_1.raw AS ENUM ('it''s', 'b')",
            "CREATE DOMAIN presplit_shadow_1.mood AS presplit_shadow_1.raw",
            "CREATE TYPE presplit_shadow_1.pair AS (m presplit_shadow_1.mood)",
            "CREATE TABLE presplit_shadow_1.t (id presplit_shadow_1.mood NOT NULL)",
            KEYS[0],
            KEYS[1],
        ],
    );
}

#[test]
fn a_type_that_is_missing_fails_its_table_alone() {
    check(
        json!([{"schema": "app", "name": "cube", "kind": "other"}]),
        json!([column("id", "app", "cube", false)]),
        &[
            "CREATE SCHEMA presplit_shadow_1",
            "app.cube: type app.cube cannot be rebuilt here",
            "app.t: column \"id\": type app.cube does not exist here",
        ],
    );
}

#[test]
fn what_exists_is_used_and_names_that_are_taken_are_not() {
    let existing = Existing {
        types: BTreeSet::from([("ext".to_owned(), "cube".to_owned())]),
        schemas: BTreeSet::from(["presplit_shadow_x_1".to_owned()]),
        ..Existing::default()
    };
    let tables = json!([table("t", json!([column("id", "ext", "cube", false)]))]);
    let plan = plan(&profile(json!([]), tables), &existing, "x");
    assert_eq!(plan.schemas["app"], "presplit_shadow_x_2");
    assert_eq!(plan.statements().nth(1), Some("CREATE TABLE presplit_shadow_x_2.t (id ext.cube NOT NULL)"));
    assert_eq!(plan.views[0].definition, "SELECT 1");
}

#[test]
fn nothing_of_a_profile_gets_in_unquoted() {
    let columns = json!([column("id", "pg_catalog", "int4); DROP TABLE x; --", false)]);
    check(
        json!([]),
        columns,
        &[
            "CREATE SCHEMA presplit_shadow_1",
            "CREATE TABLE presplit_shadow_1.t (id pg_catalog.\"int4); DROP TABLE x; --\" NOT NULL)",
            KEYS[0],
            KEYS[1],
        ],
    );
}

#[test]
fn row_types_come_with_their_tables() {
    check(
        json!([
            {"schema": "app", "name": "t", "kind": "composite", "attributes": []},
            {"schema": "app", "name": "holder", "kind": "composite", "attributes": [
                {"name": "r", "type": {"schema": "app", "name": "t", "text": ""}}]},
            {"schema": "app", "name": "round", "kind": "composite", "attributes": [
                {"name": "r", "type": {"schema": "app", "name": "round", "text": ""}}]},
        ]),
        json!([column("id", "pg_catalog", "int8", false)]),
        &[
            "CREATE SCHEMA presplit_shadow_1",
            "CREATE TABLE presplit_shadow_1.t (id pg_catalog.int8 NOT NULL)",
            KEYS[0],
            KEYS[1],
            "CREATE TYPE presplit_shadow_1.holder AS (r presplit_shadow_1.t)",
            "app.round: type app.round does not exist here",
        ],
    );
}

#[test]
fn ranges_bring_their_multiranges_and_collations_are_named() {
    let mut id = column("id", "app", "spans", false);
    id["collation"] = json!({"schema": "pg_catalog", "name": "xx-x-icu"});
    check(
        json!([
            {"schema": "app", "name": "span", "kind": "range",
             "subtype": {"schema": "pg_catalog", "name": "float8", "text": ""},
             "multirange": {"schema": "app", "name": "spans"}},
            {"schema": "app", "name": "word", "kind": "domain", "not_null": false,
             "base": {"schema": "pg_catalog", "name": "text", "text": ""},
             "collation": {"schema": "app", "name": "ger\"man"}},
        ]),
        json!([id]),
        &[
            "CREATE SCHEMA presplit_shadow_1",
            "CREATE COLLATION presplit_shadow_1.\"ger\"\"man\" FROM pg_catalog.\"C\"",
            "CREATE COLLATION presplit_shadow_1.\"xx-x-icu\" FROM pg_catalog.\"C\"",
            "CREATE TYPE presplit_shadow_1.span AS RANGE (SUBTYPE = pg_catalog.float8, MULTIRANGE_TYPE_NAME = presplit_shadow_1.spans)",
            "CREATE DOMAIN presplit_shadow_1.word AS pg_catalog.text COLLATE presplit_shadow_1.\"ger\"\"man\"",
            "CREATE TABLE presplit_shadow_1.t (id presplit_shadow_1.spans COLLATE presplit_shadow_1.\"xx-x-icu\" NOT NULL)",
            KEYS[0],
            KEYS[1],
        ],
    );
}

#[test]
fn functions_and_operators_that_a_text_mentions_become_stubs() {
    let int = json!({"schema": "pg_catalog", "name": "int4", "text": "integer"});
    let text = json!({"schema": "pg_catalog", "name": "text", "text": "text"});
    let cube = json!({"schema": "app", "name": "cube", "text": ""});
    let function = |name: &str, more: serde_json::Value| {
        let mut one = json!({"schema": "app", "name": name, "kind": "function", "result": int,
                             "volatility": "immutable"});
        one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        one
    };
    let mut whole = serde_json::to_value(profile(json!([]), json!([]))).unwrap();
    whole["functions"] = json!([
        function("unused", json!({})),
        function(
            "f",
            json!({"arguments": [int, text], "argument_names": ["a", "b c"], "defaults": 1,
                             "strict": true, "returns_set": true,
                             "columns": [{"name": "x", "type": int}, {"name": "", "type": text}],
                             "result": {"schema": "pg_catalog", "name": "record", "text": ""}})
        ),
        function(
            "Odd name",
            json!({"variadic": true,
            "arguments": [{"schema": "pg_catalog", "name": "int4", "text": "", "array": true}]})
        ),
        function("total", json!({"kind": "aggregate", "arguments": [int]})),
        function("count", json!({"kind": "aggregate"})),
        function("needs", json!({"arguments": [cube]})),
    ]);
    let operator = |name: &str| {
        json!({"schema": "app", "name": name, "left": int, "right": text, "result": int,
               "volatility": "stable"})
    };
    whole["operators"] = json!([operator("==="), operator("@@"), operator("-- x"), operator("--")]);
    whole["workload"] = json!({"statements": [{"queryid": 1, "calls": 1.0, "exec_ms": 1.0, "rows": 1.0,
        "query": "select F(1), total(x), app.count(*), needs($1) from t where a===-1 -- x"}]});
    let plan = plan(&Profile::from_json(whole).unwrap(), &Existing::default(), "");
    let failed = plan.failed_functions.iter().map(|(name, reason)| format!("{name}: {reason}"));
    let found: Vec<String> = plan.statements().map(str::to_owned).chain(failed).collect();
    let expected = [
        "CREATE SCHEMA presplit_shadow_1",
        "CREATE FUNCTION presplit_shadow_1.f (a pg_catalog.int4, \"b c\" pg_catalog.text DEFAULT NULL, OUT x pg_catalog.int4, OUT pg_catalog.text) RETURNS SETOF pg_catalog.record LANGUAGE sql VOLATILE STRICT AS 'SELECT NULL'",
        "CREATE FUNCTION presplit_shadow_1.\"Odd name\" (VARIADIC pg_catalog.int4[]) RETURNS pg_catalog.int4 LANGUAGE sql VOLATILE AS 'SELECT NULL'",
        "CREATE FUNCTION presplit_shadow_1.presplit_step_3 (pg_catalog.int4, pg_catalog.int4) RETURNS pg_catalog.int4 LANGUAGE sql AS 'SELECT NULL'",
        "CREATE AGGREGATE presplit_shadow_1.total (pg_catalog.int4) (SFUNC = presplit_shadow_1.presplit_step_3, STYPE = pg_catalog.int4)",
        "CREATE FUNCTION presplit_shadow_1.presplit_step_4 (pg_catalog.int4) RETURNS pg_catalog.int4 LANGUAGE sql AS 'SELECT NULL'",
        "CREATE AGGREGATE presplit_shadow_1.count (*) (SFUNC = presplit_shadow_1.presplit_step_4, STYPE = pg_catalog.int4)",
        "CREATE FUNCTION presplit_shadow_1.presplit_operator_0 (pg_catalog.int4, pg_catalog.text) RETURNS pg_catalog.int4 LANGUAGE sql VOLATILE AS 'SELECT NULL'",
        "CREATE OPERATOR presplit_shadow_1.=== (LEFTARG = pg_catalog.int4, RIGHTARG = pg_catalog.text, FUNCTION = presplit_shadow_1.presplit_operator_0)",
        "app.\"--\": operator name \"--\" is not valid",
        "app.needs: type app.cube does not exist here",
    ];
    assert_eq!(found, expected);
}
