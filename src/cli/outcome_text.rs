//! How the outcome of a run is laid out for a person. Only what was proven is called rotated.

use std::collections::BTreeSet;

use crate::apply::outcome::{CertificateReport, Outcome, Report, Shown, StepOutcome};
use crate::cli::brief::words;
use crate::cli::human::{EMULATOR_STAMP, View};
use crate::cli::text::{Ink, Text};
use crate::plan::step::Step;

/// The outcomes as text: what the login service says in one line, or with `view.whole` all of it. Certificates for which there was nothing to do are counted only.
pub fn outcomes(report: &Report, view: View) -> String {
    let mut text = Text::new(view.colour);
    if report.emulator {
        text.put(Ink::Attention, EMULATOR_STAMP).end().gap();
    }
    let told = report.certificates.iter().filter(|one| one.outcome != Outcome::NothingToDo);
    for certificate in told {
        certificate_lines(&mut text, certificate, view.whole);
    }
    text.gap().put(Ink::Heading, &summary(report));
    text.plain(if report.emulator { " (emulator)" } else { "" }).end();
    text.into_string()
}

fn certificate_lines(text: &mut Text, certificate: &CertificateReport, whole: bool) {
    let (ink, reason, hint) = match &certificate.outcome {
        Outcome::Proven { .. } | Outcome::Done => (Ink::Makes, evidence(certificate), None),
        Outcome::NothingToDo => (Ink::Faint, None, None),
        Outcome::PublishedNotProven { reason, .. } | Outcome::Waiting { reason } => {
            (Ink::Attention, Some(reason.clone()), None)
        }
        Outcome::NotYet { trouble } => (Ink::Attention, Some(trouble.to_string()), trouble.hint.clone()),
        // One that was never begun was planned only: its reason says all.
        Outcome::Blocked { trouble } if certificate.steps.is_empty() => {
            (Ink::Bad, Some(trouble.reason.clone()), trouble.hint.clone())
        }
        Outcome::Blocked { trouble } | Outcome::Failed { trouble } => {
            (Ink::Bad, Some(trouble.to_string()), trouble.hint.clone())
        }
        Outcome::Refused { reason } => (Ink::Bad, Some(reason.clone()), None),
        Outcome::Interrupted { remains } => (Ink::Bad, Some(remains.clone()), None),
    };
    text.put(Ink::Heading, &certificate.address.to_string()).plain("  ").put(ink, certificate.outcome.word());
    let reason = reason.map(|reason| {
        let reason = words(&reason, whole);
        reason.strip_prefix("waiting for ").map_or(format!(": {reason}"), |rest| format!(" for {rest}"))
    });
    text.plain(&reason.unwrap_or_default()).end();
    if let Some(hint) = hint {
        text.line(&format!("    try: {hint}"));
    }
    let is_refused = matches!(certificate.outcome, Outcome::Refused { .. });
    let mut reasons = BTreeSet::new();
    for step in &certificate.steps {
        if let (Step::Retire { credential }, StepOutcome::Done { .. }) = (&step.step, &step.outcome) {
            text.line(&format!("    {}… retired", credential.sha1.short()));
        }
        if let (StepOutcome::Refused { reason }, false) = (&step.outcome, is_refused) {
            reasons.insert(reason);
        }
        let shown = shown(&step.outcome);
        for gone in shown.iter().flat_map(|shown| &shown.disappeared) {
            text.line(&format!("    somebody else took credential {gone} away meanwhile"));
        }
        for dropped in shown.iter().flat_map(|shown| &shown.dropped) {
            text.line(&format!(
                "    expired credential {dropped} of somebody else was dropped, as the file allows"
            ));
        }
    }
    for reason in reasons {
        text.line(&format!("    refused: {reason}"));
    }
}

fn shown(outcome: &StepOutcome) -> Option<&Shown> {
    match outcome {
        StepOutcome::Done { shown } | StepOutcome::AlreadyDone { shown } => Some(shown),
        StepOutcome::NotYet { .. }
        | StepOutcome::Failed { .. }
        | StepOutcome::Interrupted
        | StepOutcome::Refused { .. }
        | StepOutcome::NotBegun => None,
    }
}

/// What the last proof showed.
fn evidence(certificate: &CertificateReport) -> Option<String> {
    let proof = certificate.steps.iter().rev().find(|step| matches!(step.step, Step::Prove { .. }))?;
    let shown = shown(&proof.outcome)?;
    let sign_ins = shown.correlation_ids.len();
    let thumbprints = shown.thumbprints.map(|thumbprints| format!(" with {}…", thumbprints.sha1.short()));
    (sign_ins > 0).then(|| format!("{sign_ins} sign-ins in a row{}", thumbprints.unwrap_or_default()))
}

/// The last line: how many came to which end.
pub fn summary(report: &Report) -> String {
    let outcomes = report.outcomes();
    let nothing = Outcome::NothingToDo.word();
    let parts: Vec<String> = outcomes
        .iter()
        .filter(|(word, _)| word.as_str() != nothing)
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    let unchanged = outcomes.get(nothing).copied().unwrap_or(0);
    let idle = report.certificates.iter().all(|certificate| certificate.steps.is_empty());
    match (parts.is_empty(), unchanged) {
        (true, _) => "Apply: nothing to do.".to_owned(),
        (false, _) if idle => format!("Apply: nothing to do; {}.", parts.join("; ")),
        (false, 0) => format!("Apply: {}.", parts.join("; ")),
        (false, unchanged) => format!("Apply: {}; {unchanged} unchanged.", parts.join("; ")),
    }
}
