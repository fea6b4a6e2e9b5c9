//! Whether a table has rows.

use pgrx::pg_sys;

/// Whether a row of a table, of itself alone, is there for a statement that
/// begins now, whatever the isolation of the transaction: with the newest
/// snapshot, as the server looks when it checks a new constraint. Row security
/// and privileges are not asked. Rows that other transactions have not yet
/// committed are not seen: who must not miss them holds a lock.
pub fn any(table: pg_sys::Oid) -> bool {
    // SAFETY: a scan under ACCESS SHARE that ends before the table is closed,
    // with a snapshot that is registered meanwhile; after an error the end of
    // the transaction gives all of it back. A system scan without an index
    // reads any table, of any access method.
    unsafe {
        let relation = pg_sys::table_open(table, pg_sys::AccessShareLock as _);
        // Without storage of its own it cannot be looked into: it counts as one that has some.
        if (*relation).rd_tableam.is_null() {
            pg_sys::table_close(relation, pg_sys::AccessShareLock as _);
            return true;
        }
        let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot());
        let scan = pg_sys::systable_beginscan(
            relation,
            pg_sys::InvalidOid,
            false,
            snapshot,
            0,
            std::ptr::null_mut(),
        );
        let found = !pg_sys::systable_getnext(scan).is_null();
        pg_sys::systable_endscan(scan);
        pg_sys::UnregisterSnapshot(snapshot);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as _);
        found
    }
}
