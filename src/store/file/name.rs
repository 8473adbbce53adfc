//! What an entry of the file store may be called: it becomes a path.

/// Longest part of an entry between slashes, in characters; file systems allow 255 bytes and the files inside add an ending.
const PART_MAX: usize = 100;
/// Longest entry, in characters.
const ENTRY_MAX: usize = 400;
/// Names with a meaning inside an entry's folder.
const RESERVED: [&str; 2] = ["current", "generations"];

/// Why a text cannot be an entry of a file store; `None` when it can.
pub fn entry_problem(entry: &str) -> Option<String> {
    if entry.is_empty() {
        return Some("is empty".into());
    }
    if entry.len() > ENTRY_MAX {
        return Some(format!("is longer than {ENTRY_MAX} characters"));
    }
    entry.split('/').find_map(part_problem)
}

fn part_problem(part: &str) -> Option<String> {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if part.is_empty() {
        Some("begins or ends with a slash, or has two in a row".into())
    } else if let Some(odd) = part.chars().find(|c| !safe(*c)) {
        Some(format!("holds {odd:?}; only A-Z, a-z, 0-9, '.', '_', '-' and '/' are safe in a path"))
    } else if part.starts_with('.') || part.ends_with('.') {
        Some("has a part that begins or ends with a dot".into())
    } else if part.starts_with('-') {
        Some("has a part that begins with a hyphen, which programs take for an option".into())
    } else if part.len() > PART_MAX {
        Some(format!("has a part longer than {PART_MAX} characters"))
    } else if RESERVED.iter().any(|reserved| part.eq_ignore_ascii_case(reserved)) {
        Some(format!("has a part called {part:?}, which the store uses itself"))
    } else {
        None
    }
}

/// The stem of the files consumers read: the entry's last part.
pub(super) fn stem(entry: &str) -> &str {
    entry.rsplit('/').next().unwrap_or(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_and_paths_below_the_folder_are_fine() {
        for entry in ["cloudm", "microsoft365/certificate", "App_1.prod", "a/b/c-d"] {
            assert_eq!(entry_problem(entry), None, "{entry}");
        }
    }

    #[test]
    fn names_that_leave_the_folder_or_hide_in_it_are_refused() {
        let bad = [
            "",
            "/",
            "/etc/passwd",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "../a",
            ".",
            ".hidden",
            "a/.git",
            "a\0b",
            "a b",
            "a\\b",
            "C:a",
            "ä",
            "a.",
            "-rf",
            "current",
            "a/Generations",
            "a\nb",
            "a*",
        ];
        for entry in bad {
            assert!(entry_problem(entry).is_some(), "{entry:?}");
        }
        assert!(entry_problem(&"a".repeat(101)).is_some());
        assert!(entry_problem(&"abc/".repeat(200)).is_some());
    }

    #[test]
    fn the_stem_is_the_last_part() {
        assert_eq!(stem("microsoft365/certificate"), "certificate");
        assert_eq!(stem("cloudm"), "cloudm");
    }
}
