//! The public record: what a store remembers beside each generation. There is no secret in it, and reading it never
//! touches a key. Together with Entra's credentials it is all the state there is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::certificate::KeyKind;
use crate::ids::{KeyId, Name, Owner, RotationId, TargetId, Thumbprints};

/// Version of the record's layout. A store refuses to interpret a newer one.
pub const RECORD_FORMAT: u32 = 1;

/// What the store remembers of one generation.
///
/// Unknown keys are refused: a newer certroll may mean something by them that must not be lost when an older one
/// writes the record back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicRecord {
    /// [`RECORD_FORMAT`].
    pub format: u32,
    /// Whose declaration made it.
    pub owner: Owner,
    /// The certificate's tenant, by id, so that a renamed tenant entry changes nothing.
    pub tenant_id: Uuid,
    /// The certificate's name when it was made.
    pub name: Name,
    /// The rotation that made it; `None` for an adopted generation.
    pub rotation_id: Option<RotationId>,
    /// Both thumbprints; `None` while the certificate is only requested.
    pub thumbprints: Option<Thumbprints>,
    /// The derived key id of its credential; `None` while requested and for an adopted credential.
    pub key_id: Option<KeyId>,
    /// The object it is made for.
    pub target: TargetId,
    /// The key pair; `None` for an adopted generation whose key was not looked at.
    pub key: Option<KeyKind>,
    /// Subject, RFC 4514.
    pub subject: String,
    /// The issuer's fingerprint; empty for an adopted generation.
    pub issuer: String,
    /// The form's fingerprint; empty for an adopted generation.
    pub form: String,
    /// Start of the certificate's validity.
    pub not_before: Option<Timestamp>,
    /// End of the certificate's validity.
    pub not_after: Option<Timestamp>,
    /// How far it has come, as far as the store knows.
    pub phase: RecordedPhase,
    /// When the key was made.
    pub requested_at: Timestamp,
    /// When it last became what consumers read; when certroll first knew of it, if it was adopted. Unknown means that the overlap has not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_at: Option<Timestamp>,
    /// When it signed in several times in a row, for the first time since it was published. Unknown means that it may never have: one that was
    /// promoted before its proof is proven by the next run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_at: Option<Timestamp>,
    /// Confirmed deliveries by slot, since it was last made current.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub delivered: BTreeMap<String, Delivered>,
    /// Rolled back from: never promoted again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejected: bool,
}

impl PublicRecord {
    /// As it is written when it becomes what consumers read. What was delivered before counts no more: another one was delivered in between.
    pub fn promoted(self, at: Timestamp) -> PublicRecord {
        PublicRecord {
            phase: RecordedPhase::Promoted,
            promoted_at: Some(at),
            delivered: BTreeMap::new(),
            ..self
        }
    }

    /// The confirmed delivery to a place since it became what consumers read.
    pub fn delivered_to(&self, slot: &str) -> Option<&Delivered> {
        self.promoted_at.and_then(|_| self.delivered.get(slot))
    }

    /// Whether consumers had it before certroll knew of it, and ever since: it was adopted, and not put back later.
    pub fn was_in_use_before(&self) -> bool {
        self.rotation_id.is_none() && self.promoted_at.is_none_or(|at| at <= self.requested_at)
    }
}

/// A confirmed delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delivered {
    /// When.
    pub at: Timestamp,
    /// The place's own change marker (an update time, a version), to notice a later change by others.
    pub marker: String,
    /// Fingerprint of the form that was delivered.
    pub form: String,
}

/// How far a generation has come, as far as a store can know. *Published* and *proven* are Entra's to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordedPhase {
    /// The key is safe in the store; the certificate is awaited.
    Requested,
    /// Key and certificate are in the store, unseen by consumers.
    Staged,
    /// It was made current. It still is if the store's pointer says so; else it is *retiring*.
    Promoted,
    /// Its key was destroyed or disabled.
    Retired,
}
