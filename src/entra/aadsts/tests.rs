//! Texts are those recorded of the service or reported publicly (error codes of the Microsoft identity platform).

use jiff::Timestamp;
use serde_json::json;

use super::{Meaning, TokenError, Verdict, meaning};

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn answer(status: u16, error: &str, code: u32, text: &str) -> TokenError {
    let body = json!({
        "error": error,
        "error_description": format!("AADSTS{code}: {text} Trace ID: 00000000-0000-0000-0000-0000000000aa Correlation ID: \
            00000000-0000-0000-0000-0000000000bb Timestamp: 2026-11-20 12:00:00Z"),
        "error_codes": [code],
        "timestamp": "2026-11-20 12:00:00Z",
        "trace_id": "00000000-0000-0000-0000-0000000000aa",
        "correlation_id": "00000000-0000-0000-0000-0000000000bb",
    });
    TokenError::parse(status, &http::HeaderMap::new(), body.to_string().as_bytes(), now(), &[])
}

const NOT_FOUND: &str = "The certificate with identifier used to sign the client assertion is not registered on application. [Reason - The key was not found., Thumbprint of key used by client: 'AB', Please visit the Azure Portal]";
const OLD_NOT_FOUND: &str =
    "Client assertion contains an invalid signature. [Reason - The key was not found.]";
const WRONG_SIGNATURE: &str = "Client assertion contains an invalid signature. [Reason - The provided signature value did not match the expected signature value., Thumbprint of key used by client: 'AB', Found key 'Start=11/20/2026 11:00:00, End=11/20/2027 11:00:00']";
const FOUND_BUT: &str = "Key was found, but use of the key to verify the signature failed.";
const EXPIRED: &str = "The certificate used to sign the client assertion is expired on application. [Reason - The key used is expired., Thumbprint of key used by client: 'AB', Found key 'Start=11/20/2024 11:00:00, End=11/20/2025 11:00:00', Please visit]";
const AHEAD: &str = "The certificate used to sign the client assertion is expired on application. [Reason - The key used is expired., Found key 'Start=11/21/2026 11:00:00, End=11/20/2027 11:00:00', Please visit]";
const CLOCK: &str = "Client assertion is not within its valid time range. Current time: 2024-10-02T22:05:03.6755165Z, assertion valid from 1970-01-01T00:00:00.0000000Z";

#[test]
fn each_answer_says_what_it_should_about_a_new_key() {
    let table = [
        (401, 700027, NOT_FOUND, Verdict::NotYet),
        (401, 700027, OLD_NOT_FOUND, Verdict::NotYet),
        (401, 700027, "words nobody has seen before", Verdict::NotYet),
        (401, 700027, WRONG_SIGNATURE, Verdict::Refused),
        (401, 700027, FOUND_BUT, Verdict::Refused),
        (401, 700027, EXPIRED, Verdict::Expired),
        (401, 700027, AHEAD, Verdict::NotYetValid),
        (401, 50012, OLD_NOT_FOUND, Verdict::NotYet),
        (401, 50012, EXPIRED, Verdict::Expired),
        (401, 50012, "AADSTS50012: Client assertion is not within its valid time range.", Verdict::Refused),
        (401, 700024, CLOCK, Verdict::Refused),
        (400, 700016, "Application with identifier 'x' was not found in the directory 'y'.", Verdict::NotYet),
        (
            401,
            7000229,
            "The client application x is missing service principal in the tenant y.",
            Verdict::NotYet,
        ),
        (401, 70021, "No matching federated identity record found", Verdict::NotYet),
        (
            400,
            700038,
            "00000000-0000-0000-0000-000000000000 is not a valid application identifier.",
            Verdict::Refused,
        ),
        (401, 7000215, "Invalid client secret provided.", Verdict::Refused),
        (401, 7000222, "The provided client secret keys for app 'x' are expired.", Verdict::Refused),
        (401, 7000218, "The request body must contain client_assertion or client_secret", Verdict::Refused),
        (400, 7000112, "Application 'x' is disabled.", Verdict::Refused),
        (400, 500011, "The resource principal named x was not found", Verdict::Refused),
        (400, 70003, "The app requested an unsupported grant type 'x'.", Verdict::Refused),
        (400, 90002, "Tenant 'x' not found.", Verdict::Refused),
        (400, 900023, "neither a valid DNS name", Verdict::Refused),
        (400, 53003, "Access has been blocked by Conditional Access policies.", Verdict::PolicyBlocked),
        (400, 90024, "RequestBudgetExceededError", Verdict::Busy),
        (400, 90033, "A transient error has occurred. Please try again.", Verdict::Busy),
        (400, 90055, "TenantThrottlingError", Verdict::Busy),
        (503, 0, "", Verdict::Busy),
        (429, 0, "", Verdict::Busy),
        (400, 999999, "A number nobody has documented.", Verdict::Refused),
    ];
    for (status, code, text, expected) in table {
        let error = answer(status, "invalid_client", code, text);
        assert_eq!(error.verdict(now()), expected, "{code}: {text}");
    }
}

#[test]
fn a_body_that_is_no_json_is_judged_by_its_status() {
    for (status, verdict) in
        [(503, Verdict::Busy), (502, Verdict::Busy), (429, Verdict::Busy), (403, Verdict::Refused)]
    {
        let error = TokenError::parse(status, &http::HeaderMap::new(), b"<html>gateway</html>", now(), &[]);
        assert_eq!(error.verdict(now()), verdict);
        assert_eq!(error.code(), format!("HTTP {status}"));
    }
}

#[test]
fn the_ids_at_the_end_are_cut_off_however_they_are_joined_and_read_from_their_fields() {
    let joined = answer(401, "invalid_client", 7000215, "Invalid client secret provided.");
    assert_eq!(joined.description, "AADSTS7000215: Invalid client secret provided.");
    let body = "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000222: expired.\\r\\nTrace ID: a\\r\\nCorrelation ID: b\\r\\nTimestamp: c\",\"error_codes\":[7000222],\"trace_id\":\"a\",\"correlation_id\":\"b\"}";
    let lines = TokenError::parse(401, &http::HeaderMap::new(), body.as_bytes(), now(), &[]);
    assert_eq!(lines.description, "AADSTS7000222: expired.");
    assert_eq!((lines.trace_id.as_deref(), lines.correlation_id.as_deref()), (Some("a"), Some("b")));
}

#[test]
fn numbers_missing_from_their_field_are_read_from_the_text() {
    let body = json!({ "error": "invalid_client", "error_description": "AADSTS70002: x AADSTS50012: Client assertion contains an invalid signature. [Reason - The key was not found.]" });
    let error = TokenError::parse(401, &http::HeaderMap::new(), body.to_string().as_bytes(), now(), &[]);
    assert_eq!(error.codes, [70002, 50012]);
    assert_eq!(error.meaning(), Meaning::OutOfTime);
    assert_eq!(error.verdict(now()), Verdict::NotYet);
}

#[test]
fn fields_of_other_types_than_documented_are_left_out() {
    let body = json!({ "error": 7, "error_description": ["x"], "error_codes": "700027", "trace_id": {} });
    let error = TokenError::parse(400, &http::HeaderMap::new(), body.to_string().as_bytes(), now(), &[]);
    assert_eq!((error.error.as_str(), error.codes.as_slice(), error.trace_id.clone()), ("", &[][..], None));
    assert_eq!(error.verdict(now()), Verdict::Refused);
}

#[test]
fn no_number_stands_in_the_table_twice() {
    let mut numbers: Vec<u32> = super::TABLE.iter().map(|(number, _, _)| *number).collect();
    let sorted = numbers.clone();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, sorted, "sorted and without repetitions");
    assert_eq!(meaning(1), Meaning::Unknown);
}
