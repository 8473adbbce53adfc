//! Facts read out of an X.509 certificate. Public parts only; a private key cannot be reached from here.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::Thumbprints;
use crate::key::PrivateKey;
use crate::pem;

mod read;
#[cfg(test)]
mod tests;
mod verify;

/// The key pairs certroll makes. RSA only: Entra does not sign in with elliptic-curve keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum KeyKind {
    /// RSA, 2048 bits.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// RSA, 3072 bits.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    /// RSA, 4096 bits.
    #[serde(rename = "rsa-4096")]
    Rsa4096,
}

impl KeyKind {
    /// Length of the modulus in bits.
    pub fn bits(self) -> u16 {
        match self {
            KeyKind::Rsa2048 => 2048,
            KeyKind::Rsa3072 => 3072,
            KeyKind::Rsa4096 => 4096,
        }
    }
}

/// The digest a certificate is signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignatureHash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// The kind of public key a certificate carries, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA of that many bits.
    Rsa(u32),
    /// Anything else, by its name.
    Other(String),
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PublicKey::Rsa(bits) => write!(f, "RSA {bits}"),
            PublicKey::Other(name) => f.write_str(name),
        }
    }
}

/// Why bytes are not a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There is nothing.
    #[error("it is empty")]
    Empty,
    /// PEM text where DER was expected.
    #[error("it is PEM text where DER was expected")]
    PemInsteadOfDer,
    /// Not the DER of a certificate.
    #[error("it is not a certificate in DER: {0}")]
    NotDer(String),
    /// Bytes after the certificate.
    #[error("{0} more bytes follow the certificate")]
    Trailing(usize),
    /// Not PEM.
    #[error("it is not PEM: {0}")]
    Pem(#[from] pem::PemError),
    /// PEM, but no certificate in it.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// PEM with several certificates where one was expected.
    #[error("it holds {0} certificates where one was expected")]
    Several(usize),
}

/// A certificate: its DER and what it says. `Debug` shows facts, not bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    /// SHA-1 and SHA-256 of the DER.
    pub thumbprints: Thumbprints,
    /// Subject in RFC 4514 form, most specific part first.
    pub subject: String,
    /// Start of validity, in UTC.
    pub not_before: Timestamp,
    /// End of validity. A "no end" (9999-12-31) is clamped to the last representable moment.
    pub not_after: Timestamp,
    /// The public key's kind and length.
    pub public_key: PublicKey,
}

/// Subject (RFC 4514) and public key that a signing request (DER) asks for; `None` for what is no request.
pub fn asked_for(request: &[u8]) -> Option<(String, PublicKey)> {
    read::request(request)
}

impl Certificate {
    /// Reads one certificate, the whole input and nothing else. Never panics, whatever the bytes. Says nothing of
    /// whether the certificate is good for anything: any key, any dates, any signature.
    pub fn from_der(der: &[u8]) -> Result<Certificate, CertificateError> {
        read::certificate(der)
    }

    /// Reads the one certificate in a PEM text. Other blocks, such as a key, are passed over.
    pub fn from_pem(text: &[u8]) -> Result<Certificate, CertificateError> {
        let mut all = Certificate::all_from_pem(text)?;
        match (all.pop(), all.len()) {
            (Some(only), 0) => Ok(only),
            (_, further) => Err(CertificateError::Several(further + 1)),
        }
    }

    /// Reads every certificate in a PEM text in the order they stand; at least one. Other blocks are passed over.
    pub fn all_from_pem(text: &[u8]) -> Result<Vec<Certificate>, CertificateError> {
        let blocks = pem::blocks(text)?;
        let certificates = blocks.iter().filter(|block| block.is_certificate());
        let all = certificates.map(|block| Certificate::from_der(&block.contents));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        if all.is_empty() { Err(CertificateError::NoCertificate) } else { Ok(all) }
    }

    /// The certificate's bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate as one PEM block, line feeds only.
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der).to_string()
    }

    /// Whether this certificate is for that key: their public keys are equal. `false` for a key that is not RSA.
    pub fn matches_key(&self, key: &PrivateKey) -> bool {
        match (read::rsa_public_key(&self.der), key.rsa_public_key()) {
            (Some(own), Ok(other)) => own == other,
            _ => false,
        }
    }

    /// Whether this certificate is for the key of that signing request (DER). `false` for a key that is not RSA.
    pub fn matches_request(&self, request: &[u8]) -> bool {
        match (read::rsa_public_key(&self.der), read::rsa_public_key_of_request(request)) {
            (Some(own), Some(other)) => own == other,
            _ => false,
        }
    }

    /// Why nobody should sign in with it, going by what it says its key is for.
    pub fn wrong_use(&self) -> Option<&'static str> {
        read::wrong_use(&self.der)
    }

    /// Whether `issuer`'s subject is what this certificate names as its issuer. Says nothing of the signature.
    pub fn names_issuer(&self, issuer: &Certificate) -> bool {
        match (read::names(&self.der), read::names(&issuer.der)) {
            (Some(own), Some(above)) => own.issuer == above.subject,
            _ => false,
        }
    }

    /// Whether the certificate names itself as its issuer, as roots and self-signed ones do.
    pub fn names_itself(&self) -> bool {
        self.names_issuer(self)
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({} {})", self.thumbprints.sha1, self.subject)
    }
}
