//! Every identifier and secret the emulator makes comes from a seed, so that a run can be repeated exactly.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// 32 bytes that depend on nothing but the arguments.
pub(crate) fn bytes(seed: u64, purpose: &str, number: u64) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&seed.to_be_bytes());
    context.update(purpose.as_bytes());
    context.update(&number.to_be_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

/// A GUID of the random kind.
pub(crate) fn uuid(seed: u64, purpose: &str, number: u64) -> Uuid {
    let mut random = [0; 16];
    random.copy_from_slice(&bytes(seed, purpose, number)[..16]);
    uuid::Builder::from_random_bytes(random).into_uuid()
}

/// Text that looks like a client secret of the service: 40 characters.
pub(crate) fn secret(seed: u64, purpose: &str, number: u64) -> String {
    let mut text = URL_SAFE_NO_PAD.encode(bytes(seed, purpose, number)).replace('-', "~");
    text.truncate(37);
    format!("{}8Q~{}", &text[..3], &text[3..])
}

/// Where an object stands in a list: a fixed shuffle, so that pages are stable and sorted by nothing.
pub(crate) fn place(seed: u64, id: Uuid) -> u64 {
    let (high, low) = id.as_u64_pair();
    let mut mixed = seed ^ high.rotate_left(17) ^ low;
    for _ in 0..2 {
        mixed = mixed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
    }
    mixed
}
