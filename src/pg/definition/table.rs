//! Tables, their constraints and their indexes, from raw parse trees.

use std::collections::HashSet;

use pgrx::PgList;
use pgrx::pg_sys;
use pgrx::pg_sys::AlterTableType as Alter;
use pgrx::pg_sys::ConstrType;
use pgrx::pg_sys::NodeTag;

use crate::model::dump::Change;
use crate::model::dump::DefinedColumn;
use crate::model::dump::DefinedConstraint;
use crate::model::dump::DefinedTable;
use crate::model::dump::Definition;
use crate::model::dump::PartitionKey;
use crate::model::name::QualifiedName;
use crate::model::profile::Constraint;
use crate::model::profile::ConstraintKind;
use crate::model::profile::Index;
use crate::model::profile::Reference;
use crate::pg::analyze::nodes_of;
use crate::pg::utility::Names;
use crate::pg::utility::existing_name;
use crate::pg::utility::strings;
use crate::pg::utility::table::is_temporal;
use crate::pg::utility::text_of;

use super::qualified;
use super::security_barrier;
use super::types::collation;
use super::types::column_type;

/// # Safety
/// A raw `CREATE TABLE` that was read from this text.
pub unsafe fn create(statement: &pg_sys::CreateStmt, sql: &str, foreign: bool) -> Option<Definition> {
    // SAFETY: each cast follows the node's tag; lists and strings of a parse
    // tree are what the grammar makes them.
    unsafe {
        let range = &*statement.relation;
        if range.relpersistence == pg_sys::RELPERSISTENCE_TEMP as std::ffi::c_char {
            return None;
        }
        let relation = existing_name(statement.relation, Names::Written)?;
        let parents = PgList::<pg_sys::RangeVar>::from_pg(statement.inhRelations);
        let mut parents: Vec<QualifiedName> =
            parents.iter_ptr().filter_map(|parent| existing_name(parent, Names::Written)).collect();
        let partition_of =
            if statement.partbound.is_null() { None } else { std::mem::take(&mut parents).pop() };
        let mut table = DefinedTable {
            relation,
            foreign,
            unlogged: range.relpersistence == pg_sys::RELPERSISTENCE_UNLOGGED as std::ffi::c_char,
            columns: Vec::new(),
            constraints: Vec::new(),
            partition_key: statement.partspec.as_ref().and_then(|spec| partition_key(spec, sql)),
            partition_of,
            parents,
            of_type: statement.ofTypename.as_ref().and_then(|of| qualified(of.names)),
            fillfactor: PgList::<pg_sys::DefElem>::from_pg(statement.options)
                .iter_ptr()
                .find(|option| {
                    text_of((**option).defname).as_deref() == Some("fillfactor")
                        && (**option).defnamespace.is_null()
                })
                .and_then(|option| {
                    let arg = (*option).arg;
                    if !arg.is_null() && (*arg).type_ == NodeTag::T_Integer {
                        return Some(f64::from((*arg.cast::<pg_sys::Integer>()).ival));
                    }
                    text_of(pg_sys::defGetString(option))?.parse().ok()
                }),
        };
        for element in PgList::<pg_sys::Node>::from_pg(statement.tableElts).iter_ptr() {
            match (*element).type_ {
                NodeTag::T_ColumnDef => column(&*element.cast::<pg_sys::ColumnDef>(), &mut table),
                NodeTag::T_Constraint => {
                    let change = constraint(&*element.cast::<pg_sys::Constraint>(), &table.relation, None);
                    add(change, &mut table);
                }
                _ => {}
            }
        }
        Some(Definition::Table(table))
    }
}

fn add(change: Option<Change>, table: &mut DefinedTable) {
    match change {
        Some(Change::Constraint(constraint)) => table.constraints.push(constraint),
        Some(Change::NotNull(name)) => {
            for column in table.columns.iter_mut().filter(|column| column.name == name) {
                column.not_null = true;
            }
        }
        _ => {}
    }
}

/// A column without its constraints.
///
/// # Safety
/// A column definition of a raw parse tree.
pub unsafe fn plain_column(defined: &pg_sys::ColumnDef) -> Option<DefinedColumn> {
    // SAFETY: as in `create`.
    unsafe {
        Some(DefinedColumn {
            name: text_of(defined.colname)?,
            kind: column_type(defined.typeName),
            collation: collation(defined.collClause),
            not_null: false,
            generated: false,
            identity: false,
        })
    }
}

/// # Safety
/// A column definition of a raw parse tree.
unsafe fn column(defined: &pg_sys::ColumnDef, table: &mut DefinedTable) {
    // SAFETY: as in `create`.
    unsafe {
        let Some(mut column) = plain_column(defined) else { return };
        let name = column.name.clone();
        column.not_null = defined.is_not_null;
        let mut changes = Vec::new();
        for constraint in PgList::<pg_sys::Constraint>::from_pg(defined.constraints).iter_ptr() {
            match (*constraint).contype {
                ConstrType::CONSTR_NOTNULL => column.not_null = true,
                ConstrType::CONSTR_GENERATED => column.generated = true,
                ConstrType::CONSTR_IDENTITY => (column.identity, column.not_null) = (true, true),
                _ => changes.push(self::constraint(&*constraint, &table.relation, Some(&name))),
            }
        }
        // A typed table names a column of its type again for its options.
        table.columns.push(column);
        for change in changes {
            add(change, table);
        }
    }
}

/// `RANGE (at)`.
///
/// # Safety
/// `PARTITION BY` of a statement that was read from this text.
unsafe fn partition_key(spec: &pg_sys::PartitionSpec, sql: &str) -> Option<PartitionKey> {
    // SAFETY: as in `create`.
    let columns = unsafe {
        PgList::<pg_sys::PartitionElem>::from_pg(spec.partParams)
            .iter_ptr()
            .filter_map(|element| text_of((*element).name))
            .collect()
    };
    let text = sql.get(usize::try_from(spec.location).ok()?..)?;
    let text = text.get("PARTITION BY ".len()..)?;
    Some(PartitionKey { text: balanced(text)?.trim().to_owned(), columns })
}

/// Text up to the end of its first parentheses.
fn balanced(text: &str) -> Option<&str> {
    let (mut depth, mut quote) = (0_u32, None);
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'(') => depth += 1,
            (None, b')') => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return text.get(..=at);
                }
            }
            _ => {}
        }
    }
    None
}

/// # Safety
/// A constraint of a raw parse tree; of a column if it names one.
unsafe fn constraint(
    written: &pg_sys::Constraint,
    table: &QualifiedName,
    column: Option<&str>,
) -> Option<Change> {
    // SAFETY: as in `create`; an exclusion is a pair of element and operator.
    unsafe {
        let own = || column.map(str::to_owned).into_iter().collect::<Vec<_>>();
        let or_own = |list| Some(strings(list)).filter(|names| !names.is_empty()).unwrap_or_else(own);
        let mut method = "btree".to_owned();
        let mut index_columns = None;
        let mut equal_columns = None;
        let mut references = None;
        let (kind, suffix, columns) = match written.contype {
            ConstrType::CONSTR_NOTNULL => return or_own(written.keys).pop().map(Change::NotNull),
            ConstrType::CONSTR_PRIMARY => (ConstraintKind::PrimaryKey, "pkey", or_own(written.keys)),
            ConstrType::CONSTR_UNIQUE => (ConstraintKind::Unique, "key", or_own(written.keys)),
            ConstrType::CONSTR_CHECK => (ConstraintKind::Check, "check", columns_in(written.raw_expr)),
            ConstrType::CONSTR_FOREIGN => {
                let target = existing_name(written.pktable, Names::Written)?;
                references = Some(Reference {
                    schema: target.schema,
                    table: target.name,
                    columns: strings(written.pk_attrs),
                });
                (ConstraintKind::ForeignKey, "fkey", or_own(written.fk_attrs))
            }
            ConstrType::CONSTR_EXCLUSION => {
                method = text_of(written.access_method).unwrap_or(method);
                let (columns, equal) = excluded(written);
                let named = columns.iter().flatten().cloned().collect();
                equal_columns = Some(equal);
                index_columns = Some(columns);
                (ConstraintKind::Exclusion, "excl", named)
            }
            _ => return None,
        };
        if is_temporal(written) {
            method = "gist".to_owned();
            equal_columns = columns.split_last().map(|(_, equal)| equal.to_vec());
        }
        let name = text_of(written.conname)
            .unwrap_or_else(|| [table.name.as_str(), &columns.join("_"), suffix].join("_"));
        let has_index =
            matches!(kind, ConstraintKind::PrimaryKey | ConstraintKind::Unique | ConstraintKind::Exclusion);
        let index = has_index.then(|| Index {
            name: name.clone(),
            method,
            unique: kind != ConstraintKind::Exclusion,
            columns: index_columns.unwrap_or_else(|| columns.iter().cloned().map(Some).collect()),
            partial: !written.where_clause.is_null(),
            of_constraint: true,
        });
        Some(Change::Constraint(DefinedConstraint {
            constraint: Constraint {
                name,
                kind,
                columns,
                references,
                deferrable: written.deferrable,
                validated: !written.skip_validation,
                equal_columns,
            },
            index,
            inheritable: !written.is_no_inherit,
        }))
    }
}

/// The elements of an exclusion, none for an expression, and the columns that
/// it compares with `=`.
///
/// # Safety
/// A constraint of a raw parse tree.
unsafe fn excluded(written: &pg_sys::Constraint) -> (Vec<Option<String>>, Vec<String>) {
    // SAFETY: as in `constraint`; an exclusion is a list of pairs of element and operator.
    unsafe {
        let (mut columns, mut equal) = (Vec::new(), Vec::new());
        for pair in PgList::<pg_sys::List>::from_pg(written.exclusions).iter_ptr() {
            let element = PgList::<pg_sys::IndexElem>::from_pg(pair).get_ptr(0);
            let column = element.and_then(|element| text_of((*element).name));
            let operator = PgList::<pg_sys::List>::from_pg(pair).get_ptr(1);
            if operator.is_some_and(|operator| strings(operator).last().is_some_and(|name| name == "=")) {
                equal.extend(column.clone());
            }
            columns.push(column);
        }
        (columns, equal)
    }
}

/// The names that an expression refers to, each once, in order. Which of them
/// are columns is seen where the table is known.
///
/// # Safety
/// A raw expression, or null.
unsafe fn columns_in(expression: *mut pg_sys::Node) -> Vec<String> {
    let (mut names, mut seen) = (Vec::new(), HashSet::new());
    // SAFETY: each cast follows the node's tag.
    unsafe {
        for node in nodes_of(expression, false) {
            if (*node).type_ != NodeTag::T_ColumnRef {
                continue;
            }
            let fields = PgList::<pg_sys::Node>::from_pg((*node.cast::<pg_sys::ColumnRef>()).fields);
            let last = fields.iter_ptr().last();
            let last = last.filter(|field| (**field).type_ == NodeTag::T_String);
            let name = last.and_then(|field| text_of((*field.cast::<pg_sys::String>()).sval));
            names.extend(name.filter(|name| seen.insert(name.clone())));
        }
    }
    names
}

/// # Safety
/// A raw `ALTER TABLE`.
pub unsafe fn alter(statement: &pg_sys::AlterTableStmt) -> Option<Definition> {
    // SAFETY: as in `create`; `def` is what the subtype makes it.
    unsafe {
        let kinds = [
            pg_sys::ObjectType::OBJECT_TABLE,
            pg_sys::ObjectType::OBJECT_FOREIGN_TABLE,
            pg_sys::ObjectType::OBJECT_VIEW,
        ];
        if !kinds.contains(&statement.objtype) {
            return None;
        }
        let relation = existing_name(statement.relation, Names::Written)?;
        let commands = PgList::<pg_sys::AlterTableCmd>::from_pg(statement.cmds);
        let changes: Vec<Change> = commands
            .iter_ptr()
            .filter_map(|command| {
                let command = &*command;
                let name = text_of(command.name);
                match command.subtype {
                    Alter::AT_AddConstraint | Alter::AT_AddIndexConstraint
                        if !command.def.is_null() && (*command.def).type_ == NodeTag::T_Constraint =>
                    {
                        constraint(&*command.def.cast::<pg_sys::Constraint>(), &relation, None)
                    }
                    Alter::AT_SetNotNull => name.map(Change::NotNull),
                    Alter::AT_AddIdentity => name.map(Change::Identity),
                    Alter::AT_EnableRowSecurity => Some(Change::RowSecurity),
                    Alter::AT_SetRelOptions => {
                        security_barrier(command.def.cast()).map(Change::SecurityBarrier)
                    }
                    Alter::AT_ResetRelOptions => {
                        security_barrier(command.def.cast()).map(|_| Change::SecurityBarrier(false))
                    }
                    Alter::AT_AttachPartition if !command.def.is_null() => {
                        let partition = (*command.def.cast::<pg_sys::PartitionCmd>()).name;
                        existing_name(partition, Names::Written).map(Change::AttachPartition)
                    }
                    Alter::AT_AddInherit if !command.def.is_null() => {
                        existing_name(command.def.cast::<pg_sys::RangeVar>(), Names::Written)
                            .map(Change::Inherit)
                    }
                    _ => None,
                }
            })
            .collect();
        (!changes.is_empty()).then_some(Definition::AlterTable { relation, changes })
    }
}

/// # Safety
/// A raw `CREATE INDEX`.
pub unsafe fn index(statement: &pg_sys::IndexStmt) -> Option<Definition> {
    // SAFETY: as in `create`.
    unsafe {
        let elements = PgList::<pg_sys::IndexElem>::from_pg(statement.indexParams);
        Some(Definition::Index {
            relation: existing_name(statement.relation, Names::Written)?,
            index: Index {
                name: text_of(statement.idxname)?,
                method: text_of(statement.accessMethod).unwrap_or_else(|| "btree".to_owned()),
                unique: statement.unique,
                columns: elements.iter_ptr().map(|element| text_of((*element).name)).collect(),
                partial: !statement.whereClause.is_null(),
                of_constraint: false,
            },
        })
    }
}
