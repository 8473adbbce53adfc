//! Azure Key Vault. A certificate's place is a secret object or a certificate object, each with a shape of its own.

mod notes;
pub mod secret;
mod view;

use std::sync::Arc;

use async_trait::async_trait;

use crate::desired::StoreBinding;
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret, Signer};
use crate::key_vault::KeyVault;
use crate::observed::record::PublicRecord;
use crate::observed::{Current, Generation, KeyState, ObservedStore, Shape};
use crate::store::{KeyRequest, Pending, StoreError, StoreReader, StoreWriter};
use secret::SecretStore;

/// A vault as declared: each certificate says what its object is.
#[derive(Debug)]
pub struct KeyVaultStore {
    secrets: SecretStore,
}

impl KeyVaultStore {
    /// The objects of that vault.
    pub fn new(vault: Arc<KeyVault>) -> KeyVaultStore {
        KeyVaultStore { secrets: SecretStore::new(vault) }
    }

    fn of(&self, _entry: &StoreBinding) -> &dyn StoreWriter {
        &self.secrets
    }
}

#[async_trait]
impl StoreReader for KeyVaultStore {
    fn shape(&self, entry: &StoreBinding) -> Shape {
        self.of(entry).shape(entry)
    }

    async fn observe(&self, entry: &StoreBinding) -> ObservedStore {
        self.of(entry).observe(entry).await
    }

    async fn issued(&self, entry: &StoreBinding, generation: &Generation) -> Result<Issued, StoreError> {
        self.of(entry).issued(entry, generation).await
    }
}

#[async_trait]
impl StoreWriter for KeyVaultStore {
    async fn stage(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        self.of(entry).stage(entry, key, issued, record).await
    }

    async fn request(
        &self,
        entry: &StoreBinding,
        request: &KeyRequest,
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        self.of(entry).request(entry, request, record).await
    }

    async fn attach(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        self.of(entry).attach(entry, generation, issued, record).await
    }

    async fn signer(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
    ) -> Result<Box<dyn Signer>, StoreError> {
        self.of(entry).signer(entry, generation).await
    }

    async fn export(&self, entry: &StoreBinding, generation: &Generation) -> Result<PrivateKey, StoreError> {
        self.of(entry).export(entry, generation).await
    }

    async fn promote(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        expected: Option<&Current>,
        password: Option<&Secret>,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        self.of(entry).promote(entry, generation, expected, password, record).await
    }

    async fn write_record(&self, entry: &StoreBinding, record: &PublicRecord) -> Result<(), StoreError> {
        self.of(entry).write_record(entry, record).await
    }

    async fn remove(&self, entry: &StoreBinding, generation: &Generation) -> Result<KeyState, StoreError> {
        self.of(entry).remove(entry, generation).await
    }
}
