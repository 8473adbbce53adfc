//! The pool of RSA keys every world draws from: making one takes a hundred times as long as everything else in a rotation. They lie
//! in a file, so that the same seed gives the same certificates on every machine.

use std::sync::LazyLock;

use base64::Engine as _;
use certroll::certificate::{KeyKind, SignatureHash};
use certroll::issuer::CertificateRequest;
use certroll::key::PrivateKey;
use jiff::{SignedDuration, Timestamp};
use zeroize::Zeroizing;

static POOL: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let lines = include_str!("keys.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| base64::engine::general_purpose::STANDARD.decode(line).unwrap()).collect()
});

/// PKCS#8 of a key of 2048 bits is shorter than this, of one of 3072 bits longer.
const BETWEEN: usize = 1_500;

/// The nth key of 2048 bits; they come round again.
pub fn key(n: usize) -> PrivateKey {
    key_of(n, KeyKind::Rsa2048)
}

/// The nth key of that kind. There are none of 4096 bits: each signature would take eight times as long.
pub fn key_of(n: usize, kind: KeyKind) -> PrivateKey {
    let long = match kind {
        KeyKind::Rsa2048 => false,
        KeyKind::Rsa3072 => true,
        KeyKind::Rsa4096 => panic!("the pool has no key of 4096 bits"),
    };
    let fitting: Vec<&Vec<u8>> = POOL.iter().filter(|key| (key.len() > BETWEEN) == long).collect();
    PrivateKey::from_pkcs8(Zeroizing::new(fitting[n % fitting.len()].clone()))
}

/// The text of the pool's keys that must never be seen anywhere else: some characters out of the middle of each, as base64 has them.
pub fn needles() -> Vec<String> {
    let lines = include_str!("keys.txt").lines().filter(|line| !line.starts_with('#'));
    // Up to 32 characters the standard library looks for many at a time.
    lines.map(|line| line[line.len() / 2..line.len() / 2 + 32].to_owned()).collect()
}

/// A request for a certificate of a year from `now`. `serial` tells two of them apart.
pub fn request(subject: &str, now: Timestamp, serial: u8) -> CertificateRequest {
    CertificateRequest {
        subject: subject.into(),
        signature_hash: SignatureHash::Sha256,
        not_before: now - SignedDuration::from_hours(1),
        validity: "P1Y".parse().unwrap(),
        now,
        serial: [serial.max(1); 16],
    }
}
