//! What the library asks of the outside world, as traits: stores, delivery places, the directory, sign-ins, secrets.
//!
//! Reading, proving and writing are three types. `plan` and `drift` are given [`Readers`], which cannot change or unlock
//! anything; `verify` is given [`Provers`], which can also use a key to sign in; a [`Writers`] is made in `apply` alone.
//! The command line implements them with what is built (`backends`), tests with stores and directories of their own.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
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
pub use crate::trouble::{Trouble, TroubleKind};

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
