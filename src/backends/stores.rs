//! Opens declared stores.

use std::sync::Arc;

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
        #[cfg(feature = "kubernetes")]
        StoreKind::Kubernetes { namespace, context } => {
            use crate::store::kubernetes::KubernetesStore;
            let cluster = super::kubernetes::open(reach, store.connection.as_ref(), context.as_deref())?;
            Ok(Arc::new(KubernetesStore::new(cluster, namespace)))
        }
        #[cfg(not(all(feature = "azure-key-vault", feature = "hashicorp-vault", feature = "kubernetes")))]
        kind => {
            let _ = reach;
            Err(super::not_in_this_version(&format!("opening store {}", store.name), kind.as_str()))
        }
    }
}
