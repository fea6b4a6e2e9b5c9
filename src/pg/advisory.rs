//! Advisory locks that last beyond transactions: they say that somebody lives,
//! and let go by themselves when he dies.

use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;

use crate::pg::spi;

/// Two numbers, as SQL's functions take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(pub i32, pub i32);

impl Key {
    /// A key whose first number is the hash of a name.
    pub fn of(name: &str, number: i64) -> Result<Self, ErrorReport> {
        Ok(Self(hash(name)?, number as i32))
    }

    /// A key of two names.
    pub fn of_names(first: &str, second: &str) -> Result<Self, ErrorReport> {
        Ok(Self(hash(first)?, hash(second)?))
    }

    fn tag(self) -> pg_sys::LOCKTAG {
        pg_sys::LOCKTAG {
            // SAFETY: a plain read of a variable of the process.
            locktag_field1: unsafe { pg_sys::MyDatabaseId }.to_u32(),
            locktag_field2: self.0 as u32,
            locktag_field3: self.1 as u32,
            // Two numbers, not one of 64 bits.
            locktag_field4: 2,
            locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
            locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
        }
    }
}

fn hash(name: &str) -> Result<i32, ErrorReport> {
    spi::one::<i32>("SELECT pg_catalog.hashtext($1)", &[name.into()]).map(Option::unwrap_or_default)
}

/// How others may have the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Exclusive,
    Shared,
}

impl Mode {
    const fn server(self) -> pg_sys::LOCKMODE {
        (match self {
            Self::Exclusive => pg_sys::ExclusiveLock,
            Self::Shared => pg_sys::ShareLock,
        }) as pg_sys::LOCKMODE
    }
}

/// A lock of the session that is held until it is dropped.
#[derive(Debug)]
pub struct Held {
    key: Key,
    mode: Mode,
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: the session's own lock, taken below; releasing it does not fail but warns.
        unsafe { pg_sys::LockRelease(&self.key.tag(), self.mode.server(), true) };
    }
}

/// Takes a lock for the session if nobody is in the way.
pub fn try_take(key: Key, mode: Mode) -> Option<Held> {
    // SAFETY: the server copies the tag.
    let taken = unsafe { pg_sys::LockAcquire(&key.tag(), mode.server(), true, true) };
    (taken != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL).then_some(Held { key, mode })
}

/// Takes a lock for the session, and waits for it.
pub fn take(key: Key, mode: Mode) -> Held {
    // SAFETY: as above; an interrupt raises an error, and then nothing is held.
    unsafe { pg_sys::LockAcquire(&key.tag(), mode.server(), true, false) };
    Held { key, mode }
}
