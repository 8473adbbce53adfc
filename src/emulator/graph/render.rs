//! How an object reads.

use serde_json::{Map, Value, json};

use crate::emulator::shapes::defaults;
use crate::emulator::world::{KeyCredential, Kind, Object};

/// How much of `keyCredentials` a read shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Entries with `key` null.
    Null,
    /// Entries with their certificates.
    Shown,
}

/// Whether objects of this kind have the property.
pub(crate) fn is_property(kind: Kind, name: &str) -> bool {
    matches!(name, "id" | "appId" | "keyCredentials" | "passwordCredentials" | "emulatorExtension")
        || defaults(kind).contains_key(name)
}

/// The object as a read shows it.
pub(crate) fn object(
    object: &Object,
    select: Option<&[String]>,
    keys: Keys,
    extra: bool,
) -> Map<String, Value> {
    let mut shown = Map::new();
    if let Some(kind) = object.properties.get("@odata.type") {
        shown.insert("@odata.type".to_owned(), kind.clone());
    }
    if let Some(names) = select {
        for name in names {
            let value = property(object, name, keys);
            shown.insert(name.clone(), value);
        }
        return shown;
    }
    shown.insert("id".to_owned(), Value::from(object.id.to_string()));
    shown.insert("appId".to_owned(), Value::from(object.app_id.to_string()));
    for name in
        defaults(object.kind).keys().chain(object.properties.keys()).filter(|name| *name != "@odata.type")
    {
        shown.insert(name.clone(), property(object, name, keys));
    }
    for name in ["keyCredentials", "passwordCredentials"] {
        shown.insert(name.to_owned(), property(object, name, keys));
    }
    if extra {
        // Readers must live with members that no documentation names.
        shown.insert("emulatorExtension".to_owned(), json!({"note": "ignore what you do not know"}));
    }
    shown
}

fn property(object: &Object, name: &str, keys: Keys) -> Value {
    match name {
        "id" => Value::from(object.id.to_string()),
        "appId" => Value::from(object.app_id.to_string()),
        "deletedDateTime" => {
            object.deleted.map_or(Value::Null, |at| Value::from(crate::emulator::clock::whole_seconds(at)))
        }
        "keyCredentials" => object.keys.iter().map(|credential| key_credential(credential, keys)).collect(),
        "passwordCredentials" => {
            object.passwords.iter().map(|credential| Value::Object(credential.entry.clone())).collect()
        }
        _ => object.value(name).cloned().unwrap_or(Value::Null),
    }
}

/// One entry of `keyCredentials`.
pub(crate) fn key_credential(credential: &KeyCredential, keys: Keys) -> Value {
    let mut entry = credential.entry.clone();
    let key = match keys {
        Keys::Null => Value::Null,
        Keys::Shown => credential.key.clone().map_or(Value::Null, Value::from),
    };
    entry.insert("key".to_owned(), key);
    Value::Object(entry)
}
