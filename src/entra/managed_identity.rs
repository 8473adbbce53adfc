//! The identity a machine was given. Its endpoint hands out access tokens directly, to whoever asks on that machine.
//!
//! A virtual machine asks `169.254.169.254` over plain HTTP (Microsoft Entra documentation: how to use managed identities to acquire an
//! access token); App Service, Functions and Container Apps name their endpoint and a header in `IDENTITY_ENDPOINT` and
//! `IDENTITY_HEADER`. A machine with several identities needs to be told which.

use reqwest::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::elsewhere::{Question, ask, busy};
use super::error::{EntraError, ErrorKind};
use super::line::Line;
use crate::key::Secret;
use crate::net::{MachineIdentity, RetrySettings, is_link_local, is_loopback};

/// Where a virtual machine asks.
pub const IMDS: &str = "http://169.254.169.254";

/// The identity of this machine.
#[derive(Debug, Clone)]
pub struct ManagedIdentity {
    /// Whom to ask.
    pub endpoint: IdentityEndpoint,
    /// Which of several identities.
    pub client_id: Option<Uuid>,
}

/// Whom a machine asks.
#[derive(Debug, Clone)]
pub enum IdentityEndpoint {
    /// The instance metadata service, at that origin.
    Imds(String),
    /// App Service and its relatives.
    AppService {
        /// `IDENTITY_ENDPOINT`.
        url: String,
        /// `IDENTITY_HEADER`.
        header: Secret,
    },
}

impl ManagedIdentity {
    /// For messages.
    pub fn describe(&self) -> String {
        match self.client_id {
            Some(client_id) => format!("the managed identity {client_id} of this machine"),
            None => "the managed identity of this machine".to_owned(),
        }
    }

    /// The endpoint's answer: an access token for that resource.
    pub(super) async fn answer(
        &self,
        line: &Line,
        retry: &RetrySettings,
        doing: &str,
        resource: &str,
    ) -> Result<Zeroizing<Vec<u8>>, EntraError> {
        let url = self.url(doing, resource)?;
        let header = match &self.endpoint {
            IdentityEndpoint::Imds(_) => ("metadata", "true"),
            IdentityEndpoint::AppService { header, .. } => ("x-identity-header", header.expose()),
        };
        let secrets: &[&str] = match &self.endpoint {
            IdentityEndpoint::Imds(_) => &[],
            IdentityEndpoint::AppService { header, .. } => &[header.expose()],
        };
        let hint = "assign a managed identity to this machine; with several, name one with AZURE_CLIENT_ID or client_id";
        // The documentation asks to try again after 404 and, while the endpoint is updated, 410.
        let is_busy = |status| busy(status) || matches!(status, 404 | 410);
        let question = Question { doing, secrets, hint, is_busy };
        ask(line, retry, &question, || {
            let request = http::Request::get(url.as_str()).header(header.0, header.1);
            request.extension(MachineIdentity).body(Vec::new())
        })
        .await
    }

    fn url(&self, doing: &str, resource: &str) -> Result<Url, EntraError> {
        let (base, version) = match &self.endpoint {
            IdentityEndpoint::Imds(origin) => {
                (format!("{}/metadata/identity/oauth2/token", origin.trim_end_matches('/')), "2018-02-01")
            }
            IdentityEndpoint::AppService { url, .. } => (url.clone(), "2019-08-01"),
        };
        let wrong = |reason: &str| EntraError::new(ErrorKind::Settings, doing, reason);
        let mut url = Url::parse(&base).map_err(|_| wrong("the identity endpoint is not an address"))?;
        let host = url.host_str().unwrap_or_default();
        if url.scheme() != "https" && !is_loopback(host) && !is_link_local(host) {
            return Err(wrong("the identity endpoint is neither this machine's nor https"));
        }
        url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", resource);
        if let Some(client_id) = self.client_id {
            url.query_pairs_mut().append_pair("client_id", &client_id.to_string());
        }
        Ok(url)
    }
}
