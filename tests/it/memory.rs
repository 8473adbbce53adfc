//! P3: what remains of keys and passwords in the memory of a process that used them and is done. A run in a process of its own makes,
//! stages, publishes, proves, promotes and verifies keys in every form; then the process searches all of its writable memory, stacks and
//! freed blocks included. What is searched for is kept masked, so that the search does not find itself.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certroll::cli::clock::SystemClock;
use certroll::cli::world::{Stream, World};
use certroll::random::SystemRandom;
use zeroize::Zeroizing;

const DECLARATION: &str = r"certroll: v1
owner: platform
tenants: { contoso: { cloud: emulator } }
stores: { keys: { kind: file, directory: secrets } }
certificates:
  combined: { application: { app_id: 5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b0001 }, store: keys }
  pair:     { application: { app_id: 5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b0002 }, store: { use: keys, format: pem-pair } }
  pfx:      { application: { app_id: 5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b0003 }, store: { use: keys, format: pfx, password: generate } }
";

const SEED: &str = r#"{ "tenants": { "contoso": { "existing": [
  { "app_id": "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b0001", "display_name": "Combined" },
  { "app_id": "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b0002", "display_name": "Pair" },
  { "app_id": "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b0003", "display_name": "Pfx" } ] } } }"#;

/// Set in the process that is searched: its folder.
const FOLDER: &str = "CERTROLL_TEST_MEMORY_FOLDER";

/// Offsets in the PKCS#8 DER of an RSA key of 2048 bits: one inside each of d, p, q, d mod p-1, d mod q-1 and 1/q mod p.
const INSIDE: [usize; 6] = [400, 600, 740, 870, 1000, 1130];
const PIECE: usize = 16;

/// What is searched for is kept with every byte turned by this.
const MASK: u8 = 0xA5;

/// A masked piece of a secret, and what it is.
#[derive(Debug)]
struct Needle {
    what: String,
    masked: Vec<u8>,
}

impl Needle {
    fn new(what: String, piece: impl Iterator<Item = u8>) -> Needle {
        Needle { what, masked: piece.map(|byte| byte ^ MASK).collect() }
    }

    fn stands_at(&self, memory: &[u8]) -> bool {
        memory.len() >= self.masked.len()
            && self.masked.iter().zip(memory).all(|(masked, byte)| masked ^ MASK == *byte)
    }
}

/// The pieces of what lies in the store.
fn needles(store: &Path) -> Vec<Needle> {
    let mut needles = Vec::new();
    for path in super::secrets::files(store) {
        let name = path.strip_prefix(store).unwrap().display().to_string();
        let secret = Zeroizing::new(read(&path));
        if name.ends_with("key.pk8") {
            let text = Zeroizing::new(STANDARD.encode(&*secret));
            for at in INSIDE {
                let piece = &secret[at..at + PIECE];
                // The encoding, numbers as the arithmetic holds them, the text of a PEM.
                needles.push(Needle::new(format!("DER {at} of {name}"), piece.iter().copied()));
                needles.push(Needle::new(format!("number {at} of {name}"), piece.iter().rev().copied()));
                let text = text[at / 3 * 4..].bytes().take(PIECE);
                needles.push(Needle::new(format!("PEM {at} of {name}"), text));
            }
        } else if name.ends_with(".password") {
            needles.push(Needle::new(name, secret.trim_ascii().iter().copied()));
        }
    }
    needles
}

/// A whole file, through nothing that keeps a copy.
fn read(path: &Path) -> Vec<u8> {
    let file = std::fs::File::open(path).unwrap();
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Which of them stand in this process's writable memory, and where.
fn search(needles: &[Needle]) -> BTreeSet<String> {
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    let mut begins = vec![false; 1 << 16];
    for needle in needles {
        begins[usize::from(needle.masked[0] ^ MASK) << 8 | usize::from(needle.masked[1] ^ MASK)] = true;
    }
    let mut buffer = Zeroizing::new(vec![0; 1 << 20]);
    let own = buffer.as_ptr() as usize..buffer.as_ptr() as usize + buffer.len();
    let mut found = BTreeSet::new();
    for line in std::fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        let region = words.nth(3).unwrap_or("anonymous");
        let (start, end) = range.split_once('-').unwrap();
        let (start, end) =
            (usize::from_str_radix(start, 16).unwrap(), usize::from_str_radix(end, 16).unwrap());
        let mut from = start;
        while rights.starts_with("rw") && from < end {
            let length = buffer.len().min(end - from);
            let Ok(read) = memory.read_at(&mut buffer[..length], from as u64) else { break };
            let part = &buffer[..read];
            for (at, pair) in part.windows(2).enumerate() {
                if begins[usize::from(pair[0]) << 8 | usize::from(pair[1])] && !own.contains(&(from + at)) {
                    let here = needles.iter().filter(|needle| needle.stands_at(&part[at..]));
                    found.extend(here.map(|needle| format!("{} in {region}", needle.what)));
                }
            }
            // Pieces that lie across the end of a part are found from a little before it.
            from += if read < end - from { read.saturating_sub(64).max(1) } else { read };
        }
    }
    found
}

/// One command in this process, with keys of its own.
fn run(folder: &Path, words: &[&str]) -> i32 {
    let (_signaller, signals) = tokio::sync::watch::channel(0);
    let world = World {
        env: Default::default(),
        cwd: folder.to_owned(),
        stdin: Box::new(std::io::empty()),
        stdin_is_terminal: false,
        stdout: Stream::new(std::io::sink()),
        stderr: Stream::new(std::io::sink()),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        signals,
    };
    certroll::cli::run(["certroll"].iter().chain(words).map(Into::into).collect(), world)
}

/// The one exception, which SECURITY.md names: the library that writes PFX files frees its copies of the encoding without wiping them.
fn is_left_by_the_library(found: &str) -> bool {
    found.starts_with("DER ") && found.contains(" of pfx/")
}

/// Not a test of its own: the process that is searched.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = PathBuf::from(folder);
    assert_eq!(run(&folder, &["apply", "--emulator", "--auto-approve"]), 0);
    assert_eq!(run(&folder, &["verify"]), 0);
    let store = folder.join("secrets");
    let needles = needles(&store);
    assert_eq!(needles.len(), 3 * INSIDE.len() * 3 + 1, "{needles:?}");
    let remains = search(&needles);

    // The search finds what is there: a key, and its text.
    let key = super::secrets::files(&store).into_iter().find(|path| path.ends_with("key.pk8")).unwrap();
    let held = Zeroizing::new(read(&key));
    let text = Zeroizing::new(STANDARD.encode(&*held));
    let while_held = search(&needles);
    for spelling in ["DER 600", "PEM 600"] {
        assert!(while_held.iter().any(|found| found.starts_with(spelling)), "{while_held:?}");
    }
    drop((held, text));
    let ours: Vec<_> = remains.iter().filter(|found| !is_left_by_the_library(found)).collect();
    assert!(ours.is_empty(), "{ours:#?}");
}

#[test]
fn p3_no_key_and_no_password_remains_in_memory_after_a_run_but_what_the_pfx_library_leaves() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("certroll.yaml"), DECLARATION).unwrap();
    std::fs::write(folder.path().join("emulator-seed.json"), SEED).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "memory::child", "--nocapture"]).env(FOLDER, folder.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
