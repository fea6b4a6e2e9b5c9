//! Rows of `pg_statistic` that exist in memory alone.
//!
//! Only values of types that the server reads itself are put in; of others
//! the planner learns the share of nulls, the width and the distinct values.

use std::ffi::CString;

use pgrx::IntoDatum;
use pgrx::pg_sys;

use crate::model::what_if::SupposedColumn;
use crate::pg::context;
use crate::pg::what_if::value;
use crate::pg::what_if::value::Reading;

/// Attributes of `pg_statistic`.
const ATTRIBUTES: usize = pg_sys::Anum_pg_statistic_stavalues5 as usize;

/// `STATISTIC_KIND_MCV` and its fellows.
const COMMON: i16 = 1;
const HISTOGRAM: i16 = 2;
const CORRELATION: i16 = 3;

/// Most values of one kind; ANALYZE finds no more.
const VALUES_MAX: usize = 10_000;

/// The description of rows of `pg_statistic`.
pub struct Shape(pg_sys::TupleDesc);

impl Shape {
    /// A copy in the current memory context.
    pub fn of_statistics() -> Self {
        // SAFETY: a catalog under ACCESS SHARE, closed before return.
        unsafe {
            let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
            let relation = pg_sys::table_open(pg_sys::StatisticRelationId, lock);
            let copy = pg_sys::CreateTupleDescCopy((*relation).rd_att);
            pg_sys::table_close(relation, lock);
            Self(copy)
        }
    }
}

/// One kind of statistics of a column.
struct Slot {
    kind: i16,
    operator: pg_sys::Oid,
    numbers: Option<Vec<f32>>,
    values: Option<pg_sys::Datum>,
}

/// The row of a column, in the current memory context. Values that cannot be
/// read are left out.
pub fn form(shape: &Shape, oid: pg_sys::Oid, attribute: i16, column: &SupposedColumn) -> pg_sys::HeapTuple {
    let (mut of_type, mut modifier, mut collation) = (pg_sys::InvalidOid, -1, pg_sys::InvalidOid);
    // SAFETY: a catalog look-up of a column that exists.
    unsafe { pg_sys::get_atttypetypmodcoll(oid, attribute, &mut of_type, &mut modifier, &mut collation) };
    let slots = Reading::of(of_type).filter(|reading| !reading.array).map_or_else(Vec::new, |reading| {
        // Text of an imported profile may be anything.
        context::in_subtransaction(|| slots(&reading, column)).unwrap_or_default()
    });
    let statistics = &column.statistics;
    let mut row = Row::new();
    row.set(pg_sys::Anum_pg_statistic_starelid, pg_sys::Datum::from(oid));
    row.set(pg_sys::Anum_pg_statistic_staattnum, pg_sys::Datum::from(attribute));
    row.set(pg_sys::Anum_pg_statistic_stainherit, pg_sys::Datum::from(false));
    row.float(pg_sys::Anum_pg_statistic_stanullfrac, statistics.null_fraction.clamp(0.0, 1.0) as f32);
    row.set(pg_sys::Anum_pg_statistic_stawidth, pg_sys::Datum::from(statistics.width.max(1.0) as i32));
    row.float(pg_sys::Anum_pg_statistic_stadistinct, column.distinct as f32);
    let empty = Slot { kind: 0, operator: pg_sys::InvalidOid, numbers: None, values: None };
    let empties = std::iter::repeat_with(|| &empty);
    for (at, slot) in (0..5).zip(slots.iter().chain(empties)) {
        row.set(pg_sys::Anum_pg_statistic_stakind1 + at, pg_sys::Datum::from(slot.kind));
        row.set(pg_sys::Anum_pg_statistic_staop1 + at, pg_sys::Datum::from(slot.operator));
        let of = if slot.kind == 0 { pg_sys::InvalidOid } else { collation };
        row.set(pg_sys::Anum_pg_statistic_stacoll1 + at, pg_sys::Datum::from(of));
        if let Some(numbers) = slot.numbers.clone().and_then(IntoDatum::into_datum) {
            row.set(pg_sys::Anum_pg_statistic_stanumbers1 + at, numbers);
        }
        if let Some(values) = slot.values {
            row.set(pg_sys::Anum_pg_statistic_stavalues1 + at, values);
        }
    }
    row.form(shape)
}

/// The kinds of statistics of a column, whose values are read.
fn slots(reading: &Reading, column: &SupposedColumn) -> Vec<Slot> {
    let statistics = &column.statistics;
    let (mut less, mut equal) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
    let mut hashable = false;
    // SAFETY: a look-up of the default operators of a type; none are needed.
    unsafe {
        pg_sys::get_sort_group_operators(
            reading.base,
            false,
            false,
            false,
            &mut less,
            &mut equal,
            std::ptr::null_mut(),
            &mut hashable,
        );
    }
    let mut slots = Vec::new();
    let builtin = |operator: pg_sys::Oid| value::is_builtin(operator) && operator != pg_sys::InvalidOid;
    let common = statistics.common_values.len().min(statistics.common_fractions.len()).min(VALUES_MAX);
    if common > 0 && builtin(equal) {
        slots.push(Slot {
            kind: COMMON,
            operator: equal,
            numbers: Some(statistics.common_fractions[..common].iter().map(|share| *share as f32).collect()),
            values: Some(array(reading, &statistics.common_values[..common])),
        });
    }
    let bounds = statistics.histogram.len().min(VALUES_MAX);
    if bounds > 1 && builtin(less) {
        slots.push(Slot {
            kind: HISTOGRAM,
            operator: less,
            numbers: None,
            values: Some(array(reading, &statistics.histogram[..bounds])),
        });
    }
    if let Some(correlation) = statistics.correlation.filter(|_| builtin(less)) {
        let numbers = Some(vec![correlation as f32]);
        slots.push(Slot { kind: CORRELATION, operator: less, numbers, values: None });
    }
    slots
}

/// An array of values in text form.
fn array(reading: &Reading, texts: &[String]) -> pg_sys::Datum {
    let mut values: Vec<pg_sys::Datum> =
        texts.iter().map(|text| reading.read(&CString::new(text.as_str()).unwrap_or_default())).collect();
    // SAFETY: as many values of that type as are said.
    unsafe {
        let made = pg_sys::construct_array(
            values.as_mut_ptr(),
            i32::try_from(values.len()).unwrap_or(0),
            reading.base,
            i32::from(reading.length),
            reading.by_value,
            reading.alignment,
        );
        pg_sys::Datum::from(made)
    }
}

/// Values of all attributes, null until set.
struct Row {
    values: [pg_sys::Datum; ATTRIBUTES],
    nulls: [bool; ATTRIBUTES],
}

impl Row {
    const fn new() -> Self {
        Self { values: [pg_sys::Datum::null(); ATTRIBUTES], nulls: [true; ATTRIBUTES] }
    }

    fn set(&mut self, attribute: u32, value: pg_sys::Datum) {
        if let Some(at) = (attribute as usize).checked_sub(1).filter(|at| *at < ATTRIBUTES) {
            self.values[at] = value;
            self.nulls[at] = false;
        }
    }

    fn float(&mut self, attribute: u32, value: f32) {
        if let Some(value) = value.into_datum() {
            self.set(attribute, value);
        }
    }

    fn form(mut self, shape: &Shape) -> pg_sys::HeapTuple {
        // SAFETY: as many values and marks as the description has attributes.
        unsafe { pg_sys::heap_form_tuple(shape.0, self.values.as_mut_ptr(), self.nulls.as_mut_ptr()) }
    }
}
