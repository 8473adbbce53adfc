//! Out of a seed, a history: a world, its declaration, and years of runs, edits, people, strangers and trouble.

mod declared;
mod edits;
mod runs;
mod trouble;

use jiff::{SignedDuration, Timestamp};

use self::declared::formats;
use super::declaration::stays;
use super::dice::Dice;
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
}
