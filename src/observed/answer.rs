//! What became of a signing request that was handed to a person.

use crate::certificate::Certificate;

/// What lies in the folder of signing requests for one pending generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Its request is not there: it has to be handed over, or handed over again.
    NotAsked,
    /// Its request is there and no certificate.
    Awaited,
    /// A certificate for its key is there. Nothing else of it was judged.
    Certificate(Box<Certificate>),
    /// What is there cannot be its certificate.
    Unusable {
        /// Why.
        reason: String,
        /// What to try.
        hint: String,
    },
}
