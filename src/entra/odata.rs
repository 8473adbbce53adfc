//! Addresses below Graph's version root: quoting and filters. Every name that comes from outside passes through here.

use uuid::Uuid;

use crate::ids::{TargetId, TargetKind};

/// Expressions Graph accepts in one `in` (Microsoft Graph known issue 13635).
pub(super) const IN_MAX: usize = 15;
/// Objects Graph gives on one page of a list.
pub(super) const PAGE_MAX: usize = 999;

/// The collection objects of a kind live in.
pub(super) fn collection(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Application => "applications",
        TargetKind::ServicePrincipal => "servicePrincipals",
    }
}

/// One object.
pub(super) fn object(id: &TargetId) -> String {
    format!("{}/{}", collection(id.kind), id.object_id)
}

/// `appId in (…)`.
pub(super) fn app_id_in(app_ids: &[Uuid]) -> String {
    let quoted: Vec<String> = app_ids.iter().map(|id| format!("'{id}'")).collect();
    format!("appId in ({})", quoted.join(","))
}

/// A text literal: quotes are doubled.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A query of options, values percent-encoded.
pub(super) fn query(collection: &str, options: &[(&str, &str)]) -> String {
    let options: Vec<String> =
        options.iter().map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
    format!("{collection}?{}", options.join("&"))
}

/// Everything but unreserved characters and the few that filters are full of is encoded. A space becomes `%20`: `+` would be read
/// as a plus sign by some front ends.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~(),*$/@".contains(&byte);
        if plain {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
