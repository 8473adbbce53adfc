//! Writing: forms, readers in a hurry, writers at the same time.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use certroll::desired::Format;
use certroll::form::{read_pem, read_pfx};
use certroll::key::Secret;
use certroll::observed::record::{PublicRecord, RecordedPhase};
use certroll::observed::{Current, Generation};
use certroll::store::{StoreErrorKind, StoreWriter};

use super::super::binding;
use super::{FileBench, files_with_keys};
use crate::support::contract::{self, Bench, Rotation};
use crate::support::trouble::Mischief;

fn promoted(generation: &Generation, rotation: Rotation) -> PublicRecord {
    PublicRecord {
        phase: RecordedPhase::Promoted,
        promoted_at: Some(rotation.promoted_at()),
        ..generation.record.clone()
    }
}

fn current(generation: &Generation) -> Current {
    Current::Recorded(generation.record.thumbprints.unwrap().sha256)
}

#[tokio::test]
async fn a_pfx_lies_beside_its_generated_password_and_opens_with_it_after_every_promotion() {
    let bench = FileBench::new().await;
    let (store, entry) = (bench.store(), binding("cloudm", Format::Pfx));
    let read = || {
        let pfx = std::fs::read(bench.path("current/cloudm.pfx")).unwrap();
        let password = std::fs::read_to_string(bench.path("current/cloudm.password")).unwrap();
        let identity = read_pfx(&pfx, Some(&Secret::new(password.clone()))).unwrap();
        (identity.certificate.thumbprints, password)
    };
    let (one, two, three) = ("first-password-0123456", "second-password-012345", "third-password-0123456");
    let first = contract::stage(&*store, &entry, Rotation::First, 1).await.unwrap();
    let password = Secret::new(one.into());
    store.promote(&entry, &first, None, Some(&password), &promoted(&first, Rotation::First)).await.unwrap();
    assert_eq!(read(), (first.record.thumbprints.unwrap(), one.into()));

    let second = contract::stage(&*store, &entry, Rotation::Second, 2).await.unwrap();
    let (expected, password) = (current(&first), Secret::new(two.into()));
    let record = promoted(&second, Rotation::Second);
    store.promote(&entry, &second, Some(&expected), Some(&password), &record).await.unwrap();
    assert_eq!(read(), (second.record.thumbprints.unwrap(), two.into()));

    // Rolled back: consumers get the file and password they had, whatever password is offered now.
    let password = Secret::new(three.into());
    let record = promoted(&first, Rotation::Second);
    store.promote(&entry, &first, Some(&current(&second)), Some(&password), &record).await.unwrap();
    assert_eq!(read(), (first.record.thumbprints.unwrap(), one.into()));
}

#[tokio::test]
async fn entries_below_entries_and_names_with_slashes_are_apart() {
    let bench = FileBench::new().await;
    let store = bench.store();
    for (name, key) in [("microsoft365/certificate", 1), ("microsoft365", 2)] {
        let entry = binding(name, Format::Pem);
        let staged = contract::stage(&*store, &entry, Rotation::First, key).await.unwrap();
        store.promote(&entry, &staged, None, None, &promoted(&staged, Rotation::First)).await.unwrap();
    }
    let read =
        |path: &str| read_pem(&std::fs::read(bench.directory().join(path)).unwrap()).unwrap().certificate;
    let inner = read("microsoft365/certificate/current/certificate.pem");
    assert_ne!(inner, read("microsoft365/current/microsoft365.pem"));
}

/// A reader of the combined file sees the old or the new, never a mixture and never nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_in_a_hurry_never_sees_a_torn_file() {
    let bench = FileBench::new().await;
    let (store, entry) = (Arc::new(bench.file_store()), bench.entry());
    let first = contract::stage(&*store, &entry, Rotation::First, 1).await.unwrap();
    let second = contract::stage(&*store, &entry, Rotation::Second, 2).await.unwrap();
    store.promote(&entry, &first, None, None, &promoted(&first, Rotation::First)).await.unwrap();

    let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (stopped, counted, path) = (stop.clone(), reads.clone(), bench.path("current/cloudm.pem"));
    let expected = [first.record.thumbprints.unwrap(), second.record.thumbprints.unwrap()];
    let reader = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            // Refuses a key and a certificate that are no pair.
            let seen = read_pem(&std::fs::read(&path).unwrap()).unwrap().certificate.thumbprints;
            assert!(expected.contains(&seen));
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    for round in 0..40 {
        let (from, to) = if round % 2 == 0 { (&first, &second) } else { (&second, &first) };
        store.promote(&entry, to, Some(&current(from)), None, &promoted(to, Rotation::Second)).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    reader.join().unwrap();
    assert!(reads.load(Ordering::Relaxed) > 40, "the reader hardly read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_two_runs_of_one_rotation_agree_on_one_key() {
    let bench = FileBench::new().await;
    let runs = (1..=6).map(|key| {
        let (store, entry) = (bench.file_store(), bench.entry());
        tokio::spawn(async move { contract::stage(&store, &entry, Rotation::First, key).await.unwrap() })
    });
    let mut staged = Vec::new();
    for run in runs.collect::<Vec<_>>() {
        staged.push(run.await.unwrap());
    }
    assert!(staged.iter().all(|generation| generation == &staged[0]));
    assert_eq!(bench.holding().await.generations, vec![staged[0].clone()]);
    assert_eq!(files_with_keys(bench.folder.path()).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_runs_that_promote_different_keys_one_is_told_of_the_other() {
    let bench = FileBench::new().await;
    let (store, entry) = (bench.file_store(), bench.entry());
    let generations = [
        contract::stage(&store, &entry, Rotation::First, 1).await.unwrap(),
        contract::stage(&store, &entry, Rotation::Second, 2).await.unwrap(),
    ];
    let runs = generations.map(|generation| {
        let (store, entry) = (bench.file_store(), bench.entry());
        let record = promoted(&generation, Rotation::First);
        tokio::spawn(async move { store.promote(&entry, &generation, None, None, &record).await })
    });
    let mut results = Vec::new();
    for run in runs {
        results.push(run.await.unwrap());
    }
    let won: Vec<_> = results.iter().flatten().collect();
    let lost: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert_eq!((won.len(), lost.len()), (1, 1));
    assert_eq!(lost[0].kind, StoreErrorKind::Rival);
    assert_eq!(bench.holding().await.current, Some(current(won[0])));
}

#[tokio::test]
async fn a_lock_somebody_holds_is_waited_for_and_then_named() {
    let bench = FileBench::new().await;
    contract::stage(&*bench.store(), &bench.entry(), Rotation::First, 1).await.unwrap();
    let mut file = std::fs::OpenOptions::new().write(true).truncate(true).open(bench.path(".lock")).unwrap();
    file.lock().unwrap();
    file.write_all(b"process 4711").unwrap();
    let store = bench.file_store().lock_wait(Duration::from_millis(300));
    let started = std::time::Instant::now();
    let error = contract::stage(&store, &bench.entry(), Rotation::Second, 2).await.unwrap_err();
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.reason.contains("process 4711 holds"), "{error}");
    assert_eq!(bench.holding().await.generations.len(), 1, "observing waits for nobody");

    let waiting = tokio::spawn({
        let (store, entry) = (bench.file_store(), bench.entry());
        async move { contract::stage(&store, &entry, Rotation::Second, 2).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(file);
    waiting.await.unwrap().unwrap();
}

/// A refusal at any point (here: the disk is full) leaves no key behind that is not a complete generation's.
#[tokio::test]
async fn a_full_disk_leaves_nothing_half_written() {
    for call in 0.. {
        let bench = FileBench::new().await;
        bench.trouble().plan(call, Mischief::Refuse);
        let staged = contract::stage(&*bench.store(), &bench.entry(), Rotation::First, 1).await;
        if bench.trouble().journal().len() as u64 <= call {
            return;
        }
        match staged {
            Ok(_) => assert_eq!(files_with_keys(bench.folder.path()).len(), 1),
            Err(error) => {
                assert_eq!(error.kind, StoreErrorKind::Unavailable);
                assert!(error.reason.contains("no space left"), "{error}");
                let generations = match bench.path("").exists() {
                    true => bench.holding().await.generations.len(),
                    false => 0,
                };
                assert_eq!(files_with_keys(bench.folder.path()).len(), generations, "at call {call}");
            }
        }
    }
}

#[tokio::test]
async fn p3_neither_debug_nor_errors_show_a_secret() {
    let bench = FileBench::new().await;
    let (store, entry) = (bench.store(), binding("cloudm", Format::Pfx));
    let first = contract::stage(&*store, &entry, Rotation::First, 1).await.unwrap();
    let password = Secret::new("not-to-be-seen-01234567".into());
    let rival = Current::Unrecorded { thumbprints: None };
    let error =
        store.promote(&entry, &first, Some(&rival), Some(&password), &first.record).await.unwrap_err();
    let shown = format!("{error:?} {error} {first:?} {:?}", bench.file_store());
    assert!(!shown.contains("not-to-be-seen"), "{shown}");
}
