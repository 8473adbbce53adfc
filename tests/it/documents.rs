//! Every command in the documents is run, in order, and prints what the document says.
//!
//! A `console` block holds commands after `$ ` and what they print; `...` stands for any lines. Thumbprints and dates differ in every
//! run: a thumbprint in a document stands for the one at the same place in what was printed, also in later commands.

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
    /// First eight digits in the document, and those of this run.
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
        for block in text.split("```console\n").skip(1) {
            walk.block(block.split("```").next().unwrap());
        }
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
            self.command(command);
            self.compare(command, &expected);
        }
    }

    fn command(&mut self, command: &str) {
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
                    code == 0 || asked,
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
        self.thumbprints.iter().fold(word.to_owned(), |word, (written, real)| word.replace(written, real))
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
            self.thumbprints.extend(thumbprints(line).into_iter().zip(thumbprints(found)));
        }
        let rest: Vec<_> = actual.collect();
        let left_out = !expected.is_empty() && !skipping && !rest.is_empty();
        assert!(!left_out, "{}: `{command}` also printed {rest:?}: end the block with ...", self.document);
    }
}

/// The first eight digits of each thumbprint in a line, short or whole.
fn thumbprints(line: &str) -> Vec<String> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric());
    let is_one = |word: &&str| {
        matches!(word.len(), 8 | 40) && word.chars().all(|c| matches!(c, '0'..='9' | 'A'..='F'))
    };
    words.filter(is_one).map(|word| word[..8].to_owned()).collect()
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
