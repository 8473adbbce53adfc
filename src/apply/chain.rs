//! One certificate's chain of steps. It carries them out in order and stops at the first that does not end well; nothing is decided
//! here.

use std::sync::Arc;

use crate::apply::context::Run;
use crate::apply::events::Event;
use crate::apply::keys::ToIssue;
use crate::apply::outcome::{CertificateReport, Done, Outcome, StepOutcome, StepReport, Stop};
use crate::apply::prove::Evidenced;
use crate::desired::{Declared, Issuer, StoreBinding};
use crate::edges::{DirectoryWriter, Trouble, TroubleKind};
use crate::ids::KeyId;
use crate::observed::{Current, Generation, KeyState, StoreState};
use crate::plan::document::review_certificate;
use crate::plan::reason::{Because, NoteKind, Requires};
use crate::plan::step::{GenerationRef, Step};
use crate::plan::undone::Undone;
use crate::plan::{CertificatePlan, PlannedStep, PlannedTarget};
use crate::store::StoreWriter;

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

/// A chain on its way.
pub(crate) struct Chain<'a> {
    pub(crate) run: &'a Run<'a>,
    pub(crate) plan: &'a CertificatePlan,
    /// None for a `removed:` entry.
    pub(crate) declared: Option<&'a Declared>,
    /// None where no key lives here.
    pub(crate) binding: Option<&'a StoreBinding>,
    /// Steps that may be carried out; the rest was not reviewed.
    reviewed: usize,
    /// What else was reviewed and does not happen.
    undone: Option<&'a Undone<'a>>,
    /// What the store holds, as last seen or written.
    pub(crate) generations: Vec<Generation>,
    /// What consumers read, as the plan saw it or as this chain made it.
    pub(crate) expected: Option<Current>,
    /// The signing request of a pending key.
    pub(crate) csr: Option<Vec<u8>>,
    /// What this run showed of a generation.
    pub(crate) evidence: Option<Evidenced>,
    /// When this run published.
    pub(crate) published_now: Option<jiff::Timestamp>,
}

impl<'a> Chain<'a> {
    pub(crate) fn new(
        run: &'a Run<'a>,
        plan: &'a CertificatePlan,
        reviewed: usize,
        undone: Option<&'a Undone<'a>>,
    ) -> Chain<'a> {
        let declared = run.job.desired.certificates.get(&plan.address);
        let expected = match run.job.observed.stores.get(&plan.address).map(|store| &store.state) {
            Some(StoreState::Known(holding)) => holding.current.clone(),
            Some(StoreState::Absent | StoreState::Unreadable { .. }) | None => None,
        };
        Chain {
            run,
            plan,
            declared,
            binding: declared.and_then(|declared| declared.store.as_ref()),
            reviewed,
            undone,
            generations: Vec::new(),
            expected,
            csr: None,
            evidence: None,
            published_now: None,
        }
    }

    /// Carries the chain out.
    pub(crate) async fn carry_out(mut self) -> CertificateReport {
        let mut steps: Vec<StepReport> = Vec::new();
        let mut stopped = None;
        for (index, planned) in self.plan.steps.iter().enumerate() {
            if index >= self.reviewed {
                stopped = Some(Stop::Refused(self.why_not_reviewed()));
                break;
            }
            let began = self.run.now();
            self.tell_start(index, planned);
            let result = match index {
                0 => self.begin_and_perform(planned).await,
                _ if index == self.after_repair() => self.check_and_perform(index).await,
                _ => self.perform(planned).await,
            };
            let outcome = self.tell_end(planned, &result);
            let ended = Some(self.run.now());
            steps.push(StepReport { step: planned.step.clone(), began: Some(began), ended, outcome });
            if let Err(stop) = result {
                stopped = Some(stop);
                break;
            }
        }
        self.report(steps, stopped)
    }

    fn why_not_reviewed(&self) -> String {
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

    async fn begin_and_perform(&mut self, planned: &PlannedStep) -> Result<Done, Stop> {
        self.run.go_on()?;
        self.look_at_store().await?;
        match self.after_repair() {
            0 => self.check_and_perform(0).await,
            _ => self.perform(planned).await,
        }
    }

    /// Where the chain goes on after a repair, which comes first and needs no password.
    fn after_repair(&self) -> usize {
        self.plan.steps.iter().take_while(|planned| planned.because == Because::MissingFromTarget).count()
    }

    async fn check_and_perform(&mut self, index: usize) -> Result<Done, Stop> {
        self.has_passwords_for(&self.plan.steps[index..self.reviewed])?;
        self.perform(&self.plan.steps[index]).await
    }

    /// The only place that takes steps apart to carry them out.
    async fn perform(&mut self, planned: &PlannedStep) -> Result<Done, Stop> {
        self.run.go_on()?;
        self.may_begin(planned)?;
        match &planned.step {
            Step::Request { generation, key, subject, place: _ } => {
                self.request(generation, *key, subject).await
            }
            Step::Issue {
                generation: which,
                key,
                signature_hash,
                subject,
                validity,
                issuer: _,
                place: _,
                kept_as: _,
                requested,
            } => {
                let wanted = ToIssue {
                    which,
                    key: *key,
                    signature_hash: *signature_hash,
                    subject,
                    validity,
                    requested: *requested,
                };
                self.issue(&wanted).await
            }
            Step::Publish { generation, display_name, lifetime_max_seconds, dropping, repair: _ } => {
                self.publish(generation, display_name, *lifetime_max_seconds, dropping).await
            }
            Step::Settle { generation, seconds } => self.settle(generation, *seconds).await,
            Step::Prove { generation, evidence } => self.prove(generation, *evidence).await,
            Step::Promote { generation, place: _, kept_as: _, before_proof } => {
                self.is_proven_unless(generation, *before_proof)?;
                self.promote(generation).await
            }
            Step::Deliver { generation, slot, kept_as: _ } => self.deliver(generation, slot).await,
            Step::Record { generation, write } => self.record(generation, *write).await,
            Step::Reject { generation } => self.reject(generation).await,
            Step::Retire { credential } => self.retire(planned, credential).await,
            Step::Destroy { generation, place: _ } | Step::Discard { generation, place: _ } => {
                self.destroy(generation).await
            }
        }
    }

    /// Whether the plan's own conditions on the step hold.
    fn may_begin(&self, planned: &PlannedStep) -> Result<(), Stop> {
        if planned.not_before > self.run.now() {
            let at = planned.not_before.strftime("%Y-%m-%d %H:%M UTC");
            return Err(Stop::Waiting(format!("{} is not to begin before {at}", planned.step.verb())));
        }
        let unproven = planned.requires.contains(&Requires::ProofInThisRun) && self.evidence.is_none();
        if unproven {
            return Err(Stop::Refused(format!(
                "{} needs a proof of the current generation made in this run",
                planned.step.verb()
            )));
        }
        Ok(())
    }

    /// Consumers are given only what was proven in this run, unless the plan says that the proof comes after.
    fn is_proven_unless(&self, which: &GenerationRef, before_proof: bool) -> Result<(), Stop> {
        let wanted = self.generation(which)?.record.thumbprints;
        let proven = self.evidence.as_ref().map(Evidenced::thumbprints);
        if before_proof || (wanted.is_some() && wanted == proven) {
            return Ok(());
        }
        Err(Stop::Refused("what was not proven in this run is not given to consumers".to_owned()))
    }

    // What steps need.

    pub(crate) fn declared(&self) -> Result<&'a Declared, Stop> {
        self.declared.ok_or_else(|| self.misfit("the declaration does not have it"))
    }

    pub(crate) fn target(&self) -> Result<&'a PlannedTarget, Stop> {
        self.plan.target.as_ref().ok_or_else(|| self.misfit("the plan names no object for it"))
    }

    pub(crate) fn store(&self) -> Result<(Arc<dyn StoreWriter>, &'a StoreBinding), Stop> {
        let binding = self.binding.ok_or_else(|| self.misfit("it has no store"))?;
        Ok((self.run.job.writers.store(binding)?, binding))
    }

    pub(crate) fn directory(&self) -> Result<Arc<dyn DirectoryWriter>, Stop> {
        Ok(self.run.job.writers.directory(&self.plan.address.tenant)?)
    }

    fn misfit(&self, reason: &str) -> Stop {
        let doing = format!("carrying out the plan of {}", self.plan.address);
        Stop::Failed(Trouble::new(TroubleKind::Internal, doing, reason))
    }

    /// Looks at the store afresh, and says what is current: time has passed since the plan was made, and chains on one client id wait for
    /// each other. What is expected stays what the plan saw, so that a rival's promotion is noticed.
    pub(crate) async fn look_at_store(&mut self) -> Result<Option<Current>, Stop> {
        let Some(entry) = self.binding else { return Ok(None) };
        let (store, _) = self.store()?;
        let observed = self.run.looking_in_slot(store.observe(entry)).await?;
        match observed.state {
            StoreState::Known(holding) => {
                self.generations = holding.generations;
                Ok(holding.current)
            }
            StoreState::Absent => {
                self.generations = Vec::new();
                Ok(None)
            }
            StoreState::Unreadable { reason } => {
                let doing = format!("reading {}/{}", entry.store, entry.entry);
                Err(Stop::Failed(Trouble::new(TroubleKind::Unavailable, doing, reason)))
            }
        }
    }

    /// Looks whether consumers still read what this chain saw or made current. Promoting finds a rival by itself; taking a credential off
    /// and handing a key on do not, and what the rival made current must not be lost or overwritten.
    pub(crate) async fn is_still_current(&mut self, doing: &str) -> Result<(), Stop> {
        let current = self.look_at_store().await?;
        if self.binding.is_none() || current == self.expected {
            return Ok(());
        }
        Err(Stop::Failed(
            Trouble::new(
                TroubleKind::Conflict,
                doing,
                "consumers read another key by now than when this was planned",
            )
            .with_hint("another run is at work on this certificate: plan again"),
        ))
    }

    /// The generation, if the store has it. Of several of one rotation, the one whose key is still there.
    pub(crate) fn find(&self, which: &GenerationRef) -> Option<&Generation> {
        let is_it = |generation: &&Generation| {
            let record = &generation.record;
            let same = GenerationRef { rotation_id: record.rotation_id, thumbprints: record.thumbprints };
            same.is(which) && (which.thumbprints.is_none() || record.thumbprints == which.thumbprints)
        };
        let found = || self.generations.iter().filter(is_it);
        found()
            .find(|one| one.key == KeyState::Held)
            .or_else(|| found().find(|_| which.thumbprints.is_some()))
    }

    /// As [`Chain::find`]; trouble when the store does not have it.
    pub(crate) fn generation(&self, which: &GenerationRef) -> Result<Generation, Stop> {
        self.find(which).cloned().ok_or_else(|| {
            let doing = format!("looking for a generation of {} in its store", self.plan.address);
            let trouble = Trouble::new(TroubleKind::Missing, doing, "it is not there any more");
            Stop::Failed(trouble.with_hint("plan again: somebody changed the store meanwhile"))
        })
    }

    /// Remembers a generation as the store gave it back.
    pub(crate) fn remember(&mut self, generation: Generation) {
        self.generations.retain(|one| {
            let same_rotation = one.record.rotation_id.is_some()
                && one.record.rotation_id == generation.record.rotation_id
                && one.key == KeyState::Held;
            one.handle != generation.handle && !same_rotation
        });
        self.generations.push(generation);
    }

    // What the chain tells.

    fn tell(&self, event: Event) {
        self.run.job.events.emit(event);
    }

    fn tell_start(&self, index: usize, planned: &PlannedStep) {
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

    fn tell_end(&self, planned: &PlannedStep, result: &Result<Done, Stop>) -> StepOutcome {
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

    fn report(&self, mut steps: Vec<StepReport>, stopped: Option<Stop>) -> CertificateReport {
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
