//! A person who has signing requests signed: the folder of the issuer `csr`, and a CA that signs what lies there when it is told to.

use std::collections::BTreeSet;
use std::sync::Mutex;

use certroll::desired::Issuer as DeclaredIssuer;
use certroll::issuer::{CertificateRequest, Issuer, SubjectKey};
use jiff::Timestamp;

use super::ca::TestCa;
use super::keys;

/// The folder, and everything that was ever asked for in it.
pub struct ByHand {
    folder: tempfile::TempDir,
    asked: Mutex<BTreeSet<Vec<u8>>>,
}

impl ByHand {
    pub fn new() -> ByHand {
        ByHand { folder: tempfile::tempdir().unwrap(), asked: Mutex::default() }
    }

    pub fn issuer(&self) -> DeclaredIssuer {
        DeclaredIssuer::Csr { directory: self.folder.path().join("requests") }
    }

    fn request(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.folder.path().join(format!("requests/contoso.{name}.csr"));
        let text = std::fs::read(path).ok()?;
        let request = certroll::pem::blocks(&text).unwrap().remove(0).contents.to_vec();
        self.asked.lock().unwrap().insert(request.clone());
        Some(request)
    }

    /// How many different requests lay there so far when somebody looked.
    pub fn asked(&self, name: &str) -> usize {
        self.request(name);
        self.asked.lock().unwrap().len()
    }

    /// Signs the request that lies there, for a year from then on. `false` where none does.
    pub async fn sign(&self, name: &str, now: Timestamp) -> bool {
        let Some(request) = self.request(name) else { return false };
        let wanted = CertificateRequest { now, not_before: now, ..keys::request("CN=unused", now, 7) };
        let issued = TestCa::new().issue(&wanted, SubjectKey::Request(&request)).await.unwrap();
        let path = self.folder.path().join(format!("requests/contoso.{name}.cer"));
        std::fs::write(path, issued.certificate.to_pem()).unwrap();
        true
    }
}
