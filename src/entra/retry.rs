//! How often and after which waits a request is tried again. Only requests that change nothing are.

use jiff::SignedDuration;

use super::error::{EntraError, ErrorKind};
use super::transport::{TransportError, TransportErrorKind};
use crate::runtime::Random;

/// Settings of trying again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySettings {
    /// Attempts at a request that the service throttles, fails, or loses.
    pub attempts: u32,
    /// Attempts at a request that never reaches the service, or times out.
    pub attempts_unreached: u32,
    /// The first wait; each further one is twice as long, less up to half of it by chance.
    pub first_wait: SignedDuration,
    /// The longest such wait.
    pub longest_wait: SignedDuration,
    /// The longest `Retry-After` that is waited for. A longer one ends the run's patience at once.
    pub retry_after_max: SignedDuration,
}

impl Default for RetrySettings {
    fn default() -> RetrySettings {
        RetrySettings {
            attempts: 8,
            attempts_unreached: 3,
            first_wait: SignedDuration::from_secs(1),
            longest_wait: SignedDuration::from_secs(60),
            retry_after_max: SignedDuration::from_secs(300),
        }
    }
}

/// The attempts at one request.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    settings: &'a RetrySettings,
    made: u32,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(settings: &'a RetrySettings) -> Attempts<'a> {
        Attempts { settings, made: 0 }
    }

    /// Counts a failed attempt. The wait before the next one, or `None` when that was the last.
    pub(super) fn after(&mut self, error: &EntraError, random: &dyn Random) -> Option<SignedDuration> {
        match error.kind {
            ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::Conflict => {
                self.next(self.settings.attempts, error.retry_after, random)
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

    /// The same for an attempt that brought no answer.
    pub(super) fn after_silence(
        &mut self,
        error: &TransportError,
        random: &dyn Random,
    ) -> Option<SignedDuration> {
        let limit = match error.kind {
            TransportErrorKind::Lost | TransportErrorKind::Other => self.settings.attempts,
            TransportErrorKind::Refused | TransportErrorKind::Dns | TransportErrorKind::Timeout => {
                self.settings.attempts_unreached
            }
            TransportErrorKind::Tls | TransportErrorKind::TooLarge | TransportErrorKind::NotAllowed => 0,
        };
        self.next(limit, None, random)
    }

    /// The error of the last attempt, with how many there were.
    pub(super) fn given_up(&self, mut error: EntraError) -> EntraError {
        error.tries = self.made.max(1);
        error
    }

    fn next(
        &mut self,
        limit: u32,
        retry_after: Option<SignedDuration>,
        random: &dyn Random,
    ) -> Option<SignedDuration> {
        self.made += 1;
        if self.made >= limit {
            return None;
        }
        match retry_after {
            Some(wait) if wait > self.settings.retry_after_max => None,
            // A wait of nothing would be a busy loop.
            Some(wait) => Some(wait.max(SignedDuration::from_millis(100))),
            None => Some(self.exponential(random)),
        }
    }

    fn exponential(&self, random: &dyn Random) -> SignedDuration {
        let doublings = (self.made - 1).min(20);
        let full = self.settings.first_wait.saturating_mul(1 << doublings).min(self.settings.longest_wait);
        let mut dice = [0; 2];
        random.fill(&mut dice);
        let share = f64::from(u16::from_be_bytes(dice)) / f64::from(u16::MAX);
        full - full.mul_f64(share / 2.0)
    }
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
        TransportErrorKind::NotAllowed => ErrorKind::Settings,
        TransportErrorKind::Refused
        | TransportErrorKind::Dns
        | TransportErrorKind::Tls
        | TransportErrorKind::Timeout
        | TransportErrorKind::Lost
        | TransportErrorKind::Other => ErrorKind::Network,
    };
    EntraError::new(kind, doing, &error.to_string()).with_hint(error.hint())
}
