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
        let named = world.env.iter().filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty());
        FromOperator {
            variables: named.map(|(name, value)| (name.clone(), Secret::new(value.clone()))).collect(),
            folder: global.secrets_dir.as_ref().map(|folder| world.path(folder)),
        }
    }

    fn file(&self, name: &str) -> Result<Option<Secret>, Trouble> {
        let doing = || format!("reading secret_file {name}");
        let wrong = |reason: &str| Trouble::new(TroubleKind::Refused, doing(), reason);
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
        let bytes = files::read(&path, relative).map_err(|error| wrong(&error.to_string()))?;
        let bytes = Zeroizing::new(bytes);
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is not UTF-8 text"))?;
        // Editors and `echo` end a file with a line break that is no part of the secret.
        let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        Ok((!text.is_empty()).then(|| Secret::new(text.to_owned())))
    }
}

impl Secrets for FromOperator {
    fn secret(&self, password: &Password) -> Result<Option<Secret>, Trouble> {
        match password {
            Password::Env(name) => Ok(self.variables.get(name).cloned()),
            Password::SecretFile(name) => self.file(name),
            Password::Generate | Password::None => Ok(None),
        }
    }
}
