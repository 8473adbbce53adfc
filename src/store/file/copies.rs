//! Copies of a generation in a folder that is no store of certroll's: what a file delivery writes.
//!
//! ```text
//! <folder>/
//!   <name>.pem, <name>.pfx, <name>.password, …   what consumers read, each replaced in one step, 0600 from the first byte
//!   .<name>.certroll.json                        which files those are, of which generation, and what they looked like
//!   .lock
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::disk::{Fault, Folder, Kind, Standing};
use super::layout::TEMPORARY;
use super::{LOCK_PAUSE, LOCK_WAIT, Work, error, git_fault, lock, refuse_other_case};
use crate::ids::Thumbprints;
use crate::store::{StoreError, StoreErrorKind};

/// The place of the copies.
pub(crate) struct Copies {
    pub(crate) folder: PathBuf,
    /// What the files are called, without ending.
    pub(crate) name: String,
}

/// What stands there.
pub(crate) enum Found {
    Nothing,
    /// The files that were written, untouched as far as size and time of change tell.
    AsWritten(Thumbprints),
    /// Something else, and what.
    Changed(String),
}

/// What is written down beside the files, after them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    thumbprints: Thumbprints,
    files: BTreeMap<String, Seen>,
}

/// What a file looked like when it was written.
#[derive(Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// In bytes.
    size: u64,
    /// Nanoseconds since 1970, as text because JSON's numbers end before.
    modified: String,
}

impl Seen {
    fn of(standing: &Standing) -> Option<Seen> {
        (standing.kind == Kind::File)
            .then(|| Seen { size: standing.size, modified: standing.modified_nanoseconds.to_string() })
    }
}

impl Fault {
    /// As an error of a store, while doing that.
    pub(crate) fn error(self, doing: String) -> StoreError {
        error(doing, self)
    }
}

impl Copies {
    /// What stands there. Opens no file but certroll's own note.
    pub(crate) async fn look(&self) -> Result<Found, Fault> {
        let (folder, name) = (self.folder.clone(), self.name.clone());
        Work::Aside.does(move || look(&folder, &name)).await
    }

    /// Writes the files in that order and then the note. Files that an earlier delivery wrote and this one does not are removed.
    pub(crate) async fn write(
        &self,
        thumbprints: Thumbprints,
        files: Vec<(String, Zeroizing<Vec<u8>>)>,
    ) -> Result<(), Fault> {
        let (folder, name) = (self.folder.clone(), self.name.clone());
        Work::Aside.does(move || write(&folder, &name, thumbprints, &files)).await
    }
}

fn note_name(name: &str) -> String {
    format!(".{name}.certroll.json")
}

fn look(folder: &std::path::Path, name: &str) -> Result<Found, Fault> {
    let folder = match Folder::open(folder, None) {
        Ok(folder) => folder,
        Err(fault) if fault.kind == StoreErrorKind::Missing && !super::is_link(folder) => {
            return Ok(Found::Nothing);
        }
        Err(fault) => return Err(fault),
    };
    let Some(note) = read_note(&folder, name)? else {
        let mut ours = folder.names()?.into_iter().filter(|found| is_copy_of(found, name));
        return Ok(ours.next().map_or(Found::Nothing, |found| {
            Found::Changed(format!("{found} was not written by a delivery that came to its end"))
        }));
    };
    for (file, seen) in &note.files {
        let standing = folder.stat(file)?;
        if standing.as_ref().and_then(Seen::of).as_ref() != Some(seen) {
            return Ok(Found::Changed(format!("{file} was changed or is missing")));
        }
    }
    Ok(Found::AsWritten(note.thumbprints))
}

/// Whether a file may be a form of that name: `cloudm.pfx` and not `cloudm-eu.pfx`.
fn is_copy_of(found: &str, name: &str) -> bool {
    let ending = found.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
    ending.is_some_and(|ending| matches!(ending, "pem" | "pem.b64" | "crt" | "key" | "pfx" | "pfx.b64"))
}

/// A note that cannot be read is none: the files are then written anew.
fn read_note(folder: &Folder, name: &str) -> Result<Option<Written>, Fault> {
    let text = folder.read(&note_name(name))?;
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
}

fn write(
    folder: &std::path::Path,
    name: &str,
    thumbprints: Thumbprints,
    files: &[(String, Zeroizing<Vec<u8>>)],
) -> Result<(), Fault> {
    if let Some(fault) = git_fault(folder, &folder.join(name))? {
        return Err(fault);
    }
    Folder::make_path(folder, None)?;
    let folder = Folder::open(folder, None)?;
    let lock = take_lock(&folder)?;
    sweep(&folder, name)?;
    let before = read_note(&folder, name)?;
    let mut note = Written { thumbprints, files: BTreeMap::new() };
    for (file, contents) in files {
        refuse_other_case(&folder, file)?;
        refuse_folder(&folder, file)?;
        folder.replace(file, &format!("{TEMPORARY}{name}"), contents)?;
        if let Some(seen) = folder.stat(file)?.as_ref().and_then(Seen::of) {
            note.files.insert(file.clone(), seen);
        }
    }
    let left = before.into_iter().flat_map(|before| before.files.into_keys());
    for file in left.filter(|file| !note.files.contains_key(file) && !file.contains('/')) {
        folder.unlink(&file)?;
    }
    let text = serde_json::to_vec(&note).map_err(|error| {
        Fault::new(StoreErrorKind::Refused, format!("the note cannot be written: {error}"))
    })?;
    folder.replace(&note_name(name), &format!("{TEMPORARY}{name}"), &text)?;
    drop(lock);
    Ok(())
}

/// A link is replaced like a file and never written through; a folder or device in a file's place is somebody's mistake.
fn refuse_folder(folder: &Folder, file: &str) -> Result<(), Fault> {
    match folder.kind(file)? {
        None | Some(Kind::File | Kind::Link) => Ok(()),
        Some(Kind::Folder | Kind::Other) => {
            let reason = format!("{} is no ordinary file", folder.path().join(file).display());
            Err(Fault::new(StoreErrorKind::Refused, reason)
                .hint("move it away, or deliver under another name"))
        }
    }
}

/// What a killed run left behind may hold a key.
fn sweep(folder: &Folder, name: &str) -> Result<(), Fault> {
    folder.unlink(&format!("{TEMPORARY}{name}"))
}

fn take_lock(folder: &Folder) -> Result<lock::Lock, Fault> {
    let mut waited = Duration::ZERO;
    loop {
        match lock::try_lock(folder)? {
            Ok(lock) => return Ok(lock),
            Err(held) if waited >= LOCK_WAIT => return Err(lock::busy(folder, &held, LOCK_WAIT.as_secs())),
            Err(_) => std::thread::sleep(LOCK_PAUSE),
        }
        waited += LOCK_PAUSE;
    }
}
