//! The troubles that can be switched on, each of them on and off, and the documented limits.

use certroll::emulator::{
    DroppedWrites, Every, Faults, LostAnswer, RivalChange, RivalWrite, StaleReads, Throttled, TokenFaults,
    TokenPropagation, Unavailable, Which,
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::*;

fn with(faults: Faults) -> (Directory, Uuid, Uuid) {
    let directory = Directory::new();
    let (id, client) = directory.application("orders-api", vec![new_entry(identity(0), "first")]);
    directory.emulator.set_faults(faults);
    (directory, id, client)
}

/// Adds the second identity's certificate beside what is there.
fn add_second(directory: &Directory, id: Uuid) -> Option<Got> {
    let mut entries = directory.emulator.object(TENANT, certroll::emulator::Kind::Application, id).unwrap()["keyCredentials"].as_array().unwrap().clone();
    for entry in &mut entries {
        entry["key"] = Value::Null;
    }
    entries.push(new_entry(identity(1), "second"));
    directory.send(
        "PATCH",
        &format!("/v1.0/applications/{id}"),
        &[],
        Some(json!({"keyCredentials": entries})),
    )
}

fn count(directory: &Directory, id: Uuid) -> usize {
    directory.entries(id).len()
}

/// How many entries there really are.
fn really(directory: &Directory, id: Uuid) -> usize {
    let object = directory.emulator.object(TENANT, certroll::emulator::Kind::Application, id).unwrap();
    object["keyCredentials"].as_array().unwrap().len()
}

#[test]
fn without_faults_a_write_is_seen_at_once() {
    let (directory, id, _) = with(Faults::default());
    assert_eq!(add_second(&directory, id).unwrap().status, 204);
    assert_eq!(count(&directory, id), 2);
}

#[test]
fn a_single_replica_is_stale_for_so_many_reads() {
    let (directory, id, _) =
        with(Faults { stale_reads: Some(StaleReads { reads: 3, replicas: 1 }), ..Faults::default() });
    add_second(&directory, id);
    let seen: Vec<usize> = (0..5).map(|_| count(&directory, id)).collect();
    assert_eq!(seen, [1, 1, 1, 2, 2]);
}

#[test]
fn however_seldom_it_is_read_a_replica_has_caught_up_after_a_quarter_of_an_hour() {
    let (directory, id, _) =
        with(Faults { stale_reads: Some(StaleReads { reads: 9, replicas: 1 }), ..Faults::default() });
    add_second(&directory, id);
    directory.emulator.advance(SignedDuration::from_mins(14));
    assert_eq!(count(&directory, id), 1);
    directory.emulator.advance(SignedDuration::from_mins(1));
    assert_eq!(count(&directory, id), 2);
}

#[test]
fn several_replicas_swing_between_old_and_new() {
    let (directory, id, _) =
        with(Faults { stale_reads: Some(StaleReads { reads: 2, replicas: 3 }), ..Faults::default() });
    add_second(&directory, id);
    // Replicas 0, 1, 2 in turn, behind by 0, 1 and 2 of their own reads.
    let seen: Vec<usize> = (0..9).map(|_| count(&directory, id)).collect();
    assert_eq!(seen, [2, 1, 1, 2, 2, 1, 2, 2, 2]);
}

#[test]
fn a_new_application_is_missing_and_a_deleted_one_lingers_on_a_stale_replica() {
    let (directory, id, _) =
        with(Faults { stale_reads: Some(StaleReads { reads: 1, replicas: 1 }), ..Faults::default() });
    let made = directory.post("/v1.0/applications", json!({"displayName": "new"}));
    let path = format!("/v1.0/applications/{}", made.body["id"].as_str().unwrap());
    assert_eq!(directory.get(&path).status, 404);
    assert_eq!(directory.get(&path).status, 200);
    let path = format!("/v1.0/applications/{id}");
    assert_eq!(directory.delete(&path).status, 204);
    assert_eq!(directory.get(&path).status, 200);
    assert_eq!(directory.get(&path).status, 404);
}

#[test]
fn lists_are_stale_too() {
    let (directory, id, _) =
        with(Faults { stale_reads: Some(StaleReads { reads: 1, replicas: 1 }), ..Faults::default() });
    add_second(&directory, id);
    let entries = || {
        let got = directory.get("/v1.0/applications?$select=id,keyCredentials");
        let found = got.values().iter().find(|object| object["id"] == id.to_string()).cloned().unwrap();
        found["keyCredentials"].as_array().unwrap().len()
    };
    assert_eq!([entries(), entries()], [1, 2]);
}

#[test]
fn front_ends_learn_of_a_new_key_one_after_another() {
    let propagation = TokenPropagation { seconds: 90, front_ends: 3, removals: false };
    let (directory, id, client) = with(Faults { token_propagation: Some(propagation), ..Faults::default() });
    add_second(&directory, id);
    let three = || -> Vec<u64> {
        (0..3).map(|_| sign_in_as(&directory.emulator, identity(1), client).aadsts()).collect()
    };
    assert_eq!(three(), [700_027, 700_027, 700_027]);
    directory.emulator.advance(SignedDuration::from_secs(30));
    assert_eq!(three(), [0, 700_027, 700_027]);
    directory.emulator.advance(SignedDuration::from_secs(30));
    assert_eq!(three(), [0, 0, 700_027]);
    directory.emulator.advance(SignedDuration::from_secs(30));
    assert_eq!(three(), [0, 0, 0]);
    // The key that was there before is known everywhere.
    assert_eq!(sign_in_as(&directory.emulator, identity(0), client).status, 200);
}

#[test]
fn a_removed_key_goes_on_working_when_removals_spread_too() {
    for removals in [true, false] {
        let propagation = TokenPropagation { seconds: 60, front_ends: 1, removals };
        let (directory, id, client) =
            with(Faults { token_propagation: Some(propagation), ..Faults::default() });
        assert_eq!(directory.write_keys(id, vec![]).status, 204);
        let expected = if removals { 200 } else { 401 };
        assert_eq!(sign_in_as(&directory.emulator, identity(0), client).status, expected);
        directory.emulator.advance(SignedDuration::from_secs(60));
        assert_eq!(sign_in_as(&directory.emulator, identity(0), client).status, 401);
    }
}

#[test]
fn an_answer_can_be_lost_before_or_after_the_write() {
    for happened in [true, false] {
        let lost = LostAnswer { write: 1, happened };
        let (directory, id, _) = with(Faults { lost_answers: vec![lost], ..Faults::default() });
        assert!(add_second(&directory, id).is_none());
        assert_eq!(count(&directory, id), if happened { 2 } else { 1 });
        let entry = directory.emulator.journal().into_iter().find(|entry| entry.lost).unwrap();
        assert_eq!((entry.method.as_str(), entry.status), ("PATCH", if happened { 204 } else { 0 }));
        directory.write_keys(id, vec![]);
        assert_eq!(count(&directory, id), 0);
    }
}

#[test]
fn a_rival_writes_before_the_nth_write() {
    let rival =
        |change| Faults { rival_writes: vec![RivalWrite { before_write: 1, change }], ..Faults::default() };
    let (directory, id, _) = with(rival(RivalChange::Adds));
    // The rival's entry is not in our array, so our write deletes it: the lost update of the real service.
    let first = directory.entries(id);
    assert_eq!(directory.patch(&format!("/v1.0/applications/{id}"), json!({"notes": "x"})).status, 204);
    assert_eq!(count(&directory, id), 2);
    assert_eq!(directory.write_keys(id, first).status, 204);
    assert_eq!(count(&directory, id), 1);

    // The entry we send back is gone; with `key` null it cannot be made again.
    for change in [RivalChange::RemovesFirst, RivalChange::RemovesLast] {
        let (directory, id, _) = with(rival(change));
        assert_eq!(directory.write_keys(id, directory.entries(id)).status, 400);
        assert_eq!(count(&directory, id), 0);
    }
}

#[test]
fn writes_can_be_dropped_behind_a_204() {
    let dropped = |which, nth, application| Faults {
        dropped_writes: Some(DroppedWrites { which, nth, application }),
        ..Faults::default()
    };
    let (directory, id, client) = with(dropped(Which::All, None, None));
    assert_eq!(directory.write_keys(id, vec![]).status, 204);
    assert_eq!(count(&directory, id), 1);
    // A refused one is still refused.
    assert_eq!(directory.patch(&format!("/v1.0/applications/{id}"), json!({"nonsense": 1})).status, 400);

    directory.emulator.set_faults(dropped(Which::Adds, None, None));
    assert_eq!(add_second(&directory, id).unwrap().status, 204);
    assert_eq!(really(&directory, id), 1);
    assert_eq!(directory.write_keys(id, vec![]).status, 204);
    assert_eq!(really(&directory, id), 0);

    directory.emulator.set_faults(dropped(Which::Nth, Some(2), None));
    add_second(&directory, id);
    assert_eq!(really(&directory, id), 1);
    directory.write_keys(id, vec![]);
    assert_eq!(really(&directory, id), 1, "the second write is dropped");
    directory.write_keys(id, vec![]);
    assert_eq!(really(&directory, id), 0);
    add_second(&directory, id);

    directory.emulator.set_faults(dropped(Which::All, None, Some(client)));
    directory.write_keys(id, vec![]);
    assert_eq!(really(&directory, id), 1);
    directory.emulator.set_faults(dropped(Which::All, None, Some(Uuid::from_u128(1))));
    directory.write_keys(id, vec![]);
    assert_eq!(really(&directory, id), 0);
}

#[test]
fn every_nth_request_is_throttled_with_and_without_retry_after() {
    for retry_after_seconds in [Some(10), None] {
        let throttled = Throttled { every: 2, retry_after_seconds };
        let (directory, id, _) = with(Faults { throttled: Some(throttled), ..Faults::default() });
        let path = format!("/v1.0/applications/{id}");
        assert_eq!(directory.get(&path).status, 200);
        let got = directory.get(&path);
        assert_eq!((got.status, got.code()), (429, "TooManyRequests"));
        assert_eq!(got.header("retry-after"), retry_after_seconds.map(|_| "10"));
        assert_eq!(got.body["error"]["innerError"]["code"], "429");
        assert_eq!(directory.get(&path).status, 200);
    }
}

#[test]
fn every_nth_write_is_a_conflict_and_every_nth_request_an_outage() {
    let (directory, id, _) = with(Faults { conflicts: Some(Every { every: 2 }), ..Faults::default() });
    let write = || directory.patch(&format!("/v1.0/applications/{id}"), json!({"notes": "x"}));
    assert_eq!(write().status, 204);
    let got = write();
    assert_eq!((got.status, got.code()), (409, "Directory_ConcurrencyViolation"));
    assert_eq!(
        got.message(),
        "Error due to concurrent requests being made to the tenant. Please wait briefly and retry."
    );

    for happened in [false, true] {
        let unavailable = Unavailable { every: 1, status: 504, happened };
        let (directory, id, _) = with(Faults { unavailable: Some(unavailable), ..Faults::default() });
        assert_eq!(directory.write_keys(id, vec![]).status, 504);
        assert_eq!(really(&directory, id), usize::from(!happened));
    }
}

#[test]
fn a_connection_can_be_refused() {
    let (directory, id, _) =
        with(Faults { connection_refused: Some(Every { every: 2 }), ..Faults::default() });
    let path = format!("/v1.0/applications/{id}");
    assert!(directory.send("GET", &path, &[], None).is_some());
    assert!(directory.send("GET", &path, &[], None).is_none());
    // It never arrived, so it is in no journal.
    assert_eq!(directory.emulator.journal().iter().filter(|entry| entry.path == path).count(), 1);
}

#[test]
fn the_date_header_can_be_off() {
    let (directory, id, _) = with(Faults { date_skew_seconds: -600, ..Faults::default() });
    assert_eq!(
        directory.get(&format!("/v1.0/applications/{id}")).header("date"),
        Some("Sat, 28 Feb 2026 23:50:00 GMT")
    );
    directory.emulator.set_faults(Faults { latency_ms: 80, ..Faults::default() });
    assert_eq!(directory.emulator.latency(), std::time::Duration::from_millis(80));
}

#[test]
fn the_token_endpoint_has_troubles_of_its_own() {
    let token = TokenFaults {
        conditional_access_every: Some(2),
        unavailable_every: Some(3),
        busy_every: Some(5),
        throttled_every: Some(7),
    };
    let (directory, _, client) = with(Faults { token, ..Faults::default() });
    let seen: Vec<(u16, u64)> = (0..7)
        .map(|_| {
            let got = sign_in_as(&directory.emulator, identity(0), client);
            (got.status, got.aadsts())
        })
        .collect();
    assert_eq!(seen, [(200, 0), (400, 53_003), (503, 0), (400, 53_003), (503, 90_033), (503, 0), (429, 0)]);
}

#[test]
fn credential_reads_are_limited_to_150_a_minute_when_switched_on() {
    let (directory, id, _) = with(Faults { documented_throttling: true, ..Faults::default() });
    let selecting = format!("/v1.0/applications/{id}?$select=keyCredentials");
    for number in 0..150 {
        let got = directory.get(&selecting);
        assert_eq!(got.status, 200, "{number}");
        assert_eq!(got.header("x-ms-throttle-limit-percentage").is_some(), number >= 120, "{number}");
    }
    let refused = directory.get(&selecting);
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("60")));
    // Others are not concerned, and a list that selects them is.
    assert_eq!(directory.get(&format!("/v1.0/applications/{id}")).status, 200);
    assert_eq!(directory.get("/v1.0/applications?$select=keyCredentials").status, 429);
    directory.emulator.advance(SignedDuration::from_secs(60));
    assert_eq!(directory.get(&selecting).status, 200);
    directory.emulator.set_faults(Faults::default());
    assert!((0..200).all(|_| directory.get(&selecting).status == 200));
}

#[test]
fn writes_are_limited_to_3000_in_150_seconds_when_switched_on() {
    let (directory, id, _) = with(Faults { documented_throttling: true, ..Faults::default() });
    let write = || directory.patch(&format!("/v1.0/applications/{id}"), json!({"notes": "x"}));
    for _ in 0..3000 {
        assert_eq!(write().status, 204);
        directory.emulator.advance(SignedDuration::from_millis(5));
    }
    let got = write();
    assert_eq!((got.status, got.header("x-ms-throttle-information")), (429, Some("WriteLimitExceeded")));
    let wait: i64 = got.header("retry-after").unwrap().parse().unwrap();
    directory.emulator.advance(SignedDuration::from_secs(wait));
    assert_eq!(write().status, 204);
}

#[test]
fn resource_units_cost_what_is_documented() {
    let (directory, id, _) = with(Faults::default());
    let cost = |path: &str| directory.get(path).header("x-ms-resource-unit").unwrap().to_owned();
    assert_eq!(cost("/v1.0/applications"), "2");
    assert_eq!(cost("/v1.0/applications?$select=id"), "1");
    assert_eq!(cost("/v1.0/applications?$select=id&$top=5"), "1");
    assert_eq!(cost(&format!("/v1.0/applications/{id}")), "1");
}

#[test]
fn an_unknown_switch_is_an_error_and_the_documented_form_is_read() {
    assert!(serde_json::from_str::<Faults>(r#"{"stale_read": {"reads": 1}}"#).is_err());
    assert!(serde_json::from_str::<Faults>(r#"{"throttled": {"every": 1, "after": 2}}"#).is_err());
    let text = r#"{ "stale_reads": { "reads": 3, "replicas": 2 },
        "token_propagation": { "seconds": 90, "front_ends": 3, "removals": true },
        "lost_answers": [ { "write": 2, "happened": true } ],
        "rival_writes": [ { "before_write": 1, "change": "adds" } ],
        "dropped_writes": { "which": "nth", "nth": 4 },
        "throttled": { "every": 7, "retry_after_seconds": 10 },
        "conflicts": { "every": 5 },
        "unavailable": { "every": 9, "status": 503 },
        "token": { "unavailable_every": 4 } }"#;
    let faults: Faults = serde_json::from_str(text).unwrap();
    assert_eq!(faults.stale_reads, Some(StaleReads { reads: 3, replicas: 2 }));
    assert_eq!(faults.token.unavailable_every, Some(4));
}

#[test]
fn the_same_seed_gives_the_same_ids_order_and_tokens() {
    let run = || {
        let directory = Directory::new();
        directory.emulator.seed(TENANT, 9);
        (directory.token.clone(), directory.get("/v1.0/applications").text)
    };
    assert_eq!(run(), run());
}
