//! The declaration as meant: checked, typed, inherited, without duplicates. Pure values.
//!
//! `desired::file` reads the YAML as written and makes these; nothing here knows of files or text positions beyond
//! [`Origin`], which lets a later error point back into the file.

pub mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, Time, Weekday};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::certificate::{Certificate, KeyKind, SignatureHash};
use crate::ids::{Address, KeyId, Name, Owner, RotationId, TargetId, TargetKind, Thumbprint};
use crate::period::{Lead, Period};

/// Everything the files declare.
#[derive(Debug, Clone)]
pub struct Desired {
    /// Whose declaration this is.
    pub owner: Owner,
    /// The declared tenants.
    pub tenants: BTreeMap<Name, Tenant>,
    /// The declared stores.
    pub stores: BTreeMap<Name, Store>,
    /// The declared certificates.
    pub certificates: BTreeMap<Address, Declared>,
    /// Renames and moves between targets.
    pub moved: Vec<Moved>,
    /// What is no longer declared and should go.
    pub removed: Vec<Removed>,
    /// What people have confirmed.
    pub acknowledgements: Vec<Acknowledgement>,
}

/// Where in the files something is declared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
pub struct Origin {
    /// Path as given on the command line.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Which Microsoft cloud a tenant lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cloud {
    /// The worldwide cloud.
    #[default]
    Public,
    /// US Government L4 (GCC High).
    UsGov,
    /// US Government L5 (DoD).
    UsGovDod,
    /// China, operated by 21Vianet.
    China,
    /// certroll's own emulator.
    Emulator,
}

/// One declared tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its name in the files.
    pub name: Name,
    /// GUID or verified domain. For an emulated tenant without one, a GUID derived from the name.
    pub id: String,
    /// The cloud.
    pub cloud: Cloud,
    /// The operator's connection that may be used, if one is named.
    pub connection: Option<Name>,
    /// How many certificates one run may issue for this tenant.
    pub max_issue: Limit,
    /// How many credentials one run may retire in this tenant.
    pub max_retire: Limit,
    /// When writes may not happen in this tenant; its certificates have these among their own.
    pub freeze: Vec<Freeze>,
    /// Drift findings not to report.
    pub ignore: Vec<Ignore>,
    /// Where it is declared.
    pub origin: Origin,
}

/// A budget: a count, or a percentage of the declared certificates of the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// At most so many.
    Count(u32),
    /// At most that percentage of the declared certificates, but never fewer than `at_least`.
    Percent {
        /// 0 to 100.
        percent: u8,
        /// The least that is always allowed.
        at_least: u32,
    },
}

impl Limit {
    /// The default of `max_issue`: 50.
    pub const ISSUE_DEFAULT: Limit = Limit::Count(50);
    /// The default of `max_retire`: 20 %, but at least 5.
    pub const RETIRE_DEFAULT: Limit = Limit::Percent { percent: 20, at_least: 5 };

    /// How many that is of so many declared certificates.
    pub fn of(self, declared: usize) -> usize {
        match self {
            Limit::Count(count) => count as usize,
            Limit::Percent { percent, at_least } => {
                (declared * usize::from(percent) / 100).max(at_least as usize)
            }
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Count(count) => write!(f, "{count}"),
            Limit::Percent { percent, at_least: 0 } => write!(f, "{percent}%"),
            Limit::Percent { percent, at_least } => write!(f, "{percent}% but at least {at_least}"),
        }
    }
}

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

/// One declared certificate, everything inherited and defaulted.
#[derive(Debug, Clone)]
pub struct Declared {
    /// `tenant/name`.
    pub address: Address,
    /// The object that carries it.
    pub target: TargetSelector,
    /// The product that signs in with it.
    pub consumer: Option<Consumer>,
    /// What follows the marker in the credential's display name.
    pub description: String,
    /// The key pair to make.
    pub key: KeyKind,
    /// The digest to sign with.
    pub signature_hash: SignatureHash,
    /// Subject in RFC 4514 form, normalised.
    pub subject: String,
    /// How long a certificate is valid.
    pub validity: Period,
    /// When it is due.
    pub timing: Timing,
    /// How long the predecessor stays valid after the successor is in use.
    pub overlap: Period,
    /// By how much dates are moved earlier, at most.
    pub spread: Period,
    /// When writes may happen; empty means always.
    pub windows: Vec<Window>,
    /// When writes may not happen: the tenant's and the certificate's own.
    pub freeze: Vec<Freeze>,
    /// What makes a generation.
    pub issuer: Issuer,
    /// Where the private key lives; `None` when no key lives here.
    pub store: Option<StoreBinding>,
    /// Further places a generation is copied to.
    pub deliveries: Vec<Delivery>,
    /// Whether predecessors are retired.
    pub retire: Retire,
    /// A predecessor must not have been used for so long.
    pub unused_for: Option<Period>,
    /// Generations of retired key material kept in the store.
    pub keep_retired: u32,
    /// How and when a generation is proven.
    pub prove: Prove,
    /// Whether a person must confirm that the consumer has the new key.
    pub acknowledge: bool,
    /// Drift warns when the current one ends sooner than this.
    pub warn_before: Period,
    /// Drift alerts when the current one ends sooner than this.
    pub alert_before: Period,
    /// Live credentials to take over.
    pub adopt: Vec<Adopt>,
    /// Never published, offered or rolled back to.
    pub revoked: BTreeSet<Thumbprint>,
    /// Nothing is rotated while this is in force.
    pub hold: Option<Hold>,
    /// Expired credentials of others that may be dropped, because they make Entra refuse the write.
    pub drop_expired_foreign: BTreeSet<KeyId>,
    /// Drift findings not to report.
    pub ignore: Vec<Ignore>,
    /// Free labels, for `--only label:key=value`.
    pub labels: BTreeMap<String, String>,
    /// Where it is declared.
    pub origin: Origin,
}

impl Declared {
    /// The rotation that replaces `predecessor` on `target`, whoever runs it and however often.
    ///
    /// The resolved specification is what decides the key and certificate that will be made and the place and form it is
    /// kept in. Description, timing, overlap, windows and labels are not part of it: changing one of them must not
    /// discard a key that is on its way.
    pub fn rotation_id(
        &self,
        owner: &Owner,
        tenant_id: &str,
        target: &TargetId,
        predecessor: &str,
    ) -> RotationId {
        let store = self.store.as_ref().map(StoreBinding::fingerprint).unwrap_or_default();
        RotationId::of(&[
            tenant_id.as_bytes(),
            target.kind.as_str().as_bytes(),
            target.object_id.as_bytes(),
            owner.as_str().as_bytes(),
            self.address.name.as_str().as_bytes(),
            predecessor.as_bytes(),
            &self.key.bits().to_be_bytes(),
            format!("{:?}", self.signature_hash).as_bytes(),
            self.subject.as_bytes(),
            self.validity.to_string().as_bytes(),
            self.issuer.fingerprint().as_bytes(),
            store.as_bytes(),
        ])
    }

    /// Whether certroll makes and keeps the key.
    pub fn key_lives_here(&self) -> bool {
        self.issuer.makes_keys_here()
    }
}

/// How a certificate names the object that carries it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TargetSelector {
    /// Application or service principal.
    pub kind: TargetKind,
    /// By what it is found.
    pub by: SelectBy,
}

/// By what a target is found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SelectBy {
    /// Application (client) id.
    AppId(Uuid),
    /// Object id.
    ObjectId(Uuid),
    /// The `uniqueName` alternate key.
    UniqueName(String),
    /// Display name; must match exactly one.
    DisplayName(String),
}

impl fmt::Display for TargetSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            SelectBy::AppId(id) => write!(f, "{} with app id {id}", self.kind),
            SelectBy::ObjectId(id) => write!(f, "{} with object id {id}", self.kind),
            SelectBy::UniqueName(name) => write!(f, "{} with unique name {name:?}", self.kind),
            SelectBy::DisplayName(name) => write!(f, "{} with display name {name:?}", self.kind),
        }
    }
}

/// The product or workload that signs in with the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Its name in the files or among the built-in ones.
    pub name: Name,
    /// The product's own name, for people.
    pub title: String,
}

/// When a certificate is due for rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timing {
    /// So long after it began.
    RotationPeriod(Period),
    /// So long before it ends.
    RenewBefore(Lead),
}

/// A weekly time in which writes may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The days on which it begins.
    pub days: Vec<Weekday>,
    /// Local time it begins.
    pub from: Time,
    /// Local time it ends; earlier than `from` means the next day.
    pub to: Time,
    /// IANA zone name, known to the embedded database.
    pub zone: String,
}

/// Dates between which nothing is written, both included, in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// First day.
    pub from: Date,
    /// Last day.
    pub to: Date,
    /// Shown in the plan.
    pub reason: String,
}

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

    /// Whether certroll makes and keeps the key with this issuer.
    pub fn makes_keys_here(&self) -> bool {
        !matches!(self, Issuer::ExternalPublicKey { .. } | Issuer::ExternalRotator { .. })
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

/// The form a consumer reads a generation in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// The container.
    pub format: Format,
    /// Encryption of a PFX.
    pub profile: PfxProfile,
    /// Password of a PFX.
    pub password: Password,
}

impl Form {
    /// How the form is remembered in a public record. A change of it rotates. A password's source counts, never a password.
    pub fn fingerprint(&self) -> String {
        match self.format {
            Format::Pfx | Format::PfxBase64 => {
                format!("{} {} {}", self.format.as_str(), self.profile.as_str(), self.password)
            }
            _ => self.format.as_str().to_owned(),
        }
    }
}

/// Containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Certificate and PKCS#8 key in one PEM text.
    Pem,
    /// Certificate and key in two files; can be read torn.
    PemPair,
    /// PKCS#12.
    Pfx,
    /// The combined PEM, base64 on one line.
    PemBase64,
    /// The PKCS#12, base64 on one line.
    PfxBase64,
    /// The certificate alone, DER.
    Cer,
}

impl Format {
    /// The word the file uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Pem => "pem",
            Format::PemPair => "pem-pair",
            Format::Pfx => "pfx",
            Format::PemBase64 => "pem-base64",
            Format::PfxBase64 => "pfx-base64",
            Format::Cer => "cer",
        }
    }

    /// Whether the container can have a password.
    pub fn is_pfx(self) -> bool {
        matches!(self, Format::Pfx | Format::PfxBase64)
    }
}

/// Encryption profiles of a PFX, by cert-manager's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
pub enum PfxProfile {
    /// AES-256 with PBKDF2, HMAC-SHA-256.
    #[default]
    #[serde(rename = "modern2023")]
    Modern2023,
    /// Triple DES, HMAC-SHA-1, for readers that know nothing newer.
    #[serde(rename = "legacy_des")]
    LegacyDes,
}

impl PfxProfile {
    /// The word the file uses.
    pub fn as_str(self) -> &'static str {
        match self {
            PfxProfile::Modern2023 => "modern2023",
            PfxProfile::LegacyDes => "legacy_des",
        }
    }
}

/// What every environment variable begins with that a declaration may name as the source of a secret.
pub const SECRET_VARIABLE_PREFIX: &str = "CERTROLL_SECRET_";

/// Where the password of a PFX comes from. Never the password.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Password {
    /// certroll makes one of at least 128 bits and keeps it beside the PFX.
    Generate,
    /// The PFX has no password.
    None,
    /// A `CERTROLL_SECRET_*` variable.
    Env(String),
    /// A file below `--secrets-dir`.
    SecretFile(String),
}

impl fmt::Display for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Password::Generate => f.write_str("generate"),
            Password::None => f.write_str("none"),
            Password::Env(name) => write!(f, "env {name}"),
            Password::SecretFile(name) => write!(f, "secret_file {name}"),
        }
    }
}

/// A further place a generation is copied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Kind and slot, such as `github_actions contoso/infra M365_PFX`: unique over the whole declaration.
    pub slot: String,
    /// The kind's word in the file.
    pub kind: String,
    /// The kind's own keys, as declared.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// What is written there.
    pub form: Form,
    /// Where it is declared.
    pub origin: Origin,
}

/// Whether predecessors are retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retire {
    /// Once the overlap is over.
    #[default]
    AfterOverlap,
    /// Not by certroll.
    Never,
}

/// How a generation is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prove {
    /// By signing in, before anybody is given the key.
    #[default]
    SignIn,
    /// By signing in, after the key is live. Needed where a write is live at once.
    AfterPromotion,
    /// Only by reading the credential back; the outcome is "published, not proven".
    ReadBack,
}

/// A live credential to take over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Adopt {
    /// Which one.
    pub thumbprint: Thumbprint,
    /// Its private key lives somewhere certroll does not see.
    pub key_elsewhere: bool,
}

/// Nothing is rotated while this is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Last day, in UTC.
    pub until: Date,
    /// Shown in the plan.
    pub reason: String,
}

/// A drift finding not to report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignore {
    /// The finding's rule.
    pub rule: String,
    /// Why.
    pub reason: String,
    /// Who decided.
    pub owner: Option<String>,
    /// Last day, in UTC.
    pub until: Option<Date>,
}

/// A rename or a move between targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The former address.
    pub from: Address,
    /// The declared address.
    pub to: Address,
    /// Where it is declared.
    pub origin: Origin,
}

/// What is no longer declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The former address.
    pub address: Address,
    /// The object that carries its credentials.
    pub target: TargetSelector,
    /// Whether its credentials are taken off the target.
    pub retire: bool,
    /// Where it is declared.
    pub origin: Origin,
}

/// What a person confirmed: the consumer signs in with this generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acknowledgement {
    /// Which certificate.
    pub address: Address,
    /// Which generation of it.
    pub thumbprint: Thumbprint,
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
