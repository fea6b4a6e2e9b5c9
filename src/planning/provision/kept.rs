//! A table that has rows and becomes, as it is, the first shard of a sharded
//! one: what it accepts then, and which shards of the layout are ahead of it.
//!
//! ```text
//! range  the table: MINVALUE up to the first point behind its greatest key; ahead: the ranges from there
//! list   the table: DEFAULT; ahead: the lists of which it has no value
//! hash   the table: everything; nothing is ahead
//! ```
//!
//! Invariant: no row of the table belongs to a shard ahead. Which rows it has
//! only the server knows: here are the questions ([`Probe`]), and what follows
//! from the answers ([`Kept`]).

use serde::Deserialize;
use thiserror::Error;

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::bound::write_point;
use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::layout::LayoutError;
use crate::model::layout::Shard;
use crate::model::name::QualifiedName;
use crate::model::name::default_shard_name;
use crate::model::name::quote_identifier;
use crate::model::name::quote_literal;
use crate::model::name::shard_name;
use crate::model::report::Report;
use crate::model::report::SqlState;

/// What an old table becomes, and the shards beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// What the table is called as a shard.
    pub name: String,
    pub bound: Bound,
    pub ahead: Vec<Shard>,
}

/// Why a table cannot become the first shard of a layout.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeepRefusal {
    #[error("table \"{0:#}\" cannot become one shard of a layout of two levels")]
    TwoLevels(QualifiedName),
    #[error("table \"{0:#}\" is partitioned: none of its shards can have all of its rows")]
    Partitioned(QualifiedName),
    #[error("no split point of the proposal is ahead of table \"{relation:#}\"")]
    NothingAhead { relation: QualifiedName, last: Option<String>, greatest: Option<String> },
    #[error("history => 'keep' copies nothing, so there is nothing to do offline")]
    Offline,
}

impl Report for KeepRefusal {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::TwoLevels(_) => SqlState::FeatureNotSupported,
            Self::Offline => SqlState::InvalidParameterValue,
            Self::Partitioned(_) | Self::NothingAhead { .. } => SqlState::ObjectNotInPrerequisiteState,
        }
    }

    fn detail(&self) -> Option<String> {
        let Self::NothingAhead { last, greatest, .. } = self else { return None };
        Some(match (last, greatest) {
            (Some(last), Some(greatest)) => {
                format!("Its greatest key is {greatest}, the last split point is {last}.")
            }
            (Some(last), None) => format!("The last split point is {last}."),
            (None, _) => "The proposal has no split point.".to_owned(),
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::TwoLevels(_) => {
                "Register a proposal of one level, or pass history => 'split', which copies each row into its shard."
                    .to_owned()
            }
            Self::Partitioned(_) => {
                "Pass history => 'split', which copies each row into the shard that it belongs to.".to_owned()
            }
            Self::NothingAhead { .. } => {
                "Propose split points that lie behind all rows, or pass history => 'split'.".to_owned()
            }
            Self::Offline => "Leave online out.".to_owned(),
        })
    }
}

/// Shards that are ahead if the table has no row of them; the others never are.
pub fn candidates(layout: &Layout) -> impl Iterator<Item = &Shard> {
    layout.shards().iter().filter(|shard| match &shard.bound {
        Bound::Range { lower, .. } => lower.first() != Some(&RangeDatum::MinValue),
        Bound::List { .. } => true,
        Bound::Hash { .. } | Bound::Default => false,
    })
}

/// What the table becomes if it has no row of the shards that are free; of
/// ranges, none of theirs nor of any behind them. None: no range is.
#[must_use]
pub fn kept(layout: &Layout, table: &str, is_free: impl Fn(&Shard) -> bool) -> Option<Kept> {
    let free: Vec<&Shard> = candidates(layout).filter(|shard| is_free(shard)).collect();
    let default = layout.shards().iter().find(|shard| shard.bound == Bound::Default);
    let ahead = free.iter().map(|shard| (*shard).clone());
    match layout.first_strategy() {
        Strategy::Range | Strategy::RangeHash | Strategy::None => {
            let Bound::Range { lower, .. } = &free.first()?.bound else { return None };
            let ranges = layout.shards().iter().filter(|shard| shard.bound != Bound::Default);
            let first = ranges.take_while(|shard| shard.name != free[0].name).next();
            Some(Kept {
                name: first.map_or_else(|| shard_name(table, 0), |shard| shard.name.clone()),
                bound: Bound::Range { lower: vec![RangeDatum::MinValue; lower.len()], upper: lower.clone() },
                ahead: ahead.chain(default.cloned()).collect(),
            })
        }
        Strategy::List | Strategy::ListHash => Some(Kept {
            name: default.map_or_else(|| default_shard_name(table), |shard| shard.name.clone()),
            bound: Bound::Default,
            ahead: ahead.collect(),
        }),
        Strategy::Hash => Some(Kept {
            name: layout.shards().first().map_or_else(|| shard_name(table, 1), |shard| shard.name.clone()),
            bound: Bound::Hash { modulus: 1, remainder: 0 },
            ahead: Vec::new(),
        }),
    }
}

/// The point from which on nothing of a layout can be ahead of a row, for people.
#[must_use]
pub fn last_point(layout: &Layout) -> Option<String> {
    let last = candidates(layout).filter_map(|shard| match &shard.bound {
        Bound::Range { lower, .. } => Some(write_point(lower)),
        _ => None,
    });
    last.last()
}

impl Kept {
    /// The layout of the shards that are made, or of the table alone if none is.
    ///
    /// # Errors
    /// [`LayoutError`] if they are none.
    pub fn layout(&self, of: &Layout) -> Result<Layout, LayoutError> {
        let shards = if self.ahead.is_empty() { vec![self.shard()] } else { self.ahead.clone() };
        Layout::new(of.strategy(), of.shard_key().to_vec(), of.key_types().to_vec(), shards)
    }

    fn shard(&self) -> Shard {
        Shard {
            name: self.name.clone(),
            bound: self.bound.clone(),
            rows: 0.0,
            bytes: 0.0,
            tablespace: None,
            future: false,
            of: None,
        }
    }
}

/// A column of the key, as PostgreSQL orders it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct KeyColumn {
    pub name: String,
    /// The type of a value, as it is written after `::`.
    pub type_text: String,
    /// The operators of its order, with their schemas: `OPERATOR(pg_catalog.=)`.
    pub equal: String,
    pub greater: String,
    pub is_not_null: bool,
}

/// The question which of some shards the rows of a table belong to, or are
/// behind; an index on the key answers it at once.
pub struct Probe<'a> {
    pub table: &'a QualifiedName,
    pub columns: &'a [KeyColumn],
}

impl Probe<'_> {
    /// A query of one JSON value: an array with, for each shard, whether it is
    /// taken, and the greatest key. No row: the table has none.
    #[must_use]
    pub fn of_ranges(&self, shards: &[&Shard]) -> String {
        let taken = shards.iter().map(|shard| match &shard.bound {
            Bound::Range { lower, .. } => reached(lower, self.columns),
            _ => "true".to_owned(),
        });
        let taken = taken.collect::<Vec<_>>().join(", ");
        let keys: Vec<String> =
            self.columns.iter().map(|column| format!("l.{}", quote_identifier(&column.name))).collect();
        let first = keys.first().map_or("", String::as_str);
        format!(
            "WITH last AS MATERIALIZED (SELECT {} FROM ONLY {} AS l WHERE {first} IS NOT NULL ORDER BY {} LIMIT 1)
             SELECT pg_catalog.jsonb_build_array(ARRAY[{taken}]::pg_catalog.bool[], pg_catalog.concat_ws(', ', {}))::text FROM last AS l",
            keys.join(", "),
            self.table,
            keys.iter().map(|key| format!("{key} DESC")).collect::<Vec<_>>().join(", "),
            keys.join(", "),
        )
    }

    /// The same of lists, of each of which a value is looked for.
    #[must_use]
    pub fn of_lists(&self, shards: &[&Shard]) -> String {
        let taken = shards.iter().map(|shard| match &shard.bound {
            Bound::List { values } => self.has_one_of(values),
            _ => "true".to_owned(),
        });
        let taken = taken.collect::<Vec<_>>().join(", ");
        format!("SELECT pg_catalog.jsonb_build_array(ARRAY[{taken}]::pg_catalog.bool[], NULL)::text")
    }

    fn has_one_of(&self, values: &[Option<String>]) -> String {
        let Some(column) = self.columns.first() else { return "true".to_owned() };
        let key = format!("l.{}", quote_identifier(&column.name));
        let exists =
            |condition: String| format!("EXISTS (SELECT FROM ONLY {} AS l WHERE {condition})", self.table);
        let literals: Vec<&str> = values.iter().filter_map(Option::as_deref).collect();
        let mut parts = Vec::new();
        if !literals.is_empty() {
            let literals: Vec<String> = literals.into_iter().map(|value| literal(value, column)).collect();
            parts.push(exists(format!("{key} {} ANY (ARRAY[{}])", column.equal, literals.join(", "))));
        }
        if values.contains(&None) {
            parts.push(exists(format!("{key} IS NULL")));
        }
        format!("({})", parts.join(" OR "))
    }

    /// A query of one truth: whether a row has no key.
    #[must_use]
    pub fn of_nulls(&self) -> String {
        let key = self.columns.first().map(|column| quote_identifier(&column.name)).unwrap_or_default();
        format!("SELECT EXISTS (SELECT FROM ONLY {} AS l WHERE l.{key} IS NULL)", self.table)
    }
}

fn literal(value: &str, column: &KeyColumn) -> String {
    format!("{}::{}", quote_literal(value).trim_start(), column.type_text)
}

/// Whether row `l` is at a point or behind it, in PostgreSQL's order of bounds.
fn reached(point: &[RangeDatum], columns: &[KeyColumn]) -> String {
    let Some((datum, column)) = point.first().zip(columns.first()) else { return "true".to_owned() };
    let value = match datum {
        RangeDatum::MinValue => return "true".to_owned(),
        RangeDatum::MaxValue => return "false".to_owned(),
        RangeDatum::Value(value) => literal(value, column),
    };
    let key = format!("l.{}", quote_identifier(&column.name));
    let behind = reached(&point[1..], &columns[1..]);
    format!("({key} {} {value} OR {key} {} {value} AND {behind})", column.greater, column.equal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::KeyType;

    fn shard(name: &str, bound: Bound) -> Shard {
        Shard {
            name: name.to_owned(),
            bound,
            rows: 0.0,
            bytes: 0.0,
            tablespace: None,
            future: false,
            of: None,
        }
    }

    fn datum(text: &str) -> RangeDatum {
        match text {
            "MINVALUE" => RangeDatum::MinValue,
            "MAXVALUE" => RangeDatum::MaxValue,
            value => RangeDatum::Value(value.to_owned()),
        }
    }

    fn range(name: &str, lower: &str, upper: &str) -> Shard {
        shard(name, Bound::Range { lower: vec![datum(lower)], upper: vec![datum(upper)] })
    }

    fn ranges() -> Layout {
        let shards = vec![
            range("t_s0001", "MINVALUE", "10"),
            range("t_s0002", "10", "20"),
            range("t_s0003", "20", "MAXVALUE"),
            shard("t_default", Bound::Default),
        ];
        Layout::new(Strategy::Range, vec!["k".to_owned()], vec![KeyType::Integer], shards).unwrap()
    }

    fn column(name: &str) -> KeyColumn {
        KeyColumn {
            name: name.to_owned(),
            type_text: "integer".to_owned(),
            equal: "OPERATOR(pg_catalog.=)".to_owned(),
            greater: "OPERATOR(pg_catalog.>)".to_owned(),
            is_not_null: true,
        }
    }

    fn names(kept: &Kept) -> Vec<&str> {
        kept.ahead.iter().map(|shard| shard.name.as_str()).collect()
    }

    #[test]
    fn a_range_ends_at_the_first_point_that_no_row_has_reached() {
        let layout = ranges();
        let of = |free: &[&str]| kept(&layout, "t", |shard| free.contains(&shard.name.as_str()));
        let found = of(&["t_s0002", "t_s0003"]).unwrap();
        assert_eq!(found.name, "t_s0001");
        assert_eq!(found.bound.sql(), "FOR VALUES FROM (MINVALUE) TO ('10')");
        assert_eq!(names(&found), ["t_s0002", "t_s0003", "t_default"]);
        let found = of(&["t_s0003"]).unwrap();
        assert_eq!(
            (found.name.as_str(), found.bound.sql().as_str()),
            ("t_s0001", "FOR VALUES FROM (MINVALUE) TO ('20')")
        );
        assert_eq!(found.layout(&layout).unwrap().shards().len(), 2);
        assert_eq!(of(&[]), None);
        // The first range is never ahead, for it has no beginning.
        assert_eq!(of(&["t_s0001"]), None);
        assert_eq!(last_point(&layout).as_deref(), Some("20"));
    }

    #[test]
    fn all_rows_may_lie_before_the_first_range() {
        let shards = vec![range("t_s0001", "10", "20"), range("t_s0002", "20", "30")];
        let layout =
            Layout::new(Strategy::Range, vec!["k".to_owned()], vec![KeyType::Integer], shards).unwrap();
        let found = kept(&layout, "t", |_| true).unwrap();
        assert_eq!((found.name.as_str(), names(&found)), ("t_s0000", vec!["t_s0001", "t_s0002"]));
        assert_eq!(found.bound.sql(), "FOR VALUES FROM (MINVALUE) TO ('10')");
    }

    #[test]
    fn of_lists_and_hashes_the_table_takes_what_is_left() {
        let list =
            |name: &str, value: &str| shard(name, Bound::List { values: vec![Some(value.to_owned())] });
        let shards = vec![list("t_s0001", "a"), list("t_s0002", "b")];
        let layout = Layout::new(Strategy::List, vec!["k".to_owned()], vec![KeyType::Text], shards).unwrap();
        let found = kept(&layout, "t", |shard| shard.name == "t_s0002").unwrap();
        assert_eq!(
            (found.name.as_str(), &found.bound, names(&found)),
            ("t_default", &Bound::Default, vec!["t_s0002"])
        );
        let none = kept(&layout, "t", |_| false).unwrap();
        assert_eq!(none.layout(&layout).unwrap().shards()[0].name, "t_default");
        let hash =
            |remainder| shard(&format!("t_s000{}", remainder + 1), Bound::Hash { modulus: 2, remainder });
        let layout =
            Layout::new(Strategy::Hash, vec!["k".to_owned()], vec![KeyType::Integer], vec![hash(0), hash(1)])
                .unwrap();
        let found = kept(&layout, "t", |_| true).unwrap();
        assert_eq!((found.name.as_str(), names(&found).len()), ("t_s0001", 0));
        assert_eq!(found.bound.sql(), "FOR VALUES WITH (modulus 1, remainder 0)");
        assert_eq!(found.layout(&layout).unwrap().shards().len(), 1);
    }

    #[test]
    fn the_greatest_key_is_compared_in_the_order_of_the_key() {
        let table = QualifiedName::new("app", "T");
        let columns = [column("a"), column("b c")];
        let probe = Probe { table: &table, columns: &columns };
        let two = |a: &str, b: &str| vec![datum(a), datum(b)];
        let bound = |lower| shard("s", Bound::Range { lower, upper: two("MAXVALUE", "MAXVALUE") });
        let shards = [bound(two("1", "2")), bound(two("1", "MINVALUE")), bound(two("it's", "MAXVALUE"))];
        let text = probe.of_ranges(&shards.iter().collect::<Vec<_>>());
        for part in [
            "SELECT l.a, l.\"b c\" FROM ONLY app.\"T\" AS l WHERE l.a IS NOT NULL ORDER BY l.a DESC, l.\"b c\" DESC LIMIT 1",
            "(l.a OPERATOR(pg_catalog.>) '1'::integer OR l.a OPERATOR(pg_catalog.=) '1'::integer AND \
             (l.\"b c\" OPERATOR(pg_catalog.>) '2'::integer OR l.\"b c\" OPERATOR(pg_catalog.=) '2'::integer AND true))",
            "l.a OPERATOR(pg_catalog.=) '1'::integer AND true)",
            "l.a OPERATOR(pg_catalog.=) 'it''s'::integer AND false)",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let lists = [shard("s", Bound::List { values: vec![Some("x".to_owned()), None] })];
        let text = probe.of_lists(&lists.iter().collect::<Vec<_>>());
        assert!(text.contains("l.a OPERATOR(pg_catalog.=) ANY (ARRAY['x'::integer])) OR EXISTS"), "{text}");
        assert!(probe.of_nulls().ends_with("FROM ONLY app.\"T\" AS l WHERE l.a IS NULL)"));
    }

    #[test]
    fn refusals_say_where_the_rows_end() {
        let refusal = KeepRefusal::NothingAhead {
            relation: QualifiedName::new("app", "t"),
            last: Some("20".to_owned()),
            greatest: Some("31".to_owned()),
        };
        assert_eq!(refusal.to_string(), "no split point of the proposal is ahead of table \"app.t\"");
        assert_eq!(refusal.detail().as_deref(), Some("Its greatest key is 31, the last split point is 20."));
    }
}
