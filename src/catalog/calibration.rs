//! What was measured of this server for the cost model.

use std::collections::BTreeMap;

use pgrx::pg_sys::panic::ErrorReport;

use crate::pg::context::as_extension_owner;
use crate::pg::spi;
use crate::planning::proposal::Settled;

/// The values by constant; empty where it was never measured.
pub fn load() -> Result<BTreeMap<String, f64>, ErrorReport> {
    let found = as_extension_owner(|| {
        spi::rows::<(String, f64)>(
            "SELECT pg_catalog.jsonb_build_array(constant, value)::text FROM presplit.calibration
             WHERE value > 0 AND value < 'infinity'",
            &[],
        )
    })?;
    Ok(found.into_iter().collect())
}

/// Replaces all values by those that were measured now.
pub fn store(settled: &[Settled], user: &str) -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        spi::run("DELETE FROM presplit.calibration", &[])?;
        for one in settled.iter().filter(|one| one.note.is_none()) {
            spi::run(
                "INSERT INTO presplit.calibration (constant, value, unit, measured_by) VALUES ($1, $2, $3, $4)",
                &[one.constant.into(), one.value.into(), one.unit.into(), user.into()],
            )?;
        }
        Ok(())
    })
}
