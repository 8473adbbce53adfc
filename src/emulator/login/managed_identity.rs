//! The endpoints at which a machine asks for a token of the identity assigned to it.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::emulator::login::tokens;
use crate::emulator::wire::{Call, Exchange, Reply};
use crate::emulator::world::{Kind, Object};

/// The header value the App Service form wants to see.
pub(crate) const IDENTITY_HEADER: &str = "emulator-identity-header";

/// `GET /metadata/identity/oauth2/token`: the virtual machine's form.
pub(crate) fn imds(exchange: &mut Exchange<'_>, call: &Call) -> Reply {
    let refused =
        |error: &str, text: &str| Reply::json(400, json!({"error": error, "error_description": text}));
    if !call.header("metadata").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return refused("bad_request_102", "Required metadata header not specified");
    }
    let Some((tenant, identity)) = identity(exchange, call, &["msi_res_id", "mi_res_id"]) else {
        return refused("invalid_request", "Identity not found");
    };
    let Some(resource) = resource(call) else {
        return refused(
            "invalid_resource",
            "AADSTS50001: The resource principal was not found in the tenant.",
        );
    };
    let (token, expires) = mint(exchange, tenant, &identity, &resource);
    let now = exchange.now.as_second();
    // All numbers are strings here.
    Reply::json(
        200,
        json!({
            "access_token": token, "client_id": identity.app_id.to_string(), "refresh_token": "",
            "expires_in": (expires - now).to_string(), "expires_on": expires.to_string(),
            "not_before": now.to_string(), "resource": resource, "token_type": "Bearer",
        }),
    )
}

/// `GET /msi/token`: the form of App Service, Functions and Container Apps.
pub(crate) fn app_service(exchange: &mut Exchange<'_>, call: &Call) -> Reply {
    let correlation = exchange.request_id.to_string();
    let refused = |status: u16, text: &str| {
        Reply::json(status, json!({"statusCode": status, "message": text, "correlationId": correlation}))
    };
    if call.header("x-identity-header") != Some(IDENTITY_HEADER) {
        return refused(401, "The X-IDENTITY-HEADER header is missing or wrong.");
    }
    let Some((tenant, identity)) = identity(exchange, call, &["mi_res_id"]) else {
        return refused(
            400,
            "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.",
        );
    };
    let Some(resource) = resource(call) else { return refused(500, "An error has occurred.") };
    let (token, expires) = mint(exchange, tenant, &identity, &resource);
    Reply::json(
        200,
        json!({
            "access_token": token, "client_id": identity.app_id.to_string().to_uppercase(),
            "expires_on": expires.to_string(), "resource": resource, "token_type": "Bearer",
        }),
    )
}

/// The managed identity the query names, or the only one there is.
fn identity(exchange: &Exchange<'_>, call: &Call, resource_ids: &[&str]) -> Option<(Uuid, Object)> {
    let client_id = call.parameter("client_id");
    let object_id = call.parameter("object_id").or_else(|| call.parameter("principal_id"));
    let resource_id = resource_ids.iter().find_map(|name| call.parameter(name));
    let fits = |object: &&Object| {
        object.deleted.is_none()
            && object.text("servicePrincipalType") == Some("ManagedIdentity")
            && client_id.is_none_or(|id| id.parse() == Ok(object.app_id))
            && object_id.is_none_or(|id| id.parse() == Ok(object.id))
            && resource_id.is_none_or(|id| has_name(object, id))
    };
    let mut found = exchange.world.tenants.values().flat_map(|tenant| {
        tenant.objects(Kind::ServicePrincipal).values().filter(fits).map(|object| (tenant.facts.id, object))
    });
    let (tenant, object) = found.next()?;
    match found.next() {
        None => Some((tenant, object.clone())),
        Some(_) => None,
    }
}

fn has_name(object: &Object, name: &str) -> bool {
    let names = object.value("alternativeNames").and_then(Value::as_array);
    names.is_some_and(|names| {
        names.iter().filter_map(Value::as_str).any(|other| other.eq_ignore_ascii_case(name))
    })
}

fn resource(call: &Call) -> Option<String> {
    let resource = call.parameter("resource")?.trim_end_matches('/');
    let known = tokens::is_graph(resource, &call.base) || tokens::is_other_resource(resource, &call.base);
    known.then(|| resource.to_owned())
}

fn mint(exchange: &mut Exchange<'_>, tenant: Uuid, identity: &Object, resource: &str) -> (String, i64) {
    exchange.client_id = Some(identity.app_id);
    let lifetime = i64::from(exchange.world.meta.settings.token_lifetime_seconds);
    let token = tokens::mint(exchange, tenant, identity.app_id, identity.id, resource);
    (token, exchange.now.as_second() + lifetime)
}
