//! Two stores for tests that follow the awkward shapes of real ones to the letter.

mod append_is_live;
mod two_slot;

pub use append_is_live::{AppendIsLive, VaultService};
pub use two_slot::{SlotService, TwoSlot};
