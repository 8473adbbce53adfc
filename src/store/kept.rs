//! What stores of named values keep of a generation beside what consumers read: key, certificates and record in one JSON text, so that
//! they change together, and digests of the fields that were rendered, so that a damaged one is noticed before anybody relies on it.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::{StoreError, StoreErrorKind};
use crate::certificate::Certificate;
#[cfg(any(feature = "azure-key-vault", feature = "hashicorp-vault"))]
use crate::desired::{Form, Format, Password};
#[cfg(any(feature = "azure-key-vault", feature = "hashicorp-vault"))]
use crate::form::render;
use crate::ids::{Sha256, Thumbprints};
use crate::issuer::Issued;
use crate::key::PrivateKey;
#[cfg(any(feature = "azure-key-vault", feature = "hashicorp-vault"))]
use crate::key::Secret;
use crate::observed::record::PublicRecord;

/// What is kept. Holds a private key: never printed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// PKCS#8 DER, base64.
    key: String,
    /// Leaf, then the chain, PEM.
    certificates: String,
    /// As it was when the generation was written. The store's records of later are newer.
    pub(super) record: PublicRecord,
    /// Digest of each rendered field, by the field's name. Empty while the generation waits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    rendered: BTreeMap<String, Sha256>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// Names of the fields consumers read, by what they hold.
#[cfg(any(feature = "azure-key-vault", feature = "hashicorp-vault"))]
pub(super) struct FieldNames<'a> {
    named: &'a BTreeMap<String, String>,
}

#[cfg(any(feature = "azure-key-vault", feature = "hashicorp-vault"))]
impl<'a> FieldNames<'a> {
    pub(super) fn new(named: &'a BTreeMap<String, String>) -> FieldNames<'a> {
        FieldNames { named }
    }

    fn of(&self, part: &str) -> String {
        self.named.get(part).cloned().unwrap_or_else(|| part.to_owned())
    }
}

impl Kept {
    pub(super) fn new(key: &PrivateKey, issued: &Issued, record: &PublicRecord) -> Kept {
        Kept {
            key: STANDARD.encode(key.expose_pkcs8()),
            certificates: certificates_pem(issued).to_string(),
            record: record.clone(),
            rendered: BTreeMap::new(),
        }
    }

    /// A key whose certificate is still awaited.
    pub(super) fn pending(key: &PrivateKey, record: &PublicRecord) -> Kept {
        Kept {
            key: STANDARD.encode(key.expose_pkcs8()),
            certificates: String::new(),
            record: record.clone(),
            rendered: BTreeMap::new(),
        }
    }

    /// Reads it back. The error quotes nothing of it.
    pub(super) fn parse(text: &str) -> Result<Kept, StoreError> {
        serde_json::from_str(text)
            .map_err(|_| corrupt("what certroll kept beside the key cannot be understood"))
    }

    /// As text.
    pub(super) fn to_text(&self) -> Result<Zeroizing<String>, StoreError> {
        let text = serde_json::to_string(self).map_err(|error| corrupt(&error.to_string()))?;
        Ok(Zeroizing::new(text))
    }

    /// Key and certificates, if they belong together and are the generation of these thumbprints.
    pub(super) fn open(&self, meant: &Thumbprints) -> Result<(PrivateKey, Issued), StoreError> {
        let key = self.key()?;
        let issued = issued(&self.certificates)?;
        if issued.certificate.thumbprints != *meant || !issued.certificate.matches_key(&key) {
            return Err(corrupt("key and certificate that were kept are not those of the generation"));
        }
        Ok((key, issued))
    }

    /// The key alone, whose certificate is still awaited.
    pub(super) fn key(&self) -> Result<PrivateKey, StoreError> {
        let der = STANDARD.decode(&self.key).map(Zeroizing::new);
        let der = der.map_err(|_| corrupt("the key that was kept is no base64"))?;
        PrivateKey::read_pkcs8(&der).map_err(|error| corrupt(&error.to_string()))
    }

    /// Remembers digests of the fields that are rendered.
    pub(super) fn remember<'f>(&mut self, fields: impl Iterator<Item = (&'f str, &'f [u8])>) {
        self.rendered = fields.map(|(name, value)| (name.to_owned(), sha256(value))).collect();
    }
}

/// What only stores that write a form as text need.
#[cfg(any(feature = "azure-key-vault", feature = "hashicorp-vault"))]
impl Kept {
    /// The fields consumers read, rendered in that form; what is kept remembers their digests.
    pub(super) fn render(
        &mut self,
        form: &Form,
        names: &FieldNames<'_>,
        password: Option<&Secret>,
        stem: &str,
    ) -> Result<Vec<(String, Zeroizing<String>)>, StoreError> {
        let thumbprints = self.record.thumbprints.ok_or_else(|| corrupt("a record without certificate"))?;
        let (key, issued) = self.open(&thumbprints)?;
        let files = render(form, &key, &issued, password, stem);
        let files = files.map_err(|error| unrendered(error.to_string()))?;
        let mut fields = Vec::new();
        for file in files {
            let part = if file.name.ends_with(".key") { "key" } else { "certificate" };
            let text = match std::str::from_utf8(&file.contents) {
                Ok(text) if form.format != Format::Pfx => Zeroizing::new(text.to_owned()),
                _ => Zeroizing::new(STANDARD.encode(&file.contents)),
            };
            fields.push((names.of(part), text));
        }
        if names.named.contains_key("chain") && !issued.chain.is_empty() {
            let chain: String = issued.chain.iter().map(Certificate::to_pem).collect();
            fields.push((names.of("chain"), Zeroizing::new(chain)));
        }
        let written = form.format.is_pfx()
            && (form.password == Password::Generate || names.named.contains_key("password"));
        if let Some(password) = password.filter(|_| written) {
            fields.push((names.of("password"), Zeroizing::new(password.expose().to_owned())));
        }
        self.remember(fields.iter().map(|(name, text)| (name.as_str(), text.as_bytes())));
        Ok(fields)
    }
}

/// What only HashiCorp Vault needs.
#[cfg(feature = "hashicorp-vault")]
impl Kept {
    /// The names of the fields that were rendered.
    pub(super) fn rendered_names(&self) -> impl Iterator<Item = &str> {
        self.rendered.keys().map(String::as_str)
    }
}

/// What only stores whose values stand in fields of their own need.
#[cfg(any(feature = "hashicorp-vault", feature = "kubernetes"))]
impl Kept {
    /// Refuses when a field that consumers read is not what was rendered.
    pub(super) fn check_rendered<V: AsRef<[u8]>>(
        &self,
        value: impl Fn(&str) -> Option<V>,
    ) -> Result<(), StoreError> {
        let damaged = self
            .rendered
            .iter()
            .find(|(name, digest)| value(name).is_none_or(|found| sha256(found.as_ref()) != **digest));
        match damaged {
            None => Ok(()),
            Some((name, _)) => {
                let thumbprint = self.record.thumbprints.map(|thumbprints| thumbprints.sha1.to_string());
                let thumbprint = thumbprint.unwrap_or_default();
                Err(StoreError {
                    hint: Some(format!("rotate with --replace ADDRESS={thumbprint}, or restore it")),
                    ..corrupt(&format!("the field consumers read was changed or is missing: {name}"))
                })
            }
        }
    }
}

/// Leaf, then the chain.
pub(super) fn certificates_pem(issued: &Issued) -> Zeroizing<String> {
    let all = std::iter::once(&issued.certificate).chain(&issued.chain);
    Zeroizing::new(all.map(Certificate::to_pem).collect())
}

/// The same, read back.
pub(super) fn issued(pem: &str) -> Result<Issued, StoreError> {
    let all = Certificate::all_from_pem(pem.as_bytes()).map_err(|error| corrupt(&error.to_string()))?;
    let mut all = all.into_iter();
    let certificate = all.next().ok_or_else(|| corrupt("there is no certificate where one was kept"))?;
    Ok(Issued { certificate, chain: all.collect() })
}

/// A signing request (DER) that was kept as PEM.
#[cfg(any(feature = "hashicorp-vault", feature = "kubernetes"))]
pub(super) fn request(text: &str) -> Result<Vec<u8>, StoreError> {
    let blocks = crate::pem::blocks(text.as_bytes());
    let mut blocks =
        blocks.map_err(|error| corrupt(&format!("the signing request that was kept: {error}")))?;
    Ok(blocks.swap_remove(0).contents.to_vec())
}

pub(super) fn corrupt(reason: &str) -> StoreError {
    StoreError {
        kind: StoreErrorKind::Corrupt,
        doing: "reading a kept generation".into(),
        reason: reason.to_owned(),
        hint: None,
    }
}

/// A generation cannot be written in the form its consumers read.
#[cfg(any(feature = "azure-key-vault", feature = "hashicorp-vault"))]
pub(super) fn unrendered(reason: String) -> StoreError {
    let doing = "writing the form consumers read".to_owned();
    StoreError { kind: StoreErrorKind::Refused, doing, reason, hint: None }
}

/// The SHA-256 digest of a text or value.
pub(super) fn sha256(bytes: &[u8]) -> Sha256 {
    let mut sha256 = Sha256([0; 32]);
    sha256.0.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    sha256
}
