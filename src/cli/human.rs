//! How a plan is laid out for the person who approves it. A saved plan and a fresh one go through the same code.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::cli::text::{Ink, Text, counted};
use crate::ids::TargetKind;
use crate::plan::reason::{Because, Note, NoteKind};
use crate::plan::step::Step;
use crate::plan::{CertificatePlan, Counts, LeftAlone, Plan, PlannedStep};
use crate::report::drift::days_until;

/// What of a plan is shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct View {
    /// Whether in colour.
    pub colour: bool,
    /// Whether unchanged certificates are listed, not only counted.
    pub unchanged: bool,
    /// Whether a service's texts are shown whole.
    pub whole: bool,
}

/// How near an end is named rather than the date of the rotation.
const NEAR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What stands at the head of everything that is about an emulated tenant.
pub const EMULATOR_STAMP: &str = "emulator: nothing here is Microsoft Entra ID";

/// The plan as text.
pub fn plan(plan: &Plan, view: View) -> String {
    let mut text = Text::new(view.colour);
    if plan.emulator {
        text.put(Ink::Attention, EMULATOR_STAMP).end().gap();
    }
    for certificate in &plan.certificates {
        if view.unchanged || is_worth_showing(certificate) {
            certificate_block(&mut text, plan, certificate);
            text.gap();
        }
    }
    for refusal in &plan.refusals {
        text.put(Ink::Bad, "refused").plain("  ").line(&refusal.to_string()).gap();
    }
    if !plan.asked.settings.is_empty() {
        let set: Vec<String> =
            plan.asked.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        text.line(&format!("With settings of its own (--set): {}.", set.join(", ")));
    }
    let counts = plan.counts();
    unlisted_line(&mut text, plan, view);
    if !plan.complete {
        text.line("Only a part of the declaration was planned (--only).");
    }
    text.put(Ink::Heading, &summary(counts));
    text.plain(if plan.emulator { " (emulator)" } else { "" }).end();
    text.into_string()
}

/// The last line: how many of what.
pub fn summary(counts: Counts) -> String {
    let Counts { issue, repair, retire, later, waiting, blocked, steps, unchanged: _ } = counts;
    if steps == 0 && waiting == 0 && blocked == 0 {
        return format!("Plan: nothing to do, {later} later.");
    }
    // Publishing a provider's certificate, delivering again, finishing a rotation: work that none of the counts names.
    let others = match (issue + repair + retire, steps) {
        (0, steps) if steps > 0 => format!("; {}", counted(steps, "other step", "other steps")),
        _ => String::new(),
    };
    format!(
        "Plan: {issue} to issue, {repair} to repair, {retire} to retire now, {later} later, {waiting} waiting, \
         {blocked} blocked{others}."
    )
}

/// A certificate without steps is worth showing when somebody should know something of it, or when a credential is on
/// its way out. The date of its next rotation alone is not: with a thousand certificates it would bury the rest.
fn is_worth_showing(certificate: &CertificatePlan) -> bool {
    !certificate.steps.is_empty()
        || certificate.notes.iter().any(|note| match note.kind {
            NoteKind::Blocked | NoteKind::Waiting | NoteKind::Warning | NoteKind::HandOff => true,
            NoteKind::Later => !is_routine(note),
            NoteKind::Info => false,
        })
}

/// Whether the note is only a date in the ordinary life of a certificate that nobody has to act on: its next rotation, the
/// next key of a provider or product. What is held back, kept or on its way out is more than that.
fn is_routine(note: &Note) -> bool {
    let telling = ["retire", "is kept", "rotate,", "issue,", "publish", "deliver"];
    note.kind == NoteKind::Later
        && note.at.is_some()
        && !telling.iter().any(|beginning| note.text.starts_with(beginning))
}

fn certificate_block(text: &mut Text, plan: &Plan, certificate: &CertificatePlan) {
    heading(text, certificate);
    let mut said = BTreeSet::new();
    for planned in &certificate.steps {
        step(text, plan, planned, &mut said);
    }
    let mut notes: Vec<&Note> = certificate.notes.iter().collect();
    notes.sort_by_key(|note| place_of(note.kind));
    for note in notes {
        note_lines(text, note);
    }
    if let Some(left) = left_alone(certificate.left_alone) {
        text.plain("  ").put(Ink::Faint, ".").line(&format!(" {left}"));
    }
}

/// `2 foreign and 1 claimed credential left alone`; nothing where there is none.
fn left_alone(LeftAlone { foreign, claimed, undeclared, kept: _ }: LeftAlone) -> Option<String> {
    let kinds = [(foreign, "foreign"), (claimed, "claimed"), (undeclared, "undeclared")];
    let kinds: Vec<_> = kinds.into_iter().filter(|(count, _)| *count > 0).collect();
    let (last, _) = kinds.last()?;
    let named: Vec<String> = kinds.iter().map(|(count, kind)| format!("{count} {kind}")).collect();
    let credentials = if *last == 1 { "credential" } else { "credentials" };
    Some(format!("{} {credentials} left alone", listed(&named)))
}

/// `a`, `a and b`, `a, b and c`.
fn listed(words: &[String]) -> String {
    match words {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        words => words.concat(),
    }
}

fn heading(text: &mut Text, certificate: &CertificatePlan) {
    text.put(Ink::Heading, &certificate.address.to_string()).plain("  (").plain(&certificate.title);
    if let Some(target) = &certificate.target {
        let kind = match target.id.kind {
            TargetKind::Application => "application",
            TargetKind::ServicePrincipal => "service principal",
        };
        let id = target.app_id.to_string();
        text.plain(&format!(", {kind} {}…", &id[..4]));
    }
    text.line(")");
}

/// A step, and why, unless the line above has said so or the whole chain is about it.
fn step(text: &mut Text, plan: &Plan, planned: &PlannedStep, said: &mut BTreeSet<String>) {
    let PlannedStep { step, because, not_before, requires: _ } = planned;
    text.plain("  ").put(ink_of(step), &step.mark().to_string());
    text.plain(&format!(" {:<9}{}", step.verb(), step.at(plan.now))).end();
    if *not_before > plan.now {
        text.line(&format!("      not before {}", not_before.strftime("%Y-%m-%d %H:%M UTC")));
    }
    let words = reason(because, step, plan.now);
    if *because != Because::PartOfRotation && said.insert(because.to_string()) {
        text.line(&format!("      because {words}"));
    }
}

/// Why, in the words of that day: near the end of the current one it is the end that counts.
fn reason(because: &Because, step: &Step, now: Timestamp) -> String {
    match because {
        Because::Due { due: _, ends } if *ends > now && ends.duration_since(now) <= NEAR => {
            format!("the current one ends in {}", days_until(now, *ends))
        }
        because => because.of(step),
    }
}

fn ink_of(step: &Step) -> Ink {
    match step.mark() {
        '+' => Ink::Makes,
        '-' => Ink::Removes,
        '?' => Ink::Asks,
        _ => Ink::Changes,
    }
}

/// Notes in the order in which a person needs them: what comes next first, what is for completeness last.
fn place_of(kind: NoteKind) -> u8 {
    match kind {
        NoteKind::Blocked => 0,
        NoteKind::Waiting => 1,
        NoteKind::HandOff => 2,
        NoteKind::Later => 3,
        NoteKind::Warning => 4,
        NoteKind::Info => 5,
    }
}

fn note_lines(text: &mut Text, note: &Note) {
    let (ink, mark) = match note.kind {
        NoteKind::Blocked => (Ink::Bad, "blocked  "),
        NoteKind::Waiting if note.overdue => (Ink::Bad, "overdue  "),
        NoteKind::Waiting => (Ink::Attention, "waiting  "),
        NoteKind::Later => (Ink::Plain, "later  "),
        NoteKind::Warning => (Ink::Attention, "! warning: "),
        NoteKind::HandOff => (Ink::Attention, "! "),
        NoteKind::Info => (Ink::Faint, ". "),
    };
    text.plain("  ").put(ink, mark).line(&note_words(note));
    if let Some(hint) = &note.hint {
        // Of a hand-off it says how it is done.
        let how = if note.kind == NoteKind::HandOff { "" } else { "try: " };
        text.line(&format!("      {how}{hint}"));
    }
}

/// A note's words with what it is about and when: `retire 9F2C41D0… on 2026-12-02 …`, `9F2C41D0… is kept …`.
pub fn note_words(note: &Note) -> String {
    let Note { kind: _, about, at, text, hint: _, overdue: _ } = note;
    let about = about.map(|sha1| format!("{}…", sha1.short()));
    let at = at.map(|at| format!("on {}", day(at)));
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let subject_missing = matches!(first, "is" | "carries");
    let verb = first.trim_end_matches([';', ',']);
    if matches!(verb, "retire" | "rotate" | "issue" | "publish") {
        let mark = &first[verb.len()..];
        let words = [Some(verb.to_owned()), about, at].into_iter().flatten().collect::<Vec<_>>().join(" ");
        return if rest.is_empty() { words } else { format!("{words}{mark} {rest}") };
    }
    match about {
        Some(about) if subject_missing => {
            let when = at.map(|at| format!(" ({at})")).unwrap_or_default();
            format!("{about} {text}{when}")
        }
        about => {
            let facts: Vec<String> = [about, at].into_iter().flatten().collect();
            if facts.is_empty() { text.clone() } else { format!("{text} ({})", facts.join(", ")) }
        }
    }
}

/// A day, with the time of day where it is not midnight: a date alone would be a day off for half of the world.
fn day(moment: Timestamp) -> String {
    let midnight = moment.as_second().rem_euclid(86_400) == 0;
    moment.strftime(if midnight { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M UTC" }).to_string()
}

/// Those that are not listed as a count, with the next date among them.
fn unlisted_line(text: &mut Text, plan: &Plan, view: View) {
    let unlisted: Vec<&CertificatePlan> =
        plan.certificates.iter().filter(|one| !is_worth_showing(one)).collect();
    if unlisted.is_empty() || view.unchanged {
        return;
    }
    let next = unlisted
        .iter()
        .flat_map(|certificate| certificate.notes.iter().map(move |note| (certificate, note)))
        .filter(|(_, note)| is_routine(note))
        .filter_map(|(certificate, note)| Some((note.at?, &certificate.address)))
        .min();
    let unchanged = counted(unlisted.len(), "certificate", "certificates");
    match next {
        Some((at, address)) => {
            let day = at.strftime("%Y-%m-%d");
            text.line(&format!("{unchanged} unchanged; next is {address} on {day} (-v lists them)."));
        }
        None => {
            text.line(&format!("{unchanged} unchanged (-v lists them)."));
        }
    }
    let left = left_alone_on(&unlisted);
    let kept = (left.kept > 0).then(|| format!("{} kept", counted(left.kept, "predecessor", "predecessors")));
    let told: Vec<String> = [left_alone(left), kept].into_iter().flatten().collect();
    if !told.is_empty() {
        text.line(&format!("On their targets: {}.", told.join(", ")));
    }
}

/// What is left alone on the targets of these, each credential once: several certificates may share a target.
fn left_alone_on(certificates: &[&CertificatePlan]) -> LeftAlone {
    let mut targets: BTreeMap<_, LeftAlone> = BTreeMap::new();
    for certificate in certificates {
        let LeftAlone { foreign, claimed, undeclared, kept } = certificate.left_alone;
        let of_target = targets.entry(certificate.target.as_ref().map(|target| target.id)).or_default();
        of_target.foreign = of_target.foreign.max(foreign);
        of_target.undeclared = of_target.undeclared.max(undeclared);
        // These carry the certificate's own name.
        of_target.claimed += claimed;
        of_target.kept += kept;
    }
    let sum = |one: LeftAlone, two: &LeftAlone| LeftAlone {
        foreign: one.foreign + two.foreign,
        claimed: one.claimed + two.claimed,
        undeclared: one.undeclared + two.undeclared,
        kept: one.kept + two.kept,
    };
    targets.values().fold(LeftAlone::default(), sum)
}

#[cfg(test)]
#[path = "human_tests.rs"]
mod tests;
