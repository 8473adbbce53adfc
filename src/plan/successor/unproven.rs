//! A proof that is still missing: of what was promoted before it, of what was published again, and of what has been published for too
//! long.

use crate::desired::Prove;
use crate::observed::Credential;
use crate::plan::reason::{Because, Note};
use crate::plan::situation::{CurrentView, Situation};
use crate::plan::step::{Evidence, Step};
use crate::plan::successor::{Succession, planned, provable};

/// With `prove: after_promotion` a run can end between the promotion and the proof, and any run between a repair and its proof. Consumers
/// read a key then that has not signed in since, so the proof comes on top of whatever else is due, unless the run gives them another key. Neither hold nor window keeps it back: it is
/// the rest of a rotation on its way, and changes nothing but the record.
pub(super) fn finish_proof(
    situation: &Situation<'_>,
    current: &CurrentView<'_>,
    succession: &mut Succession,
) {
    let live = current.is_published() && !current.is_expired_at(situation.now);
    if !live || succession.blocked || succession.successor.is_some() {
        return;
    }
    let Some(because) = lacks_proof(situation, current) else { return };
    match provable(situation) {
        Ok(evidence) => {
            succession.notes.extend(still_unproven(situation, &current.credentials, evidence));
            let step = Step::Prove { generation: current.reference(), evidence };
            succession.steps.push(planned(situation, step, because));
        }
        Err(note) => succession.notes.push(note.about(current.sha1)),
    }
}

/// Promoted before a proof that no record tells of, or published after the one it tells of. What certroll did not make was in use before
/// anybody could ask, and where nobody is to sign in there is no proof to miss.
fn lacks_proof(situation: &Situation<'_>, current: &CurrentView<'_>) -> Option<Because> {
    let record = &current.generation?.record;
    record.rotation_id?;
    let Some(proven_at) = record.proven_at else {
        return (situation.declared.prove == Prove::AfterPromotion).then_some(Because::NotProvenYet);
    };
    // Another machine may have published it, by a clock of its own.
    let known_by = proven_at.checked_add(situation.policy.settings.skew_refuse).ok()?;
    let start = current.credentials.iter().filter_map(|credential| credential.start).min()?;
    let again = start > known_by && start <= situation.now;
    (again && situation.declared.prove != Prove::ReadBack).then_some(Because::RepairNotProven)
}

/// Published for longer than any known delay and still to be proven: the run tries again, and somebody should look.
pub(super) fn still_unproven(
    situation: &Situation<'_>,
    credentials: &[&Credential],
    evidence: Evidence,
) -> Option<Note> {
    let settings = &situation.policy.settings;
    let start = credentials.iter().filter_map(|credential| credential.start).max()?;
    let published = start.checked_add(settings.start_margin).ok()?;
    let given_up = published.checked_add(settings.prove_give_up).ok()? < situation.now;
    (given_up && matches!(evidence, Evidence::SignIn { .. })).then(|| {
        let day = published.strftime("%Y-%m-%d %H:%M UTC");
        let note = Note::blocked(
            format!("published on {day} and nobody has signed in with it yet"),
            "certroll apply tries again; check that the service principal exists and is enabled, that the client id is the one declared, and that no policy blocks sign-ins from here",
        );
        let sha1 = credentials.iter().find_map(|credential| credential.sha1());
        sha1.map_or(note.clone(), |sha1| note.about(sha1))
    })
}
