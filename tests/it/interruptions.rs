//! Every story is killed before and after each of its effects (each store call, each delivery, each request), run again, and must come to
//! the same end: nobody locked out on the way, nothing of others touched, and never a second key for one rotation.

use std::collections::BTreeSet;

use certroll::apply::outcome::Ending;
use certroll::observed::Current;
use certroll::runtime::Clock as _;
use jiff::SignedDuration;
use serde_json::Value;
use uuid::Uuid;

use crate::support::by_hand::ByHand;
use crate::support::world::{Shelf, World, delivery, foreign_entry};

/// What happens before each run of a story.
#[derive(Debug, Clone, Copy)]
enum Before {
    /// Nothing: the first run.
    Nothing,
    /// So many days pass.
    Days(i64),
    /// Somebody takes the current credential off behind our back.
    Vandalism,
    /// Somebody has the signing request signed that lies there.
    Signature,
}

/// Declared, rotated, the predecessor retired, the current credential lost and repaired.
const STORY: [Before; 4] = [Before::Nothing, Before::Days(181), Before::Days(15), Before::Vandalism];

/// Declared and rotated, where a person has each request signed.
const STORY_BY_HAND: [Before; 4] = [Before::Nothing, Before::Signature, Before::Days(181), Before::Signature];

/// Rotations in the story, hence keys that may ever be published, or asked to be signed.
const ROTATIONS: usize = 2;

/// What is interrupted.
#[derive(Debug, Clone, Copy)]
struct Case {
    shelf: Shelf,
    by_hand: bool,
}

impl Case {
    fn story(self) -> &'static [Before] {
        if self.by_hand { &STORY_BY_HAND } else { &STORY }
    }
}

async fn world(Case { shelf, by_hand }: Case) -> (World, Uuid) {
    let mut world = World::new(shelf);
    let (object, _) = world.declare("backup", &[foreign_entry(1, "2031-01-01T00:00:00.1234567Z").await]);
    if shelf != Shelf::AppendIsLive {
        world.declared("backup").deliveries.push(delivery("somewhere"));
    }
    if by_hand {
        let folder = ByHand::new();
        world.declared("backup").issuer = folder.issuer();
        world.by_hand = Some(folder);
    }
    // Fewer reads make fewer points; every kind of point is still there.
    world.policy.settings.reads_after_write = 2;
    world.policy.settings.sign_ins = 2;
    (world, object)
}

async fn happens(world: &World, object: Uuid, before: Before) {
    match before {
        Before::Nothing => {}
        Before::Days(days) => world.emulator.advance(SignedDuration::from_hours(24 * days)),
        Before::Vandalism => {
            let holding = world.holding("backup").await;
            let key_id = holding.current_generation().unwrap().record.key_id.unwrap().to_string();
            let tenant = crate::support::world::TENANT;
            world.emulator.delete_credential(tenant, object, &key_id).unwrap();
        }
        Before::Signature => {
            let folder = world.by_hand.as_ref().unwrap();
            assert!(folder.sign("backup", world.clock.now()).await, "nobody was asked");
        }
    }
}

fn text(entry: &Value, member: &str) -> String {
    entry[member].as_str().unwrap_or_default().to_owned()
}

fn is_ours(entry: &Value) -> bool {
    text(entry, "displayName").starts_with("certroll:")
}

/// Key ids of ours that were ever sent.
fn published(world: &World) -> BTreeSet<String> {
    let bodies = world.bodies.lock().unwrap();
    let entries = bodies.iter().flat_map(|body| body["keyCredentials"].as_array().unwrap().clone());
    entries.filter(is_ours).map(|entry| text(&entry, "keyId")).collect()
}

/// What must be true wherever a run dies.
async fn nobody_is_locked_out(world: &World, object: Uuid, foreign: &Value, vandalised: bool, when: &str) {
    let entries = world.entries(object);
    assert!(entries.contains(foreign), "{when}: somebody else's entry changed");
    let holding = world.holding("backup").await;
    if let (Some(Current::Recorded(_)), false) = (&holding.current, vandalised) {
        let current = holding.current_generation().unwrap();
        let key_id = current.record.key_id.unwrap().to_string();
        let there = entries.iter().any(|entry| text(entry, "keyId") == key_id);
        assert!(there, "{when}: consumers read a key whose credential is not on the object");
    }
    assert!(published(world).len() <= ROTATIONS, "{when}: a rotation published a second key");
    if let Some(folder) = &world.by_hand {
        assert!(folder.asked("backup") <= ROTATIONS, "{when}: a second key of one rotation is to be signed");
    }
}

/// What consumers read signed in often enough since it was made: P6 holds also for a run that died between promotion and proof.
async fn has_signed_in(world: &World, when: &str) {
    let holding = world.holding("backup").await;
    let current = holding.current_generation();
    if current.is_none() && world.by_hand.is_some() {
        return;
    }
    let made = current.unwrap().record.requested_at;
    let own = world.emulator.operator(crate::support::world::TENANT).client_id.to_string();
    let journal = world.emulator.journal();
    let with_its_key = journal.iter().filter(|entry| {
        let by_application = entry.client_id.as_ref().is_some_and(|id| *id != own);
        by_application && entry.path.ends_with("/token") && entry.status == 200 && entry.time >= made
    });
    let enough = world.settings().sign_ins as usize;
    assert!(with_its_key.count() >= enough, "{when}: what consumers read never signed in");
}

/// Runs until nothing is left to do.
async fn finish(world: &World, when: &str) {
    for _ in 0..4 {
        let report = world.apply().await;
        if report.ending() == Ending::Fine && world.plan().await.0.is_empty() {
            return has_signed_in(world, when).await;
        }
        // What is young has to be seen, or has to spread.
        world.emulator.advance(SignedDuration::from_mins(16));
    }
    let (plan, _) = world.plan().await;
    let report = world.apply().await;
    panic!("{when}: it does not come to an end: {plan:#?} {report:#?}");
}

/// How many points each run of the story passes when nobody kills it.
async fn undisturbed(case: Case) -> (Vec<usize>, usize) {
    let (world, object) = world(case).await;
    let mut points = Vec::new();
    for before in case.story() {
        happens(&world, object, *before).await;
        world.fuse.disarm();
        assert_eq!(world.apply().await.ending(), Ending::Fine);
        points.push(world.fuse.passed());
        assert!(world.plan().await.0.is_empty());
    }
    (points, world.entries(object).len())
}

/// Kills run number `run` of the story at that point, and the run after it at `second` where given.
async fn killed(case: Case, run: usize, point: usize, second: Option<usize>, entries: usize) {
    let when = format!("{case:?}, run {run} killed at {point}, then at {second:?}");
    let (world, object) = world(case).await;
    let foreign = world.entries(object)[0].clone();
    for (number, before) in case.story().iter().copied().enumerate() {
        happens(&world, object, before).await;
        let vandalised = matches!(before, Before::Vandalism);
        if number == run {
            world.fuse.arm(point);
            let report = world.apply_until_killed().await;
            assert!(report.is_none(), "{when}: it was not killed");
            world.fuse.disarm();
            nobody_is_locked_out(&world, object, &foreign, vandalised, &when).await;
            if let Some(second) = second {
                world.fuse.arm(second);
                world.apply_until_killed().await;
                world.fuse.disarm();
                nobody_is_locked_out(&world, object, &foreign, vandalised, &when).await;
            }
        }
        finish(&world, &when).await;
        nobody_is_locked_out(&world, object, &foreign, false, &when).await;
    }
    assert_eq!(world.entries(object).len(), entries, "{when}: another end");
    assert_eq!(published(&world).len(), ROTATIONS, "{when}");
    let holding = world.holding("backup").await;
    let rotations: Vec<_> = holding.generations.iter().filter_map(|one| one.record.rotation_id).collect();
    let distinct: BTreeSet<_> = rotations.iter().collect();
    assert_eq!(distinct.len(), rotations.len(), "{when}: two keys of one rotation");
}

async fn every_interruption(shelf: Shelf) {
    interrupt(Case { shelf, by_hand: false }).await;
}

async fn interrupt(case: Case) {
    let (points, entries) = undisturbed(case).await;
    for (run, points) in points.into_iter().enumerate() {
        for point in 0..points {
            // Every fifth one dies a second time, on the way through what the first left behind.
            let second = (point % 5 == 0).then_some(point / 2);
            killed(case, run, point, second, entries).await;
        }
    }
}

#[tokio::test]
async fn p1_and_p5_a_story_on_the_file_store_survives_every_interruption() {
    every_interruption(Shelf::File).await;
}

#[tokio::test]
async fn p1_and_p5_a_story_on_a_two_slot_store_with_check_and_set_survives_every_interruption() {
    every_interruption(Shelf::TwoSlot { check_and_set: true }).await;
}

#[tokio::test]
async fn p1_and_p5_a_story_on_a_two_slot_store_without_check_and_set_survives_every_interruption() {
    every_interruption(Shelf::TwoSlot { check_and_set: false }).await;
}

#[tokio::test]
async fn p1_and_p5_a_story_on_an_append_is_live_store_survives_every_interruption() {
    every_interruption(Shelf::AppendIsLive).await;
}

#[tokio::test]
async fn p5_where_a_person_signs_each_rotation_asks_for_one_key_wherever_a_run_dies() {
    interrupt(Case { shelf: Shelf::File, by_hand: true }).await;
}

#[tokio::test]
async fn p5_where_a_person_signs_for_keys_that_never_leave_each_rotation_asks_for_one_key() {
    interrupt(Case { shelf: Shelf::AppendIsLive, by_hand: true }).await;
}
