//! What goes wrong with the emulator itself, as opposed to what it answers.

use std::io;
use std::path::PathBuf;

/// Why the emulator could not do what it was asked through its own doors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmulatorError {
    /// A file could not be read, written or locked.
    #[error("{doing} {path}")]
    File {
        /// What was being done, a gerund.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The state file is not one of ours, or of a format this version does not read.
    #[error("reading the emulator's state {path}: {reason}")]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; quotes nothing from the file.
        reason: String,
    },
    /// A change asked for through the emulator's other door makes no sense.
    #[error("{0}")]
    Refused(String),
    /// The server could not be set up.
    #[error("serving the emulator: {doing}")]
    Server {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl EmulatorError {
    pub(crate) fn refused(reason: impl Into<String>) -> EmulatorError {
        EmulatorError::Refused(reason.into())
    }
}
