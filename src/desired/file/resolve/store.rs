//! Stores, and a certificate's place in one.

use std::collections::BTreeMap;

use super::super::grammar::{self, SecretType, StoreChoice, StorePlace, VaultObject};
use super::form::{self, WrittenForm};
use super::places::{BESIDE_ENTRY, STORE_ENTRY};
use super::{Part, Resolver, kind_place};
use crate::desired::{Form, Format, Password, Store, StoreBinding, StoreKind, StoreOptions};
use crate::diagnostic::{Code, Place};
use crate::ids::Name;

/// Begins the names of the fields that certroll keeps its own in.
const OWN_FIELDS: &str = "certroll-";

pub(super) fn resolve(resolver: &mut Resolver<'_>) {
    for (name, item) in &resolver.written.stores.items {
        let kind = match &item.value {
            grammar::Store::File { directory, .. } => {
                let place = item.place_of(&["directory"]);
                let Some(folder) = resolver.path(item.file, directory, place) else { continue };
                resolver.store_folders.insert(name.clone(), folder.canonical);
                StoreKind::File { directory: folder.path }
            }
            grammar::Store::AzureKeyVault { vault, .. } => {
                check_vault_name(resolver, vault, item.place_of(&["vault"]));
                StoreKind::AzureKeyVault { vault: vault.clone() }
            }
            grammar::Store::HashicorpVault { mount, namespace, .. } => {
                StoreKind::HashicorpVault { mount: mount.clone(), namespace: namespace.clone() }
            }
            grammar::Store::Kubernetes { namespace, context, .. } => {
                StoreKind::Kubernetes { namespace: namespace.clone(), context: context.clone() }
            }
        };
        resolver.uses(Part::Store, kind.as_str(), kind_place(item.file, item.node, item.place()));
        let connection = connection(&item.value);
        if connection.is_some() {
            resolver.connection_of(&kind_connects(&kind), item.place_of(&["connection"]));
        }
        let store = Store { name: name.clone(), kind, connection, origin: item.origin() };
        resolver.stores.insert(name.clone(), store);
    }
}

fn connection(store: &grammar::Store) -> Option<Name> {
    match store {
        grammar::Store::File { connection, .. }
        | grammar::Store::AzureKeyVault { connection, .. }
        | grammar::Store::HashicorpVault { connection, .. }
        | grammar::Store::Kubernetes { connection, .. } => connection.clone(),
    }
}

/// `Err` with the kind's word when nothing of it is reached over a network.
fn kind_connects(kind: &StoreKind) -> Result<(), &'static str> {
    if matches!(kind, StoreKind::File { .. }) { Err("file") } else { Ok(()) }
}

/// A Key Vault's name (Azure Key Vault documentation: 3 to 24 letters, digits and hyphens).
pub(super) fn check_vault_name(resolver: &mut Resolver<'_>, vault: &str, place: Place) {
    let fits = (3..=24).contains(&vault.len())
        && vault.starts_with(|c: char| c.is_ascii_alphabetic())
        && !vault.ends_with('-')
        && vault.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !fits {
        let message = "a vault's name is 3 to 24 letters, digits and hyphens, and begins with a letter";
        let error = resolver.error(Code::WrongValue, place, message);
        if vault.contains("://") || vault.contains('.') {
            error.help.push("write the name alone, not the URL".into());
        }
    }
}

impl Resolver<'_> {
    /// Reports a connection where none applies, or where this version has none.
    pub(super) fn connection_of(&mut self, connects: &Result<(), &str>, place: Place) {
        match connects {
            Ok(()) => self.uses_connection(place),
            Err(kind) => {
                let message = format!("`connection` does not apply to kind {kind}: nothing is connected to");
                self.error(Code::NotApplicable, place, message);
            }
        }
    }
}

/// Where a certificate says where its key lives.
pub(super) struct At<'p> {
    pub(super) certificate: &'p Name,
    /// The place of `store` itself.
    pub(super) whole: &'p dyn Fn() -> Place,
    /// The place of a key below `store`.
    pub(super) part: &'p dyn Fn(&str) -> Place,
}

/// A certificate's place in a store, which becomes its own.
pub(super) fn bind(resolver: &mut Resolver<'_>, choice: &StoreChoice, at: &At<'_>) -> Option<StoreBinding> {
    let plain;
    let written = match choice {
        StoreChoice::Place(place) => place.as_ref(),
        StoreChoice::Named(store) => {
            plain = StorePlace::in_store(store.clone());
            &plain
        }
    };
    let named = || if matches!(choice, StoreChoice::Named(_)) { (at.whole)() } else { (at.part)("use") };
    let stores = &resolver.written.stores;
    resolver.refer("store", stores, &written.store, named)?;
    let store = resolver.stores.get(&written.store).cloned()?;
    let entry = written.name.clone().unwrap_or_else(|| at.certificate.to_string());
    refuse_foreign_keys(resolver, written, &store.kind, at.part);
    check_entry(resolver, &store.kind, &entry, &|| {
        if written.name.is_some() { (at.part)("name") } else { (at.whole)() }
    });
    let (form, options) = shape(resolver, written, &store.kind, at.part);
    let canonical = canonical_entry(resolver, &store, &entry);
    let name_place = if written.name.is_some() { (at.part)("name") } else { (at.whole)() };
    let by = at.certificate.as_str();
    let mut taken = resolver.places.take(&canonical, STORE_ENTRY, by, name_place.clone());
    for ending in kept_beside(&store.kind, &options) {
        let beside = canonical_entry(resolver, &store, &format!("{entry}{ending}"));
        // Two that share an entry share these, too; that is said once.
        taken = taken.or_else(|| resolver.places.take(&beside, BESIDE_ENTRY, by, name_place.clone()));
    }
    resolver.found.extend(taken);
    Some(StoreBinding { store: written.store.clone(), entry, form, options })
}

impl StorePlace {
    fn in_store(store: Name) -> StorePlace {
        StorePlace {
            store,
            name: None,
            format: None,
            profile: None,
            password: None,
            object: None,
            exportable: None,
            hsm: None,
            fields: None,
            secret_type: None,
        }
    }
}

/// Keys that only another kind of store has.
fn refuse_foreign_keys(
    resolver: &mut Resolver<'_>,
    written: &StorePlace,
    kind: &StoreKind,
    place: &dyn Fn(&str) -> Place,
) {
    let vault = matches!(kind, StoreKind::AzureKeyVault { .. });
    let vault_certificate = vault && written.object != Some(VaultObject::Secret);
    let given_and_fits = [
        ("object", written.object.is_some(), vault),
        ("exportable", written.exportable.is_some(), vault_certificate),
        ("hsm", written.hsm.is_some(), vault_certificate),
        ("fields", written.fields.is_some(), matches!(kind, StoreKind::HashicorpVault { .. })),
        ("type", written.secret_type.is_some(), matches!(kind, StoreKind::Kubernetes { .. })),
    ];
    for (key, _, _) in given_and_fits.iter().filter(|(_, given, fits)| *given && !fits) {
        let of = if vault { "a secret object" } else { kind.as_str() };
        let message = format!("`{key}` does not apply to store kind {}", kind.as_str());
        let message = if vault { format!("`{key}` does not apply to {of} of Key Vault") } else { message };
        resolver.error(Code::NotApplicable, place(key), message);
    }
}

/// Form and options, defaults spelled out: writing a default down must not look like a change.
fn shape(
    resolver: &mut Resolver<'_>,
    written: &StorePlace,
    kind: &StoreKind,
    place: &dyn Fn(&str) -> Place,
) -> (Form, StoreOptions) {
    let form =
        WrittenForm { format: written.format, profile: written.profile, password: written.password.clone() };
    let mut options = StoreOptions::default();
    match kind {
        StoreKind::File { .. } => {
            let form = form::resolve(resolver, &form, Format::Pem, place);
            form::warn_pair(resolver, &form, place);
            (form, options)
        }
        StoreKind::AzureKeyVault { .. } if written.object == Some(VaultObject::Secret) => {
            options.object = Some("secret".into());
            (form::resolve(resolver, &form, Format::Pem, place), options)
        }
        StoreKind::AzureKeyVault { .. } => {
            options.object = Some("certificate".into());
            options.exportable = Some(written.exportable.unwrap_or(written.hsm != Some(true)));
            options.hsm = Some(written.hsm.unwrap_or(false));
            (vault_certificate_form(resolver, &form, place), options)
        }
        StoreKind::HashicorpVault { .. } => {
            options.fields = fields(written.fields.as_ref());
            let form = form::resolve(resolver, &form, Format::Pem, place);
            check_fields(resolver, &options, &form, &|| place("fields"));
            (form, options)
        }
        StoreKind::Kubernetes { .. } => {
            let tls = written.secret_type == Some(SecretType::Tls);
            options.object = Some(if tls { "tls" } else { "opaque" }.into());
            let default = if tls { Format::PemPair } else { Format::Pem };
            let form = form::resolve(resolver, &form, default, place);
            if tls && form.format != Format::PemPair {
                let message = "a Secret of type tls holds a pem-pair";
                let error = resolver.error(Code::Conflict, place("format"), message);
                error.help.push("leave `format` out, or write `type: opaque`".into());
            }
            (form, options)
        }
    }
}

/// Key Vault makes the form of a certificate object itself, and its PFX has an empty password.
fn vault_certificate_form(
    resolver: &mut Resolver<'_>,
    written: &WrittenForm,
    place: &dyn Fn(&str) -> Place,
) -> Form {
    let given = [("profile", written.profile.is_some()), ("password", written.password.is_some())];
    for (key, _) in given.iter().filter(|(_, given)| *given) {
        let message = format!("`{key}` does not apply to a certificate object of Key Vault");
        let error = resolver.error(Code::NotApplicable, place(key), message);
        error.help.push(
            "the vault hands out a PFX of its own, with an empty password; `object: secret` takes any form"
                .into(),
        );
    }
    let format = written.format.map_or(Format::Pfx, Format::from);
    if !matches!(format, Format::Pfx | Format::Pem) {
        let message =
            format!("a certificate object of Key Vault is `pfx` or `pem`, not `{}`", format.as_str());
        resolver.error(Code::Conflict, place("format"), message);
    }
    Form { format, profile: Default::default(), password: Password::None }
}

fn fields(written: Option<&grammar::Fields>) -> BTreeMap<String, String> {
    let Some(grammar::Fields { certificate, key, chain, password }) = written else { return BTreeMap::new() };
    let named = [("certificate", certificate), ("key", key), ("chain", chain), ("password", password)];
    named.into_iter().filter_map(|(part, name)| Some((part.to_owned(), name.clone()?))).collect()
}

/// Refuses names of fields of which one would be written over another, that nothing is written to, or that are certroll's own.
fn check_fields(resolver: &mut Resolver<'_>, options: &StoreOptions, form: &Form, place: &dyn Fn() -> Place) {
    let written = options.fields_of(form);
    for part in options.fields.keys().filter(|part| !written.iter().any(|(written, _)| written == part)) {
        let message = format!("a field for `{part}` does not apply: this form has none of its own");
        resolver.error(Code::NotApplicable, place(), message);
    }
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (part, name) in written {
        if name.is_empty() || name.starts_with(OWN_FIELDS) {
            let message = format!(
                "a field cannot be named {name:?}: names that begin with {OWN_FIELDS:?} are certroll's own"
            );
            resolver.error(Code::WrongValue, place(), message);
        }
        if let Some(other) = taken.insert(name, part) {
            let message = format!("`{other}` and `{part}` would be written to one field, {name:?}");
            resolver.error(Code::Conflict, place(), message);
        }
    }
}

/// Whether the store can have an entry of that name.
fn check_entry(resolver: &mut Resolver<'_>, kind: &StoreKind, entry: &str, place: &dyn Fn() -> Place) {
    if let Some(problem) = entry_problem(kind, entry) {
        let message =
            format!("store kind {} cannot have an entry named {entry:?}: it {problem}", kind.as_str());
        resolver.error(Code::WrongValue, place(), message);
    }
}

/// Names of what is kept beside an entry are longer than its own and have to fit, too: 127 characters in Key Vault, 253 in Kubernetes.
fn entry_problem(kind: &StoreKind, entry: &str) -> Option<String> {
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let (fits, rule) = match kind {
        StoreKind::File { .. } => return crate::store::file::entry_problem(entry),
        StoreKind::HashicorpVault { .. } => {
            let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(safe);
            (
                entry.len() <= 200 && entry.split('/').all(part),
                "letters, digits, `-`, `_`, `.` in parts between `/`",
            )
        }
        StoreKind::AzureKeyVault { .. } => (
            entry.len() <= 118 && entry.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
            "up to 118 letters, digits and hyphens",
        ),
        StoreKind::Kubernetes { .. } => (
            entry.len() <= 248
                && entry.split('.').all(|part| {
                    part.starts_with(lower)
                        && part.ends_with(lower)
                        && part.chars().all(|c| lower(c) || c == '-')
                }),
            "up to 248 lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit",
        ),
    };
    (!fits).then(|| format!("is not {rule}"))
}

/// What a store adds to an entry's name for what it keeps beside it.
fn kept_beside(kind: &StoreKind, options: &StoreOptions) -> &'static [&'static str] {
    let stays = options.exportable == Some(false) || options.hsm == Some(true);
    match kind {
        StoreKind::File { .. } => &[],
        StoreKind::AzureKeyVault { .. } if stays => &["-certroll"],
        StoreKind::AzureKeyVault { .. } | StoreKind::Kubernetes { .. } => &["-next"],
        StoreKind::HashicorpVault { .. } => &["-next", "-certroll"],
    }
}

/// One name for one place, whatever the stores that lead there are called. Folders and vaults do not tell case apart everywhere.
fn canonical_entry(resolver: &Resolver<'_>, store: &Store, entry: &str) -> String {
    let connection = store.connection.as_ref().map(Name::to_string).unwrap_or_default();
    match &store.kind {
        StoreKind::File { directory } => {
            let folder = resolver.store_folders.get(&store.name).unwrap_or(directory);
            super::delivery::file_place(folder, entry)
        }
        StoreKind::AzureKeyVault { vault } => {
            format!("vault {} {}", vault.to_lowercase(), entry.to_lowercase())
        }
        StoreKind::HashicorpVault { mount, namespace } => {
            let namespace = namespace.as_deref().unwrap_or_default().trim_matches('/');
            format!("kv {connection} {namespace} {} {entry}", mount.trim_matches('/'))
        }
        StoreKind::Kubernetes { namespace, context } => {
            super::delivery::kubernetes_place(&connection, context.as_deref(), namespace, entry)
        }
    }
}
