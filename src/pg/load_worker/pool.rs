//! The places of load workers: as many as the setting says, for all sessions
//! of the server together.
//!
//! A place is a lock that the leader holds from before its workers start until
//! they have been let go, or until its transaction ends, however it ends. So
//! two sessions that ask at the same time never have the same.

use pgrx::pg_sys;

/// Tells our locks from those of `pg_advisory_lock`, which have 1 or 2 there.
const KIND: u16 = 3;

/// `presplit`, in no other sense than that others have other numbers.
const CLASS: u32 = 0x7072_6573;

/// Places that were taken.
#[derive(Debug)]
pub struct Places {
    taken: Vec<u32>,
}

impl Places {
    /// Takes so many of the first `all` places, or as many as are free.
    #[must_use]
    pub fn take(wanted: u32, all: u32) -> Self {
        let mut taken = Vec::new();
        for place in 0..all {
            if taken.len() as u32 == wanted {
                break;
            }
            // SAFETY: in a transaction; nobody is waited for.
            let answer = unsafe { pg_sys::LockAcquire(&tag(place), pg_sys::ExclusiveLock as _, false, true) };
            if answer == pg_sys::LockAcquireResult::LOCKACQUIRE_OK {
                taken.push(place);
            }
        }
        Self { taken }
    }

    #[must_use]
    #[allow(clippy::len_without_is_empty)] // Nobody asks.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Gives back all but the first so many.
    pub fn keep(&mut self, count: usize) {
        while self.taken.len() > count {
            if let Some(place) = self.taken.pop() {
                // SAFETY: taken by `take` in this transaction.
                unsafe { pg_sys::LockRelease(&tag(place), pg_sys::ExclusiveLock as _, false) };
            }
        }
    }
}

/// The lock of a place: an advisory one of no database.
fn tag(place: u32) -> pg_sys::LOCKTAG {
    pg_sys::LOCKTAG {
        locktag_field1: 0,
        locktag_field2: CLASS,
        locktag_field3: place,
        locktag_field4: KIND,
        locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
        locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
    }
}
