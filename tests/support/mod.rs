//! What several tests share: stores, deliveries and a CA that are difficult on purpose, and the contract every store
//! has to keep.
#![allow(dead_code, reason = "not every test uses everything")]
#![allow(unreachable_pub, reason = "shared between test binaries")]

pub mod azure_devops;
pub mod bridge;
pub mod by_hand;
pub mod ca;
pub mod ci;
pub mod cli;
pub mod contract;
pub mod deliveries;
pub mod github;
pub mod gitlab;
pub mod key_vault;
pub mod keys;
pub mod kv2;
pub(crate) mod observed;
pub mod reach;
pub mod secrets;
pub mod serve;
pub mod service;
pub mod stores;
pub mod trouble;
pub mod troubled;
pub mod world;
