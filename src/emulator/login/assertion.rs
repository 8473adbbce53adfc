//! Client assertions: a JWT signed with the private key of a registered certificate.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::emulator::certificate::{self, Facts};
use crate::emulator::faults::TokenPropagation;
use crate::emulator::login::errors::{SignInError, key_error, out_of_time};
use crate::emulator::settings::Settings;
use crate::emulator::world::{KeyCredential, Object};

/// A JWT taken apart; nothing about it has been checked.
pub(crate) struct Jwt {
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
    signed: String,
    signature: Vec<u8>,
}

impl Jwt {
    pub(crate) fn parse(text: &str) -> Option<Jwt> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let object = |part: &str| serde_json::from_slice(&certificate::lenient_base64url(part)?).ok();
        Some(Jwt {
            header: object(header)?,
            claims: object(claims)?,
            signed: signed.to_owned(),
            signature: certificate::lenient_base64url(signature)?,
        })
    }

    pub(crate) fn algorithm(&self) -> Option<&str> {
        self.header.get("alg").and_then(Value::as_str)
    }

    fn header_text(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }

    pub(crate) fn claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// A time claim: a number of seconds, whole or not, or the same as text.
    pub(crate) fn time(&self, name: &str) -> Option<Timestamp> {
        let seconds = match self.claims.get(name)? {
            Value::Number(number) => number.as_f64()?,
            Value::String(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        Timestamp::UNIX_EPOCH.checked_add(SignedDuration::try_from_secs_f64(seconds).ok()?).ok()
    }

    pub(crate) fn has_thumbprint(&self) -> bool {
        self.thumbprint().is_some()
    }

    /// The bytes by which the header names its certificate: SHA-256, SHA-1, or `kid` in hexadecimal or base64.
    fn thumbprint(&self) -> Option<Vec<u8>> {
        for (name, length) in [("x5t#S256", 32), ("x5t", 20)] {
            let named = self.header_text(name).and_then(certificate::lenient_base64url);
            if let Some(bytes) = named.filter(|bytes| bytes.len() == length) {
                return Some(bytes);
            }
        }
        let kid = self.header_text("kid")?;
        let from_hex = || -> Option<Vec<u8>> {
            (0..kid.len()).step_by(2).map(|at| u8::from_str_radix(kid.get(at..at + 2)?, 16).ok()).collect()
        };
        let decoded = if kid.len() == 40 || kid.len() == 64 { from_hex() } else { None };
        decoded.or_else(|| certificate::lenient_base64url(kid)).filter(|bytes| matches!(bytes.len(), 20 | 32))
    }

    /// Whether the header names this certificate.
    pub(crate) fn names(&self, facts: &Facts) -> bool {
        self.thumbprint().is_some_and(|bytes| bytes == facts.sha1 || bytes == facts.sha256)
    }

    pub(crate) fn is_signed_by(&self, facts: &Facts) -> bool {
        facts.rsa.as_ref().is_some_and(|key| self.is_signed_by_key(key))
    }

    /// Whether an RSA key (PKCS#1 DER) made the signature, in the way the header says.
    pub(crate) fn is_signed_by_key(&self, key: &[u8]) -> bool {
        let message = self.signed.as_bytes();
        match self.algorithm() {
            Some("RS256") => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
                .verify(message, &self.signature)
                .is_ok(),
            Some("PS256") => UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key)
                .verify(message, &self.signature)
                .is_ok(),
            _ => false,
        }
    }

    /// Things that official clients send and no document describes.
    fn is_odd(&self) -> bool {
        let padded = ["x5t", "x5t#S256", "kid"]
            .iter()
            .any(|name| self.header_text(name).is_some_and(|t| t.ends_with('=')));
        let odd_time = ["exp", "nbf", "iat"]
            .iter()
            .any(|name| self.claims.get(*name).is_some_and(|value| !value.is_i64() && !value.is_u64()));
        let kid_only = self.header.contains_key("kid")
            && !self.header.contains_key("x5t")
            && !self.header.contains_key("x5t#S256");
        padded || odd_time || kid_only || self.header.get("x5c").is_some_and(Value::is_string)
    }
}

/// What a credential's certificate says, if it has one.
pub(crate) fn facts(credential: &KeyCredential) -> Option<Facts> {
    certificate::from_key_value(credential.key.as_deref()?).ok()
}

/// Who must have signed, and where.
pub(crate) struct Expected<'a> {
    pub(crate) client_id: Uuid,
    /// The client id as the request spelt it, for the error texts.
    pub(crate) spelt: &'a str,
    /// All names of the token endpoint and its issuer.
    pub(crate) audiences: &'a [String],
    pub(crate) now: Timestamp,
    pub(crate) settings: &'a Settings,
}

/// Checks everything but the certificate.
pub(crate) fn check_claims(jwt: &Jwt, expected: &Expected<'_>) -> Result<(), SignInError> {
    if !matches!(jwt.algorithm(), Some("RS256" | "PS256")) {
        let text = format!(
            "Invalid JWT token. '{}' is not a supported signature algorithm. Supported signing algorithms are: 'RS256, \
             PS256'.",
            jwt.algorithm().unwrap_or("")
        );
        return Err(SignInError::client(5_002_738, text));
    }
    if expected.settings.refuse_odd_assertions && jwt.is_odd() {
        return Err(SignInError::client(50_027, "JWT token is invalid or malformed."));
    }
    let issuer_fits = jwt.claim("iss").is_some_and(|iss| iss.parse() == Ok(expected.client_id));
    let subject_fits = jwt.claim("sub").is_some_and(|sub| sub.parse() == Ok(expected.client_id));
    if !issuer_fits || !subject_fits {
        return Err(SignInError::client(
            700_021,
            "Client assertion application identifier doesn't match 'client_id' parameter. Review the documentation at \
             https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials .",
        ));
    }
    let audience = jwt.claim("aud").unwrap_or_default().trim_end_matches('/');
    if !expected.audiences.iter().any(|name| name.eq_ignore_ascii_case(audience)) {
        return Err(SignInError::client(
            700_023,
            "Client assertion audience claim does not match Realm issuer. Review the documentation at \
             https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials .",
        ));
    }
    // A missing start is taken as 1970, as the recorded texts show.
    let from = jwt.time("nbf").unwrap_or(Timestamp::UNIX_EPOCH);
    let to = jwt.time("exp").unwrap_or(Timestamp::UNIX_EPOCH);
    if expected.now < from || expected.now >= to {
        return Err(out_of_time(expected.now, from, to));
    }
    Ok(())
}

/// When a front end comes to know of something that happened at `at`.
#[derive(Clone, Copy)]
pub(crate) struct FrontEnd {
    pub(crate) propagation: Option<TokenPropagation>,
    /// From 1.
    pub(crate) index: u32,
}

impl FrontEnd {
    pub(crate) fn knows(self, at: Timestamp, now: Timestamp) -> bool {
        let Some(propagation) = self.propagation else { return true };
        let share =
            i64::from(propagation.seconds) * i64::from(self.index) / i64::from(propagation.front_ends.max(1));
        now.duration_since(at) >= SignedDuration::from_secs(share)
    }

    /// Whether this front end goes on accepting what has been removed until it hears of the removal.
    fn keeps_removed(self) -> bool {
        self.propagation.is_some_and(|propagation| propagation.removals)
    }
}

/// Finds the certificate among those of the application and its service principal, and checks dates and
/// signature.
pub(crate) fn check_key(
    jwt: &Jwt,
    expected: &Expected<'_>,
    holders: &[&Object],
    front_end: FrontEnd,
) -> Result<(), SignInError> {
    let now = expected.now;
    let thumbprint = jwt.thumbprint().map(|bytes| certificate::hex(&bytes));
    let refused =
        |reason: &str, found: Option<&str>| key_error(expected.spelt, reason, thumbprint.as_deref(), found);
    let registered =
        holders.iter().flat_map(|holder| &holder.keys).filter(|key| front_end.knows(key.added, now));
    let lingering = holders
        .iter()
        .flat_map(|holder| &holder.removed)
        .filter(|removed| front_end.keeps_removed() && !front_end.knows(removed.at, now))
        .map(|removed| &removed.credential);
    let matching: Vec<(&KeyCredential, Facts)> = registered
        .chain(lingering)
        .filter(|key| key.text("usage") == Some("Verify") && key.text("type") == Some("AsymmetricX509Cert"))
        .filter_map(|key| Some((key, facts(key)?)))
        .filter(|(_, facts)| jwt.names(facts))
        .collect();
    let Some((first, facts)) = matching.first() else { return Err(refused("The key was not found.", None)) };
    if facts.rsa.is_none() {
        return Err(refused("Key was found, but use of the key to verify the signature failed.", None));
    }
    if !jwt.is_signed_by(facts) {
        return Err(refused(
            "The provided signature value did not match the expected signature value.",
            None,
        ));
    }
    // The same certificate may be registered twice with different dates; one that is valid is enough.
    let valid = |key: &KeyCredential| {
        key.time("startDateTime").is_none_or(|start| start <= now)
            && key.time("endDateTime").is_none_or(|end| now < end)
    };
    if matching.iter().any(|(key, _)| valid(key)) {
        return Ok(());
    }
    let spelt = |property: &str| {
        first.time(property).map_or_else(String::new, |at| at.strftime("%m/%d/%Y %H:%M:%S").to_string())
    };
    let found = format!("Start={}, End={}", spelt("startDateTime"), spelt("endDateTime"));
    Err(refused("The key used is expired.", Some(&found)))
}
