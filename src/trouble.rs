//! What failed at an edge, as a value: which kind, doing what, and what to try.

use std::fmt;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of trouble. The kinds are never mixed: each calls for another action by another person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// No usable answer came.
    Network,
    /// The service does not know who we are.
    Authentication,
    /// It knows us, and we may not.
    Authorisation,
    /// Too many requests.
    Throttled,
    /// True soon, not now: something new has not spread yet.
    NotYet,
    /// What the plan counted on is not there.
    Missing,
    /// Somebody else is writing, or wrote.
    Conflict,
    /// The directory refuses an end date; possibly that of an expired entry that was only sent back.
    EndDate,
    /// The directory takes an entry that was sent back for a change: our reading is older than its contents.
    StaleEntry,
    /// The service or a safety rule of ours refuses what was asked.
    Refused,
    /// The service itself is in trouble.
    Unavailable,
    /// What came back makes no sense.
    Invalid,
    /// What is there cannot do this.
    Unsupported,
    /// The plan asks for something that does not fit the declaration. A fault of certroll.
    Internal,
}

/// What failed, doing what, and what to try. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trouble {
    /// What kind.
    pub kind: TroubleKind,
    /// A gerund and a name: `adding a credential to application 5c1d…`.
    pub doing: String,
    /// The reason.
    pub reason: String,
    /// The service's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Box<str>>,
    /// The service's id of the request, for its support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Box<str>>,
    /// What to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// How long the service asked us to stay away, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
}

impl Trouble {
    /// Trouble of that kind, without code, request id and hint.
    pub fn new(kind: TroubleKind, doing: impl Into<String>, reason: impl Into<String>) -> Trouble {
        Trouble {
            kind,
            doing: doing.into(),
            reason: reason.into(),
            code: None,
            request_id: None,
            hint: None,
            retry_after_seconds: None,
        }
    }

    /// With what to try.
    pub fn with_hint(self, hint: impl Into<String>) -> Trouble {
        Trouble { hint: Some(hint.into()), ..self }
    }

    /// How long the service asked us to stay away.
    pub fn retry_after(&self) -> Option<SignedDuration> {
        self.retry_after_seconds.map(|seconds| SignedDuration::from_secs(i64::from(seconds)))
    }

    /// The trouble of the last of several tries.
    pub(crate) fn after_tries(self, tries: u32) -> Trouble {
        Trouble { reason: format!("{} (given up after {tries} tries)", self.reason), ..self }
    }

    /// What to try: the hint, or else what helps against trouble of this kind.
    pub fn to_try(&self) -> &str {
        self.hint.as_deref().unwrap_or(match self.kind {
            TroubleKind::Network => {
                "check that this machine reaches the service: name, route, proxy, certificate authority; then run again"
            }
            TroubleKind::Authentication => {
                "check certroll's own sign-in: client id, tenant, and the secret, certificate or token it signs in with"
            }
            TroubleKind::Authorisation => "have certroll's own application granted what it lacks here, then run again",
            TroubleKind::Throttled => "wait a while and run again, with a lower --parallelism if it comes back",
            TroubleKind::NotYet | TroubleKind::Unavailable => "the trouble is the service's: run again later",
            TroubleKind::Invalid => {
                "look at what answers at that address: a proxy or login page in between, or the wrong host"
            }
            TroubleKind::Conflict | TroubleKind::StaleEntry => "another writer is at work: run again shortly",
            TroubleKind::Missing | TroubleKind::EndDate | TroubleKind::Refused | TroubleKind::Unsupported => {
                "correct that and run again"
            }
            TroubleKind::Internal => "this is a fault of certroll: please report it",
        })
    }

    /// Whether the same request may well succeed a little later.
    pub fn is_passing(&self) -> bool {
        use TroubleKind::{Conflict, Network, NotYet, Throttled, Unavailable};
        matches!(self.kind, Network | Throttled | NotYet | Conflict | Unavailable)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.reason)?;
        match (&self.code, &self.request_id) {
            (Some(code), Some(request)) => write!(f, " ({code}, request {request})"),
            (Some(code), None) => write!(f, " ({code})"),
            (None, Some(request)) => write!(f, " (request {request})"),
            (None, None) => Ok(()),
        }
    }
}

impl std::error::Error for Trouble {}
