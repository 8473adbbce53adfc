//! A process's way to the service of a store: requests take time, bring trouble, and are what a process can die before and after.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use certroll::net::{Sent, Transport, TransportError, TransportErrorKind};
use http::{Request, Response};

use super::process::Process;
use super::services::{Kind, kind};
use crate::support::troubled::call_of;

/// What a service in trouble answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// 429.
    Busy,
    /// 503, and nothing is done.
    Down,
    /// 500, and it is done.
    Broken,
    /// 200 and half a page.
    Garbled,
    /// 403.
    Denied,
    /// 404, from something that stands before the service.
    Nowhere,
}

impl Turned {
    /// What the coverage calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Turned::Busy => "a store's service: 429",
            Turned::Down => "a store's service: 503",
            Turned::Broken => "a store's service: 500 and done",
            Turned::Garbled => "a store's service: half a page",
            Turned::Denied => "a store's service: 403",
            Turned::Nowhere => "a store's service: 404 of somebody else",
        }
    }

    pub const ALL: [Turned; 6] =
        [Turned::Busy, Turned::Down, Turned::Broken, Turned::Garbled, Turned::Denied, Turned::Nowhere];

    fn answer(self) -> Response<Vec<u8>> {
        let (status, body) = match self {
            Turned::Busy => (429, "{}"),
            Turned::Down => (503, "<html><body>Service Unavail"),
            Turned::Broken => (500, "{}"),
            Turned::Garbled => (200, "<html><head><title>Sign in to the"),
            Turned::Denied => (403, "{}"),
            Turned::Nowhere => (404, "<html><body>Not Found</body></html>"),
        };
        let answer = Response::builder().status(status);
        let answer = if self == Turned::Busy { answer.header("retry-after", "2") } else { answer };
        answer.body(body.as_bytes().to_vec()).unwrap()
    }
}

impl std::str::FromStr for Turned {
    type Err = String;

    fn from_str(text: &str) -> Result<Turned, String> {
        Ok(match text {
            "busy" => Turned::Busy,
            "down" => Turned::Down,
            "broken" => Turned::Broken,
            "garbled" => Turned::Garbled,
            "denied" => Turned::Denied,
            "nowhere" => Turned::Nowhere,
            _ => return Err(format!("no such trouble of a service: {text}")),
        })
    }
}

/// The way.
pub(super) struct StoreWire(pub(super) Arc<Process>);

#[async_trait]
impl Transport for StoreWire {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, TransportError> {
        let process = &self.0;
        let (world, kind) = (&process.world, kind(&request));
        world.no_secret_in("an address", &request.uri().to_string());
        match kind {
            Kind::Writes => process.point("before a write to a store's service").await,
            Kind::Reads => _ = process.values_read.fetch_add(1, Ordering::Relaxed),
            Kind::Looks | Kind::Signs => {}
        }
        process.alive().await;
        let millis = process.draw(20, if kind == Kind::Writes { 700 } else { 200 }) as u64;
        tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
        world.services.goes_on_to(world.now());
        let turned = process.turns_away();
        if let Some(turned) = turned.filter(|turned| *turned != Turned::Broken) {
            return Ok(turned.answer());
        }
        let refused = |()| TransportError::new(TransportErrorKind::Refused, Sent::No, "");
        let (before, after) = process.trouble.around(&call_of(&request)).map_err(refused)?;
        if before {
            // Who dies here never hears of it.
            process.alive().await;
            return Err(refused(()));
        }
        let answer = world.services.send(request).await;
        if kind == Kind::Writes {
            world.watch_all();
        }
        process.alive().await;
        if kind == Kind::Writes {
            process.point("after a write to a store's service").await;
        }
        match (after, turned) {
            (true, _) => Err(TransportError::new(TransportErrorKind::Lost, Sent::Unknown, "")),
            (false, Some(turned)) => Ok(turned.answer()),
            (false, None) => answer,
        }
    }
}
