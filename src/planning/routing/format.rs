//! What a scanner must know of a `COPY`: its options and the key columns.
//!
//! The options are taken as PostgreSQL's `ProcessCopyOptions` has accepted
//! them. Those that do not change where rows and values end (`ON_ERROR`,
//! `FREEZE`, `WHERE` …) are not here.

use crate::model::report::Report;
use crate::model::report::SqlState;

/// `FORMAT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Csv,
    Binary,
}

/// Where the bytes come from. PostgreSQL before 18 reads a file on after a
/// line that ends with `\.`, but not what a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `FROM STDIN`.
    Client,
    /// `FROM 'file'` and `FROM PROGRAM`.
    Server,
}

/// The options of a `COPY … FROM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFormat {
    pub kind: Kind,
    /// Major version of the server: 15, 16, 17, 18.
    pub server_major: u32,
    pub source: Source,
    /// How many columns a row has: of the column list, or of the table without
    /// its generated columns.
    pub columns: usize,
    pub delimiter: u8,
    /// `NULL`.
    pub null: Vec<u8>,
    /// `DEFAULT`, from 16 on.
    pub default_marker: Option<Vec<u8>>,
    /// `HEADER true` and `HEADER match` alike.
    pub header: bool,
    pub quote: u8,
    pub escape: u8,
    /// Encoding of the bytes as `pg_encoding_to_char` names it.
    pub encoding: String,
}

impl CopyFormat {
    /// The defaults of PostgreSQL for a format.
    #[must_use]
    pub fn new(kind: Kind, server_major: u32, columns: usize) -> Self {
        let text = kind == Kind::Text;
        Self {
            kind,
            server_major,
            source: Source::Client,
            columns,
            delimiter: if text { b'\t' } else { b',' },
            null: if text { b"\\N".to_vec() } else { Vec::new() },
            default_marker: None,
            header: false,
            quote: b'"',
            escape: b'"',
            encoding: "UTF8".to_owned(),
        }
    }

    /// Whether a line of CSV that is `\.` ends the data.
    pub(super) fn csv_has_marker(&self) -> bool {
        self.server_major < 18
    }
}

/// A column of the shard key, as the `COPY` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyColumn {
    /// Its place in a row, from 0; none if the column list leaves it out.
    pub field: Option<usize>,
    /// `FORCE_NOT_NULL` holds for it.
    pub force_not_null: bool,
    /// `FORCE_NULL` holds for it.
    pub force_null: bool,
}

impl KeyColumn {
    #[must_use]
    pub fn at(field: usize) -> Self {
        Self { field: Some(field), ..Self::default() }
    }
}

/// Client encodings in which a byte of a longer character may look like ASCII.
const ENCODINGS_WITH_ASCII_BYTES: &[&str] =
    &["SJIS", "BIG5", "GBK", "UHC", "GB18030", "JOHAB", "SHIFT_JIS_2004"];

/// Why the bytes of a `COPY` cannot be scanned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("rows of encoding \"{0}\" cannot be told apart before they are converted")]
    Encoding(String),
    #[error("rows cannot be told apart if a newline or carriage return is the COPY {0}")]
    LineEnd(&'static str),
    #[error("rows cannot be told apart if a backslash is the COPY quote")]
    QuoteIsBackslash,
    #[error("key column {0} is not among the {1} columns of the COPY")]
    Field(usize, usize),
}

impl Report for Refusal {
    fn sqlstate(&self) -> SqlState {
        SqlState::FeatureNotSupported
    }
}

/// Whether the bytes of a `COPY` can be scanned at all.
///
/// # Errors
/// The reason why not.
pub fn check(format: &CopyFormat, keys: &[KeyColumn]) -> Result<(), Refusal> {
    if let Some(field) = keys.iter().filter_map(|key| key.field).find(|field| *field >= format.columns) {
        return Err(Refusal::Field(field, format.columns));
    }
    if format.kind == Kind::Binary {
        return Ok(());
    }
    if ENCODINGS_WITH_ASCII_BYTES.contains(&format.encoding.as_str()) {
        return Err(Refusal::Encoding(format.encoding.clone()));
    }
    let is_line_end = |byte| matches!(byte, b'\n' | b'\r');
    match format.kind {
        Kind::Csv if is_line_end(format.quote) => Err(Refusal::LineEnd("quote")),
        Kind::Csv if is_line_end(format.escape) => Err(Refusal::LineEnd("escape")),
        // PostgreSQL itself then depends on where its buffer ends.
        Kind::Csv if format.quote == b'\\' && format.csv_has_marker() => Err(Refusal::QuoteIsBackslash),
        _ if is_line_end(format.delimiter) => Err(Refusal::LineEnd("delimiter")),
        _ => Ok(()),
    }
}
