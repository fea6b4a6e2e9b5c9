//! What must hold in a profile whatever it tells, so that later code may rely
//! on it: names are unique and refer to something, lists fit each other, and
//! numbers are in their range.
//!
//! What is merely strange is accepted: a type or a value that does not exist
//! here is noticed where it is used.

use std::collections::BTreeSet;

use crate::model::name::IDENTIFIER_BYTES_MAX;
use crate::model::profile::Constraint;
use crate::model::profile::ConstraintKind;
use crate::model::profile::Counters;
use crate::model::profile::Index;
use crate::model::profile::Profile;
use crate::model::profile::SizeReading;
use crate::model::profile::Table;
use crate::model::profile::Workload;
use crate::model::statistics::ColumnStatistics;
use crate::model::statistics::ExtendedStatistics;

/// No count and no size in bytes is larger: they are 64-bit integers there.
const LARGEST: f64 = 9.3e18;

/// Fractions are 32-bit floats there, each rounded by itself.
const ROUNDING: f64 = 1e-3;

/// What a law says if it is broken; the text completes "the JSON does not
/// have the shape of a profile".
type Broken = String;

/// A profile that obeys all laws, with what older captures left unsaid.
///
/// # Errors
/// What is wrong first, naming the table or statement.
pub(crate) fn checked(mut profile: Profile) -> Result<Profile, Broken> {
    check(&profile)?;
    profile.tables.iter_mut().for_each(complete_keys);
    Ok(profile)
}

impl Constraint {
    /// A key `WITHOUT OVERLAPS`, or a foreign key with `PERIOD`.
    #[must_use]
    pub fn is_temporal(&self) -> bool {
        self.kind != ConstraintKind::Exclusion && self.equal_columns.is_some()
    }
}

/// A unique key whose index is none of a B-tree is temporal: all but its last
/// column are compared with `=`.
fn complete_keys(table: &mut Table) {
    let keys = table.constraints.iter_mut().filter(|found| {
        matches!(found.kind, ConstraintKind::PrimaryKey | ConstraintKind::Unique)
            && found.equal_columns.is_none()
    });
    for key in keys {
        let of_gist = |index: &Index| index.name == key.name && index.method == "gist";
        if table.indexes.iter().any(of_gist) {
            key.equal_columns = key.columns.split_last().map(|(_, equal)| equal.to_vec());
        }
    }
}

fn check(profile: &Profile) -> Result<(), Broken> {
    moment("captured_at", &profile.captured_at)?;
    unique("type", profile.types.iter().map(|user| (&user.schema, &user.name)))?;
    unique("table", profile.tables.iter().map(|table| (&table.schema, &table.table)))?;
    unique("view", profile.views.iter().map(|view| (&view.schema, &view.view)))?;
    for table in &profile.tables {
        check_table(table).map_err(|broken| format!("table {}: {broken}", table.name()))?;
    }
    check_references(profile)?;
    for reading in &profile.history {
        moment("at", &reading.at)?;
        check_reading(reading)?;
    }
    check_workload(&profile.workload)
}

fn check_reading(reading: &SizeReading) -> Result<(), Broken> {
    let known = [reading.inserted, reading.deleted];
    amounts("history", &[reading.rows, reading.bytes, reading.loaded, reading.dropped])?;
    amounts("history", &known.into_iter().flatten().collect::<Vec<_>>())?;
    // Events make a table smaller as well as larger.
    amounts("history", &[reading.event_bytes.abs()])
}

fn moment(field: &str, text: &str) -> Result<(), Broken> {
    match text.parse::<jiff::Timestamp>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("\"{field}\" is not a time: {text:?}")),
    }
}

/// Counts and sizes.
fn amounts(field: &str, values: &[f64]) -> Result<(), Broken> {
    if values.iter().all(|value| (0.0..=LARGEST).contains(value)) {
        Ok(())
    } else {
        Err(format!("a number of \"{field}\" is negative, or larger than any that PostgreSQL counts"))
    }
}

/// A name as PostgreSQL has them.
fn check_name(what: &str, name: &str) -> Result<(), Broken> {
    match name.len() {
        0 => Err(format!("a {what} has an empty name")),
        1..=IDENTIFIER_BYTES_MAX => Ok(()),
        _ => Err(format!("name {name:?} of a {what} has more than {IDENTIFIER_BYTES_MAX} bytes")),
    }
}

/// Each pair of schema and name once.
fn unique<'a>(what: &str, names: impl Iterator<Item = (&'a String, &'a String)>) -> Result<(), Broken> {
    let mut seen = BTreeSet::new();
    for name in names {
        check_name(what, name.0)?;
        check_name(what, name.1)?;
        if !seen.insert(name) {
            return Err(format!("{what} {}.{} is there twice", name.0, name.1));
        }
    }
    Ok(())
}

fn check_table(table: &Table) -> Result<(), Broken> {
    amounts("rows and bytes", &[table.rows, table.heap_bytes, table.index_bytes, table.toast_bytes])?;
    check_counters(&table.counters)?;
    let mut columns = BTreeSet::new();
    for column in &table.columns {
        check_name("column", &column.name)?;
        if !columns.insert(column.name.as_str()) {
            return Err(format!("column {:?} is there twice", column.name));
        }
        if let Some(statistics) = &column.statistics {
            check_statistics(statistics).map_err(|broken| format!("column {:?}: {broken}", column.name))?;
        }
    }
    for statistics in &table.extended_statistics {
        check_extended(statistics, &columns)
            .map_err(|broken| format!("extended statistics {:?}: {broken}", statistics.name))?;
    }
    for constraint in &table.constraints {
        known(&constraint.columns, &columns)
            .and_then(|()| check_constraint(constraint))
            .map_err(|broken| format!("constraint {:?}: {broken}", constraint.name))?;
    }
    for index in &table.indexes {
        known(index.columns.iter().flatten(), &columns)
            .map_err(|broken| format!("index {:?}: {broken}", index.name))?;
    }
    Ok(())
}

/// Column names that must be among those of the table.
fn known<'a>(names: impl IntoIterator<Item = &'a String>, columns: &BTreeSet<&str>) -> Result<(), Broken> {
    match names.into_iter().find(|name| !columns.contains(name.as_str())) {
        Some(name) => Err(format!("there is no column {name:?}")),
        None => Ok(()),
    }
}

fn check_counters(counters: &Counters) -> Result<(), Broken> {
    if let Some(since) = &counters.since {
        moment("since", since)?;
    }
    amounts(
        "counters",
        &[
            counters.inserted,
            counters.updated,
            counters.deleted,
            counters.sequential_scans,
            counters.index_scans,
        ],
    )
}

fn check_statistics(statistics: &ColumnStatistics) -> Result<(), Broken> {
    fractions("null_fraction", &[statistics.null_fraction])?;
    amounts("width", &[statistics.width])?;
    if !(-1.0 - ROUNDING..=LARGEST).contains(&statistics.distinct) {
        return Err("\"distinct\" is neither a count nor a share of rows".to_owned());
    }
    let in_range = |correlation: f64| (-1.0 - ROUNDING..=1.0 + ROUNDING).contains(&correlation);
    if statistics.correlation.is_some_and(|correlation| !in_range(correlation)) {
        return Err("\"correlation\" is not between -1 and 1".to_owned());
    }
    fractions("common_fractions", &statistics.common_fractions)?;
    fits("common_values", statistics.common_values.len(), statistics.common_fractions.len())?;
    fits("common_hashes", statistics.common_hashes.len(), statistics.common_values.len())
}

/// Shares of the same whole.
fn fractions(field: &str, values: &[f64]) -> Result<(), Broken> {
    if values.iter().any(|value| !(0.0..=1.0 + ROUNDING).contains(value)) {
        return Err(format!("a share in \"{field}\" is not between 0 and 1"));
    }
    if values.iter().sum::<f64>() > 1.0 + ROUNDING {
        return Err(format!("the shares in \"{field}\" are more than the whole"));
    }
    Ok(())
}

/// A list that travels whole or not at all.
fn fits(field: &str, found: usize, expected: usize) -> Result<(), Broken> {
    if found == 0 || found == expected {
        Ok(())
    } else {
        Err(format!("\"{field}\" has {found} entries instead of {expected}"))
    }
}

fn check_extended(statistics: &ExtendedStatistics, columns: &BTreeSet<&str>) -> Result<(), Broken> {
    known(&statistics.columns, columns)?;
    for count in &statistics.counts {
        known(&count.columns, columns)?;
        amounts("distinct", &[count.distinct])?;
    }
    for dependency in &statistics.dependencies {
        known(dependency.from.iter().chain([&dependency.to]), columns)?;
        fractions("degree", &[dependency.degree])?;
    }
    fractions("common_fractions", &statistics.common_fractions)?;
    fits("common_values", statistics.common_values.len(), statistics.common_fractions.len())?;
    match statistics.common_values.iter().find(|values| values.len() != statistics.columns.len()) {
        Some(values) => {
            Err(format!("{} values stand for {} columns", values.len(), statistics.columns.len()))
        }
        None => Ok(()),
    }
}

fn check_constraint(constraint: &Constraint) -> Result<(), Broken> {
    match &constraint.references {
        Some(target) if target.columns.len() != constraint.columns.len() => {
            Err(format!("{} columns refer to {} columns", constraint.columns.len(), target.columns.len()))
        }
        _ => Ok(()),
    }
}

/// What a foreign key points at, where that table is in the profile too.
fn check_references(profile: &Profile) -> Result<(), Broken> {
    let tables: std::collections::BTreeMap<_, _> =
        profile.tables.iter().map(|table| ((&table.schema, &table.table), table)).collect();
    for table in &profile.tables {
        for constraint in &table.constraints {
            let Some(target) = &constraint.references else { continue };
            let Some(found) = tables.get(&(&target.schema, &target.table)) else { continue };
            if let Some(name) = target.columns.iter().find(|name| found.column(name).is_none()) {
                return Err(format!(
                    "table {}: constraint {:?} refers to column {name:?}, which {} has not",
                    table.name(),
                    constraint.name,
                    found.name()
                ));
            }
        }
    }
    Ok(())
}

fn check_workload(workload: &Workload) -> Result<(), Broken> {
    // A shorter time is none: moments are counted in microseconds.
    if workload.seconds.is_some_and(|seconds| !(1e-6..=LARGEST).contains(&seconds)) {
        return Err("\"seconds\" is not a duration".to_owned());
    }
    for statement in &workload.statements {
        amounts("statements", &[statement.calls, statement.exec_ms, statement.rows])
            .map_err(|broken| format!("statement {}: {broken}", statement.queryid))?;
    }
    Ok(())
}
