//! `--rollback`: the predecessor becomes current again.

use crate::observed::record::{PublicRecord, RecordedPhase};
use crate::observed::{Generation, KeyState};
use crate::plan::reason::{Because, Note};
use crate::plan::situation::{CurrentView, Situation, reference};
use crate::plan::step::Step;
use crate::plan::successor::rotation::{hand_off, provable, push_deliveries};
use crate::plan::successor::{Succession, is_held, kept_as, place, planned};

/// Why a rollback is refused without a hold in force.
pub const NEEDS_HOLD: &str = "a rollback needs a hold: in the file, else the next run would rotate again";
/// What to try then.
pub const ADD_HOLD: &str = "add hold: { until: DATE, reason: TEXT } to the certificate";

/// `--rollback`, and a rollback that an earlier run did not finish.
pub(super) fn rollback(situation: &Situation<'_>, current: Option<&CurrentView<'_>>) -> Option<Succession> {
    let current = current?;
    let current_generation = current.generation?;
    let asked = situation.policy.rollback.contains(&situation.declared.address);
    // Without the hold it would be followed by a rotation, so that one comes instead.
    let unfinished = current_generation.record.rejected && is_held(situation);
    if !unfinished && (!asked || was_rolled_back(situation, current_generation)) {
        return None;
    }
    let previous = previous_generation(situation, current_generation);
    match previous {
        None if !asked => None,
        None => Some(Succession::blocked(Note::blocked(
            "there is no predecessor to roll back to: it must still be in the store and, valid and not revoked, on the target",
            "rotate instead: certroll apply --replace ADDRESS=THUMBPRINT",
        ))),
        Some(_) if !unfinished && !is_held(situation) => {
            Some(Succession::blocked(Note::blocked(NEEDS_HOLD, ADD_HOLD)))
        }
        Some(previous) => Some(roll_back_to(situation, current_generation, previous)),
    }
}

fn roll_back_to(situation: &Situation<'_>, from: &Generation, to: &Generation) -> Succession {
    let mut succession = Succession::default();
    let evidence = match provable(situation) {
        Ok(evidence) => evidence,
        Err(note) => return Succession::blocked(note),
    };
    let because = if from.record.rejected { Because::RejectedIsCurrent } else { Because::Rollback };
    let generation = reference(to);
    let mut push = |step| succession.steps.push(planned(situation, step, because.clone()));
    push(Step::Prove { generation: generation.clone(), evidence });
    if !from.record.rejected {
        push(Step::Reject { generation: reference(from) });
    }
    push(Step::Promote {
        generation: generation.clone(),
        place: place(situation.declared),
        kept_as: kept_as(situation.declared),
        before_proof: false,
    });
    push_deliveries(situation, &mut succession.steps, &generation, &because);
    hand_off(situation, &mut succession.notes);
    succession.successor = Some(generation);
    succession
}

/// A rejected generation that is newer than the current one: the rollback was done.
fn was_rolled_back(situation: &Situation<'_>, current: &Generation) -> bool {
    situation
        .holding
        .generations
        .iter()
        .any(|other| other.record.rejected && other.record.requested_at > current.record.requested_at)
}

/// The generation that was current before, if it can be again. An older one in its stead would not be what consumers had.
fn previous_generation<'s>(situation: &'s Situation<'_>, current: &Generation) -> Option<&'s Generation> {
    let was_current = |generation: &&Generation| {
        let record = &generation.record;
        generation.handle != current.handle
            // A store forgets the time before it makes one current again; it was current nevertheless.
            && (record.promoted_at.is_some() || record.phase == RecordedPhase::Promoted)
            && !record.rejected
            && record.requested_at < current.record.requested_at
    };
    let usable = |generation: &&Generation| {
        let credentials = situation.credentials_of(generation);
        generation.key == KeyState::Held
            && !situation.is_revoked_generation(generation)
            && !credentials.iter().any(|credential| situation.names_for_replacement(credential))
            && credentials.iter().any(|credential| credential.is_valid_at(situation.now))
    };
    let former = situation.holding.generations.iter().filter(was_current);
    let order = |generation: &&Generation| {
        let PublicRecord { promoted_at, requested_at, .. } = generation.record;
        (promoted_at.is_none(), promoted_at, requested_at)
    };
    former.max_by_key(order).filter(usable)
}
