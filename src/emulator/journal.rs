//! What was asked, a JSON object a line. Never bodies, headers or tokens.
#![allow(clippy::disallowed_methods, reason = "the journal of a state file is a file beside it")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::emulator::disk::{failed, private};
use crate::emulator::error::EmulatorError;

/// One request, or one item of a `$batch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// The emulator's time.
    pub time: Timestamp,
    /// The HTTP method.
    pub method: String,
    /// Path and query as they were sent; the query is left out on the login side.
    pub path: String,
    /// The status it answered; for a lost answer, the one that would have been sent, or 0 when the request
    /// was never looked at.
    pub status: u16,
    /// Whether it asked the directory for a change, successful or not.
    pub writes: bool,
    /// The client that asked, as far as its token or form said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The `request-id` of the answer.
    pub request_id: String,
    /// The answer never arrived.
    #[serde(default, skip_serializing_if = "is_false")]
    pub lost: bool,
    /// The id of the item inside the `$batch` recorded just after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_item: Option<String>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Where entries go.
pub(crate) enum Journal {
    Memory(Vec<JournalEntry>),
    File { path: PathBuf, handle: Option<File> },
}

impl Journal {
    pub(crate) fn add(&mut self, entries: Vec<JournalEntry>) -> Result<(), EmulatorError> {
        match self {
            Journal::Memory(all) => all.extend(entries),
            Journal::File { path, handle } => {
                let mut text = String::new();
                for entry in &entries {
                    // An entry is plain text and numbers: writing it as JSON cannot fail.
                    text += &serde_json::to_string(entry).unwrap_or_default();
                    text.push('\n');
                }
                let file = match handle {
                    Some(file) => file,
                    None => handle.insert(private(OpenOptions::new().create(true).append(true), path)?),
                };
                file.write_all(text.as_bytes()).map_err(failed("writing", path))?;
            }
        }
        Ok(())
    }

    /// One for a copy of the emulator: the same file, or one of its own in memory.
    pub(crate) fn shared(&self) -> Journal {
        match self {
            Journal::Memory(_) => Journal::Memory(Vec::new()),
            Journal::File { path, .. } => Journal::File { path: path.clone(), handle: None },
        }
    }

    pub(crate) fn read(&self) -> Result<Vec<JournalEntry>, EmulatorError> {
        let path = match self {
            Journal::Memory(all) => return Ok(all.clone()),
            Journal::File { path, .. } => path,
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("reading", path)(error)),
        };
        // The last line may be cut short: somebody died writing it, before answering.
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    pub(crate) fn clear(&mut self) -> Result<(), EmulatorError> {
        match self {
            Journal::Memory(all) => all.clear(),
            Journal::File { path, handle } => match handle {
                // Other processes append to the same file, so it is emptied, not replaced.
                Some(file) => file.set_len(0).map_err(failed("emptying", path))?,
                None => {
                    let options = &mut OpenOptions::new();
                    private(options.create(true).write(true).truncate(true), path)?;
                }
            },
        }
        Ok(())
    }
}
