//! Requests out, answers in. What crosses this line is plain HTTP, so that the emulator can stand behind it in process and
//! a simulation can own time.

use std::error::Error;
use std::fmt;

use std::sync::Arc;

use async_trait::async_trait;

use super::text::printable;

/// Carries one request to its host and brings back the answer. Follows no redirect and repeats nothing.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends one request. An answer of any status is `Ok`.
    async fn send(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, TransportError>;

    /// The same way with a new connection for each request, where connections are kept at all. For proving: login servers learn
    /// of a key one after another, and a kept connection reaches the same one each time.
    fn without_kept_connections(&self) -> Option<Arc<dyn Transport>> {
        None
    }
}

/// Why no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransportErrorKind {
    /// The host is there and refuses the connection, or no route leads to it.
    Refused,
    /// The name does not resolve.
    Dns,
    /// TLS could not be agreed, or the certificate is not trusted.
    Tls,
    /// Nothing came in time.
    Timeout,
    /// The connection ended while a request was under way.
    Lost,
    /// The answer is larger than we are willing to hold.
    TooLarge,
    /// We refuse to send this: plain HTTP to another machine, an address we cannot read.
    NotAllowed,
    /// No credential could be had for it.
    SignIn,
    /// Anything else.
    Other,
}

/// Whether the service may have seen the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sent {
    /// It cannot have: no connection was made.
    No,
    /// It may have acted on it. Nobody knows without looking.
    Unknown,
}

/// No answer. Says why, without the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError {
    /// What happened.
    pub kind: TransportErrorKind,
    /// Whether the service may have seen the request.
    pub sent: Sent,
    /// The reason, one line.
    pub reason: String,
    /// Who was asked, as `host` or `host:port`, where that is known.
    pub asked: Option<String>,
}

impl TransportError {
    /// An error whose reason is already a sentence.
    pub fn new(kind: TransportErrorKind, sent: Sent, reason: &str) -> TransportError {
        TransportError { kind, sent, reason: printable(reason), asked: None }
    }

    /// Whether the same request may well succeed later.
    pub fn is_passing(&self) -> bool {
        match self.kind {
            TransportErrorKind::Refused
            | TransportErrorKind::Dns
            | TransportErrorKind::Timeout
            | TransportErrorKind::Lost
            | TransportErrorKind::Other => true,
            TransportErrorKind::Tls
            | TransportErrorKind::TooLarge
            | TransportErrorKind::SignIn
            | TransportErrorKind::NotAllowed => false,
        }
    }

    /// What to try.
    pub fn hint(&self) -> &'static str {
        match self.kind {
            TransportErrorKind::Refused => {
                "check the address, the proxy (HTTPS_PROXY, NO_PROXY) and the firewall"
            }
            TransportErrorKind::Dns => "check the host name and this machine's name resolution",
            TransportErrorKind::Tls => {
                "if a proxy inspects TLS, name its certificate authority in CERTROLL_CA_FILE"
            }
            TransportErrorKind::Timeout | TransportErrorKind::Lost | TransportErrorKind::Other => {
                "run the same command again; what is done stays done"
            }
            TransportErrorKind::TooLarge => "something other than the service may be answering",
            TransportErrorKind::NotAllowed => "use https, or http to loopback only",
            TransportErrorKind::SignIn => "check what it is signed in to with",
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            TransportErrorKind::Refused => "the connection was refused",
            TransportErrorKind::Dns => "the host name could not be resolved",
            TransportErrorKind::Tls => "TLS failed",
            TransportErrorKind::Timeout => "no answer in time",
            TransportErrorKind::Lost => "the connection ended before the answer",
            TransportErrorKind::TooLarge => "the answer is too large",
            TransportErrorKind::NotAllowed => "not sent",
            TransportErrorKind::SignIn => "signing in failed",
            TransportErrorKind::Other => "the request failed",
        })?;
        match (&self.asked, self.reason.as_str()) {
            (None, "") => Ok(()),
            (None, reason) => write!(f, " ({reason})"),
            (Some(asked), "") => write!(f, " ({asked})"),
            (Some(asked), reason) => write!(f, " ({asked}: {reason})"),
        }
    }
}

impl Error for TransportError {}

/// The texts of an error and its causes as one line, without repetitions. Outer texts of HTTP libraries say little ("error
/// sending request"); the reason is further down.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !texts.iter().any(|seen| seen.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    printable(&texts.join(": "))
}

/// Marks a request for a token of the machine's own identity: it alone may go over plain HTTP to a link-local address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineIdentity;

/// Whether a host is an IPv4 address that no router passes on (RFC 3927): the machine's own surroundings.
pub fn is_link_local(host: &str) -> bool {
    host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_link_local())
}

/// Whether a host is this machine. Names are not resolved: only the spelling counts.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback_address = bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    is_loopback_address || bare.eq_ignore_ascii_case("localhost") || bare.ends_with(".localhost")
}
