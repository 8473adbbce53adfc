//! From paths to trees: which files are declarations, and whether they can be read at all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::FILE_BYTES_MAX;
use super::sources::{PathKind, SourceError, Sources};
use super::text::SourceFile;
use super::tree::{self, Fault, NodeRef, Tree};
use crate::diagnostic::{Code, Diagnostic, Place};

/// A declaration: its text and tree.
#[derive(Debug)]
pub(super) struct File {
    pub(super) source: SourceFile,
    pub(super) tree: Tree,
}

impl File {
    /// The top of the file: a map whose keys are the grammar's.
    pub(super) fn root(&self) -> Option<NodeRef<'_>> {
        self.tree.documents().next()
    }
}

/// What was found at the paths.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) files: Vec<File>,
    pub(super) skipped: Vec<String>,
    /// Some file could not be understood, so what is missing may stand there.
    pub(super) incomplete: bool,
}

/// Reads everything that is a declaration. What is not, and was only lying in a folder, is skipped.
pub(super) fn gather(sources: &dyn Sources, paths: &[PathBuf], found: &mut Vec<Diagnostic>) -> Gathered {
    let mut gatherer = Gatherer { sources, found, gathered: Gathered::default(), seen: BTreeSet::new() };
    for path in paths {
        gatherer.path(path);
    }
    let mut gathered = gatherer.gathered;
    gathered.incomplete |= !found.is_empty() && gathered.files.is_empty();
    if gathered.files.is_empty() && found.is_empty() {
        let shown = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        let message = "there is no declaration here: no YAML file that begins with `certroll: v1`";
        found.push(
            Diagnostic::error(Code::Unreadable, Place::file(shown), message)
                .help("`certroll init` writes a first one; -f names other files and folders"),
        );
    }
    gathered
}

struct Gatherer<'a> {
    sources: &'a dyn Sources,
    found: &'a mut Vec<Diagnostic>,
    gathered: Gathered,
    /// Files already read, whatever they were called.
    seen: BTreeSet<PathBuf>,
}

impl Gatherer<'_> {
    fn path(&mut self, path: &Path) {
        match self.sources.kind(path) {
            Ok(PathKind::File) => self.file(path, path.display().to_string(), None),
            Ok(PathKind::Folder) => self.folder(path),
            Err(error) => self.unreadable(path.display().to_string(), &error),
        }
    }

    fn unreadable(&mut self, label: String, error: &SourceError) {
        self.gathered.incomplete = true;
        let code = if matches!(error, SourceError::TooLarge { .. }) { Code::Limit } else { Code::Unreadable };
        self.found.push(Diagnostic::error(code, Place::file(label), format!("cannot be read: {error}")));
    }

    fn folder(&mut self, folder: &Path) {
        let (mut names, base) = match (self.sources.list(folder), self.sources.canonical(folder)) {
            (Ok(names), Ok(base)) => (names, base),
            (Err(error), _) | (_, Err(error)) => {
                return self.unreadable(folder.display().to_string(), &error);
            }
        };
        names.retain(|name| name.ends_with(".yaml") || name.ends_with(".yml"));
        names.sort();
        for name in names {
            let here = folder == Path::new(".");
            let path = if here { PathBuf::from(name) } else { folder.join(name) };
            self.file(&path, path.display().to_string(), Some(&base));
        }
    }

    /// Reads one file. `folder` is the folder it was found in; `None` when it was named itself.
    fn file(&mut self, path: &Path, label: String, folder: Option<&Path>) {
        let canonical = match self.sources.canonical(path) {
            Ok(canonical) => canonical,
            Err(error) => return self.unreadable(label, &error),
        };
        if !self.seen.insert(canonical.clone()) {
            return;
        }
        if folder.is_some_and(|folder| !canonical.starts_with(folder)) {
            let message = "a symbolic link leads out of the folder";
            let error = Diagnostic::error(Code::Path, Place::file(label), message);
            return self.found.push(error.help("name the file itself with -f if it is meant"));
        }
        let bytes = match self.sources.read(path, FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) => return self.unreadable(label, &error),
        };
        match decode(&bytes) {
            Ok(text) => self.text(SourceFile::new(label, path, text), folder.is_some()),
            Err(problem) => {
                self.gathered.incomplete = true;
                let error = not_text(label, path, &bytes, problem);
                self.found.push(error.help("save the file as UTF-8"));
            }
        }
    }

    fn text(&mut self, mut source: SourceFile, from_folder: bool) {
        let parsed = tree::parse(source.text());
        if let Some(fault) = &parsed.broken {
            self.gathered.incomplete = true;
            return self.fault(&source, fault);
        }
        let documents: Vec<NodeRef<'_>> = parsed.tree.documents().collect();
        let declares = |document: &NodeRef<'_>| document.entry("certroll").is_some();
        if !documents.iter().any(declares) {
            return self.not_ours(source, from_folder);
        }
        for document in &documents {
            source.understood(*document);
        }
        parsed.faults.iter().for_each(|fault| self.fault(&source, fault));
        if let [_, second, ..] = documents.as_slice() {
            let message = "the file holds more than one YAML document";
            let start = second.span().start;
            self.found.push(
                Diagnostic::error(Code::Syntax, source.place(start..start), message)
                    .help("put each declaration into a file of its own"),
            );
        }
        // Of what a merge key would bring in nothing is known, and whatever is said about the rest could mislead.
        if documents.len() > 1 || parsed.faults.iter().any(|fault| fault.blocks) {
            self.gathered.incomplete = true;
        } else {
            self.gathered.files.push(File { source, tree: parsed.tree });
        }
    }

    fn not_ours(&mut self, source: SourceFile, from_folder: bool) {
        if from_folder {
            return self.gathered.skipped.push(source.label);
        }
        let message = "is no declaration: it has no top-level key `certroll`";
        let error = Diagnostic::error(Code::MissingKey, Place::file(source.label), message);
        self.found.push(error.help("begin the file with `certroll: v1`"));
    }

    fn fault(&mut self, source: &SourceFile, fault: &Fault) {
        // The parser's words can repeat what stands in the file, and an unknown file may hold anything.
        let message = match (source.is_quotable(), fault.code) {
            (true, _) | (_, Code::Limit) => fault.message.clone(),
            (false, _) => "this is not valid YAML".to_owned(),
        };
        let mut error = Diagnostic::error(fault.code, source.place(fault.span.clone()), message);
        error.help.extend(fault.help.map(str::to_owned));
        if let Some((span, text)) = &fault.label {
            error = error.label(source.place(span.clone()), *text);
        }
        self.found.push(error);
    }
}

/// Why bytes are no text.
#[derive(Debug, Clone, Copy)]
enum NotText {
    Utf16,
    /// The bytes from there on, counted after a byte order mark, are not UTF-8.
    From(usize),
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// UTF-8, with or without a byte order mark.
fn decode(bytes: &[u8]) -> Result<String, NotText> {
    let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let looks_utf16 = bytes.len() >= 4 && (bytes[0] == 0 || bytes[1] == 0);
    if utf16 || looks_utf16 {
        return Err(NotText::Utf16);
    }
    let text = std::str::from_utf8(without_mark(bytes));
    text.map(str::to_owned).map_err(|error| NotText::From(error.valid_up_to()))
}

/// The error of a file that is no text, at the first byte that is wrong.
fn not_text(label: String, path: &Path, bytes: &[u8], problem: NotText) -> Diagnostic {
    match problem {
        NotText::Utf16 => Diagnostic::error(Code::Syntax, Place::file(label), "this is UTF-16 text"),
        NotText::From(at) => {
            let content = without_mark(bytes);
            let of_file = at + bytes.len() - content.len();
            let message = format!("this is not UTF-8 text, from byte {of_file} of the file on");
            // Only what stands before it is read, and nothing is quoted: what is no text may be anything.
            let before = String::from_utf8_lossy(&content[..at]).into_owned();
            let mut place = SourceFile::new(label, path, before).place(at..at);
            if let Some(position) = &mut place.position {
                position.excerpt = None;
            }
            Diagnostic::error(Code::Syntax, place, message)
        }
    }
}
