//! The schema that a dump defines, statement by statement.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::model::dump::Change;
use crate::model::dump::ColumnType;
use crate::model::dump::DefinedColumn;
use crate::model::dump::DefinedConstraint;
use crate::model::dump::DefinedFunction;
use crate::model::dump::DefinedKind;
use crate::model::dump::DefinedOperator;
use crate::model::dump::DefinedTable;
use crate::model::dump::Definition;
use crate::model::dump::TypeFacts;
use crate::model::key::KeyType;
use crate::model::name::QualifiedName;
use crate::model::name::multirange_name;
use crate::model::profile::ConstraintKind;
use crate::model::profile::Index;
use crate::model::profile::ObjectName;
use crate::model::profile::Trigger;
use crate::model::profile::TypeName;
use crate::model::profile::View;

use super::order::Order;
use super::restored::Restored;
use super::size::Storage;

/// Types within types within types: a dump may claim what it wants.
const DEPTH_MAX: u32 = 32;

/// No table of PostgreSQL has more columns.
const COLUMNS_MAX: usize = 1600;

/// One table of the draft.
#[derive(Debug, Clone)]
pub struct DraftTable {
    pub defined: DefinedTable,
    pub indexes: Vec<Index>,
    pub triggers: Vec<Trigger>,
    pub row_security: bool,
}

impl DraftTable {
    fn column(&mut self, name: &str) -> Option<&mut DefinedColumn> {
        self.defined.columns.iter_mut().find(|column| column.name == name)
    }
}

/// Everything that was defined so far.
#[derive(Debug, Default)]
pub struct Draft {
    pub tables: BTreeMap<QualifiedName, DraftTable>,
    pub types: BTreeMap<QualifiedName, DefinedKind>,
    pub views: BTreeMap<QualifiedName, View>,
    pub collations: BTreeSet<QualifiedName>,
    /// By name and the texts of the arguments' types.
    pub functions: BTreeMap<(QualifiedName, Vec<String>), DefinedFunction>,
    /// By name and the texts of the operands' types.
    pub operators: BTreeMap<(QualifiedName, Vec<String>), DefinedOperator>,
    /// Partition → the table that it is attached to.
    pub partitions: BTreeMap<QualifiedName, QualifiedName>,
    /// The same the other way round.
    attached: BTreeMap<QualifiedName, BTreeSet<QualifiedName>>,
    /// Parents and children by `INHERITS`.
    pub inheriting: BTreeSet<QualifiedName>,
    pub restored: Restored,
}

impl Draft {
    /// Takes in one statement.
    pub fn apply(&mut self, definition: Definition) {
        match definition {
            Definition::Table(table) => self.create(table),
            Definition::AlterTable { relation, changes } => {
                for change in changes {
                    self.alter(&relation, change);
                }
            }
            Definition::Type { name, kind } => {
                if let DefinedKind::Range { multirange, .. } = &kind {
                    let made = multirange.clone().unwrap_or_else(|| multirange_name(&name));
                    self.types.entry(made).or_insert_with(|| DefinedKind::Multirange(name.clone()));
                }
                // A base type follows its shell.
                self.types.insert(name, kind);
            }
            Definition::Index { relation, index } => {
                if let Some(table) = self.tables.get_mut(&relation) {
                    table.indexes.push(index);
                }
            }
            Definition::Trigger { relation, trigger, constraint } => {
                if let Some(table) = self.tables.get_mut(&relation) {
                    table.triggers.push(trigger);
                    let made = constraint.map(|constraint| DefinedConstraint {
                        constraint,
                        index: None,
                        inheritable: false,
                    });
                    table.defined.constraints.extend(made);
                }
            }
            Definition::View(view) => {
                self.views.insert(QualifiedName::new(&view.schema, &view.view), view);
            }
            Definition::Collation(name) => {
                self.collations.insert(name);
            }
            Definition::Function(function) => {
                let signature = &function.signature;
                let name = QualifiedName::new(&signature.schema, &signature.name);
                self.functions.insert((name, texts(&signature.arguments)), function);
            }
            Definition::Operator(operator) => {
                let operands = texts(operator.left.iter().chain([&operator.right]));
                self.operators.insert((operator.name.clone(), operands), operator);
            }
            Definition::Statistics { of_column, arguments } => self.restored.add(of_column, &arguments),
            Definition::Encoding(_) | Definition::Data { .. } => {}
        }
    }

    fn create(&mut self, mut table: DefinedTable) {
        let own = std::mem::take(&mut table.columns);
        if let Some(DefinedKind::Composite(attributes)) =
            table.of_type.as_ref().and_then(|name| self.types.get(name))
        {
            table.columns.clone_from(attributes);
        }
        let partition = table.partition_of.iter();
        for parent in table.parents.iter().chain(partition) {
            let Some(parent) = self.tables.get(parent) else { continue };
            for column in &parent.defined.columns {
                merge_column(&mut table.columns, DefinedColumn { identity: false, ..column.clone() });
            }
            let inherited = parent.defined.constraints.iter().filter(|constraint| {
                constraint.inheritable && constraint.constraint.kind == ConstraintKind::Check
            });
            for constraint in inherited {
                merge_constraint(&mut table.constraints, constraint);
            }
        }
        for column in own.into_iter().take(COLUMNS_MAX) {
            merge_column(&mut table.columns, column);
        }
        if let Some(parent) = &table.partition_of {
            self.attach(table.relation.clone(), parent);
        }
        if !table.parents.is_empty() {
            self.inheriting.insert(table.relation.clone());
            self.inheriting.extend(table.parents.iter().cloned());
        }
        for constraint in table.constraints.clone() {
            key_is_not_null(&mut table, &constraint);
        }
        let drafted =
            DraftTable { defined: table, indexes: Vec::new(), triggers: Vec::new(), row_security: false };
        self.tables.insert(drafted.defined.relation.clone(), drafted);
    }

    fn alter(&mut self, relation: &QualifiedName, change: Change) {
        match change {
            Change::AttachPartition(child) => {
                self.attach(child, relation);
                return;
            }
            Change::Inherit(parent) => {
                self.inheriting.extend([relation.clone(), parent]);
                return;
            }
            Change::SecurityBarrier(barrier) => {
                if let Some(view) = self.views.get_mut(relation) {
                    view.security_barrier = barrier;
                }
                return;
            }
            _ => {}
        }
        let Some(table) = self.tables.get_mut(relation) else { return };
        match change {
            Change::Constraint(constraint) => {
                key_is_not_null(&mut table.defined, &constraint);
                merge_constraint(&mut table.defined.constraints, &constraint);
            }
            Change::NotNull(name) => {
                if let Some(column) = table.column(&name) {
                    column.not_null = true;
                }
            }
            Change::Identity(name) => {
                if let Some(column) = table.column(&name) {
                    (column.not_null, column.identity) = (true, true);
                }
            }
            Change::RowSecurity => table.row_security = true,
            Change::AttachPartition(_) | Change::Inherit(_) | Change::SecurityBarrier(_) => {}
        }
    }

    fn attach(&mut self, child: QualifiedName, parent: &QualifiedName) {
        self.attached.entry(parent.clone()).or_default().insert(child.clone());
        self.partitions.insert(child, parent.clone());
    }

    /// The table whose rows a table's rows are.
    #[must_use]
    pub fn root(&self, name: &QualifiedName) -> QualifiedName {
        let mut root = name;
        for _ in 0..DEPTH_MAX {
            match self.partitions.get(root) {
                Some(parent) if self.tables.contains_key(parent) => root = parent,
                _ => break,
            }
        }
        root.clone()
    }

    /// Partitions with rows of their own below a table, or the table itself.
    #[must_use]
    pub fn leaves(&self, root: &QualifiedName) -> BTreeSet<QualifiedName> {
        let mut seen = BTreeSet::from([root]);
        let mut pending = vec![root];
        while let Some(name) = pending.pop() {
            let below = self.attached.get(name).into_iter().flatten();
            pending.extend(below.filter(|child| seen.insert(child)));
        }
        let has_rows = |name: &&QualifiedName| {
            self.tables.get(*name).is_some_and(|table| table.defined.partition_key.is_none())
        };
        seen.into_iter().filter(has_rows).cloned().collect()
    }

    /// What is known of a type, whoever defines it.
    #[must_use]
    pub fn facts(&self, kind: &ColumnType) -> TypeFacts {
        self.facts_at(kind, 0)
    }

    fn facts_at(&self, kind: &ColumnType, depth: u32) -> TypeFacts {
        if let Some(facts) = kind.facts {
            return facts;
        }
        let name = name_of(&kind.name);
        if depth == DEPTH_MAX {
            return TypeFacts::UNKNOWN;
        }
        let facts = match self.types.get(&name) {
            Some(DefinedKind::Enum(_)) => TypeFacts { length: 4, align: 4, orderable: true, hashable: true },
            Some(DefinedKind::Domain { base, .. }) => self.facts_at(base, depth + 1),
            Some(DefinedKind::Range { subtype, .. }) => {
                let of = self.facts_at(subtype, depth + 1);
                TypeFacts { length: -1, align: of.align.max(4), orderable: true, hashable: of.hashable }
            }
            Some(DefinedKind::Multirange(range)) => match self.types.get(range) {
                Some(DefinedKind::Range { subtype, .. }) => {
                    let of = self.facts_at(subtype, depth + 1);
                    TypeFacts { length: -1, align: of.align.max(4), orderable: true, hashable: of.hashable }
                }
                _ => TypeFacts::UNKNOWN,
            },
            Some(DefinedKind::Composite(attributes)) => {
                self.all_facts(attributes.iter().map(|attribute| &attribute.kind), depth)
            }
            Some(DefinedKind::Other) => TypeFacts::UNKNOWN,
            // Every table is a type too.
            None => self.tables.get(&name).map_or(TypeFacts::UNKNOWN, |table| {
                self.all_facts(table.defined.columns.iter().map(|column| &column.kind), depth)
            }),
        };
        if kind.name.array {
            TypeFacts { length: facts.length, align: facts.align.max(4), ..facts }
        } else {
            facts
        }
    }

    /// Of a type that is made of others.
    fn all_facts<'a>(&self, parts: impl Iterator<Item = &'a ColumnType>, depth: u32) -> TypeFacts {
        let mut all = TypeFacts { length: -1, align: 8, orderable: true, hashable: true };
        for part in parts {
            let of = self.facts_at(part, depth + 1);
            all.orderable &= of.orderable;
            all.hashable &= of.hashable;
        }
        all
    }

    /// The collation of a column or domain, if it is not the type's own.
    #[must_use]
    pub fn other_collation(&self, kind: &ColumnType, written: Option<&ObjectName>) -> Option<ObjectName> {
        written.filter(|written| **written != self.own_collation(kind)).cloned()
    }

    /// The collation of values of a type.
    fn own_collation(&self, kind: &ColumnType) -> ObjectName {
        let mut name = &kind.name;
        for _ in 0..DEPTH_MAX {
            match self.types.get(&name_of(name)) {
                Some(DefinedKind::Domain { collation: Some(collation), .. }) => return collation.clone(),
                Some(DefinedKind::Domain { base, .. }) => name = &base.name,
                _ => break,
            }
        }
        let own = if name.schema == "pg_catalog" && name.name == "name" { "C" } else { "default" };
        ObjectName { schema: "pg_catalog".to_owned(), name: own.to_owned() }
    }

    /// The type under a domain.
    fn base<'a>(&'a self, kind: &'a ColumnType) -> &'a ColumnType {
        let mut base = kind;
        for _ in 0..DEPTH_MAX {
            match self.types.get(&name_of(&base.name)) {
                Some(DefinedKind::Domain { base: below, .. }) if !base.name.array => base = below,
                _ => break,
            }
        }
        base
    }

    /// How values of the type lie in a row.
    #[must_use]
    pub fn storage(&self, kind: &ColumnType) -> Storage {
        let facts = self.facts(kind);
        let base = &self.base(kind).name;
        match self.types.get(&name_of(base)).filter(|_| !base.array) {
            Some(DefinedKind::Range { subtype, .. }) => {
                Storage::range(self.facts(subtype).length, facts.align)
            }
            Some(DefinedKind::Composite(_)) => Storage::composite(),
            _ => Storage::new(base, facts.length, facts.align),
        }
    }

    /// How values of the type are ordered, and what the server calls the type
    /// if it is to be asked.
    #[must_use]
    pub fn order(&self, kind: &ColumnType) -> (Order, Option<String>) {
        let name = &self.base(kind).name;
        if name.array {
            return (Order::None, None);
        }
        if let Some(DefinedKind::Enum(labels)) = self.types.get(&name_of(name)) {
            return (Order::Labels(labels.iter().map(|label| label.clone().into_bytes()).collect()), None);
        }
        if name.schema != "pg_catalog" {
            return (Order::None, None);
        }
        let order = match (name.name.as_str(), name.key_type()) {
            ("float4" | "float8", _) => Order::Float,
            // Their text has the order of their bytes.
            ("uuid" | "bool" | "bytea" | "macaddr" | "macaddr8", _) | (_, KeyType::Text) => Order::Bytes,
            ("interval" | "time" | "timetz" | "inet" | "cidr" | "bit" | "varbit" | "money" | "pg_lsn", _) => {
                Order::Server
            }
            (_, KeyType::Other) => Order::None,
            (_, key) => Order::Key(key),
        };
        (order, Some(name.name.clone()))
    }

    /// Whether values of the type may travel: docs/profile.md.
    #[must_use]
    pub fn may_travel(&self, name: &TypeName) -> bool {
        const BUILT_IN: &[&str] = &[
            "int2",
            "int4",
            "int8",
            "numeric",
            "date",
            "timestamp",
            "timestamptz",
            "uuid",
            "bool",
            "text",
            "varchar",
            "bpchar",
        ];
        !name.array
            && ((name.schema == "pg_catalog" && BUILT_IN.contains(&name.name.as_str()))
                || matches!(self.types.get(&name_of(name)), Some(DefinedKind::Enum(_))))
    }
}

fn name_of(name: &TypeName) -> QualifiedName {
    QualifiedName::new(&name.schema, &name.name)
}

/// What tells a function or operator from others of its name.
#[must_use]
pub fn texts<'a>(types: impl IntoIterator<Item = &'a TypeName>) -> Vec<String> {
    types.into_iter().map(|name| name.text.clone()).collect()
}

fn merge_column(columns: &mut Vec<DefinedColumn>, column: DefinedColumn) {
    match columns.iter_mut().find(|known| known.name == column.name) {
        Some(known) => {
            known.not_null |= column.not_null;
            known.generated |= column.generated;
            known.identity |= column.identity;
        }
        None => columns.push(column),
    }
}

fn merge_constraint(constraints: &mut Vec<DefinedConstraint>, constraint: &DefinedConstraint) {
    if !constraints.iter().any(|known| known.constraint.name == constraint.constraint.name) {
        constraints.push(constraint.clone());
    }
}

fn key_is_not_null(table: &mut DefinedTable, constraint: &DefinedConstraint) {
    if constraint.constraint.kind != ConstraintKind::PrimaryKey {
        return;
    }
    for column in &mut table.columns {
        column.not_null |= constraint.constraint.columns.contains(&column.name);
    }
}
