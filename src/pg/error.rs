//! Reports of the lower floors as PostgreSQL errors: the only place that
//! builds an `ErrorReport`.
//!
//! A room that returns its own error types to SQL lists them once with
//! [`reports!`]; `?` does the rest.

use pgrx::PgSqlErrorCode;
use pgrx::pg_sys::panic::ErrorReport;

use crate::model::report::Report;
use crate::model::report::SqlState;
use crate::pg::context::Caught;

/// A report in the server's own form.
pub fn report(error: &dyn Report) -> ErrorReport {
    new(error.sqlstate(), error.to_string(), error.detail(), error.hint())
}

/// An error that has no type of its own because only one place raises it.
pub fn new(
    sqlstate: SqlState,
    message: impl Into<String>,
    detail: Option<String>,
    hint: Option<String>,
) -> ErrorReport {
    let mut built = ErrorReport::new(code(sqlstate), message.into(), "pg_presplit");
    if let Some(detail) = detail {
        built = built.set_detail(detail);
    }
    if let Some(hint) = hint {
        built = built.set_hint(hint);
    }
    built
}

/// What the system says of a failure, as the server would show it: without the number.
pub fn of_system(cause: &std::io::Error) -> String {
    let text = cause.to_string();
    match text.rfind(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// An error that was caught, for the caller to raise again.
pub fn again(caught: &Caught) -> ErrorReport {
    // Six bits a character, the first lowest.
    let code =
        caught.sqlstate.bytes().rev().fold(0_i32, |code, byte| (code << 6) | i32::from((byte - b'0') & 0x3f));
    ErrorReport::new(PgSqlErrorCode::from(code), caught.message.clone(), "pg_presplit")
}

/// The five characters of an error's SQLSTATE.
#[must_use]
pub fn sqlstate(code: PgSqlErrorCode) -> String {
    // Six bits a character, the first lowest.
    let code = code as i32;
    (0..5).map(|at| char::from((((code >> (6 * at)) & 0x3f) as u8) + b'0')).collect()
}

/// Tells the client something that is no failure.
pub fn notice(message: String, hint: String) {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, message, "pg_presplit")
        .set_hint(hint)
        .report(pgrx::PgLogLevel::NOTICE);
}

/// Tells the client of something that failed without harm to the rest.
pub fn warning(message: String, detail: String, hint: String) {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message, "pg_presplit")
        .set_detail(detail)
        .set_hint(hint)
        .report(pgrx::PgLogLevel::WARNING);
}

/// Ends the transaction with the report, where a function cannot return it
/// (a hook).
pub fn raise(error: ErrorReport) -> ! {
    use pgrx::pg_sys::panic::ErrorReportable;
    let failed: Result<std::convert::Infallible, ErrorReport> = Err(error);
    match failed.unwrap_or_report() {}
}

/// The server's own name of a SQLSTATE.
#[must_use]
pub const fn code(state: SqlState) -> PgSqlErrorCode {
    match state {
        SqlState::FeatureNotSupported => PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        SqlState::NullValueNotAllowed => PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED,
        SqlState::InvalidParameterValue => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        SqlState::ConnectionFailure => PgSqlErrorCode::ERRCODE_CONNECTION_FAILURE,
        SqlState::ProtocolViolation => PgSqlErrorCode::ERRCODE_PROTOCOL_VIOLATION,
        SqlState::SystemError => PgSqlErrorCode::ERRCODE_SYSTEM_ERROR,
        SqlState::BadCopyFileFormat => PgSqlErrorCode::ERRCODE_BAD_COPY_FILE_FORMAT,
        SqlState::InvalidJsonText => PgSqlErrorCode::ERRCODE_INVALID_JSON_TEXT,
        SqlState::ActiveSqlTransaction => PgSqlErrorCode::ERRCODE_ACTIVE_SQL_TRANSACTION,
        SqlState::ReadOnlySqlTransaction => PgSqlErrorCode::ERRCODE_READ_ONLY_SQL_TRANSACTION,
        SqlState::InvalidSchemaName => PgSqlErrorCode::ERRCODE_INVALID_SCHEMA_NAME,
        SqlState::SerializationFailure => PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE,
        SqlState::InsufficientPrivilege => PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
        SqlState::SyntaxError => PgSqlErrorCode::ERRCODE_SYNTAX_ERROR,
        SqlState::InvalidName => PgSqlErrorCode::ERRCODE_INVALID_NAME,
        SqlState::UndefinedColumn => PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN,
        SqlState::UndefinedObject => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
        SqlState::WrongObjectType => PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
        SqlState::UndefinedTable => PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
        SqlState::InvalidObjectDefinition => PgSqlErrorCode::ERRCODE_INVALID_OBJECT_DEFINITION,
        SqlState::ProgramLimitExceeded => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        SqlState::ObjectInUse => PgSqlErrorCode::ERRCODE_OBJECT_IN_USE,
        SqlState::ObjectNotInPrerequisiteState => PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        SqlState::QueryCanceled => PgSqlErrorCode::ERRCODE_QUERY_CANCELED,
        SqlState::IoError => PgSqlErrorCode::ERRCODE_IO_ERROR,
        SqlState::ExternalRoutineException => PgSqlErrorCode::ERRCODE_EXTERNAL_ROUTINE_EXCEPTION,
        SqlState::DataCorrupted => PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
    }
}

/// Makes errors come without a backtrace of ours, whatever the server's
/// environment says: the details of an error are for the client. Called once,
/// from `_PG_init`.
pub fn without_backtraces() {
    const VARIABLE: &str = "RUST_LIB_BACKTRACE";
    let before = std::env::var_os(VARIABLE);
    // SAFETY: a server process has one thread when it loads a library. The
    // standard library asks once and remembers; other libraries have their own.
    unsafe {
        std::env::set_var(VARIABLE, "0");
        let _ = std::backtrace::Backtrace::capture();
        match before {
            Some(value) => std::env::set_var(VARIABLE, value),
            None => std::env::remove_var(VARIABLE),
        }
    }
}

/// Lets `?` turn these error types into `ErrorReport`.
macro_rules! reports {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$error> for pgrx::pg_sys::panic::ErrorReport {
            fn from(error: $error) -> Self {
                $crate::pg::error::report(&error)
            }
        }
    )+};
}
pub(crate) use reports;

reports!(
    crate::model::name::NameError,
    crate::model::profile::ProfileError,
    crate::model::layout::LayoutError
);
