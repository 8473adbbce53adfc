//! What the library asks of the outside world, as traits: stores, delivery places, the directory, sign-ins, secrets.
//!
//! Reading, proving and writing are three types. `plan` and `drift` are given [`Readers`], which cannot change or unlock
//! anything; `verify` is given [`Provers`], which can also use a key to sign in; a [`Writers`] is made in `apply` alone.
//! The command line implements them with what is built (`backends`), tests with stores and directories of their own.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::certificate::Certificate;
use crate::delivery::{DeliveryError, DeliveryReader, DeliveryWriter};
use crate::desired::{Declared, Delivery, Password, StoreBinding, TargetSelector};
use crate::ids::{Address, KeyId, Name, TargetId, Thumbprints};
use crate::issuer::{IssueError, Issuer};
use crate::key::{KeyError, Secret, SignatureAlgorithm, Signer};
use crate::observed::{Answer, Credential, Generation, ObservedTenant};
use crate::store::{StoreError, StoreErrorKind, StoreReader, StoreWriter};

/// What kind of trouble. The kinds are never mixed: each calls for another action by another person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// No usable answer came.
    Network,
    /// The service does not know who we are.
    Authentication,
    /// It knows us, and we may not.
    Authorisation,
    /// Too many requests.
    Throttled,
    /// True soon, not now: something new has not spread yet.
    NotYet,
    /// What the plan counted on is not there.
    Missing,
    /// Somebody else is writing, or wrote.
    Conflict,
    /// The directory refuses an end date; possibly that of an expired entry that was only sent back.
    EndDate,
    /// The directory takes an entry that was sent back for a change: our reading is older than its contents.
    StaleEntry,
    /// The service or a safety rule of ours refuses what was asked.
    Refused,
    /// The service itself is in trouble.
    Unavailable,
    /// What came back makes no sense.
    Invalid,
    /// What is there cannot do this.
    Unsupported,
    /// The plan asks for something that does not fit the declaration. A fault of certroll.
    Internal,
}

/// What failed, doing what, and what to try. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trouble {
    /// What kind.
    pub kind: TroubleKind,
    /// A gerund and a name: `adding a credential to application 5c1d…`.
    pub doing: String,
    /// The reason.
    pub reason: String,
    /// The service's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Box<str>>,
    /// The service's id of the request, for its support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Box<str>>,
    /// What to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// How long the service asked us to stay away, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
}

impl Trouble {
    /// Trouble of that kind, without code, request id and hint.
    pub fn new(kind: TroubleKind, doing: impl Into<String>, reason: impl Into<String>) -> Trouble {
        Trouble {
            kind,
            doing: doing.into(),
            reason: reason.into(),
            code: None,
            request_id: None,
            hint: None,
            retry_after_seconds: None,
        }
    }

    /// With what to try.
    pub fn with_hint(self, hint: impl Into<String>) -> Trouble {
        Trouble { hint: Some(hint.into()), ..self }
    }

    /// How long the service asked us to stay away.
    pub fn retry_after(&self) -> Option<SignedDuration> {
        self.retry_after_seconds.map(|seconds| SignedDuration::from_secs(i64::from(seconds)))
    }

    /// The trouble of the last of several tries.
    pub(crate) fn after_tries(self, tries: u32) -> Trouble {
        Trouble { reason: format!("{} (given up after {tries} tries)", self.reason), ..self }
    }

    /// What to try: the hint, or else what helps against trouble of this kind.
    pub fn to_try(&self) -> &str {
        self.hint.as_deref().unwrap_or(match self.kind {
            TroubleKind::Network => {
                "check that this machine reaches the service: name, route, proxy, certificate authority; then run again"
            }
            TroubleKind::Authentication => {
                "check certroll's own sign-in: client id, tenant, and the secret, certificate or token it signs in with"
            }
            TroubleKind::Authorisation => "have certroll's own application granted what it lacks here, then run again",
            TroubleKind::Throttled => "wait a while and run again, with a lower --parallelism if it comes back",
            TroubleKind::NotYet | TroubleKind::Unavailable => "the trouble is the service's: run again later",
            TroubleKind::Invalid => {
                "look at what answers at that address: a proxy or login page in between, or the wrong host"
            }
            TroubleKind::Conflict | TroubleKind::StaleEntry => "another writer is at work: run again shortly",
            TroubleKind::Missing | TroubleKind::EndDate | TroubleKind::Refused | TroubleKind::Unsupported => {
                "correct that and run again"
            }
            TroubleKind::Internal => "this is a fault of certroll: please report it",
        })
    }

    /// Whether the same request may well succeed a little later.
    pub fn is_passing(&self) -> bool {
        use TroubleKind::{Conflict, Network, NotYet, Throttled, Unavailable};
        matches!(self.kind, Network | Throttled | NotYet | Conflict | Unavailable)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.reason)?;
        match (&self.code, &self.request_id) {
            (Some(code), Some(request)) => write!(f, " ({code}, request {request})"),
            (Some(code), None) => write!(f, " ({code})"),
            (None, Some(request)) => write!(f, " (request {request})"),
            (None, None) => Ok(()),
        }
    }
}

impl std::error::Error for Trouble {}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        let StoreError { kind, doing, reason, hint } = error;
        let kind = match kind {
            StoreErrorKind::Unavailable => TroubleKind::Unavailable,
            StoreErrorKind::Network => TroubleKind::Network,
            StoreErrorKind::Unauthenticated => TroubleKind::Authentication,
            StoreErrorKind::Throttled => TroubleKind::Throttled,
            StoreErrorKind::Denied => TroubleKind::Authorisation,
            StoreErrorKind::Rival => TroubleKind::Conflict,
            StoreErrorKind::Missing => TroubleKind::Missing,
            StoreErrorKind::Corrupt => TroubleKind::Invalid,
            StoreErrorKind::Refused => TroubleKind::Refused,
            StoreErrorKind::Unsupported => TroubleKind::Unsupported,
        };
        Trouble { hint, ..Trouble::new(kind, doing, reason) }
    }
}

impl From<DeliveryError> for Trouble {
    fn from(error: DeliveryError) -> Trouble {
        error.0
    }
}

impl From<IssueError> for Trouble {
    fn from(error: IssueError) -> Trouble {
        error.0
    }
}

impl From<KeyError> for Trouble {
    fn from(error: KeyError) -> Trouble {
        Trouble::new(TroubleKind::Invalid, "using a key", error.0)
    }
}

/// Looking only: what `plan` and `drift` are given.
pub trait Readers: Send + Sync {
    /// The store an entry is in.
    fn store(&self, entry: &StoreBinding) -> Result<Arc<dyn StoreReader>, Trouble>;
    /// A delivery place.
    fn delivery(&self, delivery: &Delivery) -> Result<Arc<dyn DeliveryReader>, Trouble>;
    /// The directory of a declared tenant.
    fn directory(&self, tenant: &Name) -> Result<Arc<dyn DirectoryReader>, Trouble>;
    /// What became of the signing request (DER) of a certificate; `known` are the thumbprints of its other generations.
    fn answer(&self, declared: &Declared, csr: &[u8], known: &BTreeSet<Thumbprints>) -> Answer {
        let _ = (declared, csr, known);
        Answer::NotAsked
    }
}

/// Looking, and signing in with a key: what `verify` is given. Changes nothing either.
pub trait Provers: Readers {
    /// Signers for the keys of a store.
    fn signers(&self, entry: &StoreBinding) -> Result<Arc<dyn Signers>, Trouble>;
    /// Sign-ins to a declared tenant.
    fn sign_ins(&self, tenant: &Name) -> Result<Arc<dyn SignIns>, Trouble>;
}

/// Changing: what `apply` alone is given.
pub trait Writers: Send + Sync {
    /// The store an entry is in.
    fn store(&self, entry: &StoreBinding) -> Result<Arc<dyn StoreWriter>, Trouble>;
    /// A delivery place.
    fn delivery(&self, delivery: &Delivery) -> Result<Arc<dyn DeliveryWriter>, Trouble>;
    /// What makes certificates.
    fn issuer(&self, declared: &Declared) -> Result<Arc<dyn Issuer>, Trouble>;
    /// The directory of a declared tenant.
    fn directory(&self, tenant: &Name) -> Result<Arc<dyn DirectoryWriter>, Trouble>;
    /// Sign-ins to a declared tenant.
    fn sign_ins(&self, tenant: &Name) -> Result<Arc<dyn SignIns>, Trouble>;
    /// The secret a password comes from; none for [`Password::None`] and [`Password::Generate`], which have no source.
    fn secret(&self, password: &Password) -> Result<Option<Secret>, Trouble>;
}

/// Reads one tenant. Each request takes a slot of the run's parallelism, and a wait between requests holds none.
#[async_trait]
pub trait DirectoryReader: Send + Sync {
    /// What the tenant holds for these certificates and `removed:` entries. Writes nothing and asks for no key.
    async fn observe(
        &self,
        wanted: &[(Address, TargetSelector)],
        removed: &[TargetSelector],
    ) -> Result<ObservedTenant, Trouble>;
}

/// A credential that is to be added.
#[derive(Debug, Clone)]
pub struct NewCredential {
    /// Its derived id.
    pub key_id: KeyId,
    /// Its display name, marker included.
    pub display_name: String,
    /// The public certificate.
    pub certificate: Certificate,
    /// Start of the time it may sign in.
    pub start: Timestamp,
    /// End of the time it may sign in.
    pub end: Timestamp,
}

/// A write that did not come back with success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteTrouble {
    /// The directory is as it was: it refused, or was not reached.
    NotDone(Trouble),
    /// The answer was lost; only looking tells whether it was done.
    Unknown(Trouble),
}

/// Whether a write may leave the object without any credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emptying {
    /// It may not: a list that comes out empty is a mistake.
    Forbidden,
    /// A reviewed `removed:` entry names the object's only credential.
    ByRemovedEntry,
}

/// Reads and replaces the credentials of one object. Never repeats a write by itself. Each request takes a slot of the run's
/// parallelism, and a wait between requests holds none.
#[async_trait]
pub trait DirectoryWriter: Send + Sync {
    /// Waits until a write could go out at once. Called before the reads that feed a write, so that they are not old by then.
    async fn ready(&self) {}

    /// The object's credentials now, in the order received, without certificates.
    async fn credentials(&self, target: &TargetId) -> Result<Vec<Credential>, Trouble>;

    /// Replaces the object's whole list: `keep` exactly as received, then `add`. Sends an empty list only if `emptying` allows it.
    async fn replace(
        &self,
        target: &TargetId,
        keep: &[&RawValue],
        add: &[NewCredential],
        emptying: Emptying,
    ) -> Result<(), WriteTrouble>;
}

/// Hands out signers, and nothing else a store can do.
#[async_trait]
pub trait Signers: Send + Sync {
    /// A signer for that generation's key.
    async fn signer(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
    ) -> Result<Box<dyn Signer>, StoreError>;
}

/// A store of which only the signers can be reached.
pub struct SignersOnly(pub Arc<dyn StoreWriter>);

#[async_trait]
impl Signers for SignersOnly {
    async fn signer(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
    ) -> Result<Box<dyn Signer>, StoreError> {
        self.0.signer(entry, generation).await
    }
}

/// Signs in to one tenant.
#[async_trait]
pub trait SignIns: Send + Sync {
    /// Asks once for a token with that key and drops it unread.
    async fn try_sign_in(
        &self,
        app_id: Uuid,
        signer: &dyn Signer,
        algorithm: SignatureAlgorithm,
    ) -> SignInAnswer;
}

/// What one sign-in showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInAnswer {
    /// A token was issued.
    Accepted {
        /// The service's correlation id.
        correlation_id: String,
    },
    /// The key, application or service principal is not known here yet.
    NotYet(Trouble),
    /// The key is known and the moment lies outside its credential's dates.
    OutsideDates(Trouble),
    /// A policy blocks sign-ins from this machine: neither a proof nor a failure.
    PolicyBlocked(Trouble),
    /// The service refuses and will go on refusing: a wrong key, a disabled application.
    Refused(Trouble),
    /// It could not be asked: network, throttling, trouble of the service.
    NoAnswer(Trouble),
}
