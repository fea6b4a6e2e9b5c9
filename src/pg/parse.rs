//! PostgreSQL's own grammar, and nothing after it: no name is looked up, no
//! function is called, nothing is evaluated.

use std::ffi::CStr;
use std::ffi::CString;
use std::ffi::c_void;

use pgrx::PgMemoryContexts;
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::pg::context;

/// Why a text is not one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoQuery {
    /// The server's message, and the character of the text that it is about,
    /// from 1.
    Syntax { message: String, at: Option<usize> },
    /// It parses, but is empty, several statements, or no query.
    Other(String),
}

/// Whether a text is one statement that reads or writes rows by a query.
///
/// # Errors
/// What it is instead.
pub fn one_query(text: &str) -> Result<(), NoQuery> {
    let Ok(text) = CString::new(text) else {
        return Err(NoQuery::Syntax { message: "statement holds a zero byte".to_owned(), at: None });
    };
    let mut memory = PgMemoryContexts::new("pg_presplit parse");
    let mut position = 0;
    let parsed = context::in_rolled_back_subtransaction(|| {
        let _position = Position::new(&mut position);
        // SAFETY: the tree is made and looked at in memory of its own; nothing
        // of it is returned.
        unsafe { memory.switch_to(|_| kind_of(&text)) }
    });
    match parsed {
        Ok(kind) => kind.map_err(NoQuery::Other),
        Err(caught) => Err(NoQuery::Syntax {
            message: caught.message,
            at: usize::try_from(position).ok().filter(|at| *at > 0),
        }),
    }
}

/// # Safety
/// The current memory context outlives the call and may be thrown away after.
unsafe fn kind_of(text: &CStr) -> Result<(), String> {
    // SAFETY: a list of raw statements, each with a node, as the parser makes it.
    unsafe {
        let list = pg_sys::pg_parse_query(text.as_ptr());
        let count = if list.is_null() { 0 } else { (*list).length };
        if count == 0 {
            return Err("The text is empty.".to_owned());
        }
        if count > 1 {
            return Err(format!("The text holds {count} statements."));
        }
        let raw = (*(*list).elements).ptr_value.cast::<pg_sys::RawStmt>();
        let statement = (*raw).stmt;
        let into = match (*statement).type_ {
            NodeTag::T_InsertStmt | NodeTag::T_UpdateStmt | NodeTag::T_DeleteStmt | NodeTag::T_MergeStmt => {
                false
            }
            NodeTag::T_SelectStmt => makes_a_table(statement.cast()),
            _ => {
                let command = CStr::from_ptr(pg_sys::CreateCommandName(statement)).to_string_lossy();
                return Err(format!("{command} reads and writes no rows by a query."));
            }
        };
        if into { Err("SELECT INTO creates a table.".to_owned()) } else { Ok(()) }
    }
}

/// Whether a SELECT has INTO: that of a set operation hangs on its first arm.
///
/// # Safety
/// A raw SELECT.
unsafe fn makes_a_table(select: *mut pg_sys::SelectStmt) -> bool {
    let mut select = select;
    // SAFETY: arms of a set operation are raw SELECTs too.
    unsafe {
        while !(*select).larg.is_null() {
            select = (*select).larg;
        }
        !(*select).intoClause.is_null()
    }
}

/// While it lives, errors leave the place in the text that they are about.
struct Position {
    /// On the heap: the server holds its address.
    entry: Box<pg_sys::ErrorContextCallback>,
}

impl Position {
    fn new(place: &mut i32) -> Self {
        // SAFETY: an entry on top of the server's list, which lives until the
        // drop takes it off; the place outlives it.
        unsafe {
            let mut entry = Box::new(pg_sys::ErrorContextCallback {
                previous: pg_sys::error_context_stack,
                callback: Some(note_position),
                arg: std::ptr::from_mut(place).cast::<c_void>(),
            });
            pg_sys::error_context_stack = &raw mut *entry;
            Self { entry }
        }
    }
}

impl Drop for Position {
    fn drop(&mut self) {
        // SAFETY: the list as it was before `new`.
        unsafe { pg_sys::error_context_stack = self.entry.previous };
    }
}

/// Called by the server for each error while the entry is on its list.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn note_position(place: *mut c_void) {
    // SAFETY: `place` is what `Position::new` gave; an error is being reported.
    unsafe { *place.cast::<i32>() = pg_sys::geterrposition() };
}
