//! Tables, their commands, constraints and indexes in parse trees.

use std::ffi::c_char;

use pgrx::PgList;
use pgrx::pg_sys;
use pgrx::pg_sys::AlterTableType as Alter;
use pgrx::pg_sys::ConstrType;
use pgrx::pg_sys::NodeTag;

use crate::model::key::KeyType;
use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::name::quote_literal;
use crate::model::utility::AlterCommand;
use crate::model::utility::CreateIndex;
use crate::model::utility::CreateTable;
use crate::pg::utility::Names;
use crate::pg::utility::existing_name;
use crate::pg::utility::strings;
use crate::pg::utility::text_of;

/// The constraints among the elements of a table, also those of its columns.
///
/// # Safety
/// The elements of a `CREATE TABLE` of a parse tree.
pub unsafe fn constraints(elements: *mut pg_sys::List) -> Vec<*mut pg_sys::Constraint> {
    // SAFETY: elements are told apart by tag.
    unsafe {
        let mut found = Vec::new();
        for element in PgList::<pg_sys::Node>::from_pg(elements).iter_ptr() {
            match (*element).type_ {
                NodeTag::T_Constraint => found.push(element.cast::<pg_sys::Constraint>()),
                NodeTag::T_ColumnDef => found.extend(
                    PgList::<pg_sys::Constraint>::from_pg((*element.cast::<pg_sys::ColumnDef>()).constraints)
                        .iter_ptr(),
                ),
                _ => {}
            }
        }
        found
    }
}

/// What the order of a type of `pg_catalog` depends on; none if the name is not
/// certain to be that of one.
///
/// # Safety
/// Null, or a type's name in a parse tree.
unsafe fn built_in_type(name: *mut pg_sys::TypeName) -> Option<KeyType> {
    // SAFETY: names are a list of strings.
    unsafe {
        let name = name.as_ref()?;
        let parts = strings(name.names);
        let plain = name.arrayBounds.is_null() && !name.setof && !name.pct_type;
        match parts.as_slice() {
            [schema, last] if plain && schema == "pg_catalog" => Some(KeyType::of_internal(last)),
            // Dumps write these without their schema; whoever hides them by a type of his own has another key type.
            [last] if plain && ["date", "uuid", "text"].contains(&last.as_str()) => {
                Some(KeyType::of_internal(last))
            }
            _ => None,
        }
    }
}

/// # Safety
/// A `CREATE TABLE` of a parse tree.
pub unsafe fn read_create_table(
    statement: &pg_sys::CreateStmt,
    relation: QualifiedName,
    names: Names,
) -> CreateTable {
    // SAFETY: as in `read_node`; a table element is a column, a constraint or
    // a LIKE clause, told apart by tag.
    unsafe {
        let columns = PgList::<pg_sys::Node>::from_pg(statement.tableElts)
            .iter_ptr()
            .filter(|element| (**element).type_ == NodeTag::T_ColumnDef)
            .filter_map(|element| text_of((*element.cast::<pg_sys::ColumnDef>()).colname))
            .collect();
        let having = |kind: ConstrType::Type| {
            PgList::<pg_sys::Node>::from_pg(statement.tableElts)
                .iter_ptr()
                .filter(|element| (**element).type_ == NodeTag::T_ColumnDef)
                .map(|element| element.cast::<pg_sys::ColumnDef>())
                .filter(|column| {
                    let constraints = PgList::<pg_sys::Constraint>::from_pg((**column).constraints);
                    constraints.iter_ptr().any(|constraint| (*constraint).contype == kind)
                })
                .filter_map(|column| text_of((*column).colname))
                .collect()
        };
        let built_in = PgList::<pg_sys::Node>::from_pg(statement.tableElts)
            .iter_ptr()
            .filter(|element| (**element).type_ == NodeTag::T_ColumnDef)
            .filter_map(|element| {
                let column = &*element.cast::<pg_sys::ColumnDef>();
                Some((text_of(column.colname)?, built_in_type(column.typeName)?))
            })
            .collect();
        let generated = having(ConstrType::CONSTR_GENERATED);
        let not_null = having(ConstrType::CONSTR_NOTNULL);
        let likes = PgList::<pg_sys::Node>::from_pg(statement.tableElts)
            .iter_ptr()
            .any(|element| (*element).type_ == NodeTag::T_TableLikeClause);
        let options = PgList::<pg_sys::DefElem>::from_pg(statement.options)
            .iter_ptr()
            .map(|option| {
                let space = text_of((*option).defnamespace)
                    .map_or_else(String::new, |space| format!("{}.", quote_identifier(&space)));
                let name = text_of((*option).defname).unwrap_or_default();
                let value = if (*option).arg.is_null() {
                    "true".to_owned()
                } else {
                    text_of(pg_sys::defGetString(option)).unwrap_or_default()
                };
                let name = quote_identifier(&name);
                format!("{space}{name} = {}", quote_literal(&value).trim_start())
            })
            .collect();
        let mut parents: Vec<_> = PgList::<pg_sys::RangeVar>::from_pg(statement.inhRelations)
            .iter_ptr()
            .filter_map(|parent| existing_name(parent, names))
            .collect();
        let partition_of = if statement.partbound.is_null() { None } else { parents.pop() };
        CreateTable {
            relation,
            columns,
            built_in,
            generated,
            not_null,
            parents,
            partition_of,
            no_inherit: constraints(statement.tableElts).iter().any(|found| (**found).is_no_inherit),
            unlogged: (*statement.relation).relpersistence == pg_sys::RELPERSISTENCE_UNLOGGED as c_char,
            inherits: statement.partbound.is_null() && !statement.inhRelations.is_null(),
            typed: !statement.ofTypename.is_null() || likes,
            partitioned: !statement.partspec.is_null() || !statement.partbound.is_null(),
            options,
            access_method: text_of(statement.accessMethod),
        }
    }
}

/// # Safety
/// A `CREATE INDEX` of a parse tree.
pub unsafe fn read_index(statement: &pg_sys::IndexStmt, relation: QualifiedName) -> CreateIndex {
    // SAFETY: as in `read_node`.
    unsafe {
        let elements = PgList::<pg_sys::IndexElem>::from_pg(statement.indexParams);
        let columns: Vec<_> = elements.iter_ptr().filter_map(|element| text_of((*element).name)).collect();
        CreateIndex {
            relation,
            name: text_of(statement.idxname),
            unique: statement.unique,
            expressions: columns.len() < elements.len(),
            columns,
            only: !(*statement.relation).inh,
            concurrently: statement.concurrent,
        }
    }
}

/// # Safety
/// A command of an `ALTER TABLE` of a parse tree.
pub unsafe fn read_command(command: &pg_sys::AlterTableCmd, names: Names) -> AlterCommand {
    // SAFETY: as in `read_node`; `def` is what the subtype makes it.
    unsafe {
        match command.subtype {
            Alter::AT_ChangeOwner => AlterCommand::Owner,
            Alter::AT_AddConstraint | Alter::AT_AddIndexConstraint
                if !command.def.is_null() && (*command.def).type_ == NodeTag::T_Constraint =>
            {
                read_constraint(&*command.def.cast::<pg_sys::Constraint>(), names)
            }
            Alter::AT_ClusterOn => {
                AlterCommand::ClusterOn { index: text_of(command.name).unwrap_or_default() }
            }
            Alter::AT_ReplicaIdentity => {
                let identity = &*command.def.cast::<pg_sys::ReplicaIdentityStmt>();
                AlterCommand::ReplicaIdentity { index: text_of(identity.name) }
            }
            Alter::AT_DropConstraint | Alter::AT_ValidateConstraint => {
                AlterCommand::Constraint { name: text_of(command.name).unwrap_or_default() }
            }
            Alter::AT_SetCompression => AlterCommand::Compression,
            Alter::AT_SetOptions | Alter::AT_ResetOptions => {
                AlterCommand::ColumnOptions { column: text_of(command.name).unwrap_or_default() }
            }
            Alter::AT_SetRelOptions | Alter::AT_ResetRelOptions | Alter::AT_ReplaceRelOptions => {
                AlterCommand::StorageParameters
            }
            Alter::AT_SetLogged | Alter::AT_SetUnLogged => AlterCommand::Persistence,
            Alter::AT_SetTableSpace => AlterCommand::Tablespace,
            Alter::AT_EnableRowSecurity
            | Alter::AT_DisableRowSecurity
            | Alter::AT_ForceRowSecurity
            | Alter::AT_NoForceRowSecurity => AlterCommand::RowSecurity,
            Alter::AT_AddIdentity | Alter::AT_SetIdentity | Alter::AT_DropIdentity => AlterCommand::Identity,
            Alter::AT_AddInherit => AlterCommand::Inherit,
            Alter::AT_AttachPartition | Alter::AT_DetachPartition => AlterCommand::AttachPartition,
            _ => AlterCommand::Other,
        }
    }
}

/// A key `WITHOUT OVERLAPS`, or a foreign key with `PERIOD`, of PostgreSQL 18.
pub const fn is_temporal(written: &pg_sys::Constraint) -> bool {
    #[cfg(feature = "pg18")]
    return written.without_overlaps || written.fk_with_period;
    #[cfg(not(feature = "pg18"))]
    {
        let _ = written;
        false
    }
}

/// # Safety
/// A constraint of a parse tree.
unsafe fn read_constraint(constraint: &pg_sys::Constraint, names: Names) -> AlterCommand {
    // SAFETY: as in `read_node`; an exclusion is a pair of element and operator name.
    unsafe {
        let name = text_of(constraint.conname);
        match constraint.contype {
            ConstrType::CONSTR_PRIMARY | ConstrType::CONSTR_UNIQUE => AlterCommand::AddUnique {
                name,
                primary: constraint.contype == ConstrType::CONSTR_PRIMARY,
                columns: strings(constraint.keys),
                using_index: !constraint.indexname.is_null(),
                temporal: is_temporal(constraint),
            },
            ConstrType::CONSTR_EXCLUSION => {
                let pairs = PgList::<pg_sys::List>::from_pg(constraint.exclusions);
                let equal_columns = pairs
                    .iter_ptr()
                    .filter_map(|pair| {
                        let pair = PgList::<pg_sys::Node>::from_pg(pair);
                        let element = pair.get_ptr(0)?.cast::<pg_sys::IndexElem>();
                        let operator = strings(pair.get_ptr(1)?.cast::<pg_sys::List>());
                        (operator.last().is_some_and(|name| name == "=")).then(|| text_of((*element).name))?
                    })
                    .collect();
                AlterCommand::AddExclusion { name, equal_columns }
            }
            ConstrType::CONSTR_FOREIGN => match existing_name(constraint.pktable, names) {
                Some(references) => AlterCommand::AddForeignKey {
                    name,
                    references,
                    columns: strings(constraint.fk_attrs),
                    full: constraint.fk_matchtype == pg_sys::FKCONSTR_MATCH_FULL as c_char,
                    referenced_columns: strings(constraint.pk_attrs),
                    not_valid: constraint.skip_validation,
                },
                None => AlterCommand::Other,
            },
            _ if constraint.is_no_inherit => AlterCommand::AddNoInherit,
            _ => AlterCommand::Other,
        }
    }
}
