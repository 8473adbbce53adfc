//! Headers of answers.

use jiff::{SignedDuration, Timestamp};

use super::text::printable;

/// A header as text, if it is there and printable.
pub fn header(headers: &http::HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(printable).filter(|text| !text.is_empty())
}

/// Longest `Retry-After` believed. A longer one is a mistake or an attack; the caller has limits of its own below it.
const RETRY_AFTER_MAX: SignedDuration = SignedDuration::from_hours(24);

/// `Retry-After`, in seconds or as a date.
pub fn retry_after(headers: &http::HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    let text = header(headers, "retry-after")?;
    let wait = match text.parse::<u32>() {
        Ok(seconds) => SignedDuration::from_secs(i64::from(seconds)),
        Err(_) => http_date(&text)?.duration_since(now),
    };
    Some(wait.clamp(SignedDuration::ZERO, RETRY_AFTER_MAX))
}

/// The form of dates in headers: `Sat, 21 Nov 2026 09:06:14 GMT`.
pub fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp())
}
