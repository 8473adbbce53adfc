//! certroll

pub mod emulator;
