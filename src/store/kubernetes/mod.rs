//! Kubernetes Secrets: two-slot, compared by resource version, records read without values.
//!
//! What consumers read stands in Secret `NAME`, of which certroll owns its own fields by server-side apply; every key, those that wait and
//! those that were current before, stands in Secret `NAME-next`, with the records in an annotation. See `docs/stores/kubernetes.md`
//! for every call and what a death after it leaves.

mod book;
mod pending;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::try_join;
use zeroize::Zeroizing;

use book::{ANNOTATION, Book, Page, View, kept_field};

use super::kept::{Kept, certificates_pem, issued, request};
use super::{Pending, StoreError, StoreErrorKind, StoreReader, StoreWriter};
use crate::certificate::Certificate;
use crate::desired::StoreBinding;
use crate::form::identity_in;
use crate::ids::{Sha256, Thumbprints};
use crate::issuer::Issued;
use crate::key::{LocalSigner, PrivateKey, Secret, Signer};
use crate::kubernetes::fields::{self, PasswordField};
use crate::kubernetes::object::{Values, Write};
use crate::kubernetes::{Cluster, Needed, Secrets};
use crate::may::May;
use crate::observed::record::{PublicRecord, RecordedPhase};
use crate::observed::{
    Current, Generation, Holding, KeyState, ObservedStore, Removal, Shape, Staging, StoreState,
};

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

    fn error(&self, kind: StoreErrorKind, doing: &str, entry: &StoreBinding, reason: &str) -> StoreError {
        let doing = format!("{doing} Secret {}", self.secrets.place(&entry.entry));
        StoreError { kind, doing, reason: reason.to_owned(), hint: None }
    }

    fn missing(&self, doing: &str, entry: &StoreBinding) -> StoreError {
        self.error(StoreErrorKind::Missing, doing, entry, "there is no such generation")
    }

    fn thumbprints(
        &self,
        doing: &str,
        entry: &StoreBinding,
        record: &PublicRecord,
    ) -> Result<Thumbprints, StoreError> {
        record.thumbprints.ok_or_else(|| self.missing(doing, entry))
    }

    /// Two requests, and no value in their answers.
    async fn view(&self, entry: &StoreBinding) -> Result<View, StoreError> {
        let next_name = KubernetesStore::next_name(entry);
        let (live, next) =
            try_join(self.secrets.metadata(&entry.entry), self.secrets.metadata(&next_name)).await?;
        if next.as_ref().is_some_and(book::is_foreign) {
            let reason = format!(
                "Secret {next_name} holds what certroll did not write, and every key waits there: move it, or give the certificate \
                 another name in the store"
            );
            return Err(self.error(StoreErrorKind::Refused, "looking at", entry, &reason));
        }
        let names = fields::names(&entry.form, &PasswordField(None));
        Ok(View { book: Book::of(next.as_ref())?, live, next, names })
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

    /// What is kept of a generation.
    async fn kept(&self, doing: &str, entry: &StoreBinding, sha256: &Sha256) -> Result<Kept, StoreError> {
        self.kept_in(doing, entry, &kept_field(sha256)).await
    }

    async fn kept_in(&self, doing: &str, entry: &StoreBinding, field: &str) -> Result<Kept, StoreError> {
        let gone = || self.error(StoreErrorKind::Missing, doing, entry, "the generation's key is gone");
        let values = self.secrets.read(&KubernetesStore::next_name(entry)).await?.ok_or_else(gone)?;
        let kept = values.value(field).ok_or_else(gone)?;
        let text = std::str::from_utf8(&kept).map_err(|_| {
            self.error(StoreErrorKind::Corrupt, doing, entry, "what was kept was changed by hand")
        })?;
        Kept::parse(text)
    }

    /// Key and certificates of a generation. What consumers read is compared with what was written for them first.
    async fn open(
        &self,
        doing: &str,
        entry: &StoreBinding,
        generation: &Generation,
    ) -> Result<(PrivateKey, Issued), StoreError> {
        let thumbprints = self.thumbprints(doing, entry, &generation.record)?;
        let view = self.view(entry).await?;
        let kept = self.kept(doing, entry, &thumbprints.sha256).await?;
        if view.current()? == Some(Current::Recorded(thumbprints.sha256)) {
            let values = self.secrets.read(&entry.entry).await?;
            kept.check_rendered(|name| values.as_ref()?.value(name))?;
        }
        kept.open(&thumbprints)
    }

    /// A certificate that anybody can find in what consumers read now, of that thumbprint. Reads values: for `apply` alone.
    fn find(values: &Values, sha256: &Sha256) -> Option<Issued> {
        values.all().find_map(|value| {
            let mut all = Certificate::all_from_pem(&value).ok()?;
            let found = all.first().is_some_and(|leaf| leaf.thumbprints.sha256 == *sha256);
            found.then(|| Issued { certificate: all.remove(0), chain: all })
        })
    }

    /// The first record of an adopted entry: only of what consumers read now.
    async fn adopt(
        &self,
        entry: &StoreBinding,
        view: &mut View,
        record: &PublicRecord,
        sha256: &Sha256,
    ) -> Result<(), StoreError> {
        let doing = "writing the record of";
        if !matches!(view.current()?, Some(Current::Unrecorded { .. })) {
            return Err(self.missing(doing, entry));
        }
        let values = self.secrets.read(&entry.entry).await?.ok_or_else(|| self.missing(doing, entry))?;
        let all: Vec<_> = values.all().collect();
        let identity = identity_in(&all, sha256);
        let found = match &identity {
            Some((_, issued)) => Some(issued.clone()),
            None => KubernetesStore::find(&values, sha256),
        };
        let found = found.ok_or_else(|| self.missing(doing, entry))?;
        let mut book = view.book.clone();
        let adopted = Some(values.meta().data_history());
        book.put(Page { adopted, ..Page::new(record, certificates_pem(&found).to_string()) });
        // A Secret has no versions: what is not kept now is gone with the next promotion, and nobody could go back to it.
        let Some((key, issued)) = identity else { return self.put_book(entry, view, book).await };
        let kept = Kept::new(&key, &issued, record).to_text()?;
        let kept = Zeroizing::new(kept.as_bytes().to_vec());
        self.write_next(entry, view, book, |write| write.set(kept_field(sha256), kept)).await
    }

    /// Keeps what the rendered fields will be, then writes them for consumers.
    async fn render(
        &self,
        entry: &StoreBinding,
        view: &mut View,
        thumbprints: &Thumbprints,
        password: Option<&Secret>,
    ) -> Result<(), StoreError> {
        let doing = "promoting in";
        let sha256 = thumbprints.sha256;
        let mut kept = self.kept(doing, entry, &sha256).await?;
        let (key, issued) = kept.open(thumbprints)?;
        let rendered =
            fields::rendered(&entry.form, &key, &issued, password, &PasswordField(None), &entry.entry)
                .map_err(|error| self.error(StoreErrorKind::Refused, doing, entry, &error.to_string()))?;
        kept.remember(rendered.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        let mut book = view.book.clone();
        // A time of an earlier promotion would make the overlap look older than it is, should this be the last thing that is done.
        if let Some(page) = book.page_mut(&sha256) {
            page.record.promoted_at = None;
        }
        let text = Zeroizing::new(kept.to_text()?.as_bytes().to_vec());
        self.write_next(entry, view, book, |write| write.set(kept_field(&sha256), text)).await?;
        let secret_type = fields::secret_type(entry.options.object.as_deref());
        let write = fields::write(secret_type, rendered, thumbprints);
        view.live = Some(self.secrets.apply(&entry.entry, view.live.as_ref(), write).await?);
        Ok(())
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
        let (state, warnings) = match seen {
            Ok((holding, warnings)) if holding == Holding::default() => (StoreState::Absent, warnings),
            Ok((holding, warnings)) => (StoreState::Known(holding), warnings),
            Err(error) => (StoreState::Unreadable { reason: error.to_string() }, Vec::new()),
        };
        ObservedStore { shape: self.shape(entry), state, warnings, damage: Vec::new() }
    }

    async fn issued(&self, entry: &StoreBinding, generation: &Generation) -> Result<Issued, StoreError> {
        let doing = "reading the certificate in";
        let sha256 = self.thumbprints(doing, entry, &generation.record)?.sha256;
        let view = self.view(entry).await?;
        let page = view.book.page(&sha256).filter(|page| !page.certificates.is_empty());
        issued(&page.ok_or_else(|| self.missing(doing, entry))?.certificates)
    }

    async fn requested(&self, entry: &StoreBinding, generation: &Generation) -> Result<Vec<u8>, StoreError> {
        let view = self.view(entry).await?;
        let page = view.book.pending(generation.record.rotation_id);
        request(&page.ok_or_else(|| self.missing("reading the signing request in", entry))?.request)
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
impl StoreWriter for KubernetesStore {
    async fn stage(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        let mut view = self.view(entry).await?;
        if let Some(staged) = view.holding()?.of_rotation(record) {
            return Ok(staged);
        }
        let sha256 = issued.certificate.thumbprints.sha256;
        let kept = Zeroizing::new(Kept::new(key, issued, record).to_text()?.as_bytes().to_vec());
        let mut book = view.book.clone();
        let certificates = certificates_pem(issued).to_string();
        book.put(Page::new(record, certificates));
        self.write_next(entry, &mut view, book, |write| write.set(kept_field(&sha256), kept)).await?;
        Ok(Generation { handle: sha256.to_string(), record: record.clone(), key: KeyState::Held })
    }

    async fn keep_request(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        csr: &[u8],
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        self.keep_pending(entry, key, csr, record).await
    }

    async fn attach(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        self.attach_to_pending(entry, generation, issued, record).await
    }

    async fn signer(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
    ) -> Result<Box<dyn Signer>, StoreError> {
        let doing = "opening the key in";
        let (key, issued) = self.open(doing, entry, generation).await?;
        let signer = LocalSigner::new(&key, issued.certificate);
        Ok(Box::new(
            signer.map_err(|error| self.error(StoreErrorKind::Corrupt, doing, entry, &error.to_string()))?,
        ))
    }

    async fn export(&self, entry: &StoreBinding, generation: &Generation) -> Result<PrivateKey, StoreError> {
        self.open("opening the key in", entry, generation).await.map(|(key, _)| key)
    }

    async fn promote(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        expected: Option<&Current>,
        password: Option<&Secret>,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        let doing = "promoting in";
        let mut view = self.view(entry).await?;
        let holding = view.holding()?;
        let thumbprints = self.thumbprints(doing, entry, &generation.record)?;
        let sha256 = thumbprints.sha256;
        let held = holding.generation(&sha256).ok_or_else(|| self.missing(doing, entry))?;
        if held.record.rejected {
            return Err(self.error(StoreErrorKind::Refused, doing, entry, "it was rolled back from"));
        }
        let mut known = held.record.phase == RecordedPhase::Promoted && held.record.promoted_at.is_some();
        if holding.current != Some(Current::Recorded(sha256)) {
            if holding.current.as_ref() != expected {
                let reason = "somebody else changed what is current";
                return Err(self.error(StoreErrorKind::Rival, doing, entry, reason));
            }
            self.render(entry, &mut view, &thumbprints, password).await?;
            known = false;
        }
        if !known {
            let mut book = view.book.clone();
            let page = book.page_mut(&sha256).ok_or_else(|| self.missing(doing, entry))?;
            page.record = record.clone();
            self.put_book(entry, &mut view, book).await?;
        }
        let promoted = self.view(entry).await?.holding()?;
        if promoted.current != Some(Current::Recorded(sha256)) {
            let reason = "somebody else wrote at the same time";
            return Err(self.error(StoreErrorKind::Rival, doing, entry, reason));
        }
        promoted.generation(&sha256).cloned().ok_or_else(|| self.missing(doing, entry))
    }

    async fn write_record(&self, entry: &StoreBinding, record: &PublicRecord) -> Result<(), StoreError> {
        let mut view = self.view(entry).await?;
        let mut book = view.book.clone();
        if let Some(page) = book.pending_mut(record.rotation_id).filter(|_| record.thumbprints.is_none()) {
            page.record = record.clone();
            return self.put_book(entry, &mut view, book).await;
        }
        let sha256 = self.thumbprints("writing the record of", entry, record)?.sha256;
        match book.page_mut(&sha256) {
            Some(page) => page.record = record.clone(),
            None => return self.adopt(entry, &mut view, record, &sha256).await,
        }
        self.put_book(entry, &mut view, book).await
    }

    async fn remove(&self, entry: &StoreBinding, generation: &Generation) -> Result<KeyState, StoreError> {
        let doing = "removing a key from";
        let mut view = self.view(entry).await?;
        if generation.record.thumbprints.is_none() {
            return self.remove_pending(entry, &mut view, generation).await;
        }
        let sha256 = self.thumbprints(doing, entry, &generation.record)?.sha256;
        let holding = view.holding()?;
        let held = holding.generation(&sha256).ok_or_else(|| self.missing(doing, entry))?;
        if holding.current == Some(Current::Recorded(sha256)) {
            return Err(self.error(StoreErrorKind::Refused, doing, entry, "it is what consumers read"));
        }
        let mut book = view.book.clone();
        if let Some(page) = book.page_mut(&sha256) {
            page.record.phase = RecordedPhase::Retired;
            page.certificates.clear();
            page.adopted = None;
        }
        match held.key {
            KeyState::Destroyed => self.put_book(entry, &mut view, book).await?,
            KeyState::Held | KeyState::Disabled => {
                self.write_next(entry, &mut view, book, |write| write.remove(kept_field(&sha256))).await?;
            }
        }
        Ok(KeyState::Destroyed)
    }
}
