//! Reading one object and reading lists, as one of several replicas sees them.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::emulator::graph::access::Caller;
use crate::emulator::graph::query::{self, Direction, ListQuery};
use crate::emulator::graph::refusal::{Outcome, Refusal};
use crate::emulator::graph::render::{self, Keys};
use crate::emulator::graph::route::Selector;
use crate::emulator::ids;
use crate::emulator::wire::{Body, Call, Exchange, Reply, encode};
use crate::emulator::world::{Counters, Kind, Lag, Object, Tenant};

/// Which replica answers: they take turns. Advanced queries read an index, the slowest of all.
pub(crate) fn replica(exchange: &mut Exchange<'_>, advanced: bool) -> u32 {
    let Some(stale) = exchange.world.meta.faults.stale_reads else { return 0 };
    let replicas = stale.replicas.max(1);
    exchange.world.counters.reads += 1;
    exchange.world.dirty.counters = true;
    match advanced {
        true => replicas - 1,
        false => u32::try_from((exchange.world.counters.reads - 1) % u64::from(replicas)).unwrap_or(0),
    }
}

/// An object as a replica sees it; each look brings the replica nearer to the present.
fn seen<'a>(
    counters: &mut Counters,
    tenant: &'a Tenant,
    kind: Kind,
    id: Uuid,
    replica: u32,
    now: Timestamp,
) -> Option<Cow<'a, Object>> {
    if let Some(lags) = counters.lags.get_mut(&id) {
        lags.retain(|lag: &Lag| lag.until > now);
    }
    if let Some(lags) = counters.lags.get_mut(&id)
        && let Some(lag) = lags.iter_mut().find(|lag| lag.replica == replica)
    {
        lag.reads_left = lag.reads_left.saturating_sub(1);
        let shows = lag.shows.clone();
        lags.retain(|lag: &Lag| lag.reads_left > 0);
        return shows.filter(|object| object.deleted.is_none()).map(Cow::Owned);
    }
    tenant.live(kind, id).map(Cow::Borrowed)
}

/// Finds the object a path names, as a replica sees it.
pub(crate) fn find(
    exchange: &mut Exchange<'_>,
    tenant: Uuid,
    kind: Kind,
    selector: &Selector,
) -> Result<Object, Refusal> {
    let replica = replica(exchange, false);
    let world = &mut *exchange.world;
    let now = world.meta.clock.now();
    let missing = || Refusal::not_found(selector.text());
    let directory = world.tenants.get(&tenant).ok_or_else(missing)?;
    let ids = candidates(directory, kind, selector)?;
    ids.into_iter()
        .find_map(|id| seen(&mut world.counters, directory, kind, id, replica, now).map(Cow::into_owned))
        .ok_or_else(missing)
}

/// The object a path names, as it really is: writes go to the one that knows.
pub(crate) fn find_now(
    exchange: &Exchange<'_>,
    tenant: Uuid,
    kind: Kind,
    selector: &Selector,
) -> Result<Object, Refusal> {
    let missing = || Refusal::not_found(selector.text());
    let directory = exchange.world.tenants.get(&tenant).ok_or_else(missing)?;
    let ids = candidates(directory, kind, selector)?;
    ids.into_iter().find_map(|id| directory.live(kind, id)).cloned().ok_or_else(missing)
}

fn candidates(directory: &Tenant, kind: Kind, selector: &Selector) -> Result<Vec<Uuid>, Refusal> {
    Ok(match selector {
        Selector::Id(text) => {
            let id = text
                .parse()
                .map_err(|_| Refusal::bad_request(format!("Invalid object identifier '{text}'.")))?;
            vec![id]
        }
        Selector::AppId(text) => match text.parse::<Uuid>() {
            Ok(app_id) => directory.by_app_id.get(&(kind, app_id)).into_iter().flatten().copied().collect(),
            Err(_) => Vec::new(),
        },
        Selector::UniqueName(name) => directory
            .objects(kind)
            .values()
            .filter(|object| object.text("uniqueName").is_some_and(|found| found.eq_ignore_ascii_case(name)))
            .map(|object| object.id)
            .collect(),
    })
}

/// `GET` of one object.
pub(crate) fn one(
    exchange: &mut Exchange<'_>,
    call: &Call,
    caller: &Caller,
    kind: Kind,
    selector: &Selector,
) -> Outcome {
    caller.may_read()?;
    let select = query::select(call, kind)?;
    let object = find(exchange, caller.tenant, kind, selector)?;
    Ok(Reply::json(200, Value::Object(entity(exchange, call, &object, select.as_deref()))))
}

/// One object with its context, as `GET` and creation answer it.
pub(crate) fn entity(
    exchange: &Exchange<'_>,
    call: &Call,
    object: &Object,
    select: Option<&[String]>,
) -> Map<String, Value> {
    // Certificates come only to those who select them by name, one object at a time.
    let keys = match select {
        Some(names) if names.iter().any(|name| name == "keyCredentials") => Keys::Shown,
        _ => Keys::Null,
    };
    let extra = exchange.world.meta.settings.extra_fields;
    let mut shown = Map::new();
    let chosen = select.map_or_else(String::new, |names| format!("({})", names.join(",")));
    let collection = object.kind.collection();
    shown.insert(
        "@odata.context".to_owned(),
        Value::from(context(call, &format!("{collection}{chosen}/$entity"))),
    );
    shown.extend(render::object(object, select, keys, extra));
    shown
}

pub(crate) fn context(call: &Call, what: &str) -> String {
    let version = call.segments.first().map_or("v1.0", String::as_str);
    format!("{}/{version}/$metadata#{what}", call.base)
}

/// `GET` of a collection.
pub(crate) fn list(exchange: &mut Exchange<'_>, call: &Call, caller: &Caller, kind: Kind) -> Outcome {
    caller.may_read()?;
    let query = query::list(call, kind)?;
    let replica = replica(exchange, query.advanced);
    let settings = &exchange.world.meta.settings;
    let selects_keys = query.select.iter().flatten().any(|name| name == "keyCredentials");
    let keys = if selects_keys && settings.key_in_list { Keys::Shown } else { Keys::Null };
    let extra = settings.extra_fields;
    let page_size = query.top.min(settings.page_size_max.max(1));
    let seed = if settings.shuffle_lists { Some(exchange.world.meta.seed) } else { None };
    let world = &mut *exchange.world;
    let now = world.meta.clock.now();
    let Some(directory) = world.tenants.get(&caller.tenant) else { return Err(Refusal::denied()) };
    let matching = matching(directory, kind, &query, seed);
    let total = matching.len();
    let from = query.after.as_ref().map_or(0, |after| matching.partition_point(|(place, _)| place <= after));
    let page = &matching[from..(from + page_size).min(total)];
    let mut values = Vec::with_capacity(page.len());
    for (_, id) in page {
        // A new object that this replica has not heard of leaves a gap, as on the service.
        if let Some(object) = seen(&mut world.counters, directory, kind, *id, replica, now) {
            values.push(Value::Object(render::object(&object, query.select.as_deref(), keys, extra)));
        }
    }
    let mut answer = Map::new();
    let chosen = query.select.as_ref().map_or_else(String::new, |names| format!("({})", names.join(",")));
    let collection = kind.collection();
    answer.insert("@odata.context".to_owned(), Value::from(context(call, &format!("{collection}{chosen}"))));
    if query.count {
        answer.insert("@odata.count".to_owned(), Value::from(total));
    }
    if from + page.len() < total
        && let Some((place, _)) = page.last()
    {
        answer.insert("@odata.nextLink".to_owned(), Value::from(next_link(call, place)));
    }
    answer.insert("value".to_owned(), Value::Array(values));
    Ok(Reply::json(200, Value::Object(answer)))
}

/// The objects that match, each with its place in the list, in list order. Places are unique and stable, so
/// that a page can be asked for by the place before it, whatever is added or removed meanwhile.
fn matching(directory: &Tenant, kind: Kind, query: &ListQuery, seed: Option<u64>) -> Vec<(String, Uuid)> {
    let place = |object: &Object| match (query.order_by_name, seed) {
        (Some(_), _) => {
            format!("{}\0{}", object.text("displayName").unwrap_or_default().to_lowercase(), object.id)
        }
        (None, Some(seed)) => format!("{:016x}{}", ids::place(seed, object.id), object.id.simple()),
        (None, None) => object.id.simple().to_string(),
    };
    let fits = |object: &&Object| {
        object.deleted.is_none() && query.filter.as_ref().is_none_or(|filter| filter.matches(object))
    };
    let app_ids = query.filter.as_ref().and_then(|filter| filter.app_ids());
    let mut found: Vec<(String, Uuid)> = match app_ids {
        Some(app_ids) => app_ids
            .into_iter()
            .filter_map(|app_id| app_id.parse().ok())
            .filter_map(|app_id| directory.live_by_app_id(kind, app_id))
            .filter(fits)
            .map(|object| (place(object), object.id))
            .collect(),
        None => {
            directory.objects(kind).values().filter(fits).map(|object| (place(object), object.id)).collect()
        }
    };
    found.sort_unstable();
    found.dedup();
    if query.order_by_name == Some(Direction::Descending) {
        found.reverse();
    }
    found
}

/// The same request, going on after `place`.
fn next_link(call: &Call, place: &str) -> String {
    let (path, query) = call.target.split_once('?').unwrap_or((call.target.as_str(), ""));
    let mut parts: Vec<String> = query
        .split('&')
        .filter(|part| {
            !part.is_empty() && !part.starts_with("$skiptoken=") && !part.starts_with("%24skiptoken=")
        })
        .map(str::to_owned)
        .collect();
    parts.push(format!("$skiptoken={}", encode(&query::skip_token(place))));
    format!("{}{path}?{}", call.base, parts.join("&"))
}

/// `GET /applications/$count`.
pub(crate) fn count(exchange: &mut Exchange<'_>, call: &Call, caller: &Caller, kind: Kind) -> Outcome {
    caller.may_read()?;
    if !query::has_header(call) {
        return Err(Refusal::bad_request("$count is not currently supported."));
    }
    let filter = match call.parameter("$filter") {
        Some(text) => Some(super::filter::parse(text, kind, true)?),
        None => None,
    };
    let Some(directory) = exchange.world.tenants.get(&caller.tenant) else { return Err(Refusal::denied()) };
    let objects = directory.objects(kind).values().filter(|object| object.deleted.is_none());
    let total = objects.filter(|object| filter.as_ref().is_none_or(|filter| filter.matches(object))).count();
    Ok(Reply { status: 200, headers: Vec::new(), body: Body::Text(total.to_string()) })
}

/// An empty or full collection with its context.
pub(crate) fn collection(call: &Call, what: &str, values: Vec<Value>) -> Reply {
    Reply::json(200, json!({"@odata.context": context(call, what), "value": values}))
}
