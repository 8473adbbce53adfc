//! Which of the directory's troubles a request is tried again after.

use jiff::SignedDuration;

use super::error::{EntraError, ErrorKind};
use crate::net::{Attempts, TransportError, TransportErrorKind};
use crate::runtime::Random;

/// Counts a failed attempt. The wait before the next one, or `None` when that was the last.
pub(super) fn wait_after(
    attempts: &mut Attempts<'_>,
    error: &EntraError,
    random: &dyn Random,
) -> Option<SignedDuration> {
    match error.kind {
        ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::Conflict => {
            attempts.after_busy(error.retry_after, random)
        }
        ErrorKind::Network
        | ErrorKind::Authentication
        | ErrorKind::Authorisation
        | ErrorKind::NotYet
        | ErrorKind::NotFound
        | ErrorKind::Refused(_)
        | ErrorKind::InvalidAnswer
        | ErrorKind::Settings => None,
    }
}

/// The error of the last attempt, with how many there were.
pub(super) fn given_up(attempts: &Attempts<'_>, mut error: EntraError) -> EntraError {
    error.tries = attempts.made().max(1);
    error
}

/// Waits from which on somebody may wonder whether the run still lives.
const LONG_WAIT: SignedDuration = SignedDuration::from_secs(20);

/// Says why a request will be tried again: to everybody where no answer came or the service asked for a long wait.
pub(super) fn tell_of(error: &EntraError, wait: SignedDuration) {
    let (why, seconds) = (error.to_string(), wait.as_secs().max(1));
    let why = why.trim_end_matches('.');
    if error.kind == ErrorKind::Network || error.retry_after.is_some() && wait >= LONG_WAIT {
        tracing::warn!("{why}; trying again in {seconds} s");
    } else {
        tracing::info!("{why}; trying again in {seconds} s");
    }
}

/// The error of a request that brought no answer.
pub(super) fn silence(doing: &str, error: &TransportError) -> EntraError {
    let kind = match error.kind {
        TransportErrorKind::TooLarge => ErrorKind::InvalidAnswer,
        TransportErrorKind::NotAllowed | TransportErrorKind::SignIn => ErrorKind::Settings,
        TransportErrorKind::Refused
        | TransportErrorKind::Dns
        | TransportErrorKind::Tls
        | TransportErrorKind::Timeout
        | TransportErrorKind::Lost
        | TransportErrorKind::Other => ErrorKind::Network,
    };
    EntraError::new(kind, doing, &error.to_string()).with_hint(error.hint())
}
