//! Serves a service of the test's own on loopback, for whole commands that reach it over the network.

use std::sync::Arc;

use certroll::net::Transport;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

/// Starts serving; returns the URL. Serves until the process ends.
pub fn serve(service: Arc<dyn Transport>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let service = Arc::clone(&service);
                tokio::spawn(async move {
                    let respond = service_fn(move |request| respond(Arc::clone(&service), request));
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    // A client that goes away is no trouble of the server's.
                    let _ = builder.serve_connection(TokioIo::new(stream), respond).await;
                });
            }
        });
    });
    url
}

async fn respond(
    service: Arc<dyn Transport>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let answer = service.send(Request::from_parts(head, body.to_vec())).await;
    answer.map(|answer| answer.map(|body| Full::new(Bytes::from(body)))).map_err(std::io::Error::other)
}
