//! A tenant in memory, and the client on it.

use std::collections::BTreeSet;
use std::sync::Arc;

use certroll::desired::{Cloud, SelectBy, TargetSelector};
use certroll::emulator::{Change, Emulator, Kind, NewApplication, NewServicePrincipal};
use certroll::entra::sign_in::Method;
use certroll::entra::{
    DirectoryReader, DirectoryWriter, EmulatorClock, EmulatorTransport, EndpointOverrides, Endpoints,
    EntraError, GraphClient, GraphSettings, Line, OwnCredential, observe,
};
use certroll::ids::{Address, TargetId, TargetKind};
use certroll::key::Secret;
use certroll::observed::{ObservedTenant, Target, TargetState};
use certroll::random::SystemRandom;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use uuid::Uuid;

pub(crate) const TENANT: Uuid = Uuid::from_u128(0x8f5e2c0a_1b2c_4d3e_9f40_51627384a5b6);
pub(crate) const OTHER_TENANT: Uuid = Uuid::from_u128(0x11111111_2222_4333_8444_555555555555);

pub(crate) fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A tenant, its emulator and the settings of the client.
pub(crate) struct World {
    pub emulator: Emulator,
    pub settings: GraphSettings,
    pub tenant: String,
}

impl World {
    pub(crate) fn new() -> World {
        let emulator = Emulator::in_memory(moment("2026-11-20T12:00:00Z"), 7);
        emulator.ensure_tenant(TENANT, Some("contoso.example"));
        emulator.operator(TENANT);
        World { emulator, settings: GraphSettings::default(), tenant: TENANT.to_string() }
    }

    pub(crate) fn line(&self) -> Line {
        Line::new(
            Arc::new(EmulatorTransport::new(self.emulator.clone())),
            Arc::new(EmulatorClock::new(self.emulator.clone())),
            Arc::new(SystemRandom),
            Endpoints::resolve(Cloud::Emulator, &EndpointOverrides::default()).unwrap(),
            Arc::new(Semaphore::new(8)),
        )
    }

    pub(crate) fn credential(&self) -> OwnCredential {
        let operator = self.emulator.operator(TENANT);
        OwnCredential {
            tenant: None,
            client_id: operator.client_id,
            method: Method::Secret(Secret::new(operator.client_secret)),
            source: "the test".to_owned(),
        }
    }

    pub(crate) fn client(&self) -> Arc<GraphClient> {
        Arc::new(GraphClient::new(self.line(), &self.tenant, self.credential(), self.settings.clone()))
    }

    pub(crate) fn writer(&self) -> DirectoryWriter {
        DirectoryWriter::new(self.client())
    }

    pub(crate) fn application(&self, name: &str) -> (Uuid, Uuid) {
        let application = NewApplication { display_name: name.to_owned(), ..NewApplication::default() };
        self.emulator.create_application(TENANT, application).unwrap()
    }

    pub(crate) fn service_principal(&self, name: &str, properties: Value) -> (Uuid, Uuid) {
        let principal = NewServicePrincipal {
            display_name: name.to_owned(),
            properties: members(properties),
            ..NewServicePrincipal::default()
        };
        self.emulator.create_service_principal(TENANT, principal).unwrap()
    }

    pub(crate) fn set(&self, object: Uuid, kind: Kind, properties: Value) {
        let properties = members(properties);
        self.change(Change::Set { object, kind: Some(kind), properties });
    }

    pub(crate) fn change(&self, change: Change) {
        self.emulator.change(TENANT, change).unwrap();
    }

    pub(crate) async fn observe(&self, selectors: &[TargetSelector]) -> Result<ObservedTenant, EntraError> {
        let requests: Vec<(Address, TargetSelector)> = selectors
            .iter()
            .enumerate()
            .map(|(index, selector)| (address(index), selector.clone()))
            .collect();
        observe(&DirectoryReader::new(self.client()), &requests, &[]).await
    }

    pub(crate) async fn state(&self, selector: TargetSelector) -> TargetState {
        let observed = self.observe(&[selector]).await.unwrap();
        observed.targets[&address(0)].clone()
    }

    pub(crate) async fn target(&self, selector: TargetSelector) -> Target {
        match self.state(selector).await {
            TargetState::Found(target) => *target,
            other => panic!("not found: {other:?}"),
        }
    }

    /// The requests the client made, `$batch` as one, those to the login service left out.
    pub(crate) fn requests(&self) -> Vec<String> {
        let graph = self.emulator.journal().into_iter().filter(|e| e.path.starts_with("/v1.0/"));
        let single = graph.filter(|entry| entry.batch_item.is_none());
        single.map(|entry| format!("{} {}", entry.method, entry.path)).collect()
    }
}

pub(crate) fn members(properties: Value) -> Map<String, Value> {
    match properties {
        Value::Object(members) => members,
        other => panic!("not an object: {other}"),
    }
}

pub(crate) fn address(index: usize) -> Address {
    format!("contoso/certificate-{index}").parse().unwrap()
}

pub(crate) fn app(by: SelectBy) -> TargetSelector {
    TargetSelector { kind: TargetKind::Application, by }
}

pub(crate) fn principal(by: SelectBy) -> TargetSelector {
    TargetSelector { kind: TargetKind::ServicePrincipal, by }
}

pub(crate) fn application_id(object_id: Uuid) -> TargetId {
    TargetId { kind: TargetKind::Application, object_id }
}

/// An entry as the directory shows it, named and with an identifier of its own.
pub(crate) fn entry(name: &str, key_id: u128, sha1: [u8; 20]) -> Value {
    use base64::Engine;
    let identifier = base64::engine::general_purpose::STANDARD.encode(sha1);
    json!({
        "customKeyIdentifier": identifier, "displayName": name, "endDateTime": "2027-03-01T08:15:34Z", "key": null,
        "keyId": Uuid::from_u128(key_id), "startDateTime": "2026-03-01T08:15:35.2742618Z",
        "type": "AsymmetricX509Cert", "usage": "Verify",
    })
}

pub(crate) fn permissions(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
