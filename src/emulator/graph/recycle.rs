//! Deleting, the recycle bin, and bringing back.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::emulator::clock::moved;
use crate::emulator::graph::access::Caller;
use crate::emulator::graph::refusal::{Outcome, Refusal};
use crate::emulator::graph::render::{self, Keys};
use crate::emulator::graph::route::Selector;
use crate::emulator::graph::{odata_type, read};
use crate::emulator::wire::{Call, Exchange, Reply};
use crate::emulator::world::{Kind, Object, World};

/// For how many days a deleted object can be brought back.
const DAYS_KEPT: i64 = 30;

/// `DELETE` of one object.
pub(crate) fn delete(
    exchange: &mut Exchange<'_>,
    caller: &Caller,
    kind: Kind,
    selector: &Selector,
) -> Outcome {
    let object = read::find_now(exchange, caller.tenant, kind, selector)?;
    caller.may_write(&object)?;
    bin(exchange.world, caller.tenant, object, exchange.now);
    Ok(Reply::empty(204))
}

/// Moves an object to the recycle bin, and with an application its service principal in the same tenant.
pub(crate) fn bin(world: &mut World, tenant: Uuid, object: Object, now: jiff::Timestamp) {
    let also = match object.kind {
        Kind::Application => world
            .tenants
            .get(&tenant)
            .and_then(|directory| directory.live_by_app_id(Kind::ServicePrincipal, object.app_id))
            .cloned(),
        Kind::ServicePrincipal => None,
    };
    for mut object in std::iter::once(object).chain(also) {
        object.deleted = Some(now);
        world.store(tenant, object);
    }
}

/// Everything below `/directory/deletedItems`.
pub(crate) fn act(exchange: &mut Exchange<'_>, call: &Call, caller: &Caller, rest: &[&str]) -> Outcome {
    match (call.method.as_str(), rest) {
        ("GET", [one]) => match kind_of(one) {
            Some(kind) => list(exchange, call, caller, kind),
            None => get(exchange, caller, one),
        },
        ("GET", [cast, id]) if kind_of(cast).is_some() => get(exchange, caller, id),
        ("POST", [id, "restore"]) => restore(exchange, call, caller, id),
        ("DELETE", [id]) => erase(exchange, caller, id),
        (_, other) => Err(Refusal::no_such_segment(other.last().unwrap_or(&"deletedItems"))),
    }
}

fn kind_of(cast: &str) -> Option<Kind> {
    [Kind::Application, Kind::ServicePrincipal]
        .into_iter()
        .find(|kind| odata_type(*kind).eq_ignore_ascii_case(cast))
}

fn is_binned(object: &Object, now: jiff::Timestamp) -> bool {
    let kept = jiff::SignedDuration::from_hours(24 * DAYS_KEPT);
    object.deleted.is_some_and(|at| now < moved(at, kept))
}

fn find(exchange: &Exchange<'_>, caller: &Caller, id: &str) -> Result<Object, Refusal> {
    let missing = || Refusal::not_found(id);
    let parsed: Uuid =
        id.parse().map_err(|_| Refusal::bad_request(format!("Invalid object identifier '{id}'.")))?;
    let directory = exchange.world.tenants.get(&caller.tenant).ok_or_else(missing)?;
    [Kind::Application, Kind::ServicePrincipal]
        .into_iter()
        .find_map(|kind| directory.objects(kind).get(&parsed))
        .filter(|object| is_binned(object, exchange.now))
        .cloned()
        .ok_or_else(missing)
}

fn list(exchange: &mut Exchange<'_>, call: &Call, caller: &Caller, kind: Kind) -> Outcome {
    caller.may_read()?;
    let query = super::query::list(call, kind)?;
    let Some(directory) = exchange.world.tenants.get(&caller.tenant) else { return Err(Refusal::denied()) };
    let fits = |object: &&Object| {
        is_binned(object, exchange.now) && query.filter.as_ref().is_none_or(|filter| filter.matches(object))
    };
    // The recycle bin is small; it is not paged here.
    let values = directory
        .objects(kind)
        .values()
        .filter(fits)
        .map(|object| Value::Object(render::object(object, query.select.as_deref(), Keys::Null, false)))
        .collect();
    Ok(read::collection(call, "directoryObjects", values))
}

fn get(exchange: &Exchange<'_>, caller: &Caller, id: &str) -> Outcome {
    caller.may_read()?;
    let object = find(exchange, caller, id)?;
    let mut shown = json!({"@odata.type": format!("#{}", odata_type(object.kind))});
    if let Some(members) = shown.as_object_mut() {
        members.extend(render::object(&object, None, Keys::Null, false));
    }
    Ok(Reply::json(200, shown))
}

fn restore(exchange: &mut Exchange<'_>, call: &Call, caller: &Caller, id: &str) -> Outcome {
    let object = find(exchange, caller, id)?;
    caller.may_write(&object)?;
    let restored = unbin(exchange.world, caller.tenant, object);
    Ok(Reply::json(200, Value::Object(read::entity(exchange, call, &restored, None))))
}

/// Brings an object back, and with an application its service principal.
pub(crate) fn unbin(world: &mut World, tenant: Uuid, object: Object) -> Object {
    let also: Vec<Object> = match object.kind {
        Kind::ServicePrincipal => Vec::new(),
        Kind::Application => world
            .tenants
            .get(&tenant)
            .into_iter()
            .flat_map(|directory| directory.service_principals.values())
            .filter(|principal| principal.app_id == object.app_id && principal.deleted == object.deleted)
            .cloned()
            .collect(),
    };
    let mut restored = object.clone();
    restored.deleted = None;
    for mut object in std::iter::once(object).chain(also) {
        object.deleted = None;
        world.store(tenant, object);
    }
    restored
}

fn erase(exchange: &mut Exchange<'_>, caller: &Caller, id: &str) -> Outcome {
    let object = find(exchange, caller, id)?;
    caller.may_write(&object)?;
    exchange.world.erase(caller.tenant, object.kind, object.id);
    Ok(Reply::empty(204))
}
