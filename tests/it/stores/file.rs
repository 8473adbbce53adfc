//! The file store, judged by what lies on the disk.

mod children;
mod damage;
mod hostile;
mod reading;
mod table;
mod writing;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use certroll::certificate::Certificate;
use certroll::desired::{Format, StoreBinding};
use certroll::form::read_pem;
use certroll::issuer::Issued;
use certroll::observed::{Holding, StoreState};
use certroll::store::file::FileStore;
use certroll::store::{StoreReader, StoreWriter};

use super::binding;
use crate::support::contract::{self, Bench, Rotation};
use crate::support::keys;
use crate::support::trouble::{Mischief, Trouble};

/// A file store below a folder that may be thrown away.
struct FileBench {
    folder: Arc<tempfile::TempDir>,
    trouble: Arc<Trouble>,
    rival: Issued,
}

impl FileBench {
    async fn new() -> FileBench {
        FileBench::with_rival(
            keys::self_signed("CN=by hand", Rotation::First.start(), 3, &keys::key(10)).await,
        )
    }

    fn with_rival(rival: Issued) -> FileBench {
        FileBench { folder: Arc::new(tempfile::tempdir().unwrap()), trouble: Trouble::quiet(), rival }
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("secrets")
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory().join("cloudm").join(below)
    }

    fn file_store(&self) -> FileStore {
        FileStore::new(self.directory())
    }

    async fn holding(&self) -> Holding {
        match self.file_store().observe(&self.entry()).await.state {
            StoreState::Known(holding) => holding,
            other => panic!("{other:?}"),
        }
    }

    async fn unreadable(&self) -> String {
        match self.file_store().observe(&self.entry()).await.state {
            StoreState::Unreadable { reason } => reason,
            other => panic!("{other:?}"),
        }
    }
}

#[async_trait]
impl Bench for FileBench {
    fn store(&self) -> Arc<dyn StoreWriter> {
        Arc::new(self.file_store().probe(self.trouble.clone()))
    }

    fn entry(&self) -> StoreBinding {
        binding("cloudm", Format::Pem)
    }

    fn trouble(&self) -> Arc<Trouble> {
        self.trouble.clone()
    }

    fn mischief(&self) -> &'static [Mischief] {
        &[Mischief::Refuse, Mischief::CrashBefore]
    }

    async fn consume(&self) -> Option<Certificate> {
        let text = std::fs::read(self.path("current/cloudm.pem")).ok()?;
        Some(read_pem(&text).unwrap().certificate)
    }

    fn rival(&self) -> Box<dyn FnOnce() + Send> {
        let (entry, rival) = (self.path(""), self.rival.clone());
        Box::new(move || put_by_hand(&entry, &rival, &[]))
    }

    fn put_by_hand(&self, pem: &str) -> bool {
        lay_out_by_hand(&self.path(""), pem, &["certificate.pem"]);
        true
    }

    fn rivals_within_calls(&self) -> bool {
        // Somebody who takes no lock can slip in between looking and the rename; docs/stores/file.md says so.
        false
    }

    fn snapshot(&self) -> String {
        format!("{:#?}", snapshot(self.folder.path()))
    }

    fn touches_key(&self, call: &str) -> bool {
        let public = ["record.json", "certificate.pem", "rendered.json", "request.csr"];
        call.starts_with("Read ") && !public.iter().any(|name| call.ends_with(name))
    }
}

/// Somebody lays out a generation without a record and points to it. `public` names files to put the certificate in.
fn put_by_hand(entry: &Path, issued: &Issued, public: &[&str]) {
    lay_out_by_hand(entry, &(issued.certificate.to_pem() + &pem_of_key(10)), public);
}

fn lay_out_by_hand(entry: &Path, pem: &str, public: &[&str]) {
    let folder = entry.join("generations/by-hand");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("cloudm.pem"), pem).unwrap();
    let certificate = Certificate::from_pem(pem.as_bytes()).unwrap();
    for name in public {
        std::fs::write(folder.join(name), certificate.to_pem()).unwrap();
    }
    let _ = std::fs::remove_file(entry.join("current"));
    std::os::unix::fs::symlink("generations/by-hand", entry.join("current")).unwrap();
}

fn pem_of_key(n: usize) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(keys::key(n).expose_pkcs8());
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

/// Every name below a folder: mode, inode and what it holds.
fn snapshot(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let holds = if meta.is_symlink() {
                format!("{:?}", std::fs::read_link(&path).unwrap())
            } else if meta.is_dir() {
                open.push(path.clone());
                "folder".into()
            } else {
                format!("{:?}", std::fs::read(&path).unwrap())
            };
            found.insert(path, format!("{:o} {} {holds}", meta.permissions().mode(), meta.ino()));
        }
    }
    found
}

/// The names of files below a folder that hold a private key in any form.
fn files_with_keys(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (path, _) in snapshot(root) {
        if path.is_file() && !path.is_symlink() {
            let bytes = std::fs::read(&path).unwrap();
            // rsaEncryption in a PKCS#8 or a PEM header.
            let der = bytes.starts_with(&[0x30, 0x82]) && path.extension().is_some_and(|end| end == "pk8");
            if der || bytes.windows(11).any(|text| text == b"PRIVATE KEY") {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test]
async fn the_file_store_keeps_the_contract() {
    let rival = keys::self_signed("CN=by hand", Rotation::First.start(), 3, &keys::key(10)).await;
    contract::run(|| FileBench::with_rival(rival.clone())).await;
}

#[tokio::test]
async fn the_file_store_keeps_the_contract_where_somebody_else_signs() {
    let rival = keys::self_signed("CN=by hand", Rotation::First.start(), 3, &keys::key(10)).await;
    contract::run_by_request(|| FileBench::with_rival(rival.clone())).await;
}
