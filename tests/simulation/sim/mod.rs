//! Deterministic simulation: years of runs out of one seed, with deaths, faults and strangers, watched by oracles that do not use the
//! planner.
//!
//! ```text
//! seed ──generate──> Story (text) ──life──> World ──┬── processes: the shipped loader, planner, applier, Entra client, file store
//!                        ▲                          ├── consumers, people, strangers, faults
//!                     shrink <──── violations <─────┴── oracles P1 to P8, coverage, log
//! ```
//!
//! One thread, one virtual clock, chance from the seed alone: the same seed gives the same log, byte for byte. Keys come from a pool.
#![allow(dead_code, unreachable_pub, reason = "shared by a test and an example")]

pub mod before;
pub mod consumer;
pub mod coverage;
pub mod declaration;
pub mod dice;
pub mod generate;
pub mod ground;
pub mod life;
pub mod lurking;
pub mod oracles;
pub mod process;
pub mod services;
pub mod shrink;
pub mod stores;
pub mod story;
pub mod strangers;
pub mod tell;
pub mod transport;
pub mod wire;
pub mod world;

use std::sync::LazyLock;

/// What must not be seen of the keys.
pub fn needles() -> &'static [String] {
    static NEEDLES: LazyLock<Vec<String>> = LazyLock::new(crate::support::keys::needles);
    &NEEDLES
}
