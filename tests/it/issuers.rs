//! Certificates as issued, judged by their bytes and, where marked, by openssl.

use certroll::certificate::{Certificate, KeyKind, PublicKey, SignatureHash};
use certroll::issuer::self_signed::SelfSigned;
use certroll::issuer::{CertificateRequest, Issued, Issuer, SubjectKey};
use certroll::key::PrivateKey;
use certroll::random::{SystemRandom, serial_number};
use certroll::runtime::Random;
use jiff::{Timestamp, ToSpan};

pub(crate) fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What CloudM's document asks for, made at that moment and backdated by an hour.
pub(crate) fn request(now: &str) -> CertificateRequest {
    let now = moment(now);
    CertificateRequest {
        subject: "CN=CloudM Continuity".into(),
        signature_hash: SignatureHash::Sha256,
        not_before: now - 1.hours(),
        validity: "P1Y".parse().unwrap(),
        now,
        serial: serial_number(&SystemRandom),
    }
}

pub(crate) async fn key(kind: KeyKind) -> PrivateKey {
    SystemRandom.key_pair(kind).await.unwrap()
}

pub(crate) async fn issue(request: &CertificateRequest, key: &PrivateKey) -> Issued {
    SelfSigned.issue(request, SubjectKey::Local(key)).await.unwrap()
}

#[tokio::test]
async fn cc_01_the_certificate_says_exactly_what_was_declared() {
    let key = key(KeyKind::Rsa2048).await;
    let issued = issue(&request("2027-03-01T00:00:00Z"), &key).await;
    let certificate = &issued.certificate;
    assert!(issued.chain.is_empty());
    assert_eq!(certificate.subject, "CN=CloudM Continuity");
    assert_eq!(certificate.public_key, PublicKey::Rsa(2048));
    assert_eq!(certificate.not_before, moment("2027-02-28T23:00:00Z"));
    assert_eq!(certificate.not_after, moment("2028-03-01T00:00:00Z"));
    assert!(certificate.matches_key(&key));
    assert_eq!(Certificate::from_der(certificate.der()).unwrap(), *certificate);
}
