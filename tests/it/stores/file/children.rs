//! Processes that are killed for good, and what a careless umask does: both need a process of their own, so this test binary starts
//! itself again.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use certroll::certificate::Certificate;
use certroll::desired::StoreBinding;
use certroll::store::StoreWriter;
use certroll::store::file::{Action, FileStore, Probe};

use super::FileBench;
use crate::support::contract::{Bench, Ledger, check_documented, whole_life};
use crate::support::trouble::{Mischief, Trouble};

/// What the child is to do: `kill N` or `umask`. Unset in an ordinary run.
const TASK: &str = "CERTROLL_TEST_CHILD_TASK";
const FOLDER: &str = "CERTROLL_TEST_CHILD_FOLDER";

/// Not a test of its own: the other side of those below.
#[tokio::test]
async fn child() {
    let (Ok(task), Ok(folder)) = (std::env::var(TASK), std::env::var(FOLDER)) else { return };
    let probe: Arc<dyn Probe> = match task.strip_prefix("kill ") {
        Some(number) => Arc::new(Kills { left: AtomicU64::new(number.parse().unwrap()) }),
        None => {
            rustix::process::umask(rustix::fs::Mode::empty());
            Arc::new(Inspects { root: folder.clone().into() })
        }
    };
    let bench = ChildBench { inner: FileBench::new().await, folder: folder.into(), probe };
    whole_life(&bench, &mut Ledger::default()).await.unwrap();
}

/// Kills its own process before the nth action; nothing of it runs any more.
struct Kills {
    left: AtomicU64,
}

impl Probe for Kills {
    fn before(&self, _: Action, _: &Path) -> std::io::Result<()> {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 0 {
            let own = rustix::process::getpid();
            rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
            std::thread::sleep(std::time::Duration::from_secs(60));
        }
        Ok(())
    }
}

/// Looks at every mode below the folder before every action.
struct Inspects {
    root: PathBuf,
}

impl Probe for Inspects {
    fn before(&self, action: Action, path: &Path) -> std::io::Result<()> {
        let mut open = vec![self.root.join("secrets")];
        while let Some(folder) = open.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            assert_mode(&folder, 0o700, action, path);
            for entry in entries {
                let below = entry?.path();
                let meta = below.symlink_metadata()?;
                if meta.is_dir() {
                    open.push(below);
                } else if meta.is_file() {
                    assert_mode(&below, 0o600, action, path);
                }
            }
        }
        Ok(())
    }
}

#[allow(clippy::print_stderr, reason = "the only way out before an abort")]
fn assert_mode(path: &Path, expected: u32, action: Action, at: &Path) {
    let mode = path.symlink_metadata().unwrap().permissions().mode() & 0o7777;
    if mode != expected {
        // A panic in here would be caught as a failed call.
        eprintln!("{} has mode {mode:o} before {action:?} of {}", path.display(), at.display());
        std::process::abort();
    }
}

/// The parent's folder, seen from the child.
struct ChildBench {
    inner: FileBench,
    folder: PathBuf,
    probe: Arc<dyn Probe>,
}

#[async_trait]
impl Bench for ChildBench {
    fn store(&self) -> Arc<dyn StoreWriter> {
        Arc::new(FileStore::new(self.folder.join("secrets")).probe(self.probe.clone()))
    }

    fn entry(&self) -> StoreBinding {
        self.inner.entry()
    }

    fn trouble(&self) -> Arc<Trouble> {
        self.inner.trouble()
    }

    fn mischief(&self) -> &'static [Mischief] {
        &[]
    }

    async fn consume(&self) -> Option<Certificate> {
        None
    }

    fn rival(&self) -> Box<dyn FnOnce() + Send> {
        self.inner.rival()
    }

    fn put_by_hand(&self, pem: &str) -> bool {
        self.inner.put_by_hand(pem)
    }

    fn rivals_within_calls(&self) -> bool {
        false
    }

    fn snapshot(&self) -> String {
        String::new()
    }

    fn touches_key(&self, call: &str) -> bool {
        self.inner.touches_key(call)
    }
}

fn run_child(task: &str, bench: &FileBench) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["stores::file::children::child", "--exact", "--quiet"])
        .env(TASK, task)
        .env(FOLDER, bench.folder.path())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap()
}

#[tokio::test]
async fn files_are_0600_and_folders_0700_from_the_first_byte_whatever_the_umask() {
    let bench = FileBench::new().await;
    let status = run_child("umask", &bench);
    assert!(status.success(), "{status}");
    assert!(bench.consume().await.is_some(), "the child did its work");
}

#[tokio::test]
async fn a_run_killed_for_good_at_any_action_is_finished_by_the_next_one() {
    let mut killed = 0;
    // Every action is gone through in process by the contract; here every third one, with a real kill.
    for number in (0..).step_by(3) {
        let bench = FileBench::new().await;
        let status = run_child(&format!("kill {number}"), &bench);
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(9), "{status}");
        killed += 1;
        let when = format!("killed before action {number}");
        check_documented(&bench, &Ledger::default(), &when).await;
        // Killed again in the middle of the repair, and then left alone.
        run_child(&format!("kill {}", number / 2), &bench);
        let mut ledger = Ledger::default();
        let finished = whole_life(&bench, &mut ledger).await;
        assert!(finished.is_ok(), "{when}: {finished:?}");
        check_documented(&bench, &ledger, &when).await;
        assert_eq!(bench.holding().await.generations.len(), 2, "{when}");
    }
    assert!(killed > 20, "only {killed} children were killed");
}
