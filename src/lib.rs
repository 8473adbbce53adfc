//! certroll

pub mod cli;
pub mod emulator;
