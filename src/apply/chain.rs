//! One certificate's chain of steps. It carries them out in order and stops at the first that does not end well; nothing is decided
//! here.

use std::sync::Arc;

use crate::apply::context::Run;
use crate::apply::keys::ToIssue;
use crate::apply::outcome::{CertificateReport, Done, StepReport, Stop};
use crate::apply::prove::Evidenced;
use crate::desired::{Declared, StoreBinding};
use crate::edges::{DirectoryWriter, Trouble, TroubleKind};
use crate::observed::{Current, Generation, KeyState, StoreState};
use crate::plan::reason::{Because, Requires};
use crate::plan::step::{GenerationRef, Step};
use crate::plan::undone::Undone;
use crate::plan::{CertificatePlan, PlannedStep, PlannedTarget};
use crate::store::StoreWriter;

/// A chain on its way.
pub(crate) struct Chain<'a> {
    pub(crate) run: &'a Run<'a>,
    pub(crate) plan: &'a CertificatePlan,
    /// None for a `removed:` entry.
    pub(crate) declared: Option<&'a Declared>,
    /// None where no key lives here.
    pub(crate) binding: Option<&'a StoreBinding>,
    /// Steps that may be carried out; the rest was not reviewed.
    pub(super) reviewed: usize,
    /// What else was reviewed and does not happen.
    pub(super) undone: Option<&'a Undone<'a>>,
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
}
