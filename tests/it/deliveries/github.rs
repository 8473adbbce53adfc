//! Secrets of GitHub Actions, against a GitHub of the test's own that opens what it is sent.

use std::path::Path;
use std::sync::Arc;

use certroll::backends::shipped::{Connections, ShippedReaders};
use certroll::certificate::Certificate;
use certroll::connections::Operator;
use certroll::delivery::github::GithubDelivery;
use certroll::delivery::{DeliveryReader, DeliveryWriter};
use certroll::desired::{Delivery, Desired, Format};
use certroll::edges::{Readers, TroubleKind};
use certroll::form::{read_pem, read_pfx};
use certroll::key::Secret;
use certroll::net::{Service, Transport};
use certroll::observed::DeliveryState;
use serde_json::{Value, json};

use super::{PASSWORD, comes_through_whatever_happens, declared, deliver, issued, over, token};
use crate::support::github::{Github, TOKEN};
use crate::support::reach::reach;
use crate::support::service::{Answering, StillClock};

const SECRET: &str = "repos/contoso/infra/actions/secrets/M365";

fn in_repository() -> Delivery {
    declared(
        "github_actions",
        json!({ "repository": "contoso/infra", "secret": "M365" }),
        Format::Pem,
        Path::new("."),
    )
}

fn with_companions(scope: Value) -> Delivery {
    let mut settings =
        json!({ "secret": "m365_pfx", "password_secret": "M365_PASSWORD", "variable": "M365_HOLDS" });
    settings.as_object_mut().unwrap().extend(scope.as_object().unwrap().clone());
    declared("github_actions", settings, Format::PfxBase64, Path::new("."))
}

fn open(delivery: &Delivery, service: Service) -> GithubDelivery {
    GithubDelivery::new(delivery, service, token(TOKEN)).unwrap()
}

fn at(delivery: &Delivery, server: &Arc<Github>) -> GithubDelivery {
    open(delivery, over(Arc::clone(server) as Arc<dyn Transport>))
}

fn certificate(value: &[u8]) -> Certificate {
    read_pem(value).unwrap().certificate
}

#[tokio::test]
async fn a_secret_is_sealed_for_github_alone_and_recognised_by_the_time_of_its_change() {
    let (server, delivery) = (Arc::new(Github::default()), in_repository());
    let place = at(&delivery, &server);
    assert_eq!(place.observe(&delivery).await, DeliveryState::Absent);
    for number in [1, 2] {
        let marker = deliver(&place, &delivery, number).await.unwrap();
        assert_eq!(place.observe(&delivery).await, DeliveryState::Marker(marker));
        let held = certificate(&server.value(SECRET).unwrap());
        assert_eq!(held.thumbprints, issued(number).await.certificate.thumbprints);
    }
}

#[tokio::test]
async fn what_goes_into_an_environment_and_an_organization_goes_there_with_its_password_and_companion() {
    let repository = json!({ "repository": "contoso/infra" });
    let environment = json!({ "repository": "contoso/infra", "environment": "prod" });
    let organization = json!({ "organization": "contoso" });
    for (scope, folder) in [
        (repository, "repos/contoso/infra/actions"),
        (environment, "repos/contoso/infra/environments/prod"),
        (organization, "orgs/contoso/actions"),
    ] {
        let (server, delivery) = (Arc::new(Github::default()), with_companions(scope));
        let place = at(&delivery, &server);
        let marker = deliver(&place, &delivery, 1).await.unwrap();
        let value = |name: &str| server.value(&format!("{folder}/secrets/{name}")).unwrap();
        let pfx = base64_decoded(&value("M365_PFX"));
        let password = Secret::new(String::from_utf8(value("M365_PASSWORD")).unwrap());
        assert_eq!(password.expose(), PASSWORD);
        let held = read_pfx(&pfx, Some(&password)).unwrap().certificate.thumbprints;
        assert_eq!(held, issued(1).await.certificate.thumbprints);
        let companion = server.variable(&format!("{folder}/variables/M365_HOLDS"));
        assert_eq!(companion, Some(held.sha256.to_string()));
        assert_eq!(place.observe(&delivery).await, DeliveryState::Marker(marker));
        deliver(&place, &delivery, 2).await.unwrap();
    }
}

fn base64_decoded(text: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text.trim_ascii()).unwrap()
}

#[tokio::test]
async fn a_change_by_somebody_else_of_secret_password_or_companion_is_noticed() {
    let folder = "repos/contoso/infra/actions";
    let changes: [&dyn Fn(&Github); 3] = [
        &|server| server.write_by_hand(&format!("{folder}/secrets/M365_PFX"), b"by hand", None),
        &|server| server.write_by_hand(&format!("{folder}/secrets/M365_PASSWORD"), b"by hand", None),
        &|server| server.remove_by_hand(&format!("{folder}/secrets/M365_PASSWORD")),
    ];
    for change in changes {
        let delivery = with_companions(json!({ "repository": "contoso/infra" }));
        let server = Arc::new(Github::default());
        let place = at(&delivery, &server);
        let marker = deliver(&place, &delivery, 1).await.unwrap();
        change(&server);
        let state = place.observe(&delivery).await;
        assert!(matches!(&state, DeliveryState::Marker(found) if *found != marker), "{state:?}");
    }
}

#[tokio::test]
async fn who_sees_an_organizations_secret_stays_as_it_is() {
    let delivery = declared(
        "github_actions",
        json!({ "organization": "contoso", "secret": "M365" }),
        Format::Pem,
        Path::new("."),
    );
    let path = "orgs/contoso/actions/secrets/M365";
    // More than one page of repositories.
    let selected: Vec<u64> = (1..=150).collect();
    for (visibility, ids) in [("all", vec![]), ("private", vec![]), ("selected", selected)] {
        let server = Arc::new(Github::default());
        server.write_by_hand(path, b"before", Some((visibility, ids.clone())));
        deliver(&at(&delivery, &server), &delivery, 1).await.unwrap();
        assert_eq!(server.visibility(path), Some((visibility.to_owned(), ids)));
    }
    let server = Arc::new(Github::default());
    deliver(&at(&delivery, &server), &delivery, 1).await.unwrap();
    assert_eq!(server.visibility(path), Some(("selected".to_owned(), vec![])), "nobody sees a new one");
}

#[tokio::test]
async fn a_public_key_that_was_replaced_in_between_is_fetched_again() {
    let (server, delivery) = (Arc::new(Github::default()), in_repository());
    server.replace_key_when_asked();
    deliver(&at(&delivery, &server), &delivery, 1).await.unwrap();
    assert!(server.value(SECRET).is_some());
}

#[tokio::test]
async fn a_repository_that_may_not_be_seen_is_not_taken_for_an_empty_place() {
    let settings = json!({ "repository": "contoso/elsewhere", "secret": "M365" });
    let delivery = declared("github_actions", settings, Format::Pem, Path::new("."));
    let state = at(&delivery, &Arc::new(Github::default())).observe(&delivery).await;
    assert!(
        matches!(&state, DeliveryState::Unreadable { reason } if reason.contains("Not Found")),
        "{state:?}"
    );
}

#[tokio::test]
async fn each_kind_of_refusal_is_told_apart_and_says_what_helps() {
    let delivery = in_repository();
    for (status, headers, kind, hint) in [
        (401, vec![], TroubleKind::Authentication, ""),
        (
            403,
            vec![("x-accepted-github-permissions", "secrets=write")],
            TroubleKind::Authorisation,
            "secrets=write",
        ),
        (403, vec![("x-ratelimit-remaining", "0")], TroubleKind::Throttled, ""),
        (403, vec![("retry-after", "60")], TroubleKind::Throttled, ""),
        (404, vec![], TroubleKind::Missing, "a workflow's own GITHUB_TOKEN cannot"),
        (502, vec![], TroubleKind::Unavailable, ""),
    ] {
        let server = Arc::new(Github::default());
        server.answer_all(Some((status, headers)));
        let error = deliver(&at(&delivery, &server), &delivery, 1).await.unwrap_err();
        assert_eq!(error.kind, kind, "{status}: {error}");
        assert!(error.to_try().contains(hint), "{status}: {}", error.to_try());
        assert_eq!(error.request_id.as_deref(), Some("0C4A:1F2E"));
    }
}

/// GitHub's own tool takes them in this order: in a job, GITHUB_TOKEN is often the job's own.
#[tokio::test]
async fn of_two_tokens_in_the_environment_the_one_that_was_made_for_tools_is_shown() {
    let github = Answering::script(vec![Ok(crate::support::service::answer(404, "{}"))]);
    let set = [("GITHUB_TOKEN", "of-the-job"), ("GH_TOKEN", "of-somebody")];
    let set = set.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let operator = Operator::new(set.into(), None, Default::default()).unwrap();
    let clock = StillClock::at("2026-06-30T00:00:00Z");
    let reach = reach(Arc::clone(&github) as Arc<dyn Transport>, clock, operator);
    let desired = Desired {
        owner: "platform-team".parse().unwrap(),
        tenants: Default::default(),
        stores: Default::default(),
        certificates: Default::default(),
        moved: Vec::new(),
        removed: Vec::new(),
        acknowledgements: Vec::new(),
    };
    let connections = Connections::new(&desired, reach, |_| unreachable!("there is no tenant"));
    let delivery = in_repository();
    ShippedReaders::new(&connections).delivery(&delivery).unwrap().observe(&delivery).await;
    let shown =
        github.requests().iter().all(|asked| asked.headers()["authorization"] == "Bearer of-somebody");
    assert!(shown && !github.requests().is_empty());
}

#[tokio::test]
async fn a_value_that_github_does_not_take_is_refused_before_it_is_sent() {
    let (server, delivery) = (Arc::new(Github::default()), in_repository());
    let mut long = issued(1).await;
    long.chain = vec![long.certificate.clone(); 60];
    let place = at(&delivery, &server);
    let error = place.deliver(&delivery, &crate::support::keys::key(1), &long, None).await.unwrap_err().0;
    assert_eq!(error.kind, TroubleKind::Refused);
    assert!(server.value(SECRET).is_none());
}

#[tokio::test]
async fn p3_neither_token_nor_key_is_in_a_request_but_sealed_nor_in_debug() {
    let github = Arc::new(Github::default());
    let inner = Arc::clone(&github);
    let seen = Answering::new(move |request| {
        let request = request.clone();
        futures_util::FutureExt::now_or_never(inner.send(request)).unwrap()
    });
    let delivery = with_companions(json!({ "repository": "contoso/infra" }));
    let place = open(&delivery, over(seen.clone()));
    deliver(&place, &delivery, 1).await.unwrap();
    let pfx =
        String::from_utf8(github.value("repos/contoso/infra/actions/secrets/M365_PFX").unwrap()).unwrap();
    for (method, address, body) in seen.seen() {
        let all = format!("{method} {address} {body}");
        for secret in [PASSWORD, &pfx[..40], TOKEN] {
            assert!(!all.contains(secret), "{method} {address}");
        }
    }
    let debug = format!("{place:?}");
    assert!(!debug.contains(TOKEN), "{debug}");
}

#[tokio::test]
async fn every_request_and_answer_fits_githubs_published_description() {
    let text = include_str!("../../fixtures/github/actions.json");
    let description: Value = serde_json::from_str(text).unwrap();
    let operations = description["operations"].as_object().unwrap();
    let judge = |schema: &Value, bytes: &[u8], what: &str| {
        if schema.is_null() {
            return assert!(bytes.is_empty(), "{what}: a body where there is none");
        }
        let body: Value = serde_json::from_slice(bytes).unwrap();
        let validator = jsonschema::validator_for(schema).unwrap();
        let wrong: Vec<String> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{what}: {wrong:?}");
    };
    let mut used = std::collections::BTreeSet::new();
    for scope in [
        json!({ "repository": "contoso/infra" }),
        json!({ "repository": "contoso/infra", "environment": "prod" }),
        json!({ "organization": "contoso" }),
    ] {
        let (github, answers) = (Arc::new(Github::default()), Arc::new(std::sync::Mutex::new(Vec::new())));
        let (inner, kept) = (Arc::clone(&github), Arc::clone(&answers));
        let seen = Answering::new(move |request| {
            let answer = futures_util::FutureExt::now_or_never(inner.send(request.clone())).unwrap();
            kept.lock().unwrap().push(answer.clone().unwrap());
            answer
        });
        let delivery = with_companions(scope);
        let place = open(&delivery, over(seen.clone()));
        for number in [1, 2] {
            deliver(&place, &delivery, number).await.unwrap();
        }
        for (request, answer) in seen.requests().iter().zip(answers.lock().unwrap().iter()) {
            let path = request.uri().path();
            let fits = |name: &str| {
                let (method, pattern) = name.split_once(' ').unwrap();
                let (asked, pattern): (Vec<&str>, Vec<&str>) =
                    (path.split('/').collect(), pattern.split('/').collect());
                method == request.method().as_str()
                    && asked.len() == pattern.len()
                    && asked.iter().zip(&pattern).all(|(is, wanted)| is == wanted || wanted.starts_with('{'))
            };
            // A name in braces also fits `public-key`: the one that says more counts.
            let name =
                operations.keys().filter(|name| fits(name)).min_by_key(|name| name.matches('{').count());
            let name = name.unwrap_or_else(|| panic!("GitHub has no {} {path}", request.method()));
            used.insert(name.clone());
            let operation = &operations[name];
            judge(&operation["request"], request.body(), name);
            // Of an organization's repositories the description is not kept.
            let is_described =
                operation["responses"].as_object().is_some_and(|responses| !responses.is_empty());
            if is_described && answer.status().is_success() {
                let schema = &operation["responses"][answer.status().as_str()];
                assert!(
                    operation["responses"].get(answer.status().as_str()).is_some(),
                    "{name}: {}",
                    answer.status()
                );
                judge(schema, answer.body(), &format!("the answer to {name}"));
            }
        }
    }
    assert_eq!(used.len(), operations.len(), "nothing of the description is there for nothing: {used:?}");
}

#[tokio::test]
async fn a_delivery_that_dies_at_any_call_comes_through_the_next_time() {
    let delivery = with_companions(json!({ "organization": "contoso" }));
    let server = || Arc::new(Github::default()) as Arc<dyn Transport>;
    let at = |service: Service| Arc::new(open(&delivery, service)) as Arc<dyn DeliveryWriter>;
    comes_through_whatever_happens(&server, &at, &delivery).await;
}

#[tokio::test]
#[ignore = "needs Python with PyNaCl"]
async fn libsodium_opens_the_sealed_box() {
    let delivery = in_repository();
    let github = Arc::new(Github::default());
    let inner = Arc::clone(&github);
    let seen = Answering::new(move |request| {
        futures_util::FutureExt::now_or_never(inner.send(request.clone())).unwrap()
    });
    deliver(&open(&delivery, over(seen.clone())), &delivery, 1).await.unwrap();
    let put = seen.requests().into_iter().find(|request| request.method() == "PUT").unwrap();
    let body: Value = serde_json::from_slice(put.body()).unwrap();
    // The secret key the test's GitHub begins with.
    let key = "01".repeat(32);
    let opened = crate::tools::open_box(&key, body["encrypted_value"].as_str().unwrap());
    assert_eq!(opened, github.value(SECRET).unwrap());
}
