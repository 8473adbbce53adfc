//! When something is due, and when writes may happen. Pure functions of dates.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::desired::{Declared, Freeze, Timing, Window};
use crate::ids::{Address, RotationId};
use crate::period::Lead;

/// The life of the current generation, as far as dates go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// When the certificate was made, which publishing it again does not change; the credential's start where only that is known.
    pub began: Timestamp,
    /// When the credential ends; the certificate's end where there is no credential.
    pub end: Timestamp,
    /// How long it was made to live.
    pub length: SignedDuration,
}

/// When a generation with this life is due. Counted from its end, so that a certificate that was published again, late,
/// keeps its date. Never so late that the overlap would be cut short; moved earlier by the spread.
pub fn due(declared: &Declared, life: Life) -> Timestamp {
    let latest = declared.overlap.before(life.end);
    let asked = match &declared.timing {
        Timing::RotationPeriod(period) => period.after(life.began),
        Timing::RenewBefore(lead) => lead_before(lead, life),
    };
    let due = asked.min(latest);
    let room = due.duration_since(life.began) / 2;
    due.checked_sub(spread(declared, room)).unwrap_or(due)
}

/// That lead before the end of that life.
pub fn lead_before(lead: &Lead, life: Life) -> Timestamp {
    match lead {
        Lead::Period(period) => period.before(life.end),
        Lead::Percent(percent) => {
            let seconds = life.length.as_secs() / 100 * i64::from(*percent);
            life.end.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(life.end)
        }
    }
}

/// How much earlier this address is due: a stable share of the declared spread, never more than `room`.
fn spread(declared: &Declared, room: SignedDuration) -> SignedDuration {
    let widest = declared.spread.nominal_seconds().min(room.as_secs());
    if widest <= 0 {
        return SignedDuration::ZERO;
    }
    SignedDuration::from_secs((address_hash(&declared.address) % widest as u64) as i64)
}

fn address_hash(address: &Address) -> u64 {
    let hash = RotationId::of(&[b"spread", address.to_string().as_bytes()]);
    hash.0[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// When writes may happen next: `None` if they may now.
///
/// Looks half a year ahead; a declaration whose windows never open in that time is answered with that far moment.
pub fn next_open(windows: &[Window], freezes: &[Freeze], now: Timestamp) -> Option<Timestamp> {
    let mut moment = now;
    let horizon = now.checked_add(SignedDuration::from_hours(24 * 183)).unwrap_or(Timestamp::MAX);
    while moment < horizon {
        let thawed = after_freezes(freezes, moment);
        let open = next_window(windows, thawed);
        if open == moment {
            return (moment > now).then_some(moment);
        }
        moment = open;
    }
    Some(horizon)
}

/// The first moment not before `moment` that no freeze covers.
fn after_freezes(freezes: &[Freeze], moment: Timestamp) -> Timestamp {
    let mut moment = moment;
    // Each round leaves at least one freeze behind for good, so as many rounds as freezes settle it.
    for _ in freezes {
        for freeze in freezes {
            let day = moment.to_zoned(TimeZone::UTC).date();
            if freeze.from <= day && day <= freeze.to {
                let next = freeze.to.checked_add(1.day()).ok();
                let start = next.and_then(|day| day.to_zoned(TimeZone::UTC).ok());
                moment = start.map_or(Timestamp::MAX, |start| start.timestamp());
            }
        }
    }
    moment
}

/// The freeze in force at that moment.
pub fn freeze_at(freezes: &[Freeze], moment: Timestamp) -> Option<&Freeze> {
    let day = moment.to_zoned(TimeZone::UTC).date();
    freezes.iter().find(|freeze| freeze.from <= day && day <= freeze.to)
}

/// The first moment not before `moment` inside a window; `moment` itself if there are none.
fn next_window(windows: &[Window], moment: Timestamp) -> Timestamp {
    if windows.is_empty() {
        return moment;
    }
    let openings = windows.iter().filter_map(|window| window_opening(window, moment));
    openings.min().unwrap_or(Timestamp::MAX)
}

/// When this window is open next, from `moment` on.
fn window_opening(window: &Window, moment: Timestamp) -> Option<Timestamp> {
    let zone = TimeZone::get(&window.zone).ok()?;
    let today = moment.to_zoned(zone.clone()).date();
    // From yesterday, whose window may reach into today, over a week.
    for offset in -1..=8i64 {
        let day = today.checked_add(offset.days()).ok()?;
        if !window.days.contains(&day.weekday()) {
            continue;
        }
        let last_day = if window.to <= window.from { day.checked_add(1.day()).ok()? } else { day };
        let at = |local: DateTime| local.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp());
        let (opens, closes) = (at(day.to_datetime(window.from))?, at(last_day.to_datetime(window.to))?);
        if moment < closes {
            return Some(moment.max(opens));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{Weekday, date, time};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn london_nights() -> Vec<Window> {
        vec![Window {
            days: vec![Weekday::Tuesday, Weekday::Wednesday],
            from: time(22, 0, 0, 0),
            to: time(2, 0, 0, 0),
            zone: "Europe/London".into(),
        }]
    }

    #[test]
    fn a_window_past_midnight_belongs_to_the_day_it_begins() {
        // 2026-11-24 is a Tuesday; London is on UTC in winter.
        assert_eq!(next_open(&london_nights(), &[], at("2026-11-24T22:00:00Z")), None);
        assert_eq!(next_open(&london_nights(), &[], at("2026-11-26T01:59:59Z")), None);
        let thursday = next_open(&london_nights(), &[], at("2026-11-26T02:00:00Z"));
        assert_eq!(thursday, Some(at("2026-12-01T22:00:00Z")));
    }

    #[test]
    fn a_window_is_in_local_time() {
        // British Summer Time: 22:00 local is 21:00 UTC. 2026-07-07 is a Tuesday.
        let monday = next_open(&london_nights(), &[], at("2026-07-06T12:00:00Z"));
        assert_eq!(monday, Some(at("2026-07-07T21:00:00Z")));
    }

    #[test]
    fn a_freeze_postpones_to_the_first_window_after_it() {
        let freeze = Freeze { from: date(2026, 12, 1), to: date(2026, 12, 27), reason: "holidays".into() };
        let open = next_open(&london_nights(), &[freeze], at("2026-11-26T02:00:00Z"));
        assert_eq!(open, Some(at("2026-12-29T22:00:00Z")));
    }

    #[test]
    fn freezes_that_touch_are_one() {
        let one = Freeze { from: date(2026, 12, 10), to: date(2026, 12, 12), reason: "a".into() };
        let two = Freeze { from: date(2026, 12, 1), to: date(2026, 12, 9), reason: "b".into() };
        assert_eq!(next_open(&[], &[one, two], at("2026-12-05T00:00:00Z")), Some(at("2026-12-13T00:00:00Z")));
    }
}
