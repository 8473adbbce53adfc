//! The certificates and keys of the test's Key Vault.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use certroll::certificate::Certificate;
use certroll::desired::{Form, Format, Password};
use certroll::form::{read_pem, read_pfx, render};
use certroll::issuer::self_signed::SelfSigned;
use certroll::issuer::{CertificateRequest, Issued, Issuer, SubjectKey};
use certroll::key::{PrivateKey, SignatureAlgorithm};
use futures_util::FutureExt;
use http::Response;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::secrets::refuse_tags;
use super::{KeyVaultService, State, answer, error};
use crate::support::ca::TestCa;
use crate::support::keys;
use crate::support::stores::{public_key, public_key_of_csr, signing_request};

pub(super) struct Version {
    id: String,
    created: i64,
    enabled: bool,
    tags: Map<String, Value>,
    cer: Certificate,
    /// PKCS#8.
    key: Vec<u8>,
    /// What the secret behind it holds; none where the key does not leave.
    secret: Option<String>,
    content_type: Value,
}

struct Operation {
    request_id: String,
    csr: Vec<u8>,
    key: Vec<u8>,
    issuer: String,
    status: Status,
    /// Of the version it makes.
    tags: Map<String, Value>,
}

#[derive(Clone, PartialEq)]
enum Status {
    InProgress,
    Completed,
    Failed(&'static str),
}

/// How the vault and the CA registered there behave.
pub struct Signing {
    /// How often somebody asks before a certificate is there.
    pub asks: u32,
    /// What it comes to nothing for.
    pub fails: Option<&'static str>,
    /// Months that the CA takes off.
    pub shortens: u32,
    /// Another name that the CA gives.
    pub renames: Option<&'static str>,
    /// The registered CA.
    pub registered: &'static str,
    /// The present moment; else it is the vault's own clock.
    pub now: Option<Timestamp>,
}

impl Default for Signing {
    fn default() -> Signing {
        Signing { asks: 1, fails: None, shortens: 0, renames: None, registered: "DigiCert", now: None }
    }
}

#[derive(Default)]
pub(super) struct Item {
    versions: Vec<Version>,
    pending: Option<Operation>,
    policy: Value,
}

fn newest(versions: &[Version]) -> Option<&Version> {
    versions.iter().max_by_key(|version| version.created)
}

fn missing(name: &str) -> Response<Vec<u8>> {
    let message = format!("A certificate with (name/id) {name} was not found in this key vault.");
    error(404, "CertificateNotFound", None, &message)
}

fn bad(message: &str) -> Response<Vec<u8>> {
    error(400, "BadParameter", None, message)
}

fn tags_of(body: &Value) -> Map<String, Value> {
    body["tags"].as_object().cloned().unwrap_or_default()
}

impl Version {
    fn shown(&self, origin: &str, name: &str, whole: bool) -> Value {
        let x5t = URL_SAFE_NO_PAD.encode(self.cer.thumbprints.sha1.0);
        let attributes = json!({ "enabled": self.enabled, "created": self.created, "updated": self.created,
            "nbf": self.cer.not_before.as_second(), "exp": self.cer.not_after.as_second() });
        let mut shown = json!({ "id": format!("{origin}/certificates/{name}/{}", self.id), "x5t": x5t,
            "attributes": attributes, "tags": self.tags });
        if whole {
            shown["kid"] = format!("{origin}/keys/{name}/{}", self.id).into();
            shown["sid"] = format!("{origin}/secrets/{name}/{}", self.id).into();
            shown["cer"] = STANDARD.encode(self.cer.der()).into();
            shown["contentType"] = self.content_type.clone();
        }
        shown
    }
}

impl State {
    pub(super) fn certificates(
        &mut self,
        origin: &str,
        method: &str,
        parts: &[&str],
        body: &Value,
    ) -> Response<Vec<u8>> {
        let name = parts[0];
        let rest = &parts[1..];
        let key = name.to_lowercase();
        match (method, rest) {
            ("GET", ["policy"]) => match self.certificates.get(&key) {
                Some(item) if !item.versions.is_empty() => answer(200, &item.policy),
                _ => missing(name),
            },
            ("GET", [issuer]) if key == "issuers" => match *issuer == self.signing.registered {
                true => answer(200, &json!({ "id": format!("{origin}/certificates/issuers/{issuer}") })),
                false => error(404, "CertificateIssuerNotFound", None, "there is no such issuer"),
            },
            ("GET", ["pending"]) => {
                self.work_on(origin, name);
                self.pending(origin, name)
            }
            ("DELETE", ["pending"]) => {
                let gone = self.pending(origin, name);
                if let Some(item) = self.certificates.get_mut(&key) {
                    item.pending = None;
                }
                gone
            }
            ("POST", ["pending", "merge"]) => self.merge(origin, name, body),
            ("POST", ["import"]) => self.import(origin, name, body),
            ("POST", ["create"]) => self.create(origin, name, body),
            ("GET", [] | [_]) => {
                let versions =
                    self.certificates.get(&key).map(|item| item.versions.as_slice()).unwrap_or_default();
                let found = match rest {
                    [id] => versions.iter().find(|version| version.id == *id),
                    _ => newest(versions),
                };
                found.map_or_else(|| missing(name), |found| answer(200, &found.shown(origin, name, true)))
            }
            ("PATCH", [id]) => {
                if let Some(refused) = refuse_tags(&tags_of(body)) {
                    return refused;
                }
                let versions = self.certificates.get_mut(&key).map(|item| &mut item.versions);
                let found = versions.and_then(|all| all.iter_mut().find(|version| version.id == *id));
                let Some(found) = found else { return missing(name) };
                if body["tags"].is_object() {
                    found.tags = tags_of(body);
                }
                found.enabled = body["attributes"]["enabled"].as_bool().unwrap_or(found.enabled);
                answer(200, &found.shown(origin, name, true))
            }
            _ => error(404, "NotFound", None, "there is no such call"),
        }
    }

    pub(super) fn certificate_versions(&self, origin: &str, name: &str) -> Vec<Value> {
        let versions = self.certificates.get(&name.to_lowercase()).map(|item| &item.versions);
        let mut shown: Vec<&Version> = versions.into_iter().flatten().collect();
        shown.sort_by(|a, b| a.id.cmp(&b.id));
        shown.into_iter().map(|version| version.shown(origin, name, false)).collect()
    }

    fn pending(&self, origin: &str, name: &str) -> Response<Vec<u8>> {
        let operation = self.certificates.get(&name.to_lowercase()).and_then(|item| item.pending.as_ref());
        match operation {
            None => error(404, "PendingCertificateNotFound", None, "there is no pending certificate"),
            Some(operation) => answer(200, &operation_shown(operation, origin, name)),
        }
    }

    /// Why a new version cannot begin now.
    fn busy(&self, name: &str) -> Option<Response<Vec<u8>>> {
        if self.deleted_certificates.contains(&name.to_lowercase()) {
            let message = format!("Certificate {name} is currently in a deleted but recoverable state");
            return Some(error(409, "Conflict", Some("ObjectIsDeletedButRecoverable"), &message));
        }
        let in_progress = |operation: &Operation| operation.status == Status::InProgress;
        let item = self.certificates.get(&name.to_lowercase());
        let pending = item.is_some_and(|item| item.pending.as_ref().is_some_and(in_progress));
        let message = "A new key vault certificate can not be created or imported while a pending key vault \
                       certificate's status is inProgress.";
        pending.then(|| error(409, "Forbidden", None, message))
    }

    fn create(&mut self, origin: &str, name: &str, body: &Value) -> Response<Vec<u8>> {
        if let Some(busy) = self.busy(name) {
            return busy;
        }
        let policy = &body["policy"];
        if policy["key_props"]["exportable"] == true && policy["key_props"]["kty"] == "RSA-HSM" {
            return bad("An HSM key cannot be exportable.");
        }
        self.made_keys += 1;
        let key = keys::key(self.made_keys);
        let subject = policy["x509_props"]["subject"].as_str().unwrap_or_default();
        let csr = signing_request(&key, subject);
        let issuer = policy["issuer"]["name"].as_str().unwrap_or("Unknown");
        if !["Self", "Unknown", self.signing.registered].contains(&issuer) {
            return bad("There is no such issuer.");
        }
        if let Some(refused) = refuse_tags(&tags_of(body)) {
            return refused;
        }
        let operation = Operation {
            request_id: self.new_id(),
            csr,
            key: key.expose_pkcs8().to_vec(),
            issuer: issuer.to_owned(),
            status: Status::InProgress,
            tags: tags_of(body),
        };
        self.asked = 0;
        let shown = operation_shown(&operation, origin, name);
        let item = self.certificates.entry(name.to_lowercase()).or_default();
        item.pending = Some(operation);
        item.policy = policy.clone();
        answer(202, &shown)
    }

    fn merge(&mut self, origin: &str, name: &str, body: &Value) -> Response<Vec<u8>> {
        if let Some(refused) = refuse_tags(&tags_of(body)) {
            return refused;
        }
        let item = self.certificates.entry(name.to_lowercase()).or_default();
        let by_issuer = |operation: &Operation| operation.issuer != "Unknown";
        if item.pending.as_ref().is_some_and(by_issuer) {
            return error(403, "Forbidden", None, "The issuer signs this pending certificate.");
        }
        let Some(operation) = item.pending.take() else {
            return error(404, "PendingCertificateNotFound", None, "there is no pending certificate");
        };
        let leaf = body["x5c"][0].as_str().and_then(|text| STANDARD.decode(text).ok());
        let leaf = leaf.and_then(|der| Certificate::from_der(&der).ok());
        let Some(cer) = leaf.filter(|leaf| public_key(leaf) == public_key_of_csr(&operation.csr)) else {
            item.pending = Some(operation);
            return bad("The public key of the end-entity certificate does not match the pending one.");
        };
        let content_type = item.policy["secret_props"]["contentType"].clone();
        self.append(origin, name, tags_of(body), cer, operation.key, None, content_type)
    }

    fn import(&mut self, origin: &str, name: &str, body: &Value) -> Response<Vec<u8>> {
        if let Some(refused) = self.busy(name).or_else(|| refuse_tags(&tags_of(body))) {
            return refused;
        }
        let value = body["value"].as_str().and_then(|text| STANDARD.decode(text).ok());
        let Some(value) = value else { return bad("Property 'value' is no base64.") };
        let content_type = body["policy"]["secret_props"]["contentType"].clone();
        let (identity, secret) = match content_type.as_str() {
            Some("application/x-pem-file") => {
                let blocks = certroll::pem::blocks(&value).map(|blocks| blocks.len()).unwrap_or_default();
                if blocks != 2 {
                    return bad("The PEM must hold one certificate and one key, and nothing else.");
                }
                (read_pem(&value).ok(), String::from_utf8(value).unwrap_or_default())
            }
            _ => (read_pfx(&value, None).ok(), STANDARD.encode(&value)),
        };
        let Some(identity) = identity else { return bad("The content is not what its type says.") };
        let pkcs8 = identity.key.expose_pkcs8().to_vec();
        let item = self.certificates.entry(name.to_lowercase()).or_default();
        item.policy = body["policy"].clone();
        self.append(origin, name, tags_of(body), identity.certificate, pkcs8, Some(secret), content_type)
    }

    /// What the vault, or the CA registered there, does while somebody asks.
    fn work_on(&mut self, origin: &str, name: &str) {
        let Some(item) = self.certificates.get_mut(&name.to_lowercase()) else { return };
        let policy = item.policy.clone();
        let Some(operation) = item.pending.as_mut().filter(|one| one.status == Status::InProgress) else {
            return;
        };
        self.asked += 1;
        if operation.issuer == "Unknown" || self.asked <= self.signing.asks {
            return;
        }
        if let Some(why) = self.signing.fails {
            operation.status = Status::Failed(why);
            return;
        }
        operation.status = Status::Completed;
        let key = PrivateKey::from_pkcs8(zeroize::Zeroizing::new(operation.key.clone()));
        let (tags, pkcs8, by_ca) =
            (operation.tags.clone(), operation.key.clone(), operation.issuer != "Self");
        let now = self.signing.now.unwrap_or_else(|| Timestamp::from_second(self.clock).unwrap());
        let issued = made(&key, &policy["x509_props"], now, &self.signing, by_ca);
        let content_type = policy["secret_props"]["contentType"].clone();
        let format = if content_type == "application/x-pem-file" { Format::Pem } else { Format::Pfx };
        let form = Form { format, profile: Default::default(), password: Password::None };
        let file = render(&form, &key, &issued, None, "x").unwrap().remove(0);
        let secret = match format {
            Format::Pem => String::from_utf8(file.contents.to_vec()).unwrap(),
            _ => STANDARD.encode(&file.contents),
        };
        let exportable = policy["key_props"]["exportable"] == true;
        let secret = exportable.then_some(secret);
        self.append(origin, name, tags, issued.certificate, pkcs8, secret, content_type);
    }

    #[allow(clippy::too_many_arguments, reason = "all a version is")]
    fn append(
        &mut self,
        origin: &str,
        name: &str,
        tags: Map<String, Value>,
        cer: Certificate,
        key: Vec<u8>,
        secret: Option<String>,
        content_type: Value,
    ) -> Response<Vec<u8>> {
        let (id, created) = (self.new_id(), self.tick());
        let version = Version { id, created, enabled: true, tags, cer, key, secret, content_type };
        let shown = version.shown(origin, name, true);
        self.certificates.entry(name.to_lowercase()).or_default().versions.push(version);
        answer(200, &shown)
    }

    /// The secret behind a certificate; `None` where there is no such certificate.
    pub(super) fn linked_secret(
        &self,
        origin: &str,
        name: &str,
        version: Option<&str>,
    ) -> Option<Response<Vec<u8>>> {
        let versions = &self.certificates.get(&name.to_lowercase())?.versions;
        let found = match version.filter(|version| !version.is_empty()) {
            Some(id) => versions.iter().find(|version| version.id == id),
            None => newest(versions),
        }?;
        if !found.enabled {
            let message = "Operation get is not allowed on a disabled secret.";
            return Some(error(403, "Forbidden", Some("SecretDisabled"), message));
        }
        let public = || STANDARD.encode(found.cer.der());
        let value = found.secret.clone().unwrap_or_else(public);
        let id = format!("{origin}/secrets/{name}/{}", found.id);
        let shown = json!({ "id": id, "value": value, "contentType": found.content_type, "managed": true });
        Some(answer(200, &shown))
    }

    pub(super) fn sign(&self, origin: &str, name: &str, id: &str, body: &Value) -> Response<Vec<u8>> {
        let versions = self.certificates.get(&name.to_lowercase()).map(|item| item.versions.as_slice());
        let found = versions.unwrap_or_default().iter().find(|version| version.id == id);
        let Some(found) = found else {
            return error(404, "KeyNotFound", None, "there is no such key");
        };
        if !found.enabled {
            let message = "Operation sign is not allowed on a disabled key.";
            return error(403, "Forbidden", Some("KeyDisabled"), message);
        }
        let digest = body["value"].as_str().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let digest = digest.filter(|digest| digest.len() == 32);
        let (Some(digest), Some(alg)) = (digest, body["alg"].as_str()) else { return bad("no digest") };
        let algorithm = if alg == "PS256" { SignatureAlgorithm::Ps256 } else { SignatureAlgorithm::Rs256 };
        let signature = sign_digest(&found.key, algorithm, &digest);
        let kid = format!("{origin}/keys/{name}/{id}");
        answer(200, &json!({ "kid": kid, "value": URL_SAFE_NO_PAD.encode(signature) }))
    }
}

/// Months count from ten minutes ago.
fn made(key: &PrivateKey, props: &Value, now: Timestamp, signing: &Signing, by_ca: bool) -> Issued {
    let months = props["validity_months"].as_u64().unwrap() - u64::from(signing.shortens);
    let begins = now - SignedDuration::from_mins(10);
    let subject = signing.renames.or(props["subject"].as_str()).unwrap();
    let request = CertificateRequest {
        not_before: begins,
        validity: format!("P{months}M").parse().unwrap(),
        ..keys::request(subject, begins, 7)
    };
    let issued = match by_ca {
        true => TestCa::new().issue(&request, SubjectKey::Local(key)).now_or_never(),
        false => SelfSigned.issue(&request, SubjectKey::Local(key)).now_or_never(),
    };
    issued.unwrap().unwrap()
}

fn operation_shown(operation: &Operation, origin: &str, name: &str) -> Value {
    let mut shown = json!({ "id": format!("{origin}/certificates/{name}/pending"), "issuer": { "name": operation.issuer },
        "csr": STANDARD.encode(&operation.csr), "cancellation_requested": false, "request_id": operation.request_id });
    match operation.status {
        Status::InProgress => {
            shown["status"] = "inProgress".into();
            shown["status_details"] =
                "Pending certificate created. Certificate request is in progress.".into();
        }
        Status::Completed => {
            shown["status"] = "completed".into();
            shown["target"] = format!("{origin}/certificates/{name}").into();
        }
        Status::Failed(why) => {
            shown["status"] = "failed".into();
            shown["error"] = json!({ "code": "OrderRejected", "message": why });
        }
    }
    shown
}

fn sign_digest(pkcs8: &[u8], algorithm: SignatureAlgorithm, digest: &[u8]) -> Vec<u8> {
    use aws_lc_rs::digest::{Digest, SHA256};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair};
    let pair = RsaKeyPair::from_pkcs8(pkcs8).unwrap();
    let encoding: &'static dyn aws_lc_rs::signature::RsaEncoding = match algorithm {
        SignatureAlgorithm::Ps256 => &RSA_PSS_SHA256,
        SignatureAlgorithm::Rs256 => &RSA_PKCS1_SHA256,
    };
    let digest = Digest::import_less_safe(digest, &SHA256).unwrap();
    let _ = pair.public_key();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign_digest(encoding, &digest, &mut signature).unwrap();
    signature
}

impl KeyVaultService {
    /// What a consumer that signs in the vault uses: the certificate of the newest version, and a signature by its key.
    pub fn sign_as_consumer(&self, name: &str, message: &[u8]) -> Option<(Certificate, Vec<u8>)> {
        let state = self.state();
        let newest = newest(&state.certificates.get(name)?.versions).filter(|version| version.enabled)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, message);
        let signature = sign_digest(&newest.key, SignatureAlgorithm::Ps256, digest.as_ref());
        Some((newest.cer.clone(), signature))
    }

    /// The certificate of the newest version, if it is enabled.
    pub fn newest_certificate(&self, name: &str) -> Option<Certificate> {
        let state = self.state();
        newest(&state.certificates.get(name)?.versions)
            .filter(|version| version.enabled)
            .map(|found| found.cer.clone())
    }

    /// Somebody imports a certificate and key of their own as PEM.
    pub fn import_pem_by_hand(&self, name: &str, pem: &str) {
        let policy = json!({ "secret_props": { "contentType": "application/x-pem-file" } });
        let body = json!({ "value": STANDARD.encode(pem), "policy": policy });
        assert_eq!(self.state().import("https://x", name, &body).status(), 200);
    }

    /// Somebody imports a certificate and key of their own. What was pending is in the way of that, and goes.
    pub fn import_by_hand(&self, name: &str, key: &PrivateKey, certificate: &Certificate) {
        let pem = certificate.to_pem() + &certroll::pem::encode("PRIVATE KEY", key.expose_pkcs8());
        let key = key.expose_pkcs8().to_vec();
        let mut state = self.state();
        let type_ = "application/x-pem-file".into();
        if let Some(item) = state.certificates.get_mut(&name.to_lowercase()) {
            item.pending = None;
        }
        state.append("https://x", name, Map::new(), certificate.clone(), key, Some(pem), type_);
    }

    /// Somebody starts an operation of their own.
    pub fn start_by_hand(&self, name: &str, subject: &str) {
        let body = json!({ "policy": { "x509_props": { "subject": subject } } });
        assert_eq!(self.state().create("https://x", name, &body).status(), 202);
    }

    /// Somebody lets the vault renew by itself.
    pub fn renew_by_itself(&self, name: &str) {
        let action =
            json!([{ "trigger": { "lifetime_percentage": 80 }, "action": { "action_type": "AutoRenew" } }]);
        self.state().certificates.get_mut(name).unwrap().policy["lifetime_actions"] = action;
    }

    /// Somebody puts the tags of the oldest version on the newest.
    pub fn copy_tags_to_newest(&self, name: &str) {
        let mut state = self.state();
        let versions = &mut state.certificates.get_mut(name).unwrap().versions;
        let tags = versions[0].tags.clone();
        versions.last_mut().unwrap().tags = tags;
    }

    /// Somebody disables the newest version of a certificate.
    pub fn disable_certificate(&self, name: &str) {
        let mut state = self.state();
        let versions = &mut state.certificates.get_mut(name).unwrap().versions;
        let id = newest(versions).unwrap().id.clone();
        versions.iter_mut().find(|version| version.id == id).unwrap().enabled = false;
    }

    /// Somebody deletes a certificate; it can be recovered.
    pub fn delete_certificate(&self, name: &str) {
        let mut state = self.state();
        state.certificates.remove(name);
        state.deleted_certificates.insert(name.to_owned());
    }

    /// The policy of a certificate.
    pub fn policy(&self, name: &str) -> Value {
        self.state().certificates.get(name).map(|item| item.policy.clone()).unwrap_or_default()
    }

    /// Everything that is kept but keys, for comparing.
    pub fn certificates_snapshot(&self) -> String {
        let state = self.state();
        let mut lines = Vec::new();
        for (name, item) in &state.certificates {
            for version in &item.versions {
                lines.push(version.shown(name, name, true).to_string());
            }
            lines.extend(item.pending.as_ref().map(|pending| pending.request_id.clone()));
        }
        lines.join("\n")
    }

    /// What stands in a certificate object.
    pub fn certificate_shown(&self, name: &str) -> String {
        let state = self.state();
        let Some(item) = state.certificates.get(&name.to_lowercase()) else { return "nothing".to_owned() };
        let disabled = item.versions.iter().filter(|version| !version.enabled).count();
        let newest = newest(&item.versions).map(|newest| (&newest.cer, newest.secret.is_some()));
        let pending = item.pending.as_ref().is_some_and(|one| one.status == Status::InProgress);
        in_words((item.versions.len(), disabled), newest, pending)
    }
}

/// A certificate object: how many versions it has and how many of them are disabled, the newest and whether its key can leave, and
/// whether an operation is pending.
pub(super) fn in_words(
    (all, disabled): (usize, usize),
    newest: Option<(&Certificate, bool)>,
    pending: bool,
) -> String {
    let mut lines = vec![format!("{all} versions, {disabled} disabled")];
    if let Some((certificate, leaves)) = newest {
        let leaves = if leaves { "can leave" } else { "stays" };
        lines.push(format!("newest: certificate {}, its key {leaves}", certificate.thumbprints.sha1));
    }
    lines.extend(pending.then(|| "an operation is pending".to_owned()));
    lines.join("\n")
}
