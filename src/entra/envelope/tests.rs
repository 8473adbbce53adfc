use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Envelope, error_of, retry_after};
use crate::entra::error::{ErrorKind, Refusal};

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn kind(status: u16, body: &str) -> ErrorKind {
    error_of("testing", status, &HeaderMap::new(), body.as_bytes(), now(), &[]).kind
}

fn coded(code: &str) -> String {
    json!({ "error": { "code": code, "message": "words" } }).to_string()
}

#[test]
fn statuses_and_codes_are_sorted_into_kinds() {
    use ErrorKind::{
        Authentication, Authorisation, Conflict, InvalidAnswer, NotFound, Throttled, Unavailable,
    };
    let table = [
        (401, "InvalidAuthenticationToken", Authentication),
        (401, "Authentication_MissingOrMalformed", Authentication),
        (403, "Authorization_RequestDenied", Authorisation),
        (404, "Request_ResourceNotFound", NotFound),
        (409, "Directory_ConcurrencyViolation", Conflict),
        (429, "TooManyRequests", Throttled),
        (429, "Request_ThrottledTemporarily", Throttled),
        (503, "serviceNotAvailable", Unavailable),
        (500, "Service_InternalServerError", Unavailable),
        (400, "Request_BadRequest", ErrorKind::Refused(Refusal::Invalid)),
        (400, "Request_UnsupportedQuery", ErrorKind::Refused(Refusal::Invalid)),
        (400, "KeyCredentialsInvalidEndDate", ErrorKind::Refused(Refusal::EndDate)),
        (400, "CredentialInvalidLifetimeAsPerAppPolicy", ErrorKind::Refused(Refusal::Policy)),
        (400, "CredentialTypeNotAllowedAsPerAppPolicy", ErrorKind::Refused(Refusal::Policy)),
        (403, "SomethingNewAsPerAppPolicy", ErrorKind::Refused(Refusal::Policy)),
        (400, "CannotUpdateLockedServicePrincipalProperty", ErrorKind::Refused(Refusal::Locked)),
        (403, "CannotUpdateLockedServicePrincipalProperty", ErrorKind::Refused(Refusal::Locked)),
        (403, "Directory_ResourceSizeExceeded", ErrorKind::Refused(Refusal::TooLarge)),
        (302, "", InvalidAnswer),
    ];
    for (status, code, expected) in table {
        assert_eq!(kind(status, &coded(code)), expected, "{status} {code}");
    }
}

#[test]
fn a_retained_entry_taken_for_a_change_is_known_by_detail_code_or_by_its_text() {
    let expected = ErrorKind::Refused(Refusal::RetainedEntryChanged);
    for code in ["KeyValueMustBeNull", "KeyNotUpdatable"] {
        let body = json!({ "error": { "code": "Request_BadRequest", "message": "", "details": [{ "code": code }] } });
        assert_eq!(kind(400, &body.to_string()), expected);
    }
    let text = "Update to existing credential with KeyId '5' is not allowed.";
    let body = json!({ "odata.error": { "code": "Request_BadRequest", "message": { "lang": "en", "value": text } } });
    assert_eq!(kind(400, &body.to_string()), expected);
}

#[test]
fn every_spelling_of_the_envelope_is_read() {
    let spellings = [
        json!({ "error": { "code": "C", "message": "M", "innerError": { "request-id": "R" }, "details": [{ "code": "D" }] } }),
        json!({ "error": { "code": "C", "message": { "value": "M" }, "innererror": { "request-id": "R" }, "details": { "code": "D" } } }),
    ];
    for body in spellings {
        let envelope = Envelope::parse(body.to_string().as_bytes());
        assert_eq!(envelope.code.as_deref(), Some("C"));
        assert_eq!(envelope.message.as_deref(), Some("M"));
        assert_eq!(envelope.request_id.as_deref(), Some("R"));
        assert_eq!(envelope.detail_codes, ["D"]);
    }
    for body in [
        "",
        "null",
        "[]",
        "{\"error\":7}",
        "{\"error\":\"text\"}",
        "<html>",
        "{\"error\":{\"code\":7,\"message\":[]}}",
    ] {
        assert_eq!(Envelope::parse(body.as_bytes()), Envelope::default(), "{body}");
    }
}

#[test]
fn an_html_page_is_quoted_as_one_short_line() {
    let page = format!("<html>\r\n\u{1b}[31m{}</html>", "x".repeat(100_000));
    let error = error_of("reading", 502, &HeaderMap::new(), page.as_bytes(), now(), &[]);
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.len() < 600 && !error.message.contains(char::is_control), "{}", error.message);
}

#[test]
fn retry_after_is_seconds_or_a_date_and_never_negative_or_absurd() {
    let wait = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", text.parse().unwrap());
        retry_after(&headers, now()).map(|wait| wait.as_secs())
    };
    assert_eq!(wait("10"), Some(10));
    assert_eq!(wait("0"), Some(0));
    assert_eq!(wait("Fri, 20 Nov 2026 12:01:30 GMT"), Some(90));
    assert_eq!(wait("Fri, 20 Nov 2026 11:00:00 GMT"), Some(0));
    assert_eq!(wait("4000000000"), Some(86_400));
    assert_eq!(wait("-5"), None);
    assert_eq!(wait("soon"), None);
    assert_eq!(retry_after(&HeaderMap::new(), now()), None);
}

#[test]
fn the_documented_throttling_answer_is_understood() {
    let body = r#"{"error":{"code":"TooManyRequests","innerError":{"code":"429","date":"2020-08-18T12:51:51",
        "message":"Please retry after","request-id":"94fb3b52-452a-4535-a601-69e0a90e3aa2","status":"429"},"message":"Please retry again later."}}"#;
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", "10".parse().unwrap());
    let error = error_of("reading", 429, &headers, body.as_bytes(), now(), &[]);
    assert_eq!((error.kind, error.retry_after), (ErrorKind::Throttled, Some(SignedDuration::from_secs(10))));
    assert_eq!(error.request_id.as_deref(), Some("94fb3b52-452a-4535-a601-69e0a90e3aa2"));
    assert_eq!(
        error.to_string(),
        "reading: the service answered 429 TooManyRequests (request 94fb3b52-452a-4535-a601-69e0a90e3aa2): throttled after 1 try, asked to wait 10 s: Please retry again later."
    );
}
