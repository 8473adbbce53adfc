//! A store as one process reaches it: what it answers is late, or comes back to a process that has died meanwhile; and everybody looks
//! at what it did.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certroll::desired::StoreBinding;
use certroll::issuer::Issued;
use certroll::key::{PrivateKey, Secret, Signer};
use certroll::observed::record::PublicRecord;
use certroll::observed::{Current, Generation, KeyState, ObservedStore, Shape, StoreState};
use certroll::store::{KeyRequest, Pending, StoreError, StoreErrorKind, StoreReader, StoreWriter};

use super::process::{Process, Wrong};

pub struct Guarded {
    pub process: Arc<Process>,
    pub inner: Arc<dyn StoreWriter>,
}

impl Guarded {
    async fn looks<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.process.dawdle().await;
        let answer = match self.process.misleads() {
            Some(wrong) => Err(wrong_answer(wrong)),
            None => call.await,
        };
        self.process.alive().await;
        answer
    }

    async fn changes<T>(
        &self,
        entry: &StoreBinding,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.process.dawdle().await;
        if let Some(wrong) = self.process.misleads() {
            return Err(wrong_answer(wrong));
        }
        let answer = call.await;
        self.process.world.watch_entry(&entry.entry);
        self.process.alive().await;
        answer
    }
}

fn wrong_answer(wrong: Wrong) -> StoreError {
    let (kind, reason) = match wrong {
        Wrong::Garbled => (StoreErrorKind::Corrupt, "200 and half a page of HTML"),
        Wrong::Denied => (StoreErrorKind::Denied, "403"),
        Wrong::Past => (StoreErrorKind::Rival, "412 it changed meanwhile"),
        Wrong::Absent => (StoreErrorKind::Missing, "404"),
    };
    StoreError { kind, doing: "asking a store".into(), reason: reason.into(), hint: None }
}

#[async_trait]
impl StoreReader for Guarded {
    fn shape(&self, entry: &StoreBinding) -> Shape {
        self.inner.shape(entry)
    }

    async fn observe(&self, entry: &StoreBinding) -> ObservedStore {
        self.process.dawdle().await;
        let mut observed = self.inner.observe(entry).await;
        let before = self.process.world.last_seen(entry, &observed.state);
        match self.process.misleads() {
            Some(Wrong::Past) => observed.state = before,
            Some(Wrong::Absent) => {
                // What a store proves to be absent is as good as lost.
                self.process.world.state().oracles.forget_rotations();
                observed.state = StoreState::Absent;
            }
            Some(wrong) => {
                observed.state = StoreState::Unreadable { reason: wrong_answer(wrong).to_string() }
            }
            None => {}
        }
        self.process.alive().await;
        observed
    }

    async fn issued(&self, entry: &StoreBinding, generation: &Generation) -> Result<Issued, StoreError> {
        self.looks(self.inner.issued(entry, generation)).await
    }

    async fn requested(&self, entry: &StoreBinding, generation: &Generation) -> Result<Vec<u8>, StoreError> {
        self.looks(self.inner.requested(entry, generation)).await
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
        if self.process.breaks(3) {
            let reason = format!("cannot write {}", STANDARD.encode(key.expose_pkcs8()));
            return Err(StoreError { reason, ..wrong_answer(Wrong::Garbled) });
        }
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

    async fn keep_request(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        csr: &[u8],
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        self.changes(entry, self.inner.keep_request(entry, key, csr, record)).await
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
