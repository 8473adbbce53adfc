//! What is said about mistakes: one declaration for each sort, and what a person sees. `UPDATE=1 cargo test` accepts new
//! texts; review them as carefully as code.

use std::fmt::Write as _;
use std::path::Path;

use certroll::backends::Backends;
use certroll::desired::file::{LoadOptions, load};
use certroll::diagnostic::Severity;

use crate::file::Memory;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it");

/// The public certificates a case may name, and what else a provider might send by mistake.
pub(crate) fn with_keys(mut memory: Memory) -> Memory {
    for entry in std::fs::read_dir(format!("{FOLDER}/file_cases/keys")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("keys/{}", path.file_name().unwrap().to_str().unwrap());
        memory = memory.with(&name, &std::fs::read(&path).unwrap());
    }
    let private = "-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5\n-----END PRIVATE KEY-----\n";
    memory
        .with("keys/with-key.pem", private.as_bytes())
        .with("keys/garbage.cer", b"\x30\x82\xff\xffgarbage")
        .with("keys/empty.cer", b"")
        .link("keys/linked.cer", "/etc/shadow")
        .link("keys/out", "/srv/elsewhere")
}

/// `-- name --` begins a file; a case without is one file.
fn files(case: &Path) -> Memory {
    let text = std::fs::read_to_string(case).unwrap();
    if !text.starts_with("-- ") {
        return Memory::of(&[("certroll.yaml", &text)]);
    }
    let mut memory = Memory::default();
    for part in text.split("\n-- ").map(|part| part.trim_start_matches("-- ")) {
        let (name, content) = part.split_once(" --\n").unwrap();
        memory = memory.with(name, format!("{content}\n").as_bytes());
    }
    memory
}

fn transcript(case: &Path) -> String {
    let name = case.file_stem().unwrap().to_str().unwrap();
    let mut options = LoadOptions::new(["."]);
    options.backends = Backends::all();
    if name.starts_with("unbuilt") {
        // As a build without the feature for HashiCorp Vault has it.
        options.backends.stores.remove("hashicorp_vault");
        options.backends.issuers.remove("vault_pki");
    }
    let found =
        load(&with_keys(files(case)), &options).err().unwrap_or_else(|| panic!("{name} has no error"));
    let mut out = String::new();
    for one in &found {
        writeln!(out, "{}\n", one.render(false)).unwrap();
    }
    let errors = found.iter().filter(|one| one.severity == Severity::Error).count();
    writeln!(out, "errors: {errors}, warnings: {}", found.len() - errors).unwrap();
    out
}

#[test]
fn every_mistake_is_explained_as_recorded() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut cases: Vec<_> = std::fs::read_dir(format!("{FOLDER}/file_errors"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.retain(|path| path.extension().is_some_and(|ending| ending == "yaml" || ending == "txt"));
    cases.sort();
    let mut wrong = Vec::new();
    for case in &cases {
        let now = transcript(case);
        let recorded = case.with_extension("out");
        if update {
            std::fs::write(&recorded, &now).unwrap();
        } else if std::fs::read_to_string(&recorded).unwrap_or_default() != now {
            wrong.push(format!("--- {}\n{now}", recorded.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\nIf these are right: UPDATE=1 cargo test file_errors", wrong.join("\n"));
}

#[test]
fn no_message_repeats_a_password_or_a_private_key() {
    for entry in std::fs::read_dir(format!("{FOLDER}/file_errors")).unwrap() {
        let case = entry.unwrap().path();
        if case.extension().is_none_or(|ending| ending == "out") {
            continue;
        }
        let said = transcript(&case);
        for secret in ["swordfish", "YourSecurePassword", "81549300", "bm90IGEga2V5"] {
            assert!(!said.contains(secret), "{}: {said}", case.display());
        }
    }
}
