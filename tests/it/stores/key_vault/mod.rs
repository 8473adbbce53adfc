//! The stores in Azure Key Vault keep the contract, against a vault of the test's own.

mod certificate;
mod pending;
mod secret;
mod sign_in;

use std::sync::Arc;

use certroll::entra::sign_in::Method;
use certroll::entra::{EndpointOverrides, Endpoints, Line, OwnCredential};
use certroll::key::Secret;
use certroll::key_vault::{API_VERSION, KeyVault, SignIn};
use certroll::net::{RetrySettings, Service, Transport, Way};
use certroll::random::SystemRandom;

use crate::support::key_vault::{CLIENT, CLIENT_SECRET, HOST, KeyVaultService, LOGIN, TENANT};
use crate::support::service::StillClock;
use crate::support::trouble::Trouble;
use crate::support::troubled::Troubled;

/// The vault as a new process reaches it.
fn vault(service: &Arc<KeyVaultService>, trouble: &Arc<Trouble>) -> Arc<KeyVault> {
    vault_at(service, trouble, &format!("https://{HOST}"), None)
}

fn vault_at(
    service: &Arc<KeyVaultService>,
    trouble: &Arc<Trouble>,
    address: &str,
    scope: Option<&str>,
) -> Arc<KeyVault> {
    let inner = Arc::clone(service) as Arc<dyn Transport>;
    let way = Way {
        transport: Arc::new(Troubled { inner, trouble: Arc::clone(trouble) }),
        clock: StillClock::at("2026-06-30T00:00:00Z"),
        random: Arc::new(SystemRandom),
        in_flight: Arc::new(tokio::sync::Semaphore::new(4)),
        retry: RetrySettings::default(),
    };
    let endpoints =
        Endpoints::resolve(certroll::desired::Cloud::Public, &EndpointOverrides::default()).unwrap();
    let line = Line::new(
        Arc::clone(&way.transport),
        Arc::clone(&way.clock),
        Arc::clone(&way.random),
        endpoints,
        Arc::clone(&way.in_flight),
    );
    let credential = OwnCredential {
        tenant: Some(TENANT.into()),
        client_id: CLIENT.parse().unwrap(),
        method: Method::Secret(Secret::new(CLIENT_SECRET.into())),
        source: "the test".into(),
    };
    let sign_in = SignIn { line, login: LOGIN.into(), credential, scope: scope.map(str::to_owned) };
    let service = Service::new("key vault contoso-prod", address, way).unwrap();
    Arc::new(KeyVault::new(service, API_VERSION, sign_in).unwrap())
}
