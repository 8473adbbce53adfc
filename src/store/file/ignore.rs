//! Git's ignore patterns, as far as deciding "is this folder ignored" needs them. Pure.
//!
//! Follows gitignore(5): comments, escapes, trailing blanks, negation, anchoring, `dir/`, `*`, `?`, `[…]`, `**`. The
//! last matching pattern of a file decides.

/// The patterns of one ignore file.
#[derive(Debug, Clone, Default)]
pub(super) struct Patterns(Vec<Pattern>);

#[derive(Debug, Clone)]
struct Pattern {
    negated: bool,
    /// Matches folders only. Every path asked about here is one, so it only shapes parsing.
    glob: String,
    /// Matched against the whole path below the ignore file; else against the last part.
    anchored: bool,
}

impl Patterns {
    /// Reads an ignore file's text.
    pub(super) fn parse(text: &str) -> Patterns {
        Patterns(text.lines().filter_map(Pattern::parse).collect())
    }

    /// What the file says of a folder, `path` being relative to the file's folder with `/` between parts: ignored, not
    /// ignored, or nothing.
    pub(super) fn decide(&self, path: &str) -> Option<bool> {
        self.0.iter().rev().find(|pattern| pattern.matches(path)).map(|pattern| !pattern.negated)
    }
}

impl Pattern {
    fn parse(line: &str) -> Option<Pattern> {
        let line = trim_blanks(line.strip_suffix('\r').unwrap_or(line));
        if line.starts_with('#') {
            return None;
        }
        let (negated, line) = match line.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let line = line.strip_suffix('/').unwrap_or(line);
        let anchored = line.contains('/');
        let glob = line.strip_prefix('/').unwrap_or(line);
        (!glob.is_empty()).then(|| Pattern { negated, glob: glob.to_owned(), anchored })
    }

    fn matches(&self, path: &str) -> bool {
        let subject = if self.anchored { path } else { path.rsplit('/').next().unwrap_or(path) };
        glob(self.glob.as_bytes(), subject.as_bytes())
    }
}

/// Removes trailing blanks, but not one that is escaped.
fn trim_blanks(line: &str) -> &str {
    let kept = line.trim_end_matches(' ');
    let escapes = kept.bytes().rev().take_while(|b| *b == b'\\').count();
    if escapes % 2 == 1 && kept.len() < line.len() { &line[..kept.len() + 1] } else { kept }
}

/// Whether the pattern matches the whole text. `*` and `?` stop at slashes, `**/`, `/**` and `/**/` do not.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    glob_from(pattern, text, true)
}

/// `at_start`: the pattern stands at its beginning or behind a slash, where `**` has its meaning.
fn glob_from(pattern: &[u8], text: &[u8], at_start: bool) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*'] if at_start => !text.is_empty(),
        [b'*', b'*', b'/', rest @ ..] if at_start => {
            glob_from(rest, text, true) || behind_slashes(text).any(|deeper| glob_from(rest, deeper, true))
        }
        [b'*', ..] => {
            let stars = pattern.iter().take_while(|b| **b == b'*').count();
            let rest = &pattern[stars..];
            let reach = text.iter().position(|b| *b == b'/').unwrap_or(text.len());
            (0..=reach).any(|skip| glob_from(rest, &text[skip..], false))
        }
        [b'?', rest @ ..] => match text {
            [c, more @ ..] if *c != b'/' => glob_from(rest, more, false),
            _ => false,
        },
        [b'[', class @ ..] => match (text, class_match(class, text.first().copied())) {
            ([c, more @ ..], Some((true, rest))) if *c != b'/' => glob_from(rest, more, false),
            _ => false,
        },
        [b'\\', literal, rest @ ..] => text.first() == Some(literal) && glob_from(rest, &text[1..], false),
        [literal, rest @ ..] => {
            text.first() == Some(literal) && glob_from(rest, &text[1..], *literal == b'/')
        }
    }
}

fn behind_slashes(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| &text[at + 1..])
}

/// Whether the character is in the class that begins after `[`, and the pattern behind its `]`; `None` for a class without end,
/// which matches nothing.
fn class_match(class: &[u8], c: Option<u8>) -> Option<(bool, &[u8])> {
    let (negated, mut rest) = match class {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let mut found = false;
    let mut first = true;
    loop {
        let low = match rest {
            [b']', behind @ ..] if !first => return Some((c.is_some() && found != negated, behind)),
            [b'[', b':', ..] => {
                let end = rest.windows(2).position(|pair| pair == b":]")?;
                found |= c.is_some_and(|c| in_named_class(&rest[2..end], c));
                rest = &rest[end + 2..];
                first = false;
                continue;
            }
            [b'\\', escaped, behind @ ..] => {
                rest = behind;
                *escaped
            }
            [plain, behind @ ..] => {
                rest = behind;
                *plain
            }
            [] => return None,
        };
        first = false;
        let high = match rest {
            [b'-', b']', ..] | [b'-'] => low,
            [b'-', b'\\', high, behind @ ..] | [b'-', high, behind @ ..] => {
                rest = behind;
                *high
            }
            _ => low,
        };
        found |= c.is_some_and(|c| low <= c && c <= high);
    }
}

fn in_named_class(name: &[u8], c: u8) -> bool {
    match name {
        b"alnum" => c.is_ascii_alphanumeric(),
        b"alpha" => c.is_ascii_alphabetic(),
        b"digit" => c.is_ascii_digit(),
        b"lower" => c.is_ascii_lowercase(),
        b"upper" => c.is_ascii_uppercase(),
        b"punct" => c.is_ascii_punctuation(),
        b"space" => c.is_ascii_whitespace(),
        b"xdigit" => c.is_ascii_hexdigit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Patterns, a folder, and what `git check-ignore` says of it (git 2.39).
    const CASES: &[(&str, &str, Option<bool>)] = &[
        ("", "secrets", None),
        ("# secrets", "secrets", None),
        ("secrets", "secrets", Some(true)),
        ("secrets/", "secrets", Some(true)),
        ("secrets", "deep/er/secrets", Some(true)),
        ("/secrets", "deep/secrets", None),
        ("/secrets", "secrets", Some(true)),
        ("deep/secrets", "deep/secrets", Some(true)),
        ("deep/secrets", "very/deep/secrets", None),
        ("**/deep/secrets", "very/deep/secrets", Some(true)),
        ("**/secrets", "secrets", Some(true)),
        ("secrets/**", "secrets", None),
        ("secrets/**", "secrets/app", Some(true)),
        ("a/**/b", "a/b", Some(true)),
        ("a/**/b", "a/x/y/b", Some(true)),
        ("*", "anything", Some(true)),
        ("sec*", "secrets", Some(true)),
        ("sec*s", "secret", None),
        ("sec?ets", "secrets", Some(true)),
        ("s[a-f]crets", "secrets", Some(true)),
        ("s[!a-f]crets", "secrets", None),
        ("s[[:lower:]]crets", "secrets", Some(true)),
        ("s[ecrets", "s[ecrets", None),
        ("secrets\n!secrets", "secrets", Some(false)),
        ("!secrets\nsecrets", "secrets", Some(true)),
        ("secrets  ", "secrets", Some(true)),
        ("secrets\\ ", "secrets ", Some(true)),
        ("\\#secrets", "#secrets", Some(true)),
        ("\\!secrets", "!secrets", Some(true)),
        ("secrets\r", "secrets", Some(true)),
        ("a*/b", "ax/b", Some(true)),
        ("a*/b", "a/x/b", None),
        ("a**b", "axxb", Some(true)),
        ("/", "secrets", None),
    ];

    #[test]
    fn patterns_mean_what_git_says_they_mean() {
        for (patterns, path, expected) in CASES {
            assert_eq!(Patterns::parse(patterns).decide(path), *expected, "{patterns:?} on {path:?}");
        }
    }

    /// Git itself is the judge of the table above.
    #[test]
    #[ignore = "needs git; .ci/run runs it"]
    #[allow(clippy::disallowed_methods, reason = "asks another program for its judgement")]
    fn git_agrees_with_the_table() {
        for (patterns, path, expected) in CASES {
            let root = tempfile::tempdir().unwrap();
            let git = |arguments: &[&str]| {
                let mut command = std::process::Command::new("git");
                command.current_dir(root.path()).args(arguments).output().unwrap()
            };
            git(&["init", "-q"]);
            std::fs::create_dir_all(root.path().join(path)).unwrap();
            std::fs::write(root.path().join(".gitignore"), patterns).unwrap();
            let verdict = git(&["check-ignore", "-q", path]).status.code();
            let ignored = *expected == Some(true);
            assert_eq!(verdict, Some(i32::from(!ignored)), "{patterns:?} on {path:?}");
        }
    }
}
