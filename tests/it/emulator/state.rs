//! The state file: shared between processes, saved before each answer, small steps for large states; clock and journal.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use certroll::emulator::{Emulator, Faults, Kind, StaleReads};
use jiff::SignedDuration;
use serde_json::json;

use super::world::*;

fn open(folder: &Path) -> Directory {
    let emulator = Emulator::open(&folder.join("state/emulator.json")).unwrap();
    emulator.freeze(Some(start()));
    Directory::over(emulator)
}

#[test]
fn what_was_answered_is_there_for_whoever_opens_the_file_next() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let (id, client) = directory.application("orders-api", vec![]);
    assert_eq!(directory.write_keys(id, vec![new_entry(identity(0), "first")]).status, 204);
    let again = Emulator::open(&folder.path().join("state/emulator.json")).unwrap();
    assert_eq!(sign_in_as(&again, identity(0), client).status, 200);
    // The token of the one is good at the other: both are the same service.
    let other = Directory { emulator: again, token: directory.token.clone() };
    assert_eq!(other.entries(id).len(), 1);
    assert_eq!(other.emulator.operator(TENANT), directory.emulator.operator(TENANT));
}

#[test]
fn two_emulators_on_one_file_see_each_others_changes_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let second = Directory {
        emulator: Emulator::open(&folder.path().join("state/emulator.json")).unwrap(),
        token: first.token.clone(),
    };
    // Large enough that changes go to the log.
    first.emulator.seed(TENANT, 60);
    let (id, _) = second.application("orders-api", vec![]);
    for round in 0..3 {
        assert_eq!(first.write_keys(id, vec![new_entry(identity(0), &format!("first {round}"))]).status, 204);
        assert_eq!(second.entries(id)[0]["displayName"], format!("first {round}"));
        assert_eq!(
            second.patch(&format!("/v1.0/applications/{id}"), json!({"notes": round.to_string()})).status,
            204
        );
        assert_eq!(first.get(&format!("/v1.0/applications/{id}")).body["notes"], round.to_string());
    }
    assert!(folder.path().join("state/emulator.json.log").exists());
    first.emulator.advance(SignedDuration::from_hours(5));
    assert_eq!(second.emulator.now(), start() + SignedDuration::from_hours(5));
    second.emulator.reset();
    assert_eq!(first.emulator.objects(TENANT, Kind::Application).len(), 1);
}

#[test]
fn many_threads_on_several_handles_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    directory.emulator.seed(TENANT, 60);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let emulator = Emulator::open(&folder.path().join("state/emulator.json")).unwrap();
            let token = directory.token.clone();
            scope.spawn(move || {
                let own = Directory { emulator, token };
                for index in 0..25 {
                    let body = json!({"displayName": format!("made {thread} {index}")});
                    assert_eq!(own.post("/v1.0/applications", body).status, 201);
                }
            });
        }
    });
    let made = directory.get("/v1.0/applications?$top=999&$select=displayName");
    assert_eq!(
        made.values()
            .iter()
            .filter(|object| object["displayName"].as_str().unwrap().starts_with("made"))
            .count(),
        100
    );
    assert_eq!(
        directory
            .emulator
            .journal()
            .iter()
            .filter(|entry| entry.method == "POST" && entry.status == 201)
            .count(),
        100
    );
}

#[test]
fn all_files_are_for_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    directory.emulator.seed(TENANT, 60);
    directory.application("orders-api", vec![]);
    directory.get("/v1.0/applications");
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.path().join("state")).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["emulator.json", "emulator.json.journal", "emulator.json.lock", "emulator.json.log"]);
}

#[test]
fn reading_writes_nothing_but_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    directory.emulator.seed(TENANT, 60);
    let state = || {
        let read = |name: &str| fs::read(folder.path().join("state").join(name)).unwrap_or_default();
        (read("emulator.json"), read("emulator.json.log"))
    };
    let before = state();
    directory.get("/v1.0/applications");
    sign_in_as(&directory.emulator, identity(0), uuid::Uuid::from_u128(4));
    assert!(before == state());
    assert_eq!(directory.write_keys(uuid::Uuid::from_u128(4), vec![]).status, 404);
    assert!(before == state());
}

#[test]
fn a_change_half_written_by_somebody_who_died_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    directory.emulator.seed(TENANT, 60);
    let (id, _) = directory.application("orders-api", vec![]);
    let log = folder.path().join("state/emulator.json.log");
    let mut text = fs::read_to_string(&log).unwrap();
    let whole = text.len();
    text.push_str(r#"[{"object":{"tenant":"8f5e"#);
    fs::write(&log, &text).unwrap();
    assert_eq!(directory.write_keys(id, vec![new_entry(identity(0), "first")]).status, 204);
    let again = Emulator::open(&folder.path().join("state/emulator.json")).unwrap();
    assert_eq!(
        again.object(TENANT, Kind::Application, id).unwrap()["keyCredentials"].as_array().unwrap().len(),
        1
    );
    assert!(
        fs::read_to_string(&log).unwrap()[whole..].starts_with("[{\"meta\"")
            || fs::read_to_string(&log).unwrap()[whole..].starts_with("[{\"object\"")
    );
}

#[test]
fn a_log_that_continues_another_state_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    directory.emulator.seed(TENANT, 60);
    directory.application("orders-api", vec![]);
    let log = folder.path().join("state/emulator.json.log");
    let old = fs::read(&log).unwrap();
    directory.emulator.reset();
    assert!(!log.exists());
    fs::write(&log, old).unwrap();
    let again = Emulator::open(&folder.path().join("state/emulator.json")).unwrap();
    assert_eq!(again.objects(TENANT, Kind::Application).len(), 1);
}

#[test]
fn a_file_that_is_no_state_is_refused_and_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("emulator.json");
    fs::write(&path, "{\"certroll_emulator\": 1, \"oops\": true}").unwrap();
    let error = Emulator::open(&path).unwrap_err().to_string();
    assert!(error.contains("emulator.json"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"certroll_emulator\": 1, \"oops\": true}");
}

#[test]
fn a_state_spoilt_meanwhile_is_answered_with_500_and_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let (id, _) = directory.application("orders-api", vec![]);
    let path = folder.path().join("state/emulator.json");
    let good = fs::read(&path).unwrap();
    fs::write(&path, "spoilt").unwrap();
    let got = directory.write_keys(id, vec![new_entry(identity(0), "first")]);
    assert_eq!(got.status, 500);
    assert!(directory.emulator.failure().is_some());
    assert_eq!(fs::read_to_string(&path).unwrap(), "spoilt");
    fs::write(&path, good).unwrap();
    assert_eq!(directory.entries(id).len(), 0);
    assert!(directory.emulator.failure().is_none());
}

#[test]
fn a_state_removed_meanwhile_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    directory.emulator.seed(TENANT, 60);
    let (id, _) = directory.application("orders-api", vec![]);
    fs::remove_file(folder.path().join("state/emulator.json")).unwrap();
    assert_eq!(directory.write_keys(id, vec![new_entry(identity(0), "first")]).status, 204);
    let again = Emulator::open(&folder.path().join("state/emulator.json")).unwrap();
    assert_eq!(again.objects(TENANT, Kind::Application).len(), 62);
}

#[test]
fn a_running_clock_keeps_its_distance_and_a_frozen_one_stands() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("emulator.json");
    let emulator = Emulator::open(&path).unwrap();
    assert!(!emulator.is_frozen());
    let before = emulator.now();
    emulator.advance(days(30));
    let again = Emulator::open(&path).unwrap();
    let moved = again.now().duration_since(before);
    assert!(moved >= days(30) && moved < days(30) + SignedDuration::from_secs(60), "{moved}");
    again.freeze(Some(start()));
    assert_eq!(emulator.now(), start());
    emulator.advance_to("2025-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(emulator.now(), start());
    emulator.advance_to(start() + days(1));
    assert_eq!(again.now(), start() + days(1));
    emulator.set_clock(start());
    assert_eq!(again.now(), start());
    again.unfreeze();
    assert!(!emulator.is_frozen() && emulator.now() >= start());
}

#[test]
fn stale_replicas_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let (id, _) = directory.application("orders-api", vec![]);
    directory
        .emulator
        .set_faults(Faults { stale_reads: Some(StaleReads { reads: 2, replicas: 1 }), ..Faults::default() });
    directory.write_keys(id, vec![new_entry(identity(0), "first")]);
    assert_eq!(directory.entries(id).len(), 0);
    let again = Directory {
        emulator: Emulator::open(&folder.path().join("state/emulator.json")).unwrap(),
        token: directory.token,
    };
    assert_eq!([again.entries(id).len(), again.entries(id).len()], [0, 1]);
}

#[test]
fn the_journal_says_who_asked_for_what_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let operator = directory.emulator.operator(TENANT);
    directory.emulator.clear_journal();
    let got = directory.get("/v1.0/applications?$top=1");
    token_for(&directory.emulator, operator.client_id, &operator.client_secret);
    directory.patch("/v1.0/applications/00000000-0000-0000-0000-000000000001", json!({"notes": "x"}));
    let journal = directory.emulator.journal();
    let summary: Vec<_> = journal
        .iter()
        .map(|entry| (entry.method.as_str(), entry.path.as_str(), entry.status, entry.writes))
        .collect();
    assert_eq!(
        summary,
        [
            ("GET", "/v1.0/applications?$top=1", 200, false),
            ("POST", format!("/{TENANT}/oauth2/v2.0/token").as_str(), 200, false),
            ("PATCH", "/v1.0/applications/00000000-0000-0000-0000-000000000001", 404, true),
        ]
    );
    assert!(
        journal
            .iter()
            .all(|entry| entry.client_id == Some(operator.client_id.to_string()) && entry.time == start())
    );
    assert_eq!(Some(journal[0].request_id.as_str()), got.header("request-id"));
    let text = fs::read_to_string(folder.path().join("state/emulator.json.journal")).unwrap();
    assert!(!text.contains(&operator.client_secret) && !text.contains(&directory.token));
    assert!(!format!("{operator:?}").contains(&operator.client_secret));
    directory.emulator.clear_journal();
    assert!(directory.emulator.journal().is_empty());
}

#[test]
fn resetting_keeps_the_tenant_and_its_operator() {
    let directory = Directory::new();
    directory.emulator.seed(TENANT, 5);
    directory.emulator.set_faults(Faults { date_skew_seconds: 9, ..Faults::default() });
    directory.emulator.reset();
    assert_eq!(directory.emulator.faults(), Faults::default());
    assert_eq!(directory.get("/v1.0/applications").values().len(), 1);
    assert_eq!(directory.emulator.now(), start());
}
