//! Reaches an Azure Key Vault: a named connection, or the cloud's own host with the sign-in variables that Azure's tools use.

use std::sync::Arc;

use super::reach::Reach;
use crate::desired::Cloud;
use crate::edges::{Trouble, TroubleKind};
use crate::entra::{EndpointOverrides, Endpoints, Line, OwnCredential, from_connection, from_environment};
use crate::ids::Name;
use crate::key_vault::{API_VERSION, KeyVault, SignIn};

/// Settings of a connection that say who signs in. Without any of them it is who signs in elsewhere in the run.
const OWN_SIGN_IN: [&str; 5] =
    ["auth", "client_id", "client_secret", "client_certificate_path", "federated_token_file"];

/// The vault of that name. All stores and issuers of a run that name the same share it, and its sign-in.
pub(super) fn open(reach: &Reach, connection: Option<&Name>, vault: &str) -> Result<Arc<KeyVault>, Trouble> {
    reach.key_vaults.get_or_open(connection, &vault.to_lowercase(), || {
        let operator = &reach.operator;
        let named = operator.connection(connection)?;
        let set = |setting: &'static str| named.and_then(|named| named.text(setting));
        let doing = format!("connecting to key vault {vault}");
        let refused = |reason: &str| Trouble::new(TroubleKind::Refused, doing.as_str(), reason);
        let login = set("login_host").or_else(|| operator.variable("AZURE_AUTHORITY_HOST"));
        if login.is_none() && reach.cloud.is_none() {
            return Err(refused("the declared tenants are in several clouds")
                .with_hint("let the store name a connection, and set its login_host"));
        }
        let overrides = EndpointOverrides { login: login.map(str::to_owned), ..EndpointOverrides::default() };
        let endpoints = Endpoints::resolve(reach.cloud.unwrap_or(Cloud::Public), &overrides)?;
        let address = match (set("address"), suffix(endpoints.login_host())) {
            (Some(address), _) => address.to_owned(),
            (None, Some(suffix)) => format!("https://{}.{suffix}", vault.to_lowercase()),
            (None, None) => {
                return Err(refused("which host vaults of this cloud have is not known")
                    .with_hint("let the store name a connection, and set its address to the vault's URL"));
            }
        };
        let service = reach.service_trusting(&format!("key vault {vault}"), &address, set("ca_file"))?;
        let credential: OwnCredential = match named {
            Some(named) if OWN_SIGN_IN.iter().any(|setting| named.text(setting).is_some()) => {
                from_connection(named, operator.variables())?
            }
            _ => from_environment(operator.variables())?,
        };
        let way = service.way();
        let (transport, in_flight) = (Arc::clone(&way.transport), Arc::clone(&way.in_flight));
        let login = endpoints.login_origin();
        let line =
            Line::new(transport, Arc::clone(&way.clock), Arc::clone(&way.random), endpoints, in_flight);
        let sign_in = SignIn { line, login, credential, scope: set("scope").map(str::to_owned) };
        let api_version = set("api_version").unwrap_or(API_VERSION);
        Ok(Arc::new(KeyVault::new(service, api_version, sign_in)?))
    })
}

/// What the hosts of vaults end with, by the login host of their cloud (Key Vault documentation: authentication; national clouds).
fn suffix(login_host: &str) -> Option<&'static str> {
    match login_host {
        "login.microsoftonline.com" | "login.windows.net" => Some("vault.azure.net"),
        "login.microsoftonline.us" => Some("vault.usgovcloudapi.net"),
        "login.partner.microsoftonline.cn" | "login.chinacloudapi.cn" => Some("vault.azure.cn"),
        _ => None,
    }
}
