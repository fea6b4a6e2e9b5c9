//! Each rule of legality, alone.

use crate::model::key::Strategy;
use crate::model::profile::ConstraintKind;
use crate::model::profile::Table;
use crate::model::profile::TableKind;
use crate::model::profile::Trigger;
use crate::model::settings::UniquePolicy;
use crate::planning::proposal::tests::fixture::*;

/// What ranges by `ts` meet after a change of the table: an obstacle's text,
/// or nothing.
#[track_caller]
fn obstacle(change: impl FnOnce(&mut Fixture), expected: &str) {
    let fixture = events(200.0).with(change);
    let found = fixture.relation("events");
    let by_time = found.candidates.iter().find(|one| one.strategy == Strategy::Range).unwrap();
    assert_eq!(by_time.legal, expected.is_empty(), "{}", by_time.reason);
    assert!(by_time.reason.contains(expected), "{}", by_time.reason);
    assert_eq!(found.strategy == Strategy::Range, by_time.legal);
    if !expected.is_empty() {
        let told = format!("{} {}", found.reason, found.warnings.join(" "));
        assert!(told.contains(expected), "{told}");
        assert!(by_time.cost > 0.0 && by_time.layout.is_some(), "an alternative can still be chosen");
    }
}

fn table_of(fixture: &mut Fixture) -> &mut Table {
    &mut fixture.profile.tables[0]
}

fn unique(kind: ConstraintKind, columns: &'static [&'static str]) -> impl FnOnce(&mut Fixture) {
    move |fixture| table_of(fixture).constraints.push(constraint("u", kind, columns))
}

#[test]
fn unique_sets_contain_the_key() {
    obstacle(|_| {}, "");
    obstacle(
        unique(ConstraintKind::PrimaryKey, &["id"]),
        "Primary key u does not contain ts; widening it costs 8 bytes per row (18 GB at the horizon), and no foreign \
         key points at it.",
    );
    obstacle(unique(ConstraintKind::PrimaryKey, &["id", "ts"]), "");
    obstacle(unique(ConstraintKind::Unique, &["tenant"]), "Unique constraint u does not contain ts");
    obstacle(unique(ConstraintKind::Unique, &["ts", "tenant"]), "");
    let with_index = |unique: bool, columns: &'static [Option<&'static str>]| {
        move |fixture: &mut Fixture| table_of(fixture).indexes.push(index("i", unique, columns))
    };
    obstacle(with_index(true, &[Some("id")]), "Unique index i does not contain ts");
    obstacle(with_index(true, &[None]), "Unique index on expressions i does not contain ts");
    obstacle(with_index(true, &[None, Some("ts")]), "");
    obstacle(with_index(false, &[Some("id")]), "");
    // An index of a constraint is not told twice.
    let keyed = events(200.0).edit("events", |table| *table = table.clone().keyed(&["id"]));
    let found = keyed.relation("events");
    let by_time = found.candidates.iter().find(|one| one.strategy == Strategy::Range).unwrap();
    assert_eq!(by_time.reason.matches("does not contain").count(), 1);
}

#[test]
fn foreign_keys_must_find_their_target() {
    let referenced = |target: &'static [&'static str]| {
        move |fixture: &mut Fixture| {
            let mut other = table("notes", &[("event", "bigint"), ("at", "timestamp with time zone")]);
            other.constraints.push(foreign_key("notes_event", &["event", "at"], "events", target));
            fixture.profile.tables.push(other);
        }
    };
    obstacle(referenced(&["id", "ts"]), "");
    obstacle(
        referenced(&["id"]),
        "Foreign key notes_event of table app.notes references id, which does not contain ts; it would have \
         to carry the shard key, 8 bytes per row of app.notes, 7.5 GB.",
    );
    obstacle(
        |fixture| {
            referenced(&["id"])(fixture);
            unique(ConstraintKind::PrimaryKey, &["id"])(fixture);
        },
        "widening it costs 8 bytes per row (18 GB at the horizon), and 1 foreign key would have to widen too",
    );
}

#[test]
fn a_foreign_key_is_an_obstacle_under_every_policy() {
    obstacle(
        |fixture| {
            fixture.settings.unique_policy = UniquePolicy::Extend;
            let mut other = table("notes", &[("event", "bigint")]);
            other.constraints.push(foreign_key("notes_event", &["event"], "events", &["id"]));
            fixture.profile.tables.push(other);
        },
        "Foreign key notes_event",
    );
}

#[test]
fn a_policy_turns_the_unique_rule_into_a_warning() {
    for (policy, expected) in [
        (
            UniquePolicy::Extend,
            "Shard key ts is appended to primary key u: its own columns alone are no longer unique, ON CONFLICT on \
             them fails, and its index grows by 8 bytes per row (18 GB at the horizon).",
        ),
        (
            UniquePolicy::PerShard,
            "Uniqueness of primary key u is kept only inside each shard, and ON CONFLICT on its columns fails.",
        ),
    ] {
        let fixture = events(200.0).with(unique(ConstraintKind::PrimaryKey, &["id"])).with(|fixture| {
            fixture.settings.unique_policy = policy;
        });
        let found = fixture.relation("events");
        assert_eq!(found.strategy, Strategy::Range, "{policy:?}");
        assert!(found.warnings.iter().any(|warning| warning == expected), "{:?}", found.warnings);
    }
}

#[test]
fn exclusion_constraints_compare_the_key() {
    let excluded = |version: u32,
                    columns: &'static [&'static str],
                    equal: Option<&'static [&'static str]>| {
        move |fixture: &mut Fixture| {
            fixture.version = version;
            unique(ConstraintKind::Exclusion, columns)(fixture);
            let constraints = &mut table_of(fixture).constraints;
            if let (Some(constraint), Some(equal)) = (constraints.last_mut(), equal) {
                constraint.equal_columns = Some(equal.iter().map(|column| (*column).to_owned()).collect());
            }
        }
    };
    for version in [150_000, 170_000] {
        obstacle(excluded(version, &["tenant", "ts"], Some(&["ts"])), "");
        obstacle(excluded(version, &["tenant", "ts"], Some(&["tenant"])), "does not compare ts with =");
        obstacle(
            excluded(version, &["tenant"], Some(&[])),
            "Exclusion constraint u does not compare ts with =",
        );
        // Of older profiles.
        obstacle(excluded(version, &["tenant"], None), "does not compare ts with =");
        obstacle(excluded(version, &["tenant", "ts"], None), "");
    }
    let told = |version, equal| {
        events(200.0).with(excluded(version, &["tenant", "ts"], equal)).relation("events").warnings.concat()
    };
    assert!(told(150_000, Some(&["ts"])).contains("will be one on each shard: the same"));
    assert!(!told(170_000, Some(&["ts"])).contains("Exclusion"));
    assert!(told(170_000, None).contains("must compare ts with ="));
    let weak = events(200.0).with(excluded(150_000, &["tenant"], Some(&["tenant"]))).with(|fixture| {
        fixture.settings.unique_policy = UniquePolicy::PerShard;
    });
    assert!(weak.relation("events").warnings.concat().contains("u is kept only inside each shard"));
}

#[test]
fn keys_without_overlaps_compare_the_shard_key() {
    let temporal = |kind: ConstraintKind, equal: &'static [&'static str], policy: UniquePolicy| {
        move |fixture: &mut Fixture| {
            (fixture.version, fixture.settings.unique_policy) = (180_000, policy);
            unique(kind, &["tenant", "ts"])(fixture);
            let equal = equal.iter().map(|column| (*column).to_owned()).collect();
            table_of(fixture).constraints[0].equal_columns = Some(equal);
        }
    };
    let told = "Primary key u does not compare ts with =.";
    for policy in [UniquePolicy::Strict, UniquePolicy::Extend] {
        obstacle(temporal(ConstraintKind::PrimaryKey, &["tenant"], policy), told);
        obstacle(
            temporal(ConstraintKind::Unique, &["tenant"], policy),
            "Unique constraint u does not compare ts with =.",
        );
        obstacle(temporal(ConstraintKind::PrimaryKey, &["ts"], policy), "");
    }
    let weak = temporal(ConstraintKind::PrimaryKey, &["tenant"], UniquePolicy::PerShard);
    let found = events(200.0).with(weak).relation("events");
    assert!(found.warnings.contains(&"Primary key u is kept only inside each shard.".to_owned()));
    // By hand as well.
    let range = |strategy, bounds: serde_json::Value| {
        let fixture =
            events(200.0).with(temporal(ConstraintKind::PrimaryKey, &["tenant"], UniquePolicy::Strict));
        let (input, key) = (fixture.input(), ["ts".to_owned()]);
        crate::planning::proposal::by_hand(&input, &name("events"), strategy, &key, &bounds)
    };
    let refused = range(Strategy::Hash, serde_json::json!({"modulus": 4})).unwrap_err();
    assert_eq!(crate::model::report::Report::detail(&refused).as_deref(), Some(told));
}

#[test]
fn row_triggers_with_transition_tables_are_an_obstacle() {
    let trigger = |row, transition_tables| {
        move |fixture: &mut Fixture| {
            let name = "t".to_owned();
            table_of(fixture).triggers.push(Trigger { name, row, before: false, transition_tables });
        }
    };
    obstacle(trigger(true, true), "Row trigger t has transition tables");
    obstacle(trigger(false, true), "");
    obstacle(trigger(true, false), "");
}

#[test]
fn what_is_legal_but_weaker_is_a_warning() {
    let warned = |change: &dyn Fn(&mut Fixture), expected: &str| {
        let found = events(200.0).with(change).relation("events");
        assert_eq!(found.strategy, Strategy::Range);
        let told = found.warnings.iter().any(|warning| warning.contains(expected));
        assert!(told, "{expected}: {:?}", found.warnings);
    };
    warned(&|fixture| table_of(fixture).columns[1].not_null = false, "ts may be NULL");
    let not_valid = |fixture: &mut Fixture| {
        let mut key = foreign_key("f", &["tenant"], "tenants", &["id"]);
        key.validated = false;
        table_of(fixture).constraints.push(key);
    };
    warned(&not_valid, "Foreign key f is NOT VALID");
    let newer = events(200.0).with(not_valid).with(|fixture| fixture.version = 180_000).relation("events");
    assert!(!newer.warnings.concat().contains("NOT VALID"));
    warned(
        &|fixture| {
            let name = "b".to_owned();
            table_of(fixture).triggers.push(Trigger {
                name,
                row: true,
                before: true,
                transition_tables: false,
            });
        },
        "Row trigger b must not change the shard key",
    );
}

#[test]
fn some_tables_are_never_sharded() {
    let whole = |change: &dyn Fn(&mut Table), expected: &str| {
        let found = check(&events(200.0).edit("events", change), "events", "none");
        assert_eq!(found.reason, expected);
        assert_eq!(found.candidates.len(), 1);
        assert_eq!(found.candidates[0].reason, expected);
    };
    whole(&|table| table.kind = TableKind::Foreign, "It is a foreign table: its rows are elsewhere.");
    whole(&|table| table.extension = true, "It belongs to an extension, which would not find it changed.");
    whole(
        &|table| table.inheritance = true,
        "It has parents or children by inheritance; a partitioned table cannot.",
    );
}

#[test]
fn a_table_without_a_legal_key_says_which_rule() {
    let found = events(200.0)
        .with(unique(ConstraintKind::Unique, &["id"]))
        .with(|fixture| fixture.workload.statements.truncate(1))
        .relation("events");
    assert_eq!(found.strategy, Strategy::None);
    assert!(
        found.reason.contains("no usable key. The best, range by ts: Unique constraint u"),
        "{}",
        found.reason
    );
}
