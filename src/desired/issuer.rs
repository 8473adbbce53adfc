//! What makes a generation.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::certificate::Certificate;
use crate::desired::Password;
use crate::ids::{Address, Name, Thumbprint};

/// What makes a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Issuer {
    /// certroll signs with the generation's own key.
    SelfSigned,
    /// A CA certificate in a file, its key from a secret source.
    CaFile {
        /// The CA's certificate.
        certificate: std::path::PathBuf,
        /// Further certificates up to the root.
        chain: Option<std::path::PathBuf>,
        /// Where its key comes from, PEM.
        key: Password,
    },
    /// HashiCorp Vault's PKI engine.
    VaultPki {
        /// Mount of the engine.
        mount: String,
        /// Role to sign with.
        role: String,
        /// Vault namespace.
        namespace: Option<String>,
        /// Which issuer of the mount.
        issuer_ref: Option<String>,
        /// The operator's connection that may be used, if one is named.
        connection: Option<Name>,
    },
    /// Azure Key Vault.
    KeyVault {
        /// The vault's name.
        vault: String,
        /// `Self` or a registered issuer.
        issuer: String,
        /// The operator's connection that may be used, if one is named.
        connection: Option<Name>,
    },
    /// A person signs requests from a folder.
    Csr {
        /// Requests are written here, certificates awaited here.
        directory: std::path::PathBuf,
    },
    /// A provider keeps the key and sends public certificates.
    ExternalPublicKey {
        /// The declared files, already read and checked, in declared order.
        files: Vec<PublicKeyFile>,
    },
    /// A product rotates by itself.
    ExternalRotator {
        /// Which credentials are its.
        matching: RotatorMatch,
    },
}

/// A public certificate a provider sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKeyFile {
    /// As declared.
    pub path: String,
    /// What it holds.
    pub certificate: Certificate,
}

/// Which credentials a self-rotating product makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RotatorMatch {
    /// Display names that match this pattern (`*` stands for any text).
    DisplayName(String),
    /// These thumbprints.
    Thumbprints(BTreeSet<Thumbprint>),
}

/// Where the signing request of a certificate is written. A name holds no dot, so that no two certificates share a file.
pub fn request_file(directory: &Path, address: &Address) -> PathBuf {
    directory.join(format!("{}.{}.csr", address.tenant, address.name))
}

/// Where its certificate is awaited. The other usual endings are taken as well.
pub fn answer_file(directory: &Path, address: &Address) -> PathBuf {
    request_file(directory, address).with_extension("cer")
}

impl Issuer {
    /// The word the file uses.
    pub fn as_str(&self) -> &'static str {
        match self {
            Issuer::SelfSigned => "self_signed",
            Issuer::CaFile { .. } => "ca_file",
            Issuer::VaultPki { .. } => "vault_pki",
            Issuer::KeyVault { .. } => "key_vault",
            Issuer::Csr { .. } => "csr",
            Issuer::ExternalPublicKey { .. } => "external_public_key",
            Issuer::ExternalRotator { .. } => "external_rotator",
        }
    }

    /// The operator's connection it names.
    pub fn connection(&self) -> Option<&Name> {
        match self {
            Issuer::VaultPki { connection, .. } | Issuer::KeyVault { connection, .. } => connection.as_ref(),
            Issuer::SelfSigned
            | Issuer::CaFile { .. }
            | Issuer::Csr { .. }
            | Issuer::ExternalPublicKey { .. }
            | Issuer::ExternalRotator { .. } => None,
        }
    }

    /// Whether certroll makes and keeps the key with this issuer.
    pub fn makes_keys_here(&self) -> bool {
        !matches!(self, Issuer::ExternalPublicKey { .. } | Issuer::ExternalRotator { .. })
    }

    /// Who signs for the store, where the store has key and certificate made in one go; none where certroll asks the issuer itself.
    pub fn signs_in_store(&self) -> Option<&str> {
        match self {
            Issuer::KeyVault { issuer, .. } => Some(issuer),
            Issuer::SelfSigned
            | Issuer::CaFile { .. }
            | Issuer::VaultPki { .. }
            | Issuer::Csr { .. }
            | Issuer::ExternalPublicKey { .. }
            | Issuer::ExternalRotator { .. } => None,
        }
    }

    /// What of the issuer decides the certificate, for people: another fingerprint makes other words.
    pub fn words(&self) -> String {
        match self {
            Issuer::VaultPki { mount, role, namespace, issuer_ref, connection: _ } => {
                let namespace = namespace.as_ref().map(|name| format!(", namespace {name}"));
                let issuer_ref = issuer_ref.as_ref().map(|name| format!(", issuer_ref {name}"));
                let more: String = namespace.into_iter().chain(issuer_ref).collect();
                format!("vault_pki {mount}/{role}{more}")
            }
            Issuer::KeyVault { vault, issuer, connection: _ } => format!("key_vault {vault}/{issuer}"),
            Issuer::SelfSigned
            | Issuer::CaFile { .. }
            | Issuer::Csr { .. }
            | Issuer::ExternalPublicKey { .. }
            | Issuer::ExternalRotator { .. } => self.as_str().to_owned(),
        }
    }

    /// What of the issuer decides the certificate; a change of it rotates. No path of this machine is in it.
    pub fn fingerprint(&self) -> String {
        match self {
            Issuer::SelfSigned => "self_signed".into(),
            Issuer::CaFile { .. } => "ca_file".into(),
            Issuer::VaultPki { mount, role, namespace, issuer_ref, connection: _ } => {
                format!("vault_pki {mount} {role} {namespace:?} {issuer_ref:?}")
            }
            Issuer::KeyVault { vault, issuer, connection: _ } => format!("key_vault {vault} {issuer}"),
            Issuer::Csr { .. } => "csr".into(),
            Issuer::ExternalPublicKey { .. } => "external_public_key".into(),
            Issuer::ExternalRotator { .. } => "external_rotator".into(),
        }
    }
}
