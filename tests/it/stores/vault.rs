//! The store in HashiCorp Vault and OpenBao keeps the contract: against a vault of the test's own and a real one.

mod crowd;
mod real;
#[cfg(feature = "kubernetes")]
mod real_cluster;
mod real_pki;
mod real_rights;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use certroll::certificate::Certificate;
use certroll::connections::Operator;
use certroll::desired::{Format, StoreBinding};
use certroll::form::read_pem;
use certroll::may::May;
use certroll::net::{HttpsOptions, HttpsTransport, RetrySettings, Service, Transport, Trust, Way};
use certroll::observed::record::{PublicRecord, RecordedPhase};
use certroll::observed::{Current, Generation, StoreState};
use certroll::random::SystemRandom;
use certroll::store::vault::VaultStore;
use certroll::store::{StoreErrorKind, StoreReader, StoreWriter};
use certroll::vault::Vault;
use certroll::vault::auth::{Auth, Source};
use http::Request;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::binding;
use crate::support::contract::{self, Bench, Rotation};
use crate::support::keys;
use crate::support::kv2::{Kv2, TOKEN};
use crate::support::service::{Answering, StillClock, answer};
use crate::support::trouble::{EVERY_MISCHIEF, Mischief, Trouble};
use crate::support::troubled::Troubled;

/// A server that is reached with a token.
#[derive(Clone)]
struct Server {
    address: String,
    token: String,
    transport: Arc<dyn Transport>,
}

impl Server {
    fn of_the_test() -> Server {
        Server::over(Arc::new(Kv2::default()))
    }

    fn over(transport: Arc<dyn Transport>) -> Server {
        Server { address: "https://vault.example.com".into(), token: TOKEN.into(), transport }
    }

    /// The real server that `.ci/servers` started.
    fn real() -> Server {
        let transport = HttpsTransport::new(HttpsOptions { trust: Trust::System, ..HttpsOptions::default() });
        Server {
            address: set("CERTROLL_TEST_VAULT_ADDR"),
            token: set("CERTROLL_TEST_VAULT_TOKEN"),
            transport: Arc::new(transport.unwrap()),
        }
    }

    fn vault(&self, trouble: &Arc<Trouble>, auth: Auth) -> Arc<Vault> {
        self.vault_in(trouble, auth, None)
    }

    fn vault_in(&self, trouble: &Arc<Trouble>, auth: Auth, namespace: Option<&str>) -> Arc<Vault> {
        let transport = Troubled { inner: Arc::clone(&self.transport), trouble: Arc::clone(trouble) };
        let way = Way {
            transport: Arc::new(transport),
            clock: StillClock::at("2026-06-30T00:00:00Z"),
            random: Arc::new(SystemRandom),
            in_flight: Arc::new(tokio::sync::Semaphore::new(4)),
            retry: RetrySettings::default(),
        };
        Arc::new(Vault::new(
            Service::new("the vault", &self.address, way).unwrap(),
            auth,
            namespace.map(str::to_owned),
        ))
    }

    fn store(&self, trouble: &Arc<Trouble>) -> VaultStore {
        self.store_at(trouble, "secret")
    }

    fn store_at(&self, trouble: &Arc<Trouble>, mount: &str) -> VaultStore {
        VaultStore::new(self.vault(trouble, self.auth()), mount, None)
    }

    fn auth(&self) -> Auth {
        let token = Source::Given(certroll::key::Secret::new(self.token.clone()));
        Auth::Token { token, source: "the test".into() }
    }

    /// Asks as anybody does.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/v1/{path}", self.address))
            .header("x-vault-token", &self.token)
            .body(body.map(|body| body.to_string().into_bytes()).unwrap_or_default())
            .unwrap();
        let answer = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(self.transport.send(request)).unwrap()
        });
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or(Value::Null))
    }

    /// Asks, and panics unless it is done. Returns what is under `data`.
    fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, mut said) = self.ask(method, path, Some(body));
        assert!((200..300).contains(&status), "{method} {path}: {said}");
        said["data"].take()
    }

    fn put(&self, name: &str, data: &Value) {
        let (status, said) = self.ask("POST", &format!("secret/data/{name}"), Some(&json!({ "data": data })));
        assert_eq!(status, 200, "{said}");
    }
}

fn set(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: start .ci/servers"))
}

struct VaultBench {
    server: Server,
    trouble: Arc<Trouble>,
    name: String,
}

/// Each bench has a name of its own, so that all can live on one real server.
fn bench(server: Server) -> VaultBench {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("apps/{}-{number}/cloudm", std::process::id());
    VaultBench { server, trouble: Trouble::quiet(), name }
}

#[async_trait]
impl Bench for VaultBench {
    fn store(&self) -> Arc<dyn StoreWriter> {
        Arc::new(self.server.store(&self.trouble))
    }

    fn entry(&self) -> StoreBinding {
        binding(&self.name, Format::Pem)
    }

    fn trouble(&self) -> Arc<Trouble> {
        self.trouble.clone()
    }

    fn mischief(&self) -> &'static [Mischief] {
        &EVERY_MISCHIEF
    }

    async fn consume(&self) -> Option<Certificate> {
        let (status, value) = self.server.ask("GET", &format!("secret/data/{}", self.name), None);
        let pem =
            (status == 200).then(|| value["data"]["data"]["certificate"].as_str().map(str::to_owned))??;
        Some(read_pem(pem.as_bytes()).unwrap().certificate)
    }

    fn rival(&self) -> Box<dyn FnOnce() + Send> {
        let (server, name) = (self.server.clone(), self.name.clone());
        Box::new(move || server.put(&name, &json!({ "password": "by hand" })))
    }

    fn put_by_hand(&self, pem: &str) -> bool {
        self.server.put(&self.name, &json!({ "certificate": pem }));
        true
    }

    fn rivals_within_calls(&self) -> bool {
        true
    }

    fn snapshot(&self) -> String {
        let names = [self.name.clone(), format!("{}-next", self.name), format!("{}-certroll", self.name)];
        let all = names.iter().map(|name| {
            let (_, metadata) = self.server.ask("GET", &format!("secret/metadata/{name}"), None);
            let (_, data) = self.server.ask("GET", &format!("secret/data/{name}"), None);
            format!("{} {}", metadata["data"]["versions"], data["data"]["data"])
        });
        all.collect::<Vec<String>>().join("\n")
    }

    fn touches_key(&self, call: &str) -> bool {
        let data = call.strip_prefix("GET /v1/secret/data/");
        data.is_some_and(|name| !name.ends_with("-certroll"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vault_store_keeps_the_contract() {
    contract::run(|| bench(Server::of_the_test())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vault_store_keeps_the_contract_where_somebody_else_signs() {
    contract::run_by_request(|| bench(Server::of_the_test())).await;
}

fn promoted(generation: &Generation, rotation: Rotation) -> PublicRecord {
    PublicRecord {
        phase: RecordedPhase::Promoted,
        promoted_at: Some(rotation.promoted_at()),
        ..generation.record.clone()
    }
}

fn current_of(generation: &Generation) -> Option<Current> {
    Some(Current::Recorded(generation.record.thumbprints.unwrap().sha256))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_written_is_told_without_writing() {
    let store = Server::of_the_test().store(&Trouble::quiet());
    assert_eq!(store.may_write(&binding("apps/billing", Format::Pem)).await.unwrap(), May::Yes);
}

/// Promotes a first generation at that entry.
async fn one_current(server: &Server, entry: &StoreBinding) -> Generation {
    one_current_in(&server.store(&Trouble::quiet()), entry).await
}

async fn one_current_in(store: &VaultStore, entry: &StoreBinding) -> Generation {
    let staged = contract::stage(store, entry, Rotation::First, 1).await.unwrap();
    let record = promoted(&staged, Rotation::First);
    let password =
        entry.form.format.is_pfx().then(|| certroll::key::Secret::new("correct horse battery staple".into()));
    store.promote(entry, &staged, None, password.as_ref(), &record).await.unwrap()
}

async fn siblings_survive_and_fields_have_their_names(server: &Server) {
    let mut entry = binding(&bench(server.clone()).name, Format::PfxBase64);
    entry.options.fields = [("certificate".into(), "pfx".into())].into();
    server.put(&entry.entry, &json!({ "tenant_id": "8f5e2c0a", "note": "by the platform team" }));
    let store = server.store(&Trouble::quiet());
    let staged = contract::stage(&store, &entry, Rotation::First, 1).await.unwrap();
    let record = promoted(&staged, Rotation::First);
    let password = certroll::key::Secret::new("correct horse battery staple".into());
    // Nothing that consumers of the certificate read is there: no rival, nothing to adopt.
    store.promote(&entry, &staged, None, Some(&password), &record).await.unwrap();
    let (_, value) = server.ask("GET", &format!("secret/data/{}", entry.entry), None);
    let value = &value["data"]["data"];
    assert_eq!((&value["tenant_id"], &value["note"]), (&json!("8f5e2c0a"), &json!("by the platform team")));
    assert_eq!(value["password"], "correct horse battery staple");
    let pfx =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, value["pfx"].as_str().unwrap());
    let identity = certroll::form::read_pfx(&pfx.unwrap(), Some(&password)).unwrap();
    assert_eq!(Some(identity.certificate.thumbprints), staged.record.thumbprints);
}

#[tokio::test(flavor = "multi_thread")]
async fn tm_12_siblings_survive_and_fields_have_their_names() {
    siblings_survive_and_fields_have_their_names(&Server::of_the_test()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_was_changed_by_hand_is_not_relied_upon() {
    let server = Server::of_the_test();
    let entry = binding("cloudm", Format::Pem);
    let current = one_current(&server, &entry).await;
    let (_, value) = server.ask("GET", "secret/data/cloudm", None);
    let mut data = value["data"]["data"].clone();
    data["certificate"] = "tampered".into();
    server.put("cloudm", &data);
    let store = server.store(&Trouble::quiet());
    let refused = store.signer(&entry, &current).await.err().unwrap();
    assert_eq!(refused.kind, StoreErrorKind::Corrupt);
    assert!(
        refused.reason.contains("the field consumers read was changed or is missing: certificate"),
        "{refused}"
    );
    assert!(!refused.to_string().contains("tampered"));
}

async fn somebody_elses_value_where_keys_wait_is_left_alone(server: &Server) {
    let entry = binding(&bench(server.clone()).name, Format::Pem);
    let next = format!("{}-next", entry.entry);
    server.put(&next, &json!({ "password": "of another team" }));
    let store = server.store(&Trouble::quiet());
    let observed = store.observe(&entry).await;
    let StoreState::Unreadable { reason } = &observed.state else { panic!("{observed:?}") };
    assert!(reason.contains(&format!("{next} holds what certroll did not write")), "{reason}");
    let refused = contract::stage(&store, &entry, Rotation::First, 1).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Refused);
    assert!(refused.reason.contains(&format!("{next} holds what certroll did not write")), "{refused}");
    let (_, value) = server.ask("GET", &format!("secret/data/{next}"), None);
    assert_eq!(value["data"]["data"]["password"], "of another team");
    assert_eq!(value["data"]["metadata"]["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_somebody_elses_value_where_keys_wait_is_left_alone() {
    somebody_elses_value_where_keys_wait_is_left_alone(&Server::of_the_test()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_destroyed_is_in_no_version_that_others_wrote_back_either() {
    let server = Server::of_the_test();
    let entry = binding("cloudm", Format::Pem);
    let first = one_current(&server, &entry).await;
    let read = |version: u32| server.ask("GET", &format!("secret/data/cloudm?version={version}"), None).1;
    for note in ["one", "two"] {
        let mut data = read(1)["data"]["data"].clone();
        data["note"] = note.into();
        server.put("cloudm", &data);
    }
    let store = server.store(&Trouble::quiet());
    let second = contract::stage(&store, &entry, Rotation::Second, 2).await.unwrap();
    let record = promoted(&second, Rotation::Second);
    store.promote(&entry, &second, current_of(&first).as_ref(), None, &record).await.unwrap();
    store.remove(&entry, &first).await.unwrap();
    for (version, held) in [(1, false), (2, false), (3, false), (4, true)] {
        assert_eq!(read(version)["data"]["data"].is_object(), held, "version {version}");
    }
    assert_eq!(read(4)["data"]["data"]["note"], "two");
}

/// A run died between the value and its record. Within the hour that is another run's at work; days later it would be due as soon as it
/// is in use. Seeds 1100002 and 1100121 of the simulation.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_left_days_ago_is_not_taken_up() {
    let server = Server::of_the_test();
    let (key, other) = (keys::key(1), keys::key(2));
    for (hours, taken_up) in [(0, true), (48, false)] {
        let is_there = |name: &str| server.ask("GET", &format!("secret/metadata/{name}"), None).0 == 200;
        let left = async |call: u64| {
            let entry = binding(&format!("left-{hours}-{call}"), Format::Pem);
            let trouble = Trouble::quiet();
            trouble.plan(call, Mischief::CrashAfter);
            let first = contract::stage(&server.store(&trouble), &entry, Rotation::First, 1).await;
            let (next, book) = (format!("{}-next", entry.entry), format!("{}-certroll", entry.entry));
            (first.is_err() && is_there(&next) && !is_there(&book)).then_some(entry)
        };
        let mut found = None;
        for call in 0..12 {
            found = found.or(left(call).await);
        }
        let entry = found.expect("no death left a value without its record");
        let made = keys::self_signed(contract::SUBJECT, Rotation::First.start(), 1, &other).await;
        let mut record = contract::staged(Rotation::First, &made.certificate);
        record.requested_at += SignedDuration::from_hours(hours);
        let staged = server.store(&Trouble::quiet()).stage(&entry, &other, &made, &record).await.unwrap();
        let of_the_first = keys::self_signed(contract::SUBJECT, Rotation::First.start(), 1, &key).await;
        let expected = if taken_up { &of_the_first } else { &made };
        assert_eq!(staged.record.thumbprints, Some(expected.certificate.thumbprints), "{hours} h later");
    }
}

async fn a_mount_of_version_1_is_refused_before_a_key_is_written(server: &Server, mount: &str) {
    let trouble = Trouble::quiet();
    let store = server.store_at(&trouble, mount);
    let entry = binding("cloudm", Format::Pem);
    let refused = contract::stage(&store, &entry, Rotation::First, 1).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Refused);
    assert!(refused.reason.contains("is not a KV engine of version 2"), "{refused}");
    let written =
        trouble.journal().into_iter().filter(|call| call.contains("-next") && !call.starts_with("GET"));
    assert_eq!(written.collect::<Vec<_>>(), Vec::<String>::new(), "a key was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kv_engine_of_version_1_is_refused_before_a_key_is_written() {
    let kv = Arc::new(Kv2::default());
    a_mount_of_version_1_is_refused_before_a_key_is_written(&Server::over(kv.clone()), "old").await;
    kv.mounts_may_be_seen(false);
    a_mount_of_version_1_is_refused_before_a_key_is_written(&Server::over(kv), "old").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_delete_themselves_before_the_certificate_ends_are_told() {
    let kv = Arc::new(Kv2::default());
    let server = Server::over(kv.clone());
    let entry = binding("cloudm", Format::Pem);
    one_current(&server, &entry).await;
    let store = server.store(&Trouble::quiet());
    assert_eq!(store.observe(&entry).await.warnings, Vec::<String>::new());
    kv.delete_versions_after("720h0m0s");
    let warnings = store.observe(&entry).await.warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("after 720h0m0s"), "{warnings:?}");
}

/// With a limit at the mount a real Vault says `delete_version_after: 0s` of every path, and gives each version its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_at_the_mount_is_told_though_the_path_has_none() {
    let kv = Arc::new(Kv2::default());
    let server = Server::over(kv.clone());
    let entry = binding("cloudm", Format::Pem);
    kv.versions_will_be_deleted_at("2026-07-20T00:00:00.5Z");
    one_current(&server, &entry).await;
    let warnings = server.store(&Trouble::quiet()).observe(&entry).await.warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("on 2026-07-20T00:00:00.5Z"), "{warnings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_vault_is_unreadable_and_never_empty() {
    let kv = Arc::new(Kv2::default());
    let server = Server::over(kv.clone());
    let entry = binding("cloudm", Format::Pem);
    one_current(&server, &entry).await;
    kv.seal(true);
    match server.store(&Trouble::quiet()).observe(&entry).await.state {
        StoreState::Unreadable { reason } => assert!(reason.contains("Vault is sealed"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

/// What a connection with these settings signs in with.
fn auth_of(settings: &[(&str, &str)]) -> Auth {
    let name: certroll::ids::Name = "vault".parse().unwrap();
    let variables =
        settings.iter().map(|(key, value)| (format!("CERTROLL_CONN_VAULT_{key}"), (*value).to_owned()));
    let users = [(name.clone(), std::collections::BTreeSet::new())].into();
    let operator = Operator::new(variables.collect(), None, users).unwrap();
    let connection = operator.connection(Some(&name)).unwrap();
    Auth::choose(&operator, connection).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_with_approle_or_a_jwt_takes_one_request_for_a_run() {
    let server = Server::of_the_test();
    let folder = tempfile::tempdir().unwrap();
    let jwt = folder.path().join("token");
    std::fs::write(&jwt, "e30.e30.c2ln\n").unwrap();
    let jwt = jwt.display().to_string();
    let settings: [&[(&str, &str)]; 2] = [
        &[("ROLE_ID", "the-role"), ("SECRET_ID", "the-secret-id")],
        &[("ROLE", "certroll"), ("JWT_FILE", &jwt)],
    ];
    for set in settings {
        let auth = auth_of(set);
        let trouble = Trouble::quiet();
        let store = VaultStore::new(server.vault(&trouble, auth), "secret", None);
        let entry = binding("cloudm", Format::Pem);
        assert!(matches!(store.observe(&entry).await.state, StoreState::Absent));
        assert!(matches!(store.observe(&entry).await.state, StoreState::Absent));
        let sign_ins = trouble.journal().iter().filter(|call| call.ends_with("/login")).count();
        assert_eq!(sign_ins, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_refused_sign_in_says_where_to_look_and_repeats_no_secret() {
    let server = Server::of_the_test();
    let auth = Auth::AppRole {
        mount: "approle".into(),
        role_id: certroll::key::Secret::new("the-role".into()),
        secret_id: Some(Source::Given(certroll::key::Secret::new("a-wrong-secret-id".into()))),
        source: "connection vault".into(),
    };
    let store = VaultStore::new(server.vault(&Trouble::quiet(), auth), "secret", None);
    let stranger = keys::self_signed("CN=x", Rotation::First.start(), 1, &keys::key(9)).await;
    let record = contract::staged(Rotation::First, &stranger.certificate);
    let refused = store.write_record(&binding("cloudm", Format::Pem), &record).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Unauthenticated);
    assert!(refused.hint.as_ref().unwrap().contains("connection vault"), "{refused:?}");
    assert!(!format!("{refused:?}").contains("a-wrong-secret-id"));
}

/// Vault says "invalid token" of a token, OpenBao and old versions nothing but "permission denied"; of a missing right both send a list.
#[tokio::test]
async fn a_missing_right_is_no_reason_to_sign_in_again_and_an_ended_token_is() {
    let list = |text: &str| format!(r#"{{"errors":["{text}"]}}"#);
    let ended = [
        list(r"2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"),
        list("permission denied"),
    ];
    let lacks = list(r"1 error occurred:\n\t* permission denied\n\n");
    for (said, signs_in_again) in [(&ended[0], true), (&ended[1], true), (&lacks, false)] {
        let body = said.clone();
        let service = Answering::new(move |request| {
            Ok(match request.uri().path().ends_with("/login") {
                true => answer(200, r#"{"auth":{"client_token":"hvs.t","lease_duration":1200}}"#),
                false => answer(403, &body),
            })
        });
        let server = Server::over(Arc::clone(&service) as Arc<dyn Transport>);
        let auth = auth_of(&[("ROLE_ID", "the-role"), ("SECRET_ID", "serves-once")]);
        let store = VaultStore::new(server.vault(&Trouble::quiet(), auth), "secret", None);
        let entry = binding("cloudm", Format::Pem);
        let record = contract::staged(
            Rotation::First,
            &keys::self_signed("CN=x", Rotation::First.start(), 1, &keys::key(9)).await.certificate,
        );
        let refused = store.write_record(&entry, &record).await.unwrap_err();
        let kind = if signs_in_again { StoreErrorKind::Unauthenticated } else { StoreErrorKind::Denied };
        let words = if said == &ended[0] { "permission denied; invalid token" } else { "permission denied" };
        assert_eq!((refused.kind, refused.reason.contains(words)), (kind, true), "{refused}");
        assert!(!refused.reason.contains("occurred"), "{refused}");
        let seen = service.seen();
        let sign_ins = seen.iter().filter(|(_, url, _)| url.ends_with("/login")).count();
        assert_eq!(sign_ins > 1, signs_in_again, "{said}: {seen:?}");
    }
}

#[tokio::test]
async fn an_engine_is_in_the_namespace_of_the_sign_in_unless_another_one_is_named() {
    for (named, expected) in [(None, "admin"), (Some("admin/team"), "admin/team")] {
        let service = Answering::new(|request| {
            Ok(match request.uri().path().ends_with("/login") {
                true => answer(200, r#"{"auth":{"client_token":"hvs.t","lease_duration":1200}}"#),
                false => answer(404, r#"{"errors":[]}"#),
            })
        });
        let auth = auth_of(&[("ROLE_ID", "the-role")]);
        let server = Server::over(Arc::clone(&service) as Arc<dyn Transport>);
        let vault = server.vault_in(&Trouble::quiet(), auth, Some("admin"));
        let store = VaultStore::new(vault, "secret", named);
        store.observe(&binding("cloudm", Format::Pem)).await;
        for request in service.requests() {
            let expected = if request.uri().path().ends_with("/login") { "admin" } else { expected };
            assert_eq!(request.headers()["x-vault-namespace"], expected, "{}", request.uri());
        }
    }
}

/// The calls that change something, in the words of the documentation.
fn changes(trouble: &Trouble, name: &str) -> Vec<String> {
    let calls = trouble.journal();
    let changing = calls.iter().filter(|call| !call.starts_with("GET"));
    let words = changing.map(|call| {
        let path = call.split_once(" /v1/secret/").unwrap().1;
        let (what, at) = path.split_once('/').unwrap();
        let what = if what == "data" { "write" } else { what };
        format!("{what} {}", at.replace(name, "NAME"))
    });
    words.collect()
}

/// The first column of a table in the page.
fn documented(call: &str) -> Vec<String> {
    let page = include_str!("../../../docs/stores/hashicorp_vault.md");
    let section = page.split("\n### ").find(|section| section.starts_with(&format!("`{call}`"))).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(row, _)| row.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_that_changes_something_is_in_the_documentation() {
    let server = Server::of_the_test();
    let entry = binding("cloudm", Format::Pem);
    let again = |generation: &Generation| promoted(generation, Rotation::Second);
    let first = one_current(&server, &entry).await;
    let trouble = Trouble::quiet();
    let store = server.store(&trouble);
    let second = contract::stage(&store, &entry, Rotation::Second, 2).await.unwrap();
    assert_eq!(changes(&trouble, "cloudm"), documented("stage"));
    trouble.restart();
    let second =
        store.promote(&entry, &second, current_of(&first).as_ref(), None, &again(&second)).await.unwrap();
    assert_eq!(changes(&trouble, "cloudm"), documented("promote"));
    trouble.restart();
    let _first =
        store.promote(&entry, &first, current_of(&second).as_ref(), None, &again(&first)).await.unwrap();
    assert_eq!(changes(&trouble, "cloudm"), documented("promote again"));
    trouble.restart();
    let rejected = PublicRecord { rejected: true, ..second.record.clone() };
    store.write_record(&entry, &rejected).await.unwrap();
    assert_eq!(changes(&trouble, "cloudm"), documented("write_record"));
    trouble.restart();
    store.remove(&entry, &second).await.unwrap();
    assert_eq!(changes(&trouble, "cloudm"), documented("remove"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_while_somebody_else_signs_is_in_the_documentation() {
    let server = Server::of_the_test();
    let entry = binding("cloudm", Format::Pem);
    let trouble = Trouble::quiet();
    let store = server.store(&trouble);
    contract::calls_while_it_waits(&store, &entry, |call| {
        assert_eq!(changes(&trouble, "cloudm"), documented(call));
        trouble.restart();
    })
    .await;
}

/// An entry of another certificate has one of certroll's own fields in it, beside those that consumers read.
#[tokio::test(flavor = "multi_thread")]
async fn p1_the_key_of_another_certificate_is_not_destroyed_where_a_successor_waits() {
    let server = Server::of_the_test();
    one_current(&server, &binding("cloudm-next", Format::Pem)).await;
    let before = server.ask("GET", "secret/data/cloudm-next", None);
    let store = server.store(&Trouble::quiet());
    let entry = binding("cloudm", Format::Pem);
    let refused = contract::stage(&store, &entry, Rotation::Second, 2).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Refused, "{refused}");
    assert_eq!(server.ask("GET", "secret/data/cloudm-next", None), before);
}

/// Absent means that the vault itself said so: a load balancer, a sign-in page or another service say other things.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_answers_is_not_taken_for_an_empty_vault() {
    let others = [
        (404, "<html><body>No such page</body></html>"),
        (404, r#"{"message":"no route"}"#),
        (404, r#"{"errors":["no handler for route \"secret/data/cloudm\". route entry not found."]}"#),
        (404, ""),
        (200, r#"{"data":{}}"#),
    ];
    for (status, says) in others {
        let between = Answering::new(move |request| {
            // That of the records is answered properly, so that it is not what makes the difference.
            Ok(match request.uri().path().contains("/metadata/") {
                true => answer(status, says),
                false => answer(404, r#"{"errors":[]}"#),
            })
        });
        let store = Server::over(between).store(&Trouble::quiet());
        let seen = store.observe(&binding("cloudm", Format::Pem)).await.state;
        assert!(matches!(seen, StoreState::Unreadable { .. }), "{status} {says}: {seen:?}");
    }
}

/// A field of the name that consumers will read is somebody's, whatever is in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_consumers_would_read_is_not_taken_for_a_neighbour() {
    let server = Server::of_the_test();
    let entry = binding("cloudm", Format::Pem);
    server.put("cloudm", &json!({ "tenant_id": "8f5e2c0a", "certificate": "by hand" }));
    let store = server.store(&Trouble::quiet());
    let seen = store.observe(&entry).await.state;
    let StoreState::Known(holding) = &seen else { panic!("{seen:?}") };
    assert_eq!(holding.current, Some(Current::Unrecorded { thumbprints: None }));
    // With neighbours alone there is nothing yet; once something was promoted, its absence is no longer nothing.
    server.put("apps/billing", &json!({ "tenant_id": "8f5e2c0a" }));
    let entry = binding("apps/billing", Format::Pem);
    assert!(matches!(store.observe(&entry).await.state, StoreState::Absent));
    one_current(&server, &entry).await;
    server.put("apps/billing", &json!({ "tenant_id": "8f5e2c0a" }));
    let seen = store.observe(&entry).await.state;
    let StoreState::Known(holding) = &seen else { panic!("{seen:?}") };
    assert_eq!(holding.current, Some(Current::Unrecorded { thumbprints: None }));
}
