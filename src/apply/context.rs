//! What all chains of a run share: waiting, being stopped, slots, locks, and what this run wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;

use crate::apply::Job;
use crate::apply::outcome::Stop;
use crate::edges::{Trouble, TroubleKind};
use crate::ids::{KeyId, Sha1, TargetId};

/// How long a write in flight may still take after the run was asked to stop; the run ends within 5 s.
const GRACE: SignedDuration = SignedDuration::from_secs(4);

/// Longest pause between two tries of a write.
const BACKOFF_MAX: SignedDuration = SignedDuration::from_secs(30);

/// What the chains share.
pub(crate) struct Run<'a> {
    pub(crate) job: &'a Job<'a>,
    /// Keys are made on all cores and not on more: each is in memory until it is in its store.
    key_makers: Semaphore,
    locks: Mutex<BTreeMap<TargetId, Arc<tokio::sync::Mutex<()>>>>,
    written: Mutex<BTreeMap<TargetId, BTreeMap<KeyId, Timestamp>>>,
    ended: Mutex<BTreeSet<(TargetId, Sha1)>>,
}

/// That moment plus the duration, clamped: a date of somebody else's may be anything.
pub(crate) fn later(moment: Timestamp, by: SignedDuration) -> Timestamp {
    moment.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// That moment minus the duration, clamped.
pub(crate) fn earlier(moment: Timestamp, by: SignedDuration) -> Timestamp {
    moment.checked_sub(by).unwrap_or(Timestamp::MIN)
}

fn stopped() -> Stop {
    Stop::Interrupted("the run was stopped".to_owned())
}

impl<'a> Run<'a> {
    pub(crate) fn new(job: &'a Job<'a>) -> Run<'a> {
        Run {
            job,
            key_makers: Semaphore::new(job.random.key_pairs_at_once()),
            locks: Mutex::default(),
            written: Mutex::default(),
            ended: Mutex::default(),
        }
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Timestamp {
        self.job.clock.now()
    }

    /// Stops the chain if the run was asked to stop.
    pub(crate) fn go_on(&self) -> Result<(), Stop> {
        if self.job.cancel.is_cancelled() { Err(stopped()) } else { Ok(()) }
    }

    /// Waits, holding no slot. Ends at once when the run is asked to stop.
    pub(crate) async fn wait(&self, duration: SignedDuration) -> Result<(), Stop> {
        self.looking(self.job.clock.sleep(duration)).await
    }

    /// Looks at something. Dropped at once when the run is asked to stop: looking changes nothing.
    pub(crate) async fn looking<T>(&self, look: impl Future<Output = T>) -> Result<T, Stop> {
        self.go_on()?;
        tokio::select! {
            biased;
            seen = look => Ok(seen),
            () = self.job.cancel.cancelled() => Err(stopped()),
        }
    }

    /// Changes something. Not begun when the run was asked to stop; once begun it is let return, unless that takes too long.
    pub(crate) async fn changing<T>(&self, change: impl Future<Output = T>) -> Result<T, Stop> {
        self.go_on()?;
        let given_up = async {
            self.job.cancel.cancelled().await;
            self.job.clock.sleep(GRACE).await;
        };
        tokio::select! {
            biased;
            done = change => Ok(done),
            () = given_up => Err(Stop::Interrupted(
                "the run was stopped while a write was in flight; the next run looks whether it was done".to_owned(),
            )),
        }
    }

    /// As [`Run::looking`], in a slot of the run's parallelism.
    pub(crate) async fn looking_in_slot<T>(&self, look: impl Future<Output = T>) -> Result<T, Stop> {
        let _slot = self.slot().await?;
        self.looking(look).await
    }

    /// As [`Run::changing`], in a slot of the run's parallelism.
    pub(crate) async fn changing_in_slot<T>(&self, change: impl Future<Output = T>) -> Result<T, Stop> {
        let _slot = self.slot().await?;
        self.changing(change).await
    }

    async fn slot(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Stop> {
        permit(self, &self.job.slots).await
    }

    /// Leave to make a key.
    pub(crate) async fn key_maker(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Stop> {
        permit(self, &self.key_makers).await
    }

    /// How long to stay away before the next try: what the service asked for, else longer each time, with a little chance in it so
    /// that two runs do not meet again. A service that asks for more than a read may take ends the chain; the next run continues.
    pub(crate) fn backoff(&self, attempt: u32, trouble: &Trouble) -> Result<SignedDuration, Stop> {
        if let Some(asked) = trouble.retry_after() {
            return match asked <= self.job.settings.read_deadline {
                true => Ok(asked.max(SignedDuration::from_secs(1))),
                false => Err(Stop::Failed(trouble.clone())),
            };
        }
        let base = self.job.settings.read_interval.max(SignedDuration::from_millis(100));
        let longer = base.saturating_mul(1_i32 << attempt.min(10)).min(BACKOFF_MAX);
        let mut dice = [0];
        self.job.random.fill(&mut dice);
        Ok(longer + longer / 4 * i32::from(dice[0]) / 255)
    }

    /// The lock of one object: within a process, one writer at a time.
    pub(crate) fn lock(&self, target: TargetId) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(target).or_default())
    }

    /// Remembers that this run wrote, or may have written, that credential: every later write must see it first.
    pub(crate) fn wrote(&self, target: TargetId, key_id: KeyId) {
        let now = self.now();
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.entry(target).or_default().insert(key_id, now);
    }

    /// Forgets a credential that was not written after all, or that was taken off again.
    pub(crate) fn unwrote(&self, target: TargetId, key_id: KeyId) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_target) = written.get_mut(&target) {
            of_target.remove(&key_id);
        }
    }

    /// Remembers that this run took the credential of that certificate off, or destroyed its key: no read has to show it any more.
    pub(crate) fn ended(&self, target: TargetId, sha1: Sha1) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).insert((target, sha1));
    }

    /// Whether this run did.
    pub(crate) fn has_ended(&self, target: TargetId, sha1: Sha1) -> bool {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).contains(&(target, sha1))
    }

    /// The credentials this run wrote to that object.
    pub(crate) fn written(&self, target: TargetId) -> Vec<KeyId> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(&target).map(|of_target| of_target.keys().copied().collect()).unwrap_or_default()
    }
}

async fn permit<'s>(
    run: &Run<'_>,
    semaphore: &'s Semaphore,
) -> Result<tokio::sync::SemaphorePermit<'s>, Stop> {
    run.looking(semaphore.acquire()).await?.map_err(|_| {
        Stop::Failed(Trouble::new(TroubleKind::Internal, "taking a slot", "the slots were closed"))
    })
}
