//! What is wrong with a declaration, said so that a person finds it: file, line, column, the text underlined, and what
//! to write instead. A diagnostic carries the one line it quotes, cleaned of control characters and of secrets, so that it can
//! be shown without the file at hand.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin as Header, Renderer, Snippet};
use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The declaration cannot be used.
    Error,
    /// It can, but somebody should look.
    Warning,
}

/// What sort of thing is wrong: stable words for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A file or folder cannot be read.
    Unreadable,
    /// It is not YAML as certroll takes it.
    Syntax,
    /// It is larger or deeper than certroll reads.
    Limit,
    /// A key the grammar does not have.
    UnknownKey,
    /// A key that must be there is not.
    MissingKey,
    /// Declared twice.
    Duplicate,
    /// A list where a text should be, and the like.
    WrongType,
    /// A value outside what the key takes.
    WrongValue,
    /// A key that means nothing here.
    NotApplicable,
    /// A name that nothing has.
    Reference,
    /// Two declarations that exclude each other.
    Conflict,
    /// Periods that do not fit together.
    Timing,
    /// A path that leaves the declaration's folder or cannot be used.
    Path,
    /// A secret where none may stand.
    Secret,
    /// A value copied out of documentation.
    Placeholder,
    /// A public certificate that cannot be used.
    PublicKey,
    /// The grammar knows it, this version of certroll cannot do it.
    NotInThisVersion,
    /// It works, and there is a better way.
    Advice,
}

/// The quoted line: cleaned text and the bytes of it that are meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Excerpt {
    text: String,
    mark: Range<usize>,
    /// Whether the column of the mark is that of the file: nothing before it was cut or hidden.
    aligned: bool,
}

/// Longest quoted line, in characters. A longer one is cut around what is meant.
const EXCERPT_CHARS_MAX: usize = 120;
/// What is kept of a cut line before the marked text, in characters.
const EXCERPT_CHARS_BEFORE: usize = 40;
/// What is quoted begins and ends at most so many bytes from the start of the mark.
pub const EXCERPT_BYTES_MAX: usize = 4 * EXCERPT_CHARS_MAX;

impl Excerpt {
    /// Quotes `line` with `mark` (bytes of it) underlined. Ranges in `hidden` are replaced by asterisks; those further than
    /// [`EXCERPT_BYTES_MAX`] from the mark's start do not matter. Takes no longer for a long line than for a short one.
    pub fn new(line: &str, mark: Range<usize>, hidden: &[Range<usize>]) -> Excerpt {
        let long = line.chars().nth(EXCERPT_CHARS_MAX).is_some();
        let before = line.get(..mark.start).filter(|_| long).unwrap_or_default();
        let from = before.char_indices().rev().nth(EXCERPT_CHARS_BEFORE - 1).map_or(0, |(at, _)| at);
        let window = line.get(from..).unwrap_or_default();
        let mut excerpt = Excerpt { text: String::new(), mark: 0..0, aligned: from == 0 };
        if from > 0 {
            excerpt.text.push('…');
        }
        let mut end = None;
        let mut start = None;
        let mut hiding = false;
        for (at, c) in window.char_indices().map(|(at, c)| (from + at, c)).take(EXCERPT_CHARS_MAX) {
            if at >= mark.start && start.is_none() {
                start = Some(excerpt.text.len());
            }
            if at >= mark.end && end.is_none() {
                end = Some(excerpt.text.len());
            }
            let hide = hidden.iter().any(|range| range.contains(&at));
            match (hide, hiding) {
                (true, false) => {
                    excerpt.text.push_str("***");
                    excerpt.aligned &= start.is_some();
                }
                (true, true) => {}
                (false, _) if begins_a_command(line.get(at..).unwrap_or_default()) => {
                    excerpt.text.push(char::REPLACEMENT_CHARACTER);
                }
                (false, _) => excerpt.text.push(clean_char(c)),
            }
            hiding = hide;
        }
        let whole = excerpt.text.len();
        let start = start.unwrap_or(whole);
        excerpt.mark = start..end.unwrap_or(whole).max(start);
        if window.chars().nth(EXCERPT_CHARS_MAX).is_some() {
            excerpt.text.push('…');
        }
        excerpt
    }
}

/// Whether a character could change how other text on a terminal or in a review looks.
pub fn is_unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Whether a text begins as a command to the CI system that shows it: `##vso[…]` in Azure Pipelines, `##[…]` in GitHub Actions, and of others
/// after the same pattern. Those are obeyed wherever in a line they stand.
pub fn begins_a_command(text: &str) -> bool {
    let word =
        text.strip_prefix("##").map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric()));
    word.is_some_and(|rest| rest.starts_with('['))
}

fn clean_char(c: char) -> char {
    match c {
        '\t' => ' ',
        c if is_unsafe_to_show(c) => '\u{fffd}',
        c => c,
    }
}

/// Text with every character replaced that could change how the rest looks, and cut to a thousand characters.
pub fn cleaned(text: &str) -> String {
    const CHARS_MAX: usize = 1000;
    let chars = text.char_indices().take(CHARS_MAX).map(|(at, c)| match begins_a_command(&text[at..]) {
        true => char::REPLACEMENT_CHARACTER,
        false => clean_char(c),
    });
    let mut clean: String = chars.collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        clean.push('…');
    }
    clean
}

/// A position in a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// First byte and the byte after the last, counted after a byte order mark.
    pub span: (usize, usize),
    /// The line quoted; `None` when the file is not known to be a declaration.
    #[serde(skip)]
    pub excerpt: Option<Excerpt>,
}

/// A file, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Place {
    /// The path as given on the command line.
    pub file: String,
    /// Where in the file, when it is about a part of it.
    #[serde(flatten)]
    pub position: Option<Position>,
}

impl Place {
    /// The whole file or folder.
    pub fn file(path: impl Into<String>) -> Place {
        Place { file: path.into(), position: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&cleaned(&self.file))?;
        match &self.position {
            Some(position) => write!(f, ":{}:{}", position.line, position.column),
            None => Ok(()),
        }
    }
}

/// A second place that belongs to the matter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Label {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What is there.
    pub text: String,
}

/// One thing that is wrong, or should be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What sort of thing.
    pub code: Code,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Further places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    /// What to do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: Code, place: Place, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, code, place, message.into())
    }

    /// A warning.
    pub fn warning(code: Code, place: Place, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, code, place, message.into())
    }

    fn new(severity: Severity, code: Code, place: Place, message: String) -> Diagnostic {
        Diagnostic { severity, code, place, message, labels: Vec::new(), help: Vec::new() }
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Diagnostic {
        self.help.push(text.into());
        self
    }

    /// Adds a second place.
    #[must_use]
    pub fn label(mut self, place: Place, text: impl Into<String>) -> Diagnostic {
        self.labels.push(Label { place, text: text.into() });
        self
    }

    /// The order diagnostics are shown in: by file and position, errors before warnings at one position.
    pub fn order(&self) -> (&str, usize, Severity, &str) {
        let start = self.place.position.as_ref().map_or(0, |position| position.span.0);
        (&self.place.file, start, self.severity, &self.message)
    }

    /// With the quoted lines, for a person. `styled` adds colour. Ends without a line break.
    pub fn render(&self, styled: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut elements = elements(&self.place, AnnotationKind::Primary, None);
        for label in &self.labels {
            elements.extend(elements_of_label(label));
        }
        elements.extend(self.help.iter().map(|text| Level::HELP.message(cleaned(text)).into()));
        let group: Group<'_> = level.primary_title(cleaned(&self.message)).elements(elements);
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

fn elements_of_label(label: &Label) -> Vec<Element<'static>> {
    elements(&label.place, AnnotationKind::Context, Some(cleaned(&label.text)))
}

/// A place as annotate-snippets shows it. Where the quoted line no longer tells its column, the header is our own.
fn elements(place: &Place, kind: AnnotationKind, label: Option<String>) -> Vec<Element<'static>> {
    let file = cleaned(&place.file);
    let header = Header::path(file.clone());
    let (header, excerpt, line) = match &place.position {
        None => (header, None, 1),
        Some(at) => {
            let header = header.line(at.line as usize).char_column(at.column as usize);
            (header, at.excerpt.as_ref(), at.line as usize)
        }
    };
    let Some(excerpt) = excerpt else {
        let note = label.map(|label| Level::NOTE.message(label).into());
        return [header.into()].into_iter().chain(note).collect();
    };
    let annotation = kind.span(excerpt.mark.clone()).label(label);
    let snippet = Snippet::source(excerpt.text.clone()).line_start(line).annotation(annotation);
    if excerpt.aligned { vec![snippet.path(file).into()] } else { vec![header.into(), snippet.into()] }
}

/// The one-line form: `file:line:column: error: message; help`.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}: {severity}: {}", self.place, cleaned(&self.message))?;
        for label in &self.labels {
            write!(f, "; {}: {}", label.place, cleaned(&label.text))?;
        }
        self.help.iter().try_for_each(|help| write!(f, "; {}", cleaned(help)))
    }
}
