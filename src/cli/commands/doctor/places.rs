//! What `doctor` finds at stores, issuers, delivery places, and of the secrets the declaration names.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::{Finding, Health};
use crate::backends::shipped::{Secrets, ShippedReaders};
use crate::cli::connect::Ground;
use crate::cli::text::counted;
use crate::desired::{Declared, Delivery, Issuer, Password, StoreBinding};
use crate::edges::{Readers, Trouble};
use crate::may::May;
use crate::observed::{DeliveryState, StoreState};

/// What was found of several entries of one store.
#[derive(Default)]
struct OfStore {
    signs_in: Option<String>,
    readable: usize,
    writable: usize,
    is_not_told: bool,
    findings: Vec<Finding>,
}

/// What was found of one entry.
struct OfEntry {
    signs_in: Option<String>,
    warnings: Vec<String>,
    may: Result<May, Trouble>,
}

/// Every store that a certificate is in, by reading the public records there.
pub(super) async fn stores(certificates: &[&Declared], ground: &Ground) -> Vec<Finding> {
    let readers = ShippedReaders::new(&ground.connections);
    let bindings = certificates.iter().filter_map(|declared| declared.store.as_ref());
    let looks = bindings.map(|binding| {
        let readers = &readers;
        async move { (binding, entry(binding, readers, ground).await) }
    });
    let mut stores: BTreeMap<_, OfStore> = BTreeMap::new();
    for (binding, found) in join_all(looks).await {
        let store = stores.entry(&binding.store).or_default();
        store.put(&format!("store {}", binding.store), &binding.entry, found);
    }
    let findings = stores.into_iter().map(|(name, found)| found.told(&format!("store {name}")));
    findings.flatten().collect()
}

async fn entry(binding: &StoreBinding, readers: &ShippedReaders, ground: &Ground) -> Result<OfEntry, String> {
    let store = readers.store(binding).map_err(|trouble| trouble.to_string())?;
    let _slot = ground.slots.acquire().await;
    let observed = store.observe(binding).await;
    if let StoreState::Unreadable { reason } = observed.state {
        return Err(reason);
    }
    let may = store.may_write(binding).await.map_err(Trouble::from);
    Ok(OfEntry { signs_in: store.signs_in(), warnings: observed.warnings, may })
}

impl OfStore {
    fn put(&mut self, about: &str, entry: &str, found: Result<OfEntry, String>) {
        let found = match found {
            Ok(found) => found,
            Err(reason) => {
                self.findings.push(Finding::new(about, Health::Failed, format!("{entry}: {reason}")));
                return;
            }
        };
        self.readable += 1;
        self.signs_in = found.signs_in;
        for warning in &found.warnings {
            self.findings.push(Finding::new(about, Health::Warning, format!("{entry}: {warning}")));
        }
        match found.may {
            Ok(May::Yes) => self.writable += 1,
            Ok(May::NotTold) => self.is_not_told = true,
            // Said already: it stands in the way of a write.
            Ok(May::No { reason, .. }) if found.warnings.iter().any(|one| one.contains(&reason)) => {}
            Ok(May::No { reason, hint }) => self.findings.push(may_not(about, entry, &reason, hint)),
            Err(trouble) => self.findings.push(Finding::failed(about, &trouble)),
        }
    }

    fn told(self, about: &str) -> Vec<Finding> {
        let entries = |count| counted(count, "entry", "entries");
        let mut told: Vec<Finding> = Vec::new();
        told.extend(self.signs_in.map(|who| Finding::new(about, Health::Ok, format!("identity: {who}"))));
        if self.readable > 0 {
            told.push(Finding::new(about, Health::Ok, format!("can read {}", entries(self.readable))));
        }
        if self.writable > 0 {
            told.push(Finding::new(about, Health::Ok, format!("may write {}", entries(self.writable))));
        }
        if self.is_not_told {
            told.push(Finding::not_told(about, "may write"));
        }
        told.extend(self.findings);
        told
    }
}

/// A right that only `apply` needs.
fn may_not(about: &str, what: &str, reason: &str, hint: String) -> Finding {
    let text = format!("{what}: apply cannot write it: {reason}");
    Finding { hint: Some(hint), ..Finding::new(about, Health::Warning, text) }
}

/// Every issuer that has something to be reached.
pub(super) async fn issuers(certificates: &[&Declared], ground: &Ground) -> Vec<Finding> {
    // Those that are declared alike are one.
    let mut issuers: BTreeMap<String, &Declared> = BTreeMap::new();
    for declared in certificates {
        issuers.extend(issuer_name(&declared.issuer).map(|name| (name, *declared)));
    }
    let looks = issuers.iter().map(|(name, declared)| async move {
        let _slot = ground.slots.acquire().await;
        (name, ground.connections.may_issue(declared).await)
    });
    let told = join_all(looks).await.into_iter().map(|(name, found)| {
        let about = format!("issuer {name}");
        let (signs_in, may) = match found {
            Ok(found) => found,
            Err(trouble) => return vec![Finding::failed(&about, &trouble)],
        };
        let identity = signs_in.map(|who| Finding::new(&about, Health::Ok, format!("identity: {who}")));
        let rights = match may {
            May::Yes => Finding::new(&about, Health::Ok, "may be used"),
            May::NotTold => Finding::not_told(&about, "signs for certroll"),
            May::No { reason, hint } => {
                let text = format!("apply cannot use it: {reason}");
                Finding { hint: Some(hint), ..Finding::new(&about, Health::Warning, text) }
            }
        };
        identity.into_iter().chain([rights]).collect()
    });
    told.flatten().collect()
}

/// What tells an issuer from others of its kind; none where nothing is reached for it.
fn issuer_name(issuer: &Issuer) -> Option<String> {
    let place = match issuer {
        Issuer::CaFile { certificate, .. } => certificate.display().to_string(),
        Issuer::VaultPki { mount, role, namespace, issuer_ref, connection: _ } => {
            let namespace = namespace.iter().map(|name| format!(" of namespace {name}"));
            let signer = issuer_ref.iter().map(|name| format!(" by {name}"));
            format!("{mount}/{role}{}", signer.chain(namespace).collect::<String>())
        }
        Issuer::KeyVault { vault, issuer, connection: _ } => format!("{vault}/{issuer}"),
        Issuer::Csr { directory } => directory.display().to_string(),
        Issuer::SelfSigned | Issuer::ExternalPublicKey { .. } | Issuer::ExternalRotator { .. } => {
            return None;
        }
    };
    let connection = issuer.connection().map(|name| format!(" (connection {name})")).unwrap_or_default();
    Some(format!("{} {place}{connection}", issuer.as_str()))
}

/// Every delivery place, by looking at it as a plan does.
pub(super) async fn deliveries(certificates: &[&Declared], ground: &Ground) -> Vec<Finding> {
    let readers = ShippedReaders::new(&ground.connections);
    let places = certificates.iter().flat_map(|declared| &declared.deliveries);
    let looks = places.map(|delivery| {
        let readers = &readers;
        async move {
            let _slot = ground.slots.acquire().await;
            place(delivery, readers).await
        }
    });
    let mut findings: Vec<Finding> = join_all(looks).await.into_iter().flatten().collect();
    findings.sort_by(|one, other| one.about.cmp(&other.about));
    findings
}

async fn place(delivery: &Delivery, readers: &ShippedReaders) -> Vec<Finding> {
    let about = format!("delivery {}", delivery.slot);
    let place = match readers.delivery(delivery) {
        Ok(place) => place,
        Err(trouble) => return vec![Finding::failed(&about, &trouble)],
    };
    let looked = match place.observe(delivery).await {
        DeliveryState::Unreadable { reason } => return vec![Finding::new(&about, Health::Failed, reason)],
        DeliveryState::NeverTells { reason } => Finding::new(&about, Health::Unknown, reason),
        DeliveryState::Holds(_) | DeliveryState::Marker(_) | DeliveryState::Absent => {
            Finding::new(&about, Health::Ok, "can look at it")
        }
    };
    let writes = match place.may_write(delivery).await {
        Err(error) => Finding::failed(&about, &error.into()),
        Ok(May::Yes) => Finding::new(&about, Health::Ok, "may write"),
        Ok(May::NotTold) => Finding::not_told(&about, "may write"),
        Ok(May::No { reason, hint }) => {
            let text = format!("apply cannot deliver: {reason}");
            Finding { hint: Some(hint), ..Finding::new(&about, Health::Warning, text) }
        }
    };
    vec![looked, writes]
}

/// Whether the secrets that the declaration names are there. None is read.
pub(super) fn secrets(certificates: &[&Declared], operator: &dyn Secrets) -> Vec<Finding> {
    let named = certificates.iter().flat_map(|declared| {
        let key = match &declared.issuer {
            Issuer::CaFile { key, .. } => Some(key),
            _ => None,
        };
        let of_store = declared.store.as_ref().map(|binding| &binding.form.password);
        let of_deliveries = declared.deliveries.iter().map(|delivery| &delivery.form.password);
        key.into_iter().chain(of_store).chain(of_deliveries)
    });
    let named: BTreeMap<String, &Password> =
        named.filter(|source| source.has_source()).map(|source| (source.to_string(), source)).collect();
    let finding = |(name, source): (&String, &&Password)| {
        let about = format!("secret {name}");
        match operator.is_set(source) {
            Ok(true) => Finding::new(&about, Health::Ok, "is set"),
            Ok(false) => Finding::new(&about, Health::Warning, "is not set, and apply needs it"),
            Err(trouble) => Finding { result: Health::Warning, ..Finding::failed(&about, &trouble) },
        }
    };
    named.iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_that_differ_in_namespace_signer_or_connection_are_looked_at_one_by_one() {
        let pki = |namespace: Option<&str>, issuer_ref: Option<&str>, connection: Option<&str>| {
            issuer_name(&Issuer::VaultPki {
                mount: "pki".into(),
                role: "entra".into(),
                namespace: namespace.map(str::to_owned),
                issuer_ref: issuer_ref.map(str::to_owned),
                connection: connection.map(|name| name.parse().unwrap()),
            })
        };
        let names = [
            (pki(None, None, None), "vault_pki pki/entra"),
            (pki(Some("eu"), None, None), "vault_pki pki/entra of namespace eu"),
            (pki(None, Some("g2"), None), "vault_pki pki/entra by g2"),
            (pki(None, None, Some("vault-eu")), "vault_pki pki/entra (connection vault-eu)"),
        ];
        for (name, expected) in names {
            assert_eq!(name.as_deref(), Some(expected));
        }
    }
}
