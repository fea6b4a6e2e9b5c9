//! Where the rows of a COPY come from: the client, a file, a program.
//!
//! What was read ahead to find out how much there is can be read again by
//! [`reread`], which the server's own parser takes as a source.

use std::cell::RefCell;
use std::ffi::CStr;
use std::ffi::CString;
use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_void;

use pgrx::pg_guard;
use pgrx::pg_sys;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use pgrx::pg_sys::panic::ErrorReport;

use crate::model::report::SqlState;
use crate::pg::error;
use crate::pg::error::raise;
use crate::pg::load_worker::server;
use crate::pg::operation::copy;
use crate::pg::operation::copy::Input;

/// The longest messages of the protocol that a client may send here.
const DATA_BYTES_MAX: c_int = 0x3fff_fffe;
const OTHER_BYTES_MAX: c_int = 10_000;

/// What rows are read from.
pub struct Source {
    kind: Kind,
    is_over: bool,
    /// Read before, and to be read first.
    ahead: Vec<u8>,
    ahead_at: usize,
    /// Bytes that have come until now.
    came: u64,
}

enum Kind {
    Client { message: pg_sys::StringInfo },
    File { stream: *mut pg_sys::FILE, program: Option<CString> },
}

unsafe extern "C" {
    fn fread(to: *mut c_void, size: usize, count: usize, stream: *mut pg_sys::FILE) -> usize;
    fn ferror(stream: *mut pg_sys::FILE) -> c_int;
}

impl Source {
    /// Asks the client for so many columns of text.
    #[must_use]
    pub fn client(columns: usize) -> Self {
        let mut answer = vec![0_u8];
        answer.extend_from_slice(&(columns as u16).to_be_bytes());
        answer.extend(std::iter::repeat_n([0, 0], columns).flatten());
        // SAFETY: the server's own way to begin a COPY from the client; the
        // flush lets it know that it may send.
        unsafe {
            let message = pg_sys::makeStringInfo();
            pg_guard_ffi_boundary(|| {
                let methods = &*server::PqCommMethods;
                if let (Some(put), Some(flush)) = (methods.putmessage, methods.flush) {
                    put(b'G' as c_char, answer.as_ptr().cast(), answer.len());
                    flush();
                }
            });
            Self::new(Kind::Client { message })
        }
    }

    /// Opens a file of the server, or runs a program; none if that cannot be
    /// done, for the server to say so in its own words.
    #[must_use]
    pub fn file(name: &CStr, is_program: bool) -> Option<Self> {
        // SAFETY: streams that the server closes at the end of the transaction.
        unsafe {
            let stream = if is_program {
                pg_sys::OpenPipeStream(name.as_ptr(), c"r".as_ptr())
            } else {
                pg_sys::AllocateFile(name.as_ptr(), c"r".as_ptr())
            };
            if stream.is_null() {
                return None;
            }
            let program = is_program.then(|| name.to_owned());
            if program.is_none()
                && status_of(stream).is_some_and(|status| status.st_mode & libc::S_IFMT == libc::S_IFDIR)
            {
                pg_sys::FreeFile(stream);
                return None;
            }
            Some(Self::new(Kind::File { stream, program }))
        }
    }

    fn new(kind: Kind) -> Self {
        Self { kind, is_over: false, ahead: Vec::new(), ahead_at: 0, came: 0 }
    }

    /// Reads up to the length of the room; 0 = nothing follows.
    pub fn read(&mut self, room: &mut [u8]) -> usize {
        if self.ahead_at < self.ahead.len() {
            let bytes = room.len().min(self.ahead.len() - self.ahead_at);
            room[..bytes].copy_from_slice(&self.ahead[self.ahead_at..self.ahead_at + bytes]);
            self.ahead_at += bytes;
            if self.ahead_at == self.ahead.len() {
                self.ahead = Vec::new();
                self.ahead_at = 0;
            }
            return bytes;
        }
        if self.is_over {
            return 0;
        }
        let (bytes, is_over) = self.kind.read(room);
        self.is_over = is_over;
        self.came += bytes as u64;
        bytes
    }

    /// The size of a file, which is known before it is read.
    #[must_use]
    pub fn known_size(&self) -> Option<u64> {
        let Kind::File { stream, program: None } = &self.kind else { return None };
        // SAFETY: an open stream.
        let status = unsafe { status_of(*stream) }?;
        // Pipes and devices say nothing of what will come.
        (status.st_mode & libc::S_IFMT == libc::S_IFREG).then_some(status.st_size as u64)
    }

    /// Whether the server may as well open it itself: a file that nothing has
    /// been read of.
    #[must_use]
    pub fn can_begin_anew(&self) -> bool {
        self.came == 0 && self.known_size().is_some()
    }

    /// Bytes that have come until now.
    #[must_use]
    pub fn came(&self) -> u64 {
        self.came
    }

    /// What it is, as the server's progress report tells it.
    #[must_use]
    pub fn input(&self) -> Input {
        match &self.kind {
            Kind::Client { .. } => Input::Client,
            Kind::File { program: None, .. } => Input::File,
            Kind::File { .. } => Input::Program,
        }
    }

    /// Reads ahead until there are so many bytes; whether there were.
    pub fn has(&mut self, bytes: usize) -> bool {
        const PIECE: std::ops::RangeInclusive<usize> = 64 * 1024..=1024 * 1024;
        while self.ahead.len() < bytes && !self.is_over {
            pgrx::check_for_interrupts!();
            let before = self.ahead.len();
            self.ahead.resize(before + before.clamp(*PIECE.start(), *PIECE.end()), 0);
            let (read, is_over) = self.kind.read(&mut self.ahead[before..]);
            self.came += read as u64;
            copy::advance(0, self.came);
            self.ahead.truncate(before + read);
            self.is_over = is_over;
        }
        self.ahead.len() >= bytes
    }

    /// Reads and forgets what follows: after an end of data in the rows, the
    /// client may still send.
    pub fn drain(&mut self) {
        if matches!(self.kind, Kind::Client { .. }) {
            let mut room = vec![0; 65536];
            while self.read(&mut room) > 0 {
                pgrx::check_for_interrupts!();
            }
        }
    }

    /// Closes a file, or waits for the program.
    ///
    /// # Errors
    /// If the program has failed.
    pub fn close(self) -> Result<(), ErrorReport> {
        let Kind::File { stream, program } = self.kind else { return Ok(()) };
        // SAFETY: opened by `file`.
        unsafe {
            let Some(program) = program else {
                pg_sys::FreeFile(stream);
                return Ok(());
            };
            let status = pg_sys::ClosePipeStream(stream);
            // A program that was not read to its end may complain about that.
            let broken = libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGPIPE;
            if status == 0 || broken && !self.is_over {
                return Ok(());
            }
            let reason = pg_sys::wait_result_to_str(status);
            let reason = CStr::from_ptr(reason).to_string_lossy().into_owned();
            Err(error::new(
                SqlState::ExternalRoutineException,
                format!("program \"{}\" failed", program.to_string_lossy()),
                Some(reason),
                None,
            ))
        }
    }
}

impl Kind {
    /// Bytes that were read, and whether no others follow.
    fn read(&self, room: &mut [u8]) -> (usize, bool) {
        match self {
            Self::Client { message } => from_client(*message, room),
            Self::File { stream, .. } => {
                let bytes = from_file(*stream, room);
                (bytes, bytes == 0)
            }
        }
    }
}

/// # Safety
/// An open stream.
unsafe fn status_of(stream: *mut pg_sys::FILE) -> Option<libc::stat> {
    // SAFETY: numbers that the system fills in.
    unsafe {
        let mut status = std::mem::zeroed::<libc::stat>();
        (libc::fstat(libc::fileno(stream.cast()), &mut status) == 0).then_some(status)
    }
}

fn from_file(stream: *mut pg_sys::FILE, room: &mut [u8]) -> usize {
    // SAFETY: an open stream, and room of that length.
    unsafe {
        let bytes = fread(room.as_mut_ptr().cast(), 1, room.len(), stream);
        if bytes < room.len() && ferror(stream) != 0 {
            let cause = error::of_system(&std::io::Error::last_os_error());
            raise(error::new(
                SqlState::IoError,
                format!("could not read from COPY file: {cause}"),
                None,
                None,
            ));
        }
        bytes
    }
}

/// Reads data of the client, message by message, as the server does; how much,
/// and whether the client has said that this is all. It must not be asked again.
fn from_client(message: pg_sys::StringInfo, room: &mut [u8]) -> (usize, bool) {
    let mut filled = 0;
    // SAFETY: the message is the server's; what is copied is within it.
    unsafe {
        while filled < room.len() {
            let left = ((*message).len - (*message).cursor) as usize;
            if left > 0 {
                let bytes = left.min(room.len() - filled);
                let from = (*message).data.add((*message).cursor as usize).cast::<u8>();
                std::ptr::copy_nonoverlapping(from, room.as_mut_ptr().add(filled), bytes);
                (*message).cursor += bytes as c_int;
                filled += bytes;
                continue;
            }
            match next_message(message) {
                b'd' => {}
                b'c' => return (filled, true),
                _ => {
                    let end = (*message).len as usize;
                    let text = std::slice::from_raw_parts((*message).data.cast::<u8>(), end);
                    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
                    raise(error::new(
                        SqlState::QueryCanceled,
                        format!("COPY from stdin failed: {}", String::from_utf8_lossy(text)),
                        None,
                        None,
                    ));
                }
            }
        }
    }
    (filled, false)
}

/// Receives the next message that says something: data, done or fail.
///
/// # Safety
/// The session has a client.
unsafe fn next_message(message: pg_sys::StringInfo) -> u8 {
    loop {
        // SAFETY: a cancel waits until the message is whole, or the protocol
        // would be out of step.
        let (kind, failed) = unsafe {
            pg_guard_ffi_boundary(|| {
                pg_sys::QueryCancelHoldoffCount += 1;
                server::pq_startmsgread();
                let kind = server::pq_getbyte();
                let most = if kind == c_int::from(b'd') { DATA_BYTES_MAX } else { OTHER_BYTES_MAX };
                let known = kind >= 0 && b"dcfHS".contains(&(kind as u8));
                let failed = known && server::pq_getmessage(message, most) != 0;
                pg_sys::QueryCancelHoldoffCount -= 1;
                (kind, failed)
            })
        };
        if kind < 0 || failed {
            raise(error::new(
                SqlState::ConnectionFailure,
                "unexpected EOF on client connection with an open transaction",
                None,
                None,
            ));
        }
        match kind as u8 {
            b'H' | b'S' => {}
            b'd' | b'c' | b'f' => return kind as u8,
            other => raise(error::new(
                SqlState::ProtocolViolation,
                format!("unexpected message type 0x{other:02X} during COPY from stdin"),
                None,
                None,
            )),
        }
    }
}

thread_local! {
    static REREAD: RefCell<Option<Source>> = const { RefCell::new(None) };
}

/// Tells the server's progress report of a COPY from [`reread`] what it comes from.
pub fn tell_input() {
    REREAD.with_borrow(|slot| {
        if let Some(source) = slot {
            copy::from(source.input(), source.known_size());
        }
    });
}

/// Hands a source over to [`reread`].
pub fn hand_over(source: Source) {
    REREAD.with_borrow_mut(|slot| *slot = Some(source));
}

/// Reads what is left of it and closes it.
pub fn end() {
    if let Some(mut source) = REREAD.take() {
        source.drain();
        if let Err(error) = source.close() {
            raise(error);
        }
    }
}

/// The source that was handed over, for the server's parser.
#[pg_guard]
pub unsafe extern "C-unwind" fn reread(to: *mut c_void, _least: c_int, most: c_int) -> c_int {
    REREAD.with_borrow_mut(|slot| {
        slot.as_mut().map_or(0, |source| {
            // SAFETY: the server gives room for `most` bytes.
            let room = unsafe { std::slice::from_raw_parts_mut(to.cast::<u8>(), most as usize) };
            source.read(room) as c_int
        })
    })
}
