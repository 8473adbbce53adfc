//! The issuer contract: what makes a certificate for a key.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::certificate::{Certificate, SignatureHash};
use crate::edges::{Trouble, TroubleKind};
use crate::key::PrivateKey;
use crate::period::Period;

pub mod ca_file;
pub mod csr;
pub mod external_public_key;
#[cfg(feature = "azure-key-vault")]
pub mod key_vault;
pub mod self_signed;
#[cfg(feature = "hashicorp-vault")]
pub mod vault_pki;
mod x509;

pub(crate) use x509::signing_request;

/// A certificate and the chain above it, leaf's issuer first.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The leaf.
    pub certificate: Certificate,
    /// Further certificates up to, but not including, the root.
    pub chain: Vec<Certificate>,
}

/// What went wrong while issuing: what kind, doing what, the reason, what to try. Never holds a secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct IssueError(#[from] pub Trouble);

impl IssueError {
    /// Refused, for that reason.
    pub fn refused(doing: impl Into<String>, reason: impl Into<String>) -> IssueError {
        IssueError(Trouble::new(TroubleKind::Refused, doing, reason))
    }

    /// With what to try.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> IssueError {
        IssueError(self.0.with_hint(hint))
    }
}

/// What the certificate is to say.
#[derive(Debug, Clone)]
pub struct CertificateRequest {
    /// Subject, RFC 4514.
    pub subject: String,
    /// Digest of the signature.
    pub signature_hash: SignatureHash,
    /// Start of validity, already backdated.
    pub not_before: Timestamp,
    /// Calendar length of validity, counted from the moment of issue.
    pub validity: Period,
    /// The moment of issue.
    pub now: Timestamp,
    /// Serial number, 16 random bytes.
    pub serial: [u8; 16],
}

/// The key the certificate is for.
#[derive(Debug)]
pub enum SubjectKey<'a> {
    /// A key in this process.
    Local(&'a PrivateKey),
    /// A signing request (DER) for a key that stays elsewhere.
    Request(&'a [u8]),
}

/// Makes certificates.
#[async_trait]
pub trait Issuer: Send + Sync {
    /// Makes one certificate. The same arguments may give another certificate each time.
    async fn issue(&self, request: &CertificateRequest, key: SubjectKey<'_>) -> Result<Issued, IssueError>;

    /// Hands a signing request (DER) over where the certificate comes later. One that was handed over already is done.
    async fn ask(&self, _csr: &[u8]) -> Result<(), IssueError> {
        Ok(())
    }
}
