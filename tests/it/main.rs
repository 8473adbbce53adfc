//! All integration tests, in one binary: it links once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests are tests")]

mod assertions;
mod emulator;
mod forms;
mod issuers;
mod tools;
