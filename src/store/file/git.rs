#![allow(clippy::disallowed_methods, reason = "reads ignore files around the store's folder")]
//! Private keys do not belong into a Git repository: is a folder inside a work tree that does not ignore it?
//!
//! Runs no program. Looks at every `.gitignore` from the top of the work tree down and at `info/exclude`; a person's own global
//! ignore file does not count, since it protects nobody else's clone.

use std::path::{Path, PathBuf};

use super::ignore::Patterns;

/// Largest ignore file that is read, in bytes; a larger one counts as empty, which can only lead to a refusal.
const IGNORE_FILE_MAX: u64 = 1024 * 1024;

/// The top of the Git work tree in which `folder` lies without being ignored; `None` when it is ignored or lies in none. The
/// folder need not exist.
pub(super) fn unignored_work_tree(folder: &Path) -> std::io::Result<Option<PathBuf>> {
    let folder = real_path(folder)?;
    for top in folder.ancestors() {
        // A work tree has a folder there; a linked work tree or submodule has a file.
        if top.join(".git").symlink_metadata().is_ok() {
            return Ok((!is_ignored(top, &folder)).then(|| top.to_owned()));
        }
    }
    Ok(None)
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
        unignored_work_tree(&root.path().join(folder)).unwrap().is_some()
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
    fn the_nearest_repository_decides() {
        let root = work_tree(&[(".gitignore", "inner\n"), ("inner/.git/HEAD", "")]);
        assert!(refused(&root, "inner/secrets"));
    }
}
