//! Where the faults strike on the directory's side.

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::emulator::faults::{Faults, RivalChange, Which, strikes};
use crate::emulator::graph::access::Caller;
use crate::emulator::graph::read;
use crate::emulator::graph::refusal::{Outcome, Refusal};
use crate::emulator::graph::route::{self, Place};
use crate::emulator::seed;
use crate::emulator::wire::{Call, Exchange, Fate, Reply};
use crate::emulator::world::{Object, Removed};

/// How many removed credentials of one object are remembered.
const REMOVED_MAX: usize = 8;

/// Failures that come before anybody looks at the request. The value is a failure that comes after the work.
pub(crate) fn before_anything(exchange: &mut Exchange<'_>) -> Result<Option<Refusal>, Refusal> {
    if exchange.world.meta.faults == Faults::default() {
        return Ok(None);
    }
    exchange.world.counters.graph_requests += 1;
    exchange.world.dirty.counters = true;
    let number = exchange.world.counters.graph_requests;
    let faults = &exchange.world.meta.faults;
    if let Some(throttled) = faults.throttled
        && strikes(Some(throttled.every), number)
    {
        return Err(Refusal::too_many(throttled.retry_after_seconds.map(u64::from)));
    }
    if let Some(unavailable) = faults.unavailable
        && strikes(Some(unavailable.every), number)
    {
        let status = unavailable.status.clamp(500, 599);
        let code = if status == 503 { "serviceNotAvailable" } else { "Service_InternalServerError" };
        let refusal = Refusal::new(status, code, "The service is temporarily unavailable. Please try again.");
        return if unavailable.happened { Ok(Some(refusal)) } else { Err(refusal) };
    }
    Ok(None)
}

/// A write, with whatever is to go wrong around it.
pub(crate) fn around_write(
    exchange: &mut Exchange<'_>,
    call: &Call,
    caller: &Caller,
    work: impl FnOnce(&mut Exchange<'_>) -> Outcome,
) -> Outcome {
    if exchange.world.meta.faults == Faults::default() {
        return work(exchange);
    }
    exchange.world.dirty.counters = true;
    exchange.world.counters.conflict_candidates += 1;
    let every = exchange.world.meta.faults.conflicts.map(|fault| fault.every);
    if strikes(every, exchange.world.counters.conflict_candidates) {
        return Err(Refusal::new(
            409,
            "Directory_ConcurrencyViolation",
            "Error due to concurrent requests being made to the tenant. Please wait briefly and retry.",
        ));
    }
    exchange.world.counters.graph_writes += 1;
    let number = exchange.world.counters.graph_writes;
    let target = target(exchange, call, caller);
    rival(exchange, caller, target.as_ref(), number);
    let lost = exchange.world.meta.faults.lost_answers.iter().find(|lost| lost.write == number).copied();
    if let Some(lost) = lost {
        exchange.fate = Fate::Lost;
        if !lost.happened {
            return Ok(Reply::empty(0));
        }
    }
    let dropped = call.method == http::Method::PATCH && drops(exchange, call, target.as_ref(), number);
    let lags = target.as_ref().and_then(|object| exchange.world.counters.lags.get(&object.id).cloned());
    // The rival's change stays, so the state to go back to is the one after it.
    let before = self::target(exchange, call, caller);
    let outcome = work(exchange);
    if let Some(before) = before.filter(|_| dropped) {
        // It was checked like any other; now it is forgotten.
        exchange.world.undo(caller.tenant, before, lags);
    }
    outcome
}

fn target(exchange: &Exchange<'_>, call: &Call, caller: &Caller) -> Option<Object> {
    let route = call.route();
    match route::place(route.get(1..)?) {
        Place::Object(kind, selector, _) => read::find_now(exchange, caller.tenant, kind, &selector).ok(),
        _ => None,
    }
}

/// Somebody else writes first.
fn rival(exchange: &mut Exchange<'_>, caller: &Caller, target: Option<&Object>, number: u64) {
    let changes: Vec<RivalChange> = exchange
        .world
        .meta
        .faults
        .rival_writes
        .iter()
        .filter(|rival| rival.before_write == number)
        .map(|rival| rival.change)
        .collect();
    let Some(target) = target.filter(|_| !changes.is_empty()) else { return };
    let mut object = target.clone();
    for change in changes {
        match change {
            RivalChange::Adds => {
                let key_id = exchange.world.new_id();
                let serial = exchange.world.new_id();
                object.keys.push(seed::foreign_credential("rival", key_id, serial, exchange.now));
            }
            RivalChange::RemovesFirst if !object.keys.is_empty() => {
                object.keys.remove(0);
            }
            RivalChange::RemovesLast => {
                object.keys.pop();
            }
            RivalChange::RemovesFirst => {}
        }
    }
    exchange.world.store(caller.tenant, object);
}

fn drops(exchange: &Exchange<'_>, call: &Call, target: Option<&Object>, number: u64) -> bool {
    let Some(dropped) = exchange.world.meta.faults.dropped_writes else { return false };
    let Some(target) = target else { return false };
    if dropped.application.is_some_and(|id| id != target.id && id != target.app_id) {
        return false;
    }
    match dropped.which {
        Which::All => true,
        Which::Nth => dropped.nth == Some(number),
        Which::Adds => adds_credential(call, target),
    }
}

fn adds_credential(call: &Call, target: &Object) -> bool {
    let body: Map<String, Value> = serde_json::from_slice(&call.body).unwrap_or_default();
    let id =
        |entry: &Value| entry.get("keyId").and_then(Value::as_str).and_then(|id| id.parse::<Uuid>().ok());
    let present: Vec<_> = target.keys.iter().map(|credential| credential.key_id()).collect();
    let written = body.get("keyCredentials").and_then(Value::as_array);
    written.is_some_and(|entries| entries.iter().any(|entry| !present.contains(&id(entry))))
}

/// Remembers which credentials an update removes, for front ends that still accept them. Nothing else looks at
/// them, so without that fault nothing is kept.
pub(crate) fn note_removed(faults: &Faults, before: &Object, after: &mut Object, now: Timestamp) {
    if !faults.token_propagation.is_some_and(|propagation| propagation.removals) {
        after.removed.clear();
        return;
    }
    let gone = before.keys.iter().filter(|old| !after.keys.iter().any(|key| key.key_id() == old.key_id()));
    after.removed.extend(gone.map(|credential| Removed { credential: credential.clone(), at: now }));
    // Enough for any overlap a test is about; older ones are known everywhere.
    let surplus = after.removed.len().saturating_sub(REMOVED_MAX);
    after.removed.drain(..surplus);
}
