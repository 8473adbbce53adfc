//! The server killed at any moment loses nothing it has answered.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use certroll::emulator::{Emulator, Kind};
use serde_json::Value;
use uuid::Uuid;

struct Running {
    child: Child,
    url: String,
    client: reqwest::Client,
    token: String,
    tenant: Uuid,
}

async fn start(folder: &Path) -> Running {
    let ca = folder.join("ca.pem");
    let mut child = Command::new(env!("CARGO_BIN_EXE_certroll"))
        .args(["emulator", "serve", "--listen", "127.0.0.1:0", "--state"])
        .arg(folder.join("emulator.json"))
        .arg("--ca-out")
        .arg(&ca)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let text = |name: &str| ready[name].as_str().unwrap().to_owned();
    let authority = reqwest::Certificate::from_pem(&std::fs::read(ca).unwrap()).unwrap();
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
async fn create_until_killed(running: &Running, round: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for index in 0.. {
        let name = format!("round {round} number {index}");
        let request =
            running.client.post(format!("{}/v1.0/applications", running.url)).bearer_auth(&running.token);
        let body = serde_json::json!({"displayName": name}).to_string();
        match request.header("Content-Type", "application/json").body(body).send().await {
            Ok(answer) if answer.status().as_u16() == 201 => acknowledged.push(name),
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
        let killer = tokio::spawn(async move {
            // Odd distances, so that the end comes at another point of the work each time.
            tokio::time::sleep(Duration::from_millis(7 + 13 * round as u64)).await;
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        });
        acknowledged.extend(create_until_killed(&running, round).await);
        killer.await.unwrap();
        running.child.wait().unwrap();
    }
    assert!(acknowledged.len() > 20, "only {} writes were answered", acknowledged.len());
    let emulator = Emulator::open(&folder.path().join("emulator.json")).unwrap();
    let there: Vec<Value> = emulator.objects(tenant, Kind::Application);
    for name in &acknowledged {
        assert!(there.iter().any(|object| object["displayName"] == *name), "{name} is lost");
    }
}
