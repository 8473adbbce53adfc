//! Services other than the directory: what is sent where, what is tried again, and what the operator lets a declaration use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use certroll::connections::{Operator, Users};
use certroll::edges::TroubleKind;
use certroll::ids::Name;
use certroll::net::{Ask, RetrySettings, Sent, Service, TransportError, TransportErrorKind, Way};
use certroll::random::SystemRandom;
use certroll::runtime::Clock;
use http::Method;

use crate::support::service::{Answering, StillClock, answer, service};

const TOKEN: &str = "hvs.CAESIJ-the-token";

fn clock() -> Arc<StillClock> {
    StillClock::at("2026-11-20T08:00:00Z")
}

#[tokio::test]
async fn a_read_is_tried_again_while_the_service_is_busy_and_waits_as_long_as_it_is_told() {
    let mut busy = answer(503, "");
    busy.headers_mut().insert("retry-after", "7".parse().unwrap());
    let vault = Answering::script(vec![Ok(busy), Ok(answer(200, r#"{"version":3}"#))]);
    let clock = clock();
    let service = service("https://vault.example.com", vault.clone(), clock.clone());
    let url = service.url(["v1", "secret", "metadata", "app"]);
    let answer = service.send(Ask::get(url, "reading app")).await.unwrap();
    assert_eq!(answer.json::<serde_json::Value>().unwrap()["version"], 3);
    assert_eq!(clock.now().to_string(), "2026-11-20T08:00:07Z");
    assert_eq!(vault.seen().len(), 2);
}

#[tokio::test]
async fn a_write_that_may_have_been_done_is_not_repeated() {
    let lost = TransportError::new(TransportErrorKind::Lost, Sent::Unknown, "");
    let vault = Answering::script(vec![Err(lost)]);
    let service = service("https://vault.example.com", vault.clone(), clock());
    let write = Ask::new(Method::POST, service.url(["v1", "x"]), "writing x").json(&1).unwrap();
    let lost = service.send(write).await.unwrap_err();
    assert_eq!((lost.sent, lost.trouble.kind), (Sent::Unknown, TroubleKind::Network));
    assert_eq!(vault.seen().len(), 1);

    let refused = TransportError::new(TransportErrorKind::Refused, Sent::No, "");
    let vault = Answering::script(vec![Err(refused), Ok(answer(429, "")), Ok(answer(500, ""))]);
    let service = self::service("https://vault.example.com", vault.clone(), clock());
    let write = Ask::new(Method::POST, service.url(["v1", "x"]), "writing x").json(&1).unwrap();
    assert_eq!(
        service.send(write).await.unwrap().status,
        500,
        "neither of the first two was done, the third may be"
    );
    assert_eq!(vault.seen().len(), 3);
}

#[tokio::test]
async fn a_write_that_is_turned_away_with_403_and_a_time_is_tried_again_then_as_github_wants_it() {
    let mut too_often = answer(403, "");
    too_often.headers_mut().insert("retry-after", "60".parse().unwrap());
    let github = Answering::script(vec![Ok(too_often), Ok(answer(201, ""))]);
    let clock = clock();
    let service = service("https://api.github.com", github.clone(), clock.clone());
    let write = Ask::new(Method::POST, service.url(["x"]), "writing x").json(&1).unwrap();
    assert_eq!(service.send(write).await.unwrap().status, 201);
    assert_eq!(clock.now().to_string(), "2026-11-20T08:01:00Z");

    let github = Answering::script(vec![Ok(answer(403, ""))]);
    let service = self::service("https://api.github.com", github.clone(), clock);
    assert_eq!(service.send(Ask::get(service.url(["x"]), "reading x")).await.unwrap().status, 403);
    assert_eq!(github.seen().len(), 1, "a missing right stays missing");
}

#[tokio::test]
async fn nothing_is_sent_without_a_header_that_cannot_be_set() {
    let vault = Answering::script(vec![Ok(answer(200, "{}"))]);
    let service = service("https://vault.example.com", vault.clone(), clock());
    let ask = || Ask::get(service.url(["v1", "x"]), "reading x");
    let namespace: http::HeaderName = "x-vault-namespace".parse().unwrap();
    for unfit in [
        ask().header(namespace, "team\u{1}"),
        ask().secret_header(http::header::AUTHORIZATION, "Bearer ", "two\nlines"),
    ] {
        let lost = service.send(unfit).await.unwrap_err();
        assert_eq!((lost.sent, lost.trouble.kind), (Sent::No, TroubleKind::Refused));
        assert!(lost.trouble.reason.contains("cannot be sent"), "{}", lost.trouble);
        assert!(!lost.trouble.to_string().contains("two"), "{}", lost.trouble);
    }
    assert!(vault.seen().is_empty());
}

#[tokio::test]
async fn a_name_stays_a_name_and_a_link_leads_to_no_other_host() {
    let vault = Answering::script(vec![Ok(answer(200, "{}"))]);
    let service = service("https://vault.example.com/below", vault.clone(), clock());
    let url = service.url(["v1", "a/b", "..", "sys?x#y"]);
    assert_eq!(url.as_str(), "https://vault.example.com/below/v1/a%2Fb/%252E%252E/sys%3Fx%23y");
    for away in [
        "https://evil.example.com/x",
        "http://vault.example.com/x",
        "https://vault.example.com:444/x",
        "//evil.example.com",
        "https://u:p@vault.example.com/",
    ] {
        assert_eq!(service.followable(away), None, "{away}");
    }
    assert!(service.followable("https://vault.example.com/next?page=2").is_some());

    let elsewhere = "https://evil.example.com/x".parse().unwrap();
    let ask = Ask::get(elsewhere, "reading x").secret_header(http::header::AUTHORIZATION, "Bearer ", TOKEN);
    let trouble = service.send(ask).await.unwrap_err().trouble;
    assert_eq!(trouble.kind, TroubleKind::Refused);
    assert!(vault.seen().is_empty(), "nothing was sent");
}

#[test]
fn an_address_must_be_https_and_hold_nothing_but_a_place() {
    for (root, why) in [
        ("http://vault.example.com", "not https"),
        ("https://user:pass@vault.example.com", "user name or password"),
        ("https://vault.example.com/?a=b", "query"),
        ("vault.example.com", "not an address"),
        ("https://user:pass@vault.example.com:99999", "vault.example.com:99999 is not an address"),
    ] {
        let way = Way {
            transport: Answering::script(vec![Ok(answer(200, ""))]),
            clock: clock(),
            random: Arc::new(SystemRandom),
            in_flight: Arc::new(tokio::sync::Semaphore::new(1)),
            retry: RetrySettings::default(),
        };
        let refused = Service::new("the vault", root, way).unwrap_err();
        assert!(refused.reason.contains(why), "{root}: {refused}");
        assert!(!refused.to_string().contains("pass@"), "{refused}");
    }
}

#[tokio::test]
async fn p3_an_answer_that_repeats_the_token_is_not_repeated() {
    let echo = format!("{{\"errors\":[\"bad token {TOKEN}\\u001b[31m\"]}}");
    let vault = Answering::script(vec![Ok(answer(403, &echo))]);
    let service = service("https://vault.example.com", vault, clock());
    let ask =
        Ask::get(service.url(["v1"]), "reading x").secret_header("x-vault-token".parse().unwrap(), "", TOKEN);
    let answer = service.send(ask).await.unwrap();
    let body: serde_json::Value = answer.json().unwrap();
    let trouble = answer.trouble(answer.kind(), None, body["errors"][0].as_str());
    assert_eq!(trouble.kind, TroubleKind::Authorisation);
    assert_eq!(trouble.to_string(), "reading x: bad token [secret] [31m (HTTP 403)");
    assert!(!format!("{answer:?}").contains(TOKEN));
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn users(connections: &[&str]) -> Users {
    let contoso = (name("contoso"), "8F5E2C0A-1b2c-4d3e-9f40-51627384a5b6".to_owned());
    connections.iter().map(|text| (name(text), BTreeSet::from([contoso.clone()]))).collect()
}

fn variables(set: &[(&str, &str)]) -> BTreeMap<String, String> {
    set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_connection_is_set_up_by_variables_or_by_the_operators_file() {
    let file = "connections:\n  vault: { address: https://one.example.com, token: from-file }\n  other: { tenants: [] }\n";
    let set = variables(&[
        ("CERTROLL_CONN_VAULT_EU_ADDRESS", "https://eu.example.com"),
        ("CERTROLL_CONN_VAULT_TOKEN", "from-variable"),
        ("CERTROLL_CONN_NOT_OURS_ADDRESS", "https://x.example.com"),
        ("CERTROLL_CONN_VAULT_ROLE", ""),
    ]);
    let operator = Operator::new(set, Some(file), users(&["vault", "vault-eu"])).unwrap();
    let vault = operator.connection(Some(&name("vault"))).unwrap().unwrap();
    assert_eq!(vault.text("address"), Some("https://one.example.com"));
    assert_eq!(vault.text("token"), Some("from-variable"), "a variable comes before the file");
    assert_eq!(vault.text("role"), None);
    let eu = operator.connection(Some(&name("vault-eu"))).unwrap().unwrap();
    assert_eq!(eu.text("address"), Some("https://eu.example.com"), "the longest name wins");
    assert!(!format!("{operator:?} {vault:?}").contains("from-"), "nothing of it is printed");
}

#[test]
fn mistakes_in_connections_are_named_all_at_once_and_no_value_is() {
    let file = "connections:\n  vault: { adress: https://secret.example.com, tokn: hush }\n";
    let set = variables(&[("CERTROLL_CONN_VAULT_ROLEID", "hush-too")]);
    let problems = Operator::new(set, Some(file), users(&["vault"])).unwrap_err();
    assert_eq!(
        problems,
        [
            "connection vault: there is no setting adress; did you mean address?",
            "connection vault: there is no setting tokn; did you mean token?",
            "CERTROLL_CONN_VAULT_ROLEID: there is no setting roleid; did you mean role_id?",
        ]
    );
    let torn = "connections:\n  vault: { token: [hush, { a: b } ] }\n";
    let problems = Operator::new(BTreeMap::new(), Some(torn), users(&[])).unwrap_err();
    assert!(!problems.join(" ").contains("hush"), "{problems:?}");
}

#[test]
fn a_connection_serves_only_the_tenants_its_operator_lets_use_it() {
    let with = |tenants: &str| {
        let set = variables(&[
            ("CERTROLL_CONN_VAULT_ADDRESS", "https://v.example.com"),
            ("CERTROLL_CONN_VAULT_TENANTS", tenants),
        ]);
        Operator::new(set, None, users(&["vault"])).unwrap()
    };
    let ours = with("11111111-1b2c-4d3e-9f40-51627384a5b6, 8f5e2c0a-1b2c-4d3e-9f40-51627384a5b6");
    assert!(ours.connection(Some(&name("vault"))).is_ok(), "ids are compared without case");
    let theirs = with("11111111-1b2c-4d3e-9f40-51627384a5b6");
    let refused = theirs.connection(Some(&name("vault"))).unwrap_err();
    assert_eq!(refused.kind, TroubleKind::Refused);
    assert!(refused.reason.contains("does not let tenant contoso"), "{refused}");

    let nobody = Operator::new(BTreeMap::new(), None, users(&["vault"])).unwrap();
    let refused = nobody.connection(Some(&name("vault"))).unwrap_err();
    assert!(refused.hint.unwrap().contains("CERTROLL_CONN_VAULT_ADDRESS"));
    assert!(nobody.connection(None).unwrap().is_none(), "none is named, none is needed");
}
