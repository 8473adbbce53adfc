//! What a certificate lets its key do, and checking a signature with its public key.

use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Certificate;

impl Certificate {
    /// Whether it may sign others: `basicConstraints` says CA, and a key usage, where there is one, allows it.
    pub fn is_ca(&self) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(self.der()) else { return false };
        let may_sign = match certificate.key_usage() {
            Ok(Some(usage)) => usage.value.key_cert_sign(),
            Ok(None) => true,
            Err(_) => false,
        };
        certificate.is_ca() && may_sign
    }

    /// Whether the signature over the message (RSASSA-PSS with SHA-256) was made with the key of this certificate.
    pub fn verifies_ps256(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(self.der()) else { return false };
        let key = &certificate.public_key().subject_public_key.data;
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key).verify(message, signature).is_ok()
    }
}
