//! Text in other encodings.

use pgrx::pg_sys;

use crate::pg::context::in_subtransaction;

/// An encoding of the server, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding(i32);

impl Encoding {
    pub const UTF8: Self = Self(pg_sys::pg_enc::PG_UTF8 as i32);

    /// By the number that `pg_char_to_encoding()` gives; none if there is none.
    #[must_use]
    pub fn new(number: i32) -> Option<Self> {
        (number >= 0).then_some(Self(number))
    }

    /// Whether bytes of ASCII may be parts of other characters: such
    /// encodings are of clients alone.
    #[must_use]
    pub const fn hides_ascii(self) -> bool {
        self.0 >= pg_sys::pg_enc::PG_SJIS as i32
    }

    /// Whether a text needs no conversion: what is not known to be anything
    /// else must be UTF-8.
    #[must_use]
    pub const fn is_plain(self) -> bool {
        self.0 == Self::UTF8.0 || self.0 == pg_sys::pg_enc::PG_SQL_ASCII as i32
    }

    /// Text in this encoding; none if it is not valid in it.
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> Option<String> {
        if self.is_plain() || bytes.is_ascii() {
            return std::str::from_utf8(bytes).ok().map(str::to_owned);
        }
        let length = i32::try_from(bytes.len()).ok()?;
        let mut source = bytes.to_vec();
        source.push(0);
        let converted = in_subtransaction(|| {
            // SAFETY: the source has its length and a zero behind it; the
            // result is zero-terminated, or the source itself.
            unsafe {
                let text =
                    pg_sys::pg_do_encoding_conversion(source.as_mut_ptr(), length, self.0, Self::UTF8.0);
                let converted = std::ffi::CStr::from_ptr(text.cast()).to_bytes().to_vec();
                if text != source.as_mut_ptr() {
                    pg_sys::pfree(text.cast());
                }
                converted
            }
        });
        String::from_utf8(converted.ok()?).ok()
    }
}

/// Whether the database holds UTF-8, as everything that is read here.
#[must_use]
pub fn database_is_utf8() -> bool {
    // SAFETY: reads a setting of the backend.
    unsafe { pg_sys::GetDatabaseEncoding() == Encoding::UTF8.0 }
}

/// The name of an encoding by its number; empty if there is none.
#[must_use]
pub fn name(number: i32) -> String {
    // SAFETY: the function reads an integer and returns a name of the server's memory.
    unsafe {
        let number = pg_sys::Datum::from(number);
        let name = pgrx::direct_function_call_as_datum(pg_sys::PG_encoding_to_char, &[Some(number)]);
        name.map_or_else(String::new, |name| {
            std::ffi::CStr::from_ptr(name.cast_mut_ptr()).to_string_lossy().into_owned()
        })
    }
}
