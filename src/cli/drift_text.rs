//! How drift is laid out for a person.

use crate::cli::human::EMULATOR_STAMP;
use crate::cli::text::{Ink, Text, counted};
use crate::report::drift::{Drift, Finding, Rule, Severity};

/// The findings as text. Information and what is ignored is counted; with `all` it is listed.
pub fn drift(drift: &Drift, colour: bool, all: bool) -> String {
    let mut text = Text::new(colour);
    if drift.emulator {
        text.put(Ink::Attention, EMULATOR_STAMP).end().gap();
    }
    let mut heading = None;
    for finding in &drift.findings {
        if !all && (finding.ignored.is_some() || finding.severity == Severity::Info) {
            continue;
        }
        let place = place(finding);
        if heading.as_ref() != Some(&place) {
            text.gap().put(Ink::Heading, &place).end();
            heading = Some(place);
        }
        finding_lines(&mut text, finding);
    }
    text.gap()
        .put(Ink::Heading, &summary(drift))
        .plain(if drift.emulator { " (emulator)" } else { "" })
        .end();
    text.into_string()
}

fn place(finding: &Finding) -> String {
    match &finding.address {
        Some(address) => address.to_string(),
        None => format!("tenant {}", finding.tenant),
    }
}

fn finding_lines(text: &mut Text, finding: &Finding) {
    let (ink, word) = match (&finding.ignored, finding.severity) {
        (Some(_), _) => (Ink::Faint, "ignored"),
        (None, Severity::Info) => (Ink::Faint, "info"),
        (None, Severity::Warning) => (Ink::Attention, "warning"),
        (None, Severity::Alert) => (Ink::Bad, "alert"),
    };
    if finding.rule.is_somebodys_turn() && finding.ignored.is_none() {
        let word = if finding.overdue { "overdue" } else { finding.rule.id() };
        text.plain("  ").put(ink, &format!("{word:<9}"));
    } else {
        text.plain("  ").put(ink, &format!("{word:<9}")).plain(&format!("{}: ", finding.rule.id()));
    }
    if let Some(sha1) = &finding.thumbprint {
        text.plain(&format!("{}… ", sha1.short()));
    }
    text.line(&finding.text);
    if let Some(ignored) = &finding.ignored {
        let until = ignored.until.map(|until| format!(" (until {until})")).unwrap_or_default();
        text.line(&format!("      ignored because {}{until}", ignored.reason));
    } else if let Some(hint) = &finding.hint {
        text.line(&format!("      try: {hint}"));
    }
}

/// The last line.
pub fn summary(drift: &Drift) -> String {
    let differing = || drift.counted().filter(|finding| !finding.rule.is_somebodys_turn());
    let alerts = differing().filter(|finding| finding.severity == Severity::Alert).count();
    let warnings = differing().count() - alerts;
    let turns = drift.counted().count() - alerts - warnings;
    let ignored = drift.findings.iter().filter(|finding| finding.ignored.is_some()).count();
    let foreign = drift.findings.iter().filter(|finding| finding.rule == Rule::Foreign).count();
    let mut parts = Vec::new();
    if alerts + warnings == 0 {
        parts.push("none".to_owned());
    } else {
        parts.push(counted(alerts, "alert", "alerts"));
        parts.push(counted(warnings, "warning", "warnings"));
    }
    if turns > 0 {
        parts.push(format!("{turns} waiting for somebody"));
    }
    parts.push(format!(
        "{} live",
        counted(drift.managed.len(), "declared certificate", "declared certificates")
    ));
    parts.push(format!("{} left alone", counted(foreign, "foreign credential", "foreign credentials")));
    if ignored > 0 {
        parts.push(format!("{ignored} ignored"));
    }
    format!("Drift: {}.", parts.join(", "))
}
