//! A small directory with an operator signed in, and certificates made independently of the emulator.

use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair};
use aws_lc_rs::{digest, encoding::AsDer as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use certroll::emulator::{Answer, Emulator, NewApplication};
use http::Request;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) const TENANT: Uuid = Uuid::from_u128(0x8f5e_2c0a_1b2c_4d3e_9f40_5162_7384_a5b6);
pub(crate) const BASE: &str = "https://emulator.localhost";
pub(crate) const GRAPH: &str = "https://graph.microsoft.com/.default";

pub(crate) fn start() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

pub(crate) fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

/// What a request answered.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Got {
    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("")
    }

    pub(crate) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or("")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn aadsts(&self) -> u64 {
        self.body["error_codes"][0].as_u64().unwrap_or(0)
    }

    pub(crate) fn values(&self) -> &Vec<Value> {
        self.body["value"].as_array().unwrap()
    }
}

/// An emulator with one tenant, and an operator's token.
pub(crate) struct Directory {
    pub(crate) emulator: Emulator,
    pub(crate) token: String,
}

impl Directory {
    pub(crate) fn new() -> Directory {
        Directory::over(Emulator::in_memory(start(), 7))
    }

    pub(crate) fn over(emulator: Emulator) -> Directory {
        emulator.ensure_tenant(TENANT, Some("contoso.example"));
        let operator = emulator.operator(TENANT);
        let token = token_for(&emulator, operator.client_id, &operator.client_secret);
        Directory { emulator, token }
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Option<Got> {
        let mut request = Request::builder().method(method).uri(format!("{BASE}{path}"));
        request = request.header("Authorization", format!("Bearer {}", self.token));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bytes = match body {
            Some(body) => {
                request = request.header("Content-Type", "application/json");
                body.to_string().into_bytes()
            }
            None => Vec::new(),
        };
        answer(&self.emulator, &request.body(bytes).unwrap())
    }

    pub(crate) fn get(&self, path: &str) -> Got {
        self.send("GET", path, &[], None).expect("an answer")
    }

    pub(crate) fn advanced(&self, path: &str) -> Got {
        self.send("GET", path, &[("ConsistencyLevel", "eventual")], None).expect("an answer")
    }

    pub(crate) fn patch(&self, path: &str, body: Value) -> Got {
        self.send("PATCH", path, &[], Some(body)).expect("an answer")
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Got {
        self.send("POST", path, &[], Some(body)).expect("an answer")
    }

    pub(crate) fn delete(&self, path: &str) -> Got {
        self.send("DELETE", path, &[], None).expect("an answer")
    }

    /// An application with these entries; answers object id and client id.
    pub(crate) fn application(&self, name: &str, keys: Vec<Value>) -> (Uuid, Uuid) {
        let new =
            NewApplication { display_name: name.to_owned(), key_credentials: keys, ..Default::default() };
        self.emulator.create_application(TENANT, new).unwrap()
    }

    /// The entries as an ordinary read shows them, `key` null.
    pub(crate) fn entries(&self, id: Uuid) -> Vec<Value> {
        self.get(&format!("/v1.0/applications/{id}")).body["keyCredentials"].as_array().unwrap().clone()
    }

    /// Writes `keyCredentials` of an application.
    pub(crate) fn write_keys(&self, id: Uuid, entries: Vec<Value>) -> Got {
        self.patch(&format!("/v1.0/applications/{id}"), json!({"keyCredentials": entries}))
    }
}

pub(crate) fn answer(emulator: &Emulator, request: &Request<Vec<u8>>) -> Option<Got> {
    match emulator.handle(request) {
        Answer::Lost => None,
        Answer::Response(response) => {
            let (parts, body) = response.into_parts();
            let text = String::from_utf8(body).unwrap();
            let body = serde_json::from_str(&text).unwrap_or(Value::Null);
            Some(Got { status: parts.status.as_u16(), headers: parts.headers, body, text })
        }
    }
}

/// Posts a form to the token endpoint of a tenant.
pub(crate) fn token_request(emulator: &Emulator, tenant: &str, fields: &[(&str, &str)]) -> Got {
    try_token_request(emulator, tenant, fields).expect("an answer")
}

pub(crate) fn try_token_request(emulator: &Emulator, tenant: &str, fields: &[(&str, &str)]) -> Option<Got> {
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let request = Request::builder()
        .method("POST")
        .uri(format!("{BASE}/{tenant}/oauth2/v2.0/token"))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body.join("&").into_bytes())
        .unwrap();
    answer(emulator, &request)
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

pub(crate) fn token_for(emulator: &Emulator, client: Uuid, secret: &str) -> String {
    let client = client.to_string();
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", client.as_str()),
        ("client_secret", secret),
        ("scope", GRAPH),
    ];
    let got = token_request(emulator, &TENANT.to_string(), &fields);
    assert_eq!(got.status, 200, "{}", got.text);
    got.body["access_token"].as_str().unwrap().to_owned()
}

/// A key pair and a certificate of it.
pub(crate) struct Identity {
    pub(crate) der: Vec<u8>,
    pub(crate) key: RsaKeyPair,
}

impl Identity {
    pub(crate) fn base64(&self) -> String {
        STANDARD.encode(&self.der)
    }

    pub(crate) fn sha1(&self) -> Vec<u8> {
        digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.der).as_ref().to_vec()
    }

    pub(crate) fn sha256(&self) -> Vec<u8> {
        digest::digest(&digest::SHA256, &self.der).as_ref().to_vec()
    }

    /// PKCS#1 DER of the public key.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        use aws_lc_rs::signature::KeyPair as _;
        self.key.public_key().as_ref().to_vec()
    }
}

/// Key pairs are dear; the same few serve all tests. Certificates run from 2026-02-01 to 2027-02-01.
pub(crate) fn identity(index: usize) -> &'static Identity {
    static ALL: [OnceLock<Identity>; 3] = [const { OnceLock::new() }; 3];
    ALL[index].get_or_init(|| {
        let key = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = key.as_der().unwrap();
        let der = certificate(pkcs8.as_ref(), "2026-02-01T00:00:00Z", "2027-02-01T00:00:00Z");
        Identity { der, key: RsaKeyPair::from_pkcs8(pkcs8.as_ref()).unwrap() }
    })
}

/// A self-signed certificate of a PKCS#8 key.
pub(crate) fn certificate(pkcs8: &[u8], from: &str, to: &str) -> Vec<u8> {
    let key = rcgen::KeyPair::try_from(pkcs8).unwrap();
    let time = |text: &str| {
        let at: Timestamp = text.parse().unwrap();
        time::OffsetDateTime::from_unix_timestamp(at.as_second()).unwrap()
    };
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.not_before = time(from);
    params.not_after = time(to);
    params.self_signed(&key).unwrap().der().to_vec()
}

/// A new entry as a client would send it.
pub(crate) fn new_entry(identity: &Identity, name: &str) -> Value {
    json!({
        "type": "AsymmetricX509Cert", "usage": "Verify", "keyId": Uuid::from_u128(fold(name)).to_string(),
        "displayName": name, "startDateTime": "2026-02-28T12:00:00Z", "endDateTime": "2027-01-31T23:59:58Z",
        "key": identity.base64(),
    })
}

fn fold(name: &str) -> u128 {
    let digest = digest::digest(&digest::SHA256, name.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid().as_u128()
}

/// Header and claims of an assertion that is right in every respect.
pub(crate) fn assertion_parts(identity: &Identity, client: Uuid, now: Timestamp) -> (Value, Value) {
    let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": URL_SAFE_NO_PAD.encode(identity.sha256())});
    let claims = json!({
        "aud": format!("{BASE}/{TENANT}/oauth2/v2.0/token"), "iss": client.to_string(), "sub": client.to_string(),
        "jti": "0b1c", "nbf": now.as_second(), "iat": now.as_second(), "exp": now.as_second() + 600,
    });
    (header, claims)
}

/// Signs as the header's `alg` says.
pub(crate) fn sign(identity: &Identity, header: &Value, claims: &Value) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let mut signature = vec![0; identity.key.public_modulus_len()];
    let random = SystemRandom::new();
    if header["alg"] == "PS256" {
        identity.key.sign(&RSA_PSS_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
    } else {
        identity.key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
    }
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Signs in with an assertion.
pub(crate) fn sign_in(emulator: &Emulator, client: Uuid, assertion: &str) -> Got {
    let client = client.to_string();
    token_request(
        emulator,
        &TENANT.to_string(),
        &[
            ("grant_type", "client_credentials"),
            ("client_id", &client),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
            ("scope", GRAPH),
        ],
    )
}

/// Signs in with the default assertion.
pub(crate) fn sign_in_as(emulator: &Emulator, identity: &Identity, client: Uuid) -> Got {
    let (header, claims) = assertion_parts(identity, client, emulator.now());
    sign_in(emulator, client, &sign(identity, &header, &claims))
}
