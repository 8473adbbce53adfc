//! Facts read out of an X.509 certificate. Public parts only; a private key cannot be reached from here.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::Thumbprints;

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

impl Certificate {
    /// The certificate's bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({} {})", self.thumbprints.sha1, self.subject)
    }
}
