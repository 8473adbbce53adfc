//! What is written down of the files consumers read, and telling whether they still are what was written.
//!
//! Proving uses the key beside them, so without this a damaged file would go unnoticed and the generation consumers could
//! fall back to would be retired.

use std::collections::BTreeMap;

use aws_lc_rs::digest;

use super::disk::{Fault, Folder, Kind};
use super::layout::RENDERED;
use crate::ids::Sha256;
use crate::store::StoreErrorKind;

/// What is written down once a form is complete, so that a half-rendered one is never taken for it.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rendered {
    /// Fingerprint of the form.
    pub(super) form: String,
    /// The names of its files.
    pub(super) files: Vec<String>,
    /// What each file held, by name. Missing in what older versions wrote: then only presence can be told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    contents: BTreeMap<String, Contents>,
}

/// What a file held when it was written.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    /// In bytes.
    size: u64,
    sha256: Sha256,
    /// When it was written, in nanoseconds since 1970, as text because JSON's numbers end before. Missing in what older versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
}

impl Rendered {
    pub(super) fn new(form: String) -> Rendered {
        Rendered { form, files: Vec::new(), contents: BTreeMap::new() }
    }

    /// Notes a file of the folder that was written.
    pub(super) fn add(&mut self, folder: &Folder, name: &str, contents: &[u8]) -> Result<(), Fault> {
        self.files.push(name.to_owned());
        let modified = folder.stat(name)?.map(|found| found.modified_nanoseconds.to_string());
        let noted = Contents { size: contents.len() as u64, sha256: sha256(contents), modified };
        self.contents.insert(name.to_owned(), noted);
        Ok(())
    }

    /// What is written down in a generation's folder; `None` when nothing is. Touches no key.
    pub(super) fn of(folder: &Folder) -> Result<Option<Rendered>, Fault> {
        let Some(bytes) = folder.read(RENDERED)? else { return Ok(None) };
        let parsed = serde_json::from_slice(&bytes).map_err(|error| {
            let path = folder.path().join(RENDERED);
            Fault::new(StoreErrorKind::Corrupt, format!("{}: {error}", path.display()))
        });
        parsed.map(Some)
    }

    /// The files that are missing or have another size. Opens none.
    pub(super) fn damaged_by_size(&self, folder: &Folder) -> Result<Vec<&str>, Fault> {
        let mut damaged = Vec::new();
        for name in &self.files {
            let stands = folder.stat(name)?.is_some_and(|found| {
                let size = self.contents.get(name).map(|noted| noted.size);
                found.kind == Kind::File && size.is_none_or(|size| size == found.size)
            });
            if !stands {
                damaged.push(name.as_str());
            }
        }
        Ok(damaged)
    }

    /// The files of the size they had that were written at another time. Opens none: what they hold may still be the same.
    pub(super) fn written_since(&self, folder: &Folder) -> Result<Vec<&str>, Fault> {
        let mut written = Vec::new();
        for (name, noted) in &self.contents {
            let found =
                folder.stat(name)?.filter(|found| found.kind == Kind::File && found.size == noted.size);
            let at = found.map(|found| found.modified_nanoseconds.to_string());
            if at.is_some() && noted.modified.is_some() && at != noted.modified {
                written.push(name.as_str());
            }
        }
        Ok(written)
    }

    /// The first file that is missing or holds something else. Reads all of them.
    pub(super) fn damaged(&self, folder: &Folder) -> Result<Option<&str>, Fault> {
        // Sizes first: what is too large to be read is damaged all the same.
        if let Some(name) = self.damaged_by_size(folder)?.first() {
            return Ok(Some(name));
        }
        for (name, noted) in &self.contents {
            let found = folder.read(name)?;
            if found.is_none_or(|found| sha256(&found) != noted.sha256) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

fn sha256(bytes: &[u8]) -> Sha256 {
    let mut sha256 = Sha256([0; 32]);
    sha256.0.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    sha256
}

/// Refuses a current generation whose files are not what was rendered. `thumbprint` is for the hint.
pub(super) fn check_current(folder: &Folder, thumbprint: &str) -> Result<(), Fault> {
    let changed = |name: &str| {
        let reason = format!(
            "the file consumers read was changed or is missing: {}",
            folder.path().join(name).display()
        );
        Fault::new(StoreErrorKind::Corrupt, reason)
            .hint(format!("rotate with --replace ADDRESS={thumbprint}, or restore it"))
    };
    // It is written before `current` ever points here, so one that is gone or garbled was tampered with.
    let rendered = match Rendered::of(folder) {
        Ok(Some(rendered)) => rendered,
        Ok(None) => return Err(changed(RENDERED)),
        Err(fault) if fault.kind == StoreErrorKind::Corrupt => return Err(changed(RENDERED)),
        Err(fault) => return Err(fault),
    };
    match rendered.damaged(folder)? {
        Some(name) => Err(changed(name)),
        None => Ok(()),
    }
}
