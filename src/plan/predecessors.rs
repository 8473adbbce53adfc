//! Decision (b): every other generation and credential of the certificate. What is kept is kept for the first reason
//! of a list; what no reason keeps is retired, after the current one has signed in during the same run.

mod keys;

use jiff::Timestamp;

use crate::desired::Retire;
use crate::ids::KeyId;
use crate::observed::{Credential, DeliveryState};
use crate::plan::in_use;
use crate::plan::planner::held_back;
use crate::plan::reason::{Because, Note, NoteKind, ack_command};
use crate::plan::siblings::{held_for_another, kept_for_another, perhaps_held_for_another};
use crate::plan::situation::{CurrentView, Situation, Standing, reference};
use crate::plan::step::{CredentialRef, Evidence, Step};
use crate::plan::successor::{Succession, generations_on_their_way, held_by, is_held, planned, provable};
use crate::plan::{LeftAlone, PlannedStep};

/// What decision (b) adds to the chain.
#[derive(Debug, Default)]
pub struct Retirement {
    /// Steps, after those of decision (a).
    pub steps: Vec<PlannedStep>,
    /// What is not done now.
    pub notes: Vec<Note>,
    /// What on the target is left alone.
    pub left_alone: LeftAlone,
}

/// A credential that might be retired.
struct Candidate<'s> {
    credential: &'s Credential,
    sha1: crate::ids::Sha1,
}

/// Decision (b).
pub fn decide(
    situation: &Situation<'_>,
    current: Option<&CurrentView<'_>>,
    succession: &Succession,
) -> Retirement {
    let mut retirement = Retirement::default();
    let (mut removals, mut dropped) = (Vec::new(), Vec::new());
    for credential in situation.credentials_by_end() {
        if let Some(id) = credential.key_id.filter(|id| is_dropped(succession, id)) {
            dropped.push(id);
            continue;
        }
        let standing = situation.standing(credential);
        if let Some(note) = left_alone(situation, credential, standing, &mut retirement.left_alone) {
            retirement.notes.push(note);
        }
        let Some(candidate) = candidate(situation, current, succession, credential, standing) else {
            continue;
        };
        if standing == Standing::Orphan {
            retirement.notes.extend(may_be_in_use(situation, &candidate));
        }
        match verdict(situation, current, succession, &candidate) {
            Verdict::Keep(note) => {
                retirement.left_alone.kept += usize::from(note.kind == NoteKind::Info);
                retirement.notes.push(note);
            }
            Verdict::Retire(because) => removals.push((candidate, because)),
        }
    }
    removals.sort_by_key(|(candidate, _)| {
        (candidate.credential.end, candidate.sha1, candidate.credential.key_id)
    });
    prove_before_removal(situation, current, succession, &mut removals, &mut retirement);
    let gone = removals.iter().filter_map(|(candidate, _)| candidate.credential.key_id);
    let gone: Vec<_> = gone.chain(dropped).collect();
    for (candidate, because) in removals {
        let Some(key_id) = candidate.credential.key_id else { continue };
        let reference = CredentialRef { key_id, sha1: candidate.sha1, end: candidate.credential.end };
        retirement.steps.push(planned(situation, Step::Retire { credential: reference }, because));
    }
    keys::destroy_given_up(situation, succession, &gone, &mut retirement.steps);
    keys::destroy_keys(situation, current, succession, &gone, &mut retirement.steps);
    retirement
}

/// Whether a write of decision (a) drops it, because it has expired and `drop_expired_foreign:` names it.
fn is_dropped(succession: &Succession, id: &KeyId) -> bool {
    succession
        .steps
        .iter()
        .any(|planned| matches!(&planned.step, Step::Publish { dropping, .. } if dropping.contains(id)))
}

/// Counts what is not ours, and tells of what looks as if it were.
pub fn left_alone(
    situation: &Situation<'_>,
    credential: &Credential,
    standing: Standing<'_>,
    count: &mut LeftAlone,
) -> Option<Note> {
    let sha1 = credential.sha1();
    let note = |text: String| {
        let note = Note::new(NoteKind::Info, text);
        sha1.map_or(note.clone(), |sha1| note.about(sha1))
    };
    match standing {
        Standing::Foreign | Standing::Reserved => {
            count.foreign += 1;
            None
        }
        Standing::Claimed => {
            count.claimed += 1;
            Some(note("carries our marker and not our key id: claimed, left alone".to_owned()))
        }
        Standing::Undeclared => {
            count.undeclared += 1;
            let marker = credential.marker()?;
            Some(note(format!("{marker} is not declared, left alone")).with_hint(format!(
                "declare removed: for {}/{}",
                situation.declared.address.tenant, marker.name
            )))
        }
        Standing::Held(_)
        | Standing::Adopted { .. }
        | Standing::Orphan
        | Standing::Revoked
        | Standing::Sibling => None,
    }
}

/// Whether the credential is another one of this certificate than the current one and the one on its way. The current one
/// counts when it is revoked, or expired and succeeded in this run.
fn candidate<'s>(
    situation: &'s Situation<'_>,
    current: Option<&CurrentView<'_>>,
    succession: &Succession,
    credential: &'s Credential,
    standing: Standing<'s>,
) -> Option<Candidate<'s>> {
    let sha1 = credential.sha1()?;
    let generation = match standing {
        Standing::Held(generation) => Some(generation),
        Standing::Adopted { .. } | Standing::Orphan | Standing::Revoked => None,
        Standing::Reserved
        | Standing::Claimed
        | Standing::Sibling
        | Standing::Undeclared
        | Standing::Foreign => {
            return None;
        }
    };
    // A rollback makes a predecessor current again.
    if generation.zip(succession.successor.as_ref()).is_some_and(|(one, next)| reference(one).is(next)) {
        return None;
    }
    let is_current = current.is_some_and(|current| current.sha1 == sha1);
    // One that has expired is nobody's any more as soon as its successor is in use.
    let outlived = succession.successor.is_some() && situation.has_surely_ended(credential);
    if is_current && !outlived && !is_sentenced(situation, credential) {
        return None;
    }
    let on_its_way = generations_on_their_way(situation)
        .iter()
        .any(|other| generation.is_some_and(|g| g.handle == other.handle) && !situation.is_spent(other));
    let wanted = generation.and_then(|generation| generation.record.rotation_id);
    if on_its_way && wanted == Some(situation.rotation_id(current)) {
        return None;
    }
    Some(Candidate { credential, sha1 })
}

/// What to do about a live credential of ours whose key is not here.
pub const KEEP_AN_ORPHAN: &str = "if another machine or another path has its key, bring that folder here or let both share one store; \
     until you are sure, hold: or retire: never keeps it";

/// A store that another machine keeps cannot be told from one that is lost. What a new key replaces may be what that machine
/// signs in with, so a person has to look, as long as nothing in the file says to leave it.
fn may_be_in_use(situation: &Situation<'_>, candidate: &Candidate<'_>) -> Option<Note> {
    let left = situation.declared.retire == Retire::Never || is_held(situation);
    let decided = is_sentenced(situation, candidate.credential);
    let live = !candidate.credential.is_expired_at(situation.now);
    (live && !left && !decided).then(|| {
        let text = "is live and its key is in no store here: another machine may be using it, and the key made here takes its place";
        Note::new(NoteKind::Warning, text).with_hint(KEEP_AN_ORPHAN).about(candidate.sha1)
    })
}

/// Revoked by the file, or by `--revoke-previous`.
fn is_sentenced(situation: &Situation<'_>, credential: &Credential) -> bool {
    situation.is_revoked_credential(credential) || situation.names_for_replacement(credential)
}

enum Verdict {
    Keep(Note),
    Retire(Because),
}

fn verdict(
    situation: &Situation<'_>,
    current: Option<&CurrentView<'_>>,
    succession: &Succession,
    candidate: &Candidate<'_>,
) -> Verdict {
    let sentenced = is_sentenced(situation, candidate.credential);
    let expired = situation.has_surely_ended(candidate.credential);
    let reasons = if sentenced {
        REASONS_TO_KEEP_A_REVOKED_ONE
    } else if expired {
        REASONS_TO_KEEP_AN_EXPIRED_ONE
    } else {
        REASONS_TO_KEEP
    };
    let asked = Asked { situation, current, succession, candidate };
    if let Some(note) = reasons.iter().find_map(|reason| reason(&asked)) {
        return Verdict::Keep(note.about(candidate.sha1));
    }
    Verdict::Retire(match (sentenced, expired) {
        (true, _) if situation.is_revoked_credential(candidate.credential) => Because::Revoked,
        (true, _) => Because::RevokePrevious,
        (false, true) => Because::ExpiredPredecessor,
        (false, false) => {
            let over = current.and_then(|current| overlap_end(situation, current, candidate).ok());
            Because::OverlapOver { since: over.unwrap_or(situation.now) }
        }
    })
}

/// What the reasons are asked about.
struct Asked<'q> {
    situation: &'q Situation<'q>,
    current: Option<&'q CurrentView<'q>>,
    succession: &'q Succession,
    candidate: &'q Candidate<'q>,
}

type Reason = fn(&Asked<'_>) -> Option<Note>;

/// Asked in this order; the first objection is the one the plan shows.
const REASONS_TO_KEEP: &[Reason] = &[
    not_ours_to_remove,   // The file does not name it and our marks are not on it.
    named_beside,         // Another certificate's file says something about it.
    held_beside,          // Another certificate's store has its key.
    perhaps_held_beside,  // Another certificate's store may have it, and could not be read.
    never_retired,        // The file says so.
    successor_to_come,    // Its successor is only made, or made current, in this run.
    no_working_successor, // Nothing could take its place.
    unacknowledged,       // A person has to say that the consumer has the new key.
    undelivered,          // A declared place does not have the new key yet.
    overlap_runs,         // Somebody may still hold it.
    use_unknown,          // `unused_for` is declared, and nobody can tell.
    on_hold,              // The file says to leave everything.
    outside_windows,      // Not now.
];

/// An expired one signs nobody in, so nobody is waited for.
const REASONS_TO_KEEP_AN_EXPIRED_ONE: &[Reason] = &[
    not_ours_to_remove,
    named_beside,
    held_beside,
    never_retired,
    no_working_successor,
    on_hold,
    outside_windows,
];

/// A revoked one goes as soon as its successor works.
const REASONS_TO_KEEP_A_REVOKED_ONE: &[Reason] =
    &[not_ours_to_remove, named_beside, held_beside, no_working_successor];

fn not_ours_to_remove(asked: &Asked<'_>) -> Option<Note> {
    let removable = asked.situation.is_removable(asked.candidate.credential);
    (!removable).then(|| {
        Note::new(NoteKind::Info, "is not ours to remove: it lacks our marker and key id")
            .with_hint("list its thumbprint under adopt if certroll should retire it")
    })
}

fn named_beside(asked: &Asked<'_>) -> Option<Note> {
    kept_for_another(asked.situation, asked.candidate.credential)
}

fn held_beside(asked: &Asked<'_>) -> Option<Note> {
    held_for_another(asked.situation, asked.candidate.credential)
}

fn perhaps_held_beside(asked: &Asked<'_>) -> Option<Note> {
    perhaps_held_for_another(asked.situation, asked.candidate.credential)
}

fn never_retired(asked: &Asked<'_>) -> Option<Note> {
    never_retired_note(asked.situation)
}

/// The note of a predecessor that the file wants kept.
pub fn never_retired_note(situation: &Situation<'_>) -> Option<Note> {
    (situation.declared.retire == Retire::Never)
        .then(|| Note::new(NoteKind::Info, "is not retired: the file says retire: never"))
}

/// Whether the steps of decision (a) end with a new current generation.
fn is_succeeded(asked: &Asked<'_>) -> bool {
    asked.succession.successor.is_some()
}

fn successor_to_come(asked: &Asked<'_>) -> Option<Note> {
    is_succeeded(asked).then(|| retire_later(asked.situation, asked.candidate.credential))
}

/// The note of a predecessor whose overlap begins with this run: when it will go, and whether it ends before that.
pub fn retire_later(situation: &Situation<'_>, credential: &Credential) -> Note {
    let declared = situation.declared;
    let after = if declared.acknowledge {
        "the acknowledgement"
    } else if declared.deliveries.is_empty() {
        "the promotion"
    } else {
        "the last delivery"
    };
    let mut text = format!("retire {} after {after}", declared.overlap.spaced());
    let planned = declared.overlap.after(situation.now);
    if let Some(end) = credential.end.filter(|end| *end < planned) {
        text.push_str(&format!(" (overlap cut short: it expires on {})", end.strftime("%Y-%m-%d")));
    }
    Note::new(NoteKind::Later, text)
}

fn no_working_successor(asked: &Asked<'_>) -> Option<Note> {
    if is_succeeded(asked) {
        return None;
    }
    let waiting = |text: &str| Some(Note::new(NoteKind::Waiting, format!("is kept: {text}")));
    let Some(current) = asked.current else { return waiting("nothing could take its place") };
    let repaired = asked
        .succession
        .steps
        .iter()
        .any(|planned| matches!(planned.step, Step::Publish { repair: true, .. }));
    let works = current.credentials.iter().any(|credential| credential.is_valid_at(asked.situation.now));
    if current.sha1 == asked.candidate.sha1 {
        return waiting("it is what consumers use, and its successor is not there yet");
    }
    if !works && !repaired {
        return waiting("the current one cannot sign in");
    }
    if current.generation.is_none() {
        return waiting("the current one's key lives elsewhere, so nothing can be proven");
    }
    match provable(asked.situation) {
        Ok(_) => None,
        Err(note) => Some(Note { kind: NoteKind::Waiting, ..note }),
    }
}

fn unacknowledged(asked: &Asked<'_>) -> Option<Note> {
    let (situation, current) = (asked.situation, asked.current?);
    let missing = situation.declared.acknowledge && situation.current_acknowledged_at(current).is_none();
    missing.then(|| {
        let text = "is kept until somebody confirms that the consumer uses the new one";
        Note::new(NoteKind::Waiting, format!("{text}{}", said_too_early(situation, current)))
            .overdue(is_acknowledgement_overdue(situation, current))
            .with_hint(ack_command(&situation.declared.address))
    })
}

/// Words about an acknowledgement of the current one that does not count, since it was made or put back only later.
pub fn said_too_early(situation: &Situation<'_>, current: &CurrentView<'_>) -> String {
    let record = current.generation.map(|generation| &generation.record);
    let early = record.and_then(|record| {
        let thumbprints = record.thumbprints?;
        situation.acknowledgements.iter().find(|ack| ack.thumbprint.names(&thumbprints))
    });
    early.map_or_else(String::new, |ack| {
        format!("; the acknowledgement of {} does not count: it became current only later", ack.at)
    })
}

fn undelivered(asked: &Asked<'_>) -> Option<Note> {
    let (situation, current) = (asked.situation, asked.current?);
    let open = situation
        .declared
        .deliveries
        .iter()
        .find(|delivery| !is_delivered(situation, current, &delivery.slot))?;
    Some(Note::new(NoteKind::Waiting, format!("is kept until {} has the new one", open.slot)))
}

/// Whether the place is known to hold the current generation.
pub fn is_delivered(situation: &Situation<'_>, current: &CurrentView<'_>, slot: &str) -> bool {
    let Some(record) = current.generation.map(|generation| &generation.record) else { return true };
    let Some(delivered) = record.delivered_to(slot) else { return false };
    match situation.deliveries.get(slot) {
        Some(DeliveryState::Holds(thumbprints)) => Some(*thumbprints) == record.thumbprints,
        Some(DeliveryState::Marker(marker)) => *marker == delivered.marker,
        Some(DeliveryState::Absent) => false,
        // Waiting for a place to say what it never says would keep a predecessor for ever.
        Some(DeliveryState::NeverTells { .. }) => true,
        Some(DeliveryState::Unreadable { .. }) | None => false,
    }
}

fn overlap_runs(asked: &Asked<'_>) -> Option<Note> {
    match overlap_end(asked.situation, asked.current?, asked.candidate) {
        // Strictly over: with an overlap of zero a run must not leave a removal for a plan of the same moment.
        Ok(end) if end < asked.situation.now => None,
        Ok(end) => Some(Note::new(NoteKind::Later, "retire").at(end)),
        Err(note) => Some(note),
    }
}

/// Whether the acknowledgement of the current generation should have come by now: the overlap the file declares has passed since it
/// was promoted.
pub fn is_acknowledgement_overdue(situation: &Situation<'_>, current: &CurrentView<'_>) -> bool {
    let promoted = current.generation.and_then(|generation| generation.record.promoted_at);
    promoted.is_some_and(|promoted| situation.declared.overlap.after(promoted) <= situation.now)
}

/// When the overlap ends: counted from the latest of promoted, every delivery confirmed and, where a person is needed, acknowledged. One
/// that began after that was in use later than the current one's record knows (an older key was put back, or another store has this
/// one), and nobody knows when its consumers turned back: then it counts from its own beginning.
fn overlap_end(
    situation: &Situation<'_>,
    current: &CurrentView<'_>,
    candidate: &Candidate<'_>,
) -> Result<Timestamp, Note> {
    let unknown = || Note::new(NoteKind::Later, "is kept: the overlap begins once the promotion is recorded");
    let record = current.generation.map(|generation| &generation.record).ok_or_else(unknown)?;
    let acknowledged = situation.current_acknowledged_at(current);
    let in_use = in_use::since(situation.declared, record, acknowledged).ok_or_else(unknown)?;
    let held =
        situation.held_generation(candidate.credential).and_then(|generation| generation.record.promoted_at);
    let in_use = candidate.credential.start.into_iter().chain(held).chain([in_use]).max().unwrap_or(in_use);
    Ok(situation.declared.overlap.after(in_use))
}

/// Usage reports are not read, so use is unknown; an acknowledgement of the current one stands in for it.
fn use_unknown(asked: &Asked<'_>) -> Option<Note> {
    let (situation, current) = (asked.situation, asked.current?);
    let period = situation.declared.unused_for.as_ref()?;
    let sha256 = current.generation.and_then(|g| g.record.thumbprints).map(|t| t.sha256);
    let confirmed = situation.acknowledged_at(&current.sha1, sha256.as_ref()).is_some();
    (!confirmed).then(|| {
        Note::new(NoteKind::Waiting, format!("is kept: whether it was unused for {period} is not known, for no usage reports are read in this version"))
            .overdue(is_acknowledgement_overdue(situation, current))
            .with_hint(ack_command(&situation.declared.address))
    })
}

fn on_hold(asked: &Asked<'_>) -> Option<Note> {
    held_by(asked.situation, "retire")
}

fn outside_windows(asked: &Asked<'_>) -> Option<Note> {
    held_back(asked.situation, None, "retire")
}

/// Puts a proof of the current generation before the removals, unless decision (a) has one. Without a way to prove, and without
/// somebody's word instead, nothing is removed but what the file says is revoked.
fn prove_before_removal(
    situation: &Situation<'_>,
    current: Option<&CurrentView<'_>>,
    succession: &Succession,
    removals: &mut Vec<(Candidate<'_>, Because)>,
    retirement: &mut Retirement,
) {
    if removals.is_empty() {
        return;
    }
    let evidence = provable(situation);
    if matches!(evidence, Ok(Evidence::ReadBack)) && !is_confirmed(situation, current, succession) {
        let counted = removals.len();
        removals.retain(|(_, because)| matches!(because, Because::Revoked | Because::RevokePrevious));
        if removals.len() < counted {
            let text =
                "predecessors are kept: with prove: read_back only an acknowledgement ends the overlap";
            let hint = ack_command(&situation.declared.address);
            let overdue = current.is_some_and(|current| is_acknowledgement_overdue(situation, current));
            retirement.notes.push(Note::new(NoteKind::Waiting, text).overdue(overdue).with_hint(hint));
        }
    }
    let proves = |planned: &PlannedStep| matches!(planned.step, Step::Prove { .. });
    if removals.is_empty() || succession.steps.iter().any(proves) {
        return;
    }
    let Some((current, Ok(evidence))) = current.map(|current| (current, evidence)) else {
        removals.clear();
        return;
    };
    let step = Step::Prove { generation: current.reference(), evidence };
    retirement.steps.push(planned(situation, step, Because::BeforeRemoval));
}

/// Whether somebody has said that consumers use what they read after the steps of decision (a).
fn is_confirmed(
    situation: &Situation<'_>,
    current: Option<&CurrentView<'_>>,
    succession: &Succession,
) -> bool {
    let confirmed = match &succession.successor {
        Some(successor) => {
            successor.thumbprints.and_then(|t| situation.acknowledged_at(&t.sha1, Some(&t.sha256)))
        }
        None => current.and_then(|current| situation.current_acknowledged_at(current)),
    };
    confirmed.is_some_and(|at| at > Timestamp::MIN)
}
