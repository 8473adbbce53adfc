//! PKCS#12 containers through p12-keystore.
//!
//! p12-keystore keeps the key in ordinary vectors and wipes none of them, nor do the ciphers below it; what reaches us is
//! wiped. Its salts come from the `rand` crate: salts are public.

use p12_keystore::error::Error;
use p12_keystore::{
    Certificate as Bag, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, Pkcs12Archive,
    PrivateKey as BagKey, PrivateKeyChain,
};
use zeroize::Zeroizing;

use crate::desired::PfxProfile;
use crate::issuer::Issued;
use crate::key::PrivateKey;

/// Iterations of key derivation in `modern2023`, three times per file. Generated passwords need none; passwords people
/// choose do. Not more: .NET's loader refuses a file above 300,000 for one derivation or 1,000,000 for all.
const MODERN_ITERATIONS: u32 = 100_000;

/// What OpenSSL and Windows write in the old form. Its readers are old and slow, and the form is weak at any count.
const LEGACY_ITERATIONS: u32 = 2048;

/// Writes leaf, chain and key. The reason of a failure says nothing of key or password.
pub(super) fn write(
    profile: PfxProfile,
    key: &PrivateKey,
    issued: &Issued,
    password: &str,
    friendly_name: &str,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let bag_key = BagKey::from_der(key.expose_pkcs8()).map_err(|e| e.to_string())?;
    let certificates = std::iter::once(&issued.certificate).chain(&issued.chain);
    let bags = certificates.map(|certificate| Bag::from_der(certificate.der()).map_err(|e| e.to_string()));
    let bags = bags.collect::<Result<Vec<_>, _>>()?;
    // The local key id ties the key to the leaf; like OpenSSL we take the certificate's SHA-1.
    let local_key_id = issued.certificate.thumbprints.sha1.0.to_vec();
    let chain = PrivateKeyChain::new(local_key_id, bag_key, bags);
    let mut store = KeyStore::new();
    store.add_entry(friendly_name, KeyStoreEntry::PrivateKeyChain(chain));
    let (encryption, mac, iterations) = match profile {
        PfxProfile::Modern2023 => {
            (EncryptionAlgorithm::PbeWithHmacSha256AndAes256, MacAlgorithm::HmacSha256, MODERN_ITERATIONS)
        }
        PfxProfile::LegacyDes => {
            (EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc, MacAlgorithm::HmacSha1, LEGACY_ITERATIONS)
        }
    };
    store
        .writer(password)
        .encryption_algorithm(encryption)
        .encryption_iterations(iterations)
        .mac_algorithm(mac)
        .mac_iterations(iterations)
        .write()
        .map(Zeroizing::new)
        .map_err(|e| e.to_string())
}

/// What a PFX holds, in the order it holds it.
pub(super) struct Contents {
    /// PKCS#8 DER of each key.
    pub(super) keys: Vec<Zeroizing<Vec<u8>>>,
    /// DER of each certificate.
    pub(super) certificates: Vec<Vec<u8>>,
}

/// Why a PFX cannot be opened.
pub(super) enum OpenError {
    /// Not a PFX at all, or a damaged one.
    NotPfx(String),
    /// The password does not fit.
    Password,
    /// A cipher we do not read.
    Unsupported(String),
}

pub(super) fn open(bytes: &[u8], password: &str) -> Result<Contents, OpenError> {
    let archive = Pkcs12Archive::from_pkcs12(bytes, password).map_err(|error| match error {
        // Without a MAC a wrong password shows only as padding that does not fit.
        Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_) => OpenError::Password,
        Error::UnsupportedEncryptionScheme | Error::UnsupportedMacAlgorithm | Error::InvalidParameters => {
            OpenError::Unsupported(error.to_string())
        }
        other => OpenError::NotPfx(other.to_string()),
    })?;
    Ok(Contents {
        keys: archive.keys.iter().map(|bag| Zeroizing::new(bag.key.as_der().to_vec())).collect(),
        certificates: archive.certs.iter().map(|bag| bag.cert.as_der().to_vec()).collect(),
    })
}
