//! What a rule costs that stands in the way of a better key.

use crate::model::access::Access;
use crate::model::access::AccessKind;
use crate::model::access::Analysis;
use crate::model::access::Arbiter;
use crate::model::key::Strategy;
use crate::model::profile::ConstraintKind;
use crate::model::profile::TableKind;
use crate::model::settings::UniquePolicy;
use crate::planning::proposal::CandidateSummary;
use crate::planning::proposal::Price;
use crate::planning::proposal::Weakened;
use crate::planning::proposal::legality::Rules;
use crate::planning::proposal::legality::Verdict;
use crate::planning::proposal::stem::stems;
use crate::planning::proposal::subject::subjects;
use crate::planning::proposal::tests::fixture::*;

/// Events with a primary key that does not contain the time, written with
/// ON CONFLICT on it ten times a second.
fn upserted(columns: &'static [&'static str], constraint: Option<&str>) -> Fixture {
    let fixture = events(200.0).edit("events", |table| *table = table.clone().keyed(&["id"])).statement(
        864_000.0,
        1e6,
        &[("events", &[Access::of(AccessKind::Insert, "id")])],
    );
    fixture.with(|fixture| {
        let last = fixture.workload.statements.last_mut().unwrap();
        let Analysis::Facts(facts) = &mut last.analysis else { panic!("it has facts") };
        facts.arbiters.push(Arbiter {
            relation: name("events"),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            constraint: constraint.map(str::to_owned),
        });
    })
}

fn by_time(fixture: &Fixture) -> CandidateSummary {
    let found = fixture.relation("events");
    found.candidates.into_iter().find(|one| one.strategy == Strategy::Range).unwrap()
}

fn judged(fixture: &Fixture, key: &[&str], strategy: Strategy) -> Verdict {
    let input = fixture.input();
    let stems = stems(input.profile);
    let subjects = subjects(&input, &stems, &|| false).unwrap();
    let subject = subjects.iter().find(|subject| subject.name == name("events")).unwrap();
    let key: Vec<String> = key.iter().map(|column| (*column).to_owned()).collect();
    Rules::of(&input).judge(subject, &key, strategy)
}

#[test]
fn a_price_has_every_part() {
    let fixture = upserted(&["id"], None).with(|fixture| {
        let mut notes = table("notes", &[("event", "bigint")]);
        notes.constraints.push(foreign_key("notes_event", &["event"], "events", &["id"]));
        *fixture = fixture.clone().table(notes, 10.0);
    });
    let found = by_time(&fixture);
    let rows = 220.0 * GB / 100.0;
    assert!(!found.legal);
    assert_eq!(found.price.bytes_per_row, 8.0);
    assert!((found.price.index_bytes_total - 8.0 * rows).abs() < 1.0);
    let weakened = Weakened { name: "events_pkey".to_owned(), columns: vec!["id".to_owned()] };
    assert_eq!(found.price.uniqueness_weakened, [weakened]);
    let widened = &found.price.foreign_keys_to_widen[0];
    assert_eq!((&widened.relation, widened.name.as_str()), (&name("notes"), "notes_event"));
    assert_eq!((&widened.columns[..], widened.bytes_per_row), (&["ts".to_owned()][..], 8.0));
    assert!((widened.bytes_total - 8.0 * 11.0 * GB / 100.0).abs() < 1.0);
    assert_eq!((found.price.on_conflict_statements, found.price.on_conflict_per_second), (1, 10.0));
    assert!(
        found.reason.contains(
            "The price: 8 bytes per row of index (18 GB at the horizon); notes_event of app.notes to widen (901 \
             MB); the uniqueness of events_pkey by its own columns; 1 statement with ON CONFLICT that would \
             fail, 10 calls per second."
        ),
        "{}",
        found.reason
    );
    // The better key and its price are told where the table is proposed.
    let told = fixture.relation("events").warnings.join(" ");
    assert!(told.contains("A better key is not legal") && told.contains("The price: 8 bytes"), "{told}");
    assert!(!told.contains("allows it"), "a foreign key stands against it too: {told}");
    // It survives being stored.
    let stored = serde_json::to_string(&found).unwrap();
    let read: CandidateSummary = serde_json::from_str(&stored).unwrap();
    assert_eq!(read.price, found.price);
}

#[test]
fn a_policy_makes_it_legal_and_a_term_of_the_cost() {
    let policy = |policy| upserted(&["id"], None).with(|fixture| fixture.settings.unique_policy = policy);
    let strict = policy(UniquePolicy::Strict).relation("events").warnings.join(" ");
    assert!(strict.ends_with("presplit.unique_policy = extend or per_shard allows it."), "{strict}");
    let term = |found: &CandidateSummary| {
        found.terms.iter().find(|term| term.name == "widening").expect("the term").value
    };
    let extended = by_time(&policy(UniquePolicy::Extend));
    assert!(extended.legal && term(&extended) > 0.0, "{extended:?}");
    let warned = |expected: &str| extended.warnings.iter().any(|warning| warning.contains(expected));
    assert!(warned("its index grows by 8 bytes per row (18 GB at the horizon)"), "{:?}", extended.warnings);
    assert!(
        warned("1 statement of the workload (10 calls per second) would fail: ON CONFLICT without ts."),
        "{:?}",
        extended.warnings
    );
    let inside = by_time(&policy(UniquePolicy::PerShard));
    assert!(inside.legal && term(&inside) == 0.0);
    assert_eq!((inside.price.bytes_per_row, inside.price.uniqueness_weakened.len()), (0.0, 1));
    let strict = by_time(&policy(UniquePolicy::Strict));
    assert!(!strict.legal && term(&strict) == term(&extended), "priced as if it were widened");
    // A dearer index can make a key not worth it.
    let whole = by_time(&policy(UniquePolicy::Extend).with(|fixture| {
        fixture.constants.upkeep_ms_per_byte = 1e-5;
        fixture.profile.tables[0].columns[1].statistics.as_mut().unwrap().width = 8000.0;
    }));
    assert!(term(&whole) > 100.0 * term(&extended) && whole.cost > extended.cost);
}

#[test]
fn on_conflict_breaks_only_without_the_key() {
    let broken = |fixture: &Fixture| by_time(fixture).price.on_conflict_statements;
    assert_eq!(broken(&upserted(&["id"], None)), 1);
    assert_eq!(broken(&upserted(&["ts", "id"], None)), 0);
    // A constraint keeps its name when it is widened, but not per shard.
    let named = upserted(&["id"], Some("events_pkey"));
    assert_eq!(broken(&named), 0);
    let inside = named.with(|fixture| fixture.settings.unique_policy = UniquePolicy::PerShard);
    assert_eq!(broken(&inside), 1);
    let elsewhere = upserted(&["id"], None).with(|fixture| {
        if let Analysis::Facts(facts) = &mut fixture.workload.statements[2].analysis {
            facts.arbiters[0].relation = name("other");
        }
    });
    assert_eq!(broken(&elsewhere), 0);
}

#[test]
fn a_table_that_carries_the_key_grows_by_nothing() {
    let noted = |columns: &[(&str, &str)], composite: bool| {
        let mut notes = table("notes", columns);
        notes.constraints.push(foreign_key("by_id", &["event"], "events", &["id"]));
        if composite {
            notes.constraints.push(foreign_key("by_both", &["event", "at"], "events", &["id", "ts"]));
        }
        events(200.0).with(|fixture| fixture.profile.tables.push(notes))
    };
    let grown = |fixture: &Fixture| {
        let price = judged(fixture, &["ts"], Strategy::Range).price;
        price.foreign_keys_to_widen.iter().map(|key| key.bytes_per_row).collect::<Vec<_>>()
    };
    assert_eq!(grown(&noted(&[("event", "bigint")], false)), [8.0]);
    // By another foreign key, or by the same name and type.
    assert_eq!(grown(&noted(&[("event", "bigint"), ("at", "timestamp with time zone")], true)), [0.0]);
    let named = noted(&[("event", "bigint"), ("ts", "timestamp with time zone")], false);
    assert_eq!(grown(&named), [0.0]);
    let told = judged(&named, &["ts"], Strategy::Range).obstacles.join(" ");
    assert!(told.contains("it would have to carry the shard key, which app.notes has already."), "{told}");
    assert_eq!(grown(&noted(&[("event", "bigint"), ("ts", "date")], false)), [8.0]);
}

#[test]
fn every_column_of_every_level_counts() {
    let keyed = |columns: &'static [&'static str]| {
        events(200.0).edit("events", |table| *table = table.clone().keyed(columns))
    };
    let legal =
        |fixture: &Fixture, key: &[&str], strategy| judged(fixture, key, strategy).obstacles.is_empty();
    assert!(legal(&keyed(&["tenant", "ts", "id"]), &["ts", "tenant"], Strategy::RangeHash));
    assert!(!legal(&keyed(&["ts", "id"]), &["ts", "tenant"], Strategy::RangeHash));
    assert!(!legal(&keyed(&["tenant", "id"]), &["ts", "tenant"], Strategy::RangeHash));
    let verdict = judged(&keyed(&["id"]), &["ts", "tenant"], Strategy::RangeHash);
    assert!(verdict.obstacles[0].contains("does not contain ts, tenant"), "{:?}", verdict.obstacles);
    assert_eq!(verdict.price.bytes_per_row, 16.0);
}

#[test]
fn a_column_must_be_fit_for_its_strategy() {
    #[track_caller]
    fn refused(fixture: &Fixture, key: &[&str], strategy: Strategy, expected: &str) {
        let found = judged(fixture, key, strategy).obstacles;
        assert!(found.iter().any(|one| one == expected), "{found:?}");
    }
    let plain = events(200.0);
    refused(&plain, &["tenant", "id"], Strategy::List, "A list has one column as its key.");
    refused(&plain, &["gone"], Strategy::Hash, "There is no column gone.");
    let generated = plain.clone().edit("events", |table| table.columns[2].generated = true);
    refused(
        &generated,
        &["tenant"],
        Strategy::Hash,
        "Column tenant is generated, which a shard key cannot be.",
    );
    let json = plain.clone().edit("events", |table| table.columns[2] = column("tenant", "json"));
    for (strategy, class) in
        [(Strategy::Hash, "hash"), (Strategy::Range, "btree"), (Strategy::ListHash, "btree or hash")]
    {
        let expected = format!("Column tenant has type json, which has no default {class} operator class.");
        refused(&json, &["tenant"], strategy, &expected);
    }
    let unordered = plain.edit("events", |table| table.columns[2].orderable = false);
    assert!(judged(&unordered, &["tenant"], Strategy::Hash).obstacles.is_empty());
}

#[test]
fn what_is_no_plain_table_is_refused_as_what_it_is() {
    let refused = |change: &dyn Fn(&mut crate::model::profile::Table), expected: &str| {
        let mut other = table("events", &[("ts", "date")]);
        change(&mut other);
        let fixture = Fixture::new().table(other, 1.0);
        let input = fixture.input();
        let stems = stems(input.profile);
        let subjects = subjects(&input, &stems, &|| false).unwrap();
        let found = Rules::of(&input).judge(&subjects[0], &["ts".to_owned()], Strategy::Range);
        assert_eq!(found.obstacles, [expected]);
    };
    refused(
        &|table| table.kind = TableKind::Foreign,
        "The table is a foreign table: its rows are elsewhere.",
    );
    refused(
        &|table| table.extension = true,
        "The table is of an extension, which would not find it changed.",
    );
    refused(
        &|table| table.inheritance = true,
        "The table is a parent or child by inheritance; a partitioned table cannot be.",
    );
    refused(
        &|table| table.schema = "pg_temp_3".to_owned(),
        "The table is temporary: it ends with its session.",
    );
    refused(
        &|table| table.schema = "information_schema".to_owned(),
        "The table is of the system, in schema information_schema.",
    );
}

#[test]
fn a_primary_key_takes_no_nulls_in() {
    let nullable = |nulls: f64| {
        upserted(&["id"], None).with(|fixture| {
            fixture.settings.unique_policy = UniquePolicy::Extend;
            let column = &mut fixture.profile.tables[0].columns[1];
            column.not_null = false;
            column.statistics.as_mut().unwrap().null_fraction = nulls;
        })
    };
    let without = judged(&nullable(0.0), &["ts"], Strategy::Range);
    assert!(without.obstacles.is_empty());
    let expected = "Column ts becomes NOT NULL as a part of primary key events_pkey.";
    assert!(without.warnings.iter().any(|warning| warning == expected), "{:?}", without.warnings);
    let with = judged(&nullable(0.1), &["ts"], Strategy::Range);
    assert_eq!(
        with.obstacles,
        ["Column ts has NULLs, and as a part of primary key events_pkey it could not."]
    );
}

#[test]
fn an_identity_column_is_of_the_table_alone_before_17() {
    let identity = |version: u32| {
        let fixture = events(200.0).edit("events", |table| table.columns[0].identity = true);
        let fixture = fixture.with(|fixture| fixture.version = version);
        judged(&fixture, &["ts"], Strategy::Range).warnings.concat()
    };
    assert!(identity(160_004).contains("Identity column id gets its values from inserts into the table"));
    assert!(!identity(170_000).contains("Identity"));
}

#[test]
fn nothing_to_pay_is_no_price() {
    assert_eq!(judged(&events(200.0), &["ts"], Strategy::Range).price, Price::default());
    assert_eq!(Price::default().sentence(), None);
    let contained = events(200.0).edit("events", |table| {
        table.constraints.push(constraint("u", ConstraintKind::Unique, &["ts", "id"]));
    });
    assert_eq!(judged(&contained, &["ts"], Strategy::Range).price, Price::default());
}
