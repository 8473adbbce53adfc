//! A GitHub Actions secret of a repository, an environment or an organization.
//!
//! Documented behaviour relied upon (GitHub REST API, version 2022-11-28): a secret's value is never handed out, only `updated_at`, in
//! whole seconds; a value comes in a libsodium sealed box for the public key of its scope, named by `key_id`; a `PUT` on an
//! organization's secret sets its visibility too; status 404 stands for missing rights as well as for what is not there.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, Method};
use serde::Deserialize;
use serde_json::{Value, json};

use super::settings::{content, doing, misfit, needed, password_beside, text};
use super::{DeliveryError, DeliveryReader, DeliveryWriter};
use crate::desired::Delivery;
use crate::edges::{Trouble, TroubleKind};
use crate::issuer::Issued;
use crate::key::{PrivateKey, Secret};
use crate::net::{Answer, Ask, Service};
use crate::observed::DeliveryState;
use crate::token_source::Source;

const VERSION: HeaderName = HeaderName::from_static("x-github-api-version");
/// Largest value of a secret, in bytes.
const VALUE_MAX: usize = 48 * 1024;
/// Repositories of one page.
const PAGE: usize = 100;

/// A secret, with what goes beside it.
#[derive(Debug)]
pub struct GithubDelivery {
    service: Service,
    token: Source,
    scope: Vec<String>,
    /// Whether a secret has a visibility.
    organization: bool,
    secret: String,
    password_secret: Option<String>,
    variable: Option<String>,
    looking: String,
}

#[derive(Deserialize)]
struct PublicKey {
    key_id: String,
    key: String,
}

#[derive(Deserialize)]
struct Known {
    updated_at: String,
    #[serde(default)]
    visibility: Option<String>,
}

#[derive(Deserialize)]
struct Variable {
    value: String,
}

#[derive(Deserialize)]
struct Repositories {
    repositories: Vec<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    id: u64,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    message: String,
}

impl GithubDelivery {
    /// What the declaration says. Nothing is sent yet.
    pub fn new(delivery: &Delivery, service: Service, token: Source) -> Result<GithubDelivery, Trouble> {
        let (repository, organization) = (text(delivery, "repository"), text(delivery, "organization"));
        let parts = match (&repository, &organization, text(delivery, "environment")) {
            (Some(repository), None, environment) => {
                let (owner, name) =
                    repository.split_once('/').ok_or_else(|| misfit(delivery, "no owner/name"))?;
                match &environment {
                    Some(environment) => vec!["repos", owner, name, "environments", environment]
                        .into_iter()
                        .map(str::to_owned)
                        .collect(),
                    None => ["repos", owner, name, "actions"].map(str::to_owned).to_vec(),
                }
            }
            (None, Some(organization), None) => ["orgs", organization, "actions"].map(str::to_owned).to_vec(),
            _ => return Err(misfit(delivery, "neither a repository nor an organization is declared")),
        };
        Ok(GithubDelivery {
            service,
            token,
            scope: parts,
            organization: organization.is_some(),
            secret: needed(delivery, "secret")?.to_uppercase(),
            password_secret: text(delivery, "password_secret").map(|name| name.to_uppercase()),
            variable: text(delivery, "variable").map(|name| name.to_uppercase()),
            looking: format!("looking at {}", delivery.slot),
        })
    }

    fn ask<'a>(&self, method: Method, path: &[&str], doing: &'a str) -> Result<Ask<'a>, Trouble> {
        let token = self.token.read()?;
        let url = self.service.url(self.scope.iter().map(String::as_str).chain(path.iter().copied()));
        Ok(Ask::new(method, url, doing)
            .header(http::header::ACCEPT, "application/vnd.github+json")
            .header(http::header::USER_AGENT, "certroll")
            .header(VERSION, "2022-11-28")
            .secret_header(http::header::AUTHORIZATION, "Bearer ", token.expose()))
    }

    async fn get(&self, path: &[&str], doing: &str) -> Result<Answer, Trouble> {
        Ok(self.service.send(self.ask(Method::GET, path, doing)?).await?)
    }

    /// Something of the scope; nothing where there is none.
    async fn find<T: serde::de::DeserializeOwned>(
        &self,
        path: &[&str],
        doing: &str,
    ) -> Result<Option<T>, Trouble> {
        let answer = self.get(path, doing).await?;
        match answer.status {
            200 => answer.json().map(Some),
            404 => Ok(None),
            _ => Err(refused(&answer)),
        }
    }

    async fn public_key(&self, doing: &str) -> Result<PublicKey, Trouble> {
        let answer = self.get(&["secrets", "public-key"], doing).await?;
        if answer.status == 200 { answer.json() } else { Err(refused(&answer)) }
    }

    /// What tells a later change: when the secrets were written last, and what the readable companion says. `None` where the secret
    /// is not there.
    async fn marker(&self, doing: &str) -> Result<Option<String>, Trouble> {
        let Some(known) = self.find::<Known>(&["secrets", &self.secret], doing).await? else {
            // What we may not see looks the same. Whoever may see a secret may see this.
            self.public_key(doing).await?;
            return Ok(None);
        };
        let mut marker = format!("updated {}", known.updated_at);
        if let Some(name) = &self.password_secret {
            let known = self.find::<Known>(&["secrets", name], doing).await?;
            let updated = known.map_or_else(|| "missing".to_owned(), |known| known.updated_at);
            marker.push_str(&format!(", password {updated}"));
        }
        if let Some(name) = &self.variable {
            let found = self.find::<Variable>(&["variables", name], doing).await?;
            let value = found.map_or_else(|| "missing".to_owned(), |found| found.value);
            marker.push_str(&format!(", {}", crate::net::printable(&value)));
        }
        Ok(Some(marker))
    }

    /// Writes a secret. The public key may be replaced at any time; a stale one is refused and fetched once more.
    async fn put(&self, name: &str, value: &[u8], doing: &str) -> Result<(), Trouble> {
        if value.len() > VALUE_MAX {
            let reason = format!("{} bytes are more than a secret holds (48 KB)", value.len());
            return Err(Trouble::new(TroubleKind::Refused, doing, reason)
                .with_hint("send a shorter chain, or a form without one"));
        }
        let mut body = json!({});
        if self.organization {
            body = self.visibility(name, doing).await?;
        }
        for again in [true, false] {
            let key = self.public_key(doing).await?;
            body["encrypted_value"] = seal(&key, value, doing)?.into();
            body["key_id"] = key.key_id.into();
            let ask = self.ask(Method::PUT, &["secrets", name], doing)?.json(&body)?.repeatable();
            let answer = self.service.send(ask).await?;
            match answer.status {
                201 | 204 => return Ok(()),
                422 if again => {}
                _ => return Err(refused(&answer)),
            }
        }
        Ok(())
    }

    /// Who sees an organization's secret, as it is. A new one is seen by no repository until somebody says by which.
    async fn visibility(&self, name: &str, doing: &str) -> Result<Value, Trouble> {
        let known = self.find::<Known>(&["secrets", name], doing).await?;
        let visibility = match known {
            None => return Ok(json!({ "visibility": "selected", "selected_repository_ids": [] })),
            Some(known) => known.visibility.ok_or_else(|| {
                Trouble::new(TroubleKind::Invalid, doing, format!("GitHub does not say who sees {name}"))
            })?,
        };
        if visibility != "selected" {
            return Ok(json!({ "visibility": visibility }));
        }
        let mut ids: Vec<u64> = Vec::new();
        for page in 1.. {
            let (size, page) = (PAGE.to_string(), page.to_string());
            let ask = self.ask(Method::GET, &["secrets", name, "repositories"], doing)?;
            let answer = self.service.send(ask.query(&[("per_page", &size), ("page", &page)])).await?;
            if answer.status != 200 {
                return Err(refused(&answer));
            }
            let found = answer.json::<Repositories>()?.repositories;
            let is_last = found.len() < PAGE;
            ids.extend(found.into_iter().map(|repository| repository.id));
            if is_last {
                break;
            }
        }
        Ok(json!({ "visibility": visibility, "selected_repository_ids": ids }))
    }

    /// Writes the readable companion.
    async fn put_variable(&self, name: &str, value: &str, doing: &str) -> Result<(), Trouble> {
        let body = json!({ "name": name, "value": value });
        let ask = self.ask(Method::PATCH, &["variables", name], doing)?.json(&body)?.repeatable();
        let answer = self.service.send(ask).await?;
        if answer.status != 404 {
            return if answer.is_success() { Ok(()) } else { Err(refused(&answer)) };
        }
        let body = match self.organization {
            true => json!({ "name": name, "value": value, "visibility": "private" }),
            false => body,
        };
        let answer = self.service.send(self.ask(Method::POST, &["variables"], doing)?.json(&body)?).await?;
        if answer.is_success() { Ok(()) } else { Err(refused(&answer)) }
    }
}

/// A libsodium sealed box (`crypto_box_seal`) in base64. Differs on every call.
fn seal(key: &PublicKey, value: &[u8], doing: &str) -> Result<String, Trouble> {
    let wrong = |reason: &str| Trouble::new(TroubleKind::Invalid, doing, reason);
    let bytes = STANDARD.decode(&key.key).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let bytes = bytes.ok_or_else(|| wrong("GitHub's public key is not 32 bytes in base64"))?;
    let sealed = crypto_box::PublicKey::from(bytes).seal(&mut crypto_box::aead::OsRng, value);
    sealed.map(|sealed| STANDARD.encode(sealed)).map_err(|_| wrong("the value could not be sealed"))
}

/// The trouble of an answer that is no success.
fn refused(answer: &Answer) -> Trouble {
    let said = answer.json::<Said>().map(|said| said.message).unwrap_or_default();
    let is_limit = answer.header("retry-after").is_some()
        || answer.header("x-ratelimit-remaining").is_some_and(|left| left == "0");
    let kind = match answer.status {
        403 if is_limit => TroubleKind::Throttled,
        _ => answer.kind(),
    };
    let mut trouble = answer.trouble(kind, None, Some(&said));
    trouble.request_id = answer.header("x-github-request-id").map(String::into_boxed_str);
    let needs = answer.header("x-accepted-github-permissions").filter(|needs| !needs.is_empty());
    match (answer.status, needs) {
        (403 | 404, Some(needs)) if kind != TroubleKind::Throttled => {
            trouble.with_hint(format!("the token needs: {}", crate::net::printable(&needs)))
        }
        (403 | 404, None) if kind != TroubleKind::Throttled => trouble.with_hint(
            "check the name, and that the token may write it: Secrets (environments: Environments), read and write; \
             a workflow's own GITHUB_TOKEN cannot",
        ),
        _ => trouble,
    }
}

#[async_trait]
impl DeliveryReader for GithubDelivery {
    async fn observe(&self, _delivery: &Delivery) -> DeliveryState {
        match self.marker(&self.looking).await {
            Ok(Some(marker)) => DeliveryState::Marker(marker),
            Ok(None) => DeliveryState::Absent,
            Err(trouble) => DeliveryState::Unreadable { reason: trouble.to_string() },
        }
    }
}

#[async_trait]
impl DeliveryWriter for GithubDelivery {
    async fn deliver(
        &self,
        delivery: &Delivery,
        key: &PrivateKey,
        issued: &Issued,
        password: Option<&Secret>,
    ) -> Result<String, DeliveryError> {
        let doing = doing(delivery);
        let contents = content(delivery, key, issued, password, &self.secret)?;
        if let (Some(name), Some(password)) =
            (&self.password_secret, password_beside(delivery, password, true))
        {
            self.put(name, password.expose().as_bytes(), &doing).await?;
        }
        self.put(&self.secret, &contents, &doing).await?;
        if let Some(name) = &self.variable {
            self.put_variable(name, &issued.certificate.thumbprints.sha256.to_string(), &doing).await?;
        }
        let lost = || {
            Trouble::new(TroubleKind::Missing, doing.as_str(), "the secret is not there after it was written")
        };
        Ok(self.marker(&doing).await?.ok_or_else(lost)?)
    }
}
