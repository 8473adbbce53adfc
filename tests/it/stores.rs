//! Every store keeps the contract, each in its own shape.

mod file;

use std::sync::Arc;

use async_trait::async_trait;
use certroll::certificate::Certificate;
use certroll::desired::{Form, Format, Password, PfxProfile, StoreBinding, StoreOptions};
use certroll::form::read_pem;
use certroll::store::StoreWriter;

use crate::support::contract::{self, Bench, Rotation};
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
