//! Every store keeps the contract, each in its own shape.

mod examples;
mod file;
mod key_vault;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod vault;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use certroll::certificate::{Certificate, KeyKind};
use certroll::delivery::{DeliveryReader, DeliveryWriter};
use certroll::desired::{Delivery, Form, Format, Origin, Password, PfxProfile, StoreBinding, StoreOptions};
use certroll::form::read_pem;
use certroll::issuer::{Issuer, SubjectKey};
use certroll::observed::{DeliveryState, StoreState};
use certroll::store::{KeyRequest, StoreErrorKind, StoreReader, StoreWriter};

use crate::support::ca::TestCa;
use crate::support::contract::{self, Bench, Rotation};
use crate::support::deliveries::WriteOnlyDelivery;
use crate::support::keys;
use crate::support::stores::{AppendIsLive, SlotService, TwoSlot, VaultService};
use crate::support::trouble::{EVERY_MISCHIEF, Mischief, Trouble};

/// A certificate's place in a store, as combined PEM.
pub(crate) fn binding(entry: &str, format: Format) -> StoreBinding {
    StoreBinding {
        store: "secrets".parse().unwrap(),
        entry: entry.into(),
        form: Form { format, profile: PfxProfile::Modern2023, password: Password::Generate },
        options: StoreOptions::default(),
    }
}

struct TwoSlotBench {
    service: SlotService,
    trouble: Arc<Trouble>,
    check_and_set: bool,
}

#[async_trait]
impl Bench for TwoSlotBench {
    fn store(&self) -> Arc<dyn StoreWriter> {
        Arc::new(TwoSlot::new(self.service.clone(), self.trouble.clone(), self.check_and_set))
    }

    fn entry(&self) -> StoreBinding {
        binding("cloudm", Format::Pem)
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
        let identity = read_pem(value.get("app.pem")?).unwrap();
        Some(identity.certificate)
    }

    fn rival(&self) -> Box<dyn FnOnce() + Send> {
        let service = self.service.clone();
        Box::new(move || service.write_by_hand("cloudm", [("password".into(), b"by hand".to_vec())].into()))
    }

    fn put_by_hand(&self, pem: &str) -> bool {
        let identity = read_pem(pem.as_bytes()).unwrap();
        let seen = format!("certroll-sha256-{}", identity.certificate.thumbprints.sha256);
        let fields = [
            (seen.as_str(), Vec::new()),
            ("certroll-key", identity.key.expose_pkcs8().to_vec()),
            ("certroll-certificates", identity.certificate.to_pem().into_bytes()),
            ("app.pem", pem.as_bytes().to_vec()),
        ];
        self.service.write_by_hand("cloudm", fields.map(|(name, value)| (name.to_owned(), value)).into());
        true
    }

    fn rivals_within_calls(&self) -> bool {
        true
    }

    fn snapshot(&self) -> String {
        self.service.snapshot()
    }

    fn touches_key(&self, call: &str) -> bool {
        call == "two-slot: read value"
    }
}

struct VaultBench {
    service: VaultService,
    trouble: Arc<Trouble>,
    rival: Certificate,
}

#[async_trait]
impl Bench for VaultBench {
    fn store(&self) -> Arc<dyn StoreWriter> {
        Arc::new(AppendIsLive::new(self.service.clone(), self.trouble.clone()))
    }

    fn entry(&self) -> StoreBinding {
        binding("cloudm", Format::Cer)
    }

    fn trouble(&self) -> Arc<Trouble> {
        self.trouble.clone()
    }

    fn mischief(&self) -> &'static [Mischief] {
        &EVERY_MISCHIEF
    }

    async fn consume(&self) -> Option<Certificate> {
        let (certificate, signature) = self.service.consume("cloudm", b"hello")?;
        assert!(keys::verifies_ps256(&certificate, b"hello", &signature));
        Some(certificate)
    }

    fn rival(&self) -> Box<dyn FnOnce() + Send> {
        let (service, certificate) = (self.service.clone(), self.rival.clone());
        Box::new(move || service.import_by_hand("cloudm", keys::key(10), &certificate))
    }

    fn put_by_hand(&self, _: &str) -> bool {
        false
    }

    fn rivals_within_calls(&self) -> bool {
        true
    }

    fn snapshot(&self) -> String {
        self.service.snapshot()
    }

    fn touches_key(&self, call: &str) -> bool {
        call == "vault: sign"
    }
}

#[tokio::test]
async fn a_two_slot_store_with_check_and_set_keeps_the_contract() {
    contract::run(|| TwoSlotBench {
        service: SlotService::default(),
        trouble: Trouble::quiet(),
        check_and_set: true,
    })
    .await;
}

#[tokio::test]
async fn a_two_slot_store_without_check_and_set_keeps_the_contract() {
    contract::run(|| TwoSlotBench {
        service: SlotService::default(),
        trouble: Trouble::quiet(),
        check_and_set: false,
    })
    .await;
}

#[tokio::test]
async fn an_append_is_live_store_with_a_pending_key_keeps_the_contract() {
    let rival = keys::self_signed("CN=by hand", Rotation::First.start(), 3, &keys::key(10)).await;
    contract::run(|| VaultBench {
        service: VaultService::default(),
        trouble: Trouble::quiet(),
        rival: rival.certificate.clone(),
    })
    .await;
}

#[tokio::test]
async fn a_strangers_pending_operation_is_not_taken_for_ours() {
    let (service, entry) = (VaultService::default(), binding("cloudm", Format::Cer));
    service.start_by_hand("cloudm", "CN=somebody else");
    let store = AppendIsLive::new(service.clone(), Trouble::quiet());
    let observed = store.observe(&entry).await;
    assert!(matches!(observed.state, StoreState::Absent));
    assert_eq!(observed.warnings, ["a pending operation without a record is in progress"]);
    let stranger = keys::self_signed("CN=x", Rotation::First.start(), 1, &keys::key(9)).await;
    let record = contract::staged(Rotation::First, &stranger.certificate);
    let wanted = KeyRequest { key: KeyKind::Rsa2048, subject: contract::SUBJECT.into(), signs: None };
    let before = service.snapshot();
    let error = store.request(&entry, &wanted, &record).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Rival);
    assert_eq!(service.snapshot(), before);
}

fn delivery() -> Delivery {
    Delivery {
        slot: "github_actions contoso/infra M365_PFX".into(),
        kind: "github_actions".into(),
        settings: BTreeMap::new(),
        form: binding("unused", Format::PfxBase64).form,
        origin: Origin::default(),
    }
}

#[tokio::test]
async fn a_write_only_place_shows_changes_by_anybody_and_never_what_it_holds() {
    let places = WriteOnlyDelivery::new(Trouble::quiet());
    let (delivery, key) = (delivery(), keys::key(1));
    let issued = keys::self_signed("CN=x", Rotation::First.start(), 1, &key).await;
    assert_eq!(places.observe(&delivery).await, DeliveryState::Absent);

    places.fail_for(1);
    assert!(places.deliver(&delivery, &key, &issued, None).await.is_err());
    assert_eq!(places.observe(&delivery).await, DeliveryState::Absent);
    let marker = places.deliver(&delivery, &key, &issued, None).await.unwrap();
    assert_eq!(places.observe(&delivery).await, DeliveryState::Marker(marker.clone()));
    assert_eq!(places.holds(&delivery.slot), Some(issued.certificate.thumbprints));

    places.altered_by_others(&delivery.slot);
    assert_ne!(places.observe(&delivery).await, DeliveryState::Marker(marker));
    places.set_unreadable(true);
    assert!(matches!(places.observe(&delivery).await, DeliveryState::Unreadable { .. }));
    assert!(
        places.deliver(&delivery, &keys::key(2), &issued, None).await.is_err(),
        "a key of another certificate"
    );
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_shows_in_the_marker() {
    let trouble = Trouble::quiet();
    let (places, delivery, key) = (WriteOnlyDelivery::new(trouble.clone()), delivery(), keys::key(1));
    let issued = keys::self_signed("CN=x", Rotation::First.start(), 1, &key).await;
    trouble.plan(0, Mischief::LoseAnswer);
    assert!(places.deliver(&delivery, &key, &issued, None).await.is_err());
    assert!(matches!(places.observe(&delivery).await, DeliveryState::Marker(_)));
    assert_eq!(places.changes(&delivery.slot), 1);
}

#[tokio::test]
async fn the_test_ca_signs_keys_that_are_here_under_the_name_that_is_asked_for() {
    let (ca, key) = (TestCa::new(), keys::key(3));
    let request = keys::request("CN=CloudM Continuity", Rotation::First.start(), 5);
    let issued = ca.issue(&request, SubjectKey::Local(&key)).await.unwrap();
    assert!(issued.certificate.matches_key(&key));
    assert_eq!(issued.certificate.subject, "CN=CloudM Continuity");
    assert!(issued.certificate.names_issuer(ca.certificate()));
}
