//! An Azure DevOps of the test's own: the variable group `m365` of project `infra` in organization `contoso`, after the REST description
//! of version 7.1 and its examples: a write replaces the group, a secret that is sent as `null` keeps its value.

use std::sync::Mutex;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certroll::net::{Transport, TransportError};
use http::{Request, Response};
use serde_json::{Value, json};

use super::ci::{answer, query, segments, time, told};

pub const TOKEN: &str = "pat-of-the-test";

struct State {
    group: Value,
    writes: u32,
    /// Somebody else writes before or after the nth request from now.
    rivals: Vec<u32>,
    requests: u32,
    down: Option<u16>,
}

/// The server.
pub struct AzureDevops(Mutex<State>);

impl Default for AzureDevops {
    fn default() -> AzureDevops {
        let reference = json!({ "name": "m365", "projectReference": { "id": "p-1", "name": "infra" } });
        let elsewhere = json!({ "name": "m365", "projectReference": { "id": "p-2", "name": "other" } });
        let group = json!({
            "id": 12, "name": "m365", "type": "Vsts", "description": "of the test", "variables": {},
            "modifiedBy": { "id": "somebody" }, "modifiedOn": time(0),
            "variableGroupProjectReferences": [reference, elsewhere],
        });
        AzureDevops(Mutex::new(State { group, writes: 0, rivals: Vec::new(), requests: 0, down: None }))
    }
}

impl AzureDevops {
    /// Answers everything with that status, until told otherwise.
    pub fn answer_all(&self, status: Option<u16>) {
        self.0.lock().unwrap().down = status;
    }

    /// Somebody else sets a variable.
    pub fn set_by_hand(&self, name: &str, value: &str, secret: bool) {
        self.0.lock().unwrap().rival(name, &json!({ "value": value, "isSecret": secret }));
    }

    /// Somebody else changes the variable `build` before the nth request from now, counted from 1.
    pub fn rival_before(&self, request: u32) {
        let mut state = self.0.lock().unwrap();
        let at = state.requests + request;
        state.rivals.push(at);
    }

    /// Makes it a group that only links to a Key Vault.
    pub fn link_to_key_vault(&self) {
        self.0.lock().unwrap().group["type"] = "AzureKeyVault".into();
    }

    /// The whole group, values included.
    pub fn group(&self) -> Value {
        self.0.lock().unwrap().group.clone()
    }

    /// What a pipeline finds, without the values of secrets.
    pub fn shown(&self, name: &str) -> String {
        let variable = self.group()["variables"][name].clone();
        match (variable["value"].as_str(), variable["isSecret"] == true) {
            (Some(value), true) => format!("secret: {}", told(value.as_bytes())),
            (Some(value), false) => value.to_owned(),
            (None, _) => "nothing".to_owned(),
        }
    }
}

impl State {
    fn rival(&mut self, name: &str, variable: &Value) {
        self.group["variables"][name] = variable.clone();
        self.written("somebody");
    }

    fn written(&mut self, by: &str) {
        self.writes += 1;
        self.group["modifiedOn"] = time(self.writes).into();
        self.group["modifiedBy"] = json!({ "id": by });
    }

    fn respond(&mut self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        self.requests += 1;
        if self.rivals.contains(&self.requests) {
            let count = self.requests.to_string();
            self.rival("build", &json!({ "value": count }));
        }
        if let Some(status) = self.down {
            return answer(status, &json!({ "message": "TF400898", "typeKey": "Unavailable" }));
        }
        let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let expected = format!("Basic {}", STANDARD.encode(format!(":{TOKEN}")));
        if authorization != Some(&expected) {
            let page = b"<!DOCTYPE html><title>Azure DevOps Services | Sign In</title>".to_vec();
            return Response::builder()
                .status(203)
                .header("content-type", "text/html; charset=utf-8")
                .body(page)
                .unwrap();
        }
        let asked = query(request.uri().query());
        let has = |name: &str, value: &str| asked.iter().any(|(n, v)| n == name && v == value);
        if !has("api-version", "7.1") {
            return answer(
                400,
                &json!({ "message": "No api-version was supplied", "typeKey": "VssVersionNotSpecifiedException" }),
            );
        }
        let path = segments(request.uri().path());
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match (request.method().as_str(), path.as_slice()) {
            ("GET", ["contoso", "infra", "_apis", "distributedtask", "variablegroups"]) => {
                let found: Vec<Value> =
                    has("groupName", "m365").then(|| self.without_secrets()).into_iter().collect();
                answer(200, &json!({ "count": found.len(), "value": found }))
            }
            ("PUT", ["contoso", "_apis", "distributedtask", "variablegroups", "12"]) => {
                let body: Value = serde_json::from_slice(request.body()).unwrap();
                self.put(&body)
            }
            _ => answer(
                404,
                &json!({ "message": "VS800075: the project does not exist", "typeKey": "ProjectDoesNotExistWithNameException" }),
            ),
        }
    }

    fn without_secrets(&self) -> Value {
        let mut group = self.group.clone();
        for (_, variable) in group["variables"].as_object_mut().unwrap() {
            if variable["isSecret"] == true {
                variable["value"] = Value::Null;
            }
        }
        group
    }

    fn put(&mut self, body: &Value) -> Response<Vec<u8>> {
        let mut variables = body["variables"].clone();
        for (name, variable) in variables.as_object_mut().unwrap() {
            if variable["isSecret"] == true && variable["value"].is_null() {
                variable["value"] = self.group["variables"][name]["value"].clone();
            }
        }
        for key in ["name", "type", "description", "variableGroupProjectReferences"] {
            self.group[key] = body[key].clone();
        }
        self.group["variables"] = variables;
        self.written("certroll");
        answer(200, &self.without_secrets())
    }
}

#[async_trait]
impl Transport for AzureDevops {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, TransportError> {
        Ok(self.0.lock().unwrap().respond(&request))
    }
}
