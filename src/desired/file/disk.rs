#![allow(clippy::disallowed_methods, reason = "the one place where declarations are read from disk")]
//! [`Sources`] on the file system.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::sources::{PathKind, SourceError, Sources};

/// The file system of this machine. Relative paths count from the working directory.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl From<io::Error> for SourceError {
    fn from(error: io::Error) -> SourceError {
        match error.kind() {
            io::ErrorKind::NotFound => SourceError::NotFound,
            _ => SourceError::Other(error.to_string()),
        }
    }
}

impl Sources for Disk {
    fn kind(&self, path: &Path) -> Result<PathKind, SourceError> {
        let facts = fs::metadata(path)?;
        if facts.is_dir() {
            Ok(PathKind::Folder)
        } else if facts.is_file() {
            Ok(PathKind::File)
        } else {
            Err(SourceError::Special)
        }
    }

    fn list(&self, folder: &Path) -> Result<Vec<String>, SourceError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // A link that leads nowhere, or to a folder or a device, is no declaration.
            let is_file = fs::metadata(entry.path()).is_ok_and(|facts| facts.is_file());
            if let (true, Ok(name)) = (is_file, entry.file_name().into_string()) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn read(&self, path: &Path, limit_bytes: u64) -> Result<Vec<u8>, SourceError> {
        // Asked before opening: opening a pipe would wait for somebody to write into it.
        if self.kind(path)? != PathKind::File {
            return Err(SourceError::Other("it is a folder".into()));
        }
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit_bytes {
            return Err(SourceError::TooLarge { limit_bytes });
        }
        Ok(bytes)
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf, SourceError> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        match fs::canonicalize(path) {
            Ok(canonical) => Ok(canonical),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A link that leads nowhere would be followed by whoever creates what is behind it.
                if fs::symlink_metadata(path).is_ok() {
                    return Err(SourceError::DanglingLink);
                }
                match (path.parent(), path.file_name()) {
                    (Some(parent), Some(name)) => Ok(self.canonical(parent)?.join(name)),
                    _ => Err(SourceError::NotFound),
                }
            }
            Err(error) => Err(error.into()),
        }
    }
}
