//! Issuers, and the public certificates a provider sent.

use super::super::collect::File;
use super::super::grammar::{self, IssuerChoice, RotatorMatch as WrittenMatch};
use super::super::tree::NodeRef;
use super::{Part, Resolver, kind_place};
use crate::desired::{Issuer, PublicKeyFile, RotatorMatch};
use crate::diagnostic::{Code, Place};
use crate::ids::Name;
use crate::issuer::external_public_key;

/// The issuer that exists without being declared.
pub(super) const SELF_SIGNED: &str = "self-signed";

/// Names that would be mistaken for a kind.
const RESERVED: [&str; 7] =
    [SELF_SIGNED, "ca-file", "vault-pki", "key-vault", "csr", "external-public-key", "external-rotator"];

/// Checks the declared issuers, used or not.
pub(super) fn resolve(resolver: &mut Resolver<'_>) {
    for (name, item) in &resolver.written.issuers.items {
        if RESERVED.contains(&name.as_str()) {
            let message = format!("the issuer name `{name}` is reserved for the built-in kind");
            resolver.error(Code::Conflict, item.place(), message).help.push("choose another name".into());
        }
        meaning(resolver, item.file, item.node, &item.value);
    }
}

/// The issuer a certificate names or writes out. `site` is where: the file and the value.
pub(super) fn choose(
    resolver: &mut Resolver<'_>,
    choice: Option<&IssuerChoice>,
    site: Option<(&File, NodeRef<'_>)>,
    place: impl FnOnce() -> Place,
) -> Option<Issuer> {
    match (choice, site) {
        (None, _) => Some(Issuer::SelfSigned),
        (Some(IssuerChoice::Named(name)), _) if name.as_str() == SELF_SIGNED => Some(Issuer::SelfSigned),
        (Some(IssuerChoice::Named(name)), _) => named(resolver, name, place),
        (Some(IssuerChoice::Inline(issuer)), Some((file, node))) => meaning(resolver, file, node, issuer),
        (Some(IssuerChoice::Inline(_)), None) => None,
    }
}

fn named(resolver: &mut Resolver<'_>, name: &Name, place: impl FnOnce() -> Place) -> Option<Issuer> {
    let issuers = &resolver.written.issuers;
    if issuers.items.contains_key(name) || issuers.broken.contains(name) {
        let item = issuers.items.get(name)?;
        return meaning(resolver, item.file, item.node, &item.value);
    }
    let known: Vec<&str> = [SELF_SIGNED].into_iter().chain(issuers.names().map(Name::as_str)).collect();
    resolver.no_such("issuer", name.as_str(), &known, place());
    None
}

/// What an issuer written there means; worked out once for each place.
fn meaning(
    resolver: &mut Resolver<'_>,
    file: &File,
    node: NodeRef<'_>,
    written: &grammar::Issuer,
) -> Option<Issuer> {
    let site = (file.source.label.clone(), node.span().start);
    if let Some(done) = resolver.issuers.get(&site) {
        return done.clone();
    }
    let before = resolver.found.len();
    let issuer = convert(resolver, file, node, written);
    if let Some(issuer) = &issuer {
        let kind = kind_place(file, node, file.source.place(node.span()));
        resolver.uses(Part::Issuer, issuer.as_str(), kind);
        if let Some((key, _)) = node.entry("connection") {
            let connects = matches!(issuer, Issuer::VaultPki { .. } | Issuer::KeyVault { .. });
            let connects = if connects { Ok(()) } else { Err(issuer.as_str()) };
            resolver.connection_of(&connects, file.source.place(key.span()));
        }
    }
    let fine = resolver.found.len() == before;
    resolver.issuers.insert(site, issuer.clone().filter(|_| fine));
    issuer
}

fn convert(
    resolver: &mut Resolver<'_>,
    file: &File,
    node: NodeRef<'_>,
    written: &grammar::Issuer,
) -> Option<Issuer> {
    let place = |key: &str| file.source.place(node.get(key).unwrap_or(node).span());
    Some(match written {
        grammar::Issuer::SelfSigned { .. } => Issuer::SelfSigned,
        grammar::Issuer::CaFile { certificate, chain, key, .. } => Issuer::CaFile {
            certificate: resolver.path(file, certificate, place("certificate"))?.path,
            chain: match chain {
                Some(chain) => Some(resolver.path(file, chain, place("chain"))?.path),
                None => None,
            },
            key: super::form::secret_source(resolver, key, &|| place("key")),
        },
        grammar::Issuer::VaultPki { mount, role, namespace, issuer_ref, connection } => Issuer::VaultPki {
            mount: mount.clone(),
            role: role.clone(),
            namespace: namespace.clone(),
            issuer_ref: issuer_ref.clone(),
            connection: connection.clone(),
        },
        grammar::Issuer::KeyVault { vault, issuer, connection } => {
            super::store::check_vault_name(resolver, vault, place("vault"));
            if let Some(name) = issuer {
                check_signer(resolver, name, place("issuer"));
            }
            Issuer::KeyVault {
                vault: vault.clone(),
                issuer: issuer.clone().unwrap_or_else(|| "Self".into()),
                connection: connection.clone(),
            }
        }
        grammar::Issuer::Csr { directory, .. } => {
            Issuer::Csr { directory: resolver.path(file, directory, place("directory"))?.path }
        }
        grammar::Issuer::ExternalPublicKey { files, .. } => {
            Issuer::ExternalPublicKey { files: public_keys(resolver, file, node, files) }
        }
        grammar::Issuer::ExternalRotator { matching, .. } => Issuer::ExternalRotator {
            matching: match matching {
                WrittenMatch::DisplayName(pattern) => {
                    if pattern.chars().all(|c| c == '*') {
                        let message = "the pattern matches every credential, also those of others";
                        resolver.error(Code::WrongValue, place("match"), message);
                    }
                    RotatorMatch::DisplayName(pattern.clone())
                }
                WrittenMatch::Thumbprints(list) => RotatorMatch::Thumbprints(list.iter().copied().collect()),
            },
        },
    })
}

/// The name of an issuer in a vault. `Unknown` is what Key Vault calls nobody.
fn check_signer(resolver: &mut Resolver<'_>, name: &str, place: Place) {
    if name.eq_ignore_ascii_case("unknown") {
        let message = "`Unknown` means that the vault has nothing signed";
        let error = resolver.error(Code::WrongValue, place, message);
        error.help.push("name an `issuer` that signs requests: `vault_pki`, `ca_file` or `csr`".into());
    } else if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        let message = "the name of a registered issuer is letters, digits and hyphens";
        resolver
            .error(Code::WrongValue, place, message)
            .help
            .push("`Self`, or a name as the vault lists it".into());
    }
}

/// Reads and checks the declared files. A file that is listed twice counts once.
fn public_keys(
    resolver: &mut Resolver<'_>,
    file: &File,
    node: NodeRef<'_>,
    files: &[String],
) -> Vec<PublicKeyFile> {
    let nodes: Vec<NodeRef<'_>> = node.get("files").map(|list| list.items().collect()).unwrap_or_default();
    let mut read: Vec<PublicKeyFile> = Vec::new();
    for (path, node) in files.iter().zip(nodes) {
        let place = || file.source.place(node.span());
        let Some(contained) = resolver.path(file, path, place()) else { continue };
        let bytes =
            match resolver.sources.read(&contained.canonical, external_public_key::FILE_BYTES_MAX as u64) {
                Ok(bytes) => bytes,
                Err(error) => {
                    resolver.error(Code::Unreadable, place(), format!("{path} cannot be read: {error}"));
                    continue;
                }
            };
        match external_public_key::read(&bytes) {
            Ok(certificate) => {
                let again = read.iter().any(|other| other.certificate.der() == certificate.der());
                if !again {
                    read.push(PublicKeyFile { path: path.clone(), certificate });
                }
            }
            Err(problem) => {
                resolver.error(Code::PublicKey, place(), format!("{path} cannot be used: {problem}"));
            }
        }
    }
    read
}
