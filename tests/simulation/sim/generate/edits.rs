//! What people do to the declaration, and what it takes for that to be seen.

use super::super::declaration::stays;
use super::super::services::is_shipped;
use super::super::story::Event;
use super::{Certificate, Generator};

impl Generator {
    /// Runs that are asked for something they cannot do, and what makes them so.
    pub(super) fn asks(&mut self, at: usize, choice: u64, after: i64) -> i64 {
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
    pub(super) fn names_a_neighbour_s(&mut self, at: usize, after: i64) -> i64 {
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

    /// A hold; some roll back while it is in force; then it is lifted.
    pub(super) fn hold(&mut self, name: &str, after: i64) -> i64 {
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

    /// A delivery place comes, or all go.
    pub(super) fn places_change(&mut self, at: usize) -> Event {
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
    pub(super) fn moves(&mut self, at: usize, after: i64) -> i64 {
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

    pub(super) fn rename(&mut self, at: usize) -> Event {
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
    pub(super) fn drop_and_declare(&mut self, at: usize, after: i64) -> i64 {
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
}
