//! Certificate objects: a certificate, its key and the secret behind it, one version id for all three.
//!
//! Documented behaviour relied upon (Key Vault REST description and "certificate scenarios"): an import or a merge makes a version that is the
//! newest at once; until a pending operation is merged there is no new version; one operation can be pending for a name, and while it
//! is, another create or import is refused with 409 and code `Forbidden`; tags are those given with import or merge and are not taken over from
//! the version before; a policy sent along replaces the one there was, with its lifetime actions.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Item, KeyVault, Tags, VaultAsk, Version, is_absent, refused};
use crate::certificate::{Certificate, KeyKind};
use crate::edges::{Trouble, TroubleKind};
use crate::issuer::Issued;
use crate::key::SignatureAlgorithm;
use crate::net::printable;

/// What is imported: a PFX with an empty password, or a PEM text.
pub(crate) struct Import<'a> {
    /// The container's bytes.
    pub(crate) contents: &'a [u8],
    /// `application/x-pkcs12` or `application/x-pem-file`.
    pub(crate) content_type: &'a str,
    pub(crate) key: KeyKind,
    pub(crate) tags: &'a Tags,
}

/// What a key that the vault makes is asked for.
pub(crate) struct NewKey<'a> {
    pub(crate) key: KeyKind,
    /// Whether it is made in an HSM.
    pub(crate) hsm: bool,
    pub(crate) exportable: bool,
    pub(crate) subject: &'a str,
    /// `Self`, a registered issuer, or [`UNKNOWN`].
    pub(crate) issuer: &'a str,
    /// How long the certificate is to be valid, in months; counts only where the vault has it signed.
    pub(crate) months: u32,
    /// What the secret behind it is to hold, as in [`Import`].
    pub(crate) content_type: &'a str,
    /// Of the version that the operation makes.
    pub(crate) tags: &'a Tags,
}

/// The issuer of an operation whose request is signed elsewhere.
pub(crate) const UNKNOWN: &str = "Unknown";

/// An operation that waits for its certificate, or has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) request_id: String,
    /// The signing request, DER.
    pub(crate) csr: Vec<u8>,
    /// Who signs.
    pub(crate) issuer: String,
    /// Its status in the vault's own words, printable.
    pub(crate) status: String,
}

/// The pending operation of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    /// In progress.
    pub(crate) operation: Option<Operation>,
    /// The last one, if it made a version: the newest.
    pub(crate) completed: Option<Operation>,
    /// Why the last one came to nothing.
    pub(crate) failed: Option<String>,
}

#[derive(Deserialize)]
struct Waiting {
    #[serde(default)]
    status: String,
    #[serde(default)]
    status_details: Option<String>,
    #[serde(default)]
    request_id: String,
    #[serde(default)]
    csr: Option<String>,
    #[serde(default)]
    issuer: Option<Signer>,
    #[serde(default)]
    error: Option<super::Said>,
}

#[derive(Deserialize)]
struct Signer {
    #[serde(default)]
    name: String,
}

impl KeyVault {
    /// All versions of a certificate, oldest first; none where there is no such certificate.
    pub(crate) async fn certificate_versions(&self, name: &str) -> Result<Vec<Version>, Trouble> {
        let doing = format!("reading the versions of certificate {name} in {}", self.service.name());
        self.versions_below(&["certificates", name, "versions"], &doing).await
    }

    /// Whether a certificate of one of these names was deleted and can be recovered.
    pub(crate) async fn deleted_certificate(&self, names: &[&str]) -> Result<Option<String>, Trouble> {
        self.deleted("deletedcertificates", names).await
    }

    /// A version's certificate, the newest where none is named, with its id. Public parts alone.
    pub(crate) async fn certificate(
        &self,
        name: &str,
        version: &str,
    ) -> Result<(String, Certificate), Trouble> {
        #[derive(Deserialize)]
        struct Bundle {
            id: String,
            cer: String,
        }
        let doing = format!("reading certificate {name} in {}", self.service.name());
        let path = ["certificates", name, version];
        let bundle: Bundle = self.data(&VaultAsk::new(Method::GET, &path, &doing)).await?;
        let der = STANDARD.decode(bundle.cer.trim()).ok().and_then(|der| Certificate::from_der(&der).ok());
        let invalid = || Trouble::new(TroubleKind::Invalid, doing.as_str(), "its cer is no certificate");
        Ok((super::last_part(&bundle.id), der.ok_or_else(invalid)?))
    }

    /// Whether the vault will make new versions by itself, which nobody tells Entra of.
    pub(crate) async fn renews_by_itself(&self, name: &str) -> Result<bool, Trouble> {
        let doing = format!("reading the policy of certificate {name} in {}", self.service.name());
        let path = ["certificates", name, "policy"];
        let answer = self.ask(&VaultAsk::new(Method::GET, &path, &doing)).await?;
        match answer.status {
            200 => {}
            404 => return Ok(false),
            _ => return Err(refused(&answer)),
        }
        let policy: Value = answer.json()?;
        let actions = policy["lifetime_actions"].as_array().cloned().unwrap_or_default();
        let renews = |action: &Value| action["action"]["action_type"].as_str() == Some("AutoRenew");
        Ok(actions.iter().any(renews))
    }

    /// Whether an issuer of that name is registered.
    pub(crate) async fn is_registered(&self, issuer: &str) -> Result<bool, Trouble> {
        let doing = format!("looking for issuer {issuer} in {}", self.service.name());
        let path = ["certificates", "issuers", issuer];
        let answer = self.ask(&VaultAsk::new(Method::GET, &path, &doing)).await?;
        match answer.status {
            200 => Ok(true),
            404 => Ok(false),
            _ => Err(refused(&answer)),
        }
    }

    /// The operation of a name: one that waits, or what became of the last one.
    pub(crate) async fn pending(&self, name: &str) -> Result<Pending, Trouble> {
        let doing = format!("reading the pending operation of certificate {name} in {}", self.service.name());
        let path = ["certificates", name, "pending"];
        let answer = self.ask(&VaultAsk::new(Method::GET, &path, &doing)).await?;
        match answer.status {
            200 => pending_of(answer.json()?, &doing),
            404 if is_absent(&answer) => Ok(Pending::default()),
            _ => Err(refused(&answer)),
        }
    }

    /// Imports a version, which is the newest at once. Its policy makes nothing by itself.
    pub(crate) async fn import(&self, name: &str, import: &Import<'_>) -> Result<Version, Trouble> {
        let doing = format!("importing certificate {name} in {}", self.service.name());
        let mut body = json!({
            "policy": {
                "key_props": { "exportable": true, "kty": "RSA", "key_size": import.key.bits(), "reuse_key": false },
                "secret_props": { "contentType": import.content_type },
                "issuer": { "name": "Unknown" },
                "lifetime_actions": [],
            },
            "attributes": { "enabled": true },
            "tags": import.tags,
        });
        body["value"] = Value::String(STANDARD.encode(import.contents));
        let path = ["certificates", name, "import"];
        let ask = VaultAsk { body: Some(&body), ..VaultAsk::new(Method::POST, &path, &doing) };
        let imported = self.data::<Item>(&ask).await;
        if let Some(Value::String(value)) = body.get_mut("value") {
            zeroize::Zeroize::zeroize(value);
        }
        Ok(imported?.into())
    }

    /// Has the vault make a key, and returns its signing request. An operation that is pending already is
    /// [`TroubleKind::Conflict`].
    pub(crate) async fn create_pending(&self, name: &str, new: &NewKey<'_>) -> Result<Operation, Trouble> {
        let doing = format!("requesting a key in certificate {name} in {}", self.service.name());
        let kty = if new.hsm { "RSA-HSM" } else { "RSA" };
        let body = json!({ "policy": {
            "key_props": { "exportable": new.exportable, "kty": kty, "key_size": new.key.bits(), "reuse_key": false },
            "secret_props": { "contentType": new.content_type },
            "x509_props": { "subject": new.subject, "key_usage": ["digitalSignature"], "validity_months": new.months },
            "issuer": { "name": new.issuer },
            "lifetime_actions": [],
        }, "attributes": { "enabled": true }, "tags": new.tags });
        let path = ["certificates", name, "create"];
        let ask = VaultAsk { body: Some(&body), ..VaultAsk::new(Method::POST, &path, &doing) };
        let found = pending_of(self.data(&ask).await?, &doing)?;
        let none = |reason: String| Trouble::new(TroubleKind::Refused, doing.as_str(), reason);
        found
            .operation
            .or(found.completed)
            .ok_or_else(|| none(found.failed.unwrap_or_else(|| "it gave no request".to_owned())))
    }

    /// Gives a pending operation up. One that is gone already is done.
    pub(crate) async fn delete_pending(&self, name: &str) -> Result<(), Trouble> {
        let doing =
            format!("giving up the pending operation of certificate {name} in {}", self.service.name());
        let path = ["certificates", name, "pending"];
        let answer = self.ask(&VaultAsk::new(Method::DELETE, &path, &doing)).await?;
        if answer.is_success() || answer.status == 404 { Ok(()) } else { Err(refused(&answer)) }
    }

    /// Makes a version of the pending key and its certificate, which is the newest at once.
    pub(crate) async fn merge(&self, name: &str, issued: &Issued, tags: &Tags) -> Result<Version, Trouble> {
        let doing = format!("merging the certificate of {name} in {}", self.service.name());
        let all = std::iter::once(&issued.certificate).chain(&issued.chain);
        let x5c: Vec<String> = all.map(|one| STANDARD.encode(one.der())).collect();
        let body = json!({ "x5c": x5c, "attributes": { "enabled": true }, "tags": tags });
        let path = ["certificates", name, "pending", "merge"];
        let ask = VaultAsk { body: Some(&body), ..VaultAsk::new(Method::POST, &path, &doing) };
        Ok(self.data::<Item>(&ask).await?.into())
    }

    /// Sets the tags of a version, and disables it, with its key and secret, where that is said.
    pub(crate) async fn update_certificate(
        &self,
        name: &str,
        version: &str,
        tags: &Tags,
        disable: bool,
    ) -> Result<(), Trouble> {
        let doing = format!("changing version {version} of certificate {name} in {}", self.service.name());
        self.update(&["certificates", name, version], &doing, tags, disable).await
    }

    /// A signature by the key of a version, which stays in the vault. `digest` is the SHA-256 digest of the message.
    pub(crate) async fn sign(
        &self,
        name: &str,
        version: &str,
        algorithm: SignatureAlgorithm,
        digest: &[u8],
    ) -> Result<Vec<u8>, Trouble> {
        #[derive(Deserialize)]
        struct Signed {
            value: String,
        }
        let doing = format!("signing with key {name} in {}", self.service.name());
        let alg = match algorithm {
            SignatureAlgorithm::Ps256 => "PS256",
            SignatureAlgorithm::Rs256 => "RS256",
        };
        let body = json!({ "alg": alg, "value": URL_SAFE_NO_PAD.encode(digest) });
        let path = ["keys", name, version, "sign"];
        let ask =
            VaultAsk { body: Some(&body), repeatable: true, ..VaultAsk::new(Method::POST, &path, &doing) };
        let signed: Signed = self.data(&ask).await?;
        let signature = URL_SAFE_NO_PAD.decode(signed.value.trim_end_matches('='));
        signature
            .map_err(|_| Trouble::new(TroubleKind::Invalid, doing.as_str(), "the signature is no base64"))
    }
}

/// Statuses are written in several ways, even within the documentation.
fn pending_of(waiting: Waiting, doing: &str) -> Result<Pending, Trouble> {
    let details = waiting.status_details.filter(|details| !details.is_empty());
    let details = details.map(|details| format!(", {details}")).unwrap_or_default();
    let csr = waiting.csr.and_then(|csr| STANDARD.decode(csr.trim()).ok());
    let operation = csr.map(|csr| Operation {
        request_id: waiting.request_id,
        csr,
        issuer: waiting.issuer.map(|issuer| issuer.name).unwrap_or_default(),
        status: printable(&format!("{}{details}", waiting.status)),
    });
    match waiting.status.to_ascii_lowercase().as_str() {
        "completed" => Ok(Pending { completed: operation, ..Pending::default() }),
        "inprogress" => {
            let invalid =
                || Trouble::new(TroubleKind::Invalid, doing, "the operation has no signing request");
            Ok(Pending { operation: Some(operation.ok_or_else(invalid)?), ..Pending::default() })
        }
        status => {
            let said = waiting.error.map(|error| format!(": {} {}", error.code, error.message));
            let failed = printable(&format!("{status}{}", said.unwrap_or(details)));
            Ok(Pending { failed: Some(failed), ..Pending::default() })
        }
    }
}
