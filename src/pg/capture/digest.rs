//! What rows are, in three numbers that do not depend on their order: two sets
//! of rows with the same digest are the same rows, stored value for stored
//! value.

use std::hash::DefaultHasher;
use std::hash::Hasher;

use pgrx::pg_sys;
use pgrx::pg_sys::Datum;

use crate::pg::capture::image::Storage;
use crate::pg::capture::server;

/// The digest of some rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    pub rows: i64,
    sum: u64,
    parity: u64,
}

impl Digest {
    const fn add(&mut self, row: u64) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(row);
        // Two equal rows do not go unnoticed in the sum, two that differ in the same bits not in this.
        self.parity ^= row.rotate_left((row & 63) as u32);
    }
}

/// A receiver of a statement's rows that keeps only their digest and the key
/// of the last one.
#[repr(C)]
pub struct Receiver {
    /// First: the server knows only this.
    head: pg_sys::DestReceiver,
    columns: Vec<Storage>,
    /// Places of the key's columns in a row, from 0.
    key: Vec<usize>,
    digest: Digest,
    last: Vec<Kept>,
}

/// A value that is kept beyond its row.
struct Kept {
    storage: Option<Storage>,
    value: Datum,
    bytes: Vec<u64>,
}

impl Receiver {
    #[must_use]
    pub fn new(key: &[usize]) -> Self {
        Self {
            head: pg_sys::DestReceiver {
                receiveSlot: Some(receive),
                rStartup: Some(start),
                rShutdown: Some(nothing),
                rDestroy: Some(nothing),
                mydest: pg_sys::CommandDest::DestTuplestore,
            },
            columns: Vec::new(),
            key: key.to_vec(),
            digest: Digest::default(),
            last: Vec::new(),
        }
    }

    /// For the server, as long as this lives and does not move.
    pub const fn head(&mut self) -> *mut pg_sys::DestReceiver {
        (&raw mut *self).cast()
    }

    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The key's values in the last row; none if there was no row.
    #[must_use]
    pub fn last(&self) -> Option<Vec<Datum>> {
        (self.digest.rows > 0).then(|| self.last.iter().map(Kept::datum).collect())
    }
}

impl Kept {
    const fn new() -> Self {
        Self { storage: None, value: Datum::null(), bytes: Vec::new() }
    }

    /// # Safety
    /// A value of the storage, not null.
    unsafe fn keep(&mut self, storage: Storage, value: Datum) {
        self.storage = Some(storage);
        self.value = value;
        // SAFETY: as above.
        if let Some(lying) = unsafe { storage.by_reference(value) } {
            let words = lying.len().div_ceil(size_of::<u64>());
            if self.bytes.len() < words {
                self.bytes.resize(words, 0);
            }
            // SAFETY: there is room for as many bytes, and they are not those of a row.
            unsafe {
                std::ptr::copy_nonoverlapping(lying.as_ptr(), self.bytes.as_mut_ptr().cast(), lying.len());
            }
        }
    }

    /// The value, which lives as long as this.
    fn datum(&self) -> Datum {
        match self.storage {
            Some(storage) if storage.is_by_reference() => Datum::from(self.bytes.as_ptr()),
            _ => self.value,
        }
    }
}

/// # Safety
/// Called by the server with a receiver of ours.
unsafe extern "C-unwind" fn start(
    this: *mut pg_sys::DestReceiver,
    _operation: i32,
    descriptor: pg_sys::TupleDesc,
) {
    // SAFETY: as above; the descriptor is that of the rows to come.
    unsafe {
        let this = &mut *this.cast::<Receiver>();
        let count = usize::try_from((*descriptor).natts).unwrap_or(0);
        this.columns = (0..count).map(|at| Storage::of(descriptor, at)).collect();
        this.last = this.key.iter().map(|_| Kept::new()).collect();
    }
}

/// # Safety
/// Called by the server with a receiver of ours. A value that cannot be
/// fetched raises an error, which jumps over this frame: the hasher owns nothing.
unsafe extern "C-unwind" fn receive(
    slot: *mut pg_sys::TupleTableSlot,
    this: *mut pg_sys::DestReceiver,
) -> bool {
    // SAFETY: as above; the slot has as many columns as the descriptor said.
    unsafe {
        let this = &mut *this.cast::<Receiver>();
        server::take_apart(slot, this.columns.len());
        let mut hasher = DefaultHasher::new();
        for (at, storage) in this.columns.iter().enumerate() {
            if *(*slot).tts_isnull.add(at) {
                hasher.write_usize(0);
                continue;
            }
            storage.with_bytes(*(*slot).tts_values.add(at), |bytes| {
                hasher.write_usize(bytes.len() + 1);
                hasher.write(bytes);
            });
        }
        this.digest.add(hasher.finish());
        for (kept, at) in this.last.iter_mut().zip(&this.key) {
            if let Some(storage) = this.columns.get(*at)
                && !*(*slot).tts_isnull.add(*at)
            {
                kept.keep(*storage, *(*slot).tts_values.add(*at));
            }
        }
        true
    }
}

const unsafe extern "C-unwind" fn nothing(_this: *mut pg_sys::DestReceiver) {}
