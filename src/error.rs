//! What went wrong, doing what, and what to try: the errors a command ends with.

use std::error::Error as StdError;
use std::fmt;

/// What kind of trouble. Each kind has one heading and one way to end; they are never mixed, because what to do about
/// them differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The command line.
    Usage,
    /// The declaration, a plan file or another input.
    Input,
    /// The plan is stale, unsafe or beyond a limit, and was refused.
    Refused,
    /// Nothing could be reached.
    Network,
    /// certroll itself could not sign in.
    Authentication,
    /// certroll is signed in and may not.
    Authorisation,
    /// A service asks to slow down.
    Throttled,
    /// A service answered, and the answer was no or made no sense.
    Service,
    /// A store or delivery place.
    Store,
    /// A file or stream of this machine.
    Local,
    /// A signal.
    Interrupted,
    /// A fault in certroll.
    Internal,
}

/// What failed, doing what, and what to try. Holds no secret.
#[derive(Debug)]
pub struct Error {
    /// The kind, and with that the exit code.
    pub kind: Kind,
    /// A gerund and a name: `reading examples/quickstart`.
    pub doing: String,
    /// The reasons, outermost first.
    pub causes: Vec<String>,
    /// What to try, most promising first.
    pub hints: Vec<String>,
}

impl Error {
    /// An error without causes and hints.
    pub fn new(kind: Kind, doing: impl Into<String>) -> Error {
        Error { kind, doing: doing.into(), causes: Vec::new(), hints: Vec::new() }
    }

    /// With one reason in words.
    pub fn because(mut self, reason: impl fmt::Display) -> Error {
        self.causes.push(reason.to_string());
        self
    }

    /// With an error and everything under it as reasons. Repeated texts are said once: many libraries print their
    /// source in their own text.
    pub fn caused_by(mut self, error: &(dyn StdError + 'static)) -> Error {
        let mut next = Some(error);
        while let Some(cause) = next {
            let words = cause.to_string();
            if !self.causes.iter().any(|known| known.contains(&words)) {
                self.causes.push(words);
            }
            next = cause.source();
        }
        self
    }

    /// With something to try.
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl StdError for Error {}
