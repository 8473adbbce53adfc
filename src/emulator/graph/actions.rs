//! Actions on one object: rolling keys with a proof, passwords, SAML signing certificates.

use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::emulator::certificate;
use crate::emulator::clock::{moved, seven_digits};
use crate::emulator::graph::access::Caller;
use crate::emulator::graph::entries::{self, Rules};
use crate::emulator::graph::refusal::{Outcome, Refusal};
use crate::emulator::graph::render::{self, Keys};
use crate::emulator::graph::route::Selector;
use crate::emulator::graph::{read, update};
use crate::emulator::ids;
use crate::emulator::login::assertion;
use crate::emulator::wire::{Call, Exchange, Reply};
use crate::emulator::world::{KeyCredential, Kind, Object, PasswordCredential};

/// The audience of a proof: the old directory API, not Graph.
const PROOF_AUDIENCE: &str = "00000002-0000-0000-c000-000000000000";

/// How long a proof may be valid, in seconds.
const PROOF_SECONDS_MAX: i64 = 600;

/// `POST …/{id}/{action}`.
pub(crate) fn act(
    exchange: &mut Exchange<'_>,
    call: &Call,
    caller: &Caller,
    kind: Kind,
    selector: &Selector,
    action: &str,
) -> Outcome {
    let action = action.strip_prefix("microsoft.graph.").unwrap_or(action);
    let object = || read::find_now(exchange, caller.tenant, kind, selector);
    match (action, kind) {
        ("addKey", _) => add_key(object()?, exchange, call, caller),
        ("removeKey", _) => remove_key(object()?, exchange, call, caller),
        ("addPassword", _) => add_password(object()?, exchange, call, caller),
        ("removePassword", _) => remove_password(object()?, exchange, call, caller),
        ("addTokenSigningCertificate", Kind::ServicePrincipal) => {
            add_signing(object()?, exchange, call, caller)
        }
        _ => Err(Refusal::no_such_segment(action)),
    }
}

/// The words blame the access token; they mean the proof.
fn bad_proof() -> Refusal {
    Refusal::new(401, "Authentication_MissingOrMalformed", "Access Token missing or malformed.")
}

/// The proof is signed by a certificate that is on the object now and valid.
fn check_proof(object: &Object, proof: Option<&Value>, now: Timestamp) -> Result<(), Refusal> {
    let proof = proof.and_then(Value::as_str).ok_or_else(bad_proof)?;
    if proof.contains('=') {
        return Err(bad_proof());
    }
    let proof = assertion::Jwt::parse(proof).ok_or_else(bad_proof)?;
    let claim = |name: &str| proof.claims.get(name).and_then(Value::as_str);
    let fits = claim("aud") == Some(PROOF_AUDIENCE)
        && claim("iss").is_some_and(|issuer| issuer.parse() == Ok(object.id))
        && proof.algorithm() == Some("RS256");
    let in_time = match (proof.time("nbf"), proof.time("exp")) {
        (Some(from), Some(to)) => {
            from <= now && now < to && to.duration_since(from) <= SignedDuration::from_secs(PROOF_SECONDS_MAX)
        }
        (None, None) => true,
        _ => false,
    };
    if !fits || !in_time {
        return Err(bad_proof());
    }
    let valid = |credential: &&KeyCredential| {
        credential.time("startDateTime").is_none_or(|start| start <= now)
            && credential.time("endDateTime").is_none_or(|end| now < end)
    };
    let signed = object.keys.iter().filter(valid).filter_map(assertion::facts).any(|facts| {
        let named = proof.names(&facts) || !proof.has_thumbprint();
        named && proof.is_signed_by(&facts)
    });
    if signed { Ok(()) } else { Err(bad_proof()) }
}

fn add_key(before: Object, exchange: &mut Exchange<'_>, call: &Call, caller: &Caller) -> Outcome {
    caller.may_roll(&before)?;
    let body = super::body(call)?;
    check_proof(&before, body.get("proof"), exchange.now)?;
    let given = body.get("keyCredential").and_then(Value::as_object);
    let mut given = given
        .cloned()
        .ok_or_else(|| Refusal::bad_request("A value is required for parameter 'keyCredential'."))?;
    let settings = exchange.world.meta.settings.clone();
    if !settings.add_key_keeps_fields {
        // What the service keeps of these is not documented; a client must not count on any of it.
        for name in ["keyId", "displayName", "startDateTime", "endDateTime", "customKeyIdentifier"] {
            given.remove(name);
        }
    }
    let number = exchange.world.new_number();
    let rules = Rules { settings: &settings, now: exchange.now, seed: exchange.world.meta.seed, number };
    let id = given.get("keyId").and_then(Value::as_str).and_then(|id| id.parse().ok());
    let credential = entries::added(&given, id, 0, &rules)?;
    let mut after = before.clone();
    if credential.text("usage") == Some("Sign") {
        let secret =
            body.get("passwordCredential").and_then(|given| given.get("secretText")).and_then(Value::as_str);
        let secret =
            secret.ok_or_else(|| Refusal::bad_request("A passwordCredential is required for usage Sign."))?;
        let entry =
            password_entry(credential.text("keyId").unwrap_or_default(), Value::Null, &credential, secret);
        after.passwords.push(PasswordCredential { entry, secret: secret.to_owned(), added: exchange.now });
    }
    let shown = render::key_credential(&credential, Keys::Shown);
    after.keys.push(credential);
    update::commit(exchange, caller.tenant, &before, after)?;
    Ok(Reply::json(200, shown))
}

fn remove_key(before: Object, exchange: &mut Exchange<'_>, call: &Call, caller: &Caller) -> Outcome {
    caller.may_roll(&before)?;
    let body = super::body(call)?;
    check_proof(&before, body.get("proof"), exchange.now)?;
    let id = named_key(&body)?;
    let mut after = before.clone();
    after.keys.retain(|credential| credential.key_id() != Some(id));
    if after.keys.len() == before.keys.len() {
        return Err(Refusal::bad_request(format!("No credentials found to be removed for KeyId '{id}'.")));
    }
    update::commit(exchange, caller.tenant, &before, after)?;
    Ok(Reply::empty(204))
}

fn named_key(body: &Map<String, Value>) -> Result<Uuid, Refusal> {
    let id = body.get("keyId").and_then(Value::as_str).and_then(|id| id.parse().ok());
    id.ok_or_else(|| Refusal::bad_request("A value is required for parameter 'keyId'."))
}

fn password_entry(id: &str, name: Value, times: &KeyCredential, secret: &str) -> Map<String, Value> {
    let hint: String = secret.chars().take(3).collect();
    let time = |property: &str| times.entry.get(property).cloned().unwrap_or(Value::Null);
    let entry = json!({
        "customKeyIdentifier": time("customKeyIdentifier"),
        "displayName": name,
        "endDateTime": time("endDateTime"),
        "hint": hint,
        "keyId": id,
        "secretText": null,
        "startDateTime": time("startDateTime"),
    });
    crate::emulator::wire::members(entry)
}

fn add_password(before: Object, exchange: &mut Exchange<'_>, call: &Call, caller: &Caller) -> Outcome {
    caller.may_write(&before)?;
    let body = if call.body.is_empty() { Map::new() } else { super::body(call)? };
    let given = body.get("passwordCredential").cloned().unwrap_or(Value::Null);
    let time =
        |name: &str| given.get(name).and_then(Value::as_str).and_then(|at| at.parse::<Timestamp>().ok());
    let start = time("startDateTime").unwrap_or(exchange.now);
    let two_years = SignedDuration::from_hours(24 * 365 * 2);
    let end = time("endDateTime").unwrap_or_else(|| moved(start, two_years));
    if end <= exchange.now {
        return Err(Refusal::bad_request("Password credential end date is invalid."));
    }
    let id = exchange.world.new_id();
    let number = exchange.world.new_number();
    let secret = ids::secret(exchange.world.meta.seed, "password", number);
    let hint: String = secret.chars().take(3).collect();
    let entry = json!({
        "customKeyIdentifier": null, "displayName": given.get("displayName"), "endDateTime": seven_digits(end),
        "hint": hint, "keyId": id.to_string(), "secretText": null, "startDateTime": seven_digits(start),
    });
    let mut shown = entry.clone();
    // The only time the secret is shown.
    shown["secretText"] = Value::from(secret.clone());
    let mut after = before.clone();
    let entry = crate::emulator::wire::members(entry);
    after.passwords.push(PasswordCredential { entry, secret, added: exchange.now });
    update::commit(exchange, caller.tenant, &before, after)?;
    Ok(Reply::json(200, shown))
}

fn remove_password(before: Object, exchange: &mut Exchange<'_>, call: &Call, caller: &Caller) -> Outcome {
    caller.may_write(&before)?;
    let id = named_key(&super::body(call)?)?;
    let mut after = before.clone();
    after.passwords.retain(|credential| credential.key_id() != Some(id));
    if after.passwords.len() == before.passwords.len() {
        return Err(Refusal::bad_request(format!("No password credential found with keyId: {id}.")));
    }
    update::commit(exchange, caller.tenant, &before, after)?;
    Ok(Reply::empty(204))
}

fn add_signing(before: Object, exchange: &mut Exchange<'_>, call: &Call, caller: &Caller) -> Outcome {
    caller.may_write(&before)?;
    let body = super::body(call)?;
    let name = body.get("displayName").and_then(Value::as_str).unwrap_or_default();
    let common_name =
        name.strip_prefix("CN=").ok_or_else(|| Refusal::bad_request("displayName must begin with 'CN='."))?;
    let three_years = moved(exchange.now, SignedDuration::from_hours(24 * 365 * 3));
    let end = match body.get("endDateTime").and_then(Value::as_str) {
        None => three_years,
        Some(text) => text.parse().map_err(|_| Refusal::bad_request("endDateTime is invalid."))?,
    };
    if end > moved(three_years, SignedDuration::from_hours(48)) || end <= exchange.now {
        return Err(Refusal::bad_request("endDateTime must lie within three years from now."));
    }
    let der = signing_certificate(common_name, exchange.now, end).ok_or_else(|| {
        Refusal::new(500, "Service_InternalServerError", "The certificate could not be made.")
    })?;
    let sign = exchange.world.new_id();
    let verify = exchange.world.new_id();
    let number = exchange.world.new_number();
    let triple = saml_pair(&der, name, sign, verify, exchange.now, end, exchange.world.meta.seed, number);
    let mut after = before.clone();
    after.keys.extend([triple.sign, triple.verify]);
    after.passwords.push(triple.password);
    update::commit(exchange, caller.tenant, &before, after)?;
    Ok(Reply::json(
        200,
        json!({
            "@odata.context": read::context(call, "microsoft.graph.selfSignedCertificate"),
            "customKeyIdentifier": certificate::base64(&certificate::sha1(&der)),
            "displayName": name,
            "endDateTime": seven_digits(end),
            "key": certificate::base64(&der),
            "keyId": verify.to_string(),
            "startDateTime": seven_digits(exchange.now),
            "thumbprint": certificate::hex(&certificate::sha1(&der)),
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
        }),
    ))
}

fn signing_certificate(common_name: &str, from: Timestamp, to: Timestamp) -> Option<Vec<u8>> {
    let time = |at: Timestamp| time::OffsetDateTime::from_unix_timestamp(at.as_second()).ok();
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).ok()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = time(from)?;
    params.not_after = time(to)?;
    Some(params.self_signed(&key).ok()?.der().to_vec())
}

/// The three entries of one SAML signing certificate.
pub(crate) struct SamlPair {
    pub(crate) sign: KeyCredential,
    pub(crate) verify: KeyCredential,
    pub(crate) password: PasswordCredential,
}

/// Both key entries share the customKeyIdentifier; the Sign entry and the password share the key id.
#[allow(clippy::too_many_arguments, reason = "the parts of three entries, each used once")]
pub(crate) fn saml_pair(
    der: &[u8],
    name: &str,
    sign: Uuid,
    verify: Uuid,
    from: Timestamp,
    to: Timestamp,
    seed: u64,
    number: u64,
) -> SamlPair {
    let shared = certificate::base64(&certificate::sha1(der));
    let entry = |id: Uuid, kind: &str, usage: &str| KeyCredential {
        entry: crate::emulator::wire::members(json!({
            "customKeyIdentifier": shared, "displayName": name, "endDateTime": seven_digits(to), "key": null,
            "keyId": id.to_string(), "startDateTime": seven_digits(from), "type": kind, "usage": usage,
        })),
        key: Some(certificate::base64(der)),
        added: from,
    };
    let sign = entry(sign, "X509CertAndPassword", "Sign");
    let verify = entry(verify, "AsymmetricX509Cert", "Verify");
    let secret = ids::secret(seed, "saml", number);
    let id = sign.text("keyId").unwrap_or_default().to_owned();
    let password = PasswordCredential {
        entry: password_entry(&id, Value::from(name), &sign, &secret),
        secret,
        added: from,
    };
    SamlPair { sign, verify, password }
}
