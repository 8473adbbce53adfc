//! The files that commands read and write because the command line names them.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::cli::{Bench, Ran};

const DECLARATION: &str = "\
certroll: v1
owner: platform
tenants: { contoso: { cloud: emulator } }
stores: { keys: { kind: file, directory: secrets } }
certificates:
  billing:
    application: { app_id: 5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d }
    store: keys
";

const SEED: &str = r#"{ "tenants": { "contoso": { "existing": [
  { "app_id": "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d", "display_name": "Billing" } ] } } }"#;

struct Scene {
    folder: tempfile::TempDir,
    bench: Bench,
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::new(folder.path());
        let scene = Scene { folder, bench };
        scene.write("certroll.yaml", DECLARATION);
        scene.write("emulator-seed.json", SEED);
        scene
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn pipe(&self, name: &str) {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let path = self.folder.path().join(name);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    }

    fn run(&self, line: &str) -> Ran {
        let words: Vec<&str> = ["certroll"].into_iter().chain(line.split(' ')).collect();
        self.bench.run(&words)
    }

    fn apply(&self, rest: &str) -> Ran {
        self.run(&format!("apply --emulator {rest}"))
    }

    /// Every name in the folder but the emulator's own.
    fn listing(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != ".certroll");
        names.sort();
        names
    }
}

#[test]
fn a_file_that_cannot_be_written_is_found_out_before_anything_is_done() {
    let scene = Scene::new();
    std::fs::create_dir(scene.folder.path().join("folder")).unwrap();
    symlink("certroll.yaml", scene.folder.path().join("link.json")).unwrap();
    std::fs::hard_link(scene.folder.path().join("certroll.yaml"), scene.folder.path().join("hard.json"))
        .unwrap();
    symlink("secrets/billing", scene.folder.path().join("to-keys")).unwrap();
    std::fs::create_dir_all(scene.folder.path().join("secrets/billing")).unwrap();
    scene.write("acknowledgements.yaml", "certroll: v1\nacknowledgements: []\n");
    scene.pipe("fifo");
    symlink("fifo", scene.folder.path().join("to-fifo")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(scene.folder.path().join("socket")).unwrap();
    assert_eq!(scene.run("emulator clock +0d").code, 0, "the emulator has a state");
    let before = scene.listing();
    for path in [
        "folder",
        "nowhere/a.json",
        "certroll.yaml",
        "./certroll.yaml",
        "link.json",
        "hard.json",
        "acknowledgements.yaml",
        "emulator-seed.json",
        ".certroll/emulator.json",
        ".certroll/emulator.json.lock",
        ".certroll/emulator.json.journal",
        "secrets/a.json",
        "secrets/billing/a.json",
        "fifo",
        "to-fifo",
        "socket",
        "to-keys/current/billing.pem",
    ] {
        for line in
            [format!("plan --out {path}"), format!("apply --emulator --auto-approve --receipt {path}")]
        {
            let ran = scene.run(&line);
            assert_eq!(ran.code, 1, "{line}: {}", ran.stderr);
            assert!(ran.stderr.contains(&format!("writing {path}")), "{line}: {}", ran.stderr);
            assert!(!ran.stdout.contains("Apply:"), "{line}: {}", ran.stdout);
        }
    }
    assert_eq!(scene.listing(), before, "no file was left behind, and no key was made");
    assert_eq!(std::fs::read_to_string(scene.folder.path().join("certroll.yaml")).unwrap(), DECLARATION);
    std::fs::remove_file(scene.folder.path().join("acknowledgements.yaml")).unwrap();
    let ran = scene.run("plan --out acknowledgements.yaml");
    assert_eq!(ran.code, 1, "it would be read as the acknowledgements: {}", ran.stderr);
}

/// The store is the folder of the declaration itself: a plan may stand beside the declaration, and never among keys.
#[test]
fn no_file_is_written_among_keys_wherever_the_store_is() {
    let scene = Scene::new();
    scene.write("certroll.yaml", &DECLARATION.replace("directory: secrets", "directory: ."));
    std::fs::create_dir(scene.folder.path().join("billing")).unwrap();
    let ran = scene.run("plan --out billing/plan.json");
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(ran.stderr.contains("the keys of contoso/billing are in that folder"), "{}", ran.stderr);
    assert_eq!(scene.run("plan --out plan.json").code, 0);
}

#[test]
fn no_file_is_written_among_signing_requests_and_their_certificates() {
    let scene = Scene::new();
    let by_hand = format!("{DECLARATION}    issuer: {{ kind: csr, directory: requests }}\n");
    scene.write("certroll.yaml", &by_hand);
    scene.write("requests/contoso.billing.cer", "what somebody had signed");
    for path in ["requests/contoso.billing.cer", "requests/plan.json"] {
        let ran = scene.run(&format!("plan --out {path}"));
        assert_eq!(ran.code, 1, "{path}: {}", ran.stdout);
        assert!(ran.stderr.contains("signing requests and their certificates"), "{}", ran.stderr);
    }
    let found = std::fs::read_dir(scene.folder.path().join("requests")).unwrap().count();
    assert_eq!(found, 1, "nothing was added");
}

#[test]
fn the_state_of_an_emulator_is_kept_in_no_file_that_is_anything_else() {
    let scene = Scene::new();
    symlink("certroll.yaml", scene.folder.path().join("link.json")).unwrap();
    scene.write("other.json", "{}");
    let before = scene.listing();
    for path in [
        "certroll.yaml",
        "./certroll.yaml",
        "link.json",
        "emulator-seed.json",
        "acknowledgements.yaml",
        "secrets/billing/state.json",
        "other.json",
        "/dev/zero",
        ".",
    ] {
        for line in ["plan", "apply --emulator --auto-approve"] {
            let ran = scene.run(&format!("{line} --state {path}"));
            assert_eq!(ran.code, 1, "{line} {path}: {}", ran.stdout);
            assert!(ran.stderr.contains(&format!("{path}\n")), "{line}: {}", ran.stderr);
        }
    }
    for path in ["certroll.yaml", "other.json", "/dev/zero"] {
        let path = scene.folder.path().join(path);
        let ran = scene.run(&format!("emulator clock +1d --state {}", path.display()));
        assert_eq!(ran.code, 1, "{}: {}", path.display(), ran.stdout);
    }
    assert_eq!(scene.listing(), before, "nothing was put beside them");
    assert_eq!(std::fs::read_to_string(scene.folder.path().join("certroll.yaml")).unwrap(), DECLARATION);
}

#[test]
fn a_program_is_told_how_the_plan_differs_from_the_reviewed_one() {
    let scene = Scene::new();
    assert_eq!(scene.run("plan --out plan.json").code, 0);
    let differences = |ran: &Ran| -> Vec<Value> {
        let values = ran.stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        values.filter(|value| value["type"] == "plan_difference").collect()
    };
    scene.write("certroll.yaml", &format!("{DECLARATION}    key: rsa-3072\n"));
    let ran = scene.apply("plan.json --json");
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    let told = differences(&ran);
    assert_eq!(told.len(), 1, "{}", ran.stderr);
    assert_eq!(told[0]["address"], "contoso/billing");
    for (side, key) in [("only_reviewed", "RSA 2048"), ("only_now", "RSA 3072")] {
        let step = told[0][side][0].as_str().unwrap();
        assert!(step.starts_with("issue") && step.contains(key), "{side}: {step}");
    }
    scene.write("certroll.yaml", DECLARATION);
    let ran = scene.apply("plan.json --json");
    assert_eq!((ran.code, differences(&ran).len()), (0, 0), "{}", ran.stderr);
}

#[test]
fn an_outcome_is_told_although_its_receipt_cannot_be_written() {
    let scene = Scene::new();
    let ran = scene.apply("--auto-approve --receipt /dev/full");
    assert!(ran.stdout.contains("Apply: 1 rotated, proven."), "{}", ran.stdout);
    assert!(ran.stderr.contains("Error: writing /dev/full"), "{}", ran.stderr);
    assert_eq!(ran.code, 1);
    let ran = scene.run("plan --out /dev/full --detailed-exitcode");
    assert!(ran.stdout.contains("Plan: nothing to do"), "{}", ran.stdout);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
}

#[test]
fn a_saved_plan_goes_to_a_stream_that_is_open_already() {
    let scene = Scene::new();
    let redirected = scene.folder.path().join("redirected");
    for path in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        for (to_file, stdout) in
            [(false, Stdio::piped()), (true, std::fs::File::create(&redirected).unwrap().into())]
        {
            let mut command = Command::new(env!("CARGO_BIN_EXE_certroll"));
            let command = command.env_clear().current_dir(scene.folder.path()).stdin(Stdio::null());
            let output = command.args(["plan", "--out", path]).stdout(stdout).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{path}: {}", String::from_utf8_lossy(&output.stderr));
            let written = if to_file { std::fs::read(&redirected).unwrap() } else { output.stdout };
            let written = String::from_utf8(written).unwrap();
            let (text, saved) = written.split_at(written.find("{\n").unwrap());
            assert!(text.is_empty() || text.contains("Plan: 1 to issue"), "{path}: {text}");
            assert!(saved.contains("\"steps\""), "{path}: {saved}");
        }
    }
    assert!(std::fs::symlink_metadata("/dev/stdout").unwrap().is_symlink());
}

#[test]
fn a_receipt_replaces_the_one_before_and_nothing_beside_it() {
    let scene = Scene::new();
    scene.write("receipt.json", "old");
    let before = scene.listing();
    assert_eq!(scene.apply("--auto-approve --receipt receipt.json").code, 0);
    let after: Vec<_> = scene.listing().into_iter().filter(|name| name != "secrets").collect();
    assert_eq!(after, before);
    let receipt = std::fs::read_to_string(scene.folder.path().join("receipt.json")).unwrap();
    let receipt: Value = serde_json::from_str(&receipt).unwrap();
    assert_eq!(receipt["exit_code"], 0);
}

#[test]
fn only_a_regular_file_of_a_sane_size_is_a_saved_plan() {
    let scene = Scene::new();
    scene.pipe("fifo");
    let large = std::fs::File::create(scene.folder.path().join("large")).unwrap();
    large.set_len(64 * 1024 * 1024 + 1).unwrap();
    for (path, why) in [
        ("/dev/zero", "it is not a regular file"),
        ("fifo", "it is not a regular file"),
        (".", "it is not a regular file"),
        ("large", "it is larger than 64 MiB"),
    ] {
        for line in [&["show", path][..], &["apply", path, "--emulator"]] {
            let began = Instant::now();
            let mut command = Command::new(env!("CARGO_BIN_EXE_certroll"));
            let command =
                command.env_clear().current_dir(scene.folder.path()).args(line).stdin(Stdio::null());
            let output = command.output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{line:?}: {stderr}");
            assert!(stderr.contains(why), "{line:?}: {stderr}");
            assert!(began.elapsed() < Duration::from_secs(5), "{line:?} took {:?}", began.elapsed());
        }
    }
}

#[test]
fn a_plan_that_was_altered_or_is_of_a_later_format_is_refused() {
    let scene = Scene::new();
    assert_eq!(scene.run("plan --out plan.json").code, 0);
    let plan = std::fs::read_to_string(scene.folder.path().join("plan.json")).unwrap();
    scene.write("altered.json", &plan.replace("\"complete\": true", "\"complete\": false"));
    scene.write("later.json", &plan.replace("\"format_version\": \"1.0\"", "\"format_version\": \"1.1\""));
    scene.write("none.json", "{}");
    for (file, code) in [("altered.json", 4), ("later.json", 4), ("none.json", 1), ("plan.json", 0)] {
        assert_eq!(scene.run(&format!("show {file}")).code, code, "{file}");
        assert_eq!(scene.apply(file).code, code, "{file}");
    }
}

#[test]
fn a_saved_plan_is_carried_out_with_the_settings_it_was_made_with() {
    let scene = Scene::new();
    let planned = scene.run("plan --out plan.json --set sign_ins=5 --set prove_deadline=20m");
    assert!(planned.stdout.contains("(--set): prove_deadline=20m, sign_ins=5."), "{}", planned.stdout);
    for (other, made) in
        [("sign_ins=4", "--set prove_deadline=20m --set sign_ins=5"), ("settle=1m", "--set sign_ins=5")]
    {
        let ran = scene.apply(&format!("plan.json --set {other}"));
        assert_eq!(ran.code, 64, "{}", ran.stderr);
        assert!(ran.stderr.contains(made), "{}", ran.stderr);
    }
    assert!(!scene.folder.path().join("secrets").exists());
    let ran = scene.apply("plan.json --set sign_ins=5");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("5 sign-ins in a row"), "{}", ran.stdout);
}

#[test]
fn what_to_commit_is_told_until_it_is_committed() {
    let scene = Scene::new();
    assert_eq!(scene.apply("--auto-approve").code, 0);
    let verified: Value = serde_json::from_str(&scene.run("verify --json").stdout).unwrap();
    let thumbprint = verified["certificates"][0]["thumbprint"].as_str().unwrap().to_owned();
    let replace = format!("--auto-approve --replace contoso/billing={thumbprint} --revoke-previous");
    let events = |ran: &Ran| -> Vec<Value> {
        ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect()
    };
    for round in ["it retires", "nothing was left to do"] {
        let ran = scene.apply(&format!("{replace} --json"));
        assert_eq!(ran.code, 0, "{round}: {}", ran.stderr);
        let events = events(&ran);
        let told: Vec<&Value> = events.iter().filter(|event| event["type"] == "to_commit").collect();
        assert_eq!(told.len(), 1, "{round}: {}", ran.stdout);
        assert_eq!(
            (&told[0]["address"], &told[0]["revoked"]),
            (&"contoso/billing".into(), &serde_json::json!([thumbprint]))
        );
        assert_eq!(events.last().unwrap()["type"], "change_summary");
    }
    let ran = scene.apply(&replace);
    assert!(
        ran.stdout.contains(&format!("billing:\n        revoked: [ \"{thumbprint}\" ]")),
        "{}",
        ran.stdout
    );
    scene.write("certroll.yaml", &format!("{DECLARATION}    revoked: [ \"{thumbprint}\" ]\n"));
    let ran = scene.apply(&replace);
    assert!(ran.code == 0 && !ran.stdout.contains("Commit this"), "{}", ran.stdout);
}

#[test]
fn what_is_asked_for_by_name_and_cannot_be_done_is_refused() {
    let scene = Scene::new();
    scene
        .write("certroll.yaml", &format!("{DECLARATION}    hold: {{ until: 2099-01-01, reason: a test }}\n"));
    for line in
        ["plan --rollback contoso/billing", "apply --emulator --auto-approve --rollback contoso/billing"]
    {
        let ran = scene.run(line);
        assert_eq!(ran.code, 4, "there is nothing to roll back from: {}", ran.stderr);
        assert!(ran.stderr.contains("Error: rolling back contoso/billing"), "{}", ran.stderr);
    }
    let unknown = DECLARATION.replace("5c1d8e3a", "6d2e9f4b");
    scene.write("certroll.yaml", &unknown);
    let replace = "--replace contoso/billing=9F2C41D0000000000000000000000000000000AA";
    for line in [format!("plan {replace}"), format!("apply --emulator --auto-approve {replace}")] {
        let ran = scene.run(&line);
        assert_eq!(ran.code, 4, "the application is not there: {}", ran.stderr);
        assert!(ran.stderr.contains("Error: replacing contoso/billing"), "{}", ran.stderr);
    }
}

#[test]
fn the_seed_beside_a_named_file_is_found_and_a_tenant_without_one_is_not_kept_by_looking() {
    let scene = Scene::new();
    scene.write("deep/certroll.yaml", DECLARATION);
    scene.write("deep/emulator-seed.json", SEED);
    std::fs::remove_file(scene.folder.path().join("emulator-seed.json")).unwrap();
    let state = scene.folder.path().join(".certroll");
    for line in ["plan -f certroll.yaml", "drift -f certroll.yaml"] {
        assert!(scene.run(line).stdout.contains("there is no application"));
        assert!(!state.exists(), "looking left something behind");
    }
    let planned = scene.run("plan -f deep/certroll.yaml");
    assert!(planned.stdout.contains("1 to issue"), "{}{}", planned.stdout, planned.stderr);
    // Another tenant in the same state file: seen empty, and not kept.
    let other = DECLARATION.replace("contoso", "fabrikam");
    scene.write("certroll.yaml", &other);
    assert!(scene.run("plan -f certroll.yaml").stdout.contains("there is no application"));
    scene.write("emulator-seed.json", &SEED.replace("contoso", "fabrikam"));
    assert!(scene.run("plan -f certroll.yaml").stdout.contains("1 to issue"));
}

#[test]
fn a_seed_that_fails_half_way_leaves_nothing() {
    let scene = Scene::new();
    let twice = SEED.replace(
        "\"existing\":",
        "\"applications\": [ { \"app_id\": \"5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d\", \"display_name\": \"Again\" } ], \"existing\":",
    );
    scene.write("emulator-seed.json", &twice);
    let ran = scene.run("plan");
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(ran.stderr.contains("populating the emulator from emulator-seed.json"), "{}", ran.stderr);
    assert!(!Path::new(&scene.folder.path().join(".certroll")).exists());
    scene.write("emulator-seed.json", SEED);
    assert!(scene.run("plan").stdout.contains("1 to issue"), "the mended file is read");
}

#[test]
fn an_unattended_run_leaves_a_repair_to_a_person_and_goes_on_with_the_rotation_that_is_due() {
    let scene = Scene::new();
    assert_eq!(scene.apply("--auto-approve").code, 0);
    let verified: Value = serde_json::from_str(&scene.run("verify --json").stdout).unwrap();
    let thumbprint = verified["certificates"][0]["thumbprint"].as_str().unwrap();
    let delete = format!("emulator break delete-credential --application Billing --thumbprint {thumbprint}");
    assert_eq!(scene.run(&delete).code, 0);
    let refused = "a repair needs --allow-repair or a reviewed plan";
    let ran = scene.apply("--auto-approve");
    assert!(ran.code == 4 && ran.stdout.contains(refused) && !ran.stdout.contains("rotated"), "{ran:?}");
    // To wait for somebody would be to wait until the key has expired.
    assert_eq!(scene.run("emulator clock +200d").code, 0);
    let ran = scene.apply("--auto-approve");
    assert!(ran.code == 4 && ran.stdout.contains(refused), "{ran:?}");
    assert!(ran.stdout.contains("contoso/billing  rotated, proven"), "{ran:?}");
    let ran = scene.run("plan --detailed-exitcode");
    assert_eq!(ran.code, 0, "nothing is left to repair: {ran:?}");
}
