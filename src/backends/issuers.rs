//! Opens declared issuers.

use std::sync::Arc;

use super::not_in_this_version;
use super::reach::Reach;
use super::shipped::Secrets;
use crate::desired::Issuer as Declared;
use crate::edges::Trouble;
use crate::issuer::Issuer;
use crate::issuer::self_signed::SelfSigned;

/// Opens an issuer. Nothing is sent yet.
pub(super) fn open(
    issuer: &Declared,
    _reach: &Reach,
    _secrets: &dyn Secrets,
) -> Result<Arc<dyn Issuer>, Trouble> {
    match issuer {
        Declared::SelfSigned => Ok(Arc::new(SelfSigned)),
        Declared::CaFile { .. }
        | Declared::VaultPki { .. }
        | Declared::KeyVault { .. }
        | Declared::Csr { .. }
        | Declared::ExternalPublicKey { .. }
        | Declared::ExternalRotator { .. } => {
            Err(not_in_this_version("issuing a certificate", issuer.as_str()))
        }
    }
}
