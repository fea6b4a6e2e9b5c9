//! Utility statements read from PostgreSQL's parse trees into `model::utility`.
//!
//! Reading only. The same reader serves the hook, where names are resolved as
//! the statement would resolve them, and text from a dump, where every name is
//! qualified.

use std::ffi::CStr;
use std::ffi::CString;
use std::ffi::c_char;

use pgrx::PgList;
use pgrx::pg_sys;
use pgrx::pg_sys::AlterTableType as Alter;
use pgrx::pg_sys::ConstrType;
use pgrx::pg_sys::NodeTag;

use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::name::quote_literal;
use crate::model::utility::AlterCommand;
use crate::model::utility::CreateIndex;
use crate::model::utility::CreateTable;
use crate::model::utility::Utility;
use crate::pg::context::Caught;
use crate::pg::context::in_subtransaction;

/// How a relation without a schema is understood.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// As the running statement understands it.
    Resolved,
    /// In schema `public`: text that is only read.
    Written,
}

/// Reads the utility statements about relations of an SQL text, in order;
/// others are left out.
///
/// # Errors
/// The parser's own error.
pub fn read_text(sql: &str) -> Result<Vec<Utility>, Caught> {
    in_subtransaction(|| {
        let zero_terminated = CString::new(sql).unwrap_or_default();
        let mut read = Vec::new();
        // SAFETY: the parser copies what it needs into its trees, which live
        // in the current memory context until the caller's function ends.
        unsafe {
            let list = PgList::<pg_sys::RawStmt>::from_pg(pg_sys::pg_parse_query(zero_terminated.as_ptr()));
            for raw in list.iter_ptr() {
                pgrx::check_for_interrupts!();
                read.extend(read_node((*raw).stmt, Names::Written));
            }
        }
        read
    })
}

/// The part of a query string that one statement takes.
pub fn slice(sql: &str, location: i32, length: i32) -> String {
    let start = usize::try_from(location).unwrap_or(0).min(sql.len());
    let end = match usize::try_from(length) {
        Ok(length) if length > 0 => (start + length).min(sql.len()),
        _ => sql.len(),
    };
    sql.get(start..end).unwrap_or(sql).trim().to_owned()
}

/// Text of the server, copied.
///
/// # Safety
/// Null, or zero-terminated.
pub unsafe fn text_of(value: *const c_char) -> Option<String> {
    if value.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { CStr::from_ptr(value) }.to_string_lossy().into_owned())
}

/// Reads one statement; none if it does not concern us.
///
/// # Safety
/// A raw or analysed utility statement's node, in a transaction.
pub unsafe fn read_node(node: *mut pg_sys::Node, names: Names) -> Option<Utility> {
    // SAFETY: each cast follows the node's tag; lists and strings of a parse
    // tree are what the grammar makes them.
    unsafe {
        match (*node).type_ {
            NodeTag::T_CreateStmt => {
                let statement = &*node.cast::<pg_sys::CreateStmt>();
                let relation = created_name(statement.relation, names)?;
                Some(Utility::CreateTable(read_create_table(statement, relation)))
            }
            NodeTag::T_AlterTableStmt => {
                let statement = &*node.cast::<pg_sys::AlterTableStmt>();
                // ALTER INDEX, ALTER SEQUENCE and others share the node.
                if statement.objtype != pg_sys::ObjectType::OBJECT_TABLE {
                    return None;
                }
                Some(Utility::AlterTable {
                    relation: existing_name(statement.relation, names)?,
                    only: !(*statement.relation).inh,
                    commands: PgList::<pg_sys::AlterTableCmd>::from_pg(statement.cmds)
                        .iter_ptr()
                        .map(|command| read_command(&*command, names))
                        .collect(),
                })
            }
            _ => read_change(node, names),
        }
    }
}

/// Statements about a table that is there, besides `ALTER TABLE`.
///
/// # Safety
/// As [`read_node`].
unsafe fn read_change(node: *mut pg_sys::Node, names: Names) -> Option<Utility> {
    // SAFETY: as in `read_node`.
    unsafe {
        match (*node).type_ {
            NodeTag::T_IndexStmt => {
                let statement = &*node.cast::<pg_sys::IndexStmt>();
                let relation = existing_name(statement.relation, names)?;
                Some(Utility::CreateIndex(read_index(statement, relation)))
            }
            NodeTag::T_TruncateStmt => {
                let statement = &*node.cast::<pg_sys::TruncateStmt>();
                let relations = PgList::<pg_sys::RangeVar>::from_pg(statement.relations)
                    .iter_ptr()
                    .filter_map(|relation| Some((existing_name(relation, names)?, !(*relation).inh)))
                    .collect();
                let plain =
                    !statement.restart_seqs && statement.behavior == pg_sys::DropBehavior::DROP_RESTRICT;
                Some(Utility::Truncate { relations, plain })
            }
            NodeTag::T_CopyStmt => {
                let statement = &*node.cast::<pg_sys::CopyStmt>();
                if !statement.is_from || statement.relation.is_null() {
                    return None;
                }
                let freeze = options(statement.options).any(|(name, _)| name == "freeze");
                Some(Utility::CopyFrom { relation: existing_name(statement.relation, names)?, freeze })
            }
            NodeTag::T_CreateTrigStmt => {
                let statement = &*node.cast::<pg_sys::CreateTrigStmt>();
                Some(Utility::CreateTrigger {
                    relation: existing_name(statement.relation, names)?,
                    name: text_of(statement.trigname).unwrap_or_default(),
                    row: statement.row,
                    transition_tables: !statement.transitionRels.is_null(),
                })
            }
            NodeTag::T_CreatePublicationStmt => {
                let statement = &*node.cast::<pg_sys::CreatePublicationStmt>();
                let via_root = options(statement.options).any(|(name, option)| {
                    name == "publish_via_partition_root" && pg_sys::defGetBoolean(option)
                });
                published(statement.pubname, statement.pubobjects, via_root, true, names)
            }
            NodeTag::T_AlterPublicationStmt => {
                let statement = &*node.cast::<pg_sys::AlterPublicationStmt>();
                if statement.action == pg_sys::AlterPublicationAction::AP_DropObjects {
                    return None;
                }
                published(statement.pubname, statement.pubobjects, false, false, names)
            }
            _ => read_other(node, names),
        }
    }
}

/// Statements after which something else has a table's name.
///
/// # Safety
/// As `read_node`.
unsafe fn read_other(node: *mut pg_sys::Node, names: Names) -> Option<Utility> {
    // SAFETY: as in `read_node`.
    unsafe {
        match (*node).type_ {
            NodeTag::T_CreateForeignTableStmt => {
                let statement = &*node.cast::<pg_sys::CreateForeignTableStmt>();
                let relation = created_name(statement.base.relation, names)?;
                Some(Utility::CreateOther { relation, what: "a foreign table" })
            }
            NodeTag::T_CreateTableAsStmt => {
                let statement = &*node.cast::<pg_sys::CreateTableAsStmt>();
                let relation = created_name((*statement.into).rel, names)?;
                let what = if statement.objtype == pg_sys::ObjectType::OBJECT_MATVIEW {
                    "a materialized view"
                } else {
                    "the result of a query"
                };
                Some(Utility::CreateOther { relation, what })
            }
            NodeTag::T_ViewStmt => {
                let statement = &*node.cast::<pg_sys::ViewStmt>();
                Some(Utility::CreateOther { relation: created_name(statement.view, names)?, what: "a view" })
            }
            NodeTag::T_ExplainStmt => explained(&*node.cast::<pg_sys::ExplainStmt>(), names),
            NodeTag::T_RenameStmt => {
                let statement = &*node.cast::<pg_sys::RenameStmt>();
                if statement.renameType != pg_sys::ObjectType::OBJECT_TABLE {
                    return None;
                }
                let from = existing_name(statement.relation, names)?;
                let relation = from.sibling(text_of(statement.newname)?);
                Some(Utility::MoveTable { from, relation })
            }
            NodeTag::T_AlterObjectSchemaStmt => {
                let statement = &*node.cast::<pg_sys::AlterObjectSchemaStmt>();
                if statement.objectType != pg_sys::ObjectType::OBJECT_TABLE {
                    return None;
                }
                let from = existing_name(statement.relation, names)?;
                let relation = QualifiedName::new(text_of(statement.newschema)?, &from.name);
                Some(Utility::MoveTable { from, relation })
            }
            _ => None,
        }
    }
}

/// What `EXPLAIN ANALYZE` would create: it runs its statement, and as a part of
/// another no event trigger sees it.
///
/// # Safety
/// An `EXPLAIN` of a parse tree.
unsafe fn explained(statement: &pg_sys::ExplainStmt, names: Names) -> Option<Utility> {
    // SAFETY: as in `read_node`; after analysis the statement is a query,
    // before it the statement itself.
    unsafe {
        // The last one counts, as in the server.
        let (_, analyze) = options(statement.options).filter(|(name, _)| name == "analyze").last()?;
        if statement.query.is_null() || !pg_sys::defGetBoolean(analyze) {
            return None;
        }
        let node = match (*statement.query).type_ {
            NodeTag::T_Query => (*statement.query.cast::<pg_sys::Query>()).utilityStmt,
            _ => statement.query,
        };
        (!node.is_null() && (*node).type_ == NodeTag::T_CreateTableAsStmt).then(|| read_node(node, names))?
    }
}

/// # Safety
/// A publication's object list.
unsafe fn published(
    name: *const c_char,
    objects: *mut pg_sys::List,
    via_root: bool,
    creates: bool,
    names: Names,
) -> Option<Utility> {
    // SAFETY: as in `read_node`.
    unsafe {
        let relations: Vec<_> = PgList::<pg_sys::PublicationObjSpec>::from_pg(objects)
            .iter_ptr()
            .filter(|object| !(**object).pubtable.is_null())
            .filter_map(|object| existing_name((*(*object).pubtable).relation, names))
            .collect();
        (!relations.is_empty()).then(|| Utility::Publish {
            publication: text_of(name).unwrap_or_default(),
            relations,
            via_root,
            creates,
        })
    }
}

/// # Safety
/// A list of `DefElem`.
unsafe fn options(list: *mut pg_sys::List) -> impl Iterator<Item = (String, *mut pg_sys::DefElem)> {
    // SAFETY: the caller's promise.
    let elements: Vec<_> = unsafe {
        PgList::<pg_sys::DefElem>::from_pg(list)
            .iter_ptr()
            .map(|option| (text_of((*option).defname).unwrap_or_default(), option))
            .collect()
    };
    elements.into_iter()
}

/// The name under which a statement would create a relation; none for
/// temporary ones.
///
/// # Safety
/// A range variable of a parse tree.
unsafe fn created_name(relation: *mut pg_sys::RangeVar, names: Names) -> Option<QualifiedName> {
    // SAFETY: reads of a parse tree and a catalog look-up in a transaction.
    unsafe {
        let name = text_of((*relation).relname)?;
        if (*relation).relpersistence == pg_sys::RELPERSISTENCE_TEMP as c_char {
            return None;
        }
        if let Some(schema) = text_of((*relation).schemaname) {
            return Some(QualifiedName { schema, name });
        }
        if names == Names::Written {
            return Some(QualifiedName::new("public", name));
        }
        let namespace = pg_sys::RangeVarGetCreationNamespace(relation);
        Some(QualifiedName { schema: text_of(pg_sys::get_namespace_name(namespace))?, name })
    }
}

/// The name of the relation that a statement finds; none if there is none.
///
/// # Safety
/// A range variable of a parse tree.
pub unsafe fn existing_name(relation: *mut pg_sys::RangeVar, names: Names) -> Option<QualifiedName> {
    // SAFETY: as above; no lock is taken, the statement itself will take it.
    unsafe {
        let name = text_of((*relation).relname)?;
        if let Some(schema) = text_of((*relation).schemaname) {
            return Some(QualifiedName { schema, name });
        }
        if names == Names::Written {
            return Some(QualifiedName::new("public", name));
        }
        let found = pg_sys::RangeVarGetRelidExtended(
            relation,
            pg_sys::NoLock as _,
            pg_sys::RVROption::RVR_MISSING_OK,
            None,
            std::ptr::null_mut(),
        );
        if found == pg_sys::InvalidOid {
            return None;
        }
        Some(QualifiedName {
            schema: text_of(pg_sys::get_namespace_name(pg_sys::get_rel_namespace(found)))?,
            name,
        })
    }
}

/// # Safety
/// A `CREATE TABLE` of a parse tree.
unsafe fn read_create_table(statement: &pg_sys::CreateStmt, relation: QualifiedName) -> CreateTable {
    // SAFETY: as in `read_node`; a table element is a column, a constraint or
    // a LIKE clause, told apart by tag.
    unsafe {
        let columns = PgList::<pg_sys::Node>::from_pg(statement.tableElts)
            .iter_ptr()
            .filter(|element| (**element).type_ == NodeTag::T_ColumnDef)
            .filter_map(|element| text_of((*element.cast::<pg_sys::ColumnDef>()).colname))
            .collect();
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
        CreateTable {
            relation,
            columns,
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
unsafe fn read_index(statement: &pg_sys::IndexStmt, relation: QualifiedName) -> CreateIndex {
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
unsafe fn read_command(command: &pg_sys::AlterTableCmd, names: Names) -> AlterCommand {
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
                    referenced_columns: strings(constraint.pk_attrs),
                    not_valid: constraint.skip_validation,
                },
                None => AlterCommand::Other,
            },
            _ => AlterCommand::Other,
        }
    }
}

/// The strings of a list of string nodes.
///
/// # Safety
/// A list of string nodes, or null.
pub unsafe fn strings(list: *mut pg_sys::List) -> Vec<String> {
    // SAFETY: the caller's promise; 15 and later have `sval`.
    unsafe {
        PgList::<pg_sys::String>::from_pg(list)
            .iter_ptr()
            .filter_map(|value| text_of((*value).sval))
            .collect()
    }
}
