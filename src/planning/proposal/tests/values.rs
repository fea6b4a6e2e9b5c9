//! What is known of values and what is not: infinite ones, those that stand
//! for "never", and why there are none.

use crate::model::key::Strategy;
use crate::model::profile::Column;
use crate::model::profile::ColumnStatistics;
use crate::model::profile::TableKind;
use crate::planning::forecast::event_time;
use crate::planning::proposal::option::Weighed;
use crate::planning::proposal::option::options;
use crate::planning::proposal::stem;
use crate::planning::proposal::subject;
use crate::planning::proposal::tests::fixture::*;
use crate::planning::proposal::unknown;

const DAYS: [&str; 5] = ["2024-01-01", "2024-07-01", "2025-01-01", "2025-07-01", "2025-12-31"];

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// Versions of rows, asked for by the day until which they are valid.
fn versions(change: impl Fn(&mut ColumnStatistics)) -> Fixture {
    let columns = [("id", "bigint"), ("valid_to", "date")];
    Fixture::new()
        .table(table("versions", &columns), 200.0)
        .statement(8640.0, 9e6, &[("versions", &[range("valid_to")])])
        .edit("versions", |table| {
            let found = table.columns[1].statistics.get_or_insert_default();
            found.histogram = texts(&DAYS);
            change(found);
        })
}

fn by_valid_to(fixture: &Fixture) -> Weighed {
    let input = fixture.input();
    let stems = stem::stems(input.profile);
    let subjects = subject::subjects(&input, &stems, &|| false).unwrap();
    let found = options(&input, &subjects[0], &|| false).unwrap();
    let mut found = found.into_iter().filter(|one| one.strategy() == Strategy::Range);
    found.find(|one| one.column() == "valid_to").unwrap()
}

fn common(found: &mut ColumnStatistics, value: &str, share: f64) {
    found.common_values.push(value.to_owned());
    found.common_fractions.push(share);
}

#[test]
fn a_moment_that_stands_for_never_does_not_stretch_an_event_time() {
    let events = |change: &dyn Fn(&mut ColumnStatistics)| {
        let columns = [("id", "bigint"), ("ts", "date")];
        Fixture::new()
            .table(table("events", &columns), 200.0)
            .statement(8640.0, 9e6, &[("events", &[range("ts")])])
            .edit("events", |table| {
                let found = table.columns[1].statistics.get_or_insert_default();
                found.histogram = texts(&DAYS);
                found.correlation = Some(0.9);
                change(found);
            })
            .with(|fixture| {
                let time = event_time(&fixture.profile.tables[0]);
                assert_eq!(time.as_ref().map(|time| time.column.as_str()), Some("ts"));
                fixture.growth.get_mut(&name("events")).unwrap().event_time = time;
            })
            .relation("events")
    };
    let others = events(&|_| ());
    let count = others.layout.as_ref().unwrap().shards().len();
    assert!(count > 10, "{}", shape(&others));
    for never in ["9999-12-31", "1900-01-01", "infinity"] {
        let some = events(&|found| common(found, never, 0.1));
        assert_eq!(
            some.layout.as_ref().map(|layout| layout.shards().len()),
            Some(count),
            "{never}: {}",
            some.reason
        );
        let told = some.warnings.concat();
        assert!(told.contains("(10 %) have no value of ts in any range"), "{never}: {told}");
    }
}

#[test]
fn rows_that_never_end_are_in_the_default_shard() {
    for never in ["infinity", "9999-12-31", "-infinity", "0044-03-15 BC", "1900-01-01", "20000-01-01"] {
        let some = versions(|found| common(found, never, 0.3));
        let way = by_valid_to(&some);
        assert_eq!(way.impossible, None, "{never}");
        let share = way.division.share(way.division.default_rows);
        assert!((share - 0.3).abs() < 0.01, "{never}: {share}");
        // The others are cut as if these were not.
        let others = by_valid_to(&versions(|_| ())).division;
        assert_eq!(way.division.rows.len(), others.rows.len(), "{never}");
        assert!((way.division.rows[0] / others.rows[0] - 0.7).abs() < 0.02, "{never}");
        let told = some.relation("versions").candidates;
        let told = told.iter().find(|one| one.shard_key == ["valid_to"]).unwrap().warnings.concat();
        assert!(told.contains("(30 %) have no value of valid_to in any range"), "{never}: {told}");

        let most = by_valid_to(&versions(|found| common(found, never, 0.6)));
        let why = most.impossible.unwrap();
        assert!(why.contains("in 60 % of the rows: no range of time has them"), "{never}: {why}");
    }
    let nulls = by_valid_to(&versions(|found| {
        found.null_fraction = 0.4;
        common(found, "infinity", 0.2);
    }));
    assert!(nulls.impossible.unwrap().contains("in 60 % of the rows"));
}

#[test]
fn open_ends_have_what_is_infinite() {
    let columns = [("id", "bigint"), ("weight", "double precision")];
    let fixture = Fixture::new()
        .table(table("samples", &columns), 200.0)
        .statement(8640.0, 9e6, &[("samples", &[range("weight")])])
        .edit("samples", |table| {
            let found = table.columns[1].statistics.get_or_insert_default();
            found.histogram = texts(&["0", "1", "2", "3", "4", "5", "6", "7", "8"]);
            common(found, "NaN", 0.2);
            common(found, "-Infinity", 0.1);
        });
    let input = fixture.input();
    let stems = stem::stems(input.profile);
    let subjects = subject::subjects(&input, &stems, &|| false).unwrap();
    let found = options(&input, &subjects[0], &|| false).unwrap();
    let found = found.iter().find(|one| one.strategy() == Strategy::Range).unwrap();
    let division = &found.division;
    assert!(found.impossible.is_none() && division.default_rows < 1.0, "{division:?}");
    let shares: Vec<f64> = division.rows.iter().map(|rows| division.share(*rows)).collect();
    assert!(*shares.last().unwrap() >= 0.2 && shares[0] >= 0.1, "{shares:?}");
}

/// The sentence about one column of a table, after a change of the facts.
fn told(key_type: &str, change: impl FnOnce(&mut Fixture)) -> String {
    let fixture = Fixture::new().table(table("t", &[("k", key_type), ("other", "bigint")]), 1.0).with(change);
    let input = fixture.input();
    let stems = stem::stems(input.profile);
    let subjects = subject::subjects(&input, &stems, &|| false).unwrap();
    unknown::values(&subjects[0], &subjects[0].table.columns[0])
}

fn column_of(fixture: &mut Fixture) -> &mut Column {
    &mut fixture.profile.tables[0].columns[0]
}

fn live(fixture: &mut Fixture, hidden: &[&str]) {
    let hidden = hidden.iter().map(|column| (*column).to_owned()).collect();
    fixture.profile.live.insert(name("t"), hidden);
}

fn never_analyzed(fixture: &mut Fixture) {
    fixture.profile.tables[0].columns.iter_mut().for_each(|column| column.statistics = None);
}

#[test]
fn what_is_missing_on_the_server_is_told() {
    let found = told("date", |fixture| {
        live(fixture, &[]);
        never_analyzed(fixture);
    });
    assert_eq!(found, "There are no statistics of k: run ANALYZE app.t.");
    let found = told("date", |fixture| {
        live(fixture, &[]);
        column_of(fixture).statistics = None;
    });
    assert!(
        found.contains("though of other columns: run ANALYZE app.t, with a statistics target"),
        "{found}"
    );
    let found = told("date", |fixture| {
        live(fixture, &[]);
        never_analyzed(fixture);
        fixture.profile.tables[0].kind = TableKind::Partitioned;
    });
    assert!(found.contains("as autovacuum does not for a partitioned table"), "{found}");
    let found = told("date", |fixture| {
        live(fixture, &["k"]);
        never_analyzed(fixture);
    });
    assert!(found.starts_with("This role may not see the statistics of k. That takes SELECT"), "{found}");
    let found = told("date", |fixture| {
        live(fixture, &[]);
        never_analyzed(fixture);
        fixture.profile.tables[0].rows = 0.0;
    });
    assert_eq!(found, "There are no rows, and so no statistics of k.");
    let found = told("text", |fixture| live(fixture, &[]));
    assert!(found.starts_with("ANALYZE kept no value of k"), "{found}");
}

#[test]
fn what_is_missing_in_a_profile_is_told() {
    let found = told("date", never_analyzed);
    assert!(found.contains("run ANALYZE app.t at the source, and capture it again"), "{found}");
    let found = told("date", |fixture| {
        never_analyzed(fixture);
        fixture.profile.hidden_statistics_of = vec!["app.t".to_owned()];
    });
    assert!(found.contains("capture it as a role that may see those of app.t"), "{found}");
    assert!(told("date", |_| ()).contains("capture it with values=keys"));
    let found = told("text", |fixture| fixture.profile.values_of = vec!["app.t.other".to_owned()]);
    assert!(found.contains("A proposal that is made where the table lives has them"), "{found}");
}

#[test]
fn values_of_no_use_are_told() {
    let with = |key_type, change: &dyn Fn(&mut ColumnStatistics)| {
        told(key_type, |fixture| change(column_of(fixture).statistics.get_or_insert_default()))
    };
    let found = with("date", &|found| (found.null_fraction, found.distinct) = (1.0, 0.0));
    assert_eq!(found, "All values of k are NULL.");
    for (key_type, value) in [("date", "infinity"), ("date", "0044-03-15 BC"), ("numeric", "NaN")] {
        let found = with(key_type, &|found| common(found, value, 1.0));
        assert!(found.contains("infinite, NaN, or of no year from 1 to 9999"), "{value}: {found}");
    }
}

#[test]
fn one_value_makes_no_ranges_and_no_lists() {
    let columns = [("id", "bigint"), ("state", "text")];
    let one = |at: usize, value: &str| {
        let value = value.to_owned();
        Fixture::new()
            .table(table("t", &columns), 200.0)
            .statement(8640.0, 9e6, &[("t", &[range("id"), equality("state")])])
            .edit("t", move |table| {
                let found = table.columns[at].statistics.get_or_insert_default();
                (found.distinct, found.common_values, found.common_fractions) = (1.0, vec![value], vec![1.0]);
            })
    };
    let found = one(0, "7").relation("t");
    let ranged = found.candidates.iter().find(|one| one.strategy.word() == "range").unwrap();
    assert!(ranged.reason.contains("All rows have one value of id"), "{}", ranged.reason);
}

#[test]
fn a_table_that_was_never_analyzed_says_so() {
    let bare = |change: &dyn Fn(&mut Fixture)| {
        let mut fixture = events(200.0).edit("events", |table| {
            table.columns.iter_mut().for_each(|column| column.statistics = None);
        });
        change(&mut fixture);
        fixture.relation("events").warnings.concat()
    };
    let live = |fixture: &mut Fixture| {
        fixture.profile.live.insert(name("events"), std::collections::BTreeSet::new());
    };
    assert!(bare(&|_| ()).contains("not known: run ANALYZE app.events at the source"));
    assert!(bare(&live).contains("not known: run ANALYZE app.events."));
    let partitioned = bare(&|fixture| {
        live(fixture);
        fixture.profile.tables[0].kind = TableKind::Partitioned;
    });
    assert!(partitioned.contains("autovacuum makes none of a partitioned table as a whole"), "{partitioned}");
}
