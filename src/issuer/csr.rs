//! The issuer `csr`: a person has the request signed. The request is written into a folder, the certificate is awaited beside it.
//!
//! Nothing in the folder is secret, and nothing in it is believed: the key is safe in the store before the request is written, and a
//! certificate counts only if it is for that key. A file in the folder that does not fit is left where it is.

#![allow(clippy::disallowed_methods, reason = "reads and writes the declared folder of requests")]

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::x509::chain_above;
use super::{CertificateRequest, IssueError, Issued, Issuer, SubjectKey};
use crate::certificate::{Certificate, CertificateError};
use crate::desired::{answer_file, request_file};
use crate::edges::{Trouble, TroubleKind};
use crate::ids::Address;
use crate::may::May;
use crate::observed::Answer;
use crate::pem;
use crate::store::file::writable::may_write;

/// Endings of a certificate's file, in the order they are looked for.
const ENDINGS: [&str; 3] = ["cer", "crt", "pem"];

/// Largest file read, in bytes: a chain is a few thousand.
const FILE_MAX: u64 = 1 << 20;

/// The folder of requests, as far as one certificate goes.
#[derive(Debug, Clone)]
pub struct RequestFolder {
    /// Where relative paths begin. Not shown: the declaration names the rest.
    base: PathBuf,
    request: PathBuf,
    answer: PathBuf,
}

/// A certificate file that was found.
struct Found {
    path: PathBuf,
    content: Result<Vec<Certificate>, String>,
}

impl Found {
    /// The certificate for that request, if it is in it.
    fn answer(&self, request: &[u8]) -> Option<&Certificate> {
        let all = self.content.as_ref().ok()?;
        all.iter().find(|certificate| certificate.matches_request(request))
    }
}

impl RequestFolder {
    /// That certificate's part of the folder, which need not exist yet.
    pub fn new(base: &Path, directory: &Path, address: &Address) -> RequestFolder {
        RequestFolder {
            base: base.to_owned(),
            request: request_file(directory, address),
            answer: answer_file(directory, address),
        }
    }

    /// What lies there for a request (DER). A certificate that `known` says is one of an earlier generation is no answer, and no
    /// mistake either. Writes nothing.
    pub fn look(&self, request: &[u8], known: impl Fn(&Certificate) -> bool) -> Answer {
        let found = self.certificates();
        if let Some(certificate) = found.iter().find_map(|found| found.answer(request)) {
            return Answer::Certificate(Box::new(certificate.clone()));
        }
        let problem = found.iter().find_map(|found| {
            let path = found.path.display();
            match &found.content {
                Err(reason) => Some((
                    format!("{path} cannot be used: {reason}"),
                    "put the signed certificate there, in PEM or DER".to_owned(),
                )),
                Ok(all) if all.iter().any(&known) => None,
                Ok(_) => Some((
                    format!("the certificate in {path} is for another key than the one that waits for it"),
                    format!("have {} signed as it is now", self.request.display()),
                )),
            }
        });
        if let Some((reason, hint)) = problem {
            return Answer::Unusable { reason, hint };
        }
        match self.read(&self.request) {
            Ok(Some(there)) if there == text(request).as_bytes() => Answer::Awaited,
            Ok(_) => Answer::NotAsked,
            Err(reason) => {
                Answer::Unusable { reason, hint: "let certroll read and write that file".to_owned() }
            }
        }
    }

    /// Whether requests may be written there.
    pub fn may_write(&self) -> May {
        let path = self.base.join(&self.request);
        path.parent().map_or(May::NotTold, may_write)
    }

    /// Every file that may be the certificate.
    fn certificates(&self) -> Vec<Found> {
        let paths = ENDINGS.iter().map(|ending| self.answer.with_extension(ending));
        let content = |path: PathBuf| match self.read(&path) {
            Ok(None) => None,
            Ok(Some(bytes)) => Some(Found { path, content: parse(&bytes) }),
            Err(reason) => Some(Found { path, content: Err(reason) }),
        };
        paths.filter_map(content).collect()
    }

    /// Writes a request (DER) as PEM, whole or not at all. One that is there already is left alone.
    fn write(&self, request: &[u8]) -> std::io::Result<()> {
        let text = text(request);
        if matches!(self.read(&self.request), Ok(Some(there)) if there == text.as_bytes()) {
            return Ok(());
        }
        let path = self.base.join(&self.request);
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(directory)?;
        let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(directory)?;
        file.write_all(text.as_bytes())?;
        readable_by_all(file.as_file())?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    }

    /// A regular file of bearable size; none if there is nothing. Links are not followed: they may lead anywhere.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        let (shown, path) = (path.display(), self.base.join(path));
        match path.symlink_metadata() {
            Ok(facts) if facts.is_file() && facts.len() <= FILE_MAX => {}
            Ok(_) => return Err(format!("{shown} is no regular file of at most 1 MiB")),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{shown}: {error}")),
        }
        std::fs::read(path).map(Some).map_err(|error| format!("{shown}: {error}"))
    }
}

/// A temporary file is its owner's alone; a request is for everybody.
#[cfg(unix)]
fn readable_by_all(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_file: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

fn text(request: &[u8]) -> String {
    pem::encode("CERTIFICATE REQUEST", request).to_string()
}

/// The certificates of a file, PEM or DER.
fn parse(bytes: &[u8]) -> Result<Vec<Certificate>, String> {
    match pem::blocks(bytes) {
        Ok(blocks) if blocks.iter().any(pem::Block::is_private_key) => {
            return Err("it holds a private key, which belongs nowhere near it".to_owned());
        }
        Ok(blocks) if blocks.iter().any(|block| block.label == "PKCS7") => {
            return Err("it is PKCS#7: openssl pkcs7 -print_certs makes PEM of it".to_owned());
        }
        Ok(_) | Err(_) => {}
    }
    match Certificate::from_der(bytes) {
        Ok(certificate) => Ok(vec![certificate]),
        Err(CertificateError::PemInsteadOfDer) => {
            Certificate::all_from_pem(bytes).map_err(|error| error.to_string())
        }
        // Text may stand before the first block.
        Err(error) => Certificate::all_from_pem(bytes).map_err(|_| error.to_string()),
    }
}

#[async_trait]
impl Issuer for RequestFolder {
    async fn ask(&self, csr: &[u8]) -> Result<(), IssueError> {
        self.write(csr).map_err(|error| {
            let doing = format!("writing the signing request {}", self.request.display());
            IssueError::refused(doing, error.to_string()).with_hint("let certroll write into that folder")
        })
    }

    /// The certificate that came, with the chain that came with it.
    async fn issue(&self, _request: &CertificateRequest, key: SubjectKey<'_>) -> Result<Issued, IssueError> {
        let doing = format!("taking the certificate in {}", self.answer.display());
        let SubjectKey::Request(csr) = key else {
            return Err(IssueError::refused(doing, "a person signs requests, not keys"));
        };
        let found = self.certificates();
        let Some((found, certificate)) = found.iter().find_map(|one| Some((one, one.answer(csr)?))) else {
            let reason = "it is not there, or not for the key that waits for it";
            return Err(IssueError(Trouble::new(TroubleKind::NotYet, doing, reason).with_hint("plan again")));
        };
        let candidates = found.content.as_deref().unwrap_or_default();
        Ok(Issued { chain: chain_above(certificate, candidates), certificate: certificate.clone() })
    }
}
