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
use super::objects::{Contents, Objects};
use super::view::{Copy, View};
use crate::desired::StoreBinding;
use crate::form::{identity_in, issued_in};
use crate::ids::{Sha256, Thumbprints};
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret};
use crate::key_vault::{KeyVault, Tags, Version};
use crate::observed::record::{PublicRecord, RecordedPhase};
use crate::observed::{Current, Generation, ObservedStore, Removal, Shape, Staging};
use crate::store::kept::{corrupt, sha256};
use crate::store::two_slot::{self, Seen, TwoSlot, WROTE_TOO, Whole};
use crate::store::{KeyRequest, Pending, StoreError, StoreErrorKind, StoreReader};

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
        identity_in(&[text.as_bytes()], sha256).ok_or_else(|| {
            let reason = "the value is no PEM text and no PFX without a password of that certificate";
            self.error(StoreErrorKind::Corrupt, doing, entry, reason)
        })
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
    async fn write_newest(
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
        let seen = async {
            let holding = self.view(entry).await?.holding()?;
            if self.objects == Objects::Secrets {
                return Ok((holding, Vec::new()));
            }
            let next_name = SlotStore::next_name(entry);
            let (mut warnings, more) = try_join(
                super::rotators(&self.vault, &entry.entry, None),
                super::unsigned(&self.vault, &next_name),
            )
            .await?;
            warnings.extend(more);
            Ok((holding, warnings))
        };
        two_slot::observed(self.shape(entry), seen.await)
    }

    /// From the tags; only a chain too long for them is read from where the key is, by `apply` and `verify`, which read that anyway.
    async fn issued(&self, entry: &StoreBinding, generation: &Generation) -> Result<Issued, StoreError> {
        let doing = "reading the certificate in";
        let view = self.view(entry).await?;
        let sha256 = self.thumbprints(doing, entry, &generation.record)?.sha256;
        let copies = view.all_live(&sha256).into_iter().chain(view.kept(&sha256));
        let noted = copies.filter_map(|copy| copy.notes.as_ref()?.issued()).next();
        match noted {
            Some(issued) => Ok(issued),
            None => self.open(doing, entry, &view, generation).await.map(|(_, issued)| issued),
        }
    }

    async fn requested(&self, entry: &StoreBinding, generation: &Generation) -> Result<Vec<u8>, StoreError> {
        two_slot::requested(self, entry, generation).await
    }
}

#[async_trait]
impl TwoSlot for SlotStore {
    type View = View;

    fn place(&self, entry: &StoreBinding) -> String {
        format!("{} {} in {}", self.objects.as_str(), entry.entry, self.vault.service().name())
    }

    /// Two lists; a third one, of what was deleted, where a name is not there.
    async fn view(&self, entry: &StoreBinding) -> Result<View, StoreError> {
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
            let name = format!("{} {next_name}", self.objects.as_str());
            return Err(self.not_ours(entry, &name));
        }
        if self.objects == Objects::Certificates && (view.is_tied() || view.is_unrecorded()) {
            // Asking for the newest version hands out no key of a certificate.
            let (id, certificate) = self.vault.certificate(&entry.entry, "").await?;
            view.is_newest(&id, certificate.thumbprints);
        }
        Ok(view)
    }

    async fn open(
        &self,
        doing: &str,
        entry: &StoreBinding,
        view: &View,
        generation: &Generation,
    ) -> Result<(PrivateKey, Issued), StoreError> {
        let thumbprints = self.thumbprints(doing, entry, &generation.record)?;
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

    async fn open_alone(
        &self,
        doing: &str,
        entry: &StoreBinding,
        view: &View,
        waiting: &Generation,
    ) -> Result<PrivateKey, StoreError> {
        let waiting = view.requested(waiting.record.rotation_id);
        let waiting = waiting.first().ok_or_else(|| self.missing(doing, entry))?;
        let text = self.vault.secret(&SlotStore::next_name(entry), &waiting.version.id).await?;
        self.objects.key_alone(&text)
    }

    async fn write_staged(
        &self,
        entry: &StoreBinding,
        _view: View,
        whole: &Whole<'_>,
    ) -> Result<Generation, StoreError> {
        let Whole { issued, record, .. } = *whole;
        let kept = self.objects.kept(&entry.form, whole)?;
        let written = self.write_next(entry, &kept, record, &Notes::new(record, issued, None)).await?;
        // Somebody may have staged at the same time: look again, and agree on one.
        let after = self.view(entry).await?;
        let chosen = after.staged(record)?;
        let gone = || self.error(StoreErrorKind::Rival, "staging a key in", entry, "what was staged is gone");
        let chosen = chosen.ok_or_else(gone)?;
        if chosen.record.thumbprints != Some(issued.certificate.thumbprints) {
            let ours = after.next.iter().find(|copy| copy.version.id == written.id);
            if let Some(ours) = ours {
                self.retire(entry, ours).await?;
            }
        }
        Ok(chosen)
    }

    async fn write_alone(
        &self,
        entry: &StoreBinding,
        _view: View,
        key: &PrivateKey,
        csr: &[u8],
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        self.write_pending(entry, key, csr, record).await
    }

    /// Where the vault signs; else keys of these objects are made here.
    async fn make(
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

    async fn attach_made(
        &self,
        entry: &StoreBinding,
        view: &View,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<bool, StoreError> {
        let sha1 = Some(issued.certificate.thumbprints.sha1);
        let made = view.next.iter().find(|copy| copy.version.sha1 == sha1);
        let Some(made) = made.filter(|made| made.is_requested() || made.notes.is_none()) else {
            return Ok(false);
        };
        let notes = Notes::new(record, issued, None);
        self.note(&SlotStore::next_name(entry), made, &notes, false).await?;
        Ok(true)
    }

    async fn write_attached(
        &self,
        entry: &StoreBinding,
        view: View,
        waiting: &Generation,
        whole: &Whole<'_>,
    ) -> Result<(), StoreError> {
        let notes = Notes::new(whole.record, whole.issued, None);
        let contents = self.objects.kept(&entry.form, whole)?;
        self.write_next(entry, &contents, whole.record, &notes).await?;
        match view.requested(waiting.record.rotation_id).first() {
            Some(waiting) => self.retire(entry, waiting).await,
            None => Ok(()),
        }
    }

    async fn write_live(
        &self,
        entry: &StoreBinding,
        view: View,
        whole: &Whole<'_>,
        password: Option<&Secret>,
    ) -> Result<View, StoreError> {
        let contents = self.objects.rendered(&entry.form, whole, password, &entry.entry)?;
        let before = view.live.last().map(|copy| &copy.version);
        let beside = before.map(|version| others(&version.tags)).unwrap_or_default();
        let tags = self.objects.notes(whole, &contents).to_tags(&beside)?;
        let (written, writes) = self.write_newest(entry, before, &contents, whole.record, &tags).await?;
        // Nothing refuses a rival's write: what was written in between shows as a version too many.
        let after = self.view(entry).await?;
        let newest = after.live.last().map(|copy| &copy.version.id);
        if newest != Some(&written.id) || after.live.len() != view.live.len() + writes {
            return Err(self.error(StoreErrorKind::Rival, "promoting in", entry, WROTE_TOO));
        }
        Ok(after)
    }

    async fn finish_live(
        &self,
        entry: &StoreBinding,
        mut view: View,
        _thumbprints: &Thumbprints,
        record: Option<&PublicRecord>,
    ) -> Result<View, StoreError> {
        if let Some(record) = record {
            self.write_again(entry, &mut view, record).await?;
        }
        self.view(entry).await
    }

    async fn write_again(
        &self,
        entry: &StoreBinding,
        view: &mut View,
        record: &PublicRecord,
    ) -> Result<bool, StoreError> {
        let sha256 = self.thumbprints("writing the record of", entry, record)?.sha256;
        let Some((live, copy)) = view.recorded(&sha256) else { return Ok(false) };
        let name = if live { entry.entry.clone() } else { SlotStore::next_name(entry) };
        let notes = copy.notes.clone().unwrap_or_else(|| Notes::of_adopted(record));
        self.note(&name, copy, &Notes { record: record.clone(), ..notes }, false).await?;
        Ok(true)
    }

    async fn adopt(
        &self,
        entry: &StoreBinding,
        view: View,
        record: &PublicRecord,
        thumbprints: &Thumbprints,
    ) -> Result<(), StoreError> {
        let missing = || self.missing("writing the record of", entry);
        let newest = view.live.last().ok_or_else(missing)?;
        let (holds, value) = match newest.version.sha1 {
            Some(sha1) => (sha1 == thumbprints.sha1, None),
            None => {
                let text = self.vault.secret(&entry.entry, &newest.version.id).await?;
                let found = issued_in(&[text.as_bytes()], &thumbprints.sha256);
                (found.is_some(), Some(sha256(text.as_bytes())))
            }
        };
        if !holds {
            return Err(missing());
        }
        let notes = Notes { value, ..Notes::of_adopted(record) };
        self.note(&entry.entry, newest, &notes, false).await
    }

    async fn take(
        &self,
        entry: &StoreBinding,
        view: View,
        generation: &Generation,
        thumbprints: &Thumbprints,
    ) -> Result<(), StoreError> {
        let sha256 = thumbprints.sha256;
        let recorded = view.recorded(&sha256);
        let (recorded_live, recorded) = recorded.ok_or_else(|| self.missing("removing a key from", entry))?;
        // What a run left that died while it attached.
        for copy in view.requested(generation.record.rotation_id) {
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
        self.note(name, recorded, &Notes { record, ..notes.clone() }, true).await
    }

    async fn take_alone(
        &self,
        entry: &StoreBinding,
        view: View,
        waiting: &Generation,
    ) -> Result<(), StoreError> {
        for copy in view.requested(waiting.record.rotation_id) {
            self.retire(entry, copy).await?;
        }
        Ok(())
    }
}
