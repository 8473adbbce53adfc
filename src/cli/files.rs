//! Files the command line writes: whole or not at all, and never through a symbolic link.
#![allow(clippy::disallowed_methods, reason = "reads and writes the files named on the command line")]

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::{Error, Kind};

/// Largest file read whole, in bytes. A plan of 10,000 certificates has about 40 MB.
const READ_MAX: u64 = 512 * 1024 * 1024;

/// Writes a file atomically: a reader sees the old content or the new, whole.
pub fn write(path: &Path, shown: &Path, content: &[u8]) -> Result<(), Error> {
    put(path, content, true).map_err(|error| trouble("writing", shown, &error))
}

/// Writes a file that must not be there yet.
pub fn create(path: &Path, shown: &Path, content: &[u8]) -> Result<(), Error> {
    put(path, content, false).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::new(Kind::Input, format!("writing {}", shown.display()))
            .because("it exists already, and certroll does not overwrite it"),
        _ => trouble("writing", shown, &error),
    })
}

fn put(path: &Path, content: &[u8], overwrite: bool) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if fs::metadata(path).is_ok_and(|old| !old.is_file()) {
        // Such as /dev/stdout: nothing to replace, and replacing it would be wrong.
        return fs::OpenOptions::new().write(true).open(path)?.write_all(content);
    }
    let mode = match fs::metadata(path) {
        Ok(old) => old.permissions().mode() & 0o7777,
        Err(_) => 0o644,
    };
    let mut file = tempfile::Builder::new().prefix(".certroll-").tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    if overwrite {
        file.persist(path).map_err(|error| error.error)?;
    } else {
        file.persist_noclobber(path).map_err(|error| error.error)?;
    }
    File::open(folder)?.sync_all()
}

/// Reads a whole file of a bounded size.
pub fn read(path: &Path, shown: &Path) -> Result<Vec<u8>, Error> {
    let read = || {
        let length = fs::metadata(path)?.len();
        if length > READ_MAX {
            return Err(io::Error::other(format!("it is larger than {READ_MAX} bytes")));
        }
        fs::read(path)
    };
    read().map_err(|error| trouble("reading", shown, &error))
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
