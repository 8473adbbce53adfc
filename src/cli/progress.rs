//! How a run is told while it goes on: lines, bars, or events for a program.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::apply::events::{Event, Events};
use crate::cli::args::Global;
use crate::cli::brief::words;
use crate::cli::json;
use crate::cli::text::clean;
use crate::cli::world::{Stream, World};
use crate::ids::Address;

/// One line for each step that ended and for each thing waited for; what is waited for again and again is said once.
pub struct Lines {
    to: Stream,
    whole: bool,
    said: Mutex<BTreeMap<Address, String>>,
}

impl Lines {
    /// On that stream; `whole` when a service's texts are to be shown whole.
    pub fn new(to: Stream, whole: bool) -> Lines {
        Lines { to, whole, said: Mutex::default() }
    }
}

impl Events for Lines {
    fn emit(&self, event: Event) {
        let Some(line) = line(&event) else { return };
        let line = words(&line, self.whole);
        if let Event::ApplyProgress { address, .. } = &event {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.insert(address.clone(), line.clone()).as_ref() == Some(&line) {
                return;
            }
        }
        self.to.write(&format!("{}\n", clean(&line)));
    }
}

/// An event in one line; `None` for those that a person is told otherwise.
fn line(event: &Event) -> Option<String> {
    match event {
        Event::ApplyProgress { address, action, what, .. } => Some(format!("{address}  {action}: {what}")),
        Event::ApplyComplete { address, action, already_done, .. } => {
            Some(format!("{address}  {action}: {}", if *already_done { "already done" } else { "done" }))
        }
        Event::ApplyErrored { address, action, outcome, reason, .. } => {
            Some(format!("{address}  {action}: {outcome}: {reason}"))
        }
        Event::Diagnostic { severity, address, summary, .. } => {
            let place = address.as_ref().map(|address| format!("{address}  ")).unwrap_or_default();
            Some(format!("{place}{severity}: {summary}"))
        }
        Event::Version { .. }
        | Event::PlannedChange { .. }
        | Event::ApplyStart { .. }
        | Event::CertificateComplete { .. }
        | Event::ToCommit { .. }
        | Event::ChangeSummary { .. } => None,
    }
}

/// Says what a command is about to wait for, to people who would otherwise look at nothing.
pub fn note(text: &str, global: &Global, world: &World) {
    if !global.quiet && !global.is_json() {
        world.stderr.write(&format!("{}\n", clean(text)));
    }
}

/// One moving line for each certificate at work.
pub struct Bars {
    whole: bool,
    all: MultiProgress,
    at_work: Mutex<BTreeMap<Address, ProgressBar>>,
}

impl Bars {
    /// On standard error, which must be a terminal; `whole` when a service's texts are to be shown whole.
    pub fn new(whole: bool) -> Bars {
        Bars { whole, all: MultiProgress::new(), at_work: Mutex::new(BTreeMap::new()) }
    }

    fn bar(&self, address: &Address) -> ProgressBar {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = || {
            let bar = self.all.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}  {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.set_prefix(address.to_string());
            bar.enable_steady_tick(std::time::Duration::from_millis(120));
            bar
        };
        at_work.entry(address.clone()).or_insert_with(begin).clone()
    }

    fn end(&self, address: &Address) {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = at_work.remove(address) {
            bar.finish_and_clear();
        }
    }
}

impl Events for Bars {
    fn emit(&self, event: Event) {
        match &event {
            Event::ApplyStart { address, action, what, number, of, .. } => {
                let message = format!("{number}/{of} {action} {what}");
                self.bar(address).set_message(clean(&message).into_owned());
            }
            Event::ApplyProgress { address, action, what, .. } => {
                let message = words(&format!("{action}: {what}"), self.whole);
                self.bar(address).set_message(clean(&message).into_owned());
            }
            Event::CertificateComplete { address, .. } => self.end(address),
            Event::ApplyComplete { .. } | Event::ApplyErrored { .. } | Event::Diagnostic { .. } => {
                // A bar that could not be drawn is no reason to stop.
                let _ = line(&event).map(|line| self.all.println(clean(&words(&line, self.whole))));
            }
            Event::Version { .. }
            | Event::PlannedChange { .. }
            | Event::ToCommit { .. }
            | Event::ChangeSummary { .. } => {}
        }
    }
}

/// One JSON object a line on standard output, with the members Terraform's machine-readable output has on each line.
pub struct JsonLines {
    /// Where they go.
    pub to: Stream,
    /// Whether the run is about an emulated tenant: each line says so.
    pub emulator: bool,
    /// The moment of events that carry none.
    pub began: Timestamp,
}

impl Events for JsonLines {
    fn emit(&self, event: Event) {
        let Ok(Value::Object(mut object)) = serde_json::to_value(&event) else { return };
        let at = object.get("at").cloned().unwrap_or_else(|| json!(self.began));
        object.insert("@level".into(), json!(level(&event)));
        object.insert("@message".into(), json!(message(&event)));
        object.insert("@timestamp".into(), at);
        if self.emulator {
            object.insert("emulator".into(), json!(true));
        }
        self.to.write(&json::line(&Value::Object(object)));
    }
}

fn level(event: &Event) -> &'static str {
    match event {
        Event::ApplyErrored { .. } => "error",
        Event::Diagnostic { severity, .. } if severity == "error" => "error",
        Event::Diagnostic { .. } | Event::ToCommit { .. } => "warn",
        Event::Version { .. }
        | Event::PlannedChange { .. }
        | Event::ApplyStart { .. }
        | Event::ApplyProgress { .. }
        | Event::ApplyComplete { .. }
        | Event::CertificateComplete { .. }
        | Event::ChangeSummary { .. } => "info",
    }
}

fn message(event: &Event) -> String {
    match event {
        Event::Version { certroll, .. } => format!("certroll {certroll}"),
        Event::PlannedChange { address, action, what, .. } => format!("{address}: plan to {action} {what}"),
        Event::ApplyStart { address, action, what, .. } => format!("{address}: {action} {what}"),
        Event::CertificateComplete { address, outcome, .. } => format!("{address}: {}", outcome.word()),
        Event::ToCommit { address, revoked, .. } => {
            let revoked: Vec<String> = revoked.iter().map(ToString::to_string).collect();
            format!("{address}: commit revoked: [ {} ]", revoked.join(", "))
        }
        Event::ChangeSummary { outcomes, .. } => {
            let parts: Vec<_> = outcomes.iter().map(|(word, count)| format!("{count} {word}")).collect();
            format!("Apply: {}", parts.join("; "))
        }
        Event::ApplyProgress { .. }
        | Event::ApplyComplete { .. }
        | Event::ApplyErrored { .. }
        | Event::Diagnostic { .. } => line(event).unwrap_or_default(),
    }
}

/// Tells nobody.
pub struct Quiet;

impl Events for Quiet {
    fn emit(&self, _: Event) {}
}
