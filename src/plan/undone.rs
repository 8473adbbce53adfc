//! What of a reviewed plan is neither planned any more nor done: somebody approved it, and it does not happen.

use jiff::Timestamp;

use crate::ids::{KeyId, TargetId, Thumbprints};
use crate::observed::{Generation, Holding, KeyState, Observed, StoreState, Target, TargetState};
use crate::plan::document::review_certificate;
use crate::plan::reason::{Note, NoteKind};
use crate::plan::situation::reference;
use crate::plan::step::{GenerationRef, RecordWrite, Step};
use crate::plan::{CertificatePlan, Plan, PlannedStep};

/// What of one certificate's reviewed chain does not happen.
#[derive(Debug)]
pub struct Undone<'a> {
    /// As it was reviewed.
    pub reviewed: &'a CertificatePlan,
    /// The steps, in order.
    pub steps: Vec<&'a PlannedStep>,
    /// Why, as far as the plans tell.
    pub why: String,
}

impl Undone<'_> {
    /// Why the run may not look like the one that was approved.
    pub fn reason(&self) -> String {
        let verbs: Vec<&str> = self.steps.iter().map(|planned| planned.step.verb()).collect();
        let (verbs, why) = (verbs.join(", "), &self.why);
        format!("reviewed and not done: {verbs}: {why}; review a new one: certroll plan --out FILE")
    }
}

/// The steps of the reviewed plan that the fresh one does not have and that are not done either. A plan that an earlier run carried
/// out has none.
pub fn undone<'a>(reviewed: &'a Plan, fresh: &Plan, observed: &Observed) -> Vec<Undone<'a>> {
    let of = |certificate| undone_of(certificate, reviewed, fresh, observed);
    reviewed.certificates.iter().filter_map(of).collect()
}

fn undone_of<'a>(
    certificate: &'a CertificatePlan,
    reviewed: &Plan,
    fresh: &Plan,
    observed: &Observed,
) -> Option<Undone<'a>> {
    let now: Vec<_> = fresh.certificates.iter().filter(|one| one.address == certificate.address).collect();
    let same_object: Vec<_> = now.iter().filter(|one| is_same_object(one, certificate)).collect();
    let is_planned = |step: &Step| {
        same_object.iter().flat_map(|one| &one.steps).any(|planned| planned.step.is_reviewed_by(step))
    };
    let seen = Seen::of(certificate, reviewed.now, observed);
    let mut steps: Vec<&PlannedStep> = certificate.steps.iter().collect();
    steps.retain(|planned| !is_planned(&planned.step) && !seen.is_done(&planned.step));
    // To show something or to wait is no end in itself.
    if steps.iter().all(|planned| matches!(planned.step, Step::Prove { .. } | Step::Settle { .. })) {
        return None;
    }
    let why = match now.first() {
        Some(now) => why(now, reviewed),
        None => "it is not in the declaration any more".to_owned(),
    };
    Some(Undone { reviewed: certificate, steps, why })
}

fn is_same_object(one: &CertificatePlan, two: &CertificatePlan) -> bool {
    let object = |plan: &CertificatePlan| plan.target.as_ref().map(|target| (target.id, target.tenant_id));
    object(one) == object(two)
}

/// What the fresh plan waits for, or that declaration or world are others than reviewed.
fn why(now: &CertificatePlan, reviewed: &Plan) -> String {
    let holds_back = |note: &&Note| match note.kind {
        NoteKind::Blocked | NoteKind::Waiting => true,
        NoteKind::Later => note.text.contains("held back"),
        NoteKind::Warning | NoteKind::HandOff | NoteKind::Info => false,
    };
    match now.notes.iter().find(holds_back) {
        Some(note) => note.text.clone(),
        None => review_certificate(reviewed, now).why().to_owned(),
    }
}

/// What was read of one certificate's object and store. None where nobody can tell.
struct Seen<'a> {
    target: Option<&'a Target>,
    holding: Option<&'a Holding>,
    nothing: Holding,
    reviewed_at: Timestamp,
}

impl<'a> Seen<'a> {
    fn of(certificate: &CertificatePlan, reviewed_at: Timestamp, observed: &'a Observed) -> Seen<'a> {
        let id = certificate.target.as_ref().map(|target| target.id);
        let holding = match observed.stores.get(&certificate.address).map(|store| &store.state) {
            Some(StoreState::Known(holding)) => Some(holding),
            Some(StoreState::Absent | StoreState::Unreadable { .. }) | None => None,
        };
        let target = id.and_then(|id| target_of(certificate, id, observed));
        Seen { target, holding, nothing: Holding::default(), reviewed_at }
    }

    fn is_done(&self, step: &Step) -> bool {
        let any =
            |which: &GenerationRef, test: &dyn Fn(&Generation) -> bool| self.generations(which).any(test);
        match step {
            Step::Request { generation, .. } => any(generation, &|_| true),
            Step::Issue { generation, .. } => {
                any(generation, &|generation| generation.record.thumbprints.is_some())
            }
            Step::Publish { generation, repair, .. } => {
                self.is_published(generation) || (!repair && any(generation, &|one| self.was_promoted(one)))
            }
            Step::Prove { .. } | Step::Settle { .. } => false,
            Step::Promote { generation, .. } => any(generation, &|one| self.was_promoted(one)),
            Step::Deliver { generation, slot, kept_as: _ } => any(generation, &|one| {
                one.record.delivered.get(slot).is_some_and(|delivered| delivered.at >= self.reviewed_at)
            }),
            Step::Record { generation, write: RecordWrite::Promoted } => {
                any(generation, &|one| one.record.promoted_at.is_some())
            }
            Step::Record { generation, write: RecordWrite::Adopted } => any(generation, &|_| true),
            Step::Reject { generation } => any(generation, &|one| one.record.rejected),
            Step::Retire { credential } => self.is_gone(credential.key_id),
            Step::Destroy { generation, .. } | Step::Discard { generation, .. } => {
                self.holding.is_some() && !any(generation, &|one| one.key == KeyState::Held)
            }
        }
    }

    fn holding(&self) -> &Holding {
        self.holding.unwrap_or(&self.nothing)
    }

    fn generations(&self, which: &GenerationRef) -> impl Iterator<Item = &Generation> {
        self.holding().generations.iter().filter(move |generation| reference(generation).is(which))
    }

    /// Whether consumers read it, or did so since the review.
    fn was_promoted(&self, generation: &Generation) -> bool {
        let is_current =
            self.holding().current_generation().is_some_and(|one| one.handle == generation.handle);
        is_current || generation.record.promoted_at.is_some_and(|at| at >= self.reviewed_at)
    }

    fn is_published(&self, which: &GenerationRef) -> bool {
        let made = self.generations(which).filter_map(|generation| generation.record.thumbprints);
        let made: Vec<Thumbprints> = made.chain(which.thumbprints).collect();
        let mut credentials = self.target.into_iter().flat_map(Target::client_credentials);
        credentials.any(|credential| made.iter().any(|thumbprints| credential.is_of(thumbprints)))
    }

    fn is_gone(&self, key_id: KeyId) -> bool {
        self.target.is_some_and(|target| target.credentials.iter().all(|one| one.key_id != Some(key_id)))
    }
}

/// The object, whether it was read for a declared certificate or for a `removed:` entry.
fn target_of<'a>(certificate: &CertificatePlan, id: TargetId, observed: &'a Observed) -> Option<&'a Target> {
    let tenant = observed.tenants.get(&certificate.address.tenant)?;
    let found = tenant.targets.values().chain(&tenant.removed).filter_map(|state| match state {
        TargetState::Found(target) => Some(&**target),
        _ => None,
    });
    found.into_iter().find(|target| target.id == id)
}
