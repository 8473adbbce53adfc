//! Federation with a CI system: a token of the running job, asked for at each sign-in and shown to the login service instead of a secret.
//!
//! GitHub: `GET $ACTIONS_ID_TOKEN_REQUEST_URL&audience=…`, answer `{"value": …}`. Azure DevOps: `POST $SYSTEM_OIDCREQUESTURI?…` for a
//! service connection, answer `{"oidcToken": …}`. The job's own token goes to that address only, which must be the CI system's.

use reqwest::Url;
use zeroize::Zeroizing;

use super::elsewhere::{Question, ask, busy};
use super::error::{EntraError, ErrorKind};
use super::line::Line;
use crate::key::Secret;
use crate::net::RetrySettings;

/// What Entra expects as the audience of a federated token.
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// Which CI system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CiSystem {
    /// GitHub Actions, with `permissions: id-token: write`.
    GitHub,
    /// Azure DevOps, for that service connection.
    AzureDevOps {
        /// Its id.
        service_connection: String,
    },
}

/// Where a job asks for its token.
#[derive(Debug, Clone)]
pub struct CiToken {
    system: CiSystem,
    url: Url,
    token: Secret,
}

impl CiToken {
    /// Takes the address and the job's token. The address is https and on a host of the CI system: `home` is the system's own address
    /// as the job knows it, for servers of one's own.
    pub fn new(
        system: CiSystem,
        url: &str,
        home: Option<&str>,
        token: Secret,
    ) -> Result<CiToken, EntraError> {
        let wrong =
            |reason: String| EntraError::new(ErrorKind::Settings, "choosing certroll's own sign-in", &reason);
        let mut url = Url::parse(url.trim())
            .map_err(|_| wrong("the address for the job's token is not one".to_owned()))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let home = home.and_then(|home| Url::parse(home.trim()).ok());
        let home = home.as_ref().and_then(Url::host_str);
        let known: &[&str] = match system {
            CiSystem::GitHub => &["actions.githubusercontent.com", "ghe.com"],
            CiSystem::AzureDevOps { .. } => &["dev.azure.com", "visualstudio.com"],
        };
        let trusted = known.iter().copied().chain(home).any(|known| is_at_or_below(&host, known));
        if url.scheme() != "https" || !trusted || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(format!(
                "the job's token would go to {host}, which is not a host of the CI system over https"
            )));
        }
        match &system {
            CiSystem::GitHub => {
                url.query_pairs_mut().append_pair("audience", AUDIENCE);
            }
            CiSystem::AzureDevOps { service_connection } => {
                url.query_pairs_mut()
                    .append_pair("api-version", "7.1")
                    .append_pair("serviceConnectionId", service_connection);
            }
        }
        Ok(CiToken { system, url, token })
    }

    /// For messages.
    pub fn describe(&self) -> &'static str {
        match self.system {
            CiSystem::GitHub => "a token of this GitHub job",
            CiSystem::AzureDevOps { .. } => "a token of this Azure DevOps job",
        }
    }

    /// The token to show to the login service.
    pub(super) async fn assertion(
        &self,
        line: &Line,
        retry: &RetrySettings,
    ) -> Result<Zeroizing<String>, EntraError> {
        let (doing, hint) = match self.system {
            CiSystem::GitHub => {
                ("asking GitHub for a token of this job", "give the job permissions: id-token: write")
            }
            CiSystem::AzureDevOps { .. } => (
                "asking Azure DevOps for a token of this job",
                "map SYSTEM_ACCESSTOKEN into the step, and let the pipeline use the service connection",
            ),
        };
        let question = Question { doing, secrets: &[self.token.expose()], hint, is_busy: busy };
        let bearer = Zeroizing::new(format!("Bearer {}", self.token.expose()));
        let body = ask(line, retry, &question, || {
            let request =
                http::Request::builder().uri(self.url.as_str()).header("authorization", bearer.as_str());
            let request = request.header("accept", "application/json");
            match self.system {
                CiSystem::GitHub => request.method("GET"),
                CiSystem::AzureDevOps { .. } => {
                    // Without it a sign-in page answers instead of a refusal.
                    let request = request.method("POST").header("content-length", "0");
                    request.header("x-tfs-fedauthredirect", "Suppress")
                }
            }
            .body(Vec::new())
        })
        .await?;
        let name = match self.system {
            CiSystem::GitHub => "value",
            CiSystem::AzureDevOps { .. } => "oidcToken",
        };
        token_in(&body, name).ok_or_else(|| {
            EntraError::new(ErrorKind::InvalidAnswer, doing, "the answer holds no signed token")
                .with_hint(hint)
        })
    }
}

/// A JSON Web Token under that name. The parser's own error would quote what it stumbled over.
fn token_in(body: &[u8], name: &str) -> Option<Zeroizing<String>> {
    let mut answer: std::collections::BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(body).ok()?;
    match answer.remove(name)? {
        serde_json::Value::String(token) if token.split('.').count() == 3 => Some(Zeroizing::new(token)),
        _ => None,
    }
}

fn is_at_or_below(host: &str, known: &str) -> bool {
    let below = host.strip_suffix(known).is_some_and(|rest| rest.ends_with('.'));
    host.eq_ignore_ascii_case(known) || below
}
