//! Certificates as issued, judged by their bytes and, where marked, by openssl.

mod csr;
mod examples;

use certroll::certificate::{Certificate, KeyKind, PublicKey, SignatureHash};
use certroll::issuer::self_signed::SelfSigned;
use certroll::issuer::{CertificateRequest, Issued, Issuer, SubjectKey};
use certroll::key::PrivateKey;
use certroll::random::{SystemRandom, serial_number};
use certroll::runtime::Random;
use jiff::{Timestamp, ToSpan};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::tools::printed;

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

async fn refusal(request: &CertificateRequest, key: SubjectKey<'_>) -> String {
    SelfSigned.issue(request, key).await.unwrap_err().to_string()
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
    assert!(certificate.names_itself());
    assert_eq!(Certificate::from_der(certificate.der()).unwrap(), *certificate);
}

#[tokio::test]
async fn cc_02_one_year_is_a_calendar_year() {
    let key = key(KeyKind::Rsa2048).await;
    for (made, validity, ends) in [
        ("2028-02-29T12:00:00Z", "P1Y", "2029-02-28T12:00:00Z"),
        ("2027-03-01T00:00:00Z", "P1Y", "2028-03-01T00:00:00Z"),
        // TM-01: days are days, across a leap year too.
        ("2027-03-01T00:00:00Z", "365d", "2028-02-29T00:00:00Z"),
        ("2027-03-01T00:00:00.999Z", "90d", "2027-05-30T00:00:00Z"),
        // Past 2049 X.509 changes the encoding of dates.
        ("2049-06-01T00:00:00Z", "P2Y", "2051-06-01T00:00:00Z"),
    ] {
        let request = CertificateRequest { validity: validity.parse().unwrap(), ..request(made) };
        assert_eq!(issue(&request, &key).await.certificate.not_after, moment(ends), "{made} {validity}");
    }
}

#[tokio::test]
async fn cc_03_the_key_may_sign_and_nothing_stops_entra() {
    let key = key(KeyKind::Rsa2048).await;
    let issued = issue(&request("2027-03-01T00:00:00Z"), &key).await;
    let (_, parsed) = X509Certificate::from_der(issued.certificate.der()).unwrap();
    let usage = parsed.key_usage().unwrap().unwrap();
    assert_eq!(usage.value.flags, 1, "digitalSignature alone");
    assert!(!parsed.basic_constraints().unwrap().unwrap().value.ca);
    assert!(parsed.extended_key_usage().unwrap().is_none(), "good for any purpose");
    assert!(parsed.verify_signature(None).is_ok());
}

#[tokio::test]
async fn every_key_length_and_digest_is_made_as_declared() {
    for (kind, bits, hash, oid) in [
        (KeyKind::Rsa2048, 2048, SignatureHash::Sha512, "1.2.840.113549.1.1.13"),
        (KeyKind::Rsa3072, 3072, SignatureHash::Sha384, "1.2.840.113549.1.1.12"),
        (KeyKind::Rsa4096, 4096, SignatureHash::Sha256, "1.2.840.113549.1.1.11"),
    ] {
        let key = key(kind).await;
        let request = CertificateRequest { signature_hash: hash, ..request("2027-03-01T00:00:00Z") };
        let issued = issue(&request, &key).await;
        assert_eq!(issued.certificate.public_key, PublicKey::Rsa(bits));
        let (_, parsed) = X509Certificate::from_der(issued.certificate.der()).unwrap();
        assert_eq!(parsed.signature_algorithm.algorithm.to_id_string(), oid);
        assert!(parsed.verify_signature(None).is_ok());
    }
}

#[tokio::test]
async fn the_subject_is_the_declared_one_in_order_and_encoding() {
    let key = key(KeyKind::Rsa2048).await;
    for subject in [
        r#"CN=\#Zoë \"x\"\, 1,OU=Platform \+ Co,O=Contoso,L=London,ST=England,C=GB"#,
        "UID=u1,serialNumber=HRB 1234,emailAddress=ops@contoso.com,DC=contoso,STREET=1 High St",
        "O=Contoso,CN=the odd order",
    ] {
        let request = CertificateRequest { subject: subject.into(), ..request("2027-03-01T00:00:00Z") };
        assert_eq!(issue(&request, &key).await.certificate.subject, subject);
    }
}

#[tokio::test]
async fn the_same_request_gives_the_same_bytes_and_the_serial_is_the_given_one() {
    let key = key(KeyKind::Rsa2048).await;
    let request = request("2027-03-01T00:00:00Z");
    let (first, second) = (issue(&request, &key).await, issue(&request, &key).await);
    assert_eq!(first.certificate, second.certificate);
    let (_, parsed) = X509Certificate::from_der(first.certificate.der()).unwrap();
    assert_eq!(parsed.raw_serial(), request.serial);
}

#[tokio::test]
async fn what_cannot_be_made_is_refused_with_its_reason() {
    let key = key(KeyKind::Rsa2048).await;
    let good = request("2027-03-01T00:00:00Z");
    let local = || SubjectKey::Local(&key);
    let reason = refusal(&good, SubjectKey::Request(b"")).await;
    assert_eq!(
        reason,
        "making a self-signed certificate for CN=CloudM Continuity: the key must be here: a self-signed certificate is \
         signed with its own key"
    );
    let twice = CertificateRequest { subject: "CN=a,OU=b,OU=c".into(), ..good.clone() };
    assert!(refusal(&twice, local()).await.contains("OU is given twice"));
    let backwards = CertificateRequest { not_before: moment("2028-03-01T00:00:00Z"), ..good.clone() };
    assert!(refusal(&backwards, local()).await.contains("before it begins"));
    let zero = CertificateRequest { serial: [0; 16], ..good.clone() };
    assert!(refusal(&zero, local()).await.contains("serial number"));
    let broken = PrivateKey::from_pkcs8(b"hunter2".to_vec().into());
    let reason = refusal(&good, SubjectKey::Local(&broken)).await;
    assert!(reason.contains("not an RSA key") && !reason.contains("hunter2"), "{reason}");
}

#[tokio::test]
#[ignore = "needs openssl, keytool and python; .ci/run runs it"]
async fn openssl_agrees_with_what_was_declared() {
    let key = key(KeyKind::Rsa3072).await;
    let request = CertificateRequest {
        subject: r"CN=Zoë\, x,O=Contoso,C=GB".into(),
        signature_hash: SignatureHash::Sha384,
        ..request("2028-02-29T12:00:00Z")
    };
    let issued = issue(&request, &key).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pem");
    #[allow(clippy::disallowed_methods, reason = "openssl reads files")]
    std::fs::write(&path, issued.certificate.to_pem()).unwrap();
    let path = path.to_str().unwrap();
    let names = "RFC2253,-esc_msb,utf8";
    let told = printed("openssl", &["x509", "-in", path, "-noout", "-text", "-nameopt", names], None);
    for words in [
        "Version: 3 ",
        "Signature Algorithm: sha384WithRSAEncryption",
        "Issuer: CN=Zoë\\, x,O=Contoso,C=GB",
        "Subject: CN=Zoë\\, x,O=Contoso,C=GB",
        "Not Before: Feb 29 11:00:00 2028 GMT",
        "Not After : Feb 28 12:00:00 2029 GMT",
        "Public-Key: (3072 bit)",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "CA:FALSE",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let verified = printed("openssl", &["verify", "-CAfile", path, "-attime", "1866000000", path], None);
    assert!(verified.ends_with(": OK\n"), "{verified}");
    let sha256 = printed("openssl", &["x509", "-in", path, "-noout", "-fingerprint", "-sha256"], None);
    assert!(sha256.replace(':', "").contains(&issued.certificate.thumbprints.sha256.to_string()), "{sha256}");
}
