//! Reading a key with its certificate from PEM and PFX: what the tool itself signs in with, and what somebody else made and was adopted.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::pfx::{self, OpenError};
use crate::certificate::{Certificate, CertificateError};
use crate::ids::Sha256;
use crate::issuer::Issued;
use crate::key::{KeyError, PrivateKey, Secret};
use crate::pem::{self, Block, PemError};

/// A key, its certificate, and what stands above it.
#[derive(Debug)]
pub struct Identity {
    /// The key, normalised to PKCS#8.
    pub key: PrivateKey,
    /// The certificate whose key it is.
    pub certificate: Certificate,
    /// The certificates above it that were in the file, its issuer first, without a root.
    pub chain: Vec<Certificate>,
}

/// Why a file gives no identity. Never says anything of key or password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// Longer than anything sensible.
    #[error("it is larger than {} KiB", pem::TEXT_BYTES_MAX / 1024)]
    TooLarge,
    /// PEM where a PFX was expected.
    #[error("it is PEM text and not a PFX")]
    PemInsteadOfPfx,
    /// Bytes where PEM was expected.
    #[error(
        "it is not PEM text; a PFX (.pfx, .p12) is read as one by that ending or when a password is given"
    )]
    PfxInsteadOfPem,
    /// Not PEM.
    #[error("it is not PEM: {0}")]
    Pem(#[from] PemError),
    /// Not a PFX.
    #[error("it is not a PFX, or it is damaged: {0}")]
    NotPfx(String),
    /// The password does not open it.
    #[error("its password is another one")]
    WrongPassword,
    /// It has a password and none was given.
    #[error("it has a password and none was given")]
    PasswordNeeded,
    /// An unknown cipher.
    #[error("it is encrypted in a way certroll does not read ({0}); export it again with AES-256")]
    Unsupported(String),
    /// No key in it.
    #[error("there is no private key in it")]
    NoKey,
    /// Several keys in it.
    #[error("there are {0} private keys in it; keep the one that belongs to the certificate")]
    SeveralKeys(usize),
    /// An encrypted key in PEM.
    #[error(
        "its private key is encrypted; decrypt it (openssl pkey -in FILE -out NEW) or use a PFX with a password"
    )]
    EncryptedKey,
    /// An elliptic-curve key.
    #[error("its private key is an elliptic-curve key; Entra signs in with RSA keys only")]
    EllipticCurve,
    /// A key of some other kind.
    #[error("its private key is in a form certroll does not read ({0}); convert it to PKCS#8")]
    UnknownKey(String),
    /// A key that cannot be used.
    #[error("{0}")]
    Key(String),
    /// A certificate that cannot be read.
    #[error("a certificate in it cannot be read: {0}")]
    Certificate(#[from] CertificateError),
    /// No certificate in it.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// A key without its certificate.
    #[error("none of its certificates belongs to its private key")]
    NoMatch,
}

impl From<KeyError> for IdentityError {
    fn from(error: KeyError) -> IdentityError {
        IdentityError::Key(error.0)
    }
}

/// Reads a PEM text with one unencrypted RSA key (PKCS#8 or PKCS#1) and its certificate, in any order, with or without
/// the certificates above it.
pub fn read_pem(text: &[u8]) -> Result<Identity, IdentityError> {
    check_size(text)?;
    let blocks = match pem::blocks(text) {
        Err(PemError::NoBlock) if text.first() == Some(&0x30) => return Err(IdentityError::PfxInsteadOfPem),
        other => other?,
    };
    let keys: Vec<&Block> = blocks.iter().filter(|block| block.is_private_key()).collect();
    let key = match keys.as_slice() {
        [] => return Err(IdentityError::NoKey),
        [only] => pem_key(only)?,
        several => return Err(IdentityError::SeveralKeys(several.len())),
    };
    let certificates = blocks.iter().filter(|block| block.is_certificate());
    let certificates = certificates.map(|block| Certificate::from_der(&block.contents));
    identity(key, certificates.collect::<Result<_, _>>()?)
}

fn pem_key(block: &Block) -> Result<PrivateKey, IdentityError> {
    if block.encrypted {
        return Err(IdentityError::EncryptedKey);
    }
    match block.label.as_str() {
        "PRIVATE KEY" => pkcs8_key(&block.contents),
        "RSA PRIVATE KEY" => Ok(PrivateKey::read_pkcs1(&block.contents)?),
        "ENCRYPTED PRIVATE KEY" => Err(IdentityError::EncryptedKey),
        "EC PRIVATE KEY" => Err(IdentityError::EllipticCurve),
        other => Err(IdentityError::UnknownKey(other.chars().take(40).collect())),
    }
}

/// DER of the object identifier id-ecPublicKey.
const EC_PUBLIC_KEY: &[u8] = &[0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];

fn pkcs8_key(der: &[u8]) -> Result<PrivateKey, IdentityError> {
    // The algorithm stands within the first bytes, after the version.
    let start = &der[..der.len().min(24)];
    if start.windows(EC_PUBLIC_KEY.len()).any(|bytes| bytes == EC_PUBLIC_KEY) {
        return Err(IdentityError::EllipticCurve);
    }
    Ok(PrivateKey::read_pkcs8(der)?)
}

/// Reads a PFX with one RSA key and its certificate. Without a password the empty one is tried.
pub fn read_pfx(bytes: &[u8], password: Option<&Secret>) -> Result<Identity, IdentityError> {
    check_size(bytes)?;
    if bytes.trim_ascii_start().starts_with(b"-----BEGIN ") {
        return Err(IdentityError::PemInsteadOfPfx);
    }
    let contents = pfx::open(bytes, password.map_or("", Secret::expose)).map_err(|error| match error {
        OpenError::NotPfx(reason) => IdentityError::NotPfx(reason),
        OpenError::Password if password.is_none() => IdentityError::PasswordNeeded,
        OpenError::Password => IdentityError::WrongPassword,
        OpenError::Unsupported(reason) => IdentityError::Unsupported(reason),
    })?;
    let key = match contents.keys.as_slice() {
        [] => return Err(IdentityError::NoKey),
        [only] => pkcs8_key(only)?,
        several => return Err(IdentityError::SeveralKeys(several.len())),
    };
    let certificates = contents.certificates.iter().map(|der| Certificate::from_der(der));
    identity(key, certificates.collect::<Result<_, _>>()?)
}

/// How many further values are tried as the password of a PFX.
const PASSWORDS_MAX: usize = 16;
/// Longest value that is tried as one, in bytes.
const PASSWORD_BYTES_MAX: usize = 256;

/// Key and certificate of that thumbprint among values somebody else wrote: one text with key and certificate, two texts, or a PFX (bytes, or
/// base64 on any number of lines) with no password or one of the other values.
pub(crate) fn identity_in<V: AsRef<[u8]>>(values: &[V], sha256: &Sha256) -> Option<(PrivateKey, Issued)> {
    let is_it = |identity: &Identity| identity.certificate.thumbprints.sha256 == *sha256;
    let values = || values.iter().map(AsRef::as_ref);
    let whole = || values().find_map(|text| read_pem(text).ok().filter(is_it));
    let pair = || {
        let certificates = values().find(|text| led_by(text, sha256).is_some())?;
        values().find_map(|key| {
            let both = Zeroizing::new([certificates, b"\n".as_slice(), key].concat());
            read_pem(&both).ok().filter(is_it)
        })
    };
    let container = || {
        values().find_map(|value| {
            let der = pfx_bytes(value)?;
            let password = |value: &[u8]| {
                let text = std::str::from_utf8(value).ok()?.trim_end_matches(['\r', '\n']);
                let length = 1..=PASSWORD_BYTES_MAX;
                length.contains(&text.len()).then(|| Secret::new(text.to_owned()))
            };
            let passwords = values().filter_map(password).take(PASSWORDS_MAX).map(Some);
            let mut tried = std::iter::once(None).chain(passwords);
            tried.find_map(|password| read_pfx(&der, password.as_ref()).ok().filter(is_it))
        })
    };
    let Identity { key, certificate, chain } = whole().or_else(pair).or_else(container)?;
    Some((key, Issued { certificate, chain }))
}

/// That certificate among values somebody else wrote, with or without a key that can be read.
pub(crate) fn issued_in<V: AsRef<[u8]>>(values: &[V], sha256: &Sha256) -> Option<Issued> {
    let found = values.iter().find_map(|text| led_by(text.as_ref(), sha256));
    found.or_else(|| identity_in(values, sha256).map(|(_, issued)| issued))
}

/// The certificates of a PEM text whose first is the one that is meant.
fn led_by(text: &[u8], sha256: &Sha256) -> Option<Issued> {
    let mut all = Certificate::all_from_pem(text).ok()?.into_iter();
    let certificate = all.next().filter(|leaf| leaf.thumbprints.sha256 == *sha256)?;
    Some(Issued { certificate, chain: all.collect() })
}

/// The bytes of a PFX, which is one DER sequence.
fn pfx_bytes(value: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if value.first() == Some(&0x30) {
        return Some(Zeroizing::new(value.to_vec()));
    }
    let mut text = Zeroizing::new(value.to_vec());
    text.retain(|byte| !byte.is_ascii_whitespace());
    STANDARD.decode(&*text).ok().map(Zeroizing::new).filter(|der| der.first() == Some(&0x30))
}

fn check_size(bytes: &[u8]) -> Result<(), IdentityError> {
    match bytes.len() {
        0 => Err(IdentityError::Empty),
        length if length > pem::TEXT_BYTES_MAX => Err(IdentityError::TooLarge),
        _ => Ok(()),
    }
}

fn identity(key: PrivateKey, mut certificates: Vec<Certificate>) -> Result<Identity, IdentityError> {
    if certificates.is_empty() {
        return Err(IdentityError::NoCertificate);
    }
    // Several may match when a certificate was renewed for the same key: the last to end is the one in use.
    let matching = certificates.iter().enumerate().filter(|(_, each)| each.matches_key(&key));
    let Some((index, _)) = matching.max_by_key(|(_, each)| each.not_after) else {
        return Err(IdentityError::NoMatch);
    };
    let certificate = certificates.swap_remove(index);
    let chain = chain_above(&certificate, certificates);
    Ok(Identity { key, certificate, chain })
}

/// Follows issuer names upwards from the leaf. Ends below a root, and at the first one that is missing.
fn chain_above(leaf: &Certificate, mut others: Vec<Certificate>) -> Vec<Certificate> {
    let mut chain: Vec<Certificate> = Vec::new();
    loop {
        let last = chain.last().unwrap_or(leaf);
        let above = others.iter().position(|each| last.names_issuer(each) && !each.names_itself());
        match above {
            Some(index) if !last.names_itself() => chain.push(others.swap_remove(index)),
            _ => return chain,
        }
    }
}
