//! Signing in to a real Vault with AppRole and with a JWT, with the rights that the page gives and no more.

use base64::Engine as _;
use certroll::desired::Format;
use certroll::key::{LocalSigner, SignatureAlgorithm, Signer};
use certroll::may::May;
use certroll::observed::StoreState;
use certroll::store::vault::VaultStore;
use certroll::store::{StoreErrorKind, StoreReader, StoreWriter};
use jiff::Timestamp;
use serde_json::json;

use super::real::{fresh_name, story_at};
use super::{Server, auth_of, binding, current_of, one_current, one_current_in, promoted};
use crate::support::contract::{self, Rotation};
use crate::support::keys;
use crate::support::trouble::Trouble;

/// Makes a policy of the page's blocks for that path, the first so many of them.
pub(super) fn documented_policy(server: &Server, name: &str, blocks: usize) -> String {
    let page = include_str!("../../../../docs/stores/hashicorp_vault.md");
    let found: Vec<&str> =
        page.split("```hcl\n").skip(1).take(blocks).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(found.len(), blocks);
    // A path of two blocks has the capabilities of both.
    let text = found.join("\n").replace("NAME", name);
    let policy = format!("{}-{blocks}", name.replace('/', "-"));
    server.done("POST", &format!("sys/policies/acl/{policy}"), &json!({ "policy": text }));
    policy
}

/// Enables a sign-in method at a mount of its own.
pub(super) fn enable(server: &Server, method: &str) -> String {
    let mount = format!("{method}-{}", fresh_name().replace('/', "-"));
    server.done("POST", &format!("sys/auth/{mount}"), &json!({ "type": method }));
    mount
}

/// A role with that policy, and a secret id that serves so often (0: for ever).
fn approle(server: &Server, policy: &str, uses: u32) -> [(&'static str, String); 3] {
    let mount = enable(server, "approle");
    let role = format!("auth/{mount}/role/certroll");
    let settings = json!({ "token_policies": [policy], "token_ttl": "20m", "secret_id_num_uses": uses });
    server.done("POST", &role, &settings);
    let (_, id) = server.ask("GET", &format!("{role}/role-id"), None);
    let secret = server.done("POST", &format!("{role}/secret-id"), &json!({}));
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    [
        ("ROLE_ID", text(&id["data"]["role_id"])),
        ("SECRET_ID", text(&secret["secret_id"])),
        ("AUTH_MOUNT", mount),
    ]
}

pub(super) fn store(
    server: &Server,
    trouble: &std::sync::Arc<Trouble>,
    settings: &[(&str, String)],
) -> VaultStore {
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    VaultStore::new(server.vault(trouble, auth_of(&settings)), "secret", None)
}

pub(super) fn sign_ins(trouble: &Trouble) -> usize {
    trouble.journal().iter().filter(|call| call.ends_with("/login")).count()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Vault; .ci/run starts one"]
async fn the_documented_rights_are_enough_on_a_real_vault_and_no_more() {
    let server = Server::real();
    let entry = binding(&fresh_name(), Format::Pem);
    let trouble = Trouble::quiet();
    let applier = approle(&server, &documented_policy(&server, &entry.entry, 2), 0);
    let applier = store(&server, &trouble, &applier);
    assert!(matches!(applier.observe(&entry).await.state, StoreState::Absent));
    let first = one_current_in(&applier, &entry).await;
    let second = contract::stage(&applier, &entry, Rotation::Second, 2).await.unwrap();
    let record = promoted(&second, Rotation::Second);
    applier.promote(&entry, &second, current_of(&first).as_ref(), None, &record).await.unwrap();
    applier.remove(&entry, &first).await.unwrap();
    assert_eq!(applier.may_write(&entry).await.unwrap(), May::Yes);
    assert_eq!(sign_ins(&trouble), 1, "one for a run");

    // To plan: a secret id that serves once is enough, for what is allowed and for what is not.
    let planner = approle(&server, &documented_policy(&server, &entry.entry, 1), 1);
    let planner = store(&server, &trouble, &planner);
    trouble.restart();
    let StoreState::Known(holding) = planner.observe(&entry).await.state else { panic!() };
    assert_eq!(holding.current, current_of(&second));
    planner.issued(&entry, &second).await.unwrap();
    let refused = contract::stage(&planner, &entry, Rotation::First, 3).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Denied, "{refused}");
    assert!(refused.reason.contains("permission denied"), "{refused}");
    assert!(planner.signer(&entry, &second).await.is_err(), "it may read the key");
    let May::No { reason, .. } = planner.may_write(&entry).await.unwrap() else { panic!("it may write") };
    assert!(reason.contains(&format!("create, update, read on secret/data/{}", entry.entry)), "{reason}");
    assert_eq!(sign_ins(&trouble), 1);
}

#[test]
#[ignore = "needs a real Vault; .ci/run starts one"]
fn a_secret_id_that_serves_once_is_enough_for_a_whole_apply_on_a_real_vault() {
    let name = fresh_name();
    let mut story = story_at(&name, "");
    story.tell_line("edit certroll.yaml mount: secret => mount: secret, connection: vault");
    story.tell_line("app billing");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let wanted = name.clone();
    let making = async move {
        let server = Server::real();
        (approle(&server, &documented_policy(&server, &wanted, 2), 1), server.address)
    };
    let (settings, address) = runtime.block_on(async { tokio::spawn(making).await.unwrap() });
    story.bench.env.remove("VAULT_TOKEN");
    story.bench.env.insert("CERTROLL_CONN_VAULT_ADDRESS".into(), address);
    for (setting, value) in settings {
        story.bench.env.insert(format!("CERTROLL_CONN_VAULT_{setting}"), value);
    }
    let applied = story.bench.run(&["certroll", "apply", "--emulator", "--auto-approve"]);
    assert!(applied.code == 0 && applied.stdout.contains("1 rotated, proven"), "{applied:?}");
    let again = story.bench.run(&["certroll", "plan"]);
    assert!(again.stdout.contains("invalid role or secret ID"), "it serves once: {again:?}");
}

/// A token of an issuer of the test's own, as CI systems make them.
async fn jwt(subject: &str, ends_in: i64) -> String {
    let encode =
        |value: serde_json::Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let now = Timestamp::now().as_second();
    let claims = json!({
        "iss": "https://ci.example.com", "aud": "vault", "sub": subject, "iat": now - 600, "nbf": now - 600,
        "exp": now + ends_in,
    });
    let unsigned = format!("{}.{}", encode(json!({ "alg": "PS256", "typ": "JWT" })), encode(claims));
    let key = keys::key(3);
    let certificate = keys::self_signed("CN=ci", Timestamp::now(), 1, &key).await.certificate;
    let signer = LocalSigner::new(&key, certificate).unwrap();
    let signature = signer.sign(SignatureAlgorithm::Ps256, unsigned.as_bytes()).await.unwrap();
    format!("{unsigned}.{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Vault; .ci/run starts one"]
async fn a_jwt_signs_in_to_a_real_vault_and_again_when_the_token_ended() {
    let server = Server::real();
    let entry = binding(&fresh_name(), Format::Pem);
    let first = one_current(&server, &entry).await;
    let mount = enable(&server, "jwt");
    let issuer = keys::self_signed("CN=ci", Timestamp::now(), 1, &keys::key(3)).await.certificate;
    let config = json!({
        "jwt_validation_pubkeys": [issuer.to_pem()], "bound_issuer": "https://ci.example.com",
        "jwt_supported_algs": ["PS256"],
    });
    server.done("POST", &format!("auth/{mount}/config"), &config);
    let role = json!({
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "bound_subject": "repo:contoso/infra",
        "token_policies": [documented_policy(&server, &entry.entry, 1)], "token_ttl": "20m",
    });
    server.done("POST", &format!("auth/{mount}/role/certroll"), &role);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let settings = [
        ("ROLE", "certroll".to_owned()),
        ("JWT_FILE", file.display().to_string()),
        ("AUTH_MOUNT", mount.clone()),
    ];
    let trouble = Trouble::quiet();
    let store = store(&server, &trouble, &settings);
    let current = async || match store.observe(&entry).await.state {
        StoreState::Known(holding) => Ok(holding.current),
        StoreState::Unreadable { reason } => Err(reason),
        StoreState::Absent => panic!("absent"),
    };
    for (subject, ends_in) in [("repo:somebody/else", 600), ("repo:contoso/infra", -300)] {
        let token = jwt(subject, ends_in).await;
        std::fs::write(&file, &token).unwrap();
        let reason = current().await.unwrap_err();
        assert!(reason.contains("signing in to the vault with jwt"), "{reason}");
        assert!(!reason.contains(token.split('.').next_back().unwrap()), "{reason}");
    }
    std::fs::write(&file, jwt("repo:contoso/infra", 600).await).unwrap();
    trouble.restart();
    assert_eq!(current().await, Ok(current_of(&first)));
    assert_eq!(sign_ins(&trouble), 1);
    // Somebody revokes the token; the file has a fresh one by then.
    server.done("PUT", &format!("sys/leases/revoke-prefix/auth/{mount}/login"), &json!({ "sync": true }));
    std::fs::write(&file, jwt("repo:contoso/infra", 900).await).unwrap();
    assert_eq!(current().await, Ok(current_of(&first)));
    assert_eq!(sign_ins(&trouble), 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Vault; .ci/run starts one"]
async fn p3_a_sign_in_that_a_real_vault_refuses_repeats_no_secret() {
    let server = Server::real();
    let mut settings = approle(&server, "default", 0);
    let entry = binding(&fresh_name(), Format::Pem);
    settings[1].1 = "0a1b2c3d-0000-4000-8000-000000000000".to_owned();
    let stranger = keys::self_signed("CN=x", Rotation::First.start(), 1, &keys::key(9)).await;
    let record = contract::staged(Rotation::First, &stranger.certificate);
    let refused =
        store(&server, &Trouble::quiet(), &settings).write_record(&entry, &record).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Unauthenticated, "{refused}");
    assert!(refused.hint.as_ref().unwrap().contains("connection vault"), "{refused:?}");
    assert!(!format!("{refused:?}").contains("0a1b2c3d"));
    // A token that is unknown is not a missing right.
    let unknown = [("TOKEN", "hvs.nobodys".to_owned())];
    let refused =
        store(&server, &Trouble::quiet(), &unknown).write_record(&entry, &record).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Unauthenticated, "{refused}");
    assert!(!format!("{refused:?}").contains("hvs.nobodys"));
    let told = store(&server, &Trouble::quiet(), &unknown).may_write(&entry).await;
    assert_eq!(told.unwrap_err().kind, StoreErrorKind::Unauthenticated, "what it may is not what is lacking");
}
