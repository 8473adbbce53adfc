//! HashiCorp Vault and OpenBao, KV version 2: two-slot, with check-and-set.
//!
//! What consumers read is the newest version of `NAME`; a successor waits at `NAME-next`; public records stand at `NAME-certroll`. Other
//! fields at `NAME` survive. See `docs/stores/hashicorp_vault.md` for every call and what a death after it leaves.

mod book;
mod deletion;
mod pending;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join3;
use jiff::SignedDuration;
use serde_json::Value;

use book::{At, Book, Page, View};

use super::kept::{FieldNames, Kept, certificates_pem, issued};
use super::two_slot::{self, Seen, TwoSlot, Whole};
use super::{Pending, StoreError, StoreErrorKind, StoreReader};
use crate::desired::StoreBinding;
use crate::form::{identity_in, issued_in};
use crate::ids::{Sha256, Thumbprints};
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret};
use crate::may::May;
use crate::observed::record::{PublicRecord, RecordedPhase};
use crate::observed::{Current, Generation, KeyState, ObservedStore, Removal, Shape, Staging};
use crate::vault::Vault;
use crate::vault::kv::{Fields, Kv, not_version_2};

/// Start of the name of the field that certroll keeps its own in; the SHA-256 thumbprint follows, so that it can be seen without a value.
const OWN_FIELD: &str = "certroll-";

/// What a path needs that versions are written to, and one that only takes orders.
const WRITES: &[&str] = &["create", "update", "read"];
const UPDATES: &[&str] = &["update"];

/// A KV v2 mount.
pub struct VaultStore {
    kv: Kv,
}

impl VaultStore {
    /// The mount of that Vault.
    pub fn new(vault: Arc<Vault>, mount: &str, namespace: Option<&str>) -> VaultStore {
        let mount = mount.trim_matches('/').to_owned();
        VaultStore { kv: Kv { vault, mount, namespace: namespace.map(str::to_owned) } }
    }

    fn next_name(entry: &StoreBinding) -> String {
        format!("{}-next", entry.entry)
    }

    fn book_name(entry: &StoreBinding) -> String {
        format!("{}-certroll", entry.entry)
    }

    fn named(&self, entry: &StoreBinding, live: bool) -> String {
        if live { entry.entry.clone() } else { VaultStore::next_name(entry) }
    }

    async fn write(&self, name: &str, seen: u64, fields: &Fields) -> Result<At, StoreError> {
        Ok(At::of(&self.kv.write(name, seen, fields).await?))
    }

    /// Writes the book if it changed.
    async fn put_book(&self, entry: &StoreBinding, view: &mut View, book: Book) -> Result<(), StoreError> {
        if book == view.book {
            return Ok(());
        }
        let at = self.write(&VaultStore::book_name(entry), view.book_version, &book.to_fields()?).await?;
        view.book = book;
        view.book_version = at.version;
        Ok(())
    }

    /// Writes a generation to the second name.
    async fn write_waiting(
        &self,
        entry: &StoreBinding,
        view: &View,
        whole: &Whole<'_>,
    ) -> Result<At, StoreError> {
        let sha256 = whole.issued.certificate.thumbprints.sha256;
        let kept = Kept::new(whole.key, whole.issued, whole.record).to_text()?;
        let fields = Fields::from_iter([(format!("{OWN_FIELD}{sha256}"), Value::String(kept.to_string()))]);
        self.write(&VaultStore::next_name(entry), view.next.current_version, &fields).await
    }

    /// What a version keeps of ours, and all its fields.
    async fn kept(
        &self,
        name: &str,
        version: u64,
        sha256: &Sha256,
    ) -> Result<Option<(Kept, Fields)>, StoreError> {
        self.kept_in(name, version, &format!("{OWN_FIELD}{sha256}")).await
    }

    async fn kept_in(
        &self,
        name: &str,
        version: u64,
        field: &str,
    ) -> Result<Option<(Kept, Fields)>, StoreError> {
        let Some((_, fields)) = self.kv.read(name, Some(version)).await? else { return Ok(None) };
        let own = fields.get(field).and_then(Value::as_str);
        own.map(Kept::parse).transpose().map(|kept| kept.map(|kept| (kept, fields)))
    }

    /// Refuses a mount that is not version 2, before a key is written. Where the token may not ask, a write of the public records tells.
    async fn check_mount(&self, entry: &StoreBinding, view: &mut View) -> Result<(), StoreError> {
        match self.kv.is_version_2().await? {
            Some(true) => Ok(()),
            Some(false) => {
                let doing = format!("staging a key in {}", self.place(entry));
                Err(not_version_2(&doing, &self.kv.mount).into())
            }
            None => {
                let book = view.book.to_fields()?;
                let at = self.write(&VaultStore::book_name(entry), view.book_version, &book).await?;
                view.book_version = at.version;
                Ok(())
            }
        }
    }

    /// What a run left between value and record: taken up if it is of this rotation and another run may be at it now, else destroyed.
    /// What died there days ago would be due as soon as it is in use.
    async fn take_up_stray(
        &self,
        entry: &StoreBinding,
        view: &mut View,
        record: &PublicRecord,
    ) -> Result<Option<Generation>, StoreError> {
        let Some((version, sha256)) = view.stray.take() else { return Ok(None) };
        let name = VaultStore::next_name(entry);
        let kept = match &sha256 {
            Some(sha256) => self.kept(&name, version, sha256).await?,
            None => None,
        };
        let kept = kept.map(|(kept, _)| kept);
        let is_recent = |kept: &Kept| {
            record.requested_at.duration_since(kept.record.requested_at) < SignedDuration::from_hours(1)
        };
        let same = kept.filter(is_recent).filter(|kept| {
            kept.record.rotation_id.is_some()
                && kept.record.rotation_id == record.rotation_id
                && kept.record.thumbprints.is_some_and(|thumbprints| kept.open(&thumbprints).is_ok())
        });
        let Some(kept) = same else {
            self.kv.destroy(&name, version).await?;
            return Ok(None);
        };
        let created = view.next.versions.get(&version).map(|found| found.created_time.clone());
        let at = At { version, created: created.unwrap_or_default() };
        let pem = kept.record.thumbprints.map(|thumbprints| kept.open(&thumbprints)).transpose()?;
        let certificates = pem.map(|(_, issued)| certificates_pem(&issued).to_string()).unwrap_or_default();
        let mut book = view.book.clone();
        book.put(Page { next: vec![at], ..Page::new(&kept.record, certificates) });
        self.put_book(entry, view, book).await?;
        Ok(view.holding()?.of_rotation(record))
    }

    /// The fields of the entry that are not ours, to be written again.
    async fn siblings(&self, entry: &StoreBinding, view: &View) -> Result<Fields, StoreError> {
        let newest = view.live.current_version;
        if newest == 0 {
            return Ok(Fields::new());
        }
        let Some((_, mut fields)) = self.kv.read(&entry.entry, Some(newest)).await? else {
            return Ok(Fields::new());
        };
        let own: Vec<String> = fields.keys().filter(|name| is_own(name)).cloned().collect();
        for name in own {
            let kept = fields.remove(&name);
            let kept = kept.as_ref().and_then(Value::as_str).and_then(|text| Kept::parse(text).ok());
            for rendered in kept.iter().flat_map(|kept| kept.rendered_names()) {
                fields.remove(rendered);
            }
        }
        Ok(fields)
    }

    /// Destroys the copies that wait at the second name.
    async fn destroy_waiting(
        &self,
        entry: &StoreBinding,
        view: &View,
        sha256: &Sha256,
    ) -> Result<(), StoreError> {
        for (_, version) in view.copies(sha256).into_iter().filter(|(live, _)| !live) {
            self.kv.destroy(&VaultStore::next_name(entry), version).await?;
        }
        Ok(())
    }
}

fn texts(fields: &Fields) -> Vec<&str> {
    fields.values().filter_map(Value::as_str).collect()
}

fn is_own(field: &str) -> bool {
    field.strip_prefix(OWN_FIELD).is_some_and(|rest| rest.parse::<Sha256>().is_ok())
}

fn thumbprint(fields: &[String]) -> Option<Sha256> {
    fields.iter().find_map(|field| field.strip_prefix(OWN_FIELD)?.parse().ok())
}

#[async_trait]
impl StoreReader for VaultStore {
    fn shape(&self, _entry: &StoreBinding) -> Shape {
        Shape {
            staging: Staging::TwoSlot,
            readable: true,
            exportable: true,
            compare_and_set: true,
            atomic_records: false,
            removal: Removal::Destroys,
        }
    }

    async fn observe(&self, entry: &StoreBinding) -> ObservedStore {
        let view = self.view(entry).await;
        let seen = view.and_then(|view| Ok((view.holding()?, deletion::warnings(&view))));
        two_slot::observed(self.shape(entry), seen)
    }

    async fn issued(&self, entry: &StoreBinding, generation: &Generation) -> Result<Issued, StoreError> {
        let doing = "reading the certificate in";
        let view = self.view(entry).await?;
        let sha256 = generation.record.thumbprints.map(|thumbprints| thumbprints.sha256);
        let page = sha256.and_then(|sha256| view.book.page(&sha256));
        let page = page.filter(|page| !page.certificates.is_empty());
        issued(&page.ok_or_else(|| self.missing(doing, entry))?.certificates)
    }

    async fn requested(&self, entry: &StoreBinding, generation: &Generation) -> Result<Vec<u8>, StoreError> {
        two_slot::requested(self, entry, generation).await
    }

    fn signs_in(&self) -> Option<String> {
        Some(self.kv.vault.signs_in())
    }

    async fn may_write(&self, entry: &StoreBinding) -> Result<May, StoreError> {
        let (next, book) = (VaultStore::next_name(entry), VaultStore::book_name(entry));
        let path = |call: &str, name: &str| format!("{}/{call}/{name}", self.kv.mount);
        let written = [&entry.entry, &next, &book].map(|name| (path("data", name), WRITES));
        let destroyed = [&entry.entry, &next].map(|name| (path("destroy", name), UPDATES));
        let needed: Vec<(String, &[&str])> = written.into_iter().chain(destroyed).collect();
        let doing = format!("looking whether certroll may write {}", self.place(entry));
        Ok(self.kv.vault.may(self.kv.namespace.as_deref(), &needed, &doing).await?)
    }
}

#[async_trait]
impl TwoSlot for VaultStore {
    type View = View;

    fn place(&self, entry: &StoreBinding) -> String {
        format!("{}/{}", self.kv.mount, entry.entry)
    }

    /// Three requests where the records know everything that is there; one more for each name they do not.
    async fn view(&self, entry: &StoreBinding) -> Result<View, StoreError> {
        let (book_name, next_name) = (VaultStore::book_name(entry), VaultStore::next_name(entry));
        let (book, live, next) = join3(
            self.kv.read(&book_name, None),
            self.kv.metadata(&entry.entry),
            self.kv.metadata(&next_name),
        )
        .await;
        // In this order whichever came first, so that the same trouble is told in the same words.
        let (book, live, next) = (book?, live?, next?);
        let (book_version, book) = match book {
            Some((version, fields)) => (version, Book::parse(&fields)?),
            // A deleted book still counts its versions.
            None => (self.kv.metadata(&book_name).await?.current_version, Book::default()),
        };
        let now = self.kv.vault.service().way().clock.now();
        let mut view =
            View { book, book_version, live, next, live_is: None, live_is_beside: false, stray: None, now };
        if !view.knows_live() {
            let names = self.kv.field_names(&entry.entry, view.live.current_version).await?;
            view.live_is = thumbprint(&names);
            let reads = entry.options.fields_of(&entry.form);
            let reads = |field: &String| reads.iter().any(|(_, read)| read == field);
            view.live_is_beside = !names.is_empty() && !names.iter().any(|name| reads(name) || is_own(name));
        }
        if let Some(version) = view.unbooked_next() {
            let names = self.kv.field_names(&next_name, version).await?;
            if names.iter().any(|name| !is_own(name) && name != pending::FIELD) {
                return Err(self.not_ours(entry, &format!("{}/{next_name}", self.kv.mount)));
            }
            // A rival may have destroyed it meanwhile; then there is nothing to take up.
            view.stray = (!names.is_empty()).then(|| (version, thumbprint(&names)));
        }
        Ok(view)
    }

    async fn open(
        &self,
        doing: &str,
        entry: &StoreBinding,
        view: &View,
        generation: &Generation,
    ) -> Result<(PrivateKey, Issued), StoreError> {
        let thumbprints = self.thumbprints(doing, entry, &generation.record)?;
        let sha256 = thumbprints.sha256;
        let gone = || self.error(StoreErrorKind::Missing, doing, entry, "the generation's key is gone");
        let (live, version) = *view.copies(&sha256).last().ok_or_else(gone)?;
        let kept = self.kept(&self.named(entry, live), version, &sha256).await?;
        let Some((kept, fields)) = kept else {
            let fields = match generation.record.rotation_id {
                Some(_) => None,
                None => self.kv.read(&self.named(entry, live), Some(version)).await?,
            };
            return fields.and_then(|(_, fields)| identity_in(&texts(&fields), &sha256)).ok_or_else(|| {
                let reason = "the value holds nothing of certroll's: it was changed by hand";
                self.error(StoreErrorKind::Corrupt, doing, entry, reason)
            });
        };
        if view.current()? == Some(Current::Recorded(sha256)) {
            kept.check_rendered(|name| fields.get(name).and_then(Value::as_str))?;
        }
        kept.open(&thumbprints)
    }

    async fn open_alone(
        &self,
        doing: &str,
        entry: &StoreBinding,
        view: &View,
        waiting: &Generation,
    ) -> Result<PrivateKey, StoreError> {
        self.open_pending(doing, entry, view, waiting).await
    }

    async fn write_staged(
        &self,
        entry: &StoreBinding,
        mut view: View,
        whole: &Whole<'_>,
    ) -> Result<Generation, StoreError> {
        let Whole { issued, record, .. } = *whole;
        if let Some(taken_up) = self.take_up_stray(entry, &mut view, record).await? {
            return Ok(taken_up);
        }
        self.check_mount(entry, &mut view).await?;
        let at = self.write_waiting(entry, &view, whole).await?;
        let mut book = view.book.clone();
        book.put(Page { next: vec![at], ..Page::new(record, certificates_pem(issued).to_string()) });
        self.put_book(entry, &mut view, book).await?;
        let handle = issued.certificate.thumbprints.sha256.to_string();
        Ok(Generation { handle, record: record.clone(), key: KeyState::Held })
    }

    async fn write_alone(
        &self,
        entry: &StoreBinding,
        view: View,
        key: &PrivateKey,
        csr: &[u8],
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        self.write_pending(entry, view, key, csr, record).await
    }

    async fn write_attached(
        &self,
        entry: &StoreBinding,
        view: View,
        waiting: &Generation,
        whole: &Whole<'_>,
    ) -> Result<(), StoreError> {
        self.write_answered(entry, view, waiting, whole).await
    }

    async fn write_live(
        &self,
        entry: &StoreBinding,
        mut view: View,
        whole: &Whole<'_>,
        password: Option<&Secret>,
    ) -> Result<View, StoreError> {
        let Whole { key, issued, record } = *whole;
        let sha256 = issued.certificate.thumbprints.sha256;
        let mut book = view.book.clone();
        // A time of an earlier promotion would make the overlap look older than it is, should this be the last thing that is done.
        if let Some(page) = book.page_mut(&sha256)
            && page.record.promoted_at.take().is_some()
        {
            self.put_book(entry, &mut view, book.clone()).await?;
        }
        let mut fields = self.siblings(entry, &view).await?;
        let mut kept = Kept::new(key, issued, record);
        let names = FieldNames::new(&entry.options.fields);
        let stem = entry.entry.rsplit('/').next().unwrap_or(&entry.entry);
        for (name, text) in kept.render(&entry.form, &names, password, stem)? {
            fields.insert(name, Value::String(text.to_string()));
        }
        fields.insert(format!("{OWN_FIELD}{sha256}"), Value::String(kept.to_text()?.to_string()));
        let at = self.write(&entry.entry, view.live.current_version, &fields).await?;
        let page = book.page_mut(&sha256).ok_or_else(|| self.missing("promoting in", entry))?;
        page.record = record.clone();
        page.live.push(at);
        self.put_book(entry, &mut view, book).await?;
        self.destroy_waiting(entry, &view, &sha256).await?;
        self.view(entry).await
    }

    async fn finish_live(
        &self,
        entry: &StoreBinding,
        mut view: View,
        thumbprints: &Thumbprints,
        record: Option<&PublicRecord>,
    ) -> Result<View, StoreError> {
        let sha256 = thumbprints.sha256;
        let mut book = view.book.clone();
        let newest = view.live.current_version;
        let page = book.page_mut(&sha256).ok_or_else(|| self.missing("promoting in", entry))?;
        if let Some(record) = record {
            page.record = record.clone();
        }
        // A run that died between value and record left the version unknown to the book.
        if let Some(found) = view.live.versions.get(&newest)
            && !page.live.iter().any(|at| at.version == newest && at.created == found.created_time)
        {
            page.live.push(At { version: newest, created: found.created_time.clone() });
        }
        self.put_book(entry, &mut view, book).await?;
        self.destroy_waiting(entry, &view, &sha256).await?;
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
        let version = view.live.current_version;
        let value = self.kv.read(&entry.entry, Some(version)).await?;
        let found = value.and_then(|(_, fields)| issued_in(&texts(&fields), &thumbprints.sha256));
        let found = found.ok_or_else(|| self.missing("writing the record of", entry))?;
        let created = view.live.versions.get(&version).map(|found| found.created_time.clone());
        let at = At { version, created: created.unwrap_or_default() };
        let mut book = view.book.clone();
        book.put(Page { live: vec![at], ..Page::new(record, certificates_pem(&found).to_string()) });
        self.put_book(entry, &mut view, book).await
    }

    async fn take(
        &self,
        entry: &StoreBinding,
        mut view: View,
        _generation: &Generation,
        thumbprints: &Thumbprints,
    ) -> Result<(), StoreError> {
        for (live, version) in view.copies(&thumbprints.sha256) {
            self.kv.destroy(&self.named(entry, live), version).await?;
        }
        for version in view.unbooked_live() {
            let names = self.kv.field_names(&entry.entry, version).await?;
            if thumbprint(&names) == Some(thumbprints.sha256) {
                self.kv.destroy(&entry.entry, version).await?;
            }
        }
        let mut book = view.book.clone();
        if let Some(page) = book.page_mut(&thumbprints.sha256) {
            page.record.phase = RecordedPhase::Retired;
        }
        self.put_book(entry, &mut view, book).await
    }

    async fn take_alone(
        &self,
        entry: &StoreBinding,
        view: View,
        waiting: &Generation,
    ) -> Result<(), StoreError> {
        self.take_pending(entry, view, waiting).await
    }
}
