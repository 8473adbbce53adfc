//! What observing makes of each kind of object.

use certroll::desired::SelectBy;
use certroll::emulator::{Change, Kind, NewApplication};
use certroll::entra::ErrorKind;
use certroll::ids::KeyId;
use certroll::observed::{Identifier, Reserved, TargetState, Untouchable};
use serde_json::json;
use uuid::Uuid;

use super::support::{OTHER_TENANT, TENANT, World, address, app, entry, members, principal};

#[tokio::test]
async fn an_application_is_found_by_each_of_its_names() {
    let world = World::new();
    let (object_id, app_id) = world.application("Veeam");
    world.set(object_id, Kind::Application, json!({ "uniqueName": "veeam-backup" }));
    for by in [
        SelectBy::AppId(app_id),
        SelectBy::ObjectId(object_id),
        SelectBy::UniqueName("veeam-backup".to_owned()),
        SelectBy::DisplayName("Veeam".to_owned()),
    ] {
        let target = world.target(app(by)).await;
        assert_eq!((target.id.object_id, target.app_id), (object_id, app_id));
        assert_eq!(target.untouchable, None);
        assert_eq!(target.sign_in_impossible, None);
    }
}

#[tokio::test]
async fn a_service_principal_is_found_by_each_of_its_names() {
    let world = World::new();
    let (_, app_id) = world.application("Veeam");
    let target = world.target(principal(SelectBy::AppId(app_id))).await;
    for by in [SelectBy::ObjectId(target.id.object_id), SelectBy::DisplayName("Veeam".to_owned())] {
        assert_eq!(world.target(principal(by)).await.id, target.id);
    }
    let state = world.state(principal(SelectBy::UniqueName("veeam".to_owned()))).await;
    assert!(matches!(state, TargetState::Unreadable { .. }), "{state:?}");
}

#[tokio::test]
async fn a_display_name_is_compared_to_the_letter_and_near_misses_are_offered() {
    let world = World::new();
    let (_, exact) = world.application("Veeam");
    let (_, other_case) = world.application("VEEAM");
    world.application("Veeam Backup");
    assert_eq!(world.target(app(SelectBy::DisplayName("Veeam".to_owned()))).await.app_id, exact);
    assert_eq!(world.target(app(SelectBy::DisplayName("VEEAM".to_owned()))).await.app_id, other_case);

    let TargetState::Missing { similar } = world.state(app(SelectBy::DisplayName("Veem".to_owned()))).await
    else {
        panic!()
    };
    assert_eq!(similar[0].display_name, "Veeam");
    let TargetState::Missing { similar } =
        world.state(app(SelectBy::DisplayName("veeam b".to_owned()))).await
    else {
        panic!()
    };
    assert!(similar.iter().any(|found| found.display_name == "Veeam Backup"), "{similar:?}");
}

#[tokio::test]
async fn two_objects_of_one_display_name_are_ambiguous() {
    let world = World::new();
    let (first, _) = world.application("Veeam");
    let (second, _) = world.application("Veeam");
    let TargetState::Ambiguous { candidates } =
        world.state(app(SelectBy::DisplayName("Veeam".to_owned()))).await
    else {
        panic!()
    };
    let mut found: Vec<Uuid> = candidates.iter().map(|candidate| candidate.object_id).collect();
    found.sort();
    let mut expected = vec![first, second];
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn quotes_and_signs_in_a_display_name_reach_the_service_unharmed() {
    let world = World::new();
    for name in ["O'Neill & Söhne + 50 %", "a/b?c#d", "'; drop", "\u{1f512} lock"] {
        let (_, app_id) = world.application(name);
        assert_eq!(world.target(app(SelectBy::DisplayName(name.to_owned()))).await.app_id, app_id, "{name}");
    }
}

#[tokio::test]
async fn ids_taken_for_each_other_are_pointed_out() {
    let world = World::new();
    let (object_id, app_id) = world.application("Veeam");
    for by in [SelectBy::AppId(object_id), SelectBy::ObjectId(app_id)] {
        let TargetState::Missing { similar } = world.state(app(by)).await else { panic!() };
        assert_eq!(similar[0].app_id, app_id);
    }
}

#[tokio::test]
async fn a_deleted_object_is_called_deleted_not_missing() {
    let world = World::new();
    let (object_id, app_id) = world.application("Veeam");
    world.change(Change::Delete { object: object_id, kind: None });
    for by in
        [SelectBy::AppId(app_id), SelectBy::ObjectId(object_id), SelectBy::DisplayName("Veeam".to_owned())]
    {
        match world.state(app(by)).await {
            TargetState::SoftDeleted { object_id: found, deleted_at } => {
                assert_eq!(found, object_id);
                assert_eq!(deleted_at, Some(super::support::moment("2026-11-20T12:00:00Z")));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn every_object_that_must_not_be_touched_is_recognised() {
    let world = World::new();
    let (_, managed) = world.service_principal("vm", json!({ "servicePrincipalType": "ManagedIdentity" }));
    let (_, foreign) = world.service_principal("Graph", json!({ "appOwnerOrganizationId": OTHER_TENANT }));
    let (_, ownerless) = world.service_principal("legacy", json!({ "appOwnerOrganizationId": null }));
    let (_, saml) = world.application("Payroll");
    let saml_principal = world.target(principal(SelectBy::AppId(saml))).await.id.object_id;
    world.set(saml_principal, Kind::ServicePrincipal, json!({ "preferredSingleSignOnMode": "saml" }));
    let (locked_app, locked) = world.application("Locked");
    let lock = json!({ "isEnabled": true, "allProperties": true });
    world.set(locked_app, Kind::Application, json!({ "servicePrincipalLockConfiguration": lock }));
    let (half_app, half) = world.application("Locked for signing only");
    let lock = json!({ "isEnabled": true, "allProperties": false, "credentialsWithUsageSign": true });
    world.set(half_app, Kind::Application, json!({ "servicePrincipalLockConfiguration": lock }));

    let expected = [
        (managed, Some(Untouchable::ManagedIdentity)),
        (foreign, Some(Untouchable::OtherTenantsApplication(Some(OTHER_TENANT)))),
        (ownerless, Some(Untouchable::OtherTenantsApplication(None))),
        (saml, Some(Untouchable::SamlSignOn)),
        (locked, Some(Untouchable::Locked)),
        (half, None),
    ];
    for (app_id, untouchable) in expected {
        let target = world.target(principal(SelectBy::AppId(app_id))).await;
        assert_eq!(target.untouchable, untouchable, "{}", target.display_name);
    }
    // A lock is about service principals; the applications stay editable.
    for app_id in [saml, locked] {
        assert_eq!(world.target(app(SelectBy::AppId(app_id))).await.untouchable, None);
    }
}

#[tokio::test]
async fn an_object_of_another_type_is_not_an_application_to_us() {
    let world = World::new();
    let blueprint = NewApplication {
        display_name: "Agent".to_owned(),
        properties: members(json!({ "@odata.type": "#microsoft.graph.agentIdentityBlueprint" })),
        ..NewApplication::default()
    };
    let (_, app_id) = world.emulator.create_application(TENANT, blueprint).unwrap();
    let target = world.target(app(SelectBy::AppId(app_id))).await;
    let expected = Untouchable::OtherType("#microsoft.graph.agentIdentityBlueprint".to_owned());
    assert_eq!(target.untouchable, Some(expected));
    // Beside an ordinary application of its name it does not make the name ambiguous.
    let (_, ordinary) = world.application("Agent");
    assert_eq!(world.target(app(SelectBy::DisplayName("Agent".to_owned()))).await.app_id, ordinary);
}

#[tokio::test]
async fn whoever_cannot_sign_in_is_known_before() {
    let world = World::new();
    let lone = NewApplication {
        display_name: "lone".to_owned(),
        without_service_principal: true,
        ..NewApplication::default()
    };
    let (_, lone) = world.emulator.create_application(TENANT, lone).unwrap();
    assert!(world.target(app(SelectBy::AppId(lone))).await.sign_in_impossible.is_some());

    let (_, disabled) = world.application("disabled");
    let sp = world.target(principal(SelectBy::AppId(disabled))).await.id.object_id;
    world.set(sp, Kind::ServicePrincipal, json!({ "accountEnabled": false }));
    for selector in [app(SelectBy::AppId(disabled)), principal(SelectBy::AppId(disabled))] {
        let reason = world.target(selector).await.sign_in_impossible.unwrap();
        assert!(reason.contains("accountEnabled"), "{reason}");
    }

    let (object, by_microsoft) = world.application("banned");
    let status = "DisabledDueToViolationOfServicesAgreement";
    world.set(object, Kind::Application, json!({ "disabledByMicrosoftStatus": status }));
    let reason = world.target(app(SelectBy::AppId(by_microsoft))).await.sign_in_impossible.unwrap();
    assert!(reason.contains(status), "{reason}");
}

#[tokio::test]
async fn saml_pairs_and_encryption_keys_are_reserved_and_the_rest_is_not() {
    let world = World::new();
    let (object_id, app_id) = world.application("Payroll");
    for (index, name) in ["ordinary", "encryption"].into_iter().enumerate() {
        let entry = entry(name, 1 + index as u128, [index as u8 + 1; 20]);
        world.change(Change::AddCredential { object: object_id, kind: None, entry: members(entry) });
    }
    world.set(object_id, Kind::Application, json!({ "tokenEncryptionKeyId": Uuid::from_u128(2) }));
    let sp = world.target(principal(SelectBy::AppId(app_id))).await.id.object_id;
    world.change(Change::AddSamlPair { object: sp, display_name: "CN=Payroll".to_owned() });
    world.change(Change::AddForeignCredential {
        object: sp,
        kind: Some(Kind::ServicePrincipal),
        display_name: None,
    });

    let target = world.target(app(SelectBy::AppId(app_id))).await;
    let reserved: Vec<_> = target.credentials.iter().map(|c| (c.key_id, c.reserved.clone())).collect();
    let key = |id| Some(KeyId(Uuid::from_u128(id)));
    assert_eq!(reserved, [(key(1), None), (key(2), Some(Reserved::TokenEncryption))]);

    let target = world.target(principal(SelectBy::AppId(app_id))).await;
    let count = |reserved| target.credentials.iter().filter(|c| c.reserved == reserved).count();
    assert_eq!(count(Some(Reserved::SamlSigning)), 2, "both halves of the pair");
    assert_eq!(count(None), 1, "the foreign one");
}

#[tokio::test]
async fn credentials_come_back_exactly_as_the_service_spelled_them() {
    let world = World::new();
    let (object_id, app_id) = world.application("orders-api");
    let sha1 = [
        0xDA, 0x20, 0xFC, 0xA6, 0x96, 0xC4, 0xF8, 0x3E, 0x8A, 0x9A, 0xED, 0x59, 0xBE, 0x33, 0x36, 0x8E, 0xD4,
        0x21, 0xF3, 0xC1,
    ];
    let entry = entry("CN=orders-api", 9, sha1);
    world.change(Change::AddCredential { object: object_id, kind: None, entry: members(entry) });
    let target = world.target(app(SelectBy::AppId(app_id))).await;
    let credential = &target.credentials[0];
    // The value Microsoft's documentation of addTokenSigningCertificate decodes to.
    assert_eq!(credential.sha1().unwrap().to_string(), "DA20FCA696C4F83E8A9AED59BE33368ED421F3C1");
    assert!(matches!(credential.identifier, Identifier::Sha1(_)));
    assert_eq!(credential.start.unwrap().to_string(), "2026-03-01T08:15:35.2742618Z");
    let raw = credential.raw.get();
    assert!(raw.contains("2026-03-01T08:15:35.2742618Z"), "{raw}");
    let key = serde_json::from_str::<serde_json::Value>(raw).unwrap()["key"].clone();
    assert!(key.is_null());
}

#[tokio::test]
async fn missing_rights_are_named_with_the_permission_that_would_do() {
    let world = World::new();
    let (_, app_id) = world.application("Veeam");
    world.emulator.grant_operator(TENANT, &[]).unwrap();
    let error = world.observe(&[app(SelectBy::AppId(app_id))]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Authorisation);
    assert_eq!(error.least_permission, Some("Application.Read.All"));
    assert_eq!(error.code(), "Authorization_RequestDenied");
    assert!(error.request_id.is_some());
    assert!(error.hint.as_ref().unwrap().contains("Application Administrator"));
}

#[tokio::test]
async fn policies_that_may_not_be_read_are_said_to_be_unread_not_absent() {
    let world = World::new();
    let (_, app_id) = world.application("Veeam");
    world.emulator.grant_operator(TENANT, &["Application.Read.All"]).unwrap();
    let observed = world.observe(&[app(SelectBy::AppId(app_id))]).await.unwrap();
    let reason = observed.policies_unread.unwrap();
    assert!(reason.contains("Policy.Read.All"), "{reason}");
    assert!(matches!(observed.targets[&address(0)], TargetState::Found(_)));
}

#[tokio::test]
async fn the_tenant_is_known_by_its_domain_too() {
    let mut world = World::new();
    world.tenant = "contoso.example".to_owned();
    let (_, app_id) = world.application("Veeam");
    let observed = world.observe(&[app(SelectBy::AppId(app_id))]).await.unwrap();
    assert_eq!(observed.tenant_id, TENANT);
}

#[tokio::test]
async fn the_difference_of_the_clocks_is_measured() {
    let world = World::new();
    let (_, app_id) = world.application("Veeam");
    let faults = certroll::emulator::Faults { date_skew_seconds: -700, ..Default::default() };
    world.emulator.set_faults(faults);
    let observed = world.observe(&[app(SelectBy::AppId(app_id))]).await.unwrap();
    assert_eq!(observed.clock_skew.unwrap().as_secs(), -700);
}
