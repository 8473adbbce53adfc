//! App management policies: which one is in force for an object, and what is said where nobody can know.

use certroll::desired::SelectBy;
use certroll::emulator::{Change, Kind};
use certroll::observed::{LifetimePolicy, Target};
use serde_json::{Value, json};
use uuid::Uuid;

use super::support::{TENANT, World, app, members, principal};

const DAY: i64 = 86_400;

fn lifetime(length: &str) -> Value {
    json!({ "restrictionType": "asymmetricKeyLifetime", "state": "enabled", "maxLifetime": length })
}

fn set_default(world: &World, enabled: bool, applications: Value, principals: Value) {
    let restrictions = |keys: Value| json!({ "passwordCredentials": [], "keyCredentials": keys });
    let policy = members(json!({
        "isEnabled": enabled,
        "applicationRestrictions": restrictions(applications),
        "servicePrincipalRestrictions": restrictions(principals),
    }));
    world.change(Change::SetDefaultPolicy { policy });
}

fn assign(world: &World, object: Uuid, id: u128, enabled: bool, rules: Value) {
    let id = Uuid::from_u128(id);
    let policy = members(json!({
        "id": id, "displayName": "assigned", "isEnabled": enabled,
        "restrictions": { "passwordCredentials": [], "keyCredentials": rules },
    }));
    world.change(Change::SetPolicy { id, policy });
    let policies = [id].into();
    world.change(Change::AssignPolicies { object, kind: Some(Kind::Application), policies });
}

async fn read(world: &World, app_id: Uuid) -> Target {
    world.target(app(SelectBy::AppId(app_id))).await
}

fn days(target: &Target) -> Option<i64> {
    target.lifetime_policy.as_ref().map(|policy| policy.max_seconds / DAY)
}

#[tokio::test]
async fn the_tenants_default_holds_where_it_is_enabled() {
    let world = World::new();
    let (_, app_id) = world.application("x");
    assert_eq!(read(&world, app_id).await.lifetime_policy, None);
    set_default(&world, true, json!([lifetime("P90D")]), json!([lifetime("P30D")]));
    assert_eq!(days(&read(&world, app_id).await), Some(90));
    assert_eq!(days(&world.target(principal(SelectBy::AppId(app_id))).await), Some(30));
    set_default(&world, false, json!([lifetime("P90D")]), json!([]));
    assert_eq!(days(&read(&world, app_id).await), None);
}

#[tokio::test]
async fn an_assigned_policy_replaces_the_default_and_a_disabled_one_does_not() {
    let world = World::new();
    let (object, app_id) = world.application("x");
    set_default(&world, true, json!([lifetime("P90D")]), json!([]));
    assign(&world, object, 7, true, json!([lifetime("P366DT0H0M0S")]));
    let expected = LifetimePolicy { policy_id: Uuid::from_u128(7).to_string(), max_seconds: 366 * DAY };
    assert_eq!(read(&world, app_id).await.lifetime_policy, Some(expected));
    assign(&world, object, 7, true, json!([]));
    assert_eq!(days(&read(&world, app_id).await), None, "nothing is inherited");
    assign(&world, object, 7, false, json!([lifetime("P366D")]));
    assert_eq!(days(&read(&world, app_id).await), Some(90));
}

#[tokio::test]
async fn a_rule_that_is_off_or_younger_than_the_object_does_not_apply() {
    let world = World::new();
    let (object, app_id) = world.application("x");
    world.set(object, Kind::Application, json!({ "createdDateTime": "2024-05-02T09:11:43Z" }));
    let mut rule = lifetime("P90D");
    rule["restrictForAppsCreatedAfterDateTime"] = json!("2025-01-01T00:00:00Z");
    set_default(&world, true, json!([rule.clone()]), json!([]));
    assert_eq!(days(&read(&world, app_id).await), None);
    rule["restrictForAppsCreatedAfterDateTime"] = json!("2019-10-19T10:37:00Z");
    set_default(&world, true, json!([rule.clone()]), json!([]));
    assert_eq!(days(&read(&world, app_id).await), Some(90));
    rule["state"] = json!("disabled");
    set_default(&world, true, json!([rule]), json!([]));
    assert_eq!(days(&read(&world, app_id).await), None);
}

#[tokio::test]
async fn what_cannot_be_computed_is_a_warning_and_the_shorter_life_is_kept_to() {
    let world = World::new();
    let (_, app_id) = world.application("x");
    let mut exempting = lifetime("P90D");
    let actors =
        json!({ "customSecurityAttributes": [{ "id": "Team_Name", "operator": "equals", "value": "ci" }] });
    exempting["excludeActors"] = actors;
    let unknown = json!({ "restrictionType": "trustedCertificateAuthority", "state": "enabled" });
    set_default(&world, true, json!([exempting, unknown, lifetime("P1Y"), lifetime("nonsense")]), json!([]));
    let target = read(&world, app_id).await;
    assert_eq!(days(&target), Some(90));
    let warned = |part: &str| target.warnings.iter().any(|warning| warning.contains(part));
    assert!(warned("exempts some callers"), "{:?}", target.warnings);
    assert!(warned("trustedCertificateAuthority"));
    assert!(warned("not to a length of time"));
}

#[tokio::test]
async fn a_policy_assigned_to_more_objects_than_expand_shows_is_read_to_its_end() {
    let world = World::new();
    let seeded = world.emulator.seed(TENANT, 30);
    for seeded in &seeded {
        assign(&world, seeded.object_id, 7, true, json!([lifetime("P60D")]));
    }
    let selectors: Vec<_> = seeded.iter().map(|seeded| app(SelectBy::AppId(seeded.app_id))).collect();
    let observed = world.observe(&selectors).await.unwrap();
    for state in observed.targets.values() {
        let certroll::observed::TargetState::Found(target) = state else { panic!("{state:?}") };
        assert_eq!(days(target), Some(60));
    }
}
