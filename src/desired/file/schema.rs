//! The JSON schema of the file, made from the types of `grammar`, for editors and for our own check.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::grammar::Document;

/// The schema of `certroll: v1` (JSON Schema 2020-12; nothing in it is newer than draft 7 but `$defs`).
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Document>().to_value();
    tidy(&mut schema);
    if let Value::Object(root) = &mut schema {
        root.insert("title".into(), "certroll declaration, version 1".into());
    }
    schema
}

/// In a declaration an optional key is left out, never null, and no text is empty. schemars can say neither.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            without_null(object);
            let is_free_text = object.get("type").is_some_and(|kind| kind == "string")
                && !["pattern", "enum", "const", "format", "minLength"]
                    .iter()
                    .any(|key| object.contains_key(*key));
            if is_free_text {
                object.insert("minLength".into(), 1.into());
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn without_null(object: &mut Map<String, Value>) {
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    if let Some(Value::Array(kinds)) = object.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    let Some(Value::Array(choices)) = object.get_mut("anyOf") else { return };
    choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
    if let [Value::Object(only)] = choices.as_slice() {
        let only = only.clone();
        object.remove("anyOf");
        for (key, value) in only {
            object.entry(key).or_insert(value);
        }
    }
}
