//! The COPY and its table: whether workers may load it, and what they have to know.
//!
//! What the server would refuse is left to the server, which says it in its
//! own words. Whatever would make a worker see another world than the session
//! (changes of the catalog in the open transaction, old snapshots, row security), or
//! make a row more than bytes (triggers, indexes, volatile expressions), keeps
//! the load within the session, with the [`Reason`].

use std::ffi::CStr;
use std::ffi::CString;
use std::ffi::c_char;
use std::panic::AssertUnwindSafe;
use std::ptr::null_mut;

use pgrx::PgList;
use pgrx::PgTryBuilder;
use pgrx::pg_sys;
use pgrx::pg_sys::CopyStmt;
use pgrx::pg_sys::Oid;

use crate::model::load::Written;
use crate::model::load::WrittenKey;
use crate::model::load::WrittenKind;
use crate::pg::encoding;
use crate::pg::guc;
use crate::pg::load_worker::reason::Reason;
use crate::pg::staging::attribute;

/// The number of `pg_partitioned_table.partattrs`, the same in all versions.
const PARTATTRS: i16 = 5;

/// Options that only say how a row is written.
const OF_FORMAT: &[&CStr] = &[
    c"format",
    c"delimiter",
    c"null",
    c"header",
    c"quote",
    c"escape",
    c"force_not_null",
    c"force_null",
    c"encoding",
];

/// The open target of a COPY that workers may load.
pub struct Target {
    relation: pg_sys::Relation,
    oid: Oid,
    name: String,
    schema: String,
    written: Written,
    leaves: Vec<Oid>,
    /// All relations below the root that were locked to be looked at.
    locked: Vec<Oid>,
    /// Numbers of the columns that rows are routed by.
    keys: Vec<i16>,
    /// Numbers of the columns that rows have.
    numbers: Vec<i16>,
    /// Belongs to the memory of the statement.
    format: pg_sys::CopyFormatOptions,
    options: CString,
    columns: CString,
    pub file: Option<CString>,
    pub is_program: bool,
}

impl Target {
    /// # Errors
    /// The reason why workers may not load it.
    ///
    /// # Safety
    /// A `COPY … FROM` as a utility hook sees it, the relation already locked
    /// by the caller as COPY locks it.
    pub unsafe fn open(statement: &CopyStmt, top_level: bool) -> Result<Self, Reason> {
        // SAFETY: look-ups in caches, of a relation that is locked here.
        unsafe {
            session_allows(top_level)?;
            if !statement.whereClause.is_null() {
                return Err(Reason::Condition);
            }
            let relation = pg_sys::table_openrv(statement.relation, pg_sys::RowExclusiveLock as _);
            // What the server finds wrong it says again, in its own words.
            let opened = PgTryBuilder::new(AssertUnwindSafe(|| Some(Self::examine(statement, relation))))
                .catch_others(|_| None)
                .execute();
            match opened {
                Some(Err(reason)) => {
                    pg_sys::table_close(relation, pg_sys::NoLock as _);
                    Err(reason)
                }
                Some(opened) => opened,
                None => Err(Reason::Refused),
            }
        }
    }

    unsafe fn examine(statement: &CopyStmt, relation: pg_sys::Relation) -> Result<Self, Reason> {
        // SAFETY: as in `open`.
        unsafe {
            if i32::from((*(*relation).rd_rel).relkind) != pg_sys::RELKIND_PARTITIONED_TABLE as i32 {
                return Err(Reason::Refused);
            }
            if !may_copy(statement, (*relation).rd_id) {
                return Err(Reason::Refused);
            }
            for option in PgList::<pg_sys::DefElem>::from_pg(statement.options).iter_ptr() {
                if !OF_FORMAT.contains(&CStr::from_ptr((*option).defname)) {
                    return Err(Reason::Options);
                }
            }
            let oid = (*relation).rd_id;
            let columns = pg_sys::CopyGetAttnums((*relation).rd_att, relation, statement.attlist);
            let numbers: Vec<i16> = (0..(*columns).length)
                .map(|at| (*(*columns).elements.add(at as usize)).int_value as i16)
                .collect();
            may_be_written(relation, &numbers)?;
            let state = pg_sys::make_parsestate(null_mut());
            let mut options = pg_sys::CopyFormatOptions::default();
            pg_sys::ProcessCopyOptions(state, &mut options, true, statement.options);
            pg_sys::free_parsestate(state);
            let written = written_of(&options, statement, &numbers)?;
            let encoding = encoding_of(&options);
            let columns = columns_text(relation, &numbers);
            Ok(Self {
                relation,
                oid,
                name: owned((*(*relation).rd_rel).relname.data.as_ptr()),
                schema: owned(pg_sys::get_namespace_name((*(*relation).rd_rel).relnamespace)),
                written,
                leaves: Vec::new(),
                locked: Vec::new(),
                keys: Vec::new(),
                numbers,
                format: options,
                options: options_text(statement.options, encoding),
                columns,
                file: (!statement.filename.is_null()).then(|| CStr::from_ptr(statement.filename).to_owned()),
                is_program: statement.is_program,
            })
        }
    }

    /// Looks at the shards, and locks them as the server's COPY does when a
    /// row comes for one. Those locks go again if workers may not load.
    ///
    /// # Errors
    /// The reason why workers may not load it.
    pub fn look_at_shards(&mut self) -> Result<(), Reason> {
        let (mut locked, mut keys) = (Vec::new(), Vec::new());
        // SAFETY: the root is open and locked.
        unsafe {
            let found = descend(self.relation, self.relation, &mut locked, &mut keys);
            self.leaves = locked.iter().filter(|(_, is_leaf)| *is_leaf).map(|(oid, _)| *oid).collect();
            let found = found.and_then(|()| enough_locks(self.leaves.len()));
            self.locked = locked.into_iter().map(|(oid, _)| oid).collect();
            if found.is_err() {
                self.unlock_shards();
            }
            found?;
            let of = |number: &i16| key_of(&self.format, self.relation, &self.numbers, *number);
            self.written.keys = keys.iter().map(of).collect();
            self.keys = keys;
        }
        Ok(())
    }

    /// Lets the locks go that [`Self::look_at_shards`] has taken: the rows are
    /// not for workers.
    pub fn unlock_shards(&mut self) {
        for oid in self.locked.drain(..) {
            // SAFETY: locked by the look at it.
            unsafe { pg_sys::UnlockRelationOid(oid, pg_sys::RowExclusiveLock as _) };
        }
    }

    #[must_use]
    pub fn oid(&self) -> Oid {
        self.oid
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }

    #[must_use]
    pub fn written(&self) -> &Written {
        &self.written
    }

    #[must_use]
    pub fn leaves(&self) -> &[Oid] {
        &self.leaves
    }

    pub(super) fn relation(&self) -> pg_sys::Relation {
        self.relation
    }

    pub(super) fn keys(&self) -> &[i16] {
        &self.keys
    }

    pub(super) fn texts(&self) -> (&CStr, &CStr) {
        (&self.options, &self.columns)
    }

    /// Ends the look at the table; its lock stays.
    pub fn close(self) {
        // SAFETY: opened by `open`.
        unsafe { pg_sys::table_close(self.relation, pg_sys::NoLock as _) };
    }
}

/// Whether the session and its transaction are of a kind that workers can see.
///
/// # Safety
/// In a transaction.
unsafe fn session_allows(top_level: bool) -> Result<(), Reason> {
    // SAFETY: reads of the transaction's state. The messages are only counted.
    unsafe {
        if pg_sys::XactReadOnly || pg_sys::IsInParallelMode() || pg_sys::RecoveryInProgress() {
            return Err(Reason::Refused);
        }
        let is_outermost = pg_sys::GetCurrentTransactionNestLevel() == 1;
        if !top_level || !is_outermost {
            return Err(Reason::NotAlone);
        }
        if pg_sys::XactIsoLevel != pg_sys::XACT_READ_COMMITTED as i32 {
            return Err(Reason::Isolation);
        }
        let (mut messages, mut rebuild) = (null_mut(), false);
        if pg_sys::xactGetCommittedInvalidationMessages(&mut messages, &mut rebuild) > 0 {
            return Err(Reason::InTransaction);
        }
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        if context != 0 {
            return Err(Reason::NotAlone);
        }
        Ok(())
    }
}

/// Whether the user may insert into the whole table, and read what is to be read.
///
/// # Safety
/// In a transaction.
unsafe fn may_copy(statement: &CopyStmt, table: Oid) -> bool {
    // SAFETY: look-ups of rights.
    unsafe {
        let user = pg_sys::GetUserId();
        let may_insert =
            pg_sys::pg_class_aclcheck(table, user, pg_sys::ACL_INSERT as _) == pg_sys::AclResult::ACLCHECK_OK;
        let role = if statement.is_program {
            pg_sys::ROLE_PG_EXECUTE_SERVER_PROGRAM
        } else {
            pg_sys::ROLE_PG_READ_SERVER_FILES
        };
        may_insert && (statement.filename.is_null() || pg_sys::has_privs_of_role(user, Oid::from(role)))
    }
}

/// # Safety
/// An open relation.
unsafe fn may_be_written(relation: pg_sys::Relation, columns: &[i16]) -> Result<(), Reason> {
    // SAFETY: the relation's own description.
    unsafe {
        let form = &*(*relation).rd_rel;
        if form.relrowsecurity || !(*relation).trigdesc.is_null() && has_insert_trigger((*relation).trigdesc)
        {
            return Err(Reason::Trigger);
        }
        for number in 1..=(*(*relation).rd_att).natts as i16 {
            let column = &*attribute(relation, number);
            if column.attisdropped {
                continue;
            }
            if column.attgenerated == b'v' as c_char {
                return Err(Reason::Expression);
            }
            let omitted = column.attgenerated == 0 && !columns.contains(&number);
            if omitted && (column.atthasdef || column.attidentity != 0) {
                return Err(Reason::Default);
            }
        }
        Ok(())
    }
}

/// # Safety
/// A relation's triggers.
unsafe fn has_insert_trigger(triggers: *mut pg_sys::TriggerDesc) -> bool {
    // SAFETY: as above.
    let triggers = unsafe { &*triggers };
    triggers.trig_insert_before_row
        || triggers.trig_insert_after_row
        || triggers.trig_insert_instead_row
        || triggers.trig_insert_before_statement
        || triggers.trig_insert_after_statement
        || triggers.trig_insert_new_table
}

/// Collects the leaves below a partitioned table, and the columns of the root
/// that the rows are routed by.
///
/// # Safety
/// Open relations.
unsafe fn descend(
    root: pg_sys::Relation,
    relation: pg_sys::Relation,
    locked: &mut Vec<(Oid, bool)>,
    keys: &mut Vec<i16>,
) -> Result<(), Reason> {
    // SAFETY: partitions are locked before they are looked at, as the server
    // does it when it routes rows; the parent's lock keeps them attached.
    unsafe {
        key_columns(root, relation, keys)?;
        let parts = pg_sys::RelationGetPartitionDesc(relation, true);
        for at in 0..(*parts).nparts as usize {
            let oid = *(*parts).oids.add(at);
            let part = pg_sys::table_open(oid, pg_sys::RowExclusiveLock as _);
            let is_leaf = *(*parts).is_leaf.add(at);
            locked.push((oid, is_leaf));
            let found = if is_leaf { leaf_allows(part) } else { descend(root, part, locked, keys) };
            pg_sys::table_close(part, pg_sys::NoLock as _);
            found?;
        }
        Ok(())
    }
}

/// The swap holds locks on each shard, its staging table and what belongs to
/// them, all at once.
const LOCKS_PER_SHARD: usize = 8;

/// Whether the lock table has room for the swap.
fn enough_locks(shards: usize) -> Result<(), Reason> {
    let number = |name| guc::core_text(name).parse::<usize>().unwrap_or(0);
    let sessions = number(c"max_connections") + number(c"max_prepared_transactions");
    let room = number(c"max_locks_per_transaction") * sessions;
    if shards * LOCKS_PER_SHARD > room / 2 { Err(Reason::Locks) } else { Ok(()) }
}

/// # Safety
/// Open relations.
unsafe fn key_columns(
    root: pg_sys::Relation,
    relation: pg_sys::Relation,
    keys: &mut Vec<i16>,
) -> Result<(), Reason> {
    // SAFETY: the catalog's tuple is read before it is released.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::PARTRELID as _,
            pg_sys::Datum::from((*relation).rd_id),
        );
        if tuple.is_null() {
            return Err(Reason::Refused);
        }
        let mut is_null = false;
        let found = pg_sys::SysCacheGetAttr(
            pg_sys::SysCacheIdentifier::PARTRELID as _,
            tuple,
            PARTATTRS,
            &mut is_null,
        );
        let vector = &*found.cast_mut_ptr::<pg_sys::int2vector>();
        let numbers: Vec<i16> = vector.values.as_slice(vector.dim1 as usize).to_vec();
        pg_sys::ReleaseSysCache(tuple);
        for number in numbers {
            if number <= 0 {
                return Err(Reason::Key);
            }
            let column = &*attribute(relation, number);
            let of_root = pg_sys::get_attnum((*root).rd_id, column.attname.data.as_ptr());
            if of_root <= 0 || column.attgenerated != 0 {
                return Err(Reason::Key);
            }
            if !keys.contains(&of_root) {
                keys.push(of_root);
            }
        }
        Ok(())
    }
}

/// # Safety
/// An open relation.
unsafe fn leaf_allows(leaf: pg_sys::Relation) -> Result<(), Reason> {
    // SAFETY: the relation's own description.
    unsafe {
        let form = &*(*leaf).rd_rel;
        // Open here, and in a cursor.
        if (*leaf).rd_refcnt > 1 {
            return Err(Reason::NotAlone);
        }
        let is_heap = form.relkind as u8 == pg_sys::RELKIND_RELATION
            && std::ptr::eq((*leaf).rd_tableam, pg_sys::GetHeapamTableAmRoutine());
        if !is_heap || form.relpersistence as u8 == pg_sys::RELPERSISTENCE_TEMP {
            return Err(Reason::Storage);
        }
        if form.relhasindex {
            return Err(Reason::Index);
        }
        if form.relrowsecurity || !(*leaf).trigdesc.is_null() && has_insert_trigger((*leaf).trigdesc) {
            return Err(Reason::Trigger);
        }
        if pg_sys::RelationGetNumberOfBlocksInFork(leaf, pg_sys::ForkNumber::MAIN_FORKNUM) > 0 {
            return Err(Reason::NotEmpty);
        }
        Ok(())
    }
}

/// # Safety
/// Zero-terminated, or null.
unsafe fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

unsafe fn encoding_of(options: &pg_sys::CopyFormatOptions) -> i32 {
    if options.file_encoding < 0 {
        // SAFETY: reads a setting of the backend.
        unsafe { pg_sys::pg_get_client_encoding() }
    } else {
        options.file_encoding
    }
}

unsafe fn written_of(
    options: &pg_sys::CopyFormatOptions,
    statement: &CopyStmt,
    columns: &[i16],
) -> Result<Written, Reason> {
    // SAFETY: options as the server has read them; null where they have no meaning.
    unsafe {
        let byte = |text: *const c_char| if text.is_null() { 0 } else { *text as u8 };
        if options.header_line == pg_sys::CopyHeaderChoice::COPY_HEADER_MATCH {
            return Err(Reason::Header);
        }
        if options.binary {
            return Err(Reason::Binary);
        }
        let encoding = encoding_of(options);
        if encoding != pg_sys::GetDatabaseEncoding() {
            return Err(Reason::Encoding);
        }
        Ok(Written {
            kind: if options.csv_mode { WrittenKind::Csv } else { WrittenKind::Text },
            from_client: statement.filename.is_null(),
            columns: columns.len(),
            delimiter: byte(options.delim),
            null: if options.null_print.is_null() {
                Vec::new()
            } else {
                CStr::from_ptr(options.null_print).to_bytes().to_vec()
            },
            default_marker: None,
            header: options.header_line != pg_sys::CopyHeaderChoice::COPY_HEADER_FALSE,
            quote: byte(options.quote),
            escape: byte(options.escape),
            encoding: encoding::name(encoding),
            keys: Vec::new(),
        })
    }
}

/// Where a key column stands, and whether an option changes how it is read.
unsafe fn key_of(
    options: &pg_sys::CopyFormatOptions,
    relation: pg_sys::Relation,
    columns: &[i16],
    number: i16,
) -> WrittenKey {
    // SAFETY: lists of names, as the server has read them.
    unsafe {
        let column = &*attribute(relation, number);
        let name = CStr::from_ptr(column.attname.data.as_ptr());
        let named = |list: *mut pg_sys::List| {
            PgList::<pg_sys::String>::from_pg(list).iter_ptr().any(|one| CStr::from_ptr((*one).sval) == name)
        };
        #[cfg(any(feature = "pg17", feature = "pg18"))]
        let (all_not_null, all_null) = (options.force_notnull_all, options.force_null_all);
        #[cfg(not(any(feature = "pg17", feature = "pg18")))]
        let (all_not_null, all_null) = (false, false);
        WrittenKey {
            field: columns.iter().position(|one| *one == number),
            force_not_null: all_not_null || named(options.force_notnull),
            force_null: all_null || named(options.force_null),
        }
    }
}

/// The options for the workers: without what concerns the whole input.
unsafe fn options_text(options: *mut pg_sys::List, encoding: i32) -> CString {
    // SAFETY: a new list of the same nodes, turned into text.
    unsafe {
        let mut list = null_mut();
        for option in PgList::<pg_sys::DefElem>::from_pg(options).iter_ptr() {
            let name = CStr::from_ptr((*option).defname);
            if ![c"header", c"freeze", c"encoding"].contains(&name) {
                list = pg_sys::lappend(list, option.cast());
            }
        }
        let boolean = pg_sys::makeString(pg_sys::pstrdup(c"true".as_ptr()));
        list = pg_sys::lappend(list, option_of(c"freeze", boolean.cast()).cast());
        let name = CString::new(encoding::name(encoding)).unwrap_or_default();
        let name = pg_sys::makeString(pg_sys::pstrdup(name.as_ptr()));
        list = pg_sys::lappend(list, option_of(c"encoding", name.cast()).cast());
        CStr::from_ptr(pg_sys::nodeToString(list.cast())).to_owned()
    }
}

unsafe fn option_of(name: &CStr, value: *mut pg_sys::Node) -> *mut pg_sys::DefElem {
    // SAFETY: nodes of the server's memory.
    unsafe { pg_sys::makeDefElem(pg_sys::pstrdup(name.as_ptr()), value, -1) }
}

/// The columns for the workers, by name, because a shard may have them in
/// another order.
unsafe fn columns_text(relation: pg_sys::Relation, columns: &[i16]) -> CString {
    // SAFETY: as above.
    unsafe {
        let mut list = null_mut();
        for number in columns {
            let name = (*attribute(relation, *number)).attname.data.as_ptr();
            list = pg_sys::lappend(list, pg_sys::makeString(pg_sys::pstrdup(name)).cast());
        }
        CStr::from_ptr(pg_sys::nodeToString(list.cast())).to_owned()
    }
}
