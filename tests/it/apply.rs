//! The applier against the emulator in process: real requests, real stores, a clock that waiting moves.

mod beside;
mod order;
mod passwords;
mod refusals;
mod removed;
mod reviewed;
mod rivals;
mod rules;
mod story;
mod trouble;
mod unproven;
mod words;
