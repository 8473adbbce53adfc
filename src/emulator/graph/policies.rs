//! App management policies: reading them, and refusing credentials that break them.

use jiff::{SignedDuration, Span, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::emulator::graph::access::Caller;
use crate::emulator::graph::read;
use crate::emulator::graph::refusal::{Outcome, Refusal};
use crate::emulator::graph::render::{self, Keys};
use crate::emulator::graph::route::Selector;
use crate::emulator::settings::PolicyLifetime;
use crate::emulator::wire::{Call, Exchange, Reply};
use crate::emulator::world::{Kind, Object, Tenant, TenantFacts};

/// How many items `$expand` returns.
const EXPANDED_MAX: usize = 20;

/// The tenant's policy as long as nobody has made one: off.
pub(crate) fn tenant_default() -> Value {
    json!({
        "id": "00000000-0000-0000-0000-000000000000",
        "displayName": "Default app management tenant policy",
        "description": "Default tenant policy that enforces app management restrictions on applications and service \
                        principals. To apply policy to targeted resources, create a new policy under \
                        appManagementPolicies collection.",
        "isEnabled": false,
        "applicationRestrictions": {"passwordCredentials": [], "keyCredentials": []},
        "servicePrincipalRestrictions": {"passwordCredentials": [], "keyCredentials": []},
    })
}

/// Everything below `/policies`.
pub(crate) fn read(exchange: &mut Exchange<'_>, call: &Call, caller: &Caller, rest: &[&str]) -> Outcome {
    caller.may_read_policies()?;
    let Some(directory) = exchange.world.tenants.get(&caller.tenant) else { return Err(Refusal::denied()) };
    match rest {
        ["defaultAppManagementPolicy"] => {
            let policy = directory.facts.default_policy.clone();
            Ok(Reply::json(200, with_context(call, "policies/defaultAppManagementPolicy/$entity", policy)))
        }
        ["appManagementPolicies"] => {
            let values =
                directory.facts.policies.iter().map(|(id, policy)| shown(call, directory, *id, policy));
            Ok(read::collection(call, "policies/appManagementPolicies", values.collect()))
        }
        ["appManagementPolicies", id, tail @ ..] => {
            let found = id.parse().ok().and_then(|id: Uuid| Some((id, directory.facts.policies.get(&id)?)));
            let (id, policy) = found.ok_or_else(|| Refusal::not_found(id))?;
            match tail {
                [] => {
                    let policy = shown(call, directory, id, policy);
                    Ok(Reply::json(200, with_context(call, "policies/appManagementPolicies/$entity", policy)))
                }
                ["appliesTo"] => Ok(applies_to(exchange, call, caller, id)),
                [other, ..] => Err(Refusal::no_such_segment(other)),
            }
        }
        [other, ..] => Err(Refusal::no_such_segment(other)),
        [] => Err(Refusal::no_such_segment("policies")),
    }
}

fn with_context(call: &Call, what: &str, policy: Value) -> Value {
    let mut members = Map::new();
    members.insert("@odata.context".to_owned(), Value::from(read::context(call, what)));
    if let Value::Object(policy) = policy {
        members.extend(policy);
    }
    Value::Object(members)
}

/// A policy, with up to twenty of the objects it applies to when they are asked for.
fn shown(call: &Call, directory: &Tenant, id: Uuid, policy: &Value) -> Value {
    let mut policy = policy.clone();
    let expands = call.parameter("$expand").is_some_and(|what| what.split('(').next() == Some("appliesTo"));
    if let (true, Some(members)) = (expands, policy.as_object_mut()) {
        let objects = assigned(directory, id).into_iter().take(EXPANDED_MAX);
        members.insert("appliesTo".to_owned(), objects.map(reference).collect());
    }
    policy
}

fn assigned(directory: &Tenant, policy: Uuid) -> Vec<&Object> {
    let all = directory.applications.values().chain(directory.service_principals.values());
    all.filter(|object| object.deleted.is_none() && object.policies.contains(&policy)).collect()
}

fn reference(object: &Object) -> Value {
    let mut shown = Map::new();
    shown.insert("@odata.type".to_owned(), Value::from(format!("#{}", super::odata_type(object.kind))));
    let names = ["id", "appId", "displayName"].map(str::to_owned);
    shown.extend(render::object(object, Some(&names), Keys::Null, false));
    Value::Object(shown)
}

/// All objects a policy is assigned to, in pages.
fn applies_to(exchange: &Exchange<'_>, call: &Call, caller: &Caller, id: Uuid) -> Reply {
    let size = call.parameter("$top").and_then(|top| top.parse().ok()).unwrap_or(100).clamp(1, 999);
    let size = exchange.world.meta.settings.page_size_max.clamp(1, size);
    let skip: usize = call.parameter("$skiptoken").and_then(|at| at.parse().ok()).unwrap_or(0);
    let Some(directory) = exchange.world.tenants.get(&caller.tenant) else {
        return read::collection(call, "directoryObjects", Vec::new());
    };
    let all = assigned(directory, id);
    let page = all.iter().skip(skip).take(size).map(|object| reference(object)).collect();
    let mut reply = read::collection(call, "directoryObjects", page);
    if let (true, crate::emulator::wire::Body::Json(body)) = (skip + size < all.len(), &mut reply.body) {
        let top = call.parameter("$top").map_or_else(String::new, |top| format!("$top={top}&"));
        let link = format!("{}{}?{top}$skiptoken={}", call.base, call.path(), skip + size);
        body["@odata.nextLink"] = Value::from(link);
    }
    reply
}

/// `GET …/{id}/appManagementPolicies`.
pub(crate) fn of_object(
    exchange: &mut Exchange<'_>,
    call: &Call,
    caller: &Caller,
    kind: Kind,
    selector: &Selector,
) -> Outcome {
    caller.may_read_policies()?;
    let object = read::find(exchange, caller.tenant, kind, selector)?;
    let Some(directory) = exchange.world.tenants.get(&caller.tenant) else { return Err(Refusal::denied()) };
    let policies =
        object.policies.iter().filter_map(|id| directory.facts.policies.get(id)).cloned().collect();
    Ok(read::collection(call, "appManagementPolicies", policies))
}

/// Refuses new certificates that live longer than the policy of the object allows.
pub(crate) fn check(
    exchange: &Exchange<'_>,
    tenant: Uuid,
    before: &Object,
    after: &Object,
) -> Result<(), Refusal> {
    let Some(directory) = exchange.world.tenants.get(&tenant) else { return Ok(()) };
    let Some(in_force) = in_force(&directory.facts, after) else { return Ok(()) };
    let new = after.keys.iter().filter(|key| !before.keys.iter().any(|old| old.key_id() == key.key_id()));
    for credential in new {
        let (Some(start), Some(end)) = (credential.time("startDateTime"), credential.time("endDateTime"))
        else {
            continue;
        };
        let from_start = end.duration_since(start);
        let from_now = end.duration_since(exchange.now);
        let lifetime = match exchange.world.meta.settings.policy_lifetime {
            PolicyLifetime::FromStart => from_start,
            PolicyLifetime::FromNow => from_now,
            PolicyLifetime::Either => from_start.max(from_now),
        };
        if in_force.restrictions.iter().any(|restriction| breaks(restriction, after, exchange.now, lifetime))
        {
            let message = format!(
                "Credential lifetime exceeds the max value allowed as per assigned policy '{}'.",
                in_force.id
            );
            return Err(Refusal::new(400, "CredentialInvalidLifetimeAsPerAppPolicy", message)
                .with_detail("InvalidKeyEndDate", "EndDate"));
        }
    }
    Ok(())
}

/// The certificate restrictions that count for an object, and the policy they come from.
struct InForce {
    id: String,
    restrictions: Vec<Value>,
}

/// An assigned policy replaces the tenant's default; nothing is inherited.
fn in_force(facts: &TenantFacts, object: &Object) -> Option<InForce> {
    let assigned = object.policies.iter().find_map(|id| facts.policies.get(id));
    let (policy, member) = match assigned {
        Some(policy) => (policy, "restrictions"),
        None => match object.kind {
            Kind::Application => (&facts.default_policy, "applicationRestrictions"),
            Kind::ServicePrincipal => (&facts.default_policy, "servicePrincipalRestrictions"),
        },
    };
    if policy.get("isEnabled").and_then(Value::as_bool) != Some(true) {
        return None;
    }
    let restrictions = policy.get(member)?.get("keyCredentials")?.as_array()?.clone();
    let id = policy.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(InForce { id, restrictions })
}

fn breaks(restriction: &Value, object: &Object, now: Timestamp, lifetime: SignedDuration) -> bool {
    let text = |name: &str| restriction.get(name).and_then(Value::as_str);
    if text("restrictionType") != Some("asymmetricKeyLifetime") || text("state") == Some("disabled") {
        return false;
    }
    let since: Option<Timestamp> = text("restrictForAppsCreatedAfterDateTime").and_then(|at| at.parse().ok());
    let created: Option<Timestamp> = object.text("createdDateTime").and_then(|at| at.parse().ok());
    if since.zip(created).is_some_and(|(since, created)| created < since) {
        return false;
    }
    text("maxLifetime").and_then(|text| length(text, now)).is_some_and(|longest| lifetime > longest)
}

/// An ISO 8601 duration from now on, with calendar units counted in UTC.
fn length(text: &str, now: Timestamp) -> Option<SignedDuration> {
    let span: Span = text.parse().ok()?;
    let start = now.to_zoned(jiff::tz::TimeZone::UTC);
    let end = start.checked_add(span).ok()?;
    Some(end.timestamp().duration_since(now))
}
