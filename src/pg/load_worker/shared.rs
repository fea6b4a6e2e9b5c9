//! The piece of shared memory that a leader and its workers have in common.
//!
//! ```text
//! Shared │ libraries │ settings │ options │ columns │ (orders, answers) per worker
//! ```

use pgrx::pg_sys;
use pgrx::pg_sys::Oid;

/// Bytes of the queue of orders of one worker.
pub const ORDERS_BYTES: usize = 1024 * 1024;

/// Bytes of the queue of its answers.
pub const ANSWERS_BYTES: usize = 64 * 1024;

const ALIGNMENT: usize = 64;

/// What a worker must know of its leader. Written before the first worker
/// starts and never after.
#[repr(C)]
pub struct Shared {
    pub leader: *mut pg_sys::PGPROC,
    pub leader_pid: i32,
    pub database: Oid,
    pub authenticated_user: Oid,
    pub current_user: Oid,
    pub is_superuser: bool,
    pub root: Oid,
    pub load: u64,
    pub transaction_at: pg_sys::TimestampTz,
    pub statement_at: pg_sys::TimestampTz,
    pub libraries: Part,
    pub settings: Part,
    /// The options of the COPY, as the server writes nodes.
    pub options: Part,
    pub columns: Part,
    pub queues_at: usize,
}

/// A part of the piece, by its place.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Part {
    pub at: usize,
    pub bytes: usize,
}

/// Places for parts of these sizes behind [`Shared`], where the queues begin,
/// and the size of it all.
pub fn lay_out(sizes: [usize; 4], workers: usize) -> ([Part; 4], usize, usize) {
    let mut at = size_of::<Shared>().next_multiple_of(ALIGNMENT);
    let parts = sizes.map(|bytes| {
        let part = Part { at, bytes };
        at = (at + bytes).next_multiple_of(ALIGNMENT);
        part
    });
    (parts, at, at + workers * (ORDERS_BYTES + ANSWERS_BYTES))
}

impl Shared {
    /// Where the queues of a worker are: of orders, of answers.
    pub const fn queues(&self, worker: usize) -> (usize, usize) {
        let orders = self.queues_at + worker * (ORDERS_BYTES + ANSWERS_BYTES);
        (orders, orders + ORDERS_BYTES)
    }
}
