//! Secrets the declaration names: `CERTROLL_SECRET_*` variables and files below `--secrets-dir`. Never shown.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use zeroize::Zeroizing;

use crate::backends::shipped::Secrets;
use crate::cli::args::Global;
use crate::cli::files;
use crate::cli::world::World;
use crate::desired::Password;
use crate::edges::{Trouble, TroubleKind};
use crate::key::Secret;

/// Variables of this prefix alone can be named by a declaration.
const PREFIX: &str = "CERTROLL_SECRET_";

/// The operator's secrets.
pub struct FromOperator {
    variables: BTreeMap<String, Secret>,
    folder: Option<PathBuf>,
}

impl FromOperator {
    /// Those of this environment and folder.
    pub fn new(global: &Global, world: &World) -> FromOperator {
        let named = world.env.iter().filter(|(name, _)| name.starts_with(PREFIX));
        FromOperator {
            variables: named.map(|(name, value)| (name.clone(), Secret::new(value.clone()))).collect(),
            folder: global.secrets_dir.as_ref().map(|folder| world.path(folder)),
        }
    }

    /// Where a file of that name is, below the folder for secrets.
    fn path(&self, name: &str) -> Result<PathBuf, Trouble> {
        let wrong = |reason: &str| unusable(name, reason);
        let folder = self.folder.as_ref().ok_or_else(|| {
            wrong("no folder for secrets was given").with_hint("give one with --secrets-dir DIR")
        })?;
        let relative = Path::new(name);
        if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(wrong("it must be a plain path below --secrets-dir"));
        }
        let (folder, path) = match (folder.canonicalize(), folder.join(relative).canonicalize()) {
            (Ok(folder), Ok(path)) => (folder, path),
            (Err(error), _) | (_, Err(error)) => return Err(wrong(&error.to_string())),
        };
        if !path.starts_with(&folder) {
            return Err(wrong("a symbolic link leads out of --secrets-dir"));
        }
        Ok(path)
    }

    fn file(&self, name: &str) -> Result<Option<Secret>, Trouble> {
        let wrong = |reason: &str| unusable(name, reason);
        let bytes =
            files::read(&self.path(name)?, Path::new(name)).map_err(|error| wrong(&error.to_string()))?;
        let bytes = Zeroizing::new(bytes);
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is not UTF-8 text"))?;
        // Editors and `echo` end a file with a line break that is no part of the secret.
        let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        Ok(Some(Secret::new(text.to_owned())))
    }
}

fn unusable(name: &str, reason: &str) -> Trouble {
    Trouble::new(TroubleKind::Refused, format!("reading secret_file {name}"), reason)
}

impl Secrets for FromOperator {
    fn secret(&self, password: &Password) -> Result<Option<Secret>, Trouble> {
        let secret = match password {
            Password::Env(name) => self.variables.get(name).cloned(),
            Password::SecretFile(name) => self.file(name)?,
            Password::Generate | Password::None => None,
        };
        match secret {
            Some(secret) if secret.expose().is_empty() => {
                let doing = format!("reading {password}");
                Err(Trouble::new(TroubleKind::Missing, doing, "it is empty, where a secret is expected"))
            }
            secret => Ok(secret),
        }
    }

    fn is_set(&self, password: &Password) -> Result<bool, Trouble> {
        match password {
            Password::Env(name) => Ok(self.variables.contains_key(name)),
            Password::SecretFile(name) => Ok(self.path(name)?.metadata().is_ok_and(|found| found.len() > 0)),
            Password::Generate | Password::None => Ok(false),
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test writes files")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder with a folder of secrets in it, beside a file that is none of them.
    fn operator() -> (tempfile::TempDir, FromOperator) {
        let folder = tempfile::tempdir().unwrap();
        let secrets = folder.path().join("secrets");
        std::fs::create_dir_all(secrets.join("a")).unwrap();
        std::fs::write(folder.path().join("outside"), "not yours").unwrap();
        (folder, FromOperator { variables: BTreeMap::new(), folder: Some(secrets) })
    }

    fn read(operator: &FromOperator, name: &str) -> Result<Option<String>, String> {
        let secret = operator.secret(&Password::SecretFile(name.to_owned()));
        let shown = |secret: Secret| secret.expose().to_owned();
        secret.map(|secret| secret.map(shown)).map_err(|trouble| trouble.to_string())
    }

    #[test]
    fn one_line_break_at_the_end_of_a_secret_file_is_no_part_of_the_secret() {
        let (folder, operator) = operator();
        for (written, secret) in [
            ("swordfish", "swordfish"),
            ("swordfish\n", "swordfish"),
            ("swordfish\r\n", "swordfish"),
            ("swordfish\n\n", "swordfish\n"),
            (" sword fish ", " sword fish "),
            ("swordfish\r", "swordfish\r"),
        ] {
            std::fs::write(folder.path().join("secrets/a/pfx"), written).unwrap();
            assert_eq!(read(&operator, "a/pfx"), Ok(Some(secret.to_owned())), "{written:?}");
        }
    }

    #[test]
    fn a_secret_file_is_a_plain_path_that_stays_below_the_folder() {
        let (folder, operator) = operator();
        let secrets = folder.path().join("secrets");
        std::fs::write(secrets.join("b"), "swordfish").unwrap();
        for name in ["../outside", "a/../b", "a/../../outside", "./b", "/etc/hostname", "", "."] {
            let error = read(&operator, name).unwrap_err();
            let refused = error.contains("it must be a plain path below --secrets-dir")
                || (name.is_empty() && error.contains("not a regular file"));
            assert!(refused, "{name:?}: {error}");
        }
        symlink("../outside", secrets.join("leads-out")).unwrap();
        symlink("..", secrets.join("folder-out")).unwrap();
        for name in ["leads-out", "folder-out/outside"] {
            let error = read(&operator, name).unwrap_err();
            assert!(error.contains("a symbolic link leads out of --secrets-dir"), "{name}: {error}");
        }
        // As Kubernetes mounts them: a link to what is below the folder.
        symlink("../b", secrets.join("a/stays")).unwrap();
        assert_eq!(read(&operator, "a/stays"), Ok(Some("swordfish".to_owned())));
    }

    #[test]
    fn a_source_that_is_there_and_empty_is_told_apart_from_one_that_is_not_set() {
        let (folder, mut operator) = operator();
        let variable = |operator: &FromOperator, name: &str| {
            let secret = operator.secret(&Password::Env(name.to_owned()));
            secret.map(|secret| secret.is_some()).map_err(|trouble| trouble.to_string())
        };
        assert_eq!(variable(&operator, "CERTROLL_SECRET_NONE"), Ok(false));
        operator.variables.insert("CERTROLL_SECRET_EMPTY".into(), Secret::new(String::new()));
        let error = variable(&operator, "CERTROLL_SECRET_EMPTY").unwrap_err();
        assert!(error.contains("env CERTROLL_SECRET_EMPTY: it is empty"), "{error}");
        std::fs::write(folder.path().join("secrets/b"), b"\n").unwrap();
        assert!(read(&operator, "b").unwrap_err().contains("secret_file b: it is empty"));
    }

    #[test]
    fn a_secret_file_that_cannot_be_read_is_told_by_name_and_never_quoted() {
        let (folder, operator) = operator();
        let error = read(&operator, "missing").unwrap_err();
        assert!(error.contains("reading secret_file missing") && error.contains("No such file"), "{error}");
        assert!(read(&operator, "a").unwrap_err().contains("it is not a regular file"));
        std::fs::write(folder.path().join("secrets/b"), b"swordfish\xFF").unwrap();
        let error = read(&operator, "b").unwrap_err();
        assert!(error.contains("it is not UTF-8 text") && !error.contains("swordfish"), "{error}");
        let gone = FromOperator { folder: Some(folder.path().join("nowhere")), ..operator };
        assert!(read(&gone, "b").unwrap_err().contains("No such file"));
        let none = FromOperator { folder: None, ..gone };
        let trouble = none.secret(&Password::SecretFile("b".to_owned())).unwrap_err();
        assert!(trouble.to_string().contains("no folder for secrets was given"), "{trouble}");
        assert_eq!(trouble.to_try(), "give one with --secrets-dir DIR");
    }
}
