//! Utility statements read from PostgreSQL's parse trees into `model::utility`.
//!
//! Reading only. The same reader serves the hook, where names are resolved as
//! the statement would resolve them, and text from a dump, where every name is
//! qualified.

pub mod table;

use std::ffi::CStr;
use std::ffi::CString;
use std::ffi::c_char;

use pgrx::PgList;
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::model::name::QualifiedName;
use crate::model::utility::Utility;
use crate::pg::context::Caught;
use crate::pg::context::in_subtransaction;
use crate::pg::utility::table::read_command;
use crate::pg::utility::table::read_create_table;
use crate::pg::utility::table::read_index;

/// How a relation without a schema is understood.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// As the running statement understands it.
    Resolved,
    /// In schema `public`: text that is only read.
    Written,
}

/// A statement of an SQL text.
pub struct Statement {
    /// As it is written, with the comments above it and without its semicolon.
    pub text: String,
    /// None if it does not concern us.
    pub utility: Option<Utility>,
}

/// Reads the utility statements about relations of an SQL text, in order;
/// others are left out.
///
/// # Errors
/// The parser's own error.
pub fn read_text(sql: &str) -> Result<Vec<Utility>, Caught> {
    Ok(read_statements(sql)?.into_iter().filter_map(|statement| statement.utility).collect())
}

/// Reads all statements of an SQL text, in order.
///
/// # Errors
/// The parser's own error.
pub fn read_statements(sql: &str) -> Result<Vec<Statement>, Caught> {
    in_subtransaction(|| {
        let zero_terminated = CString::new(sql).unwrap_or_default();
        let mut read = Vec::new();
        // SAFETY: the parser copies what it needs into its trees, which live
        // in the current memory context until the caller's function ends.
        unsafe {
            let list = PgList::<pg_sys::RawStmt>::from_pg(pg_sys::pg_parse_query(zero_terminated.as_ptr()));
            let mut end = 0;
            for raw in list.iter_ptr() {
                pgrx::check_for_interrupts!();
                // From 18 on a statement begins at its first word: comments above it are looked for.
                let start = end;
                let place = usize::try_from((*raw).stmt_location).unwrap_or(0);
                end = match usize::try_from((*raw).stmt_len) {
                    Ok(length) if length > 0 => (place + length).min(sql.len()),
                    _ => sql.len(),
                };
                let text = sql.get(start..end).unwrap_or_default();
                let text =
                    text.trim_start_matches(|c: char| c == ';' || c.is_whitespace()).trim_end().to_owned();
                read.push(Statement { text, utility: read_node((*raw).stmt, Names::Written) });
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

/// The part of a query string behind a statement.
pub fn rest(sql: &str, location: i32, length: i32) -> &str {
    let (start, length) = (usize::try_from(location).unwrap_or(0), usize::try_from(length).unwrap_or(0));
    // Without a length it is the last one.
    if length == 0 { "" } else { sql.get(start.saturating_add(length)..).unwrap_or_default() }
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
                Some(Utility::CreateTable(read_create_table(statement, relation, names)))
            }
            NodeTag::T_AlterTableStmt => {
                let statement = &*node.cast::<pg_sys::AlterTableStmt>();
                // ALTER INDEX, ALTER SEQUENCE and others share the node.
                if statement.objtype == pg_sys::ObjectType::OBJECT_INDEX {
                    return Some(Utility::OnIndex {
                        what: "ALTER INDEX",
                        index: written_name(statement.relation)?,
                    });
                }
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
                let all = statement.for_all_tables;
                published(statement.pubname, statement.pubobjects, all, (via_root, true), names)
            }
            NodeTag::T_AlterPublicationStmt => {
                let statement = &*node.cast::<pg_sys::AlterPublicationStmt>();
                if statement.action == pg_sys::AlterPublicationAction::AP_DropObjects {
                    return None;
                }
                let all = statement.for_all_tables;
                published(statement.pubname, statement.pubobjects, all, (false, false), names)
            }
            NodeTag::T_CommentStmt => {
                let statement = &*node.cast::<pg_sys::CommentStmt>();
                commented(statement, names)
            }
            NodeTag::T_DropStmt => dropped(&*node.cast::<pg_sys::DropStmt>()),
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
                if statement.renameType == pg_sys::ObjectType::OBJECT_SCHEMA {
                    let (from, schema) = (text_of(statement.subname)?, text_of(statement.newname)?);
                    return Some(Utility::MoveSchema { from, schema });
                }
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
/// A `DROP` of a parse tree.
unsafe fn dropped(statement: &pg_sys::DropStmt) -> Option<Utility> {
    // SAFETY: extensions are a list of names, indexes one of lists of names.
    unsafe {
        match statement.removeType {
            pg_sys::ObjectType::OBJECT_EXTENSION => {
                let ours = strings(statement.objects).iter().any(|name| name == "pg_presplit");
                ours.then_some(Utility::DropExtension)
            }
            pg_sys::ObjectType::OBJECT_INDEX if !statement.concurrent => {
                // Of several, each would need a statement of its own; dumps name one.
                let objects = PgList::<pg_sys::List>::from_pg(statement.objects);
                let object = objects.get_ptr(0).filter(|_| objects.len() == 1)?;
                let index = written_name(pg_sys::makeRangeVarFromNameList(object))?;
                Some(Utility::OnIndex { what: "DROP INDEX", index })
            }
            _ => None,
        }
    }
}

/// # Safety
/// A `COMMENT` of a parse tree.
unsafe fn commented(statement: &pg_sys::CommentStmt, names: Names) -> Option<Utility> {
    // SAFETY: the object of these types is a list of names.
    unsafe {
        match statement.objtype {
            pg_sys::ObjectType::OBJECT_INDEX => {
                let index = written_name(pg_sys::makeRangeVarFromNameList(statement.object.cast()))?;
                Some(Utility::OnIndex { what: "COMMENT ON INDEX", index })
            }
            pg_sys::ObjectType::OBJECT_TABCONSTRAINT => {
                let mut table = PgList::<pg_sys::Node>::from_pg(pg_sys::list_copy(statement.object.cast()));
                let name = text_of((*table.pop()?.cast::<pg_sys::String>()).sval)?;
                let relation = pg_sys::makeRangeVarFromNameList(table.into_pg());
                Some(Utility::OnConstraint { relation: existing_name(relation, names)?, name })
            }
            _ => None,
        }
    }
}

/// # Safety
/// A publication's object list.
unsafe fn published(
    name: *const c_char,
    objects: *mut pg_sys::List,
    all: bool,
    (via_root, creates): (bool, bool),
    names: Names,
) -> Option<Utility> {
    // SAFETY: as in `read_node`.
    unsafe {
        let objects = PgList::<pg_sys::PublicationObjSpec>::from_pg(objects);
        let relations: Vec<_> = objects
            .iter_ptr()
            .filter(|object| !(**object).pubtable.is_null())
            .filter_map(|object| existing_name((*(*object).pubtable).relation, names))
            .collect();
        let schemas: Vec<_> = objects
            .iter_ptr()
            .filter(|object| {
                (**object).pubobjtype == pg_sys::PublicationObjSpecType::PUBLICATIONOBJ_TABLES_IN_SCHEMA
            })
            .filter_map(|object| text_of((*object).name))
            .collect();
        (all || !relations.is_empty() || !schemas.is_empty()).then(|| Utility::Publish {
            publication: text_of(name).unwrap_or_default(),
            relations,
            schemas,
            all,
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

/// A name that is written with its schema; others may not be there, and so
/// cannot be looked for.
///
/// # Safety
/// A range variable of a parse tree.
unsafe fn written_name(relation: *mut pg_sys::RangeVar) -> Option<QualifiedName> {
    // SAFETY: reads of a parse tree.
    unsafe {
        Some(QualifiedName { schema: text_of((*relation).schemaname)?, name: text_of((*relation).relname)? })
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
