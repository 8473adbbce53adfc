//! All integration tests, in one binary: it links once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a test has a clock, an environment and files")]

#[path = "../support/mod.rs"]
mod support;

mod apply;
mod assertions;
mod bounded;
mod cli;
mod cli_asked;
mod cli_codes;
mod cli_files;
mod cli_ground;
mod cli_service;
mod deliveries;
mod documents;
mod drift;
mod emulator;
mod entra;
mod file;
mod file_consumers;
mod file_errors;
mod file_schema;
mod forms;
mod hostile;
mod interrupted_scripts;
mod interruptions;
mod issuers;
mod killed;
mod memory;
mod mutations;
mod planning;
mod scripts;
mod secrets;
mod services;
mod stores;
mod tools;
mod untrusted;
