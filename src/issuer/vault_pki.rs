//! The issuer `vault_pki`: the PKI engine of HashiCorp Vault or OpenBao signs a request; the key never leaves certroll or its store.
//!
//! Documented behaviour relied upon (PKI secrets engine, HTTP API): `sign/ROLE` answers with certificate, issuing CA and chain; a time to
//! live above what role, mount or CA allow is shortened without an error, so the answer's end is looked at; the role decides which parts
//! of the request's subject are taken over, so its name is looked at, too.

use std::sync::Arc;

use async_trait::async_trait;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::x509::{chain_above, check_answer, signing_request};
use super::{CertificateRequest, IssueError, Issued, Issuer, SubjectKey};
use crate::certificate::Certificate;
use crate::edges::{Trouble, TroubleKind};
use crate::may::May;
use crate::pem;
use crate::vault::{Vault, VaultAsk};

/// A role of a PKI engine.
pub struct VaultPki {
    vault: Arc<Vault>,
    mount: String,
    role: String,
    namespace: Option<String>,
    issuer_ref: Option<String>,
}

impl VaultPki {
    /// The role at that mount; with an issuer of the mount, or its default.
    pub fn new(
        vault: Arc<Vault>,
        mount: &str,
        role: &str,
        namespace: Option<&str>,
        issuer_ref: Option<&str>,
    ) -> VaultPki {
        VaultPki {
            vault,
            mount: mount.trim_matches('/').to_owned(),
            role: role.to_owned(),
            namespace: namespace.map(str::to_owned),
            issuer_ref: issuer_ref.map(str::to_owned),
        }
    }

    /// Below the server's root.
    fn path(&self) -> Vec<&str> {
        match &self.issuer_ref {
            Some(issuer) => vec![&self.mount, "issuer", issuer, "sign", &self.role],
            None => vec![&self.mount, "sign", &self.role],
        }
    }

    /// Whether requests are signed for us, as far as the server tells without a request.
    pub async fn may_issue(&self) -> Result<May, Trouble> {
        let path = self.path().join("/");
        let doing = format!("looking whether {path} may be used");
        let needed: [(String, &[&str]); 1] = [(path, &["update"])];
        self.vault.may(self.namespace.as_deref(), &needed, &doing).await
    }

    /// Who signs in, for messages.
    pub fn signs_in(&self) -> String {
        self.vault.signs_in()
    }
}

#[derive(Deserialize)]
struct Signed {
    certificate: String,
    #[serde(default)]
    issuing_ca: String,
    #[serde(default)]
    ca_chain: Vec<String>,
}

#[async_trait]
impl Issuer for VaultPki {
    async fn issue(&self, request: &CertificateRequest, key: SubjectKey<'_>) -> Result<Issued, IssueError> {
        let doing = format!("having {} sign a certificate for {}", self.mount, request.subject);
        let failed = |reason: String| IssueError::refused(doing.as_str(), reason);
        let csr = match key {
            SubjectKey::Local(key) => {
                signing_request(key, &request.subject, request.signature_hash).map_err(failed)?
            }
            SubjectKey::Request(csr) => csr.to_vec(),
        };
        let seconds = request.validity.after(request.now).duration_since(request.now).as_secs();
        let body = json!({
            "csr": pem::encode("CERTIFICATE REQUEST", &csr).as_str(),
            "ttl": format!("{seconds}s"),
            "format": "pem",
            // An application's name is no host name.
            "exclude_cn_from_sans": true,
        });
        let path = self.path();
        let ask = VaultAsk {
            method: Method::POST,
            path: &path,
            query: &[],
            namespace: self.namespace.as_deref(),
            body: Some(&body),
            doing: &doing,
        };
        let signed: Signed = self.vault.data(&ask).await?;
        let unreadable =
            |reason: String| IssueError(Trouble::new(TroubleKind::Invalid, doing.as_str(), reason));
        let certificate = Certificate::from_pem(signed.certificate.as_bytes());
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        let mut above = Vec::new();
        for text in signed.ca_chain.iter().chain([&signed.issuing_ca]).filter(|text| !text.trim().is_empty())
        {
            above.extend(
                Certificate::all_from_pem(text.as_bytes()).map_err(|error| unreadable(error.to_string()))?,
            );
        }
        let issued = Issued { chain: chain_above(&certificate, &above), certificate };
        check_answer(request, &issued).map_err(|(reason, hint)| failed(reason).with_hint(hint))?;
        Ok(issued)
    }
}
