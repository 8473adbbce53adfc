//! The emulator in process: its transport, and the clock that belongs to it. The only place of the client that knows the
//! emulator; the emulator knows nothing of the client.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use crate::emulator::{Answer, Emulator};
use crate::net::{Sent, Transport, TransportError, TransportErrorKind};
use crate::runtime::Clock;

/// Hands requests to an emulator in this process. The host in them is ignored there.
#[derive(Debug, Clone)]
pub struct EmulatorTransport {
    emulator: Emulator,
}

impl EmulatorTransport {
    /// A transport to that emulator.
    pub fn new(emulator: Emulator) -> EmulatorTransport {
        EmulatorTransport { emulator }
    }
}

#[async_trait]
impl Transport for EmulatorTransport {
    async fn send(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, TransportError> {
        // A real request gives way to other tasks; without this, tasks in process would run one after another to their end.
        tokio::task::yield_now().await;
        match self.emulator.handle(&request) {
            Answer::Response(answer) => Ok(answer),
            Answer::Lost => {
                let reason = "the emulator was told to lose this answer";
                Err(TransportError::new(TransportErrorKind::Lost, Sent::Unknown, reason))
            }
        }
    }
}

/// How many times others get their turn before a wait moves the clock: more than any request takes.
const PATIENCE: usize = 60;

/// The emulator's clock as ours. Waiting moves it instead of taking time.
///
/// Of tasks that wait at the same moment the one with the earliest end moves the clock, and the others wait for it: a hundred chains
/// that wait ten seconds together take ten seconds of the emulator's time, as they would of real time.
#[derive(Debug, Clone)]
pub struct EmulatorClock {
    emulator: Emulator,
    waits: Arc<Waits>,
}

#[derive(Debug, Default)]
struct Waits {
    ends: Mutex<BTreeSet<(Timestamp, u64)>>,
    next: AtomicU64,
    changed: Notify,
}

impl Waits {
    fn ends(&self) -> MutexGuard<'_, BTreeSet<(Timestamp, u64)>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wait under way; leaves the list when it is over or given up.
struct Wait<'w> {
    waits: &'w Waits,
    place: (Timestamp, u64),
}

impl Wait<'_> {
    fn is_first(&self) -> bool {
        self.waits.ends().first() == Some(&self.place)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.waits.ends().remove(&self.place);
        self.waits.changed.notify_waiters();
    }
}

impl EmulatorClock {
    /// The clock of that emulator.
    pub fn new(emulator: Emulator) -> EmulatorClock {
        EmulatorClock { emulator, waits: Arc::default() }
    }
}

#[async_trait]
impl Clock for EmulatorClock {
    fn now(&self) -> Timestamp {
        self.emulator.now()
    }

    async fn sleep(&self, duration: SignedDuration) {
        let until = self.emulator.now().checked_add(duration).unwrap_or(Timestamp::MAX);
        let place = (until, self.waits.next.fetch_add(1, Ordering::Relaxed));
        self.waits.ends().insert(place);
        let wait = Wait { waits: &self.waits, place };
        while self.emulator.now() < until {
            // Asked for before looking, so that no change between the two is missed.
            let changed = self.waits.changed.notified();
            if !wait.is_first() {
                changed.await;
                continue;
            }
            for _ in 0..PATIENCE {
                tokio::task::yield_now().await;
            }
            if wait.is_first() {
                self.emulator.advance_to(until);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_that_wait_together_take_no_longer_than_the_longest() {
        let start: Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
        let emulator = Emulator::in_memory(start, 1);
        let clock = EmulatorClock::new(emulator.clone());
        let ten_waits = |seconds: i64| {
            let clock = clock.clone();
            async move {
                for _ in 0..10 {
                    clock.sleep(SignedDuration::from_secs(seconds)).await;
                }
            }
        };
        let many = (0..50).map(|number| tokio::spawn(ten_waits(1 + number % 2)));
        futures_util::future::join_all(many).await;
        assert_eq!(emulator.now(), start + SignedDuration::from_secs(20));
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_holds_nobody() {
        let start: Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
        let clock = EmulatorClock::new(Emulator::in_memory(start, 1));
        let given_up = clock.clone();
        let first = tokio::spawn(async move { given_up.sleep(SignedDuration::from_secs(1)).await });
        tokio::task::yield_now().await;
        first.abort();
        clock.sleep(SignedDuration::from_secs(5)).await;
        assert!(clock.now() >= start + SignedDuration::from_secs(5));
    }
}
