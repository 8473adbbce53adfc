//! P4, as it is carried out: what of a fresh plan a reviewed one covers.

use certroll::apply::Cancel;
use certroll::apply::outcome::{Outcome, StepOutcome};
use certroll::desired::{Form, Format, Hold, Password, PfxProfile, Timing};
use certroll::plan::Plan;
use certroll::plan::step::Step;
use uuid::Uuid;

use crate::support::world::{Shelf, World, delivery, foreign_entry};

/// Carries out what the reviewed plan covers of a fresh one, and says how many writes that took.
async fn writes(world: &World, reviewed: &Plan) -> usize {
    let (fresh, observed) = world.plan().await;
    let report = world.apply_plan(&fresh, Some(reviewed), &observed, &Cancel::never()).await;
    assert!(matches!(report.certificates[0].outcome, Outcome::Refused { .. }), "{report:#?}");
    assert_eq!(report.ending().exit_code(), 4);
    world.bodies.lock().unwrap().len()
}

#[tokio::test]
async fn p4_a_plan_of_another_object_tenant_certificate_or_rotation_lets_nothing_be_done() {
    type Change = fn(&mut Plan);
    let changes: [(&str, Change); 5] = [
        ("object", |plan| plan.certificates[0].target.as_mut().unwrap().id.object_id = Uuid::from_u128(3)),
        ("tenant", |plan| plan.certificates[0].target.as_mut().unwrap().tenant_id = Uuid::from_u128(3)),
        ("certificate", |plan| plan.certificates[0].address = "contoso/other".parse().unwrap()),
        ("no object", |plan| plan.certificates[0].target = None),
        ("first step", |plan| drop(plan.certificates[0].steps.remove(0))),
    ];
    for (what, change) in changes {
        let world = World::with_one(Shelf::File);
        let mut reviewed = world.plan().await.0;
        change(&mut reviewed);
        assert_eq!(writes(&world, &reviewed).await, 0, "{what}");
        assert!(world.holding("backup").await.generations.is_empty(), "{what}: no key was made");
    }
}

#[tokio::test]
async fn p4_a_rotation_to_another_specification_than_was_reviewed_is_not_begun() {
    let mut world = World::with_one(Shelf::File);
    let reviewed = world.plan().await.0;
    world.declared("backup").subject = "CN=other".to_owned();
    assert_eq!(writes(&world, &reviewed).await, 0);
}

#[tokio::test]
async fn p4_a_credential_under_another_name_than_was_reviewed_is_not_published() {
    let mut world = World::with_one(Shelf::File);
    let reviewed = world.plan().await.0;
    world.declared("backup").description = "unreviewed".to_owned();
    assert_eq!(writes(&world, &reviewed).await, 0);
}

#[tokio::test]
async fn p4_a_credential_of_another_life_than_was_reviewed_is_not_published() {
    let world = World::with_one(Shelf::File);
    let mut reviewed = world.plan().await.0;
    for planned in &mut reviewed.certificates[0].steps {
        if let Step::Publish { lifetime_max_seconds, .. } = &mut planned.step {
            *lifetime_max_seconds = Some(90 * 86_400);
        }
    }
    assert_eq!(writes(&world, &reviewed).await, 0);
}

#[tokio::test]
async fn p4_an_entry_of_others_is_not_dropped_by_a_publication_that_was_reviewed_without_that() {
    let mut world = World::new(Shelf::File);
    let (object, _) = world.declare("backup", &[foreign_entry(1, "2026-01-01T00:00:00Z").await]);
    let reviewed = world.plan().await.0;
    let named = world.entries(object)[0]["keyId"].as_str().unwrap().parse().unwrap();
    world.declared("backup").drop_expired_foreign = [named].into();
    assert_eq!(writes(&world, &reviewed).await, 0);
    assert_eq!(world.entries(object).len(), 1);
}

#[tokio::test]
async fn p4_a_removal_that_was_not_reviewed_is_not_carried_out_after_the_rotation_that_was() {
    let mut world = World::new(Shelf::File);
    let (object, _) = world.declare("backup", &[]);
    world.apply().await;
    world.emulator.advance(jiff::SignedDuration::from_hours(24 * 181));
    let reviewed = world.plan().await.0;
    let old = world.holding("backup").await.current_generation().unwrap().record.thumbprints.unwrap();
    world.declared("backup").revoked = [certroll::ids::Thumbprint::Sha1(old.sha1)].into();
    let (fresh, _) = world.plan().await;
    assert!(fresh.certificates[0].steps.iter().any(|planned| matches!(planned.step, Step::Retire { .. })));
    writes(&world, &reviewed).await;
    assert_eq!(world.entries(object).len(), 2, "the rotation was carried out, the removal was not");
}

/// What applying the reviewed plan comes to now: the exit code, the outcome's reason, and the steps that were refused.
async fn outcome(world: &World, reviewed: &Plan) -> (u8, String, Vec<&'static str>) {
    let (fresh, observed) = world.plan().await;
    let report = world.apply_plan(&fresh, Some(reviewed), &observed, &Cancel::never()).await;
    let reason = match &report.certificates[0].outcome {
        Outcome::Refused { reason } => reason.clone(),
        other => other.word().to_owned(),
    };
    let steps = report.certificates.iter().flat_map(|one| &one.steps);
    let refused = steps.filter(|step| matches!(step.outcome, StepOutcome::Refused { .. }));
    (report.ending().exit_code(), reason, refused.map(|step| step.step.verb()).collect())
}

const ROTATION: [&str; 4] = ["issue", "publish", "prove", "promote"];

#[tokio::test]
async fn p6_a_reviewed_rotation_that_is_not_due_any_more_is_no_success() {
    let mut world = World::new(Shelf::File);
    world.declare("backup", &[]);
    world.apply().await;
    world.emulator.advance(jiff::SignedDuration::from_hours(24 * 181));
    let reviewed = world.plan().await.0;
    world.declared("backup").timing = Timing::RotationPeriod("300d".parse().unwrap());
    let (code, reason, refused) = outcome(&world, &reviewed).await;
    assert_eq!((code, refused.as_slice()), (4, ROTATION.as_slice()));
    assert!(
        reason.contains(
            "reviewed and not done: issue, publish, prove, promote: the declaration has changed since"
        ),
        "{reason}"
    );
    world.declared("backup").timing = Timing::RotationPeriod("180d".parse().unwrap());
    let until = "2099-01-01".parse().unwrap();
    world.declared("backup").hold = Some(Hold { until, reason: "audit".into() });
    let (code, reason, refused) = outcome(&world, &reviewed).await;
    assert_eq!((code, refused.as_slice()), (4, ROTATION.as_slice()));
    assert!(reason.contains("promote: rotate, held back by a hold: audit"), "{reason}");
}

#[tokio::test]
async fn p6_a_reviewed_rotation_that_another_one_came_before_is_no_success() {
    let mut world = World::new(Shelf::File);
    world.declare("backup", &[]);
    world.apply().await;
    world.emulator.advance(jiff::SignedDuration::from_hours(24 * 181));
    let reviewed = world.plan().await.0;
    world.declared("backup").subject = "CN=other".to_owned();
    world.apply().await;
    let (code, _, refused) = outcome(&world, &reviewed).await;
    assert_eq!((code, refused.as_slice()), (4, ROTATION.as_slice()));
}

#[tokio::test]
async fn a_reviewed_plan_that_was_carried_out_is_a_success_again_whatever_came_after() {
    let mut world = World::new(Shelf::File);
    world.declare("backup", &[]);
    let first = world.plan().await.0;
    world.apply().await;
    assert_eq!(outcome(&world, &first).await.0, 0, "all of it is done");
    world.emulator.advance(jiff::SignedDuration::from_hours(24 * 181));
    let second = world.plan().await.0;
    world.apply().await;
    assert_eq!(outcome(&world, &second).await.0, 0, "the second one");
    world.emulator.advance(jiff::SignedDuration::from_hours(24 * 15));
    let retirement = world.plan().await.0;
    assert!(retirement.certificates[0].steps.iter().any(|one| matches!(one.step, Step::Retire { .. })));
    world.apply().await;
    assert_eq!(outcome(&world, &retirement).await.0, 0, "what was to go is gone");
    assert_eq!(outcome(&world, &first).await.0, 0, "it was current once");
}

/// What a place gets is a password-protected file or a bare key: who reviewed the one did not review the other.
#[tokio::test]
async fn p4_a_key_is_given_in_no_other_form_than_was_reviewed() {
    let mut world = World::new(Shelf::File);
    world.declare("backup", &[]);
    world.apply().await;
    let form = Form { format: Format::Pfx, profile: PfxProfile::default(), password: Password::Generate };
    let mut place = delivery("somewhere");
    place.form = form.clone();
    world.declared("backup").deliveries = vec![place];
    let reviewed = world.plan().await.0;
    assert_eq!(reviewed.certificates[0].steps[0].step.to_string().split(" as ").nth(1), Some("pfx"));
    world.declared("backup").deliveries = vec![delivery("somewhere")];
    let (code, _, refused) = outcome(&world, &reviewed).await;
    assert_eq!((code, refused.as_slice()), (4, ["deliver"].as_slice()));
    assert_eq!(world.deliveries.changes("somewhere"), 0);

    // So it is with what consumers read in the store, where nothing is issued: in a rollback.
    world.declared("backup").deliveries.clear();
    world.emulator.advance(jiff::SignedDuration::from_hours(24 * 181));
    world.apply().await;
    let until = "2099-01-01".parse().unwrap();
    world.declared("backup").hold = Some(Hold { until, reason: "audit".into() });
    world.policy.rollback = ["contoso/backup".parse().unwrap()].into();
    let reviewed = world.plan().await.0;
    world.declared("backup").store.as_mut().unwrap().form = form;
    let (code, _, refused) = outcome(&world, &reviewed).await;
    assert_eq!((code, refused.as_slice()), (4, ["promote"].as_slice()));
}
