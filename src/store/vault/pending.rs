//! Keys whose certificate is still awaited. The key waits at the second name, as staged ones do; its signing request stands in the book.

use serde_json::Value;

use super::book::{Page, View};
use super::{OWN_FIELD, VaultStore};
use crate::desired::StoreBinding;
use crate::issuer::Issued;
use crate::key::PrivateKey;
use crate::observed::record::{PublicRecord, RecordedPhase};
use crate::observed::{Generation, KeyState};
use crate::pem;
use crate::store::kept::{Kept, certificates_pem};
use crate::store::{Pending, StoreError, StoreErrorKind};
use crate::vault::kv::Fields;

/// The field a waiting key stands in. A run that died before the book knew of it handed no request over: it is destroyed.
pub(super) const FIELD: &str = "certroll-request";

impl VaultStore {
    pub(super) async fn keep_pending(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        csr: &[u8],
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        let mut view = self.view(entry).await?;
        if let Some(generation) = view.holding()?.of_rotation(record) {
            let page = view.book.of(&generation.record);
            let csr = page.ok_or_else(|| self.missing("keeping a signing request in", entry))?.request()?;
            return Ok(Pending { generation, csr });
        }
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

    /// Writes key and certificate as a staged generation. The version with the key alone stays in the book until the promotion
    /// destroys both.
    pub(super) async fn attach_to_pending(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        let doing = "attaching a certificate in";
        let refused = |reason: &str| self.error(StoreErrorKind::Refused, doing, entry, reason);
        let mut view = self.view(entry).await?;
        let attached = view.holding()?.of_rotation(record);
        if let Some(attached) = attached.filter(|held| held.record.thumbprints == record.thumbprints) {
            return Ok(attached);
        }
        let rotation = generation.record.rotation_id;
        let page = view.book.pending(rotation).ok_or_else(|| self.missing(doing, entry))?;
        let (_, version) = *view.booked_copies(page).last().ok_or_else(|| self.missing(doing, entry))?;
        let name = VaultStore::next_name(entry);
        let (kept, _) =
            self.kept_in(&name, version, FIELD).await?.ok_or_else(|| self.missing(doing, entry))?;
        let key = kept.key()?;
        if record.thumbprints != Some(issued.certificate.thumbprints) {
            return Err(refused("certificate and record do not belong together"));
        }
        if !issued.certificate.matches_key(&key) {
            let reason = "the certificate is for another key than the one that waits for it";
            let hint = Some("have the request signed as it is now".to_owned());
            return Err(StoreError { hint, ..refused(reason) });
        }
        self.destroy_stray(entry, &mut view).await?;
        let sha256 = issued.certificate.thumbprints.sha256;
        let kept = Kept::new(&key, issued, record).to_text()?;
        let fields = Fields::from_iter([(format!("{OWN_FIELD}{sha256}"), Value::String(kept.to_string()))]);
        let at = self.write(&name, view.next.current_version, &fields).await?;
        let mut book = view.book.clone();
        if let Some(page) = book.pending_mut(rotation) {
            page.record = record.clone();
            page.certificates = certificates_pem(issued).to_string();
            page.next.push(at);
        }
        self.put_book(entry, &mut view, book).await?;
        Ok(Generation { handle: sha256.to_string(), record: record.clone(), key: KeyState::Held })
    }

    pub(super) async fn remove_pending(
        &self,
        entry: &StoreBinding,
        view: &mut View,
        generation: &Generation,
    ) -> Result<KeyState, StoreError> {
        let mut book = view.book.clone();
        // One that is removed already has no such page any more.
        if let Some(page) = book.pending_mut(generation.record.rotation_id) {
            for (_, version) in view.booked_copies(page) {
                self.kv.destroy(&VaultStore::next_name(entry), version).await?;
            }
            page.record.phase = RecordedPhase::Retired;
            self.put_book(entry, view, book).await?;
        }
        Ok(KeyState::Destroyed)
    }

    /// Destroys what a run left that died before the book knew of it.
    async fn destroy_stray(&self, entry: &StoreBinding, view: &mut View) -> Result<(), StoreError> {
        match view.stray.take() {
            Some((version, _)) => Ok(self.kv.destroy(&VaultStore::next_name(entry), version).await?),
            None => Ok(()),
        }
    }
}
