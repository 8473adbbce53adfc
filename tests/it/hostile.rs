//! Hostile input at the command line, and the kept corpus of the fuzzer. Every case ends: in a clear error, soon, and with nothing on the
//! terminal that was not meant for it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::cli::{Bench, Ran};

#[path = "../../fuzz/targets.rs"]
#[allow(clippy::expect_used, reason = "a test may panic")]
mod targets;

/// Far more than any case takes, on a slow machine and without optimisation.
const SOON: Duration = Duration::from_secs(20);

const DECLARATION: &str = "\
certroll: v1
owner: platform
tenants: { contoso: { cloud: emulator } }
stores: { keys: { kind: file, directory: secrets } }
certificates:
  billing:
    application: { display_name: Billing }
    store: keys
";

fn seed(display_name: &str, credential: &str) -> String {
    let seed = serde_json::json!({ "tenants": { "contoso": { "existing": [{
        "app_id": "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d",
        "display_name": display_name,
        "certificates": [{ "display_name": credential, "serial": "00000000-0000-0000-0000-000000000001",
            "started_days_ago": 100, "ends_in_days": 12 }],
    }] } } });
    seed.to_string()
}

fn folder(declaration: &str, seed: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("certroll.yaml"), declaration).unwrap();
    std::fs::write(folder.path().join("emulator-seed.json"), seed).unwrap();
    folder
}

/// Runs, and minds the time.
fn soon(folder: &Path, words: &[&str]) -> Ran {
    let begun = Instant::now();
    let ran = Bench::new(folder).run(&[&["certroll"], words].concat());
    assert!(begun.elapsed() < SOON, "{words:?} took {:?}", begun.elapsed());
    ran
}

fn files(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds nothing", folder.display());
    files
}

fn every_kept_input(name: &str, target: fn(&[u8])) {
    for file in files(name) {
        let bytes = std::fs::read(&file).unwrap();
        let begun = Instant::now();
        target(&bytes);
        assert!(begun.elapsed() < SOON, "{} took {:?}", file.display(), begun.elapsed());
    }
}

/// One test a target, so that the name of a failing one says where to look.
macro_rules! kept {
    ($($name:ident)*) => { $(
        mod $name {
            #[test]
            fn every_kept_input_ends_as_it_should() {
                super::every_kept_input(stringify!($name), super::targets::$name);
            }
        }
    )* };
}

kept! { acknowledgements certificate declaration entra_answers pfx record saved_plan sign_in_answers }

#[test]
fn every_fuzz_target_is_kept_here() {
    let manifest =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).unwrap();
    let bins = manifest.split("[[bin]]").skip(1);
    for name in bins.map(|bin| bin.split('"').nth(1).unwrap()) {
        assert!(!files(name).is_empty());
        assert!(include_str!("hostile.rs").contains(&format!(" {name} ")), "{name} is not replayed");
    }
}

#[test]
fn a_declaration_of_100_megabytes_is_refused_without_being_read_whole() {
    let folder = folder("", &seed("Billing", "x"));
    let file = std::fs::File::create(folder.path().join("certroll.yaml")).unwrap();
    file.set_len(100 * 1024 * 1024).unwrap();
    let ran = soon(folder.path(), &["validate"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("larger than 32 MiB"), "{}", ran.stderr);
}

#[test]
fn ten_thousand_levels_end_in_one_error() {
    let nested = |open: &str, close: &str| {
        format!("certroll: v1\nowner: {}{}\n", open.repeat(10_000), close.repeat(10_000))
    };
    let block = format!("certroll: v1\nowner:\n  {}x\n", "- ".repeat(10_000));
    for text in [nested("[", "]"), nested("{a: ", "}"), nested("[", ""), block] {
        let folder = folder(&text, &seed("Billing", "x"));
        let ran = soon(folder.path(), &["validate"]);
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.len() < 4000, "{} bytes of error", ran.stderr.len());
        assert!(ran.stderr.contains("certroll.yaml"), "{}", ran.stderr);
    }
}

#[test]
fn aliases_that_multiply_end_in_one_error() {
    let mut bomb = "certroll: v1\na0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let folder = folder(&bomb, &seed("Billing", "x"));
    let ran = soon(folder.path(), &["validate"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.len() < 4000, "{} bytes of error", ran.stderr.len());
}

#[test]
fn bytes_that_are_no_text_are_named_with_their_place() {
    let folder = folder("", &seed("Billing", "x"));
    std::fs::write(folder.path().join("certroll.yaml"), b"certroll: v1\nowner: \xFF\xFE\n").unwrap();
    let ran = soon(folder.path(), &["validate"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("certroll.yaml:2:8") && ran.stderr.contains("UTF-8"), "{}", ran.stderr);
}

/// Gives two CI systems an order, clears the screen, then turns the reading direction, then ends the line.
const TRICKS: &str = "##vso[task.x]##[y]Bill\u{1b}[2J\u{202E}ing\r\n::error::gotcha\u{7}";

fn assert_no_tricks(ran: &Ran, words: &[&str]) {
    for text in [&ran.stdout, &ran.stderr] {
        let tricks = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202E}');
        assert_eq!(tricks, None, "{words:?}: {text:?}");
        let injected = text.lines().any(|line| line.trim_start().starts_with("::"));
        assert!(!injected, "{words:?}: a workflow command: {text}");
        let obeyed = ["##vso[", "##["].iter().any(|order| text.contains(order));
        assert!(!obeyed, "{words:?}: a logging command: {text}");
    }
}

#[test]
fn names_from_the_tenant_play_no_tricks_on_a_terminal_or_in_a_pipeline() {
    let by_id = DECLARATION.replace("display_name: Billing", "app_id: 5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d");
    let folder = folder(&by_id, &seed(TRICKS, TRICKS));
    for words in [
        &["plan"][..],
        &["drift"],
        &["apply", "--emulator", "--auto-approve"],
        &["verify"],
        &["drift", "--json"],
        &["emulator", "journal"],
    ] {
        let ran = soon(folder.path(), words);
        assert_ne!(ran.code, 64, "{words:?}: {}", ran.stderr);
        assert_no_tricks(&ran, words);
    }
}

#[test]
fn texts_of_the_declaration_play_no_tricks_either() {
    let quoted = serde_json::to_string(TRICKS).unwrap();
    for tricky in [
        DECLARATION.replace("display_name: Billing", &format!("display_name: {quoted}")),
        DECLARATION.replace("  billing:", &format!("  {quoted}:")),
        format!("{DECLARATION}    description: {quoted}\n"),
        format!("{DECLARATION}    subject: {quoted}\n"),
        format!("{DECLARATION}    hold: {{ until: 2099-01-01, reason: {quoted} }}\n"),
        format!("{DECLARATION}    {quoted}: 1\n"),
    ] {
        let folder = folder(&tricky, &seed("Billing", "x"));
        for words in [&["validate"][..], &["plan"], &["drift"]] {
            assert_no_tricks(&soon(folder.path(), words), words);
        }
    }
}

#[test]
fn file_names_play_no_tricks() {
    let folder = folder(DECLARATION, &seed("Billing", "x"));
    std::fs::write(folder.path().join("b\u{1b}[2J\u{202E}.yaml"), "certroll: v1\nnonsense: 1\n").unwrap();
    let ran = soon(folder.path(), &["validate"]);
    assert_eq!(ran.code, 1);
    assert_no_tricks(&ran, &["validate"]);
}

#[test]
fn a_plan_with_a_name_that_plays_tricks_is_refused_without_them() {
    let folder = folder(DECLARATION, &seed("Billing", "x"));
    assert_eq!(soon(folder.path(), &["plan", "--out", "plan.json"]).code, 0);
    let plan = std::fs::read_to_string(folder.path().join("plan.json")).unwrap();
    for trick in ["o\\u001bwner", "o\u{7f}wner", "o\\u202ewner"] {
        std::fs::write(folder.path().join("tricky.json"), plan.replace("\"owner\"", &format!("\"{trick}\"")))
            .unwrap();
        for words in [&["show", "tricky.json"][..], &["apply", "tricky.json", "--emulator"]] {
            let ran = soon(folder.path(), words);
            assert_ne!(ran.code, 0);
            assert_no_tricks(&ran, words);
        }
    }
}

#[test]
fn a_plan_of_another_tenant_allows_nothing_here() {
    let there = folder(DECLARATION, &seed("Billing", "x"));
    assert_eq!(soon(there.path(), &["plan", "--out", "plan.json"]).code, 0);
    let renamed = DECLARATION.replace("contoso", "fabrikam");
    let here = folder(&renamed, &seed("Billing", "x").replace("contoso", "fabrikam"));
    std::fs::copy(there.path().join("plan.json"), here.path().join("plan.json")).unwrap();
    let ran = soon(here.path(), &["apply", "plan.json", "--emulator"]);
    assert_eq!(ran.code, 4, "{}{}", ran.stdout, ran.stderr);
    let journal = soon(here.path(), &["emulator", "journal"]).stdout;
    assert!(!journal.contains("PATCH"), "{journal}");
}

#[test]
fn a_plan_for_the_same_names_in_another_directory_allows_nothing_here() {
    let with_id = |id: &str| DECLARATION.replace("cloud: emulator", &format!("cloud: emulator, id: {id}"));
    let there = folder(&with_id("11111111-1111-4111-8111-111111111111"), &seed("Billing", "x"));
    assert_eq!(soon(there.path(), &["plan", "--out", "plan.json"]).code, 0);
    let here = folder(&with_id("22222222-2222-4222-8222-222222222222"), &seed("Billing", "x"));
    std::fs::copy(there.path().join("plan.json"), here.path().join("plan.json")).unwrap();
    let ran = soon(here.path(), &["apply", "plan.json", "--emulator"]);
    assert_eq!(ran.code, 4, "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn a_plan_of_another_owner_allows_nothing_here() {
    let folder = folder(DECLARATION, &seed("Billing", "x"));
    assert_eq!(soon(folder.path(), &["plan", "--out", "plan.json"]).code, 0);
    let theirs = DECLARATION.replace("owner: platform", "owner: payroll");
    std::fs::write(folder.path().join("certroll.yaml"), theirs).unwrap();
    let ran = soon(folder.path(), &["apply", "plan.json", "--emulator"]);
    assert_eq!(ran.code, 4, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("made for owner platform"), "{}", ran.stderr);
}
