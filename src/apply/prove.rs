//! Proving that a generation works: by signing in with it several times in a row. A success once says little, because several login
//! front ends learn of a new key one after another.
//!
//! While it waits the chain holds no slot and no key: the signer is opened for each sign-in and dropped before the pause.

use jiff::Timestamp;

use crate::apply::chain::Chain;
use crate::apply::context::later;
use crate::apply::outcome::{Done, Shown, Stop};
use crate::apply::replace;
use crate::desired::Prove;
use crate::edges::{SignInAnswer, SignIns, Trouble, TroubleKind};
use crate::ids::Thumbprints;
use crate::observed::Generation;
use crate::observed::record::PublicRecord;
use crate::plan::reason::Because;
use crate::plan::step::{Evidence, GenerationRef, Step};

/// The generation signed in several times in a row during this run. Only [`Chain::prove`] makes one.
#[derive(Debug)]
pub(crate) struct Proof {
    thumbprints: Thumbprints,
}

impl Proof {
    /// Which generation.
    pub(crate) fn thumbprints(&self) -> Thumbprints {
        self.thumbprints
    }
}

/// The generation's credential was read back during this run, and the plan asks for no more. Only [`Chain::prove`] makes one.
#[derive(Debug)]
pub(crate) struct Seen {
    thumbprints: Thumbprints,
}

impl Seen {
    /// Which generation.
    pub(crate) fn thumbprints(&self) -> Thumbprints {
        self.thumbprints
    }
}

/// What this run showed of a generation.
#[derive(Debug)]
pub(crate) enum Evidenced {
    /// It signed in.
    SignIn(Proof),
    /// It was read back.
    ReadBack(Seen),
}

impl Evidenced {
    /// Which generation.
    pub(crate) fn thumbprints(&self) -> Thumbprints {
        match self {
            Evidenced::SignIn(proof) => proof.thumbprints(),
            Evidenced::ReadBack(seen) => seen.thumbprints(),
        }
    }
}

impl Chain<'_> {
    /// Shows that the generation works, in the way the plan says.
    pub(crate) async fn prove(&mut self, which: &GenerationRef, how: Evidence) -> Result<Done, Stop> {
        match how {
            Evidence::SignIn { times: _, seconds: _ } => {
                let generation = self.generation(which)?;
                let thumbprints = thumbprints_of(&generation)?;
                let correlation_ids = self.sign_in_repeatedly(&generation).await?;
                self.evidence = Some(Evidenced::SignIn(Proof { thumbprints }));
                self.remember_proof(&generation).await?;
                Ok(Done::now(Shown { thumbprints: Some(thumbprints), correlation_ids, ..Shown::default() }))
            }
            Evidence::ReadBack => {
                let thumbprints = match which.thumbprints {
                    Some(thumbprints) => thumbprints,
                    None => thumbprints_of(&self.generation(which)?)?,
                };
                let read_backs = self.read_back(&thumbprints).await?;
                self.evidence = Some(Evidenced::ReadBack(Seen { thumbprints }));
                Ok(Done::now(Shown { thumbprints: Some(thumbprints), read_backs, ..Shown::default() }))
            }
        }
    }

    /// Where the proof comes after the promotion or a repair, the record has to tell whether it came: nothing else does. Where it comes
    /// before, the promotion writes it down.
    async fn remember_proof(&mut self, generation: &Generation) -> Result<(), Stop> {
        let early = self.declared()?.prove == Prove::AfterPromotion && generation.record.proven_at.is_none();
        let again = self.plan.steps.iter().any(|planned| {
            let repairs = matches!(planned.step, Step::Publish { repair: true, .. });
            repairs || planned.because == Because::RepairNotProven
        });
        if !early && !again {
            return Ok(());
        }
        let proven_at = Some(self.run.now());
        self.write_record(&PublicRecord { proven_at, ..generation.record.clone() }).await
    }

    /// The present moment, if that generation signed in during this run.
    pub(crate) fn signed_in_now(&self, thumbprints: &Thumbprints) -> Option<Timestamp> {
        match &self.evidence {
            Some(Evidenced::SignIn(proof)) if proof.thumbprints() == *thumbprints => Some(self.run.now()),
            Some(_) | None => None,
        }
    }

    async fn sign_in_repeatedly(&self, generation: &Generation) -> Result<Vec<String>, Stop> {
        let settings = self.run.job.settings;
        let sign_ins = self.run.job.writers.sign_ins(&self.plan.address.tenant)?;
        let deadline = later(self.run.now(), settings.prove_deadline);
        let (mut in_a_row, mut unanswered) = (Vec::new(), 0);
        loop {
            let mut pause = settings.sign_in_interval;
            match self.sign_in_once(&*sign_ins, generation).await? {
                SignInAnswer::Accepted { correlation_id } => {
                    unanswered = 0;
                    in_a_row.push(correlation_id);
                    self.progress("prove", &format!("sign-in {} of {}", in_a_row.len(), settings.sign_ins));
                    if in_a_row.len() >= settings.sign_ins as usize {
                        return Ok(in_a_row);
                    }
                }
                SignInAnswer::NotYet(trouble) => {
                    unanswered = 0;
                    in_a_row.clear();
                    if self.run.now() >= deadline {
                        return Err(self.not_in_time(generation, trouble).await);
                    }
                    self.progress("prove", "the key has not spread yet; trying again");
                }
                SignInAnswer::OutsideDates(trouble) => {
                    in_a_row.clear();
                    let expired = generation.record.not_after.is_some_and(|end| end <= self.run.now());
                    if expired || self.run.now() >= deadline {
                        return Err(Stop::Failed(trouble));
                    }
                    self.progress(
                        "prove",
                        "outside the credential's dates by the service's clock; trying again",
                    );
                }
                SignInAnswer::PolicyBlocked(trouble) => return Err(Stop::PublishedNotProven(trouble)),
                SignInAnswer::Refused(trouble) => return Err(Stop::Failed(trouble)),
                // Says nothing of the key: neither part of the row nor its end.
                SignInAnswer::NoAnswer(trouble) => {
                    unanswered += 1;
                    if unanswered > settings.write_retries || self.run.now() >= deadline {
                        return Err(Stop::Failed(trouble.after_tries(unanswered)));
                    }
                    pause = pause.max(self.run.backoff(unanswered, &trouble)?);
                    self.progress("prove", &format!("{}; trying again", trouble.reason));
                }
            }
            self.run.wait(pause).await?;
        }
    }

    /// One sign-in. The signer lives as long as this call.
    async fn sign_in_once(
        &self,
        sign_ins: &dyn SignIns,
        generation: &Generation,
    ) -> Result<SignInAnswer, Stop> {
        let (store, entry) = self.store()?;
        let app_id = self.target()?.app_id;
        let signer = self.run.looking_in_slot(store.signer(entry, generation)).await?;
        let signer = signer.map_err(Trouble::from)?;
        self.run.looking(sign_ins.try_sign_in(app_id, &*signer, self.run.job.algorithm)).await
    }

    /// The deadline passed. Soon after publishing that means *not yet*; a day later somebody has to look.
    async fn not_in_time(&self, generation: &Generation, trouble: Trouble) -> Stop {
        let settings = self.run.job.settings;
        match self.published_at(generation).await {
            Err(stop) => stop,
            Ok(Some(at)) if later(at, settings.prove_give_up) < self.run.now() => Stop::Blocked(Trouble {
                hint: Some(
                    "the credential has been on the object for longer than any known delay: check that the service \
                     principal exists and is enabled, and that the client id is the one declared"
                        .to_owned(),
                ),
                reason: format!(
                    "published on {} and still not accepted: {}",
                    at.strftime("%Y-%m-%d %H:%M UTC"),
                    trouble.reason
                ),
                ..trouble
            }),
            Ok(_) => Stop::NotYet(trouble),
        }
    }

    /// When the generation was published, as far as its credential tells: it starts a fixed margin before that.
    pub(crate) async fn published_at(&self, generation: &Generation) -> Result<Option<Timestamp>, Stop> {
        if let Some(at) = self.published_now {
            return Ok(Some(at));
        }
        let thumbprints = thumbprints_of(generation)?;
        let directory = self.directory()?;
        let list = replace::read(self.run, &*directory, self.target()?.id).await?;
        let start = list.iter().find(|one| one.is_of(&thumbprints)).and_then(|one| one.start);
        Ok(start.map(|start| later(start, self.run.job.settings.start_margin)))
    }

    /// Reads until the credential shows several times in a row.
    async fn read_back(&self, thumbprints: &Thumbprints) -> Result<u32, Stop> {
        let settings = self.run.job.settings;
        let target = self.target()?;
        let directory = self.directory()?;
        let deadline = later(self.run.now(), settings.read_deadline);
        let mut in_a_row = 0;
        loop {
            let list = replace::read(self.run, &*directory, target.id).await?;
            in_a_row = if list.iter().any(|one| one.is_of(thumbprints)) { in_a_row + 1 } else { 0 };
            if in_a_row >= settings.reads_after_write {
                return Ok(in_a_row);
            }
            if self.run.now() >= deadline {
                return Err(Stop::NotYet(Trouble::new(
                    TroubleKind::NotYet,
                    format!("reading {} back", thumbprints.sha1),
                    "the directory does not show it several times in a row",
                )));
            }
            self.run.wait(settings.read_interval).await?;
        }
    }

    /// Waits until the credential has been visible for that long.
    pub(crate) async fn settle(&self, which: &GenerationRef, seconds: i64) -> Result<Done, Stop> {
        let generation = self.generation(which)?;
        let visible = self.published_at(&generation).await?.ok_or_else(|| {
            Stop::NotYet(Trouble::new(
                TroubleKind::NotYet,
                "waiting for a credential to settle",
                "the directory does not show it",
            ))
        })?;
        let until = later(visible, jiff::SignedDuration::from_secs(seconds));
        let rest = until.duration_since(self.run.now());
        let shown = Shown { thumbprints: generation.record.thumbprints, ..Shown::default() };
        if !rest.is_positive() {
            return Ok(Done::already(shown));
        }
        self.progress("settle", &format!("until {}", until.strftime("%Y-%m-%d %H:%M:%S UTC")));
        self.run.wait(rest).await?;
        Ok(Done::now(shown))
    }
}

pub(crate) fn thumbprints_of(generation: &Generation) -> Result<Thumbprints, Stop> {
    generation.record.thumbprints.ok_or_else(|| {
        Stop::Failed(Trouble::new(
            TroubleKind::Missing,
            format!("using generation {}", generation.handle),
            "its certificate has not been issued yet",
        ))
    })
}
