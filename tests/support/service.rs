//! A service in the test's own process: a function from request to answer behind the transport, and a record of what came.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use certroll::net::{RetrySettings, Service, Transport, TransportError, Way};
use certroll::random::SystemRandom;
use certroll::runtime::Clock;
use http::{Request, Response};
use jiff::{SignedDuration, Timestamp};

type Outcome = Result<Response<Vec<u8>>, TransportError>;

type Answer = dyn Fn(&Request<Vec<u8>>) -> Outcome + Send + Sync;

/// Answers each request as the function says.
pub struct Answering {
    answer: Box<Answer>,
    seen: Mutex<Vec<Request<Vec<u8>>>>,
}

impl Answering {
    pub fn new(answer: impl Fn(&Request<Vec<u8>>) -> Outcome + Send + Sync + 'static) -> Arc<Answering> {
        Arc::new(Answering { answer: Box::new(answer), seen: Mutex::default() })
    }

    /// These answers one after the other, the last one for ever.
    pub fn script(answers: Vec<Outcome>) -> Arc<Answering> {
        let left = Mutex::new(std::collections::VecDeque::from(answers));
        Answering::new(move |_| {
            let mut left = left.lock().unwrap();
            if left.len() > 1 { left.pop_front().unwrap() } else { left[0].clone() }
        })
    }

    /// What was asked so far: method, address, body.
    pub fn seen(&self) -> Vec<(String, String, String)> {
        let seen = self.seen.lock().unwrap();
        let body = |request: &Request<Vec<u8>>| String::from_utf8_lossy(request.body()).into_owned();
        seen.iter().map(|r| (r.method().to_string(), r.uri().to_string(), body(r))).collect()
    }

    /// Every request with its headers.
    pub fn requests(&self) -> Vec<Request<Vec<u8>>> {
        self.seen.lock().unwrap().clone()
    }
}

#[async_trait]
impl Transport for Answering {
    async fn send(&self, request: Request<Vec<u8>>) -> Outcome {
        let answer = (self.answer)(&request);
        self.seen.lock().unwrap().push(request);
        answer
    }
}

pub fn answer(status: u16, body: &str) -> Response<Vec<u8>> {
    Response::builder().status(status).body(body.as_bytes().to_vec()).unwrap()
}

/// Time that moves only by waiting.
pub struct StillClock(Mutex<Timestamp>);

impl StillClock {
    pub fn at(now: &str) -> Arc<StillClock> {
        Arc::new(StillClock(Mutex::new(now.parse().unwrap())))
    }
}

#[async_trait]
impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
    async fn sleep(&self, duration: SignedDuration) {
        *self.0.lock().unwrap() += duration;
    }
}

/// A client of that service at that address.
pub fn service(root: &str, transport: Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Service {
    let way = Way {
        transport,
        clock,
        random: Arc::new(SystemRandom),
        in_flight: Arc::new(tokio::sync::Semaphore::new(4)),
        retry: RetrySettings::default(),
    };
    Service::new("the vault", root, way).unwrap()
}
