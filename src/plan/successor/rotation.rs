//! The chains of steps: a rotation from the phase it has reached, and the repair of what the target lost.

use jiff::{SignedDuration, Timestamp};

use crate::desired::{Prove, Timing};
use crate::observed::record::RecordedPhase;
use crate::observed::{Credential, Generation, KeyState, Staging};
use crate::plan::PlannedStep;
use crate::plan::calendar::{Life, due, freeze_at};
use crate::plan::deliveries::deliver;
use crate::plan::planner::held_back;
use crate::plan::reason::{Because, Note, NoteKind, ack_command};
use crate::plan::records::credential_dates;
use crate::plan::situation::{CurrentView, Situation, Standing, reference};
use crate::plan::step::{Evidence, GenerationRef, Step};
use crate::plan::successor::due::{record_promotion, replace_asked};
use crate::plan::successor::signature::{self, Signature};
use crate::plan::successor::unproven::still_unproven;
use crate::plan::successor::{Succession, kept_as, place, planned};

/// The generation on its way that this plan goes on with.
pub(super) fn continuing<'s>(
    situation: &'s Situation<'_>,
    current: Option<&CurrentView<'_>>,
) -> Option<&'s Generation> {
    let id = situation.rotation_id(current);
    generations_on_their_way(situation).into_iter().find(|generation| {
        generation.record.rotation_id == Some(id)
            && generation.key == KeyState::Held
            && !situation.is_spent(generation)
            && situation.has_life_left(generation)
    })
}

/// Generations that were requested or staged and never promoted, oldest first.
pub fn generations_on_their_way<'s>(situation: &'s Situation<'_>) -> Vec<&'s Generation> {
    let current = situation.holding.current_generation().map(|generation| &generation.handle);
    let on_its_way = |generation: &&Generation| {
        matches!(generation.record.phase, RecordedPhase::Requested | RecordedPhase::Staged)
            && generation.record.promoted_at.is_none()
            && situation.is_ours(generation)
            && Some(&generation.handle) != current
            && generation.key != KeyState::Destroyed
    };
    let mut generations: Vec<_> = situation.holding.generations.iter().filter(on_its_way).collect();
    generations.sort_by_key(|generation| (generation.record.requested_at, &generation.handle));
    generations
}

/// Whether windows and freezes hold a rotation back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// Nothing holds it back.
    Open,
    /// They do.
    Windows,
}

/// request → issue → publish → prove → promote → deliver, from the phase it has reached.
pub(super) fn rotate(
    situation: &Situation<'_>,
    current: Option<&CurrentView<'_>>,
    because: Because,
    gate: Gate,
) -> Succession {
    let deadline = current.map(|current| situation.declared.overlap.before(current.life.end));
    if gate == Gate::Windows
        && let Some(note) = held_back(situation, deadline, "rotate")
    {
        let asked = current.is_some_and(|current| replace_asked(situation, current).is_some());
        return Succession::noted(if asked { not_while_held_back(situation, note) } else { note });
    }
    if let Some(note) = cannot_rotate(situation) {
        return Succession::blocked(note);
    }
    let mut succession = Succession::default();
    if let Some(current) = current {
        record_promotion(situation, current, &mut succession.steps);
    }
    let started = continuing(situation, current);
    discard_others(situation, started, &mut succession.steps);
    let generation = match started {
        Some(started) => reference(started),
        None => GenerationRef { rotation_id: Some(situation.rotation_id(current)), thumbprints: None },
    };
    let ends = current.map(|current| current.life.end);
    let promoted = chain(situation, started, &generation, because, ends, &mut succession);
    if promoted {
        hand_off(situation, &mut succession.notes);
        succession.successor = Some(generation);
    }
    succession
}

/// `--replace` of what a freeze keeps, or what is to wait for a window: whoever asks by name is told.
fn not_while_held_back(situation: &Situation<'_>, note: Note) -> Note {
    let why = match freeze_at(&situation.declared.freeze, situation.now) {
        Some(freeze) => format!("held back by a freeze: {}", freeze.reason),
        None => "outside the windows".to_owned(),
    };
    let until =
        note.at.map(|at| format!(", until {}", at.strftime("%Y-%m-%d %H:%M UTC"))).unwrap_or_default();
    let hint = "ask again then; or add --revoke-previous, which neither window nor freeze keeps back, if that key must not be used any longer";
    Note::blocked(format!("nothing is replaced: {why}{until}"), hint)
}

/// What makes a rotation impossible, with who can help.
fn cannot_rotate(situation: &Situation<'_>) -> Option<Note> {
    let declared = situation.declared;
    let appends = situation.shape.is_some_and(|shape| shape.staging == Staging::AppendIsLive);
    if appends && declared.prove == Prove::SignIn {
        return Some(Note::blocked(
            format!(
                "a write to {} is live at once, so a key there cannot be proven before consumers read it",
                place(declared)
            ),
            "say prove: after_promotion for this certificate",
        ));
    }
    let policy = situation.target.lifetime_policy.as_ref()?;
    let settings = &situation.policy.settings;
    let (start, end) = credential_dates(
        situation.now,
        declared.validity.after(situation.now),
        Some(policy.max_seconds),
        situation.now,
        settings,
    );
    let life = Life { began: start, end, length: end.duration_since(start) };
    let a_day = SignedDuration::from_hours(24);
    (due(declared, life).duration_since(situation.now) <= a_day).then(|| {
        let lead = match &declared.timing {
            Timing::RotationPeriod(_) => String::new(),
            Timing::RenewBefore(lead) => format!(" and renew_before {lead}"),
        };
        Note::blocked(
            format!(
                "policy {} lets a credential live {} days, which leaves no room for an overlap of {}{lead}",
                policy.policy_id,
                policy.max_seconds / 86_400,
                declared.overlap
            ),
            "declare shorter ones, or ask who keeps the policy for a longer life",
        )
    })
}

/// Generations on their way that no longer fit: unpublished ones are discarded, published ones are left to retire.
pub(super) fn discard_others(
    situation: &Situation<'_>,
    kept: Option<&Generation>,
    steps: &mut Vec<PlannedStep>,
) {
    for generation in generations_on_their_way(situation) {
        let is_kept = kept.is_some_and(|kept| kept.handle == generation.handle);
        // One made for another object may be published there, but for one that nobody has signed yet: that one stands in the way
        // where a name has room for one request.
        let made_for_it = generation.record.target == situation.target.id;
        let unsigned = generation.record.thumbprints.is_none();
        if !is_kept && (made_for_it || unsigned) && situation.credentials_of(generation).is_empty() {
            let step = Step::Discard { generation: reference(generation), place: place(situation.declared) };
            steps.push(planned(situation, step, Because::NoLongerFits));
        }
    }
}

/// The steps from the phase reached to delivery. Says whether they end with a new current generation.
fn chain(
    situation: &Situation<'_>,
    started: Option<&Generation>,
    generation: &GenerationRef,
    because: Because,
    current_ends: Option<Timestamp>,
    succession: &mut Succession,
) -> bool {
    let declared = situation.declared;
    let appends = situation.shape.is_some_and(|shape| shape.staging == Staging::AppendIsLive);
    let by_hand = signature::of(situation, started, generation);
    let requests = appends || by_hand.is_some() || declared.issuer.signs_in_store().is_some();
    let mut reasons = std::iter::once(because).chain(std::iter::repeat(Because::PartOfRotation));
    let mut push = |steps: &mut Vec<PlannedStep>, step| {
        let because = reasons.next().unwrap_or(Because::PartOfRotation);
        steps.push(planned(situation, step, because));
    };
    let steps = &mut succession.steps;
    let asks_again = matches!(by_hand, Some(Signature::NotAsked));
    if requests && (started.is_none() || asks_again) {
        push(
            steps,
            Step::Request {
                generation: generation.clone(),
                key: declared.key,
                subject: declared.subject.to_string(),
                place: place(declared),
            },
        );
    }
    if let Some(note) = by_hand.and_then(|signature| signature.note(situation, current_ends)) {
        succession.notes.push(note);
        return false;
    }
    if started.is_none_or(|started| started.record.thumbprints.is_none()) {
        push(
            steps,
            Step::Issue {
                generation: generation.clone(),
                key: declared.key,
                signature_hash: declared.signature_hash,
                subject: declared.subject.to_string(),
                validity: declared.validity.clone(),
                issuer: declared.issuer.words(),
                place: place(declared),
                kept_as: kept_as(declared),
                // One on its way without a certificate has its key waiting.
                requested: requests || started.is_some(),
            },
        );
    }
    if started.is_none_or(|started| situation.credentials_of(started).is_empty()) {
        push(steps, publish(situation, generation, false));
    }
    let evidence = match provable(situation) {
        Ok(evidence) => evidence,
        Err(note) => {
            succession.notes.push(note);
            return false;
        }
    };
    let before_proof = declared.prove == Prove::AfterPromotion;
    if let Some(started) = started.filter(|_| !before_proof) {
        let published = situation.credentials_of(started);
        succession.notes.extend(still_unproven(situation, &published, evidence));
    }
    let prove = Step::Prove { generation: generation.clone(), evidence };
    let promote = Step::Promote {
        generation: generation.clone(),
        place: place(declared),
        kept_as: kept_as(declared),
        before_proof,
    };
    if before_proof {
        let seconds = situation.policy.settings.settle.as_secs();
        push(steps, Step::Settle { generation: generation.clone(), seconds });
        push(steps, promote);
        push(steps, prove);
    } else {
        push(steps, prove);
        push(steps, promote);
    }
    push_deliveries(situation, steps, generation, &Because::PartOfRotation);
    true
}

pub(super) fn push_deliveries(
    situation: &Situation<'_>,
    steps: &mut Vec<PlannedStep>,
    generation: &GenerationRef,
    because: &Because,
) {
    for delivery in &situation.declared.deliveries {
        let step = deliver(generation.clone(), delivery);
        steps.push(planned(situation, step, because.clone()));
    }
}

/// How the certificate is proven, or why it cannot be.
pub fn provable(situation: &Situation<'_>) -> Result<Evidence, Note> {
    if situation.declared.prove == Prove::ReadBack {
        return Ok(Evidence::ReadBack);
    }
    match &situation.target.sign_in_impossible {
        None => {
            let settings = &situation.policy.settings;
            Ok(Evidence::SignIn { times: settings.sign_ins, seconds: settings.prove_deadline.as_secs() })
        }
        Some(reason) => Err(Note::blocked(
            format!("nobody can sign in, because {reason}: it cannot be proven"),
            "make that possible and run again, or say prove: read_back if no proof is wanted",
        )),
    }
}

fn reference_and_life(generation: &Generation) -> (GenerationRef, Option<SignedDuration>) {
    let record = &generation.record;
    let life = record.not_before.zip(record.not_after).map(|(begin, end)| end.duration_since(begin));
    (reference(generation), life)
}

/// The publish step of a generation.
pub fn publish(situation: &Situation<'_>, generation: &GenerationRef, repair: bool) -> Step {
    let declared = situation.declared;
    let marker = crate::ids::Marker { owner: situation.owner.clone(), name: declared.address.name.clone() };
    // What a rotation begins from is no stranger's: without it the rotation would be another one.
    let is_own = |credential: &Credential| {
        matches!(situation.standing(credential), Standing::Adopted { .. } | Standing::Orphan)
    };
    let droppable = |credential: &&Credential| {
        credential.reserved.is_none()
            && !is_own(credential)
            && situation.named_beside(credential).is_none()
            && situation.held_beside(credential).is_none()
            && situation.has_surely_ended(credential)
            && credential.key_id.is_some_and(|id| declared.drop_expired_foreign.contains(&id))
    };
    let made = situation.holding.generations.iter().map(reference_and_life);
    let made = made.filter(|(made, _)| made.is(generation)).find_map(|(_, life)| life);
    let life = made.unwrap_or_else(|| declared.validity.after(situation.now).duration_since(situation.now));
    let mut dropping: Vec<_> =
        situation.target.client_credentials().filter(droppable).filter_map(|c| c.key_id).collect();
    dropping.sort_unstable();
    Step::Publish {
        generation: generation.clone(),
        display_name: marker.display_name(&declared.description),
        lifetime_max_seconds: situation.lifetime_max(life),
        dropping,
        repair,
    }
}

/// What a person does once the steps are done.
pub(super) fn hand_off(situation: &Situation<'_>, notes: &mut Vec<Note>) {
    let declared = situation.declared;
    if !declared.acknowledge {
        return;
    }
    let consumer = declared.consumer.as_ref().map_or("the consumer", |consumer| consumer.title.as_str());
    let text = format!("hand off to {consumer}, then: {}", ack_command(&declared.address));
    notes.push(Note { hint: declared.handoff(), ..Note::new(NoteKind::HandOff, text) });
}

pub(super) fn repair(situation: &Situation<'_>, current: &CurrentView<'_>) -> Succession {
    let mut succession = Succession::default();
    let generation = current.reference();
    succession.steps.push(planned(
        situation,
        publish(situation, &generation, true),
        Because::MissingFromTarget,
    ));
    match provable(situation) {
        Ok(evidence) => succession.steps.push(planned(
            situation,
            Step::Prove { generation, evidence },
            Because::MissingFromTarget,
        )),
        Err(note) => succession.notes.push(note),
    }
    succession
}
