//! Copies in a folder on this machine.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use certroll::delivery::file::FileDelivery;
use certroll::delivery::{DeliveryError, DeliveryReader, DeliveryWriter};
use certroll::desired::{Delivery, Format};
use certroll::edges::TroubleKind;
use certroll::form::{read_pem, read_pfx};
use certroll::key::Secret;
use certroll::observed::DeliveryState;
use serde_json::json;

use super::{declared, issued};
use crate::support::keys;

fn pem_in(folder: &Path) -> Delivery {
    declared("file", json!({ "directory": "out", "name": "cloudm" }), Format::Pem, folder)
}

async fn deliver(delivery: &Delivery, number: usize) -> Result<String, DeliveryError> {
    let password = Secret::new("correct horse".into());
    let password = delivery.form.format.is_pfx().then_some(&password);
    let place = FileDelivery::new(delivery).unwrap();
    place.deliver(delivery, &keys::key(number), &issued(number).await, password).await
}

async fn seen(delivery: &Delivery) -> DeliveryState {
    FileDelivery::new(delivery).unwrap().observe(delivery).await
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn an_empty_folder_holds_nothing_and_then_what_was_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let delivery = pem_in(folder.path());
    assert_eq!(seen(&delivery).await, DeliveryState::Absent);
    assert!(!folder.path().join("out").exists(), "looking makes no folder");
    for number in [1, 2] {
        deliver(&delivery, number).await.unwrap();
        let certificate = issued(number).await.certificate;
        assert_eq!(seen(&delivery).await, DeliveryState::Holds(certificate.thumbprints));
        let file = folder.path().join("out/cloudm.pem");
        let found = read_pem(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(found.certificate.thumbprints, certificate.thumbprints);
        assert_eq!((mode(&file), mode(&folder.path().join("out"))), (0o600, 0o700));
    }
}

#[tokio::test]
async fn a_file_that_somebody_else_changed_removed_or_put_there_is_noticed_without_opening_it() {
    let folder = tempfile::tempdir().unwrap();
    let delivery = pem_in(folder.path());
    let file = folder.path().join("out/cloudm.pem");
    std::fs::create_dir(folder.path().join("out")).unwrap();
    std::fs::write(&file, "by hand").unwrap();
    assert!(matches!(seen(&delivery).await, DeliveryState::Marker(_)));
    deliver(&delivery, 1).await.unwrap();
    // The same length, another time.
    let same_length = vec![b'x'; std::fs::metadata(&file).unwrap().len() as usize];
    std::fs::write(&file, same_length).unwrap();
    assert!(matches!(seen(&delivery).await, DeliveryState::Marker(_)));
    deliver(&delivery, 1).await.unwrap();
    // Nobody may read it, and still it can be compared.
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o000)).unwrap();
    assert!(matches!(seen(&delivery).await, DeliveryState::Holds(_)));
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(seen(&delivery).await, DeliveryState::Marker(_)));
}

#[tokio::test]
async fn a_pfx_stands_beside_its_password_and_goes_when_the_form_changes() {
    let folder = tempfile::tempdir().unwrap();
    let settings = json!({ "directory": "out", "name": "cloudm" });
    let delivery = declared("file", settings, Format::Pfx, folder.path());
    deliver(&delivery, 1).await.unwrap();
    let read = |name: &str| std::fs::read(folder.path().join("out").join(name)).unwrap();
    let password = Secret::new(String::from_utf8(read("cloudm.password")).unwrap());
    let found = read_pfx(&read("cloudm.pfx"), Some(&password)).unwrap();
    assert_eq!(found.certificate.thumbprints, issued(1).await.certificate.thumbprints);
    deliver(&pem_in(folder.path()), 1).await.unwrap();
    let left = std::fs::read_dir(folder.path().join("out")).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    let expected = [".cloudm.certroll.json", ".lock", "cloudm.pem"];
    assert_eq!(left, expected, "an old key is not left lying about");
}

#[tokio::test]
async fn keys_are_not_put_into_a_git_work_tree_that_does_not_ignore_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(".git")).unwrap();
    let delivery = pem_in(folder.path());
    let error = deliver(&delivery, 1).await.unwrap_err().0;
    assert_eq!(error.kind, TroubleKind::Refused);
    assert!(error.hint.unwrap().contains("/out/"), "{}", error.reason);
    assert!(!folder.path().join("out").exists());
    std::fs::write(folder.path().join(".gitignore"), "/out/\n").unwrap();
    deliver(&delivery, 1).await.unwrap();
}

#[tokio::test]
async fn a_link_in_a_files_place_is_replaced_and_never_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let delivery = pem_in(folder.path());
    let (elsewhere, file) = (folder.path().join("elsewhere"), folder.path().join("out/cloudm.pem"));
    std::fs::write(&elsewhere, "not ours").unwrap();
    std::fs::create_dir(folder.path().join("out")).unwrap();
    symlink(&elsewhere, &file).unwrap();
    deliver(&delivery, 1).await.unwrap();
    assert_eq!(std::fs::read(&elsewhere).unwrap(), b"not ours");
    assert!(file.symlink_metadata().unwrap().is_file());
}

#[tokio::test]
async fn a_run_that_was_killed_between_two_files_delivers_again() {
    let folder = tempfile::tempdir().unwrap();
    let delivery = pem_in(folder.path());
    deliver(&delivery, 1).await.unwrap();
    // The next run had put the new file there and a half-written one beside it, and then it died.
    let out = folder.path().join("out");
    std::fs::write(out.join("cloudm.pem"), "the next one").unwrap();
    std::fs::write(out.join(".tmp-cloudm"), "half a key").unwrap();
    assert!(matches!(seen(&delivery).await, DeliveryState::Marker(_)));
    deliver(&delivery, 2).await.unwrap();
    assert!(!out.join(".tmp-cloudm").exists());
    assert!(matches!(seen(&delivery).await, DeliveryState::Holds(_)));
}
