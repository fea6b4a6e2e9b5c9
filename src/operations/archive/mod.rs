//! Dump files on the server: their schema as SQL text, or all they hold.
//!
//! Custom, directory and tar archives are read by the `pg_restore` of the
//! server's own bin directory, without a shell; plain dumps are read directly.
//!
//! Here: the schema, for `check_restore`. Bounded: one of more than
//! [`SCHEMA_BYTES_MAX`] is an error, not a full memory.

pub mod file;
pub mod program;

use std::io::BufRead;
use std::io::BufReader;

use memchr::memchr_iter;
use pgrx::pg_sys::panic::ErrorReport;

use crate::model::report::SqlState;
use crate::operations::archive::file::Dump;
use crate::operations::archive::program::Program;
use crate::pg::error;
use crate::planning::backup::quotes::Quotes;

/// Longest schema text that is read.
const SCHEMA_BYTES_MAX: usize = 256 << 20;

/// Longest line, which may be one of data: PostgreSQL writes rows of up to a gigabyte.
const LINE_BYTES_MAX: usize = 1 << 30;

/// What to do where a dump cannot be read here.
const INSTEAD: &str = "Pass the output of pg_restore -s as schema_sql instead.";

/// The schema of the dump at `path`: what `pg_restore -s` would run.
///
/// # Errors
/// 42501 without the rights that core wants for server files and programs;
/// 58030 if the file cannot be read or is not a dump.
pub fn schema_of(path: &str) -> Result<String, ErrorReport> {
    let file = match file::open(path, INSTEAD)? {
        Dump::Archive => {
            let lines = BufReader::new(Program::start(path, &["--schema-only"], INSTEAD)?);
            return ddl_of(lines, path, false);
        }
        Dump::Plain(file) => file,
    };
    let text = ddl_of(BufReader::new(file), path, true)?;
    if !text.contains("PostgreSQL database dump") {
        return Err(file::not_a_dump(path));
    }
    Ok(text)
}

/// The schema in SQL text given by hand: the output of `pg_restore -s`.
///
/// # Errors
/// As [`schema_of`] for text that is too long.
pub fn schema_in(text: &str) -> Result<String, ErrorReport> {
    ddl_of(text.as_bytes(), "schema_sql", true)
}

/// The statements of a dump without psql's own commands and, of a plain dump,
/// without its data.
///
/// # Errors
/// 58030 if the reader fails, 54000 if the schema is too long.
fn ddl_of(mut reader: impl BufRead, name: &str, with_data: bool) -> Result<String, ErrorReport> {
    let mut text = String::new();
    let mut in_data = false;
    let mut insert = InsertScan::default();
    let mut quotes = Quotes::default();
    let mut line = Vec::new();
    while next_line(&mut reader, &mut line, name)? {
        if in_data {
            in_data = line != b"\\.";
            continue;
        }
        if quotes.in_sql() {
            if (with_data && insert.skips(&line)) || is_for_psql(&line) {
                continue;
            }
            if with_data && line.starts_with(b"COPY ") && line.trim_ascii_end().ends_with(b"FROM stdin;") {
                in_data = true;
                continue;
            }
        }
        quotes.line(&line);
        let line = String::from_utf8_lossy(&line);
        if text.len() + line.len() > SCHEMA_BYTES_MAX {
            return Err(too_long(name));
        }
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

/// The commands to psql itself that `pg_dump` writes.
fn is_for_psql(line: &[u8]) -> bool {
    [&b"\\restrict "[..], b"\\unrestrict ", b"\\connect "].iter().any(|command| line.starts_with(command))
}

fn too_long(name: &str) -> ErrorReport {
    error::new(
        SqlState::ProgramLimitExceeded,
        format!("schema in \"{name}\" is too long"),
        Some(format!("The limit is {SCHEMA_BYTES_MAX} bytes.")),
        None,
    )
}

/// Reads the next line, without its end; false if there is none. Interrupts
/// are looked for within a line too: one of a dump's data may be a gigabyte.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>, name: &str) -> Result<bool, ErrorReport> {
    line.clear();
    let mut any = false;
    loop {
        pgrx::check_for_interrupts!();
        let part = reader.fill_buf().map_err(|cause| {
            error::new(SqlState::IoError, format!("could not read \"{name}\": {cause}"), None, None)
        })?;
        if part.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = part.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&part[..end.unwrap_or(part.len())]);
        let used = end.map_or(part.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(true);
        }
        if line.len() > LINE_BYTES_MAX {
            return Err(too_long(name));
        }
    }
}

/// Skips `INSERT` statements of a dump, whose strings may span lines.
#[derive(Default)]
struct InsertScan {
    inside: bool,
    quoted: bool,
}

impl InsertScan {
    fn skips(&mut self, line: &[u8]) -> bool {
        if !self.inside {
            if !line.starts_with(b"INSERT INTO ") {
                return false;
            }
            self.inside = true;
            self.quoted = false;
        }
        self.quoted ^= memchr_iter(b'\'', line).count() % 2 == 1;
        self.inside = self.quoted || line.last() != Some(&b';');
        true
    }
}
