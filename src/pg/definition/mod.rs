//! The statements of a dump, read from PostgreSQL's raw parse trees.
//!
//! Raw parsing looks nothing up and runs nothing. What a name means is taken
//! from the text, in which pg_dump qualifies every name that is not of
//! `pg_catalog`; only types of `pg_catalog` are looked up.

mod signature;
mod table;
#[cfg(feature = "pg_test")]
mod tests;
mod types;

use std::ffi::CString;

use pgrx::PgList;
use pgrx::PgMemoryContexts;
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::model::dump::ColumnType;
use crate::model::dump::DefinedKind;
use crate::model::dump::Definition;
use crate::model::name::QualifiedName;
use crate::model::profile::Constraint;
use crate::model::profile::ConstraintKind;
use crate::model::profile::Trigger;
use crate::model::profile::View;
use crate::pg::context::Caught;
use crate::pg::context::in_subtransaction;
use crate::pg::utility::Names;
use crate::pg::utility::existing_name;
use crate::pg::utility::strings;
use crate::pg::utility::text_of;

/// Reads a statement; nothing if it defines nothing that a profile holds.
///
/// # Errors
/// That of the parser, or of a type's modifier.
pub fn read(sql: &str) -> Result<Vec<Definition>, Caught> {
    let zero_terminated = CString::new(sql).unwrap_or_default();
    // Whatever the parser allocates is given back with each statement.
    let mut memory = PgMemoryContexts::new("pg_presplit definition");
    in_subtransaction(|| {
        let mut found = Vec::new();
        // SAFETY: the context lives until all that was read is copied.
        unsafe {
            memory.switch_to(|_| {
                let list = pg_sys::pg_parse_query(zero_terminated.as_ptr());
                for raw in PgList::<pg_sys::RawStmt>::from_pg(list).iter_ptr() {
                    read_node((*raw).stmt, sql, &mut found);
                }
            });
        }
        found
    })
}

/// # Safety
/// A raw utility statement, an `INSERT` or a `SELECT`.
unsafe fn read_node(node: *mut pg_sys::Node, sql: &str, found: &mut Vec<Definition>) {
    // SAFETY: each cast follows the node's tag; lists and strings of a parse
    // tree are what the grammar makes them.
    unsafe {
        match (*node).type_ {
            NodeTag::T_CreateStmt => {
                found.extend(table::create(&*node.cast::<pg_sys::CreateStmt>(), sql, false));
            }
            NodeTag::T_CreateForeignTableStmt => {
                let statement = &*node.cast::<pg_sys::CreateForeignTableStmt>();
                found.extend(table::create(&statement.base, sql, true));
            }
            NodeTag::T_AlterTableStmt => {
                found.extend(table::alter(&*node.cast::<pg_sys::AlterTableStmt>()));
            }
            NodeTag::T_IndexStmt => {
                found.extend(table::index(&*node.cast::<pg_sys::IndexStmt>()));
            }
            NodeTag::T_CreateTrigStmt => {
                found.extend(trigger(&*node.cast::<pg_sys::CreateTrigStmt>()));
            }
            NodeTag::T_ViewStmt => found.extend(view(&*node.cast::<pg_sys::ViewStmt>(), sql)),
            NodeTag::T_CreateFunctionStmt => {
                found.extend(signature::function(&*node.cast::<pg_sys::CreateFunctionStmt>()));
            }
            NodeTag::T_DefineStmt => found.extend(define(&*node.cast::<pg_sys::DefineStmt>())),
            NodeTag::T_CreateEnumStmt
            | NodeTag::T_CreateDomainStmt
            | NodeTag::T_CreateRangeStmt
            | NodeTag::T_CompositeTypeStmt => read_type(node, found),
            NodeTag::T_CopyStmt
            | NodeTag::T_InsertStmt
            | NodeTag::T_VariableSetStmt
            | NodeTag::T_SelectStmt => read_data(node, found),
            _ => {}
        }
    }
}

/// # Safety
/// As `read_node`: a statement that makes a type.
unsafe fn read_type(node: *mut pg_sys::Node, found: &mut Vec<Definition>) {
    // SAFETY: as in `read_node`.
    unsafe {
        let made = match (*node).type_ {
            NodeTag::T_CreateEnumStmt => {
                let statement = &*node.cast::<pg_sys::CreateEnumStmt>();
                (qualified(statement.typeName), DefinedKind::Enum(strings(statement.vals)))
            }
            NodeTag::T_CreateDomainStmt => {
                let statement = &*node.cast::<pg_sys::CreateDomainStmt>();
                let constraints = PgList::<pg_sys::Constraint>::from_pg(statement.constraints);
                let not_null = constraints
                    .iter_ptr()
                    .any(|constraint| (*constraint).contype == pg_sys::ConstrType::CONSTR_NOTNULL);
                let base = types::column_type(statement.typeName);
                let collation = types::collation(statement.collClause);
                (qualified(statement.domainname), DefinedKind::Domain { base, not_null, collation })
            }
            NodeTag::T_CreateRangeStmt => {
                found.extend(range(&*node.cast::<pg_sys::CreateRangeStmt>()));
                return;
            }
            _ => {
                let statement = &*node.cast::<pg_sys::CompositeTypeStmt>();
                let columns = PgList::<pg_sys::ColumnDef>::from_pg(statement.coldeflist);
                let attributes = columns.iter_ptr().filter_map(|column| table::plain_column(&*column));
                (
                    existing_name(statement.typevar, Names::Written),
                    DefinedKind::Composite(attributes.collect()),
                )
            }
        };
        if let (Some(name), kind) = made {
            found.push(Definition::Type { name, kind });
        }
    }
}

/// # Safety
/// A raw `CREATE TYPE … AS RANGE`.
unsafe fn range(statement: &pg_sys::CreateRangeStmt) -> Option<Definition> {
    // SAFETY: as in `read_node`.
    unsafe {
        let subtype = signature::type_of(statement.params, "subtype")?;
        let subtype = ColumnType { name: types::signature_type(subtype)?, ..types::column_type(subtype) };
        let multirange = signature::type_of(statement.params, "multirange_type_name");
        Some(Definition::Type {
            name: qualified(statement.typeName)?,
            kind: DefinedKind::Range {
                subtype,
                multirange: multirange.and_then(|multirange| qualified((*multirange).names)),
            },
        })
    }
}

/// # Safety
/// A raw `CREATE` of something without a grammar of its own.
unsafe fn define(statement: &pg_sys::DefineStmt) -> Option<Definition> {
    // SAFETY: as in `read_node`.
    unsafe {
        match statement.kind {
            pg_sys::ObjectType::OBJECT_TYPE => {
                Some(Definition::Type { name: qualified(statement.defnames)?, kind: DefinedKind::Other })
            }
            pg_sys::ObjectType::OBJECT_COLLATION => qualified(statement.defnames).map(Definition::Collation),
            pg_sys::ObjectType::OBJECT_AGGREGATE => signature::aggregate(statement),
            pg_sys::ObjectType::OBJECT_OPERATOR => signature::operator(statement),
            _ => None,
        }
    }
}

/// # Safety
/// A list of strings: `schema, name`, or `name` of schema public.
unsafe fn qualified(names: *mut pg_sys::List) -> Option<QualifiedName> {
    // SAFETY: the caller's promise.
    let mut names = unsafe { strings(names) };
    let name = names.pop()?;
    Some(QualifiedName::new(names.pop().unwrap_or_else(|| "public".to_owned()), name))
}

/// # Safety
/// As `read_node`: a statement about rows, statistics or a setting.
unsafe fn read_data(node: *mut pg_sys::Node, found: &mut Vec<Definition>) {
    // SAFETY: as in `read_node`.
    unsafe {
        match (*node).type_ {
            NodeTag::T_CopyStmt => {
                let statement = &*node.cast::<pg_sys::CopyStmt>();
                let from_stdin = statement.is_from && !statement.is_program && statement.filename.is_null();
                if !from_stdin || statement.relation.is_null() {
                    return;
                }
                let Some(relation) = existing_name(statement.relation, Names::Written) else { return };
                found.push(Definition::Data { relation, columns: strings(statement.attlist) });
            }
            NodeTag::T_InsertStmt => {
                let statement = &*node.cast::<pg_sys::InsertStmt>();
                let Some(relation) = existing_name(statement.relation, Names::Written) else { return };
                let targets = PgList::<pg_sys::ResTarget>::from_pg(statement.cols);
                let columns = targets.iter_ptr().filter_map(|target| text_of((*target).name)).collect();
                found.push(Definition::Data { relation, columns });
            }
            NodeTag::T_VariableSetStmt => {
                let statement = &*node.cast::<pg_sys::VariableSetStmt>();
                if text_of(statement.name).as_deref() == Some("client_encoding") {
                    let values = PgList::<pg_sys::Node>::from_pg(statement.args);
                    found.extend(
                        values.iter_ptr().filter_map(|value| literal(value)).map(Definition::Encoding),
                    );
                }
            }
            _ => found.extend(statistics(&*node.cast::<pg_sys::SelectStmt>())),
        }
    }
}

/// `SELECT * FROM pg_catalog.pg_restore_…_stats(name, value, …)`.
///
/// # Safety
/// A raw `SELECT`.
unsafe fn statistics(statement: &pg_sys::SelectStmt) -> Option<Definition> {
    // SAFETY: as in `read_node`; a function in FROM is a list of itself and
    // its column definitions.
    unsafe {
        let from = PgList::<pg_sys::Node>::from_pg(statement.fromClause).get_ptr(0)?;
        if (*from).type_ != NodeTag::T_RangeFunction {
            return None;
        }
        let functions = (*from.cast::<pg_sys::RangeFunction>()).functions;
        let function = PgList::<pg_sys::List>::from_pg(functions).get_ptr(0)?;
        let call = PgList::<pg_sys::Node>::from_pg(function).get_ptr(0)?;
        if (*call).type_ != NodeTag::T_FuncCall {
            return None;
        }
        let call = &*call.cast::<pg_sys::FuncCall>();
        let of_column = match strings(call.funcname).iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["pg_catalog", "pg_restore_relation_stats"] => false,
            ["pg_catalog", "pg_restore_attribute_stats"] => true,
            _ => return None,
        };
        let values: Vec<Option<String>> =
            PgList::<pg_sys::Node>::from_pg(call.args).iter_ptr().map(|value| literal(value)).collect();
        let pairs = values.chunks_exact(2).filter_map(|pair| Some((pair[0].clone()?, pair[1].clone()?)));
        Some(Definition::Statistics { of_column, arguments: pairs.collect() })
    }
}

/// The text of a constant, also of one that is cast.
///
/// # Safety
/// A raw expression, or null.
unsafe fn literal(node: *mut pg_sys::Node) -> Option<String> {
    // SAFETY: each cast follows the node's tag; the value of a constant is a
    // node too.
    unsafe {
        if node.is_null() {
            return None;
        }
        match (*node).type_ {
            NodeTag::T_TypeCast => literal((*node.cast::<pg_sys::TypeCast>()).arg),
            NodeTag::T_A_Const => {
                let constant = &*node.cast::<pg_sys::A_Const>();
                if constant.isnull {
                    return None;
                }
                match constant.val.node.type_ {
                    NodeTag::T_Integer => Some(constant.val.ival.ival.to_string()),
                    NodeTag::T_Float => text_of(constant.val.fval.fval),
                    NodeTag::T_Boolean => Some(constant.val.boolval.boolval.to_string()),
                    NodeTag::T_String => text_of(constant.val.sval.sval),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// # Safety
/// A raw `CREATE TRIGGER`.
unsafe fn trigger(statement: &pg_sys::CreateTrigStmt) -> Option<Definition> {
    // SAFETY: as in `read_node`.
    unsafe {
        let name = text_of(statement.trigname)?;
        Some(Definition::Trigger {
            relation: existing_name(statement.relation, Names::Written)?,
            constraint: statement.isconstraint.then(|| Constraint {
                name: name.clone(),
                kind: ConstraintKind::Other,
                columns: Vec::new(),
                references: None,
                deferrable: statement.deferrable,
                validated: true,
                equal_columns: None,
            }),
            trigger: Trigger {
                name,
                row: statement.row,
                before: u32::from(statement.timing.cast_unsigned()) & pg_sys::TRIGGER_TYPE_BEFORE != 0,
                transition_tables: !statement.transitionRels.is_null(),
            },
        })
    }
}

/// # Safety
/// A raw `CREATE VIEW` that was read from this text.
unsafe fn view(statement: &pg_sys::ViewStmt, sql: &str) -> Option<Definition> {
    // SAFETY: as in `read_node`.
    let (name, security_barrier, checked) = unsafe {
        (
            existing_name(statement.view, Names::Written)?,
            security_barrier(statement.options).unwrap_or(false),
            statement.withCheckOption != pg_sys::ViewCheckOption::NO_CHECK_OPTION,
        )
    };
    let mut definition = after_as(sql)?;
    if checked {
        // The options of the grammar are the last words of the text.
        let at = definition.to_ascii_uppercase().rfind("WITH ")?;
        definition = definition[..at].trim_end();
    }
    // As pg_get_viewdef() writes it.
    let definition = format!("{};", definition.trim_end_matches([';', ' ', '\n']));
    Some(Definition::View(View { schema: name.schema, view: name.name, definition, security_barrier }))
}

/// The option of that name, if it is there; as PostgreSQL reads it.
///
/// # Safety
/// Options of a raw parse tree.
unsafe fn security_barrier(options: *mut pg_sys::List) -> Option<bool> {
    // SAFETY: the caller's promise; an option without a value is true.
    unsafe {
        let option = PgList::<pg_sys::DefElem>::from_pg(options).iter_ptr().find(|option| {
            (**option).defnamespace.is_null()
                && text_of((**option).defname).as_deref() == Some("security_barrier")
        })?;
        if (*option).arg.is_null() {
            return Some(true);
        }
        let mut value = false;
        Some(pg_sys::parse_bool(pg_sys::defGetString(option), &raw mut value) && value)
    }
}

/// What follows the first `AS` that is neither quoted nor in parentheses.
fn after_as(sql: &str) -> Option<&str> {
    let bytes = sql.as_bytes();
    let (mut at, mut depth) = (0, 0_u32);
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'"' | b'\'') => at += 1 + bytes[at + 1..].iter().position(|byte| *byte == quote)?,
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'A' | b'a' if depth == 0 && at > 0 && bytes[at - 1].is_ascii_whitespace() => {
                let next = bytes.get(at + 2)?;
                if bytes[at + 1].eq_ignore_ascii_case(&b's') && next.is_ascii_whitespace() {
                    return sql.get(at + 3..);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}
