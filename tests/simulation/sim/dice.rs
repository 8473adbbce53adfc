//! Chance out of one seed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use certroll::certificate::KeyKind;
use certroll::key::{KeyError, PrivateKey};
use certroll::runtime::Random;

use crate::support::keys;

/// A generator (splitmix64): the same seed gives the same numbers everywhere. Fit for nothing secret.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// A generator of its own for that purpose, so that what one part draws changes nothing for another.
    pub fn of(seed: u64, purpose: &str) -> Dice {
        let mixed = purpose.bytes().fold(seed ^ 0x9E37_79B9_7F4A_7C15, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
        });
        let mut dice = Dice(mixed);
        dice.next();
        dice
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// A number between both, both included.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from + 1).max(1) as u64) as i64
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// What a process takes for randomness, and keys out of the pool, dealt in turn over the whole world.
pub struct SeededRandom {
    dice: Mutex<Dice>,
    dealt: std::sync::Arc<AtomicUsize>,
}

impl SeededRandom {
    pub fn new(dice: Dice, dealt: std::sync::Arc<AtomicUsize>) -> SeededRandom {
        SeededRandom { dice: Mutex::new(dice), dealt }
    }
}

#[async_trait]
impl Random for SeededRandom {
    fn fill(&self, buffer: &mut [u8]) {
        let mut dice = self.dice.lock().unwrap();
        buffer.fill_with(|| dice.next() as u8);
    }

    async fn key_pair(&self, kind: KeyKind) -> Result<PrivateKey, KeyError> {
        Ok(keys::key_of(self.dealt.fetch_add(1, Ordering::Relaxed), kind))
    }

    fn key_pairs_at_once(&self) -> usize {
        2
    }
}
