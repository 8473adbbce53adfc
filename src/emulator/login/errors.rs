//! What the login service says when it gives no token, in the words that have been recorded.

use serde_json::{Value, json};

use crate::emulator::clock::seven_digits;
use crate::emulator::wire::{Call, Exchange, Reply};

/// A refused sign-in.
#[derive(Clone, Debug)]
pub(crate) struct SignInError {
    status: u16,
    error: &'static str,
    number: u32,
    text: String,
    suberror: Option<&'static str>,
    claims: Option<String>,
}

impl SignInError {
    pub(crate) fn new(status: u16, error: &'static str, number: u32, text: impl Into<String>) -> SignInError {
        SignInError { status, error, number, text: text.into(), suberror: None, claims: None }
    }

    /// 401 `invalid_client`.
    pub(crate) fn client(number: u32, text: impl Into<String>) -> SignInError {
        SignInError::new(401, "invalid_client", number, text)
    }

    /// 53003, with the claims a client could ask for again.
    pub(crate) fn conditional_access() -> SignInError {
        let text = "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.";
        let mut error = SignInError::new(400, "invalid_grant", 53003, text);
        error.suberror = Some("message_only");
        error.claims = Some(r#"{"access_token":{"capolids":{"essential":true,"values":["e5a1c0de-0000-4000-8000-000000000001"]}}}"#.to_owned());
        error
    }

    pub(crate) fn reply(self, exchange: &Exchange<'_>, call: &Call) -> Reply {
        let timestamp = exchange.now.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        let trace = exchange.request_id.to_string();
        let correlation = &exchange.client_request_id;
        let join = if exchange.world.meta.settings.crlf_error_tail { "\r\n" } else { " " };
        let description = format!(
            "AADSTS{}: {}{join}Trace ID: {trace}{join}Correlation ID: {correlation}{join}Timestamp: {timestamp}",
            self.number, self.text
        );
        let mut body = json!({
            "error": self.error,
            "error_description": description,
            "error_codes": [self.number],
            "timestamp": timestamp,
            "trace_id": trace,
            "correlation_id": correlation,
        });
        // Recorded for these numbers and recorded as missing for others.
        if matches!(self.number, 7_000_215 | 500_011 | 700_027) {
            body["error_uri"] = Value::from(format!("{}/error?code={}", call.base, self.number));
        }
        if let Some(suberror) = self.suberror {
            body["suberror"] = Value::from(suberror);
        }
        if let Some(claims) = self.claims {
            body["claims"] = Value::from(claims);
        }
        Reply::json(self.status, body)
    }
}

/// 700027 with its reason. `thumbprint` is missing when the header had none.
pub(crate) fn key_error(
    app_id: &str,
    reason: &str,
    thumbprint: Option<&str>,
    found: Option<&str>,
) -> SignInError {
    let first = match reason {
        "The key used is expired." => "is expired on application",
        _ => "used to sign the client assertion is not registered on application",
    };
    let thumbprint =
        thumbprint.map_or_else(String::new, |hex| format!(", Thumbprint of key used by client: '{hex}'"));
    let found = found.map_or_else(String::new, |found| format!(", Found key '{found}'"));
    SignInError::client(
        700_027,
        format!(
            "The certificate with identifier {first}. [Reason - {reason}{thumbprint}{found}, Please visit the Azure \
             Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id '{app_id}'. Review the \
             documentation at https://docs.microsoft.com/en-us/graph/deployments to determine the corresponding service \
             endpoint and https://docs.microsoft.com/en-us/graph/api/application-get?view=graph-rest-1.0&tabs=http to \
             build a query request URL, such as 'https://graph.microsoft.com/beta/applications/{app_id}']."
        ),
    )
}

/// 700024.
pub(crate) fn out_of_time(now: jiff::Timestamp, from: jiff::Timestamp, to: jiff::Timestamp) -> SignInError {
    SignInError::client(
        700_024,
        format!(
            "Client assertion is not within its valid time range. Current time: {}, assertion valid from {}, expiry time \
             of assertion {}. Review the documentation at \
             https://learn.microsoft.com/entra/identity-platform/certificate-credentials",
            seven_digits(now),
            seven_digits(from),
            seven_digits(to)
        ),
    )
}
