//! The saved plan: what a person reviews and `apply PLAN` compares with. It is never executed.
//!
//! Compatibility: `format_version` is `MAJOR.MINOR`. A minor version only adds. A document of another major version or of
//! a newer minor one is refused, because what this version would overlook may be what was reviewed.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{Address, Owner, Sha256};
use crate::plan::policy::Overrides;
use crate::plan::reason::Refusal;
use crate::plan::{CertificatePlan, Counts, Plan, PlannedStep, digest};

/// Major version of the format this certroll writes.
pub const FORMAT_MAJOR: u32 = 1;
/// Minor version of the format this certroll writes.
pub const FORMAT_MINOR: u32 = 0;

/// A plan as saved and as printed with `--format json`. Holds ids, thumbprints, dates and digests; never a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// `MAJOR.MINOR` of the format.
    pub format_version: String,
    /// Version of certroll that made it.
    pub tool_version: String,
    /// The moment the plan was made for, RFC 3339 in UTC.
    pub timestamp: Timestamp,
    /// Whose declaration.
    pub owner: Owner,
    /// Whether it is about an emulated tenant: no evidence about a real one.
    pub emulator: bool,
    /// Whether `apply` may carry it out.
    pub applyable: bool,
    /// Whether it covers the whole declaration; `--only` makes it incomplete.
    pub complete: bool,
    /// What the run asked for beyond the declaration.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub asked: Overrides,
    /// How many of what it holds.
    pub counts: Counts,
    /// Why it may not be applied.
    pub refusals: Vec<Refusal>,
    /// The plan of each certificate, sorted by address.
    pub certificates: Vec<CertificatePlan>,
    /// SHA-256 over everything above, to notice damage. No protection against a forger: a plan is compared, never executed.
    pub digest: Sha256,
}

/// Why a document cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not JSON, or not a plan.
    #[error("it is not a certroll plan: {0}")]
    NotAPlan(String),
    /// Written by a version that knows more.
    #[error(
        "it has format {found}, and this certroll reads {FORMAT_MAJOR}.0 to {FORMAT_MAJOR}.{FORMAT_MINOR}; use the certroll that made it ({tool}) or plan again"
    )]
    Format {
        /// Its format.
        found: String,
        /// The version that wrote it.
        tool: String,
    },
    /// Its content does not match its digest or its own counts.
    #[error("it was changed after it was written; plan again")]
    Altered,
}

/// What can be read of any version.
#[derive(Deserialize)]
struct Header {
    format_version: String,
    #[serde(default)]
    tool_version: String,
}

impl Document {
    /// The document of a plan.
    pub fn of(plan: &Plan) -> Document {
        let mut document = Document {
            format_version: format!("{FORMAT_MAJOR}.{FORMAT_MINOR}"),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            timestamp: plan.now,
            owner: plan.owner.clone(),
            emulator: plan.emulator,
            applyable: plan.applyable(),
            complete: plan.complete,
            asked: plan.asked.clone(),
            counts: plan.counts(),
            refusals: plan.refusals.clone(),
            certificates: plan.certificates.clone(),
            digest: Sha256([0; 32]),
        };
        document.digest = document.content_digest();
        document
    }

    /// The plan again.
    pub fn into_plan(self) -> Plan {
        Plan {
            now: self.timestamp,
            owner: self.owner,
            emulator: self.emulator,
            asked: self.asked,
            certificates: self.certificates,
            refusals: self.refusals,
            complete: self.complete,
        }
    }

    /// As JSON text, ended by a line feed.
    pub fn to_json(&self) -> String {
        // Nothing in the type can fail to serialise: no maps with other than text keys, no foreign types.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads a document, whatever it is.
    pub fn read(bytes: &[u8]) -> Result<Document, DocumentError> {
        let wrong = |error: serde_json::Error| DocumentError::NotAPlan(error.to_string());
        let header: Header = serde_json::from_slice(bytes).map_err(wrong)?;
        if !is_readable(&header.format_version) {
            let short = |text: String| text.chars().filter(|c| !c.is_control()).take(40).collect();
            return Err(DocumentError::Format {
                found: short(header.format_version),
                tool: short(header.tool_version),
            });
        }
        let document: Document = serde_json::from_slice(bytes).map_err(wrong)?;
        if document.digest != document.content_digest() {
            return Err(DocumentError::Altered);
        }
        Ok(document)
    }

    fn content_digest(&self) -> Sha256 {
        let blank = Document { digest: Sha256([0; 32]), ..self.clone() };
        digest::text(&blank.to_json())
    }
}

fn is_readable(version: &str) -> bool {
    let mut parts = version.split('.').map(str::parse::<u32>);
    matches!(
        (parts.next(), parts.next(), parts.next()),
        (Some(Ok(FORMAT_MAJOR)), Some(Ok(minor)), None) if (0..=FORMAT_MINOR).contains(&minor)
    )
}

/// What a review allows of one certificate's fresh chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewed {
    /// The certificate.
    pub address: Address,
    /// How many steps from the start of the fresh chain were reviewed. A chain stops before its first step that was not.
    pub allowed: usize,
    /// The steps that are shown and refused.
    pub refused: Vec<PlannedStep>,
    /// Whether the declaration is another one than was reviewed.
    pub declaration_changed: bool,
    /// Whether Entra, the store or a delivery place has changed since the review.
    pub observation_changed: bool,
}

impl Reviewed {
    /// Why what is planned now is not what was reviewed, as far as the two plans tell.
    pub fn why(&self) -> &'static str {
        match (self.declaration_changed, self.observation_changed) {
            (true, true) => "the declaration and what is live have changed since",
            (true, false) => "the declaration has changed since",
            (false, true) => "what Entra, the store or a delivery place holds has changed since",
            (false, false) => "time has passed since",
        }
    }
}

/// Compares a fresh plan with the reviewed one. A resumed step matches the step of the same rotation.
pub fn review(reviewed: &Plan, fresh: &Plan) -> Vec<Reviewed> {
    fresh.certificates.iter().map(|certificate| review_certificate(reviewed, certificate)).collect()
}

/// As [`review`], of one certificate.
pub fn review_certificate(reviewed: &Plan, fresh: &CertificatePlan) -> Reviewed {
    let before = reviewed.certificates.iter().find(|certificate| certificate.address == fresh.address);
    // The same object: a plan made for another tenant or target reviews nothing here.
    let before = before.filter(|before| {
        before.target.as_ref().map(|t| (t.id, t.tenant_id))
            == fresh.target.as_ref().map(|t| (t.id, t.tenant_id))
    });
    let was_reviewed = |planned: &PlannedStep| {
        before.is_some_and(|before| before.steps.iter().any(|other| planned.step.is_reviewed_by(&other.step)))
    };
    let allowed = fresh.steps.iter().take_while(|planned| was_reviewed(planned)).count();
    Reviewed {
        address: fresh.address.clone(),
        allowed,
        refused: fresh.steps[allowed..].to_vec(),
        declaration_changed: before.is_none_or(|before| before.declared != fresh.declared),
        observation_changed: before.is_none_or(|before| before.observed != fresh.observed),
    }
}

/// The JSON Schema of [`Document`], committed as `schemas/plan.v1.schema.json`.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Document).to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("$id".to_owned(), "plan.v1.schema.json".into());
    }
    schema
}
