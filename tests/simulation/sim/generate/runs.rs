//! Runs: one after another, several at once, of a plan somebody saw before, and what lies in wait for them.

use super::super::story::Event;
use super::{Certificate, Generator};

/// Where a process can die, as what lies in wait spells it; what seldom has an occasion more than once.
const DEATHS: [&str; 26] = [
    "before-a-write-to-a-store's-service",
    "before-a-write-to-a-store's-service",
    "after-a-write-to-a-store's-service",
    "after-a-write-to-a-store's-service",
    "before-a-delivery",
    "after-a-delivery",
    "before-MakeFolder",
    "before-Rename",
    "before-Link",
    "before-RemoveFolder",
    "before-RemoveFolder",
    "before-a-write-to-the-directory",
    "after-a-write-to-the-directory",
    "before-a-delivery",
    "after-a-delivery",
    "before-Lock",
    "before-MakeFolder",
    "before-CreateFile",
    "before-WriteFile",
    "before-SyncFile",
    "before-SyncFolder",
    "before-Rename",
    "before-Link",
    "before-Unlink",
    "before-RemoveFolder",
    "before-Lock",
];

/// What the service of a store answers instead, as `Turned` spells it.
const TURNED: [&str; 6] = ["busy", "down", "broken", "garbled", "denied", "nowhere"];

impl Generator {
    /// A death, a fault of the disk or of a store that waits for its occasion.
    pub(super) fn lurks(&mut self) -> Event {
        let kind = self.dice.below(100);
        let (kind, what) = match kind {
            0..48 => ("die", *self.dice.pick(&DEATHS)),
            48..58 => ("service", *self.dice.pick(&TURNED)),
            58..68 => ("disk", *self.dice.pick(&["full", "readonly", "denied", "broken"])),
            68..82 => (
                "inner",
                *self.dice.pick(&["refuse", "refuse", "refuse", "lose", "lose", "lose", "before", "after"]),
            ),
            _ => ("wrong", *self.dice.pick(&["garbled", "denied", "past", "absent"])),
        };
        let rare = ["RemoveFolder", "Link", "delivery"].iter().any(|rare| what.ends_with(rare));
        let after = if self.dice.percent(40) { 0 } else { self.dice.below(if rare { 2 } else { 12 }) };
        Event::new("lurks", "").with(kind, format!("{what}:{after}"))
    }

    pub(super) fn a_run(&mut self) -> Event {
        let mut event = Event::new("run", "");
        match self.dice.below(100) {
            0..16 => event = event.with("die", self.dice.below(45)),
            16..20 => {
                let kind = *self.dice.pick(&["full", "readonly", "denied", "broken"]);
                let count = if self.dice.percent(50) { 1 } else { 100_000 };
                event = event.with("disk", format!("{}:{count}:{kind}", self.dice.below(24)));
            }
            20..26 => {
                let what = *self.dice.pick(&["refuse", "lose", "before", "after"]);
                event = event.with("inner", format!("{}:{what}", self.dice.below(60)));
            }
            26..32 => event = event.with("stop", self.dice.between(1, 60)),
            32..34 => event = event.with("late", self.dice.between(5, 90)),
            34..35 => event = event.with("silent", "yes").with("stop", 900),
            35..38 => {
                let kind = *self.dice.pick(&["garbled", "denied", "past", "absent"]);
                event = event.with("wrong", format!("{}:{kind}", self.dice.below(20)));
            }
            38..43 => {
                let every = *self.dice.pick(&[1, 2, 3, 5, 9]);
                event = event.with("service", format!("{every}:{}", self.dice.pick(&TURNED)));
            }
            _ => {}
        }
        if self.dice.percent(15) {
            event = event.with("generous", "yes");
        }
        if self.dice.percent(4) {
            let name = self.dice.pick(&self.certificates).name.clone();
            event = event.with("only", name);
        }
        if self.dice.percent(12) {
            event = event.with("skew", self.dice.between(-700, 700));
        }
        event
    }

    /// Something beside the run: a consumer, another run, a stranger.
    pub(super) fn meanwhile(&mut self) {
        let after = self.dice.between(0, 90);
        let at = self.dice.below(self.certificates.len() as u64) as usize;
        let (name, on) = (self.certificates[at].name.clone(), self.certificates[at].on.clone());
        let event = match self.dice.below(10) {
            0..6 => Event::new("use", &name),
            6..8 => self.a_run(),
            8 => Event::new("stranger", &on).with("does", "adds"),
            _ => Event::new("stranger", &on).with("does", "cleans"),
        };
        self.add(event.after(after).with("while", "run"));
    }

    pub(super) fn replace(&mut self, name: &str) -> Event {
        let event = Event::new("run", "").with("replace", name);
        if self.dice.percent(40) { event.with("revoke_previous", "yes") } else { event }
    }

    /// A plan is saved, and applied later: much may have happened.
    pub(super) fn reviewed(&mut self, after: i64) -> i64 {
        self.add(Event::new("plan", "saved").after(after));
        let later = self.dice.between(60, 2 * 86_400);
        let mut event = self.a_run().with("reviewed", "saved").after(later);
        if self.dice.percent(30) {
            self.add(Event::new("run", ""));
            event = event.with("while", "run");
            event.after = self.dice.between(0, 30);
        }
        self.add(event);
        after + later
    }

    /// Two applies of one plan, or of different plans on one application, at the same time.
    pub(super) fn twins(&mut self, after: i64) -> i64 {
        self.add(Event::new("plan", "twin").after(after));
        let names: Vec<String> =
            self.certificates.iter().map(|certificate| certificate.name.clone()).collect();
        let (one, two) = match self.dice.percent(50) {
            true => (("reviewed", "twin".to_owned()), ("reviewed", "twin".to_owned())),
            false => (("only", self.dice.pick(&names).clone()), ("only", self.dice.pick(&names).clone())),
        };
        let later = self.dice.between(60, 86_400);
        self.add(Event::new("run", "").with(one.0, one.1).after(later));
        let moments = self.dice.between(0, 20);
        self.add(Event::new("run", "").with(two.0, two.1).with("while", "run").after(moments));
        after + later
    }

    /// Two replace different certificates of one object at the same moment.
    pub(super) fn race(&mut self, after: i64) -> i64 {
        let made = |one: &&Certificate| !matches!(one.kept, "provider" | "rotator");
        let on = self.dice.pick(&self.certificates).on.clone();
        let here = self.certificates.iter().filter(made).filter(|one| one.on == on);
        let mut here: Vec<String> = here.map(|one| one.name.clone()).collect();
        if here.len() < 2 {
            return 0;
        }
        let one = here.swap_remove(self.dice.below(here.len() as u64) as usize);
        let two = self.dice.pick(&here).clone();
        let run = |name: &str| {
            Event::new("run", "").with("only", name).with("replace", name).with("generous", "yes")
        };
        self.add(run(&one).after(after));
        let moments = i64::from(self.dice.percent(25));
        self.add(run(&two).with("while", "run").after(moments));
        after
    }
}
