//! Reaches a Vault: a named connection, or the variables of Vault's own tools.

use std::sync::Arc;

use super::reach::Reach;
use crate::edges::{Trouble, TroubleKind};
use crate::ids::Name;
use crate::vault::Vault;
use crate::vault::auth::Auth;

/// The Vault of that connection, or that of `VAULT_ADDR`. All stores and issuers of a run that name the same share it, and its sign-in.
pub(super) fn open(reach: &Reach, connection: Option<&Name>) -> Result<Arc<Vault>, Trouble> {
    reach.vaults.get_or_open(connection, "", || {
        let operator = &reach.operator;
        let named = operator.connection(connection)?;
        let auth = Auth::choose(operator, named)?;
        let (name, address, source, ca_file, namespace) = match named {
            Some(named) => (
                format!("vault {}", named.name()),
                named.text("address"),
                named.variable("address"),
                named.text("ca_file"),
                named.text("namespace"),
            ),
            None => (
                "vault".to_owned(),
                operator.variable("VAULT_ADDR"),
                "VAULT_ADDR".to_owned(),
                operator.variable("VAULT_CACERT"),
                operator.variable("VAULT_NAMESPACE"),
            ),
        };
        let address = address.ok_or_else(|| {
            Trouble::new(
                TroubleKind::Refused,
                format!("connecting to {name}"),
                format!("{source} is not set"),
            )
            .with_hint("set it to the URL of the vault, or let the store name a connection")
        })?;
        let service = reach.service_trusting(&name, address, ca_file)?;
        Ok(Arc::new(Vault::new(service, auth, namespace.map(str::to_owned))))
    })
}
