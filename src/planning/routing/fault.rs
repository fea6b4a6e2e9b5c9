//! What ends a scan: errors of PostgreSQL that a row given to it alone would
//! not raise.
//!
//! Messages, hints and SQLSTATEs are PostgreSQL's own.

use crate::model::report::Report;
use crate::model::report::SqlState;

/// The longest row, line end included, that PostgreSQL holds in memory.
pub const ROW_BYTES_MAX: usize = 0x3fff_ffff - 1;

/// An error and where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct Fault {
    pub kind: FaultKind,
    /// As PostgreSQL counts lines; rows of a binary input.
    pub line: u64,
    /// The column of a binary row, from 0.
    pub field: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    #[error("literal carriage return found in data")]
    LiteralReturn,
    #[error("literal newline found in data")]
    LiteralNewline,
    #[error("unquoted carriage return found in data")]
    UnquotedReturn,
    #[error("unquoted newline found in data")]
    UnquotedNewline,
    /// Until 17.
    #[error("end-of-copy marker corrupt")]
    MarkerCorrupt,
    /// Since 18.
    #[error("end-of-copy marker is not alone on its line")]
    MarkerNotAlone,
    #[error("end-of-copy marker does not match previous newline style")]
    MarkerStyle,
    #[error("COPY file signature not recognized")]
    Signature,
    #[error("invalid COPY file header (missing flags)")]
    HeaderFlags,
    #[error("invalid COPY file header (WITH OIDS)")]
    HeaderOids,
    #[error("unrecognized critical flags in COPY file header")]
    HeaderCritical,
    #[error("invalid COPY file header (missing length)")]
    HeaderLength,
    #[error("invalid COPY file header (wrong length)")]
    HeaderExtension,
    #[error("row field count is {count}, expected {expected}")]
    FieldCount { count: i16, expected: usize },
    #[error("unexpected EOF in COPY data")]
    UnexpectedEnd,
    #[error("invalid field size")]
    FieldSize,
    #[error("received copy data after EOF marker")]
    DataAfterEnd,
    #[error("row is longer than the maximum of {0} bytes")]
    RowTooLong(usize),
}

impl Report for Fault {
    fn sqlstate(&self) -> SqlState {
        match self.kind {
            FaultKind::RowTooLong(_) => SqlState::ProgramLimitExceeded,
            _ => SqlState::BadCopyFileFormat,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self.kind {
            FaultKind::LiteralReturn => "Use \"\\r\" to represent carriage return.",
            FaultKind::LiteralNewline => "Use \"\\n\" to represent newline.",
            FaultKind::UnquotedReturn => "Use quoted CSV field to represent carriage return.",
            FaultKind::UnquotedNewline => "Use quoted CSV field to represent newline.",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
