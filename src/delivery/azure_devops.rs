//! A secret variable of an Azure DevOps variable group.
//!
//! Documented behaviour relied upon (Azure DevOps REST API 7.1, distributed task): a group is read through its project and written as a
//! whole at the organization; secrets are handed out as `null` and keep their value when sent back so; there is no compare-and-set, and
//! `modifiedOn` and `modifiedBy` are of the whole group; an ended token is answered with a sign-in page. Certificates that share a
//! group change its time for each other, so what is compared is a readable variable beside the secret and who wrote the group last.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::settings::{content, doing, misfit, needed, password_beside, text};
use super::{DeliveryError, DeliveryReader, DeliveryWriter};
use crate::desired::Delivery;
use crate::edges::{Trouble, TroubleKind};
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret};
use crate::net::{Answer, Ask, Service, printable};
use crate::observed::DeliveryState;
use crate::token_source::Source;

const API: (&str, &str) = ("api-version", "7.1");
/// How often a group that keeps changing is read again.
const READS_MAX: u32 = 5;

/// A variable of a group, with what goes beside it.
#[derive(Debug)]
pub struct AzureDevopsDelivery {
    service: Service,
    token: Source,
    organization: String,
    project: String,
    group: String,
    variable: String,
    password_variable: Option<String>,
    looking: String,
}

/// A group as it is sent back: whatever is in it stays.
struct Group(Map<String, Value>);

#[derive(Deserialize)]
struct Groups {
    value: Vec<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    message: String,
    #[serde(default, rename = "typeKey")]
    code: Option<String>,
}

/// Name of the readable variable beside a secret one.
pub fn companion(variable: &str) -> String {
    format!("{variable}_THUMBPRINT")
}

impl Group {
    fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// A variable; their names do not tell upper from lower case.
    fn variable(&self, name: &str) -> Option<&Value> {
        let variables = self.0.get("variables")?.as_object()?;
        variables.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, variable)| variable)
    }

    fn is_secret(&self, name: &str) -> bool {
        self.variable(name).is_some_and(|variable| variable["isSecret"] == true)
    }

    fn set(&mut self, name: &str, value: &str, secret: bool) {
        let variables = self.0.entry("variables").or_insert_with(|| json!({}));
        let Some(variables) = variables.as_object_mut() else { return };
        let known = variables.keys().find(|known| known.eq_ignore_ascii_case(name)).cloned();
        let variable = variables.entry(known.unwrap_or_else(|| name.to_owned())).or_insert_with(|| json!({}));
        variable["value"] = value.into();
        variable["isSecret"] = secret.into();
    }

    /// Who wrote it last.
    fn writer(&self) -> String {
        let by = self.0.get("modifiedBy").and_then(|by| by.get("id")).and_then(Value::as_str);
        printable(by.unwrap_or("nobody named"))
    }
}

impl AzureDevopsDelivery {
    /// What the declaration says. Nothing is sent yet.
    pub fn new(delivery: &Delivery, service: Service, token: Source) -> Result<AzureDevopsDelivery, Trouble> {
        Ok(AzureDevopsDelivery {
            service,
            token,
            organization: needed(delivery, "organization")?,
            project: needed(delivery, "project")?,
            group: needed(delivery, "variable_group")?,
            variable: needed(delivery, "variable")?,
            password_variable: text(delivery, "password_secret"),
            looking: format!("looking at {}", delivery.slot),
        })
    }

    fn ask<'a>(&self, method: Method, path: &[&str], doing: &'a str) -> Result<Ask<'a>, Trouble> {
        let token = self.token.read()?;
        let path = [self.organization.as_str()].into_iter().chain(path.iter().copied());
        let ask = Ask::new(method, self.service.url(path), doing)
            .query(&[API])
            .header(http::header::USER_AGENT, "certroll");
        let authorization = http::header::AUTHORIZATION;
        // An Entra token or a pipeline's own has three parts; a personal access token has none.
        if token.expose().split('.').count() == 3 {
            return Ok(ask.secret_header(authorization, "Bearer ", token.expose()));
        }
        let encoded = zeroize::Zeroizing::new(STANDARD.encode(format!(":{}", token.expose())));
        Ok(ask.hides(token.expose()).secret_header(authorization, "Basic ", &encoded))
    }

    /// The group as it is now.
    async fn read(&self, doing: &str) -> Result<Group, Trouble> {
        let path = [self.project.as_str(), "_apis", "distributedtask", "variablegroups"];
        let ask = self.ask(Method::GET, &path, doing)?.query(&[("groupName", &self.group)]);
        let answer = self.service.send(ask).await?;
        if answer.status != 200 || is_page(&answer) {
            return Err(refused(&answer));
        }
        // The name is a pattern to the service.
        let named = |group: &Map<String, Value>| {
            group
                .get("name")
                .and_then(Value::as_str)
                .is_some_and(|name| name.eq_ignore_ascii_case(&self.group))
        };
        let wrong = |kind, reason: String| Trouble::new(kind, doing, reason);
        let found = answer.json::<Groups>()?.value.into_iter().find(named).ok_or_else(|| {
            wrong(
                TroubleKind::Missing,
                format!("project {} has no variable group {}", self.project, self.group),
            )
            .with_hint("make the group, and let certroll's identity administer it")
        })?;
        let group = Group(found);
        if group.text("type") == "AzureKeyVault" {
            let reason = format!("variable group {} only links names to a Key Vault", self.group);
            return Err(
                wrong(TroubleKind::Refused, reason).with_hint("keep the key in that Key Vault instead")
            );
        }
        Ok(group)
    }

    /// Two equal reads: nobody is writing just now, as far as anybody can tell.
    async fn read_settled(&self, doing: &str) -> Result<Group, Trouble> {
        let mut before = self.read(doing).await?;
        for _ in 0..READS_MAX {
            let now = self.read(doing).await?;
            if now.0 == before.0 {
                return Ok(now);
            }
            before = now;
        }
        let reason = format!("variable group {} keeps changing", self.group);
        Err(Trouble::new(TroubleKind::Conflict, doing, reason))
    }

    fn marker(&self, group: &Group) -> Option<String> {
        group.variable(&self.variable)?;
        let companion = group.variable(&companion(&self.variable));
        let told = companion.and_then(|told| told["value"].as_str()).map(printable);
        let mut marker = told.unwrap_or_else(|| "no thumbprint".to_owned());
        let secrets = [Some(&self.variable), self.password_variable.as_ref()].into_iter().flatten();
        for name in secrets.filter(|name| !group.is_secret(name)) {
            marker.push_str(&format!(", {name} is missing or no secret"));
        }
        marker.push_str(&format!(", group written by {}", group.writer()));
        Some(marker)
    }

    /// Writes the whole group.
    async fn write(&self, group: &Group, secrets: &[&str], doing: &str) -> Result<(), Trouble> {
        let id = group.0.get("id").map(Value::to_string).unwrap_or_default();
        let path = ["_apis", "distributedtask", "variablegroups", id.as_str()];
        let mut ask = self.ask(Method::PUT, &path, doing)?.json(&group.0)?;
        for secret in secrets {
            ask = ask.hides(secret);
        }
        let answer = self.service.send(ask).await?;
        if answer.is_success() && !is_page(&answer) { Ok(()) } else { Err(refused(&answer)) }
    }
}

/// Whether a person's page came instead of an answer.
fn is_page(answer: &Answer) -> bool {
    answer.status == 203 || answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"))
}

/// The trouble of an answer that is no success.
fn refused(answer: &Answer) -> Trouble {
    if is_page(answer) || matches!(answer.status, 301 | 302) {
        let reason =
            "a sign-in page came instead of an answer: the token has ended or is not for this organization";
        return answer.trouble(TroubleKind::Authentication, None, Some(reason));
    }
    let said = answer.json::<Said>().unwrap_or(Said { message: String::new(), code: None });
    let mut trouble = answer.trouble(answer.kind(), said.code.as_deref(), Some(&said.message));
    trouble.request_id = answer.header("activityid").map(String::into_boxed_str);
    match answer.status {
        401 | 403 | 404 => trouble.with_hint(
            "check organization and project; the token needs Variable Groups (read, create & manage), its owner Administrator of the group",
        ),
        _ => trouble,
    }
}

#[async_trait]
impl DeliveryReader for AzureDevopsDelivery {
    async fn observe(&self, _delivery: &Delivery) -> DeliveryState {
        match self.read(&self.looking).await {
            Ok(group) => self.marker(&group).map_or(DeliveryState::Absent, DeliveryState::Marker),
            Err(trouble) => DeliveryState::Unreadable { reason: trouble.to_string() },
        }
    }
}

#[async_trait]
impl DeliveryWriter for AzureDevopsDelivery {
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
        let thumbprint = issued.certificate.thumbprints.sha256.to_string();
        let mut group = self.read_settled(&doing).await?;
        let mut hidden = vec![value];
        // Everything in one write: what a pipeline reads is never half of the old and half of the new.
        if let (Some(name), Some(password)) =
            (&self.password_variable, password_beside(delivery, password, true))
        {
            group.set(name, password.expose(), true);
            hidden.push(password.expose());
        }
        group.set(&self.variable, value, true);
        group.set(&companion(&self.variable), &thumbprint, false);
        let written = self.write(&group, &hidden, &doing).await;
        wipe(group);
        written?;
        let now = self.read(&doing).await?;
        let held = now.variable(&companion(&self.variable)).and_then(|told| told["value"].as_str());
        if held != Some(thumbprint.as_str()) || !now.is_secret(&self.variable) {
            let reason = format!("{} wrote variable group {} at the same moment", now.writer(), self.group);
            return Err(Trouble::new(TroubleKind::Conflict, doing, reason).into());
        }
        let marker = self.marker(&now).ok_or_else(|| misfit(delivery, "the variable is not there"))?;
        Ok(marker)
    }
}

/// Overwrites the values that were put in for the write.
fn wipe(group: Group) {
    use zeroize::Zeroize as _;
    fn each(value: Value) {
        match value {
            Value::String(mut text) => text.zeroize(),
            Value::Array(items) => items.into_iter().for_each(each),
            Value::Object(members) => members.into_iter().for_each(|(_, member)| each(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    each(Value::Object(group.0));
}
