//! Foreign keys that point at the table: they need a unique set there, and
//! that set contains the shard key whatever the policy, so they have to carry
//! it. One that does already is in nobody's way.

use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::name::quote_identifiers;
use crate::model::profile::Constraint;
use crate::model::profile::Table;
use crate::planning::proposal::explain::bytes;
use crate::planning::proposal::legality::Rules;
use crate::planning::proposal::legality::Verdict;
use crate::planning::proposal::legality::price::WidenedKey;
use crate::planning::proposal::legality::price::widths;
use crate::planning::proposal::subject::Subject;

/// A foreign key that points at a table, and the columns it refers to.
pub struct Pointer<'a> {
    other: &'a Table,
    constraint: &'a Constraint,
    columns: &'a [String],
}

impl Pointer<'_> {
    fn relation(&self) -> QualifiedName {
        self.other.name()
    }

    /// Columns of the key that the other table does not have yet. It has one
    /// if another of its foreign keys refers to it, or by the same name and
    /// type.
    fn lacking<'k>(&self, table: &Table, missing: &[&'k String]) -> Vec<&'k String> {
        let carried = |column: &String| {
            let referred = self.other.constraints.iter().any(|constraint| {
                constraint
                    .references
                    .as_ref()
                    .is_some_and(|target| target.name() == table.name() && target.columns.contains(column))
            });
            let (own, theirs) = (table.column(column), self.other.column(column));
            let named = own.zip(theirs).is_some_and(|(own, theirs)| own.type_name == theirs.type_name);
            referred || named
        };
        missing.iter().copied().filter(|column| !carried(column)).collect()
    }
}

impl Rules<'_> {
    pub fn references(&self, subject: &Subject, key: &[String], verdict: &mut Verdict) {
        let table = subject.table;
        for pointer in self.pointing_at(table, &[]) {
            let missing: Vec<&String> =
                key.iter().filter(|column| !pointer.columns.contains(column)).collect();
            if missing.is_empty() {
                continue;
            }
            let lacking = pointer.lacking(table, &missing);
            let bytes_per_row = widths(table, lacking.iter().copied());
            let rows = self.rows_at_horizon(pointer.other);
            let relation = pointer.relation();
            let carries = if lacking.is_empty() {
                format!("which {relation} has already")
            } else {
                format!("{bytes_per_row:.0} bytes per row of {relation}, {}", bytes(bytes_per_row * rows))
            };
            verdict.obstacles.push(format!(
                "Foreign key {} of table {relation} references {}, which does not contain {}; it would have to \
                 carry the shard key, {carries}.",
                quote_identifier(&pointer.constraint.name),
                quote_identifiers(pointer.columns),
                quote_identifiers(key)
            ));
            verdict.price.foreign_keys_to_widen.push(WidenedKey {
                relation,
                name: pointer.constraint.name.clone(),
                columns: missing.into_iter().cloned().collect(),
                bytes_per_row,
                bytes_total: bytes_per_row * rows,
            });
        }
    }

    fn rows_at_horizon(&self, table: &Table) -> f64 {
        let growth = self.input.growth.get(&table.name());
        let expected = growth.and_then(|growth| growth.rows.last()).map(|point| point.value);
        expected.filter(|rows| rows.is_finite() && *rows > 0.0).unwrap_or(table.rows)
    }

    /// Foreign keys of the profile that reference `columns` of the table;
    /// empty = any columns.
    pub fn pointing_at<'a>(&'a self, table: &Table, columns: &[String]) -> Vec<Pointer<'a>> {
        let name = table.name();
        let mut found = Vec::new();
        for other in &self.input.profile.tables {
            for constraint in &other.constraints {
                let Some(reference) = &constraint.references else { continue };
                let same = columns.is_empty()
                    || (columns.len() == reference.columns.len()
                        && columns.iter().all(|column| reference.columns.contains(column)));
                if reference.name() == name && same {
                    found.push(Pointer { other, constraint, columns: &reference.columns });
                }
            }
        }
        found.sort_by(|a, b| (a.relation(), &a.constraint.name).cmp(&(b.relation(), &b.constraint.name)));
        found
    }
}
