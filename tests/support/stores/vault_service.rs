//! The service behind [`AppendIsLive`](super::AppendIsLive): certificates with versions, keys that never leave, one pending operation
//! for each name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use certroll::certificate::Certificate;
use certroll::key::{LocalSigner, PrivateKey, SignatureAlgorithm, Signer};
use certroll::store::{StoreError, StoreErrorKind};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_RSA_SHA256};

use super::append_is_live::error as refused;
use crate::support::keys;

#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) id: String,
    /// In seconds; two may be equal.
    pub(super) created: u64,
    pub(super) cer: Vec<u8>,
    pub(super) enabled: bool,
    pub(super) tags: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) request_id: String,
    pub(super) csr: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Item {
    pub(super) versions: Vec<Version>,
    pub(super) pending: Option<Operation>,
}

#[derive(Default)]
pub(super) struct Service {
    pub(super) items: BTreeMap<String, Item>,
    /// By public key: they never leave.
    pub(super) keys: BTreeMap<Vec<u8>, PrivateKey>,
    pub(super) companions: BTreeMap<String, String>,
    pub(super) made: u64,
    pub(super) clock: u64,
}

/// The service all processes talk to. Clones share it.
#[derive(Clone, Default)]
pub struct VaultService(Arc<Mutex<Service>>);

impl VaultService {
    pub(super) fn lock(&self) -> MutexGuard<'_, Service> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What a consumer uses: the certificate of the newest version, if it is enabled, and a signature by its key.
    pub fn consume(&self, name: &str, message: &[u8]) -> Option<(Certificate, Vec<u8>)> {
        let newest = newest(&self.lock().items.get(name)?.versions)?.clone();
        let certificate = Certificate::from_der(&newest.cer).unwrap();
        let signature = self.lock().sign(name, &newest.id, message).ok()?;
        Some((certificate, signature))
    }

    /// Somebody imports a certificate and key of their own; it is current at once.
    pub fn import_by_hand(&self, name: &str, key: PrivateKey, certificate: &Certificate) {
        let mut service = self.lock();
        service.keys.insert(public_key(certificate), key);
        service.append(name, certificate.der().to_vec());
    }

    /// Somebody else starts an operation of their own.
    pub fn start_by_hand(&self, name: &str, subject: &str) {
        let csr = signing_request(&keys::key(9), subject);
        let mut service = self.lock();
        let item = service.items.entry(name.into()).or_default();
        item.pending = Some(Operation { request_id: "by-hand".into(), csr });
    }

    /// Somebody purges a name with all its versions and what is remembered beside them.
    pub fn forget(&self, name: &str) {
        let mut service = self.lock();
        service.items.remove(name);
        service.companions.retain(|companion, _| companion != name);
    }

    /// Everything there is but keys, for comparing.
    pub fn snapshot(&self) -> String {
        let service = self.lock();
        format!("{:?} {:?}", service.items, service.companions)
    }
}

/// The list comes in the order of ids; the time of creation decides, and the later in the list of two in one second.
pub(super) fn newest(versions: &[Version]) -> Option<&Version> {
    versions.iter().max_by_key(|version| version.created)
}

pub(crate) fn public_key(certificate: &Certificate) -> Vec<u8> {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
    parsed.public_key().subject_public_key.data.to_vec()
}

pub(crate) fn public_key_of_csr(csr: &[u8]) -> Vec<u8> {
    use x509_parser::prelude::{FromDer, X509CertificationRequest};
    let (_, parsed) = X509CertificationRequest::from_der(csr).unwrap();
    parsed.certification_request_info.subject_pki.subject_public_key.data.to_vec()
}

impl Service {
    pub(super) fn append(&mut self, name: &str, cer: Vec<u8>) -> String {
        self.clock += 1;
        // Ids that sort in another order than time.
        let id = format!("{:016x}", self.clock.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let version =
            Version { id: id.clone(), created: self.clock, cer, enabled: true, tags: BTreeMap::new() };
        let versions = &mut self.items.entry(name.into()).or_default().versions;
        versions.push(version);
        versions.sort_by(|a, b| a.id.cmp(&b.id));
        id
    }

    pub(super) fn sign(&self, name: &str, version: &str, message: &[u8]) -> Result<Vec<u8>, StoreError> {
        let found = self.items.get(name).and_then(|item| item.versions.iter().find(|v| v.id == version));
        let found = found.ok_or_else(|| refused(StoreErrorKind::Missing, "404 KeyNotFound"))?;
        if !found.enabled {
            return Err(refused(StoreErrorKind::Denied, "403 Forbidden: the key is disabled"));
        }
        let certificate = Certificate::from_der(&found.cer).unwrap();
        let key = self.keys.get(&public_key(&certificate)).unwrap();
        let signer = LocalSigner::new(key, certificate).unwrap();
        let signed = futures_util::FutureExt::now_or_never(signer.sign(SignatureAlgorithm::Ps256, message));
        Ok(signed.unwrap().unwrap())
    }
}

pub(crate) fn signing_request(key: &PrivateKey, subject: &str) -> Vec<u8> {
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key.expose_pkcs8().to_vec().into(), &PKCS_RSA_SHA256);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject.strip_prefix("CN=").unwrap_or(subject));
    params.serialize_request(&pair.unwrap()).unwrap().der().to_vec()
}
