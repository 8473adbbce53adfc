//! Kubernetes Secrets: two-slot, compared by resource version, records read without values.
//!
//! What consumers read stands in Secret `NAME`, of which certroll owns its own fields by server-side apply; every key, those that wait and
//! those that were current before, stands in Secret `NAME-next`, with the records in an annotation. See `docs/stores/kubernetes.md`
//! for every call and what a death after it leaves.

mod book;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::try_join;
use zeroize::Zeroizing;

use book::{ANNOTATION, Book, Page, View, kept_field, pending_field};

use super::kept::{Kept, certificates_pem, issued};
use super::two_slot::{self, Seen, TwoSlot, Whole};
use super::{Pending, StoreError, StoreErrorKind, StoreReader};
use crate::desired::StoreBinding;
use crate::form::{identity_in, issued_in};
use crate::ids::Thumbprints;
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret};
use crate::kubernetes::fields::{self, PasswordField};
use crate::kubernetes::object::Write;
use crate::kubernetes::{Cluster, Needed, Secrets};
use crate::may::May;
use crate::observed::record::{PublicRecord, RecordedPhase};
use crate::observed::{Current, Generation, KeyState, ObservedStore, Removal, Shape, Staging};
use crate::pem;

/// The Secrets of a namespace.
pub struct KubernetesStore {
    secrets: Secrets,
}

impl KubernetesStore {
    /// The namespace of that cluster.
    pub fn new(cluster: Arc<Cluster>, namespace: &str) -> KubernetesStore {
        KubernetesStore { secrets: Secrets::new(cluster, namespace) }
    }

    fn next_name(entry: &StoreBinding) -> String {
        format!("{}-next", entry.entry)
    }

    /// Writes book and keys at once.
    async fn write_next(
        &self,
        entry: &StoreBinding,
        view: &mut View,
        book: Book,
        change: impl FnOnce(Write) -> Write,
    ) -> Result<(), StoreError> {
        let write = change(Write::new([(ANNOTATION, book.to_text()?)]));
        let name = KubernetesStore::next_name(entry);
        let written = match &view.next {
            Some(seen) => self.secrets.patch(&name, seen, write).await?,
            None => self.secrets.create(&name, write.typed(fields::secret_type(None))).await?,
        };
        view.next = Some(written);
        view.book = book;
        Ok(())
    }

    /// Writes the book if it changed.
    async fn put_book(&self, entry: &StoreBinding, view: &mut View, book: Book) -> Result<(), StoreError> {
        if book == view.book {
            return Ok(());
        }
        self.write_next(entry, view, book, |write| write).await
    }

    /// What is kept in a field.
    async fn kept_in(&self, doing: &str, entry: &StoreBinding, field: &str) -> Result<Kept, StoreError> {
        let gone = || self.error(StoreErrorKind::Missing, doing, entry, "the generation's key is gone");
        let values = self.secrets.read(&KubernetesStore::next_name(entry)).await?.ok_or_else(gone)?;
        let kept = values.value(field).ok_or_else(gone)?;
        let text = std::str::from_utf8(&kept).map_err(|_| {
            self.error(StoreErrorKind::Corrupt, doing, entry, "what was kept was changed by hand")
        })?;
        Kept::parse(text)
    }
}

#[async_trait]
impl StoreReader for KubernetesStore {
    fn shape(&self, _entry: &StoreBinding) -> Shape {
        Shape {
            staging: Staging::TwoSlot,
            readable: true,
            exportable: true,
            compare_and_set: true,
            atomic_records: true,
            removal: Removal::Destroys,
        }
    }

    async fn observe(&self, entry: &StoreBinding) -> ObservedStore {
        let seen = self.view(entry).await.and_then(|view| {
            let warnings = view.live.as_ref().map(|live| fields::warnings(live, &view.names));
            Ok((view.holding()?, warnings.unwrap_or_default()))
        });
        two_slot::observed(self.shape(entry), seen)
    }

    async fn issued(&self, entry: &StoreBinding, generation: &Generation) -> Result<Issued, StoreError> {
        let doing = "reading the certificate in";
        let sha256 = self.thumbprints(doing, entry, &generation.record)?.sha256;
        let view = self.view(entry).await?;
        let page = view.book.page(&sha256).filter(|page| !page.certificates.is_empty());
        issued(&page.ok_or_else(|| self.missing(doing, entry))?.certificates)
    }

    async fn requested(&self, entry: &StoreBinding, generation: &Generation) -> Result<Vec<u8>, StoreError> {
        two_slot::requested(self, entry, generation).await
    }

    fn signs_in(&self) -> Option<String> {
        Some(self.secrets.signs_in())
    }

    async fn may_write(&self, entry: &StoreBinding) -> Result<May, StoreError> {
        let next = KubernetesStore::next_name(entry);
        let view = self.view(entry).await?;
        let both = [(entry.entry.as_str(), &view.live), (next.as_str(), &view.next)];
        let mut needed: Vec<Needed<'_>> =
            both.iter().map(|(name, _)| Needed { verb: "patch", name: Some(name) }).collect();
        if both.iter().any(|(_, found)| found.is_none()) {
            needed.push(Needed { verb: "create", name: None });
        }
        Ok(self.secrets.may(&needed).await?)
    }
}

#[async_trait]
impl TwoSlot for KubernetesStore {
    type View = View;

    fn place(&self, entry: &StoreBinding) -> String {
        format!("Secret {}", self.secrets.place(&entry.entry))
    }

    /// Two requests, and no value in their answers.
    async fn view(&self, entry: &StoreBinding) -> Result<View, StoreError> {
        let next_name = KubernetesStore::next_name(entry);
        let (live, next) =
            try_join(self.secrets.metadata(&entry.entry), self.secrets.metadata(&next_name)).await?;
        if next.as_ref().is_some_and(book::is_foreign) {
            return Err(self.not_ours(entry, &format!("Secret {}", self.secrets.place(&next_name))));
        }
        let names = fields::names(&entry.form, &PasswordField(None));
        Ok(View { book: Book::of(next.as_ref())?, live, next, names })
    }

    async fn open(
        &self,
        doing: &str,
        entry: &StoreBinding,
        view: &View,
        generation: &Generation,
    ) -> Result<(PrivateKey, Issued), StoreError> {
        let thumbprints = self.thumbprints(doing, entry, &generation.record)?;
        let kept = self.kept_in(doing, entry, &kept_field(&thumbprints.sha256)).await?;
        if view.current()? == Some(Current::Recorded(thumbprints.sha256)) {
            let values = self.secrets.read(&entry.entry).await?;
            kept.check_rendered(|name| values.as_ref()?.value(name))?;
        }
        kept.open(&thumbprints)
    }

    async fn open_alone(
        &self,
        doing: &str,
        entry: &StoreBinding,
        _view: &View,
        waiting: &Generation,
    ) -> Result<PrivateKey, StoreError> {
        let rotation = waiting.record.rotation_id.ok_or_else(|| self.missing(doing, entry))?;
        self.kept_in(doing, entry, &pending_field(rotation)).await?.key()
    }

    async fn write_staged(
        &self,
        entry: &StoreBinding,
        mut view: View,
        whole: &Whole<'_>,
    ) -> Result<Generation, StoreError> {
        let Whole { key, issued, record } = *whole;
        let sha256 = issued.certificate.thumbprints.sha256;
        let kept = bytes(&Kept::new(key, issued, record))?;
        let mut book = view.book.clone();
        book.put(Page::new(record, certificates_pem(issued).to_string()));
        self.write_next(entry, &mut view, book, |write| write.set(kept_field(&sha256), kept)).await?;
        Ok(Generation { handle: sha256.to_string(), record: record.clone(), key: KeyState::Held })
    }

    async fn write_alone(
        &self,
        entry: &StoreBinding,
        mut view: View,
        key: &PrivateKey,
        csr: &[u8],
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        let rotation = record.rotation_id;
        let rotation = rotation.ok_or_else(|| self.missing("keeping a signing request in", entry))?;
        let kept = bytes(&Kept::pending(key, record))?;
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
    async fn write_attached(
        &self,
        entry: &StoreBinding,
        mut view: View,
        waiting: &Generation,
        whole: &Whole<'_>,
    ) -> Result<(), StoreError> {
        let Whole { key, issued, record } = *whole;
        let rotation = waiting.record.rotation_id;
        let rotation = rotation.ok_or_else(|| self.missing("attaching a certificate in", entry))?;
        let kept = bytes(&Kept::new(key, issued, record))?;
        let mut book = view.book.clone();
        book.forget_pending(Some(rotation));
        book.put(Page::new(record, certificates_pem(issued).to_string()));
        let field = kept_field(&issued.certificate.thumbprints.sha256);
        let write = |write: Write| write.set(field, kept).remove(pending_field(rotation));
        self.write_next(entry, &mut view, book, write).await
    }

    /// Keeps what the rendered fields will be, then writes them for consumers.
    async fn write_live(
        &self,
        entry: &StoreBinding,
        mut view: View,
        whole: &Whole<'_>,
        password: Option<&Secret>,
    ) -> Result<View, StoreError> {
        let Whole { key, issued, record } = *whole;
        let thumbprints = issued.certificate.thumbprints;
        let rendered =
            fields::rendered(&entry.form, key, issued, password, &PasswordField(None), &entry.entry)
                .map_err(|error| {
                    self.error(StoreErrorKind::Refused, "promoting in", entry, &error.to_string())
                })?;
        let mut kept = Kept::new(key, issued, record);
        kept.remember(rendered.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        let mut book = view.book.clone();
        // A time of an earlier promotion would make the overlap look older than it is, should this be the last thing that is done.
        if let Some(page) = book.page_mut(&thumbprints.sha256) {
            page.record.promoted_at = None;
        }
        let (field, kept) = (kept_field(&thumbprints.sha256), bytes(&kept)?);
        self.write_next(entry, &mut view, book, |write| write.set(field, kept)).await?;
        let secret_type = fields::secret_type(entry.options.object.as_deref());
        let write = fields::write(secret_type, rendered, &thumbprints);
        view.live = Some(self.secrets.apply(&entry.entry, view.live.as_ref(), write).await?);
        self.finish_live(entry, view, &thumbprints, Some(record)).await
    }

    async fn finish_live(
        &self,
        entry: &StoreBinding,
        mut view: View,
        thumbprints: &Thumbprints,
        record: Option<&PublicRecord>,
    ) -> Result<View, StoreError> {
        if let Some(record) = record {
            let mut book = view.book.clone();
            let page = book.page_mut(&thumbprints.sha256);
            page.ok_or_else(|| self.missing("promoting in", entry))?.record = record.clone();
            self.put_book(entry, &mut view, book).await?;
        }
        self.view(entry).await
    }

    async fn write_again(
        &self,
        entry: &StoreBinding,
        view: &mut View,
        record: &PublicRecord,
    ) -> Result<bool, StoreError> {
        let mut book = view.book.clone();
        let Some(page) = book.of_mut(record) else { return Ok(false) };
        page.record = record.clone();
        self.put_book(entry, view, book).await?;
        Ok(true)
    }

    async fn adopt(
        &self,
        entry: &StoreBinding,
        mut view: View,
        record: &PublicRecord,
        thumbprints: &Thumbprints,
    ) -> Result<(), StoreError> {
        let missing = || self.missing("writing the record of", entry);
        let values = self.secrets.read(&entry.entry).await?.ok_or_else(missing)?;
        let all: Vec<_> = values.all().collect();
        let identity = identity_in(&all, &thumbprints.sha256);
        let found = match &identity {
            Some((_, issued)) => Some(issued.clone()),
            None => issued_in(&all, &thumbprints.sha256),
        };
        let found = found.ok_or_else(missing)?;
        let mut book = view.book.clone();
        let adopted = Some(values.meta().data_history());
        book.put(Page { adopted, ..Page::new(record, certificates_pem(&found).to_string()) });
        // A Secret has no versions: what is not kept now is gone with the next promotion, and nobody could go back to it.
        let Some((key, issued)) = identity else { return self.put_book(entry, &mut view, book).await };
        let (field, kept) = (kept_field(&thumbprints.sha256), bytes(&Kept::new(&key, &issued, record))?);
        self.write_next(entry, &mut view, book, |write| write.set(field, kept)).await
    }

    async fn take(
        &self,
        entry: &StoreBinding,
        mut view: View,
        generation: &Generation,
        thumbprints: &Thumbprints,
    ) -> Result<(), StoreError> {
        let mut book = view.book.clone();
        if let Some(page) = book.page_mut(&thumbprints.sha256) {
            page.record.phase = RecordedPhase::Retired;
            page.certificates.clear();
            page.adopted = None;
        }
        if generation.key == KeyState::Destroyed {
            return self.put_book(entry, &mut view, book).await;
        }
        let field = kept_field(&thumbprints.sha256);
        self.write_next(entry, &mut view, book, |write| write.remove(field)).await
    }

    async fn take_alone(
        &self,
        entry: &StoreBinding,
        mut view: View,
        waiting: &Generation,
    ) -> Result<(), StoreError> {
        let rotation = waiting.record.rotation_id;
        let (Some(field), Some(_)) = (rotation.map(pending_field), view.book.pending(rotation)) else {
            return Ok(());
        };
        let mut book = view.book.clone();
        book.forget_pending(rotation);
        self.write_next(entry, &mut view, book, |write| write.remove(field)).await
    }
}

fn bytes(kept: &Kept) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    Ok(Zeroizing::new(kept.to_text()?.as_bytes().to_vec()))
}
