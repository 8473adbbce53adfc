//! certroll's own sign-in: the variables of Azure's tools, and each method against the login service.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use certroll::desired::SelectBy;
use certroll::desired::{Form, Format, Password, PfxProfile};
use certroll::emulator::{Change, Emulator};
use certroll::entra::sign_in::{CertificateSource, Method};
use certroll::entra::{
    DirectoryReader, ErrorKind, GraphClient, GraphSettings, OwnCredential, from_environment, observe,
};
use certroll::form::render;
use certroll::issuer::Issued;
use certroll::key::{Secret, SignatureAlgorithm};
use serde_json::json;
use uuid::Uuid;

use super::support::{TENANT, World, address, app, application_id, members, permissions};
use super::writing::{entry_for, pair};

const ID: &str = "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d";

fn read(variables: &[(&str, &str)]) -> Result<OwnCredential, certroll::entra::EntraError> {
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    from_environment(&variables)
}

#[test]
fn each_method_is_read_from_its_variables() {
    let found =
        read(&[("AZURE_TENANT_ID", "t.example"), ("AZURE_CLIENT_ID", ID), ("AZURE_CLIENT_SECRET", "s")]);
    let found = found.unwrap();
    assert_eq!((found.tenant.as_deref(), found.client_id.to_string().as_str()), (Some("t.example"), ID));
    assert!(matches!(&found.method, Method::Secret(secret) if secret.expose() == "s"));

    let file = [
        ("AZURE_CLIENT_ID", ID),
        ("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pfx"),
        ("AZURE_CLIENT_CERTIFICATE_PASSWORD", "p"),
    ];
    let Method::Certificate { from, password, .. } = read(&file).unwrap().method else { panic!() };
    assert!(matches!(from, CertificateSource::File(path) if path.as_os_str() == "/c.pfx"));
    assert_eq!(password.unwrap().expose(), "p");

    let federated = [("AZURE_CLIENT_ID", ID), ("AZURE_FEDERATED_TOKEN_FILE", "/t")];
    assert!(
        matches!(read(&federated).unwrap().method, Method::FederatedFile(path) if path.as_os_str() == "/t")
    );

    let arm = |name, value| read(&[("ARM_CLIENT_ID", ID), (name, value)]).unwrap().method;
    assert!(matches!(arm("ARM_CLIENT_SECRET", "s"), Method::Secret(_)));
    let inline = arm("ARM_CLIENT_CERTIFICATE", "MII=");
    assert!(matches!(inline, Method::Certificate { from: CertificateSource::Inline(_), .. }));
    let path = arm("ARM_CLIENT_CERTIFICATE_PATH", "/c.pfx");
    assert!(matches!(path, Method::Certificate { from: CertificateSource::File(_), .. }));

    let oidc = [("ARM_CLIENT_ID", ID), ("ARM_USE_OIDC", "true")];
    let token = read(&[oidc[0], oidc[1], ("ARM_OIDC_TOKEN", "a.b.c")]).unwrap().method;
    assert!(matches!(token, Method::FederatedToken(_)));
    let file = read(&[oidc[0], oidc[1], ("ARM_OIDC_TOKEN_FILE_PATH", "/t")]).unwrap().method;
    assert!(matches!(file, Method::FederatedFile(_)));
}

#[test]
fn azure_comes_before_arm_and_empty_counts_as_not_set() {
    let both = [
        ("AZURE_CLIENT_ID", ID),
        ("AZURE_CLIENT_SECRET", "a"),
        ("ARM_CLIENT_ID", "junk"),
        ("ARM_CLIENT_SECRET", "b"),
    ];
    assert_eq!(read(&both).unwrap().source, "AZURE_CLIENT_SECRET");
    let empty = [
        ("AZURE_CLIENT_ID", ID),
        ("AZURE_CLIENT_SECRET", " "),
        ("ARM_CLIENT_ID", ID),
        ("ARM_CLIENT_SECRET", "b"),
    ];
    assert_eq!(read(&empty).unwrap().source, "ARM_CLIENT_SECRET");
}

#[test]
fn half_set_and_contradictory_variables_are_named_and_no_value_is_shown() {
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let table: &[Row<'_>] = &[
        (&[], &["no sign-in variables"]),
        (&[("AZURE_CLIENT_ID", ID)], &["AZURE_CLIENT_ID is set, but no secret"]),
        (&[("AZURE_CLIENT_SECRET", "hunter2!")], &["AZURE_CLIENT_ID is not"]),
        (
            &[("AZURE_CLIENT_ID", "hunter2!"), ("AZURE_CLIENT_SECRET", "s")],
            &["AZURE_CLIENT_ID is not a GUID"],
        ),
        (
            &[("AZURE_CLIENT_ID", ID), ("AZURE_CLIENT_CERTIFICATE_PASSWORD", "hunter2!")],
            &["AZURE_CLIENT_CERTIFICATE_PATH is not"],
        ),
        (
            &[
                ("AZURE_CLIENT_ID", ID),
                ("AZURE_CLIENT_SECRET", "hunter2!"),
                ("AZURE_CLIENT_CERTIFICATE_PATH", "/c"),
            ],
            &["AZURE_CLIENT_SECRET and AZURE_CLIENT_CERTIFICATE_PATH"],
        ),
        (
            &[
                ("ARM_CLIENT_ID", ID),
                ("ARM_CLIENT_CERTIFICATE", "hunter2!"),
                ("ARM_CLIENT_CERTIFICATE_PATH", "/c"),
            ],
            &["ARM_CLIENT_CERTIFICATE and ARM_CLIENT_CERTIFICATE_PATH"],
        ),
        (&[("ARM_CLIENT_ID", ID), ("ARM_USE_OIDC", "true")], &["ARM_OIDC_TOKEN"]),
        (&[("ARM_CLIENT_ID", ID), ("ARM_OIDC_TOKEN", "hunter2!")], &["ARM_USE_OIDC is not true"]),
        (
            &[("ARM_CLIENT_ID", ID), ("ARM_USE_OIDC", "maybe"), ("ARM_OIDC_TOKEN", "hunter2!")],
            &["ARM_USE_OIDC"],
        ),
    ];
    for (variables, expected) in table {
        let error = read(variables).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Settings);
        let text = format!("{error} {error:?} {:?}", error.hint);
        assert!(expected.iter().all(|part| text.contains(part)), "{variables:?}: {text}");
        assert!(!text.contains("hunter2!"), "{text}");
    }
}

#[test]
fn a_credential_prints_no_secret() {
    let found = read(&[("AZURE_CLIENT_ID", ID), ("AZURE_CLIENT_SECRET", "hunter2!")]).unwrap();
    assert!(!format!("{found:?} {}", found.describe()).contains("hunter2!"));
}

/// Reads one application, signed in in that way.
async fn reads(world: &World, client_id: Uuid, method: Method) -> Result<(), certroll::entra::EntraError> {
    let (_, app_id) = world.application("read me");
    let own = OwnCredential { tenant: None, client_id, method, source: "the test".to_owned() };
    let client = GraphClient::new(world.line(), &TENANT.to_string(), own, world.settings.clone());
    let requests = [(address(0), app(SelectBy::AppId(app_id)))];
    observe(&DirectoryReader::new(Arc::new(client)), &requests, &[]).await.map(|_| ())
}

fn may_read(emulator: &Emulator, client_id: Uuid) {
    let permissions = permissions(&["Application.Read.All", "Policy.Read.All"]);
    emulator.change(TENANT, Change::Grant { client_id, permissions }).unwrap();
}

#[tokio::test]
async fn certificates_in_pem_and_pfx_sign_in() {
    certificates_sign_in(World::new()).await;
}

#[tokio::test]
async fn certificates_sign_in_with_rs256_where_that_is_set() {
    let mut world = World::new();
    world.settings.assertion = SignatureAlgorithm::Rs256;
    certificates_sign_in(world).await;
}

async fn certificates_sign_in(world: World) {
    let (object_id, client_id) = world.application("certroll itself");
    may_read(&world.emulator, client_id);
    let target = application_id(object_id);
    let (key, certificate) = pair(&world).await;
    let (_, new) = entry_for(&world, &target, &certificate);
    world.writer().replace_entries(target, &[new]).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let issued = Issued { certificate, chain: Vec::new() };
    let password = Secret::new("p4ss wörd".to_owned());
    for (format, given) in [(Format::Pem, None), (Format::Pfx, Some(&password))] {
        let form = Form {
            format,
            profile: PfxProfile::Modern2023,
            password: if given.is_some() { Password::Generate } else { Password::None },
        };
        let file = render(&form, &key, &issued, given, "own").unwrap().remove(0);
        let path = folder.path().join(&file.name);
        std::fs::write(&path, &*file.contents).unwrap();
        let from = CertificateSource::File(path);
        let method = Method::Certificate { from, password: given.cloned(), send_chain: false };
        reads(&world, client_id, method).await.unwrap();
        if given.is_some() {
            let from = CertificateSource::Inline(Secret::new(STANDARD.encode(&*file.contents)));
            let method =
                Method::Certificate { from: from.clone(), password: given.cloned(), send_chain: true };
            reads(&world, client_id, method).await.unwrap();
            let wrong = Some(Secret::new("hunter2!".to_owned()));
            let method = Method::Certificate { from, password: wrong, send_chain: false };
            let error = reads(&world, client_id, method).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Settings);
            assert!(!error.to_string().contains("hunter2!"));
        }
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let world = World::new();
    let method = Method::FederatedFile(PathBuf::from("/nowhere/token"));
    let error = reads(&world, Uuid::from_u128(1), method).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Settings);
    assert!(error.doing.contains("/nowhere/token"), "{error}");
}

#[tokio::test]
async fn a_federated_token_is_read_anew_each_time() {
    let world = World::new();
    let (object_id, client_id) = world.application("certroll itself");
    may_read(&world.emulator, client_id);
    let foreign = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let issuer = "https://token.actions.example";
    let keys = vec![STANDARD.encode(foreign.public_key().as_ref())];
    world.change(Change::TrustIssuer { issuer: issuer.to_owned(), keys });
    let audience = "api://AzureADTokenExchange";
    let credential =
        members(json!({ "name": "ci", "issuer": issuer, "subject": "repo:x", "audiences": [audience] }));
    world.change(Change::AddFederated { object: object_id, credential });

    let now = world.emulator.now().as_second();
    let header = URL_SAFE_NO_PAD.encode(json!({ "alg": "RS256", "typ": "JWT" }).to_string());
    let claims =
        json!({ "iss": issuer, "sub": "repo:x", "aud": audience, "iat": now, "nbf": now, "exp": now + 600 });
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut signature = vec![0; foreign.public_modulus_len()];
    let random = aws_lc_rs::rand::SystemRandom::new();
    foreign.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
    let token = format!("{signed}.{}\n", URL_SAFE_NO_PAD.encode(signature));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "not a token").unwrap();
    let error = reads(&world, client_id, Method::FederatedFile(path.clone())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Settings);
    std::fs::write(&path, &token).unwrap();
    reads(&world, client_id, Method::FederatedFile(path)).await.unwrap();
    reads(&world, client_id, Method::FederatedToken(Secret::new(token.trim().to_owned()))).await.unwrap();
}

#[tokio::test]
async fn a_wrong_secret_is_an_authentication_error_with_its_number_and_a_hint() {
    let world = World::new();
    let client_id = world.emulator.operator(TENANT).client_id;
    let error = reads(&world, client_id, Method::Secret(Secret::new("wrong".to_owned()))).await.unwrap_err();
    assert_eq!((error.kind, error.code()), (ErrorKind::Authentication, "AADSTS7000215"));
    assert!(error.hint.as_ref().unwrap().contains("not its id"));
    assert!(error.request_id.is_some());
}

#[tokio::test]
async fn a_credential_meant_for_another_tenant_is_not_shown_to_this_one() {
    let world = World::new();
    world.emulator.ensure_tenant(super::support::OTHER_TENANT, Some("fabrikam.example"));
    let meant = |tenant: &str| OwnCredential { tenant: Some(tenant.to_owned()), ..world.credential() };
    let client = |own| GraphClient::new(world.line(), &TENANT.to_string(), own, GraphSettings::default());
    for other in ["fabrikam.example", &super::support::OTHER_TENANT.to_string()] {
        let error = client(meant(other)).sign_in().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Settings);
        assert!(world.emulator.journal().iter().all(|entry| !entry.path.ends_with("/token")));
    }
    for same in ["contoso.example", &TENANT.to_string(), &TENANT.to_string().to_uppercase()] {
        client(meant(same)).sign_in().await.unwrap();
    }
}
