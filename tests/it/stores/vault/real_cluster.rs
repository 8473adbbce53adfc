//! A pod signs in to a real Vault, which asks a real cluster whose token that is.

use certroll::desired::Format;
use certroll::observed::StoreState;
use certroll::store::StoreReader;
use certroll::store::vault::VaultStore;
use serde_json::{Value, json};

use super::real::fresh_name;
use super::real_rights::{documented_policy, enable, sign_ins, store};
use super::{Server, binding, current_of, one_current};
use crate::stores::kubernetes;
use crate::support::trouble::Trouble;

/// Makes a service account; returns a token of it for that audience, as a pod is given one.
fn pod(cluster: &kubernetes::Server, name: &str, audience: &str) -> String {
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let made = |path: &str, body: Value| {
        let (status, said) = cluster.ask("POST", path, "application/json", Some(&body));
        assert!((200..300).contains(&status), "{said}");
        said
    };
    made(accounts, json!({ "metadata": { "name": name } }));
    let token = json!({ "spec": { "audiences": [audience] } });
    made(&format!("{accounts}/{name}/token"), token)["status"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Vault and a real API server; .ci/run starts them"]
async fn a_pod_signs_in_to_a_real_vault_and_another_one_does_not() {
    let (server, cluster) = (Server::real(), kubernetes::Server::real());
    let entry = binding(&fresh_name(), Format::Pem);
    let first = one_current(&server, &entry).await;
    let account = entry.entry.replace('/', "-");
    let mount = enable(&server, "kubernetes");
    let config = json!({
        "kubernetes_host": cluster.address,
        "kubernetes_ca_cert": std::fs::read_to_string(kubernetes::set("CERTROLL_TEST_KUBE_CA")).unwrap(),
        "token_reviewer_jwt": kubernetes::set("CERTROLL_TEST_KUBE_TOKEN"),
        "disable_local_ca_jwt": true,
    });
    server.done("POST", &format!("auth/{mount}/config"), &config);
    let role = json!({
        "bound_service_account_names": [account], "bound_service_account_namespaces": ["default"], "audience": "vault",
        "token_policies": [documented_policy(&server, &entry.entry, 1)], "token_ttl": "20m",
    });
    server.done("POST", &format!("auth/{mount}/role/certroll"), &role);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let settings = [
        ("AUTH", "kubernetes".to_owned()),
        ("ROLE", "certroll".to_owned()),
        ("JWT_FILE", file.display().to_string()),
        ("AUTH_MOUNT", mount.clone()),
    ];
    let trouble = Trouble::quiet();
    let vault: VaultStore = store(&server, &trouble, &settings);
    for (name, audience) in [(account.clone() + "-other", "vault"), (account.clone() + "-wrong", "elsewhere")]
    {
        let token = pod(&cluster, &name, audience);
        std::fs::write(&file, &token).unwrap();
        let StoreState::Unreadable { reason } = vault.observe(&entry).await.state else {
            panic!("{name} was let in")
        };
        assert!(reason.contains("signing in to the vault with kubernetes"), "{reason}");
        assert!(!reason.contains(token.split('.').next_back().unwrap()), "{reason}");
    }
    std::fs::write(&file, pod(&cluster, &account, "vault")).unwrap();
    trouble.restart();
    let StoreState::Known(holding) = vault.observe(&entry).await.state else { panic!("not let in") };
    assert_eq!(holding.current, current_of(&first));
    assert_eq!(sign_ins(&trouble), 1);
}
