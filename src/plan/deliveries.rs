//! Decision (c): what each delivery place still needs of the current generation.

use crate::desired::Delivery;
use crate::observed::DeliveryState;
use crate::plan::PlannedStep;
use crate::plan::planner::held_back;
use crate::plan::reason::{Because, Note, NoteKind};
use crate::plan::situation::{CurrentView, Situation, reference};
use crate::plan::step::{GenerationRef, Step};
use crate::plan::successor::{Succession, planned};

/// Decision (c). A rotation delivers by itself; this is for places that missed it or were changed by others.
pub fn decide(
    situation: &Situation<'_>,
    current: Option<&CurrentView<'_>>,
    succession: &Succession,
) -> (Vec<PlannedStep>, Vec<Note>) {
    let (mut steps, mut notes) = (Vec::new(), Vec::new());
    let Some(generation) = current.and_then(|current| current.generation) else { return (steps, notes) };
    if succession.successor.is_some() {
        return (steps, notes);
    }
    for delivery in &situation.declared.deliveries {
        let state = situation.deliveries.get(&delivery.slot);
        let delivered = generation.record.delivered_to(&delivery.slot);
        let form_kept = delivered.is_some_and(|delivered| delivered.form == delivery.form.fingerprint());
        let holds_it = match (state, delivered) {
            (Some(DeliveryState::Holds(held)), _) => Some(Some(*held) == generation.record.thumbprints),
            (Some(DeliveryState::Marker(marker)), Some(delivered)) => Some(*marker == delivered.marker),
            (Some(DeliveryState::Marker(_) | DeliveryState::Absent), _) => Some(false),
            (Some(DeliveryState::Unreadable { .. } | DeliveryState::NeverTells { .. }) | None, _) => None,
        };
        match holds_it {
            Some(true) if form_kept => notes.extend(how_far(&delivery.slot, state)),
            None if form_kept => notes.push(cannot_compare(&delivery.slot, state)),
            Some(_) | None => match held_back(situation, None, "deliver") {
                Some(note) => notes.push(note),
                None => {
                    let step = deliver(reference(generation), delivery);
                    steps.push(planned(situation, step, Because::DeliveryDiffers));
                }
            },
        }
    }
    (steps, notes)
}

/// The step that copies it there.
pub fn deliver(generation: GenerationRef, delivery: &Delivery) -> Step {
    Step::Deliver { generation, slot: delivery.slot.clone(), kept_as: delivery.form.words().join(", ") }
}

/// How far "nothing to do" goes for a place that never shows what it holds.
fn how_far(slot: &str, state: Option<&DeliveryState>) -> Option<Note> {
    let by_marks = matches!(state, Some(DeliveryState::Marker(_)));
    let text = format!("{slot} is compared by its marks of change: what it holds cannot be read");
    by_marks.then(|| Note::new(NoteKind::Info, text))
}

fn cannot_compare(slot: &str, state: Option<&DeliveryState>) -> Note {
    let (kind, reason) = match state {
        Some(DeliveryState::Unreadable { reason }) => (NoteKind::Warning, reason.as_str()),
        // Nothing is wrong there, and nobody can do anything about it.
        Some(DeliveryState::NeverTells { reason }) => (NoteKind::Info, reason.as_str()),
        _ => (NoteKind::Warning, "it was not looked at"),
    };
    Note::new(kind, format!("{slot} cannot be compared: {reason}"))
}
