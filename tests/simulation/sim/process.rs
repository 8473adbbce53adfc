//! One run of certroll: a process with its own clock, chance and end. It can die before or after every effect, its disk can fill up, and
//! the services it talks to can refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use certroll::apply::events::{Event, Events};
use certroll::backends::shipped::{Connection, Connections, Secrets, ShippedReaders, ShippedWriters};
use certroll::desired::{Desired, Password, StoreBinding};
use certroll::edges::Trouble as EdgeTrouble;
use certroll::entra::sign_in::Method;
use certroll::entra::{EndpointOverrides, Endpoints, GraphClient, GraphSettings, Line, OwnCredential};
use certroll::key::Secret;
use certroll::net::Way;
use certroll::runtime::Clock;
use certroll::store::StoreWriter;
use certroll::store::file::{Action, FileStore, Probe};
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

use super::dice::{Dice, SeededRandom};
use super::ground::Ground;
use super::services;
use super::transport::ProcessTransport;
use super::wire::{StoreWire, Turned};
use super::world::World;
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
    /// What the nth call of a store answers instead of the truth.
    pub wrong: Option<(i64, Wrong)>,
    /// What the services of the shipped stores answer instead of every nth request.
    pub service: Option<(i64, Turned)>,
    /// How far its clock is ahead.
    pub skew: SignedDuration,
    /// Every store call takes so long.
    pub late: SignedDuration,
    /// No store ever answers.
    pub silent: bool,
    /// Whether what lies in wait may strike it, and whether `inner` did lie in wait.
    pub lurked: bool,
    pub inner_lurks: bool,
    /// Which promise (1 to 8) a broken certroll breaks: shows that the oracles can fail.
    pub breaks: Option<i64>,
}

/// The mischief of that name.
pub fn mischief(name: &str) -> Mischief {
    match name {
        "refuse" => Mischief::Refuse,
        "lose" => Mischief::LoseAnswer,
        "before" => Mischief::CrashBefore,
        _ => Mischief::CrashAfter,
    }
}

/// The disk's trouble of that name.
pub fn disk_trouble(name: &str) -> io::ErrorKind {
    match name {
        "full" => io::ErrorKind::StorageFull,
        "readonly" => io::ErrorKind::ReadOnlyFilesystem,
        "denied" => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    }
}

/// A wrong answer of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It makes no sense.
    Garbled,
    /// It may not be read.
    Denied,
    /// What was there some time ago.
    Past,
    /// There is no such entry.
    Absent,
}

impl std::str::FromStr for Wrong {
    type Err = String;

    fn from_str(text: &str) -> Result<Wrong, String> {
        match text {
            "garbled" => Ok(Wrong::Garbled),
            "denied" => Ok(Wrong::Denied),
            "past" => Ok(Wrong::Past),
            "absent" => Ok(Wrong::Absent),
            _ => Err(format!("no such answer: {text}")),
        }
    }
}

/// A process.
pub struct Process {
    pub world: Arc<World>,
    pub(super) ill: Ill,
    points: AtomicI64,
    disk_actions: AtomicI64,
    store_calls: AtomicI64,
    service_requests: AtomicI64,
    /// How often the shipped stores asked for what may be a key.
    pub values_read: AtomicI64,
    dead: AtomicBool,
    died: Notify,
    pub trouble: Arc<Trouble>,
    pub(super) random: Arc<SeededRandom>,
    dice: Mutex<Dice>,
    pub(super) clock: Arc<ProcessClock>,
    /// What this process last read of each object.
    pub(super) read: Mutex<BTreeMap<Uuid, Vec<Box<RawValue>>>>,
    /// Key ids that a step of its plan names for removal.
    pub(super) named: Mutex<BTreeSet<String>>,
    pub(super) desired: Mutex<Option<Arc<Desired>>>,
    pub(super) heard: Mutex<Vec<Event>>,
    /// Whether something that lay in wait has met it.
    pub(super) struck: AtomicBool,
    /// Whether another process ran at the same time.
    pub(super) company: Arc<AtomicBool>,
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
        let ahead = world.emulator.faults().date_skew_seconds;
        for (met, what) in [
            (ill.skew.is_positive(), "our clock is ahead"),
            (ill.skew.is_negative(), "our clock is behind"),
            (ahead > 0, "the service's date is ahead"),
            (ahead < 0, "the service's date is behind"),
        ] {
            if met {
                world.state().coverage.hit("fault", what);
            }
        }
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
            store_calls: AtomicI64::new(0),
            service_requests: AtomicI64::new(0),
            values_read: AtomicI64::new(0),
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
            struck: AtomicBool::new(false),
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

    /// What became of the mischief this process was to meet at a store's or place's service.
    pub fn count_mischief(&self) {
        let Some((call, mischief)) = self.ill.inner else { return };
        let calls = self.trouble.journal().len() as u64;
        if self.ill.inner_lurks {
            self.world.has_lurked(calls as i64);
        }
        if calls <= call {
            return;
        }
        self.struck.store(true, Ordering::Relaxed);
        let name = match mischief {
            Mischief::Refuse => "store: refused",
            Mischief::LoseAnswer => "store: answer lost",
            // Counted as deaths.
            Mischief::CrashBefore | Mischief::CrashAfter => return,
        };
        self.world.state().coverage.hit("fault", name);
    }

    pub fn breaks(&self, promise: i64) -> bool {
        self.ill.breaks == Some(promise)
    }

    pub fn was_struck(&self) -> bool {
        self.struck.load(Ordering::Relaxed)
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
        if (self.ill.die == Some(point) && !self.is_dead()) || self.is_struck("die", Some(what)).is_some() {
            self.dead.store(true, Ordering::Relaxed);
            self.world.log(format!("  dies at point {point}, {what}"));
            self.world.state().coverage.hit("death", what);
            self.died.notify_one();
        }
        !self.is_dead()
    }

    pub(super) async fn point(&self, what: &str) {
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

    /// Whether this call of a store is answered wrongly.
    pub fn misleads(&self) -> Option<Wrong> {
        let number = self.store_calls.fetch_add(1, Ordering::Relaxed);
        let planned = self.ill.wrong.filter(|(call, _)| *call == number).map(|(_, wrong)| wrong);
        let wrong = planned.or_else(|| self.is_struck("wrong", None)?.parse().ok())?;
        self.world.log(format!("  a store's answer is wrong: {wrong:?}"));
        self.world.state().coverage.hit("fault", format!("store: wrong answer, {wrong:?}"));
        Some(wrong)
    }

    /// Whether the service of a shipped store does not do what this request asks.
    pub(super) fn turns_away(&self) -> Option<Turned> {
        let number = self.service_requests.fetch_add(1, Ordering::Relaxed) + 1;
        let planned = self.ill.service.filter(|(every, _)| number % every == 0).map(|(_, turned)| turned);
        let turned = planned.or_else(|| self.is_struck("service", None)?.parse().ok())?;
        self.world.state().coverage.hit("fault", turned.as_str());
        Some(turned)
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

    pub(super) fn draw(&self, from: i64, to: i64) -> i64 {
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

    /// The way to the services of the shipped stores.
    fn way(self: &Arc<Process>, in_flight: &Arc<Semaphore>) -> Way {
        let transport = Arc::new(StoreWire(self.clone()));
        services::way(transport, self.clock.clone(), self.random.clone(), in_flight.clone())
    }

    fn connections(self: &Arc<Process>, desired: &Desired, slots: &Arc<Semaphore>) -> Connections {
        let reach = services::reach(self.way(slots)).below(self.world.folder());
        Connections::new(desired, reach, |tenant| {
            let line = Line::new(
                Arc::new(ProcessTransport(self.clone())),
                self.clock.clone(),
                self.random.clone(),
                Endpoints::resolve(tenant.cloud, &EndpointOverrides::default()).unwrap(),
                slots.clone(),
            );
            let operator = self.world.emulator.operator(tenant.id.parse().unwrap());
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
        let parallelism = self.draw(1, 8) as usize;
        let in_flight = Arc::new(Semaphore::new(parallelism));
        let connections = self.connections(&desired, &in_flight);
        *self.desired.lock().unwrap() = Some(desired.clone());
        Ground {
            process: self.clone(),
            readers: ShippedReaders::new(&connections),
            writers: ShippedWriters::new(&connections, Arc::new(NoSecrets)),
            kube: services::kubernetes(self.way(&in_flight)),
            slots: Arc::new(Semaphore::new(parallelism)),
            desired,
        }
    }

    fn file_store(self: &Arc<Process>) -> FileStore {
        FileStore::new(self.world.folder().join("keys")).on_this_thread().probe(self.clone())
    }

    /// One of the stores that are not reached over a service.
    pub(super) fn local_store(self: &Arc<Process>, entry: &StoreBinding) -> Arc<dyn StoreWriter> {
        match entry.store.as_str() {
            "files" => Arc::new(self.file_store()),
            "slots" => Arc::new(TwoSlot::new(self.world.slots.clone(), self.trouble.clone(), false)),
            "cas" => Arc::new(TwoSlot::new(self.world.cas.clone(), self.trouble.clone(), true)),
            _ => Arc::new(AppendIsLive::new(self.world.vault.clone(), self.trouble.clone())),
        }
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
        let planned = self.ill.disk.filter(|(from, count, _)| (*from..from + count).contains(&number));
        let planned = planned.map(|(_, _, kind)| kind);
        match planned.or_else(|| Some(disk_trouble(&self.is_struck("disk", None)?))) {
            Some(kind) => {
                self.world.state().coverage.hit("fault", format!("disk: {kind:?}"));
                Err(kind.into())
            }
            None => Ok(()),
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
