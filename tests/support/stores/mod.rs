//! Two stores for tests that follow the awkward shapes of real ones to the letter.

mod append_is_live;
mod two_slot;
mod vault_service;

pub use append_is_live::AppendIsLive;
pub use two_slot::{SlotService, TwoSlot};
pub use vault_service::VaultService;

#[allow(unused_imports, reason = "not every test binary needs them")]
pub(crate) use vault_service::{public_key, public_key_of_csr, signing_request};
