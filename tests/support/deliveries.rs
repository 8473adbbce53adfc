//! A delivery place one can write to and never read from, scripted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use certroll::delivery::{DeliveryError, DeliveryReader, DeliveryWriter};
use certroll::desired::Delivery;
use certroll::edges::TroubleKind;
use certroll::ids::Thumbprints;
use certroll::issuer::Issued;
use certroll::key::{PrivateKey, Secret};
use certroll::observed::DeliveryState;

use super::trouble::Trouble;

#[derive(Debug, Default)]
struct Place {
    /// Counts every write by anybody; the change marker shows it.
    changes: u64,
    holds: Option<Thumbprints>,
    with_password: bool,
}

#[derive(Debug, Default)]
struct State {
    places: BTreeMap<String, Place>,
    failing: u32,
    meanwhile: Option<(PathBuf, PathBuf)>,
    unreadable: bool,
}

/// Like a CI secret: a value goes in, only the time of its last change comes out. Clones share the places.
#[derive(Debug, Clone)]
pub struct WriteOnlyDelivery {
    state: Arc<Mutex<State>>,
    trouble: Arc<Trouble>,
}

impl WriteOnlyDelivery {
    /// Empty places; inner calls go through `trouble`.
    pub fn new(trouble: Arc<Trouble>) -> WriteOnlyDelivery {
        WriteOnlyDelivery { state: Arc::default(), trouble }
    }

    /// The same places, reached by another process.
    pub fn reached_through(&self, trouble: Arc<Trouble>) -> WriteOnlyDelivery {
        WriteOnlyDelivery { state: Arc::clone(&self.state), trouble }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The next `times` writes are refused.
    pub fn fail_for(&self, times: u32) {
        self.state().failing = times;
    }

    /// While the next write is under way, another process is at work in a store: the folder `now` takes the place of `before`.
    pub fn meanwhile(&self, before: PathBuf, now: PathBuf) {
        self.state().meanwhile = Some((before, now));
    }

    /// Whether looking fails.
    pub fn set_unreadable(&self, unreadable: bool) {
        self.state().unreadable = unreadable;
    }

    /// Somebody else writes the place.
    pub fn altered_by_others(&self, slot: &str) {
        let mut state = self.state();
        let place = state.places.entry(slot.into()).or_default();
        place.changes += 1;
        place.holds = None;
    }

    /// Somebody else empties the place.
    pub fn deleted_by_others(&self, slot: &str) {
        self.state().places.remove(slot);
    }

    /// What the place holds in truth: for a test's assertions, not for the product.
    pub fn holds(&self, slot: &str) -> Option<Thumbprints> {
        self.state().places.get(slot).and_then(|place| place.holds)
    }

    /// How often the place was written.
    pub fn changes(&self, slot: &str) -> u64 {
        self.state().places.get(slot).map_or(0, |place| place.changes)
    }
}

fn marker(changes: u64) -> String {
    format!("change-{changes}")
}

fn error(slot: &str, reason: String) -> DeliveryError {
    let doing = format!("delivering to {slot}");
    certroll::edges::Trouble::new(TroubleKind::Unavailable, doing, reason).into()
}

#[async_trait]
impl DeliveryReader for WriteOnlyDelivery {
    async fn observe(&self, delivery: &Delivery) -> DeliveryState {
        let looked = self.trouble.call("delivery: look", || {
            let state = self.state();
            Ok(match state.places.get(&delivery.slot) {
                _ if state.unreadable => {
                    DeliveryState::Unreadable { reason: "the place does not answer".into() }
                }
                Some(place) => DeliveryState::Marker(marker(place.changes)),
                None => DeliveryState::Absent,
            })
        });
        looked.unwrap_or_else(|error| DeliveryState::Unreadable { reason: error.reason })
    }
}

#[async_trait]
impl DeliveryWriter for WriteOnlyDelivery {
    async fn deliver(
        &self,
        delivery: &Delivery,
        key: &PrivateKey,
        issued: &Issued,
        password: Option<&Secret>,
    ) -> Result<String, DeliveryError> {
        if !issued.certificate.matches_key(key) {
            return Err(error(&delivery.slot, "the key does not belong to the certificate".into()));
        }
        let written = self.trouble.call("delivery: write", || {
            let mut state = self.state();
            if state.failing > 0 {
                state.failing -= 1;
                return Ok(None);
            }
            if let Some((before, now)) = state.meanwhile.take() {
                std::fs::remove_dir_all(&before).and_then(|()| std::fs::rename(&now, &before)).unwrap();
            }
            let place = state.places.entry(delivery.slot.clone()).or_default();
            place.changes += 1;
            place.holds = Some(issued.certificate.thumbprints);
            place.with_password = password.is_some();
            Ok(Some(marker(place.changes)))
        });
        match written {
            Ok(Some(marker)) => Ok(marker),
            Ok(None) => Err(error(&delivery.slot, "503 the service is unavailable".into())),
            Err(trouble) => Err(error(&delivery.slot, trouble.reason)),
        }
    }
}
