//! AU-02 of the acceptance criteria: what a provider may send and what may not pass for it.

use super::*;
use crate::certificate::{KeyKind, SignatureHash};
use crate::desired::{Form, Format, Password, PfxProfile};
use crate::issuer::self_signed::SelfSigned;
use crate::issuer::{CertificateRequest, Issued, Issuer, SubjectKey};
use crate::key::PrivateKey;
use crate::random::{SystemRandom, serial_number};
use crate::runtime::Random;

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/certificates/{name}", env!("CARGO_MANIFEST_DIR"));
    #[allow(clippy::disallowed_methods, reason = "a test's own fixture")]
    std::fs::read(path).unwrap()
}

fn refusal(bytes: &[u8]) -> PublicKeyFileError {
    read(bytes).unwrap_err()
}

async fn pair() -> (PrivateKey, Issued) {
    let key = SystemRandom.key_pair(KeyKind::Rsa2048).await.unwrap();
    let now = "2026-11-20T00:00:00Z".parse().unwrap();
    let request = CertificateRequest {
        subject: "CN=provider".into(),
        signature_hash: SignatureHash::Sha256,
        not_before: now,
        validity: "P1Y".parse().unwrap(),
        now,
        serial: serial_number(&SystemRandom),
    };
    let issued = SelfSigned.issue(&request, SubjectKey::Local(&key)).await.unwrap();
    (key, issued)
}

fn form(format: Format) -> Form {
    Form { format, profile: PfxProfile::Modern2023, password: Password::None }
}

#[test]
fn au_02_der_and_pem_are_read() {
    let der = read(&fixture("plain.cer")).unwrap();
    assert_eq!(read(&fixture("plain.pem")).unwrap(), der);
    let windows = String::from_utf8(fixture("plain.pem")).unwrap().replace('\n', "\r\n");
    assert_eq!(read(format!("\u{FEFF}{windows}").as_bytes()).unwrap(), der);
}

#[tokio::test]
async fn au_02_a_pfx_and_every_private_key_is_refused_and_never_quoted() {
    let (key, issued) = pair().await;
    let render = |format| crate::form::render(&form(format), &key, &issued, None, "x").unwrap();
    assert_eq!(refusal(&render(Format::Pfx)[0].contents), PublicKeyFileError::Pfx);

    let pem = render(Format::Pem).remove(0).contents;
    let text = std::str::from_utf8(&pem).unwrap();
    let key_only = &text[text.find("-----BEGIN PRIVATE").unwrap()..];
    let pkcs1 = &key.expose_pkcs8()[26..];
    let disguises: [&[u8]; 6] = [
        text.as_bytes(),
        key_only.as_bytes(),
        // Damaged: the objection must still be the key.
        &text.as_bytes()[..text.len() - 40],
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        key.expose_pkcs8(),
        pkcs1,
    ];
    for bytes in disguises {
        let error = refusal(bytes);
        assert_eq!(error, PublicKeyFileError::PrivateKey);
        let secret = &key_only[60..90];
        assert!(!format!("{error} {error:?}").contains(secret));
    }
}

#[test]
fn au_02_everything_else_is_refused_with_a_message_of_its_own() {
    let (pem, der) = (fixture("plain.pem"), fixture("plain.cer"));
    let utf16: Vec<u8> = "\u{FEFF}-----BEGIN".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases: [(Vec<u8>, PublicKeyFileError); 16] = [
        (vec![], PublicKeyFileError::Empty),
        (b" \r\n".to_vec(), PublicKeyFileError::Empty),
        (vec![b'x'; FILE_BYTES_MAX + 1], PublicKeyFileError::TooLarge),
        (fixture("request.csr"), PublicKeyFileError::Request),
        (fixture("request-der.csr"), PublicKeyFileError::Request),
        (fixture("plain.p7b"), PublicKeyFileError::Bundle),
        (fixture("plain-der.p7b"), PublicKeyFileError::Bundle),
        (fixture("plain.pub"), PublicKeyFileError::BarePublicKey),
        ([&pem[..], &pem, &pem].concat(), PublicKeyFileError::Several(3)),
        ([&der[..], &der, &der].concat(), PublicKeyFileError::Several(3)),
        (fixture("ec.pem"), PublicKeyFileError::NotRsa("EC P-256".into())),
        (fixture("ed25519.pem"), PublicKeyFileError::NotRsa("Ed25519".into())),
        (fixture("pss.pem"), PublicKeyFileError::NotRsa("RSA-PSS".into())),
        (fixture("short.pem"), PublicKeyFileError::TooShort(1024)),
        (fixture("odd.pem"), PublicKeyFileError::TooShort(2047)),
        (utf16, PublicKeyFileError::Utf16),
    ];
    for (bytes, expected) in cases {
        assert_eq!(refusal(&bytes), expected);
    }
    assert!(matches!(refusal(b"hello"), PublicKeyFileError::Garbage(_)));
    assert!(matches!(refusal(&der[..500]), PublicKeyFileError::Garbage(_)));
    assert!(matches!(refusal(&[&der[..], b"more"].concat()), PublicKeyFileError::Garbage(_)));
    assert!(matches!(refusal(&pem[..500]), PublicKeyFileError::Pem(_)));
}

#[test]
fn no_bytes_make_it_panic() {
    for name in ["request-der.csr", "plain-der.p7b", "plain.cer", "plain.pem"] {
        let whole = fixture(name);
        for index in 0..whole.len() {
            for change in [0x01, 0x80, 0xFF] {
                let mut damaged = whole.clone();
                damaged[index] ^= change;
                let _ = read(&damaged);
            }
            let _ = read(&whole[..index]);
            let _ = read(&whole[index..]);
        }
    }
}
