//! Foreign texts made fit to repeat.

/// Longest text of a service we repeat, in characters.
const TEXT_MAX: usize = 400;

/// A foreign text as one line that a terminal can be shown: control and bidirectional characters become spaces, runs of
/// spaces one space, and the length is bounded.
pub fn printable(text: &str) -> String {
    let bidirectional = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}');
    let clean: String = text
        .chars()
        .take(8 * TEXT_MAX)
        .map(|c| if c.is_control() || bidirectional(c) { ' ' } else { c })
        .collect();
    let words: Vec<&str> = clean.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= TEXT_MAX {
        return line;
    }
    line.chars().take(TEXT_MAX).chain(['…']).collect()
}

/// Replaces every occurrence of a secret. Some proxies print the request they could not deliver, headers included.
pub fn without_secrets(text: &str, secrets: &[&str]) -> String {
    let long_enough = |secret: &&&str| secret.len() >= 4;
    secrets.iter().filter(long_enough).fold(text.to_owned(), |text, secret| text.replace(*secret, "[secret]"))
}
