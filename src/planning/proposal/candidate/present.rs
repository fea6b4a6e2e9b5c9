//! The key by which a table is partitioned today.
//!
//! Read from `pg_get_partkeydef`: `RANGE (at)`, `HASH (a, b)`. A key with an
//! expression is none of ours. Invariant: columns are those of the table.

use crate::model::key::Strategy;
use crate::model::name::WrittenName;
use crate::model::profile::Table;
use crate::model::profile::TableKind;
use crate::planning::proposal::candidate::Candidate;
use crate::planning::proposal::candidate::Generator;
use crate::planning::proposal::key::ShardKey;

/// Strategy and columns of the partition key of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    strategy: Strategy,
    columns: Vec<String>,
}

impl Present {
    pub fn of(table: &Table) -> Option<Self> {
        if table.kind != TableKind::Partitioned {
            return None;
        }
        let (word, rest) = table.partition_key.as_deref()?.split_once(" (")?;
        let strategy = match word {
            "RANGE" => Strategy::Range,
            "LIST" => Strategy::List,
            "HASH" => Strategy::Hash,
            _ => return None,
        };
        let columns: Option<Vec<String>> =
            parts(rest.strip_suffix(')')?).into_iter().map(|part| column(table, part)).collect();
        Some(Self { strategy, columns: columns? })
    }

    pub fn is(&self, strategy: Strategy, columns: &[&String]) -> bool {
        self.strategy == strategy && self.columns.iter().eq(columns.iter().copied())
    }

    /// The key as a candidate, if it has two columns and is a hash.
    pub fn pair(&self, table: &Table) -> Option<Candidate> {
        if self.strategy != Strategy::Hash || self.columns.len() != 2 {
            return None;
        }
        let columns: Option<Vec<_>> =
            self.columns.iter().map(|name| table.column(name).map(Into::into)).collect();
        let key = ShardKey { first: columns?, second: Vec::new() };
        Some(Candidate::new(Strategy::Hash, key, vec![Generator::PresentKey]))
    }
}

/// The parts of a key: commas inside quotes do not part them.
fn parts(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let outside = |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    };
    text.split(outside).map(str::trim).collect()
}

/// The column that a part of a key names; collations and operator classes
/// may follow it.
fn column(table: &Table, text: &str) -> Option<String> {
    let mut quoted = false;
    let end = text.find(|c: char| {
        quoted ^= c == '"';
        c == ' ' && !quoted
    });
    let written = WrittenName::parse(&text[..end.unwrap_or(text.len())]).ok()?;
    let found = table.column(&written.name).filter(|column| !column.generated);
    found.filter(|_| written.schema.is_none()).map(|column| column.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::proposal::tests::fixture::table;

    #[test]
    fn partition_keys_are_read() {
        let read = |key: &str| {
            let mut table = table("t", &[("at", "date"), ("Odd, one", "bigint"), ("b", "text")]);
            table.kind = TableKind::Partitioned;
            table.partition_key = Some(key.to_owned());
            Present::of(&table).map(|found| format!("{} {}", found.strategy.word(), found.columns.join("|")))
        };
        assert_eq!(read("RANGE (at)").as_deref(), Some("range at"));
        assert_eq!(read("RANGE (\"Odd, one\" int8_ops, at)").as_deref(), Some("range Odd, one|at"));
        assert_eq!(read("HASH (at, b)").as_deref(), Some("hash at|b"));
        assert_eq!(read("LIST (b COLLATE \"C\" text_pattern_ops)").as_deref(), Some("list b"));
        for odd in ["RANGE (date_trunc('day'::text, at))", "RANGE", "", "RANGE (gone)", "LIST (lower(b))"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }
}
