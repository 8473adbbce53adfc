//! The token endpoint.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use certroll::emulator::{Change, NewApplication, Settings};
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::*;

/// An application with the first identity's certificate on it.
fn with_certificate(directory: &Directory) -> Uuid {
    directory.application("orders-api", vec![new_entry(identity(0), "first")]).1
}

#[test]
fn a_certificate_signs_in_with_ps256_and_with_rs256() {
    let directory = Directory::new();
    let client = with_certificate(&directory);
    let (header, claims) = assertion_parts(identity(0), client, start());
    let got = sign_in(&directory.emulator, client, &sign(identity(0), &header, &claims));
    assert_eq!(got.status, 200, "{}", got.text);
    assert_eq!(got.body["token_type"], "Bearer");
    assert_eq!(got.body["expires_in"], 3599);
    let names: Vec<&String> = got.body.as_object().unwrap().keys().collect();
    assert_eq!(names, ["token_type", "expires_in", "ext_expires_in", "access_token"]);

    let header = json!({"alg": "RS256", "typ": "JWT", "x5t": URL_SAFE_NO_PAD.encode(identity(0).sha1())});
    assert_eq!(sign_in(&directory.emulator, client, &sign(identity(0), &header, &claims)).status, 200);
}

#[test]
fn a_token_lasts_an_hour_or_as_long_as_is_set() {
    for (settings, seconds) in
        [(Settings::default(), 3600), (Settings { token_lifetime_seconds: 300, ..Settings::default() }, 300)]
    {
        let emulator = certroll::emulator::Emulator::in_memory(start(), 7);
        emulator.set_settings(settings);
        let directory = Directory::over(emulator);
        let client = with_certificate(&directory);
        let got = sign_in_as(&directory.emulator, identity(0), client);
        assert_eq!(got.body["expires_in"], seconds - 1);
        directory.emulator.advance(jiff::SignedDuration::from_secs(seconds - 5));
        assert_eq!(directory.get("/v1.0/applications").status, 200);
        directory.emulator.advance(jiff::SignedDuration::from_secs(600));
        let got = directory.get("/v1.0/applications");
        assert_eq!((got.status, got.code()), (401, "InvalidAuthenticationToken"));
    }
}

#[test]
fn an_unregistered_key_is_700027_with_its_thumbprint() {
    let directory = Directory::new();
    let client = with_certificate(&directory);
    let got = sign_in_as(&directory.emulator, identity(1), client);
    assert_eq!((got.status, got.body["error"].as_str()), (401, Some("invalid_client")));
    assert_eq!(got.aadsts(), 700_027);
    let text = got.body["error_description"].as_str().unwrap();
    let hex: String = identity(1).sha256().iter().map(|byte| format!("{byte:02X}")).collect();
    assert!(text.starts_with("AADSTS700027: The certificate with identifier used to sign the client assertion is not registered on application. [Reason - The key was not found., Thumbprint of key used by client: '"), "{text}");
    assert!(text.contains(&hex), "{text}");
    assert!(text.contains(" Trace ID: ") && text.ends_with("Timestamp: 2026-03-01 00:00:00Z"), "{text}");
}

#[test]
fn without_a_thumbprint_the_text_leaves_it_out() {
    let directory = Directory::new();
    let client = with_certificate(&directory);
    let (_, claims) = assertion_parts(identity(0), client, start());
    let got = sign_in(&directory.emulator, client, &sign(identity(0), &json!({"alg": "RS256"}), &claims));
    assert_eq!(got.aadsts(), 700_027);
    assert!(!got.body["error_description"].as_str().unwrap().contains("Thumbprint of key used"));
}

#[test]
fn a_wrong_signature_is_told_from_an_unknown_key() {
    let directory = Directory::new();
    let client = with_certificate(&directory);
    // Named as the registered one, signed by another.
    let (header, claims) = assertion_parts(identity(0), client, start());
    let got = sign_in(&directory.emulator, client, &sign(identity(1), &header, &claims));
    assert_eq!(got.aadsts(), 700_027);
    assert!(
        got.body["error_description"]
            .as_str()
            .unwrap()
            .contains("[Reason - The provided signature value did not match the expected signature value.")
    );
}

#[test]
fn the_dates_of_the_credential_count_not_only_those_of_the_certificate() {
    let directory = Directory::new();
    let mut entry = new_entry(identity(0), "first");
    entry["startDateTime"] = json!("2026-03-02T00:00:00Z");
    entry["endDateTime"] = json!("2026-04-01T00:00:00Z");
    let client = directory.application("orders-api", vec![entry]).1;
    let reason = |got: &Got| got.body["error_description"].as_str().unwrap_or_default().to_owned();
    let early = sign_in_as(&directory.emulator, identity(0), client);
    assert!(
        reason(&early).contains("is expired on application. [Reason - The key used is expired."),
        "{}",
        early.text
    );
    assert!(
        reason(&early).contains("Found key 'Start=03/02/2026 00:00:00, End=04/01/2026 00:00:00'"),
        "{}",
        early.text
    );
    directory.emulator.advance(days(2));
    assert_eq!(sign_in_as(&directory.emulator, identity(0), client).status, 200);
    directory.emulator.advance(days(60));
    assert_eq!(sign_in_as(&directory.emulator, identity(0), client).aadsts(), 700_027);
}

#[test]
fn the_claims_of_an_assertion_are_checked() {
    let directory = Directory::new();
    let client = with_certificate(&directory);
    let now = start().as_second();
    let cases: &[(&str, Value, u64)] = &[
        ("aud", json!("https://elsewhere.example/token"), 700_023),
        ("iss", json!(Uuid::from_u128(1).to_string()), 700_021),
        ("sub", json!(Uuid::from_u128(1).to_string()), 700_021),
        ("exp", json!(now - 1), 700_024),
        ("nbf", json!(now + 60), 700_024),
        ("exp", Value::Null, 700_024),
    ];
    for (claim, value, number) in cases {
        let (header, mut claims) = assertion_parts(identity(0), client, start());
        claims[*claim] = value.clone();
        let got = sign_in(&directory.emulator, client, &sign(identity(0), &header, &claims));
        assert_eq!((got.status, got.aadsts()), (401, *number), "{claim} = {value}: {}", got.text);
    }
    let (mut header, claims) = assertion_parts(identity(0), client, start());
    header["alg"] = json!("ES256");
    assert_eq!(
        sign_in(&directory.emulator, client, &sign(identity(0), &header, &claims)).aadsts(),
        5_002_738
    );
    assert_eq!(sign_in(&directory.emulator, client, "not.a.jwt").aadsts(), 50_027);
}

#[test]
fn the_text_of_700024_gives_all_three_times_and_takes_a_missing_start_as_1970() {
    let directory = Directory::new();
    let client = with_certificate(&directory);
    let (header, mut claims) = assertion_parts(identity(0), client, start());
    claims.as_object_mut().unwrap().remove("nbf");
    claims["exp"] = json!(start().as_second() - 10);
    let got = sign_in(&directory.emulator, client, &sign(identity(0), &header, &claims));
    let text = got.body["error_description"].as_str().unwrap();
    assert!(text.contains("Current time: 2026-03-01T00:00:00.0000000Z, assertion valid from 1970-01-01T00:00:00.0000000Z, expiry time of assertion 2026-02-28T23:59:50.0000000Z."), "{text}");
}

#[test]
fn odd_assertions_are_accepted_unless_the_switch_says_otherwise() {
    let directory = Directory::new();
    let client = with_certificate(&directory);
    let now = start().as_second();
    let sha1 = identity(0).sha1();
    let hex: String = sha1.iter().map(|byte| format!("{byte:02x}")).collect();
    let rs256 = |name: &str, value: String| json!({"alg": "RS256", "typ": "JWT", name: value});
    let ordinary = || assertion_parts(identity(0), client, start());
    let with_times = |nbf: Value, exp: Value| {
        let (header, mut claims) = ordinary();
        claims["nbf"] = nbf;
        claims["exp"] = exp;
        (header, claims)
    };
    let mut x5c = ordinary();
    x5c.0["x5c"] = json!(identity(0).base64());
    let odd = [
        ("padded x5t", (rs256("x5t", URL_SAFE.encode(&sha1)), ordinary().1)),
        ("kid in base64", (rs256("kid", URL_SAFE.encode(&sha1)), ordinary().1)),
        ("kid in hexadecimal", (rs256("kid", hex), ordinary().1)),
        ("times as floats", with_times(json!(now as f64 - 0.5), json!(now as f64 + 599.25))),
        ("times as strings", with_times(json!(now.to_string()), json!((now + 600).to_string()))),
        ("x5c as one string", x5c),
    ];
    for (name, (header, claims)) in &odd {
        let got = sign_in(&directory.emulator, client, &sign(identity(0), header, claims));
        assert_eq!(got.status, 200, "{name}: {}", got.text);
    }
    directory.emulator.set_settings(Settings { refuse_odd_assertions: true, ..Settings::default() });
    for (name, (header, claims)) in &odd {
        let got = sign_in(&directory.emulator, client, &sign(identity(0), header, claims));
        assert_eq!((got.status, got.aadsts()), (401, 50_027), "{name}");
    }
    assert_eq!(sign_in_as(&directory.emulator, identity(0), client).status, 200);
}

#[test]
fn secrets_are_checked_with_the_recorded_texts() {
    let directory = Directory::new();
    let secrets = vec![
        json!({"secretText": "right", "keyId": Uuid::from_u128(5).to_string()}),
        json!({"secretText": "old", "endDateTime": "2026-01-01T00:00:00Z", "keyId": Uuid::from_u128(6).to_string()}),
    ];
    let new = NewApplication { password_credentials: secrets, ..Default::default() };
    let client = directory.emulator.create_application(TENANT, new).unwrap().1.to_string();
    let ask = |secret: &str| {
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", &client),
            ("client_secret", secret),
            ("scope", GRAPH),
        ];
        token_request(&directory.emulator, "contoso.example", &fields)
    };
    assert_eq!(ask("right").status, 200);
    let wrong = ask("wrong");
    assert_eq!((wrong.status, wrong.aadsts()), (401, 7_000_215));
    assert!(wrong.body["error_uri"].as_str().unwrap().ends_with("/error?code=7000215"));
    assert!(wrong.body["error_description"].as_str().unwrap().starts_with(&format!("AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client}'. Trace ID: ")));
    let old = ask("old");
    assert_eq!((old.status, old.aadsts()), (401, 7_000_222));
    assert!(old.body.get("error_uri").is_none());
}

#[test]
fn basic_authorization_carries_the_secret_too() {
    let directory = Directory::new();
    let operator = directory.emulator.operator(TENANT);
    let basic = STANDARD.encode(format!("{}:{}", operator.client_id, operator.client_secret));
    let request = http::Request::builder()
        .method("POST")
        .uri(format!("{BASE}/{TENANT}/oauth2/v2.0/token"))
        .header("Authorization", format!("Basic {basic}"))
        .body(format!("grant_type=client_credentials&scope={GRAPH}").into_bytes())
        .unwrap();
    assert_eq!(answer(&directory.emulator, &request).unwrap().status, 200);
}

#[test]
fn who_and_what_for_is_checked_in_the_recorded_words() {
    let directory = Directory::new();
    let operator = directory.emulator.operator(TENANT);
    let client = operator.client_id.to_string();
    let lonely = NewApplication { without_service_principal: true, ..Default::default() };
    let lonely = directory.emulator.create_application(TENANT, lonely).unwrap().1.to_string();
    let tenant = TENANT.to_string();
    let nobody = Uuid::from_u128(9).to_string();
    let nil = Uuid::nil().to_string();
    let secret = operator.client_secret.as_str();
    let cases: &[(&str, &str, &str, &str, u16, &str, u64)] = &[
        ("nowhere.example", &client, "client_credentials", GRAPH, 400, "invalid_request", 90_002),
        ("nowhere", &client, "client_credentials", GRAPH, 400, "invalid_request", 900_023),
        (&tenant, &nobody, "client_credentials", GRAPH, 400, "unauthorized_client", 700_016),
        (&tenant, &nil, "client_credentials", GRAPH, 400, "unauthorized_client", 700_038),
        (&tenant, &lonely, "client_credentials", GRAPH, 401, "invalid_client", 7_000_229),
        (&tenant, &client, "password", GRAPH, 400, "unsupported_grant_type", 70_003),
        (
            &tenant,
            &client,
            "client_credentials",
            "https://nobody.example/.default",
            400,
            "invalid_resource",
            500_011,
        ),
        (&tenant, &client, "client_credentials", "User.Read", 400, "invalid_scope", 1_002_012),
    ];
    for (tenant, client, grant, scope, status, error, number) in cases {
        let fields =
            [("grant_type", *grant), ("client_id", *client), ("client_secret", secret), ("scope", *scope)];
        let got = token_request(&directory.emulator, tenant, &fields);
        assert_eq!(
            (got.status, got.body["error"].as_str().unwrap(), got.aadsts()),
            (*status, *error, *number),
            "{}",
            got.text
        );
    }
    let got = token_request(
        &directory.emulator,
        &tenant,
        &[("grant_type", "client_credentials"), ("client_id", &client), ("scope", GRAPH)],
    );
    assert_eq!((got.status, got.aadsts()), (401, 7_000_218));
}

#[test]
fn a_disabled_application_and_a_blocking_policy_give_no_token() {
    let directory = Directory::new();
    let client = with_certificate(&directory);
    let set = |name: &str, value: Value| Change::Set {
        object: client,
        kind: None,
        properties: [(name.to_owned(), value)].into_iter().collect(),
    };
    directory.emulator.change(TENANT, set("isDisabled", json!(true))).unwrap();
    assert_eq!(sign_in_as(&directory.emulator, identity(0), client).aadsts(), 7_000_112);
    directory.emulator.change(TENANT, set("isDisabled", json!(false))).unwrap();
    directory.emulator.change(TENANT, Change::ConditionalAccess { blocks: true }).unwrap();
    let got = sign_in_as(&directory.emulator, identity(0), client);
    assert_eq!(got.aadsts(), 53_003);
    assert!(got.body["claims"].is_string());
}

#[test]
fn a_certificate_on_the_service_principal_signs_in_too() {
    let directory = Directory::new();
    let client = directory.application("orders-api", vec![]).1;
    let path = format!("/v1.0/servicePrincipals(appId='{client}')");
    let got = directory.patch(&path, json!({"keyCredentials": [new_entry(identity(0), "on the principal")]}));
    assert_eq!(got.status, 204, "{}", got.text);
    assert_eq!(sign_in_as(&directory.emulator, identity(0), client).status, 200);
    let application = directory.get(&format!("/v1.0/applications(appId='{client}')"));
    assert_eq!(application.body["keyCredentials"], json!([]));
}

#[test]
fn the_tail_of_an_error_has_both_forms() {
    let directory = Directory::new();
    directory.emulator.set_settings(Settings { crlf_error_tail: true, ..Settings::default() });
    let client = with_certificate(&directory);
    let got = sign_in_as(&directory.emulator, identity(1), client);
    assert!(got.body["error_description"].as_str().unwrap().contains("\r\nTrace ID: "));
}

#[test]
fn a_foreign_token_signs_in_when_issuer_subject_and_audience_are_trusted() {
    let directory = Directory::new();
    let client = directory.application("ci", vec![]).1;
    let issuer = "https://token.actions.example";
    let claims = json!({"iss": issuer, "sub": "repo:contoso/infra:ref:refs/heads/main", "aud": "api://AzureADTokenExchange",
        "exp": start().as_second() + 300, "nbf": start().as_second()});
    let token = sign(identity(2), &json!({"alg": "RS256", "kid": "1"}), &claims);
    assert_eq!(sign_in(&directory.emulator, client, &token).aadsts(), 70_021);
    let credential = json!({"issuer": issuer, "subject": "repo:contoso/infra:ref:refs/heads/main", "audiences": ["api://AzureADTokenExchange"]});
    let credential = credential.as_object().unwrap().clone();
    directory.emulator.change(TENANT, Change::AddFederated { object: client, credential }).unwrap();
    assert_eq!(sign_in(&directory.emulator, client, &token).aadsts(), 50_013);
    let keys = vec![STANDARD.encode(identity(2).public_key())];
    directory.emulator.change(TENANT, Change::TrustIssuer { issuer: issuer.to_owned(), keys }).unwrap();
    assert_eq!(sign_in(&directory.emulator, client, &token).status, 200);
}

#[test]
fn tokens_are_checked_for_audience_and_age() {
    let mut directory = Directory::new();
    let operator = directory.emulator.operator(TENANT);
    let path = "/v1.0/applications";
    assert_eq!(directory.get(path).status, 200);
    directory.emulator.advance(days(1));
    let expired = directory.get(path);
    assert_eq!((expired.status, expired.code()), (401, "InvalidAuthenticationToken"));
    let client = operator.client_id.to_string();
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", client.as_str()),
        ("client_secret", operator.client_secret.as_str()),
        ("scope", "https://vault.azure.net/.default"),
    ];
    let got = token_request(&directory.emulator, &TENANT.to_string(), &fields);
    directory.token = got.body["access_token"].as_str().unwrap().to_owned();
    assert_eq!(directory.get(path).message(), "Access token validation failure. Invalid audience.");
    directory.token = "made.up.token".to_owned();
    assert_eq!(directory.get(path).status, 401);
}

#[test]
fn discovery_names_the_host_it_was_asked_for() {
    let directory = Directory::new();
    let got = directory.get(&format!("/{TENANT}/v2.0/.well-known/openid-configuration"));
    assert_eq!(got.body["token_endpoint"], format!("{BASE}/{TENANT}/oauth2/v2.0/token"));
    assert_eq!(got.body["issuer"], format!("{BASE}/{TENANT}/v2.0"));
    let got = directory.get(&format!("/common/discovery/instance?api-version=1.1&authorization_endpoint=https%3A%2F%2Flocalhost%2F{TENANT}%2Foauth2%2Fv2.0%2Fauthorize"));
    assert_eq!(
        got.body["tenant_discovery_endpoint"],
        format!("{BASE}/{TENANT}/v2.0/.well-known/openid-configuration")
    );
    assert!(directory.get("/metadata/endpoints?api-version=2019-05-01").body.is_array());
    assert_eq!(
        directory.get("/metadata/endpoints?api-version=2022-09-01").body["microsoftGraphResourceId"],
        BASE
    );
    assert_eq!(directory.get("/subscriptions?api-version=2022-12-01").body, json!({"value": []}));
}

#[test]
fn managed_identities_get_tokens_in_both_forms() {
    let directory = Directory::new();
    let properties = json!({"servicePrincipalType": "ManagedIdentity"}).as_object().unwrap().clone();
    let new = certroll::emulator::NewServicePrincipal {
        display_name: "vm".into(),
        properties,
        ..Default::default()
    };
    directory.emulator.create_service_principal(TENANT, new).unwrap();
    let path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fgraph.microsoft.com%2F";
    assert_eq!(directory.get(path).body["error"], "bad_request_102");
    let got = directory.send("GET", path, &[("Metadata", "true")], None).unwrap();
    // Numbers are strings here.
    assert_eq!(got.body["expires_in"], "3600");
    assert!(got.body["expires_on"].is_string() && got.body["access_token"].is_string());
    let path = "/msi/token?api-version=2019-08-01&resource=https://graph.microsoft.com";
    assert_eq!(directory.get(path).status, 401);
    let header = [("X-IDENTITY-HEADER", "emulator-identity-header")];
    assert_eq!(directory.send("GET", path, &header, None).unwrap().status, 200);
}

#[test]
fn the_device_code_is_handed_out_and_stays_pending() {
    let directory = Directory::new();
    let request = http::Request::builder()
        .method("POST")
        .uri(format!("{BASE}/{TENANT}/oauth2/v2.0/devicecode"))
        .body(b"client_id=04b07795-8ddb-461a-bbee-02f9e1bf7b46&scope=openid".to_vec())
        .unwrap();
    let got = answer(&directory.emulator, &request).unwrap();
    assert!(got.body["user_code"].is_string() && got.body["message"].is_string());
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", "x"),
        ("device_code", "y"),
    ];
    assert_eq!(
        token_request(&directory.emulator, &TENANT.to_string(), &fields).body["error"],
        "authorization_pending"
    );
}
