//! Certificates that share an object: a write of one never loses what another run published for the other a moment ago.

use certroll::apply::Cancel;
use certroll::apply::outcome::{Ending, Outcome, Report};
use certroll::desired::{SelectBy, TargetSelector};
use certroll::emulator::{Faults, StaleReads};
use certroll::ids::{Address, TargetKind};
use jiff::SignedDuration;
use uuid::Uuid;

use crate::support::world::{Shelf, TENANT, World};

fn outcome(report: &Report) -> &Outcome {
    assert_eq!(report.certificates.len(), 1);
    &report.certificates[0].outcome
}

fn addresses(names: &[&str]) -> Vec<Address> {
    names.iter().map(|name| format!("contoso/{name}").parse().unwrap()).collect()
}

/// `backup` was promoted a moment ago; `reports`, on the same object and declared by its display name, is new.
async fn two_on_one_object() -> (World, Uuid) {
    let mut world = World::new(Shelf::File);
    let (object, app_id) = world.declare("backup", &[]);
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    world.declare_on("reports", TargetKind::Application, app_id);
    world.declared("reports").target =
        TargetSelector { kind: TargetKind::Application, by: SelectBy::DisplayName("backup".to_owned()) };
    world.policy.only = vec!["contoso/reports".parse().unwrap()];
    world.bodies.lock().unwrap().clear();
    (world, object)
}

#[tokio::test]
async fn stores_of_certificates_on_a_selected_object_are_read_and_no_others() {
    let (mut world, object) = two_on_one_object().await;
    world.declare("elsewhere", &[]);
    let observed = world.observe_only(&["reports"]).await;
    assert_eq!(observed.stores.keys().cloned().collect::<Vec<_>>(), addresses(&["backup", "reports"]));
    // Whatever the form of the selectors.
    let by = SelectBy::ObjectId(object);
    world.declared("backup").target = TargetSelector { kind: TargetKind::Application, by };
    let observed = world.observe_only(&["reports"]).await;
    assert_eq!(observed.stores.keys().cloned().collect::<Vec<_>>(), addresses(&["backup", "reports"]));
    let observed = world.observe_only(&["elsewhere"]).await;
    assert_eq!(observed.stores.keys().cloned().collect::<Vec<_>>(), addresses(&["elsewhere"]));
    // A service principal has a list of its own.
    world.declared("backup").target.kind = TargetKind::ServicePrincipal;
    let observed = world.observe_only(&["reports"]).await;
    assert_eq!(observed.stores.keys().cloned().collect::<Vec<_>>(), addresses(&["reports"]));
}

#[tokio::test]
async fn publishing_waits_for_what_another_run_may_just_have_published() {
    let (world, object) = two_on_one_object().await;
    // The directory does not show what `backup` reads, be it that reads lag or that somebody took it off: nobody can tell.
    let published = world.entries(object).remove(0);
    world.emulator.delete_credential(TENANT, object, published["keyId"].as_str().unwrap()).unwrap();
    let report = world.apply_only(&["reports"]).await;
    let Outcome::NotYet { trouble } = outcome(&report) else { panic!("{report:#?}") };
    assert!(trouble.reason.contains("made a short while ago"), "{trouble}");
    assert!(world.bodies.lock().unwrap().is_empty(), "no write");
    // After a quarter of an hour a read shows everything: what it does not show is gone.
    world.emulator.advance(SignedDuration::from_mins(15));
    let report = world.apply_only(&["reports"]).await;
    assert_eq!(*outcome(&report), Outcome::Proven { rotated: true }, "{report:#?}");
    assert_eq!(world.entries(object).len(), 1);
}

#[tokio::test]
async fn p2_stale_reads_lose_nothing_of_a_run_that_came_just_before() {
    for reads in [3, 7, 20] {
        let mut world = World::new(Shelf::File);
        let (object, app_id) = world.declare("backup", &[]);
        let stale = StaleReads { reads, replicas: 3 };
        world.emulator.set_faults(Faults { stale_reads: Some(stale), ..Faults::default() });
        let first = world.apply().await;
        world.declare_on("reports", TargetKind::Application, app_id);
        world.policy.only = vec!["contoso/reports".parse().unwrap()];
        let second = world.apply_only(&["reports"]).await;
        world.emulator.set_faults(Faults::default());
        assert_eq!(world.entries(object).len(), 2, "{reads}: {first:#?} {second:#?}");
    }
}

#[tokio::test]
async fn two_that_were_stopped_after_staging_do_not_wait_for_each_other() {
    let mut world = World::new(Shelf::File);
    let (object, app_id) = world.declare("backup", &[]);
    world.declare_on("reports", TargetKind::Application, app_id);
    let (plan, observed) = world.plan().await;
    // Each is stopped once its key is in the store.
    for certificate in &plan.certificates {
        let mut alone = plan.clone();
        alone.certificates.retain(|one| one.address == certificate.address);
        alone.certificates[0].steps.truncate(1);
        world.apply_plan(&alone, None, &observed, &Cancel::never()).await;
    }
    assert!(world.entries(object).is_empty());
    assert_eq!(world.holding("backup").await.generations.len(), 1, "staged");
    assert_eq!(world.holding("reports").await.generations.len(), 1, "staged");
    let report = world.apply().await;
    assert_eq!(report.ending(), Ending::Fine, "{report:#?}");
    assert_eq!(world.entries(object).len(), 2);
}
