//! The issuer `key_vault`: an Azure Key Vault makes the key and signs the certificate itself, or has a CA sign it that is registered there.
//!
//! The store asks, since key and certificate are made where the key stays; here is looked what became of it. Documented behaviour relied upon
//! (Key Vault REST description, certificate operations): `GET pending` tells the status of the last operation; one that is completed made the newest
//! version; validity is counted in months and begins ten minutes before.

use std::sync::Arc;

use async_trait::async_trait;

use super::x509::check_answer;
use super::{CertificateRequest, IssueError, Issued, Issuer, SubjectKey};
use crate::certificate::Certificate;
use crate::edges::{Trouble, TroubleKind};
use crate::key_vault::KeyVault;
use crate::may::May;
use crate::subject::is_same_name;

/// The issuer that every vault has.
pub const SELF: &str = "Self";

/// Who signs in a vault, for the certificates of one name.
pub struct KeyVaultIssuer {
    vault: Arc<KeyVault>,
    /// As the vault calls it.
    issuer: String,
    /// The certificate object it is made in, which no consumer reads.
    name: String,
}

impl KeyVaultIssuer {
    /// What the vault makes for a place that consumers read as `entry`.
    pub fn new(vault: Arc<KeyVault>, issuer: &str, entry: &str) -> KeyVaultIssuer {
        KeyVaultIssuer { vault, issuer: issuer.to_owned(), name: crate::store::key_vault::next_name(entry) }
    }

    /// Whether it can sign, as far as the vault tells without being asked to.
    pub async fn may_issue(&self) -> Result<May, Trouble> {
        if self.issuer.eq_ignore_ascii_case(SELF) {
            return Ok(May::NotTold);
        }
        match self.vault.is_registered(&self.issuer).await {
            Ok(true) => Ok(May::NotTold),
            Ok(false) => Ok(May::no(
                format!("no issuer {} is registered in {}", self.issuer, self.vault.service().name()),
                "register it in the vault, or name one that is",
            )),
            // Only a manager of issuers may look.
            Err(trouble) if trouble.kind == TroubleKind::Authorisation => Ok(May::NotTold),
            Err(trouble) => Err(trouble),
        }
    }

    /// Who signs in, for messages.
    pub fn signs_in(&self) -> String {
        self.vault.signs_in()
    }
}

#[async_trait]
impl Issuer for KeyVaultIssuer {
    /// The certificate that was made for a request of the vault's own; [`TroubleKind::NotYet`] with the vault's words until then.
    async fn issue(&self, request: &CertificateRequest, key: SubjectKey<'_>) -> Result<Issued, IssueError> {
        let (vault, name) = (self.vault.service().name(), &self.name);
        let doing = format!("having {} sign certificate {name} in {vault}", self.issuer);
        let trouble = |kind, reason: String| IssueError(Trouble::new(kind, doing.as_str(), reason));
        let SubjectKey::Request(csr) = key else {
            return Err(IssueError::refused(doing, "the vault signs for keys that it makes itself"));
        };
        let pending = self.vault.pending(name).await?;
        if let Some(failed) = pending.failed {
            let hint = "the next run asks again; what the CA says of the order stands in its own portal";
            return Err(trouble(TroubleKind::Refused, failed).with_hint(hint));
        }
        if let Some(waits) = pending.operation.filter(|operation| operation.csr == csr) {
            let hint = "run again later; nothing is published or given to consumers before";
            return Err(trouble(TroubleKind::NotYet, waits.status).with_hint(hint));
        }
        let made = pending.completed.filter(|operation| operation.csr == csr);
        let certificate = match made {
            Some(_) => Some(self.vault.certificate(name, "").await?.1),
            None => None,
        };
        let certificate = certificate.filter(|certificate| certificate.matches_request(csr));
        let certificate = certificate.ok_or_else(|| {
            let reason = "the operation is no longer there, and neither is its certificate".to_owned();
            trouble(TroubleKind::Missing, reason).with_hint("plan again")
        })?;
        check(request, &certificate).map_err(|(reason, hint)| {
            let again = format!("to have another one made as it is, disable the newest version of {name}");
            trouble(TroubleKind::Refused, reason).with_hint(format!("{hint}; {again}"))
        })?;
        // The chain is in what the vault hands out with the key, and is read where that is.
        Ok(Issued { certificate, chain: Vec::new() })
    }
}

/// Refuses what does not fit. The order of a name's parts is the vault's, and months count from the certificate's own beginning.
fn check(request: &CertificateRequest, certificate: &Certificate) -> Result<(), (String, String)> {
    if let Some(reason) = certificate.wrong_use() {
        return Err((reason.to_owned(), "let the issuer sign for client authentication".to_owned()));
    }
    let same = is_same_name(&certificate.subject, &request.subject);
    let subject = if same { certificate.subject.clone() } else { request.subject.clone() };
    let request = CertificateRequest { subject, now: certificate.not_before, ..request.clone() };
    check_answer(&request, &Issued { certificate: certificate.clone(), chain: Vec::new() })
}
