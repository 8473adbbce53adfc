//! Opens declared issuers.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::not_in_this_version;
use super::reach::Reach;
use super::shipped::Secrets;
use crate::certificate::Certificate;
use crate::desired::{Declared, Issuer as Declares, Password};
use crate::edges::{Trouble, TroubleKind};
use crate::ids::Thumbprints;
use crate::issuer::Issuer;
use crate::issuer::ca_file::CaFile;
use crate::issuer::csr::RequestFolder;
use crate::issuer::self_signed::SelfSigned;
use crate::observed::Answer;

/// Largest certificate file read, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// Opens an issuer. Nothing is sent yet.
pub(super) fn open(
    declared: &Declared,
    reach: &Reach,
    secrets: &dyn Secrets,
) -> Result<Arc<dyn Issuer>, Trouble> {
    match &declared.issuer {
        Declares::SelfSigned => Ok(Arc::new(SelfSigned)),
        Declares::Csr { directory } => {
            Ok(Arc::new(RequestFolder::new(&reach.base, directory, &declared.address)))
        }
        Declares::CaFile { certificate, chain, key } => {
            let chain = chain.as_ref().map(|chain| reach.base.join(chain));
            Ok(Arc::new(ca_file(&reach.base.join(certificate), chain.as_deref(), key, secrets)?))
        }
        #[cfg(feature = "hashicorp-vault")]
        Declares::VaultPki { mount, role, namespace, issuer_ref, connection } => {
            use crate::issuer::vault_pki::VaultPki;
            let vault = super::vault::open(reach, connection.as_ref())?;
            let (namespace, issuer_ref) = (namespace.as_deref(), issuer_ref.as_deref());
            Ok(Arc::new(VaultPki::new(vault, mount, role, namespace, issuer_ref)))
        }
        other => Err(not_in_this_version("issuing a certificate", other.as_str())),
    }
}

/// What became of the signing request of a certificate.
pub(super) fn answer(
    declared: &Declared,
    reach: &Reach,
    csr: &[u8],
    known: &BTreeSet<Thumbprints>,
) -> Answer {
    match &declared.issuer {
        Declares::Csr { directory } => RequestFolder::new(&reach.base, directory, &declared.address)
            .look(csr, |certificate| known.contains(&certificate.thumbprints)),
        _ => Answer::NotAsked,
    }
}

fn ca_file(
    certificate: &Path,
    chain: Option<&Path>,
    key: &Password,
    secrets: &dyn Secrets,
) -> Result<CaFile, Trouble> {
    let doing = format!("opening CA {}", certificate.display());
    let refused = |reason: String| Trouble::new(TroubleKind::Refused, doing.as_str(), reason);
    let own = read(certificate, &doing)?;
    let own = Certificate::from_pem(&own).or_else(|_| Certificate::from_der(&own));
    let own = own.map_err(|error| refused(error.to_string()))?;
    let above = match chain {
        Some(path) => {
            Certificate::all_from_pem(&read(path, &doing)?).map_err(|error| refused(error.to_string()))?
        }
        None => Vec::new(),
    };
    let key = secrets.secret(key)?.ok_or_else(|| {
        refused(format!("its key ({key}) is not set")).with_hint("set it to the CA's private key in PEM form")
    })?;
    Ok(CaFile::new(own, above, &key)?)
}

#[allow(clippy::disallowed_methods, reason = "reads the declared CA's certificates")]
fn read(path: &Path, doing: &str) -> Result<Vec<u8>, Trouble> {
    let refused =
        |reason: String| Trouble::new(TroubleKind::Refused, doing, format!("{}: {reason}", path.display()));
    let facts = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?;
    if !facts.is_file() || facts.len() > FILE_MAX {
        return Err(refused("it is no file of at most 1 MiB".to_owned()));
    }
    std::fs::read(path).map_err(|error| refused(error.to_string()))
}
