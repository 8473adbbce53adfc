//! What the applier never does, and what it lets through.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use certroll::apply::events::Event;
use certroll::apply::outcome::{Ending, Outcome, Report, StepOutcome};
use certroll::apply::{Cancel, cancellation};
use certroll::desired::Prove;
use certroll::edges::TroubleKind;
use certroll::emulator::{Change, Every, Faults, Kind, StaleReads, TokenFaults, TokenPropagation};
use certroll::ids::TargetKind;
use certroll::observed::KeyState;
use certroll::plan::step::Step;
use jiff::SignedDuration;
use serde_json::Value;
use uuid::Uuid;

use crate::support::world::{Shelf, TENANT, World, delivery, foreign_entry};

fn outcome(report: &Report) -> &Outcome {
    assert_eq!(report.certificates.len(), 1);
    &report.certificates[0].outcome
}

fn key_ids(body: &Value) -> BTreeSet<String> {
    let entries = body["keyCredentials"].as_array().unwrap();
    entries.iter().map(|entry| entry["keyId"].as_str().unwrap().to_owned()).collect()
}

/// A certificate in its second generation, the overlap of the first over.
async fn due_for_retirement() -> (World, Uuid) {
    let mut world = World::new(Shelf::File);
    let (object, _) = world.declare("backup", &[foreign_entry(1, "2030-01-01T00:00:00.1234567Z").await]);
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    world.emulator.advance(SignedDuration::from_hours(24 * 181));
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    world.emulator.advance(SignedDuration::from_hours(24 * 15));
    world.bodies.lock().unwrap().clear();
    (world, object)
}

fn app_id_of(world: &World, object: Uuid) -> Uuid {
    let object = world.emulator.object(TENANT, Kind::Application, object).unwrap();
    object["appId"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn p1_and_p6_a_removing_write_carries_the_credential_that_signed_in_during_the_same_run() {
    let (world, object) = due_for_retirement().await;
    let before = world.entries(object);
    let current = world.holding("backup").await.current_generation().unwrap().record.clone();
    let report = world.apply().await;
    assert_eq!(*outcome(&report), Outcome::Done, "{report:#?}");
    let bodies = world.bodies.lock().unwrap().clone();
    assert_eq!(bodies.len(), 1, "one write");
    let sent = key_ids(&bodies[0]);
    assert!(sent.contains(&current.key_id.unwrap().to_string()), "the proven one is in the body");
    assert_eq!(sent.len(), before.len() - 1, "exactly one is left out");
    let proof = &report.certificates[0].steps[0];
    assert!(matches!(proof.step, Step::Prove { .. }));
    let StepOutcome::Done { shown } = &proof.outcome else { panic!("{report:#?}") };
    assert_eq!(shown.correlation_ids.len(), 3);
    // Three sign-ins, ten seconds apart.
    let took = proof.ended.unwrap().duration_since(proof.began.unwrap());
    assert_eq!(took, SignedDuration::from_secs(20));
}

#[tokio::test]
async fn p1_and_p6_nothing_is_taken_off_when_the_current_one_cannot_sign_in() {
    let (world, object) = due_for_retirement().await;
    let before = world.entries(object);
    let (plan, observed) = world.plan().await;
    // Somebody takes the current credential off between plan and proof.
    let current = world.holding("backup").await.current_generation().unwrap().record.key_id.unwrap();

    world.emulator.delete_credential(TENANT, object, &current.to_string()).unwrap();
    let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    assert!(!matches!(outcome(&report), Outcome::Done | Outcome::Proven { .. }), "{report:#?}");
    assert!(world.bodies.lock().unwrap().is_empty(), "no write");
    assert_eq!(world.entries(object).len(), before.len() - 1);
}

#[tokio::test]
async fn p1_and_p6_a_plan_without_its_proof_takes_nothing_off() {
    let (world, object) = due_for_retirement().await;
    let before = world.entries(object);
    let (mut plan, observed) = world.plan().await;
    plan.certificates[0].steps.retain(|planned| !matches!(planned.step, Step::Prove { .. }));
    let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    assert!(matches!(outcome(&report), Outcome::Refused { .. }), "{report:#?}");
    assert_eq!(report.ending().exit_code(), 4);
    assert!(world.bodies.lock().unwrap().is_empty());
    // Nor when the plan forgets to ask for it.
    for planned in &mut plan.certificates[0].steps {
        planned.requires.clear();
    }
    let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    assert!(matches!(outcome(&report), Outcome::Refused { .. }), "{report:#?}");
    assert_eq!(world.entries(object), before);
}

#[tokio::test]
async fn p1_consumers_are_not_given_what_was_not_proven() {
    let world = World::with_one(Shelf::File);
    let (mut plan, observed) = world.plan().await;
    plan.certificates[0].steps.retain(|planned| !matches!(planned.step, Step::Prove { .. }));
    let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    assert!(matches!(outcome(&report), Outcome::Refused { .. }), "{report:#?}");
    assert!(world.holding("backup").await.current.is_none());
}

#[tokio::test]
async fn p1_a_removal_waits_until_every_young_generation_on_the_object_is_visible() {
    let mut world = World::new(Shelf::File);
    let (object, app_id) = world.declare("backup", &[]);
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    world.emulator.advance(SignedDuration::from_hours(24 * 181));
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    world.emulator.advance(SignedDuration::from_hours(24 * 15));
    // A second certificate on the same object is new: its write comes first, and the removal sees it although reads lag.
    world.declare_on("reports", TargetKind::Application, app_id);
    world
        .emulator
        .set_faults(Faults { stale_reads: Some(StaleReads { reads: 9, replicas: 2 }), ..Faults::default() });
    let report = world.apply().await;
    assert_eq!(report.ending(), Ending::Fine, "{report:#?}");
    world.emulator.set_faults(Faults::default());
    assert_eq!(world.entries(object).len(), 2, "the current ones of both");
    assert!(world.plan().await.0.is_empty());
}

#[tokio::test]
async fn p1_a_removal_waits_for_a_generation_that_another_run_may_just_have_published() {
    let (mut world, object) = due_for_retirement().await;
    let app_id = app_id_of(&world, object);
    world.declare_on("reports", TargetKind::Application, app_id);
    // Another run staged it and stopped there, or published it a moment ago and our reads lag: nobody can tell.
    world.emulator.set_faults(Faults { conflicts: Some(Every { every: 1 }), ..Faults::default() });
    world.policy.only = vec!["contoso/reports".parse().unwrap()];
    assert!(matches!(outcome(&world.apply().await), Outcome::Failed { .. }));
    assert_eq!(world.holding("reports").await.generations.len(), 1, "staged");
    world.emulator.set_faults(Faults::default());
    world.bodies.lock().unwrap().clear();

    world.policy.only = vec!["contoso/backup".parse().unwrap()];
    let (plan, _) = world.plan().await;
    world.policy.only.clear();
    let observed = world.observe().await;
    let before = world.entries(object);
    let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    let Outcome::NotYet { trouble } = outcome(&report) else { panic!("{report:#?}") };
    assert!(trouble.reason.contains("on its way"), "{trouble}");
    assert!(world.bodies.lock().unwrap().is_empty(), "no write");
    assert_eq!(world.entries(object), before);
    // Once it is published the removal goes through.
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    assert!(world.plan().await.0.is_empty());
}

#[tokio::test]
async fn p1_a_removal_is_not_written_when_the_proven_credential_is_no_longer_in_the_list() {
    let (world, object) = due_for_retirement().await;
    let (plan, observed) = world.plan().await;
    let current = world.holding("backup").await.current_generation().unwrap().record.key_id.unwrap();
    let vandalise = async {
        let retiring =
            |event: &Event| matches!(event, Event::ApplyStart { action, .. } if action == "retire");
        while !world.events.all().iter().any(retiring) {
            tokio::task::yield_now().await;
        }
        world.emulator.delete_credential(TENANT, object, &current.to_string()).unwrap();
        std::future::pending::<()>().await;
    };
    let never = Cancel::never();
    let report = tokio::select! {
        biased;
        () = vandalise => unreachable!(),
        report = world.apply_plan(&plan, None, &observed, &never) => report,
    };
    let Outcome::NotYet { trouble } = outcome(&report) else { panic!("{report:#?}") };
    assert!(trouble.reason.contains("proven in this run"), "{trouble}");
    assert!(world.bodies.lock().unwrap().is_empty(), "no write");
    assert_eq!(world.apply().await.ending(), Ending::Fine, "repaired first, then retired");
    assert_eq!(world.entries(object).len(), 2);
}

#[tokio::test]
async fn p2_a_key_id_that_names_another_certificate_than_the_plan_is_not_taken_off() {
    let (world, object) = due_for_retirement().await;
    let before = world.entries(object);
    let (mut plan, observed) = world.plan().await;
    for planned in &mut plan.certificates[0].steps {
        if let Step::Retire { credential } = &mut planned.step {
            // Somebody else's entry, which the plan never named.
            credential.key_id = before
                .iter()
                .find(|entry| entry["displayName"].as_str().unwrap().starts_with("somebody"))
                .and_then(|entry| entry["keyId"].as_str()?.parse().ok())
                .unwrap();
        }
    }
    let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    assert!(matches!(outcome(&report), Outcome::Refused { .. }), "{report:#?}");
    assert_eq!(world.entries(object), before);
}

#[tokio::test]
async fn two_reads_come_before_a_write_and_five_after_it_two_seconds_apart() {
    let mut world = World::new(Shelf::File);
    let (object, _) = world.declare("backup", &[foreign_entry(1, "2030-01-01T00:00:00.1234567Z").await]);
    let (plan, observed) = world.plan().await;
    world.emulator.clear_journal();
    world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    let journal = world.emulator.journal();
    let single = format!("/v1.0/applications/{object}");
    let of_object: Vec<_> = journal.iter().filter(|entry| entry.path == single).collect();
    let methods: Vec<_> = of_object.iter().map(|entry| entry.method.as_str()).collect();
    assert_eq!(methods, ["GET", "GET", "PATCH", "GET", "GET", "GET", "GET", "GET"]);
    let gaps = of_object.windows(2).filter(|pair| pair[0].method == pair[1].method);
    for pair in gaps {
        assert_eq!(pair[1].time.duration_since(pair[0].time), SignedDuration::from_secs(2));
    }
}

#[tokio::test]
async fn p6_sign_ins_count_only_in_a_row_so_that_every_front_end_knows_the_key() {
    let world = World::with_one(Shelf::File);
    let uneven = TokenPropagation { seconds: 200, front_ends: 3, removals: false };
    world.emulator.set_faults(Faults { token_propagation: Some(uneven), ..Faults::default() });
    let report = world.apply().await;
    assert_eq!(*outcome(&report), Outcome::Proven { rotated: true }, "{report:#?}");
    let journal = world.emulator.journal();
    let written = journal.iter().find(|entry| entry.method == "PATCH").unwrap().time;
    let proven = report.certificates[0].steps[2].ended.unwrap();
    // The fastest front end knows after 67 s; only the slowest makes three in a row.
    assert!(proven.duration_since(written) >= SignedDuration::from_secs(200));
}

#[tokio::test]
async fn p2_what_the_plan_drops_is_kept_when_it_has_not_expired() {
    let mut world = World::new(Shelf::File);
    let (object, _) = world.declare("backup", &[foreign_entry(1, "2030-01-01T00:00:00.1234567Z").await]);
    let foreign = world.entries(object).remove(0);
    let (mut plan, observed) = world.plan().await;
    for planned in &mut plan.certificates[0].steps {
        if let Step::Publish { dropping, .. } = &mut planned.step {
            dropping.push(foreign["keyId"].as_str().unwrap().parse().unwrap());
        }
    }
    let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    assert_eq!(*outcome(&report), Outcome::Proven { rotated: true }, "{report:#?}");
    assert!(world.entries(object).contains(&foreign));
}

#[tokio::test]
async fn p4_only_steps_of_the_reviewed_plan_are_carried_out() {
    let mut world = World::with_one(Shelf::File);
    let (reviewed, _) = world.plan().await;
    // The same plan again is the reviewed one, though made later.
    world.emulator.advance(SignedDuration::from_mins(5));
    // Meanwhile the declaration grew: what was not reviewed is refused, the rest is done.
    world.declare("reports", &[]);
    let (fresh, observed) = world.plan().await;
    let report = world.apply_plan(&fresh, Some(&reviewed), &observed, &Cancel::never()).await;
    assert_eq!(report.certificates[0].outcome, Outcome::Proven { rotated: true }, "{report:#?}");
    assert!(matches!(report.certificates[1].outcome, Outcome::Refused { .. }), "{report:#?}");
    assert!(world.holding("reports").await.generations.is_empty(), "not begun");
    assert_eq!(report.ending().exit_code(), 4);
}

#[tokio::test]
async fn p4_a_chain_stops_before_its_first_step_that_was_not_reviewed() {
    let mut world = World::with_one(Shelf::File);
    let (reviewed, _) = world.plan().await;
    world.declared("backup").deliveries.push(delivery("somewhere"));
    let (fresh, observed) = world.plan().await;
    let report = world.apply_plan(&fresh, Some(&reviewed), &observed, &Cancel::never()).await;
    let Outcome::Refused { .. } = outcome(&report) else { panic!("{report:#?}") };
    let last = report.certificates[0].steps.last().unwrap();
    assert!(matches!(last.step, Step::Deliver { .. }));
    assert!(matches!(last.outcome, StepOutcome::Refused { .. }));
    assert!(world.holding("backup").await.current.is_some(), "what was reviewed is done");
    assert_eq!(world.deliveries.changes("somewhere"), 0);
}

#[tokio::test]
async fn p4_a_resumed_run_is_covered_by_the_review_of_the_whole_rotation() {
    let world = World::with_one(Shelf::File);
    let (reviewed, _) = world.plan().await;
    let slow = TokenPropagation { seconds: 3600, front_ends: 1, removals: false };
    world.emulator.set_faults(Faults { token_propagation: Some(slow), ..Faults::default() });
    assert!(matches!(outcome(&world.apply().await), Outcome::NotYet { .. }));
    world.emulator.advance(SignedDuration::from_hours(1));
    let (fresh, observed) = world.plan().await;
    assert!(fresh.certificates[0].steps.len() < reviewed.certificates[0].steps.len());
    let report = world.apply_plan(&fresh, Some(&reviewed), &observed, &Cancel::never()).await;
    assert_eq!(*outcome(&report), Outcome::Proven { rotated: true }, "{report:#?}");
}

#[tokio::test]
async fn a_rival_promotion_between_plan_and_promotion_is_not_overwritten() {
    let world = World::with_one(Shelf::File);
    let (plan, observed) = world.plan().await;
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    world.emulator.advance(SignedDuration::from_hours(24 * 181));
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    let current = world.holding("backup").await.current;
    // The old plan goes on with the first generation, which is in the store and published.
    let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    assert!(matches!(outcome(&report), Outcome::Failed { .. }), "{report:#?}");
    assert_eq!(world.holding("backup").await.current, current);
}

#[tokio::test]
async fn a_failed_delivery_leaves_the_overlap_open_and_the_next_run_delivers() {
    let mut world = World::with_one(Shelf::File);
    world.declared("backup").deliveries.push(delivery("somewhere"));
    world.deliveries.fail_for(1);
    let report = world.apply().await;
    assert!(matches!(outcome(&report), Outcome::Failed { .. }), "{report:#?}");
    assert_eq!(report.ending(), Ending::InPart);
    let holding = world.holding("backup").await;
    assert!(holding.current_generation().unwrap().record.delivered.is_empty());
    let report = world.apply().await;
    assert_eq!(report.ending(), Ending::Fine, "{report:#?}");
    let holding = world.holding("backup").await;
    let current = holding.current_generation().unwrap();
    assert!(current.record.delivered.contains_key("somewhere"));
    assert_eq!(world.deliveries.holds("somewhere"), current.record.thumbprints);
    assert!(world.plan().await.0.is_empty());
}

#[tokio::test]
async fn p6_what_is_read_back_only_is_never_called_rotated() {
    let mut world = World::with_one(Shelf::File);
    world.declared("backup").prove = Prove::ReadBack;
    let report = world.apply().await;
    let Outcome::PublishedNotProven { as_declared: true, .. } = outcome(&report) else {
        panic!("{report:#?}")
    };
    assert_eq!(report.ending(), Ending::Fine, "it is what the file asks for");
    let asked = |entry: &&certroll::emulator::JournalEntry| entry.path.contains("/oauth2/");
    let operator = world.emulator.operator(TENANT).client_id.to_string();
    let journal = world.emulator.journal();
    assert!(journal.iter().filter(asked).all(|entry| entry.client_id.as_ref() == Some(&operator)));
}

#[tokio::test]
async fn one_failing_certificate_stops_nobody_else() {
    let mut world = World::new(Shelf::File);
    let (broken, _) = world.declare("broken", &[]);
    world.declare("works", &[]);
    let (plan, observed) = world.plan().await;

    world.emulator.change(TENANT, Change::Delete { object: broken, kind: None }).unwrap();
    let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    assert!(matches!(report.certificates[0].outcome, Outcome::Failed { .. }), "{report:#?}");
    assert_eq!(report.certificates[1].outcome, Outcome::Proven { rotated: true }, "{report:#?}");
    assert_eq!(report.ending().exit_code(), 5);
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_parallelism_allows_and_waiting_holds_no_slot() {
    let mut world = World::new(Shelf::File);
    for number in 0..6 {
        world.declare(&format!("backup-{number}"), &[]);
    }
    world.slots = std::sync::Arc::new(tokio::sync::Semaphore::new(2));
    let slow = TokenPropagation { seconds: 240, front_ends: 1, removals: false };
    world.emulator.set_faults(Faults { token_propagation: Some(slow), ..Faults::default() });
    let report = world.apply().await;
    assert_eq!(report.ending(), Ending::Fine, "{report:#?}");
    assert_eq!(world.gauge.most(), 2);
    // Six chains wait for four minutes each; with two slots held they would take twelve.
    assert!(report.ended.duration_since(report.began) < SignedDuration::from_mins(8));
}

#[tokio::test]
async fn a_chain_that_waits_holds_no_key() {
    let world = World::with_one(Shelf::File);
    let slow = TokenPropagation { seconds: 240, front_ends: 2, removals: false };
    world.emulator.set_faults(Faults { token_propagation: Some(slow), ..Faults::default() });
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    assert_eq!(world.clock.held_while_waiting.load(Ordering::SeqCst), 0);
    assert_eq!(world.clock.held.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn p5_two_runs_at_once_publish_one_key() {
    for shelf in
        [Shelf::File, Shelf::TwoSlot { check_and_set: true }, Shelf::TwoSlot { check_and_set: false }]
    {
        let mut world = World::new(shelf);
        let (object, _) = world.declare("backup", &[]);
        let (one, two) = futures_util::future::join(world.apply(), world.apply()).await;
        let fine = [&one, &two].iter().filter(|report| report.ending() == Ending::Fine).count();
        assert!(fine >= 1, "{shelf:?} {one:#?} {two:#?}");
        for _ in 0..3 {
            world.apply().await;
        }
        assert!(world.plan().await.0.is_empty(), "{shelf:?}");
        assert_eq!(world.entries(object).len(), 1, "{shelf:?}: a second key");
        assert_eq!(world.holding("backup").await.generations.len(), 1, "{shelf:?}");
    }
}

#[tokio::test]
async fn a_disabled_application_fails_at_once_and_is_not_waited_for() {
    let mut world = World::new(Shelf::File);
    let (object, _) = world.declare("backup", &[]);
    let (plan, observed) = world.plan().await;
    let properties = serde_json::json!({ "isDisabled": true }).as_object().unwrap().clone();
    world.emulator.change(TENANT, Change::Set { object, kind: None, properties }).unwrap();
    let report = world.apply_plan(&plan, None, &observed, &Cancel::never()).await;
    let Outcome::Failed { trouble } = outcome(&report) else { panic!("{report:#?}") };
    assert_eq!(trouble.kind, TroubleKind::Refused, "{trouble}");
    assert!(report.ended.duration_since(report.began) < SignedDuration::from_mins(1));
    assert!(world.holding("backup").await.current.is_none(), "not promoted");
}

#[tokio::test]
async fn p6_a_login_service_that_falls_silent_is_neither_a_wrong_key_nor_not_yet() {
    let mut world = World::new(Shelf::File);
    let (object, _) = world.declare("backup", &[]);
    let (plan, observed) = world.plan().await;
    let down = TokenFaults { unavailable_every: Some(1), ..TokenFaults::default() };
    let fall_silent = async {
        while world.entries(object).is_empty() {
            tokio::task::yield_now().await;
        }
        world.emulator.set_faults(Faults { token: down, ..Faults::default() });
        std::future::pending::<()>().await;
    };
    let never = Cancel::never();
    let report = tokio::select! {
        report = world.apply_plan(&plan, None, &observed, &never) => report,
        () = fall_silent => unreachable!(),
    };
    let Outcome::Failed { trouble } = outcome(&report) else { panic!("{report:#?}") };
    let silent =
        matches!(trouble.kind, TroubleKind::Throttled | TroubleKind::Network | TroubleKind::Unavailable);
    assert!(silent, "{trouble}");
    assert!(report.ended.duration_since(report.began) < SignedDuration::from_mins(10));
}

#[tokio::test]
async fn a_run_that_is_stopped_says_what_remains_and_the_next_one_goes_on() {
    let world = World::with_one(Shelf::File);
    let slow = TokenPropagation { seconds: 300, front_ends: 1, removals: false };
    world.emulator.set_faults(Faults { token_propagation: Some(slow), ..Faults::default() });
    let (plan, observed) = world.plan().await;
    let (canceller, cancel) = cancellation();
    let stop_while_proving = async {
        let proving = |event: &Event| matches!(event, Event::ApplyStart { action, .. } if action == "prove");
        while !world.events.all().iter().any(proving) {
            tokio::task::yield_now().await;
        }
        canceller.cancel();
        world.emulator.now()
    };
    let (report, stopped) =
        futures_util::future::join(world.apply_plan(&plan, None, &observed, &cancel), stop_while_proving)
            .await;
    let Outcome::Interrupted { remains } = outcome(&report) else { panic!("{report:#?}") };
    assert!(remains.contains("prove, promote"), "{remains}");
    assert_eq!(report.ending().exit_code(), 130);
    assert!(report.ended.duration_since(stopped) <= SignedDuration::from_secs(5));
    let report = world.apply().await;
    assert_eq!(*outcome(&report), Outcome::Proven { rotated: true }, "{report:#?}");
    assert_eq!(world.holding("backup").await.generations.len(), 1);
}

#[tokio::test]
async fn a_repair_publishes_the_same_certificate_again_and_proves_it() {
    let mut world = World::new(Shelf::File);
    let (object, _) = world.declare("backup", &[]);
    assert_eq!(world.apply().await.ending(), Ending::Fine);
    let published = world.entries(object).remove(0);
    let key_id = published["keyId"].as_str().unwrap();
    world.emulator.delete_credential(TENANT, object, key_id).unwrap();
    let report = world.apply().await;
    assert_eq!(*outcome(&report), Outcome::Proven { rotated: false }, "{report:#?}");
    let again = world.entries(object).remove(0);
    assert_eq!(again["keyId"], published["keyId"], "the key id is derived");
    assert_eq!(again["key"], published["key"]);
    assert!(world.plan().await.0.is_empty());
}

#[tokio::test]
async fn the_receipt_tells_what_was_done_with_its_evidence_and_reads_back() {
    let world = World::with_one(Shelf::File);
    let report = world.apply().await;
    let receipt = report.receipt(&world.desired.owner);
    let text = serde_json::to_string_pretty(&receipt).unwrap();
    assert_eq!(serde_json::from_str::<certroll::apply::receipt::Receipt>(&text).unwrap(), receipt);
    assert!(receipt.emulator, "stamped");
    let json: Value = serde_json::from_str(&text).unwrap();
    let steps = json["certificates"][0]["steps"].as_array().unwrap();
    let verbs: Vec<_> = steps.iter().map(|step| step["step"]["action"].as_str().unwrap()).collect();
    assert_eq!(verbs, ["issue", "publish", "prove", "promote"]);
    assert_eq!(steps[1]["shown"]["read_backs"], 5);
    assert_eq!(steps[2]["shown"]["correlation_ids"].as_array().unwrap().len(), 3);
    assert!(!text.contains("PRIVATE KEY"));
}

#[tokio::test]
async fn the_newest_keys_stay_and_older_ones_are_destroyed() {
    let world = World::with_one(Shelf::File);
    for _ in 0..4 {
        assert_eq!(world.apply().await.ending(), Ending::Fine);
        world.emulator.advance(SignedDuration::from_hours(24 * 15));
        assert_eq!(world.apply().await.ending(), Ending::Fine);
        world.emulator.advance(SignedDuration::from_hours(24 * 170));
    }
    let holding = world.holding("backup").await;
    let held = holding.generations.iter().filter(|generation| generation.key == KeyState::Held).count();
    assert_eq!(held, 2, "the current one, and keep_retired: 1");
}
