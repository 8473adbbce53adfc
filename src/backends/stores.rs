//! Opens declared stores.

use std::sync::Arc;

use super::not_in_this_version;
use super::reach::Reach;
use crate::desired::{Store, StoreKind};
use crate::edges::Trouble;
use crate::store::StoreWriter;
use crate::store::file::FileStore;

/// Opens a store. Nothing is sent yet, and nothing of it is read.
pub(super) fn open(store: &Store, reach: &Reach) -> Result<Arc<dyn StoreWriter>, Trouble> {
    match &store.kind {
        StoreKind::File { directory } => Ok(Arc::new(FileStore::new(directory.clone()))),
        #[cfg(feature = "hashicorp-vault")]
        StoreKind::HashicorpVault { mount, namespace } => {
            use crate::store::vault::VaultStore;
            let vault = super::vault::open(reach, store.connection.as_ref())?;
            Ok(Arc::new(VaultStore::new(vault, mount, namespace.as_deref())))
        }
        #[cfg(feature = "azure-key-vault")]
        StoreKind::AzureKeyVault { vault } => {
            use crate::store::key_vault::KeyVaultStore;
            let vault = super::key_vault::open(reach, store.connection.as_ref(), vault)?;
            Ok(Arc::new(KeyVaultStore::new(vault)))
        }
        kind => {
            let _ = reach;
            Err(not_in_this_version(&format!("opening store {}", store.name), kind.as_str()))
        }
    }
}
