//! Writing `keyCredentials`: what is retained, what is new, and the actions beside PATCH.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use certroll::emulator::{Change, CustomKeyIdentifier, NewServicePrincipal, Settings};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::world::*;

/// An application with an entry whose dates have seven fractional digits, as the service sets them.
fn with_foreign(directory: &Directory) -> Uuid {
    let id = directory.application("orders-api", vec![]).0;
    let change = Change::AddForeignCredential { object: id, kind: None, display_name: None };
    directory.emulator.change(TENANT, change).unwrap();
    id
}

fn detail(got: &Got) -> &str {
    got.body["error"]["details"][0]["code"].as_str().unwrap_or("")
}

fn settings(directory: &Directory, change: impl FnOnce(&mut Settings)) {
    let mut settings = directory.emulator.settings();
    change(&mut settings);
    directory.emulator.set_settings(settings);
}

fn with(mut entry: Value, member: &str, value: Value) -> Value {
    entry[member] = value;
    entry
}

#[test]
fn the_array_replaces_the_whole_collection() {
    let directory = Directory::new();
    let id = with_foreign(&directory);
    let mut entries = directory.entries(id);
    entries.push(new_entry(identity(0), "second"));
    let got = directory.write_keys(id, entries.clone());
    assert_eq!((got.status, got.text.as_str()), (204, ""));
    assert_eq!(directory.entries(id).len(), 2);
    let got = directory.write_keys(id, vec![directory.entries(id)[1].clone()]);
    assert_eq!(got.status, 204, "{}", got.text);
    assert_eq!(directory.entries(id)[0]["displayName"], "second");
    // A body that leaves the collection out leaves it alone; an empty array empties it.
    assert_eq!(directory.patch(&format!("/v1.0/applications/{id}"), json!({"notes": "x"})).status, 204);
    assert_eq!(directory.entries(id).len(), 1);
    assert_eq!(directory.write_keys(id, vec![]).status, 204);
    assert_eq!(directory.entries(id).len(), 0);
}

#[test]
fn a_new_entry_reads_back_with_the_sha1_thumbprint_and_no_certificate() {
    let directory = Directory::new();
    let id = directory.application("orders-api", vec![]).0;
    assert_eq!(directory.write_keys(id, vec![new_entry(identity(0), "first")]).status, 204);
    let entry = directory.entries(id)[0].clone();
    assert_eq!(entry["customKeyIdentifier"], STANDARD.encode(identity(0).sha1()));
    assert_eq!(entry["key"], Value::Null);
    assert_eq!(entry["keyId"], new_entry(identity(0), "first")["keyId"]);
    assert_eq!(entry["startDateTime"], "2026-02-28T12:00:00Z");
    let selected = directory.get(&format!("/v1.0/applications/{id}?$select=id,keyCredentials"));
    assert_eq!(selected.body["keyCredentials"][0]["key"], identity(0).base64());
    assert_eq!(
        selected.body["@odata.context"],
        format!("{BASE}/v1.0/$metadata#applications(id,keyCredentials)/$entity")
    );
}

#[test]
fn the_identifier_the_service_fills_in_has_all_three_shapes() {
    let directory = Directory::new();
    let hex: String = identity(0).sha1().iter().map(|byte| format!("{byte:02X}")).collect();
    let shapes = [
        (CustomKeyIdentifier::Sha1, STANDARD.encode(identity(0).sha1())),
        (CustomKeyIdentifier::HexLiteral, hex.clone()),
        (CustomKeyIdentifier::HexAscii, STANDARD.encode(hex.as_bytes())),
    ];
    for (shape, expected) in shapes {
        settings(&directory, |settings| settings.custom_key_identifier = shape);
        let id = directory.application("orders-api", vec![]).0;
        assert_eq!(directory.write_keys(id, vec![new_entry(identity(0), "first")]).status, 204);
        assert_eq!(directory.entries(id)[0]["customKeyIdentifier"], expected);
    }
}

#[test]
fn a_retained_entry_with_its_certificate_is_refused_unless_the_switch_allows_it() {
    let directory = Directory::new();
    let id = with_foreign(&directory);
    let selected = directory.get(&format!("/v1.0/applications/{id}?$select=keyCredentials"));
    let entries = selected.body["keyCredentials"].as_array().unwrap().clone();
    let got = directory.write_keys(id, entries.clone());
    let key_id = entries[0]["keyId"].as_str().unwrap();
    assert_eq!((got.status, got.code(), detail(&got)), (400, "Request_BadRequest", "KeyValueMustBeNull"));
    assert_eq!(
        got.message(),
        format!("Existing credential with KeyId '{key_id}' must be sent back with null value.")
    );
    settings(&directory, |settings| settings.accept_resent_key = true);
    assert_eq!(directory.write_keys(id, entries).status, 204);
}

#[test]
fn a_retained_entry_that_differs_in_any_character_is_refused() {
    let directory = Directory::new();
    let id = with_foreign(&directory);
    let entry = directory.entries(id)[0].clone();
    let start = entry["startDateTime"].as_str().unwrap();
    assert!(start.ends_with(".2742618Z"), "{start}");
    let without = |member: &str| {
        let mut entry = entry.as_object().unwrap().clone();
        entry.remove(member);
        Value::Object(entry)
    };
    let changed = [
        with(entry.clone(), "startDateTime", json!(start.replace("2742618Z", "274262Z"))),
        with(entry.clone(), "startDateTime", json!(start.replace("Z", "+00:00"))),
        with(entry.clone(), "displayName", json!("renamed")),
        with(entry.clone(), "usage", json!("verify")),
        with(entry.clone(), "customKeyIdentifier", Value::Null),
        without("customKeyIdentifier"),
        without("endDateTime"),
    ];
    for entry in changed {
        let got = directory.write_keys(id, vec![entry.clone()]);
        assert_eq!((got.status, detail(&got)), (400, "KeyNotUpdatable"), "{entry}");
        assert_eq!(
            got.message(),
            format!(
                "Update to existing credential with KeyId '{}' is not allowed.",
                entry["keyId"].as_str().unwrap()
            )
        );
    }
    // `key` may be null or absent.
    assert_eq!(directory.write_keys(id, vec![without("key")]).status, 204);
}

#[test]
fn the_lenient_switch_accepts_what_typed_clients_send_back() {
    let directory = Directory::new();
    let id = with_foreign(&directory);
    settings(&directory, |settings| settings.accept_retyped_entries = true);
    let mut entry = directory.entries(id)[0].clone();
    let exact = entry["startDateTime"].as_str().unwrap().to_owned();
    entry["startDateTime"] = json!(exact.replace("2742618Z", "274261+00:00"));
    entry.as_object_mut().unwrap().remove("key");
    assert_eq!(directory.write_keys(id, vec![entry.clone()]).status, 204);
    // What is stored has not changed.
    assert_eq!(directory.entries(id)[0]["startDateTime"], exact);
    entry["displayName"] = json!("renamed");
    assert_eq!(directory.write_keys(id, vec![entry]).status, 400);
}

#[test]
fn an_undocumented_member_of_an_entry_must_come_back_too() {
    let directory = Directory::new();
    settings(&directory, |settings| settings.extra_entry_fields = true);
    let id = directory.application("orders-api", vec![]).0;
    assert_eq!(directory.write_keys(id, vec![new_entry(identity(0), "first")]).status, 204);
    let entry = directory.entries(id)[0].clone();
    assert_eq!(directory.write_keys(id, vec![entry.clone()]).status, 204);
    let known: Map<String, Value> = entry
        .as_object()
        .unwrap()
        .clone()
        .into_iter()
        .filter(|(name, _)| name != "emulatorEntryExtension")
        .collect();
    assert_eq!(directory.write_keys(id, vec![Value::Object(known)]).status, 400);
}

#[test]
fn expired_entries_may_be_resent_unless_the_switch_forbids_it() {
    let directory = Directory::new();
    let id = directory.application("orders-api", vec![new_entry(identity(0), "first")]).0;
    directory.emulator.advance(days(400));
    let operator = directory.emulator.operator(TENANT);
    let token = token_for(&directory.emulator, operator.client_id, &operator.client_secret);
    let directory = Directory { token, ..directory };
    let entries = directory.entries(id);
    assert_eq!(directory.write_keys(id, entries.clone()).status, 204);
    settings(&directory, |settings| settings.refuse_expired_resent = true);
    let got = directory.write_keys(id, entries);
    assert_eq!((got.status, got.code()), (400, "KeyCredentialsInvalidEndDate"));
}

#[test]
fn the_dates_of_a_new_entry_are_checked_against_certificate_and_switches() {
    let directory = Directory::new();
    let id = directory.application("orders-api", vec![]).0;
    let try_dates = |start: &str, end: &str| {
        let entry = with(new_entry(identity(0), "first"), "startDateTime", json!(start));
        let got = directory.write_keys(id, vec![with(entry, "endDateTime", json!(end))]);
        directory.write_keys(id, vec![]);
        (got.status, got.code().to_owned())
    };
    let ok = (204, String::new());
    let end_wrong = (400, "KeyCredentialsInvalidEndDate".to_owned());
    let start_wrong = (400, "KeyCredentialsInvalidStartDate".to_owned());
    let (before, past, soon) = ("2026-01-15T00:00:00Z", "2026-02-15T00:00:00Z", "2026-03-02T00:00:00Z");
    let (good, edge, after) = ("2027-01-31T00:00:00Z", "2027-02-01T00:00:00Z", "2027-02-01T00:00:01Z");
    assert_eq!(try_dates(past, good), ok);
    assert_eq!(try_dates(past, edge), ok);
    assert_eq!(try_dates(past, after), end_wrong);
    assert_eq!(try_dates(past, "2026-02-20T00:00:00Z"), end_wrong);
    assert_eq!(try_dates(before, good), start_wrong);
    settings(&directory, |settings| settings.accept_start_before_certificate = true);
    assert_eq!(try_dates(before, good), ok);
    settings(&directory, |settings| settings.refuse_over_one_year = true);
    assert_eq!(try_dates(before, good), end_wrong);
    assert_eq!(try_dates(past, good), ok);
    settings(&directory, |settings| settings.refuse_past_start = true);
    assert_eq!(try_dates(past, good), start_wrong);
    assert_eq!(try_dates(soon, good), ok);
}

#[test]
fn dates_left_out_are_set_by_the_service_with_seven_digits() {
    let directory = Directory::new();
    let id = directory.application("orders-api", vec![]).0;
    let entry = json!({"type": "AsymmetricX509Cert", "usage": "Verify", "key": identity(0).base64()});
    assert_eq!(directory.write_keys(id, vec![entry]).status, 204);
    let entry = directory.entries(id)[0].clone();
    for member in ["startDateTime", "endDateTime"] {
        let text = entry[member].as_str().unwrap();
        assert_eq!(text.split_once('.').map(|(_, rest)| rest.len()), Some(8), "{text}");
    }
    // The service makes the key id.
    assert!(entry["keyId"].as_str().unwrap().parse::<Uuid>().is_ok());
}

#[test]
fn the_certificate_may_come_as_der_as_pem_and_with_line_breaks() {
    let directory = Directory::new();
    let id = directory.application("orders-api", vec![]).0;
    let plain = identity(0).base64();
    let broken: String = plain
        .as_bytes()
        .chunks(64)
        .map(|line| format!("{}\r\n", std::str::from_utf8(line).unwrap()))
        .collect();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{broken}-----END CERTIFICATE-----\n");
    for key in [plain, broken, STANDARD.encode(&pem)] {
        let got = directory.write_keys(id, vec![with(new_entry(identity(0), "first"), "key", json!(key))]);
        assert_eq!(got.status, 204, "{}", got.text);
        let read = directory.get(&format!("/v1.0/applications/{id}?$select=keyCredentials"));
        assert_eq!(read.body["keyCredentials"][0]["key"], identity(0).base64());
        directory.write_keys(id, vec![]);
    }
    let private =
        STANDARD.encode(format!("{pem}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"));
    for key in ["AAAA", "%%%", &private] {
        let got = directory.write_keys(id, vec![with(new_entry(identity(0), "first"), "key", json!(key))]);
        assert_eq!((got.status, got.code()), (400, "Request_BadRequest"), "{key}");
    }
}

#[test]
fn usage_type_and_members_are_checked() {
    let directory = Directory::new();
    let id = directory.application("orders-api", vec![]).0;
    let entry = || new_entry(identity(0), "first");
    let got = directory.write_keys(id, vec![with(entry(), "usage", json!("Encrypt"))]);
    assert_eq!(
        got.message(),
        "The value for the property \"usage\" in one of your credentials is invalid. Acceptable values are Sign, Verify."
    );
    for wrong in [
        with(entry(), "type", json!("Symmetric")),
        with(entry(), "type", json!("X509CertAndPassword")),
        with(entry(), "thumbprnt", json!("x")),
        with(entry(), "keyId", json!("first")),
        with(entry(), "key", Value::Null),
    ] {
        assert_eq!(directory.write_keys(id, vec![wrong.clone()]).status, 400, "{wrong}");
    }
    assert_eq!(directory.write_keys(id, vec![entry(), entry()]).status, 400);
    // Another vendor's client writes it in lower case.
    assert_eq!(directory.write_keys(id, vec![with(entry(), "usage", json!("verify"))]).status, 204);
    assert_eq!(directory.entries(id)[0]["usage"], "Verify");
}

#[test]
fn a_display_name_is_cut_at_ninety_characters() {
    let directory = Directory::new();
    let id = directory.application("orders-api", vec![]).0;
    let name = "ä".repeat(120);
    assert_eq!(
        directory.write_keys(id, vec![with(new_entry(identity(0), "x"), "displayName", json!(name))]).status,
        204
    );
    assert_eq!(directory.entries(id)[0]["displayName"].as_str().unwrap().chars().count(), 90);
}

#[test]
fn an_elliptic_key_is_refused_at_sign_in_and_with_the_switch_on_upload() {
    let directory = Directory::new();
    let (id, client) = directory.application("orders-api", vec![]);
    let key = rcgen::KeyPair::generate().unwrap();
    let der = certificate(&key.serialize_der(), "2026-02-01T00:00:00Z", "2027-02-01T00:00:00Z");
    let entry = with(new_entry(identity(0), "first"), "key", json!(STANDARD.encode(&der)));
    assert_eq!(directory.write_keys(id, vec![entry.clone()]).status, 204);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    let (mut header, claims) = assertion_parts(identity(0), client, start());
    header["x5t#S256"] = json!(URL_SAFE_NO_PAD.encode(digest.as_ref()));
    assert_eq!(sign_in(&directory.emulator, client, &sign(identity(0), &header, &claims)).aadsts(), 700_027);
    directory.write_keys(id, vec![]);
    settings(&directory, |settings| settings.refuse_ec_certificates = true);
    assert_eq!(directory.write_keys(id, vec![entry]).status, 400);
}

#[test]
fn creating_an_application_refuses_a_key_id() {
    let directory = Directory::new();
    let mut entry = new_entry(identity(0), "first");
    let body = |entry: &Value| json!({"displayName": "new", "keyCredentials": [entry]});
    let got = directory.post("/v1.0/applications", body(&entry));
    assert_eq!(got.message(), "The property KeyId is not supported for Create Application flow");
    entry.as_object_mut().unwrap().remove("keyId");
    let got = directory.post("/v1.0/applications", body(&entry));
    assert_eq!(got.status, 201, "{}", got.text);
    assert_eq!(directory.post("/v1.0/servicePrincipals", json!({"appId": got.body["appId"]})).status, 201);
    let again = directory.post("/v1.0/servicePrincipals", json!({"appId": got.body["appId"]}));
    assert_eq!((again.status, again.code()), (409, "Request_MultipleObjectsWithSameKeyValue"));
}

#[test]
fn the_key_of_token_encryption_cannot_be_removed() {
    let directory = Directory::new();
    let id = with_foreign(&directory);
    let path = format!("/v1.0/applications/{id}");
    let key_id = directory.entries(id)[0]["keyId"].clone();
    assert_eq!(directory.patch(&path, json!({"tokenEncryptionKeyId": key_id})).status, 204);
    let got = directory.write_keys(id, vec![]);
    assert_eq!(
        (got.status, got.message()),
        (400, "No KeyCredential found with the configured TokenEncryptionKeyId.")
    );
    assert_eq!(
        directory.patch(&path, json!({"tokenEncryptionKeyId": null, "keyCredentials": []})).status,
        204
    );
}

#[test]
fn what_only_the_service_sets_cannot_be_patched() {
    let directory = Directory::new();
    let id = with_foreign(&directory);
    let path = format!("/v1.0/applications/{id}");
    for body in [
        json!({"appId": "x"}),
        json!({"createdDateTime": "x"}),
        json!({"nonsense": 1}),
        json!({"passwordCredentials": [{"displayName": "x"}]}),
    ] {
        assert_eq!(directory.patch(&path, body.clone()).status, 400, "{body}");
    }
    assert_eq!(directory.patch(&path, json!({"passwordCredentials": []})).status, 204);
    assert_eq!(directory.send("PATCH", &path, &[], None).unwrap().status, 400);
}

#[test]
fn a_locked_service_principal_refuses_and_its_application_does_not() {
    let directory = Directory::new();
    let (id, client) = directory.application("orders-api", vec![]);
    let lock = json!({"isEnabled": true, "allProperties": false, "credentialsWithUsageVerify": true, "credentialsWithUsageSign": false});
    assert_eq!(
        directory
            .patch(&format!("/v1.0/applications/{id}"), json!({"servicePrincipalLockConfiguration": lock}))
            .status,
        204
    );
    let path = format!("/v1.0/servicePrincipals(appId='{client}')");
    let body = json!({"keyCredentials": [new_entry(identity(0), "first")]});
    let got = directory.patch(&path, body.clone());
    assert_eq!((got.status, got.code()), (400, "CannotUpdateLockedServicePrincipalProperty"));
    assert_eq!(directory.write_keys(id, vec![new_entry(identity(0), "first")]).status, 204);
    settings(&directory, |settings| settings.lock_spares_home_tenant = true);
    assert_eq!(directory.patch(&path, body).status, 204);
}

#[test]
fn a_managed_identity_refuses_credentials_unless_the_switch_allows_them() {
    let directory = Directory::new();
    let properties = json!({"servicePrincipalType": "ManagedIdentity"}).as_object().unwrap().clone();
    let new = NewServicePrincipal { properties, ..Default::default() };
    let id = directory.emulator.create_service_principal(TENANT, new).unwrap().0;
    let body = json!({"keyCredentials": [new_entry(identity(0), "first")]});
    assert_eq!(directory.patch(&format!("/v1.0/servicePrincipals/{id}"), body.clone()).status, 400);
    settings(&directory, |settings| settings.managed_identities_writable = true);
    assert_eq!(directory.patch(&format!("/v1.0/servicePrincipals/{id}"), body).status, 204);
}

/// A proof as documented, signed by an identity, for the object whose keys change.
fn proof(signer: &Identity, object: Uuid) -> String {
    let header = json!({"alg": "RS256", "typ": "JWT", "x5t": URL_SAFE_NO_PAD.encode(signer.sha1())});
    let now = start().as_second();
    let claims = json!({"aud": "00000002-0000-0000-c000-000000000000", "iss": object.to_string(), "nbf": now, "exp": now + 600});
    sign(signer, &header, &claims)
}

#[test]
fn add_key_needs_a_proof_by_a_key_that_is_there() {
    let directory = Directory::new();
    let (id, client) = directory.application("orders-api", vec![new_entry(identity(0), "first")]);
    let path = format!("/v1.0/applications/{id}/addKey");
    let body = |proof: String| {
        json!({"keyCredential": {"type": "AsymmetricX509Cert", "usage": "Verify", "key": identity(1).base64()},
        "passwordCredential": null, "proof": proof})
    };
    // The client id is not the issuer; the object id is.
    for wrong in [proof(identity(1), id), proof(identity(0), client), String::new()] {
        let got = directory.post(&path, body(wrong));
        assert_eq!((got.status, got.code()), (401, "Authentication_MissingOrMalformed"));
        assert_eq!(got.message(), "Access Token missing or malformed.");
    }
    let got = directory.post(&path, body(proof(identity(0), id)));
    assert_eq!(
        (got.status, got.body["key"].as_str()),
        (200, Some(identity(1).base64().as_str())),
        "{}",
        got.text
    );
    assert_eq!(sign_in_as(&directory.emulator, identity(1), client).status, 200);
    let path = format!("/v1.0/applications(appId='{client}')/removeKey");
    let got = directory.post(
        &path,
        json!({"keyId": new_entry(identity(0), "first")["keyId"], "proof": proof(identity(1), id)}),
    );
    assert_eq!(got.status, 204, "{}", got.text);
    assert_eq!(directory.entries(id).len(), 1);
}

#[test]
fn what_add_key_keeps_of_name_and_dates_is_a_switch() {
    let directory = Directory::new();
    let id = directory.application("orders-api", vec![new_entry(identity(0), "first")]).0;
    let body = json!({"keyCredential": new_entry(identity(1), "second"), "proof": proof(identity(0), id)});
    let path = format!("/v1.0/applications/{id}/addKey");
    assert_eq!(directory.post(&path, body.clone()).body["displayName"], Value::Null);
    settings(&directory, |settings| settings.add_key_keeps_fields = true);
    let kept = directory.post(&path, body);
    assert_eq!(
        (kept.body["displayName"].as_str(), kept.body["endDateTime"].as_str()),
        (Some("second"), Some("2027-01-31T23:59:58Z"))
    );
}

#[test]
fn an_application_rolls_its_own_key_without_any_permission() {
    let directory = Directory::new();
    let (id, client) = directory.application("orders-api", vec![new_entry(identity(0), "first")]);
    let token = sign_in_as(&directory.emulator, identity(0), client).body["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let own = Directory { token, emulator: directory.emulator.clone() };
    let got = own.get(&format!("/v1.0/applications/{id}"));
    assert_eq!((got.status, got.code()), (403, "Authorization_RequestDenied"));
    let key = json!({"type": "AsymmetricX509Cert", "usage": "Verify", "key": identity(1).base64()});
    let body = json!({"keyCredential": key, "proof": proof(identity(0), id)});
    assert_eq!(own.post(&format!("/v1.0/applications/{id}/addKey"), body).status, 200);
}

#[test]
fn a_password_is_shown_once_and_works() {
    let directory = Directory::new();
    let (id, client) = directory.application("orders-api", vec![]);
    let got = directory.post(
        &format!("/v1.0/applications/{id}/addPassword"),
        json!({"passwordCredential": {"displayName": "x"}}),
    );
    let secret = got.body["secretText"].as_str().unwrap();
    assert_eq!(secret.len(), 40);
    token_for(&directory.emulator, client, secret);
    let read = directory.get(&format!("/v1.0/applications/{id}"));
    assert_eq!(read.body["passwordCredentials"][0]["secretText"], Value::Null);
    let path = format!("/v1.0/applications/{id}/removePassword");
    assert_eq!(directory.post(&path, json!({"keyId": got.body["keyId"]})).status, 204);
    assert_eq!(directory.post(&path, json!({"keyId": got.body["keyId"]})).status, 400);
}

#[test]
fn a_token_signing_certificate_makes_three_entries() {
    let directory = Directory::new();
    let client = directory.application("sso", vec![]).1;
    let path = format!("/v1.0/servicePrincipals(appId='{client}')");
    let got = directory.post(
        &format!("{path}/addTokenSigningCertificate"),
        json!({"displayName": "CN=sso", "endDateTime": "2028-01-01T00:00:00Z"}),
    );
    assert_eq!(got.status, 200, "{}", got.text);
    assert_eq!(got.body["thumbprint"].as_str().unwrap().len(), 40);
    let read = directory.get(&path).body;
    let keys = read["keyCredentials"].as_array().unwrap();
    let of = |usage: &str| keys.iter().find(|key| key["usage"] == usage).unwrap();
    assert_eq!(of("Sign")["customKeyIdentifier"], of("Verify")["customKeyIdentifier"]);
    assert_eq!(of("Sign")["type"], "X509CertAndPassword");
    assert_eq!(read["passwordCredentials"][0]["keyId"], of("Sign")["keyId"]);
    // All three go back unchanged.
    assert_eq!(directory.patch(&path, json!({"keyCredentials": keys})).status, 204);
    assert_eq!(
        directory.post(&format!("{path}/addTokenSigningCertificate"), json!({"displayName": "sso"})).status,
        400
    );
}
