//! What `removed:` entries take off, and what they leave.

use certroll::apply::Cancel;
use certroll::apply::outcome::{Ending, Outcome, Report};
use certroll::desired::{Removed, SelectBy, TargetSelector};
use certroll::emulator::{Faults, StaleReads};
use certroll::ids::TargetKind;

use crate::support::world::{Shelf, TENANT, World, foreign_entry};

fn outcome(report: &Report) -> &Outcome {
    assert_eq!(report.certificates.len(), 1);
    &report.certificates[0].outcome
}

#[tokio::test]
async fn p2_what_a_removed_entry_names_goes_without_a_proof_and_nothing_else_does() {
    let mut world = World::new(Shelf::File);
    let (object, app_id) = world.declare("backup", &[foreign_entry(1, "2030-01-01T00:00:00.1234567Z").await]);
    let foreign = world.entries(object);
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    let address = "contoso/backup".parse().unwrap();
    world.desired.certificates.clear();
    world.desired.removed.push(Removed {
        address,
        target: TargetSelector { kind: TargetKind::Application, by: SelectBy::AppId(app_id) },
        retire: true,
        origin: Default::default(),
    });
    let report = world.apply().await;
    assert_eq!(*outcome(&report), Outcome::Done, "{report:#?}");
    assert_eq!(world.entries(object), foreign);
}

#[tokio::test]
async fn what_a_removed_entry_names_goes_although_it_has_become_the_only_credential() {
    let mut world = World::new(Shelf::File);
    let (object, app_id) = world.declare("backup", &[foreign_entry(1, "2030-01-01T00:00:00.1234567Z").await]);
    let foreign = world.entries(object).remove(0);
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    world.desired.certificates.clear();
    world.desired.removed.push(Removed {
        address: "contoso/backup".parse().unwrap(),
        target: TargetSelector { kind: TargetKind::Application, by: SelectBy::AppId(app_id) },
        retire: true,
        origin: Default::default(),
    });
    let (plan, observed) = world.plan().await;
    // Its owner takes the other one off between plan and apply.
    world.emulator.delete_credential(TENANT, object, foreign["keyId"].as_str().unwrap()).unwrap();
    world.bodies.lock().unwrap().clear();
    world
        .emulator
        .set_faults(Faults { stale_reads: Some(StaleReads { reads: 9, replicas: 2 }), ..Faults::default() });
    let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    assert_eq!(*outcome(&report), Outcome::Done, "{report:#?}");
    world.emulator.set_faults(Faults::default());
    assert!(world.entries(object).is_empty());
    assert_eq!(*world.bodies.lock().unwrap(), [serde_json::json!({ "keyCredentials": [] })]);
    assert!(world.plan().await.0.is_empty(), "and the next plan has nothing to do");
}
