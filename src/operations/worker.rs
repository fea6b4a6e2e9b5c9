//! What the background worker does in a database at each tick: it records
//! sizes, so that growth can be forecast, what the statements did, so that
//! their weights are those of the last days, drops what loads have left behind and
//! shards that were replaced, starts workers for operations that nobody is at, and
//! writes down loads that failed and sampled values.

use pgrx::debug1;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::history;
use crate::catalog::operations;
use crate::catalog::readings;
use crate::catalog::samples;
use crate::operations::load_workers;
use crate::operations::reshard;
use crate::pg::context::in_subtransaction;
use crate::pg::context::with_settings;
use crate::pg::error;
use crate::pg::worker;

/// Registers the launcher; called once, from `_PG_init`.
pub fn register() {
    worker::register(tick);
}

/// One after the other; what one cannot do now does not keep another from its
/// own. Samples come last: once they are taken out of shared memory, the less
/// there is that can still fail, the better.
const CHORES: &[fn() -> Result<(), ErrorReport>] = &[
    reshard::chore,
    reshard::retire::expired,
    reshard::undo::chore,
    sizes,
    statements,
    load_workers::clean_up,
    operations::fold,
    samples::fold,
];

fn tick() {
    // Sizes are read under ACCESS SHARE: rather no reading than waiting long
    // behind somebody's ALTER TABLE.
    // It keeps the locks of all chores: of a DROP EXTENSION and us, we are the one to give way.
    let settings = [(c"lock_timeout", c"1s"), (c"deadlock_timeout", c"20ms")];
    for chore in CHORES {
        let work = || with_settings(&settings, || chore().unwrap_or_else(|error| error::raise(error)));
        if let Err(caught) = in_subtransaction(work) {
            debug1!("pg_presplit worker: {} ({})", caught.message, caught.sqlstate);
        }
    }
}

fn sizes() -> Result<(), ErrorReport> {
    history::record().map(|_| ())
}

fn statements() -> Result<(), ErrorReport> {
    readings::record().map(|_| ())
}
