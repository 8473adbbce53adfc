//! Certificate objects whose key never leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use certroll::certificate::{Certificate, KeyKind};
use certroll::desired::{Format, Password, StoreBinding};
use certroll::edges::TroubleKind;
use certroll::issuer::{Issuer, SubjectKey};
use certroll::key::SignatureAlgorithm;
use certroll::net::{Transport, TransportError};
use certroll::observed::StoreState;
use certroll::observed::record::{PublicRecord, RecordedPhase};
use certroll::store::key_vault::KeyVaultStore;
use certroll::store::{KeyRequest, StoreErrorKind, StoreReader, StoreWriter};

use http::{Request, Response};

use super::super::binding;
use super::{changes, documented, vault, vault_over};
use crate::support::ca::TestCa;
use crate::support::contract::{self, Bench, Rotation};
use crate::support::key_vault::{self, HOST, KeyVaultService};
use crate::support::keys;
use crate::support::trouble::{EVERY_MISCHIEF, Mischief, Trouble};

fn entry() -> StoreBinding {
    let mut entry = binding("cloudm", Format::Pfx);
    entry.form.password = Password::None;
    entry.options.object = Some("certificate".into());
    entry.options.exportable = Some(false);
    entry
}

struct PendingBench {
    service: Arc<KeyVaultService>,
    trouble: Arc<Trouble>,
    rival: Certificate,
}

#[async_trait]
impl Bench for PendingBench {
    fn store(&self) -> Arc<dyn StoreWriter> {
        Arc::new(KeyVaultStore::new(vault(&self.service, &self.trouble)))
    }

    fn entry(&self) -> StoreBinding {
        entry()
    }

    fn trouble(&self) -> Arc<Trouble> {
        self.trouble.clone()
    }

    fn mischief(&self) -> &'static [Mischief] {
        &EVERY_MISCHIEF
    }

    async fn consume(&self) -> Option<Certificate> {
        let (certificate, signature) = self.service.sign_as_consumer("cloudm", b"hello")?;
        assert!(keys::verifies_ps256(&certificate, b"hello", &signature));
        Some(certificate)
    }

    fn rival(&self) -> Box<dyn FnOnce() + Send> {
        let (service, certificate) = (self.service.clone(), self.rival.clone());
        Box::new(move || service.import_by_hand("cloudm", &keys::key(10), &certificate))
    }

    fn put_by_hand(&self, _: &str) -> bool {
        false
    }

    fn rivals_within_calls(&self) -> bool {
        true
    }

    fn snapshot(&self) -> String {
        format!("{}\n{}", self.service.certificates_snapshot(), self.service.secrets_snapshot())
    }

    fn touches_key(&self, call: &str) -> bool {
        let secret = call.strip_prefix("GET /secrets/cloudm/");
        call.ends_with("/sign") || secret.is_some_and(|rest| rest != "versions")
    }
}

#[tokio::test]
async fn a_certificate_object_whose_key_stays_keeps_the_contract() {
    let rival = keys::self_signed("CN=by hand", Rotation::First.start(), 3, &keys::key(10)).await;
    contract::run(|| PendingBench {
        service: Arc::default(),
        trouble: Trouble::quiet(),
        rival: rival.certificate.clone(),
    })
    .await;
}

fn wanted() -> KeyRequest {
    KeyRequest { key: KeyKind::Rsa2048, subject: contract::SUBJECT.into(), signs: None }
}

async fn any_record() -> PublicRecord {
    let made = keys::self_signed("CN=x", Rotation::First.start(), 1, &keys::key(9)).await;
    let record = contract::staged(Rotation::First, &made.certificate);
    PublicRecord { thumbprints: None, ..record }
}

#[tokio::test]
async fn a_strangers_pending_operation_is_not_taken_for_ours() {
    let service = Arc::<KeyVaultService>::default();
    service.start_by_hand("cloudm", "CN=somebody else");
    let store = KeyVaultStore::new(vault(&service, &Trouble::quiet()));
    let observed = store.observe(&entry()).await;
    assert!(matches!(observed.state, StoreState::Absent));
    assert!(observed.warnings[0].contains("not certroll's is pending"), "{:?}", observed.warnings);
    let before = service.certificates_snapshot();
    let refused = store.request(&entry(), &wanted(), &any_record().await).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Rival);
    assert_eq!(service.certificates_snapshot(), before);
}

#[tokio::test]
async fn a_pending_operation_for_another_key_is_not_taken_up() {
    let service = Arc::<KeyVaultService>::default();
    service.start_by_hand("cloudm", contract::SUBJECT);
    let store = KeyVaultStore::new(vault(&service, &Trouble::quiet()));
    let before = service.certificates_snapshot();
    let longer = KeyRequest { key: KeyKind::Rsa4096, ..wanted() };
    let refused = store.request(&entry(), &longer, &any_record().await).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Rival);
    assert_eq!(service.certificates_snapshot(), before);
    store.request(&entry(), &wanted(), &any_record().await).await.unwrap();
}

#[tokio::test]
async fn the_key_is_asked_for_as_declared_and_makes_nothing_by_itself() {
    for (hsm, kty) in [(false, "RSA"), (true, "RSA-HSM")] {
        let service = Arc::<KeyVaultService>::default();
        let store = KeyVaultStore::new(vault(&service, &Trouble::quiet()));
        let mut entry = entry();
        entry.options.hsm = Some(hsm);
        let wanted = KeyRequest { key: KeyKind::Rsa3072, ..wanted() };
        store.request(&entry, &wanted, &any_record().await).await.unwrap();
        let policy = service.policy("cloudm");
        assert_eq!(policy["key_props"]["kty"], kty);
        assert_eq!(policy["key_props"]["key_size"], 3072);
        assert_eq!(policy["key_props"]["exportable"], false);
        assert_eq!(policy["x509_props"]["key_usage"][0], "digitalSignature");
        assert_eq!(policy["issuer"]["name"], "Unknown");
    }
}

#[tokio::test]
async fn the_vault_signs_both_ways_an_assertion_can_be_signed() {
    let service = Arc::<KeyVaultService>::default();
    let store = KeyVaultStore::new(vault(&service, &Trouble::quiet()));
    let made = keys::self_signed(contract::SUBJECT, Rotation::First.start(), 1, &keys::key(4)).await;
    service.import_by_hand("cloudm", &keys::key(4), &made.certificate);
    let record = PublicRecord { rotation_id: None, ..contract::staged(Rotation::First, &made.certificate) };
    store.write_record(&entry(), &record).await.unwrap();
    let StoreState::Known(holding) = store.observe(&entry()).await.state else { panic!("unreadable") };
    let signer = store.signer(&entry(), holding.current_generation().unwrap()).await.unwrap();
    let ps256 = signer.sign(SignatureAlgorithm::Ps256, b"message").await.unwrap();
    assert!(made.certificate.verifies_ps256(b"message", &ps256));
    let rs256 = signer.sign(SignatureAlgorithm::Rs256, b"message").await.unwrap();
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    let key = crate::support::stores::public_key(&made.certificate);
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(b"message", &rs256).unwrap();
}

/// A vault that answers so when it is asked for a signature, as often as is said.
struct Unwilling {
    vault: Arc<KeyVaultService>,
    status: u16,
    times: AtomicU32,
}

#[async_trait]
impl Transport for Unwilling {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, TransportError> {
        let signs = request.uri().path().ends_with("/sign");
        let left = |times: u32| times.checked_sub(1);
        if signs && self.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
            let words = "Caller is not authorized to perform action on resource.";
            return Ok(key_vault::error(self.status, "Forbidden", Some("ForbiddenByRbac"), words));
        }
        self.vault.send(request).await
    }
}

#[tokio::test]
async fn a_signature_is_asked_for_again_while_the_vault_is_busy_and_a_missing_right_is_told_as_one() {
    let service = Arc::<KeyVaultService>::default();
    let made = keys::self_signed(contract::SUBJECT, Rotation::First.start(), 1, &keys::key(4)).await;
    service.import_by_hand("cloudm", &keys::key(4), &made.certificate);
    let record = PublicRecord { rotation_id: None, ..contract::staged(Rotation::First, &made.certificate) };
    for (status, times) in [(503, 2), (403, u32::MAX)] {
        let unwilling = Unwilling { vault: Arc::clone(&service), status, times: AtomicU32::new(times) };
        let address = format!("https://{HOST}");
        let vault = vault_over(Arc::new(unwilling), &Trouble::quiet(), &address, None);
        let store = KeyVaultStore::new(vault);
        store.write_record(&entry(), &record).await.unwrap();
        let StoreState::Known(holding) = store.observe(&entry()).await.state else { panic!("unreadable") };
        let signer = store.signer(&entry(), holding.current_generation().unwrap()).await.unwrap();
        let signed = signer.sign(SignatureAlgorithm::Ps256, b"message").await;
        match status {
            503 => assert!(made.certificate.verifies_ps256(b"message", &signed.unwrap())),
            _ => {
                let trouble = signed.unwrap_err();
                assert_eq!(trouble.kind, TroubleKind::Authorisation);
                assert_eq!(trouble.code.as_deref(), Some("Forbidden/ForbiddenByRbac"));
            }
        }
    }
}

#[tokio::test]
async fn every_call_that_changes_something_is_in_the_documentation() {
    let (service, trouble) = (Arc::<KeyVaultService>::default(), Trouble::quiet());
    let store = KeyVaultStore::new(vault(&service, &trouble));
    let documented = |call| documented("Certificate objects whose key never leaves", call);
    let mut before = None;
    for rotation in [Rotation::First, Rotation::Second] {
        let id = Some(rotation.id());
        let record = PublicRecord { rotation_id: id, phase: RecordedPhase::Requested, ..any_record().await };
        trouble.restart();
        let pending = store.request(&entry(), &wanted(), &record).await.unwrap();
        assert_eq!(changes(&trouble), documented("request"));
        let request = keys::request(contract::SUBJECT, rotation.start(), 1);
        let issued = TestCa::new().issue(&request, SubjectKey::Request(&pending.csr)).await.unwrap();
        let record = PublicRecord { rotation_id: id, ..contract::staged(rotation, &issued.certificate) };
        trouble.restart();
        let attached = store.attach(&entry(), &pending.generation, &issued, &record).await.unwrap();
        assert_eq!(changes(&trouble), documented("attach"));
        let current = store.observe(&entry()).await;
        let StoreState::Known(holding) = current.state else { panic!("unreadable") };
        let promoted = PublicRecord {
            phase: RecordedPhase::Promoted,
            promoted_at: Some(rotation.promoted_at()),
            ..record
        };
        trouble.restart();
        let done = store.promote(&entry(), &attached, holding.current.as_ref(), None, &promoted).await;
        assert_eq!(changes(&trouble), documented("promote"));
        let done = done.unwrap();
        trouble.restart();
        let noted = PublicRecord { requested_at: rotation.promoted_at(), ..promoted };
        store.write_record(&entry(), &noted).await.unwrap();
        assert_eq!(changes(&trouble), documented("write_record"));
        if let Some(before) = before.replace(done) {
            trouble.restart();
            store.remove(&entry(), &before).await.unwrap();
            assert_eq!(changes(&trouble), documented("remove"));
        }
    }
    let record = PublicRecord { rotation_id: None, ..any_record().await };
    let pending = store.request(&entry(), &wanted(), &record).await.unwrap();
    trouble.restart();
    store.remove(&entry(), &pending.generation).await.unwrap();
    assert_eq!(changes(&trouble), documented("remove, while it waits"));
}
