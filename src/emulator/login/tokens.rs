//! Access tokens: what is in them, and whether one is ours.
//!
//! They have the form clients expect of a token for the directory (version 1.0), and are signed with a key only
//! this state knows, so that nothing has to be remembered about them.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::emulator::ids;
use crate::emulator::wire::Exchange;
use crate::emulator::world::World;

/// The directory's own application id, one of the names of its audience.
const GRAPH_APP_ID: &str = "00000003-0000-0000-c000-000000000000";

const GRAPH_HOSTS: &[&str] = &[
    "graph.microsoft.com",
    "graph.microsoft.us",
    "dod-graph.microsoft.us",
    "microsoftgraph.chinacloudapi.cn",
];

/// Resources other than the directory for which tokens are given.
const OTHER_RESOURCES: &[&str] = &[
    "https://management.azure.com",
    "https://management.core.windows.net",
    "https://vault.azure.net",
    "https://vault.usgovcloudapi.net",
    "https://vault.azure.cn",
];

/// What a token says.
pub(crate) struct Claims {
    pub(crate) audience: String,
    pub(crate) tenant: Uuid,
    pub(crate) client_id: Uuid,
    /// Seconds since 1970.
    pub(crate) not_before: i64,
    pub(crate) expires: i64,
}

/// Whether an audience means the directory: one of its names in any cloud, or the emulator itself.
pub(crate) fn is_graph(audience: &str, base: &str) -> bool {
    let audience = audience.trim_end_matches('/');
    if audience == GRAPH_APP_ID || audience == base {
        return true;
    }
    let Some(host) = audience.strip_prefix("https://") else { return false };
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    GRAPH_HOSTS.contains(&host)
        || name == "localhost"
        || name.ends_with(".localhost")
        || name == "127.0.0.1"
        || name == "[::1]"
}

/// Whether a token can be had for a resource that is not the directory.
pub(crate) fn is_other_resource(resource: &str, base: &str) -> bool {
    let resource = resource.trim_end_matches('/');
    OTHER_RESOURCES.contains(&resource) || resource == format!("{base}/arm")
}

fn key(world: &World) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &ids::bytes(world.meta.seed, "access tokens", 0))
}

/// A token for one client, from now on.
pub(crate) fn mint(
    exchange: &Exchange<'_>,
    tenant: Uuid,
    client_id: Uuid,
    principal: Uuid,
    audience: &str,
) -> String {
    let now = exchange.now.as_second();
    let world = &*exchange.world;
    let lifetime = i64::from(world.meta.settings.token_lifetime_seconds);
    let roles = world.tenants.get(&tenant).and_then(|tenant| tenant.facts.grants.get(&client_id));
    let roles: Vec<&String> = roles.into_iter().flatten().collect();
    let header = json!({"typ": "JWT", "alg": "HS256", "kid": "emulator"});
    let claims = json!({
        "aud": audience,
        "iss": format!("https://sts.windows.net/{tenant}/"),
        "iat": now, "nbf": now, "exp": now + lifetime,
        "appid": client_id.to_string(), "appidacr": "2", "idtyp": "app",
        "oid": principal.to_string(), "sub": principal.to_string(), "tid": tenant.to_string(),
        "roles": roles, "uti": exchange.request_id.simple().to_string(), "ver": "1.0",
    });
    let signed = format!("{}.{}", encoded(&header), encoded(&claims));
    let signature = hmac::sign(&key(world), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Reads a token this state has signed; none for anything else.
pub(crate) fn read(world: &World, token: &str) -> Option<Claims> {
    let (signed, signature) = token.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    hmac::verify(&key(world), signed.as_bytes(), &signature).ok()?;
    let (_, claims) = signed.split_once('.')?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let number = |name: &str| claims.get(name).and_then(Value::as_i64);
    Some(Claims {
        audience: text("aud")?.to_owned(),
        tenant: text("tid")?.parse().ok()?,
        client_id: text("appid")?.parse().ok()?,
        not_before: number("nbf")?,
        expires: number("exp")?,
    })
}
