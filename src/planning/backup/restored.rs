//! Planner statistics that a dump itself carries (`pg_dump --statistics` of
//! PostgreSQL 18): what ANALYZE found at the source goes before any sample.

use std::collections::BTreeMap;

use crate::model::name::QualifiedName;
use crate::model::profile::ColumnStatistics;

const PAGE_BYTES: f64 = 8192.0;

/// What was found in the dump.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    relations: BTreeMap<QualifiedName, Relation>,
    columns: BTreeMap<(QualifiedName, String, bool), ColumnStatistics>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Relation {
    pages: f64,
    rows: f64,
}

impl Restored {
    /// The arguments of `pg_restore_relation_stats` or, of a column,
    /// `pg_restore_attribute_stats`, by name. What does not have their shape
    /// is left out.
    pub fn add(&mut self, of_column: bool, arguments: &[(String, String)]) {
        let argument =
            |name: &str| arguments.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
        let number = |name: &str| argument(name)?.parse::<f64>().ok().filter(|value| value.is_finite());
        let (Some(schema), Some(relation)) = (argument("schemaname"), argument("relname")) else { return };
        let name = QualifiedName::new(schema, relation);
        if !of_column {
            let pages = number("relpages").unwrap_or(0.0).max(0.0);
            self.relations.insert(name, Relation { pages, rows: number("reltuples").unwrap_or(-1.0) });
            return;
        }
        let Some(column) = argument("attname") else { return };
        let inherited = argument("inherited").is_some_and(|value| value == "t" || value == "true");
        let numbers = |name: &str| -> Vec<f64> {
            let texts = argument(name).and_then(array_elements).unwrap_or_default();
            texts.iter().filter_map(|text| text.parse().ok()).collect()
        };
        let statistics = ColumnStatistics {
            null_fraction: number("null_frac").unwrap_or(0.0),
            width: number("avg_width").unwrap_or(0.0),
            distinct: number("n_distinct").unwrap_or(0.0),
            correlation: number("correlation"),
            common_values: argument("most_common_vals").and_then(array_elements).unwrap_or_default(),
            common_fractions: numbers("most_common_freqs"),
            histogram: argument("histogram_bounds").and_then(array_elements).unwrap_or_default(),
            ..ColumnStatistics::default()
        };
        if statistics.common_values.len() == statistics.common_fractions.len() {
            self.columns.insert((name, column.to_owned(), inherited), statistics);
        }
    }

    /// Bytes of a table or index, if ever looked at.
    #[must_use]
    pub fn bytes(&self, name: &QualifiedName) -> Option<f64> {
        let relation = self.relations.get(name)?;
        (relation.pages > 0.0).then_some(relation.pages * PAGE_BYTES)
    }

    /// Rows of a table, if ever counted.
    #[must_use]
    pub fn rows(&self, name: &QualifiedName) -> Option<f64> {
        Some(self.relations.get(name)?.rows).filter(|rows| *rows >= 0.0)
    }

    /// Statistics of a column; of a partitioned table those of the whole tree.
    #[must_use]
    pub fn column(&self, table: &QualifiedName, column: &str, tree: bool) -> Option<&ColumnStatistics> {
        self.columns.get(&(table.clone(), column.to_owned(), tree))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }
}

/// The elements of a one-dimensional array in PostgreSQL's text form; none if
/// it is something else. `NULL` is left out.
#[must_use]
pub fn array_elements(text: &str) -> Option<Vec<String>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut elements = Vec::new();
    let mut rest = inner.chars().peekable();
    while rest.peek().is_some() {
        let mut element = String::new();
        let quoted = rest.next_if_eq(&'"').is_some();
        loop {
            match rest.next() {
                Some('"') if quoted => break,
                Some('\\') => element.push(rest.next()?),
                Some(',') if !quoted => break,
                Some('{' | '}' | '"') if !quoted => return None,
                Some(other) => element.push(other),
                None if quoted => return None,
                None => break,
            }
        }
        if quoted {
            match rest.next() {
                Some(',') | None => {}
                Some(_) => return None,
            }
        }
        if quoted || !element.eq_ignore_ascii_case("null") {
            elements.push(element);
        }
    }
    Some(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_read_in_their_text_form() {
        let read = |text: &str| array_elements(text);
        assert_eq!(read("{}"), Some(vec![]));
        assert_eq!(
            read(r#"{1,"a,b","say \"x\"",NULL,"NULL",c\\d}"#),
            Some(["1", "a,b", "say \"x\"", "NULL", "c\\d"].map(str::to_owned).to_vec())
        );
        for text in ["", "{", "1", "{\"a}", "{{1},{2}}", "{\"a\"b}"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn statistics_of_a_dump_are_read() {
        let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let mut restored = Restored::default();
        restored.add(
            false,
            &pairs(&[("schemaname", "s"), ("relname", "t"), ("relpages", "3"), ("reltuples", "7")]),
        );
        restored.add(
            true,
            &pairs(&[
                ("schemaname", "s"),
                ("relname", "t"),
                ("attname", "a"),
                ("inherited", "f"),
                ("null_frac", "0.25"),
                ("n_distinct", "-1"),
                ("most_common_vals", "{x,y}"),
                ("most_common_freqs", "{0.5,0.25}"),
            ]),
        );
        let name = QualifiedName::new("s", "t");
        assert_eq!((restored.bytes(&name), restored.rows(&name)), (Some(24_576.0), Some(7.0)));
        let column = restored.column(&name, "a", false).unwrap();
        assert_eq!((column.null_fraction, column.common_values.len()), (0.25, 2));
        assert!(restored.column(&name, "a", true).is_none());
        restored.add(true, &pairs(&[("relname", "t")]));
    }
}
