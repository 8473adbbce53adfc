//! The real transport, against the emulator's server and against servers that misbehave. All on loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use certroll::desired::{Cloud, SelectBy};
use certroll::emulator::Server;
use certroll::entra::{
    DirectoryReader, EmulatorClock, EndpointOverrides, Endpoints, GraphClient, GraphSettings, HttpsOptions,
    HttpsTransport, Line, Transport, TransportError, Trust, observe,
};
use certroll::net::{Sent, TransportErrorKind, is_loopback};
use certroll::observed::TargetState;
use certroll::random::SystemRandom;
use http::Request;
use tokio::sync::Semaphore;

use super::support::{TENANT, World, address, app};

fn options(trust: Trust) -> HttpsOptions {
    HttpsOptions {
        trust,
        timeout: Duration::from_secs(5),
        answer_bytes_max: 1 << 16,
        ..HttpsOptions::default()
    }
}

async fn get(transport: &HttpsTransport, url: &str) -> Result<http::Response<Vec<u8>>, TransportError> {
    transport.send(Request::get(url).body(Vec::new()).unwrap()).await
}

/// Answers every connection with those bytes, read to the end of its request headers first.
fn raw_server(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(4) {
            let mut stream = stream.unwrap();
            let mut read = [0; 4096];
            let _ = stream.read(&mut read);
            let _ = stream.write_all(&answer);
        }
    });
    address
}

async fn failure(answer: &[u8]) -> TransportError {
    let address = raw_server(answer.to_vec());
    let transport = HttpsTransport::new(options(Trust::System)).unwrap();
    get(&transport, &format!("http://{address}/")).await.unwrap_err()
}

#[tokio::test]
async fn a_tenant_is_read_over_https_from_a_server_whose_authority_is_trusted() {
    let world = World::new();
    let (_, app_id) = world.application("Veeam");
    let server =
        Server::bind(world.emulator.clone(), "127.0.0.1:0".parse().unwrap(), Duration::ZERO).await.unwrap();
    let (url, ca) = (server.url(), server.ca_pem().as_bytes().to_vec());
    let serving = tokio::spawn(server.run());
    for trust in [Trust::Only(ca.clone()), Trust::SystemAnd(ca.clone())] {
        let overrides = EndpointOverrides { login: Some(url.clone()), graph: Some(url.clone()), scope: None };
        let line = Line::new(
            Arc::new(HttpsTransport::new(options(trust)).unwrap()),
            Arc::new(EmulatorClock::new(world.emulator.clone())),
            Arc::new(SystemRandom),
            Endpoints::resolve(Cloud::Public, &overrides).unwrap(),
            Arc::new(Semaphore::new(2)),
        );
        let client =
            GraphClient::new(line, &TENANT.to_string(), world.credential(), GraphSettings::default());
        let requests = [(address(0), app(SelectBy::AppId(app_id)))];
        let observed = observe(&DirectoryReader::new(Arc::new(client)), &requests, &[]).await.unwrap();
        assert!(matches!(observed.targets[&address(0)], TargetState::Found(_)));
    }
    let transport = HttpsTransport::new(options(Trust::System)).unwrap();
    let error = get(&transport, &format!("{url}/v1.0/applications")).await.unwrap_err();
    assert_eq!((error.kind, error.sent), (TransportErrorKind::Tls, Sent::No), "{error}");
    serving.abort();
}

/// Answers every request, as many on one connection as come, and counts the connections.
async fn patient_server() -> (SocketAddr, Arc<AtomicUsize>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
                    stream.write_all(answer).await.unwrap();
                }
            });
        }
    });
    (address, connections)
}

#[tokio::test]
async fn sign_ins_that_prove_a_key_go_over_a_new_connection_each() {
    let (address, connections) = patient_server().await;
    let world = World::new();
    let transport = Arc::new(HttpsTransport::new(options(Trust::System)).unwrap());
    let line = Line { transport, ..world.line() };
    for (line, expected) in [(line.for_proving(), 3), (line, 1)] {
        connections.store(0, Ordering::SeqCst);
        for _ in 0..3 {
            let request = Request::get(format!("http://{address}/")).body(Vec::new()).unwrap();
            assert_eq!(line.transport.send(request).await.unwrap().status(), 200);
        }
        assert_eq!(connections.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn a_refused_connection_was_not_sent() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let transport = HttpsTransport::new(options(Trust::System)).unwrap();
    let error = get(&transport, &format!("https://{free}/secret?token=hunter2")).await.unwrap_err();
    assert_eq!((error.kind, error.sent), (TransportErrorKind::Refused, Sent::No), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn plain_http_leaves_this_machine_never() {
    let transport = HttpsTransport::new(options(Trust::System)).unwrap();
    for url in ["http://graph.microsoft.com/", "http://169.254.169.254/", "http://localhost.evil.example/"] {
        let error = get(&transport, url).await.unwrap_err();
        assert_eq!((error.kind, error.sent), (TransportErrorKind::NotAllowed, Sent::No), "{url}");
    }
    for loopback in ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "[::1]", "::1", "emulator.localhost"]
    {
        assert!(is_loopback(loopback), "{loopback}");
    }
    for other in ["localhost.example", "128.0.0.1", "0.0.0.0", "evil-localhost", "10.0.0.1"] {
        assert!(!is_loopback(other), "{other}");
    }
}

#[tokio::test]
async fn an_answer_cut_short_is_lost_and_may_have_happened() {
    for cut in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 O",
        b"\x00\x01\x02\r\n\r\n",
    ] {
        let error = failure(cut).await;
        assert_eq!((error.kind, error.sent), (TransportErrorKind::Lost, Sent::Unknown), "{error}");
    }
}

#[tokio::test]
async fn an_answer_larger_than_we_hold_ends_the_reading() {
    let mut endless = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".to_vec();
    endless.resize(1_000_100, b'x');
    assert_eq!(failure(&endless).await.kind, TransportErrorKind::TooLarge);
}

#[tokio::test]
async fn a_redirect_comes_back_as_it_is() {
    let address = raw_server(
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec(),
    );
    let transport = HttpsTransport::new(options(Trust::System)).unwrap();
    assert_eq!(get(&transport, &format!("http://{address}/")).await.unwrap().status(), 302);
}

#[test]
fn a_ca_file_without_a_certificate_is_refused_at_once() {
    for junk in [&b""[..], b"not PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let made = HttpsTransport::new(options(Trust::Only(junk.to_vec())));
        // A block with junk in it is noticed when the client is built.
        if !junk.starts_with(b"-----") {
            assert_eq!(made.unwrap_err().kind, TransportErrorKind::Tls);
        }
    }
}
