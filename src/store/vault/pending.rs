//! Keys whose certificate is still awaited. The key waits at the second name, as staged ones do; its signing request stands in the book.

use serde_json::Value;

use super::VaultStore;
use super::book::{Page, View};
use crate::desired::StoreBinding;
use crate::key::PrivateKey;
use crate::observed::record::{PublicRecord, RecordedPhase};
use crate::observed::{Generation, KeyState};
use crate::pem;
use crate::store::kept::{Kept, certificates_pem};
use crate::store::two_slot::{TwoSlot, Whole};
use crate::store::{Pending, StoreError};
use crate::vault::kv::Fields;

/// The field a waiting key stands in. A run that died before the book knew of it handed no request over: it is destroyed.
pub(super) const FIELD: &str = "certroll-request";

impl VaultStore {
    pub(super) async fn write_pending(
        &self,
        entry: &StoreBinding,
        mut view: View,
        key: &PrivateKey,
        csr: &[u8],
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        self.destroy_stray(entry, &mut view).await?;
        self.check_mount(entry, &mut view).await?;
        let kept = Kept::pending(key, record).to_text()?;
        let fields = Fields::from_iter([(FIELD.to_owned(), Value::String(kept.to_string()))]);
        let at = self.write(&VaultStore::next_name(entry), view.next.current_version, &fields).await?;
        let mut book = view.book.clone();
        let request = pem::encode("CERTIFICATE REQUEST", csr).to_string();
        book.put(Page { request, next: vec![at], ..Page::new(record, String::new()) });
        self.put_book(entry, &mut view, book).await?;
        let handle = record.rotation_id.map(|rotation| rotation.to_string()).unwrap_or_default();
        let generation = Generation { handle, record: record.clone(), key: KeyState::Held };
        Ok(Pending { generation, csr: csr.to_vec() })
    }

    pub(super) async fn open_pending(
        &self,
        doing: &str,
        entry: &StoreBinding,
        view: &View,
        waiting: &Generation,
    ) -> Result<PrivateKey, StoreError> {
        let page = view.book.pending(waiting.record.rotation_id);
        let copies = page.map(|page| view.booked_copies(page)).unwrap_or_default();
        let (_, version) = *copies.last().ok_or_else(|| self.missing(doing, entry))?;
        let kept = self.kept_in(&VaultStore::next_name(entry), version, FIELD).await?;
        kept.ok_or_else(|| self.missing(doing, entry))?.0.key()
    }

    /// Writes key and certificate as a staged generation. The version with the key alone stays in the book until the promotion
    /// destroys both.
    pub(super) async fn write_answered(
        &self,
        entry: &StoreBinding,
        mut view: View,
        waiting: &Generation,
        whole: &Whole<'_>,
    ) -> Result<(), StoreError> {
        self.destroy_stray(entry, &mut view).await?;
        let at = self.write_waiting(entry, &view, whole).await?;
        let mut book = view.book.clone();
        if let Some(page) = book.pending_mut(waiting.record.rotation_id) {
            page.record = whole.record.clone();
            page.certificates = certificates_pem(whole.issued).to_string();
            page.next.push(at);
        }
        self.put_book(entry, &mut view, book).await
    }

    pub(super) async fn take_pending(
        &self,
        entry: &StoreBinding,
        mut view: View,
        waiting: &Generation,
    ) -> Result<(), StoreError> {
        let mut book = view.book.clone();
        // One that is removed already has no such page any more.
        let Some(page) = book.pending_mut(waiting.record.rotation_id) else { return Ok(()) };
        for (_, version) in view.booked_copies(page) {
            self.kv.destroy(&VaultStore::next_name(entry), version).await?;
        }
        page.record.phase = RecordedPhase::Retired;
        self.put_book(entry, &mut view, book).await
    }

    /// Destroys what a run left that died before the book knew of it.
    async fn destroy_stray(&self, entry: &StoreBinding, view: &mut View) -> Result<(), StoreError> {
        match view.stray.take() {
            Some((version, _)) => Ok(self.kv.destroy(&VaultStore::next_name(entry), version).await?),
            None => Ok(()),
        }
    }
}
