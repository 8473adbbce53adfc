//! Requests over kube's client, which signs in, renews tokens and goes through proxies. What is asked, how often, and what an answer
//! means stay with [`Service`](crate::net::Service).

use std::error::Error as StdError;
use std::time::Duration;

use async_trait::async_trait;
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy;
use kube::Client;
use kube::client::{AuthError, Body};

use crate::net::{Sent, Transport, TransportError, TransportErrorKind, causes, is_tls};

/// Longest time from the request to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(100);

/// Largest answer in bytes. A Secret has at most 1 MiB of values and 256 KiB of annotations.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// One API server.
pub(super) struct KubeTransport(pub(super) Client);

#[async_trait]
impl Transport for KubeTransport {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, TransportError> {
        let exchange = self.exchange(request);
        let late = |_| TransportError::new(TransportErrorKind::Timeout, Sent::Unknown, "");
        tokio::time::timeout(TIMEOUT, exchange).await.map_err(late)?
    }
}

impl KubeTransport {
    async fn exchange(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, TransportError> {
        let (mut head, body) = request.into_parts();
        // The client puts the configured scheme, host and port before the path, and nothing else.
        let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        head.uri = path.parse().map_err(|_| {
            TransportError::new(TransportErrorKind::NotAllowed, Sent::No, "the address cannot be read")
        })?;
        let answer =
            self.0.send(Request::from_parts(head, Body::from(body))).await.map_err(|e| failure(&e))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| {
            let kind = match error.is::<http_body_util::LengthLimitError>() {
                true => TransportErrorKind::TooLarge,
                false => TransportErrorKind::Lost,
            };
            TransportError::new(kind, Sent::Unknown, "")
        })?;
        Ok(Response::from_parts(head, body.to_bytes().to_vec()))
    }
}

fn failure(error: &kube::Error) -> TransportError {
    if let kube::Error::Auth(error) = error {
        return TransportError::new(TransportErrorKind::SignIn, Sent::No, &sign_in_failure(error));
    }
    let first: &(dyn StdError + 'static) = error;
    let mut chain = std::iter::successors(Some(first), |error| (*error).source());
    let connecting =
        chain.find_map(|error| error.downcast_ref::<legacy::Error>()).is_some_and(legacy::Error::is_connect);
    let kind = match (is_tls(error), connecting) {
        (true, _) => TransportErrorKind::Tls,
        (false, true) => TransportErrorKind::Refused,
        (false, false) => TransportErrorKind::Lost,
    };
    let sent = if connecting { Sent::No } else { Sent::Unknown };
    TransportError::new(kind, sent, &causes(error))
}

/// Why a sign-in failed. The library's own text may hold what a plugin wrote, a token included.
pub(super) fn sign_in_failure(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { out, .. } => format!("the kubeconfig's plugin failed ({})", out.status),
        AuthError::AuthExecStart(error) => format!("the kubeconfig's plugin could not be started: {error}"),
        AuthError::AuthExec(_) | AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
            "the kubeconfig's plugin wrote no credential".to_owned()
        }
        AuthError::ReadTokenFile(error, path) => {
            format!("the token file {} cannot be read: {error}", path.display())
        }
        AuthError::InvalidBearerToken(_) | AuthError::InvalidBasicAuth(_) => {
            "the credential cannot stand in a request".to_owned()
        }
        _ => "no credential could be had as the kubeconfig says".to_owned(),
    }
}
