//! One declared certificate: what is made, when, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::SignedDuration;
use jiff::civil::{Date, Time, Weekday};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::certificate::{KeyKind, SignatureHash};
use crate::desired::{Form, Issuer, Origin, StoreBinding};
use crate::drift_rules::Rule;
use crate::ids::{Address, KeyId, Name, Owner, RotationId, TargetId, TargetKind, Thumbprint};
use crate::period::{Lead, Period};

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

    /// How a new certificate gets into the product that signs in with it, where the catalogue says so.
    pub fn handoff(&self) -> Option<String> {
        self.consumer.as_ref()?.handoff.clone()
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
    /// How a new certificate gets into the product, in its own menu words.
    pub handoff: Option<String>,
}

/// When a certificate is due for rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timing {
    /// So long after it began.
    RotationPeriod(Period),
    /// So long before it ends.
    RenewBefore(Lead),
}

impl Timing {
    /// Whether a certificate that begins `backdate` before it is made is due at once, with all that the spread may take: half at most.
    pub fn is_due_when_made(&self, spread: &Period, backdate: SignedDuration) -> bool {
        match self {
            Timing::RotationPeriod(period) => {
                let whole = period.nominal_seconds();
                whole - spread.nominal_seconds().min(whole / 2) <= backdate.as_secs()
            }
            // Counted from the end, which backdating does not move.
            Timing::RenewBefore(_) => false,
        }
    }
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

impl Delivery {
    /// The operator's connection it names.
    pub fn connection(&self) -> Option<Name> {
        self.settings.get("connection")?.as_str()?.parse().ok()
    }
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
    pub rule: Rule,
    /// Why.
    pub reason: String,
    /// Who decided.
    pub owner: Option<String>,
    /// Last day, in UTC.
    pub until: Option<Date>,
}
