//! All integration tests, in one binary: it links once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests are tests")]

mod assertions;
mod emulator;
mod forms;
mod entra;
mod issuers;
mod tools;
//! One test binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a test has a clock, an environment and files")]

#[path = "../support/mod.rs"]
mod support;

mod issuers;
mod stores;
