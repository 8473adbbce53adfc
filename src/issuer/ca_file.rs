//! The issuer `ca_file`: a CA whose certificate lies beside the declaration and whose key is a secret of the operator's.

use async_trait::async_trait;
use rcgen::{CertificateSigningRequestParams, SerialNumber, SignatureAlgorithm};

use super::x509::{Signing, chain_above, check_answer, parameters};
use super::{CertificateRequest, IssueError, Issued, Issuer, SubjectKey};
use crate::certificate::{Certificate, SignatureHash};
use crate::form::read_pem;
use crate::key::{PrivateKey, Secret};

/// A CA in files.
pub struct CaFile {
    certificate: Certificate,
    /// Further certificates, in any order.
    above: Vec<Certificate>,
    key: PrivateKey,
}

/// A public key that is signed for somebody else.
struct Subject<'a>(&'a [u8], SignatureHash);

impl rcgen::PublicKeyData for Subject<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.1 {
            SignatureHash::Sha256 => &rcgen::PKCS_RSA_SHA256,
            SignatureHash::Sha384 => &rcgen::PKCS_RSA_SHA384,
            SignatureHash::Sha512 => &rcgen::PKCS_RSA_SHA512,
        }
    }
}

impl CaFile {
    /// Takes the CA's certificate, certificates above it, and its key (PEM). A key that is not the certificate's, and a certificate that
    /// is no CA's, are refused.
    pub fn new(
        certificate: Certificate,
        above: Vec<Certificate>,
        key: &Secret,
    ) -> Result<CaFile, IssueError> {
        let doing = format!("opening CA {}", certificate.subject);
        let failed = |reason: String| IssueError::refused(doing.as_str(), reason);
        let joined = zeroize::Zeroizing::new(format!("{}\n{}", certificate.to_pem(), key.expose()));
        let identity = read_pem(joined.as_bytes()).map_err(|error| failed(format!("its key: {error}")))?;
        if !certificate.is_ca() {
            let hint = "basicConstraints must say CA: sign with a certificate that may sign others";
            return Err(failed("its certificate is not that of a CA".to_owned()).with_hint(hint));
        }
        Ok(CaFile { certificate, above, key: identity.key })
    }
}

#[async_trait]
impl Issuer for CaFile {
    async fn issue(&self, request: &CertificateRequest, key: SubjectKey<'_>) -> Result<Issued, IssueError> {
        let doing =
            format!("having CA {} sign a certificate for {}", self.certificate.subject, request.subject);
        let failed = |reason: String| IssueError::refused(doing.as_str(), reason);
        let ends = request.validity.after(request.now);
        if self.certificate.not_after < ends {
            let reason =
                format!("the CA's own certificate ends on {}, before {ends}", self.certificate.not_after);
            return Err(failed(reason).with_hint("renew the CA, or declare a shorter validity"));
        }
        let mut params = parameters(request).map_err(failed)?;
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from_slice(&request.serial));
        let pair = self.key.rsa_pair().map_err(|error| failed(error.0))?;
        let signing = Signing { pair: &pair, hash: request.signature_hash };
        let issuer = rcgen::Issuer::from_ca_cert_der(&self.certificate.der().to_vec().into(), &signing);
        let issuer = issuer.map_err(|error| failed(error.to_string()))?;
        let made = match key {
            SubjectKey::Local(key) => {
                let public = key.rsa_public_key().map_err(|error| failed(error.0))?;
                params.signed_by(&Subject(&public, SignatureHash::Sha256), &issuer)
            }
            SubjectKey::Request(csr) => {
                let csr = CertificateSigningRequestParams::from_der(&csr.to_vec().into());
                let csr = csr.map_err(|error| failed(error.to_string()))?;
                params.signed_by(&csr.public_key, &issuer)
            }
        };
        let made = made.map_err(|error| failed(error.to_string()))?;
        let certificate = Certificate::from_der(made.der()).map_err(|error| failed(error.to_string()))?;
        let candidates: Vec<Certificate> =
            std::iter::once(&self.certificate).chain(&self.above).cloned().collect();
        let issued = Issued { chain: chain_above(&certificate, &candidates), certificate };
        check_answer(request, &issued).map_err(|(reason, hint)| failed(reason).with_hint(hint))?;
        Ok(issued)
    }
}
