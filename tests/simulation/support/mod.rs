//! What the simulation borrows from the other tests: the two awkward stores, the services behind the shipped ones, a
//! write-only delivery, a CA, and trouble that counts calls.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "shared between test binaries")]

#[path = "../../support/ca.rs"]
pub mod ca;
#[path = "../../support/deliveries.rs"]
pub mod deliveries;
#[path = "../../support/key_vault/mod.rs"]
pub mod key_vault;
pub mod keys;
#[path = "../../support/kv2.rs"]
pub mod kv2;
#[path = "../../support/secrets.rs"]
pub mod secrets;
#[path = "../../support/stores/mod.rs"]
pub mod stores;
#[path = "../../support/trouble.rs"]
pub mod trouble;
#[path = "../../support/troubled.rs"]
pub mod troubled;
