//! Changes of a statement's parse tree: the edits that `model::utility` names,
//! and the same statement for another relation.
//!
//! All are made on copies, which `pg::hook` makes; nodes are allocated like
//! the copy.

use std::ffi::CStr;
use std::ffi::CString;
use std::ffi::c_char;

use pgrx::PgList;
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::model::key::Strategy;
use crate::model::name::QualifiedName;
use crate::model::name::derived_name;
use crate::model::utility::Edit;
use crate::pg::context::is_own_tablespace;
use crate::pg::utility;
use crate::pg::utility::table;

/// Applies one edit; false if nothing of the statement is left.
///
/// # Safety
/// A copied statement of a kind that the edit fits.
pub unsafe fn apply(node: *mut pg_sys::Node, edit: &Edit) -> bool {
    // SAFETY: casts follow the tag; new nodes are palloc'd like the copy.
    unsafe {
        match edit {
            Edit::Partition { strategy, shard_key } => {
                let create = &mut *node.cast::<pg_sys::CreateStmt>();
                create.partspec = partition_spec(*strategy, shard_key);
                create.options = std::ptr::null_mut();
                create.accessMethod = std::ptr::null_mut();
                if utility::text_of(create.tablespacename).is_some()
                    && is_own_tablespace(CStr::from_ptr(create.tablespacename))
                {
                    create.tablespacename = std::ptr::null_mut();
                }
                (*create.relation).relpersistence = pg_sys::RELPERSISTENCE_PERMANENT as c_char;
            }
            Edit::Recurse => match (*node).type_ {
                NodeTag::T_AlterTableStmt => (*(*node.cast::<pg_sys::AlterTableStmt>()).relation).inh = true,
                NodeTag::T_IndexStmt => (*(*node.cast::<pg_sys::IndexStmt>()).relation).inh = true,
                _ => {}
            },
            Edit::RecurseInto(meant) => {
                let relations = (*node.cast::<pg_sys::TruncateStmt>()).relations;
                for relation in PgList::<pg_sys::RangeVar>::from_pg(relations).iter_ptr() {
                    if utility::existing_name(relation, utility::Names::Resolved).as_ref() == Some(meant) {
                        (*relation).inh = true;
                    }
                }
            }
            Edit::Validate => {
                if let Some(constraint) = constraint_of(node) {
                    (*constraint).skip_validation = false;
                    (*constraint).initially_valid = true;
                }
            }
            Edit::Inherit => inherit(node),
            Edit::InheritedDistinct => inherited_distinct(node),
            Edit::AppendKey(columns) => append_key(node, columns),
            Edit::Without(left_out) => {
                let truncate = &mut *node.cast::<pg_sys::TruncateStmt>();
                let mut kept = PgList::<pg_sys::RangeVar>::new();
                for relation in PgList::<pg_sys::RangeVar>::from_pg(truncate.relations).iter_ptr() {
                    let out = utility::existing_name(relation, utility::Names::Resolved)
                        .is_some_and(|name| left_out.contains(&name));
                    if !out {
                        kept.push(relation);
                    }
                }
                let left = !kept.is_empty();
                truncate.relations = kept.into_pg();
                return left;
            }
        }
        true
    }
}

/// Checks and not nulls that are `NO INHERIT` are not any more.
///
/// # Safety
/// A copied `CREATE TABLE` or `ALTER TABLE`.
unsafe fn inherit(node: *mut pg_sys::Node) {
    // SAFETY: as in `apply`.
    unsafe {
        if (*node).type_ == NodeTag::T_CreateStmt {
            let create = &*node.cast::<pg_sys::CreateStmt>();
            for constraint in table::constraints(create.tableElts) {
                (*constraint).is_no_inherit = false;
            }
        } else if let Some(constraint) = constraint_of(node) {
            (*constraint).is_no_inherit = false;
        }
    }
}

/// What a plain table says of itself is what a partitioned one says of all
/// its partitions; what it said of its children before meant nothing.
///
/// # Safety
/// A copied `ALTER TABLE` with options of columns.
unsafe fn inherited_distinct(node: *mut pg_sys::Node) {
    // SAFETY: as in `apply`.
    unsafe {
        let commands = (*node.cast::<pg_sys::AlterTableStmt>()).cmds;
        for command in PgList::<pg_sys::AlterTableCmd>::from_pg(commands).iter_ptr() {
            let options = PgList::<pg_sys::DefElem>::from_pg((*command).def.cast());
            let named = |option: *mut pg_sys::DefElem, name: &str| {
                utility::text_of((*option).defname).as_deref() == Some(name)
            };
            if !options.iter_ptr().any(|option| named(option, "n_distinct")) {
                continue;
            }
            let mut kept = PgList::<pg_sys::DefElem>::new();
            for option in options.iter_ptr().filter(|option| !named(*option, "n_distinct_inherited")) {
                if named(option, "n_distinct") {
                    (*option).defname = pg_sys::pstrdup(c"n_distinct_inherited".as_ptr());
                }
                kept.push(option);
            }
            (*command).def = kept.into_pg().cast();
        }
    }
}

/// # Safety
/// A copied `ALTER TABLE` or `CREATE INDEX`.
unsafe fn append_key(node: *mut pg_sys::Node, columns: &[String]) {
    // SAFETY: as in `apply`.
    unsafe {
        if (*node).type_ == NodeTag::T_IndexStmt {
            let index = node.cast::<pg_sys::IndexStmt>();
            for column in columns {
                let element = pg_sys::palloc0(size_of::<pg_sys::IndexElem>()).cast::<pg_sys::IndexElem>();
                (*element).type_ = NodeTag::T_IndexElem;
                (*element).name = palloc_text(column);
                (*index).indexParams = pg_sys::lappend((*index).indexParams, element.cast());
            }
        } else if let Some(constraint) = constraint_of(node) {
            for column in columns {
                let value = pg_sys::makeString(palloc_text(column));
                (*constraint).keys = pg_sys::lappend((*constraint).keys, value.cast());
            }
        }
    }
}

/// The constraint that the first command of an `ALTER TABLE` adds.
///
/// # Safety
/// A statement.
unsafe fn constraint_of(node: *mut pg_sys::Node) -> Option<*mut pg_sys::Constraint> {
    // SAFETY: tags are checked before each cast.
    unsafe {
        if (*node).type_ != NodeTag::T_AlterTableStmt {
            return None;
        }
        let commands =
            PgList::<pg_sys::AlterTableCmd>::from_pg((*node.cast::<pg_sys::AlterTableStmt>()).cmds);
        let definition = (*commands.get_ptr(0)?).def;
        (!definition.is_null() && (*definition).type_ == NodeTag::T_Constraint).then_some(definition.cast())
    }
}

/// # Safety
/// In a valid memory context.
unsafe fn palloc_text(text: &str) -> *mut c_char {
    let zero_terminated = CString::new(text).unwrap_or_default();
    // SAFETY: pstrdup copies.
    unsafe { pg_sys::pstrdup(zero_terminated.as_ptr()) }
}

/// # Safety
/// In a valid memory context.
unsafe fn partition_spec(strategy: Strategy, shard_key: &[String]) -> *mut pg_sys::PartitionSpec {
    // SAFETY: zeroed nodes of the right size get their tag and fields.
    unsafe {
        let spec = pg_sys::palloc0(size_of::<pg_sys::PartitionSpec>()).cast::<pg_sys::PartitionSpec>();
        (*spec).type_ = NodeTag::T_PartitionSpec;
        (*spec).location = -1;
        #[cfg(feature = "pg15")]
        {
            (*spec).strategy = palloc_text(match strategy {
                Strategy::Hash => "hash",
                Strategy::List => "list",
                _ => "range",
            });
        }
        #[cfg(not(feature = "pg15"))]
        {
            (*spec).strategy = match strategy {
                Strategy::Hash => pg_sys::PartitionStrategy::PARTITION_STRATEGY_HASH,
                Strategy::List => pg_sys::PartitionStrategy::PARTITION_STRATEGY_LIST,
                _ => pg_sys::PartitionStrategy::PARTITION_STRATEGY_RANGE,
            };
        }
        for column in shard_key {
            let element = pg_sys::palloc0(size_of::<pg_sys::PartitionElem>()).cast::<pg_sys::PartitionElem>();
            (*element).type_ = NodeTag::T_PartitionElem;
            (*element).name = palloc_text(column);
            (*element).location = -1;
            (*spec).partParams = pg_sys::lappend((*spec).partParams, element.cast());
        }
        spec
    }
}

/// Points a copied statement at another relation.
///
/// # Safety
/// A copied `ALTER TABLE` or `CREATE INDEX`.
pub unsafe fn redirect(node: *mut pg_sys::Node, relation: &QualifiedName, suffix: &str) {
    // SAFETY: as in `apply`.
    unsafe {
        let (target, name) = match (*node).type_ {
            NodeTag::T_AlterTableStmt => {
                // A foreign key's name is its table's alone.
                let name = constraint_of(node)
                    .filter(|constraint| (**constraint).contype != pg_sys::ConstrType::CONSTR_FOREIGN)
                    .map(|constraint| &raw mut (*constraint).conname);
                ((*node.cast::<pg_sys::AlterTableStmt>()).relation, name)
            }
            NodeTag::T_IndexStmt => {
                let index = node.cast::<pg_sys::IndexStmt>();
                ((*index).relation, Some(&raw mut (*index).idxname))
            }
            _ => return,
        };
        (*target).schemaname = palloc_text(&relation.schema);
        (*target).relname = palloc_text(&relation.name);
        (*target).inh = true;
        if let Some(name) = name
            && let Some(old) = utility::text_of(*name)
        {
            *name = palloc_text(&derived_name(&old, suffix));
        }
    }
}

/// Points a copied statement at another relation's constraint or index.
///
/// # Safety
/// A copied `ALTER TABLE`, `ALTER INDEX`, `DROP INDEX` or `COMMENT`.
pub unsafe fn redirect_to_part(node: *mut pg_sys::Node, relation: &QualifiedName, name: &str) {
    // SAFETY: as in `apply`; lists of names are lists of strings.
    unsafe {
        let names = |parts: &[&str]| {
            let mut list = PgList::<pg_sys::String>::new();
            for part in parts {
                list.push(pg_sys::makeString(palloc_text(part)));
            }
            list.into_pg()
        };
        match (*node).type_ {
            NodeTag::T_AlterTableStmt => {
                let alter = &mut *node.cast::<pg_sys::AlterTableStmt>();
                let target = alter.relation;
                (*target).schemaname = palloc_text(&relation.schema);
                if alter.objtype == pg_sys::ObjectType::OBJECT_INDEX {
                    (*target).relname = palloc_text(name);
                    return;
                }
                (*target).relname = palloc_text(&relation.name);
                (*target).inh = true;
                for command in PgList::<pg_sys::AlterTableCmd>::from_pg(alter.cmds).iter_ptr() {
                    (*command).name = palloc_text(name);
                }
            }
            NodeTag::T_CommentStmt => {
                let comment = &mut *node.cast::<pg_sys::CommentStmt>();
                let parts: &[&str] = if comment.objtype == pg_sys::ObjectType::OBJECT_INDEX {
                    &[&relation.schema, name]
                } else {
                    &[&relation.schema, &relation.name, name]
                };
                comment.object = names(parts).cast();
            }
            NodeTag::T_DropStmt => {
                let drop = &mut *node.cast::<pg_sys::DropStmt>();
                let mut objects = PgList::<pg_sys::List>::new();
                objects.push(names(&[&relation.schema, name]));
                drop.objects = objects.into_pg();
            }
            _ => {}
        }
    }
}
