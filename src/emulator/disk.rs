//! The state on disk, shared by any number of processes.
//!
//! Four files lie side by side: `NAME` is a whole state, replaced atomically; `NAME.log` holds the changes made
//! since, a line each; `NAME.journal` is the request journal; `NAME.lock` is locked while a request is
//! handled. Small states are written whole every time, so `NAME.log` appears with large ones only. Every
//! change has left the process before its request is answered, so killing it at any moment loses nothing that
//! was answered. (The machine losing power is not guarded against: this is a test double.)
//!
//! A log begins with the stamp of the state it continues; any other log is a leftover and is ignored.
#![allow(clippy::disallowed_methods, reason = "the emulator's state file is read and written here")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::emulator::error::EmulatorError;
use crate::emulator::ids;
use crate::emulator::world::{Change, STATE_VERSION, World};

/// How each state begins.
const STATE_BEGINS: &[u8] = b"{\"certroll_emulator\":";

/// States up to this many bytes are written whole after each change.
const SMALL_BYTES: u64 = 48 * 1024;

/// A log longer than this and than the state itself is folded into a new state.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Which file this is, and whether it has been replaced or written to since.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified_ns: i128,
}

/// What the state file holds: the stamp that its log repeats, and the world.
#[derive(Serialize)]
struct Written<'a> {
    certroll_emulator: u32,
    stamp: &'a str,
    world: &'a World,
}

#[derive(Deserialize)]
struct Read {
    certroll_emulator: u32,
    stamp: String,
    world: World,
}

/// The files of one state.
pub(crate) struct Disk {
    path: PathBuf,
    lock: File,
    seen: Option<Identity>,
    stamp: String,
    log: Option<File>,
    /// How far the log has been read or written.
    log_read: u64,
}

/// Held while one request is handled.
pub(crate) struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing the handle would not release a lock its clone still shares, so say it.
        let _ = self.0.unlock();
    }
}

impl Disk {
    pub(crate) fn new(path: &Path) -> Result<Disk, EmulatorError> {
        is_state_or_absent(path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            fs::create_dir_all(folder).map_err(failed("creating the folder", folder))?;
        }
        let lock_path = beside(path, "lock");
        let lock = private(OpenOptions::new().create(true).truncate(false).write(true), &lock_path)?;
        let path = path.to_path_buf();
        Ok(Disk { path, lock, seen: None, stamp: String::new(), log: None, log_read: 0 })
    }

    pub(crate) fn journal_path(&self) -> PathBuf {
        beside(&self.path, "journal")
    }

    /// Waits until no other process handles a request.
    pub(crate) fn lock(&self) -> Result<Locked, EmulatorError> {
        let path = beside(&self.path, "lock");
        self.lock.lock().map_err(failed("locking", &path))?;
        Ok(Locked(self.lock.try_clone().map_err(failed("locking", &path))?))
    }

    /// Brings `world` up to date with what other processes wrote. Call with the lock held. Answers false
    /// when there is no state file.
    pub(crate) fn refresh(&mut self, world: &mut World) -> Result<bool, EmulatorError> {
        let found = match fs::metadata(&self.path) {
            Ok(found) => identity(&found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Never written, or removed meanwhile: the next change writes all of it.
                self.seen = None;
                return Ok(false);
            }
            Err(error) => return Err(failed("reading", &self.path)(error)),
        };
        if self.seen != Some(found) {
            self.load(world, found)?;
        }
        self.read_log(world)?;
        Ok(true)
    }

    fn load(&mut self, world: &mut World, found: Identity) -> Result<(), EmulatorError> {
        let bytes = fs::read(&self.path).map_err(failed("reading", &self.path))?;
        let read: Read = serde_json::from_slice(&bytes).map_err(|error| self.unreadable(&error))?;
        if read.certroll_emulator != STATE_VERSION {
            let reason = format!("format {} is not the one this version reads", read.certroll_emulator);
            return Err(EmulatorError::State { path: self.path.clone(), reason });
        }
        *world = read.world;
        world.index();
        self.stamp = read.stamp;
        self.seen = Some(found);
        self.log = None;
        self.log_read = 0;
        Ok(())
    }

    fn unreadable(&self, error: &serde_json::Error) -> EmulatorError {
        let reason =
            format!("line {}, column {}: not a state this version wrote", error.line(), error.column());
        EmulatorError::State { path: self.path.clone(), reason }
    }

    /// Applies the complete lines of the log not seen yet, and cuts off a line somebody died writing.
    fn read_log(&mut self, world: &mut World) -> Result<(), EmulatorError> {
        let path = beside(&self.path, "log");
        if self.log.is_none() {
            self.log = match OpenOptions::new().read(true).append(true).open(&path) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(failed("opening", &path)(error)),
            };
            self.log_read = 0;
        }
        let Some(log) = &mut self.log else { return Ok(()) };
        let size = log.metadata().map_err(failed("reading", &path))?.len();
        if size == self.log_read {
            return Ok(());
        }
        let mut tail = String::new();
        log.seek(SeekFrom::Start(self.log_read)).map_err(failed("reading", &path))?;
        log.read_to_string(&mut tail).map_err(failed("reading", &path))?;
        let complete = tail.rfind('\n').map_or(0, |at| at + 1);
        if complete < tail.len() {
            log.set_len(self.log_read + complete as u64).map_err(failed("repairing", &path))?;
        }
        let mut lines = tail[..complete].lines();
        if self.log_read == 0 && lines.next() != Some(self.stamp.as_str()) {
            // It continues a state that has been replaced.
            log.set_len(0).map_err(failed("emptying", &path))?;
            return Ok(());
        }
        for line in lines {
            let changes: Vec<Change> = serde_json::from_str(line).map_err(|error| self.unreadable(&error))?;
            changes.into_iter().for_each(|change| world.replay(change));
        }
        self.log_read += complete as u64;
        Ok(())
    }

    /// Drops changes that must not be saved; the next refresh reads everything again.
    pub(crate) fn forget(&mut self, world: &mut World) {
        world.dirty = Default::default();
        self.seen = None;
    }

    /// Writes what has changed. Call with the lock held.
    pub(crate) fn save(&mut self, world: &mut World) -> Result<(), EmulatorError> {
        if !world.dirty.any() {
            return Ok(());
        }
        let size = self.seen.map_or(0, |seen| seen.size);
        let log_full = self.log_read > LOG_BYTES_MAX.max(size);
        if world.dirty.everything || self.seen.is_none() || size <= SMALL_BYTES || log_full {
            self.write_whole(world)?;
        } else {
            self.append(world)?;
        }
        world.dirty = Default::default();
        Ok(())
    }

    fn write_whole(&mut self, world: &World) -> Result<(), EmulatorError> {
        let stamp = new_stamp(&self.stamp, world);
        let written = Written { certroll_emulator: STATE_VERSION, stamp: &stamp, world };
        let bytes = serde_json::to_vec(&written)
            .map_err(|error| EmulatorError::State { path: self.path.clone(), reason: error.to_string() })?;
        // Under one name, which the lock makes ours: what a killed process left behind is replaced, not added to. It is 0600 from
        // its first byte, because the state holds client secrets.
        let new = beside(&self.path, "new");
        absent(&new)?;
        let mut file = private(OpenOptions::new().create_new(true).write(true), &new)?;
        file.write_all(&bytes).map_err(failed("writing", &new))?;
        fs::rename(&new, &self.path).map_err(failed("replacing", &self.path))?;
        self.seen = Some(identity(&file.metadata().map_err(failed("reading", &self.path))?));
        self.stamp = stamp;
        let log = beside(&self.path, "log");
        self.log = None;
        self.log_read = 0;
        absent(&log)
    }

    fn append(&mut self, world: &World) -> Result<(), EmulatorError> {
        let path = beside(&self.path, "log");
        let mut line = String::new();
        if self.log_read == 0 {
            line = format!("{}\n", self.stamp);
        }
        line += &serde_json::to_string(&world.changes())
            .map_err(|error| EmulatorError::State { path: path.clone(), reason: error.to_string() })?;
        line.push('\n');
        if self.log.is_none() {
            self.log = Some(private(OpenOptions::new().create(true).read(true).append(true), &path)?);
        }
        if let Some(log) = &mut self.log {
            log.write_all(line.as_bytes()).map_err(failed("writing", &path))?;
            self.log_read += line.len() as u64;
        }
        Ok(())
    }
}

/// A mark no earlier state of this file had.
fn new_stamp(previous: &str, world: &World) -> String {
    let mut context = previous.to_owned();
    context.push_str(&jiff::Timestamp::now().to_string());
    ids::uuid(world.meta.seed, &context, u64::from(std::process::id())).to_string()
}

fn identity(found: &fs::Metadata) -> Identity {
    Identity {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        modified_ns: i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec()),
    }
}

/// Refuses what is no state before anything is put beside it. What begins as one is read in full later.
fn is_state_or_absent(path: &Path) -> Result<(), EmulatorError> {
    let refused =
        |reason: &str| Err(EmulatorError::State { path: path.to_path_buf(), reason: reason.to_owned() });
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("reading", path)(error)),
        Ok(found) if !found.is_file() => return refused("it is not a regular file"),
        Ok(_) => {}
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(failed("opening", path))?;
    file.take(64).read_to_end(&mut start).map_err(failed("reading", path))?;
    start.retain(|byte| !byte.is_ascii_whitespace());
    if start.starts_with(STATE_BEGINS) { Ok(()) } else { refused("it is not a state of the emulator") }
}

/// Every file that a state at that path consists of, whether or not it is there.
pub fn files_of(path: &Path) -> Vec<PathBuf> {
    let others = ["log", "journal", "lock", "new"].map(|suffix| beside(path, suffix));
    [path.to_path_buf()].into_iter().chain(others).collect()
}

/// `PATH.suffix`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a file that may not be there.
fn absent(path: &Path) -> Result<(), EmulatorError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removing", path)(error)),
        _ => Ok(()),
    }
}

/// Opens a file that only its owner may read.
pub(crate) fn private(options: &mut OpenOptions, path: &Path) -> Result<File, EmulatorError> {
    options.mode(0o600).open(path).map_err(failed("opening", path))
}

pub(crate) fn failed<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> EmulatorError + 'a {
    move |source| EmulatorError::File { doing, path: path.to_path_buf(), source }
}
