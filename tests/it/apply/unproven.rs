//! Where the proof comes after the promotion, consumers read a key that has not signed in yet. Nobody may forget that.

use certroll::apply::outcome::{Ending, Outcome, Report};
use certroll::desired::Prove;
use certroll::emulator::{Faults, TokenPropagation};
use jiff::SignedDuration;

use crate::support::world::{Shelf, TENANT, World};

const SHELVES: [Shelf; 2] = [Shelf::AppendIsLive, Shelf::File];

fn outcome(report: &Report) -> &Outcome {
    assert_eq!(report.certificates.len(), 1);
    &report.certificates[0].outcome
}

/// A certificate that is promoted before its proof, and a login service that does not learn of new keys.
fn world_of(shelf: Shelf) -> World {
    let mut world = World::with_one(shelf);
    world.declared("backup").prove = Prove::AfterPromotion;
    let never = TokenPropagation { seconds: 10_000_000, front_ends: 1, removals: false };
    world.emulator.set_faults(Faults { token_propagation: Some(never), ..Faults::default() });
    world
}

async fn is_recorded_as_proven(world: &World) -> bool {
    world.holding("backup").await.current_generation().unwrap().record.proven_at.is_some()
}

#[tokio::test]
async fn p6_a_proof_that_fails_after_the_promotion_is_made_up_for_by_a_later_run() {
    for shelf in SHELVES {
        let world = world_of(shelf);
        for _ in 0..2 {
            let report = world.apply().await;
            assert!(matches!(outcome(&report), Outcome::NotYet { .. }), "{shelf:?} {report:#?}");
            assert_eq!(report.ending().exit_code(), 5, "{shelf:?}");
            assert!(!is_recorded_as_proven(&world).await, "{shelf:?}");
        }
        world.emulator.set_faults(Faults::default());
        let report = world.apply().await;
        assert_eq!(*outcome(&report), Outcome::Proven { rotated: true }, "{shelf:?} {report:#?}");
        assert_eq!(report.ending(), Ending::Fine);
        assert!(is_recorded_as_proven(&world).await, "{shelf:?}");
        assert!(world.plan().await.0.is_empty(), "P5, {shelf:?}");
    }
}

#[tokio::test]
async fn p6_a_key_that_consumers_read_and_that_never_signed_in_needs_somebody_after_a_day() {
    for shelf in SHELVES {
        let world = world_of(shelf);
        world.apply().await;
        let (plan, _) = world.plan().await;
        assert!(plan.changes_anything() && !plan.needs_somebody(), "{shelf:?}: {plan:#?}");
        world.emulator.advance(SignedDuration::from_hours(25));
        let (plan, _) = world.plan().await;
        assert!(!plan.changes_anything() && plan.needs_somebody(), "{shelf:?}: {plan:#?}");
        let report = world.apply().await;
        let Outcome::Blocked { trouble } = outcome(&report) else { panic!("{shelf:?} {report:#?}") };
        assert!(trouble.reason.starts_with("published on 2026-11-20"), "{trouble}");
        world.emulator.set_faults(Faults::default());
        assert_eq!(*outcome(&world.apply().await), Outcome::Proven { rotated: true }, "{shelf:?}");
        assert!(world.plan().await.0.is_empty(), "{shelf:?}");
    }
}

#[tokio::test]
async fn p6_a_repair_whose_proof_fails_is_proven_by_a_later_run() {
    for shelf in SHELVES {
        let mut world = World::new(shelf);
        let (object, _) = world.declare("backup", &[]);
        assert_eq!(world.apply().await.ending(), Ending::Fine);
        world.emulator.advance(SignedDuration::from_hours(24));
        let key_id = world.entries(object).remove(0)["keyId"].as_str().unwrap().to_owned();
        world.emulator.delete_credential(TENANT, object, &key_id).unwrap();
        let never = TokenPropagation { seconds: 10_000_000, front_ends: 1, removals: false };
        world.emulator.set_faults(Faults { token_propagation: Some(never), ..Faults::default() });
        for _ in 0..2 {
            let report = world.apply().await;
            assert!(matches!(outcome(&report), Outcome::NotYet { .. }), "{shelf:?} {report:#?}");
        }
        world.emulator.set_faults(Faults::default());
        let report = world.apply().await;
        assert_eq!(*outcome(&report), Outcome::Proven { rotated: false }, "{shelf:?} {report:#?}");
        assert!(world.plan().await.0.is_empty(), "P5, {shelf:?}");
    }
}

#[tokio::test]
async fn what_was_proven_before_its_promotion_is_not_proven_again_when_the_file_asks_for_the_other_order() {
    let mut world = World::with_one(Shelf::File);
    assert_eq!(*outcome(&world.apply().await), Outcome::Proven { rotated: true });
    world.declared("backup").prove = Prove::AfterPromotion;
    assert!(world.plan().await.0.is_empty());
}
