//! The directory: one request from the door to the answer.

mod access;
mod actions;
mod batch;
mod entries;
mod filter;
mod policies;
mod query;
mod read;
mod recycle;
mod refusal;
mod render;
mod route;
mod trouble;
mod update;

use http::Method;

use crate::emulator::throttle::Cost;
use crate::emulator::wire::{Call, Exchange, Reply};
use crate::emulator::world::Kind;
use access::Caller;
use refusal::{Outcome, Refusal};
use route::Place;

pub(crate) use actions::saml_pair;
pub(crate) use policies::tenant_default as tenant_default_policy;
pub(crate) use recycle::{bin, unbin};
pub(crate) use render::{Keys, object as render_object};
pub(crate) use trouble::note_removed;
pub(crate) use update::blank;

/// Answers a request whose path begins with a version.
pub(crate) fn answer(exchange: &mut Exchange<'_>, call: &Call) -> Reply {
    let reply = match call.route().get(1..) {
        Some(["$batch"]) => batch::answer(exchange, call).unwrap_or_else(|refusal| refusal.reply(exchange)),
        _ => single(exchange, call),
    };
    reply
        .with("request-id", exchange.request_id.to_string())
        .with("client-request-id", exchange.client_request_id.clone())
        .with("OData-Version", "4.0")
        .with("Cache-Control", "no-cache")
}

/// Answers one request that is no batch, or one item of a batch.
fn single(exchange: &mut Exchange<'_>, call: &Call) -> Reply {
    attempt(exchange, call).unwrap_or_else(|refusal| refusal.reply(exchange))
}

/// Whether the method asks for a change.
fn is_write(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PATCH | Method::PUT | Method::DELETE)
}

fn attempt(exchange: &mut Exchange<'_>, call: &Call) -> Outcome {
    let writes = is_write(&call.method);
    exchange.writes |= writes;
    let broken = trouble::before_anything(exchange)?;
    let caller = access::caller(exchange, call)?;
    exchange.client_id = Some(caller.client_id);
    let cost = cost(call, writes);
    let fullest = book(exchange, &caller, cost)?;
    let outcome = match writes {
        true => trouble::around_write(exchange, call, &caller, |exchange| act(exchange, call, &caller)),
        false => act(exchange, call, &caller),
    };
    if let Some(refusal) = broken {
        return Err(refusal);
    }
    let mut reply = outcome?.with("x-ms-resource-unit", cost.units.to_string());
    if fullest > 0.8 {
        reply = reply.with("x-ms-throttle-limit-percentage", format!("{fullest:.1}"));
    }
    Ok(reply)
}

/// Resource units as documented: a list of applications 2, everything else 1, `$select` one less, `$expand` one more,
/// small pages one less, never under 1.
fn cost(call: &Call, writes: bool) -> Cost {
    let route = call.route();
    let reads_list = route.get(1..) == Some(&["applications"]) && !writes;
    let mut units = if reads_list { 2_i64 } else { 1 };
    units -= i64::from(call.parameter("$select").is_some());
    units += i64::from(call.parameter("$expand").is_some());
    let small = call.parameter("$top").and_then(|top| top.parse::<u32>().ok()).is_some_and(|top| top < 20);
    units -= i64::from(small);
    let selects_credentials = !writes
        && call
            .parameter("$select")
            .is_some_and(|names| names.split(',').any(|name| name.trim() == "keyCredentials"));
    Cost { units: u64::try_from(units).unwrap_or(1).max(1), writes, selects_credentials }
}

fn book(exchange: &mut Exchange<'_>, caller: &Caller, cost: Cost) -> Result<f64, Refusal> {
    if !exchange.world.meta.faults.documented_throttling {
        return Ok(0.0);
    }
    let now = exchange.now;
    exchange.windows.book(now, caller.tenant, caller.client_id, cost).map_err(|exceeded| {
        Refusal::too_many(Some(exceeded.retry_after_seconds))
            .with_header("x-ms-throttle-information", exceeded.name)
            .with_header("x-ms-throttle-limit-percentage", format!("{:.1}", exceeded.used.min(1.8)))
            .with_header(
                "x-ms-throttle-scope",
                format!("Tenant_Application/ReadWrite/{}/{}", caller.client_id, caller.tenant),
            )
    })
}

/// What the request asks for, once it is known who asks.
fn act(exchange: &mut Exchange<'_>, call: &Call, caller: &Caller) -> Outcome {
    let route = call.route();
    let segments = route.get(1..).unwrap_or_default();
    let method = call.method.as_str();
    match route::place(segments) {
        Place::Collection(kind) => match method {
            "GET" => read::list(exchange, call, caller, kind),
            "POST" => update::create(exchange, call, caller, kind),
            _ => Err(not_allowed()),
        },
        Place::Object(kind, selector, rest) => match (method, rest) {
            ("GET", []) if selector.text() == "$count" => read::count(exchange, call, caller, kind),
            ("GET", []) => read::one(exchange, call, caller, kind, &selector),
            ("PATCH", []) => update::patch(exchange, call, caller, kind, &selector),
            ("DELETE", []) => recycle::delete(exchange, caller, kind, &selector),
            ("GET", ["appManagementPolicies"]) => {
                policies::of_object(exchange, call, caller, kind, &selector)
            }
            ("GET", ["owners"]) => update::owners(exchange, call, caller, kind, &selector),
            ("POST", [action]) => actions::act(exchange, call, caller, kind, &selector, action),
            (_, [other, ..]) => Err(Refusal::no_such_segment(other)),
            _ => Err(not_allowed()),
        },
        Place::Other => match segments {
            ["policies", rest @ ..] if method == "GET" => policies::read(exchange, call, caller, rest),
            ["directory", "deletedItems", rest @ ..] => recycle::act(exchange, call, caller, rest),
            [other, ..] => Err(Refusal::no_such_segment(other)),
            [] => Err(Refusal::no_such_segment("")),
        },
    }
}

fn not_allowed() -> Refusal {
    Refusal::new(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
}

/// The body of a request as a JSON object.
fn body(call: &Call) -> Result<serde_json::Map<String, serde_json::Value>, Refusal> {
    let unreadable = || {
        Refusal::new(
            400,
            "BadRequest",
            "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.",
        )
    };
    let is_json = call.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    if !is_json {
        return Err(unreadable());
    }
    serde_json::from_slice(&call.body).map_err(|_| unreadable())
}

/// The OData name of a kind in the recycle bin.
fn odata_type(kind: Kind) -> String {
    format!("microsoft.graph.{}", kind.type_name())
}
