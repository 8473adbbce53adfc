//! The keys of issuers.

use schemars::JsonSchema;
use serde::Deserialize;

use super::PasswordSource;
use crate::ids::{Name, Thumbprint};

/// What makes a certificate.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "Issuer")]
#[allow(dead_code, reason = "a connection that does not apply is found in the tree, where its place is")]
pub(in crate::desired::file) enum Issuer {
    /// The certificate is signed with its own key.
    SelfSigned {
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// A CA in a file, its key from a secret source.
    CaFile {
        /// The CA's certificate, below the folder of this file.
        certificate: String,
        /// Further certificates up to the root.
        chain: Option<String>,
        /// The CA's key, PEM.
        key: PasswordSource,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// HashiCorp Vault's PKI engine.
    VaultPki {
        /// Where the PKI engine is mounted.
        mount: String,
        /// The role to sign with.
        role: String,
        /// Vault namespace.
        namespace: Option<String>,
        /// Which issuer of the mount.
        issuer_ref: Option<String>,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// Azure Key Vault.
    KeyVault {
        /// The vault's name, not its URL.
        vault: String,
        /// `Self` or the name of a registered issuer. Default: Self.
        issuer: Option<String>,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// A person signs requests.
    Csr {
        /// Requests are written here and certificates awaited; below the folder of this file.
        directory: String,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// A provider keeps the private key and sends public certificates.
    ExternalPublicKey {
        /// The public certificates (DER or PEM), below the folder of this file.
        #[schemars(length(min = 1))]
        files: Vec<String>,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// A product rotates by itself; certroll watches.
    ExternalRotator {
        /// Which credentials are the product's.
        #[serde(rename = "match")]
        matching: RotatorMatch,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
}

/// Which credentials a self-rotating product makes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::desired::file) enum RotatorMatch {
    /// Display names that match this pattern; `*` stands for any text.
    DisplayName(String),
    /// These thumbprints.
    Thumbprints(#[schemars(length(min = 1))] Vec<Thumbprint>),
}

/// An issuer's name, or an issuer written out.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::desired::file) enum IssuerChoice {
    Named(Name),
    Inline(Issuer),
}
