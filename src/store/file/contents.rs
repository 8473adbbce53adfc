//! What the files of a generation say: certificate, record and, the only place that reads one, the key.

use super::disk::{Fault, Folder};
use super::layout::{CERTIFICATE, KEY, generation_folder, public_certificate};
use crate::certificate::Certificate;
use crate::form::identity_in;
use crate::issuer::Issued;
use crate::key::PrivateKey;
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

/// The same of whatever generation an entry holds. Of an adopted one the files without a key are looked into first.
pub(super) fn certificate_of(entry: &Folder, held: &Generation, stem: &str) -> Result<Issued, Fault> {
    let folder = generation_folder(entry, &held.handle)?;
    let found = match held.record.rotation_id {
        Some(_) => issued(&folder)?,
        None => match public_certificate(&folder, stem)? {
            Some(found) => found,
            None => adopted(&folder, held)?.1,
        },
    };
    if Some(found.certificate.thumbprints) != held.record.thumbprints {
        let reason = format!("the certificate of generation {} is not the recorded one", held.handle);
        return Err(Fault::new(StoreErrorKind::Corrupt, reason));
    }
    Ok(found)
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

/// Key and certificate of a generation, once it is sure that they belong together.
pub(super) fn key_and_certificate(entry: &Folder, held: &Generation) -> Result<(PrivateKey, Issued), Fault> {
    let folder = generation_folder(entry, &held.handle)?;
    let (key, issued) = match held.record.rotation_id {
        Some(_) => (read_key(&folder)?, issued(&folder)?),
        None => adopted(&folder, held)?,
    };
    let recorded = Some(issued.certificate.thumbprints) == held.record.thumbprints;
    if !recorded || !issued.certificate.matches_key(&key) {
        let reason =
            format!("{}: key, certificate and record do not belong together", folder.path().display());
        return Err(Fault::new(StoreErrorKind::Corrupt, reason));
    }
    Ok((key, issued))
}

/// What somebody else put there, in whatever files: PEM, together or apart, or a PFX that has no password or one beside it.
fn adopted(folder: &Folder, held: &Generation) -> Result<(PrivateKey, Issued), Fault> {
    let shown = folder.path().display();
    let (mut values, mut unread) = (Vec::new(), None);
    for name in folder.names()? {
        match folder.read(&name) {
            Ok(value) => values.extend(value),
            Err(fault) => unread = Some(fault),
        }
    }
    let found = held.record.thumbprints.and_then(|thumbprints| identity_in(&values, &thumbprints.sha256));
    found.ok_or_else(|| {
        let missing = Fault::new(StoreErrorKind::Missing, format!("the adopted key is in no file of {shown}"));
        let hint = "certroll reads PEM without encryption, and PFX without a password or with one in a file beside it";
        unread.unwrap_or_else(|| missing.hint(hint))
    })
}
