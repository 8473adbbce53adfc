//! Which chains of one run wait for each other, and which come first.

use certroll::apply::events::Event;
use certroll::apply::outcome::Ending;
use certroll::ids::TargetKind;
use jiff::SignedDuration;

use crate::support::world::{Shelf, TENANT, World};

/// The names of the certificates as their steps began and ended.
fn turns(world: &World) -> Vec<String> {
    let steps = world.events.all().into_iter().filter_map(|event| match event {
        Event::ApplyStart { address, .. } | Event::ApplyComplete { address, .. } => {
            Some(address.name.to_string())
        }
        _ => None,
    });
    let mut turns: Vec<String> = steps.collect();
    turns.dedup();
    turns
}

#[tokio::test]
async fn an_application_and_its_service_principal_are_not_worked_on_at_the_same_time() {
    let mut world = World::new(Shelf::File);
    let (_, app_id) = world.declare("backup", &[]);
    world.declare_on("reports", TargetKind::ServicePrincipal, app_id);
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    assert_eq!(turns(&world), ["backup", "reports"], "one chain is over before the other begins");
    // Their rotations and retirements keep to that as well.
    for days in [181, 15] {
        world.emulator.advance(SignedDuration::from_hours(24 * days));
        let before = world.events.all().len();
        let report = world.apply().await;
        assert_eq!(report.ending(), Ending::Fine, "{report:#?}");
        assert!(world.events.all().len() > before, "there was something to do");
        let times: Vec<_> = report
            .certificates
            .iter()
            .map(|one| (one.steps.first().unwrap().began.unwrap(), one.steps.last().unwrap().ended.unwrap()))
            .collect();
        assert_eq!(times.len(), 2);
        assert!(times[0].1 <= times[1].0 || times[1].1 <= times[0].0, "{times:?}");
    }
}

#[tokio::test]
async fn two_applications_are_worked_on_at_the_same_time() {
    let mut world = World::new(Shelf::File);
    world.declare("backup", &[]);
    world.declare("reports", &[]);
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    let turns = turns(&world);
    assert!(turns.len() > 2, "neither waited for the other to end: {turns:?}");
}

/// `zulu` was deleted behind our back; `alpha` is new, and `together` says whether on the same client id.
async fn repair_and_rotation(together: bool) -> World {
    let mut world = World::new(Shelf::File);
    let (object, app_id) = world.declare("zulu", &[]);
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    world.emulator.advance(SignedDuration::from_hours(24));
    let key_id = world.entries(object)[0]["keyId"].as_str().unwrap().to_owned();
    world.emulator.delete_credential(TENANT, object, &key_id).unwrap();
    match together {
        true => world.declare_on("alpha", TargetKind::ServicePrincipal, app_id),
        false => drop(world.declare("alpha", &[])),
    }
    world
}

#[tokio::test]
async fn what_consumers_miss_is_repaired_before_anything_else_is_begun() {
    for together in [true, false] {
        let world = repair_and_rotation(together).await;
        let before = world.events.all().len();
        assert_eq!(world.apply().await.ending(), Ending::Fine);
        let events = world.events.all().split_off(before);
        let started = events.iter().filter_map(|event| match event {
            Event::ApplyStart { address, action, .. } => Some((address.name.to_string(), action.clone())),
            _ => None,
        });
        let started: Vec<_> = started.collect();
        assert_eq!(started[0].0, "zulu", "on one client id: {together}: {started:?}");
        if together {
            let names: Vec<_> = started.iter().map(|(name, _)| name.as_str()).collect();
            assert!(names.is_sorted_by(|one, two| one >= two), "the repair is over first: {names:?}");
        }
    }
}
