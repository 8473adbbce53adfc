//! An Azure Key Vault of the test's own with the login service before it, after the Key Vault REST description and documentation: 401
//! challenge, versions with tags, soft delete, pages, errors. The official clients read from it what certroll wrote
//! (`tests/tools/key_vault`), so that it is held to them.

mod certificates;
mod remote;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use certroll::net::{Transport, TransportError};
use http::{Request, Response};
use serde_json::{Value, json};

pub use certificates::Signing;
pub use remote::{RemoteVault, set};
use secrets::Version;

/// The vault's name and host.
pub const VAULT: &str = "contoso-prod";
pub const HOST: &str = "contoso-prod.vault.azure.net";
pub const LOGIN: &str = "https://login.microsoftonline.com";
pub const TENANT: &str = "8f5e2c0a-1b9d-4f27-9a6e-3c7d5b8e4f10";
pub const CLIENT: &str = "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d";
pub const CLIENT_SECRET: &str = "the-clients-secret-of-the-test";
/// What tokens are asked for.
pub const SCOPE: &str = "https://vault.azure.net/.default";

/// A vault that stories are told about.
pub trait Told {
    /// What stands in a secret, in words.
    fn secret_shown(&self, name: &str) -> String;
    /// What stands in a certificate object, in words.
    fn certificate_shown(&self, name: &str) -> String;
}

impl Told for KeyVaultService {
    fn secret_shown(&self, name: &str) -> String {
        self.secret_shown(name)
    }
    fn certificate_shown(&self, name: &str) -> String {
        self.certificate_shown(name)
    }
}

/// Most entries of a page, unless a test wants fewer.
const PAGE: usize = 25;

pub struct State {
    /// By name in lower case: names do not tell case apart.
    secrets: BTreeMap<String, Vec<Version>>,
    deleted_secrets: BTreeSet<String>,
    certificates: BTreeMap<String, certificates::Item>,
    deleted_certificates: BTreeSet<String>,
    made_keys: usize,
    /// How often the operation in progress was asked for.
    asked: u32,
    pub signing: Signing,
    /// Seconds; every write takes one, unless time stands still.
    clock: i64,
    /// Writes that take no time.
    still: u32,
    made: u64,
    /// What the challenge says.
    pub resource: String,
    pub authority: String,
    /// Tokens that are taken.
    tokens: BTreeSet<String>,
    /// What the next request is answered with claims for.
    claims: Option<String>,
    /// Claims each token was asked with.
    pub asked_with: Vec<Option<String>>,
    firewall: bool,
    /// Entries of a page.
    pub page: usize,
}

/// The server.
pub struct KeyVaultService(Mutex<State>);

impl KeyVaultService {
    /// What an operator sets for the connection `kv`, once the vault and its login service are served there.
    pub fn connection(&self, url: &str) -> [(String, String); 6] {
        self.state().authority = format!("{url}/{TENANT}");
        [
            ("ADDRESS", url),
            ("LOGIN_HOST", url),
            ("SCOPE", SCOPE),
            ("TENANT_ID", TENANT),
            ("CLIENT_ID", CLIENT),
            ("CLIENT_SECRET", CLIENT_SECRET),
        ]
        .map(|(setting, value)| (format!("CERTROLL_CONN_KV_{setting}"), value.to_owned()))
    }
}

impl Default for KeyVaultService {
    fn default() -> KeyVaultService {
        KeyVaultService(Mutex::new(State {
            secrets: BTreeMap::new(),
            deleted_secrets: BTreeSet::new(),
            certificates: BTreeMap::new(),
            deleted_certificates: BTreeSet::new(),
            made_keys: 0,
            asked: 0,
            signing: Signing::default(),
            clock: 1_767_225_600,
            still: 0,
            made: 0,
            resource: "https://vault.azure.net".into(),
            authority: format!("{LOGIN}/{TENANT}"),
            tokens: BTreeSet::new(),
            claims: None,
            asked_with: Vec::new(),
            firewall: false,
            page: PAGE,
        }))
    }
}

impl KeyVaultService {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The next writes are of the same second as the last one.
    pub fn stand_still_for_writes(&self, writes: u32) {
        self.state().still = writes;
    }

    /// The service's clock goes on to that second, and never back.
    pub fn goes_on_to(&self, second: i64) {
        let mut state = self.state();
        state.clock = state.clock.max(second);
    }

    /// Somebody purges a secret and a certificate of that name.
    pub fn purge(&self, name: &str) {
        let mut state = self.state();
        state.secrets.remove(&name.to_lowercase());
        state.certificates.remove(&name.to_lowercase());
    }

    /// Keeps this machine out.
    pub fn shut_out(&self) {
        self.state().firewall = true;
    }

    /// A token that somebody else than the login service here hands out.
    pub fn give_token(&self) -> String {
        let mut state = self.state();
        let token = format!("token-of-others-{}", state.tokens.len());
        state.tokens.insert(token.clone());
        token
    }

    /// No token that was given counts any more.
    pub fn forget_tokens(&self) {
        self.state().tokens.clear();
    }

    /// Refuses the tokens there are, and asks for one with these claims.
    pub fn wants_claims(&self, claims: &str) {
        let mut state = self.state();
        state.tokens.clear();
        state.claims = Some(claims.to_owned());
    }
}

pub fn answer(status: u16, body: &Value) -> Response<Vec<u8>> {
    let answer = Response::builder().status(status).header("content-type", "application/json");
    answer.header("x-ms-request-id", "a1b2c3").body(body.to_string().into_bytes()).unwrap()
}

pub fn error(status: u16, code: &str, inner: Option<&str>, message: &str) -> Response<Vec<u8>> {
    let mut error = json!({ "code": code, "message": message });
    if let Some(inner) = inner {
        error["innererror"] = json!({ "code": inner });
    }
    answer(status, &json!({ "error": error }))
}

impl State {
    /// The second something is written in.
    fn tick(&mut self) -> i64 {
        match self.still {
            0 => self.clock += 1,
            _ => self.still -= 1,
        }
        self.clock
    }

    /// An id that sorts in another order than time.
    fn new_id(&mut self) -> String {
        self.made += 1;
        format!("{:032x}", u128::from(self.made).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835))
    }

    fn respond(&mut self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let path = request.uri().path().trim_matches('/').to_owned();
        if path.ends_with("/oauth2/v2.0/token") {
            return self.token(&path, request.body());
        }
        if self.firewall {
            let message = "Client address is not authorized and caller is not a trusted service.";
            return error(403, "Forbidden", Some("ForbiddenByFirewall"), message);
        }
        if let Some(refused) = self.unauthorised(request) {
            return refused;
        }
        let query = request.uri().query().unwrap_or_default().to_owned();
        let of = |name: &str| {
            let pair = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            pair.map(str::to_owned)
        };
        if of("api-version").is_none() {
            return error(400, "BadParameter", None, "api-version must be specified");
        }
        let host = request.headers().get("host").and_then(|host| host.to_str().ok());
        let origin = match host.filter(|host| *host != HOST) {
            None => format!("https://{}", request.uri().host().unwrap_or(HOST)),
            Some(host) => format!("http://{host}"),
        };
        let skip = of("$skiptoken").or(of("%24skiptoken")).and_then(|skip| skip.parse().ok()).unwrap_or(0);
        let body: Value = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        let parts: Vec<&str> = path.split('/').collect();
        let method = request.method().as_str();
        let size = self.page;
        let page = |all: Vec<Value>| {
            let next = (skip + size < all.len())
                .then(|| format!("{origin}/{path}?api-version=7.4&$skiptoken={}", skip + size));
            let value: Vec<Value> = all.into_iter().skip(skip).take(size).collect();
            answer(200, &json!({ "value": value, "nextLink": next }))
        };
        match (method, parts.as_slice()) {
            ("GET", ["deletedsecrets"]) => {
                let named = |name: &String| json!({ "id": format!("{origin}/secrets/{name}"), "recoveryId": format!("{origin}/deletedsecrets/{name}") });
                page(self.deleted_secrets.iter().map(named).collect())
            }
            ("GET", ["deletedcertificates"]) => {
                let named = |name: &String| json!({ "id": format!("{origin}/certificates/{name}") });
                page(self.deleted_certificates.iter().map(named).collect())
            }
            ("GET", ["certificates", name, "versions"]) => page(self.certificate_versions(&origin, name)),
            (_, ["certificates", rest @ ..]) if !rest.is_empty() => {
                self.certificates(&origin, method, rest, &body)
            }
            // Whoever signs need not read the key.
            ("GET", ["keys", ..]) => error(403, "Forbidden", Some("ForbiddenByRbac"), "no keys/read"),
            ("POST", ["keys", name, version, "sign"]) => self.sign(&origin, name, version, &body),
            ("GET", ["secrets", name, "versions"]) => page(self.secret_versions(&origin, name)),
            ("GET", ["secrets", name]) => self.read_secret(&origin, name, None),
            ("GET", ["secrets", name, version]) => self.read_secret(&origin, name, Some(version)),
            ("PUT", ["secrets", name]) => self.set_secret(&origin, name, &body),
            ("PATCH", ["secrets", name, version]) => self.update_secret(&origin, name, version, &body),
            _ => error(404, "NotFound", None, "there is no such call"),
        }
    }

    fn unauthorised(&mut self, request: &Request<Vec<u8>>) -> Option<Response<Vec<u8>>> {
        let token = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let token = token.and_then(|value| value.strip_prefix("Bearer "));
        if token.is_some_and(|token| self.tokens.contains(token)) {
            return None;
        }
        let (authority, resource) = (&self.authority, &self.resource);
        let challenge = match self.claims.as_ref().filter(|_| token.is_some()) {
            None => format!("Bearer authorization=\"{authority}\", resource=\"{resource}\""),
            // As Azure asks for claims: neither the tenant nor the resource is named again.
            Some(claims) => {
                use base64::Engine as _;
                let claims = base64::engine::general_purpose::STANDARD.encode(claims);
                let common = "https://login.microsoftonline.com/common/oauth2/authorize";
                format!(
                    "Bearer realm=\"\", authorization_uri=\"{common}\", error=\"insufficient_claims\", claims=\"{claims}\""
                )
            }
        };
        let mut refused =
            error(401, "Unauthorized", None, "AKV10000: Request is missing a Bearer or PoP token.");
        refused.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
        Some(refused)
    }

    fn token(&mut self, path: &str, body: &[u8]) -> Response<Vec<u8>> {
        let fields: BTreeMap<String, String> =
            reqwest::Url::parse(&format!("http://x/?{}", String::from_utf8_lossy(body)))
                .unwrap()
                .query_pairs()
                .into_owned()
                .collect();
        let of = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        if !path.starts_with(TENANT) || of("client_id") != CLIENT || of("client_secret") != CLIENT_SECRET {
            let body = json!({ "error": "invalid_client", "error_codes": [7_000_215],
                "error_description": "AADSTS7000215: Invalid client secret provided." });
            return answer(401, &body);
        }
        if of("scope") != format!("{}/.default", self.resource) {
            let body = json!({ "error": "invalid_scope", "error_description": "AADSTS70011: the scope is not valid" });
            return answer(400, &body);
        }
        self.asked_with.push(fields.get("claims").cloned());
        if self.claims.is_some() && self.claims.as_ref() == fields.get("claims") {
            self.claims = None;
        }
        let token = format!("token-{}", self.asked_with.len());
        if self.claims.is_none() {
            self.tokens.insert(token.clone());
        }
        answer(200, &json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": token }))
    }
}

#[async_trait]
impl Transport for KeyVaultService {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, TransportError> {
        Ok(self.state().respond(&request))
    }
}
