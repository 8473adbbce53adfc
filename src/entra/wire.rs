//! The JSON as Graph spells it, understood. A credential keeps its text exactly as received, because it has to go back
//! that way: losing a digit of a timestamp is a change to the service.

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::ids::{KeyId, Sha1, Sha256, TargetId, TargetKind};
use crate::net::{place_of, printable};
use crate::observed::{Credential, Identifier, Reserved};

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub value: Vec<Box<RawValue>>,
    #[serde(rename = "@odata.nextLink", default)]
    pub next: Option<String>,
}

/// An application or service principal, as far as we use it. Members we do not know are skipped; one we know with another type
/// than documented is an error, because *managed identity* or *locked* must not be overlooked.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireObject {
    #[serde(rename = "@odata.type", default)]
    odata_type: Option<String>,
    id: Uuid,
    app_id: Option<Uuid>,
    display_name: Option<String>,
    unique_name: Option<String>,
    created_date_time: Option<String>,
    key_credentials: Option<Vec<Box<RawValue>>>,
    token_encryption_key_id: Option<Uuid>,
    is_disabled: Option<bool>,
    disabled_by_microsoft_status: Option<String>,
    sign_in_audience: Option<String>,
    service_principal_lock_configuration: Option<LockConfiguration>,
    service_principal_type: Option<String>,
    account_enabled: Option<bool>,
    app_owner_organization_id: Option<Uuid>,
    preferred_single_sign_on_mode: Option<String>,
    preferred_token_signing_key_thumbprint: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LockConfiguration {
    is_enabled: Option<bool>,
    all_properties: Option<bool>,
    credentials_with_usage_verify: Option<bool>,
}

/// An application or service principal.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub id: TargetId,
    pub app_id: Uuid,
    pub display_name: String,
    pub unique_name: Option<String>,
    /// `@odata.type`, where it is not that of the collection.
    pub other_type: Option<String>,
    pub created: Option<Timestamp>,
    /// `None` when the answer had no such member: not the same as an empty one.
    pub entries: Option<Vec<Entry>>,
    pub token_encryption_key: Option<KeyId>,
    /// Why it cannot sign in, if it is disabled.
    pub disabled: Option<String>,
    pub personal_accounts: bool,
    pub locks_verify_keys: bool,
    pub managed_identity: bool,
    pub owner_tenant: Option<Uuid>,
    pub saml: bool,
    pub token_signing: Option<Sha1>,
}

/// A member of a collection that could not be read as an [`Object`].
#[derive(Debug, Clone)]
pub(super) struct Broken {
    pub object_id: Option<Uuid>,
    pub app_id: Option<Uuid>,
    pub display_name: Option<String>,
    pub reason: String,
}

#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    id: serde_json::Value,
    #[serde(rename = "appId", default)]
    app_id: serde_json::Value,
    #[serde(rename = "displayName", default)]
    display_name: serde_json::Value,
}

impl Object {
    /// Reads one object of a collection of that kind.
    pub(super) fn parse(kind: TargetKind, json: &str) -> Result<Object, Broken> {
        let broken = |reason: String| {
            let names = serde_json::from_str::<Names>(json).ok();
            let uuid = |value: &serde_json::Value| value.as_str().and_then(|text| text.parse().ok());
            Broken {
                object_id: names.as_ref().and_then(|names| uuid(&names.id)),
                app_id: names.as_ref().and_then(|names| uuid(&names.app_id)),
                display_name: names.as_ref().and_then(|n| n.display_name.as_str().map(str::to_owned)),
                reason,
            }
        };
        let wire: WireObject = serde_json::from_str(json).map_err(|error| broken(place_of(&error)))?;
        let Some(app_id) = wire.app_id else { return Err(broken("it has no appId".to_owned())) };
        Ok(Object::of(kind, wire, app_id))
    }

    fn of(kind: TargetKind, wire: WireObject, app_id: Uuid) -> Object {
        let ordinary_type = match kind {
            TargetKind::Application => "#microsoft.graph.application",
            TargetKind::ServicePrincipal => "#microsoft.graph.servicePrincipal",
        };
        let is = |value: &Option<String>, expected: &str| {
            value.as_deref().is_some_and(|value| value.eq_ignore_ascii_case(expected))
        };
        let locks = wire.service_principal_lock_configuration.as_ref().is_some_and(|lock| {
            let covers =
                lock.all_properties == Some(true) || lock.credentials_with_usage_verify == Some(true);
            lock.is_enabled == Some(true) && covers
        });
        Object {
            id: TargetId { kind, object_id: wire.id },
            app_id,
            disabled: disabled(kind, &wire),
            display_name: wire.display_name.unwrap_or_default(),
            unique_name: wire.unique_name,
            other_type: wire.odata_type.filter(|name| name != ordinary_type),
            created: wire.created_date_time.as_deref().and_then(moment),
            entries: wire.key_credentials.map(|entries| entries.into_iter().map(Entry::parse).collect()),
            token_encryption_key: wire.token_encryption_key_id.map(KeyId),
            personal_accounts: wire
                .sign_in_audience
                .as_deref()
                .is_some_and(|audience| audience.contains("Personal")),
            locks_verify_keys: locks,
            managed_identity: is(&wire.service_principal_type, "ManagedIdentity"),
            owner_tenant: wire.app_owner_organization_id,
            saml: is(&wire.preferred_single_sign_on_mode, "saml"),
            token_signing: wire.preferred_token_signing_key_thumbprint.and_then(|text| text.parse().ok()),
        }
    }
}

fn disabled(kind: TargetKind, wire: &WireObject) -> Option<String> {
    if wire.account_enabled == Some(false) {
        return Some(format!("the {kind} is disabled (accountEnabled is false)"));
    }
    if wire.is_disabled == Some(true) {
        return Some(format!("the {kind} is disabled (isDisabled is true)"));
    }
    let status = wire.disabled_by_microsoft_status.as_deref()?;
    let by_microsoft = !status.is_empty() && !status.eq_ignore_ascii_case("NotDisabled");
    by_microsoft.then(|| format!("Microsoft disabled the {kind}: {}", printable(status)))
}

/// One entry of `keyCredentials`, with what decides whether it is reserved.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub credential: Credential,
    usage: Option<String>,
    kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEntry {
    key_id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    usage: Option<String>,
    display_name: Option<String>,
    custom_key_identifier: Option<String>,
    start_date_time: Option<String>,
    end_date_time: Option<String>,
    #[serde(default)]
    key: Option<IgnoredAny>,
}

impl Entry {
    /// Understands an entry as far as possible. One that cannot be understood is kept and carried, and never ours.
    pub(super) fn parse(raw: Box<RawValue>) -> Entry {
        let Ok(wire) = serde_json::from_str::<WireEntry>(raw.get()) else {
            let credential = Credential {
                key_id: None,
                identifier: Identifier::None,
                display_name: None,
                start: None,
                end: None,
                reserved: Some(Reserved::OtherUse),
                raw,
            };
            return Entry { credential, usage: None, kind: None };
        };
        let raw = if wire.key.is_some() { without_key(raw) } else { raw };
        let credential = Credential {
            key_id: wire.key_id.and_then(|text| text.parse().ok()),
            identifier: identifier(wire.custom_key_identifier.as_deref()),
            display_name: wire.display_name,
            start: wire.start_date_time.as_deref().and_then(moment),
            end: wire.end_date_time.as_deref().and_then(moment),
            reserved: None,
            raw,
        };
        Entry { credential, usage: wire.usage, kind: wire.kind }
    }

    fn is_client_certificate(&self) -> bool {
        let is = |value: &Option<String>, expected: &str| {
            value.as_deref().is_some_and(|value| value.eq_ignore_ascii_case(expected))
        };
        is(&self.kind, "AsymmetricX509Cert") && is(&self.usage, "Verify")
    }

    fn signs(&self) -> bool {
        self.usage.as_deref().is_some_and(|usage| usage.eq_ignore_ascii_case("Sign"))
    }
}

/// The credentials of an object, those reserved that are not client certificates. `token_encryption` and `token_signing` are what
/// the object and its counterpart (the application's service principal, or the other way round) name.
pub(super) fn credentials(
    entries: &[Entry],
    token_encryption: &[KeyId],
    token_signing: Option<Sha1>,
) -> Vec<Credential> {
    let signing: Vec<&Identifier> =
        entries.iter().filter(|e| e.signs()).map(|e| &e.credential.identifier).collect();
    let reason = |entry: &Entry| {
        let credential = &entry.credential;
        // The Verify half of a SAML pair looks like a client certificate; only the shared identifier tells.
        let shares = credential.identifier != Identifier::None && signing.contains(&&credential.identifier);
        let preferred = credential.sha1().is_some_and(|sha1| token_signing == Some(sha1));
        if entry.signs() || shares || preferred {
            Some(Reserved::SamlSigning)
        } else if credential.key_id.is_some_and(|id| token_encryption.contains(&id)) {
            Some(Reserved::TokenEncryption)
        } else if !entry.is_client_certificate() {
            Some(Reserved::OtherUse)
        } else {
            None
        }
    };
    let reserve = |entry: &Entry| Credential { reserved: reason(entry), ..entry.credential.clone() };
    entries.iter().map(reserve).collect()
}

/// Understands `customKeyIdentifier`: base64 of the 20 bytes, hexadecimal digits put straight into the field, or base64 of those
/// digits. 32 bytes are taken as a SHA-256.
pub(super) fn identifier(text: Option<&str>) -> Identifier {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Identifier::None };
    // Forty hexadecimal digits are valid base64 too, of 30 bytes that mean nothing.
    if let Some(sha1) = sha1_from_hex(text.as_bytes()) {
        return Identifier::Sha1(sha1);
    }
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let Ok(bytes) = GeneralPurpose::new(&STANDARD, lenient).decode(text) else {
        return Identifier::Opaque(text.to_owned());
    };
    if let Ok(sha1) = <[u8; 20]>::try_from(bytes.as_slice()) {
        Identifier::Sha1(Sha1(sha1))
    } else if let Some(sha1) = sha1_from_hex(&bytes) {
        Identifier::Sha1(sha1)
    } else if let Ok(sha256) = <[u8; 32]>::try_from(bytes.as_slice()) {
        Identifier::Sha256(Sha256(sha256))
    } else {
        Identifier::Opaque(text.to_owned())
    }
}

fn sha1_from_hex(digits: &[u8]) -> Option<Sha1> {
    let all_hex = digits.len() == 40 && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok()?;
    if all_hex { text.parse().ok() } else { None }
}

/// A date as the service writes it: up to seven fractional digits, `Z`. Without a zone it is UTC; "no end" is clamped.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    let bare = text.trim_end_matches('Z');
    let civil: DateTime = bare.parse().ok()?;
    if civil.year() == 9999 {
        return Some(Timestamp::MAX);
    }
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// The same entry with `key` null, every other member's text untouched. The service refuses certificate bytes that come back.
fn without_key(raw: Box<RawValue>) -> Box<RawValue> {
    let Ok(Members(members)) = serde_json::from_str::<Members>(raw.get()) else { return raw };
    let written = members.iter().map(|(name, value)| {
        let value = if name == "key" { "null" } else { value.get() };
        format!("{}:{value}", serde_json::Value::from(name.as_str()))
    });
    let text = format!("{{{}}}", written.collect::<Vec<_>>().join(","));
    RawValue::from_string(text).unwrap_or(raw)
}

/// The members of an object in the order received, values as text.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests;
