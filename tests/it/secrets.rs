//! P3: every byte that runs wrote is searched for their secrets, failures and all: private keys in every spelling, passwords, the client
//! secret, tokens and assertions. Only the store's own folder and the emulator's state may hold them, and no file of the store is ever
//! open to others, whatever the umask.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use certroll::emulator::Emulator;

const DECLARATION: &str = r#"certroll: v1
owner: platform
tenants: { contoso: { cloud: emulator, max_retire: 50 } }
stores: { keys: { kind: file, directory: secrets } }
defaults: { overlap: 7d, rotation_period: 30d }
certificates:
  combined:  { application: { app_id: 5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b0001 }, store: keys }
  generated: { application: { app_id: 5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b0002 }, store: { use: keys, format: pfx, password: generate } }
  given:     { application: { app_id: 5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b0003 }, store: { use: keys, format: pfx-base64, password: { env: CERTROLL_SECRET_GIVEN } } }
"#;

const SEED: &str = r#"{ "tenants": { "contoso": { "existing": [
  { "app_id": "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b0001", "display_name": "Combined" },
  { "app_id": "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b0002", "display_name": "Generated" },
  { "app_id": "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b0003", "display_name": "Given" } ] } } }"#;

/// The password that the operator gives.
const GIVEN: &str = "Tr0ub4dor-and-three-more-words";

/// Everything that can go wrong on the way, one after another; each is set before a run.
const TROUBLES: [&str; 9] = [
    r#"{"throttled":{"every":5,"retry_after_seconds":5},"stale_reads":{"reads":3,"replicas":2}}"#,
    r#"{"lost_answers":[{"write":1,"happened":true},{"write":2,"happened":false}],"conflicts":{"every":3}}"#,
    r#"{"unavailable":{"every":4,"status":500,"happened":true}}"#,
    r#"{"token":{"conditional_access_every":2}}"#,
    r#"{"token":{"busy_every":2,"unavailable_every":3}}"#,
    r#"{"connection_refused":{"every":3}}"#,
    r#"{"unavailable":{"every":1,"status":503}}"#,
    r#"{"token_propagation":{"seconds":3600,"front_ends":1}}"#,
    r#"{"dropped_writes":{"which":"all"}}"#,
];

/// Bytes of a key that no certificate holds: they lie in the private half of the encoding.
const PRIVATE_FROM: usize = 700;
const PRIVATE_LENGTH: usize = 48;

struct Scene {
    folder: tempfile::TempDir,
    /// Everything printed.
    said: Vec<u8>,
    secrets: BTreeSet<Vec<u8>>,
    keys: BTreeSet<Vec<u8>>,
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("certroll.yaml"), DECLARATION).unwrap();
        std::fs::write(folder.path().join("emulator-seed.json"), SEED).unwrap();
        Scene { folder, said: Vec::new(), secrets: BTreeSet::from([GIVEN.into()]), keys: BTreeSet::new() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the real binary with files open to everybody unless it says otherwise; its exit code.
    fn run(&mut self, args: &str) -> i32 {
        let script = format!("umask 000; exec {} {args}", env!("CARGO_BIN_EXE_certroll"));
        let mut command = Command::new("/bin/sh");
        command.env_clear().env("CERTROLL_SECRET_GIVEN", GIVEN).current_dir(self.folder.path());
        let output = command.args(["-c", &script]).stdin(Stdio::null()).output().unwrap();
        self.said.extend_from_slice(&output.stdout);
        self.said.extend_from_slice(&output.stderr);
        self.learn();
        output.status.code().unwrap()
    }

    /// What is secret by now.
    fn learn(&mut self) {
        for path in files(&self.at("secrets")) {
            let bytes = std::fs::read(&path).unwrap();
            match path.extension().and_then(|ending| ending.to_str()) {
                Some("pk8") => {
                    self.keys.insert(bytes);
                }
                Some("password") => {
                    self.secrets.insert(bytes.trim_ascii().to_vec());
                }
                Some("pfx") => {
                    self.secrets.insert(bytes[100..148].to_vec());
                    self.secrets.insert(STANDARD.encode(&bytes[99..147]).into_bytes());
                }
                _ => {}
            }
        }
        let emulator = Emulator::open(&self.at(".certroll/emulator.json")).unwrap();
        for (tenant, _) in emulator.tenants() {
            self.secrets.insert(emulator.operator(tenant).client_secret.into_bytes());
        }
    }

    /// Everything that must be clean: what was printed, and every file but the store's and the emulator's state.
    fn written(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = vec![("what was printed".to_owned(), self.said.clone())];
        for path in files(self.folder.path()) {
            let shown = path.strip_prefix(self.folder.path()).unwrap().display().to_string();
            if !shown.starts_with("secrets/") && shown != ".certroll/emulator.json" {
                all.push((shown, std::fs::read(path).unwrap()));
            }
        }
        all
    }

    fn needles(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut needles: Vec<_> = self.secrets.iter().map(|secret| ("a secret", secret.clone())).collect();
        for key in &self.keys {
            let part = &key[PRIVATE_FROM..PRIVATE_FROM + PRIVATE_LENGTH];
            let hex = part.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let debug = part.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
            needles.push(("a key in DER", part.to_vec()));
            needles.push(("a key in hexadecimal", hex.to_uppercase().into_bytes()));
            needles.push(("a key in hexadecimal", hex.into_bytes()));
            needles.push(("a key as numbers", debug.into_bytes()));
            // However the whole was cut into groups of three.
            for shift in 0..3 {
                let aligned = &part[shift..shift + 45];
                needles.push(("a key in base64", STANDARD.encode(aligned).into_bytes()));
                needles.push(("a key in base64url", URL_SAFE_NO_PAD.encode(aligned).into_bytes()));
            }
        }
        for (what, text) in [
            ("a JSON Web Token", "eyJ"),
            ("a private key's heading", "PRIVATE KEY-----"),
            ("a form field with a secret", "client_secret="),
            ("a form field with an assertion", "client_assertion="),
            ("a header with a token", "Bearer "),
        ] {
            needles.push((what, text.as_bytes().to_vec()));
        }
        needles
    }
}

/// Every file below a folder, links not followed. What vanishes meanwhile is left out.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        match std::fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => found.extend(files(&path)),
            Ok(meta) if meta.is_file() => found.push(path),
            _ => {}
        }
    }
    found
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return false };
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|byte| byte == first) {
        from += at;
        if haystack[from..].starts_with(needle) {
            return true;
        }
        from += 1;
    }
    false
}

/// Looks at the store's files over and over until told to stop; how many it saw, and those that were open to others.
fn watch(folder: &Path, stop: &AtomicBool, seen: &AtomicUsize) -> BTreeSet<String> {
    let mut open = BTreeSet::new();
    while !stop.load(Ordering::Relaxed) {
        for path in files(folder) {
            let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
            seen.fetch_add(1, Ordering::Relaxed);
            if meta.permissions().mode() & 0o077 != 0 {
                open.insert(format!("{:04o} {}", meta.permissions().mode() & 0o777, path.display()));
            }
        }
        std::thread::sleep(std::time::Duration::from_micros(500));
    }
    open
}

fn a_life_with_troubles(scene: &mut Scene) {
    assert_eq!(scene.run("plan --out plan.json -vv"), 0);
    assert_eq!(scene.run("apply plan.json --emulator -vv --receipt first.json"), 0);
    assert_eq!(scene.run("show plan.json --json"), 0);
    assert_eq!(scene.run("verify -vv"), 0);
    let mut failures = 0;
    for (number, trouble) in TROUBLES.into_iter().enumerate() {
        assert_eq!(scene.run("emulator clock +31d"), 0);
        std::fs::write(scene.at("faults.json"), trouble).unwrap();
        assert_eq!(scene.run("emulator faults faults.json"), 0);
        let output = if number % 2 == 0 { "--json" } else { "-vvv --log-format json" };
        let args = format!("apply --emulator --auto-approve {output} --receipt receipt-{number}.json");
        failures += usize::from(scene.run(&args) != 0);
        scene.run("verify -vv");
        scene.run("drift -vv --json");
        assert_eq!(scene.run("emulator faults --clear"), 0);
        assert_eq!(scene.run("emulator clock +1h"), 0);
        let code = scene.run(&format!("apply --emulator --auto-approve -vv --receipt after-{number}.json"));
        let said = String::from_utf8_lossy(&scene.said);
        let tail: Vec<&str> = said.lines().rev().take(30).collect();
        assert_eq!(code, 0, "after {trouble}: {tail:#?}");
    }
    assert!(failures >= 3, "the troubles are too small to make a run fail");
}

/// A key that is broken, one that is another's, a password that is not given: errors that had a secret at hand.
fn errors_about_secrets(scene: &mut Scene) {
    let keys: Vec<PathBuf> =
        files(&scene.at("secrets")).into_iter().filter(|path| path.ends_with("key.pk8")).collect();
    let whole = std::fs::read(&keys[0]).unwrap();
    for key in &keys {
        let bytes = std::fs::read(key).unwrap();
        std::fs::write(key, &bytes[..bytes.len() - 40]).unwrap();
    }
    assert_eq!(scene.run("verify -vv"), 1);
    for key in &keys {
        std::fs::write(key, &whole).unwrap();
    }
    assert_eq!(scene.run("verify -vv --json"), 1);
    let text = DECLARATION.replace("env: CERTROLL_SECRET_GIVEN", "env: CERTROLL_SECRET_ABSENT");
    std::fs::write(scene.at("certroll.yaml"), text).unwrap();
    assert_eq!(scene.run("emulator clock +31d"), 0);
    assert_ne!(scene.run("apply --emulator --auto-approve -vv --receipt absent.json"), 0);
}

#[test]
fn p3_no_secret_is_in_anything_a_run_wrote_and_no_key_is_ever_open_to_others() {
    let mut scene = Scene::new();
    let (stop, seen) = (AtomicBool::new(false), AtomicUsize::new(0));
    let store = scene.at("secrets");
    let open = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(&store, &stop, &seen));
        let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            a_life_with_troubles(&mut scene);
            errors_about_secrets(&mut scene);
        }));
        stop.store(true, Ordering::Relaxed);
        let open = watching.join().unwrap();
        lived.unwrap_or_else(|cause| std::panic::resume_unwind(cause));
        open
    });
    assert!(seen.into_inner() > 1000, "the watch saw too little");
    assert!(open.is_empty(), "open to others at some moment: {open:#?}");

    assert!(scene.keys.len() >= 3 * 7, "{} keys were made", scene.keys.len());
    assert!(scene.secrets.len() > 10, "{}", scene.secrets.len());
    let needles = scene.needles();
    for (place, bytes) in scene.written() {
        // A PEM body is one text whatever its lines; nothing else is lost by reading it so.
        let joined: Vec<u8> = bytes.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
        for (what, needle) in &needles {
            assert!(!contains(&bytes, needle) && !contains(&joined, needle), "{what} is in {place}");
        }
    }
}

#[test]
fn the_search_finds_a_key_in_every_spelling() {
    let mut scene = Scene::new();
    let key: Vec<u8> = (0..1217u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    scene.keys.insert(key.clone());
    let found = |text: &[u8]| scene.needles().iter().any(|(_, needle)| contains(text, needle));
    assert!(found(&key));
    assert!(found(format!("{key:?}").as_bytes()));
    for shift in 0..3 {
        assert!(found(STANDARD.encode(&key[shift..]).as_bytes()));
        assert!(found(URL_SAFE_NO_PAD.encode(&key[shift..]).as_bytes()));
    }
    let hex: String = key.iter().map(|byte| format!("{byte:02X}")).collect();
    assert!(found(hex.as_bytes()) && found(hex.to_lowercase().as_bytes()));
    assert!(!found(&key[..PRIVATE_FROM]), "the public half is no secret");
}
