//! The book: public records and certificates of an entry's generations, and which version of which name holds each. A value of its own
//! beside the entry, so that looking never reads a value with a key in it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{RotationId, Sha256};
use crate::observed::record::{PublicRecord, RECORD_FORMAT, RecordedPhase};
use crate::observed::{Current, Generation, Holding, KeyState};
use crate::store::StoreError;
use crate::store::kept::{corrupt, request};
use crate::store::two_slot::Seen;
use crate::vault::kv::{Fields, Metadata, Version, Written};

/// The field the book stands in.
const FIELD: &str = "records";

/// All generations of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Book {
    pub(super) generations: Vec<Page>,
}

/// One generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    pub(super) record: PublicRecord,
    /// Leaf, then the chain, PEM. Empty for an adopted generation of which only the thumbprints are known.
    #[serde(default)]
    pub(super) certificates: String,
    /// The signing request, PEM, where somebody else signs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) request: String,
    /// Versions of the entry itself that hold it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) live: Vec<At>,
    /// Versions of the waiting name that hold it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) next: Vec<At>,
}

/// A version. Its time tells it from one of the same number after a name was deleted and made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct At {
    pub(super) version: u64,
    pub(super) created: String,
}

impl At {
    pub(super) fn of(written: &Written) -> At {
        At { version: written.version, created: written.created_time.clone() }
    }

    fn is(&self, version: u64, found: &Version) -> bool {
        self.version == version && self.created == found.created_time
    }

    /// Whether the version is still there with its values.
    pub(super) fn is_held(&self, metadata: &Metadata, now: Timestamp) -> bool {
        let found = metadata.versions.get(&self.version);
        found.is_some_and(|found| self.is(self.version, found) && found.is_held_at(now))
    }
}

impl Book {
    pub(super) fn parse(fields: &Fields) -> Result<Book, StoreError> {
        let text = fields.get(FIELD).and_then(Value::as_str);
        let text = text.ok_or_else(|| corrupt("the records beside the entry are not certroll's"))?;
        let book: Book = serde_json::from_str(text).map_err(|error| {
            corrupt(&format!("the records beside the entry cannot be understood: {error}"))
        })?;
        match book.generations.iter().find(|page| page.record.format != RECORD_FORMAT) {
            Some(page) => {
                let format = page.record.format;
                Err(corrupt(&format!(
                    "a record of format {format}: written by a newer certroll, use that one"
                )))
            }
            None => Ok(book),
        }
    }

    pub(super) fn to_fields(&self) -> Result<Fields, StoreError> {
        let text = serde_json::to_string(self).map_err(|error| corrupt(&error.to_string()))?;
        Ok(Fields::from_iter([(FIELD.to_owned(), Value::String(text))]))
    }

    pub(super) fn page(&self, sha256: &Sha256) -> Option<&Page> {
        self.generations.iter().find(|page| page.sha256() == Some(*sha256))
    }

    pub(super) fn page_mut(&mut self, sha256: &Sha256) -> Option<&mut Page> {
        self.generations.iter_mut().find(|page| page.sha256() == Some(*sha256))
    }

    /// The page of the generation of that rotation whose certificate is awaited.
    pub(super) fn pending(&self, rotation: Option<RotationId>) -> Option<&Page> {
        self.generations.iter().find(|page| page.is_pending(rotation))
    }

    /// The page of a generation, with its certificate or still without.
    pub(super) fn of(&self, record: &PublicRecord) -> Option<&Page> {
        match record.thumbprints {
            Some(thumbprints) => self.page(&thumbprints.sha256),
            None => self.pending(record.rotation_id),
        }
    }

    /// As [`Book::of`].
    pub(super) fn of_mut(&mut self, record: &PublicRecord) -> Option<&mut Page> {
        match record.thumbprints {
            Some(thumbprints) => self.page_mut(&thumbprints.sha256),
            None => self.pending_mut(record.rotation_id),
        }
    }

    /// As [`Book::pending`].
    pub(super) fn pending_mut(&mut self, rotation: Option<RotationId>) -> Option<&mut Page> {
        self.generations.iter_mut().find(|page| page.is_pending(rotation))
    }

    /// The page of a generation, made if there is none yet.
    pub(super) fn put(&mut self, page: Page) {
        match page.sha256().and_then(|sha256| self.page_mut(&sha256)) {
            Some(known) => *known = page,
            None => self.generations.push(page),
        }
    }
}

impl Page {
    pub(super) fn new(record: &PublicRecord, certificates: String) -> Page {
        Page {
            record: record.clone(),
            certificates,
            request: String::new(),
            live: Vec::new(),
            next: Vec::new(),
        }
    }

    pub(super) fn sha256(&self) -> Option<Sha256> {
        self.record.thumbprints.map(|thumbprints| thumbprints.sha256)
    }

    fn is_pending(&self, rotation: Option<RotationId>) -> bool {
        let record = &self.record;
        record.phase == RecordedPhase::Requested && rotation.is_some() && record.rotation_id == rotation
    }
}

/// Everything that is seen of an entry without reading a key.
pub(in crate::store) struct View {
    pub(super) book: Book,
    /// Version of the book; 0 where there is none.
    pub(super) book_version: u64,
    pub(super) live: Metadata,
    pub(super) next: Metadata,
    /// What the newest version of the entry holds, where the book does not know it: the thumbprint in the name of a field.
    pub(super) live_is: Option<Sha256>,
    /// Whether the newest version of the entry has only fields that no consumer of the certificate reads.
    pub(super) live_is_beside: bool,
    /// The waiting version that the book does not know, and what it holds.
    pub(super) stray: Option<(u64, Option<Sha256>)>,
    pub(super) now: Timestamp,
}

impl View {
    fn newest_live(&self) -> Option<(u64, &Version)> {
        let version = self.live.current_version;
        self.live.versions.get(&version).map(|found| (version, found))
    }

    /// Whether the book knows the newest version of the entry, or nothing readable is there.
    pub(super) fn knows_live(&self) -> bool {
        match self.newest_live() {
            Some((version, found)) if found.is_held_at(self.now) => {
                self.book.generations.iter().any(|page| page.live.iter().any(|at| at.is(version, found)))
            }
            _ => true,
        }
    }

    /// The waiting version that is there and the book does not know.
    pub(super) fn unbooked_next(&self) -> Option<u64> {
        let version = self.next.current_version;
        let found = self.next.versions.get(&version).filter(|found| found.is_held_at(self.now))?;
        let known = self.book.generations.iter().any(|page| page.next.iter().any(|at| at.is(version, found)));
        (!known).then_some(version)
    }

    /// Older versions of the entry that the book does not know: somebody changed a field of theirs, and wrote ours back with it.
    pub(super) fn unbooked_live(&self) -> Vec<u64> {
        let booked = |version: u64, found: &Version| {
            self.book.generations.iter().any(|page| page.live.iter().any(|at| at.is(version, found)))
        };
        let versions = self.live.versions.iter().filter(|(version, found)| {
            **version != self.live.current_version && found.is_held_at(self.now) && !booked(**version, found)
        });
        versions.map(|(version, _)| *version).collect()
    }

    /// The versions that hold a generation: waiting ones, then those of the entry, the best last.
    pub(super) fn copies(&self, sha256: &Sha256) -> Vec<(bool, u64)> {
        let Some(page) = self.book.page(sha256) else { return Vec::new() };
        let mut copies = self.booked_copies(page);
        let newest = self.live.current_version;
        if self.live_is == Some(*sha256) && !copies.contains(&(true, newest)) {
            copies.push((true, newest));
        }
        copies
    }

    /// Those that the book knows.
    pub(super) fn booked_copies(&self, page: &Page) -> Vec<(bool, u64)> {
        let held = |all: &[At], metadata: &Metadata, live: bool| -> Vec<(bool, u64)> {
            let held = all.iter().filter(|at| at.is_held(metadata, self.now));
            held.map(|at| (live, at.version)).collect()
        };
        let mut copies = held(&page.next, &self.next, false);
        copies.extend(held(&page.live, &self.live, true));
        copies
    }

    /// What consumers read now.
    pub(super) fn current(&self) -> Result<Option<Current>, StoreError> {
        let Some((version, found)) = self.newest_live() else { return Ok(None) };
        if !found.is_held_at(self.now) {
            return Err(corrupt(&format!(
                "version {version}, the newest, was deleted: consumers read nothing. Undelete it, or delete the name with its metadata"
            )));
        }
        // Nothing was ever promoted here: what others keep at the path is no certificate.
        if self.live_is_beside && self.book.generations.iter().all(|page| page.live.is_empty()) {
            return Ok(None);
        }
        let booked =
            self.book.generations.iter().find(|page| page.live.iter().any(|at| at.is(version, found)));
        let known =
            booked.and_then(Page::sha256).or(self.live_is.filter(|sha256| self.book.page(sha256).is_some()));
        Ok(Some(match known {
            Some(sha256) => Current::Recorded(sha256),
            None => Current::Unrecorded { thumbprints: None },
        }))
    }
}

impl Seen for View {
    fn holding(&self) -> Result<Holding, StoreError> {
        let mut generations: Vec<Generation> = self
            .book
            .generations
            .iter()
            .filter_map(|page| {
                let (handle, copies) = match page.sha256() {
                    Some(sha256) => (sha256.to_string(), self.copies(&sha256)),
                    None => (page.record.rotation_id?.to_string(), self.booked_copies(page)),
                };
                let key = if copies.is_empty() { KeyState::Destroyed } else { KeyState::Held };
                Some(Generation { handle, record: page.record.clone(), key })
            })
            .collect();
        generations
            .sort_by(|a, b| (a.record.requested_at, &a.handle).cmp(&(b.record.requested_at, &b.handle)));
        Ok(Holding { current: self.current()?, generations })
    }

    fn request(&self, generation: &Generation) -> Result<Option<Vec<u8>>, StoreError> {
        let page = self.book.of(&generation.record).filter(|page| !page.request.is_empty());
        page.map(|page| request(&page.request)).transpose()
    }
}
