//! Objects, what is on them already, and what is declared on them.

use super::super::declaration::stays;
use super::super::oracles::MUTE;
use super::super::story::Event;
use super::{Certificate, Generator};

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
pub(super) fn formats(store: &str) -> &'static [&'static str] {
    match store {
        "files" => &["pem", "pem", "pem", "pem", "pem", "pem-pair", "pem-pair", "pfx"],
        "kv" | "secrets" | "kube" => &["pem", "pem", "pem", "pem-pair", "pfx"],
        // Opening a PFX of the default profile takes longer than all the rest of a run.
        "exportable" => &["pem"; 1],
        _ => &[],
    }
}

impl Generator {
    /// Objects, what is on them already, and the certificates declared on them.
    pub(super) fn world(&mut self) {
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

    pub(super) fn object(&mut self, name: String) {
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
                event.with("kind", *self.dice.pick(&["managed_identity", "guest", "legacy", "agent"]))
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

    pub(super) fn declares(&mut self, name: String, on: String) {
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
    pub(super) fn adopts(&mut self, event: Event, name: &str, on: &str, store: &str) -> Event {
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
}
