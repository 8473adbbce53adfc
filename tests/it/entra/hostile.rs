//! Answers that make no sense or mean harm end in errors, and nothing secret is in those.

use std::sync::Arc;

use certroll::desired::{SelectBy, TargetSelector};
use certroll::entra::{DirectoryWriter, EntraError, ErrorKind, TransportError, WriteError, observe};
use certroll::net::{Sent, TransportErrorKind};
use certroll::observed::{ObservedTenant, TargetState};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::scripted::{CLIENT_SECRET, Script, TOKEN, answer, client, reader};
use super::support::{address, app, application_id};

const APP: Uuid = Uuid::from_u128(0xA99);

async fn observe_with(
    graph: Vec<Result<http::Response<Vec<u8>>, TransportError>>,
) -> (Result<ObservedTenant, EntraError>, Arc<Script>) {
    let script = Arc::new(Script::new(graph));
    let requests: [(_, TargetSelector); 1] = [(address(0), app(SelectBy::AppId(APP)))];
    (observe(&reader(&script), &requests, &[]).await, script)
}

fn one_application(members: &str) -> String {
    format!(
        r#"{{"value":[{{"id":"{}","appId":"{APP}","displayName":"x","keyCredentials":[]{members}}}]}}"#,
        Uuid::from_u128(1)
    )
}

#[tokio::test]
async fn a_next_link_to_another_host_or_out_of_the_version_root_is_not_followed() {
    for link in [
        "https://evil.example/v1.0/applications?$skiptoken=1",
        "http://graph.microsoft.com/v1.0/applications",
        "https://graph.microsoft.com:8443/v1.0/applications",
        "https://graph.microsoft.com@evil.example/v1.0/applications",
        "https://user:pass@graph.microsoft.com/v1.0/applications",
        "https://graph.microsoft.com/beta/applications",
        "https://graph.microsoft.com/v1.0/../beta/applications",
        "https://graph.microsoft.com.evil.example/v1.0/applications",
        "//evil.example/v1.0/applications",
        "/v1.0/applications",
        "javascript:alert(1)",
        "",
    ] {
        let page = format!(r#"{{"value":[],"@odata.nextLink":{}}}"#, serde_json::json!(link));
        let (outcome, script) = observe_with(vec![Ok(answer(200, &page))]).await;
        let state = outcome.unwrap().targets[&address(0)].clone();
        let TargetState::Unreadable { trouble } = state else { panic!("{link}: {state:?}") };
        assert!(trouble.reason.contains("leads away"), "{link}: {trouble}");
        for (uri, _) in script.seen() {
            let trusted = uri.starts_with("https://graph.microsoft.com/v1.0/")
                || uri.starts_with("https://login.microsoftonline.com/");
            assert!(trusted, "{uri}");
        }
    }
}

#[tokio::test]
async fn a_list_that_leads_back_to_itself_ends() {
    let filter = format!("https://graph.microsoft.com/v1.0/applications?$filter=appId%20in%20(%27{APP}%27)");
    let page = format!(r#"{{"value":[],"@odata.nextLink":"{filter}"}}"#);
    let (outcome, _) = observe_with(vec![Ok(answer(200, &page))]).await;
    let state = outcome.unwrap().targets[&address(0)].clone();
    assert!(matches!(state, TargetState::Unreadable { .. }), "{state:?}");
}

#[tokio::test]
async fn a_redirect_is_an_error_and_not_followed() {
    let redirect =
        http::Response::builder().status(302).header("location", "https://evil.example/").body(Vec::new());
    let (outcome, script) = observe_with(vec![Ok(redirect.unwrap())]).await;
    let state = outcome.unwrap().targets[&address(0)].clone();
    assert!(matches!(state, TargetState::Unreadable { .. }), "{state:?}");
    assert!(script.seen().iter().all(|(uri, _)| !uri.contains("evil")));
}

#[tokio::test]
async fn nonsense_with_a_success_status_makes_the_object_unreadable_never_missing() {
    let bodies = [
        "".to_owned(),
        "{".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{"value":{}}"#.to_owned(),
        r#"{"value":[1]}"#.to_owned(),
        r#"{"value":[{"id":"not a guid"}]}"#.to_owned(),
        "<html><body>Please sign in to the wireless network</body></html>".to_owned(),
        one_application(r#","keyCredentials":null"#),
        one_application("").replace(r#","keyCredentials":[]"#, ""),
        one_application("").replace(r#""keyCredentials":[]"#, r#""keyCredentials":null"#),
        one_application("").replace(r#""keyCredentials":[]"#, r#""keyCredentials":"none""#),
        one_application(r#","tokenEncryptionKeyId":"not a guid""#),
        one_application(r#","servicePrincipalLockConfiguration":"yes""#),
        one_application("")[..60].to_owned(),
    ];
    for body in bodies {
        let (outcome, _) = observe_with(vec![Ok(answer(200, &body))]).await;
        let state = outcome.unwrap().targets[&address(0)].clone();
        assert!(matches!(state, TargetState::Unreadable { .. }), "{body}: {state:?}");
    }
}

#[tokio::test]
async fn a_credential_that_makes_no_sense_is_carried_and_reserved() {
    let entries = r#"[7, null, {"keyId": 4}, {"keyId":"x","type":"AsymmetricX509Cert","usage":"Verify","new":{"a":[1.50]}}]"#;
    let body = one_application("").replace("[]", entries);
    let (outcome, _) = observe_with(vec![Ok(answer(200, &body))]).await;
    let TargetState::Found(target) = outcome.unwrap().targets[&address(0)].clone() else { panic!() };
    assert_eq!(target.credentials.len(), 4);
    assert!(target.credentials[..3].iter().all(|credential| credential.reserved.is_some()));
    assert_eq!(target.credentials[3].key_id, None);
    assert!(target.credentials[3].raw.get().contains(r#""new":{"a":[1.50]}"#));
}

#[tokio::test]
async fn one_broken_object_does_not_hide_the_others() {
    let other = Uuid::from_u128(0xB0B);
    let body = format!(
        r#"{{"value":[{{"id":"{}","appId":"{APP}","displayName":7,"keyCredentials":[]}},{{"id":"{}","appId":"{other}","displayName":"fine","keyCredentials":[]}}]}}"#,
        Uuid::from_u128(1),
        Uuid::from_u128(2)
    );
    let script = Arc::new(Script::new(vec![Ok(answer(200, &body))]));
    let requests = [(address(0), app(SelectBy::AppId(APP))), (address(1), app(SelectBy::AppId(other)))];
    let observed = observe(&reader(&script), &requests, &[]).await.unwrap();
    assert!(matches!(observed.targets[&address(0)], TargetState::Unreadable { .. }));
    assert!(matches!(observed.targets[&address(1)], TargetState::Found(_)));
}

#[tokio::test]
async fn no_error_holds_a_secret_even_when_the_answer_repeats_the_request() {
    let echo =
        format!(r#"{{"error":{{"code":"X{TOKEN}","message":"Authorization: Bearer {TOKEN} refused"}}}}"#);
    let html = format!("<html>GET / Authorization: Bearer {TOKEN}</html>");
    for (status, body) in [(403, &echo), (403, &html), (400, &echo), (401, &html)] {
        let (outcome, _) = observe_with(vec![Ok(answer(status, body))]).await;
        let text = match outcome {
            Err(error) => format!("{error} {error:?} {:?}", error.hint),
            Ok(observed) => format!("{observed:?}"),
        };
        assert!(!text.contains(TOKEN), "{text}");
    }
    let mut script = Script::new(vec![Ok(answer(200, "{}"))]);
    let echo = format!(
        r#"{{"error":"invalid_client","error_description":"AADSTS7000215: wrong secret {CLIENT_SECRET}","error_codes":[7000215]}}"#
    );
    script.token = Some(answer(401, &echo));
    let script = Arc::new(script);
    let requests = [(address(0), app(SelectBy::AppId(APP)))];
    let error = observe(&reader(&script), &requests, &[]).await.unwrap_err();
    assert_eq!((error.kind, error.code()), (ErrorKind::Authentication, "AADSTS7000215"));
    let text = format!("{error} {error:?}");
    assert!(!text.contains(CLIENT_SECRET), "{text}");
    assert!(!format!("{:?} {:?}", client(&script), reader(&script)).contains(CLIENT_SECRET));
}

#[tokio::test]
async fn p3_a_secret_is_not_repeated_in_any_spelling_of_it() {
    for said in [
        "client_id=x&client_secret=Sup3r%7ESecret%2EValue&grant_type=client_credentials",
        "client_secret=Sup3r%7eSecret%2evalue",
        r"{client_secret:Sup3r\\u007eSecret.Value}",
        "Sup3r&#126;Secret&#x2e;Value",
        "U3VwM3J+U2VjcmV0LlZhbHVl",
        "Basic aWQ6U3VwM3J-U2VjcmV0LlZhbHVl",
        "client_secret=Sup3r~Se",
        "cret.Value",
    ] {
        let echo = format!(
            r#"{{"error":"X{said}","error_description":"AADSTS7000215: {said}","trace_id":"{said}"}}"#
        );
        let mut script = Script::new(vec![Ok(answer(200, "{}"))]);
        script.token = Some(answer(401, &echo));
        let script = Arc::new(script);
        let requests = [(address(0), app(SelectBy::AppId(APP)))];
        let error = observe(&reader(&script), &requests, &[]).await.unwrap_err();
        assert_eq!((error.kind, error.code()), (ErrorKind::Authentication, "AADSTS7000215"), "{said}");
        let text = format!("{error} {error:?}");
        assert!(text.contains("a text that repeats a part of a secret"), "{said}: {text}");
        let piece = said.split(['=', ' ']).next_back().unwrap();
        assert!(
            !text.contains(piece) && !text.contains("Sup3r") && !text.contains("U2VjcmV0"),
            "{said}: {text}"
        );
    }
}

/// The parser's own words quote the value it did not expect.
#[tokio::test]
async fn p3_an_answer_that_cannot_be_understood_is_not_quoted() {
    for page in [
        format!(r#"{{"value":"{TOKEN}"}}"#),
        one_application(&format!(r#","keyCredentials":"{TOKEN}""#)),
        one_application(&format!(
            r#","appRoleAssignmentRequired":"{TOKEN}","disabledByMicrosoftStatus":["{TOKEN}"]"#
        )),
    ] {
        let (outcome, _) = observe_with(vec![Ok(answer(200, &page))]).await;
        assert!(!format!("{outcome:?}").contains(TOKEN), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_answer_without_a_usable_token_is_an_error_of_its_own() {
    for body in [
        "",
        "{}",
        "<html>",
        r#"{"access_token":"","expires_in":1}"#,
        r#"{"access_token":"a\nb","expires_in":1}"#,
        r#"{"access_token":7,"expires_in":1}"#,
    ] {
        let mut script = Script::new(vec![Ok(answer(200, "{}"))]);
        script.token = Some(answer(200, body));
        let script = Arc::new(script);
        let requests = [(address(0), app(SelectBy::AppId(APP)))];
        let error = observe(&reader(&script), &requests, &[]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidAnswer, "{body}");
    }
}

#[tokio::test]
async fn texts_of_a_service_cannot_steer_a_terminal() {
    let body = r#"{"error":{"code":"A\u001b[2J","message":"one\u0007\u001b]0;x\u0007 \u202etwo\nthree"}}"#;
    let (outcome, _) = observe_with(vec![Ok(answer(403, body))]).await;
    let text = outcome.unwrap_err().to_string();
    assert!(text.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{text:?}");
}

#[tokio::test]
async fn a_write_whose_answer_makes_no_sense_has_an_unknown_outcome() {
    let entry = RawValue::from_string(r#"{"keyId":"1"}"#.to_owned()).unwrap();
    let lost = TransportError::new(TransportErrorKind::Lost, Sent::Unknown, "reset");
    let refused = TransportError::new(TransportErrorKind::Refused, Sent::No, "");
    let write = |outcome| {
        let script = Arc::new(Script::new(vec![outcome]));
        let entries = [entry.clone()];
        async move { DirectoryWriter::new(client(&script)).replace_entries(application_id(APP), &entries).await }
    };
    for unknown in [Ok(answer(302, "")), Ok(answer(504, "<html>")), Err(lost)] {
        let outcome = write(unknown).await;
        assert!(matches!(outcome, Err(WriteError::UnknownOutcome(_))), "{outcome:?}");
    }
    assert!(matches!(write(Err(refused)).await, Err(WriteError::NotSent(_))));
    assert!(matches!(write(Ok(answer(400, ""))).await, Err(WriteError::Refused(_))));
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_then_given_up() {
    let refused = r#"{"error":{"code":"InvalidAuthenticationToken","message":"Access token has expired or is not yet valid."}}"#;
    let (outcome, script) =
        observe_with(vec![Ok(answer(401, refused)), Ok(answer(200, &one_application("")))]).await;
    assert!(matches!(outcome.unwrap().targets[&address(0)], TargetState::Found(_)));
    let tokens = script.seen().iter().filter(|(uri, _)| uri.ends_with("/token")).count();
    assert_eq!(tokens, 2);
    let (outcome, _) = observe_with(vec![Ok(answer(401, refused))]).await;
    assert_eq!(outcome.unwrap_err().kind, ErrorKind::Authentication);
}

#[tokio::test]
async fn a_batch_that_fails_makes_its_objects_unreadable_and_no_others() {
    let script =
        Arc::new(Script::new(vec![Ok(answer(200, r#"{"responses":[{"id":"99","status":200,"body":{}}]}"#))]));
    let requests: Vec<_> =
        (0..3).map(|id| (address(id), app(SelectBy::ObjectId(Uuid::from_u128(id as u128 + 1))))).collect();
    let observed = observe(&reader(&script), &requests, &[]).await.unwrap();
    for state in observed.targets.values() {
        assert!(matches!(state, TargetState::Unreadable { .. }), "{state:?}");
    }
}

#[tokio::test]
async fn a_login_service_in_trouble_is_asked_eight_times_and_not_once_more_for_every_read() {
    let mut script = Script::new(vec![Ok(answer(200, "{}"))]);
    script.token = Some(answer(503, ""));
    let script = Arc::new(script);
    let entry = RawValue::from_string(r#"{"keyId":"1"}"#.to_owned()).unwrap();
    let writer = DirectoryWriter::new(client(&script));
    let error = writer.read_entries(application_id(APP)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(script.seen().len(), 8);
    let error = writer.replace_entries(application_id(APP), &[entry]).await.unwrap_err();
    assert!(matches!(error, WriteError::NotSent(_)), "{error}");
}
