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
use crate::may::May;
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
        issuer @ Declares::VaultPki { .. } => Ok(Arc::new(vault_pki(issuer, reach)?)),
        #[cfg(feature = "azure-key-vault")]
        Declares::KeyVault { .. } => Ok(Arc::new(key_vault(declared, reach)?)),
        other => Err(not_in_this_version("issuing a certificate", other.as_str())),
    }
}

/// Whether certificates will be made, as far as it can be told without having one made, and who signs in for that. No key is read.
pub(super) async fn may_issue(declared: &Declared, reach: &Reach) -> Result<(Option<String>, May), Trouble> {
    match &declared.issuer {
        Declares::CaFile { certificate, chain, key: _ } => {
            let chain = chain.as_ref().map(|chain| reach.base.join(chain));
            let (own, _) = ca_certificates(&reach.base.join(certificate), chain.as_deref())?;
            Ok((None, may_sign(&own, declared, reach)))
        }
        Declares::Csr { directory } => {
            Ok((None, RequestFolder::new(&reach.base, directory, &declared.address).may_write()))
        }
        #[cfg(feature = "hashicorp-vault")]
        issuer @ Declares::VaultPki { .. } => {
            let pki = vault_pki(issuer, reach)?;
            Ok((Some(pki.signs_in()), pki.may_issue().await?))
        }
        #[cfg(feature = "azure-key-vault")]
        Declares::KeyVault { .. } => {
            let issuer = key_vault(declared, reach)?;
            Ok((Some(issuer.signs_in()), issuer.may_issue().await?))
        }
        _ => Ok((None, May::Yes)),
    }
}

/// Whether a CA's certificate lets it sign one that begins now.
fn may_sign(own: &Certificate, declared: &Declared, reach: &Reach) -> May {
    let ends = declared.validity.after(reach.way.clock.now());
    if !own.is_ca() {
        return May::no(
            format!("{} is not the certificate of a CA", own.subject),
            "basicConstraints must say CA",
        );
    }
    if own.not_after < ends {
        let reason = format!("the CA's own certificate ends on {}, before {ends}", own.not_after);
        return May::no(reason, "renew the CA, or declare a shorter validity");
    }
    May::Yes
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
    let (own, above) = ca_certificates(certificate, chain)?;
    let key = secrets.secret(key)?.ok_or_else(|| {
        let doing = format!("opening CA {}", certificate.display());
        Trouble::new(TroubleKind::Refused, doing, format!("its key ({key}) is not set"))
            .with_hint("set it to the CA's private key in PEM form")
    })?;
    Ok(CaFile::new(own, above, &key)?)
}

/// The CA's own certificate, and those above it in any order.
fn ca_certificates(
    certificate: &Path,
    chain: Option<&Path>,
) -> Result<(Certificate, Vec<Certificate>), Trouble> {
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
    Ok((own, above))
}

#[cfg(feature = "hashicorp-vault")]
fn vault_pki(issuer: &Declares, reach: &Reach) -> Result<crate::issuer::vault_pki::VaultPki, Trouble> {
    let Declares::VaultPki { mount, role, namespace, issuer_ref, connection } = issuer else {
        return Err(not_in_this_version("issuing a certificate", issuer.as_str()));
    };
    let vault = super::vault::open(reach, connection.as_ref())?;
    let (namespace, issuer_ref) = (namespace.as_deref(), issuer_ref.as_deref());
    Ok(crate::issuer::vault_pki::VaultPki::new(vault, mount, role, namespace, issuer_ref))
}

/// The vault of the certificate's store, which makes the key.
#[cfg(feature = "azure-key-vault")]
fn key_vault(
    declared: &Declared,
    reach: &Reach,
) -> Result<crate::issuer::key_vault::KeyVaultIssuer, Trouble> {
    let (Declares::KeyVault { vault, issuer, connection }, Some(store)) = (&declared.issuer, &declared.store)
    else {
        return Err(not_in_this_version("issuing a certificate", declared.issuer.as_str()));
    };
    let vault = super::key_vault::open(reach, connection.as_ref(), vault)?;
    Ok(crate::issuer::key_vault::KeyVaultIssuer::new(vault, issuer, &store.entry))
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
