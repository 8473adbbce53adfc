//! How back ends reach their services: the operator's connections, the run's transport, clock and limits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(any(feature = "azure-key-vault", feature = "hashicorp-vault", feature = "kubernetes"))]
use super::opened::Opened;
use crate::connections::Operator;
use crate::desired::Cloud;
use crate::edges::{Trouble, TroubleKind};
use crate::net::{HttpsOptions, HttpsTransport, Service, Transport, Trust, Way};

/// Makes transports that trust certain certificate authorities.
pub trait Transports: Send + Sync {
    /// One that trusts those of the PEM text besides what the run trusts anyway.
    fn transport(&self, extra_roots: Option<&[u8]>) -> Result<Arc<dyn Transport>, Trouble>;
}

/// Certificate authorities besides those of the run, as PEM.
type Roots = Option<Vec<u8>>;

/// Transports over the network. Services that trust the same share one, and its connections.
pub struct HttpsTransports {
    trust: Trust,
    made: Mutex<BTreeMap<Roots, Arc<dyn Transport>>>,
}

impl HttpsTransports {
    /// With what the run trusts anyway.
    pub fn new(trust: Trust) -> HttpsTransports {
        HttpsTransports { trust, made: Mutex::default() }
    }
}

impl Transports for HttpsTransports {
    fn transport(&self, extra_roots: Option<&[u8]>) -> Result<Arc<dyn Transport>, Trouble> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transport) = made.get(&extra_roots.map(<[u8]>::to_vec)) {
            return Ok(Arc::clone(transport));
        }
        let and = |roots: &[u8], extra: &[u8]| [roots, b"\n", extra].concat();
        let trust = match (&self.trust, extra_roots) {
            (trust, None) => trust.clone(),
            (Trust::System, Some(extra)) => Trust::SystemAnd(extra.to_vec()),
            (Trust::SystemAnd(roots), Some(extra)) => Trust::SystemAnd(and(roots, extra)),
            (Trust::Only(roots), Some(extra)) => Trust::Only(and(roots, extra)),
        };
        let transport = HttpsTransport::new(HttpsOptions { trust, ..HttpsOptions::default() });
        let transport = transport.map_err(|error| {
            Trouble::new(TroubleKind::Refused, "preparing HTTPS", error.to_string()).with_hint(error.hint())
        })?;
        let transport: Arc<dyn Transport> = Arc::new(transport);
        made.insert(extra_roots.map(<[u8]>::to_vec), Arc::clone(&transport));
        Ok(transport)
    }
}

/// How back ends reach their services. Cheap to clone.
#[derive(Clone)]
pub struct Reach {
    /// What the operator has set.
    pub operator: Arc<Operator>,
    /// The run's clock, randomness and limits; its transport trusts what the run trusts anyway.
    pub way: Way,
    /// Makes further transports.
    pub transports: Arc<dyn Transports>,
    /// Where relative paths of the declaration begin: the working directory.
    pub base: PathBuf,
    /// The cloud of the declared tenants, where they share one.
    pub cloud: Option<Cloud>,
    /// Whether a kubeconfig may have a plugin of its own run to sign in.
    pub plugins: bool,
    /// Key Vaults that were reached already, by connection and name.
    #[cfg(feature = "azure-key-vault")]
    pub(super) key_vaults: Opened<crate::key_vault::KeyVault>,
    /// Vaults that were reached already.
    #[cfg(feature = "hashicorp-vault")]
    pub(super) vaults: Opened<crate::vault::Vault>,
    /// Clusters that were reached already, by connection and context.
    #[cfg(feature = "kubernetes")]
    pub(super) clusters: Opened<crate::kubernetes::Cluster>,
}

impl Reach {
    /// Over that way, with what the operator has set.
    pub fn new(operator: Operator, way: Way, transports: Arc<dyn Transports>) -> Reach {
        Reach {
            operator: Arc::new(operator),
            way,
            transports,
            base: PathBuf::new(),
            cloud: Some(Cloud::Public),
            plugins: false,
            #[cfg(feature = "azure-key-vault")]
            key_vaults: Opened::default(),
            #[cfg(feature = "hashicorp-vault")]
            vaults: Opened::default(),
            #[cfg(feature = "kubernetes")]
            clusters: Opened::default(),
        }
    }

    /// With relative paths beginning there.
    #[must_use]
    pub fn below(self, base: impl Into<PathBuf>) -> Reach {
        Reach { base: base.into(), ..self }
    }

    /// For a command that may run what signs in to a cluster, as the operator's kubeconfig says: `apply` alone.
    #[must_use]
    pub fn with_plugins(self, plugins: bool) -> Reach {
        Reach { plugins, ..self }
    }

    /// For tenants of these clouds. An emulated tenant's services are those of the public cloud.
    #[must_use]
    pub fn in_clouds(self, clouds: impl IntoIterator<Item = Cloud>) -> Reach {
        let mut all: Vec<Cloud> = clouds.into_iter().filter(|cloud| *cloud != Cloud::Emulator).collect();
        all.dedup();
        let cloud = match all.as_slice() {
            [] => Some(Cloud::Public),
            [one] => Some(*one),
            _ => None,
        };
        Reach { cloud, ..self }
    }

    /// The service of that name at that address; it may have certificate authorities of its own, in a PEM file.
    pub fn service_trusting(
        &self,
        name: &str,
        address: &str,
        ca_file: Option<&str>,
    ) -> Result<Service, Trouble> {
        let mut way = self.way.clone();
        if let Some(path) = ca_file {
            way.transport = self.transports.transport(Some(&read_roots(name, path)?))?;
        }
        Service::new(name, address, way)
    }
}

#[allow(clippy::disallowed_methods, reason = "reads the operator's own CA file")]
fn read_roots(name: &str, path: &str) -> Result<Vec<u8>, Trouble> {
    std::fs::read(path).map_err(|error| {
        Trouble::new(TroubleKind::Refused, format!("connecting to {name}"), format!("{path}: {error}"))
            .with_hint("check the CA file that the operator named for it")
    })
}
