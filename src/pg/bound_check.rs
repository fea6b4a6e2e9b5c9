//! A partition's bound as a check of a table that is to become one.
//!
//! The expression is the server's own, as it will ask for it when the table is
//! attached, and is stored as a tree: text would lose the collation of a key
//! that is not its column's. So a table with this check is attached without
//! being read, whatever its key.
//!
//! Invariant: a check that is added here is not tested on the rows that are
//! there. The caller knows that they meet it.

use std::ffi::CString;
use std::ffi::c_char;
use std::ptr::null_mut;

use pgrx::pg_sys;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use pgrx::pg_sys::panic::ErrorReport;

use crate::model::report::SqlState;
use crate::pg::error;

unsafe extern "C-unwind" {
    fn transformPartitionBound(
        state: *mut pg_sys::ParseState,
        parent: pg_sys::Relation,
        spec: *mut pg_sys::PartitionBoundSpec,
    ) -> *mut pg_sys::PartitionBoundSpec;
    fn map_partition_varattnos(
        expression: *mut pg_sys::List,
        varno: i32,
        to: pg_sys::Relation,
        from: pg_sys::Relation,
    ) -> *mut pg_sys::List;
    fn RelationGetPartitionQual(relation: pg_sys::Relation) -> *mut pg_sys::List;
    fn get_proposed_default_constraint(accepted: *mut pg_sys::List) -> *mut pg_sys::List;
    fn get_relation_constraint_oid(relation: Oid, name: *const c_char, missing_ok: bool) -> Oid;
}

/// The catalog of constraints, whose number never changes.
const PG_CONSTRAINT: u32 = 2606;

/// What a check says of a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// A row is one of the bound, and of those of the parent.
    Within,
    /// A row is one of none of the bounds.
    Outside,
}

/// Adds a check about bounds of a parent's partitions, `FOR VALUES …` or
/// `DEFAULT` as PostgreSQL writes them, to a table with the parent's columns.
///
/// Values of the bounds are read as whoever runs this, so it must be the
/// parent's owner.
///
/// # Errors
/// If a bound cannot be read; what the server refuses is raised.
pub fn add(parent: Oid, table: Oid, name: &str, bounds: &[&str], says: Says) -> Result<(), ErrorReport> {
    let name = text(name)?;
    let statements = bounds
        .iter()
        .map(|bound| text(&format!("ALTER TABLE a ATTACH PARTITION b {bound}")))
        .collect::<Result<Vec<_>, _>>()?;
    // SAFETY: both tables stay open under their locks; lists and nodes are
    // made in the current memory context, which the caller's statement ends.
    unsafe {
        let to = pg_sys::table_open(table, pg_sys::AccessExclusiveLock as _);
        let from = pg_sys::table_open(parent, pg_sys::AccessShareLock as _);
        let mut all: *mut pg_sys::List = null_mut();
        for statement in &statements {
            let spec = read(statement)?;
            let state = pg_sys::make_parsestate(null_mut());
            (*state).p_sourcetext = statement.as_ptr();
            let spec = pg_guard_ffi_boundary(|| transformPartitionBound(state, from, spec));
            pg_sys::free_parsestate(state);
            let mut accepted = pg_sys::get_qual_from_partbound(from, spec);
            if says == Says::Outside {
                accepted = pg_guard_ffi_boundary(|| get_proposed_default_constraint(accepted));
            }
            all = pg_sys::list_concat(all, accepted);
        }
        if says == Says::Within {
            all = pg_sys::list_concat(all, pg_guard_ffi_boundary(|| RelationGetPartitionQual(from)));
        }
        // The only DEFAULT of all, or the only part of a parent without a key's condition, accepts everything.
        if !all.is_null() {
            let mapped = pg_guard_ffi_boundary(|| map_partition_varattnos(all, 1, to, from));
            store(to, name.as_ptr().cast_mut(), pg_sys::make_ands_explicit(mapped));
        }
        pg_sys::table_close(from, pg_sys::NoLock as _);
        pg_sys::table_close(to, pg_sys::NoLock as _);
        pg_sys::CommandCounterIncrement();
    }
    Ok(())
}

fn text(text: &str) -> Result<CString, ErrorReport> {
    CString::new(text)
        .map_err(|_| error::new(SqlState::InvalidParameterValue, "a bound holds a zero byte", None, None))
}

/// The bound in a statement that attaches a partition.
///
/// # Safety
/// Memory of the current context outlives the result.
unsafe fn read(statement: &CString) -> Result<*mut pg_sys::PartitionBoundSpec, ErrorReport> {
    // SAFETY: casts follow the tags.
    unsafe {
        let list = pg_sys::pg_parse_query(statement.as_ptr());
        if !list.is_null() && (*list).length == 1 {
            let raw = (*(*list).elements).ptr_value.cast::<pg_sys::RawStmt>();
            if (*(*raw).stmt).type_ == pg_sys::NodeTag::T_AlterTableStmt {
                let commands = (*(*raw).stmt.cast::<pg_sys::AlterTableStmt>()).cmds;
                let command = (*(*commands).elements).ptr_value.cast::<pg_sys::AlterTableCmd>();
                if (*commands).length == 1
                    && (*command).subtype == pg_sys::AlterTableType::AT_AttachPartition
                    && !(*command).def.is_null()
                {
                    let bound = (*(*command).def.cast::<pg_sys::PartitionCmd>()).bound;
                    if !bound.is_null() {
                        return Ok(bound);
                    }
                }
            }
        }
    }
    Err(error::new(
        SqlState::InvalidParameterValue,
        "a bound is not one that PostgreSQL writes",
        Some(format!("The statement was: {}", statement.to_string_lossy())),
        None,
    ))
}

/// # Safety
/// An open table under ACCESS EXCLUSIVE; an expression on its columns.
unsafe fn store(table: pg_sys::Relation, name: *mut c_char, expression: *mut pg_sys::Expr) {
    // SAFETY: a node of its own, which the server only reads.
    unsafe {
        let check = pg_sys::palloc0(size_of::<pg_sys::Constraint>()).cast::<pg_sys::Constraint>();
        (*check).type_ = pg_sys::NodeTag::T_Constraint;
        (*check).contype = pg_sys::ConstrType::CONSTR_CHECK;
        (*check).conname = name;
        (*check).cooked_expr = pg_sys::nodeToString(expression.cast());
        (*check).initially_valid = true;
        (*check).skip_validation = true;
        #[cfg(feature = "pg18")]
        {
            (*check).is_enforced = true;
        }
        let checks = pg_sys::lappend(null_mut(), check.cast());
        pg_sys::AddRelationNewConstraints(table, null_mut(), checks, false, true, true, std::ptr::null());
    }
}

/// Drops the checks of a table that have this name, from it alone.
pub fn drop(table: Oid, name: &str) -> Result<(), ErrorReport> {
    let name = text(name)?;
    // SAFETY: the lock comes first; the constraint is one of the table.
    unsafe {
        pg_sys::LockRelationOid(table, pg_sys::AccessExclusiveLock as _);
        let constraint = pg_guard_ffi_boundary(|| get_relation_constraint_oid(table, name.as_ptr(), true));
        if constraint == pg_sys::InvalidOid {
            return Ok(());
        }
        let address =
            pg_sys::ObjectAddress { classId: Oid::from(PG_CONSTRAINT), objectId: constraint, objectSubId: 0 };
        pg_sys::performDeletion(
            &address,
            pg_sys::DropBehavior::DROP_RESTRICT,
            pg_sys::PERFORM_DELETION_INTERNAL as _,
        );
        pg_sys::CommandCounterIncrement();
    }
    Ok(())
}
