//! The saved plan: round trips, its schema, versions, damage, and what a review covers (P4).

use certroll::observed::DeliveryState;
use certroll::plan::document::{self, Document, DocumentError, FORMAT_MAJOR, FORMAT_MINOR};
use certroll::plan::step::Step;
use proptest::prelude::*;
use uuid::Uuid;

use super::all_rows;
use super::observed::*;
use super::rows::{carry_out, carry_out_first, plan_of};
use super::rows_current::{due, healthy};
use super::worlds::worlds;

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/plan.v1.schema.json");

fn schema_text() -> String {
    let mut text = serde_json::to_string_pretty(&document::schema()).unwrap();
    text.push('\n');
    text
}

#[test]
fn the_committed_schema_is_the_one_the_types_give() {
    let fresh = schema_text();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(std::path::Path::new(SCHEMA).parent().unwrap()).unwrap();
        std::fs::write(SCHEMA, &fresh).unwrap();
    }
    let committed = std::fs::read_to_string(SCHEMA).unwrap_or_default();
    assert!(
        committed == fresh,
        "schemas/plan.v1.schema.json is stale; accept the new one with: UPDATE=1 cargo test --test it planning::documents"
    );
}

#[test]
fn the_document_of_every_row_is_valid_by_its_schema() {
    let validator = jsonschema::validator_for(&document::schema()).unwrap();
    for row in all_rows() {
        let text = Document::of(&plan_of(&(row.world)())).to_json();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let problems: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(problems.is_empty(), "{}: {problems:?}", row.story);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_document_of_any_plan_is_valid_and_reads_back_as_it_was(world in worlds()) {
        let plan = plan_of(&world);
        let text = Document::of(&plan).to_json();
        let validator = jsonschema::validator_for(&document::schema()).unwrap();
        prop_assert!(validator.is_valid(&serde_json::from_str(&text).unwrap()));
        prop_assert_eq!(Document::read(text.as_bytes()).unwrap().into_plan(), plan);
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Document::read(&bytes);
    }
}

fn saved() -> serde_json::Value {
    serde_json::from_str(&Document::of(&plan_of(&due())).to_json()).unwrap()
}

fn read(value: &serde_json::Value) -> Result<Document, DocumentError> {
    Document::read(value.to_string().as_bytes())
}

#[test]
fn another_major_and_a_newer_minor_version_are_refused_by_name() {
    for version in [
        format!("{}.0", FORMAT_MAJOR + 1),
        format!("{FORMAT_MAJOR}.{}", FORMAT_MINOR + 1),
        "0.9".into(),
        "1".into(),
        "1.0.0".into(),
        "one".into(),
    ] {
        let mut value = saved();
        value["format_version"] = version.as_str().into();
        // What a newer version adds must not be what stops it from being named.
        value["something_new"] = true.into();
        match read(&value) {
            Err(DocumentError::Format { found, .. }) => assert_eq!(found, version),
            other => panic!("{version}: {other:?}"),
        }
    }
}

#[test]
fn an_altered_document_is_refused_whatever_was_altered() {
    type Change = fn(&mut serde_json::Value);
    let changes: [(&str, Change); 7] = [
        ("a count", |value| value["counts"]["issue"] = 2.into()),
        ("the moment", |value| value["timestamp"] = "2027-03-02T00:00:00Z".into()),
        ("the owner", |value| value["owner"] = "other-team".into()),
        ("whether it may be applied", |value| value["applyable"] = false.into()),
        ("a step", |value| value["certificates"][0]["steps"][0]["step"]["subject"] = "CN=evil".into()),
        ("the target", |value| {
            value["certificates"][0]["target"]["app_id"] = Uuid::nil().to_string().into();
        }),
        ("a step less", |value| {
            value["certificates"][0]["steps"].as_array_mut().unwrap().pop();
        }),
    ];
    for (what, change) in changes {
        let mut value = saved();
        change(&mut value);
        assert!(matches!(read(&value), Err(DocumentError::Altered)), "{what}");
    }
}

#[test]
fn an_unknown_key_is_refused_in_a_version_that_should_know_it() {
    let mut value = saved();
    value["certificates"][0]["also"] = "this".into();
    assert!(matches!(read(&value), Err(DocumentError::NotAPlan(_))));
}

#[test]
fn what_is_no_plan_is_said_to_be_none() {
    for text in ["", "{}", "[]", "null", "certroll: v1", "{\"format_version\": 1}"] {
        assert!(matches!(Document::read(text.as_bytes()), Err(DocumentError::NotAPlan(_))), "{text:?}");
    }
}

/// How many steps of the fresh plan a review of the other covers, and how many are refused.
fn reviewed(reviewed: &World, fresh: &World) -> (usize, usize) {
    let answers = document::review(&plan_of(reviewed), &plan_of(fresh));
    (answers[0].allowed, answers[0].refused.len())
}

#[test]
fn p4_the_same_plan_again_is_reviewed_whole() {
    assert_eq!(reviewed(&due(), &due()), (4, 0));
    let answers = document::review(&plan_of(&due()), &plan_of(&due()));
    assert!(!answers[0].declaration_changed && !answers[0].observation_changed);
}

#[test]
fn p4_what_is_left_after_a_run_that_stopped_anywhere_is_reviewed() {
    let before = due().delivery("file a", Some(DeliveryState::Marker("1".into())));
    let plan = plan_of(&before);
    let count = plan.certificates[0].steps.len();
    for stop in 0..=count {
        let mut stopped = before.clone();
        carry_out_first(&mut stopped, &plan, stop);
        let (_, refused) = reviewed(&before, &stopped);
        assert_eq!(refused, 0, "after {stop} of {count} steps");
    }
}

#[test]
fn p4_a_plan_made_earlier_reviews_the_same_rotation_an_hour_later() {
    assert_eq!(reviewed(&due(), &due().at("2027-03-01T01:00:00Z")), (4, 0));
}

#[test]
fn p4_a_rotation_to_another_specification_is_refused() {
    let changed = due().declare(|declared| declared.subject = "CN=other".into());
    assert_eq!(reviewed(&due(), &changed), (0, 4));
    assert!(document::review(&plan_of(&due()), &plan_of(&changed))[0].declaration_changed);
}

#[test]
fn p4_a_removal_that_was_not_reviewed_is_refused() {
    let revoked = |world: World| world.declare(|declared| declared.revoked = [thumbprint("old")].into());
    // The rotation was reviewed, the removal after it was not.
    assert_eq!(reviewed(&due(), &revoked(due())), (4, 1));
}

#[test]
fn p4_what_follows_a_refused_step_is_refused_with_it() {
    let before = due();
    let repaired = world().with(current("old", "2026-09-01").unpublished());
    assert_eq!(reviewed(&before, &repaired), (0, 6));
}

#[test]
fn p4_a_plan_for_another_object_reviews_nothing() {
    let id = application(Uuid::from_u128(3));
    let other = due().target(|target| target.id = id).record("old", |record| record.target = id);
    assert_eq!(reviewed(&due(), &other).0, 0);
}

#[test]
fn p4_a_plan_for_another_tenant_reviews_nothing() {
    let tenant_id = Uuid::from_u128(4);
    let mut other = due().record("old", |record| record.tenant_id = tenant_id);
    other.tenant_mut().tenant_id = tenant_id;
    assert_eq!(reviewed(&due(), &other).0, 0);
}

#[test]
fn p4_a_certificate_that_was_not_in_the_plan_is_refused() {
    let two = due().with_certificate("contoso/mail", Uuid::from_u128(8));
    let answers = document::review(&plan_of(&due()), &plan_of(&two));
    let of = |name: &str| answers.iter().find(|a| a.address == address(name)).unwrap();
    assert_eq!((of(ADDRESS).allowed, of("contoso/mail").allowed), (4, 0));
}

#[test]
fn p4_dropping_a_foreign_credential_that_was_not_reviewed_is_refused() {
    let before = due().credential(foreign("dead", "2025-01-01"));
    let dropping = before.clone().declare(|declared| {
        declared.drop_expired_foreign = [random_key_id("dead")].into();
    });
    assert_eq!(reviewed(&before, &dropping), (1, 3));
    assert_eq!(reviewed(&dropping, &before), (4, 0));
}

#[test]
fn p5_for_one_rotation_id_one_key_is_issued_and_the_next_rotation_has_another() {
    let issued = |world: &World| {
        let plan = plan_of(world);
        let ids = plan.certificates[0].steps.iter().filter_map(|planned| match &planned.step {
            Step::Issue { generation, .. } => generation.rotation_id,
            _ => None,
        });
        ids.collect::<Vec<_>>()
    };
    let mut world = due();
    let first = issued(&world);
    assert_eq!(first.len(), 1);
    let plan = plan_of(&world);
    carry_out(&mut world, &plan);
    world.now = at("2027-09-15");
    let second = issued(&world);
    assert_eq!(second.len(), 1);
    assert_ne!(first, second);
    assert_eq!(issued(&healthy()), []);
}
