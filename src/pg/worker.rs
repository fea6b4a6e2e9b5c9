//! Background workers: one launcher without a database, and short-lived
//! workers of single databases.
//!
//! The launcher reads the list of databases and starts one worker at a time,
//! which connects, does one tick and ends: so DROP, rename and CREATE DATABASE
//! … TEMPLATE find nobody connected for long. What a tick does comes from the
//! floor above as a function.

use std::ffi::CStr;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pgrx::bgworkers::BackgroundWorker;
use pgrx::bgworkers::BackgroundWorkerBuilder;
use pgrx::bgworkers::BgWorkerStartTime;
use pgrx::bgworkers::SignalWakeFlags;
use pgrx::pg_guard;
use pgrx::pg_shmem_init;
use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::pg::context::in_subtransaction;
use crate::pg::guc;

/// The launcher's name in `pg_stat_activity.backend_type`.
pub const LAUNCHER_TYPE: &str = "pg_presplit launcher";
const WORKER_TYPE: &str = "pg_presplit worker";

/// How long a database without the extension is left alone.
const SECONDS_WITHOUT_EXTENSION: u64 = 60;

/// Time after which a crashed launcher is started again.
const RESTART_AFTER: Duration = Duration::from_secs(5);

/// Whether the last worker found the extension; one worker runs at a time.
// SAFETY: the name is unique within the server.
static FOUND: pgrx::PgAtomic<AtomicBool> = unsafe { pgrx::PgAtomic::new(c"pg_presplit found") };

static TICK: OnceLock<fn()> = OnceLock::new();

/// Registers the launcher if the library is being preloaded; called once, from
/// `_PG_init`. `tick` is run in each database's worker, in a transaction.
pub fn register(tick: fn()) {
    let _ = TICK.set(tick);
    // SAFETY: flags that the postmaster sets while it loads libraries.
    let preloading =
        unsafe { pg_sys::process_shared_preload_libraries_in_progress && !pg_sys::IsBinaryUpgrade };
    if !preloading {
        return;
    }
    pg_shmem_init!(FOUND);
    BackgroundWorkerBuilder::new(LAUNCHER_TYPE)
        .set_type(LAUNCHER_TYPE)
        .set_library("pg_presplit")
        .set_function("presplit_launcher_main")
        .enable_spi_access()
        .set_start_time(BgWorkerStartTime::RecoveryFinished)
        .set_restart_time(Some(RESTART_AFTER))
        .load();
}

/// A database that the launcher may serve.
struct Database {
    oid: pg_sys::Oid,
    name: String,
}

/// The launcher's main loop.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn presplit_launcher_main(_argument: pg_sys::Datum) {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM);
    // No database: shared catalogs only.
    BackgroundWorker::connect_worker_to_spi(None, None);
    let mut resting: std::collections::BTreeMap<u32, u64> = std::collections::BTreeMap::new();
    let mut elapsed = 0_u64;
    let mut nap = Duration::ZERO;
    'serving: while BackgroundWorker::wait_latch(Some(nap)) {
        if BackgroundWorker::sighup_received() {
            // SAFETY: the worker's own main loop, outside any transaction.
            unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
        }
        let seconds = (guc::number("worker_naptime") as u64).max(1);
        nap = Duration::from_secs(seconds);
        elapsed += seconds;
        for database in databases() {
            // Asking takes the signal: nobody else would hear of it.
            if BackgroundWorker::sigterm_received() {
                break 'serving;
            }
            let key = database.oid.to_u32();
            if resting.get(&key).is_some_and(|until| *until > elapsed) {
                continue;
            }
            // The list is as old as the workers before this one took.
            if !databases().iter().any(|now| now.oid == database.oid) {
                continue;
            }
            FOUND.get().store(false, Ordering::SeqCst);
            run_worker(&database);
            if FOUND.get().load(Ordering::SeqCst) {
                resting.remove(&key);
            } else {
                resting.insert(key, elapsed + SECONDS_WITHOUT_EXTENSION);
            }
        }
    }
    // With 0 the postmaster would take the launcher's work as done and not
    // start it again when somebody ended it by hand.
    // SAFETY: nothing is held here: no transaction, no lock.
    unsafe { pg_sys::proc_exit(1) };
}

/// Starts a database's worker and waits until it has ended.
fn run_worker(database: &Database) {
    let worker = BackgroundWorkerBuilder::new(&format!("{WORKER_TYPE} {}", database.oid.to_u32()))
        .set_type(WORKER_TYPE)
        .set_library("pg_presplit")
        .set_function("presplit_worker_main")
        .set_argument(Some(pg_sys::Datum::from(database.oid)))
        .enable_spi_access()
        .set_restart_time(None)
        // SAFETY: the launcher's own process id.
        .set_notify_pid(unsafe { pg_sys::MyProcPid })
        .load_dynamic();
    // No free slot: the database is looked at again at the next turn.
    if let Ok(worker) = worker {
        let _ = worker.wait_for_shutdown();
    }
}

/// The databases to serve: named ones, or all that take connections.
fn databases() -> Vec<Database> {
    let wanted: Vec<String> = guc::text("databases")
        .split(',')
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    let mut found = Vec::new();
    // SAFETY: a scan of a shared catalog in a transaction of its own, as
    // autovacuum's launcher does it; tuples are read while the scan is open.
    unsafe {
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        let relation = pg_sys::table_open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock as _);
        let scan = pg_sys::table_beginscan_catalog(relation, 0, std::ptr::null_mut());
        loop {
            let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
            if tuple.is_null() {
                break;
            }
            let form = &*pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_database>(tuple);
            let name = CStr::from_ptr(form.datname.data.as_ptr()).to_string_lossy().into_owned();
            let served = form.datallowconn
                && form.datconnlimit != -2
                && if wanted.is_empty() { !form.datistemplate } else { wanted.contains(&name) };
            if served {
                found.push(Database { oid: form.oid, name });
            }
        }
        pg_sys::table_endscan(scan);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as _);
        pg_sys::PopActiveSnapshot();
        pg_sys::CommitTransactionCommand();
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// One tick in one database.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn presplit_worker_main(argument: pg_sys::Datum) {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGTERM);
    // SAFETY: the launcher passes a database's oid.
    let Some(database) = (unsafe { pg_sys::Oid::from_datum(argument, false) }) else { return };
    // A database dropped in this very moment ends the worker with a FATAL that says so.
    BackgroundWorker::connect_worker_to_spi_by_oid(Some(database), None);
    BackgroundWorker::transaction(|| {
        // SAFETY: a catalog look-up in a transaction.
        let extension = unsafe { pg_sys::get_extension_oid(c"pg_presplit".as_ptr(), true) };
        if extension == pg_sys::InvalidOid {
            return;
        }
        FOUND.get().store(true, Ordering::SeqCst);
        if let Some(tick) = TICK.get() {
            // A lock that somebody holds, or a table dropped meanwhile, ends
            // this tick, not the worker: the next one tries again.
            if let Err(caught) = in_subtransaction(tick) {
                debug1!("pg_presplit worker: {} ({})", caught.message, caught.sqlstate);
            }
        }
    });
}
