//! Azure Key Vault. A certificate's place is a secret object or a certificate object, each with a shape of its own.

mod notes;
mod objects;
mod pending;
mod requested;
mod slots;
mod view;
mod waiting;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::try_join;

use crate::desired::StoreBinding;
use crate::edges::Trouble;
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret, Signer};
use crate::key_vault::KeyVault;
use crate::observed::record::PublicRecord;
use crate::observed::{Current, Generation, KeyState, ObservedStore, Shape};
use crate::store::{KeyRequest, Pending, StoreError, StoreReader, StoreWriter};
use objects::Objects;
use pending::PendingStore;
use slots::SlotStore;

/// A vault as declared: each certificate says what its object is.
#[derive(Debug)]
pub struct KeyVaultStore {
    vault: Arc<KeyVault>,
    secrets: SlotStore,
    certificates: SlotStore,
    pending: PendingStore,
}

impl KeyVaultStore {
    /// The objects of that vault.
    pub fn new(vault: Arc<KeyVault>) -> KeyVaultStore {
        KeyVaultStore {
            secrets: SlotStore::new(Arc::clone(&vault), Objects::Secrets),
            certificates: SlotStore::new(Arc::clone(&vault), Objects::Certificates),
            pending: PendingStore::new(Arc::clone(&vault)),
            vault,
        }
    }

    fn of(&self, entry: &StoreBinding) -> &dyn StoreWriter {
        let options = &entry.options;
        let stays = options.exportable == Some(false) || options.hsm == Some(true);
        match options.object.as_deref() {
            Some("secret") => &self.secrets,
            _ if stays => &self.pending,
            _ => &self.certificates,
        }
    }
}

/// The name at which generations wait that nobody is to read, for the name that consumers read.
pub(crate) fn next_name(entry: &str) -> String {
    format!("{entry}-next")
}

/// Who else makes versions of a certificate: the vault by itself, or an operation that is pending and not ours.
async fn rotators(vault: &KeyVault, name: &str, ours: Option<&str>) -> Result<Vec<String>, Trouble> {
    let (renews, pending) = try_join(vault.renews_by_itself(name), vault.pending(name)).await?;
    let mut warnings = Vec::new();
    if renews {
        warnings.push(format!(
            "the policy of certificate {name} says AutoRenew: the vault will make versions that Entra does not know. Remove that lifetime \
             action; certroll's own writes do"
        ));
    }
    if let Some(operation) = pending.operation.filter(|operation| Some(operation.request_id.as_str()) != ours)
    {
        warnings.push(format!(
            "an operation that is not certroll's is pending for certificate {name} (request {}): until it is merged or deleted the vault \
             takes no other",
            crate::net::printable(&operation.request_id)
        ));
    }
    if let Some(failed) = pending.failed {
        warnings.push(format!("the last operation of certificate {name} came to nothing: {failed}"));
    }
    Ok(warnings)
}

/// What is pending at the name where certroll alone has certificates made, or came to nothing there.
async fn unsigned(vault: &KeyVault, name: &str) -> Result<Option<String>, Trouble> {
    let pending = vault.pending(name).await?;
    let waits = pending.operation.map(|operation| {
        let (issuer, status) = (crate::net::printable(&operation.issuer), operation.status);
        format!("certificate {name} is not signed yet; {issuer} says: {status}")
    });
    let failed = || {
        pending
            .failed
            .map(|failed| format!("the last operation of certificate {name} came to nothing: {failed}"))
    };
    Ok(waits.or_else(failed))
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

    async fn requested(&self, entry: &StoreBinding, generation: &Generation) -> Result<Vec<u8>, StoreError> {
        self.of(entry).requested(entry, generation).await
    }

    fn signs_in(&self) -> Option<String> {
        Some(self.vault.signs_in())
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

    async fn keep_request(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        csr: &[u8],
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        self.of(entry).keep_request(entry, key, csr, record).await
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
