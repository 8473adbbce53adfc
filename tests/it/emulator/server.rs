//! The server: TLS, both versions of HTTP, lost answers, the other door, and the command line on top.

use std::path::Path;
use std::time::Duration;

use certroll::cli::commands::emulator::{EmulatorCommand, EmulatorEnv, run};
use certroll::emulator::{Emulator, Faults, LostAnswer, Server};
use clap::Parser;
use serde_json::Value;

use super::world::*;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: EmulatorCommand,
}

fn client(ca: &str, http1: bool) -> reqwest::Client {
    let ca = reqwest::Certificate::from_pem(ca.as_bytes()).unwrap();
    let builder = reqwest::Client::builder().no_proxy().tls_certs_only([ca]);
    if http1 { builder.http1_only().build().unwrap() } else { builder.build().unwrap() }
}

async fn served(directory: &Directory, latency: Duration) -> (String, String) {
    let server =
        Server::bind(directory.emulator.clone(), "127.0.0.1:0".parse().unwrap(), latency).await.unwrap();
    let (url, ca) = (server.url(), server.ca_pem().to_owned());
    tokio::spawn(server.run());
    (url, ca)
}

/// Runs a command as the binary would; answers what it printed.
async fn command(env: &EmulatorEnv, arguments: &[&str]) -> Result<String, String> {
    let parsed =
        Arguments::try_parse_from([&["emulator"], arguments].concat()).map_err(|error| error.to_string())?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    run(parsed.command, env.clone(), &mut out, &mut err).await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

fn on(state: &Path) -> EmulatorEnv {
    EmulatorEnv { state: Some(state.to_path_buf()), ..EmulatorEnv::default() }
}

#[tokio::test]
async fn both_versions_of_http_work_over_tls_and_links_name_the_served_host() {
    let directory = Directory::new();
    directory.emulator.seed(TENANT, 3);
    let (url, ca) = served(&directory, Duration::ZERO).await;
    for (http1, version) in [(true, reqwest::Version::HTTP_11), (false, reqwest::Version::HTTP_2)] {
        let request = client(&ca, http1).get(format!("{url}/v1.0/applications?$top=1"));
        let answer = request.bearer_auth(&directory.token).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert!(
            body["@odata.nextLink"]
                .as_str()
                .unwrap()
                .starts_with(&format!("{url}/v1.0/applications?$top=1&"))
        );
    }
    let stranger = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    assert!(stranger.get(format!("{url}/v1.0/applications")).send().await.is_err());
}

#[tokio::test]
async fn a_lost_answer_drops_the_connection_and_not_the_server() {
    let directory = Directory::new();
    let (id, _) = directory.application("orders-api", vec![]);
    directory.emulator.set_faults(Faults {
        lost_answers: vec![LostAnswer { write: 1, happened: true }],
        ..Faults::default()
    });
    let (url, ca) = served(&directory, Duration::ZERO).await;
    for http1 in [true, false] {
        directory.emulator.set_faults(directory.emulator.faults());
        let client = client(&ca, http1);
        let path = format!("{url}/v1.0/applications/{id}");
        let body = r#"{"notes":"x"}"#;
        let patch = || {
            client
                .patch(&path)
                .bearer_auth(&directory.token)
                .header("Content-Type", "application/json")
                .body(body)
                .send()
        };
        assert!(patch().await.is_err());
        assert_eq!(patch().await.unwrap().status().as_u16(), 204);
    }
}

#[tokio::test]
async fn latency_is_waited_for_by_the_server_alone() {
    let directory = Directory::new();
    let (url, ca) = served(&directory, Duration::from_millis(120)).await;
    let before = std::time::Instant::now();
    client(&ca, false).get(format!("{url}/subscriptions")).send().await.unwrap();
    assert!(before.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn it_listens_on_loopback_only() {
    let emulator = Emulator::in_memory(start(), 1);
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        assert!(
            Server::bind(emulator.clone(), address.parse().unwrap(), Duration::ZERO).await.is_err(),
            "{address}"
        );
    }
}

#[tokio::test]
async fn the_other_door_is_closed_to_pages_in_a_browser() {
    let directory = Directory::new();
    let (url, ca) = served(&directory, Duration::ZERO).await;
    let client = client(&ca, true);
    let ask = |name: &'static str, value: &'static str| {
        client.get(format!("{url}/_emulator/clock")).header(name, value).send()
    };
    assert_eq!(ask("Origin", "https://evil.example").await.unwrap().status().as_u16(), 403);
    assert_eq!(ask("Host", "evil.example").await.unwrap().status().as_u16(), 403);
    assert_eq!(ask("Accept", "*/*").await.unwrap().status().as_u16(), 200);
    // It is no part of the service: in process nobody finds it.
    assert_eq!(directory.get("/_emulator/clock").status, 404);
    assert!(
        directory
            .emulator
            .journal()
            .iter()
            .all(|entry| entry.path != "/_emulator/clock" || entry.status == 404)
    );
}

#[tokio::test]
async fn the_commands_work_on_a_state_file() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("emulator.json");
    let env = on(&state);
    assert_eq!(command(&env, &["clock", "2026-03-01T00:00:00Z"]).await.unwrap(), "2026-03-01T00:00:00Z\n");
    // 30 calendar days; March has 31.
    assert_eq!(command(&env, &["clock", "+30d"]).await.unwrap(), "2026-03-31T00:00:00Z\n");
    assert_eq!(command(&env, &["clock", "+P1M"]).await.unwrap(), "2026-04-30T00:00:00Z\n");
    assert_eq!(command(&env, &["clock", "-36h"]).await.unwrap(), "2026-04-28T12:00:00Z\n");
    assert!(command(&env, &["clock", "+30"]).await.unwrap_err().contains("a duration such as"));
    let seeded: Value =
        serde_json::from_str(&command(&env, &["seed", "--applications", "4"]).await.unwrap()).unwrap();
    assert_eq!(seeded["applications"], 4);
    let shown = command(&env, &["show"]).await.unwrap();
    let line = shown.lines().find(|line| line.contains("legacy-ci")).unwrap().trim();
    let thumbprint = line.split(' ').next().unwrap();
    assert_eq!(thumbprint.len(), 40, "{line}");
    let owner = shown
        .lines()
        .rev()
        .skip_while(|other| other.trim() != line)
        .find(|line| line.contains("application"))
        .unwrap();
    let name = owner.split('"').nth(1).unwrap();
    let breaking = ["break", "delete-credential", "--application", name, "--thumbprint", &thumbprint[..8]];
    command(&env, &breaking).await.unwrap();
    assert!(!command(&env, &["show"]).await.unwrap().contains(thumbprint));
    assert!(command(&env, &breaking).await.unwrap_err().contains("has no credential"));
    command(&env, &["break", "add-credential", "--application", name, "--name", "\u{1b}[31mred"])
        .await
        .unwrap();
    let shown = command(&env, &["show"]).await.unwrap();
    assert!(shown.contains(r"\u{1b}[31mred") && !shown.contains('\u{1b}'));
    command(&env, &["break", "delete-application", "--application", name]).await.unwrap();
    assert!(!command(&env, &["show"]).await.unwrap().contains(name));
    assert!(
        command(&env, &["break", "disable", "--application", "nobody"])
            .await
            .unwrap_err()
            .contains("no application is called")
    );
    command(&env, &["break", "change", r#"{"change":"conditional_access","blocks":true}"#]).await.unwrap();
    assert!(command(&env, &["break", "change", r#"{"change":"conditional_acess"}"#]).await.is_err());
    command(&env, &["reset"]).await.unwrap();
    assert!(!command(&env, &["show"]).await.unwrap().contains("Seeded"));
    assert_eq!(command(&env, &["journal"]).await.unwrap(), "");
}

#[tokio::test]
async fn the_commands_work_on_a_running_server() {
    let directory = Directory::new();
    let (url, ca) = served(&directory, Duration::ZERO).await;
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, ca).unwrap();
    let env = EmulatorEnv { server: Some(url), ca_file: Some(ca_file), ..EmulatorEnv::default() };
    assert_eq!(command(&env, &["clock", "+1d"]).await.unwrap(), "2026-03-02T00:00:00Z\n");
    directory.get("/v1.0/applications");
    let journal = command(&env, &["journal"]).await.unwrap();
    let last: Value = serde_json::from_str(journal.lines().last().unwrap()).unwrap();
    assert_eq!(
        (last["method"].as_str(), last["path"].as_str(), last["status"].as_u64()),
        (Some("GET"), Some("/v1.0/applications"), Some(401))
    );
    command(&env, &["journal", "--clear"]).await.unwrap();
    assert!(directory.emulator.journal().is_empty());
    let faults = folder.path().join("faults.json");
    std::fs::write(&faults, r#"{"conflicts": {"every": 2}}"#).unwrap();
    command(&env, &["faults", faults.to_str().unwrap()]).await.unwrap();
    assert!(directory.emulator.faults().conflicts.is_some());
    command(&env, &["faults", "--clear"]).await.unwrap();
    assert_eq!(directory.emulator.faults(), Faults::default());
    std::fs::write(&faults, r#"{"conflict": {"every": 2}}"#).unwrap();
    assert!(
        command(&env, &["faults", faults.to_str().unwrap()])
            .await
            .unwrap_err()
            .contains("unknown field `conflict`")
    );
    let without = EmulatorEnv { ca_file: None, ..env };
    assert!(command(&without, &["clock"]).await.unwrap_err().contains("CERTROLL_CA_FILE"));
}

#[tokio::test]
async fn seeding_with_declarations_writes_files_that_name_every_application() {
    let folder = tempfile::tempdir().unwrap();
    let env = on(&folder.path().join("emulator.json"));
    let declared = folder.path().join("declared");
    let path = declared.to_str().unwrap();
    command(&env, &["seed", "--applications", "1500", "--declare", path]).await.unwrap();
    let mut names: Vec<String> = std::fs::read_dir(&declared)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["certificates-0001.yaml", "certificates-0002.yaml", "certroll.yaml"]);
    let read = |name: &str| -> Value {
        let text = std::fs::read_to_string(declared.join(name)).unwrap();
        assert!(text.starts_with("certroll: v1\n"));
        serde_yaml::from_str(&text).unwrap()
    };
    let globals = read("certroll.yaml");
    assert_eq!(globals["tenants"]["emulated"]["cloud"], "emulator");
    assert_eq!(globals["stores"]["runner"]["kind"], "file");
    let emulator = Emulator::open(&folder.path().join("emulator.json")).unwrap();
    let tenant = globals["tenants"]["emulated"]["id"].as_str().unwrap().parse().unwrap();
    for name in &names[..2] {
        let file = read(name);
        for (name, certificate) in file["certificates"].as_object().unwrap() {
            let app_id = certificate["application"]["app_id"].as_str().unwrap().parse().unwrap();
            assert!(
                emulator.object(tenant, certroll::emulator::Kind::Application, app_id).is_some(),
                "{name}"
            );
            assert_eq!(file["defaults"]["store"], "runner");
        }
    }
}
