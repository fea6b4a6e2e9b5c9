//! Stems of shard names: what the names of a table's shards begin with.
//!
//! Mostly the table's own name. Where names derived from it could meet those
//! of another table (long names are cut) or relations that exist, the stem is
//! cut further and numbered. Invariant: within a schema no two stems derive
//! the same name, whatever the number of shards; stems depend on the profile
//! alone, not on the tables asked for.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::model::name::IDENTIFIER_BYTES_MAX;
use crate::model::name::QualifiedName;
use crate::model::name::cut;
use crate::model::name::default_shard_name;
use crate::model::profile::Profile;
use crate::model::profile::Table;

/// Room for the longest suffix, `_default`.
const SUFFIX_BYTES: usize = 8;
/// Room for a number of its own, `_99999`.
const NUMBER_BYTES: usize = 6;

/// The stem of every table of the profile.
pub fn stems(profile: &Profile) -> BTreeMap<QualifiedName, String> {
    let taken = taken_names(profile);
    let mut tables: Vec<QualifiedName> = profile.tables.iter().map(Table::name).collect();
    // Names that need no cutting keep their stem; the others give way.
    tables.sort_by_key(|name| (name.name.len() > IDENTIFIER_BYTES_MAX - SUFFIX_BYTES, name.clone()));
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    let mut stems = BTreeMap::new();
    for table in tables {
        let whole = cut(&table.name, IDENTIFIER_BYTES_MAX - SUFFIX_BYTES).to_owned();
        let short = cut(&table.name, IDENTIFIER_BYTES_MAX - SUFFIX_BYTES - NUMBER_BYTES);
        let numbered = (2..).map(|number| format!("{short}_{number}"));
        let free = |stem: &String| {
            !used.contains(&(table.schema.clone(), stem.clone())) && !meets(stem, &table, &taken)
        };
        if let Some(stem) = std::iter::once(whole).chain(numbered).find(free) {
            used.insert((table.schema.clone(), stem.clone()));
            stems.insert(table, stem);
        }
    }
    stems
}

/// Every relation name of each schema that the profile knows of.
fn taken_names(profile: &Profile) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut taken: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for table in &profile.tables {
        let names = taken.entry(&table.schema).or_default();
        names.insert(&table.table);
        names.extend(table.indexes.iter().map(|index| index.name.as_str()));
    }
    for view in &profile.views {
        taken.entry(&view.schema).or_default().insert(&view.view);
    }
    taken
}

/// Whether a name derived from the stem is that of a relation.
fn meets(stem: &str, table: &QualifiedName, taken: &BTreeMap<&str, BTreeSet<&str>>) -> bool {
    let numbered = |name: &str| {
        name.strip_prefix(stem)
            .and_then(|rest| rest.strip_prefix("_s").or_else(|| rest.strip_prefix("_b")))
            .is_some_and(|digits| digits.len() >= 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let default = default_shard_name(stem);
    taken
        .get(table.schema.as_str())
        .is_some_and(|names| names.contains(default.as_str()) || names.iter().any(|name| numbered(name)))
}
