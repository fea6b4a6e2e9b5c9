//! Who and how: the role, the search_path and the subtransaction in which a
//! piece of work runs. Every guard restores on the way out; on an error the
//! end of the (sub)transaction does.

use std::ffi::CStr;
use std::ffi::CString;
use std::panic::AssertUnwindSafe;

use pgrx::PgTryBuilder;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::CaughtError;

use crate::model::access::Analysis;
use crate::pg::guc;

/// Runs `work` in a subtransaction that is rolled back if it fails; the error
/// then comes back as SQLSTATE and message.
pub fn in_subtransaction<R>(work: impl FnOnce() -> R) -> Result<R, Caught> {
    subtransaction(work, false)
}

/// Runs `work` in a subtransaction that is rolled back in any case.
pub fn in_rolled_back_subtransaction<R>(work: impl FnOnce() -> R) -> Result<R, Caught> {
    subtransaction(work, true)
}

/// An error that was caught and whose effects were rolled back.
#[derive(Debug, Clone)]
pub struct Caught {
    pub sqlstate: String,
    pub message: String,
}

impl From<Caught> for Analysis {
    fn from(caught: Caught) -> Self {
        Self::Refused { sqlstate: caught.sqlstate, message: caught.message }
    }
}

fn subtransaction<R>(work: impl FnOnce() -> R, always_roll_back: bool) -> Result<R, Caught> {
    // SAFETY: called on the backend's main thread inside a transaction (every
    // caller runs in a function or a worker's transaction). Memory context
    // and resource owner are put back as they were on every path, as plpgsql
    // does around its exception blocks.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let owner = pg_sys::CurrentResourceOwner;
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let result = PgTryBuilder::new(AssertUnwindSafe(|| Ok(work())))
            .catch_others(|caught| Err(read(&caught)))
            .catch_rust_panic(|caught| Err(read(&caught)))
            .execute();
        // A query cancel or a shutdown must not be swallowed as "the statement failed".
        pg_sys::MemoryContextSwitchTo(context);
        if result.is_err() || always_roll_back {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
        } else {
            pg_sys::ReleaseCurrentSubTransaction();
        }
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
        if let Err(caught) = &result
            && (caught.sqlstate == "57014" || caught.sqlstate.starts_with("57P"))
        {
            crate::pg::error::raise(pg_sys::panic::ErrorReport::new(
                pgrx::PgSqlErrorCode::ERRCODE_QUERY_CANCELED,
                caught.message.clone(),
                "pg_presplit",
            ));
        }
        result
    }
}

fn read(caught: &CaughtError) -> Caught {
    let (CaughtError::PostgresError(report)
    | CaughtError::ErrorReport(report)
    | CaughtError::RustPanic { ereport: report, .. }) = caught;
    let code = report.sql_error_code() as i32;
    // SAFETY: unpack_sql_state returns a static, zero-terminated buffer.
    let sqlstate = unsafe { CStr::from_ptr(pg_sys::unpack_sql_state(code)) }.to_string_lossy().into_owned();
    Caught { sqlstate, message: report.message().to_owned() }
}

/// Runs `work` as the owner of the extension, for our own tables: users have
/// no rights on them. Only fixed statements of ours may run in here.
pub fn as_extension_owner<R>(work: impl FnOnce() -> R) -> R {
    let _guard = RoleGuard::extension_owner();
    with_pinned_search_path(work)
}

/// Runs `work` with the rights of a role and without the right to change
/// roles, settings or temporary objects, as the server runs the functions of
/// an index: for what the owner of a table had run, whoever asks.
pub fn restricted_to<R>(role: pg_sys::Oid, work: impl FnOnce() -> R) -> R {
    let _guard = RoleGuard::restricted(role);
    work()
}

struct RoleGuard {
    role: pg_sys::Oid,
    flags: i32,
}

impl RoleGuard {
    fn extension_owner() -> Self {
        // SAFETY: plain reads and writes of the backend's user id; the owner
        // is read from pg_extension, which a transaction lets us do.
        unsafe {
            let mut guard = Self { role: pg_sys::InvalidOid, flags: 0 };
            pg_sys::GetUserIdAndSecContext(&mut guard.role, &mut guard.flags);
            let extension = pg_sys::get_extension_oid(c"pg_presplit".as_ptr(), true);
            if extension != pg_sys::InvalidOid {
                let owner = extension_owner(extension).unwrap_or(guard.role);
                pg_sys::SetUserIdAndSecContext(
                    owner,
                    guard.flags | (pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32),
                );
            }
            guard
        }
    }
}

impl RoleGuard {
    fn restricted(role: pg_sys::Oid) -> Self {
        // SAFETY: plain reads and writes of the backend's user id.
        unsafe {
            let mut guard = Self { role: pg_sys::InvalidOid, flags: 0 };
            pg_sys::GetUserIdAndSecContext(&mut guard.role, &mut guard.flags);
            pg_sys::SetUserIdAndSecContext(
                role,
                guard.flags | (pg_sys::SECURITY_RESTRICTED_OPERATION as i32),
            );
            guard
        }
    }
}

impl Drop for RoleGuard {
    fn drop(&mut self) {
        // SAFETY: restores what the constructor read.
        unsafe { pg_sys::SetUserIdAndSecContext(self.role, self.flags) };
    }
}

/// # Safety
/// In a transaction.
unsafe fn extension_owner(extension: pg_sys::Oid) -> Option<pg_sys::Oid> {
    // SAFETY: a catalog scan by oid under ACCESS SHARE, closed before return;
    // the tuple is read while the scan is open.
    unsafe {
        let relation = pg_sys::table_open(pg_sys::ExtensionRelationId, pg_sys::AccessShareLock as _);
        let mut key = pg_sys::ScanKeyData::default();
        pg_sys::ScanKeyInit(
            &mut key,
            pg_sys::Anum_pg_extension_oid as _,
            pg_sys::BTEqualStrategyNumber as _,
            pg_sys::Oid::from(pg_sys::F_OIDEQ),
            pg_sys::Datum::from(extension),
        );
        let scan = pg_sys::systable_beginscan(
            relation,
            pg_sys::ExtensionOidIndexId.into(),
            true,
            std::ptr::null_mut(),
            1,
            &mut key,
        );
        let tuple = pg_sys::systable_getnext(scan);
        let owner = (!tuple.is_null()).then(|| {
            let form = pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_extension>(tuple);
            (*form).extowner
        });
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as _);
        owner
    }
}

/// Runs `work` with `search_path = pg_catalog, pg_temp`, so that a user's
/// path changes the meaning of nothing that we run, nor its way to quote names or
/// to read strings. Our statements read
/// catalogs through functions whose rows the planner overestimates: compiling
/// them would take seconds, running them takes milliseconds.
pub fn with_pinned_search_path<R>(work: impl FnOnce() -> R) -> R {
    let settings = [
        (c"search_path", c"pg_catalog, pg_temp"),
        (c"standard_conforming_strings", c"on"),
        (c"quote_all_identifiers", c"off"),
        (c"jit", c"off"),
    ];
    with_settings(&settings, work)
}

/// How values and definitions are written as text where what is written is
/// kept, compared or read again: the same in each session, whatever its
/// settings.
pub const TEXT_FORM: [(&CStr, &CStr); 6] = [
    (c"datestyle", c"ISO, YMD"),
    (c"intervalstyle", c"postgres"),
    (c"timezone", c"UTC"),
    (c"extra_float_digits", c"1"),
    (c"bytea_output", c"hex"),
    (c"lc_monetary", c"C"),
];

/// As [`with_pinned_search_path`], with [`TEXT_FORM`].
pub fn with_pinned_texts<R>(work: impl FnOnce() -> R) -> R {
    with_pinned_search_path(|| with_settings(&TEXT_FORM, work))
}

/// Takes away a `default_tablespace` that is the database's own until
/// [`close_settings`]: PostgreSQL takes it for ordinary tables and refuses it
/// for partitioned ones, though it means the same.
pub fn open_partitionable_tablespace() -> Option<i32> {
    let own = CString::new(guc::core_text(c"default_tablespace")).is_ok_and(|name| is_own_tablespace(&name));
    own.then(|| open_settings(&[(c"default_tablespace", c"")], pg_sys::GucContext::PGC_USERSET))
}

/// Whether a tablespace is that of the database.
pub fn is_own_tablespace(name: &CStr) -> bool {
    // SAFETY: a catalog look-up; every caller is in a transaction.
    unsafe { pg_sys::get_tablespace_oid(name.as_ptr(), true) == pg_sys::MyDatabaseTableSpace }
}

/// Runs `work` with settings changed as `SET LOCAL` would.
pub fn with_settings<R>(settings: &[(&CStr, &CStr)], work: impl FnOnce() -> R) -> R {
    let level = open_settings(settings, pg_sys::GucContext::PGC_USERSET);
    let result = work();
    close_settings(Some(level));
    result
}

/// As [`with_settings`], also of those that only a superuser may set: what
/// `work` does must be ours, not the user's.
pub fn with_any_settings<R>(settings: &[(&CStr, &CStr)], work: impl FnOnce() -> R) -> R {
    let level = open_settings(settings, pg_sys::GucContext::PGC_SUSET);
    let result = work();
    close_settings(Some(level));
    result
}

/// Changes settings until [`close_settings`], or until the end of the
/// (sub)transaction after an error.
fn open_settings(settings: &[(&CStr, &CStr)], rights: pg_sys::GucContext::Type) -> i32 {
    // SAFETY: names and values are zero-terminated and copied by the server.
    unsafe {
        let level = pg_sys::NewGUCNestLevel();
        for (name, value) in settings {
            pg_sys::set_config_option(
                name.as_ptr(),
                value.as_ptr(),
                rights,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            );
        }
        level
    }
}

/// Puts settings back as they were.
pub fn close_settings(level: Option<i32>) {
    if let Some(level) = level {
        // SAFETY: a level of `open_settings` that is still open.
        unsafe { pg_sys::AtEOXact_GUC(true, level) };
    }
}
