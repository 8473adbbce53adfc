//! The store in Kubernetes Secrets keeps the contract: against an API server of the test's own and, where one is named, a real one.

mod commands;
mod real;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certroll::certificate::Certificate;
use certroll::desired::{Format, StoreBinding};
use certroll::form::read_pem;
use certroll::kubernetes::Cluster;
use certroll::may::May;
use certroll::net::{
    HttpsOptions, HttpsTransport, RetrySettings, Service, Transport, TransportError, Trust, Way,
};
use certroll::observed::record::{PublicRecord, RecordedPhase};
use certroll::observed::{Current, Generation, StoreState};
use certroll::random::SystemRandom;
use certroll::store::kubernetes::KubernetesStore;
use certroll::store::{StoreErrorKind, StoreReader, StoreWriter};
use http::{Request, Response};
use serde_json::{Value, json};

use super::binding;
use crate::support::contract::{self, Bench, Rotation};
use crate::support::secrets::{Secrets, TOKEN};
use crate::support::service::StillClock;
use crate::support::trouble::{EVERY_MISCHIEF, Mischief, Trouble};
use crate::support::troubled::Troubled;

/// Signs in with a token, as kube's client does.
struct Bearer {
    inner: Arc<dyn Transport>,
    token: String,
}

#[async_trait]
impl Transport for Bearer {
    async fn send(&self, mut request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, TransportError> {
        let bearer = format!("Bearer {}", self.token).parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        self.inner.send(request).await
    }
}

/// A server that is reached with a token.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) address: String,
    transport: Arc<dyn Transport>,
    namespace: &'static str,
}

fn way(transport: Arc<dyn Transport>) -> Way {
    Way {
        transport,
        clock: StillClock::at("2026-06-30T00:00:00Z"),
        random: Arc::new(SystemRandom),
        in_flight: Arc::new(tokio::sync::Semaphore::new(4)),
        retry: RetrySettings::default(),
    }
}

pub(super) fn set(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: start .ci/servers"))
}

impl Server {
    fn of_the_test() -> Server {
        Server::over(Arc::new(Secrets::default()))
    }

    fn over(inner: Arc<dyn Transport>) -> Server {
        let transport = Arc::new(Bearer { inner, token: TOKEN.into() });
        Server { address: "https://kubernetes.example.com".into(), transport, namespace: "apps" }
    }

    /// The real server that `.ci/servers` started.
    pub(super) fn real() -> Server {
        Server::real_as(set("CERTROLL_TEST_KUBE_TOKEN"))
    }

    fn real_as(token: String) -> Server {
        let trust = Trust::Only(std::fs::read(set("CERTROLL_TEST_KUBE_CA")).unwrap());
        let inner = HttpsTransport::new(HttpsOptions { trust, ..HttpsOptions::default() }).unwrap();
        let transport = Arc::new(Bearer { inner: Arc::new(inner), token });
        Server { address: set("CERTROLL_TEST_KUBE_ADDR"), transport, namespace: "default" }
    }

    fn store(&self, trouble: &Arc<Trouble>) -> KubernetesStore {
        let inner = Arc::clone(&self.transport);
        let transport = Arc::new(Troubled { inner, trouble: Arc::clone(trouble) });
        let service = Service::new("kubernetes", &self.address, way(transport)).unwrap();
        KubernetesStore::new(Cluster::reached(service), self.namespace)
    }

    /// Asks as anybody does.
    pub(super) fn ask(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.address))
            .header("content-type", content_type)
            .header("accept", "application/json")
            .body(body.map(|body| body.to_string().into_bytes()).unwrap_or_default())
            .unwrap();
        let answer = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(self.transport.send(request)).unwrap()
        });
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or(Value::Null))
    }

    fn path(&self, name: &str) -> String {
        format!("/api/v1/namespaces/{}/secrets/{name}", self.namespace)
    }

    fn get(&self, name: &str) -> Value {
        self.ask("GET", &self.path(name), "application/json", None).1
    }

    fn make(&self, body: &Value) {
        let path = format!("/api/v1/namespaces/{}/secrets?fieldManager=kubectl-create", self.namespace);
        let (status, said) = self.ask("POST", &path, "application/json", Some(body));
        assert!((200..300).contains(&status), "{said}");
    }

    fn edit(&self, name: &str, body: &Value) {
        let path = format!("{}?fieldManager=kubectl-edit", self.path(name));
        let (status, said) = self.ask("PATCH", &path, "application/merge-patch+json", Some(body));
        assert!((200..300).contains(&status), "{said}");
    }
}

struct KubeBench {
    server: Server,
    trouble: Arc<Trouble>,
    name: String,
}

/// Each bench has a name of its own, so that all can live on one real server.
fn bench(server: Server) -> KubeBench {
    KubeBench { server, trouble: Trouble::quiet(), name: fresh_name() }
}

fn fresh_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("cloudm-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

const FIELD: &str = "tls-combined.pem";

#[async_trait]
impl Bench for KubeBench {
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
        let pem = STANDARD.decode(self.server.get(&self.name)["data"][FIELD].as_str()?).unwrap();
        (pem != b"by hand").then(|| read_pem(&pem).unwrap().certificate)
    }

    fn rival(&self) -> Box<dyn FnOnce() + Send> {
        let (server, name) = (self.server.clone(), self.name.clone());
        Box::new(move || server.edit(&name, &json!({ "data": { FIELD: STANDARD.encode("by hand") } })))
    }

    fn put_by_hand(&self, pem: &str) -> bool {
        // Handed over to certroll, as the hint of a conflict says.
        let path = format!("{}?fieldManager=certroll&force=true", self.server.path(&self.name));
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": self.name },
            "type": "Opaque", "data": { FIELD: STANDARD.encode(pem) } });
        let (status, said) = self.server.ask("PATCH", &path, "application/apply-patch+yaml", Some(&secret));
        assert!((200..300).contains(&status), "{said}");
        true
    }

    fn rivals_within_calls(&self) -> bool {
        true
    }

    fn snapshot(&self) -> String {
        let names = [self.name.clone(), format!("{}-next", self.name)];
        let all = names.map(|name| {
            let found = self.server.get(&name);
            format!("{} {}", found["metadata"]["resourceVersion"], found["data"])
        });
        all.join("\n")
    }

    fn touches_key(&self, call: &str) -> bool {
        call.starts_with("GET ") && !call.ends_with(" metadata")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kubernetes_store_keeps_the_contract() {
    contract::run(|| bench(Server::of_the_test())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_keeps_a_key_before_its_certificate() {
    contract::run_by_request(|| bench(Server::of_the_test())).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real API server; .ci/run starts one"]
async fn a_real_api_server_keeps_the_contract() {
    let server = Server::real();
    contract::run(|| bench(server.clone())).await;
}

fn promoted(generation: &Generation, rotation: Rotation) -> PublicRecord {
    PublicRecord {
        phase: RecordedPhase::Promoted,
        promoted_at: Some(rotation.promoted_at()),
        ..generation.record.clone()
    }
}

/// Promotes a first generation at that entry.
async fn one_current(server: &Server, entry: &StoreBinding) -> Generation {
    let store = server.store(&Trouble::quiet());
    let staged = contract::stage(&store, entry, Rotation::First, 1).await.unwrap();
    store.promote(entry, &staged, None, None, &promoted(&staged, Rotation::First)).await.unwrap()
}

fn current_of(generation: &Generation) -> Option<Current> {
    Some(Current::Recorded(generation.record.thumbprints.unwrap().sha256))
}

async fn what_others_keep_in_the_secret_survives(server: &Server) {
    let name = fresh_name();
    let entry = binding(&name, Format::PemPair);
    let theirs = json!({ "app": "billing" });
    server.make(
        &json!({ "metadata": { "name": name, "labels": theirs, "annotations": { "team": "platform" } },
                         "data": { "tenant": STANDARD.encode("8f5e2c0a") } }),
    );
    // Nothing that consumers of the certificate read is there: no rival, nothing to adopt.
    one_current(server, &entry).await;
    let found = server.get(&name);
    assert_eq!(found["data"]["tenant"], STANDARD.encode("8f5e2c0a"));
    assert_eq!(found["metadata"]["annotations"]["team"], "platform");
    let key = STANDARD.decode(found["data"]["tls.key"].as_str().unwrap()).unwrap();
    let certificate = STANDARD.decode(found["data"]["tls.crt"].as_str().unwrap()).unwrap();
    read_pem(&[certificate, key].concat()).unwrap();
    // Another form takes its own fields away again, and nothing else.
    let store = server.store(&Trouble::quiet());
    let entry = binding(&name, Format::Pem);
    let second = contract::stage(&store, &entry, Rotation::Second, 2).await.unwrap();
    let current = store.observe(&entry).await.state;
    let StoreState::Known(holding) = current else { panic!("{current:?}") };
    let record = promoted(&second, Rotation::Second);
    store.promote(&entry, &second, holding.current.as_ref(), None, &record).await.unwrap();
    let found = server.get(&name);
    let fields: Vec<&String> = found["data"].as_object().unwrap().keys().collect();
    assert_eq!(fields, [&"tenant".to_owned(), &FIELD.to_owned()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_keep_in_the_same_secret_survives() {
    what_others_keep_in_the_secret_survives(&Server::of_the_test()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real API server; .ci/run starts one"]
async fn what_others_keep_in_the_same_secret_survives_on_a_real_server() {
    what_others_keep_in_the_secret_survives(&Server::real()).await;
}

async fn another_owner_is_named(server: &Server) {
    let name = fresh_name();
    let entry = binding(&name, Format::Pem);
    server.make(&json!({ "metadata": { "name": name }, "data": { FIELD: STANDARD.encode("by helm") } }));
    let store = server.store(&Trouble::quiet());
    let seen = store.observe(&entry).await;
    let StoreState::Known(holding) = &seen.state else { panic!("{:?}", seen.state) };
    assert_eq!(holding.current, Some(Current::Unrecorded { thumbprints: None }));
    assert!(
        seen.warnings.iter().any(|told| told.starts_with("kubectl-create owns tls-combined.pem")),
        "{seen:?}"
    );
    let staged = contract::stage(&store, &entry, Rotation::First, 1).await.unwrap();
    let record = promoted(&staged, Rotation::First);
    let there = Current::Unrecorded { thumbprints: None };
    let refused = store.promote(&entry, &staged, Some(&there), None, &record).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Rival, "{refused}");
    assert!(refused.reason.contains("conflict with \"kubectl-create\""), "{refused}");
    assert!(refused.hint.as_ref().unwrap().contains("--field-manager=certroll"), "{refused:?}");
    assert_eq!(server.get(&name)["data"][FIELD], STANDARD.encode("by helm"), "it was overwritten");
    assert!(store.signer(&entry, &staged).await.is_ok(), "the staged key is safe");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_owner_of_a_field_is_named_and_not_overwritten() {
    another_owner_is_named(&Server::of_the_test()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real API server; .ci/run starts one"]
async fn another_owner_of_a_field_is_named_on_a_real_server() {
    another_owner_is_named(&Server::real()).await;
}

async fn what_cannot_be_changed_is_told(server: &Server) {
    let changes = [
        (json!({ "immutable": true }), "immutable", 422),
        (json!({ "type": "example.com/other" }), ".type", 409),
    ];
    for (change, said, code) in changes {
        let name = fresh_name();
        let entry = binding(&name, Format::Pem);
        let mut body = json!({ "metadata": { "name": name }, "type": "Opaque", "data": { "tenant": "" } });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        server.make(&body);
        let store = server.store(&Trouble::quiet());
        let staged = contract::stage(&store, &entry, Rotation::First, 1).await.unwrap();
        let record = promoted(&staged, Rotation::First);
        let refused = store.promote(&entry, &staged, None, None, &record).await.unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::Refused, "{refused}");
        assert!(refused.reason.contains(said) && refused.reason.contains(&code.to_string()), "{refused}");
        assert!(refused.hint.as_ref().unwrap().contains("delete it"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_immutable_secret_and_one_of_another_type_are_told() {
    what_cannot_be_changed_is_told(&Server::of_the_test()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real API server; .ci/run starts one"]
async fn an_immutable_secret_and_one_of_another_type_are_told_by_a_real_server() {
    what_cannot_be_changed_is_told(&Server::real()).await;
}

async fn a_label_of_others_is_no_rival(server: &Server) {
    let entry = binding(&fresh_name(), Format::Pem);
    let current = one_current(server, &entry).await;
    let store = server.store(&Trouble::quiet());
    server.edit(&entry.entry, &json!({ "metadata": { "annotations": { "seen-by": "the backup" } } }));
    server.edit(&entry.entry, &json!({ "data": { "tenant": STANDARD.encode("8f5e2c0a") } }));
    let state = store.observe(&entry).await.state;
    let StoreState::Known(holding) = state else { panic!("{state:?}") };
    assert_eq!(holding.current, current_of(&current));
    assert!(store.signer(&entry, &current).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_or_field_of_others_is_no_rival() {
    a_label_of_others_is_no_rival(&Server::of_the_test()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real API server; .ci/run starts one"]
async fn a_label_or_field_of_others_is_no_rival_on_a_real_server() {
    a_label_of_others_is_no_rival(&Server::real()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_secret_is_unreadable_and_never_empty() {
    let server = Server::of_the_test();
    let entry = binding("cloudm", Format::Pem);
    one_current(&server, &entry).await;
    server.ask("DELETE", &server.path("cloudm"), "application/json", None);
    match server.store(&Trouble::quiet()).observe(&entry).await.state {
        StoreState::Unreadable { reason } => assert!(reason.contains("was deleted"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_written_is_told_without_writing() {
    let secrets = Arc::new(Secrets::default());
    let server = Server::over(secrets.clone());
    let entry = binding("cloudm", Format::Pem);
    let trouble = Trouble::quiet();
    let store = server.store(&trouble);
    assert_eq!(store.may_write(&entry).await.unwrap(), May::Yes);
    secrets.deny("create", "");
    let lacks = |may: May| match may {
        May::No { reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    let told = lacks(store.may_write(&entry).await.unwrap());
    assert!(told.ends_with("may not create Secrets in apps"), "{told}");
    secrets.deny("patch", "cloudm-next");
    let told = lacks(store.may_write(&entry).await.unwrap());
    assert!(told.contains("may not patch Secret apps/cloudm-next; create Secrets in apps"), "{told}");
    assert!(!trouble.journal().iter().any(|call| call.contains("secrets") && !call.starts_with("GET ")));
    assert_eq!(server.get("cloudm-next")["kind"], json!("Status"), "asking made something");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_rights_is_unreadable_and_says_what_is_missing() {
    let secrets = Arc::new(Secrets::default());
    secrets.forbid(true);
    let server = Server::over(secrets);
    let entry = binding("cloudm", Format::Pem);
    let store = server.store(&Trouble::quiet());
    match store.observe(&entry).await.state {
        StoreState::Unreadable { reason } => assert!(reason.contains("403 Forbidden"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let refused = contract::stage(&store, &entry, Rotation::First, 1).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Denied);
    assert!(refused.hint.as_ref().unwrap().contains("get, patch and create"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_values_that_come_unasked_are_not_looked_at() {
    let secrets = Arc::new(Secrets::default());
    let server = Server::over(secrets.clone());
    let entry = binding("cloudm", Format::Pem);
    one_current(&server, &entry).await;
    secrets.send_values_always();
    match server.store(&Trouble::quiet()).observe(&entry).await.state {
        StoreState::Unreadable { reason } => {
            assert!(reason.contains("more than the metadata"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

/// The calls that change something, in the words of the documentation.
fn changes(trouble: &Trouble, name: &str) -> Vec<String> {
    let calls = trouble.journal();
    let changing = calls.iter().filter(|call| !call.starts_with("GET"));
    let words = changing.map(|call| {
        let path = call.trim_end_matches(" metadata").rsplit('/').next().unwrap();
        match path.strip_prefix(name) {
            Some("") => "apply NAME".to_owned(),
            Some(rest) => format!("patch NAME{rest}"),
            None => "create NAME-next".to_owned(),
        }
    });
    words.collect()
}

/// The first column of a table in the page.
fn documented(call: &str) -> Vec<String> {
    let page = include_str!("../../../docs/stores/kubernetes.md");
    let section = page.split("\n### ").find(|section| section.starts_with(&format!("`{call}`"))).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(row, _)| row.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_that_changes_a_secret_is_in_the_documentation() {
    let server = Server::of_the_test();
    let entry = binding("cloudm", Format::Pem);
    let first = one_current(&server, &entry).await;
    let trouble = Trouble::quiet();
    let store = server.store(&trouble);
    let second = contract::stage(&store, &entry, Rotation::Second, 2).await.unwrap();
    assert_eq!(changes(&trouble, "cloudm"), documented("stage"));
    trouble.restart();
    let record = promoted(&second, Rotation::Second);
    let second = store.promote(&entry, &second, current_of(&first).as_ref(), None, &record).await.unwrap();
    assert_eq!(changes(&trouble, "cloudm"), documented("promote"));
    trouble.restart();
    let record = promoted(&first, Rotation::Second);
    store.promote(&entry, &first, current_of(&second).as_ref(), None, &record).await.unwrap();
    assert_eq!(changes(&trouble, "cloudm"), documented("promote"));
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
    contract::stage(&server.store(&Trouble::quiet()), &entry, Rotation::Second, 2).await.unwrap();
    let trouble = Trouble::quiet();
    let store = server.store(&trouble);
    contract::calls_while_it_waits(&store, &entry, |call| {
        assert_eq!(changes(&trouble, "cloudm"), documented(call));
        trouble.restart();
    })
    .await;
}

async fn what_others_keep_where_keys_wait_is_left_alone(server: &Server) {
    let name = fresh_name();
    let next = format!("{name}-next");
    server
        .make(&json!({ "metadata": { "name": next }, "data": { "database": STANDARD.encode("precious") } }));
    let before = server.get(&next);
    let store = server.store(&Trouble::quiet());
    let entry = binding(&name, Format::Pem);
    match store.observe(&entry).await.state {
        StoreState::Unreadable { reason } => {
            assert!(reason.contains(&format!("{next} holds what certroll did not write")), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    let refused = contract::stage(&store, &entry, Rotation::First, 1).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Refused, "{refused}");
    assert_eq!(server.get(&next), before, "who reads that Secret would have been given a key");
    // One that somebody made ahead, so that certroll needs no right to create, is empty.
    let name = fresh_name();
    server.make(&json!({ "metadata": { "name": format!("{name}-next") } }));
    one_current(server, &binding(&name, Format::Pem)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_secret_of_others_is_given_no_key_to_keep() {
    what_others_keep_where_keys_wait_is_left_alone(&Server::of_the_test()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real API server; .ci/run starts one"]
async fn p3_a_secret_of_others_is_given_no_key_to_keep_on_a_real_server() {
    what_others_keep_where_keys_wait_is_left_alone(&Server::real()).await;
}
