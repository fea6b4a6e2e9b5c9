//! The copy.

use pgrx::pg_sys::panic::ErrorReport;
use serde_json::Value;

use crate::model::reshard::Change;
use crate::pg::spi;

/// What one transaction has copied.
pub struct Chunk {
    pub rows: i64,
    pub bytes: i64,
    pub cursor: Option<Value>,
    pub finished: bool,
    pub restart: bool,
}

/// Copies some rows.
pub fn chunk(
    change: &Change,
    _operation_id: i64,
    _cursor: Option<&Value>,
    _rows: i64,
) -> Result<Chunk, ErrorReport> {
    let mut rows = 0;
    for target in &change.targets {
        for source in &change.sources {
            rows += spi::run(&format!("INSERT INTO {} SELECT * FROM {}", target.name, source.name), &[])? as i64;
        }
        break;
    }
    Ok(Chunk { rows, bytes: rows * 30, cursor: None, finished: true, restart: false })
}
