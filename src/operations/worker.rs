//! What the background worker does in a database at each tick: it records
//! sizes, so that growth can be forecast.

use crate::catalog::history;
use crate::pg::context::with_settings;
use crate::pg::worker;

/// Registers the launcher; called once, from `_PG_init`.
pub fn register() {
    worker::register(tick);
}

fn tick() {
    // Sizes are read under ACCESS SHARE: rather no reading than waiting long
    // behind somebody's ALTER TABLE.
    let settings = [(c"lock_timeout", c"1s")];
    let recorded = with_settings(&settings, || {
        let made = history::record()?;
        if made > 0 {
            history::thin()?;
        }
        Ok::<_, pgrx::pg_sys::panic::ErrorReport>(made)
    });
    if let Err(error) = recorded {
        crate::pg::error::raise(error);
    }
}
