//! Whether the current generation is due, what is waited for before, and what is left to do while it is healthy.

use crate::desired::Timing;
use crate::ids::Name;
use crate::observed::Generation;
use crate::observed::record::PublicRecord;
use crate::plan::PlannedStep;
use crate::plan::calendar::{due, lead_before};
use crate::plan::planner::held_back;
use crate::plan::predecessors::{is_acknowledgement_overdue, said_too_early};
use crate::plan::reason::{Because, Note, NoteKind, ack_command};
use crate::plan::situation::{CurrentView, Situation, reference};
use crate::plan::step::{RecordWrite, Step};
use crate::plan::successor::rotation::discard_others;
use crate::plan::successor::{Succession, is_missing, planned};

/// Asked in this order; the first is the one the plan shows.
const REASONS_TO_ROTATE: &[fn(&Situation<'_>, &CurrentView<'_>) -> Option<Because>] =
    &[replace_asked, expired, due_now, differs];

pub(super) fn reason_to_rotate(situation: &Situation<'_>, current: &CurrentView<'_>) -> Option<Because> {
    REASONS_TO_ROTATE.iter().find_map(|reason| reason(situation, current))
}

pub(super) fn replace_asked(situation: &Situation<'_>, current: &CurrentView<'_>) -> Option<Because> {
    let thumbprint = situation.policy.replace.get(&situation.declared.address)?;
    let named = match current.generation.and_then(|generation| generation.record.thumbprints) {
        Some(thumbprints) => thumbprint.names(&thumbprints),
        None => thumbprint.names_sha1(&current.sha1),
    };
    named.then_some(Because::Replace)
}

fn expired(situation: &Situation<'_>, current: &CurrentView<'_>) -> Option<Because> {
    current.is_expired_at(situation.now).then_some(Because::Expired { ended: current.life.end })
}

fn due_now(situation: &Situation<'_>, current: &CurrentView<'_>) -> Option<Because> {
    let due = due(situation.declared, current.life);
    (due <= situation.now).then_some(Because::Due { due, ends: current.life.end })
}

/// Facts the record does not give are unknown, and unknown is never a reason to rotate.
fn differs(situation: &Situation<'_>, current: &CurrentView<'_>) -> Option<Because> {
    let record = &current.generation?.record;
    let declared = situation.declared;
    let because = |what: &str, is: String, wanted: String| {
        Some(Because::Differs { what: what.into(), is, declared: wanted })
    };
    if record.target != situation.target.id {
        return because("target", record.target.to_string(), situation.target.id.to_string());
    }
    if let Some(key) = record.key.filter(|key| *key != declared.key) {
        return because("key", format!("RSA {}", key.bits()), format!("RSA {}", declared.key.bits()));
    }
    let subject = declared.subject.to_string();
    if !record.subject.is_empty() && record.subject != subject && !follows_the_name(situation, record) {
        return because("subject", record.subject.clone(), subject);
    }
    let issuer = declared.issuer.fingerprint();
    if !record.issuer.is_empty() && record.issuer != issuer {
        return because("issuer", record.issuer.clone(), issuer);
    }
    let form = declared.store.as_ref().map(|store| store.form.fingerprint()).unwrap_or_default();
    if !record.form.is_empty() && record.form != form {
        return because("store form", record.form.clone(), form);
    }
    None
}

/// Whether both subjects are those that follow from a name when none is written, and only the name changed (`moved:`). A new name
/// alone is no reason for a new key: the next rotation makes one with the new subject.
fn follows_the_name(situation: &Situation<'_>, record: &PublicRecord) -> bool {
    let name = &situation.declared.address.name;
    let of = |name: &Name| format!("CN={name}");
    record.name != *name
        && situation.names.contains(&record.name)
        && record.subject == of(&record.name)
        && situation.declared.subject == of(name)
}

/// Something should be waited for before a due rotation, unless the current one itself is about to end.
pub(super) fn reason_to_wait(situation: &Situation<'_>, current: &CurrentView<'_>) -> Option<Note> {
    if is_urgent(situation, current) || replace_asked(situation, current).is_some() {
        return None;
    }
    let declared = situation.declared;
    if declared.acknowledge && situation.current_acknowledged_at(current).is_none() {
        return Some(
            Note::new(NoteKind::Waiting, "a rotation is due, and the last one is not acknowledged yet")
                .with_hint(ack_command(&declared.address))
                .overdue(is_acknowledgement_overdue(situation, current))
                .about(current.sha1),
        );
    }
    lacks_room(situation, current).then(|| {
        let live = live_after_repair(situation, current);
        Note::new(NoteKind::Waiting, format!("a rotation is due, and {live} generations are live already"))
            .with_hint("let one retire first, or acknowledge the current one")
    })
}

pub(super) fn lacks_room(situation: &Situation<'_>, current: &CurrentView<'_>) -> bool {
    live_after_repair(situation, current) >= situation.policy.settings.live_generations_max
}

fn live_after_repair(situation: &Situation<'_>, current: &CurrentView<'_>) -> usize {
    situation.live_generations() + usize::from(is_missing(situation, current))
}

fn is_urgent(situation: &Situation<'_>, current: &CurrentView<'_>) -> bool {
    let by_days = current.life.end.duration_since(situation.now) <= situation.policy.settings.urgent;
    let by_lead = match &situation.declared.timing {
        Timing::RenewBefore(lead) => lead_before(lead, current.life) <= situation.now,
        Timing::RotationPeriod(_) => false,
    };
    by_days || by_lead
}

pub(super) fn healthy(situation: &Situation<'_>, current: &CurrentView<'_>) -> Succession {
    let due = due(situation.declared, current.life);
    let ends = current.life.end.strftime("%Y-%m-%d");
    let mut notes = vec![
        Note::new(NoteKind::Later, format!("rotate; the current one ends on {ends}"))
            .at(due)
            .about(current.sha1),
    ];
    notes.extend(unacknowledged(situation, current));
    let mut succession = Succession { notes, ..Succession::default() };
    tidy_up(situation, current, &mut succession);
    succession
}

/// What an earlier run left and no rotation of this one takes up: the promotion is recorded, because the overlap begins
/// with that, and generations that no longer fit are discarded.
pub(super) fn tidy_up(situation: &Situation<'_>, current: &CurrentView<'_>, succession: &mut Succession) {
    let mut steps = Vec::new();
    record_promotion(situation, current, &mut steps);
    discard_others(situation, None, &mut steps);
    append(situation, steps, succession);
}

/// The part of it that a hold does not keep back: without it no delivery counts, and a rollback, which needs a hold, could not be finished.
pub(super) fn record_what_is_current(
    situation: &Situation<'_>,
    current: &CurrentView<'_>,
    succession: &mut Succession,
) {
    let mut steps = Vec::new();
    record_promotion(situation, current, &mut steps);
    append(situation, steps, succession);
}

fn append(situation: &Situation<'_>, mut steps: Vec<PlannedStep>, succession: &mut Succession) {
    if steps.is_empty() {
        return;
    }
    match held_back(situation, None, "tidy up the store") {
        Some(note) => succession.notes.push(note),
        None => succession.steps.append(&mut steps),
    }
}

pub(super) fn record_promotion(
    situation: &Situation<'_>,
    current: &CurrentView<'_>,
    steps: &mut Vec<PlannedStep>,
) {
    let unknown = |generation: &&Generation| generation.record.promoted_at.is_none();
    if let Some(generation) = current.generation.filter(unknown) {
        let step = Step::Record { generation: reference(generation), write: RecordWrite::Promoted };
        steps.push(planned(situation, step, Because::PromotionUnknown));
    }
}

fn unacknowledged(situation: &Situation<'_>, current: &CurrentView<'_>) -> Option<Note> {
    let declared = situation.declared;
    let missing = declared.acknowledge && situation.current_acknowledged_at(current).is_none();
    missing.then(|| {
        let consumer = declared.consumer.as_ref().map_or("the consumer", |consumer| consumer.title.as_str());
        Note::new(
            NoteKind::Waiting,
            format!("{consumer} has not been acknowledged to use it{}", said_too_early(situation, current)),
        )
        .about(current.sha1)
        .overdue(is_acknowledgement_overdue(situation, current))
        .with_hint(ack_command(&declared.address))
    })
}
