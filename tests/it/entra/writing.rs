//! Writing: what goes out, and what is said of a write that did not succeed.

use std::sync::Arc;

use certroll::certificate::{Certificate, KeyKind, SignatureHash};
use certroll::emulator::{Change, Every, Faults, Kind, LostAnswer, Throttled, Unavailable};
use certroll::entra::{DirectoryWriter, ErrorKind, Refusal, WriteError, new_entry};
use certroll::ids::{KeyId, TargetId, TargetKind};
use certroll::issuer::self_signed::SelfSigned;
use certroll::issuer::{CertificateRequest, Issuer, SubjectKey};
use certroll::key::PrivateKey;
use certroll::observed::Credential;
use certroll::random::SystemRandom;
use certroll::runtime::Random;
use jiff::SignedDuration;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::scripted::{self, Script, answer};
use super::support::{TENANT, World, application_id, entry, members};

/// A key and a certificate for it, valid for a year from the world's now.
pub(super) async fn pair(world: &World) -> (PrivateKey, Certificate) {
    let key = SystemRandom.key_pair(KeyKind::Rsa2048).await.unwrap();
    let now = world.emulator.now();
    let request = CertificateRequest {
        subject: "CN=test".to_owned(),
        signature_hash: SignatureHash::Sha256,
        not_before: now - SignedDuration::from_hours(1),
        validity: "P1Y".parse().unwrap(),
        now,
        serial: [7; 16],
    };
    let issued = SelfSigned.issue(&request, SubjectKey::Local(&key)).await.unwrap();
    (key, issued.certificate)
}

/// The entry for a certificate on an application, with dates inside the certificate's.
pub(super) fn entry_for(
    world: &World,
    target: &TargetId,
    certificate: &Certificate,
) -> (KeyId, Box<RawValue>) {
    let key_id = KeyId::derive(target, &certificate.thumbprints.sha1);
    let start = world.emulator.now() - SignedDuration::from_mins(10);
    let end = certificate.not_after - SignedDuration::from_secs(1);
    (key_id, new_entry(key_id, "certroll:team/test · test", certificate, start, end).unwrap())
}

fn raws(credentials: &[Credential]) -> Vec<Box<RawValue>> {
    credentials.iter().map(|credential| credential.raw.clone()).collect()
}

async fn added(world: &World) -> (TargetId, Vec<Box<RawValue>>, KeyId) {
    let (object_id, _) = world.application("orders-api");
    let legacy = members(entry("legacy", 5, [9; 20]));
    world.change(Change::AddCredential { object: object_id, kind: None, entry: legacy });
    let target = application_id(object_id);
    let (_, certificate) = pair(world).await;
    let (key_id, new) = entry_for(world, &target, &certificate);
    let mut entries = raws(&world.writer().read_entries(target).await.unwrap());
    entries.push(new);
    (target, entries, key_id)
}

#[tokio::test]
async fn a_new_entry_goes_in_and_the_old_ones_go_back_untouched_under_the_strict_rule() {
    let world = World::new();
    let (target, entries, key_id) = added(&world).await;
    world.writer().replace_entries(target, &entries).await.unwrap();
    let read = world.writer().read_entries(target).await.unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].raw.get(), entries[0].get());
    assert_eq!(read[1].key_id, Some(key_id));
    assert_eq!(read[1].display_name.as_deref(), Some("certroll:team/test · test"));
    // The service filled in the thumbprint.
    let stored = world.emulator.object(TENANT, Kind::Application, target.object_id).unwrap();
    assert!(stored["keyCredentials"][1]["customKeyIdentifier"].is_string());
    assert!(read[1].sha1().is_some());
}

#[tokio::test]
async fn p2_an_entry_is_sent_as_it_was_received_byte_for_byte() {
    let odd = r#"{ "usage":"Verify",  "keyId":"6F2E0000-0000-0000-0000-000000000001","key":null, "endDateTime":"2030-01-01T00:00:00.1234567Z","new":{"b":[1.50,1e3],"a":"\u00e9\/"} }"#;
    let script = Arc::new(Script::new(vec![Ok(answer(204, ""))]));
    let entries = [RawValue::from_string(odd.to_owned()).unwrap()];
    let target = application_id(Uuid::from_u128(7));
    DirectoryWriter::new(scripted::client(&script)).replace_entries(target, &entries).await.unwrap();
    assert_eq!(script.last_body(), format!(r#"{{"keyCredentials":[{odd}]}}"#));
}

#[tokio::test]
async fn an_empty_list_is_not_sent_as_a_list() {
    let world = World::new();
    let (target, _, _) = added(&world).await;
    world.emulator.clear_journal();
    let error = world.writer().replace_entries(target, &[]).await.unwrap_err();
    assert!(matches!(error, WriteError::NotSent(_)), "{error}");
    assert!(world.requests().is_empty());
}

#[tokio::test]
async fn leaving_an_object_without_credentials_is_a_call_of_its_own() {
    let world = World::new();
    let (target, _, _) = added(&world).await;
    assert_eq!(world.writer().read_entries(target).await.unwrap().len(), 1);
    world.writer().remove_all_entries(target).await.unwrap();
    assert!(world.writer().read_entries(target).await.unwrap().is_empty());
    let stored = world.emulator.object(TENANT, Kind::Application, target.object_id).unwrap();
    assert_eq!(stored["displayName"], "orders-api", "nothing else was changed");
}

#[tokio::test]
async fn the_same_key_id_twice_is_never_sent() {
    let world = World::new();
    let (target, mut entries, _) = added(&world).await;
    entries.push(entries[0].clone());
    let error = world.writer().replace_entries(target, &entries).await.unwrap_err();
    assert!(matches!(error, WriteError::NotSent(_)), "{error}");
}

#[tokio::test]
async fn a_lost_answer_is_an_unknown_outcome_and_nothing_is_repeated() {
    for happened in [true, false] {
        let world = World::new();
        let (target, entries, key_id) = added(&world).await;
        let lost_answers = vec![LostAnswer { write: 1, happened }];
        world.emulator.set_faults(Faults { lost_answers, ..Faults::default() });
        world.emulator.clear_journal();
        let error = world.writer().replace_entries(target, &entries).await.unwrap_err();
        assert!(matches!(error, WriteError::UnknownOutcome(_)), "{error}");
        assert_eq!(error.error().kind, ErrorKind::Network);
        assert!(error.is_passing());
        let writes = world.emulator.journal().iter().filter(|entry| entry.writes).count();
        assert_eq!(writes, 1);
        let read = world.writer().read_entries(target).await.unwrap();
        assert_eq!(read.iter().any(|credential| credential.key_id == Some(key_id)), happened);
    }
}

#[tokio::test]
async fn refusals_that_pass_are_told_from_refusals_that_stay() {
    let conflict = Faults { conflicts: Some(Every { every: 1 }), ..Faults::default() };
    let world = World::new();
    let (target, entries, _) = added(&world).await;
    world.emulator.set_faults(conflict);
    let error = world.writer().replace_entries(target, &entries).await.unwrap_err();
    assert!(matches!(error, WriteError::Refused(_)), "{error}");
    assert_eq!((error.error().kind, error.is_passing()), (ErrorKind::Conflict, true));

    let throttled = Throttled { every: 1, retry_after_seconds: Some(30) };
    world.emulator.set_faults(Faults { throttled: Some(throttled), ..Faults::default() });
    let error = world.writer().replace_entries(target, &entries).await.unwrap_err();
    assert!(matches!(error, WriteError::Refused(_)), "{error}");
    assert_eq!((error.error().kind, error.is_passing()), (ErrorKind::Throttled, true));
    assert_eq!(error.error().retry_after, Some(SignedDuration::from_secs(30)));

    let unavailable = Unavailable { every: 1, status: 503, happened: false };
    world.emulator.set_faults(Faults { unavailable: Some(unavailable), ..Faults::default() });
    let error = world.writer().replace_entries(target, &entries).await.unwrap_err();
    assert!(matches!(error, WriteError::UnknownOutcome(_)), "{error}");

    world.emulator.set_faults(Faults::default());
    world.emulator.grant_operator(TENANT, &["Application.Read.All"]).unwrap();
    let error = world.writer().replace_entries(target, &entries).await.unwrap_err();
    assert!(matches!(error, WriteError::Refused(_)), "{error}");
    assert_eq!((error.error().kind, error.is_passing()), (ErrorKind::Authorisation, false));
    assert_eq!(error.error().least_permission, Some("Application.ReadWrite.OwnedBy"));
}

#[tokio::test]
async fn an_entry_that_came_back_changed_is_refused_as_such() {
    let world = World::new();
    let (target, mut entries, _) = added(&world).await;
    let cut = entries[0].get().replace("2026-03-01T08:15:35.2742618Z", "2026-03-01T08:15:35Z");
    entries[0] = RawValue::from_string(cut).unwrap();
    let error = world.writer().replace_entries(target, &entries).await.unwrap_err();
    assert_eq!(error.error().kind, ErrorKind::Refused(Refusal::RetainedEntryChanged), "{error}");
}

#[tokio::test]
async fn a_policy_and_a_wrong_end_date_are_refusals_of_their_own() {
    let world = World::new();
    let (target, entries, _) = added(&world).await;
    let policy = members(
        json!({ "isEnabled": true, "applicationRestrictions": { "passwordCredentials": [], "keyCredentials": [
        { "restrictionType": "asymmetricKeyLifetime", "state": "enabled", "maxLifetime": "P30D" } ] } }),
    );
    world.change(Change::SetDefaultPolicy { policy });
    let error = world.writer().replace_entries(target, &entries).await.unwrap_err();
    assert_eq!(error.error().kind, ErrorKind::Refused(Refusal::Policy), "{error}");
    assert_eq!(error.error().code(), "CredentialInvalidLifetimeAsPerAppPolicy");

    world.change(Change::SetDefaultPolicy { policy: members(json!({ "isEnabled": false })) });
    let (_, certificate) = pair(&world).await;
    let start = world.emulator.now();
    let late = certificate.not_after + SignedDuration::from_secs(1);
    let wrong = new_entry(KeyId(Uuid::from_u128(77)), "late", &certificate, start, late).unwrap();
    let error = world.writer().replace_entries(target, &[wrong]).await.unwrap_err();
    assert_eq!(error.error().kind, ErrorKind::Refused(Refusal::EndDate), "{error}");
}

#[tokio::test]
async fn a_locked_service_principal_refuses_by_name() {
    let world = World::new();
    let (object_id, app_id) = world.application("locked");
    let lock = json!({ "isEnabled": true, "allProperties": true });
    world.set(object_id, Kind::Application, json!({ "servicePrincipalLockConfiguration": lock }));
    let principals = world.emulator.objects(TENANT, Kind::ServicePrincipal);
    let own = principals.iter().find(|sp| sp["appId"] == json!(app_id)).unwrap();
    let object_id: Uuid = own["id"].as_str().unwrap().parse().unwrap();
    let target = TargetId { kind: TargetKind::ServicePrincipal, object_id };
    let (_, certificate) = pair(&world).await;
    let (_, new) = entry_for(&world, &target, &certificate);
    let error = world.writer().replace_entries(target, &[new]).await.unwrap_err();
    assert_eq!(error.error().kind, ErrorKind::Refused(Refusal::Locked), "{error}");
}

#[tokio::test]
async fn the_feeding_read_does_not_select() {
    let world = World::new();
    let (target, _, _) = added(&world).await;
    world.emulator.clear_journal();
    world.writer().read_entries(target).await.unwrap();
    assert_eq!(world.requests(), [format!("GET /v1.0/applications/{}", target.object_id)]);
}
