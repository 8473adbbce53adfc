//! Staying inside the documented budgets: a sliding window for credential-selecting reads, one for writes, and a pause that
//! everybody observes once the service has asked for one.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::runtime::Clock;

/// So many requests in any window of that length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Requests.
    pub requests: usize,
    /// Window.
    pub window: SignedDuration,
}

/// The budgets of one tenant. Defaults are Microsoft's documented limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// Requests that select `keyCredentials`: 150 per minute for the whole tenant.
    pub credential_selections: Budget,
    /// Writes of one application in one tenant: 3,000 per 150 s.
    pub writes: Budget,
}

impl Default for Budgets {
    fn default() -> Budgets {
        Budgets {
            credential_selections: Budget { requests: 150, window: SignedDuration::from_secs(60) },
            writes: Budget { requests: 3_000, window: SignedDuration::from_secs(150) },
        }
    }
}

/// Which budget a request counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// An ordinary read.
    Read,
    /// A read whose `$select` names `keyCredentials`.
    CredentialSelection,
    /// A write.
    Write,
}

/// Keeps the budgets of one tenant.
#[derive(Debug)]
pub struct Pacer {
    budgets: Budgets,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    selections: VecDeque<Timestamp>,
    writes: VecDeque<Timestamp>,
    paused_until: Option<Timestamp>,
}

impl Pacer {
    /// A pacer with nothing spent.
    pub fn new(budgets: Budgets) -> Pacer {
        Pacer { budgets, state: Mutex::default() }
    }

    /// Waits until a request of that class may go out, and counts it.
    pub async fn admit(&self, class: Class, clock: &dyn Clock) {
        while let Some(wait) = self.wait_or_count(class, clock.now(), true) {
            clock.sleep(wait).await;
        }
    }

    /// Waits until a request of that class could go out, and counts nothing. Called before the reads that feed a write, so that
    /// the write itself need not wait on stale ones.
    pub async fn ready(&self, class: Class, clock: &dyn Clock) {
        while let Some(wait) = self.wait_or_count(class, clock.now(), false) {
            clock.sleep(wait).await;
        }
    }

    /// Nobody sends anything until then: requests sent during the wait count against us.
    pub fn pause(&self, until: Timestamp) {
        let mut state = self.state();
        state.paused_until = state.paused_until.max(Some(until));
    }

    /// Reads `x-ms-throttle-limit-percentage` (1.0 is the limit; sent from 0.8 up). From 0.9 the next request waits one second
    /// for each tenth above 0.8, at most ten.
    pub fn pressure(&self, percentage: f64, now: Timestamp) {
        if percentage >= 0.9 {
            let millis = ((percentage - 0.8) * 10_000.0).clamp(0.0, 10_000.0) as i64;
            self.pause(now + SignedDuration::from_millis(millis));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is plain data that is whole after every statement, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_or_count(&self, class: Class, now: Timestamp, count: bool) -> Option<SignedDuration> {
        let mut state = self.state();
        if let Some(until) = state.paused_until {
            if until > now {
                return Some(until.duration_since(now));
            }
            state.paused_until = None;
        }
        let (sent, budget) = match class {
            Class::Read => return None,
            Class::CredentialSelection => (&mut state.selections, self.budgets.credential_selections),
            Class::Write => (&mut state.writes, self.budgets.writes),
        };
        while sent.front().is_some_and(|first| now.duration_since(*first) >= budget.window) {
            sent.pop_front();
        }
        if sent.len() >= budget.requests.max(1) {
            let oldest = sent.front().copied().unwrap_or(now);
            // A clock that was set back must not make anybody wait longer than a window.
            let wait = budget.window - now.duration_since(oldest);
            return Some(wait.clamp(SignedDuration::from_millis(1), budget.window));
        }
        if count {
            sent.push_back(now);
        }
        None
    }
}
