//! Decision (a): what becomes of the current generation. The rows stand in the order they are asked.

mod current;
mod due;
mod rollback;
mod rotation;
mod signature;
mod unproven;

use crate::desired::{Declared, StoreBinding};
use crate::ids::Thumbprint;
use crate::observed::{Credential, Generation};
use crate::plan::PlannedStep;
use crate::plan::reason::{Because, Note, NoteKind, Requires};
use crate::plan::situation::{CurrentView, Situation, Standing};
use crate::plan::step::{GenerationRef, Step};

pub use current::current;
use due::{
    healthy, lacks_room, reason_to_rotate, reason_to_wait, record_what_is_current, replace_asked, tidy_up,
};
use rollback::rollback;
pub use rollback::{ADD_HOLD, NEEDS_HOLD};
use rotation::{Gate, continuing, repair, rotate};
pub use rotation::{generations_on_their_way, provable, publish};

/// What decision (a) came to.
#[derive(Debug, Default)]
pub struct Succession {
    /// The chain so far.
    pub steps: Vec<PlannedStep>,
    /// What is not done now.
    pub notes: Vec<Note>,
    /// The generation that consumers read after the steps, if a step changes it.
    pub successor: Option<GenerationRef>,
    /// Whether nothing else may be planned for the certificate.
    pub blocked: bool,
    /// Whether a due rotation waits until there are fewer live generations.
    pub waits_for_room: bool,
}

impl Succession {
    fn blocked(note: Note) -> Succession {
        Succession { notes: vec![note], blocked: true, ..Succession::default() }
    }

    fn noted(note: Note) -> Succession {
        Succession { notes: vec![note], ..Succession::default() }
    }
}

/// Decision (a). Rows in the order of the design; the first that matches wins.
pub fn decide(situation: &Situation<'_>, current: Option<&CurrentView<'_>>) -> Succession {
    if let Some(note) = not_what_was_recorded(situation, current)
        .or_else(|| looks_renamed(situation, current))
        .or_else(|| key_under_former_name(situation, current))
    {
        return Succession::blocked(note);
    }
    if let Some(succession) = rollback(situation, current) {
        return succession;
    }
    if let Some(current) = current
        && let Some(because) = must_go_now(situation, current)
    {
        return rotate(situation, Some(current), because, Gate::Open);
    }
    let mut succession = onward(situation, current);
    if let Some(current) = current.filter(|current| is_missing(situation, current)) {
        let mut repaired = match situation.policy.withholds_repair {
            true => Succession::noted(repair_withheld()),
            false => repair(situation, current),
        };
        repaired.steps.append(&mut succession.steps);
        repaired.notes.append(&mut succession.notes);
        succession.steps = repaired.steps;
        succession.notes = repaired.notes;
    }
    if let Some(current) = current {
        unproven::finish_proof(situation, current, &mut succession);
    }
    succession
}

/// What an unattended run says of a repair, which it leaves out.
pub fn repair_withheld() -> Note {
    Note::blocked(
        "what is missing was perhaps taken away on purpose: a repair needs --allow-repair or a reviewed plan",
        "certroll plan --out FILE, review it, certroll apply FILE",
    )
}

/// Consumers read it, it could still sign in, and the target does not have it.
fn is_missing(situation: &Situation<'_>, current: &CurrentView<'_>) -> bool {
    let made_for_it = |generation: &Generation| generation.record.target == situation.target.id;
    !current.is_published()
        && current.generation.is_some_and(made_for_it)
        && !current.is_expired_at(situation.now)
}

/// The rows after *repair*, which comes on top of whichever of these matches: a plan that only repaired would leave the
/// others for a second run.
fn onward(situation: &Situation<'_>, current: Option<&CurrentView<'_>>) -> Succession {
    if continuing(situation, current).is_some() {
        return rotate(situation, current, Because::Resumed, Gate::Windows);
    }
    if is_held(situation) {
        let asked = current.is_some_and(|current| replace_asked(situation, current).is_some());
        let note = if asked { not_while_held(situation) } else { hold_note(situation, current) };
        let mut succession = Succession { notes: note.into_iter().collect(), ..Succession::default() };
        if let Some(current) = current {
            record_what_is_current(situation, current, &mut succession);
        }
        return succession;
    }
    let Some(current) = current else {
        let orphaned = situation.orphans().next().is_some();
        let because = if orphaned { Because::NoKeyHere } else { Because::NothingYet };
        return rotate(situation, None, because, Gate::Windows);
    };
    match reason_to_rotate(situation, current) {
        Some(because) => match reason_to_wait(situation, current) {
            Some(note) => {
                let waits_for_room = lacks_room(situation, current);
                let mut succession = Succession { waits_for_room, ..Succession::noted(note) };
                tidy_up(situation, current, &mut succession);
                succession
            }
            None => rotate(situation, Some(current), because, Gate::Windows),
        },
        None => healthy(situation, current),
    }
}

/// The record names another object than the one found, and no `moved:` says why.
fn not_what_was_recorded(situation: &Situation<'_>, current: Option<&CurrentView<'_>>) -> Option<Note> {
    let record = &current?.generation?.record;
    // Only what was made under a former name may be of a former object: the next rotation makes it under the new name, and from
    // then on a wrong object is a mistake again.
    let moved = record.name != situation.declared.address.name && situation.names.contains(&record.name);
    (record.target != situation.target.id && !moved).then(|| {
        Note::blocked(
            format!("the current generation was made for {}, and the file now names {}", record.target, situation.target.id),
            "if the certificate moves to another object on purpose, give it a new name and declare moved: [{ from, to }]",
        )
    })
}

/// The certificate has nothing under its new name, and what it was made under a former one is live: the entry of the store is named
/// after the certificate unless the file says otherwise, so that consumers may still read the former entry.
fn key_under_former_name(situation: &Situation<'_>, current: Option<&CurrentView<'_>>) -> Option<Note> {
    if current.is_some() || !situation.holding.generations.is_empty() {
        return None;
    }
    let binding = situation.declared.store.as_ref()?;
    let live = situation.orphans().filter(|orphan| !orphan.is_expired_at(situation.now));
    let former = live.filter_map(|orphan| Some((orphan.marker()?.name, orphan.sha1()?)));
    let elsewhere = former
        .filter(|(name, _)| *name != situation.declared.address.name && binding.entry != name.to_string());
    let (name, sha1) = elsewhere.min()?;
    Some(
        Note::blocked(
            format!("it was renamed from {name}, and {} does not hold its key: consumers may still read {}/{name}", place(situation.declared), binding.store),
            format!("keep the entry: store: {{ use: {}, name: {name} }}; if that key is lost, list {sha1} under revoked", binding.store),
        )
        .about(sha1),
    )
}

/// The certificate has nothing, and the target carries a marker of a name nobody declares.
fn looks_renamed(situation: &Situation<'_>, current: Option<&CurrentView<'_>>) -> Option<Note> {
    if current.is_some() || !situation.holding.generations.is_empty() {
        return None;
    }
    let standing = |credential: &&Credential| situation.standing(credential);
    if situation
        .target
        .client_credentials()
        .any(|c| matches!(standing(&c), Standing::Orphan | Standing::Adopted { .. }))
    {
        return None;
    }
    // What another certificate names is that one's affair, and may go with it in the same run.
    let left_over =
        |c: &&Credential| standing(c) == Standing::Undeclared && situation.named_beside(c).is_none();
    let former = situation.target.client_credentials().filter(left_over);
    let marker = former.filter_map(Credential::marker).min()?;
    let address = &situation.declared.address;
    Some(Note::blocked(
        format!(
            "the target carries {marker}, which nobody declares, and nothing of {address}: is this a rename?"
        ),
        format!(
            "if so, declare moved: [{{ from: {}/{}, to: {address} }}]; if not, declare removed: for the old one",
            address.tenant, marker.name
        ),
    ))
}

/// The current one must not be used any longer, whatever else is declared.
fn must_go_now(situation: &Situation<'_>, current: &CurrentView<'_>) -> Option<Because> {
    let named = |thumbprint: &Thumbprint| match current.generation.and_then(|g| g.record.thumbprints) {
        Some(thumbprints) => thumbprint.names(&thumbprints),
        None => thumbprint.names_sha1(&current.sha1),
    };
    if situation.declared.revoked.iter().any(named) {
        return Some(Because::Revoked);
    }
    if situation.policy.revoke_previous
        && situation.policy.replace.get(&situation.declared.address).is_some_and(named)
    {
        return Some(Because::RevokePrevious);
    }
    if current.generation.is_some_and(|generation| generation.record.rejected) {
        return Some(Because::RejectedIsCurrent);
    }
    None
}

/// What the hold holds back and why that would be done; for completeness that there is a hold, where it holds nothing back.
fn hold_note(situation: &Situation<'_>, current: Option<&CurrentView<'_>>) -> Option<Note> {
    let Some(current) = current else { return held_by(situation, "issue") };
    let Some(because) = reason_to_rotate(situation, current) else {
        let hold = situation.declared.hold.as_ref()?;
        return Some(Note::new(NoteKind::Info, format!("on hold until {}: {}", hold.until, hold.reason)));
    };
    let note = held_by(situation, "rotate")?;
    Some(Note { text: format!("{}; {because}", note.text), ..note }.about(current.sha1))
}

/// `--replace` of what the hold keeps: whoever asks by name is told.
fn not_while_held(situation: &Situation<'_>) -> Option<Note> {
    let hold = situation.declared.hold.as_ref()?;
    Some(Note::blocked(
        format!("nothing is replaced: on hold until {}: {}", hold.until, hold.reason),
        "take the hold out of the file; or add --revoke-previous, which no hold keeps back, if that key must not be used any longer",
    ))
}

/// Whether the file's `hold:` is in force.
pub fn is_held(situation: &Situation<'_>) -> bool {
    held_by(situation, "").is_some()
}

/// Why something has to wait for the end of the hold, and until when.
pub fn held_by(situation: &Situation<'_>, what: &str) -> Option<Note> {
    let hold = situation.declared.hold.as_ref()?;
    let today = situation.now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let note = || Note::new(NoteKind::Later, format!("{what}, held back by a hold: {}", hold.reason));
    let over = hold.until.tomorrow().ok().and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok());
    (today <= hold.until).then(|| over.map_or_else(note, |over| note().at(over.timestamp())))
}

/// A step of this plan.
pub fn planned(situation: &Situation<'_>, step: Step, because: Because) -> PlannedStep {
    let requires = match &step {
        Step::Retire { .. } | Step::Promote { before_proof: false, .. } => vec![Requires::ProofInThisRun],
        _ => Vec::new(),
    };
    PlannedStep { step, because, not_before: situation.now, requires }
}

/// `store/entry`, for words.
pub fn place(declared: &Declared) -> String {
    match &declared.store {
        Some(StoreBinding { store, entry, form: _, options: _ }) => format!("{store}/{entry}"),
        None => "no store".to_owned(),
    }
}

/// As what the entry is kept, where that is not the default, for words.
fn kept_as(declared: &Declared) -> String {
    declared.store.as_ref().map(StoreBinding::kept_as).unwrap_or_default()
}
