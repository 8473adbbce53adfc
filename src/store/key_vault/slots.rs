//! Objects with two names: two-slot, without compare-and-set.
//!
//! What consumers read is the newest version of `NAME`. `NAME-next` keeps the key of each generation from before it is published until it is
//! retired. Records stand in the tags of the versions and are written together with the value. A version cannot be removed: it is disabled. See
//! `docs/stores/azure_key_vault.md` for every call and what a death after it leaves.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::try_join;
use jiff::SignedDuration;

use super::notes::{Notes, others};
use super::objects::{Contents, Objects, Whole, identity};
use super::view::{Copy, View};
use crate::desired::StoreBinding;
use crate::ids::Sha256;
use crate::issuer::Issued;
use crate::key::{LocalSigner, PrivateKey, Secret, Signer};
use crate::key_vault::{KeyVault, Tags, Version};
use crate::observed::record::{PublicRecord, RecordedPhase};
use crate::observed::{
    Current, Generation, Holding, KeyState, ObservedStore, Removal, Shape, Staging, StoreState,
};
use crate::store::kept::{corrupt, sha256};
use crate::store::{KeyRequest, Pending, StoreError, StoreErrorKind, StoreReader, StoreWriter};

/// Versions are ordered by whole seconds: a write waits so long for the next one.
const NEXT_SECOND: SignedDuration = SignedDuration::from_millis(1100);

/// Writes of one promotion, should the clock of the service not move on.
const WRITES_MAX: usize = 3;

/// Objects of one vault.
#[derive(Debug)]
pub(super) struct SlotStore {
    pub(super) vault: Arc<KeyVault>,
    pub(super) objects: Objects,
}

impl SlotStore {
    /// The objects of that vault.
    pub(super) fn new(vault: Arc<KeyVault>, objects: Objects) -> SlotStore {
        SlotStore { vault, objects }
    }

    pub(super) fn next_name(entry: &StoreBinding) -> String {
        super::next_name(&entry.entry)
    }

    pub(super) fn error(
        &self,
        kind: StoreErrorKind,
        doing: &str,
        entry: &StoreBinding,
        reason: &str,
    ) -> StoreError {
        let doing =
            format!("{doing} {} {} in {}", self.objects.as_str(), entry.entry, self.vault.service().name());
        StoreError { kind, doing, reason: reason.to_owned(), hint: None }
    }

    pub(super) fn missing(&self, doing: &str, entry: &StoreBinding) -> StoreError {
        self.error(StoreErrorKind::Missing, doing, entry, "there is no such generation")
    }

    /// Two lists; a third one, of what was deleted, where a name is not there.
    pub(super) async fn view(&self, entry: &StoreBinding) -> Result<View, StoreError> {
        let next_name = SlotStore::next_name(entry);
        let (live, next) = try_join(
            self.objects.versions(&self.vault, &entry.entry),
            self.objects.versions(&self.vault, &next_name),
        )
        .await?;
        let absent = [(live.is_empty(), entry.entry.as_str()), (next.is_empty(), next_name.as_str())];
        let absent: Vec<&str> =
            absent.into_iter().filter(|(absent, _)| *absent).map(|(_, name)| name).collect();
        if !absent.is_empty()
            && let Some(deleted) = self.objects.deleted(&self.vault, &absent).await?
        {
            let (doing, word) = ("reading", self.objects.as_str());
            let reason = format!("{word} {deleted} was deleted and its name is taken until it is purged");
            let hint = format!("recover it (az keyvault {word} recover --name {deleted}), or purge it");
            let error = self.error(StoreErrorKind::Refused, doing, entry, &format!("{reason}: {hint}"));
            return Err(error);
        }
        let mut view = View::new(live, next)?;
        if view.next.last().is_some_and(Copy::is_foreign) {
            let reason = format!(
                "{} {next_name} holds what certroll did not write, and every key waits there: move it, or give the certificate another name \
                 in the store",
                self.objects.as_str()
            );
            return Err(self.error(StoreErrorKind::Refused, "looking at", entry, &reason));
        }
        if self.objects == Objects::Certificates && (view.is_tied() || view.is_unrecorded()) {
            // Asking for the newest version hands out no key of a certificate.
            let (id, certificate) = self.vault.certificate(&entry.entry, "").await?;
            view.is_newest(&id, certificate.thumbprints);
        }
        Ok(view)
    }

    /// Key and certificates of a generation. What consumers read is compared with what was written for them first.
    async fn open(
        &self,
        doing: &str,
        entry: &StoreBinding,
        view: &View,
        generation: &Generation,
    ) -> Result<(PrivateKey, Issued), StoreError> {
        let thumbprints = generation.record.thumbprints.ok_or_else(|| self.missing(doing, entry))?;
        let sha256 = thumbprints.sha256;
        if let Some(newest) = view.live.last().filter(|_| view.current().is_ok_and(is(&sha256))) {
            self.check_live(doing, entry, newest).await?;
        }
        let Some(kept) = view.kept(&sha256).pop() else {
            return self.open_adopted(doing, entry, view, &sha256).await;
        };
        if !kept.version.enabled {
            return Err(self.error(
                StoreErrorKind::Missing,
                doing,
                entry,
                "the generation's key is disabled",
            ));
        }
        let text = self.vault.secret(&SlotStore::next_name(entry), &kept.version.id).await?;
        self.objects.open_kept(&text, &thumbprints)
    }

    /// Refuses when what consumers read is not what was written for them. Tags can be set beside a value of anybody's.
    async fn check_live(&self, doing: &str, entry: &StoreBinding, newest: &Copy) -> Result<(), StoreError> {
        let Some(digest) = newest.notes.as_ref().and_then(|notes| notes.value) else { return Ok(()) };
        let text = self.vault.secret(&entry.entry, &newest.version.id).await?;
        if sha256(text.as_bytes()) == digest {
            return Ok(());
        }
        Err(self.error(
            StoreErrorKind::Corrupt,
            doing,
            entry,
            "the value consumers read is not what was written",
        ))
    }

    /// What was made elsewhere and adopted: a PEM text, or a PFX without a password.
    async fn open_adopted(
        &self,
        doing: &str,
        entry: &StoreBinding,
        view: &View,
        sha256: &Sha256,
    ) -> Result<(PrivateKey, Issued), StoreError> {
        let found = view.newest_live(sha256).ok_or_else(|| self.missing(doing, entry))?;
        let text = self.vault.secret(&entry.entry, &found.version.id).await?;
        let identity = identity(&text).filter(|identity| identity.certificate.thumbprints.sha256 == *sha256);
        match identity {
            Some(identity) => {
                let issued = Issued { certificate: identity.certificate, chain: identity.chain };
                Ok((identity.key, issued))
            }
            None => {
                let reason = "the value is no PEM text and no PFX without a password of that certificate";
                Err(self.error(StoreErrorKind::Corrupt, doing, entry, reason))
            }
        }
    }

    /// Sets what is noted beside a version, if it changed.
    pub(super) async fn note(
        &self,
        name: &str,
        copy: &Copy,
        notes: &Notes,
        disable: bool,
    ) -> Result<(), StoreError> {
        let tags = notes.to_tags(&copy.version.tags)?;
        if tags != copy.version.tags || disable && copy.version.enabled {
            self.objects.update(&self.vault, name, &copy.version.id, &tags, disable).await?;
        }
        Ok(())
    }

    /// Writes what consumers read, so that it is newer than what was there: two versions of one second cannot be told apart. Returns how
    /// many versions were written.
    async fn write_live(
        &self,
        entry: &StoreBinding,
        before: Option<&Version>,
        contents: &Contents,
        record: &PublicRecord,
        tags: &Tags,
    ) -> Result<(Version, usize), StoreError> {
        let write = || self.objects.write(&self.vault, &entry.entry, contents, record, tags);
        let mut written = write().await?;
        let mut writes = 1;
        while writes < WRITES_MAX && before.is_some_and(|before| written.created <= before.created) {
            self.vault.service().way().clock.sleep(NEXT_SECOND).await;
            written = write().await?;
            writes += 1;
        }
        Ok((written, writes))
    }
}

fn is(sha256: &Sha256) -> impl Fn(Option<Current>) -> bool {
    let meant = Some(Current::Recorded(*sha256));
    move |current| current == meant
}

#[async_trait]
impl StoreReader for SlotStore {
    fn shape(&self, _entry: &StoreBinding) -> Shape {
        Shape {
            staging: Staging::TwoSlot,
            readable: true,
            exportable: true,
            compare_and_set: false,
            atomic_records: true,
            removal: Removal::Disables,
        }
    }

    async fn observe(&self, entry: &StoreBinding) -> ObservedStore {
        let shape = self.shape(entry);
        let holding = self.view(entry).await.and_then(|view| view.holding());
        let state = match holding {
            Ok(holding) if holding == Holding::default() => StoreState::Absent,
            Ok(holding) => StoreState::Known(holding),
            Err(error) => StoreState::Unreadable { reason: error.to_string() },
        };
        let warnings = match (self.objects, &state) {
            (Objects::Certificates, StoreState::Known(_) | StoreState::Absent) => {
                let next_name = SlotStore::next_name(entry);
                let both = try_join(
                    super::rotators(&self.vault, &entry.entry, None),
                    super::unsigned(&self.vault, &next_name),
                );
                both.await.map(|(mut warnings, more)| {
                    warnings.extend(more);
                    warnings
                })
            }
            _ => Ok(Vec::new()),
        };
        match warnings {
            Ok(warnings) => ObservedStore { shape, state, warnings, damage: Vec::new() },
            Err(trouble) => {
                let reason = StoreError::from(trouble).to_string();
                let state = StoreState::Unreadable { reason };
                ObservedStore { shape, state, warnings: Vec::new(), damage: Vec::new() }
            }
        }
    }

    /// From the tags; only a chain too long for them is read from where the key is, by `apply` and `verify`, which read that anyway.
    async fn issued(&self, entry: &StoreBinding, generation: &Generation) -> Result<Issued, StoreError> {
        let doing = "reading the certificate in";
        let view = self.view(entry).await?;
        let sha256 = generation.record.thumbprints.map(|thumbprints| thumbprints.sha256);
        let sha256 = sha256.ok_or_else(|| self.missing(doing, entry))?;
        let copies = view.all_live(&sha256).into_iter().chain(view.kept(&sha256));
        let noted = copies.filter_map(|copy| copy.notes.as_ref()?.issued()).next();
        match noted {
            Some(issued) => Ok(issued),
            None => self.open(doing, entry, &view, generation).await.map(|(_, issued)| issued),
        }
    }

    async fn requested(&self, entry: &StoreBinding, generation: &Generation) -> Result<Vec<u8>, StoreError> {
        let view = self.view(entry).await?;
        let found = view.waiting().find(|(copy, _)| copy.version.id == generation.handle);
        let request = found.map(|(_, notes)| notes.request.clone()).filter(|request| !request.is_empty());
        request.ok_or_else(|| self.missing("reading the signing request in", entry))
    }
}

#[async_trait]
impl StoreWriter for SlotStore {
    async fn stage(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        let doing = "staging a key in";
        let view = self.view(entry).await?;
        if let Some(staged) = view.of_rotation(record) {
            let found = view.holding()?.generation(&staged).cloned();
            return found.ok_or_else(|| self.missing(doing, entry));
        }
        let whole = Whole { key, issued, record };
        let kept = self.objects.kept(&entry.form, &whole)?;
        let written = self.write_next(entry, &kept, record, &Notes::new(record, issued, None)).await?;
        // Somebody may have staged at the same time: look again, and agree on one.
        let after = self.view(entry).await?;
        let gone = || self.error(StoreErrorKind::Rival, doing, entry, "what was staged is gone");
        let chosen = after.of_rotation(record).ok_or_else(gone)?;
        if chosen != issued.certificate.thumbprints.sha256 {
            let ours = after.next.iter().find(|copy| copy.version.id == written.id);
            if let Some(ours) = ours {
                self.retire(entry, ours).await?;
            }
        }
        after.holding()?.generation(&chosen).cloned().ok_or_else(gone)
    }

    /// Where the vault signs; else keys of these objects are made here.
    async fn request(
        &self,
        entry: &StoreBinding,
        request: &KeyRequest,
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        match &request.signs {
            Some(signs) if self.objects == Objects::Certificates => {
                self.request_signed(entry, request, signs, record).await
            }
            _ => {
                let (doing, reason) = ("making a key in", "its key is made here");
                Err(self.error(StoreErrorKind::Unsupported, doing, entry, reason))
            }
        }
    }

    async fn keep_request(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        csr: &[u8],
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        self.keep_pending(entry, key, csr, record).await
    }

    async fn attach(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        self.attach_certificate(entry, generation, issued, record).await
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
        let view = self.view(entry).await?;
        let holding = view.holding()?;
        let thumbprints = generation.record.thumbprints.ok_or_else(|| self.missing(doing, entry))?;
        let sha256 = thumbprints.sha256;
        let held = holding.generation(&sha256).ok_or_else(|| self.missing(doing, entry))?;
        if held.record.rejected {
            return Err(self.error(StoreErrorKind::Refused, doing, entry, "it was rolled back from"));
        }
        let rival = |reason: &str| self.error(StoreErrorKind::Rival, doing, entry, reason);
        if holding.current == Some(Current::Recorded(sha256)) {
            if held.record.phase != RecordedPhase::Promoted || held.record.promoted_at.is_none() {
                self.write_record(entry, record).await?;
            }
        } else {
            if holding.current.as_ref() != expected {
                return Err(rival("somebody else changed what is current"));
            }
            let (key, issued) = self.open(doing, entry, &view, held).await?;
            let whole = Whole { key: &key, issued: &issued, record };
            let contents = self.objects.rendered(&entry.form, &whole, password, &entry.entry)?;
            let before = view.live.last().map(|copy| &copy.version);
            let beside = before.map(|version| others(&version.tags)).unwrap_or_default();
            let tags = self.objects.notes(&whole, &contents).to_tags(&beside)?;
            let (written, writes) = self.write_live(entry, before, &contents, record, &tags).await?;
            // Nothing refuses a rival's write: what was written in between shows as a version too many.
            let after = self.view(entry).await?;
            let newest = after.live.last().map(|copy| &copy.version.id);
            if newest != Some(&written.id) || after.live.len() != view.live.len() + writes {
                return Err(rival("somebody else wrote at the same time"));
            }
            return after.holding()?.generation(&sha256).cloned().ok_or_else(|| self.missing(doing, entry));
        }
        let after = self.view(entry).await?.holding()?;
        if after.current != Some(Current::Recorded(sha256)) {
            return Err(rival("somebody else wrote at the same time"));
        }
        after.generation(&sha256).cloned().ok_or_else(|| self.missing(doing, entry))
    }

    async fn write_record(&self, entry: &StoreBinding, record: &PublicRecord) -> Result<(), StoreError> {
        let doing = "writing the record of";
        let thumbprints = record.thumbprints.ok_or_else(|| self.missing(doing, entry))?;
        let view = self.view(entry).await?;
        if let Some((live, copy)) = view.recorded(&thumbprints.sha256) {
            let name = if live { entry.entry.clone() } else { SlotStore::next_name(entry) };
            let notes = copy.notes.clone().unwrap_or_else(|| Notes::of_adopted(record));
            return self.note(&name, copy, &Notes { record: record.clone(), ..notes }, false).await;
        }
        // The first record of an adopted entry: only of what consumers read now.
        let newest = match view.current()? {
            Some(Current::Unrecorded { .. }) => view.live.last(),
            _ => None,
        };
        let newest = newest.ok_or_else(|| self.missing(doing, entry))?;
        let (holds, value) = match newest.version.sha1 {
            Some(sha1) => (sha1 == thumbprints.sha1, None),
            None => {
                let text = self.vault.secret(&entry.entry, &newest.version.id).await?;
                (holds(&text, &thumbprints.sha256), Some(sha256(text.as_bytes())))
            }
        };
        if !holds {
            return Err(self.missing(doing, entry));
        }
        let notes = Notes { value, ..Notes::of_adopted(record) };
        self.note(&entry.entry, newest, &notes, false).await
    }

    async fn remove(&self, entry: &StoreBinding, generation: &Generation) -> Result<KeyState, StoreError> {
        let doing = "removing a key from";
        let view = self.view(entry).await?;
        let holding = view.holding()?;
        let waiting = view.requested(generation.record.rotation_id);
        let Some(thumbprints) = generation.record.thumbprints else {
            for copy in waiting {
                self.retire(entry, copy).await?;
            }
            return Ok(KeyState::Disabled);
        };
        let sha256 = thumbprints.sha256;
        let Some((recorded_live, recorded)) = view.recorded(&sha256) else {
            return Err(self.missing(doing, entry));
        };
        if holding.current == Some(Current::Recorded(sha256)) {
            return Err(self.error(StoreErrorKind::Refused, doing, entry, "it is what consumers read"));
        }
        // What a run left that died while it attached.
        for copy in waiting {
            self.retire(entry, copy).await?;
        }
        let next_name = SlotStore::next_name(entry);
        let kept = view.kept(&sha256).into_iter().map(|copy| (next_name.as_str(), copy));
        let live = view.all_live(&sha256).into_iter().map(|copy| (entry.entry.as_str(), copy));
        let others = kept.chain(live).filter(|(_, copy)| copy.version.id != recorded.version.id);
        for (name, copy) in others {
            if let Some(notes) = copy.notes.as_ref().filter(|_| copy.version.enabled) {
                self.note(name, copy, notes, true).await?;
            }
        }
        // The record last: until then the next run sees that something is left to do.
        let name = if recorded_live { entry.entry.as_str() } else { next_name.as_str() };
        let notes = recorded.notes.as_ref().ok_or_else(|| corrupt("a record is gone"))?;
        let record = PublicRecord { phase: RecordedPhase::Retired, ..notes.record.clone() };
        self.note(name, recorded, &Notes { record, ..notes.clone() }, true).await?;
        Ok(KeyState::Disabled)
    }
}

/// Whether a value holds that certificate: as PEM text, or in a PFX without a password.
fn holds(text: &str, sha256: &Sha256) -> bool {
    let pem = crate::certificate::Certificate::all_from_pem(text.as_bytes());
    let leaf = pem.ok().and_then(|all| all.into_iter().next());
    let leaf = leaf.or_else(|| identity(text).map(|identity| identity.certificate));
    leaf.is_some_and(|leaf| leaf.thumbprints.sha256 == *sha256)
}
