//! Certificates that the vault makes itself or has made: by itself, or by a CA that is registered there.

use std::sync::Arc;

use async_trait::async_trait;
use certroll::certificate::{Certificate, KeyKind};
use certroll::desired::{Format, StoreBinding};
use certroll::edges::TroubleKind;
use certroll::issuer::key_vault::KeyVaultIssuer;
use certroll::issuer::{CertificateRequest, IssueError, Issued, Issuer, SubjectKey};
use certroll::may::May;
use certroll::observed::record::{PublicRecord, RecordedPhase};
use certroll::observed::{KeyState, StoreState};
use certroll::store::key_vault::KeyVaultStore;
use certroll::store::{KeyRequest, Pending, Signs, StoreReader, StoreWriter};
use serde_json::json;

use super::certificate::{CertificateBench, bench, entry, store};
use super::{changes, documented, vault};
use crate::support::contract::{self, Bench, Rotation, SUBJECT};
use crate::support::key_vault::KeyVaultService;
use crate::support::keys;
use crate::support::trouble::{Mischief, Trouble};

struct MadeBench(CertificateBench);

#[async_trait]
impl Bench for MadeBench {
    fn store(&self) -> Arc<dyn StoreWriter> {
        self.0.store()
    }
    fn entry(&self) -> StoreBinding {
        self.0.entry()
    }
    fn trouble(&self) -> Arc<Trouble> {
        self.0.trouble()
    }
    fn mischief(&self) -> &'static [Mischief] {
        self.0.mischief()
    }
    async fn consume(&self) -> Option<Certificate> {
        self.0.consume().await
    }
    fn rival(&self) -> Box<dyn FnOnce() + Send> {
        self.0.rival()
    }
    fn put_by_hand(&self, pem: &str) -> bool {
        self.0.put_by_hand(pem)
    }
    fn rivals_within_calls(&self) -> bool {
        true
    }
    fn snapshot(&self) -> String {
        self.0.snapshot()
    }
    fn touches_key(&self, call: &str) -> bool {
        self.0.touches_key(call)
    }
    fn signs(&self) -> Option<Arc<dyn Issuer>> {
        Some(Arc::new(KeyVaultIssuer::new(vault(&self.0.service, &self.0.trouble), "Self", "cloudm")))
    }
}

#[tokio::test]
async fn what_the_vault_makes_keeps_the_contract() {
    let bench = bench(Format::Pem).await;
    contract::run(|| MadeBench(bench())).await;
}

fn by(issuer: &str) -> KeyRequest {
    let signs = Some(Signs { issuer: issuer.into(), validity: "P1Y".parse().unwrap() });
    KeyRequest { key: KeyKind::Rsa2048, subject: SUBJECT.into(), signs }
}

/// The record of a generation that is asked for.
async fn requested(rotation: Rotation) -> PublicRecord {
    let any = keys::self_signed(SUBJECT, rotation.start(), 1, &keys::key(9)).await;
    let record = contract::staged(rotation, &any.certificate);
    let (thumbprints, not_before, not_after) = (None, None, None);
    PublicRecord { thumbprints, not_before, not_after, phase: RecordedPhase::Requested, ..record }
}

struct Scene {
    service: Arc<KeyVaultService>,
    trouble: Arc<Trouble>,
    store: KeyVaultStore,
    entry: StoreBinding,
    issuer: &'static str,
}

impl Scene {
    fn of(issuer: &'static str) -> Scene {
        let (service, trouble) = (Arc::<KeyVaultService>::default(), Trouble::quiet());
        let store = store(&service, &trouble);
        Scene { store, service, trouble, entry: entry(Format::Pfx), issuer }
    }

    async fn request(&self, rotation: Rotation) -> Pending {
        let record = requested(rotation).await;
        self.store.request(&self.entry, &by(self.issuer), &record).await.unwrap()
    }

    /// Asks what became of it.
    async fn ask(&self, pending: &Pending) -> Result<Issued, IssueError> {
        let issuer = KeyVaultIssuer::new(vault(&self.service, &self.trouble), self.issuer, "cloudm");
        let request = CertificateRequest {
            validity: "P1Y".parse().unwrap(),
            ..keys::request(SUBJECT, Rotation::First.start(), 1)
        };
        issuer.issue(&request, SubjectKey::Request(&pending.csr)).await
    }

    async fn warnings(&self) -> Vec<String> {
        self.store.observe(&self.entry).await.warnings
    }
}

#[tokio::test]
async fn it_is_asked_for_as_declared_under_the_waiting_name_and_makes_nothing_by_itself() {
    for (format, content_type) in
        [(Format::Pfx, "application/x-pkcs12"), (Format::Pem, "application/x-pem-file")]
    {
        let mut scene = Scene::of("DigiCert");
        scene.entry = entry(format);
        scene.request(Rotation::First).await;
        assert_eq!(scene.service.certificate_shown("cloudm"), "nothing");
        let policy = scene.service.policy("cloudm-next");
        assert_eq!(policy["issuer"], json!({ "name": "DigiCert" }));
        let key = json!({ "exportable": true, "kty": "RSA", "key_size": 2048, "reuse_key": false });
        assert_eq!(policy["key_props"], key);
        let certificate =
            json!({ "subject": SUBJECT, "key_usage": ["digitalSignature"], "validity_months": 12 });
        assert_eq!(policy["x509_props"], certificate);
        assert_eq!(policy["secret_props"]["contentType"], content_type);
        assert_eq!(policy["lifetime_actions"], json!([]));
    }
}

#[tokio::test]
async fn until_it_is_signed_it_is_not_yet_in_the_vaults_own_words() {
    let scene = Scene::of("DigiCert");
    scene.service.state().signing.asks = 2;
    let pending = scene.request(Rotation::First).await;
    let not_yet = scene.ask(&pending).await.unwrap_err().0;
    assert_eq!(not_yet.kind, TroubleKind::NotYet);
    assert!(not_yet.reason.contains("inProgress, Pending certificate created"), "{not_yet}");
    let warnings = scene.warnings().await;
    assert_eq!(
        warnings,
        [
            "certificate cloudm-next is not signed yet; DigiCert says: inProgress, Pending certificate created. \
          Certificate request is in progress."
        ]
    );
    // Another run takes it up: nothing is ordered a second time.
    scene.trouble.restart();
    let again = scene.request(Rotation::First).await;
    assert_eq!(again.csr, pending.csr);
    assert_eq!(changes(&scene.trouble), Vec::<String>::new());
    let issued = scene.ask(&again).await.unwrap();
    assert!(issued.certificate.matches_request(&pending.csr));
}

#[tokio::test]
async fn what_is_signed_and_not_attached_is_a_generation_that_the_next_run_goes_on_with() {
    let scene = Scene::of("Self");
    let pending = scene.request(Rotation::First).await;
    assert!(scene.ask(&pending).await.is_err());
    let issued = scene.ask(&pending).await.unwrap();
    let observed = scene.store.observe(&scene.entry).await;
    let StoreState::Known(holding) = observed.state else { panic!("{observed:?}") };
    assert_eq!(holding.current, None);
    let [waiting] = holding.generations.as_slice() else { panic!("{holding:?}") };
    assert_eq!((waiting.key, &waiting.record), (KeyState::Held, &requested(Rotation::First).await));
    assert!(scene.store.signer(&scene.entry, waiting).await.is_err(), "what was not looked at signs");
    let again = scene.request(Rotation::First).await;
    assert_eq!(&again.generation, waiting);
    assert_eq!(scene.ask(&again).await.unwrap().certificate, issued.certificate);
}

#[tokio::test]
async fn what_a_ca_rejects_is_told_in_its_words_and_asked_for_anew() {
    let scene = Scene::of("DigiCert");
    scene.service.state().signing.fails = Some("the organisation is not validated");
    let pending = scene.request(Rotation::First).await;
    assert!(scene.ask(&pending).await.is_err());
    let failed = scene.ask(&pending).await.unwrap_err().0;
    assert_eq!(failed.kind, TroubleKind::Refused);
    assert_eq!(failed.reason, "failed: OrderRejected the organisation is not validated");
    let warnings = scene.warnings().await;
    assert!(
        warnings.len() == 1 && warnings[0].contains("came to nothing: failed: OrderRejected"),
        "{warnings:?}"
    );
    scene.service.state().signing.fails = None;
    let anew = scene.request(Rotation::First).await;
    assert_ne!(anew.csr, pending.csr);
    assert!(scene.ask(&anew).await.is_err());
    scene.ask(&anew).await.unwrap();
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_what_differs() {
    for (issuer, shortens, renames, told) in [
        ("DigiCert", 3, None, "the CA lets it end on 2026-09-30"),
        ("DigiCert", 0, Some("CN=somebody else"), "the CA named it CN=somebody else instead of CN=CloudM"),
        ("Self", 0, None, ""),
    ] {
        let scene = Scene::of(issuer);
        scene.service.state().signing.shortens = shortens;
        scene.service.state().signing.renames = renames;
        let pending = scene.request(Rotation::First).await;
        assert!(scene.ask(&pending).await.is_err());
        match scene.ask(&pending).await {
            Ok(_) => assert_eq!(told, ""),
            Err(IssueError(refused)) => {
                assert_eq!(refused.kind, TroubleKind::Refused);
                assert!(refused.reason.starts_with(told), "{refused}");
                let hint = refused.hint.unwrap();
                assert!(hint.ends_with("disable the newest version of cloudm-next"), "{hint}");
            }
        }
    }
}

#[tokio::test]
async fn an_operation_of_another_declaration_is_given_up() {
    let scene = Scene::of("Self");
    scene.service.start_by_hand("cloudm-next", SUBJECT);
    let pending = scene.request(Rotation::First).await;
    let calls = ["DELETE NAME-next pending", "POST NAME-next create"];
    assert_eq!(changes(&scene.trouble), calls);
    assert!(scene.ask(&pending).await.is_err());
    scene.ask(&pending).await.unwrap();

    // The issuer is not the vault any more.
    let scene = Scene::of("DigiCert");
    scene.request(Rotation::First).await;
    contract::stage(&scene.store, &scene.entry, Rotation::Second, 2).await.unwrap();
    assert_eq!(scene.warnings().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_issuer_that_is_not_registered_is_noticed() {
    let service = Arc::<KeyVaultService>::default();
    for (issuer, registered) in [("Self", true), ("DigiCert", true), ("GlobalSign", false)] {
        let issuer = KeyVaultIssuer::new(vault(&service, &Trouble::quiet()), issuer, "cloudm");
        let may = issuer.may_issue().await.unwrap();
        assert_eq!(!matches!(may, May::No { .. }), registered, "{may:?}");
    }
}

#[tokio::test]
async fn every_call_that_changes_something_is_in_the_documentation() {
    let scene = Scene::of("Self");
    let documented = |call| documented("Certificate objects that the vault makes", call);
    let pending = scene.request(Rotation::First).await;
    assert_eq!(changes(&scene.trouble), documented("request"));
    assert!(scene.ask(&pending).await.is_err());
    let issued = scene.ask(&pending).await.unwrap();
    scene.trouble.restart();
    let record = contract::staged(Rotation::First, &issued.certificate);
    scene.store.attach(&scene.entry, &pending.generation, &issued, &record).await.unwrap();
    assert_eq!(changes(&scene.trouble), documented("attach"));

    let scene = Scene::of("Self");
    let pending = scene.request(Rotation::First).await;
    assert!(scene.ask(&pending).await.is_err());
    scene.ask(&pending).await.unwrap();
    let waiting = scene.request(Rotation::First).await.generation;
    scene.trouble.restart();
    assert_eq!(scene.store.remove(&scene.entry, &waiting).await.unwrap(), KeyState::Disabled);
    assert_eq!(changes(&scene.trouble), documented("remove, while it waits"));
}
