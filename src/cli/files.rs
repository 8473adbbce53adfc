//! Files the command line writes: whole or not at all, and never through a symbolic link.
#![allow(clippy::disallowed_methods, reason = "reads and writes the files named on the command line")]

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Kind};

/// Largest file read or saved, in bytes. A plan of 10,000 certificates has about 40 MB.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A file that is still to be written. Its place is made sure of before there is anything to write, so that a run that changed
/// something does not find out at its end that nobody can be told.
#[derive(Debug)]
pub struct Pending {
    path: PathBuf,
    shown: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Beside the file, which it replaces as a whole.
    Beside(NamedTempFile),
    /// Such as /dev/stdout: nothing to replace, and replacing it would be wrong.
    Through(File),
}

impl Pending {
    /// Opens what will be written. Nothing at `path` changes before [`Pending::commit`], or ever if that is not called.
    pub fn open(path: &Path, shown: &Path) -> Result<Pending, Error> {
        let place = Pending::place(path).map_err(|error| trouble("writing", shown, &error))?;
        Ok(Pending { path: path.to_owned(), shown: shown.to_owned(), place })
    }

    fn place(path: &Path) -> io::Result<Place> {
        if is_stream(path) {
            return through(path).map(Place::Through);
        }
        match fs::metadata(path) {
            Ok(old) if old.is_dir() => Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")),
            Ok(old) if !old.is_file() => Err(io::Error::other("it is a pipe or device, and no regular file")),
            Ok(old) => beside(path, old.permissions().mode() & 0o7777).map(Place::Beside),
            Err(_) => beside(path, 0o644).map(Place::Beside),
        }
    }

    /// Writes it: a reader sees the old content or the new, whole.
    pub fn commit(self, content: &[u8]) -> Result<(), Error> {
        let Pending { path, shown, place } = self;
        let written = match place {
            Place::Beside(file) => fill(&file, content).and_then(|()| {
                file.persist(&path).map_err(|error| error.error)?;
                keep_name(&path)
            }),
            Place::Through(mut file) => file.write_all(content),
        };
        written.map_err(|error| trouble("writing", &shown, &error))
    }
}

/// Whether that is a name for something that is open already, or for nothing at all. Any other pipe may wait for a reader for ever.
fn is_stream(path: &Path) -> bool {
    let names = ["/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/null", "/dev/full"];
    let numbered = ["/dev/fd", "/proc/self/fd"];
    names.iter().any(|name| path == Path::new(name))
        || numbered.iter().any(|folder| path.parent() == Some(Path::new(folder)))
}

/// Opens a stream for writing behind what was written to it already. A pipe without a reader is an error and no wait.
fn through(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().append(true).custom_flags(no_waiting()).open(path)?;
    rustix::fs::fcntl_setfl(&file, rustix::fs::OFlags::APPEND)?;
    Ok(file)
}

/// The flag without which opening a pipe waits until somebody is at its other end.
fn no_waiting() -> i32 {
    i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default()
}

/// Writes a file atomically: a reader sees the old content or the new, whole.
pub fn write(path: &Path, shown: &Path, content: &[u8]) -> Result<(), Error> {
    Pending::open(path, shown)?.commit(content)
}

/// Writes a file that must not be there yet.
pub fn create(path: &Path, shown: &Path, content: &[u8]) -> Result<(), Error> {
    let created = beside(path, 0o644).and_then(|file| {
        fill(&file, content)?;
        file.persist_noclobber(path).map_err(|error| error.error)?;
        keep_name(path)
    });
    created.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::new(Kind::Input, format!("writing {}", shown.display()))
            .because("it exists already, and certroll does not overwrite it"),
        _ => trouble("writing", shown, &error),
    })
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(path: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let folder = folder_of(path);
    // The library's own text names a file that nobody asked for.
    let file = tempfile::Builder::new().prefix(".certroll-").tempfile_in(folder).map_err(|error| {
        let problem = match error.kind() {
            io::ErrorKind::NotFound => format!("there is no folder {}", folder.display()),
            kind => format!("no file can be made in {}: {kind}", folder.display()),
        };
        io::Error::new(error.kind(), problem)
    })?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    Ok(file)
}

fn fill(file: &NamedTempFile, content: &[u8]) -> io::Result<()> {
    file.as_file().write_all(content)?;
    file.as_file().sync_all()
}

/// Makes a name that was just given survive the machine.
fn keep_name(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Whether so much may be saved: what is read again later is bounded.
pub fn is_too_large(content: &[u8]) -> bool {
    content.len() as u64 > FILE_BYTES_MAX
}

/// Reads a whole regular file of a bounded size. A pipe or device could go on for ever.
pub fn read(path: &Path, shown: &Path) -> Result<Vec<u8>, Error> {
    read_bounded(path).map_err(|error| trouble("reading", shown, &error))
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(no_waiting()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut content = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
    match is_too_large(&content) {
        true => Err(io::Error::other(format!("it is larger than {} MiB", FILE_BYTES_MAX / (1024 * 1024)))),
        false => Ok(content),
    }
}

/// Whether both names lead to one file, by whatever link.
pub fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        (Ok(_), Err(_)) | (Err(_), Ok(_)) | (Err(_), Err(_)) => false,
    }
}

/// Whether both are the same name in the same folder, whether or not there is such a file.
pub fn has_same_name(one: &Path, other: &Path) -> bool {
    one.file_name() == other.file_name() && is_same(folder_of(one), folder_of(other))
}

/// Whether a file that is there or not would be somewhere below a folder, by whatever link.
pub fn is_below(file: &Path, folder: &Path) -> bool {
    real(folder_of(file)).starts_with(real(folder))
}

/// Where a path leads: links followed as far as it is there, and the rest as it is written.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => real(parent).join(name),
        _ => path.to_owned(),
    })
}

/// Reads a file that may be missing.
pub fn read_if_there(path: &Path, shown: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        _ => read(path, shown).map(Some),
    }
}

fn trouble(doing: &str, shown: &Path, error: &io::Error) -> Error {
    Error::new(Kind::Local, format!("{doing} {}", shown.display())).caused_by(error)
}
