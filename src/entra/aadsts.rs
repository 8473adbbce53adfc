//! Errors of the token endpoint: one table of what each number means to somebody who waits for a key to spread.
//!
//! Microsoft asks programs not to branch on these numbers. A rotation has no other way to tell "not spread yet" from
//! "wrong", so it reads `error_codes`, and for one number the reason text; everything unknown is a refusal that names its code.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use serde::Deserialize;

use super::envelope::{NO_EXPLANATION, hint_of};
use super::error::{EntraError, ErrorKind};
use crate::net::printable;
use crate::net::without_secrets;
use crate::net::{header, retry_after};

/// What a number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meaning {
    /// Something new that may not have spread: a key, an application, a service principal.
    NotYet,
    /// The key's credential is out of its time; the reason text says on which side.
    OutOfTime,
    /// The key or secret is wrong.
    WrongKey,
    /// The assertion's own times do not fit: a clock.
    Clock,
    /// The request or the settings are wrong: tenant, scope, application disabled.
    Settings,
    /// A Conditional Access policy stands in the way.
    Policy,
    /// The service is busy.
    Busy,
    /// Not in the table.
    Unknown,
}

/// Number, meaning, what to try. Microsoft Entra documentation "error codes" and public reports.
const TABLE: &[(u32, Meaning, &str)] = &[
    (50012, Meaning::OutOfTime, "the credential may be expired, or this machine's clock wrong"),
    (50027, Meaning::WrongKey, "the assertion names no certificate"),
    (50034, Meaning::Settings, "a user flow's error; check which credential is used"),
    (50049, Meaning::Settings, "the login host does not know this cloud; check the authority host"),
    (53003, Meaning::Policy, "a Conditional Access policy blocks sign-ins from this machine"),
    (70003, Meaning::Settings, "the login host does not offer client credentials"),
    (
        70021,
        Meaning::NotYet,
        "no federated credential matches the token's issuer, subject and audience; a new one takes minutes",
    ),
    (90002, Meaning::Settings, "check the tenant id and the cloud"),
    (90024, Meaning::Busy, "the login service is busy; try again"),
    (90033, Meaning::Busy, "the login service is busy; try again"),
    (90055, Meaning::Busy, "too many requests to the login service; try again later"),
    (500011, Meaning::Settings, "check the Graph scope and the cloud"),
    (
        700016,
        Meaning::NotYet,
        "the application is not in this tenant: check the client id and the tenant; a new one takes minutes",
    ),
    (700024, Meaning::Clock, "check this machine's clock"),
    (
        700027,
        Meaning::NotYet,
        "the certificate is not registered on the application; a new one takes minutes",
    ),
    (700038, Meaning::Settings, "check the client id"),
    (700229, Meaning::Settings, "this token may not be used as a federated credential"),
    (900023, Meaning::Settings, "the tenant is neither a GUID nor a verified domain"),
    (5002738, Meaning::WrongKey, "the federated token is not signed with RS256"),
    (7000112, Meaning::Settings, "the application is disabled"),
    (
        7000215,
        Meaning::WrongKey,
        "check the client secret's value (not its id); a new one takes some seconds",
    ),
    (7000218, Meaning::WrongKey, "the request carried neither secret nor assertion"),
    (7000222, Meaning::WrongKey, "the client secret is expired"),
    (
        7000229,
        Meaning::NotYet,
        "the application has no service principal in this tenant; a new one takes minutes",
    ),
];

fn row(code: u32) -> Option<&'static (u32, Meaning, &'static str)> {
    TABLE.iter().find(|(number, _, _)| *number == code)
}

/// What a number means.
pub fn meaning(code: u32) -> Meaning {
    row(code).map_or(Meaning::Unknown, |(_, meaning, _)| *meaning)
}

/// What to try about a number.
pub fn hint(code: u32) -> Option<&'static str> {
    row(code).map(|(_, _, hint)| *hint)
}

/// Why a sign-in with a certificate did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Not known yet, as far as anybody can tell.
    NotYet,
    /// The credential's end has passed.
    Expired,
    /// The credential's start lies ahead, or a clock is wrong.
    NotYetValid,
    /// Refused for good.
    Refused,
    /// A policy on this machine: says nothing about the key.
    PolicyBlocked,
    /// Try again later.
    Busy,
}

/// An error answer of the token endpoint. Foreign texts are one printable line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenError {
    /// `error`, such as `invalid_client`.
    pub error: String,
    /// `error_description` up to its trailing ids.
    pub description: String,
    /// `error_codes`.
    pub codes: Vec<u32>,
    /// `trace_id`.
    pub trace_id: Option<String>,
    /// `correlation_id`.
    pub correlation_id: Option<String>,
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`.
    pub retry_after: Option<SignedDuration>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    error: serde_json::Value,
    error_description: serde_json::Value,
    error_codes: serde_json::Value,
    trace_id: serde_json::Value,
    correlation_id: serde_json::Value,
}

impl TokenError {
    /// Reads an answer that is not a success; a body of another form leaves the fields empty.
    pub fn parse(
        status: u16,
        headers: &http::HeaderMap,
        body: &[u8],
        now: Timestamp,
        secrets: &[&str],
    ) -> TokenError {
        let wire: Wire = serde_json::from_slice(body).unwrap_or_default();
        let text = |value: &serde_json::Value| without_secrets(value.as_str().unwrap_or_default(), secrets);
        let description = text(&wire.error_description);
        let id = |value: &serde_json::Value| Some(printable(&text(value))).filter(|id| !id.is_empty());
        let sent_id = |name| header(headers, name).map(|id| without_secrets(&id, secrets));
        TokenError {
            error: printable(&text(&wire.error)),
            // Numbers are no secrets: they are read also where the text cannot be shown.
            codes: codes(&wire.error_codes, wire.error_description.as_str().unwrap_or_default()),
            // The ids at the end are joined by spaces or line breaks, depending on the year; the fields carry them anyway.
            description: description.split("Trace ID:").next().map(whole).unwrap_or_default(),
            trace_id: id(&wire.trace_id).or_else(|| sent_id("x-ms-request-id")),
            correlation_id: id(&wire.correlation_id).or_else(|| sent_id("client-request-id")),
            status,
            retry_after: retry_after(headers, now),
        }
    }

    /// The same as an error of that kind, for a call that waits for no key to spread.
    pub(super) fn into_error(self, kind: ErrorKind, doing: &str, url: &Url) -> EntraError {
        let text = if self.description.is_empty() { NO_EXPLANATION } else { &self.description };
        let mut error = EntraError::new(kind, doing, text).with_code(self.code()).answered_by(url);
        error.status = Some(self.status);
        error.hint = self.hint().or_else(|| hint_of(kind)).map(str::to_owned);
        error.request_id = self.trace_id;
        error.retry_after = self.retry_after;
        error
    }

    /// The first number, or 0.
    pub fn number(&self) -> u32 {
        self.codes.first().copied().unwrap_or_default()
    }

    /// The number as Microsoft writes it, or the OAuth error, or the status.
    pub fn code(&self) -> String {
        match (self.codes.first(), self.error.as_str()) {
            (Some(number), _) => format!("AADSTS{number}"),
            (None, "") => format!("HTTP {}", self.status),
            (None, error) => error.to_owned(),
        }
    }

    /// What the numbers mean: the first one the table knows decides.
    pub fn meaning(&self) -> Meaning {
        let known = self.codes.iter().map(|code| meaning(*code)).find(|meaning| *meaning != Meaning::Unknown);
        match (known, self.status) {
            (Some(meaning), _) => meaning,
            (None, 408 | 429 | 500..=599) => Meaning::Busy,
            (None, _) => Meaning::Unknown,
        }
    }

    /// What to try.
    pub fn hint(&self) -> Option<&'static str> {
        self.codes.iter().find_map(|code| hint(*code))
    }

    /// What the answer says about the key that was tried.
    pub fn verdict(&self, now: Timestamp) -> Verdict {
        match self.meaning() {
            Meaning::NotYet if self.codes.contains(&700027) => self.verdict_of_reason(now),
            Meaning::OutOfTime => self.verdict_of_reason(now),
            Meaning::NotYet => Verdict::NotYet,
            Meaning::WrongKey | Meaning::Clock | Meaning::Settings | Meaning::Unknown => Verdict::Refused,
            Meaning::Policy => Verdict::PolicyBlocked,
            Meaning::Busy => Verdict::Busy,
        }
    }

    /// 700027 stands for three different things. A reason nobody has seen before counts as *not yet*: the caller's deadline ends
    /// the wait, and nothing is called proven meanwhile.
    fn verdict_of_reason(&self, now: Timestamp) -> Verdict {
        let reason = self.description.to_ascii_lowercase();
        let wrong_key = ["signature value did not match", "use of the key to verify the signature failed"];
        if reason.contains("key was not found") {
            Verdict::NotYet
        } else if wrong_key.iter().any(|text| reason.contains(text)) {
            Verdict::Refused
        } else if reason.contains("expired") || reason.contains("valid time range") {
            match start_of_found_key(&self.description) {
                Some(start) if start > now => Verdict::NotYetValid,
                _ if reason.contains("assertion is not within") => Verdict::Refused,
                _ => Verdict::Expired,
            }
        } else {
            Verdict::NotYet
        }
    }
}

/// A description as one line. Longer than other foreign texts: the reason stands late in it.
fn whole(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().take(300).map(printable).collect();
    words.join(" ")
}

/// `error_codes`, or the number in the text where a proxy or an old service left them out.
fn codes(field: &serde_json::Value, description: &str) -> Vec<u32> {
    let number = |value: &serde_json::Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
    let listed: Vec<u32> = field.as_array().into_iter().flatten().filter_map(number).collect();
    if !listed.is_empty() {
        return listed;
    }
    let digits = description.split("AADSTS").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        &rest[..end]
    });
    digits.filter_map(|digits| digits.parse().ok()).collect()
}

/// The start in `Found key 'Start=MM/dd/yyyy HH:mm:ss, End=…'`.
fn start_of_found_key(description: &str) -> Option<Timestamp> {
    let rest = description.split("Start=").nth(1)?;
    let text = rest.split([',', '\'']).next()?.trim();
    let moment = DateTime::strptime("%m/%d/%Y %H:%M:%S", text).ok()?;
    moment.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests;
