//! What the directory reads out of an uploaded certificate. It does not check chain or signature: neither
//! does the service, which accepts self-signed certificates.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use jiff::Timestamp;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey as ParsedKey;

/// The facts of one certificate.
#[derive(Clone)]
pub(crate) struct Facts {
    pub(crate) der: Vec<u8>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) sha1: [u8; 20],
    pub(crate) sha256: [u8; 32],
    /// The RSA public key as PKCS#1 DER; none for any other kind of key.
    pub(crate) rsa: Option<Vec<u8>>,
}

/// The value of `key` is no certificate.
#[derive(Debug)]
pub(crate) struct NotACertificate;

/// Reads the value of a `key` property: base64 of DER, base64 of a whole PEM text, line breaks allowed.
pub(crate) fn from_key_value(value: &str) -> Result<Facts, NotACertificate> {
    let bytes = lenient_base64(value).ok_or(NotACertificate)?;
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains("-----BEGIN") => text,
        _ => return from_der(&bytes),
    };
    // A private key has no business here, whatever stands beside it.
    if text.contains("PRIVATE KEY") {
        return Err(NotACertificate);
    }
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----").ok_or(NotACertificate)?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----").ok_or(NotACertificate)?;
    from_der(&lenient_base64(body).ok_or(NotACertificate)?)
}

/// Reads one DER certificate with nothing after it.
pub(crate) fn from_der(der: &[u8]) -> Result<Facts, NotACertificate> {
    let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| NotACertificate)?;
    if !rest.is_empty() {
        return Err(NotACertificate);
    }
    let spki = parsed.public_key();
    let rsa = match spki.parsed() {
        Ok(ParsedKey::RSA(_)) => Some(spki.subject_public_key.data.to_vec()),
        _ => None,
    };
    Ok(Facts {
        der: der.to_vec(),
        not_before: timestamp(parsed.validity().not_before.timestamp()),
        not_after: timestamp(parsed.validity().not_after.timestamp()),
        sha1: sha1(der),
        sha256: sha256(der),
        rsa,
    })
}

/// Seconds since 1970 as a timestamp, clamped: X.509's "no end", the last second of 9999, does not fit.
fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

pub(crate) fn sha1(data: &[u8]) -> [u8; 20] {
    let mut out = [0; 20];
    out.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, data).as_ref());
    out
}

pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
    out
}

/// Base64 in the standard alphabet, padded or not, white space anywhere.
pub(crate) fn lenient_base64(text: &str) -> Option<Vec<u8>> {
    let unbroken: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    decoder(&alphabet::STANDARD).decode(unbroken).ok()
}

/// Base64 in the URL alphabet, padded or not.
pub(crate) fn lenient_base64url(text: &str) -> Option<Vec<u8>> {
    decoder(&alphabet::URL_SAFE).decode(text).ok()
}

fn decoder(alphabet: &alphabet::Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config)
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Upper-case hexadecimal, the way thumbprints are printed.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02X}");
        text
    })
}
