//! Which keys are destroyed once their credentials are gone.

use crate::ids::KeyId;
use crate::observed::{Generation, KeyState};
use crate::plan::PlannedStep;
use crate::plan::planner::held_back;
use crate::plan::reason::Because;
use crate::plan::situation::{CurrentView, Situation, reference};
use crate::plan::step::Step;
use crate::plan::successor::{Succession, generations_on_their_way, is_held, place, planned};

/// Keys of generations on their way that were published, no longer fit, and whose credential goes in this run.
/// A rotation that waits for nothing discards the unpublished ones too, so neither hold nor window keeps these then.
pub(super) fn destroy_given_up(
    situation: &Situation<'_>,
    succession: &Succession,
    gone: &[KeyId],
    steps: &mut Vec<PlannedStep>,
) {
    let kept = is_held(situation) || held_back(situation, None, "destroy").is_some();
    if kept && succession.steps.is_empty() {
        return;
    }
    for generation in generations_on_their_way(situation) {
        let published = !situation.credentials_of(generation).is_empty();
        if published && is_gone(situation, generation, gone) {
            let step = Step::Destroy { generation: reference(generation), place: place(situation.declared) };
            steps.push(planned(situation, step, Because::NoLongerFits));
        }
    }
}

/// Whether no credential of it is left after the removals.
fn is_gone(situation: &Situation<'_>, generation: &Generation, gone: &[KeyId]) -> bool {
    let credentials = situation.credentials_of(generation);
    credentials.iter().all(|credential| credential.key_id.is_some_and(|id| gone.contains(&id)))
}

/// Keys of generations whose credential is gone after the steps so far, beyond the number that is kept. Never one that is
/// newer than what consumers read then: its record is what remembers that it was given up.
pub(super) fn destroy_keys(
    situation: &Situation<'_>,
    current: Option<&CurrentView<'_>>,
    succession: &Succession,
    gone: &[KeyId],
    steps: &mut Vec<PlannedStep>,
) {
    if is_held(situation) || held_back(situation, None, "destroy").is_some() {
        return;
    }
    let generations = &situation.holding.generations;
    let (read, newest) = match &succession.successor {
        // One that is still to be made is newer than all.
        Some(successor) => (generations.iter().find(|g| successor.is(&reference(g))), true),
        None => (current.and_then(|current| current.generation), false),
    };
    if read.is_none() && !newest {
        return;
    }
    let on_its_way: Vec<_> =
        generations_on_their_way(situation).iter().map(|generation| &generation.handle).collect();
    let mut retired: Vec<_> = generations
        .iter()
        // Made for an object the certificate has left: its credential cannot be seen from here.
        .filter(|generation| generation.record.target == situation.target.id && situation.is_ours(generation))
        .filter(|generation| generation.key == KeyState::Held && !on_its_way.contains(&&generation.handle))
        .filter(|generation| {
            read.is_none_or(|read| generation.record.requested_at < read.record.requested_at)
        })
        .filter(|generation| is_gone(situation, generation, gone) && !is_published_by(succession, generation))
        .collect();
    retired.sort_by_key(|generation| std::cmp::Reverse((generation.record.requested_at, &generation.handle)));
    let keep = situation.declared.keep_retired;
    for generation in retired.into_iter().skip(keep as usize) {
        let step = Step::Destroy { generation: reference(generation), place: place(situation.declared) };
        steps.push(planned(situation, step, Because::BeyondKeepRetired { keep }));
    }
}

/// Whether a step of decision (a) publishes it: a repair.
fn is_published_by(succession: &Succession, published: &Generation) -> bool {
    succession.steps.iter().any(|planned| {
        matches!(&planned.step, Step::Publish { generation, .. } if generation.is(&reference(published)))
    })
}
