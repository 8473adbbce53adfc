//! Error answers of Graph: how they are spelled, and what they mean. Nothing branches on a message, only on codes; unknown
//! codes are ordinary.

use jiff::Timestamp;
use serde_json::Value;

use super::error::{EntraError, ErrorKind, Refusal};
use crate::net::{header, printable, retry_after, without_secrets};

/// What an error answer says, whoever spelled it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Envelope {
    /// `error.code`.
    pub code: Option<String>,
    /// `error.message`.
    pub message: Option<String>,
    /// The codes under `error.details`.
    pub detail_codes: Vec<String>,
    /// `request-id` of the inner error.
    pub request_id: Option<String>,
}

impl Envelope {
    /// Reads a body leniently: what is not there, or of another type than documented, is left out. A body that is no JSON
    /// (a proxy's HTML page) gives an empty envelope.
    pub(super) fn parse(body: &[u8]) -> Envelope {
        let Ok(body) = serde_json::from_slice::<Value>(body) else { return Envelope::default() };
        // Azure AD Graph's old name for the same member; its recordings still circulate.
        let error = body.get("error").or_else(|| body.get("odata.error")).unwrap_or(&Value::Null);
        let inner = error.get("innerError").or_else(|| error.get("innererror")).unwrap_or(&Value::Null);
        let details = match error.get("details").or_else(|| error.get("values")) {
            Some(Value::Array(details)) => details.iter().collect(),
            Some(detail @ Value::Object(_)) => vec![detail],
            _ => Vec::new(),
        };
        Envelope {
            code: text(error.get("code")),
            message: text(error.get("message")),
            detail_codes: details.iter().filter_map(|detail| text(detail.get("code"))).collect(),
            request_id: text(inner.get("request-id")),
        }
    }
}

/// A text, or an object that holds it as `value`.
fn text(value: Option<&Value>) -> Option<String> {
    let value = value?;
    let text = value.as_str().or_else(|| value.get("value").and_then(Value::as_str))?;
    Some(printable(text)).filter(|text| !text.is_empty())
}

/// Codes that are the kind, whatever the status.
const REFUSALS: &[(&str, Refusal)] = &[
    ("CannotUpdateLockedServicePrincipalProperty", Refusal::Locked),
    ("CannotUpdateLockedServicePrincipalPropertyWithEnforcementScope", Refusal::Locked),
    ("KeyCredentialsInvalidEndDate", Refusal::EndDate),
    ("KeyValueMustBeNull", Refusal::RetainedEntryChanged),
    ("KeyNotUpdatable", Refusal::RetainedEntryChanged),
    ("Directory_ResourceSizeExceeded", Refusal::TooLarge),
    ("Directory_QuotaExceeded", Refusal::TooLarge),
];

/// Texts of the two refusals whose code in today's Graph nobody has recorded; the only place where words decide, and only between
/// two ways of being refused.
const RETAINED_TEXTS: &[&str] = &["must be sent back with null value", "Update to existing credential"];

fn kind_of(status: u16, envelope: &Envelope) -> ErrorKind {
    let codes = || envelope.code.iter().chain(&envelope.detail_codes).map(String::as_str);
    if codes().any(|code| code.ends_with("AsPerAppPolicy")) {
        return ErrorKind::Refused(Refusal::Policy);
    }
    let known = |code: &str| REFUSALS.iter().find(|(name, _)| *name == code).map(|(_, refusal)| *refusal);
    if let Some(refusal) = codes().find_map(known) {
        return ErrorKind::Refused(refusal);
    }
    match (status, envelope.code.as_deref().unwrap_or_default()) {
        (429, _) | (_, "TooManyRequests" | "Request_ThrottledTemporarily") => ErrorKind::Throttled,
        (409, _) | (_, "Directory_ConcurrencyViolation") => ErrorKind::Conflict,
        (401, _) => ErrorKind::Authentication,
        (403, _) => ErrorKind::Authorisation,
        (404 | 410, _) => ErrorKind::NotFound,
        (408, _) | (500..=599, _) => ErrorKind::Unavailable,
        (400..=499, _) => {
            let words = envelope.message.as_deref().unwrap_or_default();
            match RETAINED_TEXTS.iter().any(|text| words.contains(text)) {
                true => ErrorKind::Refused(Refusal::RetainedEntryChanged),
                false => ErrorKind::Refused(Refusal::Invalid),
            }
        }
        _ => ErrorKind::InvalidAnswer,
    }
}

/// Makes the error of an answer that is not a success. `secrets` are what the request carried: they are taken out of every text.
pub(super) fn error_of(
    doing: &str,
    status: u16,
    headers: &http::HeaderMap,
    body: &[u8],
    now: Timestamp,
    secrets: &[&str],
) -> EntraError {
    let envelope = Envelope::parse(body);
    let kind = kind_of(status, &envelope);
    let said = match &envelope.message {
        Some(message) => message.clone(),
        None if matches!(body.trim_ascii(), b"" | b"{}") => NO_EXPLANATION.to_owned(),
        None => format!(
            "not the service's own form of error: {}",
            String::from_utf8_lossy(&body[..body.len().min(300)])
        ),
    };
    let mut error = EntraError::new(kind, doing, &without_secrets(&said, secrets));
    error.status = Some(status);
    let shown = |text: Option<String>| text.map(|text| without_secrets(&text, secrets));
    error.code = shown(envelope.code);
    error.request_id = shown(header(headers, "request-id").or(envelope.request_id));
    error.retry_after = retry_after(headers, now);
    error.hint = hint_of(kind).map(str::to_owned);
    error
}

/// What stands in the place of the service's text when there is none.
pub(super) const NO_EXPLANATION: &str = "no explanation came with it";

pub(super) fn hint_of(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Authentication => {
            Some("check the sign-in variables, and that the Graph scope belongs to this cloud")
        }
        ErrorKind::Throttled => Some("wait, or lower --parallelism"),
        ErrorKind::Conflict => Some("another writer is at work in this tenant; run again shortly"),
        ErrorKind::Refused(Refusal::Policy) => Some(
            "an app management policy forbids this credential: shorten validity, or have an exception made",
        ),
        ErrorKind::Refused(Refusal::Locked) => Some(
            "the application's instance property lock forbids this: declare the application instead of its service principal",
        ),
        ErrorKind::Refused(Refusal::EndDate) => Some(
            "if the new credential's dates lie inside its certificate's, an expired entry of somebody else is in the way: name its key id in drop_expired_foreign",
        ),
        ErrorKind::Refused(Refusal::RetainedEntryChanged) => {
            Some("an entry changed while it was being written around; run again")
        }
        ErrorKind::Refused(Refusal::TooLarge) => Some("remove credentials nobody uses from the object"),
        ErrorKind::Unavailable => Some("the service is in trouble; run again later"),
        ErrorKind::Network
        | ErrorKind::Authorisation
        | ErrorKind::NotYet
        | ErrorKind::NotFound
        | ErrorKind::Refused(Refusal::Invalid)
        | ErrorKind::InvalidAnswer
        | ErrorKind::Settings => None,
    }
}

#[cfg(test)]
mod tests;
