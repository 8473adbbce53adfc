//! What is thrown at each reader, and what must hold whatever comes: an end, no panic, no trick on a terminal, nothing read differently the
//! second time. The fuzzer runs these, and so does an ordinary test over the kept corpus.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use certroll::certificate::Certificate;
use certroll::cli::acknowledgements;
use certroll::cli::human::{self, View};
use certroll::desired::file::{LoadOptions, PathKind, SourceError, Sources, load};
use certroll::desired::{Acknowledgement, SelectBy, TargetSelector};
use certroll::diagnostic::Diagnostic;
use certroll::entra::observe;
use certroll::form::{read_pem, read_pfx};
use certroll::ids::{Address, TargetKind};
use certroll::issuer::external_public_key;
use certroll::key::Secret;
use certroll::observed::record::PublicRecord;
use certroll::pem;
use certroll::plan::document::{Document, review};
use uuid::Uuid;

#[path = "../tests/it/entra/scripted.rs"]
#[allow(
    dead_code,
    clippy::duplicate_mod,
    reason = "only what is needed here is used; the entra tests have it too"
)]
mod scripted;

mod support {
    //! What `scripted` expects beside it.
    use super::Uuid;

    pub(super) const TENANT: Uuid = Uuid::from_u128(0x8f5e2c0a_1b2c_4d3e_9f40_51627384a5b6);

    pub(super) fn moment(text: &str) -> jiff::Timestamp {
        text.parse().unwrap()
    }
}

/// No text that leaves may move the cursor, colour the screen or turn the reading direction.
fn is_harmless(text: &str) {
    let harmful = text.chars().find(|&c| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    });
    assert_eq!(harmful, None, "{text:?}");
}

/// One file, and beside it files that it may name.
struct OneFile<'b> {
    bytes: &'b [u8],
}

const FOLDER: &str = "/d";
const FILE: &str = "/d/a.yaml";

impl Sources for OneFile<'_> {
    fn kind(&self, path: &Path) -> Result<PathKind, SourceError> {
        match path.to_str() {
            Some(FILE) => Ok(PathKind::File),
            Some(FOLDER) => Ok(PathKind::Folder),
            _ => Err(SourceError::NotFound),
        }
    }

    fn list(&self, _: &Path) -> Result<Vec<String>, SourceError> {
        Ok(vec!["a.yaml".to_owned()])
    }

    fn read(&self, path: &Path, limit_bytes: u64) -> Result<Vec<u8>, SourceError> {
        match path.to_str() {
            Some(FILE) if self.bytes.len() as u64 > limit_bytes => Err(SourceError::TooLarge { limit_bytes }),
            Some(FILE) => Ok(self.bytes.to_vec()),
            _ => Err(SourceError::NotFound),
        }
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf, SourceError> {
        Ok(path.to_owned())
    }
}

/// A declaration somebody sent in a pull request.
pub(crate) fn declaration(bytes: &[u8]) {
    let read = |path: &str| load(&OneFile { bytes }, &LoadOptions::new([path]));
    let found = match read(FILE) {
        Ok(loaded) => loaded.warnings,
        Err(found) => {
            assert!(!found.is_empty(), "refused without a word");
            found
        }
    };
    found.iter().for_each(|diagnostic| is_harmless(&diagnostic.render(false)));
    // A folder skips a file that is no declaration, and is of the same mind about one that is.
    if let (Ok(file), Ok(folder)) = (read(FILE), read(FOLDER)) {
        assert_eq!(format!("{:?}", file.desired), format!("{:?}", folder.desired));
    }
    let again: Vec<Diagnostic> = match read(FILE) {
        Ok(loaded) => loaded.warnings,
        Err(found) => found,
    };
    assert_eq!(format!("{found:?}"), format!("{again:?}"));
}

/// A saved plan, possibly written by somebody else.
pub(crate) fn saved_plan(bytes: &[u8]) {
    let _ = Document::read(bytes);
    // Whoever edits a plan can make its digest right, too; a fuzzer cannot.
    let Ok(document) = serde_json::from_slice::<Document>(bytes) else { return };
    let plan = document.into_plan();
    for unchanged in [false, true] {
        is_harmless(&human::plan(&plan, View { colour: false, unchanged, whole: unchanged }));
    }
    for reviewed in review(&plan, &plan) {
        assert!(reviewed.allowed <= plan.certificates.iter().map(|one| one.steps.len()).sum());
    }
    let written = Document::of(&plan);
    let read = Document::read(written.to_json().as_bytes()).expect("what was written is read");
    assert_eq!(written, read);
}

/// Certificates and keys: PEM or DER, from a provider, a store, an operator.
pub(crate) fn certificate(bytes: &[u8]) {
    if let Ok(blocks) = pem::blocks(bytes) {
        for block in blocks {
            let again =
                pem::blocks(pem::encode("CERTIFICATE", &block.contents).as_bytes()).expect("ours is PEM");
            assert_eq!(again[0].contents, block.contents);
        }
    }
    if let Err(error) = read_pem(bytes) {
        is_harmless(&error.to_string());
    }
    match external_public_key::read(bytes) {
        Ok(certificate) => same_again(&certificate),
        Err(error) => is_harmless(&error.to_string()),
    }
    match Certificate::from_der(bytes) {
        Ok(certificate) => same_again(&certificate),
        Err(error) => is_harmless(&error.to_string()),
    }
}

fn same_again(certificate: &Certificate) {
    let again = Certificate::from_pem(certificate.to_pem().as_bytes()).expect("what was written is read");
    assert_eq!(again.der(), certificate.der());
}

/// The tool's own certificate as a PFX, or one that a store hands out.
pub(crate) fn pfx(bytes: &[u8]) {
    for password in [None, Some(Secret::new("correct horse".to_owned()))] {
        if let Err(error) = read_pfx(bytes, password.as_ref()) {
            is_harmless(&error.to_string());
        }
    }
}

/// What stands beside a generation in a store that others can write.
pub(crate) fn record(bytes: &[u8]) {
    let Ok(record) = serde_json::from_slice::<PublicRecord>(bytes) else { return };
    let text = serde_json::to_vec(&record).expect("a record is JSON");
    assert_eq!(serde_json::from_slice::<PublicRecord>(&text).expect("what was written is read"), record);
}

/// The acknowledgements file, which people edit.
pub(crate) fn acknowledgements(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let entry = Acknowledgement {
        address: "contoso/backup".parse().expect("an address"),
        thumbprint: "9F2C41D09F2C41D09F2C41D09F2C41D09F2C41D0".parse().expect("a thumbprint"),
        by: "jo \"the\" \u{202E}admin".to_owned(),
        at: support::moment("2026-11-20T12:00:00Z"),
        note: Some("- : #\n".to_owned()),
    };
    if let Ok(longer) = acknowledgements::append(Some(text), &entry) {
        assert!(longer.starts_with(text) || text.trim().is_empty(), "what was there has changed");
    }
}

/// Statuses that mean something to the client.
const STATUSES: [u16; 12] = [200, 201, 204, 302, 400, 401, 403, 404, 409, 429, 500, 503];

/// An answer: its first byte chooses the status, the rest is the body.
fn answer_of(bytes: &[u8]) -> http::Response<Vec<u8>> {
    let (first, body) = bytes.split_first().unwrap_or((&0, &[]));
    let status = STATUSES[usize::from(*first) % STATUSES.len()];
    let mut answer = http::Response::builder().status(status);
    if status == 429 || status == 503 {
        answer = answer
            .header("retry-after", String::from_utf8_lossy(&body[..body.len().min(3)]).trim().to_owned());
    }
    answer.body(body.to_vec()).unwrap_or_default()
}

fn observe_with(script: scripted::Script) {
    let script = Arc::new(script);
    let address =
        |number: u8| format!("contoso/certificate-{number}").parse::<Address>().expect("an address");
    let by = |by: SelectBy| TargetSelector { kind: TargetKind::Application, by };
    let requests = [
        (address(0), by(SelectBy::AppId(Uuid::from_u128(0xA99)))),
        (address(1), by(SelectBy::ObjectId(Uuid::from_u128(1)))),
        (address(2), by(SelectBy::UniqueName("backup".to_owned()))),
        (address(3), by(SelectBy::DisplayName("Backup".to_owned()))),
        (
            address(4),
            TargetSelector {
                kind: TargetKind::ServicePrincipal,
                by: SelectBy::AppId(Uuid::from_u128(0xA99)),
            },
        ),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let outcome = runtime.block_on(observe(&scripted::reader(&script), &requests, &[]));
    if let Err(error) = outcome {
        let text = error.to_string();
        is_harmless(&text);
        assert!(!text.contains(scripted::CLIENT_SECRET) && !text.contains(scripted::TOKEN), "{text}");
    }
    for (address, _) in script.seen() {
        let host = address.split('/').nth(2).unwrap_or_default();
        assert!(matches!(host, "graph.microsoft.com" | "login.microsoftonline.com"), "{address}");
    }
}

/// What Graph answers, or something that pretends to be Graph. Answers are parted by the byte 0xFF, which no UTF-8 has.
pub(crate) fn entra_answers(bytes: &[u8]) {
    let answers = bytes.split(|byte| *byte == 0xFF).take(8).map(|part| Ok(answer_of(part)));
    observe_with(scripted::Script::new(answers.collect()));
}

/// What the login service answers.
pub(crate) fn sign_in_answers(bytes: &[u8]) {
    let mut script = scripted::Script::new(vec![Ok(scripted::answer(200, r#"{"value":[]}"#))]);
    script.token = Some(answer_of(bytes));
    observe_with(script);
}
