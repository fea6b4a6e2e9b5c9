//! Cases of `rewrite` about what a partitioned table itself cannot have: what
//! only its shards have, and what has to reach them in another way; and of what
//! keeps a table armed.

use crate::model::key::KeyType;
use crate::model::name::QualifiedName;
use crate::model::settings::UniquePolicy;
use crate::model::utility::AlterCommand;
use crate::model::utility::CreateTable;
use crate::model::utility::Utility;
use crate::planning::provision::rewrite::Armed;
use crate::planning::provision::rewrite::decide;
use crate::planning::provision::rewrite_tests::ALL;
use crate::planning::provision::rewrite_tests::EXTEND;
use crate::planning::provision::rewrite_tests::Given;
use crate::planning::provision::rewrite_tests::PER_SHARD;
use crate::planning::provision::rewrite_tests::STRICT;
use crate::planning::provision::rewrite_tests::alter;
use crate::planning::provision::rewrite_tests::check;
use crate::planning::provision::rewrite_tests::foreign_key;
use crate::planning::provision::rewrite_tests::on;
use crate::planning::provision::rewrite_tests::orders;
use crate::planning::provision::rewrite_tests::table;
use crate::planning::provision::rewrite_tests::texts;
use crate::planning::provision::rewrite_tests::two_levels;

const PARTS: Given = Given { part: Some("excluded"), ..STRICT };
const VIOLATED: Given = Given { violated: true, ..STRICT };

fn comment(name: &str) -> Utility {
    Utility::OnConstraint { relation: orders(), name: name.to_owned() }
}

fn on_index(what: &'static str, name: &str) -> Utility {
    Utility::OnIndex { what, index: orders().sibling(name) }
}

#[test]
fn what_only_the_shards_have_is_looked_for_there() {
    let parts = "parts excluded -- on every shard: the table itself does not have it";
    for statement in [
        comment("excluded"),
        on_index("COMMENT ON INDEX", "excluded"),
        on_index("ALTER INDEX", "excluded"),
        on_index("DROP INDEX", "excluded"),
        alter(true, AlterCommand::Constraint { name: "excluded".to_owned() }),
        alter(false, AlterCommand::Constraint { name: "excluded".to_owned() }),
    ] {
        check(&statement, PARTS, parts);
        assert_eq!(statement.parts(), ["excluded"]);
    }
    for statement in [comment("other"), on_index("DROP INDEX", "other")] {
        check(&statement, PARTS, "root");
        check(&statement, STRICT, "root");
    }
    let dropped = AlterCommand::Constraint { name: "other".to_owned() };
    check(&alter(true, dropped.clone()), PARTS, "root(recurse) -- ONLY taken away: it has to reach");
    check(&alter(false, dropped), PARTS, "root");
}

#[test]
fn an_index_of_the_shards_identifies_and_clusters_them() {
    let index = "excluded".to_owned();
    check(
        &alter(true, AlterCommand::ReplicaIdentity { index: Some(index.clone()) }),
        PARTS,
        "identify partitions by excluded -- on the shards: the table itself does not have the index",
    );
    check(
        &alter(false, AlterCommand::ClusterOn { index }),
        PARTS,
        "cluster shards on excluded -- on the shards: a partitioned table cannot be clustered",
    );
}

#[test]
fn indexes_are_of_no_table_as_written() {
    let drop = on_index("DROP INDEX", "orders_idx");
    assert_eq!((drop.kind(), drop.relations()), ("DROP INDEX", Vec::new()));
    assert_eq!(comment("c").kind(), "COMMENT ON CONSTRAINT");
    assert_eq!(comment("c").relations(), [&orders()]);
}

#[test]
fn a_violated_foreign_key_stays_as_it_is_on_the_shards() {
    check(&alter(true, foreign_key(true)), VIOLATED, "shards -- on every shard: rows violate it");
    check(&alter(true, foreign_key(true)), STRICT, "root(validate, recurse) -- NOT VALID taken away");
    // From 18 on a partitioned table may have it; and one that is to be valid is never looked at.
    for given in [Given { server: 18, ..VIOLATED }, on(18)] {
        check(&alter(true, foreign_key(true)), given, "root(recurse) -- ONLY taken away");
    }
    check(&alter(true, foreign_key(false)), VIOLATED, "root(recurse) -- ONLY taken away");
}

#[test]
fn constraints_that_are_not_for_children_reach_the_shards() {
    for given in ALL {
        check(&alter(false, AlterCommand::AddNoInherit), given, "root(inherit) -- NO INHERIT taken away");
        check(&alter(true, AlterCommand::AddNoInherit), given, "root(inherit, recurse) -- NO INHERIT");
        let create = Utility::CreateTable(CreateTable { no_inherit: true, ..table() });
        check(
            &create,
            given,
            "root(partition by hash tenant_id id, inherit); create shards -- created in shards; NO INHERIT",
        );
    }
}

#[test]
fn compression_does_not_recurse_by_itself() {
    for only in [false, true] {
        check(
            &alter(only, AlterCommand::Compression),
            STRICT,
            "root; partitions -- on the shards too: it does not reach them",
        );
    }
}

#[test]
fn a_sharded_table_has_no_children() {
    let child = CreateTable {
        relation: QualifiedName::new("public", "late_orders"),
        inherits: true,
        parents: vec![QualifiedName::new("public", "others"), orders()],
        ..table()
    };
    let child = Utility::CreateTable(child);
    assert!(child.relations().contains(&&orders()));
    check(
        &child,
        STRICT,
        "0A000 cannot make table \"public.late_orders\" a child of sharded table \"public.orders\"",
    );
}

#[test]
fn publications_take_whole_schemas_along() {
    let publish = |schemas: &[&str], all| Utility::Publish {
        publication: "news".to_owned(),
        relations: Vec::new(),
        schemas: schemas.iter().map(|schema| (*schema).to_owned()).collect(),
        all,
        via_root: false,
        creates: true,
    };
    assert!(publish(&[], true).takes_all_of("public"));
    assert!(publish(&["app", "public"], false).takes_all_of("public"));
    assert!(!publish(&["app"], false).takes_all_of("public"));
    assert!(!comment("c").takes_all_of("public"));
    check(&publish(&["public"], false), STRICT, "root; publish news via root -- publish_via_partition_root");
}

#[test]
fn a_key_is_not_computed() {
    let create = CreateTable { generated: vec!["note".to_owned()], ..table() };
    check(
        &Utility::CreateTable(create),
        STRICT,
        "root(partition by hash tenant_id id); create shards -- created in shards",
    );
    let create = CreateTable { generated: vec!["id".to_owned()], ..table() };
    check(
        &Utility::CreateTable(create),
        STRICT,
        "42P17 cannot restore table \"public.orders\" as a sharded table: its column \"id\" is generated",
    );
}

#[test]
fn bounds_are_for_one_type_and_a_hash_takes_any() {
    let created = |column: &str, kind| {
        Utility::CreateTable(CreateTable {
            columns: vec!["id".to_owned(), "placed_at".to_owned(), "tenant_id".to_owned()],
            built_in: vec![(column.to_owned(), kind)],
            ..table()
        })
    };
    // By range of a date, then by hash of an id.
    let (name, layout) = (orders(), two_levels());
    let armed = Armed::empty(&name, &layout, UniquePolicy::Strict, 15);
    for (column, kind, refused) in [
        ("placed_at", KeyType::Date, false),
        ("placed_at", KeyType::TimestampTz, false),
        ("placed_at", KeyType::Text, true),
        ("placed_at", KeyType::Integer, true),
        ("placed_at", KeyType::Other, true),
        ("id", KeyType::Text, false),
        ("note", KeyType::Text, false),
    ] {
        assert_eq!(decide(&created(column, kind), &armed).is_err(), refused, "{column} {kind:?}");
    }
    check(
        &created("tenant_id", KeyType::Uuid),
        STRICT,
        "root(partition by hash tenant_id id); create shards -- created in shards",
    );
    // A domain or an enum is what its base says, which a dump's text alone does not tell.
    for other in [KeyType::Integer, KeyType::Text, KeyType::Uuid] {
        assert!(KeyType::Other.bounds_fit(other));
        assert!(
            other.bounds_fit(other) && !KeyType::Date.bounds_fit(other) && !other.bounds_fit(KeyType::Date)
        );
    }
    assert!(KeyType::Integer.bounds_fit(KeyType::Numeric) && !KeyType::Numeric.bounds_fit(KeyType::Integer));
}

#[test]
fn types_are_known_by_the_parsers_names() {
    for (internal, written) in [
        ("int8", "bigint"),
        ("timestamptz", "timestamp with time zone"),
        ("bpchar", "character"),
        ("uuid", "uuid"),
        ("point", "point"),
    ] {
        assert_eq!(KeyType::of_internal(internal), KeyType::of_builtin(written));
    }
}

#[test]
fn keys_without_overlaps_are_exclusions() {
    let temporal = |primary, columns: &[&str]| AlterCommand::AddUnique {
        name: Some("orders_key".to_owned()),
        primary,
        columns: texts(columns),
        using_index: false,
        temporal: true,
    };
    for (primary, what) in [(true, "primary key"), (false, "unique constraint")] {
        let whole = temporal(primary, &["id", "tenant_id", "during"]);
        check(&alter(true, whole), on(18), "root(recurse) -- ONLY taken away");
        for columns in [&["id", "during"][..], &["id", "tenant_id"], &["tenant_id"]] {
            let statement = alter(true, temporal(primary, columns));
            let refused = format!(
                "0A000 {what} \"orders_key\" of table \"public.orders\" cannot be kept across shards"
            );
            check(&statement, on(18), &refused);
            // Nothing can be appended behind the column that may not overlap.
            check(&statement, Given { server: 18, ..EXTEND }, &refused);
            check(&statement, Given { server: 18, ..PER_SHARD }, "shards -- on every shard: holds inside");
        }
    }
}

#[test]
fn what_is_armed_is_not_forgotten() {
    let expected =
        "55000 cannot drop extension \"pg_presplit\": table \"public.orders\" is armed for sharding";
    check(&Utility::DropExtension, STRICT, expected);
    assert!(Utility::DropExtension.takes_all_of("any") && Utility::DropExtension.relations().is_empty());
    assert_eq!(Utility::DropExtension.kind(), "DROP EXTENSION");
}
