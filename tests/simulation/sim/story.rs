//! A history as text: one event a line, read and written. What a seed generates, what is shrunk, and what stays as a regression test are
//! all this.
//!
//! ```text
//! # what it is about
//! seed 42
//! start 2026-01-05T09:00:00Z
//! 1 +0s object mail entries=foreign,foreign
//! 2 +0s certificate backup on=mail store=files rotation_period=30d overlap=5d validity=90d
//! 3 +1h run
//! 4 +9d run die=17
//! ```
//!
//! The number names the event for ever: what chance decides inside it depends on seed and number alone, so that leaving out others
//! changes nothing in it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

/// A history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    pub title: Vec<String>,
    pub seed: u64,
    pub start: Timestamp,
    pub events: Vec<Event>,
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub number: u32,
    /// Seconds after the event before it.
    pub after: i64,
    /// What happens.
    pub verb: String,
    /// Whom it happens to; empty where the verb says it all.
    pub who: String,
    pub with: BTreeMap<String, String>,
}

impl Event {
    pub fn new(verb: &str, who: &str) -> Event {
        Event { number: 0, after: 0, verb: verb.into(), who: who.into(), with: BTreeMap::new() }
    }

    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Event {
        self.with.insert(key.into(), value.to_string());
        self
    }

    pub fn after(mut self, seconds: i64) -> Event {
        self.after = seconds;
        self
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.with.get(key).map(String::as_str)
    }

    pub fn number_of(&self, key: &str) -> Option<i64> {
        self.get(key).map(|text| text.parse().unwrap_or_else(|_| panic!("{self}: {key} is no number")))
    }

    pub fn says(&self, key: &str) -> bool {
        self.get(key) == Some("yes")
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} +{} {}", self.number, span(self.after), self.verb)?;
        if !self.who.is_empty() {
            write!(f, " {}", self.who)?;
        }
        self.with.iter().try_for_each(|(key, value)| write!(f, " {key}={value}"))
    }
}

/// Seconds as people write them: `9d3h`, `20s`.
fn span(seconds: i64) -> String {
    let mut rest = seconds;
    let mut text = String::new();
    for (unit, length) in [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)] {
        if rest >= length {
            text.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// The seconds of such a text.
pub fn seconds(text: &str) -> Option<i64> {
    let (mut total, mut number) = (0, String::new());
    for c in text.chars() {
        let length = match c {
            '0'..='9' => {
                number.push(c);
                continue;
            }
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        total += number.parse::<i64>().ok()? * length;
        number.clear();
    }
    number.is_empty().then_some(total)
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.title.iter().try_for_each(|line| writeln!(f, "# {line}"))?;
        writeln!(f, "seed {}\nstart {}", self.seed, self.start)?;
        self.events.iter().try_for_each(|event| writeln!(f, "{event}"))
    }
}

impl FromStr for Story {
    type Err = String;

    fn from_str(text: &str) -> Result<Story, String> {
        let mut story =
            Story { title: Vec::new(), seed: 0, start: Timestamp::UNIX_EPOCH, events: Vec::new() };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let wrong = || format!("no event: {line}");
            if let Some(title) = line.strip_prefix('#') {
                story.title.push(title.trim().to_owned());
            } else if let Some(seed) = line.strip_prefix("seed ") {
                story.seed = seed.parse().map_err(|_| wrong())?;
            } else if let Some(start) = line.strip_prefix("start ") {
                story.start = start.parse().map_err(|_| wrong())?;
            } else {
                story.events.push(event(line).ok_or_else(wrong)?);
            }
        }
        Ok(story)
    }
}

fn event(line: &str) -> Option<Event> {
    let mut words = line.split(' ');
    let number = words.next()?.parse().ok()?;
    let after = seconds(words.next()?.strip_prefix('+')?)?;
    let mut event = Event::new(words.next()?, "");
    (event.number, event.after) = (number, after);
    for word in words {
        match word.split_once('=') {
            Some((key, value)) => {
                event.with.insert(key.into(), value.into());
            }
            None if event.who.is_empty() => event.who = word.into(),
            None => return None,
        }
    }
    Some(event)
}
