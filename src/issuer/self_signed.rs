//! The issuer `self_signed`: the generation's own key signs its certificate.
//!
//! What it makes is what `New-SelfSignedCertificate -KeySpec Signature` is used for with Entra: one key usage,
//! `digitalSignature`, and no extended key usage, which readers take as "good for any purpose"; not a CA.

use async_trait::async_trait;

use super::x509::{Signing, parameters};
use super::{CertificateRequest, IssueError, Issued, Issuer, SubjectKey};
use crate::certificate::Certificate;

/// Makes self-signed certificates. Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct SelfSigned;

#[async_trait]
impl Issuer for SelfSigned {
    /// The same request and key give the same certificate, byte for byte.
    async fn issue(&self, request: &CertificateRequest, key: SubjectKey<'_>) -> Result<Issued, IssueError> {
        let doing = || format!("making a self-signed certificate for {}", request.subject);
        let failed = |reason: String| IssueError::refused(doing(), reason);
        let key = match key {
            SubjectKey::Local(key) => key,
            SubjectKey::Request(_) => {
                return Err(failed(
                    "the key must be here: a self-signed certificate is signed with its own key".into(),
                ));
            }
        };
        let pair = key.rsa_pair().map_err(|e| failed(e.0))?;
        let params = parameters(request).map_err(failed)?;
        let signing = Signing { pair: &pair, hash: request.signature_hash };
        let made = params.self_signed(&signing).map_err(|e| failed(e.to_string()))?;
        let certificate = Certificate::from_der(made.der()).map_err(|e| failed(e.to_string()))?;
        Ok(Issued { certificate, chain: Vec::new() })
    }
}
