//! The operator's passwords are looked at before anything is made: one that is not set must not leave a live credential behind.

use certroll::apply::outcome::{Ending, Outcome, Report};
use certroll::desired::{Form, Format, Password, PfxProfile};
use jiff::SignedDuration;
use uuid::Uuid;

use crate::support::world::{Shelf, TENANT, World, delivery};

fn from_the_operator() -> Form {
    let password = Password::Env("CERTROLL_SECRET_PFX".to_owned());
    Form { format: Format::Pfx, profile: PfxProfile::Modern2023, password }
}

fn failure(report: &Report) -> String {
    let Outcome::Failed { trouble } = &report.certificates[0].outcome else { panic!("{report:#?}") };
    trouble.to_string()
}

async fn nothing_was_begun(world: &World, object: Uuid, entries: usize) {
    assert!(world.bodies.lock().unwrap().is_empty(), "nothing was written to the directory");
    assert_eq!(world.entries(object).len(), entries);
    assert!(world.holding("backup").await.generations.is_empty(), "no key was made");
}

#[tokio::test]
async fn a_password_that_is_not_set_or_stands_in_documentation_stops_a_rotation_before_it_begins() {
    for delivered in [false, true] {
        let mut world = World::new(Shelf::File);
        let (object, _) = world.declare("backup", &[]);
        if delivered {
            let place = certroll::desired::Delivery { form: from_the_operator(), ..delivery("somewhere") };
            world.declared("backup").deliveries.push(place);
        } else {
            world.declared("backup").store.as_mut().unwrap().form = from_the_operator();
        }
        let report = world.apply().await;
        let source = "reading the password of contoso/backup from env CERTROLL_SECRET_PFX";
        assert_eq!(failure(&report), format!("{source}: it is not set"));
        assert_eq!(report.ending(), Ending::Error);
        nothing_was_begun(&world, object, 0).await;

        world.secret = Some("P@ssw0rd".to_owned());
        let failed = failure(&world.apply().await);
        assert_eq!(failed, format!("{source}: the password is a sample from documentation"));
        assert!(!failed.contains("P@ssw0rd"), "P3");
        nothing_was_begun(&world, object, 0).await;

        world.secret = Some("correct horse battery staple".to_owned());
        let report = world.apply().await;
        assert_eq!(report.certificates[0].outcome, Outcome::Proven { rotated: true }, "{report:#?}");
    }
}

/// Consumers are locked out until it is done, and it needs no password.
#[tokio::test]
async fn a_repair_waits_for_no_password_although_a_rotation_is_due_beside_it() {
    let mut world = World::new(Shelf::File);
    let (object, _) = world.declare("backup", &[]);
    world.declared("backup").store.as_mut().unwrap().form = from_the_operator();
    world.secret = Some("correct horse battery staple".to_owned());
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    world.emulator.advance(SignedDuration::from_hours(24 * 181));
    let key_id =
        world.holding("backup").await.current_generation().unwrap().record.key_id.unwrap().to_string();
    world.emulator.delete_credential(TENANT, object, &key_id).unwrap();
    world.secret = None;
    let report = world.apply().await;
    assert!(failure(&report).ends_with("it is not set"));
    assert_eq!(report.ending(), Ending::InPart);
    assert_eq!(world.entries(object).len(), 1, "published again");
    assert_eq!(world.holding("backup").await.generations.len(), 1, "no key was made");
}
