//! What a run tells while it goes on. The command line shows events as lines or bars, or writes them as JSON lines.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::apply::outcome::{Outcome, Shown};
use crate::edges::Trouble;
use crate::ids::{Address, Thumbprint};
use crate::plan::step::Step;

/// One thing to tell. The names are those of Terraform's machine-readable output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// First of all: who speaks.
    Version {
        /// certroll's version.
        certroll: String,
        /// Version of these events; a change of the last number only adds.
        format: String,
        /// Whether the run is about an emulated tenant.
        emulator: bool,
    },
    /// A step the run will carry out.
    PlannedChange {
        /// Which certificate.
        address: Address,
        /// The verb.
        action: String,
        /// The step's words.
        what: String,
        /// The step.
        step: Step,
    },
    /// A step begins.
    ApplyStart {
        /// Which certificate.
        address: Address,
        /// When.
        at: Timestamp,
        /// The verb.
        action: String,
        /// The step's words.
        what: String,
        /// Its number in the chain, from 1.
        number: usize,
        /// Steps in the chain.
        of: usize,
    },
    /// A step goes on.
    ApplyProgress {
        /// Which certificate.
        address: Address,
        /// When.
        at: Timestamp,
        /// The verb.
        action: String,
        /// What is being waited for.
        what: String,
    },
    /// A step ended well.
    ApplyComplete {
        /// Which certificate.
        address: Address,
        /// When.
        at: Timestamp,
        /// The verb.
        action: String,
        /// Whether there was nothing left to do.
        already_done: bool,
        /// What it showed.
        shown: Shown,
    },
    /// A step did not end well.
    ApplyErrored {
        /// Which certificate.
        address: Address,
        /// When.
        at: Timestamp,
        /// The verb.
        action: String,
        /// In one word: `failed`, `not yet`, `blocked`, `refused`, `interrupted`, `waiting`, `published, not proven`.
        outcome: String,
        /// Why.
        reason: String,
        /// What to try.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A chain ended.
    CertificateComplete {
        /// Which certificate.
        address: Address,
        /// When.
        at: Timestamp,
        /// What became of it.
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// What to commit now, so that what was revoked is never published or offered again.
    ToCommit {
        /// Which certificate.
        address: Address,
        /// When.
        at: Timestamp,
        /// The entries of its `revoked:`.
        revoked: Vec<Thumbprint>,
    },
    /// Last of all.
    ChangeSummary {
        /// When.
        at: Timestamp,
        /// How many certificates came to which end.
        outcomes: std::collections::BTreeMap<String, usize>,
        /// The exit code this amounts to.
        exit_code: u8,
    },
    /// Something to know.
    Diagnostic {
        /// `warning` or `error`.
        severity: String,
        /// Which certificate, if one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<Address>,
        /// In one line.
        summary: String,
        /// What failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trouble: Option<Trouble>,
    },
}

/// Where events go. Must not block: chains call it between their effects.
pub trait Events: Send + Sync {
    /// Takes one.
    fn emit(&self, event: Event);
}

/// Tells nobody.
pub struct Silence;

impl Events for Silence {
    fn emit(&self, _: Event) {}
}
