//! What every request to one tenant's cloud shares: transport, clock, randomness, the limit on requests in flight, and the
//! measured difference between the service's clock and ours.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::cloud::Endpoints;
use crate::net::printable;
use crate::net::{Sent, Transport, TransportError, TransportErrorKind};
use crate::net::{header, http_date};
use crate::runtime::{Clock, Random};

/// The line to one tenant's cloud. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Line {
    /// Carries requests.
    pub transport: Arc<dyn Transport>,
    /// Time and waiting.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for ids and jitter.
    pub random: Arc<dyn Random>,
    /// The hosts.
    pub endpoints: Endpoints,
    /// `--parallelism`: one permit for each request in flight, over all tenants. Waiting holds none.
    pub in_flight: Arc<Semaphore>,
    /// How far the service's clock is from ours.
    pub skew: Arc<SkewMeter>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

impl Line {
    /// A line with nothing measured yet.
    pub fn new(
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        endpoints: Endpoints,
        in_flight: Arc<Semaphore>,
    ) -> Line {
        Line { transport, clock, random, endpoints, in_flight, skew: Arc::default() }
    }

    /// The same line with a new connection for each request, so that sign-ins that prove a key may reach different login servers.
    #[must_use]
    pub fn for_proving(&self) -> Line {
        match self.transport.without_kept_connections() {
            Some(transport) => Line { transport, ..self.clone() },
            None => self.clone(),
        }
    }

    /// Sends one request while holding a permit.
    pub(super) async fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, TransportError> {
        let closed = |_| TransportError::new(TransportErrorKind::Other, Sent::No, "the run is ending");
        let (what, asked) = (what(&request), asked(request.uri()));
        let permit = self.in_flight.acquire().await.map_err(closed)?;
        let answer = self.transport.send(request).await.map_err(|lost| TransportError { asked, ..lost });
        drop(permit);
        match &answer {
            Ok(answer) => tracing::debug!("{what}: {}", answer.status().as_u16()),
            Err(lost) => tracing::debug!("{what}: {lost}"),
        }
        if let Ok(answer) = &answer {
            self.skew.note(answer.headers(), self.clock.now());
        }
        answer
    }

    /// The same to somebody else than this cloud: whose clock it is does not matter.
    pub(super) async fn send_elsewhere(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, TransportError> {
        let elsewhere = Line { skew: Arc::default(), ..self.clone() };
        elsewhere.send(request).await
    }

    /// The present moment by the service's clock, as far as it is known.
    pub(super) fn service_now(&self) -> Timestamp {
        let now = self.clock.now();
        let skew = self.skew.last().unwrap_or_default();
        now.checked_add(skew).unwrap_or(now)
    }

    /// A fresh random id.
    pub(super) fn random_id(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// Host and port, and nothing else an address may hold.
fn asked(uri: &http::Uri) -> Option<String> {
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    uri.host().map(|host| printable(&format!("{host}{port}")))
}

/// The request in a line of the log: no header and no body, and a query only where certroll itself wrote it.
fn what(request: &http::Request<Vec<u8>>) -> String {
    let uri = request.uri();
    let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
    printable(&format!("{} {}{}{query}", request.method(), uri.host().unwrap_or_default(), uri.path()))
}

/// Service time minus ours, from `Date` headers. A header is stamped before its answer has travelled, so a slow answer makes the
/// service look slow: the smallest difference seen is the best estimate.
#[derive(Debug, Default)]
pub struct SkewMeter {
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    last: SignedDuration,
    smallest: SignedDuration,
}

impl SkewMeter {
    fn note(&self, headers: &http::HeaderMap, now: Timestamp) {
        let Some(date) = header(headers, "date").as_deref().and_then(http_date) else { return };
        let last = date.duration_since(now);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let smallest = match *seen {
            Some(before) if before.smallest.abs() <= last.abs() => before.smallest,
            _ => last,
        };
        *seen = Some(Seen { last, smallest });
    }

    /// The latest measurement.
    pub fn last(&self) -> Option<SignedDuration> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).map(|seen| seen.last)
    }

    /// The measurement nearest to zero.
    pub fn smallest(&self) -> Option<SignedDuration> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).map(|seen| seen.smallest)
    }
}
