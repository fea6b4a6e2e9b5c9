//! The statements that bring rows from sources to targets: as text, from what
//! the catalogs say of the tables.
//!
//! Rows go in the order of their identity, so how far the copying is, is one
//! key. Every operator is written out with its schema: whoever owns the table
//! must not be made to run another's. Values stand in the text as literals, so
//! that the planner sees how few rows they leave.

use serde::Deserialize;

use crate::model::name::quote_literal;

/// A column of the identity, with what its index says of it. All names are quoted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct KeyColumn {
    pub name: String,
    /// With its schema, without a length.
    pub r#type: String,
    pub type_oid: u32,
    /// The index's collation, if it is not the column's.
    pub collation: Option<String>,
    /// Names of the operators `<`, `<=`, `=`, `>=`, `>` of the index's operator class, with schema.
    pub operators: [String; 5],
}

/// What the statements are made of. All names are quoted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Tables {
    pub sources: Vec<String>,
    pub targets: Vec<Target>,
    /// Columns that are written: all but generated ones.
    pub written: Vec<String>,
    /// Columns that are compared: all that are stored.
    pub compared: Vec<String>,
    pub identity: Vec<KeyColumn>,
}

/// Where rows go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Target {
    pub name: String,
    /// Conditions that its rows meet and those of the others do not; none if it takes all.
    pub conditions: Vec<String>,
    /// Whether its rows are in partitions of its own, to which the server routes them.
    #[serde(default)]
    pub divided: bool,
}

impl Target {
    /// The table, as it is read and deleted from.
    fn rows(&self) -> String {
        if self.divided { self.name.clone() } else { format!("ONLY {}", self.name) }
    }

    fn condition(&self) -> String {
        match self.conditions.as_slice() {
            [] => String::new(),
            conditions => format!(" WHERE ({})", conditions.join(") AND (")),
        }
    }
}

const LESS: usize = 0;
const AT_MOST: usize = 1;
const EQUAL: usize = 2;
const AT_LEAST: usize = 3;
const GREATER: usize = 4;

impl KeyColumn {
    fn value(&self, row: &str) -> String {
        let collation = self.collation.as_ref().map_or_else(String::new, |name| format!(" COLLATE {name}"));
        format!("{row}.{}{collation}", self.name)
    }

    fn literal(&self, value: &str) -> String {
        format!("{}::{}", quote_literal(value), self.r#type)
    }

    fn compare(&self, row: &str, operator: usize, value: &str) -> String {
        format!("{} OPERATOR({}) {}", self.value(row), self.operators[operator], self.literal(value))
    }
}

/// The keys of changed rows in a statement.
#[derive(Debug, Clone, Copy)]
pub struct ByKeys<'a> {
    /// The name of their relation, with columns `k1`, `k2` …
    pub keys: &'a str,
    /// Rows after this key are not yet copied; none = all are.
    pub until: Option<&'a [String]>,
}

impl Tables {
    /// Places of the identity's columns among those that are compared, from 0.
    #[must_use]
    pub fn key_places(&self) -> Vec<usize> {
        self.identity
            .iter()
            .filter_map(|key| self.compared.iter().position(|column| *column == key.name))
            .collect()
    }

    /// Copies the next rows after a key, and returns them in order.
    #[must_use]
    pub fn copy(&self, after: Option<&[String]>, rows: i64) -> String {
        self.insert(&format!("{} LIMIT {rows}", self.in_order(after)))
    }

    /// Copies all rows of the sources into a target that are its own.
    #[must_use]
    pub fn copy_all(&self, target: usize) -> String {
        let (target, written) = (&self.targets[target], self.written.join(", "));
        format!(
            "INSERT INTO {} ({written}) OVERRIDING SYSTEM VALUE SELECT {written} FROM {}{}",
            target.name,
            self.sources(),
            target.condition()
        )
    }

    /// How many rows the sources have.
    #[must_use]
    pub fn count(&self) -> String {
        format!("SELECT count(*) FROM {}", self.sources())
    }

    /// The next rows of the sources after a key, in order.
    #[must_use]
    pub fn next(&self, after: Option<&[String]>, rows: i64) -> String {
        format!("{} LIMIT {rows}", self.in_order(after))
    }

    fn in_order(&self, after: Option<&[String]>) -> String {
        let condition = after.map_or_else(String::new, |key| format!(" WHERE {}", self.beyond("r", key)));
        let order: Vec<String> = self
            .identity
            .iter()
            .map(|key| format!("{} USING OPERATOR({})", key.value("r"), key.operators[LESS]))
            .collect();
        format!("SELECT {} FROM {}{condition} ORDER BY {}", self.row("r"), self.sources(), order.join(", "))
    }

    /// What the targets have after one key, up to another.
    #[must_use]
    pub fn copied(&self, after: Option<&[String]>, until: Option<&[String]>) -> String {
        let conditions: Vec<String> = after
            .map(|key| self.beyond("r", key))
            .into_iter()
            .chain(until.map(|key| self.up_to("r", key)))
            .collect();
        let condition = match conditions.as_slice() {
            [] => String::new(),
            conditions => format!(" WHERE {}", conditions.join(" AND ")),
        };
        self.of_targets(&condition)
    }

    /// Removes the rows of some keys from a target.
    #[must_use]
    pub fn remove(&self, target: usize, keys: &str) -> String {
        format!("DELETE FROM {} AS r WHERE {}", self.targets[target].rows(), self.is_among("r", keys))
    }

    /// Copies the rows of some keys, as far as they are there, and returns them.
    #[must_use]
    pub fn copy_again(&self, by: ByKeys<'_>) -> String {
        let bound = by.until.map_or_else(String::new, |key| format!(" AND {}", self.up_to("r", key)));
        self.insert(&format!(
            "SELECT {} FROM {} WHERE {}{bound}",
            self.row("r"),
            self.sources(),
            self.is_among("r", by.keys)
        ))
    }

    /// What the targets have of some keys.
    #[must_use]
    pub fn copied_again(&self, keys: &str) -> String {
        self.of_targets(&format!(" WHERE {}", self.is_among("r", keys)))
    }

    fn row(&self, of: &str) -> String {
        let columns: Vec<String> = self.compared.iter().map(|column| format!("{of}.{column}")).collect();
        columns.join(", ")
    }

    fn sources(&self) -> String {
        let columns = self.compared.join(", ");
        let each: Vec<String> =
            self.sources.iter().map(|source| format!("SELECT {columns} FROM ONLY {source}")).collect();
        format!("({}) AS r", each.join(" UNION ALL "))
    }

    fn of_targets(&self, condition: &str) -> String {
        let row = self.row("r");
        let each: Vec<String> = self
            .targets
            .iter()
            .map(|target| format!("SELECT {row} FROM {} AS r{condition}", target.rows()))
            .collect();
        each.join(" UNION ALL ")
    }

    /// Puts the rows of a query into the targets, each into its own, and returns them.
    fn insert(&self, query: &str) -> String {
        let written = self.written.join(", ");
        let row = self.compared.join(", ");
        let mut text = format!("WITH chunk AS MATERIALIZED ({query})");
        for (at, target) in self.targets.iter().enumerate() {
            let condition = target.condition();
            text += &format!(
                ", into_{at} AS (INSERT INTO {} ({written}) OVERRIDING SYSTEM VALUE \
                 SELECT {written} FROM chunk{condition})",
                target.name
            );
        }
        format!("{text} SELECT {row} FROM chunk")
    }

    fn is_among(&self, row: &str, keys: &str) -> String {
        let each: Vec<String> = self
            .identity
            .iter()
            .enumerate()
            .map(|(at, key)| format!("{} OPERATOR({}) k.k{}", key.value(row), key.operators[EQUAL], at + 1))
            .collect();
        format!("EXISTS (SELECT FROM {keys} AS k WHERE {})", each.join(" AND "))
    }

    /// Whether a row is after a key.
    fn beyond(&self, row: &str, key: &[String]) -> String {
        self.compare(row, key, GREATER, AT_LEAST, GREATER)
    }

    /// Whether a row is not after a key.
    fn up_to(&self, row: &str, key: &[String]) -> String {
        self.compare(row, key, AT_MOST, AT_MOST, LESS)
    }

    /// A comparison of rows, which an index answers; where the operators do not
    /// have one name, written out with a condition on the first column for it.
    fn compare(&self, row: &str, key: &[String], whole: usize, loose: usize, strict: usize) -> String {
        let pairs: Vec<(&KeyColumn, &String)> = self.identity.iter().zip(key).collect();
        let [(first, value), rest @ ..] = pairs.as_slice() else { return "true".to_owned() };
        if rest.is_empty() {
            return first.compare(row, whole, value);
        }
        if rest.iter().all(|(column, _)| column.operators == first.operators) {
            let columns: Vec<String> = pairs.iter().map(|(column, _)| column.value(row)).collect();
            let values: Vec<String> = pairs.iter().map(|(column, value)| column.literal(value)).collect();
            let operator = &first.operators[whole];
            return format!("({}) OPERATOR({operator}) ({})", columns.join(", "), values.join(", "));
        }
        let mut nested =
            pairs.last().map_or_else(String::new, |(column, value)| column.compare(row, whole, value));
        for (column, value) in pairs[..pairs.len() - 1].iter().rev() {
            let (beyond, equal) = (column.compare(row, strict, value), column.compare(row, EQUAL, value));
            nested = format!("({beyond} OR {equal} AND {nested})");
        }
        format!("{} AND {nested}", first.compare(row, loose, value))
    }
}

#[cfg(test)]
mod tests {
    use super::ByKeys;
    use super::KeyColumn;
    use super::Tables;
    use super::Target;

    fn column(name: &str, r#type: &str, schema: &str) -> KeyColumn {
        let operators = ["<", "<=", "=", ">=", ">"].map(|operator| format!("{schema}.{operator}"));
        KeyColumn {
            name: name.to_owned(),
            r#type: r#type.to_owned(),
            type_oid: 20,
            collation: None,
            operators,
        }
    }

    fn tables(identity: Vec<KeyColumn>) -> Tables {
        let target = |name: &str, condition: &str| Target {
            name: name.to_owned(),
            conditions: vec![condition.to_owned()],
            divided: false,
        };
        Tables {
            sources: vec!["s.t".to_owned()],
            targets: vec![target("s.a", "id < 5"), target("s.b", "id >= 5")],
            written: vec!["id".to_owned(), "\"V\"".to_owned()],
            compared: vec!["id".to_owned(), "\"V\"".to_owned(), "made".to_owned()],
            identity,
        }
    }

    fn key(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn all_rows_go_where_they_belong() {
        let tables = tables(Vec::new());
        assert_eq!(
            tables.copy_all(1),
            "INSERT INTO s.b (id, \"V\") OVERRIDING SYSTEM VALUE SELECT id, \"V\" FROM \
             (SELECT id, \"V\", made FROM ONLY s.t) AS r WHERE (id >= 5)"
        );
        assert_eq!(tables.count(), "SELECT count(*) FROM (SELECT id, \"V\", made FROM ONLY s.t) AS r");
    }

    #[test]
    fn a_chunk_goes_to_each_target_by_its_condition() {
        let tables = tables(vec![column("id", "pg_catalog.int8", "pg_catalog")]);
        assert_eq!(
            tables.copy(Some(&key(&["7"])), 10),
            "WITH chunk AS MATERIALIZED (SELECT r.id, r.\"V\", r.made FROM (SELECT id, \"V\", made FROM ONLY s.t) AS r \
             WHERE r.id OPERATOR(pg_catalog.>) '7'::pg_catalog.int8 ORDER BY r.id USING OPERATOR(pg_catalog.<) LIMIT 10), \
             into_0 AS (INSERT INTO s.a (id, \"V\") OVERRIDING SYSTEM VALUE SELECT id, \"V\" FROM chunk WHERE (id < 5)), \
             into_1 AS (INSERT INTO s.b (id, \"V\") OVERRIDING SYSTEM VALUE SELECT id, \"V\" FROM chunk WHERE (id >= 5)) \
             SELECT id, \"V\", made FROM chunk"
        );
        assert_eq!(tables.key_places(), [0]);
    }

    #[test]
    fn several_sources_are_one() {
        let mut tables = tables(vec![column("id", "int8", "pg_catalog")]);
        tables.sources.push("s.u".to_owned());
        assert!(
            tables.next(None, 3).contains(
                "FROM (SELECT id, \"V\", made FROM ONLY s.t UNION ALL SELECT id, \"V\", made FROM ONLY s.u) AS r ORDER BY"
            ),
            "{}",
            tables.next(None, 3)
        );
    }

    #[test]
    fn rows_are_compared_as_rows_where_that_is_possible() {
        let two = tables(vec![column("a", "int8", "pg_catalog"), column("b", "text", "pg_catalog")]);
        assert!(
            two.copied(Some(&key(&["1", "x"])), None)
                .contains("WHERE (r.a, r.b) OPERATOR(pg_catalog.>) ('1'::int8, 'x'::text)")
        );
        assert!(
            two.copied(None, Some(&key(&["1", "x"])))
                .contains("WHERE (r.a, r.b) OPERATOR(pg_catalog.<=) ('1'::int8, 'x'::text)")
        );
    }

    #[test]
    fn operators_of_several_schemas_are_written_out() {
        let mixed = tables(vec![column("a", "int8", "pg_catalog"), column("b", "s.citext", "s")]);
        assert!(
            mixed.copied(Some(&key(&["1", "x"])), None).contains(
                "WHERE r.a OPERATOR(pg_catalog.>=) '1'::int8 AND (r.a OPERATOR(pg_catalog.>) '1'::int8 OR \
                 r.a OPERATOR(pg_catalog.=) '1'::int8 AND r.b OPERATOR(s.>) 'x'::s.citext)"
            ),
            "{}",
            mixed.copied(Some(&key(&["1", "x"])), None)
        );
        assert!(mixed.copied(None, Some(&key(&["1", "x"]))).contains("r.b OPERATOR(s.<=) 'x'::s.citext)"));
    }

    #[test]
    fn the_server_routes_rows_of_a_divided_target() {
        let mut tables = tables(vec![column("id", "int8", "pg_catalog")]);
        tables.targets.truncate(1);
        tables.targets[0] = Target { name: "s.new".to_owned(), conditions: Vec::new(), divided: true };
        assert!(tables.remove(0, "keys").starts_with("DELETE FROM s.new AS r WHERE EXISTS"));
        assert!(tables.copied(None, None).ends_with(" FROM s.new AS r"));
        assert!(tables.copy(None, 3).contains("INSERT INTO s.new (id, \"V\") OVERRIDING SYSTEM VALUE"));
    }

    #[test]
    fn changed_rows_are_found_by_their_keys() {
        let mut tables = tables(vec![column("\"Id\"", "text", "pg_catalog")]);
        tables.identity[0].collation = Some("pg_catalog.\"C\"".to_owned());
        assert_eq!(
            tables.remove(1, "keys"),
            "DELETE FROM ONLY s.b AS r WHERE EXISTS (SELECT FROM keys AS k WHERE \
             r.\"Id\" COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.=) k.k1)"
        );
        let until = key(&["it's"]);
        assert!(tables.copy_again(ByKeys { keys: "keys", until: Some(&until) }).contains(
            "k.k1) AND r.\"Id\" COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.<=) 'it''s'::text), into_0"
        ));
        assert!(!tables.copy_again(ByKeys { keys: "keys", until: None }).contains("<="));
    }
}
