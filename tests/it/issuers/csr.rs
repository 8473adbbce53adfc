//! The folder of signing requests: what is written there, and what of what lies there counts.

use std::path::Path;

use certroll::issuer::csr::RequestFolder;
use certroll::issuer::{Issuer, SubjectKey};
use certroll::may::May;
use certroll::observed::Answer;
use certroll::pem;

use crate::support::ca::TestCa;
use crate::support::keys;
use crate::support::stores::signing_request;

const REQUEST: &str = "requests/contoso.billing.csr";
const ANSWER: &str = "requests/contoso.billing.cer";

fn folder(base: &Path) -> RequestFolder {
    RequestFolder::new(base, Path::new("requests"), &"contoso/billing".parse().unwrap())
}

fn why_unusable(answer: Answer) -> String {
    match answer {
        Answer::Unusable { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

async fn signed(csr: &[u8]) -> Vec<u8> {
    let wanted = keys::request("CN=unused", super::moment("2027-01-01T00:00:00Z"), 7);
    TestCa::new().issue(&wanted, SubjectKey::Request(csr)).await.unwrap().certificate.der().to_vec()
}

#[tokio::test]
async fn a_request_is_written_once_and_its_certificate_is_found_in_every_usual_form() {
    let base = tempfile::tempdir().unwrap();
    let (requests, csr) = (folder(base.path()), signing_request(&keys::key(1), "CN=billing"));
    assert_eq!(requests.look(&csr, |_| false), Answer::NotAsked);
    requests.ask(&csr).await.unwrap();
    requests.ask(&csr).await.unwrap();
    let written = std::fs::read(base.path().join(REQUEST)).unwrap();
    assert_eq!(*pem::blocks(&written).unwrap()[0].contents, csr);
    assert_eq!(std::fs::read_dir(base.path().join("requests")).unwrap().count(), 1);
    assert_eq!(requests.look(&csr, |_| false), Answer::Awaited);
    let der = signed(&csr).await;
    let text = pem::encode("CERTIFICATE", &der).to_string();
    let root = TestCa::new().certificate().to_pem();
    for (ending, content) in [
        ("cer", der.clone()),
        ("crt", text.clone().into_bytes()),
        ("pem", format!("{root}\n{text}").into_bytes()),
    ] {
        let path = base.path().join(ANSWER).with_extension(ending);
        std::fs::write(&path, content).unwrap();
        let Answer::Certificate(found) = requests.look(&csr, |_| false) else { panic!("{ending}") };
        assert_eq!(found.der(), der);
        std::fs::remove_file(path).unwrap();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn what_lies_in_the_folder_of_requests_is_not_believed() {
    let base = tempfile::tempdir().unwrap();
    let (requests, csr) = (folder(base.path()), signing_request(&keys::key(1), "CN=billing"));
    requests.ask(&csr).await.unwrap();
    let path = base.path().join(ANSWER);
    let key = pem::encode("PRIVATE KEY", keys::key(1).expose_pkcs8()).to_string();
    let of_another = signed(&signing_request(&keys::key(2), "CN=billing")).await;
    for (content, why) in [
        (key.clone().into_bytes(), "it holds a private key"),
        (pem::encode("PKCS7", b"x").as_bytes().to_vec(), "it is PKCS#7"),
        (b"swordfish".to_vec(), "cannot be used"),
        (vec![b' '; (1 << 20) + 1], "is no regular file of at most 1 MiB"),
        (of_another.clone(), "is for another key than the one that waits for it"),
    ] {
        std::fs::write(&path, content).unwrap();
        let said = why_unusable(requests.look(&csr, |_| false));
        assert!(said.contains(why), "{said}");
        assert!(!said.contains("swordfish") && !said.contains(&key[40..60]), "{said}");
    }
    // That of an earlier generation is known, and no mistake.
    assert_eq!(requests.look(&csr, |found| found.der() == of_another), Answer::Awaited);

    std::fs::write(base.path().join("outside.cer"), signed(&csr).await).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("../outside.cer", &path).unwrap();
    assert!(why_unusable(requests.look(&csr, |_| false)).contains("is no regular file"));
}

#[tokio::test]
async fn whether_requests_can_be_written_is_told_without_writing_one() {
    let base = tempfile::tempdir().unwrap();
    assert_eq!(folder(base.path()).may_write(), May::Yes);
    assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
    std::fs::write(base.path().join("requests"), "a file").unwrap();
    let May::No { reason, .. } = folder(base.path()).may_write() else { panic!("a file is a folder") };
    assert!(reason.ends_with("requests is no folder"), "{reason}");
}
