//! Variable groups of Azure DevOps, against a service of the test's own.

use std::path::Path;
use std::sync::Arc;

use certroll::delivery::azure_devops::AzureDevopsDelivery;
use certroll::delivery::{DeliveryReader, DeliveryWriter};
use certroll::desired::{Delivery, Format};
use certroll::edges::TroubleKind;
use certroll::form::read_pem;
use certroll::net::{Service, Transport};
use certroll::observed::DeliveryState;
use serde_json::{Value, json};

use super::{PASSWORD, comes_through_whatever_happens, declared, deliver, issued, over, token};
use crate::support::azure_devops::{AzureDevops, TOKEN};

fn variable(more: Value, format: Format) -> Delivery {
    let mut settings =
        json!({ "organization": "contoso", "project": "infra", "variable_group": "m365", "variable": "KEY" });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    declared("azure_devops", settings, format, Path::new("."))
}

fn open(delivery: &Delivery, service: Service) -> AzureDevopsDelivery {
    AzureDevopsDelivery::new(delivery, service, token(TOKEN)).unwrap()
}

fn at(delivery: &Delivery, server: &Arc<AzureDevops>) -> AzureDevopsDelivery {
    open(delivery, over(Arc::clone(server) as Arc<dyn Transport>))
}

#[tokio::test]
async fn a_secret_variable_is_recognised_by_its_readable_companion() {
    let (server, delivery) = (Arc::new(AzureDevops::default()), variable(json!({}), Format::Pem));
    let place = at(&delivery, &server);
    assert_eq!(place.observe(&delivery).await, DeliveryState::Absent);
    for number in [1, 2] {
        let marker = deliver(&place, &delivery, number).await.unwrap();
        assert_eq!(place.observe(&delivery).await, DeliveryState::Marker(marker));
        let key = &server.group()["variables"]["KEY"];
        let held = read_pem(key["value"].as_str().unwrap().as_bytes()).unwrap().certificate.thumbprints;
        assert_eq!(held, issued(number).await.certificate.thumbprints);
        assert_eq!(key["isSecret"], true);
    }
}

#[tokio::test]
async fn everything_else_in_the_group_stays_as_it_is() {
    let server = Arc::new(AzureDevops::default());
    server.set_by_hand("other", "somebody's secret", true);
    server.set_by_hand("plain", "somebody's", false);
    let before = server.group();
    let delivery = variable(json!({ "password_secret": "KEY_PASSWORD" }), Format::PfxBase64);
    deliver(&at(&delivery, &server), &delivery, 1).await.unwrap();
    let mut after = server.group();
    assert_eq!(after["variables"]["KEY_PASSWORD"]["value"], PASSWORD);
    for name in ["KEY", "KEY_PASSWORD", "KEY_THUMBPRINT"] {
        assert!(after["variables"].as_object_mut().unwrap().shift_remove(name).is_some(), "{name}");
    }
    for field in ["variables", "name", "type", "description", "variableGroupProjectReferences"] {
        assert_eq!(after[field], before[field], "{field}");
    }
}

#[tokio::test]
async fn two_certificates_in_one_group_do_not_take_each_other_for_a_change() {
    let server = Arc::new(AzureDevops::default());
    let (one, two) = (variable(json!({}), Format::Pem), variable(json!({ "variable": "TWO" }), Format::Pem));
    let marker = deliver(&at(&one, &server), &one, 1).await.unwrap();
    deliver(&at(&two, &server), &two, 2).await.unwrap();
    assert_eq!(at(&one, &server).observe(&one).await, DeliveryState::Marker(marker));
}

#[tokio::test]
async fn a_group_that_somebody_else_wrote_last_is_delivered_to_again() {
    let (server, delivery) = (Arc::new(AzureDevops::default()), variable(json!({}), Format::Pem));
    let place = at(&delivery, &server);
    let marker = deliver(&place, &delivery, 1).await.unwrap();
    for change in [("KEY", "by hand", true), ("KEY", "by hand", false), ("build", "7", false)] {
        server.set_by_hand(change.0, change.1, change.2);
        let state = place.observe(&delivery).await;
        assert!(matches!(&state, DeliveryState::Marker(found) if *found != marker), "{change:?}: {state:?}");
        assert_eq!(deliver(&place, &delivery, 1).await.unwrap(), marker);
    }
}

#[tokio::test]
async fn a_write_by_somebody_else_between_our_reads_is_not_lost() {
    let (server, delivery) = (Arc::new(AzureDevops::default()), variable(json!({}), Format::Pem));
    server.rival_before(2);
    deliver(&at(&delivery, &server), &delivery, 1).await.unwrap();
    assert_eq!(server.group()["variables"]["build"]["value"], "2", "read again before it was written");
    let busy = Arc::new(AzureDevops::default());
    (1..20).for_each(|request| busy.rival_before(request));
    let error = deliver(&at(&delivery, &busy), &delivery, 1).await.unwrap_err();
    assert_eq!(error.kind, TroubleKind::Conflict);
}

#[tokio::test]
async fn a_sign_in_page_is_no_answer() {
    let (server, delivery) = (Arc::new(AzureDevops::default()), variable(json!({}), Format::Pem));
    let service = over(Arc::clone(&server) as Arc<dyn Transport>);
    let place = AzureDevopsDelivery::new(&delivery, service, token("an-ended-pat")).unwrap();
    let error = deliver(&place, &delivery, 1).await.unwrap_err();
    assert_eq!(error.kind, TroubleKind::Authentication);
    assert!(error.reason.contains("sign-in page"), "{error}");
    assert!(matches!(place.observe(&delivery).await, DeliveryState::Unreadable { .. }));
}

#[tokio::test]
async fn a_group_that_is_missing_or_only_links_to_a_key_vault_is_refused() {
    let server = Arc::new(AzureDevops::default());
    let missing = variable(json!({ "variable_group": "nowhere" }), Format::Pem);
    assert_eq!(deliver(&at(&missing, &server), &missing, 1).await.unwrap_err().kind, TroubleKind::Missing);
    let delivery = variable(json!({}), Format::Pem);
    server.link_to_key_vault();
    let error = deliver(&at(&delivery, &server), &delivery, 1).await.unwrap_err();
    assert_eq!(error.kind, TroubleKind::Refused);
    assert!(error.to_try().contains("Key Vault"), "{error}");
}

#[tokio::test]
async fn p3_an_error_repeats_neither_token_nor_key() {
    let (server, delivery) = (Arc::new(AzureDevops::default()), variable(json!({}), Format::Pem));
    server.answer_all(Some(503));
    let place = at(&delivery, &server);
    let error = deliver(&place, &delivery, 1).await.unwrap_err();
    assert_eq!(error.kind, TroubleKind::Unavailable);
    for text in [format!("{error:?}"), format!("{place:?}")] {
        assert!(!text.contains(TOKEN) && !text.contains("PRIVATE KEY"), "{text}");
    }
}

#[tokio::test]
async fn a_delivery_that_dies_at_any_call_comes_through_the_next_time() {
    let delivery = variable(json!({ "password_secret": "KEY_PASSWORD" }), Format::PfxBase64);
    let server = || Arc::new(AzureDevops::default()) as Arc<dyn Transport>;
    let at = |service: Service| Arc::new(open(&delivery, service)) as Arc<dyn DeliveryWriter>;
    comes_through_whatever_happens(&server, &at, &delivery).await;
}
