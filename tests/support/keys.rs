//! RSA keys and certificates for tests. Making a key takes a while, so they are made once and kept below `target/tmp`.

use std::path::Path;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use certroll::certificate::{Certificate, SignatureHash};
use certroll::issuer::self_signed::SelfSigned;
use certroll::issuer::{CertificateRequest, Issued, Issuer, SubjectKey};
use certroll::key::PrivateKey;
use jiff::Timestamp;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// How many different keys there are before they come round again.
const POOL: usize = 12;

/// The nth test key, 2048 bits, PKCS#8.
pub fn key(n: usize) -> PrivateKey {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("test-key-{}.pk8", n % POOL));
    if let Ok(pkcs8) = std::fs::read(&path) {
        return PrivateKey::from_pkcs8(Zeroizing::new(pkcs8));
    }
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let mut file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::io::Write::write_all(&mut file, der.as_ref()).unwrap();
    // Several tests may make it at once: the first one counts.
    let _ = file.persist_noclobber(&path);
    PrivateKey::from_pkcs8(Zeroizing::new(std::fs::read(&path).unwrap()))
}

/// A request for a certificate of a year from `now`. `serial` tells two of them apart.
pub fn request(subject: &str, now: Timestamp, serial: u8) -> CertificateRequest {
    CertificateRequest {
        subject: subject.into(),
        signature_hash: SignatureHash::Sha256,
        not_before: now - jiff::SignedDuration::from_hours(1),
        validity: "P1Y".parse().unwrap(),
        now,
        serial: [serial.max(1); 16],
    }
}

/// A self-signed certificate for a key.
pub async fn self_signed(subject: &str, now: Timestamp, serial: u8, key: &PrivateKey) -> Issued {
    SelfSigned.issue(&request(subject, now, serial), SubjectKey::Local(key)).await.unwrap()
}

/// Whether a PS256 signature was made with the key of that certificate.
pub fn verifies_ps256(certificate: &Certificate, message: &[u8], signature: &[u8]) -> bool {
    use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    let (_, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
    let key = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, &parsed.public_key().subject_public_key.data);
    key.verify(message, signature).is_ok()
}

/// A key as PKCS#8 in PEM.
pub fn pem(key: &PrivateKey) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(key.expose_pkcs8());
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}
