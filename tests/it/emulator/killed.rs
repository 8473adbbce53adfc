//! The server killed at any moment loses nothing it has answered.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use certroll::cli::commands::emulator::{EmulatorCommand, EmulatorEnv, ServeArgs, StateArgs, run};
use certroll::emulator::{Emulator, Kind};
use serde_json::Value;
use uuid::Uuid;

/// Set in the process that is to be killed: the folder to serve from.
const FOLDER: &str = "CERTROLL_TEST_SERVE_IN";

struct Running {
    child: Child,
    url: String,
    client: reqwest::Client,
    token: String,
    tenant: Uuid,
}

/// The process that is killed: this test binary, started again for this one function. In the ordinary run there is nothing
/// to do here.
#[tokio::test(flavor = "multi_thread")]
async fn serves_when_the_test_below_starts_it() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let command = EmulatorCommand::Serve(ServeArgs {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        ca_out: Some(folder.join("ca.pem")),
        latency: None,
        faults: None,
        lenient: false,
        tenant: None,
        state: StateArgs { state: Some(folder.join("emulator.json")) },
    });
    let mut ready = std::fs::File::create(folder.join("ready")).unwrap();
    run(command, EmulatorEnv::default(), &mut ready, &mut std::io::sink()).await.unwrap();
}

/// Starts the server and waits for its line.
async fn serving(folder: &Path) -> (Child, Value) {
    let _ = std::fs::remove_file(folder.join("ready"));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "emulator::killed::serves_when_the_test_below_starts_it"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..600 {
        let text = std::fs::read_to_string(folder.join("ready")).unwrap_or_default();
        if text.ends_with('\n') {
            return (child, serde_json::from_str(&text).unwrap());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("the server was not ready in time");
}

async fn start(folder: &Path) -> Running {
    let (child, ready) = serving(folder).await;
    let text = |name: &str| ready[name].as_str().unwrap().to_owned();
    let authority = reqwest::Certificate::from_pem(&std::fs::read(folder.join("ca.pem")).unwrap()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build().unwrap();
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope=https://graph.microsoft.com/.default",
        text("client_id"),
        text("client_secret")
    );
    let url = text("url");
    let answer =
        client.post(format!("{url}/{}/oauth2/v2.0/token", text("tenant"))).body(form).send().await.unwrap();
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let token = answer["access_token"].as_str().unwrap().to_owned();
    Running { child, url, client, token, tenant: text("tenant").parse().unwrap() }
}

/// Creates applications one after another until the server is gone; answers the names that were acknowledged.
async fn create_until_killed(running: &Running, round: usize, answered: &AtomicUsize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for index in 0.. {
        let name = format!("round {round} number {index}");
        let request =
            running.client.post(format!("{}/v1.0/applications", running.url)).bearer_auth(&running.token);
        let body = serde_json::json!({"displayName": name}).to_string();
        match request.header("Content-Type", "application/json").body(body).send().await {
            Ok(answer) if answer.status().as_u16() == 201 => {
                acknowledged.push(name);
                answered.fetch_add(1, Ordering::Relaxed);
            }
            _ => break,
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_while_writing_has_kept_all_it_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    let mut tenant = Uuid::nil();
    for round in 0..8_usize {
        let mut running = start(folder.path()).await;
        tenant = running.tenant;
        let pid = running.child.id();
        let answered = Arc::new(AtomicUsize::new(0));
        let seen = answered.clone();
        let killer = tokio::spawn(async move {
            while seen.load(Ordering::Relaxed) < 5 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // Odd distances, so that the end comes at another point of the work each time.
            tokio::time::sleep(Duration::from_micros(700 * round as u64)).await;
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        });
        acknowledged.extend(create_until_killed(&running, round, &answered).await);
        killer.await.unwrap();
        running.child.wait().unwrap();
    }
    assert!(acknowledged.len() >= 8 * 5, "only {} writes were answered", acknowledged.len());
    let emulator = Emulator::open(&folder.path().join("emulator.json")).unwrap();
    let there: Vec<Value> = emulator.objects(tenant, Kind::Application);
    for name in &acknowledged {
        assert!(there.iter().any(|object| object["displayName"] == *name), "{name} is lost");
    }
}
