//! The other door over HTTP: `/_emulator/…`, for whoever started the server. The command line uses the same requests on
//! a state file, without a server between.
//!
//! | request | does |
//! |---|---|
//! | `GET`, `POST /_emulator/clock` | `{"now":…,"frozen":…}`; `{"advance":"30d"}`, `{"set":TIME}`, `{"freeze":true}`, `{"run":true}` |
//! | `GET`, `DELETE /_emulator/journal` | a JSON object a line |
//! | `POST /_emulator/reset` | empties the directory, all but tenants and their operators |
//! | `POST /_emulator/seed` | `{"applications":N,"tenant":ID}` |
//! | `GET`, `PUT /_emulator/faults`, `/_emulator/settings` | see `Faults`, `Settings` |
//! | `POST /_emulator/tenant` | `{"tenant":ID,"domain":NAME}`, both optional; answers the operator |
//! | `POST /_emulator/application`, `/_emulator/service-principal` | `NewApplication`, `NewServicePrincipal`; `?tenant=ID` |
//! | `POST /_emulator/change` | a `Change`; `?tenant=ID` |
//! | `GET /_emulator/show` | the directory as it really is |

use http::{Method, Request, Response};
use jiff::{Span, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::emulator::change::Change;
use crate::emulator::error::EmulatorError;
use crate::emulator::wire::Call;
use crate::emulator::world::Kind;
use crate::emulator::{Emulator, SEEDED_MAX};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    #[serde(default)]
    advance: Option<String>,
    #[serde(default)]
    set: Option<Timestamp>,
    #[serde(default)]
    freeze: bool,
    #[serde(default)]
    run: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedRequest {
    applications: usize,
    #[serde(default)]
    tenant: Option<Uuid>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TenantRequest {
    tenant: Option<Uuid>,
    domain: Option<String>,
}

/// Answers a request to the other door; none when the path is not one of its own.
pub fn control(emulator: &Emulator, request: &Request<Vec<u8>>) -> Option<Response<Vec<u8>>> {
    let call = Call::new(request, None);
    if call.segments.first().map(String::as_str) != Some("_emulator") {
        return None;
    }
    let (status, kind, body) = match act(emulator, &call) {
        Ok(Shown::Json(value)) => (200, "application/json", value.to_string()),
        Ok(Shown::Lines(text)) => (200, "application/x-ndjson", text),
        Err(Wrong { status, message }) => (status, "application/json", json!({"error": message}).to_string()),
    };
    let mut response = Response::new(body.into_bytes());
    *response.status_mut() =
        http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    Some(response)
}

enum Shown {
    Json(Value),
    Lines(String),
}

struct Wrong {
    status: u16,
    message: String,
}

impl From<EmulatorError> for Wrong {
    fn from(error: EmulatorError) -> Wrong {
        Wrong { status: 400, message: error.to_string() }
    }
}

fn act(emulator: &Emulator, call: &Call) -> Result<Shown, Wrong> {
    // A page in a browser that resolves its own name to loopback must not reach this.
    if call.header("origin").is_some() || !is_loopback(&call.base) {
        return Err(Wrong { status: 403, message: "only for programs on this machine".to_owned() });
    }
    let value = match (&call.method, call.route().get(1..).unwrap_or_default()) {
        (&Method::GET, ["clock"]) => clock(emulator),
        (&Method::POST, ["clock"]) => {
            set_clock(emulator, body(call)?)?;
            clock(emulator)
        }
        (&Method::GET, ["journal"]) => return Ok(Shown::Lines(journal(emulator))),
        (&Method::DELETE, ["journal"]) => {
            emulator.clear_journal();
            json!({})
        }
        (&Method::POST, ["reset"]) => {
            emulator.reset();
            json!({})
        }
        (&Method::POST, ["seed"]) => {
            let wanted: SeedRequest = body(call)?;
            if wanted.applications > SEEDED_MAX {
                let message = format!("at most {SEEDED_MAX} applications are seeded at once");
                return Err(Wrong { status: 400, message });
            }
            let tenant = wanted.tenant.unwrap_or_else(|| emulator.default_tenant());
            json!({"tenant": tenant, "applications": emulator.seed(tenant, wanted.applications)})
        }
        (&Method::GET, ["faults"]) => json!(emulator.faults()),
        (&Method::PUT, ["faults"]) => {
            emulator.set_faults(body(call)?);
            json!(emulator.faults())
        }
        (&Method::GET, ["settings"]) => json!(emulator.settings()),
        (&Method::PUT, ["settings"]) => {
            emulator.set_settings(body(call)?);
            json!(emulator.settings())
        }
        (&Method::POST, ["tenant"]) => {
            let wanted: TenantRequest = body(call)?;
            let tenant = wanted.tenant.unwrap_or_else(|| emulator.default_tenant());
            emulator.ensure_tenant(tenant, wanted.domain.as_deref());
            let operator = emulator.operator(tenant);
            json!({"tenant": tenant, "client_id": operator.client_id, "client_secret": operator.client_secret})
        }
        (&Method::POST, ["application"]) => {
            let (id, app_id) = emulator.create_application(tenant(emulator, call)?, body(call)?)?;
            json!({"id": id, "app_id": app_id})
        }
        (&Method::POST, ["service-principal"]) => {
            let (id, app_id) = emulator.create_service_principal(tenant(emulator, call)?, body(call)?)?;
            json!({"id": id, "app_id": app_id})
        }
        (&Method::POST, ["change"]) => {
            emulator.change(tenant(emulator, call)?, body::<Change>(call)?)?;
            json!({})
        }
        (&Method::GET, ["show"]) => show(emulator),
        _ => return Err(Wrong { status: 404, message: "no such power".to_owned() }),
    };
    match emulator.failure() {
        Some(message) => Err(Wrong { status: 500, message }),
        None => Ok(Shown::Json(value)),
    }
}

fn is_loopback(base: &str) -> bool {
    let host = base.split_once("://").map_or(base, |(_, host)| host);
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]") || name.ends_with(".localhost")
}

fn body<T: DeserializeOwned>(call: &Call) -> Result<T, Wrong> {
    let bytes: &[u8] = if call.body.is_empty() { b"{}" } else { &call.body };
    serde_json::from_slice(bytes).map_err(|error| Wrong { status: 400, message: error.to_string() })
}

/// The tenant of `?tenant=`, or the only one.
fn tenant(emulator: &Emulator, call: &Call) -> Result<Uuid, Wrong> {
    match call.parameter("tenant") {
        Some(text) => {
            text.parse().map_err(|_| Wrong { status: 400, message: format!("{text} is no tenant id") })
        }
        None => Ok(emulator.default_tenant()),
    }
}

fn clock(emulator: &Emulator) -> Value {
    json!({"now": emulator.now(), "frozen": emulator.is_frozen()})
}

fn set_clock(emulator: &Emulator, change: ClockChange) -> Result<(), Wrong> {
    let wrong = |message: &str| Wrong { status: 400, message: message.to_owned() };
    if let Some(text) = &change.advance {
        let span: Span = text
            .trim_start_matches('+')
            .parse()
            .map_err(|_| wrong("the clock moves by a duration such as +30d, +36h or +P1Y, or to a moment such as 2026-03-01T00:00:00Z"))?;
        // Days, months and years are calendar units in UTC.
        let now = emulator.now().to_zoned(jiff::tz::TimeZone::UTC);
        let to = now.checked_add(span).map_err(|_| wrong("the clock cannot go that far"))?;
        emulator.set_clock(to.timestamp());
    }
    if let Some(at) = change.set {
        emulator.freeze(Some(at));
    }
    if change.freeze {
        emulator.freeze(None);
    }
    if change.run {
        emulator.unfreeze();
    }
    Ok(())
}

fn journal(emulator: &Emulator) -> String {
    // Entries are plain text and numbers: writing them as JSON cannot fail.
    let lines = emulator.journal();
    lines.iter().map(|entry| serde_json::to_string(entry).unwrap_or_default() + "\n").collect()
}

fn show(emulator: &Emulator) -> Value {
    let tenants: Vec<Value> = emulator
        .tenants()
        .into_iter()
        .map(|(tenant, domain)| {
            json!({
                "tenant": tenant,
                "domain": domain,
                "applications": emulator.objects(tenant, Kind::Application),
                "servicePrincipals": emulator.objects(tenant, Kind::ServicePrincipal),
            })
        })
        .collect();
    json!({"now": emulator.now(), "frozen": emulator.is_frozen(), "tenants": tenants})
}
