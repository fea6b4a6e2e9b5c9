//! Values of built-in types in text form, without any function of a user's and
//! whatever the session's settings are: ISO dates, UTC.

use std::ffi::CStr;

use pgrx::pg_sys;
use pgrx::pg_sys::BuiltinOid;
use pgrx::varlena;

use crate::model::key::KeyType;
use crate::model::sample::Value;

/// Bytes of a value beyond which it is not looked at: no index takes it.
const VALUE_BYTES_MAX: usize = 2704;

/// Bytes of an array beyond which it is not looked at.
const ARRAY_BYTES_MAX: usize = 65_536;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// 2000-01-01, the server's epoch, in microseconds since 1970.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// The types that values are sampled of: those that a profile lets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Small,
    Integer,
    Big,
    Numeric,
    Date,
    Timestamp,
    TimestampTz,
    Uuid,
    Bool,
    Text,
    PaddedText,
    Enum,
}

impl Kind {
    /// The kind of a type; none if its values are not sampled.
    pub fn of(type_oid: pg_sys::Oid) -> Option<Self> {
        Some(match BuiltinOid::try_from(type_oid) {
            Ok(BuiltinOid::INT2OID) => Self::Small,
            Ok(BuiltinOid::INT4OID) => Self::Integer,
            Ok(BuiltinOid::INT8OID) => Self::Big,
            Ok(BuiltinOid::NUMERICOID) => Self::Numeric,
            Ok(BuiltinOid::DATEOID) => Self::Date,
            Ok(BuiltinOid::TIMESTAMPOID) => Self::Timestamp,
            Ok(BuiltinOid::TIMESTAMPTZOID) => Self::TimestampTz,
            Ok(BuiltinOid::UUIDOID) => Self::Uuid,
            Ok(BuiltinOid::BOOLOID) => Self::Bool,
            Ok(BuiltinOid::TEXTOID | BuiltinOid::VARCHAROID) => Self::Text,
            Ok(BuiltinOid::BPCHAROID) => Self::PaddedText,
            Ok(_) => return None,
            // SAFETY: a look-up in the system cache, which finds nothing for a type that is gone.
            Err(_) if unsafe { pg_sys::get_typtype(type_oid) } as u8 == b'e' => Self::Enum,
            Err(_) => return None,
        })
    }

    pub const fn is_time(self) -> bool {
        matches!(self, Self::Date | Self::Timestamp | Self::TimestampTz)
    }

    pub const fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::PaddedText)
    }

    /// Whether values of the other kind have the same text form.
    pub fn reads(self, other: Self) -> bool {
        let integer = |kind: Self| matches!(kind, Self::Small | Self::Integer | Self::Big);
        self == other || (integer(self) && integer(other)) || (self.is_text() && other.is_text())
    }
}

/// A value that is not null; none if it is out of bounds or lies elsewhere.
///
/// # Safety
/// A value of a type of that kind.
pub unsafe fn read(kind: Kind, datum: pg_sys::Datum) -> Option<Value> {
    let text = match kind {
        Kind::Small => (datum.value() as i16).to_string(),
        Kind::Integer => (datum.value() as i32).to_string(),
        Kind::Big => (datum.value() as i64).to_string(),
        Kind::Bool => if datum.value() as u8 == 0 { "f" } else { "t" }.to_owned(),
        Kind::Date => match datum.value() as i32 {
            i32::MIN => "-infinity".to_owned(),
            i32::MAX => "infinity".to_owned(),
            days => moment(KeyType::Date, i64::from(days).checked_mul(MICROS_PER_DAY)?)?,
        },
        Kind::Timestamp | Kind::TimestampTz => match datum.value() as i64 {
            i64::MIN => "-infinity".to_owned(),
            i64::MAX => "infinity".to_owned(),
            micros => {
                let zoned = kind == Kind::TimestampTz;
                moment(if zoned { KeyType::TimestampTz } else { KeyType::Timestamp }, micros)?
            }
        },
        // SAFETY: a uuid is a pointer to its sixteen bytes.
        Kind::Uuid => uuid(unsafe { *datum.cast_mut_ptr::<[u8; 16]>() }),
        Kind::Text | Kind::PaddedText => {
            // SAFETY: a text, in UTF-8 as the extension wants of the database.
            let text = std::str::from_utf8(unsafe { bytes(datum)? }).ok()?;
            // Spaces at the end do not count in char(n).
            if kind == Kind::PaddedText { text.trim_end_matches(' ') } else { text }.to_owned()
        }
        Kind::Numeric => {
            // SAFETY: a numeric that is whole, which its output function takes.
            let text = unsafe {
                bytes(datum)?;
                output(pg_sys::F_NUMERIC_OUT, datum)
            };
            // Equal numbers have one text.
            if text.contains('.') {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                text
            }
        }
        // SAFETY: a value of an enum.
        Kind::Enum => unsafe { output(pg_sys::F_ENUM_OUT, datum) },
    };
    Some(Value::new(&text))
}

/// Microseconds since the server's epoch as text; before the year 1 the two
/// calendars have other names for a year.
fn moment(key_type: KeyType, micros: i64) -> Option<String> {
    let text = key_type.write_moment(micros.checked_add(EPOCH_MICROS)?)?;
    (!text.starts_with('-') && !text.starts_with("0000")).then_some(text)
}

fn uuid(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// The content of a value of variable length; none if it is compressed, lies
/// elsewhere or is too long.
///
/// # Safety
/// A value of a type of variable length.
unsafe fn bytes<'a>(datum: pg_sys::Datum) -> Option<&'a [u8]> {
    let value = datum.cast_mut_ptr::<pg_sys::varlena>();
    // SAFETY: the header says which of the forms it is, and how long.
    unsafe {
        if varlena::varatt_is_1b_e(value) || varlena::varatt_is_4b_c(value) {
            return None;
        }
        let length = varlena::varsize_any_exhdr(value);
        (length <= VALUE_BYTES_MAX)
            .then(|| std::slice::from_raw_parts(varlena::vardata_any(value).cast::<u8>(), length))
    }
}

/// # Safety
/// The output function of the value's own, built-in type.
unsafe fn output(function: u32, datum: pg_sys::Datum) -> String {
    // SAFETY: as above; the text is copied.
    unsafe {
        let text = pg_sys::OidOutputFunctionCall(function.into(), datum);
        CStr::from_ptr(text).to_string_lossy().into_owned()
    }
}

/// The elements of an array that are not null, and their kind.
///
/// # Safety
/// An array, not null.
pub unsafe fn elements(datum: pg_sys::Datum) -> Option<(Kind, Vec<pg_sys::Datum>)> {
    let value = datum.cast_mut_ptr::<pg_sys::varlena>();
    // SAFETY: an array in memory, or one of the expanded kind, which becomes
    // flat in our own memory; its element type tells how to walk it.
    unsafe {
        let whole = if varlena::varatt_is_1b_e(value) {
            varlena::vartag_is_expanded(u32::from(varlena::vartag_1b_e(value)))
        } else {
            !varlena::varatt_is_4b_c(value)
        };
        if !whole || pg_sys::toast_raw_datum_size(datum) > ARRAY_BYTES_MAX {
            return None;
        }
        let array = pg_sys::pg_detoast_datum(value).cast::<pg_sys::ArrayType>();
        let element = (*array).elemtype;
        let kind = Kind::of(element)?;
        let (mut length, mut by_value, mut alignment) = (0, false, 0);
        pg_sys::get_typlenbyvalalign(element, &mut length, &mut by_value, &mut alignment);
        let (mut datums, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
        pg_sys::deconstruct_array(
            array,
            element,
            i32::from(length),
            by_value,
            alignment,
            &mut datums,
            &mut nulls,
            &mut count,
        );
        let all = (0..usize::try_from(count).unwrap_or(0)).filter(|at| !*nulls.add(*at));
        Some((kind, all.map(|at| *datums.add(at)).collect()))
    }
}
