//! Signing in to a vault: its challenge is looked at before a token is asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use certroll::backends::shipped::{Connections, ShippedReaders};
use certroll::connections::Operator;
use certroll::desired::{Desired, Format, Store, StoreKind};
use certroll::edges::Readers;
use certroll::net::{Transport, TransportError};
use certroll::observed::StoreState;
use certroll::store::StoreReader;
use certroll::store::key_vault::KeyVaultStore;

use http::{Request, Response};
use serde_json::json;

use super::super::binding;
use super::{vault, vault_at};
use crate::support::key_vault::{CLIENT, CLIENT_SECRET, KeyVaultService, VAULT, answer};
use crate::support::reach::reach;
use crate::support::service::StillClock;
use crate::support::trouble::Trouble;

async fn look(store: &KeyVaultStore) -> Result<(), String> {
    let mut entry = binding("cloudm", Format::Pem);
    entry.options.object = Some("secret".into());
    match store.observe(&entry).await.state {
        StoreState::Unreadable { reason } => Err(reason),
        _ => Ok(()),
    }
}

fn tokens_asked_for(trouble: &Trouble) -> usize {
    trouble.journal().iter().filter(|call| call.ends_with("/token")).count()
}

#[tokio::test]
async fn one_challenge_and_one_token_serve_a_whole_run() {
    let (service, trouble) = (Arc::default(), Trouble::quiet());
    let store = KeyVaultStore::new(vault(&service, &trouble));
    look(&store).await.unwrap();
    look(&store).await.unwrap();
    assert_eq!(tokens_asked_for(&trouble), 1);
    assert_eq!(trouble.journal().iter().filter(|call| *call == "GET /secrets").count(), 1);
}

#[tokio::test]
async fn a_vault_that_wants_a_token_for_something_else_gets_none() {
    for resource in ["https://graph.microsoft.com", "https://vault.azure.net.example.com", "https://net"] {
        let (service, trouble) = (Arc::<KeyVaultService>::default(), Trouble::quiet());
        service.state().resource = resource.into();
        let said = look(&KeyVaultStore::new(vault(&service, &trouble))).await.unwrap_err();
        assert!(said.contains("which is not its own"), "{said}");
        assert_eq!(tokens_asked_for(&trouble), 0);
    }
}

#[tokio::test]
async fn a_vault_that_sends_us_to_another_login_host_or_tenant_gets_no_token() {
    let other = "https://login.example.com/8f5e2c0a-1b9d-4f27-9a6e-3c7d5b8e4f10";
    let stranger = "https://login.microsoftonline.com/00000000-0000-0000-0000-0000000000ff";
    for (authority, problem) in
        [(other, "sends us to https://login.example.com"), (stranger, "is meant for tenant")]
    {
        let (service, trouble) = (Arc::<KeyVaultService>::default(), Trouble::quiet());
        service.state().authority = authority.into();
        let said = look(&KeyVaultStore::new(vault(&service, &trouble))).await.unwrap_err();
        assert!(said.contains(problem), "{said}");
        assert_eq!(tokens_asked_for(&trouble), 0);
    }
}

#[tokio::test]
async fn an_emulator_is_signed_in_to_where_the_operator_names_the_scope() {
    let (service, trouble) = (Arc::<KeyVaultService>::default(), Trouble::quiet());
    let address = "https://keyvault.localhost";
    let refused = look(&KeyVaultStore::new(vault_at(&service, &trouble, address, None))).await;
    assert!(refused.unwrap_err().contains("which is not its own"));
    let scope = Some("https://vault.azure.net/.default");
    let store = KeyVaultStore::new(vault_at(&service, &trouble, address, scope));
    look(&store).await.unwrap();
}

#[tokio::test]
async fn a_token_that_no_longer_counts_is_renewed_once_and_with_the_claims_that_are_asked_for() {
    let (service, trouble) = (Arc::<KeyVaultService>::default(), Trouble::quiet());
    let store = KeyVaultStore::new(vault(&service, &trouble));
    look(&store).await.unwrap();
    service.forget_tokens();
    look(&store).await.unwrap();
    // The longer one does not fit into what is shown of a header.
    let many: Vec<String> = (0..20).map(|number| format!("\"xms_{number}\":{{\"value\":\"1\"}}")).collect();
    for more in [String::new(), format!(",{}", many.join(","))] {
        let nbf = "\"nbf\":{\"essential\":true,\"value\":\"1767225600\"}";
        let claims = format!("{{\"access_token\":{{{nbf}{more}}}}}");
        service.wants_claims(&claims);
        look(&store).await.unwrap();
        let asked_with = service.state().asked_with.clone();
        assert_eq!(asked_with.last().unwrap().as_deref(), Some(claims.as_str()));
    }
    let asked_with = service.state().asked_with.clone();
    assert!(asked_with.len() < 12, "{asked_with:?}");
}

#[tokio::test]
async fn a_firewall_is_told_from_a_missing_right() {
    let service = Arc::<KeyVaultService>::default();
    service.shut_out();
    let said = look(&KeyVaultStore::new(vault(&service, &Trouble::quiet()))).await.unwrap_err();
    assert!(said.contains("Forbidden/ForbiddenByFirewall") && said.contains("request a1b2c3"), "{said}");
}

#[tokio::test]
async fn p3_neither_token_nor_client_secret_is_in_an_error_or_debug() {
    let service = Arc::<KeyVaultService>::default();
    let vault = vault(&service, &Trouble::quiet());
    let store = KeyVaultStore::new(vault.clone());
    look(&store).await.unwrap();
    service.shut_out();
    let said = format!("{:?} {vault:?} {store:?}", look(&store).await);
    assert!(!said.contains(CLIENT_SECRET) && !said.contains("token-"), "{said}");
}

/// The vault, and everybody who may vouch for whoever asks: this machine, a CI system, the login service.
#[derive(Default)]
struct Surroundings {
    vault: KeyVaultService,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Transport for Surroundings {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, TransportError> {
        let host = request.uri().host().unwrap().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let token = || json!({ "access_token": self.vault.give_token(), "expires_in": "3599" });
        let body = match host.as_str() {
            "169.254.169.254" => {
                assert_eq!(request.headers()["metadata"], "true");
                token()
            }
            "run.actions.githubusercontent.com" => json!({ "value": "eyJ.job.sig" }),
            "login.microsoftonline.com" => {
                let form = String::from_utf8(request.body().clone()).unwrap();
                assert!(form.contains("client_assertion=eyJ.job.sig"), "{form}");
                assert!(form.contains("scope=https%3A//vault.azure.net/.default"), "{form}");
                token()
            }
            _ => return self.vault.send(request).await,
        };
        self.asked.lock().unwrap().push(format!("{host} {query}"));
        Ok(answer(200, &body))
    }
}

/// What is said of who signs in, and whom that asked, when the store of such a declaration is looked at.
async fn looked(around: &Arc<Surroundings>, set: &[(&str, &str)], connection: bool) -> (String, Vec<String>) {
    let name: certroll::ids::Name = "kv".parse().unwrap();
    let set: BTreeMap<String, String> =
        set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let users = connection.then(|| (name.clone(), Default::default())).into_iter().collect();
    let operator = Operator::new(set, None, users).unwrap();
    let store = Store {
        name: "shelf".parse().unwrap(),
        kind: StoreKind::AzureKeyVault { vault: VAULT.into() },
        connection: connection.then_some(name),
        origin: Default::default(),
    };
    let desired = Desired {
        owner: "platform-team".parse().unwrap(),
        tenants: BTreeMap::new(),
        stores: [(store.name.clone(), store)].into(),
        certificates: BTreeMap::new(),
        moved: Vec::new(),
        removed: Vec::new(),
        acknowledgements: Vec::new(),
    };
    let reach = reach(around.clone(), StillClock::at("2026-06-30T00:00:00Z"), operator);
    let connections = Connections::new(&desired, reach, |_| unreachable!("there is no tenant"));
    let mut entry = binding("cloudm", Format::Pem);
    entry.store = "shelf".parse().unwrap();
    entry.options.object = Some("secret".into());
    let store = ShippedReaders::new(&connections).store(&entry).unwrap();
    let state = store.observe(&entry).await.state;
    assert!(matches!(state, StoreState::Absent), "{state:?}");
    (store.signs_in().unwrap(), std::mem::take(&mut around.asked.lock().unwrap()))
}

#[tokio::test]
async fn a_vault_is_signed_in_to_in_every_way_that_entra_is() {
    let around = Arc::new(Surroundings::default());
    let of_machine =
        "169.254.169.254 api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net".to_owned();
    let chosen = [("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")];
    let (who, asked) = looked(&around, &chosen, false).await;
    assert_eq!(who, "the managed identity of this machine (AZURE_TOKEN_CREDENTIALS)");
    assert_eq!(asked, std::slice::from_ref(&of_machine));
    let (who, asked) = looked(&around, &[("CERTROLL_CONN_KV_AUTH", "managed_identity")], true).await;
    assert_eq!(
        (who.as_str(), asked),
        ("the managed identity of this machine (connection kv)", vec![of_machine])
    );

    let job = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://run.actions.githubusercontent.com/1/idtoken?v=2"),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "job-token"),
    ];
    let own = [("CERTROLL_CONN_KV_AUTH", "github"), ("CERTROLL_CONN_KV_CLIENT_ID", CLIENT)];
    for (set, named) in [(vec![("AZURE_CLIENT_ID", CLIENT)], false), (own.to_vec(), true)] {
        let (who, asked) = looked(&around, &[set, job.to_vec()].concat(), named).await;
        assert!(who.starts_with(&format!("client {CLIENT} with a token of this GitHub job")), "{who}");
        let expected = "run.actions.githubusercontent.com v=2&audience=api%3A%2F%2FAzureADTokenExchange";
        assert_eq!(asked, [expected, "login.microsoftonline.com "]);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_azure_cli_is_asked_for_a_token_for_the_vault_of_the_tenant_it_belongs_to() {
    use std::os::unix::fs::PermissionsExt;
    let around = Arc::new(Surroundings::default());
    let folder = tempfile::tempdir().unwrap();
    let az = folder.path().join("az");
    let token = around.vault.give_token();
    let script = format!(
        "#!/bin/sh\necho \"$@\" > {}/arguments\necho '{{ \"accessToken\": \"{token}\", \"expires_on\": 1795180000 }}'\n",
        folder.path().display()
    );
    std::fs::write(&az, script).unwrap();
    std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let set = [("CERTROLL_CONN_KV_AUTH", "azure_cli"), ("PATH", path.as_str())];
    let (who, asked) = looked(&around, &set, true).await;
    assert_eq!(who, "whoever is signed in with the Azure CLI (connection kv)");
    assert!(asked.is_empty(), "{asked:?}");
    let arguments = std::fs::read_to_string(folder.path().join("arguments")).unwrap();
    let expected = "account get-access-token --output json --resource https://vault.azure.net --tenant 8f5e2c0a-1b9d-4f27-9a6e-3c7d5b8e4f10";
    assert_eq!(arguments.trim_end(), expected);
}
