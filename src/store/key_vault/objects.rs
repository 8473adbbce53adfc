//! What differs between secret and certificate objects where both have two names: how versions are listed, written, changed and opened.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::notes::Notes;
use crate::certificate::{KeyKind, SignatureHash};
use crate::desired::{Form, Format, Password};
use crate::edges::Trouble;
use crate::form::{identity_in, read_pem, read_pfx, render};
use crate::ids::Thumbprints;
use crate::issuer::self_signed::SelfSigned;
use crate::issuer::{CertificateRequest, Issued, Issuer, SubjectKey};
use crate::key::{PrivateKey, Secret};
use crate::key_vault::certificates::Import;
use crate::key_vault::secrets::NewSecret;
use crate::key_vault::{KeyVault, Tags, Version};
use crate::observed::record::PublicRecord;
use crate::period::Period;
use crate::store::StoreError;
use crate::store::kept::{FieldNames, Kept, corrupt, sha256, unrendered};
use crate::store::two_slot::Whole;

/// Content type of what certroll keeps for itself.
const KEPT_TYPE: &str = "application/vnd.certroll+json";

/// The name on the certificate that stands in for one that is awaited.
const STANDS_IN: &str = "CN=certroll: the certificate of this key is awaited";

/// Which objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Objects {
    Secrets,
    Certificates,
}

/// What goes into a version: contents, content type, and its digest where it is read back as written.
pub(super) struct Contents {
    bytes: Zeroizing<Vec<u8>>,
    content_type: &'static str,
}

impl Objects {
    /// The word, for messages.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Objects::Secrets => "secret",
            Objects::Certificates => "certificate",
        }
    }

    pub(super) async fn versions(self, vault: &KeyVault, name: &str) -> Result<Vec<Version>, Trouble> {
        match self {
            Objects::Secrets => vault.secret_versions(name).await,
            Objects::Certificates => vault.certificate_versions(name).await,
        }
    }

    /// Which of the names was deleted and can be recovered.
    pub(super) async fn deleted(self, vault: &KeyVault, names: &[&str]) -> Result<Option<String>, Trouble> {
        match self {
            Objects::Secrets => vault.deleted_secret(names).await,
            Objects::Certificates => vault.deleted_certificate(names).await,
        }
    }

    pub(super) async fn update(
        self,
        vault: &KeyVault,
        name: &str,
        version: &str,
        tags: &Tags,
        disable: bool,
    ) -> Result<(), Trouble> {
        match self {
            Objects::Secrets => vault.update_secret(name, version, tags, disable).await,
            Objects::Certificates => vault.update_certificate(name, version, tags, disable).await,
        }
    }

    /// Writes a version, which is the newest of its name at once.
    pub(super) async fn write(
        self,
        vault: &KeyVault,
        name: &str,
        contents: &Contents,
        record: &PublicRecord,
        tags: &Tags,
    ) -> Result<Version, StoreError> {
        match self {
            Objects::Secrets => {
                let value =
                    std::str::from_utf8(&contents.bytes).map_err(|_| corrupt("the value is no text"))?;
                let new = NewSecret {
                    value,
                    content_type: contents.content_type,
                    not_before: record.not_before,
                    not_after: record.not_after,
                    tags,
                };
                Ok(vault.set_secret(name, &new).await?)
            }
            Objects::Certificates => {
                let import = Import {
                    contents: &contents.bytes,
                    content_type: contents.content_type,
                    key: record.key.unwrap_or(KeyKind::Rsa2048),
                    tags,
                };
                Ok(vault.import(name, &import).await?)
            }
        }
    }

    /// What is kept under the second name.
    pub(super) fn kept(self, form: &Form, whole: &Whole<'_>) -> Result<Contents, StoreError> {
        match self {
            Objects::Secrets => {
                let mut text = Kept::new(whole.key, whole.issued, whole.record).to_text()?;
                let bytes = Zeroizing::new(std::mem::take(&mut *text).into_bytes());
                Ok(Contents { bytes, content_type: KEPT_TYPE })
            }
            Objects::Certificates => imported(form, whole),
        }
    }

    /// What is kept under the second name until the certificate comes. A certificate object takes no key alone: there the key has
    /// signed a certificate itself that says so, and that is given to nobody.
    pub(super) async fn kept_alone(
        self,
        form: &Form,
        key: &PrivateKey,
        record: &PublicRecord,
        now: Timestamp,
    ) -> Result<Contents, StoreError> {
        match self {
            Objects::Secrets => {
                let mut text = Kept::pending(key, record).to_text()?;
                let bytes = Zeroizing::new(std::mem::take(&mut *text).into_bytes());
                Ok(Contents { bytes, content_type: KEPT_TYPE })
            }
            Objects::Certificates => {
                let request = CertificateRequest {
                    subject: STANDS_IN.to_owned(),
                    signature_hash: SignatureHash::Sha256,
                    not_before: now,
                    validity: Period::years(1),
                    now,
                    serial: [1; 16],
                };
                let made = SelfSigned.issue(&request, SubjectKey::Local(key)).await;
                let issued = made.map_err(|error| unrendered(error.to_string()))?;
                imported(form, &Whole { key, issued: &issued, record })
            }
        }
    }

    /// The key of what was kept so.
    pub(super) fn key_alone(self, text: &str) -> Result<PrivateKey, StoreError> {
        match self {
            Objects::Secrets => Kept::parse(text)?.key(),
            Objects::Certificates => {
                let pfx = || STANDARD.decode(text.trim()).ok().map(Zeroizing::new);
                let found = read_pem(text.as_bytes()).ok().or_else(|| read_pfx(&pfx()?, None).ok());
                found
                    .map(|found| found.key)
                    .ok_or_else(|| corrupt("the vault hands out no PFX or PEM of the waiting key"))
            }
        }
    }

    /// What consumers read.
    pub(super) fn rendered(
        self,
        form: &Form,
        whole: &Whole<'_>,
        password: Option<&Secret>,
        stem: &str,
    ) -> Result<Contents, StoreError> {
        match self {
            Objects::Secrets => rendered(form, whole, password, stem),
            Objects::Certificates => imported(form, whole),
        }
    }

    /// What is noted beside what consumers read. The vault makes the form of a certificate object, so that there is no digest of it.
    pub(super) fn notes(self, whole: &Whole<'_>, contents: &Contents) -> Notes {
        let digest = (self == Objects::Secrets).then(|| sha256(&contents.bytes));
        Notes::new(whole.record, whole.issued, digest)
    }

    /// Key and certificates out of what is kept under the second name.
    pub(super) fn open_kept(
        self,
        text: &str,
        thumbprints: &Thumbprints,
    ) -> Result<(PrivateKey, Issued), StoreError> {
        match self {
            Objects::Secrets => Kept::parse(text)?.open(thumbprints),
            Objects::Certificates => identity_in(&[text.as_bytes()], &thumbprints.sha256)
                .ok_or_else(|| corrupt("the vault hands out no PFX or PEM of the generation's certificate")),
        }
    }
}

/// A PFX with an empty password, chain included, or a PEM text with one certificate and its key, as an import takes them.
fn imported(form: &Form, whole: &Whole<'_>) -> Result<Contents, StoreError> {
    let alone;
    let (format, content_type, issued) = match form.format {
        Format::Pem => {
            alone = Issued { certificate: whole.issued.certificate.clone(), chain: Vec::new() };
            (Format::Pem, "application/x-pem-file", &alone)
        }
        _ => (Format::Pfx, "application/x-pkcs12", whole.issued),
    };
    let form = Form { format, profile: form.profile, password: Password::None };
    let files = render(&form, whole.key, issued, None, "certroll");
    let file = files.map_err(|error| unrendered(error.to_string()))?.into_iter().next();
    let file = file.ok_or_else(|| unrendered("the form has no content".to_owned()))?;
    Ok(Contents { bytes: file.contents, content_type })
}

/// The value in the entry's form. One part is the value itself; several are one JSON object, so that they change together.
fn rendered(
    form: &Form,
    whole: &Whole<'_>,
    password: Option<&Secret>,
    stem: &str,
) -> Result<Contents, StoreError> {
    let named = std::collections::BTreeMap::new();
    let mut kept = Kept::new(whole.key, whole.issued, whole.record);
    let mut parts = kept.render(form, &FieldNames::new(&named), password, stem)?;
    if parts.len() == 1
        && let Some((_, mut text)) = parts.pop()
    {
        let content_type = match form.format {
            format if format.is_pfx() => "application/x-pkcs12",
            Format::Pem => "application/x-pem-file",
            _ => "text/plain",
        };
        let bytes = Zeroizing::new(std::mem::take(&mut *text).into_bytes());
        return Ok(Contents { bytes, content_type });
    }
    let object: Map<String, Value> =
        parts.iter().map(|(name, text)| (name.clone(), Value::String(text.to_string()))).collect();
    let mut object = Value::Object(object);
    let bytes = Zeroizing::new(object.to_string().into_bytes());
    for value in object.as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Value::String(text) = value {
            zeroize::Zeroize::zeroize(text);
        }
    }
    Ok(Contents { bytes, content_type: "application/json" })
}
