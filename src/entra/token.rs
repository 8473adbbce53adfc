//! Access tokens for Graph and for vaults: asked for once, kept until shortly before they end, asked for again when the service says so.

use std::sync::{Arc, PoisonError};

use jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use serde::Deserialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::aadsts::{Meaning, TokenError};
use super::error::{EntraError, ErrorKind};
use super::line::Line;
use super::odata::percent_encoded;
use super::retry::{given_up, silence, tell_of, wait_after};
use super::sign_in::{OwnCredential, Proof};
use crate::key::SignatureAlgorithm;
use crate::net::printable;
use crate::net::{Attempts, RetrySettings};

/// How long before its end a token is no longer used.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// A token. Opaque: nothing of it is read.
pub(crate) struct Token {
    pub(crate) value: Zeroizing<String>,
    use_until: Timestamp,
}

/// The tokens of one tenant for one scope, that of the line.
pub(crate) struct TokenSource {
    line: Line,
    tenant: String,
    credential: OwnCredential,
    retry: RetrySettings,
    assertion: SignatureAlgorithm,
    cached: std::sync::Mutex<Option<Arc<Token>>>,
    // Held while asking, so that many requests that find no token ask once.
    asking: tokio::sync::Mutex<()>,
}

impl TokenSource {
    pub(crate) fn new(
        line: Line,
        tenant: String,
        credential: OwnCredential,
        retry: RetrySettings,
        assertion: SignatureAlgorithm,
    ) -> TokenSource {
        TokenSource {
            line,
            tenant,
            credential,
            retry,
            assertion,
            cached: std::sync::Mutex::new(None),
            asking: tokio::sync::Mutex::new(()),
        }
    }

    /// Who signs in.
    pub(super) fn credential(&self) -> &OwnCredential {
        &self.credential
    }

    /// The tenant the operator meant the credential for, if any was named.
    pub(super) fn meant_for(&self) -> Option<&str> {
        self.credential.tenant.as_deref()
    }

    /// A token that is good for a while yet.
    pub(super) async fn bearer(&self) -> Result<Arc<Token>, EntraError> {
        self.bearer_for(None).await
    }

    /// The same; with claims that a service asks for, always a new one that has them.
    pub(crate) async fn bearer_for(&self, claims: Option<&str>) -> Result<Arc<Token>, EntraError> {
        let usable = || if claims.is_none() { self.usable() } else { None };
        if let Some(token) = usable() {
            return Ok(token);
        }
        let asking = self.asking.lock().await;
        if let Some(token) = usable() {
            return Ok(token);
        }
        let token = Arc::new(self.ask(claims).await?);
        *self.cached() = Some(token.clone());
        drop(asking);
        Ok(token)
    }

    /// Forgets a token the service refused, unless a newer one is there already.
    pub(crate) fn discard(&self, refused: &Arc<Token>) {
        let mut cached = self.cached();
        if cached.as_ref().is_some_and(|token| Arc::ptr_eq(token, refused)) {
            *cached = None;
        }
    }

    fn cached(&self) -> std::sync::MutexGuard<'_, Option<Arc<Token>>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usable(&self) -> Option<Arc<Token>> {
        let now = self.line.clock.now();
        self.cached().as_ref().filter(|token| token.use_until > now).cloned()
    }

    async fn ask(&self, claims: Option<&str>) -> Result<Token, EntraError> {
        let url = self.line.endpoints.token_url(&self.tenant)?;
        let doing = format!("signing in to tenant {} as {}", self.tenant, self.credential.describe());
        if let Some(answer) = self.credential.direct(&self.line, &self.retry, &doing, &self.tenant).await {
            return self.accept(&doing, &answer?);
        }
        let random = &*self.line.random;
        let mut attempts = Attempts::new(&self.retry);
        loop {
            let mut proof =
                self.credential.proof(url.as_str(), self.assertion, &self.line, &self.retry).await?;
            let client_id = self.credential.client_id.to_string();
            proof.fields.extend(claims.map(|claims| ("claims", Zeroizing::new(claims.to_owned()))));
            let request =
                token_request(&url, &client_id, self.line.endpoints.scope(), &proof, self.line.random_id())?;
            let (error, wait) = match self.line.send(request).await {
                Ok(answer) if answer.status().is_success() => {
                    return self.accept(&doing, &Zeroizing::new(answer.into_body()));
                }
                Ok(answer) => {
                    let error = self.refusal(&doing, &url, &answer, &proof);
                    let wait = wait_after(&mut attempts, &error, random);
                    (error, wait)
                }
                Err(lost) => (silence(&doing, &lost), attempts.after_silence(&lost, random)),
            };
            match wait {
                Some(wait) => {
                    tell_of(&error, wait);
                    self.line.clock.sleep(wait).await;
                }
                None => return Err(given_up(&attempts, error)),
            }
        }
    }

    /// Takes the answer of a login service, an identity endpoint or the Azure CLI: how long the token is good for, or until when.
    fn accept(&self, doing: &str, body: &[u8]) -> Result<Token, EntraError> {
        #[derive(Deserialize)]
        struct Granted {
            #[serde(alias = "accessToken")]
            access_token: String,
            expires_in: Option<Seconds>,
            expires_on: Option<Seconds>,
        }
        // The parser's own error would quote what it stumbled over.
        let granted = serde_json::from_slice::<Granted>(body);
        let usable = |token: &str| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        let until = |end: Seconds| Seconds(end.0.saturating_sub(self.line.clock.now().as_second()));
        let granted = granted.ok().and_then(|granted| {
            let token = Zeroizing::new(granted.access_token);
            Some((token, granted.expires_in.or(granted.expires_on.map(until))?))
        });
        let Some((value, expires_in)) = granted.filter(|(token, _)| usable(token)) else {
            let reason = "the answer holds no usable token";
            return Err(EntraError::new(ErrorKind::InvalidAnswer, doing, reason));
        };
        let life = SignedDuration::from_secs(expires_in.0.clamp(0, 86_400));
        let used_for = (life - MARGIN).max(life / 2);
        let now = self.line.clock.now();
        Ok(Token { value, use_until: now.checked_add(used_for).unwrap_or(now) })
    }

    fn refusal(&self, doing: &str, url: &Url, answer: &http::Response<Vec<u8>>, proof: &Proof) -> EntraError {
        let now = self.line.clock.now();
        let said = TokenError::parse(
            answer.status().as_u16(),
            answer.headers(),
            answer.body(),
            now,
            &proof.secrets(),
        );
        let kind = match (said.meaning(), said.status) {
            (_, 429) => ErrorKind::Throttled,
            (Meaning::Busy, _) => ErrorKind::Unavailable,
            (Meaning::Unknown, 300..=399) => ErrorKind::InvalidAnswer,
            (
                Meaning::NotYet
                | Meaning::OutOfTime
                | Meaning::WrongKey
                | Meaning::Clock
                | Meaning::Settings
                | Meaning::Policy
                | Meaning::Unknown,
                _,
            ) => ErrorKind::Authentication,
        };
        said.into_error(kind, doing, url)
    }
}

/// `expires_in`: a number, or a number in a text as managed identities write it.
struct Seconds(i64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let number = value.as_i64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
        number.map(Seconds).ok_or_else(|| serde::de::Error::custom("not a number of seconds"))
    }
}

/// A client-credentials request. The body holds a secret or an assertion; the header tells our id of the request.
pub(super) fn token_request(
    url: &Url,
    client_id: &str,
    scope: &str,
    proof: &Proof,
    request_id: Uuid,
) -> Result<http::Request<Vec<u8>>, EntraError> {
    let plain = [("client_id", client_id), ("scope", scope), ("grant_type", "client_credentials")];
    let secret = proof.fields.iter().map(|(name, value)| (*name, value.as_str()));
    let mut form = Zeroizing::new(String::with_capacity(4096));
    for (name, value) in plain.into_iter().chain(secret) {
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(name);
        form.push('=');
        form.push_str(&Zeroizing::new(percent_encoded(value)));
    }
    http::Request::post(url.as_str())
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", "application/json")
        .header("client-request-id", request_id.to_string())
        .body(form.as_bytes().to_vec())
        .map_err(|error| {
            EntraError::new(ErrorKind::Settings, "asking for a token", &printable(&error.to_string()))
        })
}
