//! What went wrong between us and the directory, doing what, and what to try. Nothing here ever holds a secret.

use std::fmt;
use std::ops::{Deref, DerefMut};

use jiff::SignedDuration;
use reqwest::Url;

use crate::net::printable;

/// What kind of trouble. The kinds are never mixed: each calls for another action by another person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// No usable answer came: name, connection, TLS, time-out.
    Network,
    /// The service does not know who we are.
    Authentication,
    /// It knows us, and we may not.
    Authorisation,
    /// Too many requests.
    Throttled,
    /// True soon, not now: something new has not spread yet.
    NotYet,
    /// The object does not exist.
    NotFound,
    /// Somebody else is writing.
    Conflict,
    /// The service refuses what was asked.
    Refused(Refusal),
    /// The service itself is in trouble (5xx).
    Unavailable,
    /// The answer makes no sense, or would have led somewhere it must not.
    InvalidAnswer,
    /// The settings make no sense; nothing was sent.
    Settings,
}

/// Why the service refuses a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// An app management policy forbids the credential.
    Policy,
    /// The service principal is locked by its application.
    Locked,
    /// A credential's end date is not accepted. Possibly that of an expired entry we only sent back.
    EndDate,
    /// An entry we sent back is taken for a change.
    RetainedEntryChanged,
    /// The object holds too much.
    TooLarge,
    /// Anything else that is wrong with the request.
    Invalid,
}

/// What failed. Its facts are the fields of [`Facts`], boxed to keep results small.
#[derive(Clone, PartialEq, Eq)]
pub struct EntraError(Box<Facts>);

/// The facts of an [`EntraError`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What kind of trouble.
    pub kind: ErrorKind,
    /// A gerund and a name: `reading application 5c1d…`.
    pub doing: String,
    /// HTTP status, when an answer came.
    pub status: Option<u16>,
    /// The service's own code: `Authorization_RequestDenied`, `AADSTS7000215`.
    pub code: Option<String>,
    /// The service's text, or the network's, made safe to print and cut to a sane length.
    pub message: String,
    /// The service's id of this request, for its support.
    pub request_id: Option<String>,
    /// What to try.
    pub hint: Option<String>,
    /// The least permission that would have sufficed.
    pub least_permission: Option<&'static str>,
    /// How long the service asked us to stay away.
    pub retry_after: Option<SignedDuration>,
    /// Host and path that were asked.
    pub endpoint: Option<String>,
    /// How often it was asked, this answer being the last.
    pub tries: u32,
}

impl EntraError {
    /// An error of that kind; everything else is added with the `with_…` calls.
    pub fn new(kind: ErrorKind, doing: impl Into<String>, message: &str) -> EntraError {
        EntraError(Box::new(Facts {
            kind,
            doing: doing.into(),
            status: None,
            code: None,
            message: printable(message),
            request_id: None,
            hint: None,
            least_permission: None,
            retry_after: None,
            endpoint: None,
            tries: 1,
        }))
    }

    /// Adds what to try.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> EntraError {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the service's code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> EntraError {
        self.code = Some(code.into());
        self
    }

    /// Adds who was asked: host and path.
    #[must_use]
    pub(super) fn answered_by(mut self, url: &Url) -> EntraError {
        self.endpoint = Some(printable(&format!("{}{}", url.host_str().unwrap_or_default(), url.path())));
        self
    }

    /// The service's text. Throttled, it says little: then also by whom, after how many tries, and until when.
    pub fn reason(&self) -> String {
        if self.kind != ErrorKind::Throttled {
            return self.message.clone();
        }
        let by = self.endpoint.as_deref().map(|endpoint| format!(" by {endpoint}")).unwrap_or_default();
        let tries = if self.tries == 1 { "1 try".to_owned() } else { format!("{} tries", self.tries) };
        let pause = self.retry_after.map(|pause| format!(", asked to wait {} s", pause.as_secs()));
        format!("throttled{by} after {tries}{}: {}", pause.unwrap_or_default(), self.message)
    }

    /// The code, or an empty text.
    pub fn code(&self) -> &str {
        self.code.as_deref().unwrap_or_default()
    }
}

impl Deref for EntraError {
    type Target = Facts;
    fn deref(&self) -> &Facts {
        &self.0
    }
}

impl DerefMut for EntraError {
    fn deref_mut(&mut self) -> &mut Facts {
        &mut self.0
    }
}

impl fmt::Display for EntraError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.doing)?;
        if let Some(status) = self.status {
            write!(f, "the service answered {status}")?;
            if let Some(code) = &self.code {
                write!(f, " {code}")?;
            }
            if let Some(id) = &self.request_id {
                write!(f, " (request {id})")?;
            }
            f.write_str(": ")?;
        } else if let Some(code) = &self.code {
            write!(f, "{code}: ")?;
        }
        f.write_str(&self.reason())?;
        if let Some(least) = self.least_permission {
            write!(f, " (least permission: {least})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for EntraError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntraError({:?}, {self})", self.kind)
    }
}

impl std::error::Error for EntraError {}
