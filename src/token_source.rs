//! A secret of the operator's, or the file it is read from at each use because it is replaced while we run.

use crate::edges::{Trouble, TroubleKind};
use crate::key::Secret;

/// Largest file read, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// Where a token comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// The secret itself.
    Given(Secret),
    /// A file.
    File(String),
}

impl Source {
    /// The secret as it is now. The error never quotes the file's content.
    #[allow(clippy::disallowed_methods, reason = "reads the operator's own token file")]
    pub(crate) fn read(&self) -> Result<Secret, Trouble> {
        let path = match self {
            Source::Given(secret) => return Ok(secret.clone()),
            Source::File(path) => path,
        };
        let unusable = |reason: &str| {
            Trouble::new(TroubleKind::Authentication, format!("reading the token file {path}"), reason)
        };
        let facts = std::fs::metadata(path).map_err(|error| unusable(&error.to_string()))?;
        if !facts.is_file() || facts.len() > FILE_MAX {
            return Err(unusable("it is no file of at most 1 MiB"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unusable(&error.to_string()))?;
        let text = zeroize::Zeroizing::new(text);
        let token = text.trim();
        let usable = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        if usable { Ok(Secret::new(token.to_owned())) } else { Err(unusable("it holds no token")) }
    }
}
