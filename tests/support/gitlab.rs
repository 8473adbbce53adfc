//! A GitLab of the test's own: CI/CD variables of project `contoso/infra` (id 7) and group `contoso`, after GitLab's REST documentation
//! and the GraphQL types of its source. Counts how often a value was handed out to a reader.

use std::sync::Mutex;

use async_trait::async_trait;
use certroll::net::{Transport, TransportError};
use http::{Request, Response};
use serde_json::{Value, json};

use super::ci::{answer, query, segments, told};

pub const TOKEN: &str = "glpat-of-the-test";

#[derive(Clone)]
struct Variable {
    holder: &'static str,
    fields: Value,
}

#[derive(Default)]
struct State {
    variables: Vec<Variable>,
    values_read: u32,
    knows_no_descriptions: bool,
    down: Option<u16>,
}

/// The server.
#[derive(Default)]
pub struct Gitlab(Mutex<State>);

impl Gitlab {
    /// As before version 16.2.
    pub fn know_no_descriptions(&self) {
        self.0.lock().unwrap().knows_no_descriptions = true;
    }

    /// Answers everything with that status, until told otherwise.
    pub fn answer_all(&self, status: Option<u16>) {
        self.0.lock().unwrap().down = status;
    }

    /// How often a reader was given a value.
    pub fn values_read(&self) -> u32 {
        self.0.lock().unwrap().values_read
    }

    /// Somebody else makes a variable of `contoso/infra`.
    pub fn make_by_hand(&self, fields: Value) {
        let mut variable = json!({ "variable_type": "env_var", "protected": false, "masked": false, "hidden": false,
            "raw": false, "environment_scope": "*", "description": null });
        variable.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.0.lock().unwrap().variables.push(Variable { holder: "contoso/infra", fields: variable });
    }

    /// Somebody else changes a field.
    pub fn change_by_hand(&self, key: &str, field: &str, value: Value) {
        let mut state = self.0.lock().unwrap();
        let found = state.variables.iter_mut().find(|variable| variable.fields["key"] == key).unwrap();
        found.fields[field] = value;
    }

    /// All fields of a variable.
    pub fn fields(&self, key: &str, scope: &str) -> Value {
        let state = self.0.lock().unwrap();
        let is_it = |one: &&Variable| one.fields["key"] == key && one.fields["environment_scope"] == scope;
        state.variables.iter().find(is_it).map_or(Value::Null, |one| one.fields.clone())
    }

    /// What a job finds in all scopes, without the values.
    pub fn shown(&self, key: &str) -> String {
        let state = self.0.lock().unwrap();
        let of_it = state.variables.iter().filter(|one| one.fields["key"] == key);
        let lines: Vec<String> = of_it
            .map(|one| {
                let value = told(one.fields["value"].as_str().unwrap().as_bytes());
                format!(
                    "{}: {value}; {}",
                    one.fields["environment_scope"].as_str().unwrap(),
                    one.fields["description"]
                )
            })
            .collect();
        if lines.is_empty() { "nothing".to_owned() } else { lines.join("\n") }
    }
}

fn said(status: u16, message: &Value) -> Response<Vec<u8>> {
    answer(status, &json!({ "message": message }))
}

fn holder(level: &str, id: &str) -> Option<&'static str> {
    match (level, id) {
        ("projects", "contoso/infra" | "7") => Some("contoso/infra"),
        ("groups", "contoso") => Some("contoso"),
        _ => None,
    }
}

impl State {
    fn respond(&mut self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        if let Some(status) = self.down {
            return said(status, &json!("no"));
        }
        let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if authorization != Some(&format!("Bearer {TOKEN}")) {
            return said(401, &json!("401 Unauthorized"));
        }
        let path = segments(request.uri().path());
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        match (request.method().as_str(), path.as_slice()) {
            ("POST", ["api", "graphql"]) => self.graphql(&body),
            ("GET", ["api", "v4", "projects", "7"]) => {
                answer(200, &json!({ "id": 7, "path_with_namespace": "contoso/infra" }))
            }
            (method, ["api", "v4", level, id, "variables", key @ ..]) => match holder(level, id) {
                Some(holder) => self.variables(method, holder, key.first().copied(), request, &body),
                None => said(404, &json!("404 Project Not Found")),
            },
            _ => said(404, &json!("404 Not Found")),
        }
    }

    fn graphql(&mut self, body: &Value) -> Response<Vec<u8>> {
        let asked = body["query"].as_str().unwrap();
        if self.knows_no_descriptions && asked.contains("description") {
            let message = "Field 'description' doesn't exist on type 'CiProjectVariable'";
            return answer(200, &json!({ "errors": [{ "message": message }] }));
        }
        let level = if asked.contains("project(") { "projects" } else { "groups" };
        let Some(holder) = holder(level, body["variables"]["path"].as_str().unwrap()) else {
            return answer(200, &json!({ "data": { "holder": null } }));
        };
        let all: Vec<&Variable> = self.variables.iter().filter(|one| one.holder == holder).collect();
        // Pages of two, so that paging is met.
        let start: usize = body["variables"]["after"].as_str().map_or(0, |cursor| cursor.parse().unwrap());
        let nodes: Vec<Value> = all[start..all.len().min(start + 2)]
            .iter()
            .map(|one| {
                json!({ "key": one.fields["key"], "environmentScope": one.fields["environment_scope"],
                    "description": one.fields["description"] })
            })
            .collect();
        let (end, more) = (start + nodes.len(), start + nodes.len() < all.len());
        assert!(!asked.contains(" value"), "a plan asks for no value");
        let page =
            json!({ "nodes": nodes, "pageInfo": { "hasNextPage": more, "endCursor": end.to_string() } });
        answer(200, &json!({ "data": { "holder": { "ciVariables": page } } }))
    }

    fn variables(
        &mut self,
        method: &str,
        holder: &'static str,
        key: Option<&str>,
        request: &Request<Vec<u8>>,
        body: &Value,
    ) -> Response<Vec<u8>> {
        let asked = query(request.uri().query());
        let scope =
            asked.iter().find(|(name, _)| name == "filter[environment_scope]").map(|(_, value)| value);
        if method == "GET" {
            self.values_read += 1;
        }
        let taken = |one: &Variable, key: &Value, scope: &Value| {
            one.holder == holder && one.fields["key"] == *key && one.fields["environment_scope"] == *scope
        };
        if method == "POST" {
            let mut fields = json!({ "variable_type": "env_var", "protected": false, "masked": false, "hidden": false,
                "raw": false, "environment_scope": "*", "description": null });
            fields.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
            if self.variables.iter().any(|one| taken(one, &fields["key"], &fields["environment_scope"])) {
                return said(400, &json!({ "key": ["(X) has already been taken"] }));
            }
            self.variables.push(Variable { holder, fields: fields.clone() });
            return self.kept(self.variables.len() - 1, 201);
        }
        let mut found: Vec<usize> = (0..self.variables.len())
            .filter(|at| {
                self.variables[*at].holder == holder
                    && Some(&self.variables[*at].fields["key"]) == key.map(Value::from).as_ref()
            })
            .collect();
        if let Some(scope) = scope {
            found.retain(|at| self.variables[*at].fields["environment_scope"] == scope.as_str());
        }
        match found.as_slice() {
            [] => said(404, &json!("404 Variable Not Found")),
            [at] => {
                let mut fields = self.variables[*at].fields.clone();
                fields
                    .as_object_mut()
                    .unwrap()
                    .extend(body.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
                let text = fields["value"].as_str().unwrap();
                if fields["masked"] == true && (text.len() < 8 || text.contains(char::is_whitespace)) {
                    return said(400, &json!({ "value": ["is invalid"] }));
                }
                self.variables[*at].fields = fields;
                self.kept(*at, 200)
            }
            _ => said(
                409,
                &json!(
                    "There are multiple variables with provided parameters. Please use 'filter[environment_scope]'"
                ),
            ),
        }
    }

    fn kept(&mut self, at: usize, status: u16) -> Response<Vec<u8>> {
        if self.knows_no_descriptions {
            self.variables[at].fields["description"] = Value::Null;
        }
        answer(status, &self.variables[at].fields)
    }
}

#[async_trait]
impl Transport for Gitlab {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, TransportError> {
        Ok(self.0.lock().unwrap().respond(&request))
    }
}
