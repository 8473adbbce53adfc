//! Signing in to a vault: its challenge is looked at before a token is asked for.

use std::sync::Arc;

use certroll::desired::Format;
use certroll::observed::StoreState;
use certroll::store::StoreReader;
use certroll::store::key_vault::KeyVaultStore;

use super::super::binding;
use super::{vault, vault_at};
use crate::support::key_vault::{CLIENT_SECRET, KeyVaultService};
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
    let claims = "{\"access_token\":{\"nbf\":{\"essential\":true,\"value\":\"1767225600\"}}}";
    service.wants_claims(claims);
    look(&store).await.unwrap();
    let asked_with = service.state().asked_with.clone();
    assert_eq!(asked_with.last().unwrap().as_deref(), Some(claims));
    assert!(asked_with.len() < 8, "{asked_with:?}");
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
