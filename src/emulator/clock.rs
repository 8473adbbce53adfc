//! The emulator's own time. It either stands still or runs beside the machine's clock at a fixed distance;
//! nothing in the emulator asks for the time in any other way.
#![allow(
    clippy::disallowed_methods,
    reason = "a running emulator clock is the machine's clock plus an offset"
)]

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How the emulator's time relates to the machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Clock {
    /// Stands at this moment until somebody moves it.
    Frozen(Timestamp),
    /// The machine's time plus this many nanoseconds.
    Running { offset_ns: i64 },
}

impl Clock {
    pub(crate) fn now(self) -> Timestamp {
        match self {
            Clock::Frozen(at) => at,
            Clock::Running { offset_ns } => moved(Timestamp::now(), SignedDuration::from_nanos(offset_ns)),
        }
    }

    /// The same clock, standing or running as before, showing `to` now.
    pub(crate) fn set(self, to: Timestamp) -> Clock {
        match self {
            Clock::Frozen(_) => Clock::Frozen(to),
            Clock::Running { .. } => Clock::running_from(to),
        }
    }

    /// A running clock that shows `at` now.
    pub(crate) fn running_from(at: Timestamp) -> Clock {
        let distance = at.duration_since(Timestamp::now()).as_nanos();
        let limit = i128::from(i64::MAX);
        let offset_ns = i64::try_from(distance.clamp(-limit, limit)).unwrap_or(0);
        Clock::Running { offset_ns }
    }

    pub(crate) fn advance(self, by: SignedDuration) -> Clock {
        self.set(moved(self.now(), by))
    }
}

/// `at` moved by `by`, held within what a timestamp can say.
pub(crate) fn moved(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

/// The time as HTTP's `Date` header spells it.
pub(crate) fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The time with seven fractional digits, as the service spells the times it sets itself.
pub(crate) fn seven_digits(at: Timestamp) -> String {
    let ticks = at.subsec_nanosecond().unsigned_abs() / 100;
    format!("{}.{ticks:07}Z", at.strftime("%Y-%m-%dT%H:%M:%S"))
}

/// The time cut to whole seconds, with a final `Z`.
pub(crate) fn whole_seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
