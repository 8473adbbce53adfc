//! The troubles the emulator can be told to make. Each counts requests, never rolls dice, so that a failure
//! replays exactly. Counting starts anew whenever faults are set.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Which troubles to make. None by default.
///
/// The JSON form (a file for `--faults`, the body of `/_emulator/faults`) has the fields below. A missing field
/// means no such trouble; an unknown one is an error, so that a misspelt switch is never taken for calm.
///
/// ```json
/// { "stale_reads": { "reads": 3, "replicas": 2 },
///   "token_propagation": { "seconds": 90, "front_ends": 3, "removals": true },
///   "lost_answers": [ { "write": 2, "happened": true } ],
///   "rival_writes": [ { "before_write": 1, "change": "adds" } ],
///   "dropped_writes": { "which": "nth", "nth": 4 },
///   "throttled": { "every": 7, "retry_after_seconds": 10 },
///   "conflicts": { "every": 5 },
///   "unavailable": { "every": 9, "status": 503 },
///   "token": { "unavailable_every": 4 } }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Reads after a write still show what was there before.
    pub stale_reads: Option<StaleReads>,
    /// Sign-in learns of new credentials late.
    pub token_propagation: Option<TokenPropagation>,
    /// Writes whose answer never arrives.
    pub lost_answers: Vec<LostAnswer>,
    /// Somebody else changes the object just before a write.
    pub rival_writes: Vec<RivalWrite>,
    /// Updates that are answered with success and do nothing.
    pub dropped_writes: Option<DroppedWrites>,
    /// Graph requests refused with 429.
    pub throttled: Option<Throttled>,
    /// Graph writes refused with 409 `Directory_ConcurrencyViolation`, every `n`th.
    pub conflicts: Option<Every>,
    /// Graph requests answered with a 5xx, every `n`th.
    pub unavailable: Option<Unavailable>,
    /// Requests that never arrive and are never answered, every `n`th of all.
    pub connection_refused: Option<Every>,
    /// How far the `Date` header is off, in seconds; negative is behind.
    pub date_skew_seconds: i64,
    /// How long the server waits before each answer, in milliseconds. In process nobody waits.
    pub latency_ms: u64,
    /// Enforce the documented limits: 150 credential-selecting requests a minute and tenant, resource units,
    /// 3,000 writes in 150 seconds.
    pub documented_throttling: bool,
    /// Troubles of the token endpoint.
    pub token: TokenFaults,
}

/// Several replicas answer reads in turn, each catching up at its own pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaleReads {
    /// For how many reads of one object, after a write to it, the slowest replica shows the old state; not longer than 15 minutes.
    pub reads: u32,
    /// How many replicas there are, at least 1. Replica `k` of `n` lags `reads * k / (n - 1)` of its own
    /// reads, so with several the first one is never behind and reads swing between new and old.
    #[serde(default = "one")]
    pub replicas: u32,
}

impl StaleReads {
    /// How many of its own reads replica `index` (from 0) is behind after a write.
    pub(crate) fn lag(self, index: u32) -> u32 {
        match self.replicas {
            0 | 1 => self.reads,
            n => {
                u32::try_from(u64::from(self.reads) * u64::from(index) / u64::from(n - 1)).unwrap_or(u32::MAX)
            }
        }
    }
}

/// Several login front ends answer in turn, each learning of changes at its own pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenPropagation {
    /// After how many seconds of emulator time the slowest front end knows of a change.
    pub seconds: u32,
    /// How many front ends there are, at least 1. Front end `k` (from 1) of `n` knows after `seconds * k / n`.
    #[serde(default = "one")]
    pub front_ends: u32,
    /// Removed credentials go on working for as long as new ones take to work.
    #[serde(default)]
    pub removals: bool,
}

/// One write whose answer never arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LostAnswer {
    /// Which Graph write, counting from 1.
    pub write: u64,
    /// Whether the write took effect all the same.
    pub happened: bool,
}

/// One change by somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RivalWrite {
    /// Before which Graph write, counting from 1, and on the same object.
    pub before_write: u64,
    /// What the other one does.
    pub change: RivalChange,
}

/// What the rival does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RivalChange {
    /// Adds a certificate of its own.
    Adds,
    /// Removes the first certificate in the list.
    RemovesFirst,
    /// Removes the last certificate in the list.
    RemovesLast,
}

/// Updates that answer 204 and change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DroppedWrites {
    /// Which updates are dropped.
    pub which: Which,
    /// With `nth`: which Graph write, counting from 1.
    #[serde(default)]
    pub nth: Option<u64>,
    /// Only updates of the object with this object id or app id.
    #[serde(default)]
    pub application: Option<Uuid>,
}

/// Which updates a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// All of them.
    All,
    /// Those that add a credential.
    Adds,
    /// The one whose number `nth` gives.
    Nth,
}

/// Refusals with 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throttled {
    /// Every how many Graph requests; 1 refuses all of them.
    pub every: u32,
    /// The value of `Retry-After` in seconds; without it the header is left out.
    #[serde(default)]
    pub retry_after_seconds: Option<u32>,
}

/// A trouble that strikes every so many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Every {
    /// Every how many requests; 1 strikes all of them.
    pub every: u32,
}

/// Answers with a status of the server's own fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unavailable {
    /// Every how many Graph requests.
    pub every: u32,
    /// 500 to 599.
    #[serde(default = "service_unavailable")]
    pub status: u16,
    /// The work was done before the answer went wrong.
    #[serde(default)]
    pub happened: bool,
}

/// Troubles of the token endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenFaults {
    /// Every how many token requests a policy blocks the sign-in (53003).
    pub conditional_access_every: Option<u32>,
    /// Every how many token requests the service answers 503 without a body of its own.
    pub unavailable_every: Option<u32>,
    /// Every how many token requests the service says it is busy (90033).
    pub busy_every: Option<u32>,
    /// Every how many token requests are refused with 429.
    pub throttled_every: Option<u32>,
}

/// Whether a trouble of period `every` strikes the request with this number (from 1).
pub(crate) fn strikes(every: Option<u32>, number: u64) -> bool {
    every.is_some_and(|every| every > 0 && number.is_multiple_of(u64::from(every)))
}

fn one() -> u32 {
    1
}

fn service_unavailable() -> u16 {
    503
}
