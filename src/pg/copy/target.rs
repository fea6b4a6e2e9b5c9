//! Whether rows of a COPY may be batched by shard, and the table, opened for it.
//!
//! Everything that the server would refuse, and everything that it does in
//! another order when it matters to someone, is left to the server. So what
//! is checked here is never reported: the server says it in its own words.

use std::ffi::CStr;
use std::ffi::c_char;
use std::ptr::null_mut;

use pgrx::PgList;
use pgrx::pg_sys;
use pgrx::pg_sys::Bitmapset;
use pgrx::pg_sys::CopyStmt;
use pgrx::pg_sys::List;
use pgrx::pg_sys::Node;
use pgrx::pg_sys::NodeTag;
use pgrx::pg_sys::ParseState;
use pgrx::pg_sys::Relation;

use crate::pg::copy::Reason;
use crate::pg::copy::line;
use crate::pg::copy::line::Place;
use crate::pg::copy::server;

/// Options that only say how a row is written.
const OF_FORMAT: &[&CStr] = &[
    c"format",
    c"delimiter",
    c"null",
    c"default",
    c"header",
    c"quote",
    c"escape",
    c"force_not_null",
    c"force_null",
    c"encoding",
];

/// Row trigger, before, for inserts, instead: PostgreSQL's bits of a trigger.
const ROW: i16 = 1;
const BEFORE: i16 = 2;
const INSERT: i16 = 4;
const INSTEAD: i16 = 64;

/// A sharded table that a COPY goes into, open and locked as the server does it.
#[derive(Clone, Copy)]
pub struct Target {
    pub relation: Relation,
    pub parse_state: *mut ParseState,
    /// The condition of `WHERE`; null = none.
    pub condition: *mut Node,
    pub line: Place,
}

impl Target {
    /// Opens the target of a `COPY … FROM` into a relation.
    ///
    /// # Safety
    /// As a utility hook is called; own nothing, the server's errors pass.
    pub unsafe fn open(statement: &CopyStmt, query: *const c_char) -> Result<Self, Reason> {
        // SAFETY: the steps and their order are those of the server's DoCopy.
        unsafe {
            if server::XactReadOnly || server::IsInParallelMode() || !may_read_source(statement) {
                return Err(Reason::Refused);
            }
            if !has_only_format_options(statement.options) {
                return Err(Reason::Options);
            }
            let relation = server::table_openrv(statement.relation, pg_sys::RowExclusiveLock as i32);
            let state = server::make_parsestate(null_mut());
            (*state).p_sourcetext = query;
            match examine(statement, relation, state) {
                Ok((condition, line)) => Ok(Self { relation, parse_state: state, condition, line }),
                Err(reason) => {
                    server::free_parsestate(state);
                    server::table_close(relation, pg_sys::NoLock as i32);
                    Err(reason)
                }
            }
        }
    }
}

/// # Safety
/// As [`Target::open`], with an open relation and a fresh parse state.
unsafe fn examine(
    statement: &CopyStmt,
    relation: Relation,
    state: *mut ParseState,
) -> Result<(*mut Node, Place), Reason> {
    // SAFETY: as above.
    unsafe {
        if (*(*relation).rd_rel).relkind != pg_sys::RELKIND_PARTITIONED_TABLE as c_char {
            return Err(Reason::Refused);
        }
        let item = server::addRangeTableEntryForRelation(
            state,
            relation,
            pg_sys::RowExclusiveLock as i32,
            null_mut(),
            false,
            false,
        );
        let condition = if statement.whereClause.is_null() {
            null_mut()
        } else {
            condition_of(statement, relation, state, item)?
        };
        let columns = server::CopyGetAttnums((*relation).rd_att, relation, statement.attlist);
        if columns.is_null() {
            return Err(Reason::Refused);
        }
        if !may_insert(state, item, columns)
            || server::check_enable_rls((*relation).rd_id, pg_sys::InvalidOid, true)
                == pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32
        {
            return Err(Reason::Refused);
        }
        trigger_in_the_way((*relation).trigdesc)?;
        if has_volatile_default(relation, columns, statement.options) {
            return Err(Reason::VolatileDefault);
        }
        match line::place(relation) {
            Place::Unknown => Err(Reason::UnknownServer),
            place => Ok((condition, place)),
        }
    }
}

/// Whether the user may read the file or run the program that rows come from.
unsafe fn may_read_source(statement: &CopyStmt) -> bool {
    if statement.filename.is_null() {
        return true;
    }
    let role = if statement.is_program {
        pg_sys::ROLE_PG_EXECUTE_SERVER_PROGRAM
    } else {
        pg_sys::ROLE_PG_READ_SERVER_FILES
    };
    // SAFETY: a look-up of roles, in a transaction.
    unsafe { server::has_privs_of_role(server::GetUserId(), pg_sys::Oid::from(role)) }
}

unsafe fn has_only_format_options(options: *mut List) -> bool {
    // SAFETY: options of a parsed COPY are DefElems with names.
    unsafe {
        PgList::<pg_sys::DefElem>::from_pg(options).iter_ptr().all(|option| {
            let name = CStr::from_ptr((*option).defname);
            OF_FORMAT.contains(&name)
        })
    }
}

unsafe fn has_option(options: *mut List, wanted: &CStr) -> bool {
    // SAFETY: as above.
    unsafe {
        PgList::<pg_sys::DefElem>::from_pg(options)
            .iter_ptr()
            .any(|option| CStr::from_ptr((*option).defname) == wanted)
    }
}

/// The condition of `WHERE`, made ready to run as the server does it.
///
/// # Safety
/// As [`examine`].
unsafe fn condition_of(
    statement: &CopyStmt,
    relation: Relation,
    state: *mut ParseState,
    item: *mut pg_sys::ParseNamespaceItem,
) -> Result<*mut Node, Reason> {
    // SAFETY: as above; the clause is a copy, as the statement may be cached.
    unsafe {
        server::addNSItemToQuery(state, item, false, true, true);
        let clause = server::copyObjectImpl(statement.whereClause.cast()).cast();
        let clause = server::transformExpr(state, clause, pg_sys::ParseExprKind::EXPR_KIND_COPY_WHERE);
        let clause = server::coerce_to_boolean(state, clause, c"WHERE".as_ptr());
        server::assign_expr_collations(state, clause);
        let mut attributes: *mut Bitmapset = null_mut();
        server::pull_varattnos(clause, 1, &raw mut attributes);
        let mut member = -1;
        loop {
            member = server::bms_next_member(attributes, member);
            if member < 0 {
                break;
            }
            let number = member + pg_sys::FirstLowInvalidHeapAttributeNumber;
            // Versions differ in what they say to a system column, the whole row or a generated column.
            if number <= 0 || attribute(relation, number).is_some_and(|column| (*column).attgenerated != 0) {
                return Err(Reason::Condition);
            }
        }
        let clause = server::eval_const_expressions(null_mut(), clause);
        let clause = server::canonicalize_qual(clause.cast(), false);
        let clause: *mut Node = server::make_ands_implicit(clause).cast();
        if server::contain_volatile_functions(clause) {
            return Err(Reason::Condition);
        }
        Ok(clause)
    }
}

/// A column of a relation; none if it is dropped.
unsafe fn attribute(relation: Relation, number: i32) -> Option<*mut pg_sys::FormData_pg_attribute> {
    // SAFETY: the number is one of the relation's attributes.
    unsafe {
        #[cfg(feature = "pg18")]
        let column = pg_sys::TupleDescAttr((*relation).rd_att, number - 1);
        #[cfg(not(feature = "pg18"))]
        let column = (*(*relation).rd_att).attrs.as_mut_ptr().add(number as usize - 1);
        (!(*column).attisdropped).then_some(column)
    }
}

/// Whether the user has the right to insert into these columns.
unsafe fn may_insert(
    state: *mut ParseState,
    item: *mut pg_sys::ParseNamespaceItem,
    columns: *mut List,
) -> bool {
    // SAFETY: the item is this relation's, alone in the range table.
    unsafe {
        let mut inserted: *mut Bitmapset = null_mut();
        for at in 0..(*columns).length {
            let number = (*(*columns).elements.add(at as usize)).int_value;
            inserted = server::bms_add_member(inserted, number - pg_sys::FirstLowInvalidHeapAttributeNumber);
        }
        #[cfg(feature = "pg15")]
        {
            (*(*item).p_rte).requiredPerms = pg_sys::ACL_INSERT as pg_sys::AclMode;
            (*(*item).p_rte).insertedCols = inserted;
            server::ExecCheckRTPerms((*state).p_rtable, false)
        }
        #[cfg(not(feature = "pg15"))]
        {
            (*(*item).p_perminfo).requiredPerms = pg_sys::ACL_INSERT as pg_sys::AclMode;
            (*(*item).p_perminfo).insertedCols = inserted;
            server::ExecCheckPermissions((*state).p_rtable, (*state).p_rteperminfos, false)
        }
    }
}

/// Row triggers of users see rows in an order, and those with transition
/// tables see all of them; those of foreign keys do not care.
unsafe fn trigger_in_the_way(triggers: *mut pg_sys::TriggerDesc) -> Result<(), Reason> {
    // SAFETY: the relation's own description of its triggers.
    unsafe {
        let transition = !triggers.is_null() && (*triggers).trig_insert_new_table;
        let in_the_way = transition
            || has_trigger(triggers, |trigger| !trigger.tgisinternal)
            || has_trigger(triggers, is_before);
        if in_the_way { Err(Reason::Trigger) } else { Ok(()) }
    }
}

/// Whether a trigger runs before each row, or instead of inserting it.
#[must_use]
pub const fn is_before(trigger: &pg_sys::Trigger) -> bool {
    trigger.tgtype & (BEFORE | INSTEAD) != 0
}

/// Whether a trigger for each inserted row is such, and not disabled.
///
/// # Safety
/// A relation's own description of its triggers, or null.
pub unsafe fn has_trigger(
    triggers: *mut pg_sys::TriggerDesc,
    is_such: impl Fn(&pg_sys::Trigger) -> bool,
) -> bool {
    if triggers.is_null() {
        return false;
    }
    // SAFETY: as above.
    unsafe {
        (0..(*triggers).numtriggers).any(|at| {
            let trigger = &*(*triggers).triggers.add(at as usize);
            trigger.tgtype & (ROW | INSERT) == ROW | INSERT
                && trigger.tgenabled != pg_sys::TRIGGER_DISABLED as c_char
                && is_such(trigger)
        })
    }
}

/// Whether a default that the COPY may use is volatile: it may read the table.
/// The server does not count `nextval` as such.
unsafe fn has_volatile_default(relation: Relation, columns: *mut List, options: *mut List) -> bool {
    // SAFETY: reads of an open relation's columns.
    unsafe {
        let any = has_option(options, c"default");
        for number in 1..=(*(*relation).rd_att).natts {
            let Some(column) = attribute(relation, number) else { continue };
            if (*column).attgenerated != 0 || (!any && server::list_member_int(columns, number)) {
                continue;
            }
            let default = server::build_column_default(relation, number);
            if !default.is_null() {
                let planned = server::expression_planner(default.cast());
                if server::contain_volatile_functions_not_nextval(planned.cast()) {
                    return true;
                }
            }
        }
        false
    }
}

/// The node of a statement, if it is a COPY into a relation.
///
/// # Safety
/// A statement.
pub unsafe fn copy_into(node: *mut Node) -> Option<*mut CopyStmt> {
    // SAFETY: the cast follows the tag.
    unsafe {
        if (*node).type_ != NodeTag::T_CopyStmt {
            return None;
        }
        let copy = node.cast::<CopyStmt>();
        ((*copy).is_from && !(*copy).relation.is_null()).then_some(copy)
    }
}
