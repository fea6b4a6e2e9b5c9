//! The disk: how much of it is free, and how fast pages come from it: a temporary
//! file of our own, written, dropped from the system's memory and read.
//!
//! No file of the database is touched. What a storage layer keeps in a memory
//! of its own cannot be dropped from here, so what it reads fast counts as
//! fast. The server removes the file at the end of the transaction at latest.

use std::ffi::CString;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;

use pgrx::pg_sys;

use crate::pg::clock::Clock;

const PAGE_BYTES: usize = 8192;

/// Pages of the file; 32 MB.
const PAGES: u64 = 4096;

/// Pages written or read in one go: a sequence as the system reads ahead.
const RUN_PAGES: u64 = 16;

/// Most pages read at random, and the time after which it is enough.
const RANDOM_PAGES_MAX: u32 = 400;
const RANDOM_MS_MAX: f64 = 1000.0;

/// Pages read at random that tell anything.
const RANDOM_PAGES_MIN: u32 = 20;

/// Bytes that are free where a folder is, for who is not the system's own;
/// none if it does not tell.
#[must_use]
pub fn free_bytes(folder: &str) -> Option<u64> {
    let folder = CString::new(folder).ok()?;
    // SAFETY: the system fills the structure, or says that it has not.
    unsafe {
        let mut found: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(folder.as_ptr(), &raw mut found) == 0)
            .then(|| found.f_bavail.saturating_mul(found.f_frsize))
    }
}

/// Milliseconds to read a page in sequence, and at random; none where the
/// system cannot be told to forget a file.
pub fn read_ms() -> Option<(f64, Option<f64>)> {
    // SAFETY: the server's own temporary file, closed below or by the end of
    // the transaction; the descriptor is valid as long as no other file is
    // opened, and is not closed by its borrower.
    unsafe {
        let file = pg_sys::OpenTemporaryFile(false);
        let descriptor = pg_sys::FileGetRawDesc(file);
        let borrowed = ManuallyDrop::new(File::from_raw_fd(descriptor));
        let found = measured(&borrowed);
        pg_sys::FileClose(file);
        found.ok().flatten()
    }
}

fn measured(file: &File) -> std::io::Result<Option<(f64, Option<f64>)>> {
    let mut run = vec![0_u8; PAGE_BYTES * RUN_PAGES as usize];
    for number in 0..PAGES / RUN_PAGES {
        pgrx::check_for_interrupts!();
        // Not of zeroes alone, which some storage does not keep.
        for (at, byte) in (0_u64..).zip(run.iter_mut()) {
            *byte = (at.wrapping_mul(0x9E37_79B9).wrapping_add(number) >> 7) as u8;
        }
        file.write_all_at(&run, number * RUN_PAGES * PAGE_BYTES as u64)?;
    }
    file.sync_data()?;
    if !forget(file) {
        return Ok(None);
    }
    let clock = Clock::start();
    for number in 0..PAGES / RUN_PAGES {
        pgrx::check_for_interrupts!();
        file.read_exact_at(&mut run, number * RUN_PAGES * PAGE_BYTES as u64)?;
    }
    let sequential = clock.ms() / PAGES as f64;
    let random = if forget(file) { at_random(file)? } else { None };
    Ok(Some((sequential, random)))
}

fn at_random(file: &File) -> std::io::Result<Option<f64>> {
    let mut page = vec![0_u8; PAGE_BYTES];
    let clock = Clock::start();
    let mut read = 0;
    // A stride with no divisor in common: every page at most once, far apart.
    let mut at = 0_u64;
    while read < RANDOM_PAGES_MAX && clock.ms() < RANDOM_MS_MAX {
        pgrx::check_for_interrupts!();
        at = (at + 1753) % PAGES;
        file.read_exact_at(&mut page, at * PAGE_BYTES as u64)?;
        read += 1;
    }
    Ok((read >= RANDOM_PAGES_MIN).then(|| clock.ms() / f64::from(read)))
}

/// Has the system drop what it keeps of the file, which is on disk.
#[cfg(target_os = "linux")]
fn forget(file: &File) -> bool {
    // SAFETY: a descriptor that is open.
    unsafe {
        let advised = libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED);
        // Read-ahead would hide what a single page costs.
        advised == 0 && libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_NORMAL) == 0
    }
}

#[cfg(not(target_os = "linux"))]
fn forget(_file: &File) -> bool {
    false
}

/// How much of the file system of a path is free for the server, in percent.
#[must_use]
pub fn free_percent(path: &str) -> Option<f64> {
    let path = CString::new(path).ok()?;
    // SAFETY: the system fills the structure, or says that it has not.
    unsafe {
        let mut facts: libc::statvfs = std::mem::zeroed();
        if libc::statvfs(path.as_ptr(), &mut facts) != 0 || facts.f_blocks == 0 {
            return None;
        }
        Some(facts.f_bavail as f64 * 100.0 / facts.f_blocks as f64)
    }
}
