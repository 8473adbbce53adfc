//! What an outcome is called.

use certroll::apply::Cancel;
use certroll::apply::outcome::{Ending, Outcome, Report};
use certroll::desired::{Hold, Issuer, Prove, PublicKeyFile};
use certroll::emulator::Change;
use certroll::plan::reason::{Note, NoteKind};
use jiff::SignedDuration;

use crate::support::keys;
use crate::support::world::{Shelf, TENANT, World, moment};

fn outcome(report: &Report) -> &Outcome {
    assert_eq!(report.certificates.len(), 1);
    &report.certificates[0].outcome
}

#[tokio::test]
async fn p6_a_rollback_is_proven_and_not_called_rotated() {
    let mut world = World::with_one(Shelf::File);
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    let first = world.holding("backup").await.current;
    world.emulator.advance(SignedDuration::from_hours(24 * 181));
    assert_eq!(*outcome(&world.apply().await), Outcome::Proven { rotated: true });
    world.emulator.advance(SignedDuration::from_hours(1));
    let until = "2027-12-31".parse().unwrap();
    world.declared("backup").hold = Some(Hold { until, reason: "rolled back".to_owned() });
    world.policy.rollback = ["contoso/backup".parse().unwrap()].into();
    let report = world.apply().await;
    assert_eq!(*outcome(&report), Outcome::Proven { rotated: false }, "{report:#?}");
    assert_eq!(world.holding("backup").await.current, first);
}

#[tokio::test]
async fn p6_a_providers_key_is_not_proven_because_the_provider_keeps_it() {
    let mut world = World::with_one(Shelf::File);
    let key = keys::key(3);
    let issued = keys::self_signed("CN=provider", moment("2026-11-20T11:00:00Z"), 9, &key).await;
    let file = PublicKeyFile { path: "provider.cer".to_owned(), certificate: issued.certificate };
    let declared = world.declared("backup");
    declared.issuer = Issuer::ExternalPublicKey { files: vec![file] };
    declared.store = None;
    declared.prove = Prove::ReadBack;
    let report = world.apply().await;
    let Outcome::PublishedNotProven { reason, as_declared: true } = outcome(&report) else {
        panic!("{report:#?}")
    };
    assert_eq!(reason, "the provider keeps the key, so nobody here can sign in with it");
    assert_eq!(report.ending(), Ending::Fine);
}

#[tokio::test]
async fn p6_what_is_blocked_or_waited_for_is_not_called_nothing_to_do() {
    let mut world = World::new(Shelf::File);
    let (object, _) = world.declare("backup", &[]);
    world.emulator.change(TENANT, Change::Delete { object, kind: None }).unwrap();
    let (mut plan, observed) = world.plan().await;
    let blocked = plan.certificates[0].notes.iter().find(|note| note.kind == NoteKind::Blocked).unwrap();
    let (text, hint) = (blocked.text.clone(), blocked.hint.clone());
    let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    let Outcome::Blocked { trouble } = outcome(&report) else { panic!("{report:#?}") };
    assert_eq!((&trouble.reason, &trouble.hint), (&text, &hint));
    assert_eq!(report.ending(), Ending::Fine, "the plan tells of it; nothing failed");

    plan.certificates[0].notes = vec![Note::new(NoteKind::Waiting, "somebody is to acknowledge")];
    let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    let waiting = Outcome::Waiting { reason: "somebody is to acknowledge".to_owned() };
    assert_eq!((outcome(&report), report.ending()), (&waiting, Ending::Fine));

    plan.certificates[0].notes.clear();
    let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    assert_eq!((outcome(&report), report.ending()), (&Outcome::NothingToDo, Ending::Fine));
}
