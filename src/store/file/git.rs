#![allow(clippy::disallowed_methods, reason = "reads ignore files around the store's folder")]
//! Private keys do not belong into a Git repository: is a folder inside a work tree that does not ignore it, or in `.git`?
//!
//! Runs no program. Looks at every `.gitignore` from the top of the work tree down and at `info/exclude`; a person's own global
//! ignore file does not count, since it protects nobody else's clone.

use std::path::{Path, PathBuf};

use super::ignore::Patterns;

/// Largest ignore file that is read, in bytes; a larger one counts as empty, which can only lead to a refusal.
const IGNORE_FILE_MAX: u64 = 1024 * 1024;

/// Why a folder is no place for keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It lies in this `.git` folder, which tools copy, prune and serve as they like.
    Inside(PathBuf),
    /// It lies in the work tree with this top and is not ignored there.
    NotIgnored(PathBuf),
}

/// What is wrong with `folder`; `None` when it is ignored or lies in no work tree. The folder need not exist.
pub(super) fn trouble(folder: &Path) -> std::io::Result<Option<Trouble>> {
    let folder = real_path(folder)?;
    let is_git = |path: &&Path| path.file_name().is_some_and(|name| name.eq_ignore_ascii_case(".git"));
    if let Some(git) = folder.ancestors().find(is_git) {
        return Ok(Some(Trouble::Inside(git.to_owned())));
    }
    for top in folder.ancestors() {
        // A work tree has a folder there; a linked work tree or submodule has a file.
        if top.join(".git").symlink_metadata().is_ok() {
            return Ok((!is_ignored(top, &folder)).then(|| Trouble::NotIgnored(top.to_owned())));
        }
    }
    Ok(None)
}

/// The line of `top`'s `.gitignore` that ignores a folder below it; `None` when the folder is `top` or not below it.
pub(super) fn ignore_line(top: &Path, folder: &Path) -> std::io::Result<Option<String>> {
    let folder = real_path(folder)?;
    let below = folder.strip_prefix(top).ok().and_then(Path::to_str).filter(|below| !below.is_empty());
    Ok(below.map(|below| {
        let mut line = String::from("/");
        for c in below.chars() {
            if matches!(c, '*' | '?' | '[' | '\\') {
                line.push('\\');
            }
            line.push(c);
        }
        line + "/"
    }))
}

/// The path with symbolic links resolved, as far as it exists.
fn real_path(folder: &Path) -> std::io::Result<PathBuf> {
    let folder = std::path::absolute(folder)?;
    let mut missing = Vec::new();
    let mut existing = folder.as_path();
    loop {
        match existing.canonicalize() {
            Ok(real) => return Ok(missing.iter().rev().fold(real, |path, part| path.join(part))),
            // Something missing, or a file where a folder should be: what is above it decides.
            Err(error) => match (existing.parent(), existing.file_name()) {
                (Some(parent), Some(name))
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                    ) =>
                {
                    missing.push(name.to_owned());
                    existing = parent;
                }
                _ => return Err(error),
            },
        }
    }
}

/// Whether the folder or one above it, below `top`, is ignored. Below an ignored folder nothing can be taken back.
fn is_ignored(top: &Path, folder: &Path) -> bool {
    let Ok(below) = folder.strip_prefix(top) else { return false };
    let exclude = git_folder(top).map(|git| read_patterns(&git.join("info/exclude"))).unwrap_or_default();
    // The ignore files that speak of the path so far, outermost first, with the parts below each.
    let mut files: Vec<(Patterns, Vec<&str>)> = vec![(exclude, vec![])];
    let mut here = top.to_owned();
    for part in below.components() {
        let Some(part) = part.as_os_str().to_str() else { return false };
        files.push((read_patterns(&here.join(".gitignore")), vec![]));
        for (_, parts) in &mut files {
            parts.push(part);
        }
        if files.iter().rev().find_map(|(patterns, parts)| patterns.decide(&parts.join("/"))) == Some(true) {
            return true;
        }
        here.push(part);
    }
    false
}

/// The repository's common folder, also for a linked work tree.
fn git_folder(top: &Path) -> Option<PathBuf> {
    let git = top.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let pointer = read_small(&git)?;
    let folder = top.join(pointer.strip_prefix("gitdir:")?.trim());
    match read_small(&folder.join("commondir")) {
        Some(common) => Some(folder.join(common.trim())),
        None => Some(folder),
    }
}

fn read_patterns(path: &Path) -> Patterns {
    read_small(path).map(|text| Patterns::parse(&text)).unwrap_or_default()
}

/// Git does not follow a `.gitignore` that is a link, and neither do we.
fn read_small(path: &Path) -> Option<String> {
    let found = path.symlink_metadata().ok()?;
    if !found.is_file() || found.len() > IGNORE_FILE_MAX {
        return None;
    }
    std::fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn work_tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(".git/info")).unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn refused(root: &tempfile::TempDir, folder: &str) -> bool {
        trouble(&root.path().join(folder)).unwrap().is_some()
    }

    #[test]
    fn a_folder_outside_any_work_tree_is_fine() {
        let root = tempfile::tempdir().unwrap();
        assert!(!refused(&root, "secrets/app"));
    }

    #[test]
    fn a_work_tree_that_says_nothing_is_refused() {
        assert!(refused(&work_tree(&[]), "secrets/app"));
    }

    #[test]
    fn an_ignored_folder_is_fine_whichever_file_says_so() {
        assert!(!refused(&work_tree(&[(".gitignore", "secrets/\n")]), "secrets/app"));
        assert!(!refused(&work_tree(&[("secrets/.gitignore", "*\n")]), "secrets/app"));
        assert!(!refused(&work_tree(&[(".git/info/exclude", "/secrets\n")]), "secrets/app"));
        assert!(!refused(&work_tree(&[("secrets/.gitignore", "/app/\n")]), "secrets/app"));
    }

    #[test]
    fn a_deeper_file_takes_back_what_an_outer_one_ignores() {
        let files = [(".gitignore", "app\n"), ("secrets/.gitignore", "!app\n")];
        assert!(refused(&work_tree(&files), "secrets/app"));
    }

    #[test]
    fn what_lies_below_an_ignored_folder_cannot_be_taken_back() {
        let files = [(".gitignore", "secrets\n"), ("secrets/.gitignore", "!app\n")];
        assert!(!refused(&work_tree(&files), "secrets/app"));
    }

    #[test]
    fn a_pattern_for_some_files_does_not_protect_the_folder() {
        assert!(refused(&work_tree(&[(".gitignore", "*.pem\n*.pfx\n")]), "secrets/app"));
    }

    #[test]
    fn a_linked_work_tree_uses_the_repository_it_belongs_to() {
        let root =
            work_tree(&[(".git/info/exclude", "secrets\n"), (".git/worktrees/x/commondir", "../..\n")]);
        let linked = root.path().join("linked");
        fs::create_dir_all(&linked).unwrap();
        fs::write(linked.join(".git"), "gitdir: ../.git/worktrees/x\n").unwrap();
        assert!(!refused(&root, "linked/secrets/app"));
        assert!(refused(&root, "linked/other/app"));
    }

    #[test]
    fn a_link_into_a_work_tree_is_seen_through() {
        let root = work_tree(&[("secrets/keep", "")]);
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(root.path().join("secrets"), outside.path().join("store")).unwrap();
        assert!(refused(&outside, "store/app"));
    }

    #[test]
    fn inside_the_git_folder_is_refused_whatever_is_ignored() {
        let root = work_tree(&[(".gitignore", "*\n")]);
        let git = root.path().canonicalize().unwrap().join(".git");
        for folder in [".git", ".git/secrets", ".git/a/b"] {
            let found = trouble(&root.path().join(folder)).unwrap();
            assert_eq!(found, Some(Trouble::Inside(git.clone())), "{folder}");
        }
    }

    #[test]
    fn the_line_for_the_ignore_file_is_relative_to_the_top_and_taken_literally() {
        let root = work_tree(&[]);
        let top = root.path().canonicalize().unwrap();
        let line = |folder: &str| ignore_line(&top, &top.join(folder)).unwrap();
        assert_eq!(line("a/secrets").as_deref(), Some("/a/secrets/"));
        assert_eq!(line(""), None);
        let odd = line("se[c]*s").unwrap();
        fs::write(top.join(".gitignore"), odd).unwrap();
        assert!(!refused(&root, "se[c]*s/app"));
        assert!(refused(&root, "secs/app"));
    }

    #[test]
    fn the_nearest_repository_decides() {
        let root = work_tree(&[(".gitignore", "inner\n"), ("inner/.git/HEAD", "")]);
        assert!(refused(&root, "inner/secrets"));
    }
}
