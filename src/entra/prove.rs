//! Proving a key by signing in with it. The token that comes back is dropped unread; only the ids of the exchange remain.

use jiff::Timestamp;
use reqwest::Url;
use serde::Deserialize;
use serde::de::IgnoredAny;
use uuid::Uuid;
use zeroize::Zeroize;

use super::aadsts::{TokenError, Verdict};
use super::error::{EntraError, ErrorKind};
use super::line::Line;
use super::sign_in::Proof;
use super::token::token_request;
use crate::assertion::client_assertion;
use crate::key::{SignatureAlgorithm, Signer};
use crate::net::header;
use crate::trouble::Trouble;

/// What one sign-in with the new key came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignIn {
    /// A token was granted.
    Accepted(Evidence),
    /// The key, the application or its service principal is not known yet.
    NotYet {
        /// Such as `AADSTS700027`.
        code: String,
        /// The service's text.
        reason: String,
        /// The id we gave the request; the sign-in log's correlation id.
        correlation_id: Uuid,
    },
    /// The credential's end has passed.
    Expired {
        /// The service's code.
        code: String,
        /// The service's text.
        reason: String,
        /// The id we gave the request; the sign-in log's correlation id.
        correlation_id: Uuid,
    },
    /// The credential's start lies ahead, or a clock is wrong.
    NotYetValid {
        /// The service's code.
        code: String,
        /// The service's text.
        reason: String,
        /// The id we gave the request; the sign-in log's correlation id.
        correlation_id: Uuid,
    },
    /// Refused for good: the wrong key, the wrong tenant, a disabled application.
    Refused {
        /// The service's code.
        code: String,
        /// The service's text.
        reason: String,
        /// The id we gave the request; the sign-in log's correlation id.
        correlation_id: Uuid,
        /// What to try.
        hint: Option<&'static str>,
    },
    /// A Conditional Access policy blocks sign-ins from here. Says nothing about the key.
    PolicyBlocked {
        /// The service's code.
        code: String,
        /// The service's text.
        reason: String,
        /// The id we gave the request; the sign-in log's correlation id.
        correlation_id: Uuid,
    },
    /// Too many requests, or a service in trouble: the kind says which.
    Busy(EntraError),
    /// The signer's own service did not sign: the kind says why.
    CannotSign(Trouble),
    /// No usable answer, or nothing could be asked: the network, an address.
    Network {
        /// What happened.
        reason: String,
    },
}

/// What remains of a successful sign-in: enough to find it in the sign-in log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// When, by our clock.
    pub at: Timestamp,
    /// The id we gave the request; the log's correlation id.
    pub correlation_id: Uuid,
    /// The service's own id of the request, where it names one.
    pub trace_id: Option<String>,
}

/// Signs in once as the application with the signer's key. Tries nothing again: how often, and how far apart, is the caller's
/// business.
pub async fn try_sign_in(
    line: &Line,
    tenant: &str,
    app_id: Uuid,
    signer: &dyn Signer,
    algorithm: SignatureAlgorithm,
) -> SignIn {
    match prepare(line, tenant, app_id, signer, algorithm).await {
        Ok(prepared) => prepared.send(line).await,
        Err(not_asked) => not_asked,
    }
}

struct Prepared {
    url: Url,
    request: http::Request<Vec<u8>>,
    correlation_id: Uuid,
    proof: Proof,
}

async fn prepare(
    line: &Line,
    tenant: &str,
    app_id: Uuid,
    signer: &dyn Signer,
    algorithm: SignatureAlgorithm,
) -> Result<Prepared, SignIn> {
    let text = |error: EntraError| SignIn::Network { reason: error.to_string() };
    let url = line.endpoints.token_url(tenant).map_err(text)?;
    let client_id = app_id.to_string();
    let (now, jti) = (line.service_now(), line.random_id());
    let jwt = client_assertion(signer, algorithm, &client_id, url.as_str(), now, jti, None)
        .await
        .map_err(SignIn::CannotSign)?;
    let proof = Proof::assertion(jwt.expose());
    let correlation_id = line.random_id();
    let request =
        token_request(&url, &client_id, line.endpoints.scope(), &proof, correlation_id).map_err(text)?;
    Ok(Prepared { url, request, correlation_id, proof })
}

impl Prepared {
    async fn send(self, line: &Line) -> SignIn {
        let answer = match line.send(self.request).await {
            Ok(answer) => answer,
            Err(lost) => return SignIn::Network { reason: lost.to_string() },
        };
        let (parts, mut body) = answer.into_parts();
        let now = line.clock.now();
        if !parts.status.is_success() {
            let error =
                TokenError::parse(parts.status.as_u16(), &parts.headers, &body, now, &self.proof.secrets());
            return outcome(error, self.correlation_id, line.service_now(), &self.url);
        }
        let granted = grants_token(&body);
        body.zeroize();
        if !granted {
            let reason = "the answer says success and holds no token; something other than the login service may be answering";
            return SignIn::Network { reason: reason.to_owned() };
        }
        SignIn::Accepted(Evidence {
            at: now,
            correlation_id: self.correlation_id,
            trace_id: header(&parts.headers, "x-ms-request-id"),
        })
    }
}

/// Whether a token was granted, without keeping any of it.
fn grants_token(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Granted {
        token_type: String,
        #[serde(rename = "access_token")]
        _access_token: IgnoredAny,
    }
    serde_json::from_slice::<Granted>(body)
        .is_ok_and(|granted| granted.token_type.eq_ignore_ascii_case("bearer"))
}

fn outcome(error: TokenError, correlation_id: Uuid, now: Timestamp, url: &Url) -> SignIn {
    let code = error.code();
    let reason = error.description.clone();
    match error.verdict(now) {
        Verdict::NotYet => SignIn::NotYet { code, reason, correlation_id },
        Verdict::Expired => SignIn::Expired { code, reason, correlation_id },
        Verdict::NotYetValid => SignIn::NotYetValid { code, reason, correlation_id },
        Verdict::Refused => SignIn::Refused { code, reason, correlation_id, hint: error.hint() },
        Verdict::PolicyBlocked => SignIn::PolicyBlocked { code, reason, correlation_id },
        Verdict::Busy => {
            let kind = if error.status == 429 { ErrorKind::Throttled } else { ErrorKind::Unavailable };
            SignIn::Busy(error.into_error(kind, "signing in", url))
        }
    }
}
