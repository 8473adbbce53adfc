//! A store of the two-slot shape without atomic records, after HashiCorp Vault's KV v2 (API documentation: KV secrets
//! engine v2): what consumers read is the newest version of a name, so a successor waits under a second name; values are
//! written whole; metadata is per name and a second request; old versions go away by number.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use certroll::certificate::Certificate;
use certroll::desired::StoreBinding;
use certroll::form::render;
use certroll::ids::Sha256;
use certroll::issuer::Issued;
use certroll::key::{LocalSigner, PrivateKey, Secret, Signer};
use certroll::observed::record::{PublicRecord, RecordedPhase};
use certroll::observed::{
    Current, Generation, Holding, KeyState, ObservedStore, Removal, Shape, Staging, StoreState,
};
use certroll::store::{StoreError, StoreErrorKind, StoreReader, StoreWriter};
use zeroize::Zeroizing;

use crate::support::trouble::Trouble;

/// Versions of a name that are kept; the next write destroys the oldest.
const VERSIONS_MAX: usize = 4;

/// A value: fields by name, written and read whole. Field names can be listed without the values (`subkeys`).
pub type Value = BTreeMap<String, Vec<u8>>;

#[derive(Debug, Default)]
struct Item {
    newest: u64,
    /// `None`: destroyed.
    versions: BTreeMap<u64, Option<Value>>,
    metadata: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Service {
    items: BTreeMap<String, Item>,
    values_read: u64,
}

/// The service all processes talk to. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct SlotService(Arc<Mutex<Service>>);

/// What the service tells of a name without its values.
struct Listing {
    newest: u64,
    /// Field names of each version that is not destroyed.
    fields: BTreeMap<u64, Vec<String>>,
    metadata: BTreeMap<String, String>,
}

impl SlotService {
    fn lock(&self) -> MutexGuard<'_, Service> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What a consumer gets: the newest version of a name.
    pub fn consume(&self, name: &str) -> Option<Value> {
        let service = self.lock();
        let item = service.items.get(name)?;
        item.versions.get(&item.newest)?.clone()
    }

    /// Somebody writes a value, asking nobody.
    pub fn write_by_hand(&self, name: &str, value: Value) {
        self.lock().write(name, None, value).unwrap();
    }

    /// Somebody deletes a name with all its versions, and the one its successors wait under.
    pub fn forget(&self, name: &str) {
        let mut service = self.lock();
        service.items.remove(name);
        service.items.remove(&format!("{name}-next"));
    }

    /// How often a value was handed out to the store.
    pub fn values_read(&self) -> u64 {
        self.lock().values_read
    }

    /// Everything there is, for comparing.
    pub fn snapshot(&self) -> String {
        format!("{:?}", self.lock().items)
    }
}

impl Service {
    fn write(&mut self, name: &str, cas: Option<u64>, value: Value) -> Result<u64, StoreError> {
        let item = self.items.entry(name.into()).or_default();
        if cas.is_some_and(|cas| cas != item.newest) {
            let reason = "400 check-and-set parameter did not match the current version";
            return Err(error(StoreErrorKind::Rival, reason));
        }
        item.newest += 1;
        item.versions.insert(item.newest, Some(value));
        while item.versions.len() > VERSIONS_MAX {
            item.versions.pop_first();
        }
        Ok(item.newest)
    }
}

/// The store: one process's way to the service.
#[derive(Debug, Clone)]
pub struct TwoSlot {
    service: SlotService,
    trouble: Arc<Trouble>,
    check_and_set: bool,
}

const KEY_FIELD: &str = "certroll-key";
const CERTIFICATES_FIELD: &str = "certroll-certificates";
/// A field of this name with nothing in it: the thumbprint, to be seen without the values.
const THUMBPRINT_FIELD: &str = "certroll-sha256-";

/// A version of one of the two names that holds a generation of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    live: bool,
    version: u64,
}

/// Both names as they are.
struct View {
    live: Listing,
    next: Listing,
}

impl View {
    fn places(&self) -> Vec<(Place, Option<Sha256>)> {
        let places = |listing: &Listing, live: bool| -> Vec<(Place, Option<Sha256>)> {
            let each = listing.fields.iter();
            each.map(|(version, fields)| (Place { live, version: *version }, thumbprint(fields))).collect()
        };
        [places(&self.next, false), places(&self.live, true)].concat()
    }

    /// Where the generation's key is, the best place last: waiting, formerly live, live.
    fn copies(&self, sha256: &Sha256) -> Vec<Place> {
        let ours = self.places().into_iter().filter(|(_, found)| found.as_ref() == Some(sha256));
        ours.map(|(place, _)| place).collect()
    }

    fn records(&self) -> Result<Vec<PublicRecord>, StoreError> {
        let each = self.live.metadata.values();
        let parse = |text: &String| {
            serde_json::from_str(text).map_err(|e| error(StoreErrorKind::Corrupt, &format!("no record: {e}")))
        };
        each.map(parse).collect()
    }

    fn holding(&self) -> Result<Holding, StoreError> {
        let mut generations = Vec::new();
        for record in self.records()? {
            let Some(thumbprints) = record.thumbprints else { continue };
            let copies = self.copies(&thumbprints.sha256);
            let (handle, key) = match copies.last() {
                Some(place) => (format!("{}@{}", slot(place.live), place.version), KeyState::Held),
                None => (format!("gone-{}", thumbprints.sha1), KeyState::Destroyed),
            };
            generations.push(Generation { handle, record, key });
        }
        generations
            .sort_by(|a, b| (a.record.requested_at, &a.handle).cmp(&(b.record.requested_at, &b.handle)));
        Ok(Holding { current: self.current(&generations), generations })
    }

    fn current(&self, generations: &[Generation]) -> Option<Current> {
        let fields = self.live.fields.get(&self.live.newest)?;
        let sha256 = thumbprint(fields);
        let recorded =
            generations.iter().filter_map(|g| g.record.thumbprints).find(|t| Some(t.sha256) == sha256);
        Some(match recorded {
            Some(thumbprints) => Current::Recorded(thumbprints.sha256),
            None => Current::Unrecorded { thumbprints: None },
        })
    }
}

fn slot(live: bool) -> &'static str {
    if live { "live" } else { "next" }
}

fn thumbprint(fields: &[String]) -> Option<Sha256> {
    fields.iter().find_map(|field| field.strip_prefix(THUMBPRINT_FIELD)?.parse().ok())
}

fn error(kind: StoreErrorKind, reason: &str) -> StoreError {
    StoreError { kind, doing: "using the two-slot store".into(), reason: reason.into(), hint: None }
}

fn next_name(entry: &StoreBinding) -> String {
    format!("{}-next", entry.entry)
}

impl TwoSlot {
    /// A process's store.
    pub fn new(service: SlotService, trouble: Arc<Trouble>, check_and_set: bool) -> TwoSlot {
        TwoSlot { service, trouble, check_and_set }
    }

    // The service's calls. Each is one request that can fail, lose its answer or be the last thing a process does.

    fn list(&self, name: &str) -> Result<Listing, StoreError> {
        self.trouble.call("two-slot: list", || {
            let service = self.service.lock();
            let empty = Item::default();
            let item = service.items.get(name).unwrap_or(&empty);
            let held = item.versions.iter().filter_map(|(n, value)| Some((*n, value.as_ref()?)));
            let fields = held.map(|(n, value)| (n, value.keys().cloned().collect())).collect();
            Ok(Listing { newest: item.newest, fields, metadata: item.metadata.clone() })
        })
    }

    fn read(&self, name: &str, version: u64) -> Result<Value, StoreError> {
        self.trouble.call("two-slot: read value", || {
            let mut service = self.service.lock();
            service.values_read += 1;
            let value = service.items.get(name).and_then(|item| item.versions.get(&version)?.clone());
            value.ok_or_else(|| error(StoreErrorKind::Missing, "404 that version is gone"))
        })
    }

    fn write(&self, name: &str, seen: u64, value: Value) -> Result<u64, StoreError> {
        let cas = self.check_and_set.then_some(seen);
        self.trouble.call("two-slot: write value", || self.service.lock().write(name, cas, value))
    }

    fn destroy(&self, name: &str, version: u64) -> Result<(), StoreError> {
        self.trouble.call("two-slot: destroy version", || {
            if let Some(item) = self.service.lock().items.get_mut(name)
                && let Some(value) = item.versions.get_mut(&version)
            {
                *value = None;
            }
            Ok(())
        })
    }

    fn put_metadata(&self, name: &str, key: &str, text: String) -> Result<(), StoreError> {
        self.trouble.call("two-slot: write metadata", || {
            let mut service = self.service.lock();
            service.items.entry(name.into()).or_default().metadata.insert(key.into(), text);
            Ok(())
        })
    }

    // What the store makes of them.

    fn view(&self, entry: &StoreBinding) -> Result<View, StoreError> {
        Ok(View { next: self.list(&next_name(entry))?, live: self.list(&entry.entry)? })
    }

    fn name(&self, entry: &StoreBinding, place: Place) -> String {
        if place.live { entry.entry.clone() } else { next_name(entry) }
    }

    fn put_record(&self, entry: &StoreBinding, view: &View, record: &PublicRecord) -> Result<(), StoreError> {
        let Some(thumbprints) = record.thumbprints else {
            return Err(error(StoreErrorKind::Refused, "a record without certificate"));
        };
        let text = serde_json::to_string(record).unwrap();
        let key = thumbprints.sha256.to_string();
        if view.live.metadata.get(&key) == Some(&text) {
            return Ok(());
        }
        self.put_metadata(&entry.entry, &key, text)
    }

    fn open(
        &self,
        entry: &StoreBinding,
        view: &View,
        generation: &Generation,
    ) -> Result<(PrivateKey, Issued), StoreError> {
        let missing = || error(StoreErrorKind::Missing, "the generation's key is gone");
        let thumbprints = generation.record.thumbprints.ok_or_else(missing)?;
        let place = *view.copies(&thumbprints.sha256).last().ok_or_else(missing)?;
        let value = self.read(&self.name(entry, place), place.version)?;
        let (Some(key), Some(text)) = (value.get(KEY_FIELD), value.get(CERTIFICATES_FIELD)) else {
            return Err(error(StoreErrorKind::Corrupt, "the value has no key"));
        };
        let key = PrivateKey::from_pkcs8(Zeroizing::new(key.clone()));
        let mut certificates =
            Certificate::all_from_pem(text).map_err(|e| error(StoreErrorKind::Corrupt, &e.to_string()))?;
        let issued = Issued { certificate: certificates.remove(0), chain: certificates };
        if issued.certificate.thumbprints != thumbprints || !issued.certificate.matches_key(&key) {
            return Err(error(StoreErrorKind::Corrupt, "the value is not what its thumbprint says"));
        }
        Ok((key, issued))
    }

    /// Destroys what waits without a record: the remains of a run that died between value and record.
    fn sweep(&self, entry: &StoreBinding, view: &View) -> Result<(), StoreError> {
        let recorded: Vec<Sha256> =
            view.records()?.iter().filter_map(|record| record.thumbprints.map(|t| t.sha256)).collect();
        for (place, sha256) in view.places() {
            let known = sha256.is_some_and(|sha256| recorded.contains(&sha256));
            if !place.live && !known {
                self.destroy(&next_name(entry), place.version)?;
            }
        }
        Ok(())
    }

    /// Of several generations of one rotation the one that waited first counts, whoever looks.
    fn of_rotation(holding: &Holding, record: &PublicRecord) -> Option<Generation> {
        let same = |g: &&Generation| {
            g.record.rotation_id.is_some()
                && g.record.rotation_id == record.rotation_id
                && g.key == KeyState::Held
        };
        holding.generations.iter().filter(same).min_by_key(|g| version_of(&g.handle)).cloned()
    }
}

fn version_of(handle: &str) -> u64 {
    handle.rsplit('@').next().and_then(|n| n.parse().ok()).unwrap_or(u64::MAX)
}

fn value_of(key: &PrivateKey, issued: &Issued) -> Value {
    let chain: String =
        std::iter::once(&issued.certificate).chain(&issued.chain).map(Certificate::to_pem).collect();
    let thumbprint = format!("{THUMBPRINT_FIELD}{}", issued.certificate.thumbprints.sha256);
    Value::from([
        (KEY_FIELD.into(), key.expose_pkcs8().to_vec()),
        (CERTIFICATES_FIELD.into(), chain.into_bytes()),
        (thumbprint, vec![]),
    ])
}

#[async_trait]
impl StoreReader for TwoSlot {
    fn shape(&self, _entry: &StoreBinding) -> Shape {
        Shape {
            staging: Staging::TwoSlot,
            readable: true,
            exportable: true,
            compare_and_set: self.check_and_set,
            atomic_records: false,
            removal: Removal::Destroys,
        }
    }

    async fn observe(&self, entry: &StoreBinding) -> ObservedStore {
        let holding = self.view(entry).and_then(|view| view.holding());
        let state = match holding {
            Ok(holding) if holding == Holding::default() => StoreState::Absent,
            Ok(holding) => StoreState::Known(holding),
            Err(error) => StoreState::Unreadable { reason: error.reason },
        };
        ObservedStore { shape: self.shape(entry), state, warnings: vec![], damage: vec![] }
    }

    async fn issued(&self, entry: &StoreBinding, generation: &Generation) -> Result<Issued, StoreError> {
        let view = self.view(entry)?;
        self.open(entry, &view, generation).map(|(_, issued)| issued)
    }
}

#[async_trait]
impl StoreWriter for TwoSlot {
    async fn stage(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        let view = self.view(entry)?;
        if let Some(staged) = TwoSlot::of_rotation(&view.holding()?, record) {
            return Ok(staged);
        }
        self.sweep(entry, &view)?;
        let version = self.write(&next_name(entry), view.next.newest, value_of(key, issued))?;
        self.put_record(entry, &view, record)?;
        // Without check-and-set somebody may have staged at the same time: look again, and agree on one.
        let after = self.view(entry)?;
        let chosen = TwoSlot::of_rotation(&after.holding()?, record)
            .ok_or_else(|| error(StoreErrorKind::Rival, "what was staged is gone"))?;
        if chosen.record.thumbprints != record.thumbprints {
            self.destroy(&next_name(entry), version)?;
            self.put_record(
                entry,
                &after,
                &PublicRecord { phase: RecordedPhase::Retired, ..record.clone() },
            )?;
        }
        Ok(chosen)
    }

    async fn signer(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
    ) -> Result<Box<dyn Signer>, StoreError> {
        let view = self.view(entry)?;
        let (key, issued) = self.open(entry, &view, generation)?;
        let signer = LocalSigner::new(&key, issued.certificate);
        Ok(Box::new(signer.map_err(|e| error(StoreErrorKind::Corrupt, &e.to_string()))?))
    }

    async fn export(&self, entry: &StoreBinding, generation: &Generation) -> Result<PrivateKey, StoreError> {
        let view = self.view(entry)?;
        self.open(entry, &view, generation).map(|(key, _)| key)
    }

    async fn promote(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        expected: Option<&Current>,
        password: Option<&Secret>,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        let view = self.view(entry)?;
        let holding = view.holding()?;
        let sha256 = generation.record.thumbprints.map(|t| t.sha256);
        let held = holding.generations.iter().find(|g| g.record.thumbprints.map(|t| t.sha256) == sha256);
        let held = held.ok_or_else(|| error(StoreErrorKind::Missing, "there is no such generation"))?;
        if held.record.rejected {
            return Err(error(StoreErrorKind::Refused, "it was rolled back from"));
        }
        let is_current = holding.current_generation().map(|g| &g.handle) == Some(&held.handle);
        if is_current {
            if held.record.phase != RecordedPhase::Promoted || held.record.promoted_at.is_none() {
                self.put_record(entry, &view, record)?;
            }
        } else {
            if holding.current.as_ref() != expected {
                return Err(error(StoreErrorKind::Rival, "somebody else changed what is current"));
            }
            let (key, issued) = self.open(entry, &view, held)?;
            if held.record.promoted_at.is_some() {
                let forgotten = PublicRecord { promoted_at: None, ..held.record.clone() };
                self.put_record(entry, &view, &forgotten)?;
            }
            let mut value = value_of(&key, &issued);
            let files = render(&entry.form, &key, &issued, password, "app")
                .map_err(|e| error(StoreErrorKind::Refused, &e.to_string()))?;
            value.extend(files.into_iter().map(|file| (file.name, file.contents.to_vec())));
            let version = self.write(&entry.entry, view.live.newest, value)?;
            self.put_record(entry, &self.view(entry)?, record)?;
            let after = self.view(entry)?;
            if (version, after.live.newest) != (view.live.newest + 1, version) {
                return Err(error(StoreErrorKind::Rival, "somebody else wrote at the same time"));
            }
        }
        // The waiting copy is no longer needed.
        let after = self.view(entry)?;
        for place in after.copies(&sha256.unwrap_or(Sha256([0; 32]))).into_iter().filter(|place| !place.live)
        {
            self.destroy(&next_name(entry), place.version)?;
        }
        let now = self.view(entry)?.holding()?;
        let found = now.generations.into_iter().find(|g| g.record.thumbprints.map(|t| t.sha256) == sha256);
        found.ok_or_else(|| error(StoreErrorKind::Missing, "the generation is gone"))
    }

    async fn write_record(&self, entry: &StoreBinding, record: &PublicRecord) -> Result<(), StoreError> {
        let view = self.view(entry)?;
        let known = view.holding()?.generations.iter().any(|g| g.record.thumbprints == record.thumbprints);
        let live = view.live.fields.get(&view.live.newest).and_then(|fields| thumbprint(fields));
        let adopted = live.is_some() && live == record.thumbprints.map(|thumbprints| thumbprints.sha256);
        if !known && !adopted {
            return Err(error(StoreErrorKind::Missing, "there is no such generation"));
        }
        self.put_record(entry, &view, record)
    }

    async fn remove(&self, entry: &StoreBinding, generation: &Generation) -> Result<KeyState, StoreError> {
        let view = self.view(entry)?;
        let holding = view.holding()?;
        let missing = || error(StoreErrorKind::Missing, "there is no such generation");
        let thumbprints = generation.record.thumbprints.ok_or_else(missing)?;
        let held = holding.generation(&thumbprints.sha256).ok_or_else(missing)?;
        if holding.current == Some(Current::Recorded(thumbprints.sha256)) {
            return Err(error(StoreErrorKind::Refused, "it is what consumers read"));
        }
        for place in view.copies(&thumbprints.sha256) {
            self.destroy(&self.name(entry, place), place.version)?;
        }
        self.put_record(
            entry,
            &view,
            &PublicRecord { phase: RecordedPhase::Retired, ..held.record.clone() },
        )?;
        Ok(KeyState::Destroyed)
    }
}
