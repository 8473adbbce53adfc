//! Documents by which clients find the endpoints.

use serde_json::{Value, json};

use crate::emulator::login::signin;
use crate::emulator::wire::{Call, Exchange, Reply};

/// `GET /{tenant}/v2.0/.well-known/openid-configuration`.
pub(crate) fn openid(exchange: &Exchange<'_>, call: &Call, name: &str) -> Reply {
    // The placeholders for "any tenant" are answered without looking. For others the issuer names the tenant by id, also
    // when it was asked for by domain.
    let issuer = if matches!(name, "common" | "organizations" | "consumers") {
        format!("{}/{{tenantid}}/v2.0", call.base)
    } else {
        match signin::tenant(exchange.world, name) {
            Ok(id) => format!("{}/{id}/v2.0", call.base),
            Err(error) => return error.reply(exchange, call),
        }
    };
    let here = format!("{}/{name}", call.base);
    Reply::json(
        200,
        json!({
            "token_endpoint": format!("{here}/oauth2/v2.0/token"),
            "token_endpoint_auth_methods_supported":
                ["client_secret_post", "private_key_jwt", "client_secret_basic", "self_signed_tls_client_auth"],
            "jwks_uri": format!("{here}/discovery/v2.0/keys"),
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": issuer,
            "request_uri_parameter_supported": false,
            "authorization_endpoint": format!("{here}/oauth2/v2.0/authorize"),
            "device_authorization_endpoint": format!("{here}/oauth2/v2.0/devicecode"),
            "end_session_endpoint": format!("{here}/oauth2/v2.0/logout"),
            "tenant_region_scope": "EU",
            "cloud_instance_name": host(call),
            "cloud_graph_host_name": host(call),
            "msgraph_host": host(call),
        }),
    )
}

fn host(call: &Call) -> &str {
    call.base.split_once("://").map_or(call.base.as_str(), |(_, host)| host)
}

/// `GET /common/discovery/instance`.
pub(crate) fn instance(exchange: &Exchange<'_>, call: &Call) -> Reply {
    // The tenant is taken from the endpoint asked about; its host is ignored, as everywhere.
    let asked = call.parameter("authorization_endpoint").unwrap_or_default();
    let path =
        asked.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    let tenant = path.split('/').next().filter(|tenant| !tenant.is_empty());
    let first = || exchange.world.tenants.keys().next().map(|id| id.to_string());
    let tenant = tenant.map(str::to_owned).or_else(first).unwrap_or_else(|| "common".to_owned());
    let name = host(call);
    let bare = name.rsplit_once(':').map_or(name, |(bare, _)| bare);
    let mut aliases = vec![name];
    if bare != name {
        aliases.push(bare);
    }
    Reply::json(
        200,
        json!({
            "tenant_discovery_endpoint": format!("{}/{tenant}/v2.0/.well-known/openid-configuration", call.base),
            "api-version": "1.1",
            "metadata": [{"preferred_network": name, "preferred_cache": name, "aliases": aliases}],
        }),
    )
}

/// `GET /metadata/endpoints`: an array in the version of 2019, one object in that of 2022.
pub(crate) fn cloud(call: &Call) -> Reply {
    let base = call.base.as_str();
    let arm = format!("{base}/arm");
    let document = json!({
        "name": "Emulator", "portal": base,
        "authentication": {
            "loginEndpoint": base, "audiences": [arm, arm], "tenant": "common", "identityProvider": "AAD",
        },
        "media": base, "graphAudience": base, "graph": base, "batch": base, "resourceManager": base,
        "vmImageAliasDoc": base, "sqlManagement": base, "microsoftGraphResourceId": base, "gallery": base,
        "suffixes": {
            "keyVaultDns": "vault.localhost", "storage": "storage.localhost",
            "sqlServerHostname": "sql.localhost", "acrLoginServer": "acr.localhost",
        },
    });
    let as_list = call.parameter("api-version").is_some_and(|version| version < "2022");
    Reply::json(200, if as_list { Value::Array(vec![document]) } else { document })
}
