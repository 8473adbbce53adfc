//! Whether something may be done somewhere, as far as it can be told without doing it. For `doctor`; nothing is decided by it.

/// The answer of a store, an issuer or a delivery place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum May {
    /// It may.
    Yes,
    /// It would be refused.
    No {
        /// What is lacking.
        reason: String,
        /// What to try.
        hint: String,
    },
    /// Only doing it would tell.
    NotTold,
}

impl May {
    /// It would be refused for that reason.
    pub(crate) fn no(reason: impl Into<String>, hint: impl Into<String>) -> May {
        May::No { reason: reason.into(), hint: hint.into() }
    }
}
