//! What the edges take from the machine: time, waiting and randomness. Passed in, so that a simulation can own them.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::certificate::KeyKind;
use crate::key::{KeyError, PrivateKey};

/// Time and waiting.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
    /// Waits. On an emulator in process this moves its clock instead.
    async fn sleep(&self, duration: SignedDuration);
}

/// Randomness.
#[async_trait]
pub trait Random: Send + Sync {
    /// Fills the buffer with random bytes fit for keys.
    fn fill(&self, buffer: &mut [u8]);
    /// Makes a key pair. Takes 50 ms to 500 ms of processor time, on a thread of its own.
    async fn key_pair(&self, kind: KeyKind) -> Result<PrivateKey, KeyError>;
    /// How many key pairs are made at the same time: each takes a core.
    fn key_pairs_at_once(&self) -> usize {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }
}
