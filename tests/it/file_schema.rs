//! The JSON schema: fresh, valid, and of the same mind as certroll itself.

use std::path::Path;

use certroll::backends::Backends;
use certroll::desired::file::{LoadOptions, STARTER, load, schema};
use serde_json::Value;

use crate::file::Memory;
use crate::file_errors::with_keys;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn validator() -> jsonschema::Validator {
    jsonschema::options().should_validate_formats(true).build(&schema()).unwrap()
}

/// Read by an independent path: serde-saphyr's own deserialiser.
fn as_json(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

fn problems(text: &str) -> Vec<String> {
    let value = as_json(text);
    validator().iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn the_committed_schema_is_fresh() {
    let path = Path::new(ROOT).join("schemas/certroll.v1.schema.json");
    let fresh = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &fresh).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == fresh,
        "schemas/certroll.v1.schema.json is stale; refresh it with: UPDATE=1 cargo test --test it file_schema"
    );
}

#[test]
fn every_example_is_valid() {
    let mut folders = vec![Path::new(ROOT).join("examples")];
    let mut examples = Vec::new();
    while let Some(folder) = folders.pop() {
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let (inner, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
        folders.extend(inner);
        examples
            .extend(files.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "yaml")));
    }
    assert!(examples.len() >= 13, "{examples:?}");
    for path in examples {
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(problems(&text), Vec::<String>::new(), "{}", path.display());
    }
    assert_eq!(problems(include_str!("file_cases/language.yaml")), Vec::<String>::new());
    assert_eq!(problems(include_str!("file_cases/every_key.yaml")), Vec::<String>::new());
    assert_eq!(problems(STARTER), Vec::<String>::new());
}

#[test]
fn mistakes_of_key_and_type_are_mistakes_to_the_schema_too() {
    let head = "certroll: v1\nowner: team\ntenants: { lab: { cloud: emulator } }\n";
    let certificate = |keys: &str| format!("{head}certificates: {{ a: {{ {keys} }} }}\n");
    let target = "application: { unique_name: a }";
    assert_eq!(problems(&certificate(target)), Vec::<String>::new());
    let wrong = [
        "certroll: v2\n".to_owned(),
        "owner: team\n".to_owned(),
        format!("{head}colour: red\n"),
        format!("{head}stores: {{ keys: {{ kind: file }} }}\n"),
        format!("{head}stores: {{ keys: {{ kind: ftp, directory: x }} }}\n"),
        format!("{head}stores: {{ keys: {{ kind: file, directory: x, vault: y }} }}\n"),
        format!("{head}stores: {{ Keys: {{ kind: file, directory: x }} }}\n"),
        format!("{head}issuers: {{ p: {{ kind: external_public_key, files: [] }} }}\n"),
        format!("{head}defaults: {{ application: {{ unique_name: a }} }}\n"),
        format!("{head}defaults: {{ rotation_period: 90d, renew_before: 30d }}\n"),
        format!("{head}moved: [ {{ from: lab/a }} ]\n"),
        format!("{head}removed: [ {{ address: lab/a, target: {{ application: {{ unique_name: a }} }} }} ]\n"),
        certificate(""),
        certificate("application: {}"),
        certificate("application: { unique_name: a, display_name: b }"),
        certificate("application: { app_id: my-app }"),
        certificate(&format!(
            "{target}, service_principal: {{ object_id: 5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d }}"
        )),
        certificate(&format!("{target}, rotation_period: 90d, renew_before: 30d")),
        certificate(&format!("{target}, overlap: null")),
        certificate(&format!("{target}, overlap: 6m")),
        certificate(&format!("{target}, overlap: 14")),
        certificate(&format!("{target}, key: ec-p256")),
        certificate(&format!("{target}, retire: true")),
        certificate(&format!("{target}, description: ''")),
        certificate(&format!("{target}, description: 2027")),
        certificate(&format!("{target}, store: {{ name: a }}")),
        certificate(&format!("{target}, store: {{ use: a, password: YourPassword }}")),
        certificate(&format!("{target}, store: {{ use: a, password: {{ env: HOME }} }}")),
        certificate(&format!("{target}, labels: {{ a: 1 }}")),
        certificate(&format!("{target}, windows: [ {{ days: [], from: '02:00', to: '03:00', zone: UTC }} ]")),
        certificate(&format!("{target}, hold: {{ until: 2027-02-30, reason: x }}")),
    ];
    for text in &wrong {
        assert_ne!(problems(text), Vec::<String>::new(), "the schema takes this:\n{text}");
        let options = LoadOptions { backends: Backends::all(), ..LoadOptions::new(["a.yaml"]) };
        assert!(
            load(&with_keys(Memory::of(&[("a.yaml", text)])), &options).is_err(),
            "certroll takes this:\n{text}"
        );
    }
}
