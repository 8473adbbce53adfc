//! Where private keys live: the declared stores, and a certificate's place in one.

use std::collections::BTreeMap;

use crate::desired::{Form, Format, Origin, Password};
use crate::ids::Name;

/// One declared store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Its name in the files.
    pub name: Name,
    /// What it is and where.
    pub kind: StoreKind,
    /// The operator's connection that may be used, if one is named.
    pub connection: Option<Name>,
    /// Where it is declared.
    pub origin: Origin,
}

/// The kinds of store, with what only that kind needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreKind {
    /// A folder on this machine. The path is already resolved against the declaring file.
    File {
        /// Absolute or relative to the working directory.
        directory: std::path::PathBuf,
    },
    /// Azure Key Vault.
    AzureKeyVault {
        /// The vault's name, not its URL.
        vault: String,
    },
    /// HashiCorp Vault or OpenBao KV v2.
    HashicorpVault {
        /// Mount of the KV v2 engine.
        mount: String,
        /// Vault namespace.
        namespace: Option<String>,
    },
    /// Kubernetes Secrets.
    Kubernetes {
        /// Kubernetes namespace.
        namespace: String,
        /// Context of the kubeconfig.
        context: Option<String>,
    },
}

impl StoreKind {
    /// The word the file uses.
    pub fn as_str(&self) -> &'static str {
        match self {
            StoreKind::File { .. } => "file",
            StoreKind::AzureKeyVault { .. } => "azure_key_vault",
            StoreKind::HashicorpVault { .. } => "hashicorp_vault",
            StoreKind::Kubernetes { .. } => "kubernetes",
        }
    }
}

/// A certificate's place in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreBinding {
    /// The declared store.
    pub store: Name,
    /// Name of the entry in the store. Two certificates may not share one.
    pub entry: String,
    /// What consumers read.
    pub form: Form,
    /// What only some kinds of store need.
    pub options: StoreOptions,
}

impl StoreBinding {
    /// Everything of the binding that decides what is kept where; a change of it rotates.
    pub fn fingerprint(&self) -> String {
        format!("{} {} {} {:?}", self.store, self.entry, self.form.fingerprint(), self.options)
    }

    /// As what the entry is kept, for people; nothing where all of it is the default. What makes another fingerprint in the same entry
    /// makes other words.
    pub fn kept_as(&self) -> String {
        let StoreBinding { store: _, entry: _, form, options } = self;
        let StoreOptions { object, exportable, hsm, fields } = options;
        let form = match object.as_deref() {
            // Key Vault makes its own PFX, always without a password.
            Some("certificate") if form.format == Format::Pfx => Vec::new(),
            Some("certificate") => vec![form.format.as_str().to_owned()],
            _ => form.words(),
        };
        let object = object.as_ref().map(|object| match object.as_str() {
            "tls" | "opaque" => format!("type {object}"),
            _ => format!("{object} object"),
        });
        let key = (*exportable == Some(false)).then(|| "a key that never leaves".to_owned());
        let hsm = (*hsm == Some(true)).then(|| "a key made in an HSM".to_owned());
        let fields = fields.iter().map(|(part, field)| format!("{part} in field {field}"));
        let words = object.into_iter().chain(key).chain(hsm).chain(form).chain(fields);
        words.collect::<Vec<_>>().join(", ")
    }
}

/// What only some kinds of store need of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreOptions {
    /// Key Vault: `certificate` or `secret` object. Kubernetes: `tls` or `opaque`.
    pub object: Option<String>,
    /// Key Vault: whether the key may leave.
    pub exportable: Option<bool>,
    /// Key Vault: whether the key is made in an HSM.
    pub hsm: Option<bool>,
    /// Vault: names of the fields written, by what they hold.
    pub fields: BTreeMap<String, String>,
}

impl StoreOptions {
    /// The fields of a value in HashiCorp Vault that a generation in that form is written to: what is in it, and its name. One for the chain
    /// and one for a password of the operator's only where they are named.
    pub fn fields_of(&self, form: &Form) -> Vec<(&'static str, &str)> {
        let has_password = form.format.is_pfx() && form.password != Password::None;
        let parts = [
            ("certificate", true, true),
            ("key", form.format == Format::PemPair, true),
            ("chain", true, false),
            ("password", has_password, form.password == Password::Generate),
        ];
        let applies = parts.into_iter().filter(|(_, applies, _)| *applies);
        let named = |part| self.fields.get(part).map(String::as_str);
        applies
            .filter_map(|(part, _, by_itself)| {
                Some((part, named(part).or_else(|| by_itself.then_some(part))?))
            })
            .collect()
    }
}
