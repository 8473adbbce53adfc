//! Calls to one service of JSON over HTTP that is not the directory: a vault, a CI system. What is sent goes to the configured scheme,
//! host and port and nowhere else; reads are tried again, writes only where they certainly were not done.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::SignedDuration;
use reqwest::Url;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::headers::{header, retry_after};
use super::retry::{Attempts, RetrySettings};
use super::text::{place_of, printable, without_secrets};
use super::transport::{Sent, Transport, TransportError, TransportErrorKind, is_loopback};
use crate::edges::{Trouble, TroubleKind};
use crate::runtime::{Clock, Random};

/// What all services of a run share. Cheap to clone.
#[derive(Clone)]
pub struct Way {
    /// Carries requests.
    pub transport: Arc<dyn Transport>,
    /// Time and waiting.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for ids and jitter.
    pub random: Arc<dyn Random>,
    /// `--parallelism`: one permit for each request in flight. Waiting holds none.
    pub in_flight: Arc<Semaphore>,
    /// How reads are tried again.
    pub retry: RetrySettings,
}

/// Waits from which on somebody may wonder whether the run still lives.
const LONG_WAIT: SignedDuration = SignedDuration::from_secs(10);

/// One service at one address.
#[derive(Clone)]
pub struct Service {
    name: String,
    root: Url,
    way: Way,
    is_busy: fn(u16) -> bool,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name).field("root", &self.root.as_str()).finish()
    }
}

/// One request. Nothing of it is printed but method, host and path.
pub struct Ask<'a> {
    method: Method,
    url: Url,
    headers: HeaderMap,
    secrets: Vec<Zeroizing<String>>,
    body: Option<Zeroizing<Vec<u8>>>,
    doing: &'a str,
    repeatable: bool,
    /// A header that could not be set. Without it the request would mean something else, or come from nobody.
    unfit: Option<HeaderName>,
}

/// An answer of any status. Its body may hold a secret and is never printed as a whole.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, decompressed.
    pub body: Zeroizing<Vec<u8>>,
    doing: String,
    asked: String,
    retry_after: Option<SignedDuration>,
    secrets: Vec<Zeroizing<String>>,
}

/// No answer came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnswer {
    /// Why.
    pub trouble: Trouble,
    /// Whether the service may have acted on the request.
    pub sent: Sent,
}

impl From<NoAnswer> for Trouble {
    fn from(lost: NoAnswer) -> Trouble {
        lost.trouble
    }
}

impl Service {
    /// The service of that name, for messages, below `root`: HTTPS, or HTTP to loopback. A root with a query, a fragment or credentials
    /// in it is refused.
    pub fn new(name: impl Into<String>, root: &str, way: Way) -> Result<Service, Trouble> {
        let name = name.into();
        let wrong = |reason: &str| {
            Trouble::new(TroubleKind::Refused, format!("connecting to {name}"), reason.to_owned())
        };
        // What stands before an `@` may be a password.
        let shown = root.rsplit('@').next().unwrap_or_default();
        let mut root: Url =
            root.parse().map_err(|_| wrong(&format!("{} is not an address", printable(shown))))?;
        let host = root.host_str().ok_or_else(|| wrong("the address has no host"))?;
        if root.scheme() != "https" && !(root.scheme() == "http" && is_loopback(host)) {
            return Err(wrong("the address is not https").with_hint("use https, or http to loopback only"));
        }
        if !root.username().is_empty() || root.password().is_some() {
            return Err(wrong("the address holds a user name or password; those have settings of their own"));
        }
        if root.query().is_some() || root.fragment().is_some() {
            return Err(wrong("the address has a query or fragment"));
        }
        if !root.path().ends_with('/') {
            let path = format!("{}/", root.path());
            root.set_path(&path);
        }
        Ok(Service { name, root, way, is_busy: is_busy_by_default })
    }

    /// The same service with its own idea of which statuses ask to come again later.
    #[must_use]
    pub fn busy_when(self, is_busy: fn(u16) -> bool) -> Service {
        Service { is_busy, ..self }
    }

    /// Its name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is reached by, and the run's clock and randomness.
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// Its host.
    pub fn host(&self) -> &str {
        self.root.host_str().unwrap_or_default()
    }

    /// Scheme, host and port, without a slash at the end.
    pub fn origin(&self) -> String {
        self.root.origin().ascii_serialization()
    }

    /// An address below the root; each segment is escaped, so that a name cannot leave its place.
    pub fn url<'s>(&self, segments: impl IntoIterator<Item = &'s str>) -> Url {
        let mut url = self.root.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty();
            // `.` and `..` are taken for steps even when they are escaped.
            path.extend(segments.into_iter().map(|segment| match segment {
                "." => "%2E",
                ".." => "%2E%2E",
                plain => plain,
            }));
        }
        url
    }

    /// A link of the service's own, if it stays on its scheme, host and port.
    pub fn followable(&self, link: &str) -> Option<Url> {
        let url = self.root.join(link).ok()?;
        let plain = url.username().is_empty() && url.password().is_none();
        (plain && url.origin() == self.root.origin()).then_some(url)
    }

    /// Sends the request until there is an answer. Reads are tried again while the service is busy or silent; a write only where it
    /// was turned away as one too many, or never left.
    pub async fn send(&self, ask: Ask<'_>) -> Result<Answer, NoAnswer> {
        if let Some(name) = &ask.unfit {
            let reason = format!("what is set for {name} holds a control character, which cannot be sent");
            let trouble = Trouble::new(TroubleKind::Refused, ask.doing, reason);
            let hint = "take it out: it may be a line end";
            return Err(NoAnswer { trouble: trouble.with_hint(hint), sent: Sent::No });
        }
        let Way { clock, random, retry, .. } = &self.way;
        let mut attempts = Attempts::new(retry);
        loop {
            let wait = match self.once(&ask).await {
                Ok(answer) => {
                    // GitHub turns away with 403 what comes too often, and says when to come again.
                    let turned_away =
                        answer.status == 429 || answer.status == 403 && answer.retry_after.is_some();
                    let again = turned_away || ask.repeatable && (self.is_busy)(answer.status);
                    let wait = match again {
                        true => attempts.after_busy(answer.retry_after, &**random),
                        false => None,
                    };
                    let Some(wait) = wait else { return Ok(answer) };
                    self.tell(&format!("{} says {}", self.name, answer.status), wait, wait >= LONG_WAIT);
                    wait
                }
                Err(lost) => {
                    let again = ask.repeatable || lost.sent == Sent::No;
                    let wait = match again {
                        true => attempts.after_silence(&lost, &**random),
                        false => None,
                    };
                    let Some(wait) = wait else { return Err(self.silence(&ask, &lost, attempts.made())) };
                    self.tell(&format!("{}: {lost}", self.name), wait, true);
                    wait
                }
            };
            clock.sleep(wait).await;
        }
    }

    /// Says why a request will be tried again: to everybody where no answer came or the wait is long.
    fn tell(&self, why: &str, wait: SignedDuration, to_everybody: bool) {
        let seconds = wait.as_secs().max(1);
        match to_everybody {
            true => tracing::warn!("{why}; trying again in {seconds} s"),
            false => tracing::info!("{why}; trying again in {seconds} s"),
        }
    }

    async fn once(&self, ask: &Ask<'_>) -> Result<Answer, TransportError> {
        let not_sent = |kind, reason: &str| TransportError::new(kind, Sent::No, reason);
        if ask.url.origin() != self.root.origin() {
            return Err(not_sent(TransportErrorKind::NotAllowed, "the address leads to another host"));
        }
        let mut request = http::Request::builder().method(ask.method.clone()).uri(ask.url.as_str());
        if let Some(headers) = request.headers_mut() {
            headers.extend(ask.headers.clone());
        }
        let body = ask.body.as_ref().map(|body| body.to_vec()).unwrap_or_default();
        let request = request
            .body(body)
            .map_err(|error| not_sent(TransportErrorKind::NotAllowed, &error.to_string()))?;
        let asked = format!("{} {}{}", ask.method, ask.url.host_str().unwrap_or_default(), ask.url.path());
        let asked = printable(&asked);
        let permit = self.way.in_flight.acquire().await;
        let _permit = permit.map_err(|_| not_sent(TransportErrorKind::Other, "the run is ending"))?;
        let answer = self.way.transport.send(request).await;
        match &answer {
            Ok(answer) => tracing::debug!("{asked}: {}", answer.status().as_u16()),
            Err(lost) => tracing::debug!("{asked}: {lost}"),
        }
        let (head, body) = answer?.into_parts();
        Ok(Answer {
            status: head.status.as_u16(),
            retry_after: retry_after(&head.headers, self.way.clock.now()),
            headers: head.headers,
            body: Zeroizing::new(body),
            doing: ask.doing.to_owned(),
            asked,
            secrets: ask.secrets.clone(),
        })
    }

    fn silence(&self, ask: &Ask<'_>, lost: &TransportError, tries: u32) -> NoAnswer {
        let kind = match lost.kind {
            TransportErrorKind::TooLarge => TroubleKind::Invalid,
            TransportErrorKind::NotAllowed => TroubleKind::Refused,
            TransportErrorKind::SignIn => TroubleKind::Authentication,
            TransportErrorKind::Refused
            | TransportErrorKind::Dns
            | TransportErrorKind::Tls
            | TransportErrorKind::Timeout
            | TransportErrorKind::Lost
            | TransportErrorKind::Other => TroubleKind::Network,
        };
        let reason = format!("{} at {}: {lost}", self.name, self.origin());
        let trouble = Trouble::new(kind, ask.doing, reason).with_hint(lost.hint());
        let trouble = if tries > 1 { trouble.after_tries(tries) } else { trouble };
        NoAnswer { trouble, sent: lost.sent }
    }
}

/// Too many requests, and everything a server says of its own trouble but "I do not know how".
fn is_busy_by_default(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502..=599)
}

impl<'a> Ask<'a> {
    /// A request without a body. `doing` is a gerund and a name, for messages.
    pub fn new(method: Method, url: Url, doing: &'a str) -> Ask<'a> {
        let repeatable = method == Method::GET || method == Method::HEAD;
        let headers =
            HeaderMap::from_iter([(http::header::ACCEPT, HeaderValue::from_static("application/json"))]);
        Ask { method, url, headers, secrets: Vec::new(), body: None, doing, repeatable, unfit: None }
    }

    /// A read.
    pub fn get(url: Url, doing: &'a str) -> Ask<'a> {
        Ask::new(Method::GET, url, doing)
    }

    /// With a query.
    #[must_use]
    pub fn query(mut self, pairs: &[(&str, &str)]) -> Ask<'a> {
        self.url.query_pairs_mut().extend_pairs(pairs);
        self
    }

    /// May be tried again like a read, because doing it twice is doing it once.
    #[must_use]
    pub fn repeatable(self) -> Ask<'a> {
        Ask { repeatable: true, ..self }
    }

    /// With a header. Where it cannot stand in a request, nothing is sent.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Ask<'a> {
        match HeaderValue::from_str(value) {
            Ok(value) => {
                self.headers.insert(name, value);
            }
            Err(_) => self.unfit = Some(name),
        }
        self
    }

    /// With a header nobody may see: a token. Taken out of every text of the answer. Where it cannot stand in a request, nothing is sent.
    #[must_use]
    pub fn secret_header(mut self, name: HeaderName, scheme: &str, secret: &str) -> Ask<'a> {
        let text = Zeroizing::new(format!("{scheme}{secret}"));
        match HeaderValue::from_str(&text) {
            Ok(mut value) => {
                value.set_sensitive(true);
                self.headers.insert(name, value);
            }
            Err(_) => self.unfit = Some(name),
        }
        self.hides(secret)
    }

    /// Also takes that out of every text of the answer.
    #[must_use]
    pub fn hides(mut self, secret: &str) -> Ask<'a> {
        self.secrets.push(Zeroizing::new(secret.to_owned()));
        self
    }

    /// With a body in JSON.
    pub fn json(self, body: &impl Serialize) -> Result<Ask<'a>, Trouble> {
        let body = serde_json::to_vec(body).map_err(|error| {
            Trouble::new(TroubleKind::Internal, self.doing, format!("the request cannot be written: {error}"))
        })?;
        Ok(self.body("application/json", Zeroizing::new(body)))
    }

    /// With a body of that type.
    #[must_use]
    pub fn body(mut self, content_type: &'static str, body: Zeroizing<Vec<u8>>) -> Ask<'a> {
        self.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.body = Some(body);
        self
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({} to {})", self.status, self.asked)
    }
}

impl Answer {
    /// Whether the service did what it was asked.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header as text, made safe to repeat.
    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.headers, name).map(|text| self.without_secrets(&text))
    }

    fn without_secrets(&self, text: &str) -> String {
        let hidden: Vec<&str> = self.secrets.iter().map(|secret| secret.as_str()).collect();
        without_secrets(text, &hidden)
    }

    /// The body, read as JSON. The error quotes nothing of it.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Trouble> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let reason = format!("the answer to {} cannot be understood ({})", self.asked, place_of(&error));
            Trouble::new(TroubleKind::Invalid, self.doing.as_str(), reason)
        })
    }

    /// What the answer means when it is no success and nobody knows better.
    pub fn kind(&self) -> TroubleKind {
        match self.status {
            401 => TroubleKind::Authentication,
            403 => TroubleKind::Authorisation,
            404 | 410 => TroubleKind::Missing,
            409 | 412 => TroubleKind::Conflict,
            429 => TroubleKind::Throttled,
            400..=499 => TroubleKind::Refused,
            500..=599 => TroubleKind::Unavailable,
            _ => TroubleKind::Invalid,
        }
    }

    /// Trouble of that kind with the service's own code and text, made safe to repeat. Without a text, what was asked and the status.
    pub fn trouble(&self, kind: TroubleKind, code: Option<&str>, text: Option<&str>) -> Trouble {
        let said = |text: &str| printable(&self.without_secrets(text));
        let reason = match text.map(said).filter(|text| !text.is_empty()) {
            Some(text) => text,
            None => format!("{} was answered with status {}", self.asked, self.status),
        };
        let code = code.map(said).filter(|code| !code.is_empty());
        Trouble {
            code: Some(code.unwrap_or_else(|| format!("HTTP {}", self.status)).into_boxed_str()),
            retry_after_seconds: self
                .retry_after
                .map(|wait| u32::try_from(wait.as_secs().max(0)).unwrap_or(u32::MAX)),
            ..Trouble::new(kind, self.doing.as_str(), reason)
        }
    }
}
