//! Whole commands in this process: an environment, a folder, streams that are kept, keys from a pool.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use certroll::cli::clock::SystemClock;
use certroll::cli::world::{Stream, World};
use tokio::sync::watch;

use super::world::PoolRandom;

/// What a command left behind.
#[derive(Debug, Clone)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Where commands run.
pub struct Bench {
    pub folder: PathBuf,
    pub env: BTreeMap<String, String>,
    pub random: Arc<PoolRandom>,
    pub signals: watch::Receiver<u32>,
    /// What a person types; then standard input and standard error are a terminal.
    pub typed: Option<String>,
    _signaller: watch::Sender<u32>,
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
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
            _signaller: signaller,
        }
    }

    /// Runs one command; the first word is the program's name.
    pub fn run(&self, words: &[&str]) -> Ran {
        let (stdout, stderr) = (Kept::default(), Kept::default());
        let typed = self.typed.clone();
        let world = World {
            env: self.env.clone(),
            cwd: self.folder.clone(),
            stdin: Box::new(std::io::Cursor::new(typed.clone().unwrap_or_default())),
            stdin_is_terminal: typed.is_some(),
            stdout: Stream::new(stdout.clone()),
            stderr: Stream::new(stderr.clone()).on_terminal(typed.is_some()),
            clock: Arc::new(SystemClock),
            random: self.random.clone(),
            signals: self.signals.clone(),
        };
        let code = certroll::cli::run(words.iter().map(Into::into).collect(), world);
        Ran { code, stdout: stdout.text(), stderr: stderr.text() }
    }
}
