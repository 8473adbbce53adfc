//! The forms a generation is written in, from a certificate and its PKCS#8 key: PEM, PFX, DER, one-line base64; and
//! reading PEM and PFX back, for the tool's own sign-in.

mod pfx;
mod read;

use zeroize::Zeroizing;

pub use self::read::{Identity, IdentityError, read_pem, read_pfx};
pub(crate) use self::read::{identity_in, issued_in};
use crate::certificate::Certificate;
use crate::desired::{Form, Format, Password};
use crate::issuer::Issued;
use crate::key::{KeyError, PrivateKey, Secret};
use crate::pem;

/// Why a generation cannot be written in a form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The file name is not one.
    #[error("{0:?} cannot be the name of a file")]
    Stem(String),
    /// Key and certificate are not a pair.
    #[error("the private key does not belong to certificate {0}")]
    NotAPair(String),
    /// A password was declared and not given.
    #[error("the PFX is to have a password ({0}) and none was given")]
    PasswordMissing(String),
    /// A password was given and none declared.
    #[error("the PFX is to have no password and one was given")]
    PasswordUnexpected,
    /// The password cannot be one.
    #[error(transparent)]
    Password(#[from] KeyError),
    /// The container could not be written.
    #[error("writing {format} failed: {reason}")]
    Writing {
        /// The container.
        format: &'static str,
        /// Never anything of key or password.
        reason: String,
    },
}

/// One file of a form.
pub struct RenderedFile {
    /// File name without a folder.
    pub name: String,
    /// What is in it. Wiped when dropped.
    pub contents: Zeroizing<Vec<u8>>,
    /// Whether a private key is in it, encrypted or not.
    pub secret: bool,
}

impl std::fmt::Debug for RenderedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RenderedFile({}, {} bytes, secret: {})", self.name, self.contents.len(), self.secret)
    }
}

/// Writes a generation in a form: one file, or two for a PEM pair. `stem` is the files' name without its extension, and
/// in a PFX the key's friendly name (Java's alias); the certificates in it are labelled with their subjects.
///
/// `password` matters to a PFX alone. A form without one ([`Password::None`]) gives a PFX that is encrypted with the
/// *empty* password, as Azure Key Vault hands them out: every reader opens it with `""`, most with none at all. (PKCS#12
/// also knows an absent password, which is derived differently; nothing here writes that.)
///
/// A given password may hold any character of the Basic Multilingual Plane, but Java opens a PFX only if its password is
/// ASCII. Generated passwords are.
///
/// Refuses a key and a certificate that do not belong together: no consumer could use them.
pub fn render(
    form: &Form,
    key: &PrivateKey,
    issued: &Issued,
    password: Option<&Secret>,
    stem: &str,
) -> Result<Vec<RenderedFile>, FormError> {
    check_stem(stem)?;
    if !issued.certificate.matches_key(key) {
        return Err(FormError::NotAPair(issued.certificate.thumbprints.sha1.short()));
    }
    let file = |extension: &str, contents: Zeroizing<Vec<u8>>, secret: bool| RenderedFile {
        name: format!("{stem}.{extension}"),
        contents,
        secret,
    };
    Ok(match form.format {
        Format::Pem => vec![file("pem", combined_pem(key, issued), true)],
        Format::PemBase64 => vec![file("pem.b64", one_line(&combined_pem(key, issued)), true)],
        Format::PemPair => {
            vec![file("crt", certificates_pem(issued), false), file("key", key_pem(key), true)]
        }
        Format::Pfx => vec![file("pfx", pfx_of(form, key, issued, password, stem)?, true)],
        Format::PfxBase64 => {
            vec![file("pfx.b64", one_line(&pfx_of(form, key, issued, password, stem)?), true)]
        }
        Format::Cer => vec![file("cer", Zeroizing::new(cer(&issued.certificate)), false)],
    })
}

/// The certificate alone, DER, as `Export-Certificate` writes it. Cannot be given a key.
pub fn cer(certificate: &Certificate) -> Vec<u8> {
    certificate.der().to_vec()
}

fn check_stem(stem: &str) -> Result<(), FormError> {
    let strange = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':');
    // The friendly name in a PFX is UTF-16 without surrogates.
    let wide = |c: char| u32::from(c) > 0xFFFF;
    if stem.is_empty() || stem.starts_with('.') || stem.contains(|c| strange(c) || wide(c)) {
        return Err(FormError::Stem(stem.to_owned()));
    }
    Ok(())
}

/// Leaf, chain, key. The certificate first: readers that take the first block of a kind find both either way, and a
/// person who opens the file sees what it is before the secret.
fn combined_pem(key: &PrivateKey, issued: &Issued) -> Zeroizing<Vec<u8>> {
    let (certificates, key) = (certificates_pem(issued), key_pem(key));
    let mut text = Zeroizing::new(Vec::with_capacity(certificates.len() + key.len()));
    text.extend_from_slice(&certificates);
    text.extend_from_slice(&key);
    text
}

fn certificates_pem(issued: &Issued) -> Zeroizing<Vec<u8>> {
    let all = std::iter::once(&issued.certificate).chain(&issued.chain);
    Zeroizing::new(all.map(Certificate::to_pem).collect::<String>().into_bytes())
}

fn key_pem(key: &PrivateKey) -> Zeroizing<Vec<u8>> {
    into_bytes(pem::encode("PRIVATE KEY", key.expose_pkcs8()))
}

fn one_line(contents: &[u8]) -> Zeroizing<Vec<u8>> {
    into_bytes(pem::base64_line(contents))
}

/// The same memory under another type: nothing is copied, so nothing is left behind.
fn into_bytes(mut text: Zeroizing<String>) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(std::mem::take(&mut *text).into_bytes())
}

fn pfx_of(
    form: &Form,
    key: &PrivateKey,
    issued: &Issued,
    password: Option<&Secret>,
    friendly_name: &str,
) -> Result<Zeroizing<Vec<u8>>, FormError> {
    let password = match (&form.password, password) {
        (Password::None, None) => "",
        (Password::None, Some(_)) => return Err(FormError::PasswordUnexpected),
        (declared, None) => return Err(FormError::PasswordMissing(declared.to_string())),
        (_, Some(secret)) => {
            secret.check_as_password()?;
            secret.expose()
        }
    };
    pfx::write(form.profile, key, issued, password, friendly_name)
        .map_err(|reason| FormError::Writing { format: "a PFX", reason })
}
