//! One file's text: positions in it, and what of it may be quoted.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::tree::{NodeRef, Plain};
use crate::desired::Origin;
use crate::diagnostic::{EXCERPT_BYTES_MAX, Excerpt, Place, Position};

/// A file that was read.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// The path as given on the command line.
    pub(super) label: String,
    /// The folder paths in the file count from.
    pub(super) folder: PathBuf,
    text: String,
    line_starts: Vec<usize>,
    /// How many characters begin before each [`STRIDE`] bytes, so that a column is told without counting a long line anew.
    chars_before: Vec<usize>,
    /// In order, none touching another.
    hidden: Vec<Range<usize>>,
    quotable: bool,
}

/// Distance of the bytes up to which characters are counted once.
const STRIDE: usize = 256;

impl SourceFile {
    /// Takes the text of a file, without byte order mark. Nothing of it is quoted unless it looks like a declaration.
    pub(super) fn new(label: String, path: &Path, text: String) -> SourceFile {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let quotable = looks_like_declaration(&text);
        let hidden = if quotable { merged(guess_secrets(&text)) } else { Vec::new() };
        let chars_before = chars_before(&text);
        SourceFile { label, folder, text, line_starts, chars_before, hidden, quotable }
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether lines of it may be quoted.
    pub(super) fn is_quotable(&self) -> bool {
        self.quotable
    }

    /// Now that the file is known to be a declaration: from here on lines of it may be quoted, but for the values of keys
    /// that look like passwords and for private keys.
    pub(super) fn understood(&mut self, root: NodeRef<'_>) {
        self.quotable = true;
        let mut hidden = private_key_blocks(&self.text);
        hide_secrets(root, &mut hidden);
        self.hidden = merged(hidden);
    }

    /// Whether the bytes hold something that must not be repeated.
    pub(super) fn is_hidden(&self, span: &Range<usize>) -> bool {
        self.hidden_between(span.start, span.end).next().is_some()
    }

    /// Those bytes, as a place with the line quoted.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        let start = self.floor(span.start);
        let line = self.line_of(start);
        let from = self.line_starts[line];
        let to = self.line_starts.get(line + 1).map_or(self.text.len(), |next| next - 1);
        let content = self.text[from..to].trim_end_matches('\r');
        let mark_end = span.end.clamp(start, from + content.len().max(start - from));
        let excerpt = self.quotable.then(|| {
            let near = from.max(start.saturating_sub(EXCERPT_BYTES_MAX))..to.min(start + EXCERPT_BYTES_MAX);
            let near = self.hidden_between(near.start, near.end);
            let hidden: Vec<_> = near.filter_map(|range| within(range, from, to)).collect();
            Excerpt::new(content, start - from..mark_end - from, &hidden)
        });
        let column = self.column(from, start);
        Place {
            file: self.label.clone(),
            position: Some(Position {
                line: u32::try_from(line + 1).unwrap_or(u32::MAX),
                column: u32::try_from(column).unwrap_or(u32::MAX),
                span: (start, span.end.max(start)),
                excerpt,
            }),
        }
    }

    /// Where that byte is, for later errors about what is declared there.
    pub(super) fn origin(&self, at: usize) -> Origin {
        let at = self.floor(at);
        let line = self.line_of(at);
        let column = self.column(self.line_starts[line], at);
        Origin {
            file: self.label.clone(),
            line: u32::try_from(line + 1).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            folder: self.folder.clone(),
        }
    }

    /// Those of the hidden ranges that reach into the bytes between.
    fn hidden_between(&self, from: usize, to: usize) -> impl Iterator<Item = &Range<usize>> {
        let first = self.hidden.partition_point(|range| range.end <= from);
        self.hidden[first..].iter().take_while(move |range| range.start < to)
    }

    /// The column, from 1, of a byte in the line that begins at `line_start`.
    fn column(&self, line_start: usize, at: usize) -> usize {
        let before = |at: usize| {
            let counted = at / STRIDE;
            self.chars_before[counted] + char_starts(&self.text.as_bytes()[counted * STRIDE..at])
        };
        before(at) - before(line_start) + 1
    }

    fn line_of(&self, at: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= at).saturating_sub(1)
    }

    /// The nearest place at or before `at` where the text can be cut.
    fn floor(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

fn char_starts(bytes: &[u8]) -> usize {
    let is_inside = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
    bytes.iter().filter(|byte| !is_inside(byte)).count()
}

fn chars_before(text: &str) -> Vec<usize> {
    let mut counted = vec![0];
    let mut sum = 0;
    for chunk in text.as_bytes().chunks(STRIDE) {
        sum += char_starts(chunk);
        counted.push(sum);
    }
    counted
}

/// The same bytes in as few ranges as there can be, in order.
fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut().filter(|last| range.start <= last.end) {
            Some(last) => last.end = last.end.max(range.end),
            None => merged.push(range),
        }
    }
    merged
}

/// The part of `range` on a line, counted from the line's start.
fn within(range: &Range<usize>, from: usize, to: usize) -> Option<Range<usize>> {
    let (start, end) = (range.start.max(from), range.end.min(to));
    (start < end).then(|| start - from..end - from)
}

/// Whether a text that may not even be YAML is meant as a declaration: some line begins with the key `certroll`.
fn looks_like_declaration(text: &str) -> bool {
    text.lines().any(|line| {
        let key = ["certroll", "\"certroll\"", "'certroll'"].iter().find_map(|key| line.strip_prefix(key));
        key.is_some_and(|rest| rest.trim_start().starts_with(':'))
    })
}

/// Whether the value of a key could be a secret, the key perhaps misspelt.
pub(super) fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    if key == "password_secret" {
        return false; // The name of a place, in the grammar.
    }
    let tells = ["passw", "passphrase", "pwd", "token", "private_key", "client_secret"];
    tells.iter().any(|tell| key.contains(tell)) || strsim::levenshtein(&key, "password") <= 2
}

/// Whether what stands under such a key is one of the grammar's words rather than a secret.
fn is_harmless(value: &str) -> bool {
    matches!(value, "generate" | "none") || value.starts_with(crate::desired::SECRET_VARIABLE_PREFIX)
}

fn hide_secrets(node: NodeRef<'_>, hidden: &mut Vec<Range<usize>>) {
    // What a person calls a certificate or a store says nothing about its value.
    let sections = ["tenants", "stores", "issuers", "consumers", "certificates"];
    let names = sections.iter().filter_map(|section| node.get(section)).flat_map(NodeRef::entries);
    let names: std::collections::BTreeSet<usize> = names.map(|(name, _)| name.span().start).collect();
    // Aliases share nodes; the tree's own nodes are each looked at once, whatever refers to them.
    for node in node.tree_nodes() {
        for (key, value) in node.entries() {
            if key.text().is_some_and(is_secret_key) && !names.contains(&key.span().start) {
                hide_scalars(value, hidden);
            }
        }
    }
}

fn hide_scalars(node: NodeRef<'_>, hidden: &mut Vec<Range<usize>>) {
    match node.text() {
        Some(text) if is_harmless(text) || node.plain() == Plain::Null => {}
        Some(_) => hidden.push(node.span()),
        None => {
            node.items().for_each(|item| hide_scalars(item, hidden));
            for (key, value) in node.entries() {
                if key.text() != Some("secret_file") {
                    hide_scalars(value, hidden);
                }
            }
        }
    }
}

/// Secrets in a text that did not parse: the rest of each line after a key that looks like a password, and private keys.
fn guess_secrets(text: &str) -> Vec<Range<usize>> {
    let mut hidden = private_key_blocks(text);
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let mut key_start = 0;
        for (at, c) in line.char_indices() {
            if c == ':' && is_secret_key(line[key_start..at].trim_matches(['"', '\'', ' '])) {
                hidden.push(line_start + at + 1..line_start + line.len());
                break;
            }
            if !(c.is_alphanumeric() || matches!(c, '_' | '-')) {
                key_start = at + c.len_utf8();
            }
        }
        line_start += line.len();
    }
    hidden
}

fn private_key_blocks(text: &str) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    for (at, _) in text.match_indices("PRIVATE KEY-----") {
        let end = text[at..].find("-----END").map_or(text.len(), |end| at + end);
        let begins_here = text[..at].ends_with(['N', ' ']);
        if begins_here && hidden.last().is_none_or(|last: &Range<usize>| last.end <= at) {
            hidden.push(at..end);
        }
    }
    hidden
}
