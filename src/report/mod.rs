//! What certroll reports without changing anything.

pub mod drift;
pub mod drift_rules;
pub mod verify;
