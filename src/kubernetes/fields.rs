//! The fields of a Secret that consumers read, by cert-manager's names where it has one, and the annotations that say what is in them.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::object::{Meta, Write};
use crate::desired::{Form, Format, Password};
use crate::form::{FormError, render};
use crate::ids::{Sha1, Sha256, Thumbprints};
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret};

const SHA1: &str = "certroll/sha1";
const SHA256: &str = "certroll/sha256";
const FIELDS: &str = "certroll/fields";

/// The type of a Secret by the word of the declaration.
pub(crate) fn secret_type(word: Option<&str>) -> &'static str {
    match word {
        Some("tls") => "kubernetes.io/tls",
        _ => "Opaque",
    }
}

/// The names of the fields of a form.
pub(crate) fn names(form: &Form, password: &PasswordField) -> Vec<String> {
    let mut names: Vec<String> = match form.format {
        Format::Pem => vec!["tls-combined.pem".into()],
        Format::PemPair => vec!["tls.crt".into(), "tls.key".into()],
        Format::Pfx => vec!["keystore.p12".into()],
        Format::PemBase64 => vec!["tls-combined.pem.b64".into()],
        Format::PfxBase64 => vec!["keystore.p12.b64".into()],
        Format::Cer => vec!["tls.der".into()],
    };
    names.extend(password.name(form));
    names
}

/// Where the password of a PFX goes.
pub(crate) struct PasswordField(pub(crate) Option<String>);

impl PasswordField {
    /// One that certroll makes has to be found beside the PFX; any other stays out unless a field is named for it.
    fn name(&self, form: &Form) -> Option<String> {
        let made = form.password == Password::Generate;
        let name = self.0.clone().or_else(|| made.then(|| "password".to_owned()));
        name.filter(|_| form.format.is_pfx() && form.password != Password::None)
    }
}

/// The fields of a generation in a form.
pub(crate) fn rendered(
    form: &Form,
    key: &PrivateKey,
    issued: &Issued,
    password: Option<&Secret>,
    password_field: &PasswordField,
    stem: &str,
) -> Result<BTreeMap<String, Zeroizing<Vec<u8>>>, FormError> {
    let mut names = names(form, password_field).into_iter();
    let mut fields = BTreeMap::new();
    for file in render(form, key, issued, password, stem)? {
        if let Some(name) = names.next() {
            fields.insert(name, file.contents);
        }
    }
    if let (Some(name), Some(password)) = (password_field.name(form), password) {
        fields.insert(name, Zeroizing::new(password.expose().as_bytes().to_vec()));
    }
    Ok(fields)
}

/// What is applied: these fields, and annotations that say which certificate is in them.
pub(crate) fn write(
    secret_type: &'static str,
    fields: BTreeMap<String, Zeroizing<Vec<u8>>>,
    thumbprints: &Thumbprints,
) -> Write {
    let names: Vec<&str> = fields.keys().map(String::as_str).collect();
    let annotations = [
        (SHA1, thumbprints.sha1.to_string()),
        (SHA256, thumbprints.sha256.to_string()),
        (FIELDS, names.join(" ")),
    ];
    let write = Write::new(annotations).typed(secret_type);
    fields.into_iter().fold(write, |write, (name, value)| write.set(name, value))
}

/// The certificate that certroll wrote, unless somebody changed a field since.
pub(crate) fn holds(meta: &Meta) -> Option<Thumbprints> {
    let sha1: Sha1 = meta.annotation(SHA1)?.parse().ok()?;
    let sha256: Sha256 = meta.annotation(SHA256)?.parse().ok()?;
    let mut fields = meta.annotation(FIELDS)?.split(' ').filter(|name| !name.is_empty()).peekable();
    (fields.peek().is_some() && meta.is_ours(fields)).then_some(Thumbprints { sha1, sha256 })
}

/// What a person should know of who else writes these fields.
pub(crate) fn warnings(meta: &Meta, names: &[String]) -> Vec<String> {
    let others = meta.others(names.iter().map(String::as_str)).into_iter().map(|(manager, fields)| {
        let fields: Vec<String> = fields.into_iter().collect();
        format!(
            "{manager} owns {} of the Secret: a write of another value is refused until it lets go of them \
             (kubectl apply --server-side --force-conflicts --field-manager=certroll)",
            fields.join(", ")
        )
    });
    let immutable = meta.may_be_immutable().then(|| {
        "somebody sets `immutable` on the Secret: if it is true, nothing can be promoted".to_owned()
    });
    others.chain(immutable).collect()
}
