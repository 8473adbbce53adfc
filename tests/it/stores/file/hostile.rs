//! What somebody may have put into the store, and where a store must not be.

use std::os::unix::fs::symlink;
use std::path::Path;

use certroll::desired::Format;
use certroll::store::file::FileStore;
use certroll::store::{StoreErrorKind, StoreReader};

use super::super::binding;
use super::{FileBench, files_with_keys, snapshot};
use crate::support::contract::{self, Bench, Rotation};
use crate::support::keys;

async fn stage_fails(bench: &FileBench) -> StoreErrorKind {
    contract::stage(&*bench.store(), &bench.entry(), Rotation::First, 1).await.unwrap_err().kind
}

#[tokio::test]
async fn a_linked_entry_or_generations_folder_is_refused_and_nothing_is_written_through_it() {
    for planted in ["cloudm", "cloudm/generations"] {
        let bench = FileBench::new().await;
        let elsewhere = tempfile::tempdir().unwrap();
        let link = bench.directory().join(planted);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(elsewhere.path(), &link).unwrap();
        assert!(bench.unreadable().await.contains("is a symbolic link"), "{planted}");
        assert_eq!(stage_fails(&bench).await, StoreErrorKind::Corrupt, "{planted}");
        assert!(snapshot(elsewhere.path()).is_empty(), "{planted}");
    }
}

#[tokio::test]
async fn a_linked_generation_record_or_lock_is_refused() {
    let bench = FileBench::new().await;
    let (store, entry) = (bench.store(), bench.entry());
    let first = contract::stage(&*store, &entry, Rotation::First, 1).await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();

    let folder = bench.path("generations").join(&first.handle);
    std::fs::rename(folder.join("record.json"), elsewhere.path().join("record.json")).unwrap();
    symlink(elsewhere.path().join("record.json"), folder.join("record.json")).unwrap();
    assert!(bench.unreadable().await.contains("is a symbolic link"));
    std::fs::remove_file(folder.join("record.json")).unwrap();
    std::fs::rename(elsewhere.path().join("record.json"), folder.join("record.json")).unwrap();

    symlink(elsewhere.path(), bench.path("generations/linked")).unwrap();
    assert!(bench.unreadable().await.contains("does not belong there"));
    std::fs::remove_file(bench.path("generations/linked")).unwrap();

    std::fs::remove_file(bench.path(".lock")).unwrap();
    symlink(elsewhere.path().join("victim"), bench.path(".lock")).unwrap();
    assert_eq!(stage_fails(&bench).await, StoreErrorKind::Corrupt);
    assert!(!elsewhere.path().join("victim").exists());
}

#[tokio::test]
async fn a_linked_key_is_neither_held_nor_read() {
    let bench = FileBench::new().await;
    let (store, entry) = (bench.store(), bench.entry());
    let first = contract::stage(&*store, &entry, Rotation::First, 1).await.unwrap();
    let key = bench.path("generations").join(&first.handle).join("key.pk8");
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(elsewhere.path(), keys::key(1).expose_pkcs8()).unwrap();
    std::fs::remove_file(&key).unwrap();
    symlink(elsewhere.path(), &key).unwrap();
    assert!(store.signer(&entry, &first).await.is_err());
    assert!(store.promote(&entry, &first, None, None, &first.record).await.is_err());
    assert!(bench.consume().await.is_none());
}

#[tokio::test]
async fn a_current_that_leads_elsewhere_is_trouble() {
    let bench = FileBench::new().await;
    contract::stage(&*bench.store(), &bench.entry(), Rotation::First, 1).await.unwrap();
    for target in
        ["/etc", "..", "generations", "generations/../..", "generations/a/b", "generations/.tmp-stage", ""]
    {
        let _ = std::fs::remove_file(bench.path("current"));
        if symlink(target, bench.path("current")).is_ok() {
            assert!(bench.unreadable().await.contains("outside its own"), "{target}");
        }
    }
    let _ = std::fs::remove_file(bench.path("current"));
    symlink("generations/gone", bench.path("current")).unwrap();
    assert!(bench.unreadable().await.contains("which is gone"));
    std::fs::remove_file(bench.path("current")).unwrap();
    std::fs::create_dir(bench.path("current")).unwrap();
    assert!(bench.unreadable().await.contains("should be a symbolic link"));
    assert_eq!(stage_fails(&bench).await, StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn a_named_pipe_in_a_records_place_does_not_hold_anybody_up() {
    let bench = FileBench::new().await;
    let first = contract::stage(&*bench.store(), &bench.entry(), Rotation::First, 1).await.unwrap();
    let record = bench.path("generations").join(&first.handle).join("record.json");
    std::fs::remove_file(&record).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &record,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert!(bench.unreadable().await.contains("not an ordinary file"));
}

#[tokio::test]
async fn a_key_that_does_not_fit_its_certificate_is_not_used() {
    let bench = FileBench::new().await;
    let (store, entry) = (bench.store(), bench.entry());
    let first = contract::stage(&*store, &entry, Rotation::First, 1).await.unwrap();
    let key = bench.path("generations").join(&first.handle).join("key.pk8");
    std::fs::write(&key, keys::key(2).expose_pkcs8()).unwrap();
    let error = match store.signer(&entry, &first).await {
        Err(error) => error,
        Ok(_) => panic!("a signer with another key"),
    };
    assert_eq!(error.kind, StoreErrorKind::Corrupt);
    assert!(store.promote(&entry, &first, None, None, &first.record).await.is_err());
    assert!(bench.consume().await.is_none());
}

#[tokio::test]
async fn what_is_staged_belongs_together_or_is_refused() {
    let bench = FileBench::new().await;
    let (store, entry) = (bench.store(), bench.entry());
    let issued = keys::self_signed("CN=a", Rotation::First.start(), 1, &keys::key(1)).await;
    let other = keys::self_signed("CN=b", Rotation::First.start(), 1, &keys::key(2)).await;
    let record = contract::staged(Rotation::First, &issued.certificate);
    let wrong_key = store.stage(&entry, &keys::key(2), &issued, &record).await.unwrap_err();
    let wrong_certificate = store.stage(&entry, &keys::key(2), &other, &record).await.unwrap_err();
    assert_eq!((wrong_key.kind, wrong_certificate.kind), (StoreErrorKind::Refused, StoreErrorKind::Refused));
    assert!(files_with_keys(bench.folder.path()).is_empty());
}

#[tokio::test]
async fn names_that_are_no_safe_paths_touch_nothing() {
    let bench = FileBench::new().await;
    for name in ["../cloudm", "/etc/cloudm", "a/../b", ".git", "a\0b", ""] {
        let entry = binding(name, Format::Pem);
        let error = contract::stage(&*bench.store(), &entry, Rotation::First, 1).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Refused, "{name:?}");
    }
    assert!(snapshot(bench.folder.path()).is_empty());
}

#[tokio::test]
async fn two_entries_that_differ_in_case_alone_are_refused() {
    let bench = FileBench::new().await;
    contract::stage(&*bench.store(), &binding("App/Cert", Format::Pem), Rotation::First, 1).await.unwrap();
    for name in ["app/Cert", "App/cert"] {
        let entry = binding(name, Format::Pem);
        let error = contract::stage(&*bench.store(), &entry, Rotation::First, 1).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Refused, "{name:?}");
        assert!(error.reason.contains("only in case"), "{error}");
    }
    contract::stage(&*bench.store(), &binding("App/Other", Format::Pem), Rotation::First, 1).await.unwrap();
}

fn git(folder: &Path) {
    std::fs::create_dir_all(folder.join(".git")).unwrap();
}

#[tokio::test]
async fn no_key_goes_into_a_git_work_tree_that_does_not_ignore_it() {
    let bench = FileBench::new().await;
    git(bench.folder.path());
    let before = snapshot(bench.folder.path());
    let error = contract::stage(&*bench.store(), &bench.entry(), Rotation::First, 1).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Refused);
    assert!(error.reason.contains("is not ignored"), "{error}");
    assert!(error.hint.unwrap().contains(".gitignore"));
    assert_eq!(snapshot(bench.folder.path()), before, "nothing was written");

    std::fs::write(bench.folder.path().join(".gitignore"), "/secrets/\n").unwrap();
    contract::stage(&*bench.store(), &bench.entry(), Rotation::First, 1).await.unwrap();
    assert!(bench.file_store().observe(&bench.entry()).await.warnings.is_empty());

    // A plan says it before an apply refuses it.
    std::fs::write(bench.folder.path().join(".gitignore"), "*.pem\n").unwrap();
    let warnings = bench.file_store().observe(&bench.entry()).await.warnings;
    assert!(warnings.iter().any(|warning| warning.contains("is not ignored")), "{warnings:?}");
    let staged = bench.holding().await.generations.remove(0);
    let error = bench.store().promote(&bench.entry(), &staged, None, None, &staged.record).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Refused);
}

#[tokio::test]
async fn no_key_goes_into_a_git_folder_whatever_is_ignored() {
    let bench = FileBench::new().await;
    git(bench.folder.path());
    std::fs::write(bench.folder.path().join(".gitignore"), "*\n").unwrap();
    let before = snapshot(bench.folder.path());
    for directory in [".git", ".git/secrets"] {
        let store = FileStore::new(bench.folder.path().join(directory));
        let error = contract::stage(&store, &bench.entry(), Rotation::First, 1).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Refused);
        assert!(error.hint.unwrap().contains("choose a folder outside .git"));
        let warnings = store.observe(&bench.entry()).await.warnings;
        assert!(warnings.iter().any(|w| w.contains("choose a folder outside .git")), "{warnings:?}");
    }
    assert_eq!(snapshot(bench.folder.path()), before, "nothing was written");
}

#[tokio::test]
async fn the_hint_names_the_line_for_the_ignore_file_relative_to_the_work_tree() {
    let bench = FileBench::new().await;
    git(bench.folder.path());
    let store = FileStore::new(bench.folder.path().join("deep/secrets"));
    let error = contract::stage(&store, &bench.entry(), Rotation::First, 1).await.unwrap_err();
    let hint = error.hint.unwrap();
    let warnings = store.observe(&bench.entry()).await.warnings;
    assert!(warnings.iter().any(|warning| warning.contains(&hint)), "said before anything is there");
    assert!(hint.starts_with("add /deep/secrets/ to "), "{hint}");
    std::fs::write(bench.folder.path().join(".gitignore"), "/deep/secrets/\n").unwrap();
    contract::stage(&store, &bench.entry(), Rotation::First, 1).await.unwrap();
}
