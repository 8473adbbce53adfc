//! What a run is asked for by flags, and what of that a saved plan may ask for.

use certroll::ids::Address;
use certroll::plan::document::Document;
use certroll::plan::policy::Overrides;

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
  payroll:
    application: { app_id: 6c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d }
    store: keys
";

const SEED: &str = r#"{ "tenants": { "contoso": { "existing": [
  { "app_id": "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d", "display_name": "Billing" },
  { "app_id": "6c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d", "display_name": "Payroll" } ] } } }"#;

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
        std::fs::write(self.folder.path().join(name), content).unwrap();
    }

    fn run(&self, line: &str) -> Ran {
        let words: Vec<&str> = line.split(' ').collect();
        self.bench.run(&words)
    }

    fn done(&self, line: &str) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
        ran
    }

    fn has_key(&self, name: &str) -> bool {
        self.folder.path().join("secrets").join(name).join("current").exists()
    }
}

#[test]
fn a_certificate_that_left_the_declaration_does_not_keep_the_rest_of_a_saved_plan_back() {
    let scene = Scene::new();
    scene.done("certroll plan --only contoso/billing --only contoso/payroll --out plan.json");
    scene.write("certroll.yaml", DECLARATION.split("  payroll").next().unwrap());
    let ran = scene.run("certroll apply plan.json --emulator");
    assert!(scene.has_key("billing") && !scene.has_key("payroll"));
    assert_eq!(ran.code, 4, "payroll was approved too: {ran:?}");
    assert!(
        ran.stdout.contains("contoso/payroll  refused: reviewed and not done: issue, publish, prove, promote: it is not in the declaration any more"),
        "{ran:?}"
    );
    let ran = scene.run("certroll plan --only contoso/billing --only contoso/payroll");
    assert_eq!(ran.code, 1, "asked for on the command line it is a mistake: {ran:?}");
}

/// What somebody makes of a saved plan who adds to what it was asked for, and corrects the digest, which is no secret.
fn forge(scene: &Scene, from: &str, to: &str, change: impl FnOnce(&mut Overrides)) {
    let bytes = std::fs::read(scene.folder.path().join(from)).unwrap();
    let mut plan = Document::read(&bytes).unwrap().into_plan();
    change(&mut plan.asked);
    scene.write(to, &Document::of(&plan).to_json());
}

fn billing() -> Address {
    "contoso/billing".parse().unwrap()
}

#[test]
fn p4_a_file_alone_cannot_ask_for_what_takes_a_safeguard_away() {
    let scene = Scene::new();
    scene.done("certroll apply --emulator --auto-approve");
    let verified: serde_json::Value =
        serde_json::from_str(&scene.done("certroll verify contoso/billing --json").stdout).unwrap();
    let thumbprint = verified["certificates"][0]["thumbprint"].as_str().unwrap().to_owned();
    let replace = format!("--replace contoso/billing={thumbprint}");
    scene.done(&format!("certroll plan {replace} --out plan.json"));
    type Change = fn(&mut Overrides);
    let changes: [(&str, Change); 4] = [
        ("--revoke-previous", |asked| asked.revoke_previous = true),
        ("--rollback contoso/billing", |asked| asked.rollback.extend([billing()])),
        ("--max-issue 5000", |asked| asked.max_issue = Some(5000)),
        ("--max-retire 5000", |asked| asked.max_retire = Some(5000)),
    ];
    for (flag, change) in changes {
        forge(&scene, "plan.json", "forged.json", change);
        let ran = scene.run("certroll apply forged.json --emulator");
        assert_eq!(ran.code, 4, "{flag}: {ran:?}");
        let told = format!("The saved plan was asked for with {replace} {flag}.");
        assert!(ran.stderr.contains(&told) && ran.stderr.contains("a file alone cannot ask for"), "{ran:?}");
        assert_eq!(ran.stdout, "", "nothing was planned, nothing done");
    }
    forge(&scene, "plan.json", "forged.json", |asked| {
        asked.revoke_previous = true;
        // Another one than the operator means.
        asked.replace = [(billing(), "9F2C41D0000000000000000000000000000000AA".parse().unwrap())].into();
    });
    let ran = scene.run(&format!("certroll apply forged.json --emulator {replace} --revoke-previous"));
    assert_eq!(ran.code, 64, "{ran:?}");
    let ran = scene.run(&format!("certroll apply plan.json --emulator {replace} --revoke-previous"));
    assert_eq!(ran.code, 64, "nobody reviewed that: {ran:?}");
    assert!(ran.stderr.contains("the saved plan was made without --revoke-previous"), "{ran:?}");
    // A plain rotation takes nothing away.
    let ran = scene.done("certroll apply plan.json --emulator");
    assert!(ran.stderr.contains(&format!("was asked for with {replace}.")), "{ran:?}");
    assert!(ran.stdout.contains("rotated, proven"), "{ran:?}");
}

#[test]
fn p4_what_was_reviewed_with_a_safeguard_taken_away_is_done_when_that_is_asked_for_again() {
    let scene = Scene::new();
    scene.write("certroll.yaml", &DECLARATION.replace("cloud: emulator", "cloud: emulator, max_issue: 1"));
    scene.done("certroll plan --max-issue 2 --out plan.json");
    assert_eq!(scene.run("certroll apply plan.json --emulator").code, 4);
    assert_eq!(scene.run("certroll apply plan.json --emulator --max-issue 3").code, 64);
    assert!(!scene.has_key("billing"));
    scene.done("certroll apply plan.json --emulator --max-issue 2");
    assert!(scene.has_key("billing") && scene.has_key("payroll"));
}
