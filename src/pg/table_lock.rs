//! Locks of tables beyond a transaction: those of a session last until they are
//! given back, or until a transaction of the session is rolled back.

use std::ffi::CStr;

use pgrx::pg_sys;
use pgrx::pg_sys::Oid;

use crate::pg::context::with_settings;

/// Milliseconds that a lock is waited for that nobody held a moment ago.
const MOMENTS: &CStr = c"2";

/// What others may not do meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "as PostgreSQL names them")]
pub enum Mode {
    /// Others may write too; they may not alter the table, nor give it triggers.
    RowExclusive,
    /// Others may read, and lock rows.
    ShareRowExclusive,
    /// Others may do nothing.
    AccessExclusive,
}

impl Mode {
    pub(super) const fn server(self) -> pg_sys::LOCKMODE {
        (match self {
            Self::RowExclusive => pg_sys::RowExclusiveLock,
            Self::ShareRowExclusive => pg_sys::ShareRowExclusiveLock,
            Self::AccessExclusive => pg_sys::AccessExclusiveLock,
        }) as pg_sys::LOCKMODE
    }
}

fn id(relation: Oid) -> pg_sys::LockRelId {
    // SAFETY: a plain read of a variable of the process.
    pg_sys::LockRelId { relId: relation, dbId: unsafe { pg_sys::MyDatabaseId } }
}

/// A relation of this database as locks name it.
fn tag(relation: Oid) -> pg_sys::LOCKTAG {
    pg_sys::LOCKTAG {
        locktag_field1: id(relation).dbId.to_u32(),
        locktag_field2: relation.to_u32(),
        locktag_field3: 0,
        locktag_field4: 0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_RELATION as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    }
}

/// Takes a lock for the session. Waits no longer than `lock_timeout`.
pub fn lock_for_session(relation: Oid, mode: Mode) {
    // SAFETY: the server copies the name of the lock.
    unsafe { pg_sys::LockRelationIdForSession(&mut id(relation), mode.server()) };
}

/// Gives a lock of the session back, if it still has it.
pub fn unlock_for_session(relation: Oid, mode: Mode) {
    // Of a lock that is not held the server warns.
    if is_mine(relation, mode) {
        // SAFETY: as above.
        unsafe { pg_sys::UnlockRelationIdForSession(&mut id(relation), mode.server()) };
    }
}

fn is_mine(relation: Oid, mode: Mode) -> bool {
    // SAFETY: a look into the process's own list of locks.
    unsafe {
        let tag = tag(relation);
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        let held = pg_sys::LockHeldByMe(&tag, mode.server());
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        let held = pg_sys::LockHeldByMe(&tag, mode.server(), false);
        held
    }
}

/// Tells standbys anew of a lock against everybody, if the session has it. They
/// know a lock as its transaction's, and set it free when one ends that has told
/// of any: so whatever transaction writes while the session has it tells of it.
pub fn tell_standbys(relation: Oid) {
    // SAFETY: in a transaction, with the lock held; as the server does it for a lock that is new.
    unsafe {
        if is_mine(relation, Mode::AccessExclusive)
            && pg_sys::wal_level >= pg_sys::WalLevel::WAL_LEVEL_REPLICA as std::ffi::c_int
        {
            pg_sys::LogAccessExclusiveLock(pg_sys::MyDatabaseId, relation);
        }
    }
}

/// Takes a lock until the transaction ends if nobody holds one that is in the
/// way; whether it could. Those who wait for us are not in the way, which
/// servers before 17 do not see unless one waits with them: then it is waited,
/// for moments at most, and the error of `lock_timeout` raised if somebody has
/// come in between.
pub fn try_lock(relation: Oid, mode: Mode) -> bool {
    if mode == Mode::AccessExclusive && is_mine(relation, mode) {
        lock(relation, mode);
        tell_standbys(relation);
        return true;
    }
    // SAFETY: as below.
    if unsafe { pg_sys::ConditionalLockRelationOid(relation, mode.server()) } {
        return true;
    }
    if is_held_by_others(relation, mode) {
        return false;
    }
    with_settings(&[(c"lock_timeout", MOMENTS)], || lock(relation, mode));
    true
}

/// Whether others hold a lock that a mode conflicts with; not whether they wait for one.
fn is_held_by_others(relation: Oid, mode: Mode) -> bool {
    let mut count = 0;
    // SAFETY: outside of recovery the list is allocated for the caller.
    unsafe {
        let holders = pg_sys::GetLockConflicts(&tag(relation), mode.server(), &mut count);
        pg_sys::pfree(holders.cast());
    }
    count > 0
}

/// Takes a lock until the transaction ends. Waits no longer than `lock_timeout`.
pub fn lock(relation: Oid, mode: Mode) {
    // SAFETY: in a transaction; a relation that is gone is locked all the same.
    unsafe { pg_sys::LockRelationOid(relation, mode.server()) };
}
