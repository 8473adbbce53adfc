#![allow(clippy::disallowed_methods, reason = "the file store's only door to the file system")]
//! The file store's only door to the file system.
//!
//! Everything is done relative to an open folder and never through a symbolic link, so a link planted in the store is an
//! error and not a way out of it. Files are born 0600 and folders 0700, whatever the umask. Every effect is announced
//! to a [`Probe`] first, which is how the tests stop a run between any two of them.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::store::StoreErrorKind;

/// Largest file the store reads, in bytes. Its own are a few kilobytes; anything near this is not one of them.
const READ_MAX: usize = 1024 * 1024;
/// Mode of every file.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// Mode of every folder.
const FOLDER_MODE: Mode = Mode::RWXU;

/// What is about to be done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// A file's contents are read.
    Read,
    /// The lock is taken.
    Lock,
    /// A folder is made.
    MakeFolder,
    /// An empty file is made.
    CreateFile,
    /// A file gets its contents.
    WriteFile,
    /// A file's contents are forced to the disk.
    SyncFile,
    /// A folder's names are forced to the disk.
    SyncFolder,
    /// A file, folder or link gets its final name.
    Rename,
    /// A symbolic link is made.
    Link,
    /// A file or link is removed.
    Unlink,
    /// An empty folder is removed.
    RemoveFolder,
}

/// Told of every action before it happens; an error stands in for the action. For tests.
pub trait Probe: Send + Sync {
    /// `path` is for telling actions apart only.
    fn before(&self, action: Action, path: &Path) -> io::Result<()>;
}

/// What went wrong, before it is known what it was for.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(super) kind: StoreErrorKind,
    pub(crate) reason: String,
    pub(super) hint: Option<String>,
}

impl Fault {
    pub(super) fn new(kind: StoreErrorKind, reason: impl Into<String>) -> Fault {
        Fault { kind, reason: reason.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }

    fn io(path: &Path, error: &io::Error) -> Fault {
        let shown = path.display();
        match (error.kind(), Errno::from_io_error(error)) {
            (io::ErrorKind::NotFound, _) => {
                Fault::new(StoreErrorKind::Missing, format!("{shown} does not exist"))
            }
            (io::ErrorKind::PermissionDenied, _) => {
                Fault::new(StoreErrorKind::Denied, format!("{shown}: permission denied"))
                    .hint("run certroll as the user who owns the store's folder")
            }
            (io::ErrorKind::ReadOnlyFilesystem, _) => {
                Fault::new(StoreErrorKind::Denied, format!("{shown} is on a read-only file system"))
            }
            (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _) => {
                Fault::new(StoreErrorKind::Unavailable, format!("{shown}: no space left"))
                    .hint("free some space and run again; nothing was half-written")
            }
            (io::ErrorKind::NotADirectory, _) => {
                Fault::new(StoreErrorKind::Corrupt, format!("{shown} should be a folder and is not"))
            }
            (_, Some(Errno::LOOP)) => link_fault(path),
            _ => Fault::new(StoreErrorKind::Unavailable, format!("{shown}: {error}")),
        }
    }
}

fn link_fault(path: &Path) -> Fault {
    Fault::new(
        StoreErrorKind::Corrupt,
        format!("{} is a symbolic link, which does not belong here", path.display()),
    )
    .hint("find out who put it there, then remove it")
}

/// What a name in a folder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    Other,
}

/// What stands under a name, without opening it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) kind: Kind,
    /// In bytes.
    pub(super) size: u64,
    /// The permission bits.
    pub(super) mode: u32,
    /// When its contents were changed last, in nanoseconds since 1970.
    pub(super) modified_nanoseconds: i128,
}

/// An open folder.
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    probe: Option<Arc<dyn Probe>>,
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Folder({})", self.path.display())
    }
}

impl Folder {
    /// Opens a folder by path. Links on the way are followed: where the store lies is the operator's to say.
    pub(super) fn open(path: &Path, probe: Option<Arc<dyn Probe>>) -> Result<Folder, Fault> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| Fault::io(path, &e.into()))?;
        Ok(Folder { fd, path: path.to_owned(), probe })
    }

    /// Makes the folders of a path that are missing, each 0700.
    pub(super) fn make_path(path: &Path, probe: Option<&Arc<dyn Probe>>) -> Result<(), Fault> {
        use std::os::unix::fs::DirBuilderExt;
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        let fail = |error: io::Error| Fault::io(path, &error);
        if let Some(parent) = path.parent() {
            Folder::make_path(parent, probe)?;
        }
        if let Some(probe) = probe {
            probe.before(Action::MakeFolder, path).map_err(fail)?;
        }
        match std::fs::DirBuilder::new().mode(FOLDER_MODE.as_raw_mode()).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if path.is_dir() {
                    Ok(())
                } else {
                    Err(fail(Errno::NOTDIR.into()))
                }
            }
            other => other.map_err(fail),
        }
    }

    /// Where it is, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn announce(&self, action: Action, name: &str) -> Result<(), Fault> {
        match &self.probe {
            Some(probe) => {
                let path = self.at(name);
                probe.before(action, &path).map_err(|error| Fault::io(&path, &error))
            }
            None => Ok(()),
        }
    }

    fn fail(&self, name: &str) -> impl Fn(Errno) -> Fault {
        let path = self.at(name);
        move |errno| Fault::io(&path, &errno.into())
    }

    /// What stands under a name; `None` when nothing does.
    pub(super) fn kind(&self, name: &str) -> Result<Option<Kind>, Fault> {
        Ok(self.stat(name)?.map(|found| found.kind))
    }

    /// The same with size and mode; `None` when nothing stands there.
    pub(super) fn stat(&self, name: &str) -> Result<Option<Standing>, Fault> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Standing {
                kind: match FileType::from_raw_mode(stat.st_mode) {
                    FileType::RegularFile => Kind::File,
                    FileType::Directory => Kind::Folder,
                    FileType::Symlink => Kind::Link,
                    _ => Kind::Other,
                },
                size: u64::try_from(stat.st_size).unwrap_or(u64::MAX),
                mode: Mode::from_raw_mode(stat.st_mode).as_raw_mode(),
                modified_nanoseconds: i128::from(stat.st_mtime) * 1_000_000_000
                    + i128::from(stat.st_mtime_nsec),
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.fail(name)(errno)),
        }
    }

    /// The permission bits of the folder itself.
    pub(super) fn mode(&self) -> Result<u32, Fault> {
        let stat = rustix::fs::fstat(&self.fd).map_err(self.fail("."))?;
        Ok(Mode::from_raw_mode(stat.st_mode).as_raw_mode())
    }

    /// A folder inside; `None` when there is none. A link or a file in its place is an error.
    pub(super) fn folder(&self, name: &str) -> Result<Option<Folder>, Fault> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Folder { fd, path: self.at(name), probe: self.probe.clone() })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) if self.kind(name)? == Some(Kind::Link) => {
                Err(link_fault(&self.at(name)))
            }
            Err(errno) => Err(self.fail(name)(errno)),
        }
    }

    /// A folder inside, made when it is missing.
    pub(super) fn ensure_folder(&self, name: &str) -> Result<Folder, Fault> {
        if let Some(folder) = self.folder(name)? {
            return Ok(folder);
        }
        self.announce(Action::MakeFolder, name)?;
        match rustix::fs::mkdirat(&self.fd, name, FOLDER_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.fail(name)(errno)),
        }
        self.sync()?;
        self.folder(name)?.ok_or_else(|| self.fail(name)(Errno::NOENT))
    }

    /// The names inside, sorted. Names that are not UTF-8 are not ours and left out.
    pub(super) fn names(&self) -> Result<Vec<String>, Fault> {
        let fail = self.fail(".");
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(&fail)? {
            let entry = entry.map_err(&fail)?;
            if let Ok(name) = entry.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// A file's contents; `None` when there is none. Anything but an ordinary file is an error.
    pub(super) fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
        self.announce(Action::Read, name)?;
        // NONBLOCK: a named pipe in a file's place must not hold us up.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.fail(name)(errno)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(self.fail(name))?;
        let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || size > READ_MAX {
            let reason = format!("{} is not an ordinary file of at most 1 MiB", self.at(name).display());
            return Err(Fault::new(StoreErrorKind::Corrupt, reason));
        }
        // Room for exactly that: a growing vector would leave unwiped copies of a key behind.
        let mut contents = Zeroizing::new(vec![0; size]);
        File::from(fd).read_exact(&mut contents).map_err(|error| Fault::io(&self.at(name), &error))?;
        Ok(Some(contents))
    }

    /// Where a link points; `None` when there is none. Something else in its place is an error.
    pub(super) fn link_target(&self, name: &str) -> Result<Option<String>, Fault> {
        match rustix::fs::readlinkat(&self.fd, name, Vec::new()) {
            Ok(target) => target.into_string().map(Some).map_err(|_| {
                Fault::new(
                    StoreErrorKind::Corrupt,
                    format!("{} points nowhere sensible", self.at(name).display()),
                )
            }),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::INVAL) => {
                let reason = format!("{} should be a symbolic link and is not", self.at(name).display());
                Err(Fault::new(StoreErrorKind::Corrupt, reason))
            }
            Err(errno) => Err(self.fail(name)(errno)),
        }
    }

    /// Writes a file that does not exist yet, to the disk.
    pub(super) fn write_new(&self, name: &str, contents: &[u8]) -> Result<(), Fault> {
        let fail = |error: io::Error| Fault::io(&self.at(name), &error);
        self.announce(Action::CreateFile, name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, FILE_MODE).map_err(self.fail(name))?;
        let mut file = File::from(fd);
        self.announce(Action::WriteFile, name)?;
        file.write_all(contents).map_err(fail)?;
        self.announce(Action::SyncFile, name)?;
        file.sync_all().map_err(fail)
    }

    /// Replaces a file, or makes it, in one step. `temporary` is a name beside it that only the holder of the lock uses.
    pub(super) fn replace(&self, name: &str, temporary: &str, contents: &[u8]) -> Result<(), Fault> {
        let written = self.write_new(temporary, contents).and_then(|()| self.rename(temporary, self, name));
        if written.is_err() {
            // The error that matters is the first one; what stays behind is swept by the next run.
            let _ = self.unlink(temporary);
        }
        written?;
        self.sync()
    }

    /// Makes `name` point to `target`, whatever it pointed to, in one step.
    pub(super) fn replace_link(&self, name: &str, temporary: &str, target: &str) -> Result<(), Fault> {
        self.announce(Action::Link, temporary)?;
        rustix::fs::symlinkat(target, &self.fd, temporary).map_err(self.fail(temporary))?;
        let renamed = self.rename(temporary, self, name);
        if renamed.is_err() {
            let _ = self.unlink(temporary);
        }
        renamed?;
        self.sync()
    }

    /// Gives what is called `from` here the name `to` in another folder of the same file system.
    pub(super) fn rename(&self, from: &str, into: &Folder, to: &str) -> Result<(), Fault> {
        into.announce(Action::Rename, to)?;
        rustix::fs::renameat(&self.fd, from, &into.fd, to).map_err(into.fail(to))
    }

    /// Removes a file or link. One that is gone already is fine.
    pub(super) fn unlink(&self, name: &str) -> Result<(), Fault> {
        self.announce(Action::Unlink, name)?;
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.fail(name)(errno)),
        }
    }

    /// Removes a folder and the files in it; a folder inside is an error. One that is gone already is fine.
    pub(super) fn remove_folder(&self, name: &str) -> Result<(), Fault> {
        let Some(folder) = self.folder(name)? else { return Ok(()) };
        for inner in folder.names()? {
            folder.unlink(&inner)?;
        }
        self.announce(Action::RemoveFolder, name)?;
        rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR).map_err(self.fail(name))
    }

    /// Forces the names in the folder to the disk.
    pub(super) fn sync(&self) -> Result<(), Fault> {
        self.announce(Action::SyncFolder, ".")?;
        rustix::fs::fsync(&self.fd).map_err(self.fail("."))
    }

    /// Opens, and makes when missing, the lock file.
    pub(super) fn lock_file(&self, name: &str) -> Result<File, Fault> {
        self.announce(Action::Lock, name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.fd, name, flags, FILE_MODE).map(File::from).map_err(self.fail(name))
    }

    /// Whether the name still stands for that open file.
    pub(super) fn still_names(&self, name: &str, file: &File) -> Result<bool, Fault> {
        let open = rustix::fs::fstat(file).map_err(self.fail(name))?;
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) => Ok((named.st_dev, named.st_ino) == (open.st_dev, open.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.fail(name)(errno)),
        }
    }
}
