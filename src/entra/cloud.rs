//! Which hosts serve a cloud. Login host, Graph host and token scope are three settings: for one cloud the sources disagree
//! about the scope, and new sovereign clouds have hosts nobody has published.

use reqwest::Url;

use super::error::{EntraError, ErrorKind};
use crate::desired::Cloud;
use crate::net::is_loopback;

/// What an operator sets instead of a cloud's own values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointOverrides {
    /// Login host, as in `AZURE_AUTHORITY_HOST`: `https://login.microsoftonline.us`; a bare host name is taken as HTTPS.
    pub login: Option<String>,
    /// Graph host, in the same forms.
    pub graph: Option<String>,
    /// The scope a token is asked for. Without it, `/.default` of the Graph host when that one is set, else the cloud's.
    pub scope: Option<String>,
}

/// The hosts of one tenant's cloud. Tokens and secrets go to these and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    login: Url,
    graph: Url,
    scope: String,
}

/// Where the emulator in process pretends to be. The name cannot leave the machine (RFC 6761).
pub const EMULATOR_URL: &str = "https://emulator.localhost";

/// Login host, Graph host. Microsoft's documentation of national clouds; for DoD the scope is that of its own Graph host, as
/// HashiCorp's SDK asks for it.
fn hosts(cloud: Cloud) -> (&'static str, &'static str) {
    match cloud {
        Cloud::Public => ("https://login.microsoftonline.com", "https://graph.microsoft.com"),
        Cloud::UsGov => ("https://login.microsoftonline.us", "https://graph.microsoft.us"),
        Cloud::UsGovDod => ("https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
        Cloud::China => {
            ("https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn")
        }
        Cloud::Emulator => (EMULATOR_URL, EMULATOR_URL),
    }
}

impl Endpoints {
    /// The cloud's hosts, with the operator's instead where given.
    pub fn resolve(cloud: Cloud, overrides: &EndpointOverrides) -> Result<Endpoints, EntraError> {
        let (login, graph) = hosts(cloud);
        let login = host_url("login host", overrides.login.as_deref().unwrap_or(login))?;
        let graph = host_url("Graph host", overrides.graph.as_deref().unwrap_or(graph))?;
        let scope = match &overrides.scope {
            Some(scope) if !scope.trim().is_empty() => scope.trim().to_owned(),
            _ => format!("{}/.default", graph.as_str().trim_end_matches('/')),
        };
        Ok(Endpoints { login, graph, scope })
    }

    /// The login host's name.
    pub fn login_host(&self) -> &str {
        self.login.host_str().unwrap_or_default()
    }

    /// Scheme, host and port of the login service.
    pub fn login_origin(&self) -> String {
        self.login.origin().ascii_serialization()
    }

    /// The scope a token is asked for.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// The token endpoint of a tenant, named by GUID or verified domain.
    pub fn token_url(&self, tenant: &str) -> Result<Url, EntraError> {
        self.tenant_url(tenant, "oauth2/v2.0/token")
    }

    /// The discovery document of a tenant.
    pub fn discovery_url(&self, tenant: &str) -> Result<Url, EntraError> {
        self.tenant_url(tenant, "v2.0/.well-known/openid-configuration")
    }

    /// Tenants come from the declaration, and a `/`, `?` or `..` in one would choose another path on the login host.
    fn tenant_url(&self, tenant: &str, rest: &str) -> Result<Url, EntraError> {
        let ordinary = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let well_formed = !tenant.is_empty()
            && tenant.len() <= 253
            && tenant.chars().all(ordinary)
            && tenant.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !well_formed {
            let reason = format!("tenant {tenant:?} is neither a GUID nor a domain");
            return Err(EntraError::new(ErrorKind::Settings, "choosing the login address", &reason));
        }
        join(&self.login, &format!("{tenant}/{rest}"))
    }

    /// An address below Graph's version root: `applications?$top=999`.
    pub fn graph_url(&self, path_and_query: &str) -> Result<Url, EntraError> {
        join(&self.graph, &format!("v1.0/{path_and_query}"))
    }

    /// A link the service sent, if it leads back to the same scheme, host and port and stays below the version root. A token
    /// would go wherever it points.
    pub fn followable(&self, link: &str) -> Option<Url> {
        let url = Url::parse(link).ok()?;
        let root = self.graph_url("").ok()?;
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        let inside = url.origin() == root.origin() && url.path().starts_with(root.path());
        (plain && inside).then_some(url)
    }
}

fn join(base: &Url, rest: &str) -> Result<Url, EntraError> {
    let text = format!("{}/{rest}", base.as_str().trim_end_matches('/'));
    Url::parse(&text)
        .map_err(|error| EntraError::new(ErrorKind::Settings, "building an address", &error.to_string()))
}

/// Reads a host setting. Only scheme, host and port are allowed: what else could stand there would change what is signed or asked.
fn host_url(what: &str, text: &str) -> Result<Url, EntraError> {
    // What stands before an `@` may be a password.
    let shown = text.rsplit('@').next().unwrap_or_default();
    let wrong = |reason: &str| {
        EntraError::new(ErrorKind::Settings, format!("reading the {what} {shown:?}"), reason)
            .with_hint("write it as https://host or https://host:port")
    };
    let text = text.trim();
    let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&full).map_err(|error| wrong(&error.to_string()))?;
    let host = url.host_str().ok_or_else(|| wrong("it has no host"))?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(host) => {}
        _ => return Err(wrong("only https is used, and http to loopback")),
    }
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.path().trim_matches('/').is_empty();
    if bare { Ok(url) } else { Err(wrong("only scheme, host and port belong there")) }
}

#[cfg(test)]
mod tests;
