//! What a path on the server holds, and who may read it.

use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::path::Path;

use pgrx::pg_sys::panic::ErrorReport;

use crate::model::report::SqlState;
use crate::operations::rights::check_role;
use crate::pg::error;

/// The first bytes of a custom-format archive.
const CUSTOM_MAGIC: &[u8] = b"PGDMP";

/// The first bytes of compressed files: gzip, zstd, LZ4, xz, bzip2.
const COMPRESSED: &[&[u8]] = &[b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"\xfd7zXZ", b"BZh"];

/// A dump that the caller may read.
pub enum Dump {
    /// Custom, directory or tar format: read by pg_restore.
    Archive,
    /// SQL text, from its start.
    Plain(File),
}

/// Looks at a path. `instead` is what the caller can do where it cannot be read.
///
/// # Errors
/// 42501 without the rights that core wants for server files and programs;
/// 58030 if the path cannot be read or holds no dump.
pub fn open(path: &str, instead: &str) -> Result<Dump, ErrorReport> {
    check_role("pg_read_server_files", "read files of the server", Some(instead))?;
    let failed = |cause: std::io::Error| {
        error::new(
            SqlState::IoError,
            format!("could not read file \"{path}\": {}", error::of_system(&cause)),
            None,
            None,
        )
    };
    let meta = std::fs::metadata(path).map_err(failed)?;
    if meta.is_dir() {
        if !std::fs::metadata(Path::new(path).join("toc.dat")).is_ok_and(|toc| toc.is_file()) {
            return Err(error::new(
                SqlState::IoError,
                format!("directory \"{path}\" is not a dump"),
                Some("A dump in directory format has a file toc.dat.".to_owned()),
                None,
            ));
        }
        return archive(instead);
    }
    if !meta.is_file() {
        // A pipe or a device may keep the reader waiting, or never end.
        return Err(error::new(
            SqlState::IoError,
            format!("\"{path}\" is not a regular file"),
            None,
            Some("Name a dump file, or the directory of a dump in directory format.".to_owned()),
        ));
    }
    let mut file = File::open(path).map_err(failed)?;
    let mut head = Vec::new();
    (&file).take(512).read_to_end(&mut head).map_err(failed)?;
    // A tar archive names its first member, the table of contents, first.
    if head.starts_with(CUSTOM_MAGIC) || head.starts_with(b"toc.dat") {
        return archive(instead);
    }
    if COMPRESSED.iter().any(|magic| head.starts_with(magic)) {
        return Err(error::new(
            SqlState::IoError,
            format!("file \"{path}\" is compressed"),
            None,
            Some("Decompress it first, or dump in custom format, which is compressed by itself.".to_owned()),
        ));
    }
    file.rewind().map_err(failed)?;
    Ok(Dump::Plain(file))
}

fn archive(instead: &str) -> Result<Dump, ErrorReport> {
    check_role("pg_execute_server_program", "run programs of the server", Some(instead))?;
    Ok(Dump::Archive)
}

/// The error for a file of another kind.
#[must_use]
pub fn not_a_dump(path: &str) -> ErrorReport {
    error::new(
        SqlState::IoError,
        format!("file \"{path}\" is not a dump"),
        Some("It is neither an archive of pg_dump nor its plain text.".to_owned()),
        None,
    )
}
