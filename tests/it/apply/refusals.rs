//! What the applier refuses although the plan it is given says so: its rules do not rest on the planner's.

use certroll::apply::Cancel;
use certroll::apply::outcome::{Ending, Outcome};
use certroll::ids::TargetKind;
use certroll::plan::step::{CredentialRef, GenerationRef, Step};
use certroll::plan::{Plan, PlannedTarget};
use jiff::SignedDuration;
use uuid::Uuid;

use crate::support::world::{Shelf, World};

/// A certificate in its second generation, the overlap of the first over: the plan proves the second and retires the first.
async fn due_for_retirement() -> (World, Uuid) {
    let mut world = World::new(Shelf::File);
    let (object, _) = world.declare("backup", &[]);
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    world.emulator.advance(SignedDuration::from_hours(24 * 181));
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    world.emulator.advance(SignedDuration::from_hours(24 * 15));
    (world, object)
}

/// The steps' own subjects, for a plan that has been tampered with.
fn proven(plan: &mut Plan) -> &mut GenerationRef {
    let mut steps = plan.certificates[0].steps.iter_mut();
    steps
        .find_map(|planned| {
            if let Step::Prove { generation, .. } = &mut planned.step { Some(generation) } else { None }
        })
        .unwrap()
}

fn retired(plan: &mut Plan) -> &mut CredentialRef {
    let mut steps = plan.certificates[0].steps.iter_mut();
    steps
        .find_map(
            |planned| {
                if let Step::Retire { credential } = &mut planned.step { Some(credential) } else { None }
            },
        )
        .unwrap()
}

/// Carries such a plan out and expects that nothing is taken off.
async fn takes_nothing_off(tamper: impl AsyncFnOnce(&World, &mut Plan)) {
    let (world, object) = due_for_retirement().await;
    let before = world.entries(object);
    let (mut plan, observed) = world.plan().await;
    tamper(&world, &mut plan).await;
    let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    let outcome = &report.certificates[0].outcome;
    assert!(matches!(outcome, Outcome::Refused { .. }), "{report:#?}");
    assert_eq!(report.ending().exit_code(), 4);
    assert_eq!(world.entries(object), before);
}

/// What consumers read, as a plan names its credential.
async fn in_use(world: &World) -> CredentialRef {
    let holding = world.holding("backup").await;
    let record = &holding.current_generation().unwrap().record;
    CredentialRef {
        key_id: record.key_id.unwrap(),
        sha1: record.thumbprints.unwrap().sha1,
        end: record.not_after,
    }
}

#[tokio::test]
async fn p1_and_p6_the_credential_that_was_proven_is_not_the_one_that_is_taken_off() {
    takes_nothing_off(async |world, plan| *retired(plan) = in_use(world).await).await;
}

#[tokio::test]
async fn p1_and_p6_the_proof_of_a_generation_that_consumers_do_not_read_takes_nothing_off() {
    takes_nothing_off(async |world, plan| {
        let holding = world.holding("backup").await;
        let current = in_use(world).await;
        let is_former = |record: &certroll::observed::record::PublicRecord| {
            record.thumbprints.is_some_and(|thumbprints| thumbprints.sha1 != current.sha1)
        };
        let former =
            holding.generations.iter().map(|one| &one.record).find(|record| is_former(record)).unwrap();
        *proven(plan) = GenerationRef { rotation_id: former.rotation_id, thumbprints: former.thumbprints };
        *retired(plan) = current;
    })
    .await;
}

#[tokio::test]
async fn p4_what_follows_a_step_that_was_not_reviewed_is_not_done_although_it_was_reviewed_itself() {
    let world = World::with_one(Shelf::File);
    let (fresh, observed) = world.plan().await;
    let mut reviewed = fresh.clone();
    reviewed.certificates[0].steps.retain(|planned| !matches!(planned.step, Step::Publish { .. }));
    let report = world.apply_plan(&fresh, Some(&reviewed), &observed, &Cancel::never()).await;
    assert!(matches!(report.certificates[0].outcome, Outcome::Refused { .. }), "{report:#?}");
    assert!(world.bodies.lock().unwrap().is_empty(), "the credential that nobody reviewed was not written");
    assert!(world.holding("backup").await.current.is_none());
}

#[tokio::test]
async fn p4_a_plan_for_another_object_or_directory_allows_nothing() {
    for is_other in [
        (|target| target.id.object_id = Uuid::from_u128(9)) as fn(&mut PlannedTarget),
        |target| target.id.kind = TargetKind::ServicePrincipal,
        |target| target.tenant_id = Uuid::from_u128(9),
    ] {
        let world = World::with_one(Shelf::File);
        let (fresh, observed) = world.plan().await;
        let mut reviewed = fresh.clone();
        is_other(reviewed.certificates[0].target.as_mut().unwrap());
        let report = world.apply_plan(&fresh, Some(&reviewed), &observed, &Cancel::never()).await;
        assert!(matches!(report.certificates[0].outcome, Outcome::Refused { .. }), "{report:#?}");
        assert!(world.bodies.lock().unwrap().is_empty());
        let stores = format!("{:?}", world.observe().await.stores);
        assert_eq!(stores, format!("{:?}", observed.stores), "nothing was staged");
    }
}

#[tokio::test]
async fn p6_what_was_published_and_not_proven_is_not_called_done() {
    let world = World::with_one(Shelf::File);
    let (mut plan, observed) = world.plan().await;
    let published =
        plan.certificates[0].steps.iter().position(|one| matches!(one.step, Step::Publish { .. }));
    plan.certificates[0].steps.truncate(published.unwrap() + 1);
    let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    let outcome = &report.certificates[0].outcome;
    assert!(matches!(outcome, Outcome::PublishedNotProven { as_declared: false, .. }), "{report:#?}");
    assert_eq!(report.ending().exit_code(), 5);
}

#[tokio::test]
async fn a_certificate_begins_an_hour_before_it_is_made_for_clocks_that_are_behind() {
    let world = World::with_one(Shelf::File);
    let began = world.emulator.now();
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    let not_before = world.holding("backup").await.current_generation().unwrap().record.not_before.unwrap();
    let hour = SignedDuration::from_hours(1);
    let early = began.duration_since(not_before);
    assert!(early <= hour && early > hour - SignedDuration::from_mins(1), "{early:?}");
}
