//! What the files of a generation say: certificate, record and, the only place that reads one, the key.

use super::disk::{Fault, Folder};
use super::layout::{CERTIFICATE, KEY, generation_folder};
use crate::certificate::Certificate;
use crate::form::{read_pem, read_pfx};
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret};
use crate::observed::Generation;
use crate::observed::record::PublicRecord;
use crate::store::StoreErrorKind;

/// The certificate of a generation with its chain.
pub(super) fn issued(folder: &Folder) -> Result<Issued, Fault> {
    let path = folder.path().join(CERTIFICATE);
    let corrupt =
        |reason: String| Fault::new(StoreErrorKind::Corrupt, format!("{}: {reason}", path.display()));
    let Some(bytes) = folder.read(CERTIFICATE)? else {
        return Err(Fault::new(StoreErrorKind::Missing, format!("{} does not exist", path.display())));
    };
    let mut certificates = Certificate::all_from_pem(&bytes).map_err(|error| corrupt(error.to_string()))?;
    if certificates.is_empty() {
        return Err(corrupt("holds no certificate".into()));
    }
    let certificate = certificates.remove(0);
    Ok(Issued { certificate, chain: certificates })
}

/// The text of [`CERTIFICATE`].
pub(super) fn certificate_text(issued: &Issued) -> String {
    std::iter::once(&issued.certificate).chain(&issued.chain).map(Certificate::to_pem).collect()
}

/// The text of a record's file.
pub(super) fn record_text(record: &PublicRecord) -> Result<Vec<u8>, Fault> {
    let mut text = serde_json::to_vec_pretty(record).map_err(|error| {
        Fault::new(StoreErrorKind::Refused, format!("the record cannot be written: {error}"))
    })?;
    text.push(b'\n');
    Ok(text)
}

/// The key of a generation's folder.
pub(super) fn read_key(folder: &Folder) -> Result<PrivateKey, Fault> {
    match folder.read(KEY)? {
        Some(pkcs8) => Ok(PrivateKey::from_pkcs8(pkcs8)),
        None => {
            let reason = format!("{} holds no {KEY}", folder.path().display());
            Err(Fault::new(StoreErrorKind::Missing, reason)
                .hint("certroll reads only keys it put there itself"))
        }
    }
}

/// Key and certificate of a generation, once it is sure that they belong together. `stem` names the files of an adopted
/// generation, whose key is where somebody else put it.
pub(super) fn key_and_certificate(
    entry: &Folder,
    held: &Generation,
    stem: &str,
) -> Result<(PrivateKey, Issued), Fault> {
    let folder = generation_folder(entry, &held.handle)?;
    let (key, issued) = match held.record.rotation_id {
        Some(_) => (read_key(&folder)?, issued(&folder)?),
        None => adopted(&folder, stem)?,
    };
    let recorded = Some(issued.certificate.thumbprints) == held.record.thumbprints;
    if !recorded || !issued.certificate.matches_key(&key) {
        let reason =
            format!("{}: key, certificate and record do not belong together", folder.path().display());
        return Err(Fault::new(StoreErrorKind::Corrupt, reason));
    }
    Ok((key, issued))
}

/// What somebody else put there: a combined PEM, or a PFX that has no password or one beside it.
fn adopted(folder: &Folder, stem: &str) -> Result<(PrivateKey, Issued), Fault> {
    let found = if let Some(text) = folder.read(&format!("{stem}.pem"))? {
        read_pem(&text)
    } else if let Some(bytes) = folder.read(&format!("{stem}.pfx"))? {
        let password = folder.read(&format!("{stem}.password"))?;
        let password = password
            .and_then(|text| std::str::from_utf8(&text).ok().map(|t| Secret::new(t.trim_end().to_owned())));
        read_pfx(&bytes, password.as_ref())
    } else {
        let reason = format!("{} holds neither {stem}.pem nor {stem}.pfx", folder.path().display());
        return Err(Fault::new(StoreErrorKind::Missing, reason)
            .hint("an adopted key can be used from these two only"));
    };
    let identity = found.map_err(|error| {
        Fault::new(
            StoreErrorKind::Corrupt,
            format!("the adopted key in {}: {error}", folder.path().display()),
        )
    })?;
    Ok((identity.key, Issued { certificate: identity.certificate, chain: identity.chain }))
}
