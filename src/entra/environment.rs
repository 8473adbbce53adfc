//! The sign-in variables that Azure's tools use, `AZURE_*` and `ARM_*`, read from a map that the command line hands in.
//!
//! `AZURE_*` comes first: when it is complete, `ARM_*` is not looked at. Within a family exactly one method must be set; two are
//! an error, because guessing would sign in as somebody nobody chose. Empty variables count as not set, as CI systems
//! set them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::{EntraError, ErrorKind};
use super::sign_in::{CertificateSource, Method, OwnCredential};
use crate::connections::Connection;
use crate::key::Secret;

/// Reads the credential out of the variables.
///
/// | method | `AZURE_*` | `ARM_*` |
/// |---|---|---|
/// | who | `AZURE_CLIENT_ID`, `AZURE_TENANT_ID` | `ARM_CLIENT_ID`, `ARM_TENANT_ID` |
/// | secret | `AZURE_CLIENT_SECRET` | `ARM_CLIENT_SECRET` |
/// | certificate, PEM or PFX | `AZURE_CLIENT_CERTIFICATE_PATH`, `…_PASSWORD`, `AZURE_CLIENT_SEND_CERTIFICATE_CHAIN` | `ARM_CLIENT_CERTIFICATE_PATH` or `ARM_CLIENT_CERTIFICATE` (base64 of a PFX), `…_PASSWORD` |
/// | federated | `AZURE_FEDERATED_TOKEN_FILE` | `ARM_USE_OIDC=true` with `ARM_OIDC_TOKEN` or `ARM_OIDC_TOKEN_FILE_PATH` |
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

/// Reads the credential out of a connection of the operator's: its settings are those of `AZURE_*` under their own names.
///
/// Errors name the settings that are missing or contradict each other, never a value.
pub fn from_connection(connection: &Connection) -> Result<OwnCredential, EntraError> {
    let settings = [
        ("AZURE_CLIENT_ID", "client_id"),
        ("AZURE_TENANT_ID", "tenant_id"),
        ("AZURE_CLIENT_SECRET", "client_secret"),
        ("AZURE_CLIENT_CERTIFICATE_PATH", "client_certificate_path"),
        ("AZURE_CLIENT_CERTIFICATE_PASSWORD", "client_certificate_password"),
        ("AZURE_FEDERATED_TOKEN_FILE", "federated_token_file"),
    ];
    let set = settings.into_iter().filter_map(|(variable, setting)| {
        Some((variable.to_owned(), connection.secret(setting)?.expose().to_owned()))
    });
    let in_its_words = |mut text: String| {
        for (variable, setting) in settings.iter().rev() {
            text = text.replace(variable, &connection.variable(setting));
        }
        text
    };
    let found = from_environment(&set.collect()).map_err(|mut error| {
        error.message = in_its_words(std::mem::take(&mut error.message));
        error.hint = error.hint.take().map(in_its_words);
        error
    })?;
    Ok(OwnCredential { source: format!("connection {}", connection.name()), ..found })
}

fn nothing(set: &Variables<'_>) -> EntraError {
    let lone = ["AZURE_CLIENT_ID", "ARM_CLIENT_ID"].into_iter().find(|name| set.get(name).is_some());
    let reason = match lone {
        Some(name) => format!("{name} is set, but no secret, certificate or federated token beside it"),
        None => "no sign-in variables are set".to_owned(),
    };
    wrong(&reason).with_hint(
        "set AZURE_TENANT_ID and AZURE_CLIENT_ID, and one of AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH, AZURE_FEDERATED_TOKEN_FILE",
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
        family.choose()
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
        let found: Vec<_> = token.into_iter().chain(file).collect();
        match (wanted, found.first()) {
            (true, None) => Err(wrong("ARM_USE_OIDC is true, but neither ARM_OIDC_TOKEN nor ARM_OIDC_TOKEN_FILE_PATH is set")
                .with_hint("asking GitHub or Azure DevOps for a token is not in this version; have an earlier step write it to a file")),
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
        let id_name = format!("{}_CLIENT_ID", self.prefix);
        let mut methods = self.methods.into_iter();
        let Some((name, method)) = methods.next() else { return Ok(None) };
        let others: Vec<&str> = methods.map(|(name, _)| name).collect();
        if !others.is_empty() {
            let all = format!("{name} and {}", others.join(" and "));
            return Err(
                wrong(&format!("{all} are both set; which one is meant?")).with_hint("unset all but one")
            );
        }
        let Some(id) = self.set.get(&id_name) else {
            return Err(wrong(&format!("{name} is set, but {id_name} is not")));
        };
        let client_id = id.trim().parse().map_err(|_| wrong(&format!("{id_name} is not a GUID")))?;
        let tenant = self.set.get(&format!("{}_TENANT_ID", self.prefix)).map(|id| id.trim().to_owned());
        Ok(Some(OwnCredential { tenant, client_id, method, source: name.to_owned() }))
    }
}
