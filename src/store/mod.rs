//! The store contract: where a generation's private key lives and consumers read it from.
//!
//! Planner and applier know a store only by its [`Shape`]. Reading and writing are two traits, and a writer is made in
//! `apply` alone. A store keeps the public record beside each generation; observing never touches a key.

pub mod file;
#[cfg(any(feature = "hashicorp-vault", feature = "azure-key-vault", feature = "kubernetes"))]
mod kept;
#[cfg(feature = "azure-key-vault")]
pub mod key_vault;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
#[cfg(any(feature = "hashicorp-vault", feature = "azure-key-vault", feature = "kubernetes"))]
mod two_slot;
#[cfg(feature = "hashicorp-vault")]
pub mod vault;

use async_trait::async_trait;

use crate::certificate::KeyKind;
use crate::desired::StoreBinding;
use crate::edges::{Trouble, TroubleKind};
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret, Signer};
use crate::may::May;
use crate::observed::record::PublicRecord;
use crate::observed::{Current, Generation, KeyState, ObservedStore, Shape};
use crate::period::Period;

/// What kind of trouble a store is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// It cannot be reached, is full, or answers nonsense; another try may help.
    Unavailable,
    /// No usable answer came over the network.
    Network,
    /// The service does not know who we are.
    Unauthenticated,
    /// Too many requests.
    Throttled,
    /// We may not.
    Denied,
    /// Somebody else changed the entry since it was observed.
    Rival,
    /// What the plan counted on is not there.
    Missing,
    /// What is there cannot be understood.
    Corrupt,
    /// A safety rule of ours refuses, such as keys inside a Git work tree.
    Refused,
    /// The store's shape cannot do this.
    Unsupported,
}

/// What failed in a store, doing what, on which entry, and what to try. Never holds a secret.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {reason}")]
pub struct StoreError {
    /// What kind of trouble.
    pub kind: StoreErrorKind,
    /// A gerund and a name: `staging a key in secrets/cloudm`.
    pub doing: String,
    /// The reason, with the service's own code where there is one.
    pub reason: String,
    /// What to try.
    pub hint: Option<String>,
}

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> StoreError {
        let kind = match trouble.kind {
            TroubleKind::Network => StoreErrorKind::Network,
            TroubleKind::Authentication => StoreErrorKind::Unauthenticated,
            TroubleKind::Authorisation => StoreErrorKind::Denied,
            TroubleKind::Throttled => StoreErrorKind::Throttled,
            TroubleKind::NotYet | TroubleKind::Unavailable => StoreErrorKind::Unavailable,
            TroubleKind::Missing => StoreErrorKind::Missing,
            TroubleKind::Conflict | TroubleKind::StaleEntry => StoreErrorKind::Rival,
            TroubleKind::Invalid => StoreErrorKind::Corrupt,
            TroubleKind::EndDate | TroubleKind::Refused | TroubleKind::Internal => StoreErrorKind::Refused,
            TroubleKind::Unsupported => StoreErrorKind::Unsupported,
        };
        let reason = match (&trouble.code, &trouble.request_id) {
            (Some(code), Some(request)) => format!("{} ({code}, request {request})", trouble.reason),
            (Some(code), None) => format!("{} ({code})", trouble.reason),
            (None, _) => trouble.reason.clone(),
        };
        StoreError { kind, doing: trouble.doing, reason, hint: trouble.hint }
    }
}

/// A key made inside the store, waiting for its certificate.
#[derive(Debug)]
pub struct Pending {
    /// The generation, in phase *requested*.
    pub generation: Generation,
    /// The certificate signing request, DER.
    pub csr: Vec<u8>,
}

/// What the store is asked to make a key for.
#[derive(Debug, Clone)]
pub struct KeyRequest {
    /// The key pair.
    pub key: KeyKind,
    /// Subject of the request, RFC 4514.
    pub subject: String,
    /// Who signs, where the store has the certificate made as well; none where certroll has the request signed.
    pub signs: Option<Signs>,
}

/// Who signs for a store that has the certificate made as well, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signs {
    /// As the store calls it.
    pub issuer: String,
    /// Calendar length of the certificate's validity.
    pub validity: Period,
}

/// Looking only. Nothing here returns or asks for a private key.
#[async_trait]
pub trait StoreReader: Send + Sync {
    /// What the store can do with this entry.
    fn shape(&self, entry: &StoreBinding) -> Shape;

    /// What the entry holds: public records and which of them is current. Trouble is an answer
    /// ([`StoreState::Unreadable`](crate::observed::StoreState)), never taken for absence.
    async fn observe(&self, entry: &StoreBinding) -> ObservedStore;

    /// The certificate of a generation with the chain above it, as it was issued: a delivery and an assertion may need the chain.
    async fn issued(&self, entry: &StoreBinding, generation: &Generation) -> Result<Issued, StoreError>;

    /// The signing request (DER) of a generation whose certificate is awaited.
    async fn requested(&self, entry: &StoreBinding, generation: &Generation) -> Result<Vec<u8>, StoreError> {
        let _ = generation;
        Err(unsupported("reading a signing request in", entry, HOLDS_NO_REQUESTS))
    }

    /// Who signs in to it, for messages; none where nobody has to.
    fn signs_in(&self) -> Option<String> {
        None
    }

    /// Whether keys may be made and promoted in the entry, as far as the store tells without a write.
    async fn may_write(&self, entry: &StoreBinding) -> Result<May, StoreError> {
        let _ = entry;
        Ok(May::NotTold)
    }
}

/// Looking and changing. Every call looks first: what is already done is success, and the state afterwards is the same
/// however often it is repeated. If the process dies inside a call, the next observation shows the state before it or the one after,
/// or one the store's own documentation names.
#[async_trait]
pub trait StoreWriter: StoreReader {
    /// Keeps a key and its certificate, unseen by consumers. `record.rotation_id` identifies it: when the entry already holds a
    /// generation of that rotation with its key, that one is returned and nothing is written.
    async fn stage(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError>;

    /// Has the store make a key and returns its signing request; a second call returns the pending one. Where `request.signs` says who,
    /// the store has the certificate made as well, and what was made is attached like any other.
    /// Only stores that make keys; the others are this.
    async fn request(
        &self,
        entry: &StoreBinding,
        request: &KeyRequest,
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        let _ = (request, record);
        Err(unsupported("making a key in", entry, "this store makes no keys of its own"))
    }

    /// Keeps a key that was made here with its signing request (DER), unseen by consumers, until its certificate is attached. When
    /// the entry already holds a generation of that rotation with its key, nothing is written and that one's request is returned.
    /// Only stores that do not make the key themselves.
    async fn keep_request(
        &self,
        entry: &StoreBinding,
        key: &PrivateKey,
        csr: &[u8],
        record: &PublicRecord,
    ) -> Result<Pending, StoreError> {
        let _ = (key, csr, record);
        Err(unsupported("keeping a signing request in", entry, HOLDS_NO_REQUESTS))
    }

    /// Keeps the certificate that answers a pending request beside it. One for another key is refused. Consumers still see nothing.
    async fn attach(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        issued: &Issued,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError> {
        let _ = (generation, issued, record);
        Err(unsupported("attaching a certificate in", entry, HOLDS_NO_REQUESTS))
    }

    /// A signer for that generation's key.
    async fn signer(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
    ) -> Result<Box<dyn Signer>, StoreError>;

    /// The key of a generation, to be copied to the declared deliveries. Only exportable stores.
    async fn export(&self, entry: &StoreBinding, generation: &Generation) -> Result<PrivateKey, StoreError>;

    /// Makes the generation what consumers read, rendered in the entry's form, and then writes the record. Refuses with
    /// [`StoreErrorKind::Rival`] when what is current is neither `expected` nor already this generation; a store without
    /// compare-and-set looks before and after.
    async fn promote(
        &self,
        entry: &StoreBinding,
        generation: &Generation,
        expected: Option<&Current>,
        password: Option<&Secret>,
        record: &PublicRecord,
    ) -> Result<Generation, StoreError>;

    /// Writes the public record of a generation, or a first one for an adopted current entry that has none.
    async fn write_record(&self, entry: &StoreBinding, record: &PublicRecord) -> Result<(), StoreError>;

    /// Destroys the generation's key or, where the store cannot, disables it. Refuses to touch what is current.
    async fn remove(&self, entry: &StoreBinding, generation: &Generation) -> Result<KeyState, StoreError>;
}

/// Why a store cannot serve where somebody else signs.
const HOLDS_NO_REQUESTS: &str = "this store holds no keys whose certificate is still awaited";

fn unsupported(doing: &str, entry: &StoreBinding, reason: &str) -> StoreError {
    StoreError {
        kind: StoreErrorKind::Unsupported,
        doing: format!("{doing} {}/{}", entry.store, entry.entry),
        reason: reason.to_owned(),
        hint: None,
    }
}
