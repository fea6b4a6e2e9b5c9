//! What PostgreSQL's planner is to suppose, and what it made of it.
//!
//! `planning::proposal::evidence` decides what is supposed, `pg::what_if` has
//! the planner plan it, in tables that are empty and rolled back.
//!
//! Units: costs are the planner's own; rows and shards are means over the
//! draws of a statement's parameters.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::name::QualifiedName;
use crate::model::statistics::ColumnStatistics;

/// A column as the planner is to see it.
#[derive(Debug, Clone, PartialEq)]
pub struct SupposedColumn {
    pub statistics: Arc<ColumnStatistics>,
    /// In place of `statistics.distinct`; negative = share of the rows.
    pub distinct: f64,
}

/// A table or shard as the planner is to see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Supposed {
    /// The name of the table in the profile.
    pub relation: QualifiedName,
    /// Name of the shard; none = the table itself.
    pub shard: Option<String>,
    /// Shards that this one stands for.
    pub stands_for: f64,
    pub rows: f64,
    /// Pages of the heap.
    pub pages: f64,
    /// In the order of the table's columns.
    pub columns: Vec<Option<SupposedColumn>>,
}

/// How a parameter is used with a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ParameterUse {
    Equality,
    /// An array that is compared with `= ANY`.
    List,
    /// `>` and `>=`.
    Lower,
    /// `<` and `<=`.
    Upper,
    /// A span of time before the present, from which on rows are wanted.
    Ago,
    /// `LIMIT`.
    Limit,
}

/// A parameter of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// From one.
    pub number: usize,
    /// The columns that it is used with, by the names of the profile.
    pub uses: Vec<(ParameterUse, Option<(QualifiedName, String)>)>,
    /// Whether values of its type may be read here.
    pub readable: bool,
}

/// A value of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drawn {
    /// Nothing is known: the planner uses its own assumptions.
    Unknown,
    Null,
    /// In text form.
    Value(String),
}

/// Values for all parameters of a statement, the first for `$1`.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    pub weight: f64,
    pub values: Vec<Drawn>,
}

/// Values for the parameters of the statement of that number, as often as usual
/// or so many times as often.
pub type Draws<'a> = dyn Fn(usize, &[Parameter], usize) -> Vec<Draw> + 'a;

/// How a plan touches one table, for one execution.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Touched {
    /// Leaves that are looked at or written.
    pub shards: f64,
    /// Leaves that the planner had to deal with.
    pub planned: f64,
    /// Rows that are looked at: what scans return, and what their filters remove.
    pub rows: f64,
}

impl Touched {
    fn add(&mut self, other: Self, weight: f64) {
        self.shards += other.shards * weight;
        self.planned += other.planned * weight;
        self.rows += other.rows * weight;
    }
}

/// Leaves of a table that are planned at next to no cost.
const FEW_LEAVES: f64 = 2.0;

/// Rows of two draws that count as the same.
const ALIKE: f64 = 1.05;

/// What the planner made of one statement.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Planned {
    pub cost: f64,
    /// Where that was asked for: the cost if joins and aggregates went shard by
    /// shard, as the server's settings do not let them.
    pub shard_by_shard: Option<f64>,
    pub touched: BTreeMap<QualifiedName, Touched>,
}

impl Planned {
    /// Whether rows that are looked at depend so much on the values that more
    /// of them should be tried, where planning takes no time: all but a few
    /// leaves are pruned.
    #[must_use]
    pub fn wants_more(draws: &[(f64, Self)]) -> bool {
        let touched = || draws.iter().flat_map(|(_, planned)| &planned.touched);
        let differs = |name: &QualifiedName| {
            let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
            for (_, planned) in draws {
                let rows = planned.touched.get(name).map_or(0.0, |one| one.rows);
                (least, most) = (least.min(rows), most.max(rows));
            }
            most > least * ALIKE + 1.0
        };
        touched().all(|(_, one)| one.planned <= FEW_LEAVES) && touched().any(|(name, _)| differs(name))
    }

    /// The mean over draws; none if there are none.
    #[must_use]
    pub fn mean(draws: &[(f64, Self)]) -> Option<Self> {
        let total: f64 = draws.iter().map(|(weight, _)| weight).sum();
        if total <= 0.0 {
            return None;
        }
        let asked = draws.iter().all(|(_, planned)| planned.shard_by_shard.is_some());
        let mut mean = Self { shard_by_shard: asked.then_some(0.0), ..Self::default() };
        for (weight, planned) in draws {
            mean.cost += planned.cost * weight / total;
            if let (Some(sum), Some(cost)) = (&mut mean.shard_by_shard, planned.shard_by_shard) {
                *sum += cost * weight / total;
            }
            for (relation, touched) in &planned.touched {
                mean.touched.entry(relation.clone()).or_default().add(*touched, weight / total);
            }
        }
        Some(mean)
    }
}

/// A statement that was not planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotPlanned {
    pub sqlstate: String,
    pub message: String,
}

/// One statement after the other, as they were asked for.
pub type Plans = Vec<Result<Planned, NotPlanned>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_weighs_draws_and_misses_count_as_nothing() {
        let name = QualifiedName::new("app", "t");
        let one = |cost, shards| Planned {
            cost,
            shard_by_shard: Some(cost / 2.0),
            touched: BTreeMap::from([(name.clone(), Touched { shards, planned: shards, rows: 10.0 })]),
        };
        let none = Planned { cost: 1.0, ..Planned::default() };
        let mean = Planned::mean(&[(1.0, one(10.0, 2.0)), (3.0, one(2.0, 4.0)), (4.0, none)]).unwrap();
        assert_eq!((mean.cost, mean.shard_by_shard), (2.5, None));
        let asked = Planned::mean(&[(1.0, one(10.0, 2.0)), (3.0, one(2.0, 4.0))]).unwrap();
        assert_eq!((asked.cost, asked.shard_by_shard), (4.0, Some(2.0)));
        assert_eq!(mean.touched[&name], Touched { shards: 1.75, planned: 1.75, rows: 5.0 });
        assert_eq!(Planned::mean(&[]), None);
    }

    #[test]
    fn more_values_are_tried_where_rows_differ_and_shards_are_pruned() {
        let one = |rows, planned| {
            let touched = Touched { shards: 1.0, planned, rows };
            (
                1.0,
                Planned {
                    touched: BTreeMap::from([(QualifiedName::new("app", "t"), touched)]),
                    ..Planned::default()
                },
            )
        };
        let none = || (1.0, Planned::default());
        assert!(Planned::wants_more(&[one(1.0, 1.0), one(300.0, 1.0)]));
        assert!(Planned::wants_more(&[none(), one(300.0, 1.0)]));
        assert!(!Planned::wants_more(&[one(1.0, 64.0), one(300.0, 1.0)]));
        assert!(!Planned::wants_more(&[one(300.0, 1.0), one(301.0, 1.0)]));
        assert!(!Planned::wants_more(&[one(1.0, 1.0), one(2.0, 1.0)]));
        assert!(!Planned::wants_more(&[]));
    }
}
