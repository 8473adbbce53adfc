//! The one table of exit codes, run against the binary: every code, and every situation that was ever told with another one.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;

use certroll::cli::args::EXIT_CODES;

use super::cli::{BILLING, billing, certroll, run};

/// What came before, the command, and how it ends. `NAMED` in a command is the thumbprint that came before it.
struct Case {
    code: i32,
    situation: &'static str,
    before: fn(&Path),
    command: &'static str,
}

const fn case(code: i32, situation: &'static str, before: fn(&Path), command: &'static str) -> Case {
    Case { code, situation, before, command }
}

const ROLLBACK: &str = "--rollback contoso/billing";

const TABLE: &[Case] = &[
    case(0, "nothing to do", applied, "plan --detailed-exitcode"),
    case(0, "an overlap that is running", rotated, "plan --detailed-exitcode"),
    case(0, "changes, and nobody asked for details", nothing, "plan"),
    case(0, "somebody must act, and nobody asked for details", no_application, "plan"),
    case(0, "all that was planned is done", nothing, "apply --emulator --auto-approve"),
    case(0, "a saved plan that was carried out already", saved_and_applied, "apply plan.json --emulator"),
    case(0, "no drift", applied, "drift --detailed-exitcode"),
    case(1, "a mistake in the declaration", with_a_mistake, "validate"),
    case(1, "a path that is not there", nothing, "plan -f nowhere"),
    case(1, "a certificate that nobody declares", nothing, "plan --only contoso/other"),
    case(
        1,
        "a certificate that nobody declares, to be rolled back",
        nothing,
        "plan --rollback contoso/other",
    ),
    case(1, "a directory that answers with errors", unavailable, "plan --detailed-exitcode"),
    case(1, "a store that cannot be read", mangled, "plan --detailed-exitcode"),
    case(1, "a store that cannot be read, and an apply", mangled, "apply --emulator --auto-approve"),
    case(1, "a store that cannot be read, and a drift", mangled, "drift --detailed-exitcode"),
    case(1, "a file that is there already", nothing, "init certroll.yaml"),
    case(1, "no saved plan at all", no_plan, "show plan.json"),
    case(1, "faults that the emulator does not know", no_plan, "emulator faults plan.json"),
    case(
        1,
        "an application that the emulator does not have",
        nothing,
        "emulator break disable --application x",
    ),
    case(2, "changes", nothing, "plan --detailed-exitcode"),
    case(2, "drift", deleted, "drift --detailed-exitcode"),
    case(3, "the application is not there", no_application, "plan --detailed-exitcode"),
    case(4, "more than a limit allows", limited, "plan"),
    case(4, "more than a limit allows, to be applied", limited, "apply --emulator --auto-approve"),
    case(4, "a saved plan whose declaration has changed", stale, "apply plan.json --emulator"),
    case(4, "a saved plan of which nothing is possible any more", moved_on, "apply plan.json --emulator"),
    case(4, "a saved plan for somebody else", other_owner, "apply plan.json --emulator"),
    case(4, "a saved plan that was altered", altered, "show plan.json"),
    case(4, "a rollback without a hold, planned", rotated, "plan --rollback contoso/billing"),
    case(
        4,
        "a rollback without a hold",
        rotated,
        "apply --rollback contoso/billing --emulator --auto-approve",
    ),
    case(4, "a rollback whose hold is over, planned", held_once, "plan --rollback contoso/billing"),
    case(
        4,
        "a rollback whose hold is over",
        held_once,
        "apply --rollback contoso/billing --emulator --auto-approve",
    ),
    case(
        4,
        "a replacement that a freeze holds back, planned",
        frozen,
        "plan --replace contoso/billing=NAMED",
    ),
    case(
        4,
        "a replacement that a freeze holds back",
        frozen,
        "apply --replace contoso/billing=NAMED --emulator --auto-approve",
    ),
    case(4, "a stranger's that is to be replaced", visited, "plan --replace contoso/billing=NAMED"),
    case(
        4,
        "a stranger's that is to be revoked, planned",
        visited,
        "plan --replace contoso/billing=NAMED --revoke-previous",
    ),
    case(
        4,
        "a stranger's that is to be revoked",
        visited,
        "apply --replace contoso/billing=NAMED --revoke-previous --emulator --auto-approve",
    ),
    case(4, "a saved rollback that is not asked for again", rollback_saved, "apply plan.json --emulator"),
    case(5, "a new key that does not sign in yet", slow, "apply --emulator --auto-approve"),
    case(64, "a flag that nobody knows", nothing, "plan --bogus"),
    case(64, "no command", nothing, ""),
    case(64, "a setting that nobody knows", nothing, "plan --set a=b"),
    case(64, "a setting beyond sense", nothing, "plan --set read_interval=9999999h"),
    case(64, "sign-ins that do not fit into their deadline", nothing, "plan --set sign_in_interval=30m"),
    case(64, "certificates that would be due as soon as they are made", hourly, "plan --set backdate=3h"),
    case(1, "a certificate that is due as soon as it is made", too_often, "validate"),
    case(64, "an emulated tenant without --emulator", nothing, "apply --auto-approve"),
    case(64, "nobody to ask", nothing, "apply --emulator"),
    case(
        64,
        "what --only leaves out",
        with_payroll,
        "plan --only contoso/payroll --rollback contoso/billing",
    ),
    case(
        64,
        "one certificate, two thumbprints to replace",
        nothing,
        "plan --replace contoso/billing=9F2C41D000000000000000000000000000000000 --replace contoso/billing=1F2C41D000000000000000000000000000000000",
    ),
    case(
        64,
        "one certificate to be replaced and rolled back",
        held_once,
        "apply --emulator --auto-approve --rollback contoso/billing --replace contoso/billing=9F2C41D000000000000000000000000000000000",
    ),
    case(
        64,
        "one certificate to be rolled back twice and replaced",
        held_once,
        "plan --rollback contoso/billing --replace contoso/billing=9F2C41D000000000000000000000000000000000 --rollback contoso/billing",
    ),
    case(
        64,
        "more applications than an emulator holds",
        nothing,
        "emulator seed --applications 99999999999999",
    ),
    case(64, "two places to write one file", nothing, "init a.yaml -f b.yaml"),
    case(64, "a clock that is to move by nonsense", nothing, "emulator clock tomorrow"),
    case(64, "a clock that is to move by nothing", nothing, "emulator clock +"),
    case(64, "a change that is no JSON", nothing, "emulator break change {"),
    case(64, "a change that the emulator does not know", nothing, "emulator break change {\"change\":\"x\"}"),
    case(64, "destroy", nothing, "destroy"),
];

fn nothing(_: &Path) {}

fn done(at: &Path, line: &str) {
    let (code, _, stderr) = run(at, &line.split(' ').collect::<Vec<_>>());
    assert_eq!(code, 0, "{line}: {stderr}");
}

fn declare(at: &Path, text: &str) {
    std::fs::write(at.join("certroll.yaml"), text).unwrap();
}

fn applied(at: &Path) {
    done(at, "apply --emulator --auto-approve");
}

fn rotated(at: &Path) {
    applied(at);
    done(at, "emulator clock +180d");
    applied(at);
}

fn held_once(at: &Path) {
    rotated(at);
    declare(at, &format!("{BILLING}    hold: {{ until: 2020-01-01, reason: long ago }}\n"));
}

fn hourly(at: &Path) {
    declare(at, &format!("{BILLING}    rotation_period: 2h\n    overlap: 1h\n    validity: 50h\n"));
    done(at, "plan");
}

fn too_often(at: &Path) {
    declare(at, &format!("{BILLING}    rotation_period: 1h\n    overlap: 1h\n    validity: 50h\n"));
}

fn rollback_saved(at: &Path) {
    rotated(at);
    declare(at, &format!("{BILLING}    hold: {{ until: 2099-01-01, reason: it fails }}\n"));
    done(at, &format!("plan {ROLLBACK} --out plan.json"));
}

fn saved(at: &Path) {
    done(at, "plan --out plan.json");
}

fn saved_and_applied(at: &Path) {
    saved(at);
    applied(at);
}

fn stale(at: &Path) {
    saved(at);
    declare(at, &format!("{BILLING}    signature_hash: sha384\n"));
}

/// Somebody applies another declaration between review and apply.
fn moved_on(at: &Path) {
    stale(at);
    applied(at);
    declare(at, BILLING);
}

fn other_owner(at: &Path) {
    saved(at);
    declare(at, &BILLING.replace("owner: platform", "owner: others"));
}

fn altered(at: &Path) {
    saved(at);
    let text = std::fs::read_to_string(at.join("plan.json")).unwrap();
    std::fs::write(at.join("plan.json"), text.replace("\"issue\": 1", "\"issue\": 0")).unwrap();
}

fn with_payroll(at: &Path) {
    let payroll = BILLING.split("certificates:\n").nth(1).unwrap().replace("billing", "payroll");
    declare(at, &format!("{BILLING}{payroll}"));
}

fn with_a_mistake(at: &Path) {
    declare(at, &BILLING.replace("owner", "owners"));
}

fn no_application(at: &Path) {
    declare(at, &BILLING.replace("5c1d8e3a", "6d2e9f4b"));
}

/// Where a thumbprint is kept that a command names.
const NAMED: &str = "named.txt";

fn current(at: &Path) -> String {
    let (_, shown, _) = run(at, &["verify", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    shown["certificates"][0]["thumbprint"].as_str().unwrap().to_owned()
}

fn deleted(at: &Path) {
    applied(at);
    let thumbprint = current(at);
    done(at, &format!("emulator break delete-credential --application Billing --thumbprint {thumbprint}"));
}

fn frozen(at: &Path) {
    applied(at);
    std::fs::write(at.join(NAMED), current(at)).unwrap();
    declare(
        at,
        &format!("{BILLING}    freeze: [ {{ from: 2020-01-01, to: 2099-01-01, reason: closed }} ]\n"),
    );
}

fn visited(at: &Path) {
    applied(at);
    done(at, "emulator break add-credential --application Billing --name visitor");
    let ours = current(at);
    let (_, shown, _) = run(at, &["drift", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let mut thumbprints =
        shown["findings"].as_array().unwrap().iter().filter_map(|one| one["thumbprint"].as_str());
    let theirs = thumbprints.find(|thumbprint| *thumbprint != ours).unwrap_or_else(|| panic!("{shown}"));
    std::fs::write(at.join(NAMED), theirs).unwrap();
}

fn mangled(at: &Path) {
    applied(at);
    let generations = std::fs::read_dir(at.join("secrets/billing/generations")).unwrap();
    for generation in generations {
        std::fs::write(generation.unwrap().path().join("record.json"), "{").unwrap();
    }
}

fn limited(at: &Path) {
    declare(at, &BILLING.replace("cloud: emulator", "cloud: emulator, max_issue: 0"));
}

fn no_plan(at: &Path) {
    std::fs::write(at.join("plan.json"), "{ \"a\": 1 }").unwrap();
}

fn faults(at: &Path, faults: &str) {
    // The state is made by a run that writes.
    let code =
        run(at, &["apply", "--emulator", "--auto-approve", "--only", "contoso/billing", "--max-issue", "0"])
            .0;
    assert_eq!(code, 4);
    std::fs::write(at.join("faults.json"), faults).unwrap();
    done(at, "emulator faults faults.json");
}

fn unavailable(at: &Path) {
    faults(at, r#"{ "unavailable": { "every": 1 } }"#);
}

fn slow(at: &Path) {
    faults(at, r#"{ "token_propagation": { "seconds": 90000 } }"#);
}

#[test]
fn every_situation_ends_with_the_code_of_the_table() {
    let mut wrong = Vec::new();
    for Case { code, situation, before, command } in TABLE {
        let folder = billing();
        before(folder.path());
        let named = std::fs::read_to_string(folder.path().join(NAMED)).unwrap_or_default();
        let line = command.replace("NAMED", &named);
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let (ended, stdout, stderr) = run(folder.path(), &words);
        if ended != *code {
            wrong.push(format!("{situation}: {command} ended with {ended}, not {code}\n{stdout}{stderr}"));
        }
        // Whoever is refused is told why, and usage errors come before anything was looked at.
        if matches!(code, 1 | 4 | 64) && format!("{stdout}{stderr}").len() < 20 {
            wrong.push(format!("{situation}: {command} says nothing"));
        }
        if *code == 64 && !stdout.is_empty() {
            wrong.push(format!("{situation}: {command} printed {stdout}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), TABLE.len(), wrong.join("\n"));
}

#[test]
fn a_signal_ends_a_command_with_130() {
    let folder = billing();
    // A server that never answers: the run waits until it is told to stop.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let authority = include_str!("../fixtures/certificates/plain.pem");
    std::fs::write(folder.path().join("ca.pem"), authority).unwrap();
    let mut child = certroll(folder.path(), &["plan"])
        .env("CERTROLL_EMULATOR", url)
        .env("CERTROLL_CA_FILE", "ca.pem")
        .env("AZURE_CLIENT_ID", "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d")
        .env("AZURE_CLIENT_SECRET", "none")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stream, _) = silent.accept().unwrap();
    let _ = stream.read(&mut [0; 16]).unwrap();
    let pid = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let code = child.wait().unwrap().code();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(code, Some(130), "{stderr}");
}

#[test]
fn help_readme_and_this_table_have_the_same_codes() {
    let number = |line: &str| line.split_whitespace().find_map(|word| word.parse::<i32>().ok());
    let help: BTreeSet<i32> = EXIT_CODES.lines().skip(1).filter_map(number).collect();
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let rows = readme.split("| exit code | means |").nth(1).unwrap().lines().skip(2);
    let rows: BTreeSet<i32> = rows.take_while(|line| line.starts_with('|')).filter_map(number).collect();
    let mut tried: BTreeSet<i32> = TABLE.iter().map(|case| case.code).collect();
    tried.insert(130);
    assert_eq!(help, tried);
    assert_eq!(rows, tried);
}
