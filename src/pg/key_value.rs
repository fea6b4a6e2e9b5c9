//! Values of a shard key column as PostgreSQL itself reads, writes and orders
//! them: with the column's type and modifier, as CREATE TABLE … PARTITION OF
//! would, by the default btree operator class, or the one that is given, and the
//! column's collation.
//!
//! Not here: who may ask. Reading a value runs the input function of its type
//! and the checks of a domain; both are run in a subtransaction that is rolled
//! back.

use std::cmp::Ordering;
use std::ffi::CStr;
use std::ffi::CString;

use pgrx::pg_sys;

use crate::pg::context::Caught;
use crate::pg::context::TEXT_FORM;
use crate::pg::context::in_rolled_back_subtransaction;
use crate::pg::context::with_settings;

/// What values of a column are.
#[derive(Debug, Clone, Copy)]
pub struct ValueType {
    pub type_oid: pg_sys::Oid,
    pub modifier: i32,
    /// Invalid where the type has none.
    pub collation: pg_sys::Oid,
    /// The btree operator class that orders them; invalid = the type's default.
    pub class: pg_sys::Oid,
}

/// A value that was read.
#[derive(Debug, Clone)]
pub struct ReadValue {
    /// As the type's output function writes it; none is NULL.
    pub text: Option<String>,
    /// Its place among all that were read; equal values share it.
    pub rank: usize,
}

/// Why values could not be read.
#[derive(Debug, Clone)]
pub enum Unreadable {
    /// The place of the first that is not a value of the column, and what
    /// PostgreSQL says.
    Value(usize, String),
    /// They can be read, but not be compared.
    Order(String),
    /// The type has no default btree operator class.
    NoOrder,
}

/// `BTORDER_PROC` of the server's `nbtree.h`.
const COMPARE: pg_sys::int16 = 1;

/// The type that a text names, with its modifier: `numeric(10,2)`.
pub fn type_named(text: &str) -> Option<(pg_sys::Oid, i32)> {
    let text = CString::new(text).ok()?;
    in_rolled_back_subtransaction(|| {
        let (mut type_oid, mut modifier) = (pg_sys::InvalidOid, -1_i32);
        // SAFETY: parses a zero-terminated text and looks the type up; errors
        // end the subtransaction. The last argument is "not missing_ok" or "no
        // error context".
        unsafe {
            #[cfg(feature = "pg15")]
            pg_sys::parseTypeString(text.as_ptr(), &raw mut type_oid, &raw mut modifier, false);
            #[cfg(not(feature = "pg15"))]
            pg_sys::parseTypeString(
                text.as_ptr(),
                &raw mut type_oid,
                &raw mut modifier,
                std::ptr::null_mut(),
            );
        }
        (type_oid, modifier)
    })
    .ok()
}

/// Reads values of a column, in their order.
pub fn read(of: ValueType, values: &[Option<&str>]) -> Result<Vec<ReadValue>, Unreadable> {
    with_settings(&TEXT_FORM, || match in_rolled_back_subtransaction(|| read_all(of, values)) {
        Ok(read) => read,
        Err(caught) => Err(first_wrong(of, values, &caught)),
    })
}

/// Which value it was that failed; none means that comparing them did.
fn first_wrong(of: ValueType, values: &[Option<&str>], caught: &Caught) -> Unreadable {
    // Halving finds it in a few readings.
    let fails = |upto: usize| in_rolled_back_subtransaction(|| Input::of(of).read(&values[..upto])).err();
    let Some(mut last) = fails(values.len()) else { return Unreadable::Order(caught.message.clone()) };
    let (mut good, mut bad) = (0, values.len());
    while bad - good > 1 {
        pgrx::check_for_interrupts!();
        let middle = good + (bad - good) / 2;
        match fails(middle) {
            Some(caught) => (bad, last) = (middle, caught),
            None => good = middle,
        }
    }
    Unreadable::Value(good, last.message)
}

fn read_all(of: ValueType, values: &[Option<&str>]) -> Result<Vec<ReadValue>, Unreadable> {
    let Some(mut order) = Order::of(of) else { return Err(Unreadable::NoOrder) };
    let input = Input::of(of);
    let datums = input.read(values);
    let mut places: Vec<usize> = (0..datums.len()).collect();
    // NULL has no place in the order; it is equal to itself only.
    let mut compare = |a: usize, b: usize| match (datums[a], datums[b]) {
        (Some(a), Some(b)) => order.compare(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    };
    places.sort_by(|a, b| compare(*a, *b));
    let mut ranks = vec![0; datums.len()];
    for pair in places.windows(2) {
        let step = usize::from(compare(pair[0], pair[1]) != Ordering::Equal);
        ranks[pair[1]] = ranks[pair[0]] + step;
    }
    let texts = datums.iter().map(|datum| datum.map(|datum| input.write(datum)));
    Ok(texts.zip(ranks).map(|(text, rank)| ReadValue { text, rank }).collect())
}

/// Input and output of a type. Only in a subtransaction.
struct Input {
    of: ValueType,
    input: pg_sys::FmgrInfo,
    parameter: pg_sys::Oid,
    output: pg_sys::Oid,
}

impl Input {
    fn of(of: ValueType) -> Self {
        let mut found = Self {
            of,
            input: pg_sys::FmgrInfo::default(),
            parameter: pg_sys::InvalidOid,
            output: pg_sys::InvalidOid,
        };
        let mut function = pg_sys::InvalidOid;
        let mut varlena = false;
        // SAFETY: catalog look-ups; errors end the subtransaction, at whose
        // end all memory that is taken from here on is given back.
        unsafe {
            pg_sys::MemoryContextSwitchTo(pg_sys::CurTransactionContext);
            pg_sys::getTypeInputInfo(of.type_oid, &raw mut function, &raw mut found.parameter);
            pg_sys::fmgr_info(function, &raw mut found.input);
            pg_sys::getTypeOutputInfo(of.type_oid, &raw mut found.output, &raw mut varlena);
        }
        found
    }

    /// Also NULL is read, which a domain may refuse.
    fn read(&self, values: &[Option<&str>]) -> Vec<Option<pg_sys::Datum>> {
        let mut input = self.input;
        let mut datums = Vec::with_capacity(values.len());
        for value in values {
            pgrx::check_for_interrupts!();
            let text = value.map(|value| CString::new(value).unwrap_or_default());
            let pointer = text.as_ref().map_or(std::ptr::null_mut(), |text| text.as_ptr().cast_mut());
            // SAFETY: the type's own input function, called as the parser
            // does; it copies what it keeps.
            let datum = unsafe {
                pg_sys::InputFunctionCall(&raw mut input, pointer, self.parameter, self.of.modifier)
            };
            datums.push(text.map(|_| datum));
        }
        datums
    }

    fn write(&self, datum: pg_sys::Datum) -> String {
        // SAFETY: a value that `read` made, written by its own type's output
        // function; the text is copied.
        unsafe {
            let text = pg_sys::OidOutputFunctionCall(self.output, datum);
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    }
}

/// The order of a key column, as a partition key has it.
struct Order {
    compare: pg_sys::FmgrInfo,
    collation: pg_sys::Oid,
}

impl Order {
    /// None if the type has no order.
    fn of(of: ValueType) -> Option<Self> {
        let mut found = Self { compare: pg_sys::FmgrInfo::default(), collation: of.collation };
        // SAFETY: catalog look-ups, as in `RelationBuildPartitionKey`.
        unsafe {
            pg_sys::MemoryContextSwitchTo(pg_sys::CurTransactionContext);
            let class = match of.class {
                pg_sys::InvalidOid => pg_sys::GetDefaultOpClass(of.type_oid, pg_sys::BTREE_AM_OID),
                class => class,
            };
            if class == pg_sys::InvalidOid {
                return None;
            }
            let family = pg_sys::get_opclass_family(class);
            let input = pg_sys::get_opclass_input_type(class);
            let function = pg_sys::get_opfamily_proc(family, input, input, COMPARE);
            if function == pg_sys::InvalidOid {
                return None;
            }
            pg_sys::fmgr_info(function, &raw mut found.compare);
        }
        Some(found)
    }

    fn compare(&mut self, a: pg_sys::Datum, b: pg_sys::Datum) -> Ordering {
        // SAFETY: values of the type that the function is for.
        let found = unsafe { pg_sys::FunctionCall2Coll(&raw mut self.compare, self.collation, a, b) };
        (found.value() as i32).cmp(&0)
    }
}
