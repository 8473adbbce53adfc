//! Private keys and signing with them. Nothing here prints, serialises or copies a key; memory is zeroised on drop as
//! far as the libraries allow.

use async_trait::async_trait;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{self, KeyPair as _, RsaEncoding};
use zeroize::Zeroizing;

use crate::certificate::Certificate;
use crate::trouble::Trouble;

/// What went wrong with a key. Never says anything of the key itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(pub String);

/// A private key in PKCS#8 DER.
pub struct PrivateKey {
    pkcs8: Zeroizing<Vec<u8>>,
}

impl PrivateKey {
    /// Takes PKCS#8 DER, unread. For a key that was made elsewhere see [`PrivateKey::read_pkcs8`].
    pub fn from_pkcs8(der: Zeroizing<Vec<u8>>) -> PrivateKey {
        PrivateKey { pkcs8: der }
    }

    /// Reads an RSA key of 2048 to 8192 bits from PKCS#8 DER and keeps it in aws-lc's own encoding of it, so that what
    /// other tools wrote is normalised (no attributes, no odd versions).
    pub fn read_pkcs8(der: &[u8]) -> Result<PrivateKey, KeyError> {
        PrivateKey::from_pair(KeyPair::from_pkcs8(der))
    }

    /// Reads an RSA key of 2048 to 8192 bits from PKCS#1 DER, the contents of `RSA PRIVATE KEY` blocks.
    pub fn read_pkcs1(der: &[u8]) -> Result<PrivateKey, KeyError> {
        PrivateKey::from_pair(KeyPair::from_der(der))
    }

    fn from_pair(pair: Result<KeyPair, aws_lc_rs::error::KeyRejected>) -> Result<PrivateKey, KeyError> {
        let der = pair.map_err(|_| not_usable())?.as_der().map_err(|_| not_usable())?;
        Ok(PrivateKey { pkcs8: Zeroizing::new(der.as_ref().to_vec()) })
    }

    /// The key itself. Named so that every use can be found.
    pub fn expose_pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The key as aws-lc uses it. It wipes its memory when dropped.
    pub(crate) fn rsa_pair(&self) -> Result<KeyPair, KeyError> {
        KeyPair::from_pkcs8(&self.pkcs8).map_err(|_| not_usable())
    }

    /// The public key: `RSAPublicKey` (PKCS#1) in DER.
    pub(crate) fn rsa_public_key(&self) -> Result<Vec<u8>, KeyError> {
        Ok(self.rsa_pair()?.public_key().as_ref().to_vec())
    }
}

/// aws-lc gives one-word reasons that differ with the encoding; none of them helps, and none may quote the key.
fn not_usable() -> KeyError {
    KeyError("the private key is not an RSA key of 2048 to 8192 bits".to_owned())
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

    /// Refuses what should not, or cannot, protect a PFX: nothing, control characters (the line end a file brings
    /// along), characters PKCS#12 has no room for, and the sample passwords of the products' documentation.
    pub fn check_as_password(&self) -> Result<(), KeyError> {
        let problem = if self.0.is_empty() {
            "is empty; write password: none if that is meant"
        } else if self.0.contains(char::is_control) {
            "holds a control character, such as the line end of a file"
        } else if self.0.contains(|c| u32::from(c) > 0xFFFF) {
            "holds a character outside the Basic Multilingual Plane, which a PFX password cannot have"
        } else if SAMPLE_PASSWORDS.iter().any(|sample| sample.eq_ignore_ascii_case(self.0.trim())) {
            "is a sample from documentation"
        } else {
            return Ok(());
        };
        Err(KeyError(format!("the password {problem}")))
    }
}

/// Passwords printed in the documents people follow: everybody's first guess.
const SAMPLE_PASSWORDS: [&str; 10] = [
    "YourPassword",
    "YourSecurePassword",
    "YourStrongPassword",
    "MyPassword",
    "MySecurePassword",
    "P@ssw0rd",
    "P@ssw0rd1234",
    "Pa$$w0rd",
    "password",
    "changeit",
];

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
    /// Signs a message (not its digest). Where the key is in a service, its trouble is of the service's own kind.
    async fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, Trouble>;
}

/// Signs with a key in this process.
pub struct LocalSigner {
    pair: KeyPair,
    certificate: Certificate,
}

impl LocalSigner {
    /// Takes the key and its certificate. An error if they do not belong together.
    pub fn new(key: &PrivateKey, certificate: Certificate) -> Result<LocalSigner, KeyError> {
        let pair = key.rsa_pair()?;
        if !certificate.matches_key(key) {
            let short = certificate.thumbprints.sha1.short();
            return Err(KeyError(format!("the private key does not belong to certificate {short}")));
        }
        Ok(LocalSigner { pair, certificate })
    }
}

impl std::fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalSigner({:?})", self.certificate)
    }
}

#[async_trait]
impl Signer for LocalSigner {
    fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// On the spot: 1 ms for RSA 2048, 5 ms for 4096.
    async fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, Trouble> {
        let encoding: &dyn RsaEncoding = match algorithm {
            SignatureAlgorithm::Ps256 => &signature::RSA_PSS_SHA256,
            SignatureAlgorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
        };
        Ok(sign(&self.pair, encoding, message)?)
    }
}

/// An RSA signature of a message (not of its digest).
pub(crate) fn sign(
    pair: &KeyPair,
    encoding: &'static dyn RsaEncoding,
    message: &[u8],
) -> Result<Vec<u8>, KeyError> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), message, &mut signature)
        .map_err(|_| KeyError("signing failed".to_owned()))?;
    Ok(signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_in_debug() {
        let key = PrivateKey::from_pkcs8(Zeroizing::new(b"hunter2".to_vec()));
        assert_eq!(format!("{key:?} {:?}", Secret::new("hunter2".into())), "PrivateKey(..) Secret(..)");
    }

    #[test]
    fn a_key_that_is_none_is_refused_without_being_quoted() {
        for read in [PrivateKey::read_pkcs8, PrivateKey::read_pkcs1] {
            assert_eq!(
                read(b"hunter2").unwrap_err().to_string(),
                "the private key is not an RSA key of 2048 to 8192 bits"
            );
        }
    }

    #[test]
    fn sample_empty_and_impossible_passwords_are_refused() {
        for (text, problem) in [
            ("YourPassword", "sample"),
            ("yoursecurepassword", "sample"),
            ("P@ssw0rd", "sample"),
            ("password", "sample"),
            (" MyPassword", "sample"),
            ("", "empty"),
            ("good one\n", "control character"),
            ("key 🔑", "Basic Multilingual Plane"),
        ] {
            let error = Secret::new(text.into()).check_as_password().unwrap_err().to_string();
            assert!(error.contains(problem), "{text:?}: {error}");
        }
        for text in ["pass-wörd", "a b\"c'd", "密碼"] {
            assert!(Secret::new(text.into()).check_as_password().is_ok(), "{text:?}");
        }
    }
}
