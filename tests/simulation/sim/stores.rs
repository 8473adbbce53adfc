//! A store as one process reaches it: what it answers is late, or comes back to a process that has died meanwhile; and everybody looks
//! at what it did.

use std::sync::Arc;

use async_trait::async_trait;
use certroll::desired::StoreBinding;
use certroll::issuer::Issued;
use certroll::key::{PrivateKey, Secret, Signer};
use certroll::observed::record::PublicRecord;
use certroll::observed::{Current, Generation, KeyState, ObservedStore, Shape};
use certroll::store::{KeyRequest, Pending, StoreError, StoreReader, StoreWriter};

use super::process::Process;

pub struct Guarded {
    pub process: Arc<Process>,
    pub inner: Arc<dyn StoreWriter>,
}

impl Guarded {
    async fn looks<T>(&self, call: impl Future<Output = T>) -> T {
        self.process.dawdle().await;
        let answer = call.await;
        self.process.alive().await;
        answer
    }

    async fn changes<T>(&self, entry: &StoreBinding, call: impl Future<Output = T>) -> T {
        self.process.dawdle().await;
        let answer = call.await;
        self.process.world.watch_entry(&entry.entry);
        self.process.alive().await;
        answer
    }
}

#[async_trait]
impl StoreReader for Guarded {
    fn shape(&self, entry: &StoreBinding) -> Shape {
        self.inner.shape(entry)
    }

    async fn observe(&self, entry: &StoreBinding) -> ObservedStore {
        self.looks(self.inner.observe(entry)).await
    }

    async fn issued(&self, entry: &StoreBinding, generation: &Generation) -> Result<Issued, StoreError> {
        self.looks(self.inner.issued(entry, generation)).await
    }
}

#[async_trait]
impl StoreWriter for Guarded {
    async fn stage(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        self.changes(entry, self.inner.stage(entry, key, issued, record)).await
    }

    async fn request(
        &self,
        entry: &StoreBinding,
        request: &KeyRequest,
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        self.changes(entry, self.inner.request(entry, request, record)).await
    }

    async fn attach(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        self.changes(entry, self.inner.attach(entry, generation, issued, record)).await
    }

    async fn signer(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
    ) -> Result<Box<dyn Signer>, StoreError> {
        self.looks(self.inner.signer(entry, generation)).await
    }

    async fn export(&self, entry: &StoreBinding, generation: &Generation) -> Result<PrivateKey, StoreError> {
        self.looks(self.inner.export(entry, generation)).await
    }

    async fn promote(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        expected: Option<&Current>,
        password: Option<&Secret>,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        if let Some(password) = password {
            self.process.world.state().remember(password.expose());
        }
        self.changes(entry, self.inner.promote(entry, generation, expected, password, record)).await
    }

    async fn write_record(&self, entry: &StoreBinding, record: &PublicRecord) -> Result<(), StoreError> {
        self.changes(entry, self.inner.write_record(entry, record)).await
    }

    async fn remove(&self, entry: &StoreBinding, generation: &Generation) -> Result<KeyState, StoreError> {
        self.changes(entry, self.inner.remove(entry, generation)).await
    }
}
