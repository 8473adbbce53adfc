//! CI/CD variables of GitLab, against a GitLab of the test's own.

use std::path::Path;
use std::sync::Arc;

use certroll::delivery::gitlab::GitlabDelivery;
use certroll::delivery::{DeliveryReader, DeliveryWriter};
use certroll::desired::{Delivery, Format};
use certroll::edges::TroubleKind;
use certroll::form::read_pem;
use certroll::net::{Service, Transport};
use certroll::observed::DeliveryState;
use serde_json::{Value, json};

use super::{PASSWORD, comes_through_whatever_happens, declared, deliver, issued, over, token};
use crate::support::gitlab::{Gitlab, TOKEN};

fn of_project(more: Value, format: Format) -> Delivery {
    let mut settings = json!({ "project": "contoso/infra", "variable": "M365" });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    declared("gitlab_ci", settings, format, Path::new("."))
}

fn open(delivery: &Delivery, service: Service) -> GitlabDelivery {
    GitlabDelivery::new(delivery, service, token(TOKEN)).unwrap()
}

fn at(delivery: &Delivery, server: &Arc<Gitlab>) -> GitlabDelivery {
    open(delivery, over(Arc::clone(server) as Arc<dyn Transport>))
}

async fn holds(number: usize) -> DeliveryState {
    DeliveryState::Holds(issued(number).await.certificate.thumbprints)
}

#[tokio::test]
async fn a_variable_is_recognised_by_its_description_in_project_and_group_and_no_value_is_read() {
    let group =
        declared("gitlab_ci", json!({ "group": "contoso", "variable": "M365" }), Format::Pem, Path::new("."));
    let by_number =
        declared("gitlab_ci", json!({ "project": "7", "variable": "M365" }), Format::Pem, Path::new("."));
    for delivery in [of_project(json!({}), Format::Pem), group, by_number] {
        let server = Arc::new(Gitlab::default());
        let place = at(&delivery, &server);
        assert_eq!(place.observe(&delivery).await, DeliveryState::Absent);
        for number in [1, 2] {
            deliver(&place, &delivery, number).await.unwrap();
            assert_eq!(place.observe(&delivery).await, holds(number).await);
            let value = server.fields("M365", "*")["value"].as_str().unwrap().to_owned();
            let held = read_pem(value.as_bytes()).unwrap().certificate.thumbprints;
            assert_eq!(held, issued(number).await.certificate.thumbprints);
        }
        assert_eq!(server.values_read(), 0);
    }
}

#[tokio::test]
async fn a_new_variable_is_protected_and_masked_where_it_can_be() {
    for (format, masked) in [(Format::Pem, false), (Format::PemBase64, true)] {
        let (server, delivery) = (Arc::new(Gitlab::default()), of_project(json!({ "type": "file" }), format));
        deliver(&at(&delivery, &server), &delivery, 1).await.unwrap();
        let fields = server.fields("M365", "*");
        assert_eq!(
            (&fields["protected"], &fields["masked"], &fields["raw"]),
            (&true.into(), &masked.into(), &true.into())
        );
        assert_eq!(fields["variable_type"], "file");
    }
}

#[tokio::test]
async fn what_people_set_on_a_variable_stays_and_other_scopes_are_left_alone() {
    let server = Arc::new(Gitlab::default());
    let flags =
        json!({ "protected": false, "masked": true, "hidden": true, "raw": true, "variable_type": "file" });
    for scope in ["*", "production", "next/*"] {
        let mut fields = json!({ "key": "M365", "value": "somebody's", "environment_scope": scope });
        fields.as_object_mut().unwrap().extend(flags.as_object().unwrap().clone());
        server.make_by_hand(fields);
    }
    let delivery = of_project(json!({ "environment_scope": "production" }), Format::PemBase64);
    let place = at(&delivery, &server);
    assert!(matches!(place.observe(&delivery).await, DeliveryState::Marker(_)));
    deliver(&place, &delivery, 1).await.unwrap();
    assert_eq!(place.observe(&delivery).await, holds(1).await);
    let fields = server.fields("M365", "production");
    for (flag, value) in flags.as_object().unwrap() {
        assert_eq!(&fields[flag], value, "{flag}");
    }
    for scope in ["*", "next/*"] {
        assert_eq!(server.fields("M365", scope)["value"], "somebody's");
    }
}

#[tokio::test]
async fn a_password_has_a_variable_of_its_own_and_must_be_of_the_same_generation() {
    let delivery = of_project(json!({ "password_secret": "M365_PASSWORD" }), Format::PfxBase64);
    let server = Arc::new(Gitlab::default());
    let place = at(&delivery, &server);
    deliver(&place, &delivery, 1).await.unwrap();
    assert_eq!(server.fields("M365_PASSWORD", "*")["value"], PASSWORD);
    assert_eq!(place.observe(&delivery).await, holds(1).await);
    server.change_by_hand("M365_PASSWORD", "description", "mine".into());
    assert!(matches!(place.observe(&delivery).await, DeliveryState::Marker(_)));
}

#[tokio::test]
async fn a_gitlab_that_keeps_no_descriptions_is_delivered_to_once_and_never_compared() {
    let (server, delivery) = (Arc::new(Gitlab::default()), of_project(json!({}), Format::Pem));
    server.know_no_descriptions();
    let place = at(&delivery, &server);
    deliver(&place, &delivery, 1).await.unwrap();
    let state = place.observe(&delivery).await;
    assert!(
        matches!(&state, DeliveryState::NeverTells { reason } if reason.contains("without handing out")),
        "{state:?}"
    );
    assert_eq!(server.values_read(), 0);
}

#[tokio::test]
async fn a_value_that_cannot_be_masked_says_what_to_do() {
    let (server, delivery) = (Arc::new(Gitlab::default()), of_project(json!({}), Format::Pem));
    server.make_by_hand(json!({ "key": "M365", "value": "abcdefgh", "masked": true }));
    let error = deliver(&at(&delivery, &server), &delivery, 1).await.unwrap_err();
    assert_eq!(error.kind, TroubleKind::Refused);
    assert!(error.to_try().contains("pfx-base64"), "{error}");
    assert!(!format!("{error:?}").contains("PRIVATE KEY"));
}

#[tokio::test]
async fn a_project_that_may_not_be_seen_is_not_taken_for_an_empty_place() {
    let delivery = declared(
        "gitlab_ci",
        json!({ "project": "contoso/x", "variable": "M365" }),
        Format::Pem,
        Path::new("."),
    );
    let state = at(&delivery, &Arc::new(Gitlab::default())).observe(&delivery).await;
    assert!(
        matches!(&state, DeliveryState::Unreadable { reason } if reason.contains("may not be seen")),
        "{state:?}"
    );
}

#[tokio::test]
async fn each_kind_of_refusal_is_told_apart() {
    let delivery = of_project(json!({}), Format::Pem);
    for (status, kind) in [
        (401, TroubleKind::Authentication),
        (403, TroubleKind::Authorisation),
        (429, TroubleKind::Throttled),
        (503, TroubleKind::Unavailable),
    ] {
        let server = Arc::new(Gitlab::default());
        server.answer_all(Some(status));
        let error = deliver(&at(&delivery, &server), &delivery, 1).await.unwrap_err();
        assert_eq!(error.kind, kind, "{status}: {error}");
    }
}

#[tokio::test]
async fn a_delivery_that_dies_at_any_call_comes_through_the_next_time() {
    let delivery = of_project(json!({ "password_secret": "M365_PASSWORD" }), Format::PfxBase64);
    let server = || Arc::new(Gitlab::default()) as Arc<dyn Transport>;
    let at = |service: Service| Arc::new(open(&delivery, service)) as Arc<dyn DeliveryWriter>;
    comes_through_whatever_happens(&server, &at, &delivery).await;
}
