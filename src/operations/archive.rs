//! The schema of a dump file on the server, as SQL text.
//!
//! Custom, directory and tar archives are read by the `pg_restore` of the
//! server's own bin directory, without a shell; plain dumps are read directly,
//! their data skipped. Bounded: a schema of more than [`SCHEMA_BYTES_MAX`] is
//! an error, not a full memory.

use std::fs::File;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Seek;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use memchr::memchr_iter;
use pgrx::pg_sys::panic::ErrorReport;

use crate::model::report::SqlState;
use crate::pg::context::with_pinned_search_path;
use crate::pg::error;
use crate::pg::server::bin_directory;
use crate::pg::spi;

/// Longest schema text that is read.
const SCHEMA_BYTES_MAX: usize = 256 << 20;

/// Longest line, which may be one of data: PostgreSQL writes rows of up to a gigabyte.
const LINE_BYTES_MAX: usize = 1 << 30;

/// Time between two looks at the program that reads an archive.
const POLL: Duration = Duration::from_millis(5);

/// The first bytes of a custom-format archive.
const CUSTOM_MAGIC: &[u8] = b"PGDMP";

/// The schema of the dump at `path`: what `pg_restore -s` would run.
///
/// # Errors
/// 42501 without the rights that core wants for server files and programs;
/// 58030 if the file cannot be read or is not a dump.
pub fn schema_of(path: &str) -> Result<String, ErrorReport> {
    check_role("pg_read_server_files", "read files of the server")?;
    let failed = |cause: std::io::Error| {
        error::new(SqlState::IoError, format!("could not read file \"{path}\": {cause}"), None, None)
    };
    let meta = std::fs::metadata(path).map_err(failed)?;
    let archive = if meta.is_dir() {
        std::fs::metadata(Path::new(path).join("toc.dat")).is_ok_and(|toc| toc.is_file())
    } else if meta.is_file() {
        let mut head = Vec::new();
        File::open(path).map_err(failed)?.take(512).read_to_end(&mut head).map_err(failed)?;
        // A tar archive names its first member, the table of contents, first.
        head.starts_with(CUSTOM_MAGIC) || head.starts_with(b"toc.dat")
    } else {
        // A pipe or a device may keep the reader waiting, or never end.
        return Err(error::new(
            SqlState::IoError,
            format!("\"{path}\" is not a regular file"),
            None,
            Some("Name a dump file, or the directory of a dump in directory format.".to_owned()),
        ));
    };
    if archive {
        check_role("pg_execute_server_program", "run programs of the server")?;
        return from_archive(path);
    }
    if meta.is_dir() {
        return Err(error::new(
            SqlState::IoError,
            format!("directory \"{path}\" is not a dump"),
            Some("A dump in directory format has a file toc.dat.".to_owned()),
            None,
        ));
    }
    let text = ddl_of(BufReader::new(File::open(path).map_err(failed)?), path, true)?;
    if !text.contains("PostgreSQL database dump") {
        return Err(error::new(
            SqlState::IoError,
            format!("file \"{path}\" is not a dump"),
            Some("It is neither an archive of pg_dump nor its plain text.".to_owned()),
            None,
        ));
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
    let mut line = Vec::new();
    while next_line(&mut reader, &mut line, name)? {
        if in_data {
            in_data = line != b"\\.";
            continue;
        }
        if (with_data && insert.skips(&line)) || line.starts_with(b"\\") {
            continue;
        }
        let line = String::from_utf8_lossy(&line);
        if with_data && line.starts_with("COPY ") && line.trim_end().ends_with("FROM stdin;") {
            in_data = true;
            continue;
        }
        if text.len() + line.len() > SCHEMA_BYTES_MAX {
            return Err(too_long(name));
        }
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
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

fn from_archive(path: &str) -> Result<String, ErrorReport> {
    let program = bin_directory().join("pg_restore");
    let failed = |cause: std::io::Error| {
        error::new(
            SqlState::IoError,
            format!("could not run \"{}\": {cause}", program.display()),
            None,
            Some("Pass the output of pg_restore -s as schema_sql instead.".to_owned()),
        )
    };
    // Into files, not pipes: nothing waits here but for the program to end.
    let (out, err) = (scratch().map_err(failed)?, scratch().map_err(failed)?);
    let mut child = Command::new(&program)
        .args(["--schema-only", "--file=-", "--"])
        .arg(path)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(out.try_clone().map_err(failed)?)
        .stderr(err.try_clone().map_err(failed)?)
        .spawn()
        .map(Reaped)
        .map_err(failed)?;
    let status = loop {
        pgrx::check_for_interrupts!();
        if let Some(status) = child.0.try_wait().map_err(failed)? {
            break status;
        }
        let written = |file: &File| file.metadata().map_or(0, |meta| meta.len());
        if written(&out).max(written(&err)) > SCHEMA_BYTES_MAX as u64 {
            return Err(too_long(path));
        }
        std::thread::sleep(POLL);
    };
    if !status.success() {
        let mut complaint = String::new();
        let _ = from_start(err).and_then(|err| err.take(4096).read_to_string(&mut complaint));
        return Err(error::new(
            SqlState::IoError,
            format!("could not read archive \"{path}\""),
            Some(complaint.trim().to_owned()),
            None,
        ));
    }
    ddl_of(BufReader::new(from_start(out).map_err(failed)?), path, false)
}

/// A file without a name, which is gone when it is closed.
fn scratch() -> std::io::Result<File> {
    let mut number = 0;
    loop {
        let name = format!("pg_presplit.{}.{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut options = File::options();
        options.read(true).write(true).create_new(true).mode(0o600);
        match options.open(&path) {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists && number < 1000 => number += 1,
            Err(cause) => return Err(cause),
        }
    }
}

/// The same file, to be read from its start.
fn from_start(mut file: File) -> std::io::Result<File> {
    file.rewind()?;
    Ok(file)
}

/// A child that does not outlive an error or a cancel.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn check_role(role: &str, what: &str) -> Result<(), ErrorReport> {
    let member = with_pinned_search_path(|| {
        spi::one::<bool>("SELECT pg_has_role(current_user, $1::name, 'USAGE')", &[role.into()])
    })?;
    if member == Some(true) {
        return Ok(());
    }
    Err(error::new(
        SqlState::InsufficientPrivilege,
        format!("permission denied to {what}"),
        Some(format!("Only roles with privileges of role \"{role}\" may do it.")),
        Some("Pass the output of pg_restore -s as schema_sql instead.".to_owned()),
    ))
}
