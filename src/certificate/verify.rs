//! Checking a signature with a certificate's public key.

use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Certificate;

impl Certificate {
    /// Whether the signature over the message (RSASSA-PSS with SHA-256) was made with the key of this certificate.
    pub fn verifies_ps256(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(self.der()) else { return false };
        let key = &certificate.public_key().subject_public_key.data;
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key).verify(message, signature).is_ok()
    }
}
