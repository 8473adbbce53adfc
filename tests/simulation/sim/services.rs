//! The services behind the shipped stores: a HashiCorp Vault, an Azure Key Vault for each of its three kinds of place, an API server of
//! Kubernetes. They are the ones the contract tests use; what consumers read of them is read here, without the stores.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certroll::backends::reach::{Reach, Transports};
use certroll::connections::Operator;
use certroll::desired::StoreBinding;
use certroll::edges::Trouble as EdgeTrouble;
use certroll::form::{Identity as Found, read_pem, read_pfx};
use certroll::issuer::Issued;
use certroll::key::{PrivateKey, Secret};
use certroll::kubernetes::Cluster;
use certroll::net::{RetrySettings, Service, Transport, TransportError, Way};
use certroll::runtime::{Clock, Random};
use certroll::store::StoreWriter;
use certroll::store::kubernetes::KubernetesStore;
use http::{Request, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::dice::{Dice, SeededRandom};
use super::world::Identity;
use crate::support::key_vault::{CLIENT, CLIENT_SECRET, KeyVaultService, TENANT};
use crate::support::kv2::{Kv2, TOKEN};
use crate::support::secrets::Secrets;

/// The stores of the declaration that are reached over these services, and the hosts they are at.
const HASHICORP_VAULT: &str = "vault.example.com";
const KEY_VAULTS: [(&str, &str); 3] = [
    ("secrets", "contoso-secrets.vault.azure.net"),
    ("exportable", "contoso-exportable.vault.azure.net"),
    ("pending", "contoso-pending.vault.azure.net"),
];
const CLUSTER: &str = "kubernetes.example.com";
const LOGIN: &str = "login.microsoftonline.com";

/// Namespace of the store in Kubernetes.
const NAMESPACE: &str = "apps";

/// Entries of a page of a Key Vault's list: a year has hundreds of versions.
const PAGE: usize = 100;

/// All of them. Clones share them.
#[derive(Clone, Default)]
pub struct Services {
    pub kv: Arc<Kv2>,
    key_vaults: [Arc<KeyVaultService>; 3],
    kube: Arc<Secrets>,
    /// Thumbprints of values that were looked at before: opening a PFX takes longer than all the rest.
    known: Arc<Mutex<BTreeMap<String, String>>>,
}

/// Whether a store of the declaration is one of them.
pub fn is_shipped(store: &str) -> bool {
    matches!(store, "kv" | "kube") || KEY_VAULTS.iter().any(|(name, _)| *name == store)
}

/// What a request is to the service it goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It shows what is public.
    Looks,
    /// It hands out what may be a key.
    Reads,
    /// It signs in or has something signed.
    Signs,
    /// It changes something.
    Writes,
}

/// That of a request.
pub fn kind(request: &Request<Vec<u8>>) -> Kind {
    let path = request.uri().path();
    if path.ends_with("/oauth2/v2.0/token") || path.ends_with("/sign") {
        return Kind::Signs;
    }
    if request.method() != http::Method::GET {
        return Kind::Writes;
    }
    let accept = request.headers().get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let reads = match request.uri().host().unwrap_or_default() {
        HASHICORP_VAULT => path.starts_with("/v1/secret/data/") && !path.ends_with("-certroll"),
        CLUSTER => !accept.contains("PartialObjectMetadata"),
        _ => path.starts_with("/secrets/") && !path.ends_with("/versions"),
    };
    if reads { Kind::Reads } else { Kind::Looks }
}

#[async_trait]
impl Transport for Services {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, TransportError> {
        match request.uri().host().unwrap_or_default() {
            HASHICORP_VAULT => self.kv.send(request).await,
            CLUSTER => self.kube.send(request).await,
            // One login service for all vaults: each of them takes the token it hands out.
            LOGIN => {
                for vault in &self.key_vaults[1..] {
                    _ = vault.send(request.clone()).await;
                }
                self.key_vaults[0].send(request).await
            }
            host => {
                let at = KEY_VAULTS.iter().position(|(_, known)| *known == host);
                self.key_vaults[at.unwrap_or_else(|| panic!("nobody is at {host}"))].send(request).await
            }
        }
    }
}

/// One transport, whomever it is to trust.
struct Always(Arc<dyn Transport>);

impl Transports for Always {
    fn transport(&self, _: Option<&[u8]>) -> Result<Arc<dyn Transport>, EdgeTrouble> {
        Ok(Arc::clone(&self.0))
    }
}

/// What somebody reaches the services by.
pub fn way(
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    in_flight: Arc<Semaphore>,
) -> Way {
    Way { transport, clock, random, in_flight, retry: RetrySettings::default() }
}

/// The same with what the operator has set, for everything whose connection is certroll's own.
pub fn reach(way: Way) -> Reach {
    let variables = [
        ("VAULT_ADDR", format!("https://{HASHICORP_VAULT}")),
        ("VAULT_TOKEN", TOKEN.to_owned()),
        ("AZURE_TENANT_ID", TENANT.to_owned()),
        ("AZURE_CLIENT_ID", CLIENT.to_owned()),
        ("AZURE_CLIENT_SECRET", CLIENT_SECRET.to_owned()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let operator = Operator::new(variables.into(), None, BTreeMap::new()).unwrap();
    let transports = Arc::new(Always(Arc::clone(&way.transport)));
    Reach::new(operator, way, transports)
}

/// The store in Kubernetes: how an API server is found and signed in to is kube's own, and not simulated.
pub fn kubernetes(way: Way) -> Arc<dyn StoreWriter> {
    let service = Service::new("kubernetes", &format!("https://{CLUSTER}"), way).unwrap();
    Arc::new(KubernetesStore::new(Cluster::reached(service), NAMESPACE))
}

/// A moment that lasts.
struct Moment(Timestamp);

#[async_trait]
impl Clock for Moment {
    fn now(&self) -> Timestamp {
        self.0
    }

    async fn sleep(&self, _: SignedDuration) {}
}

impl Services {
    pub fn new() -> Services {
        let services = Services::default();
        services.key_vaults.iter().for_each(|vault| vault.state().page = PAGE);
        services
    }

    /// The way of somebody who only looks, at that moment and without waiting.
    pub fn quiet(&self, now: Timestamp) -> Way {
        let random = SeededRandom::new(Dice::new(0), Arc::default());
        let in_flight = Arc::new(Semaphore::new(8));
        way(Arc::new(self.clone()), Arc::new(Moment(now)), Arc::new(random), in_flight)
    }

    /// Versions of a Key Vault are told apart by the second they were made in.
    pub fn goes_on_to(&self, now: Timestamp) {
        self.key_vaults.iter().for_each(|vault| vault.goes_on_to(now.as_second()));
    }

    fn key_vault(&self, store: &str) -> Option<&KeyVaultService> {
        let at = KEY_VAULTS.iter().position(|(name, _)| *name == store)?;
        Some(&self.key_vaults[at])
    }

    /// The thumbprint of what consumers of an entry read.
    pub fn offered(&self, store: &str, entry: &str, look: impl FnOnce() -> Option<String>) -> Option<String> {
        let value = match store {
            "kv" => Value::Object(self.kv.newest(entry)?).to_string(),
            "kube" => self.kube.values(entry)?,
            "pending" => return look(),
            _ => self.key_vault(store)?.consume(entry)?,
        };
        if let Some(sha1) = self.known.lock().unwrap().get(&value) {
            return Some(sha1.clone());
        }
        let sha1 = look()?;
        self.known.lock().unwrap().insert(value, sha1.clone());
        Some(sha1)
    }

    /// What consumers of an entry read: the key where it can be had. `password` is told of each password on the way.
    pub fn read(
        &self,
        store: &str,
        entry: &str,
        password: impl FnMut(&str),
    ) -> Option<Result<Identity, String>> {
        let found = match store {
            "kv" => fields(&self.kv.newest(entry)?, password)?,
            "kube" => self.secret(entry, password)?,
            "secrets" => {
                let value = self.key_vault(store)?.consume(entry)?;
                match serde_json::from_str::<Value>(&value) {
                    Ok(Value::Object(parts)) => fields(&parts, password)?,
                    _ => text(&value, None),
                }
            }
            "exportable" => text(&self.key_vault(store)?.consume(entry)?, None),
            _ => {
                let certificate = self.key_vault(store)?.newest_certificate(entry)?;
                return Some(Ok(Identity { key: None, issued: Issued { certificate, chain: Vec::new() } }));
            }
        };
        Some(found.map(|found| Identity {
            key: Some(found.key),
            issued: Issued { certificate: found.certificate, chain: found.chain },
        }))
    }

    /// The fields of a Secret, by cert-manager's names.
    fn secret(&self, name: &str, mut password: impl FnMut(&str)) -> Option<Result<Found, String>> {
        let value = |field: &str| self.kube.value(name, field);
        if let Some(pem) = value("tls-combined.pem") {
            return Some(read_pem(&pem).map_err(|error| error.to_string()));
        }
        if let Some(pfx) = value("keystore.p12") {
            let secret = value("password").and_then(|text| String::from_utf8(text).ok()).map(Secret::new);
            secret.iter().for_each(|secret| password(secret.expose()));
            return Some(read_pfx(&pfx, secret.as_ref()).map_err(|error| error.to_string()));
        }
        let (mut both, key) = (value("tls.crt")?, value("tls.key")?);
        both.extend(key);
        Some(read_pem(&both).map_err(|error| error.to_string()))
    }

    /// Somebody writes what consumers read, in PEM and asking nobody.
    pub fn write_by_hand(&self, store: &str, entry: &str, key: &PrivateKey, issued: &Issued) {
        let pem = format!("{}{}", pem_of(key), issued.certificate.to_pem());
        match store {
            "kv" => self.kv.write_by_hand(entry, &json!({ "certificate": pem })),
            "secrets" => self.key_vault(store).unwrap().set_by_hand(entry, &pem, &[]),
            "exportable" => self.key_vault(store).unwrap().import_pem_by_hand(entry, &pem),
            "pending" => self.key_vault(store).unwrap().import_by_hand(entry, key, &issued.certificate),
            other => panic!("nobody writes into {other} by hand"),
        }
    }

    /// Somebody deletes an entry for good, with all that certroll keeps beside it.
    pub fn forget(&self, store: &str, entry: &str) {
        for name in [entry.to_owned(), format!("{entry}-next"), format!("{entry}-certroll")] {
            match store {
                "kv" => self.kv.forget(&name),
                "kube" => self.kube.forget(&name),
                _ => self.key_vault(store).unwrap().purge(&name),
            }
        }
    }

    /// Everything there is, for comparing.
    pub fn snapshot(&self) -> String {
        let mut text = self.kv.snapshot() + &self.kube.snapshot();
        for vault in &self.key_vaults {
            text.push_str(&vault.secrets_snapshot());
            text.push_str(&vault.certificates_snapshot());
        }
        text
    }

    /// Whether an entry is one of these services'.
    pub fn keep(&self, entry: &StoreBinding) -> bool {
        is_shipped(entry.store.as_str())
    }
}

/// A PEM text, or a PFX in base64.
fn text(value: &str, password: Option<&Secret>) -> Result<Found, String> {
    match STANDARD.decode(value.trim()) {
        Ok(pfx) => read_pfx(&pfx, password).map_err(|error| error.to_string()),
        Err(_) => read_pem(value.as_bytes()).map_err(|error| error.to_string()),
    }
}

/// Named parts: certificate and key in one, apart, or a PFX with its password.
fn fields(
    parts: &serde_json::Map<String, Value>,
    mut told: impl FnMut(&str),
) -> Option<Result<Found, String>> {
    let part = |name: &str| parts.get(name).and_then(Value::as_str);
    let certificate = part("certificate")?;
    let password = part("password").map(|text| Secret::new(text.to_owned()));
    password.iter().for_each(|password| told(password.expose()));
    Some(match part("key") {
        Some(key) => text(&format!("{certificate}\n{key}"), None),
        None => text(certificate, password.as_ref()),
    })
}

/// A key as PEM.
pub fn pem_of(key: &PrivateKey) -> String {
    let body = STANDARD.encode(key.expose_pkcs8());
    format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
}
