//! The examples of `examples/issue`: each applies, and then there is nothing to do.

use std::sync::Arc;

use certroll::issuer::{CertificateRequest, Issuer, SubjectKey};
use certroll::net::Transport;
use jiff::Timestamp;

use crate::support::ca::TestCa;
use crate::support::cli::{Bench, ROTATED, applies, examples_in};
use crate::support::key_vault::KeyVaultService;
use crate::support::keys;
use crate::support::kv2::{Kv2, TOKEN};
use crate::support::serve::serve;

#[test]
fn the_example_self_signed_works() {
    applies("issue/self-signed", |_| {}, &ROTATED);
}

#[test]
fn the_example_ca_file_works() {
    applies("issue/ca-file", |bench| bench.lay_down_ca("ca/issuing.pem"), &ROTATED);
}

#[test]
fn the_example_csr_works() {
    let sign = |bench: &mut Bench| {
        let Ok(request) = std::fs::read(bench.folder.join("requests/contoso.terraform-m365.csr")) else {
            return;
        };
        let request = certroll::pem::blocks(&request).unwrap().remove(0).contents.to_vec();
        let now = Timestamp::now();
        let wanted = CertificateRequest { now, not_before: now, ..keys::request("CN=unused", now, 7) };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let issued = runtime.block_on(TestCa::new().issue(&wanted, SubjectKey::Request(&request))).unwrap();
        let answer = bench.folder.join("requests/contoso.terraform-m365.cer");
        std::fs::write(answer, issued.certificate.to_pem()).unwrap();
    };
    applies("issue/csr", sign, &["waiting for a certificate", "1 rotated, proven", "nothing to do"]);
}

#[test]
fn the_example_vault_pki_works() {
    let address = serve(Arc::new(Kv2::default()) as Arc<dyn Transport>);
    let reach = |bench: &mut Bench| {
        bench.env.insert("VAULT_ADDR".into(), address.clone());
        bench.env.insert("VAULT_TOKEN".into(), TOKEN.into());
    };
    applies("issue/vault-pki", reach, &ROTATED);
}

#[test]
fn the_example_key_vault_works() {
    let vault = Arc::new(KeyVaultService::default());
    let url = serve(Arc::clone(&vault) as Arc<dyn Transport>);
    let reach = |bench: &mut Bench| {
        vault.state().signing.now = Some(Timestamp::now());
        bench.env.extend(vault.connection(&url));
    };
    applies("issue/key-vault", reach, &ROTATED);
}

#[test]
fn the_example_external_public_key_works() {
    applies("issue/external-public-key", |_| {}, &["1 published, not proven", "nothing to do"]);
}

#[test]
fn the_example_external_rotator_works() {
    applies("issue/external-rotator", |_| {}, &["nothing to do", "nothing to do"]);
}

#[test]
fn every_example_is_run() {
    let run = [
        "ca-file",
        "csr",
        "external-public-key",
        "external-rotator",
        "key-vault",
        "self-signed",
        "vault-pki",
    ];
    assert_eq!(examples_in("issue"), run);
}
