//! The number of the line that the server's COPY parser is at.
//!
//! It stands in a struct that the server keeps to itself and that differs
//! between versions. In all of them the number follows the pointer to the
//! relation's name, so that is what is looked for, once per session, in a
//! state that reads a made-up line: it has to be the only place, and to say 1
//! after that line. If it is not, rows are left to the server.

use std::cell::Cell;
use std::ffi::c_int;
use std::ffi::c_void;
use std::ptr::null;
use std::ptr::null_mut;

use pgrx::pg_sys::CopyFromState;
use pgrx::pg_sys::Relation;

use crate::pg::copy::server;

thread_local! {
    /// Words from the start of the state to the number; none = not looked for.
    static PLACE: Cell<Option<Place>> = const { Cell::new(None) };
    /// Whether the made-up line has been read.
    static READ: Cell<bool> = const { Cell::new(false) };
}

/// Where the number is in the server's state of a COPY.
#[derive(Clone, Copy)]
pub enum Place {
    Word(usize),
    Unknown,
}

impl Place {
    /// The number of the current line.
    ///
    /// # Safety
    /// A state that the server has made.
    #[inline]
    pub unsafe fn read(self, copy: CopyFromState) -> u64 {
        match self {
            // SAFETY: the word was found inside such a state, and is a number.
            Self::Word(at) => unsafe { *copy.cast::<u64>().add(at) },
            Self::Unknown => 0,
        }
    }
}

/// Finds the place, with the help of any open relation.
///
/// # Safety
/// An open relation; own nothing, the server's errors pass.
pub unsafe fn place(relation: Relation) -> Place {
    if let Some(place) = PLACE.get() {
        return place;
    }
    // SAFETY: a COPY from memory touches neither client nor relation; the
    // state is searched no further than the chunk of memory that holds it.
    unsafe {
        READ.set(false);
        let copy = server::BeginCopyFrom(
            null_mut(),
            relation,
            null_mut(),
            null(),
            false,
            Some(one_line),
            null_mut(),
            null_mut(),
        );
        let words = server::GetMemoryChunkSpace(copy.cast()).saturating_sub(CHUNK_HEADER) / size_of::<u64>();
        let name = (&raw const (*(*relation).rd_rel).relname).addr() as u64;
        let mut found = Place::Unknown;
        let mut places = 0;
        for at in 0..words.saturating_sub(1) {
            if *copy.cast::<u64>().add(at) == name && *copy.cast::<u64>().add(at + 1) == 0 {
                found = Place::Word(at + 1);
                places += 1;
            }
        }
        let (mut fields, mut count) = (null_mut(), 0);
        let read = server::NextCopyFromRawFields(copy, &raw mut fields, &raw mut count);
        if !read || places != 1 || found.read(copy) != 1 {
            found = Place::Unknown;
        }
        server::EndCopyFrom(copy);
        PLACE.set(Some(found));
        found
    }
}

/// More than any version's header of a chunk of memory, which its size includes.
const CHUNK_HEADER: usize = 16;

/// Reads a line with nothing in it, once.
unsafe extern "C-unwind" fn one_line(buffer: *mut c_void, _: c_int, most: c_int) -> c_int {
    if most < 1 || READ.replace(true) {
        return 0;
    }
    // SAFETY: there is room for `most` bytes.
    unsafe { *buffer.cast::<u8>() = b'\n' };
    1
}
