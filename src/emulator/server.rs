//! The emulator over HTTPS, on loopback only. The certificate authority is made at each start and lives in memory.
#![allow(
    clippy::disallowed_methods,
    reason = "the server's own certificate is dated by the machine's clock, and its CA is written for clients"
)]

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::emulator::control::control;
use crate::emulator::error::EmulatorError;
use crate::emulator::{Answer, Emulator};

/// The largest body a request may have.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long the server's certificate is good for, in days by the machine's clock.
const CERTIFICATE_DAYS: i64 = 365;

/// A server that listens and has not answered anything yet.
pub struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    emulator: Emulator,
    latency: Duration,
    address: SocketAddr,
    ca_pem: String,
}

/// The connection is to be dropped without an answer.
#[derive(Debug)]
struct Hangup;

impl std::fmt::Display for Hangup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer is lost on purpose")
    }
}

impl std::error::Error for Hangup {}

/// Serves until the task is dropped. The certificate to trust is written to `ca_out` before the first connection.
pub async fn serve(
    emulator: Emulator,
    listen: SocketAddr,
    ca_out: &Path,
    latency: Duration,
) -> Result<Infallible, EmulatorError> {
    let server = Server::bind(emulator, listen, latency).await?;
    server.write_ca(ca_out)?;
    server.run().await
}

fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(doing: &str) -> impl FnOnce(E) -> EmulatorError {
    let doing = doing.to_owned();
    move |error| EmulatorError::Server { doing, source: error.into() }
}

impl Server {
    /// Listens on a loopback address; port 0 takes any free one. `latency` is added to that of the faults.
    pub async fn bind(
        emulator: Emulator,
        listen: SocketAddr,
        latency: Duration,
    ) -> Result<Server, EmulatorError> {
        if !listen.ip().is_loopback() {
            // Anybody who reaches it is let in by the other door.
            return Err(EmulatorError::refused(format!(
                "the emulator listens on loopback only, not on {}",
                listen.ip()
            )));
        }
        let listener = TcpListener::bind(listen).await.map_err(failed("listening"))?;
        let address = listener.local_addr().map_err(failed("listening"))?;
        let (config, ca_pem) = tls()?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Server { listener, acceptor, emulator, latency, address, ca_pem })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL, with the host name that every client library accepts.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The certificate of the authority to trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Writes that certificate to a file.
    pub fn write_ca(&self, path: &Path) -> Result<(), EmulatorError> {
        std::fs::write(path, &self.ca_pem).map_err(|source| EmulatorError::File {
            doing: "writing",
            path: path.to_path_buf(),
            source,
        })
    }

    /// Answers connections until the task is dropped.
    pub async fn run(self) -> Result<Infallible, EmulatorError> {
        loop {
            let (stream, _) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                // Out of file descriptors, or a client that gave up: wait a little and go on.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            let connection = connection(stream, self.acceptor.clone(), self.emulator.clone(), self.latency);
            tokio::spawn(connection);
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, emulator: Emulator, latency: Duration) {
    // A client that does not trust the certificate hangs up here; that is its business.
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| answer(request, emulator.clone(), latency));
    let served = auto::Builder::new(TokioExecutor::new());
    // An error ends this connection and nothing else: lost answers end here.
    let _ = served.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    emulator: Emulator,
    latency: Duration,
) -> Result<Response<Full<Bytes>>, Hangup> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|_| Hangup)?;
    let request = Request::from_parts(parts, body.to_bytes().to_vec());
    let latency = latency + emulator.latency();
    // Handling takes a lock and may write to disk.
    let handled = tokio::task::spawn_blocking(move || match control(&emulator, &request) {
        Some(response) => (Answer::Response(response), true),
        None => (emulator.handle(&request), false),
    });
    let (answer, by_other_door) = handled.await.map_err(|_| Hangup)?;
    if !by_other_door && !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    match answer {
        Answer::Response(response) => Ok(response.map(|body| Full::new(Bytes::from(body)))),
        Answer::Lost => Err(Hangup),
    }
}

/// A fresh authority, and a server certificate made by it for the names of this machine.
fn tls() -> Result<(ServerConfig, String), EmulatorError> {
    let made = || failed::<rcgen::Error>("making its certificate");
    let ca_key = KeyPair::generate().map_err(made())?;
    let mut ca = dated("certroll emulator CA")?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_certificate = ca.self_signed(&ca_key).map_err(made())?;
    let ca_pem = ca_certificate.pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().map_err(made())?;
    let mut leaf = dated("localhost")?;
    leaf.is_ca = IsCa::ExplicitNoCa;
    // Python refuses certificates without this one.
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.subject_alt_names = vec![
        SanType::DnsName("localhost".try_into().map_err(made())?),
        SanType::DnsName("emulator.localhost".try_into().map_err(made())?),
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    let certificate = leaf.signed_by(&key, &issuer).map_err(made())?;
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(failed("setting up TLS"))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, ca_pem))
}

fn dated(common_name: &str) -> Result<CertificateParams, EmulatorError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = jiff::Timestamp::now().as_second();
    let day = 24 * 3600;
    let time = |seconds| {
        time::OffsetDateTime::from_unix_timestamp(seconds).map_err(failed("making its certificate"))
    };
    params.not_before = time(now - day)?;
    params.not_after = time(now + CERTIFICATE_DAYS * day)?;
    Ok(params)
}
