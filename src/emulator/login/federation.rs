//! Sign-in with a token of another issuer that the application trusts.

use jiff::Timestamp;
use serde_json::Value;

use crate::emulator::certificate::lenient_base64;
use crate::emulator::login::assertion::{FrontEnd, Jwt};
use crate::emulator::login::errors::{SignInError, out_of_time};
use crate::emulator::world::{Object, TenantFacts};

/// Checks a foreign token against the federated credentials of the application.
pub(crate) fn check(
    jwt: &Jwt,
    facts: &TenantFacts,
    holders: &[&Object],
    now: Timestamp,
    front_end: FrontEnd,
) -> Result<(), SignInError> {
    let claim = |name: &str| jwt.claim(name).unwrap_or_default();
    let (issuer, subject) = (claim("iss"), claim("sub"));
    // An audience may be one text or a list of them.
    let audiences: Vec<&str> = match jwt.claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if jwt.algorithm() != Some("RS256") {
        let text = format!(
            "Invalid JWT token. '{}' is not a supported signature algorithm. Supported signing algorithms are: 'RS256'.",
            jwt.algorithm().unwrap_or("")
        );
        return Err(SignInError::client(5_002_738, text));
    }
    let trusted = holders.iter().flat_map(|holder| &holder.federated).any(|credential| {
        let text = |name: &str| credential.get(name).and_then(Value::as_str).unwrap_or_default();
        let listed = credential.get("audiences").and_then(Value::as_array);
        let audience_fits =
            listed.is_some_and(|list| list.iter().filter_map(Value::as_str).any(|a| audiences.contains(&a)));
        let added = credential.get("added").and_then(Value::as_str).and_then(|at| at.parse().ok());
        let known = added.is_none_or(|added: Timestamp| front_end.knows(added, now));
        known && text("issuer") == issuer && text("subject") == subject && audience_fits
    });
    if !trusted {
        return Err(SignInError::client(
            70_021,
            format!(
                "No matching federated identity record found for presented assertion. Assertion Issuer: '{issuer}'. \
                 Assertion Subject: '{subject}'. Assertion Audience: '{}'.",
                audiences.join(",")
            ),
        ));
    }
    let keys = facts.issuers.get(issuer).into_iter().flatten();
    if !keys.filter_map(|key| lenient_base64(key)).any(|key| jwt.is_signed_by_key(&key)) {
        return Err(SignInError::client(
            50_013,
            "Assertion failed signature validation. [Reason - The key was not found.]",
        ));
    }
    let from = jwt.time("nbf").unwrap_or(Timestamp::UNIX_EPOCH);
    let to = jwt.time("exp").unwrap_or(Timestamp::UNIX_EPOCH);
    if now < from || now >= to {
        return Err(out_of_time(now, from, to));
    }
    Ok(())
}
