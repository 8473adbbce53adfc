//! Certificate objects whose key can leave.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certroll::certificate::Certificate;
use certroll::desired::{Format, Password, StoreBinding};
use certroll::form::{read_pem, read_pfx};
use certroll::observed::record::{PublicRecord, RecordedPhase};
use certroll::observed::{Current, Generation, StoreState};
use certroll::store::key_vault::KeyVaultStore;
use certroll::store::{StoreErrorKind, StoreReader, StoreWriter};

use super::super::binding;
use super::{changes, documented, vault};
use crate::support::contract::{self, Bench, Rotation};
use crate::support::key_vault::KeyVaultService;
use crate::support::keys;
use crate::support::trouble::{EVERY_MISCHIEF, Mischief, Trouble};

pub(super) fn entry(format: Format) -> StoreBinding {
    let mut entry = binding("cloudm", format);
    entry.form.password = Password::None;
    entry.options.object = Some("certificate".into());
    entry.options.exportable = Some(true);
    entry.options.hsm = Some(false);
    entry
}

pub(super) fn store(service: &Arc<KeyVaultService>, trouble: &Arc<Trouble>) -> KeyVaultStore {
    KeyVaultStore::new(vault(service, trouble))
}

pub(super) struct CertificateBench {
    pub(super) service: Arc<KeyVaultService>,
    pub(super) trouble: Arc<Trouble>,
    rival: Certificate,
    format: Format,
}

#[async_trait]
impl Bench for CertificateBench {
    fn store(&self) -> Arc<dyn StoreWriter> {
        Arc::new(store(&self.service, &self.trouble))
    }

    fn entry(&self) -> StoreBinding {
        entry(self.format)
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
        let pfx = || read_pfx(&STANDARD.decode(&value).ok()?, None).ok();
        Some(read_pem(value.as_bytes()).ok().or_else(pfx)?.certificate)
    }

    fn rival(&self) -> Box<dyn FnOnce() + Send> {
        let (service, certificate) = (self.service.clone(), self.rival.clone());
        Box::new(move || service.import_by_hand("cloudm", &keys::key(10), &certificate))
    }

    fn put_by_hand(&self, pem: &str) -> bool {
        let identity = read_pem(pem.as_bytes()).unwrap();
        self.service.import_by_hand("cloudm", &identity.key, &identity.certificate);
        true
    }

    fn rivals_within_calls(&self) -> bool {
        true
    }

    fn snapshot(&self) -> String {
        self.service.certificates_snapshot()
    }

    fn touches_key(&self, call: &str) -> bool {
        call.starts_with("GET /secrets/") || call.ends_with("/sign")
    }
}

pub(super) async fn bench(format: Format) -> impl Fn() -> CertificateBench {
    let rival = keys::self_signed("CN=by hand", Rotation::First.start(), 3, &keys::key(10)).await;
    move || CertificateBench {
        service: Arc::default(),
        trouble: Trouble::quiet(),
        rival: rival.certificate.clone(),
        format,
    }
}

#[tokio::test]
async fn a_certificate_object_with_a_pem_keeps_the_contract() {
    contract::run(bench(Format::Pem).await).await;
}

#[tokio::test]
async fn a_certificate_object_keeps_a_key_before_its_certificate() {
    contract::run_by_request(bench(Format::Pem).await).await;
}

async fn make_current(store: &KeyVaultStore, entry: &StoreBinding) -> Generation {
    let staged = contract::stage(store, entry, Rotation::First, 1).await.unwrap();
    let record = PublicRecord {
        phase: RecordedPhase::Promoted,
        promoted_at: Some(Rotation::First.promoted_at()),
        ..staged.record.clone()
    };
    store.promote(entry, &staged, None, None, &record).await.unwrap()
}

#[tokio::test]
async fn the_vault_hands_out_a_pfx_with_an_empty_password() {
    let service = Arc::<KeyVaultService>::default();
    let (store, entry) = (store(&service, &Trouble::quiet()), entry(Format::Pfx));
    let current = make_current(&store, &entry).await;
    let pfx = STANDARD.decode(service.consume("cloudm").unwrap()).unwrap();
    let identity = read_pfx(&pfx, None).unwrap();
    assert_eq!(Some(identity.certificate.thumbprints), current.record.thumbprints);
    assert!(store.signer(&entry, &current).await.is_ok());
}

#[tokio::test]
async fn a_vault_that_renews_by_itself_is_a_second_rotator_until_we_write() {
    let service = Arc::<KeyVaultService>::default();
    let (store, entry) = (store(&service, &Trouble::quiet()), entry(Format::Pfx));
    make_current(&store, &entry).await;
    assert_eq!(store.observe(&entry).await.warnings, Vec::<String>::new());
    service.renew_by_itself("cloudm");
    let warnings = store.observe(&entry).await.warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("AutoRenew"), "{warnings:?}");
}

#[tokio::test]
async fn a_strangers_pending_operation_is_told_and_in_the_way() {
    let service = Arc::<KeyVaultService>::default();
    let (store, entry) = (store(&service, &Trouble::quiet()), entry(Format::Pfx));
    let staged = contract::stage(&store, &entry, Rotation::First, 1).await.unwrap();
    service.start_by_hand("cloudm", "CN=somebody else");
    let warnings = store.observe(&entry).await.warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("not certroll's is pending"), "{warnings:?}");
    let refused = store.promote(&entry, &staged, None, None, &staged.record).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Rival);
    assert!(refused.reason.contains("inProgress"), "{refused}");
}

#[tokio::test]
async fn tags_of_ours_beside_somebody_elses_certificate_are_no_record() {
    let service = Arc::<KeyVaultService>::default();
    let (store, entry) = (store(&service, &Trouble::quiet()), entry(Format::Pfx));
    make_current(&store, &entry).await;
    let rival = keys::self_signed("CN=by hand", Rotation::First.start(), 3, &keys::key(10)).await;
    service.import_by_hand("cloudm", &keys::key(10), &rival.certificate);
    service.copy_tags_to_newest("cloudm");
    match store.observe(&entry).await.state {
        StoreState::Known(holding) => {
            let thumbprints = Some(rival.certificate.thumbprints);
            assert_eq!(holding.current, Some(Current::Unrecorded { thumbprints }));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn of_two_versions_of_one_second_the_vault_says_which_is_newest() {
    let service = Arc::<KeyVaultService>::default();
    let (store, entry) = (store(&service, &Trouble::quiet()), entry(Format::Pfx));
    make_current(&store, &entry).await;
    let rival = keys::self_signed("CN=by hand", Rotation::First.start(), 3, &keys::key(10)).await;
    service.stand_still_for_writes(1);
    service.import_by_hand("cloudm", &keys::key(10), &rival.certificate);
    match store.observe(&entry).await.state {
        StoreState::Known(holding) => {
            let thumbprints = Some(rival.certificate.thumbprints);
            assert_eq!(holding.current, Some(Current::Unrecorded { thumbprints }));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_deleted_or_disabled_certificate_is_unreadable_and_never_empty() {
    for (spoil, problem) in [
        (KeyVaultService::disable_certificate as fn(&KeyVaultService, &str), "is disabled"),
        (KeyVaultService::delete_certificate, "certificate cloudm was deleted"),
    ] {
        let service = Arc::<KeyVaultService>::default();
        let (store, entry) = (store(&service, &Trouble::quiet()), entry(Format::Pfx));
        make_current(&store, &entry).await;
        spoil(&service, "cloudm");
        match store.observe(&entry).await.state {
            StoreState::Unreadable { reason } => assert!(reason.contains(problem), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn every_call_that_changes_something_is_in_the_documentation() {
    let service = Arc::<KeyVaultService>::default();
    let entry = entry(Format::Pem);
    let first = make_current(&store(&service, &Trouble::quiet()), &entry).await;
    let documented = |call| documented("Certificate objects whose key can leave", call);
    let trouble = Trouble::quiet();
    let store = store(&service, &trouble);
    let second = contract::stage(&store, &entry, Rotation::Second, 2).await.unwrap();
    assert_eq!(changes(&trouble), documented("stage"));
    trouble.restart();
    let current = Some(Current::Recorded(first.record.thumbprints.unwrap().sha256));
    let record = PublicRecord {
        phase: RecordedPhase::Promoted,
        promoted_at: Some(Rotation::Second.promoted_at()),
        ..second.record.clone()
    };
    store.promote(&entry, &second, current.as_ref(), None, &record).await.unwrap();
    assert_eq!(changes(&trouble), documented("promote"));
    trouble.restart();
    let rejected = PublicRecord { rejected: true, ..first.record.clone() };
    store.write_record(&entry, &rejected).await.unwrap();
    assert_eq!(changes(&trouble), documented("write_record"));
    trouble.restart();
    store.remove(&entry, &first).await.unwrap();
    assert_eq!(changes(&trouble), documented("remove"));
}

#[tokio::test]
async fn every_call_while_somebody_else_signs_is_in_the_documentation() {
    let (service, trouble) = (Arc::<KeyVaultService>::default(), Trouble::quiet());
    let (store, entry) = (store(&service, &trouble), entry(Format::Pem));
    contract::calls_while_it_waits(&store, &entry, |call| {
        assert_eq!(changes(&trouble), documented("Certificate objects whose key can leave", call));
        trouble.restart();
    })
    .await;
}
