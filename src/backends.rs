//! What this version of certroll can do.

pub mod shipped;
