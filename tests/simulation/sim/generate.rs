//! Out of a seed, a history: a world, its declaration, and years of runs, edits, people, strangers and trouble.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::declaration::stays;
use super::dice::Dice;
use super::oracles::MUTE;
use super::services::is_shipped;
use super::story::{Event, Story};

/// What each certificate of a world is like; shorter lives than usual, so that more happens in a year.
struct Certificate {
    name: String,
    on: String,
    acknowledges: bool,
    places: Vec<String>,
    /// Its store, or who has the key instead: `provider`, `rotator`.
    kept: &'static str,
    /// A person has its requests signed.
    by_hand: bool,
    /// Nothing but a person's word shows that the successor works.
    believed: bool,
}

struct Generator {
    dice: Dice,
    events: Vec<Event>,
    certificates: Vec<Certificate>,
    renamed: u32,
    /// Objects of each tenant.
    objects: Vec<(String, bool)>,
    /// Seconds since the beginning, about.
    elapsed: i64,
    /// Whether a fault is set.
    troubled: bool,
    /// What ends after so many seconds from the beginning.
    ends: Vec<(i64, Event)>,
}

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

/// The stores: the file store, the three for tests, and those that are reached over a service.
const STORES: [&str; 14] = [
    "files",
    "files",
    "files",
    "slots",
    "cas",
    "vault",
    "kv",
    "kv",
    "secrets",
    "secrets",
    "exportable",
    "pending",
    "kube",
    "kube",
];

/// The whole of a life, how it is timed, and the overlap; the slow ones first.
const TIMINGS: [(&str, &str, &str, &str); 18] = [
    ("90d", "rotation_period", "30d", "7d"),
    ("60d", "renew_before", "30d", "5d"),
    ("50d", "renew_before", "60%", "4d"),
    ("P6M", "rotation_period", "P2M", "14d"),
    ("P1Y", "renew_before", "300d", "10d"),
    ("60d", "rotation_period", "15d", "3d"),
    ("40d", "rotation_period", "10d", "36h"),
    ("20d", "rotation_period", "3d", "30h"),
    ("20d", "rotation_period", "4d", "36h"),
    ("25d", "rotation_period", "5d", "2d"),
    ("30d", "renew_before", "26d", "2d"),
    ("20d", "rotation_period", "60h", "1d"),
    ("20d", "rotation_period", "60h", "1d"),
    ("20d", "rotation_period", "60h", "30h"),
    ("20d", "rotation_period", "3d", "1d"),
    ("20d", "rotation_period", "3d", "36h"),
    ("21d", "rotation_period", "4d", "1d"),
    ("22d", "renew_before", "19d", "30h"),
];

/// How many of them are slow enough for a person.
const SLOW: usize = 5;

/// Those that keep a key whose certificate is awaited.
fn keeps_requests(store: &str) -> bool {
    matches!(store, "files" | "kv" | "vault" | "pending")
}

/// What a consumer of that store reads, where there is a choice.
fn formats(store: &str) -> &'static [&'static str] {
    match store {
        "files" => &["pem", "pem", "pem", "pem", "pem", "pem-pair", "pem-pair", "pfx"],
        "kv" | "secrets" | "kube" => &["pem", "pem", "pem", "pem-pair", "pfx"],
        // Opening a PFX of the default profile takes longer than all the rest of a run.
        "exportable" => &["pem"; 1],
        _ => &[],
    }
}

/// Of a hundred runs, before how many something begins to lie in wait.
const LURKS: u64 = 45;

const START: &str = "2026-01-05T09:00:00Z";

/// A history of so many years.
pub fn story(seed: u64, years: i64) -> Story {
    let start: Timestamp = START.parse().unwrap();
    let mut generator = Generator {
        dice: Dice::of(seed, "story"),
        events: Vec::new(),
        certificates: Vec::new(),
        renamed: 0,
        objects: Vec::new(),
        elapsed: 0,
        troubled: false,
        ends: Vec::new(),
    };
    generator.world();
    while generator.elapsed < years * 365 * 86_400 {
        generator.elapsed += generator.goes_on();
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
            self.object(format!("app{number}"));
        }
        if self.dice.percent(10) {
            self.add(Event::new("rules", "").with("expired", "refused"));
        }
        for number in 0..2 + self.dice.below(4) {
            // Most on one object: what several processes do to one list is what has to be seen.
            let on = if self.dice.percent(50) { &self.objects[0] } else { self.dice.pick(&self.objects) };
            let on = on.0.clone();
            self.declares(format!("c{number}"), on);
        }
    }

    fn object(&mut self, name: String) {
        let mut event = Event::new("object", &name);
        let abroad = self.dice.percent(20);
        if abroad {
            event = event.with("tenant", "fabrikam");
        }
        // On the first one most certificates are: there something can be done.
        let first = name == "app0";
        event = match self.dice.below(100) {
            0..8 => event.with("kind", "service_principal"),
            8..16 => event.with("kind", "principal"),
            16..28 if !first => {
                event.with("kind", *self.dice.pick(&["managed_identity", "guest", "legacy", "legacy"]))
            }
            // Somebody made a mistake in the file: there is no such object.
            31..34 if !first => event.with("kind", "nothing"),
            28..31 => event.with("alone", "yes"),
            _ => event,
        };
        let principal = event.get("kind").is_some();
        self.add(event);
        for what in ["adds", "claims", "pretends", "saml", "locks", "expires"] {
            // Where somebody signs in with SAML nothing is ours to edit; a name nobody declares makes certroll ask before it begins.
            let chance = match what {
                "saml" | "locks" if !principal => 0,
                "saml" | "locks" if !first => 30,
                "saml" | "locks" => 8,
                "pretends" => 14,
                _ => 25,
            };
            if self.dice.percent(chance) {
                let mut event = Event::new("stranger", &name).with("does", what).with("of", "c0");
                if what == "expires" {
                    event = event.with("days", *self.dice.pick(&[-10, 40]));
                }
                if what == "locks" {
                    let until = self.elapsed + self.dice.between(86_400, 60 * 86_400);
                    self.ends.push((until, Event::new("stranger", &name).with("does", "unlocks")));
                }
                self.add(event);
            }
        }
        self.objects.push((name, abroad));
    }

    /// Another object of the same tenant.
    fn other_object(&mut self, than: &str) -> Option<String> {
        let abroad = self.objects.iter().find(|(name, _)| name == than)?.1;
        let others = self.objects.iter().filter(|(name, there)| name != than && *there == abroad);
        let others: Vec<String> = others.map(|(name, _)| name.clone()).collect();
        (!others.is_empty()).then(|| self.dice.pick(&others).clone())
    }

    /// A day so many days from now.
    fn day(&self, days: i64) -> String {
        let start: Timestamp = START.parse().unwrap();
        (start + SignedDuration::from_secs(self.elapsed + days * 86_400)).strftime("%Y-%m-%d").to_string()
    }

    fn declares(&mut self, name: String, on: String) {
        let ours = self.certificates.is_empty() || self.dice.percent(85);
        let kept = match ours {
            true => *self.dice.pick(&STORES),
            false => *self.dice.pick(&["provider", "rotator"]),
        };
        let mut event = Event::new("certificate", &name).with("on", &on);
        if self.dice.percent(12) {
            event = event.with("by", "name");
        }
        let by_hand = keeps_requests(kept) && self.dice.percent(20);
        // A person takes days: few ask for that every few days, for what lies longer than a period comes too late.
        let patient = by_hand && self.dice.percent(85);
        let timings = if patient { &TIMINGS[..SLOW] } else { &TIMINGS[..] };
        let (validity, timing, value, overlap) = *self.dice.pick(timings);
        event = event.with("overlap", overlap);
        let (mut acknowledges, mut believed, mut places) = (false, false, Vec::new());
        match kept {
            "provider" => {
                event = event.with("acknowledge", "required");
                if self.dice.percent(30) {
                    // A policy makes the credential end long before the file does.
                    self.add(Event::new("stranger", &on).with("does", "limits").with("to", "P6D"));
                    let until = self.elapsed + self.dice.between(2 * 86_400, 9 * 86_400);
                    self.ends.push((until, Event::new("stranger", &on).with("does", "limits")));
                }
                self.add(Event::new("sends", &name).with("days", 120));
            }
            "rotator" => event = event.with("rotator", "product-*").with("acknowledge", "required"),
            store => {
                event = event.with("store", store).with("validity", validity).with(timing, value);
                acknowledges = self.dice.percent(20);
                if by_hand {
                    event = event.with("csr", "yes");
                }
                if !stays(store) && self.dice.percent(6) {
                    // Nobody but a person can say then that the successor works.
                    (acknowledges, believed) = (true, true);
                    event = event.with("read_back", "yes");
                }
                if self.dice.percent(8) {
                    event = event.with("unused_for", "5d");
                }
                let adopts = self.dice.percent(12);
                if adopts {
                    event = self.adopts(event, &name, &on, store);
                }
                if acknowledges {
                    event = event.with("acknowledge", "required");
                }
                if !stays(store) && self.dice.percent(40) {
                    let kind = if self.dice.percent(30) { MUTE } else { "PLACE" };
                    places.push(format!("{}_{kind}", name.to_uppercase()));
                    if self.dice.percent(30) {
                        places.push(format!("{}_OTHER", name.to_uppercase()));
                    }
                    event = event.with("deliver", places.join(","));
                }
                if !stays(store) && self.dice.percent(3) {
                    event = event.with("key", "rsa-3072");
                }
                if !formats(store).is_empty() {
                    event = event.with("format", *self.dice.pick(formats(store)));
                }
                if self.dice.percent(15) {
                    event = event.with("spread", "1d");
                }
                if self.dice.percent(if adopts { 40 } else { 15 }) {
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
        self.certificates.push(Certificate { name, on, acknowledges, places, kept, by_hand, believed });
    }

    /// Somebody made a key by hand before; most declarations say so.
    fn adopts(&mut self, event: Event, name: &str, on: &str, store: &str) -> Event {
        // What a person wrote into a slot cannot be told without reading the key, so that it cannot be adopted.
        let slots = matches!(store, "slots" | "cas" | "kv" | "secrets");
        // Whoever wrote a Secret owns its fields, until a person hands them over.
        let chance = if store == "kube" { 100 } else { 30 };
        let elsewhere = self.dice.percent(if slots { 75 } else { chance });
        let place = if elsewhere { "elsewhere" } else { store };
        let brings = Event::new("brings", name).with("on", on).with("in", place);
        let brings = brings.with("days", *self.dice.pick(&[25, 90, 200]));
        self.add(brings);
        if self.dice.percent(10) {
            // Somebody takes it off again before certroll has ever seen it.
            self.add(Event::new("stranger", on).with("does", "cleans"));
        }
        match elsewhere {
            // Some forget to say where its key is.
            true if self.dice.percent(85) => event.with("elsewhere", "brought"),
            _ if self.dice.percent(80) => {
                if self.dice.percent(40) {
                    // Later the file names it no more.
                    let until = self.elapsed + self.dice.between(86_400, 30 * 86_400);
                    self.ends.push((until, Event::new("certificate", name).with("adopt", "-")));
                }
                event.with("adopt", "brought")
            }
            _ => event,
        }
    }

    /// One run and what comes before and beside it. Returns the seconds it took.
    fn goes_on(&mut self) -> i64 {
        let mut elapsed = 0;
        let (over, lasting) = self.ends.drain(..).partition(|(at, _)| *at <= self.elapsed);
        self.ends = lasting;
        let over: Vec<(i64, Event)> = over;
        self.events.extend(over.into_iter().map(|(_, event)| event));
        if self.dice.percent(28) {
            elapsed += self.something_else();
        }
        if self.dice.percent(LURKS) {
            let lurking = self.lurks();
            self.add(lurking);
        }
        if self.troubled && self.dice.percent(45) {
            self.troubled = false;
            self.add(Event::new("faults", ""));
        } else if !self.troubled && self.dice.percent(40) {
            self.troubled = true;
            let faults = self.trouble();
            self.add(Event::new("faults", "").with("are", faults));
        }
        let after = match self.dice.below(10) {
            0 => self.dice.between(1, 1_200),
            1..=3 => self.dice.between(3_600, 86_400),
            4 => self.dice.between(86_400, 12 * 86_400),
            _ => self.dice.between(86_400, 4 * 86_400),
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
        for at in 0..self.certificates.len() {
            if self.certificates[at].by_hand && self.dice.percent(35) {
                let how = match self.dice.below(100) {
                    0..70 => "well",
                    70..75 => "other",
                    75..80 => "garbage",
                    80..85 => "short",
                    85..90 => "later",
                    90..95 => "subject",
                    _ => "use",
                };
                let event = Event::new("signs", &self.certificates[at].name).with("how", how);
                let after = self.dice.between(0, 7_200);
                elapsed += after;
                self.add(event.after(after));
            }
        }
        for at in 0..self.certificates.len() {
            let (name, on) = (self.certificates[at].name.clone(), self.certificates[at].on.clone());
            match self.certificates[at].kept {
                "provider" if self.dice.percent(8) => {
                    let instead = if self.dice.percent(60) { "yes" } else { "no" };
                    self.add(Event::new("sends", &name).with("days", 120).with("instead", instead));
                }
                "rotator" if self.dice.percent(8) => {
                    let days = *self.dice.pick(&[20, 60, 300]);
                    self.add(Event::new("stranger", &on).with("does", "rotates").with("days", days));
                }
                "rotator" if self.dice.percent(2) => self.add(Event::new("revoke", &name)),
                _ => {}
            }
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

    /// A death, a fault of the disk or of a store that waits for its occasion.
    fn lurks(&mut self) -> Event {
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

    fn a_run(&mut self) -> Event {
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
        let choice = self.dice.below(72);
        let mut event = match choice {
            0..4 => Event::new("stranger", &on).with("does", "takes").with("of", &name),
            4 => Event::new("stranger", &on).with("does", "adds"),
            5 => Event::new("stranger", &on).with("does", "cleans"),
            6 => {
                let (words, ends) = *self.dice.pick(&[
                    ("deletes", "restores"),
                    ("disables", "enables"),
                    ("locks", "unlocks"),
                    ("blocks", "unblocks"),
                    ("retitles", "titles"),
                    ("doubles", "undoubles"),
                    ("forbids", "permits"),
                ]);
                let at = self.elapsed + self.dice.between(3_600, 12 * 86_400);
                self.ends.push((at, Event::new("stranger", &on).with("does", ends)));
                let event = Event::new("stranger", &on).with("does", words);
                match words == "retitles" && self.dice.percent(50) {
                    true => event.with("to", "Payroll"),
                    false => event,
                }
            }
            7 => {
                let words = self
                    .dice
                    .pick(&["restores", "enables", "unlocks", "unblocks", "titles", "undoubles"])
                    .to_string();
                Event::new("stranger", &on).with("does", words)
            }
            10 => {
                let event = Event::new("stranger", &on).with("does", "limits");
                if self.dice.percent(50) {
                    event.with("to", *self.dice.pick(&["P45D", "P6D"]))
                } else {
                    event
                }
            }
            11..14 if kept == "provider" => Event::new("sends", &name)
                .with("days", *self.dice.pick(&[120, 120, 45]))
                .with("instead", if self.dice.percent(50) { "yes" } else { "no" }),
            11..14 if kept == "rotator" => {
                let days = *self.dice.pick(&[20, 60, 300]);
                Event::new("stranger", &on).with("does", "rotates").with("days", days)
            }
            14..20 if matches!(kept, "provider" | "rotator") => {
                let (key, value) = *self.dice.pick(&[
                    ("retire", "never"),
                    ("retire", "-"),
                    ("hold", "2099-01-01"),
                    ("hold", "-"),
                    ("windows", "tue+sat/20:00/06:00/Europe/London"),
                    ("windows", "-"),
                ]);
                Event::new("certificate", &name).with(key, value)
            }
            20 if kept == "rotator" => Event::new("revoke", &name),
            21 if matches!(kept, "provider" | "rotator") => {
                Event::new("run", "").with("rollback", &name).with("anyway", "yes")
            }
            46..55 | 56..64 => return self.race(after),
            64..72 if !matches!(kept, "provider" | "rotator") => return self.asks(at, choice - 64, after),
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
            23 => self.rename(at),
            8 | 9 | 24 if self.certificates.len() > 1 => return self.drop_and_declare(at, after),
            25..28 if !self.certificates[at].places.is_empty() => self.place(at),
            28 => {
                let at = self.elapsed + self.dice.between(3_600, 20 * 86_400);
                self.ends.push((at, Event::new("tenant", "contoso").with("max_issue", "-")));
                Event::new("tenant", "contoso").with("max_issue", *self.dice.pick(&["0", "1"]))
            }
            29 => {
                let at = self.elapsed + self.dice.between(3_600, 20 * 86_400);
                self.ends.push((at, Event::new("tenant", "contoso").with("max_retire", "-")));
                Event::new("tenant", "contoso").with("max_retire", "0")
            }
            30 => {
                let days = self.dice.between(2, 15);
                let freeze = format!("{}..{}", self.day(1), self.day(days));
                Event::new("certificate", &name).with("freeze", freeze)
            }
            31 => {
                let days = self.dice.between(1, 10);
                let freeze = format!("{}..{}", self.day(0), self.day(days));
                Event::new("tenant", self.dice.pick::<&str>(&["contoso", "fabrikam"])).with("freeze", freeze)
            }
            32 if self.dice.percent(40) => {
                if self.dice.percent(40) {
                    // Somebody helps out with a key made by hand, and sees that everybody can see it: to a list that is older than
                    // that upload a write of ours goes back.
                    self.troubled = false;
                    self.add(Event::new("faults", ""));
                    self.add(Event::new("loses", &name).after(after));
                    let brings = Event::new("brings", &name).with("on", &on).with("in", "elsewhere");
                    let days = *self.dice.pick(&[25, 90]);
                    self.add(brings.with("days", days));
                    self.add(Event::new("certificate", &name).with("elsewhere", "brought"));
                    return after;
                }
                Event::new("loses", &name)
            }
            33 => return self.moves(at, after),
            34 if !formats(kept).is_empty() => {
                Event::new("certificate", &name).with("format", *self.dice.pick(formats(kept)))
            }
            35 => match self.dice.below(8) {
                0 => Event::new("certificate", &name).with("adopt", "-"),
                1 => return self.names_a_neighbour_s(at, after),
                _ => Event::new("certificate", &name).with("adopt", "brought"),
            },
            36 => Event::new("stranger", &on).with("does", "expires").with("days", *self.dice.pick(&[-3, 9])),
            37 => Event::new("certificate", &name).with("drop_expired_foreign", "expired"),
            38 if !stays(kept) => self.places_change(at),
            39 => return self.twins(after),
            40 => Event::new("plan", "glance").with("ahead", self.dice.between(1, 90)),
            41 => Event::new("revoke", &name),
            42 if !self.certificates[at].believed => {
                let asks = !self.certificates[at].acknowledges;
                self.certificates[at].acknowledges = asks;
                Event::new("certificate", &name).with("acknowledge", if asks { "required" } else { "-" })
            }
            43 if !stays(kept) && self.dice.percent(15) => {
                Event::new("certificate", &name).with("key", *self.dice.pick(&["rsa-2048", "rsa-3072"]))
            }
            45 => {
                let Some(other) = self.other_object(&on) else { return 0 };
                let at = self.elapsed + self.dice.between(3_600, 20 * 86_400);
                self.ends.push((at, Event::new("certificate", &name).with("on", &on)));
                Event::new("certificate", &name).with("on", other)
            }
            44 => Event::new("certificate", &name).with("by", *self.dice.pick(&["name", "-"])),
            55 if self.dice.percent(50) => {
                Event::new("run", "").with("rollback", &name).with("anyway", "yes")
            }
            55 => {
                // Revoked while nobody can sign in.
                let at = self.elapsed + self.dice.between(3_600, 4 * 86_400);
                self.ends.push((at, Event::new("stranger", &on).with("does", "enables")));
                self.add(Event::new("stranger", &on).with("does", "disables").after(after));
                self.add(Event::new("revoke", &name));
                return after;
            }
            _ => Event::new("restart", &name),
        };
        event.after = after;
        self.add(event);
        after
    }

    /// Runs that are asked for something they cannot do, and what makes them so.
    fn asks(&mut self, at: usize, choice: u64, after: i64) -> i64 {
        let (name, on) = (self.certificates[at].name.clone(), self.certificates[at].on.clone());
        let event = match choice {
            0..3 => {
                let names =
                    *self.dice.pick(&["foreign", "claimed", "undeclared", "reserved", "sibling", "older"]);
                let does = match names {
                    "claimed" => "claims",
                    "undeclared" => "pretends",
                    "reserved" => "encrypts",
                    _ => "adds",
                };
                self.add(Event::new("stranger", &on).with("does", does).with("of", &name));
                let event = Event::new("run", "").with("replace", &name).with("names", names);
                if self.dice.percent(60) { event.with("revoke_previous", "yes") } else { event }
            }
            3 | 4 => {
                self.add(Event::new("stranger", &on).with("does", "takes").with("of", &name));
                Event::new("run", "").with("unattended", "yes")
            }
            5 => Event::new("run", "").with("replace", &name).with("max_issue", 0),
            6 => {
                // Approved, and declared under another name when it is carried out.
                self.add(Event::new("revoke", &name));
                self.add(Event::new("plan", "overtaken"));
                let renames = self.rename(at);
                self.add(renames);
                Event::new("run", "").with("reviewed", "overtaken")
            }
            _ => {
                let others = self.certificates.iter().filter(|other| other.on == on && other.name != name);
                let others: Vec<String> = others.map(|other| other.name.clone()).collect();
                if others.is_empty() {
                    return 0;
                }
                let of = self.dice.pick(&others).clone();
                let (key, what) =
                    *self.dice.pick(&[("revoked", "offered"), ("drop_expired_foreign", "offered-id")]);
                Event::new("certificate", &name).with(key, what).with("of", of)
            }
        };
        self.add(event.after(after));
        after
    }

    /// The file names another certificate's key, until somebody notices.
    fn names_a_neighbour_s(&mut self, at: usize, after: i64) -> i64 {
        let (name, on) = (self.certificates[at].name.clone(), self.certificates[at].on.clone());
        let others = self.certificates.iter().filter(|other| other.on == on && other.name != name);
        let others: Vec<String> = others.map(|other| other.name.clone()).collect();
        if others.is_empty() {
            return 0;
        }
        let of = self.dice.pick(&others).clone();
        let event = Event::new("certificate", &name).with("adopt", "offered").with("of", of).after(after);
        self.add(event);
        let until = self.elapsed + self.dice.between(3_600, 6 * 86_400);
        self.ends.push((until, Event::new("certificate", &name).with("adopt", "-")));
        after
    }

    /// Two replace different certificates of one object at the same moment.
    fn race(&mut self, after: i64) -> i64 {
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
        // Between what it wrote of the one and what it makes of the other.
        let between = match self.certificates.iter().find(|one| one.name == name).map(|one| one.kept) {
            Some("files") => Some("before-Link:0"),
            Some(kept) if is_shipped(kept) => Some("before-a-write-to-a-store's-service:1"),
            _ => None,
        };
        if let Some(between) = between.filter(|_| self.dice.percent(35)) {
            self.add(Event::new("lurks", "").with("die", between));
        }
        if self.dice.percent(50) {
            let mut event = Event::new("run", "").with("rollback", name).after(60);
            if self.dice.percent(60) {
                event = event.with("die", self.dice.below(30));
            }
            self.add(event);
        } else if self.dice.percent(30) {
            self.add(Event::new("run", "").with("replace", name).after(60));
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

    /// Two applies of one plan, or of different plans on one application, at the same time.
    fn twins(&mut self, after: i64) -> i64 {
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

    /// A delivery place comes, or all go.
    fn places_change(&mut self, at: usize) -> Event {
        let certificate = &mut self.certificates[at];
        let event = Event::new("certificate", &certificate.name);
        if certificate.places.is_empty() {
            // A name of its own each time: what an old place still holds may have been retired long ago.
            self.renamed += 1;
            certificate.places.push(format!("{}_LATER{}", certificate.name.to_uppercase(), self.renamed));
            event.with("deliver", certificate.places.join(","))
        } else {
            certificate.places.clear();
            event.with("deliver", "-")
        }
    }

    /// To another object of the tenant, under a new name.
    fn moves(&mut self, at: usize, after: i64) -> i64 {
        let (name, on) = (self.certificates[at].name.clone(), self.certificates[at].on.clone());
        let Some(other) = self.other_object(&on) else { return 0 };
        self.renamed += 1;
        let to = format!("m{}", self.renamed);
        let mut event = Event::new("moves", &name).with("to", &to).with("on", &other).after(after);
        if self.dice.percent(70) {
            event = event.with("retire", *self.dice.pick(&["yes", "yes", "no"]));
        }
        if self.dice.percent(10) {
            event = event.with("entry", "new");
        }
        self.add(event);
        if self.dice.percent(15) {
            let until = self.elapsed + self.dice.between(3_600, 6 * 86_400);
            self.ends.push((until, Event::new("stranger", &other).with("does", "restores")));
            self.add(Event::new("stranger", &other).with("does", "deletes"));
        }
        (self.certificates[at].name, self.certificates[at].on) = (to, other);
        after
    }

    fn rename(&mut self, at: usize) -> Event {
        self.renamed += 1;
        let (from, to) = (self.certificates[at].name.clone(), format!("r{}", self.renamed));
        self.certificates[at].name.clone_from(&to);
        let event = Event::new("renames", &from).with("to", to);
        // Some forget to say so, or say too much.
        match self.dice.below(20) {
            0 => event.with("forgets", "yes"),
            1 => event.with("forgets", "yes").with("entry", "new"),
            2 => event.with("entry", "new"),
            3 => event.with("removes", "yes"),
            4 => event.with("removes", "yes").with("forgets", "yes"),
            _ => event,
        }
    }

    /// A certificate is no longer declared; another comes in its place.
    fn drop_and_declare(&mut self, at: usize, after: i64) -> i64 {
        let gone = self.certificates.remove(at);
        let retire = if self.dice.percent(70) { "yes" } else { "no" };
        let doubled = self.dice.percent(15);
        if doubled {
            self.add(Event::new("certificate", &gone.name).with("by", "name"));
        }
        self.add(Event::new("drops", &gone.name).with("retire", retire).after(after));
        if doubled {
            // What the removed entry names by its name are two, for a while.
            let until = self.elapsed + self.dice.between(86_400, 6 * 86_400);
            self.ends.push((until, Event::new("stranger", &gone.on).with("does", "undoubles")));
            self.add(Event::new("stranger", &gone.on).with("does", "doubles"));
        }
        self.renamed += 1;
        let name = format!("n{}", self.renamed);
        self.declares(name.clone(), gone.on.clone());
        // Its place in the store may be taken over by the next one.
        if retire == "no" && self.dice.percent(50) && !matches!(gone.kept, "provider" | "rotator") {
            let mut takes_over = Event::new("certificate", &name).with("entry", &gone.name);
            // In the same store, where both can live in it.
            let plain = |one: &Certificate| {
                !one.by_hand && !stays(one.kept) && !matches!(one.kept, "provider" | "rotator")
            };
            let new = self.certificates.last_mut();
            if let Some(new) = new.filter(|new| plain(new) && plain(&gone)) {
                new.kept = gone.kept;
                takes_over = takes_over.with("store", gone.kept).with("format", "pem");
            }
            self.add(takes_over);
            if self.dice.percent(50) {
                // And what consumers read there with it.
                let adopts = Event::new("certificate", &name).with("adopt", "offered");
                self.add(adopts.with("of", &name));
            }
        }
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

    /// Those that strike once stay until a write meets them; what makes every request fail is rarer.
    fn one_trouble(&mut self) -> Value {
        let dice = &mut self.dice;
        match dice.below(27) {
            0 | 1 => json!({"stale_reads": {"reads": dice.between(1, 6), "replicas": dice.between(1, 3)}}),
            2 => {
                json!({"token_propagation": {"seconds": dice.between(10, 400), "front_ends": 1, "removals": dice.percent(50)}})
            }
            3 => {
                json!({"token_propagation": {"seconds": dice.between(10, 400), "front_ends": 3, "removals": dice.percent(50)}})
            }
            4 => {
                json!({"lost_answers": [{"write": dice.between(1, 4), "happened": dice.percent(50)}]})
            }
            5..9 => {
                let changes = ["adds", "adds", "removes_first", "removes_last"];
                let rivals = [1, 3, 5].map(|write| {
                    json!({"before_write": write + dice.between(0, 1), "change": dice.pick(&changes)})
                });
                json!({"rival_writes": rivals})
            }
            9 | 10 => json!({"dropped_writes": {"which": "nth", "nth": dice.between(1, 3)}}),
            11 => json!({"dropped_writes": {"which": "adds"}}),
            12 => match dice.percent(50) {
                true => {
                    json!({"throttled": {"every": dice.between(2, 9), "retry_after_seconds": dice.between(1, 20)}})
                }
                false => json!({"throttled": {"every": dice.between(2, 9)}}),
            },
            13 => json!({"conflicts": {"every": dice.between(1, 4)}}),
            14 => {
                let status = *dice.pick(&[500, 502, 503, 504]);
                json!({"unavailable": {"every": dice.between(2, 9), "status": status, "happened": dice.percent(50)}})
            }
            15 => json!({"connection_refused": {"every": dice.between(2, 9)}}),
            16 | 17 => {
                let ahead = dice.between(30, 800);
                json!({"date_skew_seconds": if dice.percent(50) { ahead } else { -ahead }})
            }
            18..26 => {
                let which = *dice.pick(&[
                    "unavailable_every",
                    "busy_every",
                    "throttled_every",
                    "conditional_access_every",
                ]);
                json!({"token": {which: dice.between(2, 4)}})
            }
            _ => json!({"unavailable": {"every": dice.between(1, 2), "status": 503}}),
        }
    }
}
