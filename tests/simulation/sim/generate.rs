//! Out of a seed, a history: a world, its declaration, and years of runs, edits, people, strangers and trouble.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::dice::Dice;
use super::story::{Event, Story};

/// What each certificate of a world is like; shorter lives than usual, so that more happens in a year.
struct Certificate {
    name: String,
    on: String,
    acknowledges: bool,
    places: Vec<String>,
    /// `files`, `slots`, `cas`, `vault`, or who has the key instead: `provider`, `rotator`.
    kept: &'static str,
}

struct Generator {
    dice: Dice,
    events: Vec<Event>,
    certificates: Vec<Certificate>,
    renamed: u32,
    /// Whether a fault is set.
    troubled: bool,
}

/// A history of so many years.
pub fn story(seed: u64, years: i64) -> Story {
    let start: Timestamp = "2026-01-05T09:00:00Z".parse().unwrap();
    let mut generator = Generator {
        dice: Dice::of(seed, "story"),
        events: Vec::new(),
        certificates: Vec::new(),
        renamed: 0,
        troubled: false,
    };
    generator.world();
    let mut elapsed = 0;
    while elapsed < years * 365 * 86_400 {
        elapsed += generator.goes_on();
    }
    let mut events = generator.events;
    for (number, event) in events.iter_mut().enumerate() {
        event.number = number as u32 + 1;
    }
    Story { title: Vec::new(), seed, start, events }
}

impl Generator {
    fn add(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Objects, what is on them already, and the certificates declared on them.
    fn world(&mut self) {
        let objects = 1 + self.dice.below(3);
        for number in 0..objects {
            let name = format!("app{number}");
            let mut event = Event::new("object", &name);
            if self.dice.percent(15) {
                event = event.with("kind", "service_principal");
            }
            self.add(event);
            for what in ["adds", "claims", "pretends", "saml"] {
                if self.dice.percent(25) {
                    self.add(Event::new("stranger", &name).with("does", what).with("of", "c0"));
                }
            }
        }
        for number in 0..1 + self.dice.below(4) {
            let on = format!("app{}", self.dice.below(objects));
            self.declares(format!("c{number}"), on);
        }
    }

    fn declares(&mut self, name: String, on: String) {
        let ours = self.certificates.is_empty() || self.dice.percent(85);
        let kept = match ours {
            true => *self.dice.pick(&["files", "files", "files", "slots", "cas", "vault"]),
            false => *self.dice.pick(&["provider", "rotator"]),
        };
        let mut event = Event::new("certificate", &name).with("on", &on);
        // The whole of a life, how it is timed, and the overlap.
        let (validity, timing, value, overlap) = *self.dice.pick(&[
            ("60d", "rotation_period", "15d", "3d"),
            ("90d", "rotation_period", "30d", "7d"),
            ("60d", "renew_before", "30d", "5d"),
            ("50d", "renew_before", "60%", "4d"),
            ("P6M", "rotation_period", "P2M", "14d"),
            ("P1Y", "renew_before", "300d", "10d"),
            ("40d", "rotation_period", "10d", "36h"),
        ]);
        event = event.with("overlap", overlap);
        let (mut acknowledges, mut places) = (false, Vec::new());
        match kept {
            "provider" => {
                event = event.with("acknowledge", "required");
                self.add(Event::new("sends", &name).with("days", 120));
            }
            "rotator" => event = event.with("rotator", "product-*").with("acknowledge", "required"),
            store => {
                event = event.with("store", store).with("validity", validity).with(timing, value);
                acknowledges = self.dice.percent(20);
                if acknowledges {
                    event = event.with("acknowledge", "required");
                }
                if store != "vault" && self.dice.percent(25) {
                    places.push(format!("{}_PLACE", name.to_uppercase()));
                    if self.dice.percent(30) {
                        places.push(format!("{}_OTHER", name.to_uppercase()));
                    }
                    event = event.with("deliver", places.join(","));
                }
                if store == "files" {
                    let format = *self.dice.pick(&["pem", "pem", "pem", "pem-pair"]);
                    event = event.with("format", format);
                }
                if self.dice.percent(15) {
                    event = event.with("spread", "4d");
                }
                if self.dice.percent(15) {
                    event = event.with("windows", "tue+thu+sat/20:00/06:00/Europe/London");
                }
                if self.dice.percent(10) {
                    event = event.with("retire", "never");
                }
                if self.dice.percent(30) {
                    event = event.with("keep_retired", self.dice.below(3));
                }
            }
        }
        if kept == "provider" {
            // The provider's first key is there before the declaration names it.
            let sends = self.events.pop().unwrap();
            self.add(event);
            self.add(sends);
        } else {
            self.add(event);
        }
        self.certificates.push(Certificate { name, on, acknowledges, places, kept });
    }

    fn of_ours(&mut self) -> Option<usize> {
        let ours: Vec<usize> = (0..self.certificates.len())
            .filter(|at| !matches!(self.certificates[*at].kept, "provider" | "rotator"))
            .collect();
        (!ours.is_empty()).then(|| *self.dice.pick(&ours))
    }

    /// One run and what comes before and beside it. Returns the seconds it took.
    fn goes_on(&mut self) -> i64 {
        let mut elapsed = 0;
        if self.dice.percent(25) {
            elapsed += self.something_else();
        }
        if self.troubled {
            self.troubled = false;
            self.add(Event::new("faults", ""));
        } else if self.dice.percent(35) {
            self.troubled = true;
            let faults = self.trouble();
            self.add(Event::new("faults", "").with("are", faults));
        }
        let after = match self.dice.below(10) {
            0 => self.dice.between(1, 1_200),
            1..=3 => self.dice.between(3_600, 86_400),
            _ => self.dice.between(86_400, 5 * 86_400),
        };
        let event = self.a_run().after(after);
        self.add(event);
        elapsed += after;
        while self.dice.percent(20) {
            self.meanwhile();
        }
        if self.dice.percent(45) {
            let at = self.dice.below(self.certificates.len() as u64) as usize;
            let (name, after) = (self.certificates[at].name.clone(), self.dice.between(0, 7_200));
            elapsed += after;
            self.add(Event::new("use", &name).after(after));
        }
        // Most people answer within days; some never do.
        for at in 0..self.certificates.len() {
            let certificate = &self.certificates[at];
            if (certificate.acknowledges || certificate.kept == "provider") && self.dice.percent(25) {
                let event = Event::new("ack", &self.certificates[at].name).after(self.dice.between(0, 600));
                self.add(event);
            }
        }
        elapsed
    }

    fn a_run(&mut self) -> Event {
        let mut event = Event::new("run", "");
        match self.dice.below(100) {
            0..30 => event = event.with("die", self.dice.below(45)),
            30..36 => {
                let kind = *self.dice.pick(&["full", "readonly", "denied", "broken"]);
                let count = if self.dice.percent(50) { 1 } else { 100_000 };
                event = event.with("disk", format!("{}:{count}:{kind}", self.dice.below(24)));
            }
            36..44 => {
                let what = *self.dice.pick(&["refuse", "lose", "before", "after"]);
                event = event.with("inner", format!("{}:{what}", self.dice.below(60)));
            }
            44..48 => event = event.with("stop", self.dice.between(1, 60)),
            48..51 => event = event.with("late", self.dice.between(5, 90)),
            51..52 => event = event.with("silent", "yes").with("stop", 900),
            _ => {}
        }
        if self.dice.percent(12) {
            event = event.with("skew", self.dice.between(-700, 700));
        }
        event
    }

    /// Something beside the run: a consumer, another run, a stranger.
    fn meanwhile(&mut self) {
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

    /// Edits, people, strangers, places.
    fn something_else(&mut self) -> i64 {
        let after = self.dice.between(60, 86_400);
        let at = self.dice.below(self.certificates.len() as u64) as usize;
        let (name, on) = (self.certificates[at].name.clone(), self.certificates[at].on.clone());
        let kept = self.certificates[at].kept;
        let choice = self.dice.below(30);
        let mut event = match choice {
            0..4 => Event::new("stranger", &on).with("does", "takes").with("of", &name),
            4 => Event::new("stranger", &on).with("does", "adds"),
            5 => Event::new("stranger", &on).with("does", "cleans"),
            6 => {
                let words = self.dice.pick(&["deletes", "disables", "locks", "blocks"]).to_string();
                Event::new("stranger", &on).with("does", words)
            }
            7..10 => {
                let words = self.dice.pick(&["restores", "enables", "unlocks", "unblocks"]).to_string();
                Event::new("stranger", &on).with("does", words)
            }
            10 => {
                let event = Event::new("stranger", &on).with("does", "limits");
                if self.dice.percent(50) { event.with("to", "P45D") } else { event }
            }
            11..14 if kept == "provider" => Event::new("sends", &name)
                .with("days", 120)
                .with("instead", if self.dice.percent(50) { "yes" } else { "no" }),
            11..14 if kept == "rotator" => Event::new("stranger", &on).with("does", "rotates"),
            _ if matches!(kept, "provider" | "rotator") => Event::new("ack", &name),
            11 => Event::new("revoke", &name),
            12 => self.replace(&name),
            13 => Event::new("certificate", &name)
                .with("subject", format!("CN=edited-{}", self.dice.below(1_000))),
            14 => Event::new("certificate", &name)
                .with("description", format!("edited-{}", self.dice.below(1_000))),
            15 => Event::new("certificate", &name).with("overlap", *self.dice.pick(&["36h", "3d"])),
            16 => Event::new("certificate", &name).with("spread", *self.dice.pick(&["0d", "2d"])),
            17 => Event::new("certificate", &name)
                .with("windows", *self.dice.pick(&["-", "mon+wed+sat/00:00/23:00/UTC"])),
            18 => Event::new("certificate", &name).with("keep_retired", self.dice.below(3)),
            19 => {
                Event::new("certificate", &name).with("retire", *self.dice.pick(&["never", "after_overlap"]))
            }
            20 | 21 => return self.hold(&name, after),
            22 => return self.reviewed(after),
            23 if !name.starts_with('r') => self.rename(at),
            24 if self.certificates.len() > 1 => return self.drop_and_declare(at, after),
            25..28 if !self.certificates[at].places.is_empty() => self.place(at),
            28 => Event::new("tenant", "").with("max_issue", *self.dice.pick(&["1", "50"])),
            _ => Event::new("restart", &name),
        };
        event.after = after;
        self.add(event);
        after
    }

    fn replace(&mut self, name: &str) -> Event {
        let event = Event::new("run", "").with("replace", name);
        if self.dice.percent(40) { event.with("revoke_previous", "yes") } else { event }
    }

    fn place(&mut self, at: usize) -> Event {
        let place = self.certificates[at].places[0].clone();
        match self.dice.below(5) {
            0 | 1 => Event::new("places", "").with("fail", self.dice.between(1, 20)),
            2 => Event::new("places", "").with("unreadable", *self.dice.pick(&["yes", "no", "no"])),
            3 => Event::new("places", "").with("altered", place),
            _ => Event::new("places", "").with("emptied", place),
        }
    }

    /// A hold; some roll back while it is in force; then it is lifted.
    fn hold(&mut self, name: &str, after: i64) -> i64 {
        self.add(Event::new("certificate", name).with("hold", "2099-01-01").after(after));
        if self.dice.percent(50) {
            let mut event = Event::new("run", "").with("rollback", name).after(60);
            if self.dice.percent(40) {
                event = event.with("die", self.dice.below(30));
            }
            self.add(event);
        }
        let days = self.dice.between(1, 10);
        for _ in 0..days {
            let event = self.a_run().after(86_400);
            self.add(event);
        }
        self.add(Event::new("certificate", name).with("hold", "-"));
        after + days * 86_400
    }

    /// A plan is saved, and applied later: much may have happened.
    fn reviewed(&mut self, after: i64) -> i64 {
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

    fn rename(&mut self, at: usize) -> Event {
        self.renamed += 1;
        let (from, to) = (self.certificates[at].name.clone(), format!("r{}", self.renamed));
        self.certificates[at].name.clone_from(&to);
        Event::new("renames", &from).with("to", to)
    }

    /// A certificate is no longer declared; another comes in its place.
    fn drop_and_declare(&mut self, at: usize, after: i64) -> i64 {
        let gone = self.certificates.remove(at);
        let retire = if self.dice.percent(70) { "yes" } else { "no" };
        self.add(Event::new("drops", &gone.name).with("retire", retire).after(after));
        self.renamed += 1;
        self.declares(format!("n{}", self.renamed), gone.on);
        after
    }

    /// One kind of trouble of the service, or two.
    fn trouble(&mut self) -> String {
        let mut faults = self.one_trouble();
        if self.dice.percent(25)
            && let (Value::Object(one), Value::Object(two)) = (&mut faults, self.one_trouble())
        {
            one.extend(two);
        }
        faults.to_string()
    }

    fn one_trouble(&mut self) -> Value {
        let dice = &mut self.dice;
        match dice.below(16) {
            0 | 1 => json!({"stale_reads": {"reads": dice.between(1, 6), "replicas": dice.between(1, 3)}}),
            2 => {
                json!({"token_propagation": {"seconds": dice.between(10, 400), "front_ends": 1, "removals": dice.percent(50)}})
            }
            3 => {
                json!({"token_propagation": {"seconds": dice.between(10, 400), "front_ends": 3, "removals": dice.percent(50)}})
            }
            4 | 5 => {
                json!({"lost_answers": [{"write": dice.between(1, 4), "happened": dice.percent(50)}]})
            }
            6 => {
                let change = *dice.pick(&["adds", "removes_first", "removes_last"]);
                json!({"rival_writes": [{"before_write": dice.between(1, 3), "change": change}]})
            }
            7 => json!({"dropped_writes": {"which": "nth", "nth": dice.between(1, 3)}}),
            8 => json!({"dropped_writes": {"which": "adds"}}),
            9 => match dice.percent(50) {
                true => {
                    json!({"throttled": {"every": dice.between(2, 9), "retry_after_seconds": dice.between(1, 20)}})
                }
                false => json!({"throttled": {"every": dice.between(2, 9)}}),
            },
            10 => json!({"conflicts": {"every": dice.between(1, 4)}}),
            11 => {
                let status = *dice.pick(&[500, 502, 503, 504]);
                json!({"unavailable": {"every": dice.between(2, 9), "status": status, "happened": dice.percent(50)}})
            }
            12 => json!({"connection_refused": {"every": dice.between(2, 9)}}),
            13 => json!({"date_skew_seconds": dice.between(-800, 800)}),
            14 => {
                let every = dice.between(2, 6);
                let which = *dice.pick(&[
                    "unavailable_every",
                    "busy_every",
                    "throttled_every",
                    "conditional_access_every",
                ]);
                json!({"token": {which: every}})
            }
            _ => json!({"unavailable": {"every": 1, "status": 503}}),
        }
    }
}
