//! Carries a history out, event by event.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use certroll::apply::outcome::{Ending, Report};
use certroll::observed::TargetState;
use certroll::plan::Plan;
use certroll::plan::policy::Policy;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::SignedDuration;

use super::consumer::Consumers;
use super::coverage::Coverage;
use super::ground::Ended;
use super::process::{Ill, Process, disk_trouble, mischief};
use super::story::{Event, Story};
use super::world::World;

/// How a history ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub log: Vec<String>,
    pub violations: Vec<String>,
    pub coverage: Coverage,
    pub rotations: u64,
}

/// Lives through a history, on this thread and with a clock of its own.
pub fn live(story: &Story) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let life = Life::begin(story);
        let log = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(life.world.told.clone())
            .finish();
        let _guard = tracing::subscriber::set_default(log);
        life.go_through(&story.events).await;
        life.end().await
    })
}

pub struct Life {
    pub world: Arc<World>,
    pub consumers: Consumers,
    /// Plans somebody has saved, by the name they were given.
    saved: Mutex<BTreeMap<String, Plan>>,
}

/// Runs after which nothing may be left to do once all trouble is over.
const RUNS_TO_SETTLE: usize = 12;

impl Life {
    fn begin(story: &Story) -> Life {
        let world = Arc::new(World::new(story.seed, story.start));
        Life { world, consumers: Consumers::default(), saved: Mutex::default() }
    }

    /// An event that says `while` happens while the one before the group goes on.
    async fn go_through(&self, events: &[Event]) {
        let mut rest = events;
        while let Some((event, after)) = rest.split_first() {
            let meanwhile = after.iter().take_while(|event| event.with.contains_key("while")).count();
            let (group, after) = after.split_at(meanwhile);
            rest = after;
            self.world.wait(event.after).await;
            let beside = async {
                for event in group {
                    self.world.wait(event.after).await;
                    // One that is itself a run must not hold up what comes beside it.
                    self.pass(event).await;
                }
            };
            futures_util::future::join(self.pass(event), beside).await;
        }
    }

    fn pass<'l>(&'l self, event: &'l Event) -> BoxFuture<'l, ()> {
        async move {
            let shown = event.to_string();
            self.world.log(shown.split_once(' ').map_or("", |(_, rest)| rest));
            self.world.state().coverage.hit("event", event.verb.as_str());
            match event.verb.as_str() {
                "run" => self.run(event).await,
                "plan" => self.look(event).await,
                "use" => self.consumers.sign_in(&self.world, &event.who).await,
                _ => self.world.happens(&self.consumers, event),
            }
            self.world.watch_all();
        }
        .boxed()
    }

    fn ill(event: &Event) -> Ill {
        let disk = event.get("disk").map(|text| {
            let mut parts = text.split(':');
            let (from, count) = (parts.next().unwrap(), parts.next().unwrap());
            (from.parse().unwrap(), count.parse().unwrap(), disk_trouble(parts.next().unwrap_or("")))
        });
        let inner = event.get("inner").map(|text| {
            let (call, what) = text.split_once(':').unwrap();
            (call.parse().unwrap(), mischief(what))
        });
        let wrong = event.get("wrong").map(|text| {
            let (call, kind) = text.split_once(':').unwrap();
            (call.parse().unwrap(), kind.parse().unwrap())
        });
        let service = event.get("service").map(|text| {
            let (every, kind) = text.split_once(':').unwrap();
            (every.parse().unwrap(), kind.parse().unwrap())
        });
        Ill {
            die: event.number_of("die"),
            disk,
            inner,
            wrong,
            service,
            skew: SignedDuration::from_secs(event.number_of("skew").unwrap_or_default()),
            late: SignedDuration::from_secs(event.number_of("late").unwrap_or_default()),
            silent: event.says("silent"),
            breaks: event.number_of("breaks"),
            ..Ill::default()
        }
    }

    async fn run(&self, event: &Event) {
        let reviewed = match event.get("reviewed") {
            // Nobody saved it: there is nothing to apply.
            Some(name) => match self.saved.lock().unwrap().get(name).cloned() {
                Some(plan) => Some(plan),
                None => return,
            },
            None => None,
        };
        let mut ill = Life::ill(event);
        self.world.lies_in_wait(&mut ill);
        let process = Process::new(&self.world, event.number, ill);
        let policy = self.world.policy(event);
        let stop = event.number_of("stop");
        let disturbances = self.world.state().disturbances;
        process.enter(event.number);
        let report = self.carry_out(&process, &policy, reviewed.as_ref(), stop).await;
        self.world.leave(event.number);
        let Some(report) = report else { return };
        let ordinary = event.with.keys().all(|key| matches!(key.as_str(), "die" | "breaks" | "generous"))
            && !process.had_company()
            && !process.was_struck()
            && self.world.state().disturbances == disturbances;
        if report.ending() == Ending::Fine && self.world.is_calm() && ordinary {
            self.nothing_is_left(event.number, &report, disturbances).await;
        }
    }

    /// A run from loading to its end.
    async fn carry_out(
        &self,
        process: &Arc<Process>,
        policy: &Policy,
        reviewed: Option<&Plan>,
        stop: Option<i64>,
    ) -> Option<Report> {
        let desired = match self.world.desired() {
            Ok(desired) => desired,
            Err(found) => panic!("the declaration is wrong: {found}"),
        };
        let began = self.world.now();
        let ground = process.connect(Arc::new(desired));
        let ended = ground.run(policy, reviewed, stop).await;
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
                self.world.tell(&report, &plan, reviewed);
                self.world.no_false_success(&report, began);
                // Another process may still have to be judged by it.
                if self.world.state().running.len() <= 1 {
                    self.world.emulator.clear_journal();
                }
                Some(report)
            }
        }
    }

    /// `plan NAME`: looks, saves what it sees, and may have changed nothing (P7); looking again shows the same (P8).
    async fn look(&self, event: &Event) {
        let before = self.world.snapshot();
        let values = self.world.slots.values_read() + self.world.cas.values_read();
        let already = self.world.emulator.journal().len();
        let process = Process::new(&self.world, event.number, Life::ill(event));
        let ground = process.connect(Arc::new(self.world.desired().unwrap()));
        let mut policy = self.world.policy(event);
        let ahead = event.number_of("ahead").map(|days| SignedDuration::from_hours(24 * days));
        policy.other_time = ahead.is_some();
        let looked = async {
            let observed = ground.observe().await.ok()?;
            let at = ahead.map(|ahead| self.world.now() + ahead);
            let plan = ground.plan(&observed, &policy, at);
            if process.breaks(7) {
                std::fs::write(self.world.folder().join("keys").join("seen"), "").unwrap();
            }
            Some((plan, ground.observe().await))
        };
        let Some(Some((plan, again))) = process.until_dead(looked).await else { return };
        let alone = self.world.state().running.is_empty();
        if alone && self.world.emulator.journal().iter().skip(already).any(|entry| entry.writes) {
            self.world.violation("P7 looking wrote to the directory");
        }
        let read = process.values_read.load(Ordering::Relaxed) > 0;
        if read || alone && self.world.slots.values_read() + self.world.cas.values_read() != values {
            self.world.violation("P7 looking asked for a value with a key in it");
        }
        if alone && self.world.is_calm() && before != self.world.snapshot() {
            self.world.violation("P7 looking changed something");
        }
        if let (Ok(observed), true) = (again, alone && self.world.is_calm()) {
            let mut second = ground.plan(&observed, &policy, Some(plan.now));
            if process.breaks(8) {
                second.certificates.reverse();
            }
            // What could not be read says so with the id of the request, and that is never the same.
            let unread = observed.tenants.values().any(|tenant| {
                let all = tenant.targets.values().chain(&tenant.removed);
                tenant.policies_unread.is_some()
                    || all.into_iter().any(|state| matches!(state, TargetState::Unreadable { .. }))
            });
            let json = |plan: &Plan| certroll::plan::document::Document::of(plan).to_json();
            let (one, other) = (json(&plan), json(&second));
            if !unread && one != other {
                let differs = one.lines().zip(other.lines()).find(|(one, other)| one != other);
                self.world.log(format!("  {differs:?}"));
                self.world.violation("P8 the same world gives two plans");
            }
        }
        self.world.tell_plan(&plan);
        if ahead.is_some() && plan.applyable() {
            self.world.violation("P4 a plan for another moment can be applied");
        }
        self.saved.lock().unwrap().insert(event.who.clone(), plan);
    }

    /// P5: after an exit 0, a plan at the same moment holds no steps.
    async fn nothing_is_left(&self, number: u32, report: &Report, disturbances: u64) {
        for (last, at) in [(false, report.ended), (true, report.began)] {
            let steps = self.steps_left(number, Some(at)).await;
            // Looking takes time too.
            if self.world.state().disturbances != disturbances {
                return;
            }
            match steps {
                None => return,
                // Something may have become due while the run went on.
                Some(_) if !last => {}
                Some(steps) => self.world.violation(format!("P5 after exit 0 a plan still holds: {steps}")),
            }
        }
    }

    /// The steps a plan holds, in words; none when it holds none.
    async fn steps_left(&self, number: u32, at: Option<jiff::Timestamp>) -> Option<String> {
        let process = Process::new(&self.world, number, Ill::default());
        let desired = Arc::new(self.world.desired().unwrap());
        let ground = process.connect(desired);
        let observed = ground.observe().await.ok()?;
        let plan = ground.plan(&observed, &self.world.generous_policy(), at);
        if plan.is_empty() && plan.applyable() {
            return None;
        }
        let steps = plan.certificates.iter().flat_map(|certificate| {
            let steps = certificate.steps.iter();
            steps.map(|planned| format!("{}: {}", certificate.address, planned.step.verb()))
        });
        Some(steps.collect::<Vec<_>>().join(", "))
    }

    /// All trouble is over, everybody answers: a bounded number of runs, and nothing is left.
    async fn end(self) -> Outcome {
        self.world.log("the trouble ends");
        self.world.calm_down();
        let mut left = None;
        for round in 0..RUNS_TO_SETTLE {
            self.world.wait(if round % 3 == 2 { 86_400 } else { 1_000 }).await;
            let number = 1_000_000 + round as u32;
            let process = Process::new(&self.world, number, Ill::default());
            let policy = self.world.generous_policy();
            let report = self.carry_out(&process, &policy, None, None).await;
            let names: Vec<String> = self.world.state().declaration.certificates.keys().cloned().collect();
            for name in &names {
                self.consumers.sign_in(&self.world, name).await;
                self.world.happens(&self.consumers, &Event::new("signs", name));
                if self.world.acknowledges(name) {
                    self.world.happens(&self.consumers, &Event::new("ack", name));
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
        self.world.nobody_is_left_behind();
        self.world.nothing_is_left_lying().await;
        let mut state = self.world.state();
        Outcome {
            log: std::mem::take(&mut state.log),
            violations: std::mem::take(&mut state.oracles.violations),
            coverage: std::mem::take(&mut state.coverage),
            rotations: state.oracles.rotations,
        }
    }
}
