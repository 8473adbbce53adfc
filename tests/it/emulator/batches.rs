//! `$batch`.

use certroll::emulator::Settings;
use serde_json::{Value, json};

use super::world::*;

fn get(id: &str, url: &str) -> Value {
    json!({"id": id, "method": "GET", "url": url})
}

fn batch(directory: &Directory, requests: Vec<Value>) -> Got {
    directory.post("/v1.0/$batch", json!({"requests": requests}))
}

fn of<'a>(got: &'a Got, id: &str) -> &'a Value {
    got.body["responses"].as_array().unwrap().iter().find(|response| response["id"] == id).unwrap()
}

#[test]
fn a_batch_answers_200_whatever_its_items_did_and_in_another_order() {
    let directory = Directory::new();
    let (id, client) = directory.application("orders-api", vec![new_entry(identity(0), "first")]);
    let mut requests = vec![
        get("a", &format!("/applications/{id}?$select=keyCredentials")),
        get("b", "/applications/00000000-0000-0000-0000-000000000001"),
        json!({"id": "c", "method": "PATCH", "url": format!("/applications(appId='{client}')"), "headers": {"Content-Type": "application/json"}, "body": {"notes": "x"}}),
    ];
    requests.extend((0..5).map(|index| get(&index.to_string(), "applications?$top=1")));
    let asked: Vec<Value> = requests.iter().map(|request| request["id"].clone()).collect();
    let got = batch(&directory, requests);
    assert_eq!(got.status, 200, "{}", got.text);
    assert_eq!(of(&got, "a")["body"]["keyCredentials"][0]["key"], identity(0).base64());
    assert_eq!(of(&got, "b")["status"], 404);
    assert_eq!(of(&got, "b")["body"]["error"]["code"], "Request_ResourceNotFound");
    assert_eq!(of(&got, "c")["status"], 204);
    assert!(of(&got, "c").get("body").is_none());
    let answered: Vec<Value> =
        got.body["responses"].as_array().unwrap().iter().map(|r| r["id"].clone()).collect();
    assert_ne!(answered, asked);
    // Each item is in the journal, and so is the envelope, which itself writes nothing.
    let journal = directory.emulator.journal();
    let items: Vec<_> = journal.iter().filter(|entry| entry.batch_item.is_some()).collect();
    assert_eq!(items.len(), 8);
    assert_eq!(items.iter().filter(|entry| entry.writes).count(), 1);
    assert_eq!(
        journal.last().map(|entry| (entry.path.as_str(), entry.writes)),
        Some(("/v1.0/$batch", false))
    );
}

#[test]
fn a_batch_answers_in_the_order_it_was_asked_where_that_is_set() {
    let directory = Directory::new();
    directory.emulator.set_settings(Settings { shuffle_batches: false, ..Settings::default() });
    let asked: Vec<String> = (0..20).map(|index| index.to_string()).collect();
    let got = batch(&directory, asked.iter().map(|id| get(id, "/applications?$top=1")).collect());
    let answered: Vec<&str> =
        got.body["responses"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(answered, asked);
}

#[test]
fn a_batch_with_mistakes_in_it_is_refused_whole() {
    let directory = Directory::new();
    let ok = || get("1", "/applications");
    let twenty_one: Vec<Value> = (0..21).map(|index| get(&index.to_string(), "/applications")).collect();
    for requests in [
        vec![],
        vec![ok(), ok()],
        twenty_one,
        vec![get("1", "https://graph.microsoft.com/v1.0/applications")],
        vec![json!({"id": "1", "method": "PATCH", "url": "/applications/x", "body": {}})],
        vec![json!({"method": "GET", "url": "/applications"})],
        vec![ok(), json!({"id": "2", "method": "GET", "url": "/applications", "dependsOn": ["9"]})],
    ] {
        assert_eq!(batch(&directory, requests.clone()).status, 400, "{requests:?}");
    }
}

#[test]
fn in_a_series_a_failure_fails_what_follows_with_424() {
    let directory = Directory::new();
    let after = |id: &str, url: &str, before: &str| json!({"id": id, "method": "GET", "url": url, "dependsOn": [before]});
    let got = batch(
        &directory,
        vec![
            get("1", "/applications/nonsense"),
            after("2", "/applications", "1"),
            after("3", "/applications", "2"),
        ],
    );
    assert_eq!(
        (
            of(&got, "1")["status"].as_u64(),
            of(&got, "2")["status"].as_u64(),
            of(&got, "3")["status"].as_u64()
        ),
        (Some(400), Some(424), Some(424))
    );
    let mixed = batch(
        &directory,
        vec![get("1", "/applications"), after("2", "/applications", "1"), get("3", "/applications")],
    );
    assert_eq!(mixed.status, 400);
}

#[test]
fn an_advanced_query_in_a_batch_brings_its_own_header() {
    let directory = Directory::new();
    let count = |id: &str, headers: Value| json!({"id": id, "method": "GET", "url": "/applications/$count", "headers": headers});
    let got =
        batch(&directory, vec![count("1", json!({})), count("2", json!({"ConsistencyLevel": "eventual"}))]);
    assert_eq!(of(&got, "1")["status"], 400);
    assert_eq!(of(&got, "2")["body"], "1");
}
