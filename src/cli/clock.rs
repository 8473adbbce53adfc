//! The machine's clock.
#![allow(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::runtime::Clock;

/// The machine's clock; waiting takes the time it takes.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep(&self, duration: SignedDuration) {
        // A negative duration is over already.
        tokio::time::sleep(duration.try_into().unwrap_or_default()).await;
    }
}
