//! A proof that is still missing: of what was promoted before it, and of what has been published for too long.

use crate::desired::Prove;
use crate::observed::Credential;
use crate::plan::reason::{Because, Note};
use crate::plan::situation::{CurrentView, Situation};
use crate::plan::step::{Evidence, Step};
use crate::plan::successor::{Succession, planned, provable};

/// With `prove: after_promotion` a run can end between the promotion and the proof. Consumers read a key then that never signed in, so
/// the proof comes on top of whatever else is due, unless the run gives them another key. Neither hold nor window keeps it back: it is
/// the rest of a rotation on its way, and changes nothing but the record.
pub(super) fn finish_proof(
    situation: &Situation<'_>,
    current: &CurrentView<'_>,
    succession: &mut Succession,
) {
    let live = current.is_published() && !current.is_expired_at(situation.now);
    if !live || succession.blocked || succession.successor.is_some() || !lacks_proof(situation, current) {
        return;
    }
    match provable(situation) {
        Ok(evidence) => {
            succession.notes.extend(still_unproven(situation, &current.credentials, evidence));
            let step = Step::Prove { generation: current.reference(), evidence };
            succession.steps.push(planned(situation, step, Because::NotProvenYet));
        }
        Err(note) => succession.notes.push(note.about(current.sha1)),
    }
}

/// Promoted before a proof that no record tells of. What certroll did not make was in use before anybody could ask.
fn lacks_proof(situation: &Situation<'_>, current: &CurrentView<'_>) -> bool {
    let Some(record) = current.generation.map(|generation| &generation.record) else { return false };
    situation.declared.prove == Prove::AfterPromotion
        && record.rotation_id.is_some()
        && record.proven_at.is_none()
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
