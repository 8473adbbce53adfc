//! A whole world in memory for tests of the applier: an emulated tenant, a clock that waiting moves, stores, deliveries, and a fuse
//! that kills the run before or after any effect.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use certroll::apply::events::{Event, Events};
use certroll::apply::outcome::Report;
use certroll::apply::{Cancel, Job, apply};
use certroll::backends::shipped::{Connection, Connections, Secrets, ShippedReaders, ShippedWriters};
use certroll::certificate::{KeyKind, SignatureHash};
use certroll::delivery::{DeliveryReader, DeliveryWriter};
use certroll::desired::{
    Cloud, Declared, Delivery, Desired, Form, Format, Issuer as DeclaredIssuer, Limit, Password, PfxProfile,
    Prove, Retire, SelectBy, Store, StoreBinding, StoreKind, StoreOptions, TargetSelector, Tenant, Timing,
};
use certroll::edges::{DirectoryReader, DirectoryWriter, Readers, SignIns, Trouble as EdgeTrouble, Writers};
use certroll::emulator::{Change, Emulator, Kind, NewApplication};
use certroll::entra::sign_in::Method;
use certroll::entra::{
    EmulatorTransport, EndpointOverrides, Endpoints, GraphClient, GraphSettings, Line, OwnCredential,
    Transport, TransportError,
};
use certroll::ids::{Address, Name, TargetKind, Thumbprints};
use certroll::issuer::self_signed::SelfSigned;
use certroll::issuer::{CertificateRequest, IssueError, Issued, Issuer, SubjectKey};
use certroll::key::{KeyError, PrivateKey, Secret, SignatureAlgorithm, Signer};
use certroll::observe::observe;
use certroll::observed::record::PublicRecord;
use certroll::observed::{
    Answer, Current, DeliveryState, Generation, Holding, KeyState, Observed, ObservedStore, Shape, StoreState,
};
use certroll::period::Period;
use certroll::plan::Plan;
use certroll::plan::guard;
use certroll::plan::planner::plan;
use certroll::plan::policy::Policy;
use certroll::random::SystemRandom;
use certroll::runtime::{Clock, Random};
use certroll::settings::Settings;
use certroll::store::file::FileStore;
use certroll::store::{KeyRequest, Pending, StoreError, StoreReader, StoreWriter};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

use super::by_hand::ByHand;
use super::ca::TestCa;
use super::deliveries::WriteOnlyDelivery;
use super::keys;
use super::reach::unreached;
use super::stores::{AppendIsLive, SlotService, TwoSlot, VaultService};
use super::trouble::Trouble;

pub const TENANT: Uuid = Uuid::from_u128(0x8f5e2c0a_1b2c_4d3e_9f40_51627384a5b6);

pub fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The emulator's clock. Whoever wakes first moves it; the others wait until it is their time, so that waiting at the same time takes
/// that time once.
#[derive(Clone)]
pub struct WorldClock {
    emulator: Emulator,
    sleepers: Arc<Mutex<BTreeSet<(Timestamp, usize)>>>,
    numbers: Arc<AtomicUsize>,
    /// Signers in memory now.
    pub held: Arc<AtomicUsize>,
    /// The most of them that were in memory when somebody began to wait.
    pub held_while_waiting: Arc<AtomicUsize>,
}

/// A signer that is counted.
struct Counted {
    inner: Box<dyn Signer>,
    held: Arc<AtomicUsize>,
}

#[async_trait]
impl Signer for Counted {
    fn certificate(&self) -> &certroll::certificate::Certificate {
        self.inner.certificate()
    }

    async fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, EdgeTrouble> {
        self.inner.sign(algorithm, message).await
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.held.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How many times others get their turn before the clock moves: more than any request takes.
const PATIENCE: usize = 60;

struct Sleeper<'c>(&'c WorldClock, (Timestamp, usize));

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.0.sleepers.lock().unwrap().remove(&self.1);
    }
}

#[async_trait]
impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        self.emulator.now()
    }

    async fn sleep(&self, duration: SignedDuration) {
        self.held_while_waiting.fetch_max(self.held.load(Ordering::SeqCst), Ordering::SeqCst);
        let until = self.now() + duration.max(SignedDuration::ZERO);
        let place = (until, self.numbers.fetch_add(1, Ordering::Relaxed));
        self.sleepers.lock().unwrap().insert(place);
        let _sleeper = Sleeper(self, place);
        let mut turns = 0;
        while self.now() < until {
            tokio::task::yield_now().await;
            turns += 1;
            let first = self.sleepers.lock().unwrap().first() == Some(&place);
            if first && turns > PATIENCE {
                self.emulator.advance_to(until);
            }
        }
    }
}

/// Real randomness, and keys from a pool, because making one takes long.
#[derive(Default)]
pub struct PoolRandom {
    made: AtomicUsize,
}

impl PoolRandom {
    /// As if so many key pairs had been made already.
    pub fn after(made: usize) -> PoolRandom {
        PoolRandom { made: AtomicUsize::new(made) }
    }
}

#[async_trait]
impl Random for PoolRandom {
    fn fill(&self, buffer: &mut [u8]) {
        SystemRandom.fill(buffer);
    }

    async fn key_pair(&self, _: KeyKind) -> Result<PrivateKey, KeyError> {
        tokio::task::yield_now().await;
        Ok(keys::key(self.made.fetch_add(1, Ordering::Relaxed)))
    }
}

/// Kills the run at a chosen point: from then on nothing it asked for ever returns.
#[derive(Default)]
pub struct Fuse {
    left: AtomicI64,
    passed: AtomicUsize,
    blown: Notify,
    armed: std::sync::atomic::AtomicBool,
}

impl Fuse {
    /// Dies at the nth point from now, counted from 0.
    pub fn arm(&self, point: usize) {
        self.left.store(point as i64, Ordering::SeqCst);
        self.passed.store(0, Ordering::SeqCst);
        self.armed.store(true, Ordering::SeqCst);
    }

    pub fn disarm(&self) {
        self.passed.store(0, Ordering::SeqCst);
        self.armed.store(false, Ordering::SeqCst);
    }

    /// Points passed since it was armed or disarmed.
    pub fn passed(&self) -> usize {
        self.passed.load(Ordering::SeqCst)
    }

    /// A point before or after an effect.
    async fn point(&self) {
        self.passed.fetch_add(1, Ordering::SeqCst);
        if self.armed.load(Ordering::SeqCst) && self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            self.blown.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// Requests under way at the same time, and the most there ever were.
#[derive(Default)]
pub struct Gauge {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Gauge {
    pub fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    fn enter(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

struct WorldTransport {
    inner: EmulatorTransport,
    fuse: Arc<Fuse>,
    gauge: Arc<Gauge>,
    bodies: Arc<Mutex<Vec<Value>>>,
}

#[async_trait]
impl Transport for WorldTransport {
    async fn send(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, TransportError> {
        self.fuse.point().await;
        self.gauge.enter();
        if request.method() == http::Method::PATCH {
            self.bodies.lock().unwrap().push(serde_json::from_slice(request.body()).unwrap());
        }
        let answer = self.inner.send(request).await;
        self.gauge.leave();
        self.fuse.point().await;
        answer
    }
}

/// Asking a person, and taking what came, behind the fuse.
struct FusedIssuer {
    inner: Arc<dyn Issuer>,
    fuse: Arc<Fuse>,
}

#[async_trait]
impl Issuer for FusedIssuer {
    async fn issue(&self, request: &CertificateRequest, key: SubjectKey<'_>) -> Result<Issued, IssueError> {
        self.fuse.point().await;
        let answer = self.inner.issue(request, key).await;
        self.fuse.point().await;
        answer
    }

    async fn ask(&self, csr: &[u8]) -> Result<(), IssueError> {
        self.fuse.point().await;
        let answer = self.inner.ask(csr).await;
        self.fuse.point().await;
        answer
    }
}

/// A store behind the fuse.
struct Fused<S: ?Sized> {
    inner: Arc<S>,
    held: Arc<AtomicUsize>,
    fuse: Arc<Fuse>,
    gauge: Arc<Gauge>,
}

impl<S: ?Sized> Fused<S> {
    async fn through<T>(&self, call: impl Future<Output = T>) -> T {
        self.fuse.point().await;
        self.gauge.enter();
        tokio::task::yield_now().await;
        let answer = call.await;
        self.gauge.leave();
        self.fuse.point().await;
        answer
    }
}

#[async_trait]
impl StoreReader for Fused<dyn StoreWriter> {
    fn shape(&self, entry: &StoreBinding) -> Shape {
        self.inner.shape(entry)
    }

    async fn observe(&self, entry: &StoreBinding) -> ObservedStore {
        self.through(self.inner.observe(entry)).await
    }

    async fn issued(&self, entry: &StoreBinding, generation: &Generation) -> Result<Issued, StoreError> {
        self.through(self.inner.issued(entry, generation)).await
    }

    async fn requested(&self, entry: &StoreBinding, generation: &Generation) -> Result<Vec<u8>, StoreError> {
        self.through(self.inner.requested(entry, generation)).await
    }
}

#[async_trait]
impl StoreWriter for Fused<dyn StoreWriter> {
    async fn stage(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        self.through(self.inner.stage(entry, key, issued, record)).await
    }

    async fn request(
        &self,
        entry: &StoreBinding,
        request: &KeyRequest,
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        self.through(self.inner.request(entry, request, record)).await
    }

    async fn keep_request(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        csr: &[u8],
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        self.through(self.inner.keep_request(entry, key, csr, record)).await
    }

    async fn attach(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        self.through(self.inner.attach(entry, generation, issued, record)).await
    }

    async fn signer(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
    ) -> Result<Box<dyn Signer>, StoreError> {
        let inner = self.through(self.inner.signer(entry, generation)).await?;
        self.held.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Counted { inner, held: Arc::clone(&self.held) }))
    }

    async fn export(&self, entry: &StoreBinding, generation: &Generation) -> Result<PrivateKey, StoreError> {
        self.through(self.inner.export(entry, generation)).await
    }

    async fn promote(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        expected: Option<&Current>,
        password: Option<&Secret>,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        self.through(self.inner.promote(entry, generation, expected, password, record)).await
    }

    async fn write_record(&self, entry: &StoreBinding, record: &PublicRecord) -> Result<(), StoreError> {
        self.through(self.inner.write_record(entry, record)).await
    }

    async fn remove(&self, entry: &StoreBinding, generation: &Generation) -> Result<KeyState, StoreError> {
        self.through(self.inner.remove(entry, generation)).await
    }
}

/// A delivery place behind the fuse.
struct FusedDelivery {
    inner: Arc<WriteOnlyDelivery>,
    fuse: Arc<Fuse>,
}

#[async_trait]
impl DeliveryReader for FusedDelivery {
    async fn observe(&self, delivery: &Delivery) -> DeliveryState {
        self.inner.observe(delivery).await
    }
}

#[async_trait]
impl DeliveryWriter for FusedDelivery {
    async fn deliver(
        &self,
        delivery: &Delivery,
        key: &PrivateKey,
        issued: &Issued,
        password: Option<&Secret>,
    ) -> Result<String, certroll::delivery::DeliveryError> {
        self.fuse.point().await;
        let answer = self.inner.deliver(delivery, key, issued, password).await;
        self.fuse.point().await;
        answer
    }
}

/// Remembers what was told.
#[derive(Default)]
pub struct Heard(Mutex<Vec<Event>>);

impl Events for Heard {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Heard {
    pub fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }
}

/// One secret for all who ask, if it is set.
struct OneSecret(Option<String>);

impl Secrets for OneSecret {
    fn secret(&self, _: &Password) -> Result<Option<Secret>, EdgeTrouble> {
        Ok(self.0.clone().map(Secret::new))
    }
}

/// Which store the certificates of the world are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelf {
    File,
    TwoSlot { check_and_set: bool },
    AppendIsLive,
}

/// The world.
pub struct World {
    pub emulator: Emulator,
    pub clock: WorldClock,
    pub random: PoolRandom,
    pub desired: Desired,
    pub policy: Policy,
    pub fuse: Arc<Fuse>,
    pub gauge: Arc<Gauge>,
    pub slots: Arc<Semaphore>,
    pub events: Heard,
    pub deliveries: Arc<WriteOnlyDelivery>,
    /// Bodies of all writes, in order.
    pub bodies: Arc<Mutex<Vec<Value>>>,
    pub algorithm: SignatureAlgorithm,
    /// What every source of a password holds.
    pub secret: Option<String>,
    shelf: Shelf,
    directory: tempfile::TempDir,
    slots_service: SlotService,
    vault_service: VaultService,
    ca: Arc<TestCa>,
    /// Who has requests signed, where an issuer is told so.
    pub by_hand: Option<ByHand>,
}

impl World {
    /// A tenant without applications.
    pub fn new(shelf: Shelf) -> World {
        let emulator = Emulator::in_memory(moment("2026-11-20T12:00:00Z"), 7);
        emulator.ensure_tenant(TENANT, None);
        let name: Name = "contoso".parse().unwrap();
        let tenant = Tenant {
            name: name.clone(),
            id: TENANT.to_string(),
            cloud: Cloud::Emulator,
            connection: None,
            max_issue: Limit::ISSUE_DEFAULT,
            max_retire: Limit::RETIRE_DEFAULT,
            freeze: Vec::new(),
            ignore: Vec::new(),
            origin: Default::default(),
        };
        let directory = tempfile::tempdir().unwrap();
        let store = Store {
            name: "shelf".parse().unwrap(),
            kind: StoreKind::File { directory: directory.path().join("keys") },
            connection: None,
            origin: Default::default(),
        };
        World {
            clock: WorldClock {
                emulator: emulator.clone(),
                sleepers: Arc::default(),
                numbers: Arc::default(),
                held: Arc::default(),
                held_while_waiting: Arc::default(),
            },
            emulator,
            random: PoolRandom::default(),
            desired: Desired {
                owner: "platform-team".parse().unwrap(),
                tenants: [(name, tenant)].into(),
                stores: [(store.name.clone(), store)].into(),
                certificates: BTreeMap::new(),
                moved: Vec::new(),
                removed: Vec::new(),
                acknowledgements: Vec::new(),
            },
            policy: Policy::default(),
            fuse: Arc::default(),
            gauge: Arc::default(),
            slots: Arc::new(Semaphore::new(8)),
            events: Heard::default(),
            deliveries: Arc::new(WriteOnlyDelivery::new(Trouble::quiet())),
            bodies: Arc::default(),
            algorithm: SignatureAlgorithm::default(),
            secret: None,
            shelf,
            directory,
            slots_service: SlotService::default(),
            vault_service: VaultService::default(),
            ca: Arc::new(TestCa::new()),
            by_hand: None,
        }
    }

    /// A tenant with one application and its declared certificate `backup`.
    pub fn with_one(shelf: Shelf) -> World {
        let mut world = World::new(shelf);
        world.declare("backup", &[]);
        world
    }

    /// Creates an application with those entries and declares a certificate on it. Returns its object id and client id.
    pub fn declare(&mut self, name: &str, entries: &[Value]) -> (Uuid, Uuid) {
        let application = NewApplication {
            display_name: name.to_owned(),
            key_credentials: entries.to_vec(),
            ..NewApplication::default()
        };
        let (object, app_id) = self.emulator.create_application(TENANT, application).unwrap();
        self.declare_on(name, TargetKind::Application, app_id);
        (object, app_id)
    }

    /// Declares a certificate on an object that is there.
    pub fn declare_on(&mut self, name: &str, kind: TargetKind, app_id: Uuid) {
        let address: Address = format!("contoso/{name}").parse().unwrap();
        let appends = self.shelf == Shelf::AppendIsLive;
        let declared = Declared {
            address: address.clone(),
            target: TargetSelector { kind, by: SelectBy::AppId(app_id) },
            consumer: None,
            description: name.to_owned(),
            key: KeyKind::Rsa2048,
            signature_hash: SignatureHash::Sha256,
            subject: format!("CN={name}"),
            validity: "P1Y".parse().unwrap(),
            timing: Timing::RotationPeriod(Period::days(180)),
            overlap: Period::days(14),
            spread: Period::days(0),
            windows: Vec::new(),
            freeze: Vec::new(),
            issuer: if appends {
                DeclaredIssuer::CaFile {
                    certificate: PathBuf::from("ca.cer"),
                    chain: None,
                    key: Password::Env("CERTROLL_SECRET_CA".into()),
                }
            } else {
                DeclaredIssuer::SelfSigned
            },
            store: Some(StoreBinding {
                store: "shelf".parse().unwrap(),
                entry: name.to_owned(),
                form: pem(),
                options: StoreOptions::default(),
            }),
            deliveries: Vec::new(),
            retire: Retire::AfterOverlap,
            unused_for: None,
            keep_retired: 1,
            prove: if appends { Prove::AfterPromotion } else { Prove::SignIn },
            acknowledge: false,
            warn_before: Period::days(30),
            alert_before: Period::days(14),
            adopt: Vec::new(),
            revoked: BTreeSet::new(),
            hold: None,
            drop_expired_foreign: BTreeSet::new(),
            ignore: Vec::new(),
            labels: BTreeMap::new(),
            origin: Default::default(),
        };
        self.desired.certificates.insert(address, declared);
    }

    pub fn declared(&mut self, name: &str) -> &mut Declared {
        self.desired.certificates.get_mut(&format!("contoso/{name}").parse().unwrap()).unwrap()
    }

    /// A new process: same services, nothing in memory.
    fn connections(&self) -> Connections {
        let operator = self.emulator.operator(TENANT);
        Connections::new(&self.desired, unreached(Arc::new(self.clock.clone())), |tenant| {
            let transport = WorldTransport {
                inner: EmulatorTransport::new(self.emulator.clone()),
                fuse: Arc::clone(&self.fuse),
                gauge: Arc::clone(&self.gauge),
                bodies: Arc::clone(&self.bodies),
            };
            let line = Line::new(
                Arc::new(transport),
                Arc::new(self.clock.clone()),
                Arc::new(SystemRandom),
                Endpoints::resolve(Cloud::Emulator, &EndpointOverrides::default()).unwrap(),
                Arc::clone(&self.slots),
            );
            let credential = OwnCredential {
                tenant: None,
                client_id: operator.client_id,
                method: Method::Secret(Secret::new(operator.client_secret.clone())),
                source: "the test".to_owned(),
            };
            let client = GraphClient::new(line.clone(), &tenant.id, credential, GraphSettings::default());
            Ok(Connection { line, client })
        })
    }

    fn edges(&self) -> WorldEdges<'_> {
        let connections = self.connections();
        WorldEdges {
            world: self,
            readers: ShippedReaders::new(&connections),
            writers: ShippedWriters::new(&connections, Arc::new(OneSecret(self.secret.clone()))),
        }
    }

    pub async fn observe(&self) -> Observed {
        let observation = observe(&self.desired, &self.edges(), None, &self.slots).await;
        assert!(observation.troubles.is_empty(), "{:?}", observation.troubles);
        observation.observed
    }

    /// What a run that is about those certificates alone reads.
    pub async fn observe_only(&self, names: &[&str]) -> Observed {
        let only = names.iter().map(|name| format!("contoso/{name}").parse().unwrap()).collect();
        let observation = observe(&self.desired, &self.edges(), Some(&only), &self.slots).await;
        assert!(observation.troubles.is_empty(), "{:?}", observation.troubles);
        observation.observed
    }

    /// Plans and applies those alone. The policy has to select the same.
    pub async fn apply_only(&self, names: &[&str]) -> Report {
        let (plan, observed) = self.plan_from(self.observe_only(names).await);
        self.apply_plan(&plan, None, &observed, &Cancel::never()).await
    }

    /// A plan of the present moment, guarded.
    pub async fn plan(&self) -> (Plan, Observed) {
        self.plan_from(self.observe().await)
    }

    fn plan_from(&self, observed: Observed) -> (Plan, Observed) {
        let plan = plan(&self.desired, &observed, &self.policy, self.clock.now());
        guard::check(&plan, &self.desired, &observed, &self.policy).unwrap();
        guard::settles(&plan, &self.desired, &observed, &self.policy).unwrap();
        (plan, observed)
    }

    /// Plans and applies.
    pub async fn apply(&self) -> Report {
        let (plan, observed) = self.plan().await;
        self.apply_plan(&plan, None, &observed, &Cancel::never()).await
    }

    pub async fn apply_plan(
        &self,
        plan: &Plan,
        reviewed: Option<&Plan>,
        observed: &Observed,
        cancel: &Cancel,
    ) -> Report {
        let edges = self.edges();
        apply(Job {
            desired: &self.desired,
            plan,
            reviewed,
            observed,
            writers: &edges,
            clock: &self.clock,
            random: &self.random,
            settings: self.settings(),
            algorithm: self.algorithm,
            events: &self.events,
            cancel,
            slots: Arc::clone(&self.slots),
        })
        .await
    }

    /// Plans and applies until the fuse blows; nothing when it did.
    pub async fn apply_until_killed(&self) -> Option<Report> {
        tokio::select! {
            biased;
            () = self.fuse.blown.notified() => None,
            report = self.apply() => Some(report),
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.policy.settings
    }

    /// The object's entries as the directory has them now.
    pub fn entries(&self, object: Uuid) -> Vec<Value> {
        let object = self.emulator.object(TENANT, Kind::Application, object).unwrap();
        object["keyCredentials"].as_array().unwrap().clone()
    }

    /// Somebody adds an entry behind our back.
    pub fn add_entry(&self, object: Uuid, entry: Value) {
        let Value::Object(entry) = entry else { panic!("not an object") };
        self.emulator.change(TENANT, Change::AddCredential { object, kind: None, entry }).unwrap();
    }

    /// The folder of the file store.
    pub fn keys(&self) -> PathBuf {
        self.directory.path().join("keys")
    }

    /// What the certificate's store holds.
    pub async fn holding(&self, name: &str) -> Holding {
        let address: Address = format!("contoso/{name}").parse().unwrap();
        let entry = self.desired.certificates[&address].store.as_ref().unwrap();
        match self.store().observe(entry).await.state {
            StoreState::Known(holding) => holding,
            StoreState::Absent => Holding::default(),
            StoreState::Unreadable { reason } => panic!("{reason}"),
        }
    }

    fn store(&self) -> Arc<dyn StoreWriter> {
        match self.shelf {
            Shelf::File => Arc::new(FileStore::new(self.keys())),
            Shelf::TwoSlot { check_and_set } => {
                Arc::new(TwoSlot::new(self.slots_service.clone(), Trouble::quiet(), check_and_set))
            }
            Shelf::AppendIsLive => Arc::new(AppendIsLive::new(self.vault_service.clone(), Trouble::quiet())),
        }
    }

    fn fused_store(&self) -> Arc<Fused<dyn StoreWriter>> {
        Arc::new(Fused {
            inner: self.store(),
            held: Arc::clone(&self.clock.held),
            fuse: Arc::clone(&self.fuse),
            gauge: Arc::clone(&self.gauge),
        })
    }

    fn fused_delivery(&self) -> Arc<FusedDelivery> {
        Arc::new(FusedDelivery { inner: Arc::clone(&self.deliveries), fuse: Arc::clone(&self.fuse) })
    }
}

struct WorldEdges<'w> {
    world: &'w World,
    readers: ShippedReaders,
    writers: ShippedWriters,
}

impl Readers for WorldEdges<'_> {
    fn store(&self, _: &StoreBinding) -> Result<Arc<dyn StoreReader>, EdgeTrouble> {
        Ok(self.world.fused_store())
    }

    fn delivery(&self, _: &Delivery) -> Result<Arc<dyn DeliveryReader>, EdgeTrouble> {
        Ok(self.world.fused_delivery())
    }

    fn directory(&self, tenant: &Name) -> Result<Arc<dyn DirectoryReader>, EdgeTrouble> {
        Readers::directory(&self.readers, tenant)
    }

    fn answer(&self, declared: &Declared, csr: &[u8], known: &BTreeSet<Thumbprints>) -> Answer {
        self.readers.answer(declared, csr, known)
    }
}

impl Writers for WorldEdges<'_> {
    fn store(&self, _: &StoreBinding) -> Result<Arc<dyn StoreWriter>, EdgeTrouble> {
        Ok(self.world.fused_store())
    }

    fn delivery(&self, _: &Delivery) -> Result<Arc<dyn DeliveryWriter>, EdgeTrouble> {
        Ok(self.world.fused_delivery())
    }

    fn issuer(&self, declared: &Declared) -> Result<Arc<dyn Issuer>, EdgeTrouble> {
        Ok(match declared.issuer {
            DeclaredIssuer::SelfSigned => Arc::new(SelfSigned),
            DeclaredIssuer::Csr { .. } => Arc::new(FusedIssuer {
                inner: self.writers.issuer(declared)?,
                fuse: Arc::clone(&self.world.fuse),
            }),
            _ => Arc::clone(&self.world.ca) as Arc<dyn Issuer>,
        })
    }

    fn directory(&self, tenant: &Name) -> Result<Arc<dyn DirectoryWriter>, EdgeTrouble> {
        Writers::directory(&self.writers, tenant)
    }

    fn sign_ins(&self, tenant: &Name) -> Result<Arc<dyn SignIns>, EdgeTrouble> {
        Writers::sign_ins(&self.writers, tenant)
    }

    fn secret(&self, password: &Password) -> Result<Option<Secret>, EdgeTrouble> {
        self.writers.secret(password)
    }
}

/// Combined PEM.
pub fn pem() -> Form {
    Form { format: Format::Pem, profile: PfxProfile::Modern2023, password: Password::None }
}

/// A delivery to that slot.
pub fn delivery(slot: &str) -> Delivery {
    Delivery {
        slot: slot.to_owned(),
        kind: "test".to_owned(),
        settings: BTreeMap::new(),
        form: pem(),
        origin: Default::default(),
    }
}

/// Somebody else's entry, spelled with everything a careless client loses: seven fractional digits, an odd identifier, odd spelling.
pub async fn foreign_entry(number: u8, ends: &str) -> Value {
    use base64::Engine;
    let now = moment("2026-11-20T12:00:00Z");
    let issued = keys::self_signed(&format!("CN=foreign-{number}"), now, number, &keys::key(11)).await;
    json!({
        "customKeyIdentifier": base64::engine::general_purpose::STANDARD.encode(format!("odd-{number}")),
        "displayName": format!("somebody else's {number}"),
        "endDateTime": ends,
        "key": base64::engine::general_purpose::STANDARD.encode(issued.certificate.der()),
        "keyId": Uuid::from_u128(0xf0 + u128::from(number)).to_string(),
        "startDateTime": "2025-03-01T08:15:35.2742618Z",
        "type": "AsymmetricX509Cert",
        "usage": "Verify"
    })
}
