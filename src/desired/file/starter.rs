//! What `certroll init` writes.

/// A first declaration: emulated, so that it can be applied at once without an account.
pub const STARTER: &str = include_str!("starter.yaml");
