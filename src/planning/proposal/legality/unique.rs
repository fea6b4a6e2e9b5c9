//! Unique constraints and indexes: each must contain the shard key, or give
//! way as the policy says.

use crate::model::name::quote_identifier;
use crate::model::name::quote_identifiers;
use crate::model::profile::ConstraintKind;
use crate::model::profile::Index;
use crate::model::profile::Table;
use crate::model::settings::UniquePolicy;
use crate::planning::proposal::legality::Rules;
use crate::planning::proposal::legality::Verdict;
use crate::planning::proposal::legality::price::Weakened;
use crate::planning::proposal::legality::price::at_horizon;
use crate::planning::proposal::legality::price::widening_bytes;
use crate::planning::proposal::subject::Subject;

/// A unique constraint, or a unique index of none.
pub struct Unique<'a> {
    /// As a sentence begins with it.
    what: &'static str,
    name: &'a str,
    /// Plain columns.
    pub columns: Vec<String>,
    primary: bool,
    /// `WITHOUT OVERLAPS`: judged as an exclusion constraint is.
    temporal: bool,
}

impl Unique<'_> {
    /// Columns of the key that it lacks.
    fn missing<'k>(&self, key: &'k [String]) -> Vec<&'k String> {
        key.iter().filter(|column| !self.columns.contains(column)).collect()
    }
}

/// All unique sets of a table; an index of a constraint is not told twice.
pub fn uniques(table: &Table) -> Vec<Unique<'_>> {
    let mut found = Vec::new();
    for constraint in &table.constraints {
        let what = match constraint.kind {
            ConstraintKind::PrimaryKey => "Primary key",
            ConstraintKind::Unique => "Unique constraint",
            _ => continue,
        };
        found.push(Unique {
            what,
            name: &constraint.name,
            columns: constraint.columns.clone(),
            primary: constraint.kind == ConstraintKind::PrimaryKey,
            temporal: constraint.is_temporal(),
        });
    }
    let of_constraint =
        |index: &Index| index.of_constraint || table.constraints.iter().any(|other| other.name == index.name);
    for index in table.indexes.iter().filter(|index| index.unique && !of_constraint(index)) {
        let columns: Vec<String> = index.columns.iter().flatten().cloned().collect();
        let what =
            if columns.len() < index.columns.len() { "Unique index on expressions" } else { "Unique index" };
        found.push(Unique { what, name: &index.name, columns, primary: false, temporal: false });
    }
    found
}

/// Bytes per row by which the unique indexes of a table grow together if they
/// are widened by a key.
pub fn index_growth(table: &Table, key: &[String]) -> f64 {
    let growth = |unique: &Unique| match unique.missing(key) {
        missing if missing.is_empty() => 0.0,
        missing => widening_bytes(table, &unique.columns, &missing),
    };
    uniques(table).iter().filter(|unique| !unique.temporal).map(growth).sum()
}

impl Rules<'_> {
    pub fn uniques(&self, subject: &Subject, key: &[String], verdict: &mut Verdict) {
        for unique in uniques(subject.table).into_iter().filter(|unique| !unique.temporal) {
            let missing = unique.missing(key);
            if missing.is_empty() {
                continue;
            }
            let widened = widening_bytes(subject.table, &unique.columns, &missing);
            if self.policy() != UniquePolicy::PerShard {
                verdict.price.bytes_per_row += widened;
                verdict.price.index_bytes_total += widened * subject.size.rows;
            }
            verdict
                .price
                .uniqueness_weakened
                .push(Weakened { name: unique.name.to_owned(), columns: unique.columns.clone() });
            self.unique(subject, &unique, &missing, widened, verdict);
        }
    }

    fn unique(
        &self,
        subject: &Subject,
        unique: &Unique,
        missing: &[&String],
        widened: f64,
        verdict: &mut Verdict,
    ) {
        let missing_list = quote_identifiers(missing);
        let shown = quote_identifier(unique.name);
        let total = at_horizon(widened * subject.size.rows);
        match self.policy() {
            UniquePolicy::Strict => {
                let keys = match self.pointing_at(subject.table, &unique.columns).len() {
                    0 => "no foreign key points at it".to_owned(),
                    1 => "1 foreign key would have to widen too".to_owned(),
                    count => format!("{count} foreign keys would have to widen too"),
                };
                verdict.obstacles.push(format!(
                    "{} {shown} does not contain {missing_list}; widening it costs {widened:.0} bytes per \
                     row{total}, and {keys}.",
                    unique.what
                ));
            }
            UniquePolicy::Extend => {
                let fails = if widened > 0.0 {
                    format!("ON CONFLICT on them fails, and its index grows by {widened:.0} bytes per row{total}")
                } else {
                    "and ON CONFLICT on them fails".to_owned()
                };
                verdict.warnings.push(format!(
                    "Shard key {missing_list} is appended to {} {shown}: its own columns alone are no longer \
                     unique, {fails}.",
                    lower_first(unique.what)
                ));
                if unique.primary {
                    not_null(subject, missing, &shown, verdict);
                }
            }
            UniquePolicy::PerShard => verdict.warnings.push(format!(
                "Uniqueness of {} {shown} is kept only inside each shard, and ON CONFLICT on its columns fails.",
                lower_first(unique.what)
            )),
        }
    }
}

/// Columns of a primary key cannot be null.
fn not_null(subject: &Subject, missing: &[&String], primary: &str, verdict: &mut Verdict) {
    for name in missing {
        if subject.table.column(name).is_none_or(|column| column.not_null) {
            continue;
        }
        let shown = quote_identifier(name);
        if subject.null_share(name) > 0.0 {
            verdict.obstacles.push(format!(
                "Column {shown} has NULLs, and as a part of primary key {primary} it could not."
            ));
        } else {
            verdict
                .warnings
                .push(format!("Column {shown} becomes NOT NULL as a part of primary key {primary}."));
        }
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}
