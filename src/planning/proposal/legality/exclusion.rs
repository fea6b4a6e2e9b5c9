//! Exclusion constraints, and keys `WITHOUT OVERLAPS`, which are such: one that
//! compares the shard key with `=` holds on shards as it did on the table,
//! since rows that it compares share a shard.

use crate::model::name::quote_identifier;
use crate::model::name::quote_identifiers;
use crate::model::profile::ConstraintKind;
use crate::model::profile::Table;
use crate::model::settings::UniquePolicy;
use crate::planning::proposal::legality::EXCLUSION_SINCE;
use crate::planning::proposal::legality::Rules;
use crate::planning::proposal::legality::Verdict;

impl Rules<'_> {
    pub fn exclusions(&self, table: &Table, key: &[String], verdict: &mut Verdict) {
        let of_shards = self.input.target_version_num < EXCLUSION_SINCE;
        for constraint in &table.constraints {
            let what = match constraint.kind {
                ConstraintKind::Exclusion => "Exclusion constraint",
                ConstraintKind::PrimaryKey if constraint.is_temporal() => "Primary key",
                ConstraintKind::Unique if constraint.is_temporal() => "Unique constraint",
                _ => continue,
            };
            let shown = format!("{what} {}", quote_identifier(&constraint.name));
            // Older profiles say only which columns there are.
            let compared = constraint.equal_columns.as_ref();
            let columns = compared.unwrap_or(&constraint.columns);
            let missing: Vec<&String> = key.iter().filter(|column| !columns.contains(column)).collect();
            if missing.is_empty() {
                if compared.is_none() {
                    let key = quote_identifiers(key);
                    verdict.warnings.push(format!("{shown} must compare {key} with =."));
                } else if of_shards {
                    verdict.warnings.push(format!(
                        "{shown} will be one on each shard: the same, since it compares {} with =.",
                        quote_identifiers(key)
                    ));
                }
            } else if self.policy() == UniquePolicy::PerShard {
                verdict.warnings.push(format!("{shown} is kept only inside each shard."));
            } else {
                verdict
                    .obstacles
                    .push(format!("{shown} does not compare {} with =.", quote_identifiers(&missing)));
            }
        }
    }
}
