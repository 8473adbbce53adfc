//! One test binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a test has a clock, an environment and files")]

#[path = "../support/mod.rs"]
mod support;

mod apply;
mod emulator;
mod entra;
mod issuers;
mod stores;
