//! Certificates that a person has signed: whether one may be issued now, or what is waited for.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use crate::certificate::Certificate;
use crate::desired::{Issuer, answer_file, request_file};
use crate::observed::{Answer, Generation};
use crate::plan::calendar::{Life, due};
use crate::plan::reason::{Note, NoteKind};
use crate::plan::situation::Situation;
use crate::plan::step::GenerationRef;

/// A certificate may end so much before it was asked to: people count in days, and a calendar year may have one more.
const ROUNDING: SignedDuration = SignedDuration::from_hours(48);

/// How far the signing of a requested key has come.
pub(super) enum Signature<'s> {
    /// Nobody was asked yet, or the request is no longer where it was handed over.
    NotAsked,
    /// It is waited for.
    Awaited,
    /// What came does not serve.
    Unusable(&'s str, &'s str),
    /// It came, and was asked for at that time.
    Came(&'s Certificate, Timestamp),
}

/// None where nobody signs by hand, or where that is over.
pub(super) fn of<'s>(
    situation: &'s Situation<'_>,
    started: Option<&Generation>,
    generation: &GenerationRef,
) -> Option<Signature<'s>> {
    let Issuer::Csr { .. } = situation.declared.issuer else { return None };
    let Some(started) = started else { return Some(Signature::NotAsked) };
    if started.record.thumbprints.is_some() {
        return None;
    }
    let answer = generation.rotation_id.and_then(|rotation| situation.answers.get(&rotation));
    Some(match answer {
        None | Some(Answer::NotAsked) => Signature::NotAsked,
        Some(Answer::Awaited) => Signature::Awaited,
        Some(Answer::Unusable { reason, hint }) => Signature::Unusable(reason, hint),
        Some(Answer::Certificate(certificate)) => Signature::Came(certificate, started.record.requested_at),
    })
}

impl Signature<'_> {
    /// Why no certificate is issued now, if that is so. `current_ends` makes waiting overdue when it is near.
    pub(super) fn note(self, situation: &Situation<'_>, current_ends: Option<Timestamp>) -> Option<Note> {
        let Issuer::Csr { directory } = &situation.declared.issuer else { return None };
        match self {
            Signature::NotAsked | Signature::Awaited => {
                let near =
                    |end: Timestamp| end.duration_since(situation.now) <= situation.policy.settings.urgent;
                Some(waiting(situation, directory).overdue(current_ends.is_some_and(near)))
            }
            Signature::Unusable(reason, hint) => Some(Note::blocked(reason, hint)),
            Signature::Came(certificate, asked_at) => {
                let (reason, hint) = unfit(situation, certificate, asked_at)?;
                let file = answer_file(directory, &situation.declared.address);
                Some(Note::blocked(format!("the certificate in {}: {reason}", file.display()), hint))
            }
        }
    }
}

fn waiting(situation: &Situation<'_>, directory: &Path) -> Note {
    let address = &situation.declared.address;
    let (request, answer) = (request_file(directory, address), answer_file(directory, address));
    Note::new(NoteKind::Waiting, format!("waiting for a certificate in {}", answer.display()))
        .with_hint(format!("have {} signed and put the certificate there", request.display()))
}

/// What of the certificate does not serve, and what to try.
fn unfit(
    situation: &Situation<'_>,
    certificate: &Certificate,
    asked_at: Timestamp,
) -> Option<(String, String)> {
    let declared = situation.declared;
    let again = "have the request signed again";
    let subject = declared.subject.to_string();
    if certificate.subject != subject {
        return Some((
            format!("its subject is {}, and {subject} was asked for", certificate.subject),
            format!("{again} with that subject, or declare subject: {:?}", certificate.subject),
        ));
    }
    if let Some(reason) = certificate.wrong_use() {
        return Some((reason.to_owned(), format!("{again} for client authentication")));
    }
    if certificate.not_before > situation.now {
        return Some((
            format!("it is not valid before {}", certificate.not_before),
            "wait, or have it signed again with an earlier start".to_owned(),
        ));
    }
    let length = certificate.not_after.duration_since(certificate.not_before);
    let due = due(declared, Life { began: certificate.not_before, end: certificate.not_after, length });
    if due <= situation.now {
        return Some((
            format!("it came late: its own rotation was due on {due}"),
            format!("{again}, with dates from today on"),
        ));
    }
    let wanted = declared.validity.after(asked_at);
    if certificate.not_after.checked_add(ROUNDING).unwrap_or(Timestamp::MAX) < wanted {
        return Some((
            format!(
                "it ends on {}, and {} from its request on was asked for",
                certificate.not_after, declared.validity
            ),
            format!("{again} for longer, or declare a shorter validity"),
        ));
    }
    None
}
