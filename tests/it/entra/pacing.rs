//! Trying again, waiting when told to, and staying inside the documented budgets. Time is the emulator's; waiting moves it.

use std::sync::Arc;

use certroll::desired::SelectBy;
use certroll::emulator::{Every, Faults, Throttled, TokenFaults, Unavailable};
use certroll::entra::ErrorKind;
use certroll::entra::pace::{Budget, Budgets, Class, Pacer};
use certroll::entra::{DirectoryReader, DirectoryWriter, EmulatorClock, observe};
use certroll::observed::TargetState;
use certroll::runtime::Clock;
use jiff::SignedDuration;

use super::scripted::{Script, answer, client};
use super::support::{TENANT, World, address, app, application_id};

#[tokio::test]
async fn a_throttled_read_waits_as_long_as_it_is_told() {
    let world = World::new();
    let (object_id, _) = world.application("orders-api");
    let writer = world.writer();
    writer.read_entries(application_id(object_id)).await.unwrap();
    let throttled = Throttled { every: 2, retry_after_seconds: Some(37) };
    world.emulator.set_faults(Faults { throttled: Some(throttled), ..Faults::default() });
    let begun = world.emulator.now();
    writer.read_entries(application_id(object_id)).await.unwrap();
    assert_eq!(world.emulator.now(), begun);
    writer.read_entries(application_id(object_id)).await.unwrap();
    assert_eq!(world.emulator.now().duration_since(begun), SignedDuration::from_secs(37));
}

#[tokio::test]
async fn without_a_retry_after_the_waits_grow_and_end() {
    let world = World::new();
    let (object_id, _) = world.application("orders-api");
    let throttled = Throttled { every: 1, retry_after_seconds: None };
    world.emulator.set_faults(Faults { throttled: Some(throttled), ..Faults::default() });
    let begun = world.emulator.now();
    let error = world.writer().read_entries(application_id(object_id)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Throttled);
    assert_eq!(world.requests().len(), 8);
    // Seven waits of 1, 2, 4, 8, 16, 32 and 60 seconds, each less up to half by chance.
    let waited = world.emulator.now().duration_since(begun);
    assert!(waited >= SignedDuration::from_secs(61) && waited <= SignedDuration::from_secs(123), "{waited}");
}

#[tokio::test]
async fn a_retry_after_beyond_patience_ends_at_once() {
    let world = World::new();
    let (object_id, _) = world.application("orders-api");
    let throttled = Throttled { every: 1, retry_after_seconds: Some(3_600) };
    world.emulator.set_faults(Faults { throttled: Some(throttled), ..Faults::default() });
    let error = world.writer().read_entries(application_id(object_id)).await.unwrap_err();
    assert_eq!(
        (error.kind, error.retry_after),
        (ErrorKind::Throttled, Some(SignedDuration::from_secs(3_600)))
    );
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test]
async fn a_throttled_sign_in_waits_as_told_and_ends_saying_what_happened() {
    let world = World::new();
    let every = |every| Faults {
        token: TokenFaults { throttled_every: Some(every), ..TokenFaults::default() },
        ..Faults::default()
    };
    let begun = world.emulator.now();
    world.emulator.set_faults(every(1));
    let error = world.client().sign_in().await.unwrap_err();
    let (kind, request_id) = (error.kind, error.request_id.clone().unwrap());
    // The service asks for 5 s each time, so that eight tries take 35 s.
    assert_eq!((kind, world.emulator.now().duration_since(begun).as_secs()), (ErrorKind::Throttled, 35));
    let text = error.to_string();
    let endpoint = format!("/{TENANT}/oauth2/v2.0/token after 8 tries, asked to wait 5 s");
    for part in [&endpoint, "throttled by ", &request_id] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(error.hint.as_deref(), Some("wait, or lower --parallelism"));
    // One refusal and then a token is no trouble at all.
    world.emulator.set_faults(every(2));
    for _ in 0..4 {
        world.client().sign_in().await.unwrap();
    }
}

#[tokio::test]
async fn a_429_that_says_nothing_is_still_called_throttled() {
    let refused = |request_id: Option<&str>| {
        let mut refused = answer(429, "{}");
        if let Some(id) = request_id {
            refused.headers_mut().insert("request-id", id.parse().unwrap());
        }
        Ok(refused)
    };
    let script = Arc::new(Script::new(vec![refused(None), refused(Some("4f1c"))]));
    let target = application_id(uuid::Uuid::from_u128(7));
    let error = DirectoryWriter::new(client(&script)).read_entries(target).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Throttled);
    let endpoint = format!("graph.microsoft.com/v1.0/applications/{}", uuid::Uuid::from_u128(7));
    let expected = format!("throttled by {endpoint} after 8 tries: no explanation came with it");
    assert_eq!(error.reason(), expected);
    assert!(error.to_string().contains("429 (request 4f1c)"), "{error}");
}

#[tokio::test]
async fn reads_get_through_a_service_in_trouble() {
    let world = World::new();
    let (_, app_id) = world.application("orders-api");
    let faults = Faults {
        unavailable: Some(Unavailable { every: 2, status: 503, happened: false }),
        connection_refused: Some(Every { every: 3 }),
        throttled: Some(Throttled { every: 5, retry_after_seconds: None }),
        token: TokenFaults { busy_every: Some(2), throttled_every: Some(3), ..TokenFaults::default() },
        ..Faults::default()
    };
    world.emulator.set_faults(faults);
    for _ in 0..10 {
        let target = world.target(app(SelectBy::AppId(app_id))).await;
        assert_eq!(target.app_id, app_id);
    }
}

#[tokio::test]
async fn items_of_a_batch_that_are_throttled_are_asked_again_alone() {
    let world = World::new();
    let seeded = world.emulator.seed(TENANT, 20);
    let throttled = Throttled { every: 7, retry_after_seconds: Some(5) };
    world.emulator.set_faults(Faults { throttled: Some(throttled), ..Faults::default() });
    let selectors: Vec<_> = seeded.iter().map(|seeded| app(SelectBy::ObjectId(seeded.object_id))).collect();
    let observed = world.observe(&selectors).await.unwrap();
    let found = observed.targets.values().filter(|state| matches!(state, TargetState::Found(_))).count();
    assert_eq!(found, 20);
}

#[tokio::test]
async fn an_expired_token_is_renewed_once() {
    let world = World::new();
    let (_, app_id) = world.application("orders-api");
    let client = world.client();
    let reader = DirectoryReader::new(client);
    let requests = [(address(0), app(SelectBy::AppId(app_id)))];
    observe(&reader, &requests, &[]).await.unwrap();
    let tokens =
        |world: &World| world.emulator.journal().iter().filter(|e| e.path.ends_with("/token")).count();
    assert_eq!(tokens(&world), 1);
    // Inside its life it is used again; after it, a new one is asked for without bothering Graph.
    world.emulator.advance(SignedDuration::from_mins(50));
    observe(&reader, &requests, &[]).await.unwrap();
    assert_eq!(tokens(&world), 1);
    world.emulator.advance(SignedDuration::from_mins(6));
    world.emulator.clear_journal();
    observe(&reader, &requests, &[]).await.unwrap();
    assert_eq!(tokens(&world), 1);
    assert!(world.emulator.journal().iter().all(|entry| entry.status != 401));
}

#[tokio::test]
async fn the_documented_budget_of_writes_is_kept() {
    let mut world = World::new();
    world.settings.budgets.writes = Budget { requests: 3, window: SignedDuration::from_secs(150) };
    let seeded = world.emulator.seed(TENANT, 1);
    let target = application_id(seeded[0].object_id);
    let writer = world.writer();
    let entries: Vec<_> = writer.read_entries(target).await.unwrap().into_iter().map(|c| c.raw).collect();
    let begun = world.emulator.now();
    for _ in 0..7 {
        writer.ready().await;
        writer.replace_entries(target, &entries).await.unwrap();
    }
    assert_eq!(world.emulator.now().duration_since(begun), SignedDuration::from_secs(300));
}

#[tokio::test]
async fn no_window_ever_holds_more_than_its_budget() {
    let world = World::new();
    let clock = EmulatorClock::new(world.emulator.clone());
    let pacer = Pacer::new(Budgets::default());
    let mut sent = Vec::new();
    for index in 0..500 {
        // Uneven steps, so that the window slides instead of jumping.
        clock.sleep(SignedDuration::from_millis(37 * (index % 11))).await;
        pacer.admit(Class::CredentialSelection, &clock).await;
        sent.push(clock.now());
    }
    for (index, first) in sent.iter().enumerate() {
        let minute = *first + SignedDuration::from_secs(60);
        let inside = sent[index..].iter().filter(|moment| **moment < minute).count();
        assert!(inside <= 150, "{inside} in the minute from {first}");
    }
    // It does not wait longer than it must, either.
    assert!(sent[499].duration_since(sent[0]) < SignedDuration::from_secs(240));
}

#[tokio::test]
async fn ordinary_reads_are_not_paced_and_pressure_slows_everybody() {
    let world = World::new();
    let clock = EmulatorClock::new(world.emulator.clone());
    let pacer = Pacer::new(Budgets::default());
    let begun = clock.now();
    for _ in 0..10_000 {
        pacer.admit(Class::Read, &clock).await;
    }
    pacer.pressure(0.85, clock.now());
    pacer.admit(Class::Read, &clock).await;
    assert_eq!(clock.now(), begun);
    pacer.pressure(1.3, clock.now());
    pacer.admit(Class::Read, &clock).await;
    assert_eq!(clock.now().duration_since(begun), SignedDuration::from_secs(5));
}

#[tokio::test]
async fn the_emulators_own_documented_limits_are_never_hit() {
    let world = World::new();
    world.emulator.set_faults(Faults { documented_throttling: true, ..Faults::default() });
    let seeded = world.emulator.seed(TENANT, 400);
    let selectors: Vec<_> = seeded.iter().map(|seeded| app(SelectBy::AppId(seeded.app_id))).collect();
    for _ in 0..3 {
        world.observe(&selectors).await.unwrap();
    }
    assert!(world.emulator.journal().iter().all(|entry| entry.status != 429));
}
