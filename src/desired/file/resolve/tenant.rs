//! Tenants.

use std::collections::BTreeMap;

use super::super::grammar::{self, Limit as WrittenLimit};
use super::super::words::guid;
use super::super::written::Item;
use super::{Resolver, placeholder};
use crate::desired::{Cloud, Freeze, Ignore, Limit, Tenant};
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::ids::Name;

pub(super) fn resolve(resolver: &mut Resolver<'_>) {
    let mut ids: BTreeMap<String, Place> = BTreeMap::new();
    for (name, item) in &resolver.written.tenants.items {
        let cloud = item.value.cloud.unwrap_or_default();
        let Some(id) = id(resolver, name, item, cloud) else { continue };
        // GUIDs and domains mean the same in any case.
        let same = id.to_lowercase();
        if let Some(first) = ids.get(&same) {
            let message = format!("tenant `{name}` has the id of another");
            let error = Diagnostic::error(Code::Duplicate, item.place_of(&["id"]), message);
            resolver.found.push(error.label(first.clone(), "also here"));
            continue;
        }
        ids.insert(same, item.place_of(&["id"]));
        if item.value.connection.is_some() {
            resolver.uses_connection(item.place_of(&["connection"]));
        }
        let freezes = freezes(resolver, &item.value.freeze, |keys| item.place_of(keys));
        resolver.tenant_freezes.insert(name.clone(), freezes.clone());
        resolver.tenants.insert(
            name.clone(),
            Tenant {
                name: name.clone(),
                id,
                cloud,
                connection: item.value.connection.clone(),
                max_issue: limit(item.value.max_issue, Limit::ISSUE_DEFAULT),
                max_retire: limit(item.value.max_retire, Limit::RETIRE_DEFAULT),
                freeze: freezes,
                ignore: ignores(&item.value.ignore),
                origin: item.origin(),
            },
        );
    }
}

fn id(
    resolver: &mut Resolver<'_>,
    name: &Name,
    item: &Item<'_, grammar::Tenant>,
    cloud: Cloud,
) -> Option<String> {
    let emulated = cloud == Cloud::Emulator;
    let Some(id) = &item.value.id else {
        if emulated {
            return Some(emulated_id(name));
        }
        let message = format!("tenant `{name}` needs the key `id`");
        let error = resolver.error(Code::MissingKey, item.place(), message);
        error.help.push("its GUID or a verified domain; only `cloud: emulator` goes without".into());
        return None;
    };
    let problem = match guid(&id.0) {
        Some(id) => placeholder::id(&id, emulated),
        None if emulated => None,
        None => placeholder::domain(&id.0),
    };
    if let Some(problem) = problem {
        let error = resolver.error(Code::Placeholder, item.place_of(&["id"]), problem);
        error.help.push("the tenant id stands on the overview page of Microsoft Entra ID".into());
        return None;
    }
    Some(id.0.clone())
}

/// The id of an emulated tenant that has none: the same for the same name, everywhere.
fn emulated_id(name: &Name) -> String {
    let text = format!("certroll emulated tenant v1\0{name}");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

fn limit(written: Option<WrittenLimit>, default: Limit) -> Limit {
    match written {
        None => default,
        Some(WrittenLimit::Count(count)) => Limit::Count(count),
        // A percentage of few certificates rounds to none; one step must stay possible unless the count says 0.
        Some(WrittenLimit::Percent(percent)) => Limit::Percent { percent: percent.0, at_least: 1 },
    }
}

/// Freezes as meant; one that ends before it begins is reported.
pub(super) fn freezes(
    resolver: &mut Resolver<'_>,
    written: &Option<Vec<grammar::Freeze>>,
    place: impl Fn(&[&str]) -> Place,
) -> Vec<Freeze> {
    let written = written.as_deref().unwrap_or_default();
    for freeze in written.iter().filter(|freeze| freeze.to.0 < freeze.from.0) {
        let message = format!("the freeze ends on {} before it begins on {}", freeze.to.0, freeze.from.0);
        resolver.error(Code::WrongValue, place(&["freeze"]), message);
    }
    let freeze = |freeze: &grammar::Freeze| Freeze {
        from: freeze.from.0,
        to: freeze.to.0,
        reason: freeze.reason.clone(),
    };
    written.iter().map(freeze).collect()
}

/// Ignored findings as meant.
pub(super) fn ignores(written: &Option<Vec<grammar::Ignore>>) -> Vec<Ignore> {
    let ignore = |ignore: &grammar::Ignore| Ignore {
        rule: ignore.rule,
        reason: ignore.reason.clone(),
        owner: ignore.owner.clone(),
        until: ignore.until.as_ref().map(|day| day.0),
    };
    written.iter().flatten().map(ignore).collect()
}
