//! Certificate objects whose key never leaves: append-is-live, with a pending key.
//!
//! What can wait is one pending operation with a signing request; its merge makes the newest version. What is known of operations is noted in the
//! tags of a companion, the secret `NAME-certroll`, whose values are public certificates; of versions, in their own tags. See
//! `docs/stores/azure_key_vault.md` for every call and what a death after it leaves.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::{try_join, try_join3};

use super::notes::{Notes, others};
use super::waiting::{REQUEST, View};
use crate::certificate::{Certificate, PublicKey, asked_for};
use crate::desired::StoreBinding;
use crate::edges::{Trouble, TroubleKind};
use crate::ids::Sha256;
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret, SignatureAlgorithm, Signer};
use crate::key_vault::certificates::{NewKey, UNKNOWN};
use crate::key_vault::secrets::NewSecret;
use crate::key_vault::{KeyVault, Tags, Version};
use crate::observed::record::{PublicRecord, RecordedPhase};
use crate::observed::{Current, Generation, KeyState, ObservedStore, Removal, Shape, Staging};
use crate::store::kept::{certificates_pem, issued, sha256};
use crate::store::two_slot::{self, CHANGED, NO_SUCH_GENERATION};
use crate::store::{KeyRequest, Pending, StoreError, StoreErrorKind, StoreReader, StoreWriter};

/// Certificate objects of one vault whose keys stay in it.
#[derive(Debug)]
pub(super) struct PendingStore {
    vault: Arc<KeyVault>,
}

impl PendingStore {
    pub(super) fn new(vault: Arc<KeyVault>) -> PendingStore {
        PendingStore { vault }
    }

    fn companion(entry: &StoreBinding) -> String {
        format!("{}-certroll", entry.entry)
    }

    fn error(&self, kind: StoreErrorKind, doing: &str, entry: &StoreBinding, reason: &str) -> StoreError {
        let doing = format!("{doing} certificate {} in {}", entry.entry, self.vault.service().name());
        StoreError { kind, doing, reason: reason.to_owned(), hint: None }
    }

    fn missing(&self, doing: &str, entry: &StoreBinding) -> StoreError {
        self.error(StoreErrorKind::Missing, doing, entry, NO_SUCH_GENERATION)
    }

    async fn view(&self, entry: &StoreBinding) -> Result<View, StoreError> {
        let (name, companion) = (&entry.entry, PendingStore::companion(entry));
        let (versions, pending, notes) = try_join3(
            self.vault.certificate_versions(name),
            self.vault.pending(name),
            self.vault.secret_versions(&companion),
        )
        .await?;
        if versions.is_empty() || notes.is_empty() {
            let (names, companions) = ([name.as_str()], [companion.as_str()]);
            let (certificate, secret) =
                try_join(self.vault.deleted_certificate(&names), self.vault.deleted_secret(&companions))
                    .await?;
            if let Some(deleted) = certificate.or(secret) {
                let reason = format!(
                    "{deleted} was deleted and its name is taken until it is purged: recover it (az keyvault certificate recover or \
                     secret recover), or purge it"
                );
                return Err(self.error(StoreErrorKind::Refused, "reading", entry, &reason));
            }
        }
        let mut view = View::new(versions, pending.operation, notes)?;
        if view.is_tied() || view.versions.last().is_some_and(|newest| newest.notes.is_none()) {
            let (id, certificate) = self.vault.certificate(name, "").await?;
            if let Some(at) = view.versions.iter().position(|one| one.version.id == id) {
                let newest = view.versions.remove(at);
                view.versions.push(newest);
                view.unrecorded = Some(certificate.thumbprints);
            }
        }
        Ok(view)
    }

    /// Writes a note about an operation. The value is public.
    async fn write_note(
        &self,
        entry: &StoreBinding,
        request_id: &str,
        notes: &Notes,
        issued: Option<&Issued>,
    ) -> Result<(), StoreError> {
        let tags = notes.to_tags(&Tags::from([(REQUEST.to_owned(), request_id.to_owned())]))?;
        let value = issued.map(|issued| certificates_pem(issued).to_string());
        let value = value.unwrap_or_else(|| "requested".to_owned());
        let new = NewSecret {
            value: &value,
            content_type: "application/x-pem-file",
            not_before: None,
            not_after: None,
            tags: &tags,
        };
        self.vault.set_secret(&PendingStore::companion(entry), &new).await?;
        Ok(())
    }

    /// Sets what is noted beside a version of the certificate, if it changed.
    async fn note(
        &self,
        entry: &StoreBinding,
        version: &Version,
        notes: &Notes,
        disable: bool,
    ) -> Result<(), StoreError> {
        let tags = notes.to_tags(&version.tags)?;
        if tags != version.tags || disable && version.enabled {
            self.vault.update_certificate(&entry.entry, &version.id, &tags, disable).await?;
        }
        Ok(())
    }

    async fn chain_of(
        &self,
        entry: &StoreBinding,
        view: &View,
        sha256: &Sha256,
    ) -> Result<Issued, StoreError> {
        let note = view.notes.iter().find(|note| note.notes.sha256() == Some(*sha256));
        let merged = view.version(sha256);
        let noted = merged.and_then(|one| one.notes.as_ref()?.issued());
        if let Some(issued) = noted.or_else(|| note.and_then(|note| note.notes.issued())) {
            return Ok(issued);
        }
        if let Some(note) = note {
            let text = self.vault.secret(&PendingStore::companion(entry), &note.version.id).await?;
            return issued(&text);
        }
        let merged = merged.ok_or_else(|| self.missing("reading the certificate of", entry))?;
        let (_, certificate) = self.vault.certificate(&entry.entry, &merged.version.id).await?;
        Ok(Issued { certificate, chain: Vec::new() })
    }
}

/// Signs by asking the vault.
struct RemoteSigner {
    vault: Arc<KeyVault>,
    name: String,
    version: String,
    certificate: Certificate,
}

#[async_trait]
impl Signer for RemoteSigner {
    fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    async fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, Trouble> {
        let digest = sha256(message);
        self.vault.sign(&self.name, &self.version, algorithm, &digest.0).await
    }
}

/// Subject and public key of a signing request; `None` for what is none.
fn of_request(csr: &[u8]) -> Option<(String, Vec<u8>)> {
    use x509_parser::prelude::{FromDer, X509CertificationRequest};
    let (_, parsed) = X509CertificationRequest::from_der(csr).ok()?;
    let info = &parsed.certification_request_info;
    let key = info.subject_pki.subject_public_key.data.to_vec();
    Some((info.subject.to_string(), key))
}

fn of_certificate(certificate: &Certificate) -> Option<Vec<u8>> {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_, parsed) = X509Certificate::from_der(certificate.der()).ok()?;
    Some(parsed.public_key().subject_public_key.data.to_vec())
}

#[async_trait]
impl StoreReader for PendingStore {
    fn shape(&self, _entry: &StoreBinding) -> Shape {
        Shape {
            staging: Staging::AppendIsLive,
            readable: false,
            exportable: false,
            compare_and_set: false,
            atomic_records: false,
            removal: Removal::Disables,
        }
    }

    async fn observe(&self, entry: &StoreBinding) -> ObservedStore {
        let seen = async {
            let view = self.view(entry).await?;
            let ours = view.waiting().map(|note| note.request_id.as_str());
            let warnings = super::rotators(&self.vault, &entry.entry, ours).await?;
            Ok::<_, StoreError>((view.holding()?, warnings))
        };
        two_slot::observed(self.shape(entry), seen.await)
    }

    async fn issued(&self, entry: &StoreBinding, generation: &Generation) -> Result<Issued, StoreError> {
        let view = self.view(entry).await?;
        let sha256 = generation.record.thumbprints.map(|thumbprints| thumbprints.sha256);
        let sha256 = sha256.ok_or_else(|| self.missing("reading the certificate of", entry))?;
        self.chain_of(entry, &view, &sha256).await
    }

    async fn requested(&self, entry: &StoreBinding, generation: &Generation) -> Result<Vec<u8>, StoreError> {
        let view = self.view(entry).await?;
        let waits = view.waiting_generation().is_some_and(|waiting| waiting.handle == generation.handle);
        let operation = view.operation.filter(|_| waits);
        let gone = || self.missing("reading the signing request of", entry);
        operation.map(|operation| operation.csr).ok_or_else(gone)
    }
}

#[async_trait]
impl StoreWriter for PendingStore {
    async fn stage(
        &self,
        entry: &StoreBinding,
        _key: &PrivateKey,
        _issued: &Issued,
        _record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        let reason = "a key made elsewhere would be live at once";
        Err(self.error(StoreErrorKind::Unsupported, "staging a key in", entry, reason))
    }

    async fn request(
        &self,
        entry: &StoreBinding,
        request: &KeyRequest,
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        let doing = "requesting a key in";
        let view = self.view(entry).await?;
        let mut found = view.operation.clone();
        if let (Some(generation), Some(operation)) = (view.waiting_generation(), &view.operation) {
            // There is one operation for each name. One whose certificate was published and given up makes room; its record stays.
            let given_up = generation.record.thumbprints.is_some()
                && generation.record.rotation_id != record.rotation_id;
            if !given_up {
                return Ok(Pending { generation, csr: operation.csr.clone() });
            }
            self.vault.delete_pending(&entry.entry).await?;
            found = None;
        }
        let is_taken_up = found.is_some();
        let operation = match found {
            Some(operation) => operation,
            None => {
                let hsm = entry.options.hsm == Some(true);
                let new = NewKey {
                    key: request.key,
                    hsm,
                    exportable: false,
                    subject: &request.subject,
                    issuer: UNKNOWN,
                    months: 12,
                    content_type: "application/x-pkcs12",
                    tags: &Tags::new(),
                };
                self.vault.create_pending(&entry.entry, &new).await?
            }
        };
        // Without a note it is ours that died between the two calls, or a stranger's: what it asks for decides.
        let asked = of_request(&operation.csr).map(|(subject, _)| canonical(&subject));
        let key = asked_for(&operation.csr).map(|(_, key)| key);
        let is_of_this_kind = key == Some(PublicKey::Rsa(u32::from(request.key.bits())));
        if asked != Some(canonical(&request.subject)) || (is_taken_up && !is_of_this_kind) {
            let reason = "an operation of somebody else's is pending: until it is merged or deleted the vault takes no other";
            return Err(self.error(StoreErrorKind::Rival, doing, entry, reason));
        }
        self.write_note(entry, &operation.request_id, &Notes::of_adopted(record), None).await?;
        let handle = format!("pending@{}", operation.request_id);
        let generation = Generation { handle, record: record.clone(), key: KeyState::Held };
        Ok(Pending { generation, csr: operation.csr })
    }

    async fn attach(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        let doing = "attaching a certificate in";
        let view = self.view(entry).await?;
        let pending = view.waiting_generation().filter(|pending| pending.handle == generation.handle);
        let gone = || self.error(StoreErrorKind::Missing, doing, entry, "that request is no longer pending");
        let pending = pending.ok_or_else(gone)?;
        if pending.record.thumbprints.is_some() {
            // One certificate for one request: the first that was kept may be published already.
            return Ok(pending);
        }
        let operation = view.operation.as_ref().ok_or_else(gone)?;
        let asked = of_request(&operation.csr).map(|(_, key)| key);
        if asked.is_none() || asked != of_certificate(&issued.certificate) {
            let reason = "the certificate is not for the pending key";
            return Err(self.error(StoreErrorKind::Refused, doing, entry, reason));
        }
        let notes = Notes::new(record, issued, None);
        self.write_note(entry, &operation.request_id, &notes, Some(issued)).await?;
        Ok(Generation { record: record.clone(), ..pending })
    }

    async fn signer(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
    ) -> Result<Box<dyn Signer>, StoreError> {
        let doing = "signing with the key of";
        let view = self.view(entry).await?;
        let sha256 = generation.record.thumbprints.map(|thumbprints| thumbprints.sha256);
        let Some(merged) = sha256.and_then(|sha256| view.version(&sha256)) else {
            let reason = "a pending key cannot sign before its certificate is merged";
            return Err(self.error(StoreErrorKind::Unsupported, doing, entry, reason));
        };
        let version = merged.version.id.clone();
        let (_, certificate) = self.vault.certificate(&entry.entry, &version).await?;
        let (vault, name) = (Arc::clone(&self.vault), entry.entry.clone());
        Ok(Box::new(RemoteSigner { vault, name, version, certificate }))
    }

    async fn export(&self, entry: &StoreBinding, _generation: &Generation) -> Result<PrivateKey, StoreError> {
        Err(self.error(StoreErrorKind::Unsupported, "exporting the key of", entry, "the key never leaves"))
    }

    async fn promote(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        expected: Option<&Current>,
        _password: Option<&Secret>,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        let doing = "promoting in";
        let view = self.view(entry).await?;
        let thumbprints = generation.record.thumbprints.ok_or_else(|| self.missing(doing, entry))?;
        let sha256 = thumbprints.sha256;
        if let Some(merged) = view.version(&sha256) {
            if view.versions.last().map(|newest| &newest.version.id) != Some(&merged.version.id) {
                let reason = "an older version cannot be made current again";
                return Err(self.error(StoreErrorKind::Unsupported, doing, entry, reason));
            }
            let notes = merged.notes.clone().unwrap_or_else(|| Notes::of_adopted(record));
            let known = notes.record.promoted_at.is_some();
            let record = if known { notes.record.clone() } else { record.clone() };
            let notes = Notes { record: record.clone(), ..notes };
            self.note(entry, &merged.version, &notes, false).await?;
            return Ok(Generation { handle: merged.version.id.clone(), record, key: KeyState::Held });
        }
        let rival = |reason: &str| self.error(StoreErrorKind::Rival, doing, entry, reason);
        if view.current()?.as_ref() != expected {
            return Err(rival(CHANGED));
        }
        let waiting = view.waiting().filter(|note| note.notes.sha256() == Some(sha256));
        if waiting.is_none_or(|note| note.notes.record.rejected) {
            return Err(rival("the request is no longer pending: somebody else ended it"));
        }
        let issued = self.chain_of(entry, &view, &sha256).await?;
        let beside = view.versions.last().map(|newest| others(&newest.version.tags)).unwrap_or_default();
        let tags = Notes::new(record, &issued, None).to_tags(&beside)?;
        let merged = match self.vault.merge(&entry.entry, &issued, &tags).await {
            Err(trouble) if trouble.kind == TroubleKind::Missing => {
                return Err(rival("the request is no longer pending: somebody else ended it"));
            }
            merged => merged?,
        };
        // Nothing refuses a rival's write: what was written in between shows as a version too many.
        let after = self.view(entry).await?;
        let newest = after.versions.last().map(|newest| &newest.version.id);
        if newest != Some(&merged.id) || after.versions.len() != view.versions.len() + 1 {
            return Err(rival("somebody else added a version at the same time"));
        }
        Ok(Generation { handle: merged.id, record: record.clone(), key: KeyState::Held })
    }

    async fn write_record(&self, entry: &StoreBinding, record: &PublicRecord) -> Result<(), StoreError> {
        let doing = "writing the record of";
        let view = self.view(entry).await?;
        let sha256 = record.thumbprints.map(|thumbprints| thumbprints.sha256);
        if let Some(merged) = sha256.and_then(|sha256| view.version(&sha256)) {
            let notes = merged.notes.clone().unwrap_or_else(|| Notes::of_adopted(record));
            let notes = Notes { record: record.clone(), ..notes };
            return self.note(entry, &merged.version, &notes, false).await;
        }
        if let Some(note) = view.waiting().filter(|note| {
            record.rotation_id.is_some() && note.notes.record.rotation_id == record.rotation_id
        }) {
            let tags = Notes { record: record.clone(), ..note.notes.clone() }.to_tags(&note.version.tags)?;
            if tags != note.version.tags {
                let companion = PendingStore::companion(entry);
                self.vault.update_secret(&companion, &note.version.id, &tags, false).await?;
            }
            return Ok(());
        }
        // The first record of an adopted version: only of what consumers use now.
        let newest = view.versions.last().filter(|newest| newest.notes.is_none());
        let newest = newest.filter(|_| view.unrecorded.is_some() && view.unrecorded == record.thumbprints);
        let newest = newest.ok_or_else(|| self.missing(doing, entry))?;
        self.note(entry, &newest.version, &Notes::of_adopted(record), false).await
    }

    async fn remove(&self, entry: &StoreBinding, generation: &Generation) -> Result<KeyState, StoreError> {
        let doing = "removing a key from";
        let view = self.view(entry).await?;
        let sha256 = generation.record.thumbprints.map(|thumbprints| thumbprints.sha256);
        if let Some(merged) = sha256.and_then(|sha256| view.version(&sha256)) {
            if view.versions.last().map(|newest| &newest.version.id) == Some(&merged.version.id) {
                return Err(self.error(StoreErrorKind::Refused, doing, entry, "it is what consumers use"));
            }
            let notes = merged.notes.clone().unwrap_or_else(|| Notes::of_adopted(&generation.record));
            let record = PublicRecord { phase: RecordedPhase::Retired, ..notes.record.clone() };
            self.note(entry, &merged.version, &Notes { record, ..notes }, true).await?;
            return Ok(KeyState::Disabled);
        }
        if view.waiting_generation().is_some_and(|pending| pending.handle == generation.handle) {
            self.vault.delete_pending(&entry.entry).await?;
        }
        Ok(KeyState::Destroyed)
    }
}

/// A name without the spaces and the order in which it was written: requests print it the other way round.
fn canonical(subject: &str) -> Vec<String> {
    let mut parts: Vec<String> =
        subject.split([',', '+']).map(|part| part.trim().replace('\\', "").to_lowercase()).collect();
    parts.sort();
    parts
}
