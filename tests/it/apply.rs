//! The applier against the emulator in process: real requests, real stores, a clock that waiting moves.

mod beside;
mod order;
mod removed;
mod rules;
mod story;
mod trouble;
mod words;
