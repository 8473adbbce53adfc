//! Every command in the documents is run, in order, and prints what the document says.
//!
//! A `console` block holds commands after `$ ` and what they print; `...` stands for any lines. Thumbprints and dates differ in every
//! run: a thumbprint in a document stands for the one at the same place in what was printed, also in later commands and files. A block
//! called `yaml file=NAME` or `json file=NAME` is written to that file. A command may fail only where `echo $?` follows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::cli::{Bench, Ran};

/// Commands that are not run here, and why.
const NOT_RUN: &[(&str, &str)] = &[("cargo test", "it is what runs this")];

#[test]
fn the_readme_does_what_it_says() {
    Walk::through("README.md");
}

#[test]
fn the_other_documents_do_what_they_say() {
    for document in documents(Path::new(env!("CARGO_MANIFEST_DIR"))) {
        if document != Path::new("README.md") {
            Walk::through(document.to_str().unwrap());
        }
    }
}

/// `[`name`](path)`, for every test that a line names.
fn named_tests(line: &str) -> Vec<(&str, &str)> {
    let links = line.split("[`").skip(1);
    links
        .filter_map(|link| link.split_once("`]("))
        .filter_map(|(name, rest)| Some((name, rest.split_once(')')?.0)))
        .collect()
}

#[test]
fn every_claim_of_the_security_page_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let (mut claims, mut in_claims) = (0, false);
    for line in page.lines() {
        in_claims = line.starts_with('|') && (in_claims || line.ends_with("| held by |"));
        if !in_claims || line.starts_with("| claim |") || line.starts_with("|---") {
            continue;
        }
        claims += 1;
        let tests = named_tests(line);
        assert!(!tests.is_empty(), "nothing holds: {line}");
        for (name, path) in tests {
            let code =
                std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            let before = code.split_once(&format!("fn {name}(")).map_or("", |(before, _)| before);
            let item = before.rsplit('}').next().unwrap_or_default();
            let is_test = item.contains("#[test]") || item.contains("#[tokio::test");
            assert!(is_test, "{path} has no test {name}: {line}");
        }
    }
    assert!(claims > 30, "{claims} claims were found");
}

/// All Markdown files of the repository.
fn documents(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".md") {
                found.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// A document being followed, in a folder with a copy of the examples.
struct Walk {
    document: String,
    _folder: tempfile::TempDir,
    bench: Bench,
    last: Ran,
    /// In the document, and of this run: whole ones, and the first eight digits of each.
    thumbprints: BTreeMap<String, String>,
}

impl Walk {
    fn through(document: &str) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::tempdir().unwrap();
        copy(&root.join("examples"), &folder.path().join("examples"));
        let bench = Bench::new(folder.path());
        let last = Ran { code: 0, stdout: String::new(), stderr: String::new() };
        let mut walk = Walk {
            document: document.to_owned(),
            _folder: folder,
            bench,
            last,
            thumbprints: BTreeMap::new(),
        };
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        for fence in text.split("\n```").skip(1).step_by(2) {
            let (info, content) = fence.split_once('\n').unwrap();
            match (info, info.split_once(" file=")) {
                ("console", _) => walk.block(content),
                (_, Some((_, file))) => walk.file(file, content),
                _ => {}
            }
        }
    }

    fn file(&self, name: &str, content: &str) {
        let path = self.bench.folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{}\n", self.of_this_run(content))).unwrap();
    }

    fn block(&mut self, block: &str) {
        let has_marks = block.lines().any(|line| line.starts_with("$ "));
        let mut lines = block.lines().peekable();
        while let Some(line) = lines.next() {
            let command = if has_marks { line.strip_prefix("$ ").unwrap() } else { line };
            let mut expected = Vec::new();
            while let Some(output) = lines.next_if(|line| has_marks && !line.starts_with("$ ")) {
                expected.push(output);
            }
            let may_fail = lines.peek() == Some(&"$ echo $?");
            self.command(command, may_fail);
            self.compare(command, &expected);
        }
    }

    fn command(&mut self, command: &str, may_fail: bool) {
        if NOT_RUN.iter().any(|(known, _)| *known == command) {
            self.last.stdout.clear();
            return;
        }
        let command = command.replace("cargo run --release -- ", "certroll ");
        let words: Vec<String> =
            super::scripts::words(&command).iter().map(|word| self.of_this_run(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[0] {
            "certroll" => {
                self.last = self.bench.run(&words);
                let code = self.last.code;
                let asked = words.contains(&"--detailed-exitcode") && matches!(code, 2 | 3);
                assert!(
                    code == 0 || asked || may_fail,
                    "{}: {command} ended with {code}: {}",
                    self.document,
                    self.last.stderr
                );
            }
            "echo" => self.last.stdout = format!("{}\n", self.last.code),
            other => {
                panic!("{}: {other} is not run: say why in NOT_RUN, or call the block `sh`", self.document)
            }
        }
    }

    fn of_this_run(&self, word: &str) -> String {
        // Whole ones first: their beginnings are known too.
        let mut known: Vec<_> = self.thumbprints.iter().collect();
        known.sort_by_key(|(written, _)| std::cmp::Reverse(written.len()));
        known.into_iter().fold(word.to_owned(), |word, (written, real)| word.replace(written, real))
    }

    /// The expected lines, in order; `...` skips any number of lines.
    fn compare(&mut self, command: &str, expected: &[&str]) {
        let stdout = self.last.stdout.clone();
        let mut actual = stdout.lines().peekable();
        let mut skipping = false;
        for line in expected {
            if *line == "..." {
                skipping = true;
                continue;
            }
            let found = loop {
                match actual.next() {
                    Some(candidate) if blurred(candidate) == blurred(line) => break candidate,
                    Some(_) if skipping => {}
                    other => panic!(
                        "{}: after `{command}` the document says\n  {line}\nand this was printed: {other:?} in\n{stdout}",
                        self.document
                    ),
                }
            };
            skipping = false;
            for (written, real) in thumbprints(line).into_iter().zip(thumbprints(found)) {
                self.thumbprints.insert(written[..8].to_owned(), real[..8].to_owned());
                self.thumbprints.insert(written, real);
            }
        }
        let rest: Vec<_> = actual.collect();
        let left_out = !expected.is_empty() && !skipping && !rest.is_empty();
        assert!(!left_out, "{}: `{command}` also printed {rest:?}: end the block with ...", self.document);
    }
}

/// Each thumbprint in a line, short or whole.
fn thumbprints(line: &str) -> Vec<String> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric());
    let is_one = |word: &&str| {
        matches!(word.len(), 8 | 40) && word.chars().all(|c| matches!(c, '0'..='9' | 'A'..='F'))
    };
    words.filter(is_one).map(str::to_owned).collect()
}

/// The line with thumbprints, dates and times of day made equal.
fn blurred(line: &str) -> String {
    let words = line.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '.')));
    let blur = |word: &str| {
        let core = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let rest = &word[core.len()..];
        let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        let is_thumbprint = !thumbprints(core).is_empty();
        let is_date =
            core.len() >= 10 && digits(&core[..4]) && core.as_bytes()[4] == b'-' && digits(&core[5..7]);
        let is_time = core.len() == 5 && digits(&core[..2]) && core.as_bytes()[2] == b':';
        if is_thumbprint || is_date || is_time { format!("*{rest}") } else { word.to_owned() }
    };
    words.map(blur).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        // What somebody who tried it out left behind is not part of the example.
        if name == "secrets" || name == ".certroll" || name == "acknowledgements.yaml" {
            continue;
        }
        let to = to.join(&name);
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to)
        } else {
            std::fs::copy(entry.path(), to).map(drop).unwrap()
        }
    }
}

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The first cell of each row below a heading of a table, and the second.
fn rows<'p>(page: &'p str, heading: &str) -> Vec<(Vec<&'p str>, &'p str)> {
    let table = page.split(heading).nth(1).unwrap_or_else(|| panic!("no table {heading}"));
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    cells.map(|cells| (cells[1].split('`').skip(1).step_by(2).collect(), cells[2])).collect()
}

#[test]
fn the_page_on_declarations_names_every_key_and_every_word() {
    let page = page("docs/declarations.md");
    let schema = certroll::desired::file::schema();
    let mut missing = Vec::new();
    let mut places = vec![&schema];
    while let Some(place) = places.pop() {
        match place {
            serde_json::Value::Object(members) => {
                let keys = members.get("properties").and_then(serde_json::Value::as_object);
                let keys = keys.into_iter().flat_map(serde_json::Map::keys).map(String::as_str);
                let word = members.get("const").and_then(serde_json::Value::as_str);
                let words = members.get("enum").and_then(serde_json::Value::as_array);
                let words = words.into_iter().flatten().filter_map(serde_json::Value::as_str);
                let told = |word: &&str| !page.contains(&format!("`{word}`"));
                missing.extend(keys.chain(word).chain(words).filter(told).map(str::to_owned));
                places.extend(members.values());
            }
            serde_json::Value::Array(values) => places.extend(values),
            _ => {}
        }
    }
    missing.sort();
    missing.dedup();
    // Keys of the small maps that the page writes out in braces.
    missing.retain(|key| !page.contains(&format!("{{ {key}")) && !page.contains(&format!(", {key}")));
    assert!(missing.is_empty(), "docs/declarations.md does not name {missing:?}");
}

#[test]
fn the_page_on_settings_has_every_name_with_its_default() {
    let page = page("docs/changes.md");
    let told: Vec<(&str, &str)> = rows(&page, "| setting | default | what it is |")
        .into_iter()
        .flat_map(|(names, defaults)| names.into_iter().zip(defaults.split(", ")))
        .collect();
    let known = certroll::settings::Settings::default().set("nonsense", "1").unwrap_err().to_string();
    let known: Vec<&str> = known.split("the settings are: ").nth(1).unwrap().split(", ").collect();
    assert_eq!(told.iter().map(|(name, _)| *name).collect::<Vec<_>>(), known);
    for (name, default) in told {
        let mut settings = certroll::settings::Settings::default();
        settings.set(name, default).unwrap();
        assert!(settings.changed().is_empty(), "{name} is not {default} by default");
    }
}

#[test]
fn the_page_on_the_emulator_has_every_fault_and_every_change() {
    let page = page("docs/emulator.md");
    let told = |heading| rows(&page, heading).into_iter().flat_map(|(names, _)| names).collect::<Vec<_>>();
    let faults = serde_json::to_value(certroll::emulator::Faults::default()).unwrap();
    let mut known: Vec<&str> = faults.as_object().unwrap().keys().map(String::as_str).collect();
    let mut faults = told("| key | makes |");
    known.sort_unstable();
    faults.sort_unstable();
    assert_eq!(faults, known);
    let example = page.split("```json file=faults.json\n").nth(1).unwrap().split("```").next().unwrap();
    let example: serde_json::Value = serde_json::from_str(example).unwrap();
    assert_eq!(example.as_object().unwrap().len(), known.len(), "the example has all of them");
    let error =
        serde_json::from_str::<certroll::emulator::Change>(r#"{"change":"x"}"#).unwrap_err().to_string();
    let known: Vec<&str> =
        error.split("expected one of ").nth(1).unwrap().split('`').skip(1).step_by(2).collect();
    assert_eq!(told("| change | members beside `change` |"), known);
}
