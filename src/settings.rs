//! The settings of planning and applying, each with its default: numbers, and how sign-ins are signed. Pure data.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use jiff::SignedDuration;

use crate::key::SignatureAlgorithm;

/// Settings of planning and applying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Equal reads before a write.
    pub reads_before_write: u32,
    /// Equal reads after a write, before it counts as seen.
    pub reads_after_write: u32,
    /// Time between those reads.
    pub read_interval: SignedDuration,
    /// How long those reads may take together.
    pub read_deadline: SignedDuration,
    /// Sign-ins in a row that make a proof.
    pub sign_ins: u32,
    /// Time between sign-ins.
    pub sign_in_interval: SignedDuration,
    /// How long a run waits for a store to have a certificate signed that the store makes itself.
    pub sign_deadline: SignedDuration,
    /// How long proving may take.
    pub prove_deadline: SignedDuration,
    /// A generation published longer ago than this that still cannot sign in is blocked rather than *not yet*.
    pub prove_give_up: SignedDuration,
    /// Where promotion comes before the proof: how long a credential must have been visible.
    pub settle: SignedDuration,
    /// A removing write waits until every generation younger than this is visible in the read that feeds it.
    pub young: SignedDuration,
    /// How far certificates are backdated.
    pub backdate: SignedDuration,
    /// A credential starts at most this long before it is published.
    pub start_margin: SignedDuration,
    /// A credential stays this far below a policy's longest life.
    pub policy_margin: SignedDuration,
    /// A generation whose end is nearer than this rotates although something else should be waited for.
    pub urgent: SignedDuration,
    /// Live generations of one certificate beyond which no further one is issued.
    pub live_generations_max: usize,
    /// A clock difference to the service beyond this is warned about.
    pub skew_warn: SignedDuration,
    /// A clock difference to the service beyond this refuses the plan.
    pub skew_refuse: SignedDuration,
    /// Times a write is tried again after a conflict or a lost update.
    pub write_retries: u32,
    /// How sign-ins are signed: those that prove a generation, and certroll's own with a certificate.
    pub assertion: SignatureAlgorithm,
}

/// A clock that is nearer to the service's than this cannot be told from one that is right: answers carry whole seconds.
const SKEW_REFUSE_MIN: SignedDuration = SignedDuration::from_secs(10);

impl Default for Settings {
    fn default() -> Self {
        Settings {
            reads_before_write: 2,
            reads_after_write: 5,
            read_interval: SignedDuration::from_secs(2),
            read_deadline: SignedDuration::from_mins(5),
            sign_ins: 3,
            sign_in_interval: SignedDuration::from_secs(10),
            sign_deadline: SignedDuration::from_mins(2),
            prove_deadline: SignedDuration::from_mins(10),
            prove_give_up: SignedDuration::from_hours(24),
            settle: SignedDuration::from_mins(15),
            young: SignedDuration::from_mins(15),
            backdate: SignedDuration::from_hours(1),
            start_margin: SignedDuration::from_mins(10),
            policy_margin: SignedDuration::from_hours(1),
            urgent: SignedDuration::from_hours(30 * 24),
            live_generations_max: 3,
            skew_warn: SignedDuration::from_mins(2),
            skew_refuse: SignedDuration::from_mins(10),
            write_retries: 5,
            assertion: SignatureAlgorithm::Ps256,
        }
    }
}

/// Why a setting was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSetting {
    /// No such name; the text lists all.
    #[error("unknown setting {name:?}; the settings are: {known}")]
    Unknown {
        /// What was given.
        name: String,
        /// All names.
        known: String,
    },
    /// The value is not of the setting's type or out of bounds.
    #[error("setting {name} cannot be {value:?}: {problem}")]
    Value {
        /// Which setting.
        name: String,
        /// What was given.
        value: String,
        /// What is expected.
        problem: String,
    },
}

/// A reference into [`Settings`], by type.
enum Slot<'a> {
    Duration(&'a mut SignedDuration, RangeInclusive<SignedDuration>),
    Count(&'a mut u32),
    Size(&'a mut usize),
    Assertion(&'a mut SignatureAlgorithm),
}

impl fmt::Display for Slot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Slot::Duration(duration, _) => write!(f, "{duration:#}"),
            Slot::Count(count) => write!(f, "{count}"),
            Slot::Size(size) => write!(f, "{size}"),
            Slot::Assertion(SignatureAlgorithm::Ps256) => f.write_str("ps256"),
            Slot::Assertion(SignatureAlgorithm::Rs256) => f.write_str("rs256"),
        }
    }
}

impl Settings {
    /// Every setting by its name, with what it can be. No wait is longer than a day, so that a slip of the pen ends by itself.
    fn slots(&mut self) -> Vec<(&'static str, Slot<'_>)> {
        use Slot::{Assertion, Count, Duration, Size};
        vec![
            ("reads_before_write", Count(&mut self.reads_before_write)),
            ("reads_after_write", Count(&mut self.reads_after_write)),
            ("read_interval", Duration(&mut self.read_interval, hours(1))),
            ("read_deadline", Duration(&mut self.read_deadline, hours(24))),
            ("sign_ins", Count(&mut self.sign_ins)),
            ("sign_in_interval", Duration(&mut self.sign_in_interval, hours(1))),
            ("sign_deadline", Duration(&mut self.sign_deadline, hours(24))),
            ("prove_deadline", Duration(&mut self.prove_deadline, hours(24))),
            ("prove_give_up", Duration(&mut self.prove_give_up, hours(720))),
            ("settle", Duration(&mut self.settle, hours(24))),
            ("young", Duration(&mut self.young, hours(24))),
            ("backdate", Duration(&mut self.backdate, hours(24))),
            ("start_margin", Duration(&mut self.start_margin, hours(24))),
            ("policy_margin", Duration(&mut self.policy_margin, hours(720))),
            ("urgent", Duration(&mut self.urgent, hours(8760))),
            ("live_generations_max", Size(&mut self.live_generations_max)),
            ("skew_warn", Duration(&mut self.skew_warn, hours(24))),
            ("skew_refuse", Duration(&mut self.skew_refuse, SKEW_REFUSE_MIN..=*hours(24).end())),
            ("write_retries", Count(&mut self.write_retries)),
            ("assertion", Assertion(&mut self.assertion)),
        ]
    }

    /// Those that are not at their default, each as [`Settings::set`] takes it.
    pub fn changed(&self) -> BTreeMap<String, String> {
        let (mut these, mut usual) = (self.clone(), Settings::default());
        let of_both = these.slots().into_iter().zip(usual.slots());
        let changed = of_both.filter_map(|((name, slot), (_, usual))| {
            let (value, usual) = (slot.to_string(), usual.to_string());
            (value != usual).then(|| (name.to_owned(), value))
        });
        changed.collect()
    }

    /// Whether they fit together: what has to be seen several times must be possible within its deadline.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let fits = |count: u32, interval: SignedDuration, deadline: SignedDuration| {
            interval
                .checked_mul(i32::try_from(count.saturating_sub(1)).unwrap_or(i32::MAX))
                .is_some_and(|all| all <= deadline)
        };
        let wrong = |name: &str, value: SignedDuration, problem: String| {
            Err(InvalidSetting::Value { name: name.to_owned(), value: format!("{value:#}"), problem })
        };
        if !fits(self.sign_ins, self.sign_in_interval, self.prove_deadline) {
            let (count, deadline) = (self.sign_ins, self.prove_deadline);
            let problem =
                format!("{count} sign-ins so far apart do not fit into prove_deadline {deadline:#}");
            return wrong("sign_in_interval", self.sign_in_interval, problem);
        }
        let reads = self.reads_before_write.max(self.reads_after_write);
        if !fits(reads, self.read_interval, self.read_deadline) {
            let deadline = self.read_deadline;
            let problem = format!("{reads} reads so far apart do not fit into read_deadline {deadline:#}");
            return wrong("read_interval", self.read_interval, problem);
        }
        Ok(())
    }

    /// Sets one by its name: a duration such as `20s`, `15m`, `1h`, a count of at least 1, or
    /// `ps256` and `rs256` for `assertion`.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), InvalidSetting> {
        let wrong = |problem: &str| InvalidSetting::Value {
            name: name.to_owned(),
            value: value.to_owned(),
            problem: problem.to_owned(),
        };
        let slots = self.slots();
        let known = slots.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let Some((_, slot)) = slots.into_iter().find(|(known, _)| *known == name) else {
            return Err(InvalidSetting::Unknown { name: name.to_owned(), known });
        };
        match slot {
            Slot::Duration(slot, bounds) => {
                let parsed: SignedDuration =
                    value.parse().map_err(|_| wrong("write a duration such as 20s, 15m or 1h"))?;
                if !bounds.contains(&parsed) {
                    return Err(wrong(&format!(
                        "write a duration from {:#} to {:#}",
                        bounds.start(),
                        bounds.end()
                    )));
                }
                *slot = parsed;
            }
            Slot::Count(slot) => *slot = count(value).ok_or_else(|| wrong("write a count from 1 to 1000"))?,
            Slot::Size(slot) => {
                *slot = count(value).ok_or_else(|| wrong("write a count from 1 to 1000"))? as usize;
            }
            Slot::Assertion(slot) => {
                *slot = match value {
                    "ps256" => SignatureAlgorithm::Ps256,
                    "rs256" => SignatureAlgorithm::Rs256,
                    _ => return Err(wrong("write ps256 or rs256")),
                };
            }
        }
        Ok(())
    }
}

fn hours(longest: i64) -> RangeInclusive<SignedDuration> {
    SignedDuration::ZERO..=SignedDuration::from_hours(longest)
}

fn count(value: &str) -> Option<u32> {
    value.parse().ok().filter(|count| (1..=1000).contains(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_can_be_written_down_and_set_again() {
        assert!(Settings::default().changed().is_empty());
        let mut settings = Settings::default();
        for (name, value) in
            [("prove_deadline", "90m"), ("sign_ins", "5"), ("assertion", "rs256"), ("settle", "0s")]
        {
            settings.set(name, value).unwrap();
        }
        settings.set("young", "15m").unwrap();
        let changed = settings.changed();
        assert_eq!(changed.keys().collect::<Vec<_>>(), ["assertion", "prove_deadline", "settle", "sign_ins"]);
        let mut again = Settings::default();
        changed.iter().for_each(|(name, value)| again.set(name, value).unwrap());
        assert_eq!(again, settings);
    }

    /// Every field, read by itself and in the order of the names.
    fn fields(settings: &Settings) -> Vec<String> {
        let Settings {
            reads_before_write,
            reads_after_write,
            read_interval,
            read_deadline,
            sign_ins,
            sign_in_interval,
            sign_deadline,
            prove_deadline,
            prove_give_up,
            settle,
            young,
            backdate,
            start_margin,
            policy_margin,
            urgent,
            live_generations_max,
            skew_warn,
            skew_refuse,
            write_retries,
            assertion,
        } = settings;
        let counts = |name: &str, count: &dyn std::fmt::Display| format!("{name}={count}");
        let duration = |name: &str, duration: &SignedDuration| format!("{name}={duration:#}");
        vec![
            counts("reads_before_write", reads_before_write),
            counts("reads_after_write", reads_after_write),
            duration("read_interval", read_interval),
            duration("read_deadline", read_deadline),
            counts("sign_ins", sign_ins),
            duration("sign_in_interval", sign_in_interval),
            duration("sign_deadline", sign_deadline),
            duration("prove_deadline", prove_deadline),
            duration("prove_give_up", prove_give_up),
            duration("settle", settle),
            duration("young", young),
            duration("backdate", backdate),
            duration("start_margin", start_margin),
            duration("policy_margin", policy_margin),
            duration("urgent", urgent),
            counts("live_generations_max", live_generations_max),
            duration("skew_warn", skew_warn),
            duration("skew_refuse", skew_refuse),
            counts("write_retries", write_retries),
            format!("assertion={}", if *assertion == SignatureAlgorithm::Ps256 { "ps256" } else { "rs256" }),
        ]
    }

    #[test]
    fn each_name_sets_its_own_field_and_is_written_down_by_it() {
        let usual = fields(&Settings::default());
        let names: Vec<&str> = usual.iter().filter_map(|field| field.split('=').next()).collect();
        let known = Settings::default().set("nonsense", "1").unwrap_err().to_string();
        assert!(known.ends_with(&format!("the settings are: {}", names.join(", "))), "{known}");
        for (index, name) in names.iter().enumerate() {
            let (good, wrong) = match Settings::default().slots().swap_remove(index).1 {
                Slot::Duration(_, _) => ("7m", ["-7m", "7", "9999h"]),
                Slot::Count(_) | Slot::Size(_) => ("7", ["0", "1001", "7m"]),
                Slot::Assertion(_) => ("rs256", ["PS256", "none", ""]),
            };
            let mut settings = Settings::default();
            settings.set(name, good).unwrap();
            let set = format!("{name}={good}");
            let expected = usual.iter().enumerate().map(|(at, usual)| if at == index { &set } else { usual });
            assert_eq!(fields(&settings).iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            assert_eq!(settings.changed(), BTreeMap::from([((*name).to_owned(), good.to_owned())]));
            for wrong in wrong {
                let error = settings.set(name, wrong).unwrap_err().to_string();
                assert!(error.starts_with(&format!("setting {name} cannot be {wrong:?}: ")), "{error}");
                assert_eq!(fields(&settings)[index], set, "a value that is refused changes nothing");
            }
        }
    }

    #[test]
    fn no_duration_is_beyond_sense() {
        for (name, value, problem) in [
            ("sign_in_interval", "99999999h", "write a duration from 0s to 1h"),
            ("read_interval", "9999999h", "write a duration from 0s to 1h"),
            ("backdate", "4320h", "write a duration from 0s to 24h"),
            ("backdate", "99999999999999h", "write a duration from 0s to 24h"),
            ("skew_refuse", "0s", "write a duration from 10s to 24h"),
            ("prove_deadline", "25h", "write a duration from 0s to 24h"),
        ] {
            let error = Settings::default().set(name, value).unwrap_err().to_string();
            assert_eq!(error, format!("setting {name} cannot be {value:?}: {problem}"));
        }
    }

    #[test]
    fn what_must_be_seen_several_times_fits_into_its_deadline() {
        let of = |set: &[(&str, &str)]| {
            let mut settings = Settings::default();
            set.iter().for_each(|(name, value)| settings.set(name, value).unwrap());
            settings.check().map_err(|error| error.to_string())
        };
        assert_eq!(of(&[]), Ok(()));
        assert_eq!(of(&[("sign_in_interval", "5m")]), Ok(()), "at 0, 5 and 10 minutes");
        let too_far = "setting sign_in_interval cannot be \"30m\": 3 sign-ins so far apart do not fit into prove_deadline 10m";
        assert_eq!(of(&[("sign_in_interval", "30m")]), Err(too_far.to_owned()));
        assert_eq!(of(&[("sign_in_interval", "30m"), ("prove_deadline", "1h")]), Ok(()));
        assert!(of(&[("read_interval", "2m")]).unwrap_err().contains("5 reads so far apart"));
        assert!(of(&[("sign_ins", "1000")]).is_err());
    }

    #[test]
    fn the_assertion_is_ps256_unless_set_to_rs256() {
        let mut settings = Settings::default();
        assert_eq!(settings.assertion, SignatureAlgorithm::Ps256);
        settings.set("assertion", "rs256").unwrap();
        assert_eq!(settings.assertion, SignatureAlgorithm::Rs256);
        settings.set("assertion", "ps256").unwrap();
        assert_eq!(settings, Settings::default());
        let error = settings.set("assertion", "none").unwrap_err().to_string();
        assert_eq!(error, "setting assertion cannot be \"none\": write ps256 or rs256");
    }
}
