//! The same stores on a Key Vault that speaks HTTPS and is none of the tests' own: the one of `tests/servers/key_vault`, or any other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certroll::certificate::{Certificate, KeyKind};
use certroll::cli::clock::SystemClock;
use certroll::desired::{Format, Password, StoreBinding};
use certroll::entra::OwnCredential;
use certroll::entra::sign_in::Method;
use certroll::form::{read_pem, read_pfx};
use certroll::issuer::{Issuer, SubjectKey};
use certroll::key::Secret;
use certroll::key_vault::SignIn;
use certroll::observed::Generation;
use certroll::observed::record::{PublicRecord, RecordedPhase};
use certroll::runtime::Clock;
use certroll::store::key_vault::KeyVaultStore;
use certroll::store::{KeyRequest, StoreErrorKind, StoreReader, StoreWriter};
use serde_json::json;

use super::super::binding;
use super::opened;
use crate::scripts::{Story, folder};
use crate::support::ca::TestCa;
use crate::support::contract::{self, Bench, Rotation};
use crate::support::key_vault::{RemoteVault, SCOPE, set};
use crate::support::keys;
use crate::support::service::StillClock;
use crate::support::trouble::{EVERY_MISCHIEF, Mischief, Trouble};
use crate::tools;

fn store(remote: &RemoteVault, trouble: &Arc<Trouble>) -> KeyVaultStore {
    let credential = OwnCredential {
        tenant: Some(remote.tenant.clone()),
        client_id: remote.client.parse().unwrap(),
        method: Method::Secret(Secret::new(remote.client_secret.clone())),
        source: "the test".into(),
    };
    let transport = Arc::clone(&remote.transport);
    let clock = match remote.takes_time {
        true => Arc::new(SystemClock) as Arc<dyn Clock>,
        false => StillClock::at("2026-06-30T00:00:00Z"),
    };
    KeyVaultStore::new(opened(transport, clock, trouble, &remote.address, |line| SignIn {
        line,
        login: remote.login.clone(),
        credential,
        scope: Some(SCOPE.into()),
    }))
}

/// A name that nothing else uses, so that all can live in one vault.
fn fresh_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("app-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn entry(name: &str, object: &str, format: Format) -> StoreBinding {
    let mut entry = binding(name, format);
    entry.options.object = Some(object.into());
    if object == "certificate" {
        entry.form.password = Password::None;
        entry.options.exportable = Some(true);
        entry.options.hsm = Some(false);
    }
    entry
}

fn stays(name: &str) -> StoreBinding {
    let mut entry = entry(name, "certificate", Format::Pfx);
    entry.options.exportable = Some(false);
    entry
}

struct ServedBench {
    remote: Arc<RemoteVault>,
    trouble: Arc<Trouble>,
    entry: StoreBinding,
    /// A certificate and key of somebody else's.
    rival: String,
}

impl ServedBench {
    fn is_secret(&self) -> bool {
        self.entry.options.object.as_deref() == Some("secret")
    }

    fn leaves(&self) -> bool {
        self.is_secret() || self.entry.options.exportable == Some(true)
    }
}

#[async_trait]
impl Bench for ServedBench {
    fn store(&self) -> Arc<dyn StoreWriter> {
        Arc::new(store(&self.remote, &self.trouble))
    }

    fn entry(&self) -> StoreBinding {
        self.entry.clone()
    }

    fn trouble(&self) -> Arc<Trouble> {
        self.trouble.clone()
    }

    fn mischief(&self) -> &'static [Mischief] {
        &EVERY_MISCHIEF
    }

    async fn consume(&self) -> Option<Certificate> {
        if !self.leaves() {
            let (certificate, signature) = self.remote.sign_as_consumer(&self.entry.entry, b"hello")?;
            assert!(keys::verifies_ps256(&certificate, b"hello", &signature));
            return Some(certificate);
        }
        let value = self.remote.consume(&self.entry.entry)?;
        // A rival's value is not one of ours.
        let pfx = || read_pfx(&STANDARD.decode(&value).ok()?, None).ok();
        Some(read_pem(value.as_bytes()).ok().or_else(pfx)?.certificate)
    }

    fn rival(&self) -> Box<dyn FnOnce() + Send> {
        let (remote, name, pem) = (Arc::clone(&self.remote), self.entry.entry.clone(), self.rival.clone());
        let is_secret = self.is_secret();
        Box::new(move || {
            // Of two versions of one second nobody can tell which is newer, and certroll does not guess.
            remote.next_second();
            match is_secret {
                true => remote.set_by_hand(&name, "by hand"),
                false => remote.import_by_hand(&name, &pem),
            }
            remote.next_second();
        })
    }

    fn put_by_hand(&self, pem: &str) -> bool {
        let name = &self.entry.entry;
        match (self.is_secret(), self.leaves()) {
            (true, _) => self.remote.set_by_hand(name, pem),
            (false, true) => self.remote.import_by_hand(name, pem),
            (false, false) => return false,
        }
        true
    }

    fn rivals_within_calls(&self) -> bool {
        true
    }

    fn snapshot(&self) -> String {
        let name = &self.entry.entry;
        self.remote.snapshot(&[name, &format!("{name}-next"), &format!("{name}-certroll")])
    }

    fn touches_key(&self, call: &str) -> bool {
        let path = call.strip_prefix("GET /secrets/");
        let value = path.is_some_and(|path| !path.ends_with("/versions"));
        // The values beside a key that stays are public.
        let public = !self.leaves() && call.contains("-certroll/");
        (value && !public) || call.ends_with("/sign")
    }
}

async fn bench(entry: impl Fn(&str) -> StoreBinding) -> impl Fn() -> ServedBench {
    let remote = Arc::new(RemoteVault::of_the_environment());
    let made = keys::self_signed("CN=by hand", Rotation::First.start(), 3, &keys::key(10)).await;
    let rival = made.certificate.to_pem() + &keys::pem(&keys::key(10));
    move || ServedBench {
        remote: Arc::clone(&remote),
        trouble: Trouble::quiet(),
        entry: entry(&fresh_name()),
        rival: rival.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Key Vault of tests/servers; .ci/run starts it"]
async fn secret_objects_in_a_served_vault_keep_the_contract() {
    contract::run(bench(|name| entry(name, "secret", Format::Pem)).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Key Vault of tests/servers; .ci/run starts it"]
async fn certificates_in_a_served_vault_keep_the_contract() {
    for format in [Format::Pem, Format::Pfx] {
        contract::run(bench(|name| entry(name, "certificate", format)).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Key Vault of tests/servers; .ci/run starts it"]
async fn keys_that_never_leave_a_served_vault_keep_the_contract() {
    contract::run(bench(stays).await).await;
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

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Key Vault of tests/servers; .ci/run starts it"]
async fn the_official_clients_read_back_what_certroll_wrote_into_a_served_vault() {
    let remote = RemoteVault::of_the_environment();
    let store = store(&remote, &Trouble::quiet());
    let name = fresh_name();
    let named = |what: &str| format!("{name}-{what}");

    let secret = entry(&named("billing"), "secret", Format::Pfx);
    let staged = contract::stage(&store, &secret, Rotation::First, 1).await.unwrap();
    let in_secret = promote(&store, &secret, &staged).await;

    let export = entry(&named("export"), "certificate", Format::Pfx);
    let staged = contract::stage(&store, &export, Rotation::First, 2).await.unwrap();
    let exportable = promote(&store, &export, &staged).await;

    let stays = stays(&named("stays"));
    let wanted = KeyRequest { key: KeyKind::Rsa2048, subject: contract::SUBJECT.into(), signs: None };
    let record = PublicRecord { thumbprints: None, ..staged.record.clone() };
    let pending = store.request(&stays, &wanted, &record).await.unwrap();
    let request = keys::request(contract::SUBJECT, Rotation::First.start(), 1);
    let issued = TestCa::new().issue(&request, SubjectKey::Request(&pending.csr)).await.unwrap();
    let record = contract::staged(Rotation::First, &issued.certificate);
    let attached = store.attach(&stays, &pending.generation, &issued, &record).await.unwrap();
    let never_leaves = promote(&store, &stays, &attached).await;

    let found = tokio::task::spawn_blocking(move || {
        let variables = [
            ("TENANT", remote.tenant.as_str()),
            ("CLIENT", &remote.client),
            ("CLIENT_SECRET", &remote.client_secret),
            ("LOGIN", &remote.login),
        ];
        tools::read_served_key_vault(&[&remote.address, &remote.ca_file, &name], &variables)
    });
    assert_eq!(
        found.await.unwrap(),
        json!({ "secret": in_secret, "exportable": exportable, "stays": never_leaves })
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Key Vault of tests/servers; .ci/run starts it"]
async fn a_disabled_version_gives_nothing_and_a_deleted_name_is_taken_in_a_served_vault() {
    let remote = RemoteVault::of_the_environment();
    let store = store(&remote, &Trouble::quiet());
    let secret = entry(&fresh_name(), "secret", Format::Pem);
    let staged = contract::stage(&store, &secret, Rotation::First, 1).await.unwrap();
    assert!(store.signer(&secret, &staged).await.is_ok());
    store.remove(&secret, &staged).await.unwrap();
    let (status, said) = remote.ask("GET", &format!("secrets/{}-next", secret.entry), None);
    assert_eq!((status, &said["error"]["innererror"]["code"]), (403, &json!("SecretDisabled")));

    let export = entry(&fresh_name(), "certificate", Format::Pfx);
    for (taken, path) in [(&secret, "secrets"), (&export, "certificates")] {
        let staged = contract::stage(&store, taken, Rotation::First, 1).await.unwrap();
        promote(&store, taken, &staged).await;
        remote.ask("DELETE", &format!("{path}/{}", taken.entry), None);
        let certroll::observed::StoreState::Unreadable { reason } = store.observe(taken).await.state else {
            panic!("a deleted name is readable");
        };
        assert!(reason.contains("was deleted"), "{reason}");
        let record = PublicRecord { phase: RecordedPhase::Promoted, ..staged.record.clone() };
        let refused = store.promote(taken, &staged, None, None, &record).await.unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::Refused, "{refused}");
    }
}

/// A story with the served vault behind `serve key-vault`, signed in to with a secret.
fn story(names: &[&str]) -> Story {
    let remote = RemoteVault::of_the_environment();
    remote.forget(names);
    let mut story = Story::new();
    story.bench.env.extend(remote.connection());
    let secret = ("CERTROLL_CONN_KV_CLIENT_SECRET".to_owned(), remote.client_secret.clone());
    story.bench.env.extend([secret]);
    story.served_key_vault = Some(Arc::new(remote));
    story
}

/// Every answer of a service has another one.
fn without_request_ids(text: &str) -> String {
    let mut parts = text.split("request ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |told, part| {
        let id = part.chars().take_while(char::is_ascii_alphanumeric).count();
        told + "request " + &part[id..]
    })
}

#[test]
#[ignore = "needs the Key Vault of tests/servers; .ci/run starts it"]
fn a_served_key_vault_tells_the_same_stories() {
    for script in ["keys-in-key-vault", "key-never-leaves"] {
        let read = |end: &str| std::fs::read_to_string(folder().join(format!("{script}.{end}"))).unwrap();
        let told = story(&["billing", "billing-next", "billing-certroll"]).tell(&read("txt"));
        let (accepted, told) = (without_request_ids(&read("out")), without_request_ids(&told));
        let diff = similar::TextDiff::from_lines(&accepted, &told).unified_diff().to_string();
        assert_eq!(diff, "", "{script}: a served Key Vault and the test's own are not alike");
    }
}

#[test]
#[ignore = "needs the Key Vault of tests/servers; .ci/run starts it"]
fn p7_a_certificate_signs_in_to_a_served_key_vault_and_looking_asks_for_no_value() {
    let (name, journal) = (fresh_name(), set("CERTROLL_TEST_KEY_VAULT_JOURNAL"));
    let requests = || -> Vec<String> {
        let text = std::fs::read_to_string(&journal).unwrap();
        text.lines().filter(|line| line.contains(&name)).map(str::to_owned).collect()
    };
    let value = |line: &String| line.starts_with("GET /secrets/") && !line.ends_with("/versions");
    let mut story = story(&[]);
    story.bench.env.remove("CERTROLL_CONN_KV_CLIENT_SECRET");
    let pem = set("CERTROLL_TEST_KEY_VAULT_CLIENT_PEM");
    story.bench.env.insert("CERTROLL_CONN_KV_CLIENT_CERTIFICATE_PATH".into(), pem);
    let declaration = format!(
        "certroll: v1\nowner: platform\ntenants: {{ contoso: {{ cloud: emulator }} }}\nstores: {{ vault: {{ kind: azure_key_vault, \
         vault: contoso-prod, connection: kv }} }}\ncertificates:\n  billing:\n    application: {{ unique_name: billing }}\n    \
         store: {{ use: vault, object: secret, name: {name}, format: pfx, password: generate }}\n"
    );
    std::fs::write(story.folder.path().join("certroll.yaml"), declaration).unwrap();
    story.tell_line("app billing");
    story.tell_line("certroll apply --emulator --auto-approve");
    let applied = requests();
    assert!(applied.iter().any(value), "the journal would show it: {applied:?}");
    for line in ["certroll plan --replace contoso/billing=T1", "certroll drift", "certroll doctor"] {
        story.tell_line(line);
    }
    let told = story.tell("");
    assert_eq!((told.matches("+ issue").count(), told.contains("exit ")), (2, false), "{told}");
    let looked = &requests()[applied.len()..];
    assert!(looked.len() >= 6, "two requests for each look: {looked:?}\n{told}");
    assert!(looked.iter().all(|line| line.starts_with("GET ") && !value(line)), "{looked:?}");
}
