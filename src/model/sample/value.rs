//! One value in text form, cut to a fixed size.
//!
//! A value longer than that is told from others by the hash of all of it.

use crate::model::sample::ShownValue;

/// Bytes of text that are kept.
pub const BYTES_MAX: usize = 54;

/// A value: its beginning, and the hash of the whole.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Value {
    hash: u64,
    /// Bytes used.
    length: u8,
    cut: bool,
    bytes: [u8; BYTES_MAX],
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.kept() == other.kept()
    }
}

impl Eq for Value {}

impl Value {
    pub const EMPTY: Self = Self { hash: 0, length: 0, cut: false, bytes: [0; BYTES_MAX] };

    #[must_use]
    pub fn new(text: &str) -> Self {
        Self::with_hash(text, hash(text), text.len() > BYTES_MAX)
    }

    fn with_hash(text: &str, hash: u64, cut: bool) -> Self {
        let end = text.floor_char_boundary(BYTES_MAX);
        let mut bytes = [0; BYTES_MAX];
        bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
        Self { hash, length: end as u8, cut, bytes }
    }

    /// The text, or its beginning.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.kept()).unwrap_or_default()
    }

    /// Whether the text is only the beginning.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.cut
    }

    fn kept(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length).min(BYTES_MAX)]
    }

    /// The form to be stored.
    #[must_use]
    pub fn shown(&self) -> ShownValue {
        ShownValue { value: self.text().to_owned(), hash: self.cut.then_some(self.hash) }
    }
}

impl From<&ShownValue> for Value {
    fn from(shown: &ShownValue) -> Self {
        match shown.hash {
            Some(hash) => Self::with_hash(&shown.value, hash, true),
            None => Self::new(&shown.value),
        }
    }
}

/// FNV-1a of 64 bits: the same on every machine and in every release, as it
/// is stored.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}
