//! Observing: what is told apart, and that no key is ever opened for it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use certroll::desired::{Form, Format, Password, PfxProfile};
use certroll::form::render;
use certroll::ids::RotationId;
use certroll::key::Secret;
use certroll::observed::record::PublicRecord;
use certroll::observed::{Current, Holding, KeyState, StoreState};
use certroll::store::{StoreErrorKind, StoreReader};
use rustix::fs::inotify;

use super::{FileBench, pem_of_key, put_by_hand};
use crate::support::contract::{self, Bench, Ledger, Rotation, whole_life};
use crate::support::keys;

async fn with_one_staged() -> FileBench {
    let bench = FileBench::new().await;
    contract::stage(&*bench.store(), &bench.entry(), Rotation::First, 1).await.unwrap();
    bench
}

fn generation_folder(bench: &FileBench) -> std::path::PathBuf {
    let mut folders = std::fs::read_dir(bench.path("generations")).unwrap();
    folders.next().unwrap().unwrap().path()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn an_entry_is_absent_only_when_its_folder_or_one_above_is_not_there() {
    let bench = FileBench::new().await;
    let state = bench.file_store().observe(&bench.entry()).await.state;
    assert!(matches!(state, StoreState::Absent));
    std::fs::create_dir_all(bench.directory()).unwrap();
    let state = bench.file_store().observe(&bench.entry()).await.state;
    assert!(matches!(state, StoreState::Absent));
    std::fs::create_dir_all(bench.path("")).unwrap();
    assert_eq!(bench.holding().await, Holding::default());
}

#[tokio::test]
async fn a_file_in_a_folders_place_is_trouble_and_not_absence() {
    let bench = FileBench::new().await;
    std::fs::write(bench.directory(), "").unwrap();
    assert!(bench.unreadable().await.contains("should be a folder"), "{}", bench.unreadable().await);
    let error = contract::stage(&*bench.store(), &bench.entry(), Rotation::First, 1).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error}");

    let bench = FileBench::new().await;
    std::fs::create_dir_all(bench.directory()).unwrap();
    std::fs::write(bench.directory().join("cloudm"), "").unwrap();
    assert!(bench.unreadable().await.contains("should be a folder"));
}

#[tokio::test]
async fn a_directory_that_is_a_link_to_nothing_is_trouble_and_not_absence() {
    let bench = FileBench::new().await;
    std::os::unix::fs::symlink("/nonexistent/mount", bench.directory()).unwrap();
    bench.unreadable().await;
}

#[tokio::test]
async fn what_may_not_be_read_is_trouble_and_not_absence() {
    let bench = with_one_staged().await;
    let refused = std::sync::Arc::new(Refuses);
    let state = bench.file_store().probe(refused).observe(&bench.entry()).await.state;
    let StoreState::Unreadable { reason } = state else { panic!("{state:?}") };
    assert!(reason.contains("permission denied"), "{reason}");
}

/// Stands for a folder of another user: tests may run as root, who may read everything.
struct Refuses;

impl certroll::store::file::Probe for Refuses {
    fn before(&self, _: certroll::store::file::Action, _: &Path) -> std::io::Result<()> {
        Err(std::io::ErrorKind::PermissionDenied.into())
    }
}

/// The kernel is the witness: inotify reports every file that is opened in the folder.
#[tokio::test]
async fn p7_observing_opens_no_key_no_form_and_no_password() {
    let bench = FileBench::new().await;
    whole_life(&bench, &mut Ledger::default()).await.unwrap();
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
    for folder in std::fs::read_dir(bench.path("generations")).unwrap() {
        let flags = inotify::WatchFlags::OPEN | inotify::WatchFlags::ACCESS;
        inotify::add_watch(&watch, folder.unwrap().path(), flags).unwrap();
    }
    let holding = bench.holding().await;
    assert_eq!(holding.generations.len(), 2);
    let mut buffer = [std::mem::MaybeUninit::uninit(); 16384];
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    let mut opened = std::collections::BTreeSet::new();
    while let Ok(event) = events.next() {
        if let Some(name) = event.file_name() {
            opened.insert(name.to_str().unwrap().to_owned());
        }
    }
    let public = ["record.json".to_owned(), "rendered.json".to_owned()];
    assert_eq!(opened, public.into(), "only records and the list of files are opened");
}

#[tokio::test]
async fn a_generation_without_its_key_file_has_a_destroyed_key() {
    let bench = with_one_staged().await;
    std::fs::remove_file(generation_folder(&bench).join("key.pk8")).unwrap();
    assert_eq!(bench.holding().await.generations[0].key, KeyState::Destroyed);
}

#[tokio::test]
async fn a_record_of_a_newer_format_is_left_to_a_newer_certroll() {
    let bench = with_one_staged().await;
    let path = generation_folder(&bench).join("record.json");
    let newer =
        std::fs::read_to_string(&path).unwrap().replace("\"format\": 1", "\"format\": 2, \"more\": true");
    std::fs::write(&path, &newer).unwrap();
    assert!(bench.unreadable().await.contains("has format 2; this certroll knows up to 1"));
    let error = contract::stage(&*bench.store(), &bench.entry(), Rotation::Second, 2).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Corrupt);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), newer);
}

#[tokio::test]
async fn a_record_that_makes_no_sense_is_trouble() {
    for garbage in ["", "{}", "[]", "\0\0", "{\"format\": 1}", "{\"format\": \"1\"}"] {
        let bench = with_one_staged().await;
        std::fs::write(generation_folder(&bench).join("record.json"), garbage).unwrap();
        assert!(bench.unreadable().await.contains("record.json"), "{garbage:?}");
    }
}

#[tokio::test]
async fn two_folders_of_one_certificate_are_trouble() {
    let bench = with_one_staged().await;
    let (folder, copy) = (generation_folder(&bench), bench.path("generations/copy"));
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(folder.join("record.json"), copy.join("record.json")).unwrap();
    assert!(bench.unreadable().await.contains("both claim certificate"));
}

#[tokio::test]
async fn a_current_without_record_is_told_by_its_public_certificate() {
    for (public, known) in [(vec!["certificate.pem"], true), (vec!["cloudm.crt"], true), (vec![], false)] {
        let bench = FileBench::new().await;
        put_by_hand(&bench.path(""), &bench.rival, &public);
        let thumbprints = known.then_some(bench.rival.certificate.thumbprints);
        let expected = Holding { current: Some(Current::Unrecorded { thumbprints }), generations: vec![] };
        assert_eq!(bench.holding().await, expected, "{public:?}");
    }
}

#[tokio::test]
async fn an_adopted_current_gets_its_first_record_and_can_be_rolled_back_to() {
    let bench = FileBench::new().await;
    put_by_hand(&bench.path(""), &bench.rival, &["certificate.pem"]);
    let adopted =
        PublicRecord { rotation_id: None, ..contract::staged(Rotation::First, &bench.rival.certificate) };
    let (store, entry) = (bench.store(), bench.entry());
    store.write_record(&entry, &adopted).await.unwrap();
    let holding = bench.holding().await;
    let old = holding.current_generation().unwrap().clone();
    assert_eq!((&old.record, old.key), (&adopted, KeyState::Held));

    // It signs with the key that is there, in whatever file.
    let signer = store.signer(&entry, &old).await.unwrap();
    assert_eq!(signer.certificate(), &bench.rival.certificate);

    // It can be put back into Entra and copied to further places, also where its certificate lies beside the key alone.
    for _ in 0..2 {
        let issued = store.issued(&entry, &old).await.unwrap();
        assert_eq!(issued.certificate, bench.rival.certificate);
        let key = store.export(&entry, &old).await.unwrap();
        assert!(issued.certificate.matches_key(&key));
        _ = std::fs::remove_file(bench.path("generations/by-hand/certificate.pem"));
    }

    let second = contract::stage(&*store, &entry, Rotation::Second, 2).await.unwrap();
    let second =
        store.promote(&entry, &second, holding.current.as_ref(), None, &second.record).await.unwrap();
    let current = bench.holding().await.current;
    store.promote(&entry, &old, current.as_ref(), None, &old.record).await.unwrap();
    let seen = bench.consume().await.unwrap();
    assert_eq!(
        seen.thumbprints, bench.rival.certificate.thumbprints,
        "its own files are what consumers read again"
    );

    // Gone for good once it is removed, whatever its files are called.
    let current = bench.holding().await.current;
    store.promote(&entry, &second, current.as_ref(), None, &second.record).await.unwrap();
    assert_eq!(store.remove(&entry, &old).await.unwrap(), KeyState::Destroyed);
    assert!(!bench.path("generations/by-hand/cloudm.pem").exists());
}

#[tokio::test]
async fn an_adopted_key_is_used_from_whatever_files_it_is_in_and_whatever_lies_beside_it() {
    let neighbour = keys::self_signed("CN=neighbour", Rotation::First.start(), 9, &keys::key(9)).await;
    let neighbour = neighbour.certificate.to_pem() + &pem_of_key(9);
    let secret = Secret::new("correct horse battery staple".into());
    let with_password = Password::SecretFile("unused".into());
    for (format, password, beside) in [
        (Format::PemPair, Password::None, None),
        (Format::Pfx, Password::None, None),
        (Format::Pfx, with_password.clone(), Some("correct horse battery staple\n")),
        (Format::PfxBase64, with_password.clone(), Some("correct horse battery staple")),
        (Format::Pfx, with_password, None),
    ] {
        let bench = FileBench::new().await;
        put_by_hand(&bench.path(""), &bench.rival, &["certificate.pem"]);
        let folder = bench.path("generations/by-hand");
        std::fs::remove_file(folder.join("cloudm.pem")).unwrap();
        let form = Form { format, profile: PfxProfile::Modern2023, password };
        let given = (form.password != Password::None).then_some(&secret);
        for file in render(&form, &keys::key(10), &bench.rival, given, "anything").unwrap() {
            std::fs::write(folder.join(file.name), &file.contents).unwrap();
        }
        std::fs::write(folder.join("neighbour"), &neighbour).unwrap();
        beside.into_iter().for_each(|text| std::fs::write(folder.join("passphrase"), text).unwrap());
        let adopted = contract::staged(Rotation::First, &bench.rival.certificate);
        let adopted = PublicRecord { rotation_id: None, ..adopted };
        let (store, entry) = (bench.store(), bench.entry());
        store.write_record(&entry, &adopted).await.unwrap();
        let held = bench.holding().await.current_generation().unwrap().clone();
        let exported = store.export(&entry, &held).await;
        if given.is_some() && beside.is_none() {
            let error = exported.unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Missing);
            assert!(error.hint.unwrap().contains("PFX without a password"), "{}", error.reason);
            continue;
        }
        assert!(bench.rival.certificate.matches_key(&exported.unwrap()), "{format:?}");
    }
}

#[tokio::test]
async fn a_current_that_cannot_be_told_without_its_key_is_not_adopted_blindly() {
    let bench = FileBench::new().await;
    put_by_hand(&bench.path(""), &bench.rival, &[]);
    let adopted =
        PublicRecord { rotation_id: None, ..contract::staged(Rotation::First, &bench.rival.certificate) };
    let error = bench.store().write_record(&bench.entry(), &adopted).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Refused);
    assert!(error.hint.unwrap().contains("current/certificate.pem"));

    let other = keys::self_signed("CN=other", Rotation::First.start(), 4, &keys::key(4)).await;
    std::fs::write(bench.path("current/certificate.pem"), bench.rival.certificate.to_pem()).unwrap();
    let wrong = PublicRecord { rotation_id: None, ..contract::staged(Rotation::First, &other.certificate) };
    assert!(
        bench.store().write_record(&bench.entry(), &wrong).await.is_err(),
        "a record of another certificate"
    );
}

#[tokio::test]
async fn remains_of_a_killed_run_are_not_seen_and_go_with_the_next_write() {
    let bench = with_one_staged().await;
    let before = bench.holding().await;
    let remains = bench.path("generations/.tmp-stage");
    std::fs::create_dir(&remains).unwrap();
    std::fs::write(remains.join("key.pk8"), keys::key(5).expose_pkcs8()).unwrap();
    std::fs::write(generation_folder_with_record(&bench).join(".tmp-file"), "half").unwrap();
    std::os::unix::fs::symlink("generations/nowhere", bench.path(".tmp-current")).unwrap();
    assert_eq!(bench.holding().await, before);
    bench.store().write_record(&bench.entry(), &before.generations[0].record).await.unwrap();
    assert!(
        super::snapshot(bench.folder.path()).keys().all(|path| !path.to_string_lossy().contains(".tmp-"))
    );
    assert_eq!(bench.holding().await, before);
}

fn generation_folder_with_record(bench: &FileBench) -> std::path::PathBuf {
    let folders = std::fs::read_dir(bench.path("generations")).unwrap().map(|entry| entry.unwrap().path());
    folders.into_iter().find(|path| path.join("record.json").exists()).unwrap()
}

#[tokio::test]
async fn folders_open_to_others_are_a_warning() {
    let bench = with_one_staged().await;
    assert_eq!(bench.file_store().observe(&bench.entry()).await.warnings, Vec::<String>::new());
    set_mode(&bench.directory(), 0o755);
    let warnings = bench.file_store().observe(&bench.entry()).await.warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("is open to others (mode 0755)"), "{warnings:?}");
}

#[tokio::test]
async fn a_record_names_its_generation_by_thumbprint_or_rotation() {
    let bench = with_one_staged().await;
    let record = bench.holding().await.generations[0].record.clone();
    let other =
        PublicRecord { thumbprints: None, rotation_id: Some(RotationId::of(&[b"other"])), ..record.clone() };
    let error = bench.store().write_record(&bench.entry(), &other).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Missing);
    let bare = PublicRecord { thumbprints: None, ..record };
    let error = bench.store().write_record(&bench.entry(), &bare).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Refused, "a record never loses its thumbprint");
}
