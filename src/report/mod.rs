//! What certroll reports without changing anything.

pub mod drift;
pub mod verify;
