//! Growth of tables, from everything that is known of them here: their facts,
//! the recorded sizes, and what people declared.

use std::collections::BTreeMap;

use pgrx::pg_sys::panic::ErrorReport;
use rayon::iter::IntoParallelIterator;
use rayon::iter::ParallelIterator;
use serde_json::Map;
use serde_json::Value;

use crate::catalog::settings;
use crate::catalog::settings::TableSettings;
use crate::model::name::QualifiedName;
use crate::model::profile::Counters;
use crate::model::profile::Profile;
use crate::model::profile::SizeReading;
use crate::model::profile::Table;
use crate::model::profile::TableKind;
use crate::pg::guc;
use crate::pg::threads::on_threads;
use crate::planning::forecast;
use crate::planning::forecast::Declared;
use crate::planning::forecast::ForecastError;
use crate::planning::forecast::Growth;
use crate::planning::forecast::Volume;
use crate::planning::proposal::ProposalError;

/// Settings of sizes are in megabytes.
const MEGABYTE: f64 = 1_048_576.0;

/// What is expected of every table of a profile.
pub fn all(profile: &Profile, horizon_micros: i64) -> Result<BTreeMap<QualifiedName, Growth>, ErrorReport> {
    let outlook = Outlook::read(profile, horizon_micros)?;
    let names: Vec<QualifiedName> = profile.tables.iter().map(Table::name).collect();
    let mut found = outlook.of_all(&profile.tables, |_| None)?;
    if let Some(volume) = guc::settings().data_volume_bytes {
        let own = |name| outlook.settings.get(name).and_then(|settings| own_volume(&settings.values));
        let last = |growth: &Growth| growth.bytes.last().map_or(0.0, |point| point.value);
        let sizes: Vec<(f64, Option<f64>)> =
            names.iter().zip(&found).map(|(name, growth)| (last(growth), own(name))).collect();
        let parts = forecast::divided(volume, &sizes);
        // A table's own declared size goes before its part of this one.
        found = outlook.of_all(&profile.tables, |at| {
            let share = Volume { bytes: parts[at], of_all: Some(volume) };
            sizes[at].1.is_none().then_some(share)
        })?;
    }
    Ok(names.into_iter().zip(found).collect())
}

/// What is expected of one table of a profile.
pub fn of(profile: &Profile, table: &Table, horizon_micros: i64) -> Result<Growth, ErrorReport> {
    // A size of all tables is divided by what each would take.
    if guc::settings().data_volume_bytes.is_some()
        && let Some(growth) = all(profile, horizon_micros)?.remove(&table.name())
    {
        return Ok(growth);
    }
    Ok(Outlook::read(profile, horizon_micros)?.of(table, None)?)
}

/// A table that nobody has seen yet, if somebody has declared what to expect
/// of it.
pub fn declared_only(name: &QualifiedName) -> Result<Option<Table>, ErrorReport> {
    let values = settings::load(name)?;
    let declared = values.get("expected_rows_per_day").is_some() || own_volume(&values).is_some();
    Ok(declared.then(|| Table {
        schema: name.schema.clone(),
        table: name.name.clone(),
        kind: TableKind::Ordinary,
        rows: 0.0,
        heap_bytes: 0.0,
        index_bytes: 0.0,
        toast_bytes: 0.0,
        unlogged: false,
        extension: false,
        inheritance: false,
        partition_key: None,
        row_security: false,
        counters: Counters::default(),
        columns: Vec::new(),
        extended_statistics: Vec::new(),
        constraints: Vec::new(),
        indexes: Vec::new(),
        triggers: Vec::new(),
    }))
}

/// A table's own declared size at the horizon, in bytes; zero takes the
/// forecast.
fn own_volume(values: &Map<String, Value>) -> Option<f64> {
    let megabytes = values.get("predicted_data_volume").and_then(Value::as_f64)?;
    (megabytes > 0.0).then_some(megabytes * MEGABYTE)
}

/// What the forecasts of all tables share, read once.
struct Outlook<'a> {
    settings: BTreeMap<QualifiedName, TableSettings>,
    history: BTreeMap<(&'a str, &'a str), Vec<SizeReading>>,
    captured: i64,
    horizon_micros: i64,
}

impl<'a> Outlook<'a> {
    fn read(profile: &'a Profile, horizon_micros: i64) -> Result<Self, ErrorReport> {
        let mut history: BTreeMap<(&str, &str), Vec<SizeReading>> = BTreeMap::new();
        for reading in &profile.history {
            history.entry((&reading.schema, &reading.table)).or_default().push(reading.clone());
        }
        let captured = profile.captured_micros().unwrap_or(0);
        Ok(Self { settings: settings::all()?, history, captured, horizon_micros })
    }

    /// What is expected of some tables, each with its part of a size of all;
    /// on several threads.
    fn of_all(
        &self,
        tables: &[Table],
        share: impl Fn(usize) -> Option<Volume> + Sync,
    ) -> Result<Vec<Growth>, ErrorReport> {
        let one = |at: usize| self.of(&tables[at], share(at));
        let found: Vec<Option<Result<Growth, ForecastError>>> = on_threads(|stop| {
            (0..tables.len()).into_par_iter().map(|at| (!stop()).then(|| one(at))).collect()
        });
        let interrupted = || ErrorReport::from(ProposalError::Interrupted);
        found.into_iter().map(|one| Ok(one.ok_or_else(interrupted)??)).collect()
    }

    fn of(&self, table: &Table, share: Option<Volume>) -> Result<Growth, ForecastError> {
        let found = self.settings.get(&table.name());
        let value = |key: &str| found.and_then(|found| found.values.get(key)).and_then(Value::as_f64);
        let own = found.and_then(|found| own_volume(&found.values));
        let declared = Declared {
            rows_per_day: value("expected_rows_per_day"),
            since: found.map(|found| found.changed_at),
            volume: own.map(|bytes| Volume { bytes, of_all: None }).or(share),
        };
        let history =
            self.history.get(&(table.schema.as_str(), table.table.as_str())).map_or(&[][..], Vec::as_slice);
        forecast::growth(table, history, self.captured, self.horizon_micros, &declared)
    }
}
