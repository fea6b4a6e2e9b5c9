//! The server's own `pg_restore`, run without a shell, its output read as it
//! comes.
//!
//! A thread empties the pipe, so that the backend can look for interrupts
//! while it waits. The program does not outlive an error or a cancel.

use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use pgrx::pg_sys::panic::ErrorReport;

use crate::model::report::SqlState;
use crate::pg::error;
use crate::pg::server::bin_directory;
use crate::pg::threads;

/// Time between two looks for interrupts.
const POLL: Duration = Duration::from_millis(20);

/// Pieces that are read ahead, and the bytes of one.
const PIECES_AHEAD: usize = 16;
const PIECE_BYTES: usize = 64 << 10;

/// What is shown of the program's complaints.
const COMPLAINT_BYTES_MAX: u64 = 4096;

/// The running program.
pub struct Program {
    path: String,
    child: Reaped,
    pieces: Receiver<std::io::Result<Vec<u8>>>,
    complaints: File,
    /// The piece that is being read, and how much of it was.
    piece: Vec<u8>,
    used: usize,
}

impl Program {
    /// Runs pg_restore on an archive: what it would send to a server, or what
    /// the options say, comes as its output.
    ///
    /// # Errors
    /// 58030 if it cannot be run.
    pub fn start(path: &str, options: &[&str], instead: &str) -> Result<Self, ErrorReport> {
        let program = bin_directory().join("pg_restore");
        let failed = |cause: std::io::Error| {
            error::new(
                SqlState::IoError,
                format!("could not run \"{}\": {cause}", program.display()),
                None,
                Some(instead.to_owned()),
            )
        };
        // Complaints go into a file: nobody empties a second pipe.
        let complaints = scratch().map_err(failed)?;
        let mut child = Command::new(&program)
            .args(options)
            .args(["--file=-", "--"])
            .arg(path)
            .env_clear()
            // Moments come in UTC.
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(complaints.try_clone().map_err(failed)?)
            .spawn()
            .map(Reaped)
            .map_err(failed)?;
        let output = child.0.stdout.take();
        let (sender, pieces) = sync_channel(PIECES_AHEAD);
        threads::beside("presplit dump", move || {
            let Some(mut output) = output else { return };
            loop {
                let mut piece = vec![0; PIECE_BYTES];
                let read = match output.read(&mut piece) {
                    Ok(0) => return,
                    Ok(length) => {
                        piece.truncate(length);
                        Ok(piece)
                    }
                    Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(cause) => Err(cause),
                };
                let ends = read.is_err();
                // Nobody listens any more: an error or a cancel.
                if sender.send(read).is_err() || ends {
                    return;
                }
            }
        })
        .map_err(failed)?;
        Ok(Self { path: path.to_owned(), child, pieces, complaints, piece: Vec::new(), used: 0 })
    }

    /// The next piece of the output; none after its end.
    ///
    /// # Errors
    /// 58030 if the program failed, with its own words.
    pub fn next_piece(&mut self) -> Result<Option<Vec<u8>>, ErrorReport> {
        loop {
            pgrx::check_for_interrupts!();
            match self.pieces.recv_timeout(POLL) {
                Ok(Ok(piece)) => return Ok(Some(piece)),
                Ok(Err(cause)) => return Err(self.failed(Some(cause.to_string()))),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if self.wait()?.success() { Ok(None) } else { Err(self.failed(None)) }
    }

    fn wait(&mut self) -> Result<ExitStatus, ErrorReport> {
        loop {
            // A cancel reaches the program too; it is a cancel first.
            pgrx::check_for_interrupts!();
            match self.child.0.try_wait() {
                Ok(Some(status)) => {
                    pgrx::check_for_interrupts!();
                    return Ok(status);
                }
                Ok(None) => std::thread::sleep(POLL),
                Err(cause) => return Err(self.failed(Some(cause.to_string()))),
            }
        }
    }

    fn failed(&mut self, cause: Option<String>) -> ErrorReport {
        let mut complaint = Vec::new();
        let _ = self.complaints.rewind();
        let _ = (&self.complaints).take(COMPLAINT_BYTES_MAX).read_to_end(&mut complaint);
        let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
        error::new(
            SqlState::IoError,
            format!("could not read archive \"{}\"", self.path),
            cause.or(Some(complaint)).filter(|text| !text.is_empty()),
            None,
        )
    }
}

impl Read for Program {
    /// For readers of lines. An error of the program is raised by the piece
    /// that it is found with, as interrupts are.
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.used == self.piece.len() {
            let next = self.next_piece().unwrap_or_else(|report| error::raise(report));
            let Some(next) = next else { return Ok(0) };
            (self.piece, self.used) = (next, 0);
        }
        let length = buffer.len().min(self.piece.len() - self.used);
        buffer[..length].copy_from_slice(&self.piece[self.used..self.used + length]);
        self.used += length;
        Ok(length)
    }
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

/// A child that does not outlive an error or a cancel.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
