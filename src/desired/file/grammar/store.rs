//! The keys of stores, of a certificate's place in one, and of the form it is kept in.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::words::VariableName;
use crate::desired::{Format, PfxProfile};
use crate::ids::Name;

/// Where private keys live and consumers read them from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "Store")]
pub(in crate::desired::file) enum Store {
    /// A folder on this machine.
    File {
        /// The folder, below the folder of this file.
        directory: String,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// Azure Key Vault.
    AzureKeyVault {
        /// The vault's name, not its URL.
        vault: String,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// HashiCorp Vault or OpenBao, KV version 2.
    HashicorpVault {
        /// Where the KV engine is mounted.
        mount: String,
        /// Vault namespace.
        namespace: Option<String>,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// Kubernetes Secrets.
    Kubernetes {
        /// Kubernetes namespace.
        namespace: String,
        /// Context of the kubeconfig.
        context: Option<String>,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
}

/// A store's name, or more about the place in it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::desired::file) enum StoreChoice {
    Named(Name),
    Place(Box<StorePlace>),
}

/// A certificate's place in a store.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desired::file) struct StorePlace {
    /// The store.
    #[serde(rename = "use")]
    pub(in crate::desired::file) store: Name,
    /// Name of the entry. Default: the certificate's name.
    pub(in crate::desired::file) name: Option<String>,
    /// What consumers read. Default: pem.
    pub(in crate::desired::file) format: Option<KeyFormat>,
    /// Encryption of a PFX. Default: modern2023.
    pub(in crate::desired::file) profile: Option<PfxProfile>,
    /// Password of a PFX. Default: generate.
    pub(in crate::desired::file) password: Option<PasswordChoice>,
    /// Key Vault: a certificate object or a secret object. Default: certificate.
    pub(in crate::desired::file) object: Option<VaultObject>,
    /// Key Vault: whether the key may leave the vault. Default: true.
    pub(in crate::desired::file) exportable: Option<bool>,
    /// Key Vault: whether the key is made in an HSM. Default: false.
    pub(in crate::desired::file) hsm: Option<bool>,
    /// HashiCorp Vault: names of the fields written.
    pub(in crate::desired::file) fields: Option<Fields>,
    /// Kubernetes: type of the Secret. Default: opaque.
    #[serde(rename = "type")]
    pub(in crate::desired::file) secret_type: Option<SecretType>,
}

/// A form that holds a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::desired::file) enum KeyFormat {
    /// Certificate and key in one PEM text.
    Pem,
    /// Certificate and key in two files; they can be read torn.
    PemPair,
    /// PKCS#12.
    Pfx,
    /// The combined PEM, base64 on one line.
    PemBase64,
    /// The PKCS#12, base64 on one line.
    PfxBase64,
}

impl From<KeyFormat> for Format {
    fn from(format: KeyFormat) -> Format {
        match format {
            KeyFormat::Pem => Format::Pem,
            KeyFormat::PemPair => Format::PemPair,
            KeyFormat::Pfx => Format::Pfx,
            KeyFormat::PemBase64 => Format::PemBase64,
            KeyFormat::PfxBase64 => Format::PfxBase64,
        }
    }
}

/// Objects of Azure Key Vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::desired::file) enum VaultObject {
    Certificate,
    Secret,
}

/// Types of Kubernetes Secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::desired::file) enum SecretType {
    Tls,
    Opaque,
}

/// Names of the fields written, by what they hold.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::desired::file) struct Fields {
    /// The generation in the entry's format; of a pair, the certificate.
    pub(in crate::desired::file) certificate: Option<String>,
    /// The private key of a pair.
    pub(in crate::desired::file) key: Option<String>,
    /// The certificates above it.
    pub(in crate::desired::file) chain: Option<String>,
    /// The password of a PFX.
    pub(in crate::desired::file) password: Option<String>,
}

/// Where the password of a PFX comes from. Never the password itself.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::desired::file) enum PasswordChoice {
    Word(PasswordWord),
    Source(PasswordSource),
}

/// `generate`: certroll makes one of at least 128 bits. `none`: the PFX has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::desired::file) enum PasswordWord {
    Generate,
    None,
}

/// A password or other secret that exists already.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::desired::file) enum PasswordSource {
    /// Name of an environment variable that begins with CERTROLL_SECRET_.
    Env(VariableName),
    /// Name of a file below --secrets-dir.
    SecretFile(String),
}
