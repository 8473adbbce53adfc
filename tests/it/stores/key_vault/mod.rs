//! The stores in Azure Key Vault keep the contract, against a vault of the test's own.

mod certificate;
mod clients;
mod made;
mod pending;
mod secret;
mod served;
mod sign_in;

use std::sync::Arc;

use certroll::entra::sign_in::Method;
use certroll::entra::{EndpointOverrides, Endpoints, Line, OwnCredential};
use certroll::key::Secret;
use certroll::key_vault::{API_VERSION, KeyVault, SignIn};
use certroll::net::{RetrySettings, Service, Transport, Way};
use certroll::random::SystemRandom;
use certroll::runtime::Clock;

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
    vault_over(Arc::clone(service) as Arc<dyn Transport>, trouble, address, scope)
}

fn vault_over(
    inner: Arc<dyn Transport>,
    trouble: &Arc<Trouble>,
    address: &str,
    scope: Option<&str>,
) -> Arc<KeyVault> {
    let credential = OwnCredential {
        tenant: Some(TENANT.into()),
        client_id: CLIENT.parse().unwrap(),
        method: Method::Secret(Secret::new(CLIENT_SECRET.into())),
        source: "the test".into(),
    };
    let clock = StillClock::at("2026-06-30T00:00:00Z");
    opened(inner, clock, trouble, address, |line| SignIn {
        line,
        login: LOGIN.into(),
        credential,
        scope: scope.map(str::to_owned),
    })
}

/// The vault at that address, over that transport.
fn opened(
    inner: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    trouble: &Arc<Trouble>,
    address: &str,
    sign_in: impl FnOnce(Line) -> SignIn,
) -> Arc<KeyVault> {
    let way = Way {
        transport: Arc::new(Troubled { inner, trouble: Arc::clone(trouble) }),
        clock,
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
    let service = Service::new("key vault contoso-prod", address, way).unwrap();
    Arc::new(KeyVault::new(service, API_VERSION, sign_in(line)).unwrap())
}

/// The calls that change something, in the words of the documentation.
fn changes(trouble: &Trouble) -> Vec<String> {
    let calls = trouble.journal();
    let changing = calls.iter().filter(|call| !call.starts_with("GET") && !call.contains("/oauth2/"));
    let words = changing.map(|call| {
        let (method, path) = call.split_once(" /").unwrap();
        let parts: Vec<&str> = path.split('/').collect();
        let what = match parts.as_slice() {
            [_, _, what @ ("import" | "create" | "pending")] => format!(" {what}"),
            [_, _, "pending", "merge"] => " merge".to_owned(),
            _ => String::new(),
        };
        format!("{method} {}{what}", parts[1].replace("cloudm", "NAME"))
    });
    words.collect()
}

/// The first column of a table in the page.
fn documented(objects: &str, call: &str) -> Vec<String> {
    let page = include_str!("../../../../docs/stores/azure_key_vault.md");
    let heading = format!("{objects}: if the process dies");
    let part = page.split("\n## ").find(|part| part.starts_with(&heading)).unwrap();
    let section = part.split("\n### ").find(|section| section.starts_with(&format!("`{call}`"))).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(row, _)| row.to_owned()).collect()
}
