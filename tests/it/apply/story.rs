//! A certificate's life, run by run.

use certroll::apply::outcome::{Ending, Outcome};
use certroll::observed::{Current, KeyState};
use jiff::SignedDuration;

use crate::support::world::{Shelf, World, foreign_entry};

const SHELVES: [Shelf; 4] = [
    Shelf::File,
    Shelf::TwoSlot { check_and_set: true },
    Shelf::TwoSlot { check_and_set: false },
    Shelf::AppendIsLive,
];

fn outcome(report: &certroll::apply::outcome::Report) -> &Outcome {
    assert_eq!(report.certificates.len(), 1);
    &report.certificates[0].outcome
}

#[tokio::test]
async fn the_first_run_issues_publishes_proves_and_promotes() {
    for shelf in SHELVES {
        let mut world = World::new(shelf);
        let (object, _) = world.declare("backup", &[]);
        let report = world.apply().await;
        assert_eq!(*outcome(&report), Outcome::Proven { rotated: true }, "{shelf:?} {report:#?}");
        assert_eq!(report.ending(), Ending::Fine);
        assert_eq!(world.entries(object).len(), 1);
        let holding = world.holding("backup").await;
        let current = holding.current_generation().unwrap();
        assert!(current.record.promoted_at.is_some(), "{shelf:?}");
        let (plan, _) = world.plan().await;
        assert!(plan.is_empty(), "P5, {shelf:?}: {plan:#?}");
    }
}

#[tokio::test]
async fn a_rotation_keeps_the_predecessor_until_its_overlap_is_over() {
    for shelf in SHELVES {
        let mut world = World::new(shelf);
        let (object, _) = world.declare("backup", &[foreign_entry(1, "2030-01-01T00:00:00.1234567Z").await]);
        let foreign = world.entries(object)[0].clone();
        assert_eq!(world.apply().await.ending(), Ending::Fine);
        world.emulator.advance(SignedDuration::from_hours(24 * 181));
        let report = world.apply().await;
        assert_eq!(*outcome(&report), Outcome::Proven { rotated: true }, "{shelf:?} {report:#?}");
        assert_eq!(world.entries(object).len(), 3, "predecessor, successor, foreign");
        world.emulator.advance(SignedDuration::from_hours(24 * 15));
        let report = world.apply().await;
        assert_eq!(*outcome(&report), Outcome::Done, "{shelf:?} {report:#?}");
        let entries = world.entries(object);
        assert_eq!(entries.len(), 2, "{shelf:?}");
        assert!(entries.contains(&foreign), "P2: byte for byte");
        let holding = world.holding("backup").await;
        assert!(matches!(holding.current, Some(Current::Recorded(_))));
        assert!(holding.current_generation().unwrap().key == KeyState::Held);
        assert!(world.plan().await.0.is_empty(), "P5, {shelf:?}");
    }
}
