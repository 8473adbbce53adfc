//! Whole commands in this process: an environment, a folder, streams that are kept, keys from a pool.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use certroll::certificate::KeyKind;
use certroll::cli::clock::SystemClock;
use certroll::cli::world::{Stream, World};
use certroll::key::{KeyError, PrivateKey};
use certroll::runtime::Random;
use tokio::sync::watch;

use super::ca::TestCa;
use super::keys;
use super::world::PoolRandom;

/// What a command left behind.
#[derive(Debug, Clone)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// The names of the folders in a folder below `examples`.
pub fn examples_in(name: &str) -> Vec<String> {
    let found = std::fs::read_dir(examples().join(name)).unwrap();
    let mut found: Vec<String> =
        found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    found
}

/// What an example says that rotates at once.
pub const ROTATED: [&str; 2] = ["1 rotated, proven", "nothing to do"];

/// Runs the example in that folder once for each text that the outcome has to hold. `before` sets up what a person would.
pub fn applies(name: &str, before: impl Fn(&mut Bench), outcomes: &[&str]) {
    let (_folder, mut bench) = Bench::of_example(name);
    let validated = bench.run(&["certroll", "validate"]);
    assert_eq!(validated.code, 0, "{}", validated.stderr);
    for expected in outcomes {
        before(&mut bench);
        let ran = bench.run(&["certroll", "apply", "--emulator", "--auto-approve"]);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(expected), "{}", ran.stdout);
    }
}

/// Where commands run.
pub struct Bench {
    pub folder: PathBuf,
    pub env: BTreeMap<String, String>,
    pub random: Arc<PoolRandom>,
    pub signals: watch::Receiver<u32>,
    /// What a person types; then standard input and standard error are a terminal.
    pub typed: Option<String>,
    /// Called each time a command prints, logs or asks for randomness: as a request needs an id, nothing lasting is done unnoticed.
    pub spy: Option<Spy>,
    _signaller: watch::Sender<u32>,
}

pub type Spy = Arc<dyn Fn() + Send + Sync>;

#[derive(Clone)]
struct Kept(Arc<Mutex<Vec<u8>>>, Option<Spy>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        look(self.1.as_ref());
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn look(spy: Option<&Spy>) {
    if let Some(spy) = spy {
        spy();
    }
}

struct SpiedRandom(Arc<PoolRandom>, Option<Spy>);

#[async_trait]
impl Random for SpiedRandom {
    fn fill(&self, buffer: &mut [u8]) {
        look(self.1.as_ref());
        self.0.fill(buffer);
    }

    async fn key_pair(&self, kind: KeyKind) -> Result<PrivateKey, KeyError> {
        look(self.1.as_ref());
        self.0.key_pair(kind).await
    }
}

impl Bench {
    /// With an environment that says nothing.
    pub fn new(folder: &Path) -> Bench {
        let (signaller, signals) = watch::channel(0);
        Bench {
            folder: folder.to_owned(),
            env: BTreeMap::new(),
            random: Arc::default(),
            signals,
            typed: None,
            spy: None,
            _signaller: signaller,
        }
    }

    /// In a copy of a folder below `examples`.
    pub fn of_example(name: &str) -> (tempfile::TempDir, Bench) {
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(examples().join(name)).unwrap() {
            let path = entry.unwrap().path();
            // What somebody left there who tried it out.
            if path.is_file() {
                std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        let bench = Bench::new(folder.path());
        (folder, bench)
    }

    /// A CA's certificate in a file, its key in CERTROLL_SECRET_CA_KEY.
    pub fn lay_down_ca(&mut self, path: &str) {
        let path = self.folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, TestCa::new().certificate().to_pem()).unwrap();
        let key = certroll::pem::encode("PRIVATE KEY", keys::key(11).expose_pkcs8()).to_string();
        self.env.insert("CERTROLL_SECRET_CA_KEY".into(), key);
    }

    /// Runs one command; the first word is the program's name.
    pub fn run(&self, words: &[&str]) -> Ran {
        let kept = || Kept(Arc::default(), self.spy.clone());
        let (stdout, stderr) = (kept(), kept());
        let typed = self.typed.clone();
        let world = World {
            env: self.env.clone(),
            cwd: self.folder.clone(),
            stdin: Box::new(std::io::Cursor::new(typed.clone().unwrap_or_default())),
            stdin_is_terminal: typed.is_some(),
            stdout: Stream::new(stdout.clone()),
            stderr: Stream::new(stderr.clone()).on_terminal(typed.is_some()),
            clock: Arc::new(SystemClock),
            random: Arc::new(SpiedRandom(self.random.clone(), self.spy.clone())),
            signals: self.signals.clone(),
        };
        let code = certroll::cli::run(words.iter().map(Into::into).collect(), world);
        Ran { code, stdout: stdout.text(), stderr: stderr.text() }
    }
}
