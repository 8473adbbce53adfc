//! The code broken on purpose. `tests/mutations.txt` lists places where a mistake would hurt, what the mistake is, and which tests catch it.
//!
//! A quick test holds that the list fits the code. A slow one builds the code with all the mistakes in it, each behind a switch, and shows
//! that every test that is named passes without the mistake and fails with it:
//!
//! ```text
//! cargo test --test it -- --ignored mutations
//! MUTANTS=overlap cargo test --test it -- --ignored --nocapture mutations     # those with this word in their name
//! MUTANTS_EVERY=3 cargo test --test it -- --ignored --nocapture mutations     # the third, the sixth, … of the list
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::time::Instant;

/// The switch: the number of the mistake to make. Not its name, so that no text comes into the code that a test reading it takes for the code's own.
const SWITCH: &str = "CERTROLL_MUTANT";

/// How long the tests of one mistake may take, in seconds. A mistake that makes them hang is not caught.
const PATIENCE: &str = "300";

/// How long all tests that are named may take without a mistake, in seconds.
const PATIENCE_WITHOUT: &str = "1800";

/// The switch when no mistake is to be made.
const NO_MISTAKE: usize = 0;

/// What the broken code asks.
const SWITCHED: &str = r#"
/// Whether this mistake is to be made.
pub fn mutated(number: usize) -> bool {
    static WANTED: std::sync::OnceLock<Option<usize>> = std::sync::OnceLock::new();
    *WANTED.get_or_init(|| std::env::var("CERTROLL_MUTANT").ok()?.parse().ok()) == Some(number)
}"#;

#[derive(Debug)]
struct Mutant {
    number: usize,
    name: String,
    file: PathBuf,
    /// The place is the first after this text, which stands in the file once. Empty: the place itself stands in the file once.
    after: String,
    caught_by: Vec<String>,
    right: String,
    wrong: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Blocks of `== NAME`, `in FILE` or `in FILE after TEXT`, `caught by FILTER…`, lines `- RIGHT` and lines `+ WRONG`.
fn mutants() -> Vec<Mutant> {
    include_str!("../mutations.txt").split("\n== ").enumerate().skip(1).map(mutant).collect()
}

fn mutant((number, block): (usize, &str)) -> Mutant {
    let (name, rest) = block.split_once('\n').unwrap();
    let line = |prefix: &str| {
        let mut lines = rest.lines().filter_map(|line| line.strip_prefix(prefix));
        lines.next().unwrap_or_else(|| panic!("{name}: no line {prefix:?}")).trim()
    };
    let joined = |sign: &str| {
        let lines = rest.lines().filter_map(|line| line.strip_prefix(sign));
        lines.map(str::trim).collect::<Vec<_>>().join("\n")
    };
    let (file, after) = line("in ").split_once(" after ").unwrap_or((line("in "), ""));
    Mutant {
        number,
        name: name.trim().to_owned(),
        file: file.into(),
        after: after.to_owned(),
        caught_by: line("caught by ").split_whitespace().map(str::to_owned).collect(),
        right: joined("-"),
        wrong: joined("+"),
    }
}

/// Where that text stands in the code, however the code is indented and broken into lines.
fn places(code: &str, text: &str) -> Vec<Range<usize>> {
    let dense = |text: &str| -> Vec<(usize, char)> {
        text.char_indices().filter(|(_, c)| !c.is_whitespace()).collect()
    };
    let (code, text) = (dense(code), dense(text));
    let same = |here: &&[(usize, char)]| here.iter().zip(&text).all(|((_, one), (_, two))| one == two);
    let range =
        |here: &[(usize, char)]| here[0].0..here[here.len() - 1].0 + here[here.len() - 1].1.len_utf8();
    code.windows(text.len().max(1)).filter(same).map(range).collect()
}

impl Mutant {
    /// Its one place in the code.
    fn place(&self, code: &str) -> Result<Range<usize>, String> {
        let Mutant { name, file, after, right, .. } = self;
        let only = |found: Vec<Range<usize>>, what: &str| match found.as_slice() {
            [only] => Ok(only.clone()),
            other => Err(format!("{name}: stands {} times in {}: {what}", other.len(), file.display())),
        };
        if after.is_empty() {
            return only(places(code, right), right);
        }
        let from = only(places(code, after), after)?.end;
        let first = places(&code[from..], right).into_iter().next();
        let first =
            first.ok_or_else(|| format!("{name}: not in {} after {after}: {right}", file.display()))?;
        Ok(from + first.start..from + first.end)
    }
}

#[test]
fn the_list_of_mutants_fits_the_code() {
    let mutants = mutants();
    let names: BTreeSet<_> = mutants.iter().map(|mutant| &mutant.name).collect();
    assert_eq!(names.len(), mutants.len(), "a name stands twice");
    let misfit = |mutant: &Mutant| {
        let code = std::fs::read_to_string(root().join(&mutant.file)).unwrap();
        let empty = mutant.right.is_empty() || mutant.right == mutant.wrong || mutant.caught_by.is_empty();
        let comma = mutant.right.ends_with(',');
        let misfit = mutant.place(&code).err();
        let misfit = misfit.or_else(|| empty.then(|| format!("{}: is no mistake", mutant.name)));
        misfit.or_else(|| comma.then(|| format!("{}: an expression ends before its comma", mutant.name)))
    };
    let misfits: Vec<String> = mutants.iter().filter_map(misfit).collect();
    assert!(misfits.is_empty(), "{}", misfits.join("\n"));
}

fn succeeded(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

/// A copy of what Git knows of.
fn copy_to(copy: &Path) {
    let listed =
        succeeded(Command::new("git").args(["ls-files", "-co", "--exclude-standard"]).current_dir(root()));
    for file in String::from_utf8(listed.stdout).unwrap().lines() {
        let (from, to) = (root().join(file), copy.join(file));
        if from.is_file() {
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from, to).unwrap();
        }
    }
}

/// Puts every mistake into the copy, each behind its switch.
fn break_all(mutants: &[Mutant], copy: &Path) {
    let mut by_file: BTreeMap<&Path, Vec<&Mutant>> = BTreeMap::new();
    for mutant in mutants {
        by_file.entry(&mutant.file).or_default().push(mutant);
    }
    for (file, mutants) in by_file {
        let code = std::fs::read_to_string(copy.join(file)).unwrap();
        std::fs::write(copy.join(file), broken(&code, &mutants)).unwrap();
    }
    let lib = copy.join("src/lib.rs");
    let code = std::fs::read_to_string(&lib).unwrap();
    // Warnings about broken code would bury an error.
    std::fs::write(lib, format!("#![allow(warnings)]\n{code}{SWITCHED}")).unwrap();
}

fn broken(code: &str, mutants: &[&Mutant]) -> String {
    let mut by_place: BTreeMap<(usize, usize), Vec<&Mutant>> = BTreeMap::new();
    for mutant in mutants {
        let place = mutant.place(code).unwrap();
        by_place.entry((place.start, place.end)).or_default().push(mutant);
    }
    let mut broken = code.to_owned();
    // From the end, so that the places before stay where they are.
    let mut last = code.len();
    for ((start, end), mutants) in by_place.into_iter().rev() {
        assert!(end <= last, "places that overlap: {}", &code[start..end]);
        last = start;
        let right = &code[start..end];
        let switched =
            mutants.iter().fold(format!("{{ {right} }}"), |otherwise, Mutant { number, wrong, .. }| {
                format!("{{ if crate::mutated({number}) {{ {wrong} }} else {otherwise} }}")
            });
        // A statement ends inside; an expression stays one.
        let switched = if right.ends_with(';') { switched } else { format!("({switched})") };
        broken.replace_range(start..end, &switched);
    }
    broken
}

/// Tests that start the program with no environment hand the switch on.
fn hand_on_the_switch(copy: &Path) {
    let handed =
        format!(".env_clear().envs(std::env::var_os({SWITCH:?}).map(|mistake| ({SWITCH:?}, mistake)))");
    for entry in std::fs::read_dir(copy.join("tests/it")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("mutations.rs") {
            let code = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, code.replace(".env_clear()", &handed)).unwrap();
        }
    }
}

/// Takes over what the crate depends on from the build that this test is of: only certroll itself is built again. Links, not copies:
/// Cargo writes none of these files a second time.
fn seed(target: &Path) {
    let own = ["certroll", "it", "plan"];
    let is_own = |name: &str| {
        let krate = name.rsplit_once('-').map_or(name, |(krate, _)| krate);
        own.contains(&krate) || own.contains(&krate.strip_prefix("lib").unwrap_or(krate))
    };
    let program = std::env::current_exe().unwrap();
    let built = program.parent().unwrap().parent().unwrap();
    for part in ["deps", "build", ".fingerprint"] {
        link_all(&built.join(part), &target.join("debug").join(part), &is_own);
    }
}

fn link_all(from: &Path, to: &Path, left_out: &dyn Fn(&str) -> bool) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        let to = to.join(&name);
        match name.to_str() {
            Some(name) if left_out(name) => {}
            _ if from.is_dir() => link_all(&from, &to, &|_| false),
            _ => std::fs::hard_link(&from, &to).unwrap(),
        }
    }
}

/// The test programs of the copy.
fn build(copy: &Path) -> Vec<PathBuf> {
    let target = copy.with_file_name("target");
    if !target.exists() {
        seed(&target);
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "test",
        "--locked",
        "--no-run",
        "--lib",
        "--test",
        "it",
        "--message-format",
        "json-render-diagnostics",
    ]);
    let messages = succeeded(cargo.current_dir(copy).env("CARGO_TARGET_DIR", target)).stdout;
    let messages = String::from_utf8(messages).unwrap();
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let tests = messages.filter(|message| message["profile"]["test"] == true);
    tests.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?))).collect()
}

/// What became of the tests that ran.
#[derive(Default)]
struct Ran {
    passed: BTreeSet<String>,
    failed: BTreeSet<String>,
}

impl Ran {
    fn fails(&self, filter: &str) -> bool {
        self.failed.iter().any(|test| test.contains(filter))
    }
}

/// Runs the named tests with that mistake.
fn run(programs: &[PathBuf], copy: &Path, filters: &BTreeSet<&str>, mistake: usize) -> Ran {
    let mut ran = Ran::default();
    for program in programs {
        let mut command = Command::new("timeout");
        let patience = if mistake == NO_MISTAKE { PATIENCE_WITHOUT } else { PATIENCE };
        command.arg(patience).arg(program).args(filters).current_dir(copy).env(SWITCH, mistake.to_string());
        let Output { stdout, .. } = command.output().unwrap();
        for line in String::from_utf8_lossy(&stdout).lines() {
            let Some((test, how)) = line.strip_prefix("test ").and_then(|line| line.split_once(" ... "))
            else {
                continue;
            };
            match how {
                "ok" => ran.passed.insert(test.to_owned()),
                "FAILED" => ran.failed.insert(test.to_owned()),
                _ => false,
            };
        }
    }
    ran
}

/// Shown with `--nocapture`: the run is long.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What is wrong with the run of one mistake.
#[allow(clippy::print_stdout, reason = "a run of an hour tells how far it is")]
fn escapes(mutant: &Mutant, programs: &[PathBuf], copy: &Path) -> Option<String> {
    let filters: BTreeSet<&str> = mutant.caught_by.iter().map(String::as_str).collect();
    let began = Instant::now();
    let ran = run(programs, copy, &filters, mutant.number);
    let blind: Vec<&str> = filters.iter().copied().filter(|filter| !ran.fails(filter)).collect();
    let took = began.elapsed().as_secs_f32();
    tell(&format!("{} {} ({took:.1} s)", if blind.is_empty() { "caught " } else { "ESCAPED" }, mutant.name));
    (!blind.is_empty()).then(|| format!("{}: not caught by {}", mutant.name, blind.join(", ")))
}

#[test]
#[ignore = "builds the crate once more"]
fn every_mutant_is_caught_by_the_tests_that_are_named() {
    let began = Instant::now();
    let all = mutants();
    let folder = root().join("target/mutants");
    let copy = folder.join("tree");
    let _ = std::fs::remove_dir_all(&copy);
    copy_to(&copy);
    break_all(&all, &copy);
    hand_on_the_switch(&copy);
    let programs = build(&copy);
    tell(&format!("built in {} s", began.elapsed().as_secs()));

    let word = std::env::var("MUTANTS").unwrap_or_default();
    let every: usize = std::env::var("MUTANTS_EVERY").map_or(1, |text| text.parse().unwrap());
    let named = all.iter().filter(|mutant| mutant.name.contains(&word));
    let chosen: Vec<&Mutant> = named.filter(|mutant| mutant.number.is_multiple_of(every)).collect();
    assert!(!chosen.is_empty(), "no mistake has {word:?} in its name");
    let filters: BTreeSet<&str> =
        chosen.iter().flat_map(|mutant| &mutant.caught_by).map(String::as_str).collect();
    let healthy = run(&programs, &copy, &filters, NO_MISTAKE);
    assert!(healthy.failed.is_empty(), "fail without a mistake: {:#?}", healthy.failed);
    let names_nothing = |filter: &&&str| !healthy.passed.iter().any(|test| test.contains(**filter));
    let empty: Vec<_> = filters.iter().filter(names_nothing).collect();
    assert!(empty.is_empty(), "name no test: {empty:#?}");

    let (left, escaped) = (Mutex::new(chosen.iter()), Mutex::new(Vec::new()));
    let work = || {
        while let Some(mutant) = { left.lock().unwrap().next() } {
            let found = escapes(mutant, &programs, &copy);
            escaped.lock().unwrap().extend(found);
        }
    };
    std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        (0..workers).for_each(|_| drop(scope.spawn(work)));
    });
    tell(&format!("{} mistakes in {} s", chosen.len(), began.elapsed().as_secs()));
    let escaped = escaped.into_inner().unwrap();
    assert!(escaped.is_empty(), "{escaped:#?}");
}
