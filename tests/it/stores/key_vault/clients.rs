//! The official clients read back what certroll wrote into the test's Key Vault, which holds the vault to them as well.

use std::sync::Arc;

use certroll::certificate::KeyKind;
use certroll::desired::{Format, Password, StoreBinding};
use certroll::issuer::{Issuer, SubjectKey};
use certroll::key::Secret;
use certroll::net::Transport;
use certroll::observed::Generation;
use certroll::observed::record::{PublicRecord, RecordedPhase};
use certroll::store::key_vault::KeyVaultStore;
use certroll::store::{KeyRequest, StoreWriter};

use super::super::binding;
use super::vault;
use crate::support::ca::TestCa;
use crate::support::contract::{self, Rotation};
use crate::support::key_vault::KeyVaultService;
use crate::support::keys;
use crate::support::serve::serve;
use crate::support::trouble::Trouble;
use crate::tools;

fn entry(name: &str, object: &str, exportable: Option<bool>, password: Password) -> StoreBinding {
    let mut entry = binding(name, Format::Pfx);
    entry.form.password = password;
    entry.options.object = Some(object.into());
    entry.options.exportable = exportable;
    entry
}

async fn promote(store: &KeyVaultStore, entry: &StoreBinding, generation: &Generation) -> String {
    let record = PublicRecord {
        phase: RecordedPhase::Promoted,
        promoted_at: Some(Rotation::First.promoted_at()),
        ..generation.record.clone()
    };
    let password = Secret::new("correct horse battery staple".into());
    let password = (entry.form.password != Password::None).then_some(&password);
    let promoted = store.promote(entry, generation, None, password, &record).await.unwrap();
    promoted.record.thumbprints.unwrap().sha1.to_string()
}

#[tokio::test]
#[ignore = "needs Python and its packages for Key Vault; .ci/run has them"]
async fn the_official_clients_read_back_what_certroll_wrote() {
    let service = Arc::<KeyVaultService>::default();
    let store = KeyVaultStore::new(vault(&service, &Trouble::quiet()));

    let secret = entry("billing", "secret", None, Password::Generate);
    let staged = contract::stage(&store, &secret, Rotation::First, 1).await.unwrap();
    let in_secret = promote(&store, &secret, &staged).await;

    let export = entry("export", "certificate", Some(true), Password::None);
    let staged = contract::stage(&store, &export, Rotation::First, 2).await.unwrap();
    let exportable = promote(&store, &export, &staged).await;

    let stays = entry("stays", "certificate", Some(false), Password::None);
    let wanted = KeyRequest { key: KeyKind::Rsa2048, subject: contract::SUBJECT.into(), signs: None };
    let record = PublicRecord { thumbprints: None, ..staged.record.clone() };
    let pending = store.request(&stays, &wanted, &record).await.unwrap();
    let request = keys::request(contract::SUBJECT, Rotation::First.start(), 1);
    let issued = TestCa::new().issue(&request, SubjectKey::Request(&pending.csr)).await.unwrap();
    let record = contract::staged(Rotation::First, &issued.certificate);
    let attached = store.attach(&stays, &pending.generation, &issued, &record).await.unwrap();
    let never_leaves = promote(&store, &stays, &attached).await;

    // Several pages, as a vault has them.
    service.state().page = 1;
    let url = serve(Arc::clone(&service) as Arc<dyn Transport>);
    let found = tokio::task::spawn_blocking(move || tools::read_key_vault(&url)).await.unwrap();
    assert_eq!(
        found,
        serde_json::json!({ "secret": in_secret, "exportable": exportable, "stays": never_leaves })
    );
}
