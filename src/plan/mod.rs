//! The plan as a value. `plan::planner` makes one, `plan::guard` refuses dangerous ones, `plan::document` saves them.

pub mod asked;
pub mod calendar;
pub mod deliveries;
pub mod digest;
pub mod document;
pub mod guard;
pub mod in_use;
pub mod planner;
pub mod policy;
pub mod predecessors;
pub mod predict;
pub mod provider;
pub mod reason;
pub mod records;
pub mod removed;
pub mod siblings;
pub mod situation;
pub mod step;
pub mod successor;
pub mod together;
pub mod undone;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{Address, Owner, Sha256, TargetId};
use policy::Overrides;
use reason::{Because, Note, NoteKind, Refusal, Requires};
use step::Step;

/// What certroll would do, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The moment it was made for.
    pub now: Timestamp,
    /// Whose declaration.
    pub owner: Owner,
    /// Whether it is about an emulated tenant.
    pub emulator: bool,
    /// What the run asked for beyond the declaration.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub asked: Overrides,
    /// By address, sorted; a repair comes first when carried out.
    pub certificates: Vec<CertificatePlan>,
    /// Why it may not be applied.
    pub refusals: Vec<Refusal>,
    /// Whether `--only` left something out.
    pub complete: bool,
}

/// The plan of one certificate: a chain of steps carried out in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificatePlan {
    /// `tenant/name`.
    pub address: Address,
    /// For people: the consumer's title or the description.
    pub title: String,
    /// The object that carries it, where it was found.
    pub target: Option<PlannedTarget>,
    /// Digest of the declaration.
    pub declared: Sha256,
    /// Digest of the observation.
    pub observed: Sha256,
    /// What to do, in order.
    pub steps: Vec<PlannedStep>,
    /// What is not done now, and what to know.
    pub notes: Vec<Note>,
    /// What on the target is left alone.
    #[serde(default)]
    pub left_alone: LeftAlone,
}

/// How many credentials on a target are left alone, by why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeftAlone {
    /// Somebody else's, those reserved for SAML and token encryption included.
    pub foreign: usize,
    /// They carry our marker and not the key id we derive.
    pub claimed: usize,
    /// They carry our marker for a name that nobody declares.
    pub undeclared: usize,
    /// Predecessors that certroll does not remove: the file says `retire: never`, or our marks are not on them.
    pub kept: usize,
}

/// The object a chain writes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedTarget {
    /// Kind and object id.
    pub id: TargetId,
    /// Client id. Chains on one client id run one after another.
    pub app_id: Uuid,
    /// Directory id.
    pub tenant_id: Uuid,
    /// Display name.
    pub display_name: String,
}

/// A step with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedStep {
    /// What.
    pub step: Step,
    /// Why.
    pub because: Because,
    /// Not earlier than this: the plan's own moment, for what has to wait longer is a *later* note and no step.
    pub not_before: Timestamp,
    /// What must have happened in the same run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requires>,
}

/// How many of what a plan holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Generations to be made.
    pub issue: usize,
    /// Current generations to be published again.
    pub repair: usize,
    /// Credentials to be taken off.
    pub retire: usize,
    /// Notes of something that time will bring.
    pub later: usize,
    /// Notes of a person or provider who is waited for.
    pub waiting: usize,
    /// Certificates for which nothing can be done.
    pub blocked: usize,
    /// All steps.
    pub steps: usize,
    /// Certificates with neither steps nor waiting nor blocked notes.
    pub unchanged: usize,
}

impl Plan {
    /// How many of what it holds.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for certificate in &self.certificates {
            certificate.count_into(&mut counts);
        }
        counts
    }

    /// Whether `apply` may carry it out.
    pub fn applyable(&self) -> bool {
        self.refusals.is_empty()
    }

    /// Whether there is nothing to do now.
    pub fn is_empty(&self) -> bool {
        self.certificates.iter().all(|certificate| certificate.steps.is_empty())
    }

    /// Whether carrying it out would change anything. To try a proof once more that is long overdue is no change: somebody must act first.
    /// A proof that lets something be retired is one, whatever else is blocked.
    pub fn changes_anything(&self) -> bool {
        let retires = |planned: &PlannedStep| matches!(planned.step, Step::Retire { .. });
        let changes = |certificate: &CertificatePlan| match certificate.steps.first().map(|first| &first.step)
        {
            Some(Step::Prove { .. }) => !certificate.is_blocked() || certificate.steps.iter().any(retires),
            Some(_) => true,
            None => false,
        };
        self.certificates.iter().any(changes)
    }

    /// Whether somebody must act now: something is blocked, or a person or provider who is waited for is late.
    pub fn needs_somebody(&self) -> bool {
        self.certificates.iter().flat_map(|certificate| &certificate.notes).any(|note| match note.kind {
            NoteKind::Blocked => true,
            NoteKind::Waiting => note.overdue,
            NoteKind::Later | NoteKind::Warning | NoteKind::HandOff | NoteKind::Info => false,
        })
    }
}

impl CertificatePlan {
    fn count_into(&self, counts: &mut Counts) {
        for planned in &self.steps {
            match &planned.step {
                Step::Issue { .. } => counts.issue += 1,
                Step::Publish { repair: true, .. } => counts.repair += 1,
                Step::Retire { .. } => counts.retire += 1,
                _ => {}
            }
        }
        let of = |kind| self.notes.iter().filter(|note| note.kind == kind).count();
        counts.later += of(NoteKind::Later);
        counts.waiting += of(NoteKind::Waiting);
        counts.blocked += usize::from(self.is_blocked());
        counts.steps += self.steps.len();
        counts.unchanged +=
            usize::from(self.steps.is_empty() && of(NoteKind::Waiting) == 0 && !self.is_blocked());
    }

    /// Whether nothing can be done for it until somebody acts.
    pub fn is_blocked(&self) -> bool {
        self.notes.iter().any(|note| note.kind == NoteKind::Blocked)
    }

    /// Whether it is a repair of what consumers read now.
    pub fn is_repair(&self) -> bool {
        self.steps.iter().any(|planned| matches!(planned.step, Step::Publish { repair: true, .. }))
    }
}
