//! Calendar durations as the file writes them: `90d`, `36h`, `2w`, `P1Y`, `P6M`, `PT12H`.
//!
//! Years and months are calendar units in UTC, so a period has no length in seconds until it starts somewhere.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a text is not a period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration: {problem}")]
pub struct InvalidPeriod {
    text: String,
    problem: &'static str,
}

/// A calendar duration of zero or more. Keeps the text it was written as.
#[derive(Clone)]
pub struct Period {
    text: String,
    span: Span,
}

/// Upper bound of a period, in years: long enough for any certificate, short enough that no date overflows.
const YEARS_MAX: i64 = 100;

impl Period {
    /// A period of whole days. Bounded to 100 years.
    pub fn days(days: u16) -> Period {
        Period { text: format!("{days}d"), span: i64::from(days.min(36_500)).days() }
    }

    /// A period of calendar years. Bounded to 100.
    pub fn years(years: u8) -> Period {
        Period { text: format!("P{years}Y"), span: i64::from(years).min(YEARS_MAX).years() }
    }

    /// A period of whole hours.
    pub fn hours(hours: u16) -> Period {
        Period { text: format!("{hours}h"), span: i64::from(hours).hours() }
    }

    /// That moment plus this period, clamped to the last representable moment.
    pub fn after(&self, moment: Timestamp) -> Timestamp {
        let start = moment.to_zoned(TimeZone::UTC);
        start.checked_add(self.span).map_or(Timestamp::MAX, |end| end.timestamp())
    }

    /// That moment minus this period, clamped to the first representable moment.
    pub fn before(&self, moment: Timestamp) -> Timestamp {
        let end = moment.to_zoned(TimeZone::UTC);
        end.checked_sub(self.span).map_or(Timestamp::MIN, |start| start.timestamp())
    }

    /// Its text with a space before the unit, as dates and sizes are read: `30 d`. ISO 8601 stays as it is.
    pub fn spaced(&self) -> String {
        let digits = self.text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = &self.text[digits.len()..];
        if unit.len() == 1 && !self.text.starts_with('P') {
            return format!("{digits} {unit}");
        }
        self.text.clone()
    }

    /// Its length in months, if it is a whole number of them whenever it starts, and not none.
    pub fn whole_months(&self) -> Option<u32> {
        let months = i64::from(self.span.get_years()) * 12 + i64::from(self.span.get_months());
        let only = Span::new().years(self.span.get_years()).months(self.span.get_months());
        if self.span.fieldwise() != only.fieldwise() {
            return None;
        }
        u32::try_from(months).ok().filter(|months| *months > 0)
    }

    /// Whether the period has no length.
    pub fn is_zero(&self) -> bool {
        self.span.is_zero()
    }

    /// Whether this is shorter than `other` whenever both start at the same moment. Tried on the first of
    /// every month of four years, because a month is not a fixed number of days.
    pub fn always_shorter_than(&self, other: &Period) -> bool {
        reference_moments().all(|start| self.after(start) < other.after(start))
    }

    /// Whether this period followed by `next` is shorter than `whole`, whenever it starts.
    pub fn then_always_shorter_than(&self, next: &Period, whole: &Period) -> bool {
        reference_moments().all(|start| next.after(self.after(start)) < whole.after(start))
    }

    /// Whether this is never longer than `other`, whenever both start.
    pub fn never_longer_than(&self, other: &Period) -> bool {
        reference_moments().all(|start| self.after(start) <= other.after(start))
    }

    /// Whether this period followed by `next` is never longer than `whole`, whenever it starts.
    pub fn then_never_longer_than(&self, next: &Period, whole: &Period) -> bool {
        reference_moments().all(|start| next.after(self.after(start)) <= whole.after(start))
    }

    /// Length in seconds when counted from a fixed ordinary moment. For hashing and proportions only.
    pub fn nominal_seconds(&self) -> i64 {
        let start = Timestamp::UNIX_EPOCH;
        self.after(start).as_second() - start.as_second()
    }
}

/// The first of each month over four years, a leap year among them.
fn reference_moments() -> impl Iterator<Item = Timestamp> {
    let first = jiff::civil::date(2027, 1, 1);
    (0..48i64).filter_map(move |month| {
        let day = first.checked_add(month.months()).ok()?;
        Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })
}

impl PartialEq for Period {
    fn eq(&self, other: &Self) -> bool {
        self.span.fieldwise() == other.span.fieldwise()
    }
}

impl Eq for Period {}

impl FromStr for Period {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        let wrong = |problem| InvalidPeriod { text: text.chars().take(40).collect(), problem };
        let span = if text.starts_with('P') {
            iso_span(text).ok_or_else(|| wrong("write ISO 8601 such as P1Y, P6M or PT12H"))?
        } else {
            short_span(text).map_err(wrong)?
        };
        let limit = YEARS_MAX.years();
        let start = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
        let end = start.checked_add(span).map_err(|_| wrong("it is too long"))?;
        if start.checked_add(limit).is_ok_and(|longest| end > longest) {
            return Err(wrong("it is longer than 100 years"));
        }
        Ok(Period { text: text.to_owned(), span })
    }
}

/// ISO 8601 in whole units. jiff also takes fractions and signs, which mean nothing here.
fn iso_span(text: &str) -> Option<Span> {
    let strict = text.bytes().all(|b| b.is_ascii_digit() || b"PYMWDTHS".contains(&b));
    if !strict {
        return None;
    }
    text.parse::<Span>().ok()
}

fn short_span(text: &str) -> Result<Span, &'static str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    if count.is_empty() {
        return Err("write a number and a unit, such as 90d, 36h, 2w or P1Y");
    }
    let count: i64 = match count.parse() {
        Ok(count) if count <= 1_000_000 => count,
        _ => return Err("it is too long"),
    };
    match unit {
        "h" => Ok(count.hours()),
        "d" => Ok(count.days()),
        "w" => Ok(count.weeks()),
        "" => Err("a bare number has no unit; write 90d, 36h or 2w"),
        "m" => Err("\"m\" could be minutes or months; write P6M for months or PT30M for minutes"),
        "M" => Err("\"M\" could be minutes or months; write P6M for months"),
        "y" => Err("write years as P1Y"),
        _ => Err("unknown unit; write 90d, 36h, 2w or ISO 8601 such as P1Y"),
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Period({})", self.text)
    }
}

impl Serialize for Period {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^([0-9]+[hdw]|P[0-9YMWDTHS]+)$",
            "description": "A duration: 90d, 36h, 2w, or ISO 8601 (P1Y, P6M, PT12H). Years and months are calendar units in UTC.",
            "examples": ["90d", "P1Y"]
        })
    }
}

/// How long before the end to rotate: a period, or a percentage of the credential's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Lead {
    /// A fixed period.
    Period(Period),
    /// Percent of the life of the credential, 1 to 99.
    Percent(u8),
}

impl FromStr for Lead {
    type Err = InvalidPeriod;
    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        match text.strip_suffix('%') {
            None => text.parse().map(Lead::Period),
            Some(number) => match number.parse() {
                Ok(percent @ 1..=99) => Ok(Lead::Percent(percent)),
                _ => Err(InvalidPeriod {
                    text: text.to_owned(),
                    problem: "a percentage is a whole number from 1% to 99%",
                }),
            },
        }
    }
}

impl fmt::Display for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lead::Period(period) => period.fmt(f),
            Lead::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl From<Lead> for String {
    fn from(lead: Lead) -> String {
        lead.to_string()
    }
}

impl TryFrom<String> for Lead {
    type Error = InvalidPeriod;
    fn try_from(text: String) -> Result<Self, InvalidPeriod> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Timestamp {
        format!("{text}T00:00:00Z").parse().unwrap()
    }

    #[test]
    fn a_year_is_a_calendar_year() {
        let year: Period = "P1Y".parse().unwrap();
        assert_eq!(year.after(day("2028-02-29")), day("2029-02-28"));
        assert_eq!(year.after(day("2027-03-01")), day("2028-03-01"));
    }

    #[test]
    fn ambiguous_units_are_refused_by_name() {
        for (text, hint) in
            [("6m", "P6M"), ("6M", "P6M"), ("1y", "P1Y"), ("90", "bare number"), ("", "number and a unit")]
        {
            let error = text.parse::<Period>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
        for text in ["-5d", "1.5h", "P-1D", "P1.5D", "9999999999d", "P101Y", "1 hour ago"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    #[test]
    fn months_compare_by_their_longest_and_shortest() {
        let half_year: Period = "P6M".parse().unwrap();
        assert!(half_year.always_shorter_than(&"185d".parse().unwrap()));
        assert!(!half_year.always_shorter_than(&"184d".parse().unwrap()));
    }
}
