//! A GitLab CI/CD variable of a project or group.
//!
//! Documented behaviour relied upon (GitLab REST and GraphQL API): every REST read of a variable hands out its value, so looking asks
//! GraphQL for name, scope and description alone; `PUT` changes only what it names, so that protection, masking and the like stay; a
//! name may exist once for each environment scope and is then told apart with `filter[environment_scope]`; nothing tells when a
//! variable was changed. The description carries the thumbprints.

use async_trait::async_trait;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::settings::{content, doing, misfit, needed, password_beside, text, text_or_number};
use super::{DeliveryError, DeliveryReader, DeliveryWriter};
use crate::desired::Delivery;
use crate::edges::{Trouble, TroubleKind};
use crate::ids::Thumbprints;
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret};
use crate::net::{Answer, Ask, Service};
use crate::observed::DeliveryState;
use crate::token_source::Source;

/// How the description begins.
const MARK: &str = "certroll";
/// The marker of a place that took the value and no description.
const NO_DESCRIPTION: &str = "no thumbprint in the description";

/// A variable, with what goes beside it.
#[derive(Debug)]
pub struct GitlabDelivery {
    service: Service,
    token: Source,
    level: &'static str,
    holder: String,
    environment_scope: String,
    variable: String,
    password_variable: Option<String>,
    is_file: Option<bool>,
    looking: String,
}

/// A variable without its value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    key: String,
    environment_scope: Option<String>,
    description: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    nodes: Vec<Known>,
    #[serde(rename = "pageInfo")]
    info: PageInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Holder {
    #[serde(rename = "ciVariables")]
    variables: Option<Page>,
}

/// What was found without asking for a value.
enum Looked {
    Found(Vec<Known>),
    /// This GitLab cannot say without handing out values.
    CannotSay,
}

impl GitlabDelivery {
    /// What the declaration says. Nothing is sent yet.
    pub fn new(delivery: &Delivery, service: Service, token: Source) -> Result<GitlabDelivery, Trouble> {
        let (level, holder) = match (text_or_number(delivery, "project"), text_or_number(delivery, "group")) {
            (Some(project), None) => ("projects", project),
            (None, Some(group)) => ("groups", group),
            _ => return Err(misfit(delivery, "neither a project nor a group is declared")),
        };
        Ok(GitlabDelivery {
            service,
            token,
            level,
            holder,
            environment_scope: text(delivery, "environment_scope").unwrap_or_else(|| "*".to_owned()),
            variable: needed(delivery, "variable")?,
            password_variable: text(delivery, "password_secret"),
            is_file: text(delivery, "type").map(|kind| kind == "file"),
            looking: format!("looking at {}", delivery.slot),
        })
    }

    fn ask<'a>(&self, method: Method, path: &[&str], doing: &'a str) -> Result<Ask<'a>, Trouble> {
        let token = self.token.read()?;
        let url = self.service.url(["api"].iter().chain(path).copied());
        Ok(Ask::new(method, url, doing).header(http::header::USER_AGENT, "certroll").secret_header(
            http::header::AUTHORIZATION,
            "Bearer ",
            token.expose(),
        ))
    }

    /// GraphQL knows a project or group by its path alone.
    async fn full_path(&self, doing: &str) -> Result<String, Trouble> {
        #[derive(Deserialize)]
        struct Named {
            #[serde(alias = "path_with_namespace")]
            full_path: String,
        }
        if !self.holder.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(self.holder.clone());
        }
        let ask = self.ask(Method::GET, &["v4", self.level, &self.holder], doing)?;
        let answer = self.service.send(ask).await?;
        if answer.status == 200 { Ok(answer.json::<Named>()?.full_path) } else { Err(refused(&answer)) }
    }

    /// The variables of the project or group without their values.
    async fn look(&self, doing: &str) -> Result<Looked, Trouble> {
        #[derive(Deserialize)]
        struct Answered {
            data: Option<Held>,
            #[serde(default)]
            errors: Vec<GraphError>,
        }
        #[derive(Deserialize)]
        struct Held {
            holder: Option<Holder>,
        }
        #[derive(Deserialize)]
        struct GraphError {
            #[serde(default)]
            message: String,
        }
        let path = self.full_path(doing).await?;
        let field = if self.level == "projects" { "project" } else { "group" };
        let query = format!(
            "query($path: ID!, $after: String) {{ holder: {field}(fullPath: $path) {{ ciVariables(first: 100, after: $after) \
             {{ nodes {{ key environmentScope description }} pageInfo {{ hasNextPage endCursor }} }} }} }}"
        );
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let body = json!({ "query": query, "variables": { "path": path, "after": after } });
            let ask = self.ask(Method::POST, &["graphql"], doing)?.json(&body)?.repeatable();
            let answer = self.service.send(ask).await?;
            if answer.status != 200 {
                return Err(refused(&answer));
            }
            let answered = answer.json::<Answered>()?;
            if answered.errors.iter().any(|error| error.message.contains("doesn't exist on type")) {
                return Ok(Looked::CannotSay);
            }
            if let Some(error) = answered.errors.first() {
                return Err(answer.trouble(TroubleKind::Refused, None, Some(&error.message)));
            }
            let holder = answered.data.and_then(|data| data.holder).and_then(|holder| holder.variables);
            let page = holder.ok_or_else(|| {
                Trouble::new(
                    TroubleKind::Authorisation,
                    doing,
                    format!("{path} is not there, or its variables may not be seen"),
                )
                .with_hint(
                    "check the path, and that the token has scope api and is of a Maintainer (group: Owner)",
                )
            })?;
            found.extend(page.nodes);
            after = page.info.end_cursor;
            if !page.info.has_next_page || after.is_none() {
                return Ok(Looked::Found(found));
            }
        }
    }

    /// What of it tells which generation is held: both descriptions, if a password goes beside it.
    fn state(&self, found: &[Known]) -> DeliveryState {
        let find = |name: &str| {
            found.iter().find(|known| {
                known.key == name
                    && known.environment_scope.as_deref().unwrap_or("*") == self.environment_scope
            })
        };
        let Some(variable) = find(&self.variable) else { return DeliveryState::Absent };
        let Some(thumbprints) = described(variable.description.as_deref()) else {
            return DeliveryState::Marker(NO_DESCRIPTION.to_owned());
        };
        match self.password_variable.as_deref().map(find) {
            None => DeliveryState::Holds(thumbprints),
            Some(Some(known)) if described(known.description.as_deref()) == Some(thumbprints) => {
                DeliveryState::Holds(thumbprints)
            }
            Some(_) => DeliveryState::Marker(
                "the password's variable is missing or of another generation".to_owned(),
            ),
        }
    }

    /// Changes the variable, or makes it.
    async fn put(
        &self,
        name: &str,
        value: &str,
        is_file: Option<bool>,
        described: &str,
        doing: &str,
    ) -> Result<bool, Trouble> {
        let kind = is_file.map(|is_file| if is_file { "file" } else { "env_var" });
        let mut body = json!({ "value": value, "description": described });
        if let Some(kind) = kind {
            body["variable_type"] = kind.into();
        }
        let path = ["v4", self.level, &self.holder, "variables", name];
        let scope = [("filter[environment_scope]", self.environment_scope.as_str())];
        let ask = self.ask(Method::PUT, &path, doing)?.query(&scope).json(&body)?.hides(value).repeatable();
        let answer = self.service.send(ask).await?;
        if answer.is_success() {
            return kept_description(&answer, described);
        }
        if answer.status != 404 {
            return Err(refused(&answer));
        }
        // One line without blanks can be masked; GitLab refuses to mask anything else.
        let masked = value.len() >= 8 && !value.contains(char::is_whitespace);
        for (key, value) in [
            ("key", Value::from(name)),
            ("environment_scope", self.environment_scope.as_str().into()),
            ("protected", true.into()),
            ("masked", masked.into()),
            ("raw", true.into()),
        ] {
            body[key] = value;
        }
        let ask = self.ask(Method::POST, &path[..4], doing)?.json(&body)?.hides(value);
        let answer = self.service.send(ask).await?;
        if answer.is_success() { kept_description(&answer, described) } else { Err(refused(&answer)) }
    }
}

/// Whether the server took the description: one before 16.2 does not know it.
fn kept_description(answer: &Answer, described: &str) -> Result<bool, Trouble> {
    #[derive(Deserialize)]
    struct Written {
        description: Option<String>,
    }
    Ok(answer.json::<Written>()?.description.as_deref() == Some(described))
}

fn description(thumbprints: &Thumbprints) -> String {
    format!("{MARK} {} {}", thumbprints.sha1, thumbprints.sha256)
}

fn described(description: Option<&str>) -> Option<Thumbprints> {
    let mut words = description?.split_whitespace();
    if words.next() != Some(MARK) {
        return None;
    }
    Some(Thumbprints { sha1: words.next()?.parse().ok()?, sha256: words.next()?.parse().ok()? })
}

/// The trouble of an answer that is no success. GitLab's `message` is a text, or a list for each field.
fn refused(answer: &Answer) -> Trouble {
    let body = answer.json::<Value>().unwrap_or_default();
    let told = body.get("message").or(body.get("error_description")).or(body.get("error"));
    let said = told.map(|told| told.as_str().map_or_else(|| told.to_string(), str::to_owned));
    let taken = said.as_ref().is_some_and(|said| said.contains("has already been taken"));
    let kind = if taken { TroubleKind::Conflict } else { answer.kind() };
    let mut trouble = answer.trouble(kind, None, said.as_deref());
    trouble.request_id = answer.header("x-request-id").map(String::into_boxed_str);
    match answer.status {
        403 | 404 => trouble.with_hint("check the path, and that the token has scope api and is of a Maintainer (group: Owner)"),
        400 if !taken => trouble.with_hint(
            "a masked variable takes one line without blanks: deliver pfx-base64 or pem-base64, or turn masking off",
        ),
        _ => trouble,
    }
}

#[async_trait]
impl DeliveryReader for GitlabDelivery {
    async fn observe(&self, _delivery: &Delivery) -> DeliveryState {
        match self.look(&self.looking).await {
            Ok(Looked::Found(found)) => self.state(&found),
            Ok(Looked::CannotSay) => DeliveryState::NeverTells {
                reason: "this GitLab tells nothing of a variable without handing out its value".to_owned(),
            },
            Err(trouble) => DeliveryState::Unreadable { reason: trouble.to_string() },
        }
    }
}

#[async_trait]
impl DeliveryWriter for GitlabDelivery {
    async fn deliver(
        &self,
        delivery: &Delivery,
        key: &PrivateKey,
        issued: &Issued,
        password: Option<&Secret>,
    ) -> Result<String, DeliveryError> {
        let doing = doing(delivery);
        let contents = content(delivery, key, issued, password, &self.variable)?;
        let value = std::str::from_utf8(&contents).map_err(|_| misfit(delivery, "the form is no text"))?;
        let described = description(&issued.certificate.thumbprints);
        let mut told = true;
        if let (Some(name), Some(password)) =
            (&self.password_variable, password_beside(delivery, password, true))
        {
            told &= self.put(name, password.expose(), None, &described, &doing).await?;
        }
        told &= self.put(&self.variable, value, self.is_file, &described, &doing).await?;
        Ok(if told { described } else { NO_DESCRIPTION.to_owned() })
    }
}
