//! Errors, reasons and confidence.

use crate::model::layout::LayoutError;
use crate::model::name::QualifiedName;
use crate::model::report::Report;
use crate::planning::proposal::Confidence;
use crate::planning::proposal::ProposalError;
use crate::planning::proposal::tests::fixture::*;

#[test]
fn an_unknown_table_is_an_error_with_a_hint() {
    let asked = |wanted: QualifiedName| {
        let error = events(1.0).with(|fixture| fixture.only = Some(wanted)).propose().unwrap_err();
        assert_eq!(error.sqlstate().code(), "42P01");
        (error.to_string(), error.hint().unwrap())
    };
    assert_eq!(
        asked(name("event")),
        (
            "table \"app.event\" does not exist in the profile".to_owned(),
            "Perhaps you meant \"app.events\".".to_owned()
        )
    );
    assert_eq!(asked(QualifiedName::new("public", "events")).1, "Perhaps you meant \"app.events\".");
    assert!(asked(name("warehouse")).1.starts_with("Name a table that the profile has"));
}

#[test]
fn confidence_follows_the_facts() {
    let confidence = |change: &dyn Fn(&mut Fixture)| events(200.0).with(change).relation("events").confidence;
    assert_eq!(confidence(&|_| {}), Confidence::High);
    assert_eq!(confidence(&|fixture| fixture.workload.statements.clear()), Confidence::Low);
    assert_eq!(events(200.0).declared("events", 1000.0).relation("events").confidence, Confidence::Low);
    let few =
        |fixture: &mut Fixture| fixture.workload.statements.iter_mut().for_each(|one| one.calls /= 100.0);
    assert_eq!(confidence(&few), Confidence::Medium);
    let no_time = |fixture: &mut Fixture| {
        fixture.growth.values_mut().for_each(|growth| growth.event_time = None);
    };
    assert_eq!(confidence(&no_time), Confidence::Medium);
    let flat = |fixture: &mut Fixture| {
        fixture.growth.values_mut().for_each(|growth| growth.rows[0].value = growth.rows_now);
    };
    assert_eq!(confidence(&flat), Confidence::Low);
}

#[test]
fn reasons_have_numbers() {
    let found = events(200.0).relation("events");
    assert_eq!(
        found.reason,
        "90 % of execution time filters on ts; weekly ranges read 16 % of the rows; 69 shards of up to 3.7 GB \
         at the horizon. They cost 14 % of the whole table, most of the difference in cpu."
    );
    let found = accounts(400.0).relation("accounts");
    assert!(
        found.reason.starts_with("100 % of execution time filters on id; hash shards read 1.6 % of the rows"),
        "{}",
        found.reason
    );
    let unread = events(200.0).with(|fixture| {
        fixture.workload.statements.truncate(1);
        *fixture = fixture.clone().table(table("other", &[("ts", "date")]), 200.0);
    });
    let found = unread.relation("other");
    assert_eq!(found.warnings[0], "No statement of the workload mentions the table.");
}

#[test]
fn retention_and_hash_do_not_go_together() {
    let kept =
        accounts(400.0).with(|fixture| fixture.settings.retention_policy = "drop after 90 days".to_owned());
    let told = kept.relation("accounts").warnings.concat();
    assert!(told.contains("presplit.data_retention_policy"), "{told}");
}

#[test]
fn a_limit_of_one_shard_is_what_leaves_a_table_whole() {
    let limited = |fixture: Fixture| fixture.with(|fixture| fixture.settings.shards_per_table_max = 1);
    let told = "220 GB at the horizon: presplit.max_shards_per_table is 1, and two shards are the fewest.";
    assert_eq!(check(&limited(events(200.0)), "events", "none").reason, told);
    // A small one would be whole anyway.
    let small = check(&limited(events(0.1)), "events", "none").reason;
    assert!(small.contains("too small"), "{small}");
    // By hand.
    let by_hand = crate::planning::proposal::tests::hand::refused;
    let (one, bounds) = (limited(events(200.0)), serde_json::json!({"modulus": 2}));
    let raised = "would create 2 shards The limit is 1. Raise presplit.max_shards_per_table.";
    by_hand(&one, crate::model::key::Strategy::Hash, &["id"], &bounds, "54000", raised);
}

#[test]
fn every_error_is_written_in_the_same_style() {
    let relation = name("t");
    let strategy = crate::model::key::Strategy::Range;
    let reason = "Such.".to_owned();
    for error in [
        ProposalError::UndefinedTable { relation: relation.clone(), similar: None },
        ProposalError::UndefinedColumn {
            relation: relation.clone(),
            column: "c".to_owned(),
            columns: Vec::new(),
        },
        ProposalError::NotShardable { relation: relation.clone(), reason: reason.clone() },
        ProposalError::Key { relation: relation.clone(), strategy, reason: reason.clone() },
        ProposalError::Illegal { relation, obstacles: vec![reason.clone()] },
        ProposalError::Bounds { strategy, reason },
        ProposalError::Interval("1 moon".to_owned()),
        ProposalError::Value {
            value: "v".to_owned(),
            column: "c".to_owned(),
            type_text: "date".to_owned(),
            said: None,
        },
        ProposalError::Shared { lists: (1, 2), values: (Some("1".to_owned()), Some("1.00".to_owned())) },
        ProposalError::TooMany { count: 9, limit: 8 },
        ProposalError::Interrupted,
        ProposalError::Layout(LayoutError::Empty),
    ] {
        let message = error.to_string();
        assert!(message.starts_with(char::is_lowercase) && !message.ends_with('.'), "{message}");
        assert!(message.len() <= 100 && error.sqlstate().code() != "XX000");
        for sentence in [error.detail(), error.hint()].into_iter().flatten() {
            assert!(sentence.starts_with(char::is_uppercase) && sentence.ends_with('.'), "{sentence}");
        }
    }
}
