//! Generations at the second name whose certificate is awaited: their key was made here and waits beside its signing request, or the vault
//! makes key and certificate in one operation.

use super::notes::Notes;
use super::objects::{Contents, Objects, Whole};
use super::slots::SlotStore;
use super::view::{Copy, View};
use crate::certificate::{PublicKey, asked_for};
use crate::desired::{Format, StoreBinding};
use crate::issuer::Issued;
use crate::key::PrivateKey;
use crate::key_vault::certificates::{NewKey, Operation};
use crate::key_vault::{Tags, Version};
use crate::observed::record::{PublicRecord, RecordedPhase};
use crate::observed::{Generation, KeyState};
use crate::store::{KeyRequest, Pending, Signs, StoreError, StoreErrorKind};
use crate::subject::is_same_name;

impl SlotStore {
    /// Writes a version under the second name. That name is certroll's own: an operation of an issuer that is not declared any more is
    /// given up where it stands in the way.
    pub(super) async fn write_next(
        &self,
        entry: &StoreBinding,
        contents: &Contents,
        record: &PublicRecord,
        notes: &Notes,
    ) -> Result<Version, StoreError> {
        let (name, tags) = (SlotStore::next_name(entry), notes.to_tags(&Tags::new())?);
        let write = || self.objects.write(&self.vault, &name, contents, record, &tags);
        match write().await {
            Err(error) if error.kind == StoreErrorKind::Rival && self.objects == Objects::Certificates => {
                self.vault.delete_pending(&name).await?;
                write().await
            }
            written => written,
        }
    }

    pub(super) async fn keep_pending(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        csr: &[u8],
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        let view = self.view(entry).await?;
        if let Some(kept) = self.kept_request(entry, &view, record)? {
            return Ok(kept);
        }
        self.check_next(entry, &view)?;
        let notes = Notes { request: csr.to_vec(), ..Notes::of_adopted(record) };
        let now = self.vault.service().way().clock.now();
        let contents = self.objects.kept_alone(&entry.form, key, record, now).await?;
        let written = self.write_next(entry, &contents, record, &notes).await?;
        // Somebody may have done the same at the same time: look again, and agree on one.
        let after = self.view(entry).await?;
        let gone = || self.missing("keeping a signing request in", entry);
        let kept = self.kept_request(entry, &after, record)?.ok_or_else(gone)?;
        for other in after.requested(record.rotation_id) {
            if other.version.id == written.id && kept.generation.handle != written.id {
                self.retire(entry, other).await?;
            }
        }
        Ok(kept)
    }

    fn kept_request(
        &self,
        entry: &StoreBinding,
        view: &View,
        record: &PublicRecord,
    ) -> Result<Option<Pending>, StoreError> {
        let Some(generation) = view.holding()?.of_rotation(record) else { return Ok(None) };
        let csr = view.request_of(record.rotation_id).map(<[u8]>::to_vec);
        let csr = csr.ok_or_else(|| self.missing("reading the signing request in", entry))?;
        Ok(Some(Pending { generation, csr }))
    }

    /// Has the vault make key and certificate. What is pending already is taken up if it is what is asked for.
    pub(super) async fn request_signed(
        &self,
        entry: &StoreBinding,
        request: &KeyRequest,
        signs: &Signs,
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        let doing = "requesting a certificate in";
        let months = signs.validity.whole_months().ok_or_else(|| {
            let reason = format!("Key Vault counts in months, and {} is no number of them", signs.validity);
            self.error(StoreErrorKind::Refused, doing, entry, &reason)
        })?;
        // In this order: what is completed by now is among the versions.
        let name = SlotStore::next_name(entry);
        let pending = self.vault.pending(&name).await?;
        let view = self.view(entry).await?;
        if let Some(generation) = view.holding()?.of_rotation(record) {
            let newest = view.next.last().is_some_and(|newest| newest.version.id == generation.handle);
            match pending.completed.filter(|_| newest) {
                Some(made) => return Ok(Pending { generation, csr: made.csr }),
                None if generation.record.thumbprints.is_some() => {
                    return Ok(Pending { generation, csr: Vec::new() });
                }
                None => {}
            }
            // Nothing tells any more what it was made for: another one is made.
            for copy in view.requested(record.rotation_id) {
                self.retire(entry, copy).await?;
            }
        }
        let operation = match pending.operation {
            Some(operation) if is_asked_for(&operation, request, signs) => operation,
            other => {
                if other.is_some() {
                    self.vault.delete_pending(&name).await?;
                }
                let content_type = match entry.form.format {
                    Format::Pem => "application/x-pem-file",
                    _ => "application/x-pkcs12",
                };
                let new = NewKey {
                    key: request.key,
                    hsm: false,
                    exportable: true,
                    subject: &request.subject,
                    issuer: &signs.issuer,
                    months,
                    content_type,
                    tags: &Notes::of_adopted(record).to_tags(&Tags::new())?,
                };
                self.vault.create_pending(&name, &new).await?
            }
        };
        let handle = format!("pending@{}", operation.request_id);
        let generation = Generation { handle, record: record.clone(), key: KeyState::Held };
        Ok(Pending { generation, csr: operation.csr })
    }

    pub(super) async fn attach_certificate(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        let doing = "attaching a certificate in";
        let refused = |reason: &str| self.error(StoreErrorKind::Refused, doing, entry, reason);
        let (view, name) = (self.view(entry).await?, SlotStore::next_name(entry));
        let attached = view.holding()?.of_rotation(record);
        if let Some(attached) = attached.filter(|held| held.record.thumbprints == record.thumbprints) {
            return Ok(attached);
        }
        let thumbprints = issued.certificate.thumbprints;
        if record.thumbprints != Some(thumbprints) {
            return Err(refused("certificate and record do not belong together"));
        }
        let notes = Notes::new(record, issued, None);
        let made = view.next.iter().find(|copy| copy.version.sha1 == Some(thumbprints.sha1));
        if let Some(made) = made.filter(|made| made.is_requested() || made.notes.is_none()) {
            self.note(&name, made, &notes, false).await?;
        } else {
            let waiting = view.requested(generation.record.rotation_id);
            let waiting = waiting.first().ok_or_else(|| self.missing(doing, entry))?;
            let text = self.vault.secret(&name, &waiting.version.id).await?;
            let key = self.objects.key_alone(&text)?;
            if !issued.certificate.matches_key(&key) {
                let reason = "the certificate is for another key than the one that waits for it";
                let hint = Some("have the request signed as it is now".to_owned());
                return Err(StoreError { hint, ..refused(reason) });
            }
            let contents = self.objects.kept(&entry.form, &Whole { key: &key, issued, record })?;
            self.write_next(entry, &contents, record, &notes).await?;
            self.retire(entry, waiting).await?;
        }
        let handle = thumbprints.sha256.to_string();
        Ok(Generation { handle, record: record.clone(), key: KeyState::Held })
    }

    /// Disables a version whose key is not waited for any more, and writes that down with it.
    pub(super) async fn retire(&self, entry: &StoreBinding, copy: &Copy) -> Result<(), StoreError> {
        let Some(notes) = &copy.notes else { return Ok(()) };
        let record = PublicRecord { phase: RecordedPhase::Retired, ..notes.record.clone() };
        self.note(&SlotStore::next_name(entry), copy, &Notes { record, ..notes.clone() }, true).await
    }
}

/// Whether an operation that is pending is for such a key and certificate. How long it is to be valid is seen once it is made.
fn is_asked_for(operation: &Operation, request: &KeyRequest, signs: &Signs) -> bool {
    let Some((subject, key)) = asked_for(&operation.csr) else { return false };
    key == PublicKey::Rsa(u32::from(request.key.bits()))
        && is_same_name(&subject, &request.subject)
        && operation.issuer.eq_ignore_ascii_case(&signs.issuer)
}
