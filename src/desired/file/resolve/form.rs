//! Format, profile and password: the form a consumer reads, for stores and deliveries alike.

use super::super::grammar::{KeyFormat, PasswordChoice, PasswordSource, PasswordWord};
use super::Resolver;
use crate::desired::{Form, Format, Password, PfxProfile};
use crate::diagnostic::{Code, Place};

/// The keys of a form as written.
#[derive(Debug, Clone, Default)]
pub(super) struct WrittenForm {
    pub(super) format: Option<KeyFormat>,
    pub(super) profile: Option<PfxProfile>,
    pub(super) password: Option<PasswordChoice>,
}

/// The form as meant. `profile` and `password` mean something for a PFX alone.
pub(super) fn resolve(
    resolver: &mut Resolver<'_>,
    written: &WrittenForm,
    default: Format,
    place: &dyn Fn(&str) -> Place,
) -> Form {
    let format = written.format.map_or(default, Format::from);
    if !format.is_pfx() {
        let keys = [("profile", written.profile.is_some()), ("password", written.password.is_some())];
        for (key, _) in keys.iter().filter(|(_, given)| *given) {
            let message = format!("`{key}` does not apply to format {}", format.as_str());
            let error = resolver.error(Code::NotApplicable, place(key), message);
            error.help.push("only `pfx` and `pfx-base64` are encrypted".into());
        }
        return Form { format, profile: PfxProfile::default(), password: Password::None };
    }
    Form {
        format,
        profile: written.profile.unwrap_or_default(),
        password: password(resolver, written.password.as_ref(), place),
    }
}

fn password(
    resolver: &mut Resolver<'_>,
    written: Option<&PasswordChoice>,
    place: &dyn Fn(&str) -> Place,
) -> Password {
    match written {
        None | Some(PasswordChoice::Word(PasswordWord::Generate)) => Password::Generate,
        Some(PasswordChoice::Word(PasswordWord::None)) => Password::None,
        Some(PasswordChoice::Source(source)) => secret_source(resolver, source, &|| place("password")),
    }
}

/// A secret that exists already, by where it is.
pub(super) fn secret_source(
    resolver: &mut Resolver<'_>,
    written: &PasswordSource,
    place: &dyn Fn() -> Place,
) -> Password {
    match written {
        PasswordSource::Env(variable) => Password::Env(variable.0.clone()),
        PasswordSource::SecretFile(name) => {
            let climbs =
                name.starts_with(['/', '\\', '~']) || name.split(['/', '\\']).any(|part| part == "..");
            if climbs {
                let message = "`secret_file` names a file below --secrets-dir, by a path without a root and without `..`";
                resolver.error(Code::Path, place(), message);
            }
            Password::SecretFile(name.clone())
        }
    }
}

/// A pair of files is replaced one after the other.
pub(super) fn warn_pair(resolver: &mut Resolver<'_>, form: &Form, place: &dyn Fn(&str) -> Place) {
    if form.format == Format::PemPair {
        let message = "a consumer can read a pem-pair torn: the new certificate with the old key";
        let warning = resolver.warning(Code::Advice, place("format"), message);
        warning.help.push("`format: pem` holds both in one file, which is replaced as a whole".into());
    }
}
