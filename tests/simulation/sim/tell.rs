//! What a run said: into the log, into the coverage, and held against what happened (P4, P6).

use std::collections::BTreeMap;

use certroll::apply::outcome::{Outcome, Report, StepOutcome};
use certroll::plan::Plan;
use certroll::plan::step::Step;
use jiff::Timestamp;
use serde_json::Value;

use super::coverage::tag;
use super::world::World;

fn became(outcome: &StepOutcome) -> &'static str {
    match outcome {
        StepOutcome::Done { .. } => "done",
        StepOutcome::AlreadyDone { .. } => "already done",
        StepOutcome::NotYet { .. } => "not yet",
        StepOutcome::Failed { .. } => "failed",
        StepOutcome::Interrupted => "interrupted",
        StepOutcome::Refused { .. } => "refused",
        StepOutcome::NotBegun => "not begun",
    }
}

fn why(outcome: &Outcome) -> String {
    match outcome {
        Outcome::NotYet { trouble } | Outcome::Failed { trouble } | Outcome::Blocked { trouble } => {
            format!(" ({trouble})")
        }
        Outcome::Waiting { reason }
        | Outcome::Refused { reason }
        | Outcome::PublishedNotProven { reason, .. } => format!(" ({reason})"),
        _ => String::new(),
    }
}

/// What makes a step the one that was reviewed: its action, and the rotation, thumbprints, credential and place it is about.
fn identity(step: &Step) -> BTreeMap<String, Value> {
    let Value::Object(members) = serde_json::to_value(step).unwrap() else { return BTreeMap::new() };
    let mut identity = BTreeMap::new();
    for (name, value) in members {
        match name.as_str() {
            "action" | "place" | "slot" => _ = identity.insert(name, value),
            "generation" => {
                let rotation = &value["rotation_id"];
                let which = if rotation.is_null() { &value["thumbprints"] } else { rotation };
                identity.insert(name, which.clone());
            }
            "credential" => _ = identity.insert(name, value["key_id"].clone()),
            _ => {}
        }
    }
    identity
}

impl World {
    /// What a plan says.
    pub fn tell_plan(&self, plan: &Plan) {
        let state = &mut *self.state();
        let (coverage, oracles) = (&mut state.coverage, &mut state.oracles);
        oracles.blocked.clear();
        for certificate in &plan.certificates {
            if certificate.is_blocked() {
                oracles.blocked.insert(certificate.address.name.to_string());
            }
            for planned in &certificate.steps {
                coverage.hit("because", tag(&planned.because, "reason"));
            }
            for note in &certificate.notes {
                coverage.note(note);
            }
        }
        plan.refusals.iter().for_each(|refusal| coverage.refusal(refusal));
    }

    pub fn tell(&self, report: &Report, plan: &Plan, reviewed: Option<&Plan>) {
        let mut lines = Vec::new();
        self.tell_plan(plan);
        {
            let state = &mut *self.state();
            let coverage = &mut state.coverage;
            for certificate in &report.certificates {
                let word = certificate.outcome.word();
                coverage.said(&why(&certificate.outcome));
                coverage.hit("outcome", tag(&certificate.outcome, "outcome"));
                let mut steps = Vec::new();
                for step in &certificate.steps {
                    let told = format!("{} {}", step.step.verb(), became(&step.outcome));
                    let result = tag(&step.outcome, "result");
                    coverage.hit("step", format!("{}: {result}", tag(&step.step, "action")));
                    coverage.hit("step result", result);
                    steps.push(told);
                }
                if !steps.is_empty() || !matches!(certificate.outcome, Outcome::NothingToDo) {
                    let (address, why) = (&certificate.address, why(&certificate.outcome));
                    lines.push(format!("  {address}: {word}{why}: {}", steps.join(", ")));
                }
            }
            let code = if plan.applyable() { report.ending().exit_code() } else { 4 };
            coverage.hit("exit", code.to_string());
            lines.push(format!("  exit {code}"));
        }
        lines.iter().for_each(|line| self.log(line));
        if let Some(reviewed) = reviewed {
            self.only_what_was_reviewed(report, reviewed);
        }
    }

    /// P4: what was carried out was in the reviewed plan.
    fn only_what_was_reviewed(&self, report: &Report, reviewed: &Plan) {
        for certificate in &report.certificates {
            let known = reviewed.certificates.iter().find(|known| known.address == certificate.address);
            let known: Vec<_> =
                known.iter().flat_map(|known| &known.steps).map(|planned| identity(&planned.step)).collect();
            for step in &certificate.steps {
                let begun = step.began.is_some();
                if begun && !known.contains(&identity(&step.step)) {
                    self.violation(format!(
                        "P4 {}: {} was carried out and not reviewed",
                        certificate.address,
                        step.step.verb()
                    ));
                }
            }
        }
    }

    /// P6: what is called proven has signed in, as the directory's journal knows.
    pub fn no_false_success(&self, report: &Report, began: Timestamp) {
        let journal = self.emulator.journal();
        for certificate in &report.certificates {
            let (Outcome::Proven { .. }, Some(target)) = (&certificate.outcome, &certificate.target) else {
                continue;
            };
            let client = target.app_id.to_string();
            let signed_in = journal.iter().filter(|entry| {
                entry.path.contains("/oauth2/v2.0/token")
                    && entry.status == 200
                    && !entry.lost
                    && entry.time >= began
                    && entry.client_id.as_deref() == Some(&client)
            });
            let count = signed_in.count();
            if count < self.settings.sign_ins as usize {
                self.violation(format!("P6 {} is called proven after {count} sign-ins", certificate.address));
            }
        }
    }
}
