//! Carries a history out, event by event.

use std::collections::BTreeMap;
use std::sync::Arc;

use certroll::apply::outcome::{Ending, Outcome as Became, Report, StepOutcome};
use certroll::emulator::{Faults, NewApplication, NewServicePrincipal};
use certroll::plan::Plan;
use certroll::plan::policy::Policy;
use jiff::SignedDuration;
use serde_json::json;
use uuid::Uuid;

use super::consumer::Consumers;
use super::coverage::Coverage;
use super::declaration::{TENANT, Target};
use super::process::{Ended, Ill, Process};
use super::story::{Event, Story};
use super::world::World;
use crate::support::trouble::Mischief;

/// How a history ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub log: Vec<String>,
    pub violations: Vec<String>,
    pub coverage: Coverage,
    pub rotations: u64,
}

/// Lives through a history, on a thread of its own making and with a clock of its own.
pub fn live(story: &Story) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut life = Life::begin(story);
        for event in &story.events {
            life.pass(event).await;
        }
        life.end().await
    })
}

struct Life {
    world: Arc<World>,
    consumers: Consumers,
    /// Plans somebody has saved, by the name it was given.
    saved: BTreeMap<String, Plan>,
}

/// Runs after which nothing may be left to do once all trouble is over.
const RUNS_TO_SETTLE: usize = 12;

impl Life {
    fn begin(story: &Story) -> Life {
        let world = Arc::new(World::new(story.seed, story.start));
        Life { world, consumers: Consumers::default(), saved: BTreeMap::new() }
    }

    async fn pass(&mut self, event: &Event) {
        self.world.wait(event.after).await;
        let shown = event.to_string();
        self.world.log(shown.split_once(' ').map_or("", |(_, rest)| rest));
        self.world.state().coverage.hit("event", event.verb.as_str());
        match event.verb.as_str() {
            "object" => self.object(event),
            "certificate" => self.certificate(event),
            "run" => self.run(event).await,
            "use" => self.consumers.sign_in(&self.world, &event.who).await,
            "restart" => self.consumers.restart(&event.who),
            "ack" => self.acknowledge(&event.who),
            "faults" => self.faults(event),
            other => panic!("no such event: {other}"),
        }
        self.world.watch_all();
    }

    fn object(&self, event: &Event) {
        let mut dice = super::dice::Dice::of(self.world.seed, &format!("object {}", event.who));
        let mut id = || Uuid::from_u128(u128::from(dice.next()) << 64 | u128::from(dice.next()));
        let (object_id, app_id) = (id(), id());
        let service_principal = event.get("kind") == Some("service_principal");
        if service_principal {
            let new = NewServicePrincipal {
                id: Some(object_id),
                app_id: Some(app_id),
                display_name: event.who.clone(),
                ..NewServicePrincipal::default()
            };
            self.world.emulator.create_service_principal(TENANT, new).unwrap();
        } else {
            let new = NewApplication {
                id: Some(object_id),
                app_id: Some(app_id),
                display_name: event.who.clone(),
                ..NewApplication::default()
            };
            self.world.emulator.create_application(TENANT, new).unwrap();
        }
        let target = Target { service_principal, app_id, object_id };
        self.world.state().declaration.targets.insert(event.who.clone(), target);
    }

    /// Declares a certificate, or changes keys of one that is declared; a key set to `-` goes.
    fn certificate(&self, event: &Event) {
        let mut state = self.world.state();
        let keys = state.declaration.certificates.entry(event.who.clone()).or_default();
        for (key, value) in &event.with {
            if value == "-" {
                keys.remove(key)
            } else {
                keys.insert(key.clone(), value.clone())
            };
        }
    }

    fn faults(&self, event: &Event) {
        let faults: Faults = match event.get("are") {
            Some(text) => serde_json::from_str(text).unwrap(),
            None => Faults::default(),
        };
        self.world.emulator.set_faults(faults);
    }

    /// A person says that the consumer uses what the store offers now, and it does.
    fn acknowledge(&self, certificate: &str) {
        let Some(sha1) = self.world.offered(certificate) else { return };
        let now = self.world.now();
        self.consumers.restart(certificate);
        let mut state = self.world.state();
        state.declaration.acknowledgements.push((certificate.to_owned(), sha1.clone(), now));
        state.oracles.acknowledge(certificate, &sha1, now);
    }

    fn ill(event: &Event) -> Ill {
        let kind = |word: &str| match word {
            "full" => std::io::ErrorKind::StorageFull,
            "readonly" => std::io::ErrorKind::ReadOnlyFilesystem,
            "denied" => std::io::ErrorKind::PermissionDenied,
            _ => std::io::ErrorKind::Other,
        };
        let disk = event.get("disk").map(|text| {
            let mut parts = text.split(':');
            let (from, count) = (parts.next().unwrap(), parts.next().unwrap());
            (from.parse().unwrap(), count.parse().unwrap(), kind(parts.next().unwrap_or("")))
        });
        let inner = event.get("inner").map(|text| {
            let (call, what) = text.split_once(':').unwrap();
            let mischief = match what {
                "refuse" => Mischief::Refuse,
                "lose" => Mischief::LoseAnswer,
                "before" => Mischief::CrashBefore,
                _ => Mischief::CrashAfter,
            };
            (call.parse().unwrap(), mischief)
        });
        Ill {
            die: event.number_of("die"),
            disk,
            inner,
            skew: SignedDuration::from_secs(event.number_of("skew").unwrap_or_default()),
            late: SignedDuration::from_secs(event.number_of("late").unwrap_or_default()),
        }
    }

    async fn run(&mut self, event: &Event) {
        let process = Process::new(&self.world, event.number, Life::ill(event));
        let Some(report) = self.carry_out(&process, &self.policy(), event.number_of("stop")).await else {
            return;
        };
        let calm = self.world.emulator.faults() == Faults::default();
        if report.ending() == Ending::Fine && calm && event.with.is_empty() {
            self.nothing_is_left(event.number, &report).await;
        }
    }

    fn policy(&self) -> Policy {
        Policy { settings: self.world.settings.clone(), ..Policy::default() }
    }

    /// A run from loading to its end.
    async fn carry_out(&self, process: &Arc<Process>, policy: &Policy, stop: Option<i64>) -> Option<Report> {
        let desired = match self.world.desired() {
            Ok(desired) => desired,
            Err(found) => panic!("the declaration is wrong: {found}"),
        };
        let ground = process.connect(Arc::new(desired));
        let ended = ground.run(policy, None, stop).await;
        self.world.emulator.clear_journal();
        self.world.watch_all();
        match ended {
            Ended::Died => {
                self.world.state().coverage.hit("exit", "died");
                None
            }
            Ended::CouldNotPlan(reason) => {
                self.world.log(format!("  cannot plan: {reason}"));
                self.world.state().coverage.hit("exit", "1");
                None
            }
            Ended::Reported(report, plan) => {
                self.tell(&report, &plan);
                Some(report)
            }
        }
    }

    fn tell(&self, report: &Report, plan: &Plan) {
        let mut lines = Vec::new();
        {
            let mut state = self.world.state();
            for certificate in &plan.certificates {
                for planned in &certificate.steps {
                    let because = serde_json::to_value(&planned.because).unwrap();
                    state.coverage.hit("because", because["reason"].as_str().unwrap());
                }
                for note in &certificate.notes {
                    state.coverage.hit("note", format!("{:?}", note.kind));
                }
            }
            for certificate in &report.certificates {
                let word = certificate.outcome.word();
                state.coverage.hit("outcome", word);
                let mut steps = Vec::new();
                for step in &certificate.steps {
                    let became = match &step.outcome {
                        StepOutcome::Done { .. } => "done",
                        StepOutcome::AlreadyDone { .. } => "already done",
                        StepOutcome::NotYet { .. } => "not yet",
                        StepOutcome::Failed { .. } => "failed",
                        StepOutcome::Interrupted => "interrupted",
                        StepOutcome::Refused { .. } => "refused",
                        StepOutcome::NotBegun => "not begun",
                    };
                    state.coverage.hit("step", format!("{} {became}", step.step.verb()));
                    steps.push(format!("{} {became}", step.step.verb()));
                }
                if !steps.is_empty() || !matches!(certificate.outcome, Became::NothingToDo) {
                    let why = match &certificate.outcome {
                        Became::NotYet { trouble }
                        | Became::Failed { trouble }
                        | Became::Blocked { trouble } => {
                            format!(" ({trouble})")
                        }
                        Became::Waiting { reason } | Became::Refused { reason } => format!(" ({reason})"),
                        _ => String::new(),
                    };
                    lines.push(format!("  {}: {word}{why}: {}", certificate.address, steps.join(", ")));
                }
            }
            let code = report.ending().exit_code();
            state.coverage.hit("exit", code.to_string());
            lines.push(format!("  exit {code}"));
        }
        lines.iter().for_each(|line| self.world.log(line));
    }

    /// P5: after an exit 0, a plan at the same moment holds no steps.
    async fn nothing_is_left(&self, number: u32, report: &Report) {
        for at in [report.ended, report.began] {
            let steps = self.steps_left(number, Some(at)).await;
            match steps {
                None => return,
                // Something may have become due while the run went on.
                Some(_) if at == report.ended => {}
                Some(steps) => self.world.violation(format!("P5 after exit 0 a plan still holds: {steps}")),
            }
        }
    }

    /// The steps a plan of now holds, in words; none when it holds none.
    async fn steps_left(&self, number: u32, at: Option<jiff::Timestamp>) -> Option<String> {
        let process = Process::new(&self.world, number, Ill::default());
        let desired = Arc::new(self.world.desired().unwrap());
        let ground = process.connect(desired);
        let observed = ground.observe().await.ok()?;
        let plan = ground.plan(&observed, &self.policy(), at);
        if plan.is_empty() && plan.applyable() {
            return None;
        }
        let steps = plan.certificates.iter().flat_map(|certificate| {
            certificate
                .steps
                .iter()
                .map(|planned| format!("{}: {}", certificate.address, planned.step.verb()))
        });
        Some(steps.collect::<Vec<_>>().join(", "))
    }

    /// All trouble is over, everybody answers: a bounded number of runs, and nothing is left.
    async fn end(mut self) -> Outcome {
        self.world.log("the trouble ends");
        self.world.emulator.set_faults(Faults::default());
        let mut left = None;
        for round in 0..RUNS_TO_SETTLE {
            self.world.wait(if round % 3 == 2 { 86_400 } else { 1_000 }).await;
            let names: Vec<String> = self.world.state().declaration.certificates.keys().cloned().collect();
            let number = 1_000_000 + round as u32;
            let process = Process::new(&self.world, number, Ill::default());
            let report = self.carry_out(&process, &self.policy(), None).await;
            for name in &names {
                self.consumers.sign_in(&self.world, name).await;
                if self.world.state().declaration.says(name, "acknowledge") == Some("required") {
                    self.acknowledge(name);
                }
            }
            left = self.steps_left(number, None).await;
            if left.is_none() && report.is_some_and(|report| report.ending() == Ending::Fine) {
                break;
            }
        }
        if let Some(left) = left {
            self.world.violation(format!("P5 it does not come to an end: {left}"));
        }
        self.saved.clear();
        let mut state = self.world.state();
        Outcome {
            log: std::mem::take(&mut state.log),
            violations: std::mem::take(&mut state.oracles.violations),
            coverage: std::mem::take(&mut state.coverage),
            rotations: state.oracles.rotations,
        }
    }
}

/// For faults that are given as JSON.
pub fn faults(value: serde_json::Value) -> String {
    let text = value.to_string();
    assert!(!text.contains(' '), "{text}");
    let _ = json!(null);
    text
}
