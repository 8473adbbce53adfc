//! Azure Key Vault's data plane: signing in after its challenge, and asking. For the stores and the issuer of that name.
//!
//! Facts are from the Key Vault documentation (authentication, REST error codes) and its REST descriptions: every request names an
//! API version; errors come as `{"error": {"code", "message", "innererror": {"code"}}}`; nothing has an ETag, so a rival's write is noticed by
//! looking again. A token is asked for after the vault has said for what, from the login host that was configured, and goes to this
//! vault alone.

pub(crate) mod certificates;
mod challenge;
pub(crate) mod secrets;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use jiff::Timestamp;
use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::edges::{Trouble, TroubleKind};
use crate::entra::cloud::EndpointOverrides;
use crate::entra::token::TokenSource;
use crate::entra::{Endpoints, Line, OwnCredential};
use crate::ids::Sha1;
use crate::key::SignatureAlgorithm;
use crate::net::{Answer, Ask, NoAnswer, RetrySettings, Sent, Service, printable};
use challenge::Challenge;

/// Asked for where nobody says otherwise: has everything that is used here, and every emulator speaks it.
pub const API_VERSION: &str = "7.4";

/// Pages of one list beyond which something is wrong: 25 entries each.
const PAGES_MAX: usize = 4000;

/// How a vault is signed in to.
pub struct SignIn {
    /// Carries the requests for tokens.
    pub line: Line,
    /// Scheme, host and port of the one login service that may be asked.
    pub login: String,
    /// Who certroll is.
    pub credential: OwnCredential,
    /// The scope of tokens, where the operator set it: then the vault's own word for it need not fit its host.
    pub scope: Option<String>,
}

/// One vault, signed in to once for all that is asked of it.
pub struct KeyVault {
    service: Service,
    api_version: String,
    sign_in: SignIn,
    tokens: std::sync::Mutex<Option<Arc<TokenSource>>>,
    // Held while the challenge is asked for, so that many first requests ask once.
    challenging: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for KeyVault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyVault").field("service", &self.service).finish_non_exhaustive()
    }
}

/// A request below the vault's root.
pub(crate) struct VaultAsk<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a [&'a str],
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) body: Option<&'a Value>,
    pub(crate) doing: &'a str,
    /// Whether doing it twice is doing it once, though it is no `GET`.
    pub(crate) repeatable: bool,
}

impl<'a> VaultAsk<'a> {
    pub(crate) fn new(method: Method, path: &'a [&'a str], doing: &'a str) -> VaultAsk<'a> {
        VaultAsk { method, path, query: &[], body: None, doing, repeatable: false }
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: Said,
}

/// What a vault says went wrong.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Said {
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    innererror: Option<Box<Inner>>,
}

#[derive(Debug, Deserialize)]
struct Inner {
    #[serde(default)]
    code: String,
}

impl Said {
    pub(crate) fn of(answer: &Answer) -> Said {
        answer.json::<Refusal>().map(|refusal| refusal.error).unwrap_or_default()
    }

    /// Whether outer or inner code is that one.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code == code || self.innererror.as_ref().is_some_and(|inner| inner.code == code)
    }

    fn codes(&self) -> String {
        match &self.innererror {
            Some(inner) if !inner.code.is_empty() => format!("{}/{}", self.code, inner.code),
            _ => self.code.clone(),
        }
    }
}

#[derive(Deserialize)]
struct Page<T> {
    value: Vec<T>,
    #[serde(rename = "nextLink", default)]
    next_link: Option<String>,
}

/// Longest value of a tag (Key Vault documentation: tags).
pub(crate) const TAG_MAX: usize = 512;

/// Most tags on a version.
pub(crate) const TAGS_MAX: usize = 15;

/// Tags of a version.
pub(crate) type Tags = BTreeMap<String, String>;

/// What is known of a version of a secret or certificate without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// The version's own id.
    pub(crate) id: String,
    pub(crate) enabled: bool,
    /// In whole seconds.
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
    /// Of a secret: whether it is the other side of a certificate object.
    pub(crate) managed: bool,
    /// Of a certificate: its thumbprint.
    pub(crate) sha1: Option<Sha1>,
}

#[derive(Deserialize)]
pub(crate) struct Item {
    id: String,
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    tags: Option<Tags>,
    #[serde(default)]
    managed: Option<bool>,
    #[serde(default)]
    x5t: Option<String>,
}

#[derive(Default, Deserialize)]
struct Attributes {
    #[serde(default)]
    enabled: Option<bool>,
    #[serde(default)]
    created: i64,
}

impl From<Item> for Version {
    fn from(item: Item) -> Version {
        let sha1 = item.x5t.and_then(|x5t| URL_SAFE_NO_PAD.decode(x5t.trim_end_matches('=')).ok());
        Version {
            id: last_part(&item.id),
            enabled: item.attributes.enabled.unwrap_or(true),
            created: Timestamp::from_second(item.attributes.created).unwrap_or(Timestamp::MIN),
            tags: item.tags.unwrap_or_default(),
            managed: item.managed.unwrap_or(false),
            sha1: sha1.and_then(|bytes| bytes.try_into().ok()).map(Sha1),
        }
    }
}

/// The version in an id such as `https://v.vault.azure.net/secrets/app/4387e9f3`.
fn last_part(id: &str) -> String {
    id.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
}

impl KeyVault {
    /// A vault at that service. Nothing is sent yet. An API version that could not stand in a query is refused.
    pub fn new(service: Service, api_version: &str, sign_in: SignIn) -> Result<KeyVault, Trouble> {
        if api_version.is_empty()
            || !api_version.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
        {
            let reason = "its api_version is no version such as 7.4 or 2025-07-01";
            return Err(Trouble::new(
                TroubleKind::Refused,
                format!("connecting to {}", service.name()),
                reason,
            ));
        }
        Ok(KeyVault {
            service,
            api_version: api_version.to_owned(),
            sign_in,
            tokens: std::sync::Mutex::new(None),
            challenging: tokio::sync::Mutex::new(()),
        })
    }

    /// Its address and name, for messages.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Who signs in, for messages.
    pub(crate) fn signs_in(&self) -> String {
        self.sign_in.credential.describe()
    }

    /// Asks with a token. Asked for anew where the vault wants a newer one: it has not acted on such a request.
    pub(crate) async fn ask(&self, ask: &VaultAsk<'_>) -> Result<Answer, NoAnswer> {
        let url = self.service.url(ask.path.iter().copied());
        self.ask_at(url, ask).await
    }

    async fn ask_at(&self, url: Url, ask: &VaultAsk<'_>) -> Result<Answer, NoAnswer> {
        let not_sent = |trouble| NoAnswer { trouble, sent: Sent::No };
        let mut claims = None;
        let mut renewed = false;
        loop {
            let tokens = self.tokens(ask.doing).await.map_err(not_sent)?;
            let token = tokens.bearer_for(claims.as_deref()).await;
            let token = token.map_err(|error| not_sent(Trouble::from(error)))?;
            let mut request = Ask::new(ask.method.clone(), url.clone(), ask.doing);
            if url.query().is_none() {
                request = request.query(&[("api-version", self.api_version.as_str())]).query(ask.query);
            }
            if let Some(body) = ask.body {
                request = request.json(body).map_err(not_sent)?;
            }
            let request = if ask.repeatable { request.repeatable() } else { request };
            let request = request.secret_header(AUTHORIZATION, "Bearer ", &token.value);
            let answer = self.service.send(request).await?;
            if answer.status != 401 {
                return Ok(answer);
            }
            let Some(header) = challenge_in(&answer) else { return Ok(answer) };
            let unreadable = |problem| not_sent(unusable(ask.doing, problem));
            match Challenge::claims(header).map_err(unreadable)? {
                Some(wanted) if claims.is_none() => {
                    tokens.discard(&token);
                    claims = Some(wanted);
                }
                None if !renewed => {
                    self.checked(header, ask.doing).map_err(not_sent)?;
                    tokens.discard(&token);
                    renewed = true;
                }
                _ => return Ok(answer),
            }
        }
    }

    /// What a successful answer holds; any other becomes trouble.
    pub(crate) async fn data<T: DeserializeOwned>(&self, ask: &VaultAsk<'_>) -> Result<T, Trouble> {
        let answer = self.ask(ask).await?;
        if answer.is_success() { answer.json() } else { Err(refused(&answer)) }
    }

    /// All entries of a list; nothing where the name is unknown.
    pub(crate) async fn list<T: DeserializeOwned>(&self, ask: &VaultAsk<'_>) -> Result<Vec<T>, Trouble> {
        let mut all = Vec::new();
        let mut answer = self.ask(ask).await?;
        for page in 0..PAGES_MAX {
            match answer.status {
                200 => {}
                404 if page == 0 && is_absent(&answer) => return Ok(all),
                _ => return Err(refused(&answer)),
            }
            let page: Page<T> = answer.json()?;
            all.extend(page.value);
            let Some(link) = page.next_link.filter(|link| !link.is_empty()) else { return Ok(all) };
            let invalid = |reason: &str| Trouble::new(TroubleKind::Invalid, ask.doing, reason);
            let next = self.service.followable(&link);
            let next = next.filter(|next| next.query().is_some());
            let next = next.ok_or_else(|| invalid("the next page of the list would lead to another host"))?;
            answer = self.ask_at(next, ask).await?;
        }
        Err(Trouble::new(TroubleKind::Invalid, ask.doing, "the list has no end"))
    }

    /// The versions listed there, oldest first; of one second in the order of their ids.
    async fn versions_below(&self, path: &[&str], doing: &str) -> Result<Vec<Version>, Trouble> {
        let ask = VaultAsk { query: &[("maxresults", "25")], ..VaultAsk::new(Method::GET, path, doing) };
        let items: Vec<Item> = self.list(&ask).await?;
        let mut versions: Vec<Version> = items.into_iter().map(Version::from).collect();
        versions.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Ok(versions)
    }

    /// Whether one of these names was deleted and can be recovered. `None` too where we may not know.
    async fn deleted(&self, list: &str, names: &[&str]) -> Result<Option<String>, Trouble> {
        #[derive(Deserialize)]
        struct Deleted {
            id: String,
        }
        let doing = format!("reading what was deleted in {}", self.service.name());
        let path = [list];
        let ask = VaultAsk { query: &[("maxresults", "25")], ..VaultAsk::new(Method::GET, &path, &doing) };
        let deleted: Vec<Deleted> = match self.list(&ask).await {
            Ok(deleted) => deleted,
            // The write would tell.
            Err(trouble) if trouble.kind == TroubleKind::Authorisation => return Ok(None),
            Err(trouble) => return Err(trouble),
        };
        let mut found = deleted.iter().map(|one| last_part(&one.id));
        Ok(found.find(|one| names.iter().any(|name| name.eq_ignore_ascii_case(one))))
    }

    /// Sets the tags of a version, and disables it where that is said.
    async fn update(&self, path: &[&str], doing: &str, tags: &Tags, disable: bool) -> Result<(), Trouble> {
        let mut body = json!({ "tags": tags });
        if disable {
            body["attributes"] = json!({ "enabled": false });
        }
        let ask = VaultAsk { body: Some(&body), ..VaultAsk::new(Method::PATCH, path, doing) };
        self.data::<Value>(&ask).await.map(drop)
    }

    async fn tokens(&self, doing: &str) -> Result<Arc<TokenSource>, Trouble> {
        let known = || self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(tokens) = known() {
            return Ok(tokens);
        }
        let challenging = self.challenging.lock().await;
        if let Some(tokens) = known() {
            return Ok(tokens);
        }
        let challenge = self.challenge(doing).await?;
        let tokens = Arc::new(self.token_source(&challenge, doing)?);
        *self.tokens.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&tokens));
        drop(challenging);
        Ok(tokens)
    }

    /// Asks without a token and without a body, as the official clients do, to learn who gives tokens.
    async fn challenge(&self, doing: &str) -> Result<Challenge, Trouble> {
        let ask = Ask::get(self.service.url(["secrets"]), doing);
        let ask = ask.query(&[("api-version", &self.api_version), ("maxresults", "1")]);
        let answer = self.service.send(ask).await?;
        match (answer.status, challenge_in(&answer)) {
            (401, Some(header)) => self.checked(header, doing),
            (401, None) => {
                let reason = "the vault does not say who gives tokens for it (no WWW-Authenticate)";
                Err(Trouble::new(TroubleKind::Invalid, doing, reason))
            }
            (200..=299, _) => {
                let reason = "the vault answers without asking who we are: it is no Key Vault";
                Err(Trouble::new(TroubleKind::Invalid, doing, reason))
            }
            _ => Err(refused(&answer)),
        }
    }

    /// The challenge, if a token may be asked for where and for what it says.
    fn checked(&self, header: &str, doing: &str) -> Result<Challenge, Trouble> {
        let refused = |kind, reason: String| Trouble::new(kind, doing, printable(&reason));
        let challenge = Challenge::parse(header).map_err(|problem| unusable(doing, problem))?;
        let host = self.service.host();
        let for_us = match &self.sign_in.scope {
            Some(_) => true,
            None => challenge.is_for(host),
        };
        if !for_us {
            let reason =
                format!("the vault at {host} asks for a token for {}, which is not its own", challenge.scope);
            let trouble = refused(TroubleKind::Refused, reason);
            return Err(trouble.with_hint("nothing was sent; for an emulator set the connection's scope"));
        }
        let authority = challenge.authority.origin().ascii_serialization();
        if authority != self.sign_in.login {
            let reason =
                format!("the vault sends us to {authority} for a token, and {} is set", self.sign_in.login);
            let hint = "nothing was sent; set login_host of the connection, or AZURE_AUTHORITY_HOST, to the login host of its cloud";
            return Err(refused(TroubleKind::Refused, reason).with_hint(hint));
        }
        if let Some(meant) = &self.sign_in.credential.tenant
            && is_another(meant, &challenge.tenant)
        {
            let reason = format!(
                "the vault belongs to tenant {}, and {} is meant for tenant {meant}",
                challenge.tenant, self.sign_in.credential.source
            );
            let hint =
                "nothing was sent; let the store name a connection with a client of the vault's tenant";
            return Err(refused(TroubleKind::Authentication, reason).with_hint(hint));
        }
        Ok(challenge)
    }

    fn token_source(&self, challenge: &Challenge, doing: &str) -> Result<TokenSource, Trouble> {
        let SignIn { line, login, credential, scope } = &self.sign_in;
        let overrides = EndpointOverrides {
            login: Some(login.clone()),
            graph: None,
            scope: Some(scope.clone().unwrap_or_else(|| challenge.scope.clone())),
        };
        let endpoints = Endpoints::resolve(crate::desired::Cloud::Public, &overrides)
            .map_err(|error| Trouble { doing: doing.to_owned(), ..Trouble::from(error) })?;
        let line = Line { endpoints, ..line.clone() };
        let (tenant, credential) = (challenge.tenant.clone(), credential.clone());
        let retry = RetrySettings::default();
        Ok(TokenSource::new(line, tenant, credential, retry, SignatureAlgorithm::default()))
    }
}

/// The challenge of an answer, whole: with claims it is longer than what is shown of a header.
fn challenge_in(answer: &Answer) -> Option<&str> {
    answer.headers.get(WWW_AUTHENTICATE)?.to_str().ok()
}

fn unusable(doing: &str, problem: String) -> Trouble {
    let reason = printable(&format!("the vault's challenge cannot be used: {problem}"));
    Trouble::new(TroubleKind::Invalid, doing, reason)
}

/// Whether two names of a tenant are known to mean different ones: two GUIDs that differ. A domain may be any of them.
fn is_another(one: &str, two: &str) -> bool {
    match (one.parse::<uuid::Uuid>(), two.parse::<uuid::Uuid>()) {
        (Ok(one), Ok(two)) => one != two,
        _ => false,
    }
}

/// Whether a 404 is the vault's own, with a code. A proxy or another service has other words.
pub(crate) fn is_absent(answer: &Answer) -> bool {
    answer.status == 404 && !Said::of(answer).codes().is_empty()
}

/// The trouble of an answer that is no success.
pub(crate) fn refused(answer: &Answer) -> Trouble {
    let said = Said::of(answer);
    let kind = match answer.kind() {
        TroubleKind::Conflict
            if said.is("ObjectIsDeletedButRecoverable") || said.is("ObjectIsBeingDeleted") =>
        {
            TroubleKind::Refused
        }
        kind => kind,
    };
    let codes = said.codes();
    let trouble = Trouble {
        request_id: answer.header("x-ms-request-id").map(|id| printable(&id).into_boxed_str()),
        ..answer.trouble(kind, Some(&codes), Some(&said.message))
    };
    let hint = match answer.status {
        401 => "the vault does not take the token: is its tenant that of the credential?",
        403 if said.is("SecretDisabled") || said.is("KeyDisabled") => {
            "the version is disabled; enable it, or write a new one"
        }
        403 if said.is("ForbiddenByFirewall") || said.message.contains("Client address") => {
            "the vault's firewall does not let this machine in"
        }
        403 => {
            "certroll's sign-in lacks a right on this vault; a role that was just assigned takes some minutes to count"
        }
        409 if kind == TroubleKind::Refused => {
            "something of this name was deleted: recover it, or purge it, then run again"
        }
        _ => return trouble,
    };
    trouble.with_hint(hint)
}
