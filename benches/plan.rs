//! How planning grows: `plan` over 100, 1,000 and 10,000 declared certificates on a seeded emulator, as requests, time and peak memory.
//!
//! `cargo bench --bench plan` (or `-- 100 1000` for other sizes; `.ci/run` does `-- 1000`). Times depend on the machine: read the last column, which compares the
//! time for each certificate with that of the first size. Requests and memory have budgets: the requests of the design, and 250 MB.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark has a clock, files and processes, and prints"
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The most memory a plan may take, whatever the number of certificates: 250 MB.
const MEMORY_MAX_KIB: u64 = 250 * 1000 * 1000 / 1024;

const CERTROLL: &str = env!("CARGO_BIN_EXE_certroll");

fn main() {
    let asked: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let sizes = if asked.is_empty() { vec![100, 1_000, 10_000] } else { asked };
    println!(
        "{:>12} {:>9} {:>8} {:>9} {:>10} {:>22}",
        "certificates", "requests", "budget", "time", "memory", "time per one, relative"
    );
    let mut first = None;
    for size in sizes {
        let measured = measure(size);
        let each = measured.time.as_secs_f64() / size as f64;
        let relative = each / *first.get_or_insert(each);
        println!(
            "{size:>12} {:>9} {:>8} {:>7.2} s {:>7.0} MB {relative:>22.2}",
            measured.requests,
            budget(size),
            measured.time.as_secs_f64(),
            measured.peak_kib as f64 / 1024.0,
        );
        assert!(measured.requests <= budget(size), "more requests than the budget allows");
        assert!(measured.peak_kib > 0, "the memory was not measured");
        assert!(measured.peak_kib <= MEMORY_MAX_KIB, "more memory than the budget allows");
    }
}

/// Credential facts of applications and of service principals, and two for policies: `min(ceil(M/999), ceil(N/15)) + 3` each.
fn budget(size: usize) -> usize {
    // The emulator's own operator is one more object.
    2 * ((size + 1).div_ceil(999).min(size.div_ceil(15)) + 3) + 2
}

struct Measured {
    requests: usize,
    time: Duration,
    peak_kib: u64,
}

fn measure(size: usize) -> Measured {
    let folder = tempfile::tempdir().unwrap();
    let (state, declarations) = (folder.path().join("state.json"), folder.path().join("declarations"));
    let seeded = Command::new(CERTROLL)
        .args(["emulator", "--state"])
        .arg(&state)
        .args(["seed", "--applications", &size.to_string(), "--declare"])
        .arg(&declarations)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(seeded.success(), "seeding failed");
    let server = Server::start(folder.path(), &state);
    let began = Instant::now();
    let mut plan = server
        .command(folder.path())
        .args(["plan", "--format", "json", "--max-issue", &size.to_string(), "-f"])
        .arg(&declarations)
        .args(["--out"])
        .arg(folder.path().join("plan.json"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let peak_kib = watch(&mut plan);
    let time = began.elapsed();
    let journal = server.command(folder.path()).args(["emulator", "journal"]).output().unwrap();
    let requests = String::from_utf8(journal.stdout).unwrap();
    let requests = requests.lines().filter(|line| line.contains("\"/v1.0/")).count();
    Measured { requests, time, peak_kib }
}

/// Waits for the process and gives the most memory it was seen to hold.
fn watch(process: &mut Child) -> u64 {
    let status = format!("/proc/{}/status", process.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let high = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let high = high.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(high.unwrap_or(0));
        if let Some(ended) = process.try_wait().unwrap() {
            assert!(ended.success(), "plan failed: {ended}");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An emulator in a process of its own, so that its memory is not counted.
struct Server {
    process: Child,
    ready: serde_json::Value,
    ca: std::path::PathBuf,
}

impl Server {
    fn start(folder: &Path, state: &Path) -> Server {
        let ca = folder.join("ca.pem");
        let mut process = Command::new(CERTROLL)
            .args(["emulator", "--state"])
            .arg(state)
            .args(["serve", "--listen", "127.0.0.1:0", "--ca-out"])
            .arg(&ca)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).expect("the server's first line");
        Server { process, ready, ca }
    }

    fn command(&self, folder: &Path) -> Command {
        let text = |key: &str| self.ready[key].as_str().unwrap_or_default().to_owned();
        let mut command = Command::new(CERTROLL);
        command
            .current_dir(folder)
            .env("CERTROLL_EMULATOR", text("url"))
            .env("CERTROLL_CA_FILE", &self.ca)
            .env("AZURE_CLIENT_ID", text("client_id"))
            .env("AZURE_CLIENT_SECRET", text("client_secret"));
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
