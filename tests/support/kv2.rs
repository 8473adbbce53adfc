//! A Vault of the test's own: the KV v2 engine at `secret`, a KV v1 engine at `old`, and three ways to sign in, after the HTTP API
//! documentation of KV version 2. The same tests run against a real server, so that this one is held to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;
use certroll::certificate::{Certificate, SignatureHash};
use certroll::issuer::{CertificateRequest, Issuer, SubjectKey};
use certroll::net::{HttpsOptions, HttpsTransport, Transport, TransportError, Trust};
use http::{Request, Response};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

pub const TOKEN: &str = "hvs.root-of-the-test";
const VERSIONS_MAX: usize = 10;

#[derive(Clone)]
struct Version {
    created: String,
    deletion: String,
    data: Option<Map<String, Value>>,
}

#[derive(Default)]
struct Item {
    newest: u64,
    versions: BTreeMap<u64, Version>,
}

#[derive(Default)]
struct State {
    items: BTreeMap<String, Item>,
    writes: u64,
    sealed: bool,
    may_see_mounts: bool,
    /// What the token may do on some paths; on all others it is root's.
    capabilities: BTreeMap<String, Vec<String>>,
    delete_version_after: String,
    deletion: String,
}

/// The server.
pub struct Kv2(Mutex<State>, Mutex<Option<Timestamp>>);

impl Default for Kv2 {
    fn default() -> Kv2 {
        let delete_version_after = "0s".to_owned();
        let state = State { may_see_mounts: true, delete_version_after, ..State::default() };
        Kv2(Mutex::new(state), Mutex::default())
    }
}

impl Kv2 {
    /// The time its CA signs at, where it is not this machine's.
    pub fn set_clock(&self, now: Timestamp) {
        *self.1.lock().unwrap() = Some(now);
    }

    /// Refuses everything, as a vault does that was restarted and not unsealed.
    pub fn seal(&self, sealed: bool) {
        self.0.lock().unwrap().sealed = sealed;
    }

    /// Whether a token may ask what a mount is.
    pub fn mounts_may_be_seen(&self, seen: bool) {
        self.0.lock().unwrap().may_see_mounts = seen;
    }

    /// What the token may do on a path, when it asks.
    pub fn may_only(&self, path: &str, capabilities: &[&str]) {
        let capabilities = capabilities.iter().map(|one| (*one).to_owned()).collect();
        self.0.lock().unwrap().capabilities.insert(path.to_owned(), capabilities);
    }

    /// What the metadata of every name says of deletion. Versions that are there already stay.
    pub fn delete_versions_after(&self, duration: &str) {
        self.0.lock().unwrap().delete_version_after = duration.to_owned();
    }

    /// What consumers read: the fields of the newest version of a name.
    pub fn newest(&self, name: &str) -> Option<Map<String, Value>> {
        let state = self.0.lock().unwrap();
        let item = state.items.get(name)?;
        item.versions.get(&item.newest)?.data.clone()
    }

    /// Somebody writes a value, asking nobody.
    pub fn write_by_hand(&self, name: &str, data: &Value) {
        let written = self.0.lock().unwrap().write(name, &json!({ "data": data }));
        assert_eq!(written.status(), 200);
    }

    /// Somebody deletes a name with all its versions.
    pub fn forget(&self, name: &str) {
        self.0.lock().unwrap().items.remove(name);
    }

    /// Everything there is, for comparing.
    pub fn snapshot(&self) -> String {
        let state = self.0.lock().unwrap();
        let versions = state.items.iter().flat_map(|(name, item)| {
            item.versions.iter().map(move |(number, version)| format!("{name} {number} {:?}\n", version.data))
        });
        versions.collect()
    }

    /// When versions that are written from now on will be deleted, as with a limit at the mount, of which the metadata of names says nothing.
    pub fn versions_will_be_deleted_at(&self, time: &str) {
        self.0.lock().unwrap().deletion = time.to_owned();
    }
}

/// What consumers find at a path of a server, the test's own or a real one: versions and the names of the fields of the newest, a
/// certificate's thumbprint instead of its text.
pub fn look(address: &str, token: &str, path: &str) -> String {
    let (_, metadata) = ask(address, token, "GET", &format!("secret/metadata/{path}"));
    let Some(newest) = metadata["data"]["current_version"].as_u64() else { return "nothing".to_owned() };
    let versions = metadata["data"]["versions"].as_object().unwrap();
    let is_held =
        |version: &Value| version["destroyed"] == json!(false) && version["deletion_time"] == json!("");
    let held = versions.iter().filter(|(_, version)| is_held(version));
    let held: BTreeSet<u64> = held.map(|(number, _)| number.parse().unwrap()).collect();
    let held: Vec<String> = held.iter().map(u64::to_string).collect();
    let (_, value) = ask(address, token, "GET", &format!("secret/data/{path}"));
    let fields = value["data"]["data"].as_object().into_iter().flatten();
    let (own, theirs): (Vec<_>, Vec<_>) = fields.partition(|(name, _)| name.starts_with("certroll-"));
    let mut lines = vec![format!("version {newest}, held: {}", held.join(" "))];
    for (name, value) in theirs {
        let text = value.as_str().unwrap_or_default();
        let found = Certificate::all_from_pem(text.as_bytes()).ok().and_then(|all| all.into_iter().next());
        lines.push(match found {
            Some(certificate) => format!("{name}: certificate {}", certificate.thumbprints.sha1),
            None => format!("{name}: {} characters", text.len()),
        });
    }
    lines.extend(own.iter().map(|_| "certroll-…: certroll's own".to_owned()));
    lines.join("\n")
}

/// Asks a server on loopback as anybody does: status and body.
pub fn ask(address: &str, token: &str, method: &str, path: &str) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(format!("{address}/v1/{path}"))
        .header("x-vault-token", token)
        .body(Vec::new())
        .unwrap();
    let transport = HttpsTransport::new(HttpsOptions { trust: Trust::System, ..HttpsOptions::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(transport.unwrap().send(request)).unwrap();
    (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or(Value::Null))
}

fn answer(status: u16, body: &Value) -> Response<Vec<u8>> {
    Response::builder().status(status).body(body.to_string().into_bytes()).unwrap()
}

fn errors(status: u16, errors: &[&str]) -> Response<Vec<u8>> {
    answer(status, &json!({ "errors": errors }))
}

impl State {
    fn respond(&mut self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        if self.sealed {
            return errors(503, &["Vault is sealed"]);
        }
        let path = request.uri().path().trim_start_matches("/v1/").to_owned();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        if path == "auth/approle/login" || path == "auth/jwt/login" {
            return sign_in(&path, &body);
        }
        let token = request.headers().get("x-vault-token").and_then(|value| value.to_str().ok());
        if token != Some(TOKEN) {
            return errors(403, &["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]);
        }
        if let Some(mount) = path.strip_prefix("sys/internal/ui/mounts/") {
            let version = if mount == "old" { "1" } else { "2" };
            return match self.may_see_mounts {
                true => answer(200, &json!({ "data": { "type": "kv", "options": { "version": version } } })),
                false => errors(403, &["preflight capability check returned 403"]),
            };
        }
        if path == "sys/capabilities-self" {
            let paths = body["paths"].as_array().cloned().unwrap_or_default();
            let may = |path: &Value| {
                let path = path.as_str().unwrap().to_owned();
                let may = self.capabilities.get(&path).cloned().unwrap_or(vec!["root".into()]);
                (path, json!(may))
            };
            let data: Map<String, Value> = paths.iter().map(may).collect();
            return answer(200, &json!({ "data": data }));
        }
        if path.starts_with("old/") {
            // An engine of version 1 knows no versions: any path is a name, any body its value.
            return match request.method().as_str() {
                "POST" | "PUT" => Response::builder().status(204).body(Vec::new()).unwrap(),
                _ => errors(404, &[]),
            };
        }
        let Some((call, name)) = path.strip_prefix("secret/").and_then(|rest| rest.split_once('/')) else {
            return errors(404, &["no handler for route"]);
        };
        let query = request.uri().query().unwrap_or_default();
        let version = query.split('&').find_map(|pair| pair.strip_prefix("version=")?.parse::<u64>().ok());
        match (request.method().as_str(), call) {
            ("GET", "metadata") => self.metadata(name),
            ("GET", "data") => self.read(name, version, |data| Value::Object(data.clone())),
            ("GET", "subkeys") => self.read(name, version, |data| {
                Value::Object(data.keys().map(|key| (key.clone(), Value::Null)).collect())
            }),
            ("POST" | "PUT", "data") => self.write(name, &body),
            ("POST" | "PUT", "destroy") => {
                let numbers = body["versions"].as_array().cloned().unwrap_or_default();
                if let Some(item) = self.items.get_mut(name) {
                    for number in numbers.iter().filter_map(Value::as_u64) {
                        if let Some(version) = item.versions.get_mut(&number) {
                            version.data = None;
                        }
                    }
                }
                Response::builder().status(204).body(Vec::new()).unwrap()
            }
            _ => errors(405, &["unsupported operation"]),
        }
    }

    fn metadata(&self, name: &str) -> Response<Vec<u8>> {
        let Some(item) = self.items.get(name) else { return errors(404, &[]) };
        let versions = item.versions.iter().map(|(number, version)| {
            let known = json!({ "created_time": version.created, "deletion_time": version.deletion, "destroyed": version.data.is_none() });
            (number.to_string(), known)
        });
        let versions: Map<String, Value> = versions.collect();
        let after = &self.delete_version_after;
        let data =
            json!({ "current_version": item.newest, "versions": versions, "delete_version_after": after });
        answer(200, &json!({ "data": data }))
    }

    fn read(
        &self,
        name: &str,
        version: Option<u64>,
        show: impl Fn(&Map<String, Value>) -> Value,
    ) -> Response<Vec<u8>> {
        let item = self.items.get(name);
        let number = version.or(item.map(|item| item.newest)).unwrap_or_default();
        let found = item.and_then(|item| item.versions.get(&number));
        let Some(found) = found else { return errors(404, &[]) };
        let destroyed = found.data.is_none();
        let metadata = json!({ "version": number, "created_time": found.created, "deletion_time": "", "destroyed": destroyed });
        match &found.data {
            Some(data) => answer(
                200,
                &json!({ "data": { "data": show(data), "subkeys": show(data), "metadata": metadata } }),
            ),
            None => answer(404, &json!({ "data": { "data": null, "metadata": metadata } })),
        }
    }

    fn write(&mut self, name: &str, body: &Value) -> Response<Vec<u8>> {
        self.writes += 1;
        let created = format!("2026-01-01T00:00:00.{:09}Z", self.writes);
        let item = self.items.entry(name.to_owned()).or_default();
        let cas = body["options"]["cas"].as_u64();
        if cas.is_some_and(|cas| cas != item.newest) {
            return errors(400, &["check-and-set parameter did not match the current version"]);
        }
        item.newest += 1;
        let data = body["data"].as_object().cloned();
        item.versions
            .insert(item.newest, Version { created: created.clone(), deletion: self.deletion.clone(), data });
        while item.versions.len() > VERSIONS_MAX {
            item.versions.pop_first();
        }
        let data = json!({ "version": item.newest, "created_time": created, "deletion_time": "", "destroyed": false });
        answer(200, &json!({ "data": data }))
    }
}

fn sign_in(path: &str, body: &Value) -> Response<Vec<u8>> {
    let lets_in = match path {
        "auth/approle/login" => body["role_id"] == "the-role" && body["secret_id"] == "the-secret-id",
        _ => body["role"] == "certroll" && body["jwt"] == "e30.e30.c2ln",
    };
    match lets_in {
        true => answer(
            200,
            &json!({ "auth": { "client_token": TOKEN, "lease_duration": 1200, "renewable": true } }),
        ),
        false => errors(400, &["invalid role or secret ID"]),
    }
}

#[async_trait]
impl Transport for Kv2 {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, TransportError> {
        if request.uri().path() == "/v1/pki/sign/entra" {
            let now = self.1.lock().unwrap().unwrap_or_else(Timestamp::now);
            return Ok(sign(&request, now).await);
        }
        Ok(self.0.lock().unwrap().respond(&request))
    }
}

/// The PKI engine at `pki` with a role `entra`: takes the subject of the request, and caps the life at a year and a day.
async fn sign(request: &Request<Vec<u8>>, now: Timestamp) -> Response<Vec<u8>> {
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    let pem = certroll::pem::blocks(body["csr"].as_str().unwrap().as_bytes()).unwrap();
    let seconds: i64 = body["ttl"].as_str().unwrap().trim_end_matches('s').parse().unwrap();
    let wanted = CertificateRequest {
        subject: "what the request says".into(),
        signature_hash: SignatureHash::Sha256,
        not_before: now - jiff::SignedDuration::from_hours(1),
        validity: format!("PT{}H", (seconds / 3600).min(366 * 24)).parse().unwrap(),
        now,
        serial: *b"certroll test CA",
    };
    let ca = super::ca::TestCa::new();
    let issued = ca.issue(&wanted, SubjectKey::Request(&pem[0].contents)).await.unwrap();
    let (certificate, root) = (issued.certificate.to_pem(), ca.certificate().to_pem());
    answer(200, &json!({ "data": { "certificate": certificate, "issuing_ca": root, "ca_chain": [root] } }))
}
