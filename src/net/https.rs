//! The real transport: HTTPS with rustls on aws-lc-rs. Redirects are off, plain HTTP goes to loopback only, answers are
//! bounded. Loopback is never reached through a proxy.
#![allow(clippy::disallowed_methods, reason = "builds the HTTP client, which is I/O")]

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Certificate, Client, redirect};

use super::text::printable;
use super::transport::{
    MachineIdentity, Sent, Transport, TransportError, TransportErrorKind, causes, is_link_local, is_loopback,
};

/// Which certificate authorities are trusted besides or instead of the system's.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// The system's; Mozilla's built-in ones where the system has none.
    #[default]
    System,
    /// The system's and those in this PEM text.
    SystemAnd(Vec<u8>),
    /// Only those in this PEM text.
    Only(Vec<u8>),
}

/// How the transport behaves.
#[derive(Debug, Clone)]
pub struct HttpsOptions {
    /// Whom to trust.
    pub trust: Trust,
    /// Longest time to a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest time from the request to the last byte of the answer.
    pub timeout: Duration,
    /// Time without an answer after which that is told.
    pub patience: Duration,
    /// Largest answer, after decompression, in bytes.
    pub answer_bytes_max: usize,
    /// Whether connections are used again. Off for proving: a new connection may reach another front end.
    pub keep_connections: bool,
}

impl Default for HttpsOptions {
    fn default() -> HttpsOptions {
        HttpsOptions {
            trust: Trust::System,
            connect_timeout: Duration::from_secs(15),
            timeout: Duration::from_secs(100),
            patience: Duration::from_secs(5),
            answer_bytes_max: 64 << 20,
            keep_connections: true,
        }
    }
}

/// Sends over the network.
pub struct HttpsTransport {
    options: HttpsOptions,
    remote: OnceLock<Client>,
    loopback: OnceLock<Client>,
}

impl std::fmt::Debug for HttpsTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpsTransport").finish_non_exhaustive()
    }
}

impl HttpsTransport {
    /// Takes the options. A PEM text without a certificate is refused here, not at the first request.
    pub fn new(options: HttpsOptions) -> Result<HttpsTransport, TransportError> {
        extra_roots(&options.trust)?;
        Ok(HttpsTransport { options, remote: OnceLock::new(), loopback: OnceLock::new() })
    }

    fn client(&self, loopback: bool) -> Result<&Client, TransportError> {
        let slot = if loopback { &self.loopback } else { &self.remote };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let client = build(&self.options, loopback)?;
        Ok(slot.get_or_init(|| client))
    }

    async fn exchange(
        &self,
        client: &Client,
        request: reqwest::Request,
    ) -> Result<http::Response<Vec<u8>>, TransportError> {
        let mut answer = client.execute(request).await.map_err(failure)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failure)? {
            if body.len() + chunk.len() > self.options.answer_bytes_max {
                return Err(TransportError::new(TransportErrorKind::TooLarge, Sent::Unknown, ""));
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = http::Response::new(body);
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

fn extra_roots(trust: &Trust) -> Result<Vec<Certificate>, TransportError> {
    let pem = match trust {
        Trust::System => return Ok(Vec::new()),
        Trust::SystemAnd(pem) | Trust::Only(pem) => pem,
    };
    let unusable =
        |reason: &str| TransportError::new(TransportErrorKind::Tls, Sent::No, &format!("CA file: {reason}"));
    let roots = Certificate::from_pem_bundle(pem).map_err(|error| unusable(&causes(&error)))?;
    if roots.is_empty() {
        return Err(unusable("no certificate in PEM form in it"));
    }
    Ok(roots)
}

fn build(options: &HttpsOptions, loopback: bool) -> Result<Client, TransportError> {
    let base = || {
        let builder = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(options.connect_timeout)
            .timeout(options.timeout)
            .user_agent(concat!("certroll/", env!("CARGO_PKG_VERSION")))
            .pool_max_idle_per_host(if options.keep_connections { 32 } else { 0 });
        if loopback { builder.no_proxy() } else { builder }
    };
    let roots = extra_roots(&options.trust)?;
    let built = match &options.trust {
        Trust::System => base().build(),
        Trust::SystemAnd(_) => base().tls_certs_merge(roots.clone()).build(),
        Trust::Only(_) => base().tls_certs_only(roots.clone()).build(),
    };
    // Machines without a CA bundle (scratch images, sandboxes) make the builder fail. Mozilla's roots, compiled in, serve then.
    built
        .or_else(|error| match options.trust {
            Trust::Only(_) => Err(error),
            Trust::System | Trust::SystemAnd(_) => {
                base().tls_certs_only(mozilla_roots().chain(roots)).build()
            }
        })
        .map_err(|error| TransportError::new(TransportErrorKind::Tls, Sent::No, &causes(&error)))
}

fn mozilla_roots() -> impl Iterator<Item = Certificate> {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter_map(|der| Certificate::from_der(der).ok())
}

#[async_trait]
impl Transport for HttpsTransport {
    fn without_kept_connections(&self) -> Option<Arc<dyn Transport>> {
        let options = HttpsOptions { keep_connections: false, ..self.options.clone() };
        // The options were found good when this transport was made.
        Some(Arc::new(HttpsTransport { options, remote: OnceLock::new(), loopback: OnceLock::new() }))
    }

    async fn send(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, TransportError> {
        let not_allowed =
            |reason: &str| TransportError::new(TransportErrorKind::NotAllowed, Sent::No, reason);
        let host = request.uri().host().ok_or_else(|| not_allowed("the address has no host"))?;
        let identity = request.extensions().get::<MachineIdentity>().is_some() && is_link_local(host);
        // Neither goes through a proxy.
        let loopback = is_loopback(host) || identity;
        if request.uri().scheme_str() != Some("https") && !loopback {
            return Err(not_allowed("plain HTTP is only for loopback and the machine's own identity"));
        }
        let client = self.client(loopback)?;
        let host = printable(host);
        let request = reqwest::Request::try_from(request).map_err(|error| not_allowed(&causes(&error)))?;
        let exchange = self.exchange(client, request);
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => return answer,
            () = tokio::time::sleep(self.options.patience) => {}
        }
        let (passed, at_most) = (self.options.patience.as_secs(), self.options.timeout.as_secs());
        tracing::warn!("{host} has not answered for {passed} s; waiting for up to {at_most} s");
        exchange.await
    }
}

/// The kind is read off types where there are any; the address is left out, its query may say too much.
fn failure(error: reqwest::Error) -> TransportError {
    let error = error.without_url();
    let kind = if is_tls(&error) {
        TransportErrorKind::Tls
    } else if error.is_timeout() {
        TransportErrorKind::Timeout
    } else if error.is_dns() {
        TransportErrorKind::Dns
    } else if error.is_connect() {
        TransportErrorKind::Refused
    } else if error.is_request() || error.is_body() || error.is_decode() {
        TransportErrorKind::Lost
    } else {
        TransportErrorKind::Other
    };
    // A TLS failure comes before the first byte of the request, except an alert that a server sends late; `is_connect`
    // tells those apart.
    let sent = if error.is_connect() || error.is_builder() { Sent::No } else { Sent::Unknown };
    TransportError::new(kind, sent, &causes(&error))
}

/// Whether TLS could not be agreed, wherever in the chain that stands.
pub(crate) fn is_tls(error: &(dyn Error + 'static)) -> bool {
    if error.is::<rustls::Error>() {
        return true;
    }
    // An `io::Error` hides what it wraps from `source()`, and they come nested.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    wrapped.is_some_and(|inner| is_tls(inner)) || error.source().is_some_and(is_tls)
}
