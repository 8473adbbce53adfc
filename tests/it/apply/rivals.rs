//! Two runs on one certificate: what the slower one planned is not done to what the faster one made of it.

use std::path::Path;
use std::process::Command;

use certroll::apply::Cancel;
use certroll::apply::outcome::{Outcome, Report};
use certroll::desired::Hold;
use certroll::edges::TroubleKind;
use jiff::SignedDuration;

use crate::support::world::{Shelf, World, delivery};

const SLOT: &str = "somewhere";

fn outcome(report: &Report) -> &Outcome {
    assert_eq!(report.certificates.len(), 1);
    &report.certificates[0].outcome
}

fn gave_way(report: &Report) -> bool {
    matches!(outcome(report), Outcome::Failed { trouble } if trouble.kind == TroubleKind::Conflict)
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

/// Certificate `backup` with a place that cannot say what it holds; made, rotated, delivered.
async fn rotated(shelf: Shelf) -> World {
    let mut world = World::with_one(shelf);
    world.declared("backup").deliveries.push(delivery(SLOT));
    assert!(matches!(outcome(&world.apply().await), Outcome::Proven { .. }));
    world.emulator.advance(days(181));
    assert!(matches!(outcome(&world.apply().await), Outcome::Proven { rotated: true }));
    world
}

async fn rolled_back(world: &mut World) {
    let until = "2028-12-31".parse().unwrap();
    world.declared("backup").hold = Some(Hold { until, reason: "rolled back".to_owned() });
    world.policy.rollback = ["contoso/backup".parse().unwrap()].into();
    let report = world.apply().await;
    assert_eq!(*outcome(&report), Outcome::Proven { rotated: false }, "{report:#?}");
}

/// Whether what consumers read is on the target.
async fn works(world: &World) -> bool {
    let holding = world.holding("backup").await;
    let current = holding.current_generation().unwrap().record.thumbprints.unwrap();
    let observed = world.observe().await;
    let tenant = observed.tenants.values().next().unwrap();
    let certroll::observed::TargetState::Found(target) = tenant.targets.values().next().unwrap() else {
        panic!("{tenant:?}")
    };
    target.credentials.iter().any(|credential| credential.is_of(&current))
}

#[tokio::test]
async fn p1_what_was_put_back_meanwhile_is_not_taken_off() {
    for shelf in
        [Shelf::File, Shelf::TwoSlot { check_and_set: true }, Shelf::TwoSlot { check_and_set: false }]
    {
        let mut world = rotated(shelf).await;
        world.emulator.advance(days(15));
        let (plan, observed) = world.plan().await;
        assert_eq!(plan.certificates[0].steps.len(), 2, "prove and retire: {plan:#?}");
        rolled_back(&mut world).await;
        let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
        assert!(gave_way(&report), "{shelf:?}: {report:#?}");
        assert!(works(&world).await, "{shelf:?}");
    }
}

#[tokio::test]
async fn p1_a_newer_key_is_not_overwritten_where_it_was_delivered() {
    let mut world = rotated(Shelf::File).await;
    world.deliveries.altered_by_others(SLOT);
    let (plan, observed) = world.plan().await;
    assert_eq!(plan.certificates[0].steps.len(), 1, "deliver: {plan:#?}");
    rolled_back(&mut world).await;
    let delivered = world.deliveries.holds(SLOT);
    let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    assert!(gave_way(&report), "{report:#?}");
    assert_eq!(world.deliveries.holds(SLOT), delivered);
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[tokio::test]
async fn a_delivery_that_crossed_another_one_is_made_again() {
    let mut world = rotated(Shelf::File).await;
    world.deliveries.altered_by_others(SLOT);
    let (plan, observed) = world.plan().await;
    // A faster run puts the former one back and delivers it, while the delivery of the slower one is under way.
    let (keys, before, after) =
        (world.keys(), world.keys().with_extension("before"), world.keys().with_extension("after"));
    copy(&keys, &before);
    rolled_back(&mut world).await;
    let current = world.holding("backup").await.current;
    std::fs::rename(&keys, &after).unwrap();
    std::fs::rename(&before, &keys).unwrap();
    world.deliveries.meanwhile(keys, after);
    let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    assert!(gave_way(&report), "{report:#?}");
    let holding = world.holding("backup").await;
    assert_eq!(holding.current, current);
    let record = &holding.current_generation().unwrap().record;
    assert_ne!(world.deliveries.holds(SLOT), record.thumbprints, "the slower one came last");
    assert_eq!(record.delivered_to(SLOT), None);
    world.policy.rollback.clear();
    world.apply().await;
    assert_eq!(world.deliveries.holds(SLOT), record.thumbprints);
}
