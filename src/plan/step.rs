//! One step: its words, its meaning, its identity. Its effect is in `apply`, the only other place that takes steps apart.
//!
//! Words, meaning and effect match every variant by name and take it apart field by field, so that a new variant or
//! field does not compile until each has been thought about.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::certificate::{KeyKind, SignatureHash};
use crate::ids::{KeyId, RotationId, Sha1, Thumbprints};
use crate::period::Period;

/// Which generation a step is about. One that is still to be made is known by its rotation alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerationRef {
    /// The rotation that makes or made it; none for an adopted or a provider's generation.
    pub rotation_id: Option<RotationId>,
    /// Its thumbprints; none while it is not made.
    pub thumbprints: Option<Thumbprints>,
}

impl GenerationRef {
    /// Whether both are the same generation: of the same rotation or, where one has none, with the same thumbprint.
    pub fn is(&self, other: &GenerationRef) -> bool {
        match (self.rotation_id, other.rotation_id) {
            (Some(one), Some(two)) => one == two,
            _ => self.thumbprints.is_some() && self.thumbprints == other.thumbprints,
        }
    }
}

impl fmt::Display for GenerationRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.thumbprints {
            Some(thumbprints) => write!(f, "{}…", thumbprints.sha1.short()),
            None => f.write_str("the new one"),
        }
    }
}

/// Which credential a step removes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialRef {
    /// Its id.
    pub key_id: KeyId,
    /// Its thumbprint.
    pub sha1: Sha1,
    /// When it ends by itself.
    pub end: Option<Timestamp>,
}

/// How a generation is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// By signing in with its key.
    SignIn {
        /// So many times in a row.
        times: u32,
        /// For so long at most, in seconds.
        seconds: i64,
    },
    /// By reading the credential back. Never called *rotated*.
    ReadBack,
}

/// What a *record* step writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordWrite {
    /// The promotion time, which was unknown: the overlap begins now.
    Promoted,
    /// A first record for an adopted generation.
    Adopted,
}

/// One thing `apply` does. Holds ids, thumbprints and dates; never a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Make a key that stays in the store, and its signing request.
    Request {
        /// The generation to be.
        generation: GenerationRef,
        /// The key pair.
        key: KeyKind,
        /// Subject of the request.
        subject: String,
        /// `store/entry`.
        place: String,
    },
    /// Make a certificate and keep it in the store, unseen by consumers: with a key made here, or for the requested one.
    Issue {
        /// The generation to be.
        generation: GenerationRef,
        /// The key pair.
        key: KeyKind,
        /// Digest of the signature.
        signature_hash: SignatureHash,
        /// Subject.
        subject: String,
        /// Calendar length of validity.
        validity: Period,
        /// The issuer, and what it is asked for.
        issuer: String,
        /// `store/entry`.
        place: String,
        /// As what it is kept there, where that is not a combined PEM.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        kept_as: String,
        /// Whether the key already waits in the store for this certificate.
        requested: bool,
    },
    /// Put the credential on the target.
    Publish {
        /// Which generation.
        generation: GenerationRef,
        /// The credential's display name, marker included.
        display_name: String,
        /// Longest life in seconds a policy allows.
        lifetime_max_seconds: Option<i64>,
        /// Expired credentials of others that the file allows to drop in the same write.
        dropping: Vec<KeyId>,
        /// Whether the generation is already what consumers read.
        repair: bool,
    },
    /// Wait until the credential has been visible for long enough to promote without proof.
    Settle {
        /// Which generation.
        generation: GenerationRef,
        /// For how long, in seconds.
        seconds: i64,
    },
    /// Show that the generation works.
    Prove {
        /// Which generation.
        generation: GenerationRef,
        /// How.
        evidence: Evidence,
    },
    /// Make it what consumers read.
    Promote {
        /// Which generation.
        generation: GenerationRef,
        /// `store/entry`.
        place: String,
        /// What consumers read there, where it is not the default.
        kept_as: String,
        /// Whether this comes before the proof.
        before_proof: bool,
    },
    /// Copy it to a delivery place.
    Deliver {
        /// Which generation.
        generation: GenerationRef,
        /// The place.
        slot: String,
        /// In which form it gets it, where it is not the default.
        kept_as: String,
    },
    /// Write what the store should remember and does not.
    Record {
        /// Which generation.
        generation: GenerationRef,
        /// What.
        write: RecordWrite,
    },
    /// Mark a generation as rolled back from.
    Reject {
        /// Which generation.
        generation: GenerationRef,
    },
    /// Take a credential off the target.
    Retire {
        /// Which credential.
        credential: CredentialRef,
    },
    /// Destroy or disable a key that is no longer needed.
    Destroy {
        /// Which generation.
        generation: GenerationRef,
        /// `store/entry`.
        place: String,
    },
    /// Destroy a key on its way that was never published.
    Discard {
        /// Which generation.
        generation: GenerationRef,
        /// `store/entry`.
        place: String,
    },
}

impl Step {
    /// The verb, as plan, progress, events and receipts show it.
    pub fn verb(&self) -> &'static str {
        match self {
            Step::Request { .. } => "request",
            Step::Issue { .. } => "issue",
            Step::Publish { repair: true, .. } => "repair",
            Step::Publish { repair: false, .. } => "publish",
            Step::Settle { .. } => "settle",
            Step::Prove { .. } => "prove",
            Step::Promote { .. } => "promote",
            Step::Deliver { .. } => "deliver",
            Step::Record { .. } => "record",
            Step::Reject { .. } => "reject",
            Step::Retire { .. } => "retire",
            Step::Destroy { .. } => "destroy",
            Step::Discard { .. } => "discard",
        }
    }

    /// The mark before the verb: `+` makes, `~` changes, `-` takes away, `?` asks.
    pub fn mark(&self) -> char {
        match self {
            Step::Request { .. } | Step::Issue { .. } | Step::Publish { .. } => '+',
            Step::Settle { .. } | Step::Prove { .. } => '?',
            Step::Promote { .. } | Step::Deliver { .. } | Step::Record { .. } | Step::Reject { .. } => '~',
            Step::Retire { .. } | Step::Destroy { .. } | Step::Discard { .. } => '-',
        }
    }

    /// The generation it is about; a *retire* step is about a credential instead.
    pub fn generation(&self) -> Option<&GenerationRef> {
        match self {
            Step::Request { generation, key: _, subject: _, place: _ }
            | Step::Issue {
                generation,
                key: _,
                signature_hash: _,
                subject: _,
                validity: _,
                issuer: _,
                place: _,
                kept_as: _,
                requested: _,
            }
            | Step::Publish {
                generation,
                display_name: _,
                lifetime_max_seconds: _,
                dropping: _,
                repair: _,
            }
            | Step::Settle { generation, seconds: _ }
            | Step::Prove { generation, evidence: _ }
            | Step::Promote { generation, place: _, kept_as: _, before_proof: _ }
            | Step::Deliver { generation, slot: _, kept_as: _ }
            | Step::Record { generation, write: _ }
            | Step::Reject { generation }
            | Step::Destroy { generation, place: _ }
            | Step::Discard { generation, place: _ } => Some(generation),
            Step::Retire { credential: _ } => None,
        }
    }

    /// Whether both are the same step of the same rotation, so that a review of one is a review of the other.
    /// What may differ is what a resumed run sees differently: thumbprints that were not known yet, and words.
    pub fn is_reviewed_by(&self, reviewed: &Step) -> bool {
        match (self, reviewed) {
            (Step::Retire { credential: one }, Step::Retire { credential: two }) => one.key_id == two.key_id,
            (
                Step::Deliver { generation: one, slot: here, kept_as: form },
                Step::Deliver { generation: two, slot: there, kept_as: reviewed_form },
            ) => one.is(two) && here == there && form == reviewed_form,
            (
                Step::Publish { generation: one, dropping, repair, display_name, lifetime_max_seconds },
                Step::Publish {
                    generation: two,
                    dropping: reviewed_dropping,
                    repair: reviewed_repair,
                    display_name: reviewed_name,
                    lifetime_max_seconds: reviewed_lifetime,
                },
            ) => {
                one.is(two)
                    && repair == reviewed_repair
                    && display_name == reviewed_name
                    && lifetime_max_seconds == reviewed_lifetime
                    && dropping.iter().all(|id| reviewed_dropping.contains(id))
            }
            (
                Step::Prove { generation: one, evidence: here },
                Step::Prove { generation: two, evidence: there },
            ) => one.is(two) && std::mem::discriminant(here) == std::mem::discriminant(there),
            (
                Step::Promote { generation: one, place: here, kept_as: form, before_proof: early },
                Step::Promote {
                    generation: two,
                    place: there,
                    kept_as: reviewed_form,
                    before_proof: reviewed_early,
                },
            ) => one.is(two) && here == there && form == reviewed_form && early == reviewed_early,
            (
                Step::Record { generation: one, write: here },
                Step::Record { generation: two, write: there },
            ) => one.is(two) && here == there,
            (one, two) if std::mem::discriminant(one) == std::mem::discriminant(two) => {
                matches!((one.generation(), two.generation()), (Some(one), Some(two)) if one.is(two))
            }
            _ => false,
        }
    }
}

/// A length of time in the largest unit that takes no fraction of it.
struct Length(i64);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds if seconds % 3600 == 0 => write!(f, "{} h", seconds / 3600),
            seconds if seconds % 60 == 0 => write!(f, "{} min", seconds / 60),
            seconds => write!(f, "{seconds} s"),
        }
    }
}

/// A step as a plan made at that moment shows it: with the days between which a certificate made then is valid.
pub struct StepAt<'a> {
    step: &'a Step,
    now: Timestamp,
}

impl Step {
    /// Its words in a plan made at that moment.
    pub fn at(&self, now: Timestamp) -> StepAt<'_> {
        StepAt { step: self, now }
    }
}

impl fmt::Display for StepAt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Step::Issue {
                generation: _,
                key,
                signature_hash,
                subject,
                validity,
                issuer,
                place,
                kept_as,
                requested,
            } => {
                let day = |moment: Timestamp| moment.strftime("%Y-%m-%d");
                let (begin, end) = (day(self.now), day(validity.after(self.now)));
                write!(f, "RSA {}{}, {subject}, {begin} → {end}", key.bits(), signed_with(*signature_hash))?;
                made_by(f, issuer, place, kept_as, *requested)
            }
            step => step.fmt(f),
        }
    }
}

/// The digest, where it is not the usual one.
fn signed_with(hash: SignatureHash) -> &'static str {
    match hash {
        SignatureHash::Sha256 => "",
        SignatureHash::Sha384 => ", SHA-384",
        SignatureHash::Sha512 => ", SHA-512",
    }
}

fn made_by(
    f: &mut fmt::Formatter<'_>,
    issuer: &str,
    place: &str,
    kept_as: &str,
    requested: bool,
) -> fmt::Result {
    if issuer != "self_signed" {
        write!(f, ", by {issuer}")?;
    }
    let how = if requested { "for the key waiting in" } else { "staged in" };
    write!(f, ", {how} {place}")?;
    if kept_as.is_empty() { Ok(()) } else { write!(f, " as {kept_as}") }
}

impl fmt::Display for Step {
    /// What it does, without the verb.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Request { generation: _, key, subject, place } => {
                write!(f, "RSA {}, {subject}, key made and kept in {place}", key.bits())
            }
            Step::Issue {
                generation: _,
                key,
                signature_hash,
                subject,
                validity,
                issuer,
                place,
                kept_as,
                requested,
            } => {
                write!(f, "RSA {}{}, {subject}, valid {validity}", key.bits(), signed_with(*signature_hash))?;
                made_by(f, issuer, place, kept_as, *requested)
            }
            Step::Publish { generation, display_name, lifetime_max_seconds, dropping, repair } => {
                if generation.thumbprints.is_some() {
                    write!(f, "{generation} ")?;
                }
                if *repair {
                    f.write_str("published again ")?;
                }
                write!(f, "{display_name:?}")?;
                if let Some(seconds) = lifetime_max_seconds {
                    write!(f, ", cut to {} days by policy", seconds / 86_400)?;
                }
                dropping.iter().try_for_each(|id| write!(f, ", dropping expired {id}"))
            }
            Step::Settle { generation, seconds } => {
                write!(f, "{generation}, until it has been visible for {}", Length(*seconds))
            }
            Step::Prove { generation, evidence: Evidence::SignIn { times, seconds } } => {
                if generation.thumbprints.is_some() {
                    write!(f, "{generation}, ")?;
                }
                let sign_ins = if *times == 1 { "sign-in" } else { "sign-ins" };
                write!(f, "{times} {sign_ins} in a row, up to {}", Length(*seconds))
            }
            Step::Prove { generation, evidence: Evidence::ReadBack } => {
                write!(f, "{generation}, by reading it back only")
            }
            Step::Promote { generation, place, kept_as, before_proof } => {
                // A new one was issued as that a few lines above.
                match (&generation.thumbprints, kept_as.as_str()) {
                    (None, _) => f.write_str(place)?,
                    (Some(_), "") => write!(f, "{generation} in {place}")?,
                    (Some(_), kept_as) => write!(f, "{generation} in {place} as {kept_as}")?,
                }
                if *before_proof { f.write_str(", promoted before proof") } else { Ok(()) }
            }
            Step::Deliver { generation, slot, kept_as } if kept_as.is_empty() => {
                write!(f, "{generation} to {slot}")
            }
            Step::Deliver { generation, slot, kept_as } => write!(f, "{generation} to {slot} as {kept_as}"),
            Step::Record { generation, write: RecordWrite::Promoted } => {
                write!(f, "{generation}, promoted now: its promotion time was not known")
            }
            Step::Record { generation, write: RecordWrite::Adopted } => {
                write!(f, "{generation} as adopted")
            }
            Step::Reject { generation } => write!(f, "{generation}, never to be promoted again"),
            Step::Retire { credential: CredentialRef { key_id: _, sha1, end } } => {
                write!(f, "{}…", sha1.short())?;
                match end {
                    Some(end) => write!(f, " (end {})", end.strftime("%Y-%m-%d")),
                    None => Ok(()),
                }
            }
            Step::Destroy { generation, place } => write!(f, "the key of {generation} in {place}"),
            Step::Discard { generation, place } => write!(f, "{generation} in {place}, never published"),
        }
    }
}
