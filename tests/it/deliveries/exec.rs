//! Programs that are given a generation.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use certroll::delivery::exec::ExecDelivery;
use certroll::delivery::{DeliveryReader, DeliveryWriter};
use certroll::desired::{Delivery, Format};
use certroll::edges::{Trouble, TroubleKind};
use certroll::form::{read_pem, read_pfx};
use certroll::key::Secret;
use certroll::observed::DeliveryState;
use serde_json::{Value, json};

use super::{declared, issued};
use crate::support::keys;

const PASSWORD: &str = "correct-horse-battery";

fn shell(script: &str) -> Value {
    json!(["/bin/sh", "-c", script])
}

fn pem(command: Value, check: Option<Value>, folder: &Path) -> Delivery {
    declared("exec", json!({ "command": command, "check": check }), Format::Pem, folder)
}

fn open(delivery: &Delivery) -> ExecDelivery {
    let variables = [("PATH", "/usr/bin:/bin"), ("VAULT_TOKEN", "hvs.secret"), ("CERTROLL_SECRET_X", "x")];
    let variables: BTreeMap<String, String> =
        variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    ExecDelivery::new(delivery, &variables).unwrap()
}

async fn deliver(place: &ExecDelivery, delivery: &Delivery) -> Result<String, Trouble> {
    let password = Secret::new(PASSWORD.into());
    let password = delivery.form.format.is_pfx().then_some(&password);
    let delivered = place.deliver(delivery, &keys::key(1), &issued(1).await, password).await;
    delivered.map_err(|error| error.0)
}

async fn tried(command: Value, check: Option<Value>) -> Result<String, Trouble> {
    let folder = tempfile::tempdir().unwrap();
    let delivery = pem(command, check, folder.path());
    deliver(&open(&delivery), &delivery).await
}

#[tokio::test]
async fn the_program_reads_the_generation_from_its_standard_input_in_the_folder_of_the_declaration() {
    let folder = tempfile::tempdir().unwrap();
    let delivery = pem(shell("cat > received.pem"), None, folder.path());
    deliver(&open(&delivery), &delivery).await.unwrap();
    let found = read_pem(&std::fs::read(folder.path().join("received.pem")).unwrap()).unwrap();
    assert_eq!(found.certificate.thumbprints, issued(1).await.certificate.thumbprints);
}

#[tokio::test]
async fn the_password_of_a_pfx_is_the_first_line_under_the_name_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let command = shell("IFS= read -r first; echo \"$first\" > first; cat > received.pfx");
    let settings = json!({ "command": command, "password_secret": "PFX_PASSWORD" });
    let delivery = declared("exec", settings, Format::Pfx, folder.path());
    deliver(&open(&delivery), &delivery).await.unwrap();
    let first = std::fs::read_to_string(folder.path().join("first")).unwrap();
    assert_eq!(first, format!("PFX_PASSWORD={PASSWORD}\n"));
    let pfx = std::fs::read(folder.path().join("received.pfx")).unwrap();
    assert!(read_pfx(&pfx, Some(&Secret::new(PASSWORD.into()))).is_ok());
}

#[tokio::test]
async fn p3_the_program_sees_no_secret_in_its_environment_and_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let delivery = pem(shell("cat > /dev/null; env > seen; echo \"$0 $@\" >> seen"), None, folder.path());
    deliver(&open(&delivery), &delivery).await.unwrap();
    let seen = std::fs::read_to_string(folder.path().join("seen")).unwrap();
    let variables = seen.lines().filter_map(|line| line.split_once('='));
    let mut names: Vec<&str> = variables.map(|(name, _)| name).collect();
    names.retain(|name| !matches!(*name, "PWD" | "SHLVL" | "_" | "OLDPWD"));
    names.sort_unstable();
    let thumbprints = ["CERTROLL_THUMBPRINT", "CERTROLL_THUMBPRINT_SHA256"];
    let expected = ["CERTROLL_FORMAT", "CERTROLL_SLOT", thumbprints[0], thumbprints[1], "PATH"];
    assert_eq!(names, expected);
    assert!(!seen.contains("PRIVATE") && !seen.contains("hvs.secret"));
}

#[tokio::test]
async fn a_program_that_fails_is_quoted_with_its_exit_status() {
    let script = "cat > /dev/null; echo one; echo 'host unreachable' >&2; exit 3";
    let error = tried(shell(script), None).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "delivering to exec of the test: sh failed: host unreachable (exit status: 3)"
    );
}

#[tokio::test]
async fn p3_what_a_program_prints_is_not_repeated_if_it_repeats_the_secret() {
    for script in [
        "cat >&2; exit 1",
        "head -c 400 >&2; exit 1",
        "tail -c 200 | head -c 100 >&2; exit 1",
        "base64 >&2; exit 1",
    ] {
        let error = tried(shell(script), None).await.unwrap_err();
        assert!(error.reason.contains("repeats the secret"), "{script}: {error}");
        assert!(!format!("{error:?}").contains("MII"), "{script}");
    }
    let folder = tempfile::tempdir().unwrap();
    let settings = json!({ "command": shell("head -1 >&2; exit 1"), "password_secret": "P" });
    let delivery = declared("exec", settings, Format::Pfx, folder.path());
    let error = deliver(&open(&delivery), &delivery).await.unwrap_err();
    assert!(!error.to_string().contains(PASSWORD), "{error}");
}

#[tokio::test]
async fn a_program_that_does_not_end_is_stopped_with_all_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let delivery = pem(shell("(sleep 2; touch late) & sleep 60"), None, folder.path());
    let place = open(&delivery).time_limit(Duration::from_millis(300));
    let error = deliver(&place, &delivery).await.unwrap_err();
    assert!(error.reason.contains("did not end within"), "{error}");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(!folder.path().join("late").exists(), "what it started was stopped too");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_said_to_be_missing() {
    let error = tried(json!(["./nowhere"]), None).await.unwrap_err();
    assert_eq!(error.kind, TroubleKind::Refused);
    assert!(error.reason.contains("./nowhere cannot be started"), "{error}");
}

#[tokio::test]
async fn the_delivery_counts_only_if_the_check_names_what_was_delivered() {
    let drop = || shell("cat > /dev/null");
    let thumbprint = issued(1).await.certificate.thumbprints;
    let colons: Vec<String> = thumbprint.sha1.0.iter().map(|byte| format!("{byte:02X}")).collect();
    for printed in [
        thumbprint.sha1.to_string(),
        thumbprint.sha256.to_string().to_lowercase(),
        // As openssl x509 -fingerprint prints it.
        format!("SHA1 Fingerprint={}", colons.join(":")),
    ] {
        tried(drop(), Some(shell(&format!("echo '{printed}'")))).await.unwrap();
    }
    let other = "0123456789ABCDEF0123456789ABCDEF01234567";
    for (check, kind) in [
        (format!("echo {other}"), TroubleKind::Conflict),
        ("echo nothing".to_owned(), TroubleKind::Invalid),
        ("exit 1".to_owned(), TroubleKind::Unavailable),
    ] {
        let error = tried(drop(), Some(shell(&check))).await.unwrap_err();
        assert_eq!(error.kind, kind, "{check}: {error}");
    }
}

#[tokio::test]
async fn p7_looking_runs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let delivery = pem(shell("touch ran"), Some(shell("touch ran")), folder.path());
    let state = open(&delivery).observe(&delivery).await;
    assert!(matches!(state, DeliveryState::NeverTells { .. }));
    assert!(!folder.path().join("ran").exists());
}
