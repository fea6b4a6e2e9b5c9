//! From text to profile, with a parser of a few statements in place of the
//! server's.

use std::collections::BTreeMap;

use crate::model::dump::Change;
use crate::model::dump::ColumnType;
use crate::model::dump::DefinedColumn;
use crate::model::dump::DefinedConstraint;
use crate::model::dump::DefinedFunction;
use crate::model::dump::DefinedKind;
use crate::model::dump::DefinedTable;
use crate::model::dump::Definition;
use crate::model::dump::PartitionKey;
use crate::model::dump::TypeFacts;
use crate::model::name::QualifiedName;
use crate::model::profile::Constraint;
use crate::model::profile::ConstraintKind;
use crate::model::profile::Index;
use crate::model::profile::ObjectName;
use crate::model::profile::Profile;
use crate::model::profile::TypeName;
use crate::model::profile::UserTypeKind;
use crate::model::profile::View;
use crate::model::signature::Function;
use crate::model::signature::FunctionKind;
use crate::model::signature::Volatility;

use super::build;
use super::build::Origin;
use super::collect::Collector;
use super::collect::Server;
use super::draft::Draft;
use super::row::Row;

/// A server that cannot compare anything.
struct NoServer;

impl Server for NoServer {
    fn rank(&mut self, _: &str, _: &[&[u8]]) -> Option<Vec<u32>> {
        None
    }
    fn text(&mut self, value: &[u8]) -> Option<String> {
        std::str::from_utf8(value).ok().map(str::to_owned)
    }
    fn check(&mut self) {}
}

fn kind(schema: &str, name: &str, text: &str) -> ColumnType {
    let length = match name {
        "int4" | "date" => 4,
        "int8" | "timestamptz" => 8,
        _ => -1,
    };
    let facts = TypeFacts { length, align: if length == 8 { 8 } else { 4 }, orderable: true, hashable: true };
    let name =
        TypeName { schema: schema.to_owned(), name: name.to_owned(), text: text.to_owned(), array: false };
    ColumnType { facts: (schema == "pg_catalog").then_some(facts), name }
}

fn column(name: &str, kind: ColumnType) -> DefinedColumn {
    DefinedColumn {
        name: name.to_owned(),
        kind,
        collation: None,
        not_null: false,
        generated: false,
        identity: false,
    }
}

fn table(name: &str, columns: Vec<DefinedColumn>) -> DefinedTable {
    DefinedTable {
        relation: QualifiedName::new("public", name),
        foreign: false,
        unlogged: false,
        columns,
        constraints: Vec::new(),
        partition_key: None,
        partition_of: None,
        parents: Vec::new(),
        of_type: None,
        fillfactor: None,
    }
}

fn primary_key(of: &str, columns: &[&str]) -> Definition {
    let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
    let name = format!("{of}_pkey");
    let index = Index {
        name: name.clone(),
        method: "btree".to_owned(),
        unique: true,
        columns: columns.iter().cloned().map(Some).collect(),
        partial: false,
        of_constraint: true,
    };
    let constraint = Constraint {
        name,
        kind: ConstraintKind::PrimaryKey,
        columns,
        references: None,
        deferrable: false,
        validated: true,
        equal_columns: None,
    };
    Definition::AlterTable {
        relation: QualifiedName::new("public", of),
        changes: vec![Change::Constraint(DefinedConstraint {
            constraint,
            index: Some(index),
            inheritable: true,
        })],
    }
}

fn rows(
    collector: &mut Collector,
    draft: &Draft,
    of: &str,
    columns: &[&str],
    lines: impl Iterator<Item = String>,
) {
    let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
    collector.begin(draft, &QualifiedName::new("public", of), &columns);
    let mut row = Row::default();
    for line in lines {
        if collector.wants_row() {
            row.clear();
            row.feed_copy(line.as_bytes());
            row.end_copy();
            collector.row(&row);
        }
    }
    collector.end(draft, &mut NoServer);
}

fn profile(draft: &Draft, collector: Collector) -> Profile {
    let collected = collector.finish(draft, &mut NoServer);
    let origin = Origin { captured_at: "2024-01-01T00:00:00Z".to_owned(), ..Origin::default() };
    let profile = build::profile(draft, &collected, origin);
    Profile::from_json(serde_json::json!(profile)).unwrap()
}

#[test]
fn values_travel_only_of_keys() {
    let mut draft = Draft::default();
    let status = kind("public", "status", "public.status");
    draft.apply(Definition::Type {
        name: QualifiedName::new("public", "status"),
        kind: DefinedKind::Enum(vec!["new".to_owned(), "done".to_owned()]),
    });
    draft.apply(Definition::Table(table(
        "t",
        vec![
            column("id", kind("pg_catalog", "int8", "bigint")),
            column("at", kind("pg_catalog", "timestamptz", "timestamp with time zone")),
            column("name", kind("pg_catalog", "text", "text")),
            column("state", status),
        ],
    )));
    let mut collector = Collector::default();
    let line = |n: i32| {
        format!("{n}\t2024-01-01 12:00:{:02}.5+02\tname {n}\t{}", n % 60, ["new", "done"][n as usize % 2])
    };
    rows(&mut collector, &draft, "t", &["id", "at", "name", "state"], (0..1000).map(line));
    draft.apply(primary_key("t", &["id", "name"]));
    let profile = profile(&draft, collector);
    assert_eq!(profile.values_of, ["public.t.id", "public.t.at"]);
    let t = &profile.tables[0];
    assert_eq!(t.rows, 1000.0);
    let statistics = |name: &str| t.column(name).unwrap().statistics.clone().unwrap();
    assert_eq!(statistics("id").distinct, -1.0);
    assert_eq!(statistics("id").histogram.len(), 101);
    assert_eq!(statistics("id").correlation, Some(1.0));
    assert_eq!(statistics("at").common_values[0], "2024-01-01 10:00:00.5+00");
    assert_eq!((statistics("name").common_values.len(), statistics("name").histogram.len()), (0, 0));
    // No key: its fractions travel, its values do not.
    assert_eq!((statistics("state").common_values.len(), statistics("state").common_fractions.len()), (0, 2));
    assert!(t.column("id").unwrap().not_null && !t.column("at").unwrap().not_null);
    assert_eq!(
        profile.types[0].kind,
        UserTypeKind::Enum { labels: vec!["new".to_owned(), "done".to_owned()] }
    );
    assert!(t.index_bytes > 0.0 && t.heap_bytes > 40_000.0);
}

#[test]
fn rows_of_partitions_are_rows_of_their_root() {
    let mut draft = Draft::default();
    let id = || column("id", kind("pg_catalog", "int4", "integer"));
    let text = || column("v", kind("pg_catalog", "text", "text"));
    let mut root = table("root", vec![id(), text()]);
    root.partition_key = Some(PartitionKey { text: "RANGE (id)".to_owned(), columns: vec!["id".to_owned()] });
    draft.apply(Definition::Table(root));
    // The second has its columns in another order.
    for (name, columns) in [("one", vec![id(), text()]), ("two", vec![text(), id()])] {
        draft.apply(Definition::Table(table(name, columns)));
        draft.apply(Definition::AlterTable {
            relation: QualifiedName::new("public", "root"),
            changes: vec![Change::AttachPartition(QualifiedName::new("public", name))],
        });
    }
    let mut collector = Collector::default();
    rows(&mut collector, &draft, "one", &["id", "v"], (0..100).map(|n| format!("{n}\tx")));
    rows(&mut collector, &draft, "two", &[], (100..300).map(|n| format!("x\t{n}")));
    let first = profile(&draft, collector);
    let names: Vec<_> = first.tables.iter().map(|table| table.table.as_str()).collect();
    assert_eq!(names, ["root"]);
    assert_eq!(first.tables[0].rows, 300.0);
    assert_eq!(first.tables[0].columns[0].statistics.as_ref().unwrap().histogram[100], "299");

    // Loaded through the root, in two parts: the same.
    let mut collector = Collector::default();
    rows(&mut collector, &draft, "root", &["id", "v"], (0..100).map(|n| format!("{n}\tx")));
    rows(&mut collector, &draft, "root", &["id", "v"], (100..300).map(|n| format!("{n}\tx")));
    assert_eq!(profile(&draft, collector), first);
}

#[test]
fn what_does_not_fit_is_said() {
    let mut draft = Draft::default();
    draft.apply(Definition::Table(table("t", vec![column("id", kind("pg_catalog", "int4", "integer"))])));
    let mut collector = Collector::default();
    rows(&mut collector, &draft, "t", &["id"], ["1\t2".to_owned(), "3".to_owned()].into_iter());
    rows(&mut collector, &draft, "gone", &["id"], std::iter::once("1".to_owned()));
    let profile = profile(&draft, collector);
    let note = profile.workload.note.unwrap();
    assert!(
        note.contains("left out: public.gone") && note.contains("columns of their table: public.t"),
        "{note}"
    );
    assert_eq!(profile.tables[0].rows, 2.0);
}

#[test]
fn domains_composites_and_cycles_are_followed_to_their_end() {
    let mut draft = Draft::default();
    let name = |name: &str| QualifiedName::new("public", name);
    let of = |name: &str| kind("public", name, &format!("public.{name}"));
    // A dump may claim what it wants.
    for (this, other) in [("a", "b"), ("b", "a")] {
        draft.apply(Definition::Type {
            name: name(this),
            kind: DefinedKind::Domain { base: of(other), not_null: false, collation: None },
        });
    }
    draft.apply(Definition::Type {
        name: name("pair"),
        kind: DefinedKind::Composite(vec![
            column("x", kind("pg_catalog", "int4", "integer")),
            column("y", of("unknown")),
        ]),
    });
    draft.apply(Definition::Type {
        name: name("small"),
        kind: DefinedKind::Domain {
            base: kind("pg_catalog", "int4", "integer"),
            not_null: true,
            collation: None,
        },
    });
    let facts: BTreeMap<_, _> =
        ["a", "pair", "small"].map(|name| (name, draft.facts(&of(name)))).into_iter().collect();
    assert!(!facts["a"].orderable && !facts["pair"].orderable);
    assert!(facts["small"].orderable && facts["small"].length == 4);
    for (parent, child) in [("p", "q"), ("q", "p")] {
        let changes = vec![Change::AttachPartition(name(child))];
        draft.apply(Definition::AlterTable { relation: name(parent), changes });
    }
    for table_name in ["p", "q"] {
        draft.apply(Definition::Table(table(table_name, vec![column("c", of("a"))])));
    }
    let _ = (draft.root(&name("p")), draft.leaves(&name("p")), draft.order(&of("a")));
}

/// The profile of definitions alone, of a server of that version.
fn of(definitions: impl IntoIterator<Item = Definition>, server_version_num: u32) -> Profile {
    let mut draft = Draft::default();
    definitions.into_iter().for_each(|definition| draft.apply(definition));
    let collected = Collector::default().finish(&draft, &mut NoServer);
    let captured_at = "2024-01-01T00:00:00Z".to_owned();
    let profile =
        build::profile(&draft, &collected, Origin { captured_at, server_version_num, ..Origin::default() });
    Profile::from_json(serde_json::json!(profile)).unwrap()
}

fn collation(schema: &str, name: &str) -> ObjectName {
    ObjectName { schema: schema.to_owned(), name: name.to_owned() }
}

fn domain(name: &str, base: ColumnType, collation: Option<ObjectName>) -> Definition {
    let name = QualifiedName::new("public", name);
    Definition::Type { name, kind: DefinedKind::Domain { base, not_null: false, collation } }
}

#[test]
fn a_collation_that_is_the_types_own_is_none() {
    let text = || kind("pg_catalog", "text", "text");
    let of_domain = |name: &str| kind("public", name, &format!("public.{name}"));
    let default = || Some(collation("pg_catalog", "default"));
    let c = || Some(collation("pg_catalog", "C"));
    let cases = [
        (text(), None, None),
        (text(), default(), None),
        (text(), c(), c()),
        (kind("pg_catalog", "name", "name"), c(), None),
        (kind("pg_catalog", "name", "name"), default(), default()),
        (of_domain("plain"), default(), None),
        (of_domain("sorted"), c(), None),
        (of_domain("sorted"), default(), default()),
        (of_domain("deeper"), c(), None),
        (of_domain("deeper"), default(), default()),
        // A dump may claim what it wants.
        (of_domain("cycle"), c(), c()),
    ];
    let columns = cases.iter().enumerate().map(|(at, (kind, written, _))| DefinedColumn {
        collation: written.clone(),
        ..column(&format!("c{at}"), kind.clone())
    });
    let profile = of(
        [
            domain("plain", text(), default()),
            domain("sorted", text(), c()),
            domain("deeper", of_domain("sorted"), None),
            domain("cycle", of_domain("cycle"), None),
            Definition::Table(table("t", columns.collect())),
            Definition::Collation(QualifiedName::new("public", "own")),
            Definition::Collation(QualifiedName::new("pg_catalog", "not theirs")),
        ],
        150_000,
    );
    for (column, (kind, written, wanted)) in profile.tables[0].columns.iter().zip(cases) {
        assert_eq!(column.collation, wanted, "{} {written:?}", kind.name.text);
    }
    let of_types: Vec<_> = profile
        .types
        .iter()
        .map(|found| match &found.kind {
            UserTypeKind::Domain { collation, .. } => (found.name.as_str(), collation.clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(of_types, [("cycle", None), ("deeper", None), ("plain", None), ("sorted", c())]);
    assert_eq!(profile.collations, [collation("public", "own")]);
}

#[test]
fn types_that_nobody_uses_are_there_and_ranges_have_their_multirange() {
    let name = |name: &str| QualifiedName::new("public", name);
    let range = |of: &str, multirange: Option<&str>| Definition::Type {
        name: name(of),
        kind: DefinedKind::Range {
            subtype: kind("public", "level", "public.level"),
            multirange: multirange.map(name),
        },
    };
    let made = || {
        [
            range("my_range", None),
            range("spans", Some("many")),
            Definition::Type { name: name("level"), kind: DefinedKind::Enum(vec!["a".to_owned()]) },
            Definition::Type { name: name("shell"), kind: DefinedKind::Other },
            Definition::Type { name: name("used"), kind: DefinedKind::Other },
            Definition::Type {
                name: QualifiedName::new("presplit", "ours"),
                kind: DefinedKind::Enum(Vec::new()),
            },
            Definition::Table(table(
                "t",
                vec![
                    column("a", kind("public", "many", "public.many")),
                    column("b", kind("public", "used", "public.used")),
                    column("c", kind("public", "my_multirange", "public.my_multirange")),
                ],
            )),
        ]
    };
    for (version, default) in [(130_000, None), (140_000, Some("my_multirange")), (0, Some("my_multirange"))]
    {
        let profile = of(made(), version);
        let names: Vec<_> = profile.types.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(names, ["level", "my_range", "spans", "used"]);
        let multirange = |at: usize| match &profile.types[at].kind {
            UserTypeKind::Range { subtype, multirange } => {
                assert_eq!(subtype.text, "public.level");
                multirange.clone()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(multirange(1), default.map(|name| collation("public", name)));
        assert_eq!(multirange(2), Some(collation("public", "many")));
        assert_eq!(profile.types[3].kind, UserTypeKind::Other);
        let a = &profile.tables[0].columns[0];
        assert!(a.orderable && a.hashable);
    }
}

#[test]
fn a_row_type_is_there_where_a_signature_uses_it() {
    let row = kind("public", "t", "public.t").name;
    let function = Function {
        schema: "public".to_owned(),
        name: "rows".to_owned(),
        kind: FunctionKind::Function,
        arguments: Vec::new(),
        argument_names: Vec::new(),
        defaults: 0,
        variadic: false,
        result: row,
        returns_set: true,
        columns: Vec::new(),
        volatility: Volatility::Volatile,
        strict: false,
    };
    let t = || {
        let columns = vec![column("id", kind("pg_catalog", "int4", "integer"))];
        Definition::Table(table("t", columns))
    };
    assert!(of([t()], 150_000).types.is_empty());
    let function = Definition::Function(DefinedFunction { signature: function, final_function: None });
    let profile = of([function, t()], 150_000);
    assert!(
        matches!(&profile.types[0].kind, UserTypeKind::Composite { attributes } if attributes.len() == 1)
    );
    assert!(profile.functions[0].returns_set);
}

#[test]
fn the_last_word_about_a_view_counts() {
    let view = |security_barrier| {
        Definition::View(View {
            schema: "public".to_owned(),
            view: "v".to_owned(),
            definition: " SELECT 1;".to_owned(),
            security_barrier,
        })
    };
    let change = |barrier| Definition::AlterTable {
        relation: QualifiedName::new("public", "v"),
        changes: vec![Change::SecurityBarrier(barrier)],
    };
    for (definitions, wanted) in [
        (vec![view(false)], false),
        (vec![view(true)], true),
        (vec![view(true), view(false)], false),
        (vec![view(false), change(true)], true),
        (vec![view(true), change(false)], false),
    ] {
        assert_eq!(of(definitions, 150_000).views[0].security_barrier, wanted);
    }
}
