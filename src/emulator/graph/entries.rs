//! The rules of writing `keyCredentials`: the array replaces the whole collection, what is retained must come back
//! unchanged and without its certificate, what is new must hold one.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::emulator::certificate::{self, Facts};
use crate::emulator::clock::{moved, seven_digits};
use crate::emulator::graph::refusal::Refusal;
use crate::emulator::ids;
use crate::emulator::settings::{CustomKeyIdentifier, Settings};
use crate::emulator::world::KeyCredential;

/// The characters of a display name that are kept; the rest is cut off without a word.
const DISPLAY_NAME_CHARS_MAX: usize = 90;

/// All collections of an object together may hold this many entries.
const ENTRIES_MAX: usize = 1_200;

const PROPERTIES: &[&str] = &[
    "customKeyIdentifier",
    "displayName",
    "endDateTime",
    "key",
    "keyId",
    "startDateTime",
    "type",
    "usage",
    "emulatorEntryExtension",
    "@odata.type",
];

/// What the rules need to know beside the entries.
pub(crate) struct Rules<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) now: Timestamp,
    pub(crate) seed: u64,
    /// A number not used before, for ids made here.
    pub(crate) number: u64,
}

/// The collection that a written array makes of the present one.
pub(crate) fn replaced(
    present: &[KeyCredential],
    written: &Value,
    rules: &Rules<'_>,
) -> Result<Vec<KeyCredential>, Refusal> {
    let Value::Array(written) = written else {
        return Err(Refusal::bad_request(
            "Invalid value specified for property 'keyCredentials' of resource.",
        ));
    };
    if written.len() > ENTRIES_MAX {
        return Err(Refusal::new(
            403,
            "Directory_ResourceSizeExceeded",
            "The size of the object has exceeded its limit. Please reduce the number of values and retry your request",
        ));
    }
    let mut collection = Vec::with_capacity(written.len());
    let mut used = BTreeSet::new();
    for (index, entry) in written.iter().enumerate() {
        let Value::Object(entry) = entry else {
            return Err(Refusal::bad_request(
                "Invalid value specified for property 'keyCredentials' of resource.",
            ));
        };
        if let Some(unknown) = entry.keys().find(|name| !PROPERTIES.contains(&name.as_str())) {
            return Err(Refusal::bad_request(format!("Invalid property '{unknown}'.")));
        }
        let id = key_id(entry)?;
        if id.is_some_and(|id| !used.insert(id)) {
            return Err(Refusal::bad_request("Two credentials in the request have the same KeyId."));
        }
        let before = present.iter().find(|credential| id.is_some() && credential.key_id() == id);
        collection.push(match before {
            Some(before) => retained(before, entry, rules)?,
            None => added(entry, id, index, rules)?,
        });
    }
    Ok(collection)
}

fn key_id(entry: &Map<String, Value>) -> Result<Option<Uuid>, Refusal> {
    match entry.get("keyId") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() == 36 => {
            text.parse().map(Some).map_err(|_| bad_value("keyId"))
        }
        Some(_) => Err(bad_value("keyId")),
    }
}

fn bad_value(property: &str) -> Refusal {
    Refusal::bad_request(format!("Cannot convert the literal of property '{property}' to the expected type."))
}

/// An entry that was there before: it must be the same.
fn retained(
    before: &KeyCredential,
    entry: &Map<String, Value>,
    rules: &Rules<'_>,
) -> Result<KeyCredential, Refusal> {
    let id = before.text("keyId").unwrap_or_default();
    let has_key = entry.get("key").is_some_and(|key| !key.is_null());
    if has_key && !rules.settings.accept_resent_key {
        let message = format!("Existing credential with KeyId '{id}' must be sent back with null value.");
        return Err(Refusal::bad_request(message).with_detail("KeyValueMustBeNull", "keyCredentials"));
    }
    let unchanged = match rules.settings.accept_retyped_entries {
        true => equal_to_the_microsecond(&before.entry, entry),
        false => equal_in_every_character(&before.entry, entry),
    };
    if !unchanged {
        let message = format!("Update to existing credential with KeyId '{id}' is not allowed.");
        return Err(Refusal::bad_request(message).with_detail("KeyNotUpdatable", "keyCredentials"));
    }
    let expired = before.time("endDateTime").is_some_and(|end| end < rules.now);
    if expired && rules.settings.refuse_expired_resent {
        return Err(invalid_end());
    }
    Ok(before.clone())
}

/// Null and absent are the same; everything else is compared as it stands.
fn equal_in_every_character(before: &Map<String, Value>, entry: &Map<String, Value>) -> bool {
    let value = |map: &Map<String, Value>, name: &str| map.get(name).cloned().unwrap_or(Value::Null);
    let names: BTreeSet<&String> = before.keys().chain(entry.keys()).collect();
    names
        .into_iter()
        .filter(|name| *name != "key" && *name != "@odata.type")
        .all(|name| value(before, name) == value(entry, name))
}

fn equal_to_the_microsecond(before: &Map<String, Value>, entry: &Map<String, Value>) -> bool {
    let text =
        |map: &Map<String, Value>, name: &str| map.get(name).and_then(Value::as_str).map(str::to_owned);
    let time = |map: &Map<String, Value>, name: &str| {
        let at: Timestamp = text(map, name)?.parse().ok()?;
        Some(at.as_microsecond())
    };
    let folded = |map: &Map<String, Value>, name: &str| text(map, name).map(|text| text.to_lowercase());
    let identifier = text(entry, "customKeyIdentifier");
    ["startDateTime", "endDateTime"].iter().all(|name| time(before, name) == time(entry, name))
        && ["type", "usage"].iter().all(|name| folded(before, name) == folded(entry, name))
        && text(before, "displayName") == text(entry, "displayName")
        && (identifier.is_none() || identifier == text(before, "customKeyIdentifier"))
}

/// A new entry, from what was sent.
pub(crate) fn added(
    entry: &Map<String, Value>,
    id: Option<Uuid>,
    index: usize,
    rules: &Rules<'_>,
) -> Result<KeyCredential, Refusal> {
    let key = match entry.get("key") {
        Some(Value::String(key)) => key,
        None | Some(Value::Null) => {
            return Err(Refusal::bad_request("New credential must be sent with a non-null key value."));
        }
        Some(_) => return Err(bad_value("key")),
    };
    let facts = certificate::from_key_value(key).map_err(|_| {
        Refusal::bad_request("Key value is invalid certificate.").with_detail("InvalidKeyValue", "key")
    })?;
    if facts.rsa.is_none() && rules.settings.refuse_ec_certificates {
        return Err(Refusal::bad_request("Key value is invalid certificate: only RSA keys are supported."));
    }
    let usage = one_of(entry, "usage", &["Sign", "Verify"])?;
    let kind = one_of(entry, "type", &["AsymmetricX509Cert", "X509CertAndPassword"])?;
    if (kind == "AsymmetricX509Cert") != (usage == "Verify") {
        return Err(Refusal::bad_request(
            "The value for the property \"usage\" in one of your credentials is invalid. Acceptable values are Sign, \
             Verify.",
        ));
    }
    let (start, end) = dates(entry, &facts, index, rules)?;
    let mut made = Map::new();
    made.insert("customKeyIdentifier".to_owned(), identifier(entry, &facts, rules.settings)?);
    made.insert("displayName".to_owned(), display_name(entry)?);
    made.insert("endDateTime".to_owned(), Value::from(end));
    made.insert("key".to_owned(), Value::Null);
    let id =
        id.unwrap_or_else(|| ids::uuid(rules.seed, "key", rules.number.wrapping_mul(4096) + index as u64));
    made.insert("keyId".to_owned(), Value::from(id.to_string()));
    made.insert("startDateTime".to_owned(), Value::from(start));
    made.insert("type".to_owned(), Value::from(kind));
    made.insert("usage".to_owned(), Value::from(usage));
    if rules.settings.extra_entry_fields {
        made.insert("emulatorEntryExtension".to_owned(), Value::from("send me back"));
    }
    Ok(KeyCredential { entry: made, key: Some(certificate::base64(&facts.der)), added: rules.now })
}

/// A word of a closed list, whatever its case.
fn one_of(entry: &Map<String, Value>, property: &str, allowed: &[&str]) -> Result<String, Refusal> {
    let given = entry.get(property).and_then(Value::as_str).unwrap_or_default();
    allowed.iter().find(|word| word.eq_ignore_ascii_case(given)).map(|word| (*word).to_owned()).ok_or_else(|| {
        Refusal::bad_request(format!(
            "The value for the property \"{property}\" in one of your credentials is invalid. Acceptable values are {}.",
            allowed.join(", ")
        ))
    })
}

fn display_name(entry: &Map<String, Value>) -> Result<Value, Refusal> {
    match entry.get("displayName") {
        None | Some(Value::Null) => Ok(Value::Null),
        Some(Value::String(name)) => {
            Ok(Value::from(name.chars().take(DISPLAY_NAME_CHARS_MAX).collect::<String>()))
        }
        Some(_) => Err(bad_value("displayName")),
    }
}

fn identifier(entry: &Map<String, Value>, facts: &Facts, settings: &Settings) -> Result<Value, Refusal> {
    match entry.get("customKeyIdentifier") {
        Some(Value::String(text)) => {
            certificate::lenient_base64(text).ok_or_else(|| bad_value("customKeyIdentifier"))?;
            Ok(Value::from(text.clone()))
        }
        None | Some(Value::Null) => Ok(Value::from(match settings.custom_key_identifier {
            CustomKeyIdentifier::Sha1 => certificate::base64(&facts.sha1),
            CustomKeyIdentifier::HexLiteral => certificate::hex(&facts.sha1),
            CustomKeyIdentifier::HexAscii => certificate::base64(certificate::hex(&facts.sha1).as_bytes()),
        })),
        Some(_) => Err(bad_value("customKeyIdentifier")),
    }
}

fn invalid_end() -> Refusal {
    Refusal::new(400, "KeyCredentialsInvalidEndDate", "Key credential end date is invalid.")
}

fn invalid_start() -> Refusal {
    Refusal::new(400, "KeyCredentialsInvalidStartDate", "Key credential start date is invalid.")
}

/// Start and end as they will be stored. Times given are kept, in UTC; times the service chooses have seven
/// fractional digits.
fn dates(
    entry: &Map<String, Value>,
    facts: &Facts,
    index: usize,
    rules: &Rules<'_>,
) -> Result<(String, String), Refusal> {
    let given = |property: &str| match entry.get(property) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => text.parse::<Timestamp>().map(Some).map_err(|_| bad_value(property)),
        Some(_) => Err(bad_value(property)),
    };
    let (given_start, given_end) = (given("startDateTime")?, given("endDateTime")?);
    let start = given_start.unwrap_or_else(|| {
        let ticks = 1 + (rules.number.wrapping_add(index as u64)).wrapping_mul(2_742_618) % 9_999_999;
        let back = SignedDuration::from_nanos(i64::try_from(ticks).unwrap_or(1) * 100);
        moved(rules.now, -back).max(facts.not_before)
    });
    let year = SignedDuration::from_hours(365 * 24);
    let end = given_end.unwrap_or_else(|| moved(start, year).min(facts.not_after));
    if end > facts.not_after || end <= start || end <= rules.now {
        return Err(invalid_end());
    }
    if rules.settings.refuse_over_one_year && end.duration_since(start) > year {
        return Err(invalid_end());
    }
    if start < facts.not_before && !rules.settings.accept_start_before_certificate {
        return Err(invalid_start());
    }
    if rules.settings.refuse_past_start && given_start.is_some_and(|start| start < rules.now) {
        return Err(invalid_start());
    }
    let spelt = |at: Timestamp, was_given: bool| match was_given {
        true => utc(at),
        false => seven_digits(at),
    };
    Ok((spelt(start, given_start.is_some()), spelt(end, given_end.is_some())))
}

/// The time in UTC, with up to seven fractional digits and no trailing zeros among them.
fn utc(at: Timestamp) -> String {
    let text = seven_digits(at);
    let trimmed = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    format!("{trimmed}Z")
}
