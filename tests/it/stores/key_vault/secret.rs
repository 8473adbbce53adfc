//! Secret objects.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certroll::certificate::Certificate;
use certroll::desired::{Format, Password, StoreBinding};
use certroll::entra::OwnCredential;
use certroll::entra::sign_in::Method;
use certroll::form::{read_pem, read_pfx};
use certroll::key::Secret;
use certroll::key_vault::SignIn;
use certroll::net::{Transport, TransportError};
use certroll::observed::record::{PublicRecord, RecordedPhase};
use certroll::observed::{Current, Generation, Holding, StoreState};
use certroll::store::key_vault::KeyVaultStore;
use certroll::store::{StoreErrorKind, StoreReader, StoreWriter};

use http::{Request, Response};

use super::super::binding;
use super::{changes, documented, opened, vault};
use crate::support::contract::{self, Bench, Rotation};
use crate::support::key_vault::{CLIENT, CLIENT_SECRET, HOST, KeyVaultService, LOGIN, TENANT};
use crate::support::keys;
use crate::support::service::{StillClock, answer};
use crate::support::stores::signing_request;
use crate::support::trouble::{EVERY_MISCHIEF, Mischief, Trouble};

fn entry(format: Format) -> StoreBinding {
    let mut entry = binding("cloudm", format);
    entry.options.object = Some("secret".into());
    entry
}

fn store(service: &Arc<KeyVaultService>, trouble: &Arc<Trouble>) -> KeyVaultStore {
    KeyVaultStore::new(vault(service, trouble))
}

struct SecretBench {
    service: Arc<KeyVaultService>,
    trouble: Arc<Trouble>,
}

#[async_trait]
impl Bench for SecretBench {
    fn store(&self) -> Arc<dyn StoreWriter> {
        Arc::new(store(&self.service, &self.trouble))
    }

    fn entry(&self) -> StoreBinding {
        entry(Format::Pem)
    }

    fn trouble(&self) -> Arc<Trouble> {
        self.trouble.clone()
    }

    fn mischief(&self) -> &'static [Mischief] {
        &EVERY_MISCHIEF
    }

    async fn consume(&self) -> Option<Certificate> {
        let value = self.service.consume("cloudm")?;
        // A rival's value is not one of ours.
        Some(read_pem(value.as_bytes()).ok()?.certificate)
    }

    fn rival(&self) -> Box<dyn FnOnce() + Send> {
        let service = self.service.clone();
        Box::new(move || service.set_by_hand("cloudm", "by hand", &[]))
    }

    fn put_by_hand(&self, pem: &str) -> bool {
        self.service.set_by_hand("cloudm", pem, &[]);
        true
    }

    fn rivals_within_calls(&self) -> bool {
        true
    }

    fn snapshot(&self) -> String {
        self.service.secrets_snapshot()
    }

    fn touches_key(&self, call: &str) -> bool {
        let path = call.strip_prefix("GET /secrets/");
        path.is_some_and(|path| !path.ends_with("/versions"))
    }
}

#[tokio::test]
async fn a_secret_object_keeps_the_contract() {
    contract::run(|| SecretBench { service: Arc::default(), trouble: Trouble::quiet() }).await;
}

#[tokio::test]
async fn a_secret_object_keeps_a_key_before_its_certificate() {
    contract::run_by_request(|| SecretBench { service: Arc::default(), trouble: Trouble::quiet() }).await;
}

fn promoted(rotation: Rotation, generation: &Generation) -> PublicRecord {
    PublicRecord {
        phase: RecordedPhase::Promoted,
        promoted_at: Some(rotation.promoted_at()),
        ..generation.record.clone()
    }
}

fn current_of(generation: &Generation) -> Option<Current> {
    Some(Current::Recorded(generation.record.thumbprints.unwrap().sha256))
}

/// Promotes a generation of that rotation after `before`.
async fn make_current(
    store: &KeyVaultStore,
    entry: &StoreBinding,
    rotation: Rotation,
    before: Option<&Generation>,
) -> Generation {
    let number = if rotation == Rotation::First { 1 } else { 2 };
    let staged = contract::stage(store, entry, rotation, number).await.unwrap();
    let password = Secret::new("correct horse battery staple".into());
    let password = (entry.form.format.is_pfx() && entry.form.password != Password::None).then_some(&password);
    let before = before.and_then(current_of);
    let record = promoted(rotation, &staged);
    store.promote(entry, &staged, before.as_ref(), password, &record).await.unwrap()
}

async fn known(store: &KeyVaultStore, entry: &StoreBinding) -> Holding {
    match store.observe(entry).await.state {
        StoreState::Known(holding) => holding,
        other => panic!("{other:?}"),
    }
}

async fn unreadable(store: &KeyVaultStore, entry: &StoreBinding) -> String {
    match store.observe(entry).await.state {
        StoreState::Unreadable { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_json_value_holds_a_pfx_and_its_password_so_that_both_change_together() {
    let service = Arc::<KeyVaultService>::default();
    let (store, entry) = (store(&service, &Trouble::quiet()), entry(Format::Pfx));
    let current = make_current(&store, &entry, Rotation::First, None).await;
    let value: serde_json::Value = serde_json::from_str(&service.consume("cloudm").unwrap()).unwrap();
    let names: Vec<&String> = value.as_object().unwrap().keys().collect();
    assert_eq!(names, ["certificate", "password"]);
    let password = Secret::new(value["password"].as_str().unwrap().into());
    let pfx = STANDARD.decode(value["certificate"].as_str().unwrap()).unwrap();
    let identity = read_pfx(&pfx, Some(&password)).unwrap();
    assert_eq!(Some(identity.certificate.thumbprints), current.record.thumbprints);
}

#[tokio::test]
async fn a_pfx_without_password_or_with_one_the_consumer_has_is_the_value_itself() {
    for password in [Password::None, Password::Env("CERTROLL_SECRET_PFX".into())] {
        let service = Arc::<KeyVaultService>::default();
        let mut entry = entry(Format::Pfx);
        entry.form.password = password.clone();
        let store = store(&service, &Trouble::quiet());
        let current = make_current(&store, &entry, Rotation::First, None).await;
        let pfx = STANDARD.decode(service.consume("cloudm").unwrap()).unwrap();
        let given = Secret::new("correct horse battery staple".into());
        let given = (password != Password::None).then_some(&given);
        assert_eq!(Some(read_pfx(&pfx, given).unwrap().certificate.thumbprints), current.record.thumbprints);
        assert!(store.signer(&entry, &current).await.is_ok(), "the key is kept beside the form");
    }
}

#[tokio::test]
async fn a_list_of_many_pages_is_read_to_its_end() {
    let service = Arc::<KeyVaultService>::default();
    let (store, entry) = (store(&service, &Trouble::quiet()), entry(Format::Pem));
    for number in 0..7 {
        service.set_by_hand("cloudm", &format!("value {number}"), &[]);
    }
    let staged = contract::stage(&store, &entry, Rotation::First, 1).await.unwrap();
    let (there, record) = (Current::Unrecorded { thumbprints: None }, promoted(Rotation::First, &staged));
    store.promote(&entry, &staged, Some(&there), None, &record).await.unwrap();
    for page in [1, 2, 7, 8] {
        service.state().page = page;
        assert_eq!(known(&store, &entry).await.current, current_of(&staged), "pages of {page}");
    }
}

#[tokio::test]
async fn tags_of_others_go_along_to_the_next_version() {
    let service = Arc::<KeyVaultService>::default();
    service.set_by_hand("cloudm", "something else", &[("cost-center", "4711")]);
    let (store, entry) = (store(&service, &Trouble::quiet()), entry(Format::Pem));
    let there = Current::Unrecorded { thumbprints: None };
    let staged = contract::stage(&store, &entry, Rotation::First, 1).await.unwrap();
    let record = promoted(Rotation::First, &staged);
    let refused = store.promote(&entry, &staged, None, None, &record).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Rival, "what is there was not expected: {refused}");
    store.promote(&entry, &staged, Some(&there), None, &record).await.unwrap();
    assert!(service.secret_shown("cloudm").contains("cost-center"), "{}", service.secret_shown("cloudm"));
}

#[tokio::test]
async fn a_value_that_was_put_under_our_tags_is_not_relied_upon() {
    let service = Arc::<KeyVaultService>::default();
    let (store, entry) = (store(&service, &Trouble::quiet()), entry(Format::Pem));
    let current = make_current(&store, &entry, Rotation::First, None).await;
    service.tamper("cloudm", "tampered");
    let refused = store.signer(&entry, &current).await.err().unwrap();
    assert_eq!(refused.kind, StoreErrorKind::Corrupt);
    assert!(refused.reason.contains("not what was written"), "{refused}");
    assert!(!refused.to_string().contains("tampered"));
}

#[tokio::test]
async fn versions_of_one_second_are_kept_apart_by_writing_again() {
    let service = Arc::<KeyVaultService>::default();
    let (store, entry) = (store(&service, &Trouble::quiet()), entry(Format::Pem));
    let first = make_current(&store, &entry, Rotation::First, None).await;
    let staged = contract::stage(&store, &entry, Rotation::Second, 2).await.unwrap();
    service.stand_still_for_writes(1);
    let record = promoted(Rotation::Second, &staged);
    let second = store.promote(&entry, &staged, current_of(&first).as_ref(), None, &record).await.unwrap();
    assert_eq!(known(&store, &entry).await.current, current_of(&second));
}

#[tokio::test]
async fn a_strangers_version_of_the_same_second_is_no_guess() {
    let service = Arc::<KeyVaultService>::default();
    let (store, entry) = (store(&service, &Trouble::quiet()), entry(Format::Pem));
    make_current(&store, &entry, Rotation::First, None).await;
    service.stand_still_for_writes(1);
    service.set_by_hand("cloudm", "by hand", &[]);
    let reason = unreadable(&store, &entry).await;
    assert!(reason.contains("in the same second"), "{reason}");
}

#[tokio::test]
async fn a_disabled_newest_version_is_unreadable_and_never_empty() {
    let service = Arc::<KeyVaultService>::default();
    let (store, entry) = (store(&service, &Trouble::quiet()), entry(Format::Pem));
    make_current(&store, &entry, Rotation::First, None).await;
    service.disable_newest("cloudm");
    assert_eq!(service.consume("cloudm"), None);
    let reason = unreadable(&store, &entry).await;
    assert!(reason.contains("is disabled: consumers read nothing"), "{reason}");
}

#[tokio::test]
async fn a_deleted_name_asks_to_be_recovered_and_is_not_taken_for_nothing() {
    for deleted in ["cloudm", "cloudm-next"] {
        let service = Arc::<KeyVaultService>::default();
        let (store, entry) = (store(&service, &Trouble::quiet()), entry(Format::Pem));
        make_current(&store, &entry, Rotation::First, None).await;
        service.delete_secret(deleted);
        let reason = unreadable(&store, &entry).await;
        assert!(reason.contains(&format!("secret {deleted} was deleted")), "{reason}");
        assert!(reason.contains("recover"), "{reason}");
    }
}

#[tokio::test]
async fn the_other_side_of_a_certificate_object_is_not_written_to() {
    let service = Arc::<KeyVaultService>::default();
    service.set_by_hand("cloudm", "of a certificate", &[]);
    service.manage("cloudm");
    let (store, entry) = (store(&service, &Trouble::quiet()), entry(Format::Pem));
    assert!(unreadable(&store, &entry).await.contains("say object: certificate"));
    assert!(contract::stage(&store, &entry, Rotation::First, 1).await.is_err());
}

#[tokio::test]
async fn a_value_too_long_for_a_secret_is_refused_before_it_is_sent() {
    let service = Arc::<KeyVaultService>::default();
    let trouble = Trouble::quiet();
    let (store, entry) = (store(&service, &trouble), entry(Format::Pem));
    let key = keys::key(1);
    let mut issued = keys::self_signed(contract::SUBJECT, Rotation::First.start(), 1, &key).await;
    issued.chain = vec![issued.certificate.clone(); 20];
    let record = contract::staged(Rotation::First, &issued.certificate);
    let refused = store.stage(&entry, &key, &issued, &record).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Refused);
    assert!(refused.reason.contains("a secret takes 25600"), "{refused}");
    assert!(!trouble.journal().iter().any(|call| call.starts_with("PUT")), "{:?}", trouble.journal());
}

#[tokio::test]
async fn what_somebody_else_made_is_adopted_by_the_tags_of_its_version() {
    let service = Arc::<KeyVaultService>::default();
    let (store, entry) = (store(&service, &Trouble::quiet()), entry(Format::Pem));
    let key = keys::key(5);
    let issued = keys::self_signed(contract::SUBJECT, Rotation::First.start(), 1, &key).await;
    let form = certroll::form::render(&entry.form, &key, &issued, None, "cloudm").unwrap();
    service.set_by_hand("cloudm", std::str::from_utf8(&form[0].contents).unwrap(), &[]);
    let record = PublicRecord { rotation_id: None, ..contract::staged(Rotation::First, &issued.certificate) };
    store.write_record(&entry, &record).await.unwrap();
    let holding = known(&store, &entry).await;
    assert_eq!(holding.current, Some(Current::Recorded(issued.certificate.thumbprints.sha256)));
    let adopted = holding.current_generation().unwrap().clone();
    let signer = store.signer(&entry, &adopted).await.unwrap();
    assert_eq!(signer.certificate(), &issued.certificate);
}

/// Both keep a key, and one of the keys counts: whoever goes on has the request of that one signed.
#[tokio::test]
async fn of_two_runs_that_keep_a_request_at_once_both_have_the_same_one_signed() {
    let keep = |service: &Arc<KeyVaultService>, trouble: &Arc<Trouble>, number: usize| {
        let store = store(service, trouble);
        let key = keys::key(number);
        let csr = signing_request(&key, contract::SUBJECT);
        async move {
            let record = contract::requested(Rotation::First);
            store.keep_request(&entry(Format::Pem), &key, &csr, &record).await.unwrap()
        }
    };
    for call in 0.. {
        let (service, trouble) = (Arc::<KeyVaultService>::default(), Trouble::quiet());
        let rivals = Arc::new(Mutex::new(None));
        let (there, kept) = (service.clone(), rivals.clone());
        trouble.plan_visit(call, move || {
            let run = move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(keep(&there, &Trouble::quiet(), 2))
            };
            *kept.lock().unwrap() = Some(std::thread::spawn(run).join().unwrap());
        });
        let ours = keep(&service, &trouble, 1).await;
        if trouble.journal().len() as u64 <= call {
            return;
        }
        let rivals = rivals.lock().unwrap().take().unwrap();
        assert_eq!(ours.csr, rivals.csr, "another run before call {call}");
        assert_eq!(ours.generation, rivals.generation, "another run before call {call}");
        let waiting = known(&store(&service, &Trouble::quiet()), &entry(Format::Pem)).await.generations;
        assert_eq!(waiting, [ours.generation]);
    }
}

#[tokio::test]
async fn every_call_that_changes_something_is_in_the_documentation() {
    let service = Arc::<KeyVaultService>::default();
    let entry = entry(Format::Pem);
    let first = make_current(&store(&service, &Trouble::quiet()), &entry, Rotation::First, None).await;
    let trouble = Trouble::quiet();
    let store = store(&service, &trouble);

    let second = contract::stage(&store, &entry, Rotation::Second, 2).await.unwrap();
    assert_eq!(changes(&trouble), documented("Secret objects", "stage"));
    trouble.restart();
    let record = promoted(Rotation::Second, &second);
    let second = store.promote(&entry, &second, current_of(&first).as_ref(), None, &record).await.unwrap();
    assert_eq!(changes(&trouble), documented("Secret objects", "promote"));
    trouble.restart();
    let rejected = PublicRecord { rejected: true, ..first.record.clone() };
    store.write_record(&entry, &rejected).await.unwrap();
    assert_eq!(changes(&trouble), documented("Secret objects", "write_record"));
    trouble.restart();
    store.remove(&entry, &first).await.unwrap();
    assert_eq!(changes(&trouble), documented("Secret objects", "remove"));
    assert_eq!(known(&store, &entry).await.current, current_of(&second));
}

#[tokio::test]
async fn every_call_while_somebody_else_signs_is_in_the_documentation() {
    let (service, trouble) = (Arc::<KeyVaultService>::default(), Trouble::quiet());
    let (store, entry) = (store(&service, &trouble), entry(Format::Pem));
    contract::calls_while_it_waits(&store, &entry, |call| {
        assert_eq!(changes(&trouble), documented("Secret objects", call));
        trouble.restart();
    })
    .await;
}

/// A vault behind something that answers the lists of versions itself.
struct Intercepted {
    service: Arc<KeyVaultService>,
    status: u16,
    says: &'static str,
}

#[async_trait]
impl Transport for Intercepted {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, TransportError> {
        match request.uri().path().ends_with("/versions") {
            true => Ok(answer(self.status, self.says)),
            false => self.service.send(request).await,
        }
    }
}

/// Absent means that the vault itself said so.
#[tokio::test]
async fn what_somebody_else_answers_is_not_taken_for_an_empty_vault() {
    let others = [
        (404, "<html><body>No such page</body></html>"),
        (404, r#"{"message":"no route"}"#),
        (404, ""),
        (200, r#"{"status":"ok"}"#),
    ];
    for (status, says) in others {
        let between = Arc::new(Intercepted { service: Arc::default(), status, says });
        let clock = StillClock::at("2026-06-30T00:00:00Z");
        let address = format!("https://{HOST}");
        let vault = opened(between, clock, &Trouble::quiet(), &address, |line| SignIn {
            line,
            login: LOGIN.into(),
            credential: OwnCredential {
                tenant: Some(TENANT.into()),
                client_id: CLIENT.parse().unwrap(),
                method: Method::Secret(Secret::new(CLIENT_SECRET.into())),
                source: "the test".into(),
            },
            scope: None,
        });
        let seen = KeyVaultStore::new(vault).observe(&entry(Format::Pem)).await.state;
        assert!(matches!(seen, StoreState::Unreadable { .. }), "{status} {says}: {seen:?}");
    }
}

/// Who reads `NAME-next` for purposes of their own would be given a key.
#[tokio::test]
async fn p3_what_others_keep_where_keys_wait_is_left_alone() {
    let service: Arc<KeyVaultService> = Arc::default();
    service.set_by_hand("cloudm-next", "precious", &[("team", "platform")]);
    let store = store(&service, &Trouble::quiet());
    match store.observe(&entry(Format::Pem)).await.state {
        StoreState::Unreadable { reason } => {
            assert!(reason.contains("secret cloudm-next holds what certroll did not write"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    let refused = contract::stage(&store, &entry(Format::Pem), Rotation::First, 1).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Refused, "{refused}");
    assert_eq!(service.consume("cloudm-next").as_deref(), Some("precious"));
}
