//! The examples of `examples/keep`: each applies, and then there is nothing to do.

use std::sync::Arc;

use certroll::net::Transport;

use crate::support::cli::{Bench, ROTATED, applies, examples_in};
use crate::support::key_vault::KeyVaultService;
use crate::support::kv2::{self, Kv2, TOKEN};
use crate::support::secrets::{Secrets, kubeconfig};
use crate::support::serve::serve;

#[test]
fn the_example_hashicorp_vault_works() {
    let address = serve(Arc::new(Kv2::default()));
    let reach = |bench: &mut Bench| {
        bench.env.insert("VAULT_ADDR".into(), address.clone());
        bench.env.insert("VAULT_TOKEN".into(), TOKEN.into());
    };
    applies("keep/hashicorp-vault", reach, &ROTATED);
    let shown = kv2::look(&address, TOKEN, "microsoft365/certificate");
    assert!(shown.contains("pfx_base64") && shown.contains("pfx_password"), "{shown}");
}

#[test]
fn the_example_azure_key_vault_works() {
    let vault = Arc::new(KeyVaultService::default());
    let url = serve(Arc::clone(&vault) as Arc<dyn Transport>);
    let reach = |bench: &mut Bench| {
        bench.env.extend(vault.connection(&url));
        bench.lay_down_ca("ca/issuing.pem");
    };
    applies("keep/azure-key-vault", reach, &["3 rotated, proven", "nothing to do"]);
    assert!(vault.secret_shown("cloudm-continuity").contains("password"));
    assert!(vault.certificate_shown("app-service").contains("can leave"));
    assert!(vault.certificate_shown("billing").contains("its key stays"));
}

#[test]
fn the_example_kubernetes_works() {
    let secrets = Arc::new(Secrets::default());
    let url = serve(Arc::clone(&secrets) as Arc<dyn Transport>);
    let reach = |bench: &mut Bench| {
        let path = bench.folder.join("kubeconfig");
        std::fs::write(&path, kubeconfig(&url)).unwrap();
        bench.env.insert("KUBECONFIG".into(), path.display().to_string());
    };
    applies("keep/kubernetes", reach, &ROTATED);
    assert!(secrets.shown("billing-certificate").starts_with("kubernetes.io/tls"));
    assert!(secrets.shown("billing").contains("keystore.p12"));
}

#[test]
fn every_example_is_run() {
    assert_eq!(examples_in("keep"), ["azure-key-vault", "hashicorp-vault", "kubernetes"]);
}
