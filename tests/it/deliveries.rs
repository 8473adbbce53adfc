//! Further places a generation is copied to.

#[cfg(feature = "ci-deliveries")]
mod azure_devops;
#[cfg(feature = "ci-deliveries")]
mod examples;
mod exec;
mod file;
#[cfg(feature = "ci-deliveries")]
mod github;
#[cfg(feature = "ci-deliveries")]
mod gitlab;

use std::path::Path;
use std::sync::Arc;

use certroll::delivery::DeliveryWriter;
use certroll::desired::{Delivery, Form, Format, Origin, Password, PfxProfile};
use certroll::edges::Trouble;
use certroll::issuer::Issued;
use certroll::key::Secret;
use certroll::net::{Service, Transport};
use certroll::observed::DeliveryState;
use certroll::token_source::Source;
use serde_json::Value;

use crate::support::contract::Rotation;
use crate::support::keys;
use crate::support::service::{StillClock, service};
use crate::support::trouble::{self, Mischief};
use crate::support::troubled::Troubled;

/// The password of every PFX.
const PASSWORD: &str = "correct-horse-battery";

/// A delivery as the file would declare it, in a folder.
pub(crate) fn declared(kind: &str, settings: Value, format: Format, folder: &Path) -> Delivery {
    let password = if format.is_pfx() { Password::Generate } else { Password::None };
    Delivery {
        slot: format!("{kind} of the test"),
        kind: kind.into(),
        settings: settings.as_object().unwrap().clone().into_iter().collect(),
        form: Form { format, profile: PfxProfile::Modern2023, password },
        origin: Origin { folder: folder.to_owned(), ..Origin::default() },
    }
}

/// The certificate of the nth key of the pool.
pub(crate) async fn issued(number: usize) -> Issued {
    keys::self_signed("CN=x", Rotation::First.start(), number as u8, &keys::key(number)).await
}

/// Delivers the certificate of the nth key of the pool.
async fn deliver(place: &dyn DeliveryWriter, delivery: &Delivery, number: usize) -> Result<String, Trouble> {
    let password = Secret::new(PASSWORD.into());
    let password = delivery.form.format.is_pfx().then_some(&password);
    let delivered = place.deliver(delivery, &keys::key(number), &issued(number).await, password).await;
    delivered.map_err(|error| error.0)
}

fn token(text: &str) -> Source {
    Source::Given(Secret::new(text.into()))
}

fn over(transport: Arc<dyn Transport>) -> Service {
    service("https://ci.example.com", transport, StillClock::at("2026-06-30T00:00:00Z"))
}

/// Whether a plan would leave the place alone after a delivery of that certificate that gave this marker.
async fn is_confirmed(state: &DeliveryState, number: usize, marker: &str) -> bool {
    match state {
        DeliveryState::Holds(held) => *held == issued(number).await.certificate.thumbprints,
        DeliveryState::Marker(found) => found == marker,
        DeliveryState::Absent | DeliveryState::Unreadable { .. } | DeliveryState::NeverTells { .. } => false,
    }
}

/// A delivery that dies or is cut off at any of its calls is not taken for done, unless it is; the next one comes through.
async fn comes_through_whatever_happens(
    server: &dyn Fn() -> Arc<dyn Transport>,
    open: &dyn Fn(Service) -> Arc<dyn DeliveryWriter>,
    delivery: &Delivery,
) {
    let quiet = server();
    let first = deliver(&*open(over(Arc::clone(&quiet))), delivery, 1).await.unwrap();
    let calls = {
        let trouble = trouble::Trouble::quiet();
        let way = Troubled { inner: quiet, trouble: Arc::clone(&trouble) };
        deliver(&*open(over(Arc::new(way))), delivery, 2).await.unwrap();
        trouble.journal().len() as u64
    };
    assert!(calls >= 2);
    for call in 0..calls {
        for mischief in [Mischief::CrashBefore, Mischief::CrashAfter] {
            let server = server();
            let place = open(over(Arc::clone(&server)));
            assert_eq!(deliver(&*place, delivery, 1).await.unwrap(), first, "the same again");
            let trouble = trouble::Trouble::quiet();
            trouble.plan(call, mischief);
            let way = Troubled { inner: Arc::clone(&server), trouble };
            deliver(&*open(over(Arc::new(way))), delivery, 2).await.unwrap_err();
            // Nothing was written down of the second one, so the next plan delivers it again in any case; the first one's record
            // must not make it think that all is as it was, once anything of the second one is there.
            let marker = deliver(&*place, delivery, 2).await.unwrap();
            let state = place.observe(delivery).await;
            assert!(is_confirmed(&state, 2, &marker).await, "call {call}, {mischief:?}: {state:?}");
        }
    }
}
