//! What `sql/capture_profile.sql` writes is what the model reads.
//!
//! The files in `tests/fixtures` were captured from `hostile_schema.sql` on two
//! servers, by a superuser and (`hidden`) by a role that sees less. Here too:
//! the script keeps the shape that the extension relies on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use pg_presplit::model::name::QualifiedName;
use pg_presplit::model::profile::Column;
use pg_presplit::model::profile::ConstraintKind;
use pg_presplit::model::profile::Profile;
use pg_presplit::model::profile::Table;
use pg_presplit::model::profile::TableKind;
use pg_presplit::model::profile::UserTypeKind;

const FILES: [(u32, &str); 2] =
    [(15, include_str!("fixtures/profile_15.json")), (18, include_str!("fixtures/profile_18.json"))];

const SCRIPT: &str = include_str!("../sql/capture_profile.sql");

fn block(name: &str) -> &'static str {
    let (_, after) = SCRIPT.split_once(&format!("\n-- begin: {name}\n")).unwrap();
    after.split_once(&format!("\n-- end: {name}\n")).unwrap().0
}

fn read(text: &str) -> Profile {
    Profile::from_json(serde_json::from_str(text).unwrap()).unwrap()
}

fn table<'a>(profile: &'a Profile, schema: &str, name: &str) -> &'a Table {
    profile.table(&QualifiedName::new(schema, name)).unwrap()
}

fn column<'a>(table: &'a Table, name: &str) -> &'a Column {
    table.column(name).unwrap()
}

#[test]
fn captured_files_are_read_and_written_back_unchanged() {
    for (version, text) in FILES {
        let profile = read(text);
        assert_eq!(profile.server_version_num / 10_000, version);
        let again = Profile::from_json(serde_json::to_value(&profile).unwrap()).unwrap();
        assert_eq!(profile, again);
    }
}

/// A misspelt field would be ignored by serde and its default taken.
#[test]
fn every_captured_field_is_known_to_the_model() {
    for (version, text) in FILES {
        let captured: serde_json::Value = serde_json::from_str(text).unwrap();
        let known = serde_json::to_value(read(text)).unwrap();
        assert_same_fields(&format!("profile_{version}"), &captured, &known);
    }
}

fn assert_same_fields(at: &str, captured: &serde_json::Value, known: &serde_json::Value) {
    if let (Some(captured), Some(known)) = (captured.as_object(), known.as_object()) {
        for (key, value) in captured {
            let known = known.get(key).unwrap_or_else(|| panic!("{at}.{key} is not in the model"));
            assert_same_fields(&format!("{at}.{key}"), value, known);
        }
        for key in known.keys() {
            assert!(captured.contains_key(key), "{at}.{key} is not captured");
        }
    }
    if let (Some(captured), Some(known)) = (captured.as_array(), known.as_array()) {
        assert_eq!(captured.len(), known.len(), "{at}");
        for (i, (captured, known)) in captured.iter().zip(known).enumerate() {
            assert_same_fields(&format!("{at}[{i}]"), captured, known);
        }
    }
}

#[test]
fn awkward_names_keys_and_indexes_survive() {
    for (_, text) in FILES {
        let profile = read(text);
        let awkward = table(&profile, "We.ird \"S\\chema\"", "ta.b\"l\\e");
        assert!(profile.values_of.contains(&r#""We.ird ""S\chema"""."ta.b""l\e"."Id""#.to_owned()));
        assert!(column(awkward, "Id").identity);
        assert!(column(awkward, "doubled").generated);
        let key = |kind| awkward.constraints.iter().find(|c| c.kind == kind).unwrap();
        assert_eq!(key(ConstraintKind::PrimaryKey).columns, ["Id", "at"]);
        assert_eq!(key(ConstraintKind::Exclusion).columns, ["spans"]);
        assert!(key(ConstraintKind::Unique).deferrable);
        let index = awkward.indexes.iter().find(|index| index.name == "i.1\"\\").unwrap();
        assert_eq!(index.columns, [None, Some("on_day".to_owned()), None], "INCLUDE is no key");
        assert!(awkward.indexes.iter().any(|index| index.partial && !index.of_constraint));

        let child = table(&profile, "public", "child");
        let foreign = child.constraints.iter().find(|c| c.name == "child_to_parent").unwrap();
        assert_eq!(foreign.columns, ["x", "y"]);
        assert_eq!(foreign.references.as_ref().unwrap().columns, ["b", "a"]);
        assert!(child.constraints.iter().any(|c| c.name == "later" && !c.validated));
        assert!(child.triggers.iter().any(|t| !t.row && t.transition_tables));
        assert!(child.triggers.iter().any(|t| t.row && t.before));
    }
}

#[test]
fn comparable_types_are_told_from_others() {
    for (_, text) in FILES {
        let profile = read(text);
        let awkward = table(&profile, "We.ird \"S\\chema\"", "ta.b\"l\\e");
        for name in ["status", "amount", "both_of", "many", "tags", "code", "short", "spans"] {
            let column = column(awkward, name);
            assert!(column.orderable && column.hashable, "{name}");
        }
        for name in ["docs", "doc", "place"] {
            let column = column(awkward, name);
            assert!(!column.orderable && !column.hashable, "{name}");
        }
        let tags = &column(awkward, "tags").type_name;
        assert!(tags.array && tags.name == "varchar" && tags.text == "character varying(20)[]");
        let kinds: Vec<_> = profile.types.iter().map(|t| (t.name.as_str(), &t.kind)).collect();
        assert!(
            kinds.iter().any(|(name, kind)| *name == "positive"
                && matches!(kind, UserTypeKind::Domain { not_null: true, .. }))
        );
        assert!(kinds.iter().any(|(name, kind)| *name == "pair"
            && matches!(kind, UserTypeKind::Composite { attributes } if attributes.len() == 3)));
    }
}

#[test]
fn partitions_are_summed_into_their_root() {
    for (_, text) in FILES {
        let profile = read(text);
        let events = table(&profile, "public", "events");
        assert_eq!(events.kind, TableKind::Partitioned);
        assert!((events.rows - 3000.0).abs() < 1.0 && events.toast_bytes > 0.0);
        assert!((events.counters.inserted - 3000.0).abs() < 1.0);
        assert!(!column(events, "at").statistics.as_ref().unwrap().histogram.is_empty());
        assert!(profile.tables.iter().all(|table| !table.table.starts_with("events_")));
        let remark = table(&profile, "public", "remark");
        let foreign = remark.constraints.iter().filter(|c| c.kind == ConstraintKind::ForeignKey);
        assert_eq!(foreign.count(), 1, "those to the partitions are not the user's");
    }
}

#[test]
fn only_values_of_possible_keys_travel() {
    for (_, text) in FILES {
        let profile = read(text);
        for table in &profile.tables {
            for column in &table.columns {
                let Some(statistics) = &column.statistics else { continue };
                let name = QualifiedName::new(&table.schema, &table.table);
                let travels = profile.values_of.iter().any(|text| {
                    text.starts_with(&format!("{name}."))
                        && text.trim_end_matches('"').ends_with(&column.name.replace('"', "\"\""))
                });
                let values = statistics.common_values.len() + statistics.histogram.len();
                assert_eq!(values > 0, travels, "{name} {}", column.name);
            }
        }
        for secret in ["secret default", "secret body", "person 1", "body body", "123456"] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
}

#[test]
fn search_paths_are_read_by_role() {
    for (_, text) in FILES {
        let paths = read(text).workload.search_paths;
        assert_eq!(paths[""], ["$user", "public", "We.ird \"S\\chema\""]);
        assert_eq!(paths["hostile \"app\" user"], ["other", "We.ird \"S\\chema\""]);
        assert!(paths["hostile_nobody"].is_empty());
    }
}

#[test]
fn a_weak_role_says_what_it_could_not_see() {
    let profile = read(include_str!("fixtures/profile_15_hidden.json"));
    assert!(profile.hidden_statistics_of.contains(&"public.rows_secured".to_owned()));
    assert!(profile.hidden_statistics_of.contains(&"public.events".to_owned()));
    assert!(!profile.hidden_statistics_of.contains(&"public.child".to_owned()));
    assert!(profile.workload.note.unwrap().contains("pg_read_all_stats"));
    let parent = profile.tables.iter().find(|table| table.table == "parent").unwrap();
    assert!(parent.column("a").unwrap().statistics.is_some());
    assert!(parent.column("c").unwrap().statistics.is_none());
}

/// The extension runs the blocks of the script itself, without psql.
#[test]
fn blocks_hold_no_psql_syntax_but_their_variables() {
    for name in ["settings", "statements_source", "profile"] {
        // Casts, and what stands in quotes, where psql substitutes nothing.
        let text = block(name).replace("::", "").replace("(?:", "").replace("HH24:MI:SS", "");
        assert!(text.lines().all(|line| !line.trim_start().starts_with('\\')), "{name}");
        let variables: Vec<_> = text
            .match_indices(':')
            .map(|(at, _)| &text[at..])
            .filter(|rest| rest[1..].starts_with(|c: char| c.is_alphabetic() || "'\"{".contains(c)))
            .collect();
        let expected: &[&str] = match name {
            "profile" => &[":'values'", ":'relations'", ":statements_source", ":history_source"],
            _ => &[],
        };
        assert_eq!(variables.len(), expected.len(), "{name}");
        assert!(variables.iter().zip(expected).all(|(found, word)| found.starts_with(word)));
    }
    assert!(block("settings").lines().all(|line| line.starts_with("SET LOCAL ")));
}

#[test]
fn the_example_of_the_documentation_is_a_profile() {
    let page = include_str!("../docs/profile.md");
    let (_, example) = page.split_once("```json\n").unwrap();
    let profile = read(example.split_once("```").unwrap().0);
    assert_eq!(profile.tables.len(), 1);
}
