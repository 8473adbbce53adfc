//! Randomness from the machine: keys, passwords, serial numbers and ids all come from one generator, aws-lc's.

use async_trait::async_trait;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::certificate::KeyKind;
use crate::key::{KeyError, PrivateKey, Secret};
use crate::runtime::Random;

/// The real thing. Fit for keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

#[async_trait]
impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) {
        // aws-lc itself ends the process when the machine has no entropy to give, so this has not been seen to fail.
        // Should it ever, going on with a predictable buffer would be the one wrong answer.
        if rand::fill(buffer).is_err() {
            std::process::abort();
        }
    }

    async fn key_pair(&self, kind: KeyKind) -> Result<PrivateKey, KeyError> {
        // Off the runtime's own threads: RSA 4096 takes seconds now and then.
        let made = tokio::task::spawn_blocking(move || generate(kind)).await;
        made.map_err(|_| KeyError("generating a key was interrupted".to_owned()))?
    }
}

fn generate(kind: KeyKind) -> Result<PrivateKey, KeyError> {
    let size = match kind {
        KeyKind::Rsa2048 => KeySize::Rsa2048,
        KeyKind::Rsa3072 => KeySize::Rsa3072,
        KeyKind::Rsa4096 => KeySize::Rsa4096,
    };
    let failed = |_| KeyError(format!("generating an RSA key of {} bits failed", kind.bits()));
    let pair = KeyPair::generate(size).map_err(failed)?;
    // aws-lc wipes the key pair and its own copy of the encoding when they are dropped.
    let der = pair.as_der().map_err(failed)?;
    Ok(PrivateKey::from_pkcs8(Zeroizing::new(der.as_ref().to_vec())))
}

/// Characters of generated passwords: no quotes, no shell, JSON, XML or URL meaning in any of them, and none that
/// people mistake for another (no `0 O 1 I l`), because somebody types it into a product's form.
const PASSWORD_ALPHABET: &[u8; 57] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";

/// Length of generated passwords in characters. 24 of 57 make 139 bits; 128 are promised.
pub const PASSWORD_CHARS: usize = 24;

/// A password of [`PASSWORD_CHARS`] characters, at least 128 bits.
pub fn generate_password(random: &dyn Random) -> Secret {
    let mut bytes = Zeroizing::new([0; 4 * PASSWORD_CHARS]);
    random.fill(&mut *bytes);
    let mut text = String::with_capacity(PASSWORD_CHARS);
    for four in bytes.chunks_exact(4) {
        // 2^32 is no multiple of 57; the bias is one in 75 million and costs less than a millionth of a bit.
        let number = four.iter().fold(0u32, |number, byte| (number << 8) | u32::from(*byte));
        text.push(char::from(PASSWORD_ALPHABET[number as usize % PASSWORD_ALPHABET.len()]));
    }
    Secret::new(text)
}

/// The serial number of a certificate: 128 random bits. Positive and never zero, as RFC 5280 wants it.
pub fn serial_number(random: &dyn Random) -> [u8; 16] {
    let mut serial = [0; 16];
    random.fill(&mut serial);
    // Below 0x80 it needs no padding; not below 0x40, so that all are equally long.
    serial[0] = serial[0] & 0x3F | 0x40;
    serial
}

/// A random (version 4) GUID.
pub fn guid(random: &dyn Random) -> Uuid {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn passwords_differ_and_hold_at_least_128_bits_of_harmless_characters() {
        let bits = (PASSWORD_ALPHABET.len() as f64).log2() * PASSWORD_CHARS as f64;
        assert!(bits >= 128.0, "{bits}");
        let made: Vec<Secret> = (0..200).map(|_| generate_password(&SystemRandom)).collect();
        let distinct: BTreeSet<&str> = made.iter().map(Secret::expose).collect();
        assert_eq!(distinct.len(), made.len());
        for password in &made {
            assert_eq!(password.expose().len(), PASSWORD_CHARS);
            assert!(password.expose().bytes().all(|b| b.is_ascii_alphanumeric()));
        }
        let used: BTreeSet<u8> = distinct.iter().flat_map(|text| text.bytes()).collect();
        assert_eq!(used.len(), PASSWORD_ALPHABET.len(), "every character of the alphabet comes up");
    }

    #[test]
    fn serial_numbers_are_positive_and_sixteen_bytes_long() {
        for _ in 0..100 {
            let serial = serial_number(&SystemRandom);
            assert!((0x40..0x80).contains(&serial[0]));
        }
    }

    #[test]
    fn guids_say_they_are_random() {
        assert_eq!(guid(&SystemRandom).get_version_num(), 4);
    }

    #[tokio::test]
    async fn a_key_is_pkcs8_of_the_length_asked_for() {
        let key = SystemRandom.key_pair(KeyKind::Rsa2048).await.unwrap();
        let pair = KeyPair::from_pkcs8(key.expose_pkcs8()).unwrap();
        assert_eq!(pair.public_modulus_len() * 8, 2048);
    }
}
