//! Which shards an index is to be built on ahead of its statement.
//!
//! The rules are those of PostgreSQL's own parallel builds, for the shards
//! together: `min_parallel_table_scan_size`, `max_parallel_maintenance_workers`, and
//! 32 MB of `maintenance_work_mem` for each process. A shard that is larger
//! than its share of the whole is left to the statement, which builds it with
//! several processes of its own. What the server would refuse is left to it.

use std::ffi::CStr;
use std::ffi::CString;
use std::ffi::c_char;

use pgrx::PgList;
use pgrx::pg_sys;
use pgrx::pg_sys::Constraint;
use pgrx::pg_sys::IndexElem;
use pgrx::pg_sys::IndexStmt;
use pgrx::pg_sys::Node;
use pgrx::pg_sys::NodeTag;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::RangeVar;
use pgrx::pg_sys::Relation;

use crate::pg::index_build::Reason;
use crate::pg::index_build::server;
use crate::pg::index_build::server::has_superclass;
use crate::pg::staging::attribute;
use crate::pg::utility::strings;

/// What PostgreSQL gives a process of a parallel build at least.
const MEMORY_MIN_KB: i32 = 32 * 1024;

/// The longest name, and what PostgreSQL adds to that of a shard at most besides columns.
const NAME_MAX: usize = 63;
const SUFFIX: usize = 12;

/// Access methods whose builds are known to need no more than a parallel worker may do.
const METHODS: [Oid; 6] = [
    pg_sys::BTREE_AM_OID,
    pg_sys::HASH_AM_OID,
    pg_sys::GIST_AM_OID,
    pg_sys::GIN_AM_OID,
    pg_sys::SPGIST_AM_OID,
    pg_sys::BRIN_AM_OID,
];

/// A shard to build on.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Chosen {
    /// In the order of the partitions.
    pub oid: Oid,
    /// The numbers of the shards, from the largest to the smallest.
    pub order: usize,
}

/// What is to be done; in the memory of the statement.
#[derive(Clone, Copy)]
pub struct Plan {
    pub root: Oid,
    pub is_index: bool,
    pub shards: *mut Chosen,
    pub count: usize,
    pub processes: usize,
}

/// What a statement wants.
struct Wanted {
    relation: *mut RangeVar,
    lock: i32,
    /// Of the shards: less where the statement does not change their columns.
    shard_lock: i32,
    is_index: bool,
    name: Option<String>,
    method: Oid,
    columns: Vec<Column>,
    is_primary: bool,
}

/// A column that is wanted in an index; an expression has no name.
struct Column {
    name: String,
    /// The operator class that is written; null = the type's own.
    class: *mut pg_sys::List,
}

/// The key that a statement adds, if it does nothing else.
///
/// # Safety
/// A utility statement's node.
pub unsafe fn constraint_of(node: *mut Node) -> Option<*mut Constraint> {
    // SAFETY: casts follow the tags.
    unsafe {
        if (*node).type_ != NodeTag::T_AlterTableStmt {
            return None;
        }
        let alter = &*node.cast::<pg_sys::AlterTableStmt>();
        let commands = PgList::<pg_sys::AlterTableCmd>::from_pg(alter.cmds);
        let command = commands.get_ptr(0).filter(|_| commands.len() == 1)?;
        if alter.objtype != pg_sys::ObjectType::OBJECT_TABLE
            || (*command).subtype != pg_sys::AlterTableType::AT_AddConstraint
            || (*command).def.is_null()
            || (*(*command).def).type_ != NodeTag::T_Constraint
        {
            return None;
        }
        let constraint = (*command).def.cast::<Constraint>();
        let is_key = matches!(
            (*constraint).contype,
            pg_sys::ConstrType::CONSTR_PRIMARY | pg_sys::ConstrType::CONSTR_UNIQUE
        );
        (is_key && (*constraint).indexname.is_null()).then_some(constraint)
    }
}

/// What to build ahead of a statement; none if it makes no index on the shards of a table.
///
/// # Safety
/// A utility statement's node, in a transaction. Takes the statement's own locks.
pub unsafe fn examine(node: *mut Node, watched: bool) -> Result<Option<Plan>, Reason> {
    // SAFETY: look-ups, and locks that the statement is about to take.
    unsafe {
        let Some(wanted) = wanted_by(node) else { return Ok(None) };
        if !may_alter(wanted.relation) {
            return Ok(None);
        }
        if watched || server::is_watched(wanted.is_index) {
            return Err(Reason::Watched);
        }
        let root = pg_sys::table_openrv(wanted.relation, wanted.lock);
        let mut found = Found { shards: Vec::new(), refusal: None };
        // Brings the primary key up to date.
        pg_sys::RelationGetIndexList(root);
        let has_key = wanted.is_primary && (*root).rd_pkindex != pg_sys::InvalidOid;
        let fails = is_refused(root, &wanted);
        if is_partitioned(root) && !has_key && !fails {
            look_at_shards(root, &wanted, &mut found);
        }
        let oid = (*root).rd_id;
        pg_sys::table_close(root, pg_sys::NoLock as _);
        if fails {
            return Ok(None);
        }
        // Of a small table no reason is worth telling.
        let total: u64 = found.shards.iter().map(|shard| shard.pages).sum();
        if total < u64::try_from(pg_sys::min_parallel_table_scan_size).unwrap_or(0).max(1) {
            return Err(Reason::Small);
        }
        refusal_of(node)?;
        if let Some(reason) = found.refusal {
            return Err(reason);
        }
        let processes = processes()?;
        names_are_free(&wanted, &found.shards)?;
        // A larger one is better built by several processes together.
        let fair = |shard: &&Shard| shard.pages * processes as u64 <= total;
        let fair: Vec<_> = found.shards.iter().filter(fair).collect();
        if fair.len() < 2 {
            return Err(Reason::FewShards);
        }
        Ok(Some(plan(oid, wanted.is_index, &fair, processes)))
    }
}

/// # Safety
/// A utility statement's node.
unsafe fn wanted_by(node: *mut Node) -> Option<Wanted> {
    // SAFETY: casts follow the tags.
    unsafe {
        if (*node).type_ == NodeTag::T_IndexStmt {
            let statement = &*node.cast::<IndexStmt>();
            let wanted = !statement.concurrent
                && !statement.relation.is_null()
                && (*statement.relation).inh
                && statement.indexOid == pg_sys::InvalidOid
                && !statement.if_not_exists
                && !statement.transformed;
            return wanted.then(|| Wanted {
                relation: statement.relation,
                lock: pg_sys::ShareLock as i32,
                shard_lock: pg_sys::ShareLock as i32,
                is_index: true,
                name: text(statement.idxname),
                method: pg_sys::get_index_am_oid(statement.accessMethod, true),
                columns: columns_of(statement.indexParams),
                is_primary: false,
            });
        }
        let constraint = constraint_of(node)?;
        let alter = &*node.cast::<pg_sys::AlterTableStmt>();
        let is_primary = (*constraint).contype == pg_sys::ConstrType::CONSTR_PRIMARY;
        (*alter.relation).inh.then(|| Wanted {
            relation: alter.relation,
            lock: pg_sys::AccessExclusiveLock as i32,
            // A primary key makes its columns NOT NULL; PostgreSQL 18 does not tell keys apart here.
            shard_lock: if is_primary || cfg!(feature = "pg18") {
                pg_sys::AccessExclusiveLock
            } else {
                pg_sys::ShareLock
            } as i32,
            is_index: false,
            name: text((*constraint).conname),
            method: pg_sys::BTREE_AM_OID,
            columns: strings((*constraint).keys)
                .into_iter()
                .map(|name| Column { name, class: std::ptr::null_mut() })
                .collect(),
            is_primary,
        })
    }
}

/// # Safety
/// Zero-terminated, or null.
unsafe fn text(text: *const c_char) -> Option<String> {
    // SAFETY: as above.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// # Safety
/// A list of index elements.
unsafe fn columns_of(list: *mut pg_sys::List) -> Vec<Column> {
    // SAFETY: as above.
    unsafe {
        let column = |element: *mut IndexElem| Column {
            name: text((*element).name).unwrap_or_default(),
            class: (*element).opclass,
        };
        PgList::<IndexElem>::from_pg(list).iter_ptr().map(column).collect()
    }
}

/// Whether the statement may be about the table, which is a partitioned one of the user's.
///
/// # Safety
/// In a transaction.
unsafe fn may_alter(relation: *mut RangeVar) -> bool {
    // SAFETY: look-ups in the server's caches, without a lock: they are only
    // a reason to leave the statement to the server, which asks again.
    unsafe {
        if pg_sys::XactReadOnly || pg_sys::IsInParallelMode() || pg_sys::RecoveryInProgress() {
            return false;
        }
        let oid = pg_sys::RangeVarGetRelidExtended(
            relation,
            pg_sys::NoLock as _,
            pg_sys::RVROption::RVR_MISSING_OK,
            None,
            std::ptr::null_mut(),
        );
        let tuple =
            pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as _, pg_sys::Datum::from(oid));
        if tuple.is_null() {
            return false;
        }
        let form = pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_class>(tuple);
        let (owner, kind) = ((*form).relowner, (*form).relkind as u8);
        pg_sys::ReleaseSysCache(tuple);
        kind == pg_sys::RELKIND_PARTITIONED_TABLE && pg_sys::has_privs_of_role(pg_sys::GetUserId(), owner)
    }
}

/// Why the index itself is none of ours.
///
/// # Safety
/// A statement that wants an index.
unsafe fn refusal_of(node: *mut Node) -> Result<(), Reason> {
    // SAFETY: reads of a parse tree.
    unsafe {
        if let Some(constraint) = constraint_of(node) {
            let constraint = &*constraint;
            if constraint.deferrable || constraint.initdeferred {
                return Err(Reason::Deferrable);
            }
            #[cfg(feature = "pg18")]
            if constraint.without_overlaps {
                return Err(Reason::Method);
            }
            return Ok(());
        }
        let statement = &*node.cast::<IndexStmt>();
        let method = pg_sys::get_index_am_oid(statement.accessMethod, true);
        if !METHODS.contains(&method) || !statement.excludeOpNames.is_null() {
            return Err(Reason::Method);
        }
        let has_expression = columns_of(statement.indexParams).iter().any(|column| column.name.is_empty());
        if has_expression || !statement.whereClause.is_null() {
            return Err(Reason::Expression);
        }
        Ok(())
    }
}

/// How many processes the settings allow.
fn processes() -> Result<usize, Reason> {
    // SAFETY: reads settings.
    let (workers, memory) =
        unsafe { (pg_sys::max_parallel_maintenance_workers, pg_sys::maintenance_work_mem) };
    if workers < 1 {
        return Err(Reason::Workers);
    }
    let processes = (workers + 1).min(memory / MEMORY_MIN_KB);
    if processes < 2 { Err(Reason::Memory) } else { Ok(processes as usize) }
}

/// # Safety
/// An open relation.
unsafe fn is_partitioned(relation: Relation) -> bool {
    // SAFETY: as above.
    unsafe { (*(*relation).rd_rel).relkind as u8 == pg_sys::RELKIND_PARTITIONED_TABLE }
}

/// A shard of the table.
struct Shard {
    oid: Oid,
    name: String,
    pages: u64,
}

/// What was found of the shards, and why they are none for us.
struct Found {
    shards: Vec<Shard>,
    refusal: Option<Reason>,
}

/// Collects the shards of a table in the order in which the server meets them.
///
/// # Safety
/// An open, locked relation.
unsafe fn look_at_shards(relation: Relation, wanted: &Wanted, found: &mut Found) {
    // SAFETY: partitions are locked as the statement locks them; the parent's
    // lock keeps them attached.
    unsafe {
        let parts = pg_sys::RelationGetPartitionDesc(relation, true);
        for at in 0..(*parts).nparts as usize {
            let part = pg_sys::table_open(*(*parts).oids.add(at), wanted.shard_lock);
            if is_plain(part) {
                let pages = pg_sys::RelationGetNumberOfBlocksInFork(part, pg_sys::ForkNumber::MAIN_FORKNUM);
                let name = text((*(*part).rd_rel).relname.data.as_ptr()).unwrap_or_default();
                found.shards.push(Shard { oid: (*part).rd_id, name, pages: u64::from(pages) });
                found.refusal = found.refusal.or_else(|| allows(part, wanted).err());
            } else {
                // An index of its own of a shard that is divided again may be meant, too.
                found.refusal = Some(if is_partitioned(part) { Reason::Levels } else { Reason::Storage });
                found.shards.extend(sizes_below(part));
            }
            pg_sys::table_close(part, pg_sys::NoLock as _);
        }
    }
}

/// Shards of a shard that is divided again: only so that a reason is told of large ones.
///
/// # Safety
/// An open, locked relation.
unsafe fn sizes_below(relation: Relation) -> Vec<Shard> {
    // SAFETY: as above; the parent's lock keeps them attached.
    unsafe {
        if !is_partitioned(relation) {
            return Vec::new();
        }
        let parts = pg_sys::RelationGetPartitionDesc(relation, true);
        let mut found = Vec::new();
        for at in 0..(*parts).nparts as usize {
            let part = pg_sys::table_open(*(*parts).oids.add(at), pg_sys::AccessShareLock as _);
            if is_plain(part) {
                let pages = pg_sys::RelationGetNumberOfBlocksInFork(part, pg_sys::ForkNumber::MAIN_FORKNUM);
                found.push(Shard { oid: (*part).rd_id, name: String::new(), pages: u64::from(pages) });
            }
            pg_sys::table_close(part, pg_sys::AccessShareLock as _);
        }
        found
    }
}

/// Whether the server is going to refuse the statement for what it says, which it
/// is to do at once.
///
/// # Safety
/// An open relation.
unsafe fn is_refused(relation: Relation, wanted: &Wanted) -> bool {
    let twice = |(at, column): (usize, &Column)| {
        !column.name.is_empty() && wanted.columns[..at].iter().any(|other| other.name == column.name)
    };
    if !wanted.is_index && wanted.columns.iter().enumerate().any(twice) {
        return true;
    }
    let Some(name) = wanted.name.as_ref().and_then(|name| CString::new(name.as_str()).ok()) else {
        return false;
    };
    // SAFETY: look-ups in the server's caches and catalogs.
    unsafe {
        let schema = (*(*relation).rd_rel).relnamespace;
        pg_sys::get_relname_relid(name.as_ptr(), schema) != pg_sys::InvalidOid
            || (!wanted.is_index
                && server::get_relation_constraint_oid((*relation).rd_id, name.as_ptr(), true)
                    != pg_sys::InvalidOid)
    }
}

/// # Safety
/// An open relation.
unsafe fn is_plain(relation: Relation) -> bool {
    // SAFETY: as above.
    unsafe {
        let form = &*(*relation).rd_rel;
        form.relkind as u8 == pg_sys::RELKIND_RELATION
            && form.relpersistence as u8 != pg_sys::RELPERSISTENCE_TEMP
            && std::ptr::eq((*relation).rd_tableam, pg_sys::GetHeapamTableAmRoutine())
    }
}

/// # Safety
/// An open, locked relation.
unsafe fn allows(shard: Relation, wanted: &Wanted) -> Result<(), Reason> {
    // SAFETY: the relation's own description; indexes are opened with a lock that the
    // statement's own includes.
    unsafe {
        let mut first = 0;
        for (at, wanted_column) in wanted.columns.iter().enumerate() {
            let name = CString::new(wanted_column.name.as_str()).unwrap_or_default();
            let number = pg_sys::get_attnum((*shard).rd_id, name.as_ptr());
            if number <= 0 {
                return Err(Reason::Expression);
            }
            let column = &*attribute(shard, number);
            if wanted.is_primary && !column.attnotnull {
                return Err(Reason::Nulls);
            }
            if !is_known(column.atttypid, wanted.method, wanted_column.class) {
                return Err(Reason::Types);
            }
            if at == 0 {
                first = number;
            }
        }
        for index in PgList::<Oid>::from_pg(pg_sys::RelationGetIndexList(shard)).iter_oid() {
            if !has_superclass(index) && begins_with(index, first) {
                return Err(Reason::OwnIndex);
            }
        }
        Ok(())
    }
}

/// Whether all functions that the index calls for a column are PostgreSQL's
/// own: others may do what a parallel worker may not.
///
/// # Safety
/// In a transaction.
unsafe fn is_known(kind: Oid, method: Oid, class: *mut pg_sys::List) -> bool {
    // SAFETY: look-ups in the server's caches.
    unsafe {
        let own = |oid: Oid| oid.to_u32() < pg_sys::FirstNormalObjectId;
        let is_enum = pg_sys::get_typtype(kind) as u8 == pg_sys::TYPTYPE_ENUM;
        let class = if class.is_null() {
            pg_sys::GetDefaultOpClass(kind, method)
        } else {
            pg_sys::get_opclass_oid(method, class, true)
        };
        class != pg_sys::InvalidOid && own(class) && (own(kind) || is_enum)
    }
}

/// Whether an index begins with a column, or with an expression.
///
/// # Safety
/// An index of a locked table.
unsafe fn begins_with(index: Oid, column: i16) -> bool {
    // SAFETY: the index's own description.
    unsafe {
        let index = pg_sys::index_open(index, pg_sys::AccessShareLock as _);
        let first = (*(*index).rd_index).indkey.values.as_slice(1).first().copied().unwrap_or(0);
        pg_sys::index_close(index, pg_sys::AccessShareLock as _);
        first == column || first == 0
    }
}

/// The server makes the table's index before those of the shards, and gives
/// these names that are free; so the name of the table's must not be one that a shard's
/// would get, and none may be so long that it is cut.
fn names_are_free(wanted: &Wanted, found: &[Shard]) -> Result<(), Reason> {
    let columns: usize = wanted.columns.iter().map(|column| column.name.len() + 1).sum();
    let taken = found.iter().any(|shard| {
        let is_long = shard.name.len() + columns + SUFFIX > NAME_MAX;
        let begins = |name: &String| name.starts_with(&format!("{}_", shard.name));
        is_long || wanted.name.as_ref().is_some_and(begins)
    });
    if taken { Err(Reason::Names) } else { Ok(()) }
}

/// # Safety
/// In a statement.
unsafe fn plan(root: Oid, is_index: bool, shares: &[&Shard], processes: usize) -> Plan {
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(shares[*at].pages));
    // SAFETY: an allocation of that many, all of which are written.
    unsafe {
        let shards = pg_sys::palloc(shares.len() * size_of::<Chosen>()).cast::<Chosen>();
        for (at, (shard, order)) in shares.iter().zip(order).enumerate() {
            shards.add(at).write(Chosen { oid: shard.oid, order });
        }
        Plan { root, is_index, shards, count: shares.len(), processes: processes.min(shares.len()) }
    }
}
