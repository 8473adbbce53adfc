//! Trouble for a store that speaks HTTP: each request is one inner call that can be refused, lose its answer or be the last thing a
//! process does.

use std::sync::Arc;

use async_trait::async_trait;
use certroll::net::{Sent, Transport, TransportError, TransportErrorKind};
use http::{Request, Response};

use super::trouble::Trouble;

/// One process's way to a service.
pub struct Troubled {
    pub inner: Arc<dyn Transport>,
    pub trouble: Arc<Trouble>,
}

/// The name of a request as an inner call. One that asks Kubernetes for no values says so.
pub fn call_of(request: &Request<Vec<u8>>) -> String {
    let accept = request.headers().get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let metadata = if accept.contains("PartialObjectMetadata") { " metadata" } else { "" };
    format!("{} {}{metadata}", request.method(), request.uri().path())
}

#[async_trait]
impl Transport for Troubled {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, TransportError> {
        let call = call_of(&request);
        // What is refused never left; nothing more leaves a dead process, however often it tries.
        let refused = |_| match self.trouble.is_dead() {
            true => TransportError::new(TransportErrorKind::NotAllowed, Sent::No, "this process is dead"),
            false => TransportError::new(TransportErrorKind::Refused, Sent::No, ""),
        };
        let lost = || TransportError::new(TransportErrorKind::Lost, Sent::Unknown, "");
        let (before, after) = self.trouble.around(&call).map_err(refused)?;
        if before {
            return Err(refused(()));
        }
        let answer = self.inner.send(request).await;
        match after {
            true => Err(if self.trouble.is_dead() { refused(()) } else { lost() }),
            false => answer,
        }
    }
}
