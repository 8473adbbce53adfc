//! What a chain tells while it goes on, and what became of it in the end.

use crate::apply::chain::Chain;
use crate::apply::context::Run;
use crate::apply::events::Event;
use crate::apply::outcome::{CertificateReport, Done, Outcome, StepOutcome, StepReport, Stop};
use crate::apply::prove::Evidenced;
use crate::desired::Issuer;
use crate::edges::{Trouble, TroubleKind};
use crate::ids::KeyId;
use crate::plan::PlannedStep;
use crate::plan::document::review_certificate;
use crate::plan::reason::{Because, NoteKind};
use crate::plan::step::Step;
use crate::plan::undone::Undone;

/// Certificates that were reviewed with steps to do, and that the fresh plan does not have.
pub(crate) fn not_planned_any_more(run: &Run<'_>, undone: &[Undone<'_>]) -> Vec<CertificateReport> {
    let is_planned = |undone: &Undone<'_>| {
        run.job.plan.certificates.iter().any(|one| one.address == undone.reviewed.address)
    };
    let reports = undone.iter().filter(|undone| !is_planned(undone)).map(|undone| {
        let address = undone.reviewed.address.clone();
        let outcome = Outcome::Refused { reason: undone.reason() };
        let (at, told) = (run.now(), outcome.clone());
        run.job.events.emit(Event::CertificateComplete { address: address.clone(), at, outcome: told });
        CertificateReport {
            address,
            target: undone.reviewed.target.clone(),
            outcome,
            steps: refused_steps(undone),
        }
    });
    reports.collect()
}

fn refused_steps(undone: &Undone<'_>) -> Vec<StepReport> {
    let refused = |planned: &&PlannedStep| {
        let outcome = StepOutcome::Refused { reason: undone.reason() };
        StepReport { step: planned.step.clone(), began: None, ended: None, outcome }
    };
    undone.steps.iter().map(refused).collect()
}

impl Chain<'_> {
    fn tell(&self, event: Event) {
        self.run.job.events.emit(event);
    }

    pub(super) fn tell_start(&self, index: usize, planned: &PlannedStep) {
        self.tell(Event::ApplyStart {
            address: self.plan.address.clone(),
            at: self.run.now(),
            action: planned.step.verb().to_owned(),
            what: planned.step.to_string(),
            number: index + 1,
            of: self.plan.steps.len(),
        });
    }

    pub(crate) fn progress(&self, action: &str, what: &str) {
        self.tell(Event::ApplyProgress {
            address: self.plan.address.clone(),
            at: self.run.now(),
            action: action.to_owned(),
            what: what.to_owned(),
        });
    }

    pub(crate) fn tell_of_disappeared(&self, ids: &[KeyId]) {
        if ids.is_empty() {
            return;
        }
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        self.tell(Event::Diagnostic {
            severity: "warning".to_owned(),
            address: Some(self.plan.address.clone()),
            summary: format!(
                "somebody took credentials off the same object while it was written: {}",
                ids.join(", ")
            ),
            trouble: None,
        });
    }

    /// The outcome of a step that was begun.
    pub(super) fn tell_end(&self, planned: &PlannedStep, result: &Result<Done, Stop>) -> StepOutcome {
        let (address, at, action) =
            (self.plan.address.clone(), self.run.now(), planned.step.verb().to_owned());
        match result {
            Ok(Done { already, shown }) => {
                let shown = shown.clone();
                self.tell(Event::ApplyComplete {
                    address,
                    at,
                    action,
                    already_done: *already,
                    shown: shown.clone(),
                });
                if *already { StepOutcome::AlreadyDone { shown } } else { StepOutcome::Done { shown } }
            }
            Err(stop) => {
                let (outcome, reason, hint) = stop.words();
                self.tell(Event::ApplyErrored { address, at, action, outcome, reason, hint });
                stop.step_outcome()
            }
        }
    }

    /// Why a step that is planned is not carried out.
    pub(super) fn why_not_reviewed(&self) -> String {
        let reviewed = self.run.job.reviewed.map(|plan| plan.certificates.as_slice()).unwrap_or_default();
        let reviewed = reviewed.iter().find(|one| one.address == self.plan.address);
        let blocked = reviewed.and_then(|one| one.notes.iter().find(|note| note.kind == NoteKind::Blocked));
        if let Some(note) = blocked {
            note.text.clone()
        } else if self.run.job.plan.applyable() {
            let why = self.run.job.reviewed.map(|plan| review_certificate(plan, self.plan).why());
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            format!("not in the reviewed plan{why}; review a new one: certroll plan --out FILE")
        } else {
            let reasons: Vec<String> = self.run.job.plan.refusals.iter().map(ToString::to_string).collect();
            reasons.join("; ")
        }
    }

    /// The outcome of the chain, and of each of its steps.
    pub(super) fn report(&self, mut steps: Vec<StepReport>, stopped: Option<Stop>) -> CertificateReport {
        let begun = steps.len();
        let refused = match &stopped {
            Some(Stop::Refused(reason)) if begun >= self.reviewed => Some(reason.clone()),
            _ => None,
        };
        for (index, planned) in self.plan.steps.iter().enumerate().skip(begun) {
            let outcome = match &refused {
                Some(reason) if index >= self.reviewed => StepOutcome::Refused { reason: reason.clone() },
                _ => StepOutcome::NotBegun,
            };
            steps.push(StepReport { step: planned.step.clone(), began: None, ended: None, outcome });
        }
        let outcome = match (stopped, self.undone) {
            (None, Some(undone)) if self.plan.steps.is_empty() => {
                Outcome::Refused { reason: undone.reason() }
            }
            (None, _) => self.outcome_when_done(),
            (Some(stop), _) => self.outcome_when_stopped(stop, &steps),
        };
        // What stopped the chain says more than that something else is not done either.
        if refused.is_none() {
            steps.extend(self.undone.into_iter().flat_map(refused_steps));
        }
        self.tell(Event::CertificateComplete {
            address: self.plan.address.clone(),
            at: self.run.now(),
            outcome: outcome.clone(),
        });
        CertificateReport {
            address: self.plan.address.clone(),
            target: self.plan.target.clone(),
            outcome,
            steps,
        }
    }

    fn outcome_when_done(&self) -> Outcome {
        let has = |test: fn(&Step) -> bool| self.plan.steps.iter().any(|planned| test(&planned.step));
        let again = self.plan.steps.iter().any(|planned| planned.because == Because::RepairNotProven);
        let publishes = again || has(|step| matches!(step, Step::Publish { .. }));
        let finishes = self.plan.steps.iter().any(|planned| planned.because == Because::NotProvenYet);
        let promotes = finishes || has(|step| matches!(step, Step::Promote { .. }));
        match &self.evidence {
            _ if self.plan.steps.is_empty() => self.outcome_without_steps(),
            Some(Evidenced::SignIn(_)) if publishes || promotes => {
                Outcome::Proven { rotated: promotes && !self.is_rollback() }
            }
            Some(Evidenced::ReadBack(_)) if publishes || promotes => Outcome::PublishedNotProven {
                reason: self.why_read_back_only().to_owned(),
                as_declared: true,
            },
            None if publishes => {
                Outcome::PublishedNotProven { reason: self.why_not_proven(), as_declared: false }
            }
            Some(_) | None => Outcome::Done,
        }
    }

    /// Nothing was to be done, or nothing could be: the first note that says so is the outcome.
    fn outcome_without_steps(&self) -> Outcome {
        let first = |kind: NoteKind| self.plan.notes.iter().find(|note| note.kind == kind);
        if let Some(note) = first(NoteKind::Blocked) {
            let doing = format!("planning {}", self.plan.address);
            let trouble = Trouble::new(TroubleKind::Refused, doing, note.text.clone());
            return Outcome::Blocked { trouble: Trouble { hint: note.hint.clone(), ..trouble } };
        }
        match first(NoteKind::Waiting) {
            Some(note) => Outcome::Waiting { reason: note.text.clone() },
            None => Outcome::NothingToDo,
        }
    }

    /// Whether consumers go back to an earlier generation: proven, and not a rotation.
    fn is_rollback(&self) -> bool {
        self.plan.steps.iter().any(|planned| {
            matches!(planned.step, Step::Promote { .. })
                && matches!(planned.because, Because::Rollback | Because::RejectedIsCurrent)
        })
    }

    fn why_read_back_only(&self) -> &'static str {
        match self.declared.map(|declared| &declared.issuer) {
            Some(Issuer::ExternalPublicKey { .. }) => {
                "the provider keeps the key, so nobody here can sign in with it"
            }
            Some(_) | None => "the file asks for no sign-in",
        }
    }

    fn why_not_proven(&self) -> String {
        let note = self.plan.notes.iter().find(|note| note.kind == NoteKind::Blocked);
        note.map_or_else(|| "the plan has no proof".to_owned(), |note| note.text.clone())
    }

    fn outcome_when_stopped(&self, stop: Stop, steps: &[StepReport]) -> Outcome {
        match stop {
            Stop::NotYet(trouble) => Outcome::NotYet { trouble },
            Stop::PublishedNotProven(trouble) => {
                Outcome::PublishedNotProven { reason: trouble.to_string(), as_declared: false }
            }
            Stop::Waiting(reason) => Outcome::Waiting { reason },
            Stop::Blocked(trouble) => Outcome::Blocked { trouble },
            Stop::Refused(reason) => Outcome::Refused { reason },
            Stop::Failed(trouble) => Outcome::Failed { trouble },
            Stop::Interrupted(reason) => {
                let undone = |report: &&StepReport| {
                    !matches!(report.outcome, StepOutcome::Done { .. } | StepOutcome::AlreadyDone { .. })
                };
                let verbs: Vec<&str> = steps.iter().filter(undone).map(|report| report.step.verb()).collect();
                Outcome::Interrupted { remains: format!("{reason}; what remains: {}", verbs.join(", ")) }
            }
        }
    }
}
