//! Small tables that are kept with those that they are written with.

use crate::model::access::Access;
use crate::model::access::AccessKind;
use crate::planning::proposal::RelationProposal;
use crate::planning::proposal::tests::fixture::*;

/// Accounts of which some have a note, both looked up and changed by account.
fn notes() -> Fixture {
    let mut note = table("notes", &[("account", "bigint"), ("number", "bigint"), ("text", "text")])
        .keyed(&["account", "number"]);
    note.constraints.push(foreign_key("notes_account", &["account"], "accounts", &["id"]));
    let change = [equality("account"), equality("number"), Access::of(AccessKind::Update, "text")];
    accounts(400.0).table(note, 0.002).statement(86_400.0, 1e4, &[("notes", &change)])
}

fn told(found: &RelationProposal) -> Vec<&String> {
    found.warnings.iter().filter(|warning| warning.starts_with("It does not follow")).collect()
}

#[test]
fn a_small_table_follows_what_it_is_written_with() {
    let found = check(&notes(), "notes", &shape(&notes().relation("accounts")).replace("id", "account"));
    assert_eq!(found.colocation_group, Some(1));
    assert!(told(&found).is_empty());
}

#[test]
fn a_table_does_not_follow_if_a_hot_statement_of_its_own_pays_for_it() {
    // Names the key, and prunes nothing of a hash.
    let asked = |calls: f64| notes().statement(calls, calls, &[("notes", &[range("account")])]);
    let found = check(&asked(86_400.0), "notes", "none");
    let shards = asked(86_400.0).relation("accounts").layout.unwrap().shards().len();
    assert_eq!(found.colocation_group, None);
    let [told] = told(&found)[..] else { panic!("{:?}", found.warnings) };
    let expected = format!("hash by account in {shards} shards: a statement of ");
    assert!(told.contains(&expected) && told.contains(&format!("would plan {shards} shards")), "{told}");
    // A rare one does not decide.
    let rare = asked(8.0).relation("notes");
    assert_eq!(rare.colocation_group, Some(1), "{}", rare.reason);
}

#[test]
fn whoever_accepts_it_may_have_it_follow() {
    let fixture = notes().statement(86_400.0, 86_400.0, &[("notes", &[range("account")])]);
    let proposal = fixture.propose().unwrap();
    let listed = fixture.relation("notes").candidates;
    let by_hash = listed.iter().find(|one| one.shard_key == ["account"]).unwrap();
    let taken = proposal.choose(&name("notes"), by_hash.rank).unwrap();
    let found = taken.relations.iter().find(|one| one.relation == name("notes")).unwrap();
    assert_eq!(found.layout.as_ref().unwrap().shard_key(), ["account"]);
}
