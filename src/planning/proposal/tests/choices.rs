//! Which strategy, key and number of shards come out of which facts, and
//! that each term and each setting moves the choice as it should.

use crate::model::access::Access;
use crate::model::access::AccessKind;
use crate::model::access::Analysis;
use crate::model::key::Strategy;
use crate::model::profile::ColumnStatistics;
use crate::planning::proposal::CandidateSummary;
use crate::planning::proposal::Generator;
use crate::planning::proposal::RelationProposal;
use crate::planning::proposal::tests::fixture::*;

fn candidate<'a>(found: &'a RelationProposal, strategy: Strategy, key: &str) -> &'a CandidateSummary {
    let mut all = found.candidates.iter();
    let wanted = |one: &&CandidateSummary| one.strategy == strategy && one.shard_key.concat() == key;
    all.find(wanted).unwrap_or_else(|| panic!("no {strategy:?} by {key}"))
}

fn term(found: &CandidateSummary, name: &str) -> f64 {
    let mut terms = found.terms.iter();
    terms.find(|term| term.name == name).unwrap_or_else(|| panic!("no term {name}")).value
}

const WEEKS: &str =
    "range(ts) x 69, FOR VALUES FROM ('2024-12-30 00:00:00+00') TO ('2025-01-06 00:00:00+00')";
const MONTHS: &str =
    "range(ts) x 17, FOR VALUES FROM ('2025-01-01 00:00:00+00') TO ('2025-02-01 00:00:00+00')";
const QUARTERS: &str =
    "range(ts) x 8, FOR VALUES FROM ('2025-01-01 00:00:00+00') TO ('2025-04-01 00:00:00+00')";

#[test]
fn a_large_table_filtered_by_time_is_sharded_by_time() {
    let found = check(&events(200.0), "events", WEEKS);
    assert!(found.rows_scanned_share < 0.2, "{}", found.rows_scanned_share);
    // Smaller tables get longer units: a shard has a gigabyte at least.
    check(&events(40.0), "events", MONTHS);
    check(&events(10.0), "events", QUARTERS);
}

#[test]
fn a_small_table_stays_whole_and_says_why() {
    let found = check(&events(0.04), "events", "none");
    assert!(found.reason.starts_with("45 MB at the horizon: too small"), "{}", found.reason);
    assert!(found.reason.contains("a scan of it all costs 50 ms"), "{}", found.reason);
    assert_eq!((found.rows_scanned_share, found.skew), (1.0, 0.0));
}

#[test]
fn a_large_table_looked_up_by_its_key_is_hashed() {
    let found = check(&accounts(400.0), "accounts", "hash(id) x 64");
    let hash = candidate(&found, Strategy::Hash, "id");
    assert_eq!(hash.generators, [Generator::EqualityPredicate, Generator::PrimaryKey]);
    assert!(candidate(&found, Strategy::None, "").rank > 1);
    check(&accounts(1.0), "accounts", "none");
}

#[test]
fn hash_has_as_many_shards_as_size_cores_and_values_want() {
    let shards = |gigabytes: f64| shape(&accounts(gigabytes).relation("accounts"));
    assert_eq!(shards(100.0), "hash(id) x 16");
    assert_eq!(shards(20.0), "hash(id) x 4");
    let few = accounts(400.0).edit("accounts", |table| {
        if let Some(found) = &mut table.columns[0].statistics {
            found.distinct = 40.0;
        }
    });
    let found = few.relation("accounts");
    assert!(candidate(&found, Strategy::Hash, "id").shard_count <= 16);
    let one = accounts(400.0).edit("accounts", |table| {
        if let Some(found) = &mut table.columns[0].statistics {
            found.distinct = 1.0;
        }
    });
    let found = one.relation("accounts");
    assert!(candidate(&found, Strategy::Hash, "id").reason.contains("only 1 distinct values"));
    assert_eq!(found.strategy, Strategy::None);
}

#[test]
fn a_heavy_value_makes_hash_skewed() {
    let heavy = |fractions: &[f64]| {
        accounts(400.0).edit("accounts", |table| {
            table.columns[0].statistics = Some(ColumnStatistics {
                width: 8.0,
                distinct: -0.5,
                common_values: (0..fractions.len()).map(|value| value.to_string()).collect(),
                common_fractions: fractions.to_vec(),
                ..ColumnStatistics::default()
            });
        })
    };
    let even = heavy(&[]).relation("accounts");
    assert!(candidate(&even, Strategy::Hash, "id").skew < 0.01);
    let estimated = heavy(&[0.5]).relation("accounts");
    let skew = candidate(&estimated, Strategy::Hash, "id").skew;
    assert!(skew > 20.0, "{skew}");
    let key = (name("accounts"), "id".to_owned());
    // Three values of a tenth: apart they weigh less than together.
    let apart = heavy(&[0.1; 3]).with(|fixture| {
        fixture.hash_values.insert(key.clone(), vec![0, 1, 2]);
    });
    let together = heavy(&[0.1; 3]).with(|fixture| {
        fixture.hash_values.insert(key.clone(), vec![64, 128, 0]);
    });
    let skew_of = |fixture: &Fixture| candidate(&fixture.relation("accounts"), Strategy::Hash, "id").skew;
    assert!(skew_of(&apart) < 6.5 + 0.5 && skew_of(&together) > 18.0, "{}", skew_of(&apart));
    let found = together.relation("accounts");
    let layout = candidate(&found, Strategy::Hash, "id").layout.clone().unwrap();
    assert!(layout.shards()[0].rows > 10.0 * layout.shards()[1].rows);
    assert!(!found.warnings.iter().any(|warning| warning.contains("hash values")));
    assert!(estimated.candidates.iter().any(|one| one.warnings.concat().contains("values of id fall into")));
}

#[test]
fn statements_that_cannot_be_pruned_keep_shards_few() {
    // Daily ranges are cheaper where every statement is pruned.
    let pruned = events(2000.0).with(|fixture| fixture.workload.statements.truncate(1));
    let found = pruned.relation("events");
    assert!(shape(&found).starts_with("range(ts) x 474"), "{}", shape(&found));
    let unpruned = events(2000.0).relation("events");
    assert!(unpruned.layout.unwrap().shards().len() <= 128);
}

#[test]
fn planning_of_frequent_statements_makes_shards_fewer() {
    let asked = |calls: f64| {
        let fixture = events(2000.0).edit("events", |table| {
            table.indexes.push(index("events_id", false, &[Some("id")]));
        });
        let free = fixture.with(|fixture| {
            fixture.constants.shards_unpruned_max = 1024;
            fixture.workload.statements.truncate(1);
        });
        let found = free.statement(calls, 1e3, &[("events", &[equality("id")])]).relation("events");
        let ranges = candidate(&found, Strategy::Range, "ts");
        (ranges.shard_count, term(ranges, "planning"))
    };
    let (rare, frequent) = (asked(10.0), asked(1e10));
    assert!(rare.0 > 400 && frequent.0 < 30, "{rare:?} {frequent:?}");
    assert!(frequent.1 > rare.1);
}

#[test]
fn an_index_on_time_takes_the_gain_of_reading_away() {
    let indexed = events(200.0).edit("events", |table| {
        table.indexes.push(index("events_ts", false, &[Some("ts")]));
        if let Some(found) = &mut table.columns[1].statistics {
            found.correlation = Some(1.0);
        }
    });
    let pages = |fixture: &Fixture| {
        let found = fixture.relation("events");
        let whole = candidate(&found, Strategy::None, "").clone();
        term(&whole, "pages") + term(&whole, "cpu")
    };
    assert!(pages(&indexed) < 0.3 * pages(&events(200.0)));
    // Rows in no order help less.
    let unordered = indexed.clone().edit("events", |table| {
        if let Some(found) = &mut table.columns[1].statistics {
            found.correlation = Some(0.0);
        }
    });
    assert!(pages(&unordered) > pages(&indexed));
}

#[test]
fn writes_favour_the_newest_shard_only() {
    let written = events(200.0).edit("events", |table| {
        table.indexes.push(index("events_tenant", false, &[Some("tenant")]));
    });
    let found = written.relation("events");
    let whole = candidate(&found, Strategy::None, "");
    let ranges = candidate(&found, Strategy::Range, "ts");
    let hashed = candidate(&found, Strategy::Hash, "tenant");
    assert!(term(whole, "write_locality") > 0.0);
    assert_eq!(term(ranges, "write_locality"), 0.0);
    assert_eq!(term(whole, "write_locality"), term(hashed, "write_locality"));
    assert!(term(ranges, "upkeep") < term(hashed, "upkeep"));
    assert!(term(hashed, "upkeep") < term(whole, "upkeep"));
    assert!(term(ranges, "routing") > 0.0 && term(whole, "routing") == 0.0);
}

#[test]
fn updates_of_the_key_move_rows() {
    let moving = events(200.0).statement(
        864_000.0,
        1e6,
        &[("events", &[equality("id"), Access::of(AccessKind::UpdateKey, "ts")])],
    );
    let found = moving.relation("events");
    assert!(term(candidate(&found, Strategy::Range, "ts"), "row_movement") > 0.0);
    assert_eq!(term(candidate(&found, Strategy::Hash, "tenant"), "row_movement"), 0.0);
}

#[test]
fn settings_matter() {
    // A declared volume comes with the forecast, divided among the tables there
    // and not once more here; nobody doubts it.
    let found = check(&events(0.04).declared("events", 200.0), "events", WEEKS);
    let set = |fixture: &mut Fixture| fixture.settings.data_volume_bytes = Some(200.0 * GB);
    let crowded = events(0.04).table(table("other", &[("id", "bigint")]), 50.0).declared("events", 200.0);
    for fixture in [crowded.clone(), crowded.with(set)] {
        assert_eq!(fixture.relation("events").bytes_at_horizon, found.bytes_at_horizon);
    }
    assert!((found.bytes_at_horizon - 200.0 * GB).abs() < 1e6);
    // A limit leads to longer units, and to fewer hash shards.
    let limited = |most| move |fixture: &mut Fixture| fixture.settings.shards_per_table_max = most;
    check(&events(200.0).with(limited(20)), "events", MONTHS);
    check(&events(200.0).with(limited(9)), "events", QUARTERS);
    check(&accounts(400.0).with(limited(20)), "accounts", "hash(id) x 16");
    check(&accounts(400.0).with(limited(1)), "accounts", "none");
    // More calls make the cost larger, in proportion.
    let cost = |peak| {
        let found = events(200.0).with(|fixture| fixture.settings.peak_qps = peak).relation("events");
        term(candidate(&found, Strategy::None, ""), "cpu")
    };
    assert!((cost(Some(110.0)) / cost(None) - 1000.0).abs() < 1.0);
}

#[test]
fn a_longer_horizon_lays_more_shards_ahead() {
    let ahead = |days| {
        let found = events(40.0).with(|fixture| fixture.horizon_days = days).relation("events");
        found.layout.unwrap().shards().iter().filter(|shard| shard.future).count()
    };
    assert_eq!((ahead(1), ahead(90), ahead(365)), (2, 3, 12));
}

#[test]
fn candidates_are_what_was_seen() {
    let bare = |columns: &[(&str, &str)]| Fixture::new().table(table("t", columns), 200.0);
    let seen = |fixture: &Fixture| {
        let found = fixture.relation("t");
        let one = |one: &CandidateSummary| format!("{} {}", one.strategy.word(), one.shard_key.concat());
        found.candidates.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let plain = bare(&[("a", "bigint"), ("b", "json")]);
    assert_eq!(seen(&plain), "none ");
    assert!(plain.relation("t").reason.contains("no usable key"));
    let asked = plain.clone().statement(1e6, 1e6, &[("t", &[equality("a"), equality("b")])]);
    assert_eq!(seen(&asked), "hash a, none ");
    let generated = asked.clone().edit("t", |table| table.columns[0].generated = true);
    assert_eq!(seen(&generated), "none ");
    let wrapped = Access { prunable: false, ..equality("a") };
    assert_eq!(seen(&plain.clone().statement(1e6, 1e6, &[("t", &[wrapped])])), "none ");
    // A range helps hash nothing.
    assert_eq!(seen(&plain.statement(1e6, 1e6, &[("t", &[range("a")])])), "none , range a");
}

#[test]
fn without_a_workload_little_is_supposed() {
    let found = Fixture::new().table(table("events", &[("ts", "date")]), 200.0).relation("events");
    assert_eq!(found.strategy, Strategy::Range);
    assert_eq!(found.rows_scanned_share, 1.0);
    assert!(found.warnings[0].starts_with("There is no workload"), "{:?}", found.warnings);
}

#[test]
fn a_query_by_recent_time_plans_shards_ahead_too() {
    let recent = events(200.0).with(|fixture| fixture.workload.statements.clear()).statement(
        8640.0,
        1e6,
        &[("events", &[since("ts")])],
    );
    let found = recent.relation("events");
    assert_eq!(found.strategy, Strategy::Range);
    assert!(
        found.rows_scanned_share > 0.1 && found.rows_scanned_share < 0.15,
        "{}",
        found.rows_scanned_share
    );
}

#[test]
fn known_constants_touch_exactly_their_shards() {
    let within = |from: &str, to: &str| {
        let access = Access { constants: vec![from.to_owned(), to.to_owned()], ..range("ts") };
        let exact = events(40.0).with(|fixture| fixture.workload.statements.clear());
        exact.statement(8640.0, 1e6, &[("events", &[access])]).relation("events").rows_scanned_share
    };
    let month = within("2025-03-01 00:00:00+00", "2025-04-01 00:00:00+00");
    let days = within("2025-03-10 00:00:00+00", "2025-03-12 00:00:00+00");
    let two = within("2025-03-10 00:00:00+00", "2025-04-02 00:00:00+00");
    assert!(days <= month && two > 1.5 * days, "{days} {month} {two}");
    assert!((month - 31.0 / 379.0 / 1.1).abs() < 0.01, "{month}");
}

#[test]
fn a_nested_loop_prunes_while_running_but_not_while_planning() {
    let lines = |indexed: bool| {
        let mut lines = table("lines", &[("account", "bigint"), ("line", "bigint")]);
        if indexed {
            lines.indexes.push(index("lines_account", false, &[Some("account")]));
        }
        let asked = [
            ("accounts", &[equality("id"), join("id", "app.lines(account)")][..]),
            ("lines", &[join("account", "app.accounts(id)")][..]),
        ];
        let found = accounts(4.0).table(lines, 400.0).statement(8640.0, 1e6, &asked).relation("lines");
        let hashed = candidate(&found, Strategy::Hash, "account");
        assert_eq!(hashed.generators, [Generator::Join]);
        // 64 unpruned shards in a join take 2 ms of planning, ten a second.
        assert!((term(hashed, "planning") / 0.1 - 2.1).abs() < 0.2, "{}", term(hashed, "planning"));
        (hashed.rows_scanned_share, term(hashed, "cpu"))
    };
    let (looked_up, scanned) = (lines(true), lines(false));
    assert!(looked_up.0 < 0.02 && scanned.0 > 0.99, "{looked_up:?} {scanned:?}");
    assert!(looked_up.1 * 1000.0 < scanned.1);
}

#[test]
fn the_newest_rows_by_an_index_are_cheap_either_way() {
    let walked = |fixture: Fixture| {
        let ordered = Access::of(AccessKind::OrderBy, "ts");
        let fixture = fixture.with(|fixture| fixture.workload.statements.clear()).statement(
            864_000.0,
            1e5,
            &[("events", &[ordered])],
        );
        let fixture = fixture.with(|fixture| {
            for one in &mut fixture.workload.statements {
                if let Analysis::Facts(facts) = &mut one.analysis {
                    (facts.limited, facts.aggregated) = (true, false);
                }
            }
        });
        let found = fixture.relation("events");
        term(candidate(&found, Strategy::None, ""), "pages")
    };
    let indexed = events(200.0).edit("events", |table| {
        table.indexes.push(index("events_ts", false, &[Some("ts")]));
    });
    assert!(walked(indexed) * 1e6 < walked(events(200.0)));
}

/// Pages read for the newest rows of a tenant, by an index on those columns.
fn newest_of_one(columns: &[&'static str], more: &[Access]) -> f64 {
    let accesses: Vec<Access> = [equality("tenant"), Access::of(AccessKind::OrderBy, "ts")]
        .into_iter()
        .chain(more.iter().cloned())
        .collect();
    let found = events(200.0)
        .edit("events", |table| {
            let columns: Vec<Option<&str>> = columns.iter().map(|column| Some(*column)).collect();
            table.indexes.push(index("events_walked", false, &columns));
            for column in &mut table.columns {
                if let Some(found) = column.statistics.as_mut().filter(|_| column.name != "ts") {
                    found.distinct = 1000.0;
                }
            }
        })
        .with(|fixture| fixture.workload.statements.clear())
        .statement(864_000.0, 1e5, &[("events", &accesses)])
        .with(|fixture| {
            for one in &mut fixture.workload.statements {
                if let Analysis::Facts(facts) = &mut one.analysis {
                    (facts.limited, facts.aggregated) = (true, false);
                }
            }
        })
        .relation("events");
    term(candidate(&found, Strategy::None, ""), "pages")
}

#[test]
fn the_newest_rows_of_one_value_end_at_the_limit() {
    let walked = newest_of_one(&["tenant", "ts"], &[]);
    // The index gives the rows of an tenant, in no order that helps.
    let unordered = newest_of_one(&["tenant"], &[]);
    assert!(walked * 100.0 < unordered, "{walked} {unordered}");
    // A column in between that no predicate is on breaks the order.
    assert!(walked * 100.0 < newest_of_one(&["tenant", "body", "ts"], &[]));
    // What the index does not know drops rows that it hands out.
    let filtered = newest_of_one(&["tenant", "ts"], &[equality("body")]);
    assert!(walked * 1.5 < filtered, "{walked} {filtered}");
}

#[test]
fn of_two_keys_the_even_one_is_chosen() {
    let columns = [("a", "bigint"), ("b", "bigint")];
    let both = |skewed: usize| {
        Fixture::new()
            .table(table("t", &columns), 400.0)
            .statement(1e5, 1e6, &[("t", &[equality("a")])])
            .statement(1e5, 1e6, &[("t", &[equality("b")])])
            .edit("t", |table| {
                if let Some(found) = &mut table.columns[skewed].statistics {
                    found.common_values = vec!["1".to_owned()];
                    found.common_fractions = vec![0.5];
                }
            })
    };
    let both = |skewed| both(skewed).with(|fixture| fixture.constants.pairs_max = 0);
    check(&both(0), "t", "hash(b) x 64");
    check(&both(1), "t", "hash(a) x 64");
}

#[test]
fn dear_opening_makes_shards_fewer() {
    let dear = |open_ms| {
        let fixture = events(2000.0).with(|fixture| {
            fixture.workload.statements.truncate(1);
            fixture.constants.open_ms = open_ms;
        });
        fixture.relation("events").layout.unwrap().shards().len()
    };
    assert!(
        dear(0.005) > 400 && dear(1e5) < 70 && dear(1e6) < 20,
        "{} {} {}",
        dear(0.005),
        dear(1e5),
        dear(1e6)
    );
}

#[test]
fn a_table_that_never_changes_needs_no_upkeep() {
    let still = accounts(400.0).with(|fixture| {
        fixture.workload.statements.truncate(1);
        let growth = fixture.growth.get_mut(&name("accounts")).unwrap();
        growth.rows[0].value = growth.rows_now;
    });
    let found = check(&still, "accounts", "none");
    assert_eq!(term(candidate(&found, Strategy::None, ""), "upkeep"), 0.0);
    assert!(found.reason.contains("would save 0 % of the cost"), "{}", found.reason);
    let updated = still.edit("accounts", |table| table.counters.updated = 1e6);
    check(&updated, "accounts", "hash(id) x 64");
}

#[test]
fn the_unit_of_every_term_is_named() {
    let found = events(200.0).relation("events");
    let units = found.candidates.iter().flat_map(|one| &one.terms).map(|term| term.unit.as_str());
    assert!(units.clone().count() > 20 && units.into_iter().all(|unit| unit == "ms/s"));
}
