//! Columns whose values a proposal weighs.
//!
//! What statements name, and what is a key already: `candidate` takes keys from
//! no other columns but times, whose values every profile has. Invariant: only
//! tables of this server.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::model::access::Analysis;
use crate::model::name::QualifiedName;
use crate::model::profile::Column;
use crate::model::profile::Profile;
use crate::planning::workload::AnalyzedWorkload;

/// The columns by their tables.
#[must_use]
pub fn columns_weighed(
    profile: &Profile,
    workload: &AnalyzedWorkload,
) -> BTreeMap<QualifiedName, BTreeSet<String>> {
    let mut found: BTreeMap<QualifiedName, BTreeSet<String>> = BTreeMap::new();
    for table in &profile.tables {
        let constrained = table.constraints.iter().flat_map(|constraint| &constraint.columns);
        let indexed = table.indexes.iter().flat_map(|index| index.columns.iter().flatten());
        // Where nothing is known of a table, why is asked of every column.
        let known = table.columns.iter().any(|column| column.statistics.is_some());
        let all = table.columns.iter().filter(|_| !known).map(|column| &column.name);
        found.insert(table.name(), constrained.chain(indexed).chain(all).cloned().collect());
    }
    for statement in &workload.statements {
        let Analysis::Facts(facts) = &statement.analysis else { continue };
        for mention in &facts.mentions {
            if let Some(columns) = found.get_mut(&mention.relation) {
                columns.extend(mention.accesses.iter().flat_map(|access| access.columns.iter().cloned()));
            }
        }
    }
    found.retain(|table, _| profile.live.contains_key(table));
    for table in &profile.tables {
        // What has a histogram has all that there is.
        let is_known = |column: &&Column| column.statistics.as_ref().is_some_and(|s| !s.histogram.is_empty());
        let Some(columns) = found.get_mut(&table.name()) else { continue };
        for column in table.columns.iter().filter(is_known) {
            columns.remove(&column.name);
        }
    }
    found
}
