//! What the command line makes of a service in trouble, and what `verify` finds out about what consumers read.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certroll::emulator::{Change, NewApplication};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::bridge::Bridge;

const TENANT: Uuid = Uuid::from_u128(0x8f5e_2c0a_1b2c_4d3e_9f40_5162_7384_a5b6);
const APP: Uuid = Uuid::from_u128(0x5c1d_8e3a_7f10_4a2b_8c3d_9e4f_5a6b_7c8d);

fn declaration(target: &str) -> String {
    format!(
        "certroll: v1\nowner: platform\ntenants: {{ contoso: {{ id: {TENANT} }} }}\n\
         stores: {{ keys: {{ kind: file, directory: secrets }} }}\ncertificates:\n  billing:\n    \
         application: {{ {target} }}\n    store: keys\n"
    )
}

/// A declaration of a tenant that is taken for a real one, and the service that plays it.
struct Scene {
    folder: tempfile::TempDir,
    bridge: Bridge,
}

impl Scene {
    fn new() -> Scene {
        let bridge = Bridge::new();
        let new = NewApplication {
            app_id: Some(APP),
            display_name: "Billing".into(),
            properties: json!({ "uniqueName": "billing" }).as_object().unwrap().clone(),
            ..NewApplication::default()
        };
        bridge.emulator.create_application(TENANT, new).unwrap();
        let scene = Scene { folder: tempfile::tempdir().unwrap(), bridge };
        scene.declare(&format!("app_id: {APP}"));
        scene
    }

    fn declare(&self, target: &str) {
        std::fs::write(self.folder.path().join("certroll.yaml"), declaration(target)).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let operator = self.bridge.emulator.operator(TENANT);
        let mut command = Command::new(env!("CARGO_BIN_EXE_certroll"));
        command.env_clear().current_dir(self.folder.path()).args(args).stdin(Stdio::null());
        command.env("AZURE_AUTHORITY_HOST", &self.bridge.url).env("CERTROLL_GRAPH_HOST", &self.bridge.url);
        command.env("CERTROLL_GRAPH_SCOPE", "https://graph.microsoft.com/.default");
        command.env("AZURE_TENANT_ID", TENANT.to_string());
        command.env("AZURE_CLIENT_ID", operator.client_id.to_string());
        command.env("AZURE_CLIENT_SECRET", operator.client_secret);
        command
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    /// With waits that are short and really waited for.
    fn quickly(&self, args: &[&str]) -> (i32, String, String) {
        let quick = ["--set", "read_interval=10ms", "--set", "sign_in_interval=10ms"];
        self.run(&[args, &quick].concat())
    }

    fn issued(self) -> Scene {
        let (code, stdout, stderr) = self.quickly(&["apply", "--auto-approve"]);
        assert_eq!(code, 0, "{stdout}{stderr}");
        self
    }

    fn verified(&self) -> (i32, Value) {
        let (code, stdout, stderr) = self.quickly(&["verify", "--json"]);
        let value: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}"));
        (code, value["certificates"][0].clone())
    }
}

#[test]
fn an_answer_that_makes_no_sense_ends_plan_drift_verify_and_apply_with_1() {
    let scene = Scene::new();
    for target in [
        format!("app_id: {APP}"),
        "unique_name: billing".to_owned(),
        "display_name: Billing".to_owned(),
        format!("object_id: {APP}"),
    ] {
        scene.declare(&target);
        for (status, body) in [
            (404, "<html>no such page</html>"),
            (404, ""),
            (200, "<html>log in</html>"),
            (200, "{}"),
            (200, "[1]"),
        ] {
            scene.bridge.instead(move |path| {
                let asks = path.contains("/applications") || path.contains("$batch");
                asks.then_some((status, body))
            });
            for args in [
                &["plan"][..],
                &["drift"],
                &["verify"],
                &["apply", "--auto-approve"],
                &["plan", "--detailed-exitcode"],
            ] {
                let (code, stdout, stderr) = scene.run(args);
                assert_eq!(code, 1, "{target} {status} {body} {args:?}: {stdout}{stderr}");
                assert!(
                    stderr.contains("Error: reading the target of contoso/billing\n"),
                    "{args:?}: {stderr}"
                );
                assert!(stderr.contains("Hint: look at what answers at that address"), "{args:?}: {stderr}");
                assert!(!stdout.contains("there is no application"), "nobody has said so: {stdout}");
            }
        }
    }
}

#[test]
fn an_application_that_graph_itself_does_not_know_is_missing_and_no_error() {
    let scene = Scene::new();
    for target in [format!("object_id: {APP}"), format!("app_id: {TENANT}")] {
        scene.declare(&target);
        let (code, stdout, _) = scene.run(&["plan", "--detailed-exitcode"]);
        assert_eq!(code, 3, "{stdout}");
        assert!(stdout.contains("there is no application"), "{stdout}");
    }
}

#[test]
fn a_tenant_that_certroll_may_not_read_is_told_with_code_request_id_and_what_to_try() {
    let scene = Scene::new();
    let client_id = scene.bridge.emulator.operator(TENANT).client_id;
    scene.bridge.emulator.change(TENANT, Change::Grant { client_id, permissions: [].into() }).unwrap();
    let (code, _, stderr) = scene.run(&["plan"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("Error: reading tenant contoso"), "{stderr}");
    assert!(stderr.contains("(Authorization_RequestDenied, request "), "{stderr}");
    assert!(stderr.contains("Hint: ") && !stderr.contains("correct that and run again"), "{stderr}");
    let (code, _, stderr) = scene.run(&["drift", "--json"]);
    assert_eq!(code, 1);
    let diagnostic: Value = serde_json::from_str(stderr.lines().last().unwrap()).unwrap();
    assert_eq!(diagnostic["kind"], "authorisation");
}

#[test]
fn a_signal_while_a_service_does_not_answer_ends_any_command_at_once_with_130() {
    let scene = Scene::new();
    // It accepts, and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    for args in [&["apply", "--auto-approve"][..], &["plan"], &["verify"], &["drift"]] {
        let mut child = scene
            .command(args)
            .env("AZURE_AUTHORITY_HOST", &url)
            .env("CERTROLL_GRAPH_HOST", &url)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut asked, _) = listener.accept().unwrap();
        asked.read_exact(&mut [0; 4]).unwrap();
        let began = Instant::now();
        let pid = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let code = child.wait().unwrap().code();
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(code, Some(130), "{args:?}: {stderr}");
        assert!(began.elapsed() < Duration::from_secs(5), "{args:?} took {:?}", began.elapsed());
        assert!(stderr.contains("interrupted"), "{args:?}: {stderr}");
    }
}

/// An apply whose delivery takes so many seconds, signalled so often once that has begun: how long it then takes, its code, what it says.
fn signalled_while_delivering(takes: u32, signals: u32) -> (Scene, Duration, Option<i32>, String) {
    let scene = Scene::new();
    let at = scene.folder.path();
    let deliver = "    deliver: [ { kind: exec, command: [/bin/sh, push.sh], format: pem } ]\n";
    std::fs::write(at.join("certroll.yaml"), declaration(&format!("app_id: {APP}")) + deliver).unwrap();
    let push = format!("cat > /dev/null\ntouch begun\nsleep {takes}\ntouch done\n");
    std::fs::write(at.join("push.sh"), push).unwrap();
    let quick = ["--set", "read_interval=10ms", "--set", "sign_in_interval=10ms"];
    let mut command = scene.command(&[&["apply", "--auto-approve"], &quick[..]].concat());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let patience = Instant::now();
    while !at.join("begun").exists() {
        assert!(patience.elapsed() < Duration::from_secs(60), "nothing was delivered");
        std::thread::sleep(Duration::from_millis(10));
    }
    let began = Instant::now();
    let pid = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    for _ in 0..signals {
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        std::thread::sleep(Duration::from_millis(200));
    }
    let code = child.wait().unwrap().code();
    let took = began.elapsed();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (scene, took, code, stderr)
}

#[test]
fn what_is_under_way_when_a_signal_comes_is_let_end() {
    let (scene, took, code, stderr) = signalled_while_delivering(1, 1);
    assert_eq!(code, Some(130), "{stderr}");
    assert!(scene.folder.path().join("done").exists(), "{took:?} {stderr}");
}

#[test]
fn what_does_not_end_within_five_seconds_of_a_signal_is_left_and_told() {
    let (_scene, took, code, stderr) = signalled_while_delivering(40, 1);
    assert_eq!(code, Some(130), "{stderr}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(stderr.contains("while a write was in flight"), "{stderr}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let (_scene, took, code, stderr) = signalled_while_delivering(40, 2);
    assert_eq!(code, Some(130), "{stderr}");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn verify_signs_in_as_set() {
    let scene = Scene::new().issued();
    for (set, algorithm) in [("assertion=ps256", "PS256"), ("assertion=rs256", "RS256")] {
        let before = scene.bridge.asked().len();
        let (code, stdout, stderr) = scene.quickly(&["verify", "--set", set]);
        assert_eq!(code, 0, "{stdout}{stderr}");
        let asked = scene.bridge.asked().split_off(before);
        let assertions: Vec<String> = asked
            .iter()
            .filter_map(|(_, body)| {
                let assertion = body.split('&').find_map(|field| field.strip_prefix("client_assertion="))?;
                let header = URL_SAFE_NO_PAD.decode(assertion.split('.').next()?).unwrap();
                let header: Value = serde_json::from_slice(&header).unwrap();
                Some(header["alg"].as_str().unwrap().to_owned())
            })
            .collect();
        assert_eq!(assertions, [algorithm; 3], "{set}");
    }
}

#[test]
fn verify_calls_a_damaged_file_failed() {
    let scene = Scene::new().issued();
    assert_eq!(scene.verified().0, 0);
    let file = scene.folder.path().join("secrets/billing/current/billing.pem");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (code, verified) = scene.verified();
    assert_eq!((code, &verified["result"]), (1, &json!("failed")), "{verified}");
    assert!(verified["reason"].as_str().unwrap().contains("was changed"), "{verified}");
}

#[test]
fn verify_lets_no_generation_of_another_owner_pass() {
    let scene = Scene::new().issued();
    let path = scene.folder.path().join("certroll.yaml");
    let others = std::fs::read_to_string(&path).unwrap().replace("owner: platform", "owner: others");
    std::fs::write(&path, others).unwrap();
    let (code, verified) = scene.verified();
    assert_eq!((code, &verified["result"]), (1, &json!("failed")), "{verified}");
    assert_eq!(verified["reason"], "the store's current generation was made for platform/billing");
}

#[test]
fn verify_fails_where_nobody_can_sign_in() {
    let scene = Scene::new().issued();
    let properties = json!({ "isDisabled": true }).as_object().unwrap().clone();
    scene.bridge.emulator.change(TENANT, Change::Set { object: APP, kind: None, properties }).unwrap();
    let (code, verified) = scene.verified();
    assert_eq!((code, &verified["result"]), (1, &json!("failed")), "{verified}");
    assert!(verified["reason"].as_str().unwrap().contains("disabled"), "{verified}");
}

#[test]
fn verify_says_of_an_adopted_certificate_whose_key_is_elsewhere_that_it_is() {
    let scene = Scene::new();
    let change =
        Change::AddForeignCredential { object: APP, kind: None, display_name: Some("by hand".into()) };
    scene.bridge.emulator.change(TENANT, change).unwrap();
    let (_, stdout, _) = scene.run(&["drift", "--json"]);
    let drift: Value = serde_json::from_str(&stdout).unwrap();
    let findings = drift["findings"].as_array().unwrap();
    let thumbprint = findings.iter().find_map(|finding| finding["thumbprint"].as_str()).unwrap();
    let adopt = format!("    adopt: [ {{ thumbprint: \"{thumbprint}\", key: elsewhere }} ]\n");
    std::fs::write(
        scene.folder.path().join("certroll.yaml"),
        declaration(&format!("app_id: {APP}")) + &adopt,
    )
    .unwrap();
    let (code, verified) = scene.verified();
    assert_eq!((code, &verified["result"]), (0, &json!("present")), "{verified}");
    assert!(verified["reason"].as_str().unwrap().contains("its key lives elsewhere"), "{verified}");
    assert_eq!(verified["thumbprint"], thumbprint);
}

#[test]
fn one_directory_under_two_names_is_an_error_for_every_command_that_plans() {
    let scene = Scene::new();
    scene.bridge.emulator.ensure_tenant(TENANT, Some("billing-works.net"));
    let declare = |corp: &str| {
        let two = format!(
            "certroll: v1\nowner: platform\n\
             tenants: {{ contoso: {{ id: {TENANT} }}, corp: {{ id: {corp} }} }}\n\
             stores: {{ keys: {{ kind: file, directory: secrets }} }}\ncertificates:\n"
        );
        let of = |name: &str, tenant: &str| {
            format!("  {name}: {{ tenant: {tenant}, application: {{ app_id: {APP} }}, store: keys }}\n")
        };
        let both = two + &of("billing", "contoso") + &of("orders", "corp");
        std::fs::write(scene.folder.path().join("certroll.yaml"), both).unwrap();
    };
    declare("billing-works.net");
    for line in [
        "plan",
        "plan --detailed-exitcode",
        "apply --auto-approve",
        "drift",
        "verify",
        // The other name is not asked about, and its GUID says enough.
        "apply --auto-approve --only corp/orders",
    ] {
        let (code, stdout, stderr) = scene.quickly(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((code, stdout.as_str()), (1, ""), "{line}: {stderr}");
        let names = [
            format!("contoso ({TENANT}, certroll.yaml:3:12)"),
            "corp (billing-works.net, certroll.yaml:3:".to_owned(),
            "are one directory".to_owned(),
        ];
        assert!(names.iter().all(|name| stderr.contains(name)), "{line}: {stderr}");
    }
    assert!(!scene.folder.path().join("secrets").exists(), "nothing was done");
    // No tenant is asked only to compare it.
    let (code, stdout, stderr) = scene.run(&["plan", "--only", "contoso/billing"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    declare(&TENANT.to_string().to_uppercase());
    let (code, _, stderr) = scene.run(&["validate"]);
    assert!(code == 1 && stderr.contains("has the id of another"), "{stderr}");
}
