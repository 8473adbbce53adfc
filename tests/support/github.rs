//! A GitHub of the test's own: Actions secrets and variables of repository `contoso/infra`, its environment `prod` and organization
//! `contoso`, after GitHub's REST description. It opens the sealed boxes as GitHub does and hands out no value.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certroll::net::{Transport, TransportError};
use crypto_box::SecretKey;
use http::{Request, Response};
use serde_json::{Value, json};

use super::ci::{answer, query, segments, time, told};

pub const TOKEN: &str = "github_pat_of_the_test";
const SCOPES: [&str; 3] =
    ["repos/contoso/infra/actions", "repos/contoso/infra/environments/prod", "orgs/contoso/actions"];

struct Kept {
    value: Vec<u8>,
    updated: u32,
    visibility: Option<(String, Vec<u64>)>,
}

#[derive(Default)]
struct State {
    secrets: BTreeMap<String, Kept>,
    variables: BTreeMap<String, String>,
    writes: u32,
    /// Which key boxes must be sealed for.
    key: u8,
    key_changes_when_asked: bool,
    down: Option<(u16, Vec<(&'static str, &'static str)>)>,
}

/// The server.
#[derive(Default)]
pub struct Github(Mutex<State>);

impl Github {
    /// Answers everything with that status and headers, until told otherwise.
    pub fn answer_all(&self, status: Option<(u16, Vec<(&'static str, &'static str)>)>) {
        self.0.lock().unwrap().down = status;
    }

    /// Replaces its key right after the next time it hands it out.
    pub fn replace_key_when_asked(&self) {
        self.0.lock().unwrap().key_changes_when_asked = true;
    }

    /// Somebody else writes a secret.
    pub fn write_by_hand(&self, path: &str, value: &[u8], visibility: Option<(&str, Vec<u64>)>) {
        let mut state = self.0.lock().unwrap();
        let visibility = visibility.map(|(word, ids)| (word.to_owned(), ids));
        state.keep(path, value.to_vec(), visibility);
    }

    /// Somebody else removes a secret.
    pub fn remove_by_hand(&self, path: &str) {
        self.0.lock().unwrap().secrets.remove(path);
    }

    /// The value of a secret, as a workflow gets it.
    pub fn value(&self, path: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap().secrets.get(path).map(|kept| kept.value.clone())
    }

    /// The value of a variable.
    pub fn variable(&self, path: &str) -> Option<String> {
        self.0.lock().unwrap().variables.get(path).cloned()
    }

    /// Who sees an organization's secret.
    pub fn visibility(&self, path: &str) -> Option<(String, Vec<u64>)> {
        self.0.lock().unwrap().secrets.get(path).and_then(|kept| kept.visibility.clone())
    }

    /// What a workflow finds, without the values.
    pub fn shown(&self, path: &str) -> String {
        let state = self.0.lock().unwrap();
        match (state.secrets.get(path), state.variables.get(path)) {
            (Some(kept), _) => told(&kept.value),
            (None, Some(value)) => value.clone(),
            (None, None) => "nothing".to_owned(),
        }
    }
}

fn said(status: u16, message: &str) -> Response<Vec<u8>> {
    let documentation = "https://docs.github.com/rest/actions/secrets";
    let mut response = answer(
        status,
        &json!({ "message": message, "documentation_url": documentation, "status": status.to_string() }),
    );
    response.headers_mut().insert("x-github-request-id", "0C4A:1F2E".parse().unwrap());
    response
}

impl State {
    fn secret_key(&self) -> SecretKey {
        SecretKey::from([self.key + 1; 32])
    }

    fn keep(&mut self, path: &str, value: Vec<u8>, visibility: Option<(String, Vec<u64>)>) -> bool {
        self.writes += 1;
        let kept = Kept { value, updated: self.writes, visibility };
        self.secrets.insert(path.to_owned(), kept).is_none()
    }

    fn respond(&mut self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        if let Some((status, headers)) = &self.down {
            let mut response = said(*status, "no");
            for (name, value) in headers {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
            return response;
        }
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        if header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return said(401, "Bad credentials");
        }
        if header("user-agent").is_none() {
            return said(403, "Request forbidden by administrative rules");
        }
        let path = segments(request.uri().path()).join("/");
        let Some((scope, rest)) = SCOPES
            .iter()
            .find_map(|scope| Some((*scope, path.strip_prefix(scope)?.trim_start_matches('/').to_owned())))
        else {
            return said(404, "Not Found");
        };
        let body: Value = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        let rest: Vec<&str> = rest.split('/').collect();
        match (request.method().as_str(), rest.as_slice()) {
            ("GET", ["secrets", "public-key"]) => self.public_key(),
            ("GET", ["secrets", _]) => self.secret(&path),
            ("GET", ["secrets", _, "repositories"]) => self.repositories(&path, request),
            ("PUT", ["secrets", _]) => self.put(&path, scope.starts_with("orgs"), &body),
            ("GET", ["variables", name]) => match self.variables.get(&path) {
                Some(value) => answer(
                    200,
                    &json!({ "name": name, "value": value, "created_at": time(0), "updated_at": time(0), "visibility": "private" }),
                ),
                None => said(404, "Not Found"),
            },
            ("PATCH", ["variables", _]) => match self.variables.get_mut(&path) {
                Some(value) => {
                    *value = body["value"].as_str().unwrap().to_owned();
                    answer(204, &Value::Null)
                }
                None => said(404, "Not Found"),
            },
            ("POST", ["variables"]) => {
                let path = format!("{path}/{}", body["name"].as_str().unwrap());
                self.variables.insert(path, body["value"].as_str().unwrap().to_owned());
                answer(201, &json!({}))
            }
            _ => said(404, "Not Found"),
        }
    }

    fn public_key(&mut self) -> Response<Vec<u8>> {
        let key = STANDARD.encode(self.secret_key().public_key().as_bytes());
        let shown = json!({ "key_id": format!("key-{}", self.key), "key": key });
        if std::mem::take(&mut self.key_changes_when_asked) {
            self.key += 1;
        }
        answer(200, &shown)
    }

    fn secret(&self, path: &str) -> Response<Vec<u8>> {
        let Some(kept) = self.secrets.get(path) else { return said(404, "Not Found") };
        let name = path.rsplit('/').next().unwrap();
        let mut shown = json!({ "name": name, "created_at": time(0), "updated_at": time(kept.updated) });
        if let Some((visibility, _)) = &kept.visibility {
            shown["visibility"] = visibility.as_str().into();
        }
        answer(200, &shown)
    }

    fn repositories(&self, path: &str, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let asked = query(request.uri().query());
        let number = |name: &str, otherwise: usize| {
            asked
                .iter()
                .find(|(known, _)| known == name)
                .map_or(otherwise, |(_, value)| value.parse().unwrap())
        };
        let (size, page) = (number("per_page", 30), number("page", 1));
        let kept = path.strip_suffix("/repositories").and_then(|path| self.secrets.get(path));
        let ids = kept.and_then(|kept| kept.visibility.clone()).map(|(_, ids)| ids).unwrap_or_default();
        let of_page: Vec<Value> =
            ids.iter().skip((page - 1) * size).take(size).map(|id| json!({ "id": id })).collect();
        answer(200, &json!({ "total_count": ids.len(), "repositories": of_page }))
    }

    fn put(&mut self, path: &str, is_organization: bool, body: &Value) -> Response<Vec<u8>> {
        let visibility = body["visibility"].as_str().map(|word| {
            let ids = body["selected_repository_ids"].as_array().cloned().unwrap_or_default();
            (word.to_owned(), ids.iter().map(|id| id.as_u64().unwrap()).collect())
        });
        if is_organization && visibility.is_none() {
            return said(422, "visibility is missing");
        }
        if body["key_id"] != format!("key-{}", self.key).as_str() {
            return said(422, "the key id is not that of the public key");
        }
        let boxed = body["encrypted_value"].as_str().and_then(|text| STANDARD.decode(text).ok());
        match boxed.and_then(|boxed| self.secret_key().unseal(&boxed).ok()) {
            Some(value) => {
                let new = self.keep(path, value, visibility.filter(|_| is_organization));
                if new { answer(201, &json!({})) } else { answer(204, &Value::Null) }
            }
            None => said(422, "the value is not sealed for this key"),
        }
    }
}

#[async_trait]
impl Transport for Github {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, TransportError> {
        Ok(self.0.lock().unwrap().respond(&request))
    }
}
