//! Certificates whose key certroll never has: a provider's public keys, and products that rotate by themselves.

use jiff::{SignedDuration, Timestamp};

use crate::desired::{Issuer, PublicKeyFile, Retire, RotatorMatch};
use crate::ids::Sha1;
use crate::observed::Credential;
use crate::plan::PlannedStep;
use crate::plan::planner::held_back;
use crate::plan::policy::glob_matches;
use crate::plan::predecessors::{Retirement, left_alone};
use crate::plan::reason::{Because, Note, NoteKind, ack_command};
use crate::plan::records::credential_dates;
use crate::plan::siblings::{held_for_another, kept_for_another};
use crate::plan::situation::{Situation, Standing};
use crate::plan::step::{CredentialRef, Evidence, GenerationRef, Step};
use crate::plan::successor::{held_by, planned, publish};

/// Plans a certificate whose key lives with a provider or a product.
pub fn decide(situation: &Situation<'_>) -> Retirement {
    match &situation.declared.issuer {
        Issuer::ExternalPublicKey { files } => public_keys(situation, files),
        Issuer::ExternalRotator { matching } => rotator(situation, matching),
        Issuer::SelfSigned
        | Issuer::CaFile { .. }
        | Issuer::VaultPki { .. }
        | Issuer::KeyVault { .. }
        | Issuer::Csr { .. } => Retirement::default(),
    }
}

/// The credentials of a declared file. An equal thumbprint is satisfied, with or without our marker.
fn live<'s>(situation: &'s Situation<'_>, file: &'s PublicKeyFile) -> impl Iterator<Item = &'s Credential> {
    situation.target.client_credentials().filter(|credential| credential.is_of(&file.certificate.thumbprints))
}

/// When a file's key stops signing in, as far as it is known: with its credential, which a policy or whoever uploaded it may have cut
/// shorter than the certificate. One that is not live ends as its credential will, if it is uploaded now.
fn end_of(situation: &Situation<'_>, file: &PublicKeyFile) -> Timestamp {
    let (begins, ends) = (file.certificate.not_before, file.certificate.not_after);
    let live = live(situation, file).map(|one| one.end.unwrap_or(ends)).max();
    let end = live.unwrap_or_else(|| {
        let max = lifetime_max(situation, file);
        credential_dates(begins, ends, max, situation.now, &situation.policy.settings).1
    });
    // Every credential ends a little before its certificate.
    if is_cut_short(file, end) { end } else { ends }
}

fn is_cut_short(file: &PublicKeyFile, end: Timestamp) -> bool {
    file.certificate.not_after.duration_since(end) >= SignedDuration::from_hours(24)
}

/// The policy's longest life in seconds, where it is shorter than the file's.
fn lifetime_max(situation: &Situation<'_>, file: &PublicKeyFile) -> Option<i64> {
    situation.lifetime_max(file.certificate.not_after.duration_since(file.certificate.not_before))
}

fn public_keys(situation: &Situation<'_>, files: &[PublicKeyFile]) -> Retirement {
    let mut retirement = Retirement::default();
    let newest_live = situation
        .target
        .client_credentials()
        .filter(|c| {
            matches!(situation.standing(c), Standing::Orphan)
                || files.iter().any(|f| c.is_of(&f.certificate.thumbprints))
        })
        .filter_map(|credential| credential.end)
        .max();
    if situation.target.client_credentials().next().is_none() {
        let text = "the target has no certificate yet; a provider's first one is usually put there when the service is set up";
        retirement.notes.push(Note::new(NoteKind::Warning, text));
    }
    let mut wanted: Vec<&PublicKeyFile> = files.iter().collect();
    wanted.sort_by_key(|file| (file.certificate.not_after, file.certificate.thumbprints));
    wanted.dedup_by_key(|file| file.certificate.thumbprints);
    let current = wanted.iter().rev().find(|file| is_usable(situation, file)).copied();
    for file in &wanted {
        let is_newest = current.is_some_and(|current| std::ptr::eq(current, *file));
        publish_file(situation, file, newest_live, is_newest, &mut retirement);
    }
    chase(situation, current, &mut retirement);
    retire_dropped(situation, files, current, &mut retirement);
    retirement
}

fn is_usable(situation: &Situation<'_>, file: &PublicKeyFile) -> bool {
    file.certificate.not_after > situation.now && !is_revoked(situation, file)
}

fn is_revoked(situation: &Situation<'_>, file: &PublicKeyFile) -> bool {
    situation.declared.revoked.iter().any(|revoked| revoked.names(&file.certificate.thumbprints))
}

fn publish_file(
    situation: &Situation<'_>,
    file: &PublicKeyFile,
    newest_live: Option<Timestamp>,
    is_newest: bool,
    retirement: &mut Retirement,
) {
    let sha1 = file.certificate.thumbprints.sha1;
    if is_revoked(situation, file) {
        return;
    }
    if live(situation, file).next().is_some() {
        retirement.notes.extend(cut_off(situation, file, is_newest));
        return;
    }
    if file.certificate.not_after <= situation.now {
        let text = format!("{} expired on {}", file.path, file.certificate.not_after.strftime("%Y-%m-%d"));
        retirement.notes.push(Note::new(NoteKind::Warning, text).about(sha1));
        return;
    }
    if newest_live.is_some_and(|newest| file.certificate.not_after <= newest) {
        let text = format!("{} does not end later than what the target has already", file.path);
        let hint = "ask the provider for a newer certificate, or drop the file from the list";
        retirement.notes.push(Note::blocked(text, hint).about(sha1));
        return;
    }
    if let Some(note) = held_by(situation, "publish") {
        retirement.notes.push(note.about(sha1));
        return;
    }
    let deadline = newest_live.map(|end| situation.declared.overlap.before(end));
    if let Some(note) = held_back(situation, deadline, "publish") {
        retirement.notes.push(note.about(sha1));
        return;
    }
    let generation = reference(file);
    let mut step = publish(situation, &generation, false);
    if let Step::Publish { lifetime_max_seconds, .. } = &mut step {
        *lifetime_max_seconds = lifetime_max(situation, file);
    }
    retirement.steps.push(planned(situation, step, Because::Declared));
    let prove = Step::Prove { generation, evidence: Evidence::ReadBack };
    retirement.steps.push(planned(situation, prove, Because::PartOfRotation));
    let text = format!(
        "tell the provider that {} is uploaded, and confirm: {}",
        file.path,
        ack_command(&situation.declared.address)
    );
    let note = Note { hint: situation.declared.handoff(), ..Note::new(NoteKind::HandOff, text) };
    retirement.notes.push(note.about(sha1));
}

fn reference(file: &PublicKeyFile) -> GenerationRef {
    GenerationRef { rotation_id: None, thumbprints: Some(file.certificate.thumbprints) }
}

/// Whether the provider should have confirmed it by now: the overlap the file declares has passed since it was uploaded.
fn is_word_overdue(situation: &Situation<'_>, file: &PublicKeyFile) -> bool {
    let uploaded = live(situation, file).filter_map(|credential| credential.start).min();
    uploaded.is_some_and(|uploaded| situation.declared.overlap.after(uploaded) <= situation.now)
}

/// The latest moment from which a file can have been live, if it is: a word given before the upload begins no overlap. Its
/// credential starts before the upload by the margin for clocks at most.
fn in_use_since(situation: &Situation<'_>, file: &PublicKeyFile) -> Option<Timestamp> {
    let valid = live(situation, file).filter(|credential| credential.is_valid_at(situation.now));
    let margin = situation.policy.settings.start_margin;
    let since = valid.map(|credential| credential.start.and_then(|start| start.checked_add(margin).ok()));
    since.map(|since| since.unwrap_or(Timestamp::MIN)).min()
}

/// Says when the provider's next key is overdue, by the end of the newest one's credential.
fn chase(situation: &Situation<'_>, current: Option<&PublicKeyFile>, retirement: &mut Retirement) {
    if let Some(file) = current {
        let thumbprints = file.certificate.thumbprints;
        let uploaded = live(situation, file).any(|credential| situation.is_marked_ours(credential));
        let confirmed = situation.acknowledged_at(&thumbprints.sha1, Some(&thumbprints.sha256)).is_some();
        let works = end_of(situation, file) > situation.now;
        if works && situation.declared.acknowledge && uploaded && !confirmed {
            let note =
                Note::new(NoteKind::Waiting, "waiting for the provider's word that the new key is in use");
            retirement.notes.push(
                note.about(thumbprints.sha1)
                    .overdue(is_word_overdue(situation, file))
                    .with_hint(ack_command(&situation.declared.address)),
            );
        }
    }
    let waiting = |until: String| {
        let note = Note::new(NoteKind::Waiting, format!("waiting for the provider's new key: {until}"));
        note.overdue(true).with_hint("ask the provider for it and add the file to the list")
    };
    let note = match current.map(|file| (file, end_of(situation, file))) {
        None => Some(waiting("no declared one is valid".to_owned())),
        // Blocked, and told as that.
        Some((_, end)) if end <= situation.now => None,
        Some((file, end)) => {
            let warn_at = situation.declared.warn_before.before(end);
            let ends = || format!("the newest one ends on {}{}", day(end), ends_before_its_file(file, end));
            Some(if warn_at <= situation.now {
                waiting(ends())
            } else {
                Note::new(NoteKind::Later, "ask the provider for the next key").at(warn_at)
            })
        }
    };
    retirement.notes.extend(note);
}

/// A file whose credential ended before the file itself does. Entra changes no dates of a credential, and a second entry of the same
/// certificate would have the same key id: so a person takes the ended one off, or the provider sends another certificate.
fn cut_off(situation: &Situation<'_>, file: &PublicKeyFile, is_newest: bool) -> Option<Note> {
    let (sha1, end) = (file.certificate.thumbprints.sha1, end_of(situation, file));
    if end > situation.now || file.certificate.not_after <= situation.now {
        return None;
    }
    let text =
        format!("{} ended on the target on {}{}", file.path, day(end), ends_before_its_file(file, end));
    let hint = "ask the provider for a newer certificate and add the file to the list; or take that credential off the target in Entra, \
                and the next run uploads the file again";
    let note = if is_newest { Note::blocked(text, hint) } else { Note::new(NoteKind::Warning, text) };
    Some(note.about(sha1))
}

/// Words for a credential that was made shorter than its certificate.
fn ends_before_its_file(file: &PublicKeyFile, end: Timestamp) -> String {
    let ends = file.certificate.not_after;
    if !is_cut_short(file, end) {
        return String::new();
    }
    format!(
        ", though {} is valid until {}: a policy or whoever uploaded it sets that end",
        file.path,
        day(ends)
    )
}

fn day(moment: Timestamp) -> jiff::fmt::strtime::Display<'static> {
    moment.strftime("%Y-%m-%d")
}

/// A file dropped from the list retires by acknowledgement of the newest one, or by its own expiry.
fn retire_dropped(
    situation: &Situation<'_>,
    files: &[PublicKeyFile],
    current: Option<&PublicKeyFile>,
    retirement: &mut Retirement,
) {
    let listed = |credential: &Credential| {
        files
            .iter()
            .any(|file| credential.is_of(&file.certificate.thumbprints) && !is_revoked(situation, file))
    };
    let confirmed = current.map(|file| {
        let thumbprints = file.certificate.thumbprints;
        let at = situation.acknowledged_at(&thumbprints.sha1, Some(&thumbprints.sha256));
        (file, at.zip(in_use_since(situation, file)).map(|(at, live)| at.max(live)))
    });
    // What is published and read back in this run takes the place of a revoked or expired one; only overlaps take time.
    let published_now = |file: &PublicKeyFile| {
        retirement.steps.iter().any(|planned| {
        matches!(&planned.step, Step::Publish { generation, .. } if generation.is(&reference(file)))
    })
    };
    let is_live = |file: &PublicKeyFile| live(situation, file).any(|c| c.is_valid_at(situation.now));
    let begun = |file: &PublicKeyFile| file.certificate.not_before <= situation.now;
    let works = current.is_some_and(|file| is_live(file) || (begun(file) && published_now(file)));
    let mut removals = Vec::new();
    for credential in situation.credentials_by_end() {
        let standing = situation.standing(credential);
        if !listed(credential) {
            let note = left_alone(situation, credential, standing, &mut retirement.left_alone);
            retirement.notes.extend(note);
        }
        let ours = matches!(standing, Standing::Orphan | Standing::Adopted { .. } | Standing::Revoked);
        if !ours || listed(credential) || !situation.is_removable(credential) {
            continue;
        }
        let overdue = current.is_some_and(|file| is_word_overdue(situation, file));
        match keep_dropped(situation, credential, works, confirmed.and_then(|(_, at)| at), overdue) {
            Ok(because) => removals.push((credential, because)),
            Err(note) => {
                retirement.left_alone.kept += usize::from(note.kind == NoteKind::Info);
                retirement.notes.push(note);
            }
        }
    }
    removals.sort_by_key(|(credential, _): &(&Credential, _)| (credential.end, credential.key_id));
    push_removals(situation, confirmed.map(|(file, _)| reference(file)), removals, retirement);
}

fn keep_dropped(
    situation: &Situation<'_>,
    credential: &Credential,
    works: bool,
    acknowledged: Option<Timestamp>,
    overdue: bool,
) -> Result<Because, Note> {
    let about = |note: Note| credential.sha1().map_or(note.clone(), |sha1| note.about(sha1));
    let declared = situation.declared;
    let another = kept_for_another(situation, credential).or_else(|| held_for_another(situation, credential));
    if let Some(note) = another {
        return Err(note);
    }
    if !works {
        return Err(about(Note::new(NoteKind::Waiting, "is kept: no newer key of the provider is live")));
    }
    if situation.is_revoked_credential(credential) {
        return Ok(Because::Revoked);
    }
    if declared.retire == Retire::Never {
        return Err(about(Note::new(NoteKind::Info, "is not retired: the file says retire: never")));
    }
    if let Some(note) = held_by(situation, "retire") {
        return Err(about(note));
    }
    if let Some(note) = held_back(situation, None, "retire") {
        return Err(about(note));
    }
    if situation.has_surely_ended(credential) {
        return Ok(Because::ExpiredPredecessor);
    }
    let Some(acknowledged) = acknowledged else {
        let ends = credential.end.map(|end| format!(", or until it ends on {}", end.strftime("%Y-%m-%d")));
        let text = format!("is kept until the provider confirms the newer key{}", ends.unwrap_or_default());
        let note = Note::new(NoteKind::Waiting, text).overdue(overdue);
        return Err(about(note.with_hint(ack_command(&declared.address))));
    };
    let over = declared.overlap.after(acknowledged);
    // Strictly over, as for any predecessor.
    if over >= situation.now {
        return Err(about(Note::new(NoteKind::Later, "retire").at(over)));
    }
    Ok(Because::Acknowledged)
}

/// Removals, after the newest one was read back in the same run.
fn push_removals(
    situation: &Situation<'_>,
    current: Option<GenerationRef>,
    removals: Vec<(&Credential, Because)>,
    retirement: &mut Retirement,
) {
    let Some(current) = current.filter(|_| !removals.is_empty()) else { return };
    let read_back = |planned: &PlannedStep| matches!(&planned.step, Step::Prove { generation, .. } if generation.is(&current));
    if !retirement.steps.iter().any(read_back) {
        let prove = Step::Prove { generation: current, evidence: Evidence::ReadBack };
        retirement.steps.push(planned(situation, prove, Because::BeforeRemoval));
    }
    for (credential, because) in removals {
        let (Some(key_id), Some(sha1)) = (credential.key_id, credential.sha1()) else { continue };
        let reference = CredentialRef { key_id, sha1, end: credential.end };
        retirement.steps.push(planned(situation, Step::Retire { credential: reference }, because));
    }
}

/// A product that rotates by itself: certroll watches. What it makes is an *adopted generation*; nothing of it is removed.
fn rotator(situation: &Situation<'_>, matching: &RotatorMatch) -> Retirement {
    let mut retirement = Retirement::default();
    let mut adopted: Vec<(Option<Timestamp>, Option<Sha1>)> = Vec::new();
    for credential in situation.credentials_by_end() {
        if credential.reserved.is_none() && is_matched(matching, credential) {
            adopted.push((credential.end, credential.sha1()));
        } else {
            let standing = situation.standing(credential);
            let note = left_alone(situation, credential, standing, &mut retirement.left_alone);
            retirement.notes.extend(note);
        }
    }
    adopted.sort_unstable();
    if !situation.declared.revoked.is_empty() {
        let text =
            "revoked names certificates of a product that rotates by itself; certroll removes none of them";
        retirement
            .notes
            .push(Note::new(NoteKind::Warning, text).with_hint("revoke it in the product, or in Entra"));
    }
    let product =
        situation.declared.consumer.as_ref().map_or("the product", |consumer| consumer.title.as_str());
    let Some((end, sha1)) = adopted.pop() else {
        let text = format!("waiting for {product}: nothing on the target matches");
        retirement.notes.push(
            Note::new(NoteKind::Waiting, text)
                .overdue(true)
                .with_hint("let the product make its first certificate, or correct match"),
        );
        return retirement;
    };
    let about = |note: Note| sha1.map_or(note.clone(), |sha1| note.about(sha1));
    for (older_end, older) in &adopted {
        let ended = older_end.is_some_and(|end| end <= situation.now);
        let text = format!("an older one of {product}{}, left alone", if ended { ", expired" } else { "" });
        let note = Note::new(NoteKind::Info, text);
        retirement.notes.push(older.map_or(note.clone(), |older| note.about(older)));
    }
    let Some(end) = end else { return retirement };
    let warn_at = situation.declared.warn_before.before(end);
    let note = if end <= situation.now {
        Note::new(
            NoteKind::Waiting,
            format!(
                "{product} has not rotated: its newest certificate expired on {}",
                end.strftime("%Y-%m-%d")
            ),
        )
        .overdue(true)
        .with_hint("rotate in the product")
    } else if warn_at <= situation.now {
        Note::new(
            NoteKind::Waiting,
            format!(
                "waiting for {product} to rotate: its newest certificate ends on {}",
                end.strftime("%Y-%m-%d")
            ),
        )
        .overdue(true)
        .with_hint("rotate in the product")
    } else {
        Note::new(NoteKind::Later, format!("{product} should rotate before {}", end.strftime("%Y-%m-%d")))
            .at(warn_at)
    };
    retirement.notes.push(about(note));
    retirement
}

/// Whether a credential is one of the rotating product's.
pub fn is_matched(matching: &RotatorMatch, credential: &Credential) -> bool {
    match matching {
        RotatorMatch::DisplayName(pattern) => {
            credential.display_name.as_deref().is_some_and(|name| glob_matches(pattern, name))
        }
        RotatorMatch::Thumbprints(thumbprints) => thumbprints.iter().any(|t| credential.is_named(t)),
    }
}
