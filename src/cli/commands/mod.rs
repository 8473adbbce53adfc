//! One file a command.

pub mod emulator;
