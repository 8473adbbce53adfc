//! The PKI engine of a real Vault as issuer.

use certroll::issuer::vault_pki::VaultPki;
use certroll::issuer::{IssueError, Issued, Issuer, SubjectKey};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::real::{fresh_name, story_at};
use super::{Server, set};
use crate::support::keys;
use crate::support::kv2::look;
use crate::support::trouble::Trouble;
use crate::tools::read_vault;

const A_YEAR_AND_A_DAY: &str = "8784h";

/// A root and an intermediate CA below it, which the named roles sign with. Returns the mount of the intermediate.
fn authority(server: &Server, roles: &[(&str, Value)]) -> String {
    let mount = fresh_name().replace('/', "-");
    let root = format!("{mount}-root");
    for engine in [&root, &mount] {
        let config = json!({ "max_lease_ttl": "43800h" });
        server.done("POST", &format!("sys/mounts/{engine}"), &json!({ "type": "pki", "config": config }));
    }
    let name = |name: &str| json!({ "common_name": name, "ttl": "43800h", "format": "pem_bundle" });
    server.done("POST", &format!("{root}/root/generate/internal"), &name("Test root"));
    let csr =
        server.done("POST", &format!("{mount}/intermediate/generate/internal"), &name("Test intermediate"));
    let wanted = json!({ "csr": csr["csr"], "ttl": "26280h", "format": "pem_bundle" });
    let signed = server.done("POST", &format!("{root}/root/sign-intermediate"), &wanted);
    let bundle =
        format!("{}\n{}", signed["certificate"].as_str().unwrap(), signed["issuing_ca"].as_str().unwrap());
    server.done("POST", &format!("{mount}/intermediate/set-signed"), &json!({ "certificate": bundle }));
    for (role, settings) in roles {
        server.done("POST", &format!("{mount}/roles/{role}"), settings);
    }
    mount
}

fn any_name(max_ttl: &str) -> Value {
    json!({ "allow_any_name": true, "enforce_hostnames": false, "max_ttl": max_ttl })
}

async fn sign(server: &Server, mount: &str, role: &str, subject: &str) -> Result<Issued, IssueError> {
    let vault = server.vault(&Trouble::quiet(), server.auth());
    let request = keys::request(subject, Timestamp::now(), 1);
    VaultPki::new(vault, mount, role, None, None).issue(&request, SubjectKey::Local(&keys::key(4))).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Vault; .ci/run starts one"]
async fn a_real_pki_engine_signs_and_what_it_changed_is_noticed() {
    let server = Server::real();
    let named = json!({ "allowed_domains": ["contoso.com"], "max_ttl": A_YEAR_AND_A_DAY });
    let roles = [("entra", any_name(A_YEAR_AND_A_DAY)), ("month", any_name("720h")), ("named", named)];
    let mount = authority(&server, &roles);
    let subject = "CN=CloudM Continuity";
    let issued = sign(&server, &mount, "entra", subject).await.unwrap();
    assert!(issued.certificate.matches_key(&keys::key(4)));
    assert_eq!(issued.certificate.subject, subject);
    let chain: Vec<&str> = issued.chain.iter().map(|above| above.subject.as_str()).collect();
    assert_eq!(chain, ["CN=Test intermediate"], "up to but not including the root");

    let refused = |error: IssueError| error.to_string();
    let short = refused(sign(&server, &mount, "month", subject).await.unwrap_err());
    assert!(short.contains("the CA lets it end on"), "the role's limit was not noticed: {short}");
    // The role fills in the rest of the subject: nothing here.
    let other = refused(sign(&server, &mount, "entra", "CN=CloudM Continuity,O=Contoso").await.unwrap_err());
    assert!(other.contains("the CA named it CN=CloudM Continuity instead of"), "{other}");
    let not_allowed = refused(sign(&server, &mount, "named", subject).await.unwrap_err());
    assert!(not_allowed.contains("common name CloudM Continuity not allowed by this role"), "{not_allowed}");
    let no_role = refused(sign(&server, &mount, "nobody", subject).await.unwrap_err());
    assert!(no_role.contains("unknown role: nobody"), "{no_role}");
}

#[test]
#[ignore = "needs a real Vault; .ci/run starts one"]
fn a_whole_life_with_keys_and_ca_in_a_real_vault() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mount = runtime.block_on(async {
        tokio::spawn(async { authority(&Server::real(), &[("entra", any_name(A_YEAR_AND_A_DAY))]) })
            .await
            .unwrap()
    });
    let name = fresh_name();
    let issuer = format!("    issuer: {{ kind: vault_pki, mount: {mount}, role: entra }}\n");
    let mut story = story_at(&name, &issuer);
    let (address, token) = (set("CERTROLL_TEST_VAULT_ADDR"), set("CERTROLL_TEST_VAULT_TOKEN"));
    story.tell_line("app billing");
    let held = || look(&address, &token, &name).lines().next().unwrap().to_owned();
    // Three, because the key of the last retired generation is kept; at one moment, because the CA has a clock of its own.
    let mut seen = Vec::new();
    for replace in ["", " --replace contoso/billing=T1", " --replace contoso/billing=T2"] {
        story.tell_line(&format!("certroll apply --emulator --auto-approve{replace}"));
        seen.push(read_vault(&address, &token, &name)["thumbprint"].clone());
    }
    assert_eq!(held(), "version 3, held: 1 2 3");
    story.tell_line("certroll emulator clock +15d");
    story.tell_line("certroll apply --emulator --auto-approve");
    story.tell_line("certroll verify");
    seen.sort_by_key(Value::to_string);
    seen.dedup();
    let (held, found) = (held(), read_vault(&address, &token, &name));
    let told = story.tell("");
    assert_eq!(seen.len(), 3, "{told}");
    assert_eq!(told.matches("rotated, proven: 3 sign-ins in a row").count(), 3, "{told}");
    assert_eq!(told.matches("… retired").count(), 2, "{told}");
    assert!(told.contains("1 verified"), "{told}");
    assert!(!told.contains("exit "), "{told}");
    assert_eq!(held, "version 3, held: 2 3", "{told}");
    assert_eq!(found["chain"], json!(["CN=Test intermediate"]));
}
