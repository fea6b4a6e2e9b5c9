//! Values in text form, read by the server's own input functions alone.

use std::ffi::CStr;

use pgrx::pg_sys;

/// Whether an object comes with the server.
pub fn is_builtin(oid: pg_sys::Oid) -> bool {
    oid.to_u32() < pg_sys::FirstNormalObjectId
}

/// Types whose input looks names up.
const OF_NAMES: [pg_sys::Oid; 11] = [
    pg_sys::REGPROCOID,
    pg_sys::REGPROCEDUREOID,
    pg_sys::REGOPEROID,
    pg_sys::REGOPERATOROID,
    pg_sys::REGCLASSOID,
    pg_sys::REGTYPEOID,
    pg_sys::REGROLEOID,
    pg_sys::REGNAMESPACEOID,
    pg_sys::REGCONFIGOID,
    pg_sys::REGDICTIONARYOID,
    pg_sys::REGCOLLATIONOID,
];

/// Whether values of the type are oids that are written as names.
pub fn is_of_names(of_type: pg_sys::Oid) -> bool {
    OF_NAMES.contains(&of_type)
}

/// How values of a type are read.
pub struct Reading {
    /// The type below all domains.
    pub base: pg_sys::Oid,
    pub array: bool,
    pub length: i16,
    pub by_value: bool,
    pub alignment: std::ffi::c_char,
    input: pg_sys::Oid,
    parameter: pg_sys::Oid,
}

impl Reading {
    /// How values of a type, or of what its domain is based on, are read; none
    /// if foreign code would run. A domain's checks are not looked at.
    pub fn of(of_type: pg_sys::Oid) -> Option<Self> {
        // SAFETY: catalog look-ups of a type that exists.
        unsafe {
            let base = pg_sys::getBaseType(of_type);
            let element = pg_sys::get_element_type(base);
            let array = element != pg_sys::InvalidOid;
            if !is_readable(if array { element } else { base }) {
                return None;
            }
            let (mut input, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
            pg_sys::getTypeInputInfo(base, &mut input, &mut parameter);
            let (mut length, mut by_value, mut alignment) = (0, false, 0);
            pg_sys::get_typlenbyvalalign(base, &mut length, &mut by_value, &mut alignment);
            is_builtin(input).then_some(Self { base, array, length, by_value, alignment, input, parameter })
        }
    }

    /// Reads a value, in the current memory context; raises what the input
    /// function raises.
    pub fn read(&self, text: &CStr) -> pg_sys::Datum {
        // SAFETY: a built-in input function takes a zero-terminated text, which
        // it does not keep or change.
        unsafe { pg_sys::OidInputFunctionCall(self.input, text.as_ptr().cast_mut(), self.parameter, -1) }
    }
}

/// Whether a type that is no array and no domain is the server's own or an
/// enum.
unsafe fn is_readable(of_type: pg_sys::Oid) -> bool {
    // SAFETY: a catalog look-up.
    let kind = unsafe { pg_sys::get_typtype(of_type) } as u8;
    kind == b'e' || (matches!(kind, b'b' | b'r') && is_builtin(of_type) && !is_of_names(of_type))
}
