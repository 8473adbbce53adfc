//! What became of a run: of each step, of each certificate, of the whole. Only *proven* is ever called rotated.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::edges::Trouble;
use crate::ids::{Address, KeyId, Thumbprint, Thumbprints};
use crate::plan::PlannedTarget;
use crate::plan::step::Step;

/// What a step showed, without any secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// The credential's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KeyId>,
    /// The generation's thumbprints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbprints: Option<Thumbprints>,
    /// Start of the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// End of the credential, or of the certificate that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    /// Equal reads in a row that showed the result.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub read_backs: u32,
    /// Correlation ids of the sign-ins in a row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub correlation_ids: Vec<String>,
    /// Writes it took, when more than one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub writes: u32,
    /// Expired credentials of others that the file allowed to drop and that were dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<KeyId>,
    /// Credentials of others that somebody took away while we wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disappeared: Vec<KeyId>,
    /// A delivery place's change marker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<String>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A step that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    /// Whether there was nothing left to do.
    pub(crate) already: bool,
    /// What it showed.
    pub(crate) shown: Shown,
}

impl Done {
    pub(crate) fn now(shown: Shown) -> Done {
        Done { already: false, shown }
    }

    pub(crate) fn already(shown: Shown) -> Done {
        Done { already: true, shown }
    }
}

/// Why a chain stops before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    NotYet(Trouble),
    PublishedNotProven(Trouble),
    Waiting(String),
    Blocked(Trouble),
    Refused(String),
    Failed(Trouble),
    Interrupted(String),
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Stop {
        Stop::Failed(trouble)
    }
}

/// What became of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum StepOutcome {
    /// Carried out.
    Done {
        /// What it showed.
        shown: Shown,
    },
    /// Nothing was left to do.
    AlreadyDone {
        /// What it showed.
        shown: Shown,
    },
    /// Begun, and true soon: the next run continues.
    NotYet {
        /// What is not true yet.
        trouble: Trouble,
    },
    /// Failed.
    Failed {
        /// Why.
        trouble: Trouble,
    },
    /// Interrupted while it ran.
    Interrupted,
    /// Not in the reviewed plan, or a safety rule forbids it: not begun.
    Refused {
        /// Which rule.
        reason: String,
    },
    /// Not begun, because an earlier step of the chain did not end well.
    NotBegun,
}

/// One step with its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepReport {
    /// What was to be done.
    pub step: Step,
    /// When it began; none if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: StepOutcome,
}

/// What became of one certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Several sign-ins in a row succeeded with the generation that was published.
    Proven {
        /// Whether it was also made current, and not as a rollback: only then is the certificate called rotated.
        rotated: bool,
    },
    /// The credential is there and nobody has signed in with it.
    PublishedNotProven {
        /// Why.
        reason: String,
        /// Whether the file asks for no more (`prove: read_back`).
        as_declared: bool,
    },
    /// On its way; the next run continues.
    NotYet {
        /// What is not true yet.
        trouble: Trouble,
    },
    /// Its time has not come, or a person or provider is waited for.
    Waiting {
        /// For what.
        reason: String,
    },
    /// Nothing can be done until somebody acts.
    Blocked {
        /// Why, and who can help.
        trouble: Trouble,
    },
    /// A step failed.
    Failed {
        /// Why.
        trouble: Trouble,
    },
    /// Steps were not reviewed, or may not be carried out.
    Refused {
        /// Which, and why.
        reason: String,
    },
    /// The run was stopped.
    Interrupted {
        /// What remains.
        remains: String,
    },
    /// All steps were carried out; none of them was a rotation.
    Done,
    /// There were no steps, and nothing that is blocked or waited for.
    NothingToDo,
}

impl Outcome {
    /// The word for it, as events, summary and receipt show it.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Proven { rotated: true } => "rotated, proven",
            Outcome::Proven { rotated: false } => "proven",
            Outcome::PublishedNotProven { .. } => "published, not proven",
            Outcome::NotYet { .. } => "not yet",
            Outcome::Waiting { .. } => "waiting",
            Outcome::Blocked { .. } => "blocked",
            Outcome::Failed { .. } => "failed",
            Outcome::Refused { .. } => "refused",
            Outcome::Interrupted { .. } => "interrupted",
            Outcome::Done => "done",
            Outcome::NothingToDo => "nothing to do",
        }
    }
}

/// One certificate with its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateReport {
    /// `tenant/name`.
    pub address: Address,
    /// The object, where it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<PlannedTarget>,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Its steps, in order.
    pub steps: Vec<StepReport>,
}

impl CertificateReport {
    /// Whether anything was changed.
    pub fn changed_anything(&self) -> bool {
        self.steps.iter().any(|step| {
            let asks = matches!(step.step, Step::Prove { .. } | Step::Settle { .. });
            !asks && matches!(step.outcome, StepOutcome::Done { .. })
        })
    }
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whether it was about an emulated tenant.
    pub emulator: bool,
    /// Whether it was asked to stop.
    pub interrupted: bool,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// By address, sorted.
    pub certificates: Vec<CertificateReport>,
    /// Whether the object or the store of any of them could not be read: nothing was planned for it.
    pub unread: bool,
    /// Whether `--replace` or `--rollback` asks for what the plan cannot do.
    pub denied: bool,
    /// By certificate: what `--revoke-previous` is about and `revoked:` of the file does not name yet.
    pub to_commit: BTreeMap<Address, Thumbprint>,
}

/// How a run ended as a whole; each has one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything that was planned is done: 0.
    Fine,
    /// Something failed and nothing was done: 1.
    Error,
    /// Something was refused: 4.
    Refused,
    /// Applied in part, or not yet: 5.
    InPart,
    /// Interrupted: 130.
    Interrupted,
}

impl Ending {
    /// The exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Ending::Fine => 0,
            Ending::Error => 1,
            Ending::Refused => 4,
            Ending::InPart => 5,
            Ending::Interrupted => 130,
        }
    }
}

impl Report {
    /// Whether a step was refused: not reviewed, forbidden by a rule, or reviewed and not possible any more.
    fn refused_something(&self) -> bool {
        self.certificates.iter().any(|certificate| {
            let is_refused = |step: &StepReport| matches!(step.outcome, StepOutcome::Refused { .. });
            certificate.steps.iter().any(is_refused)
                || (matches!(certificate.outcome, Outcome::Refused { .. }) && !certificate.steps.is_empty())
        })
    }

    /// How the run ended. An interruption comes before everything; then in the order of the exit codes' precedence.
    pub fn ending(&self) -> Ending {
        // A run answers for the steps it was given. What is blocked or waited for without any is the plan's to tell.
        let any = |test: fn(&Outcome) -> bool| {
            self.certificates.iter().any(|one| !one.steps.is_empty() && test(&one.outcome))
        };
        let failed =
            self.unread || any(|outcome| matches!(outcome, Outcome::Failed { .. } | Outcome::Blocked { .. }));
        let unfinished = any(|outcome| match outcome {
            Outcome::NotYet { .. } | Outcome::Waiting { .. } => true,
            Outcome::PublishedNotProven { as_declared, .. } => !as_declared,
            _ => false,
        });
        let changed = self.certificates.iter().any(CertificateReport::changed_anything);
        if self.interrupted && any(|outcome| matches!(outcome, Outcome::Interrupted { .. })) {
            Ending::Interrupted
        } else if failed && !changed && !unfinished {
            Ending::Error
        } else if self.denied || self.refused_something() {
            Ending::Refused
        } else if failed || unfinished {
            Ending::InPart
        } else {
            Ending::Fine
        }
    }
}

impl Stop {
    /// The outcome in a word, the reason, and what to try.
    pub(crate) fn words(&self) -> (String, String, Option<String>) {
        let (word, reason, hint) = match self {
            Stop::NotYet(trouble) => ("not yet", trouble.to_string(), trouble.hint.clone()),
            Stop::PublishedNotProven(trouble) => {
                ("published, not proven", trouble.to_string(), trouble.hint.clone())
            }
            Stop::Waiting(reason) => ("waiting", reason.clone(), None),
            Stop::Blocked(trouble) => ("blocked", trouble.to_string(), trouble.hint.clone()),
            Stop::Refused(reason) => ("refused", reason.clone(), None),
            Stop::Failed(trouble) => ("failed", trouble.to_string(), trouble.hint.clone()),
            Stop::Interrupted(reason) => ("interrupted", reason.clone(), None),
        };
        (word.to_owned(), reason, hint)
    }

    /// What became of the step that stopped the chain.
    pub(crate) fn step_outcome(&self) -> StepOutcome {
        match self {
            Stop::NotYet(trouble) | Stop::PublishedNotProven(trouble) => {
                StepOutcome::NotYet { trouble: trouble.clone() }
            }
            Stop::Blocked(trouble) | Stop::Failed(trouble) => {
                StepOutcome::Failed { trouble: trouble.clone() }
            }
            Stop::Waiting(_) => StepOutcome::NotBegun,
            Stop::Refused(reason) => StepOutcome::Refused { reason: reason.clone() },
            Stop::Interrupted(_) => StepOutcome::Interrupted,
        }
    }
}
