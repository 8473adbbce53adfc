//! What a read must show before a write may be built on it. A write replaces the whole list, so a read that is too old to show
//! what another run published a moment ago would delete it.

use crate::apply::chain::Chain;
use crate::apply::context::later;
use crate::ids::{Sha1, TargetId, Thumbprints};
use crate::observed::record::RecordedPhase;
use crate::observed::{Generation, KeyState, StoreState};
use crate::plan::step::Step;

/// What the write is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// It adds a credential.
    Adds,
    /// It takes one off.
    Removes,
}

/// What this run means to do with a generation on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meant {
    /// It is published, or its key destroyed: the plan was made from a read without its credential.
    PublishedOrDestroyed,
    /// It is gone on with: the plan was made from a read with its credential.
    GoneOnWith,
    /// Nothing.
    Nothing,
}

impl Chain<'_> {
    /// Every generation for that object, but for the one the write is about, which is on its way or young, as far as the stores'
    /// records tell: another run may have published it a moment ago. What this run has ended itself is over, whatever the records said
    /// when it began.
    pub(crate) fn must_show(&self, target: TargetId, about: Sha1, write: Write) -> Vec<Thumbprints> {
        let others =
            self.run.job.observed.stores.iter().filter(|(address, _)| **address != self.plan.address);
        let others = others.filter_map(|(_, store)| match &store.state {
            StoreState::Known(holding) => Some(&holding.generations),
            StoreState::Absent | StoreState::Unreadable { .. } => None,
        });
        let of_others = |thumbprints: &Thumbprints| {
            thumbprints.sha1 != about && !self.run.has_ended(target, thumbprints.sha1)
        };
        let young: Vec<&Generation> = others
            .flatten()
            .chain(&self.generations)
            .filter(|generation| generation.record.target == target && generation.key != KeyState::Destroyed)
            .filter(|generation| !generation.record.rejected)
            .filter(|generation| self.may_just_have_been_published(generation, write))
            .filter(|generation| generation.record.thumbprints.as_ref().is_some_and(of_others))
            .collect();
        let needed = young.iter().filter(|one| !young.iter().any(|other| was_there_before(one, other)));
        needed.filter_map(|generation| generation.record.thumbprints).collect()
    }

    fn may_just_have_been_published(&self, generation: &Generation, write: Write) -> bool {
        let (now, settings) = (self.run.now(), self.run.job.settings);
        let record = &generation.record;
        match record.phase {
            RecordedPhase::Requested | RecordedPhase::Staged => {
                let is_younger_than = |age| later(record.requested_at, age) > now;
                match (write, self.meant_for(generation)) {
                    // Two on one object would wait for each other for ever. Nobody reads it yet, and publishing looks first.
                    (Write::Adds, Meant::PublishedOrDestroyed) => false,
                    (_, Meant::GoneOnWith) | (Write::Removes, Meant::PublishedOrDestroyed) => true,
                    // One that nobody goes on with any more would otherwise keep every predecessor, or every successor, for ever.
                    (Write::Adds, Meant::Nothing) => is_younger_than(settings.young),
                    (Write::Removes, Meant::Nothing) => is_younger_than(settings.prove_give_up),
                }
            }
            RecordedPhase::Promoted => {
                let made = record.promoted_at.map_or(record.requested_at, |at| at.max(record.requested_at));
                later(made, settings.young) > now
            }
            RecordedPhase::Retired => false,
        }
    }

    fn meant_for(&self, generation: &Generation) -> Meant {
        let Some(rotation_id) = generation.record.rotation_id else { return Meant::Nothing };
        let certificates = self.run.job.plan.certificates.iter();
        let steps = certificates.flat_map(|certificate| &certificate.steps).map(|planned| &planned.step);
        steps
            .filter(|step| step.generation().is_some_and(|which| which.rotation_id == Some(rotation_id)))
            .fold(Meant::Nothing, |meant, step| match step {
                Step::Publish { .. } | Step::Discard { .. } | Step::Destroy { .. } => {
                    Meant::PublishedOrDestroyed
                }
                _ if meant == Meant::Nothing => Meant::GoneOnWith,
                _ => meant,
            })
    }
}

/// Whether a read that shows `later` is young enough to show `earlier`, too, if it still is there: its key was made only after
/// `earlier` was in use. What is then missing has been taken off since, and its record need not say so.
fn was_there_before(earlier: &Generation, later: &Generation) -> bool {
    let (earlier, later) = (&earlier.record, &later.record);
    let in_use = earlier.promoted_at.filter(|_| earlier.phase == RecordedPhase::Promoted);
    earlier.requested_at < later.requested_at && in_use.is_some_and(|in_use| in_use <= later.requested_at)
}
