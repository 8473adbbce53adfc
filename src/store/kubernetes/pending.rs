//! Keys whose certificate is still awaited. The key waits beside the others in a field of its own; its signing request stands in the book, which is
//! written at the same time.

use zeroize::Zeroizing;

use super::KubernetesStore;
use super::book::{Page, View, kept_field, pending_field};
use crate::desired::StoreBinding;
use crate::issuer::Issued;
use crate::key::PrivateKey;
use crate::observed::record::PublicRecord;
use crate::observed::{Generation, KeyState};
use crate::pem;
use crate::store::kept::{Kept, certificates_pem, request};
use crate::store::{Pending, StoreError, StoreErrorKind};

impl KubernetesStore {
    pub(super) async fn keep_pending(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        csr: &[u8],
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        let missing = || self.missing("keeping a signing request in", entry);
        let mut view = self.view(entry).await?;
        if let Some(generation) = view.holding()?.of_rotation(record) {
            let csr = match view.book.pending(record.rotation_id) {
                Some(page) => request(&page.request)?,
                None => csr.to_vec(),
            };
            return Ok(Pending { generation, csr });
        }
        let rotation = record.rotation_id.ok_or_else(missing)?;
        let kept = Zeroizing::new(Kept::pending(key, record).to_text()?.as_bytes().to_vec());
        let mut book = view.book.clone();
        book.forget_pending(record.rotation_id);
        let request = pem::encode("CERTIFICATE REQUEST", csr).to_string();
        book.put(Page { request, ..Page::new(record, String::new()) });
        self.write_next(entry, &mut view, book, |write| write.set(pending_field(rotation), kept)).await?;
        let generation =
            Generation { handle: rotation.to_string(), record: record.clone(), key: KeyState::Held };
        Ok(Pending { generation, csr: csr.to_vec() })
    }

    /// Key and certificate take the place of the key alone in one write.
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
        let rotation = generation.record.rotation_id.ok_or_else(|| self.missing(doing, entry))?;
        let key = self.kept_in(doing, entry, &pending_field(rotation)).await?.key()?;
        let thumbprints = issued.certificate.thumbprints;
        if record.thumbprints != Some(thumbprints) {
            return Err(refused("certificate and record do not belong together"));
        }
        if !issued.certificate.matches_key(&key) {
            let reason = "the certificate is for another key than the one that waits for it";
            let hint = Some("have the request signed as it is now".to_owned());
            return Err(StoreError { hint, ..refused(reason) });
        }
        let sha256 = thumbprints.sha256;
        let kept = Zeroizing::new(Kept::new(&key, issued, record).to_text()?.as_bytes().to_vec());
        let mut book = view.book.clone();
        book.forget_pending(Some(rotation));
        book.put(Page::new(record, certificates_pem(issued).to_string()));
        let field = kept_field(&sha256);
        self.write_next(entry, &mut view, book, |write| {
            write.set(field, kept).remove(pending_field(rotation))
        })
        .await?;
        Ok(Generation { handle: sha256.to_string(), record: record.clone(), key: KeyState::Held })
    }

    pub(super) async fn remove_pending(
        &self,
        entry: &StoreBinding,
        view: &mut View,
        generation: &Generation,
    ) -> Result<KeyState, StoreError> {
        let rotation = generation.record.rotation_id;
        let (Some(field), Some(_)) = (rotation.map(pending_field), view.book.pending(rotation)) else {
            return Ok(KeyState::Destroyed);
        };
        let mut book = view.book.clone();
        book.forget_pending(rotation);
        self.write_next(entry, view, book, |write| write.remove(field)).await?;
        Ok(KeyState::Destroyed)
    }
}
