//! A Key Vault that is not the test's own: the one `.ci/servers` started, or any other that the variables name.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use certroll::certificate::Certificate;
use certroll::net::{HttpsOptions, HttpsTransport, Transport, Trust};
use http::Request;
use serde_json::{Value, json};

use super::{Told, certificates, secrets};

/// Reached over HTTPS, as anybody reaches it.
pub struct RemoteVault {
    pub address: String,
    /// Scheme, host and port of the login service.
    pub login: String,
    pub tenant: String,
    pub client: String,
    pub client_secret: String,
    /// A file with the CA of both.
    pub ca_file: String,
    pub transport: Arc<dyn Transport>,
    /// Whether two of its writes can be of one second, so that waiting for the next one takes a second.
    pub takes_time: bool,
    token: OnceLock<String>,
}

pub fn set(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: start .ci/servers"))
}

impl RemoteVault {
    /// The one the variables name.
    pub fn of_the_environment() -> RemoteVault {
        let ca_file = set("CERTROLL_TEST_KEY_VAULT_CA");
        let trust = Trust::SystemAnd(std::fs::read(&ca_file).unwrap());
        RemoteVault {
            address: set("CERTROLL_TEST_KEY_VAULT_ADDR"),
            login: set("CERTROLL_TEST_KEY_VAULT_LOGIN"),
            tenant: set("CERTROLL_TEST_KEY_VAULT_TENANT"),
            client: set("CERTROLL_TEST_KEY_VAULT_CLIENT"),
            client_secret: set("CERTROLL_TEST_KEY_VAULT_SECRET"),
            ca_file,
            transport: Arc::new(
                HttpsTransport::new(HttpsOptions { trust, ..HttpsOptions::default() }).unwrap(),
            ),
            takes_time: std::env::var_os("CERTROLL_TEST_KEY_VAULT_TAKES_TIME").is_some(),
            token: OnceLock::new(),
        }
    }

    /// What an operator sets for the connection `kv`, but for who signs in.
    pub fn connection(&self) -> Vec<(String, String)> {
        let settings = [
            ("ADDRESS", &self.address),
            ("LOGIN_HOST", &self.login),
            ("SCOPE", &super::SCOPE.to_owned()),
            ("CA_FILE", &self.ca_file),
            ("TENANT_ID", &self.tenant),
            ("CLIENT_ID", &self.client),
        ];
        settings.map(|(name, value)| (format!("CERTROLL_CONN_KV_{name}"), value.clone())).into()
    }

    fn send(&self, request: http::request::Builder, body: String) -> (u16, Value) {
        let request = request.body(body.into_bytes()).unwrap();
        // From a test that runs in a runtime, and from one that has none.
        let answer = match tokio::runtime::Handle::try_current() {
            Ok(here) => tokio::task::block_in_place(|| here.block_on(self.transport.send(request))),
            Err(_) => {
                let own = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                own.block_on(self.transport.send(request))
            }
        };
        let answer = answer.unwrap();
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or(Value::Null))
    }

    /// A token as the login service gives it.
    fn token(&self) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.client),
            ("client_secret", &self.client_secret),
            ("scope", super::SCOPE),
        ];
        let mut url = reqwest::Url::parse("http://x").unwrap();
        url.query_pairs_mut().extend_pairs(form);
        let request = Request::post(format!("{}/{}/oauth2/v2.0/token", self.login, self.tenant))
            .header("content-type", "application/x-www-form-urlencoded");
        let (status, said) = self.send(request, url.query().unwrap().to_owned());
        assert_eq!(status, 200, "{said}");
        said["access_token"].as_str().unwrap().to_owned()
    }

    /// Asks for that path.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/{path}?api-version=7.4", self.address))
            .header("authorization", format!("Bearer {}", self.token.get_or_init(|| self.token())))
            .header("content-type", "application/json");
        self.send(request, body.map(Value::to_string).unwrap_or_default())
    }

    /// Asks, and panics unless it is done.
    pub fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, said) = self.ask(method, path, Some(body));
        assert!((200..300).contains(&status), "{method} {path}: {status} {said}");
        said
    }

    /// The newest value that a consumer reads.
    pub fn consume(&self, name: &str) -> Option<String> {
        let (status, said) = self.ask("GET", &format!("secrets/{name}"), None);
        (status == 200).then(|| said["value"].as_str().unwrap().to_owned())
    }

    /// The newest certificate, and a signature of the vault with its key.
    pub fn sign_as_consumer(&self, name: &str, message: &[u8]) -> Option<(Certificate, Vec<u8>)> {
        let (status, bundle) = self.ask("GET", &format!("certificates/{name}"), None);
        if status != 200 {
            return None;
        }
        let der = STANDARD.decode(bundle["cer"].as_str().unwrap()).unwrap();
        let version = bundle["kid"].as_str().unwrap().rsplit('/').next().unwrap();
        let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, message));
        let wanted = json!({ "alg": "PS256", "value": hash });
        let (status, signed) = self.ask("POST", &format!("keys/{name}/{version}/sign"), Some(&wanted));
        let signature = (status == 200).then(|| URL_SAFE_NO_PAD.decode(signed["value"].as_str().unwrap()))?;
        Some((Certificate::from_der(&der).unwrap(), signature.unwrap()))
    }

    /// Waits until what is written is of another second.
    pub fn next_second(&self) {
        if self.takes_time {
            std::thread::sleep(std::time::Duration::from_millis(1100));
        }
    }

    /// Somebody writes another value.
    pub fn set_by_hand(&self, name: &str, value: &str) {
        self.done("PUT", &format!("secrets/{name}"), &json!({ "value": value }));
    }

    /// Somebody imports a certificate and key of their own; what was pending is in the way and goes.
    pub fn import_by_hand(&self, name: &str, pem: &str) {
        self.ask("DELETE", &format!("certificates/{name}/pending"), None);
        let policy = json!({
            "key_props": { "exportable": true, "kty": "RSA", "key_size": 2048, "reuse_key": false },
            "secret_props": { "contentType": "application/x-pem-file" }, "issuer": { "name": "Unknown" },
        });
        let body = json!({ "value": STANDARD.encode(pem), "policy": policy });
        self.done("POST", &format!("certificates/{name}/import"), &body);
    }

    /// Everything of those secrets and certificates that is no key, for comparing.
    pub fn snapshot(&self, names: &[&str]) -> String {
        let mut all = Vec::new();
        for name in names {
            for path in ["secrets/NAME/versions", "certificates/NAME/versions", "certificates/NAME/pending"] {
                all.push(self.ask("GET", &path.replace("NAME", name), None).1.to_string());
            }
        }
        all.join("\n")
    }

    /// Deletes and purges what another run left.
    pub fn forget(&self, names: &[&str]) {
        for (kind, name) in ["certificates", "secrets"].iter().flat_map(|k| names.iter().map(move |n| (k, n)))
        {
            self.ask("DELETE", &format!("{kind}/{name}"), None);
            let gone = self.ask("DELETE", &format!("deleted{kind}/{name}"), None).0;
            assert!(matches!(gone, 204 | 404), "{kind} {name}: {gone}");
        }
    }

    fn versions(&self, kind: &str, name: &str) -> Option<(usize, usize)> {
        let (status, listed) = self.ask("GET", &format!("{kind}/{name}/versions"), None);
        let versions = listed["value"].as_array().filter(|_| status == 200)?;
        let disabled = versions.iter().filter(|one| one["attributes"]["enabled"] == false).count();
        Some((versions.len(), disabled))
    }
}

impl Told for RemoteVault {
    fn secret_shown(&self, name: &str) -> String {
        let Some(versions) = self.versions("secrets", name) else { return "nothing".to_owned() };
        let (_, newest) = self.ask("GET", &format!("secrets/{name}"), None);
        let tags = newest["tags"].as_object().unwrap().keys().map(String::as_str).collect();
        let content_type = newest["contentType"].as_str().unwrap_or("no content type");
        secrets::in_words(versions, content_type, newest["value"].as_str().unwrap(), tags)
    }

    fn certificate_shown(&self, name: &str) -> String {
        let (_, pending) = self.ask("GET", &format!("certificates/{name}/pending"), None);
        let pending = pending["status"] == "inProgress";
        let Some(versions) = self.versions("certificates", name) else { return "nothing".to_owned() };
        let (_, newest) = self.ask("GET", &format!("certificates/{name}"), None);
        let leaves = newest["policy"]["key_props"]["exportable"] == true;
        let der = newest["cer"].as_str().map(|text| STANDARD.decode(text).unwrap());
        let certificate = der.map(|der| Certificate::from_der(&der).unwrap());
        certificates::in_words(versions, certificate.as_ref().map(|it| (it, leaves)), pending)
    }
}
