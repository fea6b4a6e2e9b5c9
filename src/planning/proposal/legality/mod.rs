//! What PostgreSQL would refuse or weaken for a shard key, with its price.
//!
//! The rules were tried on PostgreSQL 15; what 17 and 18 relax is from their
//! release notes. A unique index on expressions is taken if the key is among
//! its plain columns. Not here: whether the key is any good. Invariant: a verdict without obstacles is a layout that CREATE
//! TABLE, ADD PRIMARY KEY, CREATE INDEX and ADD FOREIGN KEY all take.

use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::name::quote_identifiers;
use crate::model::profile::Column;
use crate::model::profile::Constraint;
use crate::model::profile::ConstraintKind;
use crate::model::profile::Index;
use crate::model::profile::Profile;
use crate::model::profile::Table;
use crate::model::settings::UniquePolicy;

/// PostgreSQL 17 takes exclusion constraints on partitioned tables if they
/// compare the key for equality.
const EXCLUSION_SINCE: u32 = 170_000;
/// PostgreSQL 18 takes foreign keys NOT VALID on partitioned tables, and
/// refuses UNLOGGED for them (before, it was taken and meant nothing).
const NOT_VALID_SINCE: u32 = 180_000;

/// What stands against a shard key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Full sentences; empty = legal.
    pub obstacles: Vec<String>,
    /// What is legal but weaker than before.
    pub warnings: Vec<String>,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    pub profile: &'a Profile,
    pub unique_policy: UniquePolicy,
    pub target_version_num: u32,
}

impl Rules<'_> {
    /// Judges a key of a table.
    pub fn judge(&self, table: &Table, key: &[String]) -> Verdict {
        let mut verdict = Verdict::default();
        self.uniques(table, key, &mut verdict);
        self.exclusions(table, key, &mut verdict);
        self.references(table, key, &mut verdict);
        self.triggers(table, &mut verdict);
        self.foreign_keys(table, &mut verdict);
        if table.unlogged && self.target_version_num >= NOT_VALID_SINCE {
            verdict.warnings.push(
                "The table is unlogged: from PostgreSQL 18 on only its shards can be, not the table that holds them."
                    .to_owned(),
            );
        }
        let nullable = table.columns.iter().filter(|column| key.contains(&column.name) && !column.not_null);
        for column in nullable {
            verdict.warnings.push(format!(
                "Column {} may be NULL: for a range such rows go to the default shard, for hash all to one.",
                quote_identifier(&column.name)
            ));
        }
        verdict
    }

    fn uniques(&self, table: &Table, key: &[String], verdict: &mut Verdict) {
        let constraints = table.constraints.iter().filter(|constraint| {
            matches!(constraint.kind, ConstraintKind::PrimaryKey | ConstraintKind::Unique)
        });
        for constraint in constraints {
            let what = match constraint.kind {
                ConstraintKind::PrimaryKey => "Primary key",
                _ => "Unique constraint",
            };
            self.unique(table, key, what, &constraint.name, &constraint.columns, verdict);
        }
        let of_constraint = |index: &Index| {
            index.of_constraint || table.constraints.iter().any(|found| found.name == index.name)
        };
        for index in table.indexes.iter().filter(|index| index.unique && !of_constraint(index)) {
            let plain: Vec<String> = index.columns.iter().flatten().cloned().collect();
            let what = if plain.len() < index.columns.len() {
                "Unique index on expressions"
            } else {
                "Unique index"
            };
            self.unique(table, key, what, &index.name, &plain, verdict);
        }
    }

    fn unique(
        &self,
        table: &Table,
        key: &[String],
        what: &str,
        name: &str,
        columns: &[String],
        verdict: &mut Verdict,
    ) {
        let missing: Vec<&String> = key.iter().filter(|column| !columns.contains(column)).collect();
        if missing.is_empty() {
            return;
        }
        let missing_list = quote_identifiers(&missing);
        let shown = quote_identifier(name);
        match self.unique_policy {
            UniquePolicy::Strict => {
                let bytes = widening_bytes(table, columns, &missing);
                let widened = self.pointing_at(table, columns).len();
                let keys = match widened {
                    0 => "no foreign key points at it".to_owned(),
                    1 => "1 foreign key would have to widen too".to_owned(),
                    count => format!("{count} foreign keys would have to widen too"),
                };
                verdict.obstacles.push(format!(
                    "{what} {shown} does not contain {missing_list}; widening it costs {bytes:.0} bytes per \
                     row, and {keys}."
                ));
            }
            UniquePolicy::Extend => verdict.warnings.push(format!(
                "Shard key {missing_list} is appended to {} {shown}: its own columns alone are no longer unique, \
                 and ON CONFLICT on them fails.",
                lower_first(what)
            )),
            UniquePolicy::PerShard => verdict.warnings.push(format!(
                "Uniqueness of {} {shown} is kept only inside each shard, and ON CONFLICT on its columns fails.",
                lower_first(what)
            )),
        }
    }

    fn exclusions(&self, table: &Table, key: &[String], verdict: &mut Verdict) {
        let exclusions = table.constraints.iter().filter(|found| found.kind == ConstraintKind::Exclusion);
        for constraint in exclusions {
            let shown = quote_identifier(&constraint.name);
            let contained = key.iter().all(|column| constraint.columns.contains(column));
            if self.target_version_num < EXCLUSION_SINCE {
                verdict.obstacles.push(format!(
                    "Exclusion constraint {shown} is not possible on a partitioned table before PostgreSQL 17."
                ));
            } else if !contained {
                verdict.obstacles.push(format!(
                    "Exclusion constraint {shown} does not contain {}.",
                    quote_identifiers(key)
                ));
            } else {
                verdict.warnings.push(format!(
                    "Exclusion constraint {shown} must compare {} with =.",
                    quote_identifiers(key)
                ));
            }
        }
    }

    /// Foreign keys that point at the table need a unique set there, and
    /// that set contains the shard key whatever the policy.
    fn references(&self, table: &Table, key: &[String], verdict: &mut Verdict) {
        for (other, constraint, columns) in self.pointing_at(table, &[]) {
            if key.iter().all(|column| columns.contains(column)) {
                continue;
            }
            let bytes: f64 = key
                .iter()
                .filter(|column| !columns.contains(column))
                .map(|column| table.column(column).map_or(DEFAULT_WIDTH, width))
                .sum();
            verdict.obstacles.push(format!(
                "Foreign key {} of table {other} references {}, which does not contain {}; it would have to \
                 carry the shard key, {bytes:.0} bytes per row of {other}.",
                quote_identifier(&constraint.name),
                quote_identifiers(columns),
                quote_identifiers(key)
            ));
        }
    }

    /// Foreign keys of the profile that reference `columns` of the table;
    /// empty = any columns.
    fn pointing_at(&self, table: &Table, columns: &[String]) -> Vec<(QualifiedName, &Constraint, &[String])> {
        let name = table.name();
        let mut found = Vec::new();
        for other in &self.profile.tables {
            for constraint in &other.constraints {
                let Some(reference) = &constraint.references else { continue };
                let same = columns.is_empty()
                    || (columns.len() == reference.columns.len()
                        && columns.iter().all(|column| reference.columns.contains(column)));
                if reference.name() == name && same {
                    found.push((other.name(), constraint, reference.columns.as_slice()));
                }
            }
        }
        found.sort_by(|a, b| (&a.0, &a.1.name).cmp(&(&b.0, &b.1.name)));
        found
    }

    fn triggers(&self, table: &Table, verdict: &mut Verdict) {
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

    fn foreign_keys(&self, table: &Table, verdict: &mut Verdict) {
        if self.target_version_num >= NOT_VALID_SINCE {
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
}

/// Width of a column whose statistics are missing, bytes.
const DEFAULT_WIDTH: f64 = 8.0;

/// Average bytes of a column.
fn width(column: &Column) -> f64 {
    column.statistics.as_ref().map(|found| found.width).filter(|width| *width > 0.0).unwrap_or({
        match column.type_name.name.as_str() {
            "bool" => 1.0,
            "int2" => 2.0,
            "int4" | "date" | "oid" | "float4" => 4.0,
            "uuid" => 16.0,
            _ => DEFAULT_WIDTH,
        }
    })
}

/// Bytes by which an index entry grows, aligned as PostgreSQL aligns it.
fn widening_bytes(table: &Table, columns: &[String], added: &[&String]) -> f64 {
    let total = |columns: &mut dyn Iterator<Item = &String>| -> f64 {
        columns.map(|name| table.column(name).map_or(DEFAULT_WIDTH, width)).sum()
    };
    let before = total(&mut columns.iter());
    let after = before + total(&mut added.iter().copied());
    let aligned = |bytes: f64| (bytes / 8.0).ceil() * 8.0;
    aligned(after) - aligned(before)
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}
