//! Ways that the planner rejected: listed with the reason, never chosen but
//! by a person.

use crate::model::key::Strategy;
use crate::planning::proposal::Disqualification;
use crate::planning::proposal::tests::fixture::*;

const REASON: &str = "A statement of 40 % of the time would plan at three times the cost.";

fn without(strategy: Strategy, key: &str, fixture: Fixture) -> Fixture {
    fixture.with(|fixture| {
        fixture.disqualified.push(Disqualification {
            relation: name("events"),
            strategy,
            shard_key: vec![key.to_owned()],
            reason: REASON.to_owned(),
        });
    })
}

#[test]
fn what_was_disqualified_is_listed_and_not_chosen() {
    let first = events(200.0).propose().unwrap();
    assert_eq!(first.relations[0].strategy, Strategy::Range);
    let fixture = without(Strategy::Range, "ts", events(200.0));
    let second = fixture.propose().unwrap();
    let found = &second.relations[0];
    assert_ne!((found.strategy, shape(found)), (Strategy::Range, shape(&first.relations[0])));
    let listed = found.candidates.iter().find(|one| one.strategy == Strategy::Range).unwrap();
    assert!(listed.legal && listed.rank > 1 && listed.reason.contains(REASON), "{}", listed.reason);
    // A person may take it all the same, and is told.
    let taken = second.choose(&name("events"), listed.rank).unwrap();
    assert_eq!(shape(&taken.relations[0]), shape(&first.relations[0]));
    assert_eq!(taken.relations[0].warnings[0], REASON);
    // What is disqualified of another table or key says nothing of this one.
    let other = without(Strategy::Range, "other", events(200.0));
    assert_eq!(other.propose().unwrap(), first);
}

#[test]
fn a_table_of_which_every_key_was_disqualified_stays_whole() {
    let fixture = without(Strategy::Hash, "tenant", without(Strategy::Range, "ts", events(200.0)));
    let found = check(&fixture, "events", "none");
    let expected =
        format!("220 GB at the horizon: no key that stood the test. The best, range by ts: {REASON}");
    assert_eq!(found.reason, expected);
    let listed = found.candidates.iter().skip(1).filter(|one| one.reason.contains(REASON));
    assert_eq!(listed.count(), 2);
}

#[test]
fn tables_of_a_group_are_given_together() {
    let columns = [("ts", "timestamp with time zone"), ("x", "bigint")];
    let fixture = events(200.0)
        .table(table("b", &columns), 40.0)
        .table(table("f", &columns), 40.0)
        .table(table("small", &columns), 0.1)
        .statement(
            8640.0,
            1e6,
            &[("b", &[range("ts"), join("ts", "app.f(ts)")]), ("f", &[range("ts"), join("ts", "app.b(ts)")])],
        );
    let proposal = fixture.propose().unwrap();
    let together: Vec<Vec<&str>> = proposal
        .sharded_together()
        .into_iter()
        .map(|group| group.into_iter().map(|one| one.relation.name.as_str()).collect())
        .collect();
    assert_eq!(together, [vec!["b", "f"], vec!["events"]]);
}
