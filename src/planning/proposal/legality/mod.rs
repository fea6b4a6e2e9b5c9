//! What PostgreSQL would refuse or weaken for a shard key, with its price.
//!
//! The rules were tried on PostgreSQL 15 and 18. What a rule forbids is not
//! left out: the verdict says what it would cost to meet it. A unique index on
//! expressions is taken if the key is among its plain columns. Not here:
//! whether the key is any good. Invariant: a verdict without obstacles is a
//! layout that CREATE TABLE, ADD PRIMARY KEY, CREATE INDEX and ADD FOREIGN KEY
//! all take.

mod exclusion;
pub mod null;
mod price;
mod reference;
mod unique;

pub use crate::planning::proposal::legality::price::Price;
pub use crate::planning::proposal::legality::price::Weakened;
pub use crate::planning::proposal::legality::price::WidenedKey;
pub use crate::planning::proposal::legality::unique::index_growth;

use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::name::quote_identifier;
use crate::model::name::quote_identifiers;
use crate::model::profile::ConstraintKind;
use crate::model::profile::Table;
use crate::model::profile::TableKind;
use crate::model::settings::UniquePolicy;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::traffic;

/// PostgreSQL 17 takes exclusion constraints on partitioned tables if they
/// compare the key for equality; before, they are made on each shard.
const EXCLUSION_SINCE: u32 = 170_000;
/// PostgreSQL 17 gives partitions the identity of their table.
const IDENTITY_SINCE: u32 = 170_000;
/// PostgreSQL 18 takes foreign keys NOT VALID on partitioned tables, and
/// refuses UNLOGGED for them (before, it was taken and meant nothing).
const NOT_VALID_SINCE: u32 = 180_000;

/// What stands against a shard key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Full sentences; empty = legal.
    pub obstacles: Vec<String>,
    /// What is legal but weaker than before.
    pub warnings: Vec<String>,
    /// What it takes to have the key all the same.
    pub price: Price,
}

impl Verdict {
    /// The obstacles and the price of them all, in sentences; empty if nothing
    /// is to be said.
    pub fn told(&self) -> String {
        // One obstacle tells its price itself, but for the statements.
        let alone = self.obstacles.len() == 1 && self.price.on_conflict_statements == 0;
        let price = self.price.sentence().filter(|_| !alone);
        self.obstacles.iter().cloned().chain(price).collect::<Vec<_>>().join(" ")
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    input: &'a ProposalInput<'a>,
}

impl<'a> Rules<'a> {
    pub const fn of(input: &'a ProposalInput<'a>) -> Self {
        Self { input }
    }

    fn policy(&self) -> UniquePolicy {
        self.input.settings.unique_policy
    }

    /// Judges a key of a table: the columns of all levels.
    pub fn judge(&self, subject: &Subject, key: &[String], strategy: Strategy) -> Verdict {
        self.judged(subject, key, strategy, None)
    }

    /// Judges a layout that was made.
    pub fn judge_layout(&self, subject: &Subject, layout: &Layout) -> Verdict {
        self.judged(subject, &layout.key_columns(), layout.strategy(), Some(layout))
    }

    fn judged(
        &self,
        subject: &Subject,
        key: &[String],
        strategy: Strategy,
        layout: Option<&Layout>,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        let table = subject.table;
        // Shards that were made here can be made anew.
        let ours = table.kind == TableKind::Partitioned && self.input.applied.contains_key(&subject.name);
        verdict.obstacles.extend(not_a_table_to_shard(table).filter(|_| !ours));
        verdict.obstacles.extend(unfit_columns(table, key, strategy));
        self.uniques(subject, key, &mut verdict);
        self.exclusions(table, key, &mut verdict);
        self.references(subject, key, &mut verdict);
        self.foreign_keys(table, &mut verdict);
        triggers(table, &mut verdict);
        verdict.warnings.extend(null::warnings(table, key, strategy, layout));
        self.features(table, &mut verdict);
        self.conflicts(subject, key, &mut verdict);
        verdict
    }

    /// What partitioned tables do otherwise than others.
    fn features(&self, table: &Table, verdict: &mut Verdict) {
        let version = self.input.target_version_num;
        if table.unlogged && version >= NOT_VALID_SINCE {
            verdict.warnings.push(
                "The table is unlogged: from PostgreSQL 18 on only its shards can be, not the table that holds them."
                    .to_owned(),
            );
        }
        for column in table.columns.iter().filter(|column| column.identity && version < IDENTITY_SINCE) {
            verdict.warnings.push(format!(
                "Identity column {} gets its values from inserts into the table, not from those into a single \
                 shard, before PostgreSQL 17.",
                quote_identifier(&column.name)
            ));
        }
    }

    fn foreign_keys(&self, table: &Table, verdict: &mut Verdict) {
        if self.input.target_version_num >= NOT_VALID_SINCE {
            return;
        }
        let pending = table
            .constraints
            .iter()
            .filter(|constraint| constraint.kind == ConstraintKind::ForeignKey && !constraint.validated);
        for constraint in pending {
            verdict.warnings.push(format!(
                "Foreign key {} is NOT VALID; a partitioned table cannot have that before PostgreSQL 18, so \
                 its rows are checked.",
                quote_identifier(&constraint.name)
            ));
        }
    }

    /// Statements that say ON CONFLICT on columns that are no longer unique.
    fn conflicts(&self, subject: &Subject, key: &[String], verdict: &mut Verdict) {
        let statements = self.input.workload.statements.iter();
        let each = traffic::per_second(self.input, 1.0);
        let called = statements.map(|statement| (&statement.analysis, statement.calls * each));
        let named_stay = self.policy() != UniquePolicy::PerShard;
        let (count, calls) = price::conflicts(called, &subject.name, key, named_stay);
        (verdict.price.on_conflict_statements, verdict.price.on_conflict_per_second) = (count, calls);
        if count > 0 {
            verdict.warnings.push(format!(
                "{} of the workload ({} calls per second) would fail: ON CONFLICT without {}.",
                price::counted(count, "statement"),
                price::rate(calls),
                quote_identifiers(key)
            ));
        }
    }
}

/// What a table is that cannot be divided, whatever the key. One that is
/// partitioned can be cut anew.
fn not_a_table_to_shard(table: &Table) -> Option<String> {
    let what = if table.kind == TableKind::Foreign {
        "a foreign table: its rows are elsewhere".to_owned()
    } else if table.extension {
        "of an extension, which would not find it changed".to_owned()
    } else if table.inheritance {
        "a parent or child by inheritance; a partitioned table cannot be".to_owned()
    } else if table.schema.starts_with("pg_temp") {
        "temporary: it ends with its session".to_owned()
    } else if table.schema.starts_with("pg_") || table.schema == "information_schema" {
        format!("of the system, in schema {}", quote_identifier(&table.schema))
    } else {
        return None;
    };
    Some(format!("The table is {what}."))
}

/// Columns that cannot be part of a key of that strategy.
fn unfit_columns(table: &Table, key: &[String], strategy: Strategy) -> Vec<String> {
    let mut found = Vec::new();
    if strategy == Strategy::List && key.len() > 1 {
        found.push("A list has one column as its key.".to_owned());
    }
    for name in key {
        let shown = quote_identifier(name);
        let Some(column) = table.column(name) else {
            found.push(format!("There is no column {shown}."));
            continue;
        };
        if column.generated {
            found.push(format!("Column {shown} is generated, which a shard key cannot be."));
        }
        let (able, class) = match strategy {
            Strategy::None => continue,
            Strategy::Hash => (column.hashable, "hash"),
            Strategy::Range | Strategy::List => (column.orderable, "btree"),
            Strategy::RangeHash | Strategy::ListHash => {
                (column.orderable || column.hashable, "btree or hash")
            }
        };
        if !able {
            found.push(format!(
                "Column {shown} has type {}, which has no default {class} operator class.",
                column.type_name.text
            ));
        }
    }
    found
}

fn triggers(table: &Table, verdict: &mut Verdict) {
    for trigger in table.triggers.iter().filter(|trigger| trigger.row) {
        let shown = quote_identifier(&trigger.name);
        if trigger.transition_tables {
            verdict.obstacles.push(format!(
                "Row trigger {shown} has transition tables, which PostgreSQL does not support on shards."
            ));
        } else if trigger.before {
            verdict.warnings.push(format!("Row trigger {shown} must not change the shard key of a row."));
        }
    }
}
