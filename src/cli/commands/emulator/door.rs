//! The emulator's other door: the same requests in this process on a state file, or to a running server.
#![allow(clippy::disallowed_methods, reason = "reads the authority that the environment names")]

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use http::{Method, Request};
use serde_json::Value;
use uuid::Uuid;

use super::args::StateArgs;
use super::{EmulatorCliError, EmulatorEnv};
use crate::emulator::{Emulator, control};

/// Where the state lies when nobody says.
const STATE_DEFAULT: &str = ".certroll/emulator.json";

/// How long a running server may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// The state file that arguments and environment name.
pub(super) fn state_path(state: &StateArgs, env: &EmulatorEnv) -> PathBuf {
    let named = state.state.clone().or_else(|| env.state.clone());
    named.unwrap_or_else(|| PathBuf::from(STATE_DEFAULT))
}

/// The emulator's other door: in this process on a state file, or on a running server.
pub(super) enum Door {
    Here(Box<Emulator>),
    There { client: reqwest::Client, url: String },
}

impl Door {
    /// An explicit `--state` wins over a server in the environment.
    pub(super) fn new(state: &StateArgs, env: &EmulatorEnv) -> Result<Door, EmulatorCliError> {
        let Some(url) = env.server.as_ref().filter(|_| state.state.is_none()) else {
            return Ok(Door::Here(Box::new(Emulator::open(&state_path(state, env))?)));
        };
        let url = url.trim_end_matches('/').to_owned();
        let remote = |reason: String| EmulatorCliError::Remote { url: url.clone(), reason };
        let file = env
            .ca_file
            .as_ref()
            .ok_or_else(|| remote("CERTROLL_CA_FILE must name the certificate to trust".to_owned()))?;
        let pem = fs::read(file).map_err(|source| EmulatorCliError::File {
            doing: "reading",
            path: file.clone(),
            source,
        })?;
        let authority = reqwest::Certificate::from_pem(&pem).map_err(|error| remote(causes(&error)))?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([authority])
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER_WITHIN)
            .build()
            .map_err(|error| remote(causes(&error)))?;
        Ok(Door::There { client, url })
    }

    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<String, EmulatorCliError> {
        let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let (status, text) = match self {
            Door::Here(emulator) => {
                let request = Request::builder()
                    .method(method)
                    .uri(format!("https://emulator.localhost/_emulator/{path}"))
                    .body(body)
                    .map_err(|error| EmulatorCliError::Input(error.to_string()))?;
                let answer = control(emulator, &request).unwrap_or_default();
                (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
            }
            Door::There { client, url } => {
                let remote = |error: reqwest::Error| EmulatorCliError::Remote {
                    url: url.clone(),
                    reason: causes(&error.without_url()),
                };
                let request = client.request(method, format!("{url}/_emulator/{path}")).body(body);
                let answer = request.send().await.map_err(remote)?;
                (answer.status().as_u16(), answer.text().await.map_err(remote)?)
            }
        };
        if status == 200 {
            return Ok(text);
        }
        let reason = serde_json::from_str::<Value>(&text).ok();
        let reason = reason.as_ref().and_then(|body| body["error"].as_str());
        Err(EmulatorCliError::Input(
            reason.map_or_else(|| format!("the emulator answered {status}"), str::to_owned),
        ))
    }

    pub(super) async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, EmulatorCliError> {
        let text = self.ask(method, path, body).await?;
        serde_json::from_str(&text).map_err(|error| {
            EmulatorCliError::Input(format!("the emulator's answer cannot be read: {error}"))
        })
    }

    /// Tenant and object id of an application named by an id or by its display name. An id that is not found is
    /// taken as it is: it may be that of a deleted one.
    pub(super) async fn find(&self, name: &str) -> Result<(Option<String>, String), EmulatorCliError> {
        let shown = self.json(Method::GET, "show", None).await?;
        let mut found = Vec::new();
        for tenant in shown["tenants"].as_array().into_iter().flatten() {
            for application in tenant["applications"].as_array().into_iter().flatten() {
                let text = |member: &str| application[member].as_str().unwrap_or_default();
                let is_id = |id: &str| id.eq_ignore_ascii_case(name);
                if is_id(text("id")) || is_id(text("appId")) || text("displayName") == name {
                    found.push((tenant["tenant"].as_str().map(str::to_owned), text("id").to_owned()));
                }
            }
        }
        match (found.pop(), found.len(), name.parse::<Uuid>()) {
            (Some(one), 0, _) => Ok(one),
            (Some(_), others, _) => Err(EmulatorCliError::Input(format!(
                "{} applications are called {name:?}; use an id",
                others + 1
            ))),
            (None, _, Ok(id)) => Ok((None, id.to_string())),
            (None, _, Err(_)) => Err(EmulatorCliError::Input(format!(
                "no application is called {name:?}; certroll emulator show lists them"
            ))),
        }
    }
}

/// An error with everything beneath it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}
