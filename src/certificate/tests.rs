//! The certificates under `tests/fixtures/certificates` were made by OpenSSL and Python's cryptography; what is expected
//! here is what `openssl x509 -fingerprint -subject -dates -nameopt RFC2253` prints of them.

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/certificates/{name}", env!("CARGO_MANIFEST_DIR"));
    #[allow(clippy::disallowed_methods, reason = "a test's own fixture")]
    std::fs::read(path).unwrap()
}

fn certificate(name: &str) -> Certificate {
    Certificate::from_pem(&fixture(name)).unwrap()
}

#[test]
fn facts_are_what_openssl_prints() {
    let plain = certificate("plain.pem");
    assert_eq!(plain.thumbprints.sha1.to_string(), "D3AC32ABB427A620772F3194E31ABE3FF4DBDF4B");
    assert_eq!(
        plain.thumbprints.sha256.to_string(),
        "CAA832467B8E995D7B72C91F4AA5EADD58A0F0188D51D950721A3DDEDB721FC7"
    );
    assert_eq!(
        plain.subject,
        r#"emailAddress=ops@contoso.com,CN=Zoë \"x\" \<1\>,OU=Platform \+ Co,O=Contoso\, Ltd.,ST=England,C=GB"#
    );
    assert_eq!(plain.not_before.to_string(), "2026-11-21T09:28:16Z");
    assert_eq!(plain.not_after.to_string(), "2027-12-26T09:28:16Z");
    assert_eq!(plain.public_key, PublicKey::Rsa(2048));
}

#[test]
fn der_and_pem_are_the_same_certificate() {
    assert_eq!(Certificate::from_der(&fixture("plain.cer")).unwrap(), certificate("plain.pem"));
    assert_eq!(
        Certificate::from_pem(certificate("plain.pem").to_pem().as_bytes()).unwrap(),
        certificate("plain.pem")
    );
    assert_eq!(certificate("plain.pem").to_pem().as_bytes(), fixture("plain.pem"));
}

#[test]
fn names_of_every_kind_are_spelled_as_rfc_4514_says() {
    // OpenSSL has a short name for 2.5.4.4 where RFC 4514 has none; 0C is a UTF8String, 05 its length.
    assert_eq!(certificate("parts.pem").subject, r"CN=\ #a\,b\ +UID=u1,2.5.4.4=#0C05536D697468,O=Contoso");
    assert_eq!(certificate("bmp.pem").subject, "CN=Zoë 株");
    assert_eq!(certificate("nameless.pem").subject, "");
}

#[test]
fn a_subject_that_was_read_is_spelled_as_one_that_was_declared() {
    let text = certificate("plain.pem").subject;
    let subject: crate::subject::Subject = text.parse().unwrap();
    assert_eq!(subject.to_string(), text);
}

#[test]
fn no_well_defined_end_is_the_last_moment_there_is() {
    let endless = certificate("endless.pem");
    assert_eq!(endless.not_after, Timestamp::MAX);
    assert_eq!(endless.not_before.to_string(), "1950-01-01T00:00:00Z");
}

#[test]
fn public_keys_are_told_apart() {
    for (name, key, text) in [
        ("short.pem", PublicKey::Rsa(1024), "RSA 1024"),
        ("odd.pem", PublicKey::Rsa(2047), "RSA 2047"),
        ("ec.pem", PublicKey::Other("EC P-256".into()), "EC P-256"),
        ("ed25519.pem", PublicKey::Other("Ed25519".into()), "Ed25519"),
        ("pss.pem", PublicKey::Other("RSA-PSS".into()), "RSA-PSS"),
    ] {
        let certificate = certificate(name);
        assert_eq!(certificate.public_key, key, "{name}");
        assert_eq!(certificate.public_key.to_string(), text);
    }
}

#[test]
fn what_is_wrong_is_said() {
    let (der, pem) = (fixture("plain.cer"), fixture("plain.pem"));
    let from_der = |bytes: &[u8]| Certificate::from_der(bytes).unwrap_err();
    let from_pem = |bytes: &[u8]| Certificate::from_pem(bytes).unwrap_err();
    assert_eq!(from_der(b""), CertificateError::Empty);
    assert_eq!(from_der(&pem), CertificateError::PemInsteadOfDer);
    assert_eq!(from_der(&[&der[..], b"\r\n"].concat()), CertificateError::Trailing(2));
    assert!(matches!(from_der(&der[..500]), CertificateError::NotDer(_)));
    assert!(matches!(from_der(b"hello"), CertificateError::NotDer(_)));
    assert_eq!(from_pem(&[&pem[..], &pem].concat()), CertificateError::Several(2));
    assert_eq!(from_pem(&fixture("plain.pub")), CertificateError::NoCertificate);
    assert_eq!(from_pem(&der), CertificateError::Pem(crate::pem::PemError::NoBlock));
    assert_eq!(Certificate::all_from_pem(&[&pem[..], &pem].concat()).unwrap().len(), 2);
}

#[test]
fn issuers_are_found_by_their_names() {
    let (plain, endless) = (certificate("plain.pem"), certificate("endless.pem"));
    assert!(plain.names_itself());
    assert!(!plain.names_issuer(&endless));
}

#[test]
fn no_damaged_certificate_panics_or_overflows_the_stack() {
    for name in ["plain.pem", "parts.pem", "endless.pem", "ec.pem", "pss.pem"] {
        let whole = certificate(name).der;
        for index in 0..whole.len() {
            for change in [0x01, 0x1F, 0x80, 0xFF] {
                let mut damaged = whole.clone();
                damaged[index] ^= change;
                if let Ok(read) = Certificate::from_der(&damaged) {
                    let _ = (read.names_itself(), read::rsa_public_key(read.der()), format!("{read:?}"));
                }
            }
            let _ = Certificate::from_der(&whole[..index]);
        }
    }
    for tag in [0x30, 0xA0, 0x31, 0x24] {
        let nested: Vec<u8> = [tag, 0x80].repeat(100_000);
        assert!(Certificate::from_der(&nested).is_err());
        let mut inside = certificate("plain.pem").der;
        inside.splice(8.., nested);
        assert!(Certificate::from_der(&inside).is_err());
    }
}

#[test]
fn debug_shows_facts_and_no_bytes() {
    assert_eq!(
        format!("{:?}", certificate("odd.pem")),
        "Certificate(6F5769E6AA49A9BB77A79FFF894721005DD28F6D CN=odd)"
    );
}
