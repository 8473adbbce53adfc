//! The same for a program: objects on one line, with stable names.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::text::is_harmful;
use crate::diagnostic::{Diagnostic, begins_a_command};
use crate::error::Error;
use crate::report::drift::{Drift, Finding, Rule, Severity};

/// An error as a `diagnostic` object.
pub fn diagnostic(error: &Error) -> Value {
    let Error { kind, doing, causes, hints } = error;
    json!({
        "type": "diagnostic",
        "severity": "error",
        "kind": kind,
        "summary": doing,
        "causes": causes,
        "hints": hints,
    })
}

/// What is wrong with a declaration, as a `diagnostic` object.
pub fn declaration_diagnostic(diagnostic: &Diagnostic) -> Value {
    let mut value = json!(diagnostic);
    if let Value::Object(object) = &mut value {
        object.insert("type".into(), json!("diagnostic"));
    }
    value
}

/// One object on one line.
pub fn line(value: &Value) -> String {
    fit_to_show(&format!("{value}\n"))
}

/// One object laid out for reading.
pub fn pretty(value: &Value) -> String {
    fit_to_show(&format!("{value:#}\n"))
}

/// The same JSON with what could change how a terminal shows it, or what a CI system would take for a command, spelled out, as in `\u202e`. JSON itself escapes control characters
/// below U+0020 in texts, and outside of texts they are line breaks.
pub fn fit_to_show(text: &str) -> String {
    let mut fit = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        if c >= ' ' && is_harmful(c) || begins_a_command(&text[at..]) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(fit, "\\u{unit:04x}");
            }
        } else {
            fit.push(c);
        }
    }
    fit
}

/// Drift for a program. The skeleton (`summary`, `managed`, `unmanaged`, `missing`, `coverage`, `alerts`, `date`) is the one
/// that drift reports of other tools have.
pub fn drift(drift: &Drift) -> Value {
    let of = |rules: &[Rule]| -> Vec<&Finding> {
        drift.findings.iter().filter(|f| f.ignored.is_none() && rules.contains(&f.rule)).collect()
    };
    let unmanaged = of(&[Rule::Foreign, Rule::Undeclared, Rule::Claimed, Rule::Orphan]);
    let missing = of(&[Rule::Missing, Rule::NotIssued, Rule::TargetMissing, Rule::TargetDeleted]);
    let live = drift.managed.len();
    let total = live + unmanaged.len() + missing.len();
    let alerts: Vec<_> = drift.counted().filter(|finding| finding.severity == Severity::Alert).collect();
    json!({
        "format_version": "1.0",
        "date": drift.date,
        "owner": drift.owner,
        "emulator": drift.emulator,
        "has_drift": drift.has_drift(),
        "needs_somebody": drift.needs_somebody(),
        "summary": {
            "total_resources": total,
            "total_managed": live,
            "total_unmanaged": unmanaged.len(),
            "total_missing": missing.len(),
        },
        // Percentage of what is on the targets or declared that is declared and live, rounded down.
        "coverage": (live * 100).checked_div(total).unwrap_or(100),
        "managed": drift.managed,
        "unmanaged": unmanaged,
        "missing": missing,
        "changed": of(&[
            Rule::Changed,
            Rule::Differs,
            Rule::DeliveryDiffers,
            Rule::StoreDamaged,
            Rule::StoreTouched,
        ]),
        "expiring": of(&[Rule::Expiring, Rule::Expired]),
        "ignored": drift.findings.iter().filter(|finding| finding.ignored.is_some()).collect::<Vec<_>>(),
        "alerts": alerts,
        "findings": drift.findings,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{line, pretty};

    #[test]
    fn json_shows_nothing_that_could_repaint_a_terminal_and_means_the_same() {
        let hostile = json!({
            "nice\u{202e}name": "\u{1b}[2J\r\n\t \u{7f}\u{9b}31m \u{200b}\u{feff}\u{2028} \u{e0041} \\u202e 漢字 \" ##vso[task.complete]x",
        });
        for shown in [line(&hostile), pretty(&hostile)] {
            assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), hostile);
            let raw: Vec<char> =
                shown.chars().filter(|c| *c != '\n' && crate::cli::text::is_harmful(*c)).collect();
            assert!(raw.is_empty(), "{raw:?} in {shown}");
            assert!(!shown.contains("##vso["), "{shown}");
            assert!(
                shown.contains("\\u202e") && shown.contains("\\udb40\\udc41") && shown.contains("漢字"),
                "{shown}"
            );
        }
    }
}
