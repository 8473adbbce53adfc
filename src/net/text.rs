//! Foreign texts made fit to repeat.

use super::echo::repeats;

/// Longest text of a service we repeat, in characters.
const TEXT_MAX: usize = 400;

/// Longest foreign text that is looked through for secrets, in characters: [`printable`] shows nothing from behind it.
const SCANNED_MAX: usize = 8 * TEXT_MAX;

/// A foreign text as one line that a terminal can be shown: control and bidirectional characters become spaces, runs of
/// spaces one space, and the length is bounded.
pub fn printable(text: &str) -> String {
    let bidirectional = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}');
    let clean: String = text
        .chars()
        .take(SCANNED_MAX)
        .map(|c| if c.is_control() || bidirectional(c) { ' ' } else { c })
        .collect();
    let words: Vec<&str> = clean.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= TEXT_MAX {
        return line;
    }
    line.chars().take(TEXT_MAX).chain(['…']).collect()
}

/// A foreign text without secrets: some proxies print the request they could not deliver. A secret that stands there as it is becomes
/// `[secret]`; a text that still holds a piece of one, or one in another spelling, is not shown at all. Cut as [`printable`] cuts.
pub fn without_secrets(text: &str, secrets: &[&str]) -> String {
    let text: String = text.chars().take(SCANNED_MAX).collect();
    let long_enough = |secret: &&&str| secret.len() >= 4;
    let secrets: Vec<&str> = secrets.iter().filter(long_enough).copied().collect();
    let text = secrets.iter().fold(text, |text, secret| text.replace(*secret, "[secret]"));
    let bytes: Vec<&[u8]> = secrets.iter().map(|secret| secret.as_bytes()).collect();
    if repeats(text.as_bytes(), &bytes) { WITHHELD.to_owned() } else { text }
}

/// What stands in the place of a text that cannot be shown.
const WITHHELD: &str = "[a text that repeats a part of a secret]";

/// Where in a JSON text reading ended. The parser's own words may quote a value.
pub fn place_of(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}
