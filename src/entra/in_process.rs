//! The emulator in process: its transport, and the clock that belongs to it. The only place of the client that knows the
//! emulator; the emulator knows nothing of the client.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::transport::{Sent, Transport, TransportError, TransportErrorKind};
use crate::emulator::{Answer, Emulator};
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

/// The emulator's clock as ours. Waiting moves it.
#[derive(Debug, Clone)]
pub struct EmulatorClock {
    emulator: Emulator,
}

impl EmulatorClock {
    /// The clock of that emulator.
    pub fn new(emulator: Emulator) -> EmulatorClock {
        EmulatorClock { emulator }
    }
}

#[async_trait]
impl Clock for EmulatorClock {
    fn now(&self) -> Timestamp {
        self.emulator.now()
    }

    async fn sleep(&self, duration: SignedDuration) {
        // To a moment, not by a length: tasks that wait at the same time wait together.
        let until = self.emulator.now().checked_add(duration).unwrap_or(Timestamp::MAX);
        tokio::task::yield_now().await;
        self.emulator.advance_to(until);
    }
}
