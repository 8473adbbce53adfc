//! Reading: single objects, lists, filters, paging, the recycle bin, permissions.

use std::collections::BTreeSet;

use certroll::emulator::{Change, NewApplication, Settings};
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::*;

fn names(got: &Got) -> BTreeSet<String> {
    got.values().iter().map(|object| object["displayName"].as_str().unwrap().to_owned()).collect()
}

/// Follows the pages of a list.
fn all(directory: &Directory, path: &str, headers: &[(&str, &str)]) -> (Vec<Value>, usize) {
    let (mut values, mut pages) = (Vec::new(), 0);
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let got = directory.send("GET", &path, headers, None).unwrap();
        assert_eq!(got.status, 200, "{}", got.text);
        values.extend(got.values().clone());
        pages += 1;
        next = got.body["@odata.nextLink"].as_str().map(|link| link.strip_prefix(BASE).unwrap().to_owned());
    }
    (values, pages)
}

#[test]
fn an_object_is_found_by_object_id_app_id_and_unique_name() {
    let directory = Directory::new();
    let properties = json!({"uniqueName": "orders"}).as_object().unwrap().clone();
    let new = NewApplication { display_name: "orders-api".into(), properties, ..Default::default() };
    let (id, client) = directory.emulator.create_application(TENANT, new).unwrap();
    for path in [
        format!("/{id}"),
        format!("(appId='{client}')"),
        "(uniqueName='orders')".to_owned(),
        format!("(appId=%27{client}%27)"),
    ] {
        let got = directory.get(&format!("/v1.0/applications{path}"));
        assert_eq!(got.body["id"], id.to_string(), "{path}");
        assert_eq!(got.body["@odata.context"], format!("{BASE}/v1.0/$metadata#applications/$entity"));
    }
    assert_eq!(
        directory.get(&format!("/beta/servicePrincipals(appId='{client}')")).body["appId"],
        client.to_string()
    );
}

#[test]
fn a_missing_object_is_not_found_in_the_recorded_words() {
    let directory = Directory::new();
    let id = Uuid::from_u128(77);
    let got = directory.get(&format!("/v1.0/applications/{id}"));
    assert_eq!((got.status, got.code()), (404, "Request_ResourceNotFound"));
    assert_eq!(
        got.message(),
        format!(
            "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
        )
    );
    let inner = &got.body["error"]["innerError"];
    assert_eq!(inner["date"], "2026-03-01T00:00:00");
    assert_eq!(inner["request-id"].as_str(), got.header("request-id"));
    assert_eq!(got.header("date"), Some("Sun, 01 Mar 2026 00:00:00 GMT"));
    assert_eq!(directory.get("/v1.0/applications/nonsense").status, 400);
    assert_eq!(directory.get("/v1.0/nonsense").message(), "Resource not found for the segment 'nonsense'.");
}

#[test]
fn the_certificate_in_a_list_is_null_unless_the_switch_says_otherwise() {
    let directory = Directory::new();
    directory.application("orders-api", vec![new_entry(identity(0), "first")]);
    let key = |path: &str| {
        let got = directory.get(path);
        let found =
            got.values().iter().find(|object| object["keyCredentials"][0].is_object()).cloned().unwrap();
        found["keyCredentials"][0]["key"].clone()
    };
    assert_eq!(key("/v1.0/applications?$select=appId,keyCredentials"), Value::Null);
    directory.emulator.set_settings(Settings { key_in_list: true, ..Settings::default() });
    assert_eq!(key("/v1.0/applications?$select=appId,keyCredentials"), identity(0).base64());
    assert_eq!(key("/v1.0/applications"), Value::Null);
}

#[test]
fn pages_follow_each_other_without_gap_or_overlap() {
    let directory = Directory::new();
    directory.emulator.seed(TENANT, 23);
    // The operator is an application like any other.
    for (path, pages) in [
        ("/v1.0/applications?$top=5", 5),
        ("/v1.0/applications", 1),
        ("/v1.0/applications?$top=999&$select=id", 1),
        ("/v1.0/servicePrincipals?$top=12", 2),
    ] {
        let (values, counted) = all(&directory, path, &[]);
        let ids: BTreeSet<&str> = values.iter().map(|object| object["id"].as_str().unwrap()).collect();
        assert_eq!((values.len(), ids.len(), counted), (24, 24, pages), "{path}");
    }
    directory.emulator.set_settings(Settings { page_size_max: 2, ..Settings::default() });
    let (values, counted) = all(&directory, "/v1.0/applications?$top=999&$select=id", &[]);
    assert_eq!((values.len(), counted), (24, 12));
    assert_eq!(values[0].as_object().unwrap().len(), 1);
}

#[test]
fn page_sizes_and_tokens_are_checked() {
    let directory = Directory::new();
    for top in ["0", "1000", "-1", "many"] {
        assert_eq!(directory.get(&format!("/v1.0/applications?$top={top}")).status, 400, "{top}");
    }
    assert_eq!(directory.get("/v1.0/applications?$skiptoken=made-up").code(), "Directory_ExpiredPageToken");
    assert_eq!(directory.get("/v1.0/applications?$select=id,nonsense").status, 400);
    assert_eq!(directory.get("/v1.0/applications?$nonsense=1").status, 400);
    assert_eq!(directory.get("/v1.0/applications?$expand=owners").code(), "Request_UnsupportedQuery");
}

#[test]
fn lists_are_shuffled_and_hold_members_nobody_documented() {
    let directory = Directory::new();
    directory.emulator.seed(TENANT, 12);
    let order = || -> Vec<String> {
        all(&directory, "/v1.0/applications", &[])
            .0
            .iter()
            .map(|object| object["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let shuffled = order();
    assert_eq!(shuffled, order());
    assert!(!shuffled.is_sorted());
    assert!(directory.get("/v1.0/applications").values()[0]["emulatorExtension"].is_object());
    directory.emulator.set_settings(Settings {
        shuffle_lists: false,
        extra_fields: false,
        ..Settings::default()
    });
    assert!(order().is_sorted());
    assert!(directory.get("/v1.0/applications").values()[0].get("emulatorExtension").is_none());
}

#[test]
fn filters_find_what_they_say() {
    let directory = Directory::new();
    let mut clients = Vec::new();
    for name in ["orders-api", "orders-web", "billing", "it's ours"] {
        clients.push(directory.application(name, vec![]).1);
    }
    let found = |filter: &str| {
        names(&directory.get(&format!("/v1.0/applications?$filter={}", filter.replace(' ', "%20"))))
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(found(&format!("appId eq '{}'", clients[0])), set(&["orders-api"]));
    assert_eq!(
        found(&format!("appId in ('{}','{}')", clients[1], clients[2])),
        set(&["orders-web", "billing"])
    );
    assert_eq!(found("displayName eq 'Billing'"), set(&["billing"]));
    assert_eq!(found("displayName eq 'it''s ours'"), set(&["it's ours"]));
    assert_eq!(found("startswith(displayName,'orders')"), set(&["orders-api", "orders-web"]));
    assert_eq!(
        found(
            "startswith(displayName,'orders') and (displayName eq 'orders-web' or displayName eq 'billing')"
        ),
        set(&["orders-web"])
    );
    assert_eq!(found("createdDateTime ge 2026-02-01T00:00:00Z"), set(&[]));
    assert_eq!(
        found("createdDateTime le 2026-02-01T00:00:00Z and signInAudience eq 'AzureADMyOrg'").len(),
        5
    );
}

#[test]
fn fifteen_ids_fit_a_filter_and_a_sixteenth_needs_an_advanced_query() {
    let directory = Directory::new();
    let ids: Vec<String> =
        directory.emulator.seed(TENANT, 60).iter().map(|seeded| format!("'{}'", seeded.app_id)).collect();
    let path = |count: usize, more: &str| {
        format!("/v1.0/applications?$select=id&$filter=appId%20in%20({}){more}", ids[..count].join(","))
    };
    assert_eq!(directory.get(&path(15, "")).values().len(), 15);
    let got = directory.get(&path(16, ""));
    assert_eq!((got.status, got.code()), (400, "Request_UnsupportedQuery"));
    assert!(got.message().ends_with("Max allowed: 15."));
    assert_eq!(directory.advanced(&path(40, "&$count=true")).values().len(), 40);
    assert_eq!(directory.advanced(&path(60, "&$count=true").replace('\'', "%27")).status, 414);
    // In a batch the address may be as long as it likes.
    let item = serde_json::json!({"id": "1", "method": "GET", "url": path(60, "&$count=true").strip_prefix("/v1.0").unwrap(), "headers": {"ConsistencyLevel": "eventual"}});
    let got = directory.post("/v1.0/$batch", json!({"requests": [item]}));
    assert_eq!(got.body["responses"][0]["body"]["value"].as_array().unwrap().len(), 60);
}

#[test]
fn advanced_operators_need_header_and_count() {
    let directory = Directory::new();
    directory.application("orders-api", vec![]);
    for (filter, operator) in [
        ("displayName%20ne%20'x'", "ne"),
        ("not(displayName%20eq%20'x')", "not"),
        ("endswith(displayName,'api')", "endsWith"),
    ] {
        let path = format!("/v1.0/applications?$filter={filter}");
        let got = directory.get(&format!("{path}&$count=true"));
        assert_eq!((got.status, got.code()), (400, "Request_UnsupportedQuery"));
        assert!(
            got.message().starts_with(&format!("Operator '{operator}' is not supported")),
            "{}",
            got.message()
        );
        assert_eq!(directory.advanced(&path).status, 400);
        assert_eq!(directory.advanced(&format!("{path}&$count=true")).status, 200);
    }
    assert_eq!(
        directory.get("/v1.0/applications?$filter=displayName%20eq%20'x'&$orderby=displayName").status,
        400
    );
    assert_eq!(directory.get("/v1.0/applications?$filter=keyCredentials%20eq%20'x'").status, 400);
    assert_eq!(directory.get("/v1.0/applications?$filter=displayName%20eq").code(), "BadRequest");
}

#[test]
fn counting_needs_the_header() {
    let directory = Directory::new();
    directory.emulator.seed(TENANT, 3);
    let got = directory.get("/v1.0/applications/$count");
    assert_eq!((got.status, got.message()), (400, "$count is not currently supported."));
    assert_eq!(directory.advanced("/v1.0/applications/$count").text, "4");
    // Without the header the parameter is ignored without a word.
    assert!(directory.get("/v1.0/applications?$count=true").body.get("@odata.count").is_none());
    assert_eq!(directory.advanced("/v1.0/applications?$count=true&$top=1").body["@odata.count"], 4);
    assert_eq!(
        directory.advanced("/v1.0/applications?$count=true&$orderby=displayName%20desc").values()[0]["displayName"],
        "Seeded application 00003"
    );
}

#[test]
fn an_agent_identity_blueprint_stands_among_the_applications() {
    let directory = Directory::new();
    let properties =
        json!({"@odata.type": "#microsoft.graph.agentIdentityBlueprint"}).as_object().unwrap().clone();
    directory
        .emulator
        .create_application(TENANT, NewApplication { properties, ..Default::default() })
        .unwrap();
    let got = directory.get("/v1.0/applications?$select=id");
    assert!(
        got.values().iter().any(|object| object["@odata.type"] == "#microsoft.graph.agentIdentityBlueprint")
    );
}

#[test]
fn a_deleted_application_is_in_the_bin_for_thirty_days_and_comes_back() {
    let directory = Directory::new();
    let (id, client) = directory.application("orders-api", vec![new_entry(identity(0), "first")]);
    let path = format!("/v1.0/applications/{id}");
    assert_eq!(directory.delete(&path).status, 204);
    assert_eq!(directory.get(&path).code(), "Request_ResourceNotFound");
    assert_eq!(directory.get(&format!("/v1.0/servicePrincipals(appId='{client}')")).status, 404);
    assert_eq!(sign_in_as(&directory.emulator, identity(0), client).aadsts(), 700_016);
    let bin = directory.get(&format!(
        "/v1.0/directory/deletedItems/microsoft.graph.application?$filter=appId%20eq%20'{client}'"
    ));
    assert_eq!(bin.values()[0]["id"], id.to_string());
    assert_eq!(bin.values()[0]["deletedDateTime"], "2026-03-01T00:00:00Z");
    assert_eq!(
        directory.get(&format!("/v1.0/directory/deletedItems/{id}")).body["@odata.type"],
        "#microsoft.graph.application"
    );
    assert_eq!(
        directory.get("/v1.0/directory/deletedItems/microsoft.graph.servicePrincipal").values().len(),
        1
    );
    let got =
        directory.send("POST", &format!("/v1.0/directory/deletedItems/{id}/restore"), &[], None).unwrap();
    assert_eq!(got.status, 200);
    assert_eq!(directory.get(&path).body["keyCredentials"].as_array().unwrap().len(), 1);
    assert_eq!(sign_in_as(&directory.emulator, identity(0), client).status, 200);
    directory.emulator.change(TENANT, Change::Delete { object: id, kind: None }).unwrap();
    directory.emulator.advance(days(31));
    let operator = directory.emulator.operator(TENANT);
    let token = token_for(&directory.emulator, operator.client_id, &operator.client_secret);
    let directory = Directory { token, ..directory };
    assert_eq!(directory.get(&format!("/v1.0/directory/deletedItems/{id}")).status, 404);
}

#[test]
fn permissions_decide_what_the_operator_may_do() {
    let directory = Directory::new();
    let id = directory.application("orders-api", vec![]).0;
    let path = format!("/v1.0/applications/{id}");
    let policies = "/v1.0/policies/defaultAppManagementPolicy";
    let principal = directory
        .get(&format!("/v1.0/servicePrincipals(appId='{}')", directory.emulator.operator(TENANT).client_id));
    let principal: Uuid = principal.body["id"].as_str().unwrap().parse().unwrap();
    let may = |permissions: &[&str]| {
        directory.emulator.grant_operator(TENANT, permissions).unwrap();
        [
            directory.get(&path).status,
            directory.patch(&path, json!({"notes": "x"})).status,
            directory.get(policies).status,
        ]
    };
    assert_eq!(may(&["Application.ReadWrite.All", "Policy.Read.All"]), [200, 204, 200]);
    assert_eq!(may(&["Application.Read.All"]), [200, 403, 403]);
    assert_eq!(may(&["Policy.Read.All"]), [403, 403, 200]);
    assert_eq!(may(&["Application.ReadWrite.OwnedBy"]), [200, 403, 403]);
    directory
        .emulator
        .change(TENANT, Change::Own { object: id, kind: None, owners: [principal].into() })
        .unwrap();
    assert_eq!(may(&["Application.ReadWrite.OwnedBy"]), [200, 204, 403]);
    let denied = directory.get(policies);
    assert_eq!(
        (denied.code(), denied.message()),
        ("Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
    );
}

#[test]
fn one_tenant_does_not_see_another() {
    let directory = Directory::new();
    let other = Uuid::from_u128(3);
    let id = directory.emulator.create_application(other, NewApplication::default()).unwrap().0;
    assert_eq!(directory.get(&format!("/v1.0/applications/{id}")).status, 404);
    assert_eq!(directory.get("/v1.0/applications").values().len(), 1);
}
