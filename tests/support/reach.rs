//! A way to services for tests that have none, and one to a service of the test's own.

use std::sync::Arc;

use async_trait::async_trait;
use certroll::backends::reach::{Reach, Transports};
use certroll::connections::Operator;
use certroll::edges::Trouble;
use certroll::net::{RetrySettings, Sent, Transport, TransportError, TransportErrorKind, Way};
use certroll::random::SystemRandom;
use certroll::runtime::Clock;

/// Leads nowhere.
pub struct Nowhere;

#[async_trait]
impl Transport for Nowhere {
    async fn send(&self, _: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, TransportError> {
        Err(TransportError::new(TransportErrorKind::NotAllowed, Sent::No, "this test has no services"))
    }
}

/// One transport, whomever it is to trust.
pub struct Always(pub Arc<dyn Transport>);

impl Transports for Always {
    fn transport(&self, _: Option<&[u8]>) -> Result<Arc<dyn Transport>, Trouble> {
        Ok(Arc::clone(&self.0))
    }
}

/// Everything over that transport, with what the operator has set.
pub fn reach(transport: Arc<dyn Transport>, clock: Arc<dyn Clock>, operator: Operator) -> Reach {
    let way = Way {
        transport: Arc::clone(&transport),
        clock,
        random: Arc::new(SystemRandom),
        in_flight: Arc::new(tokio::sync::Semaphore::new(8)),
        retry: RetrySettings::default(),
    };
    Reach::new(operator, way, Arc::new(Always(transport)))
}

/// No services at all.
pub fn unreached(clock: Arc<dyn Clock>) -> Reach {
    reach(Arc::new(Nowhere), clock, Operator::default())
}
