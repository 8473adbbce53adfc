//! Everything public about a certificate whose key never leaves: its versions, the operation that waits, and what is noted of operations.

use super::notes::Notes;
use crate::ids::{Sha256, Thumbprints};
use crate::key_vault::Version;
use crate::key_vault::certificates::Operation;
use crate::observed::{Current, Generation, Holding, KeyState};
use crate::store::StoreError;

/// The tag that says which operation a note is about.
pub(super) const REQUEST: &str = "request-id";

/// A version of the companion.
#[derive(Debug, Clone)]
pub(super) struct Note {
    pub(super) version: Version,
    pub(super) request_id: String,
    pub(super) notes: Notes,
}

/// A version of the certificate.
pub(super) struct Merged {
    pub(super) version: Version,
    pub(super) notes: Option<Notes>,
}

/// What is seen without touching a key.
pub(super) struct View {
    /// Oldest first.
    pub(super) versions: Vec<Merged>,
    /// Of the newest, where it has no record.
    pub(super) unrecorded: Option<Thumbprints>,
    pub(super) operation: Option<Operation>,
    /// One for each operation, oldest first.
    pub(super) notes: Vec<Note>,
}

impl View {
    pub(super) fn new(
        versions: Vec<Version>,
        operation: Option<Operation>,
        companion: Vec<Version>,
    ) -> Result<View, StoreError> {
        let mut notes: Vec<Note> = Vec::new();
        for version in companion.into_iter().filter(|version| version.enabled) {
            let Some(request_id) = version.tags.get(REQUEST).cloned() else { continue };
            let Some(noted) = Notes::of(&version.tags)? else { continue };
            let note = Note { version, request_id, notes: noted };
            match notes.iter_mut().find(|known| known.request_id == note.request_id) {
                // Two of one second have no order; the one with the certificate is the later one.
                Some(known) if note.notes.sha256().is_some() || known.notes.sha256().is_none() => {
                    *known = note
                }
                Some(_) => {}
                None => notes.push(note),
            }
        }
        let mut merged = Vec::new();
        for version in versions {
            let fits = |notes: &Notes| {
                version.sha1.is_some() && notes.record.thumbprints.map(|noted| noted.sha1) == version.sha1
            };
            let own = Notes::of(&version.tags)?.filter(fits);
            let noted = notes.iter().map(|note| note.notes.clone()).find(fits);
            merged.push(Merged { notes: own.or(noted), version });
        }
        Ok(View { versions: merged, unrecorded: None, operation, notes })
    }

    pub(super) fn version(&self, sha256: &Sha256) -> Option<&Merged> {
        let of = |one: &&Merged| one.notes.as_ref().and_then(Notes::sha256) == Some(*sha256);
        self.versions.iter().rev().find(of)
    }

    pub(super) fn is_tied(&self) -> bool {
        match self.versions.as_slice() {
            [.., before, newest] => before.version.created == newest.version.created,
            _ => false,
        }
    }

    /// The note of the operation that waits.
    pub(super) fn waiting(&self) -> Option<&Note> {
        let operation = self.operation.as_ref()?;
        self.notes.iter().find(|note| note.request_id == operation.request_id)
    }

    pub(super) fn waiting_generation(&self) -> Option<Generation> {
        let note = self.waiting()?;
        let handle = format!("pending@{}", note.request_id);
        Some(Generation { handle, record: note.notes.record.clone(), key: KeyState::Held })
    }

    /// What is current, and everything with a record. A note whose operation is neither pending nor merged is of a key that is gone.
    pub(super) fn holding(&self) -> Result<Holding, StoreError> {
        let mut holding = Holding::default();
        for merged in &self.versions {
            if let Some(notes) = &merged.notes {
                let key = if merged.version.enabled { KeyState::Held } else { KeyState::Disabled };
                let (handle, record) = (merged.version.id.clone(), notes.record.clone());
                holding.generations.push(Generation { handle, record, key });
            }
        }
        holding.generations.extend(self.waiting_generation());
        for note in self.notes.iter().filter(|note| note.notes.sha256().is_some()) {
            let record = &note.notes.record;
            if !holding.generations.iter().any(|known| known.record.thumbprints == record.thumbprints) {
                let handle = format!("gone@{}", note.request_id);
                holding.generations.push(Generation {
                    handle,
                    record: record.clone(),
                    key: KeyState::Destroyed,
                });
            }
        }
        holding
            .generations
            .sort_by(|a, b| (a.record.requested_at, &a.handle).cmp(&(b.record.requested_at, &b.handle)));
        holding.current = self.current()?;
        Ok(holding)
    }

    pub(super) fn current(&self) -> Result<Option<Current>, StoreError> {
        let Some(newest) = self.versions.last() else { return Ok(None) };
        if !newest.version.enabled {
            let id = &newest.version.id;
            return Err(crate::store::kept::corrupt(&format!(
                "version {id}, the newest, is disabled: consumers cannot sign. Enable it, or make the version that is meant"
            )));
        }
        Ok(Some(match newest.notes.as_ref().and_then(Notes::sha256) {
            Some(sha256) => Current::Recorded(sha256),
            None => Current::Unrecorded { thumbprints: self.unrecorded },
        }))
    }
}
