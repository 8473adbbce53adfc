//! `$batch`: up to twenty requests in one envelope. It saves round trips and nothing else: each item is counted,
//! throttled and journalled by itself.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Map, Value, json};

use crate::emulator::graph::refusal::{Outcome, Refusal};
use crate::emulator::graph::{access, is_write, single};
use crate::emulator::ids;
use crate::emulator::wire::{Body, Call, Exchange, Item, Reply};

/// How many requests fit in one envelope.
const ITEMS_MAX: usize = 20;

struct Request {
    id: String,
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Option<Value>,
    depends_on: Vec<String>,
}

/// Answers an envelope.
pub(crate) fn answer(exchange: &mut Exchange<'_>, call: &Call) -> Outcome {
    if call.method != Method::POST {
        return Err(Refusal::new(405, "BadRequest", "Only POST is allowed for $batch."));
    }
    let caller = access::caller(exchange, call)?;
    exchange.client_id = Some(caller.client_id);
    let body = super::body(call)?;
    let requests = requests(&body)?;
    check(&requests)?;
    let mut statuses: BTreeMap<String, u16> = BTreeMap::new();
    let mut responses = Vec::with_capacity(requests.len());
    for request in &requests {
        // Items in a series come after the one they name, which the check has made sure of.
        let failed = request.depends_on.iter().any(|id| statuses.get(id).is_none_or(|status| *status >= 400));
        let reply = match failed {
            true => failed_dependency(exchange),
            false => item(exchange, call, request),
        };
        exchange.items.push(Item {
            id: request.id.clone(),
            method: request.method.to_string(),
            path: format!("/{}{}", call.segments.first().map_or("v1.0", String::as_str), request.url),
            status: reply.status,
            writes: is_write(&request.method),
        });
        statuses.insert(request.id.clone(), reply.status);
        responses.push((request.id.clone(), response(&request.id, reply)));
    }
    if exchange.world.meta.settings.shuffle_batches {
        let seed = exchange.world.meta.seed;
        responses.sort_by_key(|(id, _)| ids::bytes(seed, id, 0));
    }
    let responses: Vec<Value> = responses.into_iter().map(|(_, response)| response).collect();
    Ok(Reply::json(200, json!({"responses": responses})))
}

fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "BadRequest", message)
}

fn requests(body: &Map<String, Value>) -> Result<Vec<Request>, Refusal> {
    let list =
        body.get("requests").and_then(Value::as_array).ok_or_else(|| bad("Invalid batch payload format."))?;
    if list.is_empty() || list.len() > ITEMS_MAX {
        let count = list.len();
        return Err(bad(format!(
            "Number of batch request steps exceeds the maximum value of {ITEMS_MAX}: {count}."
        )));
    }
    list.iter().map(request).collect()
}

fn request(value: &Value) -> Result<Request, Refusal> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let id = text("id").filter(|id| !id.is_empty()).ok_or_else(|| bad("Every batch request needs an id."))?;
    let method: Method = text("method")
        .and_then(|method| method.parse().ok())
        .ok_or_else(|| bad("Unsupported request method."))?;
    let url = text("url").ok_or_else(|| bad("Every batch request needs a url."))?;
    if url.contains("://") || url.contains("$batch") {
        return Err(bad(format!("Invalid batch url: '{url}' must be relative to the version.")));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in value.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let name = HeaderName::try_from(name.as_str()).map_err(|_| bad("Invalid header name."))?;
        let value =
            HeaderValue::try_from(value.as_str().unwrap_or_default()).map_err(|_| bad("Invalid header."))?;
        headers.insert(name, value);
    }
    let body = value.get("body").filter(|body| !body.is_null()).cloned();
    if body.is_some() && !headers.contains_key("content-type") {
        return Err(bad(format!("The batch request '{id}' has a body and no Content-Type header.")));
    }
    let depends_on = value.get("dependsOn").and_then(Value::as_array).into_iter().flatten();
    let depends_on = depends_on.filter_map(|id| id.as_str().map(str::to_owned)).collect();
    let url = format!("/{}", url.trim_start_matches('/'));
    Ok(Request { id: id.to_owned(), method, url, headers, body, depends_on })
}

/// Ids are unique; a batch is parallel throughout, or a series in which each names the one before it, or all name
/// the same one.
fn check(requests: &[Request]) -> Result<(), Refusal> {
    let mut before = BTreeSet::new();
    for request in requests {
        if before.contains(&request.id) {
            return Err(bad(format!("Request Id : {} has to be unique in a batch.", request.id)));
        }
        if let Some(unknown) = request.depends_on.iter().find(|id| !before.contains(*id)) {
            return Err(bad(format!(
                "The batch request '{}' depends on '{unknown}', which does not come before it.",
                request.id
            )));
        }
        before.insert(request.id.clone());
    }
    let serial = requests.iter().skip(1).filter(|request| !request.depends_on.is_empty()).count();
    if serial != 0 && serial != requests.len() - 1 {
        return Err(bad("A batch is either fully parallel or fully serial."));
    }
    Ok(())
}

fn item(exchange: &mut Exchange<'_>, call: &Call, request: &Request) -> Reply {
    // Only the token is the envelope's; ConsistencyLevel and all else every item says for itself.
    let mut headers = request.headers.clone();
    if let Some(token) = call.headers.get(http::header::AUTHORIZATION) {
        headers.insert(http::header::AUTHORIZATION, token.clone());
    }
    let version = call.segments.first().map_or("v1.0", String::as_str);
    let target = format!("/{version}{}", request.url);
    let body = request.body.as_ref().map_or_else(Vec::new, |body| body.to_string().into_bytes());
    let mut inner = Call::parsed(request.method.clone(), &target, headers, body, call.base.clone());
    inner.in_batch = true;
    // The envelope reads; what writes is an item.
    let envelope_writes = exchange.writes;
    let reply = single(exchange, &inner);
    exchange.writes = envelope_writes;
    reply
}

fn failed_dependency(exchange: &Exchange<'_>) -> Reply {
    Refusal::new(424, "FailedDependency", "Failed Dependency").reply(exchange)
}

fn response(id: &str, reply: Reply) -> Value {
    let mut headers = Map::new();
    headers.insert("Cache-Control".to_owned(), Value::from("no-cache"));
    for (name, value) in reply.headers {
        headers.insert(name.to_owned(), Value::from(value));
    }
    let mut response = json!({"id": id, "status": reply.status});
    match reply.body {
        Body::Empty => {}
        Body::Json(body) => {
            headers.insert("Content-Type".to_owned(), Value::from("application/json"));
            response["body"] = body;
        }
        Body::Text(text) => {
            headers.insert("Content-Type".to_owned(), Value::from("text/plain"));
            response["body"] = Value::from(text);
        }
    }
    response["headers"] = Value::Object(headers);
    response
}
