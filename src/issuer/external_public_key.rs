//! The issuer `external_public_key`: a provider keeps the private key and sends certificates.
//!
//! Nothing is made here. A file is read, and anything but one public RSA certificate is refused with a message of its
//! own, because what arrives by mail is often something else: a PFX, a request, a whole chain, a key that should never
//! have been sent. No message quotes the file.

mod kind;
#[cfg(test)]
mod tests;

use crate::certificate::{Certificate, CertificateError, PublicKey};
use crate::pem::{self, Block, PemError};

/// Longest file that is read, in bytes. Certificates take two thousand.
pub const FILE_BYTES_MAX: usize = 64 * 1024;

/// Shortest RSA key Entra documents as accepted, in bits.
pub const RSA_BITS_MIN: u32 = 2048;

/// Why a file is not a provider's public certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyFileError {
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// Longer than [`FILE_BYTES_MAX`].
    #[error("it is larger than {} KiB; a certificate is about two", FILE_BYTES_MAX / 1024)]
    TooLarge,
    /// PKCS#12.
    #[error(
        "it is a PFX (PKCS#12), which can hold a private key; ask the provider for the public certificate (.cer)"
    )]
    Pfx,
    /// A private key, alone or beside a certificate.
    #[error(
        "it holds a private key, which must not be here; treat that key as disclosed, ask the provider for a new one and \
         for its public certificate (.cer) only"
    )]
    PrivateKey,
    /// A certificate signing request.
    #[error("it is a certificate signing request, not a certificate; a request has to be signed first")]
    Request,
    /// A bare public key.
    #[error("it is a bare public key, not a certificate; Entra takes certificates only")]
    BarePublicKey,
    /// PKCS#7 (.p7b).
    #[error("it is a PKCS#7 bundle (.p7b), not a single certificate; export the certificate itself (.cer)")]
    Bundle,
    /// A chain.
    #[error("it holds {0} certificates; keep only the application's own, which comes first in most chains")]
    Several(usize),
    /// Text in UTF-16.
    #[error("it is text in UTF-16, as PowerShell's > writes it; save it as plain ASCII or as DER")]
    Utf16,
    /// PEM that cannot be read, or PEM of something else.
    #[error("it is not PEM of a certificate: {0}")]
    Pem(String),
    /// Nothing known.
    #[error("it is neither a certificate in DER nor in PEM: {0}")]
    Garbage(String),
    /// A certificate for a key that is not RSA.
    #[error("its key is {0}; Entra signs in with RSA keys only")]
    NotRsa(String),
    /// A certificate for a short RSA key.
    #[error("its RSA key has {0} bits; at least {RSA_BITS_MIN} are needed")]
    TooShort(u32),
}

/// Reads a provider's file: one public RSA certificate, DER or PEM. Whether it has expired is
/// the planner's question, since a file that stays in Git expires in time.
pub fn read(bytes: &[u8]) -> Result<Certificate, PublicKeyFileError> {
    match bytes.len() {
        0 => return Err(PublicKeyFileError::Empty),
        length if length > FILE_BYTES_MAX => return Err(PublicKeyFileError::TooLarge),
        _ => {}
    }
    if bytes.trim_ascii().is_empty() {
        return Err(PublicKeyFileError::Empty);
    }
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(PublicKeyFileError::Utf16);
    }
    // First, so that no other objection hides this one, not even that the PEM is damaged.
    if contains(bytes, b"PRIVATE KEY-----") {
        return Err(PublicKeyFileError::PrivateKey);
    }
    let certificate = if contains(bytes, b"-----BEGIN ") { read_pem(bytes)? } else { read_der(bytes)? };
    check_key(&certificate)?;
    Ok(certificate)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn read_pem(text: &[u8]) -> Result<Certificate, PublicKeyFileError> {
    let blocks = pem::blocks(text).map_err(|error: PemError| PublicKeyFileError::Pem(error.to_string()))?;
    let certificates: Vec<&Block> = blocks.iter().filter(|block| block.is_certificate()).collect();
    match certificates.as_slice() {
        [] => Err(refuse_label(blocks.first().map_or("", |block| &block.label))),
        [only] => Certificate::from_der(&only.contents).map_err(|e| PublicKeyFileError::Pem(e.to_string())),
        several => Err(PublicKeyFileError::Several(several.len())),
    }
}

fn refuse_label(label: &str) -> PublicKeyFileError {
    match label {
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => PublicKeyFileError::Request,
        "PUBLIC KEY" | "RSA PUBLIC KEY" => PublicKeyFileError::BarePublicKey,
        "PKCS7" | "CMS" => PublicKeyFileError::Bundle,
        "PKCS12" => PublicKeyFileError::Pfx,
        _ => PublicKeyFileError::Pem("there is no certificate in it".to_owned()),
    }
}

fn read_der(bytes: &[u8]) -> Result<Certificate, PublicKeyFileError> {
    Certificate::from_der(bytes).map_err(|error| match kind::of(bytes) {
        Some(kind::Kind::Pfx) => PublicKeyFileError::Pfx,
        Some(kind::Kind::PrivateKey) => PublicKeyFileError::PrivateKey,
        Some(kind::Kind::Request) => PublicKeyFileError::Request,
        Some(kind::Kind::PublicKey) => PublicKeyFileError::BarePublicKey,
        Some(kind::Kind::Bundle) => PublicKeyFileError::Bundle,
        None => match error {
            CertificateError::Trailing(length) => trailing(bytes, length),
            other => PublicKeyFileError::Garbage(other.to_string()),
        },
    })
}

/// A certificate with something after it: most likely more certificates.
fn trailing(bytes: &[u8], length: usize) -> PublicKeyFileError {
    let mut count = 1;
    let mut rest = &bytes[bytes.len() - length..];
    loop {
        let end = match Certificate::from_der(rest) {
            Ok(_) => return PublicKeyFileError::Several(count + 1),
            Err(CertificateError::Trailing(further)) => rest.len() - further,
            Err(_) if count > 1 => return PublicKeyFileError::Several(count),
            Err(_) => return PublicKeyFileError::Garbage(CertificateError::Trailing(length).to_string()),
        };
        rest = &rest[end..];
        count += 1;
    }
}

fn check_key(certificate: &Certificate) -> Result<(), PublicKeyFileError> {
    match &certificate.public_key {
        PublicKey::Rsa(bits) if *bits < RSA_BITS_MIN => Err(PublicKeyFileError::TooShort(*bits)),
        PublicKey::Rsa(_) => Ok(()),
        PublicKey::Other(name) => Err(PublicKeyFileError::NotRsa(name.clone())),
    }
}
