//! What reading a declaration needs of the outside: a few questions about files. Everything else here is pure, so that
//! any bytes can be thrown at it.

use std::path::{Component, Path, PathBuf};

/// Why something could not be read. Says what happened, never what is in the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Nothing is there.
    #[error("there is no such file or folder")]
    NotFound,
    /// It is larger than was asked for.
    #[error("it is larger than {}", size(*limit_bytes))]
    TooLarge {
        /// The limit that was given.
        limit_bytes: u64,
    },
    /// Neither a file nor a folder: a device, a pipe, a socket.
    #[error("it is neither a file nor a folder")]
    Special,
    /// A symbolic link that leads nowhere.
    #[error("it is a symbolic link that leads nowhere")]
    DanglingLink,
    /// Anything else, in the system's words.
    #[error("{0}")]
    Other(String),
}

/// A limit in the unit a person would name it in.
fn size(bytes: u64) -> String {
    match bytes / 1024 {
        kib if kib >= 1024 && kib % 1024 == 0 => format!("{} MiB", kib / 1024),
        kib => format!("{kib} KiB"),
    }
}

/// What a path is, symbolic links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// An ordinary file.
    File,
    /// A folder.
    Folder,
}

/// Where declarations and the public files they name are read from.
pub trait Sources {
    /// What the path is.
    fn kind(&self, path: &Path) -> Result<PathKind, SourceError>;
    /// The names of the ordinary files in a folder, links to files included, subfolders not. In any order.
    fn list(&self, folder: &Path) -> Result<Vec<String>, SourceError>;
    /// The whole of an ordinary file of at most `limit_bytes`.
    fn read(&self, path: &Path, limit_bytes: u64) -> Result<Vec<u8>, SourceError>;
    /// The path without symbolic links. What does not exist yet is appended to the deepest part that does.
    fn canonical(&self, path: &Path) -> Result<PathBuf, SourceError>;
}

/// Why a path in a declaration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PathError {
    /// It names nothing.
    #[error("the path is empty")]
    Empty,
    /// It starts at a root.
    #[error("the path is absolute; paths stay below the folder of the file that names them")]
    Absolute,
    /// It climbs.
    #[error("the path has `..` in it; paths stay below the folder of the file that names them")]
    Climbs,
    /// A symbolic link leads out.
    #[error("a symbolic link leads out of the folder of the file that names it")]
    LeadsOut,
    /// It cannot be looked at.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// A path that was found to stay below the folder of the file that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contained {
    /// Joined with the declaring folder, as a person would write it.
    pub(super) path: PathBuf,
    /// Without symbolic links; tells whether two paths are one.
    pub(super) canonical: PathBuf,
}

/// Checks that `text` stays below `folder`, symbolic links and backslashes included. It need not exist.
pub(super) fn contained(sources: &dyn Sources, folder: &Path, text: &str) -> Result<Contained, PathError> {
    if text.is_empty() {
        return Err(PathError::Empty);
    }
    // A drive or a share is absolute on one system and a strange name on another; the same file must mean the same on both.
    let drive = text.as_bytes().get(1) == Some(&b':') && text.as_bytes()[0].is_ascii_alphabetic();
    if text.starts_with(['/', '\\', '~']) || drive {
        return Err(PathError::Absolute);
    }
    if text.split(['/', '\\']).any(|part| part == "..") {
        return Err(PathError::Climbs);
    }
    let relative: PathBuf =
        Path::new(text).components().filter(|component| matches!(component, Component::Normal(_))).collect();
    let path = folder.join(relative);
    let base = sources.canonical(folder)?;
    let canonical = sources.canonical(&path)?;
    if !canonical.starts_with(&base) {
        return Err(PathError::LeadsOut);
    }
    Ok(Contained { path, canonical })
}

#[cfg(test)]
mod tests {
    use super::SourceError;

    #[test]
    fn a_limit_is_named_in_a_unit_that_fits_it() {
        for (limit_bytes, words) in
            [(64 * 1024, "64 KiB"), (32 * 1024 * 1024, "32 MiB"), (1536 * 1024, "1536 KiB")]
        {
            let error = SourceError::TooLarge { limit_bytes };
            assert_eq!(error.to_string(), format!("it is larger than {words}"));
        }
    }
}
