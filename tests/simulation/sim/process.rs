//! One run of certroll: a process with its own clock, chance and end. It can die before or after every effect, its disk can fill up, and
//! the services it talks to can refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use certroll::apply::events::{Event, Events};
use certroll::apply::outcome::Report;
use certroll::apply::{Cancel, Job, apply, cancellation};
use certroll::backends::shipped::{Connection, Connections, Secrets, ShippedReaders, ShippedWriters};
use certroll::delivery::{DeliveryReader, DeliveryWriter};
use certroll::desired::{Declared, Delivery, Desired, Issuer as DeclaredIssuer, Password, StoreBinding};
use certroll::edges::{DirectoryReader, DirectoryWriter, Readers, SignIns, Trouble as EdgeTrouble, Writers};
use certroll::entra::sign_in::Method;
use certroll::entra::{
    EmulatorTransport, EndpointOverrides, Endpoints, GraphClient, GraphSettings, Line, OwnCredential,
    Transport, TransportError,
};
use certroll::ids::Name;
use certroll::issuer::Issuer;
use certroll::issuer::self_signed::SelfSigned;
use certroll::key::{Secret, SignatureAlgorithm};
use certroll::observe::observe;
use certroll::observed::Observed;
use certroll::plan::document::Document;
use certroll::plan::policy::Policy;
use certroll::plan::step::Step;
use certroll::plan::{Plan, guard, planner};
use certroll::runtime::{Clock, Random};
use certroll::store::file::{Action, FileStore, Probe};
use certroll::store::{StoreReader, StoreWriter};
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

use super::declaration::TENANT;
use super::dice::{Dice, SeededRandom};
use super::oracles::key_id_of;
use super::stores::Guarded;
use super::world::{Entry, World};
use crate::support::reach::unreached;
use crate::support::stores::{AppendIsLive, TwoSlot};
use crate::support::trouble::{Mischief, Trouble};

/// What goes wrong in the process itself.
#[derive(Debug, Clone, Default)]
pub struct Ill {
    /// Dies at that point, counted from 0; there is one before and one after each effect.
    pub die: Option<i64>,
    /// What each writing disk action from the nth on fails with, and how many do.
    pub disk: Option<(i64, i64, io::ErrorKind)>,
    /// What happens to the nth call of a store's or place's service.
    pub inner: Option<(u64, Mischief)>,
    /// How far its clock is ahead.
    pub skew: SignedDuration,
    /// Every store call takes so long.
    pub late: SignedDuration,
    /// No store ever answers.
    pub silent: bool,
}

/// A process.
pub struct Process {
    pub world: Arc<World>,
    ill: Ill,
    points: AtomicI64,
    disk_actions: AtomicI64,
    dead: AtomicBool,
    died: Notify,
    pub trouble: Arc<Trouble>,
    random: Arc<SeededRandom>,
    dice: Mutex<Dice>,
    clock: Arc<ProcessClock>,
    /// What this process last read of each object.
    read: Mutex<BTreeMap<Uuid, Vec<Box<RawValue>>>>,
    /// Key ids that a step of its plan names for removal.
    named: Mutex<BTreeSet<String>>,
    desired: Mutex<Option<Arc<Desired>>>,
    heard: Mutex<Vec<Event>>,
    /// Whether another process ran at the same time.
    company: Arc<AtomicBool>,
}

/// The world's time, seen by a clock that may be wrong.
pub struct ProcessClock {
    world: Arc<World>,
    skew: SignedDuration,
}

#[async_trait]
impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        self.world.now() + self.skew
    }

    async fn sleep(&self, duration: SignedDuration) {
        tokio::time::sleep(duration.try_into().unwrap_or_default()).await;
    }
}

impl Process {
    /// `number` is the event's: chance inside depends on seed and number.
    pub fn new(world: &Arc<World>, number: u32, ill: Ill) -> Arc<Process> {
        let dice = Dice::of(world.seed, &format!("process {number}"));
        let trouble = Trouble::quiet();
        if let Some((call, mischief)) = ill.inner {
            trouble.plan(call, mischief);
        }
        let random =
            SeededRandom::new(Dice::of(world.seed, &format!("random {number}")), world.dealt.clone());
        Arc::new(Process {
            world: world.clone(),
            points: AtomicI64::new(0),
            disk_actions: AtomicI64::new(0),
            dead: AtomicBool::new(false),
            died: Notify::new(),
            trouble,
            random: Arc::new(random),
            dice: Mutex::new(dice),
            clock: Arc::new(ProcessClock { world: world.clone(), skew: ill.skew }),
            read: Mutex::default(),
            named: Mutex::default(),
            desired: Mutex::default(),
            heard: Mutex::default(),
            company: Arc::default(),
            ill,
        })
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    pub fn enter(&self, number: u32) {
        self.world.enter(number, self.company.clone());
    }

    pub fn had_company(&self) -> bool {
        self.company.load(Ordering::Relaxed)
    }

    pub fn points(&self) -> i64 {
        self.points.load(Ordering::Relaxed)
    }

    /// Passes a point; false when the process dies there.
    fn lives_through(&self, what: &str) -> bool {
        let point = self.points.fetch_add(1, Ordering::Relaxed);
        if self.ill.die == Some(point) && !self.is_dead() {
            self.dead.store(true, Ordering::Relaxed);
            self.world.log(format!("  dies at point {point}, {what}"));
            self.world.state().coverage.hit("death", what);
            self.died.notify_one();
        }
        !self.is_dead()
    }

    async fn point(&self, what: &str) {
        if !self.lives_through(what) {
            std::future::pending::<()>().await;
        }
    }

    /// Returns only if the process is alive.
    pub async fn alive(&self) {
        if self.trouble.is_dead() && !self.is_dead() {
            self.dead.store(true, Ordering::Relaxed);
            self.world.log("  dies inside a service call");
            self.world.state().coverage.hit("death", "inside a service call");
            self.died.notify_one();
        }
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    pub async fn dawdle(&self) {
        if self.ill.silent {
            self.world.state().coverage.hit("fault", "a store does not answer");
            std::future::pending::<()>().await;
        }
        if !self.ill.late.is_zero() {
            self.world.state().coverage.hit("fault", "a store answers late");
            tokio::time::sleep(self.ill.late.try_into().unwrap_or_default()).await;
        }
    }

    fn draw(&self, from: i64, to: i64) -> i64 {
        self.dice.lock().unwrap().between(from, to)
    }

    /// Runs until the end or until it dies.
    pub async fn until_dead<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.died.notified() => None,
            done = work => Some(done),
        }
    }

    fn connections(self: &Arc<Process>, desired: &Desired, slots: &Arc<Semaphore>) -> Connections {
        let operator = self.world.emulator.operator(TENANT);
        Connections::new(desired, unreached(self.clock.clone()), |tenant| {
            let line = Line::new(
                Arc::new(ProcessTransport(self.clone())),
                self.clock.clone(),
                self.random.clone(),
                Endpoints::resolve(tenant.cloud, &EndpointOverrides::default()).unwrap(),
                slots.clone(),
            );
            let credential = OwnCredential {
                tenant: None,
                client_id: operator.client_id,
                method: Method::Secret(Secret::new(operator.client_secret.clone())),
                source: "the simulation".to_owned(),
            };
            let client = GraphClient::new(line.clone(), &tenant.id, credential, GraphSettings::default());
            Ok(Connection { line, client })
        })
    }

    /// Connects to everything the declaration names.
    pub fn connect(self: &Arc<Process>, desired: Arc<Desired>) -> Ground {
        let slots = Arc::new(Semaphore::new(8));
        let connections = self.connections(&desired, &slots);
        *self.desired.lock().unwrap() = Some(desired.clone());
        Ground {
            process: self.clone(),
            readers: ShippedReaders::new(&connections),
            writers: ShippedWriters::new(&connections, Arc::new(NoSecrets)),
            slots,
            desired,
        }
    }

    fn file_store(self: &Arc<Process>) -> FileStore {
        FileStore::new(self.world.folder().join("keys")).on_this_thread().probe(self.clone())
    }

    fn store(self: &Arc<Process>, entry: &StoreBinding) -> Arc<Guarded> {
        let inner: Arc<dyn StoreWriter> = match entry.store.as_str() {
            "files" => Arc::new(self.file_store()),
            "slots" => Arc::new(TwoSlot::new(self.world.slots.clone(), self.trouble.clone(), false)),
            "cas" => Arc::new(TwoSlot::new(self.world.cas.clone(), self.trouble.clone(), true)),
            _ => Arc::new(AppendIsLive::new(self.world.vault.clone(), self.trouble.clone())),
        };
        Arc::new(Guarded { process: self.clone(), inner })
    }
}

/// Each change of a file store is a point of its own.
impl Probe for Process {
    fn before(&self, action: Action, _: &Path) -> io::Result<()> {
        let dead = || io::Error::other("this process is dead");
        if matches!(action, Action::Read) {
            return if self.is_dead() { Err(dead()) } else { Ok(()) };
        }
        if !self.lives_through(&format!("before {action:?}")) {
            return Err(dead());
        }
        let number = self.disk_actions.fetch_add(1, Ordering::Relaxed);
        match self.ill.disk {
            Some((from, count, kind)) if number >= from && number < from + count => {
                self.world.state().coverage.hit("fault", format!("disk: {kind:?}"));
                Err(kind.into())
            }
            _ => Ok(()),
        }
    }
}

struct NoSecrets;

impl Secrets for NoSecrets {
    fn secret(&self, _: &Password) -> Result<Option<Secret>, EdgeTrouble> {
        Ok(None)
    }
}

impl Events for Process {
    fn emit(&self, event: Event) {
        self.heard.lock().unwrap().push(event);
    }
}

/// A process's way to the emulator.
struct ProcessTransport(Arc<Process>);

#[async_trait]
impl Transport for ProcessTransport {
    async fn send(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, TransportError> {
        let process = &self.0;
        let writes = request.method() == http::Method::PATCH;
        if writes {
            process.point("before a write to the directory").await;
        }
        process.alive().await;
        // There and back; somebody else may come between.
        let millis = process.draw(20, 300) as u64;
        tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
        process.world.sync();
        let before = writes.then(|| process.judge(&request));
        let answer = EmulatorTransport::new(process.world.emulator.clone()).send(request.clone()).await;
        process.count(&request, &answer);
        if let Some(before) = before {
            process.wrote(&before, &answer);
            process.point("after a write to the directory").await;
        } else {
            process.note(&request, &answer);
        }
        answer
    }
}

#[derive(serde::Deserialize)]
struct Listing<'a> {
    #[serde(borrow, default)]
    id: Option<&'a str>,
    #[serde(borrow, default, rename = "keyCredentials")]
    credentials: Option<Vec<&'a RawValue>>,
}

/// The object a path ends with.
fn object_of(path: &str) -> Option<Uuid> {
    path.rsplit('/').next()?.parse().ok()
}

impl Process {
    /// Remembers what a read of one object showed: it may feed a write.
    fn note(
        &self,
        request: &http::Request<Vec<u8>>,
        answer: &Result<http::Response<Vec<u8>>, TransportError>,
    ) {
        let (Some(object), Ok(answer)) = (object_of(request.uri().path()), answer) else { return };
        let Ok(listing) = serde_json::from_slice::<Listing<'_>>(answer.body()) else { return };
        if listing.id.and_then(|id| id.parse().ok()) == Some(object)
            && let Some(entries) = listing.credentials
        {
            let entries: Vec<Box<RawValue>> = entries.into_iter().map(|entry| entry.to_owned()).collect();
            if self.shows_the_past(object, &entries) {
                self.world.state().coverage.hit("fault", "stale read");
            }
            self.read.lock().unwrap().insert(object, entries);
        }
    }

    fn shows_the_past(&self, object: Uuid, entries: &[Box<RawValue>]) -> bool {
        let target = self.world.target_with(object);
        target.is_some_and(|target| self.world.entries(&target).len() != entries.len())
    }

    /// Looks at a write before it is sent; hands back the object's entries as they are.
    fn judge(&self, request: &http::Request<Vec<u8>>) -> Before {
        #[derive(serde::Deserialize)]
        struct Body {
            #[serde(rename = "keyCredentials")]
            credentials: Vec<Box<RawValue>>,
        }
        let body: Body = serde_json::from_slice(request.body()).unwrap();
        let object = object_of(request.uri().path()).unwrap();
        let read = self.read.lock().unwrap();
        let named = self.named.lock().unwrap();
        if let Some(desired) = self.desired.lock().unwrap().clone() {
            self.world.judge_write(&desired, read.get(&object).map(Vec::as_slice), &body.credentials, &named);
        }
        self.world.no_secret_in("a request", &String::from_utf8_lossy(request.body()));
        self.excuse_races(object, read.get(&object).map(Vec::as_slice), &body.credentials);
        let kept = body.credentials.iter().map(|entry| key_id_of(entry)).collect();
        Before { object, entries: self.entries(object), kept }
    }

    fn entries(&self, object: Uuid) -> Vec<Entry> {
        self.world.target_with(object).map(|target| self.world.entries(&target)).unwrap_or_default()
    }

    /// There is no compare-and-set: what another process wrote after our last read is lost by our write. It sees that and repairs it;
    /// until then nobody can be held to it.
    fn excuse_races(&self, object: Uuid, read: Option<&[Box<RawValue>]>, body: &[Box<RawValue>]) {
        let Some(target) = self.world.target_with(object) else { return };
        let ids = |entries: &[Box<RawValue>]| -> BTreeSet<String> {
            entries.iter().map(|entry| key_id_of(entry)).collect()
        };
        let (read, body) = (ids(read.unwrap_or_default()), ids(body));
        for entry in self.world.entries(&target) {
            let lost = !read.contains(&entry.key_id) && !body.contains(&entry.key_id);
            if let Some(sha1) = entry.sha1.filter(|_| lost && self.company.load(Ordering::Relaxed)) {
                let mut state = self.world.state();
                state.oracles.taken_by_a_stranger(&sha1);
                state.coverage.hit("fault", "two processes race");
            }
        }
    }

    /// Entries in the log's words.
    fn shown(&self, entries: &[Entry]) -> String {
        let word = |entry: &Entry| match &entry.sha1 {
            Some(sha1) => self.world.name(sha1),
            None => "?".to_owned(),
        };
        entries.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    fn wrote(&self, before: &Before, answer: &Result<http::Response<Vec<u8>>, TransportError>) {
        let status = answer.as_ref().ok().map(|answer| answer.status().as_u16());
        let after = self.entries(before.object);
        let there: BTreeSet<&str> = after.iter().map(|entry| entry.key_id.as_str()).collect();
        if status == Some(204) && before.kept.iter().any(|id| !there.contains(id.as_str())) {
            self.world.state().coverage.hit("fault", "write dropped behind a 204");
        }
        // What we sent back and is gone, or is gone though our write was refused, a stranger took.
        for entry in before.entries.iter().filter(|entry| !there.contains(entry.key_id.as_str())) {
            let refused = status.is_some_and(|status| status >= 300);
            if let Some(sha1) = entry.sha1.as_ref().filter(|_| refused || before.kept.contains(&entry.key_id))
            {
                self.world.state().oracles.taken_by_a_stranger(sha1);
            }
        }
        let status = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let (was, is) = (self.shown(&before.entries), self.shown(&after));
        self.world.log(format!("  writes [{was}] -> [{is}]: {status}"));
        self.world.watch_all();
    }

    fn count(
        &self,
        request: &http::Request<Vec<u8>>,
        answer: &Result<http::Response<Vec<u8>>, TransportError>,
    ) {
        let side = match request.uri().path().contains("/oauth2/") {
            true => "sign-in",
            false if request.method() == http::Method::PATCH => "write",
            false => "read",
        };
        let what = match answer {
            Err(_) => format!("{side}: no answer"),
            Ok(answer) if answer.status().as_u16() == 429 => format!("{side}: 429"),
            Ok(answer) if answer.status().as_u16() == 409 => format!("{side}: 409"),
            Ok(answer) if answer.status().is_server_error() => {
                format!("{side}: {}", answer.status().as_u16())
            }
            Ok(answer) if side == "sign-in" && answer.status().is_client_error() => {
                let body = String::from_utf8_lossy(answer.body());
                let code = body
                    .split("AADSTS")
                    .nth(1)
                    .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
                format!("sign-in: AADSTS{}", code.unwrap_or_default())
            }
            Ok(_) => return,
        };
        self.world.state().coverage.hit("fault", what);
    }
}

struct Before {
    object: Uuid,
    entries: Vec<Entry>,
    /// Key ids of all entries that are sent.
    kept: BTreeSet<String>,
}

/// What a process is connected to.
pub struct Ground {
    process: Arc<Process>,
    readers: ShippedReaders,
    writers: ShippedWriters,
    slots: Arc<Semaphore>,
    desired: Arc<Desired>,
}

impl Readers for Ground {
    fn store(&self, entry: &StoreBinding) -> Result<Arc<dyn StoreReader>, EdgeTrouble> {
        Ok(self.process.store(entry))
    }

    fn delivery(&self, _: &Delivery) -> Result<Arc<dyn DeliveryReader>, EdgeTrouble> {
        Ok(Arc::new(self.process.world.places.reached_through(self.process.trouble.clone())))
    }

    fn directory(&self, tenant: &Name) -> Result<Arc<dyn DirectoryReader>, EdgeTrouble> {
        Readers::directory(&self.readers, tenant)
    }
}

/// A delivery place; before and after each delivery is a point.
struct GuardedPlace(Arc<Process>);

#[async_trait]
impl DeliveryReader for GuardedPlace {
    async fn observe(&self, delivery: &Delivery) -> certroll::observed::DeliveryState {
        self.0.world.places.reached_through(self.0.trouble.clone()).observe(delivery).await
    }
}

#[async_trait]
impl DeliveryWriter for GuardedPlace {
    async fn deliver(
        &self,
        delivery: &Delivery,
        key: &certroll::key::PrivateKey,
        issued: &certroll::issuer::Issued,
        password: Option<&Secret>,
    ) -> Result<String, certroll::delivery::DeliveryError> {
        self.0.point("before a delivery").await;
        let place = self.0.world.places.reached_through(self.0.trouble.clone());
        let answer = place.deliver(delivery, key, issued, password).await;
        if answer.is_err() {
            self.0.world.state().coverage.hit("fault", "delivery refused");
        }
        self.0.world.watch_all();
        self.0.alive().await;
        self.0.point("after a delivery").await;
        answer
    }
}

impl Writers for Ground {
    fn store(&self, entry: &StoreBinding) -> Result<Arc<dyn StoreWriter>, EdgeTrouble> {
        Ok(self.process.store(entry))
    }

    fn delivery(&self, _: &Delivery) -> Result<Arc<dyn DeliveryWriter>, EdgeTrouble> {
        Ok(Arc::new(GuardedPlace(self.process.clone())))
    }

    fn issuer(&self, declared: &Declared) -> Result<Arc<dyn Issuer>, EdgeTrouble> {
        Ok(match declared.issuer {
            DeclaredIssuer::SelfSigned => Arc::new(SelfSigned),
            _ => self.process.world.ca.clone() as Arc<dyn Issuer>,
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

/// Why a process ended without a report.
#[derive(Debug)]
pub enum Ended {
    Died,
    /// Exit 1 before anything was planned.
    CouldNotPlan(String),
    Reported(Report, Plan),
}

impl Ground {
    pub async fn observe(&self) -> Result<Observed, String> {
        let observation = observe(&self.desired, self, None, &self.slots).await;
        let tenants = observation.observed.tenants.len();
        match observation.troubles.values().next() {
            // As the command line does: when nothing at all can be read there is no plan.
            Some(trouble) if observation.troubles.len() == tenants => Err(trouble.to_string()),
            _ => Ok(observation.observed),
        }
    }

    /// A plan, guarded. `at` is another moment than the present.
    pub fn plan(&self, observed: &Observed, policy: &Policy, at: Option<Timestamp>) -> Plan {
        let now = at.unwrap_or_else(|| self.process.clock.now());
        let plan = planner::plan(&self.desired, observed, policy, now);
        for checked in [
            guard::check(&plan, &self.desired, observed, policy),
            guard::settles(&plan, &self.desired, observed, policy),
        ] {
            if let Err(refused) = checked {
                self.process.world.violation(format!("the guard refuses a plan: {refused}"));
            }
        }
        plan
    }

    /// Plans and applies. A `reviewed` plan limits it to what was reviewed.
    pub async fn run(&self, policy: &Policy, reviewed: Option<&Plan>, stop: Option<i64>) -> Ended {
        let process = &self.process;
        let end = async {
            match stop {
                Some(seconds) => tokio::time::sleep(std::time::Duration::from_secs(seconds as u64)).await,
                None => std::future::pending::<()>().await,
            }
        };
        tokio::pin!(end);
        let work = async {
            let observed = tokio::select! {
                biased;
                observed = self.observe() => observed,
                // Nothing is under way while a plan is made: the process just ends.
                () = &mut end => Err("interrupted".to_owned()),
            };
            let observed = match observed {
                Ok(observed) => observed,
                Err(reason) => return Ended::CouldNotPlan(reason),
            };
            let plan = self.plan(&observed, policy, None);
            process.name_removals(&plan);
            let (canceller, cancel) = cancellation();
            let job = Job {
                desired: &self.desired,
                plan: &plan,
                reviewed,
                observed: &observed,
                writers: self,
                clock: &*process.clock,
                random: &*process.random as &dyn Random,
                settings: &policy.settings,
                algorithm: SignatureAlgorithm::Ps256,
                events: &**process,
                cancel: if stop.is_some() { &cancel } else { &Cancel::never() },
                slots: self.slots.clone(),
            };
            let report = {
                let work = apply(job);
                tokio::pin!(work);
                tokio::select! {
                    biased;
                    report = &mut work => report,
                    () = end, if stop.is_some() => {
                        canceller.cancel();
                        let asked = process.world.now();
                        let report = work.await;
                        if process.world.now().duration_since(asked) > SignedDuration::from_secs(5) {
                            process.world.violation("a run that was asked to stop took longer than 5 s");
                        }
                        report
                    }
                }
            };
            Ended::Reported(report, plan)
        };
        let ended = process.until_dead(work).await.unwrap_or(Ended::Died);
        process.leaves(&ended);
        ended
    }
}

impl Process {
    fn name_removals(&self, plan: &Plan) {
        let steps = plan.certificates.iter().flat_map(|certificate| &certificate.steps);
        let mut named = self.named.lock().unwrap();
        for planned in steps {
            match &planned.step {
                Step::Retire { credential } => _ = named.insert(credential.key_id.to_string()),
                Step::Publish { dropping, .. } => named.extend(dropping.iter().map(ToString::to_string)),
                _ => {}
            }
        }
    }

    /// P3 over everything the process said.
    fn leaves(&self, ended: &Ended) {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap());
        for event in &heard {
            self.world.no_secret_in("an event", &serde_json::to_string(event).unwrap());
        }
        match ended {
            Ended::Reported(report, plan) => {
                let owner = &plan.owner;
                self.world.no_secret_in("a receipt", &serde_json::to_string(&report.receipt(owner)).unwrap());
                self.world.no_secret_in("a plan", &Document::of(plan).to_json());
            }
            Ended::CouldNotPlan(reason) => self.world.no_secret_in("an error", reason),
            Ended::Died => {}
        }
    }
}
