//! A pretend directory and login service: applications, service principals, policies, sign-in.
//!
//! It knows nothing of the rest of this crate and spells the wire format for itself, so that it can disagree
//! with the client. It is strict where the service may be ([`Settings`]), makes trouble when told to
//! ([`Faults`]), and keeps a journal of what it was asked ([`JournalEntry`]). README.md beside this file says how
//! each imitated behaviour is known, and what must not be proved with it.
//!
//! ```text
//!   http request ──> Call ──> login ─┐
//!                        └──> graph ─┴──> Reply ──> save ──> journal ──> Answer
//!                                  World (tenants, objects, clock, faults)
//! ```

mod certificate;
mod change;
mod clock;
mod control;
mod disk;
mod door;
mod error;
mod faults;
mod graph;
mod ids;
mod journal;
mod login;
mod seed;
mod server;
mod settings;
mod shapes;
mod start;
mod throttle;
mod wire;
mod world;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Request, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use clock::Clock;
use disk::Disk;
use journal::Journal;
use throttle::Windows;
use wire::{Body, Call, Exchange, Fate, Reply};
use world::World;

pub use change::{Change, NewApplication, NewServicePrincipal};
pub use control::control;
pub use disk::files_of;
pub use door::Operator;
pub use error::EmulatorError;
pub use faults::{
    DroppedWrites, Every, Faults, LostAnswer, RivalChange, RivalWrite, StaleReads, Throttled, TokenFaults,
    TokenPropagation, Unavailable, Which,
};
pub use journal::JournalEntry;
pub use seed::{SEEDED_MAX, Seeded};
pub use server::{Server, serve};
pub use settings::{CustomKeyIdentifier, PolicyLifetime, Settings};
pub use start::{Start, StartApplication, StartCertificate};
pub use world::Kind;

/// The emulator. Clones share one state.
#[derive(Clone)]
pub struct Emulator {
    core: Arc<Mutex<Core>>,
}

/// What comes back from a request.
#[derive(Debug)]
pub enum Answer {
    /// A complete answer.
    Response(Response<Vec<u8>>),
    /// The connection died. Whether the request took effect is for the caller to find out.
    Lost,
}

/// What the clones share.
struct Core {
    world: World,
    windows: Windows,
    disk: Option<Disk>,
    journal: Journal,
    base: Option<String>,
    /// Numbers the answers of this process.
    answers: u64,
    /// Makes request ids differ between processes that share a state file.
    process_seed: u64,
    /// Why the state could not be read or saved the last time; the request was answered with it.
    broken: Option<String>,
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Emulator")
    }
}

impl Emulator {
    /// An emulator in memory whose clock stands at `now`. `seed` decides every id, secret and list order.
    pub fn in_memory(now: Timestamp, seed: u64) -> Emulator {
        let world = World::empty(Clock::Frozen(now), seed);
        Emulator::from_parts(world, None, Journal::Memory(Vec::new()), seed)
    }

    /// An emulator on a state file, shared with every other process that opens it. An absent file is made,
    /// with no tenant in it and a running clock.
    pub fn open(path: &Path) -> Result<Emulator, EmulatorError> {
        let mut disk = Disk::new(path)?;
        let process_seed = random_seed();
        let mut world = World::empty(Clock::Running { offset_ns: 0 }, random_seed());
        {
            let _locked = disk.lock()?;
            if disk.refresh(&mut world)? {
                world.dirty = Default::default();
            } else {
                disk.save(&mut world)?;
            }
        }
        let journal = Journal::File { path: disk.journal_path(), handle: None };
        Ok(Emulator::from_parts(world, Some(disk), journal, process_seed))
    }

    fn from_parts(world: World, disk: Option<Disk>, journal: Journal, process_seed: u64) -> Emulator {
        let core = Core {
            world,
            windows: Windows::default(),
            disk,
            journal,
            base: None,
            answers: 0,
            process_seed,
            broken: None,
        };
        Emulator { core: Arc::new(Mutex::new(core)) }
    }

    /// Answers a request to the login service or to the directory; the host name in it is ignored. Anything
    /// it changed has been saved when this returns.
    pub fn handle(&self, request: &Request<Vec<u8>>) -> Answer {
        let mut core = self.lock();
        core.handle(request)
    }

    /// Lets `work` change a copy in memory, and takes it over as one change if that succeeds: nobody sees a part of it, and after
    /// a failure there is none. Other processes wait meanwhile.
    pub fn at_once<T, E>(&self, work: impl FnOnce(&Emulator) -> Result<T, E>) -> Result<T, E> {
        self.lock().locked(|core| {
            let copy = Emulator::from_parts(
                core.world.clone(),
                None,
                Journal::Memory(Vec::new()),
                core.process_seed,
            );
            let done = work(&copy)?;
            core.world = copy.lock().world.clone();
            core.world.dirty.everything = true;
            Ok(done)
        })
    }

    /// A copy in memory of what there is now. What becomes of it is nobody else's business; what it is asked is in the journal.
    pub fn apart(&self) -> Emulator {
        let (seed, journal) = {
            let core = self.lock();
            (core.process_seed, core.journal.shared())
        };
        Emulator::from_parts(self.look(|world| world.clone()), None, journal, seed)
    }

    /// The emulator's time.
    pub fn now(&self) -> Timestamp {
        self.look(|world| world.meta.clock.now())
    }

    /// Moves the clock forward to `to`; never backwards.
    pub fn advance_to(&self, to: Timestamp) {
        self.alter(|world| {
            if to > world.meta.clock.now() {
                world.meta.clock = world.meta.clock.set(to);
                world.dirty.meta = true;
            }
        });
    }

    /// Moves the clock by `by`, which may be negative.
    pub fn advance(&self, by: SignedDuration) {
        self.set(|meta| meta.clock = meta.clock.advance(by));
    }

    /// Sets the clock, which goes on running or standing as it did.
    pub fn set_clock(&self, to: Timestamp) {
        self.set(|meta| meta.clock = meta.clock.set(to));
    }

    /// Stops the clock, at `at` or where it is.
    pub fn freeze(&self, at: Option<Timestamp>) {
        self.set(|meta| meta.clock = Clock::Frozen(at.unwrap_or_else(|| meta.clock.now())));
    }

    /// Lets a stopped clock run on from where it stands.
    pub fn unfreeze(&self) {
        self.set(|meta| meta.clock = Clock::running_from(meta.clock.now()));
    }

    /// Whether the clock stands still.
    pub fn is_frozen(&self) -> bool {
        self.look(|world| matches!(world.meta.clock, Clock::Frozen(_)))
    }

    /// Scheme and host to name in links, in place of the one each request came for.
    pub fn set_base_url(&self, base: Option<&str>) {
        self.lock().base = base.map(|base| base.trim_end_matches('/').to_owned());
    }

    /// The troubles being made.
    pub fn faults(&self) -> Faults {
        self.look(|world| world.meta.faults.clone())
    }

    /// Makes these troubles from now on; all counting starts anew, and replicas catch up.
    pub fn set_faults(&self, faults: Faults) {
        self.alter(|world| {
            world.meta.faults = faults;
            world.counters = Default::default();
            world.dirty.meta = true;
            world.dirty.counters = true;
        });
        self.lock().windows.clear();
    }

    /// How disputed behaviours are decided.
    pub fn settings(&self) -> Settings {
        self.look(|world| world.meta.settings.clone())
    }

    /// Decides disputed behaviours this way from now on.
    pub fn set_settings(&self, settings: Settings) {
        self.set(|meta| meta.settings = settings);
    }

    /// How long the server should wait before it answers.
    pub fn latency(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.faults().latency_ms)
    }

    /// All requests so far, oldest first. Requests through the other door are not among them.
    pub fn journal(&self) -> Vec<JournalEntry> {
        let mut core = self.lock();
        match core.journal.read() {
            Ok(entries) => entries,
            Err(error) => {
                core.break_down(&error);
                Vec::new()
            }
        }
    }

    /// Forgets the requests so far.
    pub fn clear_journal(&self) {
        let mut core = self.lock();
        if let Err(error) = core.journal.clear() {
            core.break_down(&error);
        }
    }

    /// Empties the directory, the journal and the faults. Tenants and their operators stay, as do settings, seed
    /// and a standing clock.
    pub fn reset(&self) {
        self.alter(|world| *world = world.emptied());
        self.lock().windows.clear();
        self.clear_journal();
    }

    /// Why the emulator could not read or save its state the last time, if so. The request was answered with 500.
    pub fn failure(&self) -> Option<String> {
        self.lock().broken.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        // A panic in another thread leaves a world that is at worst unsaved; the next refresh reads it again.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut world::Meta)) {
        self.alter(|world| {
            change(&mut world.meta);
            world.dirty.meta = true;
        });
    }

    /// Reads the present world.
    fn look<T>(&self, question: impl FnOnce(&World) -> T) -> T {
        self.alter(|world| question(world))
    }

    /// Changes the world through the other door and saves it.
    fn alter<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        self.lock().locked(|core| change(&mut core.world))
    }
}

impl Core {
    /// Runs `work` on the present world with all other processes kept out, and saves what it changed. When the state
    /// cannot be read, nothing is saved over it, and what `work` did is forgotten.
    fn locked<T>(&mut self, work: impl FnOnce(&mut Core) -> T) -> T {
        let Some(disk) = &mut self.disk else {
            let result = work(self);
            self.world.dirty = Default::default();
            return result;
        };
        let held = disk.lock().and_then(|held| disk.refresh(&mut self.world).map(|_| held));
        self.broken = None;
        let held = match held {
            Ok(held) => Some(held),
            Err(error) => {
                self.break_down(&error);
                None
            }
        };
        let result = work(self);
        let Some(disk) = &mut self.disk else { return result };
        let saved = match held {
            Some(_) => disk.save(&mut self.world),
            None => {
                disk.forget(&mut self.world);
                Ok(())
            }
        };
        if let Err(error) = saved {
            self.break_down(&error);
        }
        result
    }

    fn break_down(&mut self, error: &EmulatorError) {
        use std::error::Error as _;
        let cause = error.source().map_or_else(String::new, |source| format!(": {source}"));
        self.broken = Some(format!("{error}{cause}"));
    }

    fn handle(&mut self, request: &Request<Vec<u8>>) -> Answer {
        let call = Call::new(request, self.base.as_deref());
        self.answers += 1;
        let request_id = ids::uuid(self.process_seed, "request", self.answers);
        let (reply, fate) = self.locked(|core| core.answer(&call, request_id));
        let skew = SignedDuration::from_secs(self.world.meta.faults.date_skew_seconds);
        let date = clock::http_date(clock::moved(self.world.meta.clock.now(), skew));
        let reply = match &self.broken {
            Some(why) => Reply::json(500, json!({"error": {"code": "emulatorBroken", "message": why}})),
            None => reply,
        };
        match fate {
            Fate::Lost => Answer::Lost,
            Fate::Arrives => Answer::Response(respond(reply, date)),
        }
    }

    fn answer(&mut self, call: &Call, request_id: Uuid) -> (Reply, Fate) {
        let now = self.world.meta.clock.now();
        if count_and_refuse(&mut self.world) {
            return (Reply::empty(0), Fate::Lost);
        }
        let client_request_id =
            call.header("client-request-id").map_or_else(|| request_id.to_string(), str::to_owned);
        let mut exchange = Exchange {
            world: &mut self.world,
            windows: &mut self.windows,
            now,
            request_id,
            client_request_id,
            client_id: None,
            writes: false,
            items: Vec::new(),
            fate: Fate::Arrives,
        };
        let on_graph = matches!(call.segments.first().map(String::as_str), Some("v1.0" | "beta"));
        let reply = match on_graph {
            true => graph::answer(&mut exchange, call),
            false => login::answer(&mut exchange, call),
        };
        let Exchange { client_id, writes, items, fate, .. } = exchange;
        let client_id = client_id.map(|id| id.to_string());
        let entry = |method: String, path: String, status, writes, batch_item| JournalEntry {
            time: now,
            method,
            path,
            status,
            writes,
            client_id: client_id.clone(),
            request_id: request_id.to_string(),
            lost: fate == Fate::Lost,
            batch_item,
        };
        let mut entries: Vec<_> =
            items.into_iter().map(|i| entry(i.method, i.path, i.status, i.writes, Some(i.id))).collect();
        // The login side takes secrets; nothing but the path of its requests is written down.
        let path = if on_graph { call.target.as_str() } else { call.path() };
        entries.push(entry(call.method.to_string(), path.to_owned(), reply.status, writes, None));
        if let Err(error) = self.journal.add(entries) {
            self.break_down(&error);
        }
        (reply, fate)
    }
}

/// Counts the request; true when it is one that never arrives.
fn count_and_refuse(world: &mut World) -> bool {
    if world.meta.faults == Faults::default() {
        return false;
    }
    world.counters.requests += 1;
    world.dirty.counters = true;
    let every = world.meta.faults.connection_refused.map(|fault| fault.every);
    faults::strikes(every, world.counters.requests)
}

fn respond(reply: Reply, date: String) -> Response<Vec<u8>> {
    let (kind, bytes) = match reply.body {
        Body::Empty => (None, Vec::new()),
        Body::Json(value) => (Some("application/json; charset=utf-8"), value.to_string().into_bytes()),
        Body::Text(text) => (Some("text/plain; charset=utf-8"), text.into_bytes()),
    };
    let mut builder = Response::builder().status(reply.status).header("Date", date);
    if let Some(kind) = kind {
        builder = builder.header("Content-Type", kind);
    }
    for (name, value) in reply.headers {
        builder = builder.header(name, value);
    }
    builder.body(bytes).unwrap_or_else(|_| {
        // All names and values are our own or were valid headers before, so this is not reached.
        let mut response = Response::new(Vec::new());
        *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

fn random_seed() -> u64 {
    let mut bytes = [0; 8];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_be_bytes(bytes),
        // Without randomness ids repeat between files; nothing secret hangs on it.
        Err(_) => u64::from(std::process::id()),
    }
}
