//! Why a step is planned, and why something is not: the reasons, as values, and their words.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{Address, Sha1};
use crate::plan::step::Step;

fn day(moment: &Timestamp) -> jiff::fmt::strtime::Display<'static> {
    moment.strftime("%Y-%m-%d")
}

/// Why a step is in the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "reason", rename_all = "snake_case", deny_unknown_fields)]
pub enum Because {
    /// There is nothing anywhere.
    NothingYet,
    /// What is on the target has no key in the store.
    NoKeyHere,
    /// It reached its rotation date.
    Due {
        /// That date.
        due: Timestamp,
        /// When the current one ends.
        ends: Timestamp,
    },
    /// It has expired.
    Expired {
        /// When.
        ended: Timestamp,
    },
    /// The file asks for another key, subject, issuer or store form.
    Differs {
        /// What: `key`, `subject`, `issuer`, `form`, `target`.
        what: String,
        /// As it is.
        is: String,
        /// As declared.
        declared: String,
    },
    /// The current one is listed under `revoked:`.
    Revoked,
    /// `--replace` names it.
    Replace,
    /// `--revoke-previous` was given.
    RevokePrevious,
    /// `--rollback` was given.
    Rollback,
    /// What consumers read was rolled back from.
    RejectedIsCurrent,
    /// An earlier run stopped on the way.
    Resumed,
    /// The current one is missing from the target.
    MissingFromTarget,
    /// A provider's file is declared and not on the target.
    Declared,
    /// Its rotation begins here.
    PartOfRotation,
    /// Something is removed only after the current one has signed in during the same run.
    BeforeRemoval,
    /// Its successor is in use and the overlap is over.
    OverlapOver {
        /// Since when.
        since: Timestamp,
    },
    /// It has expired and its successor works.
    ExpiredPredecessor,
    /// The provider or product confirmed the newer one.
    Acknowledged,
    /// A `removed:` entry asks for it.
    Removed,
    /// It fits the declaration no longer.
    NoLongerFits,
    /// Its promotion is known only from what consumers read.
    PromotionUnknown,
    /// It was promoted before its proof, and the proof is still missing.
    NotProvenYet,
    /// It was published again, and has not signed in since.
    RepairNotProven,
    /// `adopt:` names it.
    Adopted,
    /// The delivery place holds something else, or nobody knows.
    DeliveryDiffers,
    /// More retired keys are kept than `keep_retired` says.
    BeyondKeepRetired {
        /// The declared number.
        keep: u32,
    },
}

impl Because {
    /// The words beside that step: what is retired need not be the current one any more.
    pub fn of(&self, step: &Step) -> String {
        match (self, step) {
            (Because::Revoked, Step::Retire { .. }) => "the file lists it under revoked".to_owned(),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Because::NothingYet => f.write_str("there is nothing yet, neither here nor in Entra"),
            Because::NoKeyHere => f.write_str("no store of ours holds the key of what is on the target"),
            Because::Due { due, ends } => {
                write!(f, "its rotation was due on {}; the current one ends on {}", day(due), day(ends))
            }
            Because::Expired { ended } => write!(f, "the current one expired on {}", day(ended)),
            Because::Differs { what, is, declared } => {
                write!(f, "its {what} is {is} and the file says {declared}")
            }
            Because::Revoked => f.write_str("the file lists the current one under revoked"),
            Because::Replace => f.write_str("--replace names the current one"),
            Because::RevokePrevious => f.write_str("--revoke-previous was given"),
            Because::Rollback => f.write_str("--rollback was given"),
            Because::RejectedIsCurrent => {
                f.write_str("consumers read a generation that was rolled back from")
            }
            Because::Resumed => f.write_str("an earlier run stopped on the way"),
            Because::MissingFromTarget => f.write_str("consumers read it and Entra does not have it"),
            Because::Declared => f.write_str("the file lists it and the target does not have it"),
            Because::PartOfRotation => f.write_str("part of the rotation"),
            Because::BeforeRemoval => f.write_str("nothing is removed unless this works in the same run"),
            Because::OverlapOver { since } => {
                write!(f, "its successor is in use and the overlap ended on {}", day(since))
            }
            Because::ExpiredPredecessor => f.write_str("it has expired and its successor works"),
            Because::Acknowledged => f.write_str("the newer one was acknowledged and the overlap is over"),
            Because::Removed => f.write_str("a removed entry asks for it"),
            Because::NoLongerFits => f.write_str("it no longer fits the declaration"),
            Because::PromotionUnknown => {
                f.write_str("an earlier run stopped between promoting and recording")
            }
            Because::NotProvenYet => {
                f.write_str("it was promoted before its proof, and that is still missing")
            }
            Because::RepairNotProven => f.write_str("it was published again, and has not signed in since"),
            Because::Adopted => f.write_str("the file adopts it"),
            Because::DeliveryDiffers => f.write_str("the place holds something else or cannot say"),
            Because::BeyondKeepRetired { keep } => {
                write!(f, "keep_retired is {keep} and newer retired keys are kept")
            }
        }
    }
}

/// Something the plan tells and does not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// How it counts.
    pub kind: NoteKind,
    /// What it is about: a thumbprint's first digits, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<Sha1>,
    /// When it changes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The words.
    pub text: String,
    /// What to try, or who can help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether what is waited for should have happened by now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overdue: bool,
}

/// How a note counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// Nothing can be done until somebody acts.
    Blocked,
    /// A person or provider is waited for.
    Waiting,
    /// Time is waited for.
    Later,
    /// Worth knowing.
    Warning,
    /// What a person does next.
    HandOff,
    /// For completeness.
    Info,
}

impl Note {
    /// Nothing can be done until somebody acts.
    pub fn blocked(text: impl Into<String>, hint: impl Into<String>) -> Note {
        Note::new(NoteKind::Blocked, text).with_hint(hint)
    }

    /// A note without date, subject or hint.
    pub fn new(kind: NoteKind, text: impl Into<String>) -> Note {
        Note { kind, about: None, at: None, text: text.into(), hint: None, overdue: false }
    }

    /// With a hint.
    pub fn with_hint(self, hint: impl Into<String>) -> Note {
        Note { hint: Some(hint.into()), ..self }
    }

    /// Waiting for what should have happened by now, or not.
    pub fn overdue(self, overdue: bool) -> Note {
        Note { overdue, ..self }
    }

    /// With the moment at which it changes.
    pub fn at(self, moment: Timestamp) -> Note {
        Note { at: Some(moment), ..self }
    }

    /// About that credential.
    pub fn about(self, sha1: Sha1) -> Note {
        Note { about: Some(sha1), ..self }
    }
}

/// A budget that the plan exceeds, or a clock that cannot be trusted: the whole plan is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "refusal", rename_all = "snake_case", deny_unknown_fields)]
pub enum Refusal {
    /// Too many would be issued or retired.
    Budget {
        /// `max_issue` or `max_retire`.
        setting: String,
        /// The tenant.
        tenant: crate::ids::Name,
        /// How many the plan has.
        value: usize,
        /// How many are allowed.
        limit: usize,
        /// The setting's value, or that a flag stands in its place.
        declared: String,
    },
    /// Our clock and the service's differ too much.
    Clock {
        /// The tenant.
        tenant: crate::ids::Name,
        /// Service time minus ours, in seconds.
        seconds: i64,
    },
    /// The plan was made for another moment.
    OtherTime,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Budget { setting, tenant, value, limit, declared } => {
                let what = if setting == "max_issue" { "issue" } else { "retire" };
                let flag = setting.replace('_', "-");
                let declared =
                    if *declared == limit.to_string() { String::new() } else { format!(" ({declared})") };
                write!(
                    f,
                    "the plan would {what} {value} in tenant {tenant}, and {setting} allows {limit}{declared}; \
                     raise {setting} of the tenant, or allow it for this run with --{flag} {value}"
                )
            }
            Refusal::Clock { tenant, seconds } => write!(
                f,
                "the clock of this machine and of the service of tenant {tenant} differ by {} s; set the clock",
                seconds.abs()
            ),
            Refusal::OtherTime => {
                f.write_str("the plan was made for another moment with --now and can only be looked at")
            }
        }
    }
}

/// What must have happened in the same run before a step may begin. The steps of a chain also come one after another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "requires", rename_all = "snake_case", deny_unknown_fields)]
pub enum Requires {
    /// The generation that consumers are to use was proven during the same run, in the way the *prove* step says.
    ProofInThisRun,
}

/// The command a person runs to acknowledge.
pub fn ack_command(address: &Address) -> String {
    format!("certroll ack {address}")
}
