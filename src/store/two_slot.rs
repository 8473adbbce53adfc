//! What all stores with two names have in common: consumers read one name, and keys wait at another. Who may be staged, promoted,
//! attached to and removed is decided here, and refused in the same words; a store of this shape writes its wire alone.

use async_trait::async_trait;

use super::{KeyRequest, Pending, StoreError, StoreErrorKind, StoreReader, StoreWriter, unsupported};
use crate::desired::StoreBinding;
use crate::ids::Thumbprints;
use crate::issuer::Issued;
use crate::key::{LocalSigner, PrivateKey, Secret, Signer};
use crate::observed::record::{PublicRecord, RecordedPhase};
use crate::observed::{Current, Generation, Holding, KeyState, ObservedStore, Removal, Shape, StoreState};

/// Why nothing is promoted over what a rival made current.
pub(super) const CHANGED: &str = "somebody else changed what is current";
/// Why a promotion did not come to stay.
pub(super) const WROTE_TOO: &str = "somebody else wrote at the same time";
/// What the plan counted on is gone.
pub(super) const NO_SUCH_GENERATION: &str = "there is no such generation";

const GIVEN_UP: &str = "it was rolled back from";
const IN_USE: &str = "it is what consumers read";
const NOT_TOGETHER: &str = "certificate and record do not belong together";
const OTHER_KEY: &str = "the certificate is for another key than the one that waits for it";

/// A generation on its way into a slot.
pub(super) struct Whole<'a> {
    pub(super) key: &'a PrivateKey,
    pub(super) issued: &'a Issued,
    pub(super) record: &'a PublicRecord,
}

/// Everything that is seen of an entry without reading a key.
pub(super) trait Seen: Send + Sync {
    /// All generations, and what consumers read.
    fn holding(&self) -> Result<Holding, StoreError>;

    /// The generation of the record's rotation that is staged already.
    fn staged(&self, record: &PublicRecord) -> Result<Option<Generation>, StoreError> {
        Ok(self.holding()?.of_rotation(record))
    }

    /// The signing request (DER) that is kept of a generation; some forget it once its certificate is there.
    fn request(&self, generation: &Generation) -> Result<Option<Vec<u8>>, StoreError>;
}

/// The wire of one kind of store. Nothing here decides whether it may be done.
#[async_trait]
pub(super) trait TwoSlot: StoreReader {
    type View: Seen;

    /// The entry, as messages call it.
    fn place(&self, entry: &StoreBinding) -> String;

    /// Looks at both names. Reads no key.
    async fn view(&self, entry: &StoreBinding) -> Result<Self::View, StoreError>;

    /// Key and certificates of a generation. What consumers read is compared with what was written for them first.
    async fn open(
        &self,
        doing: &str,
        entry: &StoreBinding,
        view: &Self::View,
        generation: &Generation,
    ) -> Result<(PrivateKey, Issued), StoreError>;

    /// The key of a generation whose certificate is awaited.
    async fn open_alone(
        &self,
        doing: &str,
        entry: &StoreBinding,
        view: &Self::View,
        waiting: &Generation,
    ) -> Result<PrivateKey, StoreError>;

    /// Writes a generation to the second name.
    async fn write_staged(
        &self,
        entry: &StoreBinding,
        view: Self::View,
        whole: &Whole<'_>,
    ) -> Result<Generation, StoreError>;

    /// Writes a key to the second name with its signing request (DER).
    async fn write_alone(
        &self,
        entry: &StoreBinding,
        view: Self::View,
        key: &PrivateKey,
        csr: &[u8],
        record: &PublicRecord,
    ) -> Result<Pending, StoreError>;

    /// Has the store make key and certificate, where it can.
    async fn make(
        &self,
        entry: &StoreBinding,
        request: &KeyRequest,
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        let _ = (request, record);
        Err(unsupported("making a key in", entry, "this store makes no keys of its own"))
    }

    /// Writes the record of a certificate that the store made itself; says whether it did.
    async fn attach_made(
        &self,
        entry: &StoreBinding,
        view: &Self::View,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<bool, StoreError> {
        let _ = (entry, view, issued, record);
        Ok(false)
    }

    /// Writes key and certificate to the second name, in place of the key alone.
    async fn write_attached(
        &self,
        entry: &StoreBinding,
        view: Self::View,
        waiting: &Generation,
        whole: &Whole<'_>,
    ) -> Result<(), StoreError>;

    /// Writes what consumers read, in the entry's form, and its record. Returns what is seen afterwards.
    async fn write_live(
        &self,
        entry: &StoreBinding,
        view: Self::View,
        whole: &Whole<'_>,
        password: Option<&Secret>,
    ) -> Result<Self::View, StoreError>;

    /// Finishes what a run that died left undone once consumers read the generation; the record is given where it does not say so yet.
    /// Returns what is seen afterwards.
    async fn finish_live(
        &self,
        entry: &StoreBinding,
        view: Self::View,
        thumbprints: &Thumbprints,
        record: Option<&PublicRecord>,
    ) -> Result<Self::View, StoreError>;

    /// Writes the record of a generation that has one; says whether there is such a generation.
    async fn write_again(
        &self,
        entry: &StoreBinding,
        view: &mut Self::View,
        record: &PublicRecord,
    ) -> Result<bool, StoreError>;

    /// Writes the first record of what somebody else made and consumers read, if that is it.
    async fn adopt(
        &self,
        entry: &StoreBinding,
        view: Self::View,
        record: &PublicRecord,
        thumbprints: &Thumbprints,
    ) -> Result<(), StoreError>;

    /// Takes a generation's key away, waiting copies included, and writes that down.
    async fn take(
        &self,
        entry: &StoreBinding,
        view: Self::View,
        generation: &Generation,
        thumbprints: &Thumbprints,
    ) -> Result<(), StoreError>;

    /// The same of a key whose certificate is awaited. One that is gone already is no trouble.
    async fn take_alone(
        &self,
        entry: &StoreBinding,
        view: Self::View,
        waiting: &Generation,
    ) -> Result<(), StoreError>;

    /// Trouble with an entry. `doing` is a gerund with its preposition.
    fn error(&self, kind: StoreErrorKind, doing: &str, entry: &StoreBinding, reason: &str) -> StoreError {
        let doing = format!("{doing} {}", self.place(entry));
        StoreError { kind, doing, reason: reason.to_owned(), hint: None }
    }

    fn missing(&self, doing: &str, entry: &StoreBinding) -> StoreError {
        self.error(StoreErrorKind::Missing, doing, entry, NO_SUCH_GENERATION)
    }

    /// Somebody else's values stand where keys wait: whoever reads them would read keys, and nothing of theirs is ours to write over.
    fn not_ours(&self, entry: &StoreBinding, name: &str) -> StoreError {
        let reason = format!(
            "{name} holds what certroll did not write, and every key waits there: move it, or give the certificate another name in the store"
        );
        self.error(StoreErrorKind::Refused, "looking at", entry, &reason)
    }

    fn thumbprints(
        &self,
        doing: &str,
        entry: &StoreBinding,
        record: &PublicRecord,
    ) -> Result<Thumbprints, StoreError> {
        record.thumbprints.ok_or_else(|| self.missing(doing, entry))
    }
}

/// What looking found.
pub(super) fn observed(shape: Shape, seen: Result<(Holding, Vec<String>), StoreError>) -> ObservedStore {
    let (state, warnings) = match seen {
        Ok((holding, warnings)) if holding == Holding::default() => (StoreState::Absent, warnings),
        Ok((holding, warnings)) => (StoreState::Known(holding), warnings),
        Err(error) => (StoreState::Unreadable { reason: error.to_string() }, Vec::new()),
    };
    ObservedStore { shape, state, warnings, damage: Vec::new() }
}

/// The signing request of a generation whose certificate is awaited.
pub(super) async fn requested<S: TwoSlot>(
    store: &S,
    entry: &StoreBinding,
    generation: &Generation,
) -> Result<Vec<u8>, StoreError> {
    let request = store.view(entry).await?.request(generation)?;
    request.ok_or_else(|| store.missing("reading the signing request in", entry))
}

/// Whether the record says since when consumers read it.
fn is_promoted(record: &PublicRecord) -> bool {
    record.phase == RecordedPhase::Promoted && record.promoted_at.is_some()
}

#[async_trait]
impl<S: TwoSlot> StoreWriter for S {
    async fn stage(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        let view = self.view(entry).await?;
        match view.staged(record)? {
            Some(staged) => Ok(staged),
            None => self.write_staged(entry, view, &Whole { key, issued, record }).await,
        }
    }

    async fn request(
        &self,
        entry: &StoreBinding,
        request: &KeyRequest,
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        self.make(entry, request, record).await
    }

    async fn keep_request(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        csr: &[u8],
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        let view = self.view(entry).await?;
        let Some(generation) = view.holding()?.of_rotation(record) else {
            return self.write_alone(entry, view, key, csr, record).await;
        };
        // Nobody has a request signed whose certificate is there.
        let answered = generation.record.thumbprints.map(|_| csr.to_vec());
        let csr = view.request(&generation)?.or(answered);
        let csr = csr.ok_or_else(|| self.missing("keeping a signing request in", entry))?;
        Ok(Pending { generation, csr })
    }

    async fn attach(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        let doing = "attaching a certificate in";
        let refused = |reason: &str| self.error(StoreErrorKind::Refused, doing, entry, reason);
        let view = self.view(entry).await?;
        let attached = view.holding()?.of_rotation(record);
        if let Some(attached) = attached.filter(|held| held.record.thumbprints == record.thumbprints) {
            return Ok(attached);
        }
        let thumbprints = issued.certificate.thumbprints;
        if record.thumbprints != Some(thumbprints) {
            return Err(refused(NOT_TOGETHER));
        }
        if !self.attach_made(entry, &view, issued, record).await? {
            let key = self.open_alone(doing, entry, &view, generation).await?;
            if !issued.certificate.matches_key(&key) {
                let hint = Some("have the request signed as it is now".to_owned());
                return Err(StoreError { hint, ..refused(OTHER_KEY) });
            }
            let whole = Whole { key: &key, issued, record };
            self.write_attached(entry, view, generation, &whole).await?;
        }
        let handle = thumbprints.sha256.to_string();
        Ok(Generation { handle, record: record.clone(), key: KeyState::Held })
    }

    async fn signer(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
    ) -> Result<Box<dyn Signer>, StoreError> {
        let doing = "opening the key in";
        let view = self.view(entry).await?;
        let (key, issued) = self.open(doing, entry, &view, generation).await?;
        let signer = LocalSigner::new(&key, issued.certificate);
        Ok(Box::new(
            signer.map_err(|error| self.error(StoreErrorKind::Corrupt, doing, entry, &error.to_string()))?,
        ))
    }

    async fn export(&self, entry: &StoreBinding, generation: &Generation) -> Result<PrivateKey, StoreError> {
        let view = self.view(entry).await?;
        self.open("opening the key in", entry, &view, generation).await.map(|(key, _)| key)
    }

    async fn promote(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        expected: Option<&Current>,
        password: Option<&Secret>,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        let doing = "promoting in";
        let rival = |reason: &str| self.error(StoreErrorKind::Rival, doing, entry, reason);
        let view = self.view(entry).await?;
        let holding = view.holding()?;
        let thumbprints = self.thumbprints(doing, entry, &generation.record)?;
        let meant = Some(Current::Recorded(thumbprints.sha256));
        let held = holding.generation(&thumbprints.sha256).ok_or_else(|| self.missing(doing, entry))?;
        if held.record.rejected {
            return Err(self.error(StoreErrorKind::Refused, doing, entry, GIVEN_UP));
        }
        let after = if holding.current == meant {
            let record = Some(record).filter(|_| !is_promoted(&held.record));
            self.finish_live(entry, view, &thumbprints, record).await?
        } else {
            if holding.current.as_ref() != expected {
                return Err(rival(CHANGED));
            }
            let (key, issued) = self.open(doing, entry, &view, held).await?;
            let whole = Whole { key: &key, issued: &issued, record };
            self.write_live(entry, view, &whole, password).await?
        };
        let promoted = after.holding()?;
        if promoted.current != meant {
            return Err(rival(WROTE_TOO));
        }
        promoted.generation(&thumbprints.sha256).cloned().ok_or_else(|| self.missing(doing, entry))
    }

    async fn write_record(&self, entry: &StoreBinding, record: &PublicRecord) -> Result<(), StoreError> {
        let mut view = self.view(entry).await?;
        if self.write_again(entry, &mut view, record).await? {
            return Ok(());
        }
        // The first record of an adopted entry: only of what consumers read now.
        let unrecorded = matches!(view.holding()?.current, Some(Current::Unrecorded { .. }));
        let thumbprints = record.thumbprints.filter(|_| unrecorded);
        let thumbprints = thumbprints.ok_or_else(|| self.missing("writing the record of", entry))?;
        self.adopt(entry, view, record, &thumbprints).await
    }

    async fn remove(&self, entry: &StoreBinding, generation: &Generation) -> Result<KeyState, StoreError> {
        let doing = "removing a key from";
        let view = self.view(entry).await?;
        let holding = view.holding()?;
        match generation.record.thumbprints {
            None => self.take_alone(entry, view, generation).await?,
            Some(thumbprints) => {
                let sha256 = thumbprints.sha256;
                let held = holding.generation(&sha256).ok_or_else(|| self.missing(doing, entry))?;
                if holding.current == Some(Current::Recorded(sha256)) {
                    return Err(self.error(StoreErrorKind::Refused, doing, entry, IN_USE));
                }
                self.take(entry, view, held, &thumbprints).await?;
            }
        }
        Ok(match self.shape(entry).removal {
            Removal::Destroys => KeyState::Destroyed,
            Removal::Disables => KeyState::Disabled,
        })
    }
}
