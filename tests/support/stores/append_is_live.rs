//! A store of the append-is-live shape, after an Azure Key Vault certificate with a key that cannot leave (Key Vault REST
//! documentation: Create Certificate, Merge Certificate, Sign). A new version is what consumers use at once; what can wait is one pending
//! operation with a signing request; there is no compare-and-set; old versions can be disabled and not removed; tags come in a call of
//! their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use certroll::certificate::Certificate;
use certroll::desired::StoreBinding;
use certroll::issuer::Issued;
use certroll::key::{KeyError, PrivateKey, Secret, SignatureAlgorithm, Signer};
use certroll::observed::record::{PublicRecord, RecordedPhase};
use certroll::observed::{
    Current, Generation, Holding, KeyState, ObservedStore, Removal, Shape, Staging, StoreState,
};
use certroll::store::{KeyRequest, Pending, StoreError, StoreErrorKind, StoreReader, StoreWriter};
use serde::{Deserialize, Serialize};

use super::vault_service::{
    Operation, VaultService, Version, newest, public_key, public_key_of_csr, signing_request,
};
use crate::support::keys;
use crate::support::trouble::Trouble;

/// Longest value of a tag, and most tags on a version (Key Vault documentation: objects, tags).
const TAG_MAX: usize = 512;
const TAGS_MAX: usize = 15;

/// What the store keeps in a public object of its own beside the certificate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Companion {
    pending: Option<PendingNote>,
    /// By thumbprint: certificate and chain in PEM, and the record as it was when it was attached.
    attached: BTreeMap<String, Attached>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct PendingNote {
    request_id: String,
    record: PublicRecord,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Attached {
    certificates: String,
    record: PublicRecord,
}

/// The store: one process's way to the service.
#[derive(Clone)]
pub struct AppendIsLive {
    service: VaultService,
    trouble: Arc<Trouble>,
}

/// Everything public about an entry.
struct View {
    versions: Vec<Version>,
    pending: Option<Operation>,
    companion: Companion,
}

pub(super) fn error(kind: StoreErrorKind, reason: &str) -> StoreError {
    StoreError { kind, doing: "using the append-is-live store".into(), reason: reason.into(), hint: None }
}

fn tags_of(record: &PublicRecord) -> BTreeMap<String, String> {
    let text = serde_json::to_string(record).unwrap();
    let parts = text.as_bytes().chunks(TAG_MAX).enumerate();
    parts.map(|(n, part)| (format!("certroll-{n:02}"), String::from_utf8(part.to_vec()).unwrap())).collect()
}

fn record_of(tags: &BTreeMap<String, String>) -> Result<Option<PublicRecord>, StoreError> {
    let ours = tags.iter().filter(|(name, _)| name.starts_with("certroll-"));
    let text: String = ours.map(|(_, value)| value.as_str()).collect();
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|e| error(StoreErrorKind::Corrupt, &format!("the tags are no record: {e}")))
}

impl View {
    fn certificate(version: &Version) -> Result<Certificate, StoreError> {
        Certificate::from_der(&version.cer).map_err(|e| error(StoreErrorKind::Corrupt, &e.to_string()))
    }

    /// The record of a version: its tags, or what was attached before it was merged.
    fn record(&self, version: &Version) -> Result<Option<PublicRecord>, StoreError> {
        let sha256 = View::certificate(version)?.thumbprints.sha256.to_string();
        let attached = self.companion.attached.get(&sha256).map(|attached| attached.record.clone());
        Ok(record_of(&version.tags)?.or(attached))
    }

    fn pending_generation(&self) -> Option<Generation> {
        let operation = self.pending.as_ref()?;
        let note = self.companion.pending.as_ref()?;
        (note.request_id == operation.request_id).then(|| Generation {
            handle: format!("pending@{}", operation.request_id),
            record: note.record.clone(),
            key: KeyState::Held,
        })
    }

    /// What was attached to an operation that is no longer pending and was never merged: the record stays, the key is gone.
    fn given_up(&self, holding: &Holding) -> Vec<Generation> {
        let known = |record: &PublicRecord| {
            holding.generations.iter().any(|other| other.record.thumbprints == record.thumbprints)
        };
        let records = self.companion.attached.values().map(|attached| &attached.record);
        let given_up = records.filter(|record| !known(record)).map(|record| Generation {
            handle: format!("gone@{}", record.thumbprints.map(|t| t.sha256.to_string()).unwrap_or_default()),
            record: record.clone(),
            key: KeyState::Destroyed,
        });
        given_up.collect()
    }

    fn holding(&self) -> Result<Holding, StoreError> {
        let mut holding = Holding::default();
        for version in &self.versions {
            if let Some(record) = self.record(version)? {
                let key = if version.enabled { KeyState::Held } else { KeyState::Disabled };
                holding.generations.push(Generation { handle: version.id.clone(), record, key });
            }
        }
        holding.generations.extend(self.pending_generation());
        holding.generations.extend(self.given_up(&holding));
        holding
            .generations
            .sort_by(|a, b| (a.record.requested_at, &a.handle).cmp(&(b.record.requested_at, &b.handle)));
        if let Some(version) = newest(&self.versions) {
            let thumbprints = View::certificate(version)?.thumbprints;
            holding.current = Some(match self.record(version)? {
                Some(_) => Current::Recorded(thumbprints.sha256),
                None => Current::Unrecorded { thumbprints: Some(thumbprints) },
            });
        }
        Ok(holding)
    }
}

impl AppendIsLive {
    /// A process's store.
    pub fn new(service: VaultService, trouble: Arc<Trouble>) -> AppendIsLive {
        AppendIsLive { service, trouble }
    }

    // The service's calls.

    fn versions(&self, name: &str) -> Result<Vec<Version>, StoreError> {
        self.trouble.call("vault: list versions", || {
            Ok(self.service.lock().items.get(name).map(|item| item.versions.clone()).unwrap_or_default())
        })
    }

    fn pending(&self, name: &str) -> Result<Option<Operation>, StoreError> {
        self.trouble.call("vault: get pending", || {
            Ok(self.service.lock().items.get(name).and_then(|item| item.pending.clone()))
        })
    }

    /// Starts an operation. While one is pending the answer is that one.
    fn create(&self, name: &str, request: &KeyRequest) -> Result<Operation, StoreError> {
        self.trouble.call("vault: create", || {
            let mut service = self.service.lock();
            if let Some(pending) = service.items.get(name).and_then(|item| item.pending.clone()) {
                return Ok(pending);
            }
            service.made += 1;
            let key = keys::key(usize::try_from(service.made).unwrap());
            let csr = signing_request(&key, &request.subject);
            service.keys.insert(public_key_of_csr(&csr), key);
            let operation = Operation { request_id: format!("request-{}", service.made), csr };
            service.items.entry(name.into()).or_default().pending = Some(operation.clone());
            Ok(operation)
        })
    }

    fn delete_pending(&self, name: &str) -> Result<(), StoreError> {
        self.trouble.call("vault: delete pending", || {
            if let Some(item) = self.service.lock().items.get_mut(name) {
                item.pending = None;
            }
            Ok(())
        })
    }

    fn merge(&self, name: &str, certificate: &Certificate) -> Result<String, StoreError> {
        self.trouble.call("vault: merge", || {
            let mut service = self.service.lock();
            let item = service.items.entry(name.into()).or_default();
            let Some(pending) = item.pending.take() else {
                return Err(error(StoreErrorKind::Missing, "404 PendingCertificateNotFound"));
            };
            if public_key_of_csr(&pending.csr) != public_key(certificate) {
                item.pending = Some(pending);
                let reason = "400 BadParameter: the certificate's key is not the pending one's";
                return Err(error(StoreErrorKind::Refused, reason));
            }
            Ok(service.append(name, certificate.der().to_vec()))
        })
    }

    fn update(&self, name: &str, id: &str, change: impl FnOnce(&mut Version)) -> Result<(), StoreError> {
        self.trouble.call("vault: update version", || {
            let mut service = self.service.lock();
            let item = service.items.get_mut(name);
            let version = item.and_then(|item| item.versions.iter_mut().find(|v| v.id == id));
            let version = version.ok_or_else(|| error(StoreErrorKind::Missing, "404 CertificateNotFound"))?;
            change(version);
            if version.tags.len() > TAGS_MAX {
                return Err(error(StoreErrorKind::Refused, "400 BadParameter: too many tags"));
            }
            Ok(())
        })
    }

    fn companion(&self, name: &str) -> Result<Companion, StoreError> {
        self.trouble.call("vault: read companion", || {
            let service = self.service.lock();
            let Some(text) = service.companions.get(name) else { return Ok(Companion::default()) };
            serde_json::from_str(text).map_err(|e| error(StoreErrorKind::Corrupt, &e.to_string()))
        })
    }

    fn put_companion(&self, name: &str, companion: &Companion) -> Result<(), StoreError> {
        self.trouble.call("vault: write companion", || {
            let text = serde_json::to_string(companion).unwrap();
            self.service.lock().companions.insert(name.into(), text);
            Ok(())
        })
    }

    // What the store makes of them.

    fn view(&self, entry: &StoreBinding) -> Result<View, StoreError> {
        let name = &entry.entry;
        Ok(View {
            companion: self.companion(name)?,
            pending: self.pending(name)?,
            versions: self.versions(name)?,
        })
    }

    fn put_tags(&self, name: &str, version: &Version, record: &PublicRecord) -> Result<(), StoreError> {
        let tags = tags_of(record);
        if version.tags == tags {
            return Ok(());
        }
        self.update(name, &version.id, |version| version.tags = tags)
    }

    fn version<'v>(&self, view: &'v View, record: &PublicRecord) -> Result<Option<&'v Version>, StoreError> {
        for version in &view.versions {
            if Some(View::certificate(version)?.thumbprints) == record.thumbprints {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }
}

/// Signs by asking the service.
struct RemoteSigner {
    store: AppendIsLive,
    name: String,
    version: String,
    certificate: Certificate,
}

#[async_trait]
impl Signer for RemoteSigner {
    fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    async fn sign(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, certroll::edges::Trouble> {
        if algorithm != SignatureAlgorithm::Ps256 {
            return Err(KeyError("this service signs PS256 only".into()).into());
        }
        let service = &self.store.service;
        let signed = self
            .store
            .trouble
            .call("vault: sign", || service.lock().sign(&self.name, &self.version, message));
        signed.map_err(certroll::edges::Trouble::from)
    }
}

#[async_trait]
impl StoreReader for AppendIsLive {
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
        let mut warnings = Vec::new();
        let holding = self.view(entry).and_then(|view| {
            if view.pending.is_some() && view.pending_generation().is_none() {
                warnings.push("a pending operation without a record is in progress".into());
            }
            view.holding()
        });
        let state = match holding {
            Ok(holding) if holding == Holding::default() => StoreState::Absent,
            Ok(holding) => StoreState::Known(holding),
            Err(error) => StoreState::Unreadable { reason: error.reason },
        };
        ObservedStore { shape: self.shape(entry), state, warnings, damage: vec![] }
    }

    async fn issued(&self, entry: &StoreBinding, generation: &Generation) -> Result<Issued, StoreError> {
        let missing = || error(StoreErrorKind::Missing, "there is no such certificate");
        let view = self.view(entry)?;
        let thumbprints = generation.record.thumbprints.ok_or_else(missing)?;
        if let Some(attached) = view.companion.attached.get(&thumbprints.sha256.to_string()) {
            let mut certificates = Certificate::all_from_pem(attached.certificates.as_bytes())
                .map_err(|e| error(StoreErrorKind::Corrupt, &e.to_string()))?;
            return Ok(Issued { certificate: certificates.remove(0), chain: certificates });
        }
        let version = self.version(&view, &generation.record)?.ok_or_else(missing)?;
        Ok(Issued { certificate: View::certificate(version)?, chain: vec![] })
    }

    async fn requested(&self, entry: &StoreBinding, generation: &Generation) -> Result<Vec<u8>, StoreError> {
        let missing = || error(StoreErrorKind::Missing, "that request is not pending");
        let pending = self.view(entry)?.pending;
        let pending = pending.filter(|pending| generation.handle.ends_with(&pending.request_id));
        pending.map(|pending| pending.csr).ok_or_else(missing)
    }
}

#[async_trait]
impl StoreWriter for AppendIsLive {
    async fn stage(
        &self,
        _entry: &StoreBinding,
        _key: &PrivateKey,
        _issued: &Issued,
        _record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        Err(error(StoreErrorKind::Unsupported, "a key made elsewhere would be live at once"))
    }

    async fn request(
        &self,
        entry: &StoreBinding,
        request: &KeyRequest,
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        let view = self.view(entry)?;
        if let (Some(generation), Some(operation)) = (view.pending_generation(), &view.pending) {
            // There is one operation for each name. One whose certificate was published and given up makes room; its record stays.
            let given_up = generation.record.thumbprints.is_some()
                && generation.record.rotation_id != record.rotation_id;
            if !given_up {
                return Ok(Pending { generation, csr: operation.csr.clone() });
            }
            self.delete_pending(&entry.entry)?;
        }
        let operation = self.create(&entry.entry, request)?;
        // Without a note it is ours that died between the two calls, or a stranger's: what it asks for decides.
        let asked = signing_request(&keys::key(0), &request.subject);
        if subject_of(&operation.csr) != subject_of(&asked) {
            let reason = "409 a pending operation of somebody else is in progress";
            return Err(error(StoreErrorKind::Rival, reason));
        }
        let note = PendingNote { request_id: operation.request_id.clone(), record: record.clone() };
        let companion = Companion { pending: Some(note), ..view.companion };
        self.put_companion(&entry.entry, &companion)?;
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
        let view = self.view(entry)?;
        let pending = view.pending_generation().filter(|pending| pending.handle == generation.handle);
        let Some(pending) = pending else {
            return Err(error(StoreErrorKind::Missing, "that request is no longer pending"));
        };
        if pending.record.thumbprints.is_some() {
            // One certificate for one request: the first that was kept may be published already.
            return Ok(pending);
        }
        if let Some(operation) = &view.pending
            && public_key_of_csr(&operation.csr) != public_key(&issued.certificate)
        {
            return Err(error(StoreErrorKind::Refused, "the certificate is not for the pending key"));
        }
        let mut companion = view.companion.clone();
        if let Some(note) = &mut companion.pending {
            note.record = record.clone();
        }
        let certificates =
            std::iter::once(&issued.certificate).chain(&issued.chain).map(Certificate::to_pem).collect();
        companion.attached.insert(
            issued.certificate.thumbprints.sha256.to_string(),
            Attached { certificates, record: record.clone() },
        );
        self.put_companion(&entry.entry, &companion)?;
        Ok(Generation { record: record.clone(), ..pending })
    }

    async fn signer(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
    ) -> Result<Box<dyn Signer>, StoreError> {
        let view = self.view(entry)?;
        let Some(version) = self.version(&view, &generation.record)? else {
            return Err(error(StoreErrorKind::Unsupported, "a pending key cannot sign before it is merged"));
        };
        Ok(Box::new(RemoteSigner {
            store: self.clone(),
            name: entry.entry.clone(),
            version: version.id.clone(),
            certificate: View::certificate(version)?,
        }))
    }

    async fn export(
        &self,
        _entry: &StoreBinding,
        _generation: &Generation,
    ) -> Result<PrivateKey, StoreError> {
        Err(error(StoreErrorKind::Unsupported, "the key never leaves"))
    }

    async fn promote(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        expected: Option<&Current>,
        _password: Option<&Secret>,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        let view = self.view(entry)?;
        let holding = view.holding()?;
        if let Some(version) = self.version(&view, &generation.record)? {
            if newest(&view.versions).map(|v| &v.id) != Some(&version.id) {
                return Err(error(
                    StoreErrorKind::Unsupported,
                    "an older version cannot be made current again",
                ));
            }
            let noted = record_of(&version.tags)?.filter(|r| r.promoted_at.is_some());
            let record = noted.unwrap_or_else(|| record.clone());
            self.put_tags(&entry.entry, version, &record)?;
            return Ok(Generation { handle: version.id.clone(), record, key: KeyState::Held });
        }
        if holding.current.as_ref() != expected {
            return Err(error(StoreErrorKind::Rival, "somebody else changed what is current"));
        }
        let pending =
            view.pending_generation().filter(|g| g.record.thumbprints == generation.record.thumbprints);
        if pending.is_none_or(|g| g.record.rejected) {
            return Err(error(StoreErrorKind::Missing, "the request is no longer pending"));
        }
        let issued = self.issued(entry, generation).await?;
        let id = self.merge(&entry.entry, &issued.certificate)?;
        let after = self.versions(&entry.entry)?;
        if let Some(version) = after.iter().find(|version| version.id == id) {
            self.put_tags(&entry.entry, version, record)?;
        }
        if newest(&after).map(|v| &v.id) != Some(&id) || after.len() != view.versions.len() + 1 {
            return Err(error(StoreErrorKind::Rival, "somebody else added a version at the same time"));
        }
        Ok(Generation { handle: id, record: record.clone(), key: KeyState::Held })
    }

    async fn write_record(&self, entry: &StoreBinding, record: &PublicRecord) -> Result<(), StoreError> {
        let view = self.view(entry)?;
        if let Some(version) = self.version(&view, record)? {
            return self.put_tags(&entry.entry, version, record);
        }
        let ours = view.pending_generation().is_some_and(|g| g.record.rotation_id == record.rotation_id);
        if !ours {
            return Err(error(StoreErrorKind::Missing, "there is no such generation"));
        }
        let mut companion = view.companion.clone();
        if let Some(note) = &mut companion.pending {
            note.record = record.clone();
        }
        if companion == view.companion { Ok(()) } else { self.put_companion(&entry.entry, &companion) }
    }

    async fn remove(&self, entry: &StoreBinding, generation: &Generation) -> Result<KeyState, StoreError> {
        let view = self.view(entry)?;
        if let Some(version) = self.version(&view, &generation.record)? {
            if newest(&view.versions).map(|v| &v.id) == Some(&version.id) {
                return Err(error(StoreErrorKind::Refused, "it is what consumers use"));
            }
            if version.enabled {
                self.update(&entry.entry, &version.id, |version| version.enabled = false)?;
            }
            let record = view.record(version)?.unwrap_or_else(|| generation.record.clone());
            self.put_tags(&entry.entry, version, &PublicRecord { phase: RecordedPhase::Retired, ..record })?;
            return Ok(KeyState::Disabled);
        }
        if view.pending_generation().is_some_and(|pending| pending.handle == generation.handle) {
            self.delete_pending(&entry.entry)?;
        }
        Ok(KeyState::Destroyed)
    }
}

fn subject_of(csr: &[u8]) -> String {
    use x509_parser::prelude::{FromDer, X509CertificationRequest};
    let (_, parsed) = X509CertificationRequest::from_der(csr).unwrap();
    parsed.certification_request_info.subject.to_string()
}
