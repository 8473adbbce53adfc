//! Where an Azure Key Vault signs: it makes the key as well, so that the certificate has to be kept in that vault, in an object with a name
//! where it can wait unseen.

use super::Resolver;
use super::certificate::Scope;
use crate::certificate::SignatureHash;
use crate::desired::{Issuer, Store, StoreBinding, StoreKind};
use crate::diagnostic::{Code, Diagnostic};

/// Reports what does not go together with issuer `key_vault`, and gives it the store's way to the vault.
pub(super) fn check(
    resolver: &mut Resolver<'_>,
    scope: &Scope<'_, '_>,
    issuer: Issuer,
    binding: &StoreBinding,
) -> Issuer {
    let Issuer::KeyVault { vault, issuer: name, connection } = issuer else { return issuer };
    if let Some(store) = resolver.stores.get(&binding.store).cloned() {
        is_in_that_vault(resolver, scope, &vault, &store, binding);
        if connection.is_some() && connection != store.connection && is_vault(&store, &vault) {
            let message = "the issuer and the store are one vault, and name two connections to it";
            let error = Diagnostic::error(Code::Conflict, scope.place(&["issuer"]), message);
            let error = error.label(scope.place(&["store"]), "the other");
            resolver.found.push(error.help("leave `connection` out at the issuer: the store's counts"));
        }
    }
    fits_what_a_vault_makes(resolver, scope);
    let connection = resolver.stores.get(&binding.store).and_then(|store| store.connection.clone());
    Issuer::KeyVault { vault, issuer: name, connection }
}

fn is_vault(store: &Store, name: &str) -> bool {
    matches!(&store.kind, StoreKind::AzureKeyVault { vault } if vault.eq_ignore_ascii_case(name))
}

fn is_in_that_vault(
    resolver: &mut Resolver<'_>,
    scope: &Scope<'_, '_>,
    vault: &str,
    store: &Store,
    binding: &StoreBinding,
) {
    let options = &binding.options;
    let exportable = options.exportable == Some(true) && options.hsm != Some(true);
    let object = options.object.as_deref() == Some("certificate");
    if is_vault(store, vault) && object && exportable {
        return;
    }
    let (message, help) = if is_vault(store, vault) && object {
        let message = "what a vault signs itself is live at once where its key cannot leave: it could not be proven first";
        (message.to_owned(), "leave `exportable` and `hsm` out, or name an `issuer` that signs requests: `vault_pki`, `ca_file` or `csr`".to_owned())
    } else {
        let name = resolver
            .stores
            .iter()
            .find(|(_, store)| is_vault(store, vault))
            .map(|(name, _)| name.to_string());
        let name = name.unwrap_or_else(|| "NAME".to_owned());
        let declare = match resolver.stores.values().any(|store| is_vault(store, vault)) {
            true => String::new(),
            false => format!(" with a store `{name}: {{ kind: azure_key_vault, vault: {vault} }}`"),
        };
        (
            format!(
                "issuer key_vault makes the key in vault {vault}, so that it has to be kept in a certificate object there"
            ),
            format!(
                "write `store: {{ use: {name}, object: certificate }}`{declare}, or name another `issuer`"
            ),
        )
    };
    let error = Diagnostic::error(Code::Conflict, scope.place(&["issuer"]), message);
    resolver.found.push(error.label(scope.place(&["store"]), "kept here").help(help));
}

fn fits_what_a_vault_makes(resolver: &mut Resolver<'_>, scope: &Scope<'_, '_>) {
    let validity = scope.value.validity.as_ref().filter(|_| !scope.is_broken("validity"));
    if let Some(validity) = validity.filter(|validity| validity.whole_months().is_none()) {
        let message = format!(
            "Key Vault counts the validity of what it signs in months, and {validity} is no number of them"
        );
        let error = resolver.error(Code::Conflict, scope.place(&["validity"]), message);
        error.help.push("write it as `P1Y` or `P6M`".into());
    }
    if scope.is_explicit("signature_hash") && scope.value.signature_hash != Some(SignatureHash::Sha256) {
        let message = "Key Vault chooses the hash of what it signs itself";
        let error = resolver.error(Code::NotApplicable, scope.place(&["signature_hash"]), message);
        error.help.push("leave `signature_hash` out".into());
    }
}
