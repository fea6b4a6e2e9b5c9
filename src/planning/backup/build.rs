//! The profile of a dump, from its schema and what was found of its rows.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::model::dump::DefinedColumn;
use crate::model::dump::DefinedConstraint;
use crate::model::dump::DefinedKind;
use crate::model::key::KeyType;
use crate::model::name::QualifiedName;
use crate::model::name::multirange_name;
use crate::model::name::quote_identifier;
use crate::model::profile::Attribute;
use crate::model::profile::Column;
use crate::model::profile::ColumnStatistics;
use crate::model::profile::Constraint;
use crate::model::profile::ConstraintKind;
use crate::model::profile::Counters;
use crate::model::profile::FORMAT;
use crate::model::profile::Index;
use crate::model::profile::ObjectName;
use crate::model::profile::Profile;
use crate::model::profile::Table;
use crate::model::profile::TableKind;
use crate::model::profile::TypeName;
use crate::model::profile::UserType;
use crate::model::profile::UserTypeKind;
use crate::model::profile::VERSION;
use crate::model::profile::Workload;

use super::collect::Collected;
use super::collect::Facts;
use super::draft::Draft;
use super::draft::DraftTable;
use super::signatures;
use super::signatures::Signatures;
use super::size::KeyColumn;
use super::size::index_bytes;

/// Text travels only if it has few different values.
const TEXT_VALUES_MAX: f64 = 200.0;

/// What is known of a dump besides its statements and rows.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    pub captured_at: String,
    pub server_version_num: u32,
    pub database: String,
    /// What was left out, with the reason.
    pub notes: Vec<String>,
}

/// Puts a profile together.
#[must_use]
pub fn profile(draft: &Draft, collected: &Collected, origin: Origin) -> Profile {
    let mut notes = vec!["a dump has no statements".to_owned()];
    notes.extend(origin.notes);
    notes.extend(left_out(collected));
    let mut tables: Vec<Table> = draft
        .tables
        .iter()
        .filter(|(name, _)| !draft.partitions.contains_key(name) && is_users(&name.schema))
        .map(|(name, table)| Builder { draft, name, table, facts: collected.facts.get(name) }.table())
        .collect();
    tables.sort_by(|a, b| (&a.schema, &a.table).cmp(&(&b.schema, &b.table)));
    let values_of = tables.iter().flat_map(values_of).collect();
    let signatures = signatures::of(draft);
    notes.extend(signatures.left_out());
    let types = types(draft, &tables, &signatures, origin.server_version_num);
    Profile {
        format: FORMAT.to_owned(),
        version: VERSION,
        captured_at: origin.captured_at,
        server_version_num: origin.server_version_num,
        database: origin.database,
        values_of,
        hidden_statistics_of: Vec::new(),
        types,
        collations: draft.collations.iter().filter(|name| is_users(&name.schema)).map(object_name).collect(),
        functions: signatures.functions,
        operators: signatures.operators,
        tables,
        views: draft
            .views
            .iter()
            .filter(|(name, _)| is_users(&name.schema))
            .map(|(_, view)| view.clone())
            .collect(),
        history: Vec::new(),
        workload: Workload {
            source: "none".to_owned(),
            note: Some(notes.join("; ")),
            search_paths: [(String::new(), vec!["$user".to_owned(), "public".to_owned()])].into(),
            ..Workload::default()
        },
        live: BTreeMap::new(),
    }
}

/// Whether a capture looks into the schema.
pub(super) fn is_users(schema: &str) -> bool {
    !schema.starts_with("pg_") && !["information_schema", "presplit"].contains(&schema)
}

fn left_out(collected: &Collected) -> Vec<String> {
    let named = |what: &str, tables: &BTreeSet<QualifiedName>| {
        let tables: Vec<_> = tables.iter().filter(|name| is_users(&name.schema)).collect();
        let mut names: Vec<String> = tables.iter().take(5).map(ToString::to_string).collect();
        if tables.len() > names.len() {
            names.push(format!("{} more", tables.len() - names.len()));
        }
        (!tables.is_empty()).then(|| format!("{what}: {}", names.join(", ")))
    };
    [
        named("rows of tables that the dump does not define are left out", &collected.unknown),
        named("some rows do not have the columns of their table", &collected.damaged),
        named("some values are not in the dump's encoding and are left out", &collected.values_left_out),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn values_of(table: &Table) -> Vec<String> {
    let name = format!("{}.{}", quote_identifier(&table.schema), quote_identifier(&table.table));
    let travels = |column: &&Column| {
        let statistics = column.statistics.as_ref();
        statistics.is_some_and(|s| !s.common_values.is_empty() || !s.histogram.is_empty())
    };
    let columns = table.columns.iter().filter(travels);
    columns.map(|column| format!("{name}.{}", quote_identifier(&column.name))).collect()
}

struct Builder<'a> {
    draft: &'a Draft,
    name: &'a QualifiedName,
    table: &'a DraftTable,
    facts: Option<&'a Facts>,
}

impl Builder<'_> {
    fn table(&self) -> Table {
        let defined = &self.table.defined;
        let partitioned = defined.partition_key.is_some();
        let members = self.members();
        let restored = &self.draft.restored;
        let mut indexes: Vec<Index> = self.table.indexes.clone();
        indexes.extend(defined.constraints.iter().filter_map(|constraint| constraint.index.clone()));
        indexes.sort_by(|a, b| a.name.cmp(&b.name));
        let mut constraints: Vec<_> =
            defined.constraints.iter().map(|constraint| self.constraint(constraint)).collect();
        constraints.sort_by(|a, b| a.name.cmp(&b.name));
        let mut triggers = self.table.triggers.clone();
        triggers.sort_by(|a, b| a.name.cmp(&b.name));

        let known = |bytes: fn(&Facts) -> f64| self.facts.map_or(0.0, bytes);
        let sum = |of: &dyn Fn(&QualifiedName) -> Option<f64>| members.iter().map(of).sum::<Option<f64>>();
        // Rows that were counted are exact; what the source's server wrote
        // down of pages knows of the bloat.
        let rows = self.facts.map(|facts| facts.rows).or_else(|| sum(&|name| restored.rows(name)));
        let heap_bytes = sum(&|name| restored.bytes(name)).unwrap_or_else(|| known(|facts| facts.size.heap));
        let rows = rows.unwrap_or(0.0);
        let keys = self.key_columns(&indexes);
        let mut table = Table {
            schema: self.name.schema.clone(),
            table: self.name.name.clone(),
            kind: match (partitioned, defined.foreign) {
                (true, _) => TableKind::Partitioned,
                (_, true) => TableKind::Foreign,
                _ => TableKind::Ordinary,
            },
            rows,
            heap_bytes,
            index_bytes: 0.0,
            toast_bytes: known(|facts| facts.size.toast),
            unlogged: defined.unlogged,
            extension: false,
            inheritance: self.draft.inheriting.contains(self.name),
            partition_key: defined.partition_key.as_ref().map(|key| key.text.clone()),
            row_security: self.table.row_security,
            extended_statistics: Vec::new(),
            counters: Counters::default(),
            columns: self.columns(&keys),
            constraints,
            indexes: Vec::new(),
            triggers,
        };
        if rows > 0.0 {
            table.index_bytes = indexes.iter().map(|index| self.index_bytes(index, &table)).sum();
        }
        table.indexes = indexes;
        table
    }

    /// The tables that hold the rows.
    fn members(&self) -> BTreeSet<QualifiedName> {
        self.draft.leaves(self.name)
    }

    fn constraint(&self, defined: &DefinedConstraint) -> Constraint {
        let mut constraint = defined.constraint.clone();
        // An expression may name what is not a column, as the table itself.
        let columns = &self.table.defined.columns;
        constraint.columns.retain(|name| columns.iter().any(|column| column.name == *name));
        // Without columns a foreign key means the primary key.
        if let Some(references) = constraint.references.as_mut().filter(|to| to.columns.is_empty()) {
            let target = self.draft.tables.get(&references.name());
            let mut keys = target.into_iter().flat_map(|table| &table.defined.constraints);
            let primary = keys.find(|key| key.constraint.kind == ConstraintKind::PrimaryKey);
            references.columns = primary.map(|key| key.constraint.columns.clone()).unwrap_or_default();
        }
        constraint
    }

    /// Columns whose values may travel: those of keys.
    fn key_columns(&self, indexes: &[Index]) -> BTreeSet<String> {
        let defined = &self.table.defined;
        let of_indexes = indexes.iter().flat_map(|index| index.columns.iter().flatten().cloned());
        let is_key = |constraint: &&DefinedConstraint| {
            !matches!(constraint.constraint.kind, ConstraintKind::Check | ConstraintKind::Other)
        };
        let of_constraints =
            defined.constraints.iter().filter(is_key).flat_map(|key| key.constraint.columns.iter().cloned());
        let of_partitions = defined.partition_key.iter().flat_map(|key| key.columns.iter().cloned());
        of_indexes.chain(of_constraints).chain(of_partitions).collect()
    }

    fn columns(&self, keys: &BTreeSet<String>) -> Vec<Column> {
        let tree = self.table.defined.partition_key.is_some();
        let columns = self.table.defined.columns.iter().enumerate();
        columns
            .map(|(at, column)| {
                let facts = self.draft.facts(&column.kind);
                let name = &column.kind.name;
                let sampled = self.facts.and_then(|facts| facts.columns.get(at)?.clone());
                let restored = self.draft.restored.column(self.name, &column.name, tree).cloned();
                let is_key = keys.contains(&column.name) || name.key_type().is_time();
                let travels = is_key && self.draft.may_travel(name);
                let text = name.key_type() == KeyType::Text;
                Column {
                    name: column.name.clone(),
                    type_name: name.clone(),
                    not_null: column.not_null,
                    generated: column.generated,
                    identity: column.identity,
                    collation: self.draft.other_collation(&column.kind, column.collation.as_ref()),
                    orderable: facts.orderable,
                    hashable: facts.hashable,
                    statistics: restored.or(sampled).map(|found| disclosed(found, travels, text)),
                    sampled: Vec::new(),
                }
            })
            .collect()
    }

    fn index_bytes(&self, index: &Index, table: &Table) -> f64 {
        let name = QualifiedName::new(&self.name.schema, &index.name);
        if let Some(bytes) = self.draft.restored.bytes(&name) {
            return bytes;
        }
        let columns: Vec<Option<KeyColumn>> = index
            .columns
            .iter()
            .map(|name| {
                let at = table.columns.iter().position(|column| Some(&column.name) == name.as_ref())?;
                let statistics = table.columns[at].statistics.as_ref()?;
                let facts = self.draft.facts(&self.table.defined.columns[at].kind);
                Some(KeyColumn {
                    width: statistics.width,
                    align: if facts.length < 0 { 1 } else { usize::from(facts.align) },
                    null_fraction: statistics.null_fraction,
                    distinct: statistics.distinct_values(table.rows),
                })
            })
            .collect();
        index_bytes(index, &columns, table.rows, table.heap_bytes)
    }
}

/// Statistics with the values that may travel, and no other.
fn disclosed(mut found: ColumnStatistics, travels: bool, text: bool) -> ColumnStatistics {
    if !travels || (text && !(1.0..=TEXT_VALUES_MAX).contains(&found.distinct)) {
        found.common_values.clear();
    }
    if !travels || text {
        found.histogram.clear();
    }
    found
}

fn object_name(name: &QualifiedName) -> ObjectName {
    ObjectName { schema: name.schema.clone(), name: name.name.clone() }
}

/// The first version with multiranges.
const MULTIRANGES_SINCE: u32 = 140_000;

/// The types that the dump makes, and those that columns and signatures use,
/// directly or inside others.
fn types(draft: &Draft, tables: &[Table], signatures: &Signatures, version: u32) -> Vec<UserType> {
    let of_columns = tables.iter().flat_map(|table| &table.columns).map(|column| &column.type_name);
    let used = of_columns.chain(signatures.types()).filter(|name| !is_systems(&name.schema));
    let mut pending: Vec<QualifiedName> =
        used.map(|name| QualifiedName::new(&name.schema, &name.name)).collect();
    let made = draft.types.iter().filter(|(name, kind)| {
        // What cannot be built elsewhere counts where it is used.
        is_users(&name.schema) && !matches!(kind, DefinedKind::Other | DefinedKind::Multirange(_))
    });
    pending.extend(made.map(|(name, _)| name.clone()));
    let mut found = BTreeSet::new();
    let mut types = Vec::new();
    while let Some(name) = pending.pop() {
        if !found.insert(name.clone()) {
            continue;
        }
        if let Some(DefinedKind::Multirange(range)) = draft.types.get(&name) {
            pending.push(range.clone());
            continue;
        }
        let kind = kind_of(draft, &name, version);
        let parts = parts(&kind).into_iter().filter(|part| !is_systems(&part.schema));
        pending.extend(parts.map(|part| QualifiedName::new(&part.schema, &part.name)));
        types.push(UserType { schema: name.schema, name: name.name, kind });
    }
    types.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    types
}

/// Whether every server has the types of the schema.
fn is_systems(schema: &str) -> bool {
    ["pg_catalog", "information_schema"].contains(&schema)
}

fn parts(kind: &UserTypeKind) -> Vec<&TypeName> {
    match kind {
        UserTypeKind::Domain { base, .. } => vec![base],
        UserTypeKind::Range { subtype, .. } => vec![subtype],
        UserTypeKind::Composite { attributes } => {
            attributes.iter().map(|attribute| &attribute.type_name).collect()
        }
        UserTypeKind::Enum { .. } | UserTypeKind::Other => Vec::new(),
    }
}

fn kind_of(draft: &Draft, name: &QualifiedName, version: u32) -> UserTypeKind {
    let composite = |columns: &[DefinedColumn]| UserTypeKind::Composite {
        attributes: columns
            .iter()
            .map(|column| Attribute { name: column.name.clone(), type_name: column.kind.name.clone() })
            .collect(),
    };
    match draft.types.get(name) {
        Some(DefinedKind::Enum(labels)) => UserTypeKind::Enum { labels: labels.clone() },
        Some(DefinedKind::Domain { base, not_null, collation }) => UserTypeKind::Domain {
            base: base.name.clone(),
            not_null: *not_null,
            collation: draft.other_collation(base, collation.as_ref()),
        },
        Some(DefinedKind::Composite(attributes)) => composite(attributes),
        Some(DefinedKind::Range { subtype, multirange }) => UserTypeKind::Range {
            subtype: subtype.name.clone(),
            multirange: match multirange {
                Some(multirange) => Some(object_name(multirange)),
                // The server made it without being told a name. Of an unknown
                // version is what this one would do.
                None if version == 0 || version >= MULTIRANGES_SINCE => {
                    Some(object_name(&multirange_name(name)))
                }
                None => None,
            },
        },
        Some(DefinedKind::Multirange(_) | DefinedKind::Other) => UserTypeKind::Other,
        // Every table is a type too; others are of views and extensions.
        None => draft.tables.get(name).map_or(UserTypeKind::Other, |table| composite(&table.defined.columns)),
    }
}
