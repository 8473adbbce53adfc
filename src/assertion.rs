//! Client assertions: the signed statement by which an application signs in with its certificate.
//!
//! Microsoft identity platform documentation, "Application authentication certificate credentials": header `alg`, `typ`
//! and a thumbprint of the certificate; claims `aud`, `iss`, `sub`, `jti`, `nbf`, `iat`, `exp`.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::certificate::Certificate;
use crate::key::{KeyError, Secret, SignatureAlgorithm, Signer};
use crate::trouble::Trouble;

/// How far ahead of the service's clock ours may be: an assertion that begins in the service's future is refused.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);
/// From beginning to end. The documentation advises 5 to 10 minutes and states no maximum; what the backdating leaves is how far
/// ours may be behind.
const LIFETIME: SignedDuration = SignedDuration::from_mins(10);

#[derive(Serialize)]
struct Header {
    alg: &'static str,
    typ: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    x5t: Option<String>,
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    x5t_s256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x5c: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: Uuid,
    nbf: i64,
    iat: i64,
    exp: i64,
}

/// Makes one assertion, good from five minutes before `now` until five minutes after it.
///
/// With `Ps256` the certificate is named by its SHA-256, with `Rs256` by its SHA-1: the two pairs Entra is known to take.
/// `audience` is the URL of the token endpoint. `chain` adds `x5c`: the signer's certificate and then these, for
/// tenants that trust a subject name and issuer instead of one certificate. A `jti` must not be used twice.
pub async fn client_assertion(
    signer: &dyn Signer,
    algorithm: SignatureAlgorithm,
    client_id: &str,
    audience: &str,
    now: Timestamp,
    jti: Uuid,
    chain: Option<&[Certificate]>,
) -> Result<Secret, Trouble> {
    let header = header(signer.certificate(), algorithm, chain);
    let issued_at = now.as_second() - BACKDATE.as_secs();
    let claims = Claims {
        aud: audience,
        iss: client_id,
        sub: client_id,
        jti,
        nbf: issued_at,
        iat: issued_at,
        exp: issued_at + LIFETIME.as_secs(),
    };
    let mut token = format!("{}.{}", part(&header)?, part(&claims)?);
    let signature = signer.sign(algorithm, token.as_bytes()).await?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(Secret::new(token))
}

fn header(certificate: &Certificate, algorithm: SignatureAlgorithm, chain: Option<&[Certificate]>) -> Header {
    let thumbprints = &certificate.thumbprints;
    let (alg, x5t, x5t_s256) = match algorithm {
        SignatureAlgorithm::Ps256 => ("PS256", None, Some(URL_SAFE_NO_PAD.encode(thumbprints.sha256.0))),
        SignatureAlgorithm::Rs256 => ("RS256", Some(URL_SAFE_NO_PAD.encode(thumbprints.sha1.0)), None),
    };
    let leaf_first = |above: &[Certificate]| {
        std::iter::once(certificate).chain(above).map(|each| STANDARD.encode(each.der())).collect()
    };
    Header { alg, typ: "JWT", x5t, x5t_s256, x5c: chain.map(leaf_first) }
}

fn part(value: &impl Serialize) -> Result<String, KeyError> {
    let json =
        serde_json::to_vec(value).map_err(|_| KeyError("writing a client assertion failed".to_owned()))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}
