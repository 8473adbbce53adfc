//! The command line as a process: exit codes, streams, pipes, signals; and what it refuses.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::cli::Bench;

pub(super) const BILLING: &str = "\
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

/// A folder with a declaration and the directory it needs.
pub(super) fn billing() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("certroll.yaml"), BILLING).unwrap();
    std::fs::write(folder.path().join("emulator-seed.json"), SEED).unwrap();
    folder
}

/// The real binary in an environment that says nothing.
pub(super) fn certroll(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_certroll"));
    command.env_clear().current_dir(folder).args(args).stdin(Stdio::null());
    command
}

pub(super) fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = certroll(folder, args).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn p8_a_plan_says_the_same_in_every_checkout() {
    let declared = format!(
        "{BILLING}    issuer: {{ kind: csr, directory: requests }}\n  other:\n    application: {{ app_id: \
         5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d }}\n    store: keys\n    issuer: {{ kind: ca_file, certificate: ca/ca.pem, chain: ca/chain.pem, \
         key: {{ env: CERTROLL_SECRET_CA_KEY }} }}\n"
    );
    let planned = || {
        let folder = billing();
        std::fs::write(folder.path().join("certroll.yaml"), &declared).unwrap();
        let (code, stdout, stderr) = run(folder.path(), &["plan", "--json"]);
        assert_eq!(code, 0, "{stderr}");
        assert!(!stdout.contains(folder.path().to_str().unwrap()), "{stdout}");
        let plan: Value = serde_json::from_str(&stdout).unwrap();
        let digests = plan["certificates"].as_array().unwrap().iter().map(|one| one["declared"].to_string());
        digests.collect::<Vec<_>>()
    };
    let (here, there) = (planned(), planned());
    assert!(here.len() == 2 && here.iter().all(|digest| digest.len() > 64), "{here:?}");
    assert_eq!(here, there);
}

#[test]
fn a_whole_life_by_exit_codes() {
    let folder = billing();
    let at = folder.path();
    let code = |args: &[&str]| run(at, args).0;
    assert_eq!(code(&["plan"]), 0, "changes are fine without --detailed-exitcode");
    assert_eq!(code(&["plan", "--detailed-exitcode"]), 2);
    assert_eq!(code(&["apply", "--emulator", "--auto-approve"]), 0);
    assert_eq!(code(&["plan", "--detailed-exitcode"]), 0, "nothing to do is 0");
    assert_eq!(code(&["drift", "--detailed-exitcode"]), 0);
    assert_eq!(code(&["verify"]), 0);
    let other = BILLING.replace("5c1d8e3a", "6d2e9f4b");
    std::fs::write(at.join("certroll.yaml"), other).unwrap();
    assert_eq!(code(&["plan", "--detailed-exitcode"]), 3, "the application is not there: somebody must act");
    assert_eq!(code(&["plan"]), 0);
    assert_eq!(code(&["apply", "--emulator", "--auto-approve"]), 0);
    std::fs::write(at.join("certroll.yaml"), "certroll: v1\n").unwrap();
    assert_eq!(code(&["validate"]), 1);
    assert_eq!(code(&["plan", "--detailed-exitcode"]), 1);
}

#[test]
fn usage_errors_end_with_64_and_help_with_0() {
    let folder = billing();
    for args in [
        &["--bogus"][..],
        &[],
        &["plan", "extra"],
        &["plan", "--now", "tomorrow"],
        &["plan", "--only", "NOT AN ADDRESS"],
        &["plan", "--parallelism", "0"],
        &["plan", "--quiet", "--verbose"],
        &["plan", "--json", "--format", "text"],
        &["plan", "--revoke-previous"],
        &["apply"],
        &["apply", "--auto-approve"],
        &["show"],
        &["ack", "contoso"],
        &["man", "nothing"],
        &["completions", "cobol"],
        &["destroy", "--force"],
        &["import", "a", "--b"],
        &["emulator", "frobnicate"],
    ] {
        let (code, stdout, stderr) = run(folder.path(), args);
        assert_eq!((code, stdout.as_str()), (64, ""), "{args:?}: {stderr}");
        assert!(!stderr.is_empty(), "{args:?}");
    }
    for args in [
        &["--help"][..],
        &["plan", "--help"],
        &["--version"],
        &["version"],
        &["man", "apply"],
        &["completions", "fish"],
    ] {
        let (code, stdout, stderr) = run(folder.path(), args);
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
        assert!(!stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn results_go_to_stdout_and_the_rest_to_stderr() {
    let folder = billing();
    let (_, stdout, stderr) = run(folder.path(), &["plan"]);
    assert!(stdout.contains("Plan: 1 to issue"), "{stdout}");
    assert_eq!(stderr, "");
    let (_, stdout, stderr) = run(folder.path(), &["apply", "--emulator", "--auto-approve"]);
    assert!(stdout.ends_with("Apply: 1 rotated, proven. (emulator)\n"), "{stdout}");
    assert!(stderr.contains("contoso/billing  promote: done"), "{stderr}");
    assert!(!stdout.contains("promote: done"), "{stdout}");
    let (code, stdout, stderr) = run(folder.path(), &["plan", "-f", "nowhere"]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("nowhere"), "{stderr}");
}

#[test]
fn json_is_one_document_or_one_event_a_line() {
    let folder = billing();
    let (_, stdout, _) = run(folder.path(), &["plan", "--json"]);
    let plan: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&plan["format_version"], &plan["emulator"]), (&"1.0".into(), &true.into()));
    let (code, stdout, stderr) = run(folder.path(), &["apply", "--json", "--emulator", "--auto-approve"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let events: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!((types[0], types[types.len() - 1]), ("version", "change_summary"));
    for known in ["planned_change", "apply_start", "apply_progress", "apply_complete", "certificate_complete"]
    {
        assert!(types.contains(&known), "{known} is not among {types:?}");
    }
    for event in &events {
        assert_eq!(event["emulator"], true, "{event}");
        assert!(
            event["@level"].is_string() && event["@message"].is_string() && event["@timestamp"].is_string(),
            "{event}"
        );
    }
    assert_eq!(events.last().unwrap()["exit_code"], 0);
    for args in
        [&["drift", "--json"][..], &["verify", "--json"], &["validate", "--json"], &["version", "--json"]]
    {
        let (code, stdout, _) = run(folder.path(), args);
        assert_eq!(code, 0, "{args:?}");
        serde_json::from_str::<Value>(&stdout).unwrap();
    }
    let (code, stdout, stderr) = run(folder.path(), &["plan", "--json", "--set", "a=b"]);
    assert_eq!((code, stdout.as_str()), (64, ""));
    let diagnostic: Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!((&diagnostic["type"], &diagnostic["kind"]), (&"diagnostic".into(), &"usage".into()));
}

#[test]
fn a_reader_that_goes_away_ends_nothing_loudly() {
    let folder = billing();
    for args in
        [&["plan"][..], &["schema"], &["man"], &["apply", "--emulator", "--auto-approve"], &["--help"]]
    {
        let mut child =
            certroll(folder.path(), args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(0), "{args:?}: {stderr}");
        assert!(!stderr.contains("panic") && !stderr.contains("Error"), "{args:?}: {stderr}");
    }
    // The apply was carried out although nobody read what it said.
    assert_eq!(run(folder.path(), &["plan", "--detailed-exitcode"]).0, 0);
}

#[test]
fn no_output_for_programs_shows_what_could_repaint_a_terminal() {
    let folder = billing();
    let at = folder.path();
    let hostile = SEED.replace("\"Billing\"", "\"Bil\\u202eling\\u009b31m\"");
    std::fs::write(at.join("emulator-seed.json"), hostile).unwrap();
    for args in [
        &["plan", "--json", "--out", "plan.json"][..],
        &["show", "plan.json", "--json"],
        &[
            "apply",
            "plan.json",
            "--emulator",
            "--json",
            "--receipt",
            "receipt.json",
            "-vv",
            "--log-format",
            "json",
        ],
        &["drift", "--json"],
        &["verify", "--json"],
        &["emulator", "show", "--json"],
        &["emulator", "journal"],
        &["emulator", "show"],
    ] {
        let (_, stdout, stderr) = run(at, args);
        for text in [&stdout, &stderr] {
            assert!(!text.contains(['\u{202e}', '\u{9b}']), "{args:?}: {text}");
        }
    }
    for file in ["plan.json", "receipt.json"] {
        let text = std::fs::read_to_string(at.join(file)).unwrap();
        assert!(text.contains("\\u202e") && !text.contains(['\u{202e}', '\u{9b}']), "{file}: {text}");
        serde_json::from_str::<Value>(&text).unwrap();
    }
}

#[test]
fn a_manual_page_is_certrolls_whichever_command_it_is_about() {
    let folder = billing();
    for (args, title) in [(&["man"][..], "certroll"), (&["man", "apply"], "certroll-apply")] {
        let (_, page, _) = run(folder.path(), args);
        let heading = page.lines().find(|line| line.starts_with(".TH")).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(heading.trim(), format!(".TH {title} 1  \"certroll {version}\" \"certroll manual\""));
    }
}

#[test]
fn a_full_disk_under_stdout_is_an_error() {
    let folder = billing();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = certroll(folder.path(), &["plan"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("writing to standard output"), "{stderr}");
}

#[test]
fn nothing_is_coloured_unless_it_goes_to_a_terminal() {
    let folder = billing();
    let (_, stdout, stderr) = run(folder.path(), &["plan", "-v"]);
    assert!(!stdout.contains('\u{1b}') && !stderr.contains('\u{1b}'));
    let mut bench = Bench::new(folder.path());
    bench.typed = Some("no\n".into());
    let coloured = bench.run(&["certroll", "plan", "-f", "nowhere"]).stderr;
    assert!(coloured.contains('\u{1b}'), "{coloured}");
    bench.env.insert("NO_COLOR".into(), "1".into());
    let plain = bench.run(&["certroll", "plan", "-f", "nowhere"]).stderr;
    assert!(!plain.contains('\u{1b}'), "{plain}");
}

#[test]
fn only_yes_is_yes() {
    let folder = billing();
    let mut bench = Bench::new(folder.path());
    for answer in ["no\n", "y\n", "YES\n", "\n", ""] {
        bench.typed = Some(answer.into());
        let ran = bench.run(&["certroll", "apply", "--emulator", "--no-color"]);
        assert_eq!(ran.code, 1, "{answer:?}");
        assert!(ran.stderr.contains("not applied"), "{}", ran.stderr);
        assert!(!folder.path().join("secrets").exists());
    }
    bench.typed = Some("yes\n".into());
    let ran = bench.run(&["certroll", "apply", "--emulator", "--no-color"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("1 rotated, proven"), "{}", ran.stdout);
}

#[test]
fn p4_a_saved_plan_is_compared_with_now_and_never_executed() {
    let folder = billing();
    let at = folder.path();
    assert_eq!(run(at, &["plan", "--out", "plan.json"]).0, 0);
    let (fresh, shown) = (run(at, &["plan"]).1, run(at, &["show", "plan.json"]).1);
    assert_eq!(fresh, shown, "a saved plan is shown as a fresh one");
    // Somebody asks for a longer key after the review: another certificate would be made than the reviewed one.
    std::fs::write(at.join("certroll.yaml"), format!("{BILLING}    key: rsa-3072\n")).unwrap();
    let (code, stdout, stderr) = run(at, &["apply", "plan.json", "--emulator"]);
    assert_eq!(code, 4, "{stderr}");
    assert!(stdout.contains("refused: not in the reviewed plan"), "{stdout}");
    assert!(stderr.contains("RSA 2048") && stderr.contains("RSA 3072"), "the difference is shown: {stderr}");
    assert!(!at.join("secrets").exists());
    std::fs::write(at.join("certroll.yaml"), BILLING.replace("owner: platform", "owner: others")).unwrap();
    assert_eq!(run(at, &["apply", "plan.json", "--emulator"]).0, 4);
    std::fs::write(at.join("certroll.yaml"), BILLING).unwrap();
    // On an emulator `--now` makes a plan of its own moment; nothing else of it differs.
    assert_eq!(run(at, &["apply", "plan.json", "--emulator"]).0, 0);
    for (content, expected, what) in [
        ("{}", 1, "no plan"),
        ("certroll: v1", 1, "no JSON"),
        ("{\"format_version\":\"2.0\"}", 4, "a later format"),
    ] {
        std::fs::write(at.join("other.json"), content).unwrap();
        let (code, stdout, stderr) = run(at, &["show", "other.json"]);
        assert_eq!((code, stdout.as_str()), (expected, ""), "{what}: {stderr}");
    }
}

#[test]
fn an_emulator_is_never_taken_for_entra() {
    let folder = billing();
    let at = folder.path();
    let (code, _, stderr) = run(at, &["apply", "--auto-approve"]);
    assert_eq!(code, 64, "{stderr}");
    assert!(stderr.contains("add --emulator"), "{stderr}");
    let real = BILLING.replace("cloud: emulator", "id: 8f5e2c0a-1b2c-4d3e-9f40-51627384a5b6");
    std::fs::write(at.join("certroll.yaml"), &real).unwrap();
    let (code, _, stderr) = run(at, &["apply", "--emulator", "--auto-approve"]);
    assert_eq!(code, 64, "{stderr}");
    let output = certroll(at, &["plan"]).env("CERTROLL_EMULATOR", "https://127.0.0.1:1").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("not declared cloud: emulator"), "{stderr}");
    let both = real
        .replace("tenants: { ", "tenants: { try: { cloud: emulator }, ")
        .replace("    store: keys", "    tenant: contoso\n    store: keys")
        + "  other:\n    tenant: try\n    application: { unique_name: other }\n    store: keys\n";
    std::fs::write(at.join("certroll.yaml"), both).unwrap();
    let (code, _, stderr) = run(at, &["plan"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("try is emulated and contoso is not"), "{stderr}");
    assert_eq!(run(at, &["plan", "--only", "try/*"]).0, 0);
}

#[test]
fn p7_looking_writes_nothing_but_what_the_command_line_names() {
    let folder = billing();
    let at = folder.path();
    assert_eq!(run(at, &["apply", "--emulator", "--auto-approve"]).0, 0);
    let before = listing(at);
    for args in [
        &["validate"][..],
        &["plan"],
        &["drift"],
        &["verify"],
        &["doctor"],
        &["schema"],
        &["version"],
        &["plan", "--now", "2030-01-01"],
    ] {
        assert_eq!(run(at, args).0, 0, "{args:?}");
    }
    assert_eq!(listing(at), before);
    assert_eq!(run(at, &["plan", "--out", "plan.json", "-q"]).0, 0);
    let added: Vec<_> = listing(at).into_iter().filter(|path| !before.contains(path)).collect();
    assert_eq!(added, ["plan.json"]);
}

/// Every path below a folder but the emulator's own.
fn listing(folder: &Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() == ".certroll" {
                continue;
            }
            found.push(entry.path().strip_prefix(folder).unwrap().display().to_string());
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_running_emulator_is_reached_with_its_url_and_authority() {
    let folder = billing();
    let at = folder.path();
    let tenant = {
        // The tenant's id is made of its name; the plan names it.
        let (_, stdout, _) = run(at, &["plan", "--json"]);
        let plan: Value = serde_json::from_str(&stdout).unwrap();
        plan["certificates"][0]["target"]["tenant_id"].as_str().unwrap().to_owned()
    };
    let mut server = certroll(
        at,
        &["emulator", "serve", "--listen", "127.0.0.1:0", "--ca-out", "ca.pem", "--tenant", &tenant],
    )
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let with_server = |args: &[&str]| {
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        let output = certroll(at, args)
            .env("CERTROLL_EMULATOR", text("url"))
            .env("CERTROLL_CA_FILE", "ca.pem")
            .env("AZURE_CLIENT_ID", text("client_id"))
            .env("AZURE_CLIENT_SECRET", text("client_secret"))
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let planned = with_server(&["plan", "--detailed-exitcode"]);
    // Waits are real here: short ones.
    let quick = ["--set", "read_interval=20ms", "--set", "sign_in_interval=20ms"];
    let applied = with_server(&[&["apply", "--emulator", "--auto-approve"][..], &quick].concat());
    let settled = with_server(&["plan", "--detailed-exitcode"]);
    // The server's clock is the tool's, too: half a year later the next rotation is due.
    let moved = with_server(&["emulator", "clock", "+182d"]);
    let due = with_server(&["plan", "--detailed-exitcode"]);
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(planned.0, 2, "{}", planned.2);
    assert_eq!(applied.0, 0, "{}", applied.2);
    assert!(applied.1.contains("1 rotated, proven. (emulator)"), "{}", applied.1);
    assert_eq!(settled.0, 0, "{}", settled.2);
    assert_eq!(moved.0, 0, "{}", moved.2);
    assert_eq!(due.0, 2, "{}", due.2);
    assert!(due.1.contains("because its rotation was due on"), "{}", due.1);
    // Whoever answers must be an emulator, and somebody must answer.
    let gone = with_server(&["plan"]);
    assert_eq!(gone.0, 1);
    assert!(gone.2.contains("asking the emulator at") && gone.2.contains("refused"), "{}", gone.2);
}

#[test]
fn a_signal_stops_a_run_that_says_how_to_go_on() {
    let folder = billing();
    let at = folder.path();
    // Against a server waits are real: the run sits between its reads when the signal comes.
    let (_, stdout, _) = run(at, &["plan", "--json"]);
    let plan: Value = serde_json::from_str(&stdout).unwrap();
    let tenant = plan["certificates"][0]["target"]["tenant_id"].as_str().unwrap();
    let mut server = certroll(at, &["emulator", "serve", "--ca-out", "ca.pem", "--tenant", tenant])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let mut apply = certroll(at, &["apply", "-f", ".", "--emulator", "--auto-approve"])
        .env("CERTROLL_EMULATOR", ready["url"].as_str().unwrap())
        .env("CERTROLL_CA_FILE", "ca.pem")
        .env("AZURE_CLIENT_ID", ready["client_id"].as_str().unwrap())
        .env("AZURE_CLIENT_SECRET", ready["client_secret"].as_str().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(apply.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("issue: done") {
        assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{said}");
    }
    let began = std::time::Instant::now();
    let pid = rustix::process::Pid::from_raw(apply.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let code = apply.wait().unwrap().code();
    let mut stdout = String::new();
    apply.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(code, Some(130), "{stdout}");
    assert!(began.elapsed().as_secs() < 5, "it took {:?}", began.elapsed());
    assert!(stdout.contains("interrupted: "), "{stdout}");
    assert!(stdout.ends_with("\nto go on: certroll apply -f . --emulator --auto-approve\n"), "{stdout}");
    // The next run, on the same directory, goes on to the end.
    let (code, stdout, stderr) = run(at, &["apply", "--emulator", "--auto-approve"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("1 rotated, proven"), "{stdout}");
    assert_eq!(run(at, &["plan", "--detailed-exitcode"]).0, 0);
}

#[test]
fn writing_over_a_file_that_is_there_is_refused_by_init_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert_eq!(run(at, &["init", "a.yaml"]).0, 0);
    assert_eq!(run(at, &["init", "a.yaml"]).0, 1);
    std::fs::File::options().append(true).open(at.join("a.yaml")).unwrap().write_all(b"# mine\n").unwrap();
    assert_eq!(run(at, &["init", "a.yaml"]).0, 1);
    assert!(std::fs::read_to_string(at.join("a.yaml")).unwrap().ends_with("# mine\n"));
}

#[test]
fn init_writes_where_f_says_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::create_dir(at.join("apps")).unwrap();
    for (args, written) in [
        (&["init", "-f", "a.yaml"][..], "a.yaml"),
        (&["init", "-f", "apps"], "apps/certroll.yaml"),
        (&["-f", "apps/b.yml", "init"], "apps/b.yml"),
        (&["init", "."], "./certroll.yaml"),
    ] {
        let before = listing(at);
        let (code, stdout, stderr) = run(at, args);
        assert_eq!(code, 0, "{args:?}: {stderr}");
        assert!(stdout.starts_with(&format!("Wrote {written}.")), "{args:?}: {stdout}");
        let added: Vec<_> = listing(at).into_iter().filter(|path| !before.contains(path)).collect();
        assert_eq!(added, [written.trim_start_matches("./")], "{args:?}");
        assert_eq!(run(at, args).0, 1, "{args:?}: a second time it is there");
    }
    let before = listing(at);
    for args in [
        &["init", "-f", "c.yaml", "-f", "d.yaml"][..],
        &["init", "c.yaml", "-f", "d.yaml"],
        &["init", "-f", "c.txt"],
        &["init", "-f", "new-folder"],
    ] {
        let (code, stdout, stderr) = run(at, args);
        assert_eq!((code, stdout.as_str()), (64, ""), "{args:?}: {stderr}");
    }
    assert_eq!(listing(at), before, "a refusal writes nothing");
}
