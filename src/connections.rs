//! The operator's side of `connection: NAME`: host, credential and who may use it. A declaration only names a connection; everything
//! else comes from variables (`CERTROLL_CONN_<NAME>_<SETTING>`) or the operator's file (`--connections FILE`), handed in as text.
//!
//! Pure: the variables and the file's text are passed in, and nothing is connected to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

use crate::desired::{Desired, Tenant};
use crate::edges::{Trouble, TroubleKind};
use crate::ids::Name;
use crate::key::Secret;

/// What can be set for a connection: the word, and what it means.
pub const SETTINGS: &[(&str, &str)] = &[
    ("address", "URL of the service: a vault, a CI system's API, a Graph host with login_host"),
    ("ca_file", "PEM file of certificate authorities that are trusted for it besides the system's"),
    (
        "tenants",
        "ids of the tenants whose certificates may use it, separated by commas; without it every tenant may",
    ),
    (
        "auth",
        "how to sign in: token, approle, jwt, kubernetes (Vault); client, managed_identity, azure_cli, github, azure_devops (Azure)",
    ),
    ("auth_mount", "mount of the Vault auth method, where it is not the method's own name"),
    ("token", "a token"),
    ("token_file", "a file that holds the token"),
    ("role", "role of the Vault auth method jwt or kubernetes"),
    ("role_id", "role id of AppRole"),
    ("secret_id", "secret id of AppRole"),
    ("secret_id_file", "a file that holds the secret id of AppRole"),
    ("jwt_file", "a file that holds the token of the jwt or kubernetes method"),
    ("namespace", "Vault namespace of the sign-in, where it is not the store's"),
    ("tenant_id", "tenant of the client that signs in"),
    ("client_id", "client that signs in"),
    ("client_secret", "its secret"),
    ("client_certificate_path", "its certificate and key, PEM or PFX"),
    ("client_certificate_password", "the password of that PFX"),
    ("federated_token_file", "a token of another issuer, in a file"),
    ("service_connection_id", "service connection of Azure DevOps whose identity signs in"),
    ("login_host", "login host of the cloud"),
    ("scope", "scope a token is asked for"),
    ("api_version", "version of the Key Vault API; 7.4 without it"),
    ("kubeconfig", "kubeconfig file; without it KUBECONFIG, then the cluster it runs in"),
];

/// The start of every variable.
const PREFIX: &str = "CERTROLL_CONN_";

/// What an operator has set, whatever it is used for. Nothing of it is printed.
#[derive(Clone, Default)]
pub struct Operator {
    variables: BTreeMap<String, String>,
    named: BTreeMap<Name, Connection>,
    users: Users,
}

/// Which tenants' certificates use which connection.
pub type Users = BTreeMap<Name, BTreeSet<User>>;

/// A tenant as declared: its name and its id.
pub type User = (Name, String);

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").field("named", &self.named.keys()).finish_non_exhaustive()
    }
}

/// One connection.
#[derive(Clone)]
pub struct Connection {
    name: Name,
    values: BTreeMap<&'static str, Secret>,
    tenants: Option<BTreeSet<String>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("name", &self.name).field("set", &self.values.keys()).finish()
    }
}

/// The operator's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    connections: BTreeMap<String, BTreeMap<String, Value>>,
}

/// A value of the operator's file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    List(Vec<String>),
}

impl Operator {
    /// Takes the variables of the run, and the text of the operator's file where one was given. `users` are the connections
    /// the declaration names ([`users`]): a variable belongs to the longest of them that it begins with. Every mistake is named at once;
    /// no value is.
    pub fn new(
        variables: BTreeMap<String, String>,
        file: Option<&str>,
        users: Users,
    ) -> Result<Operator, Vec<String>> {
        let mut problems = Vec::new();
        let mut named: BTreeMap<Name, Connection> = BTreeMap::new();
        if let Some(text) = file {
            read_file(text, &mut named, &mut problems);
        }
        let mut by_length: Vec<(String, &Name)> =
            users.keys().map(|name| (variable_prefix(name), name)).collect();
        by_length.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        for (variable, value) in
            variables.iter().filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
        {
            let owner = by_length
                .iter()
                .find_map(|(prefix, name)| Some((*name, variable.strip_prefix(prefix.as_str())?)));
            // Another declaration's connection: this run has nothing to do with it.
            let Some((name, setting)) = owner else { continue };
            match known(&setting.to_lowercase()) {
                Some(setting) => connection(&mut named, name).set(setting, value),
                None => problems.push(unknown(variable, &setting.to_lowercase())),
            }
        }
        if problems.is_empty() { Ok(Operator { variables, named, users }) } else { Err(problems) }
    }

    /// A variable of the run that is set to something.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    /// All variables of the run.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// The connection of that name, if one is named. One that nobody set up, or that a tenant which needs it may not use, is trouble
    /// that says so: a declaration names its own tenants, so their ids count.
    pub fn connection(&self, name: Option<&Name>) -> Result<Option<&Connection>, Trouble> {
        let Some(name) = name else { return Ok(None) };
        let wrong =
            |reason: String| Trouble::new(TroubleKind::Refused, format!("using connection {name}"), reason);
        let connection = self.named.get(name).ok_or_else(|| {
            wrong("the operator of this run has not set it up".to_owned()).with_hint(format!(
                "set {}ADDRESS and what it signs in with, or name a file with --connections",
                variable_prefix(name)
            ))
        })?;
        let allowed =
            |(_, id): &&User| connection.tenants.as_ref().is_none_or(|ids| ids.contains(&id.to_lowercase()));
        let users = self.users.get(name).into_iter().flatten();
        match users.into_iter().find(|user| !allowed(user)) {
            None => Ok(Some(connection)),
            Some((tenant, id)) => {
                Err(wrong(format!("the operator does not let tenant {tenant} ({id}) use it"))
                    .with_hint("add the tenant's id to the connection's tenants, or use another connection"))
            }
        }
    }
}

impl Connection {
    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// A setting that is no secret.
    pub fn text(&self, setting: &'static str) -> Option<&str> {
        self.values.get(setting).map(Secret::expose)
    }

    /// A setting that may be one.
    pub fn secret(&self, setting: &'static str) -> Option<&Secret> {
        self.values.get(setting)
    }

    /// How a setting is written as a variable, for messages.
    pub fn variable(&self, setting: &str) -> String {
        format!("{}{}", variable_prefix(&self.name), setting.to_uppercase())
    }

    fn set(&mut self, setting: &'static str, value: &str) {
        if setting == "tenants" {
            let ids = value.split(',').map(|id| id.trim().to_lowercase()).filter(|id| !id.is_empty());
            self.tenants = Some(ids.collect());
        } else {
            self.values.insert(setting, Secret::new(value.trim().to_owned()));
        }
    }
}

/// The connections that a declaration names, each with the tenants whose certificates need it.
pub fn users(desired: &Desired) -> Users {
    let mut users = Users::new();
    let mut note = |connection: Option<Name>, tenant: &Tenant| {
        if let Some(connection) = connection {
            users.entry(connection).or_default().insert((tenant.name.clone(), tenant.id.clone()));
        }
    };
    for tenant in desired.tenants.values() {
        note(tenant.connection.clone(), tenant);
    }
    for declared in desired.certificates.values() {
        let Some(tenant) = desired.tenants.get(&declared.address.tenant) else { continue };
        let store = declared.store.as_ref().and_then(|binding| desired.stores.get(&binding.store));
        note(store.and_then(|store| store.connection.clone()), tenant);
        note(declared.issuer.connection().cloned(), tenant);
        for delivery in &declared.deliveries {
            note(delivery.connection(), tenant);
        }
    }
    users
}

fn variable_prefix(name: &Name) -> String {
    format!("{PREFIX}{}_", name.as_str().to_uppercase().replace('-', "_"))
}

fn connection<'m>(named: &'m mut BTreeMap<Name, Connection>, name: &Name) -> &'m mut Connection {
    named.entry(name.clone()).or_insert_with(|| Connection {
        name: name.clone(),
        values: BTreeMap::new(),
        tenants: None,
    })
}

fn known(setting: &str) -> Option<&'static str> {
    SETTINGS.iter().map(|(word, _)| *word).find(|word| *word == setting)
}

fn unknown(place: &str, setting: &str) -> String {
    let near = SETTINGS.iter().map(|(word, _)| *word);
    let near = near.max_by(|a, b| strsim::jaro(a, setting).total_cmp(&strsim::jaro(b, setting)));
    let near = near.filter(|word| strsim::jaro(word, setting) > 0.75);
    let meant = near.map(|word| format!("; did you mean {word}?")).unwrap_or_default();
    format!("{place}: there is no setting {}{meant}", crate::diagnostic::cleaned(setting))
}

fn read_file(text: &str, named: &mut BTreeMap<Name, Connection>, problems: &mut Vec<String>) {
    // The parser's own words may quote a secret; where it stopped is enough.
    let written: Written = match serde_yaml::from_str(text) {
        Ok(written) => written,
        Err(error) => {
            let place = error.location().map(|at| format!(" (line {}, column {})", at.line(), at.column()));
            problems.push(format!(
                "the connections file is not `connections:` with settings of text below each name{}",
                place.unwrap_or_default()
            ));
            return;
        }
    };
    for (name, settings) in written.connections {
        let Ok(name) = name.parse::<Name>() else {
            problems.push(format!("{} is no name for a connection", crate::diagnostic::cleaned(&name)));
            continue;
        };
        for (setting, value) in settings {
            let text = match value {
                Value::Text(text) => text,
                Value::List(texts) => texts.join(","),
            };
            match known(&setting) {
                Some(setting) => connection(named, &name).set(setting, &text),
                None => problems.push(unknown(&format!("connection {name}"), &setting)),
            }
        }
    }
}
