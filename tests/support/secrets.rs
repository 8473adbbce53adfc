//! An API server of the test's own that knows Secrets alone: metadata without values, create, merge patch and server-side apply with
//! owners of fields, resource versions and immutable types, after the Kubernetes documentation. The same tests run against a real
//! server, so that this one is held to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certroll::certificate::Certificate;
use certroll::net::{Transport, TransportError};
use http::{Request, Response};
use serde_json::{Map, Value, json};

pub const TOKEN: &str = "the-token-of-the-test";

#[derive(Clone, Default)]
struct Object {
    uid: u64,
    version: u64,
    kind: String,
    immutable: bool,
    annotations: Map<String, Value>,
    data: BTreeMap<String, String>,
    /// Manager and operation: the fields under `data`, and when.
    owners: BTreeMap<(String, String), (BTreeSet<String>, u64)>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    writes: u64,
    forbidden: bool,
    keeps_accept: bool,
    /// What the user may not do: verb and, if not to any, name.
    denied: BTreeSet<(String, String)>,
}

/// The server.
pub struct Secrets(Mutex<State>);

impl Default for Secrets {
    fn default() -> Secrets {
        Secrets(Mutex::new(State { keeps_accept: true, ..State::default() }))
    }
}

/// Done, or the answer that says why not.
type Done = Result<(), Box<Response<Vec<u8>>>>;

fn answer(status: u16, body: &Value) -> Response<Vec<u8>> {
    let json = "application/json";
    Response::builder()
        .status(status)
        .header("content-type", json)
        .body(body.to_string().into_bytes())
        .unwrap()
}

fn status(code: u16, reason: &str, message: &str, details: Value) -> Response<Vec<u8>> {
    answer(
        code,
        &json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
                 "message": message, "details": details }),
    )
}

fn conflict(name: &str) -> Response<Vec<u8>> {
    let message = format!(
        "Operation cannot be fulfilled on secrets {name:?}: the object has been modified; please apply your changes to the latest \
         version and try again"
    );
    status(409, "Conflict", &message, json!({ "kind": "secrets", "name": name }))
}

impl Object {
    fn metadata(&self, name: &str) -> Value {
        let managed: Vec<Value> = self
            .owners
            .iter()
            .map(|((manager, operation), (fields, at))| {
                let data: Map<String, Value> =
                    fields.iter().map(|field| (format!("f:{field}"), json!({}))).collect();
                let time = format!("2026-01-01T{:02}:{:02}:{:02}Z", at / 3600 % 24, at / 60 % 60, at % 60);
                json!({ "manager": manager, "operation": operation, "apiVersion": "v1", "time": time,
                        "fieldsType": "FieldsV1", "fieldsV1": { "f:data": data, "f:type": {} } })
            })
            .collect();
        json!({ "name": name, "namespace": "apps", "uid": format!("uid-{}", self.uid),
                "resourceVersion": self.version.to_string(), "annotations": self.annotations,
                "managedFields": managed })
    }

    fn shown(&self, name: &str, with_values: bool) -> Value {
        match with_values {
            false => json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                             "metadata": self.metadata(name) }),
            true => json!({ "kind": "Secret", "apiVersion": "v1", "metadata": self.metadata(name),
                            "type": self.kind, "data": self.data }),
        }
    }

    /// Takes values over for a manager, who then owns what differs alone.
    fn write(&mut self, manager: &str, operation: &str, data: &Map<String, Value>, now: u64) {
        let me = (manager.to_owned(), operation.to_owned());
        for (field, value) in data {
            let value = value.as_str();
            if self.data.get(field).map(String::as_str) != value {
                for (owner, (fields, _)) in &mut self.owners {
                    if *owner != me {
                        fields.remove(field);
                    }
                }
            }
            let own = self.owners.entry(me.clone()).or_default();
            match value {
                Some(value) => {
                    if self.data.insert(field.clone(), value.to_owned()).as_deref() != Some(value) {
                        own.1 = now;
                    }
                    own.0.insert(field.clone());
                }
                None => {
                    self.data.remove(field);
                    own.0.remove(field);
                }
            }
        }
    }
}

impl State {
    fn respond(&mut self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if bearer.is_some_and(|bearer| bearer != format!("Bearer {TOKEN}")) {
            return status(401, "Unauthorized", "Unauthorized", json!({}));
        }
        if request.uri().path() == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" {
            let body: Value = serde_json::from_slice(request.body()).unwrap();
            let asked = &body["spec"]["resourceAttributes"];
            assert_eq!(asked["resource"], json!("secrets"));
            let text = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
            let allowed = !self.forbidden && !self.denied.contains(&(text("verb"), text("name")));
            return answer(
                201,
                &json!({ "kind": "SelfSubjectAccessReview", "status": { "allowed": allowed } }),
            );
        }
        let path = request.uri().path().trim_start_matches("/api/v1/namespaces/");
        let Some((namespace, rest)) = path.split_once("/secrets") else {
            return answer(404, &json!("404 page not found"));
        };
        if self.forbidden {
            let message = format!(
                "secrets is forbidden: User \"app\" cannot get resource \"secrets\" in API group \"\" in the namespace {namespace:?}"
            );
            return status(403, "Forbidden", &message, json!({ "kind": "secrets" }));
        }
        let header =
            |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        let body: Value = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        let name = match rest.trim_start_matches('/') {
            "" => body["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            name => name.to_owned(),
        };
        let query = request.uri().query().unwrap_or_default();
        let manager = query.split('&').find_map(|pair| pair.strip_prefix("fieldManager=")).unwrap_or("curl");
        if request.method() != "GET" && namespace == "nowhere" {
            let message = "namespaces \"nowhere\" not found";
            return status(404, "NotFound", message, json!({ "kind": "namespaces", "name": "nowhere" }));
        }
        let done = match (request.method().as_str(), header("content-type")) {
            ("GET", _) => Ok(()),
            ("DELETE", _) => {
                self.objects.remove(&name);
                return answer(200, &json!({ "kind": "Status", "status": "Success" }));
            }
            ("POST", _) => self.create(&name, manager, &body),
            ("PATCH", "application/merge-patch+json") => self.merge(&name, manager, &body),
            ("PATCH", "application/apply-patch+yaml") => self.apply(&name, manager, &body),
            _ => return status(405, "MethodNotAllowed", "not here", json!({})),
        };
        if let Err(refused) = done {
            return *refused;
        }
        let with_values = !(self.keeps_accept && header("accept").contains("PartialObjectMetadata"));
        match self.objects.get(&name) {
            Some(object) => answer(200, &object.shown(&name, with_values)),
            None => {
                let message = format!("secrets {name:?} not found");
                status(404, "NotFound", &message, json!({ "kind": "secrets", "name": name }))
            }
        }
    }

    fn create(&mut self, name: &str, manager: &str, body: &Value) -> Done {
        if self.objects.contains_key(name) {
            let message = format!("secrets {name:?} already exists");
            return Err(
                status(409, "AlreadyExists", &message, json!({ "kind": "secrets", "name": name })).into()
            );
        }
        self.change(name, manager, "Update", body)
    }

    fn merge(&mut self, name: &str, manager: &str, body: &Value) -> Done {
        if !self.objects.contains_key(name) {
            let message = format!("secrets {name:?} not found");
            return Err(status(404, "NotFound", &message, json!({ "kind": "secrets", "name": name })).into());
        }
        self.change(name, manager, "Update", body)
    }

    fn apply(&mut self, name: &str, manager: &str, body: &Value) -> Done {
        let mut body = body.clone();
        if let Some(object) = self.objects.get(name) {
            let kind = body["type"].as_str().unwrap_or("Opaque");
            if object.kind != kind && !object.owners.contains_key(&(manager.to_owned(), "Apply".to_owned())) {
                let cause = json!({ "reason": "FieldManagerConflict", "field": ".type" });
                let message =
                    "Apply failed with 1 conflict: conflict with \"kubectl-create\" using v1: .type";
                return Err(status(409, "Conflict", message, json!({ "causes": [cause] })).into());
            }
            let given = body["data"].as_object().cloned().unwrap_or_default();
            let me = (manager.to_owned(), "Apply".to_owned());
            for ((other, operation), (fields, _)) in object.owners.iter().filter(|(owner, _)| **owner != me) {
                let differs = |field: &&String| {
                    given
                        .get(*field)
                        .is_some_and(|value| value.as_str() != object.data.get(*field).map(String::as_str))
                };
                let in_conflict: Vec<&String> = fields.iter().filter(differs).collect();
                if let Some(field) = in_conflict.first() {
                    let causes: Vec<Value> = in_conflict
                        .iter()
                        .map(|field| json!({ "reason": "FieldManagerConflict", "field": format!(".data.{field}") }))
                        .collect();
                    let by = if operation == "Update" { " using v1" } else { "" };
                    let message =
                        format!("Apply failed with 1 conflict: conflict with {other:?}{by}: .data.{field}");
                    return Err(status(409, "Conflict", &message, json!({ "causes": causes })).into());
                }
            }
            // What was applied before and is left out now goes.
            if let Some((fields, _)) = object.owners.get(&me) {
                for field in fields.iter().filter(|field| !given.contains_key(*field)) {
                    body["data"][field] = Value::Null;
                }
            }
        }
        self.change(name, manager, "Apply", &body)
    }

    fn change(&mut self, name: &str, manager: &str, operation: &str, body: &Value) -> Done {
        let known = self.objects.get(name);
        let seen = body["metadata"]["resourceVersion"].as_str();
        let newest = known.map(|object| object.version.to_string());
        if seen.is_some() && seen != newest.as_deref() {
            return Err(conflict(name).into());
        }
        let mut object = known.cloned().unwrap_or_default();
        let invalid = |message: &str| {
            let message = format!("Secret {name:?} is invalid: {message}");
            status(422, "Invalid", &message, json!({ "kind": "Secret", "name": name }))
        };
        if known.is_none() {
            object.kind = "Opaque".to_owned();
        }
        if let Some(kind) = body["type"].as_str() {
            if known.is_some() && object.kind != kind {
                return Err(
                    invalid(&format!("type: Invalid value: {:?}: field is immutable", object.kind)).into()
                );
            }
            object.kind = kind.to_owned();
        }
        let empty = Map::new();
        let data = body["data"].as_object().unwrap_or(&empty);
        if object.immutable && !data.is_empty() {
            return Err(invalid("data: Forbidden: field is immutable when `immutable` is set").into());
        }
        if data.values().any(|value| value.as_str().is_some_and(|text| STANDARD.decode(text).is_err())) {
            return Err(status(400, "BadRequest", "illegal base64 data", json!({})).into());
        }
        self.writes += 1;
        let before = object.clone();
        object.write(manager, operation, data, self.writes);
        for (key, value) in body["metadata"]["annotations"].as_object().into_iter().flatten() {
            object.annotations.insert(key.clone(), value.clone());
        }
        if body["immutable"] == true {
            object.immutable = true;
        }
        if object.kind == "kubernetes.io/tls"
            && !["tls.crt", "tls.key"].iter().all(|k| object.data.contains_key(*k))
        {
            return Err(invalid("data[tls.key]: Required value").into());
        }
        let same = known.is_some()
            && before.data == object.data
            && before.annotations == object.annotations
            && before.owners == object.owners;
        if !same {
            object.version = self.writes;
        }
        if known.is_none() {
            object.uid = self.writes;
        }
        self.objects.insert(name.to_owned(), object);
        Ok(())
    }
}

impl Secrets {
    /// Refuses everything to this user.
    pub fn forbid(&self, forbidden: bool) {
        self.0.lock().unwrap().forbidden = forbidden;
    }

    /// The user may not do that to that Secret; no name for any.
    pub fn deny(&self, verb: &str, name: &str) {
        self.0.lock().unwrap().denied.insert((verb.to_owned(), name.to_owned()));
    }

    /// Something on the way drops the wish for metadata alone.
    pub fn send_values_always(&self) {
        self.0.lock().unwrap().keeps_accept = false;
    }

    /// A value that consumers read.
    pub fn value(&self, name: &str, field: &str) -> Option<Vec<u8>> {
        let state = self.0.lock().unwrap();
        STANDARD.decode(state.objects.get(name)?.data.get(field)?).ok()
    }

    /// All values that consumers read, for comparing.
    pub fn values(&self, name: &str) -> Option<String> {
        Some(format!("{:?}", self.0.lock().unwrap().objects.get(name)?.data))
    }

    /// Somebody deletes a Secret.
    pub fn forget(&self, name: &str) {
        self.0.lock().unwrap().objects.remove(name);
    }

    /// Everything there is, for comparing.
    pub fn snapshot(&self) -> String {
        let state = self.0.lock().unwrap();
        let all = state.objects.iter();
        all.map(|(name, object)| format!("{name} {} {}\n", object.version, object.shown(name, true)))
            .collect()
    }

    /// What consumers find in a Secret: its type and fields, a certificate's thumbprint instead of its text.
    pub fn shown(&self, name: &str) -> String {
        let state = self.0.lock().unwrap();
        let Some(object) = state.objects.get(name) else { return "nothing".to_owned() };
        let mut lines = vec![object.kind.clone()];
        for (field, value) in &object.data {
            let value = STANDARD.decode(value).unwrap();
            let found = Certificate::all_from_pem(&value).ok().and_then(|all| all.into_iter().next());
            let own = field.starts_with("certroll-");
            let told = match found {
                Some(certificate) if !own => format!("certificate {}", certificate.thumbprints.sha1),
                _ if own => "certroll's own".to_owned(),
                _ if field.ends_with(".p12") || field == "tls.key" => "not shown".to_owned(),
                _ => format!("{} bytes", value.len()),
            };
            lines.push(format!("{}: {told}", if own { "certroll-…" } else { field }));
        }
        lines.join("\n")
    }
}

#[async_trait]
impl Transport for Secrets {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, TransportError> {
        Ok(self.0.lock().unwrap().respond(&request))
    }
}

/// A kubeconfig that leads to a server at that address.
pub fn kubeconfig(url: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{ name: test, cluster: {{ server: {url:?} }} }}]\n\
         users: [{{ name: test, user: {{ token: {TOKEN} }} }}]\n\
         contexts: [{{ name: test, context: {{ cluster: test, user: test, namespace: apps }} }}]\n"
    )
}
