//! What consumers read was damaged, lost or left open: it is noticed before anything is built on it.

use std::os::unix::fs::PermissionsExt;

use certroll::desired::{Format, StoreBinding};
use certroll::key::Secret;
use certroll::observed::record::{PublicRecord, RecordedPhase};
use certroll::observed::{Current, Generation, StoreState};
use certroll::store::{StoreError, StoreErrorKind, StoreReader};

use super::super::binding;
use super::FileBench;
use crate::support::contract::{self, Bench, Rotation};

/// A first generation that is current.
async fn promoted(format: Format) -> (FileBench, StoreBinding, Generation) {
    let (bench, entry) = (FileBench::new().await, binding("cloudm", format));
    let first = contract::stage(&*bench.store(), &entry, Rotation::First, 1).await.unwrap();
    let record = PublicRecord {
        phase: RecordedPhase::Promoted,
        promoted_at: Some(Rotation::First.promoted_at()),
        ..first.record.clone()
    };
    let password = format.is_pfx().then(|| Secret::new("correct horse battery staple".into()));
    let first = bench.store().promote(&entry, &first, None, password.as_ref(), &record).await.unwrap();
    (bench, entry, first)
}

async fn signing(bench: &FileBench, entry: &StoreBinding, generation: &Generation) -> Result<(), StoreError> {
    bench.store().signer(entry, generation).await.map(|_| ())
}

/// What a plan warns of.
async fn warnings(bench: &FileBench, entry: &StoreBinding) -> Vec<String> {
    let observed = bench.file_store().observe(entry).await;
    let damage = observed.damage.into_iter().filter(|damage| damage.certain).map(|damage| damage.text);
    observed.warnings.into_iter().chain(damage).collect()
}

/// What only drift tells: somebody wrote there, and nobody looked what.
async fn touched(bench: &FileBench, entry: &StoreBinding) -> Vec<String> {
    let observed = bench.file_store().observe(entry).await;
    observed.damage.into_iter().filter(|damage| !damage.certain).map(|damage| damage.text).collect()
}

#[tokio::test]
async fn a_file_of_the_same_size_written_at_another_time_is_told_without_opening_it() {
    for (format, files) in FORMATS {
        for name in files {
            let (bench, entry, first) = promoted(format).await;
            assert_eq!(touched(&bench, &entry).await, Vec::<String>::new(), "{name}");
            let path = bench.path("current").join(name);
            let length = std::fs::read(&path).unwrap().len();
            std::fs::write(&path, vec![b'x'; length]).unwrap();
            let found = touched(&bench, &entry).await;
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains("after certroll did") && found[0].contains(name), "{found:?}");
            assert_eq!(warnings(&bench, &entry).await, Vec::<String>::new(), "{name}");
            assert!(signing(&bench, &entry, &first).await.is_err(), "{name}");
        }
    }
}

const FORMATS: [(Format, &[&str]); 6] = [
    (Format::Pem, &["cloudm.pem"]),
    (Format::PemBase64, &["cloudm.pem.b64"]),
    (Format::PemPair, &["cloudm.crt", "cloudm.key"]),
    (Format::Pfx, &["cloudm.pfx", "cloudm.password"]),
    (Format::PfxBase64, &["cloudm.pfx.b64", "cloudm.password"]),
    (Format::Cer, &["cloudm.cer"]),
];

#[tokio::test]
async fn nothing_is_signed_for_a_current_generation_with_one_changed_byte_in_what_consumers_read() {
    for (format, files) in FORMATS {
        for name in files {
            let (bench, entry, first) = promoted(format).await;
            signing(&bench, &entry, &first).await.unwrap();
            let path = bench.path("current").join(name);
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            let error = signing(&bench, &entry, &first).await.unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Corrupt, "{name}");
            assert!(error.reason.contains("the file consumers read was changed or is missing"), "{error}");
            assert!(error.reason.contains(name), "{error}");
            assert!(error.hint.unwrap().contains("--replace ADDRESS="), "{name}");
        }
    }
}

#[tokio::test]
async fn a_missing_or_shortened_file_is_a_warning_without_opening_it_and_stops_signing() {
    for (format, files) in FORMATS {
        for name in files {
            for shortened in [true, false] {
                let (bench, entry, first) = promoted(format).await;
                assert_eq!(warnings(&bench, &entry).await, Vec::<String>::new());
                let path = bench.path("current").join(name);
                if shortened {
                    std::fs::write(&path, "x").unwrap();
                } else {
                    std::fs::remove_file(&path).unwrap();
                }
                let found = warnings(&bench, &entry).await;
                assert_eq!(found.len(), 1, "{found:?}");
                assert!(found[0].contains("changed or is missing") && found[0].contains(name), "{found:?}");
                let error = signing(&bench, &entry, &first).await.unwrap_err();
                assert_eq!(error.kind, StoreErrorKind::Corrupt, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn the_list_of_files_itself_cannot_be_lost_or_garbled_unnoticed() {
    for garbage in [None, Some("{"), Some("{}")] {
        let (bench, entry, first) = promoted(Format::Pem).await;
        let path = bench.path("current/rendered.json");
        match garbage {
            Some(garbage) => std::fs::write(&path, garbage).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let found = warnings(&bench, &entry).await;
        assert!(found.iter().any(|warning| warning.contains("rendered.json")), "{found:?}");
        let error = signing(&bench, &entry, &first).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error}");
    }
}

#[tokio::test]
async fn a_list_of_an_older_version_without_sizes_still_tells_presence() {
    let (bench, entry, first) = promoted(Format::Pem).await;
    let path = bench.path("current/rendered.json");
    let mut list: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(list.as_object_mut().unwrap().remove("contents").is_some());
    std::fs::write(&path, list.to_string()).unwrap();
    assert_eq!(warnings(&bench, &entry).await, Vec::<String>::new());
    assert_eq!(touched(&bench, &entry).await, Vec::<String>::new());
    signing(&bench, &entry, &first).await.unwrap();
    std::fs::remove_file(bench.path("current/cloudm.pem")).unwrap();
    assert_eq!(warnings(&bench, &entry).await.len(), 1);
    assert_eq!(signing(&bench, &entry, &first).await.unwrap_err().kind, StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn a_damaged_current_does_not_keep_its_successor_from_being_staged_signed_and_promoted() {
    let (bench, entry, first) = promoted(Format::Pem).await;
    std::fs::write(bench.path("current/cloudm.pem"), "damaged").unwrap();
    let store = bench.store();
    let second = contract::stage(&*store, &entry, Rotation::Second, 2).await.unwrap();
    signing(&bench, &entry, &second).await.unwrap();
    let expected = Current::Recorded(first.record.thumbprints.unwrap().sha256);
    let record = PublicRecord {
        phase: RecordedPhase::Promoted,
        promoted_at: Some(Rotation::Second.promoted_at()),
        ..second.record.clone()
    };
    let second = store.promote(&entry, &second, Some(&expected), None, &record).await.unwrap();
    signing(&bench, &entry, &second).await.unwrap();
    assert_eq!(warnings(&bench, &entry).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_lost_link_is_trouble_that_says_how_to_mend_it_and_not_an_empty_store() {
    let (bench, entry, first) = promoted(Format::Pem).await;
    let before = bench.holding().await;
    std::fs::remove_file(bench.path("current")).unwrap();
    let reason = bench.unreadable().await;
    assert!(reason.contains("the link `current` is missing"), "{reason}");
    let command = format!("ln -s generations/{} {}", first.handle, bench.path("current").display());
    assert!(reason.contains(&command), "{reason}");
    let error = contract::stage(&*bench.store(), &entry, Rotation::Second, 2).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Corrupt, "no needless rotation");

    let words: Vec<&str> = command.split(' ').collect();
    // Not by running it: a process being started inherits the locks other tests hold for a moment.
    std::os::unix::fs::symlink(words[2], words[3]).unwrap();
    assert_eq!(bench.holding().await, before);
}

#[tokio::test]
async fn a_key_file_that_others_may_use_is_a_warning() {
    let (bench, entry, _) = promoted(Format::Pfx).await;
    for name in ["key.pk8", "cloudm.pfx", "cloudm.password"] {
        let path = bench.path("current").join(name);
        let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o640);
        let found = warnings(&bench, &entry).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(name) && found[0].contains("mode 0640"), "{found:?}");
        set(0o600);
    }
    assert_eq!(warnings(&bench, &entry).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_store_others_may_write_to_is_a_warning() {
    let (bench, entry, _) = promoted(Format::Pem).await;
    for mode in [0o720, 0o702, 0o777] {
        std::fs::set_permissions(bench.directory(), std::fs::Permissions::from_mode(mode)).unwrap();
        let found = warnings(&bench, &entry).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("is writable by others"), "{found:?}");
    }
}

#[tokio::test]
async fn a_current_generation_without_its_key_file_is_a_warning() {
    let (bench, entry, _) = promoted(Format::Pem).await;
    std::fs::remove_file(bench.path("current/key.pk8")).unwrap();
    let observed = bench.file_store().observe(&entry).await;
    assert!(matches!(observed.state, StoreState::Known(_)));
    assert_eq!(observed.damage.len(), 1, "{:?}", observed.damage);
    assert!(observed.damage[0].certain && observed.damage[0].text.contains("key.pk8"));
}
