//! The login service: tokens, discovery, managed identities. One host serves it and the directory.

pub(crate) mod assertion;
mod discovery;
mod errors;
mod federation;
mod managed_identity;
mod signin;
pub(crate) mod tokens;

use serde_json::json;

use crate::emulator::wire::{Call, Exchange, Reply};

/// Answers a request that is none of the directory's.
pub(crate) fn answer(exchange: &mut Exchange<'_>, call: &Call) -> Reply {
    let reply = match (call.method.as_str(), call.route().as_slice()) {
        ("POST", [tenant, "oauth2", "v2.0", "token"]) => signin::token(exchange, call, tenant),
        ("POST", [tenant, "oauth2", "v2.0", "devicecode"]) => signin::device_code(exchange, call, tenant),
        ("GET", ["common", "discovery", "instance"]) => discovery::instance(exchange, call),
        ("GET", [tenant, "v2.0", ".well-known", "openid-configuration"]) => {
            discovery::openid(exchange, call, tenant)
        }
        ("GET", [_, "discovery", "v2.0", "keys"]) => Reply::json(200, json!({"keys": []})),
        ("GET", ["metadata", "endpoints"]) => discovery::cloud(call),
        ("GET", ["subscriptions"]) => Reply::json(200, json!({"value": []})),
        ("GET", ["metadata", "identity", "oauth2", "token"]) => managed_identity::imds(exchange, call),
        ("GET", ["msi", "token"]) => managed_identity::app_service(exchange, call),
        _ => Reply::json(404, json!({"error": "not_found", "error_description": "No such endpoint."})),
    };
    reply
        .with("x-ms-request-id", exchange.request_id.to_string())
        .with("client-request-id", exchange.client_request_id.clone())
        .with("Cache-Control", "no-store, no-cache")
        .with("Pragma", "no-cache")
}
