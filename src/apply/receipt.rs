//! The receipt: what a run did, when, with which evidence, for an audit. It holds ids, thumbprints, dates and correlation
//! ids; no secret.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::apply::outcome::{CertificateReport, Report};
use crate::ids::Owner;

/// Version of the receipt's layout. New keys may be added without a new version; none is removed or changes its meaning.
pub const RECEIPT_FORMAT: u32 = 1;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// [`RECEIPT_FORMAT`].
    pub format: u32,
    /// certroll's version.
    pub certroll: String,
    /// Whether it was about an emulated tenant: then nothing in it is true of a real one.
    pub emulator: bool,
    /// Whose declaration.
    pub owner: Owner,
    /// When the run began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Whether it was stopped.
    pub interrupted: bool,
    /// The exit code it amounts to.
    pub exit_code: u8,
    /// How many certificates came to which end.
    pub outcomes: BTreeMap<String, usize>,
    /// By address, sorted.
    pub certificates: Vec<CertificateReport>,
}

impl Report {
    /// How many certificates came to which end.
    pub fn outcomes(&self) -> BTreeMap<String, usize> {
        let mut outcomes = BTreeMap::new();
        for certificate in &self.certificates {
            *outcomes.entry(certificate.outcome.word().to_owned()).or_default() += 1;
        }
        outcomes
    }

    /// The receipt of this run.
    pub fn receipt(&self, owner: &Owner) -> Receipt {
        Receipt {
            format: RECEIPT_FORMAT,
            certroll: env!("CARGO_PKG_VERSION").to_owned(),
            emulator: self.emulator,
            owner: owner.clone(),
            began: self.began,
            ended: self.ended,
            interrupted: self.interrupted,
            exit_code: self.ending().exit_code(),
            outcomes: self.outcomes(),
            certificates: self.certificates.clone(),
        }
    }
}
