//! How often and after which waits a request is tried again. Only requests that change nothing are.

use jiff::SignedDuration;

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
pub struct Attempts<'a> {
    settings: &'a RetrySettings,
    made: u32,
}

impl<'a> Attempts<'a> {
    /// None made yet.
    pub fn new(settings: &'a RetrySettings) -> Attempts<'a> {
        Attempts { settings, made: 0 }
    }

    /// How many were made.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// Counts an attempt that a busy service turned away. The wait before the next one, or `None` when that was the last.
    pub fn after_busy(
        &mut self,
        retry_after: Option<SignedDuration>,
        random: &dyn Random,
    ) -> Option<SignedDuration> {
        self.next(self.settings.attempts, retry_after, random)
    }

    /// The same for an attempt that brought no answer.
    pub fn after_silence(&mut self, error: &TransportError, random: &dyn Random) -> Option<SignedDuration> {
        let limit = match error.kind {
            TransportErrorKind::Lost | TransportErrorKind::Other => self.settings.attempts,
            TransportErrorKind::Refused | TransportErrorKind::Dns | TransportErrorKind::Timeout => {
                self.settings.attempts_unreached
            }
            TransportErrorKind::Tls
            | TransportErrorKind::TooLarge
            | TransportErrorKind::SignIn
            | TransportErrorKind::NotAllowed => 0,
        };
        self.next(limit, None, random)
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
