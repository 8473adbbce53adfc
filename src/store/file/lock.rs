//! One writer at a time for each entry: an advisory lock on a file in the entry's folder.
//!
//! It works between threads and between processes, and the kernel lets go of it when a process dies. It does not
//! work on every network file system; the store's documentation says so.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};

use super::disk::{Fault, Folder};
use crate::store::StoreErrorKind;

/// The lock file's name in the entry's folder.
pub(super) const LOCK: &str = ".lock";

/// Held until it is dropped.
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that this one is just starting has a copy of every open file until it becomes
        // another program, and the lock lasts as long as any copy. Letting go ends it for all of them.
        let _ = self.file.unlock();
    }
}

/// Somebody else holds the lock: what the lock file says of them.
#[derive(Debug)]
pub(super) struct Held(pub(super) String);

/// Tries once to take the lock of an entry's folder.
pub(super) fn try_lock(folder: &Folder) -> Result<Result<Lock, Held>, Fault> {
    let mut file = folder.lock_file(LOCK)?;
    let trouble = |what: &str, error: std::io::Error| {
        let reason = format!("{what} {}/{LOCK}: {error}", folder.path().display());
        Fault::new(StoreErrorKind::Unavailable, reason).hint(hint(error.kind()))
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Err(Held(holder(&mut file)))),
        Err(TryLockError::Error(error)) => return Err(trouble("locking", error)),
    }
    if !folder.still_names(LOCK, &file)? {
        // Somebody removed the file between our opening and our locking it; the next try meets the new one.
        return Ok(Err(Held("another process".into())));
    }
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| write!(file, "process {}", std::process::id()))
        .map_err(|error| trouble("writing", error))?;
    Ok(Ok(Lock { file }))
}

/// What to try when the lock cannot be taken, though nobody holds it.
fn hint(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room there and run again",
        _ => "the folder must be on a file system that supports locks; not every network file system does",
    }
}

/// Who says to hold the lock. Only for a message.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(64).read_to_string(&mut text);
    match read {
        Ok(_)
            if text.starts_with("process ")
                && text.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ') =>
        {
            text
        }
        _ => "another process".into(),
    }
}

/// The error after waiting in vain.
pub(super) fn busy(folder: &Folder, held: &Held, waited_seconds: u64) -> Fault {
    let Held(holder) = held;
    let reason = format!(
        "{holder} holds {}/{LOCK} and did not let go for {waited_seconds} s",
        folder.path().display()
    );
    Fault::new(StoreErrorKind::Unavailable, reason)
        .hint("another run of certroll is writing here; wait for it and run again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_not_taken_for_a_file_system_without_locks_or_for_another_run() {
        for full in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            assert_eq!(hint(full), "make room there and run again");
        }
        assert!(hint(ErrorKind::Unsupported).contains("supports locks"));
    }

    #[test]
    fn the_lock_is_let_go_of_although_a_starting_process_still_has_a_copy_of_the_file() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path(), None).unwrap();
        let lock = try_lock(&folder).unwrap().unwrap();
        let copy = lock.file.try_clone().unwrap();
        assert!(try_lock(&folder).unwrap().is_err(), "held");
        drop(lock);
        assert!(try_lock(&folder).unwrap().is_ok(), "the copy keeps nobody out");
        drop(copy);
    }
}
