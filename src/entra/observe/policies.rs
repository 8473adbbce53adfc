//! App management policies: how long a new credential may live on an object. Two requests for a tenant, further ones only where
//! a policy is assigned to more objects than `$expand` shows.

use std::collections::BTreeMap;

use jiff::civil::date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::entra::error::{EntraError, ErrorKind};
use crate::entra::http::{GraphClient, READ_POLICIES, parse};
use crate::entra::wire::{Object, moment};
use crate::ids::TargetKind;
use crate::net::printable;
use crate::observed::LifetimePolicy;

/// Members `$expand` shows at most.
const EXPANDED_MAX: usize = 20;

/// The policies of a tenant.
#[derive(Debug, Default)]
pub(super) struct Policies {
    default: Option<DefaultPolicy>,
    assigned: Vec<AssignedPolicy>,
    /// Places in `assigned`, by object id.
    of_object: BTreeMap<Uuid, Vec<usize>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DefaultPolicy {
    #[serde(default)]
    id: String,
    is_enabled: Option<bool>,
    application_restrictions: Option<Restrictions>,
    service_principal_restrictions: Option<Restrictions>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssignedPolicy {
    id: String,
    is_enabled: Option<bool>,
    restrictions: Option<Restrictions>,
    #[serde(default)]
    applies_to: Vec<Member>,
    #[serde(rename = "appliesTo@odata.nextLink")]
    more: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Restrictions {
    #[serde(default)]
    key_credentials: Vec<Restriction>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Restriction {
    restriction_type: Option<String>,
    state: Option<String>,
    max_lifetime: Option<String>,
    restrict_for_apps_created_after_date_time: Option<String>,
    exclude_actors: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Member {
    id: Uuid,
}

impl Policies {
    /// Reads the tenant's policies.
    pub(super) async fn read(client: &GraphClient) -> Result<Policies, EntraError> {
        let (default, assigned) =
            futures_util::future::join(read_default(client), read_assigned(client)).await;
        let mut policies = Policies { default: default?, assigned: assigned?, of_object: BTreeMap::new() };
        for (index, policy) in policies.assigned.iter().enumerate() {
            for member in &policy.applies_to {
                policies.of_object.entry(member.id).or_default().push(index);
            }
        }
        Ok(policies)
    }

    /// The restriction in force for new credentials on an object, and what a person should know about it. An assigned policy
    /// replaces the tenant's; nothing is inherited.
    pub(super) fn in_force(&self, object: &Object) -> (Option<LifetimePolicy>, Vec<String>) {
        let assigned = self.of_object.get(&object.id.object_id).into_iter().flatten();
        let assigned = assigned.filter_map(|index| self.assigned.get(*index));
        let enabled: Vec<&AssignedPolicy> =
            assigned.filter(|policy| policy.is_enabled != Some(false)).collect();
        let rules: Vec<(&str, &Restriction)> = if enabled.is_empty() {
            self.default_rules(object.id.kind).collect()
        } else {
            let rules = enabled.iter().flat_map(|policy| {
                let restrictions = policy.restrictions.iter().flat_map(|r| &r.key_credentials);
                restrictions.map(|rule| (policy.id.as_str(), rule))
            });
            rules.collect()
        };
        judge(&rules, object.created)
    }

    fn default_rules(&self, kind: TargetKind) -> impl Iterator<Item = (&str, &Restriction)> {
        let default = self.default.iter().filter(|policy| policy.is_enabled == Some(true));
        default.flat_map(move |policy| {
            let restrictions = match kind {
                TargetKind::Application => policy.application_restrictions.as_ref(),
                TargetKind::ServicePrincipal => policy.service_principal_restrictions.as_ref(),
            };
            let rules = restrictions.into_iter().flat_map(|r| &r.key_credentials);
            rules.map(|rule| (policy.id.as_str(), rule))
        })
    }
}

/// The shortest life of the rules that apply to an object of that age.
fn judge(
    rules: &[(&str, &Restriction)],
    created: Option<Timestamp>,
) -> (Option<LifetimePolicy>, Vec<String>) {
    let mut shortest: Option<LifetimePolicy> = None;
    let mut warnings = Vec::new();
    for (policy_id, rule) in rules {
        let off = rule.state.as_deref().is_some_and(|state| state.eq_ignore_ascii_case("disabled"));
        let after = rule.restrict_for_apps_created_after_date_time.as_deref().and_then(moment);
        // An unknown age counts as new: the shorter life is accepted either way.
        let too_old = matches!((created, after), (Some(created), Some(after)) if created < after);
        if off || too_old {
            continue;
        }
        let kind = rule.restriction_type.as_deref().unwrap_or_default();
        if kind != "asymmetricKeyLifetime" {
            let kind = printable(kind);
            warnings.push(format!(
                "policy {policy_id} restricts certificates in a way certroll does not know ({kind})"
            ));
            continue;
        }
        let Some(max_seconds) = rule.max_lifetime.as_deref().and_then(seconds) else {
            warnings.push(format!(
                "policy {policy_id} limits the life of certificates, but not to a length of time"
            ));
            continue;
        };
        if has_members(rule.exclude_actors.as_ref()) {
            warnings.push(format!(
                "policy {policy_id} exempts some callers; whether certroll is one of them cannot be computed, so the policy is kept to"
            ));
        }
        if shortest.as_ref().is_none_or(|policy| max_seconds < policy.max_seconds) {
            shortest = Some(LifetimePolicy { policy_id: (*policy_id).to_owned(), max_seconds });
        }
    }
    warnings.dedup();
    (shortest, warnings)
}

/// Whether an `excludeActors` says anything: its shape is open, an empty one in any shape does not.
fn has_members(value: Option<&serde_json::Value>) -> bool {
    use serde_json::Value;
    match value {
        None | Some(Value::Null) => false,
        Some(Value::Array(members)) => !members.is_empty(),
        Some(Value::Object(members)) => {
            members.iter().any(|(name, member)| !name.starts_with('@') && has_members(Some(member)))
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) => true,
    }
}

/// An ISO 8601 length in seconds. Years and months are counted where they are shortest, from the first of February.
fn seconds(text: &str) -> Option<i64> {
    let span: Span = text.parse().ok()?;
    let start = date(2027, 2, 1).to_zoned(TimeZone::UTC).ok()?;
    let end = start.checked_add(span).ok()?;
    let seconds = end.timestamp().as_second() - start.timestamp().as_second();
    (seconds > 0).then_some(seconds)
}

async fn read_default(client: &GraphClient) -> Result<Option<DefaultPolicy>, EntraError> {
    let doing = "reading the tenant's app management policy";
    let call = client.get("policies/defaultAppManagementPolicy", doing, READ_POLICIES)?;
    match client.read(&call).await {
        Ok(body) => parse(doing, &body).map(Some),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn read_assigned(client: &GraphClient) -> Result<Vec<AssignedPolicy>, EntraError> {
    let doing = "reading the assigned app management policies";
    let expanded = list_assigned(client, "policies/appManagementPolicies?$expand=appliesTo", doing).await;
    let (mut policies, complete) = match expanded {
        Ok(policies) => (policies, true),
        Err(error) if matches!(error.kind, ErrorKind::Refused(_)) => {
            (list_assigned(client, "policies/appManagementPolicies", doing).await?, false)
        }
        Err(error) => return Err(error),
    };
    for policy in &mut policies {
        let cut_off = policy.more.is_some() || policy.applies_to.len() >= EXPANDED_MAX;
        if cut_off || !complete {
            policy.applies_to = read_members(client, &policy.id).await?;
        }
    }
    Ok(policies)
}

async fn list_assigned(
    client: &GraphClient,
    path: &str,
    doing: &str,
) -> Result<Vec<AssignedPolicy>, EntraError> {
    collect(client, path, doing).await
}

async fn read_members(client: &GraphClient, policy_id: &str) -> Result<Vec<Member>, EntraError> {
    let plain = policy_id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let doing = format!("reading what policy {} applies to", printable(policy_id));
    if !plain {
        return Err(EntraError::new(ErrorKind::InvalidAnswer, doing, "the policy's id is not an id"));
    }
    collect(client, &format!("policies/appManagementPolicies/{policy_id}/appliesTo"), &doing).await
}

async fn collect<T: serde::de::DeserializeOwned>(
    client: &GraphClient,
    path: &str,
    doing: &str,
) -> Result<Vec<T>, EntraError> {
    let mut members: Vec<Box<RawValue>> = Vec::new();
    let call = client.get(path, doing, READ_POLICIES)?;
    client.pages(call, |member| members.push(member.to_owned())).await?;
    members.iter().map(|member| parse(doing, member.get().as_bytes())).collect()
}
