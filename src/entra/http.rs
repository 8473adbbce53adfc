//! Calls to Graph: a token on each, paced, tried again where that is safe. The token goes to the configured host only.

use std::sync::Arc;

use http::{Method, Response};
use jiff::SignedDuration;
use reqwest::Url;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::envelope::error_of;
use super::error::{EntraError, ErrorKind};
use super::line::Line;
use super::pace::{Budgets, Class, Pacer};
use super::retry::{given_up, silence, tell_of, wait_after};
use super::sign_in::OwnCredential;
use super::tenant::tenant_id;
use super::token::{Token, TokenSource};
use super::wire::Page;
use crate::key::SignatureAlgorithm;
use crate::net::header;
use crate::net::{Attempts, RetrySettings};
use crate::net::{Sent, TransportError};
use crate::net::{place_of, printable};

/// Pages of one list beyond which something is wrong: ten million objects.
const PAGES_MAX: usize = 10_000;

/// Settings of the calls to one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GraphSettings {
    /// The budgets kept.
    pub budgets: Budgets,
    /// How reads are tried again.
    pub retry: RetrySettings,
    /// How certroll's own assertion is signed, where its credential is a certificate.
    pub assertion: SignatureAlgorithm,
}

/// Calls Graph for one tenant with certroll's own sign-in.
pub struct GraphClient {
    pub(super) line: Line,
    tenant: String,
    tokens: TokenSource,
    pacer: Pacer,
    retry: RetrySettings,
}

impl std::fmt::Debug for GraphClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GraphClient").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// One request, below the version root.
#[derive(Debug, Clone)]
pub(super) struct Call<'a> {
    pub method: Method,
    pub url: Url,
    pub body: Option<Vec<u8>>,
    pub class: Class,
    /// An advanced query, answered from an index that lags behind.
    pub eventual: bool,
    pub doing: &'a str,
    pub least: Least,
}

/// The least permission of a call, and who grants or can do without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Least {
    pub permission: &'static str,
    pub hint: &'static str,
}

pub(super) const READ_APPLICATIONS: Least = Least {
    permission: "Application.Read.All",
    hint: "grant certroll's own application the application permission Application.Read.All of Microsoft Graph, with admin consent; an Application Administrator, Cloud Application Administrator or Global Reader sees the same in the portal",
};
pub(super) const READ_POLICIES: Least = Least {
    permission: "Policy.Read.All",
    hint: "grant certroll's own application the application permission Policy.Read.All of Microsoft Graph, with admin consent",
};
pub(super) const WRITE_APPLICATIONS: Least = Least {
    permission: "Application.ReadWrite.OwnedBy",
    hint: "make certroll's own service principal an owner of the object and grant it Application.ReadWrite.OwnedBy, or grant it Application.ReadWrite.All; admin consent is needed. An Application Administrator or Cloud Application Administrator can help",
};

/// A call that did not succeed.
pub(super) struct Failure {
    pub error: EntraError,
    /// Whether the service may have acted on it.
    pub sent: Sent,
    /// It was our own sign-in that failed; Graph was not asked.
    pub before: bool,
    silent: Option<TransportError>,
}

impl GraphClient {
    /// A client for one tenant, named by GUID or verified domain. Nothing is sent yet.
    pub fn new(line: Line, tenant: &str, credential: OwnCredential, settings: GraphSettings) -> GraphClient {
        let retry = settings.retry.clone();
        GraphClient {
            tokens: TokenSource::new(line.clone(), tenant.to_owned(), credential, retry, settings.assertion),
            line,
            tenant: tenant.to_owned(),
            pacer: Pacer::new(settings.budgets),
            retry: settings.retry,
        }
    }

    /// The difference between the service's clock and ours: of all measurements the one nearest to zero, since an answer that took
    /// long looks late.
    pub fn clock_skew(&self) -> Option<SignedDuration> {
        self.line.skew.smallest()
    }

    /// Signs in, or finds that it is signed in already. A credential that the operator meant for another tenant is refused before
    /// anything of it is sent: the tenant comes from the declaration, the credential does not.
    pub async fn sign_in(&self) -> Result<(), EntraError> {
        if let Some(meant) = self.tokens.meant_for()
            && !meant.eq_ignore_ascii_case(&self.tenant)
            && tenant_id(&self.line, meant).await? != tenant_id(&self.line, &self.tenant).await?
        {
            let reason = format!("the credential is meant for tenant {}", printable(meant));
            let error = EntraError::new(
                ErrorKind::Settings,
                format!("signing in to tenant {}", self.tenant),
                &reason,
            );
            return Err(error.with_hint("set the tenant id variable to the declared tenant, or leave it out"));
        }
        self.tokens.bearer().await.map(|_| ())
    }

    /// Who signs in.
    pub(super) fn identity(&self) -> &OwnCredential {
        self.tokens.credential()
    }

    /// The tenant as it was named.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    pub(super) fn get<'a>(&self, path: &str, doing: &'a str, least: Least) -> Result<Call<'a>, EntraError> {
        let url = self.line.endpoints.graph_url(path)?;
        Ok(Call {
            method: Method::GET,
            class: class_of(&url),
            url,
            body: None,
            eventual: false,
            doing,
            least,
        })
    }

    /// Waits until a write could go out at once.
    pub(super) async fn write_ready(&self) {
        self.pacer.ready(Class::Write, &*self.line.clock).await;
    }

    /// A call that changes nothing, tried again as the settings say.
    pub(super) async fn read(&self, call: &Call<'_>) -> Result<Vec<u8>, EntraError> {
        let random = &*self.line.random;
        let mut attempts = Attempts::new(&self.retry);
        loop {
            let failure = match self.once(call).await {
                Ok(answer) => return Ok(answer.into_body()),
                Err(failure) => failure,
            };
            let wait = match &failure.silent {
                // The sign-in has been tried again already, as often as it makes sense.
                _ if failure.before => None,
                Some(silent) => attempts.after_silence(silent, random),
                None => wait_after(&mut attempts, &failure.error, random),
            };
            match wait {
                // Then the count is the sign-in's own.
                None if failure.before => return Err(failure.error),
                None => return Err(given_up(&attempts, failure.error)),
                Some(wait) => self.wait(&failure.error, wait).await,
            }
        }
    }

    /// Waits before another attempt. Throttled, everybody waits: requests sent meanwhile would count against us.
    pub(super) async fn wait(&self, error: &EntraError, wait: SignedDuration) {
        tell_of(error, wait);
        if error.kind == ErrorKind::Throttled {
            let now = self.line.clock.now();
            self.pacer.pause(now.checked_add(wait).unwrap_or(now));
        }
        self.line.clock.sleep(wait).await;
    }

    pub(super) fn attempts(&self) -> Attempts<'_> {
        Attempts::new(&self.retry)
    }

    /// One attempt. A refused token is renewed once: the service has not acted on such a request.
    pub(super) async fn once(&self, call: &Call<'_>) -> Result<Response<Vec<u8>>, Failure> {
        let mut renewed = false;
        loop {
            self.pacer.admit(call.class, &*self.line.clock).await;
            let not_sent = |error| Failure { error, sent: Sent::No, before: true, silent: None };
            let token = self.tokens.bearer().await.map_err(not_sent)?;
            let request = self.request(call, &token).map_err(not_sent)?;
            let answer = self.line.send(request).await.map_err(|lost| Failure {
                error: silence(call.doing, &lost),
                sent: lost.sent,
                before: false,
                silent: Some(lost),
            })?;
            self.note_pressure(answer.headers());
            if answer.status().is_success() {
                return Ok(answer);
            }
            let failure = self.failure(call, &answer, &token);
            if failure.error.kind == ErrorKind::Authentication {
                self.tokens.discard(&token);
                if !renewed && failure.error.code() == "InvalidAuthenticationToken" {
                    renewed = true;
                    continue;
                }
            }
            if failure.error.kind == ErrorKind::Throttled {
                let wait = failure.error.retry_after.unwrap_or(self.retry.first_wait);
                let now = self.line.clock.now();
                let until = now.checked_add(wait.min(self.retry.retry_after_max));
                self.pacer.pause(until.unwrap_or(now));
            }
            return Err(failure);
        }
    }

    fn request(&self, call: &Call<'_>, token: &Arc<Token>) -> Result<http::Request<Vec<u8>>, EntraError> {
        let wrong = |reason: &str| EntraError::new(ErrorKind::Settings, call.doing, reason);
        if self.line.endpoints.followable(call.url.as_str()).is_none() {
            return Err(wrong("the address is not below the configured Graph host"));
        }
        let bearer = zeroize::Zeroizing::new(format!("Bearer {}", token.value.as_str()));
        let mut bearer =
            http::HeaderValue::from_str(&bearer).map_err(|_| wrong("the token cannot stand in a header"))?;
        bearer.set_sensitive(true);
        let mut request = http::Request::builder()
            .method(call.method.clone())
            .uri(call.url.as_str())
            .header("accept", "application/json")
            .header("client-request-id", self.line.random_id().to_string())
            .header("authorization", bearer);
        if call.eventual {
            request = request.header("ConsistencyLevel", "eventual");
        }
        if call.body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = call.body.clone().unwrap_or_default();
        request.body(body).map_err(|error| wrong(&printable(&error.to_string())))
    }

    fn failure(&self, call: &Call<'_>, answer: &Response<Vec<u8>>, token: &Arc<Token>) -> Failure {
        let status = answer.status().as_u16();
        let mut error = error_of(
            call.doing,
            status,
            answer.headers(),
            answer.body(),
            self.line.clock.now(),
            &[token.value.as_str()],
        )
        .answered_by(&call.url);
        blame(&mut error, call.least);
        // A server that fails may have acted first; everything it refuses by name it has not done.
        let sent = match error.kind {
            ErrorKind::Unavailable | ErrorKind::InvalidAnswer => Sent::Unknown,
            _ => Sent::No,
        };
        Failure { error, sent, before: false, silent: None }
    }

    fn note_pressure(&self, headers: &http::HeaderMap) {
        let percentage = header(headers, "x-ms-throttle-limit-percentage").and_then(|text| text.parse().ok());
        if let Some(percentage) = percentage {
            self.pacer.pressure(percentage, self.line.clock.now());
        }
    }

    /// Reads a list, page after page. Links are followed only below the configured version root. `each` sees every member as text.
    pub(super) async fn pages(
        &self,
        mut call: Call<'_>,
        mut each: impl FnMut(&RawValue),
    ) -> Result<(), EntraError> {
        for _ in 0..PAGES_MAX {
            let page: Page = parse(call.doing, &self.read(&call).await?)?;
            page.value.iter().for_each(|member| each(member));
            let Some(link) = page.next else { return Ok(()) };
            let Some(next) = self.line.endpoints.followable(&link) else {
                let reason =
                    "the link to the next page leads away from the configured Graph host; not followed";
                return Err(EntraError::new(ErrorKind::InvalidAnswer, call.doing, reason));
            };
            if next == call.url {
                let reason = "the link to the next page leads back to the same page";
                return Err(EntraError::new(ErrorKind::InvalidAnswer, call.doing, reason));
            }
            call.url = next;
        }
        Err(EntraError::new(ErrorKind::InvalidAnswer, call.doing, "the list has no end"))
    }
}

/// Adds to a refusal for want of rights what would have sufficed.
pub(super) fn blame(error: &mut EntraError, least: Least) {
    if error.kind == ErrorKind::Authorisation {
        error.least_permission = Some(least.permission);
        error.hint = Some(least.hint.to_owned());
    }
}

/// Decodes an answer. The error quotes nothing of it.
pub(super) fn parse<'de, T: Deserialize<'de>>(doing: &str, body: &'de [u8]) -> Result<T, EntraError> {
    serde_json::from_slice(body).map_err(|error| {
        let reason = format!("the answer cannot be understood ({})", place_of(&error));
        EntraError::new(ErrorKind::InvalidAnswer, doing, &reason)
    })
}

/// Reads that select `keyCredentials` have a budget of their own, whoever made the address.
fn class_of(url: &Url) -> Class {
    let selects = |(name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
        name.ends_with("select") && value.to_ascii_lowercase().contains("keycredentials")
    };
    if url.query_pairs().any(selects) { Class::CredentialSelection } else { Class::Read }
}
