//! Decision (a): what becomes of the current generation. The reasons stand in the order they are asked.

use jiff::SignedDuration;

use crate::desired::{Declared, Issuer, Prove, StoreBinding, Timing};
use crate::ids::Thumbprint;
use crate::observed::record::{PublicRecord, RecordedPhase};
use crate::observed::{Credential, Current, Generation, Identifier, KeyState, Staging};
use crate::plan::PlannedStep;
use crate::plan::calendar::{Life, due, lead_before};
use crate::plan::reason::{Because, Note, NoteKind, Requires, ack_command};
use crate::plan::records::credential_dates;
use crate::plan::situation::{CurrentView, Situation, Standing, reference};
use crate::plan::step::{Evidence, GenerationRef, RecordWrite, Step};

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

/// Finds the current generation, or why it cannot be told.
pub fn current<'s>(situation: &'s Situation<'_>) -> Result<Option<CurrentView<'s>>, Note> {
    let declared = situation.declared;
    match &situation.holding.current {
        Some(Current::Recorded(sha256)) => {
            let Some(generation) = situation.holding.generation(sha256) else {
                return Err(unknown_current(situation, "its record is not there"));
            };
            let adopted = || {
                let names = |thumbprints| declared.adopt.iter().any(|a| a.thumbprint.names(&thumbprints));
                generation.record.thumbprints.is_some_and(names)
            };
            if situation.is_own_record(&generation.record) || adopted() {
                view_of_generation(situation, generation).map(Some).ok_or_else(|| dates_unknown(generation))
            } else {
                let made_for =
                    format!("it was made for {}/{}", generation.record.owner, generation.record.name);
                Err(unknown_current(situation, &made_for))
            }
        }
        Some(Current::Unrecorded { thumbprints }) => {
            let what = match thumbprints {
                Some(thumbprints) => format!("its thumbprint is {}", thumbprints.sha1),
                None => "its thumbprint cannot be told without reading the key".to_owned(),
            };
            Err(unknown_current(situation, &what))
        }
        None => elsewhere(situation),
    }
}

fn unknown_current(situation: &Situation<'_>, what: &str) -> Note {
    Note::blocked(
        format!(
            "{} holds a current generation that certroll did not make: {what}",
            place(situation.declared)
        ),
        "list it under adopt to take it over, or give the certificate another store name",
    )
}

/// Adopted, and neither the target nor the record knows its dates: without them it can be neither published again nor
/// followed.
fn dates_unknown(generation: &Generation) -> Note {
    let thumbprint = generation.record.thumbprints.map(|t| t.sha1.to_string()).unwrap_or_default();
    Note::blocked(
        format!("the adopted {thumbprint} is not on the target, and when it ends is not known"),
        "upload its certificate to the target, or take it out of the store and out of adopt to have a new one made",
    )
}

fn view_of_generation<'s>(
    situation: &'s Situation<'_>,
    generation: &'s Generation,
) -> Option<CurrentView<'s>> {
    let thumbprints = generation.record.thumbprints?;
    let credentials = situation.credentials_of(generation);
    let life = situation.life_of(Some(&generation.record), &credentials)?;
    Some(CurrentView { generation: Some(generation), sha1: thumbprints.sha1, credentials, life })
}

/// The adopted credential whose key lives elsewhere; the one that ends last if several are named.
fn elsewhere<'s>(situation: &'s Situation<'_>) -> Result<Option<CurrentView<'s>>, Note> {
    let adopted =
        |credential: &&Credential| matches!(situation.standing(credential), Standing::Adopted { .. });
    let newest = situation
        .target
        .client_credentials()
        .filter(adopted)
        .max_by_key(|credential| (credential.end, credential.sha1(), credential.key_id));
    let Some(credential) = newest else { return Ok(None) };
    let Identifier::Sha1(sha1) = credential.identifier else { return Ok(None) };
    if !matches!(situation.standing(credential), Standing::Adopted { elsewhere: true }) {
        return Err(Note::blocked(
            format!("{sha1} is adopted, and {} does not hold its key", place(situation.declared)),
            format!(
                "if its key lives somewhere else, write adopt: [{{ thumbprint: {sha1}, key: elsewhere }}]"
            ),
        ));
    }
    let life = situation.life_of(None, &[credential]);
    Ok(life.map(|life| CurrentView { generation: None, sha1, credentials: vec![credential], life }))
}

/// Decision (a). Rows in the order of the design; the first that matches wins.
pub fn decide(situation: &Situation<'_>, current: Option<&CurrentView<'_>>) -> Succession {
    if let Some(note) =
        not_what_was_recorded(situation, current).or_else(|| looks_renamed(situation, current))
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
        let mut repaired = repair(situation, current);
        repaired.steps.append(&mut succession.steps);
        repaired.notes.append(&mut succession.notes);
        succession.steps = repaired.steps;
        succession.notes = repaired.notes;
    }
    succession
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
    if let Some(note) = hold_note(situation) {
        return Succession::noted(note);
    }
    let Some(current) = current else {
        let orphaned =
            situation.target.client_credentials().any(|c| situation.standing(c) == Standing::Orphan);
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
    let former = situation.target.client_credentials().filter(|c| standing(c) == Standing::Undeclared);
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

/// The generation on its way that this plan goes on with.
fn continuing<'s>(situation: &'s Situation<'_>, current: Option<&CurrentView<'_>>) -> Option<&'s Generation> {
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

fn hold_note(situation: &Situation<'_>) -> Option<Note> {
    let hold = situation.declared.hold.as_ref()?;
    let today = situation.now.to_zoned(jiff::tz::TimeZone::UTC).date();
    (today <= hold.until)
        .then(|| Note::new(NoteKind::Info, format!("on hold until {}: {}", hold.until, hold.reason)))
}

/// Whether the file's `hold:` is in force.
pub fn is_held(situation: &Situation<'_>) -> bool {
    hold_note(situation).is_some()
}

/// Asked in this order; the first is the one the plan shows.
const REASONS_TO_ROTATE: &[fn(&Situation<'_>, &CurrentView<'_>) -> Option<Because>] =
    &[replace_asked, expired, due_now, differs];

fn reason_to_rotate(situation: &Situation<'_>, current: &CurrentView<'_>) -> Option<Because> {
    REASONS_TO_ROTATE.iter().find_map(|reason| reason(situation, current))
}

fn replace_asked(situation: &Situation<'_>, current: &CurrentView<'_>) -> Option<Because> {
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
    if !record.subject.is_empty() && record.subject != subject {
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

/// Something should be waited for before a due rotation, unless the current one itself is about to end.
fn reason_to_wait(situation: &Situation<'_>, current: &CurrentView<'_>) -> Option<Note> {
    if is_urgent(situation, current) || replace_asked(situation, current).is_some() {
        return None;
    }
    let declared = situation.declared;
    if declared.acknowledge && situation.current_acknowledged_at(current).is_none() {
        return Some(
            Note::new(NoteKind::Waiting, "a rotation is due, and the last one is not acknowledged yet")
                .with_hint(ack_command(&declared.address))
                .about(current.sha1),
        );
    }
    lacks_room(situation, current).then(|| {
        let live = live_after_repair(situation, current);
        Note::new(NoteKind::Waiting, format!("a rotation is due, and {live} generations are live already"))
            .with_hint("let one retire first, or acknowledge the current one")
    })
}

fn lacks_room(situation: &Situation<'_>, current: &CurrentView<'_>) -> bool {
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

fn healthy(situation: &Situation<'_>, current: &CurrentView<'_>) -> Succession {
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
fn tidy_up(situation: &Situation<'_>, current: &CurrentView<'_>, succession: &mut Succession) {
    let mut steps = Vec::new();
    record_promotion(situation, current, &mut steps);
    discard_others(situation, None, &mut steps);
    if steps.is_empty() {
        return;
    }
    match super::planner::held_back(situation, None, "tidy up the store") {
        Some(note) => succession.notes.push(note),
        None => succession.steps.append(&mut steps),
    }
}

fn record_promotion(situation: &Situation<'_>, current: &CurrentView<'_>, steps: &mut Vec<PlannedStep>) {
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
        Note::new(NoteKind::Waiting, format!("{consumer} has not been acknowledged to use it"))
            .about(current.sha1)
            .with_hint(ack_command(&declared.address))
    })
}

fn repair(situation: &Situation<'_>, current: &CurrentView<'_>) -> Succession {
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

/// `--rollback`, and a rollback that an earlier run did not finish.
fn rollback(situation: &Situation<'_>, current: Option<&CurrentView<'_>>) -> Option<Succession> {
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
        Some(_) if !unfinished && !is_held(situation) => Some(Succession::blocked(Note::blocked(
            "a rollback needs a hold: in the file, else the next run would rotate again",
            "add hold: { until: DATE, reason: TEXT } to the certificate",
        ))),
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

/// Whether windows and freezes hold a rotation back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    Windows,
}

/// request → issue → publish → prove → promote → deliver, from the phase it has reached.
fn rotate(
    situation: &Situation<'_>,
    current: Option<&CurrentView<'_>>,
    because: Because,
    gate: Gate,
) -> Succession {
    let deadline = current.map(|current| situation.declared.overlap.before(current.life.end));
    if gate == Gate::Windows
        && let Some(note) = super::planner::held_back(situation, deadline, "rotate")
    {
        return Succession::noted(note);
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
    let promoted = chain(situation, started, &generation, because, &mut succession);
    if promoted {
        hand_off(situation, &mut succession.notes);
        succession.successor = Some(generation);
    }
    succession
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
fn discard_others(situation: &Situation<'_>, kept: Option<&Generation>, steps: &mut Vec<PlannedStep>) {
    for generation in generations_on_their_way(situation) {
        let is_kept = kept.is_some_and(|kept| kept.handle == generation.handle);
        // One made for another object may be published there.
        let made_for_it = generation.record.target == situation.target.id;
        if !is_kept && made_for_it && situation.credentials_of(generation).is_empty() {
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
    succession: &mut Succession,
) -> bool {
    let declared = situation.declared;
    let appends = situation.shape.is_some_and(|shape| shape.staging == Staging::AppendIsLive);
    let requests = appends || matches!(declared.issuer, Issuer::Csr { .. });
    let mut reasons = std::iter::once(because).chain(std::iter::repeat(Because::PartOfRotation));
    let mut push = |steps: &mut Vec<PlannedStep>, step| {
        let because = reasons.next().unwrap_or(Because::PartOfRotation);
        steps.push(planned(situation, step, because));
    };
    let steps = &mut succession.steps;
    if requests && started.is_none() {
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
    if started.is_none_or(|started| started.record.thumbprints.is_none()) {
        push(
            steps,
            Step::Issue {
                generation: generation.clone(),
                key: declared.key,
                signature_hash: declared.signature_hash,
                subject: declared.subject.to_string(),
                validity: declared.validity.clone(),
                issuer: declared.issuer.as_str().to_owned(),
                place: place(declared),
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
    let prove = Step::Prove { generation: generation.clone(), evidence };
    let promote = Step::Promote { generation: generation.clone(), place: place(declared), before_proof };
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

fn push_deliveries(
    situation: &Situation<'_>,
    steps: &mut Vec<PlannedStep>,
    generation: &GenerationRef,
    because: &Because,
) {
    for delivery in &situation.declared.deliveries {
        let step = Step::Deliver { generation: generation.clone(), slot: delivery.slot.clone() };
        steps.push(planned(situation, step, because.clone()));
    }
}

/// How the certificate is proven, or why it cannot be.
pub fn provable(situation: &Situation<'_>) -> Result<Evidence, Note> {
    if situation.declared.prove == Prove::ReadBack {
        return Ok(Evidence::ReadBack);
    }
    match &situation.target.sign_in_impossible {
        None => Ok(Evidence::SignIn),
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
            && credential.is_expired_at(situation.now)
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
fn hand_off(situation: &Situation<'_>, notes: &mut Vec<Note>) {
    let declared = situation.declared;
    if !declared.acknowledge {
        return;
    }
    let consumer = declared.consumer.as_ref().map_or("the consumer", |consumer| consumer.title.as_str());
    let text = format!("hand off to {consumer}, then: {}", ack_command(&declared.address));
    notes.push(Note::new(NoteKind::HandOff, text));
}

/// A step of this plan.
pub fn planned(situation: &Situation<'_>, step: Step, because: Because) -> PlannedStep {
    let requires = match &step {
        Step::Retire { .. } => match because {
            Because::Removed => Vec::new(),
            _ => vec![Requires::ProofInThisRun],
        },
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
