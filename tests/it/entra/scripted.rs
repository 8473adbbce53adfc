//! A transport that answers from a script, for answers no honest service gives.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use certroll::certificate::KeyKind;
use certroll::desired::Cloud;
use certroll::entra::sign_in::Method;
use certroll::entra::{
    DirectoryReader, EndpointOverrides, Endpoints, GraphClient, GraphSettings, Line, OwnCredential,
    Transport, TransportError,
};
use certroll::key::{KeyError, PrivateKey, Secret};
use certroll::runtime::{Clock, Random};
use http::{Request, Response};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::support::{TENANT, moment};

pub(super) const CLIENT_SECRET: &str = "Sup3r~Secret.Value";
pub(super) const TOKEN: &str = "eyJ0b2tlbiI6InNlY3JldCJ9.e30.c2ln";

type Outcome = Result<Response<Vec<u8>>, TransportError>;

/// Answers Graph requests from the script in order, the last one for ever; token requests always succeed unless told otherwise.
pub(super) struct Script {
    graph: Mutex<VecDeque<Outcome>>,
    pub token: Option<Response<Vec<u8>>>,
    seen: Mutex<Vec<Request<Vec<u8>>>>,
}

impl Script {
    pub(super) fn new(graph: Vec<Outcome>) -> Script {
        Script { graph: Mutex::new(graph.into()), token: None, seen: Mutex::default() }
    }

    pub(super) fn seen(&self) -> Vec<(String, bool)> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|r| (r.uri().to_string(), r.headers().contains_key("authorization"))).collect()
    }

    /// The body of the last request.
    pub(super) fn last_body(&self) -> String {
        let seen = self.seen.lock().unwrap();
        String::from_utf8(seen.last().unwrap().body().clone()).unwrap()
    }
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: Request<Vec<u8>>) -> Outcome {
        let is_token = request.uri().path().ends_with("/token");
        self.seen.lock().unwrap().push(request);
        if is_token {
            let granted = format!(r#"{{"token_type":"Bearer","expires_in":3599,"access_token":"{TOKEN}"}}"#);
            return Ok(self.token.clone().unwrap_or_else(|| answer(200, &granted)));
        }
        let mut graph = self.graph.lock().unwrap();
        if graph.len() > 1 { graph.pop_front().unwrap() } else { graph[0].clone() }
    }
}

pub(super) fn answer(status: u16, body: &str) -> Response<Vec<u8>> {
    Response::builder().status(status).body(body.as_bytes().to_vec()).unwrap()
}

/// Time that moves only by waiting.
pub(super) struct StillClock(Mutex<Timestamp>);

#[async_trait]
impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
    async fn sleep(&self, duration: SignedDuration) {
        *self.0.lock().unwrap() += duration;
    }
}

struct Counter(Mutex<u8>);

#[async_trait]
impl Random for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        let mut next = self.0.lock().unwrap();
        *next = next.wrapping_add(1);
        buffer.fill(*next);
    }
    async fn key_pair(&self, _: KeyKind) -> Result<PrivateKey, KeyError> {
        Err(KeyError("no keys here".to_owned()))
    }
}

pub(super) fn line(script: &Arc<Script>) -> Line {
    Line::new(
        script.clone(),
        Arc::new(StillClock(Mutex::new(moment("2026-11-20T12:00:00Z")))),
        Arc::new(Counter(Mutex::new(0))),
        Endpoints::resolve(Cloud::Public, &EndpointOverrides::default()).unwrap(),
        Arc::new(Semaphore::new(4)),
    )
}

pub(super) fn own(method: Method) -> OwnCredential {
    OwnCredential { tenant: None, client_id: Uuid::from_u128(0xC11E), method, source: "the test".to_owned() }
}

pub(super) fn client(script: &Arc<Script>) -> Arc<GraphClient> {
    let own = own(Method::Secret(Secret::new(CLIENT_SECRET.to_owned())));
    Arc::new(GraphClient::new(line(script), &TENANT.to_string(), own, GraphSettings::default()))
}

pub(super) fn reader(script: &Arc<Script>) -> DirectoryReader {
    DirectoryReader::new(client(script))
}
