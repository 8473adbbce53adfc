//! Text for a terminal: escaped, and coloured only where that is wanted. Nothing needs the colour.
//!
//! Names come from files and directories that somebody else writes. A control or bidirectional character in one of them
//! could repaint the plan a person approves, so every word passes through [`clean`] on its way out.

use std::borrow::Cow;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::diagnostic::begins_a_command;

/// Whether a character could change how other characters are shown.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}')
        || matches!(c, '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// The text with control, bidirectional and invisible characters spelled out, as in `\u{202e}`, and the first character of what a CI system
/// would take for a command.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c == '#' || is_harmful(c)) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    for (at, c) in text.char_indices() {
        if is_harmful(c) || begins_a_command(&text[at..]) {
            cleaned.extend(c.escape_unicode());
        } else {
            cleaned.push(c);
        }
    }
    Cow::Owned(cleaned)
}

/// What a word is, and with that its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Ordinary text.
    Plain,
    /// A heading.
    Heading,
    /// Something is made.
    Makes,
    /// Something is changed.
    Changes,
    /// Something is taken away.
    Removes,
    /// Something is asked.
    Asks,
    /// A person should look.
    Attention,
    /// Something is wrong.
    Bad,
    /// Less important.
    Faint,
}

impl Ink {
    fn style(self) -> Style {
        let fg = |colour: AnsiColor| colour.on_default();
        match self {
            Ink::Plain => Style::new(),
            Ink::Heading => Style::new().bold(),
            Ink::Makes => fg(AnsiColor::Green),
            Ink::Changes => fg(AnsiColor::Yellow),
            Ink::Removes | Ink::Bad => fg(AnsiColor::Red),
            Ink::Asks => fg(AnsiColor::Cyan),
            Ink::Attention => fg(AnsiColor::Yellow).bold(),
            Ink::Faint => Style::new().dimmed(),
        }
    }
}

/// Text being laid out.
#[derive(Debug)]
pub struct Text {
    out: String,
    colour: bool,
}

impl Text {
    /// Empty text, in colour or not.
    pub fn new(colour: bool) -> Text {
        Text { out: String::new(), colour }
    }

    /// Adds words, cleaned.
    pub fn put(&mut self, ink: Ink, words: &str) -> &mut Text {
        let style = ink.style();
        let words = clean(words);
        if self.colour && style != Style::new() && !words.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(self.out, "{style}{words}{style:#}");
        } else {
            self.out.push_str(&words);
        }
        self
    }

    /// Adds ordinary words, cleaned.
    pub fn plain(&mut self, words: &str) -> &mut Text {
        self.put(Ink::Plain, words)
    }

    /// Adds a whole ordinary line.
    pub fn line(&mut self, words: &str) -> &mut Text {
        self.plain(words).end()
    }

    /// Ends the line.
    pub fn end(&mut self) -> &mut Text {
        self.out.push('\n');
        self
    }

    /// Adds an empty line, unless nothing was said yet or there is one already.
    pub fn gap(&mut self) -> &mut Text {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
        self
    }

    /// The whole.
    pub fn into_string(self) -> String {
        self.out
    }
}

/// `1 credential`, `2 credentials`.
pub fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::{Ink, Text, clean};

    #[test]
    fn names_cannot_repaint_the_terminal() {
        for (hostile, harmless) in [
            ("plain · Ünïcode 漢字", "plain · Ünïcode 漢字"),
            ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("a\r\nb\tc", "a\\u{d}\\u{a}b\\u{9}c"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("txt.\u{202e}exe", "txt.\\u{202e}exe"),
            ("zero\u{200b}width\u{feff}", "zero\\u{200b}width\\u{feff}"),
            ("\u{2028}", "\\u{2028}"),
            // Azure Pipelines documentation: logging commands; the runner of GitHub Actions still knows the older spelling.
            ("x ##vso[task.setvariable variable=PATH]y", "x \\u{23}#vso[task.setvariable variable=PATH]y"),
            ("####VSO[a]##[b]", "##\\u{23}#VSO[a]\\u{23}#[b]"),
            ("# ## #[x] ##vso x", "# ## #[x] ##vso x"),
        ] {
            assert_eq!(clean(hostile), harmless);
        }
    }

    #[test]
    fn colour_adds_nothing_but_colour() {
        let write = |colour| {
            let mut text = Text::new(colour);
            text.put(Ink::Makes, "+").plain(" issue").end().gap().line("end");
            text.into_string()
        };
        assert_eq!(write(false), "+ issue\n\nend\n");
        assert_eq!(anstream::adapter::strip_str(&write(true)).to_string(), write(false));
        assert!(write(true).contains("\u{1b}["));
    }
}
