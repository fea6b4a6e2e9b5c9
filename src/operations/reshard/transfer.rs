//! Rows from sources to targets within one snapshot, with the rights of the
//! table's owner.
//!
//! Whatever runs here may run expressions of the owner's (checks, generated
//! columns, keys of partitions): they get no more rights than the owner has.
//! Row security does not filter: what it would hide is an error.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use serde_json::Value;

use crate::catalog::reshard_rows;
use crate::catalog::reshard_rows::Rows;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::operations::reshard::guard;
use crate::pg::capture;
use crate::pg::capture::Digest;
use crate::pg::capture::KEYS;
use crate::pg::capture::Keys;
use crate::pg::capture::Read;
use crate::pg::context::restricted_to;
use crate::pg::context::with_any_settings;
use crate::pg::context::with_pinned_search_path;
use crate::pg::error;
use crate::pg::table_lock::Mode;
use crate::planning::reshard::rows::ByKeys;
use crate::planning::reshard::rows::Tables;

/// A key in text form: rows up to it are copied, or compared.
pub type Key = Vec<String>;

/// One transaction's work on a change.
pub struct Transfer<'a> {
    change: &'a Change,
    rows: Rows,
    log: Oid,
}

/// How the planner goes through the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// In the order of the identity, by its index.
    InOrder,
    /// By the keys of single rows.
    ByKey,
}

impl<'a> Transfer<'a> {
    /// # Errors
    /// If a table or the log is gone, or a new shard was altered.
    pub fn begin(change: &'a Change, operation_id: i64) -> Result<Self, ErrorReport> {
        let log = reshard_rows::log(change.log_of(operation_id))?.ok_or_else(|| {
            error::new(
                SqlState::ObjectNotInPrerequisiteState,
                format!("the log of operation {operation_id} is gone"),
                Some("Changes of its shards may have gone unnoticed.".to_owned()),
                Some("Cancel the operation and begin it anew.".to_owned()),
            )
        })?;
        guard::check(change, Mode::RowExclusive)?;
        let rows = reshard_rows::read(change)?;
        let split = rows.tables.targets.len() > 1;
        if split && rows.tables.targets.iter().any(|target| target.conditions.is_empty()) {
            return Err(error::new(
                SqlState::ObjectNotInPrerequisiteState,
                format!("new shards of table \"{}\" have no checks of their bounds", change.root),
                Some("Nothing says which row belongs to which.".to_owned()),
                Some("Cancel the operation and begin it anew.".to_owned()),
            ));
        }
        Ok(Self { change, rows, log })
    }

    const fn tables(&self) -> &Tables {
        &self.rows.tables
    }

    /// Takes keys of changed rows out of the log, and brings these rows over
    /// as far as they are copied: `until`, or all. None if a source was truncated.
    ///
    /// # Errors
    /// If what was brought over is not what the sources have.
    pub fn bring_changes(
        &self,
        until: Option<Option<&Key>>,
        limit: i64,
    ) -> Result<Option<Keys>, ErrorReport> {
        let keys = capture::consume(self.log, limit)?;
        if keys.truncated {
            return Ok(None);
        }
        let until = match until {
            // Nothing is copied.
            Some(None) => return Ok(Some(keys)),
            Some(Some(key)) => Some(key.as_slice()),
            None => None,
        };
        if keys.count > 0 {
            self.copy_again(&keys, until)?;
        }
        Ok(Some(keys))
    }

    fn copy_again(&self, keys: &Keys, until: Option<&[String]>) -> Result<(), ErrorReport> {
        let tables = self.tables();
        for target in 0..tables.targets.len() {
            self.as_owner(Plan::ByKey, || capture::run(&tables.remove(target, KEYS), Some(keys)))?;
        }
        let by = ByKeys { keys: KEYS, until };
        let copied = self.read(Plan::ByKey, &tables.copy_again(by), Some(keys))?;
        let found = self.read(Plan::ByKey, &tables.copied_again(KEYS), Some(keys))?;
        self.compare(copied.digest, found.digest, || "rows that were changed meanwhile".to_owned())
    }

    /// Copies the next rows after a key, and compares them.
    ///
    /// # Errors
    /// If what was copied is not what the sources have.
    pub fn copy(&self, after: Option<&Key>, rows: i64) -> Result<Read, ErrorReport> {
        let after = after.map(Vec::as_slice);
        let copied = self.read(Plan::InOrder, &self.tables().copy(after, rows), None)?;
        if let Some(last) = &copied.last {
            let found = self.read(Plan::InOrder, &self.tables().copied(after, Some(last)), None)?;
            self.compare(copied.digest, found.digest, || span(after, Some(last)))?;
        }
        Ok(copied)
    }

    /// Compares the next rows after a key. The log must be empty to this
    /// transaction. None if a source was truncated just now.
    ///
    /// # Errors
    /// If the targets do not have what the sources have.
    pub fn verify(&self, after: Option<&Key>, rows: i64) -> Result<Option<Read>, ErrorReport> {
        let after = after.map(Vec::as_slice);
        let source = self.read(Plan::InOrder, &self.tables().next(after, rows), None)?;
        // To the end, so that nothing is beyond the last row of the sources.
        let until = source.last.as_deref().filter(|_| source.digest.rows >= rows);
        let target = self.read(Plan::InOrder, &self.tables().copied(after, until), None)?;
        if source.digest != target.digest && capture::is_truncated_now(self.log)? {
            return Ok(None);
        }
        self.compare(source.digest, target.digest, || span(after, until))?;
        Ok(Some(source))
    }

    fn compare(
        &self,
        source: Digest,
        target: Digest,
        what: impl FnOnce() -> String,
    ) -> Result<(), ErrorReport> {
        if source == target {
            return Ok(());
        }
        let detail = if source.rows == target.rows {
            format!("Of {} rows ({}) not all have the same values.", source.rows, what())
        } else {
            format!("The old shards have {} rows ({}), the new ones {}.", source.rows, what(), target.rows)
        };
        Err(error::new(
            SqlState::DataCorrupted,
            format!("new shards of table \"{}\" do not have the rows of the old ones", self.change.root),
            Some(detail),
            Some("The table is as it was. Cancel the operation and begin it anew.".to_owned()),
        ))
    }

    fn read(&self, plan: Plan, sql: &str, keys: Option<&Keys>) -> Result<Read, ErrorReport> {
        let places = self.tables().key_places();
        let types: Vec<Oid> = self.tables().identity.iter().map(|key| Oid::from(key.type_oid)).collect();
        self.as_owner(plan, || capture::read(sql, keys, &places, &types))
    }

    fn as_owner<R>(&self, plan: Plan, work: impl FnOnce() -> R) -> R {
        let scan = if plan == Plan::InOrder { c"off" } else { c"on" };
        let settings = [
            (c"row_security", c"off"),
            (c"DateStyle", c"ISO, YMD"),
            (c"IntervalStyle", c"postgres"),
            (c"extra_float_digits", c"1"),
            (c"bytea_output", c"hex"),
            (c"lc_monetary", c"C"),
            (c"max_parallel_workers_per_gather", c"0"),
            (c"work_mem", c"64MB"),
            (c"enable_seqscan", scan),
            (c"enable_bitmapscan", scan),
        ];
        with_pinned_search_path(|| {
            with_any_settings(&settings, || restricted_to(Oid::from(self.rows.owner), work))
        })
    }
}

fn span(after: Option<&[String]>, until: Option<&[String]>) -> String {
    let key = |key: &[String]| key.join(", ");
    match (after, until) {
        (None, None) => "all of them".to_owned(),
        (None, Some(until)) => format!("with keys up to {}", key(until)),
        (Some(after), None) => format!("with keys after {}", key(after)),
        (Some(after), Some(until)) => format!("with keys after {} up to {}", key(after), key(until)),
    }
}

/// A key as it is written down.
pub fn stored(key: &Key) -> Value {
    Value::from(key.clone())
}

/// A key that was written down.
///
/// # Errors
/// If it is none.
pub fn of_stored(value: Option<&Value>) -> Result<Option<Key>, ErrorReport> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value.clone()).map(Some).map_err(|cause| {
            error::new(
                SqlState::DataCorrupted,
                format!("could not read how far an operation was: {cause}"),
                None,
                None,
            )
        }),
    }
}
