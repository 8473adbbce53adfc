//! The sign-in variables that Azure's tools use, `AZURE_*` and `ARM_*`, read from a map that the command line hands in.
//!
//! `AZURE_*` comes first: when it is complete, `ARM_*` is not looked at. Within a family exactly one method must be set; two are
//! an error, because guessing would sign in as somebody nobody chose. Empty variables count as not set, as CI systems
//! set them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use uuid::Uuid;

use super::azure_cli::{self, AzureCli};
use super::ci_token::{CiSystem, CiToken};
use super::error::{EntraError, ErrorKind};
use super::managed_identity::{IMDS, IdentityEndpoint, ManagedIdentity};
use super::sign_in::{CertificateSource, Method, OwnCredential};
use crate::connections::Connection;
use crate::key::Secret;

/// Which method is meant, as Azure's own tools are told.
const CHOSEN: &str = "AZURE_TOKEN_CREDENTIALS";
/// The service connection of an Azure DevOps task.
const SERVICE_CONNECTION: &str = "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID";

const OF_MACHINE: [&str; 3] = ["IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZURE_POD_IDENTITY_AUTHORITY_HOST"];
const OF_GITHUB: [&str; 3] =
    ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_SERVER_URL"];
const OF_AZURE_DEVOPS: [&str; 3] = ["SYSTEM_OIDCREQUESTURI", "SYSTEM_ACCESSTOKEN", "SYSTEM_COLLECTIONURI"];

/// Reads the credential out of the variables.
///
/// | method | `AZURE_*` | `ARM_*` |
/// |---|---|---|
/// | who | `AZURE_CLIENT_ID`, `AZURE_TENANT_ID` | `ARM_CLIENT_ID`, `ARM_TENANT_ID` |
/// | secret | `AZURE_CLIENT_SECRET` | `ARM_CLIENT_SECRET` |
/// | certificate, PEM or PFX | `AZURE_CLIENT_CERTIFICATE_PATH`, `…_PASSWORD`, `AZURE_CLIENT_SEND_CERTIFICATE_CHAIN` | `ARM_CLIENT_CERTIFICATE_PATH` or `ARM_CLIENT_CERTIFICATE` (base64 of a PFX), `…_PASSWORD` |
/// | federated | `AZURE_FEDERATED_TOKEN_FILE` | `ARM_USE_OIDC=true` with `ARM_OIDC_TOKEN` or `ARM_OIDC_TOKEN_FILE_PATH` |
/// | GitHub job | the runner's `ACTIONS_ID_TOKEN_REQUEST_URL` and `…_TOKEN` | `ARM_USE_OIDC=true` with those, or `ARM_OIDC_REQUEST_URL` and `…_TOKEN` |
/// | Azure DevOps job | `AZURESUBSCRIPTION_SERVICE_CONNECTION_ID`, `SYSTEM_OIDCREQUESTURI`, `SYSTEM_ACCESSTOKEN` | `ARM_USE_OIDC=true` with `ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID` |
/// | managed identity | `AZURE_TOKEN_CREDENTIALS=ManagedIdentityCredential` | `ARM_USE_MSI=true` |
/// | Azure CLI | `AZURE_TOKEN_CREDENTIALS=AzureCliCredential` | `ARM_USE_CLI=true` |
///
/// The last two need no client id; a managed identity takes it as the name of one of several.
///
/// Errors name the variables that are missing or contradict each other, never a value.
pub fn from_environment(variables: &BTreeMap<String, String>) -> Result<OwnCredential, EntraError> {
    let set = Variables(variables);
    let azure = Family::azure(&set)?;
    let arm = Family::arm(&set);
    match azure {
        Some(found) => Ok(found),
        None => match arm? {
            Some(found) => Ok(found),
            None => Err(nothing(&set)),
        },
    }
}

/// Reads the credential out of a connection of the operator's: its settings are those of `AZURE_*` under their own names, and
/// `auth` says which method is meant where no secret does. What a machine or CI system says of itself is taken from its variables.
///
/// Errors name the settings that are missing or contradict each other, never a value.
pub fn from_connection(
    connection: &Connection,
    variables: &BTreeMap<String, String>,
) -> Result<OwnCredential, EntraError> {
    let settings = [
        ("AZURE_CLIENT_ID", "client_id"),
        ("AZURE_TENANT_ID", "tenant_id"),
        ("AZURE_CLIENT_SECRET", "client_secret"),
        ("AZURE_CLIENT_CERTIFICATE_PATH", "client_certificate_path"),
        ("AZURE_CLIENT_CERTIFICATE_PASSWORD", "client_certificate_password"),
        ("AZURE_FEDERATED_TOKEN_FILE", "federated_token_file"),
        (SERVICE_CONNECTION, "service_connection_id"),
    ];
    let set = settings.into_iter().filter_map(|(variable, setting)| {
        Some((variable.to_owned(), connection.secret(setting)?.expose().to_owned()))
    });
    let mut set: BTreeMap<String, String> = set.collect();
    let (ambient, chosen): (&[&str], _) = match connection.text("auth") {
        None | Some("client") => (&[], None),
        Some("managed_identity") => (&OF_MACHINE, Some("ManagedIdentityCredential")),
        Some("azure_cli") => (&azure_cli::PASSED_ON, Some("AzureCliCredential")),
        Some("github") => (&OF_GITHUB, None),
        Some("azure_devops") => (&OF_AZURE_DEVOPS, None),
        Some(_) => {
            return Err(wrong(&format!("connection {} has an unknown auth", connection.name())).with_hint(
                "Azure is signed in to with client, managed_identity, azure_cli, github or azure_devops",
            ));
        }
    };
    let ambient = ambient.iter().filter_map(|name| variables.get_key_value(*name));
    set.extend(ambient.map(|(name, value)| (name.clone(), value.clone())));
    set.extend(chosen.map(|chosen| (CHOSEN.to_owned(), chosen.to_owned())));
    let in_its_words = |mut text: String| {
        for (variable, setting) in settings.iter().rev() {
            text = text.replace(variable, &connection.variable(setting));
        }
        text
    };
    let found = from_environment(&set).map_err(|mut error| {
        error.message = in_its_words(std::mem::take(&mut error.message));
        error.hint = error.hint.take().map(in_its_words);
        error
    })?;
    Ok(OwnCredential { source: format!("connection {}", connection.name()), ..found })
}

/// The token that the CI system of this job offers, if one does: GitHub's under these two names, Azure DevOps' for the service
/// connection that the third names.
fn ci_token(
    set: &Variables<'_>,
    url: &'static str,
    token: &'static str,
    service_connection: &'static str,
) -> Result<Option<(&'static str, Method)>, EntraError> {
    let missing = |name: &str, other: &str| wrong(&format!("{other} is set, but {name} is not"));
    if let Some(id) = set.get(service_connection) {
        let system = CiSystem::AzureDevOps { service_connection: id.trim().to_owned() };
        let needed = |name| set.secret(name).ok_or_else(|| missing(name, service_connection));
        let (address, token) = (needed("SYSTEM_OIDCREQUESTURI")?, needed("SYSTEM_ACCESSTOKEN")?);
        let home = set.get("SYSTEM_COLLECTIONURI");
        let found = CiToken::new(system, address.expose(), home, token)?;
        return Ok(Some((service_connection, Method::CiToken(found))));
    }
    match (set.get(url), set.secret(token)) {
        (Some(address), Some(token)) => {
            let home = set.get("GITHUB_SERVER_URL");
            let found = CiToken::new(CiSystem::GitHub, address, home, token)?;
            Ok(Some((url, Method::CiToken(found))))
        }
        (Some(_), None) => Err(missing(token, url)),
        (None, _) => Ok(None),
    }
}

fn nothing(set: &Variables<'_>) -> EntraError {
    let lone = ["AZURE_CLIENT_ID", "ARM_CLIENT_ID"].into_iter().find(|name| set.get(name).is_some());
    let reason = match lone {
        Some(name) => format!("{name} is set, but no secret, certificate or federated token beside it"),
        None => "no sign-in variables are set".to_owned(),
    };
    wrong(&reason).with_hint(
        "set AZURE_TENANT_ID and AZURE_CLIENT_ID, and one of AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH, AZURE_FEDERATED_TOKEN_FILE; \
         or AZURE_TOKEN_CREDENTIALS=ManagedIdentityCredential or AzureCliCredential",
    )
}

fn wrong(reason: &str) -> EntraError {
    EntraError::new(ErrorKind::Settings, "choosing certroll's own sign-in", reason)
}

struct Variables<'a>(&'a BTreeMap<String, String>);

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        self.get(name).map(|value| Secret::new(value.to_owned()))
    }

    fn flag(&self, name: &str) -> Result<bool, EntraError> {
        match self.get(name).map(|value| value.trim().to_ascii_lowercase()).as_deref() {
            None | Some("false" | "0" | "f" | "no") => Ok(false),
            Some("true" | "1" | "t" | "yes") => Ok(true),
            Some(_) => Err(wrong(&format!("{name} is neither true nor false"))),
        }
    }
}

/// One family's methods, each with the variable that chose it.
struct Family<'a> {
    set: &'a Variables<'a>,
    prefix: &'static str,
    methods: Vec<(&'static str, Method)>,
}

impl<'a> Family<'a> {
    fn azure(set: &'a Variables<'a>) -> Result<Option<OwnCredential>, EntraError> {
        let mut family = Family { set, prefix: "AZURE", methods: Vec::new() };
        family.add_secret("AZURE_CLIENT_SECRET");
        let send_chain = set.flag("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN")?;
        family.add_certificate_file(
            "AZURE_CLIENT_CERTIFICATE_PATH",
            "AZURE_CLIENT_CERTIFICATE_PASSWORD",
            send_chain,
        )?;
        if let Some(path) = set.get("AZURE_FEDERATED_TOKEN_FILE") {
            family.methods.push(("AZURE_FEDERATED_TOKEN_FILE", Method::FederatedFile(PathBuf::from(path))));
        }
        family.add_chosen()?;
        // A job offers its token to every step; one that was given something else means that.
        if family.methods.is_empty()
            && (set.get("AZURE_CLIENT_ID").is_some() || set.get(SERVICE_CONNECTION).is_some())
        {
            family.methods.extend(ci_token(
                set,
                "ACTIONS_ID_TOKEN_REQUEST_URL",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
                SERVICE_CONNECTION,
            )?);
        }
        family.choose()
    }

    fn arm(set: &'a Variables<'a>) -> Result<Option<OwnCredential>, EntraError> {
        let mut family = Family { set, prefix: "ARM", methods: Vec::new() };
        family.add_secret("ARM_CLIENT_SECRET");
        let inline = "ARM_CLIENT_CERTIFICATE";
        if let Some(base64) = set.secret(inline) {
            let from = CertificateSource::Inline(base64);
            let password = set.secret("ARM_CLIENT_CERTIFICATE_PASSWORD");
            family.methods.push((inline, Method::Certificate { from, password, send_chain: false }));
        }
        if set.get(inline).is_none() || set.get("ARM_CLIENT_CERTIFICATE_PATH").is_some() {
            family.add_certificate_file(
                "ARM_CLIENT_CERTIFICATE_PATH",
                "ARM_CLIENT_CERTIFICATE_PASSWORD",
                false,
            )?;
        }
        family.add_oidc()?;
        if set.flag("ARM_USE_MSI")? {
            family.add_managed_identity("ARM_USE_MSI")?;
        }
        if set.flag("ARM_USE_CLI")? {
            family.methods.push(("ARM_USE_CLI", Method::AzureCli(AzureCli::new(set.0))));
        }
        family.choose()
    }

    /// Azure's own way to say which method is meant.
    fn add_chosen(&mut self) -> Result<(), EntraError> {
        match self.set.get(CHOSEN).map(|chosen| chosen.trim().to_ascii_lowercase()).as_deref() {
            Some("managedidentitycredential") => self.add_managed_identity(CHOSEN),
            Some("azureclicredential") => {
                self.methods.push((CHOSEN, Method::AzureCli(AzureCli::new(self.set.0))));
                Ok(())
            }
            // Others are for other tools: what is set beside it decides.
            Some(_) | None => Ok(()),
        }
    }

    fn add_managed_identity(&mut self, name: &'static str) -> Result<(), EntraError> {
        let endpoint = match (self.set.get("IDENTITY_ENDPOINT"), self.set.secret("IDENTITY_HEADER")) {
            (Some(url), Some(header)) => IdentityEndpoint::AppService { url: url.to_owned(), header },
            (None, None) => {
                let origin = self.set.get("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or(IMDS);
                IdentityEndpoint::Imds(origin.to_owned())
            }
            _ => return Err(wrong("of IDENTITY_ENDPOINT and IDENTITY_HEADER only one is set")),
        };
        let client_id = self.client_id()?;
        self.methods.push((name, Method::ManagedIdentity(ManagedIdentity { endpoint, client_id })));
        Ok(())
    }

    /// The client id, where one is set.
    fn client_id(&self) -> Result<Option<Uuid>, EntraError> {
        let name = format!("{}_CLIENT_ID", self.prefix);
        let id = self.set.get(&name).map(str::trim);
        id.map(str::parse).transpose().map_err(|_| wrong(&format!("{name} is not a GUID")))
    }

    fn add_secret(&mut self, name: &'static str) {
        if let Some(secret) = self.set.secret(name) {
            self.methods.push((name, Method::Secret(secret)));
        }
    }

    fn add_certificate_file(
        &mut self,
        path: &'static str,
        password: &'static str,
        send_chain: bool,
    ) -> Result<(), EntraError> {
        match (self.set.get(path), self.set.secret(password)) {
            (Some(file), password) => {
                let from = CertificateSource::File(PathBuf::from(file));
                self.methods.push((path, Method::Certificate { from, password, send_chain }));
                Ok(())
            }
            (None, Some(_)) => Err(wrong(&format!("{password} is set, but {path} is not"))),
            (None, None) => Ok(()),
        }
    }

    fn add_oidc(&mut self) -> Result<(), EntraError> {
        let wanted = self.set.flag("ARM_USE_OIDC")?;
        let token =
            self.set.secret("ARM_OIDC_TOKEN").map(|token| ("ARM_OIDC_TOKEN", Method::FederatedToken(token)));
        let file = self.set.get("ARM_OIDC_TOKEN_FILE_PATH");
        let file = file.map(|path| ("ARM_OIDC_TOKEN_FILE_PATH", Method::FederatedFile(PathBuf::from(path))));
        let mut found: Vec<_> = token.into_iter().chain(file).collect();
        if wanted && found.is_empty() {
            let own = self.set.get("ARM_OIDC_REQUEST_URL").is_some();
            let (url, token) = match own {
                true => ("ARM_OIDC_REQUEST_URL", "ARM_OIDC_REQUEST_TOKEN"),
                false => ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
            };
            found.extend(ci_token(self.set, url, token, "ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID")?);
        }
        match (wanted, found.first()) {
            (true, None) => Err(wrong("ARM_USE_OIDC is true, but neither ARM_OIDC_TOKEN nor ARM_OIDC_TOKEN_FILE_PATH is set, and no CI system offers a token")
                .with_hint("on GitHub give the job permissions: id-token: write; on Azure DevOps set ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID and map SYSTEM_ACCESSTOKEN")),
            (false, Some((name, _))) if self.methods.is_empty() => {
                Err(wrong(&format!("{name} is set, but ARM_USE_OIDC is not true")))
            }
            (true, Some(_)) => {
                self.methods.extend(found);
                Ok(())
            }
            (false, _) => Ok(()),
        }
    }

    /// The family's credential; `None` when it has no method.
    fn choose(self) -> Result<Option<OwnCredential>, EntraError> {
        let client_id = self.client_id();
        let mut methods = self.methods.into_iter();
        let Some((name, method)) = methods.next() else { return Ok(None) };
        let others: Vec<&str> = methods.map(|(name, _)| name).collect();
        if !others.is_empty() {
            let all = format!("{name} and {}", others.join(" and "));
            return Err(
                wrong(&format!("{all} are both set; which one is meant?")).with_hint("unset all but one")
            );
        }
        let knows_who = matches!(method, Method::ManagedIdentity(_) | Method::AzureCli(_));
        let client_id = match client_id? {
            Some(id) => id,
            None if knows_who => Uuid::nil(),
            None => return Err(wrong(&format!("{name} is set, but {}_CLIENT_ID is not", self.prefix))),
        };
        let tenant = self.set.get(&format!("{}_TENANT_ID", self.prefix)).map(|id| id.trim().to_owned());
        Ok(Some(OwnCredential { tenant, client_id, method, source: name.to_owned() }))
    }
}
