//! What the simulation borrows from the other tests: the two awkward stores, a write-only delivery, a CA, and trouble that
//! counts calls.
#![allow(dead_code, unreachable_pub, reason = "shared between test binaries")]

#[path = "../../support/ca.rs"]
pub mod ca;
#[path = "../../support/deliveries.rs"]
pub mod deliveries;
pub mod keys;
#[path = "../../support/reach.rs"]
pub mod reach;
#[path = "../../support/stores/mod.rs"]
pub mod stores;
#[path = "../../support/trouble.rs"]
pub mod trouble;
