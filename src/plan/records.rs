//! What a step writes down: the dates of a credential, the first record of a generation. Prediction and the applier both ask
//! here, so that neither can stray from the other.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::certificate::KeyKind;
use crate::desired::Declared;
use crate::ids::{Owner, RotationId, TargetId, Thumbprints};
use crate::observed::Credential;
use crate::observed::record::{PublicRecord, RECORD_FORMAT, RecordedPhase};
use crate::settings::Settings;

/// Start and end of a credential for a certificate with these dates, published at `now`: inside the certificate's own
/// life, not far in the past, and below a policy's longest life.
pub fn credential_dates(
    not_before: Timestamp,
    not_after: Timestamp,
    lifetime_max_seconds: Option<i64>,
    now: Timestamp,
    settings: &Settings,
) -> (Timestamp, Timestamp) {
    let second = SignedDuration::from_secs(1);
    let earliest = not_before.checked_add(second).unwrap_or(not_before);
    let start = earliest.max(now.checked_sub(settings.start_margin).unwrap_or(now));
    let latest = not_after.checked_sub(second).unwrap_or(not_after);
    let by_policy = lifetime_max_seconds.and_then(|seconds| {
        let longest = SignedDuration::from_secs(seconds) - settings.policy_margin;
        start.checked_add(longest).ok()
    });
    let end = by_policy.map_or(latest, |by_policy| latest.min(by_policy));
    // Whole seconds: the service keeps more digits than some clients send back, and a lost digit counts as a change.
    let whole = |moment: Timestamp| Timestamp::from_second(moment.as_second()).unwrap_or(moment);
    (whole(start), whole(end))
}

/// Whose certificate a record is about, and when it is written.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// The declaration.
    pub declared: &'a Declared,
    /// Whose.
    pub owner: &'a Owner,
    /// Directory id.
    pub tenant_id: Uuid,
    /// The object that carries it.
    pub target: TargetId,
    /// The moment of writing.
    pub now: Timestamp,
}

impl Recorded<'_> {
    /// The record of a generation to be: requested, without a certificate.
    pub fn requested(&self, rotation_id: Option<RotationId>, key: KeyKind, subject: &str) -> PublicRecord {
        let store = self.declared.store.as_ref();
        PublicRecord {
            rotation_id,
            key: Some(key),
            subject: subject.to_owned(),
            issuer: self.declared.issuer.fingerprint(),
            form: store.map(|store| store.form.fingerprint()).unwrap_or_default(),
            ..self.unknown()
        }
    }

    /// The first record of a generation made elsewhere, found on the target as `credential`. What nobody looked at stays empty:
    /// unknown is never a reason to rotate. Its overlap counts from now.
    pub fn adopted(&self, thumbprints: Thumbprints, credential: Option<&Credential>) -> PublicRecord {
        let start = credential.and_then(|credential| credential.start);
        PublicRecord {
            thumbprints: Some(thumbprints),
            key_id: credential.and_then(|credential| credential.key_id),
            not_before: start,
            not_after: credential.and_then(|credential| credential.end),
            phase: RecordedPhase::Promoted,
            requested_at: start.unwrap_or(self.now),
            promoted_at: Some(self.now),
            ..self.unknown()
        }
    }

    /// A record that says whose it is and nothing else.
    fn unknown(&self) -> PublicRecord {
        PublicRecord {
            format: RECORD_FORMAT,
            owner: self.owner.clone(),
            tenant_id: self.tenant_id,
            name: self.declared.address.name.clone(),
            rotation_id: None,
            thumbprints: None,
            key_id: None,
            target: self.target,
            key: None,
            subject: String::new(),
            issuer: String::new(),
            form: String::new(),
            not_before: None,
            not_after: None,
            phase: RecordedPhase::Requested,
            requested_at: self.now,
            promoted_at: None,
            proven_at: None,
            delivered: BTreeMap::new(),
            rejected: false,
        }
    }
}
