//! Private keys and signing with them. Nothing here prints, serialises or copies a key; memory is zeroised on drop as
//! far as the libraries allow.

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::certificate::Certificate;

/// What went wrong with a key. Never says anything of the key itself.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(pub String);

/// A private key in PKCS#8 DER.
pub struct PrivateKey {
    pkcs8: Zeroizing<Vec<u8>>,
}

impl PrivateKey {
    /// Takes PKCS#8 DER.
    pub fn from_pkcs8(der: Zeroizing<Vec<u8>>) -> PrivateKey {
        PrivateKey { pkcs8: der }
    }

    /// The key itself. Named so that every use can be found.
    pub fn expose_pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// A password or other secret text.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text.
    pub fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// The text itself. Named so that every use can be found.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// How a client assertion is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignatureAlgorithm {
    /// RSASSA-PSS with SHA-256, salt as long as the digest.
    #[default]
    Ps256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

/// Signs with the key of one generation, wherever that key lives.
#[async_trait]
pub trait Signer: Send + Sync {
    /// The certificate whose key this is.
    fn certificate(&self) -> &Certificate;
    /// Signs a message (not its digest).
    async fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, KeyError>;
}
