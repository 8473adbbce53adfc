//! What a run is asked for by flags, and what of that a saved plan may ask for.

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
    scene.done("certroll apply plan.json --emulator");
    assert!(scene.has_key("billing") && !scene.has_key("payroll"));
    let ran = scene.run("certroll plan --only contoso/billing --only contoso/payroll");
    assert_eq!(ran.code, 1, "asked for on the command line it is a mistake: {ran:?}");
}
