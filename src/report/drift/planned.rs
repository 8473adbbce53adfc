//! A finding for every planned step that no other rule has told already: where `drift` finds nothing, a plan is empty.

use super::{Finding, Look, Rule};
use crate::desired::Origin;
use crate::ids::Sha1;
use crate::plan::reason::Because;
use crate::plan::step::Step;
use crate::plan::{CertificatePlan, PlannedStep};

impl Look<'_> {
    /// What an apply would do now. `before` is where the findings about this certificate begin.
    pub(super) fn planned(&mut self, plan: &CertificatePlan, origin: Option<&Origin>, before: usize) {
        for planned in &plan.steps {
            let thumbprint = match &planned.step {
                Step::Retire { credential } => Some(credential.sha1),
                step => step.generation().and_then(|of| of.thumbprints).map(|thumbprints| thumbprints.sha1),
            };
            if is_told(planned, thumbprint, &self.findings[before..]) {
                continue;
            }
            self.findings.push(Finding {
                rule: Rule::Planned,
                severity: Rule::Planned.severity(),
                tenant: plan.address.tenant.clone(),
                address: Some(plan.address.clone()),
                thumbprint,
                key_id: None,
                at: None,
                text: words(planned, thumbprint.is_some()),
                hint: None,
                overdue: false,
                origin: origin.cloned(),
                ignored: None,
            });
        }
    }
}

fn words(PlannedStep { step, because, .. }: &PlannedStep, is_made: bool) -> String {
    let what = if is_made { "it" } else { "a new one" };
    let place = match step {
        Step::Deliver { slot, .. } => format!(" to {slot}"),
        _ => String::new(),
    };
    format!("apply would {} {what}{place}: {}", step.verb(), because.of(step))
}

/// Whether another finding about the certificate says why that step is planned.
fn is_told(planned: &PlannedStep, thumbprint: Option<Sha1>, findings: &[Finding]) -> bool {
    let told = |rules: &[Rule]| findings.iter().any(|finding| rules.contains(&finding.rule));
    let told_of_it =
        |rule: Rule| findings.iter().any(|finding| finding.rule == rule && finding.thumbprint == thumbprint);
    match &planned.because {
        // Its chain begins with a step that has a reason of its own.
        Because::PartOfRotation | Because::BeforeRemoval => true,
        Because::NothingYet | Because::NoKeyHere => told(&[Rule::NotIssued]),
        Because::Due { .. } => told(&[Rule::Due]),
        Because::Expired { .. } => told(&[Rule::Expired]),
        Because::Differs { .. } => told(&[Rule::Differs]),
        Because::Resumed => told(&[Rule::OnItsWay, Rule::NotIssued]),
        Because::MissingFromTarget => told(&[Rule::Missing]),
        Because::Revoked => told(&[Rule::RevokedLive]),
        Because::Declared => told(&[Rule::NotIssued]),
        Because::ExpiredPredecessor => told_of_it(Rule::Expired),
        Because::DeliveryDiffers => told(&[Rule::DeliveryDiffers]),
        Because::Replace
        | Because::RevokePrevious
        | Because::Rollback
        | Because::RejectedIsCurrent
        | Because::OverlapOver { .. }
        | Because::Acknowledged
        | Because::Removed
        | Because::NoLongerFits
        | Because::PromotionUnknown
        | Because::NotProvenYet
        | Because::RepairNotProven
        | Because::Adopted
        | Because::BeyondKeepRetired { .. } => false,
    }
}
