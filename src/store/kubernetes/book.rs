//! The book: public records and certificates of an entry's generations, in an annotation of the Secret that keeps their keys, so that
//! a key and its record are written at once and looking reads no value.

use serde::{Deserialize, Serialize};

use crate::ids::{RotationId, Sha256};
use crate::kubernetes::fields;
use crate::kubernetes::object::Meta;
use crate::observed::record::{PublicRecord, RECORD_FORMAT, RecordedPhase};
use crate::observed::{Current, Generation, Holding, KeyState};
use crate::store::StoreError;
use crate::store::kept::{corrupt, request};
use crate::store::two_slot::Seen;

/// The annotation the book stands in.
pub(super) const ANNOTATION: &str = "certroll/records";

/// Largest book, in bytes. All annotations of an object have 262,144 together.
const BYTES_MAX: usize = 200_000;

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
    /// Leaf, then the chain, PEM. Empty once the key is gone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) certificates: String,
    /// Of an adopted generation: who had written the Secret, and when, at the time it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) adopted: Option<String>,
    /// The signing request, PEM, until the certificate is there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) request: String,
}

impl Page {
    pub(super) fn new(record: &PublicRecord, certificates: String) -> Page {
        Page { record: record.clone(), certificates, adopted: None, request: String::new() }
    }

    /// Whether its certificate is awaited.
    fn is_pending(&self, rotation: Option<RotationId>) -> bool {
        rotation.is_some()
            && self.record.rotation_id == rotation
            && self.record.phase == RecordedPhase::Requested
    }

    pub(super) fn sha256(&self) -> Option<Sha256> {
        self.record.thumbprints.map(|thumbprints| thumbprints.sha256)
    }
}

impl Book {
    /// That of a Secret's annotations; an empty one where there is none.
    pub(super) fn of(meta: Option<&Meta>) -> Result<Book, StoreError> {
        let Some(text) = meta.and_then(|meta| meta.annotation(ANNOTATION)) else {
            return Ok(Book::default());
        };
        let book: Book = serde_json::from_str(text)
            .map_err(|error| corrupt(&format!("the records cannot be understood: {error}")))?;
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

    /// As text. The oldest retired generations are forgotten where there is no room for all.
    pub(super) fn to_text(&self) -> Result<String, StoreError> {
        let mut book = self.clone();
        for page in book.generations.iter_mut().filter(|page| page.record.phase == RecordedPhase::Retired) {
            page.certificates.clear();
        }
        loop {
            let text = serde_json::to_string(&book).map_err(|error| corrupt(&error.to_string()))?;
            if text.len() <= BYTES_MAX {
                return Ok(text);
            }
            let retired = |page: &Page| page.record.phase == RecordedPhase::Retired;
            match book.generations.iter().position(retired) {
                Some(oldest) => book.generations.remove(oldest),
                None => return Err(corrupt("the records do not fit into an annotation")),
            };
        }
    }

    pub(super) fn page(&self, sha256: &Sha256) -> Option<&Page> {
        self.generations.iter().find(|page| page.sha256() == Some(*sha256))
    }

    pub(super) fn page_mut(&mut self, sha256: &Sha256) -> Option<&mut Page> {
        self.generations.iter_mut().find(|page| page.sha256() == Some(*sha256))
    }

    /// The page of a rotation whose certificate is awaited.
    pub(super) fn pending(&self, rotation: Option<RotationId>) -> Option<&Page> {
        self.generations.iter().find(|page| page.is_pending(rotation))
    }

    /// The page of a generation, with its certificate or still without.
    pub(super) fn of_mut(&mut self, record: &PublicRecord) -> Option<&mut Page> {
        match record.thumbprints {
            Some(thumbprints) => self.page_mut(&thumbprints.sha256),
            None => self.pending_mut(record.rotation_id),
        }
    }

    /// As [`Book::pending`].
    fn pending_mut(&mut self, rotation: Option<RotationId>) -> Option<&mut Page> {
        self.generations.iter_mut().find(|page| page.is_pending(rotation))
    }

    /// Forgets a rotation whose certificate was awaited.
    pub(super) fn forget_pending(&mut self, rotation: Option<RotationId>) {
        self.generations.retain(|page| !page.is_pending(rotation));
    }

    /// The page of a generation, made if there is none yet.
    pub(super) fn put(&mut self, page: Page) {
        match page.sha256().and_then(|sha256| self.page_mut(&sha256)) {
            Some(known) => *known = page,
            None => self.generations.push(page),
        }
    }
}

/// Start of the name of the field that keeps a generation's key; its SHA-256 thumbprint follows.
const KEPT: &str = "certroll-";

/// Whether a Secret holds values, and certroll neither wrote them nor keeps records there.
pub(super) fn is_foreign(meta: &Meta) -> bool {
    let mut fields = meta.data_fields().into_iter().flatten();
    meta.annotation(ANNOTATION).is_none() && fields.any(|field| !field.starts_with(KEPT))
}

/// The field that keeps a generation's key.
pub(super) fn kept_field(sha256: &Sha256) -> String {
    format!("{KEPT}{sha256}")
}

/// The field that keeps a key whose certificate is awaited.
pub(super) fn pending_field(rotation: RotationId) -> String {
    format!("{KEPT}request-{rotation}")
}

/// Everything that is seen of an entry without reading a value.
pub(in crate::store) struct View {
    pub(super) book: Book,
    /// What consumers read.
    pub(super) live: Option<Meta>,
    /// What keeps keys and records.
    pub(super) next: Option<Meta>,
    /// The fields consumers read in the declared form.
    pub(super) names: Vec<String>,
}

impl View {
    fn is_held(&self, page: &Page) -> bool {
        let fields = self.next.as_ref().and_then(Meta::data_fields);
        let Some(sha256) = page.sha256() else {
            let field = page.record.rotation_id.map(pending_field);
            return field.is_some_and(|field| fields.is_none_or(|fields| fields.contains(&field)));
        };
        if page.adopted.is_some() && self.adopted() == Some(sha256) {
            return true;
        }
        match fields {
            Some(fields) => fields.contains(&kept_field(&sha256)),
            None => page.adopted.is_none() && page.record.phase != RecordedPhase::Retired,
        }
    }

    /// The adopted generation that consumers still read.
    fn adopted(&self) -> Option<Sha256> {
        let history = self.live.as_ref()?.data_history();
        self.book.generations.iter().find(|page| page.adopted.as_ref() == Some(&history))?.sha256()
    }

    /// What consumers read now.
    pub(super) fn current(&self) -> Result<Option<Current>, StoreError> {
        let Some(live) = &self.live else {
            let promoted = |page: &&Page| page.record.phase == RecordedPhase::Promoted && self.is_held(page);
            return match self.book.generations.iter().find(promoted) {
                Some(_) => Err(corrupt(
                    "the Secret was deleted: consumers read nothing. Restore it, or delete the one with -next too",
                )),
                None => Ok(None),
            };
        };
        let ours = fields::holds(live).map(|thumbprints| thumbprints.sha256).or_else(|| self.adopted());
        if let Some(sha256) = ours.filter(|sha256| self.book.page(sha256).is_some()) {
            return Ok(Some(Current::Recorded(sha256)));
        }
        let fields = live.data_fields();
        let nothing = fields.is_some_and(|fields| !self.names.iter().any(|name| fields.contains(name)));
        Ok((!nothing).then_some(Current::Unrecorded { thumbprints: None }))
    }
}

impl Seen for View {
    fn holding(&self) -> Result<Holding, StoreError> {
        let mut generations: Vec<Generation> = self
            .book
            .generations
            .iter()
            .filter_map(|page| {
                let handle = match page.sha256() {
                    Some(sha256) => sha256.to_string(),
                    None => page.record.rotation_id?.to_string(),
                };
                let key = if self.is_held(page) { KeyState::Held } else { KeyState::Destroyed };
                Some(Generation { handle, record: page.record.clone(), key })
            })
            .collect();
        generations
            .sort_by(|a, b| (a.record.requested_at, &a.handle).cmp(&(b.record.requested_at, &b.handle)));
        Ok(Holding { current: self.current()?, generations })
    }

    fn request(&self, generation: &Generation) -> Result<Option<Vec<u8>>, StoreError> {
        let page = self.book.pending(generation.record.rotation_id);
        page.map(|page| request(&page.request)).transpose()
    }
}
