//! The YAML as written: every key, its type and its description. The one place that says what a file may hold; the JSON
//! schema, the check of keys and types and the reading of values are all made from these types.
//!
//! What keys mean together (references, inheritance, periods that must fit) is `resolve`'s business.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::words::{
    Day, Guid, LeadText, Moment, PercentText, SubjectText, TenantIdText, TimeOfDay, VariableName, Zone,
};
use crate::certificate::{KeyKind, SignatureHash};
use crate::consumer;
use crate::desired::{Cloud, Format, PfxProfile, Prove, Retire};
use crate::ids::{Address, KeyId, Name, Owner, Thumbprint};
use crate::period::Period;

/// A certroll declaration.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Declaration")]
#[allow(
    dead_code,
    reason = "read part by part, so that one mistake does not hide the others; this gives the schema"
)]
pub(super) struct Document {
    /// The format. First key of every file.
    pub(super) certroll: Version,
    /// Whose declaration this is. Part of the marker on every credential of ours. Once over all files.
    pub(super) owner: Option<Owner>,
    /// The Entra tenants, by name.
    pub(super) tenants: Option<BTreeMap<Name, Tenant>>,
    /// Where private keys live, by name.
    pub(super) stores: Option<BTreeMap<Name, Store>>,
    /// What makes certificates, by name. `self-signed` exists.
    pub(super) issuers: Option<BTreeMap<Name, Issuer>>,
    /// Products that sign in with a certificate, by name. The common ones are built in.
    pub(super) consumers: Option<BTreeMap<Name, consumer::Entry>>,
    /// Values for every certificate of this file that does not set them itself.
    pub(super) defaults: Option<Defaults>,
    /// The certificates, by name. A certificate's address is `tenant/name`, for ever.
    pub(super) certificates: Option<BTreeMap<Name, Certificate>>,
    /// Renames, and moves between targets.
    pub(super) moved: Option<Vec<Moved>>,
    /// What is no longer declared: the only way to have it removed.
    pub(super) removed: Option<Vec<Removed>>,
    /// What people have confirmed. Written by `certroll ack`.
    pub(super) acknowledgements: Option<Vec<Acknowledgement>>,
}

/// The format of the file.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Version")]
pub(super) enum Version {
    #[serde(rename = "v1")]
    V1,
}

/// An Entra tenant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenant {
    /// Tenant id (GUID) or a verified domain. Required unless the tenant is emulated.
    pub(super) id: Option<TenantIdText>,
    /// The Microsoft cloud it lives in. Default: public.
    pub(super) cloud: Option<Cloud>,
    /// The operator's connection to use.
    pub(super) connection: Option<Name>,
    /// How many certificates one run may issue: a count, or a percentage of the declared ones. Default: 50.
    pub(super) max_issue: Option<Limit>,
    /// How many credentials one run may retire: a count, or a percentage of the declared certificates. Default: 20 % but at
    /// least 5.
    pub(super) max_retire: Option<Limit>,
    /// Dates between which nothing is written.
    pub(super) freeze: Option<Vec<Freeze>>,
    /// Drift findings not to report.
    pub(super) ignore: Option<Vec<Ignore>>,
}

/// A count, or a percentage such as 20%.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Limit {
    Count(u32),
    Percent(PercentText),
}

/// Where private keys live and consumers read them from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "Store")]
pub(super) enum Store {
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

/// What makes a certificate.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "Issuer")]
#[allow(dead_code, reason = "a connection that does not apply is found in the tree, where its place is")]
pub(super) enum Issuer {
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
pub(super) enum RotatorMatch {
    /// Display names that match this pattern; `*` stands for any text.
    DisplayName(String),
    /// These thumbprints.
    Thumbprints(#[schemars(length(min = 1))] Vec<Thumbprint>),
}

/// An issuer's name, or an issuer written out.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum IssuerChoice {
    Named(Name),
    Inline(Issuer),
}

/// Keys that may stand both in `defaults` and in a certificate, written once. The first list is what only a certificate has.
macro_rules! settings {
    (
        certificate { $( $(#[$own_doc:meta])* $own:ident : $own_type:ty, )* }
        inherited { $( $(#[$doc:meta])* $key:ident : $type:ty, )* }
        $( #[$special_doc:meta] $special:ident : $special_type:ty, )*
    ) => {
        /// Values for every certificate of this file that does not set them itself.
        #[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(extend("not" = either_timing()))]
        pub(super) struct Defaults {
            $( $(#[$doc])* pub(super) $key: Option<$type>, )*
            $( #[$special_doc] pub(super) $special: Option<$special_type>, )*
        }

        /// One certificate.
        #[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(extend("not" = either_timing(), "oneOf" = either_target()))]
        pub(super) struct Certificate {
            $( $(#[$own_doc])* pub(super) $own: Option<$own_type>, )*
            $( $(#[$doc])* pub(super) $key: Option<$type>, )*
            $( #[$special_doc] pub(super) $special: Option<$special_type>, )*
        }

        impl Certificate {
            /// Takes over what it does not set itself. One timing form replaces the other; labels merge.
            pub(super) fn inherit(&mut self, defaults: &Defaults) {
                $( if self.$key.is_none() { self.$key.clone_from(&defaults.$key); } )*
                if self.rotation_period.is_none() && self.renew_before.is_none() {
                    self.rotation_period.clone_from(&defaults.rotation_period);
                    self.renew_before.clone_from(&defaults.renew_before);
                }
                if let Some(inherited) = &defaults.labels {
                    let labels = self.labels.get_or_insert_default();
                    for (key, value) in inherited {
                        labels.entry(key.clone()).or_insert_with(|| value.clone());
                    }
                }
            }
        }
    };
}

settings! {
    certificate {
        /// The app registration that carries it.
        application: Selector,
        /// The enterprise application that carries it.
        service_principal: Selector,
        /// The credential's display name, after the marker. Default: the certificate's name.
        description: String,
        /// Further places each generation is copied to.
        #[allow(dead_code, reason = "read one by one, so that a mistake in one does not hide the others")]
        deliver: Vec<Delivery>,
        /// Dates between which nothing is written.
        freeze: Vec<Freeze>,
        /// Live credentials to take over.
        adopt: Vec<Adopt>,
        /// Thumbprints never to publish, offer or roll back to.
        revoked: Vec<Thumbprint>,
        /// Nothing is rotated until that day is over.
        hold: Hold,
        /// Key ids of others' expired credentials that may be dropped, because they make Entra refuse every write.
        drop_expired_foreign: Vec<KeyId>,
        /// Drift findings not to report.
        ignore: Vec<Ignore>,
    }
    inherited {
        /// The tenant. Default: the only one.
        tenant: Name,
        /// The product that signs in with it.
        consumer: Name,
        /// The key pair. Default: rsa-2048.
        key: KeyKind,
        /// The digest it is signed with. Default: sha256.
        signature_hash: SignatureHash,
        /// The certificate's subject (RFC 4514). Default: CN= and the certificate's name.
        subject: SubjectText,
        /// How long a certificate is valid. Default: P1Y.
        validity: Period,
        /// How long the predecessor stays valid after the successor is in use. Default: 14d.
        overlap: Period,
        /// By how much dates are moved earlier, at most, so that not all certificates rotate at once. Default: 0d.
        spread: Period,
        /// When writes may happen. Default: any time.
        windows: Vec<Window>,
        /// What makes the certificate. Default: self-signed.
        issuer: IssuerChoice,
        /// Where the private key lives: a store's name, or more about the place in it.
        store: StoreChoice,
        /// Whether predecessors are retired. Default: after_overlap.
        retire: Retire,
        /// A predecessor is retired only when unused for so long. Needs usage reports.
        unused_for: Period,
        /// How many generations of retired key material are kept in the store. Default: 1.
        keep_retired: u32,
        /// How a generation is proven. Default: sign_in.
        prove: Prove,
        /// Whether a person must confirm that the consumer has the new key. Default: what the consumer says.
        acknowledge: consumer::Acknowledge,
        /// Drift warns when the certificate ends sooner than this. Default: 30d.
        warn_before: Period,
        /// Drift alerts when the certificate ends sooner than this. Default: 14d.
        alert_before: Period,
    }
    /// Rotate so long after the certificate began. Default: 180d. Excludes renew_before.
    rotation_period: Period,
    /// Rotate so long before the certificate ends: a duration, or a percentage of its life. Excludes rotation_period.
    renew_before: LeadText,
    /// Free labels, for --only label:key=value. Merged with the defaults.
    labels: BTreeMap<String, String>,
}

fn either_timing() -> serde_json::Value {
    serde_json::json!({ "required": ["rotation_period", "renew_before"] })
}

fn either_target() -> serde_json::Value {
    serde_json::json!([{ "required": ["application"] }, { "required": ["service_principal"] }])
}

/// How a target is found: by exactly one of these.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Selector {
    /// Application (client) id.
    AppId(Guid),
    /// Object id.
    ObjectId(Guid),
    /// The `uniqueName` alternate key.
    UniqueName(String),
    /// Display name. Names drift and need not be unique: prefer app_id.
    DisplayName(String),
}

/// A store's name, or more about the place in it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum StoreChoice {
    Named(Name),
    Place(Box<StorePlace>),
}

/// A certificate's place in a store.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StorePlace {
    /// The store.
    #[serde(rename = "use")]
    pub(super) store: Name,
    /// Name of the entry. Default: the certificate's name.
    pub(super) name: Option<String>,
    /// What consumers read. Default: pem.
    pub(super) format: Option<KeyFormat>,
    /// Encryption of a PFX. Default: modern2023.
    pub(super) profile: Option<PfxProfile>,
    /// Password of a PFX. Default: generate.
    pub(super) password: Option<PasswordChoice>,
    /// Key Vault: a certificate object or a secret object. Default: certificate.
    pub(super) object: Option<VaultObject>,
    /// Key Vault: whether the key may leave the vault. Default: true.
    pub(super) exportable: Option<bool>,
    /// Key Vault: whether the key is made in an HSM. Default: false.
    pub(super) hsm: Option<bool>,
    /// HashiCorp Vault: names of the fields written.
    pub(super) fields: Option<Fields>,
    /// Kubernetes: type of the Secret. Default: opaque.
    #[serde(rename = "type")]
    pub(super) secret_type: Option<SecretType>,
}

/// A form that holds a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum KeyFormat {
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
pub(super) enum VaultObject {
    Certificate,
    Secret,
}

/// Types of Kubernetes Secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SecretType {
    Tls,
    Opaque,
}

/// Names of the fields written, by what they hold.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Fields {
    /// The generation in the entry's format; of a pair, the certificate.
    pub(super) certificate: Option<String>,
    /// The private key of a pair.
    pub(super) key: Option<String>,
    /// The certificates above it.
    pub(super) chain: Option<String>,
    /// The password of a PFX.
    pub(super) password: Option<String>,
}

/// Where the password of a PFX comes from. Never the password itself.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum PasswordChoice {
    Word(PasswordWord),
    Source(PasswordSource),
}

/// `generate`: certroll makes one of at least 128 bits. `none`: the PFX has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PasswordWord {
    Generate,
    None,
}

/// A password that exists already.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PasswordSource {
    /// Name of an environment variable that begins with CERTROLL_SECRET_.
    Env(VariableName),
    /// Name of a file below --secrets-dir.
    SecretFile(String),
}

/// A further place a generation is copied to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "Delivery")]
#[allow(dead_code, reason = "a delivery's own keys are handed on as they stand, for its back end to read")]
pub(super) enum Delivery {
    /// A GitHub Actions secret.
    GithubActions {
        /// `owner/name` of the repository. Excludes organization.
        repository: Option<String>,
        /// Name of the organization. Excludes repository.
        organization: Option<String>,
        /// Environment of the repository.
        environment: Option<String>,
        /// Name of the secret.
        secret: String,
        /// Name of a readable variable that tells which generation the secret holds.
        variable: Option<String>,
        /// What is written.
        format: KeyFormat,
        /// Encryption of a PFX. Default: modern2023.
        profile: Option<PfxProfile>,
        /// Password of a PFX. Default: generate.
        password: Option<PasswordChoice>,
        /// Name of the secret that takes the password of a PFX.
        password_secret: Option<String>,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// A GitLab CI/CD variable.
    GitlabCi {
        /// Path or id of the project. Excludes group.
        project: Option<String>,
        /// Path or id of the group. Excludes project.
        group: Option<String>,
        /// Name of the variable.
        variable: String,
        /// Environment scope. Default: all.
        environment_scope: Option<String>,
        /// Type of the variable. Default: variable.
        #[serde(rename = "type")]
        variable_type: Option<VariableType>,
        /// What is written.
        format: KeyFormat,
        /// Encryption of a PFX. Default: modern2023.
        profile: Option<PfxProfile>,
        /// Password of a PFX. Default: generate.
        password: Option<PasswordChoice>,
        /// Name of the variable that takes the password of a PFX.
        password_secret: Option<String>,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// A variable in an Azure DevOps variable group.
    AzureDevops {
        /// Name of the organization.
        organization: String,
        /// Name of the project.
        project: String,
        /// Name of the variable group.
        variable_group: String,
        /// Name of the variable.
        variable: String,
        /// What is written.
        format: KeyFormat,
        /// Encryption of a PFX. Default: modern2023.
        profile: Option<PfxProfile>,
        /// Password of a PFX. Default: generate.
        password: Option<PasswordChoice>,
        /// Name of the variable that takes the password of a PFX.
        password_secret: Option<String>,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// A Kubernetes Secret.
    Kubernetes {
        /// Kubernetes namespace.
        namespace: String,
        /// Context of the kubeconfig.
        context: Option<String>,
        /// Name of the Secret. Default: the certificate's name.
        name: Option<String>,
        /// Type of the Secret. Default: opaque.
        #[serde(rename = "type")]
        secret_type: Option<SecretType>,
        /// What is written. Default: pem.
        format: Option<KeyFormat>,
        /// Encryption of a PFX. Default: modern2023.
        profile: Option<PfxProfile>,
        /// Password of a PFX. Default: generate.
        password: Option<PasswordChoice>,
        /// Key in the Secret that takes the password of a PFX.
        password_secret: Option<String>,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// A folder on this machine.
    File {
        /// The folder, below the folder of this file.
        directory: String,
        /// Name of the files, without ending. Default: the certificate's name.
        name: Option<String>,
        /// What is written. Default: pem.
        format: Option<KeyFormat>,
        /// Encryption of a PFX. Default: modern2023.
        profile: Option<PfxProfile>,
        /// Password of a PFX. Default: generate.
        password: Option<PasswordChoice>,
        /// Name of the file that takes the password of a PFX.
        password_secret: Option<String>,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
    /// A program of yours, which reads the generation from its standard input.
    Exec {
        /// The program and its arguments.
        #[schemars(length(min = 1))]
        command: Vec<String>,
        /// A program that prints the thumbprint the place holds.
        check: Option<Vec<String>>,
        /// What is written.
        format: KeyFormat,
        /// Encryption of a PFX. Default: modern2023.
        profile: Option<PfxProfile>,
        /// Password of a PFX. Default: generate.
        password: Option<PasswordChoice>,
        /// Name under which the password of a PFX is handed over.
        password_secret: Option<String>,
        /// The operator's connection to use.
        connection: Option<Name>,
    },
}

/// Types of GitLab CI/CD variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum VariableType {
    Variable,
    File,
}

/// A weekly time in which writes may happen.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    /// The days on which it begins.
    #[schemars(length(min = 1))]
    pub(super) days: Vec<Weekday>,
    /// Local time it begins, HH:MM.
    pub(super) from: TimeOfDay,
    /// Local time it ends, HH:MM. Earlier than `from` means the next day.
    pub(super) to: TimeOfDay,
    /// IANA time zone, such as Europe/London.
    pub(super) zone: Zone,
}

/// Days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// Dates between which nothing is written, both included, in UTC.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Freeze {
    /// First day.
    pub(super) from: Day,
    /// Last day.
    pub(super) to: Day,
    /// Shown in the plan.
    pub(super) reason: String,
}

/// Nothing is rotated until that day is over.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Hold {
    /// Last day, in UTC.
    pub(super) until: Day,
    /// Shown in the plan.
    pub(super) reason: String,
}

/// A drift finding not to report.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ignore {
    /// The finding's rule.
    pub(super) rule: String,
    /// Why.
    pub(super) reason: String,
    /// Who decided.
    pub(super) owner: Option<String>,
    /// Last day, in UTC.
    pub(super) until: Option<Day>,
}

/// A live credential to take over: its thumbprint, or more.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Adopt {
    Thumbprint(Thumbprint),
    More(AdoptMore),
}

/// A live credential to take over.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AdoptMore {
    /// Which one.
    pub(super) thumbprint: Thumbprint,
    /// Where its private key is.
    pub(super) key: Option<KeyPlace>,
}

/// Where the private key of an adopted credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeyPlace {
    /// Somewhere certroll does not see.
    Elsewhere,
}

/// A rename, or a move between targets.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Moved {
    /// The former address.
    pub(super) from: Address,
    /// The declared address.
    pub(super) to: Address,
}

/// What is no longer declared.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Removed {
    /// The former address.
    pub(super) address: Address,
    /// The object that carries its credentials.
    pub(super) target: Target,
    /// Whether its credentials are taken off the target.
    pub(super) retire: bool,
}

/// An object that carries credentials.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    /// An app registration.
    Application(Selector),
    /// An enterprise application.
    ServicePrincipal(Selector),
}

/// What a person confirmed: the consumer signs in with this generation.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Acknowledgement {
    /// Which certificate.
    pub(super) address: Address,
    /// Which generation of it.
    pub(super) thumbprint: Thumbprint,
    /// Who.
    pub(super) by: String,
    /// When (RFC 3339).
    pub(super) at: Moment,
    /// Free text.
    pub(super) note: Option<String>,
}
