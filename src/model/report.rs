//! How a failure presents itself to a person at a psql prompt.
//!
//! Every error type of the project implements [`Report`]; one file in `pg`
//! turns reports into PostgreSQL errors. There is no default SQLSTATE: every
//! failure states its class.

/// SQLSTATE classes that the project raises, by PostgreSQL's own names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SqlState {
    /// 0A000
    FeatureNotSupported,
    /// 22004
    NullValueNotAllowed,
    /// 22023
    InvalidParameterValue,
    /// 22P04
    BadCopyFileFormat,
    ConnectionFailure,
    ProtocolViolation,
    SystemError,
    /// 22032
    InvalidJsonText,
    /// 25001
    ActiveSqlTransaction,
    /// 25006
    ReadOnlySqlTransaction,
    /// 3F000
    InvalidSchemaName,
    /// 40001
    SerializationFailure,
    /// 42501
    InsufficientPrivilege,
    /// 42601
    SyntaxError,
    /// 42602
    InvalidName,
    /// 42703
    UndefinedColumn,
    /// 42704
    UndefinedObject,
    /// 42809
    WrongObjectType,
    /// 42P01
    UndefinedTable,
    /// 42P17
    InvalidObjectDefinition,
    /// 54000
    ProgramLimitExceeded,
    /// 55006
    ObjectInUse,
    /// 55000
    ObjectNotInPrerequisiteState,
    /// 57014
    QueryCanceled,
    /// 58030
    IoError,
    /// 38000
    ExternalRoutineException,
    /// XX001
    DataCorrupted,
}

impl SqlState {
    /// The five characters of the SQLSTATE.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::FeatureNotSupported => "0A000",
            Self::NullValueNotAllowed => "22004",
            Self::InvalidParameterValue => "22023",
            Self::BadCopyFileFormat => "22P04",
            Self::ConnectionFailure => "08006",
            Self::ProtocolViolation => "08P01",
            Self::SystemError => "58000",
            Self::InvalidJsonText => "22032",
            Self::ActiveSqlTransaction => "25001",
            Self::ReadOnlySqlTransaction => "25006",
            Self::InvalidSchemaName => "3F000",
            Self::SerializationFailure => "40001",
            Self::InsufficientPrivilege => "42501",
            Self::SyntaxError => "42601",
            Self::InvalidName => "42602",
            Self::UndefinedColumn => "42703",
            Self::UndefinedObject => "42704",
            Self::WrongObjectType => "42809",
            Self::UndefinedTable => "42P01",
            Self::InvalidObjectDefinition => "42P17",
            Self::ProgramLimitExceeded => "54000",
            Self::ObjectInUse => "55006",
            Self::ObjectNotInPrerequisiteState => "55000",
            Self::QueryCanceled => "57014",
            Self::IoError => "58030",
            Self::ExternalRoutineException => "38000",
            Self::DataCorrupted => "XX001",
        }
    }
}

/// A failure as PostgreSQL's error style guide wants it.
///
/// `Display` is the message: one line, lower case, no full stop. Detail and
/// hint are full sentences.
pub trait Report: std::error::Error {
    /// The class of the failure.
    fn sqlstate(&self) -> SqlState;
    /// Facts with numbers and units.
    fn detail(&self) -> Option<String> {
        None
    }
    /// What the reader can do, spelled as it is typed.
    fn hint(&self) -> Option<String> {
        None
    }
}
