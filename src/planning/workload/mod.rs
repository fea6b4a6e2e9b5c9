//! Statements weighed: who reads and writes which column how often.
//!
//! ```text
//! Profile ─→ shadow plan ┐
//!    └─→ repaired texts ─┴→ (pg::analyze) ─→ AnalyzedWorkload ─→ rows, coverage
//!
//! Readings of pg_stat_statements ─→ differences (`reading`) ─→ hours and their sum
//! (`window`) ─→ the workload of a live profile
//! ```

pub mod declared;
pub mod log;
pub mod normal;
pub mod reading;
pub mod repair;
pub mod shadow;
pub mod token;
pub mod window;

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::model::access::AccessKind;
use crate::model::access::Analysis;
use crate::model::name::QualifiedName;
use crate::model::profile::Statement;
use crate::model::profile::Workload;

/// One statement with its weight and what PostgreSQL's analysis made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalyzedStatement {
    pub queryid: i64,
    pub query: String,
    /// Calls in the observed time.
    pub calls: f64,
    /// Total execution time in the observed time, milliseconds.
    pub exec_ms: f64,
    /// Rows returned or affected in the observed time.
    pub rows: f64,
    pub analysis: Analysis,
}

/// All statements of a profile, analysed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnalyzedWorkload {
    /// Seconds over which the statements were counted; none = unknown.
    pub seconds: Option<f64>,
    pub statements: Vec<AnalyzedStatement>,
}

/// One way in which the workload uses columns of a relation.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessRow {
    pub relation: QualifiedName,
    pub columns: Vec<String>,
    pub kind: AccessKind,
    pub prunable: bool,
    pub calls: f64,
    pub exec_ms: f64,
    /// Of the execution time of all statements, refused ones too; of their
    /// calls if none has execution time.
    pub share: f64,
    pub statements: usize,
    pub reason: Option<String>,
}

/// How much of the workload could be analysed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Coverage {
    pub statements: usize,
    pub analyzed: usize,
    /// Share of the calls, 0 to 1; 0 if there are none.
    pub calls_share: f64,
    /// Share of the execution time; that of the calls if no statement has any.
    pub exec_share: f64,
}

/// Schemas of the server itself: no one shards their tables.
const SYSTEM_SCHEMAS: [&str; 2] = ["pg_catalog", "information_schema"];

/// The statements as the analyser takes them: text repaired, and the schemas
/// of the `search_path` of the role that ran it.
#[must_use]
pub fn prepared(workload: &Workload) -> Vec<(String, Vec<String>)> {
    let path = |statement: &Statement| search_path(workload, &statement.role);
    workload.statements.iter().map(|statement| (repair::repair(&statement.query), path(statement))).collect()
}

/// The schemas in which a role's statements look for names: its own setting,
/// else the database's, else PostgreSQL's default.
#[must_use]
pub fn search_path(workload: &Workload, role: &str) -> Vec<String> {
    let paths = &workload.search_paths;
    let default = || vec!["$user".to_owned(), "public".to_owned()];
    let path = paths.get(role).or_else(|| paths.get("")).cloned().unwrap_or_else(default);
    path.into_iter()
        .filter_map(|schema| match schema.as_str() {
            "$user" if role.is_empty() => None,
            "$user" => Some(role.to_owned()),
            _ => Some(schema),
        })
        .collect()
}

/// Puts the analyses, in the order of the statements, beside their weights.
#[must_use]
pub fn analyzed(workload: &Workload, analyses: Vec<Analysis>) -> AnalyzedWorkload {
    let statements =
        workload.statements.iter().zip(analyses).map(|(statement, analysis)| AnalyzedStatement {
            queryid: statement.queryid,
            query: statement.query.clone(),
            calls: statement.calls,
            exec_ms: statement.exec_ms,
            rows: statement.rows,
            analysis,
        });
    AnalyzedWorkload { seconds: workload.seconds, statements: statements.collect() }
}

/// What the workload does to which columns, the weightiest first. A statement
/// counts once for each row, however often it mentions the table.
#[must_use]
pub fn accesses(workload: &AnalyzedWorkload) -> Vec<AccessRow> {
    type Key = (QualifiedName, AccessKind, Vec<String>, bool, Option<String>);
    let mut found: BTreeMap<Key, AccessRow> = BTreeMap::new();
    for statement in &workload.statements {
        let Analysis::Facts(facts) = &statement.analysis else { continue };
        let mut seen: BTreeSet<Key> = BTreeSet::new();
        for mention in &facts.mentions {
            if SYSTEM_SCHEMAS.contains(&mention.relation.schema.as_str()) {
                continue;
            }
            for access in &mention.accesses {
                let (columns, reason) = (access.columns.clone(), access.remark());
                seen.insert((mention.relation.clone(), access.kind, columns, access.prunable, reason));
            }
        }
        for key in seen {
            let row = found.entry(key.clone()).or_insert_with(|| row_of(key));
            row.calls += statement.calls;
            row.exec_ms += statement.exec_ms;
            row.statements += 1;
        }
    }
    let (calls, exec_ms) = totals(workload, |_| true);
    let mut rows: Vec<AccessRow> = found.into_values().collect();
    for row in &mut rows {
        row.share = if exec_ms > 0.0 { share(row.exec_ms, exec_ms) } else { share(row.calls, calls) };
    }
    // The rows come in the order of their names: a stable sort keeps it.
    rows.sort_by(|a, b| b.share.total_cmp(&a.share));
    rows
}

fn row_of(
    (relation, kind, columns, prunable, reason): (
        QualifiedName,
        AccessKind,
        Vec<String>,
        bool,
        Option<String>,
    ),
) -> AccessRow {
    AccessRow {
        relation,
        columns,
        kind,
        prunable,
        calls: 0.0,
        exec_ms: 0.0,
        share: 0.0,
        statements: 0,
        reason,
    }
}

/// How much of the workload could be analysed. Statements on system tables
/// alone count as analysed. An empty workload has no shares: both are 0.
#[must_use]
pub fn coverage(workload: &AnalyzedWorkload) -> Coverage {
    let analyzed = |statement: &AnalyzedStatement| matches!(statement.analysis, Analysis::Facts(_));
    let (calls, exec_ms) = totals(workload, |_| true);
    let (calls_analyzed, exec_ms_analyzed) = totals(workload, analyzed);
    let calls_share = share(calls_analyzed, calls);
    Coverage {
        statements: workload.statements.len(),
        analyzed: workload.statements.iter().filter(|statement| analyzed(statement)).count(),
        calls_share,
        exec_share: if exec_ms > 0.0 { share(exec_ms_analyzed, exec_ms) } else { calls_share },
    }
}

/// Calls and execution time of the statements that count.
fn totals(workload: &AnalyzedWorkload, counts: impl Fn(&AnalyzedStatement) -> bool) -> (f64, f64) {
    workload
        .statements
        .iter()
        .filter(|statement| counts(statement))
        .fold((0.0, 0.0), |(calls, ms), one| (calls + one.calls, ms + one.exec_ms))
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access::Access;
    use crate::model::access::Mention;
    use crate::model::access::StatementFacts;

    fn statement(calls: f64, exec_ms: f64, tables: &[(&str, &str, &str)]) -> AnalyzedStatement {
        let mentions = tables.iter().map(|(schema, table, column)| Mention {
            relation: QualifiedName::new(*schema, *table),
            accesses: vec![Access::of(AccessKind::Equality, column)],
        });
        let facts = StatementFacts { mentions: mentions.collect(), ..StatementFacts::default() };
        let analysis = match tables {
            [] => Analysis::Refused { sqlstate: "42601".to_owned(), message: String::new() },
            _ => Analysis::Facts(facts),
        };
        AnalyzedStatement { queryid: 1, query: String::new(), calls, exec_ms, rows: 0.0, analysis }
    }

    fn workload(statements: Vec<AnalyzedStatement>) -> AnalyzedWorkload {
        AnalyzedWorkload { seconds: None, statements }
    }

    fn check(statements: Vec<AnalyzedStatement>, rows: &[&str], expected: (usize, usize, f64, f64)) {
        let workload = workload(statements);
        let found: Vec<String> = accesses(&workload)
            .iter()
            .map(|row| {
                let columns = row.columns.join(",");
                format!("{}({columns}) {} {} {:.2}", row.relation, row.calls, row.statements, row.share)
            })
            .collect();
        assert_eq!(found, rows);
        let Coverage { statements, analyzed, calls_share, exec_share } = coverage(&workload);
        assert_eq!((statements, analyzed, calls_share, exec_share), expected);
    }

    #[test]
    fn rows_are_weighed_by_execution_time_of_all_statements() {
        check(
            vec![
                statement(10.0, 10.0, &[("a", "t", "x"), ("a", "t", "x")]),
                statement(5.0, 30.0, &[("a", "t", "y"), ("a", "t", "x")]),
                statement(5.0, 40.0, &[("pg_catalog", "pg_class", "oid")]),
                statement(20.0, 20.0, &[]),
            ],
            &["a.t(x) 15 2 0.40", "a.t(y) 5 1 0.30"],
            (4, 3, 0.5, 0.8),
        );
    }

    #[test]
    fn calls_weigh_where_no_time_is_known() {
        check(
            vec![statement(3.0, 0.0, &[("a", "t", "x")]), statement(1.0, 0.0, &[])],
            &["a.t(x) 3 1 0.75"],
            (2, 1, 0.75, 0.75),
        );
    }

    #[test]
    fn equal_shares_are_ordered_by_name() {
        check(
            vec![statement(1.0, 1.0, &[("b", "t", "x"), ("a", "t", "z"), ("a", "t", "x")])],
            &["a.t(x) 1 1 1.00", "a.t(z) 1 1 1.00", "b.t(x) 1 1 1.00"],
            (1, 1, 1.0, 1.0),
        );
    }

    #[test]
    fn an_empty_workload_has_no_shares() {
        check(vec![], &[], (0, 0, 0.0, 0.0));
    }

    #[test]
    fn search_paths_come_from_the_role_or_the_database() {
        let mut workload = Workload::default();
        assert_eq!(search_path(&workload, "ann"), ["ann", "public"]);
        workload.search_paths.insert(String::new(), vec!["app".to_owned()]);
        workload.search_paths.insert("bob".to_owned(), vec!["$user".to_owned(), "x".to_owned()]);
        assert_eq!(search_path(&workload, "ann"), ["app"]);
        assert_eq!(search_path(&workload, "bob"), ["bob", "x"]);
    }
}
