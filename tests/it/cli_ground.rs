//! What a run is connected to: whom it trusts, how long it waits, and what it leaves of itself.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use certroll::emulator::Emulator;
use serde_json::Value;

const TENANT: &str = "8f5e2c0a-1b2c-4d3e-9f40-51627384a5b6";

const REAL: &str = "\
certroll: v1
owner: platform
tenants: { contoso: { id: 8f5e2c0a-1b2c-4d3e-9f40-51627384a5b6 } }
stores: { keys: { kind: file, directory: secrets } }
certificates:
  billing:
    application: { app_id: 5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d }
    store: keys
";

fn certroll(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_certroll"));
    command.env_clear().current_dir(folder).args(args).stdin(Stdio::null());
    command
}

/// A declaration of a real tenant, and variables that lead it to whatever answers at `url`.
fn as_real<'c>(command: &'c mut Command, url: &str, client_id: &str, secret: &str) -> &'c mut Command {
    command
        .env("AZURE_AUTHORITY_HOST", url)
        .env("CERTROLL_GRAPH_HOST", url)
        .env("CERTROLL_GRAPH_SCOPE", "https://graph.microsoft.com/.default")
        .env("AZURE_TENANT_ID", TENANT)
        .env("AZURE_CLIENT_ID", client_id)
        .env("AZURE_CLIENT_SECRET", secret)
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("certroll.yaml"), REAL).unwrap();
    folder
}

fn said(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

struct Server(Child, Value);

impl Server {
    /// HTTPS with an authority that no system knows.
    fn start(folder: &Path) -> Server {
        let args = ["emulator", "serve", "--listen", "127.0.0.1:0", "--ca-out", "ca.pem", "--tenant", TENANT];
        let mut server = certroll(folder, &args).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap();
        Server(server, ready)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_proxy_that_inspects_tls_is_trusted_by_the_authority_named_in_certroll_ca_file() {
    let folder = folder();
    let at = folder.path();
    let server = Server::start(at);
    let text = |key: &str| server.1[key].as_str().unwrap();
    let plan = |ca: Option<&str>| {
        let mut command = certroll(at, &["plan"]);
        as_real(&mut command, text("url"), text("client_id"), text("client_secret"));
        if let Some(ca) = ca {
            command.env("CERTROLL_CA_FILE", ca);
        }
        said(command.output().unwrap())
    };
    let (code, _, stderr) = plan(None);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("Error: reading tenant contoso") && stderr.contains("TLS failed"), "{stderr}");
    assert!(stderr.contains("name its certificate authority in CERTROLL_CA_FILE"), "{stderr}");
    let (code, stdout, stderr) = plan(Some("ca.pem"));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("there is no application") && !stdout.contains("emulator"), "{stdout}");

    std::fs::write(at.join("empty.pem"), "nothing in it\n").unwrap();
    for (ca, why) in [("nowhere.pem", "No such file"), ("empty.pem", "no certificate in PEM form")] {
        let (code, _, stderr) = plan(Some(ca));
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains(&format!("Error: reading {ca}\n")) && stderr.contains(why), "{stderr}");
        assert!(stderr.contains("Hint: CERTROLL_CA_FILE names certificate authorities"), "{stderr}");
    }
}

#[test]
fn without_a_network_verify_says_at_once_what_it_waits_for_and_ends_as_a_network_error() {
    let folder = folder();
    // A port that nobody listens at.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let began = Instant::now();
    let mut command = certroll(folder.path(), &["verify", "--json"]);
    let command = as_real(&mut command, &format!("http://{closed}"), TENANT, "not a secret");
    let (code, _, stderr) = said(command.output().unwrap());
    assert_eq!(code, 1, "{stderr}");
    assert!(began.elapsed() < Duration::from_secs(20), "it took {:?}", began.elapsed());
    let diagnostic: Value = serde_json::from_str(stderr.lines().last().unwrap()).unwrap();
    assert_eq!(diagnostic["kind"], "network", "{stderr}");
    let cause = diagnostic["causes"][0].as_str().unwrap();
    assert!(cause.contains(&format!("the connection was refused ({closed}: ")), "{cause}");
    assert_eq!(stderr.matches("; trying again in ").count(), 2, "three attempts: {stderr}");
}

#[test]
fn a_service_that_does_not_answer_is_named_after_some_seconds() {
    let folder = folder();
    // It accepts, and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut command = certroll(folder.path(), &["verify"]);
    let mut child =
        as_real(&mut command, &url, TENANT, "not a secret").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let began = Instant::now();
    let first = lines.next().unwrap().unwrap();
    let second = lines.next().unwrap().unwrap();
    let took = began.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(first, "Reading tenant contoso …");
    assert!(second.contains("127.0.0.1 has not answered for 5 s; waiting for up to 100 s"), "{second}");
    assert!(took < Duration::from_secs(15), "{took:?}");
}

/// The user that a test run by root lends its child, so that the owner of its entry below /proc tells something.
const NOBODY: u32 = 65_534;

#[cfg(target_os = "linux")]
#[test]
fn p3_a_run_leaves_no_core_file_and_lets_nobody_look_into_its_memory() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let folder = folder();
    let open = |path: &Path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    open(folder.path());
    // The program may lie where only its owner comes.
    let program = folder.path().join("certroll");
    std::fs::copy(env!("CARGO_BIN_EXE_certroll"), &program).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // The shell allows core files of any size where it may.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -S -c \"$(ulimit -H -c)\"; exec \"$0\" plan"]).arg(&program);
    command.env_clear().current_dir(folder.path()).stdin(Stdio::null()).stderr(Stdio::null());
    as_real(&mut command, &url, TENANT, "not a secret");
    let root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if root {
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut child = command.spawn().unwrap();
    let (mut asked, _) = listener.accept().unwrap();
    asked.read_exact(&mut [0; 4]).unwrap();
    let process = std::path::PathBuf::from(format!("/proc/{}", child.id()));
    let limits = std::fs::read_to_string(process.join("limits")).unwrap();
    let owner = std::fs::metadata(process.join("status")).unwrap().uid();
    child.kill().unwrap();
    child.wait().unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
    // The kernel gives root the entries of a process whose memory is closed.
    assert_eq!(owner, 0, "its memory is open to its user");
}

/// The state file and everything beside it, with their bytes.
fn state(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder.join(".certroll"))
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        })
        // What was asked is kept on purpose.
        .filter(|(name, _)| !name.ends_with(".journal"))
        .collect();
    files.sort();
    files
}

#[test]
fn p7_looking_at_an_emulator_changes_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let emulated = REAL.replace(&format!("id: {TENANT}"), "cloud: emulator");
    std::fs::write(at.join("certroll.yaml"), emulated).unwrap();
    let seed = r#"{ "tenants": { "contoso": { "existing": [
        { "app_id": "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d", "display_name": "Billing" } ] } } }"#;
    std::fs::write(at.join("emulator-seed.json"), seed).unwrap();
    let run = |args: &[&str]| said(certroll(at, args).output().unwrap());
    assert_eq!(run(&["apply", "--emulator", "--auto-approve"]).0, 0);
    let before = state(at);
    assert_eq!(Emulator::open(&at.join(".certroll/emulator.json")).unwrap().tenants().len(), 1);
    for args in [
        &["plan"][..],
        &["plan", "--json"],
        &["plan", "--out", "plan.json"],
        &["plan", "--now", "2030-01-01"],
        &["show", "plan.json"],
        &["drift"],
        &["verify"],
        &["validate"],
        &["emulator", "show"],
        &["emulator", "journal"],
    ] {
        assert_eq!(run(args).0, 0, "{args:?}");
        assert!(state(at) == before, "{args:?} changed the state");
    }
}
