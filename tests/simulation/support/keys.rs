//! The pool of RSA keys every world draws from: making one takes a hundred times as long as everything else in a rotation. They lie
//! in a file, so that the same seed gives the same certificates on every machine.

use std::sync::LazyLock;

use base64::Engine as _;
use certroll::key::PrivateKey;
use zeroize::Zeroizing;

static POOL: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let lines = include_str!("keys.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| base64::engine::general_purpose::STANDARD.decode(line).unwrap()).collect()
});

/// How many different keys there are.
pub fn pool() -> usize {
    POOL.len()
}

/// The nth key; they come round again.
pub fn key(n: usize) -> PrivateKey {
    PrivateKey::from_pkcs8(Zeroizing::new(POOL[n % POOL.len()].clone()))
}

/// The text of the pool's keys that must never be seen anywhere else: some characters out of the middle of each, as base64 has them.
pub fn needles() -> Vec<String> {
    let lines = include_str!("keys.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line[line.len() / 2..line.len() / 2 + 40].to_owned()).collect()
}
