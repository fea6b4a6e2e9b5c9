//! The steps by which a table becomes the first shard of itself, as a person
//! reads them beforehand. Nothing in them depends on how large it is.

use crate::model::bound::Bound;
use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::reshard::Change;
use crate::planning::reshard::steps::Facts;
use crate::planning::reshard::steps::Step;

/// Log of a statement that changes the catalogs only.
const CATALOG_LOG: i64 = 16 << 10;

/// What the table becomes, and the shards beside it.
pub struct Becoming<'a> {
    pub bound: &'a Bound,
    pub ahead: Vec<QualifiedName>,
    /// The index that tells its greatest key; none where none has to.
    pub index: Option<&'a str>,
}

/// The steps, in their order.
#[must_use]
pub fn steps(change: &Change, facts: &Facts, becoming: &Becoming<'_>) -> Vec<Step> {
    let Some(rebuilt) = &change.rebuilt else { return Vec::new() };
    let (root, staging, aside) = (&change.root, &rebuilt.staging, &rebuilt.aside);
    let budget = facts.budget_ms;
    let before = |statement: String, lock_mode, locked: String| step(statement, lock_mode, locked, 0, true);
    let held = |statement: String, lock_mode, locked: String, reversible| {
        step(statement, lock_mode, locked, budget, reversible)
    };
    let shards = match becoming.ahead.len() {
        0 => String::new(),
        _ => format!(", and shards {}", listed(&becoming.ahead)),
    };
    let made = listed(std::iter::once(staging).chain(&becoming.ahead));
    let create = format!("CREATE TABLE {staging} (LIKE {root} INCLUDING ALL) PARTITION BY …{shards}");
    let others = facts.referencing.iter().chain(&facts.referenced);
    let all = listed(facts.views.iter().chain(std::iter::once(root)).chain(others));
    let mut steps = vec![
        before(create, "ACCESS SHARE", root.to_string()),
        before(format!("CREATE INDEX … ON {made}, which are empty"), "SHARE", made),
        held(
            format!("LOCK TABLE ONLY {root} IN SHARE ROW EXCLUSIVE MODE"),
            "SHARE ROW EXCLUSIVE",
            root.to_string(),
            true,
        ),
        held(format!("LOCK TABLE ONLY {all} IN ACCESS EXCLUSIVE MODE"), "ACCESS EXCLUSIVE", all, true),
    ];
    if let Some(index) = becoming.index {
        let what = match becoming.bound {
            Bound::Range { .. } => "the greatest key",
            _ => "a row of each list",
        };
        let statement = format!(
            "SELECT {what} FROM {root}, by index {index}; DROP TABLE of new shards that it has rows of"
        );
        steps.push(held(statement, "ACCESS EXCLUSIVE", root.to_string(), true));
    }
    let keys = |what: &str| {
        let key = |table: &QualifiedName| {
            let locked = format!("{table}, {root} and its partitions");
            held(format!("ALTER TABLE {table} {what}"), "ACCESS EXCLUSIVE", locked, false)
        };
        facts.referencing.iter().map(key).collect::<Vec<_>>()
    };
    steps.extend(keys("DROP CONSTRAINT …"));
    let rename = |from: &QualifiedName, to: &QualifiedName, and: &str| {
        let statement = format!("ALTER TABLE {from} RENAME TO {}, {and}", quote_identifier(&to.name));
        held(statement, "ACCESS EXCLUSIVE", from.to_string(), false)
    };
    steps.push(rename(
        root,
        aside,
        "with its indexes, without its triggers, rules, policies and rights of others",
    ));
    steps.push(rename(staging, root, "with its indexes"));
    let attach = format!(
        "ALTER TABLE {root} ATTACH PARTITION {aside} {}, without a look at its rows; \
         then its foreign keys, triggers, rules, policies and rights",
        becoming.bound.sql()
    );
    steps.push(held(attach, "ACCESS EXCLUSIVE", listed([root, aside]), false));
    let view = |view: &QualifiedName| {
        held(format!("CREATE OR REPLACE VIEW {view} AS …"), "ACCESS EXCLUSIVE", view.to_string(), false)
    };
    steps.extend(facts.views.iter().map(view));
    steps.extend(keys("ADD CONSTRAINT … FOREIGN KEY … NOT VALID, and mark as valid what held before"));
    steps
}

fn step(
    statement: String,
    lock_mode: &'static str,
    locked: String,
    max_lock_ms: i32,
    reversible: bool,
) -> Step {
    Step {
        statement,
        lock_mode,
        reversible,
        locked,
        max_lock_ms,
        bytes_needed: 0,
        wal_bytes: CATALOG_LOG,
        seconds: 0.0,
    }
}

fn listed<'a>(names: impl IntoIterator<Item = &'a QualifiedName>) -> String {
    let mut told: Vec<String> = Vec::new();
    for name in names.into_iter().map(ToString::to_string) {
        if !told.contains(&name) {
            told.push(name);
        }
    }
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bound::RangeDatum;
    use crate::model::reshard::History;
    use crate::model::reshard::Rebuilt;
    use crate::model::reshard::Source;
    use crate::model::reshard::Target;

    #[test]
    fn nothing_is_copied_and_each_lock_has_the_budget() {
        let name = |name: &str| QualifiedName::new("app", name);
        let target = Target {
            name: name("t_presplit_new"),
            bound: String::new(),
            tablespace: None,
            like: 0,
            oid: None,
        };
        let change = Change {
            parent: name("t"),
            parent_oid: 1,
            root: name("t"),
            root_oid: 1,
            sources: vec![Source { oid: 1, name: name("t"), bound: String::new() }],
            targets: vec![target],
            identity: Vec::new(),
            online: true,
            undo: None,
            rebuilt: Some(Rebuilt {
                proposal_id: 1,
                staging: name("t_presplit_new"),
                aside: name("t_s0001"),
                history: History::Keep,
                plain: false,
                partitions: Vec::new(),
            }),
        };
        let facts = Facts {
            budget_ms: 500,
            referencing: vec![name("items")],
            views: vec![name("of_t")],
            ..Facts::default()
        };
        let bound = Bound::Range {
            lower: vec![RangeDatum::MinValue],
            upper: vec![RangeDatum::Value("10".to_owned())],
        };
        let becoming = Becoming { bound: &bound, ahead: vec![name("t_s0002")], index: Some("app.t_pkey") };
        let steps = steps(&change, &facts, &becoming);
        let told: Vec<&str> = steps.iter().map(|step| step.statement.as_str()).collect();
        assert_eq!(
            told,
            [
                "CREATE TABLE app.t_presplit_new (LIKE app.t INCLUDING ALL) PARTITION BY …, and shards app.t_s0002",
                "CREATE INDEX … ON app.t_presplit_new, app.t_s0002, which are empty",
                "LOCK TABLE ONLY app.t IN SHARE ROW EXCLUSIVE MODE",
                "LOCK TABLE ONLY app.of_t, app.t, app.items IN ACCESS EXCLUSIVE MODE",
                "SELECT the greatest key FROM app.t, by index app.t_pkey; DROP TABLE of new shards that it has rows of",
                "ALTER TABLE app.items DROP CONSTRAINT …",
                "ALTER TABLE app.t RENAME TO t_s0001, with its indexes, without its triggers, rules, policies and rights of others",
                "ALTER TABLE app.t_presplit_new RENAME TO t, with its indexes",
                "ALTER TABLE app.t ATTACH PARTITION app.t_s0001 FOR VALUES FROM (MINVALUE) TO ('10'), without a look at its rows; \
                 then its foreign keys, triggers, rules, policies and rights",
                "CREATE OR REPLACE VIEW app.of_t AS …",
                "ALTER TABLE app.items ADD CONSTRAINT … FOREIGN KEY … NOT VALID, and mark as valid what held before",
            ]
        );
        assert!(steps.iter().all(|step| step.bytes_needed == 0 && step.max_lock_ms <= 500));
        assert_eq!(steps.iter().position(|step| !step.reversible), Some(5));
    }
}
