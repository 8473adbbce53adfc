//! The store on a real Vault: the same contract, and what only a real server can show.

use certroll::desired::Format;
use certroll::store::{StoreErrorKind, StoreReader, StoreWriter};
use serde_json::{Value, json};

use super::{
    Server, a_mount_of_version_1_is_refused_before_a_key_is_written, bench, binding, current_of, one_current,
    one_current_in, promoted, set, siblings_survive_and_fields_have_their_names,
    somebody_elses_value_where_keys_wait_is_left_alone,
};
use crate::scripts::{Story, folder};
use crate::support::contract::{self, Bench, Rotation};
use crate::support::kv2::ask;
use crate::support::trouble::Trouble;
use crate::tools::read_vault;

/// A path that nothing else uses.
pub(super) fn fresh_name() -> String {
    bench(Server::real()).name
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Vault; .ci/run starts one"]
async fn a_real_vault_keeps_the_contract() {
    let server = Server::real();
    contract::run(|| bench(server.clone())).await;
    contract::run_by_request(|| bench(server.clone())).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Vault; .ci/run starts one"]
async fn p2_somebody_elses_value_where_keys_wait_is_left_alone_on_a_real_vault() {
    somebody_elses_value_where_keys_wait_is_left_alone(&Server::real()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Vault; .ci/run starts one"]
async fn tm_12_siblings_survive_on_a_real_vault() {
    siblings_survive_and_fields_have_their_names(&Server::real()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Vault; .ci/run starts one"]
async fn a_real_kv_engine_of_version_1_is_refused_before_a_key_is_written() {
    let server = Server::real();
    // The mount is there already where another run made it.
    server.ask("POST", "sys/mounts/old", Some(&json!({ "type": "kv", "options": { "version": "1" } })));
    a_mount_of_version_1_is_refused_before_a_key_is_written(&server, "old").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Vault; .ci/run starts one"]
async fn a_real_vault_refuses_a_write_after_somebody_elses() {
    let server = Server::real();
    let one_waiting = async |bench: &dyn Bench| {
        let first = one_current(&server, &bench.entry()).await;
        let second = contract::stage(&*bench.store(), &bench.entry(), Rotation::Second, 2).await.unwrap();
        bench.trouble().restart();
        (current_of(&first), promoted(&second, Rotation::Second), second)
    };
    // Undisturbed, to learn which call writes.
    let twin = bench(server.clone());
    let (first, record, second) = one_waiting(&twin).await;
    twin.store().promote(&twin.entry(), &second, first.as_ref(), None, &record).await.unwrap();
    let write = format!("POST /v1/secret/data/{}", twin.name);
    let call = twin.trouble().journal().iter().position(|call| *call == write).unwrap();

    let bench = bench(server.clone());
    let (first, record, second) = one_waiting(&bench).await;
    bench.trouble().plan_visit(call as u64, bench.rival());
    let refused = bench.store().promote(&bench.entry(), &second, first.as_ref(), None, &record).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Rival, "{refused}");
    assert!(
        refused.reason.contains("check-and-set parameter did not match the current version"),
        "{refused}"
    );
    let (_, value) = server.ask("GET", &format!("secret/data/{}", bench.name), None);
    assert_eq!(value["data"]["data"], json!({ "password": "by hand" }), "the rival's was overwritten");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Vault; .ci/run starts one"]
async fn versions_that_a_real_vault_will_delete_are_told() {
    let server = Server::real();
    let warnings = async |entry| server.store(&Trouble::quiet()).observe(&entry).await.warnings;
    // Set at the path, before and after the version was written.
    let entry = binding(&fresh_name(), Format::Pem);
    let limit = json!({ "delete_version_after": "720h" });
    server.done("POST", &format!("secret/metadata/{}", entry.entry), &limit);
    one_current(&server, &entry).await;
    let told = warnings(entry).await;
    assert!(told.len() == 1 && told[0].contains("that consumers read on 2"), "{told:?}");
    let entry = binding(&fresh_name(), Format::Pem);
    one_current(&server, &entry).await;
    assert_eq!(warnings(entry.clone()).await, Vec::<String>::new());
    server.done("POST", &format!("secret/metadata/{}", entry.entry), &limit);
    let told = warnings(entry).await;
    assert!(told.len() == 1 && told[0].contains("after 720h0m0s"), "{told:?}");

    // Set at the mount: the path says nothing of it.
    let mount = format!("short-{}", std::process::id());
    server.done(
        "POST",
        &format!("sys/mounts/{mount}"),
        &json!({ "type": "kv", "options": { "version": "2" } }),
    );
    // A new engine upgrades its storage first, and refuses everything meanwhile.
    while server.ask("POST", &format!("{mount}/config"), Some(&limit)).0 == 400 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let entry = binding("cloudm", Format::Pem);
    let store = server.store_at(&Trouble::quiet(), &mount);
    one_current_in(&store, &entry).await;
    let (_, metadata) = server.ask("GET", &format!("{mount}/metadata/cloudm"), None);
    assert_eq!(metadata["data"]["delete_version_after"], "0s");
    let told = store.observe(&entry).await.warnings;
    assert!(told.len() == 1 && told[0].contains("that consumers read on 2"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Vault; .ci/run starts one"]
async fn a_real_vaults_own_client_finds_the_records_inside_the_data_and_no_secret_beside_them() {
    let server = Server::real();
    let entry = binding(&fresh_name(), Format::PemPair);
    server.put(&entry.entry, &json!({ "note": "by the platform team" }));
    let store = server.store(&Trouble::quiet());
    let staged = contract::stage(&store, &entry, Rotation::First, 1).await.unwrap();
    let record = promoted(&staged, Rotation::First);
    let current = store.promote(&entry, &staged, None, None, &record).await.unwrap();
    let thumbprint = current.record.thumbprints.unwrap().sha256.to_string();
    assert_eq!(
        read_vault(&server.address, &server.token, &entry.entry),
        json!({
            "fields": ["certificate", format!("certroll-{thumbprint}"), "key", "note"],
            "version": 2,
            "thumbprint": thumbprint,
            "waiting": Value::Null,
            "records": ["records"],
            "keys in the records": 0,
            "custom metadata": ["null"],
            "chain": [],
        })
    );
}

#[test]
#[ignore = "needs a real Vault; .ci/run starts one"]
fn a_real_vault_tells_the_same_story() {
    let (address, token) = (set("CERTROLL_TEST_VAULT_ADDR"), set("CERTROLL_TEST_VAULT_TOKEN"));
    // What another run left.
    for name in ["apps/billing", "apps/billing-next", "apps/billing-certroll"] {
        ask(&address, &token, "DELETE", &format!("secret/metadata/{name}"));
    }
    let read = |end: &str| std::fs::read_to_string(folder().join(format!("keys-in-vault.{end}"))).unwrap();
    let mut story = Story::new();
    story.vault = Some((address, token));
    let told = story.tell(&read("txt"));
    let mut accepted = read("out");
    if !told.contains("invalid token") {
        // All that OpenBao says of a token it does not know.
        accepted = accepted.replace("permission denied; invalid token", "permission denied");
    }
    let diff = similar::TextDiff::from_lines(&accepted, &told).unified_diff().to_string();
    assert_eq!(diff, "", "a real Vault and the test's own are not alike");
}

/// A story on the real Vault, with a declaration of one certificate at that path.
pub(super) fn story_at(name: &str, issuer: &str) -> Story {
    let mut story = Story::new();
    story.vault = Some((set("CERTROLL_TEST_VAULT_ADDR"), set("CERTROLL_TEST_VAULT_TOKEN")));
    let declaration = format!(
        "certroll: v1\nowner: platform\ntenants: {{ contoso: {{ cloud: emulator }} }}\n\
         stores: {{ secrets: {{ kind: hashicorp_vault, mount: secret }} }}\ncertificates:\n  billing:\n    \
         application: {{ unique_name: billing }}\n    store: {{ use: secrets, name: {name}, format: pem }}\n{issuer}"
    );
    std::fs::write(story.folder.path().join("certroll.yaml"), declaration).unwrap();
    story.tell_line("serve vault");
    story
}

#[test]
#[ignore = "needs a real Vault; .ci/run starts one"]
fn p7_a_real_vaults_audit_log_shows_that_looking_asks_for_no_secret() {
    let (name, log) = (fresh_name(), set("CERTROLL_TEST_VAULT_AUDIT"));
    // Operation and path of every request for our names, in order.
    let requests = || -> Vec<(String, String)> {
        let text = std::fs::read_to_string(&log).unwrap();
        let entries = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let requests =
            entries.filter(|entry| entry["type"] == "request").map(|mut entry| entry["request"].take());
        let word = |request: &Value, key: &str| request[key].as_str().unwrap().to_owned();
        let all = requests.map(|request| (word(&request, "operation"), word(&request, "path")));
        all.filter(|(_, path)| path.contains(&name)).collect()
    };
    let secret = |(operation, path): &(String, String)| {
        operation == "read"
            && [format!("secret/data/{name}"), format!("secret/data/{name}-next")].contains(path)
    };
    let mut story = story_at(&name, "");
    for line in ["app billing", "certroll apply --emulator --auto-approve"] {
        story.tell_line(line);
    }
    let applied = requests();
    assert!(applied.iter().any(secret), "the log would show it: {applied:?}");
    for line in [
        "certroll plan --replace contoso/billing=T1 --out plan.json",
        "certroll show plan.json",
        "certroll plan -v",
        "certroll drift",
        "certroll validate",
    ] {
        story.tell_line(line);
    }
    let told = story.tell("");
    assert_eq!((told.matches("+ issue").count(), told.contains("exit ")), (3, false), "{told}");
    let looked = &requests()[applied.len()..];
    assert!(looked.len() >= 9, "three requests for each look: {looked:?}\n{told}");
    assert!(looked.iter().all(|request| request.0 == "read" && !secret(request)), "{looked:?}");
}
