//! HashiCorp Vault and OpenBao: signing in and asking, for the KV v2 store and the PKI issuer.
//!
//! Facts are from the HTTP API documentation of both, and tried on Vault 1.21: a token goes into `X-Vault-Token`, errors come as
//! `{"errors": [...]}`, status 404 with an empty list means that nothing is there, and 429 of `sys/health` is no throttling (it is not
//! asked here).

pub mod auth;
pub mod kv;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use http::{HeaderName, Method};
use jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::edges::{Trouble, TroubleKind};
use crate::key::Secret;
use crate::may::May;
use crate::net::{Answer, Ask, NoAnswer, Service};
use auth::Auth;

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// A token that ends sooner than this is not used any more.
const MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// One Vault, signed in to once for all that is asked of it.
pub struct Vault {
    service: Service,
    auth: Auth,
    /// Namespace of the sign-in.
    auth_namespace: Option<String>,
    token: std::sync::Mutex<Option<Arc<Token>>>,
    // Held while signing in, so that many requests that find no token sign in once.
    signing_in: tokio::sync::Mutex<()>,
}

struct Token {
    value: Secret,
    /// `None`: it does not end, or nobody said.
    use_until: Option<Timestamp>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("service", &self.service).finish_non_exhaustive()
    }
}

/// A request below `v1/`.
pub(crate) struct VaultAsk<'a> {
    pub(crate) method: Method,
    /// Segments of the path; slashes inside one separate parts.
    pub(crate) path: &'a [&'a str],
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) namespace: Option<&'a str>,
    pub(crate) body: Option<&'a Value>,
    pub(crate) doing: &'a str,
}

/// The usual wrapping of an answer.
#[derive(Deserialize)]
pub(crate) struct Wrapped<T> {
    pub(crate) data: T,
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

#[derive(Deserialize)]
struct SignedIn {
    auth: Granted,
}

#[derive(Deserialize)]
struct Granted {
    client_token: String,
    #[serde(default)]
    lease_duration: i64,
}

impl Vault {
    /// A Vault at that service. Nothing is sent yet.
    pub fn new(service: Service, auth: Auth, auth_namespace: Option<String>) -> Vault {
        Vault {
            service,
            auth,
            auth_namespace,
            token: std::sync::Mutex::new(None),
            signing_in: tokio::sync::Mutex::new(()),
        }
    }

    /// Its address and name, for messages.
    pub fn service(&self) -> &Service {
        &self.service
    }

    fn url(&self, path: &[&str]) -> Url {
        let segments = path.iter().flat_map(|part| part.split('/')).filter(|part| !part.is_empty());
        self.service.url(std::iter::once("v1").chain(segments))
    }

    /// Asks with a token. One that is refused as unknown is renewed once: the service has not acted on such a request.
    pub(crate) async fn ask(&self, ask: &VaultAsk<'_>) -> Result<Answer, NoAnswer> {
        let mut renewed = false;
        loop {
            let not_sent = |trouble| NoAnswer { trouble, sent: crate::net::Sent::No };
            let token = self.token(ask.doing).await.map_err(not_sent)?;
            let mut request = Ask::new(ask.method.clone(), self.url(ask.path), ask.doing).query(ask.query);
            request = request.header(REQUEST, "true").secret_header(TOKEN, "", token.value.expose());
            // A token of a namespace reaches nothing outside of it.
            if let Some(namespace) = ask.namespace.or(self.auth_namespace.as_deref()) {
                request = request.header(NAMESPACE, namespace);
            }
            if let Some(body) = ask.body {
                request = request.json(body).map_err(not_sent)?;
            }
            let answer = self.service.send(request).await?;
            if !renewed && self.auth.can_renew() && is_of_the_token(&answer) {
                self.forget(&token);
                renewed = true;
                continue;
            }
            return Ok(answer);
        }
    }

    /// What a successful answer holds under `data`; any other becomes trouble.
    pub(crate) async fn data<T: DeserializeOwned>(&self, ask: &VaultAsk<'_>) -> Result<T, Trouble> {
        let answer = self.ask(ask).await?;
        if !answer.is_success() {
            return Err(refused(&answer));
        }
        Ok(answer.json::<Wrapped<T>>()?.data)
    }

    /// Who signs in, for messages.
    pub(crate) fn signs_in(&self) -> String {
        self.auth.describe()
    }

    /// Whether the token has these capabilities on these paths. Asking changes nothing (`sys/capabilities-self`); a token that may not
    /// even ask is told nothing.
    pub(crate) async fn may(
        &self,
        namespace: Option<&str>,
        needed: &[(String, &[&str])],
        doing: &str,
    ) -> Result<May, Trouble> {
        let paths: Vec<&str> = needed.iter().map(|(path, _)| path.as_str()).collect();
        let body = json!({ "paths": paths });
        let path = ["sys", "capabilities-self"];
        let ask =
            VaultAsk { method: Method::POST, path: &path, query: &[], namespace, body: Some(&body), doing };
        let answer = self.ask(&ask).await?;
        match answer.status {
            200 => {}
            403 | 404 if !is_of_the_token(&answer) => return Ok(May::NotTold),
            _ => return Err(refused(&answer)),
        }
        let has: BTreeMap<String, Vec<String>> = answer.json::<Wrapped<_>>()?.data;
        let lacking = needed.iter().filter_map(|(path, wanted)| {
            let held = has.get(path).map(Vec::as_slice).unwrap_or_default();
            let holds = |one: &&&str| held.iter().any(|held| held == *one || held == "root");
            let lacks: Vec<&str> = wanted.iter().filter(|one| !holds(one)).copied().collect();
            (!lacks.is_empty()).then(|| format!("{} on {path}", lacks.join(", ")))
        });
        let lacking: Vec<String> = lacking.collect();
        Ok(match lacking.as_slice() {
            [] => May::Yes,
            _ => May::no(
                format!("the token's policies lack {}", lacking.join("; ")),
                "add that to a policy of the token or of the role it comes from",
            ),
        })
    }

    async fn token(&self, doing: &str) -> Result<Arc<Token>, Trouble> {
        if let Some(token) = self.usable() {
            return Ok(token);
        }
        let signing_in = self.signing_in.lock().await;
        if let Some(token) = self.usable() {
            return Ok(token);
        }
        let token = Arc::new(self.sign_in(doing).await?);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        drop(signing_in);
        Ok(token)
    }

    fn usable(&self) -> Option<Arc<Token>> {
        let now = self.service.way().clock.now();
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        token.as_ref().filter(|token| token.use_until.is_none_or(|until| until > now)).cloned()
    }

    fn forget(&self, refused: &Arc<Token>) {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if token.as_ref().is_some_and(|token| Arc::ptr_eq(token, refused)) {
            *token = None;
        }
    }

    async fn sign_in(&self, doing: &str) -> Result<Token, Trouble> {
        let Some(login) = self.auth.login()? else {
            return Ok(Token { value: self.auth.given_token()?, use_until: None });
        };
        let doing = format!("signing in to {} with {} ({doing})", self.service.name(), login.method);
        let path = ["auth", login.mount.as_str(), "login"];
        let mut ask = Ask::new(Method::POST, self.url(&path), &doing).header(REQUEST, "true");
        for secret in &login.secrets {
            ask = ask.hides(secret.expose());
        }
        if let Some(namespace) = &self.auth_namespace {
            ask = ask.header(NAMESPACE, namespace);
        }
        let answer = self.service.send(ask.json(&login.body)?).await?;
        if !answer.is_success() {
            let said = errors_of(&answer).join("; ");
            let kind = match answer.status {
                400..=403 => TroubleKind::Authentication,
                _ => answer.kind(),
            };
            let trouble = answer.trouble(kind, None, Some(&said));
            return Err(trouble.with_hint(format!(
                "check {} and that the role of the auth method at {} lets it in",
                login.source, login.mount
            )));
        }
        let Granted { client_token, lease_duration } = answer.json::<SignedIn>()?.auth;
        let now = self.service.way().clock.now();
        let life = SignedDuration::from_secs(lease_duration.clamp(0, 31_536_000));
        let used_for = (life - MARGIN).max(life / 2);
        let use_until = (lease_duration > 0).then(|| now.checked_add(used_for).unwrap_or(now));
        Ok(Token { value: Secret::new(client_token), use_until })
    }
}

fn texts_of(answer: &Answer) -> Vec<String> {
    answer.json::<Errors>().map(|body| body.errors).unwrap_or_default()
}

/// What Vault says went wrong; empty where it says nothing.
pub(crate) fn errors_of(answer: &Answer) -> Vec<String> {
    texts_of(answer).iter().flat_map(|text| unfolded(text)).collect()
}

/// Vault writes several errors, and some single ones, as a list in one text: `2 errors occurred:`, then a line for each.
fn unfolded(text: &str) -> Vec<String> {
    match text.split_once(" occurred:\n") {
        Some((count, list)) if count.ends_with(" error") || count.ends_with(" errors") => {
            let lines = list.lines().map(|line| line.trim().trim_start_matches("* ").to_owned());
            lines.filter(|line| !line.is_empty()).collect()
        }
        _ => vec![text.to_owned()],
    }
}

/// Whether a refusal is of the token, which is unknown or has ended. Vault then adds "invalid token"; OpenBao and old versions say
/// "permission denied" and no more. A missing right comes as a list of one: signing in again, perhaps with a secret id that serves once,
/// would not help.
fn is_of_the_token(answer: &Answer) -> bool {
    let bare = || texts_of(answer).iter().any(|text| text == "permission denied");
    answer.status == 403 && (errors_of(answer).iter().any(|error| error == "invalid token") || bare())
}

/// The trouble of an answer that is no success.
pub(crate) fn refused(answer: &Answer) -> Trouble {
    let said = errors_of(answer).join("; ");
    let sealed = answer.status == 503;
    let ended = is_of_the_token(answer);
    let kind = if ended { TroubleKind::Authentication } else { answer.kind() };
    let trouble = answer.trouble(kind, None, Some(&said));
    match answer.status {
        _ if ended => trouble.with_hint("the token is unknown to this vault or has ended: give another one"),
        403 => trouble.with_hint("the token's policies lack a capability on this path"),
        _ if sealed => trouble.with_hint("the vault is sealed or in maintenance: unseal it, then run again"),
        _ => trouble,
    }
}
