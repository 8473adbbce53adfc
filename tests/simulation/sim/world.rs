//! The world of one history: an emulated tenant, stores, delivery places, virtual time. What goes on in it is told in `life`; what must
//! never happen in it is watched in `oracles`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certroll::backends::shipped::{Connections, ShippedReaders};
use certroll::desired::{Desired, StoreBinding, Tenant};
use certroll::edges::{Readers, Trouble as EdgeTrouble, TroubleKind};
use certroll::emulator::{Emulator, Kind};
use certroll::form::{read_pem, read_pfx};
use certroll::issuer::Issued;
use certroll::key::{PrivateKey, Secret};
use certroll::observed::{Generation, StoreState};
use certroll::settings::Settings;
use certroll::store::StoreReader;
use certroll::store::file::FileStore;
use futures_util::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use super::coverage::Coverage;
use super::declaration::{Declaration, TENANTS};
use super::lurking::Lurking;
use super::oracles::Oracles;
use super::services::{self, Services, is_shipped};
use crate::support::ca::TestCa;
use crate::support::deliveries::WriteOnlyDelivery;
use crate::support::stores::{AppendIsLive, SlotService, TwoSlot, VaultService};
use crate::support::trouble::Trouble;

/// Everything there is. Shared by all processes of the history.
pub struct World {
    pub seed: u64,
    pub emulator: Emulator,
    pub base: Timestamp,
    origin: Instant,
    folder: tempfile::TempDir,
    pub slots: SlotService,
    pub cas: SlotService,
    pub vault: VaultService,
    pub services: Services,
    pub ca: Arc<TestCa>,
    pub places: WriteOnlyDelivery,
    pub dealt: Arc<AtomicUsize>,
    pub settings: Settings,
    /// What the library logs.
    pub told: Arc<Told>,
    state: Mutex<State>,
}

/// Keeps what is written until somebody takes it.
#[derive(Debug, Default)]
pub struct Told(Mutex<Vec<u8>>);

impl Told {
    pub fn take(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut *self.0.lock().unwrap())).into_owned()
    }
}

impl std::io::Write for &Told {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What changes.
#[derive(Default)]
pub struct State {
    pub declaration: Declaration,
    pub log: Vec<String>,
    /// Thumbprints in the order they were first seen: the log names them K1, K2, …
    names: BTreeMap<String, usize>,
    pub oracles: Oracles,
    pub coverage: Coverage,
    /// Secrets made on the way, beside the pool's keys.
    pub passwords: Vec<String>,
    /// Processes that run now; each is told when it has company.
    pub running: BTreeMap<u32, Arc<AtomicBool>>,
    /// What others did that a run may notice.
    pub disturbances: u64,
    /// Lists written since the emulator was last told what to do wrong.
    pub writes: u64,
    /// What lies in wait for the runs to come.
    pub lurking: Vec<Lurking>,
    /// By certificate: the thumbprint of a key somebody made by hand.
    pub brought: BTreeMap<String, String>,
    /// By target: the object id of another one of the same name.
    pub doubles: BTreeMap<String, Uuid>,
    /// By place: what was last observed there.
    pub seen: BTreeMap<String, StoreState>,
    /// Those of them that consumers have from somewhere else, as long as the store offers nothing.
    pub elsewhere: BTreeMap<String, String>,
}

/// An entry of `keyCredentials` as it really is.
#[derive(Debug, Clone)]
pub struct Entry {
    /// SHA-1 thumbprint, hexadecimal, where the identifier is one.
    pub sha1: Option<String>,
    pub key_id: String,
    pub title: String,
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
    /// Without `key`.
    pub whole: Value,
}

impl Entry {
    fn of(value: &Value) -> Entry {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let bytes = STANDARD.decode(text("customKeyIdentifier")).unwrap_or_default();
        let mut whole = value.clone();
        whole["key"] = Value::Null;
        Entry {
            sha1: (bytes.len() == 20).then(|| hex(&bytes)),
            key_id: text("keyId"),
            title: text("displayName"),
            start: text("startDateTime").parse().ok(),
            end: text("endDateTime").parse().ok(),
            whole,
        }
    }

    /// Whether the marker says that it is this declaration's.
    pub fn is_ours(&self) -> bool {
        self.title.starts_with("certroll:platform-team/")
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// What a consumer gets from a store.
pub struct Identity {
    pub key: Option<PrivateKey>,
    pub issued: Issued,
}

impl Identity {
    pub fn sha1(&self) -> String {
        self.issued.certificate.thumbprints.sha1.to_string().to_uppercase()
    }
}

impl World {
    pub fn new(seed: u64, start: Timestamp) -> World {
        let emulator = Emulator::in_memory(start, seed);
        // Our own identity is there before the first look, which may change nothing.
        TENANTS.iter().for_each(|(_, id)| _ = emulator.operator(*id));
        // In memory where the system has such a place: thousands of small files are forced to the disk.
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        // Fewer reads in a row than an operator would have: each of them is the same code again.
        let settings = Settings { reads_after_write: 3, ..Settings::default() };
        World {
            seed,
            emulator,
            base: start,
            origin: Instant::now(),
            folder: folder.unwrap(),
            slots: SlotService::default(),
            cas: SlotService::default(),
            vault: VaultService::default(),
            services: Services::new(),
            ca: Arc::new(TestCa::new()),
            places: WriteOnlyDelivery::new(Trouble::quiet()),
            dealt: Arc::default(),
            settings,
            told: Arc::default(),
            state: Mutex::default(),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The world's time.
    pub fn now(&self) -> Timestamp {
        self.base + SignedDuration::try_from(self.origin.elapsed()).unwrap()
    }

    /// Brings the emulator to the world's time and returns it.
    pub fn sync(&self) -> Timestamp {
        let now = self.now();
        self.emulator.advance_to(now);
        now
    }

    pub async fn wait(&self, seconds: i64) {
        tokio::time::sleep(std::time::Duration::from_secs(seconds.max(0) as u64)).await;
        self.sync();
    }

    /// Writes a line of the log. Names no thumbprint, key id or path that differs from machine to machine.
    pub fn log(&self, text: impl AsRef<str>) {
        let now = self.now();
        let folder = self.folder.path().display().to_string();
        let mut state = self.state();
        let text = text.as_ref().replace(&folder, "…");
        state.log.push(format!("{} {text}", now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")));
    }

    /// A promise is broken.
    pub fn violation(&self, text: impl Into<String>) {
        let text = text.into();
        self.log(format!("VIOLATION {text}"));
        self.state().oracles.violations.push(text);
    }

    /// The short name of a thumbprint.
    pub fn name(&self, sha1: &str) -> String {
        self.state().name(sha1)
    }

    pub fn desired(&self) -> Result<Desired, String> {
        let declaration = self.state().declaration.clone();
        declaration.load(self.folder.path())
    }

    /// Whether the target can be found and signed in to, as far as strangers have not deleted or disabled it.
    pub fn is_there(&self, target: &str) -> bool {
        let Some(target) = self.state().declaration.targets.get(target).cloned() else { return false };
        let live = |kind, id| self.emulator.object(target.tenant_id, kind, id);
        let own = if target.service_principal { Kind::ServicePrincipal } else { Kind::Application };
        let Some(object) = live(own, target.object_id) else { return false };
        let Some(principal) = live(Kind::ServicePrincipal, target.app_id) else { return false };
        object["isDisabled"] != Value::Bool(true) && principal["accountEnabled"] != Value::Bool(false)
    }

    /// The name of the target with that object id.
    pub fn target_with(&self, object_id: Uuid) -> Option<String> {
        let state = self.state();
        let found = state.declaration.targets.iter().find(|(_, target)| target.object_id == object_id);
        found.map(|(name, _)| name.clone())
    }

    /// Notes that a process runs; the flag is set as soon as another one does too.
    pub fn enter(&self, number: u32, company: Arc<AtomicBool>) {
        let state = &mut *self.state();
        let (running, coverage) = (&mut state.running, &mut state.coverage);
        if !running.is_empty() {
            coverage.hit("fault", "two processes at a time");
            company.store(true, Ordering::Relaxed);
            running.values().for_each(|other| other.store(true, Ordering::Relaxed));
        }
        running.insert(number, company);
    }

    pub fn leave(&self, number: u32) {
        self.state().running.remove(&number);
    }

    /// The entries of a target as they really are.
    pub fn entries(&self, target: &str) -> Vec<Entry> {
        let Some(found) = self.state().declaration.targets.get(target).cloned() else { return Vec::new() };
        let kind = if found.service_principal { Kind::ServicePrincipal } else { Kind::Application };
        self.entries_of(found.tenant_id, kind, found.object_id)
    }

    pub fn entries_of(&self, tenant: Uuid, kind: Kind, id: Uuid) -> Vec<Entry> {
        let Some(object) = self.emulator.object(tenant, kind, id) else { return Vec::new() };
        object["keyCredentials"].as_array().map(|all| all.iter().map(Entry::of).collect()).unwrap_or_default()
    }

    /// What consumers of the certificate's store read now, with the key where it can be read.
    pub fn read(&self, certificate: &str) -> Option<Identity> {
        let (store, entry) = self.place_of(certificate)?;
        let identity = match store.as_str() {
            "files" => self.read_files(&entry)?,
            "slots" => from_slot(&self.slots, &entry)?,
            "cas" => from_slot(&self.cas, &entry)?,
            "vault" => {
                let (certificate, _) = self.vault.consume(&entry, b"whoever")?;
                Identity { key: None, issued: Issued { certificate, chain: Vec::new() } }
            }
            shipped => {
                let found = self.services.read(shipped, &entry, |text| self.state().remember(text))?;
                match found {
                    Ok(identity) => identity,
                    Err(error) => {
                        self.violation(format!("P1 what consumers of {certificate} read is no key: {error}"));
                        return None;
                    }
                }
            }
        };
        Some(identity)
    }

    /// Store and entry of a certificate.
    pub(super) fn place_of(&self, certificate: &str) -> Option<(String, String)> {
        let state = self.state();
        let says = |key| state.declaration.says(certificate, key).map(str::to_owned);
        Some((says("store")?, says("entry").unwrap_or_else(|| certificate.to_owned())))
    }

    fn read_files(&self, certificate: &str) -> Option<Identity> {
        let current = self.folder.path().join("keys").join(certificate).join("current");
        // Resolved once, so that both files of a pair are of one generation.
        let current = std::fs::canonicalize(current).ok()?;
        let file = |extension: &str| std::fs::read(current.join(format!("{certificate}.{extension}"))).ok();
        let found = if let Some(text) = file("pem") {
            read_pem(&text)
        } else if let Some(bytes) = file("pfx") {
            let password = file("password").map(|text| Secret::new(String::from_utf8(text).unwrap()));
            if let Some(password) = &password {
                self.state().remember(password.expose());
            }
            read_pfx(&bytes, password.as_ref())
        } else if let (Some(mut text), Some(key)) = (file("crt"), file("key")) {
            text.extend(key);
            read_pem(&text)
        } else {
            return None;
        };
        match found {
            Ok(found) => Some(Identity {
                key: Some(found.key),
                issued: Issued { certificate: found.certificate, chain: found.chain },
            }),
            Err(error) => {
                self.violation(format!("P1 what consumers of {certificate} read is no key: {error}"));
                None
            }
        }
    }

    /// The thumbprint of what consumers read, without reading a key.
    pub fn offered(&self, certificate: &str) -> Option<String> {
        let (store, entry) = self.place_of(certificate)?;
        match store.as_str() {
            "files" => {
                let link = self.folder.path().join("keys").join(entry).join("current");
                let target = std::fs::read_link(link).ok()?;
                let name = target.file_name()?.to_str()?.to_owned();
                let told = name.rsplit('-').next()?.to_uppercase();
                // What was asked for before there was a certificate is named by its rotation.
                match told.len() {
                    40 => Some(told),
                    _ => self.read(certificate).map(|identity| identity.sha1()),
                }
            }
            shipped if is_shipped(shipped) => self
                .services
                .offered(shipped, &entry, || self.read(certificate).map(|identity| identity.sha1())),
            _ => self.read(certificate).map(|identity| identity.sha1()),
        }
    }

    /// Everything that looking must not change, as text.
    pub fn snapshot(&self) -> String {
        let mut text = String::new();
        for (_, tenant) in TENANTS {
            for kind in [Kind::Application, Kind::ServicePrincipal] {
                let objects = self.emulator.objects(tenant, kind);
                objects.iter().for_each(|object| text.push_str(&object.to_string()));
            }
        }
        text.push_str(&self.slots.snapshot());
        text.push_str(&self.cas.snapshot());
        text.push_str(&self.vault.snapshot());
        text.push_str(&self.services.snapshot());
        listing(&self.folder.path().join("keys"), &mut text);
        text
    }

    /// What somebody saw last in that entry, before what is seen now.
    pub fn last_seen(&self, entry: &StoreBinding, now: &StoreState) -> StoreState {
        let seen = &mut self.state().seen;
        let place = format!("{}/{}", entry.store, entry.entry);
        seen.insert(place, now.clone()).unwrap_or(StoreState::Absent)
    }

    /// What the store of a declared entry remembers of each generation.
    pub fn generations(&self, desired: &Desired, entry: &StoreBinding) -> Vec<Generation> {
        let observed = match entry.store.as_str() {
            "kube" => services::kubernetes(self.services.quiet(self.now())).observe(entry).now_or_never(),
            store if is_shipped(store) => {
                let reach = services::reach(self.services.quiet(self.now()));
                let nobody = |_: &Tenant| {
                    Err(EdgeTrouble::new(TroubleKind::Internal, "looking", "this is about stores alone"))
                };
                let readers = ShippedReaders::new(&Connections::new(desired, reach, nobody));
                let store = Readers::store(&readers, entry).unwrap();
                store.observe(entry).now_or_never()
            }
            "files" => {
                let store = FileStore::new(self.folder.path().join("keys")).on_this_thread();
                store.observe(entry).now_or_never()
            }
            "slots" => {
                TwoSlot::new(self.slots.clone(), Trouble::quiet(), false).observe(entry).now_or_never()
            }
            "cas" => TwoSlot::new(self.cas.clone(), Trouble::quiet(), true).observe(entry).now_or_never(),
            _ => AppendIsLive::new(self.vault.clone(), Trouble::quiet()).observe(entry).now_or_never(),
        };
        match observed.map(|observed| observed.state) {
            Some(StoreState::Known(holding)) => holding.generations,
            _ => Vec::new(),
        }
    }
}

impl State {
    pub fn name(&mut self, sha1: &str) -> String {
        let next = self.names.len() + 1;
        format!("K{}", self.names.entry(sha1.to_uppercase()).or_insert(next))
    }

    /// Remembers a secret that must not be seen anywhere else.
    pub fn remember(&mut self, password: &str) {
        if !self.passwords.iter().any(|known| known == password) {
            self.passwords.push(password.to_owned());
        }
    }
}

/// Names, kinds, sizes and times of change below a folder.
fn listing(folder: &std::path::Path, text: &mut String) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let found = path.symlink_metadata().unwrap();
        text.push_str(&format!("{} {} {:?}\n", path.display(), found.len(), found.modified().unwrap()));
        if found.is_dir() {
            listing(&path, text);
        }
    }
}

fn from_slot(service: &SlotService, certificate: &str) -> Option<Identity> {
    let value = service.consume(certificate)?;
    let mut text = value.get("certroll-certificates")?.clone();
    let certificates = certroll::certificate::Certificate::all_from_pem(&text).ok()?;
    let key = PrivateKey::from_pkcs8(value.get("certroll-key")?.clone().into());
    text.clear();
    let mut certificates = certificates.into_iter();
    Some(Identity {
        key: Some(key),
        issued: Issued { certificate: certificates.next()?, chain: certificates.collect() },
    })
}
