use jiff::Timestamp;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Entry, Object, credentials, identifier, moment};
use crate::ids::{KeyId, Sha1, TargetKind};
use crate::observed::{Identifier, Reserved};

fn sha1(hex: &str) -> Identifier {
    Identifier::Sha1(hex.parse::<Sha1>().unwrap())
}

#[test]
fn every_shape_of_the_identifier_is_understood() {
    let hex = "DA20FCA696C4F83E8A9AED59BE33368ED421F3C1";
    // Microsoft's documentation of addTokenSigningCertificate prints this one.
    assert_eq!(identifier(Some("2iD8ppbE+D6Kmu1ZvjM2jtQh88E=")), sha1(hex));
    assert_eq!(identifier(Some("2iD8ppbE+D6Kmu1ZvjM2jtQh88E")), sha1(hex));
    assert_eq!(identifier(Some(hex)), sha1(hex));
    assert_eq!(identifier(Some(&hex.to_lowercase())), sha1(hex));
    // base64 of the forty digits, by coreutils' base64.
    let ascii = "REEyMEZDQTY5NkM0RjgzRThBOUFFRDU5QkUzMzM2OEVENDIxRjNDMQ==";
    assert_eq!(identifier(Some(ascii)), sha1(hex));
    let sha256 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    assert!(matches!(identifier(Some(sha256)), Identifier::Sha256(_)));
    assert_eq!(identifier(None), Identifier::None);
    assert_eq!(identifier(Some("")), Identifier::None);
    for opaque in ["bXkgb3duIG5hbWU=", "no base64 at all!", "AAAA"] {
        assert_eq!(identifier(Some(opaque)), Identifier::Opaque(opaque.to_owned()));
    }
}

#[test]
fn dates_are_read_leniently() {
    let table = [
        ("2026-03-01T08:15:35.2742618Z", "2026-03-01T08:15:35.2742618Z"),
        ("2027-03-01T08:15:34Z", "2027-03-01T08:15:34Z"),
        ("2027-03-01T08:15:34+00:00", "2027-03-01T08:15:34Z"),
        ("2027-03-01T10:15:34+02:00", "2027-03-01T08:15:34Z"),
        ("2026-11-20T18:23:01", "2026-11-20T18:23:01Z"),
    ];
    for (text, expected) in table {
        assert_eq!(moment(text).unwrap().to_string(), expected, "{text}");
    }
    assert_eq!(moment("9999-12-31T23:59:59Z"), Some(Timestamp::MAX));
    for wrong in ["", "soon", "0", "2026-13-01T00:00:00Z"] {
        assert_eq!(moment(wrong), None, "{wrong}");
    }
}

fn entry(text: &str) -> Entry {
    Entry::parse(RawValue::from_string(text.to_owned()).unwrap())
}

#[test]
fn an_entry_keeps_its_text_unless_it_carries_a_certificate() {
    let null = r#"{ "displayName" : "a\u00e9", "key":null,"keyId":"x", "n": 1.0 }"#;
    assert_eq!(entry(null).credential.raw.get(), null);
    let absent = r#"{"displayName":"a"}"#;
    assert_eq!(entry(absent).credential.raw.get(), absent);
    let full = r#"{ "displayName" : "a\u00e9", "key":"MIIC","startDateTime":"2026-03-01T08:15:35.2742610Z","n": {"b":1.0,"a":2} }"#;
    let expected = r#"{"displayName":"a\u00e9","key":null,"startDateTime":"2026-03-01T08:15:35.2742610Z","n":{"b":1.0,"a":2}}"#;
    assert_eq!(entry(full).credential.raw.get(), expected);
}

fn plain(key_id: u128, identifier: &str, kind: &str, usage: &str) -> Entry {
    let id = Uuid::from_u128(key_id);
    entry(
        &json!({ "keyId": id, "customKeyIdentifier": identifier, "type": kind, "usage": usage }).to_string(),
    )
}

#[test]
fn reserved_entries_are_told_by_each_of_their_marks() {
    const X509: &str = "AsymmetricX509Cert";
    let entries = [
        plain(1, "AAAAAAAAAAAAAAAAAAAAAAAAAAE=", X509, "Verify"),
        plain(2, "AAAAAAAAAAAAAAAAAAAAAAAAAAI=", "X509CertAndPassword", "Sign"),
        plain(3, "AAAAAAAAAAAAAAAAAAAAAAAAAAI=", X509, "Verify"),
        plain(4, "AAAAAAAAAAAAAAAAAAAAAAAAAAQ=", X509, "verify"),
        plain(5, "AAAAAAAAAAAAAAAAAAAAAAAAAAU=", X509, "Verify"),
        plain(6, "AAAAAAAAAAAAAAAAAAAAAAAAAAY=", "Symmetric", "Verify"),
        plain(7, "AAAAAAAAAAAAAAAAAAAAAAAAAAc=", X509, "Encrypt"),
        plain(8, "", X509, "Verify"),
    ];
    let preferred = Sha1([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
    let found = credentials(&entries, &[KeyId(Uuid::from_u128(4))], Some(preferred));
    let reserved: Vec<Option<Reserved>> = found.into_iter().map(|credential| credential.reserved).collect();
    let expected = [
        None,
        Some(Reserved::SamlSigning),
        Some(Reserved::SamlSigning),
        Some(Reserved::TokenEncryption),
        Some(Reserved::SamlSigning),
        Some(Reserved::OtherUse),
        Some(Reserved::OtherUse),
        None,
    ];
    assert_eq!(reserved, expected);
}

#[test]
fn the_documented_application_is_understood() {
    let text = r##"{"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#applications/$entity",
      "id": "00000000-0000-0000-0000-000000000001", "appId": "00000000-0000-0000-0000-000000000002", "displayName": "orders-api",
      "signInAudience": "AzureADMyOrg", "createdDateTime": "2024-05-02T09:11:43Z",
      "keyCredentials": [
        { "customKeyIdentifier": "2iD8ppbE+D6Kmu1ZvjM2jtQh88E=", "displayName": "CN=orders-api",
          "endDateTime": "2027-03-01T08:15:34Z", "key": null, "keyId": "00000000-0000-0000-0000-000000000003",
          "startDateTime": "2026-03-01T08:15:35.2742618Z", "type": "AsymmetricX509Cert", "usage": "Verify" }],
      "passwordCredentials": []}"##;
    let object = Object::parse(TargetKind::Application, text).unwrap();
    assert_eq!(object.display_name, "orders-api");
    assert!(!object.personal_accounts && object.other_type.is_none() && object.disabled.is_none());
    let entries = object.entries.unwrap();
    let credential = &entries[0].credential;
    assert_eq!(credential.end.unwrap().to_string(), "2027-03-01T08:15:34Z");
    assert_eq!(credential.identifier, sha1("DA20FCA696C4F83E8A9AED59BE33368ED421F3C1"));
}

#[test]
fn what_must_not_be_overlooked_is_an_error_when_it_has_another_type() {
    let base = json!({ "id": Uuid::from_u128(1), "appId": Uuid::from_u128(2), "displayName": "x", "keyCredentials": [] });
    for (member, value) in [
        ("servicePrincipalType", json!(1)),
        ("appOwnerOrganizationId", json!("contoso")),
        ("servicePrincipalLockConfiguration", json!([true])),
        ("tokenEncryptionKeyId", json!(7)),
        ("preferredSingleSignOnMode", json!({})),
        ("keyCredentials", json!({})),
        ("accountEnabled", json!("no")),
        ("appId", json!(null)),
        ("id", json!("x")),
    ] {
        let mut object = base.clone();
        object[member] = value;
        let broken = Object::parse(TargetKind::ServicePrincipal, &object.to_string());
        assert!(broken.is_err(), "{member}");
    }
}
