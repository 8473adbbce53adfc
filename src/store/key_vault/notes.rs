//! What certroll notes in the tags of a version: the public record, the certificates where they fit, and a digest of what consumers read. Tags
//! come with the list of versions, so that looking never reads a value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::certificate::Certificate;
use crate::ids::Sha256;
use crate::issuer::Issued;
use crate::key_vault::{TAG_MAX, TAGS_MAX, Tags};
use crate::observed::record::{PublicRecord, RECORD_FORMAT};
use crate::store::kept::corrupt;
use crate::store::{StoreError, StoreErrorKind};

/// Begins the name of every tag of certroll's own.
const OWN: &str = "certroll-";
const RECORD: &str = "certroll-record-";
const CERTIFICATE: &str = "certroll-certificate-";
const REQUEST: &str = "certroll-request-";
const VALUE: &str = "certroll-value";

/// What is noted of a generation beside one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) record: PublicRecord,
    /// Leaf, then the chain: base64 of each DER, with a dot between. Empty where it did not fit.
    pub(super) certificates: String,
    /// The signing request, DER, where the certificate is awaited from elsewhere.
    pub(super) request: Vec<u8>,
    /// Digest of the value, where consumers read it.
    pub(super) value: Option<Sha256>,
}

impl Notes {
    pub(super) fn new(record: &PublicRecord, issued: &Issued, value: Option<Sha256>) -> Notes {
        let all = std::iter::once(&issued.certificate).chain(&issued.chain);
        let all: Vec<String> = all.map(|one| STANDARD_NO_PAD.encode(one.der())).collect();
        Notes { value, certificates: all.join("."), ..Notes::of_adopted(record) }
    }

    /// The record alone: of what was made elsewhere, or has no certificate yet.
    pub(super) fn of_adopted(record: &PublicRecord) -> Notes {
        Notes { record: record.clone(), certificates: String::new(), request: Vec::new(), value: None }
    }

    /// The certificates, where they are noted.
    pub(super) fn issued(&self) -> Option<Issued> {
        let all = self
            .certificates
            .split('.')
            .map(|text| STANDARD_NO_PAD.decode(text).ok().and_then(|der| Certificate::from_der(&der).ok()));
        let mut all = all.collect::<Option<Vec<_>>>()?.into_iter();
        let certificate = all.next()?;
        let meant = self.record.thumbprints?;
        (certificate.thumbprints == meant).then(|| Issued { certificate, chain: all.collect() })
    }

    /// As tags, beside those of others. Certificates that do not fit are left out: they can be had elsewhere. A record that does not
    /// fit is refused.
    pub(super) fn to_tags(&self, beside: &Tags) -> Result<Tags, StoreError> {
        let mut tags = others(beside);
        let text = serde_json::to_string(&self.record).map_err(|error| corrupt(&error.to_string()))?;
        put(&mut tags, RECORD, &text);
        if let Some(digest) = &self.value {
            tags.insert(VALUE.to_owned(), digest.to_string());
        }
        put(&mut tags, REQUEST, &STANDARD_NO_PAD.encode(&self.request));
        if tags.len() > TAGS_MAX {
            return Err(StoreError {
                kind: StoreErrorKind::Refused,
                doing: "noting the public record in tags".to_owned(),
                reason: format!("it would take {} tags, and a version has {TAGS_MAX}", tags.len()),
                hint: Some("remove tags of yours from it, or deliver to fewer places".to_owned()),
            });
        }
        let mut with_certificates = tags.clone();
        put(&mut with_certificates, CERTIFICATE, &self.certificates);
        Ok(if with_certificates.len() > TAGS_MAX { tags } else { with_certificates })
    }

    /// Reads them back; `None` where there are none.
    pub(super) fn of(tags: &Tags) -> Result<Option<Notes>, StoreError> {
        let text = joined(tags, RECORD);
        if text.is_empty() {
            return Ok(None);
        }
        let record: PublicRecord = serde_json::from_str(&text).map_err(|error| {
            corrupt(&format!("the record in a version's tags cannot be understood: {error}"))
        })?;
        if record.format != RECORD_FORMAT {
            let format = record.format;
            return Err(corrupt(&format!(
                "a record of format {format}: written by a newer certroll, use that one"
            )));
        }
        let value = tags.get(VALUE).and_then(|text| text.parse().ok());
        let request = STANDARD_NO_PAD.decode(joined(tags, REQUEST)).unwrap_or_default();
        Ok(Some(Notes { record, certificates: joined(tags, CERTIFICATE), request, value }))
    }

    pub(super) fn sha256(&self) -> Option<Sha256> {
        self.record.thumbprints.map(|thumbprints| thumbprints.sha256)
    }
}

/// The tags that are not certroll's.
pub(super) fn others(tags: &Tags) -> Tags {
    let others = tags.iter().filter(|(name, _)| !name.starts_with(OWN));
    others.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn put(tags: &mut Tags, name: &str, text: &str) {
    let mut rest = text;
    let mut number = 0;
    while !rest.is_empty() {
        let mut end = rest.len().min(TAG_MAX);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        tags.insert(format!("{name}{number:02}"), rest[..end].to_owned());
        rest = &rest[end..];
        number += 1;
    }
}

fn joined(tags: &Tags, name: &str) -> String {
    tags.iter().filter(|(tag, _)| tag.starts_with(name)).map(|(_, value)| value.as_str()).collect()
}
