//! A request as it came in and an answer as it goes out, apart from any meaning.

use http::{HeaderMap, Method, Request};
use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::emulator::throttle::Windows;
use crate::emulator::world::World;

/// A request, taken apart.
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query as sent.
    pub(crate) target: String,
    /// The path's segments, decoded.
    pub(crate) segments: Vec<String>,
    /// The query's parameters, decoded.
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Scheme and host under which this emulator was reached.
    pub(crate) base: String,
    /// An item of a batch.
    pub(crate) in_batch: bool,
}

impl Call {
    pub(crate) fn new(request: &Request<Vec<u8>>, base: Option<&str>) -> Call {
        let uri = request.uri();
        let authority = uri
            .authority()
            .map(|authority| authority.as_str())
            .or_else(|| request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok()))
            .unwrap_or("emulator.localhost");
        let base = base.map_or_else(|| format!("https://{authority}"), str::to_owned);
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        Call::parsed(
            request.method().clone(),
            target,
            request.headers().clone(),
            request.body().clone(),
            base,
        )
    }

    pub(crate) fn parsed(
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Vec<u8>,
        base: String,
    ) -> Call {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let segments =
            path.split('/').filter(|part| !part.is_empty()).map(|part| decode(part, false)).collect();
        let query = form(query);
        Call { method, target: target.to_owned(), segments, query, headers, body, base, in_batch: false }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The segments as string slices, for matching.
    pub(crate) fn route(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }
}

/// `a=1&b=2`, decoded; a plus is a space.
pub(crate) fn form(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key, true), decode(value, true))
        })
        .collect()
}

/// Undoes percent-encoding; what is not valid is left as it stands.
pub(crate) fn decode(text: &str, plus_is_space: bool) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[at], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 2;
            }
            (b'+', _) if plus_is_space => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Percent-encodes everything but the unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

/// What a body is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Empty,
    Json(Value),
    Text(String),
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
}

impl Reply {
    pub(crate) fn json(status: u16, value: Value) -> Reply {
        Reply { status, headers: Vec::new(), body: Body::Json(value) }
    }

    pub(crate) fn empty(status: u16) -> Reply {
        Reply { status, headers: Vec::new(), body: Body::Empty }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }
}

/// One item of a batch, for the journal.
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) writes: bool,
}

/// Whether an answer arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives,
    Lost,
}

/// Everything at hand while one request is handled.
pub(crate) struct Exchange<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) windows: &'a mut Windows,
    pub(crate) now: Timestamp,
    pub(crate) request_id: Uuid,
    pub(crate) client_request_id: String,
    /// For the journal.
    pub(crate) client_id: Option<Uuid>,
    pub(crate) writes: bool,
    pub(crate) items: Vec<Item>,
    pub(crate) fate: Fate,
}

/// Members of a JSON object, in the order written.
pub(crate) fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
