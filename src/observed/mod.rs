//! What Entra and the stores hold, as plain values. No I/O, no clock: `entra` and `store` fill these in.

mod answer;
pub mod record;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::ids::{
    Address, KeyId, Marker, Name, RotationId, Sha1, Sha256, TargetId, TargetKind, Thumbprint, Thumbprints,
};
use crate::trouble::Trouble;
pub use answer::Answer;
use record::PublicRecord;

/// Everything that was read for one plan.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// By tenant.
    pub tenants: BTreeMap<Name, ObservedTenant>,
    /// By certificate: what its store holds. Certificates without a key here have none.
    pub stores: BTreeMap<Address, ObservedStore>,
    /// By certificate and slot: what each delivery place holds.
    pub deliveries: BTreeMap<Address, BTreeMap<String, DeliveryState>>,
    /// By certificate and rotation: what became of signing requests. Only where a person has them signed.
    pub answers: BTreeMap<Address, BTreeMap<RotationId, Answer>>,
}

/// What was read of one tenant.
#[derive(Debug, Clone)]
pub struct ObservedTenant {
    /// The directory's id.
    pub tenant_id: Uuid,
    /// Service time minus ours, from the `Date` header; `None` when no answer carried one.
    pub clock_skew: Option<SignedDuration>,
    /// The object of each declared certificate.
    pub targets: BTreeMap<Address, TargetState>,
    /// The object of each `removed:` entry, in declared order.
    pub removed: Vec<TargetState>,
    /// Whether the tenant's policies could be read; the reason when not.
    pub policies_unread: Option<String>,
}

impl ObservedTenant {
    /// The same without any object: for what is predicted of a few of them.
    pub fn without_targets(&self) -> ObservedTenant {
        ObservedTenant {
            tenant_id: self.tenant_id,
            clock_skew: self.clock_skew,
            targets: BTreeMap::new(),
            removed: Vec::new(),
            policies_unread: self.policies_unread.clone(),
        }
    }
}

/// What looking for a target found.
#[derive(Debug, Clone)]
pub enum TargetState {
    /// Exactly one object.
    Found(Box<Target>),
    /// None. `similar` are objects whose names are close, to pick from.
    Missing {
        /// Candidates to show.
        similar: Vec<Candidate>,
    },
    /// Several match a display name.
    Ambiguous {
        /// All that match.
        candidates: Vec<Candidate>,
    },
    /// Deleted, restorable for 30 days.
    SoftDeleted {
        /// Its object id.
        object_id: Uuid,
        /// When it was deleted.
        deleted_at: Option<Timestamp>,
    },
    /// Could not be read: network, rights, an answer that makes no sense.
    Unreadable {
        /// Why, with the service's code and request id.
        trouble: Trouble,
    },
}

/// An object offered to a person who has to pick.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// Its display name.
    pub display_name: String,
    /// Its client id.
    pub app_id: Uuid,
    /// Its object id.
    pub object_id: Uuid,
}

/// One application or service principal.
#[derive(Debug, Clone)]
pub struct Target {
    /// Kind and object id.
    pub id: TargetId,
    /// Client id.
    pub app_id: Uuid,
    /// Display name.
    pub display_name: String,
    /// Why nothing on it may be written, if that is so.
    pub untouchable: Option<Untouchable>,
    /// Whether a sign-in with this client id can succeed at all; the reason when not.
    pub sign_in_impossible: Option<String>,
    /// Longest life of a new credential a policy allows here.
    pub lifetime_policy: Option<LifetimePolicy>,
    /// What a person should know: disabled, open to personal accounts, a policy that may or may not apply.
    pub warnings: Vec<String>,
    /// Its `keyCredentials`, in the order received.
    pub credentials: Vec<Credential>,
}

/// Why an object is not ours to edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Untouchable {
    /// A managed identity's service principal.
    ManagedIdentity,
    /// The service principal of an application of another tenant, that id where known.
    OtherTenantsApplication(Option<Uuid>),
    /// `servicePrincipalLockConfiguration` of its application forbids it.
    Locked,
    /// Its single sign-on is SAML.
    SamlSignOn,
    /// Not an ordinary application: the `@odata.type` it has.
    OtherType(String),
}

/// A credential lifetime restriction in force for a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LifetimePolicy {
    /// The policy's id.
    pub policy_id: String,
    /// Longest life in seconds.
    pub max_seconds: i64,
}

/// One entry of `keyCredentials`.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Its id; `None` when the service sent none or one that is no GUID.
    pub key_id: Option<KeyId>,
    /// Its `customKeyIdentifier`, understood.
    pub identifier: Identifier,
    /// Its display name.
    pub display_name: Option<String>,
    /// Start of the time it may sign in.
    pub start: Option<Timestamp>,
    /// End of the time it may sign in.
    pub end: Option<Timestamp>,
    /// Why it may never be removed or treated as a client certificate, if that is so.
    pub reserved: Option<Reserved>,
    /// The entry exactly as received, to be sent back in every write.
    pub raw: Box<RawValue>,
}

impl Credential {
    /// The marker in its display name.
    pub fn marker(&self) -> Option<Marker> {
        self.display_name.as_deref().and_then(Marker::parse)
    }

    /// Its SHA-1 thumbprint, where the identifier is one.
    pub fn sha1(&self) -> Option<Sha1> {
        match self.identifier {
            Identifier::Sha1(sha1) => Some(sha1),
            Identifier::Sha256(_) | Identifier::Opaque(_) | Identifier::None => None,
        }
    }

    /// Whether it is the credential of that certificate.
    pub fn is_of(&self, thumbprints: &Thumbprints) -> bool {
        match &self.identifier {
            Identifier::Sha1(sha1) => *sha1 == thumbprints.sha1,
            Identifier::Sha256(sha256) => *sha256 == thumbprints.sha256,
            Identifier::Opaque(_) | Identifier::None => false,
        }
    }

    /// Whether a person's thumbprint names it.
    pub fn is_named(&self, thumbprint: &Thumbprint) -> bool {
        match (&self.identifier, thumbprint) {
            (Identifier::Sha1(own), Thumbprint::Sha1(named)) => own == named,
            (Identifier::Sha256(own), Thumbprint::Sha256(named)) => own == named,
            _ => false,
        }
    }

    /// Whether it can sign in at that moment, as far as its dates tell. A date that is not given does not forbid.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= now) && !self.is_expired_at(now)
    }

    /// Whether its end has passed. Without an end it never has.
    pub fn is_expired_at(&self, now: Timestamp) -> bool {
        self.end.is_some_and(|end| end <= now)
    }

    /// The same for whoever takes it off for that: also by a clock that goes `tolerance` behind ours. The directory's clock decides until
    /// when it signs in.
    pub fn is_expired_for_all_at(&self, now: Timestamp, tolerance: SignedDuration) -> bool {
        self.end.is_some_and(|end| now.duration_since(end) >= tolerance)
    }
}

/// `customKeyIdentifier`, in the shapes it occurs in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identifier {
    /// The SHA-1 thumbprint.
    Sha1(Sha1),
    /// 32 bytes, taken as the SHA-256 thumbprint.
    Sha256(Sha256),
    /// Something else the caller chose.
    Opaque(String),
    /// None was sent.
    None,
}

/// Why a credential is never ours to remove, whatever its name says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reserved {
    /// Half of a SAML signing pair.
    SamlSigning,
    /// Named by `tokenEncryptionKeyId`.
    TokenEncryption,
    /// Not `AsymmetricX509Cert` with usage `Verify`.
    OtherUse,
}

/// What a store holds for one certificate, and what shape it has.
#[derive(Debug, Clone)]
pub struct ObservedStore {
    /// What it can do.
    pub shape: Shape,
    /// What it holds.
    pub state: StoreState,
    /// What a person should know: a lifetime shorter than the certificate's, a second rotator, a readable parent folder.
    pub warnings: Vec<String>,
    /// What consumers read and is not as certroll wrote it, as far as can be told without touching a key. A store that knows its
    /// contents by version says so in `state` instead.
    pub damage: Vec<Damage>,
}

/// Something consumers read that is not as certroll wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What, and where.
    pub text: String,
    /// Whether it is certain that they cannot use it. Else somebody wrote there and what it holds was not looked at.
    pub certain: bool,
}

/// Three answers, and the difference between the last two matters: *absent* is proven.
#[derive(Debug, Clone)]
pub enum StoreState {
    /// The entry exists.
    Known(Holding),
    /// The store answered that there is no such entry.
    Absent,
    /// The store could not be asked or its answer makes no sense.
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// What an entry of a store holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holding {
    /// What consumers read now.
    pub current: Option<Current>,
    /// Every generation with a public record, the current one included, oldest request first.
    pub generations: Vec<Generation>,
}

/// What consumers read now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Current {
    /// A generation with a public record.
    Recorded(Sha256),
    /// Something without one.
    Unrecorded {
        /// Its thumbprints, if they can be had without touching a key.
        thumbprints: Option<Thumbprints>,
    },
}

/// A generation in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The store's own handle: a folder, a version, a slot.
    pub handle: String,
    /// What is remembered of it.
    pub record: PublicRecord,
    /// What became of its key.
    pub key: KeyState,
}

/// What became of a generation's key in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyState {
    /// Held.
    Held,
    /// Still there, but consumers cannot read it.
    Disabled,
    /// Gone.
    Destroyed,
}

impl Holding {
    /// The generation of the record's rotation whose key is there. Of several the first counts, whoever looks.
    pub fn of_rotation(&self, record: &PublicRecord) -> Option<Generation> {
        let same = |generation: &&Generation| {
            generation.record.rotation_id.is_some()
                && generation.record.rotation_id == record.rotation_id
                && generation.key == KeyState::Held
        };
        self.generations.iter().find(same).cloned()
    }

    /// The generation consumers read now, if it has a record.
    pub fn current_generation(&self) -> Option<&Generation> {
        match &self.current {
            Some(Current::Recorded(sha256)) => self.generation(sha256),
            Some(Current::Unrecorded { .. }) | None => None,
        }
    }

    /// The generation with that thumbprint.
    pub fn generation(&self, sha256: &Sha256) -> Option<&Generation> {
        self.generations.iter().find(|g| g.record.thumbprints.is_some_and(|t| t.sha256 == *sha256))
    }
}

/// What a store can do. Planner and applier know only this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shape {
    /// How a version becomes current.
    pub staging: Staging,
    /// Whether a value can be read back.
    pub readable: bool,
    /// Whether the key can leave the store.
    pub exportable: bool,
    /// Whether a rival's write is refused rather than noticed afterwards.
    pub compare_and_set: bool,
    /// Whether a staged generation and its record appear in one atomic write. Its promotion is recorded after it in every store, so
    /// that a death between them leaves a current one whose promotion time is unknown.
    pub atomic_records: bool,
    /// What becomes of a key that is no longer wanted.
    pub removal: Removal,
}

/// How a version becomes current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Staging {
    /// By moving a label.
    Pointer,
    /// By writing it again under the name consumers read.
    TwoSlot,
    /// By being written: a write is current at once. What can wait is a pending key.
    AppendIsLive,
}

/// What becomes of a key that is no longer wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Removal {
    /// It is destroyed.
    Destroys,
    /// It can only be disabled.
    Disables,
}

/// What a delivery place holds, compared with what was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryState {
    /// It holds this generation.
    Holds(Thumbprints),
    /// It cannot be read; this is its change marker.
    Marker(String),
    /// It holds nothing.
    Absent,
    /// It could not be asked.
    Unreadable {
        /// Why.
        reason: String,
    },
    /// No plan can ever ask it: what was confirmed when it was delivered is all there is to know.
    NeverTells {
        /// Why.
        reason: String,
    },
}

impl Target {
    /// The credentials that are certificates for signing in: everything but the reserved ones.
    pub fn client_credentials(&self) -> impl Iterator<Item = &Credential> {
        self.credentials.iter().filter(|credential| credential.reserved.is_none())
    }

    /// The word for its kind.
    pub fn kind(&self) -> TargetKind {
        self.id.kind
    }
}
