//! Workloads taken in: declared by hand, or read from a server log.
//!
//! A log is read as a stream, in pieces, up to the length that it has when it
//! is opened; a server that goes on writing it does not keep the reader busy.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use pgrx::pg_sys::panic::ErrorReport;
use serde_json::Value;

use crate::catalog::arming::current_user;
use crate::catalog::declared;
use crate::catalog::profiles;
use crate::model::profile::FORMAT;
use crate::model::profile::Profile;
use crate::model::profile::VERSION;
use crate::model::report::SqlState;
use crate::operations::rights::check_role;
use crate::pg::context::with_pinned_search_path;
use crate::pg::error;
use crate::pg::guc;
use crate::pg::parse;
use crate::pg::parse::NoQuery;
use crate::pg::server;
use crate::pg::spi;
use crate::planning::workload::declared as planned;
use crate::planning::workload::declared::DeclaredError;
use crate::planning::workload::log::Format;
use crate::planning::workload::log::LogReader;

/// Bytes that are read at once.
const PIECE_BYTES: usize = 256 << 10;

/// Bytes without a single record after which a file is no log; more than the
/// longest record.
const STRANGE_BYTES_MAX: u64 = 64 << 20;

/// Stores statements with their rates under the name of a profile; returns
/// how many there are.
///
/// # Errors
/// For the first statement that is not one query by PostgreSQL's grammar.
pub fn declare(statements: Value, name: &str) -> Result<usize, ErrorReport> {
    let user = current_user()?;
    profiles::check_name(name, &user)?;
    let all = planned::read(&statements)?;
    for (at, one) in all.iter().enumerate() {
        pgrx::check_for_interrupts!();
        let position = at + 1;
        parse::one_query(&one.sql).map_err(|no| match no {
            NoQuery::Syntax { message, at } => DeclaredError::Syntax { position, message, at },
            NoQuery::Other(what) => DeclaredError::NotAQuery(position, what),
        })?;
    }
    declared::store(name, &statements, &user)?;
    Ok(all.len())
}

/// Reads the statements of this database from a server log and stores them as
/// a profile without tables; returns how many executions there were.
///
/// # Errors
/// 42501 without the rights that core wants; 58030 if the file cannot be read
/// or is no log; 55000 if the name is that of a profile with tables.
pub fn import_log(path: &str, format: &str, name: &str) -> Result<u64, ErrorReport> {
    check_role("pg_read_server_files", "read files of the server", None)?;
    check_not_standby()?;
    let user = current_user()?;
    profiles::check_name(name, &user)?;
    let format = format_of(format)?;
    if profiles::has_tables(name)? {
        return Err(error::new(
            SqlState::ObjectNotInPrerequisiteState,
            format!("profile \"{name}\" has tables"),
            Some("A log would replace them with its statements alone.".to_owned()),
            Some("Choose another name.".to_owned()),
        ));
    }
    let server = Server::read()?;
    let log = read(path, format, &server.database)?;
    let executions = log.executions();
    let workload = log.workload();
    if executions == 0 {
        error::notice(
            format!("the log holds no statement of database \"{}\"", server.database),
            "Statements are logged with log_statement or log_min_duration_statement, and read with lc_messages = 'C'."
                .to_owned(),
        );
    }
    let profile = Profile {
        format: FORMAT.to_owned(),
        version: VERSION,
        captured_at: server.now,
        server_version_num: guc::core_text(c"server_version_num").parse().unwrap_or(0),
        database: server.database,
        values_of: Vec::new(),
        hidden_statistics_of: Vec::new(),
        types: Vec::new(),
        collations: Vec::new(),
        functions: Vec::new(),
        operators: Vec::new(),
        tables: Vec::new(),
        views: Vec::new(),
        history: Vec::new(),
        workload,
        live: BTreeMap::new(),
    };
    profiles::store(name, &profile, &user)?;
    Ok(executions)
}

fn format_of(word: &str) -> Result<Format, ErrorReport> {
    Format::of(word).ok_or_else(|| {
        error::new(
            SqlState::InvalidParameterValue,
            format!("log format \"{word}\" is not supported"),
            Some("The formats are csvlog and jsonlog.".to_owned()),
            Some("Add csvlog to log_destination, with logging_collector = on.".to_owned()),
        )
    })
}

/// This server and database, for the head of a profile.
struct Server {
    database: String,
    now: String,
}

impl Server {
    fn read() -> Result<Self, ErrorReport> {
        let column = |sql: &str| with_pinned_search_path(|| spi::one::<String>(sql, &[]));
        Ok(Self {
            database: column("SELECT current_database()::text")?.unwrap_or_default(),
            now: column(
                "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
            )?
            .unwrap_or_default(),
        })
    }
}

fn read(path: &str, format: Format, database: &str) -> Result<LogReader, ErrorReport> {
    let failed = |cause: std::io::Error| {
        error::new(
            SqlState::IoError,
            format!("could not read file \"{path}\": {}", error::of_system(&cause)),
            None,
            None,
        )
    };
    // A pipe would keep the open waiting for its writer.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() {
        return Err(error::new(
            SqlState::IoError,
            format!("\"{path}\" is not a regular file"),
            None,
            Some("Name a file of the server log, not its folder.".to_owned()),
        ));
    }
    let mut file = file.take(meta.len());
    let mut log = LogReader::new(format, database);
    let check = || {
        pgrx::check_for_interrupts!();
    };
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        check();
        let read = match file.read(&mut piece) {
            Ok(read) => read,
            Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(cause) => return Err(failed(cause)),
        };
        if read == 0 {
            break;
        }
        bytes += read as u64;
        log.feed(&piece[..read], &check);
        if log.records() == 0 && bytes > STRANGE_BYTES_MAX {
            return Err(no_log(path, format));
        }
    }
    log.finish(&check);
    if log.records() == 0 && bytes > 0 {
        return Err(no_log(path, format));
    }
    Ok(log)
}

fn no_log(path: &str, format: Format) -> ErrorReport {
    error::new(
        SqlState::IoError,
        format!("file \"{path}\" is not a {}", format.word()),
        Some("No record of such a log was found in it.".to_owned()),
        Some("Name an uncompressed file that the server wrote in this format.".to_owned()),
    )
}

fn check_not_standby() -> Result<(), ErrorReport> {
    if server::in_recovery() {
        return Err(error::new(
            SqlState::ReadOnlySqlTransaction,
            "pg_presplit cannot change anything during recovery",
            None,
            Some("Connect to the primary server, or promote this one.".to_owned()),
        ));
    }
    Ok(())
}
