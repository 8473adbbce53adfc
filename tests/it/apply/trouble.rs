//! Entra at its worst: stale reads, lost answers, rivals, dropped writes, throttling, slow spreading.

use certroll::apply::Cancel;
use certroll::apply::events::Event;
use certroll::apply::outcome::{Ending, Outcome, Report, StepOutcome};
use certroll::desired::Retire;
use certroll::edges::TroubleKind;
use certroll::emulator::{
    Change, DroppedWrites, Every, Faults, LostAnswer, RivalChange, RivalWrite, StaleReads, Throttled,
    TokenFaults, TokenPropagation, Unavailable, Which,
};
use certroll::ids::KeyId;
use certroll::plan::predict;
use jiff::SignedDuration;
use serde_json::Value;
use uuid::Uuid;

use crate::support::world::{Shelf, TENANT, World, foreign_entry};

fn outcome(report: &Report) -> &Outcome {
    assert_eq!(report.certificates.len(), 1);
    &report.certificates[0].outcome
}

/// A world with one certificate on an object that carries two entries of others.
async fn crowded() -> (World, Uuid, Vec<Value>) {
    let mut world = World::new(Shelf::File);
    let foreign = [
        foreign_entry(1, "2030-01-01T00:00:00.1234567Z").await,
        foreign_entry(2, "2031-01-01T00:00:00Z").await,
    ];
    let (object, _) = world.declare("backup", &foreign);
    let foreign = world.entries(object);
    (world, object, foreign)
}

fn ours(world: &World, object: Uuid) -> Vec<Value> {
    let marked =
        |entry: &Value| entry["displayName"].as_str().is_some_and(|name| name.starts_with("certroll:"));
    world.entries(object).into_iter().filter(marked).collect()
}

/// Runs a first rotation under those faults and expects it to succeed, with everything of others untouched.
async fn rotates_under(what: &str, faults: Faults) -> (World, Uuid) {
    let (world, object, foreign) = crowded().await;
    world.emulator.set_faults(faults);
    let report = world.apply().await;
    assert_eq!(*outcome(&report), Outcome::Proven { rotated: true }, "{what}: {report:#?}");
    world.emulator.set_faults(Faults::default());
    let entries = world.entries(object);
    assert!(foreign.iter().all(|entry| entries.contains(entry)), "{what}: somebody else's entry is gone");
    assert_eq!(ours(&world, object).len(), 1, "{what}: exactly one key of ours");
    assert!(world.plan().await.0.is_empty(), "{what}: nothing is left to do");
    (world, object)
}

#[tokio::test]
async fn every_passing_trouble_ends_in_a_proven_rotation() {
    let throttled = |retry_after_seconds| Some(Throttled { every: 3, retry_after_seconds });
    let cases: Vec<(&str, Faults)> = vec![
        (
            "stale reads of one replica",
            Faults { stale_reads: Some(StaleReads { reads: 7, replicas: 1 }), ..Faults::default() },
        ),
        (
            "stale reads of three replicas",
            Faults { stale_reads: Some(StaleReads { reads: 4, replicas: 3 }), ..Faults::default() },
        ),
        (
            "a lost answer to a write that happened",
            Faults { lost_answers: vec![LostAnswer { write: 1, happened: true }], ..Faults::default() },
        ),
        (
            "a lost answer to a write that did not happen",
            Faults { lost_answers: vec![LostAnswer { write: 1, happened: false }], ..Faults::default() },
        ),
        (
            "a lost answer and stale reads",
            Faults {
                lost_answers: vec![LostAnswer { write: 1, happened: true }],
                stale_reads: Some(StaleReads { reads: 8, replicas: 2 }),
                ..Faults::default()
            },
        ),
        (
            "every second write in conflict",
            Faults { conflicts: Some(Every { every: 2 }), ..Faults::default() },
        ),
        ("throttled with Retry-After", Faults { throttled: throttled(Some(10)), ..Faults::default() }),
        ("throttled without Retry-After", Faults { throttled: throttled(None), ..Faults::default() }),
        (
            "a service in trouble that did its work",
            Faults {
                unavailable: Some(Unavailable { every: 3, status: 503, happened: true }),
                ..Faults::default()
            },
        ),
        (
            "a key that spreads slowly over three front ends",
            Faults {
                token_propagation: Some(TokenPropagation { seconds: 200, front_ends: 3, removals: true }),
                ..Faults::default()
            },
        ),
        (
            "a login service that is busy now and then",
            Faults {
                token: TokenFaults {
                    busy_every: Some(3),
                    unavailable_every: Some(5),
                    ..TokenFaults::default()
                },
                ..Faults::default()
            },
        ),
    ];
    for (what, faults) in cases {
        rotates_under(what, faults).await;
    }
}

#[tokio::test]
async fn p2_a_storm_of_conflicts_fails_and_changes_nothing() {
    let (world, object, foreign) = crowded().await;
    world.emulator.set_faults(Faults { conflicts: Some(Every { every: 1 }), ..Faults::default() });
    let report = world.apply().await;
    let Outcome::Failed { trouble } = outcome(&report) else { panic!("{report:#?}") };
    assert_eq!(trouble.kind, TroubleKind::Conflict);
    assert_eq!(world.bodies.lock().unwrap().len() as u32, world.settings().write_retries + 1);
    assert_eq!(world.entries(object), foreign);
    assert_eq!(report.ending(), Ending::InPart, "the key is staged, and the next run continues");
    world.emulator.set_faults(Faults::default());
    assert_eq!(*outcome(&world.apply().await), Outcome::Proven { rotated: true });
    assert_eq!(ours(&world, object).len(), 1);
    assert_eq!(world.holding("backup").await.generations.len(), 1, "one key for one rotation");
}

#[tokio::test]
async fn p6_a_write_dropped_behind_a_204_is_never_a_success() {
    let (world, object, foreign) = crowded().await;
    let dropped = DroppedWrites { which: Which::All, nth: None, application: None };
    world.emulator.set_faults(Faults { dropped_writes: Some(dropped), ..Faults::default() });
    let report = world.apply().await;
    let Outcome::Failed { trouble } = outcome(&report) else { panic!("{report:#?}") };
    assert_eq!(trouble.reason, "the directory accepted the write and does not show it");
    assert_eq!(world.entries(object), foreign);
}

#[tokio::test]
async fn a_rival_that_undoes_our_write_is_noticed_and_the_write_is_made_again() {
    let (world, object, foreign) = crowded().await;
    // Before our second write somebody adds a certificate of their own; the first write is undone by hand below.
    let (plan, observed) = world.plan().await;
    let undo = async {
        loop {
            tokio::task::yield_now().await;
            if let Some(entry) = ours(&world, object).first() {
                let thumbprint = entry["keyId"].as_str().unwrap().to_owned();
                world.emulator.delete_credential(TENANT, object, &thumbprint).unwrap();
                // Somebody else's list, written over ours, also has something new in it.
                let other = foreign_entry(3, "2032-01-01T00:00:00Z").await;
                world.add_entry(object, other);
                std::future::pending::<()>().await;
            }
        }
    };
    let never = Cancel::never();
    let report = tokio::select! {
        report = world.apply_plan(&plan, None, &observed, &never) => report,
        () = undo => unreachable!(),
    };
    assert_eq!(*outcome(&report), Outcome::Proven { rotated: true }, "{report:#?}");
    let entries = world.entries(object);
    assert!(foreign.iter().all(|entry| entries.contains(entry)));
    assert_eq!(entries.len(), foreign.len() + 2, "ours, and what the other one added");
    let StepOutcome::Done { shown } = &report.certificates[0].steps[1].outcome else { panic!("{report:#?}") };
    assert_eq!(shown.writes, 2);
}

#[tokio::test]
async fn an_entry_that_a_rival_takes_off_stays_off_and_is_told() {
    let (world, object, _) = crowded().await;
    let before_write = RivalWrite { before_write: 1, change: RivalChange::RemovesFirst };
    world.emulator.set_faults(Faults { rival_writes: vec![before_write], ..Faults::default() });
    let report = world.apply().await;
    assert_eq!(*outcome(&report), Outcome::Proven { rotated: true }, "{report:#?}");
    assert_eq!(world.entries(object).len(), 2, "ours, and the one of others that is left");
    assert_eq!(ours(&world, object).len(), 1);
    let StepOutcome::Done { shown } = &report.certificates[0].steps[1].outcome else { panic!("{report:#?}") };
    assert_eq!(shown.disappeared.len(), 1);
    let warned = |event: &Event| matches!(event, Event::Diagnostic { severity, .. } if severity == "warning");
    assert_eq!(world.events.all().iter().filter(|event| warned(event)).count(), 1);
}

#[tokio::test]
async fn p6_a_key_that_does_not_spread_in_time_stays_published_and_the_next_run_continues() {
    let (world, object, _) = crowded().await;
    let slow = TokenPropagation { seconds: 3600, front_ends: 1, removals: false };
    world.emulator.set_faults(Faults { token_propagation: Some(slow), ..Faults::default() });
    let report = world.apply().await;
    assert!(matches!(outcome(&report), Outcome::NotYet { .. }), "{report:#?}");
    assert_eq!(report.ending().exit_code(), 5);
    let took = report.ended.duration_since(report.began);
    assert!(took >= SignedDuration::from_mins(10) && took < SignedDuration::from_mins(12), "{took:?}");
    assert!(world.holding("backup").await.current.is_none(), "not promoted");
    let published = ours(&world, object);
    world.emulator.advance(SignedDuration::from_hours(1));
    let report = world.apply().await;
    assert_eq!(*outcome(&report), Outcome::Proven { rotated: true }, "{report:#?}");
    assert_eq!(ours(&world, object), published, "no second key");
}

#[tokio::test]
async fn a_key_that_is_not_accepted_a_day_after_publishing_needs_somebody() {
    let (world, _, _) = crowded().await;
    let never = TokenPropagation { seconds: 1_000_000, front_ends: 1, removals: false };
    world.emulator.set_faults(Faults { token_propagation: Some(never), ..Faults::default() });
    assert!(matches!(outcome(&world.apply().await), Outcome::NotYet { .. }));
    world.emulator.advance(SignedDuration::from_hours(25));
    let report = world.apply().await;
    let Outcome::Blocked { trouble } = outcome(&report) else { panic!("{report:#?}") };
    assert!(trouble.reason.starts_with("published on 2026-11-20"), "{trouble}");
}

#[tokio::test]
async fn p6_a_policy_on_this_machine_is_neither_proof_nor_failure() {
    let (world, object, _) = crowded().await;
    let (plan, observed) = world.plan().await;
    // From the moment the credential is there; certroll's own token was issued before.
    let block = async {
        while ours(&world, object).is_empty() {
            tokio::task::yield_now().await;
        }
        world.emulator.change(TENANT, Change::ConditionalAccess { blocks: true }).unwrap();
        std::future::pending::<()>().await;
    };
    let never = Cancel::never();
    let report = tokio::select! {
        report = world.apply_plan(&plan, None, &observed, &never) => report,
        () = block => unreachable!(),
    };
    let Outcome::PublishedNotProven { as_declared, reason } = outcome(&report) else { panic!("{report:#?}") };
    assert!(!as_declared && reason.contains("AADSTS53003"), "{reason}");
    assert_eq!(report.ending().exit_code(), 5);
    assert_eq!(ours(&world, object).len(), 1);
    assert!(world.holding("backup").await.current.is_none(), "not promoted");
}

#[tokio::test]
async fn p2_an_expired_entry_of_others_that_makes_entra_refuse_is_named_and_dropped_only_when_the_file_says_so()
 {
    let mut world = World::new(Shelf::File);
    let (object, _) = world.declare(
        "backup",
        &[foreign_entry(1, "2026-01-01T00:00:00Z").await, foreign_entry(2, "2031-01-01T00:00:00Z").await],
    );
    let foreign = world.entries(object);
    let mut settings = world.emulator.settings();
    settings.refuse_expired_resent = true;
    world.emulator.set_settings(settings);
    let report = world.apply().await;
    let Outcome::Blocked { trouble } = outcome(&report) else { panic!("{report:#?}") };
    let id = foreign[0]["keyId"].as_str().unwrap();
    assert_eq!(trouble.hint.as_deref(), Some(&*format!("allow to drop them: drop_expired_foreign: [{id}]")));
    assert_eq!(world.entries(object), foreign);

    let named: KeyId = id.parse().unwrap();
    let unexpired: KeyId = foreign[1]["keyId"].as_str().unwrap().parse().unwrap();
    world.declared("backup").drop_expired_foreign = [named, unexpired].into();
    let report = world.apply().await;
    assert_eq!(*outcome(&report), Outcome::Proven { rotated: true }, "{report:#?}");
    let entries = world.entries(object);
    assert!(!entries.contains(&foreign[0]), "dropped, as the file says");
    assert!(entries.contains(&foreign[1]), "named, but not expired");
}

fn refuse_expired(world: &World) {
    let mut settings = world.emulator.settings();
    settings.refuse_expired_resent = true;
    world.emulator.set_settings(settings);
}

fn hint(report: &Report) -> &str {
    let Outcome::Blocked { trouble } = outcome(report) else { panic!("{report:#?}") };
    trouble.hint.as_deref().unwrap()
}

#[tokio::test]
async fn where_nothing_is_published_dropping_in_the_next_rotation_is_not_called_the_way_out_of_today() {
    let mut world = World::new(Shelf::File);
    let (object, _) = world.declare("backup", &[foreign_entry(1, "2026-01-01T00:00:00Z").await]);
    let foreign = world.entries(object)[0]["keyId"].as_str().unwrap().to_owned();
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    world.emulator.advance(SignedDuration::from_hours(24 * 181));
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    world.emulator.advance(SignedDuration::from_hours(24 * 15));
    refuse_expired(&world);
    let report = world.apply().await;
    assert_eq!(
        hint(&report),
        format!(
            "delete them in Entra, or let the next rotation drop those of others: drop_expired_foreign: [{foreign}]"
        )
    );
}

#[tokio::test]
async fn an_expired_one_of_ours_is_never_named_for_drop_expired_foreign() {
    let mut world = World::new(Shelf::File);
    let (object, _) = world.declare("backup", &[foreign_entry(1, "2026-01-01T00:00:00Z").await]);
    world.declared("backup").retire = Retire::Never;
    let foreign = world.entries(object)[0]["keyId"].as_str().unwrap().to_owned();
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    let own = ours(&world, object)[0]["keyId"].as_str().unwrap().to_owned();
    world.emulator.advance(SignedDuration::from_hours(24 * 181));
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    // The first one ended after a year; the second one is due.
    world.emulator.advance(SignedDuration::from_hours(24 * 190));
    refuse_expired(&world);
    let report = world.apply().await;
    assert_eq!(
        hint(&report),
        format!(
            "allow to drop those of others: drop_expired_foreign: [{foreign}]; delete {own} in Entra: what is ours goes only after this write"
        )
    );
}

#[tokio::test]
async fn a_credential_ends_before_its_certificate_and_below_the_policy() {
    let (world, object) = rotates_under("nothing wrong", Faults::default()).await;
    let entry = ours(&world, object).remove(0);
    // DESIGN 5: start = now - 10 min; certificates are backdated by 1 h and valid for a year from now; end = notAfter - 1 s.
    assert_eq!(entry["startDateTime"].as_str().unwrap(), "2026-11-20T11:50:00Z");
    assert_eq!(entry["endDateTime"].as_str().unwrap(), "2027-11-20T11:59:59Z");
    assert_eq!(entry["displayName"].as_str().unwrap(), "certroll:platform-team/backup · backup");
}

#[tokio::test]
async fn a_policy_cuts_a_credential_to_what_it_allows_and_the_plan_knows_the_day() {
    let (world, object, _) = crowded().await;
    let policy = serde_json::json!({
        "isEnabled": true,
        "applicationRestrictions": { "keyCredentials": [{
            "restrictionType": "asymmetricKeyLifetime", "maxLifetime": "P90D",
            "restrictForAppsCreatedAfterDateTime": "2020-01-01T00:00:00Z", "state": "enabled"
        }] }
    });
    let Value::Object(policy) = policy else { unreachable!() };
    world.emulator.change(TENANT, Change::SetDefaultPolicy { policy }).unwrap();
    let (plan, observed) = world.plan().await;
    let declared = &world.desired.certificates[&"contoso/backup".parse().unwrap()];
    let mut predicted = predict::World::of(declared, &observed).unwrap();
    let context = predict::Context {
        declared,
        owner: &world.desired.owner,
        tenant_id: TENANT,
        now: plan.now,
        settings: world.settings(),
    };
    plan.certificates[0].steps.iter().for_each(|planned| planned.step.predict(&mut predicted, &context));
    let foreseen = predicted.target.credentials.last().unwrap();

    assert_eq!(*outcome(&world.apply().await), Outcome::Proven { rotated: true });
    let entry = ours(&world, object).remove(0);
    // start = now - 10 min; end = start + the policy's 90 days - 1 h, which is before the certificate's own end.
    assert_eq!(entry["startDateTime"].as_str().unwrap(), "2026-11-20T11:50:00Z");
    assert_eq!(entry["endDateTime"].as_str().unwrap(), "2027-02-18T10:50:00Z");
    let (start, end) = (foreseen.start.unwrap().to_string(), foreseen.end.unwrap().to_string());
    assert_eq!((start.as_str(), end.as_str()), ("2026-11-20T11:50:00Z", "2027-02-18T10:50:00Z"));
    assert!(world.plan().await.0.is_empty(), "P5: with the life it was given it is not due");
}
