//! Each story of `tests/scripts` interrupted after every effect and resumed to the same end.
//!
//! Before each `apply` of a script the whole folder is copied. In a copy the command runs once undisturbed: that is the end to
//! come to. Then, for each effect in turn, it runs in a process of its own that is killed (SIGKILL) right after that effect, and is
//! run again, as an operator would, until it comes to its end.
//!
//! An effect is a change of what lasts: the directory, or any other file in the folder. A process looks for one each time it prints,
//! logs or asks for randomness, hence at least before each request and after each answer. What is between two looks belongs
//! together: the inner actions of one call of the file store, whose interruptions `stores::file` goes through.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use base64::Engine as _;
use certroll::emulator::{Emulator, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::scripts::{Story, folder, words};
use crate::support::cli::Bench;
use crate::support::world::PoolRandom;

/// Effects of one `apply` that are interrupted at most, evenly spread; no story has more today.
const EFFECTS_MAX: usize = 24;
/// How often a run that says "not yet" is followed by another.
const RUNS_MAX: usize = 6;
/// How much later: what is young has been seen for long enough then.
const PAUSE: &str = "+16m";
/// A key pair of its own for the run that goes on, so that it cannot make the interrupted one's again.
const OTHER_KEYS: usize = 5;

/// Stories whose interrupted runs may come to the undisturbed end at a later run only, after how long, and why.
const LATER: [(&str, &str); 1] = [
    // Three generations are live, so the two old ones go before the rotation. Interrupted between the two, one old one is left,
    // which no longer stands in the way: it goes when the overlap is over, as it would have without the press.
    ("run-too-seldom", "+8d"),
];

const STATE: &str = ".certroll/emulator.json";
const TASK: &str = "CERTROLL_TEST_INTERRUPTED";

/// What a process of its own is to do.
#[derive(Serialize, Deserialize)]
struct Task {
    folder: PathBuf,
    words: Vec<String>,
    env: BTreeMap<String, String>,
    typed: Option<String>,
    /// The effect it is killed after, counted from 1.
    effect: usize,
}

/// Not a test of its own: the process that is killed.
#[test]
fn child() {
    let Ok(task) = std::env::var(TASK) else { return };
    let Task { folder, words, env, typed, effect } = serde_json::from_str(&task).unwrap();
    let spied = Arc::new(Effects::before(&folder));
    let spy = spied.clone();
    let mut bench = Bench::new(&folder);
    (bench.env, bench.typed) = (env, typed);
    bench.spy = Some(Arc::new(move || {
        if spy.look() == effect {
            let own = rustix::process::getpid();
            rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
        }
    }));
    run(&bench, &words);
}

/// Counts the changes of what lasts.
struct Effects {
    folder: PathBuf,
    seen: Mutex<(Lasting, usize)>,
}

/// The directory's tenants, and every other file.
#[derive(Clone, PartialEq, Default)]
struct Lasting {
    state: Vec<u8>,
    tenants: Value,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Effects {
    fn before(folder: &Path) -> Effects {
        let effects = Effects { folder: folder.to_owned(), seen: Mutex::default() };
        effects.seen.lock().unwrap().0 = effects.lasting(&Lasting::default());
        effects
    }

    /// The number of effects so far.
    fn look(&self) -> usize {
        let mut seen = self.seen.lock().unwrap();
        let now = self.lasting(&seen.0);
        if (&now.tenants, &now.files) != (&seen.0.tenants, &seen.0.files) {
            seen.1 += 1;
        }
        seen.0 = now;
        seen.1
    }

    fn lasting(&self, before: &Lasting) -> Lasting {
        let state = std::fs::read(self.folder.join(STATE)).unwrap_or_default();
        // Counters, clock and journal are none of what is asked for here.
        let tenants = if state == before.state {
            before.tenants.clone()
        } else {
            serde_json::from_slice::<Value>(&state).unwrap()["world"]["tenants"].take()
        };
        let mut files = BTreeMap::new();
        let mut open = vec![self.folder.clone()];
        while let Some(folder) = open.pop() {
            for path in children(&folder) {
                // What another thread takes away meanwhile is gone.
                if path.is_symlink() {
                    let Ok(target) = std::fs::read_link(&path) else { continue };
                    files.insert(path, target.into_os_string().into_encoded_bytes());
                } else if path.is_dir() && !path.ends_with(".certroll") {
                    open.push(path);
                } else if path.is_file() && !path.ends_with(".lock") {
                    let Ok(content) = std::fs::read(&path) else { continue };
                    files.insert(path, content);
                }
            }
        }
        Lasting { state, tenants, files }
    }
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn copy(from: &Path, to: &Path) {
    for path in children(from) {
        let (meta, to) = (path.symlink_metadata().unwrap(), to.join(path.file_name().unwrap()));
        if meta.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&path).unwrap(), to).unwrap();
        } else if meta.is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&path, &to);
            std::fs::set_permissions(&to, meta.permissions()).unwrap();
        } else {
            std::fs::copy(&path, to).unwrap();
        }
    }
}

fn run(bench: &Bench, words: &[String]) -> (i32, String) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ran = bench.run(&words);
    (ran.code, format!("{}{}", ran.stdout, ran.stderr))
}

/// One `apply` of a story, where it stands.
struct Point<'a> {
    story: &'a Story,
    words: Vec<String>,
    /// The script's.
    name: &'a str,
    /// The command as the script has it.
    line: &'a str,
    /// Other ends than the undisturbed one, told together.
    told: &'a Mutex<Vec<String>>,
}

/// What a run, and those that follow it, come to.
struct End {
    code: i32,
    shape: Value,
    /// What the runs said, for messages.
    said: String,
}

impl End {
    fn is_like(&self, other: &End) -> bool {
        (self.code, &self.shape) == (other.code, &other.shape)
    }

    fn compared_with(&self, expected: &End) -> String {
        let pretty = |end: &End| format!("exit {}\n{:#}\n", end.code, end.shape);
        let (before, after) = (pretty(expected), pretty(self));
        let differences = similar::TextDiff::from_lines(&before, &after);
        format!("{}what it said:\n{}", differences.unified_diff(), self.said)
    }
}

impl Point<'_> {
    fn copy(&self) -> tempfile::TempDir {
        let copied = tempfile::tempdir().unwrap();
        copy(self.story.folder.path(), copied.path());
        copied
    }

    fn bench(&self, folder: &Path, keys_made: usize) -> Bench {
        let mut bench = Bench::new(folder);
        bench.env = self.story.bench.env.clone();
        bench.typed = self.story.bench.typed.clone();
        bench.random = Arc::new(PoolRandom::after(keys_made));
        bench
    }

    /// Interrupts after each effect; how many that were, and how many there are.
    fn interrupt(&self) -> (usize, usize) {
        let undisturbed = self.copy();
        let effects = Arc::new(Effects::before(undisturbed.path()));
        let spy = effects.clone();
        let mut bench = self.bench(undisturbed.path(), 0);
        bench.spy = Some(Arc::new(move || {
            spy.look();
        }));
        let first = run(&bench, &self.words);
        bench.spy = None;
        let effects = effects.look();
        if effects == 0 {
            return (0, 0);
        }
        let expected = self.end(&bench, first);
        let later = LATER.iter().find(|(name, _)| *name == self.name).map(|(_, passes)| {
            let first = self.run_after(&bench, passes);
            (*passes, self.end(&bench, first))
        });
        let covered = effects.min(EFFECTS_MAX);
        let evenly = (0..covered).map(|number| 1 + number * effects / covered);
        let struck = evenly.filter(|effect| self.interrupt_after(*effect, &expected, later.as_ref())).count();
        (struck, effects)
    }

    /// Whether the process was killed: with several certificates at work two effects may fall together.
    fn interrupt_after(&self, effect: usize, expected: &End, later: Option<&(&str, End)>) -> bool {
        let copied = self.copy();
        let task = Task {
            folder: copied.path().to_owned(),
            words: self.words.clone(),
            env: self.story.bench.env.clone(),
            typed: self.story.bench.typed.clone(),
            effect,
        };
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["interrupted_scripts::child", "--exact", "--quiet"])
            .env(TASK, serde_json::to_string(&task).unwrap())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        let killed = status.signal() == Some(9);
        assert!(killed || status.success(), "{}: {}: {status}", self.name, self.line);
        let bench = self.bench(copied.path(), OTHER_KEYS);
        let mut end = self.end(&bench, run(&bench, &self.words));
        // A fault that counts requests strikes elsewhere than it did.
        for _ in 1..RUNS_MAX {
            if end.code == 0 || end.is_like(expected) {
                break;
            }
            end = self.end(&bench, self.run_after(&bench, PAUSE));
        }
        let is_like_later = || {
            later.is_some_and(|(passes, expected)| {
                self.end(&bench, self.run_after(&bench, passes)).is_like(expected)
            })
        };
        if !end.is_like(expected) && !is_like_later() {
            self.told.lock().unwrap().push(format!(
                "{}: {}, interrupted after effect {effect}, comes to another end:\n{}",
                self.name,
                self.line,
                end.compared_with(expected)
            ));
        }
        killed
    }

    /// Runs again, later, as long as the answer is "not yet".
    fn end(&self, bench: &Bench, first: (i32, String)) -> End {
        let (mut code, mut said) = first;
        for _ in 1..RUNS_MAX {
            if code != 5 {
                break;
            }
            let (next, more) = self.run_after(bench, PAUSE);
            (code, said) = (next, format!("{said}--- later ---\n{more}"));
        }
        End { code, shape: self.shape(bench), said }
    }

    fn run_after(&self, bench: &Bench, passes: &str) -> (i32, String) {
        assert_eq!(bench.run(&["certroll", "emulator", "clock", passes]).code, 0);
        run(bench, &self.words)
    }

    /// What is there and what is left to do, without what differs from run to run: thumbprints, ids, the time of day.
    fn shape(&self, bench: &Bench) -> Value {
        let emulator = Emulator::open(&bench.folder.join(STATE)).unwrap();
        let kinds = [Kind::Application, Kind::ServicePrincipal];
        let objects = emulator.tenants().into_iter().flat_map(|(id, _)| {
            let of = |kind| emulator.objects(id, kind);
            kinds.into_iter().flat_map(of).collect::<Vec<_>>()
        });
        let objects: Vec<Value> = objects.collect();
        let live: Vec<String> = objects.iter().flat_map(credentials).filter_map(thumbprint).collect();
        let shelves = shelves(&bench.folder);
        let held: BTreeMap<String, &str> =
            shelves.values().flatten().map(|held| (held.sha1.clone(), held.standing)).collect();
        let shown = |object: &Value| {
            let mut entries: Vec<Value> = credentials(object)
                .map(|entry| {
                    let day = |key: &str| entry[key].as_str().map(|time| time[..10].to_owned());
                    let standing = thumbprint(entry).and_then(|sha1| held.get(&sha1).copied());
                    json!([entry["displayName"], day("startDateTime"), day("endDateTime"), standing])
                })
                .collect();
            entries.sort_by_key(Value::to_string);
            json!({ "object": object["displayName"], "credentials": entries })
        };
        let shelves: BTreeMap<&PathBuf, Vec<Value>> = shelves
            .iter()
            .map(|(place, held)| (place, held.iter().map(|held| held.shape(&live)).collect()))
            .collect();
        let mut objects: Vec<Value> = objects.iter().map(shown).collect();
        objects.sort_by_key(Value::to_string);
        json!({ "entra": objects, "stores": shelves, "left": self.left(bench) })
    }

    /// What a plan of the same declaration at this moment holds.
    fn left(&self, bench: &Bench) -> Value {
        // On a copy of the directory, so that the requests of this look do not count.
        let looked_at = bench.folder.join(".certroll/looked-at.json");
        std::fs::copy(bench.folder.join(STATE), &looked_at).unwrap();
        let looked_at = looked_at.display().to_string();
        let mut plan = vec!["certroll", "plan", "--json", "--state", &looked_at];
        let mut rest = self.words.iter().map(String::as_str);
        while let Some(word) = rest.next() {
            if matches!(word, "-f" | "--file" | "--only" | "--target") {
                plan.push(word);
                plan.extend(rest.next());
            }
        }
        let ran = bench.run(&plan);
        let plan: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        // A refusal has no certificates.
        let certificates = plan["certificates"].as_array().into_iter().flatten().map(|one| {
            let each = |list: &str| one[list].as_array().cloned().unwrap_or_default();
            let steps: Vec<Value> =
                each("steps").iter().map(|planned| planned["step"]["action"].clone()).collect();
            let mut notes: Vec<String> = each("notes").iter().map(|note| note["kind"].to_string()).collect();
            notes.sort();
            json!([one["address"], steps, notes, one["left_alone"]])
        });
        json!({ "exit": ran.code, "counts": plan["counts"], "certificates": certificates.collect::<Vec<_>>() })
    }
}

fn credentials(object: &Value) -> impl Iterator<Item = &Value> {
    object["keyCredentials"].as_array().into_iter().flatten()
}

/// The SHA-1 thumbprint, where the entry has one.
fn thumbprint(entry: &Value) -> Option<String> {
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(entry["customKeyIdentifier"].as_str()?).ok()?;
    (bytes.len() == 20).then(|| bytes.iter().map(|byte| format!("{byte:02X}")).collect())
}

/// A generation in a file store.
struct Held {
    sha1: String,
    record: Value,
    standing: &'static str,
    files: Vec<String>,
}

impl Held {
    fn shape(&self, live: &[String]) -> Value {
        let known = |key: &str| !self.record[key].is_null();
        json!({
            "standing": self.standing, "files": self.files, "in entra": live.contains(&self.sha1),
            "phase": self.record["phase"], "promoted": known("promoted_at"), "rejected": self.record["rejected"],
            "name": self.record["name"], "owner": self.record["owner"], "subject": self.record["subject"],
            "of a rotation": known("rotation_id"),
        })
    }
}

/// The generations of each entry of a file store below a folder, the oldest first.
fn shelves(below: &Path) -> BTreeMap<PathBuf, Vec<Held>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![below.to_owned()]);
    while let Some(folder) = open.pop() {
        if !folder.join("generations").is_dir() {
            open.extend(children(&folder).into_iter().filter(|path| path.is_dir() && !path.is_symlink()));
            continue;
        }
        let current = std::fs::read_link(folder.join("current")).unwrap_or_default();
        let held = children(&folder.join("generations")).into_iter().map(|generation| {
            let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
            let record = std::fs::read(generation.join("record.json")).unwrap_or_default();
            let record: Value = serde_json::from_slice(&record).unwrap_or_default();
            let is_current = current.file_name() == generation.file_name();
            Held {
                sha1: record["thumbprints"]["sha1"].as_str().unwrap_or_default().to_owned(),
                standing: if is_current { "current" } else { "held" },
                files: children(&generation).iter().map(name).collect(),
                record,
            }
        });
        let place = folder.strip_prefix(below).unwrap().to_owned();
        found.insert(place, held.collect());
    }
    found
}

/// Tells one story; how many effects were interrupted, and how many there are.
fn tell(script: &Path, told: &Mutex<Vec<String>>) -> (usize, usize) {
    let text = std::fs::read_to_string(script).unwrap();
    let name = script.file_stem().unwrap().to_str().unwrap();
    let (mut story, mut struck, mut all) = (Story::new(), 0, 0);
    for line in story.lay_out(&text).lines() {
        if line.starts_with("certroll apply") {
            let split = words(line);
            let split: Vec<&str> = split.iter().map(String::as_str).collect();
            let point = Point { words: loud(story.meant(&split)), name, line, story: &story, told };
            let (these, of) = point.interrupt();
            (struck, all) = (struck + these, all + of);
        }
        story.tell_line(line);
    }
    (struck, all)
}

/// The same command with a log of every request, so that there are more places to look.
fn loud(words: Vec<String>) -> Vec<String> {
    let mut words: Vec<String> = words.into_iter().filter(|word| word != "-q").collect();
    words.push("-vv".to_owned());
    words
}

#[test]
#[allow(clippy::print_stderr, reason = "says what was covered")]
fn each_story_interrupted_after_every_effect_comes_to_the_same_end() {
    let began = Instant::now();
    let mut scripts = children(&folder());
    scripts.retain(|path| path.extension().is_some_and(|end| end == "txt"));
    // What a service of the tests' own holds cannot be put back as a folder is. The stores there are interrupted at every call by the
    // contract they keep, the deliveries by tests of their own.
    scripts.retain(|path| !std::fs::read_to_string(path).unwrap().contains("\nserve "));
    let told = Mutex::default();
    let (next, struck, all) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(script) = scripts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (these, of) = tell(script, &told);
                    struck.fetch_add(these, Ordering::Relaxed);
                    all.fetch_add(of, Ordering::Relaxed);
                }
            });
        }
    });
    let (struck, all) = (struck.into_inner(), all.into_inner());
    eprintln!("{} stories, {struck} of {all} effects interrupted, {:?}", scripts.len(), began.elapsed());
    let told = told.into_inner().unwrap();
    assert!(told.is_empty(), "{} of them come to another end\n\n{}", told.len(), told.join("\n\n"));
    assert!(struck > 200 && struck * 10 > all * 7, "only {struck} of {all} effects were interrupted");
}
