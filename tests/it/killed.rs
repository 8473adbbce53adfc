//! The real binary on the quickstart, killed with SIGKILL a hundred times at moments nobody chose, then run to its end: nothing is lost,
//! nobody is locked out, no rotation has a second key, nothing of others changed, and nothing lies around.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use certroll::emulator::{Emulator, Kind};
use serde_json::Value;

/// Each world lives through three runs, and each run is killed so many times before it may end.
const KILLS: usize = 5;
/// How many kills have to strike a running process; new worlds are begun until they have.
const STRIKES: usize = 100;
/// Worlds after which something else is wrong.
const WORLDS: u64 = 60;

/// What happens before each run: nothing, a rotation falls due, the overlap ends.
const RUNS: [Option<&str>; 3] = [None, Some("+181d"), Some("+31d")];

/// Files that a generation's folder may hold, and those of a store entry beside it.
const OF_A_GENERATION: [&str; 4] = ["certificate.pem", "key.pk8", "record.json", "rendered.json"];

/// Numbers that look random and are the same for the same seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % limit.max(1)
    }
}

/// A copy of the quickstart.
struct World {
    folder: tempfile::TempDir,
    seed: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let folder = tempfile::tempdir().unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart");
        std::fs::create_dir(folder.path().join("keys")).unwrap();
        for name in ["certroll.yaml", ".gitignore", "emulator-seed.json", "keys/aucloud-2027.cer"] {
            std::fs::copy(from.join(name), folder.path().join(name)).unwrap();
        }
        let world = World { folder, seed };
        // Making a key of 4096 bits takes seconds here, and nothing else would ever be killed.
        let path = world.folder.path().join("certroll.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("rsa-4096", "rsa-2048")).unwrap();
        world
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_certroll"));
        command.env_clear().current_dir(self.folder.path()).args(args).stdin(Stdio::null());
        command
    }

    /// Runs to the end; exit code, standard output, standard error.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    /// Starts an apply and kills it after that time; true when it was still running.
    fn killed_after(&self, moment: Duration) -> bool {
        let mut child = self.command(&APPLY).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(moment);
        let was_running = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        was_running
    }

    fn objects(&self) -> Vec<Value> {
        let emulator = Emulator::open(&self.folder.path().join(".certroll/emulator.json")).unwrap();
        let tenants = emulator.tenants();
        let of = |kind| tenants.iter().flat_map(|(id, _)| emulator.objects(*id, kind)).collect::<Vec<_>>();
        [of(Kind::Application), of(Kind::ServicePrincipal)].concat()
    }

    fn entries(&self) -> Vec<Value> {
        let of = |object: &Value| object["keyCredentials"].as_array().cloned().unwrap_or_default();
        self.objects().iter().flat_map(of).collect()
    }

    /// What nobody declares or adopts: the consultant's certificate, the SAML pair, the provider's last year's.
    fn foreign(&self) -> Vec<String> {
        let is_foreign = |entry: &&Value| {
            let name = entry["displayName"].as_str().unwrap_or_default();
            name.contains("consultant") || name.contains("SAML") || name == "Veeam O365 backup certificate"
        };
        let mut entries: Vec<String> =
            self.entries().iter().filter(is_foreign).map(Value::to_string).collect();
        entries.sort();
        entries
    }

    /// The entries of the file store: `secrets/cloudm` and so on.
    fn shelves(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.folder.path().join("secrets")];
        while let Some(folder) = open.pop() {
            match folder.join("generations").is_dir() {
                true => found.push(folder),
                false => open.extend(children(&folder).into_iter().filter(|path| path.is_dir())),
            }
        }
        found
    }

    /// P1: whatever consumers read has its credential.
    fn nobody_is_locked_out(&self, when: &str) {
        let live: BTreeSet<String> = self.entries().iter().filter_map(thumbprint).collect();
        for shelf in self.shelves() {
            let Ok(current) = std::fs::read_link(shelf.join("current")) else { continue };
            let name = current.file_name().unwrap().to_str().unwrap().to_owned();
            let sha1 = name.split_once('-').unwrap().1.to_uppercase();
            assert!(live.contains(&sha1), "{when}: {} reads {sha1}, which is not in Entra", shelf.display());
            assert!(
                shelf.join(&current).join("key.pk8").exists(),
                "{when}: {} lost its key",
                shelf.display()
            );
        }
    }

    /// No rotation has a second key, and no credential of ours is without one.
    fn one_key_for_each_rotation(&self, when: &str) {
        let mut held = BTreeSet::new();
        for shelf in self.shelves() {
            let mut rotations = BTreeSet::new();
            for generation in children(&shelf.join("generations")) {
                let record: Value =
                    serde_json::from_slice(&std::fs::read(generation.join("record.json")).unwrap()).unwrap();
                let rotation = record["rotation_id"].to_string();
                assert!(
                    rotations.insert(rotation),
                    "{when}: two keys of one rotation in {}",
                    shelf.display()
                );
                held.insert(record["thumbprints"]["sha1"].as_str().unwrap().to_uppercase());
            }
        }
        for entry in self.entries() {
            let name = entry["displayName"].as_str().unwrap_or_default();
            if name.starts_with("certroll:platform-team/") && !name.contains("aucloud") {
                let sha1 = thumbprint(&entry).unwrap();
                assert!(held.contains(&sha1), "{when}: {name} {sha1} has no key in the store");
            }
        }
    }

    fn nothing_lies_around(&self, when: &str) {
        let names = |folder: &Path| -> BTreeSet<String> {
            let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
            children(folder).into_iter().map(name).collect()
        };
        let top = self.folder.path();
        let expected =
            [".certroll", ".gitignore", "acknowledgements.yaml", "certroll.yaml", "emulator-seed.json"];
        for name in names(top) {
            let known = expected.contains(&name.as_str()) || ["keys", "secrets"].contains(&name.as_str());
            assert!(known, "{when}: {name} lies around");
        }
        let state: Vec<String> = names(&top.join(".certroll")).into_iter().collect();
        assert_eq!(state, ["emulator.json", "emulator.json.journal", "emulator.json.lock"], "{when}");
        for shelf in self.shelves() {
            let beside: Vec<String> = names(&shelf).into_iter().collect();
            assert_eq!(beside, [".lock", "current", "generations"], "{when}: {}", shelf.display());
            let entry = shelf.file_name().unwrap().to_str().unwrap().to_owned();
            for name in children(&shelf.join("generations")).iter().flat_map(|generation| names(generation)) {
                let rendered = name == format!("{entry}.pfx") || name == format!("{entry}.password");
                assert!(rendered || OF_A_GENERATION.contains(&name.as_str()), "{when}: {name} lies around");
            }
        }
    }

    /// Runs until nothing is left to do. What is young has to be seen first, and what spreads has to spread.
    fn finish(&self, when: &str) {
        for _ in 0..4 {
            let (code, out, err) = self.run(&APPLY);
            assert!(code == 0 || code == 5, "{when}: exit {code}\n{out}\n{err}");
            let (_, plan, _) = self.run(&["plan", "--json"]);
            let plan: Value = serde_json::from_str(&plan).unwrap();
            if code == 0 {
                assert_eq!(plan["counts"]["steps"], 0, "{when}: steps are left: {plan}");
                return;
            }
            assert_eq!(self.run(&["emulator", "clock", "+16m"]).0, 0);
        }
        panic!("{when}: it does not come to an end");
    }

    /// The life of this world; how many kills struck a running process.
    fn live(&self, typical: &AtomicU64) -> usize {
        let mut dice = Dice(self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        assert_eq!(self.run(&["plan"]).0, 0);
        let foreign = self.foreign();
        assert_eq!(foreign.len(), 4, "{foreign:#?}");
        let mut struck = 0;
        for (number, passes) in RUNS.into_iter().enumerate() {
            if let Some(time) = passes {
                assert_eq!(self.run(&["emulator", "clock", time]).0, 0);
            }
            for kill in 0..KILLS {
                let longest = typical.load(Ordering::Relaxed);
                let moment = Duration::from_micros(dice.below(longest));
                let when = format!("world {}, run {number}, kill {kill} after {moment:?}", self.seed);
                let strikes = self.killed_after(moment);
                struck += usize::from(strikes);
                // How fast a run is changes with what else the machine does: moments follow it.
                let next = if strikes { longest + longest / 50 } else { longest - longest / 20 };
                typical.store(next.max(20_000), Ordering::Relaxed);
                self.nobody_is_locked_out(&when);
                assert_eq!(self.foreign(), foreign, "{when}");
            }
            let when = format!("world {}, run {number}, at its end", self.seed);
            self.finish(&when);
            self.nobody_is_locked_out(&when);
            self.one_key_for_each_rotation(&when);
            self.nothing_lies_around(&when);
            assert_eq!(self.foreign(), foreign, "{when}");
            let (code, out, err) = self.run(&["verify"]);
            assert_eq!(code, 0, "{when}: {out}\n{err}");
            for address in ["contoso/cloudm-continuity", "contoso/veeam-data-cloud"] {
                assert_eq!(self.run(&["ack", address, "--by", "test"]).0, 0, "{when}");
            }
        }
        struck
    }
}

const APPLY: [&str; 4] = ["apply", "--emulator", "--auto-approve", "--allow-repair"];

fn thumbprint(entry: &Value) -> Option<String> {
    let text = entry["customKeyIdentifier"].as_str()?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    (bytes.len() == 20).then(|| bytes.iter().map(|byte| format!("{byte:02X}")).collect())
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn p1_and_p5_killed_a_hundred_times_nothing_is_lost_and_no_rotation_has_a_second_key() {
    // How long a whole run takes here, so that the moments are spread over all of it.
    let began = Instant::now();
    let undisturbed = World::new(0);
    undisturbed.finish("undisturbed");
    let typical = AtomicU64::new(began.elapsed().as_micros() as u64 / 2);
    let worlds = Mutex::new(1..=WORLDS);
    let struck = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while struck.load(Ordering::Relaxed) < STRIKES {
                    let Some(seed) = worlds.lock().unwrap().next() else { return };
                    struck.fetch_add(World::new(seed).live(&typical), Ordering::Relaxed);
                }
            });
        }
    });
    let struck = struck.into_inner();
    assert!(struck >= STRIKES, "only {struck} kills struck a running process: the moments are badly chosen");
}
