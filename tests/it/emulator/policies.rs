//! App management policies.

use certroll::emulator::{Change, PolicyLifetime, Settings};
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::*;

const POLICY: Uuid = Uuid::from_u128(0xabc);

fn lifetime(max: &str) -> Value {
    json!([{"restrictionType": "asymmetricKeyLifetime", "state": "enabled", "maxLifetime": max, "restrictForAppsCreatedAfterDateTime": "2019-10-19T10:37:00Z"}])
}

fn members(value: Value) -> serde_json::Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn tenant_policy(directory: &Directory, max: &str) {
    let policy = json!({"isEnabled": true, "applicationRestrictions": {"passwordCredentials": [], "keyCredentials": lifetime(max)}});
    directory.emulator.change(TENANT, Change::SetDefaultPolicy { policy: members(policy) }).unwrap();
}

#[test]
fn the_tenant_default_is_read_and_off_until_enabled() {
    let directory = Directory::new();
    let got = directory.get("/v1.0/policies/defaultAppManagementPolicy");
    assert_eq!(got.body["isEnabled"], false);
    assert_eq!(
        got.body["@odata.context"],
        format!("{BASE}/v1.0/$metadata#policies/defaultAppManagementPolicy/$entity")
    );
    tenant_policy(&directory, "P90D");
    let got = directory.get("/v1.0/policies/defaultAppManagementPolicy");
    assert_eq!(got.body["applicationRestrictions"]["keyCredentials"][0]["maxLifetime"], "P90D");
}

#[test]
fn a_certificate_that_lives_too_long_is_refused_with_the_recorded_body() {
    let directory = Directory::new();
    let id = directory.application("orders-api", vec![]).0;
    tenant_policy(&directory, "P90D");
    let entry = |end: &str| {
        let mut entry = new_entry(identity(0), "first");
        entry["endDateTime"] = json!(end);
        entry
    };
    let got = directory.write_keys(id, vec![entry("2026-08-01T00:00:00Z")]);
    assert_eq!((got.status, got.code()), (400, "CredentialInvalidLifetimeAsPerAppPolicy"));
    assert_eq!(
        got.message(),
        "Credential lifetime exceeds the max value allowed as per assigned policy '00000000-0000-0000-0000-000000000000'."
    );
    assert_eq!(got.body["error"]["details"][0]["target"], "EndDate");
    assert_eq!(got.body["error"]["details"][0]["code"], "InvalidKeyEndDate");
    assert_eq!(directory.write_keys(id, vec![entry("2026-05-01T00:00:00Z")]).status, 204);
}

#[test]
fn how_a_lifetime_is_measured_is_a_switch() {
    let directory = Directory::new();
    let id = directory.application("orders-api", vec![]).0;
    tenant_policy(&directory, "P90D");
    let attempt = |measure: PolicyLifetime, start: &str, end: &str| {
        directory.emulator.set_settings(Settings { policy_lifetime: measure, ..Settings::default() });
        let mut entry = new_entry(identity(0), "first");
        entry["startDateTime"] = json!(start);
        entry["endDateTime"] = json!(end);
        let status = directory.write_keys(id, vec![entry]).status;
        directory.write_keys(id, vec![]);
        status
    };
    // 100 days long and begun 24 days ago; 60 days long and beginning in 60 days.
    let begun = ("2026-02-05T00:00:00Z", "2026-05-16T00:00:00Z");
    let later = ("2026-04-30T00:00:00Z", "2026-06-29T00:00:00Z");
    assert_eq!(attempt(PolicyLifetime::FromStart, begun.0, begun.1), 400);
    assert_eq!(attempt(PolicyLifetime::FromStart, later.0, later.1), 204);
    assert_eq!(attempt(PolicyLifetime::FromNow, begun.0, begun.1), 204);
    assert_eq!(attempt(PolicyLifetime::FromNow, later.0, later.1), 400);
    assert_eq!(attempt(PolicyLifetime::Either, begun.0, begun.1), 400);
    assert_eq!(attempt(PolicyLifetime::Either, later.0, later.1), 400);
}

#[test]
fn an_assigned_policy_replaces_the_tenant_default() {
    let directory = Directory::new();
    let (id, client) = directory.application("orders-api", vec![]);
    tenant_policy(&directory, "P1D");
    let policy = json!({"displayName": "two years", "isEnabled": true, "restrictions": {"passwordCredentials": [], "keyCredentials": lifetime("P2Y")}});
    directory.emulator.change(TENANT, Change::SetPolicy { id: POLICY, policy: members(policy) }).unwrap();
    directory
        .emulator
        .change(TENANT, Change::AssignPolicies { object: client, kind: None, policies: [POLICY].into() })
        .unwrap();
    assert_eq!(directory.write_keys(id, vec![new_entry(identity(0), "first")]).status, 204);
    let own = directory.get(&format!("/v1.0/applications/{id}/appManagementPolicies"));
    assert_eq!(own.values()[0]["id"], POLICY.to_string());
}

#[test]
fn a_disabled_restriction_and_an_older_application_are_left_alone() {
    let directory = Directory::new();
    let id = directory.application("orders-api", vec![]).0;
    for change in
        [json!({"state": "disabled"}), json!({"restrictForAppsCreatedAfterDateTime": "2026-02-01T00:00:00Z"})]
    {
        let mut restriction = lifetime("P1D");
        restriction[0].as_object_mut().unwrap().extend(members(change));
        let policy = json!({"isEnabled": true, "applicationRestrictions": {"keyCredentials": restriction}});
        directory.emulator.change(TENANT, Change::SetDefaultPolicy { policy: members(policy) }).unwrap();
        assert_eq!(directory.write_keys(id, vec![new_entry(identity(0), "first")]).status, 204);
        directory.write_keys(id, vec![]);
    }
}

#[test]
fn expanding_returns_twenty_objects_and_the_rest_are_listed_apart() {
    let directory = Directory::new();
    directory
        .emulator
        .change(TENANT, Change::SetPolicy { id: POLICY, policy: members(json!({"isEnabled": true})) })
        .unwrap();
    for seeded in directory.emulator.seed(TENANT, 25) {
        directory
            .emulator
            .change(
                TENANT,
                Change::AssignPolicies { object: seeded.object_id, kind: None, policies: [POLICY].into() },
            )
            .unwrap();
    }
    let got = directory.get("/v1.0/policies/appManagementPolicies?$expand=appliesTo");
    assert_eq!(got.values()[0]["appliesTo"].as_array().unwrap().len(), 20);
    let got = directory.get(&format!("/v1.0/policies/appManagementPolicies/{POLICY}/appliesTo?$top=15"));
    assert_eq!(got.values().len(), 15);
    let next = got.body["@odata.nextLink"].as_str().unwrap().strip_prefix(BASE).unwrap();
    assert_eq!(directory.get(next).values().len(), 10);
    assert_eq!(
        directory.get("/v1.0/policies/appManagementPolicies/00000000-0000-0000-0000-000000000009").status,
        404
    );
}

#[test]
fn only_new_credentials_are_checked() {
    let directory = Directory::new();
    let id = directory.application("orders-api", vec![new_entry(identity(0), "first")]).0;
    tenant_policy(&directory, "P1D");
    assert_eq!(directory.write_keys(id, directory.entries(id)).status, 204);
}
