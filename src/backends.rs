//! What this version of certroll can do, of all the grammar can say. The one place that knows; whatever is missing here is
//! refused with one clear error where the file uses it.

#[cfg(feature = "ci-deliveries")]
mod ci;
mod deliveries;
mod directory;
mod issuers;
#[cfg(feature = "azure-key-vault")]
mod key_vault;
#[cfg(feature = "kubernetes")]
mod kubernetes;
#[cfg(any(feature = "azure-key-vault", feature = "hashicorp-vault", feature = "kubernetes"))]
mod opened;
pub mod reach;
pub mod shipped;
mod stores;
#[cfg(feature = "hashicorp-vault")]
mod vault;

use std::collections::BTreeSet;

use crate::edges::{Trouble, TroubleKind};

/// Something a declaration uses that may not be built yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// A kind of store.
    Store,
    /// A kind of issuer.
    Issuer,
    /// A kind of delivery.
    Delivery,
}

impl Part {
    fn as_str(self) -> &'static str {
        match self {
            Part::Store => "store",
            Part::Issuer => "issuer",
            Part::Delivery => "delivery",
        }
    }
}

/// The kinds that have a back end, by the words the file uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backends {
    /// Kinds of store.
    pub stores: BTreeSet<&'static str>,
    /// Kinds of issuer.
    pub issuers: BTreeSet<&'static str>,
    /// Kinds of delivery.
    pub deliveries: BTreeSet<&'static str>,
    /// Whether the operator can name connections.
    pub connections: bool,
}

impl Backends {
    /// What this version has. `external_rotator` needs no back end: nothing is made, only watched.
    pub fn shipped() -> Backends {
        let mut stores = BTreeSet::from(["file"]);
        let mut issuers =
            BTreeSet::from(["self_signed", "ca_file", "csr", "external_public_key", "external_rotator"]);
        if cfg!(feature = "hashicorp-vault") {
            stores.insert("hashicorp_vault");
            issuers.insert("vault_pki");
        }
        if cfg!(feature = "azure-key-vault") {
            stores.insert("azure_key_vault");
            issuers.insert("key_vault");
        }
        let mut deliveries = BTreeSet::from(["file", "exec"]);
        if cfg!(feature = "ci-deliveries") {
            deliveries.extend(["github_actions", "gitlab_ci", "azure_devops"]);
        }
        if cfg!(feature = "kubernetes") {
            stores.insert("kubernetes");
            deliveries.insert("kubernetes");
        }
        Backends { stores, issuers, deliveries, connections: true }
    }

    /// Everything the grammar knows. For tests of what comes before any back end.
    pub fn all() -> Backends {
        Backends {
            stores: ["file", "azure_key_vault", "hashicorp_vault", "kubernetes"].into(),
            issuers: [
                "self_signed",
                "ca_file",
                "vault_pki",
                "key_vault",
                "csr",
                "external_public_key",
                "external_rotator",
            ]
            .into(),
            deliveries: ["github_actions", "gitlab_ci", "azure_devops", "kubernetes", "file", "exec"].into(),
            connections: true,
        }
    }

    /// Why a kind cannot be used, if it cannot.
    pub fn refuse_kind(&self, part: Part, kind: &str) -> Option<String> {
        let built = match part {
            Part::Store => &self.stores,
            Part::Issuer => &self.issuers,
            Part::Delivery => &self.deliveries,
        };
        if built.contains(kind) {
            return None;
        }
        let has: Vec<&str> = built.iter().copied().collect();
        let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
        Some(format!("{} kind {kind} is not in this version of certroll (it has: {has})", part.as_str()))
    }

    /// Why a connection cannot be named, if it cannot.
    pub fn refuse_connection(&self) -> Option<String> {
        let message = "connections are not in this version of certroll";
        (!self.connections).then(|| message.to_owned())
    }
}

fn not_in_this_version(doing: &str, kind: &str) -> Trouble {
    Trouble::new(TroubleKind::Unsupported, doing, format!("{kind} is not in this version of certroll"))
}
