//! What is cut already stays so unless a change pays.

use crate::model::key::Strategy;
use crate::planning::proposal::Proposal;
use crate::planning::proposal::tests::fixture::*;

/// The fixture with what it proposes applied.
fn applied(fixture: &Fixture) -> Fixture {
    let proposal = fixture.propose().unwrap();
    let layouts = proposal.relations.into_iter().filter_map(|found| Some((found.relation, found.layout?)));
    fixture.clone().with(|fixture| fixture.applied = layouts.collect())
}

fn json(proposal: &Proposal) -> String {
    serde_json::to_string(proposal).unwrap()
}

#[test]
fn the_same_facts_keep_what_was_applied() {
    for fixture in [events(200.0), accounts(400.0)] {
        let first = fixture.propose().unwrap();
        let again = applied(&fixture);
        let second = again.propose().unwrap();
        assert_eq!(json(&second), json(&again.propose().unwrap()));
        assert_eq!(second.relations[0].layout, first.relations[0].layout);
        let reason = &second.relations[0].reason;
        assert!(reason.starts_with("It is cut so already"), "{reason}");
        assert!(reason.ends_with(&first.relations[0].reason), "{reason}");
        // Applied once more, nothing changes any more.
        assert_eq!(json(&applied(&again).propose().unwrap()), json(&second));
    }
}

#[test]
fn a_small_change_of_facts_keeps_the_layout() {
    let shapes = |fixture: &Fixture| {
        let found = fixture.propose().unwrap();
        (shape(&found.relations[0]), found.relations[0].reason.clone())
    };
    for (before, after) in [(events(150.0), events(180.0)), (accounts(130.0), accounts(145.0))] {
        let kept = after.clone().with(|after| after.applied = applied(&before).applied);
        let (was, found) = (shapes(&before), shapes(&kept));
        assert_eq!(was.0, found.0, "{}", found.1);
        assert!(found.1.starts_with("It is cut so already"), "{}", found.1);
    }
    // Without the applied layout the second would have changed.
    assert_eq!(
        (shapes(&accounts(130.0)).0, shapes(&accounts(145.0)).0),
        ("hash(id) x 16".to_owned(), "hash(id) x 32".to_owned())
    );
}

/// A table of which statements ask by one of two columns; its layout for the
/// first one is applied where they ask by the second.
fn asked_otherwise(gigabytes: f64, per_day: f64) -> Fixture {
    let of = |asked: &str, gigabytes: f64, per_day: f64| {
        let mut table = table("t", &[("a", "bigint"), ("b", "bigint")]);
        table.indexes.push(index("t_a", false, &[Some("a")]));
        table.indexes.push(index("t_b", false, &[Some("b")]));
        Fixture::new().table(table, gigabytes).statement(per_day, 1e6, &[("t", &[equality(asked)])])
    };
    let before = applied(&of("a", 400.0, 86_400.0));
    assert_eq!(before.applied[&name("t")].shard_key(), ["a"]);
    of("b", gigabytes, per_day).with(|fixture| fixture.applied = before.applied)
}

#[test]
fn a_large_change_replaces_the_layout_and_says_what_it_gains() {
    let found = check(&asked_otherwise(400.0, 8.64e8), "t", "hash(b) x 64");
    let reason = &found.reason;
    assert!(reason.starts_with("It is cut now as hash by a in 64 shards: the change saves "), "{reason}");
    assert!(
        reason.contains("of that cost and pays for moving 4294967296 rows within 1.2 hours."),
        "{reason}"
    );
    let before = found.candidates.iter().find(|one| one.shard_key == ["a"]).unwrap();
    assert_eq!(before.shard_count, 64);
}

#[test]
fn a_change_that_does_not_pay_for_the_move_is_not_made() {
    let dear = asked_otherwise(400.0, 8.64e8).with(|fixture| fixture.constants.change_row_ms = 1e6);
    let reason = check(&dear, "t", "hash(a) x 64").reason;
    assert!(reason.starts_with("It is cut so already: hash by b in 64 shards would save "), "{reason}");
    assert!(reason.contains("but pays for moving ") && reason.contains(", not within 30 days."), "{reason}");
    let little = asked_otherwise(400.0, 8.64e8).with(|fixture| fixture.constants.change_gain_min = 1.0);
    let reason = check(&little, "t", "hash(a) x 64").reason;
    assert!(reason.contains(" of the cost, less than 100 %."), "{reason}");
}

#[test]
fn shards_that_are_no_use_any_more_are_given_up() {
    let found = check(&asked_otherwise(0.5, 8.64e7), "t", "none");
    assert!(found.reason.starts_with("It is cut now as hash by a in 64 shards"), "{}", found.reason);
    assert_eq!(found.candidates.iter().filter(|one| one.strategy == Strategy::None).count(), 1);
}
